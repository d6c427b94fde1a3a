//! Adding an address: someone there is asked first.

use directory::{Account, AccountId};
use mailkit::{EmailAddress, NamedAddress, compose::Draft};
use prost::Message as _;
use rand::RngExt as _;
use store::{BodyId, Tx};

use super::{
    CONFIRM_WITHIN, DAY_MS, MAX_CONFIRMATIONS_PER_DAY, MAX_FORWARD_TARGETS, OPTIONS, OptionsRecord, TargetRecord, load,
    records, target_key,
};
use crate::hint::Hint;
use crate::schema::{LOCAL_DESTINATION, LegId, LegRecord, MessageRecord, RecipientRecord, notify_bits};
use crate::{Delivery, DeliveryError, Notify, Result, queue};

/// What a code is made of: bytes of chance.
const CODE_BYTES: usize = 20;

/// What became of an address that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A confirmation was sent there.
    Sent,
    /// It was confirmed before, and had been paused: mail is forwarded again.
    Resumed,
    /// Mail is forwarded there already.
    Already,
}

/// Why an address is not added.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// It is the account's own.
    #[error("{0} is an address of this account")]
    Own(EmailAddress),
    /// There are as many as there can be.
    #[error("mail can be forwarded to {MAX_FORWARD_TARGETS} addresses: remove one first")]
    TooMany,
    /// Enough confirmations were sent today.
    #[error("{MAX_CONFIRMATIONS_PER_DAY} confirmations were sent today: try again tomorrow")]
    TooOften,
    /// It failed.
    #[error(transparent)]
    Failed(#[from] DeliveryError),
}

impl From<store::StoreError> for ForwardError {
    fn from(error: store::StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl Delivery {
    /// Has the account's mail forwarded to `address` too, once someone there has confirmed it. Asking again sends another
    /// confirmation, and the one before counts no longer.
    ///
    /// # Errors
    /// [`ForwardError`]; nothing was sent.
    pub async fn add_forward(&self, account: AccountId, address: &EmailAddress) -> Result<Asked, ForwardError> {
        if self.lookup(address).ok().flatten() == Some(account) {
            return Err(ForwardError::Own(address.clone()));
        }
        let Some(owner) = self.inner.directory.account(account).map_err(DeliveryError::from)? else {
            return Err(
                DeliveryError::from(directory::DirectoryError::NoSuchAccount(format!("number {}", account.0))).into()
            );
        };
        self.allowance(account).map_err(DeliveryError::from)?;
        let code: [u8; CODE_BYTES] = rand::rng().random();
        let code: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
        let this = self.clone();
        let (to, link) =
            (address.clone(), format!("https://{}/forwarding?code={}-{code}", self.inner.options.hostname, account.0));
        let mail = tokio::task::spawn_blocking(move || this.confirmation(&owner, &to, &link));
        let mail = mail.await.map_err(|_| DeliveryError::from(crate::Refusal::unavailable()))??;
        let (this, address) = (self.clone(), address.clone());
        let done = self.inner.store.transact(move |tx| {
            let asked = ask_in(tx, account, &address, &code)?;
            if asked != Asked::Sent {
                return Ok((asked, None));
            }
            // The one who has it sent answers for it.
            queue::enqueue_in(tx, mail.id, mail.record.clone(), vec![mail.leg.clone()])?;
            Ok::<_, ForwardError>((asked, Some(mail.hint())))
        });
        let (asked, hint) = done.await?;
        this.hint(&hint.into_iter().collect::<Vec<_>>());
        tracing::info!(account = account.0, ?asked, "forwarding was asked for");
        Ok(asked)
    }

    /// The account's and the other address that a code stands for, while it is good. `None` for any other text: no answer
    /// tells more.
    ///
    /// # Errors
    /// Those of reading.
    pub fn forward_of_code(&self, code: &str) -> Result<Option<(EmailAddress, EmailAddress)>> {
        let Some((account, hash)) = parts(code) else { return Ok(None) };
        let Some(owner) = self.inner.directory.account(account)? else { return Ok(None) };
        let found = by_code(&self.inner.store.snapshot(), account, &hash, self.now_ms())?;
        let target = found.and_then(|record| EmailAddress::parse(&record.address).ok());
        Ok(target.map(|target| (owner.address, target)))
    }

    /// Someone at the other address has agreed: mail is forwarded there from now on. False if the code is not good (any
    /// longer). The same code again changes nothing.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn confirm_forward(&self, code: &str) -> Result<bool> {
        let Some((account, hash)) = parts(code) else { return Ok(false) };
        let Some(owner) = self.inner.directory.account(account)? else { return Ok(false) };
        let confirmed = self.inner.store.transact(move |tx| {
            let now_ms = tx.now_ms();
            let Some(mut record) = by_code(tx, account, &hash, now_ms)? else { return Ok(None) };
            let address = EmailAddress::parse(&record.address).map_err(|_| super::damaged())?;
            let is_new = record.confirmed_ms == 0;
            if is_new {
                record.confirmed_ms = now_ms;
                tx.put(account.realm(), target_key(&address), record.encode_to_vec());
            }
            Ok::<_, DeliveryError>(Some((address, is_new)))
        });
        let Some((address, is_new)) = confirmed.await? else { return Ok(false) };
        if is_new && let Err(error) = self.tell_of_forwarding(&owner, &address).await {
            tracing::warn!(account = account.0, %error, "could not tell an account that its mail is forwarded");
        }
        Ok(true)
    }

    /// A thief who leads mail away can't keep its owner from hearing of it.
    async fn tell_of_forwarding(&self, owner: &Account, address: &EmailAddress) -> Result<()> {
        let text = format!(
            "Mail for {} is now forwarded to {address}.\n\nIf you asked for this, you don't need to do anything.\n\n\
             If you didn't, open Settings, Forwarding, remove the address, and change your password now.\n",
            owner.address
        );
        self.file_notice(owner, "Your mail is forwarded", text, |_| Ok(true)).await
    }

    fn confirmation(&self, owner: &Account, to: &EmailAddress, link: &str) -> Result<Mail> {
        let (id, at_ms, from) = (self.next_id(), self.now_ms(), self.reporter()?);
        let hours = CONFIRM_WITHIN.as_secs() / 3_600;
        let text = format!(
            "The owner of {} would like to have mail forwarded to {to}.\n\n\
             If you agree, open this page within {hours} hours and confirm:\n\n{link}\n\n\
             If you don't know about this, do nothing: no mail is forwarded to you, and this request expires.\n",
            owner.address
        );
        let named = |name: &str, address: EmailAddress| NamedAddress { name: name.to_owned(), address };
        let draft = Draft {
            from: named("Holdfast", from.clone()),
            reply_to: Vec::new(),
            to: vec![named("", to.clone())],
            cc: Vec::new(),
            bcc: Vec::new(),
            subject: format!("Confirm forwarding from {}", owner.address),
            text,
            html: None,
            attachments: Vec::new(),
            in_reply_to: None,
            references: Vec::new(),
            message_id: mailkit::compose::message_id(from.domain()),
            date_ms: at_ms,
        };
        let message = draft
            .build()
            .map_err(|error| store::StoreError::refused(format!("the confirmation can't be written: {error}")))?;
        let message = [b"Auto-Submitted: auto-generated\r\n", &message[..]].concat();
        let body = self.inner.store.put_body(&message)?;
        let is_ours = self.is_in_our_domain(to)?;
        let signed = if is_ours { crate::sign::Signed::default() } else { self.sign(&[from], &message) };
        let own = self.own_record(&body, &message, signed, to.needs_smtputf8());
        let record = MessageRecord { account: Some(owner.id.0), ..own };
        let recipient = RecipientRecord {
            address: to.to_string(),
            notify: notify_bits(Notify::NEVER),
            ..RecipientRecord::default()
        };
        let destination = if is_ours { LOCAL_DESTINATION.to_owned() } else { to.domain().to_owned() };
        let leg = LegRecord { destination, recipients: vec![recipient], due_ms: at_ms, ..LegRecord::default() };
        Ok(Mail { id, record, leg, _body: body })
    }
}

/// A confirmation mail on its way into the queue.
struct Mail {
    id: crate::QueueId,
    record: MessageRecord,
    leg: LegRecord,
    _body: store::StagedBody,
}

impl Mail {
    fn hint(&self) -> Hint {
        Hint {
            destination: self.leg.destination.as_str().into(),
            due_ms: self.leg.due_ms,
            fresh: Some((LegId { id: self.id, leg: 0 }, self.record.owner())),
        }
    }
}

fn ask_in(tx: &mut Tx<'_>, account: AccountId, address: &EmailAddress, code: &str) -> Result<Asked, ForwardError> {
    let (realm, now_ms, key) = (account.realm(), tx.now_ms(), target_key(address));
    let before: Option<TargetRecord> = load(tx, realm, &key)?;
    if let Some(record) = before.as_ref().filter(|record| record.confirmed_ms > 0) {
        if record.paused_ms == 0 {
            return Ok(Asked::Already);
        }
        let resumed = TargetRecord { paused_ms: 0, failures: 0, is_pause_untold: false, ..record.clone() };
        tx.put(realm, key, resumed.encode_to_vec());
        return Ok(Asked::Resumed);
    }
    if before.is_none() && records(tx, realm)?.len() >= MAX_FORWARD_TARGETS {
        return Err(ForwardError::TooMany);
    }
    let today = now_ms.div_euclid(DAY_MS);
    let options: OptionsRecord = load(tx, realm, &[OPTIONS])?.unwrap_or_default();
    let asked = if options.day == today { options.asked } else { 0 };
    if asked >= MAX_CONFIRMATIONS_PER_DAY {
        return Err(ForwardError::TooOften);
    }
    let options = OptionsRecord { day: today, asked: asked + 1, ..options };
    tx.put(realm, vec![OPTIONS], options.encode_to_vec());
    let within = i64::try_from(CONFIRM_WITHIN.as_millis()).unwrap_or(i64::MAX / 4);
    let record = TargetRecord {
        address: address.to_string(),
        added_ms: before.map_or(now_ms, |before| before.added_ms),
        code: BodyId::of(code.as_bytes()).as_bytes().to_vec(),
        code_until_ms: now_ms + within,
        ..TargetRecord::default()
    };
    tx.put(realm, key, record.encode_to_vec());
    Ok(Asked::Sent)
}

/// The account, and the hash of the rest.
fn parts(code: &str) -> Option<(AccountId, [u8; 32])> {
    let (account, code) = code.trim().split_once('-')?;
    if code.len() != 2 * CODE_BYTES {
        return None;
    }
    let account = account.parse().ok().map(AccountId)?;
    Some((account, *BodyId::of(code.as_bytes()).as_bytes()))
}

fn by_code(
    read: &(impl store::Read + ?Sized),
    account: AccountId,
    hash: &[u8; 32],
    now_ms: i64,
) -> Result<Option<TargetRecord>> {
    let is_it = |record: &TargetRecord| record.code == hash && record.code_until_ms > now_ms;
    Ok(records(read, account.realm())?.into_iter().find(is_it))
}
