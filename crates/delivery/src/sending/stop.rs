//! A stolen account is noticed: what stops an account's sending, and what follows from it.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use directory::{Account, AccountId, Directory, Stopped};
use store::{RealmId, Tx};
use tokio::sync::watch;

use super::limits::{Counted, Limits, Window};
use super::usage::{self, Standing, UseRecord};
use crate::{Delivery, Result};

/// Days on which an account has to have sent before it is known what it usually does.
const KNOWN_AFTER_DAYS: usize = 3;
/// How often stopped accounts are looked for whose owner was not told.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// What an account has sent within a window, and may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendingUse {
    /// What is counted.
    pub counted: Counted,
    /// Within which time.
    pub window: Window,
    /// How much of it.
    pub used: u32,
    /// How much it may be; 0 is unlimited.
    pub limit: u32,
}

impl Delivery {
    /// What an account has sent lately, beside its limits.
    ///
    /// # Errors
    /// Those of reading.
    pub fn sending_use(&self, account: AccountId) -> Result<Vec<SendingUse>> {
        let (snapshot, now_ms) = (self.inner.store.snapshot(), self.now_ms());
        let Some(sending) = Directory::sending_in(&snapshot, account)? else { return Ok(Vec::new()) };
        let standing = Standing::read(&snapshot, account, now_ms)?;
        let limits = self.limits_of(&sending, now_ms).0;
        let row = |(counted, window, limit)| {
            let within = standing.within(window);
            let used = match counted {
                Counted::Messages => within.messages,
                Counted::Recipients => within.recipients,
                Counted::New => within.new,
            };
            SendingUse { counted, window, used, limit }
        };
        Ok(limits.into_iter().map(row).collect())
    }

    /// Stops an account's sending, and puts what waits of it on hold. False if it was stopped already.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn stop_sending(&self, account: AccountId, who: &str, why: &str, peer: &str) -> Result<bool> {
        let (who, why, peer) = (who.to_owned(), why.to_owned(), peer.to_owned());
        let stop = move |tx: &mut Tx<'_>| Directory::stop_sending_in(tx, account, Some(&who), &why, &peer);
        let stopped = self.inner.store.transact(stop).await?;
        self.look_after_stopped().await;
        Ok(stopped)
    }

    /// Lets an account send again, and releases what was put on hold when it was stopped. Returns why it was, if it was, and
    /// how many messages were released.
    ///
    /// # Errors
    /// The account does not exist, or the store refused.
    pub async fn allow_sending(&self, account: AccountId) -> Result<(Option<Stopped>, u64)> {
        let stopped = self.inner.directory.allow_sending(account).await?;
        Ok((stopped, self.queue_release_stopped(account).await?))
    }

    /// Accounts whose sending is stopped.
    ///
    /// # Errors
    /// Those of reading.
    pub fn stopped_accounts(&self) -> Result<Vec<(Account, Stopped)>> {
        let mut found = Vec::new();
        for (id, stopped) in self.inner.directory.stopped_accounts()? {
            found.extend(self.inner.directory.account(id)?.map(|account| (account, stopped)));
        }
        Ok(found)
    }

    /// An account that writes to far more new people than it usually does. True if it was stopped.
    pub(super) fn stop_at_jump_in(&self, tx: &mut Tx<'_>, account: AccountId, limits: &Limits) -> Result<bool> {
        let times = self.inner.options.sending.stop_at_jump;
        let most = limits.0.iter().find(|(counted, window, _)| (*counted, *window) == (Counted::New, Window::Day));
        let Some(&(_, _, most @ 1..)) = most.filter(|_| times > 0) else { return Ok(false) };
        let now_ms = tx.now_ms();
        let today = usage::today(tx, account, now_ms)?;
        // One message to many is an invitation; a thief sends many.
        if today.new.saturating_mul(2) <= most || today.messages < 3 {
            return Ok(false);
        }
        let usual = usage::usual(tx, account, now_ms)?;
        let days = usual.iter().filter(|day| day.messages > 0).count();
        if days < KNOWN_AFTER_DAYS {
            return Ok(false);
        }
        let busiest = usual.iter().map(|day| day.new).max().unwrap_or(0);
        if u64::from(today.new) <= u64::from(busiest.max(1)) * u64::from(times) {
            return Ok(false);
        }
        let why = format!(
            "it wrote to {} people for the first time today, but to at most {busiest} on any of the last {} days",
            today.new,
            usage::USUAL_DAYS
        );
        self.stop_in(tx, account, &why)
    }

    /// Recipients of an account's message refused it for good. True if its sending was stopped.
    pub(crate) fn count_bounces_in(&self, tx: &mut Tx<'_>, account: AccountId, bounced: u32) -> Result<bool> {
        if Directory::sending_in(tx, account)?.is_none() {
            return Ok(false);
        }
        usage::add_in(tx, account, &UseRecord { bounced, ..UseRecord::default() })?;
        let limit = self.inner.options.sending.stop_at_bounces;
        let lately = Standing::read(tx, account, tx.now_ms())?.within(Window::Day);
        if limit == 0 || lately.bounced < limit || lately.bounced.saturating_mul(3) < lately.recipients {
            return Ok(false);
        }
        let why = format!(
            "unusually many of its messages bounced: {} of {} recipients within a day",
            lately.bounced,
            lately.recipients.max(lately.bounced)
        );
        self.stop_in(tx, account, &why)
    }

    /// A message of an account was refused because of its limits. True if its sending was stopped.
    pub(super) fn note_over_limit_in(&self, tx: &mut Tx<'_>, account: AccountId) -> Result<bool> {
        if Directory::sending_in(tx, account)?.is_none_or(|sending| sending.stopped.is_some()) {
            return Ok(false);
        }
        usage::add_in(tx, account, &UseRecord { refused: 1, ..UseRecord::default() })?;
        let limit = self.inner.options.sending.stop_at_refusals;
        let refused = Standing::read(tx, account, tx.now_ms())?.within(Window::Day).refused;
        if limit == 0 || refused < limit {
            return Ok(false);
        }
        let why = format!("it tried to send more than its limits allow {refused} times within a day");
        self.stop_in(tx, account, &why)
    }

    fn stop_in(&self, tx: &mut Tx<'_>, account: AccountId, why: &str) -> Result<bool> {
        let stopped = Directory::stop_sending_in(tx, account, None, why, "")?;
        if stopped {
            // The commit may still be refused; then someone looks in vain.
            self.inner.stopping.store(true, Ordering::SeqCst);
        }
        Ok(stopped)
    }

    /// Looks after accounts whose sending was stopped: at the commits that do it, and all the same now and then.
    pub(crate) async fn look_after_stops(&self) -> Infallible {
        let mut commits = self.inner.store.watch(RealmId::DIRECTORY);
        loop {
            let expected = self.inner.stopping.swap(false, Ordering::SeqCst);
            let found = self.look_after_stopped().await;
            if expected && !found {
                // Its commit is still to come.
                self.inner.stopping.store(true, Ordering::SeqCst);
            }
            tokio::select! {
                () = self.next_stop(&mut commits) => {}
                () = tokio::time::sleep(LOOK_EVERY) => self.inner.stopping.store(false, Ordering::SeqCst),
            }
        }
    }

    /// Waits for a commit that may have stopped an account's sending.
    async fn next_stop(&self, commits: &mut watch::Receiver<store::RealmSeq>) {
        while commits.changed().await.is_ok() {
            if self.inner.stopping.load(Ordering::SeqCst) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Puts on hold what waits of stopped accounts, and tells their owners, once each. Whether there was such an account.
    async fn look_after_stopped(&self) -> bool {
        let stopped = match self.stopped_accounts() {
            Ok(stopped) => stopped,
            Err(error) => {
                tracing::error!(%error, "could not read which accounts' sending is stopped");
                return false;
            }
        };
        let mut found = false;
        for (account, stopped) in stopped {
            if self.inner.directory.sending(account.id).is_ok_and(|now| now.is_none_or(|now| now.told)) {
                continue;
            }
            found = true;
            metrics::counter!("holdfast_delivery_sending_stopped_total").increment(1);
            tracing::warn!(account = account.id.0, address = %account.address, why = stopped.why, "sending is stopped");
            let told = async {
                self.queue_hold_stopped(account.id).await?;
                self.tell_of_stop(&account, &stopped).await
            };
            if let Err(error) = told.await {
                tracing::error!(account = account.id.0, %error, "could not tell an account that its sending is stopped");
            }
        }
        found
    }

    async fn tell_of_stop(&self, account: &Account, stopped: &Stopped) -> Result<()> {
        let (address, why) = (&account.address, &stopped.why);
        let text = format!(
            "The service has stopped sending mail from {address} because {why}.\n\n\
             Messages that were waiting to be sent are on hold. Nothing was lost, and mail to you still arrives.\n\n\
             This often means that someone else knows your password. Please do this now:\n\n\
             1. Open Settings, Security and change your password.\n\
             2. Revoke app passwords and sessions that you don't recognize.\n\
             3. Look into Sent for messages that you didn't write.\n\
             4. Tell your administrator. They can allow sending again, and delete messages that you didn't write.\n\n\
             When: {}\n",
            mailkit::date::format(stopped.at_ms)
        );
        let id = account.id;
        self.file_notice(account, "Sending from your account is stopped", text, move |tx| {
            Ok(Directory::mark_told_of_stop_in(tx, id)?)
        })
        .await
    }
}
