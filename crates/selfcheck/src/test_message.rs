//! A message to oneself, by the way that mail takes.

use std::net::IpAddr;

use delivery::{Envelope, Origin, Recipient, RecipientOutcome, Refusal};
use directory::AccountId;
use mailkit::parse;

use crate::{Result, Selfcheck};

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrived {
    /// It is in these mailboxes.
    In(Vec<String>),
    /// It was taken, and is in no mailbox: it was sent on without a copy, deleted by a rule, or it is gone already.
    Nowhere,
    /// It waits: the mailbox is full, or the service is busy.
    Waits,
    /// It was refused, with this reason.
    Refused(String),
}

impl Arrived {
    /// For programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::In(_) => "arrived",
            Self::Nowhere => "nowhere",
            Self::Waits => "waits",
            Self::Refused(_) => "refused",
        }
    }
}

impl Selfcheck {
    /// Sends a message from the account to itself, and looks where it is.
    ///
    /// # Errors
    /// Those of reading; what delivery refuses is no error.
    pub async fn send_test(&self, id: AccountId, peer: Option<IpAddr>) -> Result<Arrived> {
        let account = self.account(id)?;
        let address = account.address.clone();
        let message_id = format!("{}@{}", hex::encode(rand::random::<[u8; 12]>()), self.directory.hostname());
        let date = mailkit::date::format(self.directory.now_ms());
        let text = format!(
            "From: <{address}>\r\nTo: <{address}>\r\nSubject: Test message\r\nDate: {date}\r\nMessage-ID: <{message_id}>\r\n\
             MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
             This message was sent to test your account. You can delete it.\r\n"
        );
        let envelope = Envelope {
            from: Some(address.clone()),
            recipients: vec![Recipient::new(address)],
            ret: None,
            envid: None,
            body_8bit: false,
            smtputf8: account.address.needs_smtputf8(),
            require_tls: false,
            origin: Origin { peer, auth: Some(id), ..Origin::default() },
        };
        let accepted = match self.delivery.accept(envelope, text.as_bytes()).await {
            Ok(accepted) => accepted,
            Err(delivery::DeliveryError::Refused(refusal)) => return Ok(refused(&refusal)),
            Err(error) => return Err(error.into()),
        };
        match accepted.recipients.first() {
            Some(RecipientOutcome::Filed(_)) => {}
            Some(RecipientOutcome::Refused(refusal)) => return Ok(refused(refusal)),
            Some(RecipientOutcome::Queued) | None => return Ok(Arrived::Waits),
        }
        let sent = parse(text.as_bytes());
        let Some(thread) = self.mailstore.thread_of(id.realm(), &sent)? else { return Ok(Arrived::Nowhere) };
        let places = self.mailstore.thread_places(id.realm(), thread)?;
        let mailboxes = self.mailstore.mailboxes(id.realm())?;
        let mut names: Vec<String> = mailboxes
            .iter()
            .filter(|mailbox| places.iter().any(|(place, _)| *place == mailbox.id))
            .map(|mailbox| mailbox.name.to_string())
            .collect();
        names.dedup();
        Ok(if names.is_empty() { Arrived::Nowhere } else { Arrived::In(names) })
    }
}

fn refused(refusal: &Refusal) -> Arrived {
    Arrived::Refused(refusal.text.clone())
}
