//! Addresses in header fields, as `address` and `envelope` compare them.
//!
//! A list is read as RFC 5322 section 3.4 says, with its comments, groups and obsolete routes. An entry that is none is kept
//! as text: `:all` compares it, the parts don't match it (RFC 5228 section 2.7.4).

use mailkit::EmailAddress;

use crate::tree::AddressPart;

/// Most addresses that are looked at in one field.
const MAX_ADDRESSES: usize = 1_000;

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `local@domain`, or the text of what is no address.
    pub text: String,
    /// Local part and domain.
    pub parts: Option<(String, String)>,
    /// From an envelope: the null sender has parts, all of them empty.
    pub is_path: bool,
}

impl Entry {
    fn address(local: String, domain: String) -> Self {
        Self { text: format!("{local}@{domain}"), parts: Some((local, domain)), is_path: false }
    }

    /// The part that is compared; `None` if there is none of it.
    pub fn part(&self, part: AddressPart, separators: &str) -> Option<String> {
        if part == AddressPart::All {
            return Some(self.text.clone());
        }
        if self.text.is_empty() && self.is_path {
            return Some(String::new());
        }
        let (local, domain) = self.parts.as_ref()?;
        let split = local.find(|c| separators.contains(c));
        match part {
            AddressPart::All => None,
            AddressPart::LocalPart => Some(local.clone()),
            AddressPart::Domain => Some(domain.clone()),
            AddressPart::User => Some(split.map_or(local.as_str(), |at| &local[..at]).to_owned()),
            AddressPart::Detail => split.map(|at| local[at..].chars().skip(1).collect()),
        }
    }
}

/// One address of an envelope.
pub(crate) fn of_envelope(text: &str) -> Entry {
    match text.rsplit_once('@') {
        Some((local, domain)) if !local.is_empty() && !domain.is_empty() => {
            Entry { text: text.to_owned(), parts: Some((local.to_owned(), domain.to_owned())), is_path: true }
        }
        _ => Entry { text: text.to_owned(), parts: None, is_path: true },
    }
}

/// One address with or without a name, as scripts give it: `Me <me@example.org>`.
///
/// # Errors
/// Why it is none.
pub(crate) fn one(text: &str) -> Result<EmailAddress, String> {
    let wrong = || format!("{text:?} is not one address");
    let mut list = match Reader::new(text).list() {
        Some(list) if list.len() == 1 => list,
        _ => return Err(wrong()),
    };
    let (local, domain) = list.remove(0).parts.ok_or_else(wrong)?;
    EmailAddress::from_parts(&local, &domain).map_err(|error| format!("{text:?} is not an address: {error}"))
}

/// The entries of an unfolded field.
pub(crate) fn list(value: &str) -> Vec<Entry> {
    if let Some(list) = Reader::new(value).list() {
        return list;
    }
    // One that can't be read does not hide the others.
    let mut out = Vec::new();
    for piece in split(value).into_iter().take(MAX_ADDRESSES) {
        match Reader::new(piece).list() {
            Some(list) if !list.is_empty() => out.extend(list),
            _ => out.push(Entry { text: piece.trim().to_owned(), parts: None, is_path: false }),
        }
    }
    out
}

/// Splits at commas outside quotes, comments and angle brackets.
fn split(value: &str) -> Vec<&str> {
    let (mut out, mut begin, mut quoted, mut depth, mut escaped) = (Vec::new(), 0, false, 0_usize, false);
    for (at, c) in value.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                out.push(&value[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    out.push(&value[begin..]);
    out
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// The whole as a list; `None` if it is none.
    fn list(mut self) -> Option<Vec<Entry>> {
        let mut out = Vec::new();
        let mut in_group = false;
        self.skip();
        if self.rest.is_empty() {
            return Some(vec![Entry { text: String::new(), parts: None, is_path: false }]);
        }
        loop {
            self.skip();
            if in_group && self.eat(';') {
                in_group = false;
            } else if self.rest.is_empty() {
                return (!in_group).then_some(out);
            } else if !self.rest.starts_with(',') {
                if !in_group && self.group() {
                    in_group = true;
                    continue;
                }
                out.push(self.mailbox()?);
                if out.len() > MAX_ADDRESSES {
                    return Some(out);
                }
            }
            self.skip();
            if in_group && self.eat(';') {
                in_group = false;
                self.skip();
            }
            if self.rest.is_empty() {
                return (!in_group).then_some(out);
            }
            if !self.eat(',') {
                return None;
            }
        }
    }

    fn eat(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// White space and comments.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            if !self.rest.starts_with('(') {
                return;
            }
            let (mut depth, mut escaped) = (0_usize, false);
            let end = self.rest.char_indices().find_map(|(at, c)| {
                match c {
                    _ if escaped => escaped = false,
                    '\\' => escaped = true,
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                (depth == 0).then_some(at + 1)
            });
            let Some(end) = end else { return };
            self.rest = &self.rest[end..];
        }
    }

    /// The name of a group with its colon.
    fn group(&mut self) -> bool {
        let before = self.rest;
        if self.phrase() && self.eat(':') {
            return true;
        }
        self.rest = before;
        false
    }

    /// Words; at least one.
    fn phrase(&mut self) -> bool {
        let mut any = false;
        loop {
            self.skip();
            if self.word().is_none() && !(any && self.eat('.')) {
                return any;
            }
            any = true;
        }
    }

    /// An atom or a quoted string, without its quotes.
    fn word(&mut self) -> Option<String> {
        if let Some(rest) = self.rest.strip_prefix('"') {
            let mut out = String::new();
            let mut chars = rest.char_indices();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => {
                        self.rest = &rest[at + 1..];
                        return Some(out);
                    }
                    '\\' => out.extend(chars.next().map(|(_, c)| c)),
                    c => out.push(c),
                }
            }
            return None;
        }
        let special = |c: char| c.is_ascii_whitespace() || c.is_control() || "()<>[]:;@\\,.\"".contains(c);
        let len = self.rest.find(special).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest;
        (len > 0).then(|| word.to_owned())
    }

    fn mailbox(&mut self) -> Option<Entry> {
        let before = self.rest;
        self.phrase();
        self.skip();
        if self.eat('<') {
            self.route();
            let entry = self.spec()?;
            self.skip();
            return self.eat('>').then_some(entry);
        }
        self.rest = before;
        self.spec()
    }

    /// The obsolete route: `@a,@b:`.
    fn route(&mut self) {
        self.skip();
        if self.rest.starts_with('@')
            && let Some(colon) = self.rest.find(':')
            && !self.rest[..colon].contains(['>', '"'])
        {
            self.rest = &self.rest[colon + 1..];
        }
    }

    /// `local@domain`
    fn spec(&mut self) -> Option<Entry> {
        self.skip();
        let local = self.dotted(true)?;
        self.skip();
        if !self.eat('@') {
            return None;
        }
        self.skip();
        let domain = if self.rest.starts_with('[') {
            let end = self.rest.find(']')? + 1;
            let (literal, rest) = self.rest.split_at(end);
            self.rest = rest;
            literal.to_owned()
        } else {
            self.dotted(false)?
        };
        (local.is_ascii() || !domain.is_empty()).then(|| Entry::address(local, domain))
    }

    /// Words with dots between them; in local parts the dots may stand anywhere, as some write them.
    fn dotted(&mut self, is_local: bool) -> Option<String> {
        let mut out = String::new();
        let mut words = 0;
        loop {
            self.skip();
            if self.rest.starts_with('.') {
                if !is_local && (out.is_empty() || out.ends_with('.')) {
                    return None;
                }
                self.rest = &self.rest[1..];
                out.push('.');
                continue;
            }
            let after_word = words > 0 && !out.ends_with('.');
            if after_word {
                break;
            }
            match self.word() {
                Some(word) => {
                    words += 1;
                    out.push_str(&word);
                }
                None => break,
            }
        }
        (words > 0 && (is_local || !out.ends_with('.'))).then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(value: &str) -> Vec<(String, bool)> {
        list(value).into_iter().map(|entry| (entry.text, entry.parts.is_some())).collect()
    }

    #[test]
    fn lists_are_read_with_comments_groups_and_what_is_wrong() {
        let address = |text: &str| (text.to_owned(), true);
        let text = |text: &str| (text.to_owned(), false);
        for (value, found) in [
            ("a@b", vec![address("a@b")]),
            ("A B <a(c)@b>, \"x, y\" <c@d>", vec![address("a@b"), address("c@d")]),
            ("g: a@b, c@d;, e@f", vec![address("a@b"), address("c@d"), address("e@f")]),
            ("undisclosed-recipients:;", vec![]),
            ("stephan@", vec![text("stephan@")]),
            ("nonsense", vec![text("nonsense")]),
            ("a@b, @c", vec![address("a@b"), text("@c")]),
            ("", vec![text("")]),
            ("<@x,@y:a@b>", vec![address("a@b")]),
            ("\"a b\"@c", vec![address("a b@c")]),
        ] {
            assert_eq!(texts(value), found, "{value}");
        }
    }

    #[test]
    fn what_scripts_send_to_is_one_address() {
        for good in ["ok@example.com", "Ok Good <stephan@example.org>", " more  @  example.com  "] {
            assert!(one(good).is_ok(), "{good}");
        }
        for wrong in [
            "@wrong.example.com",
            "error",
            "error@",
            "A error@example.org",
            "A <error@example.org",
            "@",
            "<>",
            "a@b.c,d@e.f",
        ] {
            assert!(one(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_detail_is_what_stands_behind_the_separator() {
        let entry = of_envelope("ken+sieve+x@example.org");
        assert_eq!(entry.part(AddressPart::User, "+").as_deref(), Some("ken"));
        assert_eq!(entry.part(AddressPart::Detail, "+").as_deref(), Some("sieve+x"));
        let plain = of_envelope("ken@example.org");
        assert_eq!(plain.part(AddressPart::Detail, "+"), None);
        assert_eq!(plain.part(AddressPart::User, "+").as_deref(), Some("ken"));
        assert_eq!(of_envelope("ken+@x").part(AddressPart::Detail, "+").as_deref(), Some(""));
    }
}
