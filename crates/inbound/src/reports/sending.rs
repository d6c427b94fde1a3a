//! Reports to the owners of others' domains: once a day, what came in their name (RFC 9990).

use std::sync::Arc;
use std::time::Duration;

use ::reports::dmarc::{DmarcReport, Sending, mail};
use ::reports::{DAYS_KEPT, Filing, Over, Report, Reporter, Reports, day_of, organisation_of};
use delivery::{Delivery, DeliveryError, ServiceMail};
use directory::Directory;
use dnskit::Resolver;
use store::StoreError;

use super::destination::wanted;

/// Days of domains that are read at once.
const AT_ONCE: usize = 50;
const DAY_SECONDS: i64 = 86_400;

/// Why reports could not be made.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How many reports were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentReports {
    /// Messages that were put into the queue.
    pub sent: u64,
    /// Reports about domains here, which were filed without a message.
    pub filed: u64,
    /// Domains that wanted a report, and have no address that may get it.
    pub nowhere: u64,
    /// Domains that are asked about again, since the DNS gave no answer.
    pub later: u64,
}

/// What of the domain's day is reported.
enum Made {
    Sent(u64),
    Filed,
    Nowhere,
    Later,
}

/// Makes the reports.
#[derive(Clone)]
pub struct Daily {
    reports: Reports,
    delivery: Delivery,
    directory: Directory,
    resolver: Arc<dyn Resolver>,
}

impl Daily {
    /// Out of `reports`, through `delivery`.
    pub fn new(reports: Reports, delivery: Delivery, directory: Directory, resolver: Arc<dyn Resolver>) -> Self {
        Self { reports, delivery, directory, resolver }
    }

    /// Reports the days that are over, or with `unfinished` also what there is of today, `pause` apart.
    ///
    /// # Errors
    /// Those of the store. What was reported until then is.
    pub async fn run(&self, unfinished: bool, pause: Duration) -> Result<SentReports, Failure> {
        self.reports.observed().write().await;
        let mut all = SentReports::default();
        let mut left: Vec<Over> = Vec::new();
        loop {
            let today = day_of(self.delivery_now_ms());
            let (reports, seen) = (self.reports.clone(), left.len());
            let last = if unfinished { today } else { today.saturating_sub(1) };
            let over = tokio::task::spawn_blocking(move || reports.over(last, seen + AT_ONCE)).await??;
            let is_left = |one: &Over| {
                left.iter().any(|known| (known.day, &known.published.domain) == (one.day, &one.published.domain))
            };
            let next: Vec<Over> = over.into_iter().filter(|one| !is_left(one)).collect();
            if next.is_empty() {
                return Ok(all);
            }
            for one in next {
                match self.report(&one, today).await? {
                    Made::Sent(count) => all.sent += count,
                    Made::Filed => all.filed += 1,
                    Made::Nowhere => all.nowhere += 1,
                    Made::Later => all.later += 1,
                }
                left.push(Over { rows: Vec::new(), ..one });
                tokio::time::sleep(pause).await;
            }
        }
    }

    fn delivery_now_ms(&self) -> i64 {
        self.reports.now_ms()
    }

    async fn report(&self, over: &Over, today: u32) -> Result<Made, Failure> {
        let domain = &over.published.domain;
        let now = self.delivery_now_ms() / 1_000;
        let end = (i64::from(over.day + 1) * DAY_SECONDS - 1).min(now).max(over.since);
        let destinations = match wanted(domain, &over.rua, &*self.resolver).await {
            Ok(found) => found,
            Err(_) if today.saturating_sub(over.day) <= DAYS_KEPT => return Ok(Made::Later),
            Err(_) => Vec::new(),
        };
        let own = self.delivery.service_domain()?;
        let report = written(over, &own, end);
        let from = self.delivery.service_sender()?;
        let (mut mails, mut filing, mut is_wanted) = (Vec::new(), None, false);
        for destination in destinations.iter().filter(|_| !report.rows.is_empty()) {
            is_wanted = true;
            if self.directory.domain(destination.to.domain())?.is_some() && self.directory.domain(domain)?.is_some() {
                // We are the ones who want to know: no message has to say it.
                let reporter = Reporter::Verified(organisation_of(&own));
                filing = Filing::of(&Report::Dmarc(report.clone()), domain, &reporter, self.delivery_now_ms());
                continue;
            }
            let sending = Sending { submitter: &own, from: &from, to: &destination.to, at_ms: self.delivery_now_ms() };
            let bytes = mail(&report, sending);
            if destination.max_bytes.is_none_or(|most| bytes.len() as u64 <= most) {
                mails.push(ServiceMail { to: destination.to.clone(), bytes, tls_optional: false });
            }
        }
        let made = match (mails.len() as u64, &filing) {
            (0, Some(_)) => Made::Filed,
            (0, None) => Made::Nowhere,
            (count, _) => Made::Sent(count),
        };
        metrics::counter!("holdfast_dmarc_reports_sent_total").increment(mails.len() as u64);
        tracing::info!(
            domain,
            day = over.day,
            messages = report.messages(),
            mails = mails.len(),
            is_wanted,
            "DMARC report"
        );
        let over = over.clone();
        let along = move |tx: &mut store::Tx<'_>| {
            over.remove_in(tx, end)?;
            filing.as_ref().map_or(Ok(()), |filing| filing.write_in(tx).map(drop))
        };
        match self.delivery.send_service_mail(mails, along).await {
            Ok(_) => Ok(made),
            Err(DeliveryError::Store(StoreError::NotRestored { .. })) => Ok(Made::Later),
            Err(error) => Err(error.into()),
        }
    }
}

/// The report on a domain's day. Its id follows from what it says: made again, it is the same report.
fn written(over: &Over, own: &str, end: i64) -> DmarcReport {
    let mut report = DmarcReport {
        organisation: own.to_owned(),
        email: format!("postmaster@{own}"),
        id: String::new(),
        range: Some((over.since, end)),
        published: over.published.clone(),
        rows: over.rows.clone(),
        unread: 0,
    };
    report.rows.sort_by(|a, b| (b.count, a.source).cmp(&(a.count, b.source)));
    let name = blake3::hash(::reports::dmarc::xml(&report).as_bytes()).to_hex();
    report.id = format!("{}.{}@{own}", over.since, &name[..16]);
    report
}
