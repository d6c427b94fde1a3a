//! A store in a temporary folder with one account, its mail with an index, and the same mail without.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use mailstore::{
    Flags, Folding, MailPart, MailStore, MailboxId, NewMessage, Role, SearchOptions, SearchQuery, SearchScope,
};
use realm::{Parts, feed::FeedPart};
use search::Index;
use store::{RealmId, Store, StoreOptions};

pub struct World {
    pub dir: tempfile::TempDir,
    pub store: Store,
    /// Searched with the index.
    pub mail: MailStore,
    /// Searched without.
    pub plain: MailStore,
    pub index: Arc<Index>,
    pub account: RealmId,
    pub runtime: tokio::runtime::Runtime,
}

fn open(dir: &Path) -> (Store, MailStore, MailStore, Arc<Index>) {
    let derive = Parts::new(&[&MailPart, &FeedPart]).derive();
    let store = Store::open(dir, StoreOptions { derive: Some(derive), ..StoreOptions::default() }).unwrap();
    let (mail, plain) = (MailStore::new(store.clone()), MailStore::new(store.clone()));
    let index = Index::new(store.clone());
    mail.narrow_by(index.clone());
    (store, mail, plain, index)
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let account = RealmId::account(7);
        let (store, mail, plain, index) = open(dir.path());
        runtime.block_on(mail.create_standard_mailboxes(account)).unwrap();
        Self { dir, store, mail, plain, index, account, runtime }
    }

    /// The files as they lie now, whatever closing would still write, opened again: what a crash leaves.
    pub fn crash(&mut self) {
        let after = tempfile::tempdir().unwrap();
        copy_folder(self.dir.path(), after.path());
        let (store, mail, plain, index) = open(after.path());
        (self.store, self.mail, self.plain, self.index) = (store, mail, plain, index);
        self.dir = after;
    }

    pub fn mailbox(&self, role: Role) -> MailboxId {
        self.plain.mailbox_by_role(self.account, role).unwrap().unwrap().id
    }

    pub fn append(&self, mailbox: MailboxId, raw: &[u8], date_ms: i64) {
        let message = NewMessage {
            body: self.mail.stage(raw).unwrap(),
            parsed: Arc::new(mailkit::parse(raw)),
            flags: Flags::NONE,
            internal_date_ms: date_ms,
            delivery_key: None,
            ignore_quota: false,
        };
        self.runtime.block_on(self.mail.append(self.account, mailbox, message)).unwrap();
    }

    /// Fails unless searches find the same with the index and without; gives how many messages they find.
    pub fn assert_same(&self, query: &SearchQuery) -> usize {
        let mut found = 0;
        for folding in [Folding::Case, Folding::Loose] {
            for scope in [SearchScope::Mail, SearchScope::Everywhere] {
                let options = || SearchOptions { folding, ..SearchOptions::default() };
                let with = self.mail.search(self.account, &scope, query, options()).unwrap();
                let without = self.plain.search(self.account, &scope, query, options()).unwrap();
                assert_eq!(with, without, "{query:?} {folding:?} {scope:?}");
                found = with.len();
            }
        }
        for mailbox in [Role::Inbox, Role::Archive, Role::Trash].map(|role| self.mailbox(role)) {
            let with = self.mail.search_uids(self.account, mailbox, query, None).unwrap();
            let without = self.plain.search_uids(self.account, mailbox, query, None).unwrap();
            assert_eq!(with, without, "{query:?}");
        }
        found
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
