//! Asking the DNS, behind one trait, so that tests and other resolvers can replace it.
//!
//! [`Resolver`] has one duty, [`Resolver::lookup`]; what most callers want of it ([`Resolver::mx`], [`Resolver::txt`], …) follows
//! from that. [`SystemResolver`] asks the servers of the machine's configuration; [`Zone`] answers from memory, in tests.
//! [`Authorities`] asks the name servers of a zone themselves.
//!
//! "There is no such record" and "nobody answered" are different answers ([`DnsError::is_final`]), and no caller may take the
//! second for the first.

mod authority;
mod system;
mod validating;
mod zone;

use std::net::IpAddr;

use async_trait::async_trait;

pub use authority::{Authorities, NameServer, Said, ServerError, ZoneServers};
pub use system::{NoResolver, SystemResolver};
pub use validating::ValidatingResolver;
pub use zone::Zone;

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Another name for the same thing. Lookups of other kinds follow it by themselves.
    Cname,
    /// Who takes mail.
    Mx,
    /// Any text.
    Txt,
    /// The name of an address.
    Ptr,
    /// Who answers for a zone.
    Ns,
    /// Which certificate a service has (RFC 6698).
    Tlsa,
    /// Where a service is (RFC 2782).
    Srv,
    /// Who may issue certificates (RFC 8659).
    Caa,
}

impl Kind {
    /// Its name in zone files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Txt => "TXT",
            Self::Ptr => "PTR",
            Self::Ns => "NS",
            Self::Tlsa => "TLSA",
            Self::Srv => "SRV",
            Self::Caa => "CAA",
        }
    }
}

/// What a record says. Names are in lower case, as ASCII, without the final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Of [`Kind::A`] and [`Kind::Aaaa`].
    Address(IpAddr),
    /// Of [`Kind::Cname`], [`Kind::Ptr`] and [`Kind::Ns`].
    Name(String),
    /// Of [`Kind::Mx`].
    Mx(Mx),
    /// Of [`Kind::Txt`]: its strings, joined without anything between them.
    Text(Vec<u8>),
    /// Of [`Kind::Tlsa`].
    Tlsa(Tlsa),
    /// Of [`Kind::Srv`].
    Srv(Srv),
    /// Of [`Kind::Caa`].
    Caa(Caa),
}

/// An MX record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mx {
    /// Lower is preferred.
    pub preference: u16,
    /// Host name; empty is the root: "this domain takes no mail" (RFC 7505).
    pub host: String,
}

/// A TLSA record, its fields as they are on the wire (RFC 6698 section 2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlsa {
    /// 0 PKIX-TA, 1 PKIX-EE, 2 DANE-TA, 3 DANE-EE.
    pub usage: u8,
    /// 0 the whole certificate, 1 its public key.
    pub selector: u8,
    /// 0 as it is, 1 SHA-256, 2 SHA-512.
    pub matching: u8,
    /// What the certificate is compared with.
    pub data: Vec<u8>,
}

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower is preferred.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// Host name; empty is the root: "no such service here".
    pub host: String,
}

/// A CAA record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caa {
    /// Who does not know the tag must not issue.
    pub critical: bool,
    /// `issue`, `issuewild`, `iodef`, …
    pub tag: String,
    /// Its value as it came.
    pub value: Vec<u8>,
}

/// What the DNS said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// At least one record of the kind asked for, in any order.
    pub records: Vec<Data>,
    /// Every record, and the CNAMEs on the way, were proved by DNSSEC. Never true of a resolver that does not validate.
    pub secure: bool,
}

/// What [`DnsError::Temporary`] says where DNSSEC proves that an answer is false.
pub const BOGUS: &str = "DNSSEC validation failed";

/// Why the DNS gave no answer to use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name does not exist.
    #[error("the domain does not exist")]
    NoSuchDomain,
    /// The name exists, without records of that kind.
    #[error("no such DNS records")]
    NoRecords,
    /// No answer, or one that can not be trusted: ask again later.
    #[error("DNS lookup failed: {0}")]
    Temporary(String),
}

impl DnsError {
    /// Whether the DNS has answered: there is no such thing.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::NoSuchDomain | Self::NoRecords)
    }

    /// Whether DNSSEC proves that the answer was false.
    pub fn is_bogus(&self) -> bool {
        matches!(self, Self::Temporary(why) if why == BOGUS)
    }
}

/// Asks the DNS.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// The records of a name, CNAMEs followed. The name is an absolute one in ASCII, with or without its final dot.
    async fn lookup(&self, name: &str, kind: Kind) -> Result<Answer, DnsError>;

    /// MX records of a domain, in any order; not empty.
    async fn mx(&self, domain: &str) -> Result<Vec<Mx>, DnsError> {
        all(self, domain, Kind::Mx, |data| if let Data::Mx(mx) = data { Some(mx) } else { None }).await
    }

    /// Addresses of a host, of both families; not empty.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let address: fn(Data) -> Option<IpAddr> =
            |data| if let Data::Address(address) = data { Some(address) } else { None };
        let (four, six) = (all(self, host, Kind::A, address).await, all(self, host, Kind::Aaaa, address).await);
        match (four, six) {
            (Ok(four), Ok(six)) => Ok([four, six].concat()),
            (Ok(some), Err(_)) | (Err(_), Ok(some)) => Ok(some),
            (Err(four), Err(six)) => Err(if four.is_final() { six } else { four }),
        }
    }

    /// TXT records of a name, each with its strings joined; not empty.
    async fn txt(&self, name: &str) -> Result<Vec<Vec<u8>>, DnsError> {
        all(self, name, Kind::Txt, |data| if let Data::Text(text) = data { Some(text) } else { None }).await
    }

    /// The names of an address, as it claims: nothing was checked. Not empty.
    async fn names_of(&self, address: IpAddr) -> Result<Vec<String>, DnsError> {
        let name: fn(Data) -> Option<String> = |data| if let Data::Name(name) = data { Some(name) } else { None };
        all(self, &reverse_name(address), Kind::Ptr, name).await
    }
}

/// The records of a name that `pick` takes; not empty.
async fn all<R: Resolver + ?Sized, T>(
    resolver: &R,
    name: &str,
    kind: Kind,
    pick: fn(Data) -> Option<T>,
) -> Result<Vec<T>, DnsError> {
    let found: Vec<T> = resolver.lookup(name, kind).await?.records.into_iter().filter_map(pick).collect();
    if found.is_empty() { Err(DnsError::NoRecords) } else { Ok(found) }
}

/// The name under which an address has its PTR records: `1.2.0.192.in-addr.arpa` (RFC 1035 section 3.5, RFC 3596
/// section 2.5).
pub fn reverse_name(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(four) => {
            let [a, b, c, d] = four.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(six) => {
            let mut name = String::with_capacity(72);
            for byte in six.octets().iter().rev() {
                for nibble in [byte & 15, byte >> 4] {
                    name.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
                    name.push('.');
                }
            }
            name + "ip6.arpa"
        }
    }
}

/// Whether two addresses are in one network, as far as addresses tell: what takes the one away may take the other.
pub fn same_network(one: IpAddr, other: IpAddr) -> bool {
    match (one.to_canonical(), other.to_canonical()) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..3] == other.octets()[..3],
        (IpAddr::V6(one), IpAddr::V6(other)) => one.segments()[..3] == other.segments()[..3],
        _ => false,
    }
}

/// A name as answers have it: lower case, without the final dot.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_names() {
        let name = |address: &str| reverse_name(address.parse().unwrap());
        assert_eq!(name("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        assert_eq!(name("::ffff:192.0.2.1"), "1.2.0.192.in-addr.arpa");
        let six = name("2001:db8::567:89ab");
        assert_eq!(six, "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    }

    #[test]
    fn networks_are_told_apart_by_their_first_parts() {
        let same = |one: &str, other: &str| same_network(one.parse().unwrap(), other.parse().unwrap());
        assert!(same("192.0.2.1", "192.0.2.200") && same("::ffff:192.0.2.1", "192.0.2.9"));
        assert!(same("2001:db8:1::1", "2001:db8:1:ffff::2"));
        assert!(!same("192.0.2.1", "198.51.100.1") && !same("2001:db8:1::1", "2001:db8:2::1"));
        assert!(!same("::1", "127.0.0.1"));
    }

    #[test]
    fn no_such_thing_and_no_answer_are_told_apart() {
        assert!(DnsError::NoSuchDomain.is_final() && DnsError::NoRecords.is_final());
        assert!(!DnsError::Temporary("SERVFAIL".into()).is_final());
    }
}
