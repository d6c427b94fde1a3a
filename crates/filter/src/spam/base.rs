//! What the accounts of the service taught together: a base for those that have learned little of their own.
//!
//! It is made of what accounts learned that let it be shared, and kept in memory alone. No account can turn it: each gives a bounded
//! number of messages, and to each feature a few counts. It tells nobody what another one's mail says: it has hashes only, and of
//! those only what the mail of several accounts has.

use std::collections::HashMap;

use store::{RealmId, StoreError};

use super::counts::{Counts, Totals};
use super::kind::Kind;
use super::learned::{Base, Spam, SpamError, each};
use super::model::unpacked;
use super::reputation::{Reputation, Together};

/// Most messages of each kind of one account, the newest.
const MAX_OF_ACCOUNT: usize = 20;
/// Most messages of all accounts.
const MAX_MESSAGES: usize = 20_000;
/// What one account adds at most to a feature, for each kind.
const MAX_OF_FEATURE: u32 = 5;
/// Accounts that have to have a feature.
const MIN_ACCOUNTS: u32 = 2;
/// Most features.
const MAX_SHARED_FEATURES: usize = 2_000_000;

/// What an account gives: the newest messages of each kind.
fn given(spam: &Spam, account: RealmId, now_ms: i64) -> Result<Given, SpamError> {
    let mut reputation = Reputation::default();
    let mut found: [Vec<(i64, bytes::Bytes)>; 2] = Default::default();
    spam.each_learned(account, |record| {
        reputation.add(record, now_ms);
        let Some(kind) = Kind::from_number(record.kind) else { return };
        if !record.features.is_empty() {
            found[usize::from(kind == Kind::Wanted)].push((record.at_ms, record.features.clone()));
        }
    })?;
    let (mut totals, mut counts) = (Totals::default(), HashMap::new());
    for (some, is_spam) in found.iter_mut().zip([true, false]) {
        some.sort_by_key(|one| std::cmp::Reverse(one.0));
        for (_, features) in some.iter().take(MAX_OF_ACCOUNT) {
            totals.add(is_spam);
            for feature in unpacked(features) {
                let count: &mut Totals = counts.entry(feature).or_default();
                count.add(is_spam);
                count.spam = count.spam.min(MAX_OF_FEATURE);
                count.ham = count.ham.min(MAX_OF_FEATURE);
            }
        }
    }
    Ok(Given { totals, counts, reputation })
}

/// What one account gives.
struct Given {
    totals: Totals,
    counts: HashMap<u32, Totals>,
    reputation: Reputation,
}

impl Spam {
    /// Gathers the base from all accounts that share. Blocks for as long as it takes to read what they learned.
    ///
    /// # Errors
    /// Those of reading; the base stays as it was.
    pub fn gather_base(&self) -> Result<(), SpamError> {
        let now_ms = self.now_ms();
        let (mut all, mut together, mut accounts) = (Totals::default(), Together::default(), 0);
        let mut of: HashMap<u32, (u32, Totals)> = HashMap::new();
        for account in self.accounts() {
            if (all.spam + all.ham) as usize >= MAX_MESSAGES {
                break;
            }
            if !self.settings(account)?.shares {
                continue;
            }
            let Given { totals, counts, reputation } = given(self, account, now_ms)?;
            accounts += usize::from(totals != Totals::default());
            together.add(&reputation);
            all.spam += totals.spam;
            all.ham += totals.ham;
            for (feature, count) in counts {
                if of.len() >= MAX_SHARED_FEATURES && !of.contains_key(&feature) {
                    continue;
                }
                let (accounts, sum) = of.entry(feature).or_default();
                *accounts += 1;
                sum.spam += count.spam;
                sum.ham += count.ham;
            }
        }
        let common = of.into_iter().filter(|(_, (accounts, _))| *accounts >= MIN_ACCOUNTS);
        self.set_base(Base {
            counts: Counts::of_all(all, common.map(|(feature, (_, sum))| (feature, sum))),
            reputation: together.of_several(),
            accounts,
            gathered_ms: now_ms,
        });
        Ok(())
    }

    fn each_learned(
        &self,
        account: RealmId,
        mut visit: impl FnMut(&super::schema::LearnedRecord),
    ) -> Result<(), StoreError> {
        each(&self.snapshot(), account, |_, record| visit(record))
    }
}
