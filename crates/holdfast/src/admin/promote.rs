//! The checks before `holdfast promote`, and its report on what may be missing.

use anyhow::ensure;
use continuity::standby::{HowToPromote, Promotion, Status, primary_answers};

use crate::{
    cli::PromoteArgs,
    config::{Config, StandbyMode, WhenAway},
    told::moment,
};

/// What was asked for.
pub const fn how(args: PromoteArgs) -> HowToPromote {
    let PromoteArgs { discard, nothing_lost, maybe_lost, alone, .. } = args;
    HowToPromote { discard, nothing_lost, maybe_lost, alone }
}

/// Whether this machine, once it is the primary, waits for a standby with everything.
fn will_wait(config: &Config) -> bool {
    let settings = &config.standby;
    !config.listen.standby.is_empty() && settings.mode == StandbyMode::Sync && settings.when_away == WhenAway::Wait
}

/// A promoted machine that should wait for a standby has none yet: only the operator can decide what to do then.
///
/// # Errors
/// The operator has not decided.
pub fn check(config: &Config, args: PromoteArgs) -> anyhow::Result<()> {
    ensure!(
        args.alone || args.wait || !will_wait(config),
        "not promoted: the configuration says when_away = \"wait\", and this machine has no standby yet. Choose what it \
         does until one is paired and in sync: `holdfast promote --alone` acknowledges writes without one; `holdfast \
         promote --wait` acknowledges nothing, so nobody can send, receive or sign in"
    );
    Ok(())
}

/// A warning when the primary that is followed still answers.
///
/// # Errors
/// Files of this machine.
pub async fn still_answers(config: &Config) -> anyhow::Result<Option<String>> {
    let answers = primary_answers(&config.data_dir).await?;
    Ok(answers.map(|address| {
        format!(
            "WARNING: the old primary at {address} is still running: it accepts mail until this machine starts serving and tells it that \
             it is no longer the primary"
        )
    }))
}

/// What may be missing, and the next steps. `before` is the state of a running standby before its promotion.
pub fn consequences(config: &Config, args: PromoteArgs, promotion: &Promotion, before: Option<&Status>) -> Vec<String> {
    let mut all = vec![lost(args, promotion, before)];
    if will_wait(config) {
        all.push(if args.alone {
            "writes are acknowledged without a standby until one is paired and in sync; to pair one: holdfast standby code".to_owned()
        } else {
            "this machine acknowledges NOTHING until a standby is paired (holdfast standby code); to continue without one: holdfast \
             standby alone"
                .to_owned()
        });
    } else if !config.listen.standby.is_empty() {
        all.push("no standby is paired yet; to pair one: holdfast standby code".to_owned());
    }
    all
}

fn lost(args: PromoteArgs, promotion: &Promotion, before: Option<&Status>) -> String {
    if promotion.all_is_here {
        let why = if args.nothing_lost { "given by --nothing-lost" } else { "it waited for this machine" };
        return format!("nothing that the old primary acknowledged is missing here ({why})");
    }
    let mut text = format!("the old primary may have commits from {} on that are missing here", promotion.seq.0 + 1);
    if let Some(before) = before {
        text += &match before.primary.0.saturating_sub(promotion.seq.0) {
            0 => ": none that it announced".to_owned(),
            missing => format!(": at least {missing} that it announced"),
        };
        if let Some(heard) = before.heard_ms {
            text += &format!(", last contact {}", moment(heard));
        }
        if let Some(complete) = before.complete_ms {
            text += &format!("; everything it had at {} is here", moment(complete));
        }
    } else if let Some(last) = promotion.last_ms {
        text += &format!("; the last commit here is from {}", moment(last));
    }
    text + "; you can recover data that exists only on its disk: run `holdfast standby --rejoin` there, or `holdfast salvage` here"
}
