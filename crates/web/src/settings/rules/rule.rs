//! The form of one rule. It works without scripts: rows are added and taken out by buttons.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use delivery::ForwardState;
use mailstore::{EmailId, Mailbox};
use rules::{Action, Book, Rule, RulesError};
use serde::Deserialize;

use super::trial::{self, Preview};
use super::typed::{ActionRow, ConditionRow, DOINGS, HOWS, MAX_ACTIONS, MAX_CONDITIONS, Typed, WHATS};
use super::{HERE, Opened, keep, open, words};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::notice;
use crate::problem::Problem;
use crate::settings::common::{Ask, TABS, Tabs, surroundings};
use crate::shell::label;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wrong::Wrong;

/// Most of a message in which its mailing list is looked for, in bytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;

type Choices = &'static [(&'static str, &'static str)];

#[derive(Template)]
#[template(path = "settings_rule.html")]
struct RulePage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    wrong: Wrong,
    typed: Typed,
    /// Which part is changed; empty for a new rule.
    at: String,
    seen: String,
    /// What the form was made from: a message, and other ways to begin.
    ways: Vec<(String, &'static str, bool)>,
    whats: Choices,
    hows: Choices,
    doings: Choices,
    /// Value and name of each mailbox.
    folders: Vec<(String, String)>,
    addresses: Vec<String>,
    forwards: Vec<String>,
    /// The rule as it is kept now, where it was changed by someone else.
    theirs: Option<Theirs>,
    may_add: (bool, bool),
    /// What the rule as it is typed would match.
    tried: Option<Preview>,
}

/// What is kept, beside what was typed.
struct Theirs {
    /// As a rule.
    sentence: Option<(String, String)>,
    /// As it is written.
    source: String,
}

/// What the page is asked for.
#[derive(Default, Deserialize)]
pub struct Asked {
    at: Option<usize>,
    /// A message that the rule is made from.
    message: Option<String>,
    /// `sender`, `list` or `subject` of it.
    by: Option<String>,
}

/// What is shown.
#[derive(Default)]
struct Aside {
    typed: Typed,
    at: Option<usize>,
    seen: String,
    wrong: Wrong,
    problem: Option<Problem>,
    ways: Vec<(String, &'static str, bool)>,
    theirs: Option<Theirs>,
    /// The rule is to be tried as it is typed.
    tries: Option<Rule>,
}

/// `GET /settings/rules/rule`
pub async fn page(caller: Caller, Query(asked): Query<Asked>) -> Result<Response> {
    let Opened { current, book } = open(&caller)?;
    let mailboxes = caller.site.mailstore.mailboxes(caller.realm)?;
    let mut aside = Aside { seen: current.version, at: asked.at, ..Aside::default() };
    match asked.at {
        Some(at) => {
            let rule = book.rule(at).ok_or(Fault::NotFound("There is no such rule."))?;
            aside.typed = Typed::show(rule, &mailboxes).with_rows();
        }
        None => {
            aside.typed = Typed::new();
            if let Some(id) = &asked.message {
                from_message(&caller, id, asked.by.as_deref(), &mut aside)?;
            }
        }
    }
    show(caller, aside).await
}

/// Fills the form in from a message.
fn from_message(caller: &Caller, id: &str, by: Option<&str>, aside: &mut Aside) -> Result<()> {
    let gone = || Fault::NotFound("There is no such message.");
    let id: EmailId = id.parse().map_err(|_| gone())?;
    let email = caller.site.mailstore.email(caller.realm, id)?.ok_or_else(gone)?;
    let sender = email.parsed.from.first().map(|person| person.address.clone()).unwrap_or_default();
    let head = caller.site.mailstore.body(caller.realm, id)?.read_range(0, MAX_HEADER_BYTES)?;
    let list = list_id(&head);
    let subject = bare_subject(&email.parsed.subject);
    let by = by.unwrap_or(if list.is_some() { "list" } else { "sender" });
    let row = |what: &str, how: &str, value: &str| ConditionRow {
        what: what.to_owned(),
        how: how.to_owned(),
        value: value.to_owned(),
        ..ConditionRow::default()
    };
    aside.typed.conditions = vec![match (by, &list) {
        ("list", Some(list)) => row("list", "contains", list),
        ("subject", _) => row("subject", "contains", &subject),
        _ => row("from", "is", &sender),
    }];
    let way = |name: &str, says| (format!("{HERE}/rule?message={id}&by={name}"), says, by == name);
    aside.ways.push(way("sender", "This sender"));
    if list.is_some() {
        aside.ways.push(way("list", "This mailing list"));
    }
    if !subject.is_empty() {
        aside.ways.push(way("subject", "This subject"));
    }
    Ok(())
}

/// The id of a mailing list, without its description.
fn list_id(header: &[u8]) -> Option<String> {
    let value = mailkit::headers::value(header, "List-Id")?;
    let text = String::from_utf8_lossy(&value).into_owned();
    let id = text.rsplit_once('<').map_or(text.as_str(), |(_, id)| id);
    let id = id.split('>').next().unwrap_or_default().trim();
    (!id.is_empty()).then(|| id.to_owned())
}

/// A subject without the marks of answers.
fn bare_subject(subject: &str) -> String {
    let mut rest = subject.trim();
    while let Some((mark, after)) = rest.split_once(':')
        && ["re", "fw", "fwd", "aw", "wg"].contains(&mark.trim().to_ascii_lowercase().as_str())
    {
        rest = after.trim();
    }
    rest.to_owned()
}

async fn show(caller: Caller, aside: Aside) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let status = match (&aside.problem, aside.wrong.is_empty()) {
                (Some(problem), _) => super::refused(problem),
                (None, false) => StatusCode::UNPROCESSABLE_ENTITY,
                (None, true) => StatusCode::OK,
            };
            let mailboxes = caller.site.mailstore.mailboxes(caller.realm)?;
            let title = if aside.at.is_some() { "Change rule" } else { "New rule" };
            let forwarding = caller.site.delivery.forwarding(caller.account)?;
            let confirmed = forwarding.targets.into_iter().filter(|target| target.state == ForwardState::On);
            let typed = aside.typed;
            let tried = aside.tries.map(|rule| trial::preview(caller, &rule)).transpose()?;
            let mut response = view::html(&RulePage {
                page: caller.page(title),
                shell: surroundings(caller, None, HERE)?,
                tabs: TABS,
                here: HERE,
                problem: aside.problem,
                ask: None,
                wrong: aside.wrong,
                at: aside.at.map(|at| at.to_string()).unwrap_or_default(),
                seen: aside.seen,
                ways: aside.ways,
                whats: &WHATS,
                hows: &HOWS,
                doings: &DOINGS,
                folders: folders(&mailboxes, &typed),
                addresses: caller.senders(),
                forwards: confirmed.map(|target| target.address.to_string()).collect(),
                theirs: aside.theirs,
                tried,
                may_add: (typed.conditions.len() < MAX_CONDITIONS, typed.actions.len() < MAX_ACTIONS),
                typed,
            });
            *response.status_mut() = status;
            Ok(response)
        })
        .await
}

/// The mailboxes that can be chosen, and those that the rule names although they are gone.
fn folders(mailboxes: &[Mailbox], typed: &Typed) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> =
        mailboxes.iter().map(|mailbox| (mailbox.id.to_string(), label(mailbox))).collect();
    for row in &typed.actions {
        if let Some(name) = row.folder.strip_prefix('=') {
            out.push((row.folder.clone(), format!("{name} (does not exist)")));
        }
    }
    out
}

/// `POST /settings/rules/rule`
pub async fn save(caller: Caller, form: Posted) -> Result<Response> {
    let mut typed = Typed::of(&form);
    let at: Option<usize> = form.get("at").parse().ok();
    let seen = form.get("seen").to_owned();
    let (press, row) = form.get("press").split_once('-').unwrap_or((form.get("press"), ""));
    let row: usize = row.parse().unwrap_or(usize::MAX);
    match press {
        "condition" => typed.conditions.push(ConditionRow { what: "from".to_owned(), ..ConditionRow::default() }),
        "action" => typed.actions.push(ActionRow { doing: "move".to_owned(), ..ActionRow::default() }),
        "dropcondition" if row < typed.conditions.len() => drop(typed.conditions.remove(row)),
        "dropaction" if row < typed.actions.len() => drop(typed.actions.remove(row)),
        "try" => return try_rule(caller, typed, at, seen).await,
        _ => return keep_rule(caller, &form, typed, at, seen).await,
    }
    typed.conditions.truncate(MAX_CONDITIONS);
    typed.actions.truncate(MAX_ACTIONS);
    show(caller, Aside { typed: typed.with_rows(), at, seen, ..Aside::default() }).await
}

/// Shows what the rule would match, as it is typed.
async fn try_rule(caller: Caller, typed: Typed, at: Option<usize>, seen: String) -> Result<Response> {
    let mailboxes = caller.site.mailstore.mailboxes(caller.realm)?;
    let mut wrong = Wrong::default();
    let rule = typed.rule(&mailboxes, &mut wrong);
    let tries = wrong.is_empty().then_some(rule);
    show(caller, Aside { typed: typed.with_rows(), at, seen, wrong, tries, ..Aside::default() }).await
}

async fn keep_rule(caller: Caller, form: &Posted, typed: Typed, at: Option<usize>, seen: String) -> Result<Response> {
    let mailboxes = caller.site.mailstore.mailboxes(caller.realm)?;
    let mut wrong = Wrong::default();
    let rule = typed.rule(&mailboxes, &mut wrong);
    let key = form.act_key(&format!("rule {at:?} {rule:?}"));
    if caller.site.rules.last_edit(caller.realm, &key)?.is_some() {
        return Ok(Redirect::to(&notice::with(HERE, &format!("rules:{}", hex::encode(key)))).into_response());
    }
    if !wrong.is_empty() {
        return show(caller, Aside { typed: typed.with_rows(), at, seen, wrong, ..Aside::default() }).await;
    }
    let mut opened = open(&caller)?;
    if opened.current.version != seen {
        return conflict(caller, opened, typed, at, &rule, &mailboxes).await;
    }
    if let Some(wrong) = unconfirmed(&caller, &typed, at.and_then(|at| opened.book.rule(at)))? {
        return show(caller, Aside { typed: typed.with_rows(), at, seen, wrong, ..Aside::default() }).await;
    }
    let note = if at.is_some() { "Rule changed." } else { "Rule added." };
    let at = at.filter(|at| opened.book.rule(*at).is_some());
    opened.book.set_rule(at, rule);
    match keep(&caller, opened, key, note).await? {
        Ok(done) => Ok(Redirect::to(&notice::with(HERE, &done)).into_response()),
        Err(Problem::Rules(RulesError::Changed(_))) => {
            let opened = open(&caller)?;
            let rule = typed.rule(&mailboxes, &mut Wrong::default());
            conflict(caller, opened, typed, at, &rule, &mailboxes).await
        }
        Err(problem) => {
            let aside = Aside { typed: typed.with_rows(), at, seen, problem: Some(problem), ..Aside::default() };
            show(caller, aside).await
        }
    }
}

/// Forwarding goes to addresses alone that agreed to it; what the rule had already stays.
fn unconfirmed(caller: &Caller, typed: &Typed, before: Option<&Rule>) -> Result<Option<Wrong>> {
    let forwarding = caller.site.delivery.forwarding(caller.account)?;
    let mut known: Vec<String> = forwarding
        .targets
        .iter()
        .filter(|target| target.state == ForwardState::On)
        .map(|target| target.address.to_string())
        .collect();
    known.extend(before.iter().flat_map(|rule| &rule.actions).filter_map(|action| match action {
        Action::Forward { to, .. } => Some(to.clone()),
        _ => None,
    }));
    let mut wrong = Wrong::default();
    for (at, row) in typed.actions.iter().enumerate().filter(|(_, row)| ["forward", "redirect"].contains(&&*row.doing))
    {
        if !known.iter().any(|address| address.eq_ignore_ascii_case(row.to.trim())) {
            wrong.add(format!("to-{at}"), "Choose an address that was confirmed under Settings, Forwarding.");
        }
    }
    Ok((!wrong.is_empty()).then_some(wrong))
}

/// The script has changed since the form was made: what is kept and what was typed are both shown. Sent again, the form
/// takes the place of what is shown.
async fn conflict(
    caller: Caller,
    opened: Opened,
    typed: Typed,
    at: Option<usize>,
    rule: &Rule,
    mailboxes: &[Mailbox],
) -> Result<Response> {
    let Opened { current, book } = opened;
    let now = at.and_then(|at| same_rule(&book, at, &rule.name));
    let theirs = now.map(|at| Theirs {
        sentence: book.rule(at).map(|rule| words::sentences(rule, mailboxes)),
        source: book.parts()[at].source.clone(),
    });
    let theirs = theirs.or(Some(Theirs { sentence: None, source: current.text.clone() }));
    let problem = Some(Problem::Rules(RulesError::Changed(current.name)));
    let aside = Aside { typed: typed.with_rows(), at: now, seen: current.version, problem, theirs, ..Aside::default() };
    show(caller, aside).await
}

/// Where a rule is now: the one of that name, or else the one at that place.
fn same_rule(book: &Book, at: usize, name: &str) -> Option<usize> {
    let named = (0..book.parts().len()).find(|other| book.rule(*other).is_some_and(|rule| rule.name == name));
    named.or_else(|| book.rule(at).map(|_| at))
}
