//! Mail that was kept for a primary of another make, given to that server by SMTP: the last hop of a relay.
//!
//! No report is ever sent. What became of each recipient is the caller's to remember.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dnskit::Resolver;
use mailkit::{EmailAddress, narrow};
use store::{BodyId, Store};
use tokio::sync::Semaphore;

use crate::outbound::attempt::{Openable, suited};
use crate::outbound::connection::{Connection, ConnectionError, MessageSource};
use crate::outbound::hosts::{self, Host};
use crate::outbound::pool::Pool;
use crate::outbound::transaction::{Fate, Mail, MailRecipient, TlsWish};
use crate::outbound::{Reply, tls::TlsClients};
use crate::source::{QueuedBody, read_all};
use crate::suit;
use crate::{DeliveryError, DeliveryOptions, NextHop, Notify, Result};

/// Messages that are converted at once: each is in memory.
const CONVERTED_AT_ONCE: usize = 1;
/// Read from the store at a time.
const PIECE_BYTES: usize = 256 << 10;

/// One server, and how it is reached. Its certificate is not verified unless it is required: as for any MX host.
pub struct Handover {
    store: Store,
    options: DeliveryOptions,
    host: Host,
    resolver: Arc<dyn Resolver>,
    tls: TlsClients,
    pool: Pool,
    converting: Semaphore,
}

/// A message for the server.
#[derive(Debug, Clone)]
pub struct HandoverMail {
    /// The reverse-path; empty is the null sender.
    pub from: String,
    /// The forward-paths; not empty.
    pub recipients: Vec<String>,
    /// SMTPUTF8 was given when it came.
    pub smtputf8: bool,
    /// What is put above it: our Received line.
    pub trace: Bytes,
    /// Its bytes.
    pub body: BodyId,
}

/// What became of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handed {
    /// The server has it.
    Taken,
    /// The server will never take it; its words.
    Refused(String),
    /// Not now; why.
    Later(String),
}

/// What the server says of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedOf {
    /// It takes mail for it.
    Known,
    /// It does not; its words.
    Unknown(String),
    /// No answer now.
    NotNow(String),
}

impl From<Fate> for Handed {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Delivered(_) => Self::Taken,
            Fate::Failed(reply) => Self::Refused(reply.to_string()),
            Fate::Deferred(reply) => Self::Later(reply.to_string()),
        }
    }
}

impl Handover {
    /// To the server at `hop`.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub fn new(store: Store, options: DeliveryOptions, hop: NextHop, resolver: Arc<dyn Resolver>) -> Result<Self> {
        let tls = TlsClients::new(&options.further_authorities)
            .map_err(|e| DeliveryError::BadOption { option: "tls", problem: e.to_string() })?;
        let host = Host { from_dns: false, implicit_tls: hop.implicit_tls, ..Host::named(hop.host, hop.port) };
        let pool = Pool::new(options.keep_connection, options.max_messages_per_connection);
        Ok(Self { store, options, host, resolver, tls, pool, converting: Semaphore::new(CONVERTED_AT_ONCE) })
    }

    /// A connection that is ready for a transaction.
    async fn connection(&self) -> std::result::Result<Connection, String> {
        match self.pool.take(&self.host) {
            Some(connection) => Ok(connection),
            None => self.new_connection().await,
        }
    }

    async fn new_connection(&self) -> std::result::Result<Connection, String> {
        let addresses = hosts::addresses_of(&self.host, &self.options, &*self.resolver).await;
        let mut why = match addresses {
            Err(hosts::NoHost::Permanent(_, why) | hosts::NoHost::Temporary(_, why)) => return Err(why),
            Ok(addresses) if addresses.is_empty() => return Err("it has no address".to_owned()),
            Ok(addresses) => {
                let mut why = String::new();
                for address in addresses {
                    match Connection::open(&self.host, address, &self.options, &self.tls).await {
                        Ok(connection) => return Ok(connection),
                        Err(error) => why = error.to_string(),
                    }
                }
                why
            }
        };
        why.truncate(why.floor_char_boundary(500));
        Err(why)
    }

    /// Whether the server takes connections.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn probe(&self) -> std::result::Result<(), String> {
        let connection = self.new_connection().await?;
        self.pool.give(&self.host, connection);
        Ok(())
    }

    /// Closes connections that wait for another message for too long.
    pub fn sweep(&self) {
        self.pool.sweep(false);
    }

    /// Gives a message; one outcome for each recipient, in order. If the connection is lost between the end of the message
    /// and the server's answer, the outcome is [`Handed::Later`] although the server may have it.
    ///
    /// # Errors
    /// The server can't be reached; nothing was sent.
    pub async fn give(&self, message: &HandoverMail) -> std::result::Result<Vec<Handed>, String> {
        let outgoing = match Kept::read(self, message).await {
            Ok(outgoing) => outgoing,
            Err(error) => {
                tracing::error!(%error, "a message that waits for the primary can't be read here");
                let later = Handed::Later("the message can't be read on the relay".to_owned());
                return Ok(vec![later; message.recipients.len()]);
            }
        };
        let mut handed = Vec::with_capacity(message.recipients.len());
        for recipients in message.recipients.chunks(self.options.max_recipients_per_transaction) {
            match self.give_some(&outgoing, recipients).await {
                Ok(some) => handed.extend(some),
                // What some recipients have is not given to them again.
                Err(why) if !handed.is_empty() => handed.extend(recipients.iter().map(|_| Handed::Later(why.clone()))),
                Err(why) => return Err(why),
            }
        }
        Ok(handed)
    }

    async fn give_some(&self, outgoing: &Kept<'_>, recipients: &[String]) -> std::result::Result<Vec<Handed>, String> {
        let mut connection = self.connection().await?;
        loop {
            let is_new = connection.transactions() == 0;
            let mail =
                Mail { recipients: recipients.iter().map(|to| recipient(to)).collect(), ..outgoing.mail.clone() };
            let (mail, converted) = match suited(&mail, connection.capabilities().eight_bit, outgoing).await {
                Ok(suited) => suited,
                Err(reply) => {
                    self.pool.give(&self.host, connection);
                    return Ok(vec![Fate::refused(&reply).into(); recipients.len()]);
                }
            };
            let mut source = outgoing.source(converted);
            let sent = connection.send(mail, &mut *source).await;
            if sent.untouched && !is_new {
                // One that waited, which the server had closed.
                connection = self.new_connection().await?;
                continue;
            }
            if sent.reusable {
                self.pool.give(&self.host, connection);
            }
            return Ok(sent.fates.into_iter().map(Handed::from).collect());
        }
    }

    /// Asks whether the server takes mail for an address, and sends nothing.
    pub async fn ask(&self, address: &EmailAddress) -> AskedOf {
        let mut connection = match self.connection().await {
            Ok(connection) => connection,
            Err(why) => return AskedOf::NotNow(why),
        };
        let mut answer = connection.would_take(address).await;
        if answer.is_err() {
            answer = match self.new_connection().await {
                Ok(new) => {
                    connection = new;
                    connection.would_take(address).await
                }
                Err(why) => return AskedOf::NotNow(why),
            };
        }
        match answer {
            Ok(reply) => {
                self.pool.give(&self.host, connection);
                match Fate::refused(&reply) {
                    _ if reply.is_positive() => AskedOf::Known,
                    Fate::Failed(reply) => AskedOf::Unknown(reply.to_string()),
                    _ => AskedOf::NotNow(reply.to_string()),
                }
            }
            Err(error) => AskedOf::NotNow(error.to_string()),
        }
    }
}

fn recipient(address: &str) -> MailRecipient {
    MailRecipient { address: address.to_owned(), notify: Notify::default(), orcpt: None }
}

/// A kept message on its way out.
struct Kept<'a> {
    handover: &'a Handover,
    message: &'a HandoverMail,
    body: QueuedBody,
    mail: Mail,
}

impl<'a> Kept<'a> {
    /// Looks at the bytes: what the server has to know of them.
    async fn read(handover: &'a Handover, message: &'a HandoverMail) -> io::Result<Self> {
        let (store, body) = (handover.store.clone(), message.body);
        let looked = tokio::task::spawn_blocking(move || {
            let mut body = store.body(&body)?;
            let mut looked = Looked::default();
            loop {
                let piece = body.read_range(looked.bytes, PIECE_BYTES)?;
                if piece.is_empty() {
                    return Ok::<_, store::StoreError>(looked);
                }
                looked.look(&piece);
            }
        });
        let looked = looked.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
        let needs_utf8 = [&message.from].into_iter().chain(&message.recipients).any(|address| !address.is_ascii());
        let mail = Mail {
            from: message.from.clone(),
            recipients: Vec::new(),
            size: looked.bytes + message.trace.len() as u64,
            eight_bit: looked.eight_bit,
            long_lines: looked.long_lines,
            smtputf8: message.smtputf8 && (needs_utf8 || looked.eight_bit_header),
            ret: None,
            envid: None,
            tls: TlsWish::Usual,
        };
        let body = QueuedBody::kept(&handover.store, message.body, message.trace.clone());
        Ok(Self { handover, message, body, mail })
    }

    fn source(&self, converted: Option<Bytes>) -> Box<dyn MessageSource + '_> {
        match converted {
            Some(bytes) => Box::new(crate::outbound::attempt::InMemory::new(bytes)),
            None => self.body.open(),
        }
    }
}

#[async_trait::async_trait]
impl Openable for Kept<'_> {
    fn open(&self) -> Box<dyn MessageSource + '_> {
        self.body.open()
    }

    async fn converted(&self, seven_bit: bool) -> std::result::Result<Option<Bytes>, Reply> {
        let unreadable = || Reply::new(451, "4.3.0 the message can't be read at the moment");
        let _one_of_few = self.handover.converting.acquire().await.map_err(|_| unreadable())?;
        let (store, body, trace) = (self.handover.store.clone(), self.message.body, self.message.trace.clone());
        let converting = tokio::task::spawn_blocking(move || {
            let bytes = read_all(&store, &body).map_err(|error| {
                tracing::error!(%error, "could not read a message that waits for the primary");
                unreadable()
            })?;
            let converted = narrow::converted(&bytes, seven_bit).map_err(|why| suit::refusal(seven_bit, why))?;
            Ok(converted.map(|converted| [&trace[..], &converted].concat().into()))
        });
        converting.await.map_err(|_| unreadable())?
    }
}

/// What was seen of a message's bytes so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Looked {
    bytes: u64,
    eight_bit: bool,
    /// In its header section, roughly: before the first empty line.
    eight_bit_header: bool,
    long_lines: bool,
    line_bytes: usize,
    last: u8,
    is_body: bool,
}

impl Looked {
    fn look(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            let has_end = line.ends_with(b"\n");
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let eight_bit = !text.is_ascii();
            self.eight_bit |= eight_bit;
            self.eight_bit_header |= eight_bit && !self.is_body;
            self.line_bytes += text.len();
            self.last = text.last().copied().unwrap_or(self.last);
            let ends_with_cr = self.line_bytes > 0 && self.last == b'\r';
            self.long_lines |= self.line_bytes > narrow::MAX_LINE_BYTES + usize::from(ends_with_cr);
            if has_end {
                self.is_body |= self.line_bytes == usize::from(ends_with_cr);
                self.line_bytes = 0;
            }
        }
    }
}

impl Connection {
    /// What the server says to mail for that address; nothing is sent.
    async fn would_take(&mut self, address: &EmailAddress) -> std::result::Result<Reply, ConnectionError> {
        let utf8 = if address.needs_smtputf8() { " SMTPUTF8" } else { "" };
        let from = self.command(format!("MAIL FROM:<>{utf8}\r\n").as_bytes()).await?;
        if !from.is_positive() {
            // That is no answer about the address.
            return Ok(Reply::new(450, format!("4.2.1 {from}")));
        }
        let reply = self.command(format!("RCPT TO:<{address}>\r\n").as_bytes()).await?;
        let reset = self.command(b"RSET\r\n").await?;
        if reset.is_positive() { Ok(reply) } else { Err(ConnectionError::Refused(reset)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(pieces: &[&[u8]]) -> Looked {
        let mut looked = Looked::default();
        for piece in pieces {
            looked.look(piece);
        }
        looked
    }

    #[test]
    fn what_the_server_has_to_know_is_seen_however_the_bytes_come() {
        let long = [b"Subject: x\r\n\r\n", "y".repeat(narrow::MAX_LINE_BYTES + 1).as_bytes(), b"\r\n"].concat();
        let fits = [b"Subject: x\r\n\r\n", "y".repeat(narrow::MAX_LINE_BYTES).as_bytes(), b"\r\n"].concat();
        for (message, eight_bit, in_header, long_lines) in [
            (b"Subject: x\r\n\r\nHello\r\n".to_vec(), false, false, false),
            ("Subject: x\r\n\r\nGrüße\r\n".as_bytes().to_vec(), true, false, false),
            ("Subject: Grüße\r\n\r\nHello\r\n".as_bytes().to_vec(), true, true, false),
            (long, false, false, true),
            (fits, false, false, false),
            (Vec::new(), false, false, false),
        ] {
            assert_eq!(narrow::has_long_lines(&message), long_lines);
            for size in [1, 2, 7, 100, 5_000] {
                let seen = looked(&message.chunks(size).collect::<Vec<_>>());
                assert_eq!(
                    (seen.bytes, seen.eight_bit, seen.eight_bit_header, seen.long_lines),
                    (message.len() as u64, eight_bit, in_header, long_lines),
                    "{size}"
                );
            }
        }
    }
}
