//! Binds all listeners, and the services behind them.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use continuity::stage::Stage;
use doorkit::{Conn, ListenOptions, Listener, Tls};
use imap::{ImapDoor, ImapOptions};
use managesieve::{ManageSieveDoor, ManageSieveOptions};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::RwLock;
use pop3::{Pop3Door, Pop3Options};
use smtp::{Role, SmtpDoor, SmtpOptions};
use tokio::{io::AsyncWriteExt as _, sync::watch};
use tokio_util::sync::CancellationToken;

use super::{challenge, http, stage};
use crate::{
    config::Config,
    help,
    listeners::{self, Kind, Protocol, Row},
    running::{OpenDoor, Running},
    services::Services,
    supervisor::{Phase, Supervisor},
};

/// How long sending a refusal to a client may take.
const REFUSAL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// A bound listener.
pub struct Door {
    pub row: &'static Row,
    pub address: SocketAddr,
    listener: Listener,
}

/// All bound listeners.
pub struct Bound {
    pub doors: Vec<Door>,
    /// The token of the setup page, while there is no account.
    pub setup_token: Option<String>,
    running: Arc<Running>,
    tls: Tls,
    metrics: PrometheusHandle,
}

/// Binds every configured address; all of them, or none.
pub fn bind(running: &Arc<Running>, tls: &Tls, metrics: &PrometheusHandle) -> anyhow::Result<Bound> {
    let services = &running.services;
    let mut doors = Vec::new();
    let mut refused = Vec::new();
    // Standbys and relays are connected by listeners of their own.
    let wanted = services
        .config
        .listen
        .all()
        .filter(|(row, _)| !matches!(row.kind, Kind::Standby | Kind::StandbyHttp | Kind::Relay));
    for (row, addresses) in wanted {
        for &address in addresses {
            let listener = match Listener::bind(address, options(row, &services.config)) {
                Ok(listener) => listener,
                Err(error) => {
                    refused.push(row.refused(address, &error));
                    continue;
                }
            };
            let address = listener.local_addr()?;
            doors.push(Door { row, address, listener });
        }
    }
    anyhow::ensure!(refused.is_empty(), "{}\n  {}", refused.join("\n"), listeners::REMEDY);
    let setup_token = if services.directory.first_run()? {
        let random: [u8; 16] = rand::random();
        Some(random.iter().map(|byte| format!("{byte:02x}")).collect())
    } else {
        None
    };
    Ok(Bound { doors, setup_token, running: running.clone(), tls: tls.clone(), metrics: metrics.clone() })
}

/// How a listener treats those who connect.
pub fn options(row: &'static Row, config: &Config) -> ListenOptions {
    let limits = &config.limits;
    ListenOptions {
        name: row.name,
        security: row.security,
        max_connections: limits.connections,
        max_per_network: limits.connections_per_address,
        // All clients connect through them.
        uncounted: if row.protocol == Protocol::Web { config.web.trusted_proxies.clone() } else { Vec::new() },
        busy: row.busy,
        grace: limits.shutdown_grace.0,
        gives_way: row.has_sessions(),
        patience: limits.client_patience.0,
        ..ListenOptions::default()
    }
}

impl Bound {
    /// The webmail's URL.
    pub fn web_url(&self) -> Option<String> {
        self.running.services.config.web.public_url.clone().or_else(|| {
            let door = self.doors.iter().find(|door| door.row.protocol == Protocol::Web)?;
            let (scheme, port) = (door.row.name, door.address.port());
            Some(match (door.address.ip().is_unspecified(), scheme, port) {
                (false, ..) => format!("{scheme}://{}", door.address),
                (true, "http", 80) | (true, "https", 443) => {
                    format!("{scheme}://{}", self.running.services.config.hostname)
                }
                (true, ..) => format!("{scheme}://{}:{port}", self.running.services.config.hostname),
            })
        })
    }

    /// Whether clients see a certificate that nobody vouches for.
    pub fn is_self_signed(&self) -> bool {
        self.tls.certificate().self_signed
    }

    /// The listeners, for the status.
    pub fn open_doors(&self) -> Vec<OpenDoor> {
        let open = |door: &Door| OpenDoor {
            name: door.row.name,
            address: door.address,
            connections: door.listener.connections(),
        };
        self.doors.iter().map(open).collect()
    }

    /// Serves all listeners until they are stopped.
    pub fn serve(self, supervisor: &mut Supervisor) {
        let Self { doors, setup_token, running, tls, metrics } = self;
        let shutdown = supervisor.stop_of(Phase::Sessions);
        let (line, announcement) = watch::channel(String::new());
        let servers = servers(&doors);
        let tls_port = doors.iter().find(|door| door.row.kind == Kind::Https).map(|door| door.address.port());
        let before = challenge::Before {
            certificates: running.certificates.get().cloned(),
            tls_port: tls_port.filter(|_| running.services.config.sends_to_tls()),
        };
        let site = Site::new(&running, &metrics, setup_token, servers, announcement, &shutdown).behind(before);
        let protocols = Arc::new(Protocols::new(running.services.clone(), tls.clone(), shutdown));
        supervisor.kept_up(Phase::Work, "announcement", {
            let running = running.clone();
            move |stop| {
                let (running, line) = (running.clone(), line.clone());
                async move {
                    stage::announce(running, line, stop).await;
                    Ok(())
                }
            }
        });
        supervisor.kept_up(Phase::Sessions, "stage", {
            let protocols = protocols.clone();
            move |stop| {
                let protocols = protocols.clone();
                async move {
                    protocols.switch(stop).await;
                    Ok(())
                }
            }
        });
        for Door { row, listener, .. } in doors {
            let (tls, site, protocols) = (tls.clone(), site.clone(), protocols.clone());
            supervisor.essential(Phase::Sessions, row.name, move |stop| async move {
                let serve = move |conn| {
                    let (site, protocols) = (site.clone(), protocols.clone());
                    async move {
                        match row.protocol {
                            Protocol::Web | Protocol::Machines => site.serve(row, conn).await,
                            _ => protocols.serve(row, conn).await,
                        }
                    }
                };
                listener.serve(tls, stop, serve).await;
                Ok(())
            });
        }
    }
}

/// The listeners for mail apps: the TLS listener of each kind, or else the one with STARTTLS.
fn servers(doors: &[Door]) -> Vec<web::Server> {
    let kinds = [
        ("IMAP (reading)", Kind::Imaps, Kind::Imap, "STARTTLS"),
        ("POP3 (fetching)", Kind::Pop3s, Kind::Pop3, "STLS"),
        ("SMTP (sending)", Kind::Submissions, Kind::Submission, "STARTTLS"),
        // It has no port that begins with TLS.
        ("ManageSieve (rules)", Kind::ManageSieve, Kind::ManageSieve, "STARTTLS"),
    ];
    let port = |kind| doors.iter().find(|door| door.row.kind == kind).map(|door| door.address.port());
    kinds
        .into_iter()
        .filter_map(|(what, tls, upgraded, how)| match (port(tls), port(upgraded)) {
            (Some(port), _) if tls != upgraded => Some(web::Server { what, port, security: "TLS" }),
            (_, Some(port)) => Some(web::Server { what, port, security: how }),
            (_, None) => None,
        })
        .collect()
}

/// How large files may be together so that they fit in a message of `limit` bytes: base64 makes lines of 78 bytes of 57.
const fn files_in(limit: u64) -> u64 {
    const HEADERS: u64 = 32 * 1024;
    limit.saturating_sub(HEADERS) / 78 * 57
}

/// The pages.
#[derive(Clone)]
struct Site {
    web: axum::Router,
    machines: axum::Router,
    patience: http::Patience,
    proxies: Arc<[IpAddr]>,
    shutdown: CancellationToken,
}

impl Site {
    fn new(
        running: &Arc<Running>,
        metrics: &PrometheusHandle,
        setup_token: Option<String>,
        servers: Vec<web::Server>,
        announcement: watch::Receiver<String>,
        shutdown: &CancellationToken,
    ) -> Self {
        let services = &running.services;
        let config = &services.config;
        let pages = |told| http::machine_pages(running.clone(), metrics.clone(), told);
        let machines = pages(http::Told::Everyone);
        let web = web::WebDoor::new(web::WebState {
            directory: services.directory.clone(),
            mailstore: services.mailstore.clone(),
            people: services.people.clone(),
            spam: services.spam.clone(),
            rules: services.rules.clone(),
            saved: saved::SavedSearches::new(services.store.clone()),
            reports: services.reports.clone(),
            rewinds: services.rewinds(),
            delivery: services.delivery.clone(),
            fetching: services.fetching.clone(),
            checks: running.checks.clone(),
            options: web::WebOptions {
                setup_token,
                public_url: config.web.public_url.clone(),
                hostname: config.hostname.clone(),
                also_known_as: config.also_known_as.clone(),
                servers,
                max_message_bytes: usize::try_from(files_in(config.limits.message_size.0)).unwrap_or(usize::MAX),
                default_quota_bytes: config.limits.default_quota.0,
                announcement,
                alarms: running.alarms.subscribe(),
                continuity: running.continuity.subscribe(),
                help: &help::PAGES,
                index: Some(services.index.clone()),
                tls: running.tls.get().cloned(),
                operator: Some(super::operator::Operating::new(running.clone())),
                ..web::WebOptions::default()
            },
            shutdown: shutdown.clone(),
        });
        let by_stage = axum::middleware::from_fn_with_state(services.clone(), stage::pages);
        let proxies = config.web.trusted_proxies.iter().map(IpAddr::to_canonical).collect();
        Self {
            web: web.merge(pages(http::Told::ThisMachine)).layer(by_stage),
            machines,
            patience: http::Patience::of(&config.limits),
            proxies,
            shutdown: shutdown.clone(),
        }
    }

    /// What comes before every page, in every stage.
    fn behind(self, before: challenge::Before) -> Self {
        let layer = axum::middleware::from_fn_with_state(Arc::new(before), challenge::before);
        Self { web: self.web.layer(layer), ..self }
    }

    async fn serve(self, row: &Row, conn: Conn) {
        let router = if row.protocol == Protocol::Machines { self.machines } else { self.web };
        http::serve_connection(router, conn, self.patience, self.proxies, self.shutdown).await;
    }
}

/// The listeners for mail apps and other servers, each open while the stage includes it.
struct Protocols {
    services: Arc<Services>,
    tls: Tls,
    shutdown: CancellationToken,
    clients: RwLock<Option<Clients>>,
    queues: RwLock<Option<Queues>>,
}

/// Of mail programs.
#[derive(Clone)]
struct Clients {
    submission: SmtpDoor,
    imap: ImapDoor,
    pop3: Pop3Door,
    managesieve: ManageSieveDoor,
    ends: CancellationToken,
}

/// Of other servers.
#[derive(Clone)]
struct Queues {
    smtp: SmtpDoor,
    lmtp: SmtpDoor,
    ends: CancellationToken,
}

impl Protocols {
    fn new(services: Arc<Services>, tls: Tls, shutdown: CancellationToken) -> Self {
        let protocols = Self { services, tls, shutdown, clients: RwLock::default(), queues: RwLock::default() };
        protocols.arrange();
        protocols
    }

    /// Opens and closes listeners according to the stage, until shut down.
    async fn switch(&self, shutdown: CancellationToken) {
        let mut now = self.services.stages.watch();
        loop {
            now.mark_unchanged();
            self.arrange();
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = now.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Ends the sessions of closing listeners, as when the service stops.
    fn arrange(&self) {
        let mut clients = self.clients.write();
        let mut queues = self.queues.write();
        let stage = self.services.stages.now().stage;
        match &*clients {
            None if stage >= Stage::Clients => *clients = Some(self.open_clients()),
            Some(open) if stage < Stage::Clients => {
                open.ends.cancel();
                *clients = None;
            }
            _ => {}
        }
        match &*queues {
            None if stage >= Stage::Queues => *queues = Some(self.open_queues()),
            Some(open) if stage < Stage::Queues => {
                open.ends.cancel();
                *queues = None;
            }
            _ => {}
        }
    }

    fn smtp(&self, role: Role, ends: &CancellationToken) -> SmtpDoor {
        let Services { config, directory, delivery, intake, .. } = &*self.services;
        let options = SmtpOptions {
            role,
            intake: intake.clone(),
            backups: config.incoming.backups().collect(),
            hostname: config.hostname.clone(),
            also_known_as: config.also_known_as.clone().into(),
            plaintext_logins: config.limits.plaintext_logins.into(),
            shutdown: ends.clone(),
            ..SmtpOptions::default()
        };
        SmtpDoor::with_tls(directory.clone(), delivery.clone(), options, self.tls.clone())
    }

    fn open_queues(&self) -> Queues {
        let ends = self.shutdown.child_token();
        Queues { smtp: self.smtp(Role::Mx, &ends), lmtp: self.smtp(Role::Lmtp, &ends), ends }
    }

    fn open_clients(&self) -> Clients {
        let ends = self.shutdown.child_token();
        let Services { config, directory, mailstore, rules, .. } = &*self.services;
        let plaintext_logins = config.limits.plaintext_logins.into();
        let imap = ImapOptions {
            host_name: config.hostname.clone(),
            also_known_as: config.also_known_as.clone().into(),
            plaintext_logins,
            max_message_bytes: config.limits.message_size.0,
            shutdown: ends.clone(),
            ..ImapOptions::default()
        };
        let pop3 = Pop3Options {
            hostname: config.hostname.clone(),
            also_known_as: config.also_known_as.clone().into(),
            plaintext_logins,
            shutdown: ends.clone(),
            ..Pop3Options::default()
        };
        let managesieve = ManageSieveOptions {
            hostname: config.hostname.clone(),
            also_known_as: config.also_known_as.clone().into(),
            plaintext_logins,
            shutdown: ends.clone(),
            ..ManageSieveOptions::default()
        };
        Clients {
            submission: self.smtp(Role::Submission, &ends),
            imap: ImapDoor::with_tls(directory.clone(), mailstore.clone(), imap, self.tls.clone()),
            pop3: Pop3Door::with_tls(directory.clone(), mailstore.clone(), pop3, self.tls.clone()),
            managesieve: ManageSieveDoor::with_tls(directory.clone(), rules.clone(), managesieve, self.tls.clone())
                .with_mailboxes(mailstore.clone()),
            ends,
        }
    }

    async fn serve(&self, row: &Row, mut conn: Conn) {
        // The listeners follow the stage with a small delay: the stage decides.
        let open = self.services.stages.now().stage >= row.stage;
        let is_there =
            |stage| if stage == Stage::Queues { self.queues.read().is_some() } else { self.clients.read().is_some() };
        if open != is_there(row.stage) {
            self.arrange();
        }
        let (clients, queues) = (self.clients.read().clone(), self.queues.read().clone());
        match (row.kind, row.protocol, clients, queues) {
            (_, Protocol::Submission, Some(clients), _) => clients.submission.serve_connection(conn).await,
            (_, Protocol::Imap, Some(clients), _) => clients.imap.serve_connection(conn).await,
            (_, Protocol::Pop3, Some(clients), _) => clients.pop3.serve_connection(conn).await,
            (_, Protocol::ManageSieve, Some(clients), _) => clients.managesieve.serve_connection(conn).await,
            (Kind::Lmtp, _, _, Some(queues)) => queues.lmtp.serve_connection(conn).await,
            (_, Protocol::Smtp, _, Some(queues)) => queues.smtp.serve_connection(conn).await,
            _ => {
                let refuse = async {
                    conn.write_all(row.off).await?;
                    conn.shutdown().await
                };
                // A client that does not listen is closed all the same.
                let _ = tokio::time::timeout(REFUSAL_TIMEOUT, refuse).await;
            }
        }
    }
}
