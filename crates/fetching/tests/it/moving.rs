//! Moving house, and new mail for ever, from an honest server that has its troubles.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use directory::{DirectoryOptions, Keyring, Keys};
use fetching::{FetchError, Security, Settings, State, Trouble};
use mailstore::{Flags, NewMessage, Role};

use crate::fake_imap::{Fake, Mailbox, Message};
use crate::world::{SECRET, World, message};

fn mailbox(name: &'static str, uids: std::ops::RangeInclusive<u32>) -> Mailbox {
    Mailbox::new(name, uids.map(|uid| Message::new(uid, message(&format!("{name} {uid}")))).collect())
}

fn subjects(name: &str, uids: std::ops::RangeInclusive<u32>) -> Vec<String> {
    uids.map(|uid| format!("{name} {uid}")).collect()
}

#[tokio::test]
async fn all_mailboxes_come_with_flags_dates_and_names_and_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |_| {}).await;
    let mut inbox = mailbox("INBOX", 1..=3);
    inbox.messages[1].flags = "\\Seen \\Flagged \\Recent $Forwarded work";
    let sent = Mailbox { attributes: "\\HasNoChildren \\Sent", ..mailbox("Verschickt", 5..=5) };
    let deep = mailbox("Work.B&APw-ro", 7..=8);
    let fake = Fake::start(vec![mailbox("Work", 1..=1), inbox, sent, deep]).await;
    let id = world.add(Settings { keeps_on: false, ..World::settings(fake.port) }).await;
    let ended = world.fetching.fetch(world.account, id).await.unwrap();
    assert!(ended.trouble.is_none(), "{:?}", ended.trouble);
    assert_eq!((ended.source.state.clone(), ended.source.progress(), ended.source.filed()), (State::Done, (7, 7), 7));
    assert_eq!(world.subjects("INBOX"), subjects("INBOX", 1..=3));
    assert_eq!(world.subjects("Sent"), ["Verschickt 5"]);
    assert_eq!(world.subjects("Work/Büro").len(), 2);
    let row = &world.rows("INBOX")[1];
    let mut flags: Vec<&str> = row.entry.flags.names().collect();
    flags.sort_unstable();
    assert_eq!(flags, ["$Forwarded", "\\Flagged", "\\Seen", "work"]);
    assert_eq!(row.entry.internal_date_ms, 837_596_665_000);

    fake.state.lock().mailboxes[1].messages.push(Message::new(9, message("new one")));
    let before = fake.texts.load(Ordering::Relaxed);
    let ended = world.fetch(id).await;
    assert_eq!((ended.source.filed(), ended.source.progress()), (8, (8, 8)));
    assert_eq!(fake.texts.load(Ordering::Relaxed), before + 1, "only what is new is asked for");
    assert_eq!(world.subjects("INBOX").last().unwrap(), "new one");
}

#[tokio::test]
async fn a_connection_that_is_cut_anywhere_loses_nothing_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |_| {}).await;
    let fake = Fake::start(Vec::new()).await;
    let mut expected = 0;
    // A stride that has no common measure with the answers: all kinds of places are met.
    for (round, cut) in (1u32..).zip((1..3_200).step_by(67)) {
        let messages = (1..=4).map(|uid| Message::new(uid, message(&format!("r{round} {uid}")))).collect();
        let state = Mailbox { validity: round, ..Mailbox::new("INBOX", messages) };
        {
            let mut server = fake.state.lock();
            (server.mailboxes, server.cut) = (vec![state], Some(cut));
        }
        let id = world.add(World::settings(fake.port)).await;
        let ended = world.fetching.fetch(world.account, id).await.unwrap();
        assert!(
            !matches!(ended.trouble, Some(Trouble::SignIn(_) | Trouble::Hopeless(_))),
            "{cut}: {:?}",
            ended.trouble
        );
        fake.state.lock().cut = None;
        let ended = world.fetch(id).await;
        assert!(ended.trouble.is_none(), "{cut}: {:?}", ended.trouble);
        world.fetching.remove(world.account, id).await.unwrap();
        expected += 4;
        let here = world.subjects("INBOX");
        let mut distinct = here.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!((here.len(), distinct.len()), (expected, expected), "cut after {cut} bytes");
    }
}

#[tokio::test]
async fn after_a_change_of_uidvalidity_messages_are_known_by_their_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |_| {}).await;
    let fake = Fake::start(vec![mailbox("INBOX", 1..=5)]).await;
    let id = world.add(World::settings(fake.port)).await;
    world.fetch(id).await;
    // One was deleted here since, one moved: neither comes again.
    let realm = world.account.realm();
    let inbox = world.mail.mailbox_by_role(realm, Role::Inbox).unwrap().unwrap();
    let uids: Vec<mailstore::Uid> = world.rows("INBOX").iter().map(|row| row.entry.uid).collect();
    world.mail.expunge(realm, inbox.id, &uids[..1]).await.unwrap();
    {
        let mut state = fake.state.lock();
        state.mailboxes[0].validity = 99;
        for (at, one) in state.mailboxes[0].messages.iter_mut().enumerate() {
            one.uid = 100 + at as u32;
        }
        state.mailboxes[0].messages.push(Message::new(200, message("after")));
    }
    let ended = world.fetch(id).await;
    assert!(ended.trouble.is_none());
    let mut expected = subjects("INBOX", 2..=5);
    expected.push("after".to_owned());
    assert_eq!(world.subjects("INBOX"), expected);
    let before = fake.texts.load(Ordering::Relaxed);
    world.fetch(id).await;
    assert_eq!(fake.texts.load(Ordering::Relaxed), before);
}

#[tokio::test]
async fn what_is_here_already_is_recognised_by_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |_| {}).await;
    let realm = world.account.realm();
    let inbox = world.mail.mailbox_by_role(realm, Role::Inbox).unwrap().unwrap().id;
    for uid in [1, 3] {
        let bytes = message(&format!("INBOX {uid}"));
        let (mail, copy) = (world.mail.clone(), bytes.clone());
        let body = tokio::task::spawn_blocking(move || mail.stage(&copy).unwrap()).await.unwrap();
        let new = NewMessage {
            body,
            parsed: Arc::new(mailkit::parse(&bytes)),
            flags: Flags::NONE,
            internal_date_ms: 0,
            delivery_key: None,
            ignore_quota: false,
        };
        world.mail.append(realm, inbox, new).await.unwrap();
    }
    // In two mailboxes there: a copy each here too.
    let copy = Mailbox::new("Copy", vec![Message::new(1, message("INBOX 1"))]);
    let fake = Fake::start(vec![mailbox("INBOX", 1..=4), copy]).await;
    let id = world.add(World::settings(fake.port)).await;
    let ended = world.fetch(id).await;
    assert_eq!(ended.source.filed(), 3);
    assert_eq!(ended.source.mailboxes[0].known, 2);
    assert_eq!((world.subjects("INBOX").len(), world.subjects("Copy").len()), (4, 1));
}

#[tokio::test]
async fn a_wrong_password_pauses_and_tells_once() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |_| {}).await;
    let fake = Fake::start(vec![mailbox("INBOX", 1..=1)]).await;
    fake.state.lock().password = "changed".to_owned();
    let id = world.add(World::settings(fake.port)).await;
    let ended = world.fetching.fetch(world.account, id).await.unwrap();
    assert!(matches!(ended.trouble, Some(Trouble::SignIn(_))), "{:?}", ended.trouble);
    assert_eq!(ended.source.state, State::Refused);
    let (why, _) = ended.source.error.unwrap();
    assert!(!why.contains(SECRET), "{why}");
    assert_eq!(world.subjects("INBOX").len(), 1, "a mail tells of it");
    let ended = world.fetching.fetch(world.account, id).await.unwrap();
    assert!(matches!(ended.trouble, Some(Trouble::Stopped)), "it is not tried again");
    assert_eq!(world.subjects("INBOX").len(), 1);
    // With the server's name changed the old password does not go there.
    let elsewhere = Settings { host: "localhost".to_owned(), ..World::settings(fake.port) };
    let changed = world.fetching.change(world.account, id, elsewhere, None).await;
    assert!(matches!(changed, Err(FetchError::BadPassword)), "{changed:?}");
    world.fetching.change(world.account, id, World::settings(fake.port), Some("changed")).await.unwrap();
    let ended = world.fetching.fetch(world.account, id).await.unwrap();
    assert!(ended.trouble.is_none(), "{:?}", ended.trouble);
    assert_eq!(world.subjects("INBOX").len(), 2);
}

#[tokio::test]
async fn a_full_mailbox_stops_it_with_words_and_it_goes_on_later() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |_| {}).await;
    let fake = Fake::start(vec![mailbox("INBOX", 1..=10)]).await;
    let size = message("INBOX 1").len() as u64;
    world.quota.store(size * 4 + 10, Ordering::Relaxed);
    let id = world.add(World::settings(fake.port)).await;
    let ended = world.fetch(id).await;
    assert!(matches!(ended.trouble, Some(Trouble::Full { .. })), "{:?}", ended.trouble);
    assert_eq!((ended.source.state.clone(), world.subjects("INBOX").len()), (State::Active, 4));
    assert!(ended.source.error.is_some() && ended.source.due_ms > 0);
    assert_eq!(ended.source.progress(), (4, 10));
    world.quota.store(0, Ordering::Relaxed);
    assert!(world.fetch(id).await.trouble.is_none());
    assert_eq!(world.subjects("INBOX"), subjects("INBOX", 1..=10));
}

#[tokio::test]
async fn a_message_that_is_too_large_or_refused_or_gone_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |policy| policy.max_message_bytes = 2_000).await;
    let mut inbox = mailbox("INBOX", 1..=6);
    inbox.messages[1].bytes = [message("large"), vec![b'x'; 5_000]].concat();
    let fake = Fake::start(vec![inbox]).await;
    {
        let mut state = fake.state.lock();
        (state.refuses, state.vanish) = (Some(4), vec![5]);
        state.interjects = "* 2 FETCH (FLAGS (\\Seen))\r\n* OK still here\r\n* 9 EXISTS\r\n";
    }
    let id = world.add(World::settings(fake.port)).await;
    // Once as the server tells the size, once as it lies.
    for says_size in [None, Some(10)] {
        fake.state.lock().says_size = says_size;
        if says_size.is_some() {
            fake.state.lock().mailboxes[0].validity = 2;
        }
        let ended = world.fetch(id).await;
        assert!(ended.trouble.is_none(), "{:?}", ended.trouble);
        assert_eq!(world.subjects("INBOX"), ["INBOX 1", "INBOX 3", "INBOX 6"], "{says_size:?}");
        assert_eq!(ended.source.progress().0, ended.source.progress().1);
    }
    let source = world.fetching.source(world.account, id).unwrap();
    assert_eq!((source.left_out(), source.mailboxes[0].reasons.len()), (4, 4), "{:?}", source.mailboxes);
}

#[tokio::test]
async fn a_message_at_which_every_connection_breaks_is_left_out_at_last() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |_| {}).await;
    let fake = Fake::start(vec![mailbox("INBOX", 1..=6)]).await;
    fake.state.lock().breaks_at = Some(4);
    let id = world.add(World::settings(fake.port)).await;
    let mut runs = 0;
    while world.fetch(id).await.trouble.is_some() {
        runs += 1;
        assert!(runs < 10);
    }
    assert_eq!(world.subjects("INBOX"), ["INBOX 1", "INBOX 2", "INBOX 3", "INBOX 5", "INBOX 6"]);
    assert_eq!(world.fetching.source(world.account, id).unwrap().left_out(), 1);
}

#[tokio::test]
async fn what_is_deleted_there_is_here() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |policy| policy.max_message_bytes = 2_000).await;
    let mut inbox = mailbox("INBOX", 1..=4);
    inbox.messages[2].bytes = [message("large"), vec![b'x'; 5_000]].concat();
    let fake = Fake::start(vec![inbox]).await;
    let id = world.add(Settings { delete: true, ..World::settings(fake.port) }).await;
    let ended = world.fetch(id).await;
    assert!(ended.trouble.is_none(), "{:?}", ended.trouble);
    assert_eq!(world.subjects("INBOX"), ["INBOX 1", "INBOX 2", "INBOX 4"]);
    let left: Vec<u32> = fake.state.lock().mailboxes[0].messages.iter().map(|one| one.uid).collect();
    assert_eq!(left, [3], "what was left out stays there");
}

#[tokio::test]
async fn of_gmails_all_mail_only_what_is_nowhere_else_is_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |_| {}).await;
    let with = |name, uids: std::ops::RangeInclusive<u32>, attributes| {
        let mut mailbox = Mailbox { attributes, ..mailbox("m", uids) };
        mailbox.name = name;
        for one in &mut mailbox.messages {
            one.gmail = u64::from(one.uid) + 1_000_000_000_000;
        }
        mailbox
    };
    let all = with("[Gmail]/All Mail", 1..=6, "\\All");
    let fake = Fake::start(vec![all, with("INBOX", 1..=3, ""), with("Label", 3..=4, "")]).await;
    (fake.state.lock().delimiter, fake.state.lock().capabilities) = ("\"/\"", "IMAP4rev1 X-GM-EXT-1");
    let id = world.add(World::settings(fake.port)).await;
    let ended = world.fetch(id).await;
    assert!(ended.trouble.is_none(), "{:?}", ended.trouble);
    assert_eq!((world.subjects("INBOX").len(), world.subjects("Label").len()), (3, 2));
    assert_eq!(world.subjects("Archive"), ["m 5", "m 6"]);
    assert_eq!(fake.texts.load(Ordering::Relaxed), 7);
    assert_eq!(ended.source.progress(), (11, 11));
}

#[tokio::test]
async fn a_service_that_was_restored_to_an_earlier_moment_fetches_again_what_it_no_longer_has() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = World::open(dir.path(), |_| {}).await;
    let fake = Fake::start(vec![mailbox("INBOX", 1..=3)]).await;
    let id = world.add(World::settings(fake.port)).await;
    world.fetch(id).await;
    world.close().await;
    let copied = std::process::Command::new("cp").arg("-r").arg(dir.path()).arg(copy.path().join("data")).status();
    assert!(copied.unwrap().success());
    let world = World::open(dir.path(), |_| {}).await;
    fake.state.lock().mailboxes[0].messages.push(Message::new(4, message("INBOX 4")));
    world.fetch(id).await;
    assert_eq!(world.subjects("INBOX"), subjects("INBOX", 1..=4));
    world.close().await;
    let world = World::open(&copy.path().join("data"), |_| {}).await;
    assert_eq!(world.subjects("INBOX"), subjects("INBOX", 1..=3));
    world.fetch(id).await;
    assert_eq!(world.subjects("INBOX"), subjects("INBOX", 1..=4));
}

#[tokio::test]
async fn the_password_is_sealed_and_needs_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let key = Keyring::new_line().1;
    let with_key = || DirectoryOptions {
        keys: Arc::new(Keys::Ring(Keyring::parse(&key).unwrap())),
        ..DirectoryOptions::default()
    };
    let fake = Fake::start(vec![mailbox("INBOX", 1..=1)]).await;
    let world = World::open_with(dir.path(), with_key(), |_| {}).await;
    let before = world.house.directory.secrets().unwrap().sealed_count();
    let id = world.add(World::settings(fake.port)).await;
    let secrets = world.house.directory.secrets().unwrap();
    assert_eq!((secrets.sealed_count() - before, secrets.open, secrets.closed()), (1, 0, 0));
    world.close().await;
    let mut log = Vec::new();
    for file in std::fs::read_dir(dir.path().join("log")).unwrap() {
        log.extend(std::fs::read(file.unwrap().path()).unwrap_or_default());
    }
    assert!(!log.is_empty() && !log.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()));
    let world = World::open(dir.path(), |_| {}).await;
    let ended = world.fetch(id).await;
    assert!(matches!(ended.trouble, Some(Trouble::Sealed)), "{:?}", ended.trouble);
    assert_eq!(ended.source.state, State::Active, "with the key it goes on");
    world.close().await;
    let world = World::open_with(dir.path(), with_key(), |_| {}).await;
    assert!(world.fetch(id).await.trouble.is_none());
    world.fetching.remove(world.account, id).await.unwrap();
    assert_eq!(world.house.directory.secrets().unwrap().sealed_count(), before);
}

#[tokio::test]
async fn networks_of_our_own_ports_and_plain_text_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |policy| (policy.allow_private, policy.ports) = (false, Vec::new())).await;
    let of = |host: &str, port, security| Settings { host: host.to_owned(), security, ..World::settings(port) };
    let add = async |settings| world.fetching.add(world.account, settings, "x").await;
    for port in [0, 22, 25, 80, 465, 5432] {
        assert!(
            matches!(add(of("imap.example.net", port, Security::Tls)).await, Err(FetchError::BadPort(_))),
            "{port}"
        );
    }
    for host in ["", "a b", "a/b", "a@b", "[::1", "x\r\ny"] {
        assert!(matches!(add(of(host, 993, Security::Tls)).await, Err(FetchError::BadHost)), "{host}");
    }
    assert!(matches!(add(of("imap.example.net", 143, Security::Plain)).await, Err(FetchError::PlainText)));
    for user in ["", "a\r\nb", "\u{0}"] {
        let settings = Settings { user: user.to_owned(), ..of("imap.example.net", 993, Security::Tls) };
        assert!(matches!(add(settings).await, Err(FetchError::BadUser)), "{user:?}");
    }
    for (number, address) in
        ["127.0.0.1", "10.0.0.7", "192.168.1.1", "169.254.169.254", "::1", "fd00::5", "::ffff:10.0.0.1"]
            .iter()
            .enumerate()
    {
        let name = format!("host{number}.example.net");
        world.zone.address(&name, address);
        for host in [name.as_str(), address] {
            let id = add(of(host, 993, Security::Tls)).await.unwrap();
            let ended = world.fetching.fetch(world.account, id).await.unwrap();
            assert!(matches!(ended.trouble, Some(Trouble::Hopeless(_))), "{host}: {:?}", ended.trouble);
            assert_eq!(ended.source.state, State::Broken);
            world.fetching.remove(world.account, id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn new_mail_goes_through_delivery_once_where_rules_are_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |_| {}).await;
    let fake = Fake::start(vec![mailbox("INBOX", 1..=2), mailbox("Other", 1..=1)]).await;
    let id = world.add(Settings { rules: true, ..World::settings(fake.port) }).await;
    assert!(world.fetch(id).await.trouble.is_none());
    let before = world.rows("INBOX");
    assert!(before.iter().all(|row| row.body.prefix().is_empty()), "what was there is taken as it is");
    for uid in 3..=5 {
        fake.state.lock().mailboxes[0].messages.push(Message::new(uid, message(&format!("INBOX {uid}"))));
        fake.state.lock().mailboxes[1].messages.push(Message::new(uid, message(&format!("Other {uid}"))));
    }
    for _ in 0..2 {
        let ended = world.fetch(id).await;
        assert!(ended.trouble.is_none(), "{:?}", ended.trouble);
        assert_eq!(world.subjects("INBOX"), subjects("INBOX", 1..=5));
        assert_eq!(ended.source.progress(), (9, 9));
    }
    let rows = world.rows("INBOX");
    let traced = rows.iter().filter(|row| row.body.prefix().windows(9).any(|part| part == b"Received:")).count();
    assert_eq!(traced, 3, "new mail has been delivered");
    assert_eq!(rows[4].entry.internal_date_ms, 837_596_665_000);
    assert!(world.rows("Other").iter().all(|row| row.body.prefix().is_empty()));
    // They are the same after a change of UIDVALIDITY.
    fake.state.lock().mailboxes[0].validity = 2;
    assert!(world.fetch(id).await.trouble.is_none());
    assert_eq!(world.subjects("INBOX").len(), 5);
}
