//! A realm as it was, held by another store: one that was made of an archive, say.

use std::iter::Peekable;

use bytes::Bytes;

use super::{Past, Then};
use crate::{Order, Read, RealmId, Result, Rows, Seq, Snapshot, index::RealmState};

/// What is there now or was there then, and is not the same, in the order of keys.
struct Differing<'a> {
    then: Peekable<Rows<'a>>,
    now: Peekable<Rows<'a>>,
}

impl Iterator for Differing<'_> {
    type Item = Result<(Bytes, Option<Bytes>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.then.peek(), self.now.peek()) {
                (Some(Err(_)), _) => return self.then.next().map(|row| row.map(|(key, value)| (key, Some(value)))),
                (_, Some(Err(_))) => return self.now.next().map(|row| row.map(|(key, _)| (key, None))),
                (None, None) => return None,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(Ok((then, _))), Some(Ok((now, _)))) => then.cmp(now),
            };
            match order {
                std::cmp::Ordering::Less => {
                    return self.then.next().map(|row| row.map(|(key, value)| (key, Some(value))));
                }
                std::cmp::Ordering::Greater => return self.now.next().map(|row| row.map(|(key, _)| (key, None))),
                std::cmp::Ordering::Equal => {
                    let (then, now) = (self.then.next()?, self.now.next()?);
                    match (then, now) {
                        (Ok((key, then)), Ok((_, now))) if then != now => return Some(Ok((key, Some(then)))),
                        (Err(error), _) | (_, Err(error)) => return Some(Err(error)),
                        _ => {}
                    }
                }
            }
        }
    }
}

impl Past {
    /// What `then` holds under `realm`, as the past of that realm of `now`: `seq` is the last commit that counts. `then`
    /// is trusted: its maker has compared it with the stated digest.
    #[must_use]
    pub fn elsewhere(now: Snapshot, realm: RealmId, then: Box<dyn Read + Send + Sync>, seq: Seq) -> Self {
        let state = RealmState { seq: then.realm_seq(realm), ..RealmState::default() };
        Self { realm, now, then: Then::Elsewhere(then), state, seq, mistimed: None }
    }

    pub(super) fn differing<'a>(
        &'a self,
        then: &'a (dyn Read + Send + Sync),
        prefix: &[u8],
    ) -> Box<dyn Iterator<Item = Result<(Bytes, Option<Bytes>)>> + 'a> {
        let rows = |read: &'a dyn Read| read.prefix(self.realm, prefix, Order::Ascending);
        match (rows(then), rows(&self.now)) {
            (Ok(then), Ok(now)) => Box::new(Differing { then: then.peekable(), now: now.peekable() }),
            (Err(error), _) | (_, Err(error)) => Box::new(std::iter::once(Err(error))),
        }
    }
}
