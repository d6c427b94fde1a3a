//! The page of what an account is entered with: the password, two-step sign-in, passkeys.

use askama::Template;
use axum::Extension;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use delivery::AccessChange;
use directory::{DirectoryError, SecondSteps};

use super::common::{Ask, TABS, Tabs, confirm, fresh, note, surroundings, tell_self};
use super::passkeys::{self, Making};
use crate::caller::Caller;
use crate::cookies::{Jar, Peer};
use crate::error::{Result, form_urlencoded};
use crate::forms::Posted;
use crate::listing::Place;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wording::capital;
use crate::wrong::Wrong;
use crate::{notice, options::MIN_PASSWORD, qr};

#[derive(Template)]
#[template(path = "settings_security.html")]
struct SecurityPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    wrong: Wrong,
    ask: Option<Ask>,
    min_password: usize,
    steps: SecondSteps,
    /// What the passkey section shows.
    passkeys: passkeys::Section,
    making: Option<Making>,
    enrol: Option<Enrol>,
    codes: Vec<String>,
    /// The codes as a text file, in an address that needs no script and no second request.
    codes_file: String,
}

pub struct Enrol {
    qr: String,
    secret: String,
}

/// What the security page shows besides itself.
#[derive(Default)]
pub struct Aside {
    pub wrong: Wrong,
    pub ask: Option<Ask>,
    pub enrol: Option<Enrol>,
    /// The passkey that is being made.
    pub making: Option<Making>,
    pub codes: Vec<String>,
    pub done: Option<String>,
}

pub async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    show(caller, Aside { done: place.done, ..Aside::default() }).await
}

pub async fn show(caller: Caller, aside: Aside) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let failed = !aside.wrong.is_empty() || aside.ask.is_some();
            let mut response = view::html(&SecurityPage {
                page: caller.page("Security"),
                shell: surroundings(caller, aside.done.as_deref(), "/settings/security")?,
                tabs: TABS,
                here: "/settings/security",
                problem: caller.must_change_password.then_some(Problem::MustChangePassword),
                wrong: aside.wrong,
                ask: aside.ask,
                min_password: MIN_PASSWORD,
                steps: caller.site.directory.second_steps(caller.account)?,
                passkeys: passkeys::Section::of(caller)?,
                making: aside.making,
                enrol: aside.enrol,
                codes_file: codes_file(&caller.address, &aside.codes),
                codes: aside.codes,
            });
            if failed {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            Ok(response)
        })
        .await
}

/// Recovery codes as a text file to keep.
fn codes_file(address: &str, codes: &[String]) -> String {
    let text = format!("Holdfast recovery codes of {address}\nEach one signs you in once.\n\n{}\n", codes.join("\n"));
    format!("data:text/plain;charset=utf-8,{}", form_urlencoded(&text))
}

/// `POST /settings/password/check`: whether a password that is being typed would do.
pub async fn check_password(caller: Caller, form: Posted) -> Result<Response> {
    let answer = caller
        .blocking(move |caller| {
            let checked = caller.site.directory.check_new_password(form.get("new"), &caller.address, &caller.name);
            let text = checked.as_ref().err().map(|error| capital(&error.to_string()));
            Ok(serde_json::json!({ "ok": checked.is_ok(), "text": text }))
        })
        .await?;
    Ok(axum::Json(answer).into_response())
}

pub async fn change_password(
    caller: Caller,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
    form: Posted,
) -> Result<Response> {
    let mut wrong = Wrong::default();
    if form.get("old").is_empty() {
        wrong.add("old", "Enter your current password.");
    } else if let Err(problem) = confirm(&caller, form.get("old")).await {
        wrong.add("old", problem);
    }
    wrong.check("new", caller.site.directory.check_new_password(form.get("new"), &caller.address, &caller.name));
    if form.get("new") != form.get("again") {
        wrong.add("again", Problem::PasswordsDiffer);
    }
    if wrong.is_empty() {
        match caller.site.directory.set_password(caller.account, form.get("new")).await {
            Ok(()) => {}
            Err(error @ DirectoryError::Store(_)) => return Err(error.into()),
            Err(error) => wrong.add("new", error),
        }
    }
    if !wrong.is_empty() {
        return show(caller, Aside { wrong, ..Aside::default() }).await;
    }
    note(&caller, "changed the password").await?;
    tell_self(&caller, AccessChange::Password).await;
    // All sessions have ended, this one too: a new one takes its place.
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = caller.site.directory.create_session(caller.account, &caller.peer.addr.to_string(), agent).await?;
    let mut extensions = axum::http::Extensions::new();
    extensions.insert(peer.map(|Extension(peer)| peer).unwrap_or_default());
    let jar = Jar::of(&headers, &extensions, &caller.site);
    if let Some(session) = caller.site.directory.session(&token)? {
        // It was typed a moment ago.
        caller.site.directory.confirm_session(session.account, session.id).await?;
    }
    // What goes on with passwords of its own is shown, to be revoked if need be.
    let apps = caller.site.directory.app_passwords(caller.account)?;
    let to = if apps.is_empty() { "/settings/security" } else { "/settings/apps" };
    let done = if apps.is_empty() { "password" } else { "passwordapps" };
    let mut response = Redirect::to(&notice::with(to, done)).into_response();
    response.headers_mut().append(header::SET_COOKIE, jar.set_session(Some(&token)));
    Ok(response)
}

pub async fn enrol(caller: Caller, form: Posted) -> Result<Response> {
    if let Err(wrong) = fresh(&caller, &form).await? {
        let ask = Some(Ask { wrong, ..Ask::new("/settings/totp", "Continue", &form, &[]) });
        return show(caller, Aside { ask, ..Aside::default() }).await;
    }
    let made = caller.site.directory.enrol_totp(caller.account).await?;
    let enrol = Enrol { qr: qr::svg(&made.url).unwrap_or_default(), secret: made.secret };
    show(caller, Aside { enrol: Some(enrol), ..Aside::default() }).await
}

pub async fn totp_on(caller: Caller, form: Posted) -> Result<Response> {
    if let Err(wrong) = fresh(&caller, &form).await? {
        let ask = Some(Ask { wrong, ..Ask::new("/settings/totp/on", "Turn on", &form, &["secret", "code"]) });
        return show(caller, Aside { ask, ..Aside::default() }).await;
    }
    match caller.site.directory.enable_totp(caller.account, form.get("code")).await {
        Ok(codes) => {
            // Those were signed in without a code.
            caller.site.directory.end_all_sessions(caller.account, Some(caller.session.id)).await?;
            note(&caller, "turned the second factor on").await?;
            tell_self(&caller, AccessChange::SecondFactorOn).await;
            show(caller, Aside { codes, ..Aside::default() }).await
        }
        // The secret stays the same: the app that has scanned it need not do so again.
        Err(DirectoryError::WrongCode) => {
            let secret = form.get("secret");
            let known = secret.len() < 100 && secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'=');
            let enrol = known.then(|| {
                let url = format!(
                    "otpauth://totp/Holdfast:{}?secret={secret}&issuer=Holdfast",
                    caller.address.replace('@', "%40")
                );
                Enrol { qr: qr::svg(&url).unwrap_or_default(), secret: secret.to_owned() }
            });
            let wrong = Wrong::of("code", Problem::WrongNewCode);
            show(caller, Aside { wrong, enrol, ..Aside::default() }).await
        }
        Err(error) => Err(error.into()),
    }
}

pub async fn totp_off(caller: Caller, form: Posted) -> Result<Response> {
    if let Err(problem) = confirm(&caller, form.get("password")).await {
        let wrong = Wrong::of("off-password", problem);
        return show(caller, Aside { wrong, ..Aside::default() }).await;
    }
    caller.site.directory.disable_totp(caller.account).await?;
    note(&caller, "turned the second factor off").await?;
    tell_self(&caller, AccessChange::SecondFactorOff).await;
    Ok(Redirect::to(&notice::with("/settings/security", "twostepoff")).into_response())
}
