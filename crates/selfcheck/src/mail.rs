//! Room, mailboxes, sending and the search index.

use directory::AccountId;
use mailstore::Role;

use crate::finding::{Finding, State, counted};
use crate::{Result, Selfcheck};

/// From here on storage is nearly full, in percent.
const NEARLY_FULL: u64 = 90;

/// So many messages that the search index has not reached are nothing to speak of.
const BEHIND: u64 = 100;

impl Selfcheck {
    pub(crate) fn storage(&self, id: AccountId) -> Result<Finding> {
        const CODE: &str = "storage";
        let quota = self.mailstore.quota(id.realm())?;
        let Some(limit) = quota.limit_bytes.filter(|limit| *limit > 0) else {
            return Ok(Finding::ok(CODE, "Your storage has no limit."));
        };
        let percent = quota.used_bytes.saturating_mul(100) / limit;
        let find = |finding: Finding| finding.page("/search?q=larger%3A5m+in%3Aanywhere");
        Ok(if quota.used_bytes >= limit {
            let text = "Your storage is full: new mail waits, and then goes back to its senders. Delete large messages and empty Trash.";
            find(Finding::new(CODE, State::Wrong, text))
        } else if percent >= NEARLY_FULL {
            let text = format!("{percent} % of your storage is used. When it is full, mail goes back to its senders.");
            find(Finding::new(CODE, State::Note, text))
        } else {
            Finding::ok(CODE, format!("{percent} % of your storage is used."))
        })
    }

    pub(crate) fn mailboxes(&self, id: AccountId) -> Result<Finding> {
        const CODE: &str = "mailboxes";
        let there: Vec<Role> = self.mailstore.mailboxes(id.realm())?.iter().filter_map(|one| one.role).collect();
        let missing: Vec<&str> =
            Role::STANDARD.into_iter().filter(|role| !there.contains(role)).map(Role::standard_name).collect();
        if missing.is_empty() {
            return Ok(Finding::ok(CODE, "Inbox, Drafts, Sent, Archive, Spam and Trash are there."));
        }
        let text = format!("No mailbox is in use as {}. Mail apps make ones of their own.", missing.join(", "));
        Ok(Finding::new(CODE, State::Wrong, text).about(missing.join(", ")).mend("Make them"))
    }

    pub(crate) fn sending(&self, id: AccountId) -> Result<Finding> {
        const CODE: &str = "sending";
        let stopped = self.directory.sending(id)?.and_then(|sending| sending.stopped);
        Ok(match stopped {
            Some(stopped) => {
                let text =
                    format!("You can’t send mail: {}. Ask your administrator.", stopped.why.trim_end_matches('.'));
                Finding::new(CODE, State::Wrong, text)
            }
            None => Finding::ok(CODE, "You can send mail."),
        })
    }

    pub(crate) fn index(&self, id: AccountId) -> Result<Finding> {
        const CODE: &str = "search-index";
        let all = self.mailstore.quota(id.realm())?.messages;
        let Some(index) = &self.index else { return Ok(Finding::ok(CODE, "Searches look at every message.")) };
        let measured = index.measure(id.realm())?;
        let reached = measured.as_ref().map_or(0, |measure| measure.messages);
        let unread = measured.map_or(0, |measure| measure.unread_documents);
        if all.saturating_sub(reached) > BEHIND {
            let text = format!(
                "The search index has {reached} of {}. Searches find the others too, more slowly, until it has caught up.",
                counted(usize::try_from(all).unwrap_or(usize::MAX), "message", "messages")
            );
            return Ok(Finding::new(CODE, State::Note, text));
        }
        let mut text = "All of your mail is in the search index.".to_owned();
        if unread > 0 {
            let unread = counted(usize::try_from(unread).unwrap_or(usize::MAX), "attached file", "attached files");
            text.push_str(&format!(" {unread} can’t be read: look for the name instead."));
        }
        Ok(Finding::ok(CODE, text))
    }
}
