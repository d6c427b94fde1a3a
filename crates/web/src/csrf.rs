//! Forms are accepted from our own pages only.
//!
//! Two checks, either of which is enough in a current browser: the origin that the request states (`Sec-Fetch-Site`,
//! else `Origin`), and a token that only a page of the same session can carry. Every page gets a fresh token, so that
//! compressing pages reveals nothing about it (BREACH).

use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq;

const NONCE_BYTES: usize = 12;
const MAC_BYTES: usize = 20;

/// A token for the forms of a page, bound to the secret in the visitor's cookie.
pub fn token(cookie: &str) -> String {
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let mut token = hex::encode(nonce);
    token.push_str(&hex::encode(mac(cookie, &nonce)));
    token
}

/// Whether `token` was made by [`token`] for this cookie.
pub fn matches(cookie: &str, token: &str) -> bool {
    let mut bytes = [0; NONCE_BYTES + MAC_BYTES];
    if hex::decode_to_slice(token, &mut bytes).is_err() {
        return false;
    }
    let (nonce, given) = bytes.split_at(NONCE_BYTES);
    mac(cookie, nonce).ct_eq(given).into()
}

fn mac(cookie: &str, nonce: &[u8]) -> [u8; MAC_BYTES] {
    let key = blake3::derive_key("holdfast 2026 web form token", cookie.as_bytes());
    let hash = blake3::keyed_hash(&key, nonce);
    let mut mac = [0; MAC_BYTES];
    mac.copy_from_slice(&hash.as_bytes()[..MAC_BYTES]);
    mac
}

/// Whether a request that acts was made by a page of ours, as far as its headers tell. Requests without any of these
/// headers come from old browsers or from programs: the token decides.
pub fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = text(header::ORIGIN) else { return true };
    let host = text(header::HOST).unwrap_or_default();
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_serves_its_own_session_only() {
        let token = token("session-a");
        assert!(matches("session-a", &token));
        assert!(!matches("session-b", &token));
        for other in ["", "00", &token[2..], &format!("00{}", &token[2..])] {
            assert!(!matches("session-a", other), "{other:?}");
        }
    }

    #[test]
    fn every_page_has_another_token() {
        assert_ne!(token("a"), token("a"));
    }

    #[test]
    fn requests_from_other_sites_are_told_by_their_headers() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(n, v)| (header::HeaderName::from_static(n), v.parse().unwrap())).collect::<HeaderMap>()
        };
        assert!(same_origin(&headers(&[])));
        assert!(same_origin(&headers(&[("sec-fetch-site", "same-origin")])));
        assert!(!same_origin(&headers(&[("sec-fetch-site", "cross-site")])));
        assert!(!same_origin(&headers(&[("sec-fetch-site", "same-site")])));
        assert!(same_origin(&headers(&[("origin", "https://mail.example.org"), ("host", "mail.example.org")])));
        assert!(!same_origin(&headers(&[("origin", "https://evil.example"), ("host", "mail.example.org")])));
        assert!(!same_origin(&headers(&[("origin", "null"), ("host", "mail.example.org")])));
    }
}
