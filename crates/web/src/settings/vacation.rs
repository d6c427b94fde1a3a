//! The page of the vacation reply: when, to whom, and what it says. It stands beside the rules in the active script.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::civil::Date;
use rules::{Day, OwnReply, RulesError, Shown, Vacation};

use super::common::{Ask, TABS, Tabs, surroundings};
use super::rules::{Opened, keep, open, refused};
use crate::caller::Caller;
use crate::error::Result;
use crate::forms::Posted;
use crate::listing::Place;
use crate::notice;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wrong::Wrong;

const HERE: &str = "/settings/vacation";
/// Most characters of a subject.
const MAX_SUBJECT: usize = 200;
/// Most characters of a reply.
const MAX_TEXT: usize = 6_000;
/// Choices for how often one person gets the reply, in days.
const DAYS: [(u64, &str); 5] =
    [(1, "once a day"), (3, "every three days"), (7, "once a week"), (14, "every two weeks"), (30, "once a month")];

#[derive(Template)]
#[template(path = "settings_vacation.html")]
struct VacationPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    wrong: Wrong,
    typed: Typed,
    seen: String,
    days: Vec<(u64, String)>,
    /// The reply as its reader will see it: for which address, subject and text.
    preview: Vec<(String, String, String)>,
    /// What is kept now, where it was changed by someone else.
    theirs: Option<String>,
    /// The script is someone's own: the reply stands beside it.
    by_hand: bool,
}

/// The reply as the form has it.
#[derive(Clone, Debug, Default)]
struct Typed {
    on: bool,
    from: String,
    until: String,
    known_only: bool,
    days: u64,
    subject: String,
    text: String,
    own: Vec<OwnTyped>,
}

/// What one of one's addresses says.
#[derive(Clone, Debug, Default)]
struct OwnTyped {
    address: String,
    subject: String,
    text: String,
}

impl Typed {
    fn show(vacation: &Vacation, addresses: &[String]) -> Self {
        let day = |day: &Option<Day>| day.as_ref().map(|day| day.date.clone()).unwrap_or_default();
        let of = |address: &String| {
            let own = vacation.own.iter().find(|own| own.address.eq_ignore_ascii_case(address));
            OwnTyped {
                address: address.clone(),
                subject: own.map(|own| own.subject.clone()).unwrap_or_default(),
                text: own.map(|own| own.text.clone()).unwrap_or_default(),
            }
        };
        let gone = vacation.own.iter().filter(|own| !addresses.iter().any(|it| it.eq_ignore_ascii_case(&own.address)));
        let gone: Vec<String> = gone.map(|own| own.address.clone()).collect();
        Self {
            on: !vacation.off,
            from: day(&vacation.from),
            until: day(&vacation.until),
            known_only: vacation.known_only,
            days: vacation.days,
            subject: vacation.subject.clone(),
            text: vacation.text.clone(),
            own: if addresses.len() > 1 { addresses.iter().chain(&gone).map(of).collect() } else { Vec::new() },
        }
    }

    fn of(form: &Posted) -> Self {
        let own = (0..100).map_while(|at| {
            let field = |name: &str| form.get(&format!("{name}-{at}")).to_owned();
            let address = field("address");
            (!address.is_empty()).then(|| OwnTyped { address, subject: field("subject"), text: field("text") })
        });
        Self {
            on: form.get("on") == "1",
            from: form.get("from").trim().to_owned(),
            until: form.get("until").trim().to_owned(),
            known_only: form.get("known") == "1",
            days: form.get("days").parse().unwrap_or(rules::DEFAULT_DAYS).clamp(1, 90),
            subject: form.get("subject").trim().to_owned(),
            text: form.get("text").to_owned(),
            own: own.collect(),
        }
    }

    /// The reply; notes what is wrong with the fields.
    fn vacation(&self, caller: &Caller, wrong: &mut Wrong) -> Vacation {
        let from = day(caller, &self.from, "from", wrong);
        let until = day(caller, &self.until, "until", wrong);
        if let (Some(from), Some(until)) = (&from, &until)
            && until.date < from.date
        {
            wrong.add("until", "The last day is before the first.");
        }
        if let Some(until) = &until
            && self.on
            && until.date < caller.calendar().today().to_string()
        {
            wrong.add("until", "This day is over. Choose a later one, or turn the reply off.");
        }
        text(&self.subject, &self.text, "", wrong);
        if self.text.trim().is_empty() && (self.on || !self.own.iter().all(|own| own.text.trim().is_empty())) {
            wrong.add("text", "Enter the text of the reply.");
        }
        let mut own = Vec::new();
        for (at, typed) in self.own.iter().enumerate().filter(|(_, own)| !own.text.trim().is_empty()) {
            text(&typed.subject, &typed.text, &format!("-{at}"), wrong);
            own.push(OwnReply {
                address: typed.address.clone(),
                subject: typed.subject.trim().to_owned(),
                text: typed.text.clone(),
            });
        }
        Vacation {
            off: !self.on,
            from,
            until,
            known_only: self.known_only,
            days: self.days,
            subject: self.subject.clone(),
            text: self.text.clone(),
            own,
        }
        .settled()
    }
}

/// Notes what is wrong with a subject and a text.
fn text(subject: &str, text: &str, suffix: &str, wrong: &mut Wrong) {
    if subject.chars().count() > MAX_SUBJECT || subject.chars().any(char::is_control) {
        wrong.add(format!("subject{suffix}"), Problem::TextTooLong(MAX_SUBJECT));
    }
    if text.chars().count() > MAX_TEXT || text.contains('\0') {
        wrong.add(format!("text{suffix}"), Problem::TextTooLong(MAX_TEXT));
    }
}

/// A typed day with the offset that the caller's time zone has when it begins.
fn day(caller: &Caller, typed: &str, field: &'static str, wrong: &mut Wrong) -> Option<Day> {
    if typed.is_empty() {
        return None;
    }
    let Ok(date) = typed.parse::<Date>() else {
        wrong.add(field, "Enter a day such as 2026-12-24.");
        return None;
    };
    let zone = caller.calendar().offset_on(date);
    let (sign, seconds) = (if zone.seconds() < 0 { '-' } else { '+' }, zone.seconds().abs());
    let zone = format!("{sign}{:02}{:02}", seconds / 3_600, seconds / 60 % 60);
    Some(Day { date: date.to_string(), zone })
}

/// `GET /settings/vacation`
pub async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    let Opened { current, book } = open(&caller)?;
    let vacation = book.vacation().cloned().unwrap_or_default();
    let typed = Typed::show(&vacation, &caller.senders());
    let by_hand = book.is_by_hand();
    show(caller, Aside { typed, seen: current.version, done: place.done, by_hand, ..Aside::default() }).await
}

/// What is shown.
#[derive(Default)]
struct Aside {
    typed: Typed,
    seen: String,
    wrong: Wrong,
    problem: Option<Problem>,
    theirs: Option<String>,
    preview: Vec<(String, String, String)>,
    done: Option<String>,
    by_hand: bool,
}

async fn show(caller: Caller, aside: Aside) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let status = match (&aside.problem, aside.wrong.is_empty()) {
                (Some(problem), _) => refused(problem),
                (None, false) => StatusCode::UNPROCESSABLE_ENTITY,
                (None, true) => StatusCode::OK,
            };
            let mut days: Vec<(u64, String)> = DAYS.iter().map(|(days, says)| (*days, (*says).to_owned())).collect();
            if !days.iter().any(|(days, _)| *days == aside.typed.days) {
                days.push((aside.typed.days, format!("every {} days", aside.typed.days)));
            }
            let mut response = view::html(&VacationPage {
                page: caller.page("Vacation"),
                shell: surroundings(caller, aside.done.as_deref(), HERE)?,
                tabs: TABS,
                here: HERE,
                problem: aside.problem,
                ask: None,
                wrong: aside.wrong,
                typed: aside.typed,
                seen: aside.seen,
                days,
                preview: aside.preview,
                theirs: aside.theirs,
                by_hand: aside.by_hand,
            });
            *response.status_mut() = status;
            Ok(response)
        })
        .await
}

/// What readers of the reply see.
fn preview(caller: &Caller, vacation: &Vacation) -> Vec<(String, String, String)> {
    let subject = |subject: &str| {
        if subject.is_empty() { "Auto: (subject of the message)".to_owned() } else { subject.to_owned() }
    };
    let own = vacation.own.iter().map(|own| (own.address.clone(), subject(&own.subject), own.text.clone()));
    let others = if vacation.own.is_empty() { caller.address.clone() } else { "all other addresses".to_owned() };
    own.chain([(others, subject(&vacation.subject), vacation.text.clone())]).collect()
}

/// `POST /settings/vacation`
pub async fn save(caller: Caller, form: Posted) -> Result<Response> {
    let ends = form.get("press") == "end";
    let typed = Typed::of(&form);
    let seen = form.get("seen").to_owned();
    let mut wrong = Wrong::default();
    let mut opened = open(&caller)?;
    let vacation = if ends {
        // One click in the line above any page: what is kept stays, and is off.
        Vacation { off: true, ..opened.book.vacation().cloned().unwrap_or_default() }
    } else {
        typed.vacation(&caller, &mut wrong)
    };
    let replies = |part: &rules::Part| matches!(part.shown, Shown::ByHand(_)) && part.source.contains("vacation");
    if !ends && !vacation.off && opened.book.parts().iter().any(replies) {
        let why = "Your script sends a vacation reply in a part that was written by hand. Remove it there first.";
        wrong.add("on", why);
    }
    let by_hand = opened.book.is_by_hand();
    let aside = |typed| Aside { typed, seen: seen.clone(), by_hand, ..Aside::default() };
    if !wrong.is_empty() {
        return show(caller, Aside { wrong, ..aside(typed) }).await;
    }
    if form.get("press") == "preview" {
        let preview = preview(&caller, &vacation);
        return show(caller, Aside { preview, ..aside(typed) }).await;
    }
    let key = form.act_key(&format!("vacation {vacation:?}"));
    let back = if ends { form.back() } else { HERE.to_owned() };
    if caller.site.rules.last_edit(caller.realm, &key)?.is_some() {
        return Ok(Redirect::to(&notice::with(&back, &format!("rules:{}", hex::encode(key)))).into_response());
    }
    if !ends && opened.current.version != seen {
        return conflict(caller, opened, typed).await;
    }
    let note = if vacation.off { "The vacation reply is off." } else { "The vacation reply is on." };
    opened.book.set_vacation(Some(vacation));
    match keep(&caller, opened, key, note).await? {
        Ok(done) => Ok(Redirect::to(&notice::with(&back, &done)).into_response()),
        Err(Problem::Rules(RulesError::Changed(_))) => {
            let opened = open(&caller)?;
            conflict(caller, opened, typed).await
        }
        Err(problem) => show(caller, Aside { problem: Some(problem), ..aside(typed) }).await,
    }
}

/// The script has changed since the form was made: both are shown. Sent again, what was typed takes its place.
async fn conflict(caller: Caller, opened: Opened, typed: Typed) -> Result<Response> {
    let Opened { current, book } = opened;
    let kept = book.parts().iter().find(|part| matches!(part.shown, Shown::Vacation(_)));
    let aside = Aside {
        typed,
        theirs: Some(kept.map_or(current.text.clone(), |part| part.source.clone())),
        seen: current.version,
        problem: Some(Problem::Rules(RulesError::Changed(current.name))),
        by_hand: book.is_by_hand(),
        ..Aside::default()
    };
    show(caller, aside).await
}
