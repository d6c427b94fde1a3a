//! From the bytes of a complete frame to a [`Command`].

mod catenate;
mod fetch;
mod list;
mod metadata;
mod multisearch;
mod notify;
mod search;
mod select;
mod sort;

use std::fmt;

pub use fetch::section;

use super::command::{AppendHead, AppendMessage, Command, Replaced, Secret, Store, StoreMode, Tagged};
use super::cursor::{Cursor, SyntaxError};
use words::{Result, append_message, append_words, mailbox, set};
use words::{flag, flags};

/// A command that can not be obeyed, with its tag if there was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The tag to answer with; `None`: answer untagged.
    pub tag: Option<String>,
    /// What is wrong.
    pub kind: ParseErrorKind,
}

/// What is wrong with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// It does not follow the grammar.
    Syntax(SyntaxError),
    /// No such command.
    Unknown(String),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ParseErrorKind::Syntax(e) => write!(f, "Syntax error: {e}"),
            ParseErrorKind::Unknown(name) => write!(f, "Unknown command {name}"),
        }
    }
}

impl std::error::Error for ParseError {}

/// Longest command name repeated in an error.
const MAX_NAME_SHOWN: usize = 32;

/// Reads one complete command. APPEND is not among them: see [`append_head`].
pub fn parse(input: &[u8]) -> std::result::Result<Tagged, ParseError> {
    let mut c = Cursor::new(input);
    let untagged = |e| ParseError { tag: None, kind: ParseErrorKind::Syntax(e) };
    let tag = c.tag().map_err(untagged)?.to_owned();
    let kind = match body(&mut c) {
        Ok(Ok(command)) => return Ok(Tagged { tag, command }),
        Ok(Err(name)) => ParseErrorKind::Unknown(name),
        Err(e) => ParseErrorKind::Syntax(e),
    };
    Err(ParseError { tag: Some(tag), kind })
}

/// Reads the words of an APPEND or REPLACE up to its message literal. `input` ends with that literal's header.
/// `None`: the command is none of these, or the literal announced is the mailbox name.
pub fn append_head(input: &[u8]) -> Option<std::result::Result<AppendHead, ParseError>> {
    let mut c = Cursor::new(input);
    let (tag, replaces) = match append_start(&mut c)? {
        Ok(start) => start,
        Err(error) => return Some(Err(error)),
    };
    // A literal that is only announced can not be read yet, so this fails as long as the mailbox name is on its way.
    let Ok(mailbox) = c.astring("a mailbox name") else {
        return None;
    };
    if is_put_together(c.clone()) {
        return None;
    }
    Some(match append_message(&mut c) {
        Ok(message) => Ok(AppendHead { replaces, tag, mailbox, message }),
        Err(e) => Err(ParseError { tag: Some(tag), kind: ParseErrorKind::Syntax(e) }),
    })
}

/// Whether a command that has come in part is an APPEND or REPLACE whose first message is put together (RFC 4469): its
/// literals belong to the command, and are read with it.
pub fn is_catenate(input: &[u8]) -> bool {
    let mut c = Cursor::new(input);
    matches!(append_start(&mut c), Some(Ok(_))) && c.astring("a mailbox name").is_ok() && is_put_together(c)
}

/// Whether a command that has come in part is a SETMETADATA.
pub fn is_set_metadata(input: &[u8]) -> bool {
    let mut c = Cursor::new(input);
    c.tag().is_ok() && c.space().is_ok() && c.eat_word("SETMETADATA")
}

fn is_put_together(mut c: Cursor<'_>) -> bool {
    append_words(&mut c).is_ok() && c.eat_word("CATENATE")
}

/// Tag and name of an APPEND or REPLACE, with the number of what is replaced, and the space before the mailbox; `None`
/// if the command is another.
fn append_start(c: &mut Cursor<'_>) -> Option<std::result::Result<(String, Option<Replaced>), ParseError>> {
    let tag = c.tag().ok()?.to_owned();
    c.space().ok()?;
    let replaces = if c.eat_word("APPEND") {
        None
    } else {
        match replaced(c)? {
            Ok(replaced) => Some(replaced),
            Err(e) => return Some(Err(ParseError { tag: Some(tag), kind: ParseErrorKind::Syntax(e) })),
        }
    };
    c.space().ok()?;
    Some(Ok((tag, replaces)))
}

/// `REPLACE n` or `UID REPLACE n`; `None` if it is neither.
fn replaced(c: &mut Cursor<'_>) -> Option<Result<Replaced>> {
    let uid = c.eat_word("UID");
    if uid {
        c.space().ok()?;
    }
    if !c.eat_word("REPLACE") {
        return None;
    }
    Some(replaced_number(c, uid))
}

fn replaced_number(c: &mut Cursor<'_>, uid: bool) -> Result<Replaced> {
    c.space()?;
    let number = if c.eat(b'*') { None } else { Some(c.nz_number()?) };
    Ok(Replaced { uid, number })
}

/// Reads what stands between two messages of an APPEND (RFC 3502): `input` begins after the first one's literal and ends
/// with the next one's header.
pub fn append_next(input: &[u8]) -> Result<AppendMessage> {
    append_message(&mut Cursor::new(input))
}

/// The command after its tag; the inner error is the name of an unknown one.
fn body(c: &mut Cursor<'_>) -> Result<std::result::Result<Command, String>> {
    c.space()?;
    let mut name = c.keyword("a command")?;
    let uid = name == "UID";
    if uid {
        c.space()?;
        name = format!("UID {}", c.keyword("COPY, EXPUNGE, FETCH, MOVE, REPLACE, SEARCH, SORT, STORE or THREAD")?);
    }
    let command = match name.as_str() {
        "CAPABILITY" => Command::Capability,
        "NOOP" => Command::Noop,
        "LOGOUT" => Command::Logout,
        "STARTTLS" => Command::StartTls,
        "UNAUTHENTICATE" => Command::Unauthenticate,
        "NAMESPACE" => Command::Namespace,
        "IDLE" => Command::Idle,
        "NOTIFY" => Command::Notify(notify::notify(c)?),
        "CLOSE" => Command::Close,
        "UNSELECT" => Command::Unselect,
        "CHECK" => Command::Check,
        "EXPUNGE" => Command::Expunge,
        "ID" => id(c)?,
        "AUTHENTICATE" => authenticate(c)?,
        "LOGIN" => login(c)?,
        "ENABLE" => enable(c)?,
        "COMPRESS" => {
            c.space()?;
            Command::Compress(c.keyword("a compression mechanism")?)
        }
        "SELECT" => Command::Select(select::select(c, false)?),
        "EXAMINE" => Command::Select(select::select(c, true)?),
        "CREATE" => create(c)?,
        "DELETE" => Command::Delete(mailbox(c)?),
        "RENAME" => Command::Rename { from: mailbox(c)?, to: mailbox(c)? },
        "SUBSCRIBE" => Command::Subscribe(mailbox(c)?),
        "UNSUBSCRIBE" => Command::Unsubscribe(mailbox(c)?),
        "LIST" => Command::List(list::list(c)?),
        "LSUB" => list::lsub(c)?,
        "STATUS" => list::status(c)?,
        "SEARCH" | "UID SEARCH" => Command::Search(search::search(c, uid)?),
        "ESEARCH" => Command::MultiSearch(multisearch::multisearch(c)?),
        "SORT" | "UID SORT" => Command::Sort(sort::sort(c, uid)?),
        "CANCELUPDATE" => Command::CancelUpdate(search::cancel_update(c)?),
        "THREAD" | "UID THREAD" => Command::Thread(sort::thread(c, uid)?),
        "FETCH" | "UID FETCH" => Command::Fetch(fetch::fetch(c, uid)?),
        "STORE" | "UID STORE" => Command::Store(store(c, uid)?),
        "COPY" | "UID COPY" => Command::Copy { uid, set: set(c)?, mailbox: mailbox(c)? },
        "MOVE" | "UID MOVE" => Command::Move { uid, set: set(c)?, mailbox: mailbox(c)? },
        "UID EXPUNGE" => Command::UidExpunge(set(c)?),
        "GETQUOTA" => {
            c.space()?;
            Command::GetQuota(c.astring("a quota root")?)
        }
        "GETQUOTAROOT" => Command::GetQuotaRoot(mailbox(c)?),
        "SETQUOTA" => return Ok(Ok(Command::SetQuota)),
        "GETMETADATA" => Command::GetMetadata(metadata::get(c)?),
        "SETMETADATA" => metadata::set(c)?,
        "APPEND" => Command::Catenate(catenate::catenate(c, None)?),
        "REPLACE" | "UID REPLACE" => {
            let replaces = Some(replaced_number(c, uid)?);
            Command::Catenate(catenate::catenate(c, replaces)?)
        }
        _ => {
            let shown: String = name.chars().filter(|c| c.is_ascii_graphic()).take(MAX_NAME_SHOWN).collect();
            return Ok(Err(shown));
        }
    };
    c.end()?;
    Ok(Ok(command))
}

fn id(c: &mut Cursor<'_>) -> Result<Command> {
    c.space()?;
    let mut pairs = Vec::new();
    if !c.eat_word("NIL") {
        c.list(|c| {
            if pairs.len() == super::MAX_ID_PAIRS {
                return c.expected("at most 30 ID fields");
            }
            let name = c.string("an ID field name")?;
            c.space()?;
            pairs.push((name, c.nstring("a string or NIL")?));
            Ok(())
        })?;
    }
    Ok(Command::Id(pairs))
}

fn authenticate(c: &mut Cursor<'_>) -> Result<Command> {
    c.space()?;
    let mechanism = c.keyword("a SASL mechanism")?;
    let mut initial = None;
    if !c.at_end() {
        c.space()?;
        let at = c.position();
        let text = c.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
        if text.is_empty() {
            return c.expected_at(at, "base64");
        }
        initial = Some(Secret(String::from_utf8_lossy(text).into_owned()));
    }
    Ok(Command::Authenticate { mechanism, initial })
}

fn login(c: &mut Cursor<'_>) -> Result<Command> {
    c.space()?;
    let user = c.astring("a user name")?;
    c.space()?;
    let password = c.astring("a password")?;
    Ok(Command::Login { user, password: Secret(password) })
}

fn enable(c: &mut Cursor<'_>) -> Result<Command> {
    let mut names = Vec::new();
    while names.is_empty() || !c.at_end() {
        if names.len() == super::MAX_LIST_ITEMS {
            return c.expected("fewer capabilities");
        }
        c.space()?;
        names.push(c.keyword("a capability")?);
    }
    Ok(Command::Enable(names))
}

fn create(c: &mut Cursor<'_>) -> Result<Command> {
    let mailbox = mailbox(c)?;
    let mut special_use = Vec::new();
    if !c.at_end() {
        c.space()?;
        c.list(|c| {
            if !c.eat_word("USE") {
                return c.expected("USE");
            }
            c.space()?;
            c.list(|c| {
                c.byte(b'\\', "a special use such as \\Sent")?;
                special_use.push(c.atom("a special use such as \\Sent")?.to_owned());
                Ok(())
            })
        })?;
    }
    Ok(Command::Create { mailbox, special_use })
}

fn store(c: &mut Cursor<'_>, uid: bool) -> Result<Store> {
    let set = set(c)?;
    c.space()?;
    let mut unchanged_since = None;
    if c.peek() == Some(b'(') {
        c.list(|c| {
            if !c.eat_word("UNCHANGEDSINCE") {
                return c.expected("UNCHANGEDSINCE");
            }
            c.space()?;
            unchanged_since = Some(c.number64()?);
            Ok(())
        })?;
        c.space()?;
    }
    let mode = if c.eat(b'+') {
        StoreMode::Add
    } else if c.eat(b'-') {
        StoreMode::Remove
    } else {
        StoreMode::Replace
    };
    if !c.eat_text("FLAGS") {
        return c.expected("FLAGS, +FLAGS or -FLAGS");
    }
    let silent = c.eat_text(".SILENT");
    c.space()?;
    let flags = if c.peek() == Some(b'(') {
        flags(c)?
    } else {
        let mut flags = vec![flag(c)?];
        while !c.at_end() {
            if flags.len() == super::MAX_LIST_ITEMS {
                return c.expected("fewer flags");
            }
            c.space()?;
            flags.push(flag(c)?);
        }
        flags
    };
    Ok(Store { uid, set, mode, silent, flags, unchanged_since })
}

#[cfg(test)]
mod tests;
mod words;
