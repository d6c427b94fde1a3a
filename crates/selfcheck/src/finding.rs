//! What a check found.

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Ok,
    /// Something that its owner may have meant, or should know.
    Note,
    /// Something is wrong.
    Wrong,
}

impl State {
    /// For programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Wrong => "wrong",
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check, for programs: stays when texts are reworded.
    pub code: &'static str,
    /// What it is about, where there may be several: an address, a mailbox.
    pub about: String,
    /// How it is.
    pub state: State,
    /// In one or two sentences.
    pub text: String,
    /// What the button says that mends it; none where it can't be mended from here.
    pub mend: Option<&'static str>,
    /// The page where its owner sees to it.
    pub page: Option<&'static str>,
}

impl Finding {
    /// What it is about, as a heading.
    pub fn title(&self) -> &'static str {
        match self.code {
            "storage" => "Storage",
            "mailboxes" => "Mailboxes",
            "sending" => "Sending",
            "search-index" => "Search",
            "rules" | "rule-mailbox" | "rule-forward" => "Rules",
            "vacation" => "Vacation reply",
            "forwarding" | "forward-paused" | "forward-unconfirmed" | "forward-expired" => "Forwarding",
            "senders" | "sender-blocked" => "Blocked senders",
            "identities" | "identity-gone" => "Addresses",
            "app-passwords" => "App passwords",
            "two-step" => "Two-step sign-in",
            "sign-ins" | "sign-ins-failed" => "Sign-ins",
            _ => "Last sign-ins",
        }
    }

    pub(crate) fn new(code: &'static str, state: State, text: impl Into<String>) -> Self {
        Self { code, about: String::new(), state, text: text.into(), mend: None, page: None }
    }

    pub(crate) fn ok(code: &'static str, text: impl Into<String>) -> Self {
        Self::new(code, State::Ok, text)
    }

    pub(crate) fn about(self, about: impl Into<String>) -> Self {
        Self { about: about.into(), ..self }
    }

    pub(crate) fn mend(self, button: &'static str) -> Self {
        Self { mend: Some(button), ..self }
    }

    pub(crate) fn page(self, page: &'static str) -> Self {
        Self { page: Some(page), ..self }
    }
}

/// The worst of what was found.
pub fn worst(found: &[Finding]) -> State {
    found.iter().map(|finding| finding.state).max().unwrap_or(State::Ok)
}

/// `1 message`, `2 messages`.
pub(crate) fn counted(count: usize, one: &str, more: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {more}") }
}

/// `today`, `yesterday`, `12 days ago`.
pub(crate) fn ago(at_ms: i64, now_ms: i64) -> String {
    match (now_ms - at_ms).div_euclid(86_400_000) {
        ..=0 => "within the last 24 hours".to_owned(),
        1 => "a day ago".to_owned(),
        days => format!("{days} days ago"),
    }
}
