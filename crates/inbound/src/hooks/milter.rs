//! A milter: the protocol of Sendmail's libmilter, version 6 (as libmilter/mfdef.h has it), spoken from our side.
//!
//! All of a message is told at once when it has come: connection, envelope, header fields, body. What a milter may do is
//! what it is told at the beginning: accept, refuse, ask to try later, add header fields, quarantine.

mod packet;
mod talk;

use async_trait::async_trait;
use delivery::{Case, FileInto, JudgeError, Refusal, Spooled, Verdict};
use mailkit::headers;
use mailstore::Role;

use super::{Endpoint, Scanner, line, whole};
use packet::{Command, Response};
use talk::Talk;

/// Body bytes in one packet.
const PIECE_BYTES: usize = 65_535;
/// Header fields that a milter may add to one message.
const MAX_ADDED: usize = 50;

/// Asks a milter.
#[derive(Debug)]
pub struct Milter {
    endpoint: Endpoint,
    hostname: String,
}

impl Milter {
    /// The milter listens there. `hostname` is ours.
    #[must_use]
    pub const fn new(endpoint: Endpoint, hostname: String) -> Self {
        Self { endpoint, hostname }
    }
}

/// How it goes on after a response.
enum Step {
    Next,
    /// Nothing more is to be told about the message.
    Done(Box<Verdict>),
}

/// What a response means that is not about what to change.
fn step(response: &Response) -> Result<Step, JudgeError> {
    Ok(match response {
        Response::Continue | Response::Skip => Step::Next,
        Response::Accept => Step::Done(Box::default()),
        Response::Reject => Step::Done(refuse(550, (5, 7, 1), "Message rejected by a filter")),
        // A message that we take is never dropped without telling its sender.
        Response::Discard => Step::Done(refuse(550, (5, 7, 1), "Message discarded by a filter")),
        Response::TempFail => Step::Done(refuse(451, (4, 7, 1), "Try again later: a filter asks for it")),
        Response::Reply { code, enhanced, text } => Step::Done(refuse(*code, *enhanced, text)),
        other => return Err(JudgeError(format!("the milter answered {other:?} at the wrong time"))),
    })
}

fn refuse(code: u16, enhanced: (u8, u16, u16), text: &str) -> Box<Verdict> {
    Box::new(Verdict::refuse(Refusal::new(code, enhanced, text)))
}

#[async_trait]
impl Scanner for Milter {
    fn name(&self) -> &'static str {
        "milter"
    }

    async fn scan(&self, case: &Case, message: &Spooled) -> Result<Vec<Verdict>, JudgeError> {
        let message = whole(message).await?;
        let stream = self.endpoint.connect().await.map_err(|error| JudgeError(error.to_string()))?;
        let mut talk = Talk::begin(stream).await?;
        let said = self.tell(&mut talk, case, &message).await;
        // It may be gone already.
        let _ = talk.send(&Command::Quit).await;
        said
    }
}

impl Milter {
    async fn tell(&self, talk: &mut Talk, case: &Case, message: &[u8]) -> Result<Vec<Verdict>, JudgeError> {
        let count = case.envelope.recipients.len();
        let for_all = |verdict: Verdict| vec![verdict; count];
        if let Step::Done(verdict) = self.tell_sender(talk, case).await? {
            return Ok(for_all(*verdict));
        }
        let mut refused: Vec<Option<Verdict>> = Vec::with_capacity(count);
        for recipient in &case.envelope.recipients {
            let address = format!("<{}>", recipient.address);
            refused.push(match talk.ask(&Command::Rcpt(&address)).await?.as_ref().map(step).transpose()? {
                Some(Step::Done(verdict)) if verdict.refusal.is_some() => Some(*verdict),
                // It takes the message for this recipient and doesn't want to know more.
                Some(Step::Done(verdict)) => return Ok(for_all(*verdict)),
                Some(Step::Next) | None => None,
            });
        }
        let rest = if refused.iter().all(Option::is_some) {
            Verdict::default()
        } else {
            self.tell_message(talk, message).await?
        };
        Ok(refused.into_iter().map(|refused| refused.unwrap_or_else(|| rest.clone())).collect())
    }

    /// Connection, greeting and sender.
    async fn tell_sender(&self, talk: &mut Talk, case: &Case) -> Result<Step, JudgeError> {
        let (envelope, origin) = (&case.envelope, &case.envelope.origin);
        let helo = origin.helo.as_deref().unwrap_or("unknown");
        let peer = origin.peer.map(|peer| peer.to_canonical());
        let name = peer.map_or_else(|| "localhost".to_owned(), |peer| format!("[{peer}]"));
        let (id, from) = (case.id.to_string(), envelope.from.as_ref().map(ToString::to_string).unwrap_or_default());
        let account = origin.auth.map(|account| account.0.to_string());
        talk.macros('C', &[("j", &self.hostname), ("{daemon_name}", "holdfast")]).await?;
        let sender = format!("<{from}>");
        let mut macros = vec![("i", id.as_str()), ("{mail_addr}", from.as_str())];
        macros.extend(account.as_deref().map(|account| ("{auth_authen}", account)));
        for command in [Command::Connect(&name, peer), Command::Helo(helo), Command::Mail(&sender)] {
            if matches!(command, Command::Mail(_)) {
                talk.macros('M', &macros).await?;
            }
            if let Some(done @ Step::Done(_)) = talk.ask(&command).await?.as_ref().map(step).transpose()? {
                return Ok(done);
            }
        }
        Ok(Step::Next)
    }

    /// Header and body; what is to be changed comes at the end.
    async fn tell_message(&self, talk: &mut Talk, message: &[u8]) -> Result<Verdict, JudgeError> {
        let section = headers::header_range(message);
        let mut commands = vec![Command::Data];
        for field in headers::fields(message) {
            let value = String::from_utf8_lossy(field.value).replace("\r\n", "\n");
            let name = String::from_utf8_lossy(field.name).into_owned();
            commands.push(Command::Header(name, value.trim_end_matches('\n').to_owned()));
        }
        commands.push(Command::EndOfHeader);
        for command in &commands {
            if let Some(Step::Done(verdict)) = talk.ask(command).await?.as_ref().map(step).transpose()? {
                return Ok(*verdict);
            }
        }
        for piece in message[section.end..].chunks(PIECE_BYTES) {
            match talk.ask(&Command::Body(piece)).await? {
                Some(Response::Skip) => break,
                Some(other) => {
                    if let Step::Done(verdict) = step(&other)? {
                        return Ok(*verdict);
                    }
                }
                None => {}
            }
        }
        talk.send(&Command::EndOfMessage).await?;
        self.changes(talk).await
    }

    /// What a milter wants changed, until it says what becomes of the message.
    async fn changes(&self, talk: &mut Talk) -> Result<Verdict, JudgeError> {
        let mut verdict = Verdict::default();
        let mut added = 0;
        loop {
            match talk.response().await? {
                Response::AddHeader(name, value) => {
                    added += 1;
                    if added > MAX_ADDED {
                        return Err(JudgeError(format!("the milter adds more than {MAX_ADDED} header fields")));
                    }
                    verdict.add_header(&name, &line(&value))?;
                }
                Response::Quarantine(reason) => {
                    verdict.mailbox = Some(FileInto::Role(Role::Junk));
                    verdict.reason = format!("quarantine: {}", line(&reason));
                }
                Response::Continue | Response::Accept => return Ok(verdict),
                other => match step(&other)? {
                    Step::Done(refused) => return Ok(*refused),
                    Step::Next => {}
                },
            }
        }
    }
}
