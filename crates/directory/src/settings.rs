//! The settings chosen by an account's owner.

use prost::Message as _;
use store::Read as _;

use crate::{
    AccountId, Directory, DirectoryError, Result,
    schema::{self, Settings, decode},
};

/// The longest name, zone or other short text.
pub const MAX_SHORT_BYTES: usize = 200;
/// The longest signature.
pub const MAX_SIGNATURE_BYTES: usize = 10_000;
/// The longest list of addresses to which an identity sends copies.
pub const MAX_COPIES_BYTES: usize = 1_000;
/// The longest address (RFC 5321 section 4.5.3.1: 64 octets, `@`, 255 octets).
const MAX_ADDRESS_BYTES: usize = 320;
/// Addresses of one account that can differ from the others.
pub const MAX_IDENTITIES: usize = 100;

impl Directory {
    /// An account's settings; the default ones when nothing was chosen.
    ///
    /// # Errors
    /// Those of the store.
    pub fn settings(&self, account: AccountId) -> Result<Settings> {
        let value = self.store().snapshot().get(account.realm(), schema::SETTINGS)?;
        value.map_or_else(|| Ok(Settings::default()), |value| decode("settings", &value))
    }

    /// Keeps an account's settings.
    ///
    /// # Errors
    /// A text or the list of identities is too long.
    pub async fn set_settings(&self, account: AccountId, settings: Settings) -> Result<()> {
        check_lengths(&settings)?;
        self.store()
            .transact(move |tx| {
                tx.put(account.realm(), schema::SETTINGS.to_vec(), settings.encode_to_vec());
                Ok(())
            })
            .await
    }
}

fn check_lengths(settings: &Settings) -> Result<()> {
    let mut checks = vec![
        ("the name", &settings.display_name, MAX_SHORT_BYTES),
        ("the signature", &settings.signature, MAX_SIGNATURE_BYTES),
        ("the theme", &settings.theme, MAX_SHORT_BYTES),
        ("the time zone", &settings.time_zone, MAX_SHORT_BYTES),
        ("the language", &settings.language, MAX_SHORT_BYTES),
        ("the address", &settings.writes_from, MAX_ADDRESS_BYTES),
    ];
    for identity in &settings.identities {
        checks.extend([
            ("the address", &identity.address, MAX_ADDRESS_BYTES),
            ("the name", &identity.display_name, MAX_SHORT_BYTES),
            ("the address for replies", &identity.reply_to, MAX_ADDRESS_BYTES),
            ("the list of copies", &identity.bcc, MAX_COPIES_BYTES),
            ("the signature", &identity.signature, MAX_SIGNATURE_BYTES),
        ]);
    }
    for (what, text, limit) in checks {
        if text.len() > limit {
            return Err(DirectoryError::TooLong { what, limit });
        }
    }
    if settings.identities.len() > MAX_IDENTITIES {
        return Err(DirectoryError::TooLong { what: "the list of identities", limit: MAX_IDENTITIES });
    }
    Ok(())
}
