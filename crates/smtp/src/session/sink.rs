//! Where the bytes of a message go.

use std::{
    io::{self, Write as _},
    time::Instant,
};

use delivery::{DeliveryError, Incoming};

use crate::{
    data::{BareLineEnds, LineEndCheck, LineMender},
    reply::Reply,
};

/// A message on its way to delivery, or why it is not wanted any more.
pub(super) struct Sink {
    pub incoming: Option<Incoming>,
    pub failure: Option<Reply>,
    pub bytes: u64,
    /// For someone who is signed in: lone LFs become line ends.
    pub mender: Option<LineMender>,
    pub has_nul: bool,
}

/// A message that comes in chunks.
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
                self.failure = Some(Reply::new(552, (5, 3, 4), "the message is larger than this server takes"));
            }
            Err(error) => {
                tracing::error!(%error, "a message could not be kept");
                self.failure = Some(Reply::new(452, (4, 3, 1), "the message could not be kept, try again later"));
            }
        }
    }

    /// Gives the message to delivery: the reply to it, once it is durable or refused. `None` when it can't be said which
    /// it is: the connection ends without a reply then, and the client tries again as after any connection that broke.
    pub(super) async fn finish(self, bare: BareLineEnds) -> Option<Reply> {
        if let Some(failure) = self.failure {
            return Some(failure);
        }
        if bare.cr || (bare.lf && self.mender.is_none()) {
            return Some(Reply::new(554, (5, 6, 0), "lines must end with CRLF: the message has CR or LF alone"));
        }
        if self.has_nul {
            // What drops NULs behind us would see other lines, and another end of the message.
            return Some(Reply::new(
                554,
                (5, 6, 0),
                "the message has a NUL character, which no mail may have (RFC 5321 2.3.8)",
            ));
        }
        let Some(incoming) = self.incoming else {
            return Some(Reply::new(451, (4, 3, 0), "the message was not taken, try again later"));
        };
        let begun = Instant::now();
        let finished = incoming.finish().await;
        phase("accept", begun);
        Some(match finished {
            Err(error) if error.is_unknown() => {
                tracing::error!(%error, "an SMTP connection ends without an answer");
                return None;
            }
            Ok(accepted) => Reply::new(250, (2, 0, 0), format!("taken as {}", accepted.id)),
            Err(error) => {
                let refusal = error.refusal();
                if refusal.is_temporary() {
                    tracing::warn!(%error, "a message was not taken");
                }
                refusal.into()
            }
        })
    }
}

/// How long a phase of a transaction took: `data` while the message came in, `accept` until it was durable or refused.
pub(super) fn phase(phase: &'static str, begun: Instant) {
    metrics::histogram!("holdfast_smtp_phase_seconds", "phase" => phase).record(begun.elapsed().as_secs_f64());
}
