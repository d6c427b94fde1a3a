//! Commands as people and clients write them.

use super::*;
use crate::syntax::{FetchItem, Flag, SearchKey, SearchReturn, SearchSource, Section, SectionForm, SectionText};

fn ok(line: &str) -> Command {
    parse(format!("a1 {line}\r\n").as_bytes()).unwrap_or_else(|e| panic!("{line}: {e}")).command
}

fn bad(line: &str) -> String {
    parse(format!("a1 {line}\r\n").as_bytes()).expect_err(line).to_string()
}

fn search_of(line: &str) -> SearchKey {
    let Command::Search(s) = ok(line) else { panic!("{line}") };
    s.key
}

#[test]
fn errors_name_the_place_and_what_belongs_there() {
    assert_eq!(bad("LOGIN joe"), "Syntax error: expected a space at position 13, found the end of the line");
    assert_eq!(bad("FETCH 1 (FLAGS]"), "Syntax error: expected a space or \")\" at position 18, found ]");
    assert_eq!(bad("FROB 1"), "Unknown command FROB");
    assert_eq!(bad("NOOP x"), "Syntax error: expected the end of the line at position 8, found a space");
    let e = parse(b"\r\n").unwrap_err();
    assert_eq!(e.tag, None);
    assert_eq!(e.to_string(), "Syntax error: expected a tag at position 1, found the end of the line");
}

#[test]
fn strings_come_quoted_as_atoms_or_as_literals() {
    for line in ["LOGIN joe \"p\\\"w\\\\\"", "LOGIN {3}\r\njoe {4+}\r\np\"w\\", "LOGIN \"joe\" {4}\r\np\"w\\"] {
        let Command::Login { user, password } = ok(line) else { panic!() };
        assert_eq!((user.as_str(), password.0.as_str()), ("joe", "p\"w\\"));
    }
    assert!(bad("LOGIN \"joe").contains("closed quoted string"));
    assert!(bad("LOGIN {2}\r\nj\0 x").contains("without NUL"));
    assert!(bad("LOGIN \"\u{fffd}\\x\" y").contains("after \"\\\""));
}

#[test]
fn fetch_reads_every_form_of_section() {
    let Command::Fetch(f) = ok(
        "UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (Date From)] BODY[]<0.1024> BODY[1.2.MIME] BODY[1.HEADER] BODY[TEXT] \
         BODY[3] BINARY.PEEK[1]<5.6> BINARY.SIZE[2.1] RFC822.HEADER BODY BODYSTRUCTURE PREVIEW (LAZY)) (CHANGEDSINCE 7 \
         VANISHED)",
    ) else {
        panic!()
    };
    assert!(f.uid && f.vanished);
    assert_eq!(f.changed_since, Some(7));
    let section = |form, peek, part: &[u32], text, partial| {
        FetchItem::Section(Section { form, peek, part: part.to_vec(), text, partial })
    };
    let names = vec!["Date".to_owned(), "From".to_owned()];
    assert_eq!(
        f.items,
        [
            FetchItem::Flags,
            section(SectionForm::Body, true, &[], SectionText::Fields { not: false, names }, None),
            section(SectionForm::Body, false, &[], SectionText::Whole, Some((0, 1024))),
            section(SectionForm::Body, false, &[1, 2], SectionText::Mime, None),
            section(SectionForm::Body, false, &[1], SectionText::Header, None),
            section(SectionForm::Body, false, &[], SectionText::Text, None),
            section(SectionForm::Body, false, &[3], SectionText::Whole, None),
            section(SectionForm::Binary, true, &[1], SectionText::Whole, Some((5, 6))),
            FetchItem::BinarySize(vec![2, 1]),
            section(SectionForm::Rfc822Header, true, &[], SectionText::Header, None),
            FetchItem::Body,
            FetchItem::BodyStructure,
            FetchItem::Preview,
        ]
    );
    for wrong in ["FETCH 1 BODY[1.]", "FETCH 1 BODY[MIME]", "FETCH 1 BODY[]<0.0>", "FETCH 0 UID", "FETCH 1 ()"] {
        bad(wrong);
    }
    assert!(bad("FETCH 1 UID (VANISHED)").contains("VANISHED only in UID FETCH"));
}

#[test]
fn search_flattens_chains_and_bounds_depth() {
    assert_eq!(
        search_of("SEARCH OR FROM a OR FROM b FROM c"),
        SearchKey::Or(["a", "b", "c"].map(|s| SearchKey::From(s.into())).into())
    );
    assert_eq!(search_of("SEARCH NOT NOT ALL"), SearchKey::All);
    assert_eq!(search_of("SEARCH (SEEN (FLAGGED 1:2))"), search_of("SEARCH SEEN FLAGGED 1:2"));
    let chain = "OR SUBJECT x ".repeat(900) + "ALL";
    assert!(matches!(search_of(&format!("SEARCH {chain}")), SearchKey::Or(keys) if keys.len() == 901));
    assert!(bad(&format!("SEARCH {}ALL{}", "(".repeat(60), ")".repeat(60))).contains("50 nested"));
    let tower = "NOT OR ALL ".repeat(100) + "ALL";
    assert!(bad(&format!("SEARCH {tower}")).contains("less deeply"));
    assert!(bad(&format!("SEARCH {}", "NOT ".repeat(100_000))).contains("2000"));
}

#[test]
fn search_options_and_charsets_are_read() {
    let Command::Search(s) = ok("UID SEARCH RETURN (MIN COUNT SAVE) CHARSET UTF-8 SUBJECT {4}\r\nd\u{e9}j YOUNGER 60")
    else {
        panic!()
    };
    assert_eq!(s.returns, Some(SearchReturn { min: true, count: true, save: true, ..Default::default() }));
    assert_eq!(s.key, SearchKey::And(vec![SearchKey::Subject("d\u{e9}j".into()), SearchKey::Younger(60)]));
    let Command::Search(s) = ok("SEARCH RETURN () MODSEQ \"/flags/\\\\draft\" all 620162338") else { panic!() };
    assert!(s.returns.unwrap().all);
    assert_eq!(s.key, SearchKey::ModSeq(620162338));
    let Command::Search(s) = ok("SEARCH CHARSET KOI8-R TEXT {2}\r\nxx") else { panic!() };
    assert_eq!(s.unknown_charset.as_deref(), Some("KOI8-R"));
}

#[test]
fn list_reads_selection_and_return_options() {
    let Command::List(l) =
        ok("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (\"INBOX\" \"Arch%\") RETURN (CHILDREN STATUS (MESSAGES UNSEEN))")
    else {
        panic!()
    };
    assert!(l.select_subscribed && l.recursive_match && l.return_children && l.extended);
    assert_eq!(l.patterns, ["INBOX", "Arch%"]);
    assert_eq!(l.return_status.len(), 2);
    assert!(matches!(ok("LIST \"\" *"), Command::List(l) if !l.extended && l.patterns == ["*"]));
    assert!(bad("LIST (RECURSIVEMATCH) \"\" *").contains("SUBSCRIBED"));
}

#[test]
fn store_select_and_create_read_their_parameters() {
    let Command::Store(s) = ok("UID STORE 1,3 (UNCHANGEDSINCE 12121230045) +FLAGS.SILENT (\\deleted Junk)") else {
        panic!()
    };
    assert_eq!((s.mode, s.silent, s.unchanged_since), (StoreMode::Add, true, Some(12121230045)));
    assert_eq!(s.flags, [Flag::Deleted, Flag::Keyword("Junk".into())]);
    assert!(matches!(ok("STORE 1 FLAGS \\Seen $Forwarded"), Command::Store(s) if s.flags.len() == 2));
    assert!(bad("STORE 1 FLAGS (\\Bogus)").contains("\\Seen"));
    let Command::Select(s) = ok("SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211 (1:3 5:7)) CONDSTORE)")
    else {
        panic!()
    };
    let q = s.qresync.unwrap();
    assert!(s.condstore && q.known_uids.is_some() && q.sequence_match.is_some());
    assert!(matches!(ok("SELECT INBOX (QRESYNC (1 2))"), Command::Select(s) if s.qresync.is_some()));
    assert!(
        matches!(ok("CREATE x (USE (\\Drafts \\Sent))"), Command::Create { special_use, .. } if special_use.len() == 2)
    );
}

fn head(text: &str) -> Option<AppendHead> {
    append_head(text.as_bytes()).map(|r| r.unwrap_or_else(|e| panic!("{text}: {e}")))
}

#[test]
fn append_is_read_up_to_its_literal() {
    let h = head("a1 APPEND INBOX (\\Seen $x) \"17-Jul-1996 02:44:25 -0700\" {300+}\r\n").unwrap();
    assert_eq!(
        (h.mailbox.as_str(), h.message.flags.len(), h.message.internal_date_ms),
        ("INBOX", 2, Some(837596665000))
    );
    assert!(head("a1 APPEND \"Sent Items\" UTF8 (~{5}\r\n").unwrap().message.utf8);
    assert!(head("a1 APPEND INBOX \" 7-Jul-1996 02:44:25 +0000\" ~{5}\r\n").is_some());
    assert!(head("a1 APPEND {5}\r\n").is_none(), "the literal is the mailbox name");
    assert!(head("a1 APPEND {5}\r\nINBOX {10}\r\n").is_some());
    assert!(head("a1 LOGIN {5}\r\n").is_none());
    assert!(append_next(b" (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {300+}\r\n").unwrap().internal_date_ms.is_some());
    assert!(append_next(b" x {300+}\r\n").is_err());
    assert!(append_head(b"a1 APPEND INBOX (\\Bogus) {5}\r\n").unwrap().is_err());
    assert!(append_head(b"a1 APPEND INBOX \"99-Jul-1996 02:44:25 +0000\" {5}\r\n").unwrap().is_err());
}

#[test]
fn replace_is_read_as_append_is_with_a_number_before() {
    for (text, uid, number) in [
        ("a1 REPLACE 4 Drafts (\\Seen $x) \"17-Jul-1996 02:44:25 -0700\" {300+}\r\n", false, Some(4)),
        ("a1 UID REPLACE 7 \"Sent Items\" ~{5}\r\n", true, Some(7)),
        ("a1 replace * INBOX UTF8 (~{5}\r\n", false, None),
        ("a1 uid replace * {5}\r\nINBOX {10}\r\n", true, None),
    ] {
        let head = head(text).unwrap();
        assert_eq!(head.replaces, Some(Replaced { uid, number }), "{text}");
    }
    assert_eq!(head("a1 APPEND INBOX {1}\r\n").unwrap().replaces, None);
    for wrong in [
        "a1 REPLACE 0 INBOX {5}\r\n",
        "a1 REPLACE 4294967296 INBOX {5}\r\n",
        "a1 REPLACE x INBOX {5}\r\n",
        "a1 UID REPLACE  INBOX {5}\r\n",
        "a1 REPLACE 1 INBOX (\\Recent) {5}\r\n",
        "a1 REPLACE 1 INBOX x {5}\r\n",
    ] {
        assert!(append_head(wrong.as_bytes()).unwrap().is_err(), "{wrong}");
    }
    for none in
        ["a1 REPLACE 1:2 INBOX {5}\r\n", "a1 REPLACE 1 {5}\r\n", "a1 UID FETCH 1 {5}\r\n", "a1 REPLACEMENT 1 x {5}\r\n"]
    {
        assert!(append_head(none.as_bytes()).is_none(), "{none}");
    }
    for whole in ["a1 REPLACE 1 INBOX\r\n", "a1 UID REPLACE 1 INBOX x\r\n", "a1 REPLACE\r\n"] {
        assert!(parse(whole.as_bytes()).is_err(), "{whole}");
    }
}

#[test]
fn messages_that_are_put_together_are_read_with_all_they_bring() {
    use crate::syntax::{CatPart, Catenate, is_catenate};
    let Command::Catenate(Catenate { replaces: None, mailbox, messages }) = ok(
        "APPEND x (\\Seen) CATENATE (URL \"/y/;uid=1\" TEXT {3}\r\na c url {4+}\r\n/y/z) CATENATE (TEXT ~{1}\r\n\0) {2}\r\nhi",
    ) else {
        panic!("a CATENATE");
    };
    assert_eq!((mailbox.as_str(), messages.len()), ("x", 3));
    assert_eq!(messages[0].words.flags, [Flag::Seen]);
    assert_eq!(
        messages[0].parts,
        [CatPart::Url("/y/;uid=1".into()), CatPart::Text(b"a c".to_vec()), CatPart::Url("/y/z".into())]
    );
    assert_eq!(messages[1].parts, [CatPart::Text(vec![0])]);
    assert_eq!(messages[2].parts, [CatPart::Text(b"hi".to_vec())]);
    assert!(matches!(ok("UID REPLACE 4 x CATENATE (URL u)"), Command::Catenate(Catenate { replaces: Some(_), .. })));
    for wrong in [
        "APPEND x",
        "APPEND x CATENATE",
        "APPEND x CATENATE ()",
        "APPEND x CATENATE (URL)",
        "APPEND x CATENATE (TEXT y)",
        "APPEND x CATENATE (URL y) z",
        "APPEND x CATENATE (TEXT {2}\r\n\0x)",
        "REPLACE 1 x CATENATE (URL y) CATENATE (URL z)",
    ] {
        bad(wrong);
    }
    for (begun, is) in [
        ("a APPEND x CATENATE (URL y TEXT {3}\r\n", true),
        ("a APPEND x (\\Seen) \"17-Jul-1996 02:44:25 -0700\" catenate (TEXT {3+}\r\n", true),
        ("a UID REPLACE 1 x CATENATE (TEXT {3}\r\n", true),
        ("a APPEND {1}\r\nx CATENATE (TEXT {3}\r\n", true),
        ("a APPEND CATENATE {3}\r\n", false),
        ("a APPEND x {3}\r\n", false),
        ("a SEARCH CATENATE {3}\r\n", false),
    ] {
        assert_eq!(is_catenate(begun.as_bytes()), is, "{begun}");
        assert!(!is || append_head(begun.as_bytes()).is_none(), "{begun}");
    }
}

#[test]
fn esearch_names_what_it_searches_and_tells_uids() {
    let multi = |line: &str| match ok(line) {
        Command::MultiSearch(multi) => multi,
        other => panic!("{line}: {other:?}"),
    };
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    for (line, sources) in [
        ("ESEARCH ALL", vec![SearchSource::Selected]),
        ("ESEARCH IN (selected) ALL", vec![SearchSource::Selected]),
        ("esearch in (Inboxes Personal subscribed) all", {
            vec![SearchSource::Inboxes, SearchSource::Personal, SearchSource::Subscribed]
        }),
        ("ESEARCH IN (mailboxes a) ALL", vec![SearchSource::Mailboxes(names(&["a"]))]),
        ("ESEARCH IN (mailboxes {3}\r\na b) ALL", vec![SearchSource::Mailboxes(names(&["a b"]))]),
        ("ESEARCH IN (mailboxes (\"a b\" INBOX) subtree Lists subtree-one \"\") ALL", {
            let tree = [SearchSource::Subtree(names(&["Lists"])), SearchSource::SubtreeOne(names(&[""]))];
            [SearchSource::Mailboxes(names(&["a b", "INBOX"]))].into_iter().chain(tree).collect()
        }),
    ] {
        let read = multi(line);
        assert_eq!(read.sources, sources, "{line}");
        assert!(read.search.uid && read.search.returns.is_none() && read.search.key == SearchKey::All, "{line}");
    }
    let read = multi("ESEARCH IN (personal) RETURN (MIN COUNT) CHARSET UTF-8 SUBJECT in OR SEEN 1:*");
    assert_eq!(read.search.returns, Some(SearchReturn { min: true, count: true, ..Default::default() }));
    assert!(read.search.has_charset);
    assert!(multi("ESEARCH RETURN (SAVE) ALL").is_of_selected_alone());
    assert!(multi("ESEARCH IN (selected selected) RETURN (SAVE) ALL").is_of_selected_alone());
    assert_eq!(multi("ESEARCH IN (inboxes) CHARSET X y").search.unknown_charset.as_deref(), Some("X"));
}

#[test]
fn an_esearch_that_makes_no_sense_is_refused() {
    for (line, why) in [
        ("ESEARCH", "a space"),
        ("ESEARCH IN", "a space"),
        ("ESEARCH IN ALL", "\"(\""),
        ("ESEARCH IN () ALL", "a source"),
        ("ESEARCH IN (personal)", "a space"),
        ("ESEARCH IN (personal) ", "a search key"),
        ("ESEARCH IN (personal ALL", "SELECTED, INBOXES"),
        ("ESEARCH IN (everywhere) ALL", "SELECTED, INBOXES"),
        ("ESEARCH IN (selected-delayed) ALL", "SELECTED, INBOXES"),
        ("ESEARCH IN (\"personal\") ALL", "a source"),
        ("ESEARCH IN (mailboxes) ALL", "a space"),
        ("ESEARCH IN (mailboxes ()) ALL", "at least one mailbox name"),
        ("ESEARCH IN (mailboxes (a) ALL", "SELECTED, INBOXES"),
        ("ESEARCH IN (mailboxes a*) ALL", "a space"),
        ("ESEARCH IN (subtree-one) ALL", "a space"),
        ("ESEARCH IN (personal (scope)) ALL", "no scope options"),
        ("ESEARCH IN ((scope)) ALL", "no scope options"),
        ("ESEARCH IN (personal) IN (inboxes) ALL", "a search key"),
        ("ESEARCH RETURN (ALL) IN (personal) ALL", "a search key"),
        ("ESEARCH IN (personal) RETURN (UPDATES) ALL", "MIN, MAX, ALL"),
        ("ESEARCH IN (personal) RETURN (SAVE) ALL", "SAVE only where"),
        ("ESEARCH IN (selected inboxes) RETURN (MIN SAVE) ALL", "SAVE only where"),
        ("ESEARCH IN (mailboxes INBOX) RETURN (SAVE) ALL", "SAVE only where"),
    ] {
        let error = bad(line);
        assert!(error.contains(why), "{line}: {error}");
    }
    assert!(bad("UID ESEARCH ALL").starts_with("Unknown command"));
    let many = |count: usize| format!("ESEARCH IN ({}) ALL", vec!["inboxes"; count].join(" "));
    ok(&many(500));
    assert!(bad(&many(501)).contains("fewer items"));
    let many = |count: usize| format!("ESEARCH IN (mailboxes ({})) ALL", vec!["a"; count].join(" "));
    ok(&many(500));
    assert!(bad(&many(501)).contains("fewer items"));
}

#[test]
fn metadata_is_asked_for_and_set_in_every_form() {
    use crate::syntax::{GetMetadata, is_set_metadata};
    use mailstore::{EntryName, MetadataDepth};
    let entry = |name: &str| EntryName::new(name).unwrap();
    let both = vec![entry("/shared/comment"), entry("/private/a b")];
    for (line, depth, max_size) in [
        ("GETMETADATA x (/shared/comment \"/private/a b\")", MetadataDepth::Zero, None),
        ("GETMETADATA (DEPTH 1) x (/shared/comment {12}\r\n/private/a b)", MetadataDepth::One, None),
        (
            "getmetadata x (depth Infinity MAXSIZE 7) (/SHARED/comment \"/private/A b\")",
            MetadataDepth::Infinity,
            Some(7),
        ),
        ("GETMETADATA (MAXSIZE 0 DEPTH 0) \"x\" (/shared/comment \"/private/a b\")", MetadataDepth::Zero, Some(0)),
    ] {
        let Command::GetMetadata(get) = ok(line) else { panic!("{line}") };
        assert_eq!(get, GetMetadata { mailbox: "x".into(), entries: both.clone(), depth, max_size }, "{line}");
    }
    let Command::GetMetadata(get) = ok("GETMETADATA \"\" /private") else { panic!() };
    assert_eq!((get.mailbox.as_str(), get.entries), ("", vec![entry("/private")]));
    let Command::SetMetadata { mailbox, changes } = ok(
        "SETMETADATA \"\" (/private/a NIL /private/b \"NIL\" /private/c \"\" /private/d {2}\r\n\r\n /private/e ~{2+}\r\n\0))",
    ) else {
        panic!()
    };
    assert_eq!(mailbox, "");
    let told: Vec<_> = changes.iter().map(|(entry, value)| (entry.as_str(), value.as_deref())).collect();
    let set = |name, value: &'static [u8]| (name, Some(value));
    assert_eq!(
        told,
        [
            ("/private/a", None),
            set("/private/b", b"NIL"),
            set("/private/c", b""),
            set("/private/d", b"\r\n"),
            set("/private/e", b"\0)"),
        ]
    );
    for wrong in [
        "GETMETADATA",
        "GETMETADATA x",
        "GETMETADATA x ()",
        "GETMETADATA x comment",
        "GETMETADATA x (/private//a)",
        "GETMETADATA x /private/a/",
        "GETMETADATA x /public/a",
        "GETMETADATA x \"/private/*\"",
        "GETMETADATA x \"/private/\u{e9}\"",
        "GETMETADATA x /private/a /private/b",
        "GETMETADATA (DEPTH 2) x /private/a",
        "GETMETADATA (DEPTH) x /private/a",
        "GETMETADATA (MAXSIZE -1) x /private/a",
        "GETMETADATA (MAXSIZE 4294967296) x /private/a",
        "GETMETADATA () x /private/a",
        "GETMETADATA (FROB 1) x /private/a",
        "GETMETADATA x (DEPTH 1)",
        "SETMETADATA x",
        "SETMETADATA x ()",
        "SETMETADATA x (/private/a)",
        "SETMETADATA x (/private/a atom)",
        "SETMETADATA x (/private/a NILx)",
        "SETMETADATA x (/private \"v\")",
        "SETMETADATA x /private/a \"v\"",
        "SETMETADATA x (/private/a \"v\") y",
        "SETMETADATA x (/private/a {2}\r\n\0x)",
        "LIST \"\" * RETURN (METADATA)",
        "LIST \"\" * RETURN (METADATA ())",
        "LIST \"\" * RETURN (METADATA (DEPTH 1) /private/a)",
    ] {
        bad(wrong);
    }
    assert!(bad(&format!("GETMETADATA x /private/{}", "a".repeat(250))).contains("at most 255 bytes"));
    assert!(bad(&format!("GETMETADATA x /private{}", "/a".repeat(20))).contains("at most 20 parts"));
    for line in
        ["LIST \"\" * RETURN (METADATA (/shared/a /private/b) CHILDREN)", "LIST \"\" % RETURN (METADATA /shared/a)"]
    {
        let Command::List(list) = ok(line) else { panic!("{line}") };
        assert_eq!(list.return_metadata.first(), Some(&entry("/shared/a")));
    }
    assert!(is_set_metadata(b"a setmetadata x (/private/a {3}\r\n"));
    assert!(!is_set_metadata(b"a GETMETADATA SETMETADATA {3}\r\n"));
}
