//! The services of one data folder, opened once and shared by listeners and commands.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use anyhow::{Context as _, bail};
use continuity::{
    rewind::Rewinds,
    stage::{Stage, Stages},
};
use delivery::{Authors, Credentials, DaneUse, DeliveryOptions, NextHop, Smarthost, TlsException, TlsPolicy, Unsigned};
use directory::{AccountId, AdmissionLimits, DirectoryOptions, Remember, SecretsReport};
use dnskit::Resolver;
use filter::spam::Spam;
use inbound::address::AddressJudge;
use inbound::forwarding::ForwardingJudge;
use inbound::reports::{Daily, ReportJudge};
use inbound::rules::RulesJudge;
use inbound::sender::{DnsPatience, SenderCheck, SenderOptions};
use inbound::spam::{DnsLists, Greylist, SpamJudge};
use mailstore::{MailError, MailStore};
use parking_lot::Mutex;
use reports::Reports;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use store::{Store, StoreOptions};

use crate::{
    config::{Config, Dane, HeaderFrom, UnsignedMail},
    dns,
    failure::Code,
    listeners::Protocol,
    parts::parts,
    secrets,
};

/// How often a service that is coming back is looked at.
const WHILE_COMING_BACK: Duration = Duration::from_millis(500);

/// Store and domain services: what is configured, not what runs (see [`crate::running`]). Opening takes the folder's lock; only one process can.
pub struct Services {
    pub config: Config,
    pub store: Store,
    pub directory: directory::Directory,
    pub mailstore: MailStore,
    pub people: people::People,
    pub index: Arc<search::Index>,
    pub spam: Spam,
    pub rules: rules::Rules,
    /// The DNS lists that are asked about networks.
    pub dns_lists: DnsLists,
    /// What others report about domains here, and what is to be reported to them.
    pub reports: Reports,
    /// Reports to others.
    pub daily_reports: Daily,
    pub delivery: delivery::Delivery,
    /// Mail from accounts elsewhere.
    pub fetching: fetching::Fetching,
    pub stages: Stages,
    /// Counts what strangers give, at all listeners.
    pub intake: smtp::Intake,
    /// The stored secrets as they were looked at last.
    pub secrets: Mutex<Option<SecretsReport>>,
    /// The log was fetched from others when the service started: what else is damaged is not known yet, and where the
    /// archive has each message isn't either.
    pub log_was_fetched: AtomicBool,
    /// How long messages wait for the DNS, and whether it answers.
    pub dns_patience: DnsPatience,
    /// Asks the DNS, with a memory that all share.
    pub resolver: Arc<dyn Resolver>,
}

/// How the configuration has the store opened.
pub fn store_options(config: &Config) -> StoreOptions {
    StoreOptions {
        retention: config.store.retention.0,
        cache_bytes: config.store.cache.0,
        derive: Some(parts().derive()),
        reserve_bytes: config.store.reserve.0,
        ..StoreOptions::default()
    }
}

/// The error for a folder without data.
const NO_DATA: &str = "no data folder found; name the service's data folder with --config FILE or --data-dir DIR";

/// # Errors
/// There is no service's data in a folder.
pub fn check_has_data(dir: &Path) -> anyhow::Result<()> {
    if has_data(dir) { Ok(()) } else { Err(Code::NoData.error(format!("{}: {NO_DATA}", dir.display()))) }
}

/// Whether a folder has a service's data, complete or not; if that can't be checked, opening it reports the error.
pub fn has_data(dir: &Path) -> bool {
    ["format", "log"].iter().any(|part| dir.join(part).try_exists().unwrap_or(true))
}

impl Services {
    /// Opens the data folder; creates it if it doesn't exist.
    pub fn open(config: Config) -> anyhow::Result<Self> {
        let dir = &config.data_dir;
        let store =
            Store::open(dir, store_options(&config)).with_context(|| format!("data folder {}", dir.display()))?;
        Self::on(config, store)
    }

    /// The checks of accounts.
    pub fn selfcheck(&self) -> selfcheck::Selfcheck {
        selfcheck::Selfcheck::new(selfcheck::Parts {
            directory: self.directory.clone(),
            mailstore: self.mailstore.clone(),
            people: self.people.clone(),
            rules: self.rules.clone(),
            spam: self.spam.clone(),
            delivery: self.delivery.clone(),
            index: Some(self.index.clone()),
        })
    }

    /// The services on a store that is open.
    pub fn on(config: Config, store: Store) -> anyhow::Result<Self> {
        let dir = &config.data_dir;
        let directory = directory::Directory::new(store.clone(), directory_options(&config, &store))?;
        let quotas = directory.clone();
        let mailstore = MailStore::with_quota_limit(
            store.clone(),
            Arc::new(move |realm| quotas.quota_limit(AccountId(realm.account_number()?))),
        );
        let index = search::Index::new(store.clone());
        mailstore.narrow_by(index.clone());
        let people = people::People::new(store.clone());
        let spam = Spam::new(store.clone());
        let rules = rules::Rules::new(store.clone());
        let options = delivery_options(&config)?;
        let resolver = dns::resolver(&config);
        let dns_lists = DnsLists::new(Arc::clone(&resolver), &config.spam.dns_lists, &trusted_networks(&config)?);
        let filter = SpamJudge::new(spam.clone(), mailstore.clone(), people.clone()).asking(dns_lists.clone());
        let greylist = greylist(&config)?;
        let filter = greylist.into_iter().fold(filter, SpamJudge::greylisting);
        let dns_patience = DnsPatience::new(config.senders.dns_patience.0);
        let senders = sender_check(&config, dns_patience.clone(), &resolver, &directory, &mailstore)?;
        let script =
            RulesJudge::new(rules.clone(), directory.clone(), mailstore.clone(), people.clone(), &config.hostname);
        let address = AddressJudge::new(directory.clone(), mailstore.clone());
        let reports = Reports::new(store.clone());
        let counting = config.reports.send_dmarc.then(|| Arc::clone(reports.observed()));
        let senders = counting.into_iter().fold(senders, SenderCheck::counting);
        let known = ReportJudge::new(config.hostname.clone(), directory.clone(), Arc::clone(&resolver));
        let judges = judges(&config, senders, known, (filter, script, address), &store);
        let asked = resolver.clone();
        let delivery =
            delivery::Delivery::with_resolver(store.clone(), directory.clone(), mailstore.clone(), options, asked)?
                .with_judges(judges)?;
        let delivery = with_validating(delivery, &config)?;
        let stages = Stages::open(dir)?;
        let fetching = fetching::Fetching::new(
            fetching::Services {
                store: store.clone(),
                directory: directory.clone(),
                mailstore: mailstore.clone(),
                delivery: delivery.clone(),
                resolver: Arc::clone(&resolver),
            },
            config.fetch.policy(config.limits.message_size.0),
        )?;
        Ok(Self {
            daily_reports: Daily::new(reports.clone(), delivery.clone(), directory.clone(), resolver.clone()),
            reports,
            people,
            fetching,
            index,
            spam,
            rules,
            dns_lists,
            store,
            directory,
            mailstore,
            delivery,
            stages,
            intake: smtp::Intake::new(config.incoming.limits()),
            secrets: Mutex::default(),
            log_was_fetched: AtomicBool::new(false),
            dns_patience,
            resolver,
            config,
        })
    }

    /// Waits until the service is open and nothing is restored behind it any more.
    pub async fn until_open(&self) {
        while self.stages.now().stage < Stage::Open || self.store.is_partial() {
            tokio::time::sleep(WHILE_COMING_BACK).await;
        }
    }

    /// # Errors
    /// When the store is still being restored.
    pub fn check_whole(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.store.is_partial(),
            "the restore is not finished: see `holdfast stage show`, and try again when it is"
        );
        Ok(())
    }

    /// Takes accounts back to earlier times.
    pub fn rewinds(&self) -> Rewinds {
        Rewinds::new(self.store.clone(), self.mailstore.clone(), parts())
    }

    /// Writes everything out and gives the folder back.
    pub fn close(&self) {
        self.directory.keep_remembered();
        self.store.close();
    }

    /// The same for a command that did not look the folder through: after a crash the service still begins in `checks`.
    pub fn leave(&self) {
        self.directory.keep_remembered();
        self.store.leave();
    }
}

/// What looks at each message before it is accepted, in this order.
fn judges(
    config: &Config,
    senders: SenderCheck,
    reports: ReportJudge,
    (spam, rules, address): (SpamJudge, RulesJudge, AddressJudge),
    store: &Store,
) -> Vec<Arc<dyn delivery::Judge>> {
    let mut judges: Vec<Arc<dyn delivery::Judge>> = vec![Arc::new(senders)];
    judges.extend(config.hooks.judges(&config.hostname));
    judges.push(Arc::new(reports));
    judges.push(Arc::new(spam));
    judges.push(Arc::new(rules));
    judges.push(Arc::new(address));
    // The last: it goes by what the others have decided.
    judges.push(Arc::new(ForwardingJudge::new(config.hostname.clone(), store.clone())));
    judges
}

/// How accounts are kept.
fn directory_options(config: &Config, store: &Store) -> DirectoryOptions {
    // The standard mailboxes are created in the commit that creates the account.
    let standard = MailStore::new(store.clone());
    let on_create: directory::OnCreate = Arc::new(move |tx, account| {
        standard.create_standard_mailboxes_in(tx, account.realm()).map_err(MailError::into_store_error)
    });
    DirectoryOptions {
        hostname: config.hostname.clone(),
        on_create: Some(on_create),
        admission: AdmissionLimits {
            at_once: match config.limits.password_checks {
                0 => AdmissionLimits::default().at_once,
                some => some,
            },
            waiting: config.limits.logins_waiting,
            patience: config.limits.login_patience.0,
        },
        keys: Arc::new(secrets::keys(&config.secrets)),
        remember: Remember {
            period: config.limits.remember_logins.0,
            file: Some(config.data_dir.join("logins")),
            ..Remember::default()
        },
        own_addresses: directory::OwnAddresses {
            aliases: config.limits.own_aliases,
            masked: config.limits.masked_addresses,
        },
        ..DirectoryOptions::default()
    }
}

/// How senders are checked.
fn sender_check(
    config: &Config,
    patience: DnsPatience,
    resolver: &Arc<dyn Resolver>,
    directory: &directory::Directory,
    mailstore: &MailStore,
) -> anyhow::Result<SenderCheck> {
    let settings = &config.senders;
    let options = SenderOptions {
        hostname: config.hostname.clone(),
        dmarc: settings.dmarc.into(),
        own_domains: settings.own_domains.into(),
        trusted_networks: trusted_networks(config)?,
        trusted_sealers: settings.trusted_sealers.clone(),
        patience,
    };
    Ok(SenderCheck::new(options, Arc::clone(resolver), directory.clone(), mailstore.clone()))
}

/// The networks whose mail is not checked.
fn trusted_networks(config: &Config) -> anyhow::Result<Vec<doorkit::Network>> {
    let networks = config.senders.trusted_networks.iter().map(|network| network.trim().parse());
    // A backup MX is no sender: its client is checked, where it says who that was.
    Ok(networks.chain(config.incoming.backups().map(Ok)).collect::<Result<_, _>>()?)
}

/// Who is asked to try again; `None` if nobody is.
fn greylist(config: &Config) -> anyhow::Result<Option<Greylist>> {
    let trusted = trusted_networks(config)?;
    Ok(config.spam.greylisting.then(|| Greylist::new(config.spam.greylist_for.0, &trusted)))
}

/// How the configuration has mail delivered.
pub fn delivery_options(config: &Config) -> anyhow::Result<DeliveryOptions> {
    let settings = &config.delivery;
    let listen = &config.listen;
    let smarthost = match &settings.smarthost {
        None => None,
        Some(target) => {
            let credentials = credentials(config)?;
            let hop = next_hop(target)?;
            let tls = match (hop.implicit_tls, credentials.is_some()) {
                (_, true) => TlsPolicy::Verify,
                (_, false) => TlsPolicy::Opportunistic,
            };
            Some(Smarthost { hop, tls, credentials })
        }
    };
    let mut static_routes = BTreeMap::new();
    for (domain, target) in &settings.routes {
        static_routes.insert(domain.to_ascii_lowercase(), next_hop(target)?);
    }
    Ok(DeliveryOptions {
        hostname: config.hostname.clone(),
        delay_warning: settings.warn_after.0,
        expiry: settings.give_up_after.0,
        max_concurrent: settings.connections,
        max_concurrent_backlog: (settings.connections * 3 / 4).max(1),
        max_per_destination: settings.connections_per_destination,
        allow_private_networks: settings.private_networks,
        authors: match settings.header_from {
            HeaderFrom::Own => Authors::Own,
            HeaderFrom::Foreign => Authors::Foreign,
            HeaderFrom::Any => Authors::Any,
        },
        unsigned: match settings.unsigned {
            UnsignedMail::Defer => Unsigned::Defer,
            UnsignedMail::Send => Unsigned::Send,
        },
        sending: config.sending.limits(),
        dane: match settings.dane {
            Dane::Off => DaneUse::Off,
            Dane::Opportunistic => DaneUse::Opportunistic,
            Dane::On => DaneUse::On,
        },
        mta_sts: settings.mta_sts,
        further_authorities: authorities(settings.authorities.as_deref())?,
        tls_exceptions: tls_exceptions(settings)?,
        max_message_bytes: config.limits.message_size.0,
        trust_lmtp_results: config.senders.trust_lmtp,
        smarthost,
        static_routes,
        own_addresses: listen
            .all()
            .filter(|(row, _)| matches!(row.protocol, Protocol::Smtp | Protocol::Submission))
            .flat_map(|(_, addresses)| addresses)
            .copied()
            .collect(),
        ..DeliveryOptions::default()
    })
}

/// Has DANE ask a resolver that proves its answers; without one there is no DANE, or no mail where it is demanded.
fn with_validating(delivery: delivery::Delivery, config: &Config) -> anyhow::Result<delivery::Delivery> {
    let demanded = delivery.options().dane == DaneUse::On;
    let resolver: Arc<dyn dnskit::Resolver> =
        match (delivery.options().dane, dnskit::ValidatingResolver::asking(&config.dns.addresses(), demanded)) {
            (DaneUse::Off, _) => return Ok(delivery),
            (_, Ok(resolver)) => Arc::new(resolver),
            (DaneUse::On, Err(error)) => Arc::new(dnskit::NoResolver(error)),
            (DaneUse::Opportunistic, Err(error)) => {
                tracing::info!(%error, "DANE is off: there is no DNS to validate");
                return Ok(delivery);
            }
        };
    Ok(delivery.with_validating(resolver)?)
}

fn authorities(file: Option<&Path>) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let read = CertificateDer::pem_file_iter(file).with_context(|| file.display().to_string())?;
    let found: Vec<_> = read.collect::<Result<_, _>>().with_context(|| file.display().to_string())?;
    anyhow::ensure!(!found.is_empty(), "{} has no certificate", file.display());
    Ok(found)
}

fn tls_exceptions(settings: &crate::config::Delivery) -> anyhow::Result<BTreeMap<String, TlsException>> {
    let one = |(domain, exception): (&String, &crate::config::TlsException)| {
        let until_ms =
            exception.ends_ms().map_err(|why| anyhow::anyhow!("delivery.tls_exceptions.{domain}.until {why}"))?;
        let (reason, until) = (exception.reason.clone(), exception.until.clone());
        Ok((domain.to_ascii_lowercase(), TlsException { reason, until_ms, until }))
    };
    settings.tls_exceptions.iter().map(one).collect()
}

/// Where `host:port` is; port 465 is under TLS from the first byte.
pub fn next_hop(target: &str) -> anyhow::Result<NextHop> {
    let Some((host, port)) = target.rsplit_once(':') else { bail!("{target} is not host:port") };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port: u16 = port.parse().with_context(|| target.to_owned())?;
    let mut hop = NextHop::new(host, port);
    hop.implicit_tls = port == 465;
    Ok(hop)
}

fn credentials(config: &Config) -> anyhow::Result<Option<Credentials>> {
    let settings = &config.delivery;
    match (&settings.smarthost_user, &settings.smarthost_password_file) {
        (Some(user), Some(file)) => {
            let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
            let password = text.lines().next().unwrap_or_default().to_owned();
            Ok(Some(Credentials { username: user.clone(), password }))
        }
        (None, None) => Ok(None),
        (Some(_), None) => bail!("delivery.smarthost_user requires delivery.smarthost_password_file"),
        (None, Some(_)) => bail!("delivery.smarthost_password_file requires delivery.smarthost_user"),
    }
}
