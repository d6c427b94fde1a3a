//! A relay: mail is taken for accounts on another machine, and kept for them.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use directory::AccountId;
use mailkit::EmailAddress;
use store::{StagedBody, StoreError, Tx};

use super::{Accepted, Incoming, Whole};
use crate::dispatch::RecipientOutcome;
use crate::{Envelope, QueueId, Refusal, Result};

/// Stands in for the accounts on a machine that has none.
pub trait Elsewhere: Send + Sync + 'static {
    /// Whether mail to that address is taken. A quick read.
    ///
    /// # Errors
    /// What the other machine would say at RCPT TO, or that it is not known now.
    fn rcpt(&self, address: &EmailAddress) -> Result<(), Refusal>;

    /// The address for the bare recipient `<postmaster>`.
    fn postmaster(&self) -> Option<EmailAddress>;

    /// Whether a domain, in ASCII and lower case, is one of the other machine's.
    fn is_ours(&self, domain: &str) -> bool;

    /// Who signs in to send mail, by a password that the other machine has allowed here. Slow, and blocking.
    ///
    /// # Errors
    /// The reply to AUTH: the password is wrong, or nobody signs in here now.
    fn sign_in(&self, login: &str, password: &str, peer: IpAddr) -> Result<SignedIn, Refusal> {
        let _ = (login, password, peer);
        Err(Refusal::new(454, (4, 7, 0), "Temporary authentication failure: nobody signs in here"))
    }

    /// Whether an account may send as that address.
    fn may_send_as(&self, account: AccountId, from: &EmailAddress) -> bool {
        let _ = (account, from);
        false
    }

    /// The largest message that the other machine takes, where that is known.
    fn max_message_bytes(&self) -> Option<u64>;

    /// Keeps a message: all of it is in this commit, or nothing.
    ///
    /// # Errors
    /// Those of the store.
    fn keep_in(&self, tx: &mut Tx<'_>, message: &Kept) -> Result<(), StoreError>;

    /// The message is durable.
    fn kept(&self, message: &Kept);
}

/// Somebody who signed in on a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The account on the other machine.
    pub account: AccountId,
    /// What proves it there: which password it was.
    pub proof: Bytes,
}

/// A message that is kept for another machine.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its id: ascending, never given twice on this machine.
    pub id: QueueId,
    /// Sender, recipients, and where it came from.
    pub envelope: Envelope,
    /// When it came, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// The Received line made here, to be put above it.
    pub trace: Bytes,
    /// What the judges found out about it here: it travels with the message.
    pub findings: Bytes,
    /// Its bytes.
    pub body: StagedBody,
}

impl Incoming {
    /// Keeps the message for the other machine: it is durable when this returns.
    pub(super) async fn keep(self, whole: Whole, findings: Bytes, elsewhere: Arc<dyn Elsewhere>) -> Result<Accepted> {
        let Self { delivery, envelope, id, at_ms, trace, held, received_bytes, .. } = self;
        let store = delivery.inner.store.clone();
        let permit = delivery.permit(received_bytes).await;
        let body = tokio::task::spawn_blocking(move || match whole.staged {
            Some(body) => Ok(body),
            None => store.put_body(&whole.spooled.read_all()?).map_err(crate::DeliveryError::from),
        });
        let body = body.await.map_err(|_| Refusal::unavailable())??;
        drop((permit, held));
        let message = Arc::new(Kept { id, envelope, at_ms, trace, findings, body });
        let (what, store) = (Arc::clone(&message), delivery.inner.store.clone());
        // To its end even if the client goes: what is durable must be known.
        let keeping = tokio::spawn(async move {
            let (keeper, whole) = (Arc::clone(&elsewhere), Arc::clone(&what));
            store.transact(move |tx| keeper.keep_in(tx, &whole)).await?;
            elsewhere.kept(&what);
            Ok::<_, StoreError>(())
        });
        keeping.await.map_err(|_| Refusal::unavailable())??;
        metrics::counter!("holdfast_delivery_accepted_total").increment(1);
        let recipients = message.envelope.recipients.len();
        tracing::info!(%id, recipients, bytes = message.body.len(), "kept for the primary");
        Ok(Accepted { id, recipients: vec![RecipientOutcome::Queued; recipients] })
    }
}
