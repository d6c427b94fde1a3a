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
use realm::{Merged, Merging, PartError, RealmPart, SalvageFrom};
use store::{BodyId, RealmId, SalvageReport, Salvaged, Store};

use super::who::{WHO, find};
use crate::{
    cli::SalvageArgs,
    output::Output,
    parts::parts,
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
    let (parts, mut losing) = (parts(), BTreeSet::new());
    if kind == Kind::Discarded {
        store::salvaged_commits(from, &mut |commit| {
            losing.extend(commit.realms.iter().filter(|part| loses(&parts, part)).map(store::RealmCommit::realm));
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
    let (reader, store) = (source.clone(), services.store.clone());
    let live_realm = found.live.as_ref().map(|live| live.id.realm());
    let read = tokio::task::spawn_blocking(move || read_parts(&reader, &store, realm, live_realm)).await??;
    let is_empty = read.iter().all(|(_, found)| found.is_empty());
    if is_empty && problems.is_empty() && (found.live.is_some() || source.kind != Kind::Folder) {
        return Ok(true);
    }
    let titles: Vec<String> = read.iter().map(|(_, found)| found.title()).collect();
    output.line(format!("{address}: {} found", titles.join(" and "))).await;
    tell_some(problems.iter().map(|what| format!("  INCOMPLETE: {what}")), output).await;
    let mut is_all = problems.is_empty();
    for (_, found) in &read {
        tell_some(found.passed_over().iter().map(|what| format!("  {what}")), output).await;
        for lines in found.unreadable() {
            is_all = false;
            tell_some(lines.iter().map(|what| format!("  UNREADABLE: {what}")), output).await;
        }
    }
    let Some(live) = &found.live else {
        let known = found.address.as_deref().unwrap_or("ADDRESS");
        output
            .line(format!("  this account doesn't exist here: create it with `holdfast account add {known}`, then run salvage again"))
            .await;
        return Ok(false);
    };
    // Its data may still be on their way.
    let live = find(services, &live.address.to_string()).await?;
    let mut written = Vec::new();
    for (part, found) in read {
        let merged = merge(services, source, live.id.realm(), found, preview, output).await?;
        match merged {
            Ok(merged) => {
                is_all &= merged.is_all;
                for lines in merged.lines {
                    tell_some(lines.iter().map(|what| format!("  {what}")), output).await;
                }
                written.extend(merged.audit);
            }
            Err(PartError::Store(error)) => return Err(error).context(address),
            Err(error) => {
                is_all = false;
                output.line(format!("  NOT MERGED: {}: {error}", part.title())).await;
            }
        }
    }
    if !preview {
        let what = format!("salvaged {}", written.join(" and "));
        services.directory.audit(Some(live.id), WHO, &what, "").await?;
    }
    Ok(is_all)
}

/// A part, and what was found of it.
type PartFound = (&'static dyn RealmPart, Box<dyn realm::Found>);

/// What the records of an account have of each part. Blocks.
fn read_parts(
    source: &Source,
    store: &Store,
    realm: RealmId,
    live: Option<RealmId>,
) -> Result<Vec<PartFound>, PartError> {
    let from = SalvageFrom {
        read: &source.salvaged,
        realm,
        // Records from before the machines parted have the same numbers on both.
        same_ids: live.filter(|_| source.kind != Kind::Folder),
        is_part: source.kind != Kind::Folder,
        keeps_deleted: source.kind == Kind::Discarded,
        store,
    };
    let mut read = Vec::new();
    for part in parts().iter() {
        read.extend(part.salvage(&from)?.map(|found| (part, found)));
    }
    Ok(read)
}

/// Merges one part of an account.
async fn merge(
    services: &Arc<Services>,
    source: &Arc<Source>,
    account: RealmId,
    found: Box<dyn realm::Found>,
    preview: bool,
    output: &Output,
) -> anyhow::Result<Result<Merged, PartError>> {
    let (store, source, output) = (services.store.clone(), source.clone(), output.clone());
    let work = tokio::task::spawn_blocking(move || {
        let body = |id: &BodyId| source.salvaged.body(id);
        let mut progress = |what: &str, done: u64, total: u64| output.progress(what, done, total);
        found.merge(&mut Merging { store: &store, account, preview, body: &body, progress: &mut progress })
    });
    Ok(work.await?)
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
