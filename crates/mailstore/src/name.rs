//! Mailbox names (RFC 9051 §5.1): UTF-8, parts joined by `/`, INBOX in any case.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use crate::MailError;

/// Most parts a name may have: `a/b/c` has three.
pub const MAX_NAME_DEPTH: usize = 20;
/// Longest name, in bytes of UTF-8, all parts together. Names are keys in the store, hence the bound.
pub const MAX_NAME_BYTES: usize = 400;
/// Most mailboxes an account may have.
pub const MAX_MAILBOXES: usize = 2_000;

/// What is wrong with a mailbox name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name, or a part of it between slashes, is empty.
    #[error("a part of the name is empty")]
    Empty,
    /// Longer than [`MAX_NAME_BYTES`].
    #[error("it is longer than {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// Deeper than [`MAX_NAME_DEPTH`].
    #[error("it has more than {MAX_NAME_DEPTH} levels")]
    TooDeep,
    /// A control character, a line separator, or one of the LIST wildcards `%` and `*`.
    #[error("it contains {0:?}")]
    Character(char),
    /// A part begins or ends with a space.
    #[error("a part of the name begins or ends with a space")]
    Space,
}

/// A valid mailbox name in its normal form: Unicode NFC, first part `INBOX` in capitals whatever its case was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(String);

impl MailboxName {
    /// The inbox.
    pub fn inbox() -> Self {
        Self("INBOX".into())
    }

    /// Check `name` and bring it into its normal form. One trailing `/` is dropped, as CREATE wants it (RFC 9051 §6.3.4).
    ///
    /// # Errors
    /// [`MailError::BadName`], naming what is wrong.
    pub fn new(name: &str) -> Result<Self, MailError> {
        Self::normalise(name)
            .map_err(|reason| MailError::BadName { name: name.chars().take(MAX_NAME_BYTES).collect(), reason })
    }

    fn normalise(name: &str) -> Result<Self, NameError> {
        // Normalising can grow text at most threefold in UTF-8, so this bounds the work.
        if name.len() > 4 * MAX_NAME_BYTES {
            return Err(NameError::TooLong);
        }
        let name: String = name.strip_suffix('/').unwrap_or(name).nfc().collect();
        if name.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong);
        }
        let mut parts: Vec<&str> = name.split('/').collect();
        if parts.len() > MAX_NAME_DEPTH {
            return Err(NameError::TooDeep);
        }
        for part in &parts {
            if part.is_empty() {
                return Err(NameError::Empty);
            }
            let refused = |c: &char| c.is_control() || matches!(c, '%' | '*' | '\u{2028}' | '\u{2029}' | '\u{feff}');
            if let Some(c) = part.chars().find(refused) {
                return Err(NameError::Character(c));
            }
            if part.starts_with(' ') || part.ends_with(' ') {
                return Err(NameError::Space);
            }
        }
        if parts[0].eq_ignore_ascii_case("INBOX") {
            parts[0] = "INBOX";
        }
        Ok(Self(parts.join("/")))
    }

    /// The nearest valid name for parts that come from elsewhere: what can't stand in a name becomes `_`, as does a part
    /// that is empty; levels beyond [`MAX_NAME_DEPTH`] are joined to the last one; what is too long is cut, with a hash of
    /// the whole behind it, so that two names stay two. `None` if there is no part at all.
    pub fn near<'a>(parts: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let refused = |c: char| c.is_control() || matches!(c, '/' | '%' | '*' | '\u{2028}' | '\u{2029}' | '\u{feff}');
        let clean = |part: &str| {
            let part: String = part.nfc().map(|c| if refused(c) { '_' } else { c }).collect();
            let part = part.trim();
            if part.is_empty() { "_".to_owned() } else { part.to_owned() }
        };
        let mut parts: Vec<String> = parts.into_iter().map(clean).collect();
        if parts.len() > MAX_NAME_DEPTH {
            let rest = parts.split_off(MAX_NAME_DEPTH - 1).join(" ");
            parts.push(rest);
        }
        let whole = parts.join("/");
        let name = if whole.len() <= MAX_NAME_BYTES { whole } else { shortened(&whole, MAX_NAME_BYTES, 8) };
        Self::normalise(&name).ok()
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the inbox itself.
    pub fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }

    /// The last part: `c` of `a/b/c`.
    pub fn leaf(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The name one level up: `a/b` of `a/b/c`.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// All superior names, outermost first.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + '_ {
        self.0.match_indices('/').map(|(end, _)| Self(self.0[..end].to_owned()))
    }

    /// Whether this name lies below `other`.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }

    /// This name with the superior `from` replaced by `to`; `None` if it is not below `from` nor `from` itself.
    pub(crate) fn moved(&self, from: &Self, to: &Self) -> Option<String> {
        let rest = self.0.strip_prefix(from.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{to}{rest}"))
    }

    pub(crate) fn from_stored(name: String) -> Self {
        Self(name)
    }
}

/// The beginning of a name that is too long, and so many digits of a hash of the whole, so that two names stay two; at most
/// `most` bytes in all.
pub(crate) fn shortened(name: &str, most: usize, digits: usize) -> String {
    let kept = &name[..name.floor_char_boundary(most - digits - 1)];
    let hash = blake3::hash(name.as_bytes()).to_hex();
    format!("{}~{}", kept.trim_end_matches([' ', '/']), &hash[..digits])
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(name: &str) -> NameError {
        match MailboxName::new(name) {
            Err(MailError::BadName { reason, .. }) => reason,
            other => panic!("{name:?} gave {other:?}"),
        }
    }

    #[test]
    fn inbox_is_one_whatever_its_case() {
        assert!(MailboxName::new("iNbOx").unwrap().is_inbox());
        assert_eq!(MailboxName::new("inbox/Lists").unwrap().as_str(), "INBOX/Lists");
        assert_eq!(MailboxName::new("a/inbox").unwrap().as_str(), "a/inbox");
        assert_eq!(MailboxName::new("inboxes").unwrap().as_str(), "inboxes");
    }

    #[test]
    fn names_are_normalised() {
        assert_eq!(MailboxName::new("Cafe\u{301}").unwrap(), MailboxName::new("Caf\u{e9}").unwrap());
        assert_eq!(MailboxName::new("a/b/").unwrap().as_str(), "a/b");
    }

    #[test]
    fn what_can_not_be_a_name_is_refused_by_reason() {
        assert_eq!(reason(""), NameError::Empty);
        assert_eq!(reason("/"), NameError::Empty);
        assert_eq!(reason("a//b"), NameError::Empty);
        assert_eq!(reason("a\u{7}"), NameError::Character('\u{7}'));
        assert_eq!(reason("50%"), NameError::Character('%'));
        assert_eq!(reason(" a"), NameError::Space);
        assert_eq!(reason(&"x".repeat(MAX_NAME_BYTES + 1)), NameError::TooLong);
        assert_eq!(reason(&"x".repeat(1_000_000)), NameError::TooLong);
        assert_eq!(reason(&"x/".repeat(MAX_NAME_DEPTH + 1)), NameError::TooDeep);
    }

    #[test]
    fn a_near_name_is_valid_and_keeps_names_apart() {
        for (parts, expected) in [
            (&["50%"][..], "50_"),
            (&["x", "", "y"], "x/_/y"),
            (&[" "], "_"),
            (&["a/b", "c*"], "a_b/c_"),
            (&[" a ", "b\u{7}"], "a/b_"),
            (&["inbox", "b"], "INBOX/b"),
            (&["Cafe\u{301}"], "Caf\u{e9}"),
        ] {
            assert_eq!(MailboxName::near(parts.iter().copied()).unwrap().as_str(), expected);
        }
        let deep = MailboxName::near(std::iter::repeat_n("d", 21)).unwrap();
        assert_eq!(deep.as_str(), format!("{}d d", "d/".repeat(19)));
        let long = |end: &str| MailboxName::near([format!("{}{end}", "\u{4e2d}".repeat(200)).as_str()]).unwrap();
        assert!(long("a").as_str().len() <= MAX_NAME_BYTES && long("a") != long("b"));
        assert_eq!(MailboxName::near([]), None);
    }

    #[test]
    fn the_tree_is_walked_by_parts_not_letters() {
        let name = MailboxName::new("a/b/c").unwrap();
        assert_eq!(name.leaf(), "c");
        assert_eq!(name.parent().unwrap().as_str(), "a/b");
        assert_eq!(name.ancestors().map(|n| n.to_string()).collect::<Vec<_>>(), ["a", "a/b"]);
        let a = MailboxName::new("a").unwrap();
        assert!(name.is_below(&a) && !a.is_below(&a) && !MailboxName::new("ab").unwrap().is_below(&a));
        assert_eq!(name.moved(&a, &MailboxName::new("z/y").unwrap()).as_deref(), Some("z/y/b/c"));
        assert_eq!(MailboxName::new("ab").unwrap().moved(&a, &name), None);
    }
}
