//! The rules for new passwords.

use crate::{DirectoryError, Result};

/// Characters that a password needs.
pub(crate) const MIN_PASSWORD_CHARS: usize = 8;
/// The longest password: hashing longer ones would be work for an attacker's asking.
const MAX_PASSWORD_BYTES: usize = 512;
/// A password that can be found within this many guesses, most common first, is refused.
const COMMONEST: u64 = 10_000;
/// The same for one that an operator sets on the command line, perhaps for an hour or for a test.
const COMMONEST_OF_OPERATORS: u64 = 1_000;
/// How much of a password is looked at for that: what is long enough without the rest is.
const LOOKED_AT_CHARS: usize = 64;
/// Parts of a name or address shorter than this are found in anything.
const MIN_PART_CHARS: usize = 3;

/// Checks a new password. `about`: the owner's address and name, the service's names.
///
/// # Errors
/// [`DirectoryError::BadPassword`] with the reason.
pub fn check_password(password: &str, about: &[&str]) -> Result<()> {
    check(password, about, COMMONEST)
}

/// Checks a new password set by an operator; returns whether to warn because nobody else could choose it.
///
/// # Errors
/// As [`check_password`], for those that are tried within the first thousand guesses.
pub fn check_password_of_operator(password: &str, about: &[&str]) -> Result<bool> {
    check(password, about, COMMONEST_OF_OPERATORS)?;
    Ok(check_password(password, about).is_err())
}

fn check(password: &str, about: &[&str], commonest: u64) -> Result<()> {
    let bad = |what: String| Err(DirectoryError::BadPassword(what));
    if password.chars().count() < MIN_PASSWORD_CHARS {
        return bad(format!("a password must have at least {MIN_PASSWORD_CHARS} characters"));
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return bad(format!("a password can have at most {MAX_PASSWORD_BYTES} bytes"));
    }
    if password.contains(['\0', '\r', '\n']) {
        return bad("a password must not contain line breaks or NUL".to_owned());
    }
    if password.trim().is_empty() {
        return bad("a password can't consist of spaces only".to_owned());
    }
    if is_about(password, about) {
        return bad("a password can't be the address, the name or the service's name, or a part of them; use several \
                    unrelated words"
            .to_owned());
    }
    if is_common(password, about, commonest) {
        return bad("this is one of the most common passwords; use several unrelated words".to_owned());
    }
    Ok(())
}

/// The letters and digits, in lower case.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The address and the name, each whole and in its parts, the longest first. The last label of a domain is no part: it is
/// everybody's.
fn parts(about: &[&str]) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for text in about {
        parts.push(plain(text));
        parts.extend(text.split('@').map(plain));
        let own = text.split_once('@').and(text.rsplit_once('.')).map_or(*text, |(own, _)| own);
        parts.extend(own.split(|c: char| !c.is_alphanumeric()).map(plain));
    }
    parts.retain(|part| part.chars().count() >= MIN_PART_CHARS);
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts.dedup();
    parts
}

/// Whether a password says little that its owner's address and name do not: it is made of parts of them, and of digits and
/// signs that anybody would try in addition.
fn is_about(password: &str, about: &[&str]) -> bool {
    let mut rest = plain(password);
    let whole = rest.chars().count();
    for part in parts(about) {
        rest = rest.replace(&part, "");
        let reversed: String = part.chars().rev().collect();
        rest = rest.replace(&reversed, "");
    }
    let others = rest.chars().filter(|c| !c.is_ascii_digit()).count();
    rest.chars().count() < whole && others < MIN_PART_CHARS && rest.chars().count() <= 4
}

fn is_common(password: &str, about: &[&str], commonest: u64) -> bool {
    let looked_at: String = password.chars().take(LOOKED_AT_CHARS).collect();
    let about = parts(about);
    let about: Vec<&str> = about.iter().map(String::as_str).collect();
    // Spaces around a password, and between its letters, are tried too.
    let squeezed: String = looked_at.split_whitespace().collect();
    [looked_at.trim(), &squeezed].iter().any(|form| zxcvbn::zxcvbn(form, &about).guesses() <= commonest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: [&str; 2] = ["anna.berger@hold.test", "Anna Berger"];

    #[test]
    fn what_is_tried_first_is_not_taken() {
        for common in [
            "12345678",
            "123456789",
            "1234567890",
            "87654321",
            "11111111",
            "00000000",
            "password",
            "Password",
            "PASSWORD",
            "password1",
            "passw0rd",
            "P@ssw0rd",
            "qwertyuiop",
            "qwertyui",
            "asdfghjkl",
            "1q2w3e4r",
            "1qaz2wsx",
            "iloveyou",
            "football",
            "baseball",
            "sunshine",
            "princess",
            "trustno1",
            "superman",
            "starwars",
            "abcdefgh",
            "abcd1234",
            "aaaaaaaa",
            "abababab",
            "abcabcabc",
            "        ",
            "\t\t\t\t\t\t\t\t",
            "  password  ",
            "p a s s w o r d",
            "letmein1",
            "welcome1",
            "drowssap",
            "zxcvbnm1",
            "internet",
            "computer",
        ] {
            assert!(check_password(common, &ABOUT).is_err(), "{common:?}");
        }
        let long = "a".repeat(500);
        assert!(check_password(&long, &ABOUT).is_err(), "long and still nothing");
    }

    #[test]
    fn what_the_address_or_the_name_says_is_not_taken() {
        for own in [
            "anna.berger@hold.test",
            "ANNA.BERGER@HOLD.TEST",
            "anna.berger",
            "annaberger",
            "AnnaBerger1",
            "berger1990",
            "bergeranna",
            "hold.test",
            "holdtest!",
            "anna-hold",
            "annaanna",
            "regrebanna",
            "Berger!!1",
            "anna@hold",
            "a.n.n.a.b.e.r.g.e.r",
            "12annaberger",
        ] {
            assert!(check_password(own, &ABOUT).is_err(), "{own:?}");
        }
        // One of them beside words of one's own is fine.
        for fine in ["annas green bicycle", "berger, tired of soup", "hold the blue door"] {
            check_password(fine, &ABOUT).unwrap_or_else(|error| panic!("{fine:?}: {error}"));
        }
    }

    #[test]
    fn what_the_service_is_called_is_not_taken() {
        let about = ["anna@hold.test", "Anna", "mx1.seaweed.example", "holdfast"];
        for own in ["holdfast", "Holdfast1", "holdfast2026", "tsafdloh", "seaweed.example", "mx1seaweed!", "seaweed123"]
        {
            assert!(check_password(own, &about).is_err(), "{own:?}");
        }
        check_password("holdfast of seaweed and rock", &about).unwrap();
    }

    #[test]
    fn what_people_would_have_to_think_of_is_taken() {
        for fine in [
            "correct horse battery staple",
            "correct horse 1",
            "blue-teapot-92",
            "k7Xp2mQz",
            "Zwölf Boxkämpfer jagen",
            "пароль не скажу",
            "tulip ferry oxide",
            "another good one",
            "密码不告诉你们任何人",
        ] {
            check_password(fine, &ABOUT).unwrap_or_else(|error| panic!("{fine:?}: {error}"));
            check_password(fine, &[]).unwrap_or_else(|error| panic!("{fine:?}: {error}"));
        }
        for common in ["testpass", "test1234", "pass1234"] {
            assert!(check_password(common, &ABOUT).is_err(), "{common}");
            assert!(check_password_of_operator(common, &ABOUT).unwrap(), "{common}: with a warning");
        }
        assert!(!check_password_of_operator("tulip ferry oxide", &ABOUT).unwrap());
        for worst in ["password", "12345678", "letmein1", "        ", "anna.berger", "short"] {
            assert!(check_password_of_operator(worst, &ABOUT).is_err(), "{worst}");
        }
        for (wrong, limit) in [("short", "8"), (&*"x1!y".repeat(200), "512")] {
            let error = check_password(wrong, &ABOUT).unwrap_err().to_string();
            assert!(error.contains(limit), "{error}");
        }
    }
}
