//! Whatever comes in, nothing panics; and books that grew apart merge as promised.

use std::collections::{BTreeMap, BTreeSet};

use people::import::read;
use people::merge::{Book, BookGroup, merge};
use people::{Address, Card, ContactId, GroupId, csv, vcard};
use proptest::prelude::*;

fn card() -> impl Strategy<Value = Card> {
    let word = || prop::sample::select(vec!["", "a", "b", "c", "a, b"]);
    let address = prop::sample::select(vec!["a@x.org", "b@x.org", "A@x.org", "c@x.org"]);
    let addresses = prop::collection::vec((address, word()), 0..3);
    (word(), word(), word(), prop::collection::vec(word(), 0..3), addresses, word()).prop_map(
        |(name, organisation, note, others, addresses, parts)| {
            let mut card = Card {
                name: name.to_owned(),
                organisation: organisation.to_owned(),
                note: note.to_owned(),
                parts: parts.to_owned(),
                uid: "u".to_owned(),
                ..Card::default()
            };
            let mut seen = BTreeSet::new();
            for other in others {
                if seen.insert(other) {
                    card.other_names.push(other.to_owned());
                }
            }
            let mut seen = BTreeSet::new();
            for (address, label) in addresses {
                if seen.insert(address.to_lowercase()) {
                    card.addresses.push(Address { address: address.to_owned(), label: label.to_owned() });
                }
            }
            card
        },
    )
}

fn book() -> impl Strategy<Value = Book> {
    let contacts = prop::collection::btree_map((0u64..5).prop_map(ContactId), card(), 0..5);
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let members = prop::collection::btree_set((0u64..5).prop_map(ContactId), 0..4);
    let groups = prop::collection::btree_map((0u64..3).prop_map(GroupId), (name, members), 0..3);
    (contacts, groups).prop_map(|(contacts, groups)| {
        let groups: BTreeMap<GroupId, BookGroup> = groups
            .into_iter()
            .map(|(id, (name, mut members))| {
                members.retain(|member| contacts.contains_key(member));
                (id, BookGroup { name: name.to_owned(), uid: "g".to_owned(), members })
            })
            .collect();
        Book { contacts, groups, ..Book::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn merging_twice_changes_nothing(base in book(), old in book(), now in book()) {
        let once = merge(&base, &old, &now);
        prop_assert_eq!(&merge(&base, &old, &once), &once);
    }

    #[test]
    fn what_one_side_changed_is_as_it_has_it(base in book(), side in book()) {
        prop_assert_eq!(&merge(&base, &base, &side), &side);
        let other = merge(&base, &side, &base);
        prop_assert_eq!(other.contacts.keys().collect::<Vec<_>>(), side.contacts.keys().collect::<Vec<_>>());
        prop_assert_eq!(&merge(&base, &side, &side), &side);
    }

    #[test]
    fn without_a_base_nothing_is_lost(old in book(), now in book()) {
        let merged = merge(&Book::default(), &old, &now);
        for side in [&old, &now] {
            for (id, card) in &side.contacts {
                let kept = &merged.contacts[id];
                prop_assert!(card.name.is_empty() || kept.name == card.name || kept.other_names.contains(&card.name));
                prop_assert!(kept.note.contains(&card.note) && kept.organisation.contains(&card.organisation));
                for address in &card.addresses {
                    let known = |a: &Address| a.address.eq_ignore_ascii_case(&address.address);
                    prop_assert!(kept.addresses.iter().any(known));
                }
            }
            for (id, group) in &side.groups {
                prop_assert!(group.members.is_subset(&merged.groups[id].members));
            }
        }
    }

    #[test]
    fn members_are_contacts(base in book(), old in book(), now in book()) {
        let merged = merge(&base, &old, &now);
        for group in merged.groups.values() {
            prop_assert!(group.members.iter().all(|member| merged.contacts.contains_key(member)));
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read(&bytes);
        vcard::read(&bytes);
        csv::read(&bytes);
    }

    #[test]
    fn no_lines_like_vcards_make_a_reader_panic_and_what_is_read_is_written_and_read_again(
        lines in prop::collection::vec("(item1\\.)?(FN|N|EMAIL|TEL|ORG|NOTE|UID|PHOTO|X-ABLabel|CATEGORIES|X-Y)\
            (;TYPE=[a-z,\"]{0,6}|;ENCODING=(b|QUOTED-PRINTABLE)|;CHARSET=latin1|;PREF)*:[ -~é\u{1F600}]{0,90}=?", 0..12),
    ) {
        let file = format!("BEGIN:VCARD\r\n{}\r\nEND:VCARD\r\n", lines.join("\r\n"));
        let first = read(file.as_bytes());
        let mut book = Book::default();
        for incoming in first.cards {
            book.contacts.insert(ContactId(book.contacts.len() as u64), incoming.card);
        }
        let out = vcard::write(&book);
        prop_assert!(out.lines().all(|line| line.len() <= 75));
        let again = vcard::read(out.as_bytes());
        prop_assert_eq!(again.cards.len(), book.contacts.len(), "{}", out);
        for (mine, theirs) in book.contacts.values().zip(&again.cards) {
            prop_assert_eq!(mine.addresses.len(), theirs.card.addresses.len(), "{}", &out);
            prop_assert_eq!(&mine.note, &theirs.card.note);
        }
    }
}
