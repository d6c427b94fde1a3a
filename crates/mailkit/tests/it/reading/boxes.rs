//! What is packed within a part is shown, listed, found and quoted as if it stood there.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailkit::display;
use mailkit::{Parsed, parse};

use crate::reading::files::{listed, multipart, shown};

const UU: &str = "begin 644 note.txt\r\n;5&AE<V4@=V]R9',@=V5R92!U=65N8V]D960N\r\n`\r\nend\r\n";
const UU_WORDS: &[u8] = b"These words were uuencoded.";

/// What is listed under a name, saved.
fn saved(raw: &str, name: &str) -> Vec<u8> {
    let parsed = parse(raw.as_bytes());
    let file = display::files(raw.as_bytes(), &parsed).into_iter().find(|file| file.name == name).expect(name);
    display::part_content(raw.as_bytes(), &parsed, &file.part).unwrap()
}

fn text(raw: &str) -> (Parsed, display::Shown, String) {
    let parsed = parse(raw.as_bytes());
    let shown = shown(raw.as_bytes(), &parsed);
    let found = display::search_text(raw.as_bytes(), &parsed);
    (parsed, shown, found)
}

#[test]
fn uuencoded_parts_and_blocks_are_files() {
    for encoding in ["x-uuencode", "x-uue", "uuencode", "X-UUEncode"] {
        let part = format!(
            "Content-Type: text/plain; name=note.txt\r\nContent-Transfer-Encoding: {encoding}\r\nContent-Disposition: attachment\r\n\r\n{UU}"
        );
        let raw = multipart("mixed", &["\r\nHello.\r\n", &part]);
        assert_eq!(listed(&raw), ["note.txt"]);
        assert_eq!(saved(&raw, "note.txt"), UU_WORDS);
        assert!(text(&raw).2.contains("These words were uuencoded."));
    }
    let plain =
        format!("Subject: x\r\n\r\nPlease find it below.\r\n\r\n{UU}\r\nBye.\r\n{}", UU.replace("note", "more"));
    let beside = multipart(
        "alternative",
        &[
            &format!("\r\nPlease find it below.\r\n{UU}Bye.\r\n{}", UU.replace("note", "more")),
            "Content-Type: text/html\r\n\r\n<p>Bye.</p>\r\n",
        ],
    );
    for raw in [plain, beside] {
        assert_eq!(listed(&raw), ["note.txt", "more.txt"], "{raw}");
        assert_eq!(saved(&raw, "more.txt"), UU_WORDS);
        let (parsed, shown, _) = text(&raw);
        assert!(shown.text.contains("below.") && shown.text.contains("Bye.") && !shown.text.contains("begin 644"));
        assert!(!parsed.preview.contains("begin"), "{}", parsed.preview);
    }
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag, 0x83];
    out.extend_from_slice(&(content.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(content);
    out
}

fn open_ended(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, 0x80], content, &[0, 0]].concat()
}

/// A `ContentInfo` around what was signed.
fn signed(inner: &[u8], open: bool) -> Vec<u8> {
    let tlv: fn(u8, &[u8]) -> Vec<u8> = if open { open_ended } else { tlv };
    let short = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
    let octets = if open {
        let pieces: Vec<u8> = inner.chunks(50).flat_map(|piece| short(0x04, piece)).collect();
        tlv(0x24, &pieces)
    } else {
        tlv(0x04, inner)
    };
    let oid = |last: u8| short(0x06, &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, last]);
    let encapsulated = tlv(0x30, &[oid(1), tlv(0xA0, &octets)].concat());
    let data = tlv(0x30, &[short(0x02, &[1]), short(0x31, &[]), encapsulated, short(0x31, &[])].concat());
    tlv(0x30, &[oid(2), tlv(0xA0, &data)].concat())
}

fn p7m(head: &str, bytes: &[u8]) -> String {
    format!(
        "{head}\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=smime.p7m\r\n\r\n{}\r\n",
        STANDARD.encode(bytes)
    )
}

#[test]
fn what_was_signed_is_read() {
    let pdf = "Content-Type: application/pdf; name=plan.pdf\r\nContent-Disposition: attachment\r\n\r\nbytes\r\n";
    let plain = "Content-Type: text/plain; charset=utf-8\r\n\r\nSigned wörds.\r\n".to_owned();
    let html = "Content-Type: text/html; charset=utf-8\r\n\r\n<p>Signed <b>wörds</b>.</p>\r\n".to_owned();
    let mixed = multipart("mixed", &[&plain, pdf]);
    for head in [
        "Content-Type: application/pkcs7-mime; smime-type=signed-data",
        "Content-Type: application/x-pkcs7-mime",
        "Content-Type: application/octet-stream",
    ] {
        for open in [false, true] {
            for (inner, names) in [(&plain, &[][..]), (&html, &[]), (&mixed, &["plan.pdf"])] {
                let own = p7m(head, &signed(inner.as_bytes(), open));
                let twice = p7m(head, &signed(own.as_bytes(), open));
                let listed_by_a_list = multipart("mixed", &[&own, "\r\nFooter.\r\n"]);
                for raw in [own, twice, listed_by_a_list] {
                    assert_eq!(listed(&raw), names, "{raw}");
                    let (parsed, shown, found) = text(&raw);
                    assert!(shown.text.contains("wörds"), "{raw}");
                    assert!(found.contains("wörds") && (names.is_empty() || found.contains("plan.pdf")));
                    assert!(
                        parsed.preview.contains("Signed wörds.") || parsed.preview.contains("Footer."),
                        "{}",
                        parsed.preview
                    );
                    assert_eq!(shown.notes.len(), 1);
                    for name in names {
                        assert_eq!(saved(&raw, name), b"bytes\r\n");
                    }
                }
            }
        }
    }
    // What can't be read is a file like another.
    let broken = p7m("Content-Type: application/pkcs7-mime", b"0\x80junk");
    assert_eq!(listed(&broken), ["smime.p7m"]);
}

#[test]
fn encrypted_messages_say_so() {
    let enveloped = signed(b"x", false);
    let at = enveloped.windows(2).position(|w| w == [7, 2]).unwrap();
    let enveloped = [&enveloped[..=at], &[3], &enveloped[at + 2..]].concat();
    let smime = p7m("Content-Type: application/pkcs7-mime; smime-type=enveloped-data", &enveloped);
    let pgp = multipart(
        "encrypted",
        &[
            "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n",
            "Content-Type: application/octet-stream; name=encrypted.asc\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n",
        ],
    );
    let inline = "Subject: x\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nx\r\n-----END PGP MESSAGE-----\r\n".to_owned();
    for (raw, names) in [(smime, &["smime.p7m"][..]), (pgp, &["encrypted.asc"]), (inline, &[])] {
        assert_eq!(listed(&raw), names);
        let (parsed, shown, _) = text(&raw);
        assert!(shown.notes.len() == 1 && shown.notes[0].starts_with("Encrypted"), "{:?}", shown.notes);
        assert!(!parsed.preview.is_empty());
    }
}

fn attribute(level: u8, name: u32, data: &[u8]) -> Vec<u8> {
    let sum = data.iter().fold(0u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
    [&[level][..], &name.to_le_bytes(), &(data.len() as u32).to_le_bytes(), data, &sum.to_le_bytes()].concat()
}

fn properties(list: &[(u16, u16, &[u8])]) -> Vec<u8> {
    let mut out = (list.len() as u32).to_le_bytes().to_vec();
    for (kind, id, value) in list {
        out.extend(kind.to_le_bytes());
        out.extend(id.to_le_bytes());
        out.extend(1u32.to_le_bytes());
        out.extend((value.len() as u32).to_le_bytes());
        out.extend_from_slice(value);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

fn winmail(attributes: &[Vec<u8>]) -> String {
    let bytes = [&[0x78, 0x9f, 0x3e, 0x22, 1, 0][..], &attributes.concat()].concat();
    let mut out =
        "Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n".to_owned();
    for line in STANDARD.encode(bytes).as_bytes().chunks(76) {
        let _ = writeln!(out, "{}\r", std::str::from_utf8(line).unwrap());
    }
    out
}

#[test]
fn winmail_dat_gives_its_files_and_its_text() {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let body = attribute(1, 0x0002_800C, b"Words inside the container.\r\n\0");
    let html = attribute(1, 0x0006_9003, &properties(&[(0x102, 0x1013, b"<p>Words <b>inside</b> the container.</p>")]));
    let wide = attribute(1, 0x0006_9003, &properties(&[(0x1f, 0x1000, &utf16("Words inside the container.\0"))]));
    let file = [
        attribute(2, 0x0006_9002, &[0; 14]),
        attribute(2, 0x0001_8010, b"FIGURE~1.TXT\0"),
        attribute(2, 0x0006_800F, b"The figures."),
        attribute(
            2,
            0x0006_9005,
            &properties(&[(0x1e, 0x3001, b"x\0"), (0x1f, 0x3707, &utf16("Zahlen für März.txt\0"))]),
        ),
    ]
    .concat();
    let blank = "Content-Type: text/plain; charset=us-ascii\r\n\r\n\r\n";
    for words in [&body, &html, &wide] {
        let packed = winmail(&[words.clone(), file.clone(), file.clone()]);
        for raw in [multipart("mixed", &[blank, &packed]), packed.clone()] {
            assert_eq!(listed(&raw), ["Zahlen für März.txt", "Zahlen für März.txt"]);
            assert_eq!(saved(&raw, "Zahlen für März.txt"), b"The figures.");
            let (parsed, shown, found) = text(&raw);
            assert!(shown.text.contains("Words") && shown.text.contains("container"), "{}", shown.text);
            assert_eq!(parsed.preview, "Words inside the container.");
            assert!(found.contains("Zahlen für März.txt") && found.contains("inside the container"));
        }
        let said = multipart("mixed", &["\r\nOther words.\r\n", &packed]);
        assert_eq!(text(&said).1.text.trim(), "Other words.");
    }
    // One that only carries formatting brings no file.
    assert_eq!(listed(&multipart("mixed", &["\r\nWords.\r\n", &winmail(&[body])])), [""; 0]);
    assert_eq!(
        listed(&multipart(
            "mixed",
            &["\r\nWords.\r\n", "Content-Type: application/ms-tnef; name=winmail.dat\r\n\r\njunk\r\n"]
        )),
        ["winmail.dat"]
    );
}

#[test]
fn invitations_are_told() {
    let calendar = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nDTSTART:20261201T090000Z\r\nSUMMARY:Budget round\r\nLOCATION:Room 4\r\nDESCRIPTION:Join at https://meet.example/abc\\nSee you\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let alone = format!("Content-Type: text/calendar; charset=utf-8; method=REQUEST\r\n\r\n{calendar}");
    let (parsed, shown, found) = text(&alone);
    for word in ["Budget round", "1 Dec 2026", "09:00", "Room 4", "https://meet.example/abc", "See you"] {
        assert!(
            shown.text.contains(word) && parsed.preview.contains(word) && found.contains(word),
            "{word}: {}",
            shown.text
        );
    }
    assert_eq!(listed(&alone), ["invitation.ics"], "it can be given to a calendar");
    let plain = "Content-Type: text/plain\r\n\r\nPlease come.\r\n";
    let beside = multipart("alternative", &[plain, "Content-Type: text/html\r\n\r\n<p>Please come.</p>\r\n", &alone]);
    assert_eq!(listed(&beside), [""; 0]);
    let (_, shown, found) = text(&beside);
    assert!(shown.notes.len() == 1 && shown.notes[0].contains("Budget round") && shown.notes[0].contains("Room 4"));
    assert!(found.contains("Room 4"));
    let file =
        format!("Content-Type: text/calendar; name=invite.ics\r\nContent-Disposition: attachment\r\n\r\n{calendar}");
    assert_eq!(listed(&multipart("mixed", &[&beside, &file])), ["invite.ics"]);
    let unreadable = multipart("alternative", &[plain, "Content-Type: text/calendar\r\n\r\njunk\r\n"]);
    assert_eq!(listed(&unreadable), ["invitation.ics"], "what can't be told is a file");
}

#[test]
fn encoded_messages_are_saved_decoded_and_found() {
    let inner = "From: Inner <i@x.example>\r\nSubject: The inner subject\r\n\r\nWords of the inner message.\r\n";
    for (encoding, body) in
        [("base64", STANDARD.encode(inner)), ("quoted-printable", inner.replace("inner", "i=6Ener"))]
    {
        let part = format!(
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: {encoding}\r\nContent-Disposition: attachment; filename=inner.eml\r\n\r\n{body}\r\n"
        );
        let raw = multipart("mixed", &["\r\nHello.\r\n", &part]);
        assert_eq!(listed(&raw), ["inner.eml"]);
        assert!(String::from_utf8(saved(&raw, "inner.eml")).unwrap().starts_with(inner.trim_end()));
        let found = text(&raw).2;
        assert!(
            found.contains("The inner subject") && found.contains("Words of the inner message."),
            "{encoding}: {found}"
        );
    }
}

#[test]
fn containers_within_containers_end_somewhere() {
    let mut raw = "Content-Type: text/plain\r\n\r\nDeep words.\r\n".to_owned();
    for _ in 0..12 {
        raw = format!(
            "Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
            STANDARD.encode(signed(raw.as_bytes(), false))
        );
    }
    assert_eq!(listed(&raw).len(), 1, "the one that is not opened is a file");
    text(&raw);
    let open = [0x30, 0x80].repeat(100_000);
    assert_eq!(listed(&p7m("Content-Type: application/pkcs7-mime", &open)), ["smime.p7m"]);
    let many: Vec<Vec<u8>> =
        (0..5_000).map(|_| [attribute(2, 0x0006_9002, &[]), attribute(2, 0x0001_8010, b"x\0")].concat()).collect();
    assert_eq!(listed(&winmail(&many)).len(), 200);
    let blocks = multipart("mixed", &[&format!("\r\n{}", UU.repeat(1_000))]);
    assert_eq!(listed(&blocks).len(), 200);
}
