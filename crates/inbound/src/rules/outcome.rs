//! From what a script decided to a verdict.

use delivery::{Case, FileInto, FurtherCopy, MAX_VERSIONS, Mark, Piece, Refusal, Reply, Verdict, Version};
use directory::AccountId;
use mailkit::EmailAddress;
use mailstore::{Flags, MailboxName, Role, Snooze};
use rules::vacation_key;
use sieve::vacation::{self, DEFAULT_PERIOD, Writer};
use sieve::{Action, Envelope, Mailbox, Mailto, Message, Outcome, Stretch, Taken};

use super::means::{Means, role_of};

/// Largest reply or notification, in bytes: it is kept with the verdict.
const MAX_REPLY_BYTES: usize = 16 * 1024;
/// How long an account is not told of the same error again.
const ERROR_PERIOD_MS: i64 = 30 * 86_400_000;
/// Longest refusal, in characters.
const MAX_REFUSAL: usize = 400;

/// One run that ended well.
pub(super) struct Decided<'a> {
    pub means: &'a Means,
    pub case: &'a Case,
    pub account: AccountId,
    pub message: &'a Message,
    pub envelope: &'a Envelope,
    pub before: &'a Verdict,
}

impl Decided<'_> {
    pub fn verdict(&self, outcome: &Outcome, marks: Vec<Mark>) -> Result<Verdict, String> {
        let is_junk = self.before.mailbox == Some(FileInto::Role(Role::Junk));
        let mut verdict = Verdict::default();
        verdict.marks = marks;
        let mut filings: Vec<FurtherCopy> = Vec::new();
        let default = || FileInto::Role(if is_junk { Role::Junk } else { Role::Inbox });
        let mut said: Vec<String> = Vec::new();
        for taken in &outcome.actions {
            match &taken.action {
                Action::Keep => filings.push(self.copy_of(taken, default(), &mut verdict)?),
                Action::FileInto(mailbox) => {
                    let into = self.mailbox(mailbox)?;
                    verdict.create |= mailbox.create;
                    said.push(format!("filed in {}", mailbox.name));
                    filings.push(self.copy_of(taken, into, &mut verdict)?);
                }
                // Spam does not come back.
                Action::Snooze(_) if is_junk => filings.push(self.copy_of(taken, default(), &mut verdict)?),
                Action::Snooze(wanted) => {
                    let snooze = Some(self.snooze(wanted)?);
                    said.push("snoozed".to_owned());
                    let copy = self.copy_of(taken, FileInto::Role(Role::Snoozed), &mut verdict)?;
                    filings.push(FurtherCopy { snooze, ..copy });
                }
                // What is taken for spam is neither sent on nor answered: it would be sent in the account's name.
                Action::Redirect(_) | Action::RedirectList(_) | Action::Vacation(_) | Action::Notify(_) if is_junk => {}
                Action::Redirect(address) => {
                    let address = EmailAddress::parse(address).map_err(|error| error.to_string())?;
                    match self.version(taken, &mut verdict)? {
                        0 => verdict.forwards.push(address),
                        version => verdict.changed_forwards.push((address, version)),
                    }
                    said.push("sent on".to_owned());
                }
                Action::RedirectList(_) => return Err("redirect :list is not possible here".to_owned()),
                Action::Reject { reason, .. } => {
                    let mut refused = Verdict::refuse(Refusal::new(550, (5, 7, 1), told(reason)));
                    refused.marks = verdict.marks;
                    return Ok(refused.because("refused by the rules"));
                }
                Action::Vacation(reply) => verdict.replies.extend(self.vacation(reply)?),
                Action::Notify(notification) => verdict.replies.extend(self.notification(notification)?),
            }
        }
        if is_junk
            && outcome.actions.iter().any(|taken| matches!(taken.action, Action::Redirect(_)))
            && filings.is_empty()
        {
            // It is not lost: it lies where spam lies.
            filings.push(FurtherCopy { into: default(), flags: Flags::default(), version: 0, snooze: None });
        }
        verdict.no_copy = filings.is_empty();
        if verdict.no_copy && verdict.forwards.is_empty() && verdict.changed_forwards.is_empty() {
            said.push("discarded".to_owned());
        }
        let mut filings = filings.into_iter();
        if let Some(FurtherCopy { into, flags, version, snooze }) = filings.next() {
            // What is only kept lies where it would lie without rules.
            verdict.mailbox = Some(into).filter(|into| *into != default());
            (verdict.flags, verdict.version, verdict.snooze) = (flags, version, snooze);
        }
        verdict.copies = filings.collect();
        verdict.because(said.join(", ")).fits().map_err(|error| error.to_string())
    }

    /// The copy that an action files.
    fn copy_of(&self, taken: &Taken, into: FileInto, verdict: &mut Verdict) -> Result<FurtherCopy, String> {
        let version = self.version(taken, verdict)?;
        Ok(FurtherCopy { into, flags: flags_of(taken)?, version, snooze: None })
    }

    /// The number of the changed message that an action is about; 0 if it is as it came.
    fn version(&self, taken: &Taken, verdict: &mut Verdict) -> Result<usize, String> {
        let Some(message) = &taken.message else { return Ok(0) };
        let piece = |stretch| match stretch {
            Stretch::Original(range) => Piece::Original(range),
            Stretch::Text(text) => Piece::Text(text),
        };
        let version = Version {
            pieces: message.pieces().into_iter().map(piece).collect(),
            is_rebuilt: message.is_rebuilt(),
            added_bytes: self.before.headers().len() as u64,
        };
        let known = verdict.versions.iter().position(|known| *known == version);
        let at = known.unwrap_or_else(|| {
            verdict.versions.push(version);
            verdict.versions.len() - 1
        });
        if at >= MAX_VERSIONS {
            return Err(format!("the message is kept or sent on in more than {MAX_VERSIONS} different forms"));
        }
        Ok(at + 1)
    }

    /// Until when a message is snoozed: by the clock of the account's own time zone, if the script names none.
    fn snooze(&self, wanted: &sieve::Snooze) -> Result<Snooze, String> {
        let settings = self.means.directory.settings(self.account).map_err(|error| error.to_string())?;
        let until_ms = wanted.next(self.case.at_ms, &settings.time_zone).ok_or("snooze names no time")?;
        let mailbox = wanted.mailbox.clone().unwrap_or_default();
        Ok(Snooze { until_ms, mailbox, add: wanted.add.clone(), remove: wanted.remove.clone() })
    }

    /// Where a copy of what is sent is filed.
    fn copy(&self, fcc: Option<&(Mailbox, Vec<String>)>) -> Result<Option<(FurtherCopy, bool)>, String> {
        let Some((mailbox, flags)) = fcc else { return Ok(None) };
        let copy = FurtherCopy { into: self.mailbox(mailbox)?, flags: flags_among(flags)?, version: 0, snooze: None };
        Ok(Some((copy, mailbox.create)))
    }

    fn mailbox(&self, mailbox: &Mailbox) -> Result<FileInto, String> {
        if let Some(id) = &mailbox.id {
            let mailboxes = self.means.mailstore.mailboxes(self.account.realm()).map_err(|error| error.to_string())?;
            if let Some(found) = mailboxes.into_iter().find(|found| found.id.to_string() == *id) {
                return Ok(FileInto::Named(found.name));
            }
        }
        if let Some(role) = mailbox.special_use.as_deref().and_then(role_of) {
            return Ok(FileInto::Role(role));
        }
        MailboxName::new(&mailbox.name).map(FileInto::Named).map_err(|error| error.to_string())
    }

    fn vacation(&self, wanted: &sieve::Vacation) -> Result<Option<Reply>, String> {
        let own = self.means.directory.addresses_of(self.account).map_err(|error| error.to_string())?;
        if vacation::no_reply(wanted, self.message, self.envelope, &own).is_some() {
            return Ok(None);
        }
        let person = vacation::person(&self.envelope.from).unwrap_or_default();
        let to = EmailAddress::parse(&person).map_err(|error| error.to_string())?;
        let is_own = |address: &EmailAddress| own.contains(&address.canonical());
        let mut wanted = wanted.clone();
        // A reply speaks for the account alone.
        wanted.from =
            wanted.from.filter(|from| mailkit::read_typed(from).people.iter().all(|person| is_own(&person.address)));
        wanted.addresses.retain(|text| EmailAddress::parse(text).is_ok_and(|address| is_own(&address)));
        let account = own.first().cloned().unwrap_or_else(|| self.envelope.to.clone());
        let message = vacation::reply(&wanted, self.message, self.envelope, &self.writer(&account, &own, &self.id()));
        let seconds = i64::try_from(wanted.seconds.unwrap_or(DEFAULT_PERIOD)).unwrap_or(i64::MAX / 2_000);
        let until_ms = self.case.at_ms.saturating_add(seconds * 1_000);
        let once = Mark { key: vacation_key(&wanted.handle, &to.canonical()), until_ms };
        let copy = self.copy(wanted.fcc.as_ref())?;
        Ok(Some(Reply { once: Some(once), copy, ..reply(vec![to], message, &account)? }))
    }

    fn notification(&self, wanted: &sieve::Notification) -> Result<Option<Reply>, String> {
        let own = self.means.directory.addresses_of(self.account).map_err(|error| error.to_string())?;
        let account = own.first().cloned().unwrap_or_else(|| self.envelope.to.clone());
        let mut wanted = wanted.clone();
        wanted.from = None;
        let id = self.id();
        let writer = self.writer(&account, &own, &id);
        let Some(message) = vacation::notification(&wanted, self.message, &writer) else { return Ok(None) };
        let uri = Mailto::read(&wanted.method)?;
        let copy = self.copy(wanted.fcc.as_ref())?;
        Ok(Some(Reply { copy, ..reply(uri.to.into_iter().chain(uri.cc).collect(), message, &account)? }))
    }

    fn writer<'w>(&self, from: &'w str, own: &'w [String], id: &'w str) -> Writer<'w> {
        Writer { from, own, now_ms: self.case.at_ms, message_id: id }
    }

    fn id(&self) -> String {
        mailkit::compose::message_id(&self.means.hostname)
    }
}

/// A reason as a reply of SMTP has it.
fn told(reason: &str) -> String {
    let text: String = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().filter(char::is_ascii).take(MAX_REFUSAL).collect();
    if text.is_empty() { "the recipient does not accept this message".to_owned() } else { text }
}

fn reply(to: Vec<EmailAddress>, message: Vec<u8>, author: &str) -> Result<Reply, String> {
    if message.len() > MAX_REPLY_BYTES {
        return Err(format!("the reply has {} bytes; the limit is {MAX_REPLY_BYTES}", message.len()));
    }
    let author = EmailAddress::parse(author).map_err(|error| error.to_string())?;
    Ok(Reply { to, author, message, once: None, copy: None })
}

/// The flags of a copy; one can't be filed as deleted.
fn flags_of(taken: &Taken) -> Result<Flags, String> {
    flags_among(&taken.flags)
}

fn flags_among(flags: &[String]) -> Result<Flags, String> {
    let flags = flags.iter().map(String::as_str).filter(|flag| !flag.eq_ignore_ascii_case("\\Deleted"));
    Flags::parse(flags).map_err(|error| error.to_string())
}

/// The letter to an account whose script failed.
pub(super) fn letter(
    means: &Means,
    account: AccountId,
    to: &EmailAddress,
    (name, error): (&str, &str),
    at_ms: i64,
) -> Option<Reply> {
    let own = means.directory.addresses_of(account).ok()?;
    let address = own.first().and_then(|own| EmailAddress::parse(own).ok()).unwrap_or_else(|| to.clone());
    let id = mailkit::compose::message_id(&means.hostname);
    let error: String = error.chars().filter(|c| !c.is_control()).take(MAX_REFUSAL).collect();
    let text = format!(
        "From: <{address}>\r\nTo: <{address}>\r\nSubject: Your mail rules have an error\r\nDate: {}\r\nMessage-ID: <{}>\r\n\
         Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n\
         The rules in your script \"{name}\" could not be used for a message that came for you:\r\n\r\n    {error}\r\n\r\n\
         The message is in your inbox. So is each further one until the script is changed; you are not told again for 30 days.\r\n",
        mailkit::date::format(at_ms),
        id,
    );
    let once = Mark { key: vacation_key("error", &format!("{name}\n{error}")), until_ms: at_ms + ERROR_PERIOD_MS };
    Some(Reply { to: vec![address.clone()], author: address, message: text.into_bytes(), once: Some(once), copy: None })
}
