//! Whatever is done to an account, and wherever the index is, searches find what they find without it.

use std::collections::BTreeSet;

use mailstore::{FlagChange, Flags, Role, SearchOptions, SearchQuery as Q, SearchScope, Uid, UidSet};
use proptest::prelude::*;
use search::Followed;

use crate::world::World;

const WORDS: [&str; 16] = [
    "harbour",
    "Hafen",
    "Straße",
    "Zahlungserinnerung",
    "crème",
    "résumé",
    "東京都庁",
    "ΟΔΟΣ",
    "anna.b@test.example",
    "https://x.example/Rechnung_2026?id=77",
    "aGVsbG8gd29ybGQgdGhpcyBpcyBhIGxvbmcgdG9rZW4gdGhhdCBnb2VzIG9uIGFuZCBvbg",
    "ﬁnal",
    "e\u{301}t\u{e9}",
    "สวัสดี",
    "ab",
    "2026-11-30",
];
const ROLES: [Role; 3] = [Role::Inbox, Role::Archive, Role::Trash];

#[derive(Clone, Debug)]
enum Op {
    Append { to: usize, words: Vec<usize>, many: usize },
    Flag { of: usize, pick: u32 },
    Move { from: usize, pick: u32, to: usize },
    Copy { from: usize, pick: u32, to: usize },
    Expunge { of: usize, pick: u32 },
    Step,
    CatchUp,
    Crash,
    Lose,
}

fn op() -> impl Strategy<Value = Op> {
    let (role, pick) = (|| 0..ROLES.len(), any::<u32>);
    prop_oneof![
        9 => (role(), prop::collection::vec(0..WORDS.len(), 1..6), 1usize..8)
            .prop_map(|(to, words, many)| Op::Append { to, words, many }),
        1 => (role(), pick()).prop_map(|(of, pick)| Op::Flag { of, pick }),
        2 => (role(), pick(), role()).prop_map(|(from, pick, to)| Op::Move { from, pick, to }),
        1 => (role(), pick(), role()).prop_map(|(from, pick, to)| Op::Copy { from, pick, to }),
        3 => (role(), pick()).prop_map(|(of, pick)| Op::Expunge { of, pick }),
        6 => Just(Op::Step),
        2 => Just(Op::CatchUp),
        1 => Just(Op::Crash),
        1 => Just(Op::Lose),
    ]
}

fn picked(world: &World, of: usize, pick: u32) -> Vec<Uid> {
    let view = world.plain.view(world.account, world.mailbox(ROLES[of])).unwrap();
    view.uids().iter().enumerate().filter(|(n, _)| pick >> (n % 32) & 1 == 1).map(|(_, uid)| *uid).collect()
}

fn message(words: &[usize], n: usize) -> Vec<u8> {
    let text: Vec<&str> = words.iter().map(|word| WORDS[*word]).collect();
    let (first, all) = (text[0], text.join(" "));
    format!(
        "From: Ann <ann@example.org>\r\nTo: {first} <bob{n}@example.org>\r\nSubject: {first} {n}\r\n\
         X-Note: hidden {}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{all}\r\nnumber{n}\r\n",
        text[text.len() - 1]
    )
    .into_bytes()
}

fn apply(world: &mut World, op: &Op, n: &mut usize) {
    let (account, mail) = (world.account, world.mail.clone());
    let id = |role: usize| world.mailbox(ROLES[role]);
    match op {
        Op::Append { to, words, many } => {
            for at in 0..*many {
                *n += 1;
                let words: Vec<usize> = words.iter().map(|word| (word + at) % WORDS.len()).collect();
                world.append(id(*to), &message(&words, *n), 1_795_445_410_000 + (*n as i64 % 5) * 1_000);
            }
        }
        Op::Flag { of, pick } => {
            let change = FlagChange::Add(Flags::parse(["\\Seen"]).unwrap());
            let _ = world.runtime.block_on(mail.set_flags(account, id(*of), &picked(world, *of, *pick), change, None));
        }
        Op::Move { from, pick, to } if from != to => {
            world.runtime.block_on(mail.move_(account, id(*from), &picked(world, *from, *pick), id(*to))).unwrap();
        }
        Op::Move { .. } => {}
        Op::Copy { from, pick, to } => {
            world.runtime.block_on(mail.copy(account, id(*from), &picked(world, *from, *pick), id(*to))).unwrap();
        }
        Op::Expunge { of, pick } => {
            world.runtime.block_on(mail.expunge(account, id(*of), &picked(world, *of, *pick))).unwrap();
        }
        Op::Step => {
            world.index.step(account, 1).unwrap();
        }
        Op::CatchUp => world.index.catch_up(account).unwrap(),
        Op::Crash => world.crash(),
        // The key of the state: what is left of the segments is nobody's.
        Op::Lose => {
            let key = [&account.raw().to_be_bytes()[..], b"m"].concat();
            world.store.set_aside("search", vec![(key, None)]).unwrap();
        }
    }
}

fn queries() -> Vec<Q> {
    let text = |text: &str| Q::Text(text.into());
    let mut queries: Vec<Q> =
        ["harb", "strasse", "STRASSE", "erinn", "creme", "京都", "京", "οδος", "b@test", "t.example/Re"]
            .into_iter()
            .chain([
                "final",
                "ete",
                "วั",
                "a",
                "2026-11",
                "1-3",
                "nowhere",
                "ber1 ",
                "gVsbG8gd29ybGQgdGhpcyBpcyBhIGxvbmc",
                "--",
                "note",
            ])
            .map(text)
            .collect();
    queries.extend([
        Q::Subject("hafen".into()),
        Q::From("ann".into()),
        Q::To("harbour".into()),
        Q::To("bob1".into()),
        Q::Body("number1".into()),
        Q::Body("hidden".into()),
        Q::Header { name: "x-note".into(), contains: "ab".into() },
        Q::And(vec![text("harbour"), Q::Not(Box::new(text("hafen")))]),
        Q::Or(vec![text("résumé"), Q::Subject("2026".into())]),
        Q::And(vec![Q::Uids(UidSet::from_ranges([(1, 9)])), text("ab")]),
    ]);
    queries
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn searches_find_the_same_with_the_index_and_without(ops in prop::collection::vec(op(), 1..30)) {
        let mut world = World::new();
        let mut n = 0;
        for (at, op) in ops.iter().enumerate() {
            apply(&mut world, op, &mut n);
            if at % 8 == 7 || at + 1 == ops.len() {
                for query in queries() {
                    world.assert_same(&query);
                }
            }
        }
        world.index.catch_up(world.account).unwrap();
        for query in queries() {
            world.assert_same(&query);
        }
        let measure = world.index.measure(world.account).unwrap().unwrap_or_default();
        let there = SearchScope::Everywhere;
        let all = world.plain.search(world.account, &there, &Q::All, SearchOptions::default()).unwrap();
        let emails: BTreeSet<_> = all.iter().map(|hit| hit.email_id).collect();
        prop_assert!(measure.messages >= emails.len() as u64, "all that is there is in the index");
    }
}

#[test]
fn an_index_is_used_and_small_parts_become_large_ones() {
    let world = World::new();
    let inbox = world.mailbox(Role::Inbox);
    for n in 0..70 {
        world.append(inbox, &message(&[n % WORDS.len()], n), 0);
        if n % 3 == 0 {
            world.index.catch_up(world.account).unwrap();
        }
    }
    world.index.catch_up(world.account).unwrap();
    let measure = world.index.measure(world.account).unwrap().unwrap();
    assert_eq!(measure.messages, 70);
    assert!(measure.segments <= 9, "{measure:?}");
    let snapshot = world.store.snapshot();
    let among = |text: &str| {
        let query = Q::Text(text.into());
        mailstore::Narrowing::candidates(&*world.index, &snapshot, world.account, &query, mailstore::Folding::Case)
            .map(|ids| ids.len())
    };
    assert_eq!(among("nowhere"), Some(0));
    assert_eq!(among("number17"), Some(1));
    assert_eq!(among("harbou"), Some(5));
    assert_eq!(among("-"), None);
    world.append(inbox, &message(&[0], 99), 0);
    let snapshot = world.store.snapshot();
    let query = Q::Text("nowhere".into());
    let found =
        mailstore::Narrowing::candidates(&*world.index, &snapshot, world.account, &query, mailstore::Folding::Case)
            .unwrap();
    assert_eq!(found.len(), 1, "what the index has not seen is looked at");
}

#[test]
fn parts_of_words_are_looked_up_among_many_words() {
    let world = World::new();
    let inbox = world.mailbox(Role::Inbox);
    let word = |n: u64| format!("{:x}word{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20, n);
    for n in 0..24u64 {
        let words: Vec<String> = (0..250).map(|at| word(n * 250 + at)).collect();
        let raw = format!("Subject: {n}\r\n\r\n{}\r\n", words.join(" "));
        world.append(inbox, raw.as_bytes(), 0);
    }
    world.index.catch_up(world.account).unwrap();
    for n in (9..24 * 250).step_by(613) {
        let whole = word(n);
        for part in [&whole[..], &whole[1..], &whole[3..9], &whole[..6], &whole[whole.len() - 5..]] {
            assert!(world.assert_same(&Q::Text(part.to_owned())) > 0, "{part} of {whole}");
        }
    }
    assert_eq!(world.assert_same(&Q::Text("nowhere".into())), 0);
}

#[test]
fn people_find_other_forms_of_a_word_and_imap_does_not() {
    let world = World::new();
    let inbox = world.mailbox(Role::Inbox);
    let texts = [
        ("Running shoes", "We were running along the river every morning before we went to work."),
        ("A run", "The children run to school, and their mother has seen them from the window."),
        ("Neue H\u{e4}user", "Die H\u{e4}user stehen am Ende der Stra\u{df}e, und wir haben sie gestern gesehen."),
        ("Das Haus", "Das Haus geh\u{f6}rt meiner Gro\u{df}mutter, die seit vielen Jahren darin wohnt."),
        ("Quittung", "Im Anhang finden Sie die Rechnungen, die Sie am letzten Montag bestellt haben."),
    ];
    let find = |query: &Q, folding| {
        let options = SearchOptions { folding, ..SearchOptions::default() };
        world.mail.search(world.account, &SearchScope::Mail, query, options).unwrap().len()
    };
    for (subject, text) in texts {
        let raw = format!("Subject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n");
        world.append(inbox, raw.as_bytes(), 0);
    }
    for is_indexed in [false, true] {
        if is_indexed {
            world.index.catch_up(world.account).unwrap();
        }
        use mailstore::Folding::{Case, Loose};
        for (word, exact, forms) in [
            ("run", 2, 2),
            ("running", 1, 2),
            ("runs", 0, 2),
            ("haus", 1, 2),
            ("h\u{e4}user", 1, 2),
            ("hausern", 0, 2),
            ("rechnung", 1, 1),
            ("children", 1, 1),
            ("nowhere", 0, 0),
        ] {
            let text = Q::Text(word.into());
            assert_eq!(find(&text, Loose), forms, "{word}");
            assert_eq!(find(&text, Case), exact, "{word}");
            assert_eq!(find(&Q::Fuzzy(Box::new(text.clone())), Case), forms, "{word}");
            world.assert_same(&text);
            world.assert_same(&Q::Literal(Box::new(text.clone())));
            world.assert_same(&Q::Fuzzy(Box::new(text)));
        }
        assert_eq!(find(&Q::Literal(Box::new(Q::Text("runs".into()))), Loose), 0);
        assert_eq!(find(&Q::Subject("runs".into()), Loose), 2);
        assert_eq!(find(&Q::Not(Box::new(Q::Text("runs".into()))), Loose), 3);
    }
}

#[test]
fn what_was_deleted_leaves_the_index() {
    let world = World::new();
    let inbox = world.mailbox(Role::Inbox);
    for n in 0..16 {
        world.append(inbox, &message(&[1], n), 0);
    }
    world.index.catch_up(world.account).unwrap();
    let all = world.plain.view(world.account, inbox).unwrap().uids().to_vec();
    world.runtime.block_on(world.mail.expunge(world.account, inbox, &all)).unwrap();
    world.index.catch_up(world.account).unwrap();
    // Three more of the same size: the four are merged.
    for batch in 0..3 {
        for n in 0..16 {
            world.append(inbox, &message(&[2], batch * 16 + n), 0);
        }
        world.index.catch_up(world.account).unwrap();
    }
    assert_eq!(world.index.measure(world.account).unwrap().unwrap().messages, 48);
}

/// What goes after an index was begun and before it was built is counted as gone, but was never in a segment.
#[test]
fn what_goes_before_it_was_taken_in_is_not_looked_for_again_and_again() {
    for (there, gone) in [(2, 1), (3, 2), (7, 6), (7, 1)] {
        let world = World::new();
        let inbox = world.mailbox(Role::Inbox);
        for n in 0..there {
            world.append(inbox, &message(&[1], n), 0);
        }
        assert_eq!(world.index.step(world.account, 1).unwrap(), Followed::More, "it is begun");
        let all = world.plain.view(world.account, inbox).unwrap().uids().to_vec();
        world.runtime.block_on(world.mail.expunge(world.account, inbox, &all[..gone])).unwrap();
        let steps = (0..20).take_while(|_| world.index.step(world.account, 1).unwrap() == Followed::More).count();
        assert!(steps < 20, "{gone} of {there}: it does not come to an end");
        assert_eq!(world.index.measure(world.account).unwrap().unwrap().messages, (there - gone) as u64);
    }
}

#[test]
fn nothing_is_kept_of_mail_that_is_all_gone() {
    let mut world = World::new();
    let inbox = world.mailbox(Role::Inbox);
    for n in 0..7 {
        world.append(inbox, &message(&[1], n), 0);
    }
    world.index.catch_up(world.account).unwrap();
    assert!(world.index.measure(world.account).unwrap().unwrap().bytes > 0);
    world.runtime.block_on(world.mail.purge(world.account)).unwrap();
    for is_crashed in [false, true] {
        if is_crashed {
            world.crash();
        }
        world.index.catch_up(world.account).unwrap();
        let measure = world.index.measure(world.account).unwrap().unwrap_or_default();
        assert_eq!((measure.messages, measure.bytes, measure.segments), (0, 0, 0));
        let snapshot = world.store.snapshot();
        let rows = snapshot.aside_rows("search", &[], &[], store::Order::Ascending).map(|row| row.unwrap().0);
        assert!(rows.map(|key| key[8]).all(|kind| kind == b'm'), "nothing but the state");
    }
}
