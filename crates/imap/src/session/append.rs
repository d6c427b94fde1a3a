//! APPEND (RFC 9051 section 6.3.12): messages are streamed to the store and filed together (RFC 3502).

use std::sync::Arc;

use jiff::Timestamp;
use mailkit::Parsed;
use mailstore::{BodyWriter, MAX_ROWS_PER_COMMIT, MailError, MailStore, MailboxId, NewMessage, StagedBody, Uid};

use super::{
    Session,
    outcome::{Done, Outcome},
};
use crate::failure::Failure;
use crate::response::Code;
use crate::syntax::{AppendHead, AppendMessage, LiteralHeader, Progress, Ranges, append_next};

/// Up to this size a message is gathered in memory and stored in one go; a larger one is spooled, in pieces of this
/// size.
const PIECE_BYTES: usize = 128 << 10;

/// Most messages of one APPEND: they are filed in one commit.
const MAX_MESSAGES: usize = MAX_ROWS_PER_COMMIT;

impl Session {
    /// Obeys an APPEND or REPLACE whose literal was announced, but not yet asked for.
    pub(super) async fn obey_append(&mut self, head: AppendHead, literal: LiteralHeader) -> Outcome<()> {
        let command = if head.replaces.is_some() { "replace" } else { "append" };
        metrics::counter!("holdfast_imap_commands_total", "command" => command).increment(1);
        let AppendHead { replaces, tag, mailbox: name, message } = head;
        let mut batch = Batch::default();
        match replaces.map(|replaces| self.replaced(replaces)).transpose() {
            Ok(replaces) => batch.replaces = replaces,
            Err(failure) => return self.refuse_literal(Some(tag), literal, failure),
        }
        let mut failed: Option<Failure> = None;
        let mut next = Some((message, literal));
        while let Some((message, literal)) = next.take() {
            let accepted = match failed.take() {
                Some(failure) => Err(failure),
                None => self.may_append(&name, &message, literal, &batch),
            };
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(failure @ (Failure::No(..) | Failure::Bad(..))) => {
                    return self.refuse_literal(Some(tag), literal, failure);
                }
                Err(failure) => return Err(failure),
            };
            if literal.synchronizing {
                self.wire.out.extend_from_slice(b"+ OK\r\n");
            }
            self.wire.flush().await?;
            match self.receive(literal).await? {
                Ok(received) => match self.read_message(received, accepted, &message).await {
                    Ok(staged) => batch.add(staged, literal.len),
                    Err(failure) => failed = Some(failure),
                },
                Err(failure) => failed = Some(failure),
            }
            match self.after_message(message.utf8).await? {
                Ok(more) => next = more,
                Err(failure) => failed = Some(failure),
            }
        }
        let outcome = match failed {
            Some(failure) => Err(failure),
            None => self.file(&name, batch).await,
        };
        if self.selected.is_some() {
            self.is_behind();
            self.tell_changes(true).await?;
        }
        self.answer(Some(tag), outcome)
    }

    /// Whether the next message may come, and with which flags: known before the client sends it.
    fn may_append(
        &self,
        name: &str,
        message: &AppendMessage,
        literal: LiteralHeader,
        batch: &Batch,
    ) -> Outcome<mailstore::Flags> {
        let realm = self.realm()?;
        self.target(name)?;
        let flags = super::store::flags(&message.flags)?;
        if message.utf8 && !self.enabled.utf8 {
            return Err(Failure::bad("ENABLE UTF8=ACCEPT first"));
        }
        let most = self.door.options.max_message_bytes;
        if literal.len > most {
            return Err(Failure::no(Code::TOO_BIG, format!("Message too large: the limit is {most} bytes")));
        }
        if batch.replaces.is_some() {
            // How much it leaves free is known when it is filed.
            let is_first = batch.messages.is_empty();
            return if is_first { Ok(flags) } else { Err(Failure::bad("REPLACE requires exactly one message")) };
        }
        if batch.messages.len() >= MAX_MESSAGES {
            return Err(Failure::no(
                Code::LIMIT,
                format!("Too many messages in one APPEND: the limit is {MAX_MESSAGES}"),
            ));
        }
        let quota = self.door.mailstore.quota(realm)?;
        let needed = batch.bytes.saturating_add(literal.len);
        if let Some(limit) = quota.limit_bytes
            && quota.used_bytes.saturating_add(needed) > limit
        {
            return Err(MailError::OverQuota { used: quota.used_bytes, limit, needed }.into());
        }
        Ok(flags)
    }

    /// Reads the literal. The inner error is told once the command has ended; the outer one ends the connection.
    async fn receive(&mut self, literal: LiteralHeader) -> Outcome<Outcome<Received>> {
        let len = literal.len;
        let mut left = len;
        let mut spool = if len > PIECE_BYTES as u64 { Spool::new(self).await } else { Ok(Spool::default()) };
        let mut piece = Vec::with_capacity(usize::try_from(len).unwrap_or(PIECE_BYTES).min(PIECE_BYTES));
        while left > 0 {
            if self.wire.buffered().is_empty() && self.fill().await? == 0 {
                return Err(Failure::Gone(std::io::ErrorKind::UnexpectedEof.into()));
            }
            let buffered = self.wire.buffered();
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(buffered.len());
            if !literal.binary && spool.is_ok() && buffered[..n].contains(&0) {
                let text = "The message has a NUL byte: send it as a binary literal ~{...}";
                spool = Err(Failure::no(Code::CANNOT, text));
            }
            if spool.is_ok() {
                piece.extend_from_slice(&buffered[..n]);
            }
            self.wire.consume(n);
            left -= n as u64;
            if len > PIECE_BYTES as u64
                && piece.len() >= PIECE_BYTES
                && let Ok(open) = spool
            {
                (spool, piece) = open.write(self, std::mem::take(&mut piece)).await;
            }
        }
        Ok(match spool {
            Err(failure) => Err(failure),
            Ok(Spool { writer: None }) => Ok(Received::Whole(piece)),
            Ok(open) => match open.write(self, piece).await {
                (Ok(Spool { writer: Some(writer) }), _) => Ok(Received::Spooled(writer)),
                (Ok(_), _) => Err(Failure::lost_job()),
                (Err(failure), _) => Err(failure),
            },
        })
    }

    /// Reads what follows a literal, after `)` if the message came in `UTF8 (...)`: the end of the command, or what is
    /// said of a further message. With an error of the inner kind the command is at its end, too.
    async fn after_message(&mut self, utf8: bool) -> Outcome<Outcome<Option<(AppendMessage, LiteralHeader)>>> {
        let mut start = self.frame.bytes().len();
        self.frame.resume();
        loop {
            let (used, progress) = match self.frame.feed(self.wire.buffered()) {
                Ok(step) => step,
                Err(error) => return Err(Failure::bye(error.to_string())),
            };
            self.wire.consume(used);
            if matches!(progress, Progress::More) {
                if self.fill().await? == 0 {
                    return Err(Failure::Gone(std::io::ErrorKind::UnexpectedEof.into()));
                }
                continue;
            }
            let is_closed = !utf8 || self.frame.bytes()[start..].starts_with(b")");
            start += usize::from(utf8 && is_closed);
            let rest = &self.frame.bytes()[start..];
            let missing = || Failure::bad("Syntax error: expected \")\" after the message");
            return match progress {
                Progress::Literal(literal) => match append_next(rest) {
                    Ok(next) if is_closed => Ok(Ok(Some((next, literal)))),
                    wrong => {
                        let failure =
                            wrong.map_or_else(|error| Failure::bad(format!("Syntax error: {error}")), |_| missing());
                        if literal.synchronizing {
                            self.frame.reset();
                        } else {
                            self.frame.discard(literal);
                        }
                        Ok(Err(failure))
                    }
                },
                _ => {
                    let is_empty = rest.trim_ascii().is_empty();
                    self.frame.reset();
                    Ok(match (is_closed, is_empty) {
                        (true, true) => Ok(None),
                        (false, _) => Err(missing()),
                        (true, false) => Err(Failure::bad(
                            "Syntax error: expected the end of the line or a further message after the message",
                        )),
                    })
                }
            };
        }
    }

    /// Stores and parses a message that has come; nothing refers to it yet.
    async fn read_message(
        &mut self,
        message: Received,
        flags: mailstore::Flags,
        words: &AppendMessage,
    ) -> Outcome<NewMessage> {
        let mailstore = self.door.mailstore.clone();
        // Reading a large message takes its size in memory: few at a time.
        let permit = match &message {
            Received::Whole(_) => None,
            Received::Spooled(_) => {
                let permit = Arc::clone(&self.door.large_messages).acquire_owned().await;
                Some(permit.map_err(|_| Failure::lost_job())?)
            }
        };
        let (body, parsed) = self
            .blocking(move || {
                let staged = message.stage(&mailstore);
                drop(permit);
                staged
            })
            .await?;
        Ok(NewMessage {
            body,
            parsed: Arc::new(parsed),
            flags,
            internal_date_ms: words.internal_date_ms.unwrap_or_else(|| Timestamp::now().as_millisecond()),
            delivery_key: None,
            ignore_quota: false,
        })
    }

    /// Files all messages or none; when it returns, they are durable.
    pub(super) async fn file(&mut self, name: &str, batch: Batch) -> Outcome {
        self.wire.check_end()?;
        let realm = self.realm()?;
        let mailbox = self.target(name)?;
        if let Some((from, replaced)) = batch.replaces {
            return self.file_replacement(mailbox, batch.messages, from, replaced).await;
        }
        let filed = match <[NewMessage; 1]>::try_from(batch.messages) {
            Ok([only]) => self.door.mailstore.append(realm, mailbox, only).await.map(|appended| vec![appended]),
            Err(several) => self.door.mailstore.append_all(realm, mailbox, several).await,
        };
        let filed = filed.map_err(|error| Failure::from(error).try_create())?;
        let validity = filed.first().map_or(0, |first| first.uid_validity);
        let uids = Ranges::from_sorted(filed.iter().map(|appended| appended.uid.0));
        Ok(Done::code(Code::AppendUid(validity, uids), "APPEND completed"))
    }
}

/// The messages of an APPEND that have come so far.
#[derive(Default)]
pub(super) struct Batch {
    /// The message that goes when the new one comes.
    pub(super) replaces: Option<(MailboxId, Uid)>,
    pub(super) messages: Vec<NewMessage>,
    pub(super) bytes: u64,
}

impl Batch {
    fn add(&mut self, message: NewMessage, bytes: u64) {
        self.messages.push(message);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// A message that has arrived.
enum Received {
    Whole(Vec<u8>),
    Spooled(Box<BodyWriter>),
}

impl Received {
    fn stage(self, mailstore: &MailStore) -> Result<(StagedBody, Parsed), MailError> {
        match self {
            Self::Whole(bytes) => Ok((mailstore.stage(&bytes)?, mailkit::parse(&bytes))),
            Self::Spooled(writer) => {
                let staged = writer.finish()?;
                let bytes = mailstore.read_staged(&staged)?;
                Ok((staged, mailkit::parse(&bytes)))
            }
        }
    }
}

/// Where a large message goes while it comes.
#[derive(Default)]
struct Spool {
    writer: Option<Box<BodyWriter>>,
}

impl Spool {
    async fn new(session: &Session) -> Outcome<Self> {
        let mailstore = session.door.mailstore.clone();
        let writer = session.blocking(move || mailstore.stage_writer()).await?;
        Ok(Self { writer: Some(Box::new(writer)) })
    }

    /// Writes a piece; its buffer comes back empty.
    async fn write(self, session: &Session, mut piece: Vec<u8>) -> (Outcome<Self>, Vec<u8>) {
        let Some(mut writer) = self.writer else { return (Ok(self), piece) };
        let written = session
            .blocking(move || {
                writer.write(&piece)?;
                piece.clear();
                Ok::<_, Failure>((writer, piece))
            })
            .await;
        match written {
            Ok((writer, piece)) => (Ok(Self { writer: Some(writer) }), piece),
            Err(failure) => (Err(failure), Vec::new()),
        }
    }
}
