use proptest::prelude::*;

use super::*;

fn session() -> Session {
    let options = Pop3Options { max_errors: u32::MAX, ..Pop3Options::default() };
    Session::new(options, Channel { may_log_in: true, ..Channel::default() })
}

fn say(session: &mut Session, line: &str) -> (Effect, String) {
    let mut out = Vec::new();
    let effect = session.line(line.as_bytes(), &mut out);
    (effect, String::from_utf8(out).unwrap())
}

#[test]
fn a_password_is_checked_once_and_needs_its_user() {
    let mut session = session();
    assert!(say(&mut session, "PASS x").1.starts_with("-ERR"));
    say(&mut session, "USER tim");
    let (Effect::Login(password), _) = say(&mut session, "PASS two words ") else { panic!() };
    assert_eq!((password.authcid.as_str(), password.password.as_str()), ("tim", "two words "));
    assert!(say(&mut session, "PASS again").1.starts_with("-ERR"));
}

#[test]
fn tls_makes_forget_what_was_said_before() {
    let mut session =
        Session::new(Pop3Options::default(), Channel { may_log_in: true, offers_tls: true, ..Channel::default() });
    say(&mut session, "USER tim");
    assert!(matches!(say(&mut session, "STLS").0, Effect::StartTls));
    session.secured(Channel { is_tls: true, may_log_in: true, offers_tls: true, ..Channel::default() });
    assert!(say(&mut session, "PASS x").1.starts_with("-ERR"));
    assert!(say(&mut session, "STLS").1.starts_with("-ERR"));
}

#[test]
fn a_reply_stays_one_line_whatever_is_in_it() {
    let mut out = Vec::new();
    Refusal::plain("a\r\n+OK b").write_to(&mut out);
    assert_eq!(out, b"-ERR a  +OK b\r\n");
}

proptest! {
    /// STAT, LIST and QUIT follow a plain list of what is deleted.
    #[test]
    fn deletions_follow_a_simple_model(
        sizes in proptest::collection::vec(0..1000_u64, 0..6),
        commands in proptest::collection::vec(prop_oneof![
            4 => (0..8_u32).prop_map(Some),
            1 => Just(None),
        ], 0..20),
    ) {
        let mut session = session();
        session.let_in(Maildrop::of_sizes(&sizes), &mut Vec::new());
        let mut deleted = vec![false; sizes.len()];
        for command in commands {
            match command {
                Some(number) => {
                    let place = (number as usize).checked_sub(1).and_then(|index| deleted.get_mut(index));
                    let expected = place.is_some_and(|deleted| !std::mem::replace(deleted, true));
                    let (_, answer) = say(&mut session, &format!("DELE {number}"));
                    prop_assert_eq!(answer.starts_with("+OK"), expected);
                }
                None => {
                    deleted.fill(false);
                    say(&mut session, "RSET");
                }
            }
            let left: Vec<u64> = sizes.iter().zip(&deleted).filter(|(_, d)| !**d).map(|(size, _)| *size).collect();
            let stat = format!("+OK {} {}\r\n", left.len(), left.iter().sum::<u64>());
            prop_assert_eq!(say(&mut session, "STAT").1, stat);
            prop_assert_eq!(say(&mut session, "LIST").1.lines().count(), left.len() + 2);
        }
        let (Effect::Update(update), _) = say(&mut session, "QUIT") else { panic!() };
        let expected: Vec<u32> = (1..).zip(&deleted).filter(|(_, d)| **d).map(|(uid, _)| uid).collect();
        prop_assert_eq!(update.expunge.iter().map(|uid| uid.0).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_lines_do_harm_and_each_answers_whole_lines(
        lines in proptest::collection::vec(prop_oneof![
            "(AUTH|CAPA|USER|PASS|STLS|UTF8|LIST|UIDL|TOP|RETR|STAT) ?[A-Za-z0-9= ]{0,20}",
            "[A-Za-z0-9+/=]{0,40}",
            "\\PC{0,30}",
        ], 0..12),
    ) {
        let mut session = session();
        for line in lines {
            let mut out = Vec::new();
            let effect = session.line(line.as_bytes(), &mut out);
            prop_assert!(out.is_empty() || out.ends_with(b"\r\n"));
            match effect {
                Effect::ScramLookup(_) => {
                    session.scram_keys(Vec::new(), doorkit::sasl::ScramKeys::without_password([7; 32]), &mut out);
                }
                Effect::Login(_) | Effect::ScramFailed | Effect::ScramProved(_) => {
                    session.refuse_login(&Refusal::plain("no"), &mut out);
                }
                _ => {}
            }
        }
    }
}
