//! What programs ask for without a login: settings for mail programs, and the TLS policies of hosted domains.
//!
//! All answers depend on the domain alone: whether an address exists is never told. A domain that is not hosted here gets 404.

pub mod apple;
mod autoconfig;
mod autodiscover;
mod policy;
mod xml;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::site::Site;

/// The longest address or domain that is looked at, in bytes.
const MAX_NAME: usize = 320;

/// The pages for programs.
pub fn routes() -> Router<Site> {
    let mut router = Router::new()
        .route("/.well-known/mta-sts.txt", get(policy::show))
        .route("/.well-known/autoconfig/mail/config-v1.1.xml", get(autoconfig::show))
        .route("/mail/config-v1.1.xml", get(autoconfig::show))
        .route("/profile/{name}", get(apple::show))
        .route("/autodiscover/autodiscover.json", get(autodiscover::json))
        .route("/autodiscover/autodiscover.json/v1.0/{address}", get(autodiscover::json_of));
    // Programs write it in several ways.
    for path in ["/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AutoDiscover.xml"] {
        router = router.route(path, get(autodiscover::by_query).post(autodiscover::by_form));
    }
    router
}

/// Whether a path is one of these: they are answered before there is any account, too.
pub fn is_one(path: &str) -> bool {
    path.starts_with("/.well-known/")
        || path == "/mail/config-v1.1.xml"
        || path.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("/autodiscover/"))
}

/// The host that was asked, in lower case and without a port.
fn host(uri: &Uri, headers: &HeaderMap) -> String {
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = uri.host().or(named).unwrap_or_default();
    let host = if host.starts_with('[') { host } else { host.split(':').next().unwrap_or_default() };
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// The address of a path of ours, as the browser at hand can use it: as configured, or else at the host that it asked.
pub fn absolute(site: &Site, headers: &HeaderMap, encrypted: bool, path: &str) -> String {
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty());
    match (&site.options.public_url, named) {
        (None, Some(host)) => format!("{}://{host}{path}", if encrypted { "https" } else { "http" }),
        _ => format!("{}{path}", web_url(site)),
    }
}

/// A hosted domain by its name, in ASCII.
fn hosted(site: &Site, name: &str) -> Option<String> {
    let name = Some(name).filter(|name| !name.is_empty() && name.len() <= MAX_NAME)?;
    let normal = mailkit::address::normal_domain(name).ok()?;
    site.directory.mta_sts_of(&normal).ok()??;
    Some(normal)
}

/// The domain of an address, if it is hosted here.
fn domain_of(site: &Site, address: &str) -> Option<String> {
    let address = Some(address.trim()).filter(|address| address.len() <= MAX_NAME)?;
    hosted(site, address.rsplit_once('@')?.1)
}

/// Where the web pages are.
fn web_url(site: &Site) -> String {
    let options = &site.options;
    match &options.public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("https://{}", options.hostname),
    }
}

fn answer(kind: &'static str, body: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
}

/// The same for everyone who asks about a domain that is not hosted here.
fn unknown() -> Response {
    (
        StatusCode::NOT_FOUND,
        [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))],
        "not found\n",
    )
        .into_response()
}

/// How mail programs connect: the best way of each kind.
struct Ways {
    hostname: String,
    imap: Option<Way>,
    pop3: Option<Way>,
    smtp: Option<Way>,
}

/// A port, and whether the connection begins with TLS; else it is upgraded (STARTTLS).
#[derive(Clone, Copy)]
struct Way {
    port: u16,
    tls: bool,
}

impl Ways {
    fn of(site: &Site) -> Self {
        let find = |word: &str| {
            let server = site.options.servers.iter().find(|server| server.what.starts_with(word))?;
            Some(Way { port: server.port, tls: server.security == "TLS" })
        };
        Self { hostname: site.options.hostname.clone(), imap: find("IMAP"), pop3: find("POP3"), smtp: find("SMTP") }
    }
}
