//! Applying a commit to the index.

use super::{
    Batch, IndexEngine, IndexView, Space, meta,
    records::{full_key, sealed, unseal},
};
use crate::{Cause, Commit, Damaged, Part, RealmCommit, Result, Seq, digest::Seal, log::Chain};

/// Applies one commit of the log, checking that it leads to the digest it states. `chain` is the log's after it.
pub(crate) fn apply(index: &dyn IndexEngine, commit: &Commit, chain: &Chain) -> Result<()> {
    let view = index.view();
    let mut batch = Batch::new();
    for part in &commit.realms {
        apply_part(&*view, commit.seq(), part, &mut batch)?;
    }
    if commit.epoch > meta::epoch(&*view)? {
        batch.push(meta::set_epoch(commit.epoch));
    }
    batch.push(meta::set_applied(commit.seq(), chain));
    index.apply(batch)
}

/// The writes of a commit in one realm, checked to produce the digest that it states.
pub(crate) fn apply_part(view: &dyn IndexView, seq: Seq, part: &RealmCommit, batch: &mut Batch) -> Result<()> {
    let realm = part.realm();
    let mut state = meta::realm_state(view, realm)?;
    for op in &part.ops {
        let full = full_key(realm, &op.key);
        if let Some(old) = view.get(Space::Records, &full)? {
            state.digest.subtract(unseal(realm, &op.key, &old)?.0);
        }
        match &op.value {
            Some(value) => {
                let seal = Seal::of(realm, &op.key, value);
                state.digest.add(seal);
                batch.push((Space::Records, full, Some(sealed(seal, value))));
            }
            None => batch.push((Space::Records, full, None)),
        }
    }
    if Some(state.digest) != part.digest() || part.realm_seq().0 != state.seq.0 + 1 {
        return Err(Damaged::new(Part::Realm, Cause::Digest).realm(realm).commit(seq).into());
    }
    state.seq = part.realm_seq();
    batch.push(meta::set_realm_state(realm, state));
    Ok(())
}
