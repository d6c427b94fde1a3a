//! Compression and encryption: everything that holds people's data is zstd inside age (<https://age-encryption.org/v1>).

use std::{
    io::{Read as _, Write as _},
    path::Path,
    sync::Arc,
};

use super::{ArchiveError, Result};

/// Off-site space costs more than the time of one core.
const LEVEL: i32 = 3;
/// The largest plain object: the largest body and its framing.
pub const MAX_PLAIN_BYTES: u64 = 1 << 30;

/// Who can read what is written.
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
                "no recipients: nobody could read the archive; make an identity with `holdfast archive new-identity`"
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

/// Who reads.
#[derive(Clone)]
pub struct Identities(Arc<Vec<Box<dyn age::Identity + Send + Sync>>>);

impl Identities {
    /// The identities in a file, as `age-keygen` and `holdfast archive new-identity` write it.
    ///
    /// # Errors
    /// [`ArchiveError::Io`], [`ArchiveError::Setting`].
    pub fn read(path: &Path) -> Result<Self> {
        let file = std::fs::read(path).map_err(ArchiveError::io(path.display()))?;
        let wrong = |error: String| ArchiveError::Setting(format!("{}: {error}", path.display()));
        let identities = age::IdentityFile::from_buffer(file.as_slice())
            .map_err(|error| wrong(error.to_string()))?
            .into_identities()
            .map_err(|error| wrong(error.to_string()))?;
        if identities.is_empty() {
            return Err(wrong("no identity in it".to_owned()));
        }
        Ok(Self(Arc::new(identities)))
    }

    /// Decrypts and decompresses what [`Recipients::seal`] made. `object` is what messages call it.
    ///
    /// # Errors
    /// [`ArchiveError::NoIdentity`], [`ArchiveError::Damaged`].
    pub fn open(&self, object: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let decryptor = age::Decryptor::new(sealed).map_err(|error| ArchiveError::damaged(object, error))?;
        let identities = self.0.iter().map(|identity| &**identity as &dyn age::Identity);
        let reader = decryptor.decrypt(identities).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => {
                ArchiveError::NoIdentity { object: object.to_owned(), what: error.to_string() }
            }
            other => ArchiveError::damaged(object, other),
        })?;
        let mut plain = Vec::new();
        zstd::stream::read::Decoder::new(reader)
            .and_then(|decoder| decoder.take(MAX_PLAIN_BYTES + 1).read_to_end(&mut plain))
            .map_err(|error| ArchiveError::damaged(object, error))?;
        if plain.len() as u64 > MAX_PLAIN_BYTES {
            return Err(ArchiveError::damaged(object, "it is larger than anything that is archived"));
        }
        Ok(plain)
    }
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
        assert_eq!(one.open("it", &sealed).unwrap(), b"what was said");
        assert_eq!(two.open("it", &sealed).unwrap(), b"what was said");
        assert!(matches!(other.open("it", &sealed), Err(ArchiveError::NoIdentity { .. })));
        for byte in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[byte] ^= 1;
            // A change of a part of the header that no other reader would take as it was may still open.
            assert!(one.open("it", &damaged).is_err() || two.open("it", &damaged).is_err(), "byte {byte}");
        }
        assert!(one.open("it", &sealed[..sealed.len() - 1]).is_err());
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
