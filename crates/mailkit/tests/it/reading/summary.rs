//! What a message list shows: names, subjects, previews, conversations.

use mailkit::{Parsed, parse};

fn of(raw: &str) -> Parsed {
    parse(raw.as_bytes())
}

#[test]
fn envelope_keeps_raw_values_and_fills_what_is_missing() {
    let parsed = of("Date: Mon, 23 Nov 2026 14:50:10 +0000\r\n\
        From: =?utf-8?q?J=C3=B6?= <jo@x.org>\r\n\
        Subject: Re: =?utf-8?q?gr=C3=BCn?=\r\n und blau\r\n\
        To: Team: a@b, c@d;\r\n\
        Message-ID: <id@x>\r\n\
        In-Reply-To: your message <p@x>\r\n\
        References: <o@x>\r\n <p@x>\r\n\r\nHello\r\n> quoted\r\nworld");
    let envelope = &parsed.envelope;
    assert_eq!(envelope.subject.as_deref(), Some(&b"Re: =?utf-8?q?gr=C3=BCn?= und blau"[..]));
    assert_eq!(envelope.sender, envelope.from);
    assert_eq!(envelope.reply_to, envelope.from);
    assert_eq!(envelope.to.len(), 4);
    assert_eq!(envelope.message_id.as_deref(), Some(&b"<id@x>"[..]));
    assert_eq!(parsed.subject, "Re: grün und blau");
    assert_eq!(parsed.base_subject, "grün und blau");
    assert_eq!(parsed.from[0].name, "Jö");
    assert_eq!(parsed.from[0].address, "jo@x.org");
    assert_eq!(parsed.to.len(), 2);
    assert!(parsed.reply_to.is_empty());
    assert_eq!(parsed.message_id, "id@x");
    assert_eq!(parsed.references, ["o@x", "p@x"]);
    assert_eq!(parsed.date_ms, Some(1_795_445_410_000));
    assert_eq!(parsed.preview, "Hello world");
    assert!(parsed.is_reply);
    assert!(!parsed.has_attachment);
}

#[test]
fn several_from_fields_hide_nobody() {
    let parsed = of("From: a@b\r\nFrom: c@d\r\nSubject: one\r\nSubject: two\r\n\r\n");
    assert_eq!(parsed.from.len(), 2);
    assert_eq!(parsed.subject, "one");
}

#[test]
fn previews_come_from_html_where_there_is_no_text() {
    let parsed = of("Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        <html><head><style>p { color: red }</style><title>t</title></head>\
        <body><p>Dear =C3=BC,</p><p>welcome &amp; hello</p></body></html>");
    assert_eq!(parsed.preview, "Dear ü, welcome & hello");
}

#[test]
fn previews_are_short() {
    let parsed = of(&format!("\r\n{}", "word ".repeat(10_000)));
    assert!(parsed.preview.chars().count() <= 256);
    assert!(parsed.preview.starts_with("word word"));
}

#[test]
fn attachments_are_what_people_would_call_so() {
    let with = |parts: &str| {
        of(&format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n{parts}--b--\r\n"))
            .has_attachment
    };
    assert!(!with(""));
    assert!(with("--b\r\nContent-Type: application/pdf\r\n\r\nx\r\n"));
    assert!(with("--b\r\nContent-Disposition: attachment\r\n\r\nx\r\n"));
    assert!(with("--b\r\nContent-Type: text/plain; name=a.txt\r\n\r\nx\r\n"));
    assert!(with("--b\r\nContent-Type: message/rfc822\r\n\r\n\r\n"));
    assert!(!with("--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n"));
    assert!(!with("--b\r\nContent-Type: text/plain\r\n\r\nfooter\r\n"));
    // The page of a plain text shows no pictures, so it lists them.
    assert!(with("--b\r\nContent-Type: image/png\r\nContent-Disposition: inline\r\nContent-ID: <i>\r\n\r\nx\r\n"));
}

#[test]
fn long_reference_lists_keep_their_ends() {
    let ids: Vec<_> = (0..500).map(|n| format!("<{n}@x>")).collect();
    let parsed = of(&format!("References: {}\r\n\r\n", ids.join("\r\n ")));
    assert_eq!(parsed.references.len(), 100);
    assert_eq!(parsed.references[0], "0@x");
    assert_eq!(parsed.references[99], "499@x");
}

#[test]
fn the_listed_header_answers_as_the_whole_header_would() {
    let raw = b"Received: from a\r\n by b\r\nFROM: x@y.z\r\nSubject: folded\r\n over two\r\nno colon here\r\nSubject: again\r\n\
                X-Other: o\r\nReferences: <a@b>\r\n\r\nSubject: not this\r\n";
    let parsed = mailkit::parse(raw);
    let stored = parsed.to_bytes();
    let listed = mailkit::Parsed::listed_header_of(stored.clone().into()).expect("a record").expect("short enough");
    assert_eq!(parsed.listed_header.as_deref(), Some(&listed[..]));
    for names in [&["subject"][..], &["From", "Date"], &["References", "Subject"], &mailkit::parse::LISTED_FIELDS] {
        let whole = mailkit::headers::select(&raw[..parsed.root.body_start as usize], names, false);
        assert_eq!(mailkit::headers::select(&listed, names, false), whole, "{names:?}");
    }
    let structure = mailkit::Parsed::structure_of(stored.clone().into()).expect("a record");
    assert_eq!((structure.size, &structure.root), (parsed.size, &parsed.root));
    assert_eq!(mailkit::Parsed::envelope_of(stored.into()).expect("a record"), parsed.envelope);
    let long = format!("References: {}\r\n\r\n", "<a@b>\r\n ".repeat(2_000));
    assert_eq!(mailkit::parse(long.as_bytes()).listed_header, None);
}

#[test]
fn previews_keep_blocks_apart_and_leave_out_what_is_not_seen() {
    for (html, preview) in [
        ("<div>Big sale</div><div>Dear customer</div>", "Big sale Dear customer"),
        ("<h1>Big sale</h1>Dear customer", "Big sale Dear customer"),
        ("<table><tr><td>Big sale</td><td>Dear</td></tr><tr><td>customer</td></tr></table>", "Big sale Dear customer"),
        ("<ul><li>Big sale</li><li>Dear customer</li></ul>", "Big sale Dear customer"),
        ("Big sale<br>Dear<br/>customer", "Big sale Dear customer"),
        ("<p>Big sale<p>Dear customer", "Big sale Dear customer"),
        ("Big <b>sa</b>le <a href=x>Dear</a> customer", "Big sale Dear customer"),
        ("<title>t</title><style>p{}</style><script>x</script><p>Big sale</p>", "Big sale"),
        ("<!-- note --><p>Big&nbsp;sale &amp; &#8364;5 &eacute;</p>", "Big sale & €5 é"),
        (
            "<section>Big sale</section><article>Dear</article><blockquote>customer</blockquote>",
            "Big sale Dear customer",
        ),
        ("<div style=\"display: none\">Hid<div>den</div></div><p>Big sale</p>", "Big sale"),
        ("<span style='font-size:1px;DISPLAY:none'>Hidden</span>Big sale", "Big sale"),
        ("<div hidden>Hidden</div>Big sale", "Big sale"),
        ("<head><title>t</title><body>Big sale", "Big sale"),
        ("<p>1 < 2 and 3 > 2</p>", "1 < 2 and 3 > 2"),
        ("<center>Big sale</center><hr>Dear customer", "Big sale Dear customer"),
    ] {
        let parsed = of(&format!("Content-Type: text/html; charset=utf-8\r\n\r\n<html><body>{html}</body></html>"));
        assert_eq!(parsed.preview, preview, "{html}");
    }
}
