//! Errors as pages: the one place where errors become HTTP.

use std::time::Duration;

use askama::Template;
use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use mailstore::Unavailable;
use texts::{Language, Text};

use crate::guard;
use crate::language::texts;
use crate::problem::{Problem, storage_full};
use crate::view::Page;
use crate::wording::{capital, words_for};

/// Why a request failed.
#[derive(Debug)]
pub enum Fault {
    /// Sign in first, then go to this path.
    SignIn(String),
    /// Choose a new password first.
    ChangePassword,
    /// There is no such page, message or mailbox.
    NotFound(&'static str),
    /// Not permitted, with the reason.
    Forbidden(&'static str),
    /// The form was not understood, with the reason.
    Bad(String),
    /// More bytes than permitted, with the limit in words.
    TooLarge(String),
    /// Too many requests: try again after this time.
    TooMany(Duration),
    /// Not possible now: try again after this time. With the reason.
    Unavailable(Duration, String),
    /// The outcome is unknown: the connection ends without an answer, and the page tries again with the same key.
    NoAnswer,
    /// A bug or damage on our side; details are in the log.
    Internal,
}

/// Marks a response that must not be sent: the server closes the connection instead.
#[derive(Debug, Clone, Copy)]
pub struct EndsWithoutAnswer;

/// The usual result of this crate.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    /// Logs `error`; the page says only that something went wrong.
    pub fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "a web request failed");
        Self::Internal
    }

    /// A form without a button that is known.
    pub fn nothing_to_do() -> Self {
        Self::Bad("The form doesn’t say what to do. Reload the page and try again.".to_owned())
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::SignIn(_) | Self::ChangePassword => StatusCode::SEE_OTHER,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(..) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoAnswer | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Stands for the kind of fault, in every language.
    const fn code(&self) -> &'static str {
        match self {
            Self::SignIn(_) => "sign-in",
            Self::ChangePassword => "change-password",
            Self::NotFound(_) => "not-found",
            Self::Forbidden(_) => "forbidden",
            Self::Bad(_) => "bad-request",
            Self::TooLarge(_) => "too-large",
            Self::TooMany(_) => "too-many-requests",
            Self::Unavailable(..) => "unavailable",
            Self::NoAnswer | Self::Internal => "internal",
        }
    }

    /// Heading and text for a person.
    fn words(&self) -> (Text, String) {
        let t = texts();
        match self {
            Self::SignIn(_) => (t.fault_sign_in(), t.fault_sign_in_text().into_owned()),
            Self::ChangePassword => {
                (Text::Borrowed("Choose a new password"), "Choose a new password first.".to_owned())
            }
            // What exactly is missing is said in English alone.
            Self::NotFound(what) if t.language() == Language::English => {
                (t.fault_not_found(), format!("{what} It may have been moved or deleted."))
            }
            Self::NotFound(_) => (t.fault_not_found(), t.fault_not_found_text().into_owned()),
            Self::Forbidden(why) => (t.fault_forbidden(), (*why).to_owned()),
            Self::Bad(why) => (t.fault_bad(), why.clone()),
            Self::TooLarge(why) => (t.fault_too_large(), why.clone()),
            Self::TooMany(wait) => (t.fault_too_many(), t.fault_try_again(words_for(*wait)).into_owned()),
            Self::Unavailable(_, why) => (t.fault_unavailable(), why.clone()),
            Self::NoAnswer | Self::Internal => (t.fault_internal(), t.fault_internal_text().into_owned()),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany(wait) | Self::Unavailable(wait, _) => Some(*wait),
            _ => None,
        }
    }

    /// The answer to a script, as problem details (RFC 9457) with a `code`.
    pub fn into_json(self) -> Response {
        let status = if matches!(self, Self::SignIn(_)) { StatusCode::UNAUTHORIZED } else { self.status() };
        let (title, detail) = self.words();
        let mut response = (
            status,
            Json(serde_json::json!({
                "title": title, "detail": detail, "status": status.as_u16(), "code": self.code(),
                "reference": self.reference(),
            })),
        )
            .into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        self.put_retry_after(headers);
        self.mark(&mut response);
        response
    }

    /// What to look for in the log, where that is what helps.
    fn reference(&self) -> Option<String> {
        matches!(self, Self::Internal | Self::NoAnswer | Self::Unavailable(..)).then(guard::reference).flatten()
    }

    fn mark(&self, response: &mut Response) {
        if matches!(self, Self::NoAnswer) {
            response.extensions_mut().insert(EndsWithoutAnswer);
        }
    }

    fn put_retry_after(&self, headers: &mut HeaderMap) {
        if let Some(wait) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, wait.as_secs().max(1).into());
        }
    }
}

#[derive(Template)]
#[template(path = "fault.html")]
struct FaultPage {
    page: Page,
    code: &'static str,
    heading: Text,
    text: String,
    link: &'static str,
    link_text: Text,
    status: String,
    /// What the request is called in the log.
    reference: Option<String>,
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        if let Self::SignIn(next) = &self {
            let next: String = form_urlencoded(next);
            return Redirect::to(&format!("/signin?next={next}")).into_response();
        }
        if matches!(self, Self::ChangePassword) {
            return Redirect::to("/settings/security").into_response();
        }
        let (heading, text) = self.words();
        let status = self.status();
        let page = FaultPage {
            page: Page::plain(&heading),
            code: self.code(),
            heading,
            text,
            link: "/",
            link_text: texts().fault_link(),
            status: status.to_string(),
            reference: self.reference(),
        };
        let mut response = (status, crate::view::html(&page)).into_response();
        self.mark(&mut response);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.put_retry_after(headers);
        response
    }
}

/// Percent-encode for a query value.
pub fn form_urlencoded(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

impl From<mailstore::MailError> for Fault {
    fn from(error: mailstore::MailError) -> Self {
        use mailstore::MailError;
        match error {
            MailError::NoSuchMailbox(_) | MailError::MailboxGone(_) => Self::NotFound("There is no such mailbox."),
            MailError::NoSuchEmail(_) => Self::NotFound("There is no such message."),
            MailError::OverQuota { used, limit, .. } => Self::Bad(storage_full(used, limit)),
            MailError::Store(error) => Self::refused(Unavailable::of(&error), &error),
            MailError::Damaged(_) => Self::internal(error),
            told => Self::Bad(capital(&told.to_string())),
        }
    }
}

impl Fault {
    /// What the store, below whatever crate, did not do.
    fn refused(kind: Unavailable, error: &dyn std::fmt::Display) -> Self {
        let soon = |text: &str| Self::Unavailable(Duration::from_secs(60), text.to_owned());
        tracing::warn!(%error, "the store refused a web request");
        match kind {
            Unavailable::Unknown => Self::NoAnswer,
            Unavailable::DiskFull => {
                soon("The server’s disk is full, so nothing was changed. The operator has been alerted.")
            }
            Unavailable::Quarantined => soon(
                "Part of your account is being repaired. You can read the rest, but you can’t change anything yet.",
            ),
            Unavailable::NotRestored => Self::Unavailable(
                Duration::from_secs(5),
                "Your mail is being restored from the backup. Nothing is lost: try again in a few seconds.".to_owned(),
            ),
            Unavailable::Stopping => soon("The service is stopping. Try again in a minute."),
            Unavailable::TooLarge => Self::TooLarge("This is larger than the server can store.".to_owned()),
            _ => Self::Internal,
        }
    }
}

impl From<people::PeopleError> for Fault {
    fn from(error: people::PeopleError) -> Self {
        use people::PeopleError;
        match error {
            PeopleError::NoSuchContact => Self::NotFound("There is no such contact."),
            PeopleError::NoSuchGroup => Self::NotFound("There is no such group."),
            PeopleError::NoSuchBook => Self::NotFound("There is no such address book."),
            PeopleError::Store(error) => Self::refused(Unavailable::of(&error), &error),
            PeopleError::Damaged(_) => Self::internal(error),
            told => Self::Bad(capital(&told.to_string())),
        }
    }
}

impl From<filter::spam::SpamError> for Fault {
    fn from(error: filter::spam::SpamError) -> Self {
        match error {
            filter::spam::SpamError::Store(error) => mailstore::MailError::Store(error).into(),
            filter::spam::SpamError::TooManyEntries => Self::Bad("The lists of senders are too long.".to_owned()),
        }
    }
}

impl From<saved::SavedError> for Fault {
    fn from(error: saved::SavedError) -> Self {
        match error {
            saved::SavedError::Store(error) => mailstore::MailError::Store(error).into(),
            told => Self::Bad(capital(&told.to_string())),
        }
    }
}

impl From<fetching::FetchError> for Fault {
    fn from(error: fetching::FetchError) -> Self {
        use fetching::FetchError;
        match error {
            FetchError::Store(error) => mailstore::MailError::Store(error).into(),
            FetchError::Directory(error) => error.into(),
            FetchError::NoSuchSource => Self::NotFound("There is no such account to fetch from."),
            told => Self::Bad(format!("{}.", capital(&told.to_string()))),
        }
    }
}

impl From<rules::RulesError> for Fault {
    fn from(error: rules::RulesError) -> Self {
        match error {
            rules::RulesError::Store(error) => mailstore::MailError::Store(error).into(),
            rules::RulesError::NoSuchScript(_) => Self::NotFound("There is no such script."),
            told => Self::Bad(capital(&told.to_string())),
        }
    }
}

impl From<reports::ReportsError> for Fault {
    fn from(reports::ReportsError::Store(error): reports::ReportsError) -> Self {
        mailstore::MailError::Store(error).into()
    }
}

impl From<continuity::rewind::RewindError> for Fault {
    fn from(error: continuity::rewind::RewindError) -> Self {
        use continuity::rewind::{PartError, RewindError};
        match error {
            RewindError::Mail(error) => error.into(),
            RewindError::Part(PartError::Own(error)) => match error.downcast::<people::PeopleError>() {
                Ok(error) => (*error).into(),
                Err(error) => Self::internal(error),
            },
            RewindError::Store(error) => Self::refused(Unavailable::of(&error), &error),
            told => Self::Bad(capital(&told.to_string())),
        }
    }
}

impl From<directory::DirectoryError> for Fault {
    fn from(error: directory::DirectoryError) -> Self {
        use directory::DirectoryError;
        match error {
            DirectoryError::Store(error) => Self::refused(Unavailable::of(&error), &error),
            DirectoryError::Damaged(_) | DirectoryError::Dkim(_) => Self::internal(error),
            locked @ DirectoryError::NoSecretsKey(_) => {
                tracing::error!(error = %locked, "could not store or open a secret");
                Self::Unavailable(Duration::from_secs(60), Problem::Directory(locked).to_string())
            }
            told => Self::Bad(capital(&told.to_string())),
        }
    }
}

impl From<delivery::DeliveryError> for Fault {
    fn from(error: delivery::DeliveryError) -> Self {
        use delivery::DeliveryError;
        match error {
            DeliveryError::Mail(error) => error.into(),
            DeliveryError::Directory(error) => error.into(),
            DeliveryError::Store(error) => Self::refused(Unavailable::of(&error), &error),
            DeliveryError::UnknownSubmission | DeliveryError::NotQueued(_) => {
                Self::NotFound("This message is no longer in the queue.")
            }
            DeliveryError::Damaged(_) | DeliveryError::Io(_) => Self::internal(error),
            told => Self::Bad(capital(&told.to_string())),
        }
    }
}
