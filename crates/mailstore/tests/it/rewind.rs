//! Promises about going back: everything that was there is there again, once; nothing that came since is lost; and it
//! can be taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::world::{World, text};
use mailstore::rewind::{RewindId, RewindPlan, RewindScope};
use mailstore::{
    Children, EmailId, EntryName, FlagChange, Flags, MailError, MailStore, MailboxId, MailboxName, MessageEntry,
    MetadataDepth, Role, SystemFlag, Uid,
};
use store::{Clock, RealmId, Store, StoreOptions};

#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

struct Timed {
    world: World,
    hand: Arc<Hand>,
}

impl Timed {
    async fn new(limit: Option<u64>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hand = Arc::new(Hand(AtomicI64::new(1_795_000_000_000)));
        let store = Store::open(dir.path(), StoreOptions { clock: hand.clone(), ..StoreOptions::default() }).unwrap();
        let mail = match limit {
            Some(limit) => MailStore::with_quota_limit(store.clone(), Arc::new(move |_| Some(limit))),
            None => MailStore::new(store.clone()),
        };
        let account = RealmId::account(crate::world::ACCOUNT);
        mail.create_standard_mailboxes(account).await.unwrap();
        Self { world: World { store, mail, account, dir }, hand }
    }

    /// Lets a second pass; gives the moment before it.
    fn tick(&self) -> i64 {
        self.hand.0.fetch_add(1_000, Ordering::SeqCst)
    }

    fn plan(&self, moment_ms: i64, scope: &RewindScope, flags: bool) -> RewindPlan {
        let past = self.world.store.realm_at(self.world.account, moment_ms).unwrap();
        self.world.mail.plan_rewind(self.world.account, &past, scope, flags).unwrap()
    }

    async fn rewind(&self, key: &[u8], moment_ms: i64, scope: RewindScope, flags: bool) -> Result<u32, MailError> {
        let (mail, account) = (self.world.mail.clone(), self.world.account);
        let store = self.world.store.clone();
        let id = RewindId::of(key).unwrap();
        tokio::task::spawn_blocking(move || {
            let past = store.realm_at(account, moment_ms)?;
            let plan = mail.plan_rewind(account, &past, &scope, flags)?;
            let record = mail.rewind(account, id, (&past).into(), &plan, (moment_ms, "all"), &mut |_, _| ())?;
            drop(past);
            store.transact(move |tx| MailStore::finish_rewind_in(tx, account, id, 0)).wait()?;
            Ok(record.back + record.moved + record.flagged)
        })
        .await
        .unwrap()
    }

    async fn undo(&self, key: &[u8]) {
        let (mail, account) = (self.world.mail.clone(), self.world.account);
        let id = RewindId::of(key).unwrap();
        let record = tokio::task::spawn_blocking(move || mail.undo_rewind(account, id)).await.unwrap().unwrap();
        assert!(record.unwrap().undone);
    }

    /// What is in which mailbox, by its name.
    fn all(&self) -> BTreeMap<String, Vec<MessageEntry>> {
        let (mail, account) = (&self.world.mail, self.world.account);
        let mut all = BTreeMap::new();
        for mailbox in mail.mailboxes(account).unwrap() {
            let uids: Vec<Uid> = mail.view(account, mailbox.id).unwrap().uids().to_vec();
            all.insert(mailbox.name.to_string(), mail.entries(account, mailbox.id, &uids).unwrap());
        }
        all
    }

    /// The mailboxes with their names and what is in them.
    fn located(&self) -> BTreeMap<MailboxId, (String, BTreeSet<EmailId>)> {
        let (mail, account) = (&self.world.mail, self.world.account);
        let all = self.all();
        let mailboxes = mail.mailboxes(account).unwrap().into_iter();
        let emails = |name: &str| all[name].iter().map(|entry| entry.email_id).collect();
        mailboxes.map(|m| (m.id, (m.name.to_string(), emails(&m.name.to_string())))).collect()
    }

    /// [`Self::all`] without numbers that may differ.
    fn shape(&self) -> BTreeMap<String, BTreeSet<(EmailId, String, i64)>> {
        let shape = |entries: Vec<MessageEntry>| {
            entries.into_iter().map(|e| (e.email_id, format!("{:?}", e.flags), e.internal_date_ms)).collect()
        };
        self.all().into_iter().map(|(name, entries)| (name, shape(entries))).collect()
    }
}

fn seen() -> FlagChange {
    FlagChange::Add(Flags::of(&[SystemFlag::Seen]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_deletes_everything_is_undone_byte_for_byte_and_new_mail_stays() {
    let timed = Timed::new(None).await;
    let (world, mail) = (&timed.world, &timed.world.mail);
    let work = world.create("Work/2026").await;
    let mut bytes = BTreeMap::new();
    for n in 0..30 {
        let raw = text(&format!("{n}@x"), &format!("<{}@x>", n / 3 * 3), "Hello", &format!("text {n}"));
        let mailbox = if n % 2 == 0 { world.inbox() } else { work };
        let appended = world.append(mailbox, &raw).await;
        if n % 5 == 0 {
            mail.set_flags(world.account, mailbox, &[appended.uid], seen(), None).await.unwrap();
        }
        bytes.insert(appended.email_id, raw);
    }
    let before = timed.shape();
    let uid_next = world.mailbox(Role::Inbox).uid_next;
    let work = mail.mailbox_by_name(world.account, &MailboxName::new("Work").unwrap()).unwrap().unwrap().id;
    let color = EntryName::new("/private/vendor/Color").unwrap();
    let metadata = |of| mail.metadata(world.account, Some(of), std::slice::from_ref(&color), MetadataDepth::Zero);
    mail.set_metadata(world.account, Some(work), vec![(color.clone(), Some("red".into()))]).await.unwrap();
    let colored = metadata(work).unwrap();
    let moment = timed.tick();
    let inbox: Vec<Uid> = mail.view(world.account, world.inbox()).unwrap().uids().to_vec();
    mail.expunge(world.account, world.inbox(), &inbox).await.unwrap();
    mail.delete_mailbox(world.account, MailboxName::new("Work").unwrap(), Children::Delete).await.unwrap();
    timed.tick();
    let new = world.append(world.inbox(), &text("new@x", "<0@x>", "Hello", "since")).await;

    let plan = timed.plan(moment, &RewindScope::Everything, false);
    assert_eq!((plan.back, plan.moved, plan.flagged, plan.first.len()), (30, 0, 0, 30));
    assert_eq!(
        plan.mailboxes.iter().map(|m| (m.name.as_str(), m.made, m.back)).collect::<Vec<_>>(),
        [("INBOX", false, 15), ("Work", true, 0), ("Work/2026", true, 15),]
    );
    assert_eq!(plan.bytes, bytes.values().map(|raw| raw.len() as u64).sum::<u64>());
    let empty = timed.shape();
    assert_eq!(timed.rewind(b"1", moment, RewindScope::Everything, false).await.unwrap(), 30);
    let mut with_new = before.clone();
    with_new.get_mut("INBOX").unwrap().extend(empty["INBOX"].iter().cloned());
    assert_eq!(timed.shape(), with_new);
    let made = mail.mailbox_by_name(world.account, &MailboxName::new("Work").unwrap()).unwrap().unwrap().id;
    assert!(made != work && metadata(made).unwrap() == colored);
    for (email, raw) in &bytes {
        assert_eq!(&mail.body(world.account, *email).unwrap().read_all().unwrap(), raw);
    }
    assert!(timed.all()["INBOX"].iter().all(|entry| entry.uid >= uid_next), "UIDs are never used again");
    assert!(mail.email(world.account, new.email_id).unwrap().is_some());
    world.assert_in_order();
    // The same again, and again under another key.
    for key in [b"1", b"2"] {
        timed.rewind(key, moment, RewindScope::Everything, false).await.unwrap();
        assert_eq!(timed.shape(), with_new);
        assert!(timed.plan(moment, &RewindScope::Everything, false).is_empty());
    }
    timed.undo(b"1").await;
    assert_eq!(timed.shape(), empty);
    timed.undo(b"1").await;
    assert_eq!(timed.shape(), empty);
    world.assert_in_order();
    // Under its key it is not done again; under another it is.
    timed.rewind(b"1", moment, RewindScope::Everything, false).await.unwrap();
    assert_eq!(timed.shape(), empty);
    timed.rewind(b"3", moment, RewindScope::Everything, false).await.unwrap();
    assert_eq!(timed.shape(), with_new);
    world.assert_in_order();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_mailbox_or_one_message_comes_back_alone() {
    let timed = Timed::new(None).await;
    let (world, mail) = (&timed.world, &timed.world.mail);
    let (inbox, trash) = (world.inbox(), world.mailbox(Role::Trash).id);
    let archive = world.mailbox(Role::Archive).id;
    let mut kept = Vec::new();
    for n in 0..6 {
        kept.push(world.append(inbox, &text(&format!("{n}@x"), "", &format!("S{n}"), "text")).await);
        world.append(archive, &text(&format!("a{n}@x"), "", &format!("A{n}"), "text")).await;
    }
    let moment = timed.tick();
    let uids: Vec<Uid> = kept.iter().map(|one| one.uid).collect();
    mail.move_(world.account, inbox, &uids[..3], trash).await.unwrap();
    mail.expunge(world.account, inbox, &uids[3..]).await.unwrap();
    let archived: Vec<Uid> = mail.view(world.account, archive).unwrap().uids().to_vec();
    mail.expunge(world.account, archive, &archived).await.unwrap();
    timed.tick();
    let one = RewindScope::Messages(vec![(inbox, kept[4].email_id)]);
    assert_eq!(timed.rewind(b"1", moment, one, false).await.unwrap(), 1);
    assert_eq!(timed.all()["INBOX"].iter().map(|e| e.email_id).collect::<Vec<_>>(), [kept[4].email_id]);
    let plan = timed.plan(moment, &RewindScope::Mailbox(inbox), false);
    assert_eq!((plan.back, plan.moved), (2, 3));
    timed.rewind(b"2", moment, RewindScope::Mailbox(inbox), false).await.unwrap();
    assert_eq!((world.mailbox(Role::Inbox).total, world.mailbox(Role::Trash).total), (6, 0));
    assert_eq!(world.mailbox(Role::Archive).total, 0);
    timed.undo(b"2").await;
    assert_eq!((world.mailbox(Role::Inbox).total, world.mailbox(Role::Trash).total), (1, 3));
    world.assert_in_order();
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_are_kept_unless_asked_for_but_deleted_is_taken_off() {
    let timed = Timed::new(None).await;
    let (world, mail) = (&timed.world, &timed.world.mail);
    let uid = world.append(world.inbox(), &text("1@x", "", "Hello", "text")).await.uid;
    let moment = timed.tick();
    let change = FlagChange::Add(Flags::of(&[SystemFlag::Seen, SystemFlag::Deleted]));
    mail.set_flags(world.account, world.inbox(), &[uid], change, None).await.unwrap();
    timed.tick();
    timed.rewind(b"1", moment, RewindScope::Everything, false).await.unwrap();
    let flags = |timed: &Timed| timed.all()["INBOX"][0].flags.clone();
    assert_eq!(flags(&timed), Flags::of(&[SystemFlag::Seen]));
    timed.rewind(b"2", moment, RewindScope::Everything, true).await.unwrap();
    assert_eq!(flags(&timed), Flags::NONE);
    timed.undo(b"2").await;
    assert_eq!(flags(&timed), Flags::of(&[SystemFlag::Seen]));
    world.assert_in_order();
}

#[tokio::test(flavor = "multi_thread")]
async fn undoing_keeps_what_was_changed_since() {
    let timed = Timed::new(None).await;
    let (world, mail) = (&timed.world, &timed.world.mail);
    let mut uids = Vec::new();
    for n in 0..3 {
        uids.push(world.append(world.inbox(), &text(&format!("{n}@x"), "", "Hello", "text")).await.uid);
    }
    let moment = timed.tick();
    mail.expunge(world.account, world.inbox(), &uids).await.unwrap();
    timed.tick();
    timed.rewind(b"1", moment, RewindScope::Everything, false).await.unwrap();
    let back = timed.all()["INBOX"][1].clone();
    mail.set_flags(world.account, world.inbox(), &[back.uid], seen(), None).await.unwrap();
    timed.undo(b"1").await;
    let left: Vec<EmailId> = timed.all()["INBOX"].iter().map(|entry| entry.email_id).collect();
    assert_eq!(left, [back.email_id]);
    world.assert_in_order();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_before_anything_is_changed() {
    let timed = Timed::new(Some(2_000)).await;
    let (world, mail) = (&timed.world, &timed.world.mail);
    let raw = text("1@x", "", "Hello", &"x".repeat(1_200));
    let uid = world.append(world.inbox(), &raw).await.uid;
    let moment = timed.tick();
    mail.expunge(world.account, world.inbox(), &[uid]).await.unwrap();
    world.append(world.inbox(), &text("2@x", "", "Hello", &"y".repeat(1_200))).await;
    let shape = timed.shape();
    let refused = timed.rewind(b"1", moment, RewindScope::Everything, false).await;
    assert!(matches!(refused, Err(MailError::OverQuota { .. })), "{refused:?}");
    assert_eq!(timed.shape(), shape);
}

/// A step of a random life.
async fn live(timed: &Timed, random: &mut impl FnMut(usize) -> usize, n: usize) {
    let (mail, account) = (&timed.world.mail, timed.world.account);
    let mailboxes = mail.mailboxes(account).unwrap();
    let some = mailboxes[random(mailboxes.len())].clone();
    let other = mailboxes[random(mailboxes.len())].clone();
    let uids = mail.view(account, some.id).unwrap().uids().to_vec();
    let start = random(uids.len() + 1);
    let few: Vec<Uid> = uids[start..].iter().copied().take(1 + random(5)).collect();
    match random(11) {
        0..=3 => {
            let reply = format!("<{}@x>", random(n + 1));
            timed.world.append(some.id, &text(&format!("{n}@x"), &reply, &format!("S{}", n % 3), "text")).await;
        }
        4 => _ = mail.expunge(account, some.id, &few).await.unwrap(),
        5 => _ = mail.move_(account, some.id, &few, other.id).await.unwrap(),
        6 => _ = mail.copy(account, some.id, &few, other.id).await.unwrap(),
        7 => {
            let flags =
                Flags::parse(["\\Seen", "\\Flagged", "\\Deleted", "$Work"].into_iter().skip(random(4))).unwrap();
            let change = if random(2) == 0 { FlagChange::Add(flags) } else { FlagChange::Replace(flags) };
            mail.set_flags(account, some.id, &few, change, None).await.unwrap();
        }
        10 => {
            let to = MailboxName::new(&format!("R{}", random(4))).unwrap();
            _ = mail.rename_mailbox(account, some.name, to).await;
        }
        8 => _ = mail.create_mailbox(account, MailboxName::new(&format!("M{}", random(4))).unwrap(), None).await,
        _ => _ = mail.delete_mailbox(account, some.name, Children::Keep).await,
    }
    timed.tick();
}

type Located = BTreeMap<MailboxId, (String, BTreeSet<EmailId>)>;

fn emails(all: &Located) -> BTreeSet<EmailId> {
    all.values().flat_map(|(_, emails)| emails.iter().copied()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happened_going_back_brings_everything_and_loses_nothing() {
    for seed in 0..12u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below.max(1) as u64) as usize
        };
        let timed = Timed::new(None).await;
        let mut moments = Vec::new();
        for n in 0..120 {
            live(&timed, &mut random, n).await;
            moments.push((timed.tick(), timed.located()));
        }
        for round in 0..4u8 {
            let (moment, then) = &moments[random(moments.len())];
            let (now, was) = (timed.shape(), timed.located());
            let key = [seed as u8, round, 7];
            timed.rewind(&key, *moment, RewindScope::Everything, round % 2 == 1).await.unwrap();
            timed.world.assert_in_order();
            let is = timed.located();
            for (id, (name, then)) in then {
                // The same mailbox, whatever it is called now; or the one that has its name.
                let same = is.get(id).filter(|(other, _)| (other == "INBOX") == (name == "INBOX"));
                let here = same.or_else(|| is.values().find(|(other, _)| other == name));
                let here = &here.unwrap_or_else(|| panic!("seed {seed} round {round}: no {name}")).1;
                assert!(then.is_subset(here), "seed {seed} round {round} {name}: {:?}", then.difference(here));
            }
            assert!(emails(&was).is_subset(&emails(&is)), "seed {seed} round {round}");
            let plan = timed.plan(*moment, &RewindScope::Everything, round % 2 == 1);
            assert!(plan.is_empty(), "seed {seed} round {round}: {plan:?}");
            if round < 2 {
                timed.undo(&key).await;
                assert_eq!(timed.shape(), now, "seed {seed} round {round}");
                timed.world.assert_in_order();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_bytes_are_damaged_keeps_no_other_from_coming_back() {
    let timed = Timed::new(None).await;
    let (world, mail) = (&timed.world, &timed.world.mail);
    let mut uids = Vec::new();
    for n in 0..3 {
        // Not to be compressed away, so that a byte in the middle is one of the second message.
        let mut noise = blake3::Hasher::new().update(&[n]).finalize_xof();
        let mut bytes = vec![0; 4_000];
        noise.fill(&mut bytes);
        let raw = [&text(&format!("{n}@x"), "", "Hello", "")[..], &bytes].concat();
        uids.push(world.append(world.inbox(), &raw).await.uid);
    }
    let moment = timed.tick();
    mail.expunge(world.account, world.inbox(), &uids).await.unwrap();
    timed.tick();
    let pack = std::fs::read_dir(world.dir.path().join("packs")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&pack).unwrap();
    // Three bodies of the same size behind eight bytes: where the second one says what it is.
    let second = 8 + (bytes.len() - 8) / 3;
    bytes[second..second + 30].iter_mut().for_each(|byte| *byte ^= 0x55);
    std::fs::write(&pack, bytes).unwrap();
    timed.rewind(b"1", moment, RewindScope::Everything, false).await.unwrap();
    let back: Vec<EmailId> = timed.all()["INBOX"].iter().map(|entry| entry.email_id).collect();
    assert_eq!(back, [EmailId(1), EmailId(3)]);
    let record = mail.rewind_record(world.account, RewindId::of(b"1").unwrap()).unwrap().unwrap();
    assert_eq!((record.back, record.lost), (2, 1));
    world.assert_in_order();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_back_with_what_stood_above_them() {
    let timed = Timed::new(None).await;
    let (mail, account, inbox) = (timed.world.mail.clone(), timed.world.account, timed.world.inbox());
    let body = text("one@x", "", "shared", "the words");
    let prefixes = [&b"Return-Path: <a@b>\r\n"[..], b"", b"X-Other: z\r\n"];
    for prefix in prefixes {
        let plain = timed.world.message(&body);
        let staged = plain.body.clone().under(prefix.to_vec().into()).unwrap();
        let parsed = Arc::new(mailkit::parse(&[prefix, &body].concat()));
        let message = mailstore::NewMessage { body: staged, parsed, ..plain };
        mail.append(account, inbox, message).await.unwrap();
    }
    let read = || {
        let uids = mail.view(account, inbox).unwrap().uids().to_vec();
        let rows = mail.rows(account, inbox, &uids).unwrap();
        let bytes = rows.iter().map(|row| mail.body_of(&row.body).unwrap().read_all().unwrap().to_vec());
        bytes.collect::<BTreeSet<_>>()
    };
    let (before, used) = (read(), mail.quota(account).unwrap().used_bytes);
    assert_eq!(before.len(), 3);
    let moment = timed.tick();
    timed.tick();
    let uids = mail.view(account, inbox).unwrap().uids().to_vec();
    mail.expunge(account, inbox, &uids).await.unwrap();
    assert_eq!(mail.quota(account).unwrap().used_bytes, 0);
    timed.tick();
    timed.rewind(b"back", moment, RewindScope::Everything, false).await.unwrap();
    assert_eq!(read(), before);
    assert_eq!(mail.quota(account).unwrap().used_bytes, used);
    timed.world.assert_in_order();
}
