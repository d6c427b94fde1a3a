//! Sender checks, and routing of recipients.

use directory::{AccountId, Resolved};
use mailkit::EmailAddress;

use crate::dispatch::{Destination, Routed};
use crate::judge::Verdict;
use crate::schema::{RecipientRecord, notify_bits};
use crate::{Delivery, DeliveryError, Envelope, Notify, Recipient, Refusal, Result, decide};

/// The route of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientRoute {
    /// Into an account here.
    Local(AccountId),
    /// To another server.
    Remote,
}

impl Delivery {
    /// Whether mail to `address` is accepted from a session authenticated as `auth`, and its route. For RCPT TO.
    /// A quick read.
    pub fn rcpt(&self, address: &EmailAddress, auth: Option<AccountId>) -> Result<RecipientRoute, Refusal> {
        if let Some(elsewhere) = &self.inner.elsewhere {
            // To others' domains it is for the other machine to send, and to limit.
            if auth.is_some() && !elsewhere.is_ours(address.domain()) {
                return Ok(RecipientRoute::Remote);
            }
            return elsewhere.rcpt(address).map(|()| RecipientRoute::Remote);
        }
        if let Some(original) = self.led_back(address)? {
            return self.route_back(&original);
        }
        let account = match self.lookup(address)? {
            Some(account) => account,
            None if auth.is_some() => return Ok(RecipientRoute::Remote),
            None => return Err(Refusal::relaying_denied(address)),
        };
        self.check_account(account, address)?;
        Ok(RecipientRoute::Local(account))
    }

    /// [`Self::rcpt`] of a message with that sender; `None` is the null sender. Return addresses of mail that was sent on take
    /// reports, and nothing else.
    ///
    /// # Errors
    /// The reply to RCPT TO.
    pub fn rcpt_from(
        &self,
        address: &EmailAddress,
        from: Option<&EmailAddress>,
        auth: Option<AccountId>,
    ) -> Result<RecipientRoute, Refusal> {
        let route = self.rcpt(address, auth)?;
        let is_relay = self.inner.elsewhere.is_some();
        if from.is_some() && !is_relay && self.is_return(address) {
            return Err(Refusal::return_address_for_reports(address));
        }
        Ok(route)
    }

    /// The route of a report to the original sender of a message that was sent on.
    fn route_back(&self, original: &EmailAddress) -> Result<RecipientRoute, Refusal> {
        match self.lookup(original)? {
            Some(account) => self.check_account(account, original).map(|()| RecipientRoute::Local(account)),
            None => Ok(RecipientRoute::Remote),
        }
    }

    /// Whether the sender is acceptable: a signed-in one must own the address, anyone may use the null sender. For
    /// MAIL FROM. A quick read.
    pub fn mail_from(&self, from: Option<&EmailAddress>, auth: Option<AccountId>) -> Result<(), Refusal> {
        if let (Some(elsewhere), Some(account)) = (&self.inner.elsewhere, auth) {
            return match from {
                Some(from) if elsewhere.may_send_as(account, from) => Ok(()),
                Some(from) => Err(Refusal::sender_not_yours(from)),
                None => Err(Refusal::new(550, (5, 7, 1), "The null sender is not accepted here")),
            };
        }
        let (Some(from), Some(account)) = (from, auth) else { return Ok(()) };
        match self.inner.directory.may_send_as(account, from) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::sender_not_yours(from)),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// The address for the bare recipient `<postmaster>` (RFC 5321 §4.1.1.3); `None` while there is no domain.
    pub fn postmaster(&self) -> Option<EmailAddress> {
        if let Some(elsewhere) = &self.inner.elsewhere {
            return elsewhere.postmaster();
        }
        let domain = self.reporting_domain().ok()?;
        EmailAddress::parse(&format!("postmaster@{domain}")).ok()
    }

    /// Who gets mail for `postmaster` of a domain where nobody made that address; `None` while there is no account.
    pub fn administrator(&self) -> Option<AccountId> {
        self.first_admin().ok().flatten()
    }

    /// The account of an address here, or `None` if its domain is not ours.
    ///
    /// `postmaster` of each of our domains exists even if nobody made it (RFC 5321 §4.5.1): it is the first
    /// administrator, or the first account where there is none, so that problems with our mail can always be reported
    /// to someone.
    pub(crate) fn lookup(&self, address: &EmailAddress) -> Result<Option<AccountId>, Refusal> {
        let resolved = self.inner.directory.resolve(address).map_err(|error| unavailable(&error))?;
        match resolved {
            Resolved::Account(account) => Ok(Some(account)),
            Resolved::NoSuchDomain => Ok(None),
            Resolved::NoSuchAddress if address.local().eq_ignore_ascii_case("postmaster") => {
                let admin = self.first_admin().map_err(|error| unavailable(&error))?;
                admin.map(Some).ok_or_else(|| Refusal::no_such_address(address))
            }
            Resolved::NoSuchAddress => Err(Refusal::no_such_address(address)),
        }
    }

    fn check_account(&self, id: AccountId, address: &EmailAddress) -> Result<(), Refusal> {
        let account = self.inner.directory.account(id).map_err(|error| unavailable(&error))?;
        // A disabled account can't log in, but still receives mail.
        if account.is_some() { self.check_room(id, address) } else { Err(Refusal::no_such_address(address)) }
    }

    /// Refuses mail for a full mailbox before the message is sent.
    fn check_room(&self, account: AccountId, address: &EmailAddress) -> Result<(), Refusal> {
        match self.inner.mailstore.quota(account.realm()) {
            Ok(quota) if quota.limit_bytes.is_some_and(|limit| quota.used_bytes >= limit) => {
                self.note_full(account);
                Err(Refusal::mailbox_full(address))
            }
            Ok(_) => Ok(()),
            Err(error) => {
                // The mailbox can't be read: its mail waits in the queue.
                tracing::warn!(account = account.0, %error, "could not read the quota");
                Ok(())
            }
        }
    }

    /// Whether mail for the address's domain ends here.
    pub(crate) fn is_in_our_domain(&self, address: &EmailAddress) -> Result<bool> {
        Ok(self.inner.directory.resolve(address)? != Resolved::NoSuchDomain)
    }

    /// The domain that reports come from: the one our host name is in, or else our first one.
    pub(crate) fn reporting_domain(&self) -> Result<String> {
        let hostname = &self.inner.options.hostname;
        let domains = self.inner.directory.domains()?;
        let inside = |name: &str| hostname == name || hostname.ends_with(&format!(".{name}"));
        let ours = domains.iter().find(|domain| inside(&domain.name)).or(domains.first());
        Ok(ours.map_or_else(|| hostname.clone(), |domain| domain.name.clone()))
    }

    fn first_admin(&self) -> Result<Option<AccountId>, directory::DirectoryError> {
        let accounts = self.inner.directory.accounts()?;
        let enabled = || accounts.iter().filter(|account| account.enabled);
        let admin = enabled().filter(|account| account.role == directory::Role::Admin).map(|account| account.id).min();
        Ok(admin.or_else(|| enabled().map(|account| account.id).min()))
    }

    /// The routes of all recipients. The first refused recipient refuses the message: callers have already checked each
    /// of them.
    pub(crate) fn route(&self, recipients: &[Recipient], auth: Option<AccountId>) -> Result<Vec<Routed>> {
        recipients.iter().map(|recipient| self.route_one(recipient, auth)).collect()
    }

    /// The same for recipients that were taken before the message came: an address that went meanwhile keeps the message
    /// from nobody else, and the queue tells the sender.
    pub(crate) fn route_taken(&self, recipients: &[Recipient], auth: Option<AccountId>) -> Result<Vec<Routed>> {
        let routes: Vec<_> = recipients.iter().map(|recipient| self.route_one(recipient, auth)).collect();
        if !routes.iter().any(Result::is_ok) {
            return routes.into_iter().collect();
        }
        let rescue = |(route, recipient): (Result<Routed>, &Recipient)| match route {
            Err(DeliveryError::Refused(refusal)) if refusal.enhanced == (5, 1, 1) => {
                Ok(Routed { destination: Destination::LocalQueue, record: record_of(recipient) })
            }
            other => other,
        };
        routes.into_iter().zip(recipients).map(rescue).collect()
    }

    /// The routes of those recipients whose refusal the client does not hear, each with what was decided about it.
    pub(crate) fn route_judged(&self, envelope: &Envelope, verdicts: Vec<Verdict>) -> Result<Vec<Routed>> {
        let (auth, lmtp) = (envelope.origin.auth, envelope.origin.lmtp);
        if verdicts.is_empty() {
            return self.route_taken(&envelope.recipients, auth);
        }
        let (verdicts, taken): (Vec<Verdict>, Vec<Recipient>) = verdicts
            .into_iter()
            .zip(envelope.recipients.iter().cloned())
            .filter(|(verdict, _)| !decide::is_answered(verdict, lmtp))
            .unzip();
        let mut routed = self.route_taken(&taken, auth)?;
        for (routed, verdict) in routed.iter_mut().zip(verdicts) {
            decide::apply(routed, verdict, &envelope.origin);
        }
        Ok(routed)
    }

    fn route_one(&self, recipient: &Recipient, auth: Option<AccountId>) -> Result<Routed> {
        if let Some(original) = self.led_back(&recipient.address)? {
            let recipient = Recipient { address: original, notify: Notify::NEVER, orcpt: None };
            let destination = match self.route_back(&recipient.address)? {
                RecipientRoute::Local(account) => Destination::Account(account),
                RecipientRoute::Remote => Destination::Domain(recipient.address.domain().to_owned()),
            };
            return Ok(Routed { destination, record: record_of(&recipient) });
        }
        let route = match self.rcpt(&recipient.address, auth) {
            Ok(route) => Some(route),
            // It was taken a moment ago. The queue will find out, and tell the sender.
            Err(refusal) if self.lookup(&recipient.address).is_ok_and(|found| found.is_some()) => {
                tracing::debug!(%refusal, "recipient is delivered through the queue");
                None
            }
            Err(refusal) => return Err(refusal.into()),
        };
        let destination = match route {
            // Whoever wants a report of success gets it from the queue, which knows how to report.
            Some(RecipientRoute::Local(account)) if !recipient.notify.success => Destination::Account(account),
            Some(RecipientRoute::Local(_)) | None => Destination::LocalQueue,
            Some(RecipientRoute::Remote) => Destination::Domain(recipient.address.domain().to_owned()),
        };
        Ok(Routed { destination, record: record_of(recipient) })
    }
}

fn record_of(recipient: &Recipient) -> RecipientRecord {
    RecipientRecord {
        address: recipient.address.to_string(),
        notify: notify_bits(recipient.notify),
        orcpt: recipient.orcpt.clone(),
        ..RecipientRecord::default()
    }
}

fn unavailable(error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%error, "could not read the directory");
    Refusal::unavailable()
}
