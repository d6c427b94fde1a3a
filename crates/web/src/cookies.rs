//! The two cookies: one for the session, and one for the browser of a visitor who hasn't signed in.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::{Extensions, HeaderMap, HeaderValue, header};

use crate::relying::Relying;
use crate::site::Site;

/// The client of a connection. The listener puts it into the extensions of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Address of the client.
    pub addr: IpAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

impl Default for Peer {
    fn default() -> Self {
        Self { addr: IpAddr::V4(Ipv4Addr::LOCALHOST), tls: false }
    }
}

/// The cookies of a request.
#[derive(Clone, Debug)]
pub struct Jar {
    secure: bool,
    session: Option<String>,
    visitor: Option<String>,
    zone: Option<String>,
    host: String,
    relying: Option<Relying>,
}

const SESSION: &str = "holdfast";
const VISITOR: &str = "holdfast-visitor";

impl Jar {
    /// The cookies in `headers`. Over TLS names begin with `__Host-`: such cookies can only be set by this very host
    /// over TLS.
    pub fn of(headers: &HeaderMap, extensions: &Extensions, site: &Site) -> Self {
        let behind = site.options.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
        let secure = behind || extensions.get::<Peer>().is_some_and(|peer| peer.tls);
        let find = |name: &str| {
            let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
            let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
            pairs
                .find(|(key, value)| *key == name && !value.is_empty() && value.len() < 300)
                .map(|(_, value)| value.to_owned())
        };
        Self {
            secure,
            session: find(&prefixed(secure, SESSION)),
            visitor: find(&prefixed(secure, VISITOR)),
            zone: find("tz"),
            host: site.options.name_for(headers),
            relying: Relying::of(&site.options, headers, secure),
        }
    }

    /// Our name, the one that the request came by if it is ours.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The site as passkeys know it, if browsers have passkeys here.
    pub const fn relying(&self) -> Option<&Relying> {
        self.relying.as_ref()
    }

    /// Token of the session.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// The visitor's token, given to the browser before signing in.
    pub fn visitor(&self) -> Option<&str> {
        self.visitor.as_deref()
    }

    /// Time zone of the browser, as set by `zone.js`.
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// A `Set-Cookie` for the session; without a token it ends.
    pub fn set_session(&self, token: Option<&str>) -> HeaderValue {
        set(self.secure, SESSION, token, 60 * 60 * 24 * 30)
    }

    /// A `Set-Cookie` for a visitor.
    pub fn set_visitor(&self, token: &str) -> HeaderValue {
        set(self.secure, VISITOR, Some(token), 60 * 60 * 24)
    }
}

fn prefixed(secure: bool, name: &str) -> String {
    if secure { format!("__Host-{name}") } else { name.to_owned() }
}

fn set(secure: bool, name: &str, value: Option<&str>, max_age: u64) -> HeaderValue {
    let name = prefixed(secure, name);
    let age = if value.is_some() { max_age } else { 0 };
    let tail = if secure { "; Secure" } else { "" };
    let text = format!("{name}={}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{tail}", value.unwrap_or_default());
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("holdfast=; Max-Age=0; Path=/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_tls_the_cookie_is_bound_to_the_host() {
        let cookie = set(true, SESSION, Some("abc"), 10);
        assert_eq!(cookie, "__Host-holdfast=abc; Path=/; Max-Age=10; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(set(false, SESSION, None, 10), "holdfast=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    }
}
