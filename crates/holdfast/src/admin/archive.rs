//! `holdfast archive …`

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use continuity::archive::{
    ArchiveError, Event, Say,
    catalog::{Catalog, Listed},
    codec::{Identities, new_identity},
    line::Line,
    prune,
    restorable::{self, Restorable},
    target::Target,
    verify::{self, Report, Scope},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    archive::{Archives, Place, described, restorable_of},
    cli::ArchiveCommand,
    config::Config,
    drill,
    failure::Code,
    json,
    output::Output,
    running::Running,
    services::Services,
    told::{ago, moment},
};

/// How long an archive may take to say how it is.
const LOOK_LIMIT: Duration = Duration::from_secs(8);
/// Damage that is listed one by one; more is counted.
const MAX_LISTED: usize = 100;

/// A sink for events of long operations, and a task that prints them until it is dropped.
pub fn events(output: &Output) -> (impl Fn(Event) + Send + Sync + use<>, impl Future<Output = ()> + use<>) {
    let (lines, mut said) = mpsc::unbounded_channel::<String>();
    let (progress, show) = (output.clone(), output.clone());
    let say = move |event| match event {
        Event::Line(line) => drop(lines.send(line)),
        Event::Progress { what, done, total } => progress.progress(what, done, total),
    };
    let show = async move {
        while let Some(line) = said.recv().await {
            show.line(line).await;
        }
    };
    (say, show)
}

fn bytes(bytes: u64) -> String {
    web::size(bytes)
}

impl ArchiveCommand {
    /// Needs no service and no data folder: reads or changes the archive only.
    pub fn is_direct(&self) -> bool {
        !matches!(self, Self::Status { .. } | Self::Snapshot { .. } | Self::Keep)
    }
}

/// Runs what concerns the archive only, in this process.
pub async fn direct(config: &Config, command: ArchiveCommand, output: &Output) -> anyhow::Result<()> {
    let archives = Archives::new(config);
    match command {
        ArchiveCommand::List { target } => {
            let mut failed = Vec::new();
            for place in archives.places(target.as_deref())? {
                note_failure(&mut failed, &place, list(&place, output).await, output).await;
            }
            all_went(&failed)
        }
        ArchiveCommand::Verify { target, newest } => {
            let mut failed = Vec::new();
            for place in archives.places(target.as_deref())? {
                match check(&place, newest, &config.data_dir, output).await {
                    Ok(true) => {}
                    Ok(false) => failed.push(format!("{} is damaged or incomplete", place.name())),
                    Err(error) => note_failure(&mut failed, &place, Err(error), output).await,
                }
            }
            all_went(&failed)
        }
        ArchiveCommand::Prune { target, dry_run } => {
            for place in archives.places(target.as_deref())? {
                let target = place.target().await?;
                let (say, show) = events(output);
                let keep = place.config.keep();
                let work = async move {
                    let done = prune::prune(&target, keep, dry_run, &say).await;
                    drop(say);
                    done
                };
                let (done, ()) = tokio::join!(work, show);
                let done = done?;
                output
                    .object(serde_json::json!({
                        "archive": place.name(),
                        "kept": done.kept.len(),
                        "snapshots": done.snapshots,
                        "objects": done.objects,
                        "size_bytes": done.bytes,
                        "dry_run": dry_run,
                    }))
                    .await;
                let went = if dry_run { "would be deleted" } else { "deleted" };
                output
                    .line(format!(
                        "{}: {} snapshots kept; {} snapshots and {} objects in total {went}, {}",
                        place.name(),
                        done.kept.len(),
                        done.snapshots,
                        done.objects,
                        bytes(done.bytes)
                    ))
                    .await;
            }
            Ok(())
        }
        ArchiveCommand::NewIdentity { file } => new_archive_identity(&file, output.json()),
        ArchiveCommand::Status { .. } | ArchiveCommand::Snapshot { .. } | ArchiveCommand::Keep => {
            unreachable!("they run on the services")
        }
    }
}

/// Reports the failure of one archive and continues with the others.
async fn note_failure(failed: &mut Vec<String>, place: &Place, outcome: anyhow::Result<()>, output: &Output) {
    let Err(error) = outcome else { return };
    let what = told_once(place.name(), &format!("{error:#}"));
    output.line(format!("FAILED: {what}")).await;
    failed.push(what);
}

fn all_went(failed: &[String]) -> anyhow::Result<()> {
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("; ")) }
}

/// The failure, prefixed with the archive's name once.
fn told_once(name: &str, what: &str) -> String {
    let what = what.strip_prefix("archive ").unwrap_or(what);
    let what = what.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(what);
    format!("archive {name}: {what}")
}

/// Creates an identity and prints its recipient for the configuration.
pub fn new_archive_identity(file: &Path, json: bool) -> anyhow::Result<()> {
    let (text, recipient) = new_identity();
    write_secret(file, &text)?;
    if json {
        json::print(serde_json::json!({ "file": file, "recipient": recipient }));
        return Ok(());
    }
    println!("wrote the identity to {}: keep it safe, and keep a copy on another machine", file.display());
    println!("recipients = [\"{recipient}\"]");
    Ok(())
}

fn write_secret(file: &Path, text: &str) -> anyhow::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut written =
        std::fs::File::options().write(true).create_new(true).mode(0o600).open(file).with_context(|| {
            format!("{}: can't create the file (an existing identity is never overwritten)", file.display())
        })?;
    written.write_all(text.as_bytes()).and_then(|()| written.sync_all()).with_context(|| file.display().to_string())
}

/// Runs the commands that need the store.
pub async fn run(running: &Arc<Running>, command: ArchiveCommand, output: &Output) -> anyhow::Result<()> {
    let services = &running.services;
    match command {
        ArchiveCommand::Status { target } => {
            let places = running.archives.places(target.as_deref())?;
            if crate::archive::is_try_out(&services.config.data_dir) {
                bail!("this is a trial restore, so nothing is shipped; run `holdfast archive keep` to keep it");
            }
            let looks = places.iter().map(|place| status(running, place));
            let mut alarms = Vec::new();
            for (place, (lines, alarming)) in places.iter().zip(futures_util::future::join_all(looks).await) {
                output.object(json_of(running, place, &lines, &alarming)).await;
                for line in lines {
                    output.line(line).await;
                }
                alarms.extend(alarming);
            }
            if alarms.is_empty() { Ok(()) } else { Err(Code::Alarms.error(alarms.join("; "))) }
        }
        ArchiveCommand::Keep => {
            output
                .line(if crate::archive::keep(&services.config.data_dir)? {
                    "kept: the service now ships to its archives, as a new line"
                } else {
                    "this is not a trial restore: nothing was changed"
                })
                .await;
            Ok(())
        }
        ArchiveCommand::Snapshot { target } => {
            let mut failed = Vec::new();
            for place in running.archives.places(target.as_deref())? {
                if let Err(error) = snapshot(services, &place, output).await {
                    failed.push(format!("archive {}: {error:#}", place.name()));
                }
            }
            if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("; ")) }
        }
        other => direct(&services.config, other, output).await,
    }
}

async fn snapshot(services: &Arc<Services>, place: &Arc<Place>, output: &Output) -> anyhow::Result<()> {
    let (say, show) = events(output);
    let work = async move {
        let taken = place.snapshot(&services.store, &say, &CancellationToken::new()).await;
        drop(say);
        taken
    };
    let (taken, ()) = tokio::join!(work, show);
    let taken = taken?;
    output
        .object(serde_json::json!({
            "archive": place.name(),
            "commit": taken.name.seq.0,
            "made_ms": taken.name.made_ms,
            "realms": taken.realms,
            "realms_unchanged": taken.unchanged,
            "records": taken.records,
            "bodies": taken.bodies,
            "stored_bytes": taken.new_bytes,
            "warnings": taken.warnings,
        }))
        .await;
    for warning in &taken.warnings {
        output.line(format!("WARNING: {warning}")).await;
    }
    output
        .line(format!(
            "{}: snapshot of commit {}: {} realms ({} unchanged), {} records, {} bodies; {} stored",
            place.name(),
            taken.name.seq,
            taken.realms,
            taken.unchanged,
            taken.records,
            taken.bodies,
            bytes(taken.new_bytes)
        ))
        .await;
    output.line(format!("{}: verified: {}", place.name(), what_was_read(&taken.checked))).await;
    Ok(())
}

fn what_was_read(report: &Report) -> String {
    let read = format!("{} objects, {}", report.objects, bytes(report.bytes));
    if report.decrypted {
        format!(
            "{read}: {} realms match their digests, {} bodies match their hashes, {} commits form an unbroken chain",
            report.realms, report.bodies, report.commits
        )
    } else {
        format!("{read}: as stored (not decrypted: there is no identity on this machine)")
    }
}

/// The state of an archive as lines, and its alarms.
async fn status(running: &Running, place: &Arc<Place>) -> (Vec<String>, Vec<String>) {
    let services = &running.services;
    let (name, now_ms) = (place.name(), services.store.clock().now_ms());
    let runs = running.serving.load(std::sync::atomic::Ordering::SeqCst);
    let mut lines = vec![format!("{name}  {}", place.config.url)];
    let (mut facts, mut alarms) = (Vec::new(), Vec::new());
    let looked = tokio::time::timeout(LOOK_LIMIT, async {
        let found = place.look(&services.store).await?;
        let target = place.target().await?;
        let catalog = Catalog::read(&target).await?;
        Ok::<_, anyhow::Error>((found, Line::of(&services.store, &target).await?, catalog))
    });
    let looked = looked.await.unwrap_or_else(|_| Err(anyhow::anyhow!("no reply within {} s", LOOK_LIMIT.as_secs())));
    let last_good = match looked {
        Ok((found, line, catalog)) => {
            facts.push(format!("  {}", described(&found)));
            if !found.is_whole() {
                alarms.push(format!("archive {name}: {}", described(&found)));
                facts.extend(what_is_missing(&found, runs));
            }
            about_catalog(&mut facts, &catalog, &line, now_ms)
        }
        Err(error) => {
            // The shipper may report the same failure: then it is printed below.
            let what = format!("{error:#}");
            if !place.failing().iter().any(|failing| failing.contains(&what)) {
                alarms.push(told_once(name, &what));
            }
            None
        }
    };
    match place.ship_status() {
        Some(ship) => {
            lines.push(format!(
                "  shipped up to commit {} of {}, {:.1} s behind; {} commits and {} since the start",
                ship.shipped,
                services.store.seq(),
                ship.lag_seconds(now_ms),
                ship.commits,
                bytes(ship.bytes)
            ));
            if ship.missing_bodies > 0 {
                alarms.push(format!(
                    "archive {name}: {} bodies were missing before they were shipped",
                    ship.missing_bodies
                ));
            }
            facts.extend(ship.mended.iter().map(|what| format!("  repaired: {what}")));
        }
        None if runs => lines.push("  nothing shipped yet".to_owned()),
        None => lines.push("  not shipping: the service is not running".to_owned()),
    }
    lines.extend(facts);
    alarms.extend(place.failing().into_iter().map(|what| told_once(name, &what)));
    if let Some(drilled) = drill::latest(&services.config.data_dir, name, 1).pop() {
        lines.push(format!("  {}", drill::described(&drilled)));
    }
    // A missing snapshot is no alarm if the archive was not reached, or nothing ships to it right now.
    if last_good.is_some() || (alarms.is_empty() && runs) {
        alarms.extend(place.alarm(last_good, now_ms));
    }
    lines.extend(place.on_its_way(services.store.seq()).into_iter().map(|one| format!("  {}", one.summary)));
    lines.extend(place.note().map(|note| format!("  NOTE: {note}")));
    lines.extend(place.warning(&services.config.data_dir).map(|warning| format!("  WARNING: {warning}")));
    lines.extend(alarms.iter().map(|alarm| format!("  ALARM: {alarm}")));
    (lines, alarms)
}

/// The same for programs; what has no field of its own is in `messages`.
fn json_of(running: &Running, place: &Place, lines: &[String], alarms: &[String]) -> serde_json::Value {
    let services = &running.services;
    let ship = place.ship_status();
    serde_json::json!({
        "archive": place.name(),
        "url": place.config.url,
        "commit": services.store.seq().0,
        "shipped": ship.as_ref().map(|ship| ship.shipped.0),
        "lag_seconds": ship.as_ref().map(|ship| ship.lag_seconds(services.store.clock().now_ms())),
        "restorable": ship.as_ref().and_then(|ship| ship.restorable.as_ref()).map(json_of_restorable),
        "last_good_ms": place.last_good_ms(),
        "last_drill": drill::latest(&services.config.data_dir, place.name(), 1).pop(),
        "on_its_way": place.on_its_way(services.store.seq()),
        "warning": place.warning(&services.config.data_dir),
        "note": place.note(),
        "alarms": alarms,
        "messages": lines.iter().map(|line| line.trim()).collect::<Vec<_>>(),
    })
}

fn json_of_restorable(found: &Restorable) -> serde_json::Value {
    serde_json::json!({
        "line": found.line,
        "commit": found.seq.0,
        "made_ms": found.time_ms,
        "whole": found.is_whole(),
        "missing_count": found.missing_count,
        "missing": found.missing,
    })
}

/// What an archive lacks, and what becomes of it.
fn what_is_missing(found: &Restorable, runs: bool) -> Vec<String> {
    let mut facts: Vec<String> = found.missing.iter().map(|what| format!("  MISSING: {what}")).collect();
    if found.missing_count > found.missing.len() as u64 {
        facts.push(format!("  … and {} more", found.missing_count - found.missing.len() as u64));
    }
    let remedy = if found.needs_snapshot { "takes a new snapshot" } else { "stores it again" };
    facts.push(if runs {
        format!("  the service {remedy} now, as far as it still has the missing data; check again in a while")
    } else {
        format!("  the service {remedy} once it is started, as far as it still has the missing data")
    });
    facts
}

/// Lists an archive's data of a line; returns the time of the newest good snapshot.
fn about_catalog(facts: &mut Vec<String>, catalog: &Catalog, line: &Line, now_ms: i64) -> Option<i64> {
    let runs: Vec<_> = catalog.runs.iter().filter(|run| run.line == line.name()).collect();
    if let (Some(first), Some(last)) = (runs.first(), runs.iter().map(|run| run.last.0).max()) {
        facts.push(format!("  log: commits {} to {last} in {} runs", first.first, runs.len()));
    }
    let of_line: Vec<&Listed> = catalog.snapshots.iter().filter(|listed| listed.name.line == line.name()).collect();
    let good = of_line.iter().filter(|listed| listed.good).count();
    facts.push(format!("  snapshots: {} ({good} good)", of_line.len()));
    // That of the line before will do until this one has its own.
    let newest = catalog.good_of(&line.record).unwrap_or_default().pop();
    if let Some(newest) = newest {
        let age = Duration::from_millis(u64::try_from(now_ms - newest.name.made_ms).unwrap_or(0));
        let (seq, made) = (newest.name.seq, moment(newest.name.made_ms));
        facts.push(format!("  newest good: commit {seq}, {made} ({} ago)", ago(age)));
    }
    facts.extend(catalog.notes.iter().map(|note| format!("  NOTE: {note}")));
    facts.push(format!("  line {}, signed by {}", line.name(), line.record.public_key));
    newest.map(|listed| listed.name.made_ms)
}

async fn list(place: &Place, output: &Output) -> anyhow::Result<()> {
    if output.json() {
        output.object(json_of_catalog(place, &Catalog::read(&place.target().await?).await?)).await;
        return Ok(());
    }
    output.line(format!("{}  {}", place.name(), place.config.url)).await;
    let target = place.target().await?;
    let catalog = Catalog::read(&target).await?;
    for note in &catalog.notes {
        output.line(format!("NOTE: {note}")).await;
    }
    for line in catalog.lines.values() {
        let from = line.parent.as_ref().map_or_else(
            || "from its first commit".to_owned(),
            |parent| format!("from commit {} of line {}", parent.seq, parent.line),
        );
        output.line(format!("line {}, started {}, {from}", line.line, moment(line.created_ms))).await;
        let runs: Vec<_> = catalog.runs.iter().filter(|run| run.line == line.line).collect();
        if let (Some(first), Some(last)) = (runs.first(), runs.iter().map(|run| run.last.0).max()) {
            output.line(format!("  log: commits {} to {last} in {} runs", first.first, runs.len())).await;
        }
        if let Some(until) = until(place, &target, &catalog, line).await {
            output.line(format!("  last commit: {until}")).await;
        }
        for listed in catalog.snapshots.iter().filter(|listed| listed.name.line == line.line) {
            let state = if listed.good { "good" } else { "NOT VERIFIED" };
            output.line(format!("  {}  commit {}  {state}", moment(listed.name.made_ms), listed.name.seq)).await;
        }
    }
    Ok(())
}

fn json_of_catalog(place: &Place, catalog: &Catalog) -> serde_json::Value {
    let lines = catalog.lines.values().map(|line| {
        let runs: Vec<_> = catalog.runs.iter().filter(|run| run.line == line.line).collect();
        let snapshots = catalog.snapshots.iter().filter(|listed| listed.name.line == line.line).map(|listed| {
            serde_json::json!({ "commit": listed.name.seq.0, "made_ms": listed.name.made_ms, "good": listed.good })
        });
        let parent = line.parent.as_ref();
        serde_json::json!({
            "line": line.line,
            "started_ms": line.created_ms,
            "parent": parent.map(|parent| serde_json::json!({ "line": parent.line, "commit": parent.seq })),
            "first_commit": runs.first().map(|run| run.first.0),
            "last_commit": runs.iter().map(|run| run.last.0).max(),
            "snapshots": snapshots.collect::<Vec<_>>(),
        })
    });
    serde_json::json!({
        "archive": place.name(),
        "url": place.config.url,
        "notes": catalog.notes,
        "lines": lines.collect::<Vec<_>>(),
    })
}

/// Until when a line has commits: by its last run, or, without an identity, by when that was stored.
async fn until(
    place: &Place,
    target: &Target,
    catalog: &Catalog,
    line: &continuity::archive::line::LineRecord,
) -> Option<String> {
    let run = catalog.runs.iter().filter(|run| run.line == line.line).max_by_key(|run| run.last)?;
    if let Ok(Some(identities)) = place.identities()
        && let Ok(Some(at)) = restorable::last_of_run(target, catalog, run, &identities).await
    {
        return Some(moment(at));
    }
    let (_, stored_ms) = catalog.run_objects.get(&run.to_string())?;
    Some(format!("by {}, when it was stored", moment(*stored_ms)))
}

/// What was read back of an archive.
struct ReadBack {
    snapshots: usize,
    report: Report,
    reach: Vec<Restorable>,
}

/// Verifies an archive; returns whether it is intact.
async fn check(place: &Place, newest: bool, data_dir: &Path, output: &Output) -> anyhow::Result<bool> {
    let (target, identities) = (place.target().await?, place.identities()?);
    let catalog = Catalog::read(&target).await?;
    for note in &catalog.notes {
        output.line(format!("DAMAGED: {note}")).await;
    }
    let (noted, notes) = (catalog.notes.len(), catalog.notes.clone());
    let (say, show) = events(output);
    let work = async move {
        let (snapshots, report) = read_back(&target, &catalog, identities.as_ref(), newest, &say).await?;
        drop(say);
        let reach = restorable_of(&target, &catalog, data_dir, identities.as_ref(), &report.broken).await?;
        Ok::<_, ArchiveError>(ReadBack { snapshots, report, reach })
    };
    let (found, ()) = tokio::join!(work, show);
    let found = found?;
    let is_whole = noted == 0 && found.is_whole();
    output
        .object(serde_json::json!({
            "archive": place.name(),
            "whole": is_whole,
            "snapshots": found.snapshots,
            "objects": found.report.objects,
            "size_bytes": found.report.bytes,
            "decrypted": found.report.decrypted,
            "notes": notes,
            "damage": found.report.damage,
            "restorable": found.reach.iter().map(json_of_restorable).collect::<Vec<_>>(),
        }))
        .await;
    for line in found.lines(place.name(), is_whole) {
        output.line(line).await;
    }
    Ok(is_whole)
}

/// Reads the log and the good snapshots, or only the newest of them; gives how many snapshots.
async fn read_back(
    target: &Target,
    catalog: &Catalog,
    identities: Option<&Identities>,
    newest: bool,
    say: Say<'_>,
) -> Result<(usize, Report), ArchiveError> {
    let mut all = verify::runs(target, catalog, identities, say).await?;
    let good = catalog.snapshots.iter().filter(|listed| listed.good);
    let chosen: Vec<&Listed> =
        if newest { good.max_by_key(|listed| listed.name.made_ms).into_iter().collect() } else { good.collect() };
    // Snapshots share most of their objects: the newest is read whole, of the others what it does not have.
    let mut previous = None;
    let mut packs = BTreeSet::new();
    for listed in chosen.iter().rev() {
        let manifest = match catalog.manifest(target, &listed.name).await {
            Ok(manifest) => manifest,
            Err(error @ ArchiveError::Damaged { .. }) => {
                all.damage.push(error.to_string());
                continue;
            }
            Err(error) => return Err(error),
        };
        let scope = if previous.is_none() { Scope::All } else { Scope::Since(previous.as_ref()) };
        if previous.is_none() {
            packs.extend(manifest.objects.iter().map(|object| object.name.clone()));
        }
        let report = verify::snapshot(target, &manifest, identities, scope, say).await?;
        all.add(report);
        previous = Some(manifest);
    }
    if !newest {
        all.add(verify::other_packs(target, &packs, identities, say).await?);
    }
    Ok((chosen.len(), all))
}

impl ReadBack {
    /// Whether all that was read is intact, and everything can be restored.
    fn is_whole(&self) -> bool {
        self.report.damage.is_empty() && self.reach.iter().all(Restorable::is_whole)
    }

    /// For people.
    fn lines(&self, name: &str, is_whole: bool) -> Vec<String> {
        let mut lines = vec![format!("{name}: {} snapshots; {}", self.snapshots, what_was_read(&self.report))];
        let damage = &self.report.damage;
        lines.extend(damage.iter().take(MAX_LISTED).map(|damage| format!("DAMAGED: {damage}")));
        if damage.len() > MAX_LISTED {
            lines.push(format!("… and {} more", damage.len() - MAX_LISTED));
        }
        for found in &self.reach {
            lines.extend(found.missing.iter().map(|missing| format!("MISSING: {missing}")));
            if found.missing_count > found.missing.len() as u64 {
                lines.push(format!("… and {} more", found.missing_count - found.missing.len() as u64));
            }
            lines.push(format!("{name}: line {}: {}", found.line, described(found)));
        }
        lines.push(if is_whole {
            format!("{name}: ok, everything is intact")
        } else {
            format!(
                "{name}: a running service stores missing data again as far as it has it: see `holdfast archive status`"
            )
        });
        lines
    }
}
