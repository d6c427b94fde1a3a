//! Browsers that are signed in.

use directory::{Directory, DirectoryOptions};
use store::{RealmId, Seq, StoreError, Tx};

use crate::world::{DAY_MS, PASSWORD, World};

#[tokio::test]
async fn a_session_lasts_while_it_is_used_and_ends_in_the_end() {
    let world = World::new().await;
    let directory = &world.directory;
    let token = directory.create_session(world.bert, "192.0.2.1", "Firefox").await.unwrap();
    let alive = || directory.session(&token).unwrap();
    assert_eq!(alive().unwrap().account, world.bert);
    // The note of its use is a commit before the next one.
    for _ in 0..8 {
        world.pass_ms(10 * DAY_MS);
        assert!(alive().is_some());
        directory.set_quota(world.bert, 0).await.unwrap();
    }
    world.pass_ms(11 * DAY_MS);
    assert!(alive().is_none(), "older than 90 days");

    let token = directory.create_session(world.bert, "192.0.2.1", "Firefox").await.unwrap();
    world.pass_ms(15 * DAY_MS);
    assert!(directory.session(&token).unwrap().is_none(), "not used for 14 days");
}

#[tokio::test]
async fn a_new_password_ends_all_sessions_and_so_does_being_disabled() {
    let world = World::new().await;
    let directory = &world.directory;
    let begin = || directory.create_session(world.bert, "192.0.2.1", "Firefox");
    let token = begin().await.unwrap();
    directory.set_password(world.bert, "another horse entirely").await.unwrap();
    assert!(directory.session(&token).unwrap().is_none());
    let token = begin().await.unwrap();
    directory.set_enabled(world.bert, false).await.unwrap();
    directory.set_enabled(world.bert, true).await.unwrap();
    assert!(directory.session(&token).unwrap().is_none());
}

#[tokio::test]
async fn sessions_are_listed_without_opening_them_and_ended_one_by_one() {
    let world = World::new().await;
    let directory = &world.directory;
    let first = directory.create_session(world.bert, "192.0.2.1", "Firefox").await.unwrap();
    world.pass_ms(1);
    let second = directory.create_session(world.bert, "192.0.2.2", &"long name ".repeat(100)).await.unwrap();
    let list = directory.sessions(world.bert).unwrap();
    assert_eq!(list.iter().map(|session| session.peer.as_str()).collect::<Vec<_>>(), ["192.0.2.2", "192.0.2.1"]);
    directory.end_session(world.bert, list[1].id).await.unwrap();
    assert!(directory.session(&first).unwrap().is_none());
    assert!(directory.session(&second).unwrap().is_some());
    for forged in ["", "AAAA", "!", &second[1..], &format!("{second}A")] {
        assert!(directory.session(forged).unwrap().is_none());
    }
}

#[tokio::test]
async fn people_sign_in_while_the_disk_is_full_and_the_session_stays_when_there_is_room() {
    let world = World::new().await;
    let directory = &world.directory;
    world.disk.fill(true);
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(directory.create_session(world.bert, "192.0.2.1", "Firefox").await.unwrap());
    }
    let session = |token: &str| directory.session(token).unwrap();
    assert!(tokens.iter().all(|token| session(token).is_some_and(|session| session.account == world.bert)));
    assert_eq!(directory.sessions(world.bert).unwrap().len(), 3);
    // One is ended, and stays so.
    let ended = session(&tokens[0]).unwrap().id;
    directory.end_session(world.bert, ended).await.unwrap();
    assert!(session(&tokens[0]).is_none());
    world.disk.fill(false);
    // Kept at the next use, by a commit that nobody waits for.
    assert!(session(&tokens[1]).is_some() && session(&tokens[2]).is_some() && session(&tokens[0]).is_none());
    directory.set_quota(world.bert, 0).await.unwrap();
    assert_eq!(directory.sessions(world.bert).unwrap().len(), 2);
    // A process that starts now has them.
    let store = world.store.clone();
    let next =
        tokio::task::spawn_blocking(|| Directory::new(store, DirectoryOptions::default())).await.unwrap().unwrap();
    assert!(tokens[1..].iter().all(|token| next.session(token).unwrap().is_some()));
    // A new password ends those in memory too.
    world.disk.fill(true);
    let token = directory.create_session(world.bert, "192.0.2.1", "Firefox").await.unwrap();
    directory.set_password(world.bert, "another horse entirely").await.unwrap_err();
    world.disk.fill(false);
    directory.set_password(world.bert, "another horse entirely").await.unwrap();
    assert!(session(&token).is_none() && session(&tokens[1]).is_none());
}

#[tokio::test]
async fn signing_in_does_not_wait_for_another_machine() {
    let world = World::new().await;
    world.store.hold_acknowledgements(true);
    let token = world.directory.create_session(world.bert, "192.0.2.1", "Firefox").await.unwrap();
    assert!(world.directory.session(&token).unwrap().is_some());
    assert_eq!(world.store.waiting_for_acknowledgement(), 0);
}

/// Whether the commits of what was just done only keep books; of each.
async fn upkeep_of(world: &World, done: impl Future<Output = ()>) -> Vec<bool> {
    let before = world.store.seq();
    done.await;
    // What nobody waits for is committed before this.
    let last = |tx: &mut Tx<'_>| {
        tx.put(RealmId::QUEUE, b"\x7flast".to_vec(), Vec::new());
        Ok::<_, StoreError>(())
    };
    world.store.transact(last).await.unwrap();
    let end = world.store.seq();
    let mut follower = world.store.follow(Seq(before.0 + 1)).unwrap();
    let mut found = Vec::new();
    while follower.cursor() < end {
        found.push(follower.next().await.unwrap().upkeep);
    }
    found
}

#[tokio::test]
async fn to_log_in_and_out_keeps_books_and_to_change_something_does_not() {
    let world = World::new().await;
    let (directory, bert) = (&world.directory, world.bert);
    let peer = "192.0.2.1".parse().unwrap();
    // Each is the first of its kind, and so is written down.
    let books = upkeep_of(&world, async {
        world.login("bert", PASSWORD).await.unwrap();
        world.pass_ms(2 * DAY_MS);
        world.login("bert", PASSWORD).await.unwrap();
        let token = directory.create_session(bert, "192.0.2.1", "Firefox").await.unwrap();
        directory.note_browser(bert, peer, "Firefox").await.unwrap();
        directory.note_browser(bert, peer, "Another").await.unwrap();
        let session = directory.session(&token).unwrap().unwrap().id;
        directory.confirm_session(bert, session).await.unwrap();
        world.pass_ms(2 * DAY_MS);
        assert!(directory.session(&token).unwrap().is_some());
        directory.audit(Some(bert), "bert", "signed in", "192.0.2.1").await.unwrap();
        directory.end_session(bert, session).await.unwrap();
    })
    .await;
    assert_eq!(books, vec![true; 9]);
    let acts = upkeep_of(&world, async {
        let made = directory.create_app_password(bert, "phone").await.unwrap();
        directory.revoke_app_password(bert, made.id).await.unwrap();
        directory.set_password(bert, "another horse entirely").await.unwrap();
        directory.enrol_totp(bert).await.unwrap();
        directory.disable_totp(bert).await.unwrap();
        directory.set_name(bert, "Bert").await.unwrap();
        directory.set_quota(bert, 1 << 30).await.unwrap();
        directory.add_alias(bert, "b@here.example").await.unwrap();
        directory.set_enabled(bert, false).await.unwrap();
    })
    .await;
    assert!(acts.len() >= 9 && acts.iter().all(|upkeep| !upkeep), "{acts:?}");
}
