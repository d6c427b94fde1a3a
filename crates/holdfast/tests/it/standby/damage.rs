//! Messages that one machine's disk has lost come from the other.

use std::path::Path;

use super::{ANNA, Machines, machines};
use crate::support::{
    standby::{Standby, deliver, has_all, run, said, status},
    wait_for,
};

/// Flips a bit of every body in a folder's packs.
fn damage_bodies(data: &Path) -> usize {
    use std::os::unix::fs::FileExt as _;
    let mut count = 0;
    for pack in std::fs::read_dir(data.join("packs")).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = std::fs::read(&pack).unwrap();
        let file = std::fs::File::options().write(true).open(&pack).unwrap();
        let begins = bytes.windows(4).enumerate().filter(|(_, window)| window == b"HFBD").map(|(at, _)| at);
        // A body ends where the next one begins.
        for end in begins.skip(1).chain([bytes.len()]) {
            file.write_all_at(&[bytes[end - 5] ^ 1], end as u64 - 5).unwrap();
            count += 1;
        }
    }
    count
}

#[test]
fn messages_that_the_standbys_disk_has_let_go_of_are_fetched_anew_and_both_sides_say_so() {
    const MESSAGES: usize = 120;
    let Machines { dirs, primary } = machines("");
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    standby.line("following");
    for number in 0..MESSAGES {
        deliver(primary.server.address("smtp"), ANNA, &format!("m{number}")).unwrap();
    }
    wait_for("the standby has all", || has_all(&primary, &standby));
    assert_eq!(damage_bodies(&dirs[1].path().join("data")), MESSAGES);
    // The daily work reads a seventh of all, and finds those.
    let found = run(dirs[1].path(), &["maintain"]);
    let text = String::from_utf8_lossy(&found.stdout);
    assert!(!found.status.success() && text.contains("scrub: FAILED"), "{text}");
    wait_for("those are mended", || {
        let said = standby.status();
        !said.contains("ALARM") && said.contains("that got damaged here")
    });
    wait_for("the primary knows", || status(dirs[0].path()).contains("that got damaged there"));
    let again = said(dirs[1].path(), &["maintain"]);
    assert!(again.contains("scrub:") && !again.contains("FAILED"), "{again}");
    // All others are found when all are read.
    let done = said(dirs[1].path(), &["standby", "resync", "account 1"]);
    assert!(done.contains("messages that were missing or damaged here"), "{done}");
    let done = said(dirs[1].path(), &["standby", "resync", "account 1"]);
    assert!(!done.contains("damaged"), "{done}");

    // What neither has is an alarm, on both sides, and no other bytes are taken for it.
    assert!(damage_bodies(&dirs[1].path().join("data")) >= MESSAGES);
    assert_eq!(damage_bodies(&dirs[0].path().join("data")), MESSAGES);
    let lost = run(dirs[1].path(), &["standby", "resync", "account 1"]);
    let why = String::from_utf8_lossy(&lost.stderr);
    assert!(!lost.status.success() && why.contains("120 messages are damaged here"), "{why}");
    wait_for("the alarm", || standby.status().contains("ALARM: 120 messages are damaged here"));
    wait_for("the primary's", || status(dirs[0].path()).contains("ALARM: two: 120 messages are damaged there"));
    // A restart does not forget it.
    standby.kill();
    let standby = Standby::spawn(dirs[1].path(), &[]);
    assert!(standby.status().contains("ALARM: 120 messages are damaged here"));
    // The same bits again: the primary's disk has been put right.
    damage_bodies(&dirs[0].path().join("data"));
    standby.kill();
    let standby = Standby::spawn(dirs[1].path(), &[]);
    wait_for("all are mended", || {
        let said = standby.status();
        !said.contains("ALARM") && said.contains("repaired 120 messages")
    });
    drop(standby);
    let verify = run(dirs[1].path(), &["verify"]);
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}
