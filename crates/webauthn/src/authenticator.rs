//! What the authenticator says and signs (section 6.1).

use aws_lc_rs::digest::{SHA256, digest};

use crate::{MAX_AUTHENTICATOR_BYTES, MAX_ID_BYTES, Refusal, cbor::Reader, expected::Expected};

const WHAT: &str = "the authenticator data";
const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const HAS_CREDENTIAL: u8 = 0x40;
const HAS_EXTENSIONS: u8 = 0x80;

/// Authenticator data, read.
pub(crate) struct AuthenticatorData<'a> {
    relying_party: &'a [u8],
    flags: u8,
    pub(crate) counter: u32,
    /// The new credential: its id, and its public key as COSE has it.
    pub(crate) credential: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> AuthenticatorData<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let short = || Refusal::Unreadable(WHAT);
        if bytes.len() > MAX_AUTHENTICATOR_BYTES {
            return Err(Refusal::TooLong { what: WHAT, limit: MAX_AUTHENTICATOR_BYTES });
        }
        let (relying_party, rest) = bytes.split_at_checked(32).ok_or_else(short)?;
        let ([flags], rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (counter, mut rest) = rest.split_first_chunk().ok_or_else(short)?;
        let mut credential = None;
        if flags & HAS_CREDENTIAL != 0 {
            let (_model, after) = rest.split_first_chunk::<16>().ok_or_else(short)?;
            let (length, after) = after.split_first_chunk().ok_or_else(short)?;
            let length = usize::from(u16::from_be_bytes(*length));
            if !(1..=MAX_ID_BYTES).contains(&length) {
                return Err(Refusal::TooLong { what: "the credential's id", limit: MAX_ID_BYTES });
            }
            let (id, after) = after.split_at_checked(length).ok_or_else(short)?;
            let mut reader = Reader::new(after, "the public key");
            credential = Some((id, reader.whole()?));
            rest = reader.rest();
        }
        if flags & HAS_EXTENSIONS != 0 {
            let mut reader = Reader::new(rest, WHAT);
            reader.whole()?;
            rest = reader.rest();
        }
        if !rest.is_empty() {
            return Err(short());
        }
        Ok(Self { relying_party, flags: *flags, counter: u32::from_be_bytes(*counter), credential })
    }

    pub(crate) const fn is_verified(&self) -> bool {
        self.flags & USER_VERIFIED != 0
    }

    pub(crate) const fn is_backed_up(&self) -> bool {
        self.flags & BACKED_UP != 0
    }

    /// That it is for us, and that the user was there.
    pub(crate) fn check(&self, expected: &Expected<'_>) -> Result<(), Refusal> {
        if self.relying_party != digest(&SHA256, expected.rp_id.as_bytes()).as_ref() {
            return Err(Refusal::RelyingParty);
        }
        if self.flags & USER_PRESENT == 0 {
            return Err(Refusal::NotPresent);
        }
        if expected.verified && !self.is_verified() {
            return Err(Refusal::NotVerified);
        }
        // What can't be backed up is not backed up.
        if self.is_backed_up() && self.flags & BACKUP_ELIGIBLE == 0 {
            return Err(Refusal::Unreadable(WHAT));
        }
        Ok(())
    }
}
