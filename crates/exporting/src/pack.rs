//! What stands in the ZIP.

use std::collections::HashSet;
use std::io::{self, Write};

use delivery::Delivery;
use directory::{AccountId, Directory, DirectoryError};
use mailstore::{MailError, MailStore, Mailbox, MessageRow, Uid};
use people::People;
use rules::Rules;
use saved::SavedSearches;
use serde_json::{Value, json};

use crate::name::part;
use crate::zip::ZipWriter;

/// Messages whose rows are read at once.
const ROWS: usize = 100;
/// What could not be read is told by name up to so many.
const MAX_UNREADABLE: usize = 10_000;

/// Why an export ended. What was written until then is no whole ZIP.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no such account.
    #[error("there is no such account")]
    NoSuchAccount,
    /// It can't be written: the one who wanted it has gone, or the disk is full.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The mail.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// The account.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The address book.
    #[error(transparent)]
    People(#[from] people::PeopleError),
    /// The rules.
    #[error(transparent)]
    Rules(#[from] rules::RulesError),
    /// The saved searches.
    #[error(transparent)]
    Saved(#[from] saved::SavedError),
    /// Forwarding.
    #[error(transparent)]
    Delivery(#[from] delivery::DeliveryError),
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Messages.
    pub messages: u64,
    /// Messages that could not be read: the ZIP lists them.
    pub unreadable: u64,
}

/// Writes accounts out. Cheap to clone.
#[derive(Clone)]
pub struct Exporter {
    /// Accounts and their options.
    pub directory: Directory,
    /// Mail.
    pub mailstore: MailStore,
    /// Address books.
    pub people: People,
    /// Rules.
    pub rules: Rules,
    /// Saved searches.
    pub saved: SavedSearches,
    /// Forwarding.
    pub delivery: Delivery,
}

impl Exporter {
    /// Writes all of an account; `further` are options that others keep, by name. `tell` is told the messages done and how many
    /// there are. Blocks.
    ///
    /// # Errors
    /// See [`ExportError`]. A message that can't be read is left out and listed.
    pub fn write<W: Write>(
        &self,
        account: AccountId,
        further: Value,
        out: W,
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<Exported, ExportError> {
        let known = self.directory.account(account)?.ok_or(ExportError::NoSuchAccount)?;
        let (realm, now_ms) = (account.realm(), now_ms());
        let mut zip = ZipWriter::new(out);
        let address = known.address.to_string();
        zip.add("README.txt", now_ms, readme(&address, now_ms).as_bytes())?;
        zip.add("options.json", now_ms, pretty(&self.options(account, &address, &known.name, further)?).as_bytes())?;
        zip.add("contacts.vcf", now_ms, people::vcard::write(&self.people.book(realm)?).as_ref())?;
        let mut names = Names::default();
        for script in self.rules.list(realm)? {
            let text = self.rules.get(realm, &script.name)?;
            let name = names.give(&format!("rules/{}", part(&script.name)), ".sieve");
            zip.add(&name, script.changed_ms, text.as_bytes())?;
        }
        let mut exported = Exported::default();
        let mut unreadable = Vec::new();
        let total = self.mailstore.quota(realm)?.messages;
        for mailbox in self.mailstore.mailboxes(realm)? {
            let parts: Vec<String> = mailbox.name.as_str().split('/').map(part).collect();
            let folder = names.give(&format!("mail/{}", parts.join("/")), "");
            let mut files = Files { exporter: self, account, zip: &mut zip, folder, lines: Vec::new() };
            match files.mailbox(&mailbox, &mut exported, &mut unreadable, &mut |done| tell(done, total)) {
                // It was deleted in between.
                Err(ExportError::Mail(MailError::MailboxGone(_) | MailError::NoSuchMailbox(_))) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        if !unreadable.is_empty() {
            zip.add("UNREADABLE.txt", now_ms, unreadable.concat().as_bytes())?;
        }
        zip.finish()?;
        Ok(exported)
    }

    fn options(&self, account: AccountId, address: &str, name: &str, further: Value) -> Result<Value, ExportError> {
        let realm = account.realm();
        let settings = self.directory.settings(account)?;
        let identity = |one: &directory::Identity| {
            json!({
                "address": one.address, "name": one.display_name, "reply_to": one.reply_to,
                "bcc": one.bcc, "signature": one.signature,
            })
        };
        let mask = |one: directory::Mask| json!({ "address": one.address, "for": one.name, "blocked": one.blocked });
        let forwarding = self.delivery.forwarding(account)?;
        let target =
            |one: &delivery::ForwardTarget| json!({ "address": one.address.to_string(), "state": one.state.name() });
        let search = |one: saved::Saved| json!({ "name": one.name, "query": one.query });
        let mailbox =
            |one: Mailbox| json!({ "name": one.name.as_str(), "role": one.role.map(|role| role.to_string()) });
        Ok(json!({
            "address": address,
            "name": name,
            "addresses": self.directory.addresses_of(account)?,
            "masked_addresses": self.directory.masks(account)?.into_iter().map(mask).collect::<Vec<_>>(),
            "writing": {
                "name": settings.display_name,
                "signature": settings.signature,
                "from": settings.writes_from,
                "undo_seconds": settings.undo_send_seconds,
                "identities": settings.identities.iter().map(identity).collect::<Vec<_>>(),
            },
            "remote_images": settings.remote_images,
            "forwarding": {
                "keep_copy": forwarding.keep_copy,
                "to": forwarding.targets.iter().map(target).collect::<Vec<_>>(),
            },
            "active_script": self.rules.active_name(realm)?,
            "searches": self.saved.list(realm)?.into_iter().map(search).collect::<Vec<_>>(),
            "mailboxes": self.mailstore.mailboxes(realm)?.into_iter().map(mailbox).collect::<Vec<_>>(),
            "more": further,
        }))
    }
}

/// The files of a mailbox.
struct Files<'a, W> {
    exporter: &'a Exporter,
    account: AccountId,
    zip: &'a mut ZipWriter<W>,
    folder: String,
    /// For the list of flags.
    lines: Vec<String>,
}

impl<W: Write> Files<'_, W> {
    fn mailbox(
        &mut self,
        mailbox: &Mailbox,
        exported: &mut Exported,
        unreadable: &mut Vec<String>,
        tell: &mut dyn FnMut(u64),
    ) -> Result<(), ExportError> {
        let (mail, realm) = (&self.exporter.mailstore, self.account.realm());
        let view = mail.view(realm, mailbox.id)?;
        for uids in view.uids().chunks(ROWS) {
            let mut told = |uid: Uid, why: String| {
                exported.unreadable += 1;
                if unreadable.len() < MAX_UNREADABLE {
                    unreadable.push(format!("{} {uid}: {why}\r\n", mailbox.name));
                }
            };
            for row in rows(mail, (realm, mailbox), uids, &mut told)? {
                let read = mail.body_of(&row.body).and_then(|mut body| body.read_all());
                match read {
                    Ok(bytes) => {
                        self.message(&row, &bytes)?;
                        exported.messages += 1;
                    }
                    Err(error) => told(row.entry.uid, error.to_string()),
                }
            }
            tell(exported.messages);
        }
        let name = format!("{}/_flags.json", self.folder);
        let list = format!("[\n{}\n]\n", self.lines.join(",\n"));
        self.zip.add(&name, now_ms(), list.as_bytes())?;
        Ok(())
    }

    fn message(&mut self, row: &MessageRow, bytes: &[u8]) -> io::Result<()> {
        let subject = part(&row.parsed.subject);
        // The UID tells apart what has the same subject.
        let file = format!("{:06} {subject}.eml", row.entry.uid.0);
        let at_ms = row.entry.internal_date_ms;
        let line = json!({
            "file": file,
            "flags": row.entry.flags.names().collect::<Vec<_>>(),
            "date": mailkit::date::format(at_ms),
        });
        self.lines.push(line.to_string());
        self.zip.add(&format!("{}/{file}", self.folder), at_ms, bytes)
    }
}

/// The rows of messages, those aside that can't be read.
fn rows(
    mail: &MailStore,
    (realm, mailbox): (directory::AccountRealm, &Mailbox),
    uids: &[Uid],
    told: &mut dyn FnMut(Uid, String),
) -> Result<Vec<MessageRow>, ExportError> {
    match mail.rows(realm, mailbox.id, uids) {
        Ok(rows) => return Ok(rows),
        Err(error) if !error.is_damage() => return Err(error.into()),
        Err(_) => {}
    }
    let mut good = Vec::new();
    for uid in uids {
        match mail.rows(realm, mailbox.id, &[*uid]) {
            Ok(rows) => good.extend(rows),
            Err(error) if error.is_damage() => told(*uid, error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(good)
}

/// Names that were given: no two are the same where case does not count.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    fn give(&mut self, stem: &str, ending: &str) -> String {
        for number in 1.. {
            let name = if number == 1 { format!("{stem}{ending}") } else { format!("{stem} ({number}){ending}") };
            if self.0.insert(name.to_lowercase()) {
                return name;
            }
        }
        unreachable!("numbers have no end")
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn readme(address: &str, now_ms: i64) -> String {
    let text = format!(
        "Everything of {address}, as of {}.\n\n\
         mail/          one folder for each mailbox. Each message is a file that mail programs open (.eml); the number in front is its\n\
         \x20              number in the mailbox. _flags.json says for each file whether it was read, starred or answered, with its labels\n\
         \x20              and the date on which it arrived.\n\
         contacts.vcf   the address book, as vCard: every address book imports it.\n\
         rules/         the rules, as Sieve scripts. options.json says which one is active.\n\
         options.json   addresses, signatures, forwarding, saved searches and further options.\n\n\
         Passwords are not in it. If there is a file UNREADABLE.txt, it lists messages that could not be read.\n\n\
         To bring the mail into another Holdfast, drag the messages into a mail program that has the new account, or let the new\n\
         account fetch from the old one (Settings, Other accounts) while that exists.\n",
        mailkit::date::format(now_ms)
    );
    text.replace('\n', "\r\n")
}
