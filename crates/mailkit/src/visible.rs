//! Untrusted text within a line of the user interface: it must not rearrange or cover the text around it.
//!
//! Direction controls (such as U+202E) reverse the text after them, and piles of combining marks cover the lines above
//! and below. Both are removed from subjects and names wherever they are shown.

use std::borrow::Cow;

/// Most combining marks that one letter keeps. Vietnamese needs two, Hebrew and Arabic up to four, Tibetan some more.
const MAX_MARKS: usize = 6;

/// Whether a character only says in which direction the text around it runs.
pub fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character shows nothing of its own and has no use in a subject, a name or a file name: direction marks,
/// controls, zero-width spaces, tags, and line separators.
fn is_hidden(c: char) -> bool {
    is_direction_mark(c)
        || c.is_control()
        || matches!(c, '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// A text of strangers as it may stand among ours: hidden characters go, and no letter carries more than
/// [`MAX_MARKS`] combining marks. Line ends and tabs stay. What needs no change is not copied.
pub fn settled(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| b.is_ascii() && (!b.is_ascii_control() || matches!(b, b'\t' | b'\n' | b'\r'))) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    // The flags of England, Scotland and Wales are a black flag and tags.
    let mut in_flag = false;
    for c in text.chars() {
        in_flag = c == '\u{1f3f4}' || in_flag && matches!(c, '\u{e0020}'..='\u{e007f}');
        if unicode_normalization::char::is_combining_mark(c) {
            marks += 1;
            if marks <= MAX_MARKS {
                out.push(c);
            }
        } else if in_flag || matches!(c, '\t' | '\n' | '\r') || !is_hidden(c) {
            out.push(c);
            marks = 0;
        }
    }
    if out == text { Cow::Borrowed(text) } else { Cow::Owned(out) }
}

/// [`settled`], and line ends become spaces.
pub fn on_one_line(text: &str) -> String {
    settled(text).replace(['\t', '\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rearranges_or_covers_goes_and_what_people_write_stays() {
        let heap = format!("Z{}algo", "\u{300}\u{489}\u{323}".repeat(200));
        for (text, expected) in [
            ("plain", "plain"),
            ("in\u{202e}voice\u{202c}.exe", "invoice.exe"),
            ("a\u{2066}b\u{2069}c\u{200f}d\u{61c}e", "abcde"),
            ("a\r\nb\tc\u{2028}d", "a  b cd"),
            ("a\u{0}b\u{1b}[2K\u{85}c\u{200b}d\u{feff}", "ab[2Kcd"),
            ("x\u{e0041}\u{e0042}y", "xy"),
            ("Vi\u{1ec7}t, e\u{302}\u{301}", "Vi\u{1ec7}t, e\u{302}\u{301}"),
            (
                "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{2764}\u{fe0f}",
                "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{2764}\u{fe0f}",
            ),
            (
                "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
                "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            ),
            (
                "\u{5e9}\u{5c1}\u{5b8}\u{5dc}\u{5d5}\u{5b9}\u{5dd} \u{645}\u{631}\u{62d}\u{628}\u{627}",
                "\u{5e9}\u{5c1}\u{5b8}\u{5dc}\u{5d5}\u{5b9}\u{5dd} \u{645}\u{631}\u{62d}\u{628}\u{627}",
            ),
            (
                "\u{646}\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
                "\u{646}\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            ),
        ] {
            assert_eq!(on_one_line(text), expected, "{text:?}");
        }
        let shown = on_one_line(&heap);
        assert!(shown.chars().count() <= 5 + MAX_MARKS, "{shown:?}");
        assert!(shown.ends_with("algo"));
    }
}
