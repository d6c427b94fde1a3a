//! Sign-ins are written to their accounts' histories, and people are told of mail programs that are new to their account.

use std::sync::Arc;
use std::time::Duration;

use delivery::AccessChange;
use directory::{NewSignIn, Service};
use tokio_util::sync::CancellationToken;

use crate::services::Services;

/// Between two times that sign-ins are written.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// Runs until `stop`, and writes what is left then.
pub async fn serve(services: Arc<Services>, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let stopping = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(WRITE_EVERY) => false,
        };
        for new in services.directory.write_sign_ins(stopping).await {
            tell(&services, &new).await;
        }
        if stopping {
            return Ok(());
        }
    }
}

async fn tell(services: &Services, new: &NewSignIn) {
    let account = new.account;
    if let Err(error) = services.delivery.tell_of_access(account, &AccessChange::NewProgram, &how(new)).await {
        tracing::warn!(%error, account = account.0, "an account was not told of a new sign-in");
    }
}

/// `IMAP, Thunderbird 140, with the app password "Phone", from 192.0.2.7`.
fn how(new: &NewSignIn) -> String {
    let sign_in = &new.sign_in;
    let mut how = vec![sign_in.service.map_or("several protocols", Service::title).to_owned()];
    how.extend(sign_in.programs.iter().cloned());
    how.push(match &sign_in.app_password {
        Some(name) => format!("with the app password \"{name}\""),
        None => "with the account's password".to_owned(),
    });
    how.extend(sign_in.peer.map(|peer| format!("from {peer}")));
    how.join(", ")
}
