//! Addresses that people make themselves: aliases and masked addresses.

use directory::{
    AuthError, DirectoryError, DirectoryOptions, OwnAddresses, Resolved, Secret, Service, count_mask_in, looks_masked,
};
use store::StoreError;

use crate::world::{PASSWORD, World, address, new_account};

async fn world(aliases: usize, masked: usize) -> World {
    World::with(DirectoryOptions { own_addresses: OwnAddresses { aliases, masked }, ..DirectoryOptions::default() })
        .await
}

fn resolved(world: &World, text: &str) -> Resolved {
    world.directory.resolve(&address(text)).unwrap()
}

#[tokio::test]
async fn a_masked_address_reaches_its_owner_until_it_is_blocked_or_deleted() {
    let world = world(0, 3).await;
    let (directory, bert) = (&world.directory, world.bert);
    directory.add_alias(world.anna, "@here.example").await.unwrap();
    let mask = directory.create_mask(bert, " Shop ").await.unwrap();
    assert!(looks_masked(&mask) && mask.ends_with("@here.example"), "{mask}");
    for way in [mask.clone(), mask.to_uppercase(), mask.replacen('@', "+more@", 1)] {
        assert_eq!(resolved(&world, &way), Resolved::Account(bert), "{way}");
    }
    assert!(directory.may_send_as(bert, &address(&mask)).unwrap());
    assert!(!directory.may_send_as(world.anna, &address(&mask)).unwrap());
    assert!(directory.addresses_of(bert).unwrap().contains(&mask));
    directory.block_mask(bert, &mask, true).await.unwrap();
    for way in [mask.clone(), mask.replacen('@', "+more@", 1)] {
        assert_eq!(resolved(&world, &way), Resolved::NoSuchAddress, "{way}: not by the catch-all either");
    }
    assert!(!directory.may_send_as(bert, &address(&mask)).unwrap());
    assert!(!directory.addresses_of(bert).unwrap().contains(&mask));
    assert!(directory.all_addresses().unwrap().contains(&(mask.clone(), None)), "a relay refuses it too");
    assert!(directory.masks(bert).unwrap()[0].blocked);
    directory.block_mask(bert, &mask, false).await.unwrap();
    assert_eq!(resolved(&world, &mask), Resolved::Account(bert));
    directory.delete_mask(bert, &mask).await.unwrap();
    assert_eq!(resolved(&world, &mask), Resolved::NoSuchAddress, "the catch-all is somebody else's");
    assert_eq!(resolved(&world, "else@here.example"), Resolved::Account(world.anna));
    assert!(directory.masks(bert).unwrap().is_empty());
}

#[tokio::test]
async fn nobody_else_gets_a_masked_address_by_any_way() {
    let world = world(5, 3).await;
    let (directory, bert, anna) = (&world.directory, world.bert, world.anna);
    let mask = directory.create_mask(bert, "").await.unwrap();
    for deleted in [false, true] {
        if deleted {
            directory.delete_mask(bert, &mask).await.unwrap();
        }
        let taken = |result: Result<(), DirectoryError>| {
            assert!(matches!(result, Err(DirectoryError::AddressTaken(_))), "{deleted} {result:?}");
        };
        taken(directory.add_alias(anna, &mask).await);
        taken(directory.add_own_alias(anna, &mask).await);
        taken(directory.rename_account(anna, &address(&mask), false).await);
        taken(directory.create_account(new_account(&mask, directory::Role::User)).await.map(drop));
        let other = directory.block_mask(anna, &mask, true).await;
        assert!(matches!(other, Err(DirectoryError::NoSuchAccount(_))));
        assert!(directory.delete_mask(anna, &mask).await.is_err());
        assert!(directory.remove_own_alias(bert, &mask).await.is_err());
    }
    // Letters of that number that are nobody's are like others.
    directory.add_alias(anna, "abcdefghijkmnpqrst@here.example").await.unwrap();
    assert_eq!(resolved(&world, "abcdefghijkmnpqrst@here.example"), Resolved::Account(anna));
}

#[tokio::test]
async fn masked_addresses_are_no_logins_and_are_bounded() {
    let world = world(0, 3).await;
    let (directory, bert) = (&world.directory, world.bert);
    let mut made = std::collections::HashSet::new();
    for number in 0..3 {
        made.insert(directory.create_mask(bert, &format!("site {number}")).await.unwrap());
    }
    assert_eq!(made.len(), 3);
    let more = directory.create_mask(bert, "one more").await;
    assert!(matches!(more, Err(DirectoryError::TooMany { limit: 3, .. })), "{more:?}");
    let long = directory.create_mask(bert, &"x".repeat(101)).await;
    assert!(matches!(long, Err(DirectoryError::TooLong { .. })));
    for mask in &made {
        let login = world.try_login(mask, Secret::Password(PASSWORD), Service::Imap, "192.0.2.1").await;
        assert_eq!(login, Err(AuthError::Invalid));
    }
    let names: Vec<_> = directory.masks(bert).unwrap().into_iter().map(|mask| mask.name).collect();
    assert_eq!(names.len(), 3);
}

#[tokio::test]
async fn messages_are_counted_and_a_deleted_account_comes_back_with_its_masked_addresses() {
    let world = world(2, 3).await;
    let (directory, bert) = (&world.directory, world.bert);
    let (mask, blocked) =
        (directory.create_mask(bert, "shop").await.unwrap(), directory.create_mask(bert, "spam").await.unwrap());
    directory.add_own_alias(bert, "bertie@here.example").await.unwrap();
    directory.block_mask(bert, &blocked, true).await.unwrap();
    let recipients = [
        mask.clone(),
        mask.replacen('@', "+x@", 1),
        mask.to_uppercase(),
        "bert@here.example".to_owned(),
        "@".to_owned(),
    ];
    for recipient in recipients {
        world.store.transact(move |tx| count_mask_in(tx, bert, &recipient)).await.unwrap();
    }
    let of = |address: &str| directory.masks(bert).unwrap().into_iter().find(|mask| mask.address == address).unwrap();
    assert_eq!((of(&mask).count, of(&mask).last_ms), (3, Some(world.now_ms())));
    assert_eq!((of(&blocked).count, of(&blocked).last_ms, of(&blocked).blocked), (0, None, true));
    world.pass_ms(1_000);
    let deleted_ms = world.now_ms();
    directory.delete_account(bert).await.unwrap();
    assert_eq!(resolved(&world, &mask), Resolved::NoSuchAddress);
    let deleted = directory.deleted_account(&address("bert@here.example")).unwrap().unwrap();
    assert!(deleted.1 >= deleted_ms);
    assert!(directory.bring_back(bert, deleted.1).await.unwrap().is_empty());
    assert_eq!(resolved(&world, &mask), Resolved::Account(bert));
    assert_eq!((of(&mask).count, of(&blocked).blocked), (3, true));
    assert_eq!(resolved(&world, &blocked), Resolved::NoSuchAddress);
    assert_eq!(directory.own_aliases(bert).unwrap(), ["bertie@here.example"]);
    let after = world.store.transact(move |tx| count_mask_in(tx, bert, "nobody@here.example")).await;
    assert_eq!(after.map_err(|error: StoreError| error.to_string()), Ok(()));
}

#[tokio::test]
async fn people_make_as_many_aliases_as_they_may_and_take_nobodys_mail() {
    let world = world(2, 0).await;
    let (directory, bert) = (&world.directory, world.bert);
    directory.add_domain("there.example").await.unwrap();
    for reserved in [
        "postmaster",
        "Abuse",
        "a.d.m.i.n",
        "info",
        "mailer-daemon",
        "MailerDaemon",
        "no_reply",
        "root",
        "ab",
        "anna+x",
        "it",
    ] {
        let refused = directory.add_own_alias(bert, &format!("{reserved}@here.example")).await;
        assert!(matches!(refused, Err(DirectoryError::Reserved(_))), "{reserved}: {refused:?}");
    }
    for wrong in ["", "@here.example", "carl", "a b@here.example", ".carl@here.example"] {
        assert!(directory.add_own_alias(bert, wrong).await.is_err(), "{wrong}");
    }
    for elsewhere in ["carl@there.example", "carl@gone.example"] {
        let refused = directory.add_own_alias(bert, elsewhere).await;
        assert!(matches!(refused, Err(DirectoryError::NoSuchDomain(_))), "{elsewhere}: {refused:?}");
    }
    assert!(matches!(directory.add_own_alias(bert, "anna@here.example").await, Err(DirectoryError::AddressTaken(_))));
    directory.add_own_alias(bert, "Bertie@HERE.example").await.unwrap();
    directory.add_alias(bert, "given@here.example").await.unwrap();
    directory.add_own_alias(bert, "b.erger@here.example").await.unwrap();
    let more = directory.add_own_alias(bert, "third@here.example").await;
    assert!(matches!(more, Err(DirectoryError::TooMany { limit: 2, .. })), "{more:?}");
    assert!(directory.remove_own_alias(bert, "given@here.example").await.is_err(), "the administrator gave that");
    assert!(directory.remove_own_alias(bert, "bert@here.example").await.is_err());
    assert!(directory.remove_own_alias(world.anna, "bertie@here.example").await.is_err());
    directory.remove_own_alias(bert, "bertie@here.example").await.unwrap();
    assert_eq!(resolved(&world, "bertie@here.example"), Resolved::NoSuchAddress);
    directory.add_own_alias(bert, "third@here.example").await.unwrap();
    let none = self::world(0, 0).await;
    assert!(matches!(
        none.directory.add_own_alias(none.bert, "more@here.example").await,
        Err(DirectoryError::TooMany { .. })
    ));
    assert!(matches!(none.directory.create_mask(none.bert, "x").await, Err(DirectoryError::TooMany { .. })));
}

#[tokio::test]
async fn mail_to_a_blocked_one_goes_where_its_owner_wants_it_and_never_gives_the_right_to_send() {
    let world = World::new().await;
    let (directory, bert) = (&world.directory, world.bert);
    let mask = directory.create_mask(bert, "shop").await.unwrap();
    let parsed = mailkit::EmailAddress::parse(&mask).unwrap();
    directory.block_mask(bert, &mask, true).await.unwrap();
    for wanted in directory::BlockedMail::ALL {
        let settings = directory::Settings { blocked_masks: wanted.number(), ..directory::Settings::default() };
        directory.set_settings(bert, settings).await.unwrap();
        let is_refused = wanted == directory::BlockedMail::Refuse;
        let resolved = if is_refused { Resolved::NoSuchAddress } else { Resolved::Account(bert) };
        assert_eq!(directory.resolve(&parsed).unwrap(), resolved, "{wanted:?}");
        let came = directory.came(bert, &parsed).unwrap();
        assert_eq!(came.blocked, Some(wanted).filter(|_| !is_refused), "{wanted:?}");
        assert!(!directory.may_send_as(bert, &parsed).unwrap(), "{wanted:?}");
    }
    directory.block_mask(bert, &mask, false).await.unwrap();
    assert_eq!(directory.came(bert, &parsed).unwrap().blocked, None);
    assert!(directory.may_send_as(bert, &parsed).unwrap());
}
