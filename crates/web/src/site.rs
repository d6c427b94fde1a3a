//! What all requests share.

use std::ops::Deref;
use std::sync::Arc;

use delivery::Delivery;
use directory::Directory;
use mailstore::MailStore;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::options::WebOptions;
use crate::search::Found;

/// What the webmail works on.
#[derive(Clone)]
pub struct WebState {
    /// Accounts, logins, sessions.
    pub directory: Directory,
    /// Mailboxes and messages.
    pub mailstore: MailStore,
    /// Where written messages go.
    pub delivery: Delivery,
    /// How it is set up.
    pub options: WebOptions,
    /// Ends live updates, so that a graceful stop need not wait for them.
    pub shutdown: CancellationToken,
}

/// [`WebState`] and what the door keeps for itself. Cheap to clone.
#[derive(Clone)]
pub struct Site(Arc<Inner>);

/// See [`Site`].
pub struct Inner {
    state: WebState,
    /// Searches of the last minute.
    pub found: Found,
    /// Room for live updates.
    pub live: Arc<Semaphore>,
    /// Held while the first account is made.
    pub setup: Mutex<()>,
}

impl Site {
    /// A site over `state`.
    pub fn new(state: WebState) -> Self {
        let live = Arc::new(Semaphore::new(state.options.max_live));
        Self(Arc::new(Inner { state, found: Found::default(), live, setup: Mutex::new(()) }))
    }
}

impl Deref for Site {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Deref for Inner {
    type Target = WebState;

    fn deref(&self) -> &WebState {
        &self.state
    }
}
