//! What the spam filter does while nobody asks: it learns from what users do with their mail, and Spam is emptied.

use std::{sync::Arc, time::Duration};

use inbound::spam::Training;
use mailstore::{Mailbox, MailboxId, Role, Uid};
use store::RealmId;
use tokio_util::sync::CancellationToken;

use crate::services::Services;

/// How often what the accounts taught together is gathered.
const GATHER_EVERY: Duration = Duration::from_secs(3_600);
/// Messages that one commit deletes.
const TOGETHER: usize = 500;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What learns, told of all commits from now on.
pub fn training(services: &Services) -> Arc<Training> {
    Training::new(services.store.clone(), services.mailstore.clone(), services.spam.clone())
}

/// Tries the DNS lists out, gathers the shared base, and learns until shut down, once the service is open and whole.
pub async fn serve(services: Arc<Services>, training: Arc<Training>, stop: CancellationToken) -> anyhow::Result<()> {
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = services.until_open() => {}
    }
    tokio::select! {
        () = stop.cancelled() => {}
        () = training.run() => {}
        () = try_lists(&services) => {}
        () = gather_base(&services) => {}
    }
    Ok(())
}

/// Gathers what the accounts taught together, again and again: an account that shares nothing any longer is out of it by the next time.
async fn gather_base(services: &Services) {
    loop {
        let spam = services.spam.clone();
        match tokio::task::spawn_blocking(move || spam.gather_base()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the base of the spam filter was not gathered"),
            Err(error) => tracing::warn!(%error, "the base of the spam filter was not gathered"),
        }
        tokio::time::sleep(GATHER_EVERY).await;
    }
}

async fn try_lists(services: &Services) {
    services.dns_lists.keep_trying().await;
    // There are none.
    std::future::pending::<()>().await;
}

/// Deletes what lies in Spam for longer than the accounts want; gives how much that was.
pub async fn empty(services: &Services) -> anyhow::Result<usize> {
    let mut deleted = 0;
    for account in services.store.realms().into_iter().filter(|realm| realm.account_number().is_some()) {
        match empty_one(services, account).await {
            Ok(count) => deleted += count,
            Err(error) => tracing::warn!(account = ?account.account_number(), %error, "Spam was not emptied"),
        }
    }
    Ok(deleted)
}

async fn empty_one(services: &Services, account: RealmId) -> anyhow::Result<usize> {
    let Some(days) = services.spam.settings(account)?.emptied_after_days else { return Ok(0) };
    let before_ms = services.store.clock().now_ms() - i64::from(days) * DAY_MS;
    let mailboxes = services.mailstore.mailboxes(account)?;
    let Some(junk) = mailboxes.iter().find(|mailbox| mailbox.role == Some(Role::Junk)) else { return Ok(0) };
    let is_junk = |mailbox: &&Mailbox| mailbox.id == junk.id || mailbox.name.is_below(&junk.name);
    let ids: Vec<MailboxId> = mailboxes.iter().filter(is_junk).map(|mailbox| mailbox.id).collect();
    let mut deleted = 0;
    for mailbox in ids {
        let mailstore = services.mailstore.clone();
        let old = tokio::task::spawn_blocking(move || {
            let uids = mailstore.view(account, mailbox)?.uids().to_vec();
            let mut old: Vec<Uid> = Vec::new();
            for some in uids.chunks(TOGETHER) {
                let entries = mailstore.entries(account, mailbox, some)?;
                // What counts is when it was put there. What an older version put there counts as put there now.
                let is_old = |saved_ms: Option<i64>| saved_ms.is_some_and(|saved_ms| saved_ms < before_ms);
                old.extend(entries.iter().filter(|entry| is_old(entry.saved_ms)).map(|entry| entry.uid));
            }
            Ok::<_, mailstore::MailError>(old)
        });
        for some in old.await??.chunks(TOGETHER) {
            deleted += services.mailstore.expunge(account, mailbox, some).await?.len();
        }
    }
    Ok(deleted)
}
