//! `holdfast verify` while the service runs.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use continuity::standby::Standby;
use store::Store;

use crate::{
    json,
    output::Output,
    verifying::{Verified, Verifying, outcome},
};

/// What is said of `--repair` to a service that runs.
const NOT_NOW: &str = "stop the service first; messages and closed log segments can be repaired while it runs: \
    `holdfast repair --from-standby` or `--from-archive`";

/// Reads everything, or joins the one who does already; says what was found.
///
/// # Errors
/// Also when something is damaged, so that scripts see it.
pub async fn run(verifying: &Arc<Verifying>, store: &Store, repair: bool, output: &Output) -> anyhow::Result<()> {
    ensure!(!repair, NOT_NOW);
    let found = read(verifying, store, !output.json(), output).await?;
    if output.json() {
        output.object(json::value(&found)?).await;
    } else {
        for line in lines(&found) {
            output.line(line).await;
        }
    }
    outcome(&found)
}

/// The same of a standby's store.
///
/// # Errors
/// As [`run`]; there is no store yet.
pub async fn on_standby(
    standby: &Standby,
    verifying: &Arc<Verifying>,
    repair: bool,
    output: &Output,
) -> anyhow::Result<()> {
    let store = standby.store().context("the first copy is not finished")?;
    run(verifying, &store, repair, output).await
}

/// Reads everything, or waits for the one who does already, and says how far it is.
///
/// # Errors
/// It could not be read to its end.
pub async fn read(verifying: &Arc<Verifying>, store: &Store, says: bool, output: &Output) -> anyhow::Result<Verified> {
    let mut watch = verifying.watch();
    if says {
        output.waits("checking all data while the service runs; Ctrl-C only ends this display: `holdfast status` shows the result").await;
    }
    let begins = verifying.begin(store.clone());
    ensure!(!verifying.is_stopping(), "the service is stopping");
    if !begins && says {
        output.waits("joining the check that is already running").await;
    }
    loop {
        let state = watch.borrow_and_update().clone();
        match (state.running, state.last) {
            (Some(running), _) => output.progress("checking all data", running.percent, 100),
            (None, Some(last)) => {
                if let Some(why) = &last.failed {
                    bail!("the check failed: {why}");
                }
                ensure!(last.ended_ms.is_some(), "the service is stopping: the check is not complete");
                return Ok(last);
            }
            (None, None) => bail!("the service is stopping"),
        }
        watch.changed().await?;
    }
}

/// What was found, for people.
pub fn lines(found: &Verified) -> Vec<String> {
    let mut all = vec![format!("checked {}", found.read())];
    all.extend(found.damage.iter().map(|damage| format!("DAMAGED: {damage}")));
    let more = found.damage_count - found.damage.len();
    if more > 0 {
        all.push(format!("… and {more} more"));
    }
    all.extend(found.missing_keys.iter().map(|missing| format!("MISSING: {missing}")));
    if found.damage_count == 0 {
        all.push("ok: no damage found".to_owned());
    }
    all
}
