//! Contexts (RFC 5267): search results that a client keeps, with notifications of changes.
//!
//! A context has its search program and the UIDs found, ordered if it is a SORT. When the known view advances, only new
//! and changed messages are checked, so that the cost depends on the changes, not on the size of the mailbox. Message
//! numbers and `$` in a program mean what they did when the search was made (RFC 5267 section 4.3); `*` among UIDs
//! follows the mailbox.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use directory::AccountRealm;
use mailstore::{MailError, MailStore, MailboxView, SortField, SortKey, Uid, UidSet, ViewDiff};

use super::kept::{Context, Sorted};
use super::search::{CancelOnDrop, Hits, Meant, query};
use super::selected::pick_lenient;
use super::{
    Session,
    outcome::{Done, Enabled, Outcome},
};
use crate::failure::Failure;
use crate::response::{Code, text};
use crate::syntax::{Flag, MessageSet, Ranges, Search, SearchKey, SearchReturn, SeqRange};

/// Longest program that is kept, in bytes, about.
const MAX_PROGRAM_BYTES: usize = 64 << 10;

const TOO_LARGE: &str = "The search result is too large for updates";

impl Session {
    /// Fails if a search is to be kept up to date under the tag of another (RFC 5267 section 4.3).
    pub(super) fn may_keep(&self, tag: &str, returns: Option<SearchReturn>) -> Outcome<()> {
        let wanted = returns.is_some_and(|returns| returns.update);
        let in_use = |selected: &super::Selected| selected.contexts.iter().any(|context| context.tag == tag);
        if wanted && self.selected.as_deref().is_some_and(in_use) {
            return Err(Failure::bad("Tag reuse: a search with updates already has this tag"));
        }
        Ok(())
    }

    /// Has the client told how what a search found changes from now on, if it wants that and the limits allow it.
    pub(super) fn keep_updated(&mut self, tag: &str, search: Search, sort: Option<Vec<SortKey>>, hits: &Hits) {
        if !search.returns.is_some_and(|returns| returns.update) {
            return;
        }
        let options = &self.door.options;
        let (most, most_numbers) = (options.max_search_contexts, options.max_context_numbers);
        let Some(selected) = &mut self.selected else { return };
        let program = frozen(search.key, &Meant::of(selected));
        let refused = if selected.contexts.len() >= most {
            Some("Too many searches with updates; cancel one with CANCELUPDATE")
        } else if program.has(&|key| matches!(key, SearchKey::Younger(_) | SearchKey::Older(_))) {
            Some("Updates are not supported for searches with YOUNGER and OLDER, whose results change with time")
        } else if sort.iter().flatten().any(|key| key.field == SortField::Relevancy) {
            Some("Updates are not supported for a SORT by RELEVANCY")
        } else if weight(&program) > MAX_PROGRAM_BYTES {
            Some("The search program is too long for updates")
        } else {
            let order = hits.uids(&selected.known);
            let members = order.iter().copied().collect();
            let sorted = sort.map(|keys| Sorted { keys, order });
            let context = Context { tag: tag.to_owned(), uid: search.uid, program, members, sorted };
            let numbers: usize = selected.contexts.iter().map(Context::numbers).sum();
            if numbers + context.numbers() > most_numbers {
                Some(TOO_LARGE)
            } else {
                selected.contexts.push(context);
                None
            }
        };
        if let Some(reason) = refused {
            self.no_update(tag, reason);
        }
    }

    /// `* NO [NOUPDATE "tag"] reason`.
    pub(super) fn no_update(&mut self, tag: &str, reason: &str) {
        self.status_line(None, b"NO ", Some(&Code::NoUpdate(tag.to_owned())), reason);
    }

    /// CANCELUPDATE (RFC 5267 section 4.3.5).
    pub(super) fn cancel_update(&mut self, tags: &[String]) -> Outcome {
        let contexts = &mut self.selected_mut()?.contexts;
        let known = tags.iter().all(|tag| contexts.iter().any(|context| context.tag == *tag));
        contexts.retain(|context| !tags.contains(&context.tag));
        if known {
            Ok(Done::text("No further updates"))
        } else {
            Err(Failure::No(None, "No search with updates has this tag".into()))
        }
    }

    /// Brings all contexts up to `newer`, and gives what is to be told of that.
    pub(super) async fn context_updates(
        &mut self,
        realm: AccountRealm,
        newer: &Arc<MailboxView>,
        diff: &ViewDiff,
    ) -> Outcome<Updates> {
        let most_numbers = self.door.options.max_context_numbers;
        let mailstore = self.door.mailstore.clone();
        let selected = self.selected_mut()?;
        let contexts = std::mem::take(&mut selected.contexts);
        let tags: Vec<String> = contexts.iter().map(|context| context.tag.clone()).collect();
        let cancel = CancelOnDrop::default();
        let look = Look {
            mailstore,
            realm,
            changed: changed(&selected.known, newer),
            gone: diff.vanished.iter().map(|(_, uid)| *uid).collect(),
            ends: [selected.known.uids().last().copied(), newer.uids().last().copied()],
            newer: Arc::clone(newer),
            recent: selected.recent.clone(),
            cancel: cancel.flag(),
        };
        let done = super::blocking(move || Ok::<_, MailError>(look.run(contexts, most_numbers))).await;
        drop(cancel);
        match done {
            Ok((contexts, updates)) => {
                self.selected_mut()?.contexts = contexts;
                Ok(updates)
            }
            Err(Failure::No(..) | Failure::Bad(..)) => {
                let refused = tags.into_iter().map(|tag| (tag, "The server failed at this search")).collect();
                Ok(Updates { changes: Vec::new(), refused })
            }
            Err(failure) => Err(failure),
        }
    }
}

/// Messages of `newer` that came or changed since `known`, ascending.
fn changed(known: &MailboxView, newer: &MailboxView) -> Vec<Uid> {
    let since = known.highest_modseq();
    (0..newer.len()).filter(|&index| newer.modseq(index) > since).map(|index| newer.uids()[index]).collect()
}

/// What is to be told of results that are kept up to date.
pub(super) struct Updates {
    changes: Vec<Change>,
    refused: Vec<(String, &'static str)>,
}

/// How one result changed.
struct Change {
    tag: String,
    uid: bool,
    removed: Vec<Run>,
    added: Vec<Run>,
}

/// Messages side by side in a result, from that position on; from 0 where the order is the mailbox's.
struct Run {
    position: usize,
    uids: Vec<Uid>,
}

impl Updates {
    /// What no longer matches, by its numbers in `known`, before these change.
    pub(super) fn write_removed(&self, known: &MailboxView, enabled: Enabled, out: &mut Vec<u8>) {
        for change in self.changes.iter().filter(|change| !change.removed.is_empty()) {
            change.write(b" REMOVEFROM (", &change.removed, known, enabled, out);
        }
    }

    /// What matches now, by its numbers in `newer`, once the client knows these.
    pub(super) fn write_added(&self, newer: &MailboxView, enabled: Enabled, out: &mut Vec<u8>) {
        for change in self.changes.iter().filter(|change| !change.added.is_empty()) {
            change.write(b" ADDTO (", &change.added, newer, enabled, out);
        }
    }

    /// Tags of searches whose results are no longer kept up to date, and why.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.refused.iter().map(|(tag, reason)| (tag.as_str(), *reason))
    }
}

impl Change {
    /// `* ESEARCH (TAG "a") UID ADDTO (3 7:9 12 4)`.
    fn write(&self, item: &[u8], runs: &[Run], view: &MailboxView, enabled: Enabled, out: &mut Vec<u8>) {
        let uid = self.uid || enabled.uid_only;
        out.extend_from_slice(b"* ESEARCH (TAG ");
        text::string(out, self.tag.as_bytes(), false);
        out.extend_from_slice(if uid { b") UID" } else { b")" });
        out.extend_from_slice(item);
        for (number, run) in runs.iter().enumerate() {
            if number > 0 {
                out.push(b' ');
            }
            text::number(out, run.position as u64);
            out.push(b' ');
            let numbers: Vec<u32> = if uid {
                run.uids.iter().map(|uid| uid.0).collect()
            } else {
                run.uids.iter().filter_map(|uid| view.index_of(*uid)).map(|index| index as u32 + 1).collect()
            };
            Ranges::in_order(&numbers).write(out);
        }
        out.extend_from_slice(b")\r\n");
    }
}

/// A look at what changed in the mailbox, where it may block.
struct Look {
    mailstore: MailStore,
    realm: AccountRealm,
    newer: Arc<MailboxView>,
    changed: Vec<Uid>,
    gone: Vec<Uid>,
    /// The last message before and now: what `*` means among UIDs.
    ends: [Option<Uid>; 2],
    recent: UidSet,
    cancel: Arc<AtomicBool>,
}

impl Look {
    fn run(&self, mut contexts: Vec<Context>, most_numbers: usize) -> (Vec<Context>, Updates) {
        let mut updates = Updates { changes: Vec::new(), refused: Vec::new() };
        let mut numbers = 0;
        contexts.retain_mut(|context| {
            match self.bring_up_to_date(context) {
                Ok(change) => updates.changes.extend(change),
                Err(error) => {
                    tracing::warn!(%error, "could not update the result of a search");
                    let reason = "The mailbox could not be searched; search again";
                    updates.refused.push((std::mem::take(&mut context.tag), reason));
                    return false;
                }
            }
            numbers += context.numbers();
            let fits = numbers <= most_numbers;
            if !fits {
                numbers -= context.numbers();
                updates.refused.push((std::mem::take(&mut context.tag), TOO_LARGE));
            }
            fits
        });
        (contexts, updates)
    }

    fn bring_up_to_date(&self, context: &mut Context) -> Result<Option<Change>, MailError> {
        let asked = self.candidates(&context.program);
        let meant = Meant { view: Some(Arc::clone(&self.newer)), saved: UidSet::EMPTY, recent: self.recent.clone() };
        let program = query(&context.program, &meant);
        let found = self.mailstore.search_among(self.realm, &self.newer, &asked, &program, Some(&self.cancel))?;
        let matching: HashSet<Uid> = found.hits.into_iter().map(|(uid, _)| uid).collect();
        let is_member = |uid: &Uid| context.members.contains(*uid);
        let stale = asked.iter().filter(|uid| !matching.contains(uid)).chain(&self.gone);
        let mut removed: Vec<Uid> = stale.copied().filter(is_member).collect();
        removed.sort_unstable();
        let mut added: Vec<Uid> =
            asked.iter().copied().filter(|uid| matching.contains(uid) && !is_member(uid)).collect();
        if removed.is_empty() && added.is_empty() {
            return Ok(None);
        }
        let (removed_runs, added_runs) = match &mut context.sorted {
            None => (in_mailbox_order(&removed), in_mailbox_order(&added)),
            Some(sorted) => {
                let removed_runs = sorted.remove(&removed);
                let at = (self.realm, self.newer.mailbox());
                let placed = self.mailstore.sort_into(at, &sorted.order, &added, &sorted.keys, &self.cancel)?;
                added = placed.iter().map(|(_, uid)| *uid).collect();
                (removed_runs, sorted.insert(placed))
            }
        };
        let (removed, added) = (removed.into_iter().collect(), added.into_iter().collect());
        context.members = context.members.difference(&removed).union(&added);
        Ok(Some(Change { tag: context.tag.clone(), uid: context.uid, removed: removed_runs, added: added_runs }))
    }

    /// The messages whose standing may have changed, ascending.
    fn candidates(&self, program: &SearchKey) -> Vec<Uid> {
        let mut asked = self.changed.clone();
        if program.has(&has_star) {
            asked.extend(self.ends.into_iter().flatten());
            asked.sort_unstable();
            asked.dedup();
        }
        asked.retain(|uid| self.newer.index_of(*uid).is_some());
        asked
    }
}

fn in_mailbox_order(uids: &[Uid]) -> Vec<Run> {
    if uids.is_empty() { Vec::new() } else { vec![Run { position: 0, uids: uids.to_vec() }] }
}

impl Sorted {
    /// Takes messages (ascending) out, and gives where they were: from the last to the first, so that no position shifts
    /// before it is told.
    fn remove(&mut self, uids: &[Uid]) -> Vec<Run> {
        if uids.is_empty() {
            return Vec::new();
        }
        let mut taken = Vec::with_capacity(uids.len());
        let mut position = 0;
        self.order.retain(|uid| {
            position += 1;
            let goes = uids.binary_search(uid).is_ok();
            if goes {
                taken.push((position, *uid));
            }
            !goes
        });
        let mut runs = runs(taken);
        runs.reverse();
        runs
    }

    /// Puts messages in, each with its index in the list that results.
    fn insert(&mut self, placed: Vec<(usize, Uid)>) -> Vec<Run> {
        let mut merged = Vec::with_capacity(self.order.len() + placed.len());
        let mut there = std::mem::take(&mut self.order).into_iter();
        for (index, uid) in &placed {
            let before = index - merged.len();
            merged.extend(there.by_ref().take(before));
            merged.push(*uid);
        }
        merged.extend(there);
        self.order = merged;
        runs(placed.into_iter().map(|(index, uid)| (index + 1, uid)).collect())
    }
}

/// Those side by side together. Positions ascend.
fn runs(positions: Vec<(usize, Uid)>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (position, uid) in positions {
        match runs.last_mut() {
            Some(run) if run.position + run.uids.len() == position => run.uids.push(uid),
            _ => runs.push(Run { position, uids: vec![uid] }),
        }
    }
    runs
}

/// The program with UIDs in place of message numbers and `$`. Depth is bounded by the parser.
fn frozen(key: SearchKey, meant: &Meant) -> SearchKey {
    match key {
        SearchKey::And(keys) => SearchKey::And(keys.into_iter().map(|key| frozen(key, meant)).collect()),
        SearchKey::Or(keys) => SearchKey::Or(keys.into_iter().map(|key| frozen(key, meant)).collect()),
        SearchKey::Not(key) => SearchKey::Not(Box::new(frozen(*key, meant))),
        SearchKey::Fuzzy(key) => SearchKey::Fuzzy(Box::new(frozen(*key, meant))),
        SearchKey::Sequence(set) => uids_alone(match &meant.view {
            // Between two UIDs of the mailbox nothing new can come.
            Some(view) => {
                let picked = pick_lenient(view, &meant.saved, &set);
                picked.0.into_iter().map(|range| (view.uids()[range.start], view.uids()[range.end - 1])).collect()
            }
            None => Vec::new(),
        }),
        SearchKey::Uid(MessageSet::Saved) => {
            uids_alone(meant.saved.ranges().iter().map(|(first, last)| (Uid(*first), Uid(*last))).collect())
        }
        key => key,
    }
}

fn uids_alone(ranges: Vec<(Uid, Uid)>) -> SearchKey {
    if ranges.is_empty() {
        return SearchKey::Not(Box::new(SearchKey::All));
    }
    let range = |(first, last): (Uid, Uid)| SeqRange { start: Some(first.0), end: Some(last.0) };
    SearchKey::Uid(MessageSet::Ranges(ranges.into_iter().map(range).collect()))
}

/// Whether a key names the last message by `*`.
fn has_star(key: &SearchKey) -> bool {
    let star = |range: &SeqRange| range.start.is_none() || range.end.is_none();
    matches!(key, SearchKey::Uid(MessageSet::Ranges(ranges)) if ranges.iter().any(star))
}

/// How many bytes a program takes, about. Depth is bounded by the parser.
fn weight(key: &SearchKey) -> usize {
    let more = match key {
        SearchKey::And(keys) | SearchKey::Or(keys) => keys.iter().map(weight).sum(),
        SearchKey::Not(key) | SearchKey::Fuzzy(key) => weight(key),
        SearchKey::Sequence(MessageSet::Ranges(ranges)) | SearchKey::Uid(MessageSet::Ranges(ranges)) => {
            size_of_val(ranges.as_slice())
        }
        SearchKey::Flag(Flag::Keyword(text))
        | SearchKey::From(text)
        | SearchKey::To(text)
        | SearchKey::Cc(text)
        | SearchKey::Bcc(text)
        | SearchKey::Subject(text)
        | SearchKey::Body(text)
        | SearchKey::Text(text)
        | SearchKey::EmailId(text)
        | SearchKey::ThreadId(text) => text.len(),
        SearchKey::Header { name, value } => name.len() + value.len(),
        _ => 0,
    };
    size_of::<SearchKey>() + more
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(order: &[u32]) -> Sorted {
        Sorted { keys: Vec::new(), order: order.iter().copied().map(Uid).collect() }
    }

    fn plain(runs: &[Run]) -> Vec<(usize, Vec<u32>)> {
        runs.iter().map(|run| (run.position, run.uids.iter().map(|uid| uid.0).collect())).collect()
    }

    #[test]
    fn what_goes_is_told_from_the_last_to_the_first() {
        let mut list = sorted(&[5, 3, 9, 1, 7]);
        assert_eq!(plain(&list.remove(&[Uid(1), Uid(3), Uid(5), Uid(8)])), [(4, vec![1]), (1, vec![5, 3])]);
        assert_eq!(list.order, [Uid(9), Uid(7)]);
        assert!(list.remove(&[]).is_empty());
    }

    #[test]
    fn what_comes_is_told_by_where_it_is_afterwards() {
        let mut list = sorted(&[9, 7]);
        let placed = [(0, 5), (1, 3), (3, 1), (5, 2)].map(|(index, uid)| (index, Uid(uid))).to_vec();
        assert_eq!(plain(&list.insert(placed)), [(1, vec![5, 3]), (4, vec![1]), (6, vec![2])]);
        assert_eq!(list.order, [5, 3, 9, 1, 7, 2].map(Uid));
    }

    #[test]
    fn a_program_weighs_what_it_says() {
        let long = SearchKey::Body("x".repeat(MAX_PROGRAM_BYTES));
        assert!(weight(&SearchKey::Not(Box::new(long))) > MAX_PROGRAM_BYTES);
        let range = SeqRange { start: Some(1), end: Some(1) };
        let many = SearchKey::Uid(MessageSet::Ranges(vec![range; MAX_PROGRAM_BYTES / 8]));
        assert!(weight(&SearchKey::And(vec![many])) > MAX_PROGRAM_BYTES);
        assert!(weight(&SearchKey::And(vec![SearchKey::All; 100])) < MAX_PROGRAM_BYTES);
    }
}
