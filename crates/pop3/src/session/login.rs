//! Logging in: USER and PASS, AUTH (RFC 5034).

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use directory::Login;
use doorkit::sasl::{Exchange, Mechanism, Password, SaslError, ScramKeys, Step};

use super::{Effect, NOT_NOW, Session, State};
use crate::{
    command::Misunderstood,
    maildrop::Maildrop,
    reply::{self, Code, Refusal},
};

/// An AUTH in progress.
pub(super) struct Dialogue {
    exchange: Exchange,
    /// SCRAM: what each of the login's passwords lets in, if it is known.
    found: Vec<Login>,
    /// SCRAM: the proof was right, by this one of the passwords; the client has yet to accept ours.
    proved: Option<usize>,
}

const NEEDS_TLS: &str = "TLS required for login: use STLS first, or the POP3S port";
const MALFORMED: Misunderstood = Misunderstood("Malformed authentication response");

impl Session {
    /// The mechanisms that may be used now, best first.
    pub(super) fn mechanisms(&self) -> impl Iterator<Item = Mechanism> {
        let all = [Mechanism::ScramSha256Plus, Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login];
        let (may_log_in, can_bind) = (self.channel.may_log_in, self.channel.exporter.is_some());
        let no_scram = self.channel.no_scram;
        all.into_iter().filter(move |mechanism| {
            may_log_in
                && match mechanism {
                    Mechanism::ScramSha256Plus => can_bind && !no_scram,
                    Mechanism::ScramSha256 => !no_scram,
                    Mechanism::Plain | Mechanism::Login => true,
                }
        })
    }

    pub(super) fn user(&mut self, user: &str, out: &mut Vec<u8>) -> Effect {
        if !self.channel.may_log_in {
            return self.refuse_login(&Refusal::plain(NEEDS_TLS), out);
        }
        self.state = State::Authorization { user: Some(user.to_owned()) };
        reply::ok(out, "Send PASS");
        Effect::Next
    }

    pub(super) fn pass(&mut self, password: &str) -> Result<Effect, Misunderstood> {
        let State::Authorization { user } = &mut self.state else { return Err(NOT_NOW) };
        let authcid = user.take().ok_or(Misunderstood("Send USER first"))?;
        Ok(Effect::Login(Password { authzid: String::new(), authcid, password: password.to_owned() }))
    }

    pub(super) fn auth(&mut self, mechanism: &str, initial: Option<&str>, out: &mut Vec<u8>) -> Effect {
        if !self.channel.may_log_in {
            return self.refuse_login(&Refusal::plain(NEEDS_TLS), out);
        }
        let known = Mechanism::from_name(mechanism).filter(|wanted| self.mechanisms().any(|known| known == *wanted));
        let Some(mechanism) = known else {
            return self.misunderstood(Misunderstood("Unsupported authentication mechanism"), out);
        };
        let exchange = Exchange::new(mechanism, self.channel.exporter);
        let first = exchange.first_challenge();
        self.state = State::Sasl(Box::new(Dialogue { exchange, found: Vec::new(), proved: None }));
        match initial {
            None => challenge(&first, out),
            // RFC 5034 §4: an empty initial response.
            Some("=") => self.sasl_message(b"", out),
            Some(text) => self.sasl_line(text.as_bytes(), out),
        }
    }

    pub(super) fn sasl_line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Effect {
        if line == b"*" {
            return self.refuse_login(&Refusal::plain("Authentication cancelled"), out);
        }
        match BASE64.decode(line) {
            Ok(message) => self.sasl_message(&message, out),
            Err(_) => self.malformed(out),
        }
    }

    fn sasl_message(&mut self, message: &[u8], out: &mut Vec<u8>) -> Effect {
        let State::Sasl(dialogue) = &mut self.state else { return self.misunderstood(NOT_NOW, out) };
        if let Some(which) = dialogue.proved.take() {
            return match dialogue.found.get(which) {
                Some(&found) if message.is_empty() => Effect::ScramProved(found),
                _ => self.malformed(out),
            };
        }
        let step = dialogue.exchange.step(message);
        self.sasl_step(step, out)
    }

    /// Goes on with what was found of [`Effect::ScramLookup`]'s login; without secrets it fails at the end.
    pub(crate) fn scram_keys(&mut self, found: Vec<Login>, keys: ScramKeys, out: &mut Vec<u8>) -> Effect {
        let State::Sasl(dialogue) = &mut self.state else { return self.misunderstood(NOT_NOW, out) };
        dialogue.found = found;
        let step = dialogue.exchange.scram_keys(keys);
        self.sasl_step(step, out)
    }

    fn sasl_step(&mut self, step: Result<Step, SaslError>, out: &mut Vec<u8>) -> Effect {
        let State::Sasl(dialogue) = &mut self.state else { return self.misunderstood(NOT_NOW, out) };
        match step {
            Ok(Step::Challenge(text)) => challenge(&text, out),
            Ok(Step::Password(password)) if password.authzid.is_empty() || password.authzid == password.authcid => {
                Effect::Login(password)
            }
            Ok(Step::Password(_)) => {
                self.refuse_login(&Refusal::new(Code::Auth, "Acting as another user is not supported"), out)
            }
            Ok(Step::ScramLogin(login)) => Effect::ScramLookup(login),
            Ok(Step::Proved { which, last, .. }) => {
                dialogue.proved = Some(which);
                challenge(&last, out)
            }
            Err(SaslError::Malformed) => self.malformed(out),
            Err(SaslError::Failed) => Effect::ScramFailed,
        }
    }

    fn malformed(&mut self, out: &mut Vec<u8>) -> Effect {
        self.state = State::Authorization { user: None };
        self.misunderstood(MALFORMED, out)
    }

    /// A login failed.
    pub(crate) fn refuse_login(&mut self, why: &Refusal, out: &mut Vec<u8>) -> Effect {
        self.state = State::Authorization { user: None };
        self.failed_logins += 1;
        why.write_to(out);
        if self.failed_logins >= self.options.max_failed_logins { Effect::Close } else { Effect::Next }
    }

    /// A login succeeded.
    pub(crate) fn let_in(&mut self, maildrop: Maildrop, out: &mut Vec<u8>) {
        let (count, bytes) = maildrop.total();
        self.state = State::Transaction(maildrop);
        reply::ok(out, &format!("{count} messages ({bytes} bytes)"));
    }
}

fn challenge(text: &[u8], out: &mut Vec<u8>) -> Effect {
    out.extend_from_slice(b"+ ");
    reply::line(out, &BASE64.encode(text));
    Effect::Next
}
