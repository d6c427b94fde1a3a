//! Signing in with a passkey: alone, or as the second step after the password.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use directory::{AuthError, LoginAttempt, Secret, Service};

use super::{Step, agent_of, sign_in, sign_in_page};
use crate::challenges::Purpose;
use crate::cookies::{Jar, Peer};
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::passkey::{self, Given};
use crate::problem::Problem;
use crate::settings;
use crate::site::Site;

/// What the page asks a browser that has passkeys.
#[derive(Default)]
pub struct Ask {
    /// For the script; empty: there are no passkeys here.
    pub options: String,
    /// Only a passkey or a recovery code will do: the account has no authenticator app.
    pub without_app: bool,
}

impl Ask {
    /// For the page at which someone signs in, or, with a ticket, takes the second step.
    pub fn of(site: &Site, jar: &Jar, login: &str, ticket: &str) -> Result<Self> {
        if ticket.is_empty() {
            let options = jar.relying().map(|relying| {
                passkey::request(&site.challenges.give(Purpose::SignIn, &relying.id), &relying.id, None)
            });
            return Ok(Self { options: options.unwrap_or_default(), without_app: false });
        }
        // Only who knows the password has a ticket, and so hears of the account's passkeys.
        let (steps, passkeys) = site.directory.second_steps_of_login(login)?;
        let here = jar.relying().filter(|relying| passkeys.iter().any(|one| one.rp_id == relying.id));
        let options = here.map(|relying| {
            passkey::request(&site.challenges.give(Purpose::Step(ticket), &relying.id), &relying.id, Some(&passkeys))
        });
        Ok(Self { options: options.unwrap_or_default(), without_app: !steps.app })
    }
}

/// The answer of a passkey was sent.
pub async fn post(site: &Site, jar: &Jar, headers: &HeaderMap, peer: Peer, form: &Posted) -> Result<Response> {
    let (login, ticket) = (form.get("login").trim(), form.get("ticket"));
    let purpose = if ticket.is_empty() { Purpose::SignIn } else { Purpose::Step(ticket) };
    let refuse = |status, problem, ticket: String| {
        let ask_code = !ticket.is_empty();
        sign_in_page(site, jar, form, Step { status, problem: Some(problem), ask_code, ticket })
    };
    let kept = if site.second_steps.holds(ticket) { ticket.to_owned() } else { String::new() };
    let Some((given, relying)) = Given::of(form).zip(jar.relying()) else {
        return refuse(StatusCode::BAD_REQUEST, Problem::PasskeyMissing, kept);
    };
    let Some(challenge) = site.challenges.known(&given.challenge, purpose, &relying.id) else {
        return refuse(StatusCode::UNAUTHORIZED, Problem::PasskeyExpired, kept);
    };
    let answer = given.answer(&challenge, relying);
    let browser = settings::browser(agent_of(headers));
    let result = if ticket.is_empty() {
        site.directory.authenticate_passkey(&answer, peer.addr, &browser).await
    } else {
        let Some(password) = site.second_steps.password(ticket, login) else {
            return refuse(StatusCode::UNAUTHORIZED, Problem::SignInExpired, String::new());
        };
        let secret = Secret::PasswordAndPasskey(&password, &answer);
        let attempt = LoginAttempt { login, secret, peer: peer.addr, service: Service::Web };
        site.directory.authenticate_from(attempt, &browser).await
    };
    let kept = if site.second_steps.holds(ticket) { ticket.to_owned() } else { String::new() };
    match result {
        Ok(done) if site.challenges.spend(&challenge) => {
            site.second_steps.end(ticket);
            sign_in(site, jar, headers, &done, peer.addr, &super::next_of(form)).await
        }
        Ok(_) => refuse(StatusCode::UNAUTHORIZED, Problem::PasskeyExpired, kept),
        Err(AuthError::Disabled) => refuse(StatusCode::FORBIDDEN, Problem::AccountDisabled, kept),
        Err(AuthError::Throttled { retry_after }) => {
            refuse(StatusCode::TOO_MANY_REQUESTS, Problem::TooManyAttempts(retry_after), kept)
        }
        Err(AuthError::Unavailable | AuthError::CodeUnavailable) => Err(Fault::Unavailable(
            std::time::Duration::from_secs(15),
            "You can’t sign in right now. Try again in a moment.".to_owned(),
        )),
        Err(_) => refuse(StatusCode::UNAUTHORIZED, Problem::PasskeyRefused, kept),
    }
}
