//! Character sets: what is there counts for more than what is said, and every reader of a message says the same.

use mailkit::charset::{decode_charset, decode_transfer};
use mailkit::headers::decode_text;
use mailkit::{Headline, display, parse};
use proptest::prelude::*;

use crate::reading::files::shown;
use crate::reading::samples::{LABELLED, RAW};

#[test]
fn labels_are_read_however_they_are_written() {
    for (label, bytes, text) in LABELLED {
        assert_eq!(decode_charset(Some(label), bytes), text, "{label}");
    }
}

#[test]
fn utf_8_wins_over_a_wrong_label() {
    for text in [
        "Żółw idzie wąską ścieżką",
        "Grüße aus Köln, 25€",
        "ü",
        "Привет",
        "会议通知",
        "Καλημέρα",
        "“quoted” – café",
        "שלום",
        "สวัสดี",
        "😀",
    ] {
        for label in [
            "iso-8859-1",
            "iso-8859-2",
            "windows-1252",
            "windows-1250",
            "windows-1251",
            "koi8-r",
            "iso-8859-15",
            "us-ascii",
            "latin1",
            "macintosh",
            "cp850",
            "windows-874",
            "no-such-set",
            "utf-16",
        ] {
            assert_eq!(decode_charset(Some(label), text.as_bytes()), text, "{label}");
        }
    }
    for label in ["gb2312", "big5", "euc-kr", "shift_jis", "iso-2022-jp", "euc-jp"] {
        for text in ["会议通知：下周三", "안녕하세요", "来週の予定", "“so”"] {
            assert_eq!(decode_charset(Some(label), text.as_bytes()), text, "{label}");
        }
    }
    // A part of the text that ends within a character.
    assert_eq!(
        decode_charset(Some("iso-8859-1"), "Grüße aus Köl 25€".as_bytes().split_last().unwrap().1),
        "Grüße aus Köl 25"
    );
}

#[test]
fn a_right_label_is_believed_where_its_bytes_happen_to_be_utf_8() {
    for (label, bytes, text) in [
        ("iso-8859-2", &b"R\xd3\xafA"[..], "RÓŻA"),
        ("iso-8859-2", b"P\xd3\xa3", "PÓŁ"),
        ("iso-8859-2", b"OR\xc3\xaaEL", "ORĂŞEL"),
        ("tis-620", b"\xe1\xba\xba", "แบบ"),
        ("windows-1251", b"\xcd\xb3", "Ні"),
        ("gb2312", b"\xc3\xbc", "眉"),
        ("utf-8", b"caf\xe9 cr\xe8me", "café crème"),
        ("utf-8", "für \u{fffd}".as_bytes(), "für \u{fffd}"),
    ] {
        assert_eq!(decode_charset(Some(label), bytes), text, "{label}");
    }
    let broken = [&b"\xff"[..], "Grüße aus Köln, schöne Tage".as_bytes()].concat();
    assert_eq!(decode_charset(Some("utf-8"), &broken), "\u{fffd}Grüße aus Köln, schöne Tage");
}

#[test]
fn raw_headers_are_in_the_character_set_of_the_text() {
    for (label, bytes, text) in RAW {
        let plain = format!("Content-Type: text/plain; charset=\"{label}\"\r\n\r\n");
        let html = format!("Content-Type: text/html\r\n\r\n<html><head><meta charset={label}></head><body>");
        let mixed = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{plain}x\r\n--b\r\nContent-Type: text/plain; name=\""
        );
        for head in [
            plain.as_bytes(),
            html.as_bytes(),
            &[mixed.as_bytes(), bytes, b".txt\"\r\nContent-Disposition: attachment\r\n\r\n"].concat(),
        ] {
            let raw = [
                b"From: ",
                bytes,
                b" <ines@sender.example>\r\nSubject: Re: ",
                bytes,
                b"\r\nComments: ",
                bytes,
                b"\r\n",
                head,
                bytes,
            ]
            .concat();
            let parsed = parse(&raw);
            assert_eq!(parsed.subject, format!("Re: {text}"), "{label}");
            assert_eq!(parsed.from[0].name, text, "{label}");
            let headline = Headline::of(parsed.to_bytes().into()).unwrap();
            assert_eq!(headline.subject, parsed.subject);
            for file in shown(&raw, &parsed).attachments {
                assert_eq!(file.name, format!("{text}.txt"), "{label}");
                assert!(display::search_text(&raw, &parsed).contains(&file.name), "{label}");
            }
        }
    }
    // Without any word about it, what it looks most like; the text helps to tell.
    for (label, bytes, text) in RAW
        .into_iter()
        .filter(|(label, ..)| ["koi8-r", "windows-1251", "gb2312", "shift_jis", "euc-kr", "big5"].contains(label))
    {
        let raw = [b"Subject: ", bytes, b"\r\n\r\n", bytes, b" ", bytes].concat();
        assert_eq!(parse(&raw).subject, text, "{label}");
        assert_eq!(parse(&raw).preview, format!("{text} {text}"), "{label}");
    }
    // Valid UTF-8 stays what it is.
    let raw = "Subject: Grüße\r\nContent-Type: text/plain; charset=koi8-r\r\n\r\nx".as_bytes();
    assert_eq!(parse(raw).subject, "Grüße");
    // Words are in the set that they name.
    let raw = b"Subject: =?iso-8859-1?Q?Gr=FC=DFe?= \xf0\xf2\r\nContent-Type: text/plain; charset=koi8-r\r\n\r\nx";
    assert_eq!(parse(raw).subject, "Grüße ПР");
}

#[test]
fn html_names_its_own_character_set() {
    let word = b"\xbb\xe1\xd2\xe9\xcd\xa8\xd6\xaa";
    for meta in [
        "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=gb2312\">",
        "<META HTTP-EQUIV='content-type' CONTENT='text/html;charset=GB2312'/>",
        "<meta charset=\"gbk\">",
        "<meta charset=gb18030>",
        "<!-- <meta charset=utf-8> --><meta charset = 'gb2312' >",
        "<?xml version=\"1.0\" encoding=\"gb2312\"?>",
        "<title>x</title><meta name=viewport content=width><meta charset=gb2312>",
    ] {
        for head in [
            "Content-Type: text/html",
            "Content-Type: text/html; charset=us-ascii",
            "Content-Type: text/html; charset=unknown-8bit",
        ] {
            let raw = [
                head.as_bytes(),
                b"\r\n\r\n<html><head>",
                meta.as_bytes(),
                b"</head><body><p>",
                word,
                b"</p></body></html>",
            ]
            .concat();
            let parsed = parse(&raw);
            assert_eq!(parsed.preview, "会议通知", "{meta}");
            assert!(display::search_text(&raw, &parsed).contains("会议通知"), "{meta}");
            let shown = shown(&raw, &parsed);
            assert!(shown.text.contains("会议通知") && shown.html.unwrap().contains("会议通知"), "{meta}");
        }
    }
    let said = |label: &str, meta: &str, body: &[u8]| {
        let raw = [format!("Content-Type: text/html; charset={label}\r\n\r\n<meta charset={meta}>").as_bytes(), body]
            .concat();
        parse(&raw).preview
    };
    assert_eq!(said("gb2312", "koi8-r", word), "会议通知", "what the header says comes first");
    assert_eq!(said("iso-8859-2", "iso-8859-1", b"\xbf\xf3\xb3w"), "żółw");
    assert_eq!(said("us-ascii", "iso-8859-1", "żółw".as_bytes()), "żółw");
    assert_eq!(said("us-ascii", "utf-16", "żółw".as_bytes()), "żółw");
    assert_eq!(said("us-ascii", "utf-7", b"+AGEAYg-"), "+AGEAYg-", "nothing hides from the filter in UTF-7");
}

#[test]
fn words_that_were_cut_anywhere_are_joined() {
    let text = "char-12 Bestätigung für Jörg, übermorgen";
    let bytes = text.as_bytes();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, bytes);
    for cut in 0..=encoded.len() {
        let (first, second) = encoded.split_at(cut);
        for between in [" ", "\r\n ", ""] {
            let raw = format!("=?utf-8?B?{first}?={between}=?UTF-8?B?{second}?=");
            assert_eq!(decode_text(raw.as_bytes()), text, "{raw}");
        }
    }
    let quoted: String = bytes.iter().map(|byte| format!("={byte:02X}")).collect();
    for cut in 0..=quoted.len() {
        let (first, second) = quoted.split_at(cut);
        let raw = format!("=?utf-8?Q?{first}?=\r\n =?utf-8?Q?{second}?=");
        assert_eq!(decode_text(raw.as_bytes()), text, "{raw}");
    }
    // Cut between characters, every word padded, or every word without its padding.
    for cut in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
        let (first, second) = text.split_at(cut);
        for engine in [&base64::engine::general_purpose::STANDARD, &base64::engine::general_purpose::STANDARD_NO_PAD] {
            let word = |part: &str| format!("=?utf-8?b?{}?=", base64::Engine::encode(engine, part));
            let raw = format!("{} {}", word(first), word(second));
            assert_eq!(decode_text(raw.as_bytes()), text, "{raw}");
        }
    }
    for (raw, decoded) in [
        ("=?windows-1252?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?iso-8859-1?B?w7w=?=", "ü"),
        ("=?win-1251?B?zej2?=", "Ниц"),
        ("=?gb2312?B?u+HS?= =?gb2312?B?6c2o1qo=?=", "会议通知"),
        ("=?x-unknown?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?hz-gb-2312?Q?=7E{;aRi=7E}?=", "会议"),
        ("=?utf-8?Q?a?= =?utf-8?B?w7w?= b", "aü b"),
    ] {
        assert_eq!(decode_text(raw.as_bytes()), decoded, "{raw}");
    }
    assert_eq!(decode_text(b"\x1b$BMh=5\x1b(B and =?utf-8?Q?=C3=BC?="), "来週 and ü");
}

proptest! {
    #[test]
    fn any_bytes_in_any_set_give_text(label in 0..LABELLED.len(), bytes: Vec<u8>, shift in "[~{}\x0e\x0f\x1b$)AC!-/]{0,40}") {
        let label = LABELLED[label].0;
        decode_charset(Some(label), &bytes);
        decode_charset(Some(label), shift.as_bytes());
        decode_charset(None, &bytes);
        decode_text(&bytes);
        mailkit::charset::html_charset(&bytes);
        decode_transfer("base64", &bytes);
    }

    #[test]
    fn utf_8_is_read_as_itself_without_a_label(text: String) {
        prop_assume!(!text.starts_with(['\u{feff}']) && !text.contains('\x1b'));
        prop_assert_eq!(decode_charset(None, text.as_bytes()), text);
    }
}
