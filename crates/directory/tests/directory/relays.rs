//! What relays are told of app passwords.

use directory::{RelayVerifier, Scopes, Service};

use crate::world::World;

#[tokio::test]
async fn relays_know_app_passwords_that_open_smtp_of_accounts_that_allow_it_and_nothing_else() {
    let world = World::new().await;
    let directory = &world.directory;
    let scoped = async |name: &str, services: &[Service]| {
        directory.create_scoped_app_password(world.bert, name, Scopes::of(services).unwrap()).await.unwrap()
    };
    let phone = directory.create_app_password(world.bert, "phone").await.unwrap();
    let sends = scoped("sends", &[Service::Smtp]).await;
    let reads = scoped("reads", &[Service::Imap, Service::Pop3]).await;
    assert_eq!(directory.relay_verifiers().unwrap(), [], "nobody has allowed it");
    directory.set_sends_by_relay(world.bert, true).await.unwrap();
    let known = directory.relay_verifiers().unwrap();
    let opens = |typed: &str| {
        let fits =
            |one: &&RelayVerifier| RelayVerifier::fingerprint_of(typed, &one.salt, one.iterations) == one.fingerprint;
        known.iter().find(fits).map(|one| one.account)
    };
    assert_eq!(known.len(), 2);
    assert_eq!(opens(&phone.password), Some(world.bert));
    assert_eq!(opens(&sends.password.replace('-', " ")), Some(world.bert));
    assert_eq!(opens(&reads.password), None);
    assert_eq!(opens(crate::world::PASSWORD), None, "never the main password");
    directory.revoke_app_password(world.bert, phone.id).await.unwrap();
    assert_eq!(directory.relay_verifiers().unwrap().len(), 1);
    directory.set_enabled(world.bert, false).await.unwrap();
    assert_eq!(directory.relay_verifiers().unwrap(), []);
    directory.set_enabled(world.bert, true).await.unwrap();
    directory.set_sends_by_relay(world.bert, false).await.unwrap();
    assert_eq!(directory.relay_verifiers().unwrap(), []);
}
