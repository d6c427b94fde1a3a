//! FETCH (RFC 9051 section 6.4.5): the answer is made in chunks where it may block, and written while the next is made.

mod message;
mod section;
mod transfer;

use std::ops::Range;
use std::sync::Arc;

use mailstore::{
    FlagChange, Flags, MailStore, MailboxId, MailboxView, MessageEntry, MessageRow, ModSeq, RealmId, SystemFlag,
};

use super::selected::Picked;
use super::wire::FLUSH_BYTES;
use super::{Done, Enabled, Outcome, Session};
use crate::failure::Failure;
use crate::response::Code;
use crate::syntax::{Fetch, FetchItem};

use message::Message;

/// How many rows are read at a time when the envelope or structure is needed: some KB each.
const ROWS_AT_A_TIME: usize = 100;
/// How many rows are read at a time when flags, dates and sizes are enough.
const ENTRIES_AT_A_TIME: usize = 1_000;
/// Up to so many messages are looked up without going to a blocking thread, if no body is read.
const FEW: usize = 10;

/// What is fetched of each message.
pub(super) struct Plan {
    items: Vec<FetchItem>,
    enabled: Enabled,
    needs: Needs,
}

/// What has to be read for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Needs {
    parsed: bool,
    body: bool,
}

impl Plan {
    fn new(mut items: Vec<FetchItem>, fetch_uid: bool, changed_since: bool, enabled: Enabled, seen: bool) -> Self {
        // What an answer must hold although it was not asked for.
        if fetch_uid && !items.contains(&FetchItem::Uid) {
            items.insert(0, FetchItem::Uid);
        }
        let flags = items.contains(&FetchItem::Flags);
        if seen && !flags {
            items.push(FetchItem::Flags);
        }
        let modseq = items.contains(&FetchItem::ModSeq);
        if !modseq && (changed_since || (enabled.condstore && (flags || seen))) {
            items.push(FetchItem::ModSeq);
        }
        let body = items.iter().any(|item| matches!(item, FetchItem::Section(_) | FetchItem::BinarySize(_)));
        let parsed = body
            || items.iter().any(|item| {
                matches!(item, FetchItem::Envelope | FetchItem::Body | FetchItem::BodyStructure | FetchItem::Preview)
            });
        Self { items, enabled, needs: Needs { parsed, body } }
    }
}

impl Session {
    pub(super) async fn fetch(&mut self, fetch: Fetch) -> Outcome {
        let realm = self.realm()?;
        if fetch.vanished && !self.enabled.qresync {
            return Err(Failure::bad("ENABLE QRESYNC first"));
        }
        self.enabled.condstore |= fetch.changed_since.is_some() || fetch.items.contains(&FetchItem::ModSeq);
        let selected = self.selected()?;
        let (mailbox, view) = (selected.mailbox, Arc::clone(&selected.known));
        let mut picked = selected.pick(fetch.uid, &fetch.set)?;
        if let Some(since) = fetch.changed_since {
            picked = changed_since(&picked, &view, ModSeq(since));
            if fetch.vanished {
                self.tell_vanished(&fetch, ModSeq(since))?;
            }
        }
        let sets_seen = !self.selected()?.read_only && fetch.items.iter().any(sets_seen);
        if sets_seen {
            self.set_seen(&picked, &view).await?;
        }
        let plan = Plan::new(fetch.items, fetch.uid, fetch.changed_since.is_some(), self.enabled, sets_seen);
        let inline = picked.len() <= FEW && !plan.needs.body;
        let mailstore = self.door.mailstore.clone();
        let mut job = Job::new(mailstore, realm, mailbox, view, picked, plan);
        if inline {
            while job.step(&mut self.wire.out)? {
                self.wire.flush_if_full().await?;
            }
        } else {
            job = self.stream(job).await?;
        }
        job.outcome(fetch.uid)
    }

    /// Makes the next chunk while the last one is on its way. A client that reads slowly holds up its own job alone,
    /// and holds no thread.
    async fn stream(&mut self, mut job: Job) -> Outcome<Job> {
        let mut spare = Vec::with_capacity(FLUSH_BYTES * 2);
        let mut more = true;
        let mut ready: Option<Vec<u8>> = None;
        while more {
            let mut chunk = std::mem::take(&mut spare);
            let making = tokio::task::spawn_blocking(move || {
                let more = job.step(&mut chunk);
                (job, chunk, more)
            });
            if let Some(chunk) = ready.take() {
                spare = self.wire.send(chunk).await?;
            }
            let (back, chunk, result) = making.await.map_err(|error| {
                tracing::error!(%error, "a FETCH died");
                // The answer may stop in the middle of a literal: the connection can not go on.
                Failure::bye("The server failed at this; please report it")
            })?;
            job = back;
            ready = Some(chunk);
            more = result?;
        }
        if let Some(chunk) = ready {
            if chunk.len() < FLUSH_BYTES {
                self.wire.out.extend_from_slice(&chunk);
            } else {
                self.wire.send(chunk).await?;
            }
        }
        Ok(job)
    }

    /// `UID FETCH ... (CHANGEDSINCE n VANISHED)`: what is gone comes first (RFC 7162 section 3.2.6).
    fn tell_vanished(&mut self, fetch: &Fetch, since: ModSeq) -> Outcome<()> {
        let selected = self.selected()?;
        let changes = self.door.mailstore.changes_since(self.realm()?, selected.mailbox, since)?;
        let asked = selected.uid_ranges_below(&fetch.set, selected.known.uid_next());
        let gone = super::select::vanished_of(&changes.vanished, &selected.known, Some(&asked));
        if !gone.is_empty() {
            self.wire.out.extend_from_slice(format!("* VANISHED (EARLIER) {gone}\r\n").as_bytes());
        }
        Ok(())
    }

    /// Reading a body sets `\Seen`, and the answer tells so.
    async fn set_seen(&mut self, picked: &Picked, view: &MailboxView) -> Outcome<()> {
        let realm = self.realm()?;
        let mailbox = self.selected()?.mailbox;
        let unseen: Vec<_> =
            picked.indexes().filter(|&index| !view.flags(index).seen()).map(|index| view.uids()[index]).collect();
        if unseen.is_empty() {
            return Ok(());
        }
        let change = FlagChange::Add(Flags::of(&[SystemFlag::Seen]));
        let result = self.door.mailstore.set_flags(realm, mailbox, &unseen, change, None).await?;
        let selected = self.selected_mut()?;
        for (uid, _, modseq) in result.changed {
            selected.has_told(uid, modseq);
        }
        Ok(())
    }
}

fn sets_seen(item: &FetchItem) -> bool {
    matches!(item, FetchItem::Section(section) if !section.peek)
}

/// Those that changed after `since`.
fn changed_since(picked: &Picked, view: &MailboxView, since: ModSeq) -> Picked {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for index in picked.indexes().filter(|&index| view.modseq(index) > since) {
        match ranges.last_mut() {
            Some(last) if last.end == index => last.end += 1,
            _ => ranges.push(index..index + 1),
        }
    }
    Picked(ranges)
}

/// A message as far as it was read.
pub(super) enum Row {
    Entry(MessageEntry),
    Full(Box<MessageRow>),
}

impl Row {
    fn entry(&self) -> &MessageEntry {
        match self {
            Self::Entry(entry) => entry,
            Self::Full(row) => row,
        }
    }
}

/// A FETCH in progress.
struct Job {
    mailstore: MailStore,
    realm: RealmId,
    mailbox: MailboxId,
    view: Arc<MailboxView>,
    plan: Plan,
    /// What is still to be read, as indexes into the view; the first ones first.
    todo: std::vec::IntoIter<Range<usize>>,
    range: Range<usize>,
    rows: std::vec::IntoIter<Row>,
    message: Option<Message>,
    /// Messages that were gone when their turn came.
    missing: usize,
    /// The first message whose bytes could not be given.
    failed: Option<Failure>,
}

impl Job {
    fn new(
        mailstore: MailStore,
        realm: RealmId,
        mailbox: MailboxId,
        view: Arc<MailboxView>,
        picked: Picked,
        plan: Plan,
    ) -> Self {
        Self {
            mailstore,
            realm,
            mailbox,
            view,
            plan,
            todo: picked.0.into_iter(),
            range: 0..0,
            rows: Vec::new().into_iter(),
            message: None,
            missing: 0,
            failed: None,
        }
    }

    /// Writes about a chunk; `false` when all is written.
    fn step(&mut self, out: &mut Vec<u8>) -> Outcome<bool> {
        while out.len() < FLUSH_BYTES {
            if let Some(message) = &mut self.message {
                if message.write(&self.plan, out)? {
                    self.failed = self.failed.take().or(message.failure());
                    self.message = None;
                }
                continue;
            }
            if let Some(row) = self.rows.next() {
                if let Some(index) = self.view.index_of(row.entry().uid) {
                    self.message = Some(Message::new(&self.mailstore, self.realm, index + 1, row));
                }
                continue;
            }
            if !self.read_rows()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the next rows; `false` if there are none to read.
    fn read_rows(&mut self) -> Outcome<bool> {
        let most = if self.plan.needs.parsed { ROWS_AT_A_TIME } else { ENTRIES_AT_A_TIME };
        let mut uids = Vec::with_capacity(most.min(64));
        while uids.len() < most {
            if self.range.is_empty() {
                match self.todo.next() {
                    Some(range) => self.range = range,
                    None => break,
                }
                continue;
            }
            let end = self.range.end.min(self.range.start + most - uids.len());
            uids.extend_from_slice(&self.view.uids()[self.range.start..end]);
            self.range.start = end;
        }
        if uids.is_empty() {
            return Ok(false);
        }
        let rows: Vec<Row> = if self.plan.needs.parsed {
            let rows = self.mailstore.rows(self.realm, self.mailbox, &uids)?;
            rows.into_iter().map(|row| Row::Full(Box::new(row))).collect()
        } else {
            self.mailstore.entries(self.realm, self.mailbox, &uids)?.into_iter().map(Row::Entry).collect()
        };
        self.missing += uids.len() - rows.len();
        self.rows = rows.into_iter();
        Ok(true)
    }

    fn outcome(self, uid: bool) -> Outcome {
        match self.failed {
            Some(failure) => Err(failure),
            // By number, the client means messages that it believes to be there (RFC 2180 section 4.1.2).
            None if self.missing > 0 && !uid => {
                Err(Failure::no(Code::EXPUNGE_ISSUED, "Some of the messages are not there any more"))
            }
            None => Ok(Done::text("FETCH completed")),
        }
    }
}
