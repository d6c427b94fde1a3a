//! What is done to many messages of the queue: to those that were selected, or to all that a filter lets through. It goes on
//! when the browser has gone; what takes long is shown on the page of the queue while it does.

use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Redirect, Response};
use delivery::{Delivery, DeliveryError, QueueFilter, QueueId};
use futures_util::StreamExt as _;

use super::confirm::{self, Question};
use super::frame::{counted, note};
use super::queue::{Act, Asked, Deed, HERE, list_page, recipients_of, sender_of, uncapital};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::notice;
use crate::queue_work::Work;
use crate::site::Site;

/// Stands for all of them, and is typed before they are given up.
pub const ALL: &str = "all";
/// Stands for those that were selected on the page.
pub const SELECTED: &str = "selected";
/// Messages read at a time when an act is for all of them.
const AT_ONCE: usize = 500;
/// Of these, how many are changed at once: their commits share one sync.
const CHANGED_AT_ONCE: usize = 32;
/// Most messages that are selected one by one: more than a page has.
const MAX_SELECTED: usize = 500;
/// Selected messages that are named before they are given up.
const NAMED: usize = 20;
/// How long a request waits for an act on many; then the page shows how far it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the page shows that it has ended.
const SHOWN_FOR: Duration = Duration::from_secs(600);

/// An act on many messages for the page: what is done, and whether it is still under way.
pub fn shown(work: &Work) -> Option<(String, bool)> {
    if !work.is_shown || work.ended.is_some_and(|(at, _)| at.elapsed() > SHOWN_FOR) {
        return None;
    }
    let so_far = counted(work.changed, "message", "messages");
    let left = match work.left {
        0 => String::new(),
        left => format!(" {} being delivered and unchanged.", counted(left, "message is", "messages are")),
    };
    Some(match work.ended {
        None => (format!("{}: {so_far} so far.{left}", work.what), true),
        Some((_, false)) => (format!("{}: done, {so_far}.{left}", work.what), false),
        Some((_, true)) => (format!("{}: stopped after {so_far}, see the service\u{2019}s log.", work.what), false),
    })
}

/// Which messages.
enum These {
    Selected(Vec<QueueId>),
    All(QueueFilter),
}

/// `POST /admin/queue` for those that were selected.
pub async fn change_selected(caller: Caller, act: Act, asked: Asked, form: &Posted) -> Result<Response> {
    let ids: Vec<QueueId> = form.all("ids").filter_map(|id| id.parse().ok()).take(MAX_SELECTED).collect();
    if ids.is_empty() {
        let problem = "No message is selected. Select messages in the list, then press the button again.";
        return list_page(caller, asked, Some(problem.to_owned())).await;
    }
    if act.ends && form.get("sure") != "1" {
        let question = question_of_selected(&caller, act, &ids, &asked);
        return confirm::ask(caller, question).await;
    }
    change(caller, act, These::Selected(ids), asked).await
}

/// `POST /admin/queue` for all that the filter lets through.
pub async fn change_all(caller: Caller, act: Act, asked: Asked, form: &Posted) -> Result<Response> {
    let mut filter = asked.filter(&caller.site.directory);
    if act.deed == Deed::Release {
        filter.held = Some(true);
    }
    let sure = form.get("sure") == "1";
    if act.ends && !(sure && form.get("typed").trim() == ALL) {
        let question = question_of_all(act, &asked);
        return confirm::ask(caller, Question { mistyped: sure, ..question }).await;
    }
    if act.ends
        && let Some(response) = confirm::password_first(&caller, form, HERE).await?
    {
        return Ok(response);
    }
    change(caller, act, These::All(filter), asked).await
}

/// Marks the act as ended, however it ends: the next one must be able to begin.
struct Ends(Site);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.queue_work.lock().ended.get_or_insert_with(|| (Instant::now(), true));
    }
}

async fn change(caller: Caller, act: Act, these: These, asked: Asked) -> Result<Response> {
    let is_busy = {
        let mut work = caller.site.queue_work.lock();
        let is_busy = !work.what.is_empty() && work.ended.is_none();
        if is_busy {
            work.is_shown = true;
        } else {
            *work = Work { what: act.label.to_owned(), ..Work::default() };
        }
        is_busy
    };
    if is_busy {
        let problem = "Another act on many messages is under way. Wait until it has ended, then try again.";
        return list_page(caller, asked, Some(problem.to_owned())).await;
    }
    let site = caller.site.clone();
    let ends = Ends(site.clone());
    // It goes on, and what it did is noted, when the browser has gone.
    let mut work = tokio::spawn(async move {
        let _ends = ends;
        let ran = run(&caller, act, these).await;
        let (changed, left) = {
            let mut work = caller.site.queue_work.lock();
            work.ended = Some((Instant::now(), ran.is_err()));
            (work.changed, work.left)
        };
        if changed > 0 {
            let messages = counted(changed, "message", "messages");
            note(&caller, &format!("{} {messages} in the queue", act.audited)).await?;
        }
        ran.map(|()| (caller, left))
    });
    let Ok(ended) = tokio::time::timeout(PATIENCE, &mut work).await else {
        site.queue_work.lock().is_shown = true;
        return Ok(Redirect::to(&asked.address()).into_response());
    };
    let (caller, left) = ended.map_err(Fault::internal)??;
    if left > 0 {
        let these = counted(left, "message is", "messages are");
        let problem = format!("{these} being delivered right now and unchanged. Try again in a minute.");
        return list_page(caller, asked, Some(problem)).await;
    }
    Ok(Redirect::to(&notice::with(&asked.address(), act.done)).into_response())
}

async fn run(caller: &Caller, act: Act, these: These) -> Result<()> {
    let filter = match these {
        These::Selected(ids) => return run_on(caller, act, ids).await,
        These::All(filter) => filter,
    };
    let mut after = None;
    loop {
        let (delivery, wanted) = (caller.site.delivery.clone(), filter.clone());
        let read = tokio::task::spawn_blocking(move || delivery.queue_list(&wanted, after, AT_ONCE));
        let page = read.await.map_err(Fault::internal)??;
        run_on(caller, act, page.messages.iter().map(|message| message.id).collect()).await?;
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Counts what it did also where it can't go on.
async fn run_on(caller: &Caller, act: Act, ids: Vec<QueueId>) -> Result<()> {
    let each = ids.into_iter().map(|id| {
        let delivery: Delivery = caller.site.delivery.clone();
        async move { act.run(&delivery, id).await }
    });
    let mut each = futures_util::stream::iter(each).buffer_unordered(CHANGED_AT_ONCE);
    while let Some(done) = each.next().await {
        match done {
            Ok(()) => caller.site.queue_work.lock().changed += 1,
            // It was delivered in between.
            Err(DeliveryError::NotQueued(_)) => {}
            Err(DeliveryError::InFlight(_)) => caller.site.queue_work.lock().left += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn question_of_selected(caller: &Caller, act: Act, ids: &[QueueId], asked: &Asked) -> Question {
    let number = counted(ids.len() as u64, "message", "messages");
    let heading = match act.deed {
        Deed::Return => format!("Return {number} to their senders?"),
        _ => format!("Drop {number}?"),
    };
    let mut facts = vec![format!("For each of them: {}", uncapital(act.says))];
    for id in ids.iter().take(NAMED) {
        if let Ok(message) = caller.site.delivery.queue_show(*id) {
            facts.push(format!("{id}: from {} to {}", sender_of(&message), recipients_of(&message)));
        }
    }
    if ids.len() > NAMED {
        facts.push(format!("And {} more.", ids.len() - NAMED));
    }
    let mut fields = vec![("do", act.verb.to_owned()), ("id", SELECTED.to_owned())];
    fields.extend(asked.fields());
    fields.extend(ids.iter().map(|id| ("ids", id.to_string())));
    Question {
        heading,
        facts,
        fields,
        button: act.label,
        action: HERE.to_owned(),
        back: asked.address(),
        here: HERE,
        ..Question::default()
    }
}

fn question_of_all(act: Act, asked: &Asked) -> Question {
    let mut which = match asked.state.as_str() {
        "held" => "all held messages".to_owned(),
        "waiting" => "all messages that are not held".to_owned(),
        _ => "all messages".to_owned(),
    };
    if !asked.q.trim().is_empty() {
        which = format!("{which} that match \u{201c}{}\u{201d}", asked.q.trim());
    }
    let heading = match act.deed {
        Deed::Return => format!("Return {which} to their senders?"),
        _ => format!("Drop {which}?"),
    };
    let mut fields = vec![("do", act.verb.to_owned()), ("id", ALL.to_owned())];
    fields.extend(asked.fields());
    Question {
        heading,
        facts: vec![format!("For each of them: {}", uncapital(act.says))],
        fields,
        typed: Some(ALL.to_owned()),
        button: act.label,
        action: HERE.to_owned(),
        back: asked.address(),
        here: HERE,
        ..Question::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_took_longer_than_its_request_is_shown_and_not_for_ever() {
        let now = Instant::now();
        let work = |is_shown, ended| Work { what: "Drop".to_owned(), changed: 1, left: 0, ended, is_shown };
        assert_eq!(shown(&Work::default()), None);
        assert_eq!(shown(&work(false, None)), None);
        assert_eq!(shown(&work(false, Some((now, false)))), None);
        assert_eq!(shown(&work(true, None)), Some(("Drop: 1 message so far.".to_owned(), true)));
        assert_eq!(shown(&work(true, Some((now, false)))), Some(("Drop: done, 1 message.".to_owned(), false)));
        assert!(
            shown(&work(true, Some((now, true)))).is_some_and(|(text, goes_on)| text.contains("stopped") && !goes_on)
        );
        if let Some(long_ago) = now.checked_sub(SHOWN_FOR * 2) {
            assert_eq!(shown(&work(true, Some((long_ago, false)))), None);
        }
        let left = Work { left: 2, ..work(true, Some((now, false))) };
        assert!(shown(&left).is_some_and(|(text, _)| text.contains("2 messages are being delivered")));
    }
}
