//! What the tests of this crate share: a store in a temporary folder with one account.
use std::sync::Arc;

use mailstore::{
    Appended, Flags, MailStore, Mailbox, MailboxId, MailboxName, NewMessage, QuotaLimit, Role, invariants,
};
use store::{RealmId, Store, StoreOptions};

pub const ACCOUNT: u32 = 3;

pub struct World {
    pub store: Store,
    pub mail: MailStore,
    pub account: RealmId,
    pub dir: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(None).await
    }

    pub async fn with(limit: Option<QuotaLimit>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let mail = match limit {
            Some(limit) => MailStore::with_quota_limit(store.clone(), limit),
            None => MailStore::new(store.clone()),
        };
        let account = RealmId::account(ACCOUNT);
        mail.create_standard_mailboxes(account).await.unwrap();
        Self { store, mail, account, dir }
    }

    pub fn mailbox(&self, role: Role) -> Mailbox {
        self.mail.mailbox_by_role(self.account, role).unwrap().unwrap()
    }

    pub fn inbox(&self) -> MailboxId {
        self.mailbox(Role::Inbox).id
    }

    pub async fn create(&self, name: &str) -> MailboxId {
        self.mail.create_mailbox(self.account, MailboxName::new(name).unwrap(), None).await.unwrap()
    }

    pub fn message(&self, raw: &[u8]) -> NewMessage {
        NewMessage {
            body: self.mail.stage(raw).unwrap(),
            parsed: Arc::new(mailkit::parse(raw)),
            flags: Flags::NONE,
            internal_date_ms: 1_795_445_410_000,
            delivery_key: None,
            ignore_quota: false,
        }
    }

    pub async fn append(&self, mailbox: MailboxId, raw: &[u8]) -> Appended {
        self.mail.append(self.account, mailbox, self.message(raw)).await.unwrap()
    }

    pub fn assert_in_order(&self) {
        let findings = invariants::check_account(&self.store.snapshot(), self.account).unwrap();
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

/// A small message.
pub fn text(id: &str, references: &str, subject: &str, body: &str) -> Vec<u8> {
    let references = if references.is_empty() { String::new() } else { format!("References: {references}\r\n") };
    format!(
        "From: Ann Example <ann@example.org>\r\nTo: bob@example.org\r\nSubject: {subject}\r\n\
         Date: Mon, 23 Nov 2026 14:50:10 +0000\r\nMessage-ID: <{id}>\r\n{references}\r\n{body}\r\n"
    )
    .into_bytes()
}
