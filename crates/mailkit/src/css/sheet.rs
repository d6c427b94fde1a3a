//! The content of `<style>`: rules with simple selectors, plain or within `@media`, rewritten.
//!
//! Classes and ids get a prefix, so that they only match elements of the message. Rules for the message's `html` and
//! `body` are applied to the box around its content (see [`crate::html`]).

use std::fmt::Write as _;

use cssparser::{
    AtRuleParser, BasicParseErrorKind, CowRcStr, ParseError, Parser, ParserState, QualifiedRuleParser,
    RuleBodyItemParser, RuleBodyParser, StyleSheetParser, Token,
};

use super::declarations::{self, Declarations};
use super::is_plain_name;
use super::value::is_word;

/// Longest content of all `<style>` elements of a message, in bytes; the rest is cut.
pub(crate) const MAX_SHEET_BYTES: usize = 256 * 1024;

/// Most selectors of a message; rules after them are left out.
const MAX_SELECTORS: usize = 4_000;

/// Most compounds of one selector.
const MAX_COMPOUNDS: usize = 6;

/// Most names and pseudo-classes of one compound.
const MAX_PARTS: usize = 6;

/// Deepest nesting of `@media`.
const MAX_MEDIA: usize = 3;

/// Stands before classes and ids of messages.
pub(crate) const PREFIX: &str = "m-";

/// The element of the box around a message's content.
pub(crate) const ROOT: &str = "main";

/// Pseudo-classes that may stand in a selector.
const PSEUDO: [&str; 12] = [
    "link",
    "visited",
    "hover",
    "active",
    "focus",
    "first-child",
    "last-child",
    "only-child",
    "first-of-type",
    "last-of-type",
    "empty",
    "any-link",
];

/// A cleaned style sheet.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    /// As it may be written.
    pub(crate) css: String,
    /// Addresses that were in it.
    pub(crate) addresses: usize,
    /// Whether it says something of `html` or `body`.
    pub(crate) names_root: bool,
    /// The rules that hold on every screen, in order, for [`super::cascade`].
    pub(crate) rules: Vec<Rule>,
    selectors: usize,
}

/// A rule for [`super::cascade`].
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) selectors: Vec<Selector>,
    pub(crate) declarations: Declarations,
}

/// Compounds from left to right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selector {
    pub(crate) compounds: Vec<(Combinator, Compound)>,
}

/// How a compound is joined to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combinator {
    Descendant,
    Child,
    Next,
    Later,
}

/// Conditions on one element. Names are with their prefix.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Compound {
    pub(crate) element: Option<String>,
    pub(crate) ids: Vec<String>,
    pub(crate) classes: Vec<String>,
    pub(crate) pseudo: Vec<String>,
    any: bool,
}

impl Sheet {
    /// Reads one more `<style>`, which holds for `media`.
    pub(crate) fn add(&mut self, css: &str, media: Option<&str>) {
        let css = &css[..css.floor_char_boundary(MAX_SHEET_BYTES)];
        let media = match media.map(|media| media_of(&mut super::parser(media))) {
            None => None,
            Some(Ok(media)) => Some(media),
            Some(Err(_)) => return,
        };
        let mut out = Out { sheet: self, media: media.into_iter().collect(), css: String::new() };
        let is_plain = out.holds_everywhere();
        for rule in StyleSheetParser::new(&mut super::parser(css), &mut out) {
            let _ = rule;
        }
        let css = out.css;
        match media_text(&out.media) {
            Some(media) if !is_plain && !css.is_empty() => {
                let _ = writeln!(self.css, "@media {media} {{\n{css}}}");
            }
            _ => self.css.push_str(&css),
        }
    }
}

fn media_text(media: &[Media]) -> Option<&str> {
    media.first().map(|media| media.text.as_str())
}

/// Where a block holds.
#[derive(Clone, Debug, PartialEq)]
struct Media {
    text: String,
    /// On every screen.
    everywhere: bool,
}

struct Out<'a> {
    sheet: &'a mut Sheet,
    /// The `@media` around, the outermost first.
    media: Vec<Media>,
    css: String,
}

type Refused = ParseError<()>;

fn refuse<T>() -> Result<T, Refused> {
    Err(ParseError::from_basic_kind(BasicParseErrorKind::EndOfInput))
}

impl Out<'_> {
    fn holds_everywhere(&self) -> bool {
        self.media.iter().all(|media| media.everywhere)
    }
}

impl<'i> QualifiedRuleParser<'i> for Out<'_> {
    type Prelude = Vec<Selector>;
    type QualifiedRule = ();
    type Error = ();

    fn parse_prelude(&mut self, input: &mut Parser<'i>) -> Result<Vec<Selector>, Refused> {
        if self.sheet.selectors >= MAX_SELECTORS {
            return refuse();
        }
        // Each selector by itself: one that is not known takes only itself along.
        let mut all = input.parse_comma_separated_ignoring_errors(|input| {
            let selector = selector(input);
            while input.next().is_ok() {}
            selector
        });
        all.truncate(MAX_SELECTORS - self.sheet.selectors);
        if all.is_empty() { refuse() } else { Ok(all) }
    }

    fn parse_block(
        &mut self,
        selectors: Vec<Selector>,
        _: &ParserState,
        input: &mut Parser<'i>,
    ) -> Result<(), Refused> {
        let declarations = declarations::of(input);
        self.sheet.addresses += declarations.addresses;
        self.sheet.selectors += selectors.len();
        self.sheet.names_root |= selectors.iter().any(Selector::names_root);
        if !declarations.css.is_empty() {
            for (at, selector) in selectors.iter().enumerate() {
                self.css.push_str(if at == 0 { "" } else { "," });
                selector.write(&mut self.css);
            }
            let _ = writeln!(self.css, "{{{}}}", declarations.css);
        }
        if self.holds_everywhere() {
            self.sheet.rules.push(Rule { selectors, declarations });
        }
        Ok(())
    }
}

impl<'i> AtRuleParser<'i> for Out<'_> {
    type Prelude = Media;
    type AtRule = ();
    type Error = ();

    fn parse_prelude(&mut self, name: CowRcStr<'i>, input: &mut Parser<'i>) -> Result<Media, Refused> {
        if !name.eq_ignore_ascii_case("media") || self.media.len() >= MAX_MEDIA {
            return refuse();
        }
        media_of(input)
    }

    fn parse_block(&mut self, media: Media, _: &ParserState, input: &mut Parser<'i>) -> Result<(), Refused> {
        let outer = std::mem::take(&mut self.css);
        let text = media.text.clone();
        let everywhere = media.everywhere;
        self.media.push(media);
        for rule in RuleBodyParser::new(input, self) {
            let _ = rule;
        }
        self.media.pop();
        let inner = std::mem::replace(&mut self.css, outer);
        if everywhere {
            self.css.push_str(&inner);
        } else if !inner.is_empty() {
            let _ = writeln!(self.css, "@media {text} {{\n{inner}}}");
        }
        Ok(())
    }
}

impl cssparser::DeclarationParser<'_> for Out<'_> {
    type Declaration = ();
    type Error = ();
}

impl RuleBodyItemParser<'_, (), ()> for Out<'_> {
    fn parse_declarations(&self) -> bool {
        false
    }

    fn parse_qualified(&self) -> bool {
        true
    }
}

impl Selector {
    fn names_root(&self) -> bool {
        self.compounds.iter().any(|(_, compound)| compound.element.as_deref() == Some(ROOT))
    }

    /// Ids, classes, elements: which of two rules goes before.
    pub(crate) fn specificity(&self) -> (usize, usize, usize) {
        let count = |of: fn(&Compound) -> usize| self.compounds.iter().map(|(_, compound)| of(compound)).sum();
        (
            count(|c| c.ids.len()),
            count(|c| c.classes.len() + c.pseudo.len()),
            count(|c| usize::from(c.element.is_some())),
        )
    }

    fn write(&self, out: &mut String) {
        for (at, (combinator, compound)) in self.compounds.iter().enumerate() {
            if at > 0 {
                out.push_str(match combinator {
                    Combinator::Descendant => " ",
                    Combinator::Child => ">",
                    Combinator::Next => "+",
                    Combinator::Later => "~",
                });
            }
            let is_bare = compound.ids.is_empty() && compound.classes.is_empty() && compound.pseudo.is_empty();
            out.push_str(compound.element.as_deref().unwrap_or(if is_bare { "*" } else { "" }));
            for (mark, names) in [("#", &compound.ids), (".", &compound.classes), (":", &compound.pseudo)] {
                for name in names {
                    out.push_str(mark);
                    out.push_str(name);
                }
            }
        }
    }
}

/// Reads one selector.
fn selector(input: &mut Parser<'_>) -> Result<Selector, Refused> {
    let mut compounds: Vec<(Combinator, Compound)> = Vec::new();
    let mut current = Compound::default();
    let mut combinator = Combinator::Descendant;
    let mut joined = None;
    input.skip_whitespace();
    while let Ok(token) = input.next_including_whitespace().cloned() {
        let next = match &token {
            Token::WhiteSpace(_) => Some(Combinator::Descendant),
            Token::Delim('>') => Some(Combinator::Child),
            Token::Delim('+') => Some(Combinator::Next),
            Token::Delim('~') => Some(Combinator::Later),
            _ => None,
        };
        if let Some(next) = next {
            if !current.is_empty() {
                compounds.push((combinator, std::mem::take(&mut current)));
            }
            joined = match joined {
                Some(kept @ (Combinator::Child | Combinator::Next | Combinator::Later))
                    if next == Combinator::Descendant =>
                {
                    Some(kept)
                }
                _ => Some(next),
            };
            continue;
        }
        if let Some(next) = joined.take() {
            combinator = next;
        }
        current.add(token, input)?;
    }
    if !current.is_empty() {
        compounds.push((combinator, current));
    } else if joined.is_some_and(|joined| joined != Combinator::Descendant) {
        return refuse();
    }
    // `html body p` is one box here, not two.
    let is_bare_root =
        |compound: &Compound| *compound == Compound { element: Some(ROOT.to_owned()), ..Compound::default() };
    while compounds.len() > 1 && is_bare_root(&compounds[0].1) && compounds[1].1.element.as_deref() == Some(ROOT) {
        compounds.remove(0);
    }
    if (1..=MAX_COMPOUNDS).contains(&compounds.len()) { Ok(Selector { compounds }) } else { refuse() }
}

impl Compound {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, token: Token<'_>, input: &mut Parser<'_>) -> Result<(), Refused> {
        if self.ids.len() + self.classes.len() + self.pseudo.len() >= MAX_PARTS {
            return refuse();
        }
        match token {
            Token::Ident(name) if self.is_empty() && is_plain_name(&name) => {
                let name = name.to_ascii_lowercase();
                self.element = Some(if matches!(name.as_str(), "html" | "body") { ROOT.to_owned() } else { name });
            }
            Token::Delim('*') if self.is_empty() => self.any = true,
            Token::IDHash(name) if is_plain_name(&name) => self.ids.push(prefixed(&name)),
            Token::Delim('.') => match input.next_including_whitespace() {
                Ok(Token::Ident(name)) if is_plain_name(name) => self.classes.push(prefixed(name)),
                _ => return refuse(),
            },
            Token::Colon => match input.next_including_whitespace() {
                Ok(Token::Ident(name)) if name.eq_ignore_ascii_case("root") && self.is_empty() => {
                    self.element = Some(ROOT.to_owned());
                }
                Ok(Token::Ident(name)) if PSEUDO.contains(&name.to_ascii_lowercase().as_str()) => {
                    self.pseudo.push(name.to_ascii_lowercase());
                }
                _ => return refuse(),
            },
            _ => return refuse(),
        }
        Ok(())
    }
}

/// A class or id of a message as it stands in a page: the same however often it is cleaned.
pub(crate) fn prefixed(name: &str) -> String {
    if name.starts_with(PREFIX) { name.to_owned() } else { format!("{PREFIX}{name}") }
}

/// Reads a media query. What is meant for a dark page is not meant for the paper that a message with colours of its own
/// is shown on: such queries are answered here.
fn media_of(input: &mut Parser<'_>) -> Result<Media, Refused> {
    let mut queries = Vec::new();
    loop {
        let query = input.parse_until_before(cssparser::Delimiter::Comma, |input| {
            let query = query_of(input);
            while input.next().is_ok() {}
            Ok::<_, Refused>(query)
        });
        if let Ok(Ok(Some(query))) = query {
            queries.push(query);
        }
        if input.next().is_err() {
            break;
        }
        if queries.len() > 20 {
            return refuse();
        }
    }
    if queries.is_empty() {
        return refuse();
    }
    let everywhere = queries.iter().any(|query| matches!(query.as_str(), "all" | "screen" | "only screen" | ""));
    Ok(Media { text: if everywhere { "all".to_owned() } else { queries.join(", ") }, everywhere })
}

/// One query of a list; `None` if it never holds.
fn query_of(input: &mut Parser<'_>) -> Result<Option<String>, Refused> {
    let mut out: Vec<String> = Vec::new();
    let mut is_not = false;
    while let Ok(token) = input.next().cloned() {
        match token {
            Token::Ident(word) if is_word(&word) => {
                is_not |= word.eq_ignore_ascii_case("not");
                out.push(word.to_ascii_lowercase());
            }
            Token::ParenthesisBlock => {
                let feature = input.parse_nested_block(feature_of)?;
                match feature.strip_prefix("prefers-color-scheme:") {
                    Some(scheme) if (scheme == "light") == is_not => return Ok(None),
                    // It holds: nothing more is asked.
                    Some(_) => {
                        if is_not {
                            out.retain(|word| word != "not");
                        }
                        if out.last().is_some_and(|word| word == "and") {
                            out.pop();
                        }
                    }
                    None => out.push(format!("({feature})")),
                }
            }
            _ => return refuse(),
        }
    }
    if out.first().is_some_and(|word| word == "and") {
        out.remove(0);
    }
    Ok(Some(if out.is_empty() { "all".to_owned() } else { out.join(" ") }))
}

fn feature_of(input: &mut Parser<'_>) -> Result<String, Refused> {
    let mut out = String::new();
    loop {
        input.skip_whitespace();
        let start = input.position();
        let Ok(token) = input.next().cloned() else { break };
        match token {
            Token::Ident(word) if is_word(&word) => out.push_str(&word.to_ascii_lowercase()),
            Token::Colon => out.push(':'),
            Token::Delim('/') if !out.is_empty() => out.push('/'),
            Token::Number { .. } | Token::Dimension { .. } => {
                let text = input.slice_from(start).trim();
                if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+')) {
                    return refuse();
                }
                out.push_str(text);
            }
            _ => return refuse(),
        }
        if out.len() > 200 {
            return refuse();
        }
    }
    if out.is_empty() { refuse() } else { Ok(out) }
}
