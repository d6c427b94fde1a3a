//! Where an index can tell which messages a search need not look at.

use std::ops::Bound;
use std::sync::Arc;

use mailkit::fold::casemap;
use mailkit::stem::Language;
use store::{Order, Read, RealmId, Snapshot};

use super::SearchQuery;
use super::content::{self, Content, Field, field_texts};
use super::folding::Folding;
use crate::schema::{self, EmailRecord, key};
use crate::{EmailId, MailStore, MailboxId, MessageEntry, Result, Uid, rows};

/// An index of what messages say.
pub trait Narrowing: Send + Sync {
    /// The messages, ascending, among which all are that match; none if nothing can be ruled out. What the index has not
    /// seen yet, as of `snapshot`, is among them.
    fn candidates(
        &self,
        snapshot: &Snapshot,
        account: RealmId,
        query: &SearchQuery,
        folding: Folding,
    ) -> Option<Vec<EmailId>>;
}

/// What searches look at in a message. Texts are decoded, not folded; those of several fields stand on lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageTexts {
    /// `Subject:`.
    pub subject: String,
    /// Names and addresses of `From:`.
    pub from: String,
    /// Those of `To:`, `Cc:` and `Bcc:`.
    pub to: String,
    /// All header fields, with their names.
    pub header: String,
    /// What can be read in the body.
    pub body: String,
    /// Names of attached files.
    pub files: String,
    /// What attached documents say.
    pub documents: String,
    /// The documents that could not be read, or not to their end.
    pub unread_documents: usize,
    /// The languages in which it may be written.
    pub languages: Vec<Language>,
}

/// With more candidates than this the entries of the mailboxes are read from one end to the other.
const MANY: usize = 20_000;
/// Passing over a key is cheaper than seeking, up to about so many.
const GAP: u64 = 32;

impl MailStore {
    /// Has searches ask an index. Only the first call counts.
    pub fn narrow_by(&self, index: Arc<dyn Narrowing>) {
        self.inner.narrowing.set(index).ok();
    }

    pub(super) fn narrowed(
        &self,
        snapshot: &Snapshot,
        account: RealmId,
        query: &SearchQuery,
        folding: Folding,
    ) -> Option<Vec<EmailId>> {
        let ids = self.inner.narrowing.get()?.candidates(snapshot, account, query, folding)?;
        debug_assert!(ids.is_sorted(), "candidates ascend");
        Some(ids)
    }

    /// What searches look at in a message, as of a snapshot; `None` if it is gone. Reads its body: not for async threads.
    pub fn texts(&self, snapshot: &Snapshot, account: RealmId, email: EmailId) -> Result<Option<MessageTexts>> {
        let Some(record) = schema::load::<EmailRecord, _>(snapshot, account, &key::email(email))? else {
            return Ok(None);
        };
        let headline = super::headline(email, &record, false)?;
        let parsed = rows::parsed(email, &record)?;
        let mut body = self.body_of(&rows::body_ref(email, &record)?)?;
        let (header, body, files, documents) = Content::texts(&mut body, &parsed)?;
        let people = |fields: &[Field]| fields.iter().flat_map(|field| field_texts(&headline, *field)).collect();
        let lines = |texts: Vec<String>| texts.join("\n");
        Ok(Some(MessageTexts {
            subject: lines(people(&[Field::Subject])),
            from: lines(people(&[Field::From])),
            to: lines(people(&[Field::To, Field::Cc, Field::Bcc])),
            header,
            languages: content::languages_of(&casemap(&headline.subject), &casemap(start_of(&body))),
            body,
            files,
            documents: documents.text,
            unread_documents: documents.unread,
        }))
    }

    /// The messages that an account has, from `first` on, ascending: at most `max`.
    pub fn emails_from(
        &self,
        snapshot: &Snapshot,
        account: RealmId,
        first: EmailId,
        max: usize,
    ) -> Result<Vec<EmailId>> {
        let range = (Bound::Included(key::places(first)), Bound::Excluded(vec![key::PLACE + 1]));
        let mut ids: Vec<EmailId> = Vec::new();
        for row in snapshot.range(account, range, Order::Ascending)? {
            let id = EmailId(key::long_id(&row?.0)?);
            if ids.last() == Some(&id) {
                continue;
            }
            if ids.len() == max {
                break;
            }
            ids.push(id);
        }
        Ok(ids)
    }
}

/// More than what tells the language of a text.
fn start_of(text: &str) -> &str {
    &text[..text.floor_char_boundary(4_000)]
}

/// The entries, in the mailboxes of a scope, of those of `ids` (ascending) that are there. `None` if there are so many
/// that it is quicker to read all.
pub(super) fn entries_of(
    snapshot: &Snapshot,
    account: RealmId,
    ids: &[EmailId],
    mailboxes: &[MailboxId],
) -> Result<Option<Vec<MessageEntry>>> {
    if ids.len() > MANY {
        return Ok(None);
    }
    let mut places: Vec<(MailboxId, Uid)> = Vec::with_capacity(ids.len());
    for run in ids.chunk_by(|a, b| b.0 - a.0 <= GAP) {
        let (first, last) = (run[0], run[run.len() - 1]);
        let after = last.0.checked_add(1).map_or(vec![key::PLACE + 1], |after| key::places(EmailId(after)));
        let range = (Bound::Included(key::places(first)), Bound::Excluded(after));
        for row in snapshot.range(account, range, Order::Ascending)? {
            let (at, _) = row?;
            let (mailbox, uid) = key::place_of(&at)?;
            if mailboxes.contains(&mailbox) && run.binary_search(&EmailId(key::long_id(&at)?)).is_ok() {
                places.push((mailbox, uid));
            }
        }
    }
    places.sort_unstable();
    let mut entries = Vec::with_capacity(places.len());
    for of_one in places.chunk_by(|a, b| a.0 == b.0) {
        let mailbox = of_one[0].0;
        let uids: Vec<Uid> = of_one.iter().map(|(_, uid)| *uid).collect();
        let found = rows::entry_records(snapshot, account, mailbox, &uids)?;
        entries.extend(found.iter().map(|(uid, record)| rows::entry(mailbox, *uid, record)));
    }
    Ok(Some(entries))
}
