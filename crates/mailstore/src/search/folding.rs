//! What makes two spellings the same.

/// How text is made comparable before it is searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Folding {
    /// Case alone is disregarded: what IMAP promises (RFC 9051 §6.4.4).
    #[default]
    Case,
    /// Accents, width, ligatures, soft hyphens and line breaks are disregarded too: for people ([`mailkit::fold::loose`]).
    /// Other forms of a word are found as well ([`mailkit::stem`]), and what attached documents say.
    Loose,
    /// As [`Folding::Loose`], without other forms of words.
    Literal,
}

impl Folding {
    pub(super) fn fold(self, text: &str) -> String {
        match self {
            Self::Case => mailkit::fold::casemap(text),
            Self::Loose | Self::Literal => mailkit::fold::loose(text),
        }
    }

    /// Whether `text` contains `folded`.
    pub(super) fn contains(self, text: &str, folded: &str) -> bool {
        folded.is_empty() || self.fold(text).contains(folded)
    }
}
