//! Passwords, app passwords, two-step sign-in, throttling.

use std::time::Duration;

use directory::{AuthError, DirectoryOptions, Secret, Service, ThrottleLimits};

use crate::world::{PASSWORD, World};

#[tokio::test]
async fn any_address_of_an_account_logs_in_and_so_does_its_name_where_there_is_one_domain() {
    let world = World::new().await;
    world.directory.add_alias(world.bert, "b@here.example").await.unwrap();
    for login in ["bert@here.example", " BERT@here.example ", "b@here.example", "bert"] {
        assert_eq!(world.login(login, PASSWORD).await.unwrap().account, world.bert, "{login}");
    }
    world.directory.add_domain("there.example").await.unwrap();
    assert_eq!(world.login("bert", PASSWORD).await, Err(AuthError::Invalid));
    for unknown in ["carl@here.example", "bert@elsewhere.example", "", "@", "\u{0}"] {
        assert_eq!(world.login(unknown, PASSWORD).await, Err(AuthError::Invalid), "{unknown:?}");
    }
}

#[tokio::test]
async fn a_password_counts_until_it_is_changed_and_not_a_moment_longer() {
    let world = World::new().await;
    // Twice: the second is remembered.
    world.login("bert", PASSWORD).await.unwrap();
    world.login("bert", PASSWORD).await.unwrap();
    world.directory.set_password(world.bert, "another horse entirely").await.unwrap();
    assert_eq!(world.login("bert", PASSWORD).await, Err(AuthError::Invalid));
    world.login("bert", "another horse entirely").await.unwrap();
}

#[tokio::test]
async fn a_login_under_way_while_the_password_changes_is_not_remembered() {
    let world = World::new().await;
    for round in 0..4 {
        let (old, new) = (format!("old password {round}"), format!("new password {round}"));
        world.directory.set_password(world.bert, &old).await.unwrap();
        // Any of them may be let in yet, for they came before the change was done.
        let (_, _, changed) = tokio::join!(
            world.login("bert", &old),
            world.login("bert", &old),
            world.directory.set_password(world.bert, &new)
        );
        changed.unwrap();
        assert_eq!(world.login("bert", &old).await, Err(AuthError::Invalid));
    }
}

#[tokio::test]
async fn letters_composed_in_another_way_are_the_same_password() {
    let world = World::new().await;
    world.directory.set_password(world.bert, "gru\u{308}ne Bla\u{308}tter").await.unwrap();
    world.login("bert", "gr\u{fc}ne Bl\u{e4}tter").await.unwrap();
}

#[tokio::test]
async fn a_disabled_account_is_told_so_only_with_the_right_password() {
    let world = World::new().await;
    world.login("bert", PASSWORD).await.unwrap();
    world.directory.set_enabled(world.bert, false).await.unwrap();
    assert_eq!(world.login("bert", PASSWORD).await, Err(AuthError::Disabled));
    assert_eq!(world.login("bert", "wrong").await, Err(AuthError::Invalid));
    world.directory.set_enabled(world.bert, true).await.unwrap();
    world.login("bert", PASSWORD).await.unwrap();
    world.directory.delete_account(world.bert).await.unwrap();
    assert_eq!(world.login("bert", PASSWORD).await, Err(AuthError::Invalid));
}

#[tokio::test]
async fn an_app_password_works_for_programs_until_revoked_and_not_on_the_web() {
    let world = World::new().await;
    let directory = &world.directory;
    let app = directory.create_app_password(world.bert, "phone").await.unwrap();
    let other = directory.create_app_password(world.bert, "tablet").await.unwrap();
    let typed = app.password.replace('-', " ");
    assert_eq!(world.login("bert", &typed).await.unwrap().app_password, Some(app.id));
    let web = world.try_login("bert", Secret::Password(&app.password), Service::Web, "192.0.2.1").await;
    assert_eq!(web, Err(AuthError::Invalid));
    // The note of its use is a commit that comes before this one.
    directory.set_quota(world.bert, 0).await.unwrap();
    let list = directory.app_passwords(world.bert).unwrap();
    assert_eq!(list[0].last_used_ms, Some(world.now_ms()));
    assert_eq!((list[1].name.as_str(), list[1].last_used_ms), ("tablet", None));
    directory.revoke_app_password(world.bert, app.id).await.unwrap();
    assert_eq!(world.login("bert", &app.password).await, Err(AuthError::Invalid));
    world.login("bert", &other.password).await.unwrap();
    // Somebody else's is of no use.
    assert_eq!(world.login("anna", &other.password).await, Err(AuthError::Invalid));
}

pub fn code_of(secret: &str, now_ms: i64) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    totp_rs::Builder::new().with_secret(secret).build_noncompliant().generate((now_ms / 1000) as u64).to_string()
}

#[tokio::test]
async fn two_step_sign_in_takes_each_code_once() {
    let world = World::new().await;
    let directory = &world.directory;
    let enrolment = directory.enrol_totp(world.bert).await.unwrap();
    assert!(directory.enable_totp(world.bert, "000000x").await.is_err());
    assert!(!directory.totp_enabled(world.bert).unwrap());
    world.login("bert", PASSWORD).await.unwrap();
    let first = code_of(&enrolment.secret, world.now_ms());
    let peer = "192.0.2.1".parse().unwrap();
    assert_eq!(directory.scram("bert", peer, Service::Imap).await.unwrap().logins().len(), 1);
    let recovery = directory.enable_totp(world.bert, &first).await.unwrap();
    assert!(directory.scram("bert", peer, Service::Imap).await.unwrap().logins().is_empty(), "no way around the code");

    assert_eq!(world.login("bert", PASSWORD).await, Err(AuthError::TotpRequired));
    let web = async |code: &str| {
        world.try_login("bert", Secret::PasswordAndCode(PASSWORD, code), Service::Web, "192.0.2.1").await
    };
    assert_eq!(web(&first).await, Err(AuthError::Invalid), "the code of the enrolment was used");
    world.pass_ms(60_000);
    let second = code_of(&enrolment.secret, world.now_ms());
    web(&second).await.unwrap();
    assert_eq!(web(&second).await, Err(AuthError::Invalid), "replayed");
    assert_eq!(web(&first).await, Err(AuthError::Invalid), "older");
    web(&recovery[3]).await.unwrap();
    assert_eq!(web(&recovery[3]).await, Err(AuthError::Invalid), "a recovery code is good once");
    let wrong = world.try_login("bert", Secret::PasswordAndCode("wrong", &recovery[4]), Service::Web, "192.0.2.1");
    assert_eq!(wrong.await, Err(AuthError::Invalid));
    web(&recovery[4]).await.unwrap();
    directory.disable_totp(world.bert).await.unwrap();
    world.login("bert", PASSWORD).await.unwrap();
}

/// A throttle that looks at so many guesses and makes nobody wait: who would have to is refused.
fn limits(per_login: u32, per_network: u32) -> DirectoryOptions {
    let throttle = ThrottleLimits {
        per_login,
        per_network,
        per_login_from_elsewhere: per_login,
        pace: Duration::from_secs(3600),
        patience: Duration::ZERO,
        window: Duration::from_secs(3600),
    };
    DirectoryOptions { throttle, ..DirectoryOptions::default() }
}

#[tokio::test]
async fn guessing_is_counted_by_account_whatever_it_is_called() {
    let world = World::with(limits(3, 1000)).await;
    world.directory.add_alias(world.bert, "b@here.example").await.unwrap();
    for (number, login) in ["bert", "b@here.example", "BERT@here.example"].into_iter().enumerate() {
        let peer = format!("192.0.2.{number}");
        let guess = format!("guess {number}");
        let guess = world.try_login(login, Secret::Password(&guess), Service::Imap, &peer).await;
        assert_eq!(guess, Err(AuthError::Invalid));
    }
    let more = world.try_login("bert", Secret::Password(PASSWORD), Service::Smtp, "192.0.2.9").await;
    assert!(matches!(more, Err(AuthError::Throttled { retry_after }) if retry_after > Duration::from_secs(3000)));
    world.try_login("anna", Secret::Password(PASSWORD), Service::Imap, "192.0.2.9").await.unwrap();
}

#[tokio::test]
async fn many_guesses_at_once_are_no_way_around_the_throttle() {
    let world = World::with(limits(4, 1000)).await;
    let attempts: Vec<_> = (0..40)
        .map(|number| {
            let directory = world.directory.clone();
            tokio::spawn(async move {
                let guess = format!("guess {number}");
                directory
                    .authenticate(directory::LoginAttempt {
                        login: "bert",
                        secret: Secret::Password(&guess),
                        peer: "192.0.2.1".parse().unwrap(),
                        service: Service::Imap,
                    })
                    .await
            })
        })
        .collect();
    let mut looked_at = 0;
    for attempt in attempts {
        looked_at += usize::from(attempt.await.unwrap() == Err(AuthError::Invalid));
    }
    // Four before the network has failed, and four after that.
    assert!((4..=8).contains(&looked_at), "{looked_at} guesses were looked at");
}

#[tokio::test]
async fn scram_knows_the_password_and_all_app_passwords_until_a_code_is_asked_for() {
    let world = World::new().await;
    let peer = "192.0.2.1".parse().unwrap();
    let directory = world.directory.clone();
    let who = async || {
        let attempt = directory.scram("bert", peer, Service::Imap).await.unwrap();
        assert_eq!(attempt.logins().len(), attempt.keys().secrets.len());
        assert!(attempt.logins().iter().all(|login| login.account == world.bert));
        attempt.logins().iter().map(|login| login.app_password).collect::<Vec<_>>()
    };
    assert_eq!(who().await, [None]);
    let phone = world.directory.create_app_password(world.bert, "phone").await.unwrap();
    let tablet = world.directory.create_app_password(world.bert, "tablet").await.unwrap();
    assert_eq!(who().await, [None, Some(phone.id), Some(tablet.id)]);
    let before = world.directory.scram("bert", peer, Service::Imap).await.unwrap().keys().clone();
    assert_eq!(
        doorkit::sasl::ScramKeys::with(&tablet.password, &before.salt, before.iterations).secrets[0],
        before.secrets[2]
    );
    world.directory.set_password(world.bert, "another password").await.unwrap();
    let after = world.directory.scram("bert", peer, Service::Imap).await.unwrap().keys().clone();
    assert_eq!((&after.salt, &after.secrets[1..]), (&before.salt, &before.secrets[1..]), "app passwords go on");
    assert_ne!(after.secrets[0], before.secrets[0]);
    assert_eq!(
        doorkit::sasl::ScramKeys::with("another password", &after.salt, after.iterations).secrets[0],
        after.secrets[0]
    );
    world.directory.revoke_app_password(world.bert, phone.id).await.unwrap();
    assert_eq!(who().await, [None, Some(tablet.id)]);
    world.directory.set_enabled(world.bert, false).await.unwrap();
    assert_eq!(who().await, []);
}
