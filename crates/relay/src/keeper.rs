//! The accepting side of a relay: what it has in memory, and how it keeps a message.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Instant,
};

use delivery::{Elsewhere, Envelope, Kept, Refusal, Shrinking, SignedIn};
use directory::AccountId;
use mailkit::EmailAddress;
use parking_lot::{Mutex, RwLock};
use store::{Store, StoreError, Tx};
use tokio::sync::{Notify, mpsc};

use crate::{
    LIST_FOR,
    agenda::{Agenda, Item},
    asking::Asking,
    given::{AllGiven, Given},
    list::Recipients,
    logins::Logins,
    spool,
    wire::{Letter, Submitter},
};

/// What a relay has in memory.
pub struct Core {
    pub store: Store,
    pub agenda: Mutex<Agenda>,
    pub given: Mutex<AllGiven>,
    pub list: RwLock<Option<Arc<Recipients>>>,
    /// When the primary confirmed the list last, milliseconds since 1970.
    pub confirmed_ms: AtomicI64,
    pub shrinking: Mutex<Shrinking>,
    /// The primary takes mail: what comes now goes in the fresh lane.
    pub runs: AtomicBool,
    /// How many messages the primary has answered about since this began.
    pub heard: AtomicU64,
    /// The primary does not know this relay, or no longer: nobody would ever get what it takes.
    pub revoked: AtomicBool,
    /// A primary of another make is asked about addresses; and what it is to be asked.
    pub asking: Option<Asking>,
    pub asked: Mutex<Option<mpsc::Receiver<EmailAddress>>>,
    /// Sign-ins are possible here while the primary is away.
    pub submissions: bool,
    pub logins: Logins,
    /// Something was kept.
    pub wake: Notify,
}

impl Core {
    /// Reads what waits and what is kept. `ask_domains`: about whose addresses the primary is asked. Blocking.
    pub fn open(store: Store, ask_domains: Vec<String>, submissions: bool) -> Result<Self, StoreError> {
        let snapshot = store.snapshot();
        let mut agenda = Agenda::default();
        for item in spool::all_waiting(&snapshot)? {
            agenda.add(item);
        }
        let asking = (!ask_domains.is_empty()).then(|| Asking::open(ask_domains, &snapshot)).transpose()?.unzip();
        let mut given = AllGiven::default();
        for (id, seq, at_ms, refused) in spool::all_given(&snapshot)? {
            given.insert(id, Given { seq, at_ms, refused });
        }
        Ok(Self {
            store,
            agenda: Mutex::new(agenda),
            given: Mutex::new(given),
            list: RwLock::default(),
            confirmed_ms: AtomicI64::new(0),
            shrinking: Mutex::default(),
            runs: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            revoked: AtomicBool::new(false),
            submissions,
            logins: Logins::default(),
            asking: asking.0,
            asked: Mutex::new(asking.1),
            wake: Notify::new(),
        })
    }

    /// The least id that is still here.
    pub fn oldest(&self) -> Option<u64> {
        let waiting = self.agenda.lock().oldest();
        let given = self.given.lock().oldest();
        waiting.into_iter().chain(given).min()
    }

    /// Looks at how the backlog shrinks.
    pub fn look_at_backlog(&self) {
        let (worked, behind) = {
            let mut agenda = self.agenda.lock();
            (agenda.take_worked(), agenda.behind())
        };
        self.shrinking.lock().look(Instant::now(), worked, behind, self.runs.load(Ordering::Relaxed));
    }

    /// A list of this machine's own, as it is now.
    pub fn use_own_list(&self, list: Recipients) {
        self.confirmed_ms.store(self.store.clock().now_ms(), Ordering::Relaxed);
        let mut now = self.list.write();
        if now.as_ref().is_none_or(|now| now.revision != list.revision) {
            tracing::info!(addresses = list.len(), "the list of recipients was read");
            *now = Some(Arc::new(list));
        }
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

/// A number of an account for an address that no list has: each has its turn.
fn lane_of(address: &EmailAddress) -> u32 {
    let hash = blake3::hash(address.canonical().as_bytes());
    u32::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1], hash.as_bytes()[2], hash.as_bytes()[3]])
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
        let answer = match answer {
            Err(refusal) if refusal.enhanced == (5, 1, 1) => self.asked(address).unwrap_or(Err(refusal)),
            other => other,
        };
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

    fn is_ours(&self, domain: &str) -> bool {
        self.0.list.read().as_ref().is_some_and(|list| list.has_domain(domain))
    }

    fn sign_in(&self, login: &str, password: &str, peer: IpAddr) -> Result<SignedIn, Refusal> {
        let signed_in = self.signed_in(login, password, peer);
        let result = match &signed_in {
            Ok(_) => "ok",
            Err(refusal) if refusal.code == 535 => "wrong",
            Err(_) => "not_now",
        };
        metrics::counter!("holdfast_relay_sign_ins_total", "result" => result).increment(1);
        if let Err(refusal) = &signed_in {
            tracing::info!(%peer, why = refusal.to_string(), "a sign-in was refused");
        }
        signed_in
    }

    fn may_send_as(&self, account: AccountId, from: &EmailAddress) -> bool {
        let list = self.0.list.read().clone();
        list.is_some_and(|list| list.has_domain(from.domain()) && list.account_of(from) == Some(account.0))
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
    /// Who signs in, by the primary's list. Only while the primary is away: then nobody else checks passwords.
    fn signed_in(&self, login: &str, password: &str, peer: IpAddr) -> Result<SignedIn, Refusal> {
        let not_now = |why: &str| Refusal::new(454, (4, 7, 0), format!("Temporary authentication failure: {why}"));
        let core = &self.0;
        if core.runs.load(Ordering::Relaxed) {
            return Err(not_now("the service is up, so send by its own server, not by this relay"));
        }
        let list = core.usable_list().map_err(|_| not_now("the accounts are not known here"))?;
        if !core.submissions || list.verifiers() == 0 {
            return Err(not_now("nobody signs in on this relay"));
        }
        let account = EmailAddress::parse(login).ok().and_then(|address| list.account_of(&address));
        let verifiers = account.map(|account| list.verifiers_of(account)).unwrap_or_default();
        let verifier = core.logins.check(&verifiers, password, peer, core.store.clock().now_ms())?;
        Ok(SignedIn { account: AccountId(verifier.account), proof: verifier.fingerprint.into() })
    }

    /// What the primary says of an address that the list does not have; none where it is not asked.
    fn asked(&self, address: &EmailAddress) -> Option<Result<u32, Refusal>> {
        let asking = self.0.asking.as_ref().filter(|asking| asking.covers(address.domain()))?;
        Some(match asking.answer(address, self.0.store.clock().now_ms()) {
            Some(true) => Ok(lane_of(address)),
            Some(false) => Err(Refusal::no_such_address(address)),
            None => {
                let text = format!("<{address}>: Recipient address is being verified, try again later");
                Err(Refusal::new(450, (4, 1, 1), text))
            }
        })
    }

    /// Whose the first recipient is.
    fn account(&self, envelope: &Envelope) -> u32 {
        if let Some(account) = envelope.origin.auth {
            return account.0;
        }
        let list = self.0.list.read().clone();
        let first = envelope.recipients.first();
        let found = list.zip(first).and_then(|(list, first)| list.rcpt(&first.address, |_| 0).ok());
        found.or_else(|| first.map(|first| lane_of(&first.address))).unwrap_or_default()
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
            refused: Vec::new(),
            submitter: origin
                .auth
                .map(|account| Submitter { account: account.0, fingerprint: origin.auth_proof.to_vec() }),
        }
    }
}
