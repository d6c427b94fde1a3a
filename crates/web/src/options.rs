//! The options of the webmail, each with its default.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::help::HelpPage;
use crate::operate::Operator;

/// How the webmail is set up.
#[derive(Clone)]
pub struct WebOptions {
    /// What the setup page asks for while there is no account. Without one the setup page is closed.
    pub setup_token: Option<String>,
    /// How people reach the pages, as `https://mail.example.org`. With `https` cookies are marked as secure even if
    /// a proxy in front of us speaks TLS for us. Default none.
    pub public_url: Option<String>,
    /// Our name, shown on the sign-in page and given to mail programs. Default empty.
    pub hostname: String,
    /// Our other names. Who comes by one of them is shown that one. Default none.
    pub also_known_as: Vec<String>,
    /// What mail programs connect to, the best of each kind first; shown where app passwords are made. Default none.
    pub servers: Vec<Server>,
    /// Conversations on a page of a list. 10..=200, default 40, so that a page stays below 60 KB before it is compressed.
    pub page_rows: usize,
    /// Most bytes of a form without files. Default 2 MB.
    pub max_form_bytes: usize,
    /// Most bytes of the files of a message being written; base64 makes 78 of 57. Default 35 MB, which is some 48 MB as
    /// mail.
    pub max_message_bytes: usize,
    /// Most recipients of a message. Default 200.
    pub max_recipients: usize,
    /// Bytes that an account made on the pages may use; 0 is unlimited, which is the default.
    pub default_quota_bytes: u64,
    /// How long a request may take. Uploads and the preview of a rewind may take ten times as long. Default 30 seconds.
    pub request_timeout: Duration,
    /// Live updates open at once, over all accounts. Default 10,000.
    pub max_live: usize,
    /// What stands above every page while not everything is on; empty is nothing.
    pub announcement: watch::Receiver<String>,
    /// What administrators must know, above their pages.
    pub alarms: watch::Receiver<Vec<String>>,
    /// How standbys, archives, drills and a restore are, for administrators.
    pub continuity: watch::Receiver<Vec<Panel>>,
    /// The process behind the pages, for administrators. Default none: then there is no page of the service as a whole.
    pub operator: Option<Arc<dyn Operator>>,
    /// The help pages of this version, for administrators. Default none.
    pub help: &'static [HelpPage],
    /// Messages that one search looks at, the newest ones. Default 200,000.
    pub max_search_visited: usize,
    /// The search index, for the test of an account. Default none.
    pub index: Option<Arc<search::Index>>,
    /// The service's certificates, with which profiles are signed. Default none.
    pub tls: Option<doorkit::Tls>,
}

/// Something that a mail program connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// What for, as mail programs call it.
    pub what: &'static str,
    /// At which port.
    pub port: u16,
    /// How the connection is made safe, as mail programs call it.
    pub security: &'static str,
}

/// Something that administrators look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Panel {
    /// What it is.
    pub title: String,
    /// How it is, line by line.
    pub lines: Vec<String>,
    /// What to type, or to write into the configuration, to make it better.
    pub commands: String,
    /// The archive that it is about, if it is about one.
    pub archive: Option<String>,
}

impl WebOptions {
    /// Our name as who sent these headers knows it: the one that it came by, if it is ours.
    pub(crate) fn name_for(&self, headers: &axum::http::HeaderMap) -> String {
        let host = headers.get(axum::http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let host = match host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => host,
        };
        let host = host.trim_end_matches('.');
        self.also_known_as.iter().find(|name| name.eq_ignore_ascii_case(host)).unwrap_or(&self.hostname).clone()
    }

    /// Most bytes of a form with files.
    pub(crate) const fn max_upload_bytes(&self) -> usize {
        self.max_message_bytes.saturating_add(self.max_form_bytes)
    }
}

impl Default for WebOptions {
    fn default() -> Self {
        Self {
            setup_token: None,
            public_url: None,
            hostname: String::new(),
            also_known_as: Vec::new(),
            servers: Vec::new(),
            page_rows: 40,
            max_form_bytes: 2_000_000,
            max_message_bytes: 35_000_000,
            max_recipients: 200,
            default_quota_bytes: 0,
            request_timeout: Duration::from_secs(30),
            max_live: 10_000,
            announcement: watch::channel(String::new()).1,
            alarms: watch::channel(Vec::new()).1,
            continuity: watch::channel(Vec::new()).1,
            help: &[],
            operator: None,
            max_search_visited: 200_000,
            index: None,
            tls: None,
        }
    }
}

/// Fewest characters of a password; `directory` decides, forms tell in advance.
pub(crate) const MIN_PASSWORD: usize = 8;
