//! The drill: restores an archive into a scratch folder and uses it. A backup is only proven once it was restored.

mod history;

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use anyhow::{Context as _, bail};
use continuity::archive::{
    Event, Say,
    line::Line,
    restore::{At, Restored, Wish, restore},
};
use directory::{AccountId, DirectoryError, LoginAttempt, Secret, Service};
use mailstore::{MailStore, SearchOptions, SearchQuery, SearchScope};
use parking_lot::Mutex;
use rand::seq::SliceRandom as _;
use store::{RealmId, Restore, Store};

pub use history::{Deletes, Drilled, described, latest, measure};

use crate::{
    archive::{Archives, Place, is_folder},
    config::Config,
    failure::Code,
    json,
    parts::invariants,
    progress::Terminal,
    services::{Services, store_options},
};

/// Accounts in which a message is read and searched for.
const SAMPLED: usize = 20;
/// How folders are called that drills work in, before the process's number.
const SCRATCH: &str = "holdfast-drill-";

static DRILLS: AtomicU64 = AtomicU64::new(0);

/// Restores an archive into a new folder in `scratch` (deleted afterwards), checks and uses it, and records the result. If
/// a drill can't run, that is a failure too. `ships`: this machine ships there, so its keys must not be allowed to delete.
pub async fn run(
    config: &Config,
    place: &Place,
    scratch: &Path,
    line: Option<String>,
    ships: bool,
    say: Say<'_>,
) -> Drilled {
    let at_ms = jiff::Timestamp::now().as_millisecond();
    let begun = Instant::now();
    // Drills of two archives may run at once in one folder.
    let number = DRILLS.fetch_add(1, Ordering::Relaxed);
    let dir = scratch.join(format!("{SCRATCH}{}-{number}", std::process::id()));
    clear_away_left(scratch, SCRATCH);
    let outcome = drill(config, place, &dir, line, say).await;
    let _ = std::fs::remove_dir_all(&dir);
    let mut drilled = outcome.unwrap_or_else(|error| Drilled::failed(at_ms, place.name(), format!("{error:#}")));
    (drilled.at_ms, drilled.seconds) = (at_ms, begun.elapsed().as_secs_f64());
    // Who may delete to prune is trusted with it.
    if ships && !place.config.prune {
        drilled.deletes = try_delete(place).await;
    }
    // On another machine there is nothing to keep it in.
    if config.data_dir.is_dir()
        && let Err(error) = history::note(&config.data_dir, &drilled)
    {
        tracing::error!(error = format!("{error:#}"), "could not store the drill's result");
    }
    drilled
}

/// Tries to delete an object in the archive. None if that could not be tried.
async fn try_delete(place: &Place) -> Option<Deletes> {
    if is_folder(&place.config) {
        return Some(Deletes::Folder);
    }
    let tried = async { anyhow::Ok(place.target().await?.try_delete().await?) };
    match tried.await {
        Ok(deletable) => Some(deletable.into()),
        Err(error) => {
            tracing::warn!(target = place.name(), error = format!("{error:#}"), "trying to delete");
            None
        }
    }
}

/// Takes away what processes that were killed have left in folders that are called `prefix`, their number, and something
/// behind it.
pub fn clear_away_left(scratch: &Path, prefix: &str) {
    for entry in std::fs::read_dir(scratch).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(prefix)?.split('-').next()?.parse::<u32>().ok());
        let Some(process) = process.filter(|process| *process != std::process::id()) else { continue };
        // If the process table can't be read, keep the folder.
        if Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{process}")).exists() {
            tracing::info!(dir = %entry.path().display(), "a process that was killed has left this: it goes");
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

async fn drill(
    config: &Config,
    place: &Place,
    dir: &Path,
    line: Option<String>,
    say: Say<'_>,
) -> anyhow::Result<Drilled> {
    let identities =
        place.identities()?.context("a drill needs identity_file: without it the archive can't be decrypted")?;
    let begun = Instant::now();
    let wish = Wish {
        target: place.target().await?,
        identities,
        dir: dir.to_owned(),
        options: store_options(config),
        at: At::Last,
        line,
        without_damaged: true,
        signed_by: Vec::new(),
    };
    let Restored { store, parent, realms, bodies, fallbacks, lost, .. } = restore(&wish, say).await?;
    let restore_seconds = begun.elapsed().as_secs_f64();
    Restore::done(&store)?;
    let config = Config { data_dir: dir.to_owned(), archive: Vec::new(), ..config.clone() };
    let used = tokio::task::spawn_blocking(move || {
        let services = Services::on(config, store)?;
        let found = use_it(&services);
        services.close();
        found
    });
    let (records, sampled, mut problems) = used.await??;
    problems.extend(fallbacks);
    problems.extend(lost);
    Ok(Drilled {
        at_ms: 0,
        archive: place.name().to_owned(),
        seq: parent.seq,
        restore_seconds,
        seconds: 0.0,
        realms,
        bodies,
        records,
        sampled,
        problems,
        deletes: None,
    })
}

/// Checks everything, and does in some accounts what people do.
fn use_it(services: &Services) -> anyhow::Result<(u64, usize, Vec<String>)> {
    let (mut records, mut problems) = (0, Vec::new());
    let store: &Store = &services.store;
    for realm in store.realms() {
        let report = store.scrub_realm(realm, &invariants(), true, &|| true)?;
        records += report.records;
        problems.extend(report.damage.iter().map(ToString::to_string));
    }
    let mut accounts: Vec<RealmId> =
        store.realms().into_iter().filter(|realm| realm.account_number().is_some()).collect();
    accounts.shuffle(&mut rand::rng());
    let mut sampled = 0;
    for account in accounts.into_iter().take(SAMPLED) {
        let used = log_in(services, account).and_then(|()| sample(&services.mailstore, account));
        match used {
            Ok(()) => sampled += 1,
            Err(error) => problems.push(format!("{account}: {error:#}")),
        }
    }
    Ok((records, sampled, problems))
}

/// Logs in as mail apps do, with an additional password that only the scratch copy has. Deleted and disabled accounts are
/// skipped.
fn log_in(services: &Services, account: RealmId) -> anyhow::Result<()> {
    let number = account.account_number().context("only accounts can log in")?;
    let Some(known) = services.directory.account(AccountId(number))?.filter(|known| known.enabled) else {
        return Ok(());
    };
    let (directory, login) = (services.directory.clone(), known.address.to_string());
    tokio::runtime::Handle::current().block_on(async move {
        let made = match directory.create_app_password(known.id, "drill").await {
            // The account has the most app passwords it can have: skip the login.
            Err(DirectoryError::TooMany { .. }) => return Ok(()),
            other => other?,
        };
        let attempt = LoginAttempt {
            login: &login,
            secret: Secret::Password(&made.password),
            peer: Ipv4Addr::LOCALHOST.into(),
            service: Service::Imap,
        };
        let found = directory.authenticate(attempt).await.context("logging in")?;
        anyhow::ensure!(found.account == known.id, "{login} belongs to another account");
        Ok(())
    })
}

/// Reads the newest message of the fullest mailbox, and finds it.
fn sample(mail: &MailStore, account: RealmId) -> anyhow::Result<()> {
    let mailboxes = mail.mailboxes(account)?;
    let Some(fullest) = mailboxes.iter().filter(|mailbox| mailbox.total > 0).max_by_key(|mailbox| mailbox.total) else {
        return Ok(());
    };
    let view = mail.view(account, fullest.id)?;
    let Some(uid) = view.uids().last().copied() else { bail!("{}: wrong message count", fullest.name) };
    let rows = mail.rows(account, fullest.id, &[uid])?;
    let row = rows.first().with_context(|| format!("{}: message {uid} is missing", fullest.name))?;
    let bytes = mail.body_of(&row.body)?.read_all()?;
    let read = mailkit::parse(&bytes);
    if read.subject != row.parsed.subject || read.size != row.parsed.size {
        bail!("{}: message {uid} does not match its record", fullest.name);
    }
    let query =
        if row.parsed.subject.is_empty() { SearchQuery::All } else { SearchQuery::Subject(row.parsed.subject.clone()) };
    let scope = SearchScope::Mailboxes(vec![fullest.id]);
    let hits = mail.search(account, &scope, &query, SearchOptions::default())?;
    if hits.iter().any(|hit| hit.uid == uid) {
        Ok(())
    } else {
        bail!("{}: message {uid} is not found by its subject", fullest.name)
    }
}

/// The command-line arguments.
pub struct Asked {
    /// Only this archive.
    pub target: Option<String>,
    /// The scratch folder.
    pub dir: Option<PathBuf>,
    /// An archive that need not be configured.
    pub from: Option<String>,
    /// The identity file.
    pub identity: Option<PathBuf>,
}

/// `holdfast drill`. Reports failures of one archive and continues with the others.
pub async fn command(mut config: Config, asked: Asked, json: bool) -> anyhow::Result<ExitCode> {
    let Asked { target, dir, from, identity } = asked;
    // Another machine's keys say nothing of those of the one that ships.
    let ships = from.is_none() && Line::name_in(&config.data_dir).is_some();
    config.read_archives(from.as_deref(), identity.as_deref())?;
    let target = from.or(target);
    let mut well = true;
    for place in Archives::new(&config).places(target.as_deref())? {
        let dir = dir.as_ref().or(place.config.drill_dir.as_ref());
        let cannot = match (dir, &place.config.identity_file) {
            (None, _) => Some("name a folder with enough disk space, with --dir or drill_dir"),
            (_, None) => {
                Some("the archive can't be decrypted without an identity, give one with --identity or identity_file")
            }
            _ => None,
        };
        let (Some(dir), None) = (dir, cannot) else {
            well = false;
            let why = cannot.unwrap_or_default();
            if json {
                json::print(serde_json::json!({ "archive": place.name(), "problems": [why] }));
            } else {
                println!("{}: no drill: {why}", place.name());
            }
            continue;
        };
        let terminal = Mutex::new(Terminal::new(json));
        let line = Line::name_in(&config.data_dir);
        let drilled = run(&config, &place, dir, line, ships, &|event| match event {
            Event::Line(_) | Event::Progress { .. } if json => {}
            Event::Line(line) => terminal.lock().out(&line),
            Event::Progress { what, done, total } => terminal.lock().progress(what, done, total),
        })
        .await;
        terminal.lock().finish();
        well &= drilled.problems.is_empty();
        if json {
            json::print(json::value(&drilled)?);
            continue;
        }
        println!("{}: {}", place.name(), described(&drilled));
        for problem in &drilled.problems {
            println!("PROBLEM: {problem}");
        }
    }
    match (well, json) {
        (true, _) => Ok(ExitCode::SUCCESS),
        // What is wrong was printed.
        (false, false) => Ok(ExitCode::FAILURE),
        (false, true) => Err(Code::DrillFailed.error("a drill found problems, or could not run")),
    }
}
