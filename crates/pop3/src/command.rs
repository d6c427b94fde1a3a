//! Commands, read from lines (RFC 1939 §3, RFC 2449 §4).

/// A message's number in the session, from 1.
pub(crate) type Number = u32;

/// A command. Texts are as the client sent them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    Capa,
    Stls,
    Utf8,
    User(&'a str),
    Pass(&'a str),
    /// Without a mechanism: lists the mechanisms.
    Auth {
        mechanism: Option<&'a str>,
        initial: Option<&'a str>,
    },
    Stat,
    List(Option<Number>),
    Uidl(Option<Number>),
    Retr(Number),
    Top(Number, u64),
    Dele(Number),
    Noop,
    Rset,
    Quit,
}

/// Why a line is not a command; the text is sent to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Misunderstood(pub(crate) &'static str);

type Result<T> = std::result::Result<T, Misunderstood>;

impl<'a> Command<'a> {
    /// Reads a line, without its line end.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self> {
        let line = std::str::from_utf8(line).map_err(|_| Misunderstood("Command is not valid UTF-8"))?;
        if line.contains('\0') {
            return Err(Misunderstood("A command must not contain NUL"));
        }
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        // Longer verbs are none; so an endless one is not copied.
        if verb.len() > 4 {
            return Err(Misunderstood("Unknown command"));
        }
        match verb.to_ascii_uppercase().as_str() {
            "CAPA" => alone(rest, Self::Capa),
            "STLS" => alone(rest, Self::Stls),
            "UTF8" => alone(rest, Self::Utf8),
            "USER" => Ok(Self::User(given(rest.trim())?)),
            // A password may hold spaces, at its ends too.
            "PASS" => Ok(Self::Pass(given(rest)?)),
            "AUTH" => auth(rest),
            "STAT" => alone(rest, Self::Stat),
            "LIST" => Ok(Self::List(optional_number(rest)?)),
            "UIDL" => Ok(Self::Uidl(optional_number(rest)?)),
            "RETR" => Ok(Self::Retr(number(rest.trim())?)),
            "DELE" => Ok(Self::Dele(number(rest.trim())?)),
            "TOP" => top(rest),
            "NOOP" => alone(rest, Self::Noop),
            "RSET" => alone(rest, Self::Rset),
            "QUIT" => alone(rest, Self::Quit),
            _ => Err(Misunderstood("Unknown command")),
        }
    }

    /// The name for metrics.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Capa => "capa",
            Self::Stls => "stls",
            Self::Utf8 => "utf8",
            Self::User(_) => "user",
            Self::Pass(_) => "pass",
            Self::Auth { .. } => "auth",
            Self::Stat => "stat",
            Self::List(_) => "list",
            Self::Uidl(_) => "uidl",
            Self::Retr(_) => "retr",
            Self::Top(..) => "top",
            Self::Dele(_) => "dele",
            Self::Noop => "noop",
            Self::Rset => "rset",
            Self::Quit => "quit",
        }
    }
}

fn alone<'a>(rest: &str, command: Command<'a>) -> Result<Command<'a>> {
    if rest.trim().is_empty() { Ok(command) } else { Err(Misunderstood("This command takes no arguments")) }
}

const fn given(argument: &str) -> Result<&str> {
    if argument.is_empty() { Err(Misunderstood("Missing argument")) } else { Ok(argument) }
}

fn digits<T: std::str::FromStr>(text: &str) -> Result<T> {
    let wrong = Misunderstood("Invalid number");
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().map_err(|_| wrong) } else { Err(wrong) }
}

fn number(text: &str) -> Result<Number> {
    match digits(given(text)?)? {
        0 => Err(Misunderstood("Message numbers start at 1")),
        number => Ok(number),
    }
}

fn optional_number(text: &str) -> Result<Option<Number>> {
    let text = text.trim();
    if text.is_empty() { Ok(None) } else { number(text).map(Some) }
}

fn top(rest: &str) -> Result<Command<'_>> {
    let mut words = rest.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(message), Some(lines), None) => Ok(Command::Top(number(message)?, digits(lines)?)),
        _ => Err(Misunderstood("Syntax: TOP message lines")),
    }
}

fn auth(rest: &str) -> Result<Command<'_>> {
    let mut words = rest.split_ascii_whitespace();
    let command = Command::Auth { mechanism: words.next(), initial: words.next() };
    if words.next().is_none() { Ok(command) } else { Err(Misunderstood("Syntax: AUTH mechanism [initial-response]")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_read_in_any_case_with_their_arguments() {
        let parse = |line: &'static str| Command::parse(line.as_bytes());
        assert_eq!(parse("stat"), Ok(Command::Stat));
        assert_eq!(parse("List 7 "), Ok(Command::List(Some(7))));
        assert_eq!(parse("UIDL"), Ok(Command::Uidl(None)));
        assert_eq!(parse("top 1 0"), Ok(Command::Top(1, 0)));
        assert_eq!(parse("PASS  two spaces "), Ok(Command::Pass(" two spaces ")));
        assert_eq!(parse("AUTH plain ="), Ok(Command::Auth { mechanism: Some("plain"), initial: Some("=") }));
        assert_eq!(parse("AUTH"), Ok(Command::Auth { mechanism: None, initial: None }));
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for line in
            ["", " ", "LAST", "STAT 1", "RETR", "RETR 0", "RETR -1", "RETR +1", "RETR 4294967296", "TOP 1", "TOP 1 2 3"]
        {
            assert!(Command::parse(line.as_bytes()).is_err(), "{line:?}");
        }
        assert!(Command::parse(b"USER \xFF").is_err());
        assert!(Command::parse(b"USER a\0b").is_err());
    }

    proptest! {
        #[test]
        fn no_line_does_harm(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Command::parse(&line);
        }
    }
}
