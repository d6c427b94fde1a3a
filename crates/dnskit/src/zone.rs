//! A DNS in memory, for tests.

use std::collections::HashMap;

use async_trait::async_trait;
use parking_lot::RwLock;

use crate::{Answer, Data, DnsError, Kind, Mx, Resolver, plain};

/// Most CNAMEs that are followed.
const MAX_CNAMES: usize = 10;

/// Answers from what it was told; everything else does not exist. Names in any case, with or without the final dot. Can be
/// changed while it is in use.
#[derive(Debug, Default)]
pub struct Zone {
    /// What is said about a name and kind.
    said: RwLock<HashMap<(String, Kind), Result<Answer, DnsError>>>,
}

impl Zone {
    /// One without any names.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record.
    pub fn add(&self, name: &str, kind: Kind, data: Data) {
        let mut said = self.said.write();
        let entry = said.entry((plain(name), kind)).or_insert(Err(DnsError::NoRecords));
        match entry {
            Ok(answer) => answer.records.push(data),
            Err(_) => *entry = Ok(Answer { records: vec![data], secure: false }),
        }
    }

    /// Adds an address of either family.
    pub fn address(&self, name: &str, address: &str) {
        let address: std::net::IpAddr = address.parse().expect("an address");
        self.add(name, if address.is_ipv4() { Kind::A } else { Kind::Aaaa }, Data::Address(address));
    }

    /// Adds a text of one string.
    pub fn text(&self, name: &str, text: &str) {
        self.add(name, Kind::Txt, Data::Text(text.as_bytes().to_vec()));
    }

    /// Adds a receiver of mail.
    pub fn receiver(&self, domain: &str, preference: u16, host: &str) {
        self.add(domain, Kind::Mx, Data::Mx(Mx { preference, host: plain(host) }));
    }

    /// Adds the name of an address.
    pub fn ptr(&self, address: &str, name: &str) {
        let address = address.parse().expect("an address");
        self.add(&crate::reverse_name(address), Kind::Ptr, Data::Name(plain(name)));
    }

    /// Adds another name.
    pub fn cname(&self, name: &str, of: &str) {
        self.add(name, Kind::Cname, Data::Name(plain(of)));
    }

    /// What is said from now on about a name and kind, whatever was there: an error, or a proved answer.
    pub fn say(&self, name: &str, kind: Kind, what: Result<Answer, DnsError>) {
        self.said.write().insert((plain(name), kind), what);
    }

    /// Forgets a name.
    pub fn remove(&self, name: &str) {
        let name = plain(name);
        self.said.write().retain(|(known, _), _| *known != name);
    }
}

#[async_trait]
impl Resolver for Zone {
    async fn lookup(&self, name: &str, kind: Kind) -> Result<Answer, DnsError> {
        let said = self.said.read();
        let mut name = plain(name);
        for _ in 0..MAX_CNAMES {
            if let Some(what) = said.get(&(name.clone(), kind)) {
                return what.clone();
            }
            let Some(Ok(cname)) = said.get(&(name.clone(), Kind::Cname)) else {
                let below = format!(".{name}");
                let exists = said.keys().any(|(known, _)| *known == name || known.ends_with(&below));
                return Err(if exists { DnsError::NoRecords } else { DnsError::NoSuchDomain });
            };
            let Some(Data::Name(next)) = cname.records.first() else { return Err(DnsError::NoRecords) };
            name.clone_from(next);
        }
        Err(DnsError::Temporary("too many CNAMEs".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers that are there at once.
    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn a_zone_says_what_it_was_told() {
        let zone = Zone::new();
        zone.address("Mail.example.", "192.0.2.1");
        zone.address("mail.example", "2001:db8::1");
        zone.receiver("example", 10, "mail.example.");
        zone.cname("www.example", "mail.example");
        zone.cname("loop.example", "loop.example");
        zone.ptr("192.0.2.1", "mail.example");
        zone.say("broken.example", Kind::Txt, Err(DnsError::Temporary("SERVFAIL".to_owned())));
        assert_eq!(now(zone.addresses("www.EXAMPLE")).unwrap().len(), 2);
        assert_eq!(now(zone.mx("example")).unwrap(), [Mx { preference: 10, host: "mail.example".to_owned() }]);
        assert_eq!(now(zone.names_of("192.0.2.1".parse().unwrap())).unwrap(), ["mail.example"]);
        assert_eq!(now(zone.mx("mail.example")), Err(DnsError::NoRecords));
        assert_eq!(now(zone.txt("elsewhere.test")), Err(DnsError::NoSuchDomain));
        assert!(!now(zone.txt("broken.example")).unwrap_err().is_final());
        assert!(!now(zone.txt("loop.example")).unwrap_err().is_final());
        let (one, other) = (DnsError::Temporary("SERVFAIL".to_owned()), DnsError::NoRecords);
        zone.say("half.example", Kind::A, Err(other));
        zone.say("half.example", Kind::Aaaa, Err(one.clone()));
        assert_eq!(now(zone.addresses("half.example")), Err(one));
    }
}
