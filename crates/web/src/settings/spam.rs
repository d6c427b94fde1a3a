//! The page of the spam filter: level, lists, when Spam is emptied, and what was learned.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use filter::spam::{Entry, Level, MAX_ENTRIES, Settings, Taught};

use super::common::{Ask, TABS, Tabs, surroundings};
use crate::caller::Caller;
use crate::error::Result;
use crate::forms::Posted;
use crate::listing::Place;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::{notice, wrong::Wrong};

const HERE: &str = "/settings/spam";
/// The levels, with what they mean.
const LEVELS: [(Level, &str, &str); 5] = [
    (Level::Off, "Off", "Only blocked senders go to Spam."),
    (Level::Relaxed, "Relaxed", "Only messages that are almost certainly spam."),
    (Level::Normal, "Normal", "Messages that are probably spam."),
    (Level::Strict, "Strict", "Also messages that may be spam. Check Spam often."),
    (
        Level::KnownOnly,
        "Only known senders",
        "Everything from senders who are not in your address book and whom you have not written to.",
    ),
];
/// For how many days mail in Spam can be kept; 0 is for ever.
const KEPT: [(u32, &str); 6] =
    [(7, "7 days"), (14, "14 days"), (30, "30 days"), (60, "60 days"), (90, "90 days"), (0, "Never")];

#[derive(Template)]
#[template(path = "settings_spam.html")]
struct SpamPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    wrong: Wrong,
    levels: Vec<(&'static str, &'static str, &'static str)>,
    level: &'static str,
    kept: Vec<(u32, String)>,
    days: u32,
    allowed: String,
    blocked: String,
    taught: Taught,
}

/// What is shown: what is stored, or what was typed.
struct Shown {
    level: Level,
    days: u32,
    allowed: String,
    blocked: String,
    wrong: Wrong,
    done: Option<String>,
}

impl Shown {
    fn of(settings: &Settings, done: Option<String>) -> Self {
        let lines = |allowed: bool| {
            let of = settings.entries.iter().filter(|entry| entry.allowed == allowed);
            let lines: Vec<String> = of.map(|entry| crate::wrong::readable(&entry.pattern.to_string())).collect();
            lines.join("\n")
        };
        Self {
            level: settings.level,
            days: settings.emptied_after_days.unwrap_or(0),
            allowed: lines(true),
            blocked: lines(false),
            wrong: Wrong::default(),
            done,
        }
    }
}

/// `GET /settings/spam`
pub async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    let settings = caller.site.spam.settings(caller.realm)?;
    show(caller, Shown::of(&settings, place.done)).await
}

async fn show(caller: Caller, shown: Shown) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let failed = !shown.wrong.is_empty();
            let mut kept: Vec<(u32, String)> = KEPT.iter().map(|(days, name)| (*days, (*name).to_owned())).collect();
            if !kept.iter().any(|(days, _)| *days == shown.days) {
                kept.insert(0, (shown.days, format!("{} days", shown.days)));
            }
            let mut response = view::html(&SpamPage {
                page: caller.page("Spam"),
                shell: surroundings(caller, shown.done.as_deref(), HERE)?,
                tabs: TABS,
                here: HERE,
                problem: None,
                ask: None,
                levels: LEVELS.iter().map(|(level, name, hint)| (level.name(), *name, *hint)).collect(),
                level: shown.level.name(),
                kept,
                days: shown.days,
                allowed: shown.allowed,
                blocked: shown.blocked,
                taught: caller.site.spam.taught(caller.realm)?,
                wrong: shown.wrong,
            });
            if failed {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            Ok(response)
        })
        .await
}

/// The lists that a form names, each entry once; what is wrong with them is added to `wrong`.
pub fn typed_entries(form: &Posted, wrong: &mut Wrong) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (field, allowed) in [("allowed", true), ("blocked", false)] {
        for line in form.get(field).split(['\n', ',', ';']).map(str::trim).filter(|line| !line.is_empty()) {
            match Entry::new(line, allowed) {
                Ok(entry) if entries.contains(&entry) => {}
                Ok(entry) => entries.push(entry),
                Err(error) => wrong.add(field, Problem::NotASender(error)),
            }
        }
        if entries.len() > MAX_ENTRIES {
            wrong.add(field, Problem::TooManySenders(MAX_ENTRIES));
        }
    }
    entries
}

/// `POST /settings/spam`
pub async fn save(caller: Caller, form: Posted) -> Result<Response> {
    let old = caller.site.spam.settings(caller.realm)?;
    let mut wrong = Wrong::default();
    let mut settings = Settings { entries: Vec::new(), ..old.clone() };
    settings.level = form.get("level").parse().unwrap_or(old.level);
    settings.emptied_after_days = match form.get("days").parse::<u32>() {
        Ok(0) => None,
        Ok(days) if KEPT.iter().any(|(known, _)| *known == days) => Some(days),
        _ => old.emptied_after_days,
    };
    settings.entries = typed_entries(&form, &mut wrong);
    if !wrong.is_empty() {
        let typed = |field: &str| form.get(field).replace("\r\n", "\n");
        let shown = Shown {
            level: settings.level,
            days: settings.emptied_after_days.unwrap_or(0),
            allowed: typed("allowed"),
            blocked: typed("blocked"),
            wrong,
            done: None,
        };
        return show(caller, shown).await;
    }
    caller.site.spam.change_settings(caller.realm, move |stored| *stored = settings).await?;
    Ok(Redirect::to(&notice::with(HERE, "settings")).into_response())
}

/// `POST /settings/spam/reset`
pub async fn reset(caller: Caller, _form: Posted) -> Result<Response> {
    caller.site.spam.reset(caller.realm).await?;
    Ok(Redirect::to(&notice::with(HERE, "spamreset")).into_response())
}
