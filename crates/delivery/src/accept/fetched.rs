//! Mail that an account fetches from elsewhere and wants to have filed by its rules, as if it had come to us.

use std::sync::Arc;

use store::{StoreError, Tx};

use super::Incoming;
use crate::dispatch::Dispatched;
use crate::{AtRelay, Delivery, Envelope, Notify, Origin, Recipient, Refusal, Result};

impl Delivery {
    /// Start receiving a message that an account has fetched. Who gave it to the server elsewhere is not known: its sender is not
    /// checked, no report and no reply is sent about it. `at_ms` is its INTERNALDATE.
    ///
    /// # Errors
    /// As [`Self::incoming`]; the account does not exist.
    pub fn incoming_fetched(&self, account: directory::AccountId, at_ms: i64) -> Result<Incoming> {
        let Some(known) = self.inner.directory.account(account)? else {
            return Err(Refusal::unavailable().into());
        };
        let recipient = Recipient { notify: Notify::NEVER, ..Recipient::new(known.address) };
        let origin = Origin { lmtp: true, esmtp: true, relay: Some(AtRelay::default()), ..Origin::default() };
        let envelope = Envelope {
            from: None,
            recipients: vec![recipient],
            ret: None,
            envid: None,
            body_8bit: true,
            smtputf8: false,
            require_tls: false,
            origin,
        };
        let mut incoming = self.incoming_by(envelope, None)?;
        incoming.at_ms = at_ms;
        Ok(incoming)
    }
}

impl Incoming {
    /// [`Self::finish`] for a fetched message, in one commit with `also`; if that gives false, only what it writes is written. What
    /// the judges refuse goes to Junk with the reason. Whether it was filed.
    ///
    /// # Errors
    /// On any error nothing was accepted, nor written by `also`.
    pub async fn finish_fetched<F>(mut self, also: F) -> Result<bool>
    where
        F: Fn(&mut Tx<'_>) -> Result<bool, StoreError> + Send + Sync + 'static,
    {
        let delivery = self.delivery.clone();
        self.look_at_the_head()?;
        let (whole, verdicts) = self.judged().await?;
        let dispatch = self.prepared(whole, verdicts).await?;
        let filed = delivery
            .commit_dispatch(Arc::clone(&dispatch), move |tx, dispatch_in| {
                if !also(tx)? {
                    return Ok((false, Vec::new()));
                }
                let Dispatched { hints, .. } = dispatch_in(tx)?;
                Ok((true, hints))
            })
            .await?;
        if filed {
            metrics::counter!("holdfast_delivery_accepted_total").increment(1);
        }
        Ok(filed)
    }
}
