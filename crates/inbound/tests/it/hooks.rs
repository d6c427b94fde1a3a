//! Scanners that are asked over real sockets, in their own protocols.

mod fakes;

use std::sync::Arc;
use std::time::Duration;

use delivery::{
    Accepted, Delivery, DeliveryError, DeliveryOptions, Envelope, Fallback, Judge, Origin, Recipient, Refusal,
};
use directory::{AccountId, NewAccount, Role as AccountRole};
use inbound::hooks::{ClamAv, Endpoint, Hook, Milter, Rspamd, Scanner};
use mailstore::Role;
use tempfile::TempDir;
use testkit::House;

use fakes::{Fake, Packet};

/// How long a scanner has in tests in which it answers.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct World {
    _dir: TempDir,
    pub house: House,
    delivery: Delivery,
    pub anna: AccountId,
}

impl World {
    pub async fn new(judge: impl Judge) -> Self {
        Self::within(judge, PATIENCE).await
    }

    /// The same with that time for a verdict.
    pub async fn within(judge: impl Judge, verdict_time: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let house = House::open(dir.path()).await;
        house.directory.add_domain("here.example").await.unwrap();
        let account = |name: &str| NewAccount {
            address: format!("{name}@here.example").parse().unwrap(),
            name: String::new(),
            password: "correct horse battery".to_owned(),
            role: AccountRole::User,
            quota_bytes: 0,
        };
        let anna = house.directory.create_account(account("anna")).await.unwrap();
        house.directory.create_account(account("bob")).await.unwrap();
        let options = DeliveryOptions { verdict_time, ..DeliveryOptions::default() };
        let delivery = Delivery::new(house.store.clone(), house.directory.clone(), house.mailstore.clone(), options)
            .and_then(|delivery| delivery.with_judges(vec![Arc::new(judge)]))
            .unwrap();
        Self { _dir: dir, house, delivery, anna }
    }

    pub async fn give(&self, to: &[&str], message: &str) -> Result<Accepted, DeliveryError> {
        let envelope = Envelope {
            from: Some("x@far.example".parse().unwrap()),
            recipients: to.iter().map(|to| Recipient::new(to.parse().unwrap())).collect(),
            ret: None,
            envid: None,
            body_8bit: false,
            smtputf8: false,
            require_tls: false,
            origin: Origin {
                peer: Some([192, 0, 2, 7].into()),
                helo: Some("client.example".to_owned()),
                esmtp: true,
                ..Origin::default()
            },
        };
        self.delivery.accept(envelope, message.as_bytes()).await
    }

    async fn refused(&self, message: &str) -> Refusal {
        match self.give(&["anna@here.example"], message).await {
            Err(DeliveryError::Refused(refusal)) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// The only message of a mailbox.
    fn only(&self, role: Role) -> String {
        let realm = self.anna.realm();
        let mailbox = self.house.mailstore.mailbox_by_role(realm, role).unwrap().expect("a mailbox");
        let view = self.house.mailstore.view(realm, mailbox.id).unwrap();
        let entries = self.house.mailstore.entries(realm, mailbox.id, view.uids()).unwrap();
        assert_eq!(entries.len(), 1);
        let mut body = self.house.mailstore.body(realm, entries[0].email_id).unwrap();
        String::from_utf8(body.read_all().unwrap().to_vec()).unwrap()
    }
}

fn hook<S: Scanner>(scanner: S, fallback: Fallback) -> Hook<S> {
    Hook::new(scanner, PATIENCE, fallback)
}

const TO: &[&str] = &["anna@here.example"];

fn message(text: &str) -> String {
    format!("From: x@far.example\r\nSubject: one\r\n two\r\n\r\n{text}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn clamav_refuses_what_it_finds_and_takes_the_rest() {
    let fake = Fake::clamd().await;
    let world = World::new(hook(ClamAv::new(fake.endpoint()), Fallback::Defer)).await;
    let refusal = world.refused(&message("EICAR")).await;
    assert_eq!((refusal.code, refusal.enhanced), (554, (5, 7, 1)));
    assert!(refusal.text.contains("Eicar-Test"), "{refusal}");
    // It gives up on what is too large for it: the fallback counts.
    assert_eq!(world.refused(&message("TOO LARGE")).await.enhanced, (4, 3, 0));
    // More than one piece.
    world.give(TO, &message(&"harmless ".repeat(50_000))).await.unwrap();
    assert!(world.only(Role::Inbox).contains("harmless"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_that_is_away_or_silent_has_its_fallback() {
    let silent = Fake::silent().await;
    for (endpoint, timeout) in [
        ("/nowhere/clamd.ctl".parse().unwrap(), PATIENCE),
        (silent.endpoint(), Duration::from_millis(50)),
        (Fake::closing().await.endpoint(), PATIENCE),
    ] {
        let judges = |fallback| -> [Box<dyn Judge>; 3] {
            let name = "mx.here.example".to_owned();
            [
                Box::new(Hook::new(ClamAv::new(Endpoint::clone(&endpoint)), timeout, fallback)),
                Box::new(Hook::new(Rspamd::new(endpoint.clone(), name.clone()), timeout, fallback)),
                Box::new(Hook::new(Milter::new(endpoint.clone(), name), timeout, fallback)),
            ]
        };
        for judge in judges(Fallback::Defer) {
            assert_eq!(World::new(Boxed(judge)).await.refused(&message("x")).await.enhanced, (4, 3, 0));
        }
        for judge in judges(Fallback::Accept) {
            World::new(Boxed(judge)).await.give(TO, &message("x")).await.unwrap();
        }
    }
}

/// Any judge.
struct Boxed(Box<dyn Judge>);

impl Judge for Boxed {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn fallback(&self) -> Fallback {
        self.0.fallback()
    }

    fn begin(&self, case: &Arc<delivery::Case>) -> Option<Box<dyn delivery::Hearing>> {
        self.0.begin(case)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rspamd_is_told_the_envelope_and_its_action_is_done() {
    let fake = Fake::rspamd().await;
    let rspamd = || hook(Rspamd::new(fake.endpoint(), "mx.here.example".to_owned()), Fallback::Defer);
    for (action, code, enhanced) in [
        ("reject", 550, (5, 7, 1)),
        ("at once: reject", 550, (5, 7, 1)),
        ("at once: soft reject", 451, (4, 7, 1)),
        ("at once: dance", 451, (4, 3, 0)),
        ("discard", 550, (5, 7, 1)),
        ("soft reject", 451, (4, 7, 1)),
        ("greylist", 451, (4, 7, 1)),
        // What isn't understood is no answer.
        ("dance", 451, (4, 3, 0)),
        ("STATUS 500", 451, (4, 3, 0)),
        ("NO JSON", 451, (4, 3, 0)),
    ] {
        let refusal = World::new(rspamd()).await.refused(&message(action)).await;
        assert_eq!((refusal.code, refusal.enhanced), (code, enhanced), "{action}");
    }
    let skipped = World::new(rspamd()).await;
    skipped.give(TO, &message("at once: no action")).await.unwrap();
    assert!(!skipped.only(Role::Inbox).contains("X-Rspamd"), "it was not judged");
    for (action, role) in [
        ("no action", Role::Inbox),
        ("add header", Role::Junk),
        ("at once: add header", Role::Junk),
        ("rewrite subject", Role::Junk),
    ] {
        let world = World::new(rspamd()).await;
        world.give(TO, &message(action)).await.unwrap();
        let filed = world.only(role);
        assert!(filed.contains("\r\nX-Rspamd-Score: 5.20 of 15.00\r\n"), "{filed}");
        assert!(filed.contains("\r\nX-Rspamd-Symbols: BIG (-4.00), SMALL (1.20)\r\n"), "{filed}");
    }
    let asked = fake.heard().join("\n").to_lowercase();
    for field in [
        "post /checkv2",
        "\nfrom: x@far.example",
        "\nrcpt: anna@here.example",
        "\nip: 192.0.2.7",
        "\nhelo: client.example",
    ] {
        assert!(asked.contains(field), "{field}: {asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_milter_hears_the_whole_message_and_decides() {
    let milter = |fake: &Fake| hook(Milter::new(fake.endpoint(), "mx.here.example".to_owned()), Fallback::Defer);
    // Adds a field, with a note that it still works before.
    let fake = Fake::milter(|letter, _| match letter {
        b'E' => vec![Packet(b'p', b"".to_vec()), Packet(b'h', b"X-Seen\0yes\0".to_vec()), Packet(b'c', Vec::new())],
        _ => vec![Packet(b'c', Vec::new())],
    })
    .await;
    let world = World::new(milter(&fake)).await;
    world.give(TO, &message("hello")).await.unwrap();
    assert!(world.only(Role::Inbox).contains("\r\nX-Seen: yes\r\n"));
    let heard = fake.heard();
    let letters: String = heard.iter().map(|packet| &packet[..1]).filter(|letter| *letter != "D").collect();
    assert_eq!(letters, "OCHMRTLLNBEQ");
    for part in [
        "C[192.0.2.7]\u{0}4\u{0}\u{0}192.0.2.7\u{0}",
        "Hclient.example\u{0}",
        "M<x@far.example>\u{0}",
        "R<anna@here.example>\u{0}",
        "LSubject\u{0} one\n two\u{0}",
        "Bhello\r\n",
    ] {
        assert!(heard.iter().any(|packet| packet == part), "{part:?}: {heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_milter_says_is_done_whenever_it_says_it() {
    type Case = (u8, (u8, &'static [u8]), u16, (u8, u16, u16));
    let cases: &[Case] = &[
        (b'C', (b'r', b""), 550, (5, 7, 1)),
        (b'H', (b't', b""), 451, (4, 7, 1)),
        (b'M', (b'y', b"550 5.7.23 SPF\0"), 550, (5, 7, 23)),
        (b'R', (b'y', b"452 4.2.2 full\0"), 452, (4, 2, 2)),
        (b'T', (b'r', b""), 550, (5, 7, 1)),
        (b'L', (b'r', b""), 550, (5, 7, 1)),
        (b'N', (b't', b""), 451, (4, 7, 1)),
        (b'B', (b'd', b""), 550, (5, 7, 1)),
        (b'E', (b'r', b""), 550, (5, 7, 1)),
        // No answer at all: the fallback.
        (b'O', (b'O', b"\0\0\0\x06\0\0\0\x10\0\0\0\0"), 451, (4, 3, 0)),
        (b'O', (b'O', b"\0\0\0\x07\0\0\0\0\0\0\0\0"), 451, (4, 3, 0)),
        (b'M', (b'?', b""), 451, (4, 3, 0)),
        (b'E', (b'h', b"Subject\0a\0b\0"), 451, (4, 3, 0)),
        (b'E', (b'b', b"another body"), 451, (4, 3, 0)),
        (b'E', (b'h', b"bad name\0x\0"), 451, (4, 3, 0)),
    ];
    for &(at, (letter, data), code, enhanced) in cases {
        let fake = Fake::milter(move |heard, _| {
            let letter = if heard == at { Some(letter) } else { None };
            vec![letter.map_or(Packet(b'c', Vec::new()), |letter| Packet(letter, data.to_vec()))]
        })
        .await;
        let world = World::new(hook(Milter::new(fake.endpoint(), "mx".to_owned()), Fallback::Defer)).await;
        let refusal = world.refused(&message("x")).await;
        let name = format!("{} {}", at.escape_ascii(), letter.escape_ascii());
        assert_eq!((refusal.code, refusal.enhanced), (code, enhanced), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_milter_may_accept_early_quarantine_and_refuse_one_recipient() {
    let fake = Fake::milter(|letter, _| vec![Packet(if letter == b'H' { b'a' } else { b'c' }, Vec::new())]).await;
    let world = World::new(hook(Milter::new(fake.endpoint(), "mx".to_owned()), Fallback::Defer)).await;
    world.give(TO, &message("x")).await.unwrap();
    assert!(!fake.heard().iter().any(|packet| packet.starts_with('M')), "it doesn't want to know more");

    let fake = Fake::milter(|letter, data| match letter {
        b'R' if data.starts_with(b"<bob") => vec![Packet(b'r', Vec::new())],
        b'E' => vec![Packet(b'q', b"odd\0".to_vec()), Packet(b'a', Vec::new())],
        _ => vec![Packet(b'c', Vec::new())],
    })
    .await;
    let world = World::new(hook(Milter::new(fake.endpoint(), "mx".to_owned()), Fallback::Defer)).await;
    world.give(&["bob@here.example", "anna@here.example"], &message("x")).await.unwrap();
    assert!(world.only(Role::Junk).contains("Subject: one"), "quarantined for the other one");

    // One that wants no steps and answers none but the end.
    let fake = Fake::milter(|letter, _| match letter {
        b'O' => vec![Packet(b'O', b"\0\0\0\x06\0\0\0\x01\0\x0F\xF2\x8F".to_vec())],
        b'E' => vec![Packet(b'y', b"550 5.7.1 no\0".to_vec())],
        _ => Vec::new(),
    })
    .await;
    let world = World::new(hook(Milter::new(fake.endpoint(), "mx".to_owned()), Fallback::Defer)).await;
    assert_eq!(world.refused(&message("x")).await.text, "no");
}
