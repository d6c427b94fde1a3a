//! The two ceremonies: a passkey is made (section 7.1), and used (section 7.2).

use aws_lc_rs::digest::{SHA256, digest};

use crate::authenticator::AuthenticatorData;
use crate::cbor::{Item, Reader};
use crate::expected::Expected;
use crate::key::PublicKey;
use crate::{MAX_AUTHENTICATOR_BYTES, MAX_SIGNATURE_BYTES, Refusal, client};

/// A new passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The credential's id.
    pub id: Vec<u8>,
    /// Its public key, as COSE has it.
    pub key: Vec<u8>,
    /// The signature counter; 0: it has none.
    pub counter: u32,
    /// The authenticator verified its user.
    pub user_verified: bool,
    /// It is kept in more than one place.
    pub backed_up: bool,
}

/// What is known of a passkey that is used.
#[derive(Debug, Clone, Copy)]
pub struct Credential<'a> {
    /// Its public key, as COSE has it.
    pub key: &'a [u8],
    /// The signature counter when it was last used.
    pub counter: u32,
}

/// What the browser sent when a passkey was used.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// `clientDataJSON`.
    pub client_data: &'a [u8],
    /// `authenticatorData`.
    pub authenticator_data: &'a [u8],
    /// `signature`.
    pub signature: &'a [u8],
}

/// What a right answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asserted {
    /// The signature counter, to be kept.
    pub counter: u32,
    /// The authenticator verified its user.
    pub user_verified: bool,
    /// It is kept in more than one place.
    pub backed_up: bool,
}

/// Reads and checks what came when a passkey was made.
///
/// # Errors
/// See [`Refusal`].
pub fn register(expected: &Expected<'_>, client_data: &[u8], attestation_object: &[u8]) -> Result<Registered, Refusal> {
    client::check(client_data, "webauthn.create", expected)?;
    let attestation = Attestation::read(attestation_object)?;
    let data = AuthenticatorData::read(attestation.data)?;
    data.check(expected)?;
    let (id, key) = data.credential.ok_or(Refusal::Unreadable("the credential"))?;
    let (public, algorithm) = PublicKey::read(key)?;
    attestation.check(&public, algorithm, client_data)?;
    Ok(Registered {
        id: id.to_vec(),
        key: key.to_vec(),
        counter: data.counter,
        user_verified: data.is_verified(),
        backed_up: data.is_backed_up(),
    })
}

/// Checks what came when a passkey was used.
///
/// # Errors
/// See [`Refusal`].
pub fn assert(expected: &Expected<'_>, of: &Credential<'_>, answer: &Answer<'_>) -> Result<Asserted, Refusal> {
    client::check(answer.client_data, "webauthn.get", expected)?;
    if answer.signature.len() > MAX_SIGNATURE_BYTES {
        return Err(Refusal::TooLong { what: "the signature", limit: MAX_SIGNATURE_BYTES });
    }
    let data = AuthenticatorData::read(answer.authenticator_data)?;
    data.check(expected)?;
    let (key, _) = PublicKey::read(of.key)?;
    key.verify(&signed(answer.authenticator_data, answer.client_data), answer.signature)?;
    if (data.counter != 0 || of.counter != 0) && data.counter <= of.counter {
        return Err(Refusal::Counter { from: of.counter, to: data.counter });
    }
    Ok(Asserted { counter: data.counter, user_verified: data.is_verified(), backed_up: data.is_backed_up() })
}

/// What an authenticator signs.
fn signed(authenticator_data: &[u8], client_data: &[u8]) -> Vec<u8> {
    [authenticator_data, digest(&SHA256, client_data).as_ref()].concat()
}

/// An attestation object (section 6.5).
struct Attestation<'a> {
    format: &'a str,
    statement: &'a [u8],
    data: &'a [u8],
}

const OBJECT: &str = "the attestation object";

impl<'a> Attestation<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_AUTHENTICATOR_BYTES {
            return Err(Refusal::TooLong { what: OBJECT, limit: MAX_AUTHENTICATOR_BYTES });
        }
        let (mut format, mut statement, mut data) = (None, None, None);
        let mut reader = Reader::new(bytes, OBJECT);
        reader.map(text, |reader, name| {
            match *name {
                "fmt" => format = text(reader.item()?),
                "attStmt" => statement = Some(reader.whole()?),
                "authData" => data = blob(reader.item()?),
                _ => drop(reader.whole()?),
            }
            Ok(())
        })?;
        match (format, statement, data) {
            (Some(format), Some(statement), Some(data)) if reader.rest().is_empty() => {
                Ok(Self { format, statement, data })
            }
            _ => Err(Refusal::Unreadable(OBJECT)),
        }
    }

    /// We ask for no attestation. Browsers leave a self attestation as it is (section 5.1.3), which is proved by the key itself; what others
    /// say of their maker is neither read nor believed.
    fn check(&self, key: &PublicKey<'_>, algorithm: i64, client_data: &[u8]) -> Result<(), Refusal> {
        match self.format {
            "none" if self.statement == [0xA0] => Ok(()),
            "none" => Err(Refusal::Unreadable(OBJECT)),
            "packed" => {
                let (mut stated, mut signature, mut has_certificates) = (None, None, false);
                Reader::new(self.statement, OBJECT).map(text, |reader, name| {
                    match *name {
                        "alg" => stated = Some(reader.item()?),
                        "sig" => signature = blob(reader.item()?),
                        "x5c" => {
                            has_certificates = true;
                            reader.whole()?;
                        }
                        _ => drop(reader.whole()?),
                    }
                    Ok(())
                })?;
                if has_certificates {
                    return Ok(());
                }
                if stated != Some(Item::Integer(algorithm)) {
                    return Err(Refusal::Unreadable(OBJECT));
                }
                key.verify(&signed(self.data, client_data), signature.ok_or(Refusal::Unreadable(OBJECT))?)
            }
            _ => Ok(()),
        }
    }
}

const fn text(item: Item<'_>) -> Option<&str> {
    match item {
        Item::Text(text) => Some(text),
        _ => None,
    }
}

const fn blob(item: Item<'_>) -> Option<&[u8]> {
    match item {
        Item::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}
