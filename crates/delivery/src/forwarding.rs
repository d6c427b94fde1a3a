//! Forwarding as an account's option: to which addresses all its mail is sent on, and whether a copy stays.
//!
//! Nothing is sent to an address before someone there has confirmed it ([`Delivery::confirm_forward`]): a link that only the
//! confirmation mail has, good for [`CONFIRM_WITHIN`]. An address that refuses everything is paused, and the owner is told.
//!
//! In the account's realm:
//!
//! | key | value |
//! |---|---|
//! | `0x9C` hash | [`TargetRecord`]: an address, by half of the BLAKE3 hash of it in lower case |
//! | `0x9D` | [`OptionsRecord`]: whether a copy is kept, and how many confirmations were asked for today |

mod asking;
pub mod failing;
mod part;

use std::time::Duration;

use directory::AccountId;
use mailkit::EmailAddress;
use prost::Message as _;
use store::{BodyId, Order, Read, RealmId};

pub use asking::{Asked, ForwardError};
pub use part::ForwardingPart;

use crate::{Delivery, DeliveryError, Result};

/// Most addresses that an account forwards to.
pub const MAX_FORWARD_TARGETS: usize = 10;
/// How long a confirmation can be used.
pub const CONFIRM_WITHIN: Duration = Duration::from_hours(72);
/// Confirmation mails that an account can have sent within a day.
pub const MAX_CONFIRMATIONS_PER_DAY: u32 = 10;
/// Failures for good in a row at which forwarding to an address is paused.
pub const PAUSED_AFTER: u32 = 5;

/// First byte of the keys of addresses.
const TARGET: u8 = 0x9C;
/// The key of the options.
const OPTIONS: u8 = 0x9D;
const DAY_MS: i64 = 86_400_000;

/// An address that mail is forwarded to, or is to be.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct TargetRecord {
    #[prost(string, tag = "1")]
    address: String,
    #[prost(int64, tag = "2")]
    added_ms: i64,
    /// 0: not confirmed.
    #[prost(int64, tag = "3")]
    confirmed_ms: i64,
    /// The BLAKE3 hash of what confirms it.
    #[prost(bytes = "vec", tag = "4")]
    code: Vec<u8>,
    /// Until when that does.
    #[prost(int64, tag = "5")]
    code_until_ms: i64,
    /// Failures for good since the last success.
    #[prost(uint32, tag = "6")]
    failures: u32,
    /// The last of them.
    #[prost(string, tag = "7")]
    last_failure: String,
    #[prost(int64, tag = "8")]
    last_failure_ms: i64,
    /// 0: not paused.
    #[prost(int64, tag = "9")]
    paused_ms: i64,
    /// Its owner has still to be told that it is paused.
    #[prost(bool, tag = "10")]
    is_pause_untold: bool,
}

/// What holds for all addresses of an account.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct OptionsRecord {
    #[prost(bool, tag = "1")]
    no_copy: bool,
    /// The day, counted from 1970, on which `asked` confirmations were sent.
    #[prost(int64, tag = "2")]
    day: i64,
    #[prost(uint32, tag = "3")]
    asked: u32,
}

/// Where an address stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardState {
    /// Nothing is sent before it is confirmed, which is possible until then (milliseconds since 1970 UTC).
    Unconfirmed {
        /// Until when.
        until_ms: i64,
    },
    /// The confirmation was not used in time.
    Expired,
    /// Mail is forwarded.
    On,
    /// It refused too many messages in a row, with this reason.
    Paused {
        /// The last failure.
        why: String,
    },
}

impl ForwardState {
    /// For programs: `unconfirmed`, `expired`, `on`, `paused`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unconfirmed { .. } => "unconfirmed",
            Self::Expired => "expired",
            Self::On => "on",
            Self::Paused { .. } => "paused",
        }
    }
}

/// An address of an account's forwarding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardTarget {
    /// The address.
    pub address: EmailAddress,
    /// Where it stands.
    pub state: ForwardState,
    /// When it was added, milliseconds since 1970 UTC.
    pub added_ms: i64,
}

/// An account's forwarding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// The addresses, in the order in which they were added.
    pub targets: Vec<ForwardTarget>,
    /// A copy stays here.
    pub keep_copy: bool,
}

impl Forwarding {
    /// As it is in `read`.
    ///
    /// # Errors
    /// Those of reading.
    pub fn read(read: &impl Read, account: AccountId, now_ms: i64) -> Result<Self> {
        let mut targets = Vec::new();
        for record in records(read, account.realm())? {
            let state = match &record {
                TargetRecord { confirmed_ms: 0, code_until_ms, .. } if *code_until_ms > now_ms => {
                    ForwardState::Unconfirmed { until_ms: *code_until_ms }
                }
                TargetRecord { confirmed_ms: 0, .. } => ForwardState::Expired,
                TargetRecord { paused_ms: 0, .. } => ForwardState::On,
                TargetRecord { last_failure, .. } => ForwardState::Paused { why: last_failure.clone() },
            };
            let address = EmailAddress::parse(&record.address).map_err(|_| damaged())?;
            targets.push(ForwardTarget { address, state, added_ms: record.added_ms });
        }
        let options: OptionsRecord = load(read, account.realm(), &[OPTIONS])?.unwrap_or_default();
        Ok(Self { targets, keep_copy: !options.no_copy })
    }

    /// Where mail goes now.
    pub fn active(&self) -> Vec<EmailAddress> {
        let on = self.targets.iter().filter(|target| target.state == ForwardState::On);
        on.map(|target| target.address.clone()).collect()
    }
}

impl Delivery {
    /// An account's forwarding. A quick read.
    ///
    /// # Errors
    /// Those of reading.
    pub fn forwarding(&self, account: AccountId) -> Result<Forwarding> {
        Forwarding::read(&self.inner.store.snapshot(), account, self.now_ms())
    }

    /// Whether a copy of what is forwarded stays here.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn keep_forward_copies(&self, account: AccountId, keep: bool) -> Result<()> {
        let changed = self.inner.store.transact(move |tx| {
            let before: OptionsRecord = load(tx, account.realm(), &[OPTIONS])?.unwrap_or_default();
            tx.put(account.realm(), vec![OPTIONS], OptionsRecord { no_copy: !keep, ..before }.encode_to_vec());
            Ok::<_, DeliveryError>(())
        });
        changed.await
    }

    /// Ends the forwarding to an address. False if there was none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove_forward(&self, account: AccountId, address: &EmailAddress) -> Result<bool> {
        let key = target_key(address);
        let removed = self.inner.store.transact(move |tx| {
            let was_there = tx.get(account.realm(), &key)?.is_some();
            if was_there {
                tx.delete(account.realm(), key.clone());
            }
            Ok::<_, DeliveryError>(was_there)
        });
        removed.await
    }
}

fn records(read: &(impl Read + ?Sized), account: RealmId) -> Result<Vec<TargetRecord>> {
    let rows = read.prefix(account, &[TARGET], Order::Ascending)?;
    let decoded = rows.map(|row| TargetRecord::decode(row?.1).map_err(|_| damaged()));
    let mut records = decoded.collect::<Result<Vec<_>>>()?;
    records.sort_by_key(|record| record.added_ms);
    Ok(records)
}

fn load<M: prost::Message + Default>(read: &(impl Read + ?Sized), account: RealmId, key: &[u8]) -> Result<Option<M>> {
    read.get(account, key)?.map(|value| M::decode(value).map_err(|_| damaged())).transpose()
}

fn target_key(address: &EmailAddress) -> Vec<u8> {
    let hash = BodyId::of(address.to_string().to_lowercase().as_bytes());
    [&[TARGET][..], &hash.as_bytes()[..16]].concat()
}

fn damaged() -> DeliveryError {
    DeliveryError::damaged(store::Cause::Decoding, "the record of where an account's mail is forwarded to".to_owned())
}
