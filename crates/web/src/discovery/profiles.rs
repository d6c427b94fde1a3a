//! Profiles that were made and not fetched yet: in memory, for some minutes; after a restart a new one is made.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a profile can be fetched.
pub const MINUTES: u64 = 10;
/// How often: some programs fetch a link twice.
const FETCHES: u32 = 4;
/// Most profiles that wait at once, of all accounts.
const MAX_WAITING: usize = 1_000;

/// Profiles that wait to be fetched. Not `Debug`: they hold passwords.
#[derive(Default)]
pub struct Profiles(Mutex<HashMap<String, Waiting>>);

/// A profile as it is fetched.
#[derive(Clone, PartialEq, Eq)]
pub struct Profile {
    /// The file.
    pub bytes: Vec<u8>,
    /// Whether it is signed.
    pub signed: bool,
}

struct Waiting {
    profile: Profile,
    since: Instant,
    left: u32,
}

impl Waiting {
    fn is_over(&self) -> bool {
        self.left == 0 || self.since.elapsed() >= Duration::from_secs(MINUTES * 60)
    }
}

impl Profiles {
    /// Keeps a profile for a while, under a name that nobody can guess; `None` if there are too many.
    pub fn keep(&self, profile: Profile) -> Option<String> {
        let mut waiting = self.0.lock();
        waiting.retain(|_, one| !one.is_over());
        if waiting.len() >= MAX_WAITING {
            return None;
        }
        let token = hex::encode(rand::random::<[u8; 32]>());
        waiting.insert(token.clone(), Waiting { profile, since: Instant::now(), left: FETCHES });
        Some(token)
    }

    /// A profile by its name, as often as it may be fetched.
    pub fn take(&self, token: &str) -> Option<Profile> {
        let mut waiting = self.0.lock();
        waiting.retain(|_, one| !one.is_over());
        let one = waiting.get_mut(token)?;
        one.left -= 1;
        Some(one.profile.clone())
    }

    /// Whether a profile that waits is signed. That counts as no fetch.
    pub fn is_signed(&self, token: &str) -> bool {
        self.0.lock().get(token).is_some_and(|one| one.profile.signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_fetched_a_few_times_and_only_by_its_name() {
        let profiles = Profiles::default();
        let profile = Profile { bytes: b"profile".to_vec(), signed: true };
        let token = profiles.keep(profile.clone()).unwrap();
        assert!(profiles.take("").is_none());
        assert!(profiles.take(&token[1..]).is_none());
        for _ in 0..FETCHES {
            assert!(profiles.is_signed(&token) && profiles.take(&token) == Some(profile.clone()));
        }
        assert!(profiles.take(&token).is_none());
        for _ in 0..MAX_WAITING {
            assert!(profiles.keep(profile.clone()).is_some());
        }
        assert!(profiles.keep(profile).is_none());
    }
}
