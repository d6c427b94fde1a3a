//! Checks of a configuration, key by key and between keys, and warnings about settings that are rarely intended.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use doorkit::{Certificate, Tls};
use tracing_subscriber::EnvFilter;

use super::{ByteSize, Config, PlaintextLogins, StandbyMode, finding::Finding, units::is_host_and_port};

/// A certificate that ends within so many days should have been renewed.
const CERTIFICATE_DAYS_LEFT: i64 = 14;
const DAY: i64 = 86_400;
/// The index writes files of some megabytes, and can't continue after it failed to.
const LEAST_RESERVE: ByteSize = ByteSize::mib(32);

impl Config {
    /// With any of these the service does not start.
    pub(super) fn mistakes(&self) -> Vec<Finding> {
        let mut all = Vec::new();
        if !is_host(&self.hostname) {
            all.push(Finding::new("hostname", "is not a host name", "write the name your MX record points to"));
        }
        for name in self.also_known_as.iter().filter(|name| !is_host(name)) {
            let message = format!("has \"{name}\", which is not a host name");
            all.push(Finding::new("also_known_as", message, "write names such as \"mail.example.net\""));
        }
        if let Some(why) = no_folder(&self.data_dir) {
            all.push(Finding::new("data_dir", why, "name a folder that exists or can be created"));
        }
        self.certificate_mistakes(&mut all);
        self.acme_mistakes(&mut all);
        self.limit_mistakes(&mut all);
        self.delivery_mistakes(&mut all);
        self.sending_mistakes(&mut all);
        self.dns.mistakes(&mut all);
        for relay in self.domains.relays.iter().filter(|relay| !is_host(relay) || relay.parse::<IpAddr>().is_ok()) {
            let remedy = "write the name its MX record has, such as \"relay.example.net\"";
            all.push(Finding::new("domains.relays", format!("has \"{relay}\", which is not a host name"), remedy));
        }
        self.senders.mistakes(&mut all);
        self.spam.mistakes(&mut all);
        self.fetch.mistakes(&mut all);
        if self.web.public_url.as_deref().is_some_and(|url| host_of(url).is_none()) {
            let remedy = "write it as \"https://mail.example.org\"";
            all.push(Finding::new("web.public_url", "is not a web address", remedy));
        }
        if let Err(error) = EnvFilter::try_new(&self.log.level) {
            let remedy = "write \"info\", or a filter such as \"info,imap=debug\"";
            all.push(Finding::new("log.level", format!("is wrong: {error}"), remedy));
        }
        let mut taken: HashMap<SocketAddr, &str> = HashMap::new();
        for (row, addresses) in self.listen.all() {
            for address in addresses {
                if address.port() == 0 {
                    continue;
                }
                if let Some(other) = taken.insert(*address, row.name) {
                    let message = format!("uses {address}, which listen.{other} also uses");
                    all.push(Finding::new(
                        format!("listen.{}", row.name),
                        message,
                        "give each listener its own address",
                    ));
                }
            }
        }
        for (number, archive) in self.archive.iter().enumerate() {
            let again = self.archive[..number].iter().any(|other| other.name() == archive.name());
            let again = again
                .then(|| ("name", "is also the name of another archive".to_owned(), "give each archive its own name"));
            if let Some((key, message, remedy)) = archive.check().or(again) {
                let finding = Finding::new(format!("archive.{key}"), message, remedy);
                all.push(Finding { archive: Some(number), ..finding });
            }
        }
        all
    }

    fn certificate_mistakes(&self, all: &mut Vec<Finding>) {
        let (certificate, key) = match (&self.tls.certificate, &self.tls.key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => return all.push(Finding::new("tls.certificate", "has no key", "add tls.key")),
            (None, Some(_)) => {
                return all.push(Finding::new("tls.key", "has no certificate", "add tls.certificate"));
            }
            (None, None) => return,
        };
        let mut readable = true;
        for (name, file) in [("tls.certificate", certificate), ("tls.key", key)] {
            if let Some(why) = unreadable(file) {
                all.push(Finding::new(name, why, READABLE));
                readable = false;
            }
        }
        if readable && let Err(error) = Tls::from_pem(certificate, key) {
            let remedy = "write the full chain as PEM, the server's own certificate first, and its key";
            all.push(Finding::new("tls.certificate", format!("can't be used: {error}"), remedy));
        }
    }

    fn acme_mistakes(&self, all: &mut Vec<Finding>) {
        let Some(settings) = &self.tls.acme.settings else { return };
        let mut wrong = |key: &str, message: String, remedy: &str| {
            all.push(Finding::new(format!("tls.acme{key}"), message, remedy));
        };
        if self.tls.certificate.is_some() || self.tls.key.is_some() {
            let remedy = "remove tls.certificate and tls.key, or tls.acme";
            wrong("", "is set, and tls.certificate too".to_owned(), remedy);
        }
        if !settings.agree_to_terms {
            let remedy = "read the authority's terms, then set it to true";
            wrong(".agree_to_terms", "is false: the authority issues nothing without".to_owned(), remedy);
        }
        if !settings.directory.starts_with("https://") || host_of(&settings.directory).is_none() {
            wrong(".directory", "is not an https address".to_owned(), "remove it to use Let's Encrypt");
        }
        let is_address = |text: &&String| mailkit::EmailAddress::parse(text).is_ok();
        if let Some(contact) = settings.contact.iter().find(|text| !is_address(text)) {
            wrong(".contact", format!("has \"{contact}\", which is not a mail address"), "write [\"you@example.org\"]");
        }
        let proofs = settings.proofs(&self.listen);
        if proofs.contains(&certificates::Proof::Dns01) && settings.dns_hook.is_none() {
            wrong(".challenge", "is \"dns-01\" without a command".to_owned(), "add tls.acme.dns_hook");
        }
        for (proof, listener, is_off) in [
            (certificates::Proof::Http01, "http", self.listen.http.is_empty()),
            (certificates::Proof::TlsAlpn01, "https", self.listen.https.is_empty()),
        ] {
            if is_off && proofs == [proof] {
                let message = format!("is \"{}\", but listen.{listener} is off", proof.name());
                wrong(".challenge", message, "add the listener, or use another challenge");
            }
        }
        if proofs.is_empty() {
            let remedy = "add listen.http = [\"0.0.0.0:80\"] or listen.https = [\"0.0.0.0:443\"]";
            wrong("", "can't prove anything: there is no web listener".to_owned(), remedy);
        }
        for (key, file) in [
            (".ca_file", &settings.ca_file),
            (".dns_hook", &settings.dns_hook),
            (".external_account_key_file", &settings.external_account_key_file),
        ] {
            if let Some(why) = file.as_deref().and_then(unreadable) {
                wrong(key, why, READABLE);
            }
        }
        match (&settings.external_account_id, &settings.external_account_key_file) {
            (Some(_), None) => {
                wrong(".external_account_id", "has no key".to_owned(), "add tls.acme.external_account_key_file");
            }
            (None, Some(_)) => {
                wrong(".external_account_key_file", "has no id".to_owned(), "add tls.acme.external_account_id");
            }
            (Some(_), Some(file)) if unreadable(file).is_none() => {
                if let Err(error) = super::external_key::external_key(file) {
                    let remedy = "write the key as the authority shows it";
                    wrong(".external_account_key_file", format!("can't be used: {error:#}"), remedy);
                }
            }
            _ => {}
        }
    }

    fn limit_mistakes(&self, all: &mut Vec<Finding>) {
        if self.limits.message_size.0 < 64 * 1024 {
            let remedy = "RFC 5321 requires at least 64 KiB; use \"50 MiB\"";
            all.push(Finding::new("limits.message_size", "is below 64 KiB", remedy));
        }
        if self.store.reserve < LEAST_RESERVE {
            let remedy = "the index needs some space to continue: use at least \"32 MiB\"";
            all.push(Finding::new("store.reserve", "is below 32 MiB", remedy));
        }
        for (key, span) in [
            ("limits.client_patience", self.limits.client_patience),
            ("limits.request_header_patience", self.limits.request_header_patience),
        ] {
            if span.0.is_zero() {
                all.push(Finding::new(key, "is zero", "remove it to use the default"));
            }
        }
        for (key, count) in [
            ("limits.connections", self.limits.connections),
            ("limits.connections_per_address", self.limits.connections_per_address),
            ("limits.logins_waiting", self.limits.logins_waiting),
            ("delivery.connections", self.delivery.connections),
            ("delivery.connections_per_destination", self.delivery.connections_per_destination),
        ] {
            if count == 0 {
                all.push(Finding::new(key, "is zero", "remove it to use the default"));
            }
        }
    }

    fn sending_mistakes(&self, all: &mut Vec<Finding>) {
        self.hooks.mistakes(all);
        self.relay.mistakes(all);
        for (key, text) in self.incoming.wrong_networks() {
            let message = format!("has \"{text}\", which is not a network");
            let remedy = "write an address, or a network such as \"192.0.2.0/24\"";
            all.push(Finding::new(key, message, remedy));
        }
        if !(1..=100).contains(&self.sending.at_first) {
            let remedy = "write the share of the limits that a new account has, from 1 to 100";
            all.push(Finding::new("sending.at_first", "is not between 1 and 100", remedy));
        }
    }

    fn delivery_mistakes(&self, all: &mut Vec<Finding>) {
        let delivery = &self.delivery;
        for (domain, target) in &delivery.routes {
            if !is_host_and_port(target) {
                let key = format!("delivery.routes.{domain}");
                all.push(Finding::new(key, "is not host:port", "write it as \"mx.example.org:25\""));
            }
        }
        for (domain, exception) in &delivery.tls_exceptions {
            if let Err(why) = exception.ends_ms() {
                let key = format!("delivery.tls_exceptions.{domain}.until");
                all.push(Finding::new(key, why, "write it as \"2026-12-31\""));
            }
            if exception.reason.trim().is_empty() {
                let key = format!("delivery.tls_exceptions.{domain}.reason");
                all.push(Finding::new(key, "is empty", "say why mail to the domain may be less secure"));
            }
        }
        if let Some(why) = delivery.authorities.as_deref().and_then(unreadable) {
            all.push(Finding::new("delivery.authorities", why, READABLE));
        }
        if delivery.smarthost.as_deref().is_some_and(|host| !is_host_and_port(host)) {
            let remedy = "write it as \"mail.example.org:587\"";
            all.push(Finding::new("delivery.smarthost", "is not host:port", remedy));
        }
        match (&delivery.smarthost_user, &delivery.smarthost_password_file) {
            (Some(_), None) => {
                let remedy = "add delivery.smarthost_password_file";
                all.push(Finding::new("delivery.smarthost_user", "has no password", remedy));
            }
            (None, Some(_)) => {
                let remedy = "add delivery.smarthost_user";
                all.push(Finding::new("delivery.smarthost_password_file", "has no user", remedy));
            }
            (_, Some(file)) => {
                if let Some(why) = unreadable(file) {
                    all.push(Finding::new("delivery.smarthost_password_file", why, READABLE));
                }
            }
            (None, None) => {}
        }
    }

    /// Warnings about settings that are allowed but rarely intended. `now` is in seconds since 1970.
    pub fn doubts(&self, now: i64) -> Vec<Finding> {
        let mut all = Vec::new();
        let listen = &self.listen;
        let public =
            |addresses: &[SocketAddr]| addresses.iter().any(|address| !address.ip().to_canonical().is_loopback());
        let takes_logins = listen.all().any(|(row, addresses)| row.has_logins() && public(addresses));
        let is_public = takes_logins || public(&listen.https);
        if (public(&listen.smtp) || is_public) && !self.hostname.contains('.') {
            let message = format!("is \"{}\", which other servers can't find", self.hostname);
            all.push(Finding::new("hostname", message, "write the name your MX record points to"));
        }
        if let Some(domain) = self.one_top_level_domain() {
            let message = format!("has only names under \"{domain}\": if that fails, all of them do");
            all.push(Finding::new("also_known_as", message, "add a name under another top-level domain"));
        }
        if self.tls.acme.settings.is_some()
            && certificates::groups(std::slice::from_ref(&self.hostname), &[]).is_empty()
        {
            let message = format!("is \"{}\", which no authority gives a certificate for", self.hostname);
            all.push(Finding::new("hostname", message, "write the public name of this server"));
        }
        match self.certificate() {
            Some(certificate) => all.extend(certificate_doubts(self, &certificate, now)),
            None if is_public && self.tls.certificate.is_none() && self.tls.acme.settings.is_none() => {
                all.push(Finding::new(
                    "tls.certificate",
                    "is not set, but other machines can connect: mail apps don't trust the self-signed certificate",
                    "add acme = true to [tls]: see `holdfast help certificates`",
                ));
            }
            None => {}
        }
        if self.limits.plaintext_logins == PlaintextLogins::Always && takes_logins {
            let message = "allows passwords to be sent over the network in plain text";
            all.push(Finding::new("limits.plaintext_logins", message, "remove it"));
        }
        if public(&listen.http) && self.web.trusted_proxies.is_empty() && !self.sends_to_tls() {
            let message = "is open to other machines, so passwords are sent over the network in plain text";
            let remedy = "use listen.https, or name the proxy that terminates TLS in web.trusted_proxies";
            all.push(Finding::new("listen.http", message, remedy));
        }
        if public(&listen.smtp) && self.limits.default_quota.0 == 0 {
            let message = "is unlimited, so mail to one account can fill the disk";
            let remedy = "write the space that a new account gets, such as \"10 GB\"";
            all.push(Finding::new("limits.default_quota", message, remedy));
        }
        if public(&listen.lmtp) {
            let message = "is open to other machines and accepts any mail without a login";
            all.push(Finding::new("listen.lmtp", message, "listen on 127.0.0.1"));
        }
        self.secrets_doubts(&mut all);
        for (domain, exception) in &self.delivery.tls_exceptions {
            if exception.ends_ms().is_ok_and(|ends| ends.is_some_and(|ends_ms| ends_ms / 1_000 <= now)) {
                let key = format!("delivery.tls_exceptions.{domain}");
                all.push(Finding::new(key, "is over", "remove it, or set another end"));
            }
        }
        if self.standby.mode == StandbyMode::Sync && listen.standby.is_empty() {
            let message = "is \"sync\", which has no effect because no standby can connect";
            all.push(Finding::new("standby.mode", message, "add listen.standby"));
        }
        if self.data_dir.is_relative() {
            let message =
                format!("is \"{}\", a relative path that depends on the current folder", self.data_dir.display());
            all.push(Finding::new("data_dir", message, "write an absolute path, such as \"/var/lib/holdfast\""));
        }
        all
    }

    fn secrets_doubts(&self, all: &mut Vec<Finding>) {
        let Some(source) = self.secrets.source() else { return };
        if let directory::Keys::Unusable(why) = crate::secrets::keys(&self.secrets) {
            let remedy = "correct it: until then new secrets are refused, and sealed ones can't be opened";
            all.push(Finding::new("secrets.key_file", format!("can't be used: {why}"), remedy));
        }
        if source.path.starts_with(&self.data_dir) {
            let message = "is in the data folder: a copy of the folder has the key too";
            all.push(Finding::new("secrets.key_file", message, "move it out of the data folder"));
        }
    }

    /// The top-level domain that all of several names are under.
    fn one_top_level_domain(&self) -> Option<String> {
        let top = |name: &String| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name.rsplit_once('.').map(|(_, top)| top.to_owned())
        };
        let first = top(&self.hostname)?;
        let all = &self.also_known_as;
        (!all.is_empty() && all.iter().all(|name| top(name).as_ref() == Some(&first))).then_some(first)
    }

    /// Whether people who come without TLS are sent to the listener with it: there is one, and its certificate is cared for.
    pub fn sends_to_tls(&self) -> bool {
        self.tls.acme.settings.is_some() && !self.listen.https.is_empty() && self.web.trusted_proxies.is_empty()
    }

    /// The configured certificate, where it can be read.
    fn certificate(&self) -> Option<std::sync::Arc<Certificate>> {
        let (Some(certificate), Some(key)) = (&self.tls.certificate, &self.tls.key) else { return None };
        Some(Tls::from_pem(certificate, key).ok()?.certificate())
    }
}

/// Problems of a certificate that can still be used.
fn certificate_doubts(config: &Config, certificate: &Certificate, now: i64) -> Vec<Finding> {
    let mut all = Vec::new();
    if let Some(message) = ends(certificate, now) {
        all.push(Finding::new(
            "tls.certificate",
            message,
            "renew it, then reload the service: `holdfast help certificates Renew`",
        ));
    }
    let web = config.web.public_url.as_deref().filter(|url| url.starts_with("https://")).and_then(host_of);
    let mut wanted = vec![config.hostname.as_str()];
    wanted.extend(web.filter(|host| *host != config.hostname && !config.listen.https.is_empty()));
    for name in wanted.into_iter().filter(|name| !certificate.covers(name)) {
        let message = format!("is not for {name}, only for {}", certificate.names.join(", "));
        all.push(Finding::new("tls.certificate", message, format!("get a certificate that includes {name}")));
    }
    all
}

/// Why a certificate is not good now, or not for long.
pub fn ends(certificate: &Certificate, now: i64) -> Option<String> {
    let day = |at: i64| {
        jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.strftime("%Y-%m-%d").to_string())
    };
    let (begin, end) = (certificate.not_before, certificate.not_after);
    if now >= end {
        Some(format!("expired on {}: clients refuse it", day(end)))
    } else if now < begin {
        Some(format!("is not valid before {}: clients refuse it until then", day(begin)))
    } else if end - now < CERTIFICATE_DAYS_LEFT * DAY {
        Some(format!("expires on {}, in {} days", day(end), (end - now) / DAY))
    } else {
        None
    }
}

/// Why a path can't be a folder of ours.
fn no_folder(path: &Path) -> Option<String> {
    let there = path.ancestors().find(|above| above.as_os_str().is_empty() || above.exists())?;
    if !there.as_os_str().is_empty() && !there.is_dir() {
        return Some(if there == path {
            format!("is {}, which is not a folder", path.display())
        } else {
            format!("is below {}, which is not a folder", there.display())
        });
    }
    None
}

const READABLE: &str = "correct the path, or let the service's user read the file";

fn unreadable(file: &Path) -> Option<String> {
    let error = std::fs::File::open(file).err()?;
    Some(format!("cannot be read: {}: {error}", file.display()))
}

fn is_host(text: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']');
    !text.is_empty() && text.len() <= 253 && text.chars().all(fits)
}

/// The host of a web address.
pub fn host_of(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => authority.split(':').next()?,
    };
    (is_host(host) || host.parse::<IpAddr>().is_ok()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    fn keys(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.key.as_str()).collect()
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let wrong = config(
            "hostname = \"two words\"\n[limits]\nconnections = 0\n[delivery]\nsmarthost = \"here\"\nsmarthost_user = \"me\"\n\
             [web]\npublic_url = \"mail.example.org\"\n[log]\nlevel = \"in=fo=x\"\n",
        );
        let expected = [
            "hostname",
            "limits.connections",
            "delivery.smarthost",
            "delivery.smarthost_user",
            "web.public_url",
            "log.level",
        ];
        assert_eq!(keys(&wrong.mistakes()), expected);
    }

    #[test]
    fn a_limit_that_lets_nothing_through_is_a_mistake() {
        for (text, key) in [
            ("[store]\nreserve = \"0 B\"\n", "store.reserve"),
            ("[store]\nreserve = \"31 MiB\"\n", "store.reserve"),
            ("[limits]\nclient_patience = \"0 s\"\n", "limits.client_patience"),
            ("[limits]\nrequest_header_patience = \"0 s\"\n", "limits.request_header_patience"),
            ("[limits]\nlogins_waiting = 0\n", "limits.logins_waiting"),
            ("[dns]\nservers = [\"192.0.2.1\", \"dns.example\"]\n", "dns.servers"),
            ("[dns]\nservers = [\"192.0.2.1:port\"]\n", "dns.servers"),
            ("[domains]\nrelays = [\"192.0.2.1\"]\n", "domains.relays"),
            ("[domains]\nrelays = [\"a b\"]\n", "domains.relays"),
        ] {
            assert_eq!(keys(&config(text).mistakes()), [key], "{text}");
        }
        assert_eq!(config("[store]\nreserve = \"32 MiB\"\n").mistakes(), []);
        assert_eq!(config("[dns]\nservers = [\"::1\", \"192.0.2.1\", \"[::1]:5353\"]\n").mistakes(), []);
    }

    #[test]
    fn two_doors_on_one_address_are_named() {
        let found = config("[listen]\nimap = [\"127.0.0.1:1143\"]\npop3 = [\"127.0.0.1:1143\"]\n").mistakes();
        assert_eq!(keys(&found), ["listen.pop3"]);
        assert!(found[0].message.contains("listen.imap"), "{found:?}");
        let any = config("[listen]\nimap = [\"127.0.0.1:0\"]\npop3 = [\"127.0.0.1:0\"]\n");
        assert_eq!(any.mistakes(), []);
    }

    #[test]
    fn a_key_of_another_certificate_is_a_mistake() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        for dir in [&one, &other] {
            Tls::self_signed(dir, &["mail.example.org".to_owned()]).unwrap();
        }
        let of = |key: &Path| {
            let (certificate, key) = (one.join("certificate.pem"), key.join("key.pem"));
            config(&format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display()))
        };
        assert_eq!(of(&one).mistakes(), []);
        let found = of(&other).mistakes();
        assert_eq!(keys(&found), ["tls.certificate"]);
        assert!(found[0].message.contains("is not the key of"), "{found:?}");
        let doubts =
            Config { hostname: "mx.example.org".to_owned(), data_dir: "/x".into(), ..of(&one) }.doubts(1_800_000_000);
        assert_eq!(keys(&doubts), ["tls.certificate"]);
        assert!(doubts[0].message.contains("is not for mx.example.org"), "{doubts:?}");
    }

    #[test]
    fn a_certificate_says_when_it_ends() {
        let made = |from, to| Certificate {
            names: Vec::new(),
            issuer: String::new(),
            self_signed: true,
            not_before: from,
            not_after: to,
            key_sha256: [0; 32],
        };
        assert_eq!(ends(&made(0, 100 * DAY), 50 * DAY), None);
        assert!(ends(&made(0, 60 * DAY), 50 * DAY).unwrap().contains("in 10 days"));
        assert!(ends(&made(0, 40 * DAY), 50 * DAY).unwrap().contains("expired on 1970-02-10"));
        assert!(ends(&made(60 * DAY, 90 * DAY), 50 * DAY).unwrap().contains("not valid before"));
    }

    #[test]
    fn what_is_open_to_the_world_is_looked_at_twice() {
        let open = config(
            "data_dir = \"/var/lib/holdfast\"\n[listen]\nsmtp = [\"0.0.0.0:25\"]\nimap = [\"0.0.0.0:143\"]\n\
             http = [\"0.0.0.0:80\"]\nlmtp = [\"[::]:24\"]\n[limits]\nplaintext_logins = \"always\"\n[standby]\nmode = \"sync\"\n",
        );
        let expected = [
            "hostname",
            "tls.certificate",
            "limits.plaintext_logins",
            "listen.http",
            "limits.default_quota",
            "listen.lmtp",
            "standby.mode",
        ];
        assert_eq!(keys(&open.doubts(0)), expected);
        let local = Config { data_dir: "/var/lib/holdfast".into(), ..Config::default() };
        assert_eq!(local.doubts(0), [], "this machine only");
        assert_eq!(keys(&Config::default().doubts(0)), ["data_dir"]);
    }

    #[test]
    fn names_under_one_top_level_domain_are_doubted() {
        let keys_of = |others: &str| {
            let text = format!("data_dir = \"/x\"\nhostname = \"mail.example.org\"\nalso_known_as = {others}\n");
            keys(&config(&text).doubts(0)).iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(keys_of("[]"), Vec::<String>::new());
        assert_eq!(keys_of("[\"mail.example.net\"]"), Vec::<String>::new());
        assert_eq!(keys_of("[\"mail2.example.ORG.\", \"a.org\"]"), ["also_known_as"]);
        assert_eq!(keys_of("[\"mail2.example.org\", \"mail.example.net\"]"), Vec::<String>::new());
        assert_eq!(keys(&config("also_known_as = [\"two words\"]\n").mistakes()), ["also_known_as"]);
    }

    #[test]
    fn mistakes_of_certificates_that_are_obtained_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, "not base64!").unwrap();
        for (text, expected) in [
            ("[tls]\nacme = true\n", vec![]),
            ("[tls.acme]\nagree_to_terms = false\n", vec!["tls.acme.agree_to_terms"]),
            ("[tls.acme]\ndirectory = \"http://ca.example/dir\"\n", vec!["tls.acme.directory"]),
            ("[tls.acme]\ncontact = [\"nobody\"]\n", vec!["tls.acme.contact"]),
            ("[tls.acme]\nchallenge = \"dns-01\"\n", vec!["tls.acme.challenge"]),
            ("[listen]\nhttps = []\n[tls.acme]\nchallenge = \"tls-alpn-01\"\n", vec!["tls.acme.challenge"]),
            ("[listen]\nhttps = []\nhttp = []\n[tls]\nacme = true\n", vec!["tls.acme"]),
            ("[tls.acme]\nca_file = \"/nowhere\"\n", vec!["tls.acme.ca_file"]),
            ("[tls.acme]\nexternal_account_id = \"a\"\n", vec!["tls.acme.external_account_id"]),
            (
                &format!(
                    "[tls.acme]\nexternal_account_id = \"a\"\nexternal_account_key_file = \"{}\"\n",
                    key.display()
                ),
                vec!["tls.acme.external_account_key_file"],
            ),
        ] {
            assert_eq!(keys(&config(text).mistakes()), expected, "{text}");
        }
    }

    #[test]
    fn web_addresses_have_a_host() {
        assert_eq!(host_of("https://mail.example.org:8443/x"), Some("mail.example.org"));
        assert_eq!(host_of("http://[::1]:8080"), Some("::1"));
        for wrong in ["mail.example.org", "ftp://x", "https://", "https:///x", "https://a b"] {
            assert_eq!(host_of(wrong), None, "{wrong}");
        }
    }
}
