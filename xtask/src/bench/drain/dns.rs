//! A DNS in which there is nothing: the checks ask it, and it answers at once.

use std::{net::UdpSocket, thread};

use anyhow::Result;

/// The name does not exist (RFC 1035 section 4.1.1).
const NXDOMAIN: u8 = 3;
/// For how long that may be remembered, in seconds.
const MINIMUM: u32 = 3_600;

/// Answers until the process ends; gives its address.
pub fn start() -> Result<String> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?.to_string();
    thread::spawn(move || {
        let mut query = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            if let Some(answer) = answer(&query[..length]) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    Ok(address)
}

fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let mut at = 12;
    while *query.get(at)? != 0 {
        at += 1 + usize::from(query[at]);
    }
    let question = query.get(12..at + 5)?;
    let mut all = query[..2].to_vec();
    // A response, recursion desired and available; one question, one record in the authority section.
    all.extend([0x81, 0x80 | NXDOMAIN, 0, 1, 0, 0, 0, 1, 0, 0]);
    all.extend(question);
    // The SOA of the root, so that the answer is remembered.
    all.extend([0, 0, 6, 0, 1]);
    all.extend(MINIMUM.to_be_bytes());
    let soa = [&[0, 0][..], &[0; 16], &MINIMUM.to_be_bytes()].concat();
    all.extend((soa.len() as u16).to_be_bytes());
    all.extend(soa);
    Some(all)
}
