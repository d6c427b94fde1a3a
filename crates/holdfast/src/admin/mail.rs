//! `holdfast import` and `holdfast export`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use directory::AccountId;
use exporting::Exporter;
use mailstore::{
    MailStore, MailboxName,
    export::Exported,
    import::{ImportOptions, LineEnds, Progress},
};
use store::RealmId;

use super::who::find;
use crate::{
    cli::{ExportArgs, ImportArgs, LineEndings, MailFormat},
    output::Output,
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
        // Gmail's labels say where a message lay; a mailbox that was asked for wins.
        let follow_labels = name.is_inbox();
        let options = ImportOptions { line_ends, follow_labels, ..ImportOptions::default() };
        let mut tell = |at: &Progress| progress.progress("bytes imported", at.bytes, at.total_bytes);
        match format {
            MailFormat::Mbox => {
                let mailbox = mailstore.mailbox_by_name(account, &name)?.context("the mailbox was deleted")?;
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
            "{} messages imported, {} already existed, {} skipped",
            imported.filed, imported.known, imported.skipped
        ))
        .await;
    if imported.deleted > 0 {
        let many = format!("{} deleted messages were not imported", imported.deleted);
        output.line(format!("{many}: Thunderbird keeps them in the file until the folder is compacted")).await;
    }
    if imported.lost_labels > 0 {
        output
            .line(format!(
                "{} labels were dropped: they contain characters that IMAP keywords can't have",
                imported.lost_labels
            ))
            .await;
    }
    for (path, name) in &imported.renamed {
        output.line(format!("renamed: {} is now the mailbox \u{201c}{name}\u{201d}", path.display())).await;
    }
    for (path, why) in &imported.skips {
        output.line(format!("skipped: {}: {why}", path.display())).await;
    }
    let untold = imported.skipped - imported.skips.len() as u64;
    if untold > 0 {
        output.line(format!("skipped: {untold} more")).await;
    }
    Ok(())
}

/// Writes mail out.
pub async fn export(services: &Services, args: ExportArgs, output: &Output) -> anyhow::Result<()> {
    let account = find(services, &args.address).await?.id;
    if args.zip {
        return export_zip(services, account, args.path, output).await;
    }
    let account = account.realm();
    let (mailstore, progress) = (services.mailstore.clone(), output.clone());
    let exported = tokio::task::spawn_blocking(move || {
        let mut tell = |at: &Progress| progress.progress("bytes exported", at.bytes, at.total_bytes);
        match (args.format, args.mailbox) {
            (MailFormat::Maildir, None) => Ok(mailstore.export_maildir(account, &args.path, None, &mut tell)?),
            (MailFormat::Maildir, Some(_)) => {
                anyhow::bail!("--mailbox requires --format mbox; a Maildir always contains all mailboxes")
            }
            (MailFormat::Mbox, mailbox) => {
                export_mboxes(&mailstore, account, &args.path, mailbox.as_deref(), &mut tell)
            }
        }
    })
    .await??;
    output.line(format!("{} messages exported, {} skipped", exported.written, exported.skipped)).await;
    for (name, path) in &exported.shortened {
        output
            .line(format!(
                "mailbox \u{201c}{name}\u{201d} was exported to {}: its name is too long for a file name",
                path.display()
            ))
            .await;
    }
    for (what, why) in &exported.skips {
        output.line(format!("skipped: {what}: {why}")).await;
    }
    ensure!(
        exported.skipped == 0,
        "{} mailboxes or messages could not be exported; everything else was exported",
        exported.skipped
    );
    Ok(())
}

/// Everything of an account as a ZIP. The file is complete or not there: it is written beside and renamed.
async fn export_zip(services: &Services, account: AccountId, path: PathBuf, output: &Output) -> anyhow::Result<()> {
    ensure!(!path.try_exists()?, "{} already exists", path.display());
    let exporter = Exporter {
        directory: services.directory.clone(),
        mailstore: services.mailstore.clone(),
        people: services.people.clone(),
        rules: services.rules.clone(),
        saved: saved::SavedSearches::new(services.store.clone()),
        delivery: services.delivery.clone(),
    };
    let (progress, target) = (output.clone(), path.clone());
    let written = tokio::task::spawn_blocking(move || {
        let beside = target.with_extension("zip.part");
        let file = std::fs::File::create(&beside).with_context(|| beside.display().to_string())?;
        let mut out = std::io::BufWriter::new(file);
        let mut tell = |done, total| progress.progress("messages exported", done, total);
        let written = exporter.write(account, serde_json::Value::Null, &mut out, &mut tell);
        let kept = written.map_err(anyhow::Error::from).and_then(|written| {
            out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
            std::fs::rename(&beside, &target)?;
            Ok(written)
        });
        if kept.is_err() {
            let _ = std::fs::remove_file(&beside);
        }
        kept
    })
    .await??;
    output.field("messages", written.messages);
    output.field("unreadable", written.unreadable);
    output.line(format!("{} messages exported to {}", written.messages, path.display())).await;
    ensure!(written.unreadable == 0, "{} messages could not be read; UNREADABLE.txt lists them", written.unreadable);
    Ok(())
}

/// Each mailbox as a file of its own.
fn export_mboxes(
    mailstore: &MailStore,
    account: RealmId,
    dir: &Path,
    only: Option<&str>,
    tell: &mut dyn FnMut(&Progress),
) -> anyhow::Result<Exported> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let only = match only {
        Some(name) => {
            let mailbox = mailstore.mailbox_by_name(account, &MailboxName::new(name)?)?;
            Some(mailbox.with_context(|| format!("there is no mailbox {name}"))?.id)
        }
        None => None,
    };
    Ok(mailstore.export_mboxes(account, dir, only, None, tell)?)
}
