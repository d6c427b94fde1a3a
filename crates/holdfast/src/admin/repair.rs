//! `holdfast repair` while the service runs: bodies, and the log's closed segments.

use std::sync::Arc;

use anyhow::ensure;
use continuity::{
    archive::donor::ArchiveDonor,
    mending::{Donor, Mending},
};

use super::verify;
use crate::{
    cli::RepairArgs,
    json, mending,
    output::Output,
    repairing::{self, Repaired},
    running::Running,
    services::Services,
};

/// Reads everything, fetches what others have, and says what is left.
///
/// # Errors
/// Also when something is still damaged, so that scripts see it.
pub async fn run(running: &Arc<Running>, args: RepairArgs, output: &Output) -> anyhow::Result<()> {
    let services = &running.services;
    let store = &services.store;
    let mut donors: Vec<Arc<dyn Donor>> = Vec::new();
    if args.from_standby {
        let standbys = mending::standbys(running);
        ensure!(standbys.is_some() || args.from_archive, "this machine has no standbys: listen.standby is not set");
        donors.extend(standbys);
    }
    if args.from_archive {
        for place in repairing::archives(&services.config, &args)? {
            if let Some(identities) = place.identities()? {
                donors.push(Arc::new(ArchiveDonor::new(store.clone(), place.target().await?, identities).searching()));
            }
        }
    }
    let found = verify::read(&running.verifying, store, !output.json(), output).await?;
    let mut repaired = Repaired { found, ..Repaired::default() };
    if !output.json() {
        for line in verify::lines(&repaired.found) {
            output.line(line).await;
        }
    }
    if repaired.found.damage_count > 0 || !store.damage().is_none() {
        mend(services, donors, &mut repaired, output).await?;
    }
    if output.json() {
        output.object(json::value(&repaired)?).await;
    } else {
        output.line("").await;
        for line in repaired.lines() {
            output.line(line).await;
        }
    }
    repaired.outcome()
}

async fn mend(
    services: &Services,
    donors: Vec<Arc<dyn Donor>>,
    repaired: &mut Repaired,
    output: &Output,
) -> anyhow::Result<()> {
    let store = &services.store;
    let names = donors.iter().map(|donor| donor.name()).collect::<Vec<_>>().join(", ");
    let mending = Mending::new(store.clone(), donors, |_| ()).patient();
    if store.log_is_damaged() {
        let say = output.clone();
        let filled = mending.fill_log(move |what, done, total| say.progress(what, done, total)).await?;
        repaired.mended.extend(filled.done);
        repaired.left.extend(filled.left.iter().map(|left| format!("the log: {left}")));
    }
    let (count, _) = mending.all(&|done, total| output.progress("messages", done, total)).await;
    if count > 0 {
        repaired.mended.push(format!("{count} damaged messages, from {names}"));
    }
    let damage = store.damage();
    let others = damage.realms.len() + damage.files.len();
    repaired.left.extend(damage.lines());
    if others > 0 {
        output
            .waits("the rest can only be repaired while the service is stopped: stop it and run the same command again")
            .await;
    }
    Ok(())
}
