//! Parser for command lines (RFC 5321 §4.1, and the extensions that the server offers).

mod xforward;

use delivery::{Notify, Ret};
use mailkit::EmailAddress;

pub use xforward::{Forwarded, OFFERED as XFORWARD_OFFERED};

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `EHLO name`.
    Ehlo(String),
    /// `HELO name`.
    Helo(String),
    /// `LHLO name` (RFC 2033).
    Lhlo(String),
    /// `MAIL FROM:<…> …`
    Mail(Mail),
    /// `RCPT TO:<…> …`
    Rcpt(Rcpt),
    /// `DATA`.
    Data,
    /// `BDAT size [LAST]` (RFC 3030).
    Bdat {
        /// Bytes that follow.
        size: u64,
        /// The message ends with them.
        last: bool,
    },
    /// `RSET`.
    Rset,
    /// `NOOP`.
    Noop,
    /// `QUIT`.
    Quit,
    /// `VRFY …`
    Vrfy,
    /// `EXPN …`
    Expn,
    /// `HELP`.
    Help,
    /// `STARTTLS` (RFC 3207).
    StartTls,
    /// `AUTH mechanism [initial-response]` (RFC 4954); the response still in base64.
    Auth {
        /// The mechanism's name.
        mechanism: String,
        /// The initial response; `=` is an empty one.
        initial: Option<String>,
    },
    /// `XFORWARD attribute=value…`, for servers that kept our mail.
    XForward(Forwarded),
}

impl Command {
    /// Whether the command is part of sending a message (NOOP, RSET and the like are not).
    pub const fn is_for_a_message(&self) -> bool {
        matches!(
            self,
            Self::Mail(_)
                | Self::Rcpt(_)
                | Self::Data
                | Self::Bdat { .. }
                | Self::StartTls
                | Self::Auth { .. }
                | Self::XForward(_)
                | Self::Quit
        )
    }
}

/// MAIL's arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mail {
    /// The reverse-path; `None` is `<>`.
    pub from: Option<EmailAddress>,
    /// `SIZE=` (RFC 1870).
    pub size: Option<u64>,
    /// `BODY=8BITMIME` (RFC 6152).
    pub body_8bit: bool,
    /// `SMTPUTF8` (RFC 6531).
    pub smtputf8: bool,
    /// `RET=` (RFC 3461).
    pub ret: Option<Ret>,
    /// `ENVID=`, decoded.
    pub envid: Option<String>,
    /// `REQUIRETLS` (RFC 8689).
    pub requiretls: bool,
}

/// RCPT's arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rcpt {
    /// The forward-path; `None` is the bare `<postmaster>`.
    pub to: Option<EmailAddress>,
    /// `NOTIFY=` (RFC 3461).
    pub notify: Notify,
    /// `ORCPT=`, as given.
    pub orcpt: Option<String>,
}

/// Why a line is not a valid command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no such command.
    #[error("Command not recognized")]
    Unknown,
    /// It has the wrong form.
    #[error("{0}")]
    Syntax(String),
    /// A parameter that the server does not support.
    #[error("Unsupported parameter: {0}")]
    Parameter(String),
    /// A BDAT without a valid size: the chunk that follows can't be told apart from commands.
    #[error("Syntax: BDAT size [LAST]")]
    Chunk,
    /// An HTTP request: a web page makes a browser connect to this port (a cross-protocol attack).
    #[error("HTTP request on an SMTP port")]
    Foreign,
}

/// The longest ENVID and ORCPT (RFC 3461 §4.4: 100, §4.2: 500).
const MAX_ENVID_BYTES: usize = 100;
const MAX_ORCPT_BYTES: usize = 500;

type Result<T> = std::result::Result<T, CommandError>;

fn syntax<T>(what: impl Into<String>) -> Result<T> {
    Err(CommandError::Syntax(what.into()))
}

/// Parses a line, given without its CRLF.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse(line: &str) -> Result<Command> {
    if line.contains(['\r', '\n', '\0']) {
        return syntax("A command must not contain CR, LF or NUL");
    }
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim_matches(' ');
    let no_argument = |command: Command| {
        if rest.is_empty() { Ok(command) } else { syntax(format!("{} takes no argument", verb.to_ascii_uppercase())) }
    };
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => name(rest).map(Command::Ehlo),
        "HELO" => name(rest).map(Command::Helo),
        "LHLO" => name(rest).map(Command::Lhlo),
        "MAIL" => mail(rest).map(Command::Mail),
        "RCPT" => rcpt(rest).map(Command::Rcpt),
        "DATA" => no_argument(Command::Data),
        "BDAT" => bdat(rest),
        "RSET" => no_argument(Command::Rset),
        "NOOP" => Ok(Command::Noop),
        "QUIT" => no_argument(Command::Quit),
        "VRFY" => Ok(Command::Vrfy),
        "EXPN" => Ok(Command::Expn),
        "HELP" => Ok(Command::Help),
        "STARTTLS" => no_argument(Command::StartTls),
        "AUTH" => auth(rest),
        "XFORWARD" => xforward::parse(rest).map(Command::XForward),
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "PATCH" => Err(CommandError::Foreign),
        _ => Err(CommandError::Unknown),
    }
}

fn name(text: &str) -> Result<String> {
    if text.is_empty() || text.len() > 255 || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return syntax("Syntax: EHLO hostname or address literal");
    }
    Ok(text.to_owned())
}

fn bdat(rest: &str) -> Result<Command> {
    let mut words = rest.split_ascii_whitespace();
    let size =
        words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit())).and_then(|word| word.parse().ok());
    let last = words.next();
    match (size, last, words.next()) {
        (Some(size), None, None) => Ok(Command::Bdat { size, last: false }),
        (Some(size), Some(word), None) if word.eq_ignore_ascii_case("LAST") => Ok(Command::Bdat { size, last: true }),
        _ => Err(CommandError::Chunk),
    }
}

fn auth(rest: &str) -> Result<Command> {
    let mut words = rest.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(mechanism), initial, None) => {
            Ok(Command::Auth { mechanism: mechanism.to_owned(), initial: initial.map(str::to_owned) })
        }
        _ => syntax("Syntax: AUTH mechanism [initial-response]"),
    }
}

/// A parameter's name and, where it has one, its value.
type Parameter<'a> = (&'a str, Option<&'a str>);

/// A path in angle brackets and the parameters behind it.
fn path<'a>(rest: &'a str, keyword: &str) -> Result<(&'a str, Vec<Parameter<'a>>)> {
    let wanted = || CommandError::Syntax(format!("Syntax: {keyword}<address>"));
    let matches = rest.get(..keyword.len()).is_some_and(|start| start.eq_ignore_ascii_case(keyword));
    // A space after the colon is wrong (RFC 5321 §3.3) and harmless, and old clients send it.
    let rest = rest.get(keyword.len()..).filter(|_| matches).ok_or_else(wanted)?.trim_start_matches(' ');
    let inner = rest.strip_prefix('<').ok_or_else(wanted)?;
    let end = end_of_path(inner).ok_or_else(wanted)?;
    let (path, parameters) = (&inner[..end], &inner[end + 1..]);
    if !parameters.is_empty() && !parameters.starts_with(' ') {
        return Err(wanted());
    }
    let parameters = parameters
        .split_ascii_whitespace()
        .map(|word| word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value))))
        .collect();
    Ok((path, parameters))
}

/// Where the path's closing bracket is: one within a quoted local part does not count.
fn end_of_path(inner: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            b'<' if !quoted => return None,
            _ => {}
        }
    }
    None
}

/// The mailbox of a path; a source route before it (`@a,@b:`) is ignored (RFC 5321 §4.1.1.3, appendix C).
fn mailbox(path: &str) -> Result<EmailAddress> {
    let mailbox = match path.strip_prefix('@') {
        Some(_) => match path.split_once(':') {
            Some((_, mailbox)) => mailbox,
            None => return syntax("Source route without an address"),
        },
        None => path,
    };
    EmailAddress::parse(mailbox).map_err(|error| CommandError::Syntax(error.to_string()))
}

fn mail(rest: &str) -> Result<Mail> {
    let (path, parameters) = path(rest, "FROM:")?;
    let mut mail = Mail { from: if path.is_empty() { None } else { Some(mailbox(path)?) }, ..Mail::default() };
    let mut seen = Vec::new();
    for (key, value) in parameters {
        let key = key.to_ascii_uppercase();
        match (key.as_str(), value) {
            ("SIZE", Some(value)) if value.len() <= 20 && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                mail.size = Some(value.parse().unwrap_or(u64::MAX));
            }
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("8BITMIME") => mail.body_8bit = true,
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("7BIT") => {}
            ("SMTPUTF8", None) => mail.smtputf8 = true,
            ("REQUIRETLS", None) => mail.requiretls = true,
            ("RET", Some(value)) if value.eq_ignore_ascii_case("FULL") => mail.ret = Some(Ret::Full),
            ("RET", Some(value)) if value.eq_ignore_ascii_case("HDRS") => mail.ret = Some(Ret::Headers),
            ("ENVID", Some(value)) if value.len() <= MAX_ENVID_BYTES => mail.envid = Some(xtext(value)?),
            // RFC 4954 §5: accepted, but not passed on, since we do not trust the client with it.
            ("AUTH", Some(_)) => {}
            ("SIZE" | "BODY" | "SMTPUTF8" | "REQUIRETLS" | "RET" | "ENVID" | "AUTH", _) => {
                return syntax(format!("Invalid value of parameter {key}"));
            }
            _ => return Err(CommandError::Parameter(key)),
        }
        if seen.contains(&key) {
            return syntax(format!("Duplicate parameter {key}"));
        }
        seen.push(key);
    }
    if mail.from.as_ref().is_some_and(EmailAddress::needs_smtputf8) && !mail.smtputf8 {
        return syntax("An address with non-ASCII characters needs the SMTPUTF8 parameter");
    }
    Ok(mail)
}

fn rcpt(rest: &str) -> Result<Rcpt> {
    let (path, parameters) = path(rest, "TO:")?;
    if path.is_empty() {
        return syntax("The recipient address is empty");
    }
    let to = if path.eq_ignore_ascii_case("postmaster") { None } else { Some(mailbox(path)?) };
    let mut rcpt = Rcpt { to, notify: Notify::default(), orcpt: None };
    let mut seen = Vec::new();
    for (key, value) in parameters {
        let key = key.to_ascii_uppercase();
        match (key.as_str(), value) {
            ("NOTIFY", Some(value)) => rcpt.notify = notify(value)?,
            ("ORCPT", Some(value)) if value.len() <= MAX_ORCPT_BYTES => {
                let Some((kind, address)) = value.split_once(';') else {
                    return syntax("Syntax: ORCPT=type;address");
                };
                if kind.is_empty() || !kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                    return syntax("Invalid address type in ORCPT");
                }
                let address = xtext(address)?;
                if ["rfc822", "utf-8"].into_iter().any(|known| kind.eq_ignore_ascii_case(known))
                    && !is_address(&address)
                {
                    return syntax("Invalid address in ORCPT");
                }
                rcpt.orcpt = Some(value.to_owned());
            }
            ("NOTIFY" | "ORCPT", _) => return syntax(format!("Invalid value of parameter {key}")),
            _ => return Err(CommandError::Parameter(key)),
        }
        if seen.contains(&key) {
            return syntax(format!("Duplicate parameter {key}"));
        }
        seen.push(key);
    }
    Ok(rcpt)
}

/// Whether ORCPT's value (xtext decoded) is an address: reports repeat it. In `utf-8-addr-xtext`, characters may be
/// written as `\x{...}` (RFC 6533 §3).
fn is_address(text: &str) -> bool {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, embedded)) = rest.split_once("\\x{") {
        let Some((digits, behind)) = embedded.split_once('}') else { return false };
        let found = u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() <= 6).and_then(char::from_u32);
        let Some(character) = found else { return false };
        plain.push_str(before);
        plain.push(character);
        rest = behind;
    }
    plain.push_str(rest);
    EmailAddress::parse(&plain).is_ok()
}

fn notify(value: &str) -> Result<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(Notify::NEVER);
    }
    let mut notify = Notify { success: false, failure: false, delay: false, explicit: true };
    for word in value.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => notify.success = true,
            "FAILURE" => notify.failure = true,
            "DELAY" => notify.delay = true,
            _ => return syntax("NOTIFY must be NEVER, or a list of SUCCESS, FAILURE and DELAY"),
        }
    }
    Ok(notify)
}

/// Decodes xtext (RFC 3461 §4).
fn xtext(text: &str) -> Result<String> {
    let wrong = || CommandError::Syntax("Malformed xtext".to_owned());
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => {
                let mut digit = || {
                    let digit = bytes.next().filter(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte))?;
                    char::from(digit).to_digit(16)
                };
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err(wrong()) };
                out.push((high * 16 + low) as u8);
            }
            b'=' => return Err(wrong()),
            0x21..=0x7E | 0x80.. => out.push(byte),
            _ => return Err(wrong()),
        }
    }
    let text = String::from_utf8(out).map_err(|_| wrong())?;
    if text.contains(char::is_control) { Err(wrong()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> EmailAddress {
        EmailAddress::parse(text).unwrap()
    }

    #[test]
    fn paths_and_parameters_are_understood() {
        let Ok(Command::Mail(mail)) =
            parse("mail from:<a@example.org> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+2By")
        else {
            panic!()
        };
        assert_eq!(mail.from, Some(address("a@example.org")));
        assert_eq!((mail.size, mail.body_8bit, mail.smtputf8), (Some(1000), true, true));
        assert_eq!((mail.ret, mail.envid.as_deref()), (Some(Ret::Headers), Some("x+y")));
        assert_eq!(parse("MAIL FROM:<>"), Ok(Command::Mail(Mail::default())));
        assert_eq!(parse("MAIL FROM:<> requiretls"), Ok(Command::Mail(Mail { requiretls: true, ..Mail::default() })));
        assert!(matches!(parse("MAIL FROM:<> REQUIRETLS=yes"), Err(CommandError::Syntax(_))));
        // It is not announced.
        assert!(matches!(parse("MAIL FROM:<> BODY=BINARYMIME"), Err(CommandError::Syntax(_))));
        let Ok(Command::Rcpt(rcpt)) =
            parse("RCPT TO:<\"a > b\"@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;q@x.example")
        else {
            panic!()
        };
        assert_eq!(rcpt.to, Some(address("\"a > b\"@example.org")));
        assert_eq!(rcpt.notify, Notify { success: true, failure: false, delay: true, explicit: true });
        assert_eq!(rcpt.orcpt.as_deref(), Some("rfc822;q@x.example"));
        let Ok(Command::Rcpt(rcpt)) = parse("RCPT TO:<@hop.example,@other.example:a@example.org>") else { panic!() };
        assert_eq!(rcpt.to, Some(address("a@example.org")));
        let Ok(Command::Rcpt(rcpt)) = parse("RCPT TO:<a@example.org> ORCPT=utf-8;j\\x{F6}rg+2Bx@x.org") else {
            panic!()
        };
        assert_eq!(rcpt.orcpt.as_deref(), Some("utf-8;j\\x{F6}rg+2Bx@x.org"));
        assert!(matches!(parse("RCPT TO:<Postmaster>"), Ok(Command::Rcpt(Rcpt { to: None, .. }))));
    }

    #[test]
    fn foreign_addresses_are_accepted_unchanged() {
        let long = format!("{}@mailhost.example", "newsdesk+caf_=".repeat(40));
        for (path, written) in [
            (
                "SRS0=AbCd12=ZZ=forwarder.example.org=bounce+n.77777.1234567.0123456789abcdef0@relay.example",
                "SRS0=AbCd12=ZZ=forwarder.example.org=bounce+n.77777.1234567.0123456789abcdef0@relay.example",
            ),
            (long.as_str(), long.as_str()),
            ("taro..yamada@phone.example", "\"taro..yamada\"@phone.example"),
            ("taro.@phone.example", "\"taro.\"@phone.example"),
            (".taro@phone.example", "\".taro\"@phone.example"),
            ("\"taro..yamada\"@phone.example", "\"taro..yamada\"@phone.example"),
            ("bounce@mail_out.sender.example", "bounce@mail_out.sender.example"),
            ("bounce@_x.sender.example", "bounce@_x.sender.example"),
            ("anna@test.example.", "anna@test.example"),
            ("prvs=1234=anna@Test.Example", "prvs=1234=anna@test.example"),
            ("o'neil#{x}|y~@x.example", "o'neil#{x}|y~@x.example"),
            ("@hop_1.example:a..b@x.example", "\"a..b\"@x.example"),
        ] {
            let Ok(Command::Mail(mail)) = parse(&format!("MAIL FROM:<{path}>")) else { panic!("{path}") };
            assert_eq!(mail.from.map(|from| from.to_string()).as_deref(), Some(written));
            let Ok(Command::Rcpt(rcpt)) = parse(&format!("RCPT TO:<{path}>")) else { panic!("{path}") };
            assert_eq!(rcpt.to.map(|to| to.to_string()).as_deref(), Some(written));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for line in [
            "MAIL FROM:a@example.org",
            "MAIL FROM:<a@example.org",
            "MAIL FROM:<a@example.org>SIZE=1",
            "MAIL FROM:<a@example.org> SIZE=x",
            "MAIL FROM:<a@example.org> SIZE=1 SIZE=2",
            "MAIL FROM:<ä@example.org>",
            "MAIL TO:<a@example.org>",
            "RCPT TO:<>",
            "RCPT TO:<a@example.org> NOTIFY=NEVER,SUCCESS",
            "RCPT TO:<a@example.org> ORCPT=x",
            "RCPT TO:<a@example.org> ORCPT=rfc822;Visit+20http://spam.test/",
            "RCPT TO:<a@example.org> ORCPT=rfc822;Buy+20now",
            "RCPT TO:<a@example.org> ORCPT=utf-8;j\\x{F6rg@x.org",
            "RCPT TO:<a@example.org> ORCPT=utf-8;\\x{0D}@x.org",
            "MAIL FROM:<john smith@x.org>",
            "MAIL FROM:<a@@b>",
            "MAIL FROM:<a@b..>",
            "MAIL FROM:<a@-b>",
            "DATA now",
            "EHLO",
            "EHLO a b",
            "QUIT\rRSET",
        ] {
            assert!(matches!(parse(line), Err(CommandError::Syntax(_))), "{line}");
        }
        assert_eq!(parse("MAIL FROM:<a@b.example> FOO=1"), Err(CommandError::Parameter("FOO".to_owned())));
        assert_eq!(parse("TURN"), Err(CommandError::Unknown));
        assert_eq!(parse("POST / HTTP/1.1"), Err(CommandError::Foreign));
        for line in ["BDAT", "BDAT x", "BDAT -1", "BDAT +1", "BDAT 5 LAST MORE", "BDAT 99999999999999999999"] {
            assert_eq!(parse(line), Err(CommandError::Chunk), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line in "\\PC{0,80}", verb in "(MAIL FROM:<|RCPT TO:<|BDAT |AUTH |EHLO )?") {
            let _ = parse(&format!("{verb}{line}"));
        }
    }
}
