//! `Authentication-Results` fields (RFC 8601): reading ours, and taking out those that others wrote in our name.

use crate::headers::{self, Field, decode_text};

/// Name of the field.
pub const FIELD: &str = "Authentication-Results";
/// Longest such field that is kept or read; longer ones are taken out.
pub const MAX_FIELD_BYTES: usize = 32 << 10;
/// Most results that are read of one field.
const MAX_RESULTS: usize = 100;
/// How deep comments are followed.
const MAX_DEPTH: usize = 32;

/// One result: `dkim=pass header.d=example.org`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MethodResult {
    /// The method, in lower case: `dkim`.
    pub method: String,
    /// The result, in lower case: `pass`.
    pub result: String,
    /// What it is about: names in lower case, such as `header.d`, with values without their quotes.
    pub properties: Vec<(String, String)>,
}

impl MethodResult {
    /// A property's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Whether there is such a field at all. In header lines that we wrote, it tells that the message came from outside and that its
/// sender was checked.
pub fn is_there(header: &[u8]) -> bool {
    headers::fields(header).any(|field| field.is(FIELD))
}

/// The results of the first such field in `header` that is by `host`. Give it only header lines that we wrote.
pub fn read(header: &[u8], host: &str) -> Option<Vec<MethodResult>> {
    let ours = |field: &Field<'_>| {
        let id = words(field.value)?.into_iter().next()?;
        id.first().is_some_and(|by| by.eq_ignore_ascii_case(host)).then_some(())
    };
    let field = headers::fields(header).find(|field| field.is(FIELD) && ours(field).is_some())?;
    Some(words(field.value)?.into_iter().skip(1).filter_map(method).take(MAX_RESULTS).collect())
}

/// What all such fields in `header` that are by `host` say together, as one value on one line: `host; spf=pass …; dkim=none`.
/// Give it only header lines that we wrote.
pub fn merged(header: &[u8], host: &str) -> Option<String> {
    let mut out = String::new();
    for field in headers::fields(header).filter(|field| field.is(FIELD)) {
        let by_us = words(field.value).and_then(|clauses| Some(clauses.first()?.first()?.eq_ignore_ascii_case(host)));
        let value = headers::unfold(field.value);
        let text = String::from_utf8_lossy(&value);
        let Some((_, results)) = text.split_once(';').filter(|_| by_us == Some(true)) else { continue };
        let results = results.split_whitespace().collect::<Vec<_>>().join(" ");
        out.push_str(if out.is_empty() { host } else { "" });
        out.push_str("; ");
        out.push_str(results.trim_end_matches(';'));
    }
    (!out.is_empty()).then_some(out)
}

fn method(words: Vec<String>) -> Option<MethodResult> {
    let mut words = words.into_iter();
    let first = words.next()?;
    let (method, result) = first.split_once('=')?;
    let pair = |word: String| word.split_once('=').map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    Some(MethodResult {
        method: method.to_ascii_lowercase(),
        result: result.to_ascii_lowercase(),
        properties: words.filter_map(pair).collect(),
    })
}

/// The clauses of a value, each its words without comments and quotes; `None` if it can't be read.
fn words(value: &[u8]) -> Option<Vec<Vec<String>>> {
    if value.len() > MAX_FIELD_BYTES {
        return None;
    }
    let text = String::from_utf8_lossy(value);
    let (mut clauses, mut word) = (vec![Vec::new()], String::new());
    let mut chars = text.chars();
    let end = |word: &mut String, clauses: &mut Vec<Vec<String>>| {
        if !word.is_empty() {
            clauses.last_mut().expect("there is always one").push(std::mem::take(word));
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '(' => skip_comment(&mut chars)?,
            '"' => loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => word.push(chars.next()?),
                    c => word.push(c),
                }
            },
            ';' => {
                end(&mut word, &mut clauses);
                clauses.push(Vec::new());
            }
            c if c.is_whitespace() => end(&mut word, &mut clauses),
            c => word.push(c),
        }
    }
    end(&mut word, &mut clauses);
    Some(clauses)
}

fn skip_comment(chars: &mut std::str::Chars<'_>) -> Option<()> {
    let mut depth = 1;
    while depth > 0 {
        match chars.next()? {
            '(' if depth < MAX_DEPTH => depth += 1,
            '(' => return None,
            ')' => depth -= 1,
            '\\' => drop(chars.next()?),
            _ => {}
        }
    }
    Some(())
}

/// Whether a field says, or might be read as saying, that `host` wrote it. Where that is not clear, it does.
pub fn claims_to_be(value: &[u8], host: &str) -> bool {
    if value.len() > MAX_FIELD_BYTES {
        return true;
    }
    // What can't be read by the rules may be read by others without them.
    let Some(clauses) = words(value) else { return true };
    let by_rules = clauses.first().map(|id| id.concat()).unwrap_or_default();
    let raw = String::from_utf8_lossy(value);
    let before = raw.split(';').next().unwrap_or_default();
    let decoded = decode_text(before.as_bytes());
    let joined = |text: &str| -> String {
        text.chars().filter(|c| !c.is_whitespace() && !c.is_control() && !"\"\\".contains(*c)).collect()
    };
    by_rules.is_empty()
        || [by_rules.as_str(), &joined(before), before, &joined(&decoded), &decoded]
            .iter()
            .any(|text| names(text, host))
}

/// Whether `host` stands in `text`, and is not a part of a longer name.
fn names(text: &str, host: &str) -> bool {
    let (text, host) = (text.to_ascii_lowercase(), host.to_ascii_lowercase());
    if host.is_empty() {
        return false;
    }
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices(&host).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let mut after = text[at + host.len()..].chars();
        let begins = before.is_none_or(|c| !is_part(c) && c != '.');
        // A version may follow without a blank once blanks are gone.
        let ends = match after.next() {
            None => true,
            Some('.') => after.next().is_none_or(|c| !is_part(c)),
            Some(c) => c.is_ascii_digit() || !is_part(c),
        };
        begins && ends
    })
}

/// Takes the fields that others wrote in our name out of a message as it comes, however long its header section is.
#[derive(Debug)]
pub struct Cleaner {
    hosts: Vec<String>,
    state: State,
    /// A field that may have to go, or the beginning of a line that may begin one.
    held: Vec<u8>,
    /// How many fields were taken out.
    removed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the beginning of a line, or within one that may still begin such a field.
    Start,
    /// Within a line that is kept.
    Keep,
    /// Within such a field.
    Hold,
    /// Within such a field that is too long: it goes.
    Drop,
    /// In the body.
    Body,
}

impl Cleaner {
    /// For messages to these hosts.
    pub fn new(hosts: Vec<String>) -> Self {
        Self { hosts, state: State::Start, held: Vec::new(), removed: 0 }
    }

    /// How many fields were taken out.
    pub const fn removed(&self) -> usize {
        self.removed
    }

    /// Whether the header section has ended: everything that follows is kept.
    pub fn is_done(&self) -> bool {
        self.state == State::Body
    }

    /// Bytes of the message; what is to be kept goes onto `out`. The last line of a header section without an end may
    /// still be held: see [`Self::finish`].
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.state == State::Body {
                out.extend_from_slice(rest);
                return;
            }
            let line = headers::line_end(rest);
            let (piece, after) = rest.split_at(line);
            self.piece(piece, out);
            rest = after;
        }
    }

    /// A piece of a line, at most to its end.
    fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let ends = piece.ends_with(b"\n");
        match self.state {
            State::Start => {
                self.held.extend_from_slice(piece);
                self.start(ends, out);
            }
            State::Keep => {
                out.extend_from_slice(piece);
                if ends {
                    self.state = State::Start;
                }
            }
            State::Hold => {
                // A new line begins: does the field go on?
                if self.held.ends_with(b"\n") && !matches!(piece.first(), Some(b' ' | b'\t')) {
                    self.decide(out);
                    self.state = State::Start;
                    self.piece(piece, out);
                    return;
                }
                self.held.extend_from_slice(piece);
                if self.held.len() > MAX_FIELD_BYTES {
                    // Only the end is of interest from now on.
                    self.held = self.held.last().copied().into_iter().collect();
                    self.state = State::Drop;
                }
            }
            State::Drop => {
                if self.held.ends_with(b"\n") && !matches!(piece.first(), Some(b' ' | b'\t')) {
                    self.held.clear();
                    self.removed += 1;
                    self.state = State::Start;
                    self.piece(piece, out);
                    return;
                }
                self.held = piece.last().copied().into_iter().collect();
            }
            State::Body => out.extend_from_slice(piece),
        }
    }

    /// Looks at the beginning of a line.
    fn start(&mut self, ends: bool, out: &mut Vec<u8>) {
        if ends && headers::is_empty_line(&self.held) {
            out.append(&mut self.held);
            self.state = State::Body;
            return;
        }
        match begins_field(&self.held) {
            Some(true) => self.state = State::Hold,
            None if !ends => {}
            // It may be the empty line.
            _ if !ends && self.held == b"\r" => {}
            _ => {
                out.append(&mut self.held);
                self.state = if ends { State::Start } else { State::Keep };
            }
        }
    }

    /// A whole field is held: it stays or goes.
    fn decide(&mut self, out: &mut Vec<u8>) {
        let value = self.held.iter().position(|b| *b == b':').map_or(&self.held[..], |at| &self.held[at + 1..]);
        if self.hosts.iter().any(|host| claims_to_be(value, host)) {
            self.removed += 1;
            self.held.clear();
        } else {
            out.append(&mut self.held);
        }
    }

    /// The end of the message.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match self.state {
            State::Hold => self.decide(out),
            State::Drop => self.removed += 1,
            _ => out.append(&mut self.held),
        }
        self.held.clear();
        self.state = State::Body;
    }
}

/// Whether a line begins such a field; `None` if more of it has to be seen.
fn begins_field(line: &[u8]) -> Option<bool> {
    let name = FIELD.as_bytes();
    let seen = line.len().min(name.len());
    if !line[..seen].eq_ignore_ascii_case(&name[..seen]) {
        return Some(false);
    }
    let blanks = line[seen..].iter().position(|b| !matches!(b, b' ' | b'\t' | b'\r'));
    blanks.map(|at| line[seen + at] == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "mail.hold.test";

    fn cleaned(message: &str, cut: usize) -> String {
        let (mut cleaner, mut out) = (Cleaner::new(vec![HOST.to_owned()]), Vec::new());
        message.as_bytes().chunks(cut).for_each(|piece| cleaner.push(piece, &mut out));
        cleaner.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_in_our_name_go_in_whatever_spelling() {
        for value in [
            "mail.hold.test; spf=pass",
            "MAIL.Hold.TEST; spf=pass",
            "mail.hold.test 1; spf=pass",
            "mail.hold.test/1; spf=pass",
            "mail.hold.test\t2 ; spf=pass",
            "mail.hold.test.; spf=pass",
            "\"mail.hold.test\"; spf=pass",
            "\"mail.\\hold.test\" ; spf=pass",
            "(a comment) mail.hold.test (another (nested)); spf=pass",
            "mail.(x)hold.test; spf=pass",
            "\r\n mail.hold.test\r\n ; spf=pass",
            "mail.hold.test",
            "mail.hold.test;none",
            "=?us-ascii?q?mail.hold.test?=; spf=pass",
            "; spf=pass",
            "",
            "(open mail.example; spf=pass",
            "\"open; spf=pass",
            "mx.example (for mail.hold.test); spf=pass",
        ] {
            for name in ["Authentication-Results:", "authentication-RESULTS :", "Authentication-Results\t: "] {
                let message =
                    format!("A: b\r\n{name}{value}\r\nSubject: x\r\n\r\nAuthentication-Results: mail.hold.test\r\n");
                for cut in [1, 2, 7, 999] {
                    let expected = "A: b\r\nSubject: x\r\n\r\nAuthentication-Results: mail.hold.test\r\n";
                    assert_eq!(cleaned(&message, cut), expected, "{message:?} {cut}");
                }
            }
        }
    }

    #[test]
    fn what_others_say_in_their_own_name_stays() {
        for field in [
            "Authentication-Results: mx.example; spf=pass smtp.mailfrom=a@mail.hold.test\r\n",
            "Authentication-Results: mail.hold.test.example; spf=pass\r\n",
            "Authentication-Results: notmail.hold.test; spf=pass\r\n",
            "Authentication-Results: x.mail.hold.test; spf=pass\r\n",
            "Authentication-Results: my-mail.hold.test; spf=pass\r\n",
            "Authentication-Results-Old: mail.hold.test; spf=pass\r\n",
            "Authentication: mail.hold.test\r\n",
            "ARC-Authentication-Results: i=1; mail.hold.test; spf=pass\r\n",
            "X: Authentication-Results:\r\n Authentication-Results: mail.hold.test\r\n",
            "A\r\n",
            "Authentication-Results\r\n",
        ] {
            for cut in [1, 3, 999] {
                for end in ["", "\r\n", "\r\nbody", "B: c\r\n\r\n"] {
                    let message = format!("{field}{end}");
                    assert_eq!(cleaned(&message, cut), message, "{cut}");
                }
            }
        }
    }

    #[test]
    fn a_field_without_end_costs_no_memory_and_goes() {
        let long = format!("Authentication-Results: mx.example;\r\n{}B: c\r\n\r\nbody", " x\r\n".repeat(99_999));
        assert_eq!(cleaned(&long, 1_000), "B: c\r\n\r\nbody");
        let mut cleaner = Cleaner::new(vec![HOST.to_owned()]);
        let mut out = Vec::new();
        cleaner.push(b"Authentication-Results: ", &mut out);
        for _ in 0..99_999 {
            cleaner.push(b"xxxxxxxx", &mut out);
        }
        assert!(cleaner.held.len() <= MAX_FIELD_BYTES + 8 && out.is_empty());
        cleaner.finish(&mut out);
        assert!(out.is_empty() && cleaner.removed() == 1);
    }

    #[test]
    fn our_own_results_are_read() {
        let header = b"Authentication-Results: mx.example; spf=fail\r\nAuthentication-Results: mail.hold.test 1;\r\n\t\
            dkim=pass (ok; really) header.d=a.example header.b=\"x;y\\\"z\";\r\n\tspf=FAIL smtp.mailfrom=a@b.example\r\n";
        let results = read(header, HOST).unwrap();
        assert_eq!(results.len(), 2);
        assert_eq!((results[0].method.as_str(), results[0].result.as_str()), ("dkim", "pass"));
        assert_eq!(results[0].get("header.b"), Some("x;y\"z"));
        assert_eq!((results[1].result.as_str(), results[1].get("smtp.mailfrom")), ("fail", Some("a@b.example")));
        assert_eq!(read(b"Authentication-Results: mail.hold.test; none\r\n", HOST), Some(Vec::new()));
        assert_eq!(read(b"Authentication-Results: mail.hold.test.example; spf=pass\r\n", HOST), None);
        assert_eq!(read(b"Authentication-Results: (mail.hold.test; spf=pass\r\n", HOST), None);
    }
}
