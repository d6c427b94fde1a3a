//! One attempt to deliver a message to a domain: tries its hosts in turn until one accepts it or all have replied.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Request;
use hyper::header::CONTENT_TYPE;

use super::connection::{Connection, ConnectionError, MessageSource};
use super::hosts::{self, Host, NoHost};
use super::https::{self, Peer};
use super::pool::Pool;
use super::problem::{TlsFailure, TlsProblem};
use super::reply::Reply;
use super::security::{Demands, HostDemand, Security, Unfit};
use super::tls::TlsClients;
use super::transaction::{Fate, Mail, TlsWish};
use crate::DeliveryOptions;
use crate::schema::SecurityRecord;
use dnskit::Resolver;

/// Most servers that are talked to in one attempt; hosts that can not be reached do not count.
const MAX_SESSIONS: usize = 3;

/// Sends messages to other servers.
pub struct Outbound {
    options: DeliveryOptions,
    resolver: Arc<dyn Resolver>,
    tls: TlsClients,
    pool: Pool,
    security: Security,
}

/// The result of an attempt for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAnswer {
    /// Its result.
    pub fate: Fate,
    /// The server that decided, if any did.
    pub remote: Option<String>,
    /// The server promises the reports that the sender asked for (RFC 3461).
    pub reports: bool,
}

/// The result of an attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// One per recipient, in order.
    pub answers: Vec<HostAnswer>,
    /// A server answered. If none did, others waiting for the same domain need not try for a while.
    pub reached: bool,
    /// What was demanded of the way, and what came of it at the last host.
    pub security: Option<SecurityRecord>,
}

/// Opens the message from its start, as often as a transaction begins.
#[async_trait::async_trait]
pub trait Openable: Sync {
    /// A source at the start.
    fn open(&self) -> Box<dyn MessageSource + '_>;

    /// All of it, without long lines, and if `seven_bit` without bytes above 127 in its body; `None` if it is so already.
    async fn converted(&self, seven_bit: bool) -> Result<Option<Bytes>, Reply>;
}

/// A message in memory.
pub struct InMemory(Option<Bytes>);

impl InMemory {
    /// All of it.
    pub const fn new(bytes: Bytes) -> Self {
        Self(Some(bytes))
    }
}

#[async_trait::async_trait]
impl MessageSource for InMemory {
    async fn next_piece(&mut self) -> std::io::Result<Option<Bytes>> {
        Ok(self.0.take())
    }
}

impl Outbound {
    /// With these options, asking this resolver, by ways that are `security`'s to demand.
    pub fn new(options: DeliveryOptions, resolver: Arc<dyn Resolver>, tls: TlsClients, security: Security) -> Self {
        let pool = Pool::new(options.keep_connection, options.max_messages_per_connection);
        Self { options, resolver, tls, pool, security }
    }

    /// What has to be done now and then.
    pub async fn upkeep(&self) {
        self.security.upkeep().await;
    }

    /// Hands something to a web server.
    pub async fn post(
        &self,
        host: &str,
        port: u16,
        path: &str,
        kind: &'static str,
        body: Bytes,
    ) -> Result<(), TlsProblem> {
        let (options, resolver) = (&self.options, &*self.resolver);
        let peer = Peer { host, port, options, resolver, tls: &self.tls.verified };
        let request = Request::post(path).header(CONTENT_TYPE, kind);
        let status = https::exchange(peer, request, body).await?.status;
        if status.is_success() {
            return Ok(());
        }
        Err(TlsProblem::new(TlsFailure::ValidationFailure, format!("HTTP status {}", status.as_u16())))
    }

    /// Writes down what is in memory only.
    pub async fn write_down(&self) {
        self.security.tally.write().await;
    }

    /// Close connections that waited too long; `all` of them at the end.
    pub fn sweep(&self, all: bool) {
        self.pool.sweep(all);
    }

    /// Hand `mail` to the servers of `domain`.
    pub async fn deliver(&self, domain: &str, mail: &Mail, message: &dyn Openable) -> Attempt {
        let mut progress = Progress::new(mail.recipients.len());
        let hosts = match hosts::hosts_for(domain, &self.options, &*self.resolver).await {
            Ok(hosts) => hosts,
            Err(no_host) => {
                // A permanent no is an answer too: others waiting for the domain may get it at once.
                progress.reached = matches!(no_host, NoHost::Permanent(..));
                progress.settle_all(&fate_of(&no_host));
                return progress.finish();
            }
        };
        let demands = self.security.of_domain(domain, &hosts, mail.tls).await;
        let mut sessions = 0;
        for host in &hosts {
            if progress.is_done() || sessions >= MAX_SESSIONS {
                break;
            }
            match self.security.of_host(&demands, host).await {
                Ok(demand) => {
                    let way = Way { demands: &demands, demand: &demand };
                    sessions += usize::from(self.try_host(way, mail, message, &mut progress).await);
                }
                Err(unfit) => self.pass_over(&demands, host, &unfit, &mut progress),
            }
        }
        progress.finish()
    }

    /// A host that must not be connected to.
    fn pass_over(&self, demands: &Demands, host: &Host, unfit: &Unfit, progress: &mut Progress) {
        let Unfit { policy, problem, is_final } = unfit;
        tracing::info!(host = host.name, %problem, "a mail host is passed over");
        if let Some(domain) = demands.counted() {
            self.security.tally.failure(domain, policy, &host.name, "", problem);
        }
        progress.security = Some(demands.failed(policy, problem));
        if demands.is_required() {
            count_required("refused");
        }
        let fate = if *is_final {
            Fate::Failed(Reply::new(550, format!("5.7.30 {problem}")))
        } else {
            Fate::Deferred(Reply::new(451, format!("4.7.5 {problem}")))
        };
        progress.defer_open(&fate, None);
    }

    /// Tries a host at each of its addresses; whether a server was talked to.
    async fn try_host(&self, way: Way<'_>, mail: &Mail, message: &dyn Openable, progress: &mut Progress) -> bool {
        let host = &way.demand.host;
        if let Some(connection) = self.pool.take(host) {
            // The remote server may have closed a kept connection; then open a new one.
            progress.security = Some(way.had(&connection));
            if self.use_connection(connection, way, mail, message, progress).await {
                return true;
            }
        }
        let addresses = match hosts::addresses_of(host, &self.options, &*self.resolver).await {
            Ok(addresses) => addresses,
            Err(no_host) => {
                progress.defer_open(&fate_of(&no_host), None);
                return false;
            }
        };
        for address in addresses {
            match Connection::open(host, address, &self.options, &self.tls).await {
                Ok(connection) => {
                    progress.reached = true;
                    metrics::counter!("holdfast_delivery_connections_total", "tls" => tls_label(&connection))
                        .increment(1);
                    self.count(way, &connection);
                    progress.security = Some(way.had(&connection));
                    self.use_connection(connection, way, mail, message, progress).await;
                    return true;
                }
                Err(error) => {
                    tracing::debug!(host = host.name, %address, %error, "could not open an SMTP session with the mail host");
                    progress.reached |= matches!(error, ConnectionError::Refused(_));
                    if let ConnectionError::Tls(problem) = &error {
                        let policy = &way.demand.policy;
                        if let Some(domain) = way.demands.counted() {
                            let address = address.ip().to_string();
                            self.security.tally.failure(domain, policy, &host.name, &address, problem);
                        }
                        progress.security = Some(way.demands.failed(policy, problem));
                    }
                    progress.defer_open(&Fate::Deferred(reply_of(host, &error)), Some(&host.name));
                }
            }
        }
        false
    }

    /// Counts how a new connection is secured.
    fn count(&self, way: Way<'_>, connection: &Connection) {
        let Some(domain) = way.demands.counted() else { return };
        let (tally, demand) = (&self.security.tally, way.demand);
        match way.flaw(connection) {
            None => tally.success(domain, &demand.policy),
            Some(problem) => {
                let address = connection.peer().ip().to_string();
                tally.failure(domain, &demand.policy, &demand.host.name, &address, problem);
            }
        }
    }

    /// Runs transactions for all open recipients; false if the connection turned out to be dead before anything
    /// was sent.
    async fn use_connection(
        &self,
        mut connection: Connection,
        way: Way<'_>,
        mail: &Mail,
        message: &dyn Openable,
        progress: &mut Progress,
    ) -> bool {
        let host = &way.demand.host;
        if mail.tls == TlsWish::Required && !connection.capabilities().requiretls {
            count_required("refused");
            let text = format!("5.7.30 {} does not support REQUIRETLS, which the sender demands", host.name);
            progress.defer_open(&Fate::Failed(Reply::new(550, text)), Some(&host.name));
            self.pool.give(host, connection);
            return true;
        }
        let (mail, converted) = match suited(mail, connection.capabilities().eight_bit, message).await {
            Ok(suited) => suited,
            Err(reply) => {
                progress.defer_open(&Fate::refused(&reply), Some(&host.name));
                self.pool.give(host, connection);
                return true;
            }
        };
        let open = progress.open();
        for part in open.chunks(self.options.max_recipients_per_transaction) {
            let recipients = part.iter().map(|&index| mail.recipients[index].clone()).collect();
            let reports = connection.capabilities().dsn;
            let mut source = match &converted {
                Some(bytes) => Box::new(InMemory(Some(bytes.clone()))),
                None => message.open(),
            };
            let sent = connection.send(Mail { recipients, ..mail.clone() }, &mut *source).await;
            for (&index, fate) in part.iter().zip(sent.fates) {
                let settled = !matches!(fate, Fate::Deferred(_));
                if mail.tls == TlsWish::Required && matches!(fate, Fate::Delivered(_)) {
                    count_required("ok");
                }
                progress.answers[index] = Some(HostAnswer { fate, remote: Some(host.name.clone()), reports });
                progress.settled[index] |= settled || !sent.untouched;
            }
            if !sent.reusable {
                return !sent.untouched;
            }
            progress.reached = true;
        }
        tracing::trace!(peer = %connection.peer(), "transaction done");
        self.pool.give(host, connection);
        true
    }
}

/// The message as the server can take it: converted where it has to be.
pub async fn suited(mail: &Mail, takes_eight: bool, message: &dyn Openable) -> Result<(Mail, Option<Bytes>), Reply> {
    let seven_bit = mail.eight_bit && !takes_eight;
    if !seven_bit && !mail.long_lines {
        return Ok((mail.clone(), None));
    }
    let converted = message.converted(seven_bit).await?;
    let size = converted.as_ref().map_or(mail.size, |bytes| bytes.len() as u64);
    Ok((Mail { size, eight_bit: mail.eight_bit && !seven_bit, ..mail.clone() }, converted))
}

/// The way to a host: what is demanded of it.
#[derive(Clone, Copy)]
struct Way<'a> {
    demands: &'a Demands,
    demand: &'a HostDemand,
}

impl<'a> Way<'a> {
    /// What is wrong with it, where nothing depends on it.
    fn flaw(self, connection: &'a Connection) -> Option<&'a TlsProblem> {
        self.demand.flaw.as_ref().or_else(|| connection.flaw())
    }

    fn had(self, connection: &Connection) -> SecurityRecord {
        self.demands.done(&self.demand.policy, connection, self.flaw(connection))
    }
}

/// The state of each recipient so far.
struct Progress {
    answers: Vec<Option<HostAnswer>>,
    /// No other host is asked about it in this attempt.
    settled: Vec<bool>,
    reached: bool,
    security: Option<SecurityRecord>,
}

impl Progress {
    fn new(count: usize) -> Self {
        Self { answers: vec![None; count], settled: vec![false; count], reached: false, security: None }
    }

    fn open(&self) -> Vec<usize> {
        (0..self.settled.len()).filter(|&index| !self.settled[index]).collect()
    }

    fn is_done(&self) -> bool {
        self.settled.iter().all(|&settled| settled)
    }

    fn settle_all(&mut self, fate: &Fate) {
        self.answers.fill(Some(HostAnswer { fate: fate.clone(), remote: None, reports: false }));
        self.settled.fill(true);
    }

    fn defer_open(&mut self, fate: &Fate, remote: Option<&str>) {
        for index in self.open() {
            let may_later = matches!(&self.answers[index], Some(HostAnswer { fate: Fate::Deferred(_), .. }));
            if may_later && matches!(fate, Fate::Failed(_)) {
                // That one host never will does not undo that another may.
                continue;
            }
            let remote = remote.map(str::to_owned);
            self.answers[index] = Some(HostAnswer { fate: fate.clone(), remote, reports: false });
        }
    }

    fn finish(self) -> Attempt {
        let none = || HostAnswer {
            fate: Fate::Deferred(Reply::new(451, "4.4.1 no mail host could be reached")),
            remote: None,
            reports: false,
        };
        let answers = self.answers.into_iter().map(|v| v.unwrap_or_else(none)).collect();
        Attempt { answers, reached: self.reached, security: self.security }
    }
}

fn fate_of(no_host: &NoHost) -> Fate {
    match no_host {
        NoHost::Permanent(status, text) => Fate::Failed(Reply::new(550, format!("{status} {text}"))),
        NoHost::Temporary(status, text) => Fate::Deferred(Reply::new(451, format!("{status} {text}"))),
    }
}

/// The report's text about a failed connection.
fn reply_of(host: &Host, error: &ConnectionError) -> Reply {
    if let ConnectionError::Refused(reply) = error {
        // The server's own words. It may think otherwise tomorrow: a refused greeting never returns mail at once.
        return reply.clone();
    }
    Reply::new(451, format!("{} {}: {error}", error.status(), host.name))
}

/// Counts what became of mail whose sender demands secure transport.
fn count_required(result: &'static str) {
    metrics::counter!("holdfast_delivery_requiretls_total", "result" => result).increment(1);
}

fn tls_label(connection: &Connection) -> &'static str {
    if connection.is_tls() { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_never_will_does_not_return_mail_that_another_may_take_later() {
        let later = Fate::Deferred(Reply::new(451, "4.4.1 no connection"));
        let never = Fate::Failed(Reply::new(550, "5.4.4 loopback"));
        for fates in [[&later, &never], [&never, &later]] {
            let mut progress = Progress::new(1);
            for fate in fates {
                progress.defer_open(fate, None);
            }
            assert_eq!(progress.finish().answers[0].fate, later);
        }
        let mut progress = Progress::new(1);
        progress.defer_open(&never, None);
        assert_eq!(progress.finish().answers[0].fate, never);
    }
}
