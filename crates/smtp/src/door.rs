//! The crate's public entry point.

use std::sync::Arc;

use delivery::Delivery;
use directory::Directory;
use doorkit::{Conn, Tls};

use crate::{SmtpOptions, harvest::Harvest, session::Session};

pub(crate) struct Door {
    pub(crate) directory: Directory,
    pub(crate) delivery: Delivery,
    pub(crate) options: SmtpOptions,
    pub(crate) tls: Option<Tls>,
    pub(crate) harvest: Harvest,
}

/// Serves SMTP or LMTP connections of one role. Cheap to clone.
#[derive(Clone)]
pub struct SmtpDoor {
    door: Arc<Door>,
}

impl SmtpDoor {
    /// A server without STARTTLS.
    pub fn new(directory: Directory, delivery: Delivery, options: SmtpOptions) -> Self {
        Self { door: Arc::new(Door { directory, delivery, options, tls: None, harvest: Harvest::default() }) }
    }

    /// A server that offers STARTTLS on plain text connections.
    pub fn with_tls(directory: Directory, delivery: Delivery, options: SmtpOptions, tls: Tls) -> Self {
        Self { door: Arc::new(Door { directory, delivery, options, tls: Some(tls), harvest: Harvest::default() }) }
    }

    /// Serves one client, from the greeting until it leaves, is silent for too long, or [`SmtpOptions::shutdown`] is
    /// cancelled. A message that got its 250 is durable.
    pub async fn serve_connection(&self, conn: Conn) {
        metrics::gauge!("holdfast_smtp_connections").increment(1.0);
        let limit = self.door.options.session_timeout;
        let session = Session::new(self.door.clone(), conn);
        if tokio::time::timeout(limit, Box::pin(session.run())).await.is_err() {
            tracing::info!("closed an SMTP connection that reached its total time limit");
        }
        metrics::gauge!("holdfast_smtp_connections").decrement(1.0);
    }
}
