//! A run by POP3: what has a name that is not known yet.

use mailstore::{Flags, MailboxName, Role};

use super::{BATCH_BYTES, BATCH_MESSAGES, Run};
use crate::Trouble;
use crate::filing::{self, Fetched, Note};
use crate::imap::names::To;
use crate::pop3::{Client, Listed, Text};
use crate::schema::{Mark, SeenRecord, seen_key};

impl Run<'_> {
    pub(super) async fn pop3(&self, password: &str) -> Result<(), Trouble> {
        self.tell("INBOX");
        let mut client = Client::open(self.target(), self.means()).await?;
        client.sign_in(&self.settings.user, password).await?;
        let listed = client.list().await?;
        let place =
            self.place(b"INBOX".to_vec(), "INBOX".to_owned(), To::Role(Role::Inbox, MailboxName::inbox()), false);
        let Split { fetched, new } = self.split(&listed)?;
        let (total, mut left) = (listed.len() as u64, new.len() as u64);
        filing::looked_at(self.fetching.store(), &place, Note { total, left, ..Note::default() }).await?;
        if self.settings.delete {
            // Fetched before, and the session ended before they were deleted.
            for number in fetched {
                client.delete(number).await?;
            }
        }
        let mut batch: Vec<(u32, Fetched)> = Vec::new();
        let (mut bytes, mut left_out, mut numbers) = (0, Vec::new(), Vec::new());
        for (at, one) in new.iter().enumerate() {
            match client.text(one.number).await? {
                Text::Whole(text) => {
                    bytes += text.len() as u64;
                    let fetched = self.staged(text, Flags::NONE, None).await?;
                    batch.push((0, Fetched { uidl: Some(one.uidl.clone()), ..fetched }));
                    numbers.push(one.number);
                }
                Text::Passed(size) => {
                    let most = self.fetching.policy().max_message_bytes;
                    left_out.push((
                        one.uidl.clone(),
                        format!("message {}: it has {size} bytes, and {most} are allowed here", one.number),
                    ));
                }
                Text::Refused(why) => {
                    left_out.push((one.uidl.clone(), format!("message {}: the server refused it: {why}", one.number)));
                }
            }
            let is_last = at + 1 == new.len();
            if is_last || batch.len() >= BATCH_MESSAGES || bytes >= BATCH_BYTES {
                left -= (batch.len() + left_out.len()) as u64;
                let reasons = std::mem::take(&mut left_out);
                let (left_out_uidls, left_out) = reasons.into_iter().unzip();
                let note = Note { total, left, left_out, left_out_uidls, ..Note::default() };
                self.file(&place, std::mem::take(&mut batch), note).await?;
                bytes = 0;
                for number in std::mem::take(&mut numbers) {
                    if self.settings.delete {
                        client.delete(number).await?;
                    }
                }
            }
        }
        client.quit().await
    }

    fn split<'a>(&self, listed: &'a [Listed]) -> Result<Split<'a>, Trouble> {
        let snapshot = self.fetching.store().snapshot();
        let mut split = Split { fetched: Vec::new(), new: Vec::new() };
        for one in listed {
            let key = seen_key(self.id, Mark::Uidl(&one.uidl));
            match filing::load::<_, SeenRecord>(&snapshot, self.account.realm(), &key)? {
                None => split.new.push(one),
                Some(seen) if !seen.left_out => split.fetched.push(one.number),
                Some(_) => {}
            }
        }
        Ok(split)
    }
}

/// The messages of a mailbox.
struct Split<'a> {
    /// Fetched before.
    fetched: Vec<u32>,
    /// Not seen yet.
    new: Vec<&'a Listed>,
}
