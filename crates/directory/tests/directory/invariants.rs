//! What `verify` finds.

use directory::DirectoryError;
use store::{Order, Read as _, RealmId};

use crate::world::World;

/// Deletes a row of the directory realm, looks for violations, and puts it back.
async fn without(world: &World, realm: RealmId, first: u8) -> Vec<String> {
    let row = world.store.snapshot().prefix(realm, &[first], Order::Ascending).unwrap().next().unwrap().unwrap();
    let (key, value) = (row.0.to_vec(), row.1.to_vec());
    let gone = key.clone();
    world
        .store
        .transact(move |tx| {
            tx.delete(realm, gone);
            Ok::<_, DirectoryError>(())
        })
        .await
        .unwrap();
    let violations = world.violations();
    world
        .store
        .transact(move |tx| {
            tx.put(realm, key, value);
            Ok::<_, DirectoryError>(())
        })
        .await
        .unwrap();
    violations
}

#[tokio::test]
async fn tables_that_do_not_agree_are_named() {
    let world = World::new().await;
    let account = without(&world, RealmId::DIRECTORY, directory::schema::ACCOUNT).await;
    assert!(account.iter().any(|what| what.contains("anna@here.example")), "{account:?}");
    let address = without(&world, RealmId::DIRECTORY, directory::schema::ADDRESS).await;
    assert!(address.iter().any(|what| what.contains("does not lead to it")), "{address:?}");
    let own = without(&world, world.anna.realm(), directory::schema::ACCOUNT_ADDRESS).await;
    assert!(own.iter().any(|what| what.contains("does not have it")), "{own:?}");
    let domain = without(&world, RealmId::DIRECTORY, directory::schema::DOMAIN).await;
    assert!(domain.iter().any(|what| what.contains("domain")), "{domain:?}");
    let next = without(&world, RealmId::DIRECTORY, directory::schema::NEXT_ACCOUNT[0]).await;
    assert!(next.iter().any(|what| what.contains("next number")), "{next:?}");
}
