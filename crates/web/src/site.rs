//! What all requests share.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use continuity::rewind::Rewinds;
use delivery::{Delivery, QueueStats};
use directory::{AccountId, Directory, DirectoryError};
use domaincheck::Checks;
use fetching::Fetching;
use filter::spam::Spam;
use mailstore::MailStore;
use parking_lot::Mutex as Lock;
use people::People;
use reports::Reports;
use rules::Rules;
use saved::SavedSearches;
use selfcheck::Selfcheck;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::answers::Answers;
use crate::challenges::Challenges;
use crate::discovery::profiles::Profiles;
use crate::found::Found;
use crate::known::Known;
use crate::options::WebOptions;
use crate::queue_work::Work;
use crate::rendering::Rendering;
use crate::room::Shares;
use crate::second_step::SecondSteps;

/// What the webmail works on.
#[derive(Clone)]
pub struct WebState {
    /// Accounts, logins, sessions.
    pub directory: Directory,
    /// Mailboxes and messages.
    pub mailstore: MailStore,
    /// Address books.
    pub people: People,
    /// Settings and training of the spam filter.
    pub spam: Spam,
    /// Saved searches.
    pub saved: SavedSearches,
    /// The rules of accounts.
    pub rules: Rules,
    /// What others report about the domains.
    pub reports: Reports,
    /// Takes accounts back to a moment.
    pub rewinds: Rewinds,
    /// Mail from accounts elsewhere.
    pub fetching: Fetching,
    /// Where written messages go.
    pub delivery: Delivery,
    /// Checks of the domains' DNS records.
    pub checks: Checks,
    /// How it is set up.
    pub options: WebOptions,
    /// Ends live updates, so that a graceful stop need not wait for them.
    pub shutdown: CancellationToken,
}

/// [`WebState`] and what the door keeps for itself. Cheap to clone.
#[derive(Clone)]
pub struct Site(Arc<Inner>);

/// See [`Site`].
pub struct Inner {
    state: WebState,
    /// Looks accounts through.
    pub selfcheck: Selfcheck,
    /// Searches of the last minute.
    pub found: Found,
    /// People of the newest mail, for completing addresses.
    pub known: Known,
    /// Room for live updates, of all and of each account.
    pub live: (Arc<Semaphore>, Shares),
    /// Room for large files on their way in: of all and of each account.
    pub uploads: (Arc<Semaphore>, Shares),
    /// What was answered to forms that make something.
    pub answers: Answers,
    /// Those between password and code.
    pub second_steps: SecondSteps,
    /// What browsers with passkeys were asked.
    pub challenges: Challenges,
    /// Configuration profiles that wait to be fetched.
    pub profiles: Profiles,
    /// Files of contacts whose import waits to be confirmed.
    pub staged: crate::contacts::staged::Staged,
    /// Searches of each account.
    pub searching: Shares,
    /// Messages on their way to pages.
    pub rendering: Rendering,
    /// Room for taking accounts back to a moment: it reads much.
    pub rewinding: Arc<Semaphore>,
    /// The act on many messages of the queue that administrators began last.
    pub queue_work: Lock<Work>,
    /// How much waited in the queue, and when that was counted.
    pub queue_stats: Lock<Option<(Instant, QueueStats)>>,
    /// Room for writing accounts out: each reads all of one.
    pub exporting: Arc<Semaphore>,
    /// Held while the first account is made.
    pub setup: Mutex<()>,
    /// Somebody has an account: that stays so.
    settled: AtomicBool,
    /// Addresses of accounts, as of that state of the directory.
    addresses: Lock<(u64, Addresses)>,
}

type Addresses = HashMap<AccountId, Arc<[String]>>;

/// Accounts whose addresses are kept at hand.
const MAX_ADDRESSES_KEPT: usize = 10_000;
/// Previews and rewinds at once; others wait.
const MAX_REWINDS: usize = 4;
/// Exports at once; others are asked to come back.
const MAX_EXPORTS: usize = 4;
/// Live updates of one account: browsers hold one each, however many pages are open.
const LIVE_EACH: u32 = 20;
/// Forms with large files on their way in, of one account and of all. Each is held in memory.
const UPLOADS_EACH: u32 = 4;
/// See [`UPLOADS_EACH`].
const UPLOADS: usize = 64;
/// Searches of one account under way at once.
const SEARCHES_EACH: u32 = 3;

impl Site {
    /// A site over `state`.
    pub fn new(state: WebState) -> Self {
        let live = (Arc::new(Semaphore::new(state.options.max_live)), Shares::new(LIVE_EACH));
        Self(Arc::new(Inner {
            rewinding: Arc::new(Semaphore::new(MAX_REWINDS)),
            exporting: Arc::new(Semaphore::new(MAX_EXPORTS)),
            selfcheck: checks_of(&state),
            state,
            found: Found::default(),
            known: Known::default(),
            live,
            uploads: (Arc::new(Semaphore::new(UPLOADS)), Shares::new(UPLOADS_EACH)),
            answers: Answers::default(),
            second_steps: SecondSteps::default(),
            challenges: Challenges::default(),
            profiles: Profiles::default(),
            staged: crate::contacts::staged::Staged::default(),
            searching: Shares::new(SEARCHES_EACH),
            rendering: Rendering::default(),
            queue_work: Lock::default(),
            queue_stats: Lock::default(),
            setup: Mutex::new(()),
            settled: AtomicBool::new(false),
            addresses: Lock::default(),
        }))
    }

    /// Whether nobody has an account yet.
    ///
    /// # Errors
    /// Those of the directory.
    pub fn first_run(&self) -> Result<bool, DirectoryError> {
        if self.settled.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let first = self.directory.first_run()?;
        self.settled.store(!first, Ordering::Relaxed);
        Ok(first)
    }

    /// The addresses of an account in lower case. Looking them up reads all addresses of the service, and every page
    /// needs them: they are kept until the directory changes.
    ///
    /// # Errors
    /// Those of the directory.
    pub fn addresses_of(&self, account: AccountId) -> Result<Arc<[String]>, DirectoryError> {
        // Taken before reading: what changes meanwhile is looked up again.
        let seq = self.directory.state();
        {
            let mut kept = self.addresses.lock();
            if kept.0 != seq || kept.1.len() >= MAX_ADDRESSES_KEPT {
                *kept = (seq, HashMap::new());
            }
            if let Some(addresses) = kept.1.get(&account) {
                return Ok(addresses.clone());
            }
        }
        let found = self.directory.addresses_of(account)?;
        let addresses: Arc<[String]> = found.iter().map(|address| address.to_lowercase()).collect();
        let mut kept = self.addresses.lock();
        if kept.0 == seq {
            kept.1.insert(account, addresses.clone());
        }
        Ok(addresses)
    }
}

fn checks_of(state: &WebState) -> Selfcheck {
    Selfcheck::new(selfcheck::Parts {
        directory: state.directory.clone(),
        mailstore: state.mailstore.clone(),
        people: state.people.clone(),
        rules: state.rules.clone(),
        spam: state.spam.clone(),
        delivery: state.delivery.clone(),
        index: state.options.index.clone(),
    })
}

impl Deref for Site {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Deref for Inner {
    type Target = WebState;

    fn deref(&self) -> &WebState {
        &self.state
    }
}
