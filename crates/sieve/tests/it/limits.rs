//! Scripts that ask for too much, and what they cost.

use sieve::{Envelope, Host, Message, compile, run};

struct Plain;

impl Host for Plain {
    fn now_ms(&self) -> i64 {
        1_800_000_000_000
    }

    fn mailbox_exists(&mut self, name: &str) -> bool {
        name == "INBOX"
    }

    fn list_contains(&mut self, list: &str, value: &str) -> Option<bool> {
        (list == "book").then_some(value == "friend@example.org")
    }

    fn spam(&mut self) -> Option<f64> {
        Some(0.5)
    }
}

fn result(script: &str, message: &str) -> Result<sieve::Outcome, String> {
    let script = compile(script).map_err(|why| why.to_string())?;
    let envelope = Envelope { from: "a@example.com".into(), to: "b+x@example.org".into(), ..Envelope::default() };
    run(&script, Message::new(message.as_bytes().to_vec()), envelope, &mut Plain).map_err(|why| why.to_string())
}

const MAIL: &str = "From: friend@example.org\r\nSubject: Hi\r\n\r\nText\r\n";

#[test]
fn each_limit_is_an_error_that_names_it() {
    let many = |n: usize, text: &str| (0..n).map(|i| text.replace('#', &i.to_string())).collect::<String>();
    let set = "set \"v\" \"${v}${v}${v}${v}aaaaaaaaaaaaaaaa\";";
    let costly = format!(
        "require [\"variables\", \"regex\"]; {} {}",
        set.repeat(8),
        many(1_200, "if string :matches \"${v}\" \"*a*a*a*a*b#\" { stop; }")
    );
    for (script, says) in [
        (many(5, "redirect \"a#@example.org\";"), "more than 4"),
        (format!("require \"fileinto\"; {}", many(40, "fileinto \"f#\";")), "more than 32 actions"),
        ("a".repeat(300_000), "the limit is 262144"),
        (format!("{} stop; {}", "if true {".repeat(40), "}".repeat(40)), "deeper than 32"),
        (format!("if {} true {{}}", "not ".repeat(40)), "deeper than 32"),
        (costly, "steps"),
        (format!("require \"regex\"; if header :regex \"x\" \"{}\" {{}}", "(a{100}){100}"), "memory"),
        ("require \"include\"; include \"x\";".to_owned(), "no script 'x'"),
        ("require \"editheader\"; addheader \"X\" \"".to_owned() + &"x".repeat(3_000) + "\";", "longer than 2048"),
        ("require \"reject\"; keep; reject \"no\";".to_owned(), "can't be combined"),
    ] {
        let error = result(&script, MAIL).expect_err(says);
        assert!(error.contains(says), "{error} should say {says}");
    }
}

#[test]
fn errors_have_their_line_and_column() {
    for (script, line, column) in [
        ("keep;\n  fileinto \"x\";", 2, 3),
        ("require \"fileinto\";\nfileinto \"x\"\n\nkeep;", 2, 1),
        ("if header :is \"a\" {\n}", 1, 4),
        ("keep;\n\n   \"", 3, 4),
        ("require \"nonsense\";", 1, 9),
    ] {
        let problems = compile(script).expect_err(script).0;
        assert_eq!((problems[0].at.line, problems[0].at.column), (line, column), "{script}: {problems:?}");
    }
}

#[test]
fn lists_and_scores_come_from_the_host() {
    for (script, keeps) in [
        ("require \"extlists\"; if address :list \"from\" \"book\" { discard; }", false),
        ("require \"extlists\"; if header :list \"subject\" \"book\" { discard; }", true),
        (
            "require [\"spamtestplus\", \"relational\", \"comparator-i;ascii-numeric\"]; if spamtest :percent :value \"ge\" :comparator \"i;ascii-numeric\" \"50\" { discard; }",
            false,
        ),
        (
            "require [\"spamtest\", \"relational\", \"comparator-i;ascii-numeric\"]; if spamtest :value \"gt\" :comparator \"i;ascii-numeric\" \"6\" { discard; }",
            true,
        ),
        ("require [\"envelope\", \"subaddress\"]; if envelope :detail \"to\" \"x\" { discard; }", false),
    ] {
        assert_eq!(result(script, MAIL).unwrap().is_filed(), keeps, "{script}");
    }
}

#[test]
fn any_text_is_checked_without_panic() {
    let words = [
        "if",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ";",
        ",",
        "\"a\"",
        ":is",
        "header",
        "keep",
        "require",
        "not",
        "10K",
        "text:\n.\n",
        "/*",
        "#",
        "é",
        "${a}",
        "anyof",
        "\"variables\"",
        "set",
    ];
    let mut seed = 7_u32;
    for _ in 0..3_000 {
        let mut script = String::new();
        for _ in 0..12 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            script += words[(seed >> 16) as usize % words.len()];
            script.push(' ');
        }
        if let Ok(script) = compile(&script) {
            let message = Message::new(MAIL.as_bytes().to_vec());
            let _ = run(&script, message, Envelope::default(), &mut Plain);
        }
    }
}
