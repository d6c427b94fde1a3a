//! A former primary that returns so late that the log of the new one no longer reaches back to where they parted.

mod full;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::world::{World, account, write};
use continuity::standby::{
    HowToPromote, Mode, Primary, PrimaryOptions, Rules, Standby, StandbyOptions, StoreOptionsMaker, Tripwires,
    promote_folder,
};
use store::{Seq, Store, StoreOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const DAY_MS: i64 = 86_400_000;

fn options(world: &World) -> StoreOptions {
    StoreOptions { segment_bytes: 1_000, ..world.options() }
}

/// Serves standbys of a store; gives where, a code, and what ends it.
async fn serve(store: &Store) -> (Arc<Primary>, SocketAddr, CancellationToken) {
    let how = PrimaryOptions { mode: Mode::Async, away_after: Duration::from_secs(5) };
    let primary = Primary::open(store.clone(), &store.dir().join("standby"), how).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, end) = (listener.local_addr().unwrap(), CancellationToken::new());
    tokio::spawn(primary.clone().serve(listener, end.clone()));
    (primary, address, end)
}

fn follows(world: &World, name: &str) -> StandbyOptions {
    let options = options(world);
    StandbyOptions {
        dir: world.path(name),
        store: StoreOptionsMaker(Arc::new(move || options.clone())),
        name: name.to_owned(),
        apply_delay: Duration::ZERO,
        tripwires: Tripwires::new(realm::Parts::new(&[&mailstore::MailPart])),
        rules: Rules::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_former_primary_has_is_kept_however_late_it_returns() {
    let world = World::new();
    let old = Store::open(&world.path("old"), options(&world)).unwrap();
    for number in 0..10 {
        write(&old, account(1), &format!("shared {number}"), "yes", Some("a message of both")).await;
    }
    let (primary, address, end) = serve(&old).await;
    let (standby, _) =
        Standby::open(follows(&world, "new"), Some(&address.to_string()), Some(&primary.new_code()), false)
            .await
            .unwrap();
    let stop = CancellationToken::new();
    let running = {
        let (standby, stop) = (standby.clone(), stop.clone());
        tokio::spawn(async move { standby.run(&stop).await })
    };
    while standby.status().applied < Seq(10) {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.unwrap().unwrap();
    end.cancel();
    drop((standby, primary));
    // They part: three commits are only here.
    for number in 0..3 {
        write(&old, account(1), &format!("only old {number}"), "yes", Some(&format!("message {number} of one"))).await;
    }
    old.close();
    drop(old);
    let (dir, how) = (world.path("new"), HowToPromote::default());
    let at = options(&world);
    tokio::task::spawn_blocking(move || {
        promote_folder(&dir, at, &Tripwires::new(realm::Parts::new(&[&mailstore::MailPart])), how)
    })
    .await
    .unwrap()
    .unwrap();
    let new = Store::open(&world.path("new"), options(&world)).unwrap();
    for round in 0..3 {
        for number in 0..20 {
            write(&new, account(2), &format!("new {round} {number}"), "yes", None).await;
        }
        world.pass(20 * DAY_MS);
        new.checkpoint(&|| true).unwrap();
    }
    let first = new.drop_old_log().unwrap().first;
    assert!(first > Seq(14), "the log of the new one begins at {first}, long after they parted");

    let (primary, address, end) = serve(&new).await;
    let (address, code) = (address.to_string(), primary.new_code());
    let (back, rejoined) = Standby::open(follows(&world, "old"), Some(&address), Some(&code), true).await.unwrap();
    let rejoined = rejoined.unwrap();
    assert_eq!((rejoined.common, rejoined.unshared, rejoined.messages), (Seq(10), 3, 3));
    assert!(rejoined.folder.unwrap().is_dir());
    assert!(back.store().is_none(), "it has to copy everything");
    drop(back);
    // Cut off while its folder was being emptied it goes on with that.
    std::fs::write(world.path("old").join("standby/emptying"), b"").unwrap();
    std::fs::create_dir_all(world.path("old").join("log")).unwrap();
    std::fs::write(world.path("old").join("format"), b"1").unwrap();
    assert!(Standby::open(follows(&world, "old"), Some(&address), None, false).await.is_err());
    let (_, rejoined) = Standby::open(follows(&world, "old"), Some(&address), None, true).await.unwrap();
    assert_eq!(rejoined, None);
    assert!(!world.path("old").join("log").exists() && !world.path("old").join("format").exists());
    end.cancel();
    new.close();
}
