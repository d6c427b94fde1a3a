//! `holdfast relay …`: on the primary, and on a relay.

mod held;

use std::sync::Arc;

use anyhow::{bail, ensure};
use continuity::link::CODE_FOR;
use relay::{Backlog, OfRelay, Receiver, Relay};
use store::Store;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    alarm::{RELAY_IS_NEAR, needs},
    cli::{AdminCommand, RelayCommand},
    config::Config,
    machine,
    maintenance::keep_sound,
    output::Output,
    relaying::alarms,
    running::Running,
    told::{ago, counted, moment},
};

/// Added to the error if there are alarms.
const WATCH_IT: &str = ": see `holdfast help relay Watch it`";

/// The commands on a primary.
pub async fn on_primary(running: &Running, command: RelayCommand, output: &Output) -> anyhow::Result<()> {
    let config = &running.services.config;
    let Some(receiver) = running.relays.get() else {
        bail!("no relay can connect: set listen.relay in the configuration and start the service");
    };
    match command {
        RelayCommand::Pair => {
            let code = receiver.new_code();
            output.line(code.clone()).await;
            let port =
                config.listen.relay.first().map_or_else(|| "PORT".to_owned(), |address| address.port().to_string());
            output
                .line(format!(
                    "Run this on the other machine within {} minutes: holdfast relay --primary {}:{port} --code {code}",
                    CODE_FOR.as_secs() / 60,
                    config.hostname
                ))
                .await;
        }
        RelayCommand::Status => status_of_primary(receiver, output).await?,
        RelayCommand::List => {
            for relay in receiver.relays() {
                output.line(format!("{} {}", relay.name, relay.fingerprint)).await;
            }
        }
        RelayCommand::Remove { name } => {
            ensure!(receiver.remove(&name)?, "there is no relay named {name}");
            output.line(format!("removed relay {name}; mail that waits there stays there")).await;
        }
        RelayCommand::Held { .. }
        | RelayCommand::Export { .. }
        | RelayCommand::Retry { .. }
        | RelayCommand::Drop { .. } => {
            bail!("this is the primary: run the command on the relay that holds the messages")
        }
    }
    Ok(())
}

/// What is in question, of each relay.
async fn status_of_primary(receiver: &Receiver, output: &Output) -> anyhow::Result<()> {
    let relays = receiver.relays();
    let alarms: Vec<String> = relays.iter().flat_map(of_relay).collect();
    let clear = !relays.is_empty() && receiver.all_clear();
    if output.json() {
        let one = |relay: &OfRelay| {
            serde_json::json!({
                "name": relay.name,
                "fingerprint": relay.fingerprint.to_string(),
                "connected": relay.connected,
                "address": relay.peer,
                "silent_seconds": relay.silent.as_secs(),
                "list_is_current": relay.list_is_current,
                "full": relay.full,
                "is_near": relay.is_near,
                "backlog": relay.backlog.as_ref().map(backlog_json),
            })
        };
        let relays: Vec<_> = relays.iter().map(one).collect();
        let object = serde_json::json!({ "role": "primary", "relays": relays, "all_clear": clear, "alarms": alarms });
        output.object(object).await;
    } else {
        if relays.is_empty() {
            output.line("no relay is paired; to pair one: holdfast relay pair").await;
        }
        for relay in &relays {
            output.line(line_of(relay)).await;
            if relay.is_near {
                output.line(format!("  WARNING: {RELAY_IS_NEAR}")).await;
            }
        }
        if clear {
            output.line("all clear: nothing waits on any relay").await;
        }
        for alarm in &alarms {
            output.line(format!("ALARM: {alarm}")).await;
        }
    }
    needs(alarms.len(), WATCH_IT)
}

/// One relay in one line.
pub fn line_of(relay: &OfRelay) -> String {
    let name = &relay.name;
    let last = match &relay.backlog {
        None => "nothing is known of what waits there".to_owned(),
        Some(backlog) => backlog_line(backlog),
    };
    match (relay.connected, relay.list_is_current) {
        (true, true) => format!("{name}: connected; {last}"),
        (true, false) => format!("{name}: connected, the list of recipients is on its way; {last}"),
        (false, _) => format!("{name}: not connected for {}; {last}", ago(relay.silent)),
    }
}

/// What waits, in words.
pub fn backlog_line(backlog: &Backlog) -> String {
    let Some(oldest_ms) = backlog.oldest_ms else { return "nothing waits there".to_owned() };
    let waiting = counted(backlog.waiting, "message");
    let left = backlog.left.map_or_else(String::new, |left| format!(", about {} left", ago(left)));
    let given = match backlog.given {
        0 => String::new(),
        given => format!(", {:.0} % given", 100.0 * given as f64 / (given + backlog.waiting) as f64),
    };
    format!("{waiting} ({}) since {}{given}{left}", web::size(backlog.bytes), moment(oldest_ms))
}

fn backlog_json(backlog: &Backlog) -> serde_json::Value {
    serde_json::json!({
        "waiting": backlog.waiting,
        "bytes": backlog.bytes,
        "oldest_ms": backlog.oldest_ms,
        "given": backlog.given,
        "left_seconds": backlog.left.map(|left| left.as_secs_f64()),
        "refused": backlog.refused,
        "kept": backlog.kept,
    })
}

/// Alarms about a relay, as the primary sees it.
pub fn of_relay(relay: &OfRelay) -> Vec<String> {
    let name = &relay.name;
    let mut all = Vec::new();
    if !relay.connected && relay.silent >= AWAY {
        all.push(format!("Relay {name}: not heard of for {}", ago(relay.silent)));
    }
    if relay.full {
        all.push(format!("Relay {name}: its disk is full, so it refuses mail for now"));
    }
    if let Some(backlog) = relay.backlog.filter(|backlog| backlog.refused > 0) {
        all.push(format!("Relay {name}: {} were refused here for good", counted(backlog.refused, "message")));
    }
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let oldest_ms = relay.backlog.and_then(|backlog| backlog.oldest_ms);
    if let Some(age) = alarms::age_of(oldest_ms, now_ms).filter(|age| relay.connected && *age > BACKLOG_OLD) {
        all.push(format!("Relay {name}: mail has waited there for {}", ago(age)));
    }
    all
}

/// A relay that is away for less is only restarting.
const AWAY: std::time::Duration = std::time::Duration::from_secs(300);
/// Mail that waits for longer on a relay that is connected is an alarm.
const BACKLOG_OLD: std::time::Duration = std::time::Duration::from_secs(2 * 86_400);

/// The commands on a relay.
pub async fn on_relay(
    (relay, store): (&Arc<Relay>, &Store),
    config: &Config,
    command: AdminCommand,
    output: &Output,
) -> anyhow::Result<()> {
    match command {
        AdminCommand::Status | AdminCommand::RelayDo(RelayCommand::Status) => show(relay, config, output).await,
        AdminCommand::RelayDo(RelayCommand::Held { waiting, limit }) => held::list(relay, waiting, limit, output).await,
        AdminCommand::RelayDo(RelayCommand::Export { dir, ids, waiting }) => {
            held::export(relay, dir, ids, waiting, output).await
        }
        AdminCommand::RelayDo(RelayCommand::Retry { ids }) => held::retry(relay, ids, output).await,
        AdminCommand::RelayDo(RelayCommand::Drop { ids }) => held::discard(relay, ids, output).await,
        AdminCommand::RelayDo(_) => bail!("this is a relay: run the command on the primary"),
        AdminCommand::Maintain => {
            let (say, mut said) = mpsc::unbounded_channel();
            let store = store.clone();
            let work = tokio::spawn(async move {
                keep_sound(&store, &CancellationToken::new(), move |line| drop(say.send(line))).await
            });
            while let Some(line) = said.recv().await {
                output.line(line).await;
            }
            work.await?
        }
        _ => bail!("this machine is a relay, which has no accounts: run the command on the primary"),
    }
}

async fn show(relay: &Relay, config: &Config, output: &Output) -> anyhow::Result<()> {
    let status = relay.status();
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let alarms = alarms::alarms(&status, config, now_ms);
    if output.json() {
        let object = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "hostname": config.hostname,
            "pid": std::process::id(),
            "running_seconds": machine::started().0.elapsed().as_secs(),
            "role": "relay",
            "primary": status.primary,
            "connected": status.connected,
            "why": status.why,
            "streams": status.streams,
            "backlog": backlog_json(&status.backlog),
            "addresses": status.addresses,
            "app_passwords": status.app_passwords,
            "list_age_seconds": status.list_age.map(|age| age.as_secs()),
            "full": status.full,
            "alarms": alarms,
        });
        output.object(object).await;
    } else {
        let primary = &status.primary;
        output
            .line(match (status.connected, status.streams) {
                (false, _) => format!("relay of {primary}: not connected: {}", status.why),
                (true, 0) => format!("relay of {primary}: connected; it takes no mail now"),
                (true, streams) => format!("relay of {primary}: connected; up to {streams} at once"),
            })
            .await;
        output.line(backlog_line(&status.backlog)).await;
        if let (Some(addresses), Some(age)) = (status.addresses, status.list_age) {
            output.line(format!("{addresses} addresses are known, confirmed {} ago", ago(age))).await;
        }
        if status.app_passwords > 0 {
            output
                .line(format!(
                    "{} can sign in while the primary is away",
                    counted(status.app_passwords as u64, "app password")
                ))
                .await;
        }
        output.line(format!("{} are kept that the primary has", counted(status.backlog.kept, "message"))).await;
        for alarm in &alarms {
            output.line(format!("ALARM: {alarm}")).await;
        }
    }
    needs(alarms.len(), WATCH_IT)
}
