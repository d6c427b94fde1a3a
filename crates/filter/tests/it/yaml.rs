//! As much of YAML as the public suites are written in. What it does not know it refuses.

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub enum Yaml {
    Text(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    /// The documents of a file.
    pub fn documents(text: &str) -> Vec<Self> {
        let mut documents = vec![Vec::new()];
        for line in text.lines() {
            if line.trim_end() == "---" {
                documents.push(Vec::new());
            } else {
                documents.last_mut().unwrap().push(line);
            }
        }
        let has_text = |lines: &Vec<&str>| lines.iter().any(|line| !is_blank(line));
        let read = |lines: Vec<&str>| Reader { lines, at: 0 }.node(0);
        documents.into_iter().filter(has_text).map(read).collect()
    }

    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    pub fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Map(entries) => entries,
            other => panic!("no map: {other:?}"),
        }
    }

    /// The items of a list, or the one thing that is none.
    pub fn items(&self) -> Vec<&Self> {
        match self {
            Self::List(items) => items.iter().collect(),
            other => vec![other],
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            other => panic!("no text: {other:?}"),
        }
    }
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> Option<&'a str> {
        while self.lines.get(self.at).is_some_and(|line| is_blank(line)) {
            self.at += 1;
        }
        self.lines.get(self.at).copied()
    }

    /// What begins at the next line, if it is indented by at least so much.
    fn node(&mut self, least: usize) -> Yaml {
        let Some(line) = self.peek().filter(|line| indent(line) >= least) else { return Yaml::Text(String::new()) };
        let depth = indent(line);
        if line.trim_start().starts_with("- ") || line.trim() == "-" { self.list(depth) } else { self.map(depth) }
    }

    fn list(&mut self, depth: usize) -> Yaml {
        let mut items = Vec::new();
        while let Some(line) = self.peek().filter(|line| indent(line) == depth) {
            let Some(rest) = line.trim_start().strip_prefix('-') else { break };
            let inner = rest.trim_start();
            if split_key(inner).is_some() && !inner.starts_with(['"', '\'', '[', '{']) {
                // A map whose first entry stands behind the dash.
                let column = line.len() - inner.len();
                let blanks: &'static str = " ".repeat(column).leak();
                self.lines[self.at] = format!("{blanks}{inner}").leak();
                items.push(self.map(column));
            } else {
                self.at += 1;
                items.push(self.value(inner, depth));
            }
        }
        Yaml::List(items)
    }

    fn map(&mut self, depth: usize) -> Yaml {
        let mut entries = Vec::new();
        while let Some(line) = self.peek().filter(|line| indent(line) == depth) {
            let Some((key, rest)) = split_key(line.trim_start()) else { panic!("no key: {line}") };
            self.at += 1;
            let value = self.value(rest, depth);
            entries.push((key, value));
        }
        Yaml::Map(entries)
    }

    /// What stands behind a key or dash of that depth.
    fn value(&mut self, rest: &str, depth: usize) -> Yaml {
        let rest = rest.trim();
        match rest {
            "|" => return Yaml::Text(self.block(depth, "\n") + "\n"),
            ">" | ">-" => return Yaml::Text(self.block(depth, " ")),
            "" => {
                // A list may stand as deep as its key.
                return match self.peek() {
                    Some(line) if indent(line) == depth && line.trim_start().starts_with("- ") => self.list(depth),
                    _ => self.node(depth + 1),
                };
            }
            _ => {}
        }
        let mut whole = rest.to_owned();
        while !is_closed(&whole) || self.goes_on(depth) {
            whole = format!("{} {}", without_comment(&whole), self.lines[self.at].trim());
            self.at += 1;
        }
        flow(whole.trim())
    }

    fn goes_on(&mut self, depth: usize) -> bool {
        self.lines.get(self.at).is_some_and(|line| !is_blank(line) && indent(line) > depth)
    }

    fn block(&mut self, depth: usize, glue: &str) -> String {
        let mut lines = Vec::new();
        while let Some(line) = self.lines.get(self.at) {
            if !line.trim().is_empty() && indent(line) <= depth {
                break;
            }
            lines.push(*line);
            self.at += 1;
        }
        while lines.last().is_some_and(|line| line.trim().is_empty()) {
            lines.pop();
        }
        let first = lines.iter().find(|line| !line.trim().is_empty()).map_or(0, |line| indent(line));
        let cut: Vec<&str> = lines.iter().map(|line| line.get(first..).unwrap_or_default()).collect();
        cut.join(glue)
    }
}

fn split_key(line: &str) -> Option<(String, &str)> {
    if let Some(quoted) = line.strip_prefix('"') {
        let (key, rest) = quoted.split_once('"')?;
        return Some((key.to_owned(), rest.trim_start().strip_prefix(':')?));
    }
    match line.split_once(": ") {
        Some((key, rest)) => Some((key.trim().to_owned(), rest)),
        None => line.strip_suffix(':').map(|key| (key.to_owned(), "")),
    }
}

/// Whether quotes and brackets that are open at the beginning have ended.
fn is_closed(text: &str) -> bool {
    match text.as_bytes()[0] {
        b'"' => closing_quote(text).is_some(),
        b'\'' => text[1..].contains('\''),
        b'[' => text.contains(']'),
        b'{' => text.contains('}'),
        _ => true,
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '"' => return Some(at),
            _ => {}
        }
    }
    None
}

fn without_comment(text: &str) -> &str {
    if text.starts_with(['"', '\'']) { text } else { text.split(" #").next().unwrap_or_default().trim_end() }
}

/// A value on one line.
fn flow(text: &str) -> Yaml {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix('[') {
        let inner = &inner[..inner.rfind(']').unwrap()];
        return Yaml::List(split_flow(inner).into_iter().map(flow).collect());
    }
    if text.starts_with('"') {
        let end = closing_quote(text).unwrap();
        return Yaml::Text(unescaped(&text[1..end]));
    }
    if let Some(inner) = text.strip_prefix('\'') {
        return Yaml::Text(inner.strip_suffix('\'').unwrap_or(inner).replace("''", "'"));
    }
    assert!(!text.starts_with(['{', '&', '*', '!']), "not known: {text}");
    Yaml::Text(without_comment(text).to_owned())
}

fn split_flow(inner: &str) -> Vec<&str> {
    let (mut pieces, mut from, mut quote) = (Vec::new(), 0, None);
    for (at, c) in inner.char_indices() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (',', None) => {
                pieces.push(&inner[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    if !inner[from..].trim().is_empty() {
        pieces.push(&inner[from..]);
    }
    pieces
}

fn unescaped(text: &str) -> String {
    let (mut out, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next().unwrap() {
            'x' => {
                let digits: String = chars.by_ref().take(2).collect();
                out.push(char::from(u8::from_str_radix(&digits, 16).unwrap()));
            }
            'n' => out.push('\n'),
            't' => out.push('\t'),
            '0' => out.push('\0'),
            c => out.push(c),
        }
    }
    out
}
