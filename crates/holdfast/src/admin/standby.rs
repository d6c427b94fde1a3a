//! `holdfast standby …`, `promote` and `compare`: on the primary, on the standby, and on a standby's folder.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use continuity::standby::{CODE_FOR, Standby};
use store::RealmId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{promote, status};
use crate::{
    alarm::{BELIEVES_TOO_MUCH, needs},
    cli::{AdminCommand, PromoteArgs, StandbyCommand},
    config::Config,
    maintenance::keep_sound,
    output::Output,
    redundant::OnItsWay,
    running::Running,
    services::store_options,
    standby::{alarms, tripwires},
    told::moment,
};

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
        StandbyCommand::Status => {
            let end = services.store.seq();
            let mut alarms = 0;
            output.line(format!("primary at commit {end}")).await;
            if let Some(waiting) = primary.waiting() {
                alarms += 1;
                output
                    .line(format!("ALARM: {waiting}; to continue without a standby until then: holdfast standby alone"))
                    .await;
            }
            if primary.is_degraded() {
                alarms += 1;
                output.line("ALARM: no standby is following; commits are acknowledged without a standby").await;
            }
            let standbys = primary.standbys();
            if standbys.is_empty() {
                output.line("no standby is paired; to pair one: holdfast standby code").await;
            }
            for standby in standbys {
                let name = &standby.name;
                if standby.believes_too_much {
                    alarms += 1;
                    output.line(format!("ALARM: {name}: {BELIEVES_TOO_MUCH}")).await;
                }
                if let Some(copying) = &standby.copying {
                    let copy = OnItsWay::copy(copying, !primary.has_a_copy());
                    output.line(format!("{name}: {}", copy.summary)).await;
                    continue;
                }
                if !standby.connected {
                    output
                        .line(format!("{name}: not connected; the last commit it received is {}", standby.received))
                        .await;
                    continue;
                }
                let behind = end.0.saturating_sub(standby.received.0);
                output
                    .line(format!(
                        "{name}: received commit {} ({behind} behind, {:.1} s), applied {}",
                        standby.received,
                        standby.lag.as_secs_f64(),
                        standby.applied
                    ))
                    .await;
                if standby.full {
                    alarms += 1;
                    output.line(format!("ALARM: {name}: its disk is full, so it can't receive changes")).await;
                }
                if !standby.wire.is_empty() {
                    alarms += 1;
                    output.line(format!("ALARM: {name} holds back changes: {}", standby.wire)).await;
                }
                if standby.damaged > 0 {
                    alarms += 1;
                    output.line(format!("ALARM: {name}: {} messages are damaged there", standby.damaged)).await;
                }
                if standby.mended > 0 {
                    let mended = standby.mended;
                    output.line(format!("  repaired {mended} messages that got damaged there: check its disk")).await;
                }
                for (realm, why) in &standby.held {
                    alarms += 1;
                    output.line(format!("ALARM: {name} can't apply changes to {realm}: {why}")).await;
                }
            }
            needs(alarms, WATCH_IT)?;
        }
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

/// The commands on a standby.
pub async fn on_standby(
    standby: &Arc<Standby>,
    config: &Config,
    command: AdminCommand,
    output: &Output,
) -> anyhow::Result<()> {
    match command {
        AdminCommand::Status { json } => status::on_standby(standby, config, json, output).await?,
        AdminCommand::StandbyDo(StandbyCommand::Status) => show(standby, config, output).await?,
        AdminCommand::StandbyDo(StandbyCommand::Release) => {
            let released = standby.release()?;
            output.line(format!("applied commit {} and the later ones ({})", released.seq, released.why)).await;
        }
        AdminCommand::StandbyDo(StandbyCommand::Resync { realm }) => {
            let realm = realm_named(standby, &realm)?;
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
        }
        AdminCommand::Compare => {
            let compared = standby.compare().await?;
            for (realm, what) in &compared.different {
                output.line(format!("{realm}: {what}")).await;
            }
            output.line(format!("{} realms are identical on both machines", compared.equal)).await;
            ensure!(compared.different.is_empty(), "{} realms differ", compared.different.len());
        }
        AdminCommand::Promote(args) => {
            promote::check(config, args)?;
            let before = standby.status();
            if let Some(warning) = promote::still_answers(config).await? {
                output.line(warning).await;
            }
            let promotion = standby.promote(promote::how(args)).await?;
            output
                .line(format!(
                    "this machine is now the primary: epoch {}, after commit {}; its listeners open in a moment",
                    promotion.epoch, promotion.seq
                ))
                .await;
            for line in promote::consequences(config, args, &promotion, Some(&before)) {
                output.line(line).await;
            }
        }
        AdminCommand::StandbyDo(StandbyCommand::Code) => {
            bail!(
                "this is a standby, and a standby can't have standbys: run the command on the primary, which can have several"
            )
        }
        AdminCommand::StandbyDo(StandbyCommand::Forget { .. } | StandbyCommand::Alone) => {
            bail!("this is a standby: run the command on the primary")
        }
        AdminCommand::Maintain => {
            let store = standby.store().context("the first copy is not finished")?;
            let (say, mut said) = mpsc::unbounded_channel();
            let work = tokio::spawn(async move {
                keep_sound(&store, &CancellationToken::new(), move |line| drop(say.send(line))).await
            });
            while let Some(line) = said.recv().await {
                output.line(line).await;
            }
            work.await??;
        }
        _ => bail!("this machine is a standby: run the command on the primary, or run `holdfast promote` here first"),
    }
    Ok(())
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
    let alarms = alarms::alarms(&status, &config.data_dir);
    for alarm in &alarms {
        output.line(format!("ALARM: {alarm}")).await;
    }
    needs(alarms.len(), WATCH_IT)
}

/// Makes a folder whose standby does not run the primary's.
pub async fn promote_folder(config: &Config, args: PromoteArgs) -> anyhow::Result<()> {
    promote::check(config, args)?;
    let how = promote::how(args);
    ensure!(
        !how.discard,
        "--discard needs a running standby, which knows what its tripwires hold back: start it with `holdfast standby`"
    );
    let (dir, options, wires) = (config.data_dir.clone(), store_options(config), tripwires(config));
    if let Some(warning) = promote::still_answers(config).await? {
        println!("{warning}");
    }
    let promote = move || continuity::standby::promote_folder(&dir, options, &wires, how);
    let promotion = tokio::task::spawn_blocking(promote).await??;
    println!(
        "this machine is now the primary: epoch {}, after commit {}; start the service with: holdfast serve",
        promotion.epoch, promotion.seq
    );
    for line in promote::consequences(config, args, &promotion, None) {
        println!("{line}");
    }
    Ok(())
}
