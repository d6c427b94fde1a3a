//! Which accounts the list shows, in which order, and which page of them.

use std::cmp::Reverse;
use std::collections::HashSet;

use directory::{Account, AccountId, Role};
use serde::Deserialize;

use super::entry::{Line, line};
use super::signed_in::session_seen;
use crate::caller::Caller;
use crate::error::{Result, form_urlencoded};
use crate::wrong::readable;

/// Accounts on a page of the list.
const PAGE: usize = 50;
/// Per cent of its storage limit from which an account is nearly full.
const NEARLY_FULL: u64 = 90;

/// What the list can be narrowed to: value, and in words.
pub const STATES: [(&str, &str); 7] = [
    ("", "All accounts"),
    ("administrator", "Administrators"),
    ("disabled", "Disabled"),
    ("stopped", "Sending stopped"),
    ("full", "Storage 90 % full or more"),
    ("idle", "No sign-in for two weeks"),
    ("one-step", "Without two-step sign-in"),
];

/// Columns that the list can be sorted by, with what each is called and whether the highest come first.
const ORDERS: [(&str, &str, bool); 5] = [
    ("address", "Address", false),
    ("name", "Name", false),
    ("used", "Used", true),
    ("seen", "Last sign-in", true),
    ("created", "Created", true),
];

/// What is asked for.
#[derive(Clone, Default, Deserialize)]
pub struct Wanted {
    /// Part of an address or a name.
    #[serde(default)]
    pub q: String,
    #[serde(default)]
    pub state: String,
    /// A column, with `-` before it the other way round.
    #[serde(default)]
    pub sort: String,
    /// The number of the page, from 1.
    #[serde(default)]
    page: String,
    pub done: Option<String>,
}

/// The head of a column.
pub struct Head {
    pub title: &'static str,
    /// The list sorted by it, or the other way round.
    pub link: String,
    /// `ascending` or `descending` if it is sorted by this one.
    pub sorted: &'static str,
    pub is_number: bool,
}

/// A page of the list.
#[derive(Default)]
pub struct Listed {
    /// How many the service has, whatever is asked for.
    pub all: usize,
    /// How many match.
    pub total: usize,
    /// `51–100`; empty if everything is on one page.
    pub range: String,
    pub heads: Vec<Head>,
    pub lines: Vec<Line>,
    pub previous: Option<String>,
    pub next: Option<String>,
}

impl Wanted {
    /// Whether not everything is asked for.
    pub fn is_filtered(&self) -> bool {
        !self.q.trim().is_empty() || !self.state.is_empty()
    }

    fn address(&self, sort: &str, page: usize) -> String {
        let page = if page > 1 { page.to_string() } else { String::new() };
        let all = [("q", self.q.trim()), ("state", &self.state), ("sort", sort), ("page", &page)];
        let given: Vec<String> = all
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", form_urlencoded(value)))
            .collect();
        if given.is_empty() { "/admin".to_owned() } else { format!("/admin?{}", given.join("&")) }
    }

    /// The column it is sorted by, and whether the highest come first.
    fn order(&self) -> (&'static str, bool) {
        let (name, turned) = self.sort.strip_prefix('-').map_or((self.sort.as_str(), false), |name| (name, true));
        let (name, _, descends) = ORDERS.into_iter().find(|(one, ..)| *one == name).unwrap_or(ORDERS[0]);
        (name, descends != turned)
    }

    fn heads(&self) -> Vec<Head> {
        let (by, descends) = self.order();
        let head = |(name, title, first): (&'static str, &'static str, bool)| {
            let is_by = name == by;
            let turned = is_by && descends == first;
            let sort = if turned { format!("-{name}") } else { name.to_owned() };
            let sorted = if descends { "descending" } else { "ascending" };
            let link = self.address(if sort == ORDERS[0].0 { "" } else { &sort }, 1);
            Head { title, link, sorted: if is_by { sorted } else { "" }, is_number: matches!(name, "used" | "created") }
        };
        ORDERS.map(head).into()
    }
}

/// The page that is asked for.
pub fn listed(caller: &Caller, wanted: &Wanted) -> Result<Listed> {
    let mut accounts = caller.site.directory.accounts()?;
    let all = accounts.len();
    let query = wanted.q.trim().to_lowercase();
    accounts.retain(|account| fits(account, &query));
    narrow(caller, &wanted.state, &mut accounts)?;
    caller.awaited()?;
    sort(caller, wanted, &mut accounts);
    let total = accounts.len();
    let pages = total.div_ceil(PAGE).max(1);
    let page = wanted.page.parse().unwrap_or(1).clamp(1, pages);
    let first = (page - 1) * PAGE;
    let stopped = stopped(caller)?;
    let lines: Vec<Line> = accounts[first..]
        .iter()
        .take(PAGE)
        .map(|account| Line { stopped: stopped.contains(&account.id), ..line(caller, account) })
        .collect();
    let range = |last: usize| format!("{}\u{2013}{last}", first + 1);
    Ok(Listed {
        all,
        total,
        range: if pages > 1 { range(first + lines.len()) } else { String::new() },
        heads: wanted.heads(),
        lines,
        previous: (page > 1).then(|| wanted.address(&wanted.sort, page - 1)),
        next: (page < pages).then(|| wanted.address(&wanted.sort, page + 1)),
    })
}

fn fits(account: &Account, query: &str) -> bool {
    let address = account.address.canonical();
    address.contains(query) || readable(&address).contains(query) || account.name.to_lowercase().contains(query)
}

fn stopped(caller: &Caller) -> Result<HashSet<AccountId>> {
    Ok(caller.site.directory.stopped_accounts()?.into_iter().map(|(id, _)| id).collect())
}

fn narrow(caller: &Caller, state: &str, accounts: &mut Vec<Account>) -> Result<()> {
    let directory = &caller.site.directory;
    match state {
        "administrator" => accounts.retain(|account| account.role == Role::Admin),
        "disabled" => accounts.retain(|account| !account.enabled),
        "stopped" => {
            let stopped = stopped(caller)?;
            accounts.retain(|account| stopped.contains(&account.id));
        }
        "full" => accounts.retain(|account| is_nearly_full(caller, account)),
        // What is not restored yet is neither idle nor without a second step, as far as anybody knows.
        "idle" => accounts.retain(|account| {
            matches!(directory.last_sign_in(account.id), Ok(None)) && session_seen(caller, account.id).is_none()
        }),
        "one-step" => accounts.retain(|account| matches!(directory.totp_enabled(account.id), Ok(false))),
        _ => {}
    }
    Ok(())
}

fn is_nearly_full(caller: &Caller, account: &Account) -> bool {
    let limit = account.quota_bytes;
    let Ok(quota) = caller.site.mailstore.quota(account.id.realm()) else { return false };
    limit > 0 && u128::from(quota.used_bytes) * 100 >= u128::from(limit) * u128::from(NEARLY_FULL)
}

fn sort(caller: &Caller, wanted: &Wanted, accounts: &mut [Account]) {
    accounts.sort_by_cached_key(|account| account.address.canonical());
    let (by, descends) = wanted.order();
    let number = |account: &Account| match by {
        "used" => caller.site.mailstore.quota(account.id.realm()).map_or(0, |quota| quota.used_bytes),
        "seen" => {
            let last = caller.site.directory.last_sign_in(account.id).ok().flatten();
            let at_ms = last.map(|one| one.last_ms).or_else(|| session_seen(caller, account.id));
            at_ms.and_then(|at_ms| u64::try_from(at_ms).ok()).unwrap_or(0)
        }
        _ => u64::try_from(account.created_ms).unwrap_or(0),
    };
    match (by, descends) {
        ("address", false) => {}
        ("address", true) => accounts.reverse(),
        ("name", false) => accounts.sort_by_cached_key(|account| account.name.to_lowercase()),
        ("name", true) => accounts.sort_by_cached_key(|account| Reverse(account.name.to_lowercase())),
        (_, true) => accounts.sort_by_cached_key(|account| Reverse(number(account))),
        (_, false) => accounts.sort_by_cached_key(number),
    }
}
