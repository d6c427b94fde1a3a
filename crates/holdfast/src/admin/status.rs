//! `holdfast status`: everything that one asks first at 3 a.m., in one look.

use std::sync::{Arc, atomic::Ordering};

use anyhow::ensure;
use continuity::{
    stage::{Feature, Progress},
    standby::{Standby, StandbyStatus},
};
use serde::Serialize;
use store::Store;

mod words;

use words::line;

use crate::{
    admin,
    alarm::{DAMAGE, damaged, needs},
    alarms,
    archive::{Place, described},
    certifying,
    config::Config,
    drill,
    failure::Code,
    found::{self, Found},
    json, machine,
    output::Output,
    owner,
    redundant::OnItsWay,
    restoring::Restoring,
    running::{OpenDoor, Running},
    secrets,
    services::has_data,
    standby::alarms as of_standby,
    supervisor::FailedTask,
    told::ago,
    verifying::{Progress as Verification, Verified},
};

/// How a running service is.
#[derive(Debug, Serialize)]
struct Status {
    version: &'static str,
    hostname: String,
    pid: u32,
    running_seconds: u64,
    memory_bytes: Option<u64>,
    data_dir: String,
    data_bytes: u64,
    disk_free_bytes: Option<u64>,
    disk_size_bytes: Option<u64>,
    stage: &'static str,
    works: &'static str,
    chosen_stage: &'static str,
    plan: Option<String>,
    off: Vec<&'static str>,
    people_are_told: String,
    restoring: Option<String>,
    doors: Vec<Door>,
    certificate: Option<Certificate>,
    /// Those that are obtained from an authority, as `holdfast certificate list` shows them.
    certificates: Vec<String>,
    secrets: String,
    accounts: usize,
    accounts_disabled: usize,
    queue: Queue,
    commit: u64,
    daily_work: Option<Daily>,
    verify: Verify,
    standbys: Vec<Follower>,
    /// Commits are acknowledged without a standby although they were to wait for one.
    degraded: bool,
    archives: Vec<Archive>,
    damage: Damaged,
    quarantined: Vec<String>,
    /// Tasks that failed since the service was started.
    tasks_failed: Vec<FailedTask>,
    stopped: Option<String>,
    waiting: Option<String>,
    alarms: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Door {
    name: &'static str,
    address: String,
    connections: usize,
}

#[derive(Debug, Serialize)]
struct Certificate {
    names: Vec<String>,
    issuer: String,
    self_signed: bool,
    expires_timestamp: i64,
    days_left: i64,
}

#[derive(Debug, Serialize)]
struct Queue {
    messages: u64,
    held: u64,
    destinations: u64,
    oldest_seconds: Option<u64>,
    due: u64,
    due_at_silent_servers: u64,
    left_seconds: Option<f64>,
    #[serde(skip)]
    due_line: Option<String>,
}

/// The known damage.
#[derive(Debug, Serialize)]
struct Damaged {
    count: usize,
    realms: usize,
    messages: usize,
    files: usize,
    summary: String,
    named: Vec<String>,
    /// The same as fields.
    found: Vec<Found>,
}

impl From<store::Damage> for Damaged {
    fn from(damage: store::Damage) -> Self {
        Self {
            count: damage.count(),
            realms: damage.realms.len(),
            messages: damage.body_count,
            found: found::all(&damage),
            files: damage.files.len(),
            summary: damage.to_string(),
            named: damage.lines(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Daily {
    at_ms: i64,
    failed: Vec<String>,
}

/// Reading everything while the service runs, and what came of it last.
#[derive(Debug, Serialize)]
struct Verify {
    running: Option<Verification>,
    last: Option<Verified>,
}

#[derive(Debug, Serialize)]
struct Follower {
    name: String,
    connected: bool,
    received: u64,
    applied: u64,
    behind: u64,
    /// Its disk is full: it can't receive changes.
    full: bool,
    tripwire: String,
    not_applied: Vec<String>,
    /// Its first copy, while that is on its way.
    first_copy: Option<OnItsWay>,
}

#[derive(Debug, Serialize)]
struct Archive {
    name: String,
    shipped: Option<u64>,
    lag_seconds: Option<f64>,
    /// The last commit up to which everything can be restored, and when that was made; none before the first look.
    restorable_seq: Option<u64>,
    restorable_ms: Option<i64>,
    restorable: Option<String>,
    last_good_ms: Option<i64>,
    failing: Vec<String>,
    /// What is still on its way there.
    on_its_way: Vec<OnItsWay>,
    /// What is to be said of this machine's keys to it.
    warning: Option<String>,
    last_drill: Option<drill::Drilled>,
}

/// The overview of a service that runs.
///
/// # Errors
/// Also if there are alarms, so that scripts notice.
pub async fn run(running: &Arc<Running>, output: &Output) -> anyhow::Result<()> {
    ensure!(running.serving.load(Ordering::SeqCst), "the service is still starting: try again in a moment");
    let looked_at = running.clone();
    let status = tokio::task::spawn_blocking(move || look(&looked_at)).await??;
    if output.json() {
        output.object(json::value(&status)?).await;
    } else {
        for line in words::lines(&status) {
            output.line(line).await;
        }
    }
    needs(status.alarms.len(), "")
}

fn look(running: &Running) -> anyhow::Result<Status> {
    let services = &running.services;
    let (config, now_ms) = (&services.config, services.store.clock().now_ms());
    let room = machine::Room::of_data(&config.data_dir).ok();
    let stages = &services.stages;
    let now = stages.now();
    let accounts = services.directory.accounts()?;
    let queue = services.delivery.queue_stats()?;
    let progress = services.delivery.queue_progress();
    let end = services.store.seq();
    let damage = services.store.damage();
    let verify = running.verifying.now();
    // Beforehand: what is locked below stays so until all is gathered.
    let alarms = alarms::look(running).into_iter().map(|alarm| alarm.line).collect();
    Ok(Status {
        version: env!("CARGO_PKG_VERSION"),
        hostname: config.hostname.clone(),
        pid: std::process::id(),
        running_seconds: machine::started().0.elapsed().as_secs(),
        memory_bytes: machine::memory(),
        data_dir: config.data_dir.display().to_string(),
        data_bytes: machine::size_of(&config.data_dir),
        disk_free_bytes: room.map(|room| room.free),
        disk_size_bytes: room.map(|room| room.total),
        stage: now.stage.name(),
        works: now.stage.works(),
        chosen_stage: stages.chosen().name(),
        plan: stages.progress().filter(|progress| *progress != Progress::Done).map(|progress| progress.to_string()),
        off: Feature::ALL.into_iter().filter(|feature| !now.has(*feature)).map(Feature::name).collect(),
        people_are_told: now.say.clone(),
        restoring: running.restoring.get().and_then(Restoring::status),
        doors: running.doors.get().into_iter().flatten().map(door).collect(),
        certificate: running.tls.get().map(|tls| certificate(&tls.certificate(), now_ms / 1000)),
        certificates: obtained(running, now_ms),
        secrets: secrets::described(&services.directory.keys(), services.secrets.lock().as_ref()),
        accounts: accounts.len(),
        accounts_disabled: accounts.iter().filter(|account| !account.enabled).count(),
        queue: Queue {
            messages: queue.messages,
            held: queue.held,
            destinations: queue.destinations,
            oldest_seconds: queue.oldest_ms.map(|oldest| (now_ms - oldest).max(0).unsigned_abs() / 1000),
            due: progress.due,
            due_at_silent_servers: progress.resting,
            left_seconds: progress.left.map(|left| left.as_secs_f64()),
            due_line: crate::told::due_line(&progress),
        },
        commit: end.0,
        daily_work: running.daily.lock().clone().map(|daily| Daily { at_ms: daily.at_ms, failed: daily.failed }),
        verify: Verify { running: verify.running, last: verify.last },
        standbys: followers(running),
        degraded: running.primary.get().is_some_and(|primary| primary.is_degraded()),
        archives: archives(running, now_ms),
        quarantined: damage.realms.iter().map(|(realm, why)| format!("{realm}: {why}")).collect(),
        tasks_failed: running.tasks.failed(),
        stopped: services.store.stopped(),
        waiting: running.primary.get().and_then(|primary| primary.waiting()).map(|waiting| waiting.to_string()),
        alarms: with_damage(alarms, &damage),
        damage: damage.into(),
    })
}

/// The standbys.
fn followers(running: &Running) -> Vec<Follower> {
    let Some(primary) = running.primary.get() else { return Vec::new() };
    let (end, alone) = (running.services.store.seq(), !primary.has_a_copy());
    let follower = |standby: StandbyStatus| Follower {
        name: standby.name,
        connected: standby.connected,
        received: standby.received.0,
        applied: standby.applied.0,
        behind: end.0.saturating_sub(standby.received.0),
        first_copy: standby.copying.map(|copying| OnItsWay::copy(&copying, alone)),
        tripwire: standby.wire,
        full: standby.full,
        not_applied: standby.held.into_iter().map(|(realm, why)| format!("{realm}: {why}")).collect(),
    };
    primary.standbys().into_iter().map(follower).collect()
}

/// The archives, as far as this process knows without asking them.
fn archives(running: &Running, now_ms: i64) -> Vec<Archive> {
    let (services, end) = (&running.services, running.services.store.seq());
    let places = running.archives.places(None).unwrap_or_default().into_iter();
    let archive = |place: Arc<Place>| {
        let ship = place.ship_status();
        let restorable = ship.as_ref().and_then(|ship| ship.restorable.clone());
        Archive {
            name: place.name().to_owned(),
            shipped: ship.as_ref().map(|ship| ship.shipped.0),
            restorable_seq: restorable.as_ref().map(|found| found.seq.0),
            restorable_ms: restorable.as_ref().and_then(|found| found.time_ms),
            restorable: restorable.as_ref().map(described),
            lag_seconds: ship.map(|ship| ship.lag_seconds(now_ms)),
            last_good_ms: place.last_good_ms(),
            failing: place.failing(),
            on_its_way: place.on_its_way(end),
            warning: place.warning(&services.config.data_dir),
            last_drill: drill::latest(&services.config.data_dir, place.name(), 1).pop(),
        }
    };
    places.map(archive).collect()
}

/// Damage found since the last collection of alarms is already an alarm, and repaired damage is not.
fn with_damage(mut alarms: Vec<String>, damage: &store::Damage) -> Vec<String> {
    alarms.retain(|alarm| !alarm.starts_with(DAMAGE));
    alarms.extend(damaged(damage));
    alarms
}

fn door(door: &OpenDoor) -> Door {
    Door { name: door.name, address: door.address.to_string(), connections: door.connections.open() }
}

fn certificate(found: &doorkit::Certificate, now: i64) -> Certificate {
    Certificate {
        names: found.names.clone(),
        issuer: found.issuer.clone(),
        self_signed: found.self_signed,
        expires_timestamp: found.not_after,
        days_left: (found.not_after - now) / 86_400,
    }
}

/// The certificates of an authority that the service itself needs, and others that are not as they should be.
fn obtained(running: &Running, now_ms: i64) -> Vec<String> {
    let all = running.certificates.get().map(certificates::Certificates::list).unwrap_or_default();
    let own = certifying::own_names(&running.services.config);
    let is_told = |one: &&certificates::Shown| {
        own.iter().any(|name| name.eq_ignore_ascii_case(&one.group)) || one.last_error.is_some() || one.alarm.is_some()
    };
    let told = all.iter().filter(is_told).take(MAX_CERTIFICATES);
    told.flat_map(|one| admin::certificate_lines(one, now_ms)).collect()
}

/// Certificates that the status tells of; `holdfast certificate list` has all.
const MAX_CERTIFICATES: usize = 20;

/// How the service is, row by row, for the administrators' pages: what needs a person first.
///
/// # Errors
/// Those of the store.
pub fn overview(running: &Running) -> anyhow::Result<Vec<(String, String)>> {
    let status = look(running)?;
    let all = words::wants(&status).into_iter().chain(words::rows(&status));
    Ok(all.map(|(what, how)| (what.to_owned(), how)).collect())
}

fn bytes(bytes: u64) -> String {
    web::size(bytes)
}

/// The overview of a machine that follows another one.
pub async fn on_standby(standby: &Standby, config: &Config, output: &Output) -> anyhow::Result<()> {
    let status = standby.status();
    let room = machine::Room::of_data(&config.data_dir).ok();
    let behind = status.behind();
    let alarms = of_standby::alarms(&status, config, standby.store().as_ref());
    if output.json() {
        let object = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "hostname": config.hostname,
            "pid": std::process::id(),
            "running_seconds": machine::started().0.elapsed().as_secs(),
            "role": "standby",
            "doing": status.doing,
            "data_dir": config.data_dir,
            "disk_free_bytes": room.map(|room| room.free),
            "disk_size_bytes": room.map(|room| room.total),
            "primary": status.primary.0,
            "received": status.received.0,
            "applied": status.applied.0,
            "alarms": alarms,
        });
        output.object(object).await;
    } else {
        let up = ago(machine::started().0.elapsed());
        let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
        output.line(format!("Holdfast {version} on {}, a standby: pid {pid}, running for {up}", config.hostname)).await;
        for alarm in &alarms {
            output.line(format!("ALARM: {alarm}")).await;
        }
        let free =
            room.map_or_else(String::new, |room| format!(": {} of {} free", bytes(room.free), bytes(room.total)));
        output.line(line("data", format!("{}{free}", config.data_dir.display()))).await;
        output.line(line("standby", &status.doing)).await;
        let (received, applied) = (status.received, status.applied);
        output.line(line("", format!("received commit {received} ({behind} behind), applied {applied}"))).await;
    }
    needs(alarms.len(), ": see `holdfast help continuity Standby`")
}

/// Prints information about the folder of a service that is not running, without opening it: an open store counts as in
/// use.
///
/// # Errors
/// Always, because the service is not running.
pub fn of_folder(config: &Config, json: bool) -> anyhow::Result<()> {
    let dir = &config.data_dir;
    let mut facts = Vec::new();
    let state = match Store::owner_at(dir) {
        _ if !has_data(dir) => format!("there is no data in {}", dir.display()),
        Some(owner) => format!(
            "does not respond; {owner} is using its data folder (the service is starting or stopping, or a command is running)"
        ),
        None => "not running".to_owned(),
    };
    if has_data(dir) {
        let free = machine::Room::at(dir).map_or_else(
            |error| error.to_string(),
            |room| format!("{} of {} free", bytes(room.free), bytes(room.total)),
        );
        facts.push(("data", format!("{}: {}, {free}", dir.display(), bytes(machine::size_of(dir)))));
        if let Some(why) = Store::fenced_at(dir) {
            facts.push(("fenced", why));
        } else if Store::is_replica_at(dir) {
            facts.push(("role", "a standby: holdfast standby".to_owned()));
        }
        if Store::is_being_restored(dir) {
            facts.push(("restore", "not finished: `holdfast serve` continues it".to_owned()));
        }
        if let Ok(stages) = continuity::stage::Stages::open(dir) {
            facts.push(("stage", stages.chosen().to_string()));
        }
        facts.extend(owner::too_open(dir).map(|why| ("rights", why)));
    }
    if json {
        let facts: serde_json::Map<String, serde_json::Value> =
            facts.into_iter().map(|(what, how)| (what.to_owned(), how.into())).collect();
        json::print(serde_json::json!({ "running": false, "state": state, "facts": facts }));
    } else {
        for (what, how) in facts {
            println!("{}", line(what, how));
        }
    }
    Err(Code::NotRunning.error(format!("the service: {state}")))
}
