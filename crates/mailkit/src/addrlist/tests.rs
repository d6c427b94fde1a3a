//! Address fields as found in real mail, and how they are parsed.

use super::*;

/// `name|route|mailbox|host` each, `-` for NIL.
fn list(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    read(value.as_bytes(), &mut out, 100);
    let text = |bytes: Option<Vec<u8>>| bytes.map_or("-".to_owned(), |b| String::from_utf8(b).unwrap());
    out.into_iter()
        .map(|a| format!("{}|{}|{}|{}", text(a.name), text(a.route), text(a.mailbox), text(a.host)))
        .collect()
}

#[test]
fn plain_named_and_quoted_addresses_are_read() {
    assert_eq!(list("a@b.c"), ["-|-|a|b.c"]);
    assert_eq!(list("A. B. See <a@b.c>"), ["A. B. See|-|a|b.c"]);
    assert_eq!(list(r#""See, \"A\"" <a@b.c>, x@y"#), [r#"See, "A"|-|a|b.c"#, "-|-|x|y"]);
    assert_eq!(list(r#""a b"@c.d"#), ["-|-|a b|c.d"]);
    assert_eq!(list("a@b.c (The Name)"), ["The Name|-|a|b.c"]);
    assert_eq!(list("(x (y) z) a . b @ c . d"), ["x (y) z|-|a.b|c.d"]);
    assert_eq!(list("a@[127.0.0.1]"), ["-|-|a|[127.0.0.1]"]);
    assert_eq!(list("=?utf-8?q?J=C3=B6?= <j@x>"), ["=?utf-8?q?J=C3=B6?=|-|j|x"]);
}

#[test]
fn groups_open_and_close_with_the_marks_imap_wants() {
    assert_eq!(list("Team: a@b, C <c@d>;, e@f"), ["-|-|Team|-", "-|-|a|b", "C|-|c|d", "-|-|-|-", "-|-|e|f"]);
    assert_eq!(list("undisclosed-recipients:;"), ["-|-|undisclosed-recipients|-", "-|-|-|-"]);
    assert_eq!(list("undisclosed-recipients:"), ["-|-|undisclosed-recipients|-", "-|-|-|-"]);
    // Without its end it is none.
    assert_eq!(list("Open: a@b"), ["Open:|-|a|b"]);
}

#[test]
fn routes_are_kept_apart() {
    assert_eq!(list("<@r1,@r2:a@b>"), ["-|@r1,@r2|a|b"]);
}

#[test]
fn broken_entries_lose_nothing_else() {
    assert_eq!(list("nobody, a@b"), ["-|-|nobody|", "-|-|a|b"]);
    assert_eq!(list("a@b; c@d;"), ["-|-|a|b", "-|-|c|d"]);
    assert_eq!(list("<a@b, c@d"), ["-|-|a|b", "-|-|c|d"]);
    assert_eq!(list("X <a@b> junk, c@d"), ["X|-|a|b", "-|-|c|d"]);
    assert_eq!(list("\"open <a@b>"), ["open|-|a|b"]);
    assert_eq!(list(",,  ,"), Vec::<String>::new());
    assert_eq!(list("<>"), Vec::<String>::new());
    assert_eq!(list("@"), Vec::<String>::new());
    assert_eq!(list("Foo Bar a@b"), ["Foo Bar|-|a|b"]);
}

#[test]
fn the_limit_is_reported() {
    let mut out = Vec::new();
    assert!(!read(b"a@b, c@d, e@f", &mut out, 2));
    assert_eq!(out.len(), 2);
}

/// The addresses that can be answered, with their names as people see them.
fn people(value: &str) -> Vec<String> {
    let parsed = crate::parse(format!("From: {value}\r\n\r\n").as_bytes());
    parsed.from.iter().map(|who| format!("{}|{}", who.name, who.address)).collect()
}

#[test]
fn what_stands_in_brackets_is_the_address_and_what_is_before_it_the_name() {
    for (value, expected) in [
        ("orders@shop.example via Desk <t+42@desk.example>", &["orders@shop.example via Desk|t+42@desk.example"][..]),
        ("kunde@web.example (form) <case-77@shop.example>", &["kunde@web.example|case-77@shop.example"]),
        ("jane@x <jane@x>", &["jane@x|jane@x"]),
        ("jane@x<jane@x>", &["jane@x|jane@x"]),
        ("\"jane@x\" <j@y>", &["jane@x|j@y"]),
        ("=?utf-8?Q?K=C3=B6nig_@_Werk?= <koenig@x>", &["König @ Werk|koenig@x"]),
        ("=?utf-8?Q?K=C3=B6nig?= @ Werk <koenig@x>", &["König @ Werk|koenig@x"]),
        ("=?utf-8?Q?K=C3=B6nig?=<koenig@x>", &["König|koenig@x"]),
        ("@team <t@x>", &["@team|t@x"]),
        ("a@b, c@d <e@f>, g@h", &["|a@b", "c@d|e@f", "|g@h"]),
        ("Dubois, Pierre <p@x>", &["Dubois, Pierre|p@x"]),
        ("Weber, Uta <uta@x>, Kim <kim@x>", &["Weber, Uta|uta@x", "Kim|kim@x"]),
        ("Kim <kim@x>, Weber, Uta, Dr. <uta@x>", &["Kim|kim@x", "Weber, Uta, Dr.|uta@x"]),
        ("=?utf-8?Q?M=C3=BCller,_Hans?= <h@x>", &["Müller, Hans|h@x"]),
        ("=?utf-8?B?TcO8bGxlciwgSGFucw==?= <h@x>, b@x", &["Müller, Hans|h@x", "|b@x"]),
        ("=?utf-8?Q?M=C3=BCller?=, =?utf-8?Q?Hans?= <h@x>", &["Müller, Hans|h@x"]),
        ("\"=?utf-8?Q?M=C3=BCller,_Hans?=\" <h@x>", &["Müller, Hans|h@x"]),
        ("=?utf-8?Q?Foo <a@b>, =?utf-8?Q?Bar?= <c@d>", &["=?utf-8?Q?Foo|a@b", "Bar|c@d"]),
        ("Support: Billing <b@x>", &["Support: Billing|b@x"]),
        ("10:30 Meeting <b@x>, c@x", &["10:30 Meeting|b@x", "|c@x"]),
        ("Smith; Co <b@x>", &["Smith; Co|b@x"]),
        ("[List] Foo (bar) <b@x>", &["[List] Foo|b@x"]),
        (":-( Foo <b@x>", &[":-( Foo|b@x"]),
        ("\"Doe, Jane <jane@x>", &["Doe, Jane|jane@x"]),
        ("Doe\" Jane <jane@x>, b@x", &["Doe Jane|jane@x", "|b@x"]),
        ("\\\"x\\\" <boss@x>", &["\\x\\|boss@x"]),
        ("Foo <foo> <a@b>", &["Foo <foo>|a@b"]),
        ("Bob <b@x> Carol <c@x>", &["Bob|b@x", "Carol|c@x"]),
    ] {
        assert_eq!(people(value), expected, "{value}");
    }
}

#[test]
fn addresses_are_found_where_others_put_them() {
    for (value, expected) in [
        // Without brackets.
        ("Jane Doe jane@x", &["Jane Doe|jane@x"][..]),
        ("Doe, Jane jane@x", &["Doe, Jane|jane@x"]),
        ("jane@x Jane Doe", &["Jane Doe|jane@x"]),
        ("Jane @ Work jane@x", &["Jane @ Work|jane@x"]),
        ("orders@shop via Desk t@desk", &["orders@shop via Desk|t@desk"]),
        ("a@x b@x", &["|a@x", "|b@x"]),
        ("Jane <jane@x", &["Jane|jane@x"]),
        ("Jane <jane@x Bob <bob@x>", &["Jane|jane@x", "Bob|bob@x"]),
        ("Jane jane@x>", &["Jane|jane@x"]),
        ("<<jane@x>>", &["|jane@x"]),
        ("< jane@x >", &["|jane@x"]),
        ("anna@x <Anna>", &["Anna|anna@x"]),
        ("\"jane@x\" <>", &["|jane@x"]),
        // Outlook, Exchange, and web forms.
        ("'jane@x'", &["|jane@x"]),
        ("'Jane Doe' <'jane@x'>", &["'Jane Doe'|jane@x"]),
        ("Jane Doe [mailto:jane@x]", &["Jane Doe|jane@x"]),
        ("Jane <mailto:jane@x>", &["Jane|jane@x"]),
        ("mailto:jane@x", &["|jane@x"]),
        ("Jane [SMTP:jane@x]", &["Jane|jane@x"]),
        ("a@x; B <b@x>; c@x", &["|a@x", "B|b@x", "|c@x"]),
        ("\"jane@x\"", &["|jane@x"]),
        ("\"Jane Doe <jane@x>\"", &["Jane Doe|jane@x"]),
        ("Jane Doe (jane@x)", &["Jane Doe|jane@x"]),
        // Inside encoded-words.
        ("=?utf-8?B?SsO8cmdlbiBCZWlzcGllbCA8anVlcmdlbkBjb3JwLmV4YW1wbGU+?=", &["Jürgen Beispiel|juergen@corp.example"]),
        ("=?utf-8?Q?=22M=C3=BCller,_J=22_=3Cj=40x=3E?=", &["Müller, J|j@x"]),
        ("=?utf-8?Q?j=40x?=, Kim <k@x>", &["|j@x", "Kim|k@x"]),
        // Odd local parts and domains; the reply quotes what has to be.
        ("<\"a b\"@x>", &["|\"a b\"@x"]),
        ("<a b@x>", &["|\"a b\"@x"]),
        ("a@b@x", &["|\"a@b\"@x"]),
        ("taro..yamada@x", &["|\"taro..yamada\"@x"]),
        ("Foo <foo,bar@x>", &["Foo|\"foo,bar\"@x"]),
        ("<@r1,@r2:a@b>", &["|a@b"]),
        ("boss@x.", &["|boss@x"]),
        ("a@mail_out.x", &["|a@mail_out.x"]),
        ("a . b @ c . d", &["|a.b@c.d"]),
    ] {
        assert_eq!(people(value), expected, "{value}");
        for address in crate::parse(format!("From: {value}\r\n\r\n").as_bytes()).from {
            assert!(crate::EmailAddress::parse(&address.address).is_ok(), "{value}: {}", address.address);
        }
    }
}

#[test]
fn characters_of_two_bytes_hide_no_marks() {
    let first = |value: &[u8]| {
        let mut out = Vec::new();
        read(value, &mut out, 10);
        let text = |bytes: &Option<Vec<u8>>| String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
        (out.len(), text(&out[0].mailbox), text(&out[0].host))
    };
    let jane = (1, "jane".to_owned(), "x".to_owned());
    // In Shift_JIS an @ or a backslash may be the second byte of a character; in ISO-2022-JP any mark.
    assert_eq!(first(b"\x83t\x83@ <jane@x>"), jane);
    assert_eq!(first(b"\x95\\ <jane@x>"), jane);
    assert_eq!(first(b"\x1b$B%\"%,<@\x1b(B <jane@x>"), jane);
    assert_eq!(first(b"M\xfcller, J\xf6rg <jane@x>"), jane);
}

#[test]
fn hostile_values_are_read_in_proportion() {
    let units = [
        "\"",
        "(",
        "<",
        "[",
        "=?utf-8?Q?",
        "a@b ",
        ":",
        "a:",
        "<a@b>",
        "<a@b,",
        "\\\"",
        "@",
        ",;",
        "\x1b$",
        "(a)<>",
        "a@b:;",
    ];
    for unit in units {
        let value = unit.repeat(64 * 1024 / unit.len());
        let mut out = Vec::new();
        read(value.as_bytes(), &mut out, 2_000);
        assert!(out.len() <= 2_000, "{unit}");
        crate::read_typed(&value);
        let _ = crate::typed::authors(value.as_bytes());
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read(value in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
        read(&value, &mut Vec::new(), 10);
    }

    #[test]
    fn any_marks_are_read(value in "[ a\"<>@,;:()\\[\\]=?Q.'\\\\]{0,40}") {
        read(value.as_bytes(), &mut Vec::new(), 10);
    }
}
