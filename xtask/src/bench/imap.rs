//! Just enough IMAP to count messages.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

/// Messages in the INBOXes of all accounts.
pub fn messages(address: &str, accounts: u32, password: &str) -> Result<u64> {
    (0..accounts).try_fold(0, |sum, n| {
        let user = format!("bench{n}@bench.example");
        Ok(sum + inbox(address, &user, password).with_context(|| format!("{user} at {address}"))?)
    })
}

fn inbox(address: &str, user: &str, password: &str) -> Result<u64> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    lines.read_line(&mut line)?;
    command(&mut lines, "a", &format!("LOGIN {user} {password}"))?;
    let status = command(&mut lines, "b", "STATUS INBOX (MESSAGES)")?;
    command(&mut lines, "c", "LOGOUT")?;
    let (_, number) = status.split_once("MESSAGES ").with_context(|| status.clone())?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    Ok(digits.parse()?)
}

/// Gives all that was said up to the tagged OK.
fn command(lines: &mut BufReader<TcpStream>, tag: &str, text: &str) -> Result<String> {
    lines.get_mut().write_all(format!("{tag} {text}\r\n").as_bytes())?;
    let mut all = String::new();
    loop {
        let mut line = String::new();
        ensure!(lines.read_line(&mut line)? > 0, "the connection was closed after: {all}");
        if let Some(status) = line.strip_prefix(&format!("{tag} ")) {
            ensure!(status.starts_with("OK"), "{line}");
            return Ok(all);
        }
        all.push_str(&line);
    }
}
