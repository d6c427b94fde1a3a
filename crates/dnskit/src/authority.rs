//! Asking the name servers of a zone themselves: what they say now, whatever resolvers remember, and which of them give no answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::system::{data, record_type};
use crate::{Data, DnsError, Kind, Resolver, plain};

/// The port of name servers.
const PORT: u16 = 53;
/// Most name servers of one zone that are asked.
const MAX_SERVERS: usize = 8;
/// Servers of the parent zone that are asked for the delegation.
const MAX_PARENTS: usize = 3;
/// How long one answer is waited for; a question by UDP is put twice.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same of an answer that needs a connection.
const PATIENCE_TCP: Duration = Duration::from_secs(4);
/// The largest answer by UDP (as the DNS flag day of 2020 has it).
const UDP_PAYLOAD: u16 = 1232;
/// Most CNAMEs that are followed within one answer.
const MAX_CNAMES: usize = 10;

/// A name server of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    /// Its host name.
    pub name: String,
    /// Where it is asked.
    pub address: SocketAddr,
}

/// The name servers of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneServers {
    /// The zone's name.
    pub zone: String,
    /// Those that can be asked.
    pub servers: Vec<NameServer>,
    /// Those whose names have no address, or none that is known.
    pub without_address: Vec<String>,
}

/// What a name server says of a name and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// These records.
    Records(Vec<Data>),
    /// There are none of that kind.
    NoRecords,
    /// There is no such name.
    NoSuchDomain,
    /// The name is another one's (CNAME), about which this answer says nothing.
    Elsewhere(String),
    /// It is in a zone of its own, which has other servers.
    Delegated,
}

/// Why a name server gave no answer that counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// It answers, but not as a server of the zone.
    #[error("{0}")]
    Lame(String),
    /// It does not answer.
    #[error("{0}")]
    Silent(String),
    /// This machine has no way to it: nothing is known of it.
    #[error("this machine can't reach its network")]
    NoRoute,
}

/// Finds and asks the name servers of zones. Cheap to clone.
#[derive(Clone)]
pub struct Authorities {
    resolver: Arc<dyn Resolver>,
    port: u16,
}

impl Authorities {
    /// By a resolver, which knows who the servers are and their addresses.
    pub fn new(resolver: Arc<dyn Resolver>) -> Self {
        Self::at_port(resolver, PORT)
    }

    /// The same where name servers listen on another port.
    pub fn at_port(resolver: Arc<dyn Resolver>, port: u16) -> Self {
        Self { resolver, port }
    }

    /// The name servers of the zone that `domain` is in, as the zone above delegates it.
    ///
    /// # Errors
    /// [`DnsError::NoSuchDomain`]: it is not delegated. [`DnsError::NoRecords`]: it is no name with a zone.
    pub async fn of(&self, domain: &str) -> Result<ZoneServers, DnsError> {
        let domain = plain(domain);
        if let Some(parent) = self.parent_of(&domain).await {
            for server in parent.servers.iter().take(MAX_PARENTS) {
                let Ok(answer) = exchange(server.address, &domain, RecordType::NS).await else { continue };
                match delegation(&answer, &domain, &parent.zone) {
                    Delegation::To(zone, names, glue) => return Ok(self.located(zone, names, &glue).await),
                    Delegation::Same => return Ok(parent),
                    Delegation::NoSuchDomain => return Err(DnsError::NoSuchDomain),
                    Delegation::Unknown => {}
                }
            }
        }
        let names = names(self.resolver.lookup(&domain, Kind::Ns).await?.records);
        Ok(self.located(domain, names, &[]).await)
    }

    /// The servers of the zone above a domain.
    async fn parent_of(&self, domain: &str) -> Option<ZoneServers> {
        let mut above = domain;
        while let Some((_, parent)) = above.split_once('.') {
            above = parent;
            match self.resolver.lookup(above, Kind::Ns).await {
                Ok(answer) => return Some(self.located(above.to_owned(), names(answer.records), &[]).await),
                Err(error) if error.is_final() => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// With the addresses of these servers.
    async fn located(&self, zone: String, names: Vec<String>, glue: &[(String, IpAddr)]) -> ZoneServers {
        let mut found = ZoneServers { zone, servers: Vec::new(), without_address: Vec::new() };
        for name in names.into_iter().take(MAX_SERVERS) {
            let mut addresses: Vec<IpAddr> =
                glue.iter().filter(|(of, _)| *of == name).map(|(_, address)| *address).collect();
            if addresses.is_empty() {
                addresses = self.resolver.addresses(&name).await.unwrap_or_default();
            }
            // Where a server has both, IPv4 is the one that more machines can use.
            let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
            match address {
                Some(ip) => found.servers.push(NameServer { name, address: SocketAddr::new(*ip, self.port) }),
                None => found.without_address.push(name),
            }
        }
        found
    }
}

fn names(records: Vec<Data>) -> Vec<String> {
    let mut names: Vec<String> =
        records.into_iter().filter_map(|data| if let Data::Name(name) = data { Some(name) } else { None }).collect();
    names.sort_unstable();
    names
}

impl ZoneServers {
    /// Whether a name is in the zone, or below it.
    pub fn has(&self, name: &str) -> bool {
        is_within(&plain(name), &self.zone)
    }

    /// What one of the servers says of a name and kind.
    ///
    /// # Errors
    /// It gives no answer that counts.
    pub async fn ask(&self, server: &NameServer, name: &str, kind: Kind) -> Result<Said, ServerError> {
        let answer = exchange(server.address, name, record_type(kind)).await?;
        said(&answer, &plain(name), kind, &self.zone)
    }

    /// Whether a server answers for the zone at all.
    ///
    /// # Errors
    /// Why not.
    pub async fn greet(&self, server: &NameServer) -> Result<(), ServerError> {
        let answer = exchange(server.address, &self.zone, RecordType::SOA).await?;
        let is_there = answer.answers.iter().any(|record| record.record_type() == RecordType::SOA);
        match said(&answer, &self.zone, Kind::Ns, &self.zone) {
            Err(why) => Err(why),
            Ok(_) if is_there => Ok(()),
            Ok(_) => Err(ServerError::Lame(format!("it does not have the zone {}", self.zone))),
        }
    }
}

fn is_within(name: &str, zone: &str) -> bool {
    zone.is_empty() || name == zone || name.strip_suffix(zone).is_some_and(|start| start.ends_with('.'))
}

enum Delegation {
    To(String, Vec<String>, Vec<(String, IpAddr)>),
    /// The domain is in the zone above.
    Same,
    NoSuchDomain,
    Unknown,
}

/// What a server of the zone `above` says of who answers for `domain`.
fn delegation(answer: &Message, domain: &str, above: &str) -> Delegation {
    let owner = |record: &Record| plain(&record.name.to_ascii());
    // The server may have both zones, and answers for the lower one then.
    let all = answer.answers.iter().chain(&answer.authorities);
    let servers: Vec<(String, String)> = all
        .filter_map(|record| match &record.data {
            RData::NS(name) => Some((owner(record), plain(&name.0.to_ascii()))),
            _ => None,
        })
        .filter(|(cut, _)| is_within(domain, cut) && is_within(cut, above) && cut != above)
        .collect();
    let cut = servers.iter().map(|(cut, _)| cut.clone()).max_by_key(String::len);
    match (cut, answer.metadata.response_code, answer.metadata.authoritative) {
        (Some(cut), ResponseCode::NoError, _) => {
            let mut names: Vec<String> =
                servers.into_iter().filter(|(owner, _)| *owner == cut).map(|(_, name)| name).collect();
            names.sort_unstable();
            names.dedup();
            let glue = answer.additionals.iter().filter_map(|record| match data(&record.data)? {
                Data::Address(address) => Some((owner(record), address)),
                _ => None,
            });
            Delegation::To(cut, names, glue.collect())
        }
        (None, ResponseCode::NoError, true) => Delegation::Same,
        (None, ResponseCode::NXDomain, true) => Delegation::NoSuchDomain,
        _ => Delegation::Unknown,
    }
}

fn said(answer: &Message, name: &str, kind: Kind, zone: &str) -> Result<Said, ServerError> {
    let lame = |why: String| Err(ServerError::Lame(why));
    let code = answer.metadata.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return lame(format!("it answers {}", code.to_str().to_ascii_uppercase()));
    }
    if !answer.metadata.authoritative {
        let cut = answer.authorities.iter().find(|record| record.record_type() == RecordType::NS);
        let cut = cut.map(|record| plain(&record.name.to_ascii()));
        let is_below = cut.is_some_and(|cut| is_within(name, &cut) && is_within(&cut, zone) && cut != zone);
        return if answer.answers.is_empty() && is_below {
            Ok(Said::Delegated)
        } else {
            lame("it does not answer for the zone".to_owned())
        };
    }
    let mut at = name.to_owned();
    for _ in 0..MAX_CNAMES {
        let here: Vec<&Record> = answer.answers.iter().filter(|record| plain(&record.name.to_ascii()) == at).collect();
        let of_kind = here.iter().filter(|record| record.record_type() == record_type(kind));
        let records: Vec<Data> = of_kind.filter_map(|record| data(&record.data)).collect();
        if !records.is_empty() {
            return Ok(Said::Records(records));
        }
        let next = here.iter().find_map(|record| match &record.data {
            RData::CNAME(next) => Some(plain(&next.0.to_ascii())),
            _ => None,
        });
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    Ok(match code {
        _ if at != name => Said::Elsewhere(at),
        ResponseCode::NXDomain => Said::NoSuchDomain,
        _ => Said::NoRecords,
    })
}

/// Puts one question to one server, without asking it to look further.
async fn exchange(server: SocketAddr, name: &str, kind: RecordType) -> Result<Message, ServerError> {
    let absolute = Name::from_ascii(format!("{}.", name.trim_end_matches('.')));
    let absolute = absolute.map_err(|error| ServerError::Silent(error.to_string()))?;
    let mut question = Message::query();
    question.add_query(Query::query(absolute, kind));
    question.metadata.recursion_desired = false;
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD);
    question.set_edns(edns);
    let bytes = question.to_vec().map_err(|error| ServerError::Silent(error.to_string()))?;
    let answer = by_udp(server, &question, &bytes).await?;
    if answer.metadata.truncation { by_tcp(server, &question, &bytes).await } else { Ok(answer) }
}

fn fits(answer: &Message, question: &Message) -> bool {
    answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer.queries.first().is_none_or(|query| *query == question.queries[0])
}

fn broken(error: &std::io::Error) -> ServerError {
    use std::io::ErrorKind::{HostUnreachable, NetworkUnreachable};
    match error.kind() {
        NetworkUnreachable | HostUnreachable => ServerError::NoRoute,
        _ => ServerError::Silent(error.to_string()),
    }
}

async fn by_udp(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<Message, ServerError> {
    let from: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((from, 0)).await.map_err(|error| broken(&error))?;
    socket.connect(server).await.map_err(|error| broken(&error))?;
    let mut buffer = vec![0; usize::from(UDP_PAYLOAD).max(4096)];
    for _ in 0..2 {
        socket.send(bytes).await.map_err(|error| broken(&error))?;
        let answer = timeout(PATIENCE, async {
            loop {
                let got = socket.recv(&mut buffer).await?;
                // Anything else is somebody's guess, or the answer to an earlier question.
                if let Some(answer) = Message::from_vec(&buffer[..got]).ok().filter(|answer| fits(answer, question)) {
                    return Ok::<_, std::io::Error>(answer);
                }
            }
        });
        if let Ok(answer) = answer.await {
            return answer.map_err(|error| broken(&error));
        }
    }
    Err(ServerError::Silent("no answer in time".to_owned()))
}

async fn by_tcp(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<Message, ServerError> {
    let length = u16::try_from(bytes.len()).map_err(|_| ServerError::Silent("the question is too long".to_owned()))?;
    let answer = timeout(PATIENCE_TCP, async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
        let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut buffer).await?;
        Ok::<_, std::io::Error>(buffer)
    });
    let buffer = match answer.await {
        Err(_) => return Err(ServerError::Silent("no answer in time, by TCP".to_owned())),
        Ok(buffer) => buffer.map_err(|error| broken(&error))?,
    };
    match Message::from_vec(&buffer) {
        Ok(answer) if fits(&answer, question) => Ok(answer),
        _ => Err(ServerError::Lame("its answer can't be read".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::OpCode;
    use hickory_resolver::proto::rr::rdata::{A, CNAME, NS};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(format!("{text}.")).unwrap()
    }

    fn record(owner: &str, data: RData) -> Record {
        Record::from_rdata(name(owner), 60, data)
    }

    fn answer(code: ResponseCode, authoritative: bool) -> Message {
        let mut answer = Message::response(1, OpCode::Query);
        (answer.metadata.response_code, answer.metadata.authoritative) = (code, authoritative);
        answer
    }

    #[test]
    fn what_a_server_says_is_told_from_what_it_is_not_asked_for() {
        let address = record("www.example.org", RData::A(A::new(192, 0, 2, 1)));
        let cname = |to: &str| record("a.example.org", RData::CNAME(CNAME(name(to))));
        let of = |answer: &Message, asked: &str| said(answer, asked, Kind::A, "example.org");
        let mut right = answer(ResponseCode::NoError, true);
        right.add_answer(cname("www.example.org"));
        right.add_answer(address.clone());
        assert!(matches!(of(&right, "a.example.org"), Ok(Said::Records(all)) if all.len() == 1));
        let mut leads = answer(ResponseCode::NoError, true);
        leads.add_answer(cname("elsewhere.test"));
        assert_eq!(of(&leads, "a.example.org"), Ok(Said::Elsewhere("elsewhere.test".to_owned())));
        let mut round = answer(ResponseCode::NoError, true);
        round.add_answer(cname("a.example.org"));
        assert_eq!(of(&round, "a.example.org"), Ok(Said::NoRecords), "in a circle");
        assert_eq!(of(&answer(ResponseCode::NXDomain, true), "b.example.org"), Ok(Said::NoSuchDomain));
        assert_eq!(of(&answer(ResponseCode::NoError, true), "b.example.org"), Ok(Said::NoRecords));
        for code in [ResponseCode::Refused, ResponseCode::ServFail, ResponseCode::NotAuth] {
            assert!(matches!(of(&answer(code, true), "b.example.org"), Err(ServerError::Lame(_))), "{code}");
        }
        let mut from_memory = answer(ResponseCode::NoError, false);
        from_memory.add_answer(address);
        assert!(matches!(of(&from_memory, "www.example.org"), Err(ServerError::Lame(_))));
        for (cut, delegated) in
            [("sub.example.org", true), ("example.org", false), ("org", false), ("other.test", false)]
        {
            let mut referral = answer(ResponseCode::NoError, false);
            referral.add_authority(record(cut, RData::NS(NS(name("ns.other.test")))));
            assert_eq!(of(&referral, "x.sub.example.org") == Ok(Said::Delegated), delegated, "{cut}");
        }
    }

    #[test]
    fn the_zone_above_tells_who_answers() {
        let to = |answer: &Message, domain: &str| match delegation(answer, domain, "org") {
            Delegation::To(zone, names, glue) => format!("{zone} {} {}", names.join(","), glue.len()),
            Delegation::Same => "same".to_owned(),
            Delegation::NoSuchDomain => "none".to_owned(),
            Delegation::Unknown => "unknown".to_owned(),
        };
        let mut referral = answer(ResponseCode::NoError, false);
        for host in ["ns2.example.org", "ns1.example.org"] {
            referral.add_authority(record("example.org", RData::NS(NS(name(host)))));
        }
        referral.add_additional(record("ns1.example.org", RData::A(A::new(192, 0, 2, 1))));
        assert_eq!(to(&referral, "example.org"), "example.org ns1.example.org,ns2.example.org 1");
        assert_eq!(to(&referral, "sub.example.org"), "example.org ns1.example.org,ns2.example.org 1");
        assert_eq!(to(&referral, "badexample.org"), "unknown");
        let mut upward = answer(ResponseCode::NoError, false);
        upward.add_authority(record("org", RData::NS(NS(name("a.org")))));
        assert_eq!(to(&upward, "example.org"), "unknown");
        assert_eq!(to(&answer(ResponseCode::NoError, true), "example.org"), "same");
        assert_eq!(to(&answer(ResponseCode::NXDomain, true), "example.org"), "none");
        assert_eq!(to(&answer(ResponseCode::Refused, false), "example.org"), "unknown");
    }
}
