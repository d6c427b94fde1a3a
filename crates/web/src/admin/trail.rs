//! The audit trail: who did what, to whom, when. By account and by time.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use directory::{AccountId, AuditEntry, AuditFilter};
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
    entries: Vec<Line>,
    next: Option<String>,
}

/// One entry, as pages show it.
pub struct Line {
    pub when: When,
    /// The moment in few letters.
    pub stamp: String,
    pub who: String,
    pub what: String,
    /// To whom, and where that account's page is, if it has one.
    pub about: String,
    pub link: Option<String>,
    pub from: String,
}

impl Line {
    /// An entry in the reader's time zone.
    pub fn of(entry: AuditEntry, calendar: &Calendar) -> Self {
        let about = entry.about;
        let link = about.as_ref().filter(|about| about.now.is_some());
        Self {
            when: calendar.when(entry.at_ms),
            stamp: calendar.stamp(entry.at_ms),
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

/// Which entries are asked for.
#[derive(Clone, Default, Deserialize)]
pub struct Asked {
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

/// `GET /admin/audit`
pub async fn page(caller: Caller, Query(asked): Query<Asked>) -> Result<Response> {
    admin(caller)?
        .blocking(move |caller| {
            let calendar = caller.calendar();
            let mut wrong = Wrong::default();
            let filter = filter(caller, &asked, &calendar, &mut wrong)?;
            let entries =
                if wrong.is_empty() { caller.site.directory.audit_search(&filter, ROWS)? } else { Vec::new() };
            let next = entries.last().filter(|_| entries.len() >= ROWS).map(|last| {
                let asked = [("account", &asked.account), ("since", &asked.since), ("until", &asked.until)];
                let asked = asked.iter().filter(|(_, value)| !value.is_empty());
                let asked: String = asked.map(|(name, value)| format!("{name}={}&", form_urlencoded(value))).collect();
                format!("/admin/audit?{asked}before={}", last.at_ms)
            });
            let page = TrailPage {
                page: caller.page("Audit trail"),
                shell: surroundings(caller, None, "/admin/audit")?,
                tabs: TABS,
                here: "/admin/audit",
                problem: None,
                filtered: !(asked.account.is_empty() && asked.since.is_empty() && asked.until.is_empty()),
                wrong,
                asked,
                entries: entries.into_iter().map(|entry| Line::of(entry, &calendar)).collect(),
                next,
            };
            let wrong = !page.wrong.is_empty();
            Ok(failed(view::html(&page), wrong))
        })
        .await
}

fn filter(caller: &Caller, asked: &Asked, calendar: &Calendar, wrong: &mut Wrong) -> Result<AuditFilter> {
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
    Ok(AuditFilter { account, since_ms, before_ms })
}

/// The account of an address, or the last one that was deleted with it.
fn find(caller: &Caller, typed: &str) -> Result<Option<AccountId>> {
    let Ok(address) = EmailAddress::parse(&super::entry::in_full(caller, typed, "")) else { return Ok(None) };
    if let Some(account) = caller.site.directory.account_by_address(&address)? {
        return Ok(Some(account.id));
    }
    Ok(caller.site.directory.deleted_account(&address)?.map(|(id, _)| id))
}
