//! The origin of this site, as the requesting browser sees it.
//!
//! The frame of a message may fetch its own inline pictures and nothing else of this site. A content security policy
//! names a path only together with a host, and behind a proxy the `Host` that we see need not be the browser's. So the
//! browser's own word (the frame asks with `referrerpolicy="origin"`) comes first, and the configured address is added.

use std::borrow::Cow;

use axum::http::{HeaderMap, Uri, header};
use bytes::Bytes;

/// The origins of this site, as `host:port` or `scheme://host:port`, without duplicates; empty if unknown.
#[derive(Debug, PartialEq, Eq)]
pub struct Origin(Vec<String>, Vec<String>);

/// The origins at which the browser of a request sees this site.
pub fn of(headers: &HeaderMap, uri: &Uri, public_url: Option<&str>) -> Origin {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let ours = text("sec-fetch-site") == Some("same-origin");
    let said = text(header::REFERER.as_str()).filter(|_| ours).and_then(origin_of);
    let asked = text(header::HOST.as_str()).or_else(|| uri.authority().map(|authority| authority.as_str()));
    let asked = asked.filter(|host| said.is_none() && is_authority(host)).map(str::to_owned);
    let mut all: Vec<String> = said.into_iter().chain(asked).chain(public_url.and_then(origin_of)).collect();
    all.dedup();
    Origin(all, Vec::new())
}

impl Origin {
    /// With other host names of this site.
    pub fn known_as(self, names: &[String]) -> Self {
        Self(self.0, names.to_vec())
    }

    /// Sources of a content security policy, each after a space: `path` on this site.
    pub fn sources(&self, path: &str) -> String {
        if self.0.is_empty() {
            return " 'self'".to_owned();
        }
        self.0.iter().map(|origin| format!(" {origin}{path}")).collect()
    }

    /// Whether an absolute URL leads to this site.
    fn is_here(&self, address: &str) -> bool {
        let Some(there) = authority_of(address) else { return true };
        let host = there.rsplit_once(':').map_or(&*there, |(host, _)| host);
        let is_name = self.1.iter().any(|name| name.eq_ignore_ascii_case(host));
        is_name
            || self.0.iter().any(|origin| {
                let here = origin.split_once("://").map_or(origin.as_str(), |(_, authority)| authority);
                normal(here) == there
            })
    }
}

/// Removes the addresses of pictures that would be loaded from this site: a message must not make its reader's
/// browser request pages here. Inline pictures have relative addresses and stay. Works on what the cleaner gives, whose attributes
/// are written in one way.
pub fn without_own_pictures(html: &Bytes, own: &Origin) -> Bytes {
    const SOURCE: &[u8] = b" src=\"http";
    let mut out: Vec<u8> = Vec::new();
    let mut done = 0;
    let mut from = 0;
    while let Some(at) = find(&html[from..], SOURCE).map(|at| at + from) {
        let start = at + SOURCE.len() - "http".len();
        let length = html[start..].iter().position(|b| *b == b'"').unwrap_or(html.len() - start);
        let address = String::from_utf8_lossy(&html[start..start + length]).replace("&amp;", "&");
        if own.is_here(&address) {
            out.extend_from_slice(&html[done..start]);
            done = start + length;
        }
        from = start + length;
    }
    if done == 0 {
        return html.clone();
    }
    out.extend_from_slice(&html[done..]);
    out.into()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// `scheme://host:port` of a web address.
fn origin_of(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    (matches!(scheme, "http" | "https") && is_authority(authority)).then(|| format!("{scheme}://{authority}"))
}

/// `host`, `host:port`, `[::1]:port`: nothing that could add to a policy.
fn is_authority(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
        && text.bytes().any(|b| b.is_ascii_alphanumeric())
}

/// Host and port of a URL, as [`normal`] writes them; `None` if they are ambiguous.
fn authority_of(address: &str) -> Option<Cow<'static, str>> {
    let url = url::Url::parse(address).ok()?;
    let host = url.host_str()?.trim_end_matches('.');
    Some(Cow::Owned(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }))
}

/// Lower-case, without the port that goes without saying and the dot of the root.
fn normal(authority: &str) -> String {
    let lower = authority.to_ascii_lowercase();
    let bare = lower.strip_suffix(":443").or_else(|| lower.strip_suffix(":80")).unwrap_or(&lower);
    match bare.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => format!("{}:{port}", host.trim_end_matches('.')),
        _ => bare.trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (header::HeaderName::from_static(n), v.parse().unwrap())).collect()
    }

    fn sources(pairs: &[(&'static str, &'static str)], public: Option<&str>) -> String {
        of(&headers(pairs), &Uri::from_static("/x"), public).sources("/p/")
    }

    #[test]
    fn the_frame_s_pictures_come_from_where_the_browser_is() {
        assert_eq!(sources(&[("host", "mail.x:8080")], None), " mail.x:8080/p/");
        let proxied = [("host", "127.0.0.1:8080"), ("sec-fetch-site", "same-origin"), ("referer", "https://mail.x/")];
        assert_eq!(sources(&proxied, None), " https://mail.x/p/");
        assert_eq!(sources(&[("host", "127.0.0.1")], Some("https://mail.x/")), " 127.0.0.1/p/ https://mail.x/p/");
        assert_eq!(sources(&[], None), " 'self'");
        // Another site's link to this one doesn't tell this one's origin.
        let linked = [("host", "mail.x"), ("sec-fetch-site", "cross-site"), ("referer", "https://evil.x/")];
        assert_eq!(sources(&linked, None), " mail.x/p/");
        assert_eq!(sources(&[("host", "x; script-src *")], None), " 'self'");
        let two = of(&headers(&[]), &"http://a.x:1/y".parse().unwrap(), None);
        assert_eq!(two.sources("/p/"), " a.x:1/p/");
    }

    #[test]
    fn no_picture_is_loaded_from_this_site() {
        let own = of(&headers(&[("host", "mail.x:8080")]), &Uri::from_static("/"), Some("https://Mail.example"));
        for (address, here) in [
            ("https://mail.example/mail/inbox/t2?open=all", true),
            ("http://mail.example/x", true),
            ("HTTPS://MAIL.EXAMPLE:443/x", true),
            ("https://user:pw@mail.example/x", true),
            ("https://mail.example./x", true),
            ("https:\\\\mail.example\\x", true),
            ("https:mail.example/x", true),
            ("https://m\u{61}il.ex%61mple/", true),
            ("http://mail.x:8080/search?q=x", true),
            ("http://mail.x/logo.png", false),
            ("https://example/x.png", false),
            ("https://www.mail.example/x.png", false),
            ("https://mail.example:8443/x.png", false),
            ("http://", true),
        ] {
            assert_eq!(own.is_here(address), here, "{address}");
        }
        let named =
            of(&headers(&[("host", "mail.x")]), &Uri::from_static("/"), None).known_as(&["Mail.other".to_owned()]);
        assert!(named.is_here("https://mail.other/a") && named.is_here("https://mail.other:8443/a"));
        assert!(!named.is_here("https://www.mail.other/a"));
        let html = "<img src=\"https://mail.example/mail/inbox/t1?a=1&amp;b=2\"><img src=\"https://pictures.example/a.png\">\
            <img alt=\"x\" src=\"http://mail.x:8080/signout\"><img src=\"/message/e1/inline/2\"><p title=\"https://mail.example\">";
        assert_eq!(
            without_own_pictures(&html.as_bytes().to_vec().into(), &own),
            "<img src=\"\"><img src=\"https://pictures.example/a.png\"><img alt=\"x\" src=\"\">\
             <img src=\"/message/e1/inline/2\"><p title=\"https://mail.example\">"
        );
    }
}
