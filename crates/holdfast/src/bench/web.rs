//! `bench web`: sign in by the form, then list pages and message pages, as a browser without scripts asks for them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::net::Dialer;
use super::report::{Report, Samples};
use super::{
    common::{Common, Login, Work},
    gather::gather,
};

/// Largest page taken, in bytes.
const MAX_PAGE: usize = 16 * 1024 * 1024;

/// Redirects followed after signing in.
const MAX_REDIRECTS: usize = 5;

/// Arguments of `bench web`.
#[derive(Debug, Clone, Args)]
pub(super) struct WebArgs {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    login: Login,
    /// Pairs of pages (a list and a message) in all.
    #[arg(long, default_value_t = 1_000)]
    pages: u64,
    /// Path of the page with the sign-in form.
    #[arg(long, default_value = "/signin")]
    signin: String,
    /// Name of the form's field for the login name.
    #[arg(long, default_value = "login")]
    user_field: String,
    /// Name of the form's field for the password.
    #[arg(long, default_value = "password")]
    password_field: String,
    /// Path of the list.
    #[arg(long, default_value = "/mail/inbox")]
    list: String,
    /// Paths of message pages, `*` for any one segment; such links of the list are opened in turn. Empty: lists only.
    #[arg(long, default_value = "/mail/*/*")]
    message: String,
    /// First go from the list to older mail so many times, by the link that is marked as the next page; stops at the
    /// end. Each page is timed.
    #[arg(long, default_value_t = 0)]
    walk: u64,
}

pub(super) async fn run(args: &WebArgs) -> Result<Report> {
    let dialer = Dialer::new(&args.common)?;
    let work = Work::of(args.pages);
    gather(&args.common, "session", |connection, mut samples| {
        let (args, dialer, work) = (args.clone(), dialer.clone(), work.clone());
        async move {
            let outcome = browse(&args, &dialer, connection, &work, &mut samples).await;
            (samples, outcome)
        }
    })
    .await
}

async fn browse(args: &WebArgs, dialer: &Dialer, connection: u32, work: &Work, samples: &mut Samples) -> Result<()> {
    let mut browser = Browser::connect(args, dialer).await?;
    let began = Instant::now();
    browser.sign_in(args, args.login.user(connection)).await.context("signing in")?;
    samples.done("sign-in", began);
    let mut next = Some(args.list.clone()).filter(|_| args.walk > 0);
    for _ in 0..args.walk {
        let Some(place) = next else { break };
        let began = Instant::now();
        let page = browser.page(&place).await.context("next page")?;
        samples.done_with("walk", began, 1, page.len() as u64);
        next = next_page(&page);
    }
    while let Some(number) = work.take() {
        let began = Instant::now();
        let list = browser.page(&args.list).await.context("list page")?;
        samples.done_with("list", began, 1, list.len() as u64);
        if args.message.is_empty() {
            continue;
        }
        let links = links(&list, &args.message);
        ensure!(!links.is_empty(), "the list has no link like {}", args.message);
        let link = links[number as usize % links.len()].clone();
        let began = Instant::now();
        let message = browser.page(&link).await.context("message page")?;
        samples.done_with("message", began, 1, message.len() as u64);
    }
    Ok(())
}

/// One browser: a connection that is kept, and cookies.
struct Browser {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    cookies: BTreeMap<String, String>,
    patience: Duration,
}

impl Browser {
    async fn connect(args: &WebArgs, dialer: &Dialer) -> Result<Self> {
        let (sender, connection) = handshake(TokioIo::new(dialer.stream().await?)).await?;
        // Ends when the sender is dropped; its errors come out at the sender too.
        tokio::spawn(connection);
        Ok(Self {
            sender,
            host: args.common.target.clone(),
            cookies: BTreeMap::new(),
            patience: Duration::from_secs(args.common.timeout),
        })
    }

    async fn sign_in(&mut self, args: &WebArgs, user: &str) -> Result<()> {
        let form = self.page(&args.signin).await?;
        let mut fields = hidden_fields(&form);
        fields.push((args.user_field.clone(), user.to_owned()));
        fields.push((args.password_field.clone(), args.login.password.clone()));
        let body = fields.iter().map(|(n, v)| format!("{}={}", encoded(n), encoded(v))).collect::<Vec<_>>().join("&");
        let (status, location, page) = self.request(Method::POST, &args.signin, body).await?;
        if !status.is_redirection() {
            bail!("the server replied to the form with {status}: {}", mailkit::html::to_search_text(&page).trim());
        }
        let mut next = location.context("a redirect without a location")?;
        for _ in 0..MAX_REDIRECTS {
            let (status, location, _) = self.request(Method::GET, &next, String::new()).await?;
            match location {
                Some(place) if status.is_redirection() => next = place,
                _ => {
                    ensure!(status == StatusCode::OK, "{next} returned {status}");
                    ensure!(!next.starts_with(&args.signin), "the login was refused");
                    return Ok(());
                }
            }
        }
        bail!("too many redirects")
    }

    async fn page(&mut self, path: &str) -> Result<String> {
        let (status, _, page) = self.request(Method::GET, path, String::new()).await?;
        ensure!(status == StatusCode::OK, "{path} returned {status}");
        Ok(page)
    }

    async fn request(
        &mut self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<(StatusCode, Option<String>, String)> {
        let mut request = Request::builder().method(&method).uri(path).header(HOST, &self.host);
        if !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
            request = request.header(COOKIE, cookies.join("; "));
        }
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            // The headers that a browser sends with a form.
            request = request.header("Sec-Fetch-Site", "same-origin");
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_PAGE).collect().await.map_err(|e| anyhow::anyhow!(e))?;
            Ok::<_, anyhow::Error>((Response::from_parts(head, ()), body.to_bytes()))
        };
        let (response, body) = timeout(self.patience, exchange).await.context("no reply")??;
        for cookie in response.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        let location = match response.headers().get(LOCATION) {
            Some(place) => Some(place.to_str()?.to_owned()),
            None => None,
        };
        Ok((response.status(), location, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// Names and values of the first form's hidden inputs.
fn hidden_fields(page: &str) -> Vec<(String, String)> {
    let form = page.find("<form").map_or("", |at| &page[at..]);
    let form = &form[..form.find("</form").unwrap_or(form.len())];
    form.split("<input")
        .skip(1)
        .map(|rest| &rest[..rest.find('>').unwrap_or(rest.len())])
        .filter(|input| attribute(input, "type").as_deref() == Some("hidden"))
        .filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value").unwrap_or_default())))
        .collect()
}

/// Paths of the page's links that match, each once.
fn links(page: &str, pattern: &str) -> Vec<String> {
    let mut found: Vec<String> = page
        .split("<a ")
        .skip(1)
        .filter_map(|rest| attribute(&rest[..rest.find('>').unwrap_or(rest.len())], "href"))
        .filter(|path| matches(path, pattern))
        .collect();
    found.dedup();
    found
}

/// The target of the page's link to the next page.
fn next_page(page: &str) -> Option<String> {
    let mut tags = page.split("<a ").skip(1).map(|rest| &rest[..rest.find('>').unwrap_or(rest.len())]);
    tags.find(|tag| attribute(tag, "rel").as_deref() == Some("next")).and_then(|tag| attribute(tag, "href"))
}

/// Whether a path is like a pattern, segment by segment; `*` stands for any segment that is not empty.
fn matches(path: &str, pattern: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.split('/').count() == pattern.split('/').count()
        && path.split('/').zip(pattern.split('/')).all(|(segment, wanted)| match wanted {
            "*" => !segment.is_empty(),
            _ => segment == wanted,
        })
}

/// An attribute's value out of the inside of a tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let at = tag.find(&format!("{name}="))?;
    let value = &tag[at + name.len() + 1..];
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => value.split_ascii_whitespace().next()?,
    };
    Some(
        value
            .replace("&#38;", "&")
            .replace("&amp;", "&")
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">"),
    )
}

/// A form value, percent-encoded.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += format!("%{byte:02X}").as_str();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_links_are_read_out_of_pages() {
        let page = "<form method=\"post\"><input type=\"hidden\" name=\"csrf\" value=\"a&amp;b\">\
                    <input name=\"login\"><input type=hidden name=x></form>\
                    <a class=\"y\" href=\"/mail/inbox/7?x=1\">t</a><a href=\"/mail/inbox/7?x=1\">u</a>\
                    <a href=\"/mail/inbox/\">v</a><a href=\"/mail/inbox\">w</a>";
        assert_eq!(hidden_fields(page), [("csrf".into(), "a&b".into()), ("x".into(), String::new())]);
        assert_eq!(links(page, "/mail/*/*"), ["/mail/inbox/7?x=1"]);
    }

    #[test]
    fn the_next_page_is_the_one_that_is_marked_so() {
        let page =
            "<a href=\"/a\" rel=\"prev\">Newer</a><a class=\"t\" href=\"/b?after=1&amp;q=2\" rel=\"next\">Older</a>";
        assert_eq!(next_page(page).as_deref(), Some("/b?after=1&q=2"));
        assert_eq!(next_page("<a href=\"/a\">x</a>"), None);
    }

    #[test]
    fn form_values_are_encoded() {
        assert_eq!(encoded("a b&ä"), "a%20b%26%C3%A4");
    }
}
