//! Promotes a standby to primary: which changes are discarded, which numbers must not be used again, and telling the
//! old primary.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use prost::Message as _;
use realm::Parts;
use serde::{Deserialize, Serialize};
use store::{
    Cause, Damaged, Op, Part, Read as _, RealmCommit, RealmId, Seq, Store, StoreError, StoreOptions, Tx, body_of_key,
};
use tokio_util::sync::CancellationToken;

use super::{
    alone,
    connect::{Known, ask_soon, hear, known, known_file, reach_soon, read_json, say, state_dir, write_json},
    error::Error,
    rejoin::save_tail,
    tripwire::{Tripwires, Watch, WireState},
    wire::{self, Kind},
};
use crate::{durable, link::Keys};

/// Accounts whose numbers must not be given again.
const RENUMBER: &str = "renumber.json";
/// The state of accounts before the discarded commits.
const UNDO: &str = "undo";
/// Accounts that the commits which are left out delete.
const UNDELETE: &str = "undelete.json";
/// Between two attempts to reach the former primary.
const TELL_AGAIN: Duration = Duration::from_millis(250);
/// Writes of one commit that undoes.
const UNDO_OPS: usize = 2_000;
/// And their bytes.
const UNDO_BYTES: usize = 4 << 20;

/// How a standby is promoted.
#[derive(Debug, Clone, Copy, Default)]
pub struct HowToPromote {
    /// Discard the changes that a tripwire holds back: the affected accounts keep their state before the deletion.
    pub discard: bool,
    /// The old primary has nothing that this machine has not received: the operator has seen to that.
    pub nothing_lost: bool,
    /// It may have, although it once said that it acknowledges nothing alone: its mode was changed while this machine was
    /// away.
    pub maybe_lost: bool,
    /// If the mode waits for a standby: acknowledge without one until one is in sync.
    pub alone: bool,
}

/// A promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promotion {
    /// The epoch of the commits from now on.
    pub epoch: u64,
    /// The last commit of the primary before.
    pub seq: Seq,
    /// When that was made, by the primary's clock, in milliseconds since 1970; `None` when there is none, or the log no
    /// longer has it.
    pub last_ms: Option<i64>,
    /// Nothing that the primary before acknowledged is missing here.
    pub all_is_here: bool,
}

#[derive(Serialize, Deserialize)]
struct Renumber {
    /// By number; all when it is not said.
    realms: Option<BTreeSet<u64>>,
}

#[derive(Default, Serialize, Deserialize)]
struct Undelete {
    /// By number.
    realms: BTreeSet<u64>,
}

/// The undo data, realm by realm.
#[derive(Clone, PartialEq, prost::Message)]
struct Undo {
    #[prost(message, repeated, tag = "1")]
    realms: Vec<RealmCommit>,
}

/// Whether a commit takes messages, contacts or something else that counts away from an account: when a promotion leaves
/// commits out, the accounts that it does so to are those that are taken back.
pub fn loses(parts: &Parts, part: &RealmCommit) -> bool {
    part.realm().account_number().is_some()
        && part.ops.iter().any(|op| op.value.is_none() && parts.loss(op).is_some_and(|loss| loss.by > 0))
}

/// Writes down what the accounts that lose something from commit `first` on have now, before that is applied. What came
/// in for them since is kept in files. Parts that are never rewound are left as they are.
pub(super) fn keep_for_undoing(store: &Store, dir: &Path, first: Seq, wires: &Tripwires) -> Result<(), StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(StoreError::io("a runtime"))?;
    let mut touched: BTreeMap<RealmId, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let (mut losing, mut undelete) = (BTreeSet::new(), Undelete::default());
    let mut follower = store.follow(first)?;
    for _ in first.0..=store.seq().0 {
        let commit = runtime.block_on(follower.next())?;
        undelete.realms.extend(wires.deletes.accounts(&commit).map(RealmId::raw));
        for part in commit.realms.iter().filter(|part| part.realm().account_number().is_some()) {
            if loses(&wires.parts, part) {
                losing.insert(part.realm());
            }
            let keys = part.ops.iter().map(|op| &op.key).filter(|key| !wires.parts.is_never_rewound(key)).cloned();
            touched.entry(part.realm()).or_default().extend(keys);
        }
    }
    let snapshot = store.snapshot();
    let mut undo = Undo::default();
    for realm in &losing {
        let mut ops = Vec::new();
        for key in touched.remove(realm).unwrap_or_default() {
            let value = snapshot.get(*realm, &key)?.map(|value| value.to_vec());
            ops.push(Op { key, value });
        }
        undo.realms.push(RealmCommit { realm_raw: realm.raw(), ops, ..RealmCommit::default() });
    }
    save_tail(store, Seq(first.0 - 1), &dir.join(format!("discarded-after-{}", first.0 - 1)), |realm| {
        losing.contains(&realm)
    })?;
    let renumber = Renumber { realms: Some(losing.iter().map(|realm| realm.raw()).collect()) };
    write_json(&state_dir(dir).join(RENUMBER), &renumber).map_err(StoreError::io(RENUMBER))?;
    write_json(&state_dir(dir).join(UNDELETE), &undelete).map_err(StoreError::io(UNDELETE))?;
    // Last: once this is there, it is done.
    durable::replace(&state_dir(dir).join(UNDO), &undo.encode_to_vec()).map_err(StoreError::io(UNDO))
}

/// The remaining work of a promotion before anything is served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftToDo {
    /// Accounts restored to their state before the discarded commits.
    pub undone: u64,
    /// Accounts that those commits delete: they are to be brought back.
    pub undelete: Vec<RealmId>,
    /// Accounts whose mailboxes need a new UIDVALIDITY: clients may have seen numbers that would be given again.
    pub renumber: Vec<RealmId>,
}

/// Undoes what was to be left out, and says whose numbers must change; call [`promotion_is_finished`] after that. Does
/// nothing in a folder that was not promoted. A crash in between begins it again.
///
/// # Errors
/// Those of the store. Blocks: not for async threads.
pub fn finish_promotion(store: &Store) -> Result<LeftToDo, StoreError> {
    let state_dir = state_dir(store.dir());
    let mut left = LeftToDo::default();
    if let Ok(bytes) = std::fs::read(state_dir.join(UNDO)) {
        let undo = Undo::decode(bytes.as_slice())
            .map_err(|_| StoreError::from(Damaged::new(Part::Mark, Cause::Decoding).file("standby/undo")))?;
        for realm in undo.realms {
            undo_realm(store, realm.realm(), realm.ops)?;
            left.undone += 1;
        }
        std::fs::remove_file(state_dir.join(UNDO)).map_err(StoreError::io(UNDO))?;
    }
    if let Some(undelete) = read_json::<Undelete>(&state_dir.join(UNDELETE)).map_err(StoreError::io(UNDELETE))? {
        left.undelete = undelete.realms.into_iter().map(RealmId::from_raw).collect();
    }
    if let Some(renumber) = read_json::<Renumber>(&state_dir.join(RENUMBER)).map_err(StoreError::io(RENUMBER))? {
        let wanted = |realm: &RealmId| renumber.realms.as_ref().is_none_or(|some| some.contains(&realm.raw()));
        let accounts = store.realms().into_iter().filter(|realm| realm.account_number().is_some());
        left.renumber = accounts.filter(wanted).collect();
    }
    Ok(left)
}

/// Marks a promotion as finished.
///
/// # Errors
/// A file that says what is can't be taken away.
pub fn promotion_is_finished(dir: &Path) -> std::io::Result<()> {
    for file in [UNDELETE, RENUMBER] {
        match std::fs::remove_file(state_dir(dir).join(file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn undo_realm(store: &Store, realm: RealmId, ops: Vec<Op>) -> Result<(), StoreError> {
    let mut ops = ops.into_iter().peekable();
    while ops.peek().is_some() {
        let (mut some, mut bytes) = (Vec::new(), 0);
        while some.len() < UNDO_OPS
            && bytes < UNDO_BYTES
            && let Some(op) = ops.next()
        {
            bytes += op.key.len() + op.value.as_ref().map_or(0, Vec::len);
            some.push(op);
        }
        let write = move |tx: &mut Tx<'_>| {
            for Op { key, value } in some {
                match (body_of_key(&key), value) {
                    (Some(id), Some(_)) => tx.ref_body(realm, &id, &key[33..]),
                    (Some(id), None) => tx.unref_body(realm, &id, &key[33..]),
                    (None, Some(value)) => tx.put(realm, key, value),
                    (None, None) => tx.delete(realm, key),
                }
            }
            Ok::<_, StoreError>(())
        };
        store.transact(write).wait()?;
    }
    Ok(())
}

/// The data needed to tell the old primary.
#[derive(Serialize, Deserialize)]
struct Former {
    #[serde(flatten)]
    known: Known,
    epoch: u64,
    seq: u64,
}

pub(super) fn promote_store(store: &Store, dir: &Path, how: HowToPromote) -> Result<Promotion, StoreError> {
    let (state_dir, known_file) = (&state_dir(dir), &known_file(dir));
    let seq = store.seq();
    let epoch = store.snapshot().epoch()? + 1;
    // First whom to tell, so that a crash in between forgets nobody.
    let known = read_json::<Known>(known_file).map_err(StoreError::io("primary.json"))?;
    let all_is_here = known.as_ref().is_some_and(|known| known.waits_for_us) && !how.maybe_lost;
    let all_is_here = all_is_here || how.nothing_lost;
    if !all_is_here {
        write_json(&state_dir.join(RENUMBER), &Renumber { realms: None }).map_err(StoreError::io(RENUMBER))?;
    }
    if let Some(known) = known {
        let former = Former { known, epoch, seq: seq.0 };
        write_json(&state_dir.join("former.json"), &former).map_err(StoreError::io("former.json"))?;
    }
    note_promotion(store, state_dir, epoch, seq)?;
    alone::set(dir, how.alone).map_err(StoreError::io("alone"))?;
    let last_ms = store.log_point(seq)?.1;
    let epoch = store.promote()?;
    let _ = std::fs::remove_file(known_file);
    tracing::warn!(epoch, %seq, "this machine is now the primary");
    Ok(Promotion { epoch, seq, last_ms, all_is_here })
}

/// Where this machine has taken over from another one: `standby/promotions.json`, one for each time. A former primary that
/// returns long afterwards finds by it what only it has, when the log here no longer reaches back so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Promoted {
    /// Of the commits since.
    pub epoch: u64,
    /// The last commit before.
    pub seq: u64,
    /// The log's chain there, 64 hexadecimal digits.
    chain: String,
}

impl Promoted {
    pub(super) fn chain_bytes(&self) -> Vec<u8> {
        hex::decode(&self.chain).unwrap_or_default()
    }
}

fn promotions_file(state_dir: &Path) -> PathBuf {
    state_dir.join("promotions.json")
}

/// Where the machine of a data folder has taken over, the first time first.
pub(super) fn promotions(dir: &Path) -> std::io::Result<Vec<Promoted>> {
    Ok(read_json(&promotions_file(&state_dir(dir)))?.unwrap_or_default())
}

/// Whether the machine of a data folder has followed another one and was made the primary.
pub fn was_promoted(dir: &Path) -> bool {
    dir.join("format").exists()
        && !Store::is_replica_at(dir)
        && !known_file(dir).exists()
        && promotions(dir).is_ok_and(|all| !all.is_empty())
}

fn note_promotion(store: &Store, state_dir: &Path, epoch: u64, seq: Seq) -> Result<(), StoreError> {
    let file = promotions_file(state_dir);
    let io = StoreError::io("promotions.json");
    let mut all: Vec<Promoted> = match read_json(&file) {
        Ok(all) => all.unwrap_or_default(),
        Err(error) => return Err(io(error)),
    };
    // What a promotion that was cut off noted.
    all.retain(|before| before.epoch < epoch);
    all.push(Promoted { epoch, seq: seq.0, chain: hex::encode(store.log_point(seq)?.0) });
    write_json(&file, &all).map_err(io)
}

/// Promotes a folder whose standby is not running: applies everything received.
///
/// # Errors
/// [`Error::NotNow`] when a tripwire holds something, or would; those of the store.
pub fn promote_folder(
    dir: &Path,
    options: StoreOptions,
    wires: &Tripwires,
    how: HowToPromote,
) -> Result<Promotion, Error> {
    let store = Store::open_replica(dir, options)?;
    let promotion = promote_open_folder(&store, dir, wires, how);
    store.close();
    promotion
}

fn promote_open_folder(store: &Store, dir: &Path, wires: &Tripwires, how: HowToPromote) -> Result<Promotion, Error> {
    let state = WireState::read(dir)?;
    let held = |tripped: super::tripwire::Tripped| {
        let why = tripped.must_be_looked_at();
        Error::NotNow(format!("{why}. The standby must be running: start `holdfast standby` here"))
    };
    if let Some(tripped) = state.tripped {
        return Err(held(tripped));
    }
    let mut watch = Watch::of_recent(store, wires, state.released)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut follower = store.follow(Seq(store.applied()?.0 + 1))?;
    while store.applied()? < store.seq() {
        let commit = runtime.block_on(follower.next())?;
        if let Some(tripped) = watch.look(&commit, wires, store).filter(|tripped| tripped.seq > state.released) {
            WireState { tripped: Some(tripped.clone()), released: state.released }.write(dir)?;
            return Err(held(tripped));
        }
        store.apply_received(&commit)?;
    }
    Ok(promote_store(store, dir, how)?)
}

/// Tells the old primary, as soon as it can be reached, that it must no longer write. Returns when it knows, or if there
/// is none.
///
/// # Errors
/// Files of this machine.
pub async fn tell_former(dir: &Path, name: &str, shutdown: &CancellationToken) -> Result<(), Error> {
    let file = state_dir(dir).join("former.json");
    let Some(former) = read_json::<Former>(&file)? else { return Ok(()) };
    let keys = Keys::open(&state_dir(dir))?;
    loop {
        let told = wire::Promoted { epoch: former.epoch, seq: former.seq, name: name.to_owned() };
        let tell = ask_soon(&keys, &former.known, async |mut stream| {
            say(&mut stream, Kind::Promoted(told)).await?;
            hear(&mut stream).await
        });
        match tell.await {
            Ok(_) => {
                tracing::warn!(address = former.known.address, "told the old primary that it is no longer the primary");
                std::fs::remove_file(&file)?;
                return Ok(());
            }
            // It has followed since, or is of a later epoch: either way it needs no telling.
            Err(Error::Refused(why)) => {
                tracing::warn!(why, "the old primary needs no notice");
                std::fs::remove_file(&file)?;
                return Ok(());
            }
            Err(error) => tracing::debug!(%error, "can't reach the old primary"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(TELL_AGAIN) => {}
        }
    }
}

/// The address of the primary that the standby of a data folder follows, if it answers right now, or is reached and takes
/// its time.
///
/// # Errors
/// Files of this machine.
pub async fn primary_answers(dir: &Path) -> Result<Option<String>, Error> {
    let Some(known) = known(dir)? else { return Ok(None) };
    let keys = Keys::open(&state_dir(dir))?;
    let answers = match reach_soon(&known.address).await {
        Ok(()) => match ask_soon(&keys, &known, async |_| Ok(())).await {
            Ok(()) => true,
            Err(Error::Io(error)) => error.kind() == std::io::ErrorKind::TimedOut,
            Err(_) => false,
        },
        Err(_) => false,
    };
    Ok(answers.then_some(known.address))
}
