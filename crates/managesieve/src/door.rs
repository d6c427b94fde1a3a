//! The crate's public entry point, and the loop between socket, session and domain.

use std::{collections::HashMap, io, net::IpAddr, sync::Arc, time::Duration};

use directory::{AccountId, AuthError, Directory, Ended, Login, LoginAttempt, ScramAttempt, Secret, Service};
use doorkit::{
    Conn, Tls, Wire,
    sasl::Password,
    wire::{AtEnd, Line, LineEnds, LineTime, WireOptions},
};
use mailstore::{MailStore, Mailbox, MailboxName};
use parking_lot::Mutex;
use rules::{Rules, RulesError};
use tokio::time::Instant;

use crate::{
    options::ManageSieveOptions,
    reply::{self, Code, Failure, Refusal},
    request::Request,
    session::{Channel, Effect, Session},
    warnings::warnings,
};

struct Door {
    directory: Directory,
    rules: Rules,
    options: ManageSieveOptions,
    /// Where the mailboxes of accounts are, so that a script is warned of one that does not exist.
    mailboxes: Option<MailStore>,
    tls: Option<Tls>,
    sessions: Mutex<HashMap<AccountId, usize>>,
}

/// Serves ManageSieve connections. Cheap to clone.
#[derive(Clone)]
pub struct ManageSieveDoor {
    door: Arc<Door>,
}

impl ManageSieveDoor {
    /// A server without STARTTLS.
    pub fn new(directory: Directory, rules: Rules, options: ManageSieveOptions) -> Self {
        Self {
            door: Arc::new(Door { directory, rules, options, tls: None, mailboxes: None, sessions: Mutex::default() }),
        }
    }

    /// A server that offers STARTTLS.
    pub fn with_tls(directory: Directory, rules: Rules, options: ManageSieveOptions, tls: Tls) -> Self {
        Self {
            door: Arc::new(Door {
                directory,
                rules,
                options,
                tls: Some(tls),
                mailboxes: None,
                sessions: Mutex::default(),
            }),
        }
    }

    /// One that warns of scripts that file into mailboxes that do not exist.
    #[must_use]
    pub fn with_mailboxes(self, mailboxes: MailStore) -> Self {
        let Door { directory, rules, options, tls, .. } = &*self.door;
        let (directory, rules, options) = (directory.clone(), rules.clone(), options.clone());
        let (tls, mailboxes) = (tls.clone(), Some(mailboxes));
        Self { door: Arc::new(Door { directory, rules, options, tls, mailboxes, sessions: Mutex::default() }) }
    }

    /// Serves one client, from the greeting until it disconnects, is idle for too long, or [`ManageSieveOptions::shutdown`]
    /// is cancelled. What is answered with `OK` is durable.
    pub async fn serve_connection(&self, conn: Conn) {
        let peer = conn.peer();
        metrics::gauge!("holdfast_managesieve_connections").increment(1.0);
        if let Err(error) = Box::pin(Connection::new(self.door.clone(), conn).run()).await {
            tracing::debug!(%peer, %error, "ManageSieve connection failed");
        }
        metrics::gauge!("holdfast_managesieve_connections").decrement(1.0);
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
        let session = Session::new(door.options.clone(), channel(&door, &conn));
        let options = WireOptions {
            write_timeout: door.options.write_timeout,
            line_ends: LineEnds::Tolerant,
            line_time: LineTime::Whole,
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
            let patience = self.door.options.idle_timeout;
            let line = tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.farewell("Service is shutting down").await,
                // A client that has not logged in can't extend its time by sending a little now and then.
                () = tokio::time::sleep_until(self.login_deadline), if !self.session.is_logged_in() => {
                    return self.farewell("Login timeout").await;
                }
                line = self.wire.line(self.door.options.max_line_bytes, patience) => line,
            };
            let line = match line.and_then(|line| self.wire.check_end().map(|()| line)) {
                Ok(line) => line,
                Err(error) => return self.broken(error).await,
            };
            let effect = match line {
                Line::Text(text) => self.session.line(&text, &mut self.wire.out),
                Line::TooLong | Line::BareLf => self.session.line_too_long(&mut self.wire.out),
            };
            match self.act(effect).await {
                Ok(Goes::On) => {}
                Ok(Goes::Out) => break,
                Err(error) => return self.broken(error).await,
            }
        }
        self.wire.shut_down().await;
        Ok(())
    }

    async fn farewell(mut self, why: &str) -> io::Result<()> {
        Refusal::new(Code::TryLater, why).bye(&mut self.wire.out);
        self.wire.shut_down().await;
        Ok(())
    }

    /// Says why, where it can be said: the client's access has ended, or it was silent for too long.
    async fn broken(mut self, error: io::Error) -> io::Result<()> {
        if let Some(ended) = error.get_ref().and_then(|inner| inner.downcast_ref::<Ended>()) {
            Refusal::plain(format!("Session ended: {ended}")).bye(&mut self.wire.out);
            self.wire.shut_down().await;
        } else if error.kind() == io::ErrorKind::TimedOut {
            return self.farewell("Idle for too long").await;
        }
        Err(error)
    }

    async fn act(&mut self, effect: Effect) -> io::Result<Goes> {
        let effect = match effect {
            // It is answered by the session with a further effect.
            Effect::ScramLookup(login) => self.look_up(&login).await,
            effect => effect,
        };
        Ok(match effect {
            Effect::Next | Effect::ScramLookup(_) => Goes::On,
            Effect::Close => Goes::Out,
            Effect::Literal(length) => {
                let literal = self.within_patience(Self::read_literal, length).await?;
                self.session.literal(literal);
                Goes::On
            }
            Effect::Skip(length) => {
                self.within_patience(Self::skip, length).await?;
                Goes::On
            }
            Effect::Login(password) => {
                let result = self.authenticate(&password).await;
                self.log_in(result)?
            }
            Effect::ScramProved(found) => {
                let result = self.scram_outcome(Some(found));
                self.log_in(result)?
            }
            Effect::ScramFailed => {
                let result = self.scram_outcome(None);
                self.log_in(result)?
            }
            Effect::StartTls => {
                self.start_tls().await?;
                Goes::On
            }
            Effect::Unauthenticated => {
                self.wire.end_with_nothing();
                self.seat = None;
                self.login_deadline = Instant::now() + self.door.options.login_timeout;
                Goes::On
            }
            Effect::Scripts(account, request) => match self.scripts(account, request).await {
                Ok(()) => Goes::On,
                Err(Failure::Refused(why)) => {
                    why.no(&mut self.wire.out);
                    Goes::On
                }
                Err(Failure::Unknown) => {
                    self.wire.out.clear();
                    Goes::Out
                }
            },
        })
    }

    /// The time for a literal as a whole, so that a client that sends it byte by byte is silent too.
    async fn within_patience<'a, T>(
        &'a mut self,
        work: impl AsyncFnOnce(&'a mut Wire, u64, Duration) -> io::Result<T>,
        length: u64,
    ) -> io::Result<T> {
        let patience = if self.session.is_logged_in() {
            self.door.options.idle_timeout
        } else {
            self.login_deadline.saturating_duration_since(Instant::now())
        };
        let work = work(&mut self.wire, length, patience);
        tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Its length was allowed.
    async fn read_literal(wire: &mut Wire, length: u64, patience: Duration) -> io::Result<Vec<u8>> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::InvalidData)?;
        // Memory follows what has come.
        let mut literal = Vec::new();
        while literal.len() < length {
            if wire.buffered().is_empty() {
                wire.fill_within(patience).await?;
            }
            let taken = wire.buffered().len().min(length - literal.len());
            literal.extend_from_slice(&wire.buffered()[..taken]);
            wire.consume(taken);
        }
        Ok(literal)
    }

    async fn skip(wire: &mut Wire, mut left: u64, patience: Duration) -> io::Result<()> {
        while left > 0 {
            if wire.buffered().is_empty() {
                wire.fill_within(patience).await?;
            }
            let buffered = wire.buffered().len();
            let taken = usize::try_from(left).map_or(buffered, |left| left.min(buffered));
            wire.consume(taken);
            left -= taken as u64;
        }
        Ok(())
    }

    async fn look_up(&mut self, login: &str) -> Effect {
        match self.door.directory.scram(login, self.peer, Service::ManageSieve).await {
            Ok(attempt) => {
                let (logins, keys) = (attempt.logins().to_vec(), attempt.keys().clone());
                self.scram = Some(attempt);
                self.session.scram_keys(logins, keys, &mut self.wire.out)
            }
            Err(error) => self.session.refuse_login(&error.into(), &mut self.wire.out),
        }
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
            service: Service::ManageSieve,
        };
        self.door.directory.authenticate(attempt).await
    }

    fn log_in(&mut self, result: Result<Login, AuthError>) -> io::Result<Goes> {
        let opened = match result {
            Ok(login) => {
                let opened = self.open(login.account);
                if opened.is_ok() {
                    doorkit::span::note_account(login.account.0);
                    self.wire.end_when(self.door.directory.access(login).end_as_error())?;
                }
                opened.map(|address| (login.account, address))
            }
            Err(error) => Err(error.into()),
        };
        Ok(match opened {
            Ok((account, address)) => {
                self.session.let_in(account, address, &mut self.wire.out);
                Goes::On
            }
            Err(why) => match self.session.refuse_login(&why, &mut self.wire.out) {
                Effect::Close => Goes::Out,
                _ => Goes::On,
            },
        })
    }

    /// Gives the account's address.
    fn open(&mut self, account: AccountId) -> Result<String, Refusal> {
        let later = |why: &str| Refusal::new(Code::TryLater, why);
        let seat = Seat::take(&self.door, account)
            .ok_or_else(|| later("Too many connections for this account; close another one"))?;
        let found = self.door.directory.account(account).map_err(|error| {
            tracing::error!(%error, %account, "could not read an account");
            later("The account can't be read at the moment; try again soon")
        })?;
        self.seat = Some(seat);
        Ok(found.map(|account| account.address.to_string()).unwrap_or_default())
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        let tls = self.door.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        self.wire.start_tls(tls).await?;
        let conn = self.wire.conn()?;
        let name = conn.came_by(&self.door.options.also_known_as).map(str::to_owned);
        let channel = channel(&self.door, conn);
        self.session.secured(channel, name.as_deref(), &mut self.wire.out);
        self.scram = None;
        Ok(())
    }

    /// Does what was asked for, and says how it went.
    async fn scripts(&mut self, account: AccountId, request: Request) -> Result<(), Failure> {
        let (rules, realm) = (self.door.rules.clone(), account.realm());
        let out = &mut self.wire.out;
        match request {
            Request::HaveSpace { name, bytes } => {
                rules.check_room(realm, &name, bytes)?;
                reply::ok("There is room for it", out);
            }
            Request::Put { name, text } => {
                rules.put(realm, &name, &text).await?;
                let warnings = warned(self.door.mailboxes.clone(), account, text).await?;
                reply::ok_warned(&warnings, "Script kept", out);
            }
            Request::Check(text) => {
                let (mailboxes, script) = (self.door.mailboxes.clone(), text.clone());
                let checked = doorkit::span::spawn_blocking(move || rules::check(&script).map(drop)).await;
                checked.map_err(|error| broken_task(&error))?.map_err(RulesError::Invalid)?;
                let warnings = warned(mailboxes, account, text).await?;
                reply::ok_warned(&warnings, "The script is right", out);
            }
            Request::List => {
                for script in rules.list(realm)? {
                    reply::string(&script.name, out);
                    out.extend_from_slice(if script.active { b" ACTIVE\r\n".as_slice() } else { b"\r\n" });
                }
                reply::ok("Scripts are complete", out);
            }
            Request::Activate(name) if name.is_empty() => {
                rules.activate(realm, None).await?;
                reply::ok("No script is active", out);
            }
            Request::Activate(name) => {
                rules.activate(realm, Some(&name)).await?;
                reply::ok("Script activated", out);
            }
            Request::Get(name) => {
                reply::literal(&rules.get(realm, &name)?, out);
                out.extend_from_slice(b"\r\n");
                reply::ok("Script is complete", out);
            }
            Request::Delete(name) => {
                rules.delete(realm, &name).await?;
                reply::ok("Script deleted", out);
            }
            Request::Rename { from, to } => {
                rules.rename(realm, &from, &to).await?;
                reply::ok("Script renamed", out);
            }
        }
        Ok(())
    }
}

/// The warnings about a script that is right.
async fn warned(mailboxes: Option<MailStore>, account: AccountId, text: String) -> Result<Vec<String>, Failure> {
    let told = doorkit::span::spawn_blocking(move || {
        let names = mailboxes.and_then(|mailstore| mailstore.mailboxes(account.realm()).ok());
        let exists = |name: &str| {
            let is = |mailbox: &Mailbox| MailboxName::new(name).is_ok_and(|name| mailbox.name == name);
            names.as_ref().is_none_or(|names| names.iter().any(is))
        };
        warnings(&text, exists)
    });
    told.await.map_err(|error| broken_task(&error))
}

fn broken_task(error: &tokio::task::JoinError) -> Failure {
    tracing::error!(%error, "a blocking task ended early");
    Failure::Refused(Refusal::new(Code::TryLater, "The script could not be checked; try again soon"))
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
