//! What is sealed, what it opens with, and what goes on without the key.

use std::sync::Arc;

use directory::{
    AccountId, AuthError, Directory, DirectoryError, DirectoryOptions, Keyring, Keys, Secret, SecretsReport,
    SecretsRules, SecretsSealed, Service, ServiceChange, keys_in_use, secrets_in,
};
use mailkit::dkim::SigningKey;
use store::{Invariants as _, Order, Read as _, RealmId, Snapshot};

use crate::{
    logins::code_of,
    world::{PASSWORD, World, new_account},
};

const PEER: &str = "192.0.2.1";

/// A key file's line, as often as it is wanted.
fn line() -> String {
    Keyring::new_line().1.to_string()
}

fn keys(lines: &[&str]) -> Arc<Keys> {
    Arc::new(Keys::Ring(Keyring::parse(&lines.concat()).unwrap()))
}

async fn sealing(line: &str) -> World {
    World::with(DirectoryOptions { keys: keys(&[line]), ..DirectoryOptions::default() }).await
}

/// Everything that is stored, in one piece.
fn stored(world: &World) -> Vec<u8> {
    let snapshot = world.store.snapshot();
    let realms = [RealmId::DIRECTORY, world.anna.realm(), world.bert.realm()];
    let rows = realms.into_iter().flat_map(|realm| snapshot.prefix(realm, &[], Order::Ascending).unwrap());
    rows.flat_map(|row| row.unwrap().1.to_vec()).collect()
}

fn holds(all: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && all.windows(part.len()).any(|window| window == part)
}

/// The secrets of a world that has all kinds of them: two DKIM keys, a TOTP secret, SCRAM keys of two passwords and of an app
/// password.
struct Plain(Vec<Vec<u8>>);

impl Plain {
    const KINDS: u64 = 6;

    fn lie_open_in(&self, world: &World) -> usize {
        let all = stored(world);
        self.0.iter().filter(|secret| holds(&all, secret)).count()
    }
}

async fn with_all_kinds(world: &World) -> (Plain, String, String) {
    let directory = &world.directory;
    let app = directory.create_app_password(world.bert, "phone").await.unwrap().password;
    let enrolment = directory.enrol_totp(world.bert).await.unwrap();
    let mut all: Vec<Vec<u8>> = Vec::new();
    let domain = directory.domain("here.example").unwrap().unwrap();
    all.extend(domain.dkim.iter().map(|key| key.signing().unwrap().to_pkcs8().to_vec()));
    all.push(totp_rs::Secret::try_from_base32(&enrolment.secret).unwrap().as_bytes().to_vec());
    for login in ["anna", "bert"] {
        let attempt = directory.scram(login, PEER.parse().unwrap(), Service::Imap).await.unwrap();
        for secret in &attempt.keys().secrets {
            all.extend([secret.stored_key.clone(), secret.server_key.clone()]);
        }
    }
    assert_eq!(all.len(), 3 + 6);
    let code = code_of(&enrolment.secret, world.now_ms());
    directory.enable_totp(world.bert, &code).await.unwrap();
    world.pass_ms(60_000);
    (Plain(all), enrolment.secret, app)
}

async fn by_code(world: &World, code: &str) -> Result<(), AuthError> {
    let secret = Secret::PasswordAndCode(PASSWORD, code);
    world.try_login("bert", secret, Service::Web, PEER).await.map(drop)
}

fn check(world: &World) -> SecretsReport {
    let rules = SecretsRules::new(world.directory.keys());
    let snapshot = world.store.snapshot();
    let mut said = 0;
    for realm in [RealmId::DIRECTORY, world.anna.realm(), world.bert.realm()] {
        said += rules.check(realm, &snapshot).unwrap().len() as u64;
    }
    let found = rules.found();
    assert_eq!(found.broken, said);
    assert_eq!(found, world.directory.secrets().unwrap());
    found
}

/// The DNS records of a domain's keys.
fn dkim_records(directory: &Directory) -> Vec<(String, String)> {
    let domain = directory.domain("here.example").unwrap().unwrap();
    domain.dkim.iter().map(|key| (key.dns_name(&domain.name), key.dns_record())).collect()
}

#[tokio::test]
async fn with_a_key_no_secret_is_stored_open_and_everything_works() {
    let line = line();
    let world = sealing(&line).await;
    let (plain, secret, app) = with_all_kinds(&world).await;
    assert_eq!(plain.lie_open_in(&world), 0);
    let found = check(&world);
    let first = world.directory.keys().ids()[0];
    assert_eq!((found.open, found.closed(), found.unread), (0, 0, 0));
    assert_eq!(found.sealed.into_iter().collect::<Vec<_>>(), [(first, Plain::KINDS)]);
    assert_eq!(keys_in_use(&world.store.snapshot()).unwrap(), [first]);

    by_code(&world, &code_of(&secret, world.now_ms())).await.unwrap();
    world.login("bert", &app).await.unwrap();
    assert!(world.directory.offers_scram());
    let attempt = world.directory.scram("bert", PEER.parse().unwrap(), Service::Imap).await.unwrap();
    assert_eq!(attempt.logins().len(), 1, "the app password");
    world.directory.set_password(world.anna, "another long pass phrase").await.unwrap();
    world.login("anna", "another long pass phrase").await.unwrap();
    assert_eq!(check(&world).open, 0, "a changed password's keys are sealed too");
    assert_eq!(world.directory.seal_secrets().await.unwrap().changed, 0, "there is nothing to do");
}

#[tokio::test]
async fn older_secrets_are_read_sealed_sealed_again_and_opened_by_a_pass() {
    let world = World::new().await;
    let (plain, secret, app) = with_all_kinds(&world).await;
    assert_eq!(plain.lie_open_in(&world), plain.0.len());
    assert_eq!(check(&world), SecretsReport { open: Plain::KINDS, ..SecretsReport::default() });
    assert!(matches!(world.directory.seal_secrets().await, Err(DirectoryError::NoSecretsKey(_))));
    let records = dkim_records(&world.directory);
    let works = async || {
        world.pass_ms(60_000);
        by_code(&world, &code_of(&secret, world.now_ms())).await.unwrap();
        world.login("bert", &app).await.unwrap();
        assert_eq!(
            world.directory.scram("anna", PEER.parse().unwrap(), Service::Imap).await.unwrap().logins().len(),
            1
        );
        assert_eq!(dkim_records(&world.directory), records);
        let domain = world.directory.domain("here.example").unwrap().unwrap();
        assert!(domain.dkim.iter().all(|key| plain.0.iter().any(|plain| plain == key.signing().unwrap().to_pkcs8())));
    };
    let (old, new) = (line(), line());
    world.directory.set_keys(keys(&[&old])).unwrap();
    works().await;
    let count = |done: &SecretsSealed| (done.changed, done.now.open, done.now.sealed_count(), done.now.sealed.len());
    assert_eq!(count(&world.directory.seal_secrets().await.unwrap()), (Plain::KINDS, 0, Plain::KINDS, 1));
    assert_eq!(plain.lie_open_in(&world), 0);
    works().await;

    // A newer key before the old one: both open, and a pass seals under the newer one alone.
    world.directory.set_keys(keys(&[&new, &old])).unwrap();
    works().await;
    assert_eq!(count(&world.directory.seal_secrets().await.unwrap()), (Plain::KINDS, 0, Plain::KINDS, 1));
    assert_eq!(keys_in_use(&world.store.snapshot()).unwrap(), keys(&[&new]).ids());
    works().await;
    world.directory.set_keys(keys(&[&new])).unwrap();
    assert!(world.directory.locked().is_none(), "the old key is not needed any more");
    works().await;

    assert_eq!(count(&world.directory.unseal_secrets().await.unwrap()), (Plain::KINDS, Plain::KINDS, 0, 0));
    assert_eq!(plain.lie_open_in(&world), plain.0.len());
    assert_eq!(keys_in_use(&world.store.snapshot()).unwrap(), []);
    world.directory.set_keys(Arc::default()).unwrap();
    works().await;
}

/// The ways to be without the right key.
fn without(other: &str) -> Vec<(&'static str, Arc<Keys>)> {
    vec![
        ("no key file", Arc::default()),
        ("unusable", Arc::new(Keys::Unusable("the key file is damaged".to_owned()))),
        ("another key", keys(&[other])),
    ]
}

#[tokio::test]
async fn without_the_key_mail_logins_go_on_and_what_cannot_says_whose_fault_it_is() {
    let another = line();
    for (case, other) in without(&another) {
        let line = line();
        let world = sealing(&line).await;
        let directory = &world.directory;
        let (plain, secret, app) = with_all_kinds(&world).await;
        let enrolled = directory.create_account(new_account("carl@here.example", directory::Role::User)).await.unwrap();
        let enrolment = directory.enrol_totp(enrolled).await.unwrap();
        let codes = {
            let code = code_of(&enrolment.secret, world.now_ms());
            directory.enable_totp(enrolled, &code).await.unwrap()
        };
        let records = dkim_records(directory);
        directory.set_keys(other).unwrap();

        assert!(directory.locked().is_some(), "{case}");
        let found = directory.secrets().unwrap();
        assert_eq!((found.sealed_count(), found.open, found.broken), (0, 0, 0), "{case}");
        assert_eq!(found.closed(), Plain::KINDS + 2, "{case}");
        // Passwords and app passwords are right or wrong as before.
        world.login("anna", PASSWORD).await.unwrap();
        world.login("bert", &app).await.unwrap();
        assert_eq!(world.login("anna", "wrong").await, Err(AuthError::Invalid), "{case}");
        // SCRAM is offered to nobody, so that it tells nobody who is there.
        assert!(!directory.offers_scram(), "{case}");
        for login in ["anna", "nobody"] {
            let refused = directory.scram(login, PEER.parse().unwrap(), Service::Imap).await.map(drop);
            assert_eq!(refused, Err(AuthError::Unavailable), "{case}: {login}");
        }
        // Codes of the app can't be checked: a right one is not called wrong. Recovery codes can.
        let code = code_of(&secret, world.now_ms());
        for code in [code.as_str(), "000000", "123 456"] {
            assert_eq!(by_code(&world, code).await, Err(AuthError::CodeUnavailable), "{case}: {code}");
        }
        assert_eq!(by_code(&world, "no such recovery code").await, Err(AuthError::Invalid), "{case}");
        let recover = |code: String| {
            let world = &world;
            async move {
                let secret = Secret::PasswordAndCode(PASSWORD, &code);
                world.try_login("carl", secret, Service::Web, PEER).await.map(drop)
            }
        };
        recover(codes[0].clone()).await.unwrap();
        assert_eq!(recover(codes[0].clone()).await, Err(AuthError::Invalid), "{case}: once");
        let wrong = Secret::PasswordAndCode("wrong", &code);
        assert_eq!(
            world.try_login("bert", wrong, Service::Web, PEER).await.map(drop),
            Err(AuthError::Invalid),
            "{case}"
        );
        // The public keys are known, the private ones are not.
        assert_eq!(dkim_records(directory), records, "{case}");
        let domain = directory.domain("here.example").unwrap().unwrap();
        assert!(domain.dkim.iter().all(|key| key.signing().is_err()), "{case}");
        // An account loses nothing by a new password, and two-step sign-in can be turned off.
        directory.set_password(world.anna, "another long pass phrase").await.unwrap();
        world.login("anna", "another long pass phrase").await.unwrap();
        directory.disable_totp(enrolled).await.unwrap();
        directory.create_account(new_account("dora@here.example", directory::Role::User)).await.unwrap();
        world.login("dora", PASSWORD).await.unwrap();
        assert_eq!(plain.lie_open_in(&world), 0, "{case}");

        // With the key back everything is as it was, and what was left out comes with the next login.
        // What was made in between is sealed under the key that was at hand.
        directory.set_keys(keys(&[&line, &another])).unwrap();
        by_code(&world, &code).await.unwrap();
        for (login, password) in [("anna", "another long pass phrase"), ("dora", PASSWORD)] {
            world.try_login(login, Secret::Password(password), Service::Pop3, PEER).await.unwrap();
            let attempt = directory.scram(login, PEER.parse().unwrap(), Service::Imap).await.unwrap();
            assert_eq!((attempt.logins().len(), attempt.keys().secrets.len()), (1, 1), "{case}: {login}");
        }
        let broken_or_missing = directory.secrets().unwrap();
        assert_eq!(broken_or_missing.closed() + broken_or_missing.open, 0, "{case}");
        assert!(directory.locked().is_none(), "{case}");
    }
}

#[tokio::test]
async fn without_the_key_new_secrets_are_refused_and_not_stored_open() {
    let another = line();
    for (case, other) in without(&another) {
        let line = line();
        let world = sealing(&line).await;
        let directory = &world.directory;
        let may = matches!(*other, Keys::Ring(_));
        directory.set_keys(other).unwrap();
        let app = directory.create_app_password(world.anna, "phone").await.map(drop);
        let totp = directory.enrol_totp(world.anna).await.map(drop);
        let domain = directory.add_domain("other.example").await.map(drop);
        for (what, done) in [("app password", app), ("totp", totp), ("domain", domain)] {
            match done {
                Ok(()) => assert!(may, "{case}: {what}: stored open"),
                Err(DirectoryError::NoSecretsKey(_)) => assert!(!may, "{case}: {what}"),
                Err(error) => panic!("{case}: {what}: {error}"),
            }
        }
        assert_eq!(directory.secrets().unwrap().open, 0, "{case}");
    }
    // Where nothing was ever sealed, a key file that can't be used stops nothing that was there.
    let world = World::new().await;
    let (_, secret, _) = with_all_kinds(&world).await;
    let unusable = Arc::new(Keys::Unusable("its mode is 0644".to_owned()));
    world.directory.set_keys(unusable).unwrap();
    assert!(world.directory.locked().is_none());
    by_code(&world, &code_of(&secret, world.now_ms())).await.unwrap();
    assert!(matches!(world.directory.enrol_totp(world.anna).await, Err(DirectoryError::NoSecretsKey(_))));
}

/// A record under a key of a realm.
fn record(snapshot: &Snapshot, realm: RealmId, key: &[u8]) -> Vec<u8> {
    snapshot.get(realm, key).unwrap().unwrap().to_vec()
}

#[tokio::test]
async fn a_sealed_secret_that_was_moved_does_not_open() {
    let line = line();
    let world = sealing(&line).await;
    let directory = &world.directory;
    let (_, secret, _) = with_all_kinds(&world).await;
    directory.add_domain("other.example").await.unwrap();
    directory.create_app_password(world.bert, "tablet").await.unwrap();
    assert_eq!(check(&world).broken, 0);
    let snapshot = world.store.snapshot();
    let (own, app) = (vec![0x01], |id: u8| vec![0x02, 0, 0, 0, id]);
    let domain = |name: &str| [b"d", name.as_bytes()].concat();
    let (here, there) = (RealmId::DIRECTORY, world.anna.realm());
    // From where, to where, and how many secrets that are.
    let moves = [
        ("another account", (world.bert.realm(), own.clone()), (there, own), 2),
        ("another app password", (world.bert.realm(), app(1)), (world.bert.realm(), app(2)), 1),
        ("an app password of another account", (world.bert.realm(), app(1)), (there, app(1)), 1),
        ("another domain", (here, domain("here.example")), (here, domain("other.example")), 2),
    ];
    for (what, (from, key), (to, at), count) in moves {
        let before = snapshot.get(to, &at).unwrap().map(|value| value.to_vec());
        let moved = record(&snapshot, from, &key);
        let put = |value: Option<Vec<u8>>| {
            let at = at.clone();
            world.store.transact(move |tx| {
                match value {
                    Some(value) => tx.put(to, at, value),
                    None => tx.delete(to, at),
                }
                Ok::<_, store::StoreError>(())
            })
        };
        put(Some(moved)).await.unwrap();
        let found = check(&world);
        assert_eq!((found.broken, found.missing.len()), (count, 0), "{what}: {:?}", found.broken_named);
        if what == "another account" {
            // The thief of a record knows the code, and it does not let them in: as if the code could not be checked.
            let code = code_of(&secret, world.now_ms());
            let tried = Secret::PasswordAndCode(PASSWORD, &code);
            let tried = world.try_login("anna@here.example", tried, Service::Web, PEER).await;
            assert_eq!(tried, Err(AuthError::CodeUnavailable), "{code}");
        }
        if what == "another domain" {
            let moved = directory.domain("other.example").unwrap().unwrap();
            assert!(moved.dkim.iter().all(|key| key.signing().is_err()), "{what}");
        }
        let done = directory.seal_secrets().await.unwrap();
        assert_eq!((done.changed, done.now.broken), (0, count), "{what}: what does not open is left as it is");
        put(before).await.unwrap();
        assert_eq!(check(&world).broken, 0, "{what}: back in its place");
    }
}

#[tokio::test]
async fn a_copy_elsewhere_says_which_key_it_needs() {
    let (first, second) = (line(), line());
    let world = sealing(&first).await;
    with_all_kinds(&world).await;
    world.directory.set_keys(keys(&[&second, &first])).unwrap();
    world.directory.enrol_totp(world.anna).await.unwrap();
    let snapshot = world.store.snapshot();
    let (a, b) = (keys(&[&first]).ids()[0], keys(&[&second]).ids()[0]);
    let missing = |keys: &Keys| keys.missing(&snapshot).unwrap();
    assert_eq!(missing(&Keys::None), [a, b]);
    assert_eq!(missing(&Keys::Unusable("x".to_owned())), [a, b]);
    assert_eq!(missing(&keys(&[&first])), [b]);
    assert_eq!(missing(&keys(&[&line(), &second])), [a]);
    assert_eq!(missing(&keys(&[&first, &second])), []);
    let found = secrets_in(&snapshot, &keys(&[&second])).unwrap();
    assert_eq!((found.sealed_count(), found.closed()), (1, Plain::KINDS));
    assert_eq!(found.missing_named.len() as u64, Plain::KINDS);
}

#[tokio::test]
async fn secrets_of_deleted_accounts_are_sealed_too_and_sealing_ends_no_session() {
    let world = World::new().await;
    let directory = &world.directory;
    let login = world.login("anna", PASSWORD).await.unwrap();
    let access = directory.access(login);
    world.pass_ms(1_000);
    directory.delete_account(world.bert).await.unwrap();
    let line = line();
    directory.set_keys(keys(&[&line])).unwrap();
    let done = directory.seal_secrets().await.unwrap();
    assert_eq!((done.changed, done.now.open), (4, 0), "two DKIM keys, two passwords");
    assert_eq!(access.is_over(), None);
    let past_ms = directory.deleted_account(&crate::world::address("bert@here.example")).unwrap().unwrap().1;
    directory.bring_back(world.bert, past_ms).await.unwrap();
    world.login("bert", PASSWORD).await.unwrap();
    assert_eq!(directory.scram("bert", PEER.parse().unwrap(), Service::Imap).await.unwrap().logins().len(), 1);
}

#[test]
fn records_and_keys_are_never_printed() {
    use directory::schema::{AppPasswordRecord, CredentialsRecord, DkimRecord};
    let secret = || vec![0xAB; 32];
    let credentials = CredentialsRecord {
        hash: secret(),
        totp_secret: secret(),
        scram_stored_key: secret(),
        scram_server_key: secret(),
        ..CredentialsRecord::default()
    };
    let app = AppPasswordRecord { hash: secret(), scram_stored_key: secret(), ..AppPasswordRecord::default() };
    let dkim = DkimRecord { pkcs8: secret(), ..DkimRecord::default() };
    let kind = mailkit::dkim::KeyKind::Ed25519;
    let key = SigningKey::generate(kind, "x").unwrap();
    for shown in [format!("{credentials:?}"), format!("{app:?}"), format!("{dkim:?}"), format!("{key:?}")] {
        assert!(!shown.contains("171") && !shown.to_lowercase().contains("\\xab") && shown.len() < 200, "{shown}");
    }
}

#[tokio::test]
async fn recovery_codes_are_beyond_guessing() {
    let world = World::new().await;
    let enrolment = world.directory.enrol_totp(world.bert).await.unwrap();
    let codes = world.directory.enable_totp(world.bert, &code_of(&enrolment.secret, world.now_ms())).await.unwrap();
    for code in &codes {
        // 32 letters to choose from: 80 bits.
        assert_eq!(code.chars().filter(char::is_ascii_alphanumeric).count(), 16, "{code}");
    }
    let typed = codes[0].to_uppercase().replace('-', " ");
    by_code(&world, &typed).await.unwrap();
    assert_eq!(AccountId(2), world.bert);
}

#[tokio::test]
async fn new_dkim_keys_take_the_place_of_those_whose_secrets_key_is_lost() {
    let (lost, new) = (line(), line());
    let world = sealing(&lost).await;
    let directory = &world.directory;
    let selectors = || {
        let domain = directory.domain("here.example").unwrap().unwrap();
        domain.dkim.iter().map(|key| (key.selector().to_owned(), key.signing().is_ok())).collect::<Vec<_>>()
    };
    directory.set_keys(Arc::default()).unwrap();
    assert!(matches!(directory.renew_dkim("here.example").await, Err(DirectoryError::NoSecretsKey(_))));
    assert_eq!(selectors(), [("hf-rsa".to_owned(), false), ("hf-ed25519".to_owned(), false)]);
    directory.set_keys(keys(&[&new])).unwrap();
    for round in 2..4 {
        directory.renew_dkim("here.example").await.unwrap();
        assert_eq!(selectors(), [(format!("hf-rsa-{round}"), true), (format!("hf-ed25519-{round}"), true)]);
    }
    // Passwords that are set again do not need the lost key either.
    for account in [world.anna, world.bert] {
        directory.set_password(account, "another long pass phrase").await.unwrap();
    }
    let done = directory.seal_secrets().await.unwrap();
    assert_eq!((done.now.closed(), done.now.open), (0, 0));
    assert!(directory.locked().is_none() && directory.offers_scram());
    assert!(matches!(directory.renew_dkim("nowhere.example").await, Err(DirectoryError::NoSuchDomain(_))));
}

#[tokio::test]
async fn mail_is_signed_with_new_keys_once_their_records_are_seen_and_with_old_ones_where_those_vanish() {
    use directory::{DkimSeen, DkimState, DkimTurn};
    let line = line();
    let world = sealing(&line).await;
    let directory = &world.directory;
    let signing = || {
        let domain = directory.domain("here.example").unwrap().unwrap();
        domain.dkim.iter().map(|key| key.selector().to_owned()).collect::<Vec<_>>()
    };
    let say = async |seen: &[(&str, DkimSeen)]| {
        let seen = seen.iter().map(|(selector, seen)| ((*selector).to_owned(), *seen)).collect();
        directory.dkim_seen("here.example", seen).await.unwrap()
    };
    let domain = directory.prepare_dkim("here.example").await.unwrap();
    assert_eq!(domain.all_dkim.len(), 4);
    assert_eq!(signing(), ["hf-rsa", "hf-ed25519"]);
    // Asked for again, the keys that wait are made again under selectors of their own.
    directory.prepare_dkim("here.example").await.unwrap();
    let (old, new) = (["hf-rsa", "hf-ed25519"], ["hf-rsa-3", "hf-ed25519-3"]);
    let before = world.store.seq();
    assert_eq!(say(&[(new[0], DkimSeen::Missing), (old[0], DkimSeen::There)]).await, []);
    assert!(world.store.seq() > before);
    let before = world.store.seq();
    assert_eq!(say(&[(new[0], DkimSeen::Missing), (old[0], DkimSeen::There)]).await, []);
    assert_eq!(world.store.seq(), before, "what is known is not written again");
    assert_eq!(signing(), old);
    let turns = say(&[(new[0], DkimSeen::There), (new[1], DkimSeen::There), (old[1], DkimSeen::There)]).await;
    assert_eq!(turns, new.map(|selector| DkimTurn::Began(selector.to_owned())));
    assert_eq!(signing(), new);
    // The record of one in use is gone, and that of the one before is still there.
    say(&[(new[0], DkimSeen::Missing)]).await;
    assert_eq!(signing(), [old[0], new[1]]);
    say(&[(old[0], DkimSeen::Missing)]).await;
    assert_eq!(signing(), new, "neither is there");
    say(&[(new[0], DkimSeen::There)]).await;
    world.pass_ms(8 * 86_400_000);
    assert_eq!(say(&[]).await, [DkimTurn::Forgot(old[0].to_owned())]);
    let left = directory.domain("here.example").unwrap().unwrap().all_dkim;
    let left: Vec<_> = left.iter().map(|key| (key.selector(), key.state(), key.signing().is_ok())).collect();
    let (retired, in_use) = (DkimState::Retired, DkimState::InUse);
    assert_eq!(left, [(old[1], retired, true), (new[0], in_use, true), (new[1], in_use, true)]);
}

#[tokio::test]
async fn a_record_of_the_service_is_changed_in_parts_and_its_secret_needs_the_key() {
    let own = line();
    let world = sealing(&own).await;
    let directory = &world.directory;
    let put = |name: &str, secret: &[u8]| ServiceChange::Put {
        name: name.to_owned(),
        open: b"open".to_vec(),
        secret: secret.to_vec().into(),
    };
    directory.change_service_records(vec![put("a/1", b"one"), put("a/2", b""), put("b/1", b"other")]).await.unwrap();
    let change = ServiceChange::PutOpen { name: "a/1".to_owned(), open: b"newer".to_vec() };
    directory.change_service_records(vec![change, ServiceChange::Remove("a/2".to_owned())]).await.unwrap();
    let all = directory.service_records("a/").unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].name.as_str(), &all[0].open[..]), ("a/1", &b"newer"[..]));
    assert_eq!(all[0].secret.as_ref().unwrap()[..], b"one"[..]);
    let huge = put("a/3", &vec![0; directory::MAX_SERVICE_RECORD_BYTES]);
    let refused = directory.change_service_records(vec![put("a/4", b""), huge]).await;
    assert!(matches!(refused, Err(DirectoryError::TooLong { .. })));
    assert_eq!(directory.service_records("a/").unwrap().len(), 1, "all or nothing");
    // Without the key what anybody may read can still be read and changed; no secret can be put.
    directory.set_keys(Arc::new(Keys::None)).unwrap();
    let all = directory.service_records("a/").unwrap();
    assert!(all[0].secret.is_err() && all[0].open == b"newer");
    let change = ServiceChange::PutOpen { name: "a/1".to_owned(), open: b"newest".to_vec() };
    directory.change_service_records(vec![change]).await.unwrap();
    let refused = directory.change_service_records(vec![put("a/5", b"secret")]).await;
    assert!(matches!(refused, Err(DirectoryError::NoSecretsKey(_))));
    directory.set_keys(keys(&[&own])).unwrap();
    assert_eq!(directory.service_records("a/").unwrap()[0].secret.as_ref().unwrap()[..], b"one"[..]);
}
