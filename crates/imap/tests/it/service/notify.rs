//! NOTIFY (RFC 5465).

use crate::service::server::{MESSAGE, Server};

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_client_hears_of_other_mailboxes() {
    let server = Server::start().await;
    let (mut c, mut other) = (server.login().await, server.login().await);
    other.append("Archive", MESSAGE).await.ok();
    let answer = c.run("NOTIFY SET STATUS (personal (MessageNew MessageExpunge FlagChange))").await.ok();
    assert!(answer.find("STATUS \"Archive\" (MESSAGES 1 UIDNEXT 2 ").contains("HIGHESTMODSEQ"), "{answer:?}");
    c.run(
        "NOTIFY SET (mailboxes (Archive INBOX) (MessageNew MessageExpunge)) (subtree Lists (MailboxName)) \
           (personal (SubscriptionChange))",
    )
    .await
    .ok()
    .lacks("STATUS");
    other.append("Archive", MESSAGE).await.ok();
    assert!(c.line().await.starts_with("* STATUS \"Archive\" (MESSAGES 2 UIDNEXT 3 "));
    other.append("Drafts", MESSAGE).await.ok();
    other.run("CREATE Lists/rust").await.ok();
    assert_eq!(c.line().await, "* LIST () \"/\" \"Lists\"");
    assert_eq!(c.line().await, "* LIST () \"/\" \"Lists/rust\"");
    other.run("RENAME Lists/rust Lists/go").await.ok();
    assert_eq!(c.line().await, "* LIST () \"/\" \"Lists/go\" (\"OLDNAME\" (\"Lists/rust\"))");
    other.run("DELETE Lists/go").await.ok();
    assert_eq!(c.line().await, "* LIST (\\NonExistent) \"/\" \"Lists/go\"");
    other.run("SUBSCRIBE Work").await.ok();
    assert_eq!(c.line().await, "* LIST (\\Subscribed) \"/\" \"Work\"");
    c.run("NOTIFY NONE").await.ok();
    other.append("Archive", MESSAGE).await.ok();
    c.run("NOOP").await.ok().lacks("STATUS");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_selected_mailbox_is_told_of_at_once_and_new_messages_are_fetched() {
    let server = Server::start().await;
    let (mut c, mut other) = (server.login().await, server.login().await);
    c.run("SELECT INBOX").await.ok();
    c.run("NOTIFY SET (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)]) MessageExpunge FlagChange))")
        .await
        .ok();
    other.append("INBOX", MESSAGE).await.ok();
    assert_eq!(c.line().await, "* 1 EXISTS");
    let fetched = "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (SUBJECT)] {18}\r\nSubject: hello\r\n\r\n)";
    assert_eq!(c.line().await, fetched);
    other.run("SELECT INBOX").await.ok();
    other.run("STORE 1 +FLAGS (\\Deleted)").await.ok();
    assert_eq!(c.line().await, "* 1 FETCH (UID 1 FLAGS (\\Deleted))");
    other.run("EXPUNGE").await.ok();
    assert_eq!(c.line().await, "* 1 EXPUNGE");
    // With -DELAYED expunges wait for a command that may tell them.
    c.run("NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange))").await.ok();
    other.append("INBOX (\\Deleted)", MESSAGE).await.ok();
    assert_eq!(c.line().await, "* 1 EXISTS");
    other.run("EXPUNGE").await.ok();
    c.run("SEARCH ALL").await.ok().lacks("1 EXPUNGE");
    c.run("NOOP").await.ok().has("1 EXPUNGE");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_make_no_sense_are_refused() {
    let server = Server::start().await;
    let mut c = server.login().await;
    let answer = c.run("NOTIFY SET (personal (MessageNew MessageExpunge AnnotationChange))").await.is("NO [BADEVENT (");
    assert!(answer.code().contains("MailboxName"));
    c.run("NOTIFY SET (personal (MessageNew))").await.is("BAD Syntax error: expected MessageNew and MessageExpunge");
    c.run("NOTIFY SET (personal (FlagChange))").await.is("BAD");
    c.run("NOTIFY SET (selected (MailboxName))").await.is("BAD");
    c.run("NOTIFY SET (personal (MessageNew (UID) MessageExpunge))").await.is("BAD");
    c.run("NOTIFY SET (everywhere (MailboxName))").await.is("BAD");
}
