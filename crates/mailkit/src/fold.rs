//! Folding of text, so that two spellings of the same words compare equal.
//!
//! There are two foldings. [`casemap`] is for IMAP, where RFC 9051 §6.4.4 and RFC 5255 §4.4 define matching: case only.
//! [`loose`] is for people who type words into a search field: it also ignores accents, width, ligatures, soft hyphens
//! and line breaks. Both are applied to the text and to the search words.

use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// Text without case, in Unicode's form NFKC. Final and other sigmas are one letter, as in `i;unicode-casemap`.
pub fn casemap(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower: String = text.chars().flat_map(char::to_lowercase).map(sigma).collect();
    match is_nfkc_quick(lower.chars()) {
        IsNormalized::Yes => lower,
        _ => lower.nfkc().collect(),
    }
}

/// Text as somebody types it who looks for it: no case, no accents (`Zürich` is `zurich`), `ß` as `ss`, ligatures and
/// wide letters as plain ones, characters that can't be seen left out, every run of white space as one space.
///
/// Marks are left out where people leave them out when typing: of Latin, Greek, Cyrillic, Hebrew and Arabic letters.
/// Marks that make another letter (`й`, Japanese voiced sounds, vowels of Indian scripts, Hangul) stay.
pub fn loose(text: &str) -> String {
    if text.is_ascii() {
        return one_space(text.to_ascii_lowercase());
    }
    let mut bare = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars().flat_map(char::to_lowercase).nfkd() {
        if is_unseen(c) || (is_left_out(c) && !(c == '\u{306}' && before == 'и')) {
            continue;
        }
        // Other marks of the same letter may come before the one that makes another letter of it.
        if canonical_combining_class(c) == 0 {
            before = c;
        }
        match spelled_out(c) {
            Some(letters) => bare.push_str(letters),
            None => bare.push(sigma(c)),
        }
    }
    one_space(bare.nfc().flat_map(char::to_lowercase).collect())
}

/// Every run of white space as one space.
fn one_space(text: String) -> String {
    let bytes = text.as_bytes();
    let plain = |pair: &[u8]| !(pair[0] == b' ' && pair[1] == b' ');
    let other = |b: u8| (9..=13).contains(&b);
    if text.is_ascii() && !bytes.iter().copied().any(other) && bytes.windows(2).all(plain) {
        return text;
    }
    let mut single = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_whitespace() {
            single.push(c);
        } else if !single.ends_with(' ') {
            single.push(' ');
        }
    }
    single
}

fn sigma(c: char) -> char {
    if c == 'ς' { 'σ' } else { c }
}

/// Characters that only say how a text may be broken or joined, or in which direction it runs.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{640}' | '\u{e0000}'..='\u{e007f}')
}

/// Marks of Latin, Greek and Cyrillic letters, Hebrew points, Arabic vowel signs.
fn is_left_out(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}'
        | '\u{5c4}' | '\u{5c5}' | '\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}'
        | '\u{6d6}'..='\u{6dc}' | '\u{6df}'..='\u{6e8}' | '\u{6ea}'..='\u{6ed}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Letters that have no decomposition, and what people without them on the keyboard type.
fn spelled_out(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ł' => "l",
        'ħ' => "h",
        'ŧ' => "t",
        'ŋ' => "n",
        'ı' => "i",
        'ə' => "e",
        '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2032}' | '\u{2bc}' | '\u{2bb}' => "'",
        '\u{201c}'..='\u{201f}' | '\u{2033}' | '«' | '»' => "\"",
        '\u{2010}'..='\u{2015}' | '\u{2212}' => "-",
        'أ' | 'إ' | 'آ' | 'ٱ' => "ا",
        'ى' => "ي",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_found_as_people_type_them() {
        for (typed, text) in [
            ("zurich", "Bahnhof Zürich"),
            ("zürich", "ZÜRICH"),
            ("Zu\u{308}rich", "Zürich"),
            ("cafe", "Café"),
            ("elysee", "Élysée"),
            ("strasse", "Straße"),
            ("STRASSE", "straße"),
            ("straße", "STRASSE"),
            ("GROẞ", "gross"),
            ("lodz", "Łódź"),
            ("οδος", "ΟΔΟΣ"),
            ("ΟΔΟΣ", "ΟΔΟΣΗΜΑΝΣΗ"),
            ("οδός", "ΟΔΟΣ"),
            ("ελληνικα", "Ελληνικά"),
            ("istanbul", "İstanbul"),
            ("ISTANBUL", "ıstanbul"),
            ("smorrebrod", "smørrebrød"),
            ("aeon", "Æon"),
            ("oeuvre", "Œuvre"),
            ("nguyen", "Nguyễn"),
            ("dam", "Đàm"),
            ("thor", "Þór"),
            ("елка", "Ёлка"),
            ("office", "o\u{fb03}ce"),
            ("abc", "ＡＢＣ"),
            ("カタカナ", "ｶﾀｶﾅ"),
            ("ガ", "ｶﾞ"),
            ("שלום", "שָׁלוֹם"),
            ("محمد", "مُحَمَّد"),
            ("احمد", "أحمد"),
            ("rechnung", "Rech\u{ad}nung"),
            ("zahlungserinnerung", "Zahlungs\u{200b}erinnerung"),
            ("kunden nummer", "Kunden\u{a0}Nummer"),
            ("kunden nummer", "Kunden\r\n  Nummer"),
            ("don't", "don\u{2019}t"),
            ("e-mail", "e\u{2011}mail"),
            ("\"quoted\"", "\u{201c}quoted\u{201d}"),
            ("한국어", "\u{1112}\u{1161}\u{11ab}국어"),
            ("x2", "x²"),
        ] {
            assert!(loose(text).contains(&loose(typed)), "{typed} is not found in {text}: {:?}", loose(text));
        }
    }

    #[test]
    fn other_letters_stay_other_letters() {
        // The breve of `й` stays also where another mark is put before it by the order of marks.
        assert_eq!(loose("й\u{e48}"), loose("\u{439}\u{e48}"));
        assert!(loose("й\u{e48}").contains(&loose("й")) && loose("\u{438}\u{e48}\u{306}").contains(&loose("й")));
        for (typed, text) in [("мои", "мой"), ("か", "が"), ("क", "ख"), ("a", "ä b".trim_start_matches('ä'))]
        {
            assert!(!loose(text).contains(&loose(typed)), "{typed} is found in {text}");
        }
    }

    #[test]
    fn case_alone_is_folded_for_imap() {
        assert_eq!(casemap("Cafe\u{301} \u{fb01}N"), casemap("CAF\u{c9} Fin"));
        assert_eq!(casemap("PLAIN  text"), "plain  text");
        assert!(casemap("ΟΔΟΣΗΜΑΝΣΗ").contains(&casemap("ΟΔΟΣ")));
        assert!(!casemap("Zürich").contains(&casemap("zurich")));
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "\\PC*") {
            let once = loose(&text);
            prop_assert_eq!(&loose(&once), &once);
        }

        #[test]
        fn what_was_written_is_found(before in "\\PC{0,12}", word in "[\\p{L}\\p{N}]{1,8}", after in "[ .,]\\PC{0,12}") {
            let text = format!("{before} {word}{after}");
            prop_assert!(loose(&text).contains(&loose(&word)));
        }
    }
}
