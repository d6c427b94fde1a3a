//! The general page: name, signature, colours, time zone, undoing a Send, remote pictures.

use askama::Template;
use axum::Extension;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use directory::{MAX_SHORT_BYTES, MAX_SIGNATURE_BYTES, Settings};
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

type Choices = &'static [(&'static str, &'static str)];
const THEMES: Choices = &[("", "Match system"), ("light", "Light"), ("dark", "Dark")];
const HOLDS: &[(u32, &str)] = &[(1, "Off"), (5, "5 seconds"), (8, "8 seconds"), (15, "15 seconds"), (30, "30 seconds")];

#[derive(Template)]
#[template(path = "settings_general.html")]
struct GeneralPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    name: String,
    signature: String,
    themes: Choices,
    theme: String,
    browser_zone: String,
    zone: String,
    zones: Vec<String>,
    holds: &'static [(u32, &'static str)],
    hold: u32,
    pictures: bool,
    wrong: Wrong,
}

/// What is wrong with which field; all of it at once.
#[derive(Debug, Default)]
struct Wrong {
    name: Option<Problem>,
    signature: Option<Problem>,
    zone: Option<Problem>,
}

impl Wrong {
    fn with(settings: &Settings) -> Self {
        let zone = &settings.time_zone;
        let unknown = !zone.is_empty() && (zone.len() > MAX_SHORT_BYTES || tz::TimeZone::get(zone).is_err());
        let long = |text: &str, limit: usize| (text.len() > limit).then_some(Problem::TextTooLong(limit));
        Self {
            name: long(&settings.display_name, MAX_SHORT_BYTES),
            signature: long(&settings.signature, MAX_SIGNATURE_BYTES),
            zone: unknown.then(|| Problem::UnknownTimeZone(zone.chars().take(MAX_SHORT_BYTES).collect())),
        }
    }

    fn is_any(&self) -> bool {
        self.name.is_some() || self.signature.is_some() || self.zone.is_some()
    }
}

/// `GET /settings`
pub async fn page(
    caller: Caller,
    Query(place): Query<Place>,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
) -> Result<Response> {
    let settings = caller.site.directory.settings(caller.account)?;
    shown(caller, settings, Wrong::default(), place.done, &headers, peer).await
}

async fn shown(
    caller: Caller,
    settings: Settings,
    wrong: Wrong,
    done: Option<String>,
    headers: &HeaderMap,
    peer: Option<Extension<Peer>>,
) -> Result<Response> {
    let mut extensions = axum::http::Extensions::new();
    extensions.insert(peer.map(|Extension(peer)| peer).unwrap_or_default());
    let jar = Jar::of(headers, &extensions, &caller.site);
    let browser_zone = jar.zone().unwrap_or("UTC").to_owned();
    caller
        .blocking(move |caller| {
            let mut zones: Vec<String> = tz::db().available().map(|name| name.to_string()).collect();
            zones.retain(|zone| {
                zone.contains('/')
                    && !zone.starts_with("Etc/")
                    && !zone.starts_with("posix")
                    && !zone.starts_with("right")
            });
            zones.sort_unstable();
            let refused = wrong.is_any();
            let mut response = view::html(&GeneralPage {
                page: caller.page("Settings"),
                shell: surroundings(caller, done.as_deref(), "/settings")?,
                tabs: TABS,
                here: "/settings",
                problem: None,
                ask: None,
                name: if settings.display_name.is_empty() { caller.name.clone() } else { settings.display_name },
                signature: settings.signature,
                themes: THEMES,
                theme: settings.theme,
                browser_zone,
                zone: settings.time_zone,
                zones,
                holds: HOLDS,
                hold: caller.preferences.hold_seconds,
                pictures: settings.remote_images,
                wrong,
            });
            if refused {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            Ok(response)
        })
        .await
}

/// `POST /settings`
pub async fn save(caller: Caller, headers: HeaderMap, peer: Option<Extension<Peer>>, form: Posted) -> Result<Response> {
    let old = caller.site.directory.settings(caller.account)?;
    let hold: u32 = form.get("hold").parse().unwrap_or_default();
    let settings = Settings {
        display_name: form.get("name").trim().to_owned(),
        signature: form.get("signature").replace("\r\n", "\n").trim_end().to_owned(),
        theme: THEMES.iter().find(|(value, _)| *value == form.get("theme")).map_or("", |(value, _)| value).to_owned(),
        time_zone: form.get("zone").trim().to_owned(),
        remote_images: form.get("pictures") == "1",
        undo_send_seconds: if HOLDS.iter().any(|(value, _)| *value == hold) { hold } else { old.undo_send_seconds },
        ..old
    };
    let wrong = Wrong::with(&settings);
    if wrong.is_any() {
        return shown(caller, settings, wrong, None, &headers, peer).await;
    }
    caller.site.directory.set_settings(caller.account, settings).await?;
    Ok(Redirect::to(&notice::with("/settings", "settings")).into_response())
}
