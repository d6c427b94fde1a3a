//! Accounts, brought when someone asks for them or when it is their turn.

use store::{Cause, RealmCommit, RealmId, Seq};

use super::behind::Behind;
use crate::archive::{
    ArchiveError, Event, Result, blocking,
    restore::{
        source::{Point, is_damage},
        taken_from,
    },
    snapshot::part_of,
};

impl Behind<'_> {
    /// Brings an account, and lets people use it.
    pub(super) async fn realm(&self, realm: RealmId) {
        let outcome = self.insist("an account", async || self.try_realm(realm).await).await;
        match outcome {
            Ok(()) => {
                self.tell(|progress| progress.accounts += 1);
                let now = self.progress.borrow().clone();
                let (done, total) = (now.accounts, now.accounts_total);
                (self.source.say)(Event::Progress { what: "accounts", done, total });
            }
            Err(error) => {
                let why = error.to_string();
                self.lost(format!("{realm}: {why}"));
                if self.source.wish.without_damaged {
                    let store = self.store.clone();
                    if let Err(error) = blocking(move || store.leave_out_realm(realm, &why)).await {
                        tracing::error!(%realm, %error, "could not skip a damaged realm");
                    }
                } else {
                    self.store.give_up_realm(realm, &why);
                }
            }
        }
    }

    async fn try_realm(&self, realm: RealmId) -> Result<()> {
        if !self.store.absent()?.contains(&(realm, true)) {
            self.bring(realm).await?;
        }
        (self.prepare)(realm)
            .await
            .map_err(|error| ArchiveError::damaged(Cause::Invariant, realm.to_string(), error))?;
        let store = self.store.clone();
        blocking(move || store.admit_realm(realm)).await?;
        Ok(())
    }

    /// An account's records, from wherever they are whole.
    async fn bring(&self, realm: RealmId) -> Result<()> {
        let newest = self.manifest.as_ref().and_then(|manifest| Some((manifest, part_of(manifest, realm)?)));
        let error = match newest {
            Some((manifest, part)) => {
                let store = self.store.clone();
                let fill = move |seq, digest, records| store.bring_realm(realm, (seq, digest), records, None);
                match self.source.realm(manifest, part, fill).await {
                    Err(error) if is_damage(&error) => error,
                    other => return other,
                }
            }
            None => {
                // Made after the snapshot: all of it is in the log.
                let store = self.store.clone();
                let nothing = std::iter::empty::<Result<(Vec<u8>, Vec<u8>)>>();
                return blocking(move || store.bring_realm(realm, Default::default(), nothing, None)).await;
            }
        };
        self.source.line_out(format!("{realm}: {error}"));
        let mut number = 1;
        while let Some((at, older)) = self.source.elsewhere(realm, &mut number).await? {
            let after = self.commits_of(realm, at).await?;
            let store = self.store.clone();
            let outcome = match older.as_ref().and_then(|older| Some((older, part_of(older, realm)?))) {
                Some((older, part)) => {
                    let fill =
                        move |seq, digest, records| store.bring_realm(realm, (seq, digest), records, Some(after));
                    self.source.realm(older, part, fill).await
                }
                None => {
                    let nothing = std::iter::empty::<Result<(Vec<u8>, Vec<u8>)>>();
                    blocking(move || store.bring_realm(realm, Default::default(), nothing, Some(after))).await
                }
            };
            match outcome {
                Ok(()) => {
                    self.source.line_out(format!("{realm}: restored from {} ({error})", taken_from(at)));
                    return Ok(());
                }
                Err(error) if is_damage(&error) => self.source.line_out(format!("{realm}: {error}")),
                Err(error) => return Err(error),
            }
        }
        Err(error)
    }

    /// What commits after `at` wrote in a realm, up to where this store began.
    async fn commits_of(&self, realm: RealmId, at: Seq) -> Result<Vec<(Seq, RealmCommit)>> {
        let base = self.manifest.as_ref().map_or(Point::default(), |manifest| Point {
            seq: Seq(manifest.seq),
            chain: manifest.chain().unwrap_or_default(),
            ..Point::default()
        });
        let mut found = Vec::new();
        let end = Seq(self.plan.seq);
        let log = self
            .source
            .scan_log(at, base, Some(end), &mut |commit| {
                found.extend(
                    commit.realms.iter().filter(|part| part.realm() == realm).map(|part| (commit.seq(), part.clone())),
                );
                Ok(())
            })
            .await?;
        if log.next <= end {
            return Err(ArchiveError::damaged(
                Cause::CutOff,
                realm.to_string(),
                format!("its log after commit {at} is incomplete"),
            ));
        }
        Ok(found)
    }
}
