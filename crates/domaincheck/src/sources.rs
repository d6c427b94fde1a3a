//! Whom a check asks: a resolver, and where there are more sources, those too.

use std::sync::Arc;

use async_trait::async_trait;
use dnskit::{Authorities, Resolver};

use crate::answers::{ServedPolicy, UnreadPolicy};

/// Reads TLS policies (MTA-STS) over HTTPS, as other servers do.
#[async_trait]
pub trait Policies: Send + Sync + 'static {
    /// The policy of a domain.
    async fn read(&self, domain: &str) -> Result<ServedPolicy, UnreadPolicy>;
}

/// Whom a check asks. Cheap to clone.
#[derive(Clone)]
pub struct Sources {
    /// About everything that is not in the domain's own zone, and where the domain's servers don't answer.
    pub resolver: Arc<dyn Resolver>,
    /// The name servers of the domain itself.
    pub authorities: Option<Authorities>,
    /// A resolver that checks DNSSEC.
    pub proving: Option<Arc<dyn Resolver>>,
    /// Reads policies.
    pub policies: Option<Arc<dyn Policies>>,
}

impl Sources {
    /// A resolver alone.
    pub fn only(resolver: Arc<dyn Resolver>) -> Self {
        Self { resolver, authorities: None, proving: None, policies: None }
    }
}
