//! rspamd: `POST /checkv2` at its worker (rspamd's protocol documentation).

use async_trait::async_trait;
use bytes::Bytes;
use delivery::{Case, FileInto, JudgeError, Refusal, Spooled, Verdict};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use mailstore::Role;
use serde::Deserialize;

use super::{Endpoint, Scanner, line, whole};

/// The longest answer: symbols with their options.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Symbols that are named in the field above a message.
const MAX_SYMBOLS: usize = 20;

/// Asks rspamd for its action on a message.
#[derive(Debug)]
pub struct Rspamd {
    endpoint: Endpoint,
    hostname: String,
}

/// What it answers, as far as it is used.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    is_skipped: bool,
    score: f64,
    required_score: f64,
    action: String,
    symbols: std::collections::BTreeMap<String, Symbol>,
    messages: std::collections::BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Symbol {
    score: f64,
}

impl Rspamd {
    /// rspamd's normal worker listens there. `hostname` is ours.
    #[must_use]
    pub const fn new(endpoint: Endpoint, hostname: String) -> Self {
        Self { endpoint, hostname }
    }

    fn request(&self, case: &Case, message: Bytes) -> Result<Request<Full<Bytes>>, JudgeError> {
        let (envelope, origin) = (&case.envelope, &case.envelope.origin);
        let from = envelope.from.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut request = Request::post("/checkv2")
            .header("Host", "rspamd")
            .header("MTA-Name", &self.hostname)
            .header("Queue-Id", case.id.to_string());
        let mut add = |name: &str, value: &str| {
            // What can't stand in a field of HTTP is left out: rspamd reads the message itself.
            if let Ok(value) = hyper::header::HeaderValue::from_bytes(value.as_bytes())
                && let (Some(headers), Ok(name)) =
                    (request.headers_mut(), hyper::header::HeaderName::from_bytes(name.as_bytes()))
            {
                headers.append(name, value);
            }
        };
        add("From", &from);
        for recipient in &envelope.recipients {
            add("Rcpt", &recipient.address.to_string());
        }
        if let Some(peer) = origin.peer {
            add("IP", &peer.to_canonical().to_string());
        }
        if let Some(helo) = &origin.helo {
            add("Helo", helo);
        }
        if let Some(account) = origin.auth {
            add("User", &account.0.to_string());
        }
        request.body(Full::new(message)).map_err(|error| JudgeError(format!("the request can't be made: {error}")))
    }

    async fn ask(&self, case: &Case, message: Bytes) -> Result<Answer, JudgeError> {
        let failed = |error: &dyn std::fmt::Display| JudgeError(error.to_string());
        let request = self.request(case, message)?;
        let stream = self.endpoint.connect().await.map_err(|error| failed(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        // Ends with the sender, or with the time of the caller.
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        let body =
            Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(|error| failed(&error))?;
        if !status.is_success() {
            return Err(JudgeError(format!("rspamd answered with status {status}")));
        }
        serde_json::from_slice(&body.to_bytes()).map_err(|error| JudgeError(format!("rspamd\u{2019}s answer: {error}")))
    }
}

#[async_trait]
impl Scanner for Rspamd {
    fn name(&self) -> &'static str {
        "rspamd"
    }

    async fn scan(&self, case: &Case, message: &Spooled) -> Result<Vec<Verdict>, JudgeError> {
        let answer = self.ask(case, whole(message).await?).await?;
        let verdict = verdict(&answer)?;
        Ok(vec![verdict; case.envelope.recipients.len()])
    }
}

/// What an answer means.
fn verdict(answer: &Answer) -> Result<Verdict, JudgeError> {
    // With an action it was not skipped: rspamd says so too when one of its rules decided before the others were asked.
    if answer.is_skipped && matches!(answer.action.as_str(), "" | "no action") {
        return Ok(Verdict::default());
    }
    let said =
        answer.messages.get("smtp_message").and_then(|text| text.as_str()).map(line).filter(|text| !text.is_empty());
    let score = format!("{:.2} of {:.2}", answer.score, answer.required_score);
    let mut verdict = match answer.action.as_str() {
        "no action" => Verdict::default(),
        "add header" | "rewrite subject" | "quarantine" => Verdict::file(FileInto::Role(Role::Junk)),
        "greylist" | "soft reject" => {
            let text = said.unwrap_or_else(|| "Try again later: the message is checked once more then".to_owned());
            Verdict::refuse(Refusal::new(451, (4, 7, 1), text))
        }
        "reject" | "discard" => {
            let text = said.unwrap_or_else(|| "Message rejected: it looks like spam".to_owned());
            Verdict::refuse(Refusal::new(550, (5, 7, 1), text))
        }
        other => return Err(JudgeError(format!("rspamd wants the unknown action \u{201c}{}\u{201d}", line(other)))),
    };
    verdict.add_header("X-Rspamd-Score", &score)?;
    let mut symbols: Vec<(&String, f64)> = answer.symbols.iter().map(|(name, symbol)| (name, symbol.score)).collect();
    symbols.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(b.0)));
    let named = symbols.iter().take(MAX_SYMBOLS).map(|(name, score)| format!("{} ({score:.2})", line(name)));
    let named = named.collect::<Vec<_>>().join(", ");
    if !named.is_empty() {
        verdict.add_header("X-Rspamd-Symbols", &named)?;
    }
    Ok(verdict.because(format!("{}, {score}", answer.action)))
}
