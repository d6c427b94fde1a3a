//! A resolver whose answers are proved by DNSSEC where the machine's name servers pass on what that takes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{Answer, DnsError, Kind, Resolver, SystemResolver};

/// After how long name servers that passed no proof are tried again.
const TRY_AGAIN: Duration = Duration::from_mins(5);

/// Gives proved answers. Where nothing can be proved, because the machine's name servers withhold signatures, it either gives
/// answers that are not proved, or none.
pub struct ValidatingResolver {
    proving: SystemResolver,
    plain: SystemResolver,
    demanded: bool,
    tried: Mutex<Tried>,
}

#[derive(Clone, Copy)]
enum Tried {
    Never,
    /// It works. That is not forgotten: who can disturb answers later must not be able to switch proofs off.
    Proves,
    FailedAt(Instant),
}

impl ValidatingResolver {
    /// `proving` validates, `plain` doesn't. With `demanded`, `plain` is never asked.
    pub fn new(proving: SystemResolver, plain: SystemResolver, demanded: bool) -> Self {
        Self { proving, plain, demanded, tried: Mutex::new(Tried::Never) }
    }

    /// Asks these servers, or those of the machine's configuration if there are none.
    ///
    /// # Errors
    /// A configuration that can't be read or used.
    pub fn asking(servers: &[SocketAddr], demanded: bool) -> Result<Self, DnsError> {
        Ok(Self::new(SystemResolver::validating(servers)?, SystemResolver::asking(servers)?, demanded))
    }

    /// Whether the root's own records come with their proof.
    async fn proves(&self) -> bool {
        match *self.tried.lock() {
            Tried::Proves => return true,
            Tried::FailedAt(when) if when.elapsed() < TRY_AGAIN => return false,
            Tried::Never | Tried::FailedAt(_) => {}
        }
        let proves = self.proving.lookup(".", Kind::Ns).await.is_ok_and(|answer| answer.secure);
        *self.tried.lock() = if proves { Tried::Proves } else { Tried::FailedAt(Instant::now()) };
        proves
    }
}

#[async_trait]
impl Resolver for ValidatingResolver {
    async fn lookup(&self, name: &str, kind: Kind) -> Result<Answer, DnsError> {
        if self.demanded || self.proves().await {
            return self.proving.lookup(name, kind).await;
        }
        let answer = self.plain.lookup(name, kind).await?;
        Ok(Answer { secure: false, ..answer })
    }
}
