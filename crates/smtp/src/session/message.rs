//! DATA (RFC 5321 §4.1.1.4) and BDAT (RFC 3030): the message itself, streamed to delivery as it arrives.

use std::{io, time::Instant};

use super::{
    Next, Session, Transaction,
    sink::{Answer, Chunked, Sink, phase},
};
use crate::{
    Role,
    command::Mail,
    data::{DataReader, LineEndCheck},
    reply::Reply,
};

/// A client that keeps sending after exceeding the size limit is disconnected at this many times the limit.
const PATIENCE_FACTOR: u64 = 2;

impl Session {
    pub(super) async fn data(&mut self) -> io::Result<Next> {
        let transaction = match self.transaction.take() {
            None => return Ok(self.refuse(Reply::out_of_order("Need MAIL and RCPT commands"))),
            Some(transaction) if transaction.chunked.is_some() => {
                self.transaction = Some(transaction);
                return Ok(self.refuse(Reply::out_of_order("DATA not allowed after BDAT: continue with BDAT")));
            }
            Some(Transaction { over_limit: Some(refusal), .. }) => return Ok(self.refuse(refusal.into())),
            Some(transaction) if transaction.recipients.is_empty() => {
                self.transaction = Some(transaction);
                // RFC 2033 §4.2 demands 503; RFC 5321 §4.1.1.4 allows either.
                let code = if self.door.options.role == Role::Lmtp { 503 } else { 554 };
                return Ok(self.refuse(Reply::new(code, (5, 5, 1), "No valid recipients")));
            }
            Some(transaction) => transaction,
        };
        if !self.wire.buffered().is_empty() {
            // RFC 2920 §3.1: DATA ends a pipelined group. A client that does not wait for the reply is an attack: a browser
            // made to speak SMTP, or a message meant to be read as commands.
            self.refuse(Reply::new(554, (5, 5, 0), "No command may follow DATA before its reply"));
            return Ok(Next::Close);
        }
        let recipients = transaction.recipients.len();
        self.receiving = transaction.accounts.clone();
        let signed_in = self.account.is_some();
        let envelope = self.envelope(transaction);
        let mut sink = Sink::new(self.door.delivery.incoming(envelope), signed_in);
        if let Some(failure) = sink.failure.take() {
            return Ok(self.refuse(failure));
        }
        self.say(&Reply::plain(354, "End data with <CR><LF>.<CR><LF>"));
        let begun = Instant::now();
        let mut reader = DataReader::default();
        let mut message = Vec::new();
        let patience = self.door.delivery.max_message_bytes().saturating_mul(PATIENCE_FACTOR);
        loop {
            if self.wire.buffered().is_empty() {
                self.wire.fill_within(self.data_timeout()).await?;
            }
            let (used, ended) = reader.push(self.wire.buffered(), &mut message);
            self.wire.consume(used);
            sink.write(&message);
            message.clear();
            if ended {
                break;
            }
            if sink.bytes > patience {
                self.refuse(Reply::closing(&self.door.options.hostname, "Error: message far larger than the limit"));
                return Ok(Next::Close);
            }
        }
        phase("data", begun);
        self.wire.check_end()?;
        let bytes = sink.bytes;
        let Some(answer) = sink.finish(reader.bare_line_ends()).await else { return Ok(Next::Close) };
        Ok(self.answer_message(answer, recipients, bytes))
    }

    pub(super) async fn bdat(&mut self, size: u64, last: bool) -> io::Result<Next> {
        let patience = self.door.delivery.max_message_bytes().saturating_mul(PATIENCE_FACTOR);
        if size > patience {
            self.refuse(Reply::new(552, (5, 3, 4), "Chunk too large"));
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
                    let (mail, chunked) = self.begin_chunked(transaction);
                    self.transaction = Some(Transaction::of(mail));
                    chunked
                }
            }),
            None => None,
        };
        // The client sends the chunk's bytes even if the command is refused.
        let mut left = size;
        while left > 0 {
            if self.wire.buffered().is_empty() {
                self.wire.fill_within(self.data_timeout()).await?;
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
            return Ok(self.refuse(Reply::out_of_order("Need MAIL and RCPT commands")));
        };
        if chunked.sink.bytes > patience {
            self.refuse(Reply::closing(&self.door.options.hostname, "Error: message far larger than the limit"));
            return Ok(Next::Close);
        }
        if last {
            self.transaction = None;
            self.wire.check_end()?;
            let Chunked { sink, line_ends, recipients } = chunked;
            let bytes = sink.bytes;
            let Some(answer) = sink.finish(line_ends.bare_line_ends()).await else { return Ok(Next::Close) };
            return Ok(self.answer_message(answer, recipients, bytes));
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
                Ok(self.say(&Reply::ok(&format!("{size} octets received"))))
            }
        }
    }

    /// The first BDAT of a message.
    fn begin_chunked(&mut self, transaction: Transaction) -> (Mail, Chunked) {
        let (recipients, mail) = (transaction.recipients.len(), transaction.mail.clone());
        self.receiving = transaction.accounts.clone();
        let incoming = match transaction.over_limit.clone() {
            Some(refusal) => Err(refusal.into()),
            None => {
                let envelope = self.envelope(transaction);
                self.door.delivery.incoming(envelope)
            }
        };
        let sink = Sink::new(incoming, self.account.is_some());
        (mail, Chunked { sink, line_ends: LineEndCheck::default(), recipients })
    }

    /// LMTP sends one reply for each recipient (RFC 2033 §4.2), SMTP one for all.
    fn answer_message(&mut self, answer: Answer, recipients: usize, bytes: u64) -> Next {
        self.messages += 1;
        let mut replies = match answer {
            Answer::All(reply) => vec![reply; recipients.max(1)],
            Answer::Each(replies) => replies,
        };
        if self.door.options.role != Role::Lmtp {
            replies.truncate(1);
        }
        let is_taken = replies.iter().any(|reply| !reply.is_error());
        self.count_received(bytes, is_taken);
        let result = if is_taken { "taken" } else { "refused" };
        metrics::counter!("holdfast_smtp_messages_total", "result" => result).increment(1);
        if is_taken {
            // A mailing list with some dead addresses is not an attack.
            (self.errors, self.idle_commands) = (0, 0);
        } else {
            self.errors += 1;
        }
        for reply in replies {
            reply.write_to(&mut self.wire.out);
        }
        Next::Go
    }
}
