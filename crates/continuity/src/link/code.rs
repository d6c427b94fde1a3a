//! The code that is valid now.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Fingerprint, PairingCode};

/// How long a pairing code is good for.
pub const CODE_FOR: Duration = Duration::from_secs(10 * 60);

/// At most one code at a time, which pairs one machine.
#[derive(Default)]
pub struct Codes(Mutex<Option<(PairingCode, Instant)>>);

impl Codes {
    /// A new code of the machine with that fingerprint. The previous code becomes invalid.
    pub fn new_code(&self, own: &Fingerprint) -> String {
        let code = PairingCode::new(own);
        let text = code.to_string();
        *self.0.lock() = Some((code, Instant::now()));
        text
    }

    /// Does `pair` if the secret is that of the valid code, which is used up if it succeeds. A wrong guess costs the code
    /// nothing: it has 128 bits, and a stranger must not be able to spoil it.
    ///
    /// # Errors
    /// `wrong`, or the error of `pair`.
    pub fn take(&self, secret: &[u8], wrong: &str, pair: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        let mut code = self.0.lock();
        let good = code.as_ref().is_some_and(|(code, made)| {
            made.elapsed() < CODE_FOR
                && aws_lc_rs::constant_time::verify_slices_are_equal(code.secret(), secret).is_ok()
        });
        if !good {
            return Err(wrong.to_owned());
        }
        pair()?;
        *code = None;
        Ok(())
    }
}
