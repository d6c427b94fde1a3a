//! Promises about search: each criterion finds what it names and nothing else.

use std::sync::atomic::AtomicBool;

use crate::world::{World, text};
use jiff::civil::date;
use mailstore::{
    FlagChange, Flags, Keyword, MailError, ModSeq, Role, SearchOptions, SearchQuery as Q, SearchScope, SortField,
    SortKey, SystemFlag, Uid, UidSet,
};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Three messages: a plain one, a reply with flags of the day after, and one in another language.
async fn three() -> World {
    let world = World::new().await;
    let day = 1_795_392_000_000; // 2026-11-23 00:00 UTC
    let first = text("1@x", "", "Lunch on Friday?", "Shall we meet at the Harbour?");
    let second = text("2@x", "<1@x>", "Re: Lunch on Friday?", &format!("Gladly. {}", "More text. ".repeat(100)));
    let third = "From: =?utf-8?Q?J=C3=BCrgen?= <juergen@example.net>\r\nTo: List <list@example.org>\r\n\
        Cc: carl@example.org\r\nSubject: =?utf-8?B?w5xiZXJzaWNodA==?=\r\nDate: Sat, 21 Nov 2026 23:30:00 -0800\r\n\
        X-Colour: dark blue\r\nMessage-ID: <3@y>\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe aus K=F6ln\r\n";
    for (n, (raw, flags)) in [
        (first, Flags::NONE),
        (second, Flags::parse(["\\Seen", "\\Flagged", "work"]).unwrap()),
        (third.as_bytes().to_vec(), Flags::of(&[SystemFlag::Answered])),
    ]
    .into_iter()
    .enumerate()
    {
        let mut message = world.message(&raw);
        message.flags = flags;
        message.internal_date_ms = day + n as i64 * DAY_MS;
        world.mail.append(world.account, world.inbox(), message).await.unwrap();
    }
    world
}

#[tokio::test]
async fn each_criterion_finds_what_it_names() {
    let world = three().await;
    let inbox = world.inbox();
    let modseq = world.mail.view(world.account, inbox).unwrap().modseq(1);
    let header = |name: &str, contains: &str| Q::Header { name: name.into(), contains: contains.into() };
    let cases: Vec<(Q, &[u32])> = vec![
        (Q::All, &[1, 2, 3]),
        (Q::Flag(SystemFlag::Seen), &[2]),
        (Q::Not(Box::new(Q::Flag(SystemFlag::Seen))), &[1, 3]),
        (Q::Keyword(Keyword::new("WORK").unwrap()), &[2]),
        (Q::Uids(UidSet::from_ranges([(2, 9)])), &[2, 3]),
        (Q::ModSeqAtLeast(modseq), &[2, 3]),
        (Q::ModSeqAtLeast(ModSeq(u64::MAX)), &[]),
        (Q::Larger(1_000), &[2]),
        (Q::Smaller(1_000), &[1, 3]),
        (Q::Before(date(2026, 11, 24)), &[1]),
        (Q::On(date(2026, 11, 24)), &[2]),
        (Q::Since(date(2026, 11, 24)), &[2, 3]),
        (Q::SentOn(date(2026, 11, 21)), &[3]),
        (Q::SentBefore(date(2026, 11, 22)), &[3]),
        (Q::SentSince(date(2026, 11, 22)), &[1, 2]),
        (Q::From("JÜRGEN".into()), &[3]),
        (Q::From("ann example <ann@".into()), &[1, 2]),
        (Q::To("list@EXAMPLE".into()), &[3]),
        (Q::Cc("carl".into()), &[3]),
        (Q::Bcc("carl".into()), &[]),
        (Q::Subject("über".into()), &[3]),
        (Q::Subject("lunch ON".into()), &[1, 2]),
        (header("x-colour", "Dark"), &[3]),
        (header("X-Colour", ""), &[3]),
        (header("Subject", "ÜBER"), &[3]),
        (header("X-Missing", ""), &[]),
        (Q::Body("harbour".into()), &[1]),
        (Q::Body("grüße AUS köln".into()), &[3]),
        (Q::Body("ann".into()), &[]),
        (Q::Text("ann@".into()), &[1, 2]),
        (Q::Text("dark blue".into()), &[3]),
        (Q::Text("gladly".into()), &[2]),
        (Q::And(vec![Q::Text("lunch".into()), Q::Flag(SystemFlag::Flagged)]), &[2]),
        (Q::Or(vec![Q::Body("harbour".into()), Q::Flag(SystemFlag::Answered)]), &[1, 3]),
        (Q::And(vec![]), &[1, 2, 3]),
        (Q::Or(vec![]), &[]),
        (Q::Not(Box::new(Q::Body("harbour".into()))), &[2, 3]),
        (Q::HasAttachment, &[]),
    ];
    for (query, expected) in cases {
        let found = world.mail.search_uids(world.account, inbox, &query, None).unwrap().hits;
        assert_eq!(found.iter().map(|(uid, _)| uid.0).collect::<Vec<_>>(), expected, "{query:?}");
    }
}

#[tokio::test]
async fn files_are_found_by_name_wherever_they_lie() {
    let world = World::new().await;
    let attached =
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: application/pdf\r\n\
        Content-Disposition: attachment; filename=\"Caf\xc3\xa9 bill.pdf\"\r\n\r\nx\r\n--b--\r\n";
    let packed = b"Subject: uu\r\n\r\nSee below.\r\n\r\nbegin 644 figures.txt\r\n#86)C\r\n`\r\nend\r\n";
    for raw in [&attached[..], packed, b"Subject: figures.txt\r\n\r\nfigures.txt\r\n"] {
        world.append(world.inbox(), raw).await;
    }
    let options = SearchOptions { folding: mailstore::Folding::Loose, ..SearchOptions::default() };
    for (name, expected) in [("cafe", &[1][..]), ("figures", &[2]), (".txt", &[2]), ("nothing", &[])] {
        let query = Q::FileName(name.into());
        let hits = world.mail.search(world.account, &SearchScope::Mail, &query, options).unwrap();
        assert_eq!(hits.iter().map(|hit| hit.uid.0).collect::<Vec<_>>(), expected, "{name}");
    }
}

#[tokio::test]
async fn the_web_finds_the_newest_first_over_all_mailboxes_but_junk_and_trash() {
    let world = three().await;
    let junk = world.mailbox(Role::Junk).id;
    world.mail.move_(world.account, world.inbox(), &[Uid(1)], junk).await.unwrap();
    world.mail.move_(world.account, world.inbox(), &[Uid(2)], world.mailbox(Role::Archive).id).await.unwrap();
    let find = |scope: SearchScope, limit| {
        let options = SearchOptions { limit, ..SearchOptions::default() };
        world.mail.search(world.account, &scope, &Q::Text("example".into()), options).unwrap()
    };
    let hits = find(SearchScope::Mail, None);
    assert_eq!(hits.iter().map(|hit| hit.email_id.0).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(find(SearchScope::Everywhere, None).len(), 3);
    assert_eq!(find(SearchScope::Everywhere, Some(1))[0].email_id.0, 3);
    assert_eq!(find(junk.into(), None).len(), 1);
    let some = SearchOptions { max_visited: Some(1), ..SearchOptions::default() };
    let query = Q::Body("harbour".into());
    let hits = world.mail.search(world.account, &SearchScope::Everywhere, &query, some).unwrap();
    assert!(hits.is_empty(), "only the newest was looked at");
}

#[tokio::test]
async fn a_search_stops_when_told() {
    let world = three().await;
    let cancel = AtomicBool::new(true);
    let stopped = world.mail.search_uids(world.account, world.inbox(), &Q::Text("x".into()), Some(&cancel));
    assert!(matches!(stopped, Err(MailError::Cancelled)));
}

#[tokio::test]
async fn among_given_messages_the_same_are_found_as_among_all() {
    let world = three().await;
    let (mail, account, inbox) = (&world.mail, world.account, world.inbox());
    let view = mail.view(account, inbox).unwrap();
    let subsets: [&[u32]; 6] = [&[], &[2], &[1, 3], &[1, 2, 3], &[3, 4, 9], &[7]];
    for query in [
        Q::All,
        Q::Flag(SystemFlag::Seen),
        Q::Larger(1_000),
        Q::Not(Box::new(Q::Subject("lunch".into()))),
        Q::Body("harbour".into()),
        Q::Or(vec![Q::Body("gr\u{fc}\u{df}e".into()), Q::Flag(SystemFlag::Flagged)]),
        Q::ModSeqAtLeast(view.modseq(1)),
    ] {
        let all = mail.search_uids(account, inbox, &query, None).unwrap().hits;
        for subset in subsets {
            let uids: Vec<Uid> = subset.iter().copied().map(Uid).collect();
            let found = mail.search_among(account, &view, &uids, &query, None).unwrap();
            let want: Vec<_> = all.iter().copied().filter(|(uid, _)| uids.contains(uid)).collect();
            assert_eq!(found.hits, want, "{query:?} among {subset:?}");
        }
    }
    // Flags are those of the view, also when others have changed them.
    let change = FlagChange::Add(Flags::of(&[SystemFlag::Seen]));
    mail.set_flags(account, inbox, &[Uid(1)], change, None).await.unwrap();
    let (seen, big) = (Q::Flag(SystemFlag::Seen), Q::Smaller(u64::MAX));
    for query in [seen.clone(), Q::And(vec![big, seen])] {
        let found = mail.search_among(account, &view, &[Uid(1), Uid(2)], &query, None).unwrap();
        assert_eq!(found.hits.iter().map(|hit| hit.0).collect::<Vec<_>>(), [Uid(2)], "{query:?}");
    }
}

#[tokio::test]
async fn messages_go_into_a_sorted_list_where_sorting_all_would_put_them() {
    let world = World::new().await;
    let (mail, account, inbox) = (&world.mail, world.account, world.inbox());
    for n in 0..90u32 {
        let subject = format!("subject {}", (n * 7) % 13);
        world.append(inbox, &text(&format!("{n}@x"), "", &subject, &"x".repeat((n * 31 % 40) as usize))).await;
    }
    let key = |field, reverse| SortKey { field, reverse };
    let orders: [&[SortKey]; 3] = [
        &[key(SortField::Subject, false)],
        &[key(SortField::Size, true), key(SortField::Subject, false)],
        &[key(SortField::Subject, true), key(SortField::Size, false)],
    ];
    let go = AtomicBool::new(false);
    for keys in orders {
        let all: Vec<Uid> = (1..=90).map(Uid).collect();
        let sorted = |uids: &[Uid]| mail.sort_uids(account, inbox, uids, keys, &go).unwrap().0;
        // Few and many, at the ends and in between; those above 90 are gone.
        for pick in [1u32, 2, 3, 8, 45, 89, 1_000] {
            let (new, old): (Vec<Uid>, Vec<Uid>) = all.iter().partition(|uid| uid.0 % 90 % pick == 0);
            let (mut list, mut new) = (sorted(&old), new);
            new.push(Uid(99));
            for (index, uid) in mail.sort_into((account, inbox), &list.clone(), &new, keys, &go).unwrap() {
                list.insert(index, uid);
            }
            assert_eq!(list, sorted(&all), "{keys:?}, each {pick}");
        }
        // What is gone of the list is passed over.
        let mut holes: Vec<Uid> = sorted(&all);
        for at in [0, 10, 11, 12, 44, 45, 60, 80] {
            holes[at] = Uid(1_000 + at as u32);
        }
        let new: Vec<Uid> = all.iter().copied().filter(|uid| !holes.contains(uid)).collect();
        for (index, uid) in mail.sort_into((account, inbox), &holes.clone(), &new[..2], keys, &go).unwrap() {
            holes.insert(index, uid);
        }
        holes.retain(|uid| uid.0 <= 90);
        assert_eq!(
            holes,
            sorted(&holes.iter().copied().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>())
        );
    }
}
