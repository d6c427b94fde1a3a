//! The bytes of messages on their way in and out: what doors hold of them.

use std::io::{self, Write as _};

use bytes::Bytes;
use store::{BodyId, RealmId, StoreError};

use crate::schema::{self, EmailRecord, key};
use crate::{EmailId, MailError, MailStore, Result, rows};

/// The bytes of a message that are kept here and referred to by nothing yet: a commit that files the message keeps them,
/// otherwise they go with the last clone.
#[derive(Clone, Debug)]
pub struct StagedBody(pub(crate) store::StagedBody);

impl StagedBody {
    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<store::StagedBody> for StagedBody {
    fn from(staged: store::StagedBody) -> Self {
        Self(staged)
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
        Ok(StagedBody(self.0.finish()?))
    }
}

/// Reads the bytes of a message, from wherever it is wanted. Blocks for reading and decompression.
pub struct BodyReader(store::BodyReader);

impl BodyReader {
    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.0.len()
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
        Ok(self.0.read_range(offset, len)?)
    }

    /// All bytes.
    ///
    /// # Errors
    /// As [`Self::read_range`].
    pub fn read_all(&mut self) -> Result<Bytes> {
        Ok(self.0.read_all()?)
    }
}

impl io::Read for BodyReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl MailStore {
    /// Stage a message's bytes. They are kept when a commit refers to them; until then the [`StagedBody`] holds them.
    /// Blocks for hashing and compression.
    pub fn stage(&self, bytes: &[u8]) -> Result<StagedBody> {
        Ok(StagedBody(self.store().put_body(bytes)?))
    }

    /// Stage a message's bytes as they come, in constant memory: write, then `finish()`.
    pub fn stage_writer(&self) -> Result<BodyWriter> {
        Ok(BodyWriter(self.store().body_writer()?))
    }

    /// All bytes of a staged message.
    pub fn read_staged(&self, staged: &StagedBody) -> Result<Bytes> {
        Ok(self.store().body(&staged.0.id())?.read_all()?)
    }

    /// The bytes of a message, in ranges, verified against their name.
    ///
    /// # Errors
    /// [`MailError::NoSuchEmail`] if no mailbox has it any more.
    pub fn body(&self, account: RealmId, email: EmailId) -> Result<BodyReader> {
        let record: EmailRecord = schema::load(&self.store().snapshot(), account, &key::email(email))?
            .ok_or(MailError::NoSuchEmail(email))?;
        self.body_of(&rows::body_id(email, &record)?)
    }

    /// The bytes of a message whose row is at hand: as [`Self::body`] with one look-up less. They can be read for some
    /// days after the message was expunged.
    pub fn body_of(&self, body: &BodyId) -> Result<BodyReader> {
        Ok(BodyReader(self.store().body(body)?))
    }
}
