//! IDLE (RFC 2177): tell changes as they happen, until the client says DONE.

use std::time::Duration;

use super::{
    Session,
    outcome::{Done, Outcome},
};
use crate::failure::Failure;

/// Longest line in place of DONE that is read before giving up.
const MAX_DONE_LINE: usize = 1_024;

/// How much longer than [`crate::ImapOptions::idle_command_timeout`] a client may take.
const GRACE: Duration = Duration::from_secs(60);

impl Session {
    pub(super) async fn idle(&mut self) -> Outcome {
        self.tell_changes(true).await?;
        self.tell_others()?;
        self.wire.out.extend_from_slice(b"+ idling\r\n");
        let deadline = tokio::time::Instant::now() + self.door.options.idle_command_timeout + GRACE;
        let stop = self.door.options.shutdown.clone();
        loop {
            if let Some(end) = self.wire.buffered().iter().position(|&b| b == b'\n') {
                let line = &self.wire.buffered()[..end];
                let done = line.strip_suffix(b"\r").unwrap_or(line).eq_ignore_ascii_case(b"DONE");
                self.wire.consume(end + 1);
                return if done { Ok(Done::text("IDLE completed")) } else { Err(Failure::bad("Expected DONE")) };
            }
            if self.wire.buffered().len() > MAX_DONE_LINE {
                return Err(Failure::bye("Expected DONE"));
            }
            self.wire.flush().await?;
            let Self { wire, selected, notified, .. } = self;
            // Both watch the account.
            let mut changes = match (selected.as_ref(), notified.as_ref()) {
                (Some(selected), _) => Some(selected.changes.clone()),
                (None, notified) => notified.as_ref().map(|notified| notified.changes()),
            };
            let changed = async {
                match &mut changes {
                    Some(changes) => changes.changed().await,
                    // Nothing to tell without a mailbox.
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                read = wire.fill() => {
                    if read? == 0 {
                        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                    }
                }
                open = changed => {
                    if !open {
                        return Err(Failure::bye("Server shutting down"));
                    }
                    self.is_behind();
                    self.tell_changes(true).await?;
                    self.tell_others()?;
                    self.fetch_new().await?;
                }
                () = tokio::time::sleep_until(deadline) => return Err(Failure::bye("IDLE time limit reached; reconnect")),
                () = stop.cancelled() => return Err(Failure::bye("Server shutting down")),
            }
        }
    }
}
