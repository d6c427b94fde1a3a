//! What a page makes is read back the same, and what it can't show stays as it is.

use proptest::prelude::*;

use super::*;

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z*?\\\\\"@.äß# ]{1,12}"
            .prop_map(|text| text.trim().to_owned())
            .prop_filter("empty", |text| !text.is_empty()),
        Just("a*".to_owned()),
        Just("*.example".to_owned()),
        Just("\\*".to_owned()),
        Just("*".to_owned()),
        Just("/* no */ comment; } {".to_owned()),
    ]
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![words(), "(\\.|[a-z.\"\\\\]{0,5}\n){0,4}[a-z]{1,3}", Just("one\r\n.\r\n..two\r\n\r\nthree".to_owned())]
}

fn condition() -> impl Strategy<Value = Condition> {
    let of = prop_oneof![
        Just(Of::From),
        Just(Of::To),
        Just(Of::Subject),
        Just(Of::Body),
        Just(Of::List),
        Just(Of::Recipient),
        "[A-Za-z][A-Za-z-]{0,8}".prop_map(Of::Header),
    ];
    let how = prop::sample::select(vec![How::Contains, How::Is, How::Begins, How::Ends, How::Matches]);
    prop_oneof![
        6 => (of, how, any::<bool>(), prop::collection::vec(words(), 1..4))
            .prop_map(|(of, how, not, values)| Condition::Text { of, how, not, values }),
        1 => (any::<bool>(), 0..u64::from(u32::MAX)).prop_map(|(over, bytes)| Condition::Size { over, bytes }),
        1 => any::<bool>().prop_map(Condition::Attachment),
        1 => any::<bool>().prop_map(Condition::Known),
        1 => any::<bool>().prop_map(Condition::Spam),
    ]
}

fn folder() -> impl Strategy<Value = Folder> {
    ("[A-Za-zä][A-Za-z ./]{0,8}[a-z]", prop_oneof![Just(String::new()), "m[0-9]{1,3}"])
        .prop_map(|(name, id)| Folder { name, id })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::MarkRead),
        Just(Action::Star),
        "[a-z]{1,8}".prop_map(Action::Label),
        folder().prop_map(Action::CopyTo),
        folder().prop_map(Action::MoveTo),
        ("[a-z]{1,5}@[a-z]{1,5}\\.example", any::<bool>()).prop_map(|(to, keep)| Action::Forward { to, keep }),
        (prop_oneof![Just(String::new()), words()], texts())
            .prop_map(|(subject, text)| Action::Reply { subject, text }),
        ("[01][0-9]:[0-5][0-9]", "[0-6]?").prop_map(|(time, weekday)| Action::Snooze { time, weekday }),
        Just(Action::Keep),
        texts().prop_map(Action::Reject),
        Just(Action::Discard),
        Just(Action::Stop),
    ]
}

prop_compose! {
    fn rule()(
        name in "[A-Za-zä\\]\\[#\" ]{0,12}",
        off in any::<bool>(),
        any in any::<bool>(),
        conditions in prop::collection::vec(condition(), 0..4),
        actions in prop::collection::vec(action(), 1..4),
    ) -> Rule {
        Rule { name, off, join: if any { Join::Any } else { Join::All }, conditions, actions }.settled()
    }
}

fn day() -> impl Strategy<Value = Option<Day>> {
    let zone = prop::sample::select(vec!["+0000", "+0530", "-0800"]);
    prop::option::of(
        ("20[0-9]{2}-1[0-2]-[0-2][1-9]", zone).prop_map(|(date, zone)| Day { date, zone: zone.to_owned() }),
    )
}

prop_compose! {
    fn vacation()(
        off in any::<bool>(),
        from in day(),
        until in day(),
        known_only in any::<bool>(),
        days in 1..30_u64,
        subject in prop_oneof![Just(String::new()), words()],
        text in texts(),
        own in prop::collection::vec(("[a-z]{1,4}@b\\.example", prop_oneof![Just(String::new()), words()], texts()), 0..3),
    ) -> Vacation {
        let own = own.into_iter().map(|(address, subject, text)| OwnReply { address, subject, text }).collect();
        Vacation { off, from, until, known_only, days, subject, text, own }.settled()
    }
}

/// Parts that no form shows.
const BY_HAND: [&str; 8] = [
    "# of mine\nif size :over 1 { keep; } # here\nelse { stop; }",
    "if header :contains \"x-spam\" \"yes\" {\r\n  # why\r\n  fileinto \"Junk\";\r\n}",
    "if size :over 1M { discard; }\r\nelsif true { keep; } # end",
    "/* several\r\n * lines */\r\nset \"a\" \"b\";",
    "if not allof (true, anyof (header :regex \"subject\" \"a.b\", size :over 3K)) { keep; }",
    "include :personal \"other\";",
    "vacation :mime text:\r\nSubject: x\r\n\r\n.\r\n;",
    "# rule:[Other]\r\nforeverypart { keep; }",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_rule_is_read_back_as_it_was_written(rules in prop::collection::vec(rule(), 1..4)) {
        let mut book = Book::default();
        for rule in &rules {
            book.set_rule(None, rule.clone());
        }
        let text = book.text().unwrap();
        let again = Book::read(&text).unwrap();
        let mut shown: Vec<&Rule> = (0..rules.len()).filter_map(|at| again.rule(at)).collect();
        let mut given: Vec<&Rule> = rules.iter().collect();
        given.sort_by_key(|rule| !rule.rejects());
        prop_assert_eq!(std::mem::take(&mut shown), given, "{}", text);
        prop_assert_eq!(again.text().unwrap(), text.clone());
        prop_assert!(check(&text).is_ok(), "{}\n{:?}", text, check(&text).err());
    }

    #[test]
    fn a_vacation_reply_is_read_back_as_it_was_written(vacation in vacation(), rules in prop::collection::vec(rule(), 0..3)) {
        let mut book = Book::default();
        for rule in &rules {
            book.set_rule(None, rule.clone());
        }
        book.set_vacation(Some(vacation.clone()));
        let text = book.text().unwrap();
        let mut again = Book::read(&text).unwrap();
        prop_assert_eq!(again.vacation(), Some(&vacation), "{}", text);
        prop_assert!(check(&text).is_ok(), "{}\n{:?}", text, check(&text).err());
        again.set_vacation(None);
        prop_assert_eq!(again.parts().len(), rules.len());
    }

    #[test]
    fn what_was_written_by_hand_stays_byte_by_byte(
        mixed in prop::collection::vec(prop_oneof![
            prop::sample::select(BY_HAND.to_vec()).prop_map(Err),
            rule().prop_map(Ok),
        ], 1..6),
        at in 0..8_usize,
        new in rule(),
        vacation in vacation(),
    ) {
        let mut script = "# mine\r\nrequire [\"fileinto\", \"variables\", \"include\", \"regex\", \"foreverypart\", \"vacation\"];\r\n".to_owned();
        for part in &mixed {
            match part {
                Err(by_hand) => script += by_hand,
                Ok(rule) => {
                    let mut one = Book::default();
                    one.set_rule(None, rule.clone());
                    let text = one.text().unwrap();
                    let body = text.split_once("\r\n\r\n").filter(|_| text.starts_with("require")).map_or(&*text, |(_, body)| body);
                    script += body.trim_end();
                }
            }
            script += "\r\n";
        }
        script += "# the end\r\n";
        let mut book = Book::read(&script).unwrap();
        let before = book.clone();
        let at = book.set_rule((0..book.parts().len()).filter(|at| book.rule(*at).is_some()).nth(at), new.clone());
        book.set_vacation(Some(vacation));
        book.shift(at, true);
        book.shift(at, false);
        let text = book.text().unwrap();
        let again = Book::read(&text).unwrap();
        for part in before.parts().iter().filter(|part| matches!(part.shown, Shown::ByHand(_))) {
            for line in part.source.lines() {
                prop_assert!(text.contains(line), "{line:?} is lost:\n{text}");
            }
        }
        for by_hand in mixed.iter().filter_map(|part| part.as_ref().err()) {
            prop_assert!(text.contains(by_hand), "{by_hand:?} is lost:\n{text}");
        }
        prop_assert!(text.contains("# mine\r\n") && text.contains("# the end\r\n"), "{text}");
        prop_assert!((0..again.parts().len()).any(|at| again.rule(at) == Some(&new)), "{new:?}\n{text}");
        prop_assert!(again.vacation().is_some());
        prop_assert_eq!(again.text().unwrap(), text);
    }
}

/// Scripts as other programs and people write them.
#[test]
fn rules_of_other_programs_are_shown_as_rules() {
    let script = "require [\"fileinto\",\"copy\",\"imap4flags\"];\n# rule:[Lists]\nif anyof (header :contains \"List-Id\" \"dev.example\", Header :Contains [\"Subject\"] [\"[dev]\"])\n{\n\tfileinto \"Lists\";\n\tstop;\n}\n\n# rule:[Boss]\nif address :all :is \"From\" [\"boss@a.example\"] { addflag [\"\\\\Flagged\", \"work\"]; }\nif size :over 5M { discard; stop; }\nif true { fileinto :copy \"All\"; }\nif false { if header :comparator \"i;ascii-casemap\" :is \"subject\" \"x\" { keep; } }\n";
    let book = Book::read(script).unwrap();
    let rules: Vec<&Rule> = (0..book.parts().len()).map(|at| book.rule(at).unwrap()).collect();
    assert_eq!(rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["Lists", "Boss", "", "", ""]);
    assert_eq!((rules[0].join, rules[0].conditions.len()), (Join::Any, 2));
    assert_eq!(rules[1].actions, [Action::Star, Action::Label("work".to_owned())]);
    assert_eq!(rules[2].conditions, [Condition::Size { over: true, bytes: 5 << 20 }]);
    assert_eq!((rules[3].join, rules[4].off), (Join::Every, true));
}

#[test]
fn what_a_form_can_not_show_exactly_is_by_hand() {
    for command in [
        "if address :domain :is \"from\" \"a.example\" { keep; }",
        "if header :comparator \"i;octet\" :is \"subject\" \"A\" { keep; }",
        "if header :is [\"subject\", \"x-subject\"] \"a\" { keep; }",
        "if header :is \"subject\" \"a\" { fileinto :create \"X\"; }",
        "if header :is \"subject\" \"a\" { fileinto :flags \"\\\\Seen\" \"X\"; }",
        "if header :is \"subject\" \"a\" { vacation \"away\"; }",
        "if header :is \"subject\" \"a\" { keep; # why\n }",
        "if header :is \"subject\" \"a\" { keep; } else { stop; }",
        "if header :matches \"subject\" \"a\\\\b*\" { setflag \"x\"; }",
        "if allof (allof (true, true), true) { keep; }",
        "if size :over 1M { if size :over 2M { keep; } }",
        "keep;",
    ] {
        let book = Book::read(command).unwrap();
        assert!(book.is_by_hand() && book.parts().len() == 1, "{command}: {:?}", book.parts());
        assert_eq!(book.text().unwrap().lines().last(), command.lines().last());
    }
}

#[test]
fn texts_that_would_be_taken_for_variables_are_refused() {
    let reply = |text: &str| Rule {
        actions: vec![Action::Reply { subject: String::new(), text: text.to_owned() }],
        ..Rule::default()
    };
    let mut book = Book::default();
    book.set_rule(None, reply("It costs ${price}."));
    assert_eq!(book.text(), Err(Clash::Dollar));
    // Nor may a reply give a meaning to what was text before.
    let mut book = Book::read("require \"fileinto\";\nfileinto \"${a}\";\nif size :over 1 { keep; }").unwrap();
    assert!(book.text().is_ok());
    book.set_rule(None, reply("Fine."));
    assert_eq!(book.text(), Err(Clash::Dollar));
}

#[test]
fn the_vacation_reply_comes_after_rules_that_let_nothing_through() {
    let rule = |name: &str, action: Action| Rule { name: name.to_owned(), actions: vec![action], ..Rule::default() };
    let mut book = Book::default();
    book.set_rule(None, rule("blocked", Action::Discard));
    book.set_rule(None, rule("moved", Action::Stop));
    book.set_vacation(Some(Vacation { off: false, text: "Away".to_owned(), ..Vacation::default() }));
    book.set_rule(None, rule("refused", Action::Reject("no".to_owned())));
    let names: Vec<&str> = book
        .parts()
        .iter()
        .map(|part| match &part.shown {
            Shown::Rule(rule) => rule.name.as_str(),
            Shown::Vacation(_) => "vacation",
            Shown::ByHand(_) => "?",
        })
        .collect();
    assert_eq!(names, ["refused", "blocked", "vacation", "moved"]);
    assert!(!book.can_shift(0, true) && !book.can_shift(0, false) && !book.can_shift(3, false));
    assert!(book.can_shift(3, true));
}
