//! A plain SMTP client.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use super::PATIENCE;

/// A connection to an SMTP server, greeted.
pub struct Smtp {
    stream: BufReader<TcpStream>,
}

impl Smtp {
    /// Connects, reads the greeting and says EHLO.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::connect_saying(address, "EHLO client.example.net")
    }

    /// Connects, reads the greeting and says LHLO.
    pub fn connect_lmtp(address: SocketAddr) -> io::Result<Self> {
        Self::connect_saying(address, "LHLO client.example.net")
    }

    /// The same from another address of this machine: any of 127.0.0.0/8.
    pub fn connect_from(own: Ipv4Addr, address: SocketAddr) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind((own, 0).into())?;
            socket.connect(address).await?.into_std()
        })?;
        stream.set_nonblocking(false)?;
        Self::greet(stream, "EHLO client.example.net")
    }

    fn connect_saying(address: SocketAddr, hello: &str) -> io::Result<Self> {
        Self::greet(TcpStream::connect(address)?, hello)
    }

    fn greet(stream: TcpStream, hello: &str) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut smtp = Self { stream: BufReader::new(stream) };
        smtp.reply()?;
        smtp.command(hello)?;
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

    /// Logs in by AUTH PLAIN.
    pub fn auth(&mut self, user: &str) -> io::Result<()> {
        use base64::Engine as _;
        let words = format!("\0{user}\0{}", super::PASSWORD);
        let reply = self.command(&format!("AUTH PLAIN {}", base64::engine::general_purpose::STANDARD.encode(words)))?;
        assert!(reply.starts_with("235"), "{reply}");
        Ok(())
    }

    /// Sends one message of any bytes that ends with CRLF by DATA, and gives the last reply.
    pub fn send_bytes(&mut self, from: &str, to: &str, message: &[u8]) -> io::Result<String> {
        self.envelope(from, to)?;
        let reply = self.command("DATA")?;
        assert!(reply.starts_with("354"), "{reply}");
        let mut stuffed = Vec::with_capacity(message.len() + message.len() / 64);
        for line in message.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b".") && (stuffed.is_empty() || stuffed.ends_with(b"\r\n")) {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        stuffed.extend_from_slice(b".\r\n");
        self.stream.get_mut().write_all(&stuffed)?;
        self.reply()
    }

    /// Sends one message of any bytes by BDAT, in chunks of `chunk` bytes, and gives the last reply.
    pub fn send_chunks(&mut self, from: &str, to: &str, message: &[u8], chunk: usize) -> io::Result<String> {
        self.envelope(from, to)?;
        let chunks = message.chunks(chunk);
        let last = chunks.len() - 1;
        for (number, bytes) in chunks.enumerate() {
            let end = if number == last { " LAST" } else { "" };
            self.stream.get_mut().write_all(format!("BDAT {}{end}\r\n", bytes.len()).as_bytes())?;
            self.stream.get_mut().write_all(bytes)?;
            let reply = self.reply()?;
            if number == last || !reply.starts_with("250") {
                return Ok(reply);
            }
        }
        unreachable!("the last chunk returns")
    }

    fn envelope(&mut self, from: &str, to: &str) -> io::Result<()> {
        for line in [format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>")] {
            let reply = self.command(&line)?;
            assert!(reply.starts_with("250"), "{line}: {reply}");
        }
        Ok(())
    }
}
