//! Email addresses as other programs write them into contacts.

use mailkit::EmailAddress;

/// Most addresses in one value.
const MAX_ADDRESSES: usize = 50;

/// The contents of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// These addresses, at least one.
    Addresses(Vec<String>),
    /// The internal name of a mailbox in an Exchange server, useless elsewhere.
    Internal,
    /// Something else.
    No,
}

/// Read a value: an address, alone or as `mailto:`, `SMTP:`, `Name <address>`, `address (Name)`, `<address>`, or several
/// of these between commas or semicolons.
pub(crate) fn read(value: &str) -> Read {
    let value = value.trim();
    if let Some(address) = one(value) {
        return Read::Addresses(vec![address]);
    }
    if value.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("/o=")) {
        return Read::Internal;
    }
    let mut found = Vec::new();
    for piece in value.split([',', ';']).map(str::trim).filter(|piece| !piece.is_empty()) {
        match one(piece) {
            Some(address) if found.len() < MAX_ADDRESSES => found.push(address),
            _ => return Read::No,
        }
    }
    if found.is_empty() { Read::No } else { Read::Addresses(found) }
}

/// The text without quotes around the whole of it. A quoted local part keeps its own.
fn without_quotes(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(inner) = ['\'', '"'].into_iter().find_map(|mark| text.strip_prefix(mark)?.strip_suffix(mark)) {
        text = inner.trim();
    }
    if EmailAddress::parse(text).is_ok() { text } else { text.trim_matches(['\'', '"']).trim() }
}

fn one(text: &str) -> Option<String> {
    let mut text = without_quotes(text);
    for scheme in ["mailto:", "smtp:"] {
        if text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)) {
            text = text[scheme.len()..].trim();
        }
    }
    // What follows a question mark in a mailto is the message to be written.
    let bare = text.split_once('?').map_or(text, |(address, _)| address);
    let inside = |open: char, close: char| {
        text.rsplit_once(open).and_then(|(_, rest)| rest.split_once(close)).map(|(in_, _)| in_)
    };
    let before_comment = text.split_once('(').map(|(address, _)| address);
    if text.matches(['<', '[']).count() > 1 {
        return None;
    }
    let candidates = [Some(text), Some(bare), inside('<', '>'), inside('[', ']'), before_comment];
    candidates.into_iter().flatten().map(str::trim).find(|one| EmailAddress::parse(one).is_ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_what_programs_write() {
        for value in [
            "angle@corp.example",
            " angle@corp.example ",
            "Angle Person <angle@corp.example>",
            "\"Person, Angle\" <angle@corp.example>",
            "<angle@corp.example>",
            "'angle@corp.example'",
            "mailto:angle@corp.example",
            "MAILTO:angle@corp.example?subject=x",
            "SMTP:angle@corp.example",
            "angle@corp.example (Angle Person)",
            "Angle Person [angle@corp.example]",
        ] {
            assert_eq!(read(value), Read::Addresses(vec!["angle@corp.example".to_owned()]), "{value}");
        }
        let two = Read::Addresses(vec!["a@b.example".to_owned(), "c@d.example".to_owned()]);
        for value in ["a@b.example; c@d.example", "a@b.example,c@d.example", "A <a@b.example>; C <c@d.example>;"] {
            assert_eq!(read(value), two, "{value}");
        }
        for value in [
            "\"two words\"@b.example",
            "'\"two words\"@b.example'",
            "\"\"two words\"@b.example\"",
            "Two <\"two words\"@b.example>",
            "mailto:\"two words\"@b.example",
        ] {
            assert_eq!(read(value), Read::Addresses(vec!["\"two words\"@b.example".to_owned()]), "{value}");
        }
        assert_eq!(read("\".\"@b.example"), Read::Addresses(vec!["\".\"@b.example".to_owned()]));
        assert_eq!(read("/o=ExchangeLabs/ou=x/cn=uta"), Read::Internal);
        for value in ["", "nobody", "a@", ";", "a@b.example; who", "<>"] {
            assert_eq!(read(value), Read::No, "{value}");
        }
    }
}
