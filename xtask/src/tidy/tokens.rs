//! Rust source as words and signs, each with its line: enough to find paths, items, braces and parameters, and safe from
//! what stands in comments, strings and characters.

/// A word (identifier, keyword or number), a sign, or a string of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// A word as it stands (`r#` taken off); one sign; `"` for a string or character of any kind.
    pub text: String,
    /// Its first line, from 1.
    pub line: usize,
}

impl Token {
    /// Whether it is this word or sign.
    pub fn is(&self, text: &str) -> bool {
        self.text == text
    }

    /// Whether it is a name or keyword.
    pub fn is_word(&self) -> bool {
        self.text.chars().next().is_some_and(is_word_start)
    }
}

/// The tokens of a source text. `::`, `->` and `=>` are one each, so that their `>` closes nothing; all other signs stand alone.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut scan = Scan { chars: source.chars().collect(), at: 0, line: 1, found: Vec::new() };
    while scan.at < scan.chars.len() {
        scan.step();
    }
    scan.found
}

struct Scan {
    chars: Vec<char>,
    at: usize,
    line: usize,
    found: Vec<Token>,
}

impl Scan {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn skip(&mut self, count: usize) {
        let end = (self.at + count).min(self.chars.len());
        self.line += self.chars[self.at..end].iter().filter(|c| **c == '\n').count();
        self.at = end;
    }

    fn push(&mut self, text: impl Into<String>, line: usize) {
        self.found.push(Token { text: text.into(), line });
    }

    fn step(&mut self) {
        let (c, next) = (self.peek(0), self.peek(1));
        let line = self.line;
        match c {
            _ if c.is_whitespace() => self.skip(1),
            '/' if next == '/' => {
                while self.at < self.chars.len() && self.peek(0) != '\n' {
                    self.skip(1);
                }
            }
            '/' if next == '*' => self.block_comment(),
            '"' => self.string(0),
            '\'' => self.quote(),
            _ if is_word_start(c) || c.is_ascii_digit() => self.word(),
            ':' | '-' | '=' if matches!((c, next), (':', ':') | ('-' | '=', '>')) => {
                self.push([c, next].iter().collect::<String>(), line);
                self.skip(2);
            }
            _ => {
                self.push(c, line);
                self.skip(1);
            }
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    self.skip(1);
                    continue;
                }
            }
            self.skip(2);
            if depth == 0 {
                return;
            }
        }
    }

    /// An ordinary string, from its quote on; `before` counts the letters of its prefix (`b"`, `c"`).
    fn string(&mut self, before: usize) {
        let line = self.line;
        self.skip(before + 1);
        while self.at < self.chars.len() && self.peek(0) != '"' {
            self.skip(if self.peek(0) == '\\' { 2 } else { 1 });
        }
        self.skip(1);
        self.push('"', line);
    }

    /// `r"…"`, `r#"…"#`, also with `b` or `c` before: `before` counts what stands before the hashes.
    fn raw_string(&mut self, before: usize, hashes: usize) {
        let line = self.line;
        self.skip(before + hashes + 1);
        while self.at < self.chars.len() {
            if self.peek(0) == '"' && (1..=hashes).all(|n| self.peek(n) == '#') {
                break;
            }
            self.skip(1);
        }
        self.skip(1 + hashes);
        self.push('"', line);
    }

    /// A character or a lifetime.
    fn quote(&mut self) {
        let line = self.line;
        if self.peek(1) == '\\' {
            self.skip(3);
            while self.at < self.chars.len() && self.peek(0) != '\'' {
                self.skip(1);
            }
            self.skip(1);
        } else if self.peek(2) == '\'' {
            self.skip(3);
        } else {
            // A lifetime: its name says nothing here.
            self.skip(1);
            while is_word_start(self.peek(0)) || self.peek(0).is_ascii_digit() {
                self.skip(1);
            }
            return;
        }
        self.push('"', line);
    }

    fn word(&mut self) {
        let (line, start) = (self.line, self.at);
        let mut end = start;
        while self.chars.get(end).is_some_and(|c| is_word_start(*c) || c.is_ascii_digit()) {
            end += 1;
        }
        let word: String = self.chars[start..end].iter().collect();
        let hashes = self.chars[end..].iter().take_while(|c| **c == '#').count();
        let then = self.chars.get(end + hashes).copied().unwrap_or('\0');
        match word.as_str() {
            "r" | "br" | "cr" if then == '"' => self.raw_string(end - start, hashes),
            "b" | "c" if hashes == 0 && then == '"' => self.string(1),
            "b" if hashes == 0 && then == '\'' => {
                self.skip(1);
                self.quote();
            }
            // A raw name (`r#type`).
            "r" if hashes == 1 && is_word_start(then) => self.skip(2),
            _ => {
                self.skip(end - start);
                self.push(word, line);
            }
        }
    }
}

fn is_word_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

/// Where the bracket that opens at `open` closes; the end if it never does.
pub(super) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// The tokens without the items under `#[cfg(test)]`: they are not in the program. Modules declared so are left out with them.
pub(super) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].is("#") && tokens.get(at + 1).is_some_and(|token| token.is("[")) {
            let end = closing(tokens, at + 1);
            if is_test_only(&tokens[at + 2..end]) {
                at = end_of_item(tokens, end + 1);
                continue;
            }
        }
        kept.push(tokens[at].clone());
        at += 1;
    }
    kept
}

/// Whether what stands in an attribute's brackets is a `cfg` that only tests have.
fn is_test_only(attribute: &[Token]) -> bool {
    let words: Vec<&str> = attribute.iter().map(|token| token.text.as_str()).collect();
    words == ["cfg", "(", "test", ")"] || words.starts_with(&["cfg", "(", "all", "(", "test", ","])
}

/// The token after the item that begins at `start`, its other attributes included.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut at = start;
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            ";" => return at + 1,
            "{" => {
                let end = closing(tokens, at) + 1;
                // `use a::{…};` and `const X: T = T { … };` go on; a function or module ends here.
                return if tokens.get(end).is_some_and(|token| token.is(";")) { end + 1 } else { end };
            }
            "(" | "[" => at = closing(tokens, at) + 1,
            _ => at += 1,
        }
    }
    at
}
