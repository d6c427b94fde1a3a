//! Searching: what was typed, what was found, as a list of conversations.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::Query;
use axum::http::HeaderMap;
use axum::response::Response;
use mailstore::{
    Folding, Mailbox, MailboxId, MessageRow, Role, SearchHit, SearchOptions, SearchQuery, SearchScope, ThreadId,
};

use crate::caller::Caller;
use crate::error::{Fault, Result, form_urlencoded};
use crate::language::texts;
use crate::listing::{Place, subject};
use crate::query::{Asked, Searcher, in_zone, understand};
use crate::shell::{self, label, role_name};
use crate::templates::{Chip, FIRST, List, MailboxPage, Row};
use crate::text::avatar;
use crate::view;

/// Most hits of one search; who wants to see more narrows it down.
const MAX_HITS: usize = 500;

/// `GET /search?q=`
pub async fn results(caller: Caller, headers: HeaderMap, Query(place): Query<Place>) -> Result<Response> {
    if place.after.is_none() && place.before.is_none() {
        crate::searches::note(&caller, &headers, place.q.as_deref().unwrap_or_default()).await;
    }
    // A reader who closes the page, or waits too long, ends the search: its future is dropped.
    let cancel = Arc::new(AtomicBool::new(false));
    let _gone = CancelOnDrop(cancel.clone());
    caller
        .blocking(move |caller| {
            let list = list(caller, &place, None, &cancel)?;
            let mut shell = shell::build(caller, "list", None)?;
            shell.notice = crate::notice::find(caller, place.done.as_deref(), &list.here)?;
            let query = place.q.unwrap_or_default();
            for search in &mut shell.searches {
                search.2 = search.0 == crate::searches::href(query.trim());
            }
            shell.query = query;
            let page = caller.page(&list.title);
            Ok(view::html(&MailboxPage { page, shell, list }))
        })
        .await
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A page of the list of what was typed finds, with one conversation open.
pub fn list(caller: &Caller, place: &Place, open: Option<(MailboxId, ThreadId)>, cancel: &AtomicBool) -> Result<List> {
    let typed: String = place.q.as_deref().unwrap_or_default().trim().chars().take(400).collect();
    let mailboxes = caller.site.mailstore.mailboxes(caller.realm)?;
    let calendar = caller.calendar();
    let searcher = Searcher { addresses: caller.senders(), today: calendar.today(), custom: calendar.forms().custom() };
    let mut asked = understand(&typed, &searcher);
    asked.query = in_zone(asked.query, &|day| calendar.begin_of(day));
    let scope = scope(&mut asked, &mailboxes);
    // The first page searches anew; those after it, and the list beside a result, are of what was found.
    let paged = place.after.is_some() || place.before.is_some();
    let kept = if open.is_some() || paged { caller.site.found.get(caller.account, &typed) } else { None };
    let hits = match kept {
        Some(hits) => hits,
        // Nothing of what was typed can be looked for: everything would be found.
        None if typed.is_empty() || asked.is_unclear() => Vec::new(),
        None => search(caller, &scope, &asked.query, cancel)?,
    };
    caller.site.found.put(caller.account, &typed, &hits);
    let found = conversations(&hits);
    let limit = caller.site.options.page_rows.clamp(10, 200);
    let shown = page_of(&found, place, limit);
    let here = format!("/search{}", place.query());
    let first = format!("/search?q={}", form_urlencoded(&typed));
    let open = open.map(|(_, thread)| thread);
    let rows = lines(caller, &found[shown.clone()], &mailboxes, place, open)?;
    let t = caller.texts;
    let all = match (typed.is_empty(), hits.len() >= MAX_HITS) {
        (true, _) => String::new(),
        (false, true) => t.search_newest(t.conversations(found.len())).into_owned(),
        (false, false) => t.conversations(found.len()).into_owned(),
    };
    Ok(List {
        aging: String::new(),
        title: t.search().into_owned(),
        subtitle: all.clone(),
        mailbox: "all".to_owned(),
        role: "search",
        here: here.clone(),
        back: here,
        previous: (shown.start > 0).then(|| format!("{first}&before={}", name_of(found[shown.start].0))),
        next: (shown.end < found.len()).then(|| format!("{first}&after={}", name_of(found[shown.end - 1].0))),
        first,
        range: if found.is_empty() {
            String::new()
        } else {
            t.search_range(shown.start + 1, shown.end, found.len()).into_owned()
        },
        can_empty: false,
        unread: 0,
        everything: None,
        upto: 0,
        rows,
        problems: asked.problems,
        chips: if typed.is_empty() { Vec::new() } else { chips(&typed) },
        empty_icon: "search",
        empty_title: if typed.is_empty() { t.search_what() } else { t.search_nothing() },
        empty_text: String::new(),
        // Where nothing is found, the list beside it says so.
        reading_title: if found.is_empty() { String::new() } else { all },
    })
}

/// Where what was typed is looked for. A mailbox that there is not is told among the problems.
fn scope(asked: &mut Asked, mailboxes: &[Mailbox]) -> SearchScope {
    let named = asked.mailbox.as_ref().map(|name| {
        let wanted = mailkit::fold::loose(name);
        let is = |text: &str| mailkit::fold::loose(text) == wanted;
        mailboxes
            .iter()
            .filter(|m| m.role.is_some_and(|role| is(role_name(role))) || is(&label(m)) || is(m.name.as_str()))
            .map(|m| m.id)
            .collect::<Vec<_>>()
    });
    match (asked.mailbox.as_deref(), named) {
        (Some(name), _) if ["anywhere", "all"].iter().any(|all| name.eq_ignore_ascii_case(all)) => {
            SearchScope::Everywhere
        }
        (Some(name), Some(ids)) if ids.is_empty() => {
            asked.problems.push(texts().search_no_mailbox(name).into_owned());
            SearchScope::Mail
        }
        (_, Some(ids)) => SearchScope::Mailboxes(ids),
        (_, None) => SearchScope::Mail,
    }
}

/// The lines of a page: the newest hit of each conversation, and how many of its messages were found. `open` is read.
fn lines(
    caller: &Caller,
    found: &[(&SearchHit, u32)],
    mailboxes: &[Mailbox],
    place: &Place,
    open: Option<ThreadId>,
) -> Result<Vec<Row>> {
    let calendar = caller.calendar();
    let aside = aside(mailboxes);
    let mut rows = Vec::new();
    for (hit, same) in found {
        let row = caller.site.mailstore.rows(caller.realm, hit.mailbox, &[hit.uid]);
        let Some(row) = row.unwrap_or_default().into_iter().next() else { continue };
        let total = messages_of(caller, hit, &aside)?;
        let outgoing = mailboxes.iter().any(|m| m.id == hit.mailbox && m.role == Some(Role::Sent));
        rows.push(Row {
            id: name_of(hit),
            href: format!("/mail/{}/{}{}{}", hit.mailbox, hit.thread_id, place.query(), FIRST),
            total: total.max(*same),
            found: (total > *same).then_some(*same),
            current: open == Some(hit.thread_id),
            when: calendar.when(hit.internal_date_ms),
            ..line(caller, &row, outgoing)
        });
    }
    Ok(rows)
}

/// The newest hit of each conversation, and how many of its messages were found.
fn conversations(hits: &[SearchHit]) -> Vec<(&SearchHit, u32)> {
    let mut places: HashMap<ThreadId, usize> = HashMap::new();
    let mut found: Vec<(&SearchHit, u32)> = Vec::new();
    for hit in hits {
        let at = *places.entry(hit.thread_id).or_insert_with(|| {
            found.push((hit, 0));
            found.len() - 1
        });
        found[at].1 += 1;
    }
    found
}

/// Trash and Junk.
fn aside(mailboxes: &[Mailbox]) -> Vec<MailboxId> {
    mailboxes.iter().filter(|m| matches!(m.role, Some(Role::Trash | Role::Junk))).map(|m| m.id).collect()
}

/// How many messages the conversation of a hit has when it is opened from there: what is in Trash or Junk counts there only.
fn messages_of(caller: &Caller, hit: &SearchHit, aside: &[MailboxId]) -> Result<u32> {
    let places = caller.site.mailstore.thread_places(caller.realm, hit.thread_id)?;
    let seen: HashSet<_> = places
        .into_iter()
        .filter(|(mailbox, _)| *mailbox == hit.mailbox || !aside.contains(mailbox))
        .map(|(_, email)| email)
        .collect();
    Ok(u32::try_from(seen.len()).unwrap_or(u32::MAX))
}

/// A conversation in a list of such from several mailboxes.
fn name_of(hit: &SearchHit) -> String {
    format!("{}.{}", hit.mailbox, hit.thread_id)
}

/// Which of them a page shows. One after a conversation that is no longer found begins at the beginning.
fn page_of(found: &[(&SearchHit, u32)], place: &Place, limit: usize) -> Range<usize> {
    let at = |name: &Option<String>| {
        let name = name.as_deref()?;
        found.iter().position(|(hit, _)| name_of(hit) == name)
    };
    let start = match (at(&place.before), at(&place.after)) {
        (Some(before), _) => before.saturating_sub(limit),
        (None, Some(after)) => after + 1,
        (None, None) => 0,
    };
    start..found.len().min(start + limit)
}

/// What narrows a search down, to be switched on and off.
fn chips(typed: &str) -> Vec<Chip> {
    let t = texts();
    let terms = [
        ("is:unread", t.search_unread()),
        ("is:starred", t.search_starred()),
        ("has:attachment", t.search_attachment()),
        ("in:anywhere", t.search_everywhere()),
    ];
    let words: Vec<&str> = typed.split_whitespace().collect();
    let save = format!("/searches?q={}", form_urlencoded(typed));
    let save = (!typed.is_empty()).then_some(Chip { text: t.search_save(), href: save, on: false });
    terms
        .into_iter()
        .map(|(term, text)| {
            let on = words.iter().any(|word| word.eq_ignore_ascii_case(term));
            let mut other: Vec<&str> = words.iter().copied().filter(|word| !word.eq_ignore_ascii_case(term)).collect();
            if !on {
                other.push(term);
            }
            Chip { text, href: format!("/search?q={}", form_urlencoded(&other.join(" "))), on }
        })
        .chain(save)
        .collect()
}

fn search(caller: &Caller, scope: &SearchScope, query: &SearchQuery, cancel: &AtomicBool) -> Result<Vec<SearchHit>> {
    let _room = caller.site.searching.take(caller.account).ok_or(Fault::TooMany(Duration::from_secs(3)))?;
    let options = SearchOptions {
        limit: Some(MAX_HITS),
        max_visited: Some(caller.site.options.max_search_visited),
        cancel: Some(cancel),
        folding: Folding::Loose,
    };
    Ok(caller.site.mailstore.search(caller.realm, scope, query, options)?)
}

fn line(caller: &Caller, row: &MessageRow, outgoing: bool) -> Row {
    let parsed = &row.parsed;
    let people = if outgoing { &parsed.to } else { &parsed.from };
    let first = people.first().cloned().unwrap_or_default();
    let name = if first.name.is_empty() { first.address.clone() } else { first.name.clone() };
    // What came from outside may only claim to be by the reader.
    let is_me = caller.is_me(&first.address) && (outgoing || !mailkit::results::is_there(row.body.prefix()));
    let name = if is_me { caller.texts.list_me().into_owned() } else { name };
    let (initial, hue) = avatar(&first.name, &first.address);
    Row {
        id: String::new(),
        href: String::new(),
        who: if outgoing { caller.texts.list_to(name).into_owned() } else { name },
        initial,
        hue,
        total: 1,
        found: None,
        current: false,
        unread: !row.flags.seen(),
        starred: row.flags.flagged(),
        attachment: row.has_attachment,
        subject: subject(&parsed.subject),
        preview: parsed.preview.clone(),
        when: caller.calendar().when(row.internal_date_ms),
    }
}

#[cfg(test)]
mod tests {
    use mailstore::{EmailId, ModSeq, Uid};

    use super::*;

    fn hit(mailbox: u32, thread: u64) -> SearchHit {
        SearchHit {
            mailbox: MailboxId(mailbox),
            uid: Uid(1),
            email_id: EmailId(thread),
            thread_id: ThreadId(thread),
            internal_date_ms: 0,
            modseq: ModSeq(1),
        }
    }

    #[test]
    fn pages_of_results_follow_one_another_without_a_gap() {
        let hits: Vec<SearchHit> = [1, 2, 1, 3, 4, 5, 2].map(|thread| hit(1, thread)).to_vec();
        let found = conversations(&hits);
        assert_eq!(
            found.iter().map(|(hit, same)| (hit.thread_id.0, *same)).collect::<Vec<_>>(),
            [(1, 2), (2, 2), (3, 1), (4, 1), (5, 1)]
        );
        let after = |name: &str| Place { after: Some(name.to_owned()), ..Place::default() };
        assert_eq!(page_of(&found, &Place::default(), 2), 0..2);
        assert_eq!(page_of(&found, &after("m1.t2"), 2), 2..4);
        assert_eq!(page_of(&found, &after("m1.t4"), 2), 4..5);
        assert_eq!(page_of(&found, &after("m9.t9"), 2), 0..2, "gone");
        let before = Place { before: Some("m1.t3".to_owned()), ..Place::default() };
        assert_eq!(page_of(&found, &before, 2), 0..2);
        assert_eq!(page_of(&[], &Place::default(), 2), 0..0);
    }

    #[test]
    fn a_chip_adds_its_term_and_takes_it_off_again() {
        let on = chips("tide");
        assert_eq!((on[0].on, on[0].href.as_str()), (false, "/search?q=tide%20is%3Aunread"));
        let off = chips("tide IS:unread");
        assert_eq!((off[0].on, off[0].href.as_str()), (true, "/search?q=tide"));
    }
}
