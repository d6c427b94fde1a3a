//! The list of recipients: how a relay answers at RCPT what the primary would answer.
//!
//! Addresses are in it as keyed hashes, so that a relay that is lost tells nobody who has an address here; only a guess can
//! be checked. The primary signs the list, with a key that the relay was given when the two were paired.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::Path,
};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use delivery::Refusal;
use directory::{Directory, DirectoryError, MaskKey};
use mailkit::EmailAddress;
use mailstore::MailStore;
use prost::Message as _;

use crate::wire::SignedList;

/// Bytes of the hash of an address.
const HASH_BYTES: usize = 16;
/// Bytes of an entry: the hash, and whose it is.
const ENTRY_BYTES: usize = HASH_BYTES + 4;
/// Into how many steps the space of a mailbox is divided: the list changes when one is reached.
const ROOM_STEPS: u64 = 16;
/// Stands for the account that gets mail for `postmaster` where nobody made that address; 0 is no account.
const NOBODY: u32 = 0;
/// [`ListRecord::entries`] of an address that is there, and whose mail is refused: no account has this number.
const REFUSED: u32 = u32::MAX;

/// The list, as it is signed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListRecord {
    /// The key of the hashes.
    #[prost(bytes = "vec", tag = "1")]
    pub salt: Vec<u8>,
    /// Our domains.
    #[prost(string, repeated, tag = "2")]
    pub domains: Vec<String>,
    /// Sorted: the hash of an address, a detail-less one or `@domain`; then the number of the account, little-endian.
    #[prost(bytes = "vec", tag = "3")]
    pub entries: Vec<u8>,
    /// Mailboxes that have a limit.
    #[prost(message, repeated, tag = "4")]
    pub rooms: Vec<Room>,
    /// The address for the bare recipient `<postmaster>`; may be empty.
    #[prost(string, tag = "5")]
    pub postmaster: String,
    /// Who gets mail for the postmaster of each domain, plus one; 0 is nobody.
    #[prost(uint32, tag = "6")]
    pub administrator: u32,
    /// The largest message that the primary takes.
    #[prost(uint64, tag = "7")]
    pub max_message_bytes: u64,
    /// How senders are checked; none if the primary leaves that to itself.
    #[prost(message, optional, tag = "8")]
    pub senders: Option<SenderPolicy>,
    /// What recognises the app passwords of accounts for which relays may take mail that they send; empty if relays don't.
    #[prost(message, repeated, tag = "9")]
    pub verifiers: Vec<Verifier>,
    /// What tells masked addresses that were deleted from others that a catch-all gets; see [`directory::MaskKey`].
    #[prost(bytes = "vec", tag = "10")]
    pub mask_key: Vec<u8>,
    /// All accounts that were ever made have lower numbers.
    #[prost(uint32, tag = "11")]
    pub next_account: u32,
}

/// What recognises an app password; see [`directory::RelayVerifier`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Verifier {
    /// Whose it is.
    #[prost(uint32, tag = "1")]
    pub account: u32,
    /// The salt of the slow hash.
    #[prost(bytes = "vec", tag = "2")]
    pub salt: Vec<u8>,
    /// Its iterations.
    #[prost(uint32, tag = "3")]
    pub iterations: u32,
    /// Hash of the key.
    #[prost(bytes = "vec", tag = "4")]
    pub fingerprint: Vec<u8>,
}

/// How the primary has senders checked: a relay does the same when mail arrives there.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SenderPolicy {
    /// The most that is done because of a DMARC policy: 0 nothing, 1 to Junk, 2 refused.
    #[prost(uint32, tag = "1")]
    pub dmarc: u32,
    /// What is done about strangers who write in the name of our domains: the same numbers.
    #[prost(uint32, tag = "2")]
    pub own_domains: u32,
    /// Networks whose mail is not checked.
    #[prost(string, repeated, tag = "3")]
    pub trusted_networks: Vec<String>,
    /// Domains whose ARC seals are believed.
    #[prost(string, repeated, tag = "4")]
    pub trusted_sealers: Vec<String>,
}

/// How much fits into a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Room {
    /// Whose.
    #[prost(uint32, tag = "1")]
    pub account: u32,
    /// Bytes that fit, up to the next step; 0 is full.
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
}

impl ListRecord {
    /// The list as it is now. Reads the directory, and the space of mailboxes that have a limit. Blocking.
    ///
    /// # Errors
    /// Those of the directory.
    pub fn now(
        salt: &[u8; 32],
        directory: &Directory,
        mailstore: &MailStore,
        delivery: &delivery::Delivery,
        (senders, submissions): (Option<&SenderPolicy>, bool),
    ) -> Result<Self, DirectoryError> {
        let domains: Vec<String> = directory.domains()?.into_iter().map(|domain| domain.name).collect();
        let mut hashes: Vec<[u8; ENTRY_BYTES]> = directory
            .all_addresses()?
            .into_iter()
            .map(|(address, account)| entry(&hash(salt, &address), account.map_or(REFUSED, |account| account.0)))
            .collect();
        hashes.sort_unstable();
        let mut rooms = Vec::new();
        for account in directory.accounts()? {
            // One that can't be read takes mail, as at the primary.
            let quota = mailstore.quota(account.id.realm()).ok();
            if let Some((used, limit)) = quota.and_then(|quota| Some((quota.used_bytes, quota.limit_bytes?))) {
                rooms.push(Room { account: account.id.0, bytes: room(used, limit) });
            }
        }
        let masks = directory.mask_key()?;
        Ok(Self {
            mask_key: masks.key.to_vec(),
            next_account: masks.next_account,
            salt: salt.to_vec(),
            domains,
            entries: hashes.concat(),
            rooms,
            postmaster: delivery.postmaster().map(|address| address.to_string()).unwrap_or_default(),
            administrator: delivery.administrator().map_or(NOBODY, |account| account.0 + 1),
            max_message_bytes: delivery.max_message_bytes(),
            senders: senders.cloned(),
            verifiers: if submissions {
                directory.relay_verifiers()?.into_iter().map(verifier).collect()
            } else {
                Vec::new()
            },
        })
    }
}

fn verifier(known: directory::RelayVerifier) -> Verifier {
    Verifier {
        account: known.account.0,
        salt: known.salt,
        iterations: known.iterations,
        fingerprint: known.fingerprint.to_vec(),
    }
}

/// What fits, up to the next step.
fn room(used: u64, limit: u64) -> u64 {
    let step = (limit / ROOM_STEPS).max(1);
    limit.saturating_sub(used).div_ceil(step).saturating_mul(step)
}

fn hash(salt: &[u8; 32], address: &str) -> [u8; HASH_BYTES] {
    let whole = blake3::keyed_hash(salt, address.as_bytes());
    let mut short = [0; HASH_BYTES];
    short.copy_from_slice(&whole.as_bytes()[..HASH_BYTES]);
    short
}

fn entry(hash: &[u8; HASH_BYTES], account: u32) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..HASH_BYTES].copy_from_slice(hash);
    entry[HASH_BYTES..].copy_from_slice(&account.to_le_bytes());
    entry
}

/// The key that signs lists.
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// The key stored in `dir`, created at the first call.
    ///
    /// # Errors
    /// Names the file.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let file = dir.join("list-key.der");
        let wrong = |error: &dyn std::fmt::Display| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", file.display()))
        };
        let der = match std::fs::read(&file) {
            Ok(der) => der,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new());
                let made = made.map_err(|error| wrong(&error))?;
                continuity::replace_file(&file, made.as_ref())?;
                made.as_ref().to_vec()
            }
            Err(error) => return Err(error),
        };
        Ok(Self(Ed25519KeyPair::from_pkcs8(&der).map_err(|error| wrong(&error))?))
    }

    /// What relays check signatures with.
    pub fn public(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    /// Signs a list.
    pub fn sign(&self, list: &ListRecord) -> SignedList {
        let record = list.encode_to_vec();
        SignedList { signature: self.0.sign(&record).as_ref().to_vec(), record }
    }
}

impl SignedList {
    /// Names this very list; never 0.
    pub fn revision(&self) -> u64 {
        let hash = blake3::hash(&self.record);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_le_bytes(first).max(1)
    }
}

/// A list that can be asked.
#[derive(Debug)]
pub struct Recipients {
    record: ListRecord,
    salt: [u8; 32],
    domains: HashSet<String>,
    rooms: HashMap<u32, u64>,
    masks: Option<MaskKey>,
    /// Names it.
    pub revision: u64,
}

impl Recipients {
    /// Reads a list that is signed with that key.
    ///
    /// # Errors
    /// It is not, or it makes no sense.
    pub fn read(signed: &SignedList, key: &[u8]) -> Result<Self, String> {
        let verified = UnparsedPublicKey::new(&ED25519, key).verify(&signed.record, &signed.signature);
        verified.map_err(|_| "the list of recipients is not signed by the primary".to_owned())?;
        let record = ListRecord::decode(signed.record.as_slice()).map_err(|error| error.to_string())?;
        Self::of_record(record, signed.revision())
    }

    /// A list that is believed.
    pub(crate) fn of_record(record: ListRecord, revision: u64) -> Result<Self, String> {
        let salt = record.salt.as_slice().try_into().map_err(|_| "the list of recipients has no key".to_owned())?;
        if !record.entries.len().is_multiple_of(ENTRY_BYTES) || !record.entries.chunks_exact(ENTRY_BYTES).is_sorted() {
            return Err("the list of recipients is not in order".to_owned());
        }
        let rooms = record.rooms.iter().map(|room| (room.account, room.bytes)).collect();
        // A primary of an earlier version says nothing of masked addresses.
        let key = record.mask_key.as_slice().try_into().ok();
        let masks = key.map(|key| MaskKey { key, next_account: record.next_account });
        let domains = record.domains.iter().cloned().collect();
        Ok(Self { record, salt, domains, rooms, masks, revision })
    }

    /// A list of this machine's own, of addresses in canonical form (`@domain` for all of a domain): the primary is of another
    /// make. Mail for the postmaster of each domain is always taken.
    pub fn own(
        addresses: &[String],
        domains: Vec<String>,
        senders: Option<SenderPolicy>,
        max_message_bytes: u64,
    ) -> Self {
        // It stays on this machine, so the key of the hashes keeps no secret; the same list has the same name.
        let salt = [0; 32];
        let numbered = addresses.iter().zip(1..);
        let mut entries: Vec<_> = numbered.map(|(address, number)| entry(&hash(&salt, address), number)).collect();
        entries.sort_unstable();
        let record = ListRecord {
            salt: salt.to_vec(),
            domains,
            entries: entries.concat(),
            rooms: Vec::new(),
            postmaster: String::new(),
            administrator: NOBODY + 1,
            max_message_bytes,
            senders,
            ..ListRecord::default()
        };
        let revision = SignedList { record: record.encode_to_vec(), signature: Vec::new() }.revision();
        let domains = record.domains.iter().cloned().collect();
        Self { salt, domains, rooms: HashMap::new(), masks: None, revision, record }
    }

    /// Whose mail to an address is, or what the primary would say. `waiting` is how many bytes wait for an account here.
    ///
    /// # Errors
    /// The refusal for RCPT TO.
    pub fn rcpt(&self, address: &EmailAddress, waiting: impl Fn(u32) -> u64) -> Result<u32, Refusal> {
        if !self.has_domain(address.domain()) {
            return Err(Refusal::relaying_denied(address));
        }
        if mailkit::srs::is_rewritten(address) {
            // The primary has the key.
            let text = format!("<{address}>: Return addresses are checked by another server, try again later");
            return Err(Refusal::new(451, (4, 3, 0), text));
        }
        let account = self.account_of(address);
        let postmaster = || {
            let is_it = address.local().eq_ignore_ascii_case("postmaster");
            is_it.then(|| self.record.administrator.checked_sub(1)).flatten()
        };
        let account = account.or_else(postmaster).filter(|account| *account != REFUSED);
        let account = account.ok_or_else(|| Refusal::no_such_address(address))?;
        match self.rooms.get(&account) {
            Some(room) if waiting(account) >= *room => Err(Refusal::mailbox_full(address)),
            _ => Ok(account),
        }
    }

    /// Whether a domain, in ASCII and lower case, is one of ours.
    pub fn has_domain(&self, name: &str) -> bool {
        self.domains.contains(name)
    }

    /// Whose account an address is, with all ways to it; [`u32::MAX`] is one whose mail is refused.
    pub fn account_of(&self, address: &EmailAddress) -> Option<u32> {
        let is_mask = || self.masks.as_ref().is_some_and(|masks| masks.is_mask(&address.canonical(), None));
        let way = directory::ways_to(address).into_iter().find_map(|way| Some((self.find(&way)?, way)));
        // A masked address that was deleted has no other owner, and a catch-all is one.
        way.map(|(account, way)| if way.starts_with('@') && is_mask() { REFUSED } else { account })
    }

    /// What recognises the app passwords of an account.
    pub fn verifiers_of(&self, account: u32) -> Vec<Verifier> {
        self.record.verifiers.iter().filter(|verifier| verifier.account == account).cloned().collect()
    }

    /// How many app passwords are known.
    pub const fn verifiers(&self) -> usize {
        self.record.verifiers.len()
    }

    /// How senders are checked.
    pub const fn senders(&self) -> Option<&SenderPolicy> {
        self.record.senders.as_ref()
    }

    fn find(&self, address: &str) -> Option<u32> {
        let wanted = hash(&self.salt, address);
        let entries = self.record.entries.as_chunks::<ENTRY_BYTES>().0;
        let at = entries.partition_point(|entry| entry[..HASH_BYTES] < wanted[..]);
        let found = entries.get(at).filter(|entry| entry[..HASH_BYTES] == wanted[..])?;
        Some(u32::from_le_bytes(found[HASH_BYTES..].try_into().ok()?))
    }

    /// The address for the bare recipient `<postmaster>`.
    pub fn postmaster(&self) -> Option<EmailAddress> {
        EmailAddress::parse(&self.record.postmaster).ok()
    }

    /// The largest message that the primary takes.
    pub const fn max_message_bytes(&self) -> u64 {
        self.record.max_message_bytes
    }

    /// How many addresses it has.
    pub const fn len(&self) -> usize {
        self.record.entries.len() / ENTRY_BYTES
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.record.entries.is_empty()
    }
}

#[cfg(test)]
mod tests;
