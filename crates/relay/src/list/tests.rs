use std::collections::BTreeMap;

use delivery::{Delivery, DeliveryOptions, RecipientRoute};
use directory::{AccountId, DirectoryOptions, NewAccount, Role};
use testkit::House;

use super::*;

fn list(addresses: &[(&str, u32)]) -> ListRecord {
    let salt = [7; 32];
    let mut entries: Vec<_> =
        addresses.iter().map(|(address, account)| entry(&hash(&salt, address), *account)).collect();
    entries.sort_unstable();
    ListRecord {
        salt: salt.to_vec(),
        domains: vec!["a.example".to_owned(), "all.example".to_owned(), "xn--bcher-kva.example".to_owned()],
        entries: entries.concat(),
        rooms: vec![Room { account: 2, bytes: 1_000 }, Room { account: 4, bytes: 0 }],
        postmaster: "postmaster@a.example".to_owned(),
        administrator: 2,
        max_message_bytes: 1_000,
        ..ListRecord::default()
    }
}

#[test]
fn a_relay_answers_as_the_primary_would() {
    let dir = tempfile::tempdir().unwrap();
    let signer = Signer::open(dir.path()).unwrap();
    let record = list(&[
        ("anna@a.example", 1),
        ("info@a.example", 1),
        ("berta@a.example", 2),
        ("full@a.example", 4),
        ("müller@a.example", 5),
        ("\"a b\"@a.example", 6),
        ("x@xn--bcher-kva.example", 7),
        ("@all.example", 3),
        ("tag+own@a.example", 8),
        ("blocked@all.example", REFUSED),
    ]);
    let signed = signer.sign(&record);
    let list = Recipients::read(&signed, &Signer::open(dir.path()).unwrap().public()).unwrap();
    assert_eq!(list.len(), 10);
    let ask = |address: &str, waiting: u64| {
        let address = EmailAddress::parse(address).unwrap();
        list.rcpt(&address, |_| waiting).map_err(|refusal| (refusal.code, refusal.enhanced))
    };
    for (address, waiting, expected) in [
        ("anna@a.example", 0, Ok(1)),
        ("ANNA@A.Example", 0, Ok(1)),
        ("anna+lists@a.example", 0, Ok(1)),
        ("anna+a+b@a.example", u64::MAX, Ok(1)),
        ("info@a.example", 0, Ok(1)),
        ("tag+own@a.example", 0, Ok(8)),
        ("tag@a.example", 0, Err((550, (5, 1, 1)))),
        ("MÜLLER@a.example", 0, Ok(5)),
        ("\"a b\"@a.example", 0, Ok(6)),
        ("x@bücher.example", 0, Ok(7)),
        ("anyone@all.example", 0, Ok(3)),
        ("anyone+x@all.example", 0, Ok(3)),
        ("annA.@all.example".trim_end_matches('.'), 0, Ok(3)),
        ("nobody@a.example", 0, Err((550, (5, 1, 1)))),
        ("blocked@all.example", 0, Err((550, (5, 1, 1)))),
        ("Blocked+x@all.example", 0, Err((550, (5, 1, 1)))),
        ("+@a.example", 0, Err((550, (5, 1, 1)))),
        ("PostMaster@a.example", 0, Ok(1)),
        ("postmaster@all.example", 0, Ok(3)),
        ("anna@elsewhere.example", 0, Err((550, (5, 7, 1)))),
        ("anna@sub.a.example", 0, Err((550, (5, 7, 1)))),
        ("full@a.example", 0, Err((452, (4, 2, 2)))),
        ("berta@a.example", 999, Ok(2)),
        ("berta@a.example", 1_000, Err((452, (4, 2, 2)))),
    ] {
        if let Ok(address) = EmailAddress::parse(address) {
            assert_eq!(ask(&address.to_string(), waiting), expected, "{address} {waiting}");
        }
    }
}

#[test]
fn a_list_that_another_signed_or_somebody_changed_is_not_used() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let signer = Signer::open(dir.path()).unwrap();
    let signed = signer.sign(&list(&[("anna@a.example", 1)]));
    assert!(Recipients::read(&signed, &Signer::open(other.path()).unwrap().public()).is_err());
    assert!(Recipients::read(&signed, b"").is_err());
    for at in 0..signed.record.len() {
        let mut changed = signed.clone();
        changed.record[at] ^= 1;
        assert!(Recipients::read(&changed, &signer.public()).is_err(), "{at}");
        assert_ne!(changed.revision(), signed.revision());
    }
    // Addresses can't be read from it.
    assert!(!signed.record.windows(4).any(|bytes| bytes == b"anna"));
}

#[test]
fn space_is_told_in_steps_and_full_is_full() {
    assert_eq!([room(0, 160), room(1, 160), room(155, 160), room(160, 160), room(200, 160)], [160, 160, 10, 0, 0]);
    assert_eq!([room(0, 5), room(4, 5), room(5, 5), room(0, 0)], [5, 1, 0, 0]);
}

/// What is asked of both machines.
const ASKED: [&str; 22] = [
    "anna@a.example",
    "Anna+Lists@a.example",
    "info@a.example",
    "info+x@a.example",
    "berta@a.example",
    "berta+x@a.example",
    "carl@a.example",
    "new@a.example",
    "old@all.example",
    "nobody@a.example",
    "nobody+x@a.example",
    "anyone@all.example",
    "anyone+x@all.example",
    "abcdefghijkm234567@all.example",
    "abcdefghijkm234567@a.example",
    "postmaster@a.example",
    "postmaster@all.example",
    "x@sub.a.example",
    "x@sub.all.example",
    "x@gone.example",
    "anna@gone.example",
    "anna@elsewhere.example",
];

/// A primary, and the list that it would give its relays.
struct Primary {
    house: House,
    delivery: Delivery,
    asked: Vec<String>,
}

impl Primary {
    async fn new(dir: &Path) -> Self {
        let house = House::with_mailboxes(dir, DirectoryOptions::default()).await;
        let (directory, mailstore) = (house.directory.clone(), house.mailstore.clone());
        let delivery = Delivery::new(house.store.clone(), directory, mailstore, DeliveryOptions::default()).unwrap();
        for domain in ["a.example", "all.example", "gone.example"] {
            house.directory.add_domain(domain).await.unwrap();
        }
        Self { house, delivery, asked: ASKED.map(str::to_owned).to_vec() }
    }

    async fn account(&self, address: &str) -> AccountId {
        let new = NewAccount {
            address: EmailAddress::parse(address).unwrap(),
            name: String::new(),
            password: "correct horse battery".to_owned(),
            role: Role::User,
            quota_bytes: 0,
        };
        self.house.directory.create_account(new).await.unwrap()
    }

    /// A new masked address, which is asked for from now on, also with a detail and in capitals.
    async fn mask(&mut self, account: AccountId) -> String {
        let mask = self.house.directory.create_mask(account, "a shop").await.unwrap();
        let with_detail = mask.replace('@', "+x@");
        self.asked.extend([mask.clone(), with_detail, mask.to_ascii_uppercase()]);
        // The same letters in another domain are nobody's.
        let local = mask.split('@').next().unwrap();
        self.asked.extend(["a.example", "all.example"].map(|domain| format!("{local}@{domain}")));
        mask
    }

    /// What a relay answers, and what this machine does, must be the same. Gives the answers: an account, or a code.
    #[track_caller]
    fn compare(&self, when: &str) -> BTreeMap<String, Result<u32, u16>> {
        let House { directory, mailstore, .. } = &self.house;
        let record = ListRecord::now(&[7; 32], directory, mailstore, &self.delivery, (None, false)).unwrap();
        let list = Recipients::of_record(record, 1).unwrap();
        let mut answers = BTreeMap::new();
        for asked in &self.asked {
            let address = EmailAddress::parse(asked).unwrap();
            let refused = |refusal: Refusal| (refusal.code, refusal.enhanced);
            let at_relay = list.rcpt(&address, |_| 0).map_err(refused);
            let at_home = self.delivery.rcpt(&address, None).map_err(refused).map(|route| match route {
                RecipientRoute::Local(account) => account.0,
                RecipientRoute::Remote => panic!("{asked} is not for strangers"),
            });
            assert_eq!(at_relay, at_home, "{when}: {asked}");
            answers.insert(asked.clone(), at_relay.map_err(|(code, _)| code));
        }
        answers
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_knows_the_recipients_that_the_primary_has_and_those_that_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut primary = Primary::new(dir.path()).await;
    let directory = primary.house.directory.clone();
    let anna = primary.account("anna@a.example").await;
    let owner = primary.account("owner@all.example").await;
    let gone = primary.account("anna@gone.example").await;
    for (account, alias) in
        [(anna, "info@a.example"), (anna, "tag+own@a.example"), (owner, "@all.example"), (owner, "@gone.example")]
    {
        directory.add_alias(account, alias).await.unwrap();
    }
    let [kept, blocked, deleted] = [primary.mask(owner).await, primary.mask(owner).await, primary.mask(owner).await];
    let without_catch_all = primary.mask(anna).await;
    let of_closed = primary.mask(gone).await;
    let answers = primary.compare("all is there");
    for mask in [&kept, &blocked, &deleted] {
        assert_eq!(answers[mask], Ok(owner.0));
    }
    assert_eq!((answers["anyone@all.example"], answers["abcdefghijkm234567@all.example"]), (Ok(owner.0), Ok(owner.0)));

    directory.block_mask(owner, &blocked, true).await.unwrap();
    directory.delete_mask(owner, &deleted).await.unwrap();
    directory.delete_mask(anna, &without_catch_all).await.unwrap();
    let answers = primary.compare("masked addresses were blocked and deleted");
    for mask in [&blocked, &deleted, &deleted.replace('@', "+x@"), &deleted.to_ascii_uppercase(), &without_catch_all] {
        assert_eq!(answers[mask], Err(550), "{mask}");
    }
    assert_eq!((answers[&kept], answers["anyone@all.example"]), (Ok(owner.0), Ok(owner.0)));
    directory.block_mask(owner, &blocked, false).await.unwrap();
    assert_eq!(primary.compare("it is no longer blocked")[&blocked], Ok(owner.0));

    directory.remove_alias(anna, "info@a.example").await.unwrap();
    assert_eq!(primary.compare("an alias was removed")["info+x@a.example"], Err(550));
    // The catch-all of its domain is somebody else's.
    directory.delete_account(gone).await.unwrap();
    let answers = primary.compare("an account was closed");
    assert_eq!((answers["anna@gone.example"], answers[&of_closed]), (Ok(owner.0), Err(550)));
    directory.remove_domain_with_aliases("gone.example").await.unwrap();
    assert_eq!(primary.compare("a domain was removed")["x@gone.example"], Err(550));
    let berta = primary.account("berta@a.example").await;
    directory.set_enabled(berta, false).await.unwrap();
    assert_eq!(primary.compare("an account can't sign in")["berta+x@a.example"], Ok(berta.0));
    directory.rename_account(berta, &EmailAddress::parse("new@a.example").unwrap(), false).await.unwrap();
    let answers = primary.compare("an account has another address");
    assert_eq!((answers["berta@a.example"], answers["new@a.example"]), (Err(550), Ok(berta.0)));
    directory.remove_alias(owner, "@all.example").await.unwrap();
    let answers = primary.compare("the catch-all was removed");
    assert_eq!((answers["anyone@all.example"], answers[&kept]), (Err(550), Ok(owner.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_report_about_mail_that_was_sent_on_goes_only_the_primary_knows() {
    let dir = tempfile::tempdir().unwrap();
    let primary = Primary::new(dir.path()).await;
    let owner = primary.account("owner@all.example").await;
    primary.house.directory.add_alias(owner, "@all.example").await.unwrap();
    let House { directory, mailstore, .. } = &primary.house;
    let record = ListRecord::now(&[7; 32], directory, mailstore, &primary.delivery, (None, false)).unwrap();
    let list = Recipients::of_record(record, 1).unwrap();
    for (address, code) in [
        ("SRS0=vmyz=2W=otherdomain.com=test@a.example", Err(451)),
        ("srs0+vmyz=2W=otherdomain.com=test@a.example", Err(451)),
        ("SRS1=abcd=other.example==vmyz=2W=otherdomain.com=test@all.example", Err(451)),
        ("SRS0=vmyz=2W=otherdomain.com=test@elsewhere.example", Err(550)),
        ("srs0@a.example", Err(550)),
        ("srs@all.example", Ok(owner.0)),
    ] {
        let answer = list.rcpt(&EmailAddress::parse(address).unwrap(), |_| 0).map_err(|refusal| refusal.code);
        assert_eq!(answer, code, "{address}");
    }
}
