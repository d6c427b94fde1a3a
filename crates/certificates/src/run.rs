//! What is running: looks what is due, orders it, puts it in place, and says how everything is.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use directory::Directory;
use dnskit::Resolver;
use doorkit::{Presented, Tls};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

mod asked;
mod renewal;

use crate::{
    Options, Proof,
    attempt::{Attempt, Tokens},
    client::Client,
    keep::Keep,
    names::{Group, groups},
    patience,
    reach::{self, Leads, NO_ADDRESS},
    state::{Due, State},
    trouble::Trouble,
};

/// The longest time between two looks at what is due: new domains and a clock that was set are noticed.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// The time after which what could not be read is read again.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// The shortest.
const LOOK_LEAST: Duration = Duration::from_millis(500);
/// For how long the DNS's answer about where a name leads is good.
const LEADS_FOR_MS: i64 = 3_600_000;
/// The same of a name of the service itself that has no address: someone is just setting it up.
const NO_ADDRESS_FOR_MS: i64 = 300_000;
/// A clock that differs from the authority's by more is told of.
const CLOCK_DIFFERS_MS: i64 = 300_000;
/// A group that is not wanted any more is forgotten so long after its certificate has ended.
const FORGET_AFTER_MS: i64 = 30 * 86_400_000;

/// The certificates of the service. Cheap to clone.
#[derive(Clone)]
pub struct Certificates {
    inner: Arc<Inner>,
}

struct Inner {
    directory: Directory,
    options: Options,
    tls: Tls,
    resolver: Arc<dyn Resolver>,
    listening: Vec<IpAddr>,
    keep: Keep,
    client: Client,
    tokens: Tokens,
    entries: RwLock<BTreeMap<String, Entry>>,
    /// The authority can't be asked before that, and why.
    hold: Mutex<Hold>,
    /// What is kept was read.
    loaded: AtomicBool,
    /// One order at a time.
    busy: tokio::sync::Mutex<()>,
    wake: Notify,
    /// Counts what has changed, for those who wait for something.
    changes: watch::Sender<u64>,
}

/// A group as it is known in memory.
#[derive(Clone, Default)]
pub(crate) struct Entry {
    pub(crate) state: State,
    pub(crate) presented: Option<Presented>,
    /// There is a certificate, and it can't be presented: why.
    pub(crate) locked: Option<String>,
    /// Names that don't lead here, and why.
    pub(crate) elsewhere: BTreeMap<String, String>,
    /// When that was looked at.
    looked_ms: Option<i64>,
}

#[derive(Clone, Default)]
struct Hold {
    until_ms: i64,
    in_a_row: u32,
    why: String,
}

impl Certificates {
    /// With what is kept; presents the certificates that there are. `listening` are the addresses of the service's listeners.
    ///
    /// # Errors
    /// The file of the authority's roots can't be used.
    pub fn open(
        directory: Directory,
        tls: Tls,
        resolver: Arc<dyn Resolver>,
        listening: Vec<IpAddr>,
        options: Options,
    ) -> Result<Self, Trouble> {
        let client = Client::new(options.ca_file.as_deref(), options.clock.clone()).map_err(Trouble::Own)?;
        let keep = Keep::new(directory.clone());
        let inner = Inner {
            directory,
            options,
            tls,
            resolver,
            listening,
            keep,
            client,
            tokens: Tokens::default(),
            entries: RwLock::default(),
            hold: Mutex::default(),
            loaded: AtomicBool::new(false),
            busy: tokio::sync::Mutex::default(),
            wake: Notify::new(),
            changes: watch::Sender::new(0),
        };
        let this = Self { inner: Arc::new(inner) };
        // A service whose directory can't be read yet starts all the same.
        if let Err(error) = this.load() {
            tracing::error!(%error, "could not read the stored certificates");
        }
        Ok(this)
    }

    /// Reads what is kept again, and presents it: after the secrets keys changed, say.
    ///
    /// # Errors
    /// Those of the store. What is presented stays then.
    pub fn load(&self) -> Result<(), Trouble> {
        let kept = self.inner.keep.all()?;
        let mut entries = self.inner.entries.write();
        let mut before = std::mem::take(&mut *entries);
        for (group, kept) in kept {
            let old = before.remove(&kept.group).unwrap_or_default();
            let (presented, locked) = match kept.presented {
                Ok(presented) => (presented, None),
                // What was opened before can still be presented.
                Err(why) => (old.presented, Some(why)),
            };
            let entry =
                Entry { state: kept.state, presented, locked, elsewhere: old.elsewhere, looked_ms: old.looked_ms };
            if let Some(why) = &entry.locked {
                tracing::error!(group, why, "a stored certificate can't be presented");
            }
            entries.insert(group, entry);
        }
        drop(entries);
        self.inner.loaded.store(true, Ordering::SeqCst);
        self.present();
        Ok(())
    }

    fn present(&self) {
        let entries = self.inner.entries.read();
        let all: Vec<Presented> = entries.values().filter_map(|entry| entry.presented.clone()).collect();
        self.inner.tls.present(&all, self.inner.options.own_names.first().map(String::as_str));
        let ends = all.iter().map(|one| one.certificate().not_after).min();
        metrics::gauge!("holdfast_certificates_first_expiry_timestamp_seconds").set(ends.unwrap_or_default() as f64);
        metrics::gauge!("holdfast_certificates").set(all.len() as f64);
        let failing = entries.values().filter(|entry| entry.state.failing_since_ms.is_some()).count();
        metrics::gauge!("holdfast_certificates_failing").set(failing as f64);
        drop(entries);
        self.changed();
    }

    fn changed(&self) {
        self.inner.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Wakes who waits for something: it changes whenever something was tried, and after each look at what is due.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// The answer to an authority's question by HTTP; none if it was not expected.
    pub fn http_answer(&self, token: &str) -> Option<String> {
        self.inner.tokens.answer(token)
    }

    fn now_ms(&self) -> i64 {
        (self.inner.options.clock)()
    }

    /// The groups that there are to be certificates for now.
    ///
    /// # Errors
    /// Those of the store.
    pub fn groups(&self) -> Result<Vec<Group>, Trouble> {
        let domains: Vec<String> = self.inner.directory.domains()?.into_iter().map(|domain| domain.name).collect();
        Ok(groups(&self.inner.options.own_names, &domains))
    }

    /// Looks what is due again, soon.
    pub fn look(&self) {
        self.inner.wake.notify_one();
    }

    /// Orders and renews until it is stopped.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let wait = tokio::select! {
                () = stop.cancelled() => return,
                wait = self.round() => wait,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                () = self.inner.wake.notified() => {}
            }
        }
    }

    /// Orders everything that is due; gives when to look again.
    async fn round(&self) -> Duration {
        // What is not known to be there must not be ordered a second time.
        let loaded = if self.inner.loaded.load(Ordering::SeqCst) { Ok(()) } else { self.load() };
        let groups = match loaded.and_then(|()| self.groups()) {
            Ok(groups) => groups,
            Err(error) => {
                tracing::error!(%error, "can't tell which certificates are wanted");
                return LOOK_AGAIN;
            }
        };
        let mut next_ms = i64::MAX;
        for group in &groups {
            let held = self.held();
            if held > self.now_ms() {
                next_ms = next_ms.min(held);
                break;
            }
            self.ask_about_renewal(group).await;
            let names = self.names_to_order(group).await;
            match self.due(group, &names) {
                Due::Now(names) => {
                    let outcome = self.order(group, &names).await;
                    next_ms = next_ms.min(self.now_ms());
                    if outcome.is_err() && self.held() > self.now_ms() {
                        next_ms = self.held();
                    }
                }
                Due::At(at) => next_ms = next_ms.min(at),
                Due::Never => {}
            }
        }
        self.forget(&groups).await;
        self.changed();
        let wait = u64::try_from(next_ms.saturating_sub(self.now_ms())).unwrap_or(0);
        Duration::from_millis(wait).clamp(LOOK_LEAST, LOOK_EVERY)
    }

    fn held(&self) -> i64 {
        let hold = self.inner.hold.lock();
        patience::sane(hold.until_ms, patience::LONGEST_HOLD_MS, self.now_ms())
    }

    fn due(&self, group: &Group, names: &[String]) -> Due {
        let entries = self.inner.entries.read();
        let none = Entry::default();
        let entry = entries.get(&group.id).unwrap_or(&none);
        if entry.locked.is_some() && entry.presented.is_none() {
            // Its key is at another place, and may come back: a new one could not be kept either.
            return Due::Never;
        }
        let in_use = entry.presented.as_ref().map(|presented| presented.certificate().as_ref());
        entry.state.due(names, in_use, &self.inner.options.authority, self.now_ms())
    }

    /// The names of a group that lead here, or may. What the DNS doesn't say for now is left out, unless there is a
    /// certificate for it.
    async fn names_to_order(&self, group: &Group) -> Vec<String> {
        let now_ms = self.now_ms();
        let (elsewhere, looked_ms, presented) = {
            let entries = self.inner.entries.read();
            let entry = entries.get(&group.id).cloned().unwrap_or_default();
            (entry.elsewhere, entry.looked_ms, entry.presented)
        };
        let good_for_ms = if group.is_own { NO_ADDRESS_FOR_MS } else { LEADS_FOR_MS };
        let is_fresh = looked_ms.is_some_and(|at| (0..good_for_ms).contains(&(now_ms - at)));
        let elsewhere = if is_fresh {
            elsewhere
        } else {
            let has = |name: &str| presented.as_ref().is_some_and(|one| one.certificate().covers(name));
            let found = if group.is_own {
                self.look_for_addresses(&group.names).await
            } else {
                self.look_where(&group.names, has).await
            };
            let mut entries = self.inner.entries.write();
            let entry = entries.entry(group.id.clone()).or_default();
            (entry.elsewhere, entry.looked_ms) = (found.clone(), Some(now_ms));
            match found.iter().next() {
                Some((name, why)) if group.is_own => entry.state.waits(format!("{name} {why}"), now_ms),
                None if group.is_own => entry.state.waits_no_more(),
                _ => {}
            }
            found
        };
        group.names.iter().filter(|name| !elsewhere.contains_key(*name)).cloned().collect()
    }

    /// Which of the service's own names have no address, so that an authority can't find them. They are ordered wherever they
    /// lead: behind NAT or a proxy the address is another machine's.
    async fn look_for_addresses(&self, names: &[String]) -> BTreeMap<String, String> {
        let mut without = BTreeMap::new();
        if self.inner.options.proofs.iter().all(|proof| *proof == Proof::Dns01) {
            return without;
        }
        for name in names {
            if self.inner.resolver.addresses(name).await.is_err_and(|error| error.is_final()) {
                without.insert(name.clone(), NO_ADDRESS.to_owned());
            }
        }
        without
    }

    /// Which of these names don't lead here, and why.
    async fn look_where(&self, names: &[String], has: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let resolver = &*self.inner.resolver;
        let ours = reach::our_addresses(resolver, &self.inner.options.own_names, &self.inner.listening).await;
        let mut elsewhere = BTreeMap::new();
        for name in names {
            let leads = match &ours {
                Ok(ours) => reach::leads(resolver, name, ours).await,
                Err(why) => Leads::Unknown(why.clone()),
            };
            match leads {
                Leads::Here => {}
                Leads::Unknown(_) if has(name) => {}
                Leads::Elsewhere(why) | Leads::Unknown(why) => drop(elsewhere.insert(name.clone(), why)),
            }
        }
        elsewhere
    }

    /// Orders a certificate for a group, and puts it in place. If the authority refuses some of the names, the others are
    /// ordered without them at once, unless the certificate in use still has them all.
    async fn order(&self, group: &Group, names: &[String]) -> Result<(), Trouble> {
        let _one_at_a_time = self.inner.busy.lock().await;
        let mut names = names.to_vec();
        loop {
            let outcome = self.try_once(group, &names).await;
            let result = if outcome.is_ok() { "ok" } else { "failed" };
            metrics::counter!("holdfast_certificates_orders_total", "result" => result).increment(1);
            let Err(trouble) = outcome else { return Ok(()) };
            let rest = self.note_failure(group, &names, &trouble).await;
            tracing::warn!(group = group.id, error = %trouble, "no certificate was obtained");
            match rest {
                Some(rest) if !rest.is_empty() => names = rest,
                _ => return Err(trouble),
            }
        }
    }

    async fn try_once(&self, group: &Group, names: &[String]) -> Result<(), Trouble> {
        let Inner { options, client, keep, tls, tokens, .. } = &*self.inner;
        client.forget();
        let attempt = Attempt { options, client, keep, tls, tokens };
        let entry = self.inner.entries.read().get(&group.id).cloned().unwrap_or_default();
        let proofs = &options.proofs;
        let proof_of = |name: &str| {
            // Where one proof fails, the next try gives another one.
            let refusals = entry.state.refused.get(name).map_or(0, |refused| refused.in_a_row);
            proofs.get(refusals as usize % proofs.len().max(1)).copied().unwrap_or(Proof::Http01)
        };
        let replaces = entry.state.window.as_ref().and(entry.presented.as_ref()).and_then(renewal::identifier);
        let mut account = attempt.account().await.map_err(|trouble| self.held_off(trouble))?;
        let mut obtained = attempt.obtain(&account, (&group.id, names), replaces.clone(), &proof_of).await;
        if let Err(Trouble::NoAccount(_)) = obtained {
            keep.forget_account(&options.authority).await?;
            account = attempt.account().await.map_err(|trouble| self.held_off(trouble))?;
            obtained = attempt.obtain(&account, (&group.id, names), replaces, &proof_of).await;
        }
        let obtained = obtained.map_err(|trouble| self.held_off(trouble))?;
        let mut state = self.inner.entries.read().get(&group.id).cloned().unwrap_or_default().state;
        state.succeeded(obtained.chain, names, &options.authority, self.now_ms());
        state.window = self.window(&account, &obtained.presented, None).await;
        state.asked_ms = Some(self.now_ms());
        keep.put_certificate(&group.id, &state, &obtained.key).await?;
        let until = obtained.presented.certificate().not_after;
        {
            let mut entries = self.inner.entries.write();
            let entry = entries.entry(group.id.clone()).or_default();
            (entry.state, entry.presented, entry.locked) = (state, Some(obtained.presented), None);
        }
        *self.inner.hold.lock() = Hold::default();
        self.present();
        tracing::info!(group = group.id, names = names.join(", "), until, "obtained a certificate");
        Ok(())
    }

    /// Trouble with what the answers said besides: a time to wait, and a clock that differs.
    fn held_off(&self, trouble: Trouble) -> Trouble {
        let noticed = self.inner.client.noticed();
        let trouble = match (trouble, noticed.hold_until_ms) {
            (Trouble::Hold { why, .. }, until) => {
                Trouble::Hold { why, until_ms: until.unwrap_or_else(|| self.now_ms() + 3_600_000) }
            }
            (Trouble::Away(why) | Trouble::Refused(why), Some(until_ms)) => Trouble::Hold { why, until_ms },
            (other, _) => other,
        };
        match trouble {
            Trouble::Away(why) if noticed.ahead_ms.abs() > CLOCK_DIFFERS_MS => {
                Trouble::Away(format!("{why}; {}", clock_differs(noticed.ahead_ms)))
            }
            Trouble::Refused(why) if noticed.ahead_ms.abs() > CLOCK_DIFFERS_MS => {
                Trouble::Refused(format!("{why}; {}", clock_differs(noticed.ahead_ms)))
            }
            other => other,
        }
    }

    /// Keeps what a failure teaches; gives the names to order instead at once, if there are any.
    async fn note_failure(&self, group: &Group, names: &[String], trouble: &Trouble) -> Option<Vec<String>> {
        let (now_ms, chance) = (self.now_ms(), rand::random());
        let (state, rest) = {
            let mut entries = self.inner.entries.write();
            let entry = entries.entry(group.id.clone()).or_default();
            let mut rest = None;
            if let Trouble::Names(refused) = trouble {
                for one in refused {
                    entry.state.refuse(&one.name, one.why.clone(), now_ms, chance);
                }
                let is_refused = |name: &String| refused.iter().any(|one| one.name == *name);
                // While the certificate in use has all of them, nobody is served better by one that lacks a name.
                let lasts = entry.presented.as_ref().is_some_and(|presented| {
                    let own = presented.certificate();
                    names.iter().all(|name| own.covers(name))
                        && now_ms < patience::alarm_at(own.not_before * 1000, own.not_after * 1000)
                });
                if !lasts {
                    rest = Some(names.iter().filter(|name| !is_refused(name)).cloned().collect::<Vec<_>>());
                }
            }
            let goes_on = rest.as_ref().is_some_and(|rest| !rest.is_empty());
            if !goes_on {
                entry.state.failed(trouble.to_string(), trouble.cause(), now_ms, chance);
            }
            (entry.state.clone(), rest)
        };
        if trouble.is_of_all() {
            let mut hold = self.inner.hold.lock();
            hold.in_a_row = hold.in_a_row.saturating_add(1);
            let (cause, in_a_row) = (trouble.cause(), hold.in_a_row);
            *hold = Hold {
                until_ms: patience::next_try(now_ms, cause, in_a_row, chance),
                in_a_row,
                why: trouble.to_string(),
            };
        }
        if let Err(error) = self.inner.keep.put_state(&group.id, &state).await {
            tracing::error!(%error, group = group.id, "could not keep the state of a certificate");
        }
        self.present();
        rest
    }

    /// Forgets groups that are not wanted any more, long after their certificates have ended.
    async fn forget(&self, wanted: &[Group]) {
        let now_ms = self.now_ms();
        let is_over = |entry: &Entry| {
            let ends = entry.presented.as_ref().map(|one| one.certificate().not_after * 1000);
            entry.locked.is_none() && ends.is_none_or(|ends| now_ms - ends > FORGET_AFTER_MS)
        };
        let gone: Vec<String> = {
            let entries = self.inner.entries.read();
            let unwanted = entries.iter().filter(|(id, _)| wanted.iter().all(|group| group.id != **id));
            unwanted.filter(|(_, entry)| is_over(entry)).map(|(id, _)| id.clone()).collect()
        };
        for id in gone {
            if self.inner.keep.remove(&id).await.is_ok() {
                self.inner.entries.write().remove(&id);
            }
        }
    }
}

fn clock_differs(ahead_ms: i64) -> String {
    let minutes = ahead_ms.abs() / 60_000;
    let way = if ahead_ms > 0 { "ahead of" } else { "behind" };
    format!("this machine's clock is {minutes} minutes {way} the authority's: check it")
}
