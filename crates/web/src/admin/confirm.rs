//! A page that asks before something that can't be undone: it says what would be lost, and works without scripts.

use askama::Template;
use axum::response::Response;
use directory::CONFIRMED_FOR_MS;

use super::frame::{TABS, Tabs, failed, surroundings};
use crate::caller::Caller;
use crate::error::Result;
use crate::forms::Posted;
use crate::settings::confirm_password;
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
    pub action: String,
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

/// The field of the administrator's own password.
const OWN_PASSWORD: &str = "own-password";

#[derive(Template)]
#[template(path = "admin_password.html")]
struct PasswordPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    /// What was sent, to be sent again.
    fields: Vec<(String, String)>,
    action: String,
    wrong: Wrong,
}

/// Before what gives access to others' mail or can't be undone: administrators who did not sign in or type their password in
/// the last minutes are asked for it, and the form waits. `None`: go on.
pub async fn password_first(caller: &Caller, form: &Posted, action: &str) -> Result<Option<Response>> {
    let (directory, session) = (&caller.site.directory, &caller.session);
    let typed = form.get(OWN_PASSWORD);
    let wrong = if typed.is_empty() {
        let signed_in_lately = (0..CONFIRMED_FOR_MS).contains(&(directory.now_ms() - session.created_ms));
        if signed_in_lately || directory.is_confirmed(session) {
            return Ok(None);
        }
        Wrong::default()
    } else {
        match confirm_password(caller, typed).await {
            Ok(()) => {
                directory.confirm_session(caller.account, session.id).await?;
                return Ok(None);
            }
            Err(problem) => Wrong::of(OWN_PASSWORD, problem),
        }
    };
    let own = |name: &str| matches!(name, "csrf" | OWN_PASSWORD);
    let fields = form.pairs().filter(|(name, _)| !own(name));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let action = action.to_owned();
    let work = move |caller: &Caller| {
        let page = PasswordPage {
            page: caller.page("Enter your password"),
            shell: surroundings(caller, None, &action)?,
            tabs: TABS,
            here: "",
            problem: None,
            fields,
            action,
            wrong,
        };
        Ok(failed(view::html(&page), true))
    };
    caller.clone().blocking(work).await.map(Some)
}
