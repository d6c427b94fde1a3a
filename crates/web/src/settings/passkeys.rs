//! Passkeys on the page of security: adding one, removing it, and asking for one after the password.

use axum::response::{IntoResponse, Redirect, Response};
use delivery::AccessChange;
use directory::{DirectoryError, NewPasskey, Passkey, PasskeyId};

use super::common::{Ask, fresh, note, tell_self};
use super::security::{Aside, show};
use crate::caller::Caller;
use crate::challenges::Purpose;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::notice;
use crate::passkey::{self, Given, Owner};
use crate::problem::Problem;
use crate::relying::Relying;
use crate::wrong::Wrong;

/// Of a passkey that is only used after the password.
const KEY: &str = "key";

/// What the page shows of the account's passkeys.
pub struct Section {
    pub rows: Vec<Row>,
    /// Whether browsers have passkeys here.
    pub possible: bool,
}

pub struct Row {
    pub id: String,
    pub name: String,
    pub created: String,
    pub used: String,
    pub alone: bool,
    pub backed_up: bool,
    /// It is for another name of the service.
    pub elsewhere: bool,
    pub rp_id: String,
}

/// A passkey that the browser is to make.
pub struct Making {
    pub name: String,
    /// [`KEY`], or empty.
    pub kind: &'static str,
    /// What the browser is asked, for the script.
    pub options: String,
}

impl Section {
    pub fn of(caller: &Caller) -> Result<Self> {
        let calendar = caller.calendar();
        let here = caller.relying.as_ref().map(|relying| relying.id.as_str());
        let row = |one: Passkey| Row {
            id: hex::encode(one.id.0),
            name: one.name,
            created: calendar.when(one.created_ms).short,
            used: one.last_used_ms.map_or_else(|| "never".to_owned(), |at| calendar.ago(at)),
            alone: one.is_alone,
            backed_up: one.backed_up,
            elsewhere: here != Some(one.rp_id.as_str()),
            rp_id: one.rp_id,
        };
        let rows = caller.site.directory.passkeys(caller.account)?.into_iter().map(row).collect();
        Ok(Self { rows, possible: here.is_some() })
    }
}

fn relying(caller: &Caller) -> Result<Relying> {
    caller.relying.clone().ok_or_else(|| {
        Fault::Bad("Passkeys need this page to be opened by HTTPS and by the service’s name.".to_owned())
    })
}

/// `POST /settings/passkeys`: the name is there; the page then lets the browser make the passkey.
pub async fn begin(caller: Caller, form: Posted) -> Result<Response> {
    if form.get("name").trim().is_empty() {
        let wrong = Wrong::of("passkey-name", Problem::DeviceNameMissing);
        return show(caller, Aside { wrong, ..Aside::default() }).await;
    }
    if let Err(wrong) = fresh(&caller, &form).await? {
        let ask = Some(Ask { wrong, ..Ask::new("/settings/passkeys", "Continue", &form, &["name", "kind"]) });
        return show(caller, Aside { ask, ..Aside::default() }).await;
    }
    making(caller, &form, Wrong::default()).await
}

async fn making(caller: Caller, form: &Posted, wrong: Wrong) -> Result<Response> {
    let relying = relying(&caller)?;
    let directory = &caller.site.directory;
    let passkeys = directory.passkeys(caller.account)?;
    let handle = directory.passkey_handle(caller.account);
    let owner = Owner { handle: &handle, address: &caller.address, name: &caller.name, passkeys: &passkeys };
    let challenge = caller.site.challenges.give(Purpose::Add(&caller.session.id.0), &relying.id);
    let kind = if form.get("kind") == KEY { KEY } else { "" };
    let options = passkey::creation(&challenge, &relying.id, &owner, kind.is_empty());
    let making = Some(Making { name: form.get("name").trim().to_owned(), kind, options });
    show(caller, Aside { wrong, making, ..Aside::default() }).await
}

/// `POST /settings/passkeys/add`: what the browser has made.
pub async fn add(caller: Caller, form: Posted) -> Result<Response> {
    if let Err(wrong) = fresh(&caller, &form).await? {
        let fields: Vec<&'static str> = ["name", "kind"].into_iter().chain(passkey::FIELDS).collect();
        let ask = Some(Ask { wrong, ..Ask::new("/settings/passkeys/add", "Add", &form, &fields) });
        return show(caller, Aside { ask, ..Aside::default() }).await;
    }
    let relying = relying(&caller)?;
    let refuse = |problem: Problem| Wrong::of("passkey-name", problem);
    let Some(given) = Given::of(&form) else {
        return making(caller, &form, refuse(Problem::PasskeyMissing)).await;
    };
    let purpose = Purpose::Add(&caller.session.id.0);
    let Some(challenge) = caller.site.challenges.known(&given.challenge, purpose, &relying.id) else {
        return making(caller, &form, refuse(Problem::PasskeyExpired)).await;
    };
    let is_alone = form.get("kind") != KEY;
    let expected =
        webauthn::Expected { challenge: &challenge, origins: &relying.origins, rp_id: &relying.id, verified: is_alone };
    let registered = match webauthn::register(&expected, &given.client_data, &given.data) {
        Ok(registered) if caller.site.challenges.spend(&challenge) => registered,
        Ok(_) => return making(caller, &form, refuse(Problem::PasskeyExpired)).await,
        Err(why) => return making(caller, &form, refuse(Problem::PasskeyUnusable(why))).await,
    };
    let name = form.get("name").trim().to_owned();
    let name = if name.is_empty() { "Passkey".to_owned() } else { name };
    let new = NewPasskey { name: name.clone(), rp_id: relying.id, registered, is_alone, transports: given.transports };
    match caller.site.directory.add_passkey(caller.account, new).await {
        Ok(_) => {}
        Err(error @ DirectoryError::Store(_)) => return Err(error.into()),
        Err(error) => {
            let wrong = refuse(Problem::Directory(error));
            return show(caller, Aside { wrong, ..Aside::default() }).await;
        }
    }
    note(&caller, &format!("added the passkey {name}")).await?;
    tell_self(&caller, AccessChange::PasskeyAdded(name)).await;
    Ok(Redirect::to(&notice::with("/settings/security", "passkeyadded")).into_response())
}

/// `POST /settings/passkeys/remove`
pub async fn remove(caller: Caller, form: Posted) -> Result<Response> {
    if let Err(wrong) = fresh(&caller, &form).await? {
        let ask = Some(Ask { wrong, ..Ask::new("/settings/passkeys/remove", "Remove", &form, &["id"]) });
        return show(caller, Aside { ask, ..Aside::default() }).await;
    }
    let mut id = [0; 16];
    hex::decode_to_slice(form.get("id"), &mut id).map_err(|_| {
        Fault::Bad("The form doesn’t say which passkey to remove. Reload the page and try again.".to_owned())
    })?;
    match caller.site.directory.remove_passkey(caller.account, PasskeyId(id)).await {
        Ok(Some(name)) => {
            note(&caller, &format!("removed the passkey {name}")).await?;
            tell_self(&caller, AccessChange::PasskeysRemoved(vec![name])).await;
        }
        Ok(None) => {}
        Err(error @ DirectoryError::LastSecondStep) => {
            let wrong = Wrong::of("passkey", Problem::Directory(error));
            return show(caller, Aside { wrong, ..Aside::default() }).await;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Redirect::to(&notice::with("/settings/security", "passkeyremoved")).into_response())
}

/// `POST /settings/passkeys/step`: a passkey is asked for after the password.
pub async fn step_on(caller: Caller, form: Posted) -> Result<Response> {
    if let Err(wrong) = fresh(&caller, &form).await? {
        let ask = Some(Ask { wrong, ..Ask::new("/settings/passkeys/step", "Turn on", &form, &[]) });
        return show(caller, Aside { ask, ..Aside::default() }).await;
    }
    match caller.site.directory.enable_passkey_step(caller.account).await {
        Ok(codes) => {
            // Those were signed in with the password alone.
            caller.site.directory.end_all_sessions(caller.account, Some(caller.session.id)).await?;
            note(&caller, "turned the second factor on, with passkeys").await?;
            tell_self(&caller, AccessChange::SecondFactorOn).await;
            show(caller, Aside { codes, ..Aside::default() }).await
        }
        // The last one was removed in between.
        Err(DirectoryError::WrongCode) => show(caller, Aside::default()).await,
        Err(error) => Err(error.into()),
    }
}

/// `POST /settings/codes`: new recovery codes.
pub async fn renew_codes(caller: Caller, form: Posted) -> Result<Response> {
    if let Err(wrong) = fresh(&caller, &form).await? {
        let ask = Some(Ask { wrong, ..Ask::new("/settings/codes", "New codes", &form, &[]) });
        return show(caller, Aside { ask, ..Aside::default() }).await;
    }
    match caller.site.directory.renew_recovery_codes(caller.account).await {
        Ok(codes) => {
            note(&caller, "made new recovery codes").await?;
            show(caller, Aside { codes, ..Aside::default() }).await
        }
        Err(DirectoryError::WrongCode) => show(caller, Aside::default()).await,
        Err(error) => Err(error.into()),
    }
}
