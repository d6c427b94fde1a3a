//! The audit trail: who did what to whom.

use directory::AuditFilter;

use crate::world::{DAY_MS, World, address};

#[tokio::test]
async fn the_audit_trail_is_paged_newest_first_and_forgets_after_its_time() {
    let world = World::new().await;
    let directory = &world.directory;
    directory.audit(Some(world.bert), "bert", "ancient", "").await.unwrap();
    world.pass_ms(401 * DAY_MS);
    for number in 0..5 {
        directory.audit(Some(world.bert), "bert", &format!("act {number}"), "192.0.2.1").await.unwrap();
        world.pass_ms(1);
    }
    directory.audit(None, "service", "elsewhere", "").await.unwrap();
    let what = |before, limit| {
        let entries = directory.audit_trail(Some(world.bert), before, limit).unwrap();
        (entries.last().map(|entry| entry.at_ms), entries.into_iter().map(|entry| entry.what).collect::<Vec<_>>())
    };
    let (last, newest) = what(None, 2);
    assert_eq!(newest, ["act 4", "act 3"]);
    assert_eq!(what(last, 100).1, ["act 2", "act 1", "act 0"]);
}

#[tokio::test]
async fn what_is_done_to_an_account_stands_in_its_trail_and_the_services_under_its_names() {
    let world = World::new().await;
    let directory = &world.directory;
    directory.audit(Some(world.bert), "command line", "set the password", "").await.unwrap();
    world.pass_ms(1);
    directory.audit(None, "command line", "added the domain x.example", "").await.unwrap();
    world.pass_ms(1);
    directory.audit(Some(world.anna), "bert@here.example", "made it an administrator", "192.0.2.1").await.unwrap();
    let names = |entries: Vec<directory::AuditEntry>| -> Vec<(String, Option<String>)> {
        entries.into_iter().map(|entry| (entry.what, entry.about.map(|about| about.to_string()))).collect()
    };
    let of = |what: &str, whom: &str| (what.to_owned(), (!whom.is_empty()).then(|| whom.to_owned()));
    let all = || names(directory.audit_search(&AuditFilter::default(), 10).unwrap());
    let bert = AuditFilter { account: Some(world.bert), ..AuditFilter::default() };
    let berts = || names(directory.audit_search(&bert, 10).unwrap());
    let expected = [
        of("made it an administrator", "anna@here.example"),
        of("added the domain x.example", ""),
        of("set the password", "bert@here.example"),
    ];
    assert_eq!(all(), expected);
    assert_eq!(berts(), [of("set the password", "bert@here.example")], "it stands there once");
    assert_eq!(names(directory.audit_trail(Some(world.bert), None, 9).unwrap()), berts());
    // Under another address it is known by both.
    directory.rename_account(world.bert, &address("berta@here.example"), false).await.unwrap();
    assert_eq!(berts(), [of("set the password", "bert@here.example (now berta@here.example)")]);
    // What is deleted, and even cleared away, is still known.
    directory.delete_account(world.bert).await.unwrap();
    world.pass_ms(1);
    directory.audit_deleted(world.bert, "command line", "deleted the account", "").await.unwrap();
    let gone = [
        of("deleted the account", "berta@here.example (deleted)"),
        of("set the password", "bert@here.example (deleted)"),
    ];
    assert_eq!(berts(), gone);
    directory.mark_purged(world.bert).await.unwrap();
    assert_eq!(berts(), gone);
    assert_eq!(all()[0], gone[0]);
    // Between two moments.
    let at = directory.audit_search(&AuditFilter::default(), 10).unwrap()[2].at_ms;
    let between = AuditFilter { account: None, since_ms: Some(at), before_ms: Some(at + 1), ..AuditFilter::default() };
    assert_eq!(names(directory.audit_search(&between, 10).unwrap()), [of("added the domain x.example", "")]);
    let upside_down =
        AuditFilter { account: None, since_ms: Some(at), before_ms: Some(at - 1), ..AuditFilter::default() };
    assert!(directory.audit_search(&upside_down, 10).unwrap().is_empty());
}

#[tokio::test]
async fn entries_of_older_versions_that_name_accounts_by_number_are_read_with_addresses() {
    let world = World::new().await;
    let (directory, bert) = (&world.directory, world.bert);
    for (stored, read) in [
        (format!("deleted account {bert}"), "deleted account bert@here.example"),
        (
            format!("gave account {bert} the address x@here.example"),
            "gave account bert@here.example the address x@here.example",
        ),
        ("changed account 4000000".to_owned(), "changed account 4000000"),
        (format!("dropped {bert} messages"), &*format!("dropped {bert} messages")),
        ("account".to_owned(), "account"),
    ] {
        directory.audit(None, "ann", &stored, "").await.unwrap();
        assert_eq!(directory.audit_trail(None, None, 1).unwrap()[0].what, read);
        world.pass_ms(1);
    }
}

#[tokio::test]
async fn an_account_cant_fill_the_services_trail_with_acts_of_its_own() {
    let world = World::new().await;
    let directory = &world.directory;
    for number in 0..30 {
        directory.audit(Some(world.bert), "Bert@here.example", &format!("act {number}"), "").await.unwrap();
    }
    assert_eq!(directory.audit_trail(Some(world.bert), None, 100).unwrap().len(), 30);
    assert_eq!(directory.audit_trail(None, None, 100).unwrap().len(), 20);
    // What others do to it stands there all the same, and its own the next day too.
    directory.audit(Some(world.bert), "command line", "set the password", "").await.unwrap();
    assert_eq!(directory.audit_trail(None, None, 100).unwrap().len(), 21);
    world.pass_ms(2 * DAY_MS);
    directory.audit(Some(world.bert), "bert@here.example", "act 31", "").await.unwrap();
    assert_eq!(directory.audit_trail(None, None, 100).unwrap().len(), 22);
}

#[tokio::test]
async fn the_trail_is_searched_by_actor_and_by_words() {
    let world = World::new().await;
    let (directory, bert) = (&world.directory, world.bert);
    for (who, what, account) in [
        ("Anna@here.example", "set the password", Some(bert)),
        ("command line", "added the domain M\u{fc}nchen.example", None),
        ("service", "set MTA-STS of the domain x.example", None),
        ("anna@here.example", "dropped 3 messages in the queue", None),
    ] {
        world.pass_ms(1);
        directory.audit(account, who, what, "").await.unwrap();
    }
    let found = |account, who: &str, what: &str| {
        let filter = AuditFilter { account, who: who.to_owned(), what: what.to_owned(), ..AuditFilter::default() };
        directory.audit_search(&filter, 10).unwrap().into_iter().map(|entry| entry.what).collect::<Vec<_>>()
    };
    assert_eq!(found(None, "anna", ""), ["dropped 3 messages in the queue", "set the password"]);
    assert_eq!(found(None, " ANNA@HERE ", "PASS"), ["set the password"]);
    assert_eq!(found(None, "", "m\u{fc}nchen"), ["added the domain M\u{fc}nchen.example"]);
    assert_eq!(found(None, "", "set "), ["set MTA-STS of the domain x.example", "set the password"]);
    assert_eq!(found(Some(bert), "", "set "), ["set the password"]);
    assert_eq!(found(Some(bert), "service", ""), Vec::<String>::new());
    assert_eq!(found(None, "nobody", ""), Vec::<String>::new());
    // The end of a page is found again by its moment, also when entries between do not match.
    let filter = AuditFilter { who: "anna".to_owned(), ..AuditFilter::default() };
    let first = directory.audit_search(&filter, 1).unwrap();
    let next = AuditFilter { before_ms: Some(first[0].at_ms), ..filter };
    assert_eq!(directory.audit_search(&next, 1).unwrap()[0].what, "set the password");
}
