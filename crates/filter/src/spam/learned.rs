//! What accounts taught, and their settings, in their realms.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use prost::Message as _;
use store::{Cause, Damaged, Order, Part, Read, RealmId, Snapshot, Store, StoreError, Tx};

use super::counts::Counts;
use super::grams::Grams;
use super::kind::{By, Kind};
use super::lists::{Entry, MAX_ENTRIES};
use super::model::{Making, Model, packed};
use super::reputation::{Origin, Reputation};
use super::schema::{self, LEARNED, LearnedRecord, NAME_BYTES, SETTINGS, STATE, SettingsRecord, StateRecord};
use super::settings::Settings;

/// Messages of an account whose features are kept; those of the oldest others are dropped.
const MAX_WITH_FEATURES: usize = 2_000;
/// Messages of an account of which anything is remembered; of others the oldest are forgotten of which the user said
/// nothing, then the oldest.
const MAX_LEARNED: usize = 50_000;
/// [`LearnedRecord::keyword`] of a message without one.
const NO_KEYWORD: u32 = 3;
/// Accounts whose models are kept in memory.
const MAX_MODELS: usize = 200;

/// By which marks it was seen what a message is: which of two that contradict each other is newer follows from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// What a keyword of the message says.
    pub keyword: Option<Kind>,
    /// When the message was put where it lies, in milliseconds since 1970.
    pub placed_ms: i64,
}

/// What was learned of a message before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// What it is.
    pub kind: Kind,
    /// Who said so.
    pub by: By,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// By which marks; `None` if they were not noted.
    pub marks: Option<Marks>,
}

/// A message to be learned.
#[derive(Clone, Debug)]
pub struct Learned {
    /// Name of its body: the BLAKE3 hash.
    pub name: [u8; 32],
    /// What it is.
    pub kind: Kind,
    /// Who says so.
    pub by: By,
    /// Its features, ascending.
    pub features: Vec<u32>,
    /// Its runs of characters.
    pub grams: Grams,
    /// Where it comes from.
    pub origin: Origin,
    /// Address of its sender, in lower case; may be empty.
    pub sender: String,
    /// The marks that say so, if it lies in a mailbox.
    pub marks: Option<Marks>,
}

/// How much an account taught.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taught {
    /// Spam, in the user's words.
    pub spam: u64,
    /// Wanted mail, in the user's words.
    pub wanted: u64,
    /// Wanted mail, by what became of it.
    pub kept: u64,
}

/// What the accounts taught together.
#[derive(Clone, Debug, Default)]
pub struct Base {
    /// Counts of features.
    pub counts: Counts,
    /// Reputation of domains and networks.
    pub reputation: Reputation,
    /// How many accounts it is made of.
    pub accounts: usize,
    /// When it was gathered, milliseconds since 1970; 0: never.
    pub gathered_ms: i64,
}

/// What a message that was learned changed.
struct Change {
    /// What was written.
    record: LearnedRecord,
    /// Nothing was known of the message before, so that nothing has to be taken back.
    is_new: bool,
    /// The state's revision after it.
    revision: u64,
}

/// Why something about the filter could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SpamError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lists have too many entries.
    #[error("the lists can have {MAX_ENTRIES} entries together")]
    TooManyEntries,
}

/// Result of this module.
pub type Result<T, E = SpamError> = std::result::Result<T, E>;

/// Settings and training of accounts. Cheap to clone.
#[derive(Clone)]
pub struct Spam {
    store: Store,
    models: Arc<Mutex<HashMap<RealmId, Arc<Model>>>>,
    base: Arc<RwLock<Arc<Base>>>,
}

impl Spam {
    /// In that store.
    pub fn new(store: Store) -> Self {
        Self { store, models: Arc::default(), base: Arc::default() }
    }

    /// What the accounts taught together, as it was gathered last.
    pub fn base(&self) -> Arc<Base> {
        Arc::clone(&self.base.read())
    }

    pub(super) fn set_base(&self, base: Base) {
        *self.base.write() = Arc::new(base);
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.store.clock().now_ms()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    pub(super) fn accounts(&self) -> Vec<RealmId> {
        self.store.realms().into_iter().filter(|realm| realm.account_number().is_some()).collect()
    }

    /// How an account wants its mail judged.
    ///
    /// # Errors
    /// Those of reading.
    pub fn settings(&self, account: RealmId) -> Result<Settings> {
        let record: Option<SettingsRecord> = load(&self.store.snapshot(), account, &[SETTINGS])?;
        Ok(record.unwrap_or_default().into())
    }

    /// Changes the settings of an account; gives what they are then.
    ///
    /// # Errors
    /// [`SpamError::TooManyEntries`]; those of the store.
    pub async fn change_settings(
        &self,
        account: RealmId,
        change: impl FnOnce(&mut Settings) + Send + 'static,
    ) -> Result<Settings> {
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                let record: Option<SettingsRecord> = load(tx, account, &[SETTINGS])?;
                let mut settings: Settings = record.clone().unwrap_or_default().into();
                change(&mut settings);
                if settings.entries.len() > MAX_ENTRIES {
                    return Err(SpamError::TooManyEntries);
                }
                let changed = SettingsRecord::from(&settings);
                if record.as_ref() != Some(&changed) {
                    tx.put(account, vec![SETTINGS], changed.encode_to_vec());
                }
                Ok(settings)
            })
            .await
    }

    /// The lists of a domain, or of the service (`None`).
    ///
    /// # Errors
    /// Those of reading.
    pub fn lists_of(&self, domain: Option<&str>) -> Result<Vec<Entry>> {
        let record: Option<SettingsRecord> =
            load(&self.store.snapshot(), RealmId::DIRECTORY, &schema::shared_lists(domain))?;
        Ok(record.map(|record| Settings::from(record).entries).unwrap_or_default())
    }

    /// What a recipient's domain says about senders, and then the service.
    ///
    /// # Errors
    /// Those of reading.
    pub fn lists_for(&self, domain: &str) -> Result<Vec<Entry>> {
        let mut entries = self.lists_of(Some(domain))?;
        entries.extend(self.lists_of(None)?);
        Ok(entries)
    }

    /// Changes the lists of a domain, or of the service (`None`).
    ///
    /// # Errors
    /// [`SpamError::TooManyEntries`]; those of the store.
    pub async fn change_lists(
        &self,
        domain: Option<&str>,
        change: impl FnOnce(&mut Settings) + Send + 'static,
    ) -> Result<()> {
        let key = schema::shared_lists(domain);
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                let record: Option<SettingsRecord> = load(tx, RealmId::DIRECTORY, &key)?;
                let mut settings: Settings = record.unwrap_or_default().into();
                change(&mut settings);
                if settings.entries.len() > MAX_ENTRIES {
                    return Err(SpamError::TooManyEntries);
                }
                if settings.entries.is_empty() {
                    tx.delete(RealmId::DIRECTORY, key);
                } else {
                    tx.put(RealmId::DIRECTORY, key, SettingsRecord::from(&settings).encode_to_vec());
                }
                Ok(())
            })
            .await
    }

    /// Learns a message, unless it was learned so already or the user said otherwise. Gives whether anything changed.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn learn(&self, account: RealmId, learned: Learned) -> Result<bool> {
        let name = schema::short(&learned.name);
        let change = self.store.transact(move |tx: &mut Tx<'_>| learn_in(tx, account, &learned)).await?;
        let Some(change) = change else { return Ok(false) };
        self.follow(account, name, &change);
        Ok(true)
    }

    /// Has the model in memory learn what was written. Where something has to be taken back, or much
    /// was learned so, it is made of the records again.
    fn follow(&self, account: RealmId, name: [u8; NAME_BYTES], change: &Change) {
        let mut models = self.models.lock();
        let Some(model) = models.get_mut(&account) else { return };
        if change.is_new && model.revision + 1 == change.revision {
            let model = Arc::make_mut(model);
            model.add_one(name, &change.record, self.now_ms());
            model.revision = change.revision;
            if model.is_to_be_made_again() {
                models.remove(&account);
            }
        } else if model.revision < change.revision {
            models.remove(&account);
        }
    }

    /// Forgets all that was learned. The settings stay. What lies in the mailboxes now is not learned again.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reset(&self, account: RealmId) -> Result<u64> {
        let mut gone = 0;
        loop {
            let cleared = self.store.transact(move |tx: &mut Tx<'_>| {
                let keys = keys_of(tx, account, 1_000)?;
                let count = keys.len() as u64;
                for key in keys {
                    tx.delete(account, key);
                }
                let mut state = state_of(tx, account)?;
                state.revision += 1;
                state.with_features = 0;
                tx.put(account, vec![STATE], state.encode_to_vec());
                Ok::<_, StoreError>(count)
            });
            let cleared = cleared.await?;
            gone += cleared;
            if cleared < 1_000 {
                return Ok(gone);
            }
        }
    }

    /// How much an account taught. Reads all of it.
    ///
    /// # Errors
    /// Those of reading.
    pub fn taught(&self, account: RealmId) -> Result<Taught> {
        let mut taught = Taught::default();
        each(&self.store.snapshot(), account, |_, record| match (Kind::from_number(record.kind), record.by_user) {
            (Some(Kind::Spam), _) => taught.spam += 1,
            (Some(Kind::Wanted), true) => taught.wanted += 1,
            (Some(Kind::Wanted), false) => taught.kept += 1,
            (None, _) => {}
        })?;
        Ok(taught)
    }

    /// What was learned of the message with that body.
    ///
    /// # Errors
    /// Those of reading.
    pub fn learned(&self, account: RealmId, name: &[u8; 32]) -> Result<Option<Before>> {
        let record: Option<LearnedRecord> = load(&self.store.snapshot(), account, &schema::learned(name))?;
        Ok(record.and_then(|record| {
            let keyword = match record.keyword {
                0 => None,
                number => Some(Kind::from_number(number)),
            };
            Some(Before {
                kind: Kind::from_number(record.kind)?,
                by: if record.by_user { By::User } else { By::Conduct },
                at_ms: record.at_ms,
                marks: keyword.map(|keyword| Marks { keyword, placed_ms: record.placed_ms }),
            })
        }))
    }

    /// The marks by which a learned message is what it is have changed, and say the same.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn noted(&self, account: RealmId, name: [u8; 32], marks: Marks) -> Result<()> {
        let done = self.store.transact(move |tx: &mut Tx<'_>| {
            tx.keeps_books();
            let key = schema::learned(&name);
            if let Some(mut record) = load::<LearnedRecord, _>(tx, account, &key)? {
                // The counts don't change: the state's revision stays.
                note(&mut record, Some(marks));
                tx.put(account, key, record.encode_to_vec());
            }
            Ok::<_, StoreError>(())
        });
        Ok(done.await?)
    }

    /// What an account learned. Read once, then kept as long as it is current. Blocks.
    ///
    /// # Errors
    /// Those of reading.
    pub fn model(&self, account: RealmId) -> Result<Arc<Model>> {
        let snapshot = self.store.snapshot();
        let revision = state_of(&snapshot, account)?.revision;
        if let Some(model) = self.models.lock().get(&account)
            && model.revision == revision
        {
            return Ok(Arc::clone(model));
        }
        let mut making = Making::new(revision, self.now_ms());
        each(&snapshot, account, |name, record| making.add(name, record))?;
        let model = Arc::new(making.model());
        let mut models = self.models.lock();
        if models.len() >= MAX_MODELS {
            // Any: which of them is needed next isn't known.
            let some: Vec<RealmId> = models.keys().copied().take(MAX_MODELS / 4).collect();
            for account in some {
                models.remove(&account);
            }
        }
        models.insert(account, Arc::clone(&model));
        Ok(model)
    }

    /// Up to which position of its change feed the mail of an account was looked at; `None`: never.
    ///
    /// # Errors
    /// Those of reading.
    pub fn position(&self, account: RealmId) -> Result<Option<String>> {
        Ok(Some(state_of(&self.store.snapshot(), account)?.position).filter(|position| !position.is_empty()))
    }

    /// The mail of an account was looked at up to there.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn looked_at(&self, account: RealmId, position: String) -> Result<()> {
        let done = self.store.transact(move |tx: &mut Tx<'_>| {
            tx.keeps_books();
            let mut state = state_of(tx, account)?;
            if state.position != position {
                state.position = position;
                tx.put(account, vec![STATE], state.encode_to_vec());
            }
            Ok::<_, StoreError>(())
        });
        Ok(done.await?)
    }

    /// Keeps what was learned within its bounds.
    pub(super) async fn age(&self, account: RealmId) -> Result<()> {
        let done = self.store.transact(move |tx: &mut Tx<'_>| {
            tx.keeps_books();
            let mut all = Vec::new();
            each(tx, account, |name, record| {
                all.push((record.by_user, record.at_ms, name, !record.features.is_empty()));
            })?;
            let mut young: Vec<_> = all.iter().filter(|one| one.3).map(|one| (one.1, one.2)).collect();
            young.sort_unstable();
            let dropped: Vec<_> = young.iter().take(young.len().saturating_sub(MAX_WITH_FEATURES)).collect();
            all.sort_unstable();
            let forgotten: Vec<_> = all.iter().take(all.len().saturating_sub(MAX_LEARNED)).map(|one| one.2).collect();
            if dropped.is_empty() && forgotten.is_empty() {
                return Ok(());
            }
            for (_, name) in &dropped {
                let key = [&[LEARNED][..], name].concat();
                if let Some(record) = load::<LearnedRecord, _>(tx, account, &key)? {
                    let record = LearnedRecord { features: bytes::Bytes::new(), grams: bytes::Bytes::new(), ..record };
                    tx.put(account, key, record.encode_to_vec());
                }
            }
            for name in &forgotten {
                tx.delete(account, [&[LEARNED][..], name].concat());
            }
            let mut state = state_of(tx, account)?;
            state.revision += 1;
            state.with_features = u32::try_from(young.len() - dropped.len()).unwrap_or(u32::MAX);
            tx.put(account, vec![STATE], state.encode_to_vec());
            Ok::<_, StoreError>(())
        });
        Ok(done.await?)
    }
}

/// One record a message: what was said of it before is taken back by the same write, so nothing counts twice.
fn learn_in(tx: &mut Tx<'_>, account: RealmId, learned: &Learned) -> Result<Option<Change>, StoreError> {
    let key = schema::learned(&learned.name);
    let old: Option<LearnedRecord> = load(tx, account, &key)?;
    let by_user = learned.by == By::User;
    if let Some(old) = &old
        && (old.kind == learned.kind.number() && old.by_user >= by_user || old.by_user && !by_user)
    {
        return Ok(None);
    }
    let mut state = state_of(tx, account)?;
    if old.as_ref().is_none_or(|old| old.features.is_empty()) {
        state.with_features = state.with_features.saturating_add(1);
    }
    state.revision += 1;
    let mut record = LearnedRecord {
        kind: learned.kind.number(),
        by_user,
        at_ms: tx.now_ms(),
        features: packed(&learned.features).into(),
        grams: learned.grams.packed().into(),
        sender: learned.sender.clone(),
        signers: learned.origin.signers.clone(),
        network: learned.origin.network.clone().unwrap_or_default(),
        is_forged: learned.origin.is_forged,
        ..LearnedRecord::default()
    };
    note(&mut record, learned.marks);
    tx.put(account, key, record.encode_to_vec());
    tx.put(account, vec![STATE], state.encode_to_vec());
    Ok(Some(Change { record, is_new: old.is_none(), revision: state.revision }))
}

fn note(record: &mut LearnedRecord, marks: Option<Marks>) {
    record.keyword = marks.map_or(0, |marks| marks.keyword.map_or(NO_KEYWORD, Kind::number));
    record.placed_ms = marks.map_or(0, |marks| marks.placed_ms);
}

pub(super) fn load<M: prost::Message + Default, R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    key: &[u8],
) -> Result<Option<M>, StoreError> {
    let Some(value) = read.get(account, key)? else { return Ok(None) };
    Ok(Some(M::decode(value).map_err(|_| damaged(account, key))?))
}

fn damaged(account: RealmId, key: &[u8]) -> StoreError {
    Damaged::new(Part::Record, Cause::Decoding).realm(account).key(key).into()
}

fn state_of<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<StateRecord, StoreError> {
    Ok(load(read, account, &[STATE])?.unwrap_or_default())
}

fn keys_of<R: Read + ?Sized>(read: &R, account: RealmId, most: usize) -> Result<Vec<Vec<u8>>, StoreError> {
    let rows = read.prefix(account, &[LEARNED], Order::Ascending)?;
    rows.take(most).map(|row| Ok(row?.0.to_vec())).collect()
}

/// Visits what was learned.
pub(super) fn each<R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    mut visit: impl FnMut([u8; NAME_BYTES], &LearnedRecord),
) -> Result<(), StoreError> {
    for row in read.prefix(account, &[LEARNED], Order::Ascending)? {
        let (key, value) = row?;
        let name = key.get(1..).and_then(|name| name.try_into().ok()).ok_or_else(|| damaged(account, &key))?;
        visit(name, &LearnedRecord::decode(value).map_err(|_| damaged(account, &key))?);
    }
    Ok(())
}
