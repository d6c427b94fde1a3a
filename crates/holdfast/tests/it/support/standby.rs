//! Two machines: a primary that is served, and a standby that follows it.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use super::{PATIENCE, Server, holdfast, imap::Imap, port, smtp::Smtp, write_config};

pub struct Primary {
    pub server: Server,
    pub address: SocketAddr,
}

pub fn primary(dir: &Path, more: &str) -> Primary {
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    // Tables may be opened once only: the listener goes into the environment.
    let server = Server::start_with_env(dir, more, &[("HOLDFAST_LISTEN__STANDBY", address.to_string())]);
    Primary { server, address }
}

/// A standby process, which becomes a service when it is promoted.
pub struct Standby {
    child: Child,
    dir: PathBuf,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Standby {
    /// Pairs and follows.
    pub fn pair(dir: &Path, primary: &Primary, more: &str) -> Self {
        let code = said(primary.server.dir(), &["standby", "code"]);
        let code = code.lines().next().unwrap().to_owned();
        write_config(dir, more);
        Self::spawn(dir, &["--primary", &primary.address.to_string(), "--code", &code])
    }

    pub fn spawn(dir: &Path, args: &[&str]) -> Self {
        Self::spawn_with_env(dir, args, &[])
    }

    /// The same with keys of the configuration in the environment.
    pub fn spawn_with_env(dir: &Path, args: &[&str], env: &[(&str, String)]) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(dir.join("stderr.log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(["--config", dir.join("holdfast.toml").to_str().unwrap(), "standby"])
            .args(if args.contains(&"--name") { [].as_slice() } else { ["--name", "two"].as_slice() })
            .args(args)
            .envs(env.iter().map(|(name, value)| (*name, value.as_str())))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let (say, lines) = std::sync::mpsc::channel();
        let output = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        let standby = Self { child, dir: dir.to_owned(), lines };
        standby.line("ready");
        standby
    }

    /// Waits for a line that holds `text`, and gives those up to it.
    pub fn line(&self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| {
                let log = std::fs::read_to_string(self.dir.join("stderr.log")).unwrap_or_default();
                panic!("no line with {text:?} after {seen:?}:\n{log}")
            });
            let found = line.contains(text);
            seen.push(line);
            if found {
                return seen;
            }
        }
    }

    pub fn status(&self) -> String {
        status(&self.dir)
    }

    /// The address of a door, once this is the primary.
    pub fn promoted(&self) -> SocketAddr {
        let lines = self.line("ready");
        let line = lines.iter().find(|line| line.trim_start().starts_with("imap ")).expect("it serves IMAP");
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Sends its process a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn run(dir: &Path, args: &[&str]) -> Output {
    holdfast(dir, args, "")
}

#[track_caller]
pub fn said(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What `holdfast standby status` says, on either side. It ends with 1 when an alarm is in it, and only then.
#[track_caller]
pub fn status(dir: &Path) -> String {
    let output = run(dir, &["standby", "status"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !text.is_empty() {
        assert_eq!(output.status.code(), Some(i32::from(text.contains("ALARM"))), "{text}");
    }
    text
}

/// The commit up to which a status says that it has received, and applied.
pub fn numbers(status: &str) -> Option<(u64, u64)> {
    let line = status.lines().find(|line| line.contains("received commit "))?;
    let number = |after: &str| line.split(after).nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    Some((number("received commit ")?, number("applied ")?))
}

pub fn has_all(primary: &Primary, standby: &Standby) -> bool {
    let end = status(primary.server.dir());
    let end: u64 = end.lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    numbers(&standby.status()) == Some((end, end))
}

pub fn deliver(address: SocketAddr, to: &str, subject: &str) -> std::io::Result<String> {
    let mut smtp = Smtp::connect(address)?;
    smtp.send("x@example.net", &[to], &format!("From: x@example.net\r\nSubject: {subject}\r\n\r\nText.\r\n"))
}

pub fn subjects(imap: SocketAddr, user: &str) -> Vec<String> {
    let mut imap = Imap::login(imap, user).unwrap();
    imap.command("EXAMINE INBOX").unwrap().ok();
    let answer = imap.command("FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]").unwrap();
    let found = answer.untagged.iter().flat_map(|line| line.lines().map(str::to_owned).collect::<Vec<_>>());
    found.filter_map(|line| line.strip_prefix("Subject: ").map(str::to_owned)).collect()
}
