//! What the checks of an account promise.

use std::sync::Arc;

use delivery::{Delivery, DeliveryOptions};
use directory::{AccountId, Directory, DirectoryOptions, Identity, NewAccount, Role, Settings};
use filter::spam::{Entry, Spam};
use mailkit::EmailAddress;
use mailstore::{MailStore, Role as MailboxRole};
use people::People;
use rules::{Day, Rules, Vacation};
use selfcheck::{Arrived, Finding, Parts, Selfcheck, State, worst};
use store::{Store, StoreOptions};
use tempfile::TempDir;

struct World {
    checks: Selfcheck,
    anna: AccountId,
    store: Store,
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
        // Its first start writes, and waits for that.
        let new = || Directory::new(store.clone(), DirectoryOptions::default());
        let directory = tokio::task::block_in_place(new).unwrap();
        directory.add_domain("here.example").await.unwrap();
        let new = NewAccount {
            address: EmailAddress::parse("anna@here.example").unwrap(),
            name: "Anna".to_owned(),
            password: "correct horse battery".to_owned(),
            role: Role::User,
            quota_bytes: 10_000,
        };
        let anna = directory.create_account(new).await.unwrap();
        let limits = directory.clone();
        let limit = move |realm: store::RealmId| limits.quota_limit(AccountId(realm.account_number()?));
        let mailstore = MailStore::with_quota_limit(store.clone(), Arc::new(limit));
        mailstore.create_standard_mailboxes(anna.realm()).await.unwrap();
        let zone = Arc::new(dnskit::Zone::new());
        let options = DeliveryOptions::default();
        let delivery =
            Delivery::with_resolver(store.clone(), directory.clone(), mailstore.clone(), options, zone).unwrap();
        let checks = Selfcheck::new(Parts {
            directory,
            mailstore,
            people: People::new(store.clone()),
            rules: Rules::new(store.clone()),
            spam: Spam::new(store.clone()),
            delivery,
            index: None,
        });
        Self { checks, anna, store, _folder: folder }
    }

    fn of(&self, code: &str) -> Vec<Finding> {
        self.checks.look(self.anna).unwrap().into_iter().filter(|finding| finding.code == code).collect()
    }

    fn one(&self, code: &str) -> Finding {
        let found = self.of(code);
        assert_eq!(found.len(), 1, "{code}: {found:?}");
        found.into_iter().next().unwrap()
    }

    /// Mends it, and finds it mended; a second time there is nothing to do.
    async fn mends(&self, finding: &Finding) {
        let mended = self.checks.mend(self.anna, finding.code, &finding.about).await.unwrap();
        assert_eq!(mended.as_ref(), Some(finding));
        let still = self.of(finding.code).into_iter().find(|one| one.about == finding.about && one.mend.is_some());
        assert_eq!(still, None);
        assert_eq!(self.checks.mend(self.anna, finding.code, &finding.about).await.unwrap(), None);
    }

    async fn script(&self, text: &str) {
        let (rules, realm) = (&self.checks.rules, self.anna.realm());
        rules.put(realm, "mine", text).await.unwrap();
        rules.activate(realm, Some("mine")).await.unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.store.close();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_account_has_nothing_wrong_and_its_mail_arrives() {
    let world = World::new().await;
    let found = world.checks.look(world.anna).unwrap();
    let wrong: Vec<&Finding> = found.iter().filter(|one| one.state == State::Wrong || one.mend.is_some()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(world.one("two-step").state, State::Note, "a password is all there is");
    assert_eq!(worst(&found), State::Note);
    let arrived = world.checks.send_test(world.anna, None).await.unwrap();
    assert_eq!(arrived, Arrived::In(vec!["INBOX".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_mailboxes_are_made() {
    let world = World::new().await;
    let (mail, realm) = (&world.checks.mailstore, world.anna.realm());
    let sent = mail.mailbox_by_role(realm, MailboxRole::Sent).unwrap().unwrap();
    mail.set_role(realm, sent.id, None).await.unwrap();
    let finding = world.one("mailboxes");
    assert_eq!((finding.state, &finding.about[..]), (State::Wrong, "Sent"));
    world.mends(&finding).await;
    assert!(mail.mailbox_by_role(realm, MailboxRole::Sent).unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_is_told_of_before_it_is_full_and_a_test_message_then_waits() {
    let world = World::new().await;
    assert_eq!(world.one("storage").state, State::Ok);
    for (quota, state) in [(1_000_000, State::Ok), (0, State::Ok), (1, State::Wrong)] {
        world.checks.directory.set_quota(world.anna, quota).await.unwrap();
        if quota == 1 {
            // What is here already is more than that.
            world.checks.directory.set_quota(world.anna, 0).await.unwrap();
            world.checks.send_test(world.anna, None).await.unwrap();
            world.checks.directory.set_quota(world.anna, 1).await.unwrap();
        }
        assert_eq!(world.one("storage").state, state, "{quota}");
    }
    let arrived = world.checks.send_test(world.anna, None).await.unwrap();
    assert!(matches!(arrived, Arrived::Refused(_) | Arrived::Waits), "{arrived:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_lead_nowhere_are_named() {
    let world = World::new().await;
    assert_eq!(world.one("rules").state, State::Ok);
    world.script("require [\"fileinto\"];\n# rule:[Lists]\nif header :contains \"subject\" \"list\" {\n  fileinto \"Lists\";\n}\n").await;
    let finding = world.one("rule-mailbox");
    assert_eq!((finding.state, &finding.about[..]), (State::Wrong, "Lists"));
    world.mends(&finding).await;
    assert_eq!(world.one("rules").state, State::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vacation_reply_that_is_still_on_is_turned_off() {
    let world = World::new().await;
    let day = |date: &str| Some(Day { date: date.to_owned(), zone: "+0000".to_owned() });
    for (from, until, state) in [
        (None, None, State::Note),
        (day("2001-01-01"), day("2001-01-31"), State::Note),
        (day("2001-01-01"), day("2999-01-31"), State::Note),
        (day("2999-01-01"), None, State::Ok),
    ] {
        let mut book = rules::Book::default();
        book.set_vacation(Some(Vacation {
            off: false,
            from,
            until,
            text: "I'm away.".to_owned(),
            ..Vacation::default()
        }));
        world.script(&book.text().unwrap()).await;
        let finding = world.one("vacation");
        assert_eq!(finding.state, state, "{finding:?}");
        if state == State::Note {
            world.mends(&finding).await;
            assert_eq!(world.one("vacation").state, State::Ok);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_that_are_blocked_by_mistake_are_unblocked_and_no_others() {
    let world = World::new().await;
    let realm = world.anna.realm();
    let entry = |text: &str, allowed| Entry::new(text, allowed).unwrap();
    let entries = vec![
        entry("spammer@evil.example", false),
        entry("anna@here.example", false),
        entry("friend@mixed.example", false),
        entry("mixed.example", true),
    ];
    world.checks.spam.change_settings(realm, move |settings| settings.entries = entries).await.unwrap();
    let found = world.of("sender-blocked");
    let states: Vec<(&str, State)> = found.iter().map(|one| (&one.about[..], one.state)).collect();
    assert_eq!(states, [("anna@here.example", State::Wrong), ("friend@mixed.example", State::Note)]);
    for finding in &found {
        world.mends(finding).await;
    }
    let left = world.checks.spam.settings(realm).unwrap().entries;
    assert_eq!(left, [entry("spammer@evil.example", false), entry("mixed.example", true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_for_addresses_that_are_gone_is_removed() {
    let world = World::new().await;
    let directory = &world.checks.directory;
    let old =
        Identity { address: "old@here.example".to_owned(), display_name: "Old".to_owned(), ..Identity::default() };
    let own = Identity { address: "anna@here.example".to_owned(), display_name: "A".to_owned(), ..Identity::default() };
    directory.add_alias(world.anna, "old@here.example").await.unwrap();
    let settings =
        Settings { identities: vec![own, old], writes_from: "old@here.example".to_owned(), ..Settings::default() };
    directory.set_settings(world.anna, settings).await.unwrap();
    assert_eq!(world.one("identities").state, State::Ok);
    directory.remove_alias(world.anna, "old@here.example").await.unwrap();
    let finding = world.one("identity-gone");
    world.mends(&finding).await;
    let left = directory.settings(world.anna).unwrap();
    assert_eq!((left.identities.len(), &left.writes_from[..]), (1, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_mended_that_was_not_found() {
    let world = World::new().await;
    for (code, about) in
        [("mailboxes", "Sent"), ("sender-blocked", "x@y.example"), ("storage", ""), ("", ""), ("vacation", "")]
    {
        assert_eq!(world.checks.mend(world.anna, code, about).await.unwrap(), None, "{code}");
    }
    assert!(world.checks.look(AccountId(99)).is_err());
}
