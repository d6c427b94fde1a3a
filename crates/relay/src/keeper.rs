//! The accepting side of a relay: what it has in memory, and how it keeps a message.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Instant,
};

use delivery::{Elsewhere, Envelope, Kept, Refusal, Shrinking};
use mailkit::EmailAddress;
use parking_lot::{Mutex, RwLock};
use store::{Store, StoreError, Tx};
use tokio::sync::Notify;

use crate::{
    LIST_FOR,
    agenda::{Agenda, Item},
    list::Recipients,
    spool,
    wire::Letter,
};

/// A message that was given and is kept.
#[derive(Debug, Clone, Copy)]
pub struct Given {
    /// A commit of the primary by which it is there.
    pub seq: u64,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// The primary refused it.
    pub refused: bool,
}

/// What a relay has in memory.
pub struct Core {
    pub store: Store,
    pub agenda: Mutex<Agenda>,
    pub given: Mutex<BTreeMap<u64, Given>>,
    pub list: RwLock<Option<Arc<Recipients>>>,
    /// When the primary confirmed the list last, milliseconds since 1970.
    pub confirmed_ms: AtomicI64,
    pub shrinking: Mutex<Shrinking>,
    /// The primary takes mail: what comes now goes in the fresh lane.
    pub runs: AtomicBool,
    /// The primary does not know this relay, or no longer: nobody would ever get what it takes.
    pub revoked: AtomicBool,
    /// Something was kept.
    pub wake: Notify,
}

impl Core {
    /// Reads what waits and what is kept. Blocking.
    pub fn open(store: Store) -> Result<Self, StoreError> {
        let snapshot = store.snapshot();
        let mut agenda = Agenda::default();
        for item in spool::all_waiting(&snapshot)? {
            agenda.add(item);
        }
        let given = spool::all_given(&snapshot)?;
        let given = given.into_iter().map(|(id, seq, at_ms, refused)| (id, Given { seq, at_ms, refused })).collect();
        Ok(Self {
            store,
            agenda: Mutex::new(agenda),
            given: Mutex::new(given),
            list: RwLock::default(),
            confirmed_ms: AtomicI64::new(0),
            shrinking: Mutex::default(),
            runs: AtomicBool::new(false),
            revoked: AtomicBool::new(false),
            wake: Notify::new(),
        })
    }

    /// The least id that is still here.
    pub fn oldest(&self) -> Option<u64> {
        let waiting = self.agenda.lock().oldest();
        let given = self.given.lock().keys().next().copied();
        waiting.into_iter().chain(given).min()
    }

    /// So many were given just now.
    pub fn count_given(&self, given: u64) {
        let waiting = self.agenda.lock().count();
        self.shrinking.lock().look(Instant::now(), given, waiting, self.runs.load(Ordering::Relaxed));
    }

    /// The list, unless there is none that may be used.
    fn usable_list(&self) -> Result<Arc<Recipients>, Refusal> {
        if self.revoked.load(Ordering::Relaxed) {
            return Err(later("the primary does not accept mail from here"));
        }
        let list = self.list.read().clone().ok_or_else(|| later("the list of recipients has not come yet"))?;
        let age_ms = self.store.clock().now_ms().saturating_sub(self.confirmed_ms.load(Ordering::Relaxed));
        if age_ms > i64::try_from(LIST_FOR.as_millis()).unwrap_or(i64::MAX) {
            return Err(later("the list of recipients is too old"));
        }
        Ok(list)
    }
}

fn later(why: &str) -> Refusal {
    Refusal::new(451, (4, 3, 0), format!("Temporary server error: {why}, try again later"))
}

/// The accepting side, for [`delivery::Delivery::with_elsewhere`].
pub struct Keeper(pub Arc<Core>);

impl Elsewhere for Keeper {
    fn rcpt(&self, address: &EmailAddress) -> Result<(), Refusal> {
        let list = self.0.usable_list()?;
        let answer = list.rcpt(address, |account| self.0.agenda.lock().bytes_of(account));
        let result = match &answer {
            Ok(_) => "taken",
            Err(refusal) if refusal.enhanced == (5, 1, 1) => "unknown",
            Err(_) => "refused",
        };
        metrics::counter!("holdfast_relay_recipients_total", "result" => result).increment(1);
        answer?;
        if self.0.store.has_room() {
            Ok(())
        } else {
            Err(Refusal::new(452, (4, 3, 1), "Insufficient system storage, try again later"))
        }
    }

    fn postmaster(&self) -> Option<EmailAddress> {
        self.0.list.read().as_ref()?.postmaster()
    }

    fn max_message_bytes(&self) -> Option<u64> {
        Some(self.0.list.read().as_ref()?.max_message_bytes())
    }

    fn keep_in(&self, tx: &mut Tx<'_>, message: &Kept) -> Result<(), StoreError> {
        spool::keep_in(tx, &self.letter(message))
    }

    fn kept(&self, message: &Kept) {
        let item = Item { id: message.id.0, account: self.account(&message.envelope), bytes: message.body.len() };
        let mut agenda = self.0.agenda.lock();
        if self.0.runs.load(Ordering::Relaxed) {
            agenda.add_fresh(item);
        } else {
            agenda.add(item);
        }
        drop(agenda);
        self.0.wake.notify_one();
        metrics::counter!("holdfast_relay_kept_total").increment(1);
    }
}

impl Keeper {
    /// Whose the first recipient is.
    fn account(&self, envelope: &Envelope) -> u32 {
        let list = self.0.list.read().clone();
        let first = envelope.recipients.first();
        let found = list.zip(first).and_then(|(list, first)| list.rcpt(&first.address, |_| 0).ok());
        found.unwrap_or_default()
    }

    fn letter(&self, message: &Kept) -> Letter {
        let envelope = &message.envelope;
        let origin = &envelope.origin;
        Letter {
            id: message.id.0,
            from: envelope.from.as_ref().map(ToString::to_string).unwrap_or_default(),
            recipients: envelope.recipients.iter().map(|recipient| recipient.address.to_string()).collect(),
            body_8bit: envelope.body_8bit,
            smtputf8: envelope.smtputf8,
            peer: origin.peer.map(|peer| peer.to_string()).unwrap_or_default(),
            helo: origin.helo.clone(),
            tls: origin.tls.clone(),
            esmtp: origin.esmtp,
            at_ms: message.at_ms,
            trace: message.trace.to_vec(),
            body: message.body.id().as_bytes().to_vec(),
            bytes: message.body.len(),
            account: self.account(envelope),
            findings: message.findings.to_vec(),
        }
    }
}
