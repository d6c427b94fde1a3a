//! Running a checked script over a message.
//!
//! [`run`] gives an [`Outcome`]; nothing happens while a script runs but questions to the [`Host`]. If it fails, the message
//! is to be kept as if there were no script.

mod actions;
pub(crate) mod date;
mod edit;
mod fields;
mod flags;
mod strings;
mod tests;

use std::collections::{HashMap, HashSet};

use crate::action::{Action, Outcome, Taken};
use crate::check::Dialect;
use crate::error::{Position, RunError};
use crate::host::{Done, Envelope, Host, Location};
use crate::limits::{BYTES_PER_STEP, MAX_INCLUDE_DEPTH, MAX_INCLUDES, MAX_STEPS};
use crate::message::Message;
use crate::spec::Word;
use crate::tree::{Script, Step};

/// Runs a script over a message.
///
/// # Errors
/// What went wrong, and where. Nothing that the script decided counts then.
pub fn run(script: &Script, message: Message, envelope: Envelope, host: &mut dyn Host) -> Result<Outcome, RunError> {
    run_with(script, message, envelope, host, None)
}

/// Runs a script of a dialect.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    script: &Script,
    message: Message,
    envelope: Envelope,
    host: &mut dyn Host,
    dialect: Option<&'static Dialect>,
) -> Result<Outcome, RunError> {
    let mut run = Run { host, state: State::new(message, envelope), dialect };
    run.state.scope.globals = script.globals.iter().cloned().collect();
    run.block(&script.steps)?;
    Ok(run.state.outcome())
}

/// How the block goes on after a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    /// `stop`
    Stop,
    /// `return`
    Return,
    /// `break`, out of that many loops.
    Break(usize),
    /// Out of the innermost block of a foreign command.
    Leave,
}

/// What changes while a script runs.
pub struct State {
    /// The message as it is now.
    pub message: Message,
    /// Its envelope.
    pub envelope: Envelope,
    /// The actions so far.
    pub actions: Vec<Taken>,
    /// Whether the message is kept if nothing else is said.
    pub implicit_keep: bool,
    /// The flags that copies get if nothing else is said.
    flags: Vec<String>,
    scope: Scope,
    /// The variables that scripts share.
    shared: HashMap<String, String>,
    captures: Vec<String>,
    steps: u64,
    /// The loops over MIME parts that are open, outermost first: the part, and the loop's name.
    loops: Vec<(usize, Option<String>)>,
    included: HashSet<(Location, String)>,
    including: Vec<(Location, String)>,
    includes: usize,
    added_fields: usize,
    vacations: usize,
}

/// The variables of one script.
#[derive(Default)]
struct Scope {
    variables: HashMap<String, String>,
    globals: HashSet<String>,
}

impl State {
    fn new(message: Message, envelope: Envelope) -> Self {
        Self {
            message,
            envelope,
            actions: Vec::new(),
            implicit_keep: true,
            flags: Vec::new(),
            scope: Scope::default(),
            shared: HashMap::new(),
            captures: Vec::new(),
            steps: 0,
            loops: Vec::new(),
            included: HashSet::new(),
            including: Vec::new(),
            includes: 0,
            added_fields: 0,
            vacations: 0,
        }
    }

    /// What the run comes to if it ends now.
    pub fn outcome(&self) -> Outcome {
        let mut actions = self.actions.clone();
        if self.implicit_keep && !actions.iter().any(|taken| taken.action.is_in_inbox()) {
            actions.push(Taken {
                at: Position::default(),
                action: Action::Keep,
                flags: self.flags.clone(),
                message: self.edited(),
            });
        }
        Outcome { actions, steps: self.steps }
    }

    /// Forgets all actions.
    pub fn reset(&mut self) {
        self.actions.clear();
        self.implicit_keep = true;
        self.vacations = 0;
    }

    fn edited(&self) -> Option<Message> {
        self.message.is_edited().then(|| self.message.clone())
    }
}

struct Run<'h> {
    host: &'h mut dyn Host,
    state: State,
    dialect: Option<&'static Dialect>,
}

fn fail<T>(step: &Step, text: impl Into<String>) -> Result<T, RunError> {
    Err(RunError { at: step.at, text: text.into() })
}

impl Run<'_> {
    /// Counts work.
    fn spend(&mut self, step: &Step, bytes: usize) -> Result<(), RunError> {
        let before = self.state.steps;
        self.state.steps += 1 + (bytes / BYTES_PER_STEP) as u64;
        if self.state.steps > MAX_STEPS {
            return fail(step, format!("the script takes more than {MAX_STEPS} steps"));
        }
        if before >> 10 != self.state.steps >> 10 && self.host.is_late() {
            return fail(step, "the script takes too long");
        }
        Ok(())
    }

    fn block(&mut self, steps: &[Step]) -> Result<Flow, RunError> {
        // Whether a branch of the if before was taken.
        let mut taken = false;
        for step in steps {
            self.spend(step, 0)?;
            let flow = match step.word {
                Word::If | Word::Elsif | Word::Else => {
                    if step.word != Word::If && taken {
                        continue;
                    }
                    taken = match step.tests.first() {
                        Some(test) => self.test(test)?,
                        None => true,
                    };
                    if taken { self.block(&step.block)? } else { Flow::Next }
                }
                _ => self.command(step)?,
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn command(&mut self, step: &Step) -> Result<Flow, RunError> {
        match step.word {
            Word::Stop => return Ok(Flow::Stop),
            Word::Return => return Ok(Flow::Return),
            Word::Include => return self.include(step),
            Word::ForEveryPart => return self.for_every_part(step),
            Word::Break => return self.leave_loop(step),
            Word::Foreign => return self.foreign_command(step),
            Word::Error => {
                let text = self.text(step, 0)?;
                return fail(step, text);
            }
            Word::Unknown => return fail(step, "this command is not known here"),
            Word::Set => self.set(step)?,
            Word::SetFlag | Word::AddFlag | Word::RemoveFlag => self.change_flags(step)?,
            Word::AddHeader => self.add_header(step)?,
            Word::DeleteHeader => self.delete_header(step)?,
            Word::Replace => self.replace(step)?,
            Word::Enclose => self.enclose(step)?,
            Word::ExtractText => self.extract_text(step)?,
            Word::Global => {}
            _ => self.act(step)?,
        }
        Ok(Flow::Next)
    }

    fn foreign_command(&mut self, step: &Step) -> Result<Flow, RunError> {
        match self.host.foreign(step, &mut self.state)? {
            Done::With(_) => Ok(Flow::Next),
            Done::Leave => Ok(Flow::Leave),
            Done::Block => {
                let flow = self.block(&step.block)?;
                self.host.foreign_block_ended(step, &mut self.state);
                Ok(if flow == Flow::Leave { Flow::Next } else { flow })
            }
        }
    }

    /// RFC 6609: another script with variables of its own.
    fn include(&mut self, step: &Step) -> Result<Flow, RunError> {
        let name = self.text(step, 0)?;
        let location = if step.has("global") { Location::Global } else { Location::Personal };
        if step.has("once") && self.state.included.contains(&(location, name.clone())) {
            return Ok(Flow::Next);
        }
        if self.state.including.contains(&(location, name.clone())) {
            return fail(step, format!("the script '{name}' includes itself"));
        }
        self.state.includes += 1;
        if self.state.including.len() >= MAX_INCLUDE_DEPTH || self.state.includes > MAX_INCLUDES {
            return fail(
                step,
                format!("more than {MAX_INCLUDES} scripts are included, or deeper than {MAX_INCLUDE_DEPTH}"),
            );
        }
        let Some(text) = self.host.script(location, &name) else {
            if step.has("optional") {
                return Ok(Flow::Next);
            }
            return fail(step, format!("there is no script '{name}' to include"));
        };
        self.spend(step, text.len() * 4)?;
        let script = crate::check::compile_with(&text, self.dialect).map_err(|why| RunError {
            at: step.at,
            text: format!("the included script '{name}' has an error: {}", why.0[0]),
        })?;
        self.state.included.insert((location, name.clone()));
        self.state.including.push((location, name));
        let inner = Scope { variables: HashMap::new(), globals: script.globals.iter().cloned().collect() };
        let outer = std::mem::replace(&mut self.state.scope, inner);
        let flow = self.block(&script.steps);
        self.state.scope = outer;
        self.state.including.pop();
        Ok(if flow? == Flow::Stop { Flow::Stop } else { Flow::Next })
    }

    /// RFC 5703 section 3: the parts of the message, or of the part that the loop around it is at.
    fn for_every_part(&mut self, step: &Step) -> Result<Flow, RunError> {
        let name = self.tag_text(step, "name")?;
        let parts = self.state.message.parts();
        let range = match self.state.loops.last() {
            Some(&(at, _)) => at + 1..parts.get(at).map_or(at + 1, |part| part.end),
            None => 0..parts.len(),
        };
        for at in range {
            self.spend(step, 0)?;
            self.state.loops.push((at, name.clone()));
            let flow = self.block(&step.block);
            self.state.loops.pop();
            match flow? {
                Flow::Next => {}
                Flow::Break(1) => break,
                Flow::Break(loops) => return Ok(Flow::Break(loops - 1)),
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Next)
    }

    fn leave_loop(&mut self, step: &Step) -> Result<Flow, RunError> {
        let Some(name) = self.tag_text(step, "name")? else { return Ok(Flow::Break(1)) };
        let at = self.state.loops.iter().rev().position(|(_, open)| open.as_deref() == Some(name.as_str()));
        at.map_or_else(|| fail(step, format!("there is no loop named '{name}'")), |at| Ok(Flow::Break(at + 1)))
    }
}
