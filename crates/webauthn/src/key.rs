//! Public keys as COSE writes them (RFC 9052 section 7, RFC 9053, RFC 8230), and signatures by them.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};

use crate::{
    Refusal,
    cbor::{Item, Reader},
};

const ES256: i64 = -7;
const EDDSA: i64 = -8;
const RS256: i64 = -257;

/// What we can verify, in the order in which we'd have it.
pub const ALGORITHMS: [i64; 3] = [EDDSA, ES256, RS256];

const WHAT: &str = "the public key";
/// RSA keys: 2,048 to 8,192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;
/// The most bytes of an RSA exponent.
const MAX_EXPONENT_BYTES: usize = 5;

/// A key that signatures can be verified with.
pub(crate) enum PublicKey<'a> {
    Parsed(ParsedPublicKey),
    Rsa(RsaPublicKeyComponents<&'a [u8]>),
}

/// What is in a COSE key, by label.
#[derive(Default)]
struct Labels<'a> {
    kind: Option<i64>,
    algorithm: Option<i64>,
    /// Label -1: the curve, or the modulus of an RSA key.
    first: Option<Item<'a>>,
    /// Label -2: `x`, or the exponent.
    second: Option<&'a [u8]>,
    /// Label -3: `y`.
    third: Option<&'a [u8]>,
}

impl<'a> Labels<'a> {
    fn read(cose: &'a [u8]) -> Result<Self, Refusal> {
        let mut found = Self::default();
        let mut reader = Reader::new(cose, WHAT);
        let label = |item| match item {
            Item::Integer(number) => Some(number),
            _ => None,
        };
        reader.map(label, |reader, label| {
            let value = if matches!(label, -3..=-1 | 1 | 3) { reader.item()? } else { Item::Bytes(reader.whole()?) };
            match (label, value) {
                (1, Item::Integer(number)) => found.kind = Some(number),
                (3, Item::Integer(number)) => found.algorithm = Some(number),
                (-1, value @ (Item::Integer(_) | Item::Bytes(_))) => found.first = Some(value),
                (-2, Item::Bytes(bytes)) => found.second = Some(bytes),
                (-3, Item::Bytes(bytes)) => found.third = Some(bytes),
                (-3..=-1 | 1 | 3, _) => return Err(Refusal::Unreadable(WHAT)),
                _ => {}
            }
            Ok(())
        })?;
        if reader.rest().is_empty() { Ok(found) } else { Err(Refusal::Unreadable(WHAT)) }
    }
}

impl<'a> PublicKey<'a> {
    /// Reads a key. A point that is not on its curve is refused.
    pub(crate) fn read(cose: &'a [u8]) -> Result<(Self, i64), Refusal> {
        let labels = Labels::read(cose)?;
        let algorithm = labels.algorithm.ok_or(Refusal::Unreadable(WHAT))?;
        let key = match (algorithm, labels.kind, labels.first, labels.second, labels.third) {
            (ES256, Some(2), Some(Item::Integer(1)), Some(x), Some(y)) if x.len() == 32 && y.len() == 32 => {
                let point = [&[4][..], x, y].concat();
                Self::Parsed(ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).map_err(|_| Refusal::Key)?)
            }
            (EDDSA, Some(1), Some(Item::Integer(6)), Some(x), None) if x.len() == 32 => {
                Self::Parsed(ParsedPublicKey::new(&ED25519, x).map_err(|_| Refusal::Key)?)
            }
            (RS256, Some(3), Some(Item::Bytes(n)), Some(e), None)
                if RSA_BYTES.contains(&n.len()) && (1..=MAX_EXPONENT_BYTES).contains(&e.len()) =>
            {
                Self::Rsa(RsaPublicKeyComponents { n, e })
            }
            (ES256 | EDDSA | RS256, ..) => return Err(Refusal::Key),
            (other, ..) => return Err(Refusal::Algorithm(other)),
        };
        Ok((key, algorithm))
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let verified = match self {
            Self::Parsed(key) => key.verify_sig(message, signature),
            Self::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
        };
        verified.map_err(|_| Refusal::Signature)
    }
}
