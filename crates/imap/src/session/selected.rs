//! The selected mailbox as the client knows it, and telling it what changed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use directory::AccountRealm;
use mailstore::{
    Flags, Keyword, MAX_KEYWORDS, MailError, MailStore, MailboxId, MailboxView, ModSeq, SystemFlag, Uid, UidSet,
    ViewDiff, Watch,
};

use super::kept::Context;
use super::outcome::write_fetch_start;
use super::outcome::{Enabled, Outcome};
use super::shown::Shown;
use crate::failure::Failure;
use crate::response::text;
use crate::syntax::{MessageSet, Ranges};

/// Messages picked by a command: ascending, disjoint ranges of indexes into the known view.
#[derive(Debug, Clone, Default)]
pub(crate) struct Picked(pub(crate) Vec<Range<usize>>);

impl Picked {
    pub(crate) fn indexes(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().cloned().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(ExactSizeIterator::len).sum()
    }

    /// Takes the first `most` messages away.
    pub(crate) fn take_first(&mut self, most: usize) -> Self {
        let mut taken = Vec::new();
        let mut room = most;
        let mut used = 0;
        for range in &mut self.0 {
            let n = range.len().min(room);
            taken.push(range.start..range.start + n);
            range.start += n;
            room -= n;
            if range.start < range.end {
                break;
            }
            used += 1;
            if room == 0 {
                break;
            }
        }
        self.0.drain(..used);
        Self(taken)
    }

    pub(crate) fn uids(&self, view: &MailboxView) -> Vec<Uid> {
        self.0.iter().flat_map(|range| &view.uids()[range.clone()]).copied().collect()
    }
}

/// A selected mailbox.
///
/// `known` is what the client has been told: its sequence numbers count in it. It moves on in
/// [`Session::tell_changes`] alone, so numbers never shift under a command.
pub(super) struct Selected {
    pub(super) mailbox: MailboxId,
    pub(super) read_only: bool,
    pub(super) known: Arc<MailboxView>,
    /// What `$` means (RFC 5182).
    pub(super) saved: UidSet,
    /// Flags the client knows of although they are newer than `known`: its own doing, or fetched.
    told: HashMap<Uid, (ModSeq, Flags)>,
    /// An answer broke off: which flags the client knows that are newer than `known` is not known.
    told_unknown: bool,
    /// The keywords of the last FLAGS response.
    keywords: Vec<Keyword>,
    pub(super) changes: Watch,
    /// What is `\Recent` for this session (RFC 3501 section 2.3.2).
    pub(super) recent: UidSet,
    /// Messages from this UID on are to be fetched by NOTIFY.
    pub(super) fetched_below: Uid,
    /// There is more to tell than could be told so far.
    pub(super) behind: bool,
    pub(super) shown: Shown,
    /// Searches whose results the client keeps, and is told how they change.
    pub(super) contexts: Vec<Context>,
}

impl Selected {
    pub(super) fn new(
        mailbox: MailboxId,
        read_only: bool,
        known: Arc<MailboxView>,
        changes: Watch,
        recent: UidSet,
    ) -> Self {
        let (keywords, told, fetched_below) = (keywords_of(&known), HashMap::new(), known.uid_next());
        Self {
            mailbox,
            read_only,
            known,
            saved: UidSet::EMPTY,
            told,
            told_unknown: false,
            keywords,
            changes,
            recent,
            fetched_below,
            behind: false,
            shown: Shown::default(),
            contexts: Vec::new(),
        }
    }

    /// How many of the known messages are `\Recent` for this session.
    pub(super) fn count_recent(&self) -> usize {
        self.pick_uids(&self.recent).len()
    }

    /// The messages a client means by `set`. Numbers beyond the last message are an error, as RFC 9051 section 9
    /// (`seq-number`) wants it; UIDs that are not there mean nothing.
    pub(super) fn pick(&self, uid: bool, set: &MessageSet) -> Outcome<Picked> {
        let count = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        if !uid && let Some(numbers) = set.resolve(count) {
            if numbers.largest() > count || count == 0 {
                return Err(Failure::bad(format!(
                    "No such message: the mailbox has {count} {}, not {}",
                    if count == 1 { "message" } else { "messages" },
                    numbers.largest().max(1)
                )));
            }
            return Ok(by_number(&numbers));
        }
        Ok(self.pick_uids(&self.uid_ranges(set)))
    }

    /// The UIDs meant by `set`, whether they are there or not.
    pub(super) fn uid_ranges(&self, set: &MessageSet) -> UidSet {
        uid_ranges(&self.known, &self.saved, set)
    }

    pub(super) fn pick_uids(&self, uids: &UidSet) -> Picked {
        pick_uids(&self.known, uids)
    }

    /// The keywords of the last FLAGS response.
    pub(super) fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    /// Whether the known view is all that there is to know. Not so while expunges wait to be told, or after a STORE of
    /// this session that the view does not show yet.
    pub(super) fn is_current(&self) -> bool {
        !self.behind && self.told.is_empty() && !self.told_unknown
    }

    /// Whether there may be more to tell than was told.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// An answer broke off: what it was to tell is told another time.
    pub(super) fn has_told_in_part(&mut self) {
        self.told = HashMap::new();
        self.told_unknown = true;
    }

    /// The client knows the flags of this message: it was just told them, or can work them out.
    pub(super) fn has_told(&mut self, uid: Uid, modseq: ModSeq, flags: &Flags) {
        if modseq > self.known.highest_modseq() {
            self.told.insert(uid, (modseq, flags.clone()));
        }
    }

    /// The flags of the message at `index` as the client knows them.
    pub(super) fn told_flags(&self, index: usize) -> &Flags {
        match self.told.get(&self.known.uids()[index]) {
            Some((_, flags)) => flags,
            None => self.known.flags(index),
        }
    }
}

/// The messages a client means by a sequence set within SEARCH: those beyond the last match nothing. `saved` is what `$`
/// means.
pub(super) fn pick_lenient(view: &MailboxView, saved: &UidSet, set: &MessageSet) -> Picked {
    let count = u32::try_from(view.len()).unwrap_or(u32::MAX);
    match set.resolve(count) {
        Some(numbers) => {
            let within = numbers.as_slice().iter().filter(|r| r.0 <= count).map(|r| (r.0.max(1), r.1.min(count)));
            by_number(&Ranges::from_unsorted(within.filter(|r| r.0 <= r.1).collect()))
        }
        None => pick_uids(view, saved),
    }
}

/// The UIDs meant by `set`, whether they are there or not. `saved` is what `$` means.
pub(super) fn uid_ranges(view: &MailboxView, saved: &UidSet, set: &MessageSet) -> UidSet {
    let largest = view.uids().last().map_or(0, |uid| uid.0);
    match set.resolve(largest) {
        Some(ranges) => UidSet::from_ranges(ranges.as_slice().iter().copied()),
        None => saved.clone(),
    }
}

fn pick_uids(view: &MailboxView, uids: &UidSet) -> Picked {
    let all = view.uids();
    let ranges = uids.ranges().iter().map(|&(first, last)| {
        let start = all.partition_point(|uid| uid.0 < first);
        let end = start + all[start..].partition_point(|uid| uid.0 <= last);
        start..end
    });
    Picked(ranges.filter(|range| !range.is_empty()).collect())
}

fn by_number(numbers: &Ranges) -> Picked {
    Picked(numbers.as_slice().iter().map(|&(a, b)| a as usize - 1..b as usize).collect())
}

/// Writes `(\Seen $Junk)`, and `\Recent` with them.
pub(crate) fn write_flags(out: &mut Vec<u8>, flags: &Flags, recent: bool) {
    out.push(b'(');
    if recent {
        out.extend_from_slice(b"\\Recent");
    }
    for (i, name) in flags.names().enumerate() {
        if i > 0 || recent {
            out.push(b' ');
        }
        out.extend_from_slice(name.as_bytes());
    }
    out.push(b')');
}

/// What is told of the flags of a message.
pub(super) struct FlagsLine<'a> {
    /// Index into the view the client knows.
    pub(super) index: usize,
    pub(super) uid: Uid,
    pub(super) flags: Option<&'a Flags>,
    pub(super) modseq: Option<ModSeq>,
}

impl FlagsLine<'_> {
    /// Writes `* n FETCH (UID u FLAGS (...) MODSEQ (m))`, or `* u UIDFETCH (FLAGS (...) MODSEQ (m))`.
    pub(super) fn write(&self, out: &mut Vec<u8>, recent: &UidSet, enabled: Enabled) {
        write_fetch_start(out, self.index + 1, self.uid, enabled);
        let start = out.len();
        let item = |out: &mut Vec<u8>, name: &[u8]| {
            if out.len() > start {
                out.push(b' ');
            }
            out.extend_from_slice(name);
        };
        if !enabled.uid_only {
            item(out, b"UID ");
            text::number(out, u64::from(self.uid.0));
        }
        if let Some(flags) = self.flags {
            item(out, b"FLAGS ");
            write_flags(out, flags, recent.contains(self.uid));
        }
        if let Some(modseq) = self.modseq {
            item(out, b"MODSEQ (");
            text::number(out, modseq.0);
            out.push(b')');
        }
        out.extend_from_slice(b")\r\n");
    }
}

/// What of `view` is `\Recent` for the session that asks. One that reads only takes it from nobody.
pub(super) fn recent_of(
    mailstore: &MailStore,
    realm: AccountRealm,
    view: &MailboxView,
    read_only: bool,
) -> Result<UidSet, MailError> {
    let line =
        if read_only { mailstore.recent_line(realm, view.mailbox())? } else { mailstore.claim_recent(realm, view)? };
    let (first, last) = (line.0.saturating_add(1), view.uid_next().0.saturating_sub(1));
    Ok(if first <= last { UidSet::from_ranges([(first, last)]) } else { UidSet::EMPTY })
}

/// The keywords in use in a mailbox.
pub(super) fn keywords_of(view: &MailboxView) -> Vec<Keyword> {
    let mut all: Vec<Keyword> = view.flag_sets().iter().flat_map(|flags| flags.keywords()).cloned().collect();
    all.sort();
    all.dedup();
    all
}

/// Writes FLAGS and PERMANENTFLAGS.
pub(super) fn write_flag_lists(out: &mut Vec<u8>, keywords: &[Keyword], read_only: bool) {
    let mut names = String::new();
    for name in SystemFlag::ALL.iter().map(|flag| flag.name()).chain(keywords.iter().map(Keyword::as_str)) {
        if !names.is_empty() {
            names.push(' ');
        }
        names.push_str(name);
    }
    out.extend_from_slice(format!("* FLAGS ({names})\r\n").as_bytes());
    let line = if read_only {
        "* OK [PERMANENTFLAGS ()] Read-only mailbox, no flags can be changed\r\n".to_owned()
    } else {
        // Where no keyword can be added any more, nothing promises that (RFC 9051 section 7.1).
        let more = if keywords.len() < MAX_KEYWORDS { " \\*" } else { "" };
        format!("* OK [PERMANENTFLAGS ({names}{more})] Flags permitted\r\n")
    };
    out.extend_from_slice(line.as_bytes());
}

impl Selected {
    /// New messages of which no other session was told are `\Recent` here.
    pub(super) fn take_recent(
        &mut self,
        mailstore: &MailStore,
        realm: AccountRealm,
        newer: &MailboxView,
        rev2: bool,
    ) -> Result<(), MailError> {
        if !rev2 && newer.uid_next() > self.known.uid_next() {
            self.recent = self.recent.union(&recent_of(mailstore, realm, newer, self.read_only)?);
        }
        Ok(())
    }

    /// FLAGS must name a keyword before a message shows it.
    pub(super) fn tell_keywords(&mut self, keywords: &[Keyword], out: &mut Vec<u8>) {
        if keywords.iter().all(|keyword| self.keywords.binary_search(keyword).is_ok()) {
            return;
        }
        self.keywords.extend_from_slice(keywords);
        self.keywords.sort();
        self.keywords.dedup();
        write_flag_lists(out, &self.keywords, self.read_only);
    }

    /// Writes what is new in `newer` and moves on to it.
    pub(super) fn tell(&mut self, newer: &Arc<MailboxView>, diff: ViewDiff, enabled: Enabled, out: &mut Vec<u8>) {
        if (enabled.qresync || enabled.uid_only) && !diff.vanished.is_empty() {
            let gone: UidSet = diff.vanished.iter().map(|gone| gone.1).collect();
            out.extend_from_slice(format!("* VANISHED {gone}\r\n").as_bytes());
        } else {
            // From the last to the first, so that no number shifts before it is told.
            for (number, _) in diff.vanished.iter().rev() {
                out.extend_from_slice(b"* ");
                text::number(out, u64::from(*number));
                out.extend_from_slice(b" EXPUNGE\r\n");
            }
        }
        if newer.len() > self.known.len() - diff.vanished.len() {
            out.extend_from_slice(b"* ");
            text::number(out, newer.len() as u64);
            out.extend_from_slice(b" EXISTS\r\n");
            if !enabled.rev2 {
                out.extend_from_slice(b"* ");
                text::number(out, pick_uids(newer, &self.recent).len() as u64);
                out.extend_from_slice(b" RECENT\r\n");
            }
        }
        self.tell_keywords(&keywords_of(newer), out);
        let changed = self.changed(newer, diff.changed);
        if enabled.condstore && !changed.is_empty() {
            self.shows_modseq();
        }
        for index in changed {
            let (uid, modseq) = (newer.uids()[index], newer.modseq(index));
            let shown = enabled.condstore.then_some(modseq);
            let line = FlagsLine { index, uid, flags: Some(newer.flags(index)), modseq: shown };
            line.write(out, &self.recent, enabled);
        }
        (self.told, self.told_unknown) = (HashMap::new(), false);
        self.known = Arc::clone(newer);
    }

    /// The messages in `newer` of whose flags the client is to be told, as indexes: those that differ from what it knows.
    /// Oldest change first, so that the latest MODSEQ that a client has seen when it is cut off covers as little as can
    /// be.
    fn changed(&self, newer: &MailboxView, mut changed: Vec<usize>) -> Vec<usize> {
        if self.told_unknown {
            let since = self.known.highest_modseq();
            changed = (0..newer.len())
                .filter(|&index| newer.modseq(index) > since && self.known.index_of(newer.uids()[index]).is_some())
                .collect();
        } else if !self.told.is_empty() {
            let differs = |uid: &Uid, index: usize| self.told.get(uid).is_none_or(|told| told.1 != *newer.flags(index));
            changed.retain(|&index| differs(&newer.uids()[index], index));
            // What the client was told in between may have been undone.
            let undone = self.told.keys().filter_map(|uid| newer.index_of(*uid).filter(|&index| differs(uid, index)));
            changed.extend(undone);
        }
        changed.sort_by_key(|&index| (newer.modseq(index), index));
        changed.dedup();
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picked_messages_are_taken_in_order_and_none_is_lost() {
        let mut picked = Picked(vec![0..3, 5..6, 10..20]);
        let mut take = |most| picked.take_first(most).indexes().collect::<Vec<_>>();
        assert_eq!(take(2), [0, 1]);
        assert_eq!(take(4), [2, 5, 10, 11]);
        assert_eq!(take(100), (12..20).collect::<Vec<_>>());
        assert!(picked.0.is_empty());
    }
}
