//! Accounts, addresses, domains.

use directory::{DirectoryError, Resolved, Role, Settings};

use crate::world::{World, address, new_account};

#[tokio::test]
async fn mail_finds_its_account_by_address_detail_alias_and_catch_all() {
    let world = World::new().await;
    let directory = &world.directory;
    let resolve = |text: &str| directory.resolve(&address(text)).unwrap();
    assert_eq!(resolve("anna@here.example"), Resolved::Account(world.anna));
    assert_eq!(resolve("Anna@HERE.example"), Resolved::Account(world.anna));
    assert_eq!(resolve("anna+lists@here.example"), Resolved::Account(world.anna));
    assert_eq!(resolve("info@here.example"), Resolved::NoSuchAddress);
    assert_eq!(resolve("anna@there.example"), Resolved::NoSuchDomain);
    directory.add_alias(world.bert, "info@here.example").await.unwrap();
    assert_eq!(resolve("info+x@here.example"), Resolved::Account(world.bert));
    directory.add_alias(world.bert, "@here.example").await.unwrap();
    assert_eq!(resolve("whoever@here.example"), Resolved::Account(world.bert));
    assert_eq!(resolve("anna@here.example"), Resolved::Account(world.anna));
    assert_eq!(
        directory.addresses_of(world.bert).unwrap(),
        ["bert@here.example", "@here.example", "info@here.example"]
    );
    assert!(directory.may_send_as(world.bert, &address("info@here.example")).unwrap());
    assert!(!directory.may_send_as(world.bert, &address("anna@here.example")).unwrap());
    directory.remove_alias(world.bert, "@here.example").await.unwrap();
    assert_eq!(resolve("whoever@here.example"), Resolved::NoSuchAddress);
}

#[tokio::test]
async fn an_address_has_one_account() {
    let world = World::new().await;
    let directory = &world.directory;
    let taken = directory.create_account(new_account("ANNA@here.example", Role::User)).await;
    assert!(matches!(taken, Err(DirectoryError::AddressTaken(_))), "{taken:?}");
    let taken = directory.add_alias(world.bert, "anna@here.example").await;
    assert!(matches!(taken, Err(DirectoryError::AddressTaken(_))), "{taken:?}");
    let foreign = directory.add_alias(world.bert, "bert@there.example").await;
    assert!(matches!(foreign, Err(DirectoryError::NoSuchDomain(_))), "{foreign:?}");
    let login = directory.remove_alias(world.bert, "bert@here.example").await;
    assert!(matches!(login, Err(DirectoryError::LoginAddress(_))), "{login:?}");
    let others = directory.remove_alias(world.bert, "anna@here.example").await;
    assert!(others.is_err());
}

#[tokio::test]
async fn of_many_who_want_an_address_at_once_one_gets_it() {
    let world = World::new().await;
    let attempts: Vec<_> = (0..8)
        .map(|number| {
            let (directory, account) = (world.directory.clone(), if number % 2 == 0 { world.anna } else { world.bert });
            tokio::spawn(async move { directory.add_alias(account, "wanted@here.example").await.is_ok() })
        })
        .collect();
    let mut winners = 0;
    for attempt in attempts {
        winners += usize::from(attempt.await.unwrap());
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn a_deleted_account_gets_no_mail_and_its_number_is_not_given_again() {
    let world = World::new().await;
    let directory = &world.directory;
    directory.add_alias(world.bert, "info@here.example").await.unwrap();
    directory.delete_account(world.bert).await.unwrap();
    for gone in ["bert@here.example", "info@here.example"] {
        assert_eq!(directory.resolve(&address(gone)).unwrap(), Resolved::NoSuchAddress);
    }
    assert_eq!(directory.account(world.bert).unwrap(), None);
    assert_eq!(directory.accounts().unwrap().len(), 1);
    let next = directory.create_account(new_account("bert@here.example", Role::User)).await.unwrap();
    assert!(next > world.bert);
}

#[tokio::test]
async fn there_is_always_an_administrator() {
    let world = World::new().await;
    let directory = &world.directory;
    let last = |result| assert!(matches!(result, Err(DirectoryError::LastAdmin)), "{result:?}");
    last(directory.set_role(world.anna, Role::User).await);
    last(directory.set_enabled(world.anna, false).await);
    last(directory.delete_account(world.anna).await);
    directory.set_role(world.bert, Role::Admin).await.unwrap();
    directory.delete_account(world.anna).await.unwrap();
}

#[tokio::test]
async fn a_domain_comes_with_keys_and_the_records_to_set_and_goes_only_when_empty() {
    let world = World::new().await;
    let directory = &world.directory;
    let domain = directory.add_domain("Bücher.example").await.unwrap();
    assert_eq!(domain.name, "xn--bcher-kva.example");
    assert_eq!(domain.dkim.len(), 2);
    assert!(matches!(directory.add_domain("bücher.EXAMPLE").await, Err(DirectoryError::DomainTaken(_))));
    assert!(directory.add_domain("not a domain").await.is_err());
    let names: Vec<String> = domain.dkim.iter().map(|key| key.dns_name(&domain.name)).collect();
    assert_eq!(names, ["hf-rsa", "hf-ed25519"].map(|name| format!("{name}._domainkey.{}", domain.name)));

    let used = directory.remove_domain("here.example").await;
    assert!(matches!(used, Err(DirectoryError::DomainInUse { .. })), "{used:?}");
    directory.remove_domain("bücher.example").await.unwrap();
    assert!(directory.domain("bücher.example").unwrap().is_none());
}

#[tokio::test]
async fn settings_and_quota_are_kept_and_bounded() {
    let world = World::new().await;
    let directory = &world.directory;
    assert_eq!(directory.settings(world.bert).unwrap(), Settings::default());
    let chosen = Settings { signature: "Bert".to_owned(), theme: "dark".to_owned(), ..Settings::default() };
    directory.set_settings(world.bert, chosen.clone()).await.unwrap();
    assert_eq!(directory.settings(world.bert).unwrap(), chosen);
    let endless = Settings { signature: "x".repeat(1 << 20), ..Settings::default() };
    assert!(matches!(directory.set_settings(world.bert, endless).await, Err(DirectoryError::TooLong { .. })));
    assert_eq!(directory.quota_limit(world.bert), None);
    directory.set_quota(world.bert, 5_000).await.unwrap();
    assert_eq!(directory.quota_limit(world.bert), Some(5_000));
}

#[tokio::test]
async fn a_renamed_account_keeps_its_password_sessions_app_passwords_and_number() {
    for (new, keep_old) in [
        ("berta@here.example", true),
        ("berta@here.example", false),
        ("Berta@HERE.example", true),
        // One of its own aliases, its own address in other letters, and its own address.
        ("info@here.example", true),
        ("info@here.example", false),
        ("BERT@here.example", true),
        ("bert@here.example", false),
    ] {
        let world = World::new().await;
        let directory = &world.directory;
        directory.add_alias(world.bert, "info@here.example").await.unwrap();
        let app = directory.create_app_password(world.bert, "phone").await.unwrap();
        let token = directory.create_session(world.bert, "192.0.2.1", "a browser").await.unwrap();
        directory.rename_account(world.bert, &address(new), keep_old).await.unwrap();
        let canonical = address(new).canonical();
        assert_eq!(directory.account(world.bert).unwrap().unwrap().address.canonical(), canonical, "{new}");
        assert_eq!(directory.addresses_of(world.bert).unwrap()[0], canonical);
        let is_same = canonical == "bert@here.example";
        let old = directory.resolve(&address("bert@here.example")).unwrap();
        assert_eq!(old == Resolved::Account(world.bert), keep_old || is_same, "{new}, {keep_old}");
        assert_eq!(directory.resolve(&address("info@here.example")).unwrap(), Resolved::Account(world.bert));
        for password in [crate::world::PASSWORD, &app.password] {
            assert_eq!(world.login(&canonical, password).await.unwrap().account, world.bert, "{new}");
        }
        assert!(directory.session(&token).unwrap().is_some(), "{new}");
        assert_eq!(world.violations(), Vec::<String>::new(), "{new}");
    }
}

#[tokio::test]
async fn an_account_gets_no_address_that_is_not_free_and_ours() {
    let world = World::new().await;
    let directory = &world.directory;
    directory.add_alias(world.anna, "boss@here.example").await.unwrap();
    for taken in ["anna@here.example", "ANNA@here.example", "boss@here.example"] {
        let refused = directory.rename_account(world.bert, &address(taken), true).await;
        assert!(matches!(refused, Err(DirectoryError::AddressTaken(_))), "{taken}: {refused:?}");
    }
    let foreign = directory.rename_account(world.bert, &address("bert@there.example"), true).await;
    assert!(matches!(foreign, Err(DirectoryError::NoSuchDomain(_))), "{foreign:?}");
    let nobody = directory.rename_account(directory::AccountId(99), &address("new@here.example"), true).await;
    assert!(matches!(nobody, Err(DirectoryError::NoSuchAccount(_))), "{nobody:?}");
    assert_eq!(directory.account(world.bert).unwrap().unwrap().address.canonical(), "bert@here.example");
}

#[tokio::test]
async fn names_that_no_mail_can_come_to_are_domains_for_an_operator_only() {
    let world = World::new().await;
    let directory = &world.directory;
    for name in ["localhost", "intranet", "münchen", "[192.0.2.1]", "[IPv6:2001:db8::1]", "192.0.2.7", "10.1"] {
        let refused = directory.add_domain(name).await.map(|domain| domain.name);
        assert!(matches!(refused, Err(DirectoryError::NotPublic(_))), "{name}: {refused:?}");
        let (added, is_local) = directory.add_domain_as_operator(name).await.unwrap();
        assert!(is_local, "{}", added.name);
    }
    for name in ["a.example", "xn--mnchen-3ya.example", "bücher.test", "1.2.3.example", "sub.domain.co.uk"] {
        directory.add_domain(name).await.unwrap();
    }
    for name in ["", "a..example", "-.example", "a b.example", "a_b.example", ".example"] {
        let refused = directory.add_domain(name).await.map(|domain| domain.name);
        assert!(matches!(refused, Err(DirectoryError::BadAddress(_))), "{name}: {refused:?}");
    }
}

#[tokio::test]
async fn a_domain_goes_with_its_aliases_but_never_with_a_login() {
    let world = World::new().await;
    let directory = &world.directory;
    directory.add_domain("bücher.example").await.unwrap();
    for alias in ["info@bücher.example", "@bücher.example"] {
        directory.add_alias(world.bert, alias).await.unwrap();
    }
    let found = directory.domain_addresses("bücher.example").unwrap();
    assert_eq!((found.logins.len(), found.aliases.len()), (0, 2));
    let used = directory.remove_domain("bücher.example").await;
    assert!(matches!(used, Err(DirectoryError::DomainInUse { .. })), "{used:?}");
    directory.rename_account(world.anna, &address("anna@xn--bcher-kva.example"), true).await.unwrap();
    let used = directory.remove_domain_with_aliases("bücher.example").await;
    assert!(matches!(used, Err(DirectoryError::DomainInUse { .. })), "{used:?}");
    assert_eq!(directory.domain_addresses("bücher.example").unwrap().aliases.len(), 2, "nothing was taken");
    directory.rename_account(world.anna, &address("anna@here.example"), false).await.unwrap();
    directory.remove_domain_with_aliases("xn--bcher-kva.example").await.unwrap();
    assert_eq!(directory.addresses_of(world.bert).unwrap(), ["bert@here.example"]);
    assert!(directory.domain("bücher.example").unwrap().is_none());
    let again = directory.remove_domain_with_aliases("bücher.example").await;
    assert!(matches!(again, Err(DirectoryError::NoSuchDomain(_))), "{again:?}");
}

#[tokio::test]
async fn a_domain_says_which_addresses_with_a_detail_it_has() {
    let world = World::new().await;
    let (directory, anna) = (&world.directory, world.anna);
    let resolve = |text: &str| directory.resolve(&address(text)).unwrap();
    let to_anna = Resolved::Account(anna);
    let no_detail = |text: &str| directory.came(anna, &address(text)).unwrap().detail;
    for (plus, subdomains, with_plus, below) in [
        (None, None, to_anna, Resolved::NoSuchDomain),
        (Some(false), None, Resolved::NoSuchAddress, Resolved::NoSuchDomain),
        (None, Some(true), Resolved::NoSuchAddress, to_anna),
        (Some(true), None, to_anna, to_anna),
        (None, Some(false), to_anna, Resolved::NoSuchDomain),
    ] {
        directory.set_addressing("here.example", plus, subdomains).await.unwrap();
        assert_eq!(resolve("anna+lists@here.example"), with_plus, "{plus:?} {subdomains:?}");
        assert_eq!(resolve("lists@Anna.here.example"), below, "{plus:?} {subdomains:?}");
        assert_eq!(resolve("anna@here.example"), to_anna);
        // Nobody of that name, and two labels too many.
        for other in ["lists@nobody.here.example", "lists@anna.sub.here.example", "x@anna.there.example"] {
            assert!(!matches!(resolve(other), Resolved::Account(_)), "{other}");
        }
        assert_eq!(no_detail("anna+lists@here.example"), None, "she has not asked for it");
    }
    assert!(directory.set_addressing("there.example", Some(true), None).await.is_err());
    // A catch-all has what is no address, with or without a plus.
    directory.set_addressing("here.example", Some(false), Some(true)).await.unwrap();
    directory.add_alias(world.bert, "@here.example").await.unwrap();
    assert_eq!(resolve("anna+lists@here.example"), Resolved::Account(world.bert));
    assert_eq!(resolve("lists@nobody.here.example"), Resolved::NoSuchAddress);
    // A detail is what is not the address itself.
    directory.set_addressing("here.example", Some(true), Some(true)).await.unwrap();
    let wish = directory::Settings { files_by_detail: true, ..directory::Settings::default() };
    directory.set_settings(anna, wish).await.unwrap();
    directory.add_alias(anna, "anna+news@here.example").await.unwrap();
    for (to, detail) in [
        ("anna+lists@here.example", Some("lists")),
        ("anna+a+b@here.example", Some("a+b")),
        ("lists@anna.here.example", Some("lists")),
        ("anna@here.example", None),
        ("anna+@here.example", None),
        ("anna+news@here.example", None),
    ] {
        assert_eq!(no_detail(to).as_deref(), detail, "{to}");
    }
}
