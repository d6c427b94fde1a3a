//! `[hooks]`: programs of others that are asked about messages.

use std::sync::Arc;

use delivery::{Fallback, Judge};
use inbound::hooks::{ClamAv, Endpoint, Hook, Milter, Rspamd};
use serde::{Deserialize, Serialize};

use super::{Finding, Span};

/// Programs of others that are asked about each message before it is accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hooks {
    /// rspamd's worker, as `http://127.0.0.1:11333` or the path of its socket.
    pub rspamd: Option<String>,
    /// clamd's socket, as its path or as host:port.
    pub clamav: Option<String>,
    /// Milters, in their order, each as a path or as host:port.
    pub milters: Vec<String>,
    /// How long each may take for an answer.
    pub timeout: Span,
    /// What happens to a message that rspamd gave no answer about.
    pub rspamd_fallback: HookFallback,
    /// The same for ClamAV.
    pub clamav_fallback: HookFallback,
    /// The same for milters.
    pub milter_fallback: HookFallback,
}

/// What happens to a message when a program gives no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookFallback {
    /// It is accepted without it.
    Accept,
    /// Its sender is told to try again later.
    Defer,
}

impl From<HookFallback> for Fallback {
    fn from(fallback: HookFallback) -> Self {
        match fallback {
            HookFallback::Accept => Self::Accept,
            HookFallback::Defer => Self::Defer,
        }
    }
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            rspamd: None,
            clamav: None,
            milters: Vec::new(),
            timeout: Span::seconds(8),
            rspamd_fallback: HookFallback::Accept,
            clamav_fallback: HookFallback::Accept,
            milter_fallback: HookFallback::Accept,
        }
    }
}

/// Without what people write around host and port of a web address.
fn of_url(text: &str) -> &str {
    text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/')
}

impl Hooks {
    /// What is wrong.
    pub fn mistakes(&self, all: &mut Vec<Finding>) {
        let named = [("hooks.rspamd", self.rspamd.as_deref().map(of_url)), ("hooks.clamav", self.clamav.as_deref())];
        let written = named.into_iter().filter_map(|(key, text)| Some((key, text?)));
        for (key, text) in written.chain(self.milters.iter().map(|text| ("hooks.milters", text.as_str()))) {
            if let Err(error) = if text.starts_with('/') { Ok(()) } else { text.parse::<Endpoint>().map(drop) } {
                let remedy = "write host:port, such as \"127.0.0.1:11333\", or the path of a socket";
                all.push(Finding::new(key, format!("\"{text}\" {error}"), remedy));
            }
        }
        if self.timeout.0.is_zero() {
            all.push(Finding::new("hooks.timeout", "is zero", "remove it to use the default"));
        }
    }

    /// The judges that ask these programs.
    pub fn judges(&self, hostname: &str) -> Vec<Arc<dyn Judge>> {
        let mut all: Vec<Arc<dyn Judge>> = Vec::new();
        let endpoint = |text: &str| -> Option<Endpoint> { text.parse().ok() };
        for endpoint in self.milters.iter().filter_map(|text| endpoint(text)) {
            let milter = Milter::new(endpoint, hostname.to_owned());
            all.push(Arc::new(Hook::new(milter, self.timeout.0, self.milter_fallback.into())));
        }
        if let Some(endpoint) = self.clamav.as_deref().and_then(endpoint) {
            all.push(Arc::new(Hook::new(ClamAv::new(endpoint), self.timeout.0, self.clamav_fallback.into())));
        }
        if let Some(endpoint) = self.rspamd.as_deref().map(of_url).and_then(endpoint) {
            let rspamd = Rspamd::new(endpoint, hostname.to_owned());
            all.push(Arc::new(Hook::new(rspamd, self.timeout.0, self.rspamd_fallback.into())));
        }
        all
    }
}
