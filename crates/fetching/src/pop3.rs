//! POP3 from the client's side (RFC 1939, RFC 2449, RFC 2595).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::link::{Link, Means, Target};
use crate::source::Security;
use crate::trouble::{Trouble, quoted};

/// Longest line of an answer.
const MAX_LINE_BYTES: usize = 4096;
/// Longest line of a message.
const MAX_MESSAGE_LINE_BYTES: usize = 1 << 20;
/// Most messages of a mailbox.
const MAX_MESSAGES: usize = 1_000_000;
/// Lines of CAPA.
const MAX_CAPABILITIES: usize = 200;
/// A message that is too large is read over up to here.
const MAX_PASSED_BYTES: u64 = 2 << 30;
/// Longest name of a message (RFC 1939: 70).
const MAX_UIDL_BYTES: usize = 1000;

/// A session.
pub(crate) struct Client {
    link: Link,
    host: String,
    capabilities: Vec<String>,
    max_message_bytes: u64,
}

/// A message in the mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub number: u32,
    pub uidl: Vec<u8>,
}

/// The text of a message.
pub(crate) enum Text {
    Whole(Vec<u8>),
    /// It is larger than what is read: its size at least.
    Passed(u64),
    /// The server refuses it: what it says.
    Refused(String),
}

/// What a server answers to a command.
enum Answer {
    Ok,
    Err(Vec<u8>),
}

impl Client {
    /// Connects and gets to where signing in is safe.
    ///
    /// # Errors
    /// The server can't be reached, or TLS is not to be had.
    pub(crate) async fn open(target: Target<'_>, means: Means<'_>) -> Result<Self, Trouble> {
        let mut this = Self {
            link: Link::open(target, means).await?,
            host: target.host.to_owned(),
            capabilities: Vec::new(),
            max_message_bytes: means.policy.max_message_bytes,
        };
        if let Answer::Err(text) = this.answer().await? {
            return Err(Trouble::Busy(quoted(&text)));
        }
        this.ask_capabilities().await?;
        if target.security == Security::StartTls {
            if let Answer::Err(text) = this.command("STLS").await? {
                return Err(Trouble::Tls(format!("{} refused TLS: {}", this.host, quoted(&text))));
            }
            this.link = this.link.secured(target.host, means.tls).await?;
            this.ask_capabilities().await?;
        }
        Ok(this)
    }

    async fn ask_capabilities(&mut self) -> Result<(), Trouble> {
        self.capabilities.clear();
        // A server that does not know the command has none.
        if let Answer::Ok = self.command("CAPA").await? {
            while let Some(line) = self.line_of_many().await? {
                if self.capabilities.len() >= MAX_CAPABILITIES {
                    return Err(Trouble::Protocol("capabilities without end".to_owned()));
                }
                self.capabilities.push(String::from_utf8_lossy(&line).to_ascii_uppercase());
            }
        }
        Ok(())
    }

    /// Signs in.
    ///
    /// # Errors
    /// [`Trouble::SignIn`] if the server refuses for good.
    pub(crate) async fn sign_in(&mut self, user: &str, password: &str) -> Result<(), Trouble> {
        let by_sasl = self.capabilities.iter().any(|one| {
            let mut words = one.split(' ');
            words.next() == Some("SASL") && words.any(|word| word == "PLAIN")
        });
        let answer = if by_sasl {
            let response = BASE64.encode(format!("\0{user}\0{password}"));
            match self.command("AUTH PLAIN").await? {
                // `+` asks for the response.
                Answer::Ok => self.command(&response).await?,
                refused @ Answer::Err(_) => refused,
            }
        } else {
            match self.command(&format!("USER {user}")).await? {
                Answer::Ok => self.command(&format!("PASS {password}")).await?,
                refused @ Answer::Err(_) => refused,
            }
        };
        let Answer::Err(text) = answer else { return Ok(()) };
        let code = text.trim_ascii_start().to_ascii_uppercase();
        // RFC 3206 and RFC 2449: it is not the password.
        let passing = [&b"[SYS/TEMP"[..], b"[IN-USE", b"[LOGIN-DELAY"].iter().any(|known| code.starts_with(known));
        let text = quoted(&text);
        Err(if passing { Trouble::Busy(text) } else { Trouble::SignIn(text) })
    }

    /// All messages by their names.
    ///
    /// # Errors
    /// The server has no names for messages: without them it can't be known which were fetched.
    pub(crate) async fn list(&mut self) -> Result<Vec<Listed>, Trouble> {
        if let Answer::Err(_) = self.command("UIDL").await? {
            return Err(Trouble::Hopeless(format!(
                "{} has no UIDL, so it can't be known which messages were fetched already; use IMAP if the server has it",
                self.host
            )));
        }
        let mut found = Vec::new();
        while let Some(line) = self.line_of_many().await? {
            if found.len() >= MAX_MESSAGES {
                return Err(Trouble::Hopeless(format!("the mailbox has more than {MAX_MESSAGES} messages")));
            }
            let split = line.iter().position(|byte| *byte == b' ');
            let parts = split.map(|at| (&line[..at], line[at + 1..].trim_ascii()));
            let number = parts.and_then(|(number, _)| std::str::from_utf8(number).ok()?.parse().ok());
            match (number, parts) {
                (Some(number), Some((_, name))) if !name.is_empty() && name.len() <= MAX_UIDL_BYTES => {
                    found.push(Listed { number, uidl: name.to_vec() });
                }
                _ => return Err(Trouble::Protocol("a name of a message that is none".to_owned())),
            }
        }
        Ok(found)
    }

    /// The text of a message.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) async fn text(&mut self, number: u32) -> Result<Text, Trouble> {
        if let Answer::Err(text) = self.command(&format!("RETR {number}")).await? {
            return Ok(Text::Refused(quoted(&text)));
        }
        let (mut bytes, mut count) = (Vec::new(), 0u64);
        loop {
            let mut line = self.link.line(MAX_MESSAGE_LINE_BYTES).await?;
            if line == b"." {
                break;
            }
            if line.first() == Some(&b'.') {
                line.remove(0);
            }
            count += line.len() as u64 + 2;
            if count > MAX_PASSED_BYTES {
                return Err(Trouble::Protocol("a message without end".to_owned()));
            }
            if count <= self.max_message_bytes {
                bytes.extend_from_slice(&line);
                bytes.extend_from_slice(b"\r\n");
            } else {
                bytes = Vec::new();
            }
        }
        Ok(if count <= self.max_message_bytes { Text::Whole(bytes) } else { Text::Passed(count) })
    }

    /// Marks a message to be deleted when the session ends well.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) async fn delete(&mut self, number: u32) -> Result<(), Trouble> {
        // One that can't be deleted stays, and is known by its name.
        self.command(&format!("DELE {number}")).await.map(drop)
    }

    /// Ends the session: what was marked is deleted.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) async fn quit(&mut self) -> Result<(), Trouble> {
        self.command("QUIT").await.map(drop)
    }

    async fn command(&mut self, line: &str) -> Result<Answer, Trouble> {
        self.link.send(format!("{line}\r\n").as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Answer, Trouble> {
        let line = self.link.line(MAX_LINE_BYTES).await?;
        // `+` alone asks for more.
        if line.starts_with(b"+OK") || line == b"+" || line.starts_with(b"+ ") {
            return Ok(Answer::Ok);
        }
        match line.strip_prefix(b"-ERR") {
            Some(text) => Ok(Answer::Err(text.trim_ascii_start().to_vec())),
            None => Err(Trouble::Protocol("it does not answer as a POP3 server".to_owned())),
        }
    }

    /// A line of an answer with many; `None` at its end.
    async fn line_of_many(&mut self) -> Result<Option<Vec<u8>>, Trouble> {
        let line = self.link.line(MAX_LINE_BYTES).await?;
        Ok(match line.strip_prefix(b".") {
            Some(b"") => None,
            Some(rest) => Some(rest.to_vec()),
            None => Some(line),
        })
    }
}
