//! Seals and running digests.
//!
//! A seal is a 128-bit keyed BLAKE3 over (realm, key, value). It is stored with the value and checked at each read. The
//! sum of a realm's seals modulo 2^128 is its digest: order does not matter, so a commit updates it with the pairs it
//! removes and adds, and two machines that have the same pairs have the same digest.

use std::fmt;

use crate::RealmId;

/// Bytes of a seal in front of each stored value.
pub(crate) const SEAL_BYTES: usize = 16;

/// The key is public: it separates seals from other uses of BLAKE3; it is not a secret.
const CONTEXT: &str = "holdfast store 2026 seal of realm, key and value";

/// A keyed hash over one pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal(u128);

impl Seal {
    pub(crate) fn of(realm: RealmId, key: &[u8], value: &[u8]) -> Self {
        let mut hasher = sealer();
        hasher.update(&realm.raw().to_le_bytes());
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key);
        hasher.update(value);
        let mut bytes = [0; SEAL_BYTES];
        hasher.finalize_xof().fill(&mut bytes);
        Self(u128::from_le_bytes(bytes))
    }

    pub(crate) const fn to_bytes(self) -> [u8; SEAL_BYTES] {
        self.0.to_le_bytes()
    }
}

fn sealer() -> blake3::Hasher {
    static KEYED: std::sync::LazyLock<blake3::Hasher> =
        std::sync::LazyLock::new(|| blake3::Hasher::new_keyed(&blake3::derive_key(CONTEXT, b"")));
    KEYED.clone()
}

/// A realm's running digest.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest(u128);

impl Digest {
    pub(crate) const fn add(&mut self, seal: Seal) {
        self.0 = self.0.wrapping_add(seal.0);
    }

    pub(crate) const fn subtract(&mut self, seal: Seal) {
        self.0 = self.0.wrapping_sub(seal.0);
    }

    /// Adds a record: a realm's digest is the sum over its records, in any order.
    pub fn add_record(&mut self, realm: RealmId, key: &[u8], value: &[u8]) {
        self.add(Seal::of(realm, key, value));
    }

    /// The 16 bytes that stand in commits.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// A digest from a commit's bytes; `None` when they are not 16.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(u128::from_le_bytes(bytes.try_into().ok()?)))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_what_is_held_and_not_on_how_it_came_there() {
        let realm = RealmId::account(1);
        let (a, b) = (Seal::of(realm, b"a", b"1"), Seal::of(realm, b"b", b"2"));
        let mut one = Digest::default();
        one.add(a);
        one.add(b);
        let mut other = Digest::default();
        other.add(b);
        other.add(Seal::of(realm, b"a", b"old"));
        other.subtract(Seal::of(realm, b"a", b"old"));
        other.add(a);
        assert_eq!(one, other);
    }

    #[test]
    fn a_seal_tells_realm_key_and_value_apart() {
        let seal = Seal::of(RealmId::account(1), b"ab", b"c");
        assert_ne!(seal, Seal::of(RealmId::account(2), b"ab", b"c"));
        assert_ne!(seal, Seal::of(RealmId::account(1), b"a", b"bc"));
        assert_ne!(seal, Seal::of(RealmId::account(1), b"ab", b"d"));
    }
}
