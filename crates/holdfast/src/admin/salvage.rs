//! `holdfast salvage`: whatever can be read elsewhere, merged into the live accounts.

mod waiting;

use std::{
    collections::{BTreeSet, HashMap},
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use continuity::standby::loses;
use directory::{Account, AccountId, salvaged_account};
use mailkit::EmailAddress;
use mailstore::salvage::{SalvageFiled, SalvageReading, SalvagedMail, SalvagedMessage, salvaged_mail};
use store::{BodyId, RealmId, SalvageReport, Salvaged};

use super::accounts::{WHO, find};
use crate::{
    cli::SalvageArgs,
    output::Output,
    services::{Services, store_options},
};

/// Findings of one kind that are printed one by one; further ones are only counted.
const SHOWN: usize = 50;

/// The salvaged data and its kind.
struct Source {
    salvaged: Salvaged,
    kind: Kind,
}

/// The kind of source of a salvage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A data folder: accounts are known by their addresses.
    Folder,
    /// Commits that only one of two machines had: numbers mean the same on both.
    Unshared,
    /// Commits that a promotion discarded because of their deletions.
    Discarded,
}

/// An account that something was found of.
struct Found {
    realm: RealmId,
    /// Its address, where it is known.
    address: Option<String>,
    live: Option<Account>,
}

/// Runs the command.
pub async fn run(services: &Arc<Services>, args: SalvageArgs, output: &Output) -> anyhow::Result<()> {
    for address in &args.account {
        EmailAddress::parse(address).with_context(|| address.clone())?;
    }
    let source = {
        let (services, args, progress) = (services.clone(), args.clone(), output.clone());
        tokio::task::spawn_blocking(move || open(&services, &args, &progress)).await??
    };
    let source = Arc::new(source);
    let (services_too, source_too) = (services.clone(), source.clone());
    let accounts = tokio::task::spawn_blocking(move || accounts_in(&services_too, &source_too)).await??;
    let mut is_all = tell_store(source.salvaged.report(), output).await;
    let wanted = |found: &Found| {
        args.account.is_empty()
            || found.address.as_ref().is_some_and(|own| args.account.iter().any(|one| one.eq_ignore_ascii_case(own)))
    };
    for address in &args.account {
        let is_there =
            accounts.iter().any(|found| found.address.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(address)));
        ensure!(is_there, "{} has no data of {address}", args.from.display());
    }
    for found in accounts.iter().filter(|found| wanted(found)) {
        is_all &= account(services, &source, found, args.preview, output).await?;
    }
    let live: HashMap<AccountId, AccountId> = accounts
        .iter()
        .filter_map(|found| Some((AccountId(found.realm.account_number()?), found.live.as_ref()?.id)))
        .collect();
    is_all &= waiting::queue(services, &source, &args, &live, output).await?;
    if let Some(dir) = args.orphans.clone() {
        let source = source.clone();
        let written = tokio::task::spawn_blocking(move || write_orphans(&source.salvaged, &dir)).await??;
        output.line(format!("wrote {written} messages that no record refers to")).await;
    } else {
        let source = source.clone();
        let orphans = tokio::task::spawn_blocking(move || source.salvaged.orphans()).await??.len();
        if orphans > 0 {
            let told = "messages have no record (deleted, or the records are lost)";
            output.line(format!("{orphans} {told}; to write them to a folder, add `--orphans DIR`")).await;
        }
    }
    // Dropping removes the scratch folder, which takes a while.
    tokio::task::spawn_blocking(move || drop(source)).await?;
    if args.preview {
        output.line("this was a preview: nothing was changed").await;
    }
    ensure!(is_all, "some data could not be read or merged; it is listed above");
    Ok(())
}

fn open(services: &Services, args: &SalvageArgs, output: &Output) -> anyhow::Result<Source> {
    let from = &args.from;
    ensure!(from.is_dir(), "{}: no such folder", from.display());
    let options = store_options(&services.config);
    let mut progress = |what: &str, done: u64, total: u64| output.progress(what, done, total);
    let name = from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let has_runs = std::fs::read_dir(from)
        .with_context(|| from.display().to_string())?
        .filter_map(Result::ok)
        .any(|entry| entry.file_name().to_string_lossy().starts_with("commits-"));
    if !has_runs {
        ensure!(
            from.canonicalize()? != services.store.dir().canonicalize()?,
            "{} is the data folder of this service: check it with `holdfast verify`",
            from.display()
        );
        let salvaged = Salvaged::open(from, &args.scratch, &options, &mut progress)?;
        return Ok(Source { salvaged, kind: Kind::Folder });
    }
    let kind = if name.starts_with("discarded-after-") { Kind::Discarded } else { Kind::Unshared };
    let mut losing = BTreeSet::new();
    if kind == Kind::Discarded {
        store::salvaged_commits(from, &mut |commit| {
            losing.extend(commit.realms.iter().filter(|part| loses(part)).map(store::RealmCommit::realm));
            Ok(())
        })?;
    }
    // Of discarded commits, those of unaffected accounts are used unchanged.
    let wanted = |realm: RealmId| kind == Kind::Unshared || losing.contains(&realm);
    let bodies = bodies_in(from)?;
    let salvaged = Salvaged::open_runs(from, &args.scratch, &options, kind == Kind::Discarded, &wanted, bodies)?;
    Ok(Source { salvaged, kind })
}

/// The messages saved next to commits: in Maildirs, `NUMBER.BODY:2,`.
fn bodies_in(from: &Path) -> anyhow::Result<HashMap<BodyId, PathBuf>> {
    let mut bodies = HashMap::new();
    for folder in std::fs::read_dir(from)? {
        let cur = folder?.path().join("cur");
        if !cur.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&cur).with_context(|| cur.display().to_string())? {
            let path = file?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let id = name.split_once('.').map(|(_, rest)| rest.split(':').next().unwrap_or(rest).parse());
            if let Some(Ok(id)) = id {
                bodies.insert(id, path);
            }
        }
    }
    Ok(bodies)
}

/// Whose data there are, with who that is here.
fn accounts_in(services: &Services, source: &Source) -> anyhow::Result<Vec<Found>> {
    let salvaged = &source.salvaged;
    let mut accounts = Vec::new();
    for realm in salvaged.report().realms.keys() {
        let Some(number) = realm.account_number() else { continue };
        let was = salvaged_account(salvaged, AccountId(number))?;
        // Messages that were deleted there are not restored here.
        if was.is_deleted {
            continue;
        }
        let address = was.address;
        let live = match &address {
            Some(address) => {
                let parsed = EmailAddress::parse(address).ok();
                parsed.map(|parsed| services.directory.account_by_address(&parsed)).transpose()?.flatten()
            }
            None if source.kind == Kind::Folder => None,
            None => services.directory.account(AccountId(number))?,
        };
        let address = address.or_else(|| live.as_ref().map(|live| live.address.to_string()));
        accounts.push(Found { realm: *realm, address, live });
    }
    Ok(accounts)
}

/// Prints the damage; returns whether nothing is lost.
async fn tell_store(report: &SalvageReport, output: &Output) -> bool {
    let (commits, bodies, realms) = (report.commits, report.bodies, report.realms.len());
    output
        .line(format!("read {commits} commits, {bodies} messages, {realms} realms, up to commit {}", report.last))
        .await;
    tell_some(report.damage.iter().map(|what| format!("DAMAGED: {what}")), output).await;
    tell_some(report.lost.iter().map(|what| format!("LOST: {what}")), output).await;
    for (realm, salvaged) in &report.realms {
        if realm.account_number().is_none() {
            tell_some(salvaged.problems.iter().map(|what| format!("INCOMPLETE: {realm}: {what}")), output).await;
        }
    }
    report.is_whole()
}

async fn tell_some(lines: impl ExactSizeIterator<Item = String>, output: &Output) {
    let more = lines.len().saturating_sub(SHOWN);
    for line in lines.take(SHOWN) {
        output.line(line).await;
    }
    if more > 0 {
        output.line(format!("… and {more} more")).await;
    }
}

/// Merges one account; returns whether all of it could be read.
async fn account(
    services: &Arc<Services>,
    source: &Arc<Source>,
    found: &Found,
    preview: bool,
    output: &Output,
) -> anyhow::Result<bool> {
    let realm = found.realm;
    let problems = &source.salvaged.report().realms[&realm].problems;
    let address = found.address.clone().unwrap_or_else(|| format!("{realm} (address unknown)"));
    let (mail, book, damaged_contacts) = read_account(services, source, found).await?;
    let has_anything = !mail.messages.is_empty() || !book.contacts.is_empty() || !mail.nothing_known.is_empty();
    if !has_anything && problems.is_empty() && (found.live.is_some() || source.kind != Kind::Folder) {
        return Ok(true);
    }
    let (messages, contacts) = (mail.messages.len(), book.contacts.len());
    output.line(format!("{address}: {messages} messages and {contacts} contacts found")).await;
    tell_some(problems.iter().map(|what| format!("  INCOMPLETE: {what}")), output).await;
    if damaged_contacts > 0 {
        output.line(format!("  UNREADABLE: {damaged_contacts} contacts or groups")).await;
    }
    tell_unknown(&mail, source.kind, output).await;
    let mut is_all =
        problems.is_empty() && damaged_contacts == 0 && (mail.nothing_known.is_empty() || source.kind != Kind::Folder);
    let Some(live) = &found.live else {
        let known = found.address.as_deref().unwrap_or("ADDRESS");
        output
            .line(format!("  this account doesn't exist here: create it with `holdfast account add {known}`, then run salvage again"))
            .await;
        return Ok(false);
    };
    // Its data may still be on their way.
    let live = find(services, &live.address.to_string()).await?;
    is_all &= merge(services, source, &live, (mail, book), preview, output).await.with_context(|| address)?;
    Ok(is_all)
}

/// What can be read of an account: its mail, its address book, and how many contacts can't be read.
async fn read_account(
    services: &Arc<Services>,
    source: &Arc<Source>,
    found: &Found,
) -> anyhow::Result<(SalvagedMail, people::merge::Book, u64)> {
    let realm = found.realm;
    let (reader, names) = (source.clone(), services.clone());
    let live_realm = found.live.as_ref().map(|live| live.id.realm());
    let (mail, (book, damaged_contacts)) = tokio::task::spawn_blocking(move || {
        let name = |id| {
            // Mailboxes from before the machines parted have the same number on both.
            let live = live_realm.filter(|_| reader.kind != Kind::Folder)?;
            names.mailstore.mailbox(live, id).ok().flatten().map(|mailbox| mailbox.name)
        };
        let reading = SalvageReading { names: &name, keeps_deleted: reader.kind == Kind::Discarded };
        let mail = salvaged_mail(&reader.salvaged, realm, reading)?;
        anyhow::Ok((mail, people::salvaged_book(&reader.salvaged, realm)?))
    })
    .await??;
    Ok((mail, book, damaged_contacts))
}

/// Merges what was read into the account here; returns whether all of it is here now.
async fn merge(
    services: &Arc<Services>,
    source: &Arc<Source>,
    live: &Account,
    (mail, book): (SalvagedMail, people::merge::Book),
    preview: bool,
    output: &Output,
) -> anyhow::Result<bool> {
    let (realm, mail) = (live.id.realm(), Arc::new(mail));
    let filed = {
        let (services, source, mail, progress) = (services.clone(), source.clone(), mail.clone(), output.clone());
        tokio::task::spawn_blocking(move || {
            let total = mail.messages.len() as u64;
            let bytes_of = |id: &BodyId| source.salvaged.body(id);
            let mut tell = |done: u64| progress.progress("messages", done, total);
            services.mailstore.file_salvaged(realm, &mail.messages, preview, &bytes_of, &mut tell)
        })
        .await?
    };
    let people = &services.people;
    let merged = if preview { people.plan_salvaged(realm, &book) } else { people.merge_salvaged(realm, book).await };
    let filed = filed?;
    let mut is_all = tell_filed(&filed, &mail.messages, preview, output).await;
    match merged {
        Ok(merged) => {
            let (new, groups, changed) = (merged.contacts, merged.groups, merged.changed);
            let verb = if preview { "would be added" } else { "added" };
            output.line(format!("  {new} contacts and {groups} groups {verb}, {changed} updated")).await;
        }
        Err(error) => {
            is_all = false;
            output.line(format!("  NOT MERGED: the address book: {error}")).await;
        }
    }
    if !preview {
        let what = format!("salvaged {} messages", filed.filed);
        services.directory.audit(Some(live.id), WHO, &what, "").await?;
    }
    Ok(is_all)
}

async fn tell_unknown(mail: &SalvagedMail, kind: Kind, output: &Output) {
    let count = mail.nothing_known.len();
    if count == 0 {
        return;
    }
    if kind != Kind::Folder {
        let what = "changes to flags or mailboxes of existing messages were not merged";
        output.line(format!("  {count} {what}")).await;
        return;
    }
    let lines = mail.nothing_known.iter().map(|(mailbox, uid)| {
        let mailbox = mailbox.as_ref().map_or("an unknown mailbox", |name| name.as_str());
        format!("  UNREADABLE: the record of message {uid} of {mailbox}")
    });
    tell_some(lines, output).await;
}

/// Prints the results for an account's messages; returns whether all exist now.
async fn tell_filed(filed: &SalvageFiled, messages: &[SalvagedMessage], preview: bool, output: &Output) -> bool {
    let verb = if preview { "would be merged" } else { "merged" };
    let (new, known, unreadable) = (filed.filed, filed.known, filed.unreadable.len());
    output.line(format!("  {new} messages {verb}, {known} already exist, {unreadable} unreadable")).await;
    for name in &filed.made {
        output.line(format!("  mailbox {name} {}", if preview { "would be created" } else { "created" })).await;
    }
    for (name, why) in &filed.not_made {
        output.line(format!("  mailbox {name} could not be created ({why}): its messages are in INBOX")).await;
    }
    let called = |number: &usize| {
        let message = &messages[*number];
        let subject = message.subject.as_deref().unwrap_or_default();
        let subject: String = subject.chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect();
        let mailbox = message.places.first().map_or("INBOX", |place| place.mailbox.as_str());
        format!("\u{201c}{subject}\u{201d} in {mailbox} ({})", message.body)
    };
    tell_some(filed.unreadable.iter().map(|number| format!("  UNREADABLE: {}", called(number))), output).await;
    tell_some(filed.refused.iter().map(|(number, why)| format!("  NOT MERGED: {}: {why}", called(number))), output)
        .await;
    filed.unreadable.is_empty() && filed.refused.is_empty()
}

fn write_orphans(salvaged: &Salvaged, dir: &Path) -> anyhow::Result<u64> {
    let mut written = 0;
    for id in salvaged.orphans()? {
        if let Some(bytes) = salvaged.body(&id)? {
            write_out(dir, &format!("{id}.eml"), &bytes)?;
            written += 1;
        }
    }
    Ok(written)
}

/// Writes a file, unless it is there already.
fn write_out(dir: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = dir.join(name);
    let write = || {
        std::fs::create_dir_all(dir)?;
        match std::fs::File::create_new(&path) {
            Ok(mut file) => file.write_all(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    };
    write().with_context(|| path.display().to_string())
}
