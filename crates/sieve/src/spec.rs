//! The words of the language: every command and test with its arguments and the capability it belongs to.
//!
//! The table is the grammar's second half (RFC 5228 section 8.3): the checker binds what is written to it, and what runs
//! can rely on the result.

mod table;

pub(crate) use table::WORDS;

/// Which command or test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are those of the language.
pub enum Word {
    Require,
    If,
    Elsif,
    Else,
    Stop,
    Keep,
    Discard,
    Redirect,
    FileInto,
    Reject,
    Ereject,
    Set,
    SetFlag,
    AddFlag,
    RemoveFlag,
    Include,
    Return,
    Global,
    Error,
    Vacation,
    Notify,
    Snooze,
    AddHeader,
    DeleteHeader,
    ForEveryPart,
    Break,
    Replace,
    Enclose,
    ExtractText,
    Address,
    Header,
    Exists,
    Size,
    True,
    False,
    Not,
    AnyOf,
    AllOf,
    Envelope,
    Body,
    String,
    HasFlag,
    Date,
    CurrentDate,
    MailboxExists,
    MailboxIdExists,
    Metadata,
    MetadataExists,
    ServerMetadata,
    ServerMetadataExists,
    SpecialUseExists,
    Duplicate,
    Ihave,
    ValidNotifyMethod,
    NotifyMethodCapability,
    Environment,
    ValidExtList,
    SpamTest,
    VirusTest,
    /// A word of a [`crate::Dialect`].
    Foreign,
    /// What this version does not know, behind an `ihave` that says so: it never runs.
    Unknown,
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One string.
    Text,
    /// A string, or a list of them.
    List,
    /// A number.
    Number,
}

/// Which tests a command or test takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tests {
    /// None.
    No,
    /// Exactly one.
    One,
    /// A list in parentheses.
    Some,
}

/// A tagged argument.
#[derive(Clone, Copy, Debug)]
pub struct TagSpec {
    /// Without the colon.
    pub name: &'static str,
    /// What follows it.
    pub value: Option<Kind>,
    /// The capability that brings it; empty for the word's own.
    pub needs: &'static str,
    /// Of the tags with one number that is not 0, a command takes one.
    pub group: u8,
}

/// A positional argument: what it is for, and what it must be.
pub type Place = (&'static str, Kind);

/// Which positional argument may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optional {
    /// None.
    No,
    /// The first.
    First,
    /// The last.
    Last,
}

/// A command or test.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Which it is.
    pub word: Word,
    /// As it is written.
    pub name: &'static str,
    /// A test, not a command.
    pub is_test: bool,
    /// The capabilities that bring it; any one is enough. Empty: it needs none.
    pub needs: &'static [&'static str],
    /// Its tags.
    pub tags: &'static [TagSpec],
    /// Its positional arguments.
    pub places: &'static [Place],
    /// Which of them may be missing.
    pub optional: Optional,
    /// Its tests.
    pub tests: Tests,
    /// Whether it has a block.
    pub block: bool,
    /// Takes a match type and a comparator; its last argument are the keys.
    pub matching: bool,
    /// Takes an address part.
    pub part: bool,
    /// Takes `:index` and `:last` (RFC 5260), and the tags of `mime` (RFC 5703).
    pub fields: bool,
}

impl Spec {
    /// A command without arguments.
    pub const fn command(word: Word, name: &'static str, needs: &'static [&'static str]) -> Self {
        Self {
            word,
            name,
            is_test: false,
            needs,
            tags: &[],
            places: &[],
            optional: Optional::No,
            tests: Tests::No,
            block: false,
            matching: false,
            part: false,
            fields: false,
        }
    }

    /// A test without arguments.
    pub const fn test(word: Word, name: &'static str, needs: &'static [&'static str]) -> Self {
        Self { is_test: true, ..Self::command(word, name, needs) }
    }

    /// With positional arguments.
    pub const fn places(self, places: &'static [Place]) -> Self {
        Self { places, ..self }
    }

    /// With tags.
    pub const fn tags(self, tags: &'static [TagSpec]) -> Self {
        Self { tags, ..self }
    }

    /// With tests.
    pub const fn tests(self, tests: Tests) -> Self {
        Self { tests, ..self }
    }

    /// With a block.
    pub const fn block(self) -> Self {
        Self { block: true, ..self }
    }

    /// With a match type and a comparator.
    pub const fn matching(self) -> Self {
        Self { matching: true, ..self }
    }

    /// With an address part.
    pub const fn part(self) -> Self {
        Self { part: true, ..self }
    }

    /// With the tags that choose among header fields.
    pub const fn fields(self) -> Self {
        Self { fields: true, ..self }
    }

    /// With an argument that may be missing.
    pub const fn optional(self, optional: Optional) -> Self {
        Self { optional, ..self }
    }

    /// `header test`, `keep command`.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, if self.is_test { "test" } else { "command" })
    }
}

/// A tag without a value.
pub const fn flag(name: &'static str, needs: &'static str, group: u8) -> TagSpec {
    TagSpec { name, value: None, needs, group }
}

/// A tag with a value.
pub const fn tag(name: &'static str, value: Kind, needs: &'static str, group: u8) -> TagSpec {
    TagSpec { name, value: Some(value), needs, group }
}
