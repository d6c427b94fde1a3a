//! Rules that change a message, keep copies of what they send, and ask for annotations.

use super::{ANNA, BOB, activate, count, deliver};
use crate::support::{Server, imap::Imap, smtp::Smtp, wait_for};

const STRANGER: &str = "someone@elsewhere.example";

/// The messages of a mailbox, whole, oldest first.
fn mails(server: &Server, account: &str, mailbox: &str) -> Vec<String> {
    let mut imap = Imap::login(server.address("imap"), account).unwrap();
    imap.command(&format!("EXAMINE {mailbox}")).unwrap().ok();
    let answer = imap.command("FETCH 1:* (BODY.PEEK[])").unwrap();
    answer.untagged.into_iter().filter(|line| line.contains("FETCH")).collect()
}

fn search(server: &Server, mailbox: &str, keys: &str) -> Vec<u32> {
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command(&format!("EXAMINE {mailbox}")).unwrap().ok();
    imap.command(&format!("SEARCH {keys}")).unwrap().ok().numbers()
}

fn server() -> (tempfile::TempDir, Server) {
    Server::with_accounts(&[ANNA, BOB])
}

#[test]
fn header_fields_are_added_and_deleted_in_the_accounts_own_copy() {
    let (dir, server) = server();
    activate(
        &server,
        dir.path(),
        ANNA,
        "require [\"editheader\", \"fileinto\", \"copy\", \"imap4flags\"];\n\
         redirect :copy \"bob@example.org\";\n\
         fileinto :copy \"Archive\";\n\
         deleteheader \"Subject\";\n\
         deleteheader \"Received\";\n\
         deleteheader :matches \"X-Track\" \"*evil*\";\n\
         addheader \"Subject\" \"changed ä\";\n\
         addheader :last \"X-Last\" \"behind all\";\n\
         if header :is \"subject\" \"changed ä\" { keep :flags \"\\\\Flagged\"; }\n",
    );
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
    let message = format!(
        "From: {STRANGER}\r\nTo: {ANNA}, {BOB}\r\nX-Track: evil 1\r\nSubject: original\r\nX-Track: good\r\n\r\nText stays\r\n"
    );
    assert!(smtp.send(STRANGER, &[ANNA, BOB], &message).unwrap().starts_with("250"));
    let [inbox] = &mails(&server, ANNA, "INBOX")[..] else { panic!("one message") };
    assert!(inbox.contains("Subject: =?utf-8?B?") && !inbox.contains("original"), "{inbox}");
    assert!(inbox.contains("\nReceived: ") && inbox.contains("\nReturn-Path: ") | inbox.contains("Return-Path: "));
    assert!(!inbox.contains("evil 1") && inbox.contains("X-Track: good"), "{inbox}");
    assert!(inbox.contains("X-Last: behind all\r\n\r\nText stays"), "{inbox}");
    assert_eq!(search(&server, "INBOX", "FLAGGED"), [1]);
    assert_eq!(search(&server, "INBOX", "SUBJECT original"), [0; 0]);
    assert_eq!(search(&server, "INBOX", "SUBJECT changed"), [1]);
    assert_eq!(search(&server, "INBOX", "BODY stays"), [1]);
    let [archived] = &mails(&server, ANNA, "Archive")[..] else { panic!("one message") };
    assert!(archived.contains("Subject: original") && archived.contains("evil 1"), "{archived}");
    // What came for another account, and what was sent on before the change, is as it came.
    wait_for("the message that is sent on", || count(&server, BOB, "INBOX") == Some(2));
    for mail in mails(&server, BOB, "INBOX") {
        assert!(mail.contains("Subject: original") && mail.contains("evil 1") && !mail.contains("X-Last"), "{mail}");
    }
    // The copy outlives a restart, and the data are sound.
    server.stop();
    let server = Server::start(dir.path());
    assert!(mails(&server, ANNA, "INBOX")[0].contains("X-Last: behind all"));
    assert!(server.command(&["verify"]).status.success());
}

#[test]
fn what_is_sent_on_after_a_change_is_changed() {
    let (dir, server) = server();
    activate(
        &server,
        dir.path(),
        ANNA,
        "require [\"editheader\", \"enclose\", \"replace\", \"variables\", \"copy\"];\n\
         if header :contains \"subject\" \"enclose\" {\n\
           enclose :subject \"wrapped\" \"look at this\"; redirect \"bob@example.org\"; stop;\n\
         }\n\
         if header :contains \"subject\" \"replace\" { replace :subject \"gone\" \"nothing to see\"; }\n\
         addheader \"X-Tag\" \"by anna\";\n\
         redirect :copy \"bob@example.org\";\n",
    );
    deliver(&server, STRANGER, "enclose me", "").unwrap();
    wait_for("the enclosed message", || count(&server, BOB, "INBOX") == Some(1));
    assert_eq!(count(&server, ANNA, "INBOX"), Some(0));
    deliver(&server, STRANGER, "replace me", "").unwrap();
    wait_for("the replaced message", || count(&server, BOB, "INBOX") == Some(2));
    deliver(&server, STRANGER, "tag me", "").unwrap();
    wait_for("the tagged message", || count(&server, BOB, "INBOX") == Some(3));
    let mails_of_bob = mails(&server, BOB, "INBOX");
    assert!(mails_of_bob[0].contains("Subject: wrapped") && mails_of_bob[0].contains("look at this"));
    assert!(mails_of_bob[0].contains("message/rfc822") && mails_of_bob[0].contains("Subject: enclose me"));
    for mail in [&mails_of_bob[1], &mails(&server, ANNA, "INBOX")[0]] {
        assert!(mail.contains("Subject: gone") && mail.contains("nothing to see") && mail.contains("X-Tag: by anna"));
        assert!(!mail.contains("\r\nText\r\n"), "{mail}");
    }
    for mail in [&mails_of_bob[2], &mails(&server, ANNA, "INBOX")[1]] {
        assert!(mail.contains("X-Tag: by anna") && mail.contains("\r\nText\r\n"), "{mail}");
    }
}

#[test]
fn a_message_that_goes_through_the_queue_is_changed_too() {
    let (dir, server) = server();
    activate(
        &server,
        dir.path(),
        ANNA,
        "require [\"editheader\", \"copy\"];\ndeleteheader \"Subject\";\naddheader \"X-Tag\" \"waited\";\n\
         redirect :copy \"bob@example.org\";\n",
    );
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
    for line in ["EHLO there.example", "MAIL FROM:<someone@elsewhere.example>"] {
        assert!(smtp.command(line).unwrap().starts_with("250"));
    }
    // Who wants to hear of a delivery is served from the queue.
    assert!(smtp.command(&format!("RCPT TO:<{ANNA}> NOTIFY=SUCCESS")).unwrap().starts_with("250"));
    assert!(smtp.command("DATA").unwrap().starts_with("354"));
    let message = format!("From: {STRANGER}\r\nTo: {ANNA}\r\nSubject: original\r\n\r\nText\r\n.");
    assert!(smtp.command(&message).unwrap().starts_with("250"));
    for account in [ANNA, BOB] {
        wait_for("the changed message", || count(&server, account, "INBOX") == Some(1));
        let mail = &mails(&server, account, "INBOX")[0];
        assert!(mail.contains("X-Tag: waited") && !mail.contains("Subject: original"), "{mail}");
        assert!(mail.contains("\r\nText\r\n"), "{mail}");
    }
}

#[test]
fn copies_of_replies_are_filed_when_they_are_sent() {
    let (dir, server) = server();
    activate(
        &server,
        dir.path(),
        ANNA,
        "require [\"vacation\", \"fcc\", \"mailbox\", \"imap4flags\", \"enotify\"];\n\
         if header :is \"subject\" \"tell\" {\n\
           notify :fcc \"Told\" :create \"mailto:bob@example.org\";\n\
         } else { vacation :fcc \"Replies\" :create :flags \"\\\\Seen\" \"I am away\"; }\n",
    );
    deliver(&server, BOB, "hello", "").unwrap();
    deliver(&server, BOB, "hello again", "").unwrap();
    wait_for("the answer", || count(&server, BOB, "INBOX") == Some(1));
    assert_eq!(count(&server, ANNA, "Replies"), Some(1), "one answer, one copy");
    assert_eq!(search(&server, "Replies", "SEEN BODY away"), [1]);
    deliver(&server, BOB, "tell", "").unwrap();
    wait_for("the notification", || count(&server, BOB, "INBOX") == Some(2));
    assert_eq!(count(&server, ANNA, "Told"), Some(1));
}

#[test]
fn scripts_ask_for_annotations() {
    let (dir, server) = server();
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("SETMETADATA INBOX (/private/comment \"to the archive\")").unwrap().ok();
    imap.command("SETMETADATA \"\" (/private/vendor/x/mode \"strict\")").unwrap().ok();
    activate(
        &server,
        dir.path(),
        ANNA,
        "require [\"mboxmetadata\", \"servermetadata\", \"fileinto\"];\n\
         if allof (metadata :contains \"INBOX\" \"/private/comment\" \"archive\",\n\
                   servermetadata :is \"/private/vendor/x/mode\" \"strict\",\n\
                   metadataexists \"INBOX\" [\"/private/comment\"],\n\
                   not metadataexists \"INBOX\" [\"/private/comment\", \"/shared/comment\"],\n\
                   not metadataexists \"Nowhere\" [\"/private/comment\"],\n\
                   not servermetadataexists \"/private/other\") { fileinto \"Archive\"; }\n",
    );
    deliver(&server, STRANGER, "annotated", "").unwrap();
    assert_eq!((count(&server, ANNA, "Archive"), count(&server, ANNA, "INBOX")), (Some(1), Some(0)));
}
