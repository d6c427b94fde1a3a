//! Who signs in, with what; and as whom one writes.

use std::collections::BTreeMap;

use directory::{AccountId, Service, SignInResult};

use crate::finding::{Finding, State, ago, counted};
use crate::{Result, Selfcheck};

/// App passwords that were not used for so long are named.
const UNUSED_FOR_MS: i64 = 30 * 86_400_000;
/// Fewer recovery codes than these are few.
const FEW_CODES: usize = 3;
/// So many sign-ins that failed are worth a word.
const MANY_FAILED: u64 = 20;

impl Selfcheck {
    /// Addresses that the account writes as, and no longer has.
    pub(crate) fn identities(&self, id: AccountId) -> Result<Vec<Finding>> {
        const CODE: &str = "identities";
        let own = self.directory.addresses_of(id)?;
        let settings = self.directory.settings(id)?;
        let is_own = |address: &str| own.iter().any(|one| one.eq_ignore_ascii_case(address));
        let mut gone: Vec<&str> = settings.identities.iter().map(|one| one.address.as_str()).collect();
        gone.extend(Some(settings.writes_from.as_str()).filter(|address| !address.is_empty()));
        gone.retain(|address| !is_own(address));
        gone.sort_unstable();
        gone.dedup();
        if gone.is_empty() {
            return Ok(vec![Finding::ok(CODE, "You write from addresses that are yours.")]);
        }
        let finding = |address: &str| {
            let text = format!("You have settings for writing as {address}, which is no longer your address.");
            Finding::new("identity-gone", State::Wrong, text)
                .about(address)
                .mend("Remove them")
                .page("/settings/addresses")
        };
        Ok(gone.into_iter().map(finding).collect())
    }

    pub(crate) fn app_passwords(&self, id: AccountId) -> Result<Vec<Finding>> {
        const CODE: &str = "app-passwords";
        let now_ms = self.directory.now_ms();
        let all = self.directory.app_passwords(id)?;
        let old = |at_ms: i64| now_ms - at_ms > UNUSED_FOR_MS;
        let unused = all.iter().filter(|app| old(app.created_ms) && app.last_used_ms.is_none_or(old));
        let names: Vec<&str> = unused.map(|app| app.name.as_str()).collect();
        if names.is_empty() {
            let text = match all.len() {
                0 => "You have no app passwords.".to_owned(),
                count => format!("{} in use.", counted(count, "app password is", "app passwords are")),
            };
            return Ok(vec![Finding::ok(CODE, text)]);
        }
        let text = format!("Not used for a month: {}. Revoke those that you no longer need.", names.join(", "));
        Ok(vec![Finding::new(CODE, State::Note, text).page("/settings/apps")])
    }

    pub(crate) fn second_step(&self, id: AccountId) -> Result<Vec<Finding>> {
        const CODE: &str = "two-step";
        let steps = self.directory.second_steps(id)?;
        let passkeys = self.directory.passkeys(id)?;
        let page = "/settings/security";
        Ok(vec![if !steps.is_on() && passkeys.iter().all(|one| !one.is_alone) {
            let text = "Two-step sign-in is off: someone who learns your password can sign in.";
            Finding::new(CODE, State::Note, text).page(page)
        } else if steps.is_on() && steps.codes_left < FEW_CODES {
            let left = counted(steps.codes_left, "recovery code is", "recovery codes are");
            let text = format!("Only {left} left. Make new ones before you need them.");
            let state = if steps.codes_left == 0 { State::Wrong } else { State::Note };
            Finding::new(CODE, state, text).page(page)
        } else if steps.is_on() {
            Finding::ok(CODE, "Two-step sign-in is on.")
        } else {
            Finding::ok(CODE, format!("You have {}.", counted(passkeys.len(), "passkey", "passkeys")))
        }])
    }

    /// Sign-ins that its owner has not recognised yet, and many that failed.
    pub(crate) fn strangers(&self, id: AccountId) -> Result<Vec<Finding>> {
        const CODE: &str = "sign-ins";
        let page = "/settings/sessions";
        let all = self.directory.sign_ins(id)?;
        let new = all.iter().filter(|one| one.new).count();
        let failed: u64 = all.iter().filter(|one| one.result == SignInResult::Wrong).map(|one| one.count).sum();
        let mut found = Vec::new();
        if new > 0 {
            let text = format!(
                "{} from a place or with an app that is new. Say whether that was you.",
                counted(new, "sign-in is", "sign-ins are")
            );
            found.push(Finding::new(CODE, State::Note, text).page(page));
        }
        if failed >= MANY_FAILED {
            let text = format!(
                "{failed} sign-ins with a wrong password in the last two weeks. A device may have an old one, or someone guesses."
            );
            found.push(Finding::new("sign-ins-failed", State::Note, text).page(page));
        }
        if found.is_empty() {
            found.push(Finding::ok(CODE, "No sign-ins that you don’t know."));
        }
        Ok(found)
    }

    pub(crate) fn last_sign_ins(&self, id: AccountId) -> Result<Vec<Finding>> {
        let now_ms = self.directory.now_ms();
        let mut last: BTreeMap<&str, i64> = BTreeMap::new();
        for one in self.directory.sign_ins(id)?.iter().filter(|one| one.result == SignInResult::Ok) {
            let entry = last.entry(one.service.map_or("several", Service::title)).or_default();
            *entry = (*entry).max(one.last_ms);
        }
        let each: Vec<String> = last.iter().map(|(title, at)| format!("{title} {}", ago(*at, now_ms))).collect();
        let text = if each.is_empty() {
            "No sign-in in the last two weeks.".to_owned()
        } else {
            format!("Last signed in: {}.", each.join(", "))
        };
        Ok(vec![Finding::ok("last-sign-ins", text)])
    }
}
