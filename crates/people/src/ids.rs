//! Ids: random, so that two books that grew apart never give one id to two people.

use std::fmt;
use std::str::FromStr;

/// The text given for an id does not have an id's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct ParseIdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            pub(crate) fn random() -> Self {
                Self(rand::random())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:016x}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let digits = text.strip_prefix($prefix).ok_or(ParseIdError)?;
                if digits.len() != 16 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(ParseIdError);
                }
                u64::from_str_radix(digits, 16).map(Self).map_err(|_| ParseIdError)
            }
        }
    };
}

id! {
    /// A contact within its account. Stays the same whatever becomes of its name and addresses; never reused.
    /// As text `c` and 16 hexadecimal digits.
    ContactId, "c"
}
id! {
    /// A group within its account. Never reused. As text `g` and 16 hexadecimal digits.
    GroupId, "g"
}
id! {
    /// A book of an account beside the first, which is 0. Never reused. As text `b` and 16 hexadecimal digits.
    ShelfId, "b"
}

/// A UID that nobody else has: a random UUID (RFC 9562 section 5.4).
pub(crate) fn fresh_uid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let n = u128::from_be_bytes(bytes);
    format!(
        "urn:uuid:{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        n >> 96,
        n >> 80 & 0xFFFF,
        n >> 64 & 0xFFFF,
        n >> 48 & 0xFFFF,
        n & 0xFFFF_FFFF_FFFF
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text_form() {
        assert_eq!(ContactId(7).to_string().parse(), Ok(ContactId(7)));
        assert_eq!(GroupId(u64::MAX).to_string().parse(), Ok(GroupId(u64::MAX)));
        for text in ["", "c", "c7", "g0000000000000007", "c00000000000000é"] {
            assert_eq!(text.parse::<ContactId>(), Err(ParseIdError), "{text}");
        }
    }
}
