//! What the browser adds to what the authenticator signs (section 5.8.1).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::Deserialize;

use crate::{MAX_CLIENT_DATA_BYTES, Refusal, expected::Expected};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    #[serde(default)]
    top_origin: Option<String>,
}

/// Checks what the browser says of itself.
pub(crate) fn check(json: &[u8], r#type: &str, expected: &Expected<'_>) -> Result<(), Refusal> {
    if json.len() > MAX_CLIENT_DATA_BYTES {
        return Err(Refusal::TooLong { what: "clientDataJSON", limit: MAX_CLIENT_DATA_BYTES });
    }
    let data: ClientData = serde_json::from_slice(json).map_err(|_| Refusal::Unreadable("clientDataJSON"))?;
    if data.r#type != r#type {
        return Err(Refusal::Type);
    }
    let challenge = BASE64.decode(&data.challenge).map_err(|_| Refusal::Challenge)?;
    if aws_lc_rs::constant_time::verify_slices_are_equal(&challenge, expected.challenge).is_err() {
        return Err(Refusal::Challenge);
    }
    if !expected.origins.contains(&data.origin) {
        return Err(Refusal::Origin(data.origin.chars().filter(|c| !c.is_control()).take(100).collect()));
    }
    // Our pages are in no other site's frame, so neither of them has a reason to be there.
    if data.cross_origin || data.top_origin.is_some() {
        return Err(Refusal::Framed);
    }
    Ok(())
}
