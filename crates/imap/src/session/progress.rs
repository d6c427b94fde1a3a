//! INPROGRESS (RFC 9585): tells a client that a long command is still running.

use std::time::Duration;

use super::{Session, outcome::Outcome};
use crate::response::Code;

impl Session {
    /// Waits for `work`, and says every [`crate::ImapOptions::progress_interval`] that the command goes on. A client that
    /// is gone meanwhile ends nothing: what writes is not left half done.
    pub(super) async fn patiently<T>(&mut self, tag: &str, work: impl Future<Output = T>) -> Outcome<T> {
        let interval = self.door.options.progress_interval;
        let mut work = std::pin::pin!(work);
        // With no time in between it is said once, whatever the work takes.
        let mut told = if interval.is_zero() { self.tell_progress(tag).await } else { Ok(()) };
        loop {
            let wait = if interval.is_zero() || told.is_err() { Duration::MAX } else { interval };
            tokio::select! {
                biased;
                done = &mut work => return told.map(|()| done),
                () = tokio::time::sleep(wait) => told = self.tell_progress(tag).await,
            }
        }
    }

    /// `* OK [INPROGRESS ("tag" NIL NIL)]`: how far it is, and how much there is, is not known.
    async fn tell_progress(&mut self, tag: &str) -> Outcome<()> {
        self.untagged_ok(&Code::InProgress(tag.to_owned()), "Command in progress");
        Ok(self.wire.flush().await?)
    }
}
