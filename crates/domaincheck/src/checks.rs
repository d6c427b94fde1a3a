//! Checks of all hosted domains: the last report of each, and what follows from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use directory::{Directory, DirectoryError, DkimKey, DkimSeen, DkimTurn, Domain};
use dnskit::Resolver;
use parking_lot::Mutex;

use crate::answers::Answers;
use crate::judge::dkim_is_there;
use crate::{Report, Service, Sources, Wanted, ask, wanted, zone};

/// Tells what the service is at the moment.
type Describe = Arc<dyn Fn() -> Service + Send + Sync>;

/// Checks domains and keeps the last report of each. Cheap to clone.
#[derive(Clone)]
pub struct Checks(Arc<Inner>);

struct Inner {
    directory: Directory,
    sources: Sources,
    service: Describe,
    /// Where reports outlast the process.
    file: Option<PathBuf>,
    reports: Mutex<BTreeMap<String, Arc<Report>>>,
}

impl Checks {
    /// Over a directory and a resolver. `service` is asked at each check.
    pub fn new(
        directory: Directory,
        resolver: Arc<dyn Resolver>,
        service: impl Fn() -> Service + Send + Sync + 'static,
    ) -> Self {
        Self::asking(directory, Sources::only(resolver), service)
    }

    /// Over a directory and all that can be asked.
    pub fn asking(
        directory: Directory,
        sources: Sources,
        service: impl Fn() -> Service + Send + Sync + 'static,
    ) -> Self {
        let service: Describe = Arc::new(service);
        Self(Arc::new(Inner { directory, sources, service, file: None, reports: Mutex::default() }))
    }

    /// The same with reports kept in a file. One that can't be read is begun again: checks make new reports.
    pub fn kept_in(self, file: &Path) -> Self {
        let read = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Vec<Report>>(&bytes).ok());
        let reports = read.unwrap_or_default().into_iter().map(|report| (report.domain.clone(), Arc::new(report)));
        let inner = &self.0;
        Self(Arc::new(Inner {
            directory: inner.directory.clone(),
            sources: inner.sources.clone(),
            service: inner.service.clone(),
            file: Some(file.to_owned()),
            reports: Mutex::new(reports.collect()),
        }))
    }

    /// What the service is at the moment.
    pub fn service(&self) -> Service {
        (self.0.service)()
    }

    /// The last reports of all domains.
    pub fn all(&self) -> Vec<Arc<Report>> {
        self.0.reports.lock().values().cloned().collect()
    }

    /// The last report of a domain.
    pub fn last(&self, domain: &str) -> Option<Arc<Report>> {
        self.0.reports.lock().get(domain).cloned()
    }

    /// The records that are wanted for a domain.
    ///
    /// # Errors
    /// The domain is not ours.
    pub fn wanted(&self, domain: &str) -> Result<Vec<Wanted>, DirectoryError> {
        Ok(wanted(&self.service(), &self.domain(domain)?))
    }

    /// The same as a piece of a zone file.
    ///
    /// # Errors
    /// The domain is not ours.
    pub fn zone(&self, domain: &str) -> Result<String, DirectoryError> {
        Ok(zone(&self.wanted(domain)?))
    }

    fn domain(&self, name: &str) -> Result<Domain, DirectoryError> {
        self.0.directory.domain(name)?.ok_or_else(|| DirectoryError::NoSuchDomain(name.to_owned()))
    }

    /// Checks a domain now, keeps the report, and takes the steps of its DKIM keys that follow from it: gives the selectors of those
    /// that mail is signed with from now on.
    ///
    /// # Errors
    /// The domain is not ours, or the steps can't be stored.
    pub async fn check(&self, name: &str) -> Result<(Arc<Report>, Vec<String>), DirectoryError> {
        let now_ms = self.0.directory.now_ms();
        let before = self.domain(name)?;
        let service = self.service();
        let (mut report, seen) = {
            let (report, answers) = ask::check(&self.0.sources, &service, &before, now_ms).await;
            (report, keys_seen(&before, &answers))
        };
        let turns = self.0.directory.dkim_seen(&before.name, seen).await?;
        if !turns.is_empty() {
            // What was waiting is in use now.
            report = ask::check(&self.0.sources, &service, &self.domain(name)?, now_ms).await.0;
        }
        let report = Arc::new(report);
        self.keep(&report);
        let began = |turn| if let DkimTurn::Began(selector) = turn { Some(selector) } else { None };
        Ok((report, turns.into_iter().filter_map(began).collect()))
    }

    fn keep(&self, report: &Arc<Report>) {
        let mut reports = self.0.reports.lock();
        reports.insert(report.domain.clone(), report.clone());
        // Those of domains that were removed are not kept.
        reports.retain(|name, _| self.0.directory.domain(name).is_ok_and(|found| found.is_some()));
        let Some(file) = &self.0.file else { return };
        let all: Vec<&Report> = reports.values().map(|report| &**report).collect();
        let written = serde_json::to_vec(&all).map_err(std::io::Error::from).and_then(|bytes| {
            let beside = file.with_extension("new");
            std::fs::write(&beside, bytes)?;
            std::fs::rename(&beside, file)
        });
        if let Err(error) = written {
            tracing::warn!(file = %file.display(), %error, "could not keep the reports of the domain checks");
        }
    }
}

/// What the DNS says of each key; nothing of those it gives no answer about.
fn keys_seen(domain: &Domain, answers: &Answers) -> Vec<(String, DkimSeen)> {
    let seen = |key: &DkimKey| {
        let texts = answers.texts(&key.dns_name(&domain.name)).ok()?;
        let seen = if dkim_is_there(key, &texts) { DkimSeen::There } else { DkimSeen::Missing };
        Some((key.selector().to_owned(), seen))
    };
    domain.all_dkim.iter().filter_map(seen).collect()
}
