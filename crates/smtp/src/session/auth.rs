//! AUTH (RFC 4954).

use std::{io, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use delivery::Elsewhere;
use directory::{AuthError, Login, LoginAttempt, ScramAttempt, Secret, Service};
use doorkit::{
    Conn,
    sasl::{Exchange, Mechanism, SaslError, Step},
};

use super::{Next, Session};
use crate::{Role, line::Line, reply::Reply};

/// AUTH responses may be longer than commands (RFC 4954 §4).
const MAX_RESPONSE_BYTES: usize = 12_288;

/// How an exchange ended without a login.
enum Ended {
    Refused(Reply),
    Cancelled,
}

impl Session {
    pub(super) async fn auth(&mut self, mechanism: &str, initial: Option<&str>) -> io::Result<Next> {
        if self.door.options.role != Role::Submission {
            return Ok(self.refuse(Reply::new(503, (5, 5, 1), "AUTH is only available on the submission ports")));
        }
        if self.account.is_some() || self.transaction.is_some() || !self.esmtp {
            return Ok(self.refuse(Reply::out_of_order("AUTH is allowed once, after EHLO and before MAIL")));
        }
        let Some(mechanism) = Mechanism::from_name(mechanism) else {
            return Ok(self.refuse(Reply::new(504, (5, 5, 4), "Unrecognized authentication mechanism")));
        };
        let is_scram = matches!(mechanism, Mechanism::ScramSha256 | Mechanism::ScramSha256Plus);
        if is_scram && !self.door.directory.offers_scram() {
            return Ok(self.refuse(Reply::from(AuthError::Unavailable)));
        }
        if !self.mechanisms().contains(&mechanism) {
            return Ok(self.refuse(Reply::new(
                538,
                (5, 7, 11),
                "Encryption required for this authentication mechanism: use STARTTLS first",
            )));
        }
        if let Some(elsewhere) = self.door.delivery.elsewhere() {
            return self.auth_at_relay(elsewhere, Exchange::new(mechanism, None), initial).await;
        }
        let channel = self.wire.conn().ok().and_then(Conn::tls_exporter);
        match self.exchange(Exchange::new(mechanism, channel), initial).await? {
            Ok(login) => {
                self.wire.end_when(self.door.directory.access(login).end_as_error())?;
                self.account = Some(login.account);
                doorkit::span::note_account(login.account.0);
                Ok(self.say(&Reply::new(235, (2, 7, 0), "Authentication successful")))
            }
            Err(Ended::Cancelled) => Ok(self.refuse(Reply::new(501, (5, 7, 0), "Authentication cancelled"))),
            Err(Ended::Refused(reply)) => Ok(self.refuse_login(&reply)),
        }
    }

    fn refuse_login(&mut self, reply: &Reply) -> Next {
        self.failed_logins += 1;
        self.say(reply);
        if self.failed_logins >= self.door.options.max_failed_logins {
            self.say_goodbye("Error: too many failed logins");
            return Next::Close;
        }
        Next::Go
    }

    /// A login on a relay: the primary has told it what recognises some passwords.
    async fn auth_at_relay(
        &mut self,
        elsewhere: Arc<dyn Elsewhere>,
        mut exchange: Exchange,
        initial: Option<&str>,
    ) -> io::Result<Next> {
        let peer = self.wire.conn()?.peer().ip();
        let mut message = match initial {
            Some("=") => Ok(Vec::new()),
            Some(text) => BASE64.decode(text).map_err(|_| Ended::Refused(malformed())),
            None => self.challenge(&exchange.first_challenge()).await?,
        };
        let password = loop {
            let step = match message {
                Ok(bytes) => exchange.step(&bytes),
                Err(Ended::Cancelled) => {
                    return Ok(self.refuse(Reply::new(501, (5, 7, 0), "Authentication cancelled")));
                }
                Err(Ended::Refused(reply)) => return Ok(self.refuse_login(&reply)),
            };
            message = match step {
                Ok(Step::Challenge(challenge)) => self.challenge(&challenge).await?,
                Ok(Step::Password(password)) => break password,
                _ => return Ok(self.refuse_login(&malformed())),
            };
        };
        if !password.authzid.is_empty() && password.authzid != password.authcid {
            return Ok(self.refuse_login(&Reply::new(535, (5, 7, 8), "Acting as another user is not supported")));
        }
        let checked =
            tokio::task::spawn_blocking(move || elsewhere.sign_in(&password.authcid, &password.password, peer));
        match checked.await.map_err(io::Error::other)? {
            Ok(signed_in) => {
                (self.account, self.proof) = (Some(signed_in.account), signed_in.proof);
                doorkit::span::note_account(signed_in.account.0);
                Ok(self.say(&Reply::new(235, (2, 7, 0), "Authentication successful")))
            }
            Err(refusal) => Ok(self.refuse_login(&refusal.into())),
        }
    }

    async fn exchange(&mut self, mut exchange: Exchange, initial: Option<&str>) -> io::Result<Result<Login, Ended>> {
        let peer = self.wire.conn()?.peer().ip();
        let directory = self.door.directory.clone();
        let mut scram: Option<ScramAttempt> = None;
        let mut message = match initial {
            Some("=") => Ok(Vec::new()),
            Some(text) => BASE64.decode(text).map_err(|_| Ended::Refused(malformed())),
            None => self.challenge(&exchange.first_challenge()).await?,
        };
        loop {
            let bytes = match message {
                Ok(bytes) => bytes,
                Err(ended) => return Ok(Err(ended)),
            };
            let mut step = exchange.step(&bytes);
            if let Ok(Step::ScramLogin(login)) = &step {
                let attempt = match directory.scram(login, peer, Service::Smtp).await {
                    Ok(attempt) => attempt,
                    Err(error) => return Ok(Err(Ended::Refused(error.into()))),
                };
                step = exchange.scram_keys(attempt.keys().clone());
                scram = Some(attempt);
            }
            message = match step {
                Ok(Step::Challenge(challenge)) => self.challenge(&challenge).await?,
                Ok(Step::Password(password)) => {
                    if !password.authzid.is_empty() && password.authzid != password.authcid {
                        return Ok(Err(Ended::Refused(Reply::new(
                            535,
                            (5, 7, 8),
                            "Acting as another user is not supported",
                        ))));
                    }
                    let secret = Secret::Password(&password.password);
                    let attempt = LoginAttempt { login: &password.authcid, secret, peer, service: Service::Smtp };
                    return Ok(directory.authenticate(attempt).await.map_err(|error| Ended::Refused(error.into())));
                }
                Ok(Step::Proved { which, last, .. }) => {
                    let known = scram.as_ref().and_then(|attempt| attempt.logins().get(which).copied());
                    let outcome = scram.take().map(|attempt| directory.scram_outcome(attempt, known));
                    let result = outcome.unwrap_or(Err(AuthError::Invalid));
                    // The client checks our proof and sends an empty response.
                    return Ok(match self.challenge(&last).await? {
                        Ok(_) => result.map_err(|error| Ended::Refused(error.into())),
                        Err(ended) => Err(ended),
                    });
                }
                Ok(Step::ScramLogin(_)) => return Ok(Err(Ended::Refused(malformed()))),
                Err(SaslError::Malformed) => return Ok(Err(Ended::Refused(malformed()))),
                Err(SaslError::Failed) => {
                    let outcome = scram.map(|attempt| directory.scram_outcome(attempt, None));
                    let error = outcome.and_then(Result::err).unwrap_or(AuthError::Invalid);
                    return Ok(Err(Ended::Refused(error.into())));
                }
            };
        }
    }

    /// Sends a challenge and returns the client's decoded response.
    async fn challenge(&mut self, challenge: &[u8]) -> io::Result<Result<Vec<u8>, Ended>> {
        self.say(&Reply::plain(334, BASE64.encode(challenge)));
        let timeout = self.door.options.command_timeout;
        Ok(match self.wire.line(MAX_RESPONSE_BYTES, timeout).await?.into() {
            Line::Text(text) if text == "*" => Err(Ended::Cancelled),
            Line::Text(text) => BASE64.decode(text).map_err(|_| Ended::Refused(malformed())),
            Line::Malformed(_) | Line::TooLong => Err(Ended::Refused(malformed())),
        })
    }
}

fn malformed() -> Reply {
    Reply::new(501, (5, 5, 2), "Malformed authentication response")
}
