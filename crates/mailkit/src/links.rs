//! Web and mail addresses in plain text.
//!
//! One pass: the text behind a trigger (`://`, `@`, `www.`) either becomes part of a link, and is not scanned again, or
//! has a bounded length. So the cost is linear in the text, whatever it contains.

use std::ops::Range;

/// Longest local part and domain looked at around an `@` (RFC 5321 section 4.5.3.1).
const MAX_LOCAL_BYTES: usize = 64;
/// See [`MAX_LOCAL_BYTES`].
const MAX_DOMAIN_BYTES: usize = 255;

/// An address in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it stands.
    pub range: Range<usize>,
    /// What it is.
    pub kind: LinkKind,
}

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// `http://…` or `https://…`.
    Web,
    /// `www.…`, meant as `https://www.…`.
    WithoutScheme,
    /// `local@domain`.
    Mail,
}

/// The addresses in a text, in order.
pub fn links(text: &str) -> Links<'_> {
    Links { text, at: 0, done: 0, looked_at: 0 }
}

/// See [`links`].
pub struct Links<'a> {
    text: &'a str,
    /// Where the search goes on.
    at: usize,
    /// The end of the link before.
    done: usize,
    /// Bytes looked at, for tests of its cost.
    looked_at: usize,
}

impl Links<'_> {
    /// How many bytes were looked at so far.
    pub fn looked_at(&self) -> usize {
        self.looked_at
    }

    fn around(&mut self, trigger: usize) -> Option<Link> {
        let text = self.text;
        let before = &text.as_bytes()[self.done..trigger];
        match text.as_bytes()[trigger] {
            b':' if text[trigger..].starts_with("://") => {
                let scheme = ["https", "http"].iter().find(|scheme| ends_with(before, scheme))?;
                let end = self.web_end(trigger + 3);
                let range = trigger - scheme.len()..end;
                (end > trigger + 3).then_some(Link { range, kind: LinkKind::Web })
            }
            b'.' if ends_with(before, "www") => {
                let start = trigger - 3;
                let stands_alone = !text.as_bytes()[self.done..start]
                    .last()
                    .is_some_and(|b| b.is_ascii_alphanumeric() || !b.is_ascii() || b"-_.@/=&".contains(b));
                if !stands_alone || !self.has_dot_in_host(trigger + 1) {
                    return None;
                }
                let range = start..self.web_end(trigger + 1);
                Some(Link { range, kind: LinkKind::WithoutScheme })
            }
            b'@' => self.mail(trigger),
            _ => None,
        }
    }

    fn mail(&mut self, at: usize) -> Option<Link> {
        let bytes = self.text.as_bytes();
        let local = bytes[self.done..at].iter().rev().take(MAX_LOCAL_BYTES + 1).take_while(|b| is_local(**b)).count();
        let domain = &bytes[at + 1..bytes.len().min(at + 1 + MAX_DOMAIN_BYTES)];
        let length = domain.iter().take_while(|b| b.is_ascii_alphanumeric() || b"-.".contains(b)).count();
        self.looked_at += local + length;
        let domain = self.text[at + 1..at + 1 + length].trim_end_matches(['.', '-']);
        let named = domain.contains('.') && !domain.starts_with('.');
        ((1..=MAX_LOCAL_BYTES).contains(&local) && named)
            .then(|| Link { range: at - local..at + 1 + domain.len(), kind: LinkKind::Mail })
    }

    fn has_dot_in_host(&mut self, from: usize) -> bool {
        let host = self.text.as_bytes()[from..].iter().take(MAX_DOMAIN_BYTES);
        let host: Vec<u8> =
            host.copied().take_while(|b| b.is_ascii_alphanumeric() || b"-.".contains(b) || !b.is_ascii()).collect();
        self.looked_at += host.len();
        host.windows(3).any(|three| three[0] != b'.' && three[1] == b'.' && three[2] != b'.')
    }

    /// Where the web address ends of which the part from `from` on is to be found out. Punctuation that ends the
    /// sentence, and a bracket that was not opened in it, are not of it.
    fn web_end(&mut self, from: usize) -> usize {
        let rest = &self.text[from..];
        let length = rest.find(ends_address).unwrap_or(rest.len());
        self.looked_at += length;
        let mut link = &rest[..length];
        let count = |c: char| link.matches(c).count();
        let mut unmatched = [count(')').saturating_sub(count('(')), count(']').saturating_sub(count('['))];
        while let Some(last) = link.chars().next_back() {
            let bracket = [')', ']'].iter().position(|c| *c == last);
            match bracket {
                Some(kind) if unmatched[kind] > 0 => unmatched[kind] -= 1,
                None if ".,;:!?'*_-".contains(last) => {}
                _ => break,
            }
            link = &link[..link.len() - last.len_utf8()];
        }
        from + link.len()
    }
}

impl Iterator for Links<'_> {
    type Item = Link;

    fn next(&mut self) -> Option<Link> {
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let Some(found) = memchr::memchr3(b':', b'@', b'.', rest) else {
                self.looked_at += rest.len();
                self.at = self.text.len();
                return None;
            };
            self.looked_at += found + 1;
            let trigger = self.at + found;
            self.at = trigger + 1;
            if let Some(link) = self.around(trigger) {
                self.at = link.range.end.max(self.at);
                self.done = link.range.end;
                return Some(link);
            }
        }
    }
}

fn ends_with(bytes: &[u8], word: &str) -> bool {
    bytes.len() >= word.len() && bytes[bytes.len() - word.len()..].eq_ignore_ascii_case(word.as_bytes())
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._+-".contains(&byte)
}

/// What no web address in a text goes on over: white space, quotes and brackets of sentences (also those of Chinese and
/// Japanese), and what can not be seen.
fn ends_address(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || "<>\"`{}|\\^".contains(c)
        || matches!(
            c,
            '\u{3001}'
                ..='\u{3011}'
                    | '\u{ff01}'
                    | '\u{ff08}'
                    | '\u{ff09}'
                    | '\u{ff0c}'
                    | '\u{ff1a}'
                    | '\u{ff1b}'
                    | '\u{ff1f}'
        )
        || matches!(c, '\u{201c}'..='\u{201e}' | '\u{ab}' | '\u{bb}')
        || crate::visible::is_direction_mark(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        links(text).map(|link| &text[link.range]).collect()
    }

    #[test]
    fn addresses_are_found_without_what_belongs_to_the_sentence() {
        for (text, expected) in [
            (
                "See (https://example.org/a?b=1&c=(2)), then HTTP://x.",
                &["https://example.org/a?b=1&c=(2)", "HTTP://x"][..],
            ),
            ("Look at www.shop.example/b today.", &["www.shop.example/b"]),
            ("WWW.Shop.Example, and (www.a.example).", &["WWW.Shop.Example", "www.a.example"]),
            ("https://www.shop.example/x", &["https://www.shop.example/x"]),
            ("to ann+x@example.org, please", &["ann+x@example.org"]),
            ("mailto:ann@example.org", &["ann@example.org"]),
            ("<https://a.example/b> \"http://c\"", &["https://a.example/b", "http://c"]),
            ("https://a.example/x))) y", &["https://a.example/x"]),
            ("https://en.example/wiki/A_(b)_(c).", &["https://en.example/wiki/A_(b)_(c)"]),
            ("\u{5728}https://a.example/\u{9875}\u{3002}\u{597d}", &["https://a.example/\u{9875}"]),
            ("httphttps://b", &["https://b"]),
            ("http://u:p@host.example/x", &["http://u:p@host.example/x"]),
            ("a@b.cc,c@d.ee", &["a@b.cc", "c@d.ee"]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
        for text in [
            "http://",
            "www.",
            "www.x",
            "wwww.a.b",
            "a@b",
            "@",
            "x@",
            "@x.y",
            "ftp://x",
            "javascript:alert(1)",
            "data:text/html,x",
            "a..b",
            "www..a",
            "x@.a",
        ] {
            assert!(found(text).is_empty(), "{text}: {:?}", found(text));
        }
    }

    #[test]
    fn work_grows_in_proportion_to_the_text_whatever_stands_in_it() {
        let families = [
            "a@b.cc ",
            "http://a ",
            "https://www.a.example/ ",
            "www.a.example ",
            "www.",
            "www",
            "@",
            "a@",
            "@@@.",
            "://",
            "http://",
            "http",
            "http:",
            "person@example.org, ",
            "a.b-c+d_",
            ")",
            "http://a)))",
            "(((http://a",
            ".",
            ":",
            "a@b",
            "x@-.",
            "\u{e9}@",
            "http://\u{e9}",
        ];
        for family in families {
            let cost = |count: usize| {
                let text = family.repeat(count);
                let mut all = links(&text);
                all.by_ref().for_each(drop);
                (all.looked_at(), text.len())
            };
            let (small, small_bytes) = cost(1_000);
            let (large, large_bytes) = cost(64_000);
            // A trigger may look at its surroundings once; nothing looks at all that follows.
            assert!(large <= 400 * large_bytes, "{family}: {large} for {large_bytes}");
            assert!(
                large / large_bytes <= 2 * (small / small_bytes) + 2,
                "{family}: {small}/{small_bytes}, {large}/{large_bytes}"
            );
        }
    }
}
