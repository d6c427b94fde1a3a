//! SEARCH (RFC 9051 section 6.4.4, RFC 4731 ESEARCH, RFC 5182 SEARCHRES).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mailstore::{
    EmailId, Keyword, MailError, MailboxView, ModSeq, Scores, SearchQuery, SystemFlag, ThreadId, Uid, UidSet,
};

use super::selected::{Selected, pick_lenient, uid_ranges};
use super::{
    Session,
    outcome::{Done, Outcome},
};
use crate::failure::Failure;
use crate::response::{Code, text};
use crate::syntax::{Flag, MessageSet, Ranges, Search, SearchKey, SearchReturn};

/// Ends a search whose asker is gone.
#[derive(Default)]
pub(super) struct CancelOnDrop(Arc<AtomicBool>);

impl CancelOnDrop {
    /// What the search has to look at.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Session {
    pub(super) async fn search(&mut self, tag: &str, search: Search) -> Outcome {
        self.may_name_charset(&search)?;
        self.may_keep(tag, search.returns)?;
        let by_modseq = asks_for_modseq(&search.key);
        let hits = self.hits(tag, &search, by_modseq, |found, _, _| Ok((found, Vec::new()))).await?;
        let rev2 = self.enabled.rev2;
        let out = &mut self.wire.out;
        match search.returns {
            // Asked to save only: nothing to tell (RFC 5182 section 2.1).
            Some(wanted) if wanted.saves_only() => {}
            Some(wanted) => hits.write_esearch(out, tag, wanted, by_modseq),
            None if rev2 => hits.write_esearch(out, tag, SearchReturn::ALL, by_modseq),
            None => hits.write_search(out, b"* SEARCH", by_modseq),
        }
        self.keep_updated(tag, search, None, &hits);
        Ok(hits.completed("SEARCH completed"))
    }

    /// RFC 6855 section 3.
    pub(super) fn may_name_charset(&self, search: &Search) -> Outcome<()> {
        if search.has_charset && self.enabled.utf8_accept {
            return Err(Failure::bad("CHARSET not allowed: UTF8=ACCEPT is enabled, so searches are in UTF-8"));
        }
        Ok(())
    }

    /// Finds, arranges what was found where it may block, and saves it if that is wanted.
    pub(super) async fn hits<F>(&mut self, tag: &str, search: &Search, by_modseq: bool, arrange: F) -> Outcome<Hits>
    where
        F: FnOnce(Vec<(Uid, ModSeq)>, &Scores, &AtomicBool) -> Arranged + Send + 'static,
    {
        if let Err(failure) = search.knows_charset() {
            self.forget_saved(search.returns);
            return Err(failure);
        }
        let realm = self.realm()?;
        if by_modseq {
            self.enable_condstore();
        }
        let selected = self.selected()?;
        let (mailbox, view) = (selected.mailbox, Arc::clone(&selected.known));
        let meant = Meant::of(selected);
        let exactly = search.key.is_fuzzy().then(|| query(&search.key.exactly(), &meant));
        let query = query(&search.key, &meant);
        let mailstore = self.door.mailstore.clone();
        let cancel = CancelOnDrop::default();
        let flag = cancel.flag();
        let work = super::blocking(move || {
            let found = mailstore.search_uids(realm, mailbox, &query, Some(&flag))?;
            let scores = match exactly {
                Some(exactly) => {
                    scores(&found.hits, &mailstore.search_uids(realm, mailbox, &exactly, Some(&flag))?.hits)
                }
                None => Scores::new(),
            };
            let (arranged, damaged) = arrange(found.hits, &scores, &flag)?;
            Ok::<_, MailError>((arranged, scores, found.damaged.into_iter().chain(damaged).collect::<UidSet>()))
        });
        let found = self.patiently(tag, work).await?;
        drop(cancel);
        let (found, scores, damaged) = match found {
            Ok(found) => found,
            Err(failure) => {
                self.forget_saved(search.returns);
                return Err(failure);
            }
        };
        let mut hits = Hits::new(&found, &view, search.uid).scored(&found, &scores, |uid| view.index_of(uid).is_some());
        hits.damaged = damaged;
        if by_modseq {
            self.selected_mut()?.shows_modseq();
        }
        if let Some(wanted) = search.returns
            && wanted.save
        {
            self.selected_mut()?.saved = hits.to_save(wanted, &view);
        }
        Ok(hits)
    }

    /// A SEARCH that should save but fails leaves `$` empty (RFC 5182 section 2.1).
    fn forget_saved(&mut self, returns: Option<SearchReturn>) {
        if let (Some(SearchReturn { save: true, .. }), Some(selected)) = (returns, &mut self.selected) {
            selected.saved = UidSet::EMPTY;
        }
    }
}

impl Search {
    /// Fails if the program is in a charset that is not read here.
    pub(super) fn knows_charset(&self) -> Outcome<()> {
        match self.unknown_charset {
            Some(_) => Err(Failure::No(Some(Code::BadCharset), "Unsupported charset: use UTF-8".into())),
            None => Ok(()),
        }
    }
}

impl SearchReturn {
    /// What is told where nothing is said about it.
    pub(super) const ALL: Self = Self {
        min: false,
        max: false,
        all: true,
        count: false,
        save: false,
        partial: None,
        context: false,
        update: false,
        relevancy: false,
    };

    /// Whether nothing is to be told.
    pub(super) fn saves_only(self) -> bool {
        self == Self { save: true, ..Self::default() }
    }
}

/// What was found, among the messages the client knows.
pub(super) struct Hits {
    /// Sequence numbers or UIDs: ascending, or in the order of a SORT.
    numbers: Vec<u32>,
    modseqs: Vec<ModSeq>,
    /// How well they match, where that is known.
    scores: Vec<u8>,
    uid: bool,
    /// Messages that were left out because they can't be read.
    damaged: UidSet,
}

/// What was found, arranged, and what of it could not be read.
pub(super) type Arranged = Result<(Vec<(Uid, ModSeq)>, Vec<Uid>), MailError>;

impl Hits {
    pub(super) fn new(found: &[(Uid, ModSeq)], view: &MailboxView, uid: bool) -> Self {
        let (numbers, modseqs, scores) = (Vec::with_capacity(found.len()), Vec::new(), Vec::new());
        let mut hits = Self { numbers, modseqs, scores, uid, damaged: UidSet::EMPTY };
        for (found, modseq) in found {
            if let Some(index) = view.index_of(*found) {
                hits.numbers.push(if uid { found.0 } else { index as u32 + 1 });
                hits.modseqs.push(*modseq);
            }
        }
        hits
    }

    /// With how well each matches.
    pub(super) fn scored(mut self, found: &[(Uid, ModSeq)], scores: &Scores, is_known: impl Fn(Uid) -> bool) -> Self {
        let known = found.iter().filter(|(uid, _)| is_known(*uid));
        self.scores = known.filter_map(|(uid, _)| scores.get(uid).copied()).collect();
        self
    }

    /// By UID, in a mailbox of which the client has been told nothing.
    pub(super) fn of_uids(found: &[(Uid, ModSeq)]) -> Self {
        let (numbers, modseqs) = found.iter().map(|(uid, modseq)| (uid.0, *modseq)).unzip();
        Self { numbers, modseqs, scores: Vec::new(), uid: true, damaged: UidSet::EMPTY }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The UIDs of what was found in `view`, in the order in which it is told.
    pub(super) fn uids(&self, view: &MailboxView) -> Vec<Uid> {
        self.numbers.iter().map(|number| self.uid_of(*number, view)).collect()
    }

    fn uid_of(&self, number: u32, view: &MailboxView) -> Uid {
        if self.uid { Uid(number) } else { view.uids()[number as usize - 1] }
    }

    /// What the command says in the end.
    pub(super) fn completed(&self, text: &'static str) -> Done {
        if self.damaged.is_empty() { Done::text(text) } else { Done::code(Code::CORRUPTION, left_out(&self.damaged)) }
    }

    /// What `$` becomes: all, or the least and greatest if only those were asked for (RFC 5182 section 2.4).
    fn to_save(&self, wanted: SearchReturn, view: &MailboxView) -> UidSet {
        let all = wanted.all || wanted.count || !(wanted.min || wanted.max || wanted.partial.is_some());
        let numbers: Vec<u32> = if all {
            self.numbers.clone()
        } else {
            let least = wanted.min.then(|| self.numbers.first()).flatten();
            let greatest = wanted.max.then(|| self.numbers.last()).flatten();
            let stretch = wanted.partial.map_or(0..0, |partial| partial.within(self.numbers.len()));
            least.into_iter().chain(greatest).chain(&self.numbers[stretch]).copied().collect()
        };
        numbers.into_iter().map(|number| self.uid_of(number, view)).collect()
    }

    /// `* SEARCH 2 84 882 (MODSEQ 917162500)`.
    pub(super) fn write_search(&self, out: &mut Vec<u8>, name: &[u8], with_modseq: bool) {
        out.extend_from_slice(name);
        for number in &self.numbers {
            out.push(b' ');
            text::number(out, u64::from(*number));
        }
        if with_modseq && let Some(modseq) = self.modseqs.iter().max() {
            out.extend_from_slice(format!(" (MODSEQ {modseq})").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// `* ESEARCH (TAG "a") UID MIN 2 COUNT 3 ALL 2,84,882`.
    pub(super) fn write_esearch(&self, out: &mut Vec<u8>, tag: &str, wanted: SearchReturn, with_modseq: bool) {
        out.extend_from_slice(b"* ESEARCH (TAG ");
        text::string(out, tag.as_bytes(), false);
        self.write_results(out, wanted, with_modseq);
    }

    /// What follows the correlators of an ESEARCH response: `) UID MIN 2 COUNT 3 ALL 2,84,882`.
    pub(super) fn write_results(&self, out: &mut Vec<u8>, wanted: SearchReturn, with_modseq: bool) {
        out.push(b')');
        if self.uid {
            out.extend_from_slice(b" UID");
        }
        if let (Some(first), Some(last)) = (self.numbers.first(), self.numbers.last()) {
            if wanted.min {
                out.extend_from_slice(format!(" MIN {first}").as_bytes());
            }
            if wanted.max {
                out.extend_from_slice(format!(" MAX {last}").as_bytes());
            }
            if wanted.all {
                out.extend_from_slice(b" ALL ");
                Ranges::in_order(&self.numbers).write(out);
            }
        }
        if let Some(partial) = wanted.partial {
            let sign = if partial.from_end { "-" } else { "" };
            out.extend_from_slice(format!(" PARTIAL ({sign}{}:{sign}{} ", partial.first, partial.last).as_bytes());
            match &self.numbers[partial.within(self.numbers.len())] {
                [] => out.extend_from_slice(b"NIL"),
                stretch => Ranges::in_order(stretch).write(out),
            }
            out.push(b')');
        }
        if wanted.relevancy && self.scores.len() == self.numbers.len() && !self.scores.is_empty() {
            // Of the messages told, in their order (RFC 6203 section 4).
            let told = wanted.partial.map_or(0..self.scores.len(), |partial| partial.within(self.scores.len()));
            let scores: Vec<String> = self.scores[told].iter().map(u8::to_string).collect();
            out.extend_from_slice(format!(" RELEVANCY ({})", scores.join(" ")).as_bytes());
        }
        if wanted.count {
            out.extend_from_slice(format!(" COUNT {}", self.numbers.len()).as_bytes());
        }
        // Of the messages told: with MIN, MAX or PARTIAL alone, only theirs counts (RFC 4731 section 3.2).
        let least = wanted.min.then(|| self.modseqs.first()).flatten();
        let greatest = wanted.max.then(|| self.modseqs.last()).flatten();
        let stretch = wanted.partial.map_or(0..0, |partial| partial.within(self.modseqs.len()));
        let some = wanted.min || wanted.max || wanted.partial.is_some();
        let modseq = if some && !wanted.all && !wanted.count {
            self.modseqs[stretch].iter().chain(least).chain(greatest).max()
        } else {
            self.modseqs.iter().max()
        };
        if with_modseq && let Some(modseq) = modseq {
            out.extend_from_slice(format!(" MODSEQ {modseq}").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// How well messages match a fuzzy search: best of all those that match without it.
pub(super) fn scores(found: &[(Uid, ModSeq)], exactly: &[(Uid, ModSeq)]) -> Scores {
    /// Of a message that matches as it is.
    const EXACT: u8 = 100;
    /// Of one that matches with other accents or another form of a word, or in a document.
    const NEAR: u8 = 50;
    let exact: HashSet<Uid> = exactly.iter().map(|(uid, _)| *uid).collect();
    found.iter().map(|(uid, _)| (*uid, if exact.contains(uid) { EXACT } else { NEAR })).collect()
}

/// Names the messages that could not be read.
pub(super) fn left_out(damaged: &UidSet) -> String {
    format!("Skipped damaged messages: UID {}", shortened(damaged.to_string()))
}

/// A list, cut after an item if it is too long: the line goes to people.
pub(super) fn shortened(mut list: String) -> String {
    /// Longest list, in bytes.
    const MOST: usize = 400;
    if list.len() > MOST {
        let most = list.floor_char_boundary(MOST);
        let end = list[..most].rfind(',').unwrap_or(most);
        list.truncate(end);
        list.push_str(" and more");
    }
    list
}

pub(super) fn asks_for_modseq(key: &SearchKey) -> bool {
    key.has(&|key| matches!(key, SearchKey::ModSeq(_)))
}

/// What message numbers, `*`, `$` and `\Recent` mean in a mailbox; by default nothing.
#[derive(Default)]
pub(super) struct Meant {
    /// Message numbers count in it.
    pub(super) view: Option<Arc<MailboxView>>,
    /// `$`.
    pub(super) saved: UidSet,
    pub(super) recent: UidSet,
}

impl Meant {
    /// In the selected mailbox, as the client knows it.
    pub(super) fn of(selected: &Selected) -> Self {
        Self { view: Some(Arc::clone(&selected.known)), saved: selected.saved.clone(), recent: selected.recent.clone() }
    }

    fn numbers(&self, set: &MessageSet) -> UidSet {
        let Some(view) = &self.view else { return UidSet::EMPTY };
        pick_lenient(view, &self.saved, set).uids(view).into_iter().collect()
    }

    fn uids(&self, set: &MessageSet) -> UidSet {
        self.view.as_ref().map_or(UidSet::EMPTY, |view| uid_ranges(view, &self.saved, set))
    }
}

/// The program in the mailstore's words. Depth is bounded by the parser.
pub(super) fn query(key: &SearchKey, meant: &Meant) -> SearchQuery {
    let nothing = || SearchQuery::Not(Box::new(SearchQuery::All));
    match key {
        SearchKey::All => SearchQuery::All,
        SearchKey::And(keys) => SearchQuery::And(keys.iter().map(|key| query(key, meant)).collect()),
        SearchKey::Or(keys) => SearchQuery::Or(keys.iter().map(|key| query(key, meant)).collect()),
        SearchKey::Not(key) => SearchQuery::Not(Box::new(query(key, meant))),
        SearchKey::Fuzzy(key) => SearchQuery::Fuzzy(Box::new(query(key, meant))),
        SearchKey::Flag(Flag::Seen) => SearchQuery::Flag(SystemFlag::Seen),
        SearchKey::Flag(Flag::Answered) => SearchQuery::Flag(SystemFlag::Answered),
        SearchKey::Flag(Flag::Flagged) => SearchQuery::Flag(SystemFlag::Flagged),
        SearchKey::Flag(Flag::Deleted) => SearchQuery::Flag(SystemFlag::Deleted),
        SearchKey::Flag(Flag::Draft) => SearchQuery::Flag(SystemFlag::Draft),
        SearchKey::Flag(Flag::Recent) => SearchQuery::Uids(meant.recent.clone()),
        // A keyword that can not exist is on no message.
        SearchKey::Flag(Flag::Keyword(name)) => Keyword::new(name).map_or_else(|_| nothing(), SearchQuery::Keyword),
        SearchKey::Sequence(set) => SearchQuery::Uids(meant.numbers(set)),
        SearchKey::Uid(set) => SearchQuery::Uids(meant.uids(set)),
        SearchKey::Header { name, value } => SearchQuery::Header { name: name.clone(), contains: value.clone() },
        SearchKey::From(text) => SearchQuery::From(text.clone()),
        SearchKey::To(text) => SearchQuery::To(text.clone()),
        SearchKey::Cc(text) => SearchQuery::Cc(text.clone()),
        SearchKey::Bcc(text) => SearchQuery::Bcc(text.clone()),
        SearchKey::Subject(text) => SearchQuery::Subject(text.clone()),
        SearchKey::Body(text) => SearchQuery::Body(text.clone()),
        SearchKey::Text(text) => SearchQuery::Text(text.clone()),
        SearchKey::Before(day) => SearchQuery::Before(*day),
        SearchKey::On(day) => SearchQuery::On(*day),
        SearchKey::Since(day) => SearchQuery::Since(*day),
        SearchKey::SavedBefore(day) => SearchQuery::SavedBefore(*day),
        SearchKey::SavedOn(day) => SearchQuery::SavedOn(*day),
        SearchKey::SavedSince(day) => SearchQuery::SavedSince(*day),
        SearchKey::SentBefore(day) => SearchQuery::SentBefore(*day),
        SearchKey::SentOn(day) => SearchQuery::SentOn(*day),
        SearchKey::SentSince(day) => SearchQuery::SentSince(*day),
        SearchKey::Larger(bytes) => SearchQuery::Larger(*bytes),
        SearchKey::Smaller(bytes) => SearchQuery::Smaller(*bytes),
        SearchKey::Younger(seconds) => SearchQuery::Younger(u64::from(*seconds)),
        SearchKey::Older(seconds) => SearchQuery::Older(u64::from(*seconds)),
        SearchKey::ModSeq(modseq) => SearchQuery::ModSeqAtLeast(ModSeq(*modseq)),
        SearchKey::EmailId(id) => id.parse::<EmailId>().map_or_else(|_| nothing(), SearchQuery::Email),
        SearchKey::ThreadId(id) => id.parse::<ThreadId>().map_or_else(|_| nothing(), SearchQuery::Thread),
    }
}
