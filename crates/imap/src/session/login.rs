//! LOGIN, AUTHENTICATE, STARTTLS (RFC 9051 sections 6.2.1 to 6.2.3).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use directory::{AuthError, Login, LoginAttempt, Secret, Service};
use doorkit::sasl::{Exchange, MAX_MESSAGE_BYTES, Mechanism, Password, SaslError, Step};

use super::{
    Session,
    outcome::{Done, Outcome},
};
use crate::failure::Failure;
use crate::response::Code;
use crate::syntax;

/// Longest line in an exchange: the longest message in base64, and the end of the line.
const MAX_ANSWER_BYTES: usize = MAX_MESSAGE_BYTES.div_ceil(3) * 4 + 2;

impl Session {
    pub(super) async fn login(&mut self, user: String, password: syntax::Secret) -> Outcome {
        self.may_log_in()?;
        let attempt = self.attempt(&user, Secret::Password(&password.0))?;
        let result = self.door.directory.authenticate(attempt).await;
        self.logged_in(result, "LOGIN completed")
    }

    fn may_log_in(&self) -> Outcome<()> {
        if self.user.is_some() {
            return Err(Failure::bad("Already logged in"));
        }
        if !self.passwords_allowed()? {
            return Err(Failure::no(Code::PRIVACY_REQUIRED, "TLS required for login: use STARTTLS first"));
        }
        Ok(())
    }

    /// Notes what the client calls itself with its sign-in, as soon as both are known.
    pub(super) fn note_program(&self) -> Outcome<()> {
        if let Some(login) = self.login.as_ref().filter(|_| !self.program.is_empty()) {
            let peer = self.wire.conn()?.peer().ip();
            self.door.directory.note_program(login, Service::Imap, peer, &self.program);
        }
        Ok(())
    }

    fn logged_in(&mut self, result: Result<Login, AuthError>, text: &'static str) -> Outcome {
        match result {
            Ok(login) => {
                self.wire.end_when(self.door.directory.access(login).end_as_error())?;
                self.user = Some(login.account.realm());
                self.login = Some(login);
                self.note_program()?;
                doorkit::span::note_account(login.account.0);
                self.frame.set_limit(self.door.options.max_command_bytes);
                Ok(Done::code(Code::Capability(self.capabilities()?), text))
            }
            Err(error) => {
                self.failed_logins += 1;
                Err(error.into())
            }
        }
    }

    /// SASL (RFC 9051 section 6.2.2). The exchange itself is [`doorkit::sasl`]'s.
    pub(super) async fn authenticate(&mut self, mechanism: &str, initial: Option<syntax::Secret>) -> Outcome {
        self.may_log_in()?;
        let can_bind = self.wire.conn()?.tls_exporter().is_some();
        let known = Mechanism::from_name(mechanism).filter(|known| can_bind || *known != Mechanism::ScramSha256Plus);
        let Some(mechanism) = known else {
            return Err(Failure::no(Code::CANNOT, "Unsupported authentication mechanism; see CAPABILITY"));
        };
        let mut exchange = Exchange::new(mechanism, self.wire.conn()?.tls_exporter());
        let mut message = match initial {
            // `=` is how an empty initial response is written (RFC 4959 section 3).
            Some(text) if text.0 == "=" => Vec::new(),
            Some(text) => decoded(text.0.as_bytes())?,
            None => self.challenge(&exchange.first_challenge()).await?,
        };
        loop {
            match exchange.step(&message).map_err(refused)? {
                Step::Challenge(text) => message = self.challenge(&text).await?,
                Step::Password(password) => return self.check_password(password).await,
                Step::ScramLogin(login) => return self.scram(exchange, &login).await,
                // SCRAM proves nothing before it has asked for keys.
                Step::Proved { .. } => return Err(refused(SaslError::Malformed)),
            }
        }
    }

    /// SCRAM, from where the client has said who it is. An unknown login goes on to its end like a known one.
    async fn scram(&mut self, mut exchange: Exchange, name: &str) -> Outcome {
        let peer = self.wire.conn()?.peer().ip();
        let attempt = self.door.directory.scram(name, peer, Service::Imap).await?;
        let mut step = exchange.scram_keys(attempt.keys().clone());
        let proved = loop {
            match step {
                Ok(Step::Challenge(text)) => step = exchange.step(&self.challenge(&text).await?),
                Ok(Step::Proved { which, last, .. }) => {
                    // The client has nothing left to say, but must be heard (RFC 5802 section 5).
                    self.challenge(&last).await?;
                    break attempt.logins().get(which).copied();
                }
                Err(SaslError::Failed) => break None,
                Err(error) => return Err(refused(error)),
                Ok(_) => return Err(refused(SaslError::Malformed)),
            }
        };
        let result = self.door.directory.scram_outcome(attempt, proved);
        self.logged_in(result, "AUTHENTICATE completed")
    }

    async fn check_password(&mut self, claim: Password) -> Outcome {
        if !claim.authzid.is_empty() && !claim.authzid.eq_ignore_ascii_case(&claim.authcid) {
            return Err(Failure::no(Code::AUTHORIZATION_FAILED, "Acting as another user is not supported"));
        }
        let attempt = self.attempt(&claim.authcid, Secret::Password(&claim.password))?;
        let result = self.door.directory.authenticate(attempt).await;
        self.logged_in(result, "AUTHENTICATE completed")
    }

    fn attempt<'a>(&self, login: &'a str, secret: Secret<'a>) -> Outcome<LoginAttempt<'a>> {
        Ok(LoginAttempt { login, secret, peer: self.wire.conn()?.peer().ip(), service: Service::Imap })
    }

    /// Says `text` and hears the client's answer, both in base64.
    async fn challenge(&mut self, text: &[u8]) -> Outcome<Vec<u8>> {
        let line = format!("+ {}\r\n", BASE64.encode(text));
        self.wire.out.extend_from_slice(line.as_bytes());
        self.wire.flush().await?;
        loop {
            if let Some(end) = self.wire.buffered().iter().position(|&b| b == b'\n') {
                let line = &self.wire.buffered()[..end];
                let answer = line.strip_suffix(b"\r").unwrap_or(line);
                let result =
                    if answer == b"*" { Err(Failure::bad("Authentication cancelled")) } else { decoded(answer) };
                self.wire.consume(end + 1);
                return result;
            }
            if self.wire.buffered().len() > MAX_ANSWER_BYTES {
                return Err(Failure::bye("Authentication response too long"));
            }
            if self.fill().await? == 0 {
                return Err(Failure::Gone(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    pub(super) async fn start_tls(&mut self, tag: &str) -> Outcome<()> {
        let tls = match &self.door.tls {
            Some(tls) if self.can_start_tls()? && self.user.is_none() => tls.clone(),
            _ => return self.answer(Some(tag.to_owned()), Err(Failure::bad("STARTTLS not available"))),
        };
        if !self.wire.buffered().is_empty() {
            return Err(Failure::bye("Data received after STARTTLS and before the TLS handshake"));
        }
        self.answer(Some(tag.to_owned()), Ok(Done::text("Begin TLS negotiation now")))?;
        self.wire.start_tls(&tls).await?;
        Ok(())
    }
}

impl Session {
    /// RFC 4978. After the tagged OK all is compressed.
    pub(super) async fn compress(&mut self, tag: String, mechanism: &str) -> Outcome<()> {
        let refused = if self.user.is_none() {
            Failure::bad("Log in first")
        } else if mechanism != "DEFLATE" {
            Failure::bad("Unsupported compression mechanism; use DEFLATE")
        } else if self.wire.is_compressed() {
            Failure::no(Code::COMPRESSION_ACTIVE, "Compression is already active")
        } else {
            self.answer(Some(tag), Ok(Done::text("DEFLATE active")))?;
            self.wire.start_deflate().await?;
            return Ok(());
        };
        self.answer(Some(tag), Err(refused))
    }
}

fn decoded(text: &[u8]) -> Outcome<Vec<u8>> {
    BASE64.decode(text).map_err(|_| Failure::bad("Expected base64"))
}

fn refused(error: SaslError) -> Failure {
    match error {
        SaslError::Malformed => Failure::bad("Malformed authentication message"),
        SaslError::Failed => {
            Failure::no(Code::AUTHENTICATION_FAILED, "Authentication failed: wrong user name or password")
        }
    }
}
