//! Runs of characters of a message, as hashes, in two views: its header as it was written, and its text as it is seen. Misspelt words,
//! forms of writing and other languages are alike in them where words are not.

use mailkit::{Parsed, Part, headers};

use super::features::is_the_senders;
use super::html::see;
use super::texts::Texts;

/// Views of one message.
pub(super) const VIEWS: usize = 2;
/// Different hashes.
pub(super) const BUCKETS: usize = 1 << 16;
/// Bytes of a view that are looked at.
const MAX_BYTES: usize = 3_000;
/// Bytes of each text from which that is made what is seen.
const MAX_TEXT_BYTES: usize = 16 * 1024;
/// Most parts that are looked at.
const MAX_PARTS: usize = 100;
/// How long runs are, in bytes.
const RUN: usize = 4;

/// Runs of characters of a message: each once, in ascending order, by view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grams(pub(super) [Vec<u16>; VIEWS]);

impl Grams {
    /// Those of a message. Linear in its size, and bounded.
    pub fn of(raw: &[u8], parsed: &Parsed) -> Self {
        Self::of_texts(raw, parsed, &Texts::of(raw, parsed))
    }

    /// The same of a message whose texts are decoded.
    pub(super) fn of_texts(raw: &[u8], parsed: &Parsed, texts: &Texts) -> Self {
        let end = (parsed.root.body_start as usize).min(raw.len());
        let mut seen = Vec::with_capacity(MAX_BYTES + 4);
        seen.extend_from_slice(&parsed.subject.as_bytes()[..parsed.subject.len().min(MAX_BYTES)]);
        seen.push(b'\n');
        add(&parsed.root, texts, &mut seen, &mut 0);
        seen.make_ascii_lowercase();
        Self([runs(&header(&raw[..end])), runs(&seen)])
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    /// As bytes: for each view how many there are, 2 bytes, big-endian, then how far each is above the one before: 1 byte, or 255 and
    /// 2 bytes.
    pub(super) fn packed(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.iter().map(|view| 2 + view.len() * 5 / 4).sum());
        for view in &self.0 {
            // A view has fewer runs than [`MAX_BYTES`].
            out.extend_from_slice(&u16::try_from(view.len()).unwrap_or(u16::MAX).to_be_bytes());
            let mut before = 0;
            for gram in view {
                let above = gram - before;
                before = *gram;
                match u8::try_from(above) {
                    Ok(above) if above < FAR => out.push(above),
                    _ => {
                        out.push(FAR);
                        out.extend_from_slice(&above.to_be_bytes());
                    }
                }
            }
        }
        out
    }

    /// Reads what [`Self::packed`] wrote; `None` if it is something else.
    pub(super) fn unpacked(bytes: &[u8]) -> Option<Self> {
        let (mut rest, mut grams) = (bytes, Self::default());
        if bytes.is_empty() {
            return Some(grams);
        }
        for view in &mut grams.0 {
            let (count, after) = rest.split_first_chunk::<2>()?;
            let count = usize::from(u16::from_be_bytes(*count));
            rest = after;
            view.reserve(count.min(rest.len()));
            let mut last = 0_u16;
            for number in 0..count {
                let (near, after) = rest.split_first()?;
                rest = after;
                let mut above = u16::from(*near);
                if *near == FAR {
                    let (far, after) = rest.split_first_chunk::<2>()?;
                    (above, rest) = (u16::from_be_bytes(*far), after);
                }
                if number > 0 && above == 0 {
                    return None;
                }
                last = last.checked_add(above)?;
                view.push(last);
            }
        }
        rest.is_empty().then_some(grams)
    }
}

/// In place of a distance that one byte can't tell.
const FAR: u8 = u8::MAX;

/// The header fields that the sender wrote.
fn header(header: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * MAX_BYTES);
    for field in headers::fields(header) {
        if out.len() >= MAX_BYTES {
            break;
        }
        if is_the_senders(&String::from_utf8_lossy(field.name).to_ascii_lowercase()) {
            out.extend_from_slice(field.name);
            out.push(b':');
            out.extend_from_slice(&field.value[..field.value.len().min(MAX_BYTES)]);
            out.push(b'\n');
        }
    }
    out
}

/// Adds what the text parts show.
fn add(part: &Part, texts: &Texts, seen: &mut Vec<u8>, parts: &mut usize) {
    *parts += 1;
    if *parts > MAX_PARTS || seen.len() >= MAX_BYTES {
        return;
    }
    if let Some(text) = texts.get(part) {
        see(&text[..text.floor_char_boundary(MAX_TEXT_BYTES)], seen, MAX_BYTES);
        seen.push(b'\n');
    }
    for child in &part.parts {
        add(child, texts, seen, parts);
    }
}

/// The runs of a text.
fn runs(text: &[u8]) -> Vec<u16> {
    let text = &text[..text.len().min(MAX_BYTES)];
    let mut found = vec![0u64; BUCKETS / 64];
    for run in text.windows(RUN) {
        let run = hash(run);
        found[usize::from(run) / 64] |= 1 << (run % 64);
    }
    let mut runs = Vec::with_capacity(text.len());
    for (word, mut bits) in (0u16..).zip(found) {
        while bits != 0 {
            runs.push(word * 64 + bits.trailing_zeros() as u16);
            bits &= bits - 1;
        }
    }
    runs
}

fn hash(run: &[u8]) -> u16 {
    let folded = run.iter().fold(0u64, |hash, byte| hash << 8 | u64::from(*byte));
    let mixed = folded.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed >> 48) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grams(raw: &str) -> Grams {
        Grams::of(raw.as_bytes(), &mailkit::parse(raw.as_bytes()))
    }

    #[test]
    fn grams_are_read_as_they_were_written_and_damage_is_noticed() {
        let grams = grams("From: a@example.org\r\nSubject: Hello\r\n\r\nA text of some words.\r\n");
        assert!(grams.0.iter().all(|view| view.len() > 3 && view.is_sorted()));
        let packed = grams.packed();
        assert_eq!(Grams::unpacked(&packed).as_ref(), Some(&grams));
        assert_eq!(Grams::unpacked(&[]), Some(Grams::default()));
        for end in 1..packed.len() {
            assert_eq!(Grams::unpacked(&packed[..end]), None, "{end}");
        }
        assert_eq!(Grams::unpacked(&[&packed[..], &[0]].concat()), None);
        for wrong in
            [&[0, 2, 7, 0, 0, 0][..], &[0, 2, 0xFF, 0xFF, 0xFF, 1, 0, 0], &[0, 3, 1, 1, 0, 0], &[0, 1, 0xFF, 1]]
        {
            assert_eq!(Grams::unpacked(wrong), None, "{wrong:?}");
        }
        let far = Grams([vec![0, 254, 509, 765, 65_535], vec![]]);
        assert_eq!(Grams::unpacked(&far.packed()), Some(far));
    }

    #[test]
    fn what_others_wrote_above_a_message_is_not_the_senders_and_tags_are_not_seen() {
        let mail = "From: a@example.org\r\nSubject: Hello\r\nContent-Type: text/html\r\n\r\n";
        let plain = grams(&format!("{mail}Buy now and save a lot of money, today only"));
        let marked = grams(&format!(
            "X-Spam-Status: Yes\r\nX-Holdfast-Spam: spam; score=9.0\r\n{mail}Buy now and save a lot of money, today only"
        ));
        assert_eq!(plain, marked);
        let tagged = grams(&format!(
            "{mail}<p class=x>Buy</p>\r\n <b>n<!-- x -->ow a</b>nd&#32;save a lot of money, today only"
        ));
        assert_eq!(plain.0[1], tagged.0[1]);
    }

    #[test]
    fn a_view_is_bounded_whatever_comes() {
        let long = "x1 y2 z3 ".repeat(100_000);
        for mail in [
            format!("X: {long}\r\n\r\n"),
            format!("Subject: {long}\r\n\r\n{long}"),
            format!("Content-Type: text/html\r\n\r\n{}", "<<a>".repeat(100_000)),
            String::new(),
        ] {
            let grams = grams(&mail);
            assert!(grams.0.iter().all(|view| view.len() <= MAX_BYTES));
            assert_eq!(Grams::unpacked(&grams.packed()), Some(grams));
        }
    }
}
