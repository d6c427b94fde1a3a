//! The DNS as one message may use it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use dnskit::{Answer, DnsError, Kind, Resolver};
use parking_lot::Mutex;

/// Most questions that one message may cause.
pub const MAX_QUESTIONS: usize = 300;
/// Most records of one answer that are looked at.
const MAX_RECORDS: usize = 100;

/// Asks another resolver, each question once, and not too many of them.
pub struct Lookups {
    resolver: Arc<dyn Resolver>,
    asked: AtomicUsize,
    known: Mutex<HashMap<(String, Kind), Result<Answer, DnsError>>>,
}

impl Lookups {
    /// For one message.
    pub fn new(resolver: Arc<dyn Resolver>) -> Self {
        Self { resolver, asked: AtomicUsize::new(0), known: Mutex::default() }
    }
}

#[async_trait]
impl Resolver for Lookups {
    async fn lookup(&self, name: &str, kind: Kind) -> Result<Answer, DnsError> {
        let key = (name.trim_end_matches('.').to_ascii_lowercase(), kind);
        if let Some(known) = self.known.lock().get(&key) {
            return known.clone();
        }
        if self.asked.fetch_add(1, Ordering::Relaxed) >= MAX_QUESTIONS {
            return Err(DnsError::Temporary("too many questions about one message".to_owned()));
        }
        let mut found = self.resolver.lookup(&key.0, kind).await;
        if let Ok(answer) = &mut found {
            answer.records.truncate(MAX_RECORDS);
        }
        self.known.lock().insert(key, found.clone());
        found
    }
}
