//! A queued message on its way to a server: as it is, or converted to what the server takes.
//!
//! A signature covers the message as it goes out. So our own is made again after a conversion; those of others, in mail that is only
//! passed on, do not survive one, which is why nothing is converted that need not be.

use bytes::Bytes;
use mailkit::narrow::{self, Unconvertible};

use crate::head::Head;
use crate::outbound::Reply;
use crate::outbound::attempt::Openable;
use crate::outbound::connection::MessageSource;
use crate::schema::MessageRecord;
use crate::source::{QueuedBody, read_all};
use crate::{Delivery, queue};

/// A queued message.
pub struct Outgoing {
    delivery: Delivery,
    record: MessageRecord,
    body: QueuedBody,
}

impl Outgoing {
    /// The message of a record that is signed.
    pub fn new(delivery: Delivery, record: MessageRecord, body: QueuedBody) -> Self {
        Self { delivery, record, body }
    }
}

#[async_trait::async_trait]
impl Openable for Outgoing {
    fn open(&self) -> Box<dyn MessageSource + '_> {
        self.body.open()
    }

    async fn converted(&self, seven_bit: bool) -> Result<Option<Bytes>, Reply> {
        let unreadable = || Reply::new(451, "4.3.0 the message can't be read at the moment");
        let _permit = self.delivery.permit(self.record.body_bytes).await;
        let (delivery, record) = (self.delivery.clone(), self.record.clone());
        let converting = tokio::task::spawn_blocking(move || {
            let read = queue::body_id(&record).and_then(|id| read_all(&delivery.inner.store, &id));
            let bytes = read.map_err(|error| {
                tracing::error!(%error, "could not read a queued message");
                unreadable()
            })?;
            let message = bytes.get(record.skip_bytes as usize..).unwrap_or_default();
            match narrow::converted(message, seven_bit) {
                Ok(None) => Ok(None),
                Ok(Some(converted)) => with_lead(&delivery, &record, &converted).map(Some),
                Err(why) => Err(refusal(seven_bit, why)),
            }
        });
        converting.await.map_err(|_| unreadable())?
    }
}

/// The converted message with what goes above it.
fn with_lead(delivery: &Delivery, record: &MessageRecord, converted: &[u8]) -> Result<Bytes, Reply> {
    let signatures = if record.signatures.is_empty() {
        Vec::new()
    } else {
        let signed = delivery.sign(&Head::read(converted, &delivery.inner.options.hostname).from, converted);
        if signed.later {
            return Err(Reply::new(451, "4.7.5 the message can't be signed at the moment"));
        }
        signed.lines
    };
    Ok([&signatures, record.trace.as_slice(), converted].concat().into())
}

/// In the words of the sender's report.
pub fn refusal(seven_bit: bool, why: Unconvertible) -> Reply {
    let lacks = if seven_bit {
        "the receiving server only takes 7-bit messages (it lacks 8BITMIME)"
    } else {
        "the message has lines of more than 998 characters, which mail servers don't take"
    };
    Reply::new(554, format!("5.6.3 {lacks}, and it can't be converted: {why}"))
}
