//! `holdfast archive …`

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use continuity::archive::{
    ArchiveError, Event,
    catalog::{Catalog, Listed},
    codec::new_identity,
    line::Line,
    prune,
    verify::{self, Report, Scope},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Output;
use crate::{
    archive::{Archives, Place, ago, moment},
    cli::ArchiveCommand,
    config::{ByteSize, Config},
    drill,
    services::Services,
};

/// Damage that is listed one by one; more is counted.
const MAX_LISTED: usize = 100;

/// Where long work's events go, and what shows its lines until it is dropped.
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
    ByteSize(bytes).rounded()
}

impl ArchiveCommand {
    /// Needs no service and no data folder: reads or changes the archive only.
    pub fn is_direct(&self) -> bool {
        !matches!(self, Self::Status { .. } | Self::Snapshot { .. })
    }
}

/// Runs what concerns the archive only, in this process.
pub async fn direct(config: &Config, command: ArchiveCommand, output: &Output) -> anyhow::Result<()> {
    let archives = Archives::new(config);
    match command {
        ArchiveCommand::List { target } => {
            for place in archives.places(target.as_deref())? {
                list(&place, output).await?;
            }
            Ok(())
        }
        ArchiveCommand::Verify { target, newest } => {
            let mut damaged = Vec::new();
            for place in archives.places(target.as_deref())? {
                if !check(&place, newest, output).await? {
                    damaged.push(place.name().to_owned());
                }
            }
            if damaged.is_empty() { Ok(()) } else { bail!("{} is not what it must be", damaged.join(", ")) }
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
                let went = if dry_run { "would go" } else { "went" };
                output
                    .line(format!(
                        "{}: {} snapshots are kept; {} snapshots and {} objects in all {went}, {}",
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
        ArchiveCommand::NewIdentity { file } => new_archive_identity(&file),
        ArchiveCommand::Status { .. } | ArchiveCommand::Snapshot { .. } => unreachable!("they run on the services"),
    }
}

/// Makes an identity, and prints what the configuration needs of it.
pub fn new_archive_identity(file: &Path) -> anyhow::Result<()> {
    let (text, recipient) = new_identity();
    write_secret(file, &text)?;
    println!("identity written to {}: keep it safe, and not only on this machine", file.display());
    println!("recipients = [\"{recipient}\"]");
    Ok(())
}

fn write_secret(file: &Path, text: &str) -> anyhow::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut written = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("{}: an identity is never overwritten", file.display()))?;
    written.write_all(text.as_bytes()).and_then(|()| written.sync_all()).with_context(|| file.display().to_string())
}

/// Runs what needs the store.
pub async fn run(services: &Arc<Services>, command: ArchiveCommand, output: &Output) -> anyhow::Result<()> {
    match command {
        ArchiveCommand::Status { target } => {
            let mut alarms = Vec::new();
            for place in services.archives.places(target.as_deref())? {
                alarms.extend(status(services, &place, output).await);
            }
            if alarms.is_empty() { Ok(()) } else { bail!("{}", alarms.join("; ")) }
        }
        ArchiveCommand::Snapshot { target } => {
            let mut failed = Vec::new();
            for place in services.archives.places(target.as_deref())? {
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
    for warning in &taken.warnings {
        output.line(format!("WARNING: {warning}")).await;
    }
    output
        .line(format!(
            "{}: snapshot of commit {}: {} realms ({} as they were), {} records, {} bodies; {} stored",
            place.name(),
            taken.name.seq,
            taken.realms,
            taken.unchanged,
            taken.records,
            taken.bodies,
            bytes(taken.new_bytes)
        ))
        .await;
    output.line(format!("{}: read back and good: {}", place.name(), what_was_read(&taken.checked))).await;
    Ok(())
}

fn what_was_read(report: &Report) -> String {
    let read = format!("{} objects, {}", report.objects, bytes(report.bytes));
    if report.decrypted {
        format!(
            "{read}: {} realms add up, {} bodies match their names, {} commits follow from each other",
            report.realms, report.bodies, report.commits
        )
    } else {
        format!("{read}: as stored (there is no identity here to decrypt them)")
    }
}

/// Says how an archive is; gives what is alarming.
async fn status(services: &Services, place: &Arc<Place>, output: &Output) -> Vec<String> {
    let name = place.name();
    output.line(format!("{name}  {}", place.config.url)).await;
    let now_ms = services.store.clock().now_ms();
    let mut alarms: Vec<String> = place.failing().into_iter().map(|what| format!("archive {name}: {what}")).collect();
    match place.ship_status() {
        Some(ship) => {
            output
                .line(format!(
                    "  shipped up to commit {} of {}, {:.1} s behind; {} commits and {} since the start",
                    ship.shipped,
                    services.store.seq(),
                    ship.lag_seconds(now_ms),
                    ship.commits,
                    bytes(ship.bytes)
                ))
                .await;
            if ship.missing_bodies > 0 {
                alarms
                    .push(format!("archive {name}: {} bodies were gone before they were shipped", ship.missing_bodies));
            }
        }
        None => output.line("  nothing ships: the service is not running").await,
    }
    let look = async {
        let target = place.target().await?;
        let catalog = Catalog::read(&target).await?;
        Ok::<_, anyhow::Error>((Line::of(&services.store, &target).await?, catalog))
    };
    let last_good = match look.await {
        Ok((line, catalog)) => {
            let runs: Vec<_> = catalog.runs.iter().filter(|run| run.line == line.name()).collect();
            if let (Some(first), Some(last)) = (runs.first(), runs.last()) {
                output.line(format!("  log: commits {} to {} in {} runs", first.first, last.last, runs.len())).await;
            }
            let of_line: Vec<&Listed> =
                catalog.snapshots.iter().filter(|listed| listed.name.line == line.name()).collect();
            let good = of_line.iter().filter(|listed| listed.good).count();
            // That of the line before will do until this one has its own.
            let newest = catalog.good_of(&line.record).unwrap_or_default().pop();
            output.line(format!("  snapshots: {} ({good} good)", of_line.len())).await;
            if let Some(newest) = newest {
                let age = Duration::from_millis(u64::try_from(now_ms - newest.name.made_ms).unwrap_or(0));
                output
                    .line(format!(
                        "  newest good: commit {}, {} ({} ago)",
                        newest.name.seq,
                        moment(newest.name.made_ms),
                        ago(age)
                    ))
                    .await;
            }
            output.line(format!("  line {}, signed by {}", line.name(), line.record.public_key)).await;
            newest.map(|listed| listed.name.made_ms)
        }
        Err(error) => {
            alarms.push(format!("archive {name}: {error:#}"));
            None
        }
    };
    if let Some(drilled) = drill::latest(&services.config.data_dir, name, 1).pop() {
        output.line(format!("  {}", drill::described(&drilled))).await;
    }
    alarms.extend(place.alarm(last_good, now_ms));
    for alarm in &alarms {
        output.line(format!("  ALARM: {alarm}")).await;
    }
    alarms
}

async fn list(place: &Place, output: &Output) -> anyhow::Result<()> {
    let catalog = Catalog::read(&place.target().await?).await?;
    output.line(format!("{}  {}", place.name(), place.config.url)).await;
    for line in catalog.lines.values() {
        let from = line.parent.as_ref().map_or_else(
            || "from its first commit".to_owned(),
            |parent| format!("from commit {} of line {}", parent.seq, parent.line),
        );
        output.line(format!("line {}, begun {}, {from}", line.line, moment(line.created_ms))).await;
        let runs: Vec<_> = catalog.runs.iter().filter(|run| run.line == line.line).collect();
        if let (Some(first), Some(last)) = (runs.first(), runs.iter().map(|run| run.last).max()) {
            output.line(format!("  log: commits {} to {last} in {} runs", first.first, runs.len())).await;
        }
        for listed in catalog.snapshots.iter().filter(|listed| listed.name.line == line.line) {
            let state = if listed.good { "good" } else { "NOT READ BACK" };
            output.line(format!("  {}  commit {}  {state}", moment(listed.name.made_ms), listed.name.seq)).await;
        }
    }
    Ok(())
}

/// Reads an archive back; says whether it is what it must be.
async fn check(place: &Place, newest: bool, output: &Output) -> anyhow::Result<bool> {
    let (target, identities) = (place.target().await?, place.identities()?);
    let catalog = Catalog::read(&target).await?;
    let (say, show) = events(output);
    let work = async move {
        let mut all = verify::runs(&target, &catalog, identities.as_ref(), &say).await?;
        let good = catalog.snapshots.iter().filter(|listed| listed.good);
        let chosen: Vec<&Listed> =
            if newest { good.max_by_key(|listed| listed.name.made_ms).into_iter().collect() } else { good.collect() };
        // Snapshots share most of their objects: the newest is read whole, of the others what it does not have.
        let mut previous = None;
        let mut packs = BTreeSet::new();
        for listed in chosen.iter().rev() {
            let manifest = match catalog.manifest(&target, &listed.name).await {
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
            let report = verify::snapshot(&target, &manifest, identities.as_ref(), scope, &say).await?;
            all.add(report);
            previous = Some(manifest);
        }
        if !newest {
            all.add(verify::other_packs(&target, &packs, identities.as_ref(), &say).await?);
        }
        drop(say);
        Ok((chosen.len(), all))
    };
    let (outcome, ()) = tokio::join!(work, show);
    let (snapshots, report) = outcome?;
    output.line(format!("{}: {snapshots} snapshots; {}", place.name(), what_was_read(&report))).await;
    for damage in report.damage.iter().take(MAX_LISTED) {
        output.line(format!("DAMAGED: {damage}")).await;
    }
    if report.damage.len() > MAX_LISTED {
        output.line(format!("… and {} more", report.damage.len() - MAX_LISTED)).await;
    }
    if report.damage.is_empty() {
        output.line(format!("{}: everything is as it was stored", place.name())).await;
    }
    Ok(report.damage.is_empty())
}
