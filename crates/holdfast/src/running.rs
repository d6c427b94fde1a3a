//! What runs on the services of a data folder: alarms, archives, standbys, listeners. A command alone has it too, with
//! nothing started.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::Instant,
};

use certificates::Certificates;
use continuity::standby::Primary;
use doorkit::{Connections, Tls};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    archive::Archives, dns, restoring::Restoring, services::Services, supervisor::TaskBoard, verifying::Verifying,
};

/// The services, and what was started on them.
pub struct Running {
    pub services: Arc<Services>,
    pub archives: Archives,
    /// Standbys follow this machine, when it serves and has a listener for them.
    pub primary: OnceLock<Arc<Primary>>,
    /// Relays give their mail to this machine, when it serves and has a listener for them.
    pub relays: Arc<OnceLock<Arc<relay::Receiver>>>,
    /// The current alarms.
    pub alarms: watch::Sender<Vec<String>>,
    /// Since when standbys that are not connected are not.
    pub away: Mutex<HashMap<String, Instant>>,
    /// How standbys, archives and drills are, for the administrators' pages.
    pub continuity: watch::Sender<Vec<web::Panel>>,
    /// The restore that was unfinished when the service started, if any.
    pub restoring: OnceLock<Restoring>,
    /// The listeners, once they are bound.
    pub doors: OnceLock<Vec<OpenDoor>>,
    /// The certificate, once it was read.
    pub tls: Arc<OnceLock<Tls>>,
    /// Checks of the domains' DNS records.
    pub checks: domaincheck::Checks,
    /// Certificates of an authority, if they are configured.
    pub certificates: OnceLock<Certificates>,
    /// How the daily work went last.
    pub daily: Mutex<Option<DailyWork>>,
    /// Verification of all data, when someone requests it.
    pub verifying: Arc<Verifying>,
    /// The tasks of this process, and which of them failed.
    pub tasks: Arc<TaskBoard>,
    /// Whether this process serves: a command alone has no stages.
    pub serving: AtomicBool,
}

/// A bound listener.
pub struct OpenDoor {
    pub name: &'static str,
    pub address: SocketAddr,
    pub connections: Connections,
}

/// How the daily work went.
#[derive(Clone)]
pub struct DailyWork {
    /// When it ended, in milliseconds since 1970.
    pub at_ms: i64,
    /// Steps that failed, and why.
    pub failed: Vec<String>,
}

impl Running {
    /// On these services; nothing is started yet.
    pub fn on(services: Services) -> Arc<Self> {
        let (tls, relays) = (Arc::new(OnceLock::new()), Arc::new(OnceLock::new()));
        Arc::new(Self {
            checks: dns::checks(
                (&services.directory, &services.delivery),
                &services.config,
                tls.clone(),
                Arc::clone(&relays),
            ),
            archives: Archives::new(&services.config),
            primary: OnceLock::new(),
            relays,
            alarms: watch::channel(Vec::new()).0,
            away: Mutex::default(),
            continuity: watch::channel(Vec::new()).0,
            restoring: OnceLock::new(),
            doors: OnceLock::new(),
            tls,
            certificates: OnceLock::new(),
            daily: Mutex::default(),
            verifying: Verifying::open(&services.config),
            tasks: Arc::default(),
            serving: AtomicBool::new(false),
            services: Arc::new(services),
        })
    }
}
