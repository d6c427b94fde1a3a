//! A rule tried on mail that is here already, and done to it if wished.
//!
//! The messages of a mailbox are looked at from the newest on, at most so many at once; the page says how far that got,
//! and goes on from there. What is done is one act for each press, and can be undone as all acts can.

use std::time::{Duration, Instant};

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use inbound::rules::{Stored, Trial};
use mailstore::{
    ActChange, ActStep, FlagChange, Flags, Keyword, MAX_ACT_MESSAGES, Mailbox, MailboxId, Role, SystemFlag, Uid,
};
use rules::{Action, Book, Condition, Folder, Of, Rule};
use serde::Deserialize;

use super::{HERE, Opened, open, words};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::{count, grouped};
use crate::notice;
use crate::problem::Problem;
use crate::settings::common::{Ask, TABS, Tabs, surroundings};
use crate::shell::label;
use crate::templates::Shell;
use crate::view::{self, Page};

/// Most messages that one request looks at.
const MAX_LOOKED_AT: usize = 5_000;
/// Longest time that one request looks at messages.
const MAX_TIME: Duration = Duration::from_secs(8);
/// Most messages that are listed.
const MAX_LISTED: usize = 100;
/// Most of a message that is read, in bytes: its header, or its text, too.
const HEADER_BYTES: usize = 32 * 1024;
/// See [`HEADER_BYTES`].
const TEXT_BYTES: usize = 1024 * 1024;

#[derive(Template)]
#[template(path = "settings_rule_try.html")]
struct TryPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    at: usize,
    seen: String,
    name: String,
    sentence: (String, String),
    folders: Vec<(String, String)>,
    mailbox: String,
    looked: String,
    found: String,
    listed: Vec<Line>,
    more: usize,
    /// From where to go on.
    next: Option<u32>,
    /// From where this page looked, and how far.
    range: (u32, u32),
    /// What is done with mail that is here, and what is not.
    does: String,
    not_done: String,
}

/// A message that was found.
pub struct Line {
    pub href: String,
    pub who: String,
    pub subject: String,
    pub when: String,
}

/// What is tried on what.
#[derive(Deserialize)]
pub struct Asked {
    at: usize,
    #[serde(rename = "in")]
    mailbox: Option<String>,
    /// Messages up to that UID.
    upto: Option<u32>,
}

/// What was looked at.
struct Tried {
    /// The UIDs that the rule holds for, newest first.
    found: Vec<Uid>,
    /// How many were looked at, of how many there are up to where it began.
    looked: (usize, usize),
    /// The first and the last that were looked at.
    range: (Uid, Uid),
    /// The UID to go on from.
    next: Option<Uid>,
}

/// `GET /settings/rules/try`
pub async fn page(caller: Caller, Query(asked): Query<Asked>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let Opened { current, book } = open(caller)?;
            let rule = book.rule(asked.at).ok_or(Fault::NotFound("There is no such rule."))?.clone();
            let mailboxes = caller.site.mailstore.mailboxes(caller.realm)?;
            let chosen = mailbox(&mailboxes, asked.mailbox.as_deref())?;
            let tried = look(caller, &rule, chosen, Uid(asked.upto.unwrap_or(u32::MAX)), Uid(0))?;
            let (does, not_done) = doable(&rule, &mailboxes);
            let page = TryPage {
                page: caller.page("Try a rule"),
                shell: surroundings(caller, None, HERE)?,
                tabs: TABS,
                here: HERE,
                problem: None,
                ask: None,
                at: asked.at,
                seen: current.version,
                name: rule.name.clone(),
                sentence: words::sentences(&rule, &mailboxes),
                folders: mailboxes.iter().map(|mailbox| (mailbox.id.to_string(), label(mailbox))).collect(),
                mailbox: chosen.id.to_string(),
                looked: format!("{} of {}", grouped(tried.looked.0 as u32), count(tried.looked.1 as u32, "message")),
                found: count(tried.found.len() as u32, "message"),
                listed: listed(caller, chosen.id, &tried.found[..tried.found.len().min(MAX_LISTED)])?,
                more: tried.found.len().saturating_sub(MAX_LISTED),
                next: tried.next.map(|uid| uid.0),
                range: (tried.range.0.0, tried.range.1.0),
                does,
                not_done,
            };
            Ok(view::html(&page))
        })
        .await
}

/// What a rule that is not kept yet would match in the inbox.
pub struct Preview {
    pub looked: String,
    pub found: String,
    pub listed: Vec<Line>,
    pub more: usize,
}

/// Tries a rule that is being typed on the newest messages of the inbox. Nothing is done to them.
///
/// # Errors
/// Those of reading; the rule can't be run.
pub fn preview(caller: &Caller, rule: &Rule) -> Result<Preview> {
    let mailboxes = caller.site.mailstore.mailboxes(caller.realm)?;
    let inbox = mailbox(&mailboxes, None)?;
    let tried = look(caller, rule, inbox, Uid(u32::MAX), Uid(0))?;
    Ok(Preview {
        looked: format!("{} of {}", grouped(tried.looked.0 as u32), count(tried.looked.1 as u32, "message")),
        found: count(tried.found.len() as u32, "message"),
        listed: listed(caller, inbox.id, &tried.found[..tried.found.len().min(MAX_LISTED)])?,
        more: tried.found.len().saturating_sub(MAX_LISTED),
    })
}

fn mailbox<'m>(mailboxes: &'m [Mailbox], wanted: Option<&str>) -> Result<&'m Mailbox> {
    let found = match wanted {
        Some(id) => mailboxes.iter().find(|mailbox| mailbox.id.to_string() == id),
        None => mailboxes.iter().find(|mailbox| mailbox.role == Some(Role::Inbox)),
    };
    found.ok_or(Fault::NotFound("There is no such mailbox."))
}

/// The messages that a rule holds for, from the newest on, between two UIDs.
fn look(caller: &Caller, rule: &Rule, mailbox: &Mailbox, upto: Uid, down_to: Uid) -> Result<Tried> {
    let mut question = Book::default();
    question.set_rule(
        None,
        Rule {
            off: false,
            actions: vec![Action::MoveTo(Folder { name: "found".to_owned(), id: String::new() })],
            ..rule.clone()
        },
    );
    let text = question.text().map_err(|clash| Fault::Bad(Problem::RulesClash(clash).to_string()))?;
    let script = rules::check(&text).map_err(Fault::internal)?;
    let of_text =
        |condition: &Condition| matches!(condition, Condition::Attachment(_) | Condition::Text { of: Of::Body, .. });
    let bytes = if rule.conditions.iter().any(of_text) { TEXT_BYTES } else { HEADER_BYTES };
    let site = &caller.site;
    let trial = Trial::new(site.rules.clone(), site.directory.clone(), site.mailstore.clone(), site.people.clone());
    let view = site.mailstore.view(caller.realm, mailbox.id)?;
    let uids: Vec<Uid> = view.uids().iter().rev().copied().filter(|uid| *uid <= upto && *uid >= down_to).collect();
    let mut tried = Tried { found: Vec::new(), looked: (0, uids.len()), range: (upto, upto), next: None };
    let began = Instant::now();
    for part in uids.chunks(100) {
        if tried.looked.0 >= MAX_LOOKED_AT || began.elapsed() > MAX_TIME {
            tried.next = part.first().copied();
            break;
        }
        caller.awaited()?;
        let rows = site.mailstore.rows(caller.realm, mailbox.id, part)?;
        for row in rows.iter().rev() {
            let mut body = site.mailstore.body_of(&row.body)?;
            let message = Stored {
                bytes: body.len(),
                raw: body.read_range(0, bytes)?.to_vec(),
                at_ms: row.internal_date_ms,
                is_junk: mailbox.role == Some(Role::Junk),
            };
            if trial.files(caller.account, &script, message).map_err(Fault::Bad)? {
                tried.found.push(row.uid);
            }
        }
        tried.looked.0 += part.len();
        tried.range = (uids[0], part[part.len() - 1]);
    }
    Ok(tried)
}

fn listed(caller: &Caller, mailbox: MailboxId, uids: &[Uid]) -> Result<Vec<Line>> {
    let calendar = caller.calendar();
    let mut rows = caller.site.mailstore.rows(caller.realm, mailbox, uids)?;
    rows.reverse();
    let line = |row: &mailstore::MessageRow| {
        let from = row.parsed.from.first().cloned().unwrap_or_default();
        Line {
            href: format!("/message/{}", row.email_id),
            who: if from.name.is_empty() { from.address } else { from.name },
            subject: crate::listing::subject(&row.parsed.subject),
            when: calendar.when(row.internal_date_ms).short,
        }
    };
    Ok(rows.iter().map(line).collect())
}

/// What is done with mail that is here already, and what is not: it would be sent or answered late, or twice.
fn doable(rule: &Rule, mailboxes: &[Mailbox]) -> (String, String) {
    let is_done = |action: &&Action| {
        matches!(action, Action::MarkRead | Action::Star | Action::Label(_) | Action::MoveTo(_) | Action::Discard)
    };
    let say = |action: &Action| match action {
        Action::Discard => Some("move to Trash".to_owned()),
        action => words::action(action, mailboxes),
    };
    let done: Vec<String> = rule.actions.iter().filter(is_done).filter_map(say).collect();
    let not: Vec<String> =
        rule.actions.iter().filter(|action| !is_done(action) && **action != Action::Keep).filter_map(say).collect();
    (done.join(", "), not.join(", "))
}

/// `POST /settings/rules/try`: the rule is done to what a page of the trial found.
pub async fn apply(caller: Caller, form: Posted) -> Result<Response> {
    let (at, upto, from): (usize, u32, u32) =
        match (form.get("at").parse(), form.get("upto").parse(), form.get("from").parse()) {
            (Ok(at), Ok(upto), Ok(from)) => (at, upto, from),
            _ => return Err(Fault::nothing_to_do()),
        };
    let key = form.act_key(&format!("apply {at} {upto} {from} {}", form.get("in")));
    let back = match form.get("next") {
        "" => HERE.to_owned(),
        next => format!("{HERE}/try?at={at}&in={}&upto={next}", crate::error::form_urlencoded(form.get("in"))),
    };
    let done = format!("act:{}", hex::encode(&key));
    if caller.site.mailstore.act_receipt(caller.realm, &key)?.is_none() {
        let wanted = form.get("in").to_owned();
        let seen = form.get("seen").to_owned();
        let planned = caller
            .blocking_owned(move |caller| {
                let Opened { current, book } = open(&caller)?;
                if current.version != seen {
                    let changed = rules::RulesError::Changed(current.name);
                    return Err(Fault::Bad(Problem::Rules(changed).to_string()));
                }
                let rule = book.rule(at).ok_or(Fault::NotFound("There is no such rule."))?.clone();
                let mailboxes = caller.site.mailstore.mailboxes(caller.realm)?;
                let chosen = mailbox(&mailboxes, Some(&wanted))?;
                let tried = look(&caller, &rule, chosen, Uid(upto), Uid(from))?;
                let steps = steps(&rule, &mailboxes, chosen.id, tried.found)?;
                Ok((caller, steps))
            })
            .await;
        let (caller, (note, steps)) = planned?;
        caller.site.mailstore.act(caller.realm, &key, &note, steps).await?;
    }
    Ok(Redirect::to(&notice::with(&back, &done)).into_response())
}

/// The steps of an act that does a rule to messages of a mailbox.
fn steps(rule: &Rule, mailboxes: &[Mailbox], from: MailboxId, mut uids: Vec<Uid>) -> Result<(String, Vec<ActStep>)> {
    uids.sort_unstable();
    uids.truncate(MAX_ACT_MESSAGES);
    let mut flags = Flags::NONE;
    let mut to = None;
    for action in &rule.actions {
        let more = match action {
            Action::MarkRead => Flags::of(&[SystemFlag::Seen]),
            Action::Star => Flags::of(&[SystemFlag::Flagged]),
            Action::Label(name) => Flags::parse([Keyword::new(name)?.as_str()])?,
            Action::MoveTo(folder) => {
                let found = words::mailbox(folder, mailboxes);
                to = Some(found.ok_or(Fault::NotFound("There is no such mailbox."))?.id);
                continue;
            }
            Action::Discard => {
                to = mailboxes.iter().find(|mailbox| mailbox.role == Some(Role::Trash)).map(|trash| trash.id);
                continue;
            }
            _ => continue,
        };
        flags = flags.changed(&FlagChange::Add(more))?;
    }
    let to = to.filter(|to| *to != from);
    let change = match (to, flags.is_empty()) {
        (Some(to), true) => ActChange::Move(to),
        (Some(to), false) => ActChange::MoveWith(to, FlagChange::Add(flags)),
        (None, false) => ActChange::Flags(FlagChange::Add(flags)),
        (None, true) => return Ok(("The rule changes nothing here.".to_owned(), Vec::new())),
    };
    let note = format!("Rule applied to {}.", count(uids.len() as u32, "message"));
    let steps = if uids.is_empty() { Vec::new() } else { vec![ActStep { mailbox: from, uids, change }] };
    Ok((note, steps))
}
