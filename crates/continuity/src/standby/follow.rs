//! Receives new commits for as long as the connection lasts.

use std::{sync::Arc, time::Instant};

use store::{Seq, Store, StoreError};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};
use tokio_util::task::AbortOnDropHandle;

use crate::link::Pin;

use super::{
    connect::{Connection, Known, connect, hear, known, known_file, say, write_json},
    error::{Error, blocking},
    intake::{Intake, Lacks, receive},
    replica::Standby,
    wire::{self, Ack, Hello, Kind},
};

impl Standby {
    /// Connects, copies everything if there is nothing yet, and follows until the connection ends. `welcomed` is called once
    /// the primary goes along.
    pub(super) async fn follow(self: &Arc<Self>, mut welcomed: impl FnMut()) -> Result<(), Error> {
        let known =
            known(&self.options.dir)?.ok_or_else(|| Error::NotNow("the primary's address is missing".to_owned()))?;
        let mut stream = connect(&self.keys, &known.address, Pin::Whole(known.fingerprint)).await?;
        let Some(store) = self.store() else {
            return self.copy(&mut stream).await;
        };
        let next = Seq(store.seq().0 + 1);
        let at = store.clone();
        let (chain, epoch) = blocking(move || Ok((at.log_point(Seq(next.0 - 1))?.0, at.snapshot().epoch()?))).await?;
        let hello = Hello { version: wire::VERSION, next: next.0, chain: chain.to_vec(), epoch, copy: false };
        say(&mut stream, Kind::Hello(hello)).await?;
        let Kind::Welcome(welcome) = hear(&mut stream).await? else {
            return Err(Error::NotNow("the primary did not accept the connection".to_owned()));
        };
        welcomed();
        // Kept before anything is answered: the primary relies on our knowing it.
        if welcome.waits_for_you != known.waits_for_us {
            let now = Known { waits_for_us: welcome.waits_for_you, ..known.clone() };
            write_json(&known_file(&self.options.dir), &now).map_err(StoreError::io("primary.json"))?;
        }
        self.status.send_modify(|status| {
            status.connected = true;
            status.primary = Seq(welcome.seq);
            status.heard_ms = Some(jiff::Timestamp::now().as_millisecond());
        });
        self.arrivals.lock().beats.clear();
        if store.has_room() {
            self.status.send_if_modified(|status| std::mem::take(&mut status.full));
            self.doing(format!("following {} from commit {next}", known.address));
        } else {
            self.disk_is_full();
        }
        self.stream(store, stream).await
    }

    /// Receives new commits until the connection ends.
    async fn stream(self: &Arc<Self>, store: Store, stream: Connection) -> Result<(), Error> {
        let (mut read, mut write) = tokio::io::split(stream);
        let (said, mut heard) = mpsc::channel(8);
        let reader = tokio::spawn(async move {
            loop {
                let message = hear(&mut read).await;
                let ended = message.is_err();
                if said.send(message).await.is_err() || ended {
                    return;
                }
            }
        });
        let _reader = AbortOnDropHandle::new(reader);
        let mut intake = Intake::new(&store);
        let mut full = self.status.borrow().full;
        let mut told = Ack::default();
        let mut applied = self.status.subscribe();
        loop {
            let mut must_answer = false;
            tokio::select! {
                message = heard.recv() => match message {
                    None => return Ok(()),
                    Some(message) => match message? {
                        // What comes while there is no room is asked for again: it begins anew where this log ends.
                        Kind::BodyPiece(_) | Kind::Run(_) if full => {}
                        Kind::BodyPiece(piece) => full = self.unless_full(intake.body(piece).await)?,
                        Kind::Run(run) => intake.run(run.bytes)?,
                        Kind::Beat(beat) => {
                            self.beat(&beat);
                            if full && store.has_room() {
                                return Ok(());
                            }
                            must_answer = true;
                        }
                        _ => {}
                    }
                },
                changed = applied.changed() => { let _ = changed; }
            }
            if !full {
                full = self.unless_full(self.take_in(&mut intake, &mut write).await)?;
            }
            let now = self.ack(&store);
            if must_answer || now != told {
                say(&mut write, Kind::Ack(now.clone())).await?;
                told = now;
            }
        }
    }

    /// Whether the disk is full: reports it and waits for free disk space.
    fn unless_full(&self, outcome: Result<(), Error>) -> Result<bool, Error> {
        match outcome {
            Ok(()) => Ok(false),
            Err(Error::Store(StoreError::Full)) => {
                self.disk_is_full();
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    fn beat(&self, beat: &wire::Beat) {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        self.status.send_modify(|status| status.heard_ms = Some(now_ms));
        self.arrivals.lock().beat(Seq(beat.seq), now_ms);
        self.status.send_if_modified(|status| {
            let seen = (status.primary, status.primary_ahead_ms);
            status.primary = Seq(beat.seq);
            if beat.now_ms != 0 {
                status.primary_ahead_ms = beat.now_ms.saturating_sub(now_ms);
            }
            seen != (status.primary, status.primary_ahead_ms)
        });
        metrics::gauge!("holdfast_standby_primary_clock_ahead_seconds")
            .set(self.status.borrow().primary_ahead_ms as f64 / 1000.0);
    }

    /// Makes received commits durable, as far as their bodies are here.
    async fn take_in(&self, intake: &mut Intake<'_>, write: &mut (impl AsyncWrite + Unpin)) -> Result<(), Error> {
        while intake.missing == 0
            && let Some(bytes) = intake.next_run()
        {
            let (store, asked) = (intake.store.clone(), intake.asked);
            let (receiving, cut) = (self.receiving.clone(), self.cut.clone());
            let take_in = move || {
                let _receiving = receiving.lock();
                if cut.is_cancelled() {
                    return Err(StoreError::Stopped { reason: "this machine is being promoted".to_owned() });
                }
                receive(&store, bytes, asked)
            };
            match blocking(take_in).await? {
                None => {
                    intake.asked = false;
                    intake.staged.clear();
                    self.arrivals.lock().note(intake.store.seq(), Instant::now());
                    self.refresh();
                }
                Some(Lacks { bytes, missing }) => {
                    intake.asked = true;
                    intake.missing = missing.len();
                    intake.put_back(bytes);
                    for some in missing.chunks(wire::MAX_ASKED_FOR) {
                        let ids = some.iter().map(|id| id.as_bytes().to_vec()).collect();
                        wire::write(write, Kind::WantBodies(wire::WantBodies { ids, more: 0 })).await?;
                    }
                    write.flush().await?;
                }
            }
        }
        if let Some(complete_ms) = self.arrivals.lock().complete(intake.store.seq()) {
            self.status.send_modify(|status| status.complete_ms = Some(complete_ms));
        }
        Ok(())
    }

    fn ack(&self, store: &Store) -> Ack {
        let status = self.status.borrow();
        let tripped = status.tripped.as_ref().map(|tripped| format!("commit {}: {}", tripped.seq, tripped.why));
        Ack {
            received: store.seq().0,
            applied: store.applied().unwrap_or_default().0,
            held: store
                .quarantined()
                .into_iter()
                .map(|(realm, reason)| wire::HeldRealm { realm: realm.raw(), reason: reason.to_string() })
                .collect(),
            wire: tripped.or_else(|| status.apply_fails.clone()).unwrap_or_default(),
            damaged: status.damaged,
            mended: status.mended,
            full: status.full,
        }
    }
}
