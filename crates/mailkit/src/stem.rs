//! Stems: what forms of a word have in common (`running`, `runs`: `run`), by the language of the text (Snowball's rules).

use frostem::{Algorithm, Stemmer};
use whatlang::{Detector, Lang};

use crate::fold::{casemap, loose};

/// How much of a text tells its language, in bytes.
const MAX_TOLD_BYTES: usize = 600;
/// Words whose stems are known, in characters.
const WORD_CHARS: std::ops::RangeInclusive<usize> = 3..=40;
/// How sure one has to be of a language to leave out English, the commonest.
const SURE: f64 = 0.9;

/// A language whose words have stems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(u8);

const LANGUAGES: [(Lang, Algorithm); 18] = [
    (Lang::Eng, Algorithm::English),
    (Lang::Deu, Algorithm::German),
    (Lang::Fra, Algorithm::French),
    (Lang::Spa, Algorithm::Spanish),
    (Lang::Por, Algorithm::Portuguese),
    (Lang::Ita, Algorithm::Italian),
    (Lang::Nld, Algorithm::Dutch),
    (Lang::Swe, Algorithm::Swedish),
    (Lang::Dan, Algorithm::Danish),
    (Lang::Nob, Algorithm::Norwegian),
    (Lang::Fin, Algorithm::Finnish),
    (Lang::Hun, Algorithm::Hungarian),
    (Lang::Ron, Algorithm::Romanian),
    (Lang::Pol, Algorithm::Polish),
    (Lang::Tur, Algorithm::Turkish),
    (Lang::Rus, Algorithm::Russian),
    (Lang::Ell, Algorithm::Greek),
    (Lang::Ara, Algorithm::Arabic),
];

impl Language {
    /// English.
    pub const ENGLISH: Self = Self(0);

    /// The languages of a set of [`Language::bit`]s.
    pub fn of_bits(bits: u64) -> impl Iterator<Item = Self> {
        (0..LANGUAGES.len() as u8).map(Self).filter(move |language| bits & language.bit() != 0)
    }

    /// Its place in a set.
    pub const fn bit(self) -> u64 {
        1 << self.0
    }

    /// The stem of a word, folded by [`loose`]. `word` is folded by [`casemap`]: accents tell forms apart.
    pub fn stem(self, word: &str) -> String {
        let stemmer = Stemmer::new(LANGUAGES[usize::from(self.0)].1);
        loose(&stemmer.stem(word))
    }
}

/// The languages in which a text may be: one, or two where its beginning leaves that open.
pub fn languages(text: &str) -> Vec<Language> {
    use std::sync::LazyLock;
    static DETECTOR: LazyLock<Detector> =
        LazyLock::new(|| Detector::with_allowlist(LANGUAGES.iter().map(|(language, _)| *language).collect()));
    let text = &text[..text.floor_char_boundary(MAX_TOLD_BYTES)];
    let Some(found) = DETECTOR.detect(text) else { return Vec::new() };
    let mut languages = Vec::with_capacity(2);
    languages.extend(LANGUAGES.iter().position(|(language, _)| *language == found.lang()).map(|at| Language(at as u8)));
    if found.confidence() < SURE && found.script() == whatlang::Script::Latin && !languages.contains(&Language::ENGLISH)
    {
        languages.push(Language::ENGLISH);
    }
    languages
}

/// Whether a text is one word that may have other forms.
pub fn is_word(text: &str) -> bool {
    text.chars().all(char::is_alphabetic) && WORD_CHARS.contains(&text.chars().count())
}

/// Calls for each word of a text folded by [`casemap`], as often as it stands there.
pub fn each_word<'a>(folded: &'a str, mut visit: impl FnMut(&'a str)) {
    for word in folded.split(|c: char| !c.is_alphanumeric()) {
        if word.len() >= *WORD_CHARS.start() && is_word(word) {
            visit(word);
        }
    }
}

/// A word whose other forms are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forms {
    word: String,
    /// How a text that has one of them goes somewhere, folded by [`loose`].
    beginning: String,
}

impl Forms {
    /// Of a word; `None` if it is none.
    pub fn of(word: &str) -> Option<Self> {
        let word = casemap(word);
        let bare = loose(&word);
        let chars = bare.chars().count();
        let beginning = bare.chars().take(chars.saturating_sub(1).min(3)).collect();
        is_word(&word).then_some(Self { word, beginning })
    }

    /// The stem of it in a language.
    pub fn stem(&self, language: Language) -> String {
        language.stem(&self.word)
    }

    /// Whether a text folded by [`loose`] may have one.
    pub fn may_be_in(&self, folded: &str) -> bool {
        let begins = |at: usize| !folded[..at].ends_with(char::is_alphanumeric);
        folded.match_indices(&self.beginning).any(|(at, _)| begins(at))
    }

    /// Whether one is in a text folded by [`casemap`], in one of these languages.
    pub fn are_in(&self, text: &str, languages: &[Language]) -> bool {
        let stems: Vec<(Language, String)> =
            languages.iter().map(|language| (*language, self.stem(*language))).collect();
        let mut found = false;
        each_word(text, |word| {
            let is_other = word.is_ascii() && !word.starts_with(&*self.beginning);
            found = found || (!is_other && self.is_form(word, &stems));
        });
        found
    }

    fn is_form(&self, word: &str, stems: &[(Language, String)]) -> bool {
        stems.iter().any(|(language, stem)| language.stem(word) == *stem) && loose(word).starts_with(&self.beginning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(code: Lang) -> Language {
        Language(LANGUAGES.iter().position(|(lang, _)| *lang == code).unwrap() as u8)
    }

    #[test]
    fn forms_of_a_word_have_one_stem() {
        for (code, forms) in [
            (Lang::Eng, &["run", "running", "runs"][..]),
            (Lang::Eng, &["invoice", "invoices", "invoiced", "invoicing"]),
            (Lang::Deu, &["Haus", "Häuser", "Häusern", "Hauses", "hauser"]),
            (Lang::Deu, &["Rechnung", "Rechnungen"]),
            (Lang::Fra, &["facture", "factures", "facturé"]),
            (Lang::Spa, &["factura", "facturas"]),
            (Lang::Rus, &["книга", "книги", "книгу"]),
            (Lang::Swe, &["räkning", "räkningar", "räkningen"]),
        ] {
            let stems: Vec<String> = forms.iter().map(|form| language(code).stem(&casemap(form))).collect();
            assert!(stems.iter().all(|stem| *stem == stems[0]), "{forms:?}: {stems:?}");
            for form in forms {
                let found = Forms::of(form).unwrap();
                assert!(forms.iter().all(|other| found.may_be_in(&loose(other))), "{form}");
                assert!(forms.iter().all(|other| found.are_in(&casemap(other), &[language(code)])), "{form}");
            }
        }
    }

    #[test]
    fn texts_tell_their_language() {
        for (code, text) in [
            (Lang::Eng, "Please find attached the invoices for the month of November, as we discussed yesterday."),
            (Lang::Eng, "I was running late"),
            (Lang::Deu, "Die Häuser stehen am Ende der Straße, und wir haben sie gestern gesehen."),
            (Lang::Fra, "Veuillez trouver ci-joint les factures du mois de novembre, comme convenu hier."),
            (Lang::Rus, "Добрый день, высылаю вам книги, о которых мы говорили вчера."),
        ] {
            assert!(languages(text).contains(&language(code)), "{text}: {:?}", languages(text));
        }
        assert!(languages("東京都庁").is_empty());
        assert!(languages("").is_empty());
    }

    #[test]
    fn what_is_no_single_word_has_no_forms() {
        for text in ["a", "ab", "a b", "b2b", "anna@x", "", "x-y", "12345"] {
            assert_eq!(Forms::of(text), None, "{text}");
        }
    }
}
