//! `holdfast standby …`, `promote` and `compare`: on the primary, on the standby, and on a standby's folder.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use continuity::standby::{CODE_FOR, Primary, Standby, StandbyStatus};
use store::{RealmId, Seq};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{promote, secrets as of_secrets, status};
use crate::{
    alarm::{BELIEVES_TOO_MUCH, needs},
    cli::{AdminCommand, PromoteArgs, SecretsCommand, StandbyCommand},
    config::Config,
    json,
    maintenance::keep_sound,
    output::Output,
    redundant::OnItsWay,
    running::Running,
    secrets,
    services::store_options,
    standby::{alarms, tripwires},
    told::moment,
};

/// How the lines begin that are alarms.
const ALARM: &str = "ALARM: ";
/// Added to the error if there are alarms.
const WATCH_IT: &str = ": see `holdfast help continuity Watch it`";

/// The commands on a primary.
pub async fn on_primary(running: &Running, command: StandbyCommand, output: &Output) -> anyhow::Result<()> {
    let services = &running.services;
    let Some(primary) = running.primary.get() else {
        bail!("no standby can connect: set listen.standby in the configuration and start the service");
    };
    match command {
        StandbyCommand::Code => {
            let (code, config) = (primary.new_code(), &services.config);
            output.field("code", code.clone());
            output.field("valid_seconds", CODE_FOR.as_secs());
            output.line(code.clone()).await;
            let port =
                config.listen.standby.first().map_or_else(|| "PORT".to_owned(), |address| address.port().to_string());
            output
                .line(format!(
                    "Run this on the other machine within {} minutes: holdfast standby --primary {}:{port} --code {code}",
                    CODE_FOR.as_secs() / 60,
                    config.hostname
                ))
                .await;
        }
        StandbyCommand::Status => status_of_primary(primary, services.store.seq(), output).await?,
        StandbyCommand::Alone => {
            ensure!(
                primary.go_on_alone()?,
                "this machine doesn't wait for a standby: its mode is not \"sync\" and \"wait\""
            );
            output.line("writes are acknowledged without a standby until one is in sync").await;
        }
        StandbyCommand::Forget { name } => {
            ensure!(primary.forget(&name)?, "there is no standby named {name}");
            output.line(format!("revoked standby {name}")).await;
        }
        StandbyCommand::Release | StandbyCommand::Resync { .. } => {
            bail!("this is the primary: run the command on the standby")
        }
    }
    Ok(())
}

/// Shows how far each standby is.
async fn status_of_primary(primary: &Primary, end: Seq, output: &Output) -> anyhow::Result<()> {
    let mut lines = vec![format!("primary at commit {end}")];
    if let Some(waiting) = primary.waiting() {
        lines.push(format!("{ALARM}{waiting}; to continue without a standby until then: holdfast standby alone"));
    }
    if primary.is_degraded() {
        lines.push(format!("{ALARM}no standby is following; commits are acknowledged without a standby"));
    }
    let standbys = primary.standbys();
    if standbys.is_empty() {
        lines.push("no standby is paired; to pair one: holdfast standby code".to_owned());
    }
    let alone = !primary.has_a_copy();
    lines.extend(standbys.iter().flat_map(|standby| lines_of(standby, end, alone)));
    let alarms = lines.iter().filter(|line| line.starts_with(ALARM)).count();
    if output.json() {
        let alarms = lines.iter().filter_map(|line| line.strip_prefix(ALARM)).collect::<Vec<_>>();
        output
            .object(serde_json::json!({
                "role": "primary",
                "commit": end.0,
                "waiting": primary.waiting().map(|waiting| waiting.to_string()),
                "degraded": primary.is_degraded(),
                "standbys": standbys.iter().map(|standby| json_of(standby, end, alone)).collect::<Vec<_>>(),
                "alarms": alarms,
            }))
            .await;
    }
    for line in lines {
        output.line(line).await;
    }
    needs(alarms, WATCH_IT)
}

fn json_of(standby: &StandbyStatus, end: Seq, alone: bool) -> serde_json::Value {
    let held = standby.held.iter().map(|(realm, why)| serde_json::json!({ "realm": realm.to_string(), "why": why }));
    serde_json::json!({
        "name": standby.name,
        "connected": standby.connected,
        "received": standby.received.0,
        "applied": standby.applied.0,
        "behind": end.0.saturating_sub(standby.received.0),
        "lag_seconds": standby.lag.as_secs_f64(),
        "first_copy": standby.copying.as_ref().map(|copying| OnItsWay::copy(copying, alone)),
        "full": standby.full,
        "tripwire": standby.wire,
        "damaged": standby.damaged,
        "repaired": standby.mended,
        "not_applied": held.collect::<Vec<_>>(),
        "believes_too_much": standby.believes_too_much,
    })
}

/// How one standby is, line by line. `alone`: no other machine has everything.
fn lines_of(standby: &StandbyStatus, end: Seq, alone: bool) -> Vec<String> {
    let name = &standby.name;
    let mut lines = Vec::new();
    if standby.believes_too_much {
        lines.push(format!("{ALARM}{name}: {BELIEVES_TOO_MUCH}"));
    }
    if let Some(copying) = &standby.copying {
        lines.push(format!("{name}: {}", OnItsWay::copy(copying, alone).summary));
        return lines;
    }
    if !standby.connected {
        lines.push(format!("{name}: not connected; the last commit it received is {}", standby.received));
        return lines;
    }
    let (received, applied) = (standby.received, standby.applied);
    let (behind, lag) = (end.0.saturating_sub(received.0), standby.lag.as_secs_f64());
    lines.push(format!("{name}: received commit {received} ({behind} behind, {lag:.1} s), applied {applied}"));
    if standby.full {
        lines.push(format!("{ALARM}{name}: its disk is full, so it can't receive changes"));
    }
    if !standby.wire.is_empty() {
        lines.push(format!("{ALARM}{name} holds back changes: {}", standby.wire));
    }
    if standby.damaged > 0 {
        lines.push(format!("{ALARM}{name}: {} messages are damaged there", standby.damaged));
    }
    if standby.mended > 0 {
        lines.push(format!("  repaired {} messages that got damaged there: check its disk", standby.mended));
    }
    let held = standby.held.iter();
    lines.extend(held.map(|(realm, why)| format!("{ALARM}{name} can't apply changes to {realm}: {why}")));
    lines
}

/// The commands on a standby.
pub async fn on_standby(
    standby: &Arc<Standby>,
    config: &Config,
    command: AdminCommand,
    output: &Output,
) -> anyhow::Result<()> {
    match command {
        AdminCommand::Status => status::on_standby(standby, config, output).await?,
        AdminCommand::StandbyDo(StandbyCommand::Status) => show(standby, config, output).await?,
        AdminCommand::StandbyDo(StandbyCommand::Release) => {
            let released = standby.release()?;
            output.line(format!("applied commit {} and the later ones ({})", released.seq, released.why)).await;
        }
        AdminCommand::StandbyDo(StandbyCommand::Resync { realm }) => resync(standby, &realm, output).await?,
        AdminCommand::Compare => compare(standby, output).await?,
        AdminCommand::Promote(args) => promote_running(standby, config, args, output).await?,
        AdminCommand::StandbyDo(StandbyCommand::Code) => {
            bail!(
                "this is a standby, and a standby can't have standbys: run the command on the primary, which can have several"
            )
        }
        AdminCommand::StandbyDo(StandbyCommand::Forget { .. } | StandbyCommand::Alone) => {
            bail!("this is a standby: run the command on the primary")
        }
        AdminCommand::Secrets(SecretsCommand::Status) => {
            let store = standby.store().context("the first copy is not finished")?;
            let keys = secrets::keys(&config.secrets);
            let found = directory::secrets_in(&store.snapshot(), &keys)?;
            of_secrets::told(&keys, &store, &found, output).await?;
        }
        AdminCommand::Maintain => maintain(standby, output).await?,
        _ => bail!("this machine is a standby: run the command on the primary, or run `holdfast promote` here first"),
    }
    Ok(())
}

/// Copies a realm from the primary again.
async fn resync(standby: &Standby, realm: &str, output: &Output) -> anyhow::Result<()> {
    let realm = realm_named(standby, realm)?;
    let done = standby.resync(realm).await?;
    output.line(format!("copied {realm} again; changes are applied again")).await;
    if done.fetched > 0 {
        let fetched = done.fetched;
        output.line(format!("repaired {fetched} messages that were missing or damaged here")).await;
    }
    ensure!(
        done.lost == 0,
        "{} messages are damaged here, and the primary doesn't have them either: `holdfast verify` there lists them; an \
         archive may have them",
        done.lost
    );
    Ok(())
}

/// Compares all data with the primary's.
async fn compare(standby: &Standby, output: &Output) -> anyhow::Result<()> {
    let compared = standby.compare().await?;
    output.field("identical", compared.equal);
    let differ = compared.different.iter();
    let differ = differ.map(|(realm, what)| serde_json::json!({ "realm": realm.to_string(), "what": what }));
    output.field("different", differ.collect::<serde_json::Value>());
    for (realm, what) in &compared.different {
        output.line(format!("{realm}: {what}")).await;
    }
    output.line(format!("{} realms are identical on both machines", compared.equal)).await;
    ensure!(compared.different.is_empty(), "{} realms differ", compared.different.len());
    Ok(())
}

/// Makes a running standby the primary.
async fn promote_running(
    standby: &Arc<Standby>,
    config: &Config,
    args: PromoteArgs,
    output: &Output,
) -> anyhow::Result<()> {
    promote::check(config, args)?;
    let before = standby.status();
    let keys = secrets::keys(&config.secrets);
    if let Some(wrong) = standby.store().and_then(|store| secrets::wrong(&keys, &store)) {
        output.line(format!("WARNING: {wrong}; see `holdfast help operate key is missing`")).await;
    }
    if let Some(warning) = promote::still_answers(config).await? {
        output.line(warning).await;
    }
    let promotion = standby.promote(promote::how(args)).await?;
    output.field("epoch", promotion.epoch);
    output.field("commit", promotion.seq.0);
    output
        .line(format!(
            "this machine is now the primary: epoch {}, after commit {}; its listeners open in a moment",
            promotion.epoch, promotion.seq
        ))
        .await;
    for line in promote::consequences(config, args, &promotion, Some(&before)) {
        output.line(line).await;
    }
    Ok(())
}

/// The daily maintenance, now.
async fn maintain(standby: &Standby, output: &Output) -> anyhow::Result<()> {
    let store = standby.store().context("the first copy is not finished")?;
    let (say, mut said) = mpsc::unbounded_channel();
    let work =
        tokio::spawn(
            async move { keep_sound(&store, &CancellationToken::new(), move |line| drop(say.send(line))).await },
        );
    while let Some(line) = said.recv().await {
        output.line(line).await;
    }
    work.await?
}

/// A realm by the name that it is shown with.
fn realm_named(standby: &Standby, name: &str) -> anyhow::Result<RealmId> {
    let store = standby.store().context("the first copy is not finished")?;
    let realms = store.realms();
    let found = realms.iter().find(|realm| realm.to_string() == name.trim());
    found
        .copied()
        .with_context(|| format!("there is no realm {name:?}; `holdfast standby status` lists the failed ones"))
}

async fn show(standby: &Standby, config: &Config, output: &Output) -> anyhow::Result<()> {
    let status = standby.status();
    output.line(format!("standby: {}", status.doing)).await;
    let behind = status.behind();
    output.line(format!("received commit {} ({behind} behind), applied {}", status.received, status.applied)).await;
    if let Some(complete_ms) = status.complete_ms {
        let ago = jiff::Timestamp::now().as_millisecond().saturating_sub(complete_ms).max(0) / 1000;
        let at = moment(complete_ms);
        output.line(format!("everything the primary had at {at} is here ({ago} s ago)")).await;
    }
    if status.mended > 0 {
        let mended = status.mended;
        output.line(format!("repaired {mended} messages that got damaged here: check this machine's disk")).await;
    }
    let alarms = alarms::alarms(&status, config, standby.store().as_ref());
    for alarm in &alarms {
        output.line(format!("ALARM: {alarm}")).await;
    }
    needs(alarms.len(), WATCH_IT)
}

/// Makes a folder whose standby does not run the primary's.
pub async fn promote_folder(config: &Config, args: PromoteArgs, json: bool) -> anyhow::Result<()> {
    promote::check(config, args)?;
    let how = promote::how(args);
    ensure!(
        !how.discard,
        "--discard needs a running standby, which knows what its tripwires hold back: start it with `holdfast standby`"
    );
    let (dir, options, wires) = (config.data_dir.clone(), store_options(config), tripwires(config));
    let warning = promote::still_answers(config).await?;
    if let Some(warning) = warning.as_ref().filter(|_| !json) {
        println!("{warning}");
    }
    let promote = move || continuity::standby::promote_folder(&dir, options, &wires, how);
    let promotion = tokio::task::spawn_blocking(promote).await??;
    if json {
        json::print(serde_json::json!({
            "epoch": promotion.epoch,
            "commit": promotion.seq.0,
            "messages": warning.into_iter().chain(promote::consequences(config, args, &promotion, None)).collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    println!(
        "this machine is now the primary: epoch {}, after commit {}; start the service with: holdfast serve",
        promotion.epoch, promotion.seq
    );
    for line in promote::consequences(config, args, &promotion, None) {
        println!("{line}");
    }
    Ok(())
}
