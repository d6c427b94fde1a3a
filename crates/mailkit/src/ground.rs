//! Keeps text readable when its background picture is not loaded.
//!
//! Background pictures are never loaded. If light text had only such a picture as its background, it would be light on
//! white: the element then gets a plain dark or light background, as its text needs. Elements with their own colour
//! keep it, and text that was meant to be invisible (white on white) stays invisible: only lost backgrounds are
//! replaced.

use std::borrow::Cow;

use crate::css::cascade::{Cascade, Element, Looks};
use crate::css::colour::{self, Colour};
use crate::css::declarations;
use crate::css::sheet::Sheet;

/// Stands in a style for a ground that was lost. Says nothing to browsers, and is taken out.
pub(crate) const MARK: &str = "--m-lost: 1";

/// Least contrast at which text is taken to be readable (WCAG 2.2, level AA).
const READABLE: f32 = 4.5;

/// Most text colours remembered of a ground.
const MAX_VOTES: usize = 8;

/// Grounds to choose from, the first that fits best.
const GROUNDS: [(&str, Colour); 4] = [
    ("#1f2a30", Colour { rgb: [0.122, 0.165, 0.188], alpha: 1.0 }),
    ("#ffffff", Colour::WHITE),
    ("#000000", Colour::grey(0.0)),
    ("#757575", Colour::grey(0.459)),
];

/// Text of ours where a message names no colour, and links.
const INK: Colour = Colour { rgb: [0.106, 0.169, 0.188], alpha: 1.0 };
/// See [`INK`].
const LINK: Colour = Colour { rgb: [0.0, 0.0, 0.933], alpha: 1.0 };

/// Elements without content.
const VOID: [&str; 7] = ["area", "br", "col", "hr", "img", "wbr", "input"];

/// Gives what lost its ground another. Works on what the cleaner gives, whose tags are written in one way; takes its
/// marks (`background=""`) out.
pub(crate) fn keep(html: &str, sheet: &Sheet) -> String {
    let mut walk = Walk {
        cascade: Cascade::of(sheet),
        elements: Vec::new(),
        open: Vec::new(),
        grounds: vec![Ground {
            under: 0,
            colour: Some(Colour::WHITE),
            veil: None,
            votes: Vec::new(),
            place: 0,
            has_style: false,
        }],
        cuts: Vec::new(),
    };
    walk.run(html);
    walk.done(html)
}

struct Walk<'s> {
    cascade: Cascade<'s>,
    /// The open elements, for selectors, and what is known of each.
    elements: Vec<Element>,
    open: Vec<Open>,
    grounds: Vec<Ground>,
    /// Marks to be taken out.
    cuts: Vec<(usize, usize)>,
}

struct Open {
    ink: Colour,
    ground: usize,
    hidden: bool,
}

struct Ground {
    under: usize,
    /// `None` if it was lost.
    colour: Option<Colour>,
    /// What lies over a ground that was lost, and lets it through: a gradient that dims a picture.
    veil: Option<Colour>,
    /// Colours of the text on it.
    votes: Vec<Colour>,
    /// Where a declaration can be put in: at the end of the style, or where a style can stand.
    place: usize,
    has_style: bool,
}

impl Walk<'_> {
    fn run(&mut self, html: &str) {
        let mut at = 0;
        while at < html.len() {
            let tag = memchr::memchr(b'<', &html.as_bytes()[at..]).map_or(html.len(), |found| found + at);
            self.text(&html[at..tag]);
            if tag == html.len() {
                break;
            }
            at = if html[tag..].starts_with("</") { self.end(html, tag) } else { self.start(html, tag) };
        }
    }

    fn text(&mut self, text: &str) {
        let Some(open) = self.open.last() else { return };
        if open.hidden || text.trim().is_empty() {
            return;
        }
        let ground = &mut self.grounds[open.ground];
        if ground.colour.is_none() && ground.votes.len() < MAX_VOTES && !ground.votes.contains(&open.ink) {
            ground.votes.push(open.ink);
        }
    }

    fn end(&mut self, html: &str, at: usize) -> usize {
        let length = html[at..].find('>').map_or(html.len() - at, |found| found + 1);
        let name = html[at..at + length].trim_start_matches("</").trim_end_matches('>');
        if let Some(found) = self.elements.iter().rposition(|element| element.tag == name) {
            self.elements.truncate(found);
            self.open.truncate(found);
        }
        at + length
    }

    /// Reads a start tag; gives where it ends.
    fn start(&mut self, html: &str, at: usize) -> usize {
        let name_end = html[at..].find([' ', '>']).map_or(html.len(), |found| found + at);
        let tag = &html[at + 1..name_end];
        let mut element = Element { tag: tag.to_owned(), ..Element::default() };
        let (mut style, mut style_end, mut font, mut paper) = (None, None, None, None);
        let (mut lost, mut lost_by_style, mut is_link) = (false, false, false);
        let mut end = name_end;
        while let Some((name, value, from, to)) = attribute(html, end) {
            end = to;
            match name {
                "class" => element.classes = unescaped(value).split_ascii_whitespace().map(str::to_owned).collect(),
                "id" => element.id = unescaped(value).into_owned(),
                "style" => {
                    style = Some(declarations::of_attribute(&unescaped(value)));
                    style_end = Some(to - 1);
                    if value.ends_with(MARK) {
                        lost_by_style = true;
                        // With what joins it to the style, or with the attribute that it is alone in.
                        let alone = value.len() == MARK.len();
                        let start = to - 1 - MARK.len();
                        let cut = if alone { (from, to) } else { (start - "; ".len(), to - 1) };
                        self.cuts.push(cut);
                        style_end = (!alone).then_some(to - 1);
                    }
                }
                "color" if tag == "font" => font = colour::legacy(value).as_deref().and_then(colour::read),
                "bgcolor" if matches!(tag, "table" | "tbody" | "thead" | "tfoot" | "tr" | "td" | "th") => {
                    paper = colour::legacy(value).as_deref().and_then(colour::read);
                }
                "background" => {
                    lost = true;
                    self.cuts.push((from, to));
                }
                "href" => is_link = tag == "a",
                _ => {}
            }
        }
        let end = (end + 1).min(html.len());
        if VOID.contains(&tag) {
            return end;
        }
        self.elements.push(element);
        let mut looks = Looks { colour: font.or(is_link.then_some(LINK)), ground: paper, ..Looks::default() };
        let sheet = self.cascade.sheet_looks(&self.elements);
        looks = Looks {
            colour: sheet.colour.or(looks.colour),
            ground: sheet.ground.or(looks.ground),
            lost_ground: sheet.lost_ground || lost,
            hidden: sheet.hidden,
        };
        if let Some(style) = &style {
            self.cascade.note(style);
            looks = self.cascade.laid_over(looks, style);
            looks.lost_ground |= lost_by_style;
        }
        let place = Ground {
            under: 0,
            colour: None,
            veil: None,
            votes: Vec::new(),
            place: style_end.unwrap_or(name_end),
            has_style: style_end.is_some(),
        };
        self.enter(&looks, place);
        end
    }

    /// An element is open now; `place` is where its style can be added to, should it need a ground of its own.
    fn enter(&mut self, looks: &Looks, place: Ground) {
        let (ink, mut ground, hidden) =
            self.open.last().map_or((INK, 0, false), |open| (open.ink, open.ground, open.hidden));
        let place = Ground { under: ground, ..place };
        match looks.ground.filter(|colour| colour.alpha >= 0.3) {
            Some(colour) if looks.lost_ground && colour.alpha < 1.0 => {
                self.grounds.push(Ground { veil: Some(colour), ..place });
                ground = self.grounds.len() - 1;
            }
            Some(colour) => {
                let under = self.grounds[ground].colour.unwrap_or(Colour::WHITE);
                self.grounds.push(Ground { colour: Some(colour.over(under)), ..place });
                ground = self.grounds.len() - 1;
            }
            None if looks.lost_ground => {
                self.grounds.push(place);
                ground = self.grounds.len() - 1;
            }
            None => {}
        }
        self.open.push(Open {
            ink: looks.colour.unwrap_or(ink),
            ground,
            hidden: looks.hidden.unwrap_or(hidden) || hidden,
        });
    }

    fn done(mut self, html: &str) -> String {
        // What is put in or taken out: from, to, what stands there instead.
        let mut changes: Vec<(usize, usize, String)> =
            self.cuts.iter().map(|(from, to)| (*from, *to, String::new())).collect();
        for number in 1..self.grounds.len() {
            if self.grounds[number].colour.is_some() {
                continue;
            }
            // Those under it come first.
            let under = self.grounds[self.grounds[number].under].colour.unwrap_or(Colour::WHITE);
            let ground = &self.grounds[number];
            let seen = |colour: Colour| ground.veil.map_or(colour, |veil| veil.over(colour));
            let least = |colour: Colour| ground.votes.iter().map(|ink| ink.contrast(colour)).fold(f32::MAX, f32::min);
            // A veil that is no picture gives way to the colour that is put in.
            let least_with = |colour: Colour| least(colour).min(least(seen(colour))).min(READABLE);
            let chosen = if ground.votes.is_empty() || least(seen(under)) >= READABLE {
                None
            } else {
                GROUNDS
                    .iter()
                    .max_by(|a, b| least_with(a.1).total_cmp(&least_with(b.1)).then(std::cmp::Ordering::Greater))
            };
            if let Some((written, _)) = chosen {
                let text = if ground.has_style {
                    format!("; background-color: {written}")
                } else {
                    format!(" style=\"background-color: {written}\"")
                };
                changes.push((ground.place, ground.place, text));
            }
            self.grounds[number].colour = Some(seen(chosen.map_or(under, |(_, colour)| *colour)));
        }
        changes.sort_by_key(|(from, to, _)| (*from, *to));
        let mut out = String::with_capacity(html.len());
        let mut done = 0;
        for (from, to, text) in changes {
            out.push_str(&html[done..from]);
            out.push_str(&text);
            done = to;
        }
        out.push_str(&html[done..]);
        out
    }
}

/// The attribute behind `at`, which is where a name or the attribute before ended: name, value, from where to where it
/// stands, its space included.
fn attribute(html: &str, at: usize) -> Option<(&str, &str, usize, usize)> {
    let rest = html[at..].strip_prefix(' ')?;
    let (name, rest) = rest.split_once("=\"")?;
    let value = &rest[..rest.find('"')?];
    let to = at + 1 + name.len() + 2 + value.len() + 1;
    Some((name, value, at, to))
}

fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('&') {
        return Cow::Borrowed(value);
    }
    Cow::Owned(
        value
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&nbsp;", "\u{a0}")
            .replace("&amp;", "&"),
    )
}
