//! Binding every door, and what runs behind each.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use doorkit::{Conn, ListenOptions, Listener, Security, Tls};
use imap::{ImapDoor, ImapOptions, PlaintextLogin};
use metrics_exporter_prometheus::PrometheusHandle;
use pop3::{Pop3Door, Pop3Options};
use smtp::{Role, SmtpDoor, SmtpOptions};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::http;
use crate::{config::Config, services::Services};

/// A door's protocol, and how its connections begin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Smtp,
    Submission,
    Submissions,
    Lmtp,
    Imap,
    Imaps,
    Pop3,
    Pop3s,
    Http,
    Https,
    Metrics,
}

impl Kind {
    /// As the configuration names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::Lmtp => "lmtp",
            Self::Imap => "imap",
            Self::Imaps => "imaps",
            Self::Pop3 => "pop3",
            Self::Pop3s => "pop3s",
            Self::Http => "http",
            Self::Https => "https",
            Self::Metrics => "metrics",
        }
    }

    /// What it is, for people.
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Smtp => "mail from other servers, STARTTLS",
            Self::Submission => "sending, STARTTLS",
            Self::Submissions => "sending, TLS",
            Self::Lmtp => "local delivery, no login",
            Self::Imap => "reading, STARTTLS",
            Self::Imaps => "reading, TLS",
            Self::Pop3 => "fetching, STLS",
            Self::Pop3s => "fetching, TLS",
            Self::Http => "webmail, no TLS",
            Self::Https => "webmail, TLS",
            Self::Metrics => "/metrics and /health",
        }
    }

    const fn security(self) -> Security {
        match self {
            Self::Submissions | Self::Imaps | Self::Pop3s | Self::Https => Security::Tls,
            _ => Security::Plain,
        }
    }

    /// What a client over a limit is told.
    const fn busy(self) -> &'static [u8] {
        match self {
            Self::Smtp | Self::Submission | Self::Lmtp => b"421 4.7.0 too many connections, try again later\r\n",
            Self::Imap => b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n",
            Self::Pop3 => b"-ERR [SYS/TEMP] too many connections, try again later\r\n",
            Self::Http | Self::Metrics => {
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
            Self::Submissions | Self::Imaps | Self::Pop3s | Self::Https => b"",
        }
    }
}

/// A bound listener.
pub struct Door {
    pub kind: Kind,
    pub address: SocketAddr,
    listener: Listener,
}

/// All doors, bound.
pub struct Bound {
    pub doors: Vec<Door>,
    /// What the setup page asks for, while there is no account.
    pub setup_token: Option<String>,
    services: Arc<Services>,
    tls: Tls,
    metrics: PrometheusHandle,
}

/// The configured certificate, or the self-signed one that is kept in the data folder.
pub fn certificate(config: &Config) -> anyhow::Result<Tls> {
    Ok(match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => Tls::from_pem(certificate, key)?,
        _ => {
            let mut names = vec![config.hostname.clone(), "localhost".to_owned(), "127.0.0.1".to_owned()];
            names.dedup();
            Tls::self_signed(&config.data_dir.join("tls"), &names)?
        }
    })
}

/// Binds every configured address; all of them, or none.
pub fn bind(services: &Arc<Services>, tls: &Tls, metrics: &PrometheusHandle) -> anyhow::Result<Bound> {
    let (listen, limits) = (&services.config.listen, &services.config.limits);
    let wanted = [
        (Kind::Http, &listen.http),
        (Kind::Https, &listen.https),
        (Kind::Imap, &listen.imap),
        (Kind::Imaps, &listen.imaps),
        (Kind::Pop3, &listen.pop3),
        (Kind::Pop3s, &listen.pop3s),
        (Kind::Submission, &listen.submission),
        (Kind::Submissions, &listen.submissions),
        (Kind::Smtp, &listen.smtp),
        (Kind::Lmtp, &listen.lmtp),
        (Kind::Metrics, &listen.metrics),
    ];
    let mut doors = Vec::new();
    for (kind, addresses) in wanted {
        for &address in addresses {
            let options = ListenOptions {
                security: kind.security(),
                max_connections: limits.connections,
                max_per_network: limits.connections_per_address,
                busy: kind.busy(),
                grace: limits.shutdown_grace.0,
                ..ListenOptions::default()
            };
            let listener = Listener::bind(address, options).with_context(|| {
                let name = kind.name();
                format!("{name}: {address} can't be listened on; choose another in the configuration (listen.{name})")
            })?;
            let address = listener.local_addr()?;
            doors.push(Door { kind, address, listener });
        }
    }
    let setup_token = if services.directory.first_run()? {
        let random: [u8; 16] = rand::random();
        Some(random.iter().map(|byte| format!("{byte:02x}")).collect())
    } else {
        None
    };
    Ok(Bound { doors, setup_token, services: services.clone(), tls: tls.clone(), metrics: metrics.clone() })
}

type Tasks = JoinSet<(&'static str, anyhow::Result<()>)>;

impl Bound {
    /// Where people reach the webmail.
    pub fn web_url(&self) -> Option<String> {
        self.services.config.web.public_url.clone().or_else(|| {
            let door = self.doors.iter().find(|door| matches!(door.kind, Kind::Http | Kind::Https))?;
            Some(format!("{}://{}", door.kind.name(), door.address))
        })
    }

    /// Serves all doors until shut down.
    pub fn serve(self, shutdown: &CancellationToken) -> Tasks {
        let Self { doors, setup_token, services, tls, metrics } = self;
        let servers = Servers::new(&services, &tls, &metrics, setup_token, shutdown);
        let mut tasks = Tasks::new();
        for Door { kind, listener, .. } in doors {
            let (tls, shutdown) = (tls.clone(), shutdown.clone());
            let servers = servers.clone();
            tasks.spawn(async move {
                listener.serve(tls, shutdown, move |conn| servers.clone().serve(kind, conn)).await;
                (kind.name(), Ok(()))
            });
        }
        tasks
    }
}

/// How large files may be together so that they fit in a message of `limit` bytes: base64 makes lines of 78 bytes of 57.
const fn files_in(limit: u64) -> u64 {
    const HEADERS: u64 = 32 * 1024;
    limit.saturating_sub(HEADERS) / 78 * 57
}

/// What serves a connection of each kind.
#[derive(Clone)]
struct Servers {
    smtp: SmtpDoor,
    submission: SmtpDoor,
    lmtp: SmtpDoor,
    imap: ImapDoor,
    pop3: Pop3Door,
    web: axum::Router,
    machines: axum::Router,
    shutdown: CancellationToken,
}

impl Servers {
    fn new(
        services: &Arc<Services>,
        tls: &Tls,
        metrics: &PrometheusHandle,
        setup_token: Option<String>,
        shutdown: &CancellationToken,
    ) -> Self {
        let Services { config, directory, mailstore, delivery, .. } = &**services;
        let plaintext_logins = config.limits.plaintext_logins;
        let smtp = |role| {
            let options = SmtpOptions {
                role,
                hostname: config.hostname.clone(),
                plaintext_logins,
                shutdown: shutdown.clone(),
                ..SmtpOptions::default()
            };
            SmtpDoor::with_tls(directory.clone(), delivery.clone(), options, tls.clone())
        };
        let imap = ImapOptions {
            host_name: config.hostname.clone(),
            plaintext_login: if plaintext_logins { PlaintextLogin::Always } else { PlaintextLogin::Never },
            max_message_bytes: config.limits.message_size.0,
            shutdown: shutdown.clone(),
            ..ImapOptions::default()
        };
        let pop3 = Pop3Options {
            hostname: config.hostname.clone(),
            plaintext_logins,
            shutdown: shutdown.clone(),
            ..Pop3Options::default()
        };
        let machines = http::machine_pages(services.clone(), metrics.clone());
        let web = web::WebDoor::new(web::WebState {
            directory: directory.clone(),
            mailstore: mailstore.clone(),
            delivery: delivery.clone(),
            options: web::WebOptions {
                setup_token,
                public_url: config.web.public_url.clone(),
                hostname: config.hostname.clone(),
                max_message_bytes: usize::try_from(files_in(config.limits.message_size.0)).unwrap_or(usize::MAX),
                ..web::WebOptions::default()
            },
            shutdown: shutdown.clone(),
        });
        Self {
            smtp: smtp(Role::Mx),
            submission: smtp(Role::Submission),
            lmtp: smtp(Role::Lmtp),
            imap: ImapDoor::with_tls(directory.clone(), mailstore.clone(), imap, tls.clone()),
            pop3: Pop3Door::with_tls(directory.clone(), mailstore.clone(), pop3, tls.clone()),
            web: web.merge(machines.clone()),
            machines,
            shutdown: shutdown.clone(),
        }
    }

    async fn serve(self, kind: Kind, conn: Conn) {
        match kind {
            Kind::Smtp => self.smtp.serve_connection(conn).await,
            Kind::Submission | Kind::Submissions => self.submission.serve_connection(conn).await,
            Kind::Lmtp => self.lmtp.serve_connection(conn).await,
            Kind::Imap | Kind::Imaps => self.imap.serve_connection(conn).await,
            Kind::Pop3 | Kind::Pop3s => self.pop3.serve_connection(conn).await,
            Kind::Http | Kind::Https => http::serve_connection(self.web, conn, self.shutdown).await,
            Kind::Metrics => http::serve_connection(self.machines, conn, self.shutdown).await,
        }
    }
}
