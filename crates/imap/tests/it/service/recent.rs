//! `\Recent` (RFC 3501 section 2.3.2): the first session that hears of a message, and no other.

use crate::service::server::{MESSAGE, Server};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_recent_for_the_first_session_alone() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.login().await, server.login().await);
    (a.sees_recent, b.sees_recent) = (true, true);
    a.append("INBOX", MESSAGE).await.ok();
    a.append("INBOX (\\Seen)", MESSAGE).await.ok();
    a.run("STATUS INBOX (RECENT)").await.ok().has("STATUS \"INBOX\" (RECENT 2)");
    // Whoever only reads sees them, too, and takes them from nobody.
    b.run("EXAMINE INBOX").await.ok().has("2 RECENT");
    a.run("SELECT INBOX").await.ok().has("2 RECENT");
    b.run("SELECT INBOX").await.ok().has("0 RECENT");
    a.run("FETCH 1:2 FLAGS").await.ok().has("1 FETCH (FLAGS (\\Recent))").has("2 FETCH (FLAGS (\\Recent \\Seen))");
    b.run("FETCH 1:2 FLAGS").await.ok().has("1 FETCH (FLAGS ())").has("2 FETCH (FLAGS (\\Seen))");
    a.run("SEARCH NEW").await.ok().has("SEARCH 1");
    a.run("SEARCH OLD").await.ok().has("SEARCH");
    b.run("SEARCH OLD").await.ok().has("SEARCH 1 2");
    // What comes later belongs to whoever is told first.
    a.append("INBOX", MESSAGE).await.ok().has("3 EXISTS").has("3 RECENT");
    b.run("NOOP").await.ok().has("3 EXISTS").has("0 RECENT");
    // It can be neither set nor taken away.
    a.run("STORE 1 -FLAGS (\\Recent)").await.is("BAD ");
    b.run("STORE 1 +FLAGS (\\Recent)").await.is("BAD ");
    b.run("FETCH 1 FLAGS").await.ok().has("1 FETCH (FLAGS ())");
    a.run("FETCH 1 FLAGS").await.ok().has("1 FETCH (FLAGS (\\Recent))");
    a.run("STATUS INBOX (RECENT)").await.ok().has("STATUS \"INBOX\" (RECENT 0)");
}

#[tokio::test(flavor = "multi_thread")]
async fn rev2_knows_no_recent_messages() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.sees_recent = true;
    c.append("INBOX", MESSAGE).await.ok();
    c.run("ENABLE IMAP4rev2").await.ok();
    c.run("SELECT INBOX").await.ok().lacks("1 RECENT").lacks("0 RECENT");
    c.run("FETCH 1 FLAGS").await.ok().has("1 FETCH (FLAGS ())");
    c.append("INBOX", MESSAGE).await.ok().has("2 EXISTS").lacks("1 RECENT").lacks("0 RECENT");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recent_once_is_written_down() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.append("INBOX", MESSAGE).await.ok();
    c.run("SELECT INBOX").await.ok();
    let inbox = server.mailstore.mailbox_by_role(server.realm, mailstore::Role::Inbox).unwrap().unwrap().id;
    server.mailstore.keep_recent(server.realm, inbox).await.unwrap();
    // As after a restart: nothing is known but what was written.
    let again = mailstore::MailStore::new(server.store.clone());
    assert_eq!(again.recent_line(server.realm, inbox).unwrap().0, 1);
    // It is no change that anyone is told of.
    let before = c.run("STATUS INBOX (HIGHESTMODSEQ)").await.ok().find("STATUS").to_owned();
    server.mailstore.keep_recent(server.realm, inbox).await.unwrap();
    c.run("STATUS INBOX (HIGHESTMODSEQ)").await.ok().has(&before);
}
