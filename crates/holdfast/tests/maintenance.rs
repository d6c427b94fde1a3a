//! The daily work, on a service in use.

mod support;

use support::{Server, holdfast, imap::Imap, smtp::Smtp, wait_for};

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
        said.contains("deleted accounts: 1 cleared away")
    });
    let late = server.command(&["rewind", "anna@example.org", "--deleted"]);
    let said = String::from_utf8_lossy(&late.stderr).into_owned();
    assert!(!late.status.success() && said.contains("has been cleared away"), "{said}");
    let mut bert = Imap::login(server.address("imap"), "bert@example.org").unwrap();
    bert.command("SELECT INBOX").unwrap().ok();
    let fetched = bert.command("FETCH 1 BODY[]").unwrap().ok();
    assert!(fetched.untagged.concat().contains("kept until let go"));
    server.stop();
    let verified = holdfast(dir.path(), &["verify"], "");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
