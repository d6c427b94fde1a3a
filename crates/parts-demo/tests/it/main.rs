//! What the author of a new part is promised: it is verified, rewound (or never), salvaged, merged, purged, maintained and
//! counted as the others are, by code that has never heard of it.

mod feed;

use std::path::Path;

use continuity::rewind::{Rewinds, What, Wish};
use continuity::standby::loses;
use directory::{AccountId, DirectoryOptions, NewAccount};
use parts_demo::{Ledger, Notes, entry, note};
use realm::{Merging, Parts, RealmPart, SalvageFrom};
use store::{Invariants as _, Op, Order, Read as _, RealmCommit, RealmId, Salvaged, Store, StoreError, StoreOptions};
use testkit::House;

/// Each part of the service, and the two that are added: one line each.
fn parts() -> Parts {
    let mut all: Vec<&'static dyn RealmPart> = testkit::parts().iter().collect();
    all.push(&Notes);
    all.push(&Ledger);
    Parts::new(&all)
}

async fn house(dir: &Path) -> (House, RealmId) {
    let house = House::with_mailboxes(dir, DirectoryOptions::default()).await;
    house.directory.add_domain("example.org").await.unwrap();
    let account = house
        .directory
        .create_account(NewAccount {
            address: "anna@example.org".parse().unwrap(),
            name: "Anna".to_owned(),
            password: "correct horse battery staple".to_owned(),
            role: directory::Role::User,
            quota_bytes: 0,
        })
        .await
        .unwrap();
    (house, account.realm())
}

async fn write(store: &Store, account: RealmId, rows: &[(Vec<u8>, Option<&[u8]>)]) {
    let rows: Vec<_> = rows.iter().map(|(key, value)| (key.clone(), value.map(<[u8]>::to_vec))).collect();
    let done = store.transact(move |tx| {
        for (key, value) in rows {
            match value {
                Some(value) => tx.put(account, key, value),
                None => tx.delete(account, key),
            }
        }
        Ok::<_, StoreError>(())
    });
    done.await.unwrap();
}

fn read(store: &Store, account: RealmId, key: &[u8]) -> Option<String> {
    store.snapshot().get(account, key).unwrap().map(|value| String::from_utf8_lossy(&value).into_owned())
}

/// An account with two notes and two payments.
async fn with_some(dir: &Path) -> (House, RealmId) {
    let (house, account) = house(dir).await;
    let rows = [
        (note(1), Some(&b"one"[..])),
        (note(2), Some(b"two")),
        (entry(1), Some(b"\0\0\0\0\0\0\0A")),
        (entry(2), Some(b"\0\0\0\0\0\0\0B")),
    ];
    write(&house.store, account, &rows).await;
    (house, account)
}

#[tokio::test]
async fn it_is_verified_and_a_key_that_nobody_knows_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (House { store, .. }, account) = with_some(dir.path()).await;
    let found = |parts: &Parts| parts.check(account, &store.snapshot()).unwrap();
    assert_eq!(found(&parts()), []);
    assert!(parts().unknown_keys(account, &store.snapshot()).unwrap().is_empty());
    assert_eq!(testkit::parts().unknown_keys(account, &store.snapshot()).unwrap().len(), 4, "without the two parts");
    write(&store, account, &[(note(3), Some(b"\xFF\xFE")), (entry(2), None), (entry(3), Some(b"short"))]).await;
    let found = found(&parts());
    assert!(found.len() == 2 && found.iter().all(|violation| violation.realm == account), "{found:?}");
    write(&store, account, &[(vec![0x61, 1], Some(b"")), (vec![0x0E], Some(b""))]).await;
    assert_eq!(parts().unknown_keys(account, &store.snapshot()).unwrap().len(), 2);
}

#[tokio::test]
async fn notes_are_rewound_and_that_is_undone_while_a_ledger_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (House { store, mailstore, .. }, account) = with_some(dir.path()).await;
    let moment_ms = store.clock().now_ms();
    while store.clock().now_ms() <= moment_ms {
        std::thread::yield_now();
    }
    write(&store, account, &[(note(1), None), (note(2), Some(b"zwei")), (note(3), Some(b"three")), (entry(2), None)])
        .await;
    let rewinds = Rewinds::new(store.clone(), mailstore, parts());
    let wish = Wish { what: What::Everything, moment_ms, flags: false };
    let done = {
        let (rewinds, wish) = (rewinds.clone(), wish.clone());
        tokio::task::spawn_blocking(move || {
            let preview = rewinds.preview(account, &wish).unwrap();
            let notes = preview.parts.iter().find(|coming| coming.noun == "note").unwrap();
            assert_eq!((notes.back.len(), notes.completed.len()), (1, 1));
            rewinds.run(account, b"a key", &wish, &mut |_, _| {}).unwrap();
            rewinds.run(account, b"another", &wish, &mut |_, _| {}).unwrap()
        })
    };
    assert!(!done.await.unwrap().changed(), "the second one has nothing to do");
    assert_eq!(read(&store, account, &note(1)).unwrap(), "one");
    assert_eq!(read(&store, account, &note(2)).unwrap(), "zwei\ntwo");
    assert_eq!(read(&store, account, &note(3)).unwrap(), "three", "what is new is kept");
    assert!(read(&store, account, &entry(2)).is_none(), "a ledger is not rewound");
    write(&store, account, &[(note(3), Some(b"drei"))]).await;
    let undone = tokio::task::spawn_blocking(move || {
        let id = mailstore::rewind::RewindId::of(b"a key").unwrap();
        rewinds.undo(account, id).unwrap().unwrap()
    });
    assert!(undone.await.unwrap().undone);
    assert!(read(&store, account, &note(1)).is_none());
    assert_eq!(read(&store, account, &note(2)).unwrap(), "zwei");
    assert_eq!(read(&store, account, &note(3)).unwrap(), "drei");
}

#[tokio::test]
async fn it_is_salvaged_and_merged_once_without_losing_what_is_there() {
    let (old, new, scratch) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (house_then, from) = with_some(old.path()).await;
    house_then.store.close();
    drop(house_then);
    let (House { store, .. }, account) = house(new.path()).await;
    write(&store, account, &[(note(2), Some(b"here"))]).await;
    let here = store.clone();
    let (old, scratch) = (old.path().to_owned(), scratch.path().join("work"));
    let work = tokio::task::spawn_blocking(move || {
        let salvaged = Salvaged::open(&old, &scratch, &StoreOptions::default(), &mut |_, _, _| {}).unwrap();
        let source = SalvageFrom {
            read: &salvaged,
            realm: from,
            same_ids: None,
            is_part: false,
            keeps_deleted: false,
            store: &here,
        };
        for (preview, is_first) in [(true, true), (false, true), (false, false)] {
            let mut titles = Vec::new();
            for part in parts().iter() {
                let Some(found) = part.salvage(&source).unwrap() else { continue };
                titles.push(found.title());
                assert!(found.unreadable().is_empty() && found.passed_over().is_empty());
                let body = |id: &store::BodyId| salvaged.body(id);
                let mut progress = |_: &str, _, _| {};
                let mut into = Merging { store: &here, account, preview, body: &body, progress: &mut progress };
                let merged = found.merge(&mut into).unwrap();
                assert!(merged.is_all);
                if part.name() == "notes" {
                    let count = if is_first { "1 notes" } else { "0 notes" };
                    assert_eq!(merged.lines, [[count.to_owned()]], "preview {preview}");
                }
            }
            assert_eq!(titles[titles.len() - 2..], ["2 notes", "2 ledger entries"]);
            assert_eq!(read(&here, account, &note(1)).is_none(), preview);
        }
    });
    work.await.unwrap();
    assert_eq!(read(&store, account, &note(1)).unwrap(), "one");
    assert_eq!(read(&store, account, &note(2)).unwrap(), "here");
    assert!(read(&store, account, &entry(2)).is_some());
}

#[tokio::test]
async fn it_is_maintained_and_purged_with_the_account() {
    let dir = tempfile::tempdir().unwrap();
    let (House { store, directory, .. }, account) = with_some(dir.path()).await;
    write(&store, account, &[(note(9), Some(b""))]).await;
    parts().maintain(&store).await;
    assert!(read(&store, account, &note(9)).is_none());
    assert!(read(&store, account, &note(1)).is_some());
    directory.delete_account(AccountId(account.account_number().unwrap())).await.unwrap();
    for _ in 0..2 {
        parts().purge(&store, account).await.unwrap();
    }
    let snapshot = store.snapshot();
    // Counters, so that no number is given twice; the audit trail; the addresses that it had.
    let kept = [0x05, 0x06, 0x10];
    for row in snapshot.prefix(account, &[], Order::Ascending).unwrap() {
        let (key, _) = row.unwrap();
        assert!(kept.contains(&key[0]), "{key:02x?} is left");
    }
}

#[test]
fn what_it_loses_is_counted() {
    let part = |key: Vec<u8>, value: Option<&[u8]>| {
        let ops = vec![Op { key, value: value.map(<[u8]>::to_vec) }];
        RealmCommit { realm_raw: RealmId::account(1).raw(), realm_seq_raw: 1, ops, ..RealmCommit::default() }
    };
    assert!(loses(&parts(), &part(note(1), None)) && loses(&parts(), &part(entry(1), None)));
    assert!(!loses(&parts(), &part(note(1), Some(b"x"))) && !loses(&parts(), &part(vec![0x04], None)));
    assert!(!loses(&testkit::parts(), &part(note(1), None)), "without the part");
    assert!(parts().is_never_rewound(&entry(1)) && !parts().is_never_rewound(&note(1)));
}
