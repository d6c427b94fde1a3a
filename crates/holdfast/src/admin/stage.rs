//! `holdfast stage …`

use std::{
    fmt::Write as _,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use continuity::stage::{Feature, Health, Plan, Progress, Stage, WhyOff};

use super::who::WHO;
use crate::{
    cli::{AdminCommand, StageCommand},
    config::Span,
    gates::Gates,
    output::Output,
    restoring::Restoring,
    running::Running,
    services::Services,
    told::moment,
};

/// The largest plan file.
const MAX_PLAN_BYTES: u64 = 32 * 1024;
/// The longest text for people.
const MAX_SAY_CHARACTERS: usize = 500;
/// How long the audit trail may take.
const NOTE_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads the plan's file where the command was typed.
pub fn complete(command: &mut AdminCommand) -> anyhow::Result<()> {
    if let AdminCommand::Stage(StageCommand::Plan { file: Some(file), text, .. }) = command {
        let shown = file.display().to_string();
        let size = std::fs::metadata(&file).with_context(|| shown.clone())?.len();
        ensure!(size <= MAX_PLAN_BYTES, "{shown}: the plan is too large: {size} bytes, the limit is {MAX_PLAN_BYTES}");
        *text = Some(std::fs::read_to_string(&file).with_context(|| shown)?);
    }
    Ok(())
}

pub async fn run(running: &Arc<Running>, command: StageCommand, output: &Output) -> anyhow::Result<()> {
    let services = &running.services;
    let stages = &services.stages;
    match command {
        StageCommand::Show => {}
        StageCommand::Set { stage } => {
            let stage: Stage = stage.parse()?;
            stages.next_plan();
            stages.set(stage)?;
            note(services, &format!("set the stage {stage}")).await;
        }
        StageCommand::Off { feature, reason, r#for } => {
            let feature: Feature = feature.parse()?;
            stages.switch_off(feature, &why_off(services, &reason, r#for.as_deref())?)?;
            let reason = reason.trim();
            let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            note(services, &format!("switched {} off{reason}", feature.name())).await;
        }
        StageCommand::On { feature } => {
            let feature: Feature = feature.parse()?;
            stages.switch(feature, true)?;
            note(services, &format!("switched {} on", feature.name())).await;
        }
        StageCommand::Say { text } => {
            let length = text.chars().count();
            ensure!(
                length <= MAX_SAY_CHARACTERS,
                "the announcement is too long: {length} characters, the limit is {MAX_SAY_CHARACTERS}"
            );
            stages.say(text.trim())?;
        }
        StageCommand::Plan { file, print, text } => {
            let plan = match (&file, &text) {
                (Some(file), Some(text)) => Plan::from_toml(text).with_context(|| file.display().to_string())?,
                _ => Plan::usual(),
            };
            output.field("steps", plan.steps.iter().map(json_of_step).collect::<serde_json::Value>());
            if !output.json() {
                for step in &plan.steps {
                    output.line(described(step)).await;
                }
            }
            if print {
                return Ok(());
            }
            ensure!(
                running.serving.load(Ordering::SeqCst),
                "the service is not running: start it, then start the plan"
            );
            let (ends, running) = (stages.next_plan(), running.clone());
            tokio::spawn(async move {
                let health: Arc<dyn Health> = Arc::new(Gates::new(running.clone()));
                if let Err(error) = running.services.stages.follow(&plan, &health, true, &ends).await {
                    tracing::error!(%error, "could not store the stage");
                }
            });
            output.line("the plan is running; to see its progress: holdfast stage show").await;
            return Ok(());
        }
    }
    if output.json() {
        output.object(json_of(running)).await;
    } else {
        show(running, output).await;
    }
    Ok(())
}

/// Writes into the audit trail what was done. The stage is set also while nothing can be written, since it is set to find
/// out why.
async fn note(services: &Services, what: &str) {
    let noted = tokio::time::timeout(NOTE_TIMEOUT, services.directory.audit(None, WHO, what, ""));
    if !matches!(noted.await, Ok(Ok(()))) {
        tracing::warn!(what, "the audit trail could not be written");
    }
}

fn why_off(services: &Services, reason: &str, time: Option<&str>) -> anyhow::Result<WhyOff> {
    let length = reason.chars().count();
    let limit = WhyOff::MAX_REASON_CHARACTERS;
    ensure!(length <= limit, "the reason is too long: {length} characters, the limit is {limit}");
    let now_ms = services.store.clock().now_ms();
    let time = time.map(str::parse::<Span>).transpose().map_err(anyhow::Error::msg)?;
    let until_ms = time.map(|time| now_ms.saturating_add(i64::try_from(time.0.as_millis()).unwrap_or(i64::MAX)));
    Ok(WhyOff { reason: reason.trim().to_owned(), until_ms })
}

fn described(step: &continuity::stage::Step) -> String {
    let mut line = format!("{:<8}", step.stage.name());
    if !step.gates.is_empty() {
        let gates: Vec<_> = step.gates.iter().map(ToString::to_string).collect();
        let _ = write!(line, " when {} (waits {} s)", gates.join(", "), step.patience.as_secs());
    }
    if !step.hold.is_zero() {
        let _ = write!(line, ", held for {} s", step.hold.as_secs());
    }
    line
}

fn json_of_step(step: &continuity::stage::Step) -> serde_json::Value {
    serde_json::json!({
        "stage": step.stage.name(),
        "gates": step.gates.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "patience_seconds": step.patience.as_secs(),
        "hold_seconds": step.hold.as_secs(),
    })
}

fn json_of(running: &Running) -> serde_json::Value {
    let services = &running.services;
    let (now, chosen) = (services.stages.now(), services.stages.chosen());
    let off: Vec<_> = Feature::ALL.into_iter().filter(|feature| !now.has(*feature)).map(Feature::name).collect();
    serde_json::json!({
        "stage": now.stage.name(),
        "works": now.stage.works(),
        "chosen_stage": chosen.name(),
        "off": off,
        "why_off": now.why_off,
        "people_are_told": now.say,
        "stopped": services.store.stopped(),
        "waiting": running.primary.get().and_then(|primary| primary.waiting()).map(|waiting| waiting.to_string()),
        "plan": services.stages.progress().map(|progress| progress.to_string()),
        "restoring": running.restoring.get().and_then(Restoring::status),
    })
}

async fn show(running: &Running, output: &Output) {
    let services = &running.services;
    let now = services.stages.now();
    for stage in Stage::ALL {
        let mark = if stage == now.stage { "=>" } else { "  " };
        output.line(format!("{mark} {:<8} {}", stage.name(), stage.works())).await;
    }
    let chosen = services.stages.chosen();
    if chosen != now.stage {
        output.line(format!("moving to {chosen}, the chosen stage")).await;
    }
    for feature in Feature::ALL.into_iter().filter(|feature| !now.has(*feature)) {
        let why = now.why_off.get(&feature);
        let reason =
            why.filter(|why| !why.reason.is_empty()).map_or_else(String::new, |why| format!(": {}", why.reason));
        let until = why.and_then(|why| why.until_ms).map_or_else(String::new, |at| format!(", until {}", moment(at)));
        output.line(format!("off: {}{until}{reason}", feature.name())).await;
    }
    if !now.say.is_empty() {
        output.line(format!("announcement: {}", now.say)).await;
    }
    match services.stages.progress() {
        None | Some(Progress::Done) => {}
        Some(progress) => output.line(format!("plan: {progress}")).await,
    }
    if let Some(line) = running.restoring.get().and_then(Restoring::status) {
        output.line(line).await;
    }
    if let Some(why) = services.store.stopped() {
        output.line(format!("STOPPED: {why}")).await;
    }
    if let Some(waiting) = running.primary.get().and_then(|primary| primary.waiting()) {
        output.line(format!("WAITING: {waiting}: holdfast standby status")).await;
    }
}
