//! The bytes of messages on their way in and out: what doors hold of them.
//!
//! A message is a prefix (header lines that a delivery here put above it) and a body, which other copies may share. Both
//! are joined here and nowhere else: all readers of a message see one run of bytes.

use std::io::{self, Write as _};

use bytes::Bytes;
use store::{BodyId, RealmId, StoreError};

use crate::schema::{self, EmailRecord, key};
use crate::{EmailId, MailError, MailStore, Result, rows};

/// Longest prefix of a message, in bytes. It lies in the message's record, beside what was parsed.
pub const MAX_PREFIX_BYTES: usize = 64 * 1024;

/// Where the bytes of a stored message are: its prefix, and the name of its body. For [`MailStore::body_of`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyRef {
    pub(crate) prefix: Bytes,
    pub(crate) id: BodyId,
}

impl BodyRef {
    /// The header lines that were put above the message here.
    pub fn prefix(&self) -> &Bytes {
        &self.prefix
    }

    /// The name of the body below them: its BLAKE3 hash.
    pub fn name(&self) -> &[u8; 32] {
        self.id.as_bytes()
    }
}

/// The bytes of a message that are kept here and referred to by nothing yet: a commit that files the message keeps them,
/// otherwise they go with the last clone.
#[derive(Clone, Debug)]
pub struct StagedBody {
    pub(crate) prefix: Bytes,
    pub(crate) body: store::StagedBody,
}

impl StagedBody {
    /// How many bytes there are, the prefix included.
    pub fn len(&self) -> u64 {
        self.prefix.len() as u64 + self.body.len()
    }

    /// The name of the body below the prefix: its BLAKE3 hash.
    pub fn name_of_body(&self) -> [u8; 32] {
        *self.body.id().as_bytes()
    }

    /// The same body with `prefix` before it: complete header lines. What is parsed of the message has to be parsed of
    /// both.
    ///
    /// # Errors
    /// [`MailError::TooLarge`] above [`MAX_PREFIX_BYTES`].
    pub fn under(self, prefix: Bytes) -> Result<Self> {
        if prefix.len() > MAX_PREFIX_BYTES {
            return Err(MailError::TooLarge {
                what: "the header lines above a message",
                limit: MAX_PREFIX_BYTES as u64,
            });
        }
        Ok(Self { prefix, body: self.body })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<store::StagedBody> for StagedBody {
    fn from(staged: store::StagedBody) -> Self {
        Self { prefix: Bytes::new(), body: staged }
    }
}

/// The bytes of a message as they come, in constant memory.
pub struct BodyWriter(store::BodyWriter);

impl BodyWriter {
    /// Adds bytes. Blocks for hashing and compression.
    ///
    /// # Errors
    /// [`MailError::Store`]: the disk is full, or failed.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.0.write_all(bytes);
        Ok(written.map_err(|error| error.downcast().unwrap_or_else(StoreError::io("a message")))?)
    }

    /// The end.
    ///
    /// # Errors
    /// [`MailError::Store`]; nothing is kept then.
    pub fn finish(self) -> Result<StagedBody> {
        Ok(self.0.finish()?.into())
    }
}

/// Reads the bytes of a message, from wherever it is wanted. Blocks for reading and decompression.
pub struct BodyReader {
    prefix: Bytes,
    body: store::BodyReader,
    /// How much of the prefix [`io::Read`] gave out.
    read: usize,
}

impl BodyReader {
    /// How many bytes there are, the prefix included.
    pub fn len(&self) -> u64 {
        self.prefix.len() as u64 + self.body.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `len` bytes from `offset`; fewer at the end.
    ///
    /// # Errors
    /// [`MailError::Store`]: what is stored is damaged or can't be read.
    pub fn read_range(&mut self, offset: u64, len: usize) -> Result<Bytes> {
        let above = self.prefix.len() as u64;
        if offset >= above {
            return Ok(self.body.read_range(offset - above, len)?);
        }
        // Within the prefix, so it fits.
        let head = self.prefix.slice(offset as usize..);
        if len <= head.len() {
            return Ok(head.slice(..len));
        }
        let rest = self.body.read_range(0, len - head.len())?;
        Ok(joined(&head, &rest))
    }

    /// All bytes.
    ///
    /// # Errors
    /// As [`Self::read_range`].
    pub fn read_all(&mut self) -> Result<Bytes> {
        let body = self.body.read_all()?;
        Ok(if self.prefix.is_empty() { body } else { joined(&self.prefix, &body) })
    }
}

fn joined(head: &[u8], rest: &[u8]) -> Bytes {
    [head, rest].concat().into()
}

impl io::Read for BodyReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = &self.prefix[self.read..];
        if left.is_empty() {
            return self.body.read(buf);
        }
        let count = left.len().min(buf.len());
        buf[..count].copy_from_slice(&left[..count]);
        self.read += count;
        Ok(count)
    }
}

impl MailStore {
    /// Stage a message's bytes. They are kept when a commit refers to them; until then the [`StagedBody`] holds them.
    /// Blocks for hashing and compression.
    pub fn stage(&self, bytes: &[u8]) -> Result<StagedBody> {
        Ok(self.store().put_body(bytes)?.into())
    }

    /// Stage a message's bytes as they come, in constant memory: write, then `finish()`.
    pub fn stage_writer(&self) -> Result<BodyWriter> {
        Ok(BodyWriter(self.store().body_writer()?))
    }

    /// All bytes of a staged message.
    pub fn read_staged(&self, staged: &StagedBody) -> Result<Bytes> {
        self.body_of(&BodyRef { prefix: staged.prefix.clone(), id: staged.body.id() })?.read_all()
    }

    /// The bytes of a message, in ranges, verified against their name.
    ///
    /// # Errors
    /// [`MailError::NoSuchEmail`] if no mailbox has it any more.
    pub fn body(&self, account: RealmId, email: EmailId) -> Result<BodyReader> {
        let record: EmailRecord = schema::load(&self.store().snapshot(), account, &key::email(email))?
            .ok_or(MailError::NoSuchEmail(email))?;
        self.body_of(&rows::body_ref(email, &record)?)
    }

    /// The bytes of a message whose row is at hand: as [`Self::body`] with one look-up less. They can be read for some
    /// days after the message was expunged.
    pub fn body_of(&self, body: &BodyRef) -> Result<BodyReader> {
        Ok(BodyReader { prefix: body.prefix.clone(), body: self.store().body(&body.id)?, read: 0 })
    }
}
