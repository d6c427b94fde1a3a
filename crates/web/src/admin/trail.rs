//! The audit trail: who did what, to whom, when. By actor, by words, by account and by time.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use directory::{AccountId, AuditEntry, AuditFilter, Directory, Role};
use jiff::civil::{Date, Time};
use mailkit::EmailAddress;
use serde::Deserialize;

use super::frame::{TABS, Tabs, admin, failed, surroundings};
use crate::caller::Caller;
use crate::error::{Result, form_urlencoded};
use crate::templates::Shell;
use crate::time::{Calendar, When};
use crate::view::{self, Page};
use crate::wrong::{Wrong, readable};

/// Entries on a page.
const ROWS: usize = 100;
/// Administrators that are offered to choose from.
const MAX_ACTORS: usize = 50;

#[derive(Template)]
#[template(path = "admin_audit.html")]
struct TrailPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    wrong: Wrong,
    asked: Asked,
    filtered: bool,
    /// Who is known to act, to choose from.
    actors: Vec<String>,
    /// Where the same entries are as a file; without the format.
    export: String,
    entries: Vec<Line>,
    next: Option<String>,
}

/// One entry, as pages show it.
pub struct Line {
    pub when: When,
    /// The moment in few letters.
    pub stamp: String,
    pub who: String,
    /// Where the page of who did it is, if it has one.
    pub who_link: Option<String>,
    pub what: String,
    /// To whom, and where that account's page is, if it has one.
    pub about: String,
    pub link: Option<String>,
    pub from: String,
}

impl Line {
    /// An entry in the reader's time zone.
    pub fn of(entry: AuditEntry, calendar: &Calendar, directory: &Directory) -> Self {
        let about = entry.about;
        let link = about.as_ref().filter(|about| about.now.is_some());
        Self {
            when: calendar.when(entry.at_ms),
            stamp: calendar.stamp(entry.at_ms),
            who_link: page_of(&entry.who, directory),
            who: readable(&entry.who),
            what: entry.what,
            link: link.map(|about| format!("/admin/accounts/{}", about.account)),
            about: about.map_or_else(String::new, |mut about| {
                about.then = readable(&about.then);
                about.now = about.now.map(|now| readable(&now));
                about.to_string()
            }),
            from: entry.peer,
        }
    }
}

/// The page of the account that acted, if it still has that address.
fn page_of(who: &str, directory: &Directory) -> Option<String> {
    let address = EmailAddress::parse(who).ok()?;
    let account = directory.account_by_address(&address).ok()??;
    Some(format!("/admin/accounts/{}", account.id))
}

/// Which entries are asked for.
#[derive(Clone, Default, Deserialize)]
pub struct Asked {
    /// Part of the name of who did it.
    #[serde(default)]
    who: String,
    /// Part of what was done.
    #[serde(default)]
    what: String,
    /// An address, of a deleted account too.
    #[serde(default)]
    account: String,
    /// Days, as a date field gives them.
    #[serde(default)]
    since: String,
    #[serde(default)]
    until: String,
    before: Option<i64>,
}

impl Asked {
    /// What is asked for, as it stands in an address; each followed by `&`.
    fn query(&self) -> String {
        let all = [
            ("who", &self.who),
            ("what", &self.what),
            ("account", &self.account),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let given = all.iter().filter(|(_, value)| !value.is_empty());
        given.map(|(name, value)| format!("{name}={}&", form_urlencoded(value))).collect()
    }
}

/// Who acts, as far as that is known beforehand.
fn actors(caller: &Caller) -> Result<Vec<String>> {
    let mut actors = vec!["command line".to_owned(), "service".to_owned()];
    let all = caller.site.directory.accounts()?.into_iter();
    let administrators = all.filter(|account| account.role == Role::Admin);
    actors.extend(administrators.map(|account| readable(&account.address.to_string())).take(MAX_ACTORS));
    Ok(actors)
}

/// `GET /admin/audit`
pub async fn page(caller: Caller, Query(asked): Query<Asked>) -> Result<Response> {
    admin(caller)?
        .blocking(move |caller| {
            let calendar = caller.calendar();
            let mut wrong = Wrong::default();
            let filter = filter(caller, &asked, &calendar, &mut wrong)?;
            let entries =
                if wrong.is_empty() { caller.site.directory.audit_search(&filter, ROWS)? } else { Vec::new() };
            let next = entries
                .last()
                .filter(|_| entries.len() >= ROWS)
                .map(|last| format!("/admin/audit?{}before={}", asked.query(), last.at_ms));
            let page = TrailPage {
                page: caller.page("Audit trail"),
                shell: surroundings(caller, None, "/admin/audit")?,
                tabs: TABS,
                here: "/admin/audit",
                problem: None,
                filtered: !asked.query().is_empty(),
                actors: actors(caller)?,
                export: format!("/admin/audit/export?{}", asked.query()),
                wrong,
                asked,
                entries: entries.into_iter().map(|entry| Line::of(entry, &calendar, &caller.site.directory)).collect(),
                next,
            };
            let wrong = !page.wrong.is_empty();
            Ok(failed(view::html(&page), wrong))
        })
        .await
}

/// The filter that was asked for, and what is wrong with it.
pub fn filter(caller: &Caller, asked: &Asked, calendar: &Calendar, wrong: &mut Wrong) -> Result<AuditFilter> {
    let mut day = |field: &'static str, text: &str, add: i64| -> Option<i64> {
        if text.trim().is_empty() {
            return None;
        }
        let date = text.trim().parse::<Date>().ok();
        let begin = date.and_then(|date| date.checked_add(jiff::Span::new().days(add)).ok());
        let moment = begin.and_then(|date| calendar.at(date, Time::midnight()));
        if moment.is_none() {
            wrong.add(field, "Enter the day as 2026-11-23.");
        }
        moment
    };
    let since_ms = day("since", &asked.since, 0);
    // Until the end of that day.
    let until_ms = day("until", &asked.until, 1);
    let before_ms = until_ms.into_iter().chain(asked.before).min();
    let account = match asked.account.trim() {
        "" => None,
        typed => {
            let found = find(caller, typed)?;
            if found.is_none() {
                wrong.add("account", format!("No account has, or recently had, the address \u{201c}{typed}\u{201d}."));
            }
            found
        }
    };
    // Addresses stand in the trail as mail programs write them.
    let who = mailkit::EmailAddress::parse(asked.who.trim()).map_or_else(|_| asked.who.clone(), |who| who.to_string());
    Ok(AuditFilter { account, since_ms, before_ms, who, what: asked.what.clone() })
}

/// The account of an address, or the last one that was deleted with it.
fn find(caller: &Caller, typed: &str) -> Result<Option<AccountId>> {
    let Ok(address) = EmailAddress::parse(&super::entry::in_full(caller, typed, "")) else { return Ok(None) };
    if let Some(account) = caller.site.directory.account_by_address(&address)? {
        return Ok(Some(account.id));
    }
    Ok(caller.site.directory.deleted_account(&address)?.map(|(id, _)| id))
}
