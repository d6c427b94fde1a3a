//! Challenges for passkeys. One is made of a key in memory, so that pages that nobody goes on from cost nothing; it is good for some
//! minutes, for what it was made for, and once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// Most challenges remembered as used; beyond that, passkeys wait.
const MAX_USED: usize = 100_000;
const RANDOM_BYTES: usize = 16;
const MAC_BYTES: usize = 24;
const CHALLENGE_BYTES: usize = 8 + RANDOM_BYTES + MAC_BYTES;

/// What a challenge was made for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// Signing in; the passkey tells to which account.
    SignIn,
    /// The second step of the sign-in with this ticket.
    Step(&'a str),
    /// A new passkey, in this session.
    Add(&'a [u8]),
}

/// Challenges that were given out.
pub struct Challenges {
    key: [u8; 32],
    began: Instant,
    used: Mutex<HashMap<[u8; MAC_BYTES], Instant>>,
}

impl Default for Challenges {
    fn default() -> Self {
        Self { key: rand::random(), began: Instant::now(), used: Mutex::default() }
    }
}

impl Challenges {
    fn mac(&self, head: &[u8], purpose: Purpose<'_>, rp_id: &str) -> [u8; MAC_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(head).update(rp_id.as_bytes()).update(&[0]);
        match purpose {
            Purpose::SignIn => hasher.update(b"sign in"),
            Purpose::Step(ticket) => hasher.update(b"step\0").update(ticket.as_bytes()),
            Purpose::Add(session) => hasher.update(b"add\0").update(session),
        };
        *hasher.finalize().as_bytes().first_chunk().expect("a hash is 32 bytes")
    }

    /// A new one, in base64.
    pub fn give(&self, purpose: Purpose<'_>, rp_id: &str) -> String {
        let at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let head = [&at.to_be_bytes()[..], &rand::random::<[u8; RANDOM_BYTES]>()].concat();
        let mac = self.mac(&head, purpose, rp_id);
        BASE64.encode([&head[..], &mac].concat())
    }

    /// The bytes of a challenge that was given for this, not long ago, and not used yet.
    pub fn known(&self, challenge: &str, purpose: Purpose<'_>, rp_id: &str) -> Option<Vec<u8>> {
        let bytes = BASE64.decode(challenge).ok().filter(|bytes| bytes.len() == CHALLENGE_BYTES)?;
        let (head, mac) = bytes.split_at(8 + RANDOM_BYTES);
        let at = Duration::from_millis(u64::from_be_bytes(*head.first_chunk()?));
        let is_ours = bool::from(self.mac(head, purpose, rp_id).ct_eq(mac));
        let is_fresh = self.began.elapsed().checked_sub(at).is_some_and(|age| age < PATIENCE);
        let is_new = !self.used.lock().contains_key(mac);
        (is_ours && is_fresh && is_new).then_some(bytes)
    }

    /// Uses a challenge up, once the answer to it was right; `false`: another answer was quicker.
    pub fn spend(&self, challenge: &[u8]) -> bool {
        let Some(mac) = challenge.last_chunk::<MAC_BYTES>() else { return false };
        let mut used = self.used.lock();
        if used.len() >= MAX_USED {
            used.retain(|_, at| at.elapsed() < PATIENCE);
        }
        used.len() < MAX_USED && used.insert(*mac, Instant::now()).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_good_for_its_purpose_once() {
        let challenges = Challenges::default();
        let purposes = [Purpose::SignIn, Purpose::Step("a"), Purpose::Step("b"), Purpose::Add(b"a")];
        for (at, purpose) in purposes.iter().enumerate() {
            let challenge = challenges.give(*purpose, "mail.example");
            for (other, asked) in purposes.iter().enumerate() {
                assert_eq!(challenges.known(&challenge, *asked, "mail.example").is_some(), at == other);
            }
            assert!(challenges.known(&challenge, *purpose, "other.example").is_none());
            assert!(Challenges::default().known(&challenge, *purpose, "mail.example").is_none());
            for wrong in ["", "AAAA", &challenge[1..], &challenge.replace(&challenge[..3], "zzz")] {
                assert!(challenges.known(wrong, *purpose, "mail.example").is_none(), "{wrong}");
            }
            let bytes = challenges.known(&challenge, *purpose, "mail.example").unwrap();
            assert!(challenges.spend(&bytes) && !challenges.spend(&bytes));
            assert!(challenges.known(&challenge, *purpose, "mail.example").is_none());
        }
    }
}
