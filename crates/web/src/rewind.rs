//! Going back: which moment, what would change, and the press. Of one's own account, and for administrators of any.

mod moment;

use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use continuity::rewind::{Coming, Preview, RewindError, What, Wish, name_of, told};
use directory::{AccountId, AccountRealm};
use mailstore::rewind::{RewindId, RewindPlan, RewindRecord};
use mailstore::{EmailId, MailError, MailboxId, Unavailable};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::caller::Caller;
use crate::error::{Fault, Result, form_urlencoded};
use crate::forms::Posted;
use crate::listing::count;
use crate::problem::Problem;
use crate::shell::label;
use crate::site::Site;
use crate::templates::{Notice, Shell};
use crate::time::{Calendar, size};
use crate::view::{self, Page};
use crate::wording::capital;
use crate::{admin, notice, settings, shell};

/// Names of contacts that a preview shows.
const NAMES: usize = 12;
/// Earlier rewinds that are shown.
const RECENT: usize = 8;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// The routes below `/rewind`.
pub fn routes() -> Router<Site> {
    Router::new()
        .route("/rewind", get(choose))
        .route("/rewind/preview", get(preview))
        .route("/rewind/run", post(run))
        .route("/rewind/undo", post(undo))
}

/// Whose account, if not the caller's.
struct Subject {
    id: AccountId,
    address: String,
}

/// What stands around each of these pages.
struct Frame {
    tabs: &'static [(&'static str, &'static str)],
    here: &'static str,
    heading: String,
    subject: Option<Subject>,
}

#[derive(Template)]
#[template(path = "rewind.html")]
struct ChoosePage {
    page: Page,
    shell: Shell,
    frame: Frame,
    problem: Option<Problem>,
    start: String,
    /// What stands in the fields of the moment.
    date: String,
    time: String,
    presets: Vec<(&'static str, &'static str)>,
    whats: Vec<(String, String, bool)>,
    flags: bool,
    recent: Vec<Recent>,
}

struct Recent {
    id: String,
    what: String,
    moment: String,
    ago: String,
    told: String,
    undoable: bool,
}

#[derive(Template)]
#[template(path = "rewind_preview.html")]
struct PreviewPage {
    page: Page,
    shell: Shell,
    frame: Frame,
    problem: Option<Problem>,
    what: String,
    what_text: String,
    moment: String,
    moment_ms: i64,
    flags: bool,
    empty: bool,
    possible: bool,
    summary: String,
    mailboxes: Vec<MailboxLine>,
    messages: Vec<MessageLine>,
    further: usize,
    people: Vec<(String, String)>,
    only_book: String,
    back: String,
}

struct MailboxLine {
    name: String,
    made: bool,
    text: String,
    only: String,
}

struct MessageLine {
    id: String,
    from: String,
    subject: String,
    when: String,
    moved: bool,
}

/// What an address or form asks for.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    account: String,
    #[serde(default)]
    what: String,
    #[serde(default)]
    when: String,
    /// A moment as an address may name it: `2026-11-23T18:00`.
    #[serde(default)]
    at: String,
    #[serde(default)]
    date: String,
    #[serde(default)]
    time: String,
    #[serde(default)]
    moment: String,
    #[serde(default)]
    flags: String,
    done: Option<String>,
}

impl Asked {
    fn of(form: &Posted) -> Self {
        let get = |name: &str| form.get(name).to_owned();
        Self {
            account: get("account"),
            what: get("what"),
            moment: get("moment"),
            flags: get("flags"),
            ..Self::default()
        }
    }

    /// The account that is meant.
    fn subject(&self, caller: &Caller) -> Result<Option<Subject>> {
        if self.account.is_empty() || self.account == caller.account.to_string() {
            return Ok(None);
        }
        if !caller.admin {
            return Err(Fault::Forbidden("Only administrators can rewind other people’s accounts."));
        }
        let id = self.account.parse().map(AccountId).map_err(|_| Fault::NotFound("There is no such account."))?;
        let found = caller.site.directory.account(id)?.ok_or(Fault::NotFound("There is no such account."))?;
        Ok(Some(Subject { id, address: found.address.to_string() }))
    }

    fn what(&self) -> What {
        match self.what.split_once(':') {
            Some(("mailbox", name)) => What::Mailbox(name.to_owned()),
            _ if self.what == "book" => What::AddressBook,
            _ => What::Everything,
        }
    }

    fn moment_ms(&self, calendar: &Calendar, now_ms: i64) -> Result<i64, String> {
        let given = match self.when.as_str() {
            _ if !self.moment.is_empty() => self.moment.parse().ok(),
            "minutes" => Some(now_ms - 10 * MINUTE_MS),
            "hour" => Some(now_ms - HOUR_MS),
            "yesterday" => Some(calendar.yesterday_at(18)),
            "week" => Some(now_ms - 7 * 24 * HOUR_MS),
            _ if self.at.is_empty() => return moment::read(&self.date, &self.time, calendar),
            _ => calendar.of_field(&self.at),
        };
        given.ok_or_else(|| "Enter a date such as 29 November 2026, and a time such as 18:05.".to_owned())
    }

    /// The address of the preview of something else at the same moment.
    fn link(&self, moment_ms: i64, what: &str) -> String {
        let mut link = format!("/rewind/preview?moment={moment_ms}&what={}", form_urlencoded(what));
        for (name, value) in [("account", &self.account), ("flags", &self.flags)] {
            if !value.is_empty() {
                link.push_str(&format!("&{name}={}", form_urlencoded(value)));
            }
        }
        link
    }
}

fn realm(caller: &Caller, subject: Option<&Subject>) -> AccountRealm {
    subject.map_or(caller.realm, |subject| subject.id.realm())
}

fn frame(subject: Option<Subject>) -> Frame {
    match subject {
        None => Frame { tabs: settings::TABS, here: "/rewind", heading: "Settings".to_owned(), subject: None },
        Some(subject) => {
            let heading = format!("Rewind {}", subject.address);
            Frame { tabs: admin::TABS, here: "", heading, subject: Some(subject) }
        }
    }
}

/// A moment in words, to the minute.
fn full(calendar: &Calendar, ms: i64) -> String {
    calendar.when(ms).full
}

/// Why it can't be done, in words; or a fault that has nothing to do with what was asked for.
fn told_why(error: RewindError, calendar: &Calendar) -> Result<String> {
    let too_much = || Ok("Too much has changed since then to restore at once. Choose a later time.".to_owned());
    match error {
        RewindError::Store(error) => match Unavailable::of(&error) {
            Unavailable::BeforeWindow { first_ms } => {
                let start = full(calendar, first_ms);
                Ok(format!("That is too long ago. You can go back to {start} at most."))
            }
            Unavailable::TooLarge => too_much(),
            _ => Err(RewindError::Store(error).into()),
        },
        RewindError::Mail(MailError::TooLarge { .. }) => too_much(),
        RewindError::Mail(error @ MailError::OverQuota { .. }) => Ok(capital(&error.to_string())),
        error @ (RewindError::Future
        | RewindError::NotYet
        | RewindError::NoSuchMailbox(_)
        | RewindError::NoSuchMessage(..)) => Ok(capital(&error.to_string())),
        other => Err(other.into()),
    }
}

async fn room(caller: &Caller) -> Result<OwnedSemaphorePermit> {
    caller.site.rewinding.clone().acquire_owned().await.map_err(Fault::internal)
}

async fn choose(caller: Caller, Query(asked): Query<Asked>) -> Result<Response> {
    choose_page(caller, asked, None).await
}

async fn choose_page(caller: Caller, asked: Asked, problem: Option<Problem>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let (calendar, now_ms) = (caller.calendar(), caller.now_ms());
            let subject = asked.subject(caller)?;
            let realm = realm(caller, subject.as_ref());
            let start_ms = caller.site.rewinds.window_start_ms()?;
            let mut whats = vec![
                ("all".to_owned(), "Everything: mail and address book".to_owned(), false),
                ("book".to_owned(), "Address book".to_owned(), false),
            ];
            for mailbox in caller.site.mailstore.mailboxes(realm)? {
                whats.push((format!("mailbox:{}", mailbox.name), format!("Mailbox: {}", label(&mailbox)), false));
            }
            for (value, _, chosen) in &mut whats {
                *chosen = *value == asked.what;
            }
            let presets = [
                ("minutes", "10 minutes ago", now_ms - 10 * MINUTE_MS),
                ("hour", "An hour ago", now_ms - HOUR_MS),
                ("yesterday", "Yesterday 18:00", calendar.yesterday_at(18)),
                ("week", "A week ago", now_ms - 7 * 24 * HOUR_MS),
            ];
            let presets = presets.into_iter().filter(|(_, _, ms)| *ms >= start_ms).map(|(when, text, _)| (when, text));
            let recent = caller.site.mailstore.rewinds(realm)?.into_iter().filter(|(_, r)| r.changed() || !r.done);
            let recent = recent.take(RECENT).map(|(id, record)| Recent {
                id: hex::encode(id.as_bytes()),
                what: capital(&record.what).trim_end_matches('.').to_owned(),
                moment: full(&calendar, record.moment_ms),
                ago: calendar.ago(record.at_ms),
                told: told(&record),
                undoable: record.changed() && !record.undone,
            });
            let mut shell = shell::build(caller, "page", None)?;
            shell.notice = match &subject {
                None => notice::find(caller, asked.done.as_deref(), "/rewind")?,
                Some(_) => others_notice(caller, realm, asked.done.as_deref())?,
            };
            let wrong = problem.is_some();
            let likely = [calendar.yesterday_at(18), now_ms - HOUR_MS, now_ms - 10 * MINUTE_MS];
            let likely = likely.into_iter().find(|ms| *ms > start_ms + MINUTE_MS).unwrap_or(now_ms);
            let (date, time) = if asked.date.is_empty() && asked.time.is_empty() {
                calendar.day_and_time(likely)
            } else {
                (asked.date.clone(), asked.time.clone())
            };
            let mut response = view::html(&ChoosePage {
                page: caller.page("Rewind"),
                shell,
                frame: frame(subject),
                problem,
                start: full(&calendar, start_ms),
                date,
                time,
                presets: presets.collect(),
                whats,
                flags: !asked.flags.is_empty(),
                recent: recent.collect(),
            });
            if wrong {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            Ok(response)
        })
        .await
}

/// What has just been done to somebody else's account; it is undone from the list.
fn others_notice(caller: &Caller, realm: AccountRealm, done: Option<&str>) -> Result<Option<Notice>> {
    let key = done.and_then(|done| hex::decode(done.strip_prefix("rewind:")?).ok());
    let record = match key {
        Some(key) => caller.site.mailstore.rewind_record(realm, RewindId::of(&key)?)?,
        None => None,
    };
    Ok(record.map(|record| Notice { text: told(&record), ..Notice::of("rewind") }))
}

async fn preview(caller: Caller, Query(asked): Query<Asked>) -> Result<Response> {
    let (calendar, now_ms) = (caller.calendar(), caller.now_ms());
    match asked.moment_ms(&calendar, now_ms) {
        Ok(moment_ms) => preview_page(caller, asked, moment_ms, None).await,
        Err(why) => choose_page(caller, asked, Some(Problem::WrongTime(why))).await,
    }
}

async fn preview_page(caller: Caller, asked: Asked, moment_ms: i64, problem: Option<Problem>) -> Result<Response> {
    let room = room(&caller).await?;
    let shown = caller
        .blocking_owned(move |caller| {
            let _room = room;
            let calendar = caller.calendar();
            let subject = asked.subject(&caller)?;
            let wish = Wish { what: asked.what(), moment_ms, flags: !asked.flags.is_empty() };
            let found = match caller.site.rewinds.preview(realm(&caller, subject.as_ref()), &wish) {
                Ok(found) => found,
                Err(error) => return Ok(Err((told_why(error, &calendar)?, caller, asked))),
            };
            let mut page = preview_of(&caller, &asked, &wish, subject, &found)?;
            let wrong = problem.is_some() || page.problem.is_some();
            page.problem = problem.or(page.problem);
            let mut response = view::html(&page);
            if wrong {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            Ok(Ok(response))
        })
        .await?;
    match shown {
        Ok(response) => Ok(response),
        Err((why, caller, asked)) => choose_page(caller, asked, Some(Problem::RewindRefused(why))).await,
    }
}

/// What happens to one record, and to several, that get something back.
const COMPLETED: [&str; 2] =
    ["to get back what it held, next to what it holds now", "to get back what they held, next to what they hold now"];
/// The same of groups.
const GROUP_COMPLETED: [&str; 2] = ["to get back its members or name", "to get back their members or names"];

fn preview_of(
    caller: &Caller,
    asked: &Asked,
    wish: &Wish,
    subject: Option<Subject>,
    found: &Preview,
) -> Result<PreviewPage> {
    let calendar = caller.calendar();
    let (mail, has_more) = (&found.mail, !found.has_only_mail());
    let several = mail.mailboxes.len() > 1 || has_more;
    let mailboxes = mail.mailboxes.iter().map(|mailbox| MailboxLine {
        name: if mailbox.name == "INBOX" { "Inbox".to_owned() } else { mailbox.name.clone() },
        made: mailbox.made,
        text: {
            let parts =
                [(mailbox.back, "to restore"), (mailbox.moved, "to move back"), (mailbox.flagged, "to mark as before")];
            let parts = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
            parts.collect::<Vec<_>>().join(", ")
        },
        only: if several { asked.link(wish.moment_ms, &format!("mailbox:{}", mailbox.name)) } else { String::new() },
    });
    // What is in somebody's messages is theirs: administrators see how many there are.
    let shown = if subject.is_some() { &[][..] } else { &mail.first[..] };
    let messages = shown.iter().map(|message| MessageLine {
        id: format!("{}.{}", message.mailbox, message.email),
        from: message.from.clone(),
        subject: if message.subject.is_empty() { "(no subject)".to_owned() } else { message.subject.clone() },
        when: full(&calendar, message.internal_date_ms),
        moved: message.moved,
    });
    let has_book_and_more = has_more && !mail.is_empty();
    let back =
        if asked.account.is_empty() { "/rewind".to_owned() } else { format!("/rewind?account={}", asked.account) };
    Ok(PreviewPage {
        page: caller.page("Rewind"),
        shell: shell::build(caller, "page", None)?,
        problem: found.problem.as_deref().map(|why| Problem::RewindRefused(capital(why))),
        what: asked.what.clone(),
        what_text: name_of(&wish.what),
        moment: full(&calendar, wish.moment_ms),
        moment_ms: wish.moment_ms,
        flags: wish.flags,
        empty: found.is_empty(),
        possible: found.problem.is_none(),
        summary: summary(mail, wish.flags),
        mailboxes: mailboxes.collect(),
        messages: messages.collect(),
        further: if subject.is_some() { 0 } else { (mail.back + mail.moved).saturating_sub(shown.len()) },
        people: part_lines(&found.parts, subject.is_some()),
        only_book: if has_book_and_more { asked.link(wish.moment_ms, "book") } else { String::new() },
        back,
        frame: frame(subject),
    })
}

/// What happens in the address book and other parts, and to what, without the names if they are `hidden`.
fn part_lines(parts: &[Coming], hidden: bool) -> Vec<(String, String)> {
    let names = |all: &[String]| {
        if hidden {
            return String::new();
        }
        let first = all.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
        if all.len() > NAMES { format!("{first} and {} more", all.len() - NAMES) } else { first }
    };
    let people = parts.iter().flat_map(|coming| {
        let completed = if coming.noun == "group" { GROUP_COMPLETED } else { COMPLETED };
        let both = [(&coming.back, ["to restore"; 2]), (&coming.completed, completed)];
        let both = both.into_iter().filter(|(all, _)| !all.is_empty());
        both.map(|(all, does)| {
            let does = does[usize::from(all.len() > 1)];
            (format!("{} {does}", count(all.len() as u32, coming.noun)), names(all))
        })
    });
    people.collect()
}

/// What happens to messages, in words.
fn summary(mail: &RewindPlan, flags: bool) -> String {
    let mut summary = Vec::new();
    if mail.back > 0 {
        summary.push(format!("restore {} ({})", count(mail.back as u32, "message"), size(mail.bytes)));
    }
    if mail.moved > 0 {
        summary.push(format!("move {} back", count(mail.moved as u32, "message")));
    }
    if mail.flagged > 0 {
        let how = if flags { "reset read, starred and other flags of" } else { "remove the deleted mark from" };
        summary.push(format!("{how} {}", count(mail.flagged as u32, "message")));
    }
    summary.join(", ")
}

async fn run(caller: Caller, form: Posted) -> Result<Response> {
    let asked = Asked::of(&form);
    let bad = || Fault::Bad("The form doesn’t say which time to go back to. Reload the page and try again.".to_owned());
    let moment_ms: i64 = asked.moment.parse().map_err(|_| bad())?;
    let subject = asked.subject(&caller)?;
    let realm = realm(&caller, subject.as_ref());
    let mut wish = Wish { what: asked.what(), moment_ms, flags: !asked.flags.is_empty() };
    if form.get("do") == "chosen" {
        let parse = |id: &str| -> Option<(MailboxId, EmailId)> {
            let (mailbox, email) = id.split_once('.')?;
            Some((mailbox.parse().ok()?, email.parse().ok()?))
        };
        let chosen: Option<Vec<_>> = form.all("id").map(parse).collect();
        wish.what = What::Messages(chosen.ok_or_else(bad)?);
        if wish.what == What::Messages(Vec::new()) {
            return preview_page(caller, asked, moment_ms, Some(Problem::NothingSelected)).await;
        }
    }
    let key = form.act_key(&format!("rewind {realm:?} {wish:?}"));
    let room = room(&caller).await?;
    let (rewinds, work, act) = (caller.site.rewinds.clone(), wish.clone(), key.clone());
    let running = doorkit::span::spawn_blocking(move || {
        let _room = room;
        let done = rewinds.run(realm, &act, &work, &mut |_, _| ());
        if let Err(error) = &done {
            tracing::warn!(%realm, %error, "a rewind was not done, or not to its end");
        }
        done
    });
    let note = format!("{} taken back to {}", name_of(&wish.what), caller.calendar().when(moment_ms).iso);
    let account = subject.as_ref().map_or(caller.account, |subject| subject.id);
    caller.site.directory.audit(Some(account), &caller.address, &note, &caller.peer.addr.to_string()).await?;
    // A large one goes on behind the page, which says how far it is.
    match tokio::time::timeout(caller.site.options.request_timeout / 3, running).await {
        Ok(done) => {
            if let Err(error) = done.map_err(Fault::internal)? {
                let problem = Problem::RewindRefused(told_why(error, &caller.calendar())?);
                return preview_page(caller, asked, moment_ms, Some(problem)).await;
            }
        }
        Err(_) => tracing::info!(%realm, "a rewind goes on in the background"),
    }
    let back = if subject.is_some() { format!("/rewind?account={}", account.0) } else { "/rewind".to_owned() };
    Ok(Redirect::to(&notice::with(&back, &format!("rewind:{}", hex::encode(&key)))).into_response())
}

/// Takes back the rewind that was asked for with a key, and goes to `back`.
pub async fn undo_by_key(caller: Caller, key: &[u8], back: &str) -> Result<Option<Response>> {
    let (realm, id) = (caller.realm, RewindId::of(key)?);
    let done = undo_one(&caller, realm, id).await?;
    Ok(done.map(|_| Redirect::to(&notice::with(back, "undone")).into_response()))
}

async fn undo_one(caller: &Caller, realm: AccountRealm, id: RewindId) -> Result<Option<RewindRecord>> {
    let (rewinds, room) = (caller.site.rewinds.clone(), room(caller).await?);
    let undone = doorkit::span::spawn_blocking(move || {
        let _room = room;
        rewinds.undo(realm, id)
    });
    match undone.await.map_err(Fault::internal)? {
        Ok(done) => Ok(done),
        Err(error) => Err(Fault::Bad(told_why(error, &caller.calendar())?)),
    }
}

async fn undo(caller: Caller, form: Posted) -> Result<Response> {
    let asked = Asked::of(&form);
    let subject = asked.subject(&caller)?;
    let gone = || Fault::NotFound("This can no longer be undone.");
    let id = hex::decode(form.get("id")).ok().and_then(|bytes| bytes.try_into().ok());
    let id = RewindId::from_bytes(id.ok_or_else(gone)?);
    let record = undo_one(&caller, realm(&caller, subject.as_ref()), id).await?.ok_or_else(gone)?;
    let account = subject.as_ref().map_or(caller.account, |subject| subject.id);
    let note = format!("rewind undone: {}", record.what);
    caller.site.directory.audit(Some(account), &caller.address, &note, &caller.peer.addr.to_string()).await?;
    let back = if subject.is_some() { format!("/rewind?account={}", account.0) } else { "/rewind".to_owned() };
    Ok(Redirect::to(&notice::with(&back, "undone")).into_response())
}
