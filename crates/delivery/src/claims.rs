//! Claims on legs within this process: by an attempt, an operator, or a sender who recalls a message.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::schema::LegId;

/// Legs that are being worked on.
#[derive(Clone, Default)]
pub struct Claims {
    claimed: Arc<Mutex<HashSet<LegId>>>,
}

/// The right to work on some legs, until dropped.
pub struct Claim {
    claims: Claims,
    legs: Vec<LegId>,
}

impl Claims {
    /// Claim a leg, if it is free.
    pub fn claim(&self, leg: LegId) -> Option<Claim> {
        self.claim_all([leg].into_iter())
    }

    /// Claim all of these legs, or none.
    pub fn claim_all(&self, legs: impl Iterator<Item = LegId>) -> Option<Claim> {
        let legs: Vec<LegId> = legs.collect();
        let mut claimed = self.claimed.lock();
        if legs.iter().any(|leg| claimed.contains(leg)) {
            return None;
        }
        claimed.extend(legs.iter().copied());
        Some(Claim { claims: self.clone(), legs })
    }

    /// Somebody works on it.
    pub fn is_claimed(&self, leg: LegId) -> bool {
        self.claimed.lock().contains(&leg)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = self.claims.claimed.lock();
        for leg in &self.legs {
            claimed.remove(leg);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QueueId;

    #[test]
    fn a_leg_is_worked_on_by_one_at_a_time() {
        let claims = Claims::default();
        let leg = |n| LegId { id: QueueId(1), leg: n };
        let first = claims.claim(leg(0));
        assert!(first.is_some());
        assert!(claims.claim_all([leg(1), leg(0)].into_iter()).is_none());
        assert!(!claims.is_claimed(leg(1)), "all or none");
        drop(first);
        assert!(claims.claim(leg(0)).is_some());
    }
}
