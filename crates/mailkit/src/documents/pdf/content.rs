//! The text that a page shows, from the operators of its content (ISO 32000-1 section 9.4).

use std::collections::HashMap;
use std::rc::Rc;

use super::super::budget::Budget;
use super::file::File;
use super::font::{Font, code_of};
use super::object::{Dict, Object, Reader, is_space};

/// Forms within forms.
const MAX_FORMS: usize = 6;
/// Operands that one operator can have.
const MAX_OPERANDS: usize = 64;
/// Saved graphics states.
const MAX_SAVED: usize = 64;

/// A transformation: a b c d e f.
type Matrix = [f64; 6];
const SAME: Matrix = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0];

fn times(a: &Matrix, b: &Matrix) -> Matrix {
    [
        a[0] * b[0] + a[1] * b[2],
        a[0] * b[1] + a[1] * b[3],
        a[2] * b[0] + a[3] * b[2],
        a[2] * b[1] + a[3] * b[3],
        a[4] * b[0] + a[5] * b[2] + b[4],
        a[4] * b[1] + a[5] * b[3] + b[5],
    ]
}

/// What was shown so far.
pub struct Shown<'a> {
    file: &'a File<'a>,
    pub text: String,
    /// Something was shown of which is not known which characters it is.
    pub is_partial: bool,
    /// Fonts, by the number of their object.
    fonts: HashMap<u32, Rc<Font>>,
    /// Where the last text ended.
    end: Option<(f64, f64)>,
}

impl<'a> Shown<'a> {
    pub fn new(file: &'a File<'a>) -> Self {
        Self { file, text: String::new(), is_partial: false, fonts: HashMap::new(), end: None }
    }
}

/// The state of text.
#[derive(Clone)]
struct State {
    place: Matrix,
    font: Option<Rc<Font>>,
    size: f64,
    spacing: f64,
    word_spacing: f64,
    scale: f64,
    leading: f64,
}

/// Reads a page; `None` if the budget is used up.
pub fn page(shown: &mut Shown<'_>, page: &Dict, resources: Option<&Object>, budget: &mut Budget) -> Option<()> {
    let parts = match shown.file.resolved(page.get("Contents"), budget) {
        Some(Object::Array(parts)) => parts,
        _ => page.get("Contents").cloned().into_iter().collect(),
    };
    let mut content = Vec::new();
    for part in &parts {
        match shown.file.stream(part, budget) {
            Some((_, part)) => {
                content.extend_from_slice(&part);
                content.push(b'\n');
            }
            None => shown.is_partial = true,
        }
    }
    let resources = shown.file.dict(resources, budget).unwrap_or_default();
    shown.end = None;
    run(shown, &content, &resources, (SAME, 0), budget)
}

/// Carries out the operators of a content.
fn run(
    shown: &mut Shown<'_>,
    content: &[u8],
    resources: &Dict,
    (place, depth): (Matrix, usize),
    budget: &mut Budget,
) -> Option<()> {
    let mut run = Run {
        resources,
        depth,
        state: State { place, font: None, size: 1.0, spacing: 0.0, word_spacing: 0.0, scale: 1.0, leading: 0.0 },
        saved: Vec::new(),
        line: SAME,
        here: SAME,
        fonts: HashMap::new(),
    };
    let mut reader = Reader::new(content, 0);
    let mut operands: Vec<Object> = Vec::new();
    while let Some(object) = reader.next() {
        budget.step()?;
        match object {
            Object::Word(word) => {
                if word == b"ID" {
                    after_image(&mut reader);
                } else {
                    run.operator(shown, &word, &operands, budget)?;
                }
                operands.clear();
            }
            operand if operands.len() < MAX_OPERANDS => operands.push(operand),
            _ => {}
        }
        if shown.text.len() > budget.text {
            return None;
        }
    }
    Some(())
}

/// Passes over the bytes of a picture that stands in the content.
fn after_image(reader: &mut Reader<'_>) {
    let rest = &reader.bytes[reader.at.min(reader.bytes.len())..];
    let ends = memchr::memmem::find_iter(rest, b"EI").find(|at| {
        let before = at.checked_sub(1).and_then(|before| rest.get(before)).is_some_and(|b| is_space(*b));
        before && rest.get(at + 2).is_none_or(|b| is_space(*b))
    });
    reader.at += ends.map_or(rest.len(), |at| at + 2);
}

struct Run<'r> {
    resources: &'r Dict,
    depth: usize,
    state: State,
    saved: Vec<State>,
    line: Matrix,
    here: Matrix,
    fonts: HashMap<String, Rc<Font>>,
}

impl Run<'_> {
    fn operator(&mut self, shown: &mut Shown<'_>, word: &[u8], operands: &[Object], budget: &mut Budget) -> Option<()> {
        let number = |at: usize| operands.get(at).and_then(Object::number).unwrap_or_default();
        let matrix = || [number(0), number(1), number(2), number(3), number(4), number(5)];
        match word {
            b"q" if self.saved.len() < MAX_SAVED => self.saved.push(self.state.clone()),
            b"Q" => {
                if let Some(state) = self.saved.pop() {
                    self.state = state;
                }
            }
            b"cm" => self.state.place = times(&matrix(), &self.state.place),
            b"BT" => (self.line, self.here) = (SAME, SAME),
            b"Tf" => {
                self.state.size = number(1);
                self.state.font =
                    operands.first().and_then(Object::name).and_then(|name| self.font(shown, name, budget));
            }
            b"Tc" => self.state.spacing = number(0),
            b"Tw" => self.state.word_spacing = number(0),
            b"Tz" => self.state.scale = number(0) / 100.0,
            b"TL" => self.state.leading = number(0),
            b"Td" => self.go(number(0), number(1)),
            b"TD" => {
                self.state.leading = -number(1);
                self.go(number(0), number(1));
            }
            b"Tm" => (self.line, self.here) = (matrix(), matrix()),
            b"T*" => self.go(0.0, -self.state.leading),
            b"Tj" => self.show(shown, operands.first(), budget)?,
            b"'" | b"\"" => {
                self.go(0.0, -self.state.leading);
                self.show(shown, operands.last(), budget)?;
            }
            b"TJ" => {
                let Some(Object::Array(parts)) = operands.first() else { return Some(()) };
                for part in parts {
                    match part {
                        Object::Number(back) => self.forward(-back / 1_000.0 * self.state.size * self.state.scale),
                        text => self.show(shown, Some(text), budget)?,
                    }
                }
            }
            b"Do" => {
                if let Some(name) = operands.first().and_then(Object::name) {
                    self.form(shown, name, budget)?;
                }
            }
            _ => {}
        }
        Some(())
    }

    fn go(&mut self, x: f64, y: f64) {
        self.line = times(&[1.0, 0.0, 0.0, 1.0, x, y], &self.line);
        self.here = self.line;
    }

    fn forward(&mut self, x: f64) {
        self.here = times(&[1.0, 0.0, 0.0, 1.0, x, 0.0], &self.here);
    }

    fn font(&mut self, shown: &mut Shown<'_>, name: &str, budget: &mut Budget) -> Option<Rc<Font>> {
        if let Some(font) = self.fonts.get(name) {
            return Some(Rc::clone(font));
        }
        let all = shown.file.dict(self.resources.get("Font"), budget)?;
        let value = all.get(name)?;
        let known = match value {
            Object::Reference(number) => shown.fonts.get(number).cloned(),
            _ => None,
        };
        let font = match known {
            Some(font) => font,
            None => Rc::new(Font::read(shown.file, &shown.file.dict(Some(value), budget)?, budget)),
        };
        if let Object::Reference(number) = value {
            shown.fonts.insert(*number, Rc::clone(&font));
        }
        self.fonts.insert(name.to_owned(), Rc::clone(&font));
        Some(font)
    }

    /// Shows a text: a word ends where there is a gap before it, and a line where it stands higher or lower.
    fn show(&mut self, shown: &mut Shown<'_>, text: Option<&Object>, budget: &mut Budget) -> Option<()> {
        let Some(Object::Text(bytes)) = text else { return Some(()) };
        let Some(font) = self.state.font.clone() else {
            shown.is_partial |= !bytes.is_empty();
            return Some(());
        };
        for code in bytes.chunks(font.code_bytes) {
            budget.step()?;
            let place = times(&self.here, &self.state.place);
            let size = self.state.size.abs() * (place[2].hypot(place[3])).max(1e-6);
            if let Some((x, y)) = shown.end {
                let (dx, dy) = (place[4] - x, place[5] - y);
                // Along the line of writing, and across it.
                let unit = place[0].hypot(place[1]).max(1e-6);
                let along = (dx * place[0] + dy * place[1]) / unit;
                let across = (dx * place[1] - dy * place[0]).abs() / unit;
                if across > size * 0.4 || along < -size {
                    end_line(&mut shown.text);
                } else if along > size * 0.14 && !shown.text.ends_with(char::is_whitespace) {
                    shown.text.push(' ');
                }
            }
            let code_number = code_of(code);
            if !font.put(code_number, &mut shown.text) {
                shown.is_partial = true;
            }
            let word = if code == b" " { self.state.word_spacing } else { 0.0 };
            let width = font.width(code_number) * self.state.size + self.state.spacing + word;
            self.forward(width * self.state.scale);
            let end = times(&self.here, &self.state.place);
            shown.end = Some((end[4], end[5]));
        }
        Some(())
    }

    fn form(&mut self, shown: &mut Shown<'_>, name: &str, budget: &mut Budget) -> Option<()> {
        if self.depth >= MAX_FORMS {
            return Some(());
        }
        budget.form()?;
        let Some(all) = shown.file.dict(self.resources.get("XObject"), budget) else { return Some(()) };
        let Some(value) = all.get(name) else { return Some(()) };
        let dict = shown.file.dict(Some(value), budget);
        if dict.is_none_or(|dict| dict.get("Subtype").and_then(Object::name) != Some("Form")) {
            return Some(());
        }
        let Some((form, content)) = shown.file.stream(value, budget) else { return Some(()) };
        let own = shown.file.dict(form.get("Resources"), budget);
        let resources = own.as_ref().unwrap_or(self.resources);
        let mut place = self.state.place;
        if let Some(Object::Array(matrix)) = shown.file.resolved(form.get("Matrix"), budget) {
            let mut own = SAME;
            own.iter_mut().zip(&matrix).for_each(|(own, said)| *own = said.number().unwrap_or(*own));
            place = times(&own, &place);
        }
        run(shown, &content, resources, (place, self.depth + 1), budget)
    }
}

/// Ends a line. A word that goes on in the next one is put together.
fn end_line(text: &mut String) {
    let word = text.trim_end_matches(' ');
    if word.ends_with('\u{ad}') || (word.ends_with('-') && word[..word.len() - 1].ends_with(char::is_lowercase)) {
        text.truncate(word.len() - word.chars().next_back().map_or(0, char::len_utf8));
    } else if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}
