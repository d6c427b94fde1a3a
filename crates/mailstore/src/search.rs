//! Searching messages: all of IMAP SEARCH (RFC 9051 §6.4.4), and the web page's search field.
//!
//! There are three rounds, each for what the previous one could not decide: the entries (flags, dates, sizes), the
//! parsed data (subject, people), and the bytes (other header fields, text). Texts are scanned, not looked up; an index
//! ([`Narrowing`]) says which messages need not be looked at. What it has not seen yet is looked at, so that results are
//! never stale, and it decides nothing by itself, so that results are the same with it and without.

mod compiled;
mod content;
mod folding;
mod narrow;
mod newest;
mod query;

use std::sync::atomic::{AtomicBool, Ordering};

use mailkit::{Headline, Parsed};
use parking_lot::Mutex;
use store::{Order, Read, RealmId, Snapshot};

use crate::mailbox::counters_of;
use crate::schema::{self, EmailRecord, EntryRecord, key};
use crate::{
    BodyReader, EmailId, MailError, MailStore, MailboxId, MailboxView, MessageEntry, ModSeq, Result, Role, ThreadId,
    Uid, rows,
};
use compiled::{Asks, Compiled, Known};
use content::Content;

pub use folding::Folding;
pub use narrow::{MessageTexts, Narrowing};
pub use query::SearchQuery;

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchScope {
    /// In these mailboxes.
    Mailboxes(Vec<MailboxId>),
    /// In all but Junk and Trash.
    Mail,
    /// In all mailboxes.
    Everywhere,
}

impl From<MailboxId> for SearchScope {
    fn from(mailbox: MailboxId) -> Self {
        Self::Mailboxes(vec![mailbox])
    }
}

/// How to look.
#[derive(Clone, Copy, Debug, Default)]
pub struct SearchOptions<'a> {
    /// End after so many hits, the newest ones.
    pub limit: Option<usize>,
    /// Look at so many messages at most, the newest ones.
    pub max_visited: Option<usize>,
    /// Set it to stop: the search ends with [`crate::MailError::Cancelled`] soon after.
    pub cancel: Option<&'a AtomicBool>,
    /// What makes two spellings the same.
    pub folding: Folding,
}

/// What a search of one mailbox found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UidsFound {
    /// UIDs that match, ascending, with their MODSEQs.
    pub hits: Vec<(Uid, ModSeq)>,
    /// Messages of which can't be told because what is stored of them is damaged, ascending.
    pub damaged: Vec<Uid>,
}

/// A message found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchHit {
    /// In which mailbox.
    pub mailbox: MailboxId,
    /// As which UID.
    pub uid: Uid,
    /// Which message.
    pub email_id: EmailId,
    /// Its conversation.
    pub thread_id: ThreadId,
    /// Its internal date, milliseconds since 1970 UTC.
    pub internal_date_ms: i64,
    /// Its MODSEQ.
    pub modseq: ModSeq,
}

impl MailStore {
    /// Messages that match, newest internal date first. May visit all messages of the scope and read bodies: call it
    /// from a blocking thread.
    pub fn search(
        &self,
        account: RealmId,
        scope: &SearchScope,
        query: &SearchQuery,
        options: SearchOptions<'_>,
    ) -> Result<Vec<SearchHit>> {
        let snapshot = self.store().snapshot();
        let mailboxes = match scope {
            SearchScope::Mailboxes(mailboxes) => mailboxes.clone(),
            SearchScope::Mail | SearchScope::Everywhere => {
                let hidden = |role| *scope == SearchScope::Mail && matches!(role, Some(Role::Junk | Role::Trash));
                let all = self.mailboxes_in(&snapshot, account)?;
                all.into_iter().filter(|mailbox| !hidden(mailbox.role)).map(|mailbox| mailbox.id).collect()
            }
        };
        let candidates = self.narrowed(&snapshot, account, query, options.folding);
        let query = Compiled::new(query, options.folding, self.store().clock().now_ms());
        let (cancel, damaged) = (options.cancel, Mutex::default());
        let scan = Scan { mail: self, snapshot: &snapshot, account, query: &query, cancel, damaged };
        // Entries alone decide as much as they can, so that little is left to be sorted and read.
        for mailbox in &mailboxes {
            counters_of(&snapshot, account, *mailbox)?;
        }
        let limit = options.limit.unwrap_or(usize::MAX);
        let mut hits = Vec::new();
        let mut looked_until = None;
        if scan.is_soon_enough(&mailboxes, candidates.as_deref(), &options)? {
            looked_until = scan.newest(&mailboxes, candidates.as_deref(), limit, &mut hits)?;
            if hits.len() >= limit {
                return Ok(hits);
            }
        }
        let mut undecided = scan.undecided(&mailboxes, candidates.as_deref())?;
        match looked_until {
            Some(until) => undecided.retain(|(entry, _)| entry.internal_date_ms < until),
            None => hits.clear(),
        }
        newest_first(&mut undecided);
        undecided.truncate(options.max_visited.unwrap_or(usize::MAX));
        scan.decide(&undecided, limit - hits.len(), |entry| hits.push(SearchHit::from(entry)))?;
        Ok(hits)
    }

    /// Messages of one mailbox that match: IMAP SEARCH. Same cost as [`Self::search`].
    pub fn search_uids(
        &self,
        account: RealmId,
        mailbox: MailboxId,
        query: &SearchQuery,
        cancel: Option<&AtomicBool>,
    ) -> Result<UidsFound> {
        let snapshot = self.store().snapshot();
        counters_of(&snapshot, account, mailbox)?;
        let folding = Folding::Case;
        let asked = query;
        let query = Compiled::new(asked, folding, self.store().clock().now_ms());
        if query.needs_flags_alone() {
            let view = self.view(account, mailbox)?;
            let matches =
                |index: &usize| query.matches_flags(view.uids()[*index], view.flags(*index), view.modseq(*index));
            let hits = (0..view.len()).filter(matches).map(|index| (view.uids()[index], view.modseq(index)));
            return Ok(UidsFound { hits: hits.collect(), damaged: Vec::new() });
        }
        let damaged = Mutex::default();
        let candidates = self.narrowed(&snapshot, account, asked, folding);
        let scan = Scan { mail: self, snapshot: &snapshot, account, query: &query, cancel, damaged };
        let undecided = scan.undecided(&[mailbox], candidates.as_deref())?;
        scan.found_of(&undecided)
    }

    /// Which of the messages `uids` (ascending) of a mailbox match, with flags and MODSEQs as `view` has them; those
    /// that are gone do not. Costs what these messages cost, however many others there are.
    pub fn search_among(
        &self,
        account: RealmId,
        view: &MailboxView,
        uids: &[Uid],
        query: &SearchQuery,
        cancel: Option<&AtomicBool>,
    ) -> Result<UidsFound> {
        let folding = Folding::Case;
        let query = Compiled::new(query, folding, self.store().clock().now_ms());
        let known = || uids.iter().filter_map(|uid| view.index_of(*uid).map(|index| (*uid, index)));
        if query.needs_flags_alone() {
            let matches =
                |(uid, index): &(Uid, usize)| query.matches_flags(*uid, view.flags(*index), view.modseq(*index));
            let hits = known().filter(matches).map(|(uid, index)| (uid, view.modseq(index))).collect();
            return Ok(UidsFound { hits, damaged: Vec::new() });
        }
        let snapshot = self.store().snapshot();
        let damaged = Mutex::default();
        let scan = Scan { mail: self, snapshot: &snapshot, account, query: &query, cancel, damaged };
        let known: Vec<Uid> = known().map(|(uid, _)| uid).collect();
        let mut undecided = Vec::new();
        for (uid, record) in rows::entry_records(&snapshot, account, view.mailbox(), &known)? {
            let Some(index) = view.index_of(uid) else { continue };
            let mut entry = rows::entry(view.mailbox(), uid, &record);
            entry.flags = view.flags(index).clone();
            entry.modseq = view.modseq(index);
            match query.verdict(&Known { entry: &entry, headline: None, content: None, documents: None }) {
                Some(false) => {}
                verdict => undecided.push((entry, verdict == Some(true))),
            }
        }
        scan.found_of(&undecided)
    }
}

/// A search under way.
struct Scan<'a> {
    mail: &'a MailStore,
    snapshot: &'a Snapshot,
    account: RealmId,
    query: &'a Compiled,
    cancel: Option<&'a AtomicBool>,
    /// Messages that could not be looked into.
    damaged: Mutex<Vec<Uid>>,
}

impl Scan<'_> {
    fn check_cancelled(&self) -> Result<()> {
        match self.cancel {
            Some(cancel) if cancel.load(Ordering::Relaxed) => Err(MailError::Cancelled),
            _ => Ok(()),
        }
    }

    /// Whether enough is probably found among the newest messages.
    fn is_soon_enough(
        &self,
        mailboxes: &[MailboxId],
        candidates: Option<&[EmailId]>,
        options: &SearchOptions<'_>,
    ) -> Result<bool> {
        let Some(limit) = options.limit.filter(|limit| *limit < LOOK_FIRST) else { return Ok(false) };
        if options.max_visited.is_some_and(|max| max < LOOK_FIRST * 2) {
            return Ok(false);
        }
        let mut all = 0;
        for mailbox in mailboxes {
            all += u64::from(counters_of(self.snapshot, self.account, *mailbox)?.total);
        }
        let expected = candidates.is_none_or(|ids| limit as u64 * all / (ids.len() as u64).max(1) <= LOOK_FIRST as u64);
        Ok(all > (LOOK_FIRST * 2) as u64 && expected)
    }

    /// Adds hits among the newest messages, newest first, until there are `limit`. Gives the date from which on all
    /// messages have been looked at; `None` if what was found is to be forgotten.
    fn newest(
        &self,
        mailboxes: &[MailboxId],
        candidates: Option<&[EmailId]>,
        limit: usize,
        hits: &mut Vec<SearchHit>,
    ) -> Result<Option<i64>> {
        let mut newest = newest::Newest::new(self.snapshot, self.account, mailboxes)?;
        let (mut looked, mut until, mut at_once) = (0, None, FIRST * 2);
        while looked < LOOK_FIRST {
            let Some(taken) = newest.take(at_once)? else { return Ok(until) };
            let Some(last) = taken.last() else { return Ok(Some(i64::MIN)) };
            (looked, until) = (looked + taken.len(), Some(last.0));
            at_once = (at_once * 2).min((limit - hits.len()).max(FIRST * 2));
            let mut undecided = Vec::new();
            for mailbox in mailboxes {
                let uids: Vec<Uid> = taken.iter().filter(|one| one.1 == *mailbox).map(|one| one.2).collect();
                for (uid, record) in rows::entry_records(self.snapshot, self.account, *mailbox, &uids)? {
                    let entry = rows::entry(*mailbox, uid, &record);
                    if candidates.is_some_and(|ids| ids.binary_search(&entry.email_id).is_err()) {
                        continue;
                    }
                    match self.query.verdict(&Known { entry: &entry, headline: None, content: None, documents: None }) {
                        Some(false) => {}
                        verdict => undecided.push((entry, verdict == Some(true))),
                    }
                }
            }
            newest_first(&mut undecided);
            self.decide(&undecided, limit - hits.len(), |entry| hits.push(SearchHit::from(entry)))?;
            if hits.len() >= limit {
                break;
            }
        }
        Ok(until)
    }

    /// The messages of mailboxes that entries alone don't rule out, and whether they match for sure; of `candidates`
    /// (ascending), if they are known.
    fn undecided(&self, mailboxes: &[MailboxId], candidates: Option<&[EmailId]>) -> Result<Vec<(MessageEntry, bool)>> {
        let mut undecided = Vec::new();
        let mut look = |entry: MessageEntry, verdict: Option<bool>| {
            if verdict != Some(false) {
                undecided.push((entry, verdict == Some(true)));
            }
        };
        if let Some(ids) = candidates
            && let Some(entries) = narrow::entries_of(self.snapshot, self.account, ids, mailboxes)?
        {
            for entry in entries {
                let verdict =
                    self.query.verdict(&Known { entry: &entry, headline: None, content: None, documents: None });
                look(entry, verdict);
            }
            return Ok(undecided);
        }
        let is_candidate = |id: EmailId| candidates.is_none_or(|ids| ids.binary_search(&id).is_ok());
        for mailbox in mailboxes {
            self.entries(*mailbox, |entry, verdict| {
                if is_candidate(entry.email_id) {
                    look(entry, verdict);
                }
            })?;
        }
        Ok(undecided)
    }

    /// Visit the entries of a mailbox with what they alone tell.
    fn entries(&self, mailbox: MailboxId, mut visit: impl FnMut(MessageEntry, Option<bool>)) -> Result<()> {
        /// Entries looked at between two looks at `cancel`.
        const BETWEEN: usize = 1_000;
        for (n, row) in self.snapshot.prefix(self.account, &key::entries(mailbox), Order::Ascending)?.enumerate() {
            if n % BETWEEN == 0 {
                self.check_cancelled()?;
            }
            let (at, value) = row?;
            let record: EntryRecord = schema::decode(&at, value)?;
            let entry = rows::entry(mailbox, key::entry_uid(&at)?, &record);
            let verdict = self.query.verdict(&Known { entry: &entry, headline: None, content: None, documents: None });
            visit(entry, verdict);
        }
        Ok(())
    }

    /// Those of the messages (of one mailbox) that match.
    fn found_of(self, messages: &[(MessageEntry, bool)]) -> Result<UidsFound> {
        let mut hits = Vec::new();
        self.decide(messages, usize::MAX, |entry| hits.push((entry.uid, entry.modseq)))?;
        let mut damaged = self.damaged.into_inner();
        damaged.sort_unstable();
        Ok(UidsFound { hits, damaged })
    }

    /// Decide about messages, in their order, by what was parsed of them and, if that is not enough, by their bytes.
    /// `found` gets the first `limit` that match (the flag says that one does, for sure).
    fn decide(
        &self,
        messages: &[(MessageEntry, bool)],
        limit: usize,
        mut found: impl FnMut(&MessageEntry),
    ) -> Result<()> {
        let (mut left, mut at_once, mut wanted) = (messages, FIRST, limit);
        while !left.is_empty() && wanted > 0 {
            // Most candidates match: no more of them than are wanted.
            let (now, later) = left.split_at(at_once.min(wanted.max(FIRST)).min(left.len()));
            let verdicts = self.verdicts(now)?;
            for ((entry, _), _) in now.iter().zip(verdicts).filter(|(_, yes)| *yes).take(wanted) {
                found(entry);
                wanted -= 1;
            }
            left = later;
            at_once = (at_once * 2).min(MOST);
        }
        Ok(())
    }

    /// One verdict a message. Many are shared out between two threads.
    fn verdicts(&self, messages: &[(MessageEntry, bool)]) -> Result<Vec<bool>> {
        if messages.len() <= FIRST {
            return self.verdicts_here(messages);
        }
        let (one, other) = messages.split_at(messages.len() / 2);
        std::thread::scope(|threads| {
            let other = threads.spawn(|| self.verdicts_here(other));
            let mut verdicts = self.verdicts_here(one)?;
            verdicts.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            Ok(verdicts)
        })
    }

    fn verdicts_here(&self, messages: &[(MessageEntry, bool)]) -> Result<Vec<bool>> {
        let mut verdicts = Vec::with_capacity(messages.len());
        for messages in messages.chunks(TOGETHER) {
            self.check_cancelled()?;
            let unknown = messages.iter().filter(|(_, decided)| !decided).map(|(entry, _)| entry.email_id);
            match rows::email_records(self.snapshot, self.account, unknown) {
                // Each by itself, then: one that is damaged hides no other.
                Err(error) if error.is_damage() => {
                    for (entry, decided) in messages {
                        let record = || rows::email_record(self.snapshot, self.account, entry.email_id);
                        verdicts.push(*decided || self.verdict_or_damaged(entry, record)?);
                    }
                }
                records => {
                    let records = records?;
                    for (entry, decided) in messages {
                        let record = || rows::record_among(&records, entry.email_id).cloned();
                        verdicts.push(*decided || self.verdict_or_damaged(entry, record)?);
                    }
                }
            }
        }
        Ok(verdicts)
    }

    /// The verdict on a message; one of which nothing can be told does not match, and is noted.
    fn verdict_or_damaged(&self, entry: &MessageEntry, record: impl FnOnce() -> Result<EmailRecord>) -> Result<bool> {
        match record().and_then(|record| self.verdict(entry, &record)) {
            Err(error) if error.is_damage() => {
                tracing::warn!(%error, email = %entry.email_id, "can't search a damaged message");
                self.damaged.lock().push(entry.uid);
                Ok(false)
            }
            verdict => verdict,
        }
    }

    fn verdict(&self, entry: &MessageEntry, record: &EmailRecord) -> Result<bool> {
        let headline = headline(entry.email_id, record, self.query.needs_subject_alone())?;
        let known = Known { entry, headline: Some(&headline), content: None, documents: None };
        if let Some(verdict) = self.query.verdict(&known) {
            return Ok(verdict);
        }
        self.check_cancelled()?;
        let parsed = rows::parsed(entry.email_id, record)?;
        let mut body = self.mail.body_of(&rows::body_ref(entry.email_id, record)?)?;
        let content = Content::read(&mut body, &parsed, self.query, &headline.subject)?;
        let known = Known { entry, headline: Some(&headline), content: Some(&content), documents: None };
        if let Some(verdict) = self.query.verdict(&known) {
            return Ok(verdict);
        }
        let documents =
            if self.query.asks(Asks::Documents) { self.documents(&mut body, &parsed)? } else { String::new() };
        Ok(self.query.verdict(&Known { documents: Some(&documents), ..known }).unwrap_or(false))
    }

    /// What attached documents say, folded.
    fn documents(&self, body: &mut BodyReader, parsed: &Parsed) -> Result<String> {
        if !mailkit::documents::are_in(parsed) {
            return Ok(String::new());
        }
        self.check_cancelled()?;
        let raw = content::searched_bytes(body, parsed)?;
        Ok(mailkit::fold::loose(&mailkit::documents::texts(&raw, parsed).text))
    }
}

/// What the header tells. Most searches are for a subject or a person, and decode little.
fn headline(email: EmailId, record: &EmailRecord, subject_alone: bool) -> Result<Headline> {
    let stored = record.parsed.clone();
    let headline = if subject_alone { Headline::subject_of(stored) } else { Headline::of(stored) };
    headline.map_err(|error| {
        MailError::damaged(store::Cause::Decoding, format!("the parsed structure of message {email}: {error}"))
    })
}

/// Newest internal date first.
fn newest_first(messages: &mut [(MessageEntry, bool)]) {
    messages.sort_by_key(|(entry, _)| std::cmp::Reverse((entry.internal_date_ms, entry.email_id, entry.uid)));
}

/// So many of the newest messages are looked at before mailboxes are read from one end to the other.
const LOOK_FIRST: usize = if cfg!(test) { 20 } else { 2_000 };
/// Messages looked into before the first look at whether enough was found; then twice as many each time,
const FIRST: usize = 32;
/// up to so many.
const MOST: usize = 2_048;
/// Messages whose records are read together, some KB each.
const TOGETHER: usize = 32;

impl From<&MessageEntry> for SearchHit {
    fn from(entry: &MessageEntry) -> Self {
        Self {
            mailbox: entry.mailbox,
            uid: entry.uid,
            email_id: entry.email_id,
            thread_id: entry.thread_id,
            internal_date_ms: entry.internal_date_ms,
            modseq: entry.modseq,
        }
    }
}
