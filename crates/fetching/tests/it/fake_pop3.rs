//! A POP3 server with messages in memory.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::world::SECRET;

pub struct State {
    /// Names and texts.
    pub messages: Vec<(String, Vec<u8>)>,
    pub has_uidl: bool,
    /// The connection ends after so many commands.
    pub commands: Option<usize>,
}

#[derive(Clone)]
pub struct Pop {
    pub port: u16,
    pub state: Arc<Mutex<State>>,
}

impl Pop {
    pub async fn start(messages: Vec<(String, Vec<u8>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(Mutex::new(State { messages, has_uidl: true, commands: None }));
        let this = Self { port: listener.local_addr().unwrap().port(), state };
        let server = this.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        this
    }

    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        stream.get_mut().write_all(b"+OK ready\r\n").await.ok()?;
        let mut deleted: Vec<String> = Vec::new();
        let mailbox = self.state.lock().messages.clone();
        let mut count = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            count += 1;
            if self.state.lock().commands.is_some_and(|most| count > most) {
                return None;
            }
            let line = line.trim_end();
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let at = rest.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            let answer: Vec<u8> = match word {
                "CAPA" => b"+OK\r\nUIDL\r\nUSER\r\n.\r\n".to_vec(),
                "USER" => b"+OK\r\n".to_vec(),
                "PASS" if rest == SECRET => b"+OK\r\n".to_vec(),
                "PASS" => b"-ERR [AUTH] no\r\n".to_vec(),
                "UIDL" if !self.state.lock().has_uidl => b"-ERR what\r\n".to_vec(),
                "UIDL" => {
                    let lines = mailbox.iter().enumerate().map(|(at, (name, _))| format!("{} {name}\r\n", at + 1));
                    format!("+OK\r\n{}.\r\n", lines.collect::<String>()).into_bytes()
                }
                "RETR" => {
                    let text = String::from_utf8_lossy(&mailbox[at.unwrap()].1).replace("\r\n.", "\r\n..");
                    format!("+OK\r\n{text}.\r\n").into_bytes()
                }
                "DELE" => {
                    deleted.push(mailbox[at.unwrap()].0.clone());
                    b"+OK\r\n".to_vec()
                }
                "QUIT" => {
                    self.state.lock().messages.retain(|(name, _)| !deleted.contains(name));
                    stream.get_mut().write_all(b"+OK\r\n").await.ok()?;
                    return None;
                }
                _ => b"-ERR\r\n".to_vec(),
            };
            stream.get_mut().write_all(&answer).await.ok()?;
        }
    }
}
