//! What ends which access, and that nothing is added to an account that was deleted.

use std::time::Duration;

use directory::{Access, AppPasswordId, DirectoryError, Ended, Role, Secret, Service, Settings};
use store::{RealmId, StoreError};

use crate::world::{PASSWORD, World, address};

const PATIENCE: Duration = Duration::from_secs(30);
const LOGIN: &str = "anna@here.example";

/// What is open: by the password on IMAP, by an app password, and in two browsers, the second an administrator's.
struct Open {
    app: AppPasswordId,
    token: String,
    all: [(&'static str, Access); 4],
}

async fn open(world: &World) -> Open {
    let directory = &world.directory;
    let made = directory.create_app_password(world.anna, "phone").await.unwrap();
    directory.create_app_password(world.anna, "tablet").await.unwrap();
    let password = world.login(LOGIN, PASSWORD).await.unwrap();
    let app = world.login(LOGIN, &made.password).await.unwrap();
    let token = directory.create_session(world.anna, "192.0.2.1", "x").await.unwrap();
    let session = directory.session(&token).unwrap().unwrap();
    let all = [
        ("password", directory.access(password)),
        ("app password", directory.access(app)),
        ("session", directory.session_access(&session, false)),
        ("administrator", directory.session_access(&session, true)),
    ];
    Open { app: made.id, token, all }
}

async fn second_admin(world: &World) {
    world.directory.set_role(world.bert, Role::Admin).await.unwrap();
}

async fn turn_totp_on(world: &World) {
    let enrolment = world.directory.enrol_totp(world.anna).await.unwrap();
    let code = crate::logins::code_of(&enrolment.secret, world.now_ms());
    world.directory.enable_totp(world.anna, &code).await.unwrap();
}

/// Does it, and tells why each access has ended, or that it goes on.
async fn after(what: &str) -> Vec<Option<Ended>> {
    let world = World::new().await;
    second_admin(&world).await;
    let Open { app, token, all } = open(&world).await;
    let directory = &world.directory;
    // They wait before it is done, as doors do.
    let waiting: Vec<_> =
        all.clone().into_iter().map(|(_, mut access)| tokio::spawn(async move { access.ended().await })).collect();
    let id = world.anna;
    let session = directory.session(&token).unwrap().unwrap();
    match what {
        "password" => directory.set_password(id, "another good one").await.unwrap(),
        "same password" => directory.set_password(id, PASSWORD).await.unwrap(),
        "app password" => directory.revoke_app_password(id, app).await.unwrap(),
        "app password and a new one" => {
            let tablet = directory.app_passwords(id).unwrap().into_iter().find(|one| one.id != app).unwrap();
            directory.revoke_app_password(id, tablet.id).await.unwrap();
            directory.revoke_app_password(id, app).await.unwrap();
            assert_eq!(directory.create_app_password(id, "phone").await.unwrap().id, app, "the number comes again");
        }
        "second factor" => turn_totp_on(&world).await,
        "disabled" => directory.set_enabled(id, false).await.unwrap(),
        "deleted" => directory.delete_account(id).await.unwrap(),
        "signed out" => directory.end_session(id, session.id).await.unwrap(),
        "signed out everywhere" => directory.end_all_sessions(id, None).await.unwrap(),
        "signed out elsewhere" => directory.end_all_sessions(id, Some(session.id)).await.unwrap(),
        "role" => directory.set_role(id, Role::User).await.unwrap(),
        "other app password" => {
            let other = directory.app_passwords(id).unwrap().into_iter().find(|one| one.id != app).unwrap();
            directory.revoke_app_password(id, other.id).await.unwrap();
        }
        "nothing that counts" => {
            directory.set_name(id, "Anna B.").await.unwrap();
            directory.set_quota(id, 1 << 30).await.unwrap();
            directory.set_settings(id, Settings { signature: "x".to_owned(), ..Settings::default() }).await.unwrap();
            directory.add_alias(id, "a@here.example").await.unwrap();
            directory.create_app_password(id, "desk").await.unwrap();
            directory.create_session(id, "192.0.2.9", "y").await.unwrap();
            directory.enrol_totp(id).await.unwrap();
            directory.audit(Some(id), "x", "y", "z").await.unwrap();
            directory.set_password(world.bert, "another good one").await.unwrap();
            directory.delete_account(world.bert).await.unwrap();
        }
        other => panic!("{other}"),
    }
    let mut seen = Vec::new();
    for ((_, access), waiting) in all.iter().zip(waiting) {
        let over = access.is_over();
        match over {
            Some(_) => {
                let told = tokio::time::timeout(PATIENCE, waiting).await.expect("it is told").unwrap();
                assert_eq!(Some(told), over, "{what}");
            }
            None => {
                assert!(!waiting.is_finished(), "{what}");
                waiting.abort();
            }
        }
        seen.push(over);
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_opened_ends_when_what_it_was_opened_with_no_longer_holds() {
    use Ended::{AppPasswordRevoked, Deleted, Disabled, PasswordChanged, RoleLost, SecondFactor, SignedOut};
    // What is done, and what that ends: by password, by app password, a browser, an administrator's browser.
    let table: [(&str, [Option<Ended>; 4]); 13] = [
        ("password", [Some(PasswordChanged), None, Some(SignedOut), Some(SignedOut)]),
        ("same password", [Some(PasswordChanged), None, Some(SignedOut), Some(SignedOut)]),
        ("app password", [None, Some(AppPasswordRevoked), None, None]),
        ("app password and a new one", [None, Some(AppPasswordRevoked), None, None]),
        ("second factor", [Some(SecondFactor), None, None, None]),
        ("disabled", [Some(Disabled); 4]),
        ("deleted", [Some(Deleted); 4]),
        ("signed out", [None, None, Some(SignedOut), Some(SignedOut)]),
        ("signed out everywhere", [None, None, Some(SignedOut), Some(SignedOut)]),
        ("signed out elsewhere", [None; 4]),
        ("role", [None, None, None, Some(RoleLost)]),
        ("other app password", [None; 4]),
        ("nothing that counts", [None; 4]),
    ];
    for (what, expected) in table {
        assert_eq!(after(what).await, expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_between_the_login_and_its_access_ends_it_at_once() {
    let world = World::new().await;
    let login = world.login("bert@here.example", PASSWORD).await.unwrap();
    world.directory.set_password(world.bert, "another good one").await.unwrap();
    let mut access = world.directory.access(login);
    assert_eq!(access.is_over(), Some(Ended::PasswordChanged));
    assert_eq!(tokio::time::timeout(PATIENCE, access.ended()).await.unwrap(), Ended::PasswordChanged);
    let again = world.try_login("bert@here.example", Secret::Password("another good one"), Service::Pop3, "192.0.2.1");
    assert_eq!(world.directory.access(again.await.unwrap()).is_over(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_takes_no_commit_of_anyone_until_it_is_back() {
    let world = World::new().await;
    let bert = world.bert;
    let put = |realm: RealmId, key: u8| {
        world.store.transact(move |tx| {
            tx.put(realm, vec![key], b"x".to_vec());
            Ok::<_, StoreError>(())
        })
    };
    let is_closed = |result: Result<(), StoreError>| match result {
        Err(StoreError::RealmClosed { realm, .. }) => realm == bert.realm(),
        _ => false,
    };
    put(bert.realm(), 0x31).await.unwrap();
    world.pass_ms(1_000);
    let before = world.store.seq();
    world.directory.delete_account(bert).await.unwrap();
    assert!(world.store.seq() > before);
    let seq = world.store.seq();
    for key in [0x04, 0x10, 0x31, 0x40, 0x50, 0x60] {
        assert!(is_closed(put(bert.realm(), key).await), "{key:#x}");
    }
    // Not even beside what is fine: all or nothing.
    let anna = world.anna.realm();
    let both = world.store.transact(move |tx| {
        tx.put(anna, vec![0x32], b"x".to_vec());
        tx.put(bert.realm(), vec![0x32], b"x".to_vec());
        Ok::<_, StoreError>(())
    });
    assert!(is_closed(both.await));
    let refused = |result: Result<(), DirectoryError>| {
        assert!(matches!(result, Err(DirectoryError::Store(StoreError::RealmClosed { .. }))), "{result:?}");
    };
    refused(world.directory.set_settings(bert, Settings { theme: "dark".to_owned(), ..Settings::default() }).await);
    refused(world.directory.create_session(bert, "192.0.2.1", "x").await.map(drop));
    refused(world.directory.create_app_password(bert, "x").await.map(drop));
    refused(world.directory.audit(Some(bert), "x", "y", "z").await);
    assert_eq!(world.store.seq(), seq, "nothing was written");
    // What clears it away goes on.
    let clear = world.store.transact(move |tx| {
        tx.delete(bert.realm(), vec![0x31]);
        Ok::<_, StoreError>(())
    });
    clear.await.unwrap();
    let deleted_ms = world.directory.deleted_account(&address("bert@here.example")).unwrap().unwrap().1;
    world.directory.bring_back(bert, deleted_ms).await.unwrap();
    put(bert.realm(), 0x33).await.unwrap();
}
