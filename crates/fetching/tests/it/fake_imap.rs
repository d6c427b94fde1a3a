//! An IMAP server with mailboxes in memory, that can be told to misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::world::SECRET;

#[derive(Clone)]
pub struct Message {
    pub uid: u32,
    pub flags: &'static str,
    pub date: &'static str,
    pub bytes: Vec<u8>,
    pub gmail: u64,
}

impl Message {
    pub fn new(uid: u32, bytes: Vec<u8>) -> Self {
        Self { uid, flags: "", date: "17-Jul-1996 02:44:25 -0700", bytes, gmail: 0 }
    }
}

#[derive(Clone)]
pub struct Mailbox {
    pub name: &'static str,
    pub attributes: &'static str,
    pub validity: u32,
    pub messages: Vec<Message>,
}

impl Mailbox {
    pub fn new(name: &'static str, messages: Vec<Message>) -> Self {
        Self { name, attributes: "", validity: 1, messages }
    }
}

pub struct State {
    pub mailboxes: Vec<Mailbox>,
    pub delimiter: &'static str,
    pub capabilities: &'static str,
    pub password: String,
    /// The connection ends after so many bytes.
    pub cut: Option<usize>,
    /// RFC822.SIZE says this, whatever the size is.
    pub says_size: Option<usize>,
    /// UIDs that are gone between SEARCH and FETCH.
    pub vanish: Vec<u32>,
    /// A UID whose text the server refuses together with others, and alone.
    pub refuses: Option<u32>,
    /// A UID at which the connection ends.
    pub breaks_at: Option<u32>,
    /// What is said after each FETCH besides.
    pub interjects: &'static str,
}

#[derive(Clone)]
pub struct Fake {
    pub port: u16,
    pub state: Arc<Mutex<State>>,
    /// Texts that were sent.
    pub texts: Arc<AtomicUsize>,
}

impl Fake {
    pub async fn start(mailboxes: Vec<Mailbox>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = State {
            mailboxes,
            delimiter: "\".\"",
            capabilities: "IMAP4rev1 UIDPLUS",
            password: SECRET.to_owned(),
            cut: None,
            says_size: None,
            vanish: Vec::new(),
            refuses: None,
            breaks_at: None,
            interjects: "",
        };
        let this = Self {
            port: listener.local_addr().unwrap().port(),
            state: Arc::new(Mutex::new(state)),
            texts: Arc::default(),
        };
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
        let mut sent = 0;
        let mut selected = None;
        let cut = self.state.lock().cut;
        say(&mut stream, &mut sent, cut, b"* OK hello {7}\r\n").await?;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let (answer, end) = self.answer(line.trim_end(), &mut selected);
            let cut = self.state.lock().cut;
            say(&mut stream, &mut sent, cut, &answer).await?;
            if end {
                return None;
            }
        }
    }

    fn answer(&self, line: &str, selected: &mut Option<usize>) -> (Vec<u8>, bool) {
        let (tag, command) = line.split_once(' ').unwrap_or((line, ""));
        let mut state = self.state.lock();
        let done = |text: &str| format!("{tag} {text}\r\n").into_bytes();
        let words: Vec<&str> = command.split(' ').collect();
        match words[0].to_ascii_uppercase().as_str() {
            "CAPABILITY" => {
                let mut out = format!("* CAPABILITY {}\r\n", state.capabilities).into_bytes();
                out.extend(done("OK done"));
                (out, false)
            }
            "LOGIN" => {
                let quoted = state.password.replace('\\', "\\\\").replace('"', "\\\"");
                if command == format!("LOGIN \"old@example.net\" \"{quoted}\"") {
                    (done("OK welcome"), false)
                } else {
                    (done("NO [AUTHENTICATIONFAILED] wrong"), false)
                }
            }
            "LIST" => {
                let mut out = Vec::new();
                for mailbox in &state.mailboxes {
                    let name = mailbox.name;
                    out.extend(
                        format!("* LIST ({}) {} \"{name}\"\r\n", mailbox.attributes, state.delimiter).into_bytes(),
                    );
                }
                out.extend(done("OK done"));
                (out, false)
            }
            "EXAMINE" | "SELECT" => {
                let name = command.split_once(' ').unwrap().1.trim_matches('"');
                let at = state.mailboxes.iter().position(|one| one.name == name);
                *selected = at;
                let Some(at) = at else { return (done("NO [NONEXISTENT] no"), false) };
                let mailbox = &state.mailboxes[at];
                let mut out = format!(
                    "* {} EXISTS\r\n* 0 RECENT\r\n* FLAGS (\\Seen)\r\n* OK [UIDVALIDITY {}] ok\r\n",
                    mailbox.messages.len(),
                    mailbox.validity
                )
                .into_bytes();
                out.extend(done("OK done"));
                (out, false)
            }
            "UID" => self.uid(&mut state, tag, &words, selected.unwrap()),
            "LOGOUT" => (done("OK bye"), true),
            _ => (done("BAD what"), false),
        }
    }

    fn uid(&self, state: &mut State, tag: &str, words: &[&str], selected: usize) -> (Vec<u8>, bool) {
        let done = |text: &str| format!("{tag} {text}\r\n").into_bytes();
        let mut out = Vec::new();
        let (vanish, refuses, breaks_at) = (state.vanish.clone(), state.refuses, state.breaks_at);
        let (says_size, interjects) = (state.says_size, state.interjects);
        let mailbox = &mut state.mailboxes[selected];
        match words[1].to_ascii_uppercase().as_str() {
            "SEARCH" => {
                let last = mailbox.messages.iter().map(|one| one.uid).max();
                let from: u32 = words[3].split(':').next().unwrap().parse().unwrap();
                let found = mailbox.messages.iter().map(|one| one.uid).filter(|uid| *uid >= from || Some(*uid) == last);
                let found: Vec<String> = found.map(|uid| uid.to_string()).collect();
                out.extend(format!("* SEARCH {}\r\n", found.join(" ")).into_bytes());
            }
            "FETCH" => {
                let wanted = set(words[2]);
                let texts = words[3..].join(" ").contains("BODY.PEEK[]");
                if texts && refuses.is_some_and(|uid| wanted.contains(&uid)) {
                    return (done("NO can't read it"), false);
                }
                for (at, one) in mailbox.messages.iter().enumerate().filter(|(_, one)| wanted.contains(&one.uid)) {
                    if vanish.contains(&one.uid) {
                        continue;
                    }
                    let number = at + 1;
                    if texts {
                        if breaks_at == Some(one.uid) {
                            out.extend(format!("* {number} FETCH (UID {} BODY[] {{100}}\r\nxx", one.uid).into_bytes());
                            return (out, true);
                        }
                        self.texts.fetch_add(1, Ordering::Relaxed);
                        out.extend(
                            format!("* {number} FETCH (UID {} BODY[] {{{}}}\r\n", one.uid, one.bytes.len())
                                .into_bytes(),
                        );
                        out.extend(&one.bytes);
                        out.extend(b")\r\n");
                    } else {
                        let size = says_size.unwrap_or(one.bytes.len());
                        let gmail = if one.gmail > 0 { format!(" X-GM-MSGID {}", one.gmail) } else { String::new() };
                        out.extend(
                            format!(
                                "* {number} FETCH (UID {} FLAGS ({}) INTERNALDATE \"{}\" RFC822.SIZE {size}{gmail})\r\n",
                                one.uid, one.flags, one.date
                            )
                            .into_bytes(),
                        );
                    }
                    out.extend(interjects.as_bytes());
                }
            }
            "STORE" => {
                let wanted = set(words[2]);
                for one in mailbox.messages.iter_mut().filter(|one| wanted.contains(&one.uid)) {
                    one.flags = "\\Deleted";
                }
            }
            "EXPUNGE" => {
                let wanted = set(words[2]);
                mailbox.messages.retain(|one| !wanted.contains(&one.uid) || one.flags != "\\Deleted");
            }
            _ => return (done("BAD what"), false),
        }
        out.extend(done("OK done"));
        (out, false)
    }
}

async fn say(stream: &mut BufReader<TcpStream>, sent: &mut usize, cut: Option<usize>, bytes: &[u8]) -> Option<()> {
    let most = cut.map_or(usize::MAX, |cut| cut.saturating_sub(*sent));
    let part = &bytes[..bytes.len().min(most)];
    stream.get_mut().write_all(part).await.ok()?;
    *sent += part.len();
    (part.len() == bytes.len()).then_some(())
}

fn set(text: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (from, to) = part.split_once(':').unwrap_or((part, part));
        from.parse::<u32>().unwrap()..=to.parse::<u32>().unwrap()
    };
    text.split(',').flat_map(range).collect()
}
