//! Which records this service wants for a domain.

use directory::{DkimKey, DkimState, Domain, MtaSts};
use serde::{Deserialize, Serialize};

use crate::{Policy, Service, zone};

/// How much a record is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Without it mail is lost, refused or doubted.
    Required,
    /// Without it something works less well.
    Recommended,
    /// For those who know that they want it.
    Optional,
}

/// Which record it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The addresses of the service's host.
    Addresses,
    /// The names of the service's addresses.
    Reverse,
    /// The servers that answer for the domain.
    NameServers,
    /// Who receives the domain's mail.
    Mx,
    /// Who sends it.
    Spf,
    /// The key of this selector.
    Dkim(String, DkimState),
    /// What others do with mail that fails the checks.
    Dmarc,
    /// That there is a policy about TLS.
    StsRecord,
    /// The host that serves that policy.
    StsHost,
    /// Where reports about TLS go.
    TlsReports,
    /// The certificate of the service's host.
    Tlsa,
    /// Where mail programs connect to, by label.
    Srv(&'static str),
    /// The same of what this service does not offer.
    NotOffered(&'static str),
    /// Who may issue certificates.
    Caa,
    /// A host that mail programs look for.
    Discovery(&'static str),
}

/// A record that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub record: Record,
    /// What it is called.
    pub title: String,
    /// Its full name, without the last dot.
    pub name: String,
    /// Its type.
    pub kind: &'static str,
    /// Its values as a zone file has them, a text in one piece; none where the value is not ours to say.
    pub records: Vec<String>,
    /// What it is for, in a few words.
    pub purpose: &'static str,
    /// How much it is needed.
    pub need: Need,
    /// It is not in the domain's own zone.
    pub elsewhere: bool,
}

impl Wanted {
    /// Its values for a zone file: texts quoted and split.
    pub fn values(&self) -> Vec<String> {
        self.records.iter().map(|data| zone::value(self.kind, data)).collect()
    }
}

struct List(Vec<Wanted>);

impl List {
    fn add(
        &mut self,
        record: Record,
        (title, kind): (&str, &'static str),
        name: String,
        records: Vec<String>,
    ) -> &mut Wanted {
        let (need, purpose) = about(&record);
        let wanted = Wanted { record, title: title.to_owned(), name, kind, records, purpose, need, elsewhere: false };
        self.0.push(wanted);
        self.0.last_mut().expect("it was just added")
    }
}

const fn about(record: &Record) -> (Need, &'static str) {
    use Need::{Optional, Recommended, Required};
    match record {
        Record::Addresses => (Required, "the address of the mail server"),
        Record::Reverse => (Required, "the name of the mail server's address, set by the provider of the address"),
        Record::NameServers => (Required, "the servers that answer for the domain, set at its registrar"),
        Record::Mx => (Required, "the server that receives mail for the domain"),
        Record::Spf => (Required, "the servers allowed to send mail for the domain"),
        Record::Dkim(_, DkimState::InUse) => (Required, "the public key of its DKIM signatures"),
        Record::Dkim(_, DkimState::Waiting) => (Required, "a new DKIM key, used as soon as this record is there"),
        Record::Dkim(_, DkimState::Retired) => (Optional, "an old DKIM key, for mail that is still under way"),
        Record::Dmarc => (Required, "what other servers do with mail that fails both checks"),
        Record::StsRecord => (Recommended, "tells other servers that there is a TLS policy (MTA-STS)"),
        Record::StsHost => (Recommended, "the host that serves the TLS policy (MTA-STS)"),
        Record::TlsReports => (Recommended, "where other servers report TLS failures"),
        Record::Tlsa => (Optional, "the mail server's certificate (DANE), only in zones signed by DNSSEC"),
        Record::Srv(_) => (Recommended, "how mail apps find the server"),
        Record::NotOffered(_) => (Optional, "sends mail apps to what this service does not offer"),
        Record::Caa => (Optional, "who may issue certificates for the domain"),
        Record::Discovery(_) => (Recommended, "how mail apps find their settings"),
    }
}

/// What mail programs look for by SRV records (RFC 6186, RFC 8314, RFC 5804).
const LABELS: [&str; 7] = ["_imaps", "_imap", "_pop3s", "_pop3", "_submissions", "_submission", "_sieve"];

/// The records that make others deliver to this service, believe what it sends, and find it.
pub fn wanted(service: &Service, domain: &Domain) -> Vec<Wanted> {
    let (name, host) = (&domain.name, service.hostname.to_ascii_lowercase());
    let mut list = List(Vec::new());
    list.add(Record::NameServers, ("Name servers", "NS"), name.clone(), Vec::new());
    let relays = service.relays.iter().enumerate();
    let relays =
        relays.map(|(at, relay)| format!("{} {}.", 20 + 10 * at, relay.trim_end_matches('.').to_ascii_lowercase()));
    // The other names are of the same machine: they are tried after the first, and before relays.
    let own = service.names().take(10).enumerate();
    let own = own.map(|(at, name)| format!("{} {}.", 10 + at, name.to_ascii_lowercase()));
    list.add(Record::Mx, ("MX", "MX"), name.clone(), own.chain(relays).collect());
    list.add(Record::Spf, ("SPF", "TXT"), name.clone(), vec![spf(service)]);
    for key in &domain.all_dkim {
        list.add_dkim(name, key);
    }
    let dmarc = format!("v=DMARC1; p=quarantine; rua=mailto:postmaster@{name}");
    list.add(Record::Dmarc, ("DMARC", "TXT"), format!("_dmarc.{name}"), vec![dmarc]);
    if service.web && domain.mta_sts != MtaSts::None {
        let policy = Policy::of(service, domain.mta_sts);
        list.add(Record::StsRecord, ("MTA-STS", "TXT"), format!("_mta-sts.{name}"), vec![policy.record()]);
        list.add(Record::StsHost, ("MTA-STS host", "CNAME"), format!("mta-sts.{name}"), vec![format!("{host}.")]);
    }
    let reports = format!("v=TLSRPTv1; rua=mailto:postmaster@{name}");
    list.add(Record::TlsReports, ("TLS-RPT", "TXT"), format!("_smtp._tls.{name}"), vec![reports]);
    for offered in &service.mail {
        // Programs try the smallest number first: the other names are for when the first fails.
        let all = service.names().enumerate();
        let data =
            all.map(|(at, name)| format!("{} 1 {} {}.", 10 * at, offered.port, name.to_ascii_lowercase())).collect();
        list.add(Record::Srv(offered.label), ("SRV", "SRV"), format!("{}._tcp.{name}", offered.label), data);
    }
    for label in LABELS.into_iter().filter(|label| service.mail.iter().all(|offered| offered.label != *label)) {
        list.add(Record::NotOffered(label), ("SRV", "SRV"), format!("{label}._tcp.{name}"), Vec::new());
    }
    if service.web {
        for label in ["autoconfig", "autodiscover"] {
            list.add(Record::Discovery(label), (label, "CNAME"), format!("{label}.{name}"), vec![format!("{host}.")]);
        }
    }
    let authority = service.authority.iter().map(|authority| format!("0 issue \"{authority}\""));
    list.add(Record::Caa, ("CAA", "CAA"), name.clone(), authority.collect());
    list.add_host(service, host);
    list.0
}

impl List {
    fn add_dkim(&mut self, domain: &str, key: &DkimKey) {
        let record = Record::Dkim(key.selector().to_owned(), key.state());
        let title = format!("DKIM {}", key.selector());
        self.add(record, (&title, "TXT"), key.dns_name(domain), vec![key.dns_record()]);
    }

    /// What the service's own host needs, once for all domains.
    fn add_host(&mut self, service: &Service, host: String) {
        let known = service.addresses.iter();
        let kind = if service.addresses.iter().all(|address| address.is_ipv6()) && !service.addresses.is_empty() {
            "AAAA"
        } else {
            "A"
        };
        let addresses = known.filter(|address| address.is_ipv6() == (kind == "AAAA")).map(ToString::to_string);
        let addresses: Vec<String> = addresses.collect();
        self.add(Record::Addresses, ("Address", kind), host.clone(), addresses.clone()).elsewhere = true;
        for name in &service.also_known_as {
            let name = name.to_ascii_lowercase();
            self.add(Record::Addresses, ("Address", kind), name, addresses.clone()).elsewhere = true;
        }
        self.add(Record::Reverse, ("Reverse DNS", "PTR"), host.clone(), vec![format!("{host}.")]).elsewhere = true;
        let digest = service.certificate.iter().filter(|certificate| !certificate.key_digest.is_empty());
        let tlsa: Vec<String> = digest.map(|certificate| format!("3 1 1 {}", certificate.key_digest)).collect();
        if !tlsa.is_empty() {
            self.add(Record::Tlsa, ("TLSA", "TLSA"), format!("_25._tcp.{host}"), tlsa).elsewhere = true;
        }
    }
}

/// The SPF record of a domain whose mail leaves from the servers that receive it, or through another one.
fn spf(service: &Service) -> String {
    match &service.smarthost {
        Some(host) => format!("v=spf1 mx a:{} -all", host.to_ascii_lowercase()),
        None => "v=spf1 mx -all".to_owned(),
    }
}
