//! Where the bytes of a message go.

use std::{
    io::{self, Write as _},
    time::Instant,
};

use delivery::{DeliveryError, Incoming, RecipientOutcome};

use crate::{
    data::{BareLineEnds, LineEndCheck, LineMender},
    reply::Reply,
};

/// A message being streamed to delivery, or the reason why it was refused.
pub(super) struct Sink {
    pub incoming: Option<Incoming>,
    pub failure: Option<Reply>,
    pub bytes: u64,
    /// For authenticated clients: turns bare LFs into CRLF.
    pub mender: Option<LineMender>,
    pub has_nul: bool,
}

/// A message that arrives in chunks.
pub(super) struct Chunked {
    pub sink: Sink,
    pub line_ends: LineEndCheck,
    pub recipients: usize,
}

impl Sink {
    pub(super) fn new(incoming: Result<Incoming, DeliveryError>, signed_in: bool) -> Self {
        let (incoming, failure) = match incoming {
            Ok(incoming) => (Some(incoming), None),
            Err(error) => (None, Some(error.refusal().into())),
        };
        Self { incoming, failure, bytes: 0, mender: signed_in.then(LineMender::default), has_nul: false }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let Some(incoming) = self.incoming.as_mut().filter(|_| self.failure.is_none()) else { return };
        self.has_nul |= memchr::memchr(0, bytes).is_some();
        let bytes = match &mut self.mender {
            Some(mender) => mender.mend(bytes),
            None => bytes.into(),
        };
        match incoming.write_all(&bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                self.failure = Some(Reply::new(552, (5, 3, 4), "Message size exceeds the limit"));
            }
            Err(error) => {
                tracing::error!(%error, "could not store an incoming message");
                self.failure = Some(Reply::new(452, (4, 3, 1), "Could not store the message, try again later"));
            }
        }
    }

    /// Hands the message to delivery and returns the answer, once the message is durable or refused. `None` if the outcome
    /// is unknown: the connection then ends without a reply, and the client retries as after any broken connection.
    pub(super) async fn finish(self, bare: BareLineEnds) -> Option<Answer> {
        if let Some(failure) = self.failure {
            return Some(failure.into());
        }
        let Some(incoming) = self.incoming else {
            return Some(Reply::new(451, (4, 3, 0), "The message was not accepted, try again later").into());
        };
        if bare.cr || (bare.lf && self.mender.is_none()) {
            return Some(Reply::new(554, (5, 6, 0), "Bare CR or LF in the message: lines must end with CRLF").into());
        }
        if self.has_nul {
            // A later system that drops NULs would see different lines and a different end of the message.
            let why = "NUL character in the message: RFC 5321 section 2.3.8 forbids it";
            return Some(Reply::new(554, (5, 6, 0), why).into());
        }
        let begun = Instant::now();
        let finished = incoming.finish().await;
        phase("accept", begun);
        Some(match finished {
            Err(error) if error.is_unknown() => {
                tracing::error!(%error, "closing an SMTP connection without a reply: the outcome of a message is unknown");
                return None;
            }
            Ok(accepted) => {
                let ok = Reply::new(250, (2, 0, 0), format!("Ok: queued as {}", accepted.id));
                let reply = |outcome| match outcome {
                    RecipientOutcome::Refused(refusal) => Reply::from(refusal),
                    RecipientOutcome::Filed(_) | RecipientOutcome::Queued => ok.clone(),
                };
                Answer::Each(accepted.recipients.into_iter().map(reply).collect())
            }
            Err(error) => {
                let refusal = error.refusal();
                if refusal.is_temporary() {
                    tracing::warn!(%error, "a message was not accepted");
                }
                Reply::from(refusal).into()
            }
        })
    }
}

/// What the client is told about a message.
pub(super) enum Answer {
    /// The same for all recipients.
    All(Reply),
    /// For each recipient, in their order; without LMTP they are alike.
    Each(Vec<Reply>),
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::All(reply)
    }
}

/// How long a phase of a transaction took: `data` while the message came in, `accept` until it was durable or refused.
pub(super) fn phase(phase: &'static str, begun: Instant) {
    metrics::histogram!("holdfast_smtp_phase_seconds", "phase" => phase).record(begun.elapsed().as_secs_f64());
}
