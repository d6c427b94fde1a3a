//! DKIM keys: whether others can verify what this service signs (RFC 6376 section 3.6.1, RFC 8463).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use directory::{DkimKey, DkimState};
use mailkit::dkim::KeyKind;

use crate::case::{Case, Verdict, missing};
use crate::{State, Wanted};

/// The code of a key in use whose record was there before.
pub const VANISHED: &str = "dkim-vanished";
const PASTE: &str = "Replace it by the record below, character by character.";

/// What a text at the name of a key is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// The key, usable by everyone.
    Right,
    /// Not usable, or not by everyone: code, what is wrong, and whether the key is right all the same.
    Wrong(&'static str, String, bool),
}

pub(super) fn judge(case: &Case<'_>, wanted: &Wanted, selector: &str) -> Verdict {
    let Some(key) = case.domain.all_dkim.iter().find(|key| key.selector() == selector) else {
        return Verdict::default();
    };
    let texts = match case.texts(&wanted.name) {
        Err(why) => return Verdict::silent(&why),
        Ok(texts) => texts,
    };
    let mut verdict = Verdict { found: texts.clone(), ..Verdict::default() };
    match key.state() {
        DkimState::Retired => return retired(case, key, verdict),
        DkimState::Waiting if texts.is_empty() => {
            let found = missing(case, wanted, "dkim-waiting");
            let twice = found.faults.iter().any(|fault| fault.code == "name-twice");
            if twice {
                return found;
            }
            verdict.fault(
                State::Advice,
                "dkim-waiting",
                "A new DKIM key waits for its record. Mail is signed with the present key until then.",
                "Add the record below; nothing else is to be done. Leave the old record where it is for now.",
            );
            return verdict;
        }
        DkimState::InUse if texts.is_empty() && key.was_there() => {
            verdict.fault(
                State::Problem,
                VANISHED,
                "The record of the key that mail is signed with was in the DNS, and is not there any more: other servers take \
                 signatures for forged.",
                "Add the record below again.",
            );
            return verdict;
        }
        _ if texts.is_empty() => return missing(case, wanted, "dkim-missing"),
        _ => {}
    }
    if texts.len() > 1 {
        verdict.fault(
            State::Problem,
            "dkim-two",
            format!("There are {} texts at {}; other servers take any one of them, or none.", texts.len(), wanted.name),
            "Leave only the one below.",
        );
        return verdict;
    }
    let usable = match compare(key.kind(), &wanted.records[0], &texts[0]) {
        Text::Right => true,
        Text::Wrong(code, says, usable) => {
            let state = if usable { State::Warning } else { State::Problem };
            verdict.fault(state, code, says, PASTE);
            usable
        }
    };
    if usable
        && case.domain.dkim.iter().all(|other| other.selector() != key.selector())
        && key.state() == DkimState::InUse
    {
        verdict.fault(
            State::Advice,
            "dkim-older",
            "Mail is signed with an older key at the moment, because this record was not in the DNS a while ago.",
            "Nothing: this service changes over soon.",
        );
    }
    verdict
}

fn retired(case: &Case<'_>, key: &DkimKey, mut verdict: Verdict) -> Verdict {
    let over = key.removable_ms().is_some_and(|at| case.now_ms >= at);
    if over && !verdict.found.is_empty() {
        verdict.fault(
            State::Advice,
            "dkim-old",
            "This key is not used any more, and mail that was signed with it has arrived.",
            "Remove the record.",
        );
        verdict.instead = Some(Vec::new());
    } else if !over && verdict.found.is_empty() {
        verdict.fault(
            State::Advice,
            "dkim-old-missing",
            "The record of the old key is gone already: mail that was signed with it and is still under way can't be verified.",
            "Leave old records for a week next time.",
        );
    }
    verdict
}

/// Whether the key of this kind is usable by the texts at its name: what new keys wait for.
pub(crate) fn is_there(key: &DkimKey, texts: &[String]) -> bool {
    let [text] = texts else { return false };
    matches!(compare(key.kind(), &key.dns_record(), text), Text::Right | Text::Wrong(_, _, true))
}

/// The value of a tag, without any white space; the last one if it is there twice.
fn tag(text: &str, name: &str) -> Option<String> {
    let mut pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    let found = pairs.rfind(|(tag, _)| tag.trim().eq_ignore_ascii_case(name))?.1;
    Some(found.split_whitespace().collect())
}

fn compare(kind: KeyKind, ours: &str, text: &str) -> Text {
    let wrong = |code, says: &str, usable| Text::Wrong(code, says.to_owned(), usable);
    if text == ours {
        return Text::Right;
    }
    if text.contains(['"', '\u{201c}', '\u{201d}']) {
        return wrong(
            "dkim-quotes",
            "The record has quotation marks inside its text, which don't belong there: other servers can't read it.",
            false,
        );
    }
    if text.contains('\\') {
        return wrong(
            "dkim-backslash",
            "The record has backslashes inside its text, which don't belong there: other servers can't read it.",
            false,
        );
    }
    let name = if kind == KeyKind::Ed25519 { "ed25519" } else { "rsa" };
    let Some(key) = tag(text, "p") else {
        return wrong("dkim-no-key", "The record has no key (p=): other servers can't verify anything with it.", false);
    };
    if key.is_empty() {
        return wrong(
            "dkim-revoked",
            "The record says that this key is revoked (p= is empty): other servers take signatures for forged.",
            false,
        );
    }
    let expected = tag(ours, "p").unwrap_or_default();
    if key != expected {
        return other_key(kind, &expected, &key);
    }
    tags(kind, name, text)
}

/// The same of all but the key itself, which is right.
fn tags(kind: KeyKind, name: &str, text: &str) -> Text {
    let wrong = |code, says: &str, usable| Text::Wrong(code, says.to_owned(), usable);
    match tag(text, "k") {
        Some(found) if !found.eq_ignore_ascii_case(name) => {
            let says = format!("The record says that the key is of the kind {found}; it is {name}.");
            return Text::Wrong("dkim-kind", says, false);
        }
        None if kind == KeyKind::Ed25519 => {
            return wrong("dkim-kind", "The record doesn't say that the key is of the kind ed25519.", false);
        }
        _ => {}
    }
    // A version that is there must be first and right (section 3.6.1); one that is not there is assumed, by most.
    let first = text.split(';').next().unwrap_or_default();
    match tag(text, "v") {
        None => return wrong("dkim-version", "The record doesn't begin with v=DKIM1: some servers ignore it.", true),
        Some(found) if found != "DKIM1" || tag(first, "v").is_none() => {
            return wrong(
                "dkim-version",
                "The record must begin with v=DKIM1, exactly so: other servers ignore it.",
                false,
            );
        }
        Some(_) => {}
    }
    if tag(text, "s")
        .is_some_and(|kinds| !kinds.split(':').any(|kind| kind == "*" || kind.eq_ignore_ascii_case("email")))
    {
        return wrong("dkim-service", "The record says that the key is not for mail (s=).", false);
    }
    if tag(text, "h").is_some_and(|kinds| !kinds.split(':').any(|kind| kind.eq_ignore_ascii_case("sha256"))) {
        return wrong("dkim-hash", "The record doesn't allow SHA-256 signatures (h=).", false);
    }
    if tag(text, "t").is_some_and(|flags| flags.split(':').any(|flag| flag.eq_ignore_ascii_case("y"))) {
        return wrong(
            "dkim-testing",
            "The record says that the domain only tries DKIM out (t=y): other servers may ignore its signatures.",
            true,
        );
    }
    let value = text.split(';').filter_map(|pair| pair.split_once('=')).find(|(tag, _)| tag.trim() == "p");
    if value.is_some_and(|(_, value)| value.trim().contains(char::is_whitespace)) {
        return wrong(
            "dkim-spaces",
            "The key has spaces in it, as when it was split wrongly: some servers can't read it.",
            true,
        );
    }
    Text::Right
}

fn other_key(kind: KeyKind, expected: &str, found: &str) -> Text {
    if expected.starts_with(found) {
        let says = format!(
            "The record ends in the middle of the key ({} of {} characters).{}",
            found.len(),
            expected.len(),
            if kind == KeyKind::Rsa2048 {
                " Some providers cut a text after 255 characters: enter it in two strings, as below."
            } else {
                ""
            }
        );
        return Text::Wrong("dkim-cut", says, false);
    }
    let says = if STANDARD.decode(found).is_err() {
        "The record has letters that no key has, or some are missing: other servers can't read it."
    } else {
        "The record has another key than the one that mail is signed with: other servers take signatures for forged."
    };
    let code = if STANDARD.decode(found).is_err() { "dkim-garbled" } else { "dkim-other" };
    Text::Wrong(code, says.to_owned(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSA: &str = "v=DKIM1; k=rsa; p=MIIBCgKCAQEAq9+/";

    fn code(kind: KeyKind, ours: &str, text: &str) -> (&'static str, bool) {
        match compare(kind, ours, text) {
            Text::Right => ("", true),
            Text::Wrong(code, _, usable) => (code, usable),
        }
    }

    #[test]
    fn what_is_wrong_with_a_key_is_told_apart() {
        for (text, expected) in [
            (RSA, ("", true)),
            ("v=DKIM1;k=rsa;p=MIIBCgKCAQEAq9+/;", ("", true)),
            ("v=DKIM1; p=MIIBCgKCAQEAq9+/", ("", true)),
            ("v = DKIM1 ; k = rsa ; p = MIIBCgKCAQEAq9+/ ; n=a note", ("", true)),
            ("k=rsa; p=MIIBCgKCAQEAq9+/", ("dkim-version", true)),
            ("k=rsa; v=DKIM1; p=MIIBCgKCAQEAq9+/", ("dkim-version", false)),
            ("v=DKIM; k=rsa; p=MIIBCgKCAQEAq9+/", ("dkim-version", false)),
            ("v=dkim1; k=rsa; p=MIIBCgKCAQEAq9+/", ("dkim-version", false)),
            ("v=DKIM1; k=rsa; p=MIIBCgKC AQEAq9+/", ("dkim-spaces", true)),
            ("v=DKIM1; k=rsa; p=MIIBCgKC\" \"AQEAq9+/", ("dkim-quotes", false)),
            ("\"v=DKIM1; k=rsa; p=MIIBCgKCAQEAq9+/\"", ("dkim-quotes", false)),
            ("v=DKIM1\\; k=rsa\\; p=MIIBCgKCAQEAq9+/", ("dkim-backslash", false)),
            ("v=DKIM1; k=rsa; p=MIIBCgKC", ("dkim-cut", false)),
            ("v=DKIM1; k=rsa; p=", ("dkim-revoked", false)),
            ("v=DKIM1; k=rsa; p=  ;", ("dkim-revoked", false)),
            ("v=DKIM1; k=rsa", ("dkim-no-key", false)),
            ("hello", ("dkim-no-key", false)),
            ("v=DKIM1; k=rsa; p=MIIBCgKCAQEAq9+A", ("dkim-other", false)),
            ("v=DKIM1; k=rsa; p=MIIBCgKCAQEAq9-_", ("dkim-garbled", false)),
            ("v=DKIM1; k=ed25519; p=MIIBCgKCAQEAq9+/", ("dkim-kind", false)),
            ("v=DKIM1; k=rsa; s=tlsrpt; p=MIIBCgKCAQEAq9+/", ("dkim-service", false)),
            ("v=DKIM1; k=rsa; s=email:x; h=sha256; p=MIIBCgKCAQEAq9+/", ("", true)),
            ("v=DKIM1; k=rsa; h=sha1; p=MIIBCgKCAQEAq9+/", ("dkim-hash", false)),
            ("v=DKIM1; k=rsa; t=y:s; p=MIIBCgKCAQEAq9+/", ("dkim-testing", true)),
        ] {
            assert_eq!(code(KeyKind::Rsa2048, RSA, text), expected, "{text}");
        }
        let ours = "v=DKIM1; k=ed25519; p=AAAA";
        assert_eq!(code(KeyKind::Ed25519, ours, "v=DKIM1; p=AAAA"), ("dkim-kind", false));
    }
}
