use doorkit::PlaintextLogins;

use super::*;

const ANNA: AccountId = AccountId(7);

fn session(channel: Channel) -> Session {
    let options = ManageSieveOptions { plaintext_logins: PlaintextLogins::Never, ..ManageSieveOptions::default() };
    Session::new(options, channel)
}

fn inside() -> Session {
    let mut session = session(Channel { is_tls: true, may_log_in: true, offers_tls: true, ..Channel::default() });
    session.let_in(ANNA, "anna@here.example".to_owned(), &mut Vec::new());
    session
}

fn say(session: &mut Session, line: &str) -> (Effect, String) {
    let mut out = Vec::new();
    let effect = session.line(line.as_bytes(), &mut out);
    (effect, String::from_utf8(out).unwrap())
}

#[test]
fn capabilities_tell_what_can_be_used_at_each_moment() {
    let plain = Channel { offers_tls: true, ..Channel::default() };
    let secure = Channel { is_tls: true, may_log_in: true, offers_tls: true, exporter: Some([1; 32]), no_scram: false };
    let of = |session: &mut Session| say(session, "capability").1;
    let mut before = session(plain);
    let told = of(&mut before);
    assert!(told.contains("\"STARTTLS\"\r\n") && !told.contains("SASL"), "{told}");
    let mut out = Vec::new();
    before.secured(secure, None, &mut out);
    let told = String::from_utf8(out).unwrap();
    assert!(told.contains("\"SASL\" \"PLAIN SCRAM-SHA-256-PLUS SCRAM-SHA-256 LOGIN\"\r\n"), "{told}");
    assert!(!told.contains("STARTTLS") && !told.contains("OWNER") && told.contains("\r\nOK "), "{told}");
    let mut out = Vec::new();
    before.let_in(ANNA, "anna@here.example".to_owned(), &mut out);
    assert_eq!(out, b"OK \"Logged in\"\r\n");
    let told = of(&mut before);
    assert!(told.contains("\"OWNER\" \"anna@here.example\"\r\n") && !told.contains("SASL"), "{told}");
    for word in ["editheader", "enclose", "fcc", "mboxmetadata", "replace", "servermetadata"] {
        let sieve = told.lines().find(|line| line.starts_with("\"SIEVE\"")).unwrap();
        assert!(sieve.split([' ', '"']).any(|announced| announced == word), "{word} is not announced");
    }
    // A script that requires all that is announced is right.
    let all: Vec<String> = rules::capabilities().map(|name| format!("\"{name}\"")).collect();
    rules::check(&format!("require [{}];", all.join(","))).unwrap();
}

#[test]
fn scripts_need_a_login_and_a_login_needs_tls() {
    let mut outside = session(Channel { offers_tls: true, ..Channel::default() });
    for command in ["LISTSCRIPTS", "GETSCRIPT \"a\"", "UNAUTHENTICATE", "SETACTIVE \"\"", "HAVESPACE \"a\" 1"] {
        assert!(say(&mut outside, command).1.starts_with("NO "), "{command}");
    }
    let (_, refused) = say(&mut outside, "AUTHENTICATE \"PLAIN\" \"AGEAYg==\"");
    assert!(refused.starts_with("NO (ENCRYPT-NEEDED) "), "{refused}");
    let mut inside = inside();
    assert!(matches!(say(&mut inside, "LISTSCRIPTS").0, Effect::Scripts(ANNA, Request::List)));
    for command in ["AUTHENTICATE \"PLAIN\"", "STARTTLS"] {
        assert!(say(&mut inside, command).1.starts_with("NO "), "{command}");
    }
    assert!(matches!(say(&mut inside, "UNAUTHENTICATE").0, Effect::Unauthenticated));
    assert!(say(&mut inside, "LISTSCRIPTS").1.starts_with("NO "));
}

#[test]
fn memory_is_taken_for_scripts_of_allowed_size_alone() {
    let limit = ManageSieveOptions::default().max_script_bytes;
    let mut inside = inside();
    assert!(
        matches!(say(&mut inside, &format!("PUTSCRIPT \"a\" {{{limit}+}}")).0, Effect::Literal(length) if length == limit)
    );
    inside.literal(b"keep;".to_vec());
    assert!(matches!(say(&mut inside, "").0, Effect::Scripts(_, Request::Put { .. })));
    let (effect, said) = say(&mut inside, &format!("checkscript {{{}+}}", limit + 1));
    assert!(matches!(effect, Effect::Skip(_)) && said.is_empty());
    assert!(say(&mut inside, "").1.starts_with("NO (QUOTA/MAXSIZE) "));
    let (effect, said) = say(&mut inside, "PUTSCRIPT \"a\" {99999999999+}");
    assert!(matches!(effect, Effect::Close) && said.starts_with("BYE (QUOTA/MAXSIZE) "), "{said}");
    // Of names, and of strangers, less is taken.
    for mut session in [session(Channel::default()), self::inside()] {
        let effect = say(&mut session, &format!("GETSCRIPT {{{limit}+}}")).0;
        assert!(matches!(effect, Effect::Skip(_) | Effect::Close), "{effect:?}");
    }
}

#[test]
fn noop_gives_its_tag_back_and_too_many_errors_end_it() {
    let mut outside = session(Channel::default());
    assert_eq!(say(&mut outside, "noop").1, "OK \"Done\"\r\n");
    assert_eq!(say(&mut outside, "NOOP \"a \\\"b\"").1, "OK (TAG {4}\r\na \"b) \"Done\"\r\n");
    for _ in 1..ManageSieveOptions::default().max_errors {
        assert!(matches!(say(&mut outside, "HELP"), (Effect::Next, said) if said.starts_with("NO ")));
    }
    assert!(matches!(say(&mut outside, "HELP"), (Effect::Close, said) if said.starts_with("BYE ")));
}
