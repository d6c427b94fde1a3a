//! Serves the "service unavailable" page: by the service itself below stage `web`, and by `holdfast down-page` on
//! another machine.

use anyhow::Context as _;
use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::any,
};
use continuity::down_page::{DownPage, Form, MAX_FIELDS, RETRY_AFTER_SECONDS, STAGE_HEADER};
use tokio::net::TcpListener;

use crate::cli::DownPageArgs;

/// The largest form that is kept on the page; attached files are skipped and don't count.
const MAX_FORM_BYTES: usize = 2 << 20;
/// How much of a larger one is read, so that the browser listens to the answer.
const MAX_PASSED_BYTES: usize = 64 << 20;

const LOST_FILES: &str = "You need to attach the files again.";
const LOST_FORM: &str =
    "The form was too large to be kept on this page. Go back to the page you wrote it on and send it later.";

/// The page for a request; the form that was being sent is in it.
pub async fn answer(mut page: DownPage, request: Request) -> Response {
    if request.method() == Method::POST {
        page.form = form_of(request).await;
    }
    let rendered = page.render();
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, rendered.html).into_response();
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 6] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, rendered.policy),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static(STAGE_HEADER), "off"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
    response
}

/// Passwords, codes and tokens of one use are not written into a page.
fn is_secret(name: &str) -> bool {
    ["password", "code", "token", "secret"].iter().any(|word| name.contains(word))
}

async fn form_of(request: Request) -> Option<Form> {
    let action = request.uri().path_and_query()?.as_str().to_owned();
    let kind = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
    let mut form = Form { action, multipart: kind.starts_with("multipart/form-data"), ..Form::default() };
    if form.multipart {
        read_multipart(request, &mut form).await?;
    } else if kind.starts_with("application/x-www-form-urlencoded") {
        match axum::body::to_bytes(request.into_body(), MAX_FORM_BYTES).await {
            Ok(body) => {
                let fields = form_urlencoded::parse(&body).take(MAX_FIELDS);
                form.fields = fields.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
            }
            Err(_) => form.lost = Some(LOST_FORM),
        }
    } else {
        return None;
    }
    // A sign-in form without its password is useless.
    if form.fields.iter().any(|(name, _)| is_secret(name)) { None } else { Some(form) }
}

async fn read_multipart(mut request: Request, form: &mut Form) -> Option<()> {
    DefaultBodyLimit::max(MAX_PASSED_BYTES).apply(&mut request);
    let mut parts = Multipart::from_request(request, &()).await.ok()?;
    let mut kept = 0;
    loop {
        let mut part = match parts.next_field().await {
            Ok(Some(part)) => part,
            Ok(None) => return Some(()),
            Err(_) => break,
        };
        let is_file = part.file_name().is_some_and(|name| !name.is_empty());
        let empty_file = part.file_name().is_some_and(str::is_empty);
        let name = part.name().unwrap_or_default().to_owned();
        let mut value = Vec::new();
        while let Ok(Some(piece)) = part.chunk().await {
            if !is_file && kept + value.len() + piece.len() <= MAX_FORM_BYTES {
                value.extend_from_slice(&piece);
            } else if !is_file {
                form.lost = Some(LOST_FORM);
            }
        }
        kept += value.len();
        if is_file {
            form.lost = form.lost.or(Some(LOST_FILES));
        } else if !empty_file && form.fields.len() < MAX_FIELDS {
            form.fields.push((name, String::from_utf8_lossy(&value).into_owned()));
        }
    }
    form.lost = form.lost.or(Some(LOST_FILES));
    Some(())
}

/// `holdfast down-page`: the same for every request until it is stopped.
pub async fn run(args: DownPageArgs) -> anyhow::Result<()> {
    let page = DownPage { text: args.say, ..DownPage::default() };
    let respond = move |request: Request<Body>| {
        let page = page.clone();
        async move { answer(page, request).await }
    };
    let router = Router::new().fallback(any(respond));
    let shown = args.listen;
    let listener = TcpListener::bind(shown).await.with_context(|| format!("can't listen on {shown}"))?;
    println!("serving the \"service unavailable\" page on http://{}", listener.local_addr()?);
    let ctrl_c = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, router).with_graceful_shutdown(ctrl_c).await?;
    Ok(())
}
