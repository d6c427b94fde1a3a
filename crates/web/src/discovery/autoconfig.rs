//! Thunderbird's Autoconfig, version 1.1, which many other programs read too.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Deserialize;

use super::ways::{Way, Ways, answer, domain_of, host, hosted, unknown, web_url};
use super::xml::escape;
use crate::site::Site;

/// What a program may say besides the host.
#[derive(Deserialize, Default)]
pub struct Asked {
    #[serde(default)]
    emailaddress: String,
}

pub async fn show(State(site): State<Site>, uri: Uri, headers: HeaderMap, Query(asked): Query<Asked>) -> Response {
    let address = asked.emailaddress;
    let domain = if address.is_empty() {
        let host = host(&uri, &headers);
        hosted(&site, host.strip_prefix("autoconfig.").unwrap_or(&host))
    } else {
        domain_of(&site, &address)
    };
    let ways = Ways::of(&site, &headers);
    match domain.filter(|_| ways.is_complete()) {
        Some(domain) => answer("text/xml; charset=utf-8", settings(&site, &ways, &domain)),
        None => unknown(),
    }
}

fn settings(site: &Site, ways: &Ways, domain: &str) -> String {
    let (url, domain) = (web_url(site), escape(domain));
    let server = |host: &str, element: &str, kind: &str, way: Option<Way>| {
        let Some(Way { port, tls }) = way else { return String::new() };
        let (socket, host) = (if tls { "SSL" } else { "STARTTLS" }, escape(host));
        format!(
            "    <{element} type=\"{kind}\">\n      <hostname>{host}</hostname>\n      <port>{port}</port>\n      \
             <socketType>{socket}</socketType>\n      <authentication>password-cleartext</authentication>\n      \
             <username>%EMAILADDRESS%</username>\n    </{element}>\n"
        )
    };
    // Programs take the first that they can use: all ways under one name come before those under the next.
    let names = || std::iter::once(&ways.hostname).chain(&ways.others);
    let incoming = names().map(|host| {
        server(host, "incomingServer", "imap", ways.imap) + &server(host, "incomingServer", "pop3", ways.pop3)
    });
    let outgoing = names().map(|host| server(host, "outgoingServer", "smtp", ways.smtp));
    let servers: String = incoming.chain(outgoing).collect();
    let url = escape(&url);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig version=\"1.1\">\n  <emailProvider id=\"{domain}\">\n    \
         <domain>{domain}</domain>\n    <displayName>{domain}</displayName>\n    \
         <displayShortName>{domain}</displayShortName>\n{servers}    <documentation url=\"{url}/settings/apps\">\n      \
         <descr lang=\"en\">Email app settings and app passwords</descr>\n    </documentation>\n  </emailProvider>\n  \
         <webMail>\n    <loginPage url=\"{url}/signin\"/>\n  </webMail>\n</clientConfig>\n"
    )
}
