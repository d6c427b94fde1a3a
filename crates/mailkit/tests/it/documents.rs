//! What attached documents say is read, as several programs write them; what is damaged or hostile costs a bounded amount.

use std::io::Write as _;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use mailkit::documents::{Documents, MAX_UNPACKED_BYTES, texts};
use mailkit::fold::loose;

const FILES: [(&str, &[u8], &[&str]); 10] = [
    (
        "fpdf-core.pdf",
        include_bytes!("documents/fpdf-core.pdf"),
        &[
            "Harbour invoice 4711 for mooring",
            "broken into several lines",
            "caf\u{e9}",
            "Stra\u{df}e",
            "Lighthouse report",
        ],
    ),
    (
        "fpdf-ttf.pdf",
        include_bytes!("documents/fpdf-ttf.pdf"),
        &[
            "\u{17d}lu\u{165}ou\u{10d}k\u{fd} k\u{16f}\u{148}",
            "\u{395}\u{3bb}\u{3bb}\u{3ac}\u{3b4}\u{3b1}",
            "\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442} \u{43c}\u{438}\u{440}",
        ],
    ),
    (
        "reportlab.pdf",
        include_bytes!("documents/reportlab.pdf"),
        &[
            "Anchorage certificate",
            "\u{dc}berfahrt nach G\u{f6}teborg",
            "\u{41f}\u{430}\u{440}\u{43e}\u{445}\u{43e}\u{434}",
            "second page seagull",
        ],
    ),
    (
        "chromium.pdf",
        include_bytes!("documents/chromium.pdf"),
        &[
            "Chromium lighthouse",
            "AVAVA Tomorrow",
            "affluent",
            "\u{dc}bergr\u{f6}\u{df}entr\u{e4}ger",
            "leftcell",
            "rightcell",
        ],
    ),
    (
        "word.docx",
        include_bytes!("documents/word.docx"),
        &[
            "Seagull minutes",
            "The harbour committee met in G\u{f6}teborg & Malm\u{f6}.",
            "cellone",
            "celltwo",
            "headerword",
        ],
    ),
    ("sheet.xlsx", include_bytes!("documents/sheet.xlsx"), &["Tides", "Driftwood", "48151.5", "barnacle"]),
    (
        "slides.pptx",
        include_bytes!("documents/slides.pptx"),
        &["Keel presentation", "bullet sextant", "spoken halyard"],
    ),
    ("text.odt", include_bytes!("documents/text.odt"), &["Binnacle", "Gangway paragraph & more"]),
    ("calc.ods", include_bytes!("documents/calc.ods"), &["capstan", "windlass"]),
    ("notes.csv", b"mizzen;topsail\r\n1;2\r\n", &["mizzen;topsail"]),
];

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics in the reader of documents, which does not let them out.
fn watch_panics() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.location().is_some_and(|at| at.file().contains("src/documents")) {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            before(info);
        }));
    });
}

fn read(name: &str, content: &[u8]) -> Documents {
    watch_panics();
    let encoded = base64::engine::general_purpose::STANDARD.encode(content);
    let lines: Vec<&str> = encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let raw = format!(
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\n\
         Content-Type: application/octet-stream; name=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"{name}\"\r\n\r\n{}\r\n--b--\r\n",
        lines.join("\r\n")
    );
    let found = texts(raw.as_bytes(), &mailkit::parse(raw.as_bytes()));
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "{name}");
    found
}

#[test]
fn what_documents_say_is_read() {
    for (name, content, expected) in FILES {
        let found = read(name, content);
        for text in expected {
            assert!(loose(&found.text).contains(&loose(text)), "{text:?} in {name}: {:?}", found.text);
        }
        assert_eq!(found.unread, 0, "{name}: {:?}", found.text);
    }
}

#[test]
fn what_can_not_be_read_is_counted() {
    let encrypted = include_bytes!("documents/encrypted.pdf");
    for (name, content) in [
        ("locked.pdf", &encrypted[..]),
        ("empty.pdf", b""),
        ("broken.docx", b"PK\x03\x04nothing"),
        ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        ("a.pdf", b"%PDF-1.4\n%%EOF"),
    ] {
        let found = read(name, content);
        assert_eq!((found.text.trim(), found.unread), ("", 1), "{name}");
    }
    assert_eq!(read("photo.jpg", b"\xff\xd8\xff"), Documents::default());
}

#[test]
fn documents_that_are_cut_off_or_changed_end_nothing() {
    let mut dice = 1u64;
    let mut next = |below: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % below
    };
    for (name, content, _) in FILES {
        for _ in 0..6 {
            read(name, &content[..next(content.len())]);
            let mut changed = content.to_vec();
            for _ in 0..=next(20) {
                let at = next(changed.len());
                changed[at] = next(256) as u8;
            }
            read(name, &changed);
        }
    }
}

/// An archive with one deflated file.
fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(content).unwrap();
    let packed = packer.finish().unwrap();
    let sizes = [(packed.len() as u32).to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
    let mut out = b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0".to_vec();
    out.extend_from_slice(&sizes);
    out.extend_from_slice(&(name.len() as u16).to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&packed);
    let directory = out.len() as u32;
    out.extend_from_slice(b"PK\x01\x02\x14\0\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0");
    out.extend_from_slice(&sizes);
    out.extend_from_slice(&(name.len() as u16).to_le_bytes());
    out.extend_from_slice(&[0; 16]);
    out.extend_from_slice(name.as_bytes());
    let len = out.len() as u32 - directory;
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&directory.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out
}

#[test]
fn a_bomb_is_left_out() {
    let says = read("x.docx", &archive("word/document.xml", b"<w:p><w:t>plimsoll</w:t></w:p>"));
    assert_eq!((says.text.trim(), says.unread), ("plimsoll", 0));
    let mut bomb = b"<w:t>".to_vec();
    bomb.resize(MAX_UNPACKED_BYTES + 100, b'x');
    let found = read("x.docx", &archive("word/document.xml", &bomb));
    assert!(found.text.len() <= mailkit::documents::MAX_DOCUMENTS_TEXT_BYTES + 1);
    assert_eq!(found.unread, 1);
    let tags = b"<w:t>a</w:t>".repeat(2_100_000);
    assert_eq!(read("x.docx", &archive("word/document.xml", &tags)).unread, 1);
}

#[test]
fn pdf_structures_that_have_no_end_come_to_one() {
    let open = "[".repeat(100_000);
    let objects: String = (1..3_000).map(|n| format!("{n} 0 obj << /A [ ( {n} 0 R /Kids [{n} 0 R] \n")).collect();
    let cycle = "1 0 obj <</Type/Catalog/Pages 2 0 R>> endobj 2 0 obj <</Kids[2 0 R 2 0 R 2 0 R]>> endobj ";
    let form = "3 0 obj <</Type/Page/Contents 4 0 R/Resources 5 0 R>> endobj 4 0 obj <</Length 40/Subtype/Form>> stream\n\
                /F Do /F Do /F Do /F Do /F Do /F Do /F Do\nendstream endobj 5 0 obj <</XObject <</F 4 0 R>>>> endobj ";
    let references: String = (1..500).map(|n| format!("{n} 0 obj {} 0 R endobj ", n % 499 + 1)).collect();
    for body in [&open, &objects, cycle, form, &references, "1 0 obj (((((", "trailer << /Root 1 0 R", "1 0 obj stream"]
    {
        let found = read("x.pdf", format!("%PDF-1.7\n{body}").as_bytes());
        assert!(found.unread <= 1);
    }
}
