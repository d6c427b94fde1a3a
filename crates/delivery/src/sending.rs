//! What accounts may send to other servers: counted in the commit that takes a message, whichever way it comes, so that
//! neither parallel connections nor a crash get past a limit.

mod limits;
mod part;
mod stop;
mod usage;

use std::collections::HashSet;

use directory::{AccountId, Directory, Sending};
use mailkit::EmailAddress;
use store::Tx;

pub use limits::{Counted, SendingLimits, Window};
pub use part::SendingPart;
pub use stop::SendingUse;

use crate::dispatch::{Destination, Routed};
use crate::schema::MessageRecord;
use crate::{Delivery, Recipient, Refusal, Result};
use limits::{Limits, stopped_refusal};
use usage::{Standing, UseRecord};

/// What an account may send in one message, from a look at what it has sent: so that a message that will not be taken is
/// refused before its bytes come. The commit that takes a message decides.
#[derive(Debug)]
pub struct Allowance {
    account: AccountId,
    /// `None`: nothing is known of the account at the moment.
    standing: Option<(Standing, Limits)>,
    wanted: UseRecord,
    new: HashSet<String>,
}

impl Delivery {
    /// What an account may send now. A quick read.
    ///
    /// # Errors
    /// Its sending is stopped.
    pub fn allowance(&self, account: AccountId) -> Result<Allowance, Refusal> {
        let mut allowance = Allowance { account, standing: None, wanted: UseRecord::default(), new: HashSet::new() };
        let snapshot = self.inner.store.snapshot();
        let sending = match Directory::sending_in(&snapshot, account) {
            Ok(Some(sending)) => sending,
            Ok(None) => return Ok(allowance),
            Err(error) => {
                tracing::warn!(account = account.0, %error, "could not read what an account may send");
                return Ok(allowance);
            }
        };
        if let Some(stopped) = &sending.stopped {
            return Err(stopped_refusal(stopped));
        }
        let now_ms = self.now_ms();
        if let Ok(standing) = Standing::read(&snapshot, account, now_ms) {
            allowance.standing = Some((standing, self.limits_of(&sending, now_ms)));
        }
        Ok(allowance)
    }

    /// Whether an account may send to all of these; notes it if it mustn't. The commit decides.
    pub(crate) async fn check_allowance(&self, account: AccountId, recipients: &[Recipient]) -> Result<()> {
        let addresses = recipients.iter().map(|recipient| &recipient.address);
        let allowed = self.allowance(account).and_then(|mut allowance| allowance.take_all(self, addresses));
        if let Err(refusal) = allowed {
            self.note_over_limit(account).await;
            return Err(refusal.into());
        }
        Ok(())
    }

    /// Notes that an account tried to send more than its limits allow. If it keeps trying, its sending is stopped.
    pub async fn note_over_limit(&self, account: AccountId) {
        let this = self.clone();
        let noted = self.inner.store.transact(move |tx| {
            tx.keeps_books();
            this.note_over_limit_in(tx, account)
        });
        match noted.await {
            Ok(_) => {}
            Err(error) => tracing::warn!(account = account.0, %error, "could not count a refused message"),
        }
    }

    /// The limits that apply to an account.
    pub(crate) fn limits_of(&self, sending: &Sending, now_ms: i64) -> Limits {
        self.inner.options.sending.of(sending, now_ms)
    }

    /// Counts a message of an account that is being taken. True if it is to be put on hold, for the account's sending was
    /// stopped by it.
    ///
    /// # Errors
    /// A limit would be exceeded, or sending is stopped: nothing of the message may be written then.
    pub(crate) fn count_in(&self, tx: &mut Tx<'_>, record: &MessageRecord, recipients: &[Routed]) -> Result<bool> {
        let Some(account) = record.account.map(AccountId) else { return Ok(false) };
        let Some(sending) = Directory::sending_in(tx, account)? else { return Ok(false) };
        if let Some(stopped) = &sending.stopped {
            return Err(stopped_refusal(stopped).into());
        }
        let elsewhere = |routed: &&Routed| matches!(routed.destination, Destination::Domain(_));
        let to: Vec<&str> = recipients.iter().filter(elsewhere).map(|routed| routed.record.address.as_str()).collect();
        if to.is_empty() {
            return Ok(false);
        }
        let now_ms = tx.now_ms();
        let new = usage::new_among(tx, &self.inner.mailstore, account, &to)?.len();
        let wanted = UseRecord {
            messages: 1,
            recipients: u32::try_from(to.len()).unwrap_or(u32::MAX),
            new: u32::try_from(new).unwrap_or(u32::MAX),
            ..UseRecord::default()
        };
        let limits = self.limits_of(&sending, now_ms);
        Standing::read(tx, account, now_ms)?.check(&limits, &wanted).map_err(|over| over.refusal())?;
        usage::add_in(tx, account, &wanted)?;
        usage::remember_in(tx, account, &to)?;
        if wanted.new == 0 { Ok(false) } else { self.stop_at_jump_in(tx, account, &limits) }
    }
}

impl Allowance {
    /// One more recipient of the message.
    ///
    /// # Errors
    /// With it the message would exceed a limit. Later recipients would, too, so that the whole message is refused.
    pub fn take(&mut self, delivery: &Delivery, address: &EmailAddress) -> Result<(), Refusal> {
        if self.add(delivery, address) { self.check() } else { Ok(()) }
    }

    /// All recipients of a message.
    ///
    /// # Errors
    /// It would exceed a limit.
    pub(crate) fn take_all<'a>(
        &mut self,
        delivery: &Delivery,
        addresses: impl Iterator<Item = &'a EmailAddress>,
    ) -> Result<(), Refusal> {
        for address in addresses {
            self.add(delivery, address);
        }
        self.check()
    }

    /// Whether it counts.
    fn add(&mut self, delivery: &Delivery, address: &EmailAddress) -> bool {
        if self.standing.is_none() || delivery.is_in_our_domain(address).unwrap_or(true) {
            return false;
        }
        let text = address.to_string();
        let snapshot = delivery.inner.store.snapshot();
        let known = || usage::is_known(&snapshot, &delivery.inner.mailstore, self.account, &text).unwrap_or(true);
        let is_new = !self.new.contains(&text.to_lowercase()) && !known();
        self.wanted.messages = 1;
        self.wanted.recipients = self.wanted.recipients.saturating_add(1);
        if is_new {
            self.new.insert(text.to_lowercase());
            self.wanted.new = self.wanted.new.saturating_add(1);
        }
        true
    }

    fn check(&self) -> Result<(), Refusal> {
        let Some((standing, limits)) = &self.standing else { return Ok(()) };
        standing.check(limits, &self.wanted).map_err(|over| {
            let (limit, account) = (over.counted.name(), self.account.0);
            metrics::counter!("holdfast_delivery_sending_refused_total", "limit" => limit).increment(1);
            let refusal = over.refusal();
            tracing::info!(account, limit, reason = refusal.text, "sending limit reached");
            refusal
        })
    }
}
