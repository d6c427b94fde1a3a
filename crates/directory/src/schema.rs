//! The stored records and their keys. Tags are never reused for something else.

mod access;

use std::fmt;

use doorkit::sasl::ScramKeys;
use prost::Message;

pub use access::{HistoryRecord, KnownRecord, PasskeyRecord, SessionRecord, SignInRecord};

use crate::{AccountId, DirectoryError, Result};
use store::{Order, Read};

// The directory realm.
/// `ACCOUNT id(u32 BE)` → [`AccountRecord`].
pub const ACCOUNT: u8 = b'a';
/// `ADDRESS canonical-address` → [`AddressRecord`]; `@domain` is the domain's catch-all.
pub const ADDRESS: u8 = b'l';
/// `DOMAIN name` → [`DomainRecord`].
pub const DOMAIN: u8 = b'd';
/// The next account's number, u32 LE.
pub const NEXT_ACCOUNT: &[u8] = b"n";
/// Keys the server's hashes.
pub const SERVER_KEY: &[u8] = b"k";
/// → [`SecretsRecord`]; absent while nothing is sealed.
pub const SECRETS: &[u8] = b"s";
/// `AUDIT time(i64 BE) n(u16 BE)` → [`AuditRecord`], in the directory realm: what was done to the service and to accounts.
pub const AUDIT: u8 = b'u';
/// `SERVICE name` → [`ServiceRecord`]: what the service itself keeps, as its certificates.
pub const SERVICE: u8 = b'v';

// An account's realm.
/// → [`CredentialsRecord`].
pub const CREDENTIALS: &[u8] = &[0x01];
/// `APP_PASSWORD id(u32 BE)` → [`AppPasswordRecord`].
pub const APP_PASSWORD: u8 = 0x02;
/// `SESSION hash(32)` → [`SessionRecord`].
pub const SESSION: u8 = 0x03;
/// → [`Settings`].
pub const SETTINGS: &[u8] = &[0x04];
/// As [`AUDIT`], in the account's realm.
pub const ACCOUNT_AUDIT: u8 = 0x05;
/// `ACCOUNT_ADDRESS canonical-address` → [`AddressRecord`], the same as under [`ADDRESS`]: the account's addresses belong
/// to it, the directory realm only finds them.
pub const ACCOUNT_ADDRESS: u8 = 0x06;

/// `KNOWN_NETWORK address(16)` → [`KnownRecord`]: an IPv6 network's first address, or an IPv4 address mapped to IPv6.
pub const KNOWN_NETWORK: u8 = 0x07;
/// `SIGN_IN day(u32 BE) name(8)` → [`SignInRecord`]; alone → [`HistoryRecord`].
pub const SIGN_IN: u8 = 0x08;
/// `MASK canonical-address` → [`MaskRecord`].
pub const MASK: u8 = 0x09;
/// `PASSKEY hash-of-credential-id(16)` → [`PasskeyRecord`].
pub const PASSKEY: u8 = 0x0A;
/// → [`crate::Display`].
pub const DISPLAY: &[u8] = &[0x0B];
/// `HELD_SECRET id(u64 BE)` → [`HeldSecretRecord`]: a secret that another part of the account needs (the password of an account
/// elsewhere). The key is of that part; the directory seals it with all others.
pub const HELD_SECRET: u8 = 0xA6;

/// A secret that another part of the account needs.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct HeldSecretRecord {
    /// Stored open.
    #[prost(bytes = "vec", tag = "1")]
    pub secret: Vec<u8>,
    /// Stored sealed; then `secret` is empty.
    #[prost(bytes = "vec", tag = "2")]
    pub sealed: Vec<u8>,
}

/// The key of a held secret.
pub fn held_secret_key(id: u64) -> Vec<u8> {
    [&[HELD_SECRET][..], &id.to_be_bytes()].concat()
}

/// An account.
#[derive(Clone, PartialEq, Message)]
pub struct AccountRecord {
    /// The canonical login address.
    #[prost(string, tag = "1")]
    pub address: String,
    /// The name people see.
    #[prost(string, tag = "2")]
    pub name: String,
    /// 1: may administer the service.
    #[prost(uint32, tag = "3")]
    pub role: u32,
    /// May not log in.
    #[prost(bool, tag = "4")]
    pub disabled: bool,
    /// When it was deleted, in milliseconds since 1970.
    #[prost(int64, optional, tag = "5")]
    pub deleted_ms: Option<i64>,
    /// Bytes it may use; 0 is unlimited.
    #[prost(uint64, tag = "6")]
    pub quota_bytes: u64,
    /// When it was made.
    #[prost(int64, tag = "7")]
    pub created_ms: i64,
    /// It was deleted, and its mail has been cleared away.
    #[prost(bool, tag = "8")]
    pub purged: bool,
    /// What it may send, where that differs from others.
    #[prost(message, optional, tag = "9")]
    pub sending: Option<SendingRecord>,
    /// Relays may take mail that it sends while this machine is away.
    #[prost(bool, tag = "10")]
    pub sends_by_relay: bool,
    /// Its password was set by an administrator, and its owner has to choose another.
    #[prost(bool, tag = "11")]
    pub must_change_password: bool,
}

/// What an account may send.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SendingRecord {
    /// Its own limits.
    #[prost(message, optional, tag = "1")]
    pub limits: Option<LimitsRecord>,
    /// When its sending was stopped, in milliseconds since 1970; 0: it isn't.
    #[prost(int64, tag = "2")]
    pub stopped_ms: i64,
    /// Why.
    #[prost(string, tag = "3")]
    pub why: String,
    /// Its owner has been told.
    #[prost(bool, tag = "4")]
    pub told: bool,
    /// When it was last allowed to send again; 0 is never.
    #[prost(int64, tag = "5")]
    pub allowed_ms: i64,
}

/// An account's own limits on what it sends; absent where the service's apply, 0 is unlimited.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct LimitsRecord {
    /// Messages within an hour.
    #[prost(uint32, optional, tag = "1")]
    pub messages_per_hour: Option<u32>,
    /// Messages within a day.
    #[prost(uint32, optional, tag = "2")]
    pub messages_per_day: Option<u32>,
    /// Recipients within an hour.
    #[prost(uint32, optional, tag = "3")]
    pub recipients_per_hour: Option<u32>,
    /// Recipients within a day.
    #[prost(uint32, optional, tag = "4")]
    pub recipients_per_day: Option<u32>,
    /// Recipients within an hour who were never written to before.
    #[prost(uint32, optional, tag = "5")]
    pub new_per_hour: Option<u32>,
    /// The same within a day.
    #[prost(uint32, optional, tag = "6")]
    pub new_per_day: Option<u32>,
}

/// The target of an address.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct AddressRecord {
    /// The account's number.
    #[prost(uint32, tag = "1")]
    pub account: u32,
    /// Not the account's login.
    #[prost(bool, tag = "2")]
    pub alias: bool,
    /// Who made it: 0 an administrator, 1 its owner, 2 the service, for its owner ([`MaskRecord`]).
    #[prost(uint32, tag = "3")]
    pub origin: u32,
    /// Mail to it is refused, as if it were not there.
    #[prost(bool, tag = "4")]
    pub blocked: bool,
}

/// [`AddressRecord::origin`] of an alias that its owner has made.
pub const OF_OWNER: u32 = 1;
/// [`AddressRecord::origin`] of a masked address.
pub const MASKED: u32 = 2;

/// A masked address: what its owner knows of it, and how it is used.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MaskRecord {
    /// What it was made for.
    #[prost(string, tag = "1")]
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    #[prost(int64, tag = "2")]
    pub created_ms: i64,
    /// Messages that came to it.
    #[prost(uint64, tag = "3")]
    pub count: u64,
    /// When the last one came; 0 is never.
    #[prost(int64, tag = "4")]
    pub last_ms: i64,
}

/// A domain that mail is received for.
#[derive(Clone, PartialEq, Message)]
pub struct DomainRecord {
    /// When it was added.
    #[prost(int64, tag = "1")]
    pub created_ms: i64,
    /// Its DKIM keys.
    #[prost(message, repeated, tag = "2")]
    pub dkim: Vec<DkimRecord>,
    /// MTA-STS: 0 testing, 1 enforce, 2 none.
    #[prost(uint32, tag = "3")]
    pub mta_sts: u32,
    /// `user+detail@domain` is not `user@domain`.
    #[prost(bool, tag = "4")]
    pub without_plus: bool,
    /// `detail@user.domain` is `user@domain`.
    #[prost(bool, tag = "5")]
    pub subdomains: bool,
}

/// The keys that secrets of the service are sealed under.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SecretsRecord {
    /// Their ids.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub keys: Vec<Vec<u8>>,
}

/// What the service keeps for itself. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub struct ServiceRecord {
    /// What anybody may read.
    #[prost(bytes = "vec", tag = "1")]
    pub open: Vec<u8>,
    /// The secret; empty when it is sealed, or when there is none.
    #[prost(bytes = "vec", tag = "2")]
    pub secret: Vec<u8>,
    /// The secret, sealed.
    #[prost(bytes = "vec", tag = "3")]
    pub sealed: Vec<u8>,
}

impl fmt::Debug for ServiceRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceRecord").field("open_bytes", &self.open.len()).finish_non_exhaustive()
    }
}

/// A DKIM key. `Debug` does not show it.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct DkimRecord {
    /// 0 RSA, 1 Ed25519.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// The selector.
    #[prost(string, tag = "2")]
    pub selector: String,
    /// The private key, PKCS#8 DER; empty when it is sealed.
    #[prost(bytes = "vec", tag = "3")]
    pub pkcs8: Vec<u8>,
    /// The public key as DNS has it; empty in records of older versions, where it follows from the private key.
    #[prost(bytes = "vec", tag = "4")]
    pub public: Vec<u8>,
    /// The private key, sealed.
    #[prost(bytes = "vec", tag = "5")]
    pub sealed: Vec<u8>,
    /// 0 in use, 1 waits for its DNS record, 2 retired.
    #[prost(uint32, tag = "6")]
    pub state: u32,
    /// When it was made, in milliseconds since 1970; 0 in records of older versions: with the domain.
    #[prost(int64, tag = "7")]
    pub created_ms: i64,
    /// Since when it is in this state; as `created_ms`.
    #[prost(int64, tag = "8")]
    pub since_ms: i64,
    /// What the DNS said last of its record: 0 nothing yet, 1 it is there, 2 it is not there, 3 it is not there any more.
    #[prost(uint32, tag = "9")]
    pub dns: u32,
}

impl fmt::Debug for DkimRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DkimRecord").field("kind", &self.kind).field("selector", &self.selector).finish_non_exhaustive()
    }
}

/// An account's credentials. `Debug` shows none of them.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct CredentialsRecord {
    /// argon2id's output.
    #[prost(bytes = "vec", tag = "1")]
    pub hash: Vec<u8>,
    /// argon2id's salt.
    #[prost(bytes = "vec", tag = "2")]
    pub salt: Vec<u8>,
    /// argon2id's memory in KiB.
    #[prost(uint32, tag = "3")]
    pub memory_kib: u32,
    /// argon2id's passes.
    #[prost(uint32, tag = "4")]
    pub passes: u32,
    /// When the password was set.
    #[prost(int64, tag = "5")]
    pub changed_ms: i64,
    /// The TOTP secret, once enrolment began; empty when it is sealed.
    #[prost(bytes = "vec", tag = "6")]
    pub totp_secret: Vec<u8>,
    /// Whether TOTP is asked for.
    #[prost(bool, tag = "7")]
    pub totp_enabled: bool,
    /// The last used time step: none is accepted twice.
    #[prost(uint64, tag = "8")]
    pub totp_last_step: u64,
    /// Keyed hashes of recovery codes that are left.
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub recovery_hashes: Vec<Vec<u8>>,
    /// SCRAM-SHA-256 salt, which app passwords made after it share; it stays when the password changes.
    #[prost(bytes = "vec", tag = "10")]
    pub scram_salt: Vec<u8>,
    /// SCRAM-SHA-256 iterations.
    #[prost(uint32, tag = "11")]
    pub scram_iterations: u32,
    /// SCRAM-SHA-256 StoredKey of the password; empty until a password that was set before there was one is next seen, and
    /// when it is sealed.
    #[prost(bytes = "vec", tag = "12")]
    pub scram_stored_key: Vec<u8>,
    /// SCRAM-SHA-256 ServerKey.
    #[prost(bytes = "vec", tag = "13")]
    pub scram_server_key: Vec<u8>,
    /// The TOTP secret, sealed.
    #[prost(bytes = "vec", tag = "14")]
    pub totp_sealed: Vec<u8>,
    /// StoredKey and ServerKey, one after the other, sealed.
    #[prost(bytes = "vec", tag = "15")]
    pub scram_sealed: Vec<u8>,
    /// Two-step sign-in is on with passkeys, be there an authenticator app or not.
    #[prost(bool, tag = "16")]
    pub passkey_step: bool,
}

impl fmt::Debug for CredentialsRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { changed_ms, totp_enabled, .. } = self;
        let mut shown = f.debug_struct("CredentialsRecord");
        shown.field("changed_ms", changed_ms).field("totp_enabled", totp_enabled).finish_non_exhaustive()
    }
}

impl CredentialsRecord {
    /// Whether more than the password is asked for.
    pub const fn has_two_steps(&self) -> bool {
        self.totp_enabled || self.passkey_step
    }

    /// Whether there are SCRAM keys of the password, open or sealed.
    pub const fn has_scram(&self) -> bool {
        !self.scram_stored_key.is_empty() || !self.scram_sealed.is_empty()
    }

    /// What verified logins are recognised by as long as nothing of it changes. Sealing again changes nothing.
    pub fn fingerprinted(&self) -> Vec<u8> {
        let unsealed = Self { totp_sealed: Vec::new(), scram_sealed: Vec::new(), ..self.clone() };
        unsealed.encode_to_vec()
    }

    /// What SCRAM keys of this account are made with, once there are any.
    pub fn scram_salt(&self) -> Option<(Vec<u8>, u32)> {
        (!self.scram_salt.is_empty()).then(|| (self.scram_salt.clone(), self.scram_iterations))
    }

    /// Puts the SCRAM keys of the password in.
    pub fn set_scram(&mut self, keys: ScramKeys) {
        let secret = keys.secrets.into_iter().next();
        (self.scram_salt, self.scram_iterations) = (keys.salt, keys.iterations);
        (self.scram_stored_key, self.scram_server_key) =
            secret.map(|secret| (secret.stored_key, secret.server_key)).unwrap_or_default();
        self.scram_sealed.clear();
    }
}

/// A password for one program. `Debug` does not show it.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct AppPasswordRecord {
    /// The name given by its owner.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its keyed hash.
    #[prost(bytes = "vec", tag = "2")]
    pub hash: Vec<u8>,
    /// When it was made.
    #[prost(int64, tag = "3")]
    pub created_ms: i64,
    /// When it was last used; written at most once an hour. 0 is never.
    #[prost(int64, tag = "4")]
    pub last_used_ms: i64,
    /// SCRAM-SHA-256 salt.
    #[prost(bytes = "vec", tag = "5")]
    pub scram_salt: Vec<u8>,
    /// SCRAM-SHA-256 iterations.
    #[prost(uint32, tag = "6")]
    pub scram_iterations: u32,
    /// SCRAM-SHA-256 StoredKey.
    #[prost(bytes = "vec", tag = "7")]
    pub scram_stored_key: Vec<u8>,
    /// SCRAM-SHA-256 ServerKey.
    #[prost(bytes = "vec", tag = "8")]
    pub scram_server_key: Vec<u8>,
    /// StoredKey and ServerKey, one after the other, sealed.
    #[prost(bytes = "vec", tag = "9")]
    pub scram_sealed: Vec<u8>,
    /// The protocols that it opens, as [`crate::Scopes`] has them; 0 is all of them.
    #[prost(uint32, tag = "10")]
    pub scopes: u32,
}

impl fmt::Debug for AppPasswordRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppPasswordRecord").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The settings of an account's owner. Empty and 0 mean the default.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Settings {
    /// The name in From.
    #[prost(string, tag = "1")]
    pub display_name: String,
    /// Below every message written.
    #[prost(string, tag = "2")]
    pub signature: String,
    /// As [`crate::Display`] has it, which this record held before there was one.
    #[prost(string, tag = "3")]
    pub theme: String,
    /// Likewise.
    #[prost(string, tag = "4")]
    pub time_zone: String,
    /// Likewise.
    #[prost(string, tag = "5")]
    pub language: String,
    /// Load remote images without asking.
    #[prost(bool, tag = "6")]
    pub remote_images: bool,
    /// Seconds in which a Send can be undone; 0 is the default.
    #[prost(uint32, tag = "7")]
    pub undo_send_seconds: u32,
    /// What differs from the above when the owner writes as one of their addresses; at most one for each.
    #[prost(message, repeated, tag = "8")]
    pub identities: Vec<Identity>,
    /// The address that new messages are written from, in lower case, or empty for the login.
    #[prost(string, tag = "9")]
    pub writes_from: String,
    /// Mail to `user+detail@domain` is filed in the mailbox named after the detail, if there is one.
    #[prost(bool, tag = "40")]
    pub files_by_detail: bool,
    /// What becomes of mail to masked addresses that are blocked: 0 refused, 1 Spam, 2 discarded.
    #[prost(uint32, tag = "41")]
    pub blocked_masks: u32,
}

/// How the owner of an account writes as one of their addresses. What is empty is as for all of them.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Identity {
    /// The address, in lower case.
    #[prost(string, tag = "1")]
    pub address: String,
    /// The name in From.
    #[prost(string, tag = "2")]
    pub display_name: String,
    /// An address in Reply-To.
    #[prost(string, tag = "3")]
    pub reply_to: String,
    /// Addresses in Bcc of each message, separated by commas.
    #[prost(string, tag = "4")]
    pub bcc: String,
    /// Below every message.
    #[prost(string, tag = "5")]
    pub signature: String,
    /// No signature, whatever stands for all addresses.
    #[prost(bool, tag = "6")]
    pub without_signature: bool,
}

impl Identity {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self { address: self.address.clone(), ..Self::default() }
    }
}

/// An entry of the audit trail.
#[derive(Clone, PartialEq, Message)]
pub struct AuditRecord {
    /// The actor: an address, `command line`, or `service`.
    #[prost(string, tag = "1")]
    pub who: String,
    /// What.
    #[prost(string, tag = "2")]
    pub what: String,
    /// From which address, if from one.
    #[prost(string, tag = "3")]
    pub peer: String,
    /// The account that it was done to, if to one.
    #[prost(uint32, optional, tag = "4")]
    pub account: Option<u32>,
    /// The address that this account had then.
    #[prost(string, tag = "5")]
    pub address: String,
}

pub(crate) fn account_key(id: AccountId) -> Vec<u8> {
    [&[ACCOUNT][..], &id.0.to_be_bytes()].concat()
}

/// The account whose record a key of the directory realm names.
pub(crate) fn account_of_key(key: &[u8]) -> Option<AccountId> {
    let number = key.strip_prefix(&[ACCOUNT])?.try_into().ok()?;
    Some(AccountId(u32::from_be_bytes(number)))
}

pub(crate) fn address_key(canonical: &str) -> Vec<u8> {
    [&[ADDRESS][..], canonical.as_bytes()].concat()
}

pub(crate) fn account_address_key(canonical: &str) -> Vec<u8> {
    [&[ACCOUNT_ADDRESS][..], canonical.as_bytes()].concat()
}

pub(crate) fn domain_key(name: &str) -> Vec<u8> {
    [&[DOMAIN][..], name.as_bytes()].concat()
}

pub(crate) fn service_key(name: &str) -> Vec<u8> {
    [&[SERVICE][..], name.as_bytes()].concat()
}

pub(crate) fn app_password_key(id: u32) -> Vec<u8> {
    [&[APP_PASSWORD][..], &id.to_be_bytes()].concat()
}

/// Decodes a stored record.
pub(crate) fn decode<M: Message + Default>(what: &str, value: &[u8]) -> Result<M> {
    M::decode(value).map_err(|_| DirectoryError::damaged(store::Cause::Decoding, what.to_owned()))
}

pub(crate) fn credentials<R: Read + ?Sized>(reader: &R, id: AccountId) -> Result<Option<CredentialsRecord>> {
    reader
        .get(id.realm(), CREDENTIALS)?
        .map(|value| decode(&format!("the credentials of account {id}"), &value))
        .transpose()
}

/// An account's app passwords by number.
pub(crate) fn app_passwords<R: Read + ?Sized>(reader: &R, id: AccountId) -> Result<Vec<(u32, AppPasswordRecord)>> {
    reader
        .prefix(id.realm(), &[APP_PASSWORD], Order::Ascending)?
        .map(|row| {
            let (key, value) = row?;
            let number = key[1..]
                .try_into()
                .map_err(|_| DirectoryError::damaged(store::Cause::Decoding, "an app password's key"))?;
            Ok((u32::from_be_bytes(number), decode("an app password", &value)?))
        })
        .collect()
}
