//! The piece of a zone file is read by BIND as it was meant.

use std::process::Command;

use crate::world::{DOMAIN, World};

/// Whether BIND's tools are there. Without them a test says so, visibly; where all tests are run they must be there.
fn is_here() -> bool {
    let found = Command::new("named-checkzone").arg("-v").output().is_ok();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "named-checkzone is not installed; cargo xtask test installs it");
        eprintln!("NOT RUN: named-checkzone is not installed (apt-get install bind9-utils)");
    }
    found
}

#[tokio::test]
async fn bind_reads_the_snippet_as_it_was_meant() {
    if !is_here() {
        return;
    }
    let world = World::new().await;
    world.service.lock().relays = vec!["relay.example".to_owned()];
    world.service.lock().also_known_as = vec!["mail2.example.com".to_owned()];
    world.directory.prepare_dkim(DOMAIN).await.unwrap();
    let zone = world.checks.zone(DOMAIN).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zone");
    let head =
        "$TTL 300\n@ IN SOA ns.example.net. postmaster.example.net. 1 3600 600 86400 300\n@ IN NS ns.example.net.\n";
    std::fs::write(&file, format!("{head}{zone}")).unwrap();
    // Checks of names in other zones would ask the Internet.
    let read =
        Command::new("named-checkzone").args(["-i", "none", "-D", "-o", "-", DOMAIN]).arg(&file).output().unwrap();
    assert!(read.status.success(), "{read:?}\n{zone}");
    let dumped = String::from_utf8(read.stdout).unwrap();
    let lines: Vec<Vec<&str>> = dumped.lines().map(|line| line.split_whitespace().collect()).collect();
    let mut all = 0;
    for wanted in world.wanted().iter().filter(|wanted| !wanted.elsewhere) {
        for record in &wanted.records {
            let found = lines.iter().any(|words| {
                let value = words.get(4..).unwrap_or_default().join(" ");
                // Texts are joined again, as who reads them does.
                let value = if wanted.kind == "TXT" {
                    value.split('"').skip(1).step_by(2).collect::<String>().replace("\\;", ";")
                } else {
                    value
                };
                words[0] == format!("{}.", wanted.name) && words.get(3) == Some(&wanted.kind) && value == *record
            });
            assert!(found, "{} {} {record}\n{dumped}", wanted.name, wanted.kind);
            all += 1;
        }
    }
    assert!(all > 15, "{dumped}");
}
