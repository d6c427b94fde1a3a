//! Mending.

use directory::AccountId;
use mailkit::EmailAddress;
use mailstore::MailboxName;

use crate::finding::Finding;
use crate::{Result, Selfcheck};

impl Selfcheck {
    /// Mends what a check found, if it is still so. Gives the finding that was mended; `None` if there is nothing to do any more.
    ///
    /// # Errors
    /// Those of reading and of the change.
    pub async fn mend(&self, id: AccountId, code: &str, about: &str) -> Result<Option<Finding>> {
        let found = self.look(id)?;
        let mendable = |one: &Finding| one.mend.is_some() && one.code == code && one.about == about;
        let Some(finding) = found.into_iter().find(mendable) else { return Ok(None) };
        let realm = id.realm();
        match code {
            "mailboxes" => self.mailstore.create_standard_mailboxes(realm).await?,
            "rule-mailbox" => drop(self.mailstore.create_mailbox(realm, MailboxName::new(about)?, None).await?),
            "vacation" => self.end_vacation(id).await?,
            "forward-paused" | "forward-expired" => {
                if let Ok(address) = EmailAddress::parse(about) {
                    self.delivery.add_forward(id, &address).await?;
                }
            }
            "sender-blocked" => {
                let about = about.to_owned();
                let change = move |settings: &mut filter::spam::Settings| {
                    settings.entries.retain(|entry| entry.allowed || entry.pattern.to_string() != about);
                };
                self.spam.change_settings(realm, change).await?;
            }
            "identity-gone" => {
                let mut settings = self.directory.settings(id)?;
                settings.identities.retain(|one| !one.address.eq_ignore_ascii_case(about));
                if settings.writes_from.eq_ignore_ascii_case(about) {
                    settings.writes_from.clear();
                }
                self.directory.set_settings(id, settings).await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(finding))
    }

    async fn end_vacation(&self, id: AccountId) -> Result<()> {
        let Some(mut active) = self.active(id)? else { return Ok(()) };
        let Some(vacation) = active.book.vacation().cloned() else { return Ok(()) };
        active.book.set_vacation(Some(rules::Vacation { off: true, ..vacation }));
        // A text that can't be written is one that was read so: it stays as it is.
        if let Ok(text) = active.book.text() {
            self.rules.put(id.realm(), &active.name, &text).await?;
        }
        Ok(())
    }
}
