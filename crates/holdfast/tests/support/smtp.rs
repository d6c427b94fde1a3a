//! A plain SMTP client.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
};

use super::PATIENCE;

/// A connection to an SMTP server, greeted.
pub struct Smtp {
    stream: BufReader<TcpStream>,
}

impl Smtp {
    /// Connects, reads the greeting and says EHLO.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut smtp = Self { stream: BufReader::new(stream) };
        smtp.reply()?;
        smtp.command("EHLO client.example.net")?;
        Ok(smtp)
    }

    /// One reply, all its lines.
    pub fn reply(&mut self) -> io::Result<String> {
        let mut all = String::new();
        loop {
            let start = all.len();
            if self.stream.read_line(&mut all)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if all.as_bytes().get(start + 3) == Some(&b' ') {
                return Ok(all);
            }
        }
    }

    /// Sends a line and gives the reply.
    pub fn command(&mut self, line: &str) -> io::Result<String> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// Sends one message, given without dot-stuffing, and gives the last reply: the one that takes responsibility.
    pub fn send(&mut self, from: &str, to: &[&str], message: &str) -> io::Result<String> {
        let mut commands = format!("MAIL FROM:<{from}>\r\n");
        for recipient in to {
            commands += &format!("RCPT TO:<{recipient}>\r\n");
        }
        commands += "DATA\r\n";
        self.stream.get_mut().write_all(commands.as_bytes())?;
        for _ in 0..=to.len() {
            let reply = self.reply()?;
            if !reply.starts_with("250") {
                self.reply()?;
                return Ok(reply);
            }
        }
        let reply = self.reply()?;
        if !reply.starts_with("354") {
            return Ok(reply);
        }
        let stuffed = message.replace("\r\n.", "\r\n..");
        self.stream.get_mut().write_all(format!("{stuffed}\r\n.\r\n").as_bytes())?;
        self.reply()
    }
}
