//! Mail from accounts elsewhere, by IMAP and POP3: once, to move house, or for ever.
//!
//! An account can have some [`Source`]s. [`Fetching::run`] fetches them when they are due, at most [`Policy::at_once`] at a time;
//! [`Fetching::fetch`] fetches one. Messages and the note that they were fetched are one commit, so a run can end at any moment, and the
//! next goes on from there: nothing comes twice, nothing is left out. What is remembered lies in the account's realm ([`FetchingPart`]);
//! a service that was restored to an earlier moment fetches again what it no longer has.
//!
//! What this crate must never do: connect to where the operator does not allow it, or send a password in plain text where that is
//! not allowed; log a password or show it; delete a message at its source that is not durable here.
//!
//! Start reading at [`Fetching`], then `run.rs` and `filing.rs`. Servers' answers are read by [`imap::response`].

mod filing;
mod guess;
pub mod imap;
mod link;
mod part;
mod policy;
mod pop3;
mod run;
mod runner;
mod schema;
mod source;
mod sources;
mod trouble;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use delivery::{Delivery, TlsClients};
use directory::{AccountId, Directory};
use dnskit::Resolver;
use mailstore::MailStore;
use parking_lot::Mutex;
use store::Store;
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

pub use guess::Guess;
pub use part::FetchingPart;
pub use policy::{Policy, USUAL_PORTS};
pub use runner::Fetched;
pub use source::{Protocol, Remote, Security, Settings, Source, State};
pub use sources::{FetchError, MAX_HOST_BYTES, MAX_PASSWORD_BYTES, MAX_USER_BYTES};
pub use trouble::Trouble;

/// Accounts elsewhere, and fetching from them. Cheap to clone.
#[derive(Clone)]
pub struct Fetching {
    inner: Arc<Inner>,
}

/// What it works with.
pub struct Services {
    /// Where everything is kept.
    pub store: Store,
    /// Accounts.
    pub directory: Directory,
    /// Their mail.
    pub mailstore: MailStore,
    /// Files new mail by the account's rules; tells accounts what they should know.
    pub delivery: Delivery,
    /// Finds servers.
    pub resolver: Arc<dyn Resolver>,
}

struct Inner {
    services: Services,
    policy: Policy,
    tls: TlsConnector,
    room: Arc<Semaphore>,
    under_way: Mutex<HashMap<Key, UnderWay>>,
    /// When which source is due, once the runner has looked.
    agenda: Mutex<BTreeMap<Key, i64>>,
    changed: Notify,
}

/// A source of an account.
type Key = (AccountId, u64);

/// A run.
struct UnderWay {
    stop: CancellationToken,
    mailbox: String,
}

impl Fetching {
    /// On these services.
    ///
    /// # Errors
    /// Those of rustls.
    pub fn new(services: Services, policy: Policy) -> Result<Self, rustls::Error> {
        let tls = TlsClients::new(&services.delivery.options().further_authorities)?.verified;
        Ok(Self {
            inner: Arc::new(Inner {
                room: Arc::new(Semaphore::new(policy.at_once.max(1))),
                services,
                policy,
                tls,
                under_way: Mutex::default(),
                agenda: Mutex::default(),
                changed: Notify::new(),
            }),
        })
    }

    /// What the operator allows.
    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    fn store(&self) -> &Store {
        &self.inner.services.store
    }

    fn now_ms(&self) -> i64 {
        self.store().clock().now_ms()
    }
}
