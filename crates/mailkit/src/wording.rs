//! HTML as lines of text: for quoting, and for readers of plain text.
//!
//! Mail uses tables for layout; in text only the order of their contents remains. A cell becomes one or more lines;
//! only a table of figures keeps its rows together. Emphasis is dropped. Link addresses follow their words and are
//! never broken, because a broken address doesn't work.

use crate::css::cascade::{Cascade, Element};
use crate::css::declarations;
use crate::css::sheet::Sheet;

/// Columns of text.
const WIDTH: usize = 76;

/// Longest text of a cell in a table of figures, in characters.
const MAX_CELL: usize = 40;

/// Deepest quoting marked.
const MAX_QUOTE_DEPTH: usize = 10;

/// Elements before and after which a line ends.
const BLOCKS: [&str; 27] = [
    "address",
    "article",
    "aside",
    "caption",
    "center",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "header",
    "hgroup",
    "main",
    "nav",
    "section",
    "summary",
    "table",
    "tbody",
    "tfoot",
    "thead",
    "tr",
    "li",
];

/// Elements before and after which a line is left free.
const PARAGRAPHS: [&str; 11] = ["blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "ul"];

/// Cleaned HTML (its sheet apart) as text.
pub(crate) fn lines(html: &str, sheet: &Sheet) -> String {
    let figures = tables_of_figures(html);
    let mut writer = Writer { figures: figures.into_iter(), ..Writer::new(sheet) };
    for token in tokens(html) {
        match token {
            Token::Text(text) => writer.text(text),
            Token::Start(tag, attributes) => writer.start(tag, attributes),
            Token::End(tag) => writer.end(tag),
        }
    }
    writer.end_line();
    let end = writer.out.trim_end().len();
    writer.out.truncate(end);
    if !writer.out.is_empty() {
        writer.out.push('\n');
    }
    writer.out
}

enum Token<'a> {
    Text(&'a str),
    Start(&'a str, &'a str),
    End(&'a str),
}

/// The tokens of what the cleaner gives, whose tags are written in one way.
fn tokens(html: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = html;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if !rest.starts_with('<') {
            let (text, tail) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
            rest = tail;
            return Some(Token::Text(text));
        }
        let mut quoted = false;
        let end = rest.bytes().position(|b| {
            quoted ^= b == b'"';
            b == b'>' && !quoted
        });
        let (tag, tail) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
        rest = tail;
        let inner = tag.trim_start_matches('<').trim_end_matches('>');
        Some(match inner.strip_prefix('/') {
            Some(name) => Token::End(name),
            None => {
                let (name, attributes) = inner.split_once(' ').unwrap_or((inner, ""));
                Token::Start(name, attributes)
            }
        })
    })
}

fn attribute(attributes: &str, wanted: &str) -> Option<String> {
    let mut rest = attributes;
    while let Some((name, tail)) = rest.split_once("=\"") {
        let (value, tail) = tail.split_once('"')?;
        if name.trim_start() == wanted {
            return Some(unescaped(value));
        }
        rest = tail;
    }
    None
}

fn unescaped(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", " ").replace("&amp;", "&")
}

/// For each table, in order: whether it holds figures in rows and columns rather than a layout.
fn tables_of_figures(html: &str) -> Vec<bool> {
    #[derive(Default)]
    struct Table {
        number: usize,
        rows: usize,
        columns: usize,
        cells_of_row: usize,
        cell: usize,
        longest_cell: usize,
        heads: usize,
        is_layout: bool,
    }
    let mut all = Vec::new();
    let mut open: Vec<Table> = Vec::new();
    for token in tokens(html) {
        match token {
            Token::Start("table", _) => {
                if let Some(outer) = open.last_mut() {
                    outer.is_layout = true;
                }
                open.push(Table { number: all.len(), ..Table::default() });
                all.push(false);
            }
            Token::End("table") => {
                if let Some(table) = open.pop() {
                    let enough = table.rows >= 2 && table.columns >= 2;
                    all[table.number] =
                        enough && !table.is_layout && (table.heads > 0 || table.longest_cell <= MAX_CELL);
                }
            }
            token => {
                let Some(table) = open.last_mut() else { continue };
                match token {
                    Token::Start("tr", _) => {
                        table.rows += 1;
                        table.cells_of_row = 0;
                    }
                    Token::Start(cell @ ("td" | "th"), _) => {
                        table.cells_of_row += 1;
                        table.columns = table.columns.max(table.cells_of_row);
                        table.cell = 0;
                        table.heads += usize::from(cell == "th");
                    }
                    Token::Start("img" | "ul" | "ol" | "h1" | "h2" | "h3" | "h4" | "blockquote" | "pre" | "hr", _) => {
                        table.is_layout = true;
                    }
                    Token::Start("p" | "div" | "br", _) if table.cell > 0 => table.is_layout = true,
                    Token::Text(text) => {
                        table.cell += text.trim().chars().count();
                        table.longest_cell = table.longest_cell.max(table.cell);
                    }
                    _ => {}
                }
            }
        }
    }
    all
}

struct Writer<'s> {
    cascade: Cascade<'s>,
    figures: std::vec::IntoIter<bool>,
    out: String,
    /// What is on the line so far, and the links on it: where their words begin and end, and where they lead.
    line: String,
    links: Vec<(usize, usize, String)>,
    /// Within words of a link: where they began.
    link: Option<(usize, String)>,
    /// A free line is due before what comes next.
    gap: bool,
    /// Stands before the first line of an item.
    bullet: Option<String>,
    elements: Vec<Element>,
    /// The same elements: whether hidden, and whether a table of figures.
    open: Vec<(bool, bool)>,
    lists: Vec<Option<usize>>,
    quotes: usize,
    preformatted: usize,
}

impl<'s> Writer<'s> {
    fn new(sheet: &'s Sheet) -> Self {
        Self {
            cascade: Cascade::of(sheet),
            figures: Vec::new().into_iter(),
            out: String::new(),
            line: String::new(),
            links: Vec::new(),
            link: None,
            gap: false,
            bullet: None,
            elements: Vec::new(),
            open: Vec::new(),
            lists: Vec::new(),
            quotes: 0,
            preformatted: 0,
        }
    }

    fn is_hidden(&self) -> bool {
        self.open.last().is_some_and(|(hidden, _)| *hidden)
    }

    /// Whether the innermost table holds figures.
    fn in_figures(&self) -> bool {
        let table = self.elements.iter().rposition(|element| element.tag == "table");
        table.is_some_and(|at| self.open[at].1)
    }

    fn text(&mut self, text: &str) {
        if self.is_hidden() {
            return;
        }
        let text = unescaped(text);
        if self.preformatted > 0 {
            let mut lines = text.split('\n');
            self.line.push_str(lines.next().unwrap_or_default());
            for line in lines {
                self.put_line();
                self.line.push_str(line);
            }
            return;
        }
        for c in text.chars() {
            match c {
                // What newsletters fill their hidden beginnings with.
                '\u{ad}' | '\u{34f}' | '\u{200b}' | '\u{feff}' | '\u{2007}' => {}
                c if c.is_whitespace() || c == '\u{a0}' => {
                    if !self.line.is_empty() && !self.line.ends_with(' ') {
                        self.line.push(' ');
                    }
                }
                c => self.line.push(c),
            }
        }
    }

    fn start(&mut self, tag: &str, attributes: &str) {
        match tag {
            "br" => return self.put_line(),
            "hr" => {
                self.end_line();
                self.line.push_str("----------");
                return self.end_line();
            }
            "img" => return self.picture(attributes),
            "area" | "col" | "wbr" | "input" => return,
            _ => {}
        }
        let classes = attribute(attributes, "class").unwrap_or_default();
        self.elements.push(Element {
            tag: tag.to_owned(),
            id: attribute(attributes, "id").unwrap_or_default(),
            classes: classes.split_ascii_whitespace().map(str::to_owned).collect(),
        });
        let sheet = self.cascade.sheet_looks(&self.elements).hidden;
        let style = attribute(attributes, "style").and_then(|style| declarations::of_attribute(&style).hidden);
        let hidden = self.is_hidden() || style.or(sheet).unwrap_or(false) || attribute(attributes, "hidden").is_some();
        let figures = tag == "table" && self.figures.next().unwrap_or(false);
        self.open.push((hidden, figures));
        if hidden {
            return;
        }
        match tag {
            "td" | "th" if self.in_figures() => {
                if !self.line.trim().is_empty() {
                    self.line.push_str("  ");
                }
                return;
            }
            "td" | "th" => self.end_line(),
            "a" => {
                let href = attribute(attributes, "href").unwrap_or_default();
                self.link = Some((self.line.len(), href));
            }
            "ul" => self.lists.push(None),
            "ol" => self.lists.push(Some(attribute(attributes, "start").and_then(|n| n.parse().ok()).unwrap_or(1))),
            _ => {}
        }
        self.block(tag);
        match tag {
            "li" => {
                let depth = self.lists.len().saturating_sub(1).min(8);
                let mark = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "- ".to_owned(),
                };
                self.bullet = Some(format!("{}{mark}", "  ".repeat(depth)));
            }
            "blockquote" => self.quotes += 1,
            "pre" => self.preformatted += 1,
            _ => {}
        }
    }

    fn end(&mut self, tag: &str) {
        let Some(at) = self.elements.iter().rposition(|element| element.tag == tag) else { return };
        let hidden = self.is_hidden();
        if !hidden {
            match tag {
                "a" => self.end_link(),
                "td" | "th" if !self.in_figures() => self.end_line(),
                "pre" => {
                    self.end_line();
                    self.preformatted = self.preformatted.saturating_sub(1);
                }
                _ => {}
            }
            self.block(tag);
            match tag {
                "blockquote" => self.quotes = self.quotes.saturating_sub(1),
                "ul" | "ol" => {
                    self.lists.pop();
                }
                _ => {}
            }
        }
        self.elements.truncate(at);
        self.open.truncate(at);
    }

    fn block(&mut self, tag: &str) {
        let is_paragraph = PARAGRAPHS.contains(&tag) && !(matches!(tag, "ul" | "ol") && self.lists.len() > 1);
        if is_paragraph || BLOCKS.contains(&tag) {
            self.end_line();
        }
        self.gap |= is_paragraph && !self.out.is_empty();
    }

    /// What the writer gave for those who don't see the picture.
    fn picture(&mut self, attributes: &str) {
        if self.is_hidden() {
            return;
        }
        let alt = attribute(attributes, "alt").unwrap_or_default();
        let alt = alt.split_whitespace().collect::<Vec<_>>().join(" ");
        if !alt.is_empty() {
            if self.link.is_some() {
                self.line.push_str(&alt);
            } else {
                self.line.push_str(&format!("[{alt}]"));
            }
        }
    }

    fn end_link(&mut self) {
        let Some((start, href)) = self.link.take() else { return };
        let start = start.min(self.line.len());
        let words = self.line[start..].trim();
        let bare = |text: &str| {
            let text = text.trim_end_matches('/');
            let schemes = ["https://", "http://", "mailto:", "tel:"];
            schemes.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text).to_lowercase()
        };
        if href.is_empty() || (words.is_empty() && href.starts_with("mailto:")) || bare(words) == bare(&href) {
            return;
        }
        let end = start + self.line[start..].trim_end().len();
        self.links.push((start, end, href));
    }

    /// Ends the line if there is anything on it.
    fn end_line(&mut self) {
        if let Some((start, href)) = self.link.take() {
            // The link goes on over lines: its address stands behind the last of its words.
            let has_words = start < self.line.trim_end().len();
            self.link = Some((0, href));
            if has_words && self.line.trim().is_empty() {
                self.line.clear();
            }
        }
        if self.line.trim().is_empty() && self.links.is_empty() {
            self.line.clear();
            return;
        }
        self.put_line();
    }

    /// Writes the line, which may be empty, with the addresses of its links.
    fn put_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let links = std::mem::take(&mut self.links);
        if let Some((start, _)) = &mut self.link {
            *start = 0;
        }
        if self.gap && !self.out.is_empty() {
            self.put("", "");
        }
        self.gap = false;
        let first = self.bullet.take().unwrap_or_default();
        let next = " ".repeat(first.len());
        if self.preformatted > 0 {
            return self.put(&first, line.trim_end());
        }
        let words = line.trim();
        // A button, alone on its line: its address gets the line below.
        if let [(start, end, href)] = links.as_slice()
            && line[..*start].trim().is_empty()
            && line[*end..].trim().is_empty()
        {
            if !words.is_empty() {
                self.wrapped(&first, &next, words);
            }
            return self.put(if words.is_empty() { &first } else { &next }, &format!("<{href}>"));
        }
        let mut whole = String::new();
        let mut done = 0;
        for (_, end, href) in links {
            let end = end.clamp(done, line.len());
            whole.push_str(&line[done..end]);
            whole.push_str(if whole.is_empty() || whole.ends_with(' ') { "" } else { " " });
            whole.push_str(&format!("<{href}>"));
            done = end;
        }
        whole.push_str(&line[done..]);
        if self.in_figures() { self.put(&first, whole.trim()) } else { self.wrapped(&first, &next, whole.trim()) }
    }

    fn wrapped(&mut self, first: &str, next: &str, text: &str) {
        let mut line = String::new();
        let mut columns = 0;
        let mut indent = first;
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let length = word.chars().count();
            if columns > 0 && indent.len() + columns + 1 + length > WIDTH {
                self.put(indent, &std::mem::take(&mut line));
                columns = 0;
                indent = next;
            }
            if columns > 0 {
                line.push(' ');
                columns += 1;
            }
            line.push_str(word);
            columns += length;
        }
        self.put(indent, &line);
    }

    fn put(&mut self, indent: &str, line: &str) {
        // Not more than one free line.
        if line.is_empty()
            && indent.is_empty()
            && (self.out.is_empty() || self.out.ends_with("\n\n"))
            && self.preformatted == 0
        {
            return;
        }
        for _ in 0..self.quotes.min(MAX_QUOTE_DEPTH) {
            self.out.push('>');
        }
        if self.quotes > 0 && !line.is_empty() {
            self.out.push(' ');
        }
        self.out.push_str(indent);
        self.out.push_str(line);
        self.out.push('\n');
    }
}
