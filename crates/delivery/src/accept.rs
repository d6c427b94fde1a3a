//! How mail comes in: from the envelope to the durable commit.

use std::io;

use directory::AccountId;
use mailkit::EmailAddress;

use crate::{Delivery, Envelope, QueueId, Refusal, Result};

/// Where a recipient's mail goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientRoute {
    /// Into an account here.
    Local(AccountId),
    /// To another server.
    Remote,
}

/// What became of one recipient of an accepted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientOutcome {
    /// In the recipient's mailbox, durably.
    Filed(AccountId),
    /// In the queue, durably.
    Queued,
    /// Not taken. The sender is told by a report, unless all recipients failed (then [`Incoming::finish`] fails).
    Failed(Refusal),
}

/// A message that was taken: it is durable, and responsibility for it is ours.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// What it is known by.
    pub id: QueueId,
    /// One outcome per recipient of the envelope, in its order.
    pub recipients: Vec<RecipientOutcome>,
}

/// A message on its way in: write its bytes (as they came, dots unstuffed), then [`Incoming::finish`].
/// Dropping it takes nothing.
pub struct Incoming {
    _todo: (),
}

impl Delivery {
    /// Whether mail from `from`'s session to `address` is taken, and where it would go. For RCPT TO. A quick read.
    pub fn rcpt(&self, address: &EmailAddress, auth: Option<AccountId>) -> Result<RecipientRoute, Refusal> {
        let _ = (address, auth);
        todo!()
    }

    /// Whether the sender is acceptable: a signed-in one must own the address. For MAIL FROM. A quick read.
    pub fn mail_from(&self, from: Option<&EmailAddress>, auth: Option<AccountId>) -> Result<(), Refusal> {
        let _ = (from, auth);
        todo!()
    }

    /// What the bare recipient `<postmaster>` stands for (RFC 5321 §4.1.1.3); `None` while there is no domain.
    pub fn postmaster(&self) -> Option<EmailAddress> {
        todo!()
    }

    /// Begin to take a message. `extra_headers`: complete header lines with CRLF that the door puts above the
    /// message, such as Authentication-Results; the Received line is made here.
    pub fn incoming(&self, envelope: Envelope, extra_headers: &[u8]) -> Result<Incoming> {
        let _ = (envelope, extra_headers);
        todo!()
    }

    /// Take a message that is in memory: [`Self::incoming`] for callers without a stream.
    pub async fn accept(&self, envelope: Envelope, message: &[u8]) -> Result<Accepted> {
        let mut incoming = self.incoming(envelope, b"")?;
        io::Write::write_all(&mut incoming, message)?;
        incoming.finish().await
    }
}

impl Incoming {
    /// What the message will be known by.
    pub fn id(&self) -> QueueId {
        todo!()
    }

    /// File it to all local recipients and queue it for the others, in one commit. When it returns Ok the message is
    /// durable; on any error nothing was taken.
    pub async fn finish(self) -> Result<Accepted> {
        todo!()
    }
}

impl io::Write for Incoming {
    /// Blocks for disk only when a message outgrows memory ([`crate::MAX_IN_MEMORY_BYTES`]).
    /// Fails when the message is larger than `max_message_bytes`; read the rest of it, then call `finish`, which
    /// gives the refusal.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
