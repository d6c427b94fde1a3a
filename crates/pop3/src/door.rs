//! The crate's public entry point, and the loop between socket, session and domain.

use std::{collections::HashMap, io, net::IpAddr, sync::Arc};

use bytes::Bytes;
use directory::{AccountId, AuthError, Directory, Ended, Login, LoginAttempt, ScramAttempt, Secret, Service};
use doorkit::{
    Conn, Tls, Wire,
    sasl::Password,
    wire::{AtEnd, Line, LineEnds, LineTime, WireOptions},
};
use mailstore::{BodyReader, MailError, MailStore, Unavailable};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    maildrop::{Maildrop, Message, Update},
    options::Pop3Options,
    reply::{self, Code, Refusal},
    session::{Channel, Effect, Session},
    stuffing::Stuffing,
};

/// Bytes of a message gathered before they are written.
const PIECE_BYTES: usize = 64 << 10;
/// Bytes of a message read at a time.
const BODY_PIECE_BYTES: usize = 256 << 10;

struct Door {
    directory: Directory,
    mail: MailStore,
    options: Pop3Options,
    tls: Option<Tls>,
    sessions: Mutex<HashMap<AccountId, usize>>,
}

/// Serves POP3 connections. Cheap to clone.
#[derive(Clone)]
pub struct Pop3Door {
    door: Arc<Door>,
}

impl Pop3Door {
    /// A server without STLS.
    pub fn new(directory: Directory, mail: MailStore, options: Pop3Options) -> Self {
        Self { door: Arc::new(Door { directory, mail, options, tls: None, sessions: Mutex::default() }) }
    }

    /// A server that offers STLS on plain text connections.
    pub fn with_tls(directory: Directory, mail: MailStore, options: Pop3Options, tls: Tls) -> Self {
        Self { door: Arc::new(Door { directory, mail, options, tls: Some(tls), sessions: Mutex::default() }) }
    }

    /// Serves one client, from the greeting until it disconnects, is idle for too long, or [`Pop3Options::shutdown`] is
    /// cancelled. Deletions happen only at QUIT, and are durable when the client gets `+OK`.
    pub async fn serve_connection(&self, conn: Conn) {
        let peer = conn.peer();
        metrics::gauge!("holdfast_pop3_connections").increment(1.0);
        if let Err(error) = Box::pin(Connection::new(self.door.clone(), conn).run()).await {
            tracing::debug!(%peer, %error, "POP3 connection failed");
        }
        metrics::gauge!("holdfast_pop3_connections").decrement(1.0);
    }
}

/// A place among an account's sessions.
struct Seat {
    door: Arc<Door>,
    account: AccountId,
}

impl Seat {
    fn take(door: &Arc<Door>, account: AccountId) -> Option<Self> {
        let mut sessions = door.sessions.lock();
        let count = sessions.entry(account).or_default();
        if *count >= door.options.max_sessions_per_account {
            return None;
        }
        *count += 1;
        Some(Self { door: door.clone(), account })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut sessions = self.door.sessions.lock();
        if let Some(count) = sessions.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                sessions.remove(&self.account);
            }
        }
    }
}

struct Connection {
    door: Arc<Door>,
    peer: IpAddr,
    wire: Wire,
    session: Session,
    scram: Option<ScramAttempt>,
    seat: Option<Seat>,
    /// When it must have logged in.
    login_deadline: Instant,
}

/// Whether the connection continues.
enum Goes {
    On,
    Out,
}

impl Connection {
    fn new(door: Arc<Door>, conn: Conn) -> Self {
        let mut own = door.options.clone();
        if let Some(name) = conn.came_by(&door.options.also_known_as) {
            name.clone_into(&mut own.hostname);
        }
        let session = Session::new(own, channel(&door, &conn));
        let options = WireOptions {
            write_timeout: door.options.write_timeout,
            line_ends: LineEnds::Tolerant,
            line_time: LineTime::EachRead,
            at_end: AtEnd::Drop,
        };
        let (peer, wire) = (conn.peer().ip(), Wire::new(conn, options));
        let login_deadline = Instant::now() + door.options.login_timeout;
        Self { door, peer, wire, session, scram: None, seat: None, login_deadline }
    }

    async fn run(mut self) -> io::Result<()> {
        self.session.greet(&mut self.wire.out);
        let shutdown = self.door.options.shutdown.clone();
        loop {
            let max_bytes = self.session.max_line_bytes();
            let line = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                // A client that has not logged in can't extend its time by sending a little now and then.
                () = tokio::time::sleep_until(self.login_deadline), if !self.session.is_logged_in() => break,
                line = self.wire.line(max_bytes, self.door.options.idle_timeout) => line,
            };
            let line = match line.and_then(|line| self.wire.check_end().map(|()| line)) {
                Ok(line) => line,
                Err(error) => return self.broken(error).await,
            };
            let mut effect = match line {
                Line::Text(text) => self.session.line(&text, &mut self.wire.out),
                Line::TooLong | Line::BareLf => self.session.line_too_long(&mut self.wire.out),
            };
            // SCRAM's look-up is answered by the session with a further effect.
            if let Effect::ScramLookup(login) = effect {
                effect = match self.door.directory.scram(&login, self.peer, Service::Pop3).await {
                    Ok(attempt) => {
                        let (logins, keys) = (attempt.logins().to_vec(), attempt.keys().clone());
                        self.scram = Some(attempt);
                        self.session.scram_keys(logins, keys, &mut self.wire.out)
                    }
                    Err(error) => self.session.refuse_login(&error.into(), &mut self.wire.out),
                };
            }
            match self.act(effect).await? {
                Goes::On => {}
                Goes::Out => break,
            }
        }
        self.wire.shut_down().await;
        Ok(())
    }

    /// Between two replies: notifies a client whose access has ended. Its deletions are not applied.
    async fn broken(mut self, error: io::Error) -> io::Result<()> {
        if let Some(ended) = error.get_ref().and_then(|inner| inner.downcast_ref::<Ended>()) {
            let refusal = Refusal::new(Code::Auth, format!("Session ended: {ended}"));
            refusal.write_to(&mut self.wire.out);
            self.wire.shut_down().await;
        }
        Err(error)
    }

    async fn act(&mut self, effect: Effect) -> io::Result<Goes> {
        Ok(match effect {
            Effect::Next | Effect::ScramLookup(_) => Goes::On,
            Effect::Close => Goes::Out,
            Effect::Login(password) => {
                let result = self.authenticate(&password).await;
                self.log_in(result).await?
            }
            Effect::ScramProved(found) => {
                let result = self.scram_outcome(Some(found));
                self.log_in(result).await?
            }
            Effect::ScramFailed => {
                let result = self.scram_outcome(None);
                self.log_in(result).await?
            }
            Effect::StartTls => {
                self.start_tls().await?;
                Goes::On
            }
            Effect::Send { number, message, lines } => {
                if self.send(message, lines).await? && lines.is_none() {
                    self.session.note_retrieved(number);
                }
                Goes::On
            }
            Effect::Update(update) => {
                self.update(update).await;
                Goes::Out
            }
        })
    }

    fn scram_outcome(&mut self, proved: Option<Login>) -> Result<Login, AuthError> {
        let attempt = self.scram.take().ok_or(AuthError::Invalid)?;
        self.door.directory.scram_outcome(attempt, proved)
    }

    async fn authenticate(&self, password: &Password) -> Result<Login, AuthError> {
        let attempt = LoginAttempt {
            login: &password.authcid,
            secret: Secret::Password(&password.password),
            peer: self.peer,
            service: Service::Pop3,
        };
        self.door.directory.authenticate(attempt).await
    }

    async fn log_in(&mut self, result: Result<Login, AuthError>) -> io::Result<Goes> {
        let opened = match result {
            Ok(login) => {
                let opened = self.open(login.account).await;
                if opened.is_ok() {
                    doorkit::span::note_account(login.account.0);
                    self.wire.end_when(self.door.directory.access(login).end_as_error())?;
                }
                opened
            }
            Err(error) => Err(error.into()),
        };
        Ok(match opened {
            Ok(maildrop) => {
                self.session.let_in(maildrop, &mut self.wire.out);
                Goes::On
            }
            Err(refusal) => match self.session.refuse_login(&refusal, &mut self.wire.out) {
                Effect::Close => Goes::Out,
                _ => Goes::On,
            },
        })
    }

    async fn open(&mut self, account: AccountId) -> Result<Maildrop, Refusal> {
        let seat = Seat::take(&self.door, account)
            .ok_or_else(|| Refusal::new(Code::InUse, "Too many connections for this account; close another one"))?;
        let mail = self.door.mail.clone();
        let maildrop = blocking(move || Maildrop::open(&mail, account.realm())).await?.map_err(refusal)?;
        self.seat = Some(seat);
        Ok(maildrop)
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        let tls = self.door.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        self.wire.start_tls(tls).await?;
        self.session.secured(channel(&self.door, self.wire.conn()?));
        self.scram = None;
        Ok(())
    }

    /// Sends a message; false if it can't be read, after a reply to the client.
    ///
    /// # Errors
    /// If the message turns out to be damaged after its start was sent: closing the connection is the only way to report it.
    async fn send(&mut self, message: Message, lines: Option<u64>) -> io::Result<bool> {
        let Some(account) = self.session.account() else { return Ok(false) };
        let mail = self.door.mail.clone();
        let mut body = match mail.body(account, message.email) {
            Ok(body) => body,
            Err(error) => return Ok(self.say(&refusal(error))),
        };
        if body.len() > BODY_PIECE_BYTES as u64 && lines.is_none() {
            // Read to its end before anything is sent, so that a damaged one can be refused.
            let mut offset = 0;
            while offset < body.len() {
                let piece;
                (body, piece) = read_piece(body, offset).await?;
                match piece {
                    Ok(piece) if !piece.is_empty() => offset += piece.len() as u64,
                    Ok(_) => break,
                    Err(error) => return Ok(self.say(&refusal(error))),
                }
            }
        }
        let mut stuffing = lines.map_or_else(Stuffing::whole, Stuffing::top);
        let mut offset = 0;
        while offset < body.len() && !stuffing.is_full() {
            let piece;
            (body, piece) = read_piece(body, offset).await?;
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) if offset == 0 => return Ok(self.say(&refusal(error))),
                Err(error) => {
                    tracing::error!(%error, %account, email = message.email.0, "a message is damaged");
                    return Err(io::Error::other("a message is damaged"));
                }
            };
            if offset == 0 {
                reply::ok(&mut self.wire.out, &format!("{} bytes", body.len()));
            }
            offset += piece.len() as u64;
            for part in piece.chunks(PIECE_BYTES) {
                stuffing.push(part, &mut self.wire.out);
                if self.wire.out.len() >= PIECE_BYTES {
                    self.wire.flush().await?;
                }
            }
        }
        if body.is_empty() {
            reply::ok(&mut self.wire.out, "0 bytes");
        }
        stuffing.finish(&mut self.wire.out);
        metrics::counter!("holdfast_pop3_sent_bytes_total").increment(offset);
        Ok(true)
    }

    fn say(&mut self, refusal: &Refusal) -> bool {
        refusal.write_to(&mut self.wire.out);
        false
    }

    /// The UPDATE state (RFC 1939 §6).
    async fn update(&mut self, update: Update) {
        let Update { account, mailbox, expunge, mark_seen } = update;
        let mail = &self.door.mail;
        let removed = match expunge.as_slice() {
            [] => Ok(Vec::new()),
            uids => mail.expunge(account, mailbox, uids).await,
        };
        if self.door.options.mark_seen && !mark_seen.is_empty() {
            // The messages were retrieved all the same.
            if let Err(error) = mail.mark_seen(account, mailbox, &mark_seen).await {
                tracing::warn!(%error, %account, "could not mark retrieved messages as seen");
            }
        }
        match removed {
            Ok(removed) => {
                metrics::counter!("holdfast_pop3_expunged_total").increment(removed.len() as u64);
                reply::ok(&mut self.wire.out, "Bye");
            }
            Err(MailError::Store(error)) if Unavailable::of(&error) == Unavailable::Unknown => {
                tracing::error!(%error, %account, "closing a POP3 connection without a reply: the outcome of QUIT is unknown");
            }
            Err(error) => {
                tracing::error!(%error, %account, "could not remove deleted messages");
                self.say(&Refusal::new(Code::SysTemp, "Some deleted messages were not removed"));
            }
        }
    }
}

fn channel(door: &Door, conn: &Conn) -> Channel {
    Channel {
        is_tls: conn.is_tls(),
        may_log_in: conn.may_log_in(door.options.plaintext_logins),
        offers_tls: door.tls.is_some(),
        exporter: conn.tls_exporter(),
        no_scram: !door.directory.offers_scram(),
    }
}

fn refusal(error: MailError) -> Refusal {
    if !matches!(error, MailError::NoSuchEmail(_)) {
        tracing::error!(%error, "could not read mail");
    }
    error.into()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    doorkit::span::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a blocking task ended early");
        Refusal::new(Code::SysTemp, "Mail can't be read at the moment; try again soon")
    })
}

/// Reads a piece of a message; on another thread if there is much to decompress.
async fn read_piece(mut body: BodyReader, offset: u64) -> io::Result<(BodyReader, Result<Bytes, MailError>)> {
    let is_small = body.len() <= PIECE_BYTES as u64;
    let read = move || {
        let piece = body.read_range(offset, BODY_PIECE_BYTES);
        (body, piece)
    };
    Ok(if is_small { read() } else { doorkit::span::spawn_blocking(read).await? })
}
