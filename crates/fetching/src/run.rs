//! One run over a source: from where the last one ended to the end.

mod imap;
mod pop3;

use std::sync::Arc;

use directory::AccountId;
use mailstore::{Flags, Keyword, Role, SystemFlag};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::filing::{Fetched, Note, Place, file, file_by_rules};
use crate::imap::names::To;
use crate::link::{Means, Target};
use crate::source::{Protocol, Settings};
use crate::{Fetching, Trouble};

/// Messages that are filed by one commit.
const BATCH_MESSAGES: usize = 50;
/// Bytes of such messages, unless a single one has more.
const BATCH_BYTES: u64 = 8 << 20;

/// A run.
pub(crate) struct Run<'a> {
    pub fetching: &'a Fetching,
    pub account: AccountId,
    pub id: u64,
    pub settings: &'a Settings,
    /// All mailboxes were looked at to the end before: what comes now is new.
    pub caught_up: bool,
}

impl Run<'_> {
    /// Fetches what is new.
    ///
    /// # Errors
    /// Why it ended early. What was filed until then stays.
    pub(crate) async fn all(&self, stop: &CancellationToken) -> Result<(), Trouble> {
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(Trouble::Stopped),
            done = self.by_protocol() => done,
        }
    }

    async fn by_protocol(&self) -> Result<(), Trouble> {
        let held = self.fetching.inner.services.directory.held_secret(self.account, self.id)?;
        let password: Zeroizing<Vec<u8>> = match held {
            Ok(Some(password)) => password,
            Ok(None) => return Err(Trouble::SignIn("there is no password".to_owned())),
            Err(_) => return Err(Trouble::Sealed),
        };
        let password = std::str::from_utf8(&password).map_err(|_| Trouble::Sealed)?;
        match self.settings.protocol {
            Protocol::Imap => self.imap(password).await,
            Protocol::Pop3 => self.pop3(password).await,
        }
    }

    fn target(&self) -> Target<'_> {
        Target { host: &self.settings.host, port: self.settings.port, security: self.settings.security }
    }

    fn means(&self) -> Means<'_> {
        let inner = &self.fetching.inner;
        Means { resolver: &*inner.services.resolver, tls: &inner.tls, policy: &inner.policy }
    }

    fn place(&self, raw: Vec<u8>, name: String, to: To, anywhere: bool) -> Place {
        Place { account: self.account, source: self.id, raw, name, to, anywhere }
    }

    /// Says which mailbox is fetched now.
    fn tell(&self, name: &str) {
        if let Some(run) = self.fetching.inner.under_way.lock().get_mut(&(self.account, self.id)) {
            name.clone_into(&mut run.mailbox);
        }
    }

    /// Stages and parses a message.
    async fn staged(&self, bytes: Vec<u8>, flags: Flags, date_ms: Option<i64>) -> Result<Fetched, Trouble> {
        let (mail, now_ms) = (self.fetching.inner.services.mailstore.clone(), self.fetching.now_ms());
        let work = tokio::task::spawn_blocking(move || {
            let parsed = mailkit::parse(&bytes);
            let internal_date_ms = date_ms.or(parsed.date_ms).unwrap_or(now_ms).min(now_ms);
            let body = mail.stage(&bytes)?;
            Ok::<_, Trouble>(Fetched {
                body,
                parsed: Arc::new(parsed),
                flags,
                internal_date_ms,
                uidl: None,
                gmail: None,
            })
        });
        work.await.unwrap_or(Err(Trouble::Stopped))
    }

    /// Files a batch; where there is no space for all, as many of the first as there is space for.
    async fn file(&self, place: &Place, batch: Vec<(u32, Fetched)>, note: Note) -> Result<(), Trouble> {
        let services = &self.fetching.inner.services;
        let (store, mail) = (&services.store, &services.mailstore);
        if self.settings.rules && self.caught_up && matches!(place.to, To::Role(Role::Inbox, _)) {
            return self.file_by_rules(place, batch, note).await;
        }
        let (many, left_out, known) = (batch.len() as u64, note.left_out.len() as u64, note.known);
        let messages = batch.iter().map(|(_, one)| one.clone()).collect();
        match file(store, mail, place, messages, note.clone()).await {
            Err(Trouble::Full { .. }) if many > 1 => {}
            Ok(filed) => {
                counted("filed", filed);
                counted("known", many - filed + known);
                counted("left_out", left_out);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        for (one, note) in one_by_one(batch, &note) {
            let filed = file(store, mail, place, one.into_iter().collect(), note).await?;
            counted("filed", filed);
        }
        Ok(())
    }

    /// Files new mail by the account's rules.
    async fn file_by_rules(&self, place: &Place, batch: Vec<(u32, Fetched)>, note: Note) -> Result<(), Trouble> {
        let services = &self.fetching.inner.services;
        for (one, note) in one_by_one(batch, &note) {
            let filed = match one {
                Some(one) => file_by_rules((&services.mailstore, &services.delivery), place, one, note).await?,
                None => file(&services.store, &services.mailstore, place, Vec::new(), note).await? > 0,
            };
            counted("filed", u64::from(filed));
        }
        Ok(())
    }
}

/// The messages of a batch with what is to be noted with each, and at the end what is to be noted with all.
fn one_by_one(batch: Vec<(u32, Fetched)>, note: &Note) -> Vec<(Option<Fetched>, Note)> {
    let mut left = note.left + batch.len() as u64;
    let mut parts = Vec::with_capacity(batch.len() + 1);
    let mut done = Vec::new();
    for (uid, one) in batch {
        left -= 1;
        done.extend(note.to_delete.iter().copied().filter(|other| *other == uid));
        let (uid_validity, total, to_delete) = (note.uid_validity, note.total, done.clone());
        parts.push((Some(one), Note { uid_validity, through: uid, total, left, to_delete, ..Note::default() }));
    }
    parts.push((None, note.clone()));
    parts
}

fn counted(outcome: &'static str, count: u64) {
    metrics::counter!("holdfast_fetch_messages_total", "outcome" => outcome).increment(count);
}

/// The flags that a server names, as far as we have them.
fn flags_of(names: &[String]) -> Flags {
    let mut flags = Flags::NONE;
    for name in names {
        if let Some(flag) = SystemFlag::parse(name) {
            flags.insert(flag);
        } else if let Ok(keyword) = Keyword::new(name) {
            // Beyond the most that a message can have they are left out.
            let _ = flags.insert_keyword(keyword);
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_flag_here_is_left_out() {
        let names = ["\\Seen", "\\Recent", "$Forwarded", "a b", "NonJunk", "\\*"].map(str::to_owned);
        let flags = flags_of(&names);
        assert_eq!(flags.names().collect::<Vec<_>>(), ["\\Seen", "$Forwarded", "NonJunk"]);
    }
}
