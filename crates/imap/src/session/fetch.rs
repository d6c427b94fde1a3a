//! FETCH (RFC 9051 section 6.4.5): the answer is made in chunks where it may block, and written while the next is made.

mod job;
mod message;
mod plan;
pub(super) mod section;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use doorkit::wire::FLUSH_BYTES;
use mailstore::{Flags, MailboxView, ModSeq, Uid};
use tokio::task::JoinHandle;

use super::search::left_out;
use super::selected::{Picked, keywords_of};
use super::{
    Session,
    outcome::{Done, Outcome},
};
use crate::failure::Failure;
use crate::response::Code;
use crate::syntax::{Fetch, FetchItem};

use job::{Job, Shared};
use plan::Plan;

/// How many parts of an answer are made at the same time.
const PARTS_AT_A_TIME: usize = 2;
/// Up to so many messages are looked up without going to a blocking thread, if no body is read.
const FEW: usize = 10;

impl Session {
    pub(super) async fn fetch(&mut self, fetch: Fetch) -> Outcome {
        let outcome = self.fetch_items(fetch).await;
        if let (Err(_), Some(selected)) = (&outcome, &mut self.selected) {
            selected.has_told_in_part();
        }
        outcome
    }

    async fn fetch_items(&mut self, fetch: Fetch) -> Outcome {
        let realm = self.realm()?;
        if fetch.vanished && !self.enabled.qresync {
            return Err(Failure::bad("ENABLE QRESYNC first"));
        }
        if fetch.changed_since.is_some() || fetch.items.contains(&FetchItem::ModSeq) {
            self.enable_condstore();
        }
        let selected = self.selected()?;
        let (mailbox, view) = (selected.mailbox, Arc::clone(&selected.known));
        let mut picked = selected.pick(fetch.uid, &fetch.set)?;
        if let Some(since) = fetch.changed_since {
            picked = changed_since(&picked, &view, ModSeq(since));
            if fetch.vanished {
                self.tell_vanished(&fetch, ModSeq(since))?;
            }
        }
        if let Some(partial) = fetch.partial {
            let stretch = partial.within(picked.len());
            picked.take_first(stretch.start);
            picked = picked.take_first(stretch.len());
        }
        let sets_seen = !self.selected()?.read_only && fetch.items.iter().any(sets_seen);
        if sets_seen {
            self.set_seen(&picked, &view).await?;
        }
        let mut plan = Plan::new(fetch.items, fetch.uid, fetch.changed_since.is_some(), self.enabled, sets_seen);
        let is_current = self.selected()?.is_current();
        if !is_current && plan.items.contains(&FetchItem::Flags) {
            // Flags are read as they are now: the client must have heard of every keyword among them.
            let newest = self.door.mailstore.view(realm, mailbox)?;
            let (selected, wire) = self.selected_and_wire()?;
            selected.tell_keywords(&keywords_of(&newest), &mut wire.out);
        }
        plan.needs.rows |= !is_current;
        plan.flags_are_known = is_current;
        let needs = plan.needs;
        if plan.items.contains(&FetchItem::ModSeq) {
            self.selected_mut()?.shows_modseq();
        }
        let recent = self.selected()?.recent.clone();
        let shared = Arc::new(Shared { mailstore: self.door.mailstore.clone(), realm, mailbox, view, recent, plan });
        let mut tally = Tally::default();
        if picked.len() <= FEW && !needs.body {
            let mut job = Job::new(shared, picked);
            while job.step(&mut self.wire.out)? {
                self.wire.flush_if_full().await?;
            }
            tally.add(job);
        } else {
            self.stream(&shared, picked, &mut tally).await?;
        }
        let selected = self.selected_mut()?;
        for (uid, modseq, flags) in std::mem::take(&mut tally.told) {
            selected.has_told(uid, modseq, &flags);
        }
        tally.outcome(fetch.uid)
    }

    /// Makes the next parts of the answer while the last one is on its way. A client that reads slowly holds up its own
    /// answer alone, and holds no thread.
    async fn stream(&mut self, shared: &Arc<Shared>, mut picked: Picked, tally: &mut Tally) -> Outcome<()> {
        let most = shared.plan.needs.rows_at_a_time();
        let mut parts: VecDeque<JoinHandle<Step>> = VecDeque::new();
        let mut spare: Vec<Vec<u8>> = Vec::new();
        loop {
            while parts.len() < PARTS_AT_A_TIME && !picked.0.is_empty() {
                let job = Job::new(Arc::clone(shared), picked.take_first(most));
                parts.push_back(make(job, spare.pop().unwrap_or_default()));
            }
            let Some(first) = parts.pop_front() else { return Ok(()) };
            let Step { job, chunk, more } = first.await.map_err(|error| {
                tracing::error!(%error, "a FETCH died");
                // The answer may stop in the middle of a literal: the connection can not go on.
                Failure::bye("Internal server error; please report it")
            })?;
            if more? {
                parts.push_front(make(job, spare.pop().unwrap_or_default()));
            } else {
                tally.add(job);
                if !picked.0.is_empty() {
                    let job = Job::new(Arc::clone(shared), picked.take_first(most));
                    parts.push_back(make(job, spare.pop().unwrap_or_default()));
                }
            }
            if parts.is_empty() && self.wire.out.len() + chunk.len() < FLUSH_BYTES {
                // The tagged answer can go along.
                self.wire.out.extend_from_slice(&chunk);
            } else {
                spare.push(self.wire.send(chunk).await?);
            }
        }
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
        let result = self.door.mailstore.mark_seen(realm, mailbox, &unseen).await?;
        let selected = self.selected_mut()?;
        for (uid, flags, modseq) in result.changed {
            selected.has_told(uid, modseq, &flags);
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

/// A chunk that was made.
struct Step {
    job: Job,
    chunk: Vec<u8>,
    more: Outcome<bool>,
}

/// Makes the next chunk of `job` on a blocking thread.
fn make(mut job: Job, mut chunk: Vec<u8>) -> JoinHandle<Step> {
    doorkit::span::spawn_blocking(move || {
        let more = job.step(&mut chunk);
        Step { job, chunk, more }
    })
}

/// How the parts of a FETCH went.
#[derive(Default)]
struct Tally {
    missing: usize,
    failed: Option<Failure>,
    damaged: Vec<Uid>,
    answered: usize,
    /// Flags that were told although they are newer than the view.
    told: Vec<(Uid, ModSeq, Flags)>,
}

impl Tally {
    fn add(&mut self, job: Job) {
        self.missing += job.missing;
        self.told.extend(job.told);
        self.damaged.extend(job.damaged);
        self.answered += job.answered;
        self.failed = self.failed.take().or(job.failed);
    }

    fn outcome(self, uid: bool) -> Outcome {
        match self.failed {
            Some(failure) => Err(failure),
            // One damaged message hides no other: a client that fetches a range has got the rest of it.
            None if !self.damaged.is_empty() => {
                let text = left_out(&self.damaged.into_iter().collect());
                if self.answered > 0 {
                    Ok(Done::code(Code::CORRUPTION, text))
                } else {
                    Err(Failure::no(Code::CORRUPTION, text))
                }
            }
            // By number, the client means messages that it believes to be there. It has got all others: a NO would have
            // its person told of an error (RFC 5530 section 3 `EXPUNGEISSUED`).
            None if self.missing > 0 && !uid => {
                Ok(Done::code(Code::EXPUNGE_ISSUED, "Some of the messages no longer exist"))
            }
            None => Ok(Done::text("FETCH completed")),
        }
    }
}
