//! Commands by their words (RFC 5804 §2).

use crate::frame::Word;

/// A command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Authenticate {
        mechanism: String,
        initial: Option<String>,
    },
    StartTls,
    Logout,
    Capability,
    Noop(Option<String>),
    Unauthenticate,
    /// One that concerns scripts, after the login.
    Scripts(Request),
}

/// A command that concerns the scripts of an account.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    HaveSpace {
        name: String,
        bytes: u64,
    },
    Put {
        name: String,
        text: String,
    },
    List,
    /// An empty name: none is to be active.
    Activate(String),
    Get(String),
    Delete(String),
    Rename {
        from: String,
        to: String,
    },
    Check(String),
}

/// Why words are no command; the text is sent to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Misunderstood(pub(crate) &'static str);

type Result<T> = std::result::Result<T, Misunderstood>;

impl Command {
    /// From words.
    pub(crate) fn read(words: Vec<Word>) -> Result<Self> {
        let mut words = words.into_iter();
        let name = match words.next() {
            Some(Word::Atom(name)) => name.to_ascii_uppercase(),
            None => return Err(Misunderstood("Empty command")),
            Some(_) => return Err(Misunderstood("A command begins with its name")),
        };
        let mut rest = Arguments(words);
        let command = match name.as_str() {
            "AUTHENTICATE" => Self::Authenticate { mechanism: rest.text()?, initial: rest.optional_text()? },
            "STARTTLS" => Self::StartTls,
            "LOGOUT" => Self::Logout,
            "CAPABILITY" => Self::Capability,
            "NOOP" => Self::Noop(rest.optional_text()?),
            "UNAUTHENTICATE" => Self::Unauthenticate,
            "HAVESPACE" => Self::Scripts(Request::HaveSpace { name: rest.text()?, bytes: rest.number()? }),
            "PUTSCRIPT" => Self::Scripts(Request::Put { name: rest.text()?, text: rest.text()? }),
            "LISTSCRIPTS" => Self::Scripts(Request::List),
            "SETACTIVE" => Self::Scripts(Request::Activate(rest.text()?)),
            "GETSCRIPT" => Self::Scripts(Request::Get(rest.text()?)),
            "DELETESCRIPT" => Self::Scripts(Request::Delete(rest.text()?)),
            "RENAMESCRIPT" => Self::Scripts(Request::Rename { from: rest.text()?, to: rest.text()? }),
            "CHECKSCRIPT" => Self::Scripts(Request::Check(rest.text()?)),
            _ => return Err(Misunderstood("Unknown command")),
        };
        rest.end()?;
        Ok(command)
    }

    /// The name for metrics.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Authenticate { .. } => "authenticate",
            Self::StartTls => "starttls",
            Self::Logout => "logout",
            Self::Capability => "capability",
            Self::Noop(_) => "noop",
            Self::Unauthenticate => "unauthenticate",
            Self::Scripts(request) => match request {
                Request::HaveSpace { .. } => "havespace",
                Request::Put { .. } => "putscript",
                Request::List => "listscripts",
                Request::Activate(_) => "setactive",
                Request::Get(_) => "getscript",
                Request::Delete(_) => "deletescript",
                Request::Rename { .. } => "renamescript",
                Request::Check(_) => "checkscript",
            },
        }
    }
}

/// Whether a command of that name has a script as an argument.
pub(crate) fn has_script(name: &str) -> bool {
    name.eq_ignore_ascii_case("PUTSCRIPT") || name.eq_ignore_ascii_case("CHECKSCRIPT")
}

struct Arguments(std::vec::IntoIter<Word>);

impl Arguments {
    fn text(&mut self) -> Result<String> {
        self.optional_text()?.ok_or(Misunderstood("Missing argument"))
    }

    fn optional_text(&mut self) -> Result<Option<String>> {
        match self.0.next() {
            Some(Word::Text(text)) => Ok(Some(text)),
            Some(_) => Err(Misunderstood("A text is sent in quotes or as a literal")),
            None => Ok(None),
        }
    }

    fn number(&mut self) -> Result<u64> {
        match self.0.next() {
            Some(Word::Number(number)) => Ok(number),
            Some(_) => Err(Misunderstood("Invalid number")),
            None => Err(Misunderstood("Missing argument")),
        }
    }

    fn end(&mut self) -> Result<()> {
        if self.0.next().is_none() { Ok(()) } else { Err(Misunderstood("Too many arguments")) }
    }
}
