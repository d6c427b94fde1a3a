//! Passkeys in the browser: what it is asked, and what it sends back.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use directory::{Passkey, PasskeyAnswer};
use serde_json::json;

use crate::forms::Posted;
use crate::relying::Relying;

/// Most bytes of each part of an answer, in base64.
const MAX_PART_BYTES: usize = 24_000;

/// What the browser is asked when a passkey is to be used, for the script.
pub fn request(challenge: &str, rp_id: &str, passkeys: Option<&[Passkey]>) -> String {
    let verification = if passkeys.is_none() { "required" } else { "discouraged" };
    json!({
        "challenge": challenge,
        "rpId": rp_id,
        "timeout": 300_000,
        "userVerification": verification,
        "allowCredentials": passkeys.map(|all| described(all, rp_id)).unwrap_or_default(),
    })
    .to_string()
}

/// Who a new passkey is for.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    pub handle: &'a [u8],
    pub address: &'a str,
    pub name: &'a str,
    /// The passkeys that there are.
    pub passkeys: &'a [Passkey],
}

/// What the browser is asked when a passkey is to be made.
pub fn creation(challenge: &str, rp_id: &str, owner: &Owner<'_>, is_alone: bool) -> String {
    let wish = if is_alone { "required" } else { "discouraged" };
    let kinds = webauthn::ALGORITHMS.map(|number| json!({ "type": "public-key", "alg": number }));
    json!({
        "challenge": challenge,
        "rp": { "id": rp_id, "name": "Holdfast" },
        "user": {
            "id": BASE64.encode(owner.handle),
            "name": owner.address,
            "displayName": if owner.name.is_empty() { owner.address } else { owner.name },
        },
        "pubKeyCredParams": kinds,
        "timeout": 300_000,
        "attestation": "none",
        "authenticatorSelection": {
            "residentKey": wish,
            "requireResidentKey": is_alone,
            "userVerification": wish,
        },
        "excludeCredentials": described(owner.passkeys, rp_id),
    })
    .to_string()
}

fn described(passkeys: &[Passkey], rp_id: &str) -> Vec<serde_json::Value> {
    let here = passkeys.iter().filter(|passkey| passkey.rp_id == rp_id);
    here.map(|one| json!({ "type": "public-key", "id": BASE64.encode(&one.credential), "transports": one.transports }))
        .collect()
}

/// The fields that the script fills.
pub const FIELDS: [&str; 7] =
    ["pk-challenge", "pk-id", "pk-client", "pk-data", "pk-signature", "pk-user", "pk-transports"];

/// What the script has put into a form.
pub struct Given {
    /// The challenge, as it was given.
    pub challenge: String,
    pub id: Vec<u8>,
    pub client_data: Vec<u8>,
    /// Authenticator data, or the attestation object of a new passkey.
    pub data: Vec<u8>,
    pub signature: Vec<u8>,
    pub handle: Vec<u8>,
    pub transports: Vec<String>,
}

impl Given {
    /// `None` if the script did not run, or what it sent is none of its making.
    pub fn of(form: &Posted) -> Option<Self> {
        let part = |name: &str| {
            let text = form.get(name);
            if text.len() > MAX_PART_BYTES { None } else { BASE64.decode(text).ok() }
        };
        let given = Self {
            challenge: form.get("pk-challenge").to_owned(),
            id: part("pk-id")?,
            client_data: part("pk-client")?,
            data: part("pk-data")?,
            signature: part("pk-signature")?,
            handle: part("pk-user")?,
            transports: form.get("pk-transports").split(',').filter(|way| !way.is_empty()).map(str::to_owned).collect(),
        };
        (!given.id.is_empty() && !given.client_data.is_empty()).then_some(given)
    }

    /// As an answer to a challenge.
    pub fn answer<'a>(&'a self, challenge: &'a [u8], relying: &'a Relying) -> PasskeyAnswer<'a> {
        PasskeyAnswer {
            credential: &self.id,
            handle: &self.handle,
            answer: webauthn::Answer {
                client_data: &self.client_data,
                authenticator_data: &self.data,
                signature: &self.signature,
            },
            challenge,
            origins: &relying.origins,
            rp_id: &relying.id,
        }
    }
}
