//! The page of what one sees: density, theme, time zone, first day of the week, dates, clock.

use askama::Template;
use axum::Extension;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use directory::{Display, MAX_SHORT_BYTES};
use jiff::tz;

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

type Choices = &'static [(&'static str, &'static str)];
const DENSITIES: Choices = &[("comfortable", "Comfortable"), ("", "Normal"), ("compact", "Compact")];
const THEMES: Choices = &[("", "Match system"), ("light", "Light"), ("dark", "Dark")];
const WEEKDAYS: &[(u32, &str)] = &[(0, "As usual in the language"), (1, "Monday"), (6, "Saturday"), (7, "Sunday")];
const DATES: Choices = &[
    ("", "30 November 2026"),
    ("iso", "2026-11-30"),
    ("dots", "30.11.2026"),
    ("day-first", "30/11/2026"),
    ("month-first", "11/30/2026"),
];
const CLOCKS: &[(u32, &str)] = &[(0, "14:02"), (12, "2:02 PM")];

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
    densities: Choices,
    themes: Choices,
    weekdays: &'static [(u32, &'static str)],
    dates: Choices,
    clocks: &'static [(u32, &'static str)],
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
    let browser_zone = jar.zone().filter(|zone| tz::TimeZone::get(zone).is_ok()).map(str::to_owned);
    caller
        .blocking(move |caller| {
            let failed = !wrong.is_empty();
            let mut response = view::html(&DisplayPage {
                page: caller.page("Display"),
                shell: surroundings(caller, done.as_deref(), HERE)?,
                tabs: TABS,
                here: HERE,
                problem: None,
                ask: None,
                wrong,
                display,
                densities: DENSITIES,
                themes: THEMES,
                weekdays: WEEKDAYS,
                dates: DATES,
                clocks: CLOCKS,
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
fn chosen(choices: Choices, sent: &str) -> String {
    choices.iter().find(|(value, _)| *value == sent).map_or("", |(value, _)| value).to_owned()
}

fn number(choices: &[(u32, &str)], sent: &str) -> u32 {
    sent.parse().ok().filter(|sent| choices.iter().any(|(value, _)| value == sent)).unwrap_or_default()
}

/// `POST /settings/display`
pub async fn save(caller: Caller, headers: HeaderMap, peer: Option<Extension<Peer>>, form: Posted) -> Result<Response> {
    let zone = form.get("zone").trim();
    let display = Display {
        density: chosen(DENSITIES, form.get("density")),
        theme: chosen(THEMES, form.get("theme")),
        time_zone: zone.chars().take(MAX_SHORT_BYTES).collect(),
        first_weekday: number(WEEKDAYS, form.get("weekday")),
        dates: chosen(DATES, form.get("dates")),
        clock: number(CLOCKS, form.get("clock")),
        ..caller.display.clone()
    };
    if !zone.is_empty() && (zone.len() > MAX_SHORT_BYTES || tz::TimeZone::get(zone).is_err()) {
        let wrong = Wrong::of("zone", Problem::UnknownTimeZone(display.time_zone.clone()));
        return show(caller, display, wrong, None, (headers, peer)).await;
    }
    caller.site.directory.set_display(caller.account, display).await?;
    Ok(Redirect::to(&notice::with(HERE, "settings")).into_response())
}
