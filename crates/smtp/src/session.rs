//! One client's connection.

mod auth;
mod message;
mod sink;

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use delivery::{Allowance, AtRelay, Envelope, Forwarder, Origin, Recipient, RecipientRoute, Refusal};
use directory::{AccountId, Ended};
use doorkit::{
    Conn, Wire,
    sasl::Mechanism,
    wire::{AtEnd, LineEnds, LineTime, WireOptions},
};

use crate::{
    Role,
    command::{self, Command, CommandError, Forwarded, Mail, Rcpt, XFORWARD_OFFERED},
    door::Door,
    line::Line,
    reply::Reply,
};

/// The mail transaction in progress.
struct Transaction {
    mail: Mail,
    recipients: Vec<Recipient>,
    /// Whose accounts they are, of those that are here.
    accounts: Vec<AccountId>,
    /// What the signed-in account may send.
    allowance: Option<Allowance>,
    /// It may not send this message, which was said to one of its recipients.
    over_limit: Option<Refusal>,
    /// The message began with BDAT: DATA is out of order then.
    chunked: Option<sink::Chunked>,
}

impl Transaction {
    fn of(mail: Mail) -> Self {
        Self { mail, recipients: Vec::new(), accounts: Vec::new(), allowance: None, over_limit: None, chunked: None }
    }
}

/// Whether the connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    Close,
}

pub(crate) struct Session {
    door: Arc<Door>,
    wire: Wire,
    helo: Option<String>,
    esmtp: bool,
    account: Option<AccountId>,
    /// What proves the sign-in to a primary.
    proof: Bytes,
    transaction: Option<Transaction>,
    /// From whom a backup MX has the next message.
    forwarded: Forwarded,
    messages: usize,
    errors: u32,
    idle_commands: u32,
    failed_logins: u32,
    /// The last recipient was refused because it does not exist.
    unknown_recipient: bool,
    /// The accounts that the message that is coming is for.
    receiving: Vec<AccountId>,
    /// The last recipient was the first of its message beyond what the account may send.
    new_over_limit: bool,
}

impl Session {
    pub(crate) fn new(door: Arc<Door>, conn: Conn) -> Self {
        let options = WireOptions {
            write_timeout: door.options.write_timeout,
            line_ends: LineEnds::Strict,
            line_time: LineTime::Whole,
            at_end: AtEnd::Say,
        };
        let wire = Wire::new(conn, options);
        Self {
            door,
            wire,
            helo: None,
            esmtp: false,
            account: None,
            proof: Bytes::new(),
            transaction: None,
            forwarded: Forwarded::default(),
            messages: 0,
            errors: 0,
            idle_commands: 0,
            failed_logins: 0,
            unknown_recipient: false,
            receiving: Vec::new(),
            new_over_limit: false,
        }
    }

    pub(crate) async fn run(mut self) {
        let peer = self.wire.conn().map(Conn::peer).ok();
        match self.serve().await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let hostname = self.door.options.hostname.clone();
                Reply::new(421, (4, 4, 2), format!("{hostname} Error: timeout exceeded")).write_to(&mut self.wire.out);
            }
            Err(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<Ended>()) {
                Some(ended) => Reply::ended(&self.door.options.hostname, *ended).write_to(&mut self.wire.out),
                None => tracing::debug!(?peer, %error, "SMTP connection failed"),
            },
        }
        self.wire.shut_down().await;
    }

    async fn serve(&mut self) -> io::Result<()> {
        let protocol = if self.door.options.role == Role::Lmtp { "LMTP" } else { "ESMTP" };
        Reply::plain(220, format!("{} {protocol} Holdfast", self.name())).write_to(&mut self.wire.out);
        loop {
            let (limit, timeout) = (self.door.options.max_line_bytes, self.door.options.command_timeout);
            let shutdown = self.door.options.shutdown.clone();
            let line = tokio::select! {
                line = self.wire.line(limit, timeout) => line?.into(),
                () = shutdown.cancelled() => {
                    self.say_goodbye("Service shutting down, try again soon");
                    return Ok(());
                }
            };
            let next = match line {
                Line::Text(text) => match command::parse(&text) {
                    Ok(command) => self.obey(command).await?,
                    Err(error) => {
                        self.refuse(syntax_reply(&error));
                        // We can't tell commands from other bytes any longer, or the client does not speak SMTP.
                        let lost = matches!(error, CommandError::Chunk | CommandError::Foreign);
                        if lost { Next::Close } else { Next::Go }
                    }
                },
                Line::Malformed(what) => self.refuse(Reply::new(500, (5, 5, 2), what)),
                Line::TooLong => {
                    self.refuse(Reply::new(500, (5, 5, 6), format!("Line too long: the limit is {limit} bytes")))
                }
            };
            if next == Next::Close {
                return Ok(());
            }
            if self.errors >= self.door.options.max_errors {
                self.say_goodbye("Error: too many errors");
                return Ok(());
            }
        }
    }

    fn say_goodbye(&mut self, why: &str) {
        Reply::closing(&self.door.options.hostname, why).write_to(&mut self.wire.out);
    }

    fn say(&mut self, reply: &Reply) -> Next {
        self.errors += u32::from(reply.is_error());
        reply.write_to(&mut self.wire.out);
        Next::Go
    }

    fn refuse(&mut self, reply: Reply) -> Next {
        self.say(&reply)
    }

    fn is_tls(&self) -> bool {
        self.wire.conn().is_ok_and(Conn::is_tls)
    }

    async fn obey(&mut self, command: Command) -> io::Result<Next> {
        self.wire.check_end()?;
        let lmtp = self.door.options.role == Role::Lmtp;
        if !command.is_for_a_message() {
            self.idle_commands += 1;
            self.errors += u32::from(self.idle_commands > self.door.options.max_idle_commands);
        }
        Ok(match command {
            Command::Ehlo(_) | Command::Helo(_) if lmtp => {
                self.refuse(Reply::new(500, (5, 5, 1), "This is LMTP: send LHLO"))
            }
            Command::Lhlo(_) if !lmtp => self.refuse(Reply::new(500, (5, 5, 1), "This is not LMTP: send EHLO")),
            Command::Ehlo(name) | Command::Lhlo(name) => self.greet(name),
            Command::Helo(name) => {
                let reply = Reply::plain(250, self.name().to_owned());
                self.helo = Some(name);
                self.esmtp = false;
                self.transaction = None;
                self.say(&reply)
            }
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => {
                let next = self.rcpt(rcpt);
                if let (true, Some(account)) = (std::mem::take(&mut self.new_over_limit), self.account) {
                    self.door.delivery.note_over_limit(account).await;
                }
                return self.hold_back(next).await;
            }
            Command::Data => return self.data().await,
            Command::Bdat { size, last } => return self.bdat(size, last).await,
            Command::Rset => {
                self.transaction = None;
                self.forwarded = Forwarded::default();
                self.say(&Reply::ok("Ok"))
            }
            Command::Noop => self.say(&Reply::ok("Ok")),
            Command::Quit => {
                self.say(&Reply::new(221, (2, 0, 0), "Bye"));
                Next::Close
            }
            Command::Vrfy => self.say(&Reply::new(252, (2, 1, 5), "Cannot VRFY user, but will accept message")),
            Command::Expn => self.refuse(Reply::new(502, (5, 7, 2), "EXPN is not supported")),
            Command::Help => self.say(&Reply::new(214, (2, 0, 0), "See RFC 5321")),
            Command::StartTls => return self.start_tls().await,
            Command::Auth { mechanism, initial } => return self.auth(&mechanism, initial.as_deref()).await,
            Command::XForward(forwarded) => self.xforward(forwarded),
        })
    }

    /// Our name, the one that the client came by if it is ours.
    fn name(&self) -> &str {
        let options = &self.door.options;
        let conn = self.wire.conn().ok();
        conn.and_then(|conn| conn.came_by(&options.also_known_as)).unwrap_or(&options.hostname)
    }

    /// The reply to EHLO: the extensions offered in the current state.
    fn greet(&mut self, name: String) -> Next {
        self.helo = Some(name);
        self.esmtp = true;
        self.transaction = None;
        self.forwarded = Forwarded::default();
        let mut lines = vec![
            self.name().to_owned(),
            "PIPELINING".to_owned(),
            format!("SIZE {}", self.door.delivery.max_message_bytes()),
            "8BITMIME".to_owned(),
            "SMTPUTF8".to_owned(),
            "CHUNKING".to_owned(),
            "ENHANCEDSTATUSCODES".to_owned(),
        ];
        // A relay can't pass on what a sender wishes of reports and of the way.
        let is_for_relay = self.door.options.role == Role::Submission && self.door.delivery.elsewhere().is_some();
        if self.door.options.role == Role::Submission && !is_for_relay {
            // Not for unauthenticated clients: a success report would go to the sender address that they claim.
            lines.push("DSN".to_owned());
        }
        // RFC 8689 §4.1: only where it is kept already.
        if self.is_tls() && self.door.options.role != Role::Lmtp && !is_for_relay {
            lines.push("REQUIRETLS".to_owned());
        }
        if self.door.tls.is_some() && !self.is_tls() {
            lines.push("STARTTLS".to_owned());
        }
        let mechanisms = self.mechanisms();
        if !mechanisms.is_empty() {
            let names: Vec<&str> = mechanisms.iter().map(|mechanism| mechanism.name()).collect();
            lines.push(format!("AUTH {}", names.join(" ")));
        }
        if self.is_backup() {
            lines.push(XFORWARD_OFFERED.to_owned());
        }
        if self.door.options.role != Role::Lmtp {
            lines.push("HELP".to_owned());
        }
        let last = lines.len() - 1;
        for (number, line) in lines.into_iter().enumerate() {
            let between = if number == last { ' ' } else { '-' };
            self.wire.out.extend_from_slice(format!("250{between}{line}\r\n").as_bytes());
        }
        Next::Go
    }

    /// How a client may log in here and now.
    fn mechanisms(&self) -> Vec<Mechanism> {
        if self.door.options.role != Role::Submission || self.account.is_some() {
            return Vec::new();
        }
        let mut mechanisms = Vec::new();
        // A relay can check a password that it is told, and no more.
        let is_relay = self.door.delivery.elsewhere().is_some();
        let offers_scram = self.door.directory.offers_scram() && !is_relay;
        if offers_scram {
            mechanisms.push(Mechanism::ScramSha256);
        }
        if offers_scram && self.wire.conn().is_ok_and(|conn| conn.tls_exporter().is_some()) {
            mechanisms.insert(0, Mechanism::ScramSha256Plus);
        }
        if self.wire.conn().is_ok_and(|conn| conn.may_log_in(self.door.options.plaintext_logins)) {
            mechanisms.extend([Mechanism::Plain, Mechanism::Login]);
        }
        mechanisms
    }

    async fn start_tls(&mut self) -> io::Result<Next> {
        let Some(tls) = self.door.tls.clone().filter(|_| !self.is_tls()) else {
            return Ok(self.refuse(Reply::new(502, (5, 5, 1), "STARTTLS is not available")));
        };
        if !self.wire.buffered().is_empty() {
            // Commands injected in plain text before the handshake would be treated as sent under TLS.
            self.refuse(Reply::new(554, (5, 5, 1), "No command may follow STARTTLS before the TLS handshake"));
            return Ok(Next::Close);
        }
        self.say(&Reply::new(220, (2, 0, 0), "Ready to start TLS"));
        self.wire.start_tls(&tls).await?;
        // State from the plain text phase is discarded (RFC 3207 §4.2).
        self.helo = None;
        self.account = None;
        self.transaction = None;
        Ok(Next::Go)
    }

    fn mail(&mut self, mail: Mail) -> Next {
        if self.helo.is_none() {
            return self.refuse(Reply::out_of_order("Send EHLO first"));
        }
        if self.door.options.role == Role::Submission && self.account.is_none() {
            return self.refuse(Reply::new(530, (5, 7, 0), "Authentication required"));
        }
        if self.transaction.is_some() {
            return self.refuse(Reply::out_of_order("Nested MAIL command"));
        }
        if self.messages >= self.door.options.max_messages {
            return self.refuse(Reply::new(452, (4, 5, 3), "Too many messages in one session, connect again"));
        }
        if mail.requiretls && (!self.is_tls() || self.door.options.role == Role::Lmtp) {
            return self.refuse(Reply::new(530, (5, 7, 10), "REQUIRETLS needs a connection under TLS"));
        }
        if mail.requiretls && self.account.is_some() && self.door.delivery.elsewhere().is_some() {
            return self.refuse(Reply::new(555, (5, 5, 4), "Unsupported parameter: REQUIRETLS"));
        }
        if let Some(peer) = self.counted_peer()
            && let Err(refusal) = self.door.options.intake.may_give(peer)
        {
            let is_end = refusal.code == 421;
            self.refuse(refusal.into());
            return if is_end { Next::Close } else { Next::Go };
        }
        let limit = self.door.delivery.max_message_bytes();
        if mail.size.is_some_and(|size| size > limit) {
            return self.refuse(Reply::new(552, (5, 3, 4), format!("Message size exceeds the limit of {limit} bytes")));
        }
        if let Err(refusal) = self.door.delivery.mail_from(mail.from.as_ref(), self.account) {
            return self.refuse(refusal.into());
        }
        let allowance = match self.account.map(|account| self.door.delivery.allowance(account)).transpose() {
            Ok(allowance) => allowance,
            Err(refusal) => return self.refuse(refusal.into()),
        };
        self.transaction = Some(Transaction { allowance, ..Transaction::of(mail) });
        self.say(&Reply::new(250, (2, 1, 0), "Ok"))
    }

    fn rcpt(&mut self, rcpt: Rcpt) -> Next {
        let Some(transaction) = self.transaction.as_ref().filter(|transaction| transaction.chunked.is_none()) else {
            return self.refuse(Reply::out_of_order("Need MAIL command"));
        };
        if transaction.recipients.len() >= self.door.options.max_recipients {
            return self.refuse(Reply::new(452, (4, 5, 3), "Too many recipients, send the message again for the rest"));
        }
        let utf8 = transaction.mail.smtputf8;
        let Some(address) = rcpt.to.or_else(|| self.door.delivery.postmaster()) else {
            return self.refuse(Reply::new(550, (5, 1, 1), "No postmaster address is set up yet"));
        };
        if address.needs_smtputf8() && !utf8 {
            return self.refuse(Reply::new(
                553,
                (5, 6, 7),
                "An address with non-ASCII characters needs the SMTPUTF8 parameter of MAIL",
            ));
        }
        let account = match self.door.delivery.rcpt_from(&address, transaction.mail.from.as_ref(), self.account) {
            Ok(RecipientRoute::Local(account)) => Some(account),
            Ok(RecipientRoute::Remote) => None,
            Err(refusal) => {
                self.unknown_recipient = refusal.enhanced == (5, 1, 1);
                return self.refuse(refusal.into());
            }
        };
        if let (Some(peer), Some(account)) = (self.counted_peer(), account)
            && let Err(refusal) = self.door.options.intake.may_receive(peer, account, &address.to_string())
        {
            return self.refuse(refusal.into());
        }
        let delivery = &self.door.delivery;
        if let Some(transaction) = &mut self.transaction {
            // Once it is too many, it stays too many: the message is taken for all of them or for none.
            let allowed = match (&transaction.over_limit, &mut transaction.allowance) {
                (Some(refusal), _) => Err(refusal.clone()),
                (None, Some(allowance)) => allowance.take(delivery, &address),
                (None, None) => Ok(()),
            };
            if let Err(refusal) = allowed {
                self.new_over_limit = transaction.over_limit.is_none();
                transaction.over_limit = Some(refusal.clone());
                return self.refuse(refusal.into());
            }
            transaction.accounts.extend(account);
            transaction.recipients.push(Recipient { address, notify: rcpt.notify, orcpt: rcpt.orcpt });
        }
        self.say(&Reply::new(250, (2, 1, 5), "Ok"))
    }

    /// Delays the refusal of an unknown recipient for a network that has already tried several.
    async fn hold_back(&mut self, next: Next) -> io::Result<Next> {
        if !std::mem::take(&mut self.unknown_recipient)
            || self.account.is_some()
            || self.door.options.role == Role::Lmtp
            || self.is_backup()
        {
            return Ok(next);
        }
        match self.door.harvest.unknown(self.wire.conn()?.peer().ip()) {
            Some(wait) if wait.is_zero() => Ok(next),
            Some(wait) => {
                metrics::counter!("holdfast_smtp_held_back_total").increment(1);
                let shutdown = self.door.options.shutdown.clone();
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = shutdown.cancelled() => {}
                }
                Ok(next)
            }
            None => {
                metrics::counter!("holdfast_smtp_held_back_total").increment(1);
                let hostname = self.door.options.hostname.clone();
                Reply::new(421, (4, 7, 0), format!("{hostname} Error: too many unknown recipients, try again later"))
                    .write_to(&mut self.wire.out);
                Ok(Next::Close)
            }
        }
    }

    /// Whether the client is a server that keeps our mail while we are away.
    fn is_backup(&self) -> bool {
        let peer = self.wire.conn().ok().map(|conn| conn.peer().ip());
        self.door.options.role == Role::Mx
            && peer.is_some_and(|peer| self.door.options.backups.iter().any(|network| network.contains(peer)))
    }

    fn xforward(&mut self, forwarded: Forwarded) -> Next {
        if !self.is_backup() {
            return self.refuse(Reply::new(550, (5, 7, 0), "XFORWARD is only for backup MX servers of this service"));
        }
        if self.transaction.is_some() {
            return self.refuse(Reply::out_of_order("XFORWARD is not allowed within a mail transaction"));
        }
        self.forwarded.merge(forwarded);
        self.say(&Reply::ok("Ok"))
    }

    /// The client, where what it gives is counted: a stranger.
    fn counted_peer(&self) -> Option<IpAddr> {
        let is_stranger = self.door.options.role == Role::Mx && self.account.is_none() && !self.is_backup();
        let conn = self.wire.conn().ok().filter(|_| is_stranger)?;
        Some(conn.peer().ip())
    }

    /// A message came.
    fn count_received(&self, bytes: u64, is_taken: bool) {
        if let Some(peer) = self.counted_peer() {
            self.door.options.intake.received(peer, bytes, if is_taken { &self.receiving } else { &[] });
        }
    }

    /// The envelope of a finished transaction.
    fn envelope(&mut self, transaction: Transaction) -> Envelope {
        let forwarded = std::mem::take(&mut self.forwarded);
        let is_backup = self.is_backup();
        let conn = self.wire.conn().ok();
        let Transaction { mail, recipients, .. } = transaction;
        let origin = Origin {
            peer: conn.map(|conn| conn.peer().ip()),
            helo: self.helo.clone(),
            auth: self.account,
            auth_proof: self.proof.clone(),
            tls: conn.and_then(Conn::handshake).map(|agreed| format!("{}, {}", agreed.version, agreed.cipher)),
            esmtp: self.esmtp,
            lmtp: self.door.options.role == Role::Lmtp,
            ..Origin::default()
        };
        Envelope {
            from: mail.from,
            recipients,
            ret: mail.ret,
            envid: mail.envid,
            body_8bit: mail.body_8bit,
            smtputf8: mail.smtputf8,
            require_tls: mail.requiretls,
            origin: if is_backup { forwarded_by(origin, forwarded) } else { origin },
        }
    }

    fn data_timeout(&self) -> Duration {
        self.door.options.data_timeout
    }
}

/// Where a message comes from that a backup MX has kept: from its client, where it says so.
fn forwarded_by(backup: Origin, client: Forwarded) -> Origin {
    let forwarder = Forwarder { peer: backup.peer, helo: backup.helo.clone() };
    let relay = Some(AtRelay { forwarder: Some(forwarder), ..AtRelay::default() });
    match client.addr {
        Some(addr) => Origin { peer: Some(addr), helo: client.helo, relay, ..backup },
        None => Origin { relay, ..backup },
    }
}

fn syntax_reply(error: &CommandError) -> Reply {
    match error {
        CommandError::Unknown => Reply::new(500, (5, 5, 1), error.to_string()),
        CommandError::Syntax(_) | CommandError::Chunk => Reply::syntax(error.to_string()),
        CommandError::Foreign => Reply::new(554, (5, 5, 1), error.to_string()),
        CommandError::Parameter(_) => Reply::new(555, (5, 5, 4), error.to_string()),
    }
}
