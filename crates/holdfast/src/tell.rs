//! Mail from the service to those who manage it.

use std::sync::Arc;

use directory::Role;
use mailstore::{Flags, NewMessage, Role as MailboxRole};

use crate::services::Services;

/// Files a message in the inbox of each administrator, and returns their number. Each `key` is sent only once.
///
/// # Errors
/// Those of the store; messages filed before the error stay.
pub async fn administrators(services: &Arc<Services>, key: &str, subject: &str, text: &str) -> anyhow::Result<u64> {
    let mut told = 0;
    let accounts = {
        let directory = services.directory.clone();
        tokio::task::spawn_blocking(move || directory.accounts()).await??
    };
    for account in accounts.into_iter().filter(|account| account.role == Role::Admin) {
        let message = message(&services.config.hostname, &account.address.to_string(), subject, text);
        let (mailstore, key) = (services.mailstore.clone(), format!("service/{key}").into_bytes());
        let (realm, now_ms) = (account.id.realm(), services.store.clock().now_ms());
        let filed = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
            let Some(inbox) = mailstore.mailbox_by_role(realm, MailboxRole::Inbox)? else { return Ok(None) };
            let body = mailstore.stage(message.as_bytes())?;
            let parsed = Arc::new(mailkit::parse(message.as_bytes()));
            let message = NewMessage {
                body,
                parsed,
                flags: Flags::default(),
                internal_date_ms: now_ms,
                delivery_key: Some(key),
                ignore_quota: true,
            };
            Ok(Some((inbox.id, message)))
        });
        if let Some((inbox, message)) = filed.await?? {
            let mailstore = services.mailstore.clone();
            // Held until the commit is durable, so that the bytes stay staged as long.
            let _body = message.body.clone();
            let file = move |tx: &mut store::Tx<'_>| {
                // No act of anybody's: a restored machine that was looked at tells of its alarms too.
                tx.keeps_books();
                mailstore.append_in(tx, realm, inbox, &message)
            };
            services.store.transact(file).await?;
            told += 1;
        }
    }
    Ok(told)
}

fn message(hostname: &str, to: &str, subject: &str, text: &str) -> String {
    let date = mailkit::date::format(jiff::Timestamp::now().as_millisecond());
    format!(
        "From: Holdfast <postmaster@{hostname}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: {date}\r\n\
         Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n{}\r\n",
        text.replace("\r\n", "\n").replace('\n', "\r\n")
    )
}
