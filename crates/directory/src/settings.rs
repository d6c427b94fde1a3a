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
    /// A text is too long.
    pub async fn set_settings(&self, account: AccountId, settings: Settings) -> Result<()> {
        let checks = [
            ("the name", &settings.display_name, MAX_SHORT_BYTES),
            ("the signature", &settings.signature, MAX_SIGNATURE_BYTES),
            ("the theme", &settings.theme, MAX_SHORT_BYTES),
            ("the time zone", &settings.time_zone, MAX_SHORT_BYTES),
            ("the language", &settings.language, MAX_SHORT_BYTES),
        ];
        for (what, text, limit) in checks {
            if text.len() > limit {
                return Err(DirectoryError::TooLong { what, limit });
            }
        }
        self.store()
            .transact(move |tx| {
                tx.put(account.realm(), schema::SETTINGS.to_vec(), settings.encode_to_vec());
                Ok(())
            })
            .await
    }
}
