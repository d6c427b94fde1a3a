//! Addresses: the [`EmailAddress`] of envelopes and accounts.
//!
//! Two readers of lists use it: the tolerant one of header fields that others wrote (`addrlist`), and the strict one of
//! what people type ([`crate::typed`]).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization as _;

/// Longest local part of an address here, in bytes: what every server must take (RFC 5321 section 4.5.3.1.1).
pub const MAX_OWN_LOCAL_BYTES: usize = 64;

/// Longest address here, in bytes (RFC 5321 section 4.5.3.1.3: a path is 256 with its brackets).
pub const MAX_OWN_ADDRESS_BYTES: usize = 254;

/// Longest domain in bytes (RFC 5321 section 4.5.3.1.2).
pub const MAX_DOMAIN_BYTES: usize = 255;

/// Longest address at all, in bytes: it fits a line of a header. RFC 5321 section 4.5.3.1 asks for no limit on what others
/// have; forwarders put whole addresses into the local parts of theirs.
pub const MAX_ADDRESS_BYTES: usize = 900;

/// What separates addresses for people whose keyboards have it in place of a comma.
pub(crate) const TYPED_COMMAS: [char; 2] = ['\u{ff0c}', '\u{3001}'];

/// What separates addresses for people whose keyboards have it in place of a semicolon.
pub(crate) const TYPED_SEMICOLONS: [char; 1] = ['\u{ff1b}'];

/// An RFC 5321 (and 6531) mailbox, `local@domain`, valid by construction.
///
/// The domain is kept in its lower-case ASCII (A-label) form without a final dot; the local part as written, without
/// needless quotes. Two values are equal if local part (exactly) and domain are. No value contains control characters.
///
/// What others have is taken as far as it is not ambiguous: local parts of any length, with dots anywhere, and domains
/// with underscores. What an address here may be is narrower: [`EmailAddress::check_own`].
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
    /// Longer than [`MAX_DOMAIN_BYTES`] or [`MAX_ADDRESS_BYTES`]; of an address here, than those of its own.
    #[error("the address is too long")]
    TooLong,
    /// The part before the `@` has a character or a dot where none may be.
    #[error("the part before the @ is not valid: {0}")]
    Local(&'static str),
    /// The domain is not valid.
    #[error("the domain is not valid: {0}")]
    Domain(&'static str),
    /// In a list: the closing bracket is missing.
    #[error("the > is missing")]
    Unclosed,
    /// In a list: a quote without its other half.
    #[error("its quotes are not closed")]
    Quotes,
    /// In a list: several words, one of which is an address.
    #[error("put < and > around the address")]
    Brackets,
    /// In a list: words behind an address.
    #[error("there is extra text after the address")]
    Behind,
    /// A list that is longer than is read.
    #[error("there are too many entries")]
    TooMany,
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
    /// Reads `local@domain`, and nothing that could be read otherwise.
    ///
    /// The local part is made of atoms and dots, or a quoted string, in UTF-8 where it is not ASCII; the domain a host name
    /// (in ASCII or Unicode, underscores and a final dot let pass) or an address literal. No comments, no white space
    /// outside quotes, no angle brackets.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.len() > 2 * MAX_ADDRESS_BYTES {
            return Err(AddressError::TooLong);
        }
        let (local, domain) = if text.starts_with('"') {
            unquoted_local(text)?
        } else {
            let (local, domain) = text.split_once('@').ok_or(AddressError::NoDomain)?;
            check_atoms(local)?;
            (local.to_owned(), domain)
        };
        Self::from_parts(&local, domain)
    }

    /// Puts an address together from an unquoted local part and a domain.
    pub fn from_parts(local: &str, domain: &str) -> Result<Self, AddressError> {
        if local.is_empty() {
            return Err(AddressError::NoLocal);
        }
        if let Some(reason) = local.chars().find_map(forbidden) {
            return Err(AddressError::Local(reason));
        }
        let domain = mail_domain(domain)?;
        let address = Self { local: local.to_owned(), domain };
        if address.to_string().len() > MAX_ADDRESS_BYTES {
            return Err(AddressError::TooLong);
        }
        Ok(address)
    }

    /// Whether it may be an address here: what every server elsewhere takes.
    ///
    /// # Errors
    /// Says what others may refuse.
    pub fn check_own(&self) -> Result<(), AddressError> {
        if self.local.len() > MAX_OWN_LOCAL_BYTES || self.to_string().len() > MAX_OWN_ADDRESS_BYTES {
            return Err(AddressError::TooLong);
        }
        if self.local.split('.').any(str::is_empty) {
            return Err(AddressError::Local("it starts or ends with a dot, or has two dots in a row"));
        }
        normal_domain(&self.domain).map(drop)
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
        let local: String = self.local.to_lowercase().nfc().collect();
        format!("{}@{}", Quoted(&local), self.domain)
    }

    /// The same address without its `+detail`, and the detail. `None` if there is none, or nothing before it.
    pub fn split_detail(&self, separator: char) -> Option<(EmailAddress, String)> {
        let (base, detail) = self.local.split_once(separator)?;
        if base.is_empty() {
            return None;
        }
        let base = Self::from_parts(base, &self.domain).ok()?;
        Some((base, detail.to_owned()))
    }

    /// Whether SMTPUTF8 is needed to carry it.
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii()
    }
}

/// A host name in lower-case ASCII, as a domain here has: letters, digits, hyphens and dots.
///
/// # Errors
/// [`AddressError::Domain`] or [`AddressError::TooLong`].
pub fn normal_domain(domain: &str) -> Result<String, AddressError> {
    let ascii = domain_with(domain, AsciiDenyList::STD3)?;
    let is_host = domain.starts_with('[') || ascii.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    if !is_host || domain.ends_with('.') {
        return Err(AddressError::Domain("it isn't a host name"));
    }
    Ok(ascii)
}

/// A domain in its ASCII form as people read it: `xn--mnchen-3ya.example` is `münchen.example`. What would not lead back to
/// the same ASCII form stays as it is, so that no two domains look like one here.
pub fn readable_domain(ascii: &str) -> String {
    if !ascii.split('.').any(|label| label.starts_with("xn--")) {
        return ascii.to_owned();
    }
    let (unicode, result) = Uts46::new().to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    let leads_back = result.is_ok() && normal_domain(&unicode).is_ok_and(|again| again == ascii);
    if leads_back { unicode.into_owned() } else { ascii.to_owned() }
}

/// The domain of somebody's address: the DNS allows underscores too (RFC 2181 section 11), and a final dot means nothing.
fn mail_domain(domain: &str) -> Result<String, AddressError> {
    /// What stands in no name: all of ASCII but letters, digits, hyphen, dot and underscore.
    const NOT_IN_NAMES: AsciiDenyList = AsciiDenyList::new(true, " !\"#$%&'()*+,/:;<=>?@[\\]^`{|}~");
    domain_with(domain.strip_suffix('.').unwrap_or(domain), NOT_IN_NAMES)
}

fn domain_with(domain: &str, denied: AsciiDenyList) -> Result<String, AddressError> {
    if domain.is_empty() {
        return Err(AddressError::Domain("it is empty"));
    }
    if domain.len() > 2 * MAX_DOMAIN_BYTES {
        return Err(AddressError::TooLong);
    }
    if let Some(literal) = domain.strip_prefix('[') {
        let literal = literal.strip_suffix(']').ok_or(AddressError::Domain("its bracket is not closed"))?;
        return address_literal(literal).ok_or(AddressError::Domain("it isn't an address literal"));
    }
    // The conversion drops some characters without a trace; an address must not change its meaning silently.
    if domain.chars().any(|c| forbidden(c).is_some() || c.is_whitespace()) {
        return Err(AddressError::Domain("it has a character that is not allowed"));
    }
    let ascii = Uts46::new().to_ascii(domain.as_bytes(), denied, Hyphens::CheckFirstLast, DnsLength::Verify);
    let ascii = ascii.map_err(|_| AddressError::Domain("it isn't a host name"))?;
    if ascii.len() > MAX_DOMAIN_BYTES {
        return Err(AddressError::TooLong);
    }
    Ok(ascii.into_owned())
}

/// `127.0.0.1` or `IPv6:::1`, in one spelling.
fn address_literal(literal: &str) -> Option<String> {
    if let Some(tail) = literal.get(5..)
        && literal[..5].eq_ignore_ascii_case("IPv6:")
    {
        let address: Ipv6Addr = tail.parse().ok()?;
        return Some(format!("[IPv6:{address}]"));
    }
    let address: Ipv4Addr = literal.parse().ok()?;
    Some(format!("[{address}]"))
}

/// Why a character may stand nowhere in an address: it could break out of a header, or deceive the eye.
fn forbidden(c: char) -> Option<&'static str> {
    match c {
        _ if c.is_control() => Some("it has a control character"),
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffd}'
        | '\u{ad}' => Some("it has an invisible character"),
        _ if c.is_whitespace() && c != ' ' => Some("it has white space that is not a plain space"),
        _ => None,
    }
}

/// `atext` of RFC 5322, and of RFC 6532 beyond ASCII.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii()
}

/// Whether a local part needs no quotes. It gets them where it has a mark that would separate addresses in a form: what is
/// filled in there must be read as the same address again.
fn is_dot_string(local: &str) -> bool {
    let separates = |c| TYPED_COMMAS.contains(&c) || TYPED_SEMICOLONS.contains(&c);
    local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(|c| is_atext(c) && !separates(c)))
}

/// An unquoted local part. Where its dots are is for its server to say.
fn check_atoms(local: &str) -> Result<(), AddressError> {
    if local.is_empty() {
        Err(AddressError::NoLocal)
    } else if local.chars().all(|c| is_atext(c) || c == '.') {
        Ok(())
    } else {
        Err(AddressError::Local("it has a character that must be quoted"))
    }
}

/// Splits `"quoted"@domain`, undoing escapes.
fn unquoted_local(text: &str) -> Result<(String, &str), AddressError> {
    let mut local = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                let domain = text[at + 1..].strip_prefix('@').ok_or(AddressError::NoDomain)?;
                return Ok((local, domain));
            }
            '\\' => match chars.next() {
                Some((_, escaped)) if matches!(escaped, ' '..='~') => local.push(escaped),
                _ => return Err(AddressError::Local("it has an invalid escape sequence")),
            },
            c => local.push(c),
        }
    }
    Err(AddressError::Local("its quotes are not closed"))
}

/// A local part as addresses have it: in quotes if it needs them.
pub(crate) fn quoted_local(local: &str) -> impl fmt::Display {
    Quoted(local)
}

/// A local part with the quotes it needs.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(self.0) {
            return f.write_str(self.0);
        }
        write_quoted(f, self.0)
    }
}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}

/// `local@domain`, the local part quoted where RFC 5321 asks for it: what goes between `<` and `>`.
impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", Quoted(&self.local), self.domain)
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

impl NamedAddress {
    /// An address with a name; control characters in the name become spaces.
    pub fn new(name: &str, address: EmailAddress) -> Self {
        let name = name.replace(|c: char| c.is_control(), " ");
        Self { name: name.trim().to_owned(), address }
    }
}

/// `Name <local@domain>`, the name quoted where needed and not encoded (for showing and for form fields).
impl fmt::Display for NamedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            return write!(f, "{}", self.address);
        }
        // Marks of other scripts are quoted too: some of them separate addresses for those who type them.
        if self.name.chars().all(|c| if c.is_ascii() { is_atext(c) || c == ' ' } else { c.is_alphanumeric() }) {
            f.write_str(&self.name)?;
        } else {
            write_quoted(f, &self.name)?;
        }
        write!(f, " <{}>", self.address)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<EmailAddress, AddressError> {
        EmailAddress::parse(text)
    }

    #[test]
    fn valid_addresses_are_read_and_written_in_one_spelling() {
        for (text, written) in [
            ("a@b", "a@b"),
            ("First.Last+tag@Example.COM", "First.Last+tag@example.com"),
            ("\"plain\"@x.org", "plain@x.org"),
            ("\"two words\"@x.org", "\"two words\"@x.org"),
            ("\"a\\\"b\"@x.org", "\"a\\\"b\"@x.org"),
            ("\"a@b\"@x.org", "\"a@b\"@x.org"),
            ("\u{ff1b}two@x.org", "\"\u{ff1b}two\"@x.org"),
            ("a\u{3001}b@x.org", "\"a\u{3001}b\"@x.org"),
            ("a\u{ff0c}@x.org", "\"a\u{ff0c}\"@x.org"),
            ("jörg@bücher.example", "jörg@xn--bcher-kva.example"),
            ("a@XN--BCHER-KVA.example", "a@xn--bcher-kva.example"),
            ("a@[127.0.0.1]", "a@[127.0.0.1]"),
            ("a@[ipv6:0:0::1]", "a@[IPv6:::1]"),
        ] {
            let address = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(address.to_string(), written);
            assert_eq!(parse(written).unwrap(), address);
        }
    }

    #[test]
    fn ambiguous_and_dangerous_addresses_are_refused() {
        for text in [
            "",
            "a",
            "@b",
            "a@",
            "a@@b",
            "a@b@c",
            "a b@c",
            "a@b c",
            "<a@b>",
            "a@b..",
            "a@.b",
            "a@b..c",
            "a@-b",
            "a@b\r\nRCPT TO:<x@y>",
            "a\r\n@b",
            "\"a\nb\"@c",
            "\"\"@c",
            "\"a\"b@c",
            "\"a@c",
            "a@[1.2.3]",
            "a@[1.2.3.4",
            "a@[x]",
            "a@[IPv6:zz]",
            "a\u{202e}b@c",
            "a\u{200b}@c",
            "a\u{a0}b@c",
            "a(comment)@b",
            "a@b\0",
            "a@ex\u{ad}ample.com",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse(&format!("{}@b", "a".repeat(MAX_ADDRESS_BYTES - 2))).is_ok());
        assert_eq!(parse(&format!("{}@b", "a".repeat(MAX_ADDRESS_BYTES - 1))), Err(AddressError::TooLong));
        let long = format!("a@{}.b", vec!["c".repeat(60); 5].join("."));
        assert!(parse(&long).is_err());
    }

    #[test]
    fn what_others_have_is_taken_and_is_no_address_here() {
        let long = format!("newsdesk+caf_={}@mailhost.example", "x".repeat(64));
        for (text, written) in [
            ("taro..yamada@phone.example", "\"taro..yamada\"@phone.example"),
            ("taro.@phone.example", "\"taro.\"@phone.example"),
            (".taro@phone.example", "\".taro\"@phone.example"),
            ("...@phone.example", "\"...\"@phone.example"),
            ("bounce@mail_out.sender.example", "bounce@mail_out.sender.example"),
            ("bounce@_spf.sender.example", "bounce@_spf.sender.example"),
            ("b\u{fc}ro@mail_b\u{fc}ro.example", "b\u{fc}ro@xn--mail_bro-c6a.example"),
            ("a@r3---sn-x.example", "a@r3---sn-x.example"),
            (long.as_str(), long.as_str()),
        ] {
            let address = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.to_string(), written);
            assert_eq!(parse(written).unwrap(), address);
            assert!(text.contains("r3---sn") || address.check_own().is_err(), "{text}");
        }
        assert_eq!(parse("anna@test.example.").unwrap(), parse("anna@test.example").unwrap());
        assert_eq!(parse("anna@Test.Example.").unwrap().domain(), "test.example");
        for text in ["a@b", "first.last+tag@x.org", "\"two words\"@x.org", "j\u{f6}rg@x.org"] {
            assert_eq!(parse(text).unwrap().check_own(), Ok(()), "{text}");
        }
        assert!(normal_domain("x.org.").is_err() && normal_domain("mail_out.x.org").is_err());
    }

    #[test]
    fn canonical_ignores_case_and_composition() {
        let a = parse("Jo\u{308}rg@Example.com").unwrap();
        assert_eq!(a.canonical(), "jörg@example.com");
        assert_eq!(parse("A@b").unwrap().canonical(), "a@b");
    }

    #[test]
    fn details_split_at_the_first_separator() {
        let (base, detail) = parse("me+a+b@x.org").unwrap().split_detail('+').unwrap();
        assert_eq!((base.to_string().as_str(), detail.as_str()), ("me@x.org", "a+b"));
        assert_eq!(parse("+a@x.org").unwrap().split_detail('+'), None);
        assert_eq!(parse("a@x.org").unwrap().split_detail('+'), None);
    }

    proptest! {
        #[test]
        fn what_parses_prints_and_parses_to_the_same(text in "\\PC{1,20}@[a-zA-Z0-9ü.-]{1,20}") {
            if let Ok(address) = parse(&text) {
                let printed = address.to_string();
                prop_assert_eq!(parse(&printed), Ok(address.clone()));
                let named = NamedAddress::new("Some, \"Name\"", address);
                prop_assert_eq!(crate::read_typed(&named.to_string()).people, vec![named]);
            }
        }

        #[test]
        fn any_local_part_that_is_taken_survives_quoting(local in "[ -~]{1,64}") {
            if let Ok(address) = EmailAddress::from_parts(&local, "x.org") {
                let again = parse(&address.to_string()).unwrap();
                prop_assert_eq!(again.local(), local);
            }
        }

        #[test]
        fn nothing_that_parses_can_break_a_line(text: String) {
            if let Ok(address) = parse(&text) {
                prop_assert!(!address.to_string().contains(|c: char| c.is_control()));
            }
            for named in crate::read_typed(&text).people {
                prop_assert!(!named.to_string().contains(|c: char| c.is_control()));
            }
        }
    }
}
