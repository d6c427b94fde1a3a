//! CREATE, DELETE, RENAME, SUBSCRIBE, LIST, LSUB, STATUS, SELECT, NAMESPACE, QUOTA.

use crate::service::server::{MESSAGE, Server};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_account_has_the_standard_mailboxes_with_their_uses() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.run("LIST \"\" *")
        .await
        .ok()
        .has("LIST (\\HasNoChildren) \"/\" \"INBOX\"")
        .has("LIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"")
        .has("LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"")
        .has("LIST (\\HasNoChildren \\Archive) \"/\" \"Archive\"")
        .has("LIST (\\HasNoChildren \\Junk) \"/\" \"Junk\"")
        .has("LIST (\\HasNoChildren \\Trash) \"/\" \"Trash\"");
    c.run("LIST \"\" \"\"").await.ok().has("LIST (\\Noselect) \"/\" \"\"");
    c.run("LIST (SPECIAL-USE) \"\" %").await.ok().lacks("LIST (\\HasNoChildren) \"/\" \"INBOX\"");
    c.run("NAMESPACE").await.ok().has("NAMESPACE ((\"\" \"/\")) NIL NIL");
}

#[tokio::test(flavor = "multi_thread")]
async fn mailboxes_are_made_renamed_and_deleted() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.run("CREATE Lists/rust").await.ok();
    c.run("CREATE Lists/rust").await.is("NO [ALREADYEXISTS]");
    c.run("CREATE inbox").await.is("NO [ALREADYEXISTS]");
    c.run("CREATE \"a//b\"").await.is("NO [CANNOT]");
    c.run("LIST \"\" %")
        .await
        .ok()
        .has("LIST (\\HasChildren) \"/\" \"Lists\"")
        .lacks("LIST (\\HasNoChildren) \"/\" \"Lists/rust\"");
    c.run("RENAME Lists Groups").await.ok();
    c.run("LIST \"\" Groups/*").await.ok().has("LIST (\\HasNoChildren) \"/\" \"Groups/rust\"");
    c.run("RENAME Groups Sent").await.is("NO [ALREADYEXISTS]");
    c.run("RENAME nowhere x").await.is("NO [NONEXISTENT]");
    c.run("DELETE Groups").await.ok();
    c.run("LIST \"\" %").await.ok().has("LIST (\\NonExistent \\Noselect \\HasChildren) \"/\" \"Groups\"");
    c.run("DELETE Groups/rust").await.ok();
    c.run("LIST \"\" Groups*").await.ok().lacks("LIST");
    c.run("DELETE Groups/rust").await.is("NO [NONEXISTENT]");
    c.run("DELETE INBOX").await.is("NO [CANNOT]");
    c.run("SELECT nowhere").await.is("NO [NONEXISTENT]");
}

#[tokio::test(flavor = "multi_thread")]
async fn create_takes_a_special_use_once() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.run("CREATE Sent2 (USE (\\Sent))").await.is("NO [USEATTR]");
    c.run("CREATE x (USE (\\Bogus))").await.is("NO [USEATTR]");
    c.run("DELETE Junk").await.ok();
    c.run("CREATE Spam (USE (\\Junk))").await.is("OK [MAILBOXID (");
    c.run("LIST (SPECIAL-USE) \"\" Spam RETURN (SPECIAL-USE)")
        .await
        .ok()
        .has("LIST (\\HasNoChildren \\Junk) \"/\" \"Spam\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_travel_as_modified_utf7_until_utf8_is_enabled() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.run("CREATE \"Entw&APw-rfe &- mehr\"").await.ok();
    c.run("CREATE \"broken &zz\"").await.is("NO [CANNOT]");
    c.run("LIST \"\" Entw*").await.ok().has("LIST (\\HasNoChildren) \"/\" \"Entw&APw-rfe &- mehr\"");
    c.run("ENABLE UTF8=ACCEPT").await.ok().has("ENABLED UTF8=ACCEPT");
    c.run("LIST \"\" Entw*").await.ok().has("LIST (\\HasNoChildren) \"/\" \"Entw\u{fc}rfe & mehr\"");
    c.run("STATUS \"Entw\u{fc}rfe & mehr\" (MESSAGES)").await.ok().has("STATUS \"Entw\u{fc}rfe & mehr\" (MESSAGES 0)");
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_kept_by_name() {
    let server = Server::start().await;
    let mut c = server.login().await;
    for name in ["INBOX", "Drafts", "Sent", "Archive", "Junk", "Trash"] {
        c.run(format!("UNSUBSCRIBE {name}")).await.ok();
    }
    c.run("LSUB \"\" *").await.ok().lacks("LSUB");
    c.run("CREATE a/b").await.ok();
    c.run("SUBSCRIBE a/b").await.ok();
    c.run("SUBSCRIBE gone/away").await.ok();
    c.run("LSUB \"\" *").await.ok().has("LSUB () \"/\" \"a/b\"").has("LSUB () \"/\" \"gone/away\"");
    c.run("LSUB \"\" %").await.ok().has("LSUB (\\Noselect) \"/\" \"a\"");
    c.run("LIST (SUBSCRIBED) \"\" *")
        .await
        .ok()
        .has("LIST (\\Subscribed \\HasNoChildren) \"/\" \"a/b\"")
        .has("LIST (\\NonExistent \\Subscribed \\HasNoChildren) \"/\" \"gone/away\"")
        .lacks("LIST (\\HasNoChildren) \"/\" \"INBOX\"");
    c.run("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %")
        .await
        .ok()
        .has("LIST (\\HasChildren) \"/\" \"a\" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
    c.run("LIST \"\" a* RETURN (SUBSCRIBED CHILDREN)")
        .await
        .ok()
        .has("LIST (\\HasChildren) \"/\" \"a\"")
        .has("LIST (\\Subscribed \\HasNoChildren) \"/\" \"a/b\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_counts_and_list_status_agree() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.append("INBOX (\\Seen)", MESSAGE).await.ok();
    c.append("INBOX", MESSAGE).await.ok();
    c.append("INBOX (\\Deleted)", MESSAGE).await.ok();
    let size = MESSAGE.len() * 3;
    let line = format!("STATUS \"INBOX\" (MESSAGES 3 UNSEEN 2 DELETED 1 SIZE {size} UIDNEXT 4)");
    c.run("STATUS inbox (MESSAGES UNSEEN DELETED SIZE UIDNEXT)").await.ok().has(&line);
    c.run("LIST \"\" INBOX RETURN (STATUS (MESSAGES UNSEEN DELETED SIZE UIDNEXT))").await.ok().has(&line);
    let answer = c.run("STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ MAILBOXID APPENDLIMIT)").await.ok();
    assert!(answer.find("STATUS").contains("MAILBOXID (m"), "{answer:?}");
    c.run("STATUS nowhere (MESSAGES)").await.is("NO [NONEXISTENT]");
    c.run("STATUS INBOX (BOGUS)").await.is("BAD Syntax error");
}

#[tokio::test(flavor = "multi_thread")]
async fn select_tells_what_a_client_must_know() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.append("INBOX (\\Seen $Work)", MESSAGE).await.ok();
    c.append("INBOX", MESSAGE).await.ok();
    let answer = c.run("SELECT INBOX").await.is("OK [READ-WRITE]");
    let answer = answer.has("FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Work)").has("2 EXISTS");
    assert!(answer.find("OK [PERMANENTFLAGS (").contains("\\*"));
    assert!(answer.find("OK [UNSEEN 2]").len() > 1);
    assert!(answer.find("OK [UIDNEXT 3]").len() > 1);
    answer.find("OK [UIDVALIDITY ");
    answer.find("OK [HIGHESTMODSEQ ");
    answer.find("OK [MAILBOXID (m");
    let answer = c.run("EXAMINE Sent").await.is("OK [READ-ONLY]").has("0 EXISTS");
    answer.find("OK [CLOSED]");
    answer.find("OK [PERMANENTFLAGS ()]");
    c.run("UNSELECT").await.ok();
    c.run("FETCH 1 FLAGS").await.is("BAD No mailbox selected");
}

#[tokio::test(flavor = "multi_thread")]
async fn rev2_changes_what_select_and_search_answer() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.append("INBOX", MESSAGE).await.ok();
    c.run("ENABLE IMAP4rev2 BOGUS").await.ok().has("ENABLED IMAP4rev2");
    c.run("SELECT INBOX").await.ok().has("1 EXISTS").has("LIST () \"/\" \"INBOX\"").lacks("OK [UNSEEN");
    let answer = c.run("SEARCH ALL").await.ok();
    assert!(answer.find("ESEARCH (TAG \"t").ends_with("ALL 1"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_examined_mailbox_can_not_be_changed() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.append("INBOX (\\Deleted)", MESSAGE).await.ok();
    c.run("EXAMINE INBOX").await.ok();
    c.run("STORE 1 +FLAGS (\\Seen)").await.is("NO [NOPERM]");
    c.run("EXPUNGE").await.is("NO [NOPERM]");
    c.run("MOVE 1 Trash").await.is("NO [NOPERM]");
    c.run("FETCH 1 BODY[TEXT]").await.ok();
    c.run("FETCH 1 FLAGS").await.ok().has("1 FETCH (FLAGS (\\Deleted))");
    c.run("CLOSE").await.ok();
    c.run("STATUS INBOX (MESSAGES)").await.ok().has("STATUS \"INBOX\" (MESSAGES 1)");
}

#[tokio::test(flavor = "multi_thread")]
async fn quota_is_told() {
    let server = Server::start().await;
    let mut c = server.login().await;
    let answer = c.run("GETQUOTAROOT INBOX").await.ok().has("QUOTAROOT \"INBOX\" \"\"");
    answer.find("QUOTA \"\" (");
    c.run("GETQUOTA \"\"").await.ok();
    c.run("GETQUOTA other").await.is("NO [NONEXISTENT]");
    c.run("SETQUOTA \"\" (STORAGE 5)").await.is("NO [NOPERM]");
}
