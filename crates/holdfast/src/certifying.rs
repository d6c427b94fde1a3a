//! The certificates of this service: what its configuration says of them, put into words that `certificates` knows.

use std::net::IpAddr;

use anyhow::Context as _;
use certificates::{Certificates, ExternalAccount, Options};
use doorkit::{TicketKeys, Tls};

use crate::{
    config::{AcmeSettings, Config, external_key},
    services::Services,
};

/// The service's own names: the host name first, then its other names and the webmail's.
pub fn own_names(config: &Config) -> Vec<String> {
    let web =
        config.web.public_url.as_deref().filter(|url| url.starts_with("https://")).and_then(crate::config::host_of);
    let mut all: Vec<String> = vec![config.hostname.clone()];
    for name in config.also_known_as.iter().map(String::as_str).chain(web) {
        if !all.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            all.push(name.to_owned());
        }
    }
    all
}

/// The configured certificate, or the self-signed one in the data folder; TLS sessions survive the process.
pub fn own(config: &Config) -> anyhow::Result<Tls> {
    let tls = match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => Tls::from_pem(certificate, key)?,
        _ => {
            let mut names = vec![config.hostname.clone(), "localhost".to_owned(), "127.0.0.1".to_owned()];
            names.dedup();
            Tls::self_signed(&config.data_dir.join("tls"), &names)?
        }
    };
    // All clients reconnect after a restart: tickets save most of the work of handshakes.
    let service = std::path::absolute(&config.data_dir)?;
    Ok(tls.with_tickets(TicketKeys::kept_in(&TicketKeys::default_file(), service.as_os_str().as_encoded_bytes()))?)
}

/// The certificates of an authority, if they are configured.
///
/// # Errors
/// A file that is named in the configuration can't be used.
pub fn open(services: &Services, tls: &Tls) -> anyhow::Result<Option<Certificates>> {
    let config = &services.config;
    let Some(settings) = &config.tls.acme.settings else { return Ok(None) };
    let options = Options {
        authority: settings.directory.clone(),
        contact: settings.contact.iter().map(|address| format!("mailto:{address}")).collect(),
        ca_file: settings.ca_file.clone(),
        external_account: external_account(settings)?,
        proofs: settings.proofs(&config.listen),
        dns_hook: settings.dns_hook.clone(),
        own_names: own_names(config),
        ..Options::default()
    };
    let listening: Vec<IpAddr> =
        config.listen.all().flat_map(|(_, addresses)| addresses).map(std::net::SocketAddr::ip).collect();
    let resolver = services.resolver.clone();
    let opened = Certificates::open(services.directory.clone(), tls.clone(), resolver, listening, options);
    Ok(Some(opened.context("tls.acme")?))
}

fn external_account(settings: &AcmeSettings) -> anyhow::Result<Option<ExternalAccount>> {
    let (Some(id), Some(file)) = (&settings.external_account_id, &settings.external_account_key_file) else {
        return Ok(None);
    };
    let key = external_key(file).with_context(|| format!("tls.acme.external_account_key_file {}", file.display()))?;
    Ok(Some(ExternalAccount { id: id.clone(), key }))
}
