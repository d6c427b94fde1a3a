//! Which server has the mail of an address: what the DNS says (RFC 6186), what large providers are known for, or the usual names.

use dnskit::{Data, DnsError, Kind, Resolver};

use crate::Fetching;
use crate::source::{Protocol, Security};

/// A server that may have the mail of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// How it is asked.
    pub protocol: Protocol,
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub security: Security,
}

/// Large providers, which rarely say it in the DNS.
const KNOWN: [(&[&str], &str); 12] = [
    (&["gmail.com", "googlemail.com"], "imap.gmail.com"),
    (&["outlook.com", "hotmail.com", "live.com", "msn.com"], "outlook.office365.com"),
    (&["icloud.com", "me.com", "mac.com"], "imap.mail.me.com"),
    (&["yahoo.com", "ymail.com", "yahoo.de", "yahoo.co.uk", "yahoo.fr"], "imap.mail.yahoo.com"),
    (&["aol.com"], "imap.aol.com"),
    (&["gmx.de", "gmx.net", "gmx.at", "gmx.ch"], "imap.gmx.net"),
    (&["gmx.com"], "imap.gmx.com"),
    (&["web.de"], "imap.web.de"),
    (&["fastmail.com", "fastmail.fm"], "imap.fastmail.com"),
    (&["mailbox.org"], "imap.mailbox.org"),
    (&["posteo.de", "posteo.net"], "posteo.de"),
    (&["t-online.de"], "secureimap.t-online.de"),
];

/// Services in the DNS, the best first.
const SERVICES: [(&str, Protocol, Security); 4] = [
    ("_imaps._tcp", Protocol::Imap, Security::Tls),
    ("_imap._tcp", Protocol::Imap, Security::StartTls),
    ("_pop3s._tcp", Protocol::Pop3, Security::Tls),
    ("_pop3._tcp", Protocol::Pop3, Security::StartTls),
];

impl Fetching {
    /// The server of an address, as far as it can be found out.
    pub async fn guess(&self, address: &str) -> Option<Guess> {
        let (_, domain) = address.rsplit_once('@')?;
        let domain = mailkit::address::normal_domain(domain).ok()?;
        guessed(&*self.inner.services.resolver, &domain).await
    }
}

async fn guessed(resolver: &dyn Resolver, domain: &str) -> Option<Guess> {
    for (service, protocol, security) in SERVICES {
        let answer = match resolver.lookup(&format!("{service}.{domain}"), Kind::Srv).await {
            Ok(answer) => answer,
            Err(DnsError::Temporary(_)) => break,
            Err(_) => continue,
        };
        let records = answer.records.into_iter().filter_map(|data| match data {
            Data::Srv(srv) if !srv.host.is_empty() => Some(srv),
            _ => None,
        });
        if let Some(best) = records.min_by_key(|srv| srv.priority) {
            let host = best.host.trim_end_matches('.').to_owned();
            return Some(Guess { protocol, host, port: best.port, security });
        }
    }
    let by_tls = |host: String| Guess { protocol: Protocol::Imap, host, port: 993, security: Security::Tls };
    if let Some((_, host)) = KNOWN.iter().find(|(domains, _)| domains.contains(&domain)) {
        return Some(by_tls((*host).to_owned()));
    }
    for name in ["imap", "mail"] {
        let host = format!("{name}.{domain}");
        if resolver.addresses(&host).await.is_ok() {
            return Some(by_tls(host));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_dns_says_goes_before_usual_names() {
        let zone = dnskit::Zone::new();
        zone.address("mail.example.org", "192.0.2.1");
        let host = |guess: Option<Guess>| guess.map(|guess| guess.host);
        assert_eq!(host(guessed(&zone, "example.org").await), Some("mail.example.org".to_owned()));
        assert_eq!(host(guessed(&zone, "gmx.de").await), Some("imap.gmx.net".to_owned()));
        assert_eq!(host(guessed(&zone, "nowhere.example").await), None);
        let srv = dnskit::Srv { priority: 1, weight: 1, port: 143, host: "in.example.net".to_owned() };
        zone.add("_imap._tcp.example.org", Kind::Srv, Data::Srv(srv));
        let guess = guessed(&zone, "example.org").await.unwrap();
        assert_eq!((guess.host.as_str(), guess.port, guess.security), ("in.example.net", 143, Security::StartTls));
    }
}
