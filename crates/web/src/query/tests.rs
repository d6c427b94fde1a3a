//! What people type, and what it means.

use super::*;

fn searcher() -> Searcher {
    let addresses = vec!["ann@test.example".to_owned(), "sales@test.example".to_owned()];
    Searcher { addresses, today: Date::constant(2026, 11, 29), custom: day::Custom::default() }
}

fn asked(typed: &str) -> Asked {
    understand(typed, &searcher())
}

fn query(typed: &str) -> SearchQuery {
    let asked = asked(typed);
    assert_eq!(asked.problems, Vec::<String>::new(), "{typed}");
    asked.query
}

#[test]
fn operators_look_in_their_field() {
    assert_eq!(query("from:ann"), SearchQuery::From("ann".into()));
    assert_eq!(query("subject:\"two words\""), SearchQuery::Subject("two words".into()));
    assert_eq!(query("has:attachment"), SearchQuery::HasAttachment);
    assert_eq!(query("filename:pdf"), SearchQuery::FileName("pdf".into()));
    assert_eq!(query("-is:unread"), SearchQuery::Not(Box::new(query("is:unread"))));
    assert_eq!(query("before:2026-11-23"), SearchQuery::Before(Date::constant(2026, 11, 23)));
    assert_eq!(query("after:2026"), SearchQuery::Since(Date::constant(2026, 1, 1)));
    assert_eq!(query("after:yesterday"), SearchQuery::Since(Date::constant(2026, 11, 28)));
    assert_eq!(query("newer_than:7d"), SearchQuery::Since(Date::constant(2026, 11, 22)));
    assert_eq!(query("larger:5MB"), SearchQuery::Larger(5_000_000));
    assert_eq!(query("larger:1.5m"), SearchQuery::Larger(1_500_000));
    let both = |who: &str| SearchQuery::Or(vec![SearchQuery::To(who.into()), SearchQuery::Cc(who.into())]);
    let me = SearchQuery::Or(vec![both("ann@test.example"), both("sales@test.example")]);
    assert_eq!(query("to:me"), me);
}

#[test]
fn or_joins_what_stands_beside_it() {
    let word = |w: &str| SearchQuery::Text(w.into());
    assert_eq!(query("mooring OR ladder"), SearchQuery::Or(vec![word("mooring"), word("ladder")]));
    assert_eq!(query("a OR b OR c"), SearchQuery::Or(vec![word("a"), word("b"), word("c")]));
    let nested = SearchQuery::And(vec![SearchQuery::Or(vec![word("a"), word("b")]), word("c")]);
    assert_eq!(query("a OR b c"), nested);
    assert_eq!(query("\"OR\""), word("OR"));
    assert_eq!(query("OR a"), word("a"));
    assert_eq!(query("a OR"), word("a"));
}

#[test]
fn groups_are_kept_together_and_negated() {
    let word = |w: &str| SearchQuery::Text(w.into());
    let not = |query| SearchQuery::Not(Box::new(query));
    let or = |a: &str, b: &str| SearchQuery::Or(vec![word(a), word(b)]);
    let and = SearchQuery::And;
    for (typed, expected) in [
        ("(a OR b) c", and(vec![or("a", "b"), word("c")])),
        ("c (a OR b)", and(vec![word("c"), or("a", "b")])),
        ("-(a OR b)", not(or("a", "b"))),
        ("NOT a", not(word("a"))),
        ("NOT (a OR b)", not(or("a", "b"))),
        ("NOT -a", word("a")),
        ("a AND b", and(vec![word("a"), word("b")])),
        ("x OR (a b)", SearchQuery::Or(vec![word("x"), and(vec![word("a"), word("b")])])),
        ("(a (b c) d)", and(vec![word("a"), word("b"), word("c"), word("d")])),
        ("(a", word("a")),
        ("a)", word("a")),
        ("()", SearchQuery::All),
        ("f(x)", word("f(x)")),
        ("\"(a\"", word("(a")),
        ("(\"a b\")", word("a b")),
        ("from:(ann OR \"b c\")", SearchQuery::Or(vec![query("from:ann"), SearchQuery::From("b c".into())])),
        ("-subject:(a b)", not(and(vec![SearchQuery::Subject("a".into()), SearchQuery::Subject("b".into())]))),
        ("-", word("-")),
        ("a -", and(vec![word("a"), word("-")])),
        ("-\"a b\"", not(word("a b"))),
        ("hol*", word("hol")),
        ("subject:hol*", SearchQuery::Subject("hol".into())),
        ("2*", word("2")),
        ("*", word("*")),
    ] {
        assert_eq!(query(typed), expected, "{typed}");
    }
    let deep = format!("{}a", "(".repeat(300));
    assert!(asked(&deep).problems.is_empty(), "depth is bounded");
}

#[test]
fn kinds_of_files_labels_and_weeks_are_known() {
    for typed in ["has:image", "has:PDF", "has:document", "has:spreadsheet", "has:video"] {
        assert!(matches!(query(typed), SearchQuery::Or(_) | SearchQuery::FileName(_)), "{typed}");
    }
    assert_eq!(query("label:work"), SearchQuery::Keyword(Keyword::new("work").unwrap()));
    // The day before the 29th is in the week from the 23rd.
    let week = query("on:\"last week\"");
    let (start, end) = (Date::constant(2026, 11, 16), Date::constant(2026, 11, 23));
    assert_eq!(week, SearchQuery::And(vec![SearchQuery::Since(start), SearchQuery::Before(end)]));
}

#[test]
fn how_a_date_was_read_is_told_where_it_can_be_read_in_two_ways() {
    let found = asked("after:4/3/2026");
    assert_eq!(found.query, SearchQuery::Since(Date::constant(2026, 4, 3)));
    assert!(found.problems[0].contains("3 April 2026"), "{:?}", found.problems);
    for typed in ["after:11/30/2026", "after:30.11.2026", "after:3.4.2026", "after:2026-04-03", "after:4/4/2026"] {
        assert_eq!(asked(typed).problems, Vec::<String>::new(), "{typed}");
    }
}

#[test]
fn what_is_not_understood_is_told_and_left_out() {
    for typed in [
        "before:foo",
        "after:13-2026",
        "on:2026-02-30",
        "is:foo",
        "has:wings",
        "larger:many",
        "smaller:-1",
        "newer_than:soon",
        "before:",
        "from:",
        "in:",
        "-before:foo",
    ] {
        let asked = asked(typed);
        assert_eq!((asked.query, asked.problems.len()), (SearchQuery::All, 1), "{typed}");
        assert!(asked.problems[0].contains(typed.trim_start_matches('-')), "{typed}: {:?}", asked.problems);
    }
    let many = asked(&"before:x ".repeat(100));
    assert_eq!(many.problems.len(), MAX_PROBLEMS);
}

#[test]
fn a_mistyped_name_is_looked_for_as_text_and_asked_about() {
    for typed in ["frm:ada", "form:ada", "subjet:x", "beforee:2026", "fliename:pdf", "sbuject:x"] {
        let asked = asked(typed);
        assert_eq!(asked.query, SearchQuery::Text(typed.into()), "{typed}");
        assert_eq!(asked.problems.len(), 1, "{typed}");
    }
}

#[test]
fn what_is_no_operator_is_text() {
    for typed in ["http://x", "https://x/to:me", "a:b", "10:30", "Re:x", "-", "99999999999999999999:x", "note:x", "::"]
    {
        assert_eq!(query(typed), SearchQuery::Text(typed.into()), "{typed}");
    }
    assert_eq!(query("\"from:ann\""), SearchQuery::Text("from:ann".into()));
    assert_eq!(query("\"-x\""), SearchQuery::Text("-x".into()));
    assert_eq!(query("  "), SearchQuery::All);
}

#[test]
fn a_word_in_quotes_is_looked_for_as_it_is() {
    let literal = |query| SearchQuery::Literal(Box::new(query));
    assert_eq!(query("running"), SearchQuery::Text("running".into()));
    assert_eq!(query("\"running\""), literal(SearchQuery::Text("running".into())));
    assert_eq!(query("subject:\"H\u{e4}user\""), literal(SearchQuery::Subject("H\u{e4}user".into())));
    assert_eq!(query("from:\"anna\""), SearchQuery::From("anna".into()));
    let groups = SearchQuery::Or(vec![literal(SearchQuery::Subject("runs".into())), query("subject:walks")]);
    assert_eq!(query("subject:(\"runs\" OR walks)"), groups);
}

#[test]
fn other_names_of_operators_are_known() {
    for (typed, same) in [
        ("sender:ann", "from:ann"),
        ("recipient:me", "to:me"),
        ("attachment:pdf", "filename:pdf"),
        ("tag:work", "label:work"),
        ("older:2026-11-01", "before:2026-11-01"),
        ("newer:yesterday", "after:yesterday"),
        ("since:yesterday", "after:yesterday"),
        ("date:2026-11-01", "on:2026-11-01"),
        ("bigger:5m", "larger:5m"),
    ] {
        assert_eq!(query(typed), query(same), "{typed}");
    }
    assert_eq!(asked("folder:Sent x"), asked("in:Sent x"));
}

#[test]
fn a_mailbox_that_can_not_be_left_out_or_added_is_told() {
    for typed in ["-in:spam boat", "NOT in:spam boat"] {
        let found = asked(typed);
        assert_eq!((found.mailbox, found.problems.len()), (None, 1), "{typed}");
        assert_eq!(found.query, SearchQuery::Text("boat".into()));
    }
    let found = asked("in:inbox OR in:sent boat");
    assert_eq!((found.mailbox.as_deref(), found.problems.len()), (Some("inbox"), 1));
    assert_eq!(asked("in:inbox in:inbox").problems, Vec::<String>::new());
}

#[test]
fn in_names_a_mailbox_and_is_no_condition() {
    let found = asked("in:Sent boat");
    assert_eq!((found.query, found.mailbox.as_deref()), (SearchQuery::Text("boat".into()), Some("Sent")));
}

#[test]
fn a_search_has_a_bounded_number_of_terms() {
    let SearchQuery::And(all) = query(&"x ".repeat(1000)) else { panic!() };
    assert_eq!(all.len(), MAX_TERMS);
    let SearchQuery::Or(all) = query(&"x OR ".repeat(1000)) else { panic!() };
    assert!(all.len() <= MAX_TERMS);
}
