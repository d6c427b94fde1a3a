//! Alarms for administrators: in the log, on the administration pages, and by mail once a day each; and the state
//! panels of the Continuity page.

mod own;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use continuity::standby::StandbyStatus;
use tokio_util::sync::CancellationToken;
use web::Panel;

use crate::{
    admin::{relay_alarms, relay_line},
    alarm::Alarm,
    alarm::BELIEVES_TOO_MUCH,
    alarm::RELAY_IS_NEAR,
    archive::described,
    domains, drill,
    redundant::OnItsWay,
    restoring::Restoring,
    running::Running,
    services::Services,
    supervisor::FailedTask,
    tell,
    told::moment,
    told::{counted, counted_are},
};

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A standby that is away for less is only restarting.
const AWAY: Duration = Duration::from_secs(300);
const DAY_MS: i64 = 86_400_000;
/// How long an alarm may take to be filed.
const TELL_TIMEOUT: Duration = Duration::from_secs(10);
/// Drills that are shown of each archive.
const DRILLS: usize = 10;

/// Switches on the features that were off until now.
async fn end_due(services: &Services, now_ms: i64) {
    let features = match services.stages.switch_on_due(now_ms) {
        Ok(features) => features,
        Err(error) => return tracing::error!(%error, "could not switch on what was off until now"),
    };
    for feature in features {
        let what = format!("switched {} on: the time was over for which it was off", feature.name());
        let noted = tokio::time::timeout(TELL_TIMEOUT, services.directory.audit(None, "service", &what, ""));
        if !matches!(noted.await, Ok(Ok(()))) {
            tracing::warn!(feature = feature.name(), "switched it on; the audit trail could not be written");
        }
    }
}

/// Looks at everything that can alarm, until shut down.
pub async fn serve(running: Arc<Running>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let services = &running.services;
    let (mut said, mut logged) = (HashSet::new(), HashSet::new());
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = every.tick() => {}
        }
        let store = services.store.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || store.look_around()).await {
            tracing::error!(%error, "could not check whether the data folder is complete");
        }
        let now_ms = services.store.clock().now_ms();
        end_due(services, now_ms).await;
        let all = look(&running);
        for alarm in &all {
            let key = format!("{}/{}", alarm.key, now_ms / DAY_MS);
            if !said.insert(key.clone()) {
                continue;
            }
            if logged.insert(key.clone()) {
                tracing::error!("{}", alarm.line);
            }
            if services.store.stopped().is_some() || services.store.acknowledgement_overdue().is_some() {
                // Nothing can be filed now.
                said.remove(&key);
                continue;
            }
            let text = format!("{}.\n{}\n\n{}\n", alarm.line, alarm.more, alarm.look);
            let telling = tell::administrators(services, &key, &alarm.subject, &text);
            // The next look must not wait for it: nothing may be acknowledged from now on.
            let told = tokio::time::timeout(TELL_TIMEOUT, telling).await;
            match told.unwrap_or_else(|late| Err(late.into())) {
                Ok(0) => drop(said.remove(&key)),
                Ok(_) => {}
                Err(error) => {
                    said.remove(&key);
                    if logged.insert(format!("{key}/untold")) {
                        tracing::error!(error = format!("{error:#}"), "could not send an alarm to the administrators");
                    }
                }
            }
        }
        let panels = panels(&running, now_ms);
        running.continuity.send_if_modified(|shown| {
            let is_new = *shown != panels;
            *shown = panels;
            is_new
        });
    }
}

/// All current alarms.
pub fn look(running: &Running) -> Vec<Alarm> {
    let services = &running.services;
    let now_ms = services.store.clock().now_ms();
    let mut all = own::alarms(running, now_ms);
    all.extend(running.archives.alarms(now_ms, &services.config.data_dir));
    all.extend(running.tasks.alarming().into_iter().map(failed_task));
    all.extend(standbys(running, &mut running.away.lock()));
    all.extend(relays(running));
    all.extend(restore(running));
    all.extend(domains::alarms(running));
    all.extend(services.dns_patience.is_silent().then(silent_dns));
    running.alarms.send_if_modified(|alarms| {
        let is_new = !alarms.iter().eq(all.iter().map(|alarm| &alarm.line));
        if is_new {
            *alarms = all.iter().map(|alarm| alarm.line.clone()).collect();
        }
        is_new
    });
    all
}

fn silent_dns() -> Alarm {
    Alarm {
        key: "dns/silent".to_owned(),
        line: "DNS: the resolver doesn't answer, so the senders of incoming mail can't be checked".to_owned(),
        more: "Mail comes in all the same, without results of SPF, DKIM and DMARC, and waits a moment only. Mail to other \
               domains waits in the queue."
            .to_owned(),
        subject: "Holdfast alarm: DNS is silent".to_owned(),
        look: "Check this machine's resolver (/etc/resolv.conf, or [dns] in the configuration); see `holdfast help dns`.",
    }
}

fn failed_task(task: FailedTask) -> Alarm {
    let FailedTask { name, failures, why, runs, .. } = task;
    let now = if runs { "it runs again" } else { "it does not run" };
    Alarm {
        key: format!("task/{name}"),
        line: format!("Service: the task \u{201c}{name}\u{201d} has failed {}; {now}", counted(failures, "time")),
        more: why,
        subject: format!("Holdfast alarm: a task failed ({name})"),
        look: "Run `holdfast status`; see `holdfast help monitoring Tasks`.",
    }
}

/// `away`: since when those that are not connected are not.
fn standbys(running: &Running, away: &mut HashMap<String, Instant>) -> Vec<Alarm> {
    let Some(primary) = running.primary.get() else { return Vec::new() };
    let alarm = |what: &str, name: &str, line: String, more: String| Alarm {
        key: format!("standby/{name}/{what}"),
        line,
        more,
        subject: format!("Holdfast alarm: standby ({what})"),
        look: "Run `holdfast standby status` here and on the standby. For what to do: `holdfast help continuity \
               Watch it`.",
    };
    let mut all = Vec::new();
    if let Some(waiting) = primary.waiting() {
        let more = "Bring the standby back, or pair another one with `holdfast standby code`. To continue without a standby until \
                    then, run `holdfast standby alone`.";
        all.push(alarm("waiting", "", format!("Standby: {waiting}"), more.to_owned()));
    }
    if primary.is_degraded() {
        let line = "Standby: none is following; commits are acknowledged without a standby".to_owned();
        all.push(alarm("degraded", "", line, String::new()));
    }
    let standbys = primary.standbys();
    // One that makes its first copy is not away.
    let is_away = |standby: &StandbyStatus| !standby.connected && standby.copying.is_none();
    away.retain(|name, _| standbys.iter().any(|standby| standby.name == *name && is_away(standby)));
    for standby in standbys {
        let name = &standby.name;
        if standby.believes_too_much {
            let line = format!("Standby {name}: {BELIEVES_TOO_MUCH}");
            all.push(alarm("believes", name, line, String::new()));
        }
        if !standby.connected && standby.copying.is_some() {
            continue;
        }
        if !standby.connected {
            let since = away.entry(name.clone()).or_insert_with(Instant::now);
            if since.elapsed() >= AWAY {
                let line = format!("Standby {name}: not connected for {} min", since.elapsed().as_secs() / 60);
                all.push(alarm("away", name, line, format!("The last commit it received is {}.", standby.received)));
            }
            continue;
        }
        if standby.full {
            let line = format!("Standby {name}: its disk is full, so it can't receive changes");
            let more = format!(
                "The last commit it received is {}. It resumes when disk space is available.",
                standby.received
            );
            all.push(alarm("full", name, line, more));
        }
        if !standby.wire.is_empty() {
            let line = format!("Standby {name}: a tripwire holds back changes, nothing is applied");
            all.push(alarm("tripwire", name, line, standby.wire.clone()));
        }
        if standby.damaged > 0 {
            let damaged = counted_are(standby.damaged, "message");
            let line = format!("Standby {name}: {damaged} damaged there");
            let more =
                "The standby fetches them from this machine automatically, except those that are damaged here too.";
            all.push(alarm("damaged", name, line, more.to_owned()));
        }
        if !standby.held.is_empty() {
            let line =
                format!("Standby {name}: it can't apply changes to {}", counted(standby.held.len() as u64, "realm"));
            let why = standby.held.iter().map(|(realm, why)| format!("{realm}: {why}")).collect::<Vec<_>>();
            all.push(alarm("held", name, line, why.join("\n")));
        }
    }
    all
}

fn relays(running: &Running) -> Vec<Alarm> {
    let relays = running.relays.get().map(|receiver| receiver.relays()).unwrap_or_default();
    let alarm = |line: String| Alarm {
        key: format!("relay/{}", line.split(" for ").next().unwrap_or_default()),
        line,
        more: String::new(),
        subject: "Holdfast alarm: relay".to_owned(),
        look: "Run `holdfast relay status` here and on the relay. For what to do: `holdfast help relay At 3 a.m.`.",
    };
    relays.iter().flat_map(relay_alarms).map(alarm).collect()
}

fn restore(running: &Running) -> Option<Alarm> {
    let now = running.restoring.get()?.watch().borrow().clone();
    (!now.lost.is_empty() && !now.done).then(|| Alarm {
        key: "restore/lost".to_owned(),
        line: format!("Restore: {} could not be restored", counted(now.lost.len() as u64, "item")),
        more: now.lost.join("\n"),
        subject: "Holdfast alarm: not everything could be restored".to_owned(),
        look: "Everything else was restored. See `holdfast stage show`. To finish without the lost items, stop the service \
               and run the same `holdfast restore` with --without-damaged.",
    })
}

/// How everything is.
fn panels(running: &Running, now_ms: i64) -> Vec<Panel> {
    let services = &running.services;
    let mut panels = Vec::new();
    if let Some(line) = running.restoring.get().and_then(Restoring::status) {
        panels.push(Panel { title: "Restore".to_owned(), lines: vec![line], ..Panel::default() });
    }
    let end = services.store.seq();
    let alone = running.primary.get().is_some_and(|primary| !primary.has_a_copy());
    let standbys = running.primary.get().map(|primary| primary.standbys()).unwrap_or_default();
    panels.extend(standbys.is_empty().then(|| no_standby(services)));
    for standby in standbys {
        let behind = end.0.saturating_sub(standby.received.0);
        let mut lines = vec![if let Some(copying) = &standby.copying {
            OnItsWay::copy(copying, alone).summary
        } else if standby.connected {
            format!(
                "Received commit {} of {end} ({behind} behind, {:.1} s), applied {}",
                standby.received,
                standby.lag.as_secs_f64(),
                standby.applied
            )
        } else {
            format!("Not connected; the last commit it received is {} of {end}", standby.received)
        }];
        if !standby.wire.is_empty() {
            lines.push(format!("Holds back changes: {}", standby.wire));
        }
        if standby.damaged > 0 {
            lines.push(format!("{} damaged there", counted_are(standby.damaged, "message")));
        }
        if standby.mended > 0 {
            lines.push(format!(
                "Repaired {} that got damaged there: check its disk",
                counted(standby.mended, "message")
            ));
        }
        lines.extend(standby.held.iter().map(|(realm, why)| format!("Can't apply changes to {realm}: {why}")));
        panels.push(Panel { title: format!("Standby {}", standby.name), lines, ..Panel::default() });
    }
    panels.extend(relay_panels(running));
    for place in running.archives.places(None).unwrap_or_default() {
        let mut lines = Vec::new();
        match place.ship_status() {
            Some(ship) => lines.push(format!(
                "Shipped up to commit {} of {end}, {:.1} s behind",
                ship.shipped,
                ship.lag_seconds(now_ms)
            )),
            None => lines.push("Nothing has been shipped yet".to_owned()),
        }
        lines.extend(place.ship_status().and_then(|ship| ship.restorable).map(|found| described(&found)));
        lines.push(match place.last_good_ms() {
            Some(at) => format!("Newest good snapshot: {}", moment(at)),
            None => "No good snapshot yet".to_owned(),
        });
        lines.extend(place.on_its_way(end).into_iter().map(|one| one.summary));
        lines.extend(place.warning(&services.config.data_dir));
        lines.extend(place.failing());
        drill::measure(&services.config.data_dir, place.name());
        let drills = drill::latest(&services.config.data_dir, place.name(), DRILLS);
        lines.extend(drills.iter().rev().map(drill::described));
        let archive = Some(place.name().to_owned());
        panels.push(Panel { title: format!("Archive {}", place.name()), lines, archive, ..Panel::default() });
    }
    if services.config.archive.is_empty() {
        panels.push(no_archive());
    }
    panels
}

/// How each relay is.
fn relay_panels(running: &Running) -> Vec<Panel> {
    let relays = running.relays.get().map(|receiver| receiver.relays()).unwrap_or_default();
    let panel = |relay: relay::OfRelay| {
        let mut lines = vec![relay_line(&relay)];
        lines.extend(relay.is_near.then(|| RELAY_IS_NEAR.to_owned()));
        Panel { title: format!("Relay {}", relay.name), lines, ..Panel::default() }
    };
    relays.into_iter().map(panel).collect()
}

/// How to set up a standby.
fn no_standby(services: &Services) -> Panel {
    let listens = services.config.listen.standby.first();
    let configure = "# on this machine: add this to the configuration, then restart the service\n[listen]\nstandby = [\"0.0.0.0:7450\"]\n\n";
    let port = listens.map_or(7450, std::net::SocketAddr::port);
    Panel {
        title: "Standby".to_owned(),
        lines: vec![
            "There is no standby. A standby receives every message within a second and can take over with one command if \
             this machine fails."
                .to_owned(),
        ],
        commands: format!(
            "{}# on this machine: prints a code that is valid for ten minutes\nholdfast standby code\n\n\
             # on the other machine, with the same configuration\nholdfast standby --primary {}:{port} --code CODE",
            if listens.is_some() { "" } else { configure },
            services.config.hostname
        ),
        archive: None,
    }
}

/// How to set up an archive.
fn no_archive() -> Panel {
    Panel {
        title: "Archive".to_owned(),
        lines: vec![
            "There is no off-site copy. An archive receives every change as it happens and a snapshot each night, encrypted. \
             From the archive alone you can restore the service on an empty machine, as it was at any second."
                .to_owned(),
        ],
        commands: "# keep this file on another machine: without it nobody can read the archive\n\
                   holdfast archive new-identity identity.txt\n\n\
                   # add this to the configuration, with the line that the command prints; then restart the service\n\
                   [[archive]]\nname = \"off-site\"\nurl = \"s3://bucket/holdfast\"   # or file:///mnt/backup/holdfast\n\
                   recipients = [\"age1…\"]"
            .to_owned(),
        archive: None,
    }
}
