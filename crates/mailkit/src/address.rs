//! Addresses: the strict [`EmailAddress`] of envelopes and accounts, and the lists people type.

use std::fmt;
use std::str::FromStr;

/// An RFC 5321 (and 6531) mailbox, `local@domain`, valid by construction.
///
/// The domain is kept in its lower-case ASCII (A-label) form; the local part as written, without needless quotes. Two
/// values are equal if local part (exactly) and domain are. No value contains control characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EmailAddress {
    local: String,
    domain: String,
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing was given.
    #[error("the address is empty")]
    Empty,
    /// No `@`.
    #[error("the address has no @: expected name@domain")]
    NoDomain,
    /// Nothing before the `@`.
    #[error("the address has nothing before the @")]
    NoLocal,
    /// Longer than RFC 5321 section 4.5.3.1 allows: 64 bytes before the `@`, 255 after it, 254 in all.
    #[error("the address is too long")]
    TooLong,
    /// The part before the `@` has a character or a dot where none may be.
    #[error("the part before the @ is not valid: {0}")]
    Local(&'static str),
    /// The domain is not valid.
    #[error("the domain is not valid: {0}")]
    Domain(&'static str),
    /// In a list: this entry is wrong.
    #[error("\u{201c}{text}\u{201d}: {reason}")]
    Entry {
        /// The entry as typed.
        text: String,
        /// What is wrong with it.
        reason: Box<AddressError>,
    },
}

/// An address with the name people know it by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedAddress {
    /// Display name; may be empty; never contains control characters.
    pub name: String,
    /// The address.
    pub address: EmailAddress,
}

impl EmailAddress {
    /// Reads `local@domain` strictly.
    pub fn parse(_text: &str) -> Result<Self, AddressError> {
        todo!()
    }

    /// The local part, unquoted, as written.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain: ASCII, lower-case; or an address literal in brackets.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The form by which accounts are found: local part lower-cased and NFC, domain ASCII lower-case.
    pub fn canonical(&self) -> String {
        todo!()
    }

    /// The same address without its `+detail`, and the detail.
    pub fn split_detail(&self, _separator: char) -> Option<(EmailAddress, String)> {
        todo!()
    }

    /// The domain as people read it (U-labels where safe).
    pub fn domain_unicode(&self) -> String {
        todo!()
    }

    /// Whether SMTPUTF8 is needed to carry it.
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii()
    }
}

/// `local@domain`, the local part quoted where RFC 5321 asks for it: what goes between `<` and `>`.
impl fmt::Display for EmailAddress {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

impl FromStr for EmailAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// `Name <local@domain>`, the name quoted where needed and not encoded (for showing and for form fields).
impl fmt::Display for NamedAddress {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

/// The valid addresses of a To or Cc value, or of a field typed by a person; the rest is left out.
pub fn parse_mailbox_list(_value: &str) -> Vec<NamedAddress> {
    todo!()
}

/// The same, but names the first entry that is wrong.
pub fn parse_mailbox_list_strict(_value: &str) -> Result<Vec<NamedAddress>, AddressError> {
    todo!()
}
