//! A domain with keys, and a zone in which all its records are right.

use std::sync::Arc;

use directory::{Directory, DirectoryOptions, Domain};
use dnskit::{Answer, Caa, Data, DnsError, Kind, Srv, Zone};
use domaincheck::{Certificate, Checks, MailService, Report, Service, Wanted};
use parking_lot::Mutex;
use testkit::House;

pub const DOMAIN: &str = "example.org";
pub const HOST: &str = "mail.example.net";
pub const ADDRESS: &str = "192.0.2.25";
pub const SIX: &str = "2001:db8::25";

pub struct World {
    pub directory: Directory,
    pub zone: Arc<Zone>,
    pub checks: Checks,
    pub service: Arc<Mutex<Service>>,
    house: House,
    _folder: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.house.store.close();
    }
}

pub fn service() -> Service {
    let mail = |label, port| MailService { label, port };
    Service {
        hostname: HOST.to_owned(),
        mail: vec![mail("_imaps", 993), mail("_submissions", 465)],
        web: true,
        authority: Some("ca.example".to_owned()),
        certificate: Some(Certificate {
            names: vec![HOST.to_owned(), "*.example.org".to_owned()],
            key_digest: "ab".repeat(32),
        }),
        ..Service::default()
    }
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let house = House::with_mailboxes(folder.path(), DirectoryOptions::default()).await;
        house.directory.add_domain(DOMAIN).await.unwrap();
        let (zone, service) = (Arc::new(Zone::new()), Arc::new(Mutex::new(service())));
        let described = service.clone();
        let checks = Checks::new(house.directory.clone(), zone.clone(), move || described.lock().clone());
        let world = Self { directory: house.directory.clone(), zone, checks, service, house, _folder: folder };
        world.set_all();
        world
    }

    pub fn domain(&self) -> Domain {
        self.directory.domain(DOMAIN).unwrap().unwrap()
    }

    pub fn wanted(&self) -> Vec<Wanted> {
        self.checks.wanted(DOMAIN).unwrap()
    }

    /// Puts all that is wanted into the zone, as an owner does who pastes it.
    pub fn set_all(&self) {
        for wanted in self.wanted() {
            self.zone.remove(&wanted.name);
        }
        for wanted in self.wanted() {
            for record in &wanted.records {
                self.paste(&wanted.name, wanted.kind, record);
            }
        }
        self.zone.address(HOST, ADDRESS);
        self.zone.address(HOST, SIX);
        for address in [ADDRESS, SIX] {
            self.zone.remove(&dnskit::reverse_name(address.parse().unwrap()));
            self.zone.ptr(address, HOST);
        }
    }

    pub fn paste(&self, name: &str, kind: &str, record: &str) {
        let words: Vec<&str> = record.split(' ').collect();
        let number = |at: usize| words[at].parse().unwrap();
        let host = |at: usize| words[at].trim_end_matches('.').to_owned();
        match kind {
            "MX" => self.zone.receiver(name, number(0), &host(1)),
            "TXT" => self.zone.text(name, record),
            "CNAME" => self.zone.cname(name, &host(0)),
            "SRV" => {
                let srv = Srv { priority: number(0), weight: number(1), port: number(2), host: host(3) };
                self.zone.add(name, Kind::Srv, Data::Srv(srv));
            }
            "CAA" => self.caa(name, "issue", words[2].trim_matches('"')),
            "TLSA" => self.tlsa(words[3]),
            "PTR" | "A" | "AAAA" => {}
            other => panic!("{other}"),
        }
    }

    pub fn caa(&self, name: &str, tag: &str, value: &str) {
        let caa = Caa { critical: false, tag: tag.to_owned(), value: value.as_bytes().to_vec() };
        self.zone.add(name, Kind::Caa, Data::Caa(caa));
    }

    pub fn tlsa(&self, digest: &str) {
        let data: Vec<u8> =
            (0..digest.len() / 2).map(|at| u8::from_str_radix(&digest[2 * at..2 * at + 2], 16).unwrap()).collect();
        let tlsa = dnskit::Tlsa { usage: 3, selector: 1, matching: 1, data };
        self.zone.add(&format!("_25._tcp.{HOST}"), Kind::Tlsa, Data::Tlsa(tlsa));
    }

    /// Replaces the records of a name and kind.
    pub fn set(&self, name: &str, kind: Kind, records: Vec<Data>) {
        let said = if records.is_empty() { Err(DnsError::NoRecords) } else { Ok(Answer { records, secure: false }) };
        self.zone.say(name, kind, said);
    }

    pub fn set_text(&self, name: &str, texts: &[&str]) {
        self.set(name, Kind::Txt, texts.iter().map(|text| Data::Text(text.as_bytes().to_vec())).collect());
    }

    pub fn silence(&self, name: &str, kind: Kind) {
        self.zone.say(name, kind, Err(DnsError::Temporary("SERVFAIL".to_owned())));
    }

    pub async fn check(&self) -> Arc<Report> {
        self.checks.check(DOMAIN).await.unwrap().0
    }

    /// The codes of what is wrong after a change.
    pub async fn codes(&self) -> Vec<String> {
        self.check().await.codes().into_iter().map(str::to_owned).collect()
    }
}
