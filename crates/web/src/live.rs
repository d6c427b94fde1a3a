//! Live updates: a stream of server-sent events that follows the account's commits.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use directory::Access;
use mailstore::Watch;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::caller::Caller;
use crate::error::{Fault, Result};

/// Changes within this time are sent as one event.
const GATHER: Duration = Duration::from_millis(250);
/// How often a keep-alive is sent and an expired session is noticed.
const PULSE: Duration = Duration::from_secs(25);
/// A stream ends after this long; the browser opens another.
const LIFETIME: Duration = Duration::from_hours(1);

/// The event that a page gets.
#[derive(Serialize)]
struct Change {
    /// The account's current state.
    state: u64,
    /// Unread messages in INBOX.
    unread: u32,
    /// Unread messages by mailbox.
    boxes: BTreeMap<String, u32>,
}

/// `GET /live`
pub async fn stream(caller: Caller) -> Result<Response> {
    let busy = || Fault::Unavailable(Duration::from_secs(30), "Too many open tabs receive live updates.".to_owned());
    let (all, each) = &caller.site.live;
    let share = each.take(caller.account).ok_or(Fault::TooMany(Duration::from_secs(30)))?;
    let permit = (all.clone().try_acquire_owned().map_err(|_| busy())?, share);
    let access = caller.site.directory.session_access(&caller.session, caller.admin);
    let watch = caller.site.mailstore.watch(caller.realm);
    let ends = Instant::now() + LIFETIME;
    let shutdown = caller.site.shutdown.clone();
    let stream = Stream { caller, watch, access, permit, shutdown, ends, over: false };
    let events = futures_util::stream::unfold(stream, Stream::next);
    let response = Sse::new(events).keep_alive(KeepAlive::new().interval(PULSE * 2));
    Ok(([("x-accel-buffering", "no")], response).into_response())
}

/// One page's stream.
struct Stream<P> {
    caller: Caller,
    watch: Watch,
    access: Access,
    /// Its place among the streams that may be open at once.
    permit: P,
    shutdown: CancellationToken,
    ends: Instant,
    /// The page was told that the session has ended.
    over: bool,
}

impl<P> Stream<P> {
    /// The next event; `None` ends the stream.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.over {
            return None;
        }
        let changed = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return None,
            _ = self.access.ended() => return Some(self.end()),
            () = tokio::time::sleep_until(self.ends) => return None,
            changed = self.watch.changed() => if changed { true } else { return None },
            () = tokio::time::sleep(PULSE) => false,
        };
        if !changed {
            // Sessions also expire.
            if self.access.is_over().is_some() {
                return Some(self.end());
            }
            return Some((Ok(Event::default().comment("")), self));
        }
        tokio::select! {
            biased;
            _ = self.access.ended() => return Some(self.end()),
            () = tokio::time::sleep(GATHER) => {}
        }
        let state = self.watch.state();
        let Self { caller, watch, access, permit, shutdown, ends, over } = self;
        let (caller, change) = caller
            .blocking_owned(move |caller| {
                let change = change(&caller, state)?;
                Ok((caller, change))
            })
            .await
            .ok()?;
        let event = Event::default().event("change").json_data(change).ok()?;
        Some((Ok(event), Self { caller, watch, access, permit, shutdown, ends, over }))
    }

    /// Tells the page to reload, as its session has ended.
    fn end(mut self) -> (Result<Event, Infallible>, Self) {
        self.over = true;
        (Ok(Event::default().event("ended").data("{}")), self)
    }
}

fn change(caller: &Caller, state: u64) -> Result<Change> {
    let mailboxes = caller.site.mailstore.mailboxes(caller.realm)?;
    Ok(Change {
        state,
        unread: mailboxes.iter().find(|m| m.name.is_inbox()).map_or(0, |m| m.unread),
        boxes: mailboxes.iter().map(|m| (m.id.to_string(), m.unread)).collect(),
    })
}
