//! Flags and keywords of a message (RFC 9051 §2.3.2).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::MailError;

/// Longest keyword, in bytes.
pub const MAX_KEYWORD_BYTES: usize = 64;
/// Most keywords that one message may have, and most in one mailbox to which a client can add new ones.
pub const MAX_KEYWORDS: usize = 128;

/// A system flag. `\Recent` is not kept (IMAP4rev2 dropped it): rev1 clients are told that nothing is recent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SystemFlag {
    /// `\Seen`
    Seen = 1,
    /// `\Answered`
    Answered = 2,
    /// `\Flagged`
    Flagged = 4,
    /// `\Deleted`
    Deleted = 8,
    /// `\Draft`
    Draft = 16,
}

impl SystemFlag {
    /// All of them, in the order in which they are written.
    pub const ALL: [Self; 5] = [Self::Answered, Self::Flagged, Self::Deleted, Self::Seen, Self::Draft];

    /// With the backslash, as IMAP writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seen => "\\Seen",
            Self::Answered => "\\Answered",
            Self::Flagged => "\\Flagged",
            Self::Deleted => "\\Deleted",
            Self::Draft => "\\Draft",
        }
    }

    /// From its name with the backslash, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flag| flag.name().eq_ignore_ascii_case(name))
    }
}

/// A keyword such as `$Forwarded`: an IMAP atom. Compared without regard to case, kept as it was first written;
/// the registered ones get their registered spelling.
#[derive(Clone, Debug)]
pub struct Keyword(Box<str>);

const REGISTERED: [&str; 10] = [
    "$Forwarded",
    "$MDNSent",
    "$Junk",
    "$NotJunk",
    "$Phishing",
    "$Important",
    "$SubmitPending",
    "$Submitted",
    "$Label1",
    "Forwarded",
];

impl Keyword {
    /// The keyword named `name`.
    ///
    /// # Errors
    /// [`MailError::BadKeyword`] if it is empty, longer than [`MAX_KEYWORD_BYTES`] or no IMAP atom.
    pub fn new(name: &str) -> Result<Self, MailError> {
        let atom = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
        if name.is_empty() || name.len() > MAX_KEYWORD_BYTES || !name.bytes().all(atom) {
            return Err(MailError::BadKeyword(name.chars().take(80).collect()));
        }
        let known = REGISTERED.iter().find(|known| known.eq_ignore_ascii_case(name));
        Ok(Self(known.map_or(name, |known| known).into()))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for Keyword {}
impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Keyword {
    fn cmp(&self, other: &Self) -> Ordering {
        let lower = |k: &Self| k.0.bytes().map(|b| b.to_ascii_lowercase()).collect::<Vec<_>>();
        lower(self).cmp(&lower(other))
    }
}
impl Hash for Keyword {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for b in self.0.bytes() {
            state.write_u8(b.to_ascii_lowercase());
        }
    }
}
impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The flags and keywords of a message: a set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    system: u8,
    /// Sorted, without duplicates.
    keywords: Vec<Keyword>,
}

impl Flags {
    /// No flags.
    pub const NONE: Self = Self { system: 0, keywords: Vec::new() };

    /// The set of these system flags.
    pub fn of(flags: &[SystemFlag]) -> Self {
        Self { system: flags.iter().fold(0, |bits, flag| bits | *flag as u8), keywords: Vec::new() }
    }

    /// From names as IMAP writes them (`\Seen`, `$Forwarded`). Unknown names with a backslash, `\Recent` among them,
    /// are left out: they are not the client's to set.
    ///
    /// # Errors
    /// [`MailError::BadKeyword`] for a keyword that is none, or if there are more than [`MAX_KEYWORDS`].
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, MailError> {
        let mut flags = Self::NONE;
        for name in names {
            if let Some(flag) = SystemFlag::parse(name) {
                flags.insert(flag);
            } else if !name.starts_with('\\') {
                flags.insert_keyword(Keyword::new(name)?)?;
            }
        }
        Ok(flags)
    }

    pub(crate) fn from_parts(system: u32, keywords: &[String]) -> Self {
        let mut keywords: Vec<_> = keywords.iter().map(|name| Keyword(name.as_str().into())).collect();
        keywords.sort();
        keywords.dedup();
        Self { system: (system & 0x1f) as u8, keywords }
    }

    pub(crate) fn system_bits(&self) -> u32 {
        u32::from(self.system)
    }

    pub(crate) fn keyword_names(&self) -> Vec<String> {
        self.keywords.iter().map(|keyword| keyword.as_str().to_owned()).collect()
    }

    /// Whether `flag` is set.
    pub fn contains(&self, flag: SystemFlag) -> bool {
        self.system & flag as u8 != 0
    }

    /// Whether the keyword is set.
    pub fn contains_keyword(&self, keyword: &Keyword) -> bool {
        self.keywords.binary_search(keyword).is_ok()
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.system == 0 && self.keywords.is_empty()
    }

    /// `\Seen`
    pub fn seen(&self) -> bool {
        self.contains(SystemFlag::Seen)
    }

    /// `\Flagged`
    pub fn flagged(&self) -> bool {
        self.contains(SystemFlag::Flagged)
    }

    /// `\Deleted`
    pub fn deleted(&self) -> bool {
        self.contains(SystemFlag::Deleted)
    }

    /// The keywords, sorted.
    pub fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    /// The system flags that are set.
    pub fn system(&self) -> impl Iterator<Item = SystemFlag> + '_ {
        SystemFlag::ALL.into_iter().filter(|flag| self.contains(*flag))
    }

    /// All names, system flags first, as IMAP writes them.
    pub fn names(&self) -> impl Iterator<Item = &str> + '_ {
        self.system().map(|flag| flag.name()).chain(self.keywords.iter().map(Keyword::as_str))
    }

    /// Set a system flag.
    pub fn insert(&mut self, flag: SystemFlag) {
        self.system |= flag as u8;
    }

    /// Clear a system flag.
    pub fn remove(&mut self, flag: SystemFlag) {
        self.system &= !(flag as u8);
    }

    /// Set a keyword.
    ///
    /// # Errors
    /// [`MailError::BadKeyword`] if it would be one more than [`MAX_KEYWORDS`].
    pub fn insert_keyword(&mut self, keyword: Keyword) -> Result<(), MailError> {
        if let Err(place) = self.keywords.binary_search(&keyword) {
            if self.keywords.len() >= MAX_KEYWORDS {
                return Err(MailError::BadKeyword(format!(
                    "{keyword}: too many keywords, the limit is {MAX_KEYWORDS}"
                )));
            }
            self.keywords.insert(place, keyword);
        }
        Ok(())
    }

    /// What these flags become by `change`.
    ///
    /// # Errors
    /// [`MailError::BadKeyword`] if there would be more than [`MAX_KEYWORDS`].
    pub fn changed(&self, change: &FlagChange) -> Result<Self, MailError> {
        match change {
            FlagChange::Replace(flags) => Ok(flags.clone()),
            FlagChange::Add(flags) => {
                let mut sum = self.clone();
                sum.system |= flags.system;
                for keyword in &flags.keywords {
                    sum.insert_keyword(keyword.clone())?;
                }
                Ok(sum)
            }
            FlagChange::Remove(flags) => Ok(Self {
                system: self.system & !flags.system,
                keywords: self.keywords.iter().filter(|k| !flags.contains_keyword(k)).cloned().collect(),
            }),
        }
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.names().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

/// What STORE does with the flags of a message (RFC 9051 §6.4.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlagChange {
    /// `+FLAGS`
    Add(Flags),
    /// `-FLAGS`
    Remove(Flags),
    /// `FLAGS`
    Replace(Flags),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_ignore_case_and_keep_the_registered_spelling() {
        let flags = Flags::parse(["$forwarded", "Work", "WORK", "\\seen", "\\Recent"]).unwrap();
        assert_eq!(flags.to_string(), "\\Seen $Forwarded Work");
        assert!(flags.contains_keyword(&Keyword::new("wOrK").unwrap()));
    }

    #[test]
    fn what_is_no_atom_is_no_keyword() {
        for name in ["", "a b", "a(b", "caf\u{e9}", "a]", "a\\b", "a\0", &"x".repeat(MAX_KEYWORD_BYTES + 1)] {
            assert!(matches!(Keyword::new(name), Err(MailError::BadKeyword(_))), "{name:?}");
        }
    }

    #[test]
    fn add_remove_and_replace_are_set_operations() {
        let start = Flags::parse(["\\Seen", "a"]).unwrap();
        let other = Flags::parse(["\\Seen", "\\Flagged", "A", "b"]).unwrap();
        assert_eq!(start.changed(&FlagChange::Add(other.clone())).unwrap().to_string(), "\\Flagged \\Seen a b");
        assert!(start.changed(&FlagChange::Remove(other.clone())).unwrap().is_empty());
        assert_eq!(start.changed(&FlagChange::Replace(other.clone())).unwrap(), other);
    }

    #[test]
    fn the_number_of_keywords_is_bounded() {
        let names: Vec<_> = (0..=MAX_KEYWORDS).map(|n| format!("k{n}")).collect();
        assert!(Flags::parse(names.iter().skip(1).map(String::as_str)).is_ok());
        assert!(Flags::parse(names.iter().map(String::as_str)).is_err());
    }
}
