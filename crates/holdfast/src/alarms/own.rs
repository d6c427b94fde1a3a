//! Alarms of this service itself: its disk, its store, its certificate, its daily maintenance, its stage.

use std::time::Duration;

use continuity::stage::Progress;
use inbound::spam::ListState;

use crate::{
    alarm::{Alarm, damaged, short_of_room},
    config,
    machine::Room,
    running::Running,
    secrets,
    services::Services,
    told::{ago, moment},
};

/// A clock that is behind by less is only being adjusted.
const CLOCK_PATIENCE: Duration = Duration::from_secs(300);
const SUBJECT: &str = "Holdfast alarm";

/// The current alarms.
pub fn alarms(running: &Running, now_ms: i64) -> Vec<Alarm> {
    let services = &running.services;
    let alarm = |key: &str, line: String, more: String, look: &'static str| Alarm {
        key: key.to_owned(),
        line,
        more,
        subject: format!("{SUBJECT} ({key})"),
        look,
    };
    let mut all = Vec::new();
    if let Some(why) = services.store.stopped() {
        let line = format!("Store: writes are stopped: {why}");
        all.push(alarm("store", line, String::new(), "Run `holdfast help operate says stopped`."));
    }
    if let Some(room) = Room::of_data(&services.config.data_dir).ok().filter(|room| room.is_short()) {
        all.push(alarm("disk", short_of_room(room), String::new(), "Run `holdfast help operate disk is full`."));
    }
    if let Some(behind) = services.store.clock_behind().filter(|behind| *behind > CLOCK_PATIENCE) {
        let line = format!(
            "Clock: this machine's time is {}, {} before the time of the last commit: the clock was ahead then, or is behind now",
            moment(now_ms),
            ago(behind)
        );
        let more = "Mail is still accepted, and no data is hidden: rewind and restore use the earlier of the two times. New commits \
                    carry the later time until the clock has reached it.";
        let look = "If the clock is wrong now, set it and check NTP; see `holdfast help continuity Wrong clocks`.";
        all.push(alarm("clock", line, more.to_owned(), look));
    }
    all.extend(stopped_accounts(services, alarm));
    all.extend(secrets::alarm(services));
    let damage = services.store.damage();
    if let Some(line) = damaged(&damage) {
        let mut more = damage.lines();
        more.extend(damage.bodies.iter().flat_map(|(id, _)| whose(services, id)));
        all.push(alarm("damage", line, more.join("\n"), "Run `holdfast help operate something is damaged`."));
    }
    if let Some(why) = running.verifying.now().last.and_then(|last| last.failed) {
        let line = "Verify: the check failed".to_owned();
        all.push(alarm("verify", line, why, "Run it again with `holdfast verify`."));
    }
    if let Some(daily) = running.daily.lock().clone().filter(|daily| !daily.failed.is_empty()) {
        let line = "Daily maintenance: some of it failed".to_owned();
        let look = "Run it again with `holdfast maintain` to see each step. For damage, see `holdfast help operate something is damaged`.";
        all.push(alarm("daily work", line, daily.failed.join("\n"), look));
    }
    if let (Some(tls), true) = (running.tls.get(), services.config.tls.certificate.is_some())
        && let Some(ends) = config::certificate_ends(&tls.certificate(), now_ms / 1000)
    {
        let look = "Renew it, then `systemctl reload holdfast`; see `holdfast help certificates Renew`.";
        all.push(alarm("certificate", format!("Certificate: {ends}"), String::new(), look));
    }
    all.extend(obtained(running));
    all.extend(dns_lists(services));
    if let Some(Progress::Stopped { stage, why }) = services.stages.progress() {
        let line = format!("Stage: {} was not reached: {why}", stage.name());
        all.push(alarm(
            "stage",
            line,
            String::new(),
            "Run `holdfast stage show`; see `holdfast help continuity Stages`.",
        ));
    }
    all
}

/// DNS lists that are switched off; several in one alarm.
fn dns_lists(services: &Services) -> Option<Alarm> {
    let states = services.dns_lists.states();
    let lines: Vec<String> = states
        .into_iter()
        .filter_map(|(list, state)| match state {
            ListState::Off(why) => Some(format!("{list}: {why}")),
            ListState::New | ListState::Works => None,
        })
        .collect();
    let first = lines.first()?;
    let others = if lines.len() > 1 { format!(" (and {} more)", lines.len() - 1) } else { String::new() };
    Some(Alarm {
        key: "dns lists".to_owned(),
        line: format!("DNS list switched off: {first}{others}"),
        more: lines.join("\n"),
        subject: format!("{SUBJECT} (dns lists)"),
        look: "Run `holdfast spam dns-lists`; see `holdfast help delivery Spam`.",
    })
}

/// Certificates of an authority that are about to end, or can't be obtained; several in one alarm.
fn obtained(running: &Running) -> Option<Alarm> {
    let all = running.certificates.get()?.list();
    let lines: Vec<String> =
        all.iter().filter_map(|one| Some(format!("{}: {}", one.group, one.alarm.as_ref()?))).collect();
    let first = lines.first()?;
    let others = if lines.len() > 1 { format!(" (and {} more)", lines.len() - 1) } else { String::new() };
    Some(Alarm {
        key: "certificates".to_owned(),
        line: format!("Certificate of {first}{others}"),
        more: lines.join("\n"),
        subject: format!("{SUBJECT} (certificates)"),
        look: "Run `holdfast certificate list`; see `holdfast help certificates 3 a.m.`.",
    })
}

/// Accounts whose sending the service stopped; the alarm ends when they may send again.
fn stopped_accounts(services: &Services, alarm: impl Fn(&str, String, String, &'static str) -> Alarm) -> Option<Alarm> {
    let stopped = services.delivery.stopped_accounts().ok().filter(|stopped| !stopped.is_empty())?;
    let addresses: Vec<String> = stopped.iter().map(|(account, _)| account.address.to_string()).collect();
    let named = match addresses.as_slice() {
        [a, b, c, _, ..] => format!("{a}, {b}, {c} and {} more", addresses.len() - 3),
        few => few.join(", "),
    };
    let line = format!("Sending: stopped for {named}: someone else may have the password");
    let more = stopped
        .iter()
        .map(|(account, stopped)| format!("{}, {}: {}", account.address, moment(stopped.at_ms), stopped.why));
    let look = "Change the password and sign out everywhere (`holdfast account set ADDRESS --shut-out`), look at the queue \
                (`holdfast queue list --account ADDRESS`), then run `holdfast account allow-sending ADDRESS`.";
    // A new one is told on the same day, too.
    let key = format!("sending {}", addresses.join(" "));
    let mut found = alarm("sending", line, more.collect::<Vec<_>>().join("\n"), look);
    found.key = key;
    Some(found)
}

/// Whose message a damaged one is.
fn whose(services: &Services, id: &store::BodyId) -> Vec<String> {
    let realms = services.store.referrers(id).unwrap_or_default();
    let address = |realm: &store::RealmId| {
        let account = services.directory.account(directory::AccountId(realm.account_number()?)).ok()??;
        Some(account.address)
    };
    realms
        .iter()
        .map(|realm| {
            format!(
                "{id}: belongs to {}",
                address(realm).map_or_else(|| realm.to_string(), |address| address.to_string())
            )
        })
        .collect()
}
