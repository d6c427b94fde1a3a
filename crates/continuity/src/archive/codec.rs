//! Compression and encryption: everything that holds people's data is zstd inside age (<https://age-encryption.org/v1>).

use std::{
    io::{Read, Write as _},
    path::Path,
    sync::Arc,
};

use store::Cause;

use super::{ArchiveError, Result};

/// Off-site space costs more than the time of one core.
const LEVEL: i32 = 3;
/// The largest plain object: the largest body.
pub const MAX_BODY_BYTES: u64 = 1 << 30;
/// Decompressing takes no more than this beside what comes out, 8 MiB; what [`LEVEL`] makes needs 2.
const WINDOW_LOG: u32 = 23;

/// The recipients of sealed objects.
#[derive(Clone)]
pub struct Recipients(Arc<Vec<age::x25519::Recipient>>);

impl Recipients {
    /// Recipients from their text, `age1…`.
    ///
    /// # Errors
    /// [`ArchiveError::Setting`] when there is none or one is not a recipient.
    pub fn parse(texts: &[String]) -> Result<Self> {
        if texts.is_empty() {
            return Err(ArchiveError::Setting(
                "no recipients: nobody could read the archive; create an identity with `holdfast archive new-identity`"
                    .to_owned(),
            ));
        }
        let parse = |text: &String| {
            text.trim().parse().map_err(|error| {
                let secret = text.trim().to_ascii_uppercase().starts_with("AGE-SECRET-KEY");
                ArchiveError::Setting(if secret {
                    "a recipient is an identity, which is secret: write its public part, `age1…`".to_owned()
                } else {
                    format!("`{text}` is not an age recipient ({error}): write one as `age1…`")
                })
            })
        };
        Ok(Self(Arc::new(texts.iter().map(parse).collect::<Result<_>>()?)))
    }

    /// Compresses and encrypts.
    pub fn seal(&self, plain: &[u8]) -> Result<Vec<u8>> {
        let failed = |error: String| ArchiveError::Setting(format!("encrypting: {error}"));
        let packed = zstd::bulk::compress(plain, LEVEL).map_err(|error| failed(error.to_string()))?;
        let recipients = self.0.iter().map(|recipient| recipient as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients).map_err(|error| failed(error.to_string()))?;
        let mut sealed = Vec::with_capacity(packed.len() + 512);
        let mut writer = encryptor.wrap_output(&mut sealed).map_err(|error| failed(error.to_string()))?;
        writer
            .write_all(&packed)
            .and_then(|()| writer.finish().map(drop))
            .map_err(|error| failed(error.to_string()))?;
        Ok(sealed)
    }
}

/// The identities for reading.
#[derive(Clone)]
pub struct Identities(Arc<Vec<Box<dyn age::Identity + Send + Sync>>>);

impl Identities {
    /// The identities in a file, as `age-keygen` and `holdfast archive new-identity` write it.
    ///
    /// # Errors
    /// [`ArchiveError::Io`], [`ArchiveError::Setting`].
    pub fn read(path: &Path) -> Result<Self> {
        let file = std::fs::read(path).map_err(ArchiveError::io(path.display()))?;
        Self::from_text(&path.display().to_string(), &file)
    }

    /// The identities in the text of such a file; `name` says which it is.
    ///
    /// # Errors
    /// [`ArchiveError::Setting`] when there is none in it.
    pub fn from_text(name: &str, text: &[u8]) -> Result<Self> {
        let wrong = |error: String| ArchiveError::Setting(format!("{name}: {error}"));
        let identities = age::IdentityFile::from_buffer(text)
            .map_err(|error| wrong(error.to_string()))?
            .into_identities()
            .map_err(|error| wrong(error.to_string()))?;
        if identities.is_empty() {
            return Err(wrong("no identity in it".to_owned()));
        }
        Ok(Self(Arc::new(identities)))
    }

    /// Decrypts and decompresses what [`Recipients::seal`] made of at most `limit` bytes. `object` is what messages call it.
    ///
    /// # Errors
    /// [`ArchiveError::NoIdentity`], [`ArchiveError::Damaged`].
    pub fn open(&self, object: &str, sealed: &[u8], limit: u64) -> Result<Vec<u8>> {
        let decryptor =
            age::Decryptor::new(sealed).map_err(|error| ArchiveError::damaged(Cause::Decoding, object, error))?;
        let identities = self.0.iter().map(|identity| &**identity as &dyn age::Identity);
        let reader = decryptor.decrypt(identities).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => {
                ArchiveError::NoIdentity { object: object.to_owned(), what: error.to_string() }
            }
            other => ArchiveError::damaged(Cause::Decoding, object, other),
        })?;
        unpack(object, reader, limit)
    }
}

/// Decompresses at most `limit` bytes: a small object of somebody else's may say that it is a very large one.
pub(super) fn unpack(object: &str, packed: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    let unpacked = || {
        let mut decoder = zstd::stream::read::Decoder::new(packed)?;
        decoder.window_log_max(WINDOW_LOG)?;
        decoder.take(limit + 1).read_to_end(&mut plain)
    };
    unpacked().map_err(|error| ArchiveError::damaged(Cause::Decoding, object, error))?;
    if plain.len() as u64 > limit {
        return Err(ArchiveError::damaged(
            Cause::Length,
            object,
            format!("it is larger than the limit of {limit} bytes"),
        ));
    }
    Ok(plain)
}

/// A new identity: the text of its file, and its recipient.
pub fn new_identity() -> (String, String) {
    use age::secrecy::ExposeSecret as _;
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    (format!("# public key: {recipient}\n{}\n", identity.to_string().expose_secret()), recipient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_identity_of_a_recipient_opens_and_nothing_may_be_changed() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str| {
            let (text, recipient) = new_identity();
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            (Identities::read(&path).unwrap(), recipient)
        };
        let ((one, first), (two, second), (other, _)) = (read("one"), read("two"), read("other"));
        let sealed = Recipients::parse(&[first, second]).unwrap().seal(b"what was said").unwrap();
        assert_eq!(one.open("it", &sealed, 100).unwrap(), b"what was said");
        assert_eq!(two.open("it", &sealed, 100).unwrap(), b"what was said");
        assert!(matches!(other.open("it", &sealed, 100), Err(ArchiveError::NoIdentity { .. })));
        for byte in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[byte] ^= 1;
            // A change of a part of the header that no other reader would take as it was may still open.
            assert!(one.open("it", &damaged, 100).is_err() || two.open("it", &damaged, 100).is_err(), "byte {byte}");
        }
        assert!(one.open("it", &sealed[..sealed.len() - 1], 100).is_err());
    }

    #[test]
    fn what_becomes_larger_than_it_may_is_given_up_before_it_takes_the_memory() {
        let zeros = zstd::bulk::compress(&vec![0; 50 << 20], LEVEL).unwrap();
        assert!(zeros.len() < 10_000);
        let refused = unpack("it", zeros.as_slice(), 1 << 20).unwrap_err().to_string();
        assert!(refused.contains("limit of 1048576 bytes"), "{refused}");
        assert_eq!(unpack("it", zeros.as_slice(), 50 << 20).unwrap().len(), 50 << 20);
        // A window of 128 MiB, as nobody needs who packs at our level.
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(b"little").unwrap();
        assert!(unpack("it", encoder.finish().unwrap().as_slice(), 1 << 20).is_err());
    }

    #[test]
    fn a_secret_in_place_of_a_recipient_is_named_without_being_told() {
        let (text, _) = new_identity();
        let secret = text.lines().nth(1).unwrap().to_owned();
        let message = Recipients::parse(std::slice::from_ref(&secret)).map(drop).unwrap_err().to_string();
        assert!(message.contains("secret") && !message.contains(&secret), "{message}");
        assert!(Recipients::parse(&[]).is_err());
    }
}
