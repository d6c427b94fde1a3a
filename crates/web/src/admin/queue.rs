//! The queue: what waits to go out, and what is done to one message of it.

use std::time::{Duration, Instant};

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect, Response};
use delivery::{
    Delivery, DeliveryError, DropMode, QueueFilter, QueueId, QueueProgress, QueueStats, QueuedMessage, Secured,
};
use directory::Directory;
use mailkit::EmailAddress;
use serde::Deserialize;

use super::confirm::{self, Question};
use super::frame::{TABS, Tabs, admin, counted, note, surroundings};
use super::queue_many::{self, ALL, SELECTED, change_all, change_selected};
use crate::caller::Caller;
use crate::error::{Fault, Result, form_urlencoded};
use crate::forms::Posted;
use crate::notice;
use crate::templates::Shell;
use crate::time::{Calendar, size};
use crate::view::{self, Page};
use crate::wording::capital;
use crate::wrong::readable;

/// The page.
pub const HERE: &str = "/admin/queue";
/// Messages on a page.
const ROWS: usize = 100;
/// From so many messages on they are not counted for each page: that reads the whole queue.
const MANY: u64 = 5_000;
/// For how long a count of many stays.
const COUNTED_FOR: Duration = Duration::from_secs(10);
/// Recipients that stand in a row of the list.
const NAMED: usize = 3;

#[derive(Template)]
#[template(path = "admin_queue.html")]
struct QueuePage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    /// An act on many messages, and whether it is under way.
    work: Option<(String, bool)>,
    summary: String,
    asked: Asked,
    filtered: bool,
    acts: Vec<Act>,
    messages: Vec<Line>,
    next: Option<String>,
}

struct Line {
    id: String,
    from: String,
    to: String,
    since: String,
    next: String,
    error: String,
    held: bool,
}

#[derive(Template)]
#[template(path = "admin_queued.html")]
struct QueuedPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    id: String,
    held: bool,
    /// It is held because the sending of its account is stopped.
    stopped: bool,
    from: String,
    sender: Option<(u32, String)>,
    size: String,
    came: String,
    ends: String,
    acts: Vec<Act>,
    recipients: Vec<RecipientLine>,
}

struct RecipientLine {
    address: String,
    destination: String,
    attempts: u32,
    next: String,
    error: String,
    /// How the way there was secured at the last attempt, and whether the message waits for that.
    security: Option<(String, bool)>,
    /// What was decided when the message came, for those who are here.
    verdict: String,
}

/// The policy of the way to a destination and what came of it, in a line.
fn secured(security: &Secured) -> String {
    let policy = match security.policy.as_str() {
        "none" => "TLS, no policy",
        policy => policy,
    };
    let exception = security.exception.as_ref().map_or_else(String::new, |why| format!("; exception: {why}"));
    format!("{policy}: {}{exception}", security.result)
}

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Retry,
    Hold,
    Release,
    Return,
    Drop,
}

/// Something that can be done to messages of the queue.
#[derive(Clone, Copy)]
pub struct Act {
    pub deed: Deed,
    /// What forms call it.
    pub verb: &'static str,
    /// What the button says.
    pub label: &'static str,
    /// What it does.
    pub says: &'static str,
    /// It can't be undone.
    pub ends: bool,
    /// What the audit trail says, before `message ID`.
    pub audited: &'static str,
    /// The notice afterwards.
    pub done: &'static str,
}

const ACTS: &[Act] = &[
    Act {
        deed: Deed::Retry,
        verb: "retry",
        label: "Try now",
        says: "Attempts delivery immediately, whatever the schedule says. Held messages stay held.",
        ends: false,
        audited: "retried",
        done: "queueretry",
    },
    Act {
        deed: Deed::Hold,
        verb: "hold",
        label: "Hold",
        says: "Keeps it and attempts no delivery until you release it. It doesn\u{2019}t expire while it is held.",
        ends: false,
        audited: "held",
        done: "queuehold",
    },
    Act {
        deed: Deed::Release,
        verb: "release",
        label: "Release",
        says: "Ends the hold and attempts delivery immediately.",
        ends: false,
        audited: "released",
        done: "queuerelease",
    },
    Act {
        deed: Deed::Return,
        verb: "return",
        label: "Return to sender",
        says: "Gives up: the sender gets a failure report with the message.",
        ends: true,
        audited: "returned to the sender",
        done: "queuereturn",
    },
    Act {
        deed: Deed::Drop,
        verb: "drop",
        label: "Drop",
        says: "Deletes it from the queue. Nobody is notified, and it can\u{2019}t be restored.",
        ends: true,
        audited: "dropped",
        done: "queuedrop",
    },
];

impl Act {
    fn of(verb: &str) -> Result<Self> {
        let known = ACTS.iter().find(|act| act.verb == verb).copied();
        known.ok_or_else(Fault::nothing_to_do)
    }

    /// Does it to one message.
    pub async fn run(self, delivery: &Delivery, id: QueueId) -> Result<(), DeliveryError> {
        match self.deed {
            Deed::Retry => delivery.queue_retry(id).await,
            Deed::Hold => delivery.queue_hold(id).await,
            Deed::Release => delivery.queue_release(id).await,
            Deed::Return => delivery.queue_drop(id, DropMode::Bounce).await,
            Deed::Drop => delivery.queue_drop(id, DropMode::Silent).await,
        }
    }
}

/// What can be done to a message that is held, or is not.
fn acts(held: bool) -> Vec<Act> {
    let fits = |act: &&Act| match act.deed {
        Deed::Retry | Deed::Hold => !held,
        Deed::Release => held,
        Deed::Return | Deed::Drop => true,
    };
    ACTS.iter().filter(fits).copied().collect()
}

/// Which messages are asked for.
#[derive(Clone, Default, Deserialize)]
pub struct Asked {
    /// `held` or `waiting`; all otherwise.
    #[serde(default)]
    pub state: String,
    /// A sender's address, or a recipients' domain.
    #[serde(default)]
    pub q: String,
    #[serde(default)]
    after: String,
    #[serde(default)]
    done: String,
}

impl Asked {
    /// The fields of a form that comes back to the same messages.
    pub fn fields(&self) -> [(&'static str, String); 2] {
        [("state", self.state.clone()), ("q", self.q.clone())]
    }

    /// The address of the same messages.
    pub fn address(&self) -> String {
        let given = self.fields().into_iter().filter(|(_, value)| !value.is_empty());
        let given: Vec<String> = given.map(|(name, value)| format!("{name}={}", form_urlencoded(&value))).collect();
        if given.is_empty() { HERE.to_owned() } else { format!("{HERE}?{}", given.join("&")) }
    }

    /// Which messages that are.
    pub fn filter(&self, directory: &Directory) -> QueueFilter {
        let q = self.q.trim();
        let domain = q.trim_start_matches('@').trim_end_matches('.').to_lowercase();
        let is_sender = q == "<>" || q.trim_start_matches('@').contains('@');
        let ascii = mailkit::address::normal_domain(&domain).unwrap_or(domain);
        // An account here has sent what it sent under any of its addresses.
        let parsed = EmailAddress::parse(q).ok().filter(|_| is_sender);
        let account = parsed.and_then(|address| directory.account_by_address(&address).ok()?).map(|account| account.id);
        QueueFilter {
            domain: (!is_sender && !q.is_empty()).then_some(ascii),
            sender: (is_sender && account.is_none()).then(|| q.to_owned()),
            held: match self.state.as_str() {
                "held" => Some(true),
                "waiting" => Some(false),
                _ => None,
            },
            account,
        }
    }
}

fn next_try(message: &QueuedMessage, calendar: &Calendar) -> String {
    if message.held {
        return "held".to_owned();
    }
    let next = message.recipients.iter().map(|recipient| recipient.next_attempt_ms).min();
    next.map_or_else(String::new, |ms| calendar.stamp(ms))
}

/// What is due and how long that takes, in words.
fn due(progress: &QueueProgress) -> String {
    let due = match (progress.due, progress.left) {
        (0, _) => String::new(),
        (due, None) => format!(" Due now: {due}."),
        (due, Some(left)) => format!(" Due now: {due}; this takes about {}.", span(left)),
    };
    match progress.resting {
        0 => due,
        resting => format!("{due} Due at servers that don't answer: {resting}."),
    }
}

fn span(left: std::time::Duration) -> String {
    match left.as_secs() {
        0..=119 => counted(left.as_secs(), "second", "seconds"),
        120..=7_199 => format!("{} minutes", left.as_secs() / 60),
        _ => format!("{} hours", left.as_secs() / 3_600),
    }
}

/// The sender, as people read it.
pub fn sender_of(message: &QueuedMessage) -> String {
    message.from.as_deref().map_or_else(|| "(a failure report)".to_owned(), readable)
}

/// The first recipients, and how many more there are.
pub fn recipients_of(message: &QueuedMessage) -> String {
    let to: Vec<String> = message.recipients.iter().take(NAMED).map(|r| readable(&r.address)).collect();
    let further = message.recipients.len().saturating_sub(to.len());
    if further > 0 { format!("{} and {further} more", to.join(", ")) } else { to.join(", ") }
}

/// How much waits: counted, or as it was some seconds ago where that are many.
fn stats(caller: &Caller) -> Result<QueueStats> {
    if let Some((at, kept)) = &*caller.site.queue_stats.lock()
        && kept.messages >= MANY
        && at.elapsed() < COUNTED_FOR
    {
        return Ok(kept.clone());
    }
    let stats = caller.site.delivery.queue_stats()?;
    *caller.site.queue_stats.lock() = Some((Instant::now(), stats.clone()));
    Ok(stats)
}

/// `GET /admin/queue`
pub async fn list(caller: Caller, Query(asked): Query<Asked>) -> Result<Response> {
    list_page(admin(caller)?, asked, None).await
}

/// The page, with what was not done.
pub async fn list_page(caller: Caller, asked: Asked, problem: Option<String>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let delivery = &caller.site.delivery;
            let calendar = caller.calendar();
            let stats = stats(caller)?;
            let shown = delivery.queue_list(&asked.filter(&caller.site.directory), asked.after.parse().ok(), ROWS)?;
            let messages = shown.messages.into_iter().map(|message| Line {
                id: message.id.to_string(),
                from: sender_of(&message),
                to: recipients_of(&message),
                since: calendar.ago(message.created_ms),
                next: next_try(&message, &calendar),
                held: message.held,
                error: message.recipients.into_iter().find_map(|r| r.last_error).unwrap_or_default(),
            });
            let progress = delivery.queue_progress();
            let summary = match stats.messages {
                0 => "Nothing is waiting to go out.".to_owned(),
                some => format!(
                    "{} for {} to go out; {}.",
                    counted(some, "message", "messages"),
                    counted(stats.recipients, "recipient waits", "recipients wait"),
                    match stats.held {
                        0 => "none is held".to_owned(),
                        held => counted(held, "is held", "are held"),
                    }
                ),
            } + &due(&progress);
            let here = asked.address();
            let query = format!("{here}{}", if here.contains('?') { "&" } else { "?" });
            Ok(view::html(&QueuePage {
                page: caller.page("Queue"),
                shell: surroundings(caller, Some(&asked.done), &here)?,
                tabs: TABS,
                here: HERE,
                problem,
                work: queue_many::shown(&caller.site.queue_work.lock()),
                summary,
                filtered: !asked.q.is_empty() || !asked.state.is_empty(),
                acts: if stats.messages > 0 { ACTS.to_vec() } else { Vec::new() },
                messages: messages.collect(),
                next: shown.next.map(|after| format!("{query}after={after}")),
                asked,
            }))
        })
        .await
}

/// `GET /admin/queue/{id}`
pub async fn one(caller: Caller, Path(id): Path<String>, Query(asked): Query<Asked>) -> Result<Response> {
    let id = id.parse().map_err(|_| Fault::NotFound("There is no such message in the queue."))?;
    one_page(admin(caller)?, id, asked.done, None).await
}

async fn one_page(caller: Caller, id: QueueId, done: String, problem: Option<String>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let message = match caller.site.delivery.queue_show(id) {
                Err(DeliveryError::NotQueued(_)) => {
                    return Err(Fault::NotFound(
                        "The queue has no such message: it was delivered, returned or dropped.",
                    ));
                }
                found => found?,
            };
            let calendar = caller.calendar();
            let account = message.account.map(|account| caller.site.directory.account(account)).transpose()?.flatten();
            let recipients = message.recipients.iter().map(|recipient| RecipientLine {
                address: readable(&recipient.address),
                destination: readable(&recipient.destination),
                attempts: recipient.attempts,
                next: match recipient.in_flight_since_ms {
                    Some(since) => format!("in progress since {}", calendar.stamp(since)),
                    None if message.held => "when it is released".to_owned(),
                    None => calendar.stamp(recipient.next_attempt_ms),
                },
                error: recipient.last_error.clone().unwrap_or_default(),
                security: recipient.security.as_ref().map(|security| (secured(security), security.failed)),
                verdict: recipient.verdict.clone().unwrap_or_default(),
            });
            let here = format!("{HERE}/{id}");
            Ok(view::html(&QueuedPage {
                page: caller.page(&format!("Message {id}")),
                shell: surroundings(caller, Some(&done), &here)?,
                tabs: TABS,
                here: HERE,
                problem,
                id: id.to_string(),
                held: message.held,
                stopped: message.stopped,
                from: sender_of(&message),
                sender: account.map(|account| (account.id.0, readable(&account.address.to_string()))),
                size: size(message.size),
                came: calendar.when(message.created_ms).full,
                ends: if message.held { String::new() } else { calendar.when(message.expires_ms).full },
                acts: acts(message.held),
                recipients: recipients.collect(),
            }))
        })
        .await
}

/// `POST /admin/queue`: does something to one message, or with `id=all` to all that the filter lets through.
pub async fn change(caller: Caller, form: Posted) -> Result<Response> {
    let caller = admin(caller)?;
    let act = Act::of(form.get("do"))?;
    let asked = Asked { state: form.get("state").to_owned(), q: form.get("q").to_owned(), ..Asked::default() };
    match form.get("id") {
        ALL => return change_all(caller, act, asked, &form).await,
        SELECTED => return change_selected(caller, act, asked, &form).await,
        _ => {}
    }
    let id: QueueId = form
        .get("id")
        .parse()
        .map_err(|_| Fault::Bad("The form doesn’t say which message. Reload the page and try again.".to_owned()))?;
    if act.ends && form.get("sure") != "1" {
        let message = match caller.site.delivery.queue_show(id) {
            Err(DeliveryError::NotQueued(_)) => return list_page(caller, Asked::default(), Some(gone(id))).await,
            found => found?,
        };
        return confirm::ask(caller, question(act, &message)).await;
    }
    match act.run(&caller.site.delivery, id).await {
        Ok(()) => {
            note(&caller, &format!("{} message {id} in the queue", act.audited)).await?;
            let to = if act.ends { HERE.to_owned() } else { format!("{HERE}/{id}") };
            Ok(Redirect::to(&notice::with(&to, act.done)).into_response())
        }
        Err(DeliveryError::NotQueued(_)) => list_page(caller, Asked::default(), Some(gone(id))).await,
        Err(error @ DeliveryError::InFlight(_)) => {
            one_page(caller, id, String::new(), Some(capital(&error.to_string()))).await
        }
        Err(error) => Err(error.into()),
    }
}

fn gone(id: QueueId) -> String {
    format!("Message {id} is no longer in the queue: it was delivered, returned or dropped. Nothing was done.")
}

fn question(act: Act, message: &QueuedMessage) -> Question {
    let to: Vec<String> = message.recipients.iter().take(20).map(|r| readable(&r.address)).collect();
    let more = message.recipients.len().saturating_sub(to.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let heading = match act.deed {
        Deed::Return => format!("Return message {} to its sender?", message.id),
        _ => format!("Drop message {}?", message.id),
    };
    Question {
        heading,
        facts: vec![
            format!("From {}, {}.", sender_of(message), size(message.size)),
            format!("Not delivered yet to {}{more}.", to.join(", ")),
            act.says.to_owned(),
        ],
        fields: vec![("do", act.verb.to_owned()), ("id", message.id.to_string())],
        button: act.label,
        action: HERE.to_owned(),
        back: format!("{HERE}/{}", message.id),
        here: HERE,
        ..Question::default()
    }
}

pub fn uncapital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}", first.to_lowercase(), chars.as_str()))
}
