//! Mail to an account about itself: how it can be entered has changed. A thief who changes a password or makes one can't keep
//! its owner from hearing of it.

use bytes::Bytes;
use directory::{Account, AccountId};
use mailkit::{NamedAddress, compose::Draft, trace};
use store::Tx;

use crate::filing::{LocalCopy, file_local_in};
use crate::schema::VerdictRecord;
use crate::{Delivery, DeliveryError, Result};

/// The longest name (of an app password, of a browser) that is repeated.
const MAX_NAME_CHARS: usize = 100;

/// The change of access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessChange {
    /// The password.
    Password,
    /// An app password was made, with this name.
    AppPasswordMade(String),
    /// App passwords were revoked: their names.
    AppPasswordsRevoked(Vec<String>),
    /// A passkey was added, with this name.
    PasskeyAdded(String),
    /// Passkeys were removed: their names.
    PasskeysRemoved(Vec<String>),
    /// Two-step sign-in was turned on.
    SecondFactorOn,
    /// Two-step sign-in was turned off.
    SecondFactorOff,
    /// Someone has signed in with a browser, or from a network, that the account did not know.
    NewSignIn,
    /// A mail program has signed in that the account did not know, or from a network that it did not know.
    NewProgram,
}

impl AccessChange {
    fn subject(&self) -> &'static str {
        match self {
            Self::Password => "Your password was changed",
            Self::AppPasswordMade(_) => "An app password was created",
            Self::AppPasswordsRevoked(names) if names.len() > 1 => "App passwords were revoked",
            Self::AppPasswordsRevoked(_) => "An app password was revoked",
            Self::PasskeyAdded(_) => "A passkey was added",
            Self::PasskeysRemoved(names) if names.len() > 1 => "Passkeys were removed",
            Self::PasskeysRemoved(_) => "A passkey was removed",
            Self::SecondFactorOn => "Two-step sign-in was turned on",
            Self::SecondFactorOff => "Two-step sign-in was turned off",
            Self::NewSignIn | Self::NewProgram => "New sign-in to your account",
        }
    }

    fn sentence(&self, address: &str) -> String {
        match self {
            Self::Password => format!("The password of {address} was changed."),
            Self::AppPasswordMade(name) => format!(
                "An app password named \"{}\" was created for {address}. Any mail app that has it can read and send your \
                 mail.",
                clean(name)
            ),
            Self::AppPasswordsRevoked(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("\"{}\"", clean(name))).collect();
                format!("Revoked app passwords of {address}: {}.", names.join(", "))
            }
            Self::PasskeyAdded(name) => {
                format!(
                    "A passkey named \"{}\" was added to {address}. Whoever has it can sign in on the web.",
                    clean(name)
                )
            }
            Self::PasskeysRemoved(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("\"{}\"", clean(name))).collect();
                format!("Removed passkeys of {address}: {}.", names.join(", "))
            }
            Self::SecondFactorOn => {
                format!("Signing in to {address} on the web now also requires a code or a passkey.")
            }
            Self::SecondFactorOff => {
                format!("Signing in to {address} on the web no longer requires a code or a passkey.")
            }
            Self::NewSignIn => {
                format!("Someone signed in to {address} with a new browser or from a new network.")
            }
            Self::NewProgram => {
                format!("A mail app signed in to {address} for the first time, or from a new network.")
            }
        }
    }
}

/// A name as one line of text.
fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_NAME_CHARS).collect()
}

impl Delivery {
    /// Files a mail about a change of access into the account's own inbox, also when it is full. `how` tells who did it, from
    /// where: `from 192.0.2.7, Firefox on Linux`.
    ///
    /// # Errors
    /// The account does not exist, or the store refused.
    pub async fn tell_of_access(&self, account: AccountId, change: &AccessChange, how: &str) -> Result<()> {
        let Some(known) = self.inner.directory.account(account)? else { return Ok(()) };
        let address = known.address.to_string();
        let at = mailkit::date::format(self.now_ms());
        let text = format!(
            "{}\n\nWhen: {at}\nHow: {}\n\nIf this was you, you don't need to do anything.\n\nIf it wasn't you, change your password now. \
             Then open Settings, check passkeys under Security, App passwords and Sign-ins, and revoke everything that you don't recognize. Tell \
             your administrator.\n",
            change.sentence(&address),
            clean(how)
        );
        // The change itself has its own commits.
        self.file_notice(&known, change.subject(), text, |_| Ok(true)).await
    }

    /// Tells an account something by a mail into its own inbox, also when it is full, in one commit with `also`; not at all if that
    /// gives false, which writes all the same what it writes.
    ///
    /// # Errors
    /// The store refused; nothing was written then.
    pub async fn tell_account<F>(&self, account: AccountId, subject: &str, text: String, also: F) -> Result<()>
    where
        F: Fn(&mut Tx<'_>) -> Result<bool, store::StoreError> + Send + Sync + 'static,
    {
        let Some(known) = self.inner.directory.account(account)? else { return Ok(()) };
        self.file_notice(&known, subject, text, move |tx| Ok(also(tx)?)).await
    }

    /// Files a mail of the service into an account's own inbox, also when it is full, in one commit with `also`; not at all
    /// if that gives false.
    pub(crate) async fn file_notice<F>(&self, account: &Account, subject: &str, text: String, also: F) -> Result<()>
    where
        F: Fn(&mut Tx<'_>) -> Result<bool> + Send + Sync + 'static,
    {
        let reporter = self.reporter()?;
        let named = |name: &str, address| NamedAddress { name: name.to_owned(), address };
        let draft = Draft {
            from: named("Holdfast", reporter.clone()),
            reply_to: Vec::new(),
            to: vec![named(&account.name, account.address.clone())],
            cc: Vec::new(),
            bcc: Vec::new(),
            subject: subject.to_owned(),
            text,
            html: None,
            attachments: Vec::new(),
            in_reply_to: None,
            references: Vec::new(),
            message_id: mailkit::compose::message_id(reporter.domain()),
            date_ms: self.now_ms(),
        };
        let message = draft
            .build()
            .map_err(|error| store::StoreError::refused(format!("the notice can't be written: {error}")))?;
        let (this, at_ms) = (self.clone(), self.now_ms());
        let filing = tokio::task::spawn_blocking(move || {
            let body = this.inner.store.put_body(&message)?;
            let above = [trace::return_path(None).into(), Bytes::new()];
            Ok::<_, store::StoreError>(LocalCopy::new(body, &message, above, at_ms).whatever_the_quota())
        });
        let filing = filing.await.map_err(|_| crate::Refusal::unavailable())??;
        let (mailstore, account) = (self.inner.mailstore.clone(), account.id);
        let filed = self.inner.store.transact(move |tx| {
            tx.keeps_books();
            if also(tx)? {
                file_local_in(tx, &mailstore, account, (&filing, &[]), &VerdictRecord::default())?;
            }
            Ok::<_, DeliveryError>(())
        });
        filed.await
    }
}
