//! Whatever the page does not show itself is a file, and everything that speaks of files says the same.

use mailkit::display::{self, ReadOptions, Shown};
use mailkit::{Parsed, parse};

/// A message of parts: `type`, then further header lines, then a body.
pub fn multipart(subtype: &str, parts: &[&str]) -> String {
    let boundary = format!("b{}", parts.concat().len());
    let mut out = format!("Content-Type: multipart/{subtype}; boundary={boundary}\r\n\r\n");
    for part in parts {
        out += &format!("--{boundary}\r\n{part}\r\n");
    }
    out + &format!("--{boundary}--\r\n")
}

pub fn shown(raw: &[u8], parsed: &Parsed) -> Shown {
    let needed = display::shown_bytes(parsed) as usize;
    let options = ReadOptions { remote_images: false, inline_url: &|part| format!("/inline/{part}") };
    display::show(&raw[..raw.len().min(needed)], parsed, &options)
}

/// The names that a page lists; everything else that tells of files must agree with it.
pub fn listed(raw: &str) -> Vec<String> {
    let parsed = parse(raw.as_bytes());
    let shown = shown(raw.as_bytes(), &parsed);
    let names: Vec<String> = shown.attachments.iter().map(|file| file.name.clone()).collect();
    assert_eq!(parsed.has_attachment, !names.is_empty(), "the mark in lists, of {raw}");
    let all = display::files(raw.as_bytes(), &parsed);
    let unshown: Vec<String> = all.iter().filter(|file| !file.shown).map(|file| file.name.clone()).collect();
    assert_eq!(unshown, names, "what is forwarded, of {raw}");
    for file in &all {
        assert!(display::part_content(raw.as_bytes(), &parsed, &file.part).is_some(), "{} can be saved", file.name);
        if file.shown {
            let html = shown.html.as_deref().unwrap_or_default();
            assert!(html.contains(&format!("/inline/{}\"", file.part)), "{} is shown in {html}", file.name);
        }
    }
    let words = display::search_text(raw.as_bytes(), &parsed);
    for file in all.iter().filter(|file| raw.contains(&file.name)) {
        assert!(words.contains(&file.name), "{} is found", file.name);
    }
    names
}

const HTML: &str = "Content-Type: text/html; charset=utf-8\r\n\r\n<p>The papers are with this mail.</p>\r\n";
const PLAIN: &str = "Content-Type: text/plain; charset=utf-8\r\n\r\nThe papers are with this mail.\r\n";
const SIGN: &str = "Content-Type: text/html\r\n\r\n<p>Sign: <img src=\"cid:sign%40here\" alt=\"x\"></p>\r\n";

fn file(content_type: &str, disposition: &str) -> String {
    format!("Content-Type: {content_type}\r\nContent-Disposition: {disposition}\r\n\r\nbytes\r\n")
}

#[test]
fn a_file_is_listed_whatever_its_disposition_and_wherever_it_lies() {
    let kinds = [
        ("application/pdf", "a.pdf"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "a.docx"),
        ("application/zip", "a.zip"),
        ("application/octet-stream", "a.bin"),
        ("application/ics", "a.ics"),
        ("application/pgp-keys", "a.asc"),
        ("text/calendar", "a.ics"),
        ("text/csv", "a.csv"),
        ("text/plain", "a.log"),
        ("text/html", "a.html"),
        ("text/x-patch", "a.patch"),
        ("text/vcard", "a.vcf"),
        ("text/rtf", "a.rtf"),
        ("image/heic", "a.heic"),
        ("image/svg+xml", "a.svg"),
        ("image/tiff", "a.tif"),
        ("image/png", "a.png"),
        ("video/quicktime", "a.mov"),
        ("audio/mpeg", "a.mp3"),
        ("model/stl", "a.stl"),
        ("font/woff", "a.woff"),
        ("x-strange/thing", "a.x"),
    ];
    for (kind, name) in kinds {
        for disposition in ["inline", "INLINE", "attachment", "form-data", "x-other"] {
            let named = file(kind, &format!("{disposition}; filename=\"{name}\""));
            let bare = format!("Content-Type: {kind}; name=\"{name}\"\r\n\r\nbytes\r\n");
            for part in [&named, &bare] {
                for text in [HTML, PLAIN] {
                    let both = multipart("alternative", &[PLAIN, HTML]);
                    for raw in [
                        multipart("mixed", &[text, part]),
                        multipart("mixed", &[text, part, text]),
                        multipart("related", &[text, part]),
                        multipart("mixed", &[&multipart("related", &[text, part]), HTML]),
                        multipart("mixed", &[&both, part]),
                        multipart("alternative", &[PLAIN, &multipart("mixed", &[HTML, part, HTML])]),
                        multipart("alternative", &[PLAIN, &multipart("related", &[HTML, part])]),
                        multipart(
                            "signed",
                            &[
                                &multipart("mixed", &[text, part]),
                                "Content-Type: application/pgp-signature; name=s.asc\r\n\r\nx\r\n",
                            ],
                        ),
                        multipart("mixed", &[&multipart("mixed", &[&multipart("mixed", &[text, part])])]),
                        multipart("x-unknown", &[text, part]),
                    ] {
                        assert_eq!(listed(&raw), [name], "{raw}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_can_not_be_shown_of_an_alternative_is_a_file() {
    let pdf = "Content-Type: application/pdf\r\n\r\nx\r\n";
    assert_eq!(listed(&multipart("alternative", &[PLAIN, HTML, pdf])), ["attachment.pdf"]);
    assert_eq!(
        listed(&multipart("alternative", &["Content-Type: text/rtf\r\n\r\n{\\rtf1 x}\r\n"])),
        ["attachment.rtf"]
    );
    assert_eq!(listed("Content-Type: application/pdf; name=all.pdf\r\n\r\nx"), ["all.pdf"]);
    assert_eq!(listed("Content-Type: image/png; name=all.png\r\n\r\nx"), ["all.png"]);
    assert_eq!(
        listed("Content-Type: text/plain\r\nContent-Disposition: attachment; filename=n.txt\r\n\r\nx"),
        ["n.txt"]
    );
}

#[test]
fn messages_within_are_listed() {
    let within = |head: &str| format!("{head}\r\nFrom: u@x.example\r\nSubject: Within / it\r\n\r\nInside text.\r\n");
    for head in ["Content-Type: message/rfc822\r\nContent-Disposition: inline\r\n", "Content-Type: message/rfc822\r\n"]
    {
        for text in [HTML, PLAIN] {
            assert_eq!(listed(&multipart("mixed", &[text, &within(head)])), ["Within _ it.eml"]);
        }
    }
    let digest = multipart("digest", &["\r\nSubject: One\r\n\r\nx\r\n", "\r\nSubject: Two\r\n\r\ny\r\n"]);
    assert_eq!(listed(&digest), ["One.eml", "Two.eml"]);
    assert_eq!(listed(&multipart("mixed", &[HTML, &digest])), ["One.eml", "Two.eml"]);
}

#[test]
fn pictures_are_shown_where_html_asks_for_them_and_listed_where_it_does_not() {
    let picture = |kind: &str, id: &str, more: &str| {
        format!(
            "Content-Type: {kind}\r\nContent-ID: {id}\r\n{more}Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgoAAAANSUhEUg==\r\n"
        )
    };
    let named = "Content-Disposition: inline; filename=\"sign.png\"\r\n";
    let asked = [
        picture("image/png", "<sign@here>", named),
        picture("image/png", "<sign@here>", "Content-Disposition: attachment; filename=\"sign.png\"\r\n"),
        picture("image/x-png; name=sign.png", "<sign@here>", ""),
        picture("application/octet-stream; name=sign.png", "<sign@here>", ""),
        picture("application/octet-stream", "<sign@here>", named),
        picture("application/octet-stream", "<sign@here>", ""),
        picture("image/unknown", "<sign@here>", ""),
        picture("image/png", "sign@here", ""),
    ];
    for part in &asked {
        for around in ["related", "mixed"] {
            assert_eq!(listed(&multipart(around, &[SIGN, part])), [""; 0], "{part}");
            assert_eq!(listed(&multipart("alternative", &[PLAIN, &multipart(around, &[SIGN, part])])), [""; 0]);
            // First comes the picture, and `start` or its type says what is shown.
            assert_eq!(listed(&multipart("related", &[part, SIGN])), [""; 0]);
            // The same without anyone asking.
            assert_eq!(listed(&multipart("related", &[HTML, part])).len(), 1, "{part}");
        }
        // A page of plain text shows no pictures.
        assert_eq!(listed(&multipart("mixed", &[PLAIN, part])).len(), 1);
    }
    let twice = multipart("related", &[SIGN, &asked[0], &asked[0]]);
    assert_eq!(listed(&twice), ["sign.png"], "the second of the same id is shown nowhere");
    for mention in [
        "<!-- <img src=cid:sign@here> -->",
        "<a href=\"cid:sign@here\">x</a>",
        "<p>cid:sign@here</p>",
        "<script>'cid:sign@here'</script>",
    ] {
        let html = format!("Content-Type: text/html\r\n\r\n{mention}\r\n");
        assert_eq!(listed(&multipart("related", &[&html, &asked[0]])), ["sign.png"], "{mention}");
    }
    let svg = picture("image/svg+xml; name=sign.svg", "<sign@here>", "");
    assert_eq!(listed(&multipart("related", &[SIGN, &svg])), ["sign.svg"]);
    let located = "Content-Type: image/png\r\nContent-Location: http://x.example/p.png\r\n\r\nx\r\n";
    let html = "Content-Type: text/html\r\n\r\n<img src=\"http://x.example/p.png\">\r\n";
    assert_eq!(listed(&multipart("related", &[html, located])), ["attachment.png"]);
}

#[test]
fn a_picture_between_texts_is_shown_there_once_and_listed_if_it_has_a_name() {
    let unnamed = "Content-Type: image/png\r\nContent-Disposition: inline\r\n\r\nx\r\n";
    assert_eq!(listed(&multipart("mixed", &[HTML, unnamed, HTML])), [""; 0]);
    let named = "Content-Type: image/jpeg; name=p.jpg\r\nContent-ID: <sign@here>\r\n\r\nx\r\n";
    assert_eq!(listed(&multipart("mixed", &[HTML, named, HTML])), ["p.jpg"]);
    let raw = multipart("mixed", &[SIGN, named]);
    let html = shown(raw.as_bytes(), &parse(raw.as_bytes())).html.unwrap();
    assert_eq!(html.matches("/inline/2\"").count(), 1, "{html}");
}

#[test]
fn what_comes_along_with_a_text_is_no_file() {
    let amp = "Content-Type: text/x-amp-html; charset=utf-8\r\n\r\n<html amp4email></html>\r\n";
    let none = [""; 0];
    assert_eq!(listed(&multipart("alternative", &[PLAIN, amp, HTML])), none);
    assert_eq!(listed(&multipart("alternative", &[PLAIN, "Content-Type: text/watch-html\r\n\r\nx\r\n", HTML])), none);
    assert_eq!(listed(&multipart("alternative", &[PLAIN, "Content-Type: text/enriched\r\n\r\nx\r\n"])), none);
    assert_eq!(listed(&multipart("alternative", &["Content-Type: text/x-amp-html\r\n\r\nx\r\n"])), ["attachment.txt"]);
    for signature in [
        "application/pgp-signature; name=signature.asc",
        "application/pkcs7-signature; name=smime.p7s",
        "application/x-pkcs7-signature",
    ] {
        let signature = format!("Content-Type: {signature}\r\nContent-Disposition: attachment\r\n\r\nx\r\n");
        assert_eq!(listed(&multipart("signed", &[HTML, &signature])), none);
        assert_eq!(listed(&multipart("mixed", &[PLAIN, &signature])), none);
    }
    for blank in [
        "Content-Type: text/plain; name=\"ATT00001.txt\"\r\nContent-Disposition: attachment; filename=\"ATT00001.txt\"\r\n\r\n\r\n \r\n",
        "Content-Type: text/html; name=\"ATT00002.htm\"\r\n\r\n<html><head></head><body dir=\"auto\"><br></body></html>\r\n",
        "Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\n\r\n",
        "Content-Type: text/plain; charset=us-ascii\r\n\r\n\r\n",
    ] {
        assert_eq!(listed(&multipart("mixed", &[PLAIN, blank])), none, "{blank}");
    }
    let said = "Content-Type: text/plain; name=\"ATT00001.txt\"\r\nContent-Disposition: attachment\r\n\r\nfooter\r\n";
    assert_eq!(listed(&multipart("mixed", &[PLAIN, said])), ["ATT00001.txt"]);
    let empty = "Content-Type: text/plain; name=\"empty.txt\"\r\nContent-Disposition: attachment\r\n\r\n\r\n";
    assert_eq!(listed(&multipart("mixed", &[PLAIN, empty])), ["empty.txt"]);
    let double = multipart(
        "appledouble",
        &[
            "Content-Type: application/applefile; name=\"%a.pdf\"\r\n\r\nx\r\n",
            "Content-Type: application/pdf; name=\"a.pdf\"\r\n\r\nx\r\n",
        ],
    );
    assert_eq!(listed(&multipart("mixed", &[PLAIN, &double])), ["a.pdf"]);
}

#[test]
fn parts_of_reports_have_names_that_say_what_they_are() {
    for (status, back, names) in [
        ("message/delivery-status", "text/rfc822-headers", ["Technical details.txt", "Your message (header).txt"]),
        (
            "message/global-delivery-status",
            "message/global-headers",
            ["Technical details.txt", "Your message (header).txt"],
        ),
        ("message/disposition-notification", "message/rfc822", ["Technical details.txt", "Your message.eml"]),
        ("message/feedback-report", "message/rfc822", ["Technical details.txt", "Your message.eml"]),
    ] {
        let part = |kind: &str| format!("Content-Type: {kind}\r\n\r\nSubject: Lost\r\nAction: failed\r\n\r\n\r\n");
        assert_eq!(listed(&multipart("report", &[PLAIN, &part(status), &part(back)])), names);
    }
}

#[test]
fn unnamed_files_are_named_by_what_they_are() {
    for (head, name) in [
        ("Content-Type: application/pdf\r\nContent-Description: The offer", "The offer.pdf"),
        ("Content-Type: application/pdf\r\nContent-Description: offer.pdf", "offer.pdf"),
        ("Content-Type: application/pdf; name=invoice", "invoice.pdf"),
        ("Content-Type: application/pdf; name=\"v1.2 final\"", "v1.2 final.pdf"),
        ("Content-Type: image/jpeg; name=\"photo\"", "photo.jpg"),
        ("Content-Type: text/x-log; name=\"README\"", "README"),
        ("Content-Type: application/octet-stream", "attachment.bin"),
        ("Content-Type: application/octet-stream; name=dump", "dump"),
        ("Content-Type: audio/mpeg", "attachment.mp3"),
        ("Content-Type: application/zip; name=\"../../a.zip\"", "a.zip"),
    ] {
        let part = format!("{head}\r\nContent-Disposition: attachment\r\n\r\nx\r\n");
        assert_eq!(listed(&multipart("mixed", &[PLAIN, &part])), [name], "{head}");
    }
}

#[test]
fn text_of_any_kind_is_shown_where_it_is_all_there_is() {
    for kind in
        ["text/plain", "text/markdown", "text/x-patch; name=a.patch", "text/enriched", "text/troff", "text/x-unknown"]
    {
        let raw = format!("Content-Type: {kind}\r\n\r\nreadable words\r\n");
        let parsed = parse(raw.as_bytes());
        assert!(shown(raw.as_bytes(), &parsed).text.contains("readable words"), "{kind}");
        assert_eq!(parsed.preview, "readable words", "{kind}");
        assert!(!parsed.has_attachment, "{kind}");
    }
}
