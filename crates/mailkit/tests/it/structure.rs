//! The body structure: exact offsets, for good mail and for broken mail.

use mailkit::{Parsed, Part, SectionText, parse};
use proptest::prelude::*;

/// The text of a section.
fn section<'a>(raw: &'a [u8], parsed: &Parsed, path: &[u32], text: SectionText) -> Option<&'a [u8]> {
    let range = parsed.section(path, text)?;
    Some(&raw[range.start as usize..range.end as usize])
}

fn text<'a>(raw: &'a str, parsed: &Parsed, path: &[u32], text: SectionText) -> Option<&'a str> {
    section(raw.as_bytes(), parsed, path, text).map(|bytes| std::str::from_utf8(bytes).unwrap())
}

/// `type/subtype(children)` for the whole tree.
fn outline(part: &Part) -> String {
    let own = part.content_type();
    if part.parts.is_empty() {
        return own;
    }
    let inner: Vec<_> = part.parts.iter().map(outline).collect();
    format!("{own}({})", inner.join(" "))
}

const MIXED: &str = "From: a@b\r\n\
Content-Type: multipart/mixed; boundary=outer\r\n\
\r\n\
preamble\r\n\
--outer\r\n\
\r\n\
one\r\n\
--outer\r\n\
Content-Type: multipart/alternative; boundary=\"inner\"\r\n\
\r\n\
--inner\r\n\
Content-Type: text/plain\r\n\
\r\n\
two\r\n\
lines\r\n\
\r\n\
--inner\r\n\
Content-Type: text/html\r\n\
\r\n\
<p>\r\n\
--inner--\r\n\
epilogue\r\n\
--outer\r\n\
Content-Type: message/rfc822\r\n\
Content-ID: <x>\r\n\
\r\n\
Subject: nested\r\n\
To: c@d\r\n\
Content-Type: multipart/mixed; boundary=deep\r\n\
\r\n\
--deep\r\n\
\r\n\
leaf\r\n\
--deep--\r\n\
--outer--\r\n\
end\r\n";

#[test]
fn sections_of_a_nested_message_are_exact() {
    use SectionText::{Header, Mime, Text, Whole};
    let parsed = parse(MIXED.as_bytes());
    let at = |path: &[u32], what| text(MIXED, &parsed, path, what);
    assert_eq!(
        outline(&parsed.root),
        "multipart/mixed(text/plain multipart/alternative(text/plain text/html) \
         message/rfc822(multipart/mixed(text/plain)))"
    );
    assert_eq!(at(&[], Whole), Some(MIXED));
    assert!(at(&[], Header).unwrap().ends_with("boundary=outer\r\n\r\n"));
    assert!(at(&[], Text).unwrap().starts_with("preamble"));
    assert_eq!(at(&[1], Whole), Some("one"));
    assert_eq!(at(&[1], Mime), Some("\r\n"));
    assert_eq!(at(&[1], Header), None);
    assert_eq!(at(&[2, 1], Whole), Some("two\r\nlines\r\n"));
    assert_eq!(at(&[2, 1], Mime), Some("Content-Type: text/plain\r\n\r\n"));
    assert_eq!(at(&[2, 2], Whole), Some("<p>"));
    assert!(at(&[2], Whole).unwrap().ends_with("--inner--\r\nepilogue"));
    assert!(at(&[3], Whole).unwrap().starts_with("Subject: nested"));
    assert!(at(&[3], Header).unwrap().ends_with("boundary=deep\r\n\r\n"));
    assert_eq!(at(&[3], Text), Some("--deep\r\n\r\nleaf\r\n--deep--"));
    assert_eq!(at(&[3, 1], Whole), Some("leaf"));
    assert_eq!(at(&[3, 2], Whole), None);
    assert_eq!(at(&[4], Whole), None);
    assert_eq!(at(&[0], Whole), None);
    assert_eq!(at(&[1, 1], Whole), None);
    let envelope = parsed.part(&[3]).unwrap().envelope.as_ref().unwrap();
    assert_eq!(envelope.subject.as_deref(), Some(&b"nested"[..]));
    assert_eq!(parsed.part(&[2, 1]).unwrap().lines, 2);
    assert_eq!(parsed.part(&[1]).unwrap().lines, 0);
    assert!(!parsed.truncated);
}

#[test]
fn part_one_of_a_plain_message_is_its_body() {
    let raw = "Subject: x\r\n\r\nbody\r\n";
    let parsed = parse(raw.as_bytes());
    assert_eq!(text(raw, &parsed, &[1], SectionText::Whole), Some("body\r\n"));
    assert_eq!(text(raw, &parsed, &[1], SectionText::Mime), Some("Subject: x\r\n\r\n"));
    assert_eq!(text(raw, &parsed, &[2], SectionText::Whole), None);
    assert_eq!(text(raw, &parsed, &[1, 1], SectionText::Whole), None);
    assert_eq!(parsed.root.lines, 1);
    assert_eq!(parsed.root.param("charset"), Some(&b"us-ascii"[..]));
}

#[test]
fn a_message_that_is_a_forwarded_message_numbers_its_inside() {
    let raw = "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody";
    let parsed = parse(raw.as_bytes());
    assert_eq!(text(raw, &parsed, &[1], SectionText::Header), Some("Subject: in\r\n\r\n"));
    assert_eq!(text(raw, &parsed, &[1, 1], SectionText::Whole), Some("body"));
}

#[test]
fn bare_line_feeds_are_line_ends_too() {
    let raw = MIXED.replace("\r\n", "\n");
    let parsed = parse(raw.as_bytes());
    assert_eq!(text(&raw, &parsed, &[2, 1], SectionText::Whole), Some("two\nlines\n"));
    assert_eq!(text(&raw, &parsed, &[3, 1], SectionText::Whole), Some("leaf"));
}

#[test]
fn a_missing_end_boundary_costs_nothing() {
    let cut = &MIXED[..MIXED.find("--inner--").unwrap()];
    let parsed = parse(cut.as_bytes());
    assert_eq!(text(cut, &parsed, &[2, 2], SectionText::Whole), Some("<p>\r\n"));
    assert_eq!(parsed.size, cut.len() as u64);
}

#[test]
fn an_outer_boundary_ends_unclosed_inner_parts() {
    let raw = MIXED.replace("--inner--\r\nepilogue\r\n", "");
    let parsed = parse(raw.as_bytes());
    assert_eq!(text(&raw, &parsed, &[2, 2], SectionText::Whole), Some("<p>"));
    assert_eq!(text(&raw, &parsed, &[3, 1], SectionText::Whole), Some("leaf"));
}

#[test]
fn a_boundary_inside_a_header_ends_it() {
    let raw = "Content-Type: multipart/mixed; boundary=b\r\n\r\n\
               --b\r\nContent-Type: text/html\r\n--b\r\n\r\nx\r\n--b--";
    let parsed = parse(raw.as_bytes());
    assert_eq!(outline(&parsed.root), "multipart/mixed(text/html text/plain)");
    assert_eq!(text(raw, &parsed, &[1], SectionText::Whole), Some(""));
    assert_eq!(text(raw, &parsed, &[1], SectionText::Mime), Some("Content-Type: text/html"));
    assert_eq!(text(raw, &parsed, &[2], SectionText::Whole), Some("x"));
}

#[test]
fn boundaries_that_begin_alike_are_told_apart() {
    let raw = "Content-Type: multipart/mixed; boundary=a\r\n\r\n\
               --a\r\nContent-Type: multipart/mixed; boundary=a--\r\n\r\n\
               --a--\r\n\r\ninner\r\n--a----\r\n--a\r\n\r\nouter\r\n--a--\r\n";
    let parsed = parse(raw.as_bytes());
    assert_eq!(outline(&parsed.root), "multipart/mixed(multipart/mixed(text/plain) text/plain)");
    assert_eq!(text(raw, &parsed, &[1, 1], SectionText::Whole), Some("inner"));
    assert_eq!(text(raw, &parsed, &[2], SectionText::Whole), Some("outer"));
}

#[test]
fn a_multipart_without_parts_shows_its_body_as_text() {
    for head in ["multipart/mixed; boundary=never", "multipart/mixed"] {
        let raw = format!("Content-Type: {head}\r\n\r\nno parts\r\n");
        let parsed = parse(raw.as_bytes());
        assert_eq!(outline(&parsed.root), "multipart/mixed(text/plain)");
        assert_eq!(text(&raw, &parsed, &[1], SectionText::Whole), Some("no parts\r\n"));
        assert_eq!(parsed.preview, "no parts");
    }
}

#[test]
fn digests_hold_messages_unless_they_say_otherwise() {
    let raw = "Content-Type: multipart/digest; boundary=d\r\n\r\n\
               --d\r\n\r\nSubject: one\r\n\r\nx\r\n--d\r\nContent-Type: text/plain\r\n\r\ny\r\n--d--";
    let parsed = parse(raw.as_bytes());
    assert_eq!(outline(&parsed.root), "multipart/digest(message/rfc822(text/plain) text/plain)");
    assert_eq!(text(raw, &parsed, &[1, 1], SectionText::Whole), Some("x"));
}

#[test]
fn odd_messages_have_a_structure_too() {
    for raw in [
        &b""[..],
        b"\r\n",
        b"\n\n",
        b"no header at all",
        b"\0\0\0",
        b"Subject: x",
        b"\xff\xfe: y\r\n\r\n\xff",
        b"Content-Type: multipart/mixed; boundary=\r\n\r\n--\r\n",
        b"Content-Type: /\r\n\r\nx",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b",
        b"Content-Type: message/rfc822\r\n",
    ] {
        let parsed = parse(raw);
        assert_eq!(parsed.size, raw.len() as u64);
        check(&parsed, raw);
    }
}

#[test]
fn deep_nesting_is_cut_and_said_so() {
    let mut raw = String::new();
    for depth in 0..500 {
        raw += format!("Content-Type: multipart/mixed; boundary=b{depth}\r\n\r\n--b{depth}\r\n").as_str();
    }
    let parsed = parse(raw.as_bytes());
    assert!(parsed.truncated);
    check(&parsed, raw.as_bytes());
    let stored = Parsed::from_bytes(&parsed.to_bytes()).unwrap();
    assert_eq!(stored, parsed);

    let raw = "Content-Type: message/rfc822\r\n\r\n".repeat(500);
    let parsed = parse(raw.as_bytes());
    assert!(parsed.truncated);
    check(&parsed, raw.as_bytes());
    Parsed::from_bytes(&parsed.to_bytes()).unwrap();
}

#[test]
fn a_hundred_thousand_parts_stay_a_small_record() {
    let mut raw = "Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_owned();
    raw.push_str(&"--b\r\nContent-Description: something to keep\r\n\r\nx\r\n".repeat(100_000));
    let parsed = parse(raw.as_bytes());
    assert!(parsed.truncated);
    assert!(parsed.to_bytes().len() < 1024 * 1024);
    check(&parsed, raw.as_bytes());
}

#[test]
fn a_huge_header_stays_a_small_record() {
    let mut raw = String::new();
    for n in 0..20_000 {
        raw += format!("To: Somebody With A Name <address{n}@example.org>\r\n").as_str();
    }
    raw.push_str("\r\nbody");
    let parsed = parse(raw.as_bytes());
    assert!(parsed.to_bytes().len() < 1024 * 1024);
    assert!(parsed.truncated);
    assert_eq!(text(&raw, &parsed, &[1], SectionText::Whole), Some("body"));
}

/// What must hold of every structure.
fn check(parsed: &Parsed, raw: &[u8]) {
    assert_eq!(parsed.root.header_start, 0);
    assert_eq!(parsed.root.body_end, raw.len() as u64);
    check_part(&parsed.root, raw, 0);
}

fn check_part(part: &Part, raw: &[u8], depth: usize) {
    assert!(depth <= 50);
    assert!(part.header_start <= part.body_start && part.body_start <= part.body_end);
    assert!(part.body_end <= raw.len() as u64);
    let body = &raw[part.body_start as usize..part.body_end as usize];
    assert_eq!(part.lines, body.split(|b| *b == b'\n').count() as u64 - 1);
    assert!(!part.media_type.is_empty() && !part.subtype.is_empty() && !part.encoding.is_empty());
    if part.is_multipart() {
        assert!(!part.parts.is_empty());
    } else {
        assert_eq!(part.parts.len(), usize::from(part.is_message()));
    }
    let mut from = part.body_start;
    for child in &part.parts {
        assert!(child.header_start >= from && child.body_end <= part.body_end);
        from = child.body_end;
        check_part(child, raw, depth + 1);
    }
}

/// Pieces that collide in interesting ways.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    const FIXED: &[&str] = &[
        "--a\r\n",
        "--a--\r\n",
        "--ab\n",
        "--ab--\n",
        "\r\n",
        "\n",
        "\r",
        "--",
        "x",
        " ",
        "text\r\n",
        "Content-Type: multipart/mixed; boundary=a\r\n",
        "Content-Type: multipart/digest; boundary=\"ab\"\n",
        "Content-Type: multipart/alternative; boundary=a--\r\n",
        "Content-Type: message/rfc822\r\n",
        "Content-Type: text/html; charset=utf-8\r\n",
        "Content-Transfer-Encoding: base64\r\n",
        "Content-Disposition: attachment; filename*0*=utf-8''%e2; filename*1=x\r\n",
        "Subject: =?utf-8?q?=C3=A4?= x\r\n",
        "To: a@b, G: c@d;\r\n",
        "From: \"x\" <",
        "Date: Mon, 23 Nov 2026 14:50:10 +0000\r\n",
        "References: <a@b> <c@d>\r\n",
    ];
    prop_oneof![
        8 => proptest::sample::select(FIXED).prop_map(|s: &str| s.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_mixture_of_mime_has_a_sound_structure(pieces in proptest::collection::vec(piece(), 0..40)) {
        let raw = pieces.concat();
        let parsed = parse(&raw);
        check(&parsed, &raw);
        prop_assert_eq!(Parsed::from_bytes(&parsed.to_bytes()).unwrap(), parsed);
    }

    #[test]
    fn any_bytes_have_a_sound_structure(raw: Vec<u8>) {
        check(&parse(&raw), &raw);
    }
}

#[test]
fn the_line_break_before_a_boundary_is_in_no_section_where_no_empty_line_ends_a_header() {
    let message = |part: &str, end: &str| {
        let text =
            format!("Content-Type: multipart/mixed; boundary=b{end}{end}--b{end}{part}--b{end}{end}x{end}--b--{end}");
        let parsed = mailkit::parse(text.as_bytes());
        let section = |text_of| {
            let range = parsed.section(&[1], text_of).expect("a part");
            text[range.start as usize..range.end as usize].to_owned()
        };
        let part = &parsed.root.parts[0];
        (section(SectionText::Mime), section(SectionText::Whole), part.lines, parsed.root.parts.len())
    };
    for end in ["\r\n", "\n"] {
        let line = |text: &str| text.replace('|', end);
        let header = "Content-Type: text/plain";
        for (part, mime, body, lines) in [
            ("Content-Type: text/plain|", header, "", 0),
            ("A: b|Content-Type: text/plain|", "A: b|Content-Type: text/plain", "", 0),
            ("Content-Type: text/plain||", "Content-Type: text/plain||", "", 0),
            ("Content-Type: text/plain|||", "Content-Type: text/plain||", "", 0),
            ("Content-Type: text/plain||x|", "Content-Type: text/plain||", "x", 0),
            ("Content-Type: text/plain||x||", "Content-Type: text/plain||", "x|", 1),
            ("", "", "", 0),
        ] {
            assert_eq!(message(&line(part), end), (line(mime), line(body), lines, 2), "{part:?} with {end:?}");
        }
    }
}

#[test]
fn languages_are_told_as_they_are_written() {
    for (field, languages) in [
        ("en-GB", &["en-GB"][..]),
        ("de-CH, en (English),\r\n fr-CA", &["de-CH", "en", "fr-CA"]),
        ("zh-Hant-TW", &["zh-Hant-TW"]),
        ("(none)", &[]),
    ] {
        let parsed =
            mailkit::parse(format!("Content-Language: {field}\r\nContent-Type: Text/PLAIN\r\n\r\nx").as_bytes());
        assert_eq!(parsed.root.languages, languages, "{field}");
        assert_eq!(parsed.root.content_type(), "text/plain");
    }
}

/// Pieces that real and broken messages are made of.
fn pieces() -> impl Strategy<Value = Vec<&'static str>> {
    let piece = prop::sample::select(vec![
        "Subject: s\r\n",
        "From: A <a@b.example>\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n",
        "Content-Type: message/rfc822\r\n",
        "Content-Transfer-Encoding: base64\r\n",
        "--b\r\n",
        "--b--\r\n",
        "\r\n",
        "text\r\n",
        "a\nb",
        "\u{e9}\r\n",
        "no colon here\r\n",
    ]);
    prop::collection::vec(piece, 0..24)
}

proptest! {
    /// What lies below added header fields is found where it is, whatever it is.
    #[test]
    fn fields_added_above_move_everything_and_change_nothing(
        first in prop::sample::select(vec!["Return-Path: <a@b>\r\n", "Received: by x\r\n\twith y\r\n", "X-A: b\r\n\r\n"]),
        added in prop::collection::vec(prop::sample::select(vec!["X-Spam: no\r\n", "Authentication-Results: x;\r\n\tspf=pass\r\n"]), 0..4),
        message in pieces(),
    ) {
        let (added, message) = (added.concat(), message.concat());
        let short = parse(format!("{first}{message}").as_bytes());
        let long = parse(format!("{added}{first}{message}").as_bytes());
        prop_assert_eq!(short.with_more_above(added.len() as u64), long);
        // Also above what begins with a field itself.
        if message.starts_with("Subject: ") || message.starts_with("Content-") {
            let alone = parse(message.as_bytes()).with_more_above(added.len() as u64);
            prop_assert_eq!(alone, parse(format!("{added}{message}").as_bytes()));
        }
    }
}
