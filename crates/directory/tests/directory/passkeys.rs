//! Passkeys: each signs in whose it is, where it was made, and nobody else.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use directory::{
    AccountId, AuthError, Directory, DirectoryError, MAX_PASSKEYS, NewPasskey, PasskeyAnswer, PasskeyId, Secret,
    Service,
};
use webauthn::{Answer, Registered};

use crate::world::{PASSWORD, World};

const RP: &str = "mail.here.example";
const CHALLENGE: &[u8] = b"a challenge of thirty-two bytes!";
const UP: u8 = 1;
const UV: u8 = 4;

/// An authenticator with one passkey.
struct Authenticator {
    key: Ed25519KeyPair,
    id: Vec<u8>,
    handle: Vec<u8>,
}

impl Authenticator {
    fn new(directory: &Directory, account: AccountId, id: &[u8]) -> Self {
        let key = Ed25519KeyPair::generate().unwrap();
        Self { key, id: id.to_vec(), handle: directory.passkey_handle(account) }
    }

    fn registered(&self, user_verified: bool) -> Registered {
        let key = [&[0xA4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32][..], self.key.public_key().as_ref()].concat();
        Registered { id: self.id.clone(), key, counter: 0, user_verified, backed_up: false }
    }

    async fn add(
        &self,
        directory: &Directory,
        account: AccountId,
        is_alone: bool,
    ) -> Result<PasskeyId, DirectoryError> {
        let new = NewPasskey {
            name: "Phone".to_owned(),
            rp_id: RP.to_owned(),
            registered: self.registered(true),
            is_alone,
            transports: vec!["internal".to_owned(), "a transport with spaces".to_owned()],
        };
        directory.add_passkey(account, new).await
    }

    /// What it answers, as the parts of a [`PasskeyAnswer`].
    fn signs(&self, flags: u8, counter: u32) -> [Vec<u8>; 3] {
        let challenge = URL_SAFE_NO_PAD.encode(CHALLENGE);
        let client = format!(r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"https://{RP}"}}"#);
        let data = [digest(&SHA256, RP.as_bytes()).as_ref(), &[flags], &counter.to_be_bytes()].concat();
        let signature = self.key.sign(&[&data, digest(&SHA256, client.as_bytes()).as_ref()].concat()).as_ref().to_vec();
        [client.into_bytes(), data, signature]
    }

    async fn signs_in(&self, world: &World, flags: u8, counter: u32) -> Result<AccountId, AuthError> {
        self.signs_in_as(world, &self.handle, RP, self.signs(flags, counter)).await
    }

    async fn signs_in_as(
        &self,
        world: &World,
        handle: &[u8],
        rp_id: &str,
        [client, data, signature]: [Vec<u8>; 3],
    ) -> Result<AccountId, AuthError> {
        let origins = [format!("https://{RP}")];
        let answer = Answer { client_data: &client, authenticator_data: &data, signature: &signature };
        let answer =
            PasskeyAnswer { credential: &self.id, handle, answer, challenge: CHALLENGE, origins: &origins, rp_id };
        let peer = "192.0.2.1".parse().unwrap();
        world.directory.authenticate_passkey(&answer, peer, "Firefox").await.map(|login| {
            assert!(login.passkey.is_some());
            login.account
        })
    }

    /// After the password.
    async fn steps(&self, world: &World, login: &str, password: &str) -> Result<Option<PasskeyId>, AuthError> {
        let [client, data, signature] = self.signs(UP, 0);
        let origins = [format!("https://{RP}")];
        let answer = Answer { client_data: &client, authenticator_data: &data, signature: &signature };
        let answer = PasskeyAnswer {
            credential: &self.id,
            handle: &[],
            answer,
            challenge: CHALLENGE,
            origins: &origins,
            rp_id: RP,
        };
        let secret = Secret::PasswordAndPasskey(password, &answer);
        world.try_login(login, secret, Service::Web, "192.0.2.1").await.map(|login| login.passkey)
    }
}

#[tokio::test]
async fn a_passkey_signs_in_whose_it_is_and_nobody_else() {
    let world = World::new().await;
    let (directory, bert) = (&world.directory, world.bert);
    let phone = Authenticator::new(directory, bert, b"phone");
    assert_eq!(phone.signs_in(&world, UP | UV, 0).await, Err(AuthError::Invalid), "not added yet");
    let id = phone.add(directory, bert, true).await.unwrap();
    assert!(matches!(phone.add(directory, bert, true).await, Err(DirectoryError::PasskeyKnown)));
    assert_eq!(phone.signs_in(&world, UP | UV, 0).await, Ok(bert));
    let listed = directory.passkeys(bert).unwrap();
    assert_eq!((listed.len(), &listed[0].name[..], listed[0].last_used_ms), (1, "Phone", Some(world.now_ms())));
    assert_eq!(listed[0].transports, ["internal"]);

    assert_eq!(phone.signs_in(&world, UP, 0).await, Err(AuthError::Invalid), "the user was not verified");
    let anna = world.login("anna", PASSWORD).await.unwrap().account;
    let [client, data, mut signature] = phone.signs(UP | UV, 0);
    let mut cases = vec![
        (directory.passkey_handle(anna), RP, signature.clone()),
        (bert.0.to_be_bytes().to_vec(), RP, signature.clone()),
        (vec![], RP, signature.clone()),
        (vec![0xFF; 32], RP, signature.clone()),
        (phone.handle.clone(), "other.example", signature.clone()),
    ];
    signature[3] ^= 1;
    cases.push((phone.handle.clone(), RP, signature));
    for (handle, rp, signature) in cases {
        let given = [client.clone(), data.clone(), signature];
        assert_eq!(phone.signs_in_as(&world, &handle, rp, given).await, Err(AuthError::Invalid), "{handle:?} {rp}");
    }
    // Someone else's authenticator, under the same id and name.
    let other = Authenticator { handle: phone.handle.clone(), ..Authenticator::new(directory, bert, b"phone") };
    assert_eq!(other.signs_in(&world, UP | UV, 0).await, Err(AuthError::Invalid));

    directory.set_enabled(bert, false).await.unwrap();
    assert_eq!(phone.signs_in(&world, UP | UV, 0).await, Err(AuthError::Disabled));
    directory.set_enabled(bert, true).await.unwrap();
    assert_eq!(directory.remove_passkey(bert, id).await.unwrap().as_deref(), Some("Phone"));
    assert_eq!(directory.remove_passkey(bert, id).await.unwrap(), None);
    assert_eq!(phone.signs_in(&world, UP | UV, 0).await, Err(AuthError::Invalid), "removed");
}

#[tokio::test]
async fn a_key_that_asked_for_nothing_when_it_was_added_never_signs_in_alone() {
    let world = World::new().await;
    let (directory, bert) = (&world.directory, world.bert);
    for (name, verified, is_alone) in [("a", false, true), ("b", true, false), ("c", false, false)] {
        let key = Authenticator::new(directory, bert, name.as_bytes());
        let registered = key.registered(verified);
        let new = NewPasskey { name: name.into(), rp_id: RP.into(), registered, is_alone, transports: vec![] };
        directory.add_passkey(bert, new).await.unwrap();
        // Whoever finds it gives it a PIN, and now it verifies.
        assert_eq!(key.signs_in(&world, UP | UV, 0).await, Err(AuthError::Invalid), "{name}");
        directory.enable_passkey_step(bert).await.unwrap();
        assert!(key.steps(&world, "bert", PASSWORD).await.unwrap().is_some(), "{name}");
    }
    assert!(directory.passkeys(bert).unwrap().iter().all(|one| !one.is_alone));
}

#[tokio::test]
async fn a_counter_that_goes_back_is_refused_and_told() {
    let world = World::new().await;
    let (directory, bert) = (&world.directory, world.bert);
    let key = Authenticator::new(directory, bert, b"key");
    key.add(directory, bert, true).await.unwrap();
    for (counter, result) in [
        (5, Ok(bert)),
        (6, Ok(bert)),
        (6, Err(AuthError::Invalid)),
        (2, Err(AuthError::Invalid)),
        (0, Err(AuthError::Invalid)),
        (7, Ok(bert)),
    ] {
        assert_eq!(key.signs_in(&world, UP | UV, counter).await, result, "{counter}");
    }
    let trail = directory.audit_trail(Some(bert), None, 100).unwrap();
    assert_eq!(trail.iter().filter(|entry| entry.what.contains("copied")).count(), 3);
}

#[tokio::test]
async fn as_the_second_step_a_passkey_leaves_no_way_around() {
    let world = World::new().await;
    let (directory, bert) = (&world.directory, world.bert);
    assert!(directory.enable_passkey_step(bert).await.is_err(), "there is no passkey");
    let key = Authenticator::new(directory, bert, b"key");
    let id = key.add(directory, bert, false).await.unwrap();
    assert_eq!(world.login("bert", PASSWORD).await.unwrap().account, bert, "a passkey alone changes nothing");
    let recovery = directory.enable_passkey_step(bert).await.unwrap();
    assert_eq!(recovery.len(), 10);
    assert!(directory.second_steps(bert).unwrap().is_on() && directory.totp_enabled(bert).unwrap());
    assert!(directory.enable_passkey_step(bert).await.unwrap().is_empty(), "the codes stay");
    // The password alone opens nothing, at any door.
    for service in [Service::Web, Service::Imap, Service::Smtp, Service::Pop3, Service::ManageSieve] {
        let refused = world.try_login("bert", Secret::Password(PASSWORD), service, "192.0.2.1").await;
        assert_eq!(refused, Err(AuthError::TotpRequired), "{service:?}");
    }
    let peer = "192.0.2.1".parse().unwrap();
    assert!(directory.scram("bert", peer, Service::Imap).await.unwrap().logins().is_empty());
    let web = async |code: &str| {
        world.try_login("bert", Secret::PasswordAndCode(PASSWORD, code), Service::Web, "192.0.2.1").await
    };
    for wrong in ["", "000000", "123456", "abcd-efgh"] {
        assert_eq!(web(wrong).await, Err(AuthError::Invalid), "{wrong:?}");
    }
    assert_eq!(key.steps(&world, "bert", "wrong").await, Err(AuthError::Invalid));
    assert_eq!(key.steps(&world, "anna", PASSWORD).await.unwrap(), None, "she has no second step");
    assert_eq!(key.steps(&world, "bert", PASSWORD).await, Ok(Some(id)));
    // All keys are lost.
    web(&recovery[0]).await.unwrap();
    assert_eq!(web(&recovery[0]).await, Err(AuthError::Invalid));
    assert_eq!(directory.second_steps(bert).unwrap().codes_left, 9);
    let renewed = directory.renew_recovery_codes(bert).await.unwrap();
    assert_eq!(web(&recovery[1]).await, Err(AuthError::Invalid));
    web(&renewed[1]).await.unwrap();
    // The last one is not removed in passing.
    assert!(matches!(directory.remove_passkey(bert, id).await, Err(DirectoryError::LastSecondStep)));
    assert_eq!(directory.remove_all_passkeys(bert).await.unwrap(), ["Phone"]);
    assert_eq!(key.steps(&world, "bert", PASSWORD).await, Err(AuthError::Invalid));
    assert_eq!(world.login("bert", PASSWORD).await, Err(AuthError::TotpRequired), "not even now");
    web(&renewed[2]).await.unwrap();
    directory.disable_totp(bert).await.unwrap();
    world.login("bert", PASSWORD).await.unwrap();
    assert!(directory.renew_recovery_codes(bert).await.is_err());
}

#[tokio::test]
async fn a_removed_passkey_signs_out_those_who_came_with_it() {
    let world = World::new().await;
    let (directory, bert) = (&world.directory, world.bert);
    let (one, two) = (Authenticator::new(directory, bert, b"one"), Authenticator::new(directory, bert, b"two"));
    let (one, two) = (one.add(directory, bert, true).await.unwrap(), two.add(directory, bert, true).await.unwrap());
    let mut tokens = Vec::new();
    for passkey in [Some(one), Some(two), None] {
        tokens.push(directory.create_session_by(bert, passkey, "192.0.2.1", "Firefox").await.unwrap());
    }
    let mut ended = directory.session_access(&directory.session(&tokens[0]).unwrap().unwrap(), false);
    directory.remove_passkey(bert, one).await.unwrap();
    ended.ended().await;
    let there: Vec<bool> = tokens.iter().map(|token| directory.session(token).unwrap().is_some()).collect();
    assert_eq!(there, [false, true, true]);
}

#[tokio::test]
async fn there_are_only_so_many() {
    let world = World::new().await;
    let (directory, bert) = (&world.directory, world.bert);
    for number in 0..MAX_PASSKEYS {
        Authenticator::new(directory, bert, &[u8::try_from(number).unwrap()]).add(directory, bert, true).await.unwrap();
    }
    let more = Authenticator::new(directory, bert, b"more");
    assert!(matches!(more.add(directory, bert, true).await, Err(DirectoryError::TooMany { .. })));
    let long = NewPasskey {
        name: "x".repeat(101),
        rp_id: RP.into(),
        registered: more.registered(true),
        is_alone: true,
        transports: vec![],
    };
    assert!(matches!(directory.add_passkey(bert, long).await, Err(DirectoryError::TooLong { .. })));
}
