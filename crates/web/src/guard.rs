//! Middleware around every request: headers, the first run, time limits.

use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use doorkit::span::{ConnId, span};
use tracing::Instrument as _;

use crate::cookies::Peer;
use crate::discovery;
use crate::error::Fault;
use crate::site::Site;

/// For pages: nothing but what this site serves, no inline script or style, no framing by others.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

tokio::task_local! {
    /// What the request at hand is called in the log and on error pages.
    static REQUEST: ConnId;
}

/// The name of the request at hand in the log, to be shown where something went wrong.
pub fn reference() -> Option<String> {
    REQUEST.try_with(ToString::to_string).ok()
}

/// Gives each request a name, which all log events of it carry.
pub async fn named(request: Request, next: Next) -> Response {
    let id = ConnId::new();
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_default().addr;
    let door = if request.uri().path() == "/live" { "live" } else { "web" };
    REQUEST.scope(id, next.run(request)).instrument(span(door, peer, id)).await
}

/// Headers that every answer has. Those that an answer has set for itself stay.
pub async fn headers(State(site): State<Site>, request: Request, next: Next) -> Response {
    let encrypted = request.extensions().get::<Peer>().is_some_and(|peer| peer.tls);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // Only if the operator says that people connect by TLS: browsers insist on it for a year.
    let always_tls = site.options.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    if always_tls && encrypted {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    let always: [(HeaderName, &'static str); 7] = [
        // Some proxies cache everything that doesn't forbid it, even the redirect to the sign-in page.
        (header::CACHE_CONTROL, "private, no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=(), browsing-topics=()"),
    ];
    for (name, value) in always {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Checks what a browser wants an answer for (`Sec-Fetch-Dest`): pages are for windows, frames and our own scripts. If a
/// message makes the browser load a page's address as a picture, a style or anything else, the answer is 403 before any
/// handler runs, so that opening a message has no other effect.
pub async fn destination(request: Request, next: Next) -> Response {
    let wanted = request.headers().get(HeaderName::from_static("sec-fetch-dest")).and_then(|value| value.to_str().ok());
    if !may_be(request.uri().path(), wanted) {
        return Fault::Forbidden("This address doesn’t serve images, styles or scripts.").into_response();
    }
    next.run(request).await
}

/// Whether what is at `path` may be loaded for `destination`.
fn may_be(path: &str, destination: Option<&str>) -> bool {
    match destination {
        None | Some("document" | "iframe" | "empty") => true,
        Some("image") => path.starts_with("/assets/") || is_inline_picture(path) || is_face(path),
        Some(_) => path.starts_with("/assets/"),
    }
}

/// `/message/{email}/inline/{part}`
fn is_inline_picture(path: &str) -> bool {
    let mut parts = path.split('/');
    (parts.next(), parts.next(), parts.next().is_some(), parts.next())
        == (Some(""), Some("message"), true, Some("inline"))
        && parts.next().is_some_and(|part| !part.is_empty())
        && parts.next().is_none()
}

/// `/people/{id}/picture`, which does nothing but answer.
fn is_face(path: &str) -> bool {
    let id = path.strip_prefix("/people/").and_then(|rest| rest.strip_suffix("/picture"));
    id.is_some_and(|id| !id.is_empty() && !id.contains('/'))
}

/// Redirects to the setup page while there is no account. The one place that decides it.
pub async fn stage(State(site): State<Site>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.starts_with("/assets/") || path == "/setup" || discovery::is_one(path) {
        return next.run(request).await;
    }
    match site.first_run() {
        Ok(false) => next.run(request).await,
        Ok(true) => Redirect::to("/setup").into_response(),
        Err(error) => Fault::from(error).into_response(),
    }
}

/// Answers a form only once its commits are acknowledged (by standbys, if so configured), also if the form was found to
/// be done already: people press a button again when it hangs, and the second answer must be as durable as the first.
pub async fn acknowledged(State(site): State<Site>, request: Request, next: Next) -> Response {
    // Signing in changes nothing that must survive this machine, and people want to read.
    let acts = request.method() == Method::POST && request.uri().path() != "/signin";
    let response = next.run(request).await;
    if !acts || !(response.status().is_success() || response.status().is_redirection()) {
        return response;
    }
    match site.mailstore.all_acknowledged().await {
        Ok(()) => response,
        Err(error) => Fault::from(error).into_response(),
    }
}

/// Ends requests that take too long, and measures all of them. Live updates have no time limit.
pub async fn timed(State(site): State<Site>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let upload = request.method() == Method::POST && request.uri().path() == "/compose";
    // Reading a month of the log takes long.
    let reads_much = request.uri().path().starts_with("/rewind/");
    let limit = site.options.request_timeout * if upload || reads_much { 10 } else { 1 };
    let kind = if request.method() == Method::POST { "post" } else { "get" };
    let response = tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let text = "The server took too long. Try again: repeating it is safe.".to_owned();
        Fault::Unavailable(Duration::from_secs(5), text).into_response()
    });
    metrics::histogram!("holdfast_web_request_seconds", "method" => kind).record(started.elapsed().as_secs_f64());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_messages_and_contacts_are_served_as_images_alone() {
        for path in ["/message/e1/inline/2", "/people/c0123456789abcdef/picture"] {
            assert!(may_be(path, Some("image")) && may_be(path, Some("document")), "{path}");
            assert!(!may_be(path, Some("script")) && !may_be(path, Some("style")), "{path}");
        }
    }

    #[test]
    fn pages_are_not_served_as_images_styles_or_scripts() {
        let pages = [
            "/",
            "/mail/inbox",
            "/mail/inbox/t1",
            "/message/e1",
            "/message/e1/html",
            "/message/e1/download",
            "/message/e1/source",
            "/message/e1/part/2/inline",
            "/message/e1/inline/2/x",
            "/message/e1/inline/",
            "/search",
            "/signout",
            "/compose",
            "/act",
            "/undo",
            "/live",
            "/complete",
            "/people",
            "/people/c1",
            "/people//picture",
            "/people/c1/x/picture",
            "/admin",
            "/settings",
            "/rewind",
            "/nothing",
            "/message//inline",
        ];
        for page in pages {
            for dest in [None, Some("document"), Some("iframe"), Some("empty")] {
                assert!(may_be(page, dest), "{page} {dest:?}");
            }
            for dest in [
                "image",
                "style",
                "script",
                "font",
                "audio",
                "video",
                "track",
                "object",
                "embed",
                "frame",
                "manifest",
                "worker",
                "serviceworker",
                "sharedworker",
                "xslt",
                "report",
                "json",
                "webidentity",
                "speculationrules",
                "Image",
                "",
            ] {
                assert!(!may_be(page, Some(dest)), "{page} {dest}");
            }
        }
        assert!(may_be("/message/e1/inline/1.2", Some("image")));
        assert!(!may_be("/message/e1/inline/1.2", Some("script")));
        for dest in ["image", "style", "script", "font", "manifest"] {
            assert!(may_be("/assets/0/app.css", Some(dest)));
        }
    }
}
