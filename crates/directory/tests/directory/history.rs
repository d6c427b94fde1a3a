//! The history of sign-ins: what it lists, what it writes, what people are told of.

use directory::{AuthError, LoginAttempt, NewSignIn, Scopes, Secret, Service, SignIn, SignInResult};

use crate::world::{DAY_MS, PASSWORD, World};

const HOME: &str = "192.0.2.1";
const AWAY: &str = "198.51.100.1";

async fn tried(world: &World, service: Service, password: &str, peer: &str) -> Result<(), AuthError> {
    world.try_login("bert", Secret::Password(password), service, peer).await.map(drop)
}

fn listed(world: &World) -> Vec<SignIn> {
    world.directory.sign_ins(world.bert).unwrap()
}

async fn written(world: &World) -> Vec<NewSignIn> {
    world.directory.write_sign_ins(true).await
}

#[tokio::test]
async fn every_door_and_every_end_is_listed_before_and_after_it_is_written() {
    let world = World::new().await;
    for service in Service::ALL {
        tried(&world, service, PASSWORD, HOME).await.unwrap();
        assert_eq!(tried(&world, service, "wrong", AWAY).await, Err(AuthError::Invalid));
    }
    let app = world.directory.create_scoped_app_password(world.bert, "phone", Scopes::of(&[Service::Smtp]).unwrap());
    let app = app.await.unwrap();
    tried(&world, Service::Smtp, &app.password, HOME).await.unwrap();
    let refused = tried(&world, Service::Imap, &app.password, HOME).await;
    assert_eq!(refused, Err(AuthError::NotAllowed { service: Service::Imap }));
    world.directory.set_enabled(world.bert, false).await.unwrap();
    assert_eq!(tried(&world, Service::Pop3, PASSWORD, HOME).await, Err(AuthError::Disabled));
    let before = listed(&world);
    let count = |service, result| {
        let of_it = before.iter().filter(|one| one.service == Some(service) && one.result == result);
        of_it.map(|one| one.count).sum::<u64>()
    };
    for service in Service::ALL {
        let signed_in = if service == Service::Smtp { 2 } else { 1 };
        assert_eq!(
            (count(service, SignInResult::Ok), count(service, SignInResult::Wrong)),
            (signed_in, 1),
            "{service:?}"
        );
    }
    assert_eq!((count(Service::Imap, SignInResult::NotAllowed), count(Service::Pop3, SignInResult::Disabled)), (1, 1));
    let by_app: Vec<_> = before.iter().filter_map(|one| one.app_password.clone()).collect();
    assert_eq!(by_app, ["phone"]);
    assert!(before.iter().all(|one| one.peer.is_some() && !one.new));
    written(&world).await;
    assert_eq!(listed(&world), before);
    assert!(world.directory.sign_ins(world.anna).unwrap().is_empty(), "each sees their own");
}

#[tokio::test]
async fn an_unknown_login_is_in_nobodys_history() {
    let world = World::new().await;
    for login in ["carl@here.example", "", "bert@elsewhere.example"] {
        let attempt = world.try_login(login, Secret::Password(PASSWORD), Service::Imap, HOME).await;
        assert_eq!(attempt, Err(AuthError::Invalid));
    }
    let before = world.store.seq();
    assert!(written(&world).await.is_empty());
    assert_eq!(world.store.seq(), before, "nothing is written");
}

#[tokio::test]
async fn a_program_that_polls_is_one_row_a_day_and_few_commits() {
    let world = World::new().await;
    tried(&world, Service::Imap, PASSWORD, HOME).await.unwrap();
    world.directory.write_sign_ins(false).await;
    let before = world.store.seq();
    for _ in 0..100 {
        tried(&world, Service::Imap, PASSWORD, HOME).await.unwrap();
        world.directory.write_sign_ins(false).await;
    }
    assert_eq!(world.store.seq(), before, "within ten minutes nothing is written again");
    assert_eq!(listed(&world)[0].count, 101);
    world.pass_ms(11 * 60_000);
    world.directory.write_sign_ins(false).await;
    assert_eq!((listed(&world).len(), listed(&world)[0].count), (1, 101));
    for _ in 0..3 {
        world.pass_ms(DAY_MS);
        tried(&world, Service::Imap, PASSWORD, HOME).await.unwrap();
    }
    written(&world).await;
    assert_eq!(listed(&world).len(), 4);
    world.pass_ms(12 * DAY_MS);
    assert_eq!(listed(&world).len(), 3, "two weeks are over for the first");
    tried(&world, Service::Imap, PASSWORD, HOME).await.unwrap();
    written(&world).await;
    let rows = world.store.snapshot();
    let stored = store::Read::prefix(&rows, world.bert.realm(), &[0x08], store::Order::Ascending).unwrap().count();
    assert_eq!(stored, 1 + 4, "the first is gone from the store too");
}

#[tokio::test]
async fn failures_from_everywhere_fill_no_account_and_hide_no_sign_in() {
    let world = World::new().await;
    let (bert, directory) = (world.bert, &world.directory);
    tried(&world, Service::Imap, PASSWORD, HOME).await.unwrap();
    for network in 0..200 {
        // The same guess again: known to be wrong, so it costs no patience.
        let peer = format!("10.{}.{network}.1", network % 7);
        assert_eq!(tried(&world, Service::Smtp, "wrong", &peer).await, Err(AuthError::Invalid));
    }
    written(&world).await;
    let all = directory.sign_ins(bert).unwrap();
    assert!(all.len() <= 22, "{}", all.len());
    assert_eq!(all.iter().map(|one| one.count).sum::<u64>(), 201, "each is counted");
    let many: Vec<_> = all.iter().filter(|one| one.service.is_none()).collect();
    assert_eq!((many.len(), many[0].peer, many[0].result), (1, None, SignInResult::Wrong));
    assert_eq!(all.iter().filter(|one| one.result == SignInResult::Ok).count(), 1);
}

#[tokio::test]
async fn accounts_share_commits_and_one_that_is_closed_is_not_the_others_trouble() {
    let world = World::new().await;
    let mut accounts = Vec::new();
    for number in 0..6 {
        let new = crate::world::new_account(&format!("n{number}@here.example"), directory::Role::User);
        accounts.push(world.directory.create_account(new).await.unwrap());
    }
    for (deleted, most) in [(None, 1), (Some(4), 6)] {
        for number in 0..6 {
            let (login, peer) = (format!("n{number}"), format!("10.0.{number}.1"));
            let wrong = world.try_login(&login, Secret::Password("wrong"), Service::Imap, &peer).await;
            assert_eq!(wrong, Err(AuthError::Invalid));
        }
        if let Some(deleted) = deleted {
            world.directory.delete_account(accounts[deleted]).await.unwrap();
        }
        let before = world.store.seq();
        written(&world).await;
        let commits = world.store.seq().0 - before.0;
        assert!((1..=most).contains(&commits), "{commits}");
        world.pass_ms(DAY_MS);
    }
    for (at, account) in accounts.iter().enumerate() {
        assert_eq!(world.directory.sign_ins(*account).unwrap().len(), if at == 4 { 1 } else { 2 }, "{at}");
    }
}

#[tokio::test]
async fn a_full_disk_loses_no_sign_in() {
    let world = World::new().await;
    tried(&world, Service::Imap, PASSWORD, HOME).await.unwrap();
    world.disk.fill(true);
    assert_eq!(tried(&world, Service::Imap, "wrong", HOME).await, Err(AuthError::Invalid));
    written(&world).await;
    assert_eq!(listed(&world).len(), 2, "still in memory");
    world.disk.fill(false);
    written(&world).await;
    assert_eq!(listed(&world).iter().map(|one| one.count).sum::<u64>(), 2);
}

#[tokio::test]
async fn the_owner_is_told_of_a_new_network_once_a_day_and_never_of_the_first() {
    let world = World::new().await;
    tried(&world, Service::Imap, PASSWORD, HOME).await.unwrap();
    assert_eq!(written(&world).await, [], "the first sign-in");
    // The line at home has another address now.
    tried(&world, Service::Imap, PASSWORD, "192.0.2.77").await.unwrap();
    assert_eq!(written(&world).await, []);
    world.pass_ms(60_000);
    tried(&world, Service::Imap, PASSWORD, AWAY).await.unwrap();
    let told = written(&world).await;
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].account, told[0].sign_in.peer), (world.bert, Some(AWAY.parse().unwrap())));
    // More of the same day are listed as new, and no mail is sent about them.
    for network in 1..5 {
        tried(&world, Service::Smtp, PASSWORD, &format!("203.0.{network}.1")).await.unwrap();
        assert_eq!(written(&world).await, []);
    }
    assert_eq!(listed(&world).iter().filter(|one| one.new).count(), 5);
    let one = listed(&world).into_iter().find(|one| one.peer == Some(AWAY.parse().unwrap())).unwrap();
    world.directory.know_sign_ins(world.bert, Some(&one.id)).await.unwrap();
    assert_eq!(listed(&world).iter().filter(|one| one.new).count(), 4);
    world.directory.know_sign_ins(world.bert, None).await.unwrap();
    assert!(listed(&world).iter().all(|one| !one.new));
    world.pass_ms(DAY_MS);
    tried(&world, Service::Imap, PASSWORD, AWAY).await.unwrap();
    assert_eq!(written(&world).await, [], "known by now");
    tried(&world, Service::Imap, PASSWORD, "203.0.113.9").await.unwrap();
    assert_eq!(written(&world).await.len(), 1);
    // A wrong password is no sign-in.
    world.pass_ms(2 * DAY_MS);
    assert!(tried(&world, Service::Imap, "wrong", "203.0.200.9").await.is_err());
    assert_eq!(written(&world).await, []);
}

#[tokio::test]
async fn the_first_mail_program_with_the_password_itself_is_told_once_an_account_has_settled() {
    for (days, told) in [(1, 0), (8, 1)] {
        let world = World::new().await;
        let web = |peer: &'static str| world.try_login("bert", Secret::Password(PASSWORD), Service::Web, peer);
        web(HOME).await.unwrap();
        world.directory.note_browser(world.bert, HOME.parse().unwrap(), "Firefox").await.unwrap();
        written(&world).await;
        world.pass_ms(days * DAY_MS);
        web(HOME).await.unwrap();
        let app = world.directory.create_app_password(world.bert, "phone").await.unwrap();
        tried(&world, Service::Imap, &app.password, HOME).await.unwrap();
        assert_eq!(written(&world).await, [], "that there is an app password was told when it was made");
        tried(&world, Service::Imap, PASSWORD, HOME).await.unwrap();
        assert_eq!(written(&world).await.len(), told, "after {days} days");
        tried(&world, Service::Pop3, PASSWORD, HOME).await.unwrap();
        assert_eq!(written(&world).await, []);
    }
}

#[tokio::test]
async fn browsers_and_programs_are_named() {
    let world = World::new().await;
    let peer = HOME.parse().unwrap();
    let attempt = |service| LoginAttempt { login: "bert", secret: Secret::Password(PASSWORD), peer, service };
    for browser in ["Firefox on Linux", "Safari on iPhone"] {
        world.directory.authenticate_from(attempt(Service::Web), browser).await.unwrap();
        world.directory.note_browser(world.bert, peer, browser).await.unwrap();
        world.pass_ms(1);
    }
    let login = world.directory.authenticate(attempt(Service::Imap)).await.unwrap();
    for program in ["Thunderbird 140.1", "Thunderbird 140.1", "\r\nsly", ""] {
        world.directory.note_program(&login, Service::Imap, peer, program);
    }
    written(&world).await;
    let all = listed(&world);
    let of = |service| -> Vec<_> {
        all.iter().filter(|one| one.service == Some(service)).map(|one| (one.programs.clone(), one.new)).collect()
    };
    let named = |name: &str| vec![name.to_owned()];
    assert_eq!(of(Service::Web), [(named("Safari on iPhone"), true), (named("Firefox on Linux"), false)]);
    assert_eq!(of(Service::Imap), [(vec!["Thunderbird 140.1".to_owned(), "sly".to_owned()], false)]);
}

#[tokio::test]
async fn an_app_password_opens_what_it_was_made_for_by_password_and_by_scram() {
    let world = World::new().await;
    let (directory, peer) = (&world.directory, HOME.parse().unwrap());
    for bits in 1..16_usize {
        let chosen: Vec<Service> = Scopes::SERVICES
            .into_iter()
            .enumerate()
            .filter(|(at, _)| bits >> at & 1 == 1)
            .map(|(_, one)| one)
            .collect();
        let scopes = Scopes::of(&chosen).unwrap();
        let app = directory.create_scoped_app_password(world.bert, &format!("{bits}"), scopes).await.unwrap();
        let kept = directory.app_passwords(world.bert).unwrap();
        assert_eq!(kept.iter().find(|one| one.id == app.id).unwrap().scopes, scopes);
        for service in Scopes::SERVICES {
            let plain = tried(&world, service, &app.password, HOME).await;
            let attempt = directory.scram("bert", peer, service).await.unwrap();
            let login = *attempt.logins().iter().find(|login| login.app_password == Some(app.id)).unwrap();
            let scram = directory.scram_outcome(attempt, Some(login)).map(drop);
            let due = if chosen.contains(&service) { Ok(()) } else { Err(AuthError::NotAllowed { service }) };
            assert_eq!((&plain, &scram), (&due, &due), "{chosen:?} {service:?}");
        }
        assert_eq!(tried(&world, Service::Web, &app.password, HOME).await, Err(AuthError::Invalid));
    }
}
