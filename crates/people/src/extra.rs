//! What a vCard said beyond the fields of a contact, for people to read: postal addresses, a birthday, a website.

use crate::Card;
use crate::further::{self, Kind};

pub use crate::further::Kind as DetailKind;

/// Most details that are shown of one contact.
const MAX_DETAILS: usize = 60;

/// A detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// What it is.
    pub kind: DetailKind,
    /// `home`, `work`, anything or nothing.
    pub label: String,
    /// As lines of text; never empty.
    pub text: String,
}

impl Card {
    /// The details, in the order of the vCard.
    pub fn details(&self) -> Vec<Detail> {
        let (lines, labels) = self.lines();
        let fields = lines.iter().flatten().filter_map(|line| further::field(line, &labels));
        let fields = fields.filter(|field| !matches!(field.kind, Kind::PhoneticGiven | Kind::PhoneticFamily));
        let details = fields.filter_map(|field| {
            let text = field.shown().trim().to_owned();
            (!text.is_empty()).then_some(Detail { kind: field.kind, label: field.label, text })
        });
        details.take(MAX_DETAILS).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vcard;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    fn card(lines: &[&str]) -> Card {
        let file = format!("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Zoe\r\n{}\r\nEND:VCARD\r\n", lines.join("\r\n"));
        vcard::read(file.as_bytes()).cards.remove(0).card
    }

    fn details(lines: &[&str]) -> Vec<(DetailKind, String, String)> {
        card(lines).details().into_iter().map(|d| (d.kind, d.label, d.text)).collect()
    }

    #[test]
    fn details_of_many_programs_are_read() {
        use DetailKind::{Anniversary, Birthday, Postal, Title, Web};
        for (lines, kind, label, text) in [
            (
                &["ADR;TYPE=home:;;1 Quay\\, Back;Harbour;;4711;Norway"][..],
                Postal,
                "home",
                "1 Quay, Back\n4711 Harbour\nNorway",
            ),
            (&["ADR:;;Line one\\nLine two;Town;;;"], Postal, "", "Line one\nLine two\nTown"),
            (&["item1.ADR:;;x;;;;", "item1.X-ABLabel:_$!<Summer>!$_"], Postal, "Summer", "x"),
            (&["ADR;LABEL=\"1 Quay\\nHarbour\":;;;;;;"], Postal, "", "1 Quay\nHarbour"),
            (&["BDAY:19701123"], Birthday, "", "23 November 1970"),
            (&["BDAY:1970-11-23"], Birthday, "", "23 November 1970"),
            (&["BDAY:1970-11-23T00:00:00Z"], Birthday, "", "23 November 1970"),
            (&["BDAY;VALUE=date:--1123"], Birthday, "", "23 November"),
            (&["BDAY:--0229"], Birthday, "", "29 February"),
            (&["BDAY;X-APPLE-OMIT-YEAR=1604:1604-11-23"], Birthday, "", "23 November"),
            (&["BDAY;VALUE=text:circa 1800"], Birthday, "", "circa 1800"),
            (&["BDAY:19709999"], Birthday, "", "19709999"),
            (&["ANNIVERSARY:20090808"], Anniversary, "", "8 August 2009"),
            (&["TITLE:Harbour master\\; night"], Title, "", "Harbour master; night"),
            (&["URL;TYPE=work:https://x.example/"], Web, "work", "https://x.example/"),
        ] {
            assert_eq!(details(lines), [(kind, label.to_owned(), text.to_owned())], "{lines:?}");
        }
        assert!(details(&["ADR:;;;;;;", "BDAY:", "X-OTHER:y"]).is_empty());
        let many = vec!["URL:https://x.example/"; 500];
        assert_eq!(details(&many).len(), MAX_DETAILS);
    }

    #[test]
    fn a_picture_is_one_that_the_card_holds_and_browsers_show() {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x02".to_vec();
        png.extend([0; 8]);
        let png = STANDARD.encode(png);
        let jpeg = STANDARD.encode(b"\xff\xd8\xff\xc0\0\x0b\x08\0\x02\0\x02aaaa");
        let html = STANDARD.encode(b"<script>");
        for (line, kind) in [
            (format!("PHOTO;ENCODING=b;TYPE=PNG:{png}"), Some("image/png")),
            (format!("PHOTO;ENCODING=BASE64;TYPE=JPEG:{jpeg}"), Some("image/jpeg")),
            (format!("PHOTO:data:image/png;base64,{png}"), Some("image/png")),
            (format!("PHOTO:data:image/png;base64,{jpeg}"), Some("image/jpeg")),
            (format!("PHOTO:data:text/html;base64,{html}"), None),
            ("PHOTO:https://x.example/me.jpg".to_owned(), None),
            ("PHOTO:data:image/png;base64,???".to_owned(), None),
        ] {
            let file = format!("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Zoe\r\n{line}\r\nEND:VCARD\r\n");
            let incoming = vcard::read(file.as_bytes()).cards.remove(0);
            let found = incoming.photos.first().map(|photo| crate::pictures::kind_of(photo).unwrap());
            assert_eq!(found, kind, "{line}");
            assert_eq!(incoming.card.pictures.len(), usize::from(kind.is_some()), "{line}");
            assert_eq!(incoming.card.has_picture(), line.contains("data:") || line.contains("ENCODING"), "{line}");
        }
        assert!(!card(&["LOGO:data:image/png;base64,AAAA"]).has_picture());
    }
}
