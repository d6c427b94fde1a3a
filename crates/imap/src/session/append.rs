//! APPEND (RFC 9051 section 6.3.12): the message goes to the store as it comes.

use std::io::Write;
use std::sync::Arc;

use jiff::Timestamp;
use mailkit::Parsed;
use mailstore::{BodyWriter, MailError, MailStore, MailboxId, NewMessage, StagedBody};

use super::{Done, Outcome, Session};
use crate::failure::Failure;
use crate::response::Code;
use crate::syntax::{AppendHead, LiteralHeader, Progress};

/// Up to this size a message is gathered in memory and stored in one go; a larger one is spooled, in pieces of this
/// size.
const PIECE_BYTES: usize = 128 << 10;

impl Session {
    /// Obeys an APPEND whose literal was announced, but not yet asked for.
    pub(super) async fn obey_append(&mut self, head: AppendHead, literal: LiteralHeader) -> Outcome<()> {
        metrics::counter!("holdfast_imap_commands_total", "command" => "append").increment(1);
        let tag = head.tag.clone();
        let (mailbox, flags) = match self.may_append(&head, literal) {
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
        let received = self.receive(literal.len).await?;
        let outcome = match self.end_of_append(&head).await? {
            Ok(()) => match received {
                Ok(message) => self.file(message, mailbox, flags, head.internal_date_ms).await,
                Err(failure) => Err(failure),
            },
            Err(failure) => Err(failure),
        };
        if self.selected.is_some() {
            self.is_behind();
            self.tell_changes(true)?;
        }
        self.answer(Some(tag), outcome)
    }

    /// Whether and where the message may go: known before the client sends it.
    fn may_append(&self, head: &AppendHead, literal: LiteralHeader) -> Outcome<(MailboxId, mailstore::Flags)> {
        let realm = self.realm()?;
        let mailbox = self.target(&head.mailbox)?;
        let flags = super::store::flags(&head.flags)?;
        if head.utf8 && !self.enabled.utf8 {
            return Err(Failure::bad("ENABLE UTF8=ACCEPT first"));
        }
        let most = self.door.options.max_message_bytes;
        if literal.len > most {
            return Err(Failure::no(Code::TOO_BIG, format!("A message may have at most {most} bytes")));
        }
        let quota = self.door.mailstore.quota(realm)?;
        if let Some(limit) = quota.limit_bytes
            && quota.used_bytes.saturating_add(literal.len) > limit
        {
            return Err(MailError::OverQuota { used: quota.used_bytes, limit, needed: literal.len }.into());
        }
        Ok((mailbox, flags))
    }

    /// Reads the literal. The inner error is told once the command has ended; the outer one ends the connection.
    async fn receive(&mut self, len: u64) -> Outcome<Outcome<Received>> {
        let mut left = len;
        let mut spool = if len > PIECE_BYTES as u64 { Spool::new(self).await } else { Ok(Spool::default()) };
        let mut piece = Vec::with_capacity(usize::try_from(len).unwrap_or(PIECE_BYTES).min(PIECE_BYTES));
        while left > 0 {
            if self.wire.buffered().is_empty() && self.fill().await? == 0 {
                return Err(Failure::Gone(std::io::ErrorKind::UnexpectedEof.into()));
            }
            let buffered = self.wire.buffered();
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(buffered.len());
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

    /// Reads what follows the literal: the end of the line, after `)` if the message came in `UTF8 (...)`.
    async fn end_of_append(&mut self, head: &AppendHead) -> Outcome<Outcome<()>> {
        let start = self.frame.bytes().len();
        self.frame.resume();
        loop {
            let (used, progress) = match self.frame.feed(self.wire.buffered()) {
                Ok(step) => step,
                Err(error) => return Err(Failure::bye(error.to_string())),
            };
            self.wire.consume(used);
            match progress {
                Progress::More => {
                    if self.fill().await? == 0 {
                        return Err(Failure::Gone(std::io::ErrorKind::UnexpectedEof.into()));
                    }
                }
                Progress::Complete => {
                    let rest = String::from_utf8_lossy(&self.frame.bytes()[start..]).trim_end().to_owned();
                    self.frame.reset();
                    let wanted = if head.utf8 { ")" } else { "" };
                    if rest == wanted {
                        return Ok(Ok(()));
                    }
                    let wanted = if head.utf8 { "\")\" and the end of the line" } else { "the end of the line" };
                    return Ok(Err(Failure::bad(format!("Syntax error: expected {wanted} after the message"))));
                }
                Progress::Literal(more) => {
                    if more.synchronizing {
                        self.frame.reset();
                    } else {
                        self.frame.discard(more);
                    }
                    return Ok(Err(Failure::bad("One APPEND takes one message")));
                }
            }
        }
    }

    /// Stores, reads and files the message; when it returns, the message is durable.
    async fn file(
        &mut self,
        message: Received,
        mailbox: MailboxId,
        flags: mailstore::Flags,
        internal_date_ms: Option<i64>,
    ) -> Outcome {
        let realm = self.realm()?;
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
        let message = NewMessage {
            body,
            parsed: Arc::new(parsed),
            flags,
            internal_date_ms: internal_date_ms.unwrap_or_else(|| Timestamp::now().as_millisecond()),
            delivery_key: None,
            ignore_quota: false,
        };
        let appended = self
            .door
            .mailstore
            .append(realm, mailbox, message)
            .await
            .map_err(|error| Failure::from(error).try_create())?;
        Ok(Done::code(Code::AppendUid(appended.uid_validity, appended.uid.0), "APPEND completed"))
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
                let bytes = mailstore.store().body(&staged.id())?.read_all()?;
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
                writer.write_all(&piece).map_err(Failure::not_stored)?;
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
