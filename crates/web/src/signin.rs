//! Signing in and out, and the first run.

mod by_passkey;

use std::net::IpAddr;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use delivery::AccessChange;
use directory::{
    AccountId, AuthError, DirectoryError, Login, LoginAttempt, NewAccount, PasskeyId, Role, Secret, Service,
};
use mailkit::EmailAddress;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::caller::Caller;
use crate::cookies::{Jar, Peer};
use crate::error::{Fault, Result};
use crate::forms::{Posted, local};
use crate::language::texts;
use crate::problem::Problem;
use crate::site::Site;
use crate::view::{self, Page, fresh_key};
use crate::wrong::{Wrong, readable};
use crate::{csrf, options::MIN_PASSWORD, settings};

/// How long a sign-in waits for the mail that tells its owner of it.
const NOTICE_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Template)]
#[template(path = "signin.html")]
struct SignInPage {
    page: Page,
    hostname: String,
    next: String,
    login: String,
    ask_code: bool,
    /// Stands for the password, once that was right.
    ticket: String,
    passkey: by_passkey::Ask,
    problem: Option<Problem>,
    wrong: Wrong,
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    page: Page,
    form: SetupForm,
    /// The token came with the address.
    given: bool,
    min_password: usize,
    problem: Option<Problem>,
    wrong: Wrong,
}

#[derive(Default)]
struct SetupForm {
    token: String,
    domain: String,
    name: String,
    user: String,
    /// Returned to the person who just typed it, when something else is wrong.
    password: String,
}

/// Where to go after signing in.
#[derive(Default, Deserialize)]
pub struct Next {
    next: Option<String>,
}

/// Put a form for a visitor on a page: the browser gets a cookie that the form's token belongs to.
pub fn visitor_page<T: Template>(jar: &Jar, title: &str, status: StatusCode, fill: impl FnOnce(Page) -> T) -> Response {
    let visitor = jar.visitor().map_or_else(fresh_key, str::to_owned);
    let page = Page { csrf: csrf::token(&visitor), ..Page::plain(title) };
    let mut response = view::html(&fill(page));
    *response.status_mut() = status;
    response.headers_mut().append(header::SET_COOKIE, jar.set_visitor(&visitor));
    response
}

/// `GET /signin`
pub async fn page(
    State(site): State<Site>,
    Query(next): Query<Next>,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
) -> Result<Response> {
    let jar = jar(&site, &headers, peer);
    let next = next.next.as_deref().and_then(local).unwrap_or("/").to_owned();
    if let Some(token) = jar.session()
        && site.directory.session(token)?.is_some()
    {
        return Ok(Redirect::to(&next).into_response());
    }
    let passkey = by_passkey::Ask::of(&site, &jar, "", "")?;
    Ok(visitor_page(&jar, &texts().signin(), StatusCode::OK, |page| SignInPage {
        page: Page { announcement: site.options.announcement.borrow().clone(), ..page },
        hostname: jar.host().to_owned(),
        next,
        login: String::new(),
        ask_code: false,
        ticket: String::new(),
        passkey,
        problem: None,
        wrong: Wrong::default(),
    }))
}

pub fn jar(site: &Site, headers: &HeaderMap, peer: Option<Extension<Peer>>) -> Jar {
    let mut extensions = axum::http::Extensions::new();
    extensions.insert(peer.map(|Extension(peer)| peer).unwrap_or_default());
    Jar::of(headers, &extensions, site)
}

/// `POST /signin`
pub async fn post(
    State(site): State<Site>,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
    form: Posted,
) -> Result<Response> {
    let client = peer.map(|Extension(peer)| peer).unwrap_or_default();
    let addr = client.addr;
    let jar = jar(&site, &headers, peer);
    if form.get("with") == "passkey" {
        return by_passkey::post(&site, &jar, &headers, client, &form).await;
    }
    let login = form.get("login").trim();
    let wrong = missing(&form);
    if !wrong.is_empty() {
        let code = !form.get("ticket").is_empty() || !form.get("code").is_empty();
        return refusal(&site, &jar, &form, wrong, code);
    }
    let code = form.get("code").trim();
    let steps = &site.second_steps;
    let ticket = form.get("ticket");
    let before = if ticket.is_empty() || code.is_empty() { None } else { steps.password(ticket, login) };
    let password = before.as_deref().unwrap_or_else(|| form.get("password"));
    if !ticket.is_empty() && before.is_none() && password.is_empty() {
        let (status, problem) = (StatusCode::UNAUTHORIZED, Some(Problem::SignInExpired));
        return sign_in_page(&site, &jar, &form, Step { status, problem, ask_code: false, ticket: String::new() });
    }
    let secret = if code.is_empty() { Secret::Password(password) } else { Secret::PasswordAndCode(password, code) };
    let attempt = LoginAttempt { login, secret, peer: addr, service: Service::Web };
    let mut next_ticket = String::new();
    let (status, problem, ask_code) =
        match site.directory.authenticate_from(attempt, &settings::browser(agent_of(&headers))).await {
            Ok(done) => {
                steps.end(ticket);
                return sign_in(&site, &jar, &headers, &done, addr, &next_of(&form)).await;
            }
            Err(AuthError::TotpRequired) => {
                next_ticket = steps.ticket(login, password);
                (StatusCode::OK, None, true)
            }
            Err(AuthError::Invalid) if !code.is_empty() => {
                if steps.holds(ticket) {
                    ticket.clone_into(&mut next_ticket);
                }
                let problem = if next_ticket.is_empty() { Problem::WrongLoginOrCode } else { Problem::WrongSignInCode };
                (StatusCode::UNAUTHORIZED, Some(problem), true)
            }
            Err(AuthError::Invalid) => (StatusCode::UNAUTHORIZED, Some(Problem::WrongLogin), false),
            // App passwords are for mail apps.
            Err(AuthError::NotAllowed { .. }) => (StatusCode::UNAUTHORIZED, Some(Problem::WrongLogin), false),
            Err(AuthError::Disabled) => (StatusCode::FORBIDDEN, Some(Problem::AccountDisabled), false),
            Err(AuthError::Throttled { retry_after }) => return later(&site, &jar, &form, retry_after),
            Err(AuthError::CodeUnavailable) => {
                if steps.holds(ticket) {
                    ticket.clone_into(&mut next_ticket);
                }
                (StatusCode::SERVICE_UNAVAILABLE, Some(Problem::CodesNotChecked), true)
            }
            Err(AuthError::Unavailable) => {
                let text = texts().signin_not_now().into_owned();
                return Err(Fault::Unavailable(std::time::Duration::from_secs(15), text));
            }
        };
    sign_in_page(&site, &jar, &form, Step { status, problem, ask_code, ticket: next_ticket })
}

/// Where to go after signing in.
fn next_of(form: &Posted) -> String {
    let next = form.local("next");
    if next.starts_with("/signin") || next.starts_with("/setup") { "/".to_owned() } else { next }
}

/// The form again, after too many attempts.
fn later(site: &Site, jar: &Jar, form: &Posted, retry_after: Duration) -> Result<Response> {
    let problem = Some(Problem::TooManyAttempts(retry_after));
    let status = StatusCode::TOO_MANY_REQUESTS;
    let ask_code = !form.get("code").trim().is_empty();
    let ticket = form.get("ticket");
    let ticket = if site.second_steps.holds(ticket) { ticket.to_owned() } else { String::new() };
    let mut response = sign_in_page(site, jar, form, Step { status, problem, ask_code, ticket })?;
    response.headers_mut().insert(header::RETRY_AFTER, retry_after.as_secs().max(1).into());
    Ok(response)
}

/// What was left empty.
fn missing(form: &Posted) -> Wrong {
    let mut wrong = Wrong::default();
    if !form.get("ticket").is_empty() {
        if form.get("code").trim().is_empty() {
            wrong.add("code", &*texts().signin_enter_code());
        }
        return wrong;
    }
    if form.get("login").trim().is_empty() {
        wrong.add("login", &*texts().signin_enter_address());
    }
    if form.get("password").is_empty() {
        wrong.add("password", &*texts().signin_enter_password());
    }
    wrong
}

/// The form again, with what is wrong beside its fields.
fn refusal(site: &Site, jar: &Jar, form: &Posted, wrong: Wrong, ask_code: bool) -> Result<Response> {
    let ticket = form.get("ticket");
    let kept = if site.second_steps.holds(ticket) { ticket.to_owned() } else { String::new() };
    let passkey = by_passkey::Ask::of(site, jar, form.get("login"), &kept)?;
    Ok(visitor_page(jar, &texts().signin(), StatusCode::UNPROCESSABLE_ENTITY, |page| SignInPage {
        page: Page { announcement: site.options.announcement.borrow().clone(), ..page },
        hostname: jar.host().to_owned(),
        next: form.local("next"),
        login: form.get("login").to_owned(),
        ask_code,
        ticket: kept,
        passkey,
        problem: None,
        wrong,
    }))
}

/// Why the sign-in goes on: what the page says, and what it asks for next.
struct Step {
    status: StatusCode,
    problem: Option<Problem>,
    ask_code: bool,
    /// Stands for the password that was right, while the code is asked for; may be empty.
    ticket: String,
}

fn sign_in_page(site: &Site, jar: &Jar, form: &Posted, step: Step) -> Result<Response> {
    let Step { status, problem, ask_code, ticket } = step;
    let passkey = by_passkey::Ask::of(site, jar, form.get("login"), &ticket)?;
    Ok(visitor_page(jar, &texts().signin(), status, |page| SignInPage {
        page: Page { announcement: site.options.announcement.borrow().clone(), ..page },
        hostname: jar.host().to_owned(),
        next: form.local("next"),
        login: form.get("login").to_owned(),
        ask_code,
        ticket,
        passkey,
        problem,
        wrong: Wrong::default(),
    }))
}

/// What the browser says it is.
fn agent_of(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Begins a session, and goes to `next`.
async fn sign_in(
    site: &Site,
    jar: &Jar,
    headers: &HeaderMap,
    done: &Login,
    addr: IpAddr,
    next: &str,
) -> Result<Response> {
    let token = begin(site, jar, headers, (done.account, done.passkey), addr).await?;
    let mut response = Redirect::to(next).into_response();
    response.headers_mut().append(header::SET_COOKIE, jar.set_session(Some(&token)));
    Ok(response)
}

/// Begins a session; gives its token. The old session of the browser ends.
async fn begin(
    site: &Site,
    jar: &Jar,
    headers: &HeaderMap,
    (account, passkey): (AccountId, Option<PasskeyId>),
    addr: IpAddr,
) -> Result<String> {
    if let Some(old) = jar.session()
        && let Some(session) = site.directory.session(old)?
    {
        // Whether that can be written now or not: the new one begins.
        let directory = site.directory.clone();
        tokio::spawn(async move {
            if let Err(error) = directory.end_session(session.account, session.id).await {
                tracing::warn!(%error, "the browser's session before could not be ended");
            }
        });
    }
    let agent = agent_of(headers);
    let token = site.directory.create_session_by(account, passkey, &addr.to_string(), agent).await?;
    let name = settings::browser(agent);
    // That it could not be noted, on a full disk for one, keeps nobody out.
    if site.directory.note_browser(account, addr, &name).await.unwrap_or(false) {
        let site = site.clone();
        let told = tokio::spawn(async move {
            settings::tell(&site, account, AccessChange::NewSignIn, addr, &name).await;
        });
        // The mail waits for a standby where every mail does; who signs in does not.
        let _ = tokio::time::timeout(NOTICE_PATIENCE, told).await;
    }
    Ok(token)
}

/// `POST /signout`
pub async fn out(caller: Caller, headers: HeaderMap, peer: Option<Extension<Peer>>, _form: Posted) -> Result<Response> {
    caller.site.directory.end_session(caller.account, caller.session.id).await?;
    let jar = jar(&caller.site, &headers, peer);
    let mut response = Redirect::to("/signin").into_response();
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, jar.set_session(None));
    headers.insert("clear-site-data", header::HeaderValue::from_static("\"cache\", \"storage\""));
    Ok(response)
}

/// How long a wrong setup token waits for its answer.
const WRONG_TOKEN_WAITS: Duration = Duration::from_millis(500);

/// `GET /setup`
pub async fn setup_page(
    State(site): State<Site>,
    Query(asked): Query<Token>,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
) -> Result<Response> {
    if !site.directory.first_run()? {
        return Ok(Redirect::to("/").into_response());
    }
    let form = SetupForm { token: asked.token.unwrap_or_default(), ..SetupForm::default() };
    // A link that was copied wrongly is told before everything is filled in.
    let mut wrong = Wrong::default();
    if !form.token.is_empty() && !is_token(&site, &form.token) {
        tokio::time::sleep(WRONG_TOKEN_WAITS).await;
        wrong.add("token", Problem::WrongSetupToken);
    }
    Ok(setup_form(&jar(&site, &headers, peer), StatusCode::OK, form, wrong))
}

/// The token may stand in the address that the terminal shows.
#[derive(Deserialize)]
pub struct Token {
    token: Option<String>,
}

fn is_token(site: &Site, typed: &str) -> bool {
    let known = site.options.setup_token.as_deref().unwrap_or_default();
    !known.is_empty() && bool::from(known.as_bytes().ct_eq(typed.as_bytes()))
}

fn setup_form(jar: &Jar, status: StatusCode, form: SetupForm, mut wrong: Wrong) -> Response {
    visitor_page(jar, "Welcome", status, |page| SetupPage {
        page,
        given: !form.token.is_empty() && wrong.get("token").is_none(),
        form,
        min_password: MIN_PASSWORD,
        problem: wrong.take(""),
        wrong,
    })
}

/// `POST /setup`: the domain and the first administrator. Once there is an account it does nothing any more.
pub async fn setup(
    State(site): State<Site>,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
    posted: Posted,
) -> Result<Response> {
    let addr = peer.map(|Extension(peer)| peer).unwrap_or_default().addr;
    let jar = jar(&site, &headers, peer);
    if !site.directory.first_run()? {
        return Ok(Redirect::to("/").into_response());
    }
    let mut form = SetupForm {
        token: posted.get("token").trim().to_owned(),
        domain: posted.get("domain").trim().trim_start_matches('@').to_owned(),
        name: posted.get("name").trim().to_owned(),
        user: posted.get("user").trim().to_owned(),
        password: posted.get("password").to_owned(),
    };
    let mut wrong = looked_at(&site, &form, posted.get("again"));
    if wrong.get("password").or_else(|| wrong.get("again")).is_some() {
        form.password.clear();
    }
    if !is_token(&site, &form.token) {
        // Guessing is hopeless with a long token; being slow about it costs nothing.
        tokio::time::sleep(WRONG_TOKEN_WAITS).await;
        wrong.add("token", Problem::WrongSetupToken);
        return Ok(setup_form(&jar, StatusCode::FORBIDDEN, form, wrong));
    }
    if !wrong.is_empty() {
        return Ok(setup_form(&jar, StatusCode::UNPROCESSABLE_ENTITY, form, wrong));
    }
    // Two at once: the second one finds the account there. Only who has the token comes as far as this.
    let _one = site.setup.lock().await;
    if !site.directory.first_run()? {
        return Ok(Redirect::to("/").into_response());
    }
    match first_account(&site, &form).await {
        Ok(account) => {
            let what = format!("added the domain {}", readable(&form.domain));
            site.directory.audit(None, "setup", &what, &addr.to_string()).await?;
            let what = "created the account, an administrator";
            site.directory.audit(Some(account), "setup", what, &addr.to_string()).await?;
            let token = begin(&site, &jar, &headers, (account, None), addr).await?;
            let mut response = Redirect::to("/mail/inbox").into_response();
            response.headers_mut().append(header::SET_COOKIE, jar.set_session(Some(&token)));
            Ok(response)
        }
        Err(error @ DirectoryError::Store(_)) => Err(error.into()),
        Err(error) => {
            let field = match &error {
                DirectoryError::NotPublic(_) | DirectoryError::DomainTaken(_) => "domain",
                DirectoryError::BadAddress(_) | DirectoryError::NoSuchDomain(_) => "user",
                DirectoryError::BadPassword(_) => "password",
                DirectoryError::TooLong { .. } => "name",
                _ => "",
            };
            let wrong = Wrong::of(field, error);
            Ok(setup_form(&jar, StatusCode::UNPROCESSABLE_ENTITY, form, wrong))
        }
    }
}

/// The whole address of the first account.
fn first_address(form: &SetupForm) -> String {
    if form.user.contains('@') { form.user.clone() } else { format!("{}@{}", form.user, form.domain) }
}

/// Everything that can be seen to be wrong with what was typed.
fn looked_at(site: &Site, form: &SetupForm, again: &str) -> Wrong {
    let mut wrong = Wrong::default();
    if form.domain.is_empty() {
        wrong.add("domain", "Type a domain that you own, such as example.org.");
    } else {
        wrong.check("domain", directory::check_domain(&form.domain));
    }
    if form.user.is_empty() {
        wrong.add("user", "Type the part before the @ that you want.");
    } else if wrong.get("domain").is_none() || form.user.contains('@') {
        match EmailAddress::parse(&first_address(form)) {
            Ok(address) => {
                wrong.check("user", address.check_own().map_err(DirectoryError::from));
                let own = mailkit::address::normal_domain(&form.domain);
                if own.is_ok_and(|own| own != address.domain()) {
                    wrong.add("user", "This address ends in another domain than the one above.");
                }
            }
            Err(error) => wrong.check::<()>("user", Err(error.into())),
        }
    }
    if form.password.is_empty() {
        wrong.add("password", "Type a password.");
    } else {
        wrong.check("password", site.directory.check_new_password(&form.password, &first_address(form), &form.name));
    }
    if form.password != again {
        wrong.add("again", Problem::PasswordsDiffer);
    }
    wrong
}

async fn first_account(site: &Site, form: &SetupForm) -> Result<AccountId, DirectoryError> {
    let address = EmailAddress::parse(&first_address(form))?;
    // A domain made by a try before this one is as good.
    match site.directory.add_domain(&form.domain).await {
        Ok(_) | Err(DirectoryError::DomainTaken(_)) => {}
        Err(error) => return Err(error),
    }
    let new = NewAccount {
        address,
        name: form.name.clone(),
        password: form.password.clone(),
        role: Role::Admin,
        quota_bytes: 0,
    };
    site.directory.create_account(new).await
}
