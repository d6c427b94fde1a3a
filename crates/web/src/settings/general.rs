//! The general page: name, signature, undoing a Send, remote pictures.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use directory::{MAX_SHORT_BYTES, MAX_SIGNATURE_BYTES, Settings};

use super::common::{Ask, TABS, Tabs, surroundings};
use crate::caller::Caller;
use crate::error::Result;
use crate::forms::Posted;
use crate::listing::Place;
use crate::notice;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page};

/// Seconds in which sending can be undone; 1 is not at all.
const HOLDS: &[u32] = &[1, 5, 8, 15, 30];

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
    holds: &'static [u32],
    hold: u32,
    pictures: bool,
    wrong: Wrong,
}

/// What is wrong with which field; all of it at once.
#[derive(Debug, Default)]
struct Wrong {
    name: Option<Problem>,
    signature: Option<Problem>,
}

impl Wrong {
    fn with(settings: &Settings) -> Self {
        let long = |text: &str, limit: usize| (text.len() > limit).then_some(Problem::TextTooLong(limit));
        Self {
            name: long(&settings.display_name, MAX_SHORT_BYTES),
            signature: long(&settings.signature, MAX_SIGNATURE_BYTES),
        }
    }

    fn is_any(&self) -> bool {
        self.name.is_some() || self.signature.is_some()
    }
}

/// `GET /settings`
pub async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    let settings = caller.site.directory.settings(caller.account)?;
    shown(caller, settings, Wrong::default(), place.done).await
}

async fn shown(caller: Caller, settings: Settings, wrong: Wrong, done: Option<String>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let refused = wrong.is_any();
            let mut response = view::html(&GeneralPage {
                page: caller.page(&caller.texts.settings()),
                shell: surroundings(caller, done.as_deref(), "/settings")?,
                tabs: TABS,
                here: "/settings",
                problem: None,
                ask: None,
                name: if settings.display_name.is_empty() { caller.name.clone() } else { settings.display_name },
                signature: settings.signature,
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
pub async fn save(caller: Caller, form: Posted) -> Result<Response> {
    let old = caller.site.directory.settings(caller.account)?;
    let hold: u32 = form.get("hold").parse().unwrap_or_default();
    let settings = Settings {
        display_name: form.get("name").trim().to_owned(),
        signature: form.get("signature").replace("\r\n", "\n").trim_end().to_owned(),
        remote_images: form.get("pictures") == "1",
        undo_send_seconds: if HOLDS.contains(&hold) { hold } else { old.undo_send_seconds },
        ..old
    };
    let wrong = Wrong::with(&settings);
    if wrong.is_any() {
        return shown(caller, settings, wrong, None).await;
    }
    caller.site.directory.set_settings(caller.account, settings).await?;
    Ok(Redirect::to(&notice::with("/settings", "settings")).into_response())
}
