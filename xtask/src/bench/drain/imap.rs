//! Just enough IMAP to see mail come, and to read the subjects of all that is there.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::accounts::{ACCOUNTS, PASSWORD, account};

/// Messages whose subjects are asked for at once.
const AT_ONCE: u64 = 5_000;
/// What the service may file mail into.
const MAILBOXES: [&str; 2] = ["INBOX", "Junk"];

/// A connection that is signed in.
pub struct Imap(BufReader<TcpStream>);

impl Imap {
    pub fn login(address: &str, user: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        stream.set_nodelay(true)?;
        let mut imap = Self(BufReader::new(stream));
        imap.line()?;
        imap.command(&format!("LOGIN {user} {PASSWORD}"))?;
        Ok(imap)
    }

    /// One line, with what its literal has, if it ends in one.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.0.read_line(&mut line)? > 0, "the connection was closed");
        let trimmed = line.trim_end();
        if let Some(count) = trimmed.strip_suffix('}').and_then(|line| line.rsplit_once('{')) {
            let mut literal = vec![0; count.1.parse()?];
            self.0.read_exact(&mut literal)?;
            line.push_str(&String::from_utf8_lossy(&literal));
        }
        Ok(line)
    }

    /// All that is said up to the tagged OK.
    pub fn command(&mut self, text: &str) -> Result<Vec<String>> {
        self.send(&format!("a {text}"))?;
        let mut said = Vec::new();
        loop {
            let line = self.line()?;
            if let Some(status) = line.strip_prefix("a ") {
                ensure!(status.starts_with("OK"), "{text}: {line}");
                return Ok(said);
            }
            said.push(line);
        }
    }

    pub fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.0.get_mut().write_all(format!("{text}\r\n").as_bytes())?)
    }

    /// What can end a wait from another thread.
    pub fn handle(&self) -> Result<TcpStream> {
        Ok(self.0.get_ref().try_clone()?)
    }
}

/// How often each account has which subject, in all its mailboxes.
pub fn subjects(address: &str) -> Result<Vec<HashMap<String, u32>>> {
    (0..ACCOUNTS).map(|number| of_account(address, &account(number)).with_context(|| account(number))).collect()
}

fn of_account(address: &str, user: &str) -> Result<HashMap<String, u32>> {
    let mut imap = Imap::login(address, user)?;
    let mut found = HashMap::new();
    for mailbox in MAILBOXES {
        let said = imap.command(&format!("EXAMINE {mailbox}"))?;
        let exists = |line: &String| line.trim_end().strip_prefix("* ")?.strip_suffix(" EXISTS")?.parse().ok();
        let count: u64 = said.iter().find_map(exists).context("EXISTS")?;
        for from in (1..=count).step_by(AT_ONCE as usize) {
            let range = format!("FETCH {from}:{} BODY.PEEK[HEADER.FIELDS (SUBJECT)]", (from + AT_ONCE - 1).min(count));
            for line in imap.command(&range)? {
                if let Some((_, subject)) = line.split_once("Subject: ") {
                    *found.entry(subject.trim_end_matches(['\r', '\n', ')']).to_owned()).or_default() += 1;
                }
            }
        }
    }
    Ok(found)
}
