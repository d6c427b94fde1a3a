//! Compares with the primary, realm by realm, and copies single realms again, while both machines keep running. Each
//! uses its own connection, so that new commits and acknowledgements don't wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use store::{BodyId, Digest, RealmId, RealmSeq, RealmSummary, Seq, Snapshot, Store, StoreError};

use crate::link::Pin;

use super::{
    connect::{Connection, connect, hear, known, say},
    copy::{BODIES_AT_ONCE, read_body},
    error::{Error, blocking},
    replica::{Standby, gone},
    wire::{self, Kind, plain},
};

/// How often a realm that has moved on is compared again.
const COMPARE_ROUNDS: usize = 20;
/// How long to wait until the primary's commits are here.
const PATIENCE: Duration = Duration::from_secs(30);

/// The outcome of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Realms that are the same on both.
    pub equal: u64,
    /// The differences, by realm.
    pub different: Vec<(RealmId, String)>,
}

/// The result of copying a realm again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resynced {
    /// Bodies that were missing or damaged here and are repaired.
    pub fetched: u64,
    /// Bodies that the primary can't give either.
    pub lost: u64,
}

impl Standby {
    /// Compares every realm with the primary's: both machines read all records while they keep running.
    ///
    /// # Errors
    /// [`Error::NotNow`] if the primary is not connected.
    pub async fn compare(&self) -> Result<Compared, Error> {
        let store = self.followed()?;
        let mut left: Option<Vec<RealmId>> = None;
        let mut compared = Compared::default();
        for _ in 0..COMPARE_ROUNDS {
            let (summary, snapshot) = self.both_at_one_commit(&store).await?;
            let (at, wanted, cut) = (store.clone(), left.take(), self.cut.clone());
            let go_on = move || !cut.is_cancelled();
            let work = move || compare_realms(&at, &snapshot, &summary, wanted.as_deref(), &go_on);
            let round = blocking(work).await?;
            compared.equal += round.equal;
            compared.different.extend(round.different);
            if round.moved.is_empty() {
                return Ok(compared);
            }
            left = Some(round.moved);
        }
        for realm in left.unwrap_or_default() {
            compared.different.push((realm, "it changes too quickly to compare: try again".to_owned()));
        }
        Ok(compared)
    }

    /// What the primary has at one commit, and this machine as it was at the same one. Applying waits for a moment, and
    /// receiving does not.
    async fn both_at_one_commit(&self, store: &Store) -> Result<(wire::Summary, Snapshot), Error> {
        let stopped = self.brake.stop().await;
        let mut stream = self.reach().await?;
        say(&mut stream, Kind::WantSummary(wire::WantSummary {})).await?;
        let mut said = hear(&mut stream).await?;
        let seq = match &said {
            Kind::Beat(beat) => beat.seq,
            Kind::Summary(summary) => summary.seq,
            other => return Err(Error::NotNow(format!("unexpected reply from the primary: {}", other.name()))),
        };
        stopped.go_on_to(Seq(seq));
        let patience = tokio::time::Instant::now() + PATIENCE;
        while store.applied()?.0 < seq && tokio::time::Instant::now() < patience {
            if let Some(why) = self.why_applied_late() {
                return Err(Error::NotNow(why));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let snapshot = store.snapshot();
        drop(stopped);
        loop {
            match said {
                Kind::Summary(summary) => return Ok((summary, snapshot)),
                Kind::Beat(_) => {}
                other => return Err(Error::NotNow(format!("unexpected reply from the primary: {}", other.name()))),
            }
            said = hear(&mut stream).await?;
        }
    }

    /// Why what is received is not applied soon.
    fn why_applied_late(&self) -> Option<String> {
        let status = self.status.borrow();
        if let Some(tripped) = &status.tripped {
            return Some(format!(
                "a tripwire holds back commit {} and the later ones: release or discard them first, then compare",
                tripped.seq
            ));
        }
        if let Some(why) = &status.apply_fails {
            return Some(why.clone());
        }
        let delay = self.options.apply_delay;
        (!delay.is_zero()).then(|| {
            let minutes = delay.as_secs().div_ceil(60);
            format!(
                "changes are applied here {minutes} min later (standby.apply_delay): there is no commit at \
                     which both machines have the same state; to compare, set it to 0 and restart this machine"
            )
        })
    }

    /// Copies a realm from the primary again, with the bodies that are missing or damaged here (all of them are read), and
    /// applies later changes from there on.
    ///
    /// # Errors
    /// [`Error::NotNow`] when the primary is not connected, or has its records damaged itself.
    pub async fn resync(&self, realm: RealmId) -> Result<Resynced, Error> {
        let store = self.followed()?;
        let mut stream = self.reach().await?;
        say(&mut stream, Kind::WantRealm(wire::WantRealm { realm: realm.raw() })).await?;
        let Kind::RealmBegin(begin) = hear(&mut stream).await? else {
            return Err(Error::NotNow("the primary did not send a realm".to_owned()));
        };
        let mut records = Vec::new();
        loop {
            let Kind::Records(some) = hear(&mut stream).await? else {
                return Err(Error::NotNow("the primary did not send records".to_owned()));
            };
            records.extend(some.records);
            if some.last {
                break;
            }
        }
        if begin.realm != realm.raw() {
            return Err(Error::NotNow("the primary sent a different realm".to_owned()));
        }
        if !begin.damaged.is_empty() {
            return Err(Error::NotNow(format!("{realm} is damaged on the primary: {}", plain(&begin.damaged))));
        }
        let digest = Digest::from_bytes(&begin.digest).ok_or_else(|| Error::NotNow("invalid digest".to_owned()))?;
        let bodies: BTreeSet<BodyId> = records.iter().filter_map(|record| store::body_of_key(&record.key)).collect();
        let (at, cut) = (store.clone(), self.cut.clone());
        let missing = blocking(move || {
            let mut missing = Vec::new();
            for id in bodies {
                if cut.is_cancelled() {
                    return Err(StoreError::Stopped { reason: "this machine is being promoted".to_owned() });
                }
                if at.is_well(&id).is_err() {
                    missing.push(id);
                }
            }
            Ok(missing)
        })
        .await?;
        // Kept until the records that refer to them are there.
        let mut staged = Vec::new();
        let mut done = Resynced::default();
        for ids in missing.chunks(BODIES_AT_ONCE) {
            let wanted = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
            say(&mut stream, Kind::WantBodies(wire::WantBodies { ids: wanted, more: 0 })).await?;
            for id in ids {
                let Some(bytes) = read_body(&mut stream, id).await? else {
                    done.lost += 1;
                    continue;
                };
                done.fetched += 1;
                if store.has_body(id)? {
                    self.keep_anew(&store, *id, bytes).await?;
                } else {
                    let store = store.clone();
                    staged.push(blocking(move || store.put_body(&bytes)).await?);
                }
            }
        }
        let at = store.clone();
        blocking(move || {
            at.sync_bodies()?;
            let records = records.into_iter().map(|record| Ok((record.key, record.value)));
            at.replace_realm(realm, RealmSeq(begin.seq), digest, records)
        })
        .await?;
        drop(staged);
        self.refresh();
        Ok(done)
    }

    /// The store, while the primary is followed.
    fn followed(&self) -> Result<Store, Error> {
        let store = self.store().filter(|_| self.status.borrow().connected);
        store.ok_or_else(|| Error::NotNow("the primary is not connected".to_owned()))
    }

    /// A connection beside the one over which it is followed.
    pub(super) async fn reach(&self) -> Result<Connection, Error> {
        let known = known(&self.options.dir)?.ok_or_else(gone)?;
        connect(&self.keys, &known.address, Pin::Whole(known.fingerprint)).await
    }
}

struct Round {
    equal: u64,
    different: Vec<(RealmId, String)>,
    /// Those that have other commits here than there: to be looked at again.
    moved: Vec<RealmId>,
}

fn compare_realms(
    store: &Store,
    snapshot: &Snapshot,
    summary: &wire::Summary,
    only: Option<&[RealmId]>,
    go_on: &dyn Fn() -> bool,
) -> Result<Round, StoreError> {
    let mut round = Round { equal: 0, different: Vec::new(), moved: Vec::new() };
    let held: BTreeMap<RealmId, String> =
        store.quarantined().into_iter().map(|(realm, why)| (realm, why.to_string())).collect();
    let mut theirs: BTreeMap<RealmId, &wire::RealmSum> =
        summary.realms.iter().map(|sum| (RealmId::from_raw(sum.realm), sum)).collect();
    let mut all: Vec<RealmId> = theirs.keys().copied().chain(snapshot.realms()?).collect();
    all.sort_unstable();
    all.dedup();
    for realm in all.into_iter().filter(|realm| only.is_none_or(|only| only.contains(realm))) {
        if !go_on() {
            return Err(StoreError::Stopped { reason: "this machine is being promoted".to_owned() });
        }
        let RealmSummary { seq, digest, stated, .. } = snapshot.summary(realm)?;
        let Some(theirs) = theirs.remove(&realm) else {
            // Made there since, or never.
            if snapshot.seq()?.0 > summary.seq {
                round.moved.push(realm);
            } else {
                round.different.push((realm, "it exists here, but not on the primary".to_owned()));
            }
            continue;
        };
        if theirs.digest != theirs.stated {
            round
                .different
                .push((realm, "its records on the primary don't match the digest in its commits".to_owned()));
        } else if let Some(reason) = held.get(&realm) {
            round.different.push((realm, format!("changes can't be applied here: {reason}")));
        } else if digest != stated {
            round.different.push((realm, "its records here don't match the digest in its commits".to_owned()));
        } else if seq.0 != theirs.seq {
            round.moved.push(realm);
        } else if digest.to_bytes().as_slice() == theirs.digest {
            round.equal += 1;
        } else {
            round.different.push((realm, format!("both are at commit {seq} of the realm, but with different records")));
        }
    }
    Ok(round)
}
