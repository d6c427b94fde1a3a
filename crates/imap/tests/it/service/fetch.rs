//! FETCH: every item, every form of section, also of broken mail.

use crate::service::client::Client;
use crate::service::server::{MESSAGE, Server};

const MULTIPART: &str = "From: Ann <ann@example.org>\r\nTo: a@b.c, Bob <bob@example.com>\r\nSubject: parts\r\n\
Message-ID: <1@example.org>\r\nDate: Mon, 1 Jun 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\npreamble\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n--b\r\nContent-Type: application/octet-stream\r\n\
Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"x.bin\"\r\n\r\nAAEC/w==\r\n--b\r\n\
Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nFrom: c@d.e\r\n\r\ninner text\r\n--b\r\n\
Content-Type: text/plain\r\nContent-Transfer-Encoding: x-strange\r\n\r\n???\r\n--b--\r\n";

async fn with(server: &Server, message: &[u8]) -> Client {
    let mut c = server.login().await;
    c.append("INBOX \"17-Jul-1996 02:44:25 +0000\"", message).await.ok();
    c.run("SELECT INBOX").await.ok();
    c
}

#[tokio::test(flavor = "multi_thread")]
async fn simple_items_and_macros() {
    let server = Server::start().await;
    let mut c = with(&server, MESSAGE).await;
    let size = MESSAGE.len();
    let fast = format!("FLAGS () INTERNALDATE \"17-Jul-1996 02:44:25 +0000\" RFC822.SIZE {size}");
    c.run("FETCH 1 FAST").await.ok().has(&format!("1 FETCH ({fast})"));
    let envelope = "ENVELOPE (\"Mon, 1 Jun 2026 10:00:00 +0000\" \"hello\" ((\"Ann\" NIL \"ann\" \"example.org\")) \
                    ((\"Ann\" NIL \"ann\" \"example.org\")) ((\"Ann\" NIL \"ann\" \"example.org\")) \
                    ((NIL NIL \"user\" \"example.org\")) NIL NIL NIL \"<m1@example.org>\")";
    c.run("FETCH 1 ALL").await.ok().has(&format!("1 FETCH ({fast} {envelope})"));
    let body = "BODY (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 13 1)";
    c.run("FETCH 1 FULL").await.ok().has(&format!("1 FETCH ({fast} {envelope} {body})"));
    c.run("UID FETCH 1 (EMAILID THREADID)").await.ok().has("1 FETCH (UID 1 EMAILID (e1) THREADID (t1))");
    c.run("FETCH 1 PREVIEW").await.ok().has("1 FETCH (PREVIEW \"hello world\")");
    c.run("FETCH 1 (PREVIEW (LAZY))").await.ok().has("1 FETCH (PREVIEW \"hello world\")");
    c.run("FETCH 2 FLAGS").await.is("BAD No such message: the mailbox has 1 message, not 2");
    c.run("UID FETCH 2:9 FLAGS").await.ok().lacks("1 FETCH");
}

#[tokio::test(flavor = "multi_thread")]
async fn sections_of_every_form() {
    let server = Server::start().await;
    let mut c = with(&server, MULTIPART.as_bytes()).await;
    let header = &MULTIPART[..MULTIPART.find("preamble").unwrap()];
    let text = &MULTIPART[header.len()..];
    let part1 = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n";
    for (item, content) in [
        ("BODY.PEEK[]", MULTIPART),
        ("BODY.PEEK[HEADER]", header),
        ("BODY.PEEK[TEXT]", text),
        ("BODY.PEEK[1]", "Gr=C3=BC=C3=9Fe"),
        ("BODY.PEEK[1.MIME]", part1),
        ("BODY.PEEK[2]", "AAEC/w=="),
        ("BODY.PEEK[3]", "Subject: inner\r\nFrom: c@d.e\r\n\r\ninner text"),
        ("BODY.PEEK[3.HEADER]", "Subject: inner\r\nFrom: c@d.e\r\n\r\n"),
        ("BODY.PEEK[3.TEXT]", "inner text"),
        ("BODY.PEEK[3.1]", "inner text"),
        ("BODY.PEEK[HEADER.FIELDS (Subject X-Gone)]", "Subject: parts\r\n\r\n"),
        ("BODY.PEEK[3.HEADER.FIELDS.NOT (from)]", "Subject: inner\r\n\r\n"),
        ("RFC822.HEADER", header),
    ] {
        let name = item.replace(".PEEK", "");
        let want = format!("1 FETCH ({name} {{{}}}\r\n{content})", content.len());
        c.run(format!("FETCH 1 {item}")).await.ok().has(&want);
    }
    c.run("FETCH 1 BODY.PEEK[1]<3.4>").await.ok().has("1 FETCH (BODY[1]<3> {4}\r\nC3=B)");
    c.run("FETCH 1 BODY.PEEK[1]<99.4>").await.ok().has("1 FETCH (BODY[1]<99> {0}\r\n)");
    c.run("FETCH 1 BODY.PEEK[9]").await.ok().has("1 FETCH (BODY[9] NIL)");
    c.run("FETCH 1 BODY.PEEK[1.HEADER]").await.ok().has("1 FETCH (BODY[1.HEADER] NIL)");
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_undoes_the_transfer_encoding() {
    let server = Server::start().await;
    let mut c = with(&server, MULTIPART.as_bytes()).await;
    c.run("FETCH 1 BINARY.SIZE[1]").await.ok().has("1 FETCH (BINARY.SIZE[1] 7)");
    c.run("FETCH 1 BINARY.PEEK[1]").await.ok().has("1 FETCH (BINARY[1] ~{7}\r\nGr\u{fc}\u{df}e)");
    c.run("FETCH 1 (BINARY.SIZE[2] BINARY.PEEK[2]<1.2>)")
        .await
        .ok()
        .has("1 FETCH (BINARY.SIZE[2] 4 BINARY[2]<1> ~{2}\r\n\u{1}\u{2})");
    c.run("FETCH 1 BINARY.PEEK[4]").await.is("NO [UNKNOWN-CTE]").has("1 FETCH (BINARY[4] NIL)");
}

#[tokio::test(flavor = "multi_thread")]
async fn structure_names_every_part() {
    let server = Server::start().await;
    let mut c = with(&server, MULTIPART.as_bytes()).await;
    let inner = "(NIL \"inner\" ((NIL NIL \"c\" \"d.e\")) ((NIL NIL \"c\" \"d.e\")) ((NIL NIL \"c\" \"d.e\")) NIL NIL NIL NIL \
                 NIL)";
    c.run("FETCH 1 BODYSTRUCTURE").await.ok().has(&format!(
        "1 FETCH (BODYSTRUCTURE ((\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"quoted-printable\" 15 0 NIL NIL NIL \
         NIL)(\"application\" \"octet-stream\" NIL NIL NIL \"base64\" 8 NIL (\"attachment\" (\"filename\" \"x.bin\")) NIL \
         NIL)(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 41 {inner} (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 10 0 NIL NIL NIL \
         NIL) 3 NIL NIL NIL NIL)(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"x-strange\" 3 0 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \
         \"b\") NIL NIL NIL))"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_a_body_sets_seen_and_says_so() {
    let server = Server::start().await;
    let mut c = with(&server, MESSAGE).await;
    let mut other = server.login().await;
    other.run("SELECT INBOX").await.ok();
    c.run("FETCH 1 BODY.PEEK[TEXT]").await.ok().has("1 FETCH (BODY[TEXT] {13}\r\nhello world\r\n)");
    c.run("FETCH 1 FLAGS").await.ok().has("1 FETCH (FLAGS ())");
    let answer = c.run("FETCH 1 (BODY[HEADER.FIELDS (SUBJECT)])").await.ok();
    assert_eq!(
        answer.untagged,
        ["1 FETCH (BODY[HEADER.FIELDS (SUBJECT)] {18}\r\nSubject: hello\r\n\r\n FLAGS (\\Seen))"]
    );
    assert_eq!(other.run("NOOP").await.ok().untagged, ["1 FETCH (UID 1 FLAGS (\\Seen))"]);
    assert_eq!(c.run("NOOP").await.ok().untagged, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_mail_has_a_structure_all_the_same() {
    let server = Server::start().await;
    let mut c = server.login().await;
    let broken: [&[u8]; 6] = [
        b"",
        b"\r\n",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n",
        b"Subject: \xc3\xbc\r\nFrom: <<<>>>,,;\r\nContent-Type: ;;;=\r\n\r\n\x01",
        b"Content-Type: message/rfc822\r\n\r\n",
    ];
    for message in broken {
        c.append("INBOX", message).await.ok();
    }
    c.run("SELECT INBOX").await.ok();
    let answer =
        c.run("FETCH 1:* (ENVELOPE BODY BODYSTRUCTURE PREVIEW BODY.PEEK[1] BODY.PEEK[TEXT] BINARY.SIZE[1])").await.ok();
    assert_eq!(answer.untagged.len(), broken.len(), "{answer:#?}");
    for line in &answer.untagged {
        assert!(balanced(line), "{line}");
    }
}

/// Whether the parentheses outside of strings match. NUL and bytes beyond ASCII are in strings only.
fn balanced(line: &str) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0i32, false, false);
    let mut rest = line.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => depth -= 1,
            b'{' if !quoted => {
                let end = rest.iter().position(|&b| b == b'\n').expect("the end of a literal header");
                let len: usize = std::str::from_utf8(&rest[..end - 2]).expect("digits").parse().expect("a length");
                rest = &rest[end + 1 + len..];
            }
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0 && !quoted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_comes_whole_and_in_order() {
    let server = Server::start().await;
    let mut c = server.login().await;
    for n in 0..300 {
        c.append("INBOX", format!("Subject: n{n}\r\n\r\n{}\r\n", "x".repeat(500)).as_bytes()).await.ok();
    }
    c.run("SELECT INBOX").await.ok().has("300 EXISTS");
    let answer = c.run("FETCH 1:* (UID ENVELOPE BODY.PEEK[])").await.ok();
    assert_eq!(answer.untagged.len(), 300);
    for (n, line) in answer.untagged.iter().enumerate() {
        assert!(line.starts_with(&format!("{} FETCH (UID {} ENVELOPE (NIL \"n{n}\" ", n + 1, n + 1)), "{line}");
    }
    let answer = c.run("UID FETCH 100:200,250 (FLAGS)").await.ok();
    assert_eq!(answer.untagged.len(), 102);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_inside_a_message_is_decoded_where_its_structure_says_that_it_is_encoded() {
    let server = Server::start().await;
    let mut c = server.login().await;
    // `Subject: inner`, an empty line, `hi`.
    let encoded = "U3ViamVjdDogaW5uZXINCg0KaGkNCg==\r\n";
    for (encoding, body, size) in [
        ("base64", encoded, 22),
        ("quoted-printable", "Subject: inner=\r\n\r\n\r\nhi\r\n", 22),
        ("7bit", "Subject: inner\r\n\r\nhi\r\n", 22),
    ] {
        let message = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\r\n{body}\r\n--b--\r\n"
        );
        c.append("INBOX", message.as_bytes()).await.ok();
        c.run("SELECT INBOX").await.ok();
        let answer = c.run("FETCH * (BINARY.SIZE[1] BINARY.PEEK[1])").await.ok();
        let part = answer.find("");
        assert!(part.contains(&format!("BINARY.SIZE[1] {size} ")), "{encoding}: {part}");
        assert!(part.contains("Subject: inner\r\n\r\nhi"), "{encoding}: {part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_of_deleted_messages_is_counted() {
    let server = Server::start().await;
    let mut c = server.login().await;
    for _ in 0..3 {
        c.append("INBOX", MESSAGE).await.ok();
    }
    c.run("STATUS INBOX (DELETED-STORAGE)").await.ok().has("STATUS \"INBOX\" (DELETED-STORAGE 0)");
    c.run("SELECT INBOX").await.ok();
    c.run("STORE 1,3 +FLAGS.SILENT (\\Deleted)").await.ok();
    let bytes = 2 * MESSAGE.len();
    c.run("STATUS INBOX (DELETED DELETED-STORAGE)")
        .await
        .ok()
        .has(&format!("STATUS \"INBOX\" (DELETED 2 DELETED-STORAGE {bytes})"));
    c.run("LIST \"\" INBOX RETURN (STATUS (DELETED-STORAGE))")
        .await
        .ok()
        .has(&format!("STATUS \"INBOX\" (DELETED-STORAGE {bytes})"));
}

/// The same message is stored in one piece, and as header fields above a body: no FETCH tells them apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_a_prefix_answers_as_the_same_bytes_in_one_piece() {
    let above = "Return-Path: <ann@example.org>\r\nReceived: from x\r\n\tby y\r\n";
    let whole = format!("{above}{MULTIPART}");
    let server = Server::start().await;
    let mut c = server.login().await;
    let inbox = server.mailstore.mailbox_by_role(server.realm, mailstore::Role::Inbox).unwrap().unwrap().id;
    let splits = [0, 1, 34, above.len(), whole.find("preamble").unwrap() + 2];
    for split in splits {
        let staged = server.mailstore.stage(&whole.as_bytes()[split..]).unwrap();
        let message = mailstore::NewMessage {
            body: staged.under(whole.as_bytes()[..split].to_vec().into()).unwrap(),
            parsed: std::sync::Arc::new(mailkit::parse(whole.as_bytes())),
            flags: mailstore::Flags::NONE,
            internal_date_ms: 1_795_445_410_000,
            delivery_key: None,
            ignore_quota: false,
        };
        server.mailstore.append(server.realm, inbox, message).await.unwrap();
    }
    c.run("SELECT INBOX").await.ok();
    let mut items: Vec<String> = [
        "RFC822.SIZE",
        "ENVELOPE",
        "BODYSTRUCTURE",
        "PREVIEW",
        "BODY.PEEK[]",
        "BODY.PEEK[HEADER]",
        "BODY.PEEK[TEXT]",
        "BODY.PEEK[1]",
        "BODY.PEEK[1.MIME]",
        "BODY.PEEK[3]",
        "BODY.PEEK[3.HEADER]",
        "BODY.PEEK[3.TEXT]",
        "BODY.PEEK[HEADER.FIELDS (Return-Path Received Subject)]",
        "BODY.PEEK[HEADER.FIELDS.NOT (Received)]",
        "BINARY.PEEK[1]",
        "BINARY.PEEK[2]",
        "BINARY.PEEK[2]<1.2>",
        "BINARY.SIZE[2]",
        "BINARY.PEEK[]",
        "RFC822.HEADER",
    ]
    .map(str::to_owned)
    .into();
    for start in (0..whole.len() + 9).step_by(17).chain([33, 34, above.len() - 1, above.len(), above.len() + 1]) {
        for len in [1, 5, 60, 2_000] {
            items.push(format!("BODY.PEEK[]<{start}.{len}>"));
        }
        items.push(format!("BODY.PEEK[HEADER]<{start}.40>"));
        items.push(format!("BODY.PEEK[TEXT]<{start}.40>"));
    }
    for batch in items.chunks(20) {
        let all = c.run(format!("FETCH 1:{} ({})", splits.len(), batch.join(" "))).await.ok();
        let expected = all.find("1 FETCH (").strip_prefix("1 ").unwrap().to_owned();
        for number in 2..=splits.len() {
            let answer = all.find(&format!("{number} FETCH ("));
            assert_eq!(answer.strip_prefix(&format!("{number} ")).unwrap(), expected, "{batch:?}");
        }
    }
    for (query, found) in [
        (format!("SEARCH SMALLER {}", whole.len() + 1), "SEARCH 1 2 3 4 5"),
        (format!("SEARCH LARGER {}", whole.len()), "SEARCH"),
        ("SEARCH HEADER Return-Path ann".to_owned(), "SEARCH 1 2 3 4 5"),
        ("SEARCH BODY inner".to_owned(), "SEARCH 1 2 3 4 5"),
    ] {
        c.run(query).await.ok().has(found);
    }
}
