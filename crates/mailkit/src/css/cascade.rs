//! The styles of an element, as far as they matter for whether its text is readable.
//!
//! This is an estimate: importance is ignored, and conditions on siblings or on the reader never match. The browser
//! decides.

use std::collections::HashMap;

use super::colour::Colour;
use super::declarations::{Declarations, Paint};
use super::sheet::{Combinator, Compound, Selector, Sheet};
use super::value::Piece;

/// Most steps of comparing selectors with elements of one message; after them no rule applies.
const MAX_STEPS: usize = 4_000_000;

/// What selectors look at. Classes and the id are with their prefix.
#[derive(Clone, Debug, Default)]
pub(crate) struct Element {
    pub(crate) tag: String,
    pub(crate) id: String,
    pub(crate) classes: Vec<String>,
}

/// What applies to an element.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Looks {
    pub(crate) colour: Option<Colour>,
    pub(crate) ground: Option<Colour>,
    pub(crate) lost_ground: bool,
    pub(crate) hidden: Option<bool>,
}

/// The rules of a message, found by what their last compound asks for.
pub(crate) struct Cascade<'s> {
    sheet: &'s Sheet,
    by_key: HashMap<String, Vec<(usize, usize)>>,
    variables: HashMap<String, Colour>,
    steps_left: usize,
}

impl<'s> Cascade<'s> {
    pub(crate) fn of(sheet: &'s Sheet) -> Self {
        let mut by_key: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        let mut variables = HashMap::new();
        for (number, rule) in sheet.rules.iter().enumerate() {
            for (at, selector) in rule.selectors.iter().enumerate() {
                if let Some((_, last)) = selector.compounds.last() {
                    by_key.entry(key(last)).or_default().push((number, at));
                }
            }
            note_variables(&mut variables, &rule.declarations);
        }
        Self { sheet, by_key, variables, steps_left: MAX_STEPS }
    }

    /// What the sheet says of the innermost of these elements.
    pub(crate) fn sheet_looks(&mut self, stack: &[Element]) -> Looks {
        let Some(element) = stack.last() else { return Looks::default() };
        if self.by_key.is_empty() {
            return Looks::default();
        }
        let keys = element.classes.iter().take(20).map(|class| format!(".{class}"));
        let keys = keys.chain([format!("#{}", element.id), element.tag.clone(), "*".to_owned()]);
        let mut applied: Vec<((usize, usize, usize), usize)> = Vec::new();
        for key in keys {
            for (rule, at) in self.by_key.get(&key).into_iter().flatten() {
                if self.steps_left == 0 {
                    return Looks::default();
                }
                let selector = &self.sheet.rules[*rule].selectors[*at];
                let (holds, steps) = matches(selector, stack);
                self.steps_left = self.steps_left.saturating_sub(steps);
                if holds {
                    applied.push((selector.specificity(), *rule));
                }
            }
        }
        applied.sort_unstable();
        let mut looks = Looks::default();
        for (_, rule) in applied {
            looks = self.laid_over(looks, &self.sheet.rules[rule].declarations);
        }
        looks
    }

    /// Declarations over what applied before.
    pub(crate) fn laid_over(&self, before: Looks, declarations: &Declarations) -> Looks {
        let paint = |paint: &Paint| match paint {
            Paint::Is(colour) => Some(*colour),
            Paint::Variable(name, fallback) => {
                let own = declarations.variables.iter().rev().find(|(own, _)| own == name);
                own.and_then(|(_, pieces)| colour_in(pieces))
                    .or_else(|| self.variables.get(name).copied())
                    .or(*fallback)
            }
        };
        Looks {
            colour: declarations.colour.as_ref().and_then(paint).or(before.colour),
            ground: declarations.ground.as_ref().and_then(paint).or(before.ground),
            lost_ground: declarations.lost_ground || (before.lost_ground && declarations.ground.is_none()),
            hidden: declarations.hidden.or(before.hidden),
        }
    }

    /// Custom properties of a `style` attribute hold below it; here they are taken to hold everywhere after it.
    pub(crate) fn note(&mut self, declarations: &Declarations) {
        if self.variables.len() < 1_000 {
            note_variables(&mut self.variables, declarations);
        }
    }
}

fn note_variables(variables: &mut HashMap<String, Colour>, declarations: &Declarations) {
    for (name, pieces) in &declarations.variables {
        if let Some(colour) = colour_in(pieces) {
            variables.insert(name.clone(), colour);
        }
    }
}

fn colour_in(pieces: &[Piece]) -> Option<Colour> {
    pieces.iter().find_map(|piece| match piece {
        Piece::Colour(colour, _) => *colour,
        Piece::Gradient(colours, _) => colours.first().copied(),
        Piece::Variable(_, fallback, _) => colour_in(fallback),
        _ => None,
    })
}

fn key(compound: &Compound) -> String {
    match (compound.ids.first(), compound.classes.first(), &compound.element) {
        (Some(id), _, _) => format!("#{id}"),
        (_, Some(class), _) => format!(".{class}"),
        (_, _, Some(element)) => element.clone(),
        _ => "*".to_owned(),
    }
}

/// Whether a selector holds for the innermost element, and how many comparisons that took: one for each ancestor at most.
fn matches(selector: &Selector, stack: &[Element]) -> (bool, usize) {
    let mut steps = 0;
    let mut at = stack.len();
    let mut joined = Combinator::Child;
    for (combinator, compound) in selector.compounds.iter().rev() {
        loop {
            steps += 1;
            let Some(next) = at.checked_sub(1) else { return (false, steps) };
            at = next;
            if holds(compound, &stack[at]) {
                break;
            }
            if joined != Combinator::Descendant {
                return (false, steps);
            }
        }
        joined = *combinator;
        if matches!(joined, Combinator::Next | Combinator::Later) {
            return (false, steps);
        }
    }
    (true, steps)
}

fn holds(compound: &Compound, element: &Element) -> bool {
    compound.element.as_ref().is_none_or(|tag| *tag == element.tag)
        && compound.ids.iter().all(|id| *id == element.id)
        && compound.classes.iter().all(|class| element.classes.contains(class))
        && compound.pseudo.iter().all(|pseudo| matches!(pseudo.as_str(), "link" | "any-link"))
}
