//! Random operations on the real store, compared after each with a plain model that keeps everything in maps and
//! counts everything anew. In between the store is closed and opened again, or its files are taken as they lie while it
//! runs, as after a crash, and opened elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use mailkit::Parsed;
use mailstore::{
    Children, FlagChange, Flags, MailError, MailStore, MailboxId, MailboxName, ModSeq, NewMessage, Role, SearchOptions,
    SearchQuery, SearchScope, SystemFlag, Uid, UidSet, invariants,
};
use proptest::prelude::*;
use store::{RealmId, Store, StoreOptions};

const ACCOUNT: u32 = 7;
const NAMES: [&str; 7] = ["INBOX", "Sent", "a", "a/b", "a/b/c", "ab", "z/y"];
const FLAGS: [&str; 6] = ["\\Seen", "\\Flagged", "\\Deleted", "\\Draft", "$Forwarded", "work"];

#[derive(Clone, Debug)]
enum Op {
    Append { mailbox: usize, id: u8, references: Vec<u8>, subject: u8, date: u8, flags: u8, key: Option<u8> },
    SetFlags { mailbox: usize, pick: u32, how: u8, flags: u8, since: Option<u8> },
    Copy { from: usize, pick: u32, to: usize },
    Move { from: usize, pick: u32, to: usize },
    Expunge { mailbox: usize, pick: u32 },
    ExpungeDeleted { mailbox: usize },
    Create { name: usize },
    Rename { from: usize, to: usize },
    Delete { name: usize, children: bool },
    Subscribe { name: usize, yes: bool },
    Reopen { kindly: bool },
    Maintain,
}

fn op() -> impl Strategy<Value = Op> {
    let name = 0..NAMES.len();
    // INBOX most of the time, so that something happens there.
    let mailbox = prop_oneof![3 => Just(0usize), 2 => 0..NAMES.len()];
    prop_oneof![
        10 => (mailbox.clone(), 0u8..12, prop::collection::vec(0u8..12, 0..3), 0u8..2, 0u8..6, 0u8..64,
               prop::option::weighted(0.3, 0u8..4))
            .prop_map(|(mailbox, id, references, subject, date, flags, key)|
                Op::Append { mailbox, id, references, subject, date, flags, key }),
        4 => (mailbox.clone(), any::<u32>(), 0u8..3, 0u8..64, prop::option::weighted(0.3, any::<u8>()))
            .prop_map(|(mailbox, pick, how, flags, since)| Op::SetFlags { mailbox, pick, how, flags, since }),
        2 => (mailbox.clone(), any::<u32>(), name.clone()).prop_map(|(from, pick, to)| Op::Copy { from, pick, to }),
        3 => (mailbox.clone(), any::<u32>(), name.clone()).prop_map(|(from, pick, to)| Op::Move { from, pick, to }),
        2 => (mailbox.clone(), any::<u32>()).prop_map(|(mailbox, pick)| Op::Expunge { mailbox, pick }),
        1 => mailbox.prop_map(|mailbox| Op::ExpungeDeleted { mailbox }),
        2 => name.clone().prop_map(|name| Op::Create { name }),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Op::Rename { from, to }),
        1 => (name.clone(), any::<bool>()).prop_map(|(name, children)| Op::Delete { name, children }),
        1 => (name, any::<bool>()).prop_map(|(name, yes)| Op::Subscribe { name, yes }),
        1 => any::<bool>().prop_map(|kindly| Op::Reopen { kindly }),
        1 => Just(Op::Maintain),
    ]
}

fn flags(bits: u8) -> Flags {
    Flags::parse(FLAGS.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, name)| *name)).unwrap()
}

#[derive(Clone, Debug, PartialEq)]
struct Message {
    email: u64,
    flags: Flags,
    date_ms: i64,
    size: u64,
    modseq: ModSeq,
}

#[derive(Clone, Debug, Default)]
struct Mailbox {
    id: MailboxId,
    validity: u32,
    last_uid: u32,
    messages: BTreeMap<Uid, Message>,
}

#[derive(Clone, Debug, Default)]
struct Thread {
    ids: BTreeSet<(String, u8)>,
    members: BTreeSet<(MailboxId, Uid)>,
}

#[derive(Default)]
struct Model {
    mailboxes: BTreeMap<String, Mailbox>,
    subscribed: BTreeSet<String>,
    threads: Vec<Thread>,
    deliveries: BTreeMap<u8, (MailboxId, Uid)>,
    validities: BTreeSet<u32>,
    ids: BTreeSet<MailboxId>,
    /// Earlier states of mailboxes, to which changes are applied.
    past: Vec<(MailboxId, ModSeq, BTreeMap<Uid, Flags>)>,
}

impl Model {
    fn pick(&self, name: &str, pick: u32) -> Vec<Uid> {
        let uids = self.mailboxes.get(name).map(|m| m.messages.keys().copied().collect::<Vec<_>>()).unwrap_or_default();
        uids.into_iter().enumerate().filter(|(i, _)| pick >> (i % 32) & 1 == 1).map(|(_, uid)| uid).collect()
    }

    fn leave(&mut self, id: MailboxId, uid: Uid) {
        for thread in &mut self.threads {
            thread.members.remove(&(id, uid));
        }
        self.threads.retain(|thread| !thread.members.is_empty());
    }

    fn join_like(&mut self, like: (MailboxId, Uid), new: (MailboxId, Uid)) {
        let thread = self.threads.iter_mut().find(|thread| thread.members.contains(&like)).unwrap();
        thread.members.insert(new);
    }

    fn superiors(name: &str) -> impl Iterator<Item = String> + '_ {
        name.match_indices('/').map(|(end, _)| name[..end].to_owned())
    }
}

struct World {
    dir: tempfile::TempDir,
    store: Option<Store>,
    mail: Option<MailStore>,
    runtime: tokio::runtime::Runtime,
    model: Model,
    account: RealmId,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let account = RealmId::account(ACCOUNT);
        let mut world = Self { dir, store: None, mail: None, runtime, model: Model::default(), account };
        world.open();
        world.run(|mail| async move { mail.create_standard_mailboxes(account).await }).unwrap();
        for role in Role::STANDARD {
            world.adopt(role.standard_name());
            world.model.subscribed.insert(role.standard_name().to_owned());
        }
        world
    }

    fn open(&mut self) {
        let store = Store::open(self.dir.path(), StoreOptions::default()).unwrap();
        self.mail = Some(MailStore::new(store.clone()));
        self.store = Some(store);
    }

    fn reopen(&mut self, kindly: bool) {
        if !kindly {
            // What a crash leaves: the files as they are now, whatever closing would still write.
            let after = tempfile::tempdir().unwrap();
            copy_folder(self.dir.path(), after.path());
            self.mail = None;
            self.store = None;
            self.dir = after;
            return self.open();
        }
        self.mail = None;
        self.store.take().unwrap().close();
        self.open();
    }

    fn mail(&self) -> &MailStore {
        self.mail.as_ref().unwrap()
    }

    fn run<T, F: Future<Output = T>>(&self, f: impl FnOnce(MailStore) -> F) -> T {
        self.runtime.block_on(f(self.mail().clone()))
    }

    /// A mailbox was made: note what it was given, which must be new.
    fn adopt(&mut self, name: &str) {
        let made = self.mail().mailbox_by_name(self.account, &MailboxName::new(name).unwrap()).unwrap().unwrap();
        assert!(self.model.validities.insert(made.uid_validity), "UIDVALIDITY used again");
        assert!(self.model.ids.insert(made.id), "mailbox id used again");
        let mailbox = Mailbox { id: made.id, validity: made.uid_validity, ..Mailbox::default() };
        assert!(self.model.mailboxes.insert(name.to_owned(), mailbox).is_none());
    }

    fn id(&self, name: &str) -> Option<MailboxId> {
        self.model.mailboxes.get(name).map(|mailbox| mailbox.id)
    }

    fn apply(&mut self, op: &Op) {
        let account = self.account;
        match op {
            Op::Append { mailbox, id, references, subject, date, flags: bits, key } => {
                let Some(target) = self.id(NAMES[*mailbox]) else { return };
                let references: Vec<u8> = references.iter().copied().filter(|r| r != id).collect();
                let bytes = format!("{op:?}").into_bytes();
                let size = bytes.len() as u64;
                let parsed = Parsed {
                    size,
                    message_id: format!("{id}@x"),
                    references: references.iter().map(|r| format!("{r}@x")).collect(),
                    base_subject: subject.to_string(),
                    ..Parsed::default()
                };
                let message = NewMessage {
                    body: self.mail().stage(&bytes).unwrap(),
                    parsed: Arc::new(parsed),
                    flags: flags(*bits),
                    internal_date_ms: i64::from(*date),
                    delivery_key: key.map(|key| vec![key]),
                    ignore_quota: false,
                };
                let done = self.run(|mail| async move { mail.append(account, target, message).await }).unwrap();
                if let Some(key) = key {
                    if let Some(before) = self.model.deliveries.get(key) {
                        assert!(done.duplicate);
                        assert_eq!(*before, (done.mailbox, done.uid));
                        return;
                    }
                    self.model.deliveries.insert(*key, (target, done.uid));
                }
                assert!(!done.duplicate);
                let ids: BTreeSet<_> = references.iter().chain([id]).map(|id| (id.to_string(), *subject)).collect();
                let place = (target, done.uid);
                let (related, mut others): (Vec<_>, Vec<_>) =
                    self.model.threads.drain(..).partition(|thread| !thread.ids.is_disjoint(&ids));
                let mut joined = Thread { ids, members: BTreeSet::from([place]) };
                for thread in related {
                    joined.ids.extend(thread.ids);
                    joined.members.extend(thread.members);
                }
                others.push(joined);
                self.model.threads = others;
                let mailbox = self.model.mailboxes.get_mut(NAMES[*mailbox]).unwrap();
                mailbox.last_uid += 1;
                assert_eq!((done.uid, done.uid_validity), (Uid(mailbox.last_uid), mailbox.validity));
                let message = Message {
                    email: done.email_id.0,
                    flags: flags(*bits),
                    date_ms: i64::from(*date),
                    size,
                    modseq: done.modseq,
                };
                mailbox.messages.insert(done.uid, message);
            }
            Op::SetFlags { mailbox, pick, how, flags: bits, since } => {
                let name = NAMES[*mailbox];
                let Some(id) = self.id(name) else { return };
                let mut uids = self.model.pick(name, *pick);
                let change = match how {
                    0 => FlagChange::Add(flags(*bits)),
                    1 => FlagChange::Remove(flags(*bits)),
                    _ => FlagChange::Replace(flags(*bits)),
                };
                let since = since.map(|since| ModSeq(u64::from(since)));
                uids.push(Uid(4_000_000_000));
                let (asked, with) = (uids.clone(), change.clone());
                let done =
                    self.run(|mail| async move { mail.set_flags(account, id, &asked, with, since).await }).unwrap();
                let mut expected = mailstore::FlagsChanged::default();
                let messages = &mut self.model.mailboxes.get_mut(name).unwrap().messages;
                for uid in uids {
                    let Some(message) = messages.get_mut(&uid) else { continue };
                    if since.is_some_and(|since| message.modseq > since) {
                        expected.modified.push(uid);
                        continue;
                    }
                    let wanted = message.flags.changed(&change).unwrap();
                    let now = done.changed.iter().find(|(changed, ..)| *changed == uid).expect("reported").2;
                    if wanted == message.flags {
                        assert_eq!(now, message.modseq, "MODSEQ grew without a change");
                    } else {
                        assert!(now > message.modseq, "MODSEQ did not grow");
                        message.modseq = now;
                        message.flags = wanted;
                    }
                    expected.changed.push((uid, message.flags.clone(), message.modseq));
                }
                assert_eq!(done, expected);
            }
            Op::Copy { from, pick, to } => self.copy(NAMES[*from], *pick, NAMES[*to], false),
            Op::Move { from, pick, to } => self.copy(NAMES[*from], *pick, NAMES[*to], true),
            Op::Expunge { mailbox, pick } => {
                let name = NAMES[*mailbox];
                let Some(id) = self.id(name) else { return };
                let uids = self.model.pick(name, *pick);
                let asked = uids.clone();
                let gone = self.run(|mail| async move { mail.expunge(account, id, &asked).await }).unwrap();
                assert_eq!(gone, uids);
                self.remove(name, &uids);
            }
            Op::ExpungeDeleted { mailbox } => {
                let name = NAMES[*mailbox];
                let Some(id) = self.id(name) else { return };
                let gone = self.run(|mail| async move { mail.expunge_deleted(account, id, None).await }).unwrap();
                let messages = &self.model.mailboxes[name].messages;
                let uids: Vec<Uid> = messages.iter().filter(|(_, m)| m.flags.deleted()).map(|(uid, _)| *uid).collect();
                assert_eq!(gone, uids);
                self.remove(name, &uids);
            }
            Op::Create { name } => {
                let name = NAMES[*name];
                let asked = MailboxName::new(name).unwrap();
                let done = self.run(|mail| async move { mail.create_mailbox(account, asked, None).await });
                if self.model.mailboxes.contains_key(name) {
                    assert!(matches!(done, Err(MailError::MailboxExists(_))));
                    return;
                }
                done.unwrap();
                self.adopt_superiors(name);
                self.adopt(name);
            }
            Op::Rename { from, to } => {
                let (from, to) = (NAMES[*from], NAMES[*to]);
                let (old, new) = (MailboxName::new(from).unwrap(), MailboxName::new(to).unwrap());
                let done = self.run(|mail| async move { mail.rename_mailbox(account, old, new).await });
                if self.model.mailboxes.contains_key(to) {
                    assert!(matches!(done, Err(MailError::MailboxExists(_))));
                    return;
                }
                if from == "INBOX" {
                    done.unwrap();
                    let moved = self.model.mailboxes.remove("INBOX").unwrap();
                    self.model.mailboxes.insert(to.to_owned(), moved);
                    self.adopt_superiors(to);
                    self.adopt("INBOX");
                    return;
                }
                if to.starts_with(&format!("{from}/")) || from == to {
                    assert!(matches!(done, Err(MailError::Forbidden(_))));
                    return;
                }
                let renamed = |name: &str| match name.strip_prefix(from) {
                    Some("") => Some(to.to_owned()),
                    Some(rest) if rest.starts_with('/') => Some(format!("{to}{rest}")),
                    _ => None,
                };
                let moving: Vec<String> =
                    self.model.mailboxes.keys().filter(|name| renamed(name).is_some()).cloned().collect();
                if moving.is_empty() {
                    assert!(matches!(done, Err(MailError::NoSuchMailbox(_))));
                    return;
                }
                if moving.iter().any(|name| self.model.mailboxes.contains_key(&renamed(name).unwrap())) {
                    assert!(matches!(done, Err(MailError::MailboxExists(_))));
                    return;
                }
                done.unwrap();
                for name in moving {
                    let mailbox = self.model.mailboxes.remove(&name).unwrap();
                    let new = renamed(&name).unwrap();
                    if self.model.subscribed.remove(&name) {
                        self.model.subscribed.insert(new.clone());
                    }
                    self.model.mailboxes.insert(new, mailbox);
                }
                self.adopt_superiors(to);
            }
            Op::Delete { name, children } => {
                let name = NAMES[*name];
                let (asked, how) =
                    (MailboxName::new(name).unwrap(), if *children { Children::Delete } else { Children::Keep });
                let done = self.run(|mail| async move { mail.delete_mailbox(account, asked, how).await });
                if name == "INBOX" {
                    assert!(matches!(done, Err(MailError::Forbidden(_))));
                    return;
                }
                let doomed: Vec<String> = (self.model.mailboxes.keys())
                    .filter(|other| *other == name || (*children && other.starts_with(&format!("{name}/"))))
                    .cloned()
                    .collect();
                if doomed.is_empty() {
                    assert!(matches!(done, Err(MailError::NoSuchMailbox(_))));
                    return;
                }
                done.unwrap();
                for name in doomed {
                    let mailbox = self.model.mailboxes.remove(&name).unwrap();
                    mailbox.messages.keys().for_each(|uid| self.model.leave(mailbox.id, *uid));
                    assert!(matches!(self.mail().view(account, mailbox.id), Err(MailError::MailboxGone(_))));
                }
            }
            Op::Subscribe { name, yes } => {
                let asked = MailboxName::new(NAMES[*name]).unwrap();
                self.run(|mail| async move { mail.subscribe(account, asked, *yes).await }).unwrap();
                if *yes {
                    self.model.subscribed.insert(NAMES[*name].to_owned());
                } else {
                    self.model.subscribed.remove(NAMES[*name]);
                }
            }
            Op::Reopen { kindly } => self.reopen(*kindly),
            Op::Maintain => self.run(|mail| async move { mail.maintain(account).await }).unwrap(),
        }
    }

    fn adopt_superiors(&mut self, name: &str) {
        for superior in Model::superiors(name).collect::<Vec<_>>() {
            if !self.model.mailboxes.contains_key(&superior) {
                self.adopt(&superior);
            }
        }
    }

    fn copy(&mut self, from: &str, pick: u32, to: &str, moving: bool) {
        let account = self.account;
        let (Some(source), Some(target)) = (self.id(from), self.id(to)) else { return };
        let uids = self.model.pick(from, pick);
        let asked = uids.clone();
        let done = self
            .run(|mail| async move {
                if moving {
                    mail.move_(account, source, &asked, target).await
                } else {
                    mail.copy(account, source, &asked, target).await
                }
            })
            .unwrap();
        assert_eq!(done.uids.iter().map(|(old, _)| *old).collect::<Vec<_>>(), uids);
        assert_eq!(done.uid_validity, self.model.mailboxes[to].validity);
        for (old, new) in done.uids {
            let mut message = self.model.mailboxes[from].messages[&old].clone();
            message.modseq = done.modseq;
            let mailbox = self.model.mailboxes.get_mut(to).unwrap();
            mailbox.last_uid += 1;
            assert_eq!(new, Uid(mailbox.last_uid));
            mailbox.messages.insert(new, message);
            self.model.join_like((source, old), (target, new));
        }
        if moving {
            self.remove(from, &uids);
        }
    }

    fn remove(&mut self, name: &str, uids: &[Uid]) {
        let id = self.id(name).unwrap();
        for uid in uids {
            self.model.mailboxes.get_mut(name).unwrap().messages.remove(uid);
            self.model.leave(id, *uid);
        }
    }

    /// Everything observable is as the model says.
    fn compare(&mut self) {
        let (mail, account, model) = (self.mail.clone().unwrap(), self.account, &mut self.model);
        let findings = invariants::check_account(&self.store.as_ref().unwrap().snapshot(), account).unwrap();
        assert!(findings.is_empty(), "{findings:#?}");

        let listed = mail.mailboxes(account).unwrap();
        assert_eq!(listed[0].name.as_str(), "INBOX");
        assert_eq!(
            listed.iter().map(|m| m.name.to_string()).collect::<BTreeSet<_>>(),
            model.mailboxes.keys().cloned().collect()
        );
        let subscriptions = mail.subscriptions(account).unwrap();
        assert_eq!(subscriptions.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), model.subscribed);
        let (mut emails, mut places) = (BTreeMap::new(), BTreeSet::new());
        for listed in &listed {
            let name = listed.name.to_string();
            let mailbox = &model.mailboxes[&name];
            let count = |f: &dyn Fn(&Message) -> bool| mailbox.messages.values().filter(|m| f(m)).count() as u32;
            assert_eq!((listed.id, listed.uid_validity), (mailbox.id, mailbox.validity));
            assert_eq!(listed.uid_next, Uid(mailbox.last_uid + 1));
            assert_eq!(listed.total as usize, mailbox.messages.len());
            assert_eq!(listed.unread, count(&|m| !m.flags.seen()));
            assert_eq!(listed.deleted, count(&|m| m.flags.deleted()));
            assert_eq!(listed.size, mailbox.messages.values().map(|m| m.size).sum::<u64>());
            assert_eq!(listed.subscribed, model.subscribed.contains(&name));

            let uids: Vec<Uid> = mailbox.messages.keys().copied().collect();
            let entries = mail.entries(account, mailbox.id, &uids).unwrap();
            let view = mail.view(account, mailbox.id).unwrap();
            assert_eq!(view.uids(), uids);
            assert_eq!(entries.len(), uids.len());
            for (index, (entry, (uid, message))) in entries.iter().zip(&mailbox.messages).enumerate() {
                assert_eq!(entry.uid, *uid);
                assert_eq!((entry.flags.clone(), entry.modseq), (message.flags.clone(), message.modseq));
                assert_eq!((view.flags(index), view.modseq(index)), (&message.flags, message.modseq));
                assert_eq!((entry.internal_date_ms, entry.size), (message.date_ms, message.size));
                assert_eq!(entry.email_id.0, message.email);
                assert!(message.modseq <= listed.highest_modseq);
                emails.insert(message.email, message.size);
                places.insert(((mailbox.id, *uid), entry.thread_id));
            }
            let hits =
                mail.search_uids(account, mailbox.id, &SearchQuery::Flag(SystemFlag::Flagged), None).unwrap().hits;
            let flagged: Vec<_> = mailbox.messages.iter().filter(|(_, m)| m.flags.flagged()).collect();
            assert_eq!(hits, flagged.iter().map(|(uid, m)| (**uid, m.modseq)).collect::<Vec<_>>());

            self::compare_list(&mail, account, mailbox, &entries);
            model.past.push((
                mailbox.id,
                listed.highest_modseq,
                mailbox.messages.iter().map(|(uid, m)| (*uid, m.flags.clone())).collect(),
            ));
        }
        let quota = mail.quota(account).unwrap();
        assert_eq!((quota.messages, quota.used_bytes), (emails.len() as u64, emails.values().sum()));
        let everywhere =
            mail.search(account, &SearchScope::Everywhere, &SearchQuery::All, SearchOptions::default()).unwrap();
        assert_eq!(everywhere.len(), places.len());

        // Conversations divide the messages as the model does.
        let mut by_thread: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (place, thread) in &places {
            by_thread.entry(*thread).or_default().insert(*place);
        }
        assert_eq!(
            by_thread.values().cloned().collect::<BTreeSet<_>>(),
            model.threads.iter().map(|thread| thread.members.clone()).collect()
        );
        for (thread, members) in by_thread {
            let rows = mail.thread(account, thread).unwrap();
            assert_eq!(rows.iter().map(|row| (row.mailbox, row.uid)).collect::<BTreeSet<_>>(), members);
            assert!(rows.is_sorted_by_key(|row| row.internal_date_ms));
        }

        // Whatever was known before, changes since then lead to what is true now.
        for (id, modseq, known) in &model.past {
            let Some(mailbox) = model.mailboxes.values().find(|mailbox| mailbox.id == *id) else { continue };
            let changes = mail.changes_since(account, *id, *modseq).unwrap();
            let mut now = known.clone();
            now.retain(|uid, _| !changes.vanished.contains(*uid));
            for (uid, flags, modseq) in &changes.changed {
                assert_eq!(mailbox.messages[uid].modseq, *modseq);
                now.insert(*uid, flags.clone());
            }
            assert_eq!(now, mailbox.messages.iter().map(|(uid, m)| (*uid, m.flags.clone())).collect());
            assert!(changes.exact);
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_folder(&item.path(), &target);
        } else if let Err(error) = fs::copy(item.path(), &target) {
            // The store tidies up on its own.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}

/// The list of conversations equals what the messages say, page by page.
fn compare_list(mail: &MailStore, account: RealmId, mailbox: &Mailbox, entries: &[mailstore::MessageEntry]) {
    let mut lines: BTreeMap<_, (i64, u32, u32, Uid)> = BTreeMap::new();
    for entry in entries {
        let line = lines.entry(entry.thread_id).or_insert((i64::MIN, 0, 0, Uid(0)));
        if (entry.internal_date_ms, entry.uid) >= (line.0, line.3) {
            (line.0, line.3) = (entry.internal_date_ms, entry.uid);
        }
        line.1 += 1;
        line.2 += u32::from(!entry.flags.seen());
    }
    let mut expected: Vec<_> =
        lines.into_iter().map(|(thread, (date, n, unread, uid))| (date, thread, n, unread, uid)).collect();
    expected.sort_by_key(|(date, thread, ..)| (std::cmp::Reverse(*date), *thread));
    let mut rows = Vec::new();
    let mut cursor = None;
    loop {
        let page = mail.conversations(account, mailbox.id, cursor, 3).unwrap();
        assert_eq!(page.has_previous, cursor.is_some());
        if let (Some(first), true) = (page.rows.first(), cursor.is_some()) {
            let key = mailstore::PageKey { date_ms: first.newest_ms, thread: first.thread_id };
            let before = mail.conversations_before(account, mailbox.id, key, 3).unwrap();
            let ids = |rows: &[mailstore::ConversationRow]| rows.iter().map(|r| r.thread_id).collect::<Vec<_>>();
            assert_eq!(ids(&before.rows), ids(&rows[rows.len() - 3..]));
        }
        rows.extend(page.rows);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let seen: Vec<_> = rows.iter().map(|r| (r.newest_ms, r.thread_id, r.total, r.unread, r.newest_uid)).collect();
    assert_eq!(seen, expected);
    for row in rows {
        let uids = mail.uids_of_threads(account, mailbox.id, &[row.thread_id]).unwrap();
        let expected: UidSet = entries.iter().filter(|e| e.thread_id == row.thread_id).map(|e| e.uid).collect();
        assert_eq!(uids.into_iter().collect::<UidSet>(), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_the_store_agrees_with_a_plain_model(ops in prop::collection::vec(op(), 1..40)) {
        let mut world = World::new();
        world.compare();
        for op in &ops {
            world.apply(op);
            world.compare();
        }
    }
}
