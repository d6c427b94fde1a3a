//! The keys that secrets are sealed under, as an operator keeps them: a file of one key a line, outside the data folder.
//!
//! A line is `holdfast-key-1 ID KEY`: the key's 32 bytes in base64, and their fingerprint, so that a damaged line is told from
//! another key. The first key seals; all of them open.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use zeroize::Zeroizing;

/// The largest key file.
pub const MAX_KEY_FILE_BYTES: usize = 64 * 1024;
/// Keys in a file at most.
pub const MAX_KEYS: usize = 64;

const MARK: &str = "holdfast-key-1";
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;
/// Separates this use of BLAKE3 from all others.
const ID_CONTEXT: &str = "holdfast secrets key id v1";

/// The form of a sealed secret: this byte, the key's id, the nonce, the ciphertext with its tag.
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + ID_BYTES + NONCE_LEN;

/// The fingerprint of a key. Not secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_BYTES]);

impl KeyId {
    fn of(key: &[u8; KEY_BYTES]) -> Self {
        let hash = Zeroizing::new(blake3::derive_key(ID_CONTEXT, key));
        Self(*hash.first_chunk().expect("a hash is 32 bytes"))
    }

    /// Its bytes, as they are stored.
    pub const fn as_bytes(&self) -> &[u8; ID_BYTES] {
        &self.0
    }

    /// From stored bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a key file can't be used. Never shows what stands in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// There is no key in it.
    #[error("it holds no key")]
    Empty,
    /// A line is no key.
    #[error("line {0} is damaged: it is not a key as `holdfast secrets new-key` writes it")]
    Line(usize),
    /// The fingerprint in a line is not that of its key.
    #[error("line {0} is damaged: the key and its id don't belong together")]
    Id(usize),
    /// More than anyone needs.
    #[error("it is larger than {MAX_KEY_FILE_BYTES} bytes or holds more than {MAX_KEYS} keys")]
    TooLarge,
}

/// Why a sealed secret stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key is not at hand.
    #[error("it is sealed under key {0}, which this service doesn't have")]
    NoKey(KeyId),
    /// The key is right, and what was sealed isn't what is there: damaged, or moved from another place.
    #[error("it doesn't open with its key {0}: it is damaged or was sealed for something else")]
    Broken(KeyId),
    /// It has not the form of a sealed secret.
    #[error("it is damaged: this is not a sealed secret")]
    Malformed,
}

/// Keys, of which the first seals. `Debug` shows their ids only; the memory of keys is cleared when they are dropped.
pub struct Keyring {
    keys: Vec<(KeyId, LessSafeKey)>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring").field(&self.ids()).finish()
    }
}

impl Keyring {
    /// Reads the text of a key file. Empty lines and lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// See [`KeyFileError`]. One damaged line makes the whole file unusable: a key that is silently missing would be found out
    /// too late.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        if text.len() > MAX_KEY_FILE_BYTES {
            return Err(KeyFileError::TooLarge);
        }
        let mut keys: Vec<(KeyId, LessSafeKey)> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_ascii_whitespace();
            let (Some(MARK), Some(id), Some(key), None) = (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(KeyFileError::Line(number));
            };
            let bytes = Zeroizing::new(BASE64.decode(key).map_err(|_| KeyFileError::Line(number))?);
            let bytes: &[u8; KEY_BYTES] = bytes[..].try_into().map_err(|_| KeyFileError::Line(number))?;
            let found = KeyId::of(bytes);
            if found.to_string() != id {
                return Err(KeyFileError::Id(number));
            }
            if keys.iter().any(|(known, _)| *known == found) {
                continue;
            }
            if keys.len() == MAX_KEYS {
                return Err(KeyFileError::TooLarge);
            }
            let key = UnboundKey::new(&AES_256_GCM_SIV, bytes).map_err(|_| KeyFileError::Line(number))?;
            keys.push((found, LessSafeKey::new(key)));
        }
        if keys.is_empty() { Err(KeyFileError::Empty) } else { Ok(Self { keys }) }
    }

    /// A line of a key file with a new key.
    pub fn new_line() -> (KeyId, Zeroizing<String>) {
        let key = Zeroizing::new(rand::random::<[u8; KEY_BYTES]>());
        let (id, encoded) = (KeyId::of(&key), Zeroizing::new(BASE64.encode(*key)));
        (id, Zeroizing::new(format!("{MARK} {id} {}\n", *encoded)))
    }

    /// The keys' ids, the one that seals first.
    pub fn ids(&self) -> Vec<KeyId> {
        self.keys.iter().map(|(id, _)| *id).collect()
    }

    /// The id of the key that seals.
    pub fn first(&self) -> KeyId {
        self.keys[0].0
    }

    /// Whether it has a key.
    pub fn has(&self, id: KeyId) -> bool {
        self.keys.iter().any(|(known, _)| *known == id)
    }

    /// Seals a secret for one place, which `place` names: it opens nowhere else.
    pub fn seal(&self, place: &[u8], secret: &[u8]) -> Vec<u8> {
        let (id, key) = &self.keys[0];
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = Zeroizing::new(secret.to_vec());
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut sealed[..])
            .expect("a secret is far below AES-GCM-SIV's limit");
        [&[VERSION][..], &id.0, &nonce, &sealed, tag.as_ref()].concat()
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let id = key_of(sealed)?;
        let (_, key) = self.keys.iter().find(|(known, _)| *known == id).ok_or(SealError::NoKey(id))?;
        let (nonce, rest) = sealed[1 + ID_BYTES..].split_first_chunk::<NONCE_LEN>().ok_or(SealError::Malformed)?;
        let mut secret = Zeroizing::new(rest.to_vec());
        let opened = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place), &mut secret[..])
            .map_err(|_| SealError::Broken(id))?
            .len();
        secret.truncate(opened);
        Ok(secret)
    }
}

/// The key that a secret is sealed under.
///
/// # Errors
/// It is no sealed secret.
pub fn key_of(sealed: &[u8]) -> Result<KeyId, SealError> {
    if sealed.len() < HEAD_BYTES || sealed[0] != VERSION {
        return Err(SealError::Malformed);
    }
    KeyId::from_bytes(&sealed[1..=ID_BYTES]).ok_or(SealError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(lines: &[&str]) -> Keyring {
        Keyring::parse(&lines.concat()).unwrap()
    }

    #[test]
    fn a_secret_opens_in_its_place_with_its_key_and_in_no_other_way() {
        let (a, b) = (Keyring::new_line(), Keyring::new_line());
        let (one, other, both) = (ring(&[&a.1]), ring(&[&b.1]), ring(&[&b.1, &a.1]));
        let sealed = one.seal(b"here", b"a secret");
        assert!(!sealed.windows(8).any(|part| part == b"a secret"));
        assert_eq!(key_of(&sealed), Ok(a.0));
        assert_eq!(one.open(b"here", &sealed).unwrap()[..], b"a secret"[..]);
        assert_eq!(both.open(b"here", &sealed).unwrap()[..], b"a secret"[..], "an older key opens");
        assert_eq!(both.first(), b.0);
        assert_eq!(key_of(&both.seal(b"here", b"x")), Ok(b.0), "the first key seals");
        assert_eq!(one.open(b"there", &sealed), Err(SealError::Broken(a.0)));
        assert_eq!(other.open(b"here", &sealed), Err(SealError::NoKey(a.0)));
        assert_ne!(one.seal(b"here", b"a secret"), sealed, "a nonce of its own");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(both.open(b"here", &changed).is_err(), "byte {at}");
            assert!(both.open(b"here", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_key_file_is_read_whole_or_not_at_all() {
        let ((a, first), (b, second)) = (Keyring::new_line(), Keyring::new_line());
        let (first, second) = (first.as_str(), second.as_str());
        let read = |text: &str| Keyring::parse(text).map(|ring| ring.ids());
        assert_eq!(read(&format!("# a note\r\n\n  {first}\t\n{second}{first}")), Ok(vec![a, b]));
        assert_eq!(read(first.trim_end()), Ok(vec![a]));
        for empty in ["", "\n\n", "# nothing\n"] {
            assert_eq!(read(empty), Err(KeyFileError::Empty), "{empty:?}");
        }
        let key = second.split(' ').nth(2).unwrap().trim();
        for (line, why) in [
            ("nonsense".to_owned(), KeyFileError::Line(2)),
            (key.to_owned(), KeyFileError::Line(2)),
            (format!("holdfast-key-2 {b} {key}"), KeyFileError::Line(2)),
            (format!("holdfast-key-1 {b} {}", &key[4..]), KeyFileError::Line(2)),
            (format!("holdfast-key-1 {b} {key} more"), KeyFileError::Line(2)),
            (format!("holdfast-key-1 {a} {key}"), KeyFileError::Id(2)),
            (second[..40].to_owned(), KeyFileError::Line(2)),
        ] {
            assert_eq!(read(&format!("{first}{line}\n")), Err(why), "{line}");
        }
        // A letter of the key that was changed.
        let other = if key.starts_with('A') { 'B' } else { 'A' };
        let damaged = format!("holdfast-key-1 {b} {other}{}", &key[1..]);
        assert_eq!(read(&damaged), Err(KeyFileError::Id(1)));
        assert_eq!(read(&"#".repeat(MAX_KEY_FILE_BYTES + 1)), Err(KeyFileError::TooLarge));
        let many: String = (0..=MAX_KEYS).map(|_| Keyring::new_line().1.to_string()).collect();
        assert_eq!(read(&many), Err(KeyFileError::TooLarge));
    }

    #[test]
    fn nothing_that_is_printed_shows_a_key() {
        let (id, line) = Keyring::new_line();
        let ring = ring(&[&line]);
        assert_eq!(format!("{ring:?}"), format!("Keyring([{id}])"));
        let sealed = ring.seal(b"here", b"x");
        let told = [
            ring.open(b"there", &sealed).unwrap_err().to_string(),
            Keyring::parse(&line[1..]).unwrap_err().to_string(),
        ];
        let key = line.split(' ').nth(2).unwrap().trim();
        assert!(told.iter().all(|text| !text.contains(key)), "{told:?}");
    }
}
