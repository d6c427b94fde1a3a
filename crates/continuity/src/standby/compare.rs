//! Comparing with the primary, realm by realm, and copying a realm anew, while both go on.

use std::time::Duration;

use store::{Digest, RealmId, RealmSeq, RealmSummary, Store, StoreError};
use tokio::{io::AsyncWrite, sync::mpsc};

use super::{
    intake::Intake,
    replica::{Compared, Error, Standby, blocking, gone, say},
    wire::{self, Kind},
};

/// How often a realm that has moved on is compared again.
const COMPARE_ROUNDS: usize = 20;

impl Standby {
    pub(super) async fn compare_over(
        &self,
        store: &Store,
        heard: &mut mpsc::Receiver<Result<Kind, Error>>,
        write: &mut (impl AsyncWrite + Unpin),
        intake: &mut Intake<'_>,
    ) -> Result<Compared, Error> {
        let mut left: Option<Vec<RealmId>> = None;
        let mut compared = Compared::default();
        for _ in 0..COMPARE_ROUNDS {
            say(write, Kind::WantSummary(wire::WantSummary {})).await?;
            let Kind::Summary(summary) = self.answer_to(heard, write, intake).await? else {
                return Err(Error::NotNow("the primary gives no summary".to_owned()));
            };
            // What the primary had then is here first.
            let patience = tokio::time::Instant::now() + Duration::from_secs(30);
            while store.applied()?.0 < summary.seq && tokio::time::Instant::now() < patience {
                tokio::select! {
                    message = heard.recv() => {
                        match message.ok_or_else(gone)?? {
                            Kind::BodyPiece(piece) => intake.body(piece).await?,
                            Kind::Run(run) => intake.waiting.push_back(run.bytes),
                            _ => {}
                        }
                        self.take_in(intake, write).await?;
                        say(write, Kind::Ack(self.ack(store))).await?;
                    }
                    () = tokio::time::sleep(Duration::from_millis(10)) => {}
                }
            }
            let wanted = left.take();
            let at = store.clone();
            let rounds = blocking(move || compare_realms(&at, &summary, wanted.as_deref())).await?;
            compared.equal += rounds.equal;
            compared.different.extend(rounds.different);
            if rounds.moved.is_empty() {
                return Ok(compared);
            }
            left = Some(rounds.moved);
        }
        for realm in left.unwrap_or_default() {
            compared.different.push((realm, "changes too quickly to be compared: try again".to_owned()));
        }
        Ok(compared)
    }

    pub(super) async fn resync_over(
        &self,
        store: &Store,
        realm: RealmId,
        heard: &mut mpsc::Receiver<Result<Kind, Error>>,
        write: &mut (impl AsyncWrite + Unpin),
        intake: &mut Intake<'_>,
    ) -> Result<(), Error> {
        say(write, Kind::WantRealm(wire::WantRealm { realm: realm.raw() })).await?;
        let Kind::RealmBegin(begin) = self.answer_to(heard, write, intake).await? else {
            return Err(Error::NotNow("the primary sends no realm".to_owned()));
        };
        let mut records = Vec::new();
        loop {
            let Kind::Records(some) = self.answer_to(heard, write, intake).await? else {
                return Err(Error::NotNow("the primary sends no records".to_owned()));
            };
            records.extend(some.records);
            if some.last {
                break;
            }
        }
        if !begin.damaged.is_empty() {
            return Err(Error::NotNow(format!("{realm} is damaged on the primary: {}", begin.damaged)));
        }
        let digest = Digest::from_bytes(&begin.digest).ok_or_else(|| Error::NotNow("a digest".to_owned()))?;
        let at = store.clone();
        blocking(move || {
            let records = records.into_iter().map(|record| Ok((record.key, record.value)));
            at.replace_realm(realm, RealmSeq(begin.seq), digest, records)
        })
        .await?;
        self.refresh();
        Ok(())
    }
}

struct Round {
    equal: u64,
    different: Vec<(RealmId, String)>,
    /// Those that have other commits here than there: to be looked at again.
    moved: Vec<RealmId>,
}

fn compare_realms(store: &Store, summary: &wire::Summary, only: Option<&[RealmId]>) -> Result<Round, StoreError> {
    let mut round = Round { equal: 0, different: Vec::new(), moved: Vec::new() };
    let held: std::collections::BTreeMap<RealmId, String> = store.quarantined().into_iter().collect();
    for theirs in &summary.realms {
        let realm = RealmId::from_raw(theirs.realm);
        if only.is_some_and(|only| !only.contains(&realm)) {
            continue;
        }
        let RealmSummary { seq, digest, stated, .. } = store.summary(realm)?;
        if theirs.digest != theirs.stated {
            round
                .different
                .push((realm, "its records on the primary do not add up to what its commits state".to_owned()));
        } else if let Some(reason) = held.get(&realm) {
            round.different.push((realm, format!("it is not applied here: {reason}")));
        } else if digest != stated {
            round.different.push((realm, "its records here do not add up to what its commits state".to_owned()));
        } else if seq.0 != theirs.seq {
            round.moved.push(realm);
        } else if digest.to_bytes().as_slice() == theirs.digest {
            round.equal += 1;
        } else {
            round.different.push((realm, format!("both are at commit {seq} of the realm, with other records")));
        }
    }
    Ok(round)
}
