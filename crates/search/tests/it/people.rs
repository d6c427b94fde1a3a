//! What people type finds what they mean, with the index and without.

use mailstore::{Folding, Role, SearchOptions, SearchQuery as Q, SearchScope};

use crate::world::World;

fn find(world: &World, query: &Q, folding: Folding) -> usize {
    let options = SearchOptions { folding, ..SearchOptions::default() };
    world.mail.search(world.account, &SearchScope::Mail, query, options).unwrap().len()
}

/// Calls with the messages not indexed, then indexed.
fn both_ways(world: &World, check: impl Fn()) {
    check();
    world.index.catch_up(world.account).unwrap();
    check();
}

#[test]
fn spellings_of_one_word_are_one_word() {
    let world = World::new();
    let inbox = world.mailbox(Role::Inbox);
    let families = [
        ("Stra\u{df}e", &["strasse", "STRASSE", "STRA\u{1e9e}E", "tras"][..]),
        ("cre\u{301}me br\u{fb}l\u{e9}e", &["creme", "cr\u{e8}me", "br\u{dc}lee", "me br"]),
        ("o\u{fb03}ce \u{fb01}nal", &["office", "final", "\u{fb01}nal"]),
        (
            "\u{39f}\u{394}\u{39f}\u{3a3} \u{3bf}\u{3b4}\u{3cc}\u{3c2}",
            &["\u{3bf}\u{3b4}\u{3bf}\u{3c3}", "\u{3bf}\u{3b4}\u{3bf}\u{3c2}"],
        ),
        ("\u{ff37}\u{ff49}\u{ff44}\u{ff45} \u{ff76}\u{ff9e}", &["wide", "\u{30ac}"]),
        (
            "\u{6771}\u{4eac}\u{90fd}\u{5e81}\u{306b}\u{884c}\u{304f}",
            &["\u{6771}\u{4eac}", "\u{4eac}\u{90fd}", "\u{5e81}", "\u{90fd}\u{5e81}\u{306b}"],
        ),
        (
            "\u{e2a}\u{e27}\u{e31}\u{e2a}\u{e14}\u{e35}\u{e0a}\u{e32}\u{e27}\u{e42}\u{e25}\u{e01}",
            &["\u{e0a}\u{e32}\u{e27}", "\u{e42}\u{e25}\u{e01}"],
        ),
        ("\u{d55c}\u{ad6d}\u{c5b4}\u{b97c}", &["\u{d55c}\u{ad6d}", "\u{ad6d}\u{c5b4}"]),
        (
            "\u{417}\u{430}\u{43f}\u{443}\u{441}\u{43a} \u{451}\u{43b}\u{43a}\u{430}",
            &["\u{437}\u{430}\u{43f}", "\u{435}\u{43b}\u{43a}\u{430}"],
        ),
        ("so\u{ad}ft hyphen", &["soft"]),
    ];
    for (n, (text, _)) in families.iter().enumerate() {
        let raw = format!("Subject: {n}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n");
        world.append(inbox, raw.as_bytes(), n as i64);
    }
    both_ways(&world, || {
        for (text, typed) in &families {
            for typed in *typed {
                assert_eq!(find(&world, &Q::Text((*typed).into()), Folding::Loose), 1, "{typed} in {text}");
                world.assert_same(&Q::Text((*typed).into()));
            }
        }
    });
}

#[test]
fn what_attached_documents_say_is_found_by_people_alone() {
    let world = World::new();
    let inbox = world.mailbox(Role::Inbox);
    let document = "{\\rtf1 The plimsoll line of vessel 4711 was painted}";
    for (name, content) in [("a.rtf", document), ("b.txt", "only bollards\r\n"), ("c.pdf", "%PDF-1.4 nothing")] {
        let raw = format!(
            "Subject: see below\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n\
             --b\r\nContent-Type: application/octet-stream; name={name}\r\nContent-Disposition: attachment; \
             filename={name}\r\n\r\n{content}\r\n--b--\r\n"
        );
        world.append(inbox, raw.as_bytes(), 0);
    }
    both_ways(&world, || {
        for (typed, people, imap) in [
            ("plimsoll", 1, 0),
            ("vessel 4711", 1, 0),
            ("limso", 1, 0),
            ("bollards", 1, 0),
            ("hello", 3, 3),
            ("b.txt", 1, 1),
        ] {
            for query in [Q::Text(typed.into()), Q::Body(typed.into())] {
                assert_eq!(find(&world, &query, Folding::Loose), people, "{typed}");
                assert_eq!(find(&world, &query, Folding::Case), imap, "{typed}");
                assert_eq!(find(&world, &Q::Literal(Box::new(query.clone())), Folding::Loose), people, "{typed}");
                world.assert_same(&query);
                world.assert_same(&Q::Fuzzy(Box::new(query)));
            }
        }
        assert_eq!(find(&world, &Q::Subject("plimsoll".into()), Folding::Loose), 0);
        let not = Q::Not(Box::new(Q::Text("plimsoll".into())));
        assert_eq!(find(&world, &not, Folding::Loose), 2);
    });
    assert_eq!(world.index.measure(world.account).unwrap().unwrap().unread_documents, 1);
}
