//! The judge that goes by the address that mail came to: mail to a blocked masked address goes where its owner wants it, and mail to
//! `user+detail@` is filed in the mailbox of that name, if the account wants that and there is one.
//!
//! It comes after the rules, which have not seen mail to blocked addresses: where a rule has filed a message, it stays.

use std::sync::Arc;

use delivery::{Case, FileInto, Hearing, Judge, JudgeError, Spooled, Verdict};
use directory::{AccountId, BlockedMail, Directory};
use mailkit::EmailAddress;
use mailstore::{MailStore, MailboxName, Role};

/// Files by address.
#[derive(Clone)]
pub struct AddressJudge {
    directory: Directory,
    mailstore: MailStore,
}

impl AddressJudge {
    /// On these.
    pub const fn new(directory: Directory, mailstore: MailStore) -> Self {
        Self { directory, mailstore }
    }

    fn of(&self, account: AccountId, address: &EmailAddress, before: &Verdict) -> Result<Verdict, JudgeError> {
        let failed = |error: &dyn std::fmt::Display| JudgeError(error.to_string());
        if before.refusal.is_some() {
            return Ok(Verdict::default());
        }
        let came = self.directory.came(account, address).map_err(|error| failed(&error))?;
        match came.blocked {
            Some(BlockedMail::Discard) => {
                let mut verdict = Verdict::default().because("to a blocked masked address");
                verdict.no_copy = true;
                return Ok(verdict);
            }
            Some(BlockedMail::Spam) => {
                return Ok(Verdict::file(FileInto::Role(Role::Junk)).because("to a blocked masked address"));
            }
            Some(BlockedMail::Refuse) | None => {}
        }
        let Some(detail) =
            came.detail.filter(|_| before.mailbox.is_none() && !before.no_copy && before.snooze.is_none())
        else {
            return Ok(Verdict::default());
        };
        let realm = account.realm();
        let mailboxes = self.mailstore.mailboxes(realm).map_err(|error| failed(&error))?;
        // Names differ in case at most where there is one of that very name.
        let named = |exact: bool| {
            mailboxes.iter().find(|mailbox| {
                let name = mailbox.name.as_str();
                let can_file =
                    !matches!(mailbox.role, Some(Role::Junk | Role::Trash | Role::Drafts | Role::Sent | Role::Snoozed));
                can_file && if exact { name == detail } else { name.eq_ignore_ascii_case(&detail) }
            })
        };
        let found = named(true).or_else(|| named(false)).map(|mailbox| mailbox.name.clone());
        let into = |name: MailboxName| Verdict::file(FileInto::Named(name)).because("by the detail of the address");
        Ok(found.map(into).unwrap_or_default())
    }
}

impl Judge for AddressJudge {
    fn name(&self) -> &'static str {
        "address"
    }

    fn begin(&self, case: &Arc<Case>) -> Option<Box<dyn Hearing>> {
        let is_for_us = case.accounts.iter().any(Option::is_some);
        is_for_us.then(|| Box::new(Waiting { judge: self.clone(), case: Arc::clone(case) }) as _)
    }
}

struct Waiting {
    judge: AddressJudge,
    case: Arc<Case>,
}

#[async_trait::async_trait]
impl Hearing for Waiting {
    async fn verdicts(self: Box<Self>, _: &Spooled, so_far: &[Verdict]) -> Result<Vec<Verdict>, JudgeError> {
        let so_far = so_far.to_vec();
        let judged = tokio::task::spawn_blocking(move || {
            let recipients = self.case.accounts.iter().zip(&self.case.envelope.recipients).zip(&so_far);
            recipients
                .map(|((account, recipient), before)| match account {
                    Some(account) => self.judge.of(*account, &recipient.address, before),
                    None => Ok(Verdict::default()),
                })
                .collect()
        });
        judged.await.map_err(|error| JudgeError(error.to_string()))?
    }
}
