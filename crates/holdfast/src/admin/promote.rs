//! What `holdfast promote` asks before, and says of what is lost or not after.

use anyhow::ensure;
use continuity::standby::{HowToPromote, Promotion, Status, primary_answers};

use crate::{
    archive::moment,
    cli::PromoteArgs,
    config::{Config, StandbyMode, WhenAway},
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

/// A machine that is to wait for a standby has none when it is promoted: nobody but the operator can say what then.
///
/// # Errors
/// It was not said.
pub fn check(config: &Config, args: PromoteArgs) -> anyhow::Result<()> {
    ensure!(
        args.alone || args.wait || !will_wait(config),
        "not promoted: the configuration says when_away = \"wait\", and this machine has no standby yet. Say what it is \
         to do until one is paired and has everything: `holdfast promote --alone` acknowledges without one, `holdfast \
         promote --wait` acknowledges nothing, and nobody can send, receive or sign in"
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
            "WARNING: the old primary at {address} still answers: it takes mail until this machine serves and tells it that \
             it is the primary no more"
        )
    }))
}

/// What is lost or not, and what comes next. `before` is how a standby that runs was.
pub fn consequences(config: &Config, args: PromoteArgs, promotion: &Promotion, before: Option<&Status>) -> Vec<String> {
    let mut all = vec![lost(args, promotion, before)];
    if will_wait(config) {
        all.push(if args.alone {
            "it acknowledges alone until a standby is paired and has everything: holdfast standby code".to_owned()
        } else {
            "it acknowledges NOTHING until a standby is paired: holdfast standby code; to go on without one: holdfast \
             standby alone"
                .to_owned()
        });
    } else if !config.listen.standby.is_empty() {
        all.push("no standby follows it yet: holdfast standby code".to_owned());
    }
    all
}

fn lost(args: PromoteArgs, promotion: &Promotion, before: Option<&Status>) -> String {
    if promotion.all_is_here {
        let why = if args.nothing_lost { "as --nothing-lost says" } else { "it waited for this machine" };
        return format!("nothing that the old machine acknowledged is missing here: {why}");
    }
    let mut text = format!("commits from {} on of the old machine may exist that are not here", promotion.seq.0 + 1);
    if let Some(before) = before {
        text += &match before.primary.0.saturating_sub(promotion.seq.0) {
            0 => ": none that it spoke of".to_owned(),
            missing => format!(": at least {missing} that it spoke of"),
        };
        if let Some(heard) = before.heard_ms {
            text += &format!(", last heard {}", moment(heard));
        }
        if let Some(complete) = before.complete_ms {
            text += &format!("; everything that it had at {} is here", moment(complete));
        }
    } else if let Some(last) = promotion.last_ms {
        text += &format!("; the last one here was made {}", moment(last));
    }
    text + "; what only its disk has is not lost: `holdfast standby --rejoin` there, or `holdfast salvage` here"
}
