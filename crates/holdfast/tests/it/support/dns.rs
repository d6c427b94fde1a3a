//! A DNS of the test's own, on loopback.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
};

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const PTR: u16 = 12;
const MX: u16 = 15;
const TXT: u16 = 16;
const SRV: u16 = 33;

/// The answer where there is nothing to say for now.
const SERVFAIL: u8 = 2;

type Records = HashMap<(String, u16), Vec<Vec<u8>>>;

/// Answers what it was told over UDP, until the test's process ends. Names that it was not told of do not exist. It is a
/// resolver and the name server of all zones.
pub struct Dns {
    address: SocketAddr,
    records: Arc<Mutex<Records>>,
    failing: Arc<Mutex<Vec<String>>>,
}

impl Dns {
    /// One without records.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let dns = Self { address: socket.local_addr().unwrap(), records: Arc::default(), failing: Arc::default() };
        let (records, failing) = (Arc::clone(&dns.records), Arc::clone(&dns.failing));
        std::thread::spawn(move || {
            let mut query = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                if let Some(answer) = answer(&query[..length], &records.lock().unwrap(), &failing.lock().unwrap()) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        dns
    }

    /// The configuration of a service that asks it.
    pub fn config(&self) -> String {
        format!("[dns]\nservers = [\"{}\"]\nauthority_port = {}\n", self.address, self.address.port())
    }

    /// Makes it the name server of a zone.
    pub fn zone(&self, domain: &str) {
        let host = format!("ns.{domain}");
        self.a(&host, Ipv4Addr::LOCALHOST);
        self.add(domain, NS, wire_name(&host));
        self.add(domain, SOA, [wire_name(&host), wire_name(&host), vec![0; 20]].concat());
    }

    /// Sets a record as `domain show` prints it for programs.
    pub fn paste(&self, name: &str, kind: &str, value: &str) {
        let words: Vec<&str> = value.split(' ').collect();
        let number = |at: usize| words[at].parse::<u16>().unwrap().to_be_bytes().to_vec();
        let host = |at: usize| wire_name(words[at].trim_end_matches('.'));
        match kind {
            "TXT" => {
                let strings = value.split('"').skip(1).step_by(2);
                self.add(name, TXT, strings.flat_map(|text| [&[text.len() as u8], text.as_bytes()].concat()).collect());
            }
            "MX" => self.add(name, MX, [number(0), host(1)].concat()),
            "SRV" => self.add(name, SRV, [number(0), number(1), number(2), host(3)].concat()),
            "CNAME" => self.add(name, CNAME, host(0)),
            other => panic!("{name} {other} {value}"),
        }
    }

    /// Takes all records of a name away.
    pub fn remove(&self, name: &str) {
        self.records.lock().unwrap().retain(|(known, _), _| known != name);
    }

    /// Has it answer questions about a name with a failure from now on.
    pub fn fail(&self, name: &str) {
        self.failing.lock().unwrap().push(name.to_owned());
    }

    pub fn txt(&self, name: &str, text: &str) {
        let strings = text.as_bytes().chunks(255).flat_map(|piece| [&[piece.len() as u8], piece].concat());
        self.add(name, TXT, strings.collect());
    }

    pub fn a(&self, name: &str, address: Ipv4Addr) {
        self.add(name, A, address.octets().to_vec());
    }

    pub fn ptr(&self, address: Ipv4Addr, name: &str) {
        let [a, b, c, d] = address.octets();
        self.add(&format!("{d}.{c}.{b}.{a}.in-addr.arpa"), PTR, wire_name(name));
    }

    fn add(&self, name: &str, kind: u16, data: Vec<u8>) {
        self.records.lock().unwrap().entry((name.to_ascii_lowercase(), kind)).or_default().push(data);
    }
}

fn wire_name(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

/// The answer to a query (RFC 1035 section 4), or nothing if it is none.
fn answer(query: &[u8], records: &Records, failing: &[String]) -> Option<Vec<u8>> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*query.get(at)?);
        let label = query.get(at + 1..at + 1 + length)?;
        at += 1 + length;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
    }
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    let question = query.get(12..at + 4)?;
    let name = labels.join(".");
    let of_kind = |kind: u16| records.get(&(name.clone(), kind)).cloned().unwrap_or_default();
    let (kind, found) = match of_kind(kind) {
        found if found.is_empty() && kind != CNAME => (CNAME, of_kind(CNAME)),
        found => (kind, found),
    };
    let below = format!(".{name}");
    let exists = records.keys().any(|(known, _)| *known == name || known.ends_with(&below));
    let code = if failing.contains(&name) {
        SERVFAIL
    } else if exists {
        0
    } else {
        3
    };
    let found = if code == SERVFAIL { Vec::new() } else { found };
    let count = u8::try_from(found.len()).unwrap();
    let mut out = [&query[..2], &[0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0], question].concat();
    for data in found {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 60]);
        out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        out.extend(data);
    }
    Some(out)
}
