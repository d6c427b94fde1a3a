//! UNAUTHENTICATE (RFC 8437): back to before the login, on the same connection.

use tokio::time::Instant;

use super::{
    Session,
    outcome::{Done, Enabled, Outcome},
};
use crate::response::Code;

impl Session {
    /// Closes the mailbox without expunging, and forgets the account with all that it had asked for. TLS and compression
    /// stay; failed logins are counted on.
    pub(super) fn unauthenticate(&mut self) -> Outcome {
        self.leave_mailbox();
        self.notified = None;
        self.enabled = Enabled::default();
        (self.user, self.login) = (None, None);
        self.wire.end_with_nothing();
        self.frame.set_limit(self.door.options.max_command_before_login_bytes);
        self.login_deadline = Instant::now() + self.door.options.login_timeout;
        Ok(Done::code(Code::Capability(self.capabilities()?), "UNAUTHENTICATE completed"))
    }
}
