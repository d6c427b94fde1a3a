//! Sends new commits to one standby.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use store::{BodyId, Commit, Follower, Seq, StoreError, body_of_key, log::RunWriter};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};
use tokio_util::task::AbortOnDropHandle;

use crate::link::Fingerprint;

use super::{Ended, Live, Primary, blocking, send};
use crate::standby::wire::{self, Ack, Hello, Kind};

/// The interval of keepalives to a standby when nothing is new.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// A standby that says nothing for so long is gone: it answers every beat.
const SILENCE: Duration = Duration::from_secs(30);
/// How often the witness is told how far a standby is.
const WITNESS_EVERY: Duration = Duration::from_secs(10);
/// Commits that travel together.
const RUN_BYTES: usize = 1 << 20;
const RUN_COMMITS: u64 = 500;
/// Bodies that are remembered as sent over a connection.
const MAX_SENT: usize = 200_000;

/// Counts a connection while it is there.
pub(super) struct Present {
    primary: Arc<Primary>,
    who: Fingerprint,
}

impl Present {
    pub(super) fn new(primary: Arc<Primary>, who: Fingerprint, hello: &Hello) -> Self {
        let last = hello.next.saturating_sub(1);
        let ack = Ack { received: last, applied: last, ..Ack::default() };
        let mut live = primary.live.lock();
        let on_the_way = VecDeque::new();
        let now = live.entry(who).or_insert(Live { connected: 0, ack, in_step: false, on_the_way });
        now.connected += 1;
        now.in_step = false;
        now.on_the_way.clear();
        drop(live);
        metrics::gauge!("holdfast_standby_connected").increment(1.0);
        Self { primary, who }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        if let Some(now) = self.primary.live.lock().get_mut(&self.who) {
            now.connected -= 1;
            now.in_step = false;
            now.on_the_way.clear();
        }
        metrics::gauge!("holdfast_standby_connected").decrement(1.0);
        self.primary.arrange();
    }
}

/// What is new, on its way to one standby.
pub(super) struct Stream {
    primary: Arc<Primary>,
    who: Fingerprint,
    follower: Follower,
    chain: [u8; 32],
    sent: HashSet<BodyId>,
    noted: Instant,
    /// It is told that writes wait for it.
    alone: bool,
}

impl Stream {
    pub(super) async fn new(
        primary: Arc<Primary>,
        who: Fingerprint,
        hello: &Hello,
        chain: [u8; 32],
    ) -> Result<Self, Ended> {
        let (store, next) = (primary.store.clone(), Seq(hello.next));
        let follower = blocking(move || store.follow(next)).await?;
        let alone = primary.waits_for_one_alone(&primary.peers.borrow());
        Ok(Self { primary, who, follower, chain, sent: HashSet::new(), noted: Instant::now(), alone })
    }

    pub(super) const fn is_alone(&self) -> bool {
        self.alone
    }

    pub(super) async fn run(
        &mut self,
        mut read: impl AsyncRead + Unpin + Send + 'static,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Ended> {
        let last_heard = Arc::new(Mutex::new(Instant::now()));
        let (said, mut heard) = mpsc::channel(8);
        // Reading a message can't be cancelled, so it is done by itself; and how far the standby is counts at once, however
        // long it takes to send it what is next.
        let reader = {
            let (primary, who, alone, last_heard) = (self.primary.clone(), self.who, self.alone, last_heard.clone());
            tokio::spawn(async move {
                let mut first = true;
                loop {
                    let message = wire::read_at_most(&mut read, wire::MAX_ASKING_BYTES).await;
                    *last_heard.lock() = Instant::now();
                    let message = match message {
                        Ok(Kind::Ack(ack)) => {
                            if std::mem::take(&mut first) && !alone {
                                primary.knows_better(who);
                            }
                            primary.heard_of(who, ack);
                            continue;
                        }
                        other => other,
                    };
                    let ended = message.is_err();
                    if said.send(message).await.is_err() || ended {
                        return;
                    }
                }
            })
        };
        let _reader = AbortOnDropHandle::new(reader);
        let mut beat = tokio::time::interval(BEAT_EVERY);
        let mut peers = self.primary.peers.subscribe();
        peers.mark_changed();
        loop {
            tokio::select! {
                said = heard.recv() => match said {
                    None => return Ok(()),
                    Some(said) => self.primary.give_bodies(said?, write).await?,
                },
                commits = next_run(&mut self.follower) => self.send_run(commits?, write).await?,
                _ = beat.tick() => {
                    let silent = last_heard.lock().elapsed();
                    let waits = self.primary.store.waits_for_acknowledgement().is_some();
                    if silent > SILENCE || (waits && silent > self.primary.options.away_after) {
                        return Err(Ended::Refused(format!("nothing received for {} s", silent.as_secs())));
                    }
                    let (store, now_ms) = (&self.primary.store, self.primary.store.clock().now_ms());
                    send(write, Kind::Beat(wire::Beat { seq: store.seq().0, now_ms })).await?;
                    self.note().await?;
                }
                _ = peers.changed() => {
                    if self.alone != self.primary.waits_for_one_alone(&peers.borrow_and_update()) {
                        return Err(Ended::Refused("reconnect needed: the set of standbys changed".to_owned()));
                    }
                }
            }
        }
    }

    /// Tells the witness how far the standby is.
    async fn note(&mut self) -> Result<(), Ended> {
        if self.noted.elapsed() > WITNESS_EVERY {
            self.noted = Instant::now();
            let received = self.primary.live.lock().get(&self.who).map_or(0, |now| now.ack.received);
            let (store, name) = (self.primary.store.clone(), format!("standby-{}", self.who));
            let received = Seq(received).min(store.seq());
            blocking(move || store.set_cursor(&name, received)).await?;
        }
        Ok(())
    }

    async fn send_run(
        &mut self,
        commits: Vec<Arc<Commit>>,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Ended> {
        let (Some(first), Some(last)) = (commits.first(), commits.last()) else { return Ok(()) };
        if let Some(now) = self.primary.live.lock().get_mut(&self.who) {
            now.on_the_way.push_back((last.seq(), first.time_ms));
        }
        let mut run = RunWriter::new(first.seq(), self.chain);
        for commit in &commits {
            for id in bodies_of(commit) {
                if self.sent.len() >= MAX_SENT {
                    self.sent.clear();
                }
                if self.sent.insert(id) {
                    self.primary.give_body(id, write).await?;
                }
            }
            run.push(commit)?;
        }
        self.chain = run.chain();
        send(write, Kind::Run(wire::Run { bytes: run.finish() })).await?;
        Ok(())
    }
}

impl Primary {
    /// A standby has heard that others may have what it lacks.
    fn knows_better(&self, who: Fingerprint) {
        let changed = self.change_peers(|peers| {
            peers.iter_mut().filter(|peer| peer.fingerprint == who).for_each(|peer| peer.told_alone = false);
        });
        if let Err(error) = changed {
            tracing::error!(%error, "could not store which standbys know about each other");
        }
    }
}

/// The bodies that a commit begins to refer to.
pub fn bodies_of(commit: &Commit) -> impl Iterator<Item = BodyId> {
    let ops = commit.realms.iter().flat_map(|part| &part.ops);
    ops.filter(|op| op.value.is_some()).filter_map(|op| body_of_key(&op.key))
}

/// The next commit, and those that are there already behind it. Safe to cancel: a commit that was taken is given.
async fn next_run(follower: &mut Follower) -> Result<Vec<Arc<Commit>>, StoreError> {
    let first = follower.next().await?;
    let (mut bytes, mut commits) = (size_of_commit(&first), vec![first]);
    while bytes < RUN_BYTES && (commits.len() as u64) < RUN_COMMITS {
        match follower.next().now_or_never() {
            Some(Ok(commit)) => {
                bytes += size_of_commit(&commit);
                commits.push(commit);
            }
            // What is wrong is met again with the next run.
            Some(Err(_)) | None => break,
        }
    }
    Ok(commits)
}

fn size_of_commit(commit: &Commit) -> usize {
    prost::Message::encoded_len(commit)
}
