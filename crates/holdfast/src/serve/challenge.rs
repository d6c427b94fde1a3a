//! What comes before every page: the answers to a certificate authority's questions, and from the web listener without TLS the
//! way to the one with it.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use certificates::{CHALLENGE_PATH, Certificates};

/// What the layer needs.
#[derive(Clone)]
pub struct Before {
    /// Those who have the answers.
    pub certificates: Option<Certificates>,
    /// Where people are sent who come without TLS, from other machines: the port of the web listener with TLS.
    pub tls_port: Option<u16>,
}

/// Answers a question, sends others to TLS, and lets everything else through. Questions are answered in every stage.
pub async fn before(State(before): State<Arc<Before>>, request: Request, next: Next) -> Response {
    if let Some(certificates) = &before.certificates
        && let Some(token) = request.uri().path().strip_prefix(CHALLENGE_PATH)
    {
        return match certificates.http_answer(token) {
            Some(answer) => ([(header::CONTENT_TYPE, "application/octet-stream")], answer).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    match before.tls_port.and_then(|port| elsewhere(&request, port)) {
        Some(to) => (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response(),
        None => next.run(request).await,
    }
}

/// The same page with TLS, for those who came over a network without it.
fn elsewhere(request: &Request, port: u16) -> Option<HeaderValue> {
    let peer = request.extensions().get::<web::Peer>()?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    if peer.tls || peer.addr.to_canonical().is_loopback() || path == "/health" {
        return None;
    }
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).or(request.uri().host())?;
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.[]:".contains(&byte);
    if host.is_empty() || !host.bytes().all(fits) || !path.starts_with('/') {
        return None;
    }
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    HeaderValue::from_str(&format!("https://{host}{port}{path}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(host: &str, path: &str, addr: &str, tls: bool, port: u16) -> Option<String> {
        let mut request = Request::builder().uri(path).header("host", host).body(axum::body::Body::empty()).unwrap();
        request.extensions_mut().insert(web::Peer { addr: addr.parse().unwrap(), tls });
        elsewhere(&request, port).map(|to| to.to_str().unwrap().to_owned())
    }

    #[test]
    fn who_comes_without_tls_over_a_network_is_sent_to_it() {
        let far = "192.0.2.1";
        assert_eq!(to("mail.example.org", "/a?b=c", far, false, 443).unwrap(), "https://mail.example.org/a?b=c");
        assert_eq!(to("mail.example.org:80", "/", far, false, 8443).unwrap(), "https://mail.example.org:8443/");
        assert_eq!(to("[2001:db8::1]:80", "/", far, false, 443).unwrap(), "https://[2001:db8::1]/");
        assert_eq!(to("mail.example.org", "/", far, true, 443), None);
        assert_eq!(to("mail.example.org", "/", "::ffff:127.0.0.1", false, 443), None, "this machine");
        assert_eq!(to("mail.example.org", "/health", far, false, 443), None);
        for odd in ["", "a b", "evil.example/x", "a@b", "a\\b"] {
            assert_eq!(to(odd, "/", far, false, 443), None, "{odd}");
        }
    }
}
