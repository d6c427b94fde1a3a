//! Tolerant parser for address lists in received header fields (RFC 5322 section 3.4 with its obsolete forms, and
//! worse).
//!
//! Its rules, in this order: `<...>` is the address, and the text before it is the name, whatever it contains, back to
//! the last complete entry; an encoded-word or a quoted string is one token; a colon starts a group only if its `;`
//! exists; without `<...>` the part with an `@` is the address. An entry without a recognizable address keeps its text,
//! without a host.

mod lexer;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::parsed::Address;
use crate::words::decode_text;
pub(crate) use lexer::{Kind, Origin, Token, scheme, tokens};

/// Reads an unfolded address-list value onto `out`, until `max` addresses are in it. Returns false if that cut it.
///
/// Names and local parts lose their quotes and escapes but stay otherwise raw. An entry without `@` becomes an address
/// with an empty host. Semicolons outside a group separate entries too, as people type them.
pub(crate) fn read(value: &[u8], out: &mut Vec<Address>, max: usize) -> bool {
    read_nested(value, out, max, false)
}

fn read_nested(value: &[u8], out: &mut Vec<Address>, max: usize, nested: bool) -> bool {
    let (tokens, complete) = tokens(value, Origin::Field);
    let last_semicolon = tokens.iter().rposition(|token| token.kind == Kind::Semicolon);
    let mut reader = Reader { value, tokens: &tokens, out, max, full: false, start: 0, in_group: false, nested };
    reader.run(last_semicolon);
    complete && !reader.full
}

struct Reader<'a> {
    value: &'a [u8],
    tokens: &'a [Token],
    out: &'a mut Vec<Address>,
    max: usize,
    /// Something was left out.
    full: bool,
    /// The first token that belongs to no entry yet: text without an address may turn out to be the beginning of a name.
    start: usize,
    in_group: bool,
    /// The value is the decoded text of an entry: it is not decoded a second time.
    nested: bool,
}

impl Reader<'_> {
    fn run(&mut self, last_semicolon: Option<usize>) {
        let (mut piece, mut addressed) = (0, false);
        for at in 0..self.tokens.len() {
            match self.tokens[at].kind {
                Kind::At | Kind::Angle { .. } => addressed = true,
                Kind::Comma => {
                    self.piece(piece, at);
                    (piece, addressed) = (at + 1, false);
                }
                Kind::Semicolon => {
                    self.piece(piece, at);
                    (piece, addressed) = (at + 1, false);
                    if self.in_group {
                        self.flush(at);
                        self.start = piece;
                        self.end_group();
                    }
                }
                Kind::Colon if !addressed && !self.in_group && self.begins_group(piece, at, last_semicolon) => {
                    self.flush(piece);
                    let name = self.phrase(piece, at).unwrap_or_default();
                    self.push(Address { mailbox: Some(name), ..Address::default() });
                    self.in_group = true;
                    piece = at + 1;
                    self.start = piece;
                }
                _ => {}
            }
            if self.full {
                return;
            }
        }
        self.piece(piece, self.tokens.len());
        self.flush(self.tokens.len());
        self.end_group();
    }

    /// A colon behind a name begins a group if the group has an end, or nothing is in it (`undisclosed-recipients:`).
    fn begins_group(&self, piece: usize, at: usize, last_semicolon: Option<usize>) -> bool {
        let ends = last_semicolon.is_some_and(|end| end > at) || at + 1 == self.tokens.len();
        ends && !self.is_scheme(piece, at)
    }

    /// Whether the colon at `at` is that of `mailto:`.
    fn is_scheme(&self, from: usize, at: usize) -> bool {
        let text = |at: usize| self.tokens[at].raw(self.value);
        at == from + 1 && scheme(&[text(from), text(at)].concat()).is_some()
    }

    fn end_group(&mut self) {
        if std::mem::take(&mut self.in_group) {
            self.push(Address::default());
        }
    }

    /// What is between two separators.
    fn piece(&mut self, from: usize, to: usize) {
        if from >= to {
            if self.start == from {
                self.start = to + 1;
            }
            return;
        }
        let angles = || (from..to).filter(|at| matches!(self.tokens[*at].kind, Kind::Angle { .. }));
        let usable: Vec<usize> = angles().filter(|at| self.angle(*at).is_some_and(|found| found.has_host())).collect();
        if usable.is_empty() {
            let last = angles().next_back();
            self.without_usable_angle(from, to, last);
            return;
        }
        for (number, &at) in usable.iter().enumerate() {
            let found = self.angle(at);
            let end = usable.get(number + 1).copied().unwrap_or(to);
            let name = self.phrase(self.start, at).or_else(|| self.comment(self.start, end));
            let again = name.is_none() && self.start > from;
            self.start = at + 1;
            if let Some(found) = found
                && !(again && self.out.last().is_some_and(|last| last.mailbox.as_ref() == Some(&found.local)))
            {
                self.push(found.named(name));
            }
        }
        // What follows the last address means nothing that could be shown, unless it is an address that lacks its comma.
        if let [only] = self.clusters(self.start, to).as_slice()
            && only.is_address
        {
            self.bare(only.from, only.to, None);
        }
        self.start = to + 1;
    }

    /// A piece that has no `<...>`, or nothing that is an address in it (`last`).
    fn without_usable_angle(&mut self, from: usize, to: usize, last: Option<usize>) {
        let clusters = self.clusters(from, last.unwrap_or(to));
        let addresses: Vec<usize> = (0..clusters.len()).filter(|at| clusters[*at].is_address).collect();
        match (addresses.as_slice(), last) {
            ([], Some(angle)) => {
                if let Some(hidden) = self.hidden(from, angle) {
                    self.flush(from);
                    for address in hidden {
                        self.push(address);
                    }
                } else if let Some(found) = self.angle(angle) {
                    let name = self.phrase(self.start, angle).or_else(|| self.comment(self.start, to));
                    if !(found.local.is_empty() && name.is_none()) {
                        self.push(found.named(name));
                    }
                }
                self.start = to + 1;
            }
            // Without any address: perhaps it is inside a token, else the next piece tells.
            ([], None) => {
                if let Some(hidden) = self.hidden(from, to) {
                    self.flush(from);
                    for address in hidden {
                        self.push(address);
                    }
                    self.start = to + 1;
                }
            }
            // Names without brackets around the address: what is before it is the name, even if it has an @ itself.
            (found, _) => {
                let only_addresses = found.len() == clusters.len();
                let Some(&end) = found.last() else { return };
                let (start, address) = (clusters[0].from, &clusters[end]);
                if only_addresses || end == 0 {
                    self.flush(from);
                    let after = if only_addresses { last.unwrap_or(to) } else { address.to };
                    let name = self.phrase(after, last.unwrap_or(to)).or_else(|| self.angle_text(last));
                    let name = name.or_else(|| self.comment(from, to)).filter(|_| found.len() == 1);
                    for &at in found {
                        self.bare(clusters[at].from, clusters[at].to, name.clone());
                    }
                } else {
                    let name = self.phrase(self.start.min(start), address.from);
                    self.bare(address.from, address.to, name);
                }
                self.start = to + 1;
            }
        }
    }

    /// The content of `<...>` as a name, where the address is elsewhere.
    fn angle_text(&self, angle: Option<usize>) -> Option<Vec<u8>> {
        self.angle(angle?).map(|found| found.local).filter(|text| !text.is_empty())
    }

    /// Runs of tokens without white space between them, or with nothing but that around a dot or an `@`.
    fn clusters(&self, from: usize, to: usize) -> Vec<Cluster> {
        let is_tight = |at: usize| !self.tokens[at].spaced && self.tokens.get(at + 1).is_some_and(|next| !next.spaced);
        let is_at = |at: usize| self.tokens[at].kind == Kind::At;
        // "Jane @ Work jane@example.org": an @ that stands alone is one only if no other is there.
        let tight = (from..to).any(|at| is_at(at) && is_tight(at));
        let mut clusters: Vec<Cluster> = Vec::new();
        let mut ended = true;
        for at in from..to {
            let token = &self.tokens[at];
            match token.kind {
                Kind::Comment => continue,
                Kind::Colon | Kind::Stray => {
                    if token.kind == Kind::Colon && clusters.last().is_some_and(|last| self.is_scheme(last.from, at)) {
                        clusters.pop();
                    }
                    ended = true;
                    continue;
                }
                _ => {}
            }
            let joins_at = is_at(at) && (!tight || is_tight(at));
            let last = clusters.last_mut().filter(|_| !ended);
            let dotted = token.raw(self.value).starts_with(b".")
                || last.as_ref().is_some_and(|last| self.tokens[last.to - 1].raw(self.value).ends_with(b"."));
            let after_at = last.as_ref().is_some_and(|last| last.open);
            ended = false;
            match last {
                Some(last) if joins_at || after_at || !token.spaced || dotted => {
                    last.to = at + 1;
                    last.is_address |= joins_at;
                    last.open = joins_at;
                }
                _ => clusters.push(Cluster { from: at, to: at + 1, is_address: joins_at, open: joins_at }),
            }
        }
        // An @ with nothing on one side is none.
        for cluster in &mut clusters {
            cluster.is_address &= cluster.to - cluster.from > 2 && !is_at(cluster.from) && !is_at(cluster.to - 1);
        }
        clusters
    }

    fn bare(&mut self, from: usize, to: usize, name: Option<Vec<u8>>) {
        let found = Found::of(self.value, &self.tokens[from..to]);
        let name = name.or_else(|| self.comment(from, to));
        self.push(found.named(name));
    }

    /// The address in `<...>`.
    fn angle(&self, at: usize) -> Option<Found> {
        let Kind::Angle { inner: (from, to), .. } = self.tokens[at].kind else { return None };
        Some(Found::in_brackets(&self.value[from..to]))
    }

    /// Addresses that are inside an encoded-word, a quoted string or a comment, where nothing else is an address.
    fn hidden(&self, from: usize, to: usize) -> Option<Vec<Address>> {
        if self.nested {
            return None;
        }
        let text = decode_text(&self.phrase(from, to).unwrap_or_default());
        let comment = self.comment(from, to).map(|comment| decode_text(&comment)).unwrap_or_default();
        let (text, name) = match (text.contains('@'), comment.contains('@')) {
            (true, _) => (text, None),
            (_, true) => (comment, self.phrase(from, to)),
            _ => return None,
        };
        let mut found = Vec::new();
        read_nested(text.as_bytes(), &mut found, self.max, true);
        found.retain(|address| address.host.as_ref().is_some_and(|host| !host.is_empty()));
        for address in &mut found {
            address.name = address.name.take().map(|name| encoded(&name)).or_else(|| name.clone());
        }
        (!found.is_empty()).then_some(found)
    }

    /// Entries that stayed without an address, up to a token.
    fn flush(&mut self, to: usize) {
        let is_separator = |token: &Token| matches!(token.kind, Kind::Comma | Kind::Semicolon);
        let mut from = self.start;
        while from < to {
            let end = (from..to).find(|at| is_separator(&self.tokens[*at])).unwrap_or(to);
            if let Some(text) = self.phrase(from, end).filter(|text| text != b"@") {
                let name = self.comment(from, end);
                self.push(Address { name, mailbox: Some(text), host: Some(Vec::new()), route: None });
            }
            from = end + 1;
        }
        self.start = self.start.max(to);
    }

    /// Tokens as a name.
    fn phrase(&self, from: usize, to: usize) -> Option<Vec<u8>> {
        let mut out: Vec<u8> = Vec::new();
        for token in &self.tokens[from..to] {
            let is_shown = match token.kind {
                Kind::Comment => false,
                Kind::Stray => token.raw(self.value) != b"\"",
                _ => true,
            };
            if is_shown {
                if token.spaced && !out.is_empty() {
                    out.push(b' ');
                }
                out.extend_from_slice(&token.text(self.value));
            }
        }
        let is_edge = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b';');
        let start = out.iter().position(|byte| !is_edge(byte))?;
        let end = out.iter().rposition(|byte| !is_edge(byte))?;
        Some(out[start..=end].to_vec())
    }

    /// The last comment: the display name of `a@b (Name)`.
    fn comment(&self, from: usize, to: usize) -> Option<Vec<u8>> {
        let comments = self.tokens[from..to].iter().rev().filter(|token| token.kind == Kind::Comment);
        comments.map(|token| token.text(self.value).into_owned()).find(|text| !text.is_empty())
    }

    fn push(&mut self, address: Address) {
        if self.out.len() >= self.max {
            self.full = true;
        } else {
            self.out.push(address);
        }
    }
}

/// Some tokens of an entry that belong together.
struct Cluster {
    from: usize,
    to: usize,
    is_address: bool,
    /// Its last token is an `@`.
    open: bool,
}

/// An address without its name.
struct Found {
    route: Option<Vec<u8>>,
    local: Vec<u8>,
    host: Vec<u8>,
}

impl Found {
    /// From tokens with an `@` among them, the last of which counts; else the local part only.
    fn of(value: &[u8], tokens: &[Token]) -> Self {
        let at = tokens.iter().rposition(|token| token.kind == Kind::At);
        let (local, host) = match at {
            Some(at) => (joined(value, &tokens[..at]), joined(value, &tokens[at + 1..])),
            None => (joined(value, tokens), Vec::new()),
        };
        // Outlook puts addresses into apostrophes.
        if let ([b'\'', local @ ..], [host @ .., b'\'']) = (local.as_slice(), host.as_slice()) {
            return Self { route: None, local: local.to_vec(), host: host.to_vec() };
        }
        Self { route: None, local, host }
    }

    fn in_brackets(inner: &[u8]) -> Self {
        let inner = inner.trim_ascii();
        let inner = scheme(inner).unwrap_or(inner);
        let (mut tokens, _) = tokens(inner, Origin::Field);
        let mut route = None;
        let is_at = |token: &Token| token.kind == Kind::At;
        if tokens.first().is_some_and(is_at)
            && let Some(end) = tokens.iter().position(|token| token.kind == Kind::Colon)
        {
            let hops: Vec<u8> = tokens[..end].iter().flat_map(|token| token.text(inner).into_owned()).collect();
            route = Some(hops);
            tokens.drain(..=end);
        }
        Self { route, ..Self::of(inner, &tokens) }
    }

    fn has_host(&self) -> bool {
        !self.host.is_empty()
    }

    fn named(self, name: Option<Vec<u8>>) -> Address {
        Address { name, route: self.route, mailbox: Some(self.local), host: Some(self.host) }
    }
}

/// Tokens of a local part or domain: white space around dots is none (RFC 5322 section 4.4), other stays.
fn joined(value: &[u8], tokens: &[Token]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for token in tokens.iter().filter(|token| token.kind != Kind::Comment) {
        let text = token.text(value);
        if token.spaced && !out.is_empty() && !out.ends_with(b".") && !text.starts_with(b".") {
            out.push(b' ');
        }
        out.extend_from_slice(&text);
    }
    out
}

/// A name as it may be in a header: in encoded-words if it is not ASCII (RFC 2047).
fn encoded(name: &[u8]) -> Vec<u8> {
    /// Bytes of UTF-8 that one encoded-word holds.
    const WORD_BYTES: usize = 42;
    if name.is_ascii() {
        return name.to_vec();
    }
    let text = String::from_utf8_lossy(name);
    let mut rest: &str = &text;
    let mut words = Vec::new();
    while !rest.is_empty() {
        let (word, tail) = rest.split_at(rest.floor_char_boundary(WORD_BYTES));
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
        rest = tail;
    }
    words.join(" ").into_bytes()
}
