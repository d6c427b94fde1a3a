//! What a check found.

use serde::{Deserialize, Serialize};

use crate::Need;

/// How it is with a record, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Mail works; it would be better otherwise.
    Advice,
    /// Something does not work, or not for everyone.
    Warning,
    /// The DNS gave no answer: nothing is known.
    Unanswered,
    /// Mail is lost, refused or doubted.
    Problem,
}

impl State {
    /// In one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Advice => "advice",
            Self::Warning => "warning",
            Self::Unanswered => "no answer",
            Self::Problem => "PROBLEM",
        }
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// How bad it is.
    pub state: State,
    /// Which it is, for programs: such as `mx-cname`. Never changes its meaning.
    pub code: String,
    /// What is wrong, in words.
    pub says: String,
    /// What to do.
    pub remedy: String,
}

/// One record, or several of a kind at one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it is called: `MX`, `SPF`, `DKIM hf-rsa`.
    pub title: String,
    /// The full name of the record, without the last dot.
    pub name: String,
    /// Its type in the DNS.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is for.
    pub purpose: String,
    /// How much it is needed.
    pub need: Need,
    /// It is not in the domain's own zone: the host's or the address's owner sets it.
    pub elsewhere: bool,
    /// What to paste as its value; several records where there are several. Each TXT in one piece, without quotes.
    pub wanted: Vec<String>,
    /// What the DNS has.
    pub found: Vec<String>,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

impl Item {
    /// How it is: as bad as the worst of what is wrong.
    pub fn state(&self) -> State {
        self.faults.iter().map(|fault| fault.state).max().unwrap_or(State::Ok)
    }
}

/// What a check of a domain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The domain, in ASCII.
    pub domain: String,
    /// When it was checked, in milliseconds since 1970.
    pub checked_ms: i64,
    /// Record by record.
    pub items: Vec<Item>,
}

impl Report {
    /// How many items are in this state.
    pub fn count(&self, state: State) -> usize {
        self.items.iter().filter(|item| item.state() == state).count()
    }

    /// How the domain is as a whole.
    pub fn state(&self) -> State {
        self.items.iter().map(Item::state).max().unwrap_or(State::Ok)
    }

    /// The codes of all that is wrong.
    pub fn codes(&self) -> Vec<&str> {
        self.items.iter().flat_map(|item| &item.faults).map(|fault| fault.code.as_str()).collect()
    }
}
