//! ClamAV: `INSTREAM` at the socket of clamd (clamd(8)).

use async_trait::async_trait;
use delivery::{Case, JudgeError, Refusal, Spooled, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Endpoint, Scanner, line, whole};

/// The message is sent in pieces of this size.
const PIECE_BYTES: usize = 128 << 10;
/// The longest answer: a name of what was found.
const MAX_ANSWER_BYTES: u64 = 4_096;

/// Asks clamd whether a message holds malware; one that does is refused.
#[derive(Debug)]
pub struct ClamAv {
    endpoint: Endpoint,
}

impl ClamAv {
    /// clamd listens there.
    #[must_use]
    pub const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    async fn ask(&self, message: &[u8]) -> std::io::Result<String> {
        let mut stream = self.endpoint.connect().await?;
        stream.write_all(b"zINSTREAM\0").await?;
        let sent = async {
            for piece in message.chunks(PIECE_BYTES) {
                stream.write_all(&u32::try_from(piece.len()).unwrap_or(u32::MAX).to_be_bytes()).await?;
                stream.write_all(piece).await?;
            }
            stream.write_all(&0_u32.to_be_bytes()).await?;
            stream.flush().await
        }
        .await;
        // It says why, when it hangs up in the middle of a message that is too large for it.
        let mut answer = Vec::new();
        let read = (&mut stream).take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await;
        if answer.is_empty() {
            sent?;
            read?;
        }
        let end = answer.iter().position(|&byte| byte == 0 || byte == b'\n').unwrap_or(answer.len());
        Ok(String::from_utf8_lossy(&answer[..end]).into_owned())
    }
}

#[async_trait]
impl Scanner for ClamAv {
    fn name(&self) -> &'static str {
        "clamav"
    }

    async fn scan(&self, case: &Case, message: &Spooled) -> Result<Vec<Verdict>, JudgeError> {
        let message = whole(message).await?;
        let answer = self.ask(&message).await.map_err(|error| JudgeError(error.to_string()))?;
        let verdict = verdict(&answer)?;
        Ok(vec![verdict; case.envelope.recipients.len()])
    }
}

/// What an answer means: `stream: OK`, `stream: NAME FOUND` or `… ERROR`.
fn verdict(answer: &str) -> Result<Verdict, JudgeError> {
    let said = answer.strip_prefix("stream: ").unwrap_or(answer);
    if said == "OK" {
        return Ok(Verdict::default());
    }
    match said.strip_suffix(" FOUND") {
        Some(name) => {
            let name = line(name);
            let text = format!("Message rejected: it contains malware ({name})");
            let mut refused = Verdict::refuse(Refusal::new(554, (5, 7, 1), text)).because(format!("found {name}"));
            refused.found_malware = true;
            Ok(refused)
        }
        None => Err(JudgeError(format!("clamd answered \u{201c}{}\u{201d}", line(answer)))),
    }
}
