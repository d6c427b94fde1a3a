//! `holdfast import` and `holdfast export`.

use std::path::Path;

use anyhow::{Context as _, ensure};
use mailstore::{
    MailStore, MailboxName, RealmId,
    import::{ImportOptions, LineEnds, Progress},
};

use super::{Output, accounts::find};
use crate::{
    cli::{ExportArgs, ImportArgs, LineEndings, MailFormat},
    services::Services,
};

/// Takes mail in.
pub async fn import(services: &Services, args: ImportArgs, output: &Output) -> anyhow::Result<()> {
    let account = find(services, &args.address).await?.id.realm();
    let format = match args.format {
        Some(format) => format,
        None if args.path.is_dir() => MailFormat::Maildir,
        None => MailFormat::Mbox,
    };
    let name = MailboxName::new(&args.mailbox)?;
    if services.mailstore.mailbox_by_name(account, &name)?.is_none() {
        services.mailstore.create_mailbox(account, name.clone(), None).await?;
    }
    let (mailstore, progress) = (services.mailstore.clone(), output.clone());
    let imported = tokio::task::spawn_blocking(move || {
        let line_ends = match args.line_ends {
            LineEndings::Network => LineEnds::Network,
            LineEndings::Keep => LineEnds::Keep,
        };
        let options = ImportOptions { line_ends, ..ImportOptions::default() };
        let mut tell = |at: &Progress| progress.progress("bytes imported", at.bytes, at.total_bytes);
        match format {
            MailFormat::Mbox => {
                let mailbox = mailstore.mailbox_by_name(account, &name)?.context("the mailbox is gone")?;
                Ok::<_, anyhow::Error>(mailstore.import_mbox(account, mailbox.id, &args.path, options, &mut tell)?)
            }
            MailFormat::Maildir => {
                let below = (!name.is_inbox()).then_some(&name);
                Ok(mailstore.import_maildir(account, below, &args.path, options, &mut tell)?)
            }
        }
    })
    .await??;
    output
        .line(format!(
            "{} messages imported, {} were there already, {} left out",
            imported.filed, imported.known, imported.skipped
        ))
        .await;
    for (path, why) in &imported.skips {
        output.line(format!("left out: {}: {why}", path.display())).await;
    }
    Ok(())
}

/// Writes mail out.
pub async fn export(services: &Services, args: ExportArgs, output: &Output) -> anyhow::Result<()> {
    let account = find(services, &args.address).await?.id.realm();
    let (mailstore, progress) = (services.mailstore.clone(), output.clone());
    let count = tokio::task::spawn_blocking(move || {
        let mut tell = |at: &Progress| progress.progress("bytes exported", at.bytes, at.total_bytes);
        match (args.format, args.mailbox) {
            (MailFormat::Maildir, None) => Ok(mailstore.export_maildir(account, &args.path, None, &mut tell)?),
            (MailFormat::Maildir, Some(_)) => {
                anyhow::bail!("--mailbox goes with --format mbox; a Maildir holds all mailboxes")
            }
            (MailFormat::Mbox, mailbox) => {
                export_mboxes(&mailstore, account, &args.path, mailbox.as_deref(), &mut tell)
            }
        }
    })
    .await??;
    output.line(format!("{count} messages exported")).await;
    Ok(())
}

/// Each mailbox as a file of its own.
fn export_mboxes(
    mailstore: &MailStore,
    account: RealmId,
    dir: &Path,
    only: Option<&str>,
    tell: &mut dyn FnMut(&Progress),
) -> anyhow::Result<u64> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let mut count = 0;
    let mut found = false;
    for mailbox in mailstore.mailboxes(account)? {
        let name = mailbox.name.to_string();
        if only.is_some_and(|only| !only.eq_ignore_ascii_case(&name)) {
            continue;
        }
        found = true;
        // The hierarchy stays readable in one folder, and no name can lead out of it.
        let file = dir.join(format!("{}.mbox", name.replace('/', ".")));
        count += mailstore.export_mbox(account, mailbox.id, &file, None, tell)?;
    }
    ensure!(found || only.is_none(), "there is no mailbox {}", only.unwrap_or_default());
    Ok(count)
}
