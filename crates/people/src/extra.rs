//! What a vCard said beyond the fields of a contact, for people to read: postal addresses, a birthday, a picture.
//!
//! It is kept as the lines of the vCard ([`Card::kept`]) and given back with them; here it is only read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;

use crate::Card;
use crate::vcard::{self, Line};

/// Most details that are shown of one contact.
const MAX_DETAILS: usize = 60;
/// Media types of pictures that are shown, by how they begin.
const PICTURES: [(&str, &[u8]); 4] =
    [("image/jpeg", b"\xff\xd8\xff"), ("image/png", b"\x89PNG\r\n"), ("image/gif", b"GIF8"), ("image/webp", b"RIFF")];

/// A kind of detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetailKind {
    /// ADR: where letters on paper go.
    Postal,
    /// BDAY.
    Birthday,
    /// ANNIVERSARY.
    Anniversary,
    /// TITLE or ROLE: what they do.
    Title,
    /// URL.
    Web,
    /// IMPP and its like: where they are reached besides.
    Chat,
}

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
        let lines: Vec<Line> = self.kept.iter().filter_map(|line| vcard::content_line(0, line)).collect();
        let labels = vcard::labels(&lines);
        let details = lines.iter().filter_map(|line| {
            let (kind, text) = match line.name() {
                "ADR" => (DetailKind::Postal, postal(line)),
                "BDAY" => (DetailKind::Birthday, day(&line.text())),
                "ANNIVERSARY" => (DetailKind::Anniversary, day(&line.text())),
                "TITLE" | "ROLE" => (DetailKind::Title, line.text()),
                "URL" => (DetailKind::Web, line.text()),
                "IMPP" => (DetailKind::Chat, line.text()),
                _ => return None,
            };
            let text = text.trim().to_owned();
            (!text.is_empty()).then(|| Detail { kind, label: line.label(&labels), text })
        });
        details.take(MAX_DETAILS).collect()
    }

    /// The picture, if the card holds one that browsers show: its media type, as its bytes say, and the bytes. One that
    /// lies elsewhere is not fetched.
    pub fn picture(&self) -> Option<(&'static str, Vec<u8>)> {
        let line = self.kept.iter().find(|line| is_picture(line))?;
        let line = vcard::content_line(0, line)?;
        let (_, data) =
            line.raw_value().split_once(";base64,").or_else(|| line.raw_value().split_once("\\;base64\\,"))?;
        let plain: String = data.chars().filter(|c| !c.is_whitespace()).collect();
        let bytes = STANDARD.decode(plain.as_bytes()).ok()?;
        let (kind, _) = PICTURES.into_iter().find(|(_, start)| bytes.starts_with(start))?;
        Some((kind, bytes))
    }

    /// Whether there may be one: cheap, for lists.
    pub fn has_picture(&self) -> bool {
        self.kept.iter().any(|line| is_picture(line))
    }
}

/// Whether a line is a PHOTO that the card holds itself.
fn is_picture(line: &str) -> bool {
    let (head, value) = line.split_once(':').unwrap_or((line, ""));
    let name = head.split(';').next().unwrap_or_default();
    let name = name.rsplit('.').next().unwrap_or_default();
    name.eq_ignore_ascii_case("PHOTO") && value.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("data:"))
}

/// `Post box;Extended;Street;Town;Region;Code;Country` as lines of an envelope.
fn postal(line: &Line) -> String {
    let parts = vcard::parts(line.raw_value(), ';');
    let part = |at: usize| parts.get(at).map(|part| part.replace('\n', ", ")).unwrap_or_default();
    let town = [part(5), part(3)].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    let street = parts.get(2).cloned().unwrap_or_default();
    let all = [part(0), part(1), street, town, part(4), part(6)];
    let all: Vec<String> = all.into_iter().filter(|text| !text.is_empty()).collect();
    if all.is_empty() { line.param("LABEL").replace("\\n", "\n") } else { all.join("\n") }
}

/// A date of RFC 6350 section 4.3 in words: `23 November 1970`, `23 November` without a year; else as it is written.
fn day(text: &str) -> String {
    let date = text.split('T').next().unwrap_or_default();
    let digits: String = date.chars().filter(char::is_ascii_digit).collect();
    let number = |from: usize, to: usize| digits.get(from..to).and_then(|text| text.parse::<i16>().ok());
    let small = |number: Option<i16>| number.and_then(|number| i8::try_from(number).ok());
    let bare = date.chars().all(|c| c.is_ascii_digit() || c == '-');
    match (bare, date.strip_prefix("--"), digits.len()) {
        (true, Some(_), 4) => {
            // A leap year has all days.
            let date = Date::new(2000, small(number(0, 2)).unwrap_or(0), small(number(2, 4)).unwrap_or(0));
            date.map_or_else(|_| text.to_owned(), |date| date.strftime("%-d %B").to_string())
        }
        (true, None, 8) => {
            let year = number(0, 4).unwrap_or(0);
            let date = Date::new(year, small(number(4, 6)).unwrap_or(0), small(number(6, 8)).unwrap_or(0));
            // What programs write that must have a year and know none.
            let form = if [1604, 0, 1].contains(&year) { "%-d %B" } else { "%-d %B %Y" };
            date.map_or_else(|_| text.to_owned(), |date| date.strftime(form).to_string())
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let png = STANDARD.encode(b"\x89PNG\r\n\x1a\n0000");
        let jpeg = STANDARD.encode(b"\xff\xd8\xff\xe0aaaa");
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
            let card = card(&[&line]);
            assert_eq!(card.picture().map(|(kind, _)| kind), kind, "{line}");
            assert_eq!(card.has_picture(), line.contains("data:") || line.contains("ENCODING"), "{line}");
        }
        assert!(!card(&["LOGO:data:image/png;base64,AAAA"]).has_picture());
    }
}
