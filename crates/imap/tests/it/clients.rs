//! Real clients against the door. A client that is not on this machine is passed over, and says so.

use std::path::Path;
use std::process::Output;

use crate::service::server::{MESSAGE, PASSWORD, Server, USER};
use tokio::process::Command;

/// Runs a program to its end; `None` if it is not on this machine.
async fn run(command: &mut Command) -> Option<Output> {
    let shown = command.as_std().get_program().display().to_string();
    // One that waits for ever must fail its test, not stop all tests.
    let ended = tokio::time::timeout(std::time::Duration::from_secs(300), command.kill_on_drop(true).output()).await;
    match ended.unwrap_or_else(|_| panic!("{shown} does not end")) {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{shown}: {errors}\n{}", String::from_utf8_lossy(&output.stdout));
            Some(output)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("{shown} is not here: passed over");
            None
        }
        Err(error) => panic!("{shown}: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pythons_imaplib_makes_its_rounds() {
    let server = Server::start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/clients/rounds.py");
    let port = server.address.port().to_string();
    let ran = run(Command::new("python3").args([script, &port, USER, PASSWORD])).await;
    assert!(ran.is_none_or(|ran| ran.stdout.trim_ascii() == b"done"));
}

#[tokio::test(flavor = "multi_thread")]
async fn python_logs_in_by_starttls_and_by_scram() {
    let server = Server::start_secure().await;
    let app = server.directory.create_app_password(server.account, "test").await.expect("an app password");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/clients/secure.py");
    let port = server.address.port().to_string();
    let ran = run(Command::new("python3").args([script, &port, USER, PASSWORD, &app.password])).await;
    assert!(ran.is_none_or(|ran| ran.stdout.trim_ascii() == b"done"));
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_reads_and_appends() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.append("INBOX", MESSAGE).await.ok();
    let url = format!("imap://{}", server.address);
    let login = format!("{USER}:{PASSWORD}");
    let curl = || {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--user", &login]);
        curl
    };
    let Some(read) = run(curl().arg(format!("{url}/INBOX;UID=1"))).await else { return };
    assert_eq!(read.stdout, MESSAGE);
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("message");
    std::fs::write(&file, MESSAGE).expect("written");
    run(curl().arg("-T").arg(&file).arg(format!("{url}/Sent"))).await;
    c.run("STATUS Sent (MESSAGES)").await.ok().has("STATUS \"Sent\" (MESSAGES 1)");
}

fn messages(maildir: &Path) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for folder in ["cur", "new"] {
        for entry in std::fs::read_dir(maildir.join(folder)).expect("a maildir") {
            all.push(std::fs::read(entry.expect("an entry").path()).expect("a message"));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn mbsync_keeps_a_maildir_in_step_both_ways() {
    let server = Server::start().await;
    let mut c = server.login().await;
    for n in 0..20 {
        c.append("INBOX", format!("Subject: n{n}\r\n\r\nbody {n}\r\n").as_bytes()).await.ok();
    }
    c.append("Archive (\\Seen)", MESSAGE).await.ok();
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().display();
    let port = server.address.port();
    let config = format!(
        "IMAPAccount a\nHost 127.0.0.1\nPort {port}\nUser {USER}\nPass {PASSWORD}\nSSLType None\nAuthMechs LOGIN\n\n\
         IMAPStore far\nAccount a\n\nMaildirStore near\nPath {path}/mail/\nInbox {path}/mail/INBOX\nSubFolders \
         Verbatim\n\nChannel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n"
    );
    let config_file = dir.path().join("mbsyncrc");
    std::fs::write(&config_file, config).expect("written");
    std::fs::create_dir(dir.path().join("mail")).expect("made");
    let sync = || {
        let mut sync = Command::new("mbsync");
        sync.arg("-c").arg(&config_file).arg("-a");
        sync
    };
    if run(&mut sync()).await.is_none() {
        return;
    }
    let inbox = dir.path().join("mail/INBOX");
    assert_eq!(messages(&inbox).len(), 20);
    assert_eq!(messages(&dir.path().join("mail/Archive")).len(), 1);

    // A message made here goes there; one expunged there goes from here; a flag set there comes here.
    std::fs::write(inbox.join("new/1.made.here"), "Subject: made here\n\nlocal\n").expect("written");
    c.run("SELECT INBOX").await.ok();
    c.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await.ok();
    c.run("EXPUNGE").await.ok();
    c.run("STORE 1 +FLAGS.SILENT (\\Flagged)").await.ok();
    run(&mut sync()).await;
    assert_eq!(messages(&inbox).len(), 20);
    c.run("NOOP").await.ok().has("20 EXISTS");
    assert_eq!(c.run("SEARCH SUBJECT \"made here\"").await.ok().untagged, ["SEARCH 20"]);
    let flagged = std::fs::read_dir(inbox.join("cur")).expect("a maildir");
    let flagged = flagged.filter(|entry| {
        let name = entry.as_ref().expect("an entry").file_name();
        name.to_string_lossy().split(":2,").nth(1).is_some_and(|flags| flags.contains('F'))
    });
    assert_eq!(flagged.count(), 1);
}
