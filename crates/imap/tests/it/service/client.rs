//! A client that understands nothing but lines and literals.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// How long any answer may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Client {
    stream: BufReader<TcpStream>,
    tags: u32,
    /// Whether lines show `\Recent`. Who sees it depends on who came first, which most tests are not about.
    pub sees_recent: bool,
}

/// The untagged responses to a command, and its tagged one without the tag.
#[derive(Debug)]
pub struct Answer {
    pub untagged: Vec<String>,
    pub tagged: String,
}

impl Answer {
    /// The answer, if it is OK.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.tagged.starts_with("OK"), "{self:#?}");
        self
    }

    /// Asserts how the tagged response begins.
    #[track_caller]
    pub fn is(self, start: &str) -> Self {
        assert!(self.tagged.starts_with(start), "expected {start}: {self:#?}");
        self
    }

    /// Asserts that an untagged response is there, word for word.
    #[track_caller]
    pub fn has(self, line: &str) -> Self {
        assert!(self.untagged.iter().any(|have| have == line), "expected {line:?} in {self:#?}");
        self
    }

    /// Asserts that no untagged response begins so.
    #[track_caller]
    pub fn lacks(self, start: &str) -> Self {
        assert!(!self.untagged.iter().any(|have| have.starts_with(start)), "did not expect {start:?} in {self:#?}");
        self
    }

    /// The first untagged response that begins so.
    #[track_caller]
    pub fn find(&self, start: &str) -> &str {
        self.untagged.iter().find(|have| have.starts_with(start)).unwrap_or_else(|| panic!("no {start:?} in {self:#?}"))
    }

    /// The code of the tagged response: `APPENDUID 1 2`.
    #[track_caller]
    pub fn code(&self) -> &str {
        let code = self.tagged.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        code.unwrap_or_else(|| panic!("no code in {self:#?}")).0
    }
}

impl Client {
    pub async fn connect(address: std::net::SocketAddr) -> (Self, String) {
        let stream = BufReader::new(TcpStream::connect(address).await.expect("the server listens"));
        let mut client = Self { stream, tags: 0, sees_recent: false };
        let greeting = client.line().await;
        (client, greeting)
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).await.expect("the server reads");
    }

    /// Sends bytes to a server that may be gone.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref()).await
    }

    /// The next bytes as they are.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let read = self.stream.read_exact(&mut bytes);
        tokio::time::timeout(PATIENCE, read).await.expect("in time").expect("so many bytes");
        bytes
    }

    /// All that comes until the connection ends, in whatever way.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut bytes)).await.expect("the end in time");
        bytes
    }

    /// One response with its literals, without the last CRLF; empty at the end of the stream.
    pub async fn line(&mut self) -> String {
        loop {
            let line = self.any_line().await;
            if self.sees_recent {
                return line;
            }
            if !(line.starts_with("* ") && line.ends_with(" RECENT")) {
                return line.replace("(\\Recent)", "()").replace("(\\Recent ", "(");
            }
        }
    }

    async fn any_line(&mut self) -> String {
        let read = async {
            let mut all = Vec::new();
            loop {
                let Ok(byte) = self.stream.read_u8().await else { return all };
                all.push(byte);
                if !all.ends_with(b"\r\n") {
                    continue;
                }
                all.truncate(all.len() - 2);
                let Some(len) = literal(&all) else { return all };
                all.extend_from_slice(b"\r\n");
                let start = all.len();
                all.resize(start + len, 0);
                self.stream.read_exact(&mut all[start..]).await.expect("the whole literal");
            }
        };
        let line = tokio::time::timeout(PATIENCE, read).await.expect("an answer in time");
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Sends a command and gathers its answer.
    pub async fn run(&mut self, command: impl AsRef<[u8]>) -> Answer {
        let tag = self.start(command).await;
        self.finish(&tag).await
    }

    /// Sends a command, without waiting.
    pub async fn start(&mut self, command: impl AsRef<[u8]>) -> String {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        let line = [tag.as_bytes(), b" ", command.as_ref(), b"\r\n"].concat();
        self.send(line).await;
        tag
    }

    /// Reads up to the tagged response.
    pub async fn finish(&mut self, tag: &str) -> Answer {
        let mut untagged = Vec::new();
        loop {
            let line = self.line().await;
            assert!(!line.is_empty(), "the connection ended after {untagged:#?}");
            match line.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                Some(tagged) => return Answer { untagged, tagged: tagged.to_owned() },
                None => untagged.push(line.strip_prefix("* ").unwrap_or(&line).to_owned()),
            }
        }
    }

    /// APPEND with a synchronising literal.
    pub async fn append(&mut self, words: &str, message: &[u8]) -> Answer {
        let tag = self.start(format!("APPEND {words} {{{}}}", message.len())).await;
        let line = self.line().await;
        if !line.starts_with('+') {
            let tagged = line.strip_prefix(&format!("{tag} ")).expect("a tagged refusal").to_owned();
            return Answer { untagged: Vec::new(), tagged };
        }
        self.send([message, b"\r\n"].concat()).await;
        self.finish(&tag).await
    }
}

/// The length of the literal announced at the end of `line`.
fn literal(line: &[u8]) -> Option<usize> {
    let body = line.strip_suffix(b"}")?;
    let open = body.iter().rposition(|&b| b == b'{')?;
    std::str::from_utf8(&body[open + 1..]).ok()?.parse().ok()
}
