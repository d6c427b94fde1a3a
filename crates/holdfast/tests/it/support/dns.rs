//! A DNS of the test's own, on loopback.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
};

const A: u16 = 1;
const PTR: u16 = 12;
const TXT: u16 = 16;

type Records = HashMap<(String, u16), Vec<Vec<u8>>>;

/// Answers what it was told over UDP, until the test's process ends. Names that it was not told of do not exist.
pub struct Dns {
    address: SocketAddr,
    records: Arc<Mutex<Records>>,
}

impl Dns {
    /// One without records.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let dns = Self { address: socket.local_addr().unwrap(), records: Arc::default() };
        let records = Arc::clone(&dns.records);
        std::thread::spawn(move || {
            let mut query = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                if let Some(answer) = answer(&query[..length], &records.lock().unwrap()) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        dns
    }

    /// The configuration of a service that asks it.
    pub fn config(&self) -> String {
        format!("[dns]\nservers = [\"{}\"]\n", self.address)
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
fn answer(query: &[u8], records: &Records) -> Option<Vec<u8>> {
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
    let found = records.get(&(name.clone(), kind)).cloned().unwrap_or_default();
    let below = format!(".{name}");
    let exists = records.keys().any(|(known, _)| *known == name || known.ends_with(&below));
    let code = if exists { 0 } else { 3 };
    let count = u8::try_from(found.len()).unwrap();
    let mut out = [&query[..2], &[0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0], question].concat();
    for data in found {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 60]);
        out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        out.extend(data);
    }
    Some(out)
}
