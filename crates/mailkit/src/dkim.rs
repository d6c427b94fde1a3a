//! DKIM signing (RFC 6376, RFC 8463): relaxed/relaxed, RSA-2048 and Ed25519.
//!
//! # The shim
//! The signer of the library used (mail-auth 0.13) hashes a body that ends in lines of white space wrongly: relaxed
//! canonicalisation (RFC 6376 section 3.4.4) takes white space off each line first, and then the empty lines at the
//! end; it does it the other way round. So [`sign`] gives it the body with white space at its end already taken off,
//! for which both orders give the same. `tests/it/dkim.rs` holds signatures that another implementation has verified. The shim
//! goes when a version that has mended this can be used. It folds fields at any place, too (see `without_lone_semicolon`).

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::DkimSigner;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::headers;

/// Fields signed once more than they are there (RFC 6376 section 8.15): none can be added afterwards, whether it is missing
/// or would be a second one that readers see in place of the first.
const ALWAYS_SIGNED: [&str; 7] = ["From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To"];

/// Fields of which no second one can be added if they are there: they tell how the text is read.
const NO_SECOND: [&str; 5] = ["In-Reply-To", "References", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"];

/// Fields signed if they are there (RFC 6376 section 5.4.1); others may be added on the way, as mailing lists do.
const SIGNED_IF_PRESENT: [&str; 8] = [
    "Sender",
    "Content-ID",
    "Content-Description",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Post",
    "List-Archive",
];

/// Kind of a signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// RSA with 2048 bits, SHA-256.
    Rsa2048,
    /// Ed25519 (RFC 8463).
    Ed25519,
}

/// A private key with its selector. `Debug` does not show the key.
#[derive(Clone)]
pub struct SigningKey {
    kind: KeyKind,
    selector: String,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kind", &self.kind).field("selector", &self.selector).finish_non_exhaustive()
    }
}

/// Why signing or reading a key failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DkimError {
    /// The key can not be used.
    #[error("the DKIM key for selector {selector} can't be used: {reason}")]
    Key {
        /// The selector.
        selector: String,
        /// What was wrong.
        reason: String,
    },
    /// The message could not be signed.
    #[error("could not sign the message: {0}")]
    Sign(String),
}

impl SigningKey {
    /// Makes a new key.
    pub fn generate(kind: KeyKind, selector: &str) -> Result<Self, DkimError> {
        let failed = |_| key_error(selector, "it could not be generated");
        let pkcs8 = Zeroizing::new(match kind {
            KeyKind::Rsa2048 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                der.as_ref().to_vec()
            }
            KeyKind::Ed25519 => {
                let pair = Ed25519KeyPair::generate().map_err(failed)?;
                pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()
            }
        });
        Self::from_pkcs8(kind, selector, &pkcs8)
    }

    /// Reads a stored key (PKCS#8 DER).
    ///
    /// # Errors
    /// If it is no such key, or the selector is no DNS label sequence.
    pub fn from_pkcs8(kind: KeyKind, selector: &str, der: &[u8]) -> Result<Self, DkimError> {
        let is_selector = !selector.is_empty()
            && selector.len() <= 63
            && selector.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !is_selector {
            return Err(key_error(selector, "the selector is not a DNS name"));
        }
        let key = Self { kind, selector: selector.to_owned(), pkcs8: der.to_vec().into() };
        key.public_key()?;
        Ok(key)
    }

    /// The stored form (PKCS#8 DER). Secret.
    pub fn to_pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Its selector.
    pub fn selector(&self) -> &str {
        &self.selector
    }

    /// See [`dns_name`].
    pub fn dns_name(&self, domain: &str) -> String {
        dns_name(&self.selector, domain)
    }

    /// See [`dns_record`].
    pub fn dns_record(&self) -> Result<String, DkimError> {
        Ok(dns_record(self.kind, &self.public_key()?))
    }

    /// The public key as DNS wants it: SubjectPublicKeyInfo for RSA, the bare 32 bytes for Ed25519.
    pub fn public_key(&self) -> Result<Vec<u8>, DkimError> {
        match self.kind {
            KeyKind::Rsa2048 => {
                let pair =
                    RsaKeyPair::from_pkcs8(&self.pkcs8).map_err(|e| key_error(&self.selector, &e.to_string()))?;
                let der: PublicKeyX509Der<'_> =
                    pair.public_key().as_der().map_err(|e| key_error(&self.selector, &e.to_string()))?;
                Ok(der.as_ref().to_vec())
            }
            KeyKind::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.pkcs8)
                    .map_err(|e| key_error(&self.selector, &e.to_string()))?;
                Ok(pair.public_key().as_ref().to_vec())
            }
        }
    }

    /// Signs bytes as DKIM and ARC do: RSA with SHA-256, or Ed25519 over their SHA-256 hash (RFC 8463 section 3).
    ///
    /// # Errors
    /// The key can't be used.
    pub fn sign_bytes(&self, bytes: &[u8]) -> Result<Vec<u8>, DkimError> {
        let unusable = |why: &dyn std::fmt::Display| key_error(&self.selector, &why.to_string());
        match self.kind {
            KeyKind::Rsa2048 => {
                let pair = RsaKeyPair::from_pkcs8(&self.pkcs8).map_err(|error| unusable(&error))?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), bytes, &mut signature)
                    .map_err(|error| unusable(&error))?;
                Ok(signature)
            }
            KeyKind::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.pkcs8).map_err(|error| unusable(&error))?;
                Ok(pair.sign(digest(&SHA256, bytes).as_ref()).as_ref().to_vec())
            }
        }
    }

    fn sign(&self, raw: &[u8], domain: &str) -> Result<String, DkimError> {
        let unusable = |e: mail_auth::Error| key_error(&self.selector, &e.to_string());
        let failed = |e: mail_auth::Error| DkimError::Sign(e.to_string());
        let signature = match self.kind {
            KeyKind::Rsa2048 => {
                let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.as_slice()));
                let key = RsaKey::<Sha256>::from_key_der(der).map_err(unusable)?;
                DkimSigner::from_key(key)
                    .domain(domain)
                    .selector(self.selector.as_str())
                    .headers(signed_fields(raw))
                    .sign(raw)
                    .map_err(failed)?
            }
            KeyKind::Ed25519 => {
                let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(&self.pkcs8).map_err(unusable)?;
                DkimSigner::from_key(key)
                    .domain(domain)
                    .selector(self.selector.as_str())
                    .headers(signed_fields(raw))
                    .sign(raw)
                    .map_err(failed)?
            }
        };
        Ok(without_lone_semicolon(signature.to_header()))
    }
}

/// Name of a key's DNS record: `selector._domainkey.domain`.
pub fn dns_name(selector: &str, domain: &str) -> String {
    format!("{selector}._domainkey.{domain}")
}

/// Text of the DNS TXT record of a public key ([`SigningKey::public_key`]): `v=DKIM1; k=rsa; p=...`. An RSA record is longer
/// than 255 bytes: zone files and servers need it in several strings (see [`split_txt`]).
pub fn dns_record(kind: KeyKind, public: &[u8]) -> String {
    let name = match kind {
        KeyKind::Rsa2048 => "rsa",
        KeyKind::Ed25519 => "ed25519",
    };
    format!("v=DKIM1; k={name}; p={}", STANDARD.encode(public))
}

/// The library may put the last semicolon on a line of its own. White space around the signature is no part of it (RFC
/// 6376 section 3.7), but there are verifiers that take only what stands before it for such.
fn without_lone_semicolon(mut field: String) -> String {
    if field.ends_with("\r\n\t;\r\n") {
        field.truncate(field.len() - "\r\n\t;\r\n".len());
        field.push_str(";\r\n");
    }
    field
}

fn signed_fields(raw: &[u8]) -> Vec<&'static str> {
    let is_there = |name: &&str| headers::fields(raw).any(|field| field.is(name));
    let twice = |name: &'static str| [name, name];
    let no_second = NO_SECOND.into_iter().filter(is_there).flat_map(twice);
    // Naming a field that is not there, or one more than are there, signs that there is none (section 5.4.2).
    let always = ALWAYS_SIGNED.into_iter().flat_map(|name| if is_there(&name) { vec![name, name] } else { vec![name] });
    always.chain(no_second).chain(SIGNED_IF_PRESENT.into_iter().filter(is_there)).collect()
}

fn key_error(selector: &str, reason: &str) -> DkimError {
    DkimError::Key { selector: selector.to_owned(), reason: reason.to_owned() }
}

/// Signs a raw message with each key; the `DKIM-Signature:` fields (CRLF included) to put on top.
///
/// `domain` is the signer's, in ASCII. The time of signing is the system's.
pub fn sign(raw: &[u8], keys: &[SigningKey], domain: &str) -> Result<String, DkimError> {
    let usable = !domain.is_empty() && domain.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !usable {
        return Err(DkimError::Sign(format!("{domain:?} is not a valid domain")));
    }
    let raw = without_trailing_blanks(raw);
    let mut out = String::new();
    for key in keys {
        out.push_str(&key.sign(&raw, domain)?);
    }
    Ok(out)
}

/// The message with white space at the end of its body taken off (see the module's documentation).
fn without_trailing_blanks(raw: &[u8]) -> Cow<'_, [u8]> {
    let header = headers::header_range(raw);
    let body = &raw[header.end..];
    let trimmed = body.len() - body.iter().rev().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
    let tail = &body[trimmed..];
    if tail == b"\r\n" || (tail.is_empty() && trimmed == 0) {
        return Cow::Borrowed(raw);
    }
    let mut out = raw[..header.end + trimmed].to_vec();
    if trimmed > 0 {
        out.extend_from_slice(b"\r\n");
    }
    Cow::Owned(out)
}

/// A TXT record's text as zone files want it: quoted strings of at most 255 bytes.
pub fn split_txt(text: &str) -> String {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let cut = rest.floor_char_boundary(255.min(rest.len()));
        pieces.push(format!("\"{}\"", &rest[..cut]));
        rest = &rest[cut..];
    }
    pieces.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_blanks_go_before_signing() {
        for (raw, expected) in [
            ("A: b\r\n\r\nx\r\n", "A: b\r\n\r\nx\r\n"),
            ("A: b\r\n\r\nx\r\n  \r\n\r\n", "A: b\r\n\r\nx\r\n"),
            ("A: b\r\n\r\nx \t", "A: b\r\n\r\nx\r\n"),
            ("A: b\r\n\r\n \r\n\t\r\n", "A: b\r\n\r\n"),
            ("A: b\r\n\r\n", "A: b\r\n\r\n"),
        ] {
            assert_eq!(without_trailing_blanks(raw.as_bytes()), expected.as_bytes(), "{raw:?}");
        }
    }

    #[test]
    fn long_records_are_split_for_zone_files() {
        let text = "x".repeat(300);
        assert_eq!(split_txt(&text), format!("\"{}\" \"{}\"", "x".repeat(255), "x".repeat(45)));
    }

    #[test]
    fn keys_survive_storage_and_do_not_show_in_debug_output() {
        for kind in [KeyKind::Rsa2048, KeyKind::Ed25519] {
            let key = SigningKey::generate(kind, "s1").unwrap();
            let again = SigningKey::from_pkcs8(kind, "s1", key.to_pkcs8()).unwrap();
            assert_eq!(key.dns_record(), again.dns_record());
            assert_eq!(key.dns_name("x.org"), "s1._domainkey.x.org");
            assert!(format!("{key:?}").len() < 80);
        }
        assert!(SigningKey::generate(KeyKind::Ed25519, "a b").is_err());
        assert!(SigningKey::from_pkcs8(KeyKind::Rsa2048, "s", b"junk").is_err());
    }
}
