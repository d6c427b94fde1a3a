//! A page that asks before something that can't be undone: it says what would be lost, and works without scripts.

use askama::Template;
use axum::response::Response;

use super::frame::{TABS, Tabs, failed, surroundings};
use crate::caller::Caller;
use crate::error::Result;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wrong::Wrong;

/// What is asked.
#[derive(Debug, Default)]
pub struct Question {
    /// In one line.
    pub heading: String,
    /// What happens then, and what would be lost.
    pub facts: Vec<String>,
    /// What stands in the way, each with the page to go to: then there is no button.
    pub hindrances: Vec<(String, String)>,
    /// What the form sends again, beside `sure`.
    pub fields: Vec<(&'static str, String)>,
    /// What must be typed first, if anything.
    pub typed: Option<String>,
    /// It was typed wrongly.
    pub mistyped: bool,
    /// What the button says.
    pub button: &'static str,
    /// Where the form goes.
    pub action: &'static str,
    /// Where *Cancel* goes, and which tab that is.
    pub back: String,
    /// The tab.
    pub here: &'static str,
}

#[derive(Template)]
#[template(path = "admin_confirm.html")]
struct ConfirmPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    question: Question,
    wrong: Wrong,
}

/// Asks.
pub async fn ask(caller: Caller, question: Question) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let wrong = match (&question.typed, question.mistyped) {
                (Some(typed), true) => Wrong::of("typed", format!("Type {typed} to continue.")),
                _ => Wrong::default(),
            };
            let page = ConfirmPage {
                page: caller.page(&question.heading),
                shell: surroundings(caller, None, &question.back)?,
                tabs: TABS,
                here: question.here,
                problem: None,
                question,
                wrong,
            };
            let mistyped = !page.wrong.is_empty();
            Ok(failed(view::html(&page), mistyped))
        })
        .await
}
