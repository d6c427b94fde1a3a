//! A signature over header fields and a body (RFC 6376), and the key that proves it. DKIM and ARC share both.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::PublicKey as RsaKey;
use aws_lc_rs::signature::{ED25519, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use mailkit::headers::Field;

use super::canon::{BodyForm, Canon, Digest};
use super::header::Header;
use super::names::{is_same_or_below, is_selector, name_of};
use super::tags::Tags;

/// Most fields that one signature may name.
const MAX_SIGNED_FIELDS: usize = 256;
/// Most keys under one name that are tried.
pub const MAX_KEYS: usize = 3;
/// RSA keys below this prove nothing (RFC 8301 section 3.2).
const MIN_RSA_BITS: usize = 1024;
/// RSA keys above this cost too much.
const MAX_RSA_BITS: usize = 8192;

/// How something is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `rsa-sha1`, which proves nothing any more (RFC 8301).
    RsaSha1,
    /// `rsa-sha256`.
    RsaSha256,
    /// `ed25519-sha256` (RFC 8463).
    Ed25519,
}

impl Algorithm {
    fn read(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "rsa-sha1" => Self::RsaSha1,
            "rsa-sha256" => Self::RsaSha256,
            "ed25519-sha256" => Self::Ed25519,
            _ => return None,
        })
    }

    const fn digest(self) -> Digest {
        match self {
            Self::RsaSha1 => Digest::Sha1,
            Self::RsaSha256 | Self::Ed25519 => Digest::Sha256,
        }
    }
}

/// Why a signature proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The field is no signature.
    #[error("the signature can't be read")]
    Unreadable,
    /// Its version or algorithm is not known.
    #[error("unknown version or algorithm")]
    Unknown,
    /// It does not sign the From field.
    #[error("the From field is not signed")]
    FromUnsigned,
    /// `i=` is no part of `d=`.
    #[error("the identity is not of the signing domain")]
    Identity,
    /// It has ended.
    #[error("the signature has expired")]
    Expired,
    /// SHA-1.
    #[error("SHA-1 signatures are not accepted")]
    Sha1,
    /// The body is another one.
    #[error("body hash did not verify")]
    BodyHash,
    /// Header fields, or the key, are others.
    #[error("signature did not verify")]
    Mismatch,
    /// A part of the body is not signed.
    #[error("a part of the body is not signed")]
    PartOfBody,
    /// The domain has no such key.
    #[error("no key for signature")]
    NoKey,
    /// The key was withdrawn.
    #[error("the key was revoked")]
    Revoked,
    /// The key can't be read, or is not for this.
    #[error("unusable key")]
    BadKey,
    /// The key is too short to prove anything.
    #[error("the key is too short")]
    ShortKey,
    /// The DNS gave no answer.
    #[error("DNS lookup failed")]
    Dns,
    /// There are too many signatures to check.
    #[error("too many signatures")]
    TooMany,
}

/// What is common to `DKIM-Signature` and `ARC-Message-Signature`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// `d=`, in lower case and ASCII.
    pub domain: String,
    /// `s=`.
    pub selector: String,
    /// `a=`.
    pub algorithm: Algorithm,
    /// `b=`.
    pub signature: Vec<u8>,
    /// The first characters of `b=`, to tell signatures apart (RFC 6008).
    pub mark: String,
    /// `bh=`.
    pub body_hash: Vec<u8>,
    /// How the body is hashed.
    pub form: BodyForm,
    /// The canonical form of header fields.
    pub header: Canon,
    /// `h=`.
    pub signed: Vec<String>,
    /// `i=` of DKIM: the domain of the identity.
    pub identity: Option<String>,
    /// `x=`, seconds since 1970 UTC.
    pub expires: Option<u64>,
}

impl Signature {
    /// Whether a field of that name is signed.
    pub fn signs(&self, name: &str) -> bool {
        self.signed.iter().any(|signed| signed.eq_ignore_ascii_case(name))
    }

    /// Reads what both kinds have; `unsaid` is the form where none is named. What DKIM alone asks for is looked at by its
    /// own reader.
    pub fn read(tags: &Tags, unsaid: Canon) -> Result<Self, Flaw> {
        let algorithm = Algorithm::read(tags.get("a").ok_or(Flaw::Unreadable)?).ok_or(Flaw::Unknown)?;
        let (domain, selector) = place(tags)?;
        let signature = tags.base64("b").ok_or(Flaw::Unreadable)?;
        let body_hash = tags.base64("bh").ok_or(Flaw::Unreadable)?;
        let (header, canon) = Canon::pair(tags.get("c"), unsaid).ok_or(Flaw::Unknown)?;
        let length = match tags.get("l") {
            Some(_) => Some(tags.number("l").ok_or(Flaw::Unreadable)?),
            None => None,
        };
        let named = tags.list("h").ok_or(Flaw::Unreadable)?;
        if named.len() > MAX_SIGNED_FIELDS {
            return Err(Flaw::Unreadable);
        }
        let signed = named.into_iter().filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect();
        let is_dns = |q: &str| q.split(':').any(|method| method.trim().eq_ignore_ascii_case("dns/txt"));
        if tags.get("q").is_some_and(|q| !is_dns(q)) {
            return Err(Flaw::Unknown);
        }
        for name in ["t", "x"] {
            if tags.get(name).is_some() && tags.number(name).is_none() {
                return Err(Flaw::Unreadable);
            }
        }
        let expires = tags.number("x");
        if let (Some(signed_at), Some(expires)) = (tags.number("t"), expires)
            && expires <= signed_at
        {
            return Err(Flaw::Unreadable);
        }
        let form = BodyForm { canon, digest: algorithm.digest(), length };
        let mark = mark(tags);
        Ok(Self {
            domain,
            selector,
            algorithm,
            signature,
            mark,
            body_hash,
            form,
            header,
            signed,
            identity: None,
            expires,
        })
    }

    /// Reads a `DKIM-Signature` field's value.
    pub fn dkim(value: &[u8]) -> Result<Self, Flaw> {
        let tags = Tags::read(value).ok_or(Flaw::Unreadable)?;
        if tags.get("v").ok_or(Flaw::Unreadable)? != "1" {
            return Err(Flaw::Unknown);
        }
        let mut signature = Self::read(&tags, Canon::Simple)?;
        if !signature.signs("from") {
            return Err(Flaw::FromUnsigned);
        }
        if let Some(identity) = tags.get("i") {
            let domain = identity.rsplit_once('@').and_then(|(_, domain)| name_of(domain)).ok_or(Flaw::Unreadable)?;
            if !is_same_or_below(&domain, &signature.domain) {
                return Err(Flaw::Identity);
            }
            signature.identity = Some(domain);
        }
        Ok(signature)
    }

    /// Where the key is.
    pub fn key_name(&self) -> String {
        mailkit::dkim::dns_name(&self.selector, &self.domain)
    }

    /// What is signed: the named fields, from the bottom up where there are several, and the signature's own field.
    pub fn signed_bytes(&self, header: &Header<'_>, own: &Field<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut named: HashMap<String, usize> = HashMap::new();
        for name in &self.signed {
            let earlier = named.entry(name.to_ascii_lowercase()).or_default();
            if let Some(field) = header.named(name).iter().rev().nth(*earlier) {
                self.header.field(&mut out, field, field.value, true);
            }
            *earlier += 1;
        }
        self.header.field(&mut out, own, &without_signature(own.value), false);
        out
    }
}

/// `d=` and `s=`.
pub fn place(tags: &Tags) -> Result<(String, String), Flaw> {
    let domain = tags.get("d").and_then(name_of).ok_or(Flaw::Unreadable)?;
    let selector = tags.get("s").filter(|selector| is_selector(selector)).ok_or(Flaw::Unreadable)?;
    Ok((domain, selector.to_ascii_lowercase()))
}

fn mark(tags: &Tags) -> String {
    let base64 = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    tags.get("b").unwrap_or_default().chars().filter(base64).take(8).collect()
}

/// The value of a signature's field without what `b=` says.
pub fn without_signature(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for (at, piece) in value.split(|b| *b == b';').enumerate() {
        if at > 0 {
            out.push(b';');
        }
        let equals = piece.iter().position(|b| *b == b'=');
        match equals {
            Some(equals) if piece[..equals].trim_ascii() == b"b" => out.extend_from_slice(&piece[..=equals]),
            _ => out.extend_from_slice(piece),
        }
    }
    out
}

/// A key record (RFC 6376 section 3.6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    is_ed25519: bool,
    /// Empty: revoked.
    public: Vec<u8>,
    digests: Option<Vec<String>>,
    /// `t=s`: the identity must be of the very domain.
    strict: bool,
}

impl Key {
    /// Reads a record; `None` if it is none, or not for mail.
    pub fn read(text: &[u8]) -> Option<Self> {
        let tags = Tags::read(text)?;
        if tags.get("v").is_some() && tags.first() != Some(("v", "DKIM1")) {
            return None;
        }
        let is_for_mail = |s: &Vec<&str>| s.iter().any(|kind| *kind == "*" || kind.eq_ignore_ascii_case("email"));
        if tags.list("s").is_some_and(|s| !is_for_mail(&s)) {
            return None;
        }
        let is_ed25519 = match tags.get("k") {
            None => false,
            Some(kind) if kind.eq_ignore_ascii_case("rsa") => false,
            Some(kind) if kind.eq_ignore_ascii_case("ed25519") => true,
            Some(_) => return None,
        };
        let public = if tags.get("p")?.is_empty() { Vec::new() } else { tags.base64("p")? };
        let digests = tags.list("h").map(|list| list.iter().map(|item| item.to_ascii_lowercase()).collect());
        let strict = tags.list("t").is_some_and(|flags| flags.contains(&"s"));
        Some(Self { is_ed25519, public, digests, strict })
    }

    /// Whether it proves that signature.
    pub fn verify(&self, algorithm: Algorithm, bytes: &[u8], signature: &[u8]) -> Result<(), Flaw> {
        if self.public.is_empty() {
            return Err(Flaw::Revoked);
        }
        if algorithm == Algorithm::RsaSha1 {
            return Err(Flaw::Sha1);
        }
        if self.digests.as_ref().is_some_and(|known| !known.iter().any(|digest| digest == "sha256"))
            || self.is_ed25519 != (algorithm == Algorithm::Ed25519)
        {
            return Err(Flaw::BadKey);
        }
        let proved = if self.is_ed25519 {
            if self.public.len() != 32 {
                return Err(Flaw::BadKey);
            }
            // RFC 8463 section 3: the hash is what is signed.
            UnparsedPublicKey::new(&ED25519, &self.public).verify(digest(&SHA256, bytes).as_ref(), signature)
        } else {
            let bits = RsaKey::from_der(&self.public).map_err(|_| Flaw::BadKey)?.modulus_len() * 8;
            if bits < MIN_RSA_BITS {
                return Err(Flaw::ShortKey);
            }
            if bits > MAX_RSA_BITS {
                return Err(Flaw::BadKey);
            }
            UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, &self.public)
                .verify(bytes, signature)
        };
        proved.map_err(|_| Flaw::Mismatch)
    }

    /// Whether a signature for that identity may use it.
    pub fn allows(&self, signature: &Signature) -> bool {
        !self.strict || signature.identity.as_ref().is_none_or(|identity| *identity == signature.domain)
    }
}

/// Whether one of the keys under a name proves a signature. `records` are the texts that the DNS has there.
pub fn verify_with(
    records: &Result<Vec<Vec<u8>>, dnskit::DnsError>,
    check: impl Fn(&Key) -> Result<(), Flaw>,
) -> Result<(), Flaw> {
    let records = match records {
        Ok(records) => records,
        Err(error) if error.is_final() => return Err(Flaw::NoKey),
        Err(_) => return Err(Flaw::Dns),
    };
    let mut keys = records.iter().filter_map(|record| Key::read(record)).take(MAX_KEYS);
    let Some(first) = keys.next() else {
        return Err(if records.is_empty() { Flaw::NoKey } else { Flaw::BadKey });
    };
    let flaw = match check(&first) {
        Ok(()) => return Ok(()),
        Err(flaw) => flaw,
    };
    if keys.any(|key| check(&key).is_ok()) { Ok(()) } else { Err(flaw) }
}
