//! DATA (RFC 5321 §4.1.1.4) and BDAT (RFC 3030): the message itself, streamed to delivery as it comes.

use std::{
    io::{self, Write as _},
    time::Instant,
};

use delivery::{DeliveryError, Incoming};

use super::{Next, Session, Transaction};
use crate::{
    Role,
    data::{BareLineEnds, DataReader, LineEndCheck, LineMender},
    reply::Reply,
};

/// A client that goes on after its message is refused for size is cut off when it has sent this many times the limit.
const PATIENCE_FACTOR: u64 = 2;

/// A message on its way to delivery, or why it is not wanted any more.
pub(super) struct Sink {
    incoming: Option<Incoming>,
    failure: Option<Reply>,
    bytes: u64,
    /// For someone who is signed in: lone LFs become line ends.
    mender: Option<LineMender>,
    has_nul: bool,
}

/// A message that comes in chunks.
pub(super) struct Chunked {
    sink: Sink,
    line_ends: LineEndCheck,
    recipients: usize,
}

impl Sink {
    fn new(incoming: Result<Incoming, DeliveryError>, signed_in: bool) -> Self {
        let (incoming, failure) = match incoming {
            Ok(incoming) => (Some(incoming), None),
            Err(error) => (None, Some(error.refusal().into())),
        };
        Self { incoming, failure, bytes: 0, mender: signed_in.then(LineMender::default), has_nul: false }
    }

    fn write(&mut self, bytes: &[u8]) {
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
    async fn finish(self, bare: BareLineEnds) -> Option<Reply> {
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
fn phase(phase: &'static str, begun: Instant) {
    metrics::histogram!("holdfast_smtp_phase_seconds", "phase" => phase).record(begun.elapsed().as_secs_f64());
}

impl Session {
    pub(super) async fn data(&mut self) -> io::Result<Next> {
        let transaction = match self.transaction.take() {
            None => return Ok(self.refuse(Reply::out_of_order("say MAIL and RCPT first"))),
            Some(transaction) if transaction.chunked.is_some() => {
                self.transaction = Some(transaction);
                return Ok(self.refuse(Reply::out_of_order("BDAT was begun: go on with it")));
            }
            Some(transaction) if transaction.recipients.is_empty() => {
                self.transaction = Some(transaction);
                return Ok(self.refuse(Reply::new(503, (5, 5, 1), "no recipient was taken")));
            }
            Some(transaction) => transaction,
        };
        if !self.wire.buffered().is_empty() {
            // RFC 2920 §3.1: DATA ends a group. What does not wait for its answer was not written for this server: a browser
            // made to speak SMTP, or a message meant to be taken for commands.
            self.refuse(Reply::new(554, (5, 5, 0), "nothing may follow DATA before its answer"));
            return Ok(Next::Close);
        }
        let recipients = transaction.recipients.len();
        let signed_in = self.account.is_some();
        let mut sink = Sink::new(self.door.delivery.incoming(self.envelope(transaction), b""), signed_in);
        if let Some(failure) = sink.failure.take() {
            return Ok(self.refuse(failure));
        }
        self.say(&Reply::plain(354, "go ahead; end with a dot on a line of its own"));
        let begun = Instant::now();
        let mut reader = DataReader::default();
        let mut message = Vec::new();
        let patience = self.door.delivery.options().max_message_bytes.saturating_mul(PATIENCE_FACTOR);
        loop {
            if self.wire.buffered().is_empty() {
                self.wire.fill(self.data_timeout()).await?;
            }
            let (used, ended) = reader.push(self.wire.buffered(), &mut message);
            self.wire.consume(used);
            sink.write(&message);
            message.clear();
            if ended {
                break;
            }
            if sink.bytes > patience {
                self.refuse(Reply::closing(&self.door.options.hostname, "the message does not end"));
                return Ok(Next::Close);
            }
        }
        phase("data", begun);
        self.wire.check_access()?;
        let Some(reply) = sink.finish(reader.bare_line_ends()).await else { return Ok(Next::Close) };
        Ok(self.message_reply(&reply, recipients))
    }

    pub(super) async fn bdat(&mut self, size: u64, last: bool) -> io::Result<Next> {
        let patience = self.door.delivery.options().max_message_bytes.saturating_mul(PATIENCE_FACTOR);
        if size > patience {
            self.refuse(Reply::new(552, (5, 3, 4), "the chunk is larger than this server reads"));
            return Ok(Next::Close);
        }
        let mut chunked = match self.transaction.take() {
            Some(transaction) if transaction.chunked.is_none() && transaction.recipients.is_empty() => {
                self.transaction = Some(transaction);
                None
            }
            Some(mut transaction) => Some(match transaction.chunked.take() {
                Some(chunked) => {
                    self.transaction = Some(transaction);
                    chunked
                }
                None => {
                    let recipients = transaction.recipients.len();
                    let mail = transaction.mail.clone();
                    let signed_in = self.account.is_some();
                    let sink = Sink::new(self.door.delivery.incoming(self.envelope(transaction), b""), signed_in);
                    self.transaction = Some(Transaction { mail, recipients: Vec::new(), chunked: None });
                    Chunked { sink, line_ends: LineEndCheck::default(), recipients }
                }
            }),
            None => None,
        };
        // The chunk's bytes come whatever we think of it.
        let mut left = size;
        while left > 0 {
            if self.wire.buffered().is_empty() {
                self.wire.fill(self.data_timeout()).await?;
            }
            let count = (self.wire.buffered().len() as u64).min(left) as usize;
            if let Some(chunked) = &mut chunked {
                let bytes = &self.wire.buffered()[..count];
                chunked.line_ends.push(bytes);
                chunked.sink.write(bytes);
            }
            self.wire.consume(count);
            left -= count as u64;
        }
        let Some(chunked) = chunked else {
            return Ok(self.refuse(Reply::out_of_order("say MAIL and RCPT first")));
        };
        if chunked.sink.bytes > patience {
            self.refuse(Reply::closing(&self.door.options.hostname, "the message does not end"));
            return Ok(Next::Close);
        }
        if last {
            self.transaction = None;
            self.wire.check_access()?;
            let Chunked { sink, line_ends, recipients } = chunked;
            let Some(reply) = sink.finish(line_ends.bare_line_ends()).await else { return Ok(Next::Close) };
            return Ok(self.message_reply(&reply, recipients));
        }
        let failure = chunked.sink.failure.clone();
        match failure {
            Some(failure) => {
                self.transaction = None;
                Ok(self.refuse(failure))
            }
            None => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.chunked = Some(chunked);
                }
                Ok(self.say(&Reply::ok(&format!("{size} bytes taken"))))
            }
        }
    }

    /// LMTP answers for each recipient (RFC 2033 §4.2); a message is filed for all of them or for none.
    fn message_reply(&mut self, reply: &Reply, recipients: usize) -> Next {
        self.messages += 1;
        let result = if reply.is_error() { "refused" } else { "taken" };
        if !reply.is_error() {
            // A list with some dead addresses is no attack.
            (self.errors, self.idle_commands) = (0, 0);
        }
        metrics::counter!("holdfast_smtp_messages_total", "result" => result).increment(1);
        if self.door.options.role == Role::Lmtp {
            for _ in 1..recipients {
                reply.write_to(&mut self.wire.out);
            }
        }
        self.say(reply)
    }
}
