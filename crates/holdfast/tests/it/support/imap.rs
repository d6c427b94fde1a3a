//! A plain IMAP client: commands as text, responses as text with their literals in place.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use super::PATIENCE;

/// A connection to an IMAP server, greeted.
pub struct Imap {
    stream: BufReader<TcpStream>,
    tag: u32,
}

/// What came back for one command.
#[derive(Debug)]
pub struct Answer {
    /// The untagged responses, each with its literals in place.
    pub untagged: Vec<String>,
    /// The tagged response, without its tag.
    pub tagged: String,
}

impl Answer {
    pub fn ok(self) -> Self {
        assert!(self.tagged.starts_with("OK"), "{self:?}");
        self
    }

    /// The numbers of a `* SEARCH` response.
    pub fn numbers(&self) -> Vec<u32> {
        self.untagged
            .iter()
            .filter_map(|line| line.strip_prefix("* SEARCH"))
            .flat_map(|line| line.split_whitespace().map(|word| word.parse().unwrap()))
            .collect()
    }
}

/// What stands before the literal of a message that has NUL.
fn binary(message: &[u8]) -> &'static str {
    if message.contains(&0) { "~" } else { "" }
}

impl Imap {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut imap = Self { stream: BufReader::new(stream), tag: 0 };
        imap.response()?;
        Ok(imap)
    }

    /// Connects and logs in.
    pub fn login(address: SocketAddr, user: &str) -> io::Result<Self> {
        let mut imap = Self::connect(address)?;
        let answer = imap.command(&format!("LOGIN {user} \"{}\"", super::PASSWORD))?;
        assert!(answer.tagged.starts_with("OK"), "{answer:?}");
        Ok(imap)
    }

    /// One response: a line, with every literal it announces.
    pub fn response(&mut self) -> io::Result<String> {
        let mut all = Vec::new();
        loop {
            if self.stream.read_until(b'\n', &mut all)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some(length) = announced_literal(&all) else { break };
            let start = all.len();
            all.resize(start + length, 0);
            self.stream.read_exact(&mut all[start..])?;
        }
        Ok(String::from_utf8_lossy(&all).trim_end().to_owned())
    }

    /// Sends a command and gives all that comes back for it.
    pub fn command(&mut self, command: &str) -> io::Result<Answer> {
        let tag = self.send(command)?;
        self.finish(&tag)
    }

    /// Sends a command without waiting.
    pub fn send(&mut self, command: &str) -> io::Result<String> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        self.stream.get_mut().write_all(format!("{tag} {command}\r\n").as_bytes())?;
        Ok(tag)
    }

    pub fn finish(&mut self, tag: &str) -> io::Result<Answer> {
        let mut untagged = Vec::new();
        loop {
            let line = self.response()?;
            if let Some(rest) = line.strip_prefix(tag) {
                return Ok(Answer { untagged, tagged: rest.trim_start().to_owned() });
            }
            untagged.push(line);
        }
    }

    /// A command whose answer has one literal: its bytes, as they are.
    pub fn literal(&mut self, command: &str) -> io::Result<Vec<u8>> {
        let tag = self.send(command)?;
        let mut literal = self.open_literal()?;
        let mut bytes = Vec::with_capacity(usize::try_from(literal.left).unwrap());
        literal.take(u64::MAX, &mut bytes)?;
        self.finish(&tag)?.ok();
        Ok(bytes)
    }

    /// The next literal, its bytes still to be read.
    pub fn open_literal(&mut self) -> io::Result<Literal<'_>> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        let Some(length) = announced_literal(&line) else {
            panic!("no literal, but {}", String::from_utf8_lossy(&line))
        };
        Ok(Literal { stream: &mut self.stream, left: length as u64 })
    }

    /// APPEND without waiting for the server's word (`{n+}`); a message with NUL needs a literal8 (RFC 3516).
    pub fn append_at_once(&mut self, mailbox: &str, message: &[u8]) -> io::Result<Answer> {
        let tag = self.send(&format!("APPEND {mailbox} {}{{{}+}}", binary(message), message.len()))?;
        self.raw(message)?;
        self.raw(b"\r\n")?;
        self.finish(&tag)
    }

    /// APPEND with a synchronising literal.
    pub fn append(&mut self, mailbox: &str, message: impl AsRef<[u8]>) -> io::Result<Answer> {
        let message = message.as_ref();
        let tag = self.send(&format!("APPEND {mailbox} {}{{{}}}", binary(message), message.len()))?;
        let line = self.response()?;
        if !line.starts_with('+') {
            let tagged = line.strip_prefix(&tag).unwrap_or(&line).trim_start().to_owned();
            return Ok(Answer { untagged: Vec::new(), tagged });
        }
        self.stream.get_mut().write_all(message)?;
        self.stream.get_mut().write_all(b"\r\n")?;
        self.finish(&tag)
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }
}

/// A literal that is being read.
pub struct Literal<'a> {
    stream: &'a mut BufReader<TcpStream>,
    /// How many bytes are still to come.
    pub left: u64,
}

impl Literal<'_> {
    /// Reads up to `count` bytes more into `bytes`.
    pub fn take(&mut self, count: u64, bytes: &mut impl Write) -> io::Result<()> {
        let count = count.min(self.left);
        let read = io::copy(&mut self.stream.by_ref().take(count), bytes)?;
        self.left -= read;
        if read == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// The length of the literal that the last line of `response` announces.
fn announced_literal(response: &[u8]) -> Option<usize> {
    let line = response.strip_suffix(b"\r\n")?.strip_suffix(b"}")?;
    let open = line.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(&line[open + 1..]).ok()?.parse().ok()
}
