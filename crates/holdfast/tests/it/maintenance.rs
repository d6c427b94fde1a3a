//! The daily work, on a service in use.

use crate::support::{Server, holdfast, imap::Imap, smtp::Smtp, wait_for};

#[test]
fn a_deleted_accounts_mail_is_cleared_away_and_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), "[store]\nretention = \"1 second\"\n");
    server.add_account("anna@example.org");
    server.add_account("bert@example.org");
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
    let message = "Subject: for both\r\n\r\nkept until let go\r\n";
    smtp.send("carl@example.com", &["anna@example.org", "bert@example.org"], message).unwrap();
    let deleted = server.command(&["account", "delete", "anna@example.org", "--yes"]);
    assert!(deleted.status.success());
    // The retention time passes while this is tried; each run is one more of what happens daily.
    wait_for("the account is cleared away", || {
        let output = server.command(&["maintain"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && !said.contains("FAILED"), "{said}");
        said.contains("deleted accounts: 1 purged")
    });
    let late = server.command(&["rewind", "anna@example.org", "--deleted"]);
    let said = String::from_utf8_lossy(&late.stderr).into_owned();
    assert!(!late.status.success() && said.contains("may have been purged already"), "{said}");
    let mut bert = Imap::login(server.address("imap"), "bert@example.org").unwrap();
    bert.command("SELECT INBOX").unwrap().ok();
    let fetched = bert.command("FETCH 1 BODY[]").unwrap().ok();
    assert!(fetched.untagged.concat().contains("kept until let go"));
    server.stop();
    let verified = holdfast(dir.path(), &["verify"], "");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// What every place says of damage: the status (its exit code too), `/health` and the measurement, each by itself.
fn damage_said(server: &Server) -> (i32, u64, u64, String, u64) {
    let status = server.command(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let health: serde_json::Value = serde_json::from_str(&server.page("/health")).unwrap();
    let metrics = server.page("/metrics");
    let measured =
        metrics.lines().find_map(|line| line.strip_prefix("holdfast_store_damage ")).expect("it is measured");
    (
        status.status.code().unwrap(),
        json["damage"]["count"].as_u64().unwrap(),
        health["damage"].as_u64().unwrap(),
        health["status"].as_str().unwrap().to_owned(),
        measured.parse::<f64>().unwrap() as u64,
    )
}

/// A service that was stopped with a few messages in it, and their texts.
fn stopped_with_messages() -> (tempfile::TempDir, Vec<String>) {
    let (dir, server) = Server::with_accounts(&["anna@example.org"]);
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
    let texts: Vec<String> =
        (0..4_u64).map(|number| format!("{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    for text in &texts {
        let message = format!("Subject: {text}\r\n\r\nthe text of {text}\r\n");
        assert!(smtp.send("carl@example.com", &["anna@example.org"], &message).unwrap().starts_with("250"));
    }
    server.stop();
    (dir, texts)
}

/// Flips a bit in the newest message's bytes: near the end of the pack.
fn flip_in_pack(dir: &std::path::Path) {
    let pack = dir.join("data/packs/0000000001.pack");
    let mut bytes = std::fs::read(&pack).unwrap();
    let at = bytes.len() - 10;
    bytes[at] ^= 1;
    std::fs::write(pack, bytes).unwrap();
}

#[test]
fn a_damaged_message_stands_everywhere_until_it_is_mended() {
    let (dir, _) = stopped_with_messages();
    let before = std::fs::read(dir.path().join("data/packs/0000000001.pack")).unwrap();
    flip_in_pack(dir.path());
    let server = Server::start(dir.path());
    let mut anna = Imap::login(server.address("imap"), "anna@example.org").unwrap();
    anna.command("SELECT INBOX").unwrap().ok();
    assert!(anna.command("FETCH 1 BODY.PEEK[]").unwrap().ok().untagged.concat().contains("the text of"));
    let _ = anna.command("FETCH 4 BODY.PEEK[]");
    assert_eq!(damage_said(&server), (1, 1, 1, "degraded".to_owned(), 1));
    server.stop();
    // Nobody has read it since, and it is known.
    let server = Server::start(dir.path());
    assert_eq!(damage_said(&server), (1, 1, 1, "degraded".to_owned(), 1));
    server.stop();
    std::fs::write(dir.path().join("data/packs/0000000001.pack"), before).unwrap();
    assert!(holdfast(dir.path(), &["verify"], "").status.success());
    let server = Server::start(dir.path());
    let (_, count, health, status, measured) = damage_said(&server);
    assert_eq!((count, health, status.as_str(), measured), (0, 0, "ok", 0));
}

#[test]
fn what_verify_found_in_a_stopped_folder_stands_in_the_status_of_the_service_that_starts_then() {
    let (dir, _) = stopped_with_messages();
    flip_in_pack(dir.path());
    assert_eq!(holdfast(dir.path(), &["verify"], "").status.code(), Some(1));
    let server = Server::start(dir.path());
    assert_eq!(damage_said(&server), (1, 1, 1, "degraded".to_owned(), 1));
}

#[test]
fn a_pack_that_is_cut_or_gone_keeps_nobody_out() {
    for harm in ["a byte", "a third", "everything", "the file"] {
        let (dir, _) = stopped_with_messages();
        let pack = dir.path().join("data/packs/0000000001.pack");
        let bytes = std::fs::read(&pack).unwrap();
        let left = match harm {
            "a byte" => bytes.len() - 1,
            "a third" => bytes.len() * 2 / 3,
            _ => 0,
        };
        if harm == "the file" {
            std::fs::remove_file(&pack).unwrap();
        } else {
            std::fs::write(&pack, &bytes[..left]).unwrap();
        }
        let server = Server::start(dir.path());
        let mut anna = Imap::login(server.address("imap"), "anna@example.org").unwrap();
        assert!(anna.command("SELECT INBOX").unwrap().ok().untagged.concat().contains("4 EXISTS"), "{harm}");
        let (code, count, health, status, measured) = damage_said(&server);
        assert!(code == 1 && count == health && count == measured && status == "degraded", "{harm}");
        assert!(if harm == "a byte" { count == 1 } else { (1..=4).contains(&count) }, "{harm}: {count}");
        // New mail is taken in and can be read.
        let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
        let reply = smtp.send("carl@example.com", &["anna@example.org"], "Subject: new\r\n\r\nafterwards\r\n").unwrap();
        assert!(reply.starts_with("250"), "{harm}: {reply}");
        anna.command("NOOP").unwrap().ok();
        assert!(anna.command("FETCH 5 BODY.PEEK[]").unwrap().ok().untagged.concat().contains("afterwards"), "{harm}");
        server.stop();
        let verified = holdfast(dir.path(), &["verify"], "");
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert_eq!(said.lines().filter(|line| line.starts_with("DAMAGED: ")).count() as u64, count, "{harm}: {said}");
    }
}

/// Waits until the message can be read as it was, and nothing is damaged.
fn mended(server: &Server, text: &str) {
    wait_for("what is damaged comes from elsewhere", || {
        let mut anna = Imap::login(server.address("imap"), "anna@example.org").unwrap();
        anna.command("SELECT INBOX").unwrap().ok();
        let fetched = anna.command("FETCH 1 BODY.PEEK[]").unwrap();
        fetched.untagged.concat().contains(text)
    });
    wait_for("nothing is damaged", || {
        let health: serde_json::Value = serde_json::from_str(&server.page("/health")).unwrap();
        health["damage"].as_u64() == Some(0)
    });
}

fn deliver_one(server: &Server) {
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
    let reply = smtp.send("carl@example.com", &["anna@example.org"], "Subject: one\r\n\r\nthe only text\r\n").unwrap();
    assert!(reply.starts_with("250"), "{reply}");
}

#[test]
fn what_is_damaged_on_the_primary_comes_from_its_standby() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let primary = crate::support::standby::primary(one.path(), "");
    primary.server.add_account("anna@example.org");
    let standby = crate::support::standby::Standby::pair(two.path(), &primary, "");
    deliver_one(&primary.server);
    wait_for("the standby has it", || crate::support::standby::has_all(&primary, &standby));
    let address = primary.address.to_string();
    primary.server.stop();
    flip_in_pack(one.path());
    let server = Server::start_with_env(one.path(), "", &[("HOLDFAST_LISTEN__STANDBY", address)]);
    mended(&server, "the only text");
    server.stop();
    assert!(holdfast(one.path(), &["verify"], "").status.success());
}

#[test]
fn what_is_damaged_comes_from_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let archive = crate::support::archive::archive(dir.path());
    let server = Server::start_with(dir.path(), &archive);
    server.add_account("anna@example.org");
    deliver_one(&server);
    crate::support::archive::shipped(dir.path());
    server.stop();
    flip_in_pack(dir.path());
    let server = Server::start_with(dir.path(), &archive);
    mended(&server, "the only text");
}

/// Bits that flip in the log of a stopped service, and a segment that is taken away while it runs.
#[test]
fn a_damaged_log_keeps_nobody_out_and_one_that_is_removed_is_put_back() {
    let (dir, _) = stopped_with_messages();
    let log = dir.path().join("data/log/00000000000000000001.log");
    let mut bytes = std::fs::read(&log).unwrap();
    let len = bytes.len();
    for at in [len / 4, len / 2, len - 7] {
        bytes[at] ^= 4;
    }
    std::fs::write(&log, bytes).unwrap();
    let server = Server::start(dir.path());
    let mut anna = Imap::login(server.address("imap"), "anna@example.org").unwrap();
    assert!(anna.command("SELECT INBOX").unwrap().ok().untagged.concat().contains("4 EXISTS"));
    assert_eq!(damage_said(&server), (1, 1, 1, "degraded".to_owned(), 1));
    deliver_one(&server);
    let newest = || {
        let mut all: Vec<_> =
            std::fs::read_dir(dir.path().join("data/log")).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        all.sort();
        all.pop().unwrap()
    };
    let removed = newest();
    std::fs::remove_file(&removed).unwrap();
    deliver_one(&server);
    assert!(removed.exists(), "what was acknowledged is in the log again");
    assert_eq!(damage_said(&server).1, 2);
    server.kill();
    let server = Server::start(dir.path());
    let mut anna = Imap::login(server.address("imap"), "anna@example.org").unwrap();
    assert!(anna.command("SELECT INBOX").unwrap().ok().untagged.concat().contains("6 EXISTS"));
    // The index is taken away while it runs: it stops, says why, and the next start makes it anew.
    std::fs::remove_dir_all(dir.path().join("data/index")).unwrap();
    wait_for("it says that it has stopped", || server.page("/health").contains("\"stopped\""));
}

#[test]
fn a_key_that_no_part_knows_is_reported_and_closes_no_account() {
    let (dir, server) = Server::with_accounts(&["anna@example.org"]);
    server.stop();
    // As a newer version of the program would leave it.
    let store = store::Store::open(&dir.path().join("data"), store::StoreOptions::default()).unwrap();
    let anna = store.realms().into_iter().find(|realm| realm.account_number().is_some()).unwrap();
    let newer = store.transact(move |tx| {
        tx.put(anna, vec![0x62, 7], b"from tomorrow".to_vec());
        Ok::<_, store::StoreError>(())
    });
    tokio::runtime::Runtime::new().unwrap().block_on(newer).unwrap();
    store.close();
    drop(store);
    let is_reported = |output: &std::process::Output| {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.code() == Some(1) && said.contains("knows the key [62, 07]")
    };
    let verified = holdfast(dir.path(), &["verify"], "");
    assert!(is_reported(&verified), "{verified:?}");
    let server = Server::start(dir.path());
    let verified = server.command(&["verify"]);
    assert!(is_reported(&verified), "{verified:?}");
    assert!(server.command(&["maintain"]).status.success());
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
    let sent = smtp.send("carl@example.com", &["anna@example.org"], "Subject: still open\r\n\r\n\r\n");
    assert!(sent.unwrap().starts_with("250"));
}
