//! CATENATE (RFC 4469): messages assembled from client data and from parts of existing messages.

mod url;

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use mailkit::Parsed;
use mailstore::{MailError, MailStore, MessageRow, NewMessage, StagedBody};

use super::append::Batch;
use super::fetch::section::{Content, clip, content};
use super::{Session, outcome::Outcome};
use crate::failure::Failure;
use crate::response::Code;
use crate::syntax::{CatPart, Catenate, SectionText};

use url::MessageUrl;

/// Bytes copied at a time.
const PIECE_BYTES: usize = 128 << 10;
/// Largest header in which a URL can pick fields, in bytes.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// Where the bytes of a part come from.
enum Source {
    Bytes(Vec<u8>),
    Message(Box<MessageRow>, Range<u64>),
}

impl Source {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Message(_, range) => range.end - range.start,
        }
    }
}

impl Session {
    pub(super) async fn catenate(&mut self, catenate: Catenate) -> Outcome {
        let Catenate { replaces, mailbox, messages } = catenate;
        let mut batch = Batch::default();
        if let Some(replaces) = replaces {
            batch.replaces = Some(self.replaced(replaces)?);
        }
        // All that can be wrong is found before anything is written.
        self.target(&mailbox)?;
        let most = self.door.options.max_message_bytes;
        let mut all = Vec::new();
        for message in messages {
            let flags = super::store::flags(&message.words.flags)?;
            let mut sources = Vec::new();
            for part in message.parts {
                sources.push(match part {
                    CatPart::Text(bytes) => Source::Bytes(bytes),
                    CatPart::Url(url) => self.source(&url).await?,
                });
            }
            let bytes = sources.iter().map(Source::len).fold(0, u64::saturating_add);
            if bytes > most {
                return Err(Failure::no(Code::TOO_BIG, format!("Message too large: the limit is {most} bytes")));
            }
            all.push((flags, message.words.internal_date_ms, sources, bytes));
        }
        for (flags, date, sources, bytes) in all {
            let (body, parsed) = self.put_together(sources).await?;
            batch.bytes = batch.bytes.saturating_add(bytes);
            batch.messages.push(NewMessage {
                body,
                parsed: Arc::new(parsed),
                flags,
                internal_date_ms: date.unwrap_or_else(|| Timestamp::now().as_millisecond()),
                delivery_key: None,
                ignore_quota: false,
            });
        }
        self.file(&mailbox, batch).await
    }

    /// Stages and parses a message. Reading it takes its size in memory: few at a time.
    async fn put_together(&self, sources: Vec<Source>) -> Outcome<(StagedBody, Parsed)> {
        let permit = Arc::clone(&self.door.large_messages).acquire_owned().await.map_err(|_| Failure::lost_job())?;
        let mailstore = self.door.mailstore.clone();
        self.blocking(move || {
            let staged = copy(&mailstore, sources)?;
            let bytes = mailstore.read_staged(&staged)?;
            let parsed = mailkit::parse(&bytes);
            drop(permit);
            Ok::<_, Failure>((staged, parsed))
        })
        .await
    }

    /// What a URL names.
    async fn source(&self, text: &str) -> Outcome<Source> {
        let bad = |why: &'static str| Failure::no(Code::BadUrl(text.to_owned()), why);
        let url = MessageUrl::read(text).ok_or_else(|| bad("Not a URL of a message in this account"))?;
        let realm = self.realm()?;
        let mailbox = match &url.mailbox {
            Some(name) => {
                let name = mailstore::MailboxName::new(name).map_err(|_| bad("No such mailbox"))?;
                self.door.mailstore.mailbox_by_name(realm, &name)?
            }
            None => match &self.selected {
                Some(selected) => self.door.mailstore.mailbox(realm, selected.mailbox)?,
                None => None,
            },
        };
        let mailbox = mailbox.ok_or_else(|| bad("No such mailbox"))?;
        if url.uid_validity.is_some_and(|validity| validity != mailbox.uid_validity) {
            return Err(bad("UIDVALIDITY mismatch"));
        }
        let mailstore = self.door.mailstore.clone();
        let gone = || bad("No such message or part");
        let uid = url.uid;
        let rows = self.blocking(move || mailstore.rows(realm, mailbox.id, &[uid])).await?;
        let row = rows.into_iter().next().ok_or_else(gone)?;
        match content(&row.parsed, &url.section) {
            Content::Raw(range) => {
                let clipped = clip(range.end - range.start, url.partial);
                Ok(Source::Message(Box::new(row), range.start + clipped.start..range.start + clipped.end))
            }
            Content::Fields(range) => {
                let SectionText::Fields { not, names } = url.section.text else { return Err(gone()) };
                let mailstore = self.door.mailstore.clone();
                let end = range.end.min(range.start + MAX_HEADER_BYTES);
                let picked = self.blocking(move || {
                    let len = usize::try_from(end - range.start).unwrap_or_default();
                    let header = mailstore.body_of(&row.body)?.read_range(range.start, len)?;
                    Ok::<_, MailError>(mailkit::headers::select(&header, &names, not))
                });
                let picked = picked.await?;
                let clipped = clip(picked.len() as u64, url.partial);
                Ok(Source::Bytes(picked[clipped.start as usize..clipped.end as usize].to_vec()))
            }
            _ => Err(gone()),
        }
    }
}

/// Writes the parts one after the other.
fn copy(mailstore: &MailStore, sources: Vec<Source>) -> Outcome<StagedBody> {
    let mut writer = mailstore.stage_writer()?;
    for source in sources {
        match source {
            Source::Bytes(bytes) => writer.write(&bytes)?,
            Source::Message(row, mut range) => {
                let mut reader = mailstore.body_of(&row.body)?;
                while !range.is_empty() {
                    let len = usize::try_from(range.end - range.start).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
                    let piece = reader.read_range(range.start, len)?;
                    if piece.is_empty() {
                        return Err(Failure::no(Code::CORRUPTION, "Message data is incomplete"));
                    }
                    writer.write(&piece)?;
                    range.start += piece.len() as u64;
                }
            }
        }
    }
    Ok(writer.finish()?)
}
