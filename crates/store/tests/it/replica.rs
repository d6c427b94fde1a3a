//! A store that follows another one.

use std::{ops::Bound, path::Path};

use store::{
    Cause, Damaged, Order, PeerFault, Read as _, RealmId, Restore, Seq, Store, StoreError, StoreOptions, body_of_key,
    log::RunWriter, rebuild_index,
};

use crate::common::run;

const ONE: RealmId = RealmId::account(1);
const TWO: RealmId = RealmId::account(2);

fn write(store: &Store, realm: RealmId, key: &str, value: &str) -> Result<(), StoreError> {
    let body = store.put_body(value.as_bytes())?;
    let (key, value) = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    store
        .transact(move |tx| {
            tx.put(realm, key, value);
            tx.ref_body(realm, &body.id(), b"");
            Ok::<_, StoreError>(())
        })
        .wait()
}

fn value(store: &Store, realm: RealmId, key: &str) -> Option<Vec<u8>> {
    store.snapshot().get(realm, key.as_bytes()).unwrap().map(|value| value.to_vec())
}

/// Brings over what is new, bodies first.
fn follow(from: &Store, to: &Store) {
    let (commits, after) = run(from, Seq(to.seq().0 + 1));
    for op in commits.iter().flat_map(|commit| &commit.realms).flat_map(|part| &part.ops) {
        if let Some(id) = body_of_key(&op.key) {
            to.put_body(&from.body(&id).unwrap().read_all().unwrap()).unwrap();
        }
    }
    to.receive(commits, after).unwrap();
}

fn apply(to: &Store) -> Vec<(RealmId, Damaged)> {
    let first = Seq(to.applied().unwrap().0 + 1);
    let (commits, _) = run(to, first);
    commits.iter().flat_map(|commit| to.apply_received(commit).unwrap()).collect()
}

/// An empty store that follows another one.
fn replica(dir: &Path) -> Store {
    let making = Restore::begin(dir, StoreOptions::default(), "of a test").unwrap();
    let store = making.finish(Seq(0), [0; 32], 1).unwrap();
    store.mark_replica("a test").unwrap();
    Restore::done(&store).unwrap();
    store.close();
    drop(store);
    Store::open_replica(dir, StoreOptions::default()).unwrap()
}

struct Two {
    _dirs: [tempfile::TempDir; 2],
    primary: Store,
    standby: Store,
}

fn two() -> Two {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let primary = Store::open(dirs[0].path(), StoreOptions::default()).unwrap();
    let standby = replica(dirs[1].path());
    Two { primary, standby, _dirs: dirs }
}

#[test]
fn what_was_received_is_applied_and_leads_to_the_same_log_and_digests() {
    let Two { primary, standby, _dirs } = two();
    for number in 0..20 {
        write(&primary, if number % 2 == 0 { ONE } else { TWO }, "key", &format!("value {number}")).unwrap();
    }
    follow(&primary, &standby);
    assert_eq!((standby.seq(), standby.applied().unwrap()), (Seq(20), Seq(0)));
    assert_eq!(value(&standby, ONE, "key"), None, "received is not applied");
    assert_eq!(apply(&standby), []);
    assert_eq!(standby.log_point(Seq(20)).unwrap().0, primary.log_point(Seq(20)).unwrap().0);
    for realm in [ONE, TWO] {
        assert_eq!(standby.summary(realm).unwrap(), primary.summary(realm).unwrap());
        let snapshot = standby.snapshot();
        let rows = snapshot.range(realm, (Bound::Unbounded, Bound::Unbounded), Order::Ascending).unwrap();
        assert!(
            rows.map(Result::unwrap)
                .filter_map(|(key, _)| body_of_key(&key))
                .all(|id| { standby.body(&id).unwrap().read_all().is_ok() })
        );
    }
    // Only the primary's commits are taken, each once, in order.
    assert!(matches!(write(&standby, ONE, "own", "x"), Err(StoreError::Replica { .. })));
    let (commits, after) = run(&primary, Seq(20));
    assert!(matches!(
        standby.receive(commits.clone(), after),
        Err(StoreError::Peer(PeerFault::WrongCommit { expected: Seq(21), .. }))
    ));
    write(&primary, ONE, "key", "last").unwrap();
    let (commits, _) = run(&primary, Seq(21));
    assert!(matches!(standby.receive(commits, [7; 32]), Err(StoreError::Peer(PeerFault::OtherLog { last: Seq(21) }))));
    assert_eq!(standby.seq(), Seq(20));
}

#[test]
fn a_replica_is_opened_as_one_only_and_goes_on_where_it_was() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let primary = Store::open(dirs[0].path(), StoreOptions::default()).unwrap();
    let standby = replica(dirs[1].path());
    write(&primary, ONE, "key", "1").unwrap();
    write(&primary, ONE, "key", "2").unwrap();
    follow(&primary, &standby);
    let (commits, _) = run(&standby, Seq(1));
    standby.apply_received(&commits[0]).unwrap();
    standby.close();
    drop(standby);
    let refused = Store::open(dirs[1].path(), StoreOptions::default()).err().unwrap();
    assert!(refused.to_string().contains("holdfast promote"), "{refused}");
    let standby = Store::open_replica(dirs[1].path(), StoreOptions::default()).unwrap();
    assert_eq!((standby.seq(), standby.applied().unwrap()), (Seq(2), Seq(1)));
    assert_eq!(value(&standby, ONE, "key"), Some(b"1".to_vec()));
    apply(&standby);
    assert_eq!(value(&standby, ONE, "key"), Some(b"2".to_vec()));
}

#[test]
fn a_commit_that_does_not_lead_to_its_digest_holds_its_realm_and_no_other() {
    let Two { primary, standby, _dirs } = two();
    write(&primary, ONE, "key", "1").unwrap();
    write(&primary, TWO, "key", "1").unwrap();
    follow(&primary, &standby);
    apply(&standby);
    // What a corrupted primary would send: writes that are not those of the digest.
    write(&primary, ONE, "key", "2").unwrap();
    write(&primary, TWO, "key", "2").unwrap();
    write(&primary, ONE, "key", "3").unwrap();
    let (mut commits, _) = run(&primary, Seq(3));
    let op = commits[0].realms[0].ops.iter_mut().find(|op| op.key == b"key").unwrap();
    op.value = Some(b"two".to_vec());
    let mut writer = RunWriter::new(Seq(3), standby.log_point(Seq(2)).unwrap().0);
    for commit in &commits {
        writer.push(commit).unwrap();
    }
    let after = writer.chain();
    for op in commits.iter().flat_map(|commit| &commit.realms).flat_map(|part| &part.ops) {
        if let Some(id) = body_of_key(&op.key) {
            standby.put_body(&primary.body(&id).unwrap().read_all().unwrap()).unwrap();
        }
    }
    standby.receive(commits, after).unwrap();
    let held = apply(&standby);
    assert_eq!(held.len(), 1, "{held:?}");
    assert!(held[0].0 == ONE && (held[0].1.cause, held[0].1.commit) == (Cause::Digest, Some(Seq(3))), "{held:?}");
    assert_eq!(value(&standby, ONE, "key"), Some(b"1".to_vec()), "left as it was");
    assert_eq!(value(&standby, TWO, "key"), Some(b"2".to_vec()));
    assert_eq!(standby.applied().unwrap(), Seq(5));

    // Copied anew, it follows again.
    let summary = primary.summary(ONE).unwrap();
    let snapshot = primary.snapshot();
    let rows = snapshot.range(ONE, (Bound::Unbounded, Bound::Unbounded), Order::Ascending).unwrap();
    let rows = rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())));
    standby.replace_realm(ONE, summary.seq, summary.digest, rows).unwrap();
    assert_eq!(standby.summary(ONE).unwrap(), summary);
    assert_eq!(standby.quarantined(), []);
}

#[test]
fn a_promoted_replica_writes_in_the_next_epoch_and_a_fenced_primary_does_not() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let primary = Store::open(dirs[0].path(), StoreOptions::default()).unwrap();
    let standby = replica(dirs[1].path());
    write(&primary, ONE, "key", "1").unwrap();
    follow(&primary, &standby);
    assert!(matches!(standby.promote(), Err(StoreError::Refused { .. })), "not everything is applied");
    apply(&standby);
    assert_eq!(standby.promote().unwrap(), 2);
    // Also when the index is built anew before anything was written, or is lost after that.
    standby.close();
    drop(standby);
    let _ = rebuild_index(dirs[1].path(), &StoreOptions::default(), |_, _, _| ()).unwrap();
    let standby = Store::open(dirs[1].path(), StoreOptions::default()).unwrap();
    write(&standby, ONE, "key", "2").unwrap();
    assert_eq!(run(&standby, Seq(2)).0[0].epoch, 2);
    standby.close();
    drop(standby);
    std::fs::remove_dir_all(dirs[1].path().join("index")).unwrap();
    let standby = Store::open(dirs[1].path(), StoreOptions::default()).unwrap();
    assert_eq!(value(&standby, ONE, "key"), Some(b"2".to_vec()));
    write(&standby, ONE, "key", "3").unwrap();
    assert_eq!(run(&standby, Seq(3)).0[0].epoch, 2);

    primary.fence("another machine was promoted").unwrap();
    assert!(matches!(write(&primary, ONE, "key", "x"), Err(StoreError::Stopped { .. })));
    primary.close();
    drop(primary);
    let refused = Store::open(dirs[0].path(), StoreOptions::default()).err().unwrap();
    assert!(refused.to_string().contains("another machine was promoted"), "{refused}");
}

#[test]
fn a_commit_is_acknowledged_once_the_other_machine_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    store.hold_acknowledgements(true);
    let submit = |text: &str| {
        let text = text.as_bytes().to_vec();
        store.transact(move |tx| {
            tx.put(ONE, b"key".to_vec(), text);
            Ok::<_, StoreError>(())
        })
    };
    let mut follower = store.follow(Seq(1)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let first = submit("1");
    let commit = runtime.block_on(follower.next()).unwrap();
    while store.waits_for_acknowledgement() != Some(commit.seq()) {
        std::thread::yield_now();
    }
    store.acknowledge(commit.seq());
    first.wait().unwrap();
    let second = submit("2");
    runtime.block_on(follower.next()).unwrap();
    store.hold_acknowledgements(false);
    second.wait().unwrap();
    store.hold_acknowledgements(true);
    let third = submit("3");
    runtime.block_on(follower.next()).unwrap();
    store.close();
    // Nobody said that it is durable elsewhere, and here it is: neither yes nor no would be known to be true.
    assert!(matches!(third.wait(), Err(StoreError::Unknown { .. })));
}

/// Whether the ticket's answer has come, without waiting for it.
fn has_come(ticket: &mut store::Ticket<(), StoreError>) -> Option<Result<(), StoreError>> {
    use std::{future::Future as _, pin::Pin, task};
    match Pin::new(ticket).poll(&mut task::Context::from_waker(task::Waker::noop())) {
        task::Poll::Ready(outcome) => Some(outcome),
        task::Poll::Pending => None,
    }
}

#[test]
fn what_was_read_is_acknowledged_with_the_commit_that_it_was_read_from() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let submit = |store: &Store, realm: RealmId| {
        store.transact(move |tx| {
            tx.put(realm, b"key".to_vec(), b"value".to_vec());
            Ok::<_, StoreError>(())
        })
    };
    // Where nothing is held, nothing waits.
    submit(&store, ONE).wait().unwrap();
    for mut ticket in [store.acknowledged(store.seq()), store.acknowledged_in(ONE), store.all_acknowledged()] {
        assert!(matches!(has_come(&mut ticket), Some(Ok(()))));
    }
    // What was there before acknowledgements were held is not known to be elsewhere.
    store.hold_acknowledgements(true);
    let mut ticket = store.acknowledged_in(TWO);
    assert!(has_come(&mut ticket).is_none());
    assert_eq!((store.waits_for_acknowledgement(), store.waiting_for_acknowledgement()), (Some(Seq(1)), 1));
    assert!(store.acknowledgement_overdue().is_some());
    store.acknowledge(store.seq());
    ticket.wait().unwrap();
    assert!(store.acknowledgement_overdue().is_none());

    let mut first = submit(&store, ONE);
    while store.snapshot().seq().unwrap() != Seq(2) {
        std::thread::yield_now();
    }
    let mut readers = [store.acknowledged(Seq(2)), store.acknowledged_in(ONE), store.all_acknowledged()];
    assert!(readers.iter_mut().chain([&mut first]).all(|ticket| has_come(ticket).is_none()));
    // What others wrote is waited for by nobody who did not read it.
    for mut ticket in [store.acknowledged(Seq(1)), store.acknowledged_in(TWO)] {
        assert!(matches!(has_come(&mut ticket), Some(Ok(()))));
    }
    store.acknowledge(Seq(1));
    assert!(readers.iter_mut().all(|ticket| has_come(ticket).is_none()));
    store.acknowledge(Seq(2));
    for ticket in readers.into_iter().chain([first]) {
        ticket.wait().unwrap();
    }
    // Switched off, and stopped.
    let off = submit(&store, ONE);
    while store.snapshot().seq().unwrap() != Seq(3) {
        std::thread::yield_now();
    }
    let read = store.acknowledged_in(ONE);
    store.hold_acknowledgements(false);
    read.wait().unwrap();
    off.wait().unwrap();
    store.hold_acknowledgements(true);
    let read = store.acknowledged_in(ONE);
    store.close();
    assert!(matches!(read.wait(), Err(StoreError::Unknown { .. })));
    assert_nobody_knows(&store);
    drop(store);
    // What a start finds may not be elsewhere either.
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    store.hold_acknowledgements(true);
    assert!(has_come(&mut store.acknowledged_in(TWO)).is_none());
    store.acknowledge(store.seq());
    store.acknowledged_in(ONE).wait().unwrap();
    // One that is fenced says nothing of what it can't know.
    let mut last = submit(&store, ONE);
    while store.snapshot().seq().unwrap() != Seq(4) {
        std::thread::yield_now();
    }
    assert!(has_come(&mut last).is_none());
    store.fence("another machine was promoted").unwrap();
    assert!(matches!(last.wait(), Err(StoreError::Unknown { .. })));
    assert_nobody_knows(&store);
    // What is acknowledged stays so, and what is not done is known not to be.
    store.acknowledged(Seq(3)).wait().unwrap();
    assert!(matches!(submit(&store, ONE).wait(), Err(StoreError::Stopped { .. })));
}

/// What was read of a store that has ended may be elsewhere or not: neither yes nor no is said of it.
fn assert_nobody_knows(store: &Store) {
    for ticket in [store.acknowledged_in(ONE), store.all_acknowledged(), store.acknowledged(store.seq())] {
        let outcome = ticket.wait();
        assert!(matches!(outcome, Err(StoreError::Unknown { .. })), "{outcome:?}");
    }
}
