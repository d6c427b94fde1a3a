//! Live update: a stream of server-sent events that follows the account's commits.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::caller::Caller;
use crate::error::{Fault, Result};

/// Changes closer together than this are told together.
const GATHER: Duration = Duration::from_millis(250);
/// So often a sign of life goes out, and the session is looked at.
const PULSE: Duration = Duration::from_secs(25);
/// A stream ends after this long; the browser opens another.
const LIFETIME: Duration = Duration::from_hours(1);

/// What the page is told.
#[derive(Serialize)]
struct Change {
    /// The account's state now.
    state: u64,
    /// Unread messages in INBOX.
    unread: u32,
    /// Unread messages by mailbox.
    boxes: BTreeMap<String, u32>,
}

/// `GET /live`
pub async fn stream(caller: Caller) -> Result<Response> {
    let busy = || Fault::Unavailable(Duration::from_secs(30), "Too many pages follow their mail live.".to_owned());
    let (all, each) = &caller.site.live;
    let share = each.take(caller.account).ok_or(Fault::TooMany(Duration::from_secs(30)))?;
    let permit = (all.clone().try_acquire_owned().map_err(|_| busy())?, share);
    let watch = caller.site.mailstore.watch(caller.realm);
    let ends = tokio::time::Instant::now() + LIFETIME;
    let shutdown = caller.site.shutdown.clone();
    let events = futures_util::stream::unfold((caller, watch, permit), move |(caller, mut watch, permit)| {
        let shutdown = shutdown.clone();
        async move {
            let changed = tokio::select! {
                () = shutdown.cancelled() => return None,
                () = tokio::time::sleep_until(ends) => return None,
                changed = watch.changed() => { changed.ok()?; true }
                () = tokio::time::sleep(PULSE) => false,
            };
            if !changed {
                if !caller.still_signed_in().await {
                    return None;
                }
                let pulse = Event::default().comment("");
                return Some((Ok::<_, Infallible>(pulse), (caller, watch, permit)));
            }
            tokio::time::sleep(GATHER).await;
            let state = watch.borrow_and_update().0;
            let (caller, change) = caller
                .blocking_owned(move |caller| {
                    let change = change(&caller, state)?;
                    Ok((caller, change))
                })
                .await
                .ok()?;
            let event = Event::default().event("change").json_data(change).ok()?;
            Some((Ok(event), (caller, watch, permit)))
        }
    });
    let response = Sse::new(events).keep_alive(KeepAlive::new().interval(PULSE * 2));
    Ok(([("x-accel-buffering", "no")], response).into_response())
}

fn change(caller: &Caller, state: u64) -> Result<Change> {
    let mailboxes = caller.site.mailstore.mailboxes(caller.realm)?;
    Ok(Change {
        state,
        unread: mailboxes.iter().find(|m| m.name.is_inbox()).map_or(0, |m| m.unread),
        boxes: mailboxes.iter().map(|m| (m.id.to_string(), m.unread)).collect(),
    })
}
