//! `holdfast account masks`

use directory::Mask;

use crate::{cli::MasksArgs, output::Output, services::Services, told::moment};

/// Changes one of an account's masked addresses, or lists them.
pub async fn run(services: &Services, args: MasksArgs, output: &Output) -> anyhow::Result<()> {
    let MasksArgs { address, create, block, unblock, delete } = args;
    let id = super::who::find(services, &address).await?.id;
    let directory = &services.directory;
    let (said, audited) = if let Some(name) = create {
        let mask = directory.create_mask(id, &name).await?;
        output.field("mask", mask.clone());
        (format!("made the masked address {mask}"), format!("made a masked address for {name}"))
    } else if let Some(mask) = block {
        directory.block_mask(id, &mask, true).await?;
        (format!("mail to {mask} is now refused"), format!("blocked the masked address {mask}"))
    } else if let Some(mask) = unblock {
        directory.block_mask(id, &mask, false).await?;
        (format!("mail to {mask} comes again"), format!("unblocked the masked address {mask}"))
    } else if let Some(mask) = delete {
        directory.delete_mask(id, &mask).await?;
        (format!("deleted the masked address {mask}"), format!("deleted the masked address {mask}"))
    } else {
        for mask in directory.masks(id)? {
            list(&mask, output).await;
        }
        return Ok(());
    };
    directory.audit(Some(id), super::who::WHO, &audited, "").await?;
    output.line(said).await;
    Ok(())
}

async fn list(mask: &Mask, output: &Output) {
    if output.json() {
        let object = serde_json::json!({
            "mask": mask.address,
            "name": mask.name,
            "created_ms": mask.created_ms,
            "messages": mask.count,
            "last_ms": mask.last_ms,
            "blocked": mask.blocked,
        });
        output.object(object).await;
        return;
    }
    let last = mask.last_ms.map_or_else(|| "never".to_owned(), moment);
    let blocked = if mask.blocked { "  blocked" } else { "" };
    output.line(format!("{:<44} {:>6} messages, last {last}  {}{blocked}", mask.address, mask.count, mask.name)).await;
}
