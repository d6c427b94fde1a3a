//! The client address of a request that came through a trusted proxy.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

/// The client of a request: the peer of the connection or, if that is one of `proxies`, the address it forwards.
///
/// `X-Forwarded-For` is read from its end, where the nearest proxy wrote, up to the first address that is not one of our
/// proxies: everything before that came from the client and may be forged. An unreadable address ends it.
pub fn caller(peer: web::Peer, headers: &HeaderMap, proxies: &[IpAddr]) -> web::Peer {
    if !proxies.contains(&peer.addr) {
        return peer;
    }
    let texts = |name| headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let forwarded: Vec<&str> = texts("x-forwarded-for").flat_map(|text| text.split(',')).collect();
    let mut addr = peer.addr;
    for text in forwarded.into_iter().rev() {
        let Some(next) = address(text.trim()) else { break };
        addr = next;
        if !proxies.contains(&addr) {
            break;
        }
    }
    let said = texts("x-forwarded-proto").flat_map(|text| text.split(',')).last();
    let tls = said.map_or(peer.tls, |scheme| scheme.trim().eq_ignore_ascii_case("https"));
    web::Peer { addr, tls }
}

/// Some proxies write the port too.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']').parse();
    bare.ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip())).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, headers: &[(&'static str, &str)]) -> (String, bool) {
        let proxies = ["127.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap()];
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let caller = caller(web::Peer { addr: peer.parse().unwrap(), tls: false }, &headers, &proxies);
        (caller.addr.to_string(), caller.tls)
    }

    #[test]
    fn a_trusted_proxy_names_its_client() {
        let headers = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https")];
        assert_eq!(seen("127.0.0.1", &headers), ("192.0.2.7".to_owned(), true));
        assert_eq!(seen("127.0.0.1", &[("x-forwarded-for", "[2001:db8::1]:4711")]), ("2001:db8::1".to_owned(), false));
        assert_eq!(seen("127.0.0.1", &[]), ("127.0.0.1".to_owned(), false), "its own requests, health checks say");
    }

    #[test]
    fn nobody_else_is_believed() {
        let headers = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https")];
        assert_eq!(seen("198.51.100.1", &headers), ("198.51.100.1".to_owned(), false));
    }

    #[test]
    fn what_the_client_invented_is_passed_over() {
        let chain = [("x-forwarded-for", "203.0.113.9, 192.0.2.7, 10.0.0.1")];
        assert_eq!(seen("127.0.0.1", &chain).0, "192.0.2.7");
        let apart = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "192.0.2.7")];
        assert_eq!(seen("127.0.0.1", &apart).0, "192.0.2.7");
        assert_eq!(seen("127.0.0.1", &[("x-forwarded-for", "192.0.2.7, unknown")]).0, "127.0.0.1");
    }
}
