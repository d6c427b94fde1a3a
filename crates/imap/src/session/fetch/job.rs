//! Making the answer to a FETCH, chunk by chunk, where it may block.

use std::ops::Range;
use std::sync::Arc;

use directory::AccountRealm;
use mailstore::{EncodedRow, Flags, MailStore, MailboxId, MailboxView, MessageEntry, ModSeq, Uid, UidSet};

use super::message::Message;
use super::plan::Plan;
use crate::failure::Failure;
use crate::response::{Code, text};
use crate::session::outcome::Outcome;
use crate::session::outcome::write_fetch_start;
use crate::session::selected::{Picked, write_flags};
use crate::syntax::FetchItem;
use doorkit::wire::FLUSH_BYTES;

/// What all parts of a FETCH share.
pub(super) struct Shared {
    pub(super) mailstore: MailStore,
    pub(super) realm: AccountRealm,
    pub(super) mailbox: MailboxId,
    pub(super) view: Arc<MailboxView>,
    /// What is `\Recent` for the session.
    pub(super) recent: UidSet,
    pub(super) plan: Plan,
}

/// A message as far as it was read.
pub(super) enum Row {
    Entry(MessageEntry),
    Full(Box<EncodedRow>),
}

impl Row {
    /// The row with what was parsed; the plan has it read wherever it is needed, unless it is damaged.
    pub(super) fn full(&self) -> Outcome<&EncodedRow> {
        match self {
            Self::Full(row) => Ok(row),
            Self::Entry(_) => Err(Failure::no(Code::CORRUPTION, "Stored message structure is damaged")),
        }
    }

    pub(super) fn entry(&self) -> &MessageEntry {
        match self {
            Self::Entry(entry) => entry,
            Self::Full(row) => &row.entry,
        }
    }
}

/// Some of the messages of a FETCH, being answered.
pub(super) struct Job {
    shared: Arc<Shared>,
    /// What is still to be read, as indexes into the view.
    todo: std::vec::IntoIter<Range<usize>>,
    range: Range<usize>,
    rows: std::vec::IntoIter<Row>,
    message: Option<Message>,
    /// Messages that were gone when their turn came.
    pub(super) missing: usize,
    /// Flags that were told although they are newer than the view.
    pub(super) told: Vec<(Uid, ModSeq, Flags)>,
    /// Messages that were left out, or something of them, because what is stored is damaged.
    pub(super) damaged: Vec<Uid>,
    /// How many messages were answered in full.
    pub(super) answered: usize,
    /// Why the first message whose bytes could not be given could not.
    pub(super) failed: Option<Failure>,
}

impl Job {
    pub(super) fn new(shared: Arc<Shared>, picked: Picked) -> Self {
        Self {
            shared,
            todo: picked.0.into_iter(),
            range: 0..0,
            rows: Vec::new().into_iter(),
            message: None,
            missing: 0,
            told: Vec::new(),
            damaged: Vec::new(),
            answered: 0,
            failed: None,
        }
    }

    /// Writes about a chunk; `false` when all is written.
    pub(super) fn step(&mut self, out: &mut Vec<u8>) -> Outcome<bool> {
        let shared = Arc::clone(&self.shared);
        if !shared.plan.needs.rows {
            return Ok(self.write_known(&shared, out));
        }
        while out.len() < FLUSH_BYTES {
            if let Some(message) = &mut self.message {
                if message.write(&shared, out)? {
                    match message.failure() {
                        Some(Failure::No(Some(Code::CORRUPTION), _)) => self.damaged.push(message.uid()),
                        Some(failure) => self.failed = self.failed.take().or(Some(failure)),
                        None => self.answered += 1,
                    }
                    self.message = None;
                }
                continue;
            }
            if let Some(row) = self.rows.next() {
                if let Some(index) = shared.view.index_of(row.entry().uid) {
                    let entry = row.entry();
                    if !shared.plan.flags_are_known
                        && entry.modseq > shared.view.highest_modseq()
                        && shared.plan.items.contains(&FetchItem::Flags)
                    {
                        self.told.push((entry.uid, entry.modseq, entry.flags.clone()));
                    }
                    self.message = Some(Message::new(&shared.mailstore, index + 1, row));
                }
                continue;
            }
            if !self.read_rows(&shared)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The next messages to answer, at most `most`; empty at the end.
    fn next_indexes(&mut self, most: usize) -> Range<usize> {
        while self.range.is_empty() {
            match self.todo.next() {
                Some(range) => self.range = range,
                None => return 0..0,
            }
        }
        let end = self.range.end.min(self.range.start + most);
        let next = self.range.start..end;
        self.range.start = end;
        next
    }

    /// Reads the next rows; `false` if there are none to read.
    fn read_rows(&mut self, shared: &Shared) -> Outcome<bool> {
        let most = shared.plan.needs.rows_at_a_time();
        let mut uids = Vec::new();
        while uids.len() < most {
            let next = self.next_indexes(most - uids.len());
            if next.is_empty() {
                break;
            }
            uids.extend_from_slice(&shared.view.uids()[next]);
        }
        if uids.is_empty() {
            return Ok(false);
        }
        let damaged = self.damaged.len();
        let rows: Vec<Row> = if shared.plan.needs.parsed {
            self.parsed_rows(shared, &uids)?
        } else {
            let entries = shared.mailstore.entries(shared.realm, shared.mailbox, &uids)?;
            entries.into_iter().map(Row::Entry).collect()
        };
        self.missing += uids.len() - rows.len() - (self.damaged.len() - damaged);
        self.rows = rows.into_iter();
        Ok(true)
    }

    /// Rows with what was parsed; of a message where that is damaged, what is left.
    fn parsed_rows(&mut self, shared: &Shared, uids: &[Uid]) -> Outcome<Vec<Row>> {
        let (rows, damaged) = shared.mailstore.readable_rows(shared.realm, shared.mailbox, uids)?;
        let mut rows: Vec<Row> = rows.into_iter().map(|row| Row::Full(Box::new(row))).collect();
        for uid in damaged {
            match shared.mailstore.entries(shared.realm, shared.mailbox, &[uid]) {
                Ok(entries) => rows.extend(entries.into_iter().map(Row::Entry)),
                // Not missing, but not to be read either.
                Err(error) if error.is_damage() => self.damaged.push(uid),
                Err(error) => return Err(error.into()),
            }
        }
        rows.sort_by_key(|row| row.entry().uid);
        Ok(rows)
    }

    /// Writes what the view itself can tell.
    fn write_known(&mut self, shared: &Shared, out: &mut Vec<u8>) -> bool {
        let view = &shared.view;
        while out.len() < FLUSH_BYTES {
            let next = self.next_indexes(1);
            let index = next.start;
            if next.is_empty() {
                return false;
            }
            write_fetch_start(out, index + 1, view.uids()[index], shared.plan.enabled);
            for (i, item) in shared.plan.items.iter().enumerate() {
                if i > 0 {
                    out.push(b' ');
                }
                match item {
                    FetchItem::Flags => {
                        out.extend_from_slice(b"FLAGS ");
                        write_flags(out, view.flags(index), shared.recent.contains(view.uids()[index]));
                    }
                    FetchItem::ModSeq => {
                        out.extend_from_slice(b"MODSEQ (");
                        text::number(out, view.modseq(index).0);
                        out.push(b')');
                    }
                    // The plan reads rows for all others.
                    _ => {
                        out.extend_from_slice(b"UID ");
                        text::number(out, u64::from(view.uids()[index].0));
                    }
                }
            }
            out.extend_from_slice(b")\r\n");
        }
        true
    }
}
