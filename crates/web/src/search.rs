//! Searching: what was typed, what was found, as a list of conversations.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::extract::Query;
use axum::response::Response;
use directory::AccountId;
use mailstore::{MailboxId, MessageRow, Role, SearchHit, SearchOptions, SearchQuery, SearchScope, ThreadId};
use parking_lot::Mutex;

use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::listing::{Place, count, subject};
use crate::query::understand;
use crate::shell::{self, label, role_name};
use crate::templates::{List, MailboxPage, Row};
use crate::text::avatar;
use crate::view;

/// Most hits of one search; who wants to see more narrows it down.
const MAX_HITS: usize = 200;
/// How long what a search found serves for paging through it.
const KEEP: Duration = Duration::from_secs(60);
/// Searches that are kept, one an account.
const MAX_KEPT: usize = 500;
/// Searches of one account under way at once.
const MAX_AT_ONCE: u32 = 3;

/// What was found lately, so that opening one result does not search again.
#[derive(Default)]
pub struct Found {
    kept: Mutex<HashMap<AccountId, Kept>>,
    under_way: Mutex<HashMap<AccountId, u32>>,
}

/// What was typed, when, and what it found.
type Kept = (String, Instant, Vec<SearchHit>);

/// A search under way. Dropping it makes room for another.
struct UnderWay<'a>(&'a Found, AccountId);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut under_way = self.0.under_way.lock();
        if let Some(n) = under_way.get_mut(&self.1) {
            *n -= 1;
            if *n == 0 {
                under_way.remove(&self.1);
            }
        }
    }
}

impl Found {
    fn get(&self, account: AccountId, typed: &str) -> Option<Vec<SearchHit>> {
        let found = self.kept.lock();
        let (query, at, hits) = found.get(&account)?;
        (query == typed && at.elapsed() < KEEP).then(|| hits.clone())
    }

    fn begin(&self, account: AccountId) -> Result<UnderWay<'_>> {
        let mut under_way = self.under_way.lock();
        let n = under_way.entry(account).or_default();
        if *n >= MAX_AT_ONCE {
            return Err(Fault::TooMany(Duration::from_secs(3)));
        }
        *n += 1;
        Ok(UnderWay(self, account))
    }

    fn put(&self, account: AccountId, typed: &str, hits: &[SearchHit]) {
        let mut found = self.kept.lock();
        if found.len() >= MAX_KEPT {
            found.retain(|_, (_, at, _)| at.elapsed() < KEEP);
        }
        if found.len() < MAX_KEPT {
            found.insert(account, (typed.to_owned(), Instant::now(), hits.to_vec()));
        }
    }
}

/// `GET /search?q=`
pub async fn results(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    // Whoever no longer waits for the answer, or waited too long, ends the search by going.
    let cancel = Arc::new(AtomicBool::new(false));
    let _gone = CancelOnDrop(cancel.clone());
    caller
        .blocking(move |caller| {
            let typed = place.q.clone().unwrap_or_default();
            let list = list(caller, &typed, None, &cancel)?;
            let mut shell = shell::build(caller, "list", None)?;
            shell.notice = crate::notice::find(caller, place.done.as_deref(), &list.here)?;
            shell.query = typed;
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

/// The list of what `typed` finds, with one conversation open.
pub fn list(caller: &Caller, typed: &str, open: Option<(MailboxId, ThreadId)>, cancel: &AtomicBool) -> Result<List> {
    let typed: String = typed.trim().chars().take(400).collect();
    let mailboxes = caller.site.mailstore.mailboxes(caller.realm)?;
    let asked = understand(&typed);
    let named = asked.mailbox.as_ref().map(|name| {
        let lower = name.to_lowercase();
        mailboxes
            .iter()
            .filter(|m| m.role.map(role_name) == Some(lower.as_str()) || label(m).to_lowercase() == lower)
            .map(|m| m.id)
            .collect::<Vec<_>>()
    });
    let scope = match (asked.mailbox.as_deref(), named) {
        (Some("anywhere" | "all"), _) => SearchScope::Everywhere,
        (_, Some(ids)) => SearchScope::Mailboxes(ids),
        (_, None) => SearchScope::Mail,
    };
    // Only a page that was asked for searches anew; the list beside a result is what was found.
    let kept = open.and_then(|_| caller.site.found.get(caller.account, &typed));
    let hits = match kept {
        Some(hits) => hits,
        None if typed.is_empty() => Vec::new(),
        None => search(caller, &scope, &asked.query, cancel)?,
    };
    caller.site.found.put(caller.account, &typed, &hits);
    let mut rows = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let calendar = caller.calendar();
    let limit = caller.site.options.page_rows.clamp(10, 200);
    let more = hits.len() >= MAX_HITS;
    let here = format!("/search?q={}", crate::error::form_urlencoded(&typed));
    for hit in &hits {
        if rows.len() >= limit || !seen.insert(hit.thread_id) {
            continue;
        }
        let found = caller.site.mailstore.rows(caller.realm, hit.mailbox, &[hit.uid]);
        let Some(row) = found.unwrap_or_default().into_iter().next() else { continue };
        let outgoing = mailboxes.iter().any(|m| m.id == hit.mailbox && m.role == Some(Role::Sent));
        let same = hits.iter().filter(|other| other.thread_id == hit.thread_id).count();
        rows.push(Row {
            id: format!("{}.{}", hit.mailbox, hit.thread_id),
            href: format!("/mail/{}/{}?q={}", hit.mailbox, hit.thread_id, crate::error::form_urlencoded(&typed)),
            total: same as u32,
            current: open.is_some_and(|(_, thread)| thread == hit.thread_id),
            when: calendar.when(hit.internal_date_ms),
            ..line(caller, &row, outgoing)
        });
    }
    let shown = rows.len() as u32;
    Ok(List {
        title: "Search".to_owned(),
        subtitle: if typed.is_empty() { String::new() } else { count(shown, "conversation") },
        mailbox: "all".to_owned(),
        role: "search",
        here: here.clone(),
        back: here.clone(),
        first: here,
        previous: None,
        next: None,
        range: String::new(),
        can_empty: false,
        rows,
        empty_icon: "search",
        empty_title: if typed.is_empty() { "What are you looking for?" } else { "Nothing found" },
        empty_text: "Words, or from: to: subject: in: has:attachment is:unread is:starred before: after:".to_owned(),
        reading_title: if more { "These are the newest results".to_owned() } else { count(shown, "result") },
    })
}

fn search(caller: &Caller, scope: &SearchScope, query: &SearchQuery, cancel: &AtomicBool) -> Result<Vec<SearchHit>> {
    let _room = caller.site.found.begin(caller.account)?;
    let options = SearchOptions {
        limit: Some(MAX_HITS),
        max_visited: Some(caller.site.options.max_search_visited),
        cancel: Some(cancel),
    };
    Ok(caller.site.mailstore.search(caller.realm, scope, query, options)?)
}

fn line(caller: &Caller, row: &MessageRow, outgoing: bool) -> Row {
    let parsed = &row.parsed;
    let people = if outgoing { &parsed.to } else { &parsed.from };
    let first = people.first().cloned().unwrap_or_default();
    let name = if first.name.is_empty() { first.address.clone() } else { first.name.clone() };
    let name = if caller.is_me(&first.address) { "me".to_owned() } else { name };
    let (initial, hue) = avatar(&first.name, &first.address);
    Row {
        id: String::new(),
        href: String::new(),
        who: if outgoing { format!("To: {name}") } else { name },
        initial,
        hue,
        total: 1,
        current: false,
        unread: !row.flags.seen(),
        starred: row.flags.flagged(),
        attachment: row.has_attachment,
        subject: subject(&parsed.subject).to_owned(),
        preview: parsed.preview.clone(),
        when: caller.calendar().when(row.internal_date_ms),
    }
}
