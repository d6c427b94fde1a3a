//! How a text is cut into the terms of the index, and what terms a text must have to contain another one.
//!
//! Searches are for parts of texts, not for words (RFC 9051 section 6.4.4), so the cut depends on single characters
//! alone: a *run* is as many letters and digits as stand side by side. Where `text` contains `part`, each run within
//! `part` is a run of `text`, and those at its ends are ends of runs of `text`. Terms are of texts folded by
//! [`mailkit::fold::loose`]; what folds less finds less, so they serve both.
//!
//! Scripts that write no spaces (Chinese, Japanese, Thai and others) have as terms each two characters side by side.

use mailkit::fold::loose;
use mailkit::stem::Language;

/// Longest term, in characters. A longer run has as terms all stretches of that length that begin at every
/// [`STEP`]th character, and its end.
pub const MAX_TERM_CHARS: usize = 40;
/// Where stretches of a long run begin. What is no longer than this is in one of them as a whole.
const STEP: usize = 20;

/// What kind of run a character belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Letters and digits of scripts that write spaces.
    Word,
    /// Those of scripts that don't.
    Dense,
}

fn class(c: char) -> Option<Class> {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric().then_some(Class::Word);
    }
    if is_dense(c) {
        return Some(Class::Dense);
    }
    c.is_alphanumeric().then_some(Class::Word)
}

/// Thai, Lao, Myanmar, Khmer, kana, Han.
pub fn is_dense(c: char) -> bool {
    matches!(c,
        '\u{e01}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// The runs of a folded text, and where they end.
fn runs(text: &str) -> impl Iterator<Item = (Class, &str, usize)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let (start, kind) = text[rest..].char_indices().find_map(|(at, c)| Some((rest + at, class(c)?)))?;
        let is_other = |c: char| class(c) != Some(kind);
        let end = text[start..].find(is_other).map_or(text.len(), |len| start + len);
        rest = end;
        Some((kind, &text[start..end], end))
    })
}

/// Calls for each term of a folded text, as often as it stands there.
pub fn each_term<'a>(folded: &'a str, mut visit: impl FnMut(&'a str)) {
    for (kind, run, _) in runs(folded) {
        match kind {
            Class::Word if run.len() <= MAX_TERM_CHARS => visit(run),
            Class::Word => stretches(run, &mut visit),
            Class::Dense => pairs(run, &mut visit),
        }
    }
}

/// Where the characters of a run begin, and its end.
fn bounds(run: &str) -> Vec<usize> {
    run.char_indices().map(|(at, _)| at).chain([run.len()]).collect()
}

fn stretches<'a>(run: &'a str, visit: &mut impl FnMut(&'a str)) {
    let at = bounds(run);
    let chars = at.len() - 1;
    if chars <= MAX_TERM_CHARS {
        return visit(run);
    }
    let last = chars - MAX_TERM_CHARS;
    for start in (0..last).step_by(STEP).chain([last]) {
        visit(&run[at[start]..at[start + MAX_TERM_CHARS]]);
    }
}

fn pairs<'a>(run: &'a str, visit: &mut impl FnMut(&'a str)) {
    let at = bounds(run);
    if at.len() == 2 {
        return visit(run);
    }
    for ends in at.windows(3) {
        visit(&run[ends[0]..ends[2]]);
    }
}

/// First byte of terms that are stems of words; no other term has it.
pub const STEM: u8 = 1;

/// The term of a stem.
pub fn of_stem(stem: &str) -> String {
    format!("{}{stem}", char::from(STEM))
}

/// The term of the stem of a word folded by [`mailkit::fold::casemap`]; `None` for a word that is its own stem.
pub fn stem_term(word: &str, language: Language) -> Option<Box<str>> {
    let stem = language.stem(word);
    (stem != loose(word)).then(|| of_stem(&stem).into())
}

/// Whether a term is the stem of a word, not a word.
pub fn is_stem(term: &[u8]) -> bool {
    term.first() == Some(&STEM)
}

/// What a term has to look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// It is this.
    Exact(String),
    /// It begins so.
    Prefix(String),
    /// It ends so.
    Suffix(String),
    /// This is in it.
    Contains(String),
}

impl Pattern {
    /// Whether a term is such a one.
    pub fn is_met(&self, term: &[u8]) -> bool {
        match self {
            Self::Exact(text) => term == text.as_bytes(),
            _ if is_stem(term) => false,
            Self::Prefix(text) => term.starts_with(text.as_bytes()),
            Self::Suffix(text) => term.ends_with(text.as_bytes()),
            Self::Contains(text) => memchr::memmem::find(term, text.as_bytes()).is_some(),
        }
    }

    /// [`Pattern::is_met`], prepared for many terms.
    pub fn matcher(&self) -> impl Fn(&[u8]) -> bool {
        let inner = match self {
            Self::Contains(text) => Some(memchr::memmem::Finder::new(text.as_bytes())),
            _ => None,
        };
        move |term| match &inner {
            Some(finder) => !is_stem(term) && finder.find(term).is_some(),
            None => self.is_met(term),
        }
    }

    /// What terms begin with that meet it.
    pub fn beginning(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
            Self::Suffix(_) | Self::Contains(_) => "",
        }
    }
}

/// Patterns, for each of which a folded text has a term if it contains the folded text `part`.
pub fn patterns(part: &str) -> Vec<Pattern> {
    let mut patterns = Vec::new();
    for (kind, run, end) in runs(part) {
        let (open_before, open_after) = (end == run.len(), end == part.len());
        match kind {
            Class::Dense => {
                if run.chars().nth(1).is_none() {
                    patterns.push(Pattern::Contains(run.to_owned()));
                } else {
                    pairs(run, &mut |pair| patterns.push(Pattern::Exact(pair.to_owned())));
                }
            }
            Class::Word => patterns.push(of_word(run, open_before, open_after)),
        }
    }
    patterns.dedup();
    patterns
}

/// What one run says; one that is `open` at an end may go on there in the text.
fn of_word(run: &str, open_before: bool, open_after: bool) -> Pattern {
    let at = bounds(run);
    let chars = at.len() - 1;
    let own = run.to_owned();
    match (open_before, open_after) {
        _ if chars > MAX_TERM_CHARS => Pattern::Contains(run[..at[STEP]].to_owned()),
        (true, true) => Pattern::Contains(run[..at[chars.min(STEP)]].to_owned()),
        (true, false) => Pattern::Suffix(own),
        (false, true) => Pattern::Prefix(own),
        (false, false) => Pattern::Exact(own),
    }
}

#[cfg(test)]
mod tests {
    use mailkit::fold::casemap;
    use proptest::prelude::*;

    use super::*;

    fn terms(text: &str) -> Vec<String> {
        let folded = loose(text);
        let mut terms = Vec::new();
        each_term(&folded, |term| terms.push(term.to_owned()));
        terms
    }

    fn may_contain(text: &str, part: &str) -> bool {
        let terms = terms(text);
        patterns(&loose(part)).iter().all(|pattern| terms.iter().any(|term| pattern.is_met(term.as_bytes())))
    }

    #[test]
    fn texts_are_cut_where_letters_end() {
        assert_eq!(terms("Straße, ﬁle-name a1"), ["strasse", "file", "name", "a1"]);
        assert_eq!(terms("anna.b@Test.example"), ["anna", "b", "test", "example"]);
        assert_eq!(terms("https://x.example/a_b?q=1"), ["https", "x", "example", "a", "b", "q", "1"]);
        assert_eq!(terms("東京都 京"), ["東京", "京都", "京"]);
        assert_eq!(terms("abc東京x"), ["abc", "東京", "x"]);
        assert_eq!(terms("สวัสดี").len(), 5);
        assert_eq!(terms(" .,- "), Vec::<String>::new());
        let long = "x".repeat(95);
        assert_eq!(terms(&long).iter().map(String::len).collect::<Vec<_>>(), [40; 4]);
    }

    #[test]
    fn ends_of_a_part_may_go_on_in_the_text() {
        assert_eq!(patterns("erinn"), [Pattern::Contains("erinn".into())]);
        let three = [Pattern::Suffix("a".into()), Pattern::Exact("b".into()), Pattern::Prefix("c".into())];
        assert_eq!(patterns("a b.c"), three);
        assert_eq!(patterns(" a "), [Pattern::Exact("a".into())]);
        assert_eq!(patterns("東京都"), [Pattern::Exact("東京".into()), Pattern::Exact("京都".into())]);
        assert_eq!(patterns("--"), []);
    }

    proptest! {
        #[test]
        fn whatever_is_in_a_text_is_among_its_candidates(
            text in "([a-cßÄé ._@-]|[東京都ก่าี]|ﬁ|[Σσς]|й|[ｱ-ｶ]ﾞ?|[a-z0-9]{15,130}){1,30}",
            from in 0usize..200,
            len in 1usize..60,
        ) {
            for fold in [casemap, loose] {
                let folded = fold(&text);
                let part: String = folded.chars().skip(from % folded.chars().count().max(1)).take(len).collect();
                prop_assert!(folded.contains(&part));
                prop_assert!(may_contain(&text, &part), "{part:?} in {text:?}");
            }
        }
    }
}
