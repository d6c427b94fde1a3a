//! What the answers for programs have in common: who asks, about which domain, and how mail programs connect.

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::site::Site;

/// The longest address or domain that is looked at, in bytes.
const MAX_NAME: usize = 320;

/// The host that was asked, in lower case and without a port.
pub fn host(uri: &Uri, headers: &HeaderMap) -> String {
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
pub fn hosted(site: &Site, name: &str) -> Option<String> {
    let name = Some(name).filter(|name| !name.is_empty() && name.len() <= MAX_NAME)?;
    let normal = mailkit::address::normal_domain(name).ok()?;
    site.directory.mta_sts_of(&normal).ok()??;
    Some(normal)
}

/// The domain of an address, if it is hosted here.
pub fn domain_of(site: &Site, address: &str) -> Option<String> {
    let address = Some(address.trim()).filter(|address| address.len() <= MAX_NAME)?;
    hosted(site, address.rsplit_once('@')?.1)
}

/// Where the web pages are.
pub fn web_url(site: &Site) -> String {
    let options = &site.options;
    match &options.public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("https://{}", options.hostname),
    }
}

/// An answer of that media type.
pub fn answer(kind: &'static str, body: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
}

/// The same for everyone who asks about a domain that is not hosted here.
pub fn unknown() -> Response {
    (
        StatusCode::NOT_FOUND,
        [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))],
        "not found\n",
    )
        .into_response()
}

/// How mail programs connect: the best way of each kind.
pub struct Ways {
    /// The name to connect to: the one that the program came by, if it is ours, else the first.
    pub hostname: String,
    /// The other names, under which the same service can be reached.
    pub others: Vec<String>,
    /// IMAP.
    pub imap: Option<Way>,
    /// POP3.
    pub pop3: Option<Way>,
    /// Submission.
    pub smtp: Option<Way>,
}

/// A port, and whether the connection begins with TLS; else it is upgraded (STARTTLS).
#[derive(Clone, Copy)]
pub struct Way {
    /// The port.
    pub port: u16,
    /// TLS from the first byte.
    pub tls: bool,
}

impl Ways {
    /// Those of this service, for who sent these headers.
    pub fn of(site: &Site, headers: &HeaderMap) -> Self {
        Self::by(site, site.options.name_for(headers))
    }

    /// Whether a mail program can be set up by them: they read and they send.
    pub const fn is_complete(&self) -> bool {
        (self.imap.is_some() || self.pop3.is_some()) && self.smtp.is_some()
    }

    /// Those of this service by one of its names.
    pub fn by(site: &Site, hostname: String) -> Self {
        let find = |word: &str| {
            let server = site.options.servers.iter().find(|server| server.what.starts_with(word))?;
            Some(Way { port: server.port, tls: server.security == "TLS" })
        };
        let all = std::iter::once(&site.options.hostname).chain(&site.options.also_known_as);
        let others = all.filter(|name| !name.eq_ignore_ascii_case(&hostname)).cloned().collect();
        Self { hostname, others, imap: find("IMAP"), pop3: find("POP3"), smtp: find("SMTP") }
    }
}
