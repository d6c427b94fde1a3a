//! Sources are fetched when they are due, some at a time; how each run ended is noted.

use std::time::Duration;

use directory::AccountId;
use mailstore::MailError;
use prost::Message as _;
use rand::RngExt as _;
use store::{StoreError, Tx};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::run::Run;
use crate::schema::{SourceRecord, source_key};
use crate::source::{State, settings_of};
use crate::sources::{FetchError, sources};
use crate::{Fetching, Key, Source, Trouble, UnderWay, filing};

/// Runs of one account at once.
const EACH: usize = 2;
/// After the first run that failed.
const FIRST_WAIT: Duration = Duration::from_mins(1);
/// Between runs that fail, at most.
const LONGEST_WAIT: Duration = Duration::from_hours(6);
/// Until it is looked again whether there is space here.
const UNTIL_SPACE: Duration = Duration::from_mins(30);
/// The runner looks so often at least.
const LOOK: Duration = Duration::from_mins(1);

/// How a run ended.
#[derive(Debug)]
pub struct Fetched {
    /// The source afterwards.
    pub source: Source,
    /// Why it ended early.
    pub trouble: Option<Trouble>,
}

/// A run's entry among those under way; it goes with the run.
struct Entry<'a>(&'a Fetching, Key);

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.0.inner.under_way.lock().remove(&self.1);
        self.0.inner.changed.notify_one();
    }
}

impl Fetching {
    /// A source is due at a moment.
    pub(crate) fn is_due(&self, account: AccountId, id: u64, at_ms: i64) {
        self.inner.agenda.lock().insert((account, id), at_ms);
        self.inner.changed.notify_one();
    }

    /// Ends a run that is under way.
    pub(crate) fn stop_run(&self, account: AccountId, id: u64) {
        if let Some(run) = self.inner.under_way.lock().get(&(account, id)) {
            run.stop.cancel();
        }
    }

    /// Fetches sources when they are due, until `stop`.
    ///
    /// # Errors
    /// Those of reading which there are.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), FetchError> {
        if !self.policy().enabled {
            stop.cancelled().await;
            return Ok(());
        }
        self.look_around()?;
        let mut tasks = JoinSet::new();
        loop {
            while let Some(key) = self.next_due() {
                let Ok(permit) = self.inner.room.clone().try_acquire_owned() else { break };
                self.inner.agenda.lock().remove(&key);
                let (this, stop) = (self.clone(), stop.child_token());
                tasks.spawn(async move {
                    this.fetched(key, stop).await;
                    drop(permit);
                    this.inner.changed.notify_one();
                });
            }
            while tasks.try_join_next().is_some() {}
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.inner.changed.notified() => {}
                () = tokio::time::sleep(self.until_due()) => {}
            }
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }

    /// Which sources there are, and when they are due.
    fn look_around(&self) -> Result<(), FetchError> {
        let snapshot = self.store().snapshot();
        for account in self.inner.services.directory.accounts()? {
            // An account that can't be read now has its own alarm.
            let Ok(there) = sources(&snapshot, account.id.realm()) else { continue };
            for (id, record) in there.into_iter().filter(|(_, record)| record.state == State::Active.number()) {
                self.inner.agenda.lock().entry((account.id, id)).or_insert(record.due_ms);
            }
        }
        Ok(())
    }

    /// The source that waits longest of those that may be fetched now.
    fn next_due(&self) -> Option<Key> {
        let now_ms = self.now_ms();
        let under_way: Vec<Key> = self.inner.under_way.lock().keys().copied().collect();
        let has_room = |account: AccountId| under_way.iter().filter(|(other, _)| *other == account).count() < EACH;
        let agenda = self.inner.agenda.lock();
        let due = agenda.iter().filter(|(key, at)| **at <= now_ms && !under_way.contains(key) && has_room(key.0));
        due.min_by_key(|(_, at)| **at).map(|(key, _)| *key)
    }

    fn until_due(&self) -> Duration {
        let now_ms = self.now_ms();
        let agenda = self.inner.agenda.lock();
        let next = agenda.values().filter(|at| **at > now_ms).min();
        let wait = next.and_then(|at| u64::try_from(at - now_ms).ok()).map_or(LOOK, Duration::from_millis);
        wait.min(LOOK)
    }

    async fn fetched(&self, (account, id): Key, stop: CancellationToken) {
        match self.fetch_until(account, id, stop).await {
            Ok(Fetched { trouble: Some(trouble), .. }) => {
                tracing::info!(account = account.0, source = id, why = trouble.name(), "fetching ended early");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, account = account.0, source = id, "a source could not be fetched"),
        }
    }

    /// Fetches a source now, whether it is due or not.
    ///
    /// # Errors
    /// [`FetchError::NoSuchSource`]; those of the store. That the run ended early is no error of this kind.
    pub async fn fetch(&self, account: AccountId, id: u64) -> Result<Fetched, FetchError> {
        self.fetch_until(account, id, CancellationToken::new()).await
    }

    async fn fetch_until(&self, account: AccountId, id: u64, stop: CancellationToken) -> Result<Fetched, FetchError> {
        let key = (account, id);
        {
            let mut under_way = self.inner.under_way.lock();
            if under_way.contains_key(&key) {
                drop(under_way);
                return Ok(Fetched { source: self.source(account, id)?, trouble: Some(Trouble::UnderWay) });
            }
            under_way.insert(key, UnderWay { stop: stop.clone(), mailbox: String::new() });
        }
        let entry = Entry(self, key);
        metrics::gauge!("holdfast_fetch_running").increment(1.0);
        let outcome = self.once(key, &stop).await;
        metrics::gauge!("holdfast_fetch_running").decrement(1.0);
        drop(entry);
        let trouble = outcome?.err();
        let source = self.source(account, id)?;
        if source.state == State::Active {
            self.is_due(account, id, source.due_ms);
        }
        Ok(Fetched { source, trouble })
    }

    async fn once(&self, key: Key, stop: &CancellationToken) -> Result<Result<(), Trouble>, FetchError> {
        let (account, id) = key;
        let record: SourceRecord = filing::load(&self.store().snapshot(), account.realm(), &source_key(id))?
            .ok_or(FetchError::NoSuchSource)?;
        if record.state != State::Active.number() || self.inner.services.directory.account(account)?.is_none() {
            return Ok(Err(Trouble::Stopped));
        }
        let settings = settings_of(&record);
        let run = Run { fetching: self, account, id, settings: &settings, caught_up: record.caught_up };
        let outcome = run.all(stop).await;
        let name = outcome.as_ref().err().map_or("complete", Trouble::name);
        metrics::counter!("holdfast_fetch_runs_total", "outcome" => name).increment(1);
        if let Err(trouble @ (Trouble::Mail(_) | Trouble::Delivery(_) | Trouble::Directory(_))) = &outcome {
            tracing::warn!(account = account.0, source = id, error = %trouble, "what was fetched could not be filed");
        }
        self.noted(key, &outcome).await?;
        Ok(outcome)
    }

    /// Notes how a run ended, and tells the account once if it has to do something.
    async fn noted(&self, (account, id): Key, outcome: &Result<(), Trouble>) -> Result<(), FetchError> {
        let (wait, jitter) = (self.policy().interval, rand::rng().random_range(0.9..1.1));
        let ended = match outcome {
            Err(Trouble::Stopped | Trouble::UnderWay) => return Ok(()),
            Ok(()) => Ended::Well,
            Err(trouble @ Trouble::SignIn(_)) => Ended::For(State::Refused, trouble.for_people()),
            Err(trouble @ Trouble::Hopeless(_)) => Ended::For(State::Broken, trouble.for_people()),
            Err(trouble @ Trouble::Full { .. }) => Ended::Early(trouble.for_people(), Some(UNTIL_SPACE)),
            Err(trouble) => Ended::Early(trouble.for_people(), None),
        };
        let change = move |tx: &mut Tx<'_>| -> Result<bool, StoreError> {
            tx.keeps_books();
            let key = source_key(id);
            let found: Option<SourceRecord> = filing::load(tx, account.realm(), &key)?;
            let Some(mut record) = found.filter(|record| record.state == State::Active.number()) else {
                return Ok(false);
            };
            let tell = ended.put(&mut record, tx.now_ms(), (wait, jitter));
            tx.put(account.realm(), key, record.encode_to_vec());
            Ok(tell)
        };
        let delivery = &self.inner.services.delivery;
        let Err(trouble @ (Trouble::SignIn(_) | Trouble::Hopeless(_))) = outcome else {
            self.store().transact(move |tx| change(tx).map(drop)).await?;
            return Ok(());
        };
        let source = self.source(account, id)?;
        let (subject, text) = letter(&source, trouble);
        match delivery.tell_account(account, &subject, text, change).await {
            Ok(()) => Ok(()),
            Err(error) => Err(FetchError::Store(StoreError::refused(error.to_string()))),
        }
    }
}

/// How a run ended.
enum Ended {
    Well,
    /// It is tried again, after such a time or a growing one.
    Early(String, Option<Duration>),
    /// It is not tried again.
    For(State, String),
}

impl Ended {
    /// Puts it into the record. Whether the account is to be told.
    fn put(&self, record: &mut SourceRecord, now_ms: i64, (interval, jitter): (Duration, f64)) -> bool {
        let after = |wait: Duration| now_ms.saturating_add(wait.mul_f64(jitter).as_millis() as i64);
        match self {
            Self::Well => {
                (record.failures, record.caught_up, record.complete_ms) = (0, true, now_ms);
                record.error.clear();
                record.due_ms = after(interval);
                if !record.keeps_on {
                    record.state = State::Done.number();
                }
                false
            }
            Self::Early(why, wait) => {
                record.failures = record.failures.saturating_add(1);
                record.error.clone_from(why);
                record.error_ms = now_ms;
                let growing = FIRST_WAIT * 2u32.saturating_pow((record.failures - 1).min(16));
                record.due_ms = after(wait.unwrap_or_else(|| growing.min(LONGEST_WAIT)));
                false
            }
            Self::For(state, why) => {
                record.state = state.number();
                record.error.clone_from(why);
                record.error_ms = now_ms;
                !std::mem::replace(&mut record.told, true)
            }
        }
    }
}

/// The mail to the account about a source that is paused.
fn letter(source: &Source, trouble: &Trouble) -> (String, String) {
    let (user, host) = (&source.settings.user, &source.settings.host);
    let next = match trouble {
        Trouble::SignIn(_) => {
            "If you changed the password there, enter the new one under Settings, Other accounts. Some services need an app \
             password, which you make in your account there."
        }
        _ => "To change how it is fetched, open Settings, Other accounts.",
    };
    let text = format!(
        "Mail of {user} at {host} is no longer fetched: {}.\n\nIt is paused, and nothing was lost. {next}\n",
        trouble.for_people()
    );
    ("Fetching mail from another account has stopped".to_owned(), text)
}

impl From<FetchError> for Trouble {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Store(error) => Self::Mail(MailError::Store(error)),
            FetchError::Directory(error) => Self::Directory(error),
            _ => Self::Stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_have_an_end() {
        let mut record = SourceRecord::default();
        let ended = Ended::Early("no answer".to_owned(), None);
        let mut waits = Vec::new();
        for _ in 0..20 {
            assert!(!ended.put(&mut record, 0, (Duration::from_mins(10), 1.0)));
            waits.push(record.due_ms / 60_000);
        }
        assert_eq!((waits[..6].to_vec(), waits[19]), (vec![1, 2, 4, 8, 16, 32], 360));
        Ended::Well.put(&mut record, 0, (Duration::from_mins(10), 1.0));
        assert_eq!((record.failures, record.error.as_str(), record.state), (0, "", State::Done.number()));
    }

    #[test]
    fn an_account_is_told_once() {
        let mut record = SourceRecord::default();
        let ended = Ended::For(State::Refused, "no".to_owned());
        let told: Vec<bool> = (0..3).map(|_| ended.put(&mut record, 0, (Duration::ZERO, 1.0))).collect();
        assert_eq!(told, [true, false, false]);
    }
}
