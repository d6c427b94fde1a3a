//! Postfix's `posttls-finger` as an oracle of DANE: what it verifies our mail goes to, and what it rejects we reject.
//!
//! It asks the resolver of the machine and believes what that says it has proved. So it runs in a mount namespace with a
//! `resolv.conf` of its own, which names a forwarder to the test's name server.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread;

const PROGRAM: &str = "/usr/sbin/posttls-finger";
/// Port of DNS: `resolv.conf` knows no other.
const DNS_PORT: u16 = 53;
/// The bits of a resolver that is asked for recursion and has proved the answer, and of the answer itself.
const RECURSION_AVAILABLE: u8 = 0x80;
const AUTHENTIC_DATA: u8 = 0x20;

/// The program and its resolver.
pub struct Finger {
    dir: tempfile::TempDir,
}

impl Finger {
    /// Its resolver answers what the name server at `port` says, as proved unless it is below one of `unproved`. None where it
    /// can't run, which is said.
    pub fn new(test: &str, port: u16, unproved: &'static [&'static str]) -> Option<Self> {
        if !Path::new(PROGRAM).is_file() {
            assert!(
                std::env::var_os("CI").is_none(),
                "posttls-finger is not installed; cargo xtask test installs postfix"
            );
            eprintln!("NOT RUN: {test}: posttls-finger is not installed (apt-get install postfix)");
            return None;
        }
        let may_mount =
            Command::new("unshare").args(["-m", "true"]).output().is_ok_and(|output| output.status.success());
        let random: [u8; 2] = rand::random();
        let address = Ipv4Addr::new(127, 53, random[0], random[1].clamp(1, 254));
        let Some(socket) = UdpSocket::bind((address, DNS_PORT)).ok().filter(|_| may_mount) else {
            eprintln!("NOT RUN: {test}: needs root, for port {DNS_PORT} and a resolv.conf of its own");
            return None;
        };
        thread::spawn(move || forward(&socket, port, unproved));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("resolv.conf"), format!("nameserver {address}\noptions trust-ad\n")).unwrap();
        Some(Self { dir })
    }

    /// What it says of the mail server of a domain, all of it.
    pub fn look(&self, domain: &str, port: u16) -> String {
        let script =
            "mount --bind \"$1\" /etc/resolv.conf && exec \"$2\" -c -t 20 -T 20 -l dane -L certmatch,summary \"$3\"";
        let resolv = self.dir.path().join("resolv.conf");
        let output = Command::new("unshare")
            .args(["-m", "sh", "-c", script, "sh"])
            .arg(resolv)
            .arg(PROGRAM)
            .arg(format!("{}:{port}", domain.trim_end_matches('.')))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
    }

    /// Whether it would give mail to that server.
    pub fn verifies(&self, domain: &str, port: u16) -> (bool, String) {
        let said = self.look(domain, port);
        (said.contains("Verified TLS connection established"), said)
    }
}

/// Passes questions on, and says of the answers what is proved.
fn forward(socket: &UdpSocket, port: u16, unproved: &[&str]) {
    let mut bytes = [0; 4_096];
    while let Ok((length, from)) = socket.recv_from(&mut bytes) {
        let query = &bytes[..length];
        let name = name_of(query);
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut answer = [0; 4_096];
        server.send_to(query, ("127.0.0.1", port)).unwrap();
        let Ok(length) = server.recv(&mut answer) else { continue };
        let is_proved = !unproved.iter().any(|zone| name == *zone || name.ends_with(&format!(".{zone}")));
        answer[3] = (answer[3] | RECURSION_AVAILABLE) & !AUTHENTIC_DATA;
        if is_proved {
            answer[3] |= AUTHENTIC_DATA;
        }
        let _ = socket.send_to(&answer[..length], from);
    }
}

/// The name that is asked about, in lower case.
fn name_of(query: &[u8]) -> String {
    let (mut labels, mut at) = (Vec::new(), 12);
    while let Some(length) = query.get(at).map(|length| usize::from(*length)).filter(|length| *length > 0) {
        let label = query.get(at + 1..at + 1 + length).unwrap_or_default();
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += 1 + length;
    }
    labels.join(".")
}
