//! The key of an account that an authority knows from elsewhere (RFC 8555 section 7.3.4).

use std::path::Path;

use anyhow::Context as _;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use zeroize::Zeroizing;

/// The largest file with such a key.
const MAX_KEY_BYTES: usize = 4096;

/// The key, as authorities give it: base64 for URLs (RFC 4648 section 5), with or without padding.
pub fn external_key(file: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let text = Zeroizing::new(std::fs::read_to_string(file)?);
    let text = text.trim().trim_end_matches('=');
    anyhow::ensure!(!text.is_empty() && text.len() <= MAX_KEY_BYTES, "is not a key");
    let plain = text.replace('+', "-").replace('/', "_");
    Ok(Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(plain).context("is not base64")?))
}
