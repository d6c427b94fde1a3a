//! What a relay holds, for its operator: mail that the primary refused for good, or that waits for it.
//!
//! Somebody was told 250 for each of these. They can be looked at, taken out as files, and given to the primary again.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use delivery::QueueId;
use store::StoreError;

use crate::{
    Error, Relay,
    spool::{self, GivenRecord},
    wire::{self, Letter},
};

/// Messages that one commit touches.
const AT_ONCE: usize = 500;

/// Which of the held messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// Those that the primary refused for good.
    Refused,
    /// Those that wait for the primary.
    Waiting,
}

/// A message that a relay holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldMessage {
    /// Its id.
    pub id: QueueId,
    /// The reverse-path; empty is the null sender.
    pub from: String,
    /// The forward-paths.
    pub recipients: Vec<String>,
    /// Its size.
    pub bytes: u64,
    /// When it came, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Why the primary refused it, and when; none if it waits.
    pub refused: Option<(String, i64)>,
}

impl HeldMessage {
    fn waiting(letter: Letter) -> Self {
        Self {
            id: QueueId(letter.id),
            from: letter.from,
            recipients: letter.recipients,
            bytes: letter.bytes,
            at_ms: letter.at_ms,
            refused: None,
        }
    }

    fn refused(record: GivenRecord) -> Self {
        Self { refused: Some((record.refused, record.at_ms)), ..Self::waiting(record.letter) }
    }
}

impl Relay {
    /// Up to `limit` of the held messages after `after`, by arrival. Blocking.
    ///
    /// # Errors
    /// Those of the store.
    pub fn held(&self, which: Holding, after: Option<QueueId>, limit: usize) -> Result<Vec<HeldMessage>, StoreError> {
        let snapshot = self.core.store.snapshot();
        let from = after.map_or(0, |after| after.0.saturating_add(1));
        Ok(match which {
            Holding::Waiting => {
                spool::waiting_from(&snapshot, from, limit)?.into_iter().map(HeldMessage::waiting).collect()
            }
            Holding::Refused => {
                spool::refused_from(&snapshot, from, limit)?.into_iter().map(HeldMessage::refused).collect()
            }
        })
    }

    /// Writes one of them into the folder as `ID.eml`: its envelope in `Return-Path` and `X-Envelope-To` fields, the
    /// relay's trace, and the message. An existing file is replaced by a whole one. Blocking.
    ///
    /// # Errors
    /// There is none with that id, or it can't be read or written.
    pub fn export(&self, id: QueueId, dir: &Path) -> Result<PathBuf, Error> {
        let snapshot = self.core.store.snapshot();
        let found = match spool::waiting(&snapshot, id.0)? {
            None => spool::given(&snapshot, id.0)?.map(|record| record.letter),
            some => some,
        };
        let letter = found.ok_or_else(|| Error::NotNow(format!("there is no message {id} here")))?;
        let named =
            |path: &Path, error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let (file, part) = (dir.join(format!("{id}.eml")), dir.join(format!("{id}.eml.part")));
        let mut out = io::BufWriter::new(std::fs::File::create(&part).map_err(|error| named(&part, error))?);
        let mut body = self.core.store.body(&spool::body_of(&letter)?)?;
        let mut write = || -> Result<(), Error> {
            write!(out, "Return-Path: <{}>\r\n", letter.from)?;
            for to in &letter.recipients {
                write!(out, "X-Envelope-To: {to}\r\n")?;
            }
            out.write_all(&letter.trace)?;
            let mut at = 0;
            while at < letter.bytes {
                let piece = body.read_range(at, wire::PIECE_BYTES)?;
                if piece.is_empty() {
                    return Err(io::Error::other("a message is shorter than it was").into());
                }
                at += piece.len() as u64;
                out.write_all(&piece)?;
            }
            out.flush()?;
            Ok(out.get_ref().sync_all()?)
        };
        write()?;
        std::fs::rename(&part, &file).map_err(|error| named(&file, error))?;
        Ok(file)
    }

    /// Has refused messages wait for the primary again. Returns how many of them there are.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn retry(&self, ids: Vec<QueueId>) -> Result<u64, Error> {
        let mut count = 0;
        for ids in ids.chunks(AT_ONCE) {
            let ids: Vec<u64> = ids.iter().map(|id| id.0).collect();
            let retried = self.core.store.transact(move |tx| {
                let refused = spool::only_refused(tx, &ids)?;
                spool::take_back_in(tx, &refused)
            });
            let items = retried.await?;
            count += items.len() as u64;
            {
                let mut given = self.core.given.lock();
                let mut agenda = self.core.agenda.lock();
                for item in items {
                    given.remove(item.id);
                    agenda.add(item);
                }
            }
            self.core.wake.notify_one();
        }
        tracing::info!(messages = count, "messages that the primary refused are given to it again");
        Ok(count)
    }

    /// Deletes refused messages. Returns how many of them there are.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn discard(&self, ids: Vec<QueueId>) -> Result<u64, Error> {
        let mut count = 0;
        for ids in ids.chunks(AT_ONCE) {
            let ids: Vec<u64> = ids.iter().map(|id| id.0).collect();
            let (core, gone) = (
                Arc::clone(&self.core),
                self.core.store.transact(move |tx| {
                    let refused = spool::only_refused(tx, &ids)?;
                    spool::forget_in(tx, &refused)?;
                    Ok::<_, StoreError>(refused)
                }),
            );
            let gone = gone.await?;
            count += gone.len() as u64;
            let mut given = core.given.lock();
            for id in gone {
                given.remove(id);
            }
        }
        tracing::info!(messages = count, "messages that the primary refused were deleted");
        Ok(count)
    }
}
