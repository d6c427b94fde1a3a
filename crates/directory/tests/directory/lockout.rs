//! Guessing is slow, and nobody is kept out by it.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use directory::{AuthError, Directory, DirectoryOptions, Login, LoginAttempt, Secret, Service, ThrottleLimits};

use crate::world::{DAY_MS, PASSWORD, World};

const BERT: &str = "bert@here.example";
const HOME: &str = "192.0.2.1";
const OFFICE: &str = "192.0.2.2";

/// Nobody waits: who would have to is refused, so that what is let in was let in at once.
fn options() -> DirectoryOptions {
    let throttle = ThrottleLimits {
        pace: Duration::from_secs(3600),
        patience: Duration::ZERO,
        window: Duration::from_secs(86_400),
        per_login: 4,
        per_network: 10,
        per_login_from_elsewhere: 30,
    };
    DirectoryOptions { throttle, ..DirectoryOptions::default() }
}

async fn log_in(directory: &Directory, login: &str, password: &str, peer: &str) -> Result<Login, AuthError> {
    let (secret, peer) = (Secret::Password(password), peer.parse().unwrap());
    directory.authenticate(LoginAttempt { login, secret, peer, service: Service::Imap }).await
}

/// A password that nobody has tried.
fn a_guess() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("guess {}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// So many guesses, each a different one, from 25 networks in turn.
async fn flood(directory: &Directory, login: &str, guesses: u32) {
    for number in 0..guesses {
        let peer = IpAddr::from((0x0A00_0000_u32 + number % 25).to_be_bytes()).to_string();
        let guess = log_in(directory, login, &a_guess(), &peer).await;
        assert!(matches!(guess, Err(AuthError::Invalid | AuthError::Throttled { .. })), "{guess:?}");
    }
    let more = log_in(directory, login, &a_guess(), "10.0.0.4").await;
    assert!(matches!(more, Err(AuthError::Throttled { .. })), "the flood is held: {more:?}");
}

/// The directory after a restart, with nothing remembered but what is in the store.
async fn restarted(world: &World) -> Directory {
    // What was noted without anyone waiting for it is written by now.
    world.store.transact(|_| Ok::<_, store::StoreError>(())).await.unwrap();
    let store = world.store.clone();
    tokio::task::spawn_blocking(move || Directory::new(store, options())).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_password_gets_in_while_others_guess_also_after_a_restart() {
    let world = World::with(options()).await;
    log_in(&world.directory, BERT, PASSWORD, HOME).await.unwrap();
    let app = world.directory.create_app_password(world.bert, "phone").await.unwrap();
    flood(&world.directory, BERT, 60).await;
    for (after_restart, directory) in [(false, world.directory.clone()), (true, restarted(&world).await)] {
        flood(&directory, BERT, 60).await;
        // Password or app password, from where, and whether that works.
        let cases = [
            (PASSWORD, HOME),
            (&*app.password, HOME),
            // On a journey: by an app password, and from a network that has not failed.
            (&*app.password, "10.0.0.3"),
            (PASSWORD, "198.51.100.7"),
            (PASSWORD, "2001:db8::7"),
        ];
        for (password, peer) in cases {
            let done = log_in(&directory, BERT, password, peer).await;
            assert_eq!(done.map(|login| login.account), Ok(world.bert), "{peer}, after a restart: {after_restart}");
        }
        // What was verified before is no guess, wherever it comes from, at whichever door.
        for service in [Service::Imap, Service::Pop3, Service::Smtp, Service::Web] {
            let (secret, peer) = (Secret::Password(PASSWORD), "10.0.0.3".parse().unwrap());
            directory.authenticate(LoginAttempt { login: BERT, secret, peer, service }).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_known_for_thirty_days() {
    let world = World::with(options()).await;
    log_in(&world.directory, BERT, PASSWORD, HOME).await.unwrap();
    for (days, known) in [(29, true), (29, true), (31, false)] {
        world.pass_ms(days * DAY_MS);
        let directory = restarted(&world).await;
        flood(&directory, BERT, 40).await;
        // Its own network is among the guessers' now.
        for _ in 0..12 {
            let _ = log_in(&directory, "nobody@here.example", &a_guess(), HOME).await;
        }
        let done = log_in(&directory, BERT, PASSWORD, HOME).await;
        assert_eq!(done.is_ok(), known, "after {days} more days: {done:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_phone_with_an_old_password_keeps_nobody_out_of_the_office() {
    let world = World::with(options()).await;
    for known in [false, true] {
        if known {
            log_in(&world.directory, BERT, PASSWORD, OFFICE).await.unwrap();
        }
        for _ in 0..100 {
            let phone = log_in(&world.directory, BERT, "the old password", OFFICE).await;
            assert_eq!(phone, Err(AuthError::Invalid), "it is told the truth each time");
        }
        log_in(&world.directory, "anna@here.example", PASSWORD, OFFICE).await.unwrap();
        log_in(&world.directory, BERT, PASSWORD, OFFICE).await.unwrap();
    }
    // An old password is wrong only as long as it is old.
    world.directory.set_password(world.bert, "the old password").await.unwrap();
    log_in(&world.directory, BERT, "the old password", OFFICE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_of_others_in_the_same_network_keep_no_known_login_out() {
    let world = World::with(options()).await;
    log_in(&world.directory, BERT, PASSWORD, OFFICE).await.unwrap();
    let directory = restarted(&world).await;
    for number in 0..50 {
        let _ = log_in(&directory, &format!("x{}@here.example", number % 7), &a_guess(), OFFICE).await;
    }
    let stranger = log_in(&directory, "anna@here.example", PASSWORD, OFFICE).await;
    assert!(matches!(stranger, Err(AuthError::Throttled { .. })), "{stranger:?}");
    log_in(&directory, BERT, PASSWORD, OFFICE).await.unwrap();
    // Nor do they close the pages that are open.
    directory.confirm_password(world.anna, PASSWORD, OFFICE.parse().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_there_is_a_delay_and_no_refusal() {
    let throttle = ThrottleLimits {
        per_login: 1,
        per_network: 1,
        per_login_from_elsewhere: 1,
        pace: Duration::from_millis(300),
        ..ThrottleLimits::default()
    };
    let world = World::with(DirectoryOptions { throttle, ..DirectoryOptions::default() }).await;
    let begun = std::time::Instant::now();
    for _ in 0..5 {
        let guess = log_in(&world.directory, BERT, &a_guess(), HOME).await;
        assert_eq!(guess, Err(AuthError::Invalid));
    }
    log_in(&world.directory, BERT, PASSWORD, HOME).await.unwrap();
    assert!(begun.elapsed() >= throttle.pace * 4, "they were slowed down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_guessed_no_faster_by_someone_who_has_the_password() {
    let world = World::with(options()).await;
    log_in(&world.directory, BERT, PASSWORD, HOME).await.unwrap();
    let enrolment = world.directory.enrol_totp(world.bert).await.unwrap();
    let code = crate::logins::code_of(&enrolment.secret, world.now_ms());
    world.directory.enable_totp(world.bert, &code).await.unwrap();
    let mut looked_at = 0;
    for number in 0..100 {
        let peer = IpAddr::from((0x0A00_0000_u32 + number % 5).to_be_bytes());
        let secret = Secret::PasswordAndCode(PASSWORD, "000000");
        let attempt = LoginAttempt { login: BERT, secret, peer, service: Service::Web };
        looked_at += u32::from(world.directory.authenticate(attempt).await == Err(AuthError::Invalid));
    }
    assert!(looked_at <= 4 + 5, "{looked_at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scram_tells_nobody_who_exists_and_its_failures_count() {
    let world = World::with(options()).await;
    world.directory.add_alias(world.anna, "boss@here.example").await.unwrap();
    world.directory.set_enabled(world.bert, false).await.unwrap();
    let after = restarted(&world).await;
    let pairs = [
        ("anna@here.example", "ANNA@Here.Example"),
        ("anna@here.example", " anna "),
        ("anna@here.example", "boss@here.example"),
        (BERT, "Bert@HERE.example"),
        ("nobody@here.example", "NOBODY@here.EXAMPLE"),
        ("nobody@here.example", "nobody"),
        ("nobody@far.example", "Nobody@Far.example"),
        ("not an address", "NOT AN ADDRESS "),
    ];
    let mut salts = std::collections::HashSet::new();
    for (number, (one, other)) in pairs.into_iter().enumerate() {
        // A network of its own for each: what is begun and not ended is a guess.
        let peer: IpAddr = format!("198.51.100.{number}").parse().unwrap();
        let first = world.directory.scram(one, peer, Service::Imap).await.unwrap().keys().clone();
        for directory in [&world.directory, &after] {
            let second = directory.scram(other, peer, Service::Imap).await.unwrap().keys().clone();
            assert_eq!((&first.salt, first.iterations), (&second.salt, second.iterations), "{one}, {other}");
        }
        assert_eq!(first.salt.len(), 16);
        salts.insert(first.salt);
    }
    assert_eq!(salts.len(), 5, "each login has its own");
    let peer = "198.51.100.99".parse().unwrap();
    let mut begun = 0;
    for number in 0..100 {
        let probe = world.directory.scram(&format!("probe{number}@here.example"), peer, Service::Imap).await;
        begun += u32::from(probe.is_ok());
    }
    assert_eq!(begun, 10, "probing is guessing");
}
