//! Actions are noted down; a host does them when the run has ended well.

use super::{Run, fail};
use crate::action::{Action, Mailbox, Notification, Taken, Vacation};
use crate::address;
use crate::check::mailbox_name;
use crate::error::RunError;
use crate::limits::{MAX_ACTIONS, MAX_NOTIFICATIONS, MAX_REDIRECTS, MAX_VACATION_PERIOD};
use crate::notify::Mailto;
use crate::snooze::{self, MAX_TIMES, Snooze};
use crate::spec::Word;
use crate::tree::Step;

impl Run<'_> {
    pub(super) fn act(&mut self, step: &Step) -> Result<(), RunError> {
        match step.word {
            Word::Discard => {
                self.state.implicit_keep = false;
                Ok(())
            }
            Word::Keep => {
                self.state.implicit_keep = false;
                self.push(step, Action::Keep)
            }
            Word::FileInto => {
                let name = self.text(step, 0)?;
                let mailbox = self.mailbox(step, name)?;
                self.state.implicit_keep &= step.has("copy");
                self.push(step, Action::FileInto(mailbox))
            }
            Word::Redirect => self.redirect(step),
            Word::Reject | Word::Ereject => {
                let reason = self.text(step, 0)?;
                self.state.implicit_keep = false;
                self.push(step, Action::Reject { reason, ereject: step.word == Word::Ereject })
            }
            Word::Vacation => self.vacation(step),
            Word::Notify => self.notify(step),
            Word::Snooze => self.snooze(step),
            _ => fail(step, format!("{} can't be done here", step.name)),
        }
    }

    /// Notes an action: one that is there already counts once, with the later flags.
    fn push(&mut self, step: &Step, action: Action) -> Result<(), RunError> {
        let flags = self.action_flags(step);
        let refuses = |action: &Action| matches!(action, Action::Reject { .. });
        let is_of_mail = |action: &Action| !matches!(action, Action::Notify(_));
        for taken in &self.state.actions {
            let both = (&taken.action, &action);
            if (refuses(both.0) && is_of_mail(both.1)) || (refuses(both.1) && is_of_mail(both.0)) {
                return fail(step, "reject can't be combined with other actions on the message");
            }
        }
        let message = self.state.edited();
        let same = |taken: &&mut Taken| match (&taken.action, &action) {
            (Action::FileInto(a), Action::FileInto(b)) => {
                (a.is_inbox() && b.is_inbox()) || (&a.name, &a.id, &a.special_use) == (&b.name, &b.id, &b.special_use)
            }
            (Action::FileInto(mailbox), Action::Keep) | (Action::Keep, Action::FileInto(mailbox)) => mailbox.is_inbox(),
            (Action::Snooze(_), Action::Snooze(_)) => true,
            (Action::Notify(_), _) => false,
            (a, b) => a == b,
        };
        if let Some(taken) = self.state.actions.iter_mut().find(same) {
            taken.flags = flags;
            // The last one says until when.
            if matches!(action, Action::Snooze(_)) {
                taken.action = action;
            }
            return Ok(());
        }
        if self.state.actions.len() >= MAX_ACTIONS {
            return fail(step, format!("the script takes more than {MAX_ACTIONS} actions"));
        }
        self.state.actions.push(Taken { at: step.at, action, flags, message });
        Ok(())
    }

    fn mailbox(&mut self, step: &Step, name: String) -> Result<Mailbox, RunError> {
        mailbox_name(&name).map_err(|text| RunError { at: step.at, text })?;
        Ok(Mailbox {
            name,
            id: self.tag_text(step, "mailboxid")?,
            special_use: self.tag_text(step, "specialuse")?,
            create: step.has("create"),
        })
    }

    fn redirect(&mut self, step: &Step) -> Result<(), RunError> {
        let text = self.text(step, 0)?;
        let action = if step.has("list") {
            if self.host.list_contains(&text, "").is_none() {
                return fail(step, format!("there is no list {text:?}"));
            }
            Action::RedirectList(text)
        } else {
            let address = address::one(&text).map_err(|text| RunError { at: step.at, text })?;
            Action::Redirect(address.to_string())
        };
        let is_redirect = |action: &Action| matches!(action, Action::Redirect(_) | Action::RedirectList(_));
        let before = self.state.actions.iter().filter(|taken| is_redirect(&taken.action)).count();
        let is_new = !self.state.actions.iter().any(|taken| taken.action == action);
        if is_new && before >= MAX_REDIRECTS {
            return fail(step, format!("the script sends the message on to more than {MAX_REDIRECTS} addresses"));
        }
        self.state.implicit_keep &= step.has("copy");
        self.push(step, action)
    }

    fn fcc(&mut self, step: &Step) -> Result<Option<(Mailbox, Vec<String>)>, RunError> {
        let Some(name) = self.tag_text(step, "fcc")? else { return Ok(None) };
        let mailbox = self.mailbox(step, name)?;
        let flags = self.state.tag_texts(step, "flags").unwrap_or_default();
        Ok(Some((mailbox, super::flags::flags(flags.iter().map(String::as_str)))))
    }

    fn vacation(&mut self, step: &Step) -> Result<(), RunError> {
        self.state.vacations += 1;
        if self.state.vacations > 1 {
            return fail(step, "vacation can be used once only");
        }
        let seconds =
            step.number("seconds").or_else(|| step.number("days").map(|days| days.max(1).saturating_mul(86_400)));
        let mut vacation = Vacation {
            reason: self.text(step, 0)?,
            mime: step.has("mime"),
            subject: self.tag_text(step, "subject")?,
            from: self.tag_text(step, "from")?,
            addresses: self.state.tag_texts(step, "addresses").unwrap_or_default(),
            handle: String::new(),
            seconds: seconds.map(|seconds| seconds.min(MAX_VACATION_PERIOD)),
            fcc: self.fcc(step)?,
        };
        if let Some(from) = &vacation.from {
            address::one(from).map_err(|text| RunError { at: step.at, text })?;
        }
        vacation.handle = match self.tag_text(step, "handle")? {
            Some(handle) => format!("handle:{handle}"),
            // RFC 5230 section 4.7: what the person would see decides.
            None => {
                let (from, subject) = (vacation.from.as_deref(), vacation.subject.as_deref());
                format!("text:{from:?} {subject:?} {} {}", vacation.mime, vacation.reason)
            }
        };
        self.push(step, Action::Vacation(Box::new(vacation)))
    }

    fn snooze(&mut self, step: &Step) -> Result<(), RunError> {
        let wrong = |text| RunError { at: step.at, text };
        let list = |state: &super::State, tag| state.tag_texts(step, tag).unwrap_or_default();
        let (days, times) = (list(&self.state, "weekdays"), self.texts(step, 0)?);
        if times.is_empty() || times.len() > MAX_TIMES {
            return fail(step, format!("snooze has 1 to {MAX_TIMES} times"));
        }
        let zone = self.tag_text(step, "tzid")?;
        if let Some(zone) = &zone {
            snooze::zone_name(zone).map_err(wrong)?;
        }
        let flags_of = |names: &[String]| super::flags::flags(names.iter().map(String::as_str));
        let snooze = Snooze {
            mailbox: self.tag_text(step, "mailbox")?,
            add: flags_of(&list(&self.state, "addflags")),
            remove: flags_of(&list(&self.state, "removeflags")),
            weekdays: days.iter().map(|day| snooze::weekday(day)).collect::<Result<_, _>>().map_err(wrong)?,
            zone,
            times: times.iter().map(|time| snooze::time_of_day(time)).collect::<Result<_, _>>().map_err(wrong)?,
        };
        self.state.implicit_keep = false;
        self.push(step, Action::Snooze(Box::new(snooze)))
    }

    fn notify(&mut self, step: &Step) -> Result<(), RunError> {
        let method = self.text(step, 0)?;
        Mailto::read(&method).map_err(|text| RunError { at: step.at, text })?;
        let from = self.tag_text(step, "from")?;
        if let Some(from) = &from {
            address::one(from).map_err(|text| RunError { at: step.at, text })?;
        }
        let importance = match self.tag_text(step, "importance")?.as_deref() {
            None | Some("2") => 2,
            Some("1") => 1,
            Some("3") => 3,
            Some(other) => return fail(step, format!("the importance is \"1\", \"2\" or \"3\", not {other:?}")),
        };
        let before = self.state.actions.iter().filter(|taken| matches!(taken.action, Action::Notify(_))).count();
        if before >= MAX_NOTIFICATIONS {
            return fail(step, format!("the script sends more than {MAX_NOTIFICATIONS} notifications"));
        }
        let notification = Notification {
            method,
            from,
            importance,
            options: self.state.tag_texts(step, "options").unwrap_or_default(),
            message: self.tag_text(step, "message")?,
            fcc: self.fcc(step)?,
        };
        self.push(step, Action::Notify(Box::new(notification)))
    }
}
