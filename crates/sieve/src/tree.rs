//! A checked script: what runs.

use std::sync::Arc;

use crate::compare::Matcher;
use crate::error::Position;
use crate::spec::{Spec, Word};
use crate::template::Template;

/// A script that was checked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Script {
    pub(crate) steps: Arc<[Step]>,
    /// The capabilities it requires, and those it asks for with `ihave`.
    pub(crate) capabilities: Arc<[String]>,
    /// The variables it shares with other scripts (`global`).
    pub(crate) globals: Arc<[String]>,
}

impl Script {
    /// The capabilities it uses.
    pub fn capabilities(&self) -> &[String] {
        &self.capabilities
    }

    /// Whether it has such a command or test anywhere.
    pub fn uses(&self, word: Word) -> bool {
        fn any(steps: &[Step], word: Word) -> bool {
            steps.iter().any(|step| step.word == word || any(&step.tests, word) || any(&step.block, word))
        }
        any(&self.steps, word)
    }
}

/// A command or test with its arguments.
#[derive(Clone, Debug)]
pub struct Step {
    /// Which.
    pub word: Word,
    /// As it is written.
    pub name: &'static str,
    /// Where it stands.
    pub at: Position,
    pub(crate) is_test: bool,
    pub(crate) tags: Vec<(&'static str, Value)>,
    pub(crate) places: Vec<Value>,
    pub(crate) matcher: Option<Matcher>,
    pub(crate) part: AddressPart,
    pub(crate) tests: Vec<Step>,
    pub(crate) block: Vec<Step>,
}

/// An argument.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A tag without a value.
    Set,
    /// A number.
    Number(u64),
    /// A string.
    Text(Template),
    /// Strings.
    List(Vec<Template>),
}

/// Which part of an address is compared (RFC 5228 section 2.7.4, RFC 5233).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressPart {
    /// `:all`
    #[default]
    All,
    /// `:localpart`
    LocalPart,
    /// `:domain`
    Domain,
    /// `:user`
    User,
    /// `:detail`
    Detail,
}

impl Step {
    pub(crate) fn new(spec: &'static Spec, at: Position) -> Self {
        Self {
            word: spec.word,
            name: spec.name,
            at,
            is_test: spec.is_test,
            tags: Vec::new(),
            places: Vec::new(),
            matcher: None,
            part: AddressPart::All,
            tests: Vec::new(),
            block: Vec::new(),
        }
    }

    /// Whether it is a test.
    pub fn is_test(&self) -> bool {
        self.is_test
    }

    /// A positional argument, counted from 0; nothing for one that was left out.
    pub fn place(&self, place: usize) -> &Value {
        self.places.get(place).unwrap_or(&Value::Set)
    }

    /// Whether the tag is there.
    pub fn has(&self, tag: &str) -> bool {
        self.tag(tag).is_some()
    }

    pub(crate) fn tag(&self, tag: &str) -> Option<&Value> {
        self.tags.iter().find(|(name, _)| *name == tag).map(|(_, value)| value)
    }

    /// The number of a tag.
    pub fn number(&self, tag: &str) -> Option<u64> {
        match self.tag(tag) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn template(&self, tag: &str) -> Option<&Template> {
        match self.tag(tag) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

impl Value {
    pub(crate) fn templates(&self) -> &[Template] {
        match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::List(list) => list,
            Self::Set | Self::Number(_) => &[],
        }
    }
}
