//! A store that serves while it is being restored: what is there can be used, what is not is said and comes when asked for.

use std::sync::Arc;

use crate::world::{World, account, all, assert_sound, busy, write};
use continuity::archive::{
    catalog::Catalog,
    restore::{
        Wish,
        serving::{self, Opened, Prepare, Progress, Serving},
    },
};
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use store::{BodyId, Read as _, RealmId, RealmSummary, Store, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

fn quiet() -> serving::Says {
    Arc::new(|_| {})
}

/// Lets everyone in at once.
fn nothing_more() -> Prepare {
    Arc::new(|_| async { Ok(()) }.boxed())
}

async fn ended(serving: &Serving) -> Progress {
    serving.progress.clone().wait_for(|progress| progress.ended).await.unwrap().clone()
}

async fn body(store: &Store, id: BodyId) -> store::Result<Vec<u8>> {
    let store = store.clone();
    tokio::task::spawn_blocking(move || Ok(store.body(&id)?.read_all()?.to_vec())).await.unwrap()
}

fn summaries(store: &Store) -> Vec<RealmSummary> {
    store.realms().into_iter().map(|realm| store.summary(realm).unwrap()).collect()
}

async fn forget(store: &Store, realm: RealmId, key: &str) {
    let key = key.as_bytes().to_vec();
    let deleting = store.transact(move |tx| {
        tx.delete(realm, key);
        Ok::<_, StoreError>(())
    });
    deleting.await.unwrap();
}

fn is_not_restored<T>(outcome: &store::Result<T>) -> bool {
    matches!(outcome, Err(StoreError::NotRestored { .. }))
}

/// A store with mail before and after its snapshot, shipped.
async fn archived(world: &World) -> (Store, BodyId) {
    let store = busy(world).await;
    write(&store, RealmId::DIRECTORY, "known", "to all", None).await;
    world.shipper(&store).catch_up().await.unwrap();
    world.snapshot(&store).await;
    let late = write(&store, account(1), "late", "yes", Some("the last message")).await.unwrap();
    write(&store, account(2), "m003", "changed", None).await;
    write(&store, account(9), "born", "after the snapshot", None).await;
    write(&store, RealmId::DIRECTORY, "known", "to more", None).await;
    world.shipper(&store).catch_up().await.unwrap();
    (store, late)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_is_served_while_others_are_still_to_come() {
    let world = World::new();
    let (store, late) = archived(&world).await;
    let (opened, mut serving) = serving::begin(world.wish("second"), quiet()).await.unwrap();
    let Opened { store: second, .. } = opened;
    assert!(second.is_partial());
    let directory = second.snapshot().get(RealmId::DIRECTORY, b"known").unwrap().unwrap();
    assert_eq!(&directory[..], b"to more");
    // Nothing else has come, and nothing of it is taken for empty.
    assert_eq!(second.realms(), [RealmId::DIRECTORY]);
    assert!(is_not_restored(&second.snapshot().get(account(1), b"late")));
    let writing = second.transact(|tx| {
        tx.put(account(1), b"late".to_vec(), b"no".to_vec());
        Ok::<_, StoreError>(())
    });
    assert!(is_not_restored(&writing.await));
    assert!(is_not_restored(&second.complete()));

    let (release, held) = watch::channel(false);
    let prepare: Prepare = Arc::new(move |realm| {
        let mut held = held.clone();
        async move {
            if realm == account(2) {
                held.wait_for(|released| *released).await.map_err(|error| error.to_string())?;
            }
            Ok(())
        }
        .boxed()
    });
    serving.start(prepare, CancellationToken::new());
    second.restored(account(1)).await.unwrap();
    assert_eq!(&second.snapshot().get(account(1), b"late").unwrap().unwrap()[..], b"yes");
    assert_eq!(body(&second, late).await.unwrap(), b"the last message");
    write(&second, account(1), "new", "while restoring", None).await;
    let other = second.clone();
    let waiting = tokio::spawn(async move { other.restored(account(2)).await });
    for realm in [0, 3, 4, 9].map(account) {
        second.restored(realm).await.unwrap();
    }
    assert!(!waiting.is_finished(), "not before it is prepared");
    release.send(true).unwrap();
    waiting.await.unwrap().unwrap();
    let progress = ended(&serving).await;
    assert!(progress.done && progress.lost.is_empty(), "{progress:?}");
    assert_eq!((progress.accounts, progress.accounts_total), (6, 6));
    assert!(!second.is_partial());
    forget(&second, account(1), "new").await;
    assert_eq!(all(&second), all(&store));
    serving.join();
    assert_sound(&world, &world.path("second"), second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_doors_wait_for_does_not_grow_with_the_mail() {
    let mut fetched = Vec::new();
    for messages in [10, 400] {
        let world = World::new();
        let store = world.open("primary");
        write(&store, RealmId::DIRECTORY, "known", "to all", None).await;
        for number in 0..messages {
            let mut noise = vec![0; 4096];
            blake3::Hasher::new().update(&u64::to_le_bytes(number)).finalize_xof().fill(&mut noise);
            write(&store, account((number % 5) as u32), &format!("m{number}"), "seen", Some(&hex::encode(noise))).await;
        }
        world.shipper(&store).catch_up().await.unwrap();
        world.snapshot(&store).await;
        let (opened, _serving) = serving::begin(world.wish("second"), quiet()).await.unwrap();
        fetched.push(opened.fetched);
    }
    assert!(fetched[1] < fetched[0] + 8_192, "{fetched:?} bytes for 40 times the mail");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_at_any_moment_costs_nothing_that_has_come_or_was_written() {
    let world = World::new();
    let (store, late) = archived(&world).await;
    let mut expected = Vec::new();
    for round in 0..4_u32 {
        let (opened, mut serving) = serving::begin(world.wish("second"), quiet()).await.unwrap();
        assert_eq!(opened.resumed, round > 0);
        let second = opened.store;
        let stop = CancellationToken::new();
        serving.start(nothing_more(), stop.clone());
        second.restored(account(round)).await.unwrap();
        write(&second, account(round), &format!("new {round}"), "kept", None).await;
        expected.push((account(round), format!("new {round}")));
        stop.cancel();
        let has_ended = ended(&serving).await.done;
        tokio::task::spawn_blocking(move || serving.join()).await.unwrap();
        second.close();
        drop(second);
        if has_ended {
            break;
        }
    }
    let second = if world.path("second").join("restoring").exists() {
        let (opened, mut serving) = serving::begin(world.wish("second"), quiet()).await.unwrap();
        serving.start(nothing_more(), CancellationToken::new());
        assert!(ended(&serving).await.done);
        tokio::task::spawn_blocking(move || serving.join()).await.unwrap();
        opened.store
    } else {
        world.open("second")
    };
    for (realm, key) in &expected {
        assert_eq!(&second.snapshot().get(*realm, key.as_bytes()).unwrap().unwrap()[..], b"kept", "{realm} {key}");
    }
    assert_eq!(body(&second, late).await.unwrap(), b"the last message");
    for (realm, key) in expected {
        forget(&second, realm, &key).await;
    }
    let digests = |store: &Store| summaries(store).into_iter().map(|own| (own.realm, own.digest)).collect::<Vec<_>>();
    assert_eq!(digests(&second), digests(&store));
    assert_sound(&world, &world.path("second"), second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_newest_snapshot_is_damaged_comes_from_the_older_one_and_the_log() {
    let world = World::new();
    let store = busy(&world).await;
    world.shipper(&store).catch_up().await.unwrap();
    world.snapshot(&store).await;
    let before = world.objects("chunks");
    world.pass(86_400_000);
    write(&store, account(3), "m001", "changed", None).await;
    world.shipper(&store).catch_up().await.unwrap();
    world.snapshot(&store).await;
    write(&store, account(3), "m002", "changed later", None).await;
    world.shipper(&store).catch_up().await.unwrap();
    for path in world.objects("chunks").into_iter().filter(|path| !before.contains(path)) {
        std::fs::write(path, b"not what it was").unwrap();
    }
    let said = Arc::new(Mutex::new(Vec::new()));
    let lines = said.clone();
    let says: serving::Says = Arc::new(move |event| {
        if let continuity::archive::Event::Line(line) = event {
            lines.lock().push(line);
        }
    });
    let (opened, mut serving) = serving::begin(world.wish("second"), says).await.unwrap();
    serving.start(nothing_more(), CancellationToken::new());
    assert!(ended(&serving).await.done);
    assert_eq!(all(&opened.store), all(&store));
    let said = said.lock().join("\n");
    assert!(said.contains("account 3: restored from the snapshot of commit"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_nowhere_is_named_and_the_others_are_there() {
    let world = World::new();
    archived(&world).await;
    let catalog = Catalog::read(&world.target()).await.unwrap();
    let newest = catalog.newest_good().unwrap();
    let manifest = catalog.manifest(&world.target(), newest).await.unwrap();
    let part = manifest.realms.iter().find(|part| part.realm == account(3).raw()).unwrap();
    for chunk in manifest.at(&part.chunks) {
        std::fs::remove_file(world.path("target").join(&chunk.name)).unwrap();
    }
    // Nor can it be had from the log's beginning.
    std::fs::remove_file(world.path("target").join(catalog.runs[0].to_string())).unwrap();

    let (opened, mut serving) = serving::begin(world.wish("second"), quiet()).await.unwrap();
    serving.start(nothing_more(), CancellationToken::new());
    let progress = ended(&serving).await;
    assert!(!progress.done && progress.lost.len() == 1, "{progress:?}");
    assert!(progress.lost[0].starts_with("account 3: "), "{progress:?}");
    let told = opened.store.restored(account(3)).await.unwrap_err().to_string();
    assert!(told.contains("could not be restored"), "{told}");
    for realm in [0, 1, 2, 4, 9].map(account) {
        opened.store.restored(realm).await.unwrap();
    }
    tokio::task::spawn_blocking(move || serving.join()).await.unwrap();
    opened.store.close();
    drop(opened);
    // For good, when asked.
    let wish = Wish { without_damaged: true, ..world.wish("second") };
    let (opened, mut serving) = serving::begin(wish, quiet()).await.unwrap();
    serving.start(nothing_more(), CancellationToken::new());
    assert!(ended(&serving).await.done);
    assert_eq!(opened.store.quarantined().len(), 1);
    assert!(opened.store.quarantined()[0].0 == account(3));
}
