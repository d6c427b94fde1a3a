//! The page of what one sees: language, density, theme, time zone, first day of the week, dates, clock.

use askama::Template;
use axum::Extension;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use directory::{Display, MAX_SHORT_BYTES};
use jiff::tz;
use texts::{Language, Text, Texts};

use super::common::{Ask, TABS, Tabs, surroundings};
use crate::caller::Caller;
use crate::cookies::{Jar, Peer};
use crate::error::Result;
use crate::forms::Posted;
use crate::listing::Place;
use crate::notice;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wrong::Wrong;

const HERE: &str = "/settings/display";

const DENSITIES: [&str; 3] = ["comfortable", "", "compact"];
const THEMES: [&str; 3] = ["", "light", "dark"];
const WEEKDAYS: [u32; 4] = [0, 1, 6, 7];
const DATES: [&str; 5] = ["", "iso", "dots", "day-first", "month-first"];
const CLOCKS: [u32; 2] = [0, 12];

/// The choices of the page: what is kept of each, and what it is called.
struct Choices {
    densities: Vec<(&'static str, Text)>,
    themes: Vec<(&'static str, Text)>,
    weekdays: Vec<(u32, Text)>,
    dates: Vec<(&'static str, Text)>,
    clocks: Vec<(u32, Text)>,
}

impl Choices {
    fn of(t: Texts) -> Self {
        let day = |day: u32| t.weekday(day);
        let usual = || t.display_weekday_usual(day(t.language().first_weekday().unsigned_abs().into()));
        let weekdays = WEEKDAYS.into_iter().map(|first| (first, if first == 0 { usual() } else { day(first) }));
        let names = [t.date_day(30, t.month(11), "2026"), "2026-11-30".into(), "30.11.2026".into()];
        let names = names.into_iter().chain(["30/11/2026".into(), "11/30/2026".into()]);
        Self {
            densities: DENSITIES
                .into_iter()
                .zip([t.display_comfortable(), t.display_normal(), t.display_compact()])
                .collect(),
            themes: THEMES.into_iter().zip([t.display_system(), t.display_light(), t.display_dark()]).collect(),
            weekdays: weekdays.collect(),
            dates: DATES.into_iter().zip(names).collect(),
            clocks: CLOCKS.into_iter().zip(["14:02".into(), t.time_pm("2:02")]).collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "settings_display.html")]
struct DisplayPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    wrong: Wrong,
    display: Display,
    choices: Choices,
    languages: [Language; 5],
    /// What the language is as long as none is chosen.
    browser_language: &'static str,
    /// Where the browser says that it is, if there is such a zone.
    browser_zone: Option<String>,
    /// Time zones by what stands before the slash.
    regions: Vec<(String, Vec<String>)>,
}

/// All zones that people know by a place, by continent or ocean.
fn regions() -> Vec<(String, Vec<String>)> {
    const OTHERS: [&str; 4] = ["Etc", "posix", "right", "SystemV"];
    let mut zones: Vec<String> = tz::db().available().map(|name| name.to_string()).collect();
    zones.sort_unstable();
    let mut regions: Vec<(String, Vec<String>)> = Vec::new();
    for zone in zones {
        let Some((region, _)) = zone.split_once('/').filter(|(region, _)| !OTHERS.contains(region)) else { continue };
        match regions.last_mut().filter(|(last, _)| last == region) {
            Some((_, zones)) => zones.push(zone),
            None => regions.push((region.to_owned(), vec![zone])),
        }
    }
    regions
}

/// `GET /settings/display`
pub async fn page(
    caller: Caller,
    Query(place): Query<Place>,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
) -> Result<Response> {
    let display = caller.display.clone();
    show(caller, display, Wrong::default(), place.done, (headers, peer)).await
}

async fn show(
    caller: Caller,
    display: Display,
    wrong: Wrong,
    done: Option<String>,
    (headers, peer): (HeaderMap, Option<Extension<Peer>>),
) -> Result<Response> {
    let mut extensions = axum::http::Extensions::new();
    extensions.insert(peer.map(|Extension(peer)| peer).unwrap_or_default());
    let jar = Jar::of(&headers, &extensions, &caller.site);
    let browser_language = crate::language::wanted(&headers).name();
    let browser_zone = jar.zone().filter(|zone| tz::TimeZone::get(zone).is_ok()).map(str::to_owned);
    caller
        .blocking(move |caller| {
            let failed = !wrong.is_empty();
            let mut response = view::html(&DisplayPage {
                page: caller.page(&caller.texts.tab_display()),
                shell: surroundings(caller, done.as_deref(), HERE)?,
                tabs: TABS,
                here: HERE,
                problem: None,
                ask: None,
                wrong,
                display,
                choices: Choices::of(caller.texts),
                languages: Language::ALL,
                browser_language,
                browser_zone,
                regions: regions(),
            });
            if failed {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            Ok(response)
        })
        .await
}

/// What was sent, if it is among the choices; else the first of the defaults.
fn chosen(choices: &[&str], sent: &str) -> String {
    if choices.contains(&sent) { sent.to_owned() } else { String::new() }
}

fn number(choices: &[u32], sent: &str) -> u32 {
    sent.parse().ok().filter(|sent| choices.contains(sent)).unwrap_or_default()
}

/// `POST /settings/display`
pub async fn save(caller: Caller, headers: HeaderMap, peer: Option<Extension<Peer>>, form: Posted) -> Result<Response> {
    let zone = form.get("zone").trim();
    let display = Display {
        density: chosen(&DENSITIES, form.get("density")),
        language: chosen(&Language::ALL.map(Language::tag), form.get("language")),
        theme: chosen(&THEMES, form.get("theme")),
        time_zone: zone.chars().take(MAX_SHORT_BYTES).collect(),
        first_weekday: number(&WEEKDAYS, form.get("weekday")),
        dates: chosen(&DATES, form.get("dates")),
        clock: number(&CLOCKS, form.get("clock")),
    };
    if !zone.is_empty() && (zone.len() > MAX_SHORT_BYTES || tz::TimeZone::get(zone).is_err()) {
        let wrong = Wrong::of("zone", Problem::UnknownTimeZone(display.time_zone.clone()));
        return show(caller, display, wrong, None, (headers, peer)).await;
    }
    caller.site.directory.set_display(caller.account, display).await?;
    Ok(Redirect::to(&notice::with(HERE, "settings")).into_response())
}
