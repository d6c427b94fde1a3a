//! From what a script decided to a verdict.

use delivery::{Case, FileInto, FurtherCopy, Mark, Refusal, Reply, Verdict};
use directory::AccountId;
use mailkit::EmailAddress;
use mailstore::{Flags, MailboxName, Role};
use rules::vacation_key;
use sieve::vacation::{self, DEFAULT_PERIOD, Writer};
use sieve::{Action, Envelope, Mailbox, Mailto, Message, Outcome, Taken};

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
        let mut filings: Vec<(Option<FileInto>, Flags)> = Vec::new();
        let mut said: Vec<String> = Vec::new();
        for taken in &outcome.actions {
            match &taken.action {
                Action::Keep => filings.push((None, flags_of(taken)?)),
                Action::FileInto(mailbox) => {
                    let into = self.mailbox(mailbox)?;
                    verdict.create |= mailbox.create;
                    said.push(format!("filed in {}", mailbox.name));
                    filings.push((Some(into), flags_of(taken)?));
                }
                // What is taken for spam is neither sent on nor answered: it would be sent in the account's name.
                Action::Redirect(_) | Action::RedirectList(_) | Action::Vacation(_) | Action::Notify(_) if is_junk => {}
                Action::Redirect(address) => {
                    verdict.forwards.push(EmailAddress::parse(address).map_err(|error| error.to_string())?);
                    said.push("sent on".to_owned());
                }
                Action::RedirectList(_) => return Err("redirect :list is not possible here".to_owned()),
                Action::Reject { reason, .. } => {
                    let text: String = reason.split_whitespace().collect::<Vec<_>>().join(" ");
                    let text: String = text.chars().filter(char::is_ascii).take(MAX_REFUSAL).collect();
                    let text =
                        if text.is_empty() { "the recipient does not accept this message".to_owned() } else { text };
                    let mut refused = Verdict::refuse(Refusal::new(550, (5, 7, 1), text));
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
            filings.push((None, Flags::default()));
        }
        verdict.no_copy = filings.is_empty();
        if verdict.no_copy && verdict.forwards.is_empty() {
            said.push("discarded".to_owned());
        }
        let default = || FileInto::Role(if is_junk { Role::Junk } else { Role::Inbox });
        let mut filings = filings.into_iter();
        if let Some((into, flags)) = filings.next() {
            (verdict.mailbox, verdict.flags) = (into, flags);
        }
        verdict.copies =
            filings.map(|(into, flags)| FurtherCopy { into: into.unwrap_or_else(default), flags }).collect();
        Ok(verdict.because(said.join(", ")))
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
        reply(vec![to], message, &account, Some(once)).map(Some)
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
        reply(uri.to.into_iter().chain(uri.cc).collect(), message, &account, None).map(Some)
    }

    fn writer<'w>(&self, from: &'w str, own: &'w [String], id: &'w str) -> Writer<'w> {
        Writer { from, own, now_ms: self.case.at_ms, message_id: id }
    }

    fn id(&self) -> String {
        mailkit::compose::message_id(&self.means.hostname)
    }
}

fn reply(to: Vec<EmailAddress>, message: Vec<u8>, author: &str, once: Option<Mark>) -> Result<Reply, String> {
    if message.len() > MAX_REPLY_BYTES {
        return Err(format!("the reply has {} bytes; the limit is {MAX_REPLY_BYTES}", message.len()));
    }
    let author = EmailAddress::parse(author).map_err(|error| error.to_string())?;
    Ok(Reply { to, author, message, once })
}

/// The flags of a copy; one can't be filed as deleted.
fn flags_of(taken: &Taken) -> Result<Flags, String> {
    let flags = taken.flags.iter().map(String::as_str).filter(|flag| !flag.eq_ignore_ascii_case("\\Deleted"));
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
    Some(Reply { to: vec![address.clone()], author: address, message: text.into_bytes(), once: Some(once) })
}
