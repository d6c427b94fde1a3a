//! A realm's records as a snapshot stores them: cut into chunks, with the bodies that they refer to.

use std::ops::Bound;

use store::{BodyId, Damaged, Digest, Order, Read as _, RealmId, StoreError, body_of_key};
use tokio::sync::mpsc;

use crate::archive::{cut::Cutter, format::Chunk};

/// The output of scanning the realms, in order.
pub(super) enum Step {
    Chunk(Chunk),
    Body(BodyId),
    /// The end of a realm: its records, or what is wrong with it.
    End(RealmId, u64, Result<u64, StoreError>, Digest),
}

/// Sends a realm's chunks and bodies. An error means that the receiver is gone.
pub(super) fn scan_realm(view: &store::Snapshot, realm: RealmId, steps: &mpsc::Sender<Step>) -> Result<(), ()> {
    let send = |step| steps.blocking_send(step).map_err(|_| ());
    let mut cutter = Cutter::new(realm.raw());
    let mut digest = Digest::default();
    let mut records = 0;
    let mut last_body = None;
    let stated = match view.digest(realm) {
        Ok(digest) => digest,
        Err(error) => return send(Step::End(realm, 0, Err(error), digest)),
    };
    let rows = match view.range(realm, (Bound::Unbounded, Bound::Unbounded), Order::Ascending) {
        Ok(rows) => rows,
        Err(error) => return send(Step::End(realm, 0, Err(error), digest)),
    };
    for row in rows {
        let (key, value) = match row {
            Ok(row) => row,
            Err(error) => return send(Step::End(realm, 0, Err(error), digest)),
        };
        digest.add_record(realm, &key, &value);
        records += 1;
        if let Some(id) = body_of_key(&key)
            // References to one body are neighbours.
            && last_body.replace(id) != Some(id)
        {
            send(Step::Body(id))?;
        }
        if let Some(chunk) = cutter.push(key.to_vec(), value.to_vec()) {
            send(Step::Chunk(chunk))?;
        }
    }
    if let Some(chunk) = cutter.finish() {
        send(Step::Chunk(chunk))?;
    }
    let outcome = if digest == stated { Ok(records) } else { Err(Damaged::wrong_digest(realm, digest, stated).into()) };
    send(Step::End(realm, view.realm_seq(realm).0, outcome, digest))
}
