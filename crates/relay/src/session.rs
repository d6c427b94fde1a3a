//! The relay's side of one connection to the primary.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use continuity::link;
use rand::RngExt as _;
use store::StoreError;
use tokio::{
    io::{AsyncWriteExt as _, BufWriter, WriteHalf},
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    Error,
    agenda::Item,
    given::Given,
    keeper::Core,
    node::{Paired, Relay},
    pace::Bucket,
    spool::{self, Outcome},
    wire::{self, Beat, Done, Grant, Hello, Ids, Kind, Letter, State},
};

/// Between two looks at what may be given.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between two words on how this relay is.
const STATE_EVERY: Duration = Duration::from_secs(1);
/// When a message that could not be taken is tried again, in milliseconds: at random between these.
const LATER_MS: [i64; 2] = [5_000, 20_000];
/// When one that can't be read here is tried again.
const UNREADABLE_MS: i64 = 3_600_000;
/// Outcomes that are stored in one commit.
const OUTCOMES_AT_ONCE: usize = 1_000;
/// Frames of the primary that wait to be looked at.
const FRAMES_WAITING: usize = 1_024;

struct Session<'a> {
    relay: &'a Relay,
    paired: &'a Paired,
    core: &'a Arc<Core>,
    write: BufWriter<WriteHalf<link::Connection>>,
    grant: Grant,
    bucket: Bucket,
    /// What is on its way, with its size.
    given: HashMap<u64, u64>,
    given_bytes: u64,
    outcomes: mpsc::UnboundedSender<Outcome>,
    /// Something was given since the last point of the primary's log was stored.
    moved: bool,
    /// Offers to which there is no answer yet. Until then no point is stored: it would say that all before it is there.
    unanswered: usize,
    said: Instant,
}

/// Connects, and gives what may be given until the connection ends.
pub async fn run(relay: &Relay, paired: &Paired, shutdown: &CancellationToken) -> Result<(), Error> {
    let (mut read, write) = tokio::io::split(paired.connect().await?);
    let mut write = BufWriter::with_capacity(256 << 10, write);
    let core = &relay.core;
    let snapshot_of = Arc::clone(core);
    let point = blocking(move || spool::point(&snapshot_of.store.snapshot())).await?;
    let hello = Hello {
        version: wire::VERSION,
        name: relay.options.name.clone(),
        seq: point.seq,
        chain: point.chain,
        oldest: core.oldest().unwrap_or_default(),
        revision: core.list.read().as_ref().map_or(0, |list| list.revision),
    };
    wire::say(&mut write, Kind::Hello(hello)).await?;
    let welcome = match wire::read(&mut read, wire::MAX_TOLD_BYTES).await? {
        Kind::Welcome(welcome) => welcome,
        Kind::Refused(no) => {
            core.revoked.store(true, Ordering::Relaxed);
            return Err(Error::Refused(link::name_of(&no.why)));
        }
        other => return Err(wire::unexpected(&other).into()),
    };
    core.revoked.store(false, Ordering::Relaxed);
    relay.link.opens();

    let (frames, mut received) = mpsc::channel(FRAMES_WAITING);
    let _reader = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let frame = wire::read(&mut read, wire::MAX_TOLD_BYTES).await;
            let is_over = frame.is_err();
            if frames.send(frame).await.is_err() || is_over {
                return;
            }
        }
    }));
    let (outcomes, stored) = mpsc::unbounded_channel();
    let storing = tokio::spawn(store_outcomes(Arc::clone(core), stored));
    let mut session = Session {
        relay,
        paired,
        core,
        write,
        grant: Grant::default(),
        bucket: Bucket::default(),
        given: HashMap::new(),
        given_bytes: 0,
        outcomes,
        moved: true,
        unanswered: 0,
        said: Instant::now(),
    };
    let since = if welcome.same_log { point.seq } else { 0 };
    if !welcome.same_log {
        tracing::warn!("the primary was restored, or is another machine: offering what it was given before");
    }
    let ended = session.serve(&mut received, since, shutdown).await;
    // Before what was on its way waits again.
    drop(session);
    storing.await.map_err(io::Error::other)??;
    ended
}

impl Session<'_> {
    async fn serve(
        &mut self,
        received: &mut mpsc::Receiver<io::Result<Kind>>,
        since: u64,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        self.offer(since).await?;
        self.say_state().await?;
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.fill(received).await?;
            if self.said.elapsed() >= STATE_EVERY {
                self.core.look_at_backlog();
                self.say_state().await?;
            }
            self.write.flush().await?;
            tokio::select! {
                frame = received.recv() => {
                    let frame = frame.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
                    self.hear(frame?).await?;
                }
                () = self.core.wake.notified() => {}
                _ = look.tick() => {}
                () = shutdown.cancelled() => return Ok(()),
            }
        }
    }

    /// Asks which of those that were given after that commit of the primary it lacks.
    async fn offer(&mut self, since: u64) -> Result<(), Error> {
        let ids: Vec<u64> = {
            let given = self.core.given.lock();
            given.iter().filter(|(_, given)| given.seq > since && !given.refused).map(|(id, _)| id).collect()
        };
        for ids in ids.chunks(wire::OFFERED_AT_ONCE) {
            self.unanswered += 1;
            wire::write(&mut self.write, Kind::Offer(Ids { ids: ids.to_vec() })).await?;
        }
        Ok(())
    }

    async fn say_state(&mut self) -> Result<(), Error> {
        let backlog = self.relay.backlog();
        let state = State {
            waiting: backlog.waiting,
            waiting_bytes: backlog.bytes,
            oldest_ms: backlog.oldest_ms.unwrap_or_default(),
            refused: backlog.refused,
            full: !self.core.store.has_room(),
            given: backlog.given,
            left_ms: backlog.left.map_or(0, |left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1)),
            revision: self.core.list.read().as_ref().map_or(0, |list| list.revision),
            kept: backlog.kept,
        };
        self.said = Instant::now();
        Ok(wire::write(&mut self.write, Kind::State(state)).await?)
    }

    /// Gives what may be given.
    async fn fill(&mut self, received: &mut mpsc::Receiver<io::Result<Kind>>) -> Result<(), Error> {
        loop {
            // A grant that was lowered counts at once.
            while let Ok(frame) = received.try_recv() {
                self.hear(frame?).await?;
            }
            if self.given.len() >= self.grant.streams as usize {
                return Ok(());
            }
            let now_ms = self.core.store.clock().now_ms();
            if self.core.agenda.lock().count() == self.given.len() as u64
                || !self.bucket.take(self.grant.per_second, now_ms)
            {
                return Ok(());
            }
            let (used, most, alone) = (self.given_bytes, self.grant.bytes, self.given.is_empty());
            let fits = |bytes: u64| alone || used.saturating_add(bytes) <= most;
            let next = self.core.agenda.lock().next(now_ms, fits);
            let Some(item) = next else { return Ok(()) };
            self.give(item).await?;
        }
    }

    /// Sends one message.
    async fn give(&mut self, item: Item) -> Result<(), Error> {
        let core = Arc::clone(self.core);
        let read = blocking(move || {
            let Some(letter) = spool::waiting(&core.store.snapshot(), item.id)? else { return Ok(None) };
            let mut body = core.store.body(&spool::body_of(&letter)?)?;
            let piece = body.read_range(0, wire::PIECE_BYTES)?;
            Ok(Some((letter, body, piece)))
        });
        let (letter, mut body, mut piece) = match read.await {
            Ok(Some(read)) => read,
            Ok(None) => {
                // It was given before the connection broke.
                self.core.agenda.lock().done(item.id);
                return Ok(());
            }
            Err(error) => {
                let id = delivery::QueueId(item.id);
                tracing::error!(%id, %error, "a message that waits for the primary can't be read here");
                self.core.agenda.lock().postpone(item.id, self.core.store.clock().now_ms() + UNREADABLE_MS);
                return Ok(());
            }
        };
        let Letter { id, bytes, .. } = letter;
        self.given.insert(id, bytes);
        self.given_bytes += bytes;
        wire::write(&mut self.write, Kind::Letter(letter)).await?;
        let mut at = 0;
        while at < bytes {
            at += piece.len() as u64;
            if piece.is_empty() {
                return Err(io::Error::other("a message is shorter than it was").into());
            }
            wire::write(&mut self.write, Kind::Piece(piece.to_vec())).await?;
            if at < bytes {
                (body, piece) = blocking(move || {
                    let piece = body.read_range(at, wire::PIECE_BYTES)?;
                    Ok((body, piece))
                })
                .await?;
            }
        }
        Ok(())
    }

    async fn hear(&mut self, frame: Kind) -> Result<(), Error> {
        match frame {
            Kind::Grant(grant) => {
                self.grant = grant;
                self.relay.link.grants(grant.streams);
                self.core.runs.store(grant.streams > 0, Ordering::Relaxed);
            }
            Kind::Done(done) => self.done(done),
            Kind::List(signed) => self.relay.take_list(self.paired, &signed)?,
            Kind::Beat(beat) => self.beat(beat).await?,
            Kind::Lacking(lacking) => {
                let core = Arc::clone(self.core);
                let ids = lacking.ids.clone();
                let items = self.core.store.transact(move |tx| spool::take_back_in(tx, &ids)).await?;
                tracing::warn!(messages = items.len(), "the primary lacks messages that it had: they are given again");
                let mut given = core.given.lock();
                let mut agenda = core.agenda.lock();
                for item in items {
                    given.remove(item.id);
                    agenda.add(item);
                }
                self.unanswered = self.unanswered.saturating_sub(1);
            }
            Kind::Refused(no) => return Err(Error::Refused(link::name_of(&no.why))),
            other => return Err(wire::unexpected(&other).into()),
        }
        Ok(())
    }

    fn done(&mut self, done: Done) {
        let Some(bytes) = self.given.remove(&done.id) else { return };
        self.given_bytes -= bytes;
        self.moved = true;
        self.core.heard.fetch_add(1, Ordering::Relaxed);
        let id = delivery::QueueId(done.id);
        match done.outcome {
            wire::TAKEN => {
                let _ = self.outcomes.send(Outcome { id: done.id, seq: done.seq, refused: String::new() });
            }
            wire::REFUSED => {
                let refused = if done.why.is_empty() { "refused".to_owned() } else { done.why };
                tracing::warn!(%id, refused, "the primary refused a message for good");
                metrics::counter!("holdfast_relay_given_total", "result" => "refused").increment(1);
                let _ = self.outcomes.send(Outcome { id: done.id, seq: done.seq, refused });
            }
            _ => {
                let now_ms = self.core.store.clock().now_ms();
                let until_ms = now_ms + rand::rng().random_range(LATER_MS[0]..LATER_MS[1]);
                metrics::counter!("holdfast_relay_given_total", "result" => "later").increment(1);
                tracing::info!(%id, why = done.why, "the primary takes a message later");
                self.core.agenda.lock().postpone(done.id, until_ms);
            }
        }
    }

    async fn beat(&mut self, beat: Beat) -> Result<(), Error> {
        let own = self.core.list.read().as_ref().map_or(0, |list| list.revision);
        if beat.revision != 0 && beat.revision == own {
            self.relay.confirm_list()?;
        }
        if self.unanswered == 0 && std::mem::take(&mut self.moved) {
            self.core
                .store
                .transact(move |tx| {
                    spool::set_point_in(tx, &beat);
                    Ok::<_, StoreError>(())
                })
                .await?;
        }
        Ok(())
    }
}

/// Stores what became of messages, until nobody says anything more.
async fn store_outcomes(core: Arc<Core>, mut said: mpsc::UnboundedReceiver<Outcome>) -> Result<(), StoreError> {
    let mut outcomes = Vec::new();
    while said.recv_many(&mut outcomes, OUTCOMES_AT_ONCE).await > 0 {
        let now = std::mem::take(&mut outcomes);
        let stored = now.clone();
        core.store.transact(move |tx| spool::give_in(tx, &stored)).await?;
        let at_ms = core.store.clock().now_ms();
        let mut taken = 0;
        {
            let mut given = core.given.lock();
            let mut agenda = core.agenda.lock();
            for outcome in now {
                let refused = !outcome.refused.is_empty();
                taken += u64::from(!refused);
                if agenda.done(outcome.id).is_some() {
                    given.insert(outcome.id, Given { seq: outcome.seq, at_ms, refused });
                }
            }
        }
        metrics::counter!("holdfast_relay_given_total", "result" => "taken").increment(taken);
        core.look_at_backlog();
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Error> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(io::Error::other)??)
}
