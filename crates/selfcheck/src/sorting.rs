//! What happens to mail that comes: rules, the vacation reply, forwarding, lists of senders.

use delivery::ForwardState;
use directory::{Account, AccountId};
use filter::spam::{Entry, Pattern};
use mailkit::EmailAddress;
use rules::{Action, Book, RulesError, Shown, Vacation};

use crate::finding::{Finding, State, counted};
use crate::{Result, Selfcheck};

/// Blocked contacts that are named.
const MAX_NAMED: usize = 20;

/// The active script.
pub(crate) struct Active {
    pub name: String,
    pub book: Book,
}

impl Selfcheck {
    /// The active script in parts; `None` where there is none, or none that can be read.
    pub(crate) fn active(&self, id: AccountId) -> Result<Option<Active>> {
        let Some(name) = self.rules.active_name(id.realm())? else { return Ok(None) };
        let text = self.rules.get(id.realm(), &name)?;
        Ok(Book::read(&text).ok().map(|book| Active { name, book }))
    }

    pub(crate) fn rules(&self, id: AccountId) -> Result<Vec<Finding>> {
        const CODE: &str = "rules";
        match self.rules.active(id.realm()) {
            Ok(None) => return Ok(vec![Finding::ok(CODE, "You have no rules.")]),
            Ok(Some(_)) => {}
            Err(RulesError::Invalid(problems)) => {
                let why = problems.0.first().map(ToString::to_string).unwrap_or_default();
                let text = format!("Your rules have an error and are not used: {why}. New mail goes to the inbox.");
                return Ok(vec![Finding::new(CODE, State::Wrong, text).page("/settings/rules")]);
            }
            Err(error) => return Err(error.into()),
        }
        let Some(active) = self.active(id)? else { return Ok(vec![Finding::ok(CODE, "Your rules are in use.")]) };
        let mailboxes = self.mailstore.mailboxes(id.realm())?;
        let forwarding = self.delivery.forwarding(id)?;
        let mut found = Vec::new();
        let on = active.book.parts().iter().filter_map(|part| match &part.shown {
            Shown::Rule(rule) if !rule.off => Some(rule),
            _ => None,
        });
        for (rule, action) in on.flat_map(|rule| rule.actions.iter().map(move |action| (rule, action))) {
            let name = if rule.name.is_empty() { "A rule".to_owned() } else { format!("The rule “{}”", rule.name) };
            match action {
                Action::MoveTo(folder) | Action::CopyTo(folder) => {
                    let is_it = |one: &mailstore::Mailbox| {
                        one.id.to_string() == folder.id || one.name.as_str().eq_ignore_ascii_case(&folder.name)
                    };
                    if !mailboxes.iter().any(is_it) {
                        let text = format!(
                            "{name} files mail in “{}”, which doesn’t exist: it goes to the inbox.",
                            folder.name
                        );
                        let finding = Finding::new("rule-mailbox", State::Wrong, text).about(folder.name.clone());
                        found.push(finding.mend("Make the mailbox").page("/settings/rules"));
                    }
                }
                Action::Forward { to, .. } => {
                    let is_on = forwarding.targets.iter().any(|target| {
                        target.state == ForwardState::On && target.address.to_string().eq_ignore_ascii_case(to)
                    });
                    if !is_on {
                        let text =
                            format!("{name} forwards mail to {to}, which is not confirmed: nothing is sent there.");
                        let finding = Finding::new("rule-forward", State::Wrong, text).about(to.clone());
                        found.push(finding.page("/settings/forwarding"));
                    }
                }
                _ => {}
            }
        }
        if found.is_empty() {
            let count = active.book.parts().len();
            found.push(Finding::ok(CODE, format!("Your rules are in use: {}.", counted(count, "part", "parts"))));
        }
        Ok(found)
    }

    pub(crate) fn vacation(&self, id: AccountId) -> Result<Vec<Finding>> {
        const CODE: &str = "vacation";
        let active = self.active(id)?;
        let Some(vacation) = active.as_ref().and_then(|active| active.book.vacation()).filter(|it| !it.off) else {
            return Ok(vec![Finding::ok(CODE, "Your vacation reply is off.")]);
        };
        let now_ms = self.directory.now_ms();
        let note =
            |text: &str| vec![Finding::new(CODE, State::Note, text).mend("Turn it off").page("/settings/vacation")];
        Ok(match phase(vacation, now_ms) {
            Phase::Over => note("Your vacation is over. The reply is no longer sent, but it is still turned on."),
            Phase::Now if vacation.until.is_none() => note("Your vacation reply is on, and has no last day."),
            Phase::Now => note("Your vacation reply is on. It ends by itself on its last day."),
            Phase::Later => vec![Finding::ok(CODE, "Your vacation reply waits for its first day.")],
        })
    }

    pub(crate) fn forwarding(&self, id: AccountId) -> Result<Vec<Finding>> {
        const CODE: &str = "forwarding";
        let forwarding = self.delivery.forwarding(id)?;
        let mut found = Vec::new();
        for target in &forwarding.targets {
            let address = target.address.to_string();
            let finding = match &target.state {
                ForwardState::On => continue,
                ForwardState::Paused { why } => {
                    let text = format!("Forwarding to {address} is paused: {}.", why.trim_end_matches('.'));
                    Finding::new("forward-paused", State::Wrong, text).mend("Try again")
                }
                ForwardState::Unconfirmed { .. } => {
                    let text = format!("Forwarding to {address} waits: its owner has not confirmed it yet.");
                    Finding::new("forward-unconfirmed", State::Note, text)
                }
                ForwardState::Expired => {
                    let text = format!("Forwarding to {address} was not confirmed in time. Nothing is sent there.");
                    Finding::new("forward-expired", State::Note, text).mend("Ask again")
                }
            };
            found.push(finding.about(address).page("/settings/forwarding"));
        }
        let active = forwarding.active();
        if found.is_empty() {
            let text = match active.len() {
                0 => "Your mail is not forwarded.".to_owned(),
                _ => {
                    let copy = if forwarding.keep_copy { "A copy stays here." } else { "No copy stays here." };
                    let names: Vec<String> = active.iter().map(ToString::to_string).collect();
                    format!("Your mail is forwarded to {}. {copy}", names.join(", "))
                }
            };
            found.push(Finding::ok(CODE, text));
        }
        Ok(found)
    }

    /// Senders that are blocked and should hardly be: oneself, contacts, and those whom another line of the list allows.
    pub(crate) fn senders(&self, account: &Account) -> Result<Vec<Finding>> {
        const CODE: &str = "senders";
        let realm = account.id.realm();
        let entries = self.spam.settings(realm)?.entries;
        let own = self.directory.addresses_of(account.id)?;
        let mut found = Vec::new();
        for entry in entries.iter().filter(|entry| !entry.allowed) {
            let name = entry.pattern.to_string();
            let why = if own.iter().any(|address| is_within(address, &entry.pattern)) {
                Some((State::Wrong, "your own address is blocked"))
            } else if let Pattern::Address(address) = &entry.pattern {
                if !self.people.by_address(realm, address)?.is_empty() {
                    Some((State::Note, "this person is in your address book, and blocked"))
                } else if allows(&entries, address) {
                    Some((State::Note, "the domain is allowed, and this address of it is blocked"))
                } else {
                    None
                }
            } else {
                let allowed =
                    entries.iter().any(|one| one.allowed && is_within(&one.pattern.to_string(), &entry.pattern));
                allowed.then_some((State::Note, "this domain is blocked, and an address of it is allowed"))
            };
            if let Some((state, why)) = why
                && found.len() < MAX_NAMED
            {
                let finding = Finding::new("sender-blocked", state, format!("{name}: {why}."));
                found.push(finding.about(name).mend("Unblock").page("/settings/spam"));
            }
        }
        if found.is_empty() {
            let blocked = entries.iter().filter(|entry| !entry.allowed).count();
            let text = match blocked {
                0 => "You block no senders.".to_owned(),
                count => {
                    format!("You block {}. None of them is in your address book.", counted(count, "sender", "senders"))
                }
            };
            found.push(Finding::ok(CODE, text));
        }
        Ok(found)
    }
}

/// Whether an address is one of those that a line means.
fn is_within(address: &str, pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Address(one) => one == address,
        Pattern::Domain(domain) => address.rsplit_once('@').is_some_and(|(_, of)| {
            of == domain || of.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.'))
        }),
    }
}

fn allows(entries: &[Entry], address: &str) -> bool {
    EmailAddress::parse(address).is_ok()
        && entries
            .iter()
            .any(|one| one.allowed && matches!(one.pattern, Pattern::Domain(_)) && is_within(address, &one.pattern))
}

/// When a vacation reply is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Later,
    Now,
    Over,
}

/// Days are compared in the zone of each.
pub(crate) fn phase(vacation: &Vacation, now_ms: i64) -> Phase {
    let date_in = |zone: &str| day_in(zone, now_ms);
    if vacation.from.as_ref().is_some_and(|from| date_in(&from.zone) < from.date) {
        Phase::Later
    } else if vacation.until.as_ref().is_some_and(|until| date_in(&until.zone) > until.date) {
        Phase::Over
    } else {
        Phase::Now
    }
}

/// The day, as `2026-12-24`, where clocks are so far from UTC: `+0100`.
fn day_in(zone: &str, now_ms: i64) -> String {
    let minutes = zone.parse::<i64>().map_or(0, |number| number / 100 * 60 + number % 100);
    let at = jiff::Timestamp::from_millisecond(now_ms.saturating_add(minutes * 60_000)).unwrap_or_default();
    at.to_zoned_datetime(jiff::tz::TimeZone::UTC).date().to_string()
}
