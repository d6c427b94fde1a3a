//! METADATA (RFC 5464), LIST-METADATA (RFC 9590), and how NOTIFY tells of changes.

use crate::service::server::{MESSAGE, Server};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_is_told_until_it_is_taken_away() {
    let server = Server::start().await;
    let (mut c, mut other) = (server.login().await, server.login().await);
    let capabilities = c.run("CAPABILITY").await.ok();
    let words: Vec<&str> = capabilities.find("CAPABILITY").split(' ').collect();
    assert!(words.contains(&"METADATA") && words.contains(&"LIST-METADATA"), "{words:?}");
    c.run("CREATE &AOQ-b").await.ok();
    for mailbox in ["\"\"", "INBOX", "&AOQ-b"] {
        let get = |entry: &str| format!("GETMETADATA {mailbox} {entry}");
        let told = format!("METADATA \"{}\" ", mailbox.trim_matches('"'));
        c.run(get("/private/comment")).await.ok().has(&format!("{told}(/private/comment NIL)"));
        c.run(format!("SETMETADATA {mailbox} (/private/comment \"a \\\"b\\\"\" /PRIVATE/x \"\")")).await.ok();
        for client in [&mut c, &mut other] {
            let answer = client.run(get("(/private/comment /private/X /Private/Comment)")).await.ok();
            answer.has(&format!("{told}(/private/comment \"a \\\"b\\\"\" /private/X \"\")"));
        }
        c.run(format!("SETMETADATA {mailbox} (\"/private/two words\" {{3+}}\r\n\r\nx)")).await.ok();
        c.run(get("\"/private/two words\"")).await.ok().has(&format!("{told}(\"/private/two words\" {{3}}\r\n\r\nx)"));
        c.run(format!("SETMETADATA {mailbox} (/private/comment NIL /private/none NIL)")).await.ok();
        c.run(get("/private/comment")).await.ok().has(&format!("{told}(/private/comment NIL)"));
        c.run(get("(DEPTH 1) /private/none")).await.ok().lacks("METADATA");
    }
    for mailbox in ["nowhere", "\"a//b\""] {
        c.run(format!("GETMETADATA {mailbox} /private/comment")).await.is("NO [");
        c.run(format!("SETMETADATA {mailbox} (/private/comment NIL)")).await.is("NO [");
    }
    c.run("GETMETADATA nowhere /private/comment").await.is("NO [NONEXISTENT]");
    let (mut stranger, _) = crate::service::client::Client::connect(server.address).await;
    stranger.run("GETMETADATA \"\" /private/comment").await.is("BAD");
    stranger.run("SETMETADATA \"\" (/private/comment NIL)").await.is("BAD");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_hold_any_bytes() {
    let server = Server::start().await;
    let mut c = server.login().await;
    let all: Vec<u8> = (0..=255).collect();
    c.run([b"SETMETADATA INBOX (/private/all ~{256+}\r\n", &all[..], b" /shared/text \"x\")"].concat()).await.ok();
    let tag = c.start("GETMETADATA INBOX (/private/all /shared/text)").await;
    let start = b"* METADATA \"INBOX\" (/private/all ~{256}\r\n";
    assert_eq!(c.bytes(start.len()).await, start);
    assert_eq!(c.bytes(256).await, all);
    assert_eq!(c.bytes(20).await, b" /shared/text \"x\")\r\n");
    c.finish(&tag).await.ok();
    // Without NUL it is an ordinary literal, whichever way it came.
    c.run("SETMETADATA INBOX (/private/all ~{2+}\r\n\r\n)").await.ok();
    c.run("GETMETADATA INBOX /private/all").await.ok().has("METADATA \"INBOX\" (/private/all {2}\r\n\r\n)");
    c.run(b"SETMETADATA INBOX (/private/all {1+}\r\n\0)").await.is("BAD");
    c.run("GETMETADATA INBOX /private/all").await.ok().has("METADATA \"INBOX\" (/private/all {2}\r\n\r\n)");
    // One that waits for the go-ahead.
    let tag = c.start("SETMETADATA INBOX (/private/all {5}").await;
    assert!(c.line().await.starts_with('+'));
    c.send("hello)\r\n").await;
    c.finish(&tag).await.ok();
    c.run("GETMETADATA INBOX /private/all").await.ok().has("METADATA \"INBOX\" (/private/all \"hello\")");
}

#[tokio::test(flavor = "multi_thread")]
async fn depth_and_size_choose_what_is_told() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.run("SETMETADATA Archive (/private/f/a \"1\" /private/f/a/x \"22\" /private/f/b \"333\" /private/fb \"4\" /shared/f \"5\")")
        .await
        .ok();
    let (f_a, f_ax, f_b) = ("/private/f/a \"1\"", "/private/f/a/x \"22\"", "/private/f/b \"333\"");
    for (ask, told) in [
        ("(DEPTH 0) Archive /private/f", "/private/f NIL".to_owned()),
        ("(DEPTH 1) Archive /private/f", format!("{f_a} {f_b}")),
        ("Archive (DEPTH 1) (/private/f)", format!("{f_a} {f_b}")),
        ("(DEPTH infinity) Archive /private/f", format!("{f_a} {f_ax} {f_b}")),
        ("(DEPTH infinity) Archive (/private/f/a /private/f)", format!("{f_a} {f_ax} {f_b}")),
        ("(DEPTH infinity) Archive /shared", "/shared/f \"5\"".to_owned()),
        ("(MAXSIZE 3 DEPTH infinity) Archive /private/f", format!("{f_a} {f_ax} {f_b}")),
    ] {
        let answer = c.run(format!("GETMETADATA {ask}")).await.ok().has(&format!("METADATA \"Archive\" ({told})"));
        assert_eq!((answer.untagged.len(), answer.tagged.contains('[')), (1, false), "{answer:?}");
    }
    let answer =
        c.run("GETMETADATA (MAXSIZE 1 DEPTH infinity) Archive /private/f").await.is("OK [METADATA LONGENTRIES 3]");
    answer.has(&format!("METADATA \"Archive\" ({f_a})"));
    c.run("GETMETADATA (MAXSIZE 0) Archive /private/f/a").await.is("OK [METADATA LONGENTRIES 1]").lacks("METADATA");
    c.run("GETMETADATA (DEPTH 2) Archive /private").await.is("BAD");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_have_codes_of_their_own_and_leave_all_as_it_was() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.run("SETMETADATA INBOX (/private/a \"before\")").await.ok();
    let (most, above) = ("x".repeat(65_536), "x".repeat(65_537));
    // Told before the literal comes, and to those who do not wait for it, too.
    c.run("SETMETADATA INBOX (/private/a {65537}").await.is("NO [METADATA MAXSIZE 65536]");
    c.run(format!("SETMETADATA INBOX (/private/a {{65537+}}\r\n{above})")).await.is("NO [METADATA MAXSIZE 65536]");
    c.run(format!("SETMETADATA INBOX (/private/b \"1\" /private/a \"{above}\")"))
        .await
        .is("NO [METADATA MAXSIZE 65536]");
    let entries = |count: usize| (0..count).map(|n| format!("/private/n{n} \"\"")).collect::<Vec<_>>().join(" ");
    c.run(format!("SETMETADATA INBOX ({})", entries(100))).await.is("NO [METADATA TOOMANY]");
    c.run("GETMETADATA (DEPTH infinity) INBOX /private").await.ok().has("METADATA \"INBOX\" (/private/a \"before\")");
    c.run(format!("SETMETADATA INBOX ({})", entries(99))).await.ok();
    c.run("SETMETADATA INBOX (/private/z \"\")").await.is("NO [METADATA TOOMANY]");
    c.run("SETMETADATA INBOX (/private/n1 NIL /private/z \"\")").await.ok();
    for n in 0..15 {
        c.run(format!("SETMETADATA Archive (/private/n{n} {{65536+}}\r\n{most})")).await.ok();
    }
    c.run(format!("SETMETADATA Archive (/private/n15 {{65536+}}\r\n{most})")).await.is("NO [LIMIT]");
    c.run("GETMETADATA Archive (MAXSIZE 9) (/private/n3 /private/n15)")
        .await
        .is("OK [METADATA LONGENTRIES 65536]")
        .has("METADATA \"Archive\" (/private/n15 NIL)");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_of_the_server_is_the_operators() {
    let server = Server::start().await;
    let mut c = server.login().await;
    let admin = "METADATA \"\" (/shared/admin \"mailto:postmaster@example.org\")";
    c.run("GETMETADATA \"\" /shared/admin").await.ok().has(admin);
    c.run("GETMETADATA (DEPTH infinity) \"\" /shared").await.ok().has(admin);
    c.run("GETMETADATA \"\" (/shared/comment)").await.ok().has("METADATA \"\" (/shared/comment NIL)");
    c.run("GETMETADATA INBOX /shared/admin").await.ok().has("METADATA \"INBOX\" (/shared/admin NIL)");
    for entry in ["/shared/admin", "/shared/comment", "/SHARED/vendor/x"] {
        c.run(format!("SETMETADATA \"\" (/private/a \"1\" {entry} \"x\")")).await.is("NO [NOPERM]");
        c.run(format!("SETMETADATA \"\" ({entry} NIL)")).await.is("NO [NOPERM]");
    }
    c.run("GETMETADATA \"\" /private/a").await.ok().has("METADATA \"\" (/private/a NIL)");
    c.run("SETMETADATA INBOX (/shared/comment \"mine\")").await.ok();
    c.run("GETMETADATA INBOX /shared/comment").await.ok().has("METADATA \"INBOX\" (/shared/comment \"mine\")");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_follows_its_mailbox_and_touches_no_message() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.append("Archive", MESSAGE).await.ok();
    let status = "STATUS Archive (MESSAGES UIDVALIDITY UIDNEXT HIGHESTMODSEQ)";
    let before = c.run(status).await.ok().untagged;
    c.run("SETMETADATA Archive (/private/comment \"old mail\")").await.ok();
    assert_eq!(c.run(status).await.ok().untagged, before);
    c.run("RENAME Archive Old/Mail").await.ok();
    c.run("GETMETADATA Old/Mail /private/comment")
        .await
        .ok()
        .has("METADATA \"Old/Mail\" (/private/comment \"old mail\")");
    c.run("DELETE Old/Mail").await.ok();
    c.run("CREATE Old/Mail").await.ok();
    c.run("GETMETADATA Old/Mail /private/comment").await.ok().has("METADATA \"Old/Mail\" (/private/comment NIL)");
    // The special use is an entry, too (RFC 6154 section 4).
    c.run("GETMETADATA Junk /private/specialuse")
        .await
        .ok()
        .has("METADATA \"Junk\" (/private/specialuse \"\\\\Junk\")");
    c.run("GETMETADATA Old/Mail /private/specialuse").await.ok().has("METADATA \"Old/Mail\" (/private/specialuse NIL)");
    c.run("SETMETADATA Old/Mail (/private/specialuse \"\\\\Junk\")").await.is("NO [USEATTR]");
    c.run("SETMETADATA Junk (/private/specialuse NIL)").await.ok();
    c.run("SETMETADATA Old/Mail (/private/specialuse \"\\\\Junk\")").await.ok();
    c.run("LIST (SPECIAL-USE) \"\" Old/*").await.ok().has("LIST (\\HasNoChildren \\Junk) \"/\" \"Old/Mail\"");
    c.run("SETMETADATA INBOX (/private/specialuse \"\\\\Junk\")").await.is("NO [CANNOT]");
}

#[tokio::test(flavor = "multi_thread")]
async fn list_returns_metadata_of_the_mailboxes_it_shows() {
    let server = Server::start().await;
    let mut c = server.login().await;
    c.run("CREATE a/b/c").await.ok();
    c.run("DELETE a/b").await.ok();
    c.run("SETMETADATA a (/shared/vendor/color \"#b71c1c\")").await.ok();
    c.run("SETMETADATA a/b/c (/private/comment ~{1+}\r\n\0)").await.ok();
    let answer =
        c.run("LIST \"\" a* RETURN (STATUS (MESSAGES) METADATA (/shared/vendor/color /private/comment))").await.ok();
    assert_eq!(
        answer.untagged,
        [
            "LIST (\\HasChildren) \"/\" \"a\"",
            "STATUS \"a\" (MESSAGES 0)",
            "METADATA \"a\" (/shared/vendor/color \"#b71c1c\" /private/comment NIL)",
            "LIST (\\NonExistent \\HasChildren) \"/\" \"a/b\"",
            "LIST (\\HasNoChildren) \"/\" \"a/b/c\"",
            "STATUS \"a/b/c\" (MESSAGES 0)",
            "METADATA \"a/b/c\" (/shared/vendor/color NIL /private/comment ~{1}\r\n\0)",
        ]
    );
    c.run("LIST (SPECIAL-USE) \"\" % RETURN (METADATA \"/private/specialuse\")")
        .await
        .ok()
        .has("METADATA \"Sent\" (/private/specialuse \"\\\\Sent\")")
        .lacks("METADATA \"a\"");
    c.run("LIST \"\" % RETURN (METADATA (comment))").await.is("BAD");
}

#[tokio::test(flavor = "multi_thread")]
async fn notify_tells_which_entries_others_have_changed() {
    let server = Server::start().await;
    let (mut c, mut other) = (server.login().await, server.login().await);
    other.run("SETMETADATA Archive (/private/a \"1\" /private/b \"1\")").await.ok();
    c.run("NOTIFY SET (mailboxes (Archive) (MailboxMetadataChange)) (inboxes (ServerMetadataChange))").await.ok();
    // Own changes are known.
    c.run("SETMETADATA Archive (/private/own \"1\")").await.ok().lacks("METADATA");
    c.run("SETMETADATA \"\" (/private/own \"1\")").await.ok().lacks("METADATA");
    c.run("SETMETADATA Archive (/private/specialuse NIL)").await.ok().lacks("METADATA");
    c.run("NOOP").await.ok().lacks("METADATA");
    other.run("SETMETADATA INBOX (/private/a \"1\")").await.ok();
    other.run("SETMETADATA Archive (/private/b \"2\" /private/a NIL /private/c \"1\")").await.ok();
    assert_eq!(c.line().await, "* METADATA \"Archive\" /private/a /private/b /private/c");
    other.run("SETMETADATA \"\" (\"/private/x y\" \"1\")").await.ok();
    assert_eq!(c.line().await, "* METADATA \"\" \"/private/x y\"");
    other.run("SETMETADATA Archive (/private/specialuse \"\\\\Archive\")").await.ok();
    assert_eq!(c.line().await, "* METADATA \"Archive\" /private/specialuse");
    c.run("NOTIFY SET (selected (MailboxMetadataChange))").await.is("BAD");
    c.run("NOTIFY NONE").await.ok();
    other.run("SETMETADATA Archive (/private/b \"3\")").await.ok();
    c.run("NOOP").await.ok().lacks("METADATA");
}
