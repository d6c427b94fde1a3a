//! A session with an IMAP server: one command after another, each answer within limits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::response::{Listed, Piece, Response, Said, Status, Value, is_message, literal_of, parse};
use crate::link::{Link, Means, Target};
use crate::source::Security;
use crate::trouble::{Trouble, quoted};

/// Longest line, except of SEARCH.
const MAX_LINE_BYTES: usize = 256 << 10;
/// Longest line of SEARCH: a million messages.
const MAX_SEARCH_BYTES: usize = 12 << 20;
/// Largest literal that is no message: a name, a field.
const MAX_SMALL_LITERAL_BYTES: u64 = 64 << 10;
/// A literal of a message that is too large is read over up to here.
const MAX_PASSED_BYTES: u64 = 2 << 30;
/// Literals of one response.
const MAX_LITERALS: usize = 100;
/// Untagged responses to one command besides those asked for.
const MAX_UNASKED: usize = 100_000;
/// Mailboxes of a server that are looked at.
const MAX_LISTED: usize = 5_000;
/// Words of the server before the answer to a command is there: the greeting's.
const MAX_GREETINGS: usize = 10;

/// A session.
pub(crate) struct Client {
    link: Link,
    host: String,
    capabilities: Vec<String>,
    tags: u32,
    /// The largest message that is read.
    max_message_bytes: u64,
}

/// A mailbox that was selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selected {
    pub uid_validity: u32,
    pub exists: u32,
}

/// What a message is, before it is fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub uid: u32,
    pub flags: Vec<String>,
    pub internal_date: String,
    pub size: u64,
    /// Gmail's number of it.
    pub gmail: Option<u64>,
}

/// The text of a message.
#[derive(Debug)]
pub(crate) enum Text {
    Whole(Vec<u8>),
    /// It is larger than what is read: its size.
    Passed(u64),
    /// The server says that it has none.
    Nothing,
}

impl Client {
    /// Connects and gets to where signing in is safe.
    ///
    /// # Errors
    /// The server can't be reached, or TLS is not to be had.
    pub(crate) async fn open(target: Target<'_>, means: Means<'_>) -> Result<Self, Trouble> {
        let link = Link::open(target, means).await?;
        let mut this = Self {
            link,
            host: target.host.to_owned(),
            capabilities: Vec::new(),
            tags: 0,
            max_message_bytes: means.policy.max_message_bytes,
        };
        this.greeting(target.security == Security::StartTls).await?;
        if this.capabilities.is_empty() {
            this.ask_capabilities().await?;
        }
        if target.security == Security::StartTls {
            if !this.can("STARTTLS") {
                return Err(Trouble::Tls(format!("{} does not offer STARTTLS; try TLS on port 993", target.host)));
            }
            this.run("STARTTLS", |_| Ok(())).await?;
            this.link = this.link.secured(target.host, means.tls).await?;
            this.ask_capabilities().await?;
        }
        Ok(this)
    }

    async fn greeting(&mut self, before_tls: bool) -> Result<(), Trouble> {
        for _ in 0..MAX_GREETINGS {
            match self.response(MAX_LINE_BYTES).await? {
                Response::Status(Status::Ok, said) => {
                    self.note_capabilities(&said);
                    return Ok(());
                }
                Response::Status(Status::Preauth, _) if before_tls => {
                    return Err(Trouble::Tls(format!("{} does not allow TLS any more", self.host)));
                }
                Response::Status(Status::Preauth, _) => return Ok(()),
                Response::Status(Status::Bye, said) => return Err(Trouble::Busy(quoted(&said.text))),
                Response::Status(..) | Response::Other => {}
                _ => break,
            }
        }
        Err(Trouble::Protocol("it does not greet as an IMAP server".to_owned()))
    }

    fn note_capabilities(&mut self, said: &Said) {
        if said.code.first().is_some_and(|word| word == "CAPABILITY") {
            self.capabilities = said.code[1..].to_vec();
        }
    }

    async fn ask_capabilities(&mut self) -> Result<(), Trouble> {
        let mut found = Vec::new();
        self.run("CAPABILITY", |response| {
            if let Response::Capability(words) = response {
                found = words;
            }
            Ok(())
        })
        .await?;
        self.capabilities = found;
        Ok(())
    }

    /// Whether the server has a capability.
    pub(crate) fn can(&self, what: &str) -> bool {
        self.capabilities.iter().any(|one| one == what)
    }

    /// Signs in.
    ///
    /// # Errors
    /// [`Trouble::SignIn`] if the server refuses for good.
    pub(crate) async fn sign_in(&mut self, user: &str, password: &str) -> Result<(), Trouble> {
        self.capabilities.push(String::new());
        let outcome = if self.can("AUTH=PLAIN") || self.can("LOGINDISABLED") {
            let response = BASE64.encode(format!("\0{user}\0{password}"));
            if self.can("SASL-IR") {
                self.outcome(&[format!("AUTHENTICATE PLAIN {response}").as_bytes()]).await?
            } else {
                self.outcome(&[b"AUTHENTICATE PLAIN", response.as_bytes()]).await?
            }
        } else {
            self.login(user, password).await?
        };
        let (status, said) = outcome;
        if status != Status::Ok {
            let passing = ["UNAVAILABLE", "INUSE", "LIMIT", "CONTACTADMIN", "SERVERBUG", "THROTTLED"];
            let passing = said.code.first().is_some_and(|code| passing.contains(&code.as_str()));
            let text = quoted(&said.text);
            return Err(if passing { Trouble::Busy(text) } else { Trouble::SignIn(text) });
        }
        self.capabilities.clear();
        self.note_capabilities(&said);
        if self.capabilities.is_empty() {
            self.ask_capabilities().await?;
        }
        Ok(())
    }

    /// LOGIN, with literals where a quoted string does not do.
    async fn login(&mut self, user: &str, password: &str) -> Result<(Status, Said), Trouble> {
        let plain = |text: &str| text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_control());
        if plain(user) && plain(password) {
            let line = format!("LOGIN {} {}", quote(user), quote(password));
            return self.outcome(&[line.as_bytes()]).await;
        }
        let first = format!("LOGIN {{{}}}", user.len());
        let second = format!("{user} {{{}}}", password.len());
        self.outcome(&[first.as_bytes(), second.as_bytes(), password.as_bytes()]).await
    }

    /// All mailboxes.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) async fn list(&mut self) -> Result<Vec<Listed>, Trouble> {
        let special = self.can("SPECIAL-USE") && self.can("LIST-EXTENDED");
        let command = if special { "LIST \"\" \"*\" RETURN (SPECIAL-USE)" } else { "LIST \"\" \"*\"" };
        let mut found = Vec::new();
        self.run(command, |response| {
            if let Response::List(listed) = response {
                if found.len() >= MAX_LISTED {
                    return Err(Trouble::Hopeless(format!("the account has more than {MAX_LISTED} mailboxes")));
                }
                found.push(listed);
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// Opens a mailbox; `None` if the server says that it can't be.
    ///
    /// # Errors
    /// Those of the connection; the server names no UIDVALIDITY.
    pub(crate) async fn select(&mut self, raw: &[u8], read_only: bool) -> Result<Option<Selected>, Trouble> {
        let mut selected = Selected::default();
        let verb: &[u8] = if read_only { b"EXAMINE " } else { b"SELECT " };
        let command = [verb, b"\"", &escaped(raw), b"\""].concat();
        let (status, _) = self
            .exchange(&[&command], MAX_LINE_BYTES, |response| {
                match response {
                    Response::Exists(count) => selected.exists = count,
                    Response::Status(Status::Ok, said)
                        if said.code.first().is_some_and(|code| code == "UIDVALIDITY") =>
                    {
                        selected.uid_validity = said.code.get(1).and_then(|word| word.parse().ok()).unwrap_or_default();
                    }
                    _ => {}
                }
                Ok(())
            })
            .await?;
        match (status, selected.uid_validity) {
            (Status::Ok, 0) => Err(Trouble::Protocol("it names no UIDVALIDITY for a mailbox".to_owned())),
            (Status::Ok, _) => Ok(Some(selected)),
            _ => Ok(None),
        }
    }

    /// The UIDs above `last`, ascending.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) async fn uids_above(&mut self, last: u32) -> Result<Vec<u32>, Trouble> {
        let command = format!("UID SEARCH UID {}:*", last.saturating_add(1));
        let mut found: Vec<u32> = Vec::new();
        let outcome = self
            .exchange(&[command.as_bytes()], MAX_SEARCH_BYTES, |response| {
                if let Response::Search(uids) = response {
                    found.extend(uids);
                }
                Ok(())
            })
            .await?;
        accepted(outcome)?;
        // `*` is the last message, also when that is below.
        found.retain(|uid| *uid > last);
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// What messages are; those that are gone are left out.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) async fn metas(&mut self, uids: &[u32]) -> Result<Vec<Meta>, Trouble> {
        let gmail = if self.can("X-GM-EXT-1") { " X-GM-MSGID" } else { "" };
        let command = format!("UID FETCH {} (UID FLAGS INTERNALDATE RFC822.SIZE{gmail})", set_of(uids));
        let mut found: Vec<Meta> = Vec::new();
        self.run(&command, |response| {
            if let Response::Fetch(_, values) = response {
                let meta = meta_of(values);
                if uids.binary_search(&meta.uid).is_ok() && !found.iter().any(|one| one.uid == meta.uid) {
                    found.push(meta);
                }
            }
            Ok(())
        })
        .await?;
        found.sort_by_key(|meta| meta.uid);
        Ok(found)
    }

    /// Asks for the texts of messages; [`Self::next_text`] gives one after another.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) async fn ask_texts(&mut self, uids: &[u32]) -> Result<Asked, Trouble> {
        let tag = self.say(&[format!("UID FETCH {} (UID BODY.PEEK[])", set_of(uids)).as_bytes()]).await?;
        Ok(Asked { tag, unasked: 0 })
    }

    /// The next text that was asked for: its UID, as far as the server says it; `None` at the end.
    ///
    /// # Errors
    /// Those of the connection; [`Trouble::Busy`] if the server refuses.
    pub(crate) async fn next_text(&mut self, asked: &mut Asked) -> Result<Option<(u32, Text)>, Trouble> {
        loop {
            match self.response(MAX_LINE_BYTES).await? {
                Response::Tagged(tag, status, said) if tag == asked.tag => {
                    accepted((status, said))?;
                    return Ok(None);
                }
                Response::Fetch(_, values) => {
                    let mut uid = 0;
                    let mut text = None;
                    for (name, value) in values {
                        match (name.as_str(), value) {
                            ("UID", Value::Atom(number)) => uid = number_of(&number),
                            ("BODY[]" | "RFC822", Value::Text(bytes)) => text = Some(Text::Whole(bytes)),
                            ("BODY[]" | "RFC822", Value::Passed(size)) => text = Some(Text::Passed(size)),
                            ("BODY[]" | "RFC822", _) => text = Some(Text::Nothing),
                            _ => {}
                        }
                    }
                    // Without a text it is a change of flags that someone else made.
                    if let Some(text) = text {
                        return Ok(Some((uid, text)));
                    }
                }
                other => Self::pass(other, &mut asked.unasked)?,
            }
        }
    }

    /// Deletes messages. Where the server can't delete these alone, they are only marked as deleted.
    ///
    /// # Errors
    /// Those of the connection; the server refuses.
    pub(crate) async fn delete(&mut self, uids: &[u32]) -> Result<(), Trouble> {
        let set = set_of(uids);
        self.run(&format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)"), |_| Ok(())).await?;
        if self.can("UIDPLUS") || self.can("IMAP4REV2") {
            self.run(&format!("UID EXPUNGE {set}"), |_| Ok(())).await?;
        }
        Ok(())
    }

    /// Says goodbye; the answer does not matter.
    pub(crate) async fn log_out(&mut self) {
        let _ = self.say(&[b"LOGOUT"]).await;
    }

    /// Runs a command that has to succeed.
    async fn run(&mut self, command: &str, each: impl FnMut(Response) -> Result<(), Trouble>) -> Result<(), Trouble> {
        accepted(self.exchange(&[command.as_bytes()], MAX_LINE_BYTES, each).await?)
    }

    async fn outcome(&mut self, parts: &[&[u8]]) -> Result<(Status, Said), Trouble> {
        self.exchange(parts, MAX_LINE_BYTES, |_| Ok(())).await
    }

    /// Sends a command, its further parts as the server asks for them, and gives how it ended.
    async fn exchange(
        &mut self,
        parts: &[&[u8]],
        max_line: usize,
        mut each: impl FnMut(Response) -> Result<(), Trouble>,
    ) -> Result<(Status, Said), Trouble> {
        let tag = self.say(&parts[..1]).await?;
        let (mut rest, mut unasked) = (parts[1..].iter(), 0);
        loop {
            match self.response(max_line).await? {
                Response::Tagged(found, status, said) if found == tag => return Ok((status, said)),
                Response::Continue => match rest.next() {
                    Some(part) => self.link.send(&[part, &b"\r\n"[..]].concat()).await?,
                    None => return Err(Trouble::Protocol("it asks for more than there is".to_owned())),
                },
                other => {
                    Self::pass(other.clone(), &mut unasked)?;
                    each(other)?;
                }
            }
        }
    }

    /// What comes besides: too much of it, or the end.
    fn pass(response: Response, unasked: &mut usize) -> Result<(), Trouble> {
        *unasked += 1;
        match response {
            _ if *unasked > MAX_UNASKED => Err(Trouble::Protocol("answers without end".to_owned())),
            Response::Status(Status::Bye, said) => {
                Err(Trouble::Lost(format!("the server says {}", quoted(&said.text))))
            }
            Response::Tagged(..) => Err(Trouble::Protocol("an answer to what was not asked".to_owned())),
            _ => Ok(()),
        }
    }

    async fn say(&mut self, parts: &[&[u8]]) -> Result<Vec<u8>, Trouble> {
        self.tags += 1;
        let tag = format!("h{}", self.tags);
        let mut line = tag.clone().into_bytes();
        line.push(b' ');
        for part in parts {
            line.extend_from_slice(part);
        }
        line.extend_from_slice(b"\r\n");
        self.link.send(&line).await?;
        Ok(tag.into_bytes())
    }

    /// The next response, with its literals.
    async fn response(&mut self, max_line: usize) -> Result<Response, Trouble> {
        let first = self.link.line(max_line).await?;
        let mut pieces = vec![Piece::Text(first.clone())];
        let mut line = first.clone();
        while let Some(length) = literal_of(&first, &line) {
            if pieces.len() > 2 * MAX_LITERALS {
                return Err(Trouble::Protocol("too many strings in one answer".to_owned()));
            }
            pieces.push(self.literal(length, is_message(&line)).await?);
            line = self.link.line(max_line).await?;
            pieces.push(Piece::Text(line.clone()));
        }
        parse(&pieces).map_err(|wanted| Trouble::Protocol(format!("expected {wanted}")))
    }

    async fn literal(&mut self, length: u64, message: bool) -> Result<Piece, Trouble> {
        let most = if message { self.max_message_bytes } else { MAX_SMALL_LITERAL_BYTES };
        if length > MAX_PASSED_BYTES || (!message && length > most) {
            return Err(Trouble::Protocol(format!("a string of {length} bytes")));
        }
        let (mut left, mut bytes) = (length, Vec::new());
        while left > 0 {
            let some = self.link.some(left).await?;
            left -= some.len() as u64;
            if length <= most {
                bytes.extend_from_slice(&some);
            }
        }
        Ok(if length <= most { Piece::Literal(bytes) } else { Piece::Passed(length) })
    }
}

/// Texts that were asked for.
pub(crate) struct Asked {
    tag: Vec<u8>,
    unasked: usize,
}

fn accepted((status, said): (Status, Said)) -> Result<(), Trouble> {
    match status {
        Status::Ok => Ok(()),
        Status::Bad => Err(Trouble::Protocol(format!("it does not know a command: {}", quoted(&said.text)))),
        _ => Err(Trouble::Busy(quoted(&said.text))),
    }
}

fn number_of(word: &[u8]) -> u32 {
    std::str::from_utf8(word).ok().and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn meta_of(values: Vec<(String, Value)>) -> Meta {
    let mut meta = Meta::default();
    for (name, value) in values {
        match (name.as_str(), value) {
            ("UID", Value::Atom(number)) => meta.uid = number_of(&number),
            ("RFC822.SIZE", Value::Atom(number)) => {
                meta.size = std::str::from_utf8(&number).ok().and_then(|word| word.parse().ok()).unwrap_or_default();
            }
            ("X-GM-MSGID", Value::Atom(number)) => {
                meta.gmail = std::str::from_utf8(&number).ok().and_then(|word| word.parse().ok());
            }
            ("INTERNALDATE", Value::Text(date)) => meta.internal_date = String::from_utf8_lossy(&date).into_owned(),
            ("FLAGS", Value::List(flags)) => {
                let word = |value| match value {
                    Value::Atom(word) => String::from_utf8(word).ok(),
                    _ => None,
                };
                meta.flags = flags.into_iter().filter_map(word).collect();
            }
            _ => {}
        }
    }
    meta
}

/// A name within quotes.
fn escaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

fn quote(text: &str) -> String {
    format!("\"{}\"", String::from_utf8_lossy(&escaped(text.as_bytes())))
}

/// UIDs, ascending, as a sequence set.
pub(crate) fn set_of(uids: &[u32]) -> String {
    let mut out = String::new();
    let mut at = 0;
    while at < uids.len() {
        let mut end = at;
        while end + 1 < uids.len() && uids[end + 1] == uids[end] + 1 {
            end += 1;
        }
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(&uids[at].to_string());
        if end > at {
            out.push_str(&format!(":{}", uids[end]));
        }
        at = end + 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_written_as_ranges() {
        for (uids, set) in [(vec![1], "1"), (vec![1, 2, 3, 7, 9, 10], "1:3,7,9:10"), (vec![], "")] {
            assert_eq!(set_of(&uids), set);
        }
    }

    #[test]
    fn names_can_have_quotes_and_backslashes() {
        assert_eq!(quote(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
