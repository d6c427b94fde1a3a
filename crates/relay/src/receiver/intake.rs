//! The messages of one relay, as they come.

use std::{
    io::{self, Write as _},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use continuity::link::{Fingerprint, frame};
use delivery::{Incoming, QueueId, Refusal, Relayed, Taken};
use tokio::{
    io::AsyncRead,
    sync::{Semaphore, mpsc},
};

use super::{Receiver, submissions::Sending};
use crate::wire::{self, Done, Ids, Kind, Letter};

/// Messages of one relay that are being filed at once, whatever it was granted.
const MAX_AT_ONCE: usize = 64;

/// Whose messages they are.
#[derive(Clone)]
pub(super) struct From {
    pub who: Fingerprint,
    pub name: String,
    pub peer: IpAddr,
}

impl From {
    /// How its messages are remembered.
    pub fn relay(&self) -> [u8; 16] {
        let mut short = [0; 16];
        short.copy_from_slice(&self.who.as_bytes()[..16]);
        short
    }
}

/// Messages of one relay that people send and that are being submitted at once: each is in memory.
const MAX_SENDING_AT_ONCE: usize = 4;

/// What becomes of a message.
enum Arrival {
    /// It is mail for accounts here.
    Mail(Box<Incoming>),
    /// Somebody sends it.
    Sending(Sending),
    /// It is not taken.
    Not(Done),
}

/// A message of which not all bytes are here.
struct Arriving {
    letter: Letter,
    arrival: Arrival,
    hasher: blake3::Hasher,
    left: u64,
}

/// Takes what one relay sends.
pub(super) struct Intake {
    receiver: Arc<Receiver>,
    from: From,
    answers: mpsc::Sender<Kind>,
    places: Arc<Semaphore>,
    sending: Arc<Semaphore>,
    arriving: Option<Box<Arriving>>,
}

impl Intake {
    pub fn new(receiver: Arc<Receiver>, from: From, answers: mpsc::Sender<Kind>) -> Self {
        let (places, sending) = (Semaphore::new(MAX_AT_ONCE), Semaphore::new(MAX_SENDING_AT_ONCE));
        Self { receiver, from, answers, places: Arc::new(places), sending: Arc::new(sending), arriving: None }
    }

    /// Until the connection ends.
    pub async fn run(mut self, mut read: impl AsyncRead + Unpin) -> io::Result<()> {
        loop {
            match wire::read(&mut read, wire::MAX_GIVEN_BYTES).await? {
                Kind::Letter(letter) => self.begin(letter).await?,
                Kind::Piece(bytes) => self.piece(&bytes).await?,
                Kind::Offer(offered) => {
                    let ids = offered.ids.into_iter().map(QueueId).collect();
                    let lacking = self.receiver.delivery.lacks(self.from.relay(), ids).await;
                    let ids = lacking.map_err(io::Error::other)?.into_iter().map(|id| id.0).collect();
                    tell(&self.answers, Kind::Lacking(Ids { ids })).await?;
                }
                Kind::State(state) => {
                    let mut live = self.receiver.live.lock();
                    if let Some(live) = live.get_mut(&self.from.who) {
                        live.heard = Some(Instant::now());
                        live.state = Some(state);
                    }
                }
                other => return Err(wire::unexpected(&other)),
            }
        }
    }

    async fn begin(&mut self, letter: Letter) -> io::Result<()> {
        if self.arriving.is_some() {
            return Err(frame::invalid("a message begins before the last one has ended"));
        }
        let (id, left) = (letter.id, letter.bytes);
        let arrival = if (self.receiver.gate)() {
            let opened = match letter.submitter.as_ref() {
                Some(submitter) => self.receiver.sending(&letter, submitter).map(Arrival::Sending),
                None => self.open(&letter).map(|incoming| Arrival::Mail(Box::new(incoming))),
            };
            opened.unwrap_or_else(|refusal| Arrival::Not(answer(id, &refusal)))
        } else {
            let why = "the stage does not include mail".to_owned();
            Arrival::Not(Done { id, outcome: wire::LATER, why, seq: 0 })
        };
        self.arriving = Some(Box::new(Arriving { letter, arrival, hasher: blake3::Hasher::new(), left }));
        if left == 0 { self.end().await } else { Ok(()) }
    }

    /// What is told of a message that begins.
    fn open(&self, letter: &Letter) -> Result<Incoming, Refusal> {
        let envelope = wire::envelope_of(letter)?;
        let relayed = Relayed {
            relay: self.from.relay(),
            id: QueueId(letter.id),
            at_ms: letter.at_ms,
            trace: String::from_utf8_lossy(&letter.trace).into_owned(),
            name: self.from.name.clone(),
            peer: Some(self.from.peer),
            findings: letter.findings.clone().into(),
        };
        self.receiver.delivery.incoming_relayed(envelope, relayed).map_err(|error| error.refusal())
    }

    async fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(arriving) = &mut self.arriving else {
            return Err(frame::invalid("a piece of no message"));
        };
        let Some(left) = arriving.left.checked_sub(bytes.len() as u64) else {
            return Err(frame::invalid("a message is longer than was said"));
        };
        arriving.left = left;
        arriving.hasher.update(bytes);
        match &mut arriving.arrival {
            Arrival::Mail(incoming) => {
                if let Err(error) = incoming.write_all(bytes)
                    // Too large is found again at the end, which knows the right refusal.
                    && error.kind() != io::ErrorKind::FileTooLarge
                {
                    tracing::error!(%error, "could not store a message of a relay");
                    let (id, why) = (arriving.letter.id, "could not store the message".to_owned());
                    arriving.arrival = Arrival::Not(Done { id, outcome: wire::LATER, why, seq: 0 });
                }
            }
            Arrival::Sending(sending) => sending.bytes.extend_from_slice(bytes),
            Arrival::Not(_) => {}
        }
        if left == 0 { self.end().await } else { Ok(()) }
    }

    /// All bytes are here.
    async fn end(&mut self) -> io::Result<()> {
        let Some(arriving) = self.arriving.take() else { return Ok(()) };
        let Arriving { letter, arrival, hasher, .. } = *arriving;
        if hasher.finalize().as_bytes()[..] != letter.body[..] {
            return Err(frame::invalid("a message is not the one that was said"));
        }
        let (receiver, answers, relay) = (Arc::clone(&self.receiver), self.answers.clone(), self.from.relay());
        match arrival {
            Arrival::Not(done) => {
                self.receiver.seen.lock().trouble |= done.outcome == wire::LATER;
                return tell(&self.answers, Kind::Done(done)).await;
            }
            Arrival::Mail(incoming) => {
                let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
                tokio::spawn(async move {
                    let done = receiver.file(letter.id, *incoming).await;
                    let _ = answers.send(Kind::Done(done)).await;
                    drop(place);
                });
            }
            Arrival::Sending(sending) => {
                let place = Arc::clone(&self.sending).acquire_owned().await.map_err(io::Error::other)?;
                tokio::spawn(async move {
                    let done = receiver.submit(relay, letter.id, sending).await;
                    let _ = answers.send(Kind::Done(done)).await;
                    drop(place);
                });
            }
        }
        Ok(())
    }
}

async fn tell(answers: &mpsc::Sender<Kind>, kind: Kind) -> io::Result<()> {
    answers.send(kind).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
}

/// What a relay is told of a message that was not taken.
pub(super) fn answer(id: u64, refusal: &Refusal) -> Done {
    let outcome = if refusal.is_temporary() { wire::LATER } else { wire::REFUSED };
    Done { id, outcome, why: refusal.to_string(), seq: 0 }
}

impl Receiver {
    /// Files a message that is whole. If the outcome is unknown, the relay gives it again, and hears then what it was.
    async fn file(&self, id: u64, incoming: Incoming) -> Done {
        let begun = Instant::now();
        let taken = incoming.finish_relayed().await;
        let took = begun.elapsed();
        metrics::histogram!("holdfast_relay_filing_seconds").record(took.as_secs_f64());
        let mut seen = self.seen.lock();
        seen.slowest = seen.slowest.max(took);
        match taken {
            Ok(taken) => {
                seen.taken += 1;
                let result = if taken == Taken::Now { "taken" } else { "before" };
                metrics::counter!("holdfast_relay_taken_total", "result" => result).increment(1);
                Done { id, outcome: wire::TAKEN, why: String::new(), seq: self.store.seq().0 }
            }
            Err(error) => {
                let done = answer(id, &error.refusal());
                seen.trouble |= done.outcome == wire::LATER;
                tracing::warn!(%error, relayed = %QueueId(id), "a message of a relay was not taken");
                done
            }
        }
    }
}
