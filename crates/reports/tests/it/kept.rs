//! Keeping: once, within bounds, for long enough; and what is counted here for others.

use reports::dmarc::{Disposition, DmarcReport, Published, Row};
use reports::{
    Filed, Filing, MAX_A_DAY, MAX_OF_REPORTER, Observation, Report, ReportInvariants, Reporter, Reports, Says, day_of,
    summary,
};
use store::{Invariants as _, RealmId, Store, StoreError, StoreOptions};

struct Here {
    reports: Reports,
    store: Store,
    _dir: tempfile::TempDir,
}

impl Here {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        Self { reports: Reports::new(store.clone()), store, _dir: dir }
    }

    fn now_ms(&self) -> i64 {
        self.store.clock().now_ms()
    }

    async fn file(&self, report: &DmarcReport, reporter: &Reporter, at_ms: i64) -> Filed {
        let filing = Filing::of(&Report::Dmarc(report.clone()), "example.org", reporter, at_ms).unwrap();
        self.reports.file(filing).await.unwrap()
    }

    fn count(&self) -> usize {
        let wrong = ReportInvariants.check(RealmId::REPORTS, &self.store.snapshot()).unwrap();
        assert!(wrong.is_empty(), "{wrong:?}");
        self.reports.of_domain("example.org", 30).unwrap().len()
    }
}

fn verified(domain: &str) -> Reporter {
    Reporter::Verified(domain.to_owned())
}

fn report(id: &str, at_ms: i64, rows: Vec<Row>) -> DmarcReport {
    let begin = i64::from(day_of(at_ms)) * 86_400;
    DmarcReport {
        id: id.to_owned(),
        range: Some((begin, begin + 86_399)),
        published: Published { domain: "example.org".into(), p: "none".into(), ..Published::default() },
        rows,
        ..DmarcReport::default()
    }
}

fn row(source: &str, count: u64, passes: bool) -> Row {
    Row { source: source.parse().ok(), count, dkim: passes, header_from: "example.org".into(), ..Row::default() }
}

#[tokio::test]
async fn a_report_is_filed_once_however_often_it_comes() {
    let here = Here::new();
    let now = here.now_ms();
    let one = report("1", now, vec![row("192.0.2.1", 3, true)]);
    assert_eq!(here.file(&one, &verified("a.example"), now).await, Filed::New);
    for later in [now, now + 1, now + 86_400_000] {
        assert_eq!(here.file(&one, &verified("a.example"), later).await, Filed::Duplicate);
    }
    // What others call the same is another report; so is what nobody proved, and what has no name and says something else.
    assert_eq!(here.file(&one, &verified("b.example"), now).await, Filed::New);
    assert_eq!(here.file(&one, &Reporter::Unverified, now).await, Filed::New);
    for count in [1, 2] {
        let unnamed = report("", now, vec![row("192.0.2.1", count, true)]);
        assert_eq!(here.file(&unnamed, &verified("a.example"), now).await, Filed::New);
        assert_eq!(here.file(&unnamed, &verified("a.example"), now + 5).await, Filed::Duplicate);
    }
    assert_eq!(here.count(), 5);
}

#[tokio::test]
async fn a_flood_is_bounded_and_the_verified_stay() {
    let here = Here::new();
    // Noon, so that no day ends in between.
    let now = i64::from(day_of(here.now_ms())) * 86_400_000 + 43_200_000;
    let file = async |reporter: &Reporter, from: usize, count: usize| {
        for number in from..from + count {
            here.file(&report(&format!("{number}"), now, Vec::new()), reporter, now + number as i64).await;
        }
    };
    let one = verified("one.example");
    file(&one, 0, MAX_OF_REPORTER + 5).await;
    assert_eq!(here.count(), MAX_OF_REPORTER);
    let kept = here.reports.of_domain("example.org", 30).unwrap();
    assert!(kept.iter().all(|report| report.id.parse::<usize>().unwrap() >= 5), "the oldest went");
    file(&Reporter::Unverified, 0, MAX_OF_REPORTER + 5).await;
    assert_eq!(here.count(), 2 * MAX_OF_REPORTER);
    for reporter in 0..MAX_A_DAY / MAX_OF_REPORTER {
        file(&verified(&format!("r{reporter}.example")), 1_000, MAX_OF_REPORTER).await;
    }
    assert_eq!(here.count(), MAX_A_DAY);
    let kept = here.reports.of_domain("example.org", 30).unwrap();
    let count = |of: &Reporter| kept.iter().filter(|report| report.reporter == *of).count();
    assert_eq!((count(&Reporter::Unverified), count(&one)), (0, MAX_A_DAY % MAX_OF_REPORTER));
    // Another day has room of its own.
    here.file(&report("x", now, Vec::new()), &one, now - 86_400_000).await;
    assert_eq!(here.count(), MAX_A_DAY + 1);
}

#[tokio::test]
async fn old_reports_are_forgotten() {
    let here = Here::new();
    let now = here.now_ms();
    for days in [0, 1, 91, 93, 400] {
        here.file(&report(&format!("{days}"), now, Vec::new()), &verified("a.example"), now - days * 86_400_000).await;
    }
    assert_eq!(here.reports.maintain().await.unwrap(), 2);
    assert_eq!(here.reports.of_domain("example.org", 500).unwrap().len(), 3);
    assert_eq!(here.count(), 2);
}

#[tokio::test]
async fn a_summary_adds_up_what_verified_reports_say() {
    let here = Here::new();
    let now = here.now_ms();
    let named = |source: &str, name: &str, count, passes| Row { name: name.into(), ..row(source, count, passes) };
    let refused = Row { disposition: Disposition::Reject, ..row("198.51.100.7", 9, false) };
    let rows = vec![
        named("192.0.2.1", "mail.example.org", 40, true),
        named("203.0.113.5", "a.news.example.net", 10, false),
        named("203.0.113.6", "b.news.example.net", 5, true),
        refused,
    ];
    here.file(&report("1", now, rows.clone()), &verified("a.example"), now).await;
    here.file(&report("2", now - 40 * 86_400_000, rows.clone()), &verified("a.example"), now).await;
    here.file(&report("3", now, rows), &Reporter::Unverified, now).await;
    let own = summary::Own { hosts: vec!["Mail.example.org".into()], addresses: Vec::new() };
    let kept = here.reports.of_domain("example.org", 90).unwrap();
    let of = |days| summary::of(&kept, day_of(now), days, &own);
    let month = of(30);
    assert_eq!((month.reports, month.unverified, month.messages, month.passed), (1, 1, 64, 45));
    assert_eq!((month.days.len(), month.days.last().unwrap().failed), (30, 19));
    let sources: Vec<_> =
        month.sources.iter().map(|one| (one.name.as_str(), one.messages, one.refused, one.advice.code())).collect();
    let wanted =
        [("this service", 40, 0, "own-ok"), ("example.net", 15, 0, "forged"), ("198.51.100.0/24", 9, 9, "forged")];
    assert_eq!(sources, wanted);
    assert_eq!(of(90).messages, 128);
    assert_eq!(month.reporters, [("a.example".to_owned(), 1)]);
}

fn observation(domain: &str, source: &str) -> Observation {
    Observation {
        published: Published { domain: domain.into(), p: "reject".into(), ..Published::default() },
        rua: vec![format!("mailto:d@{domain}")],
        row: row(source, 1, true),
    }
}

#[tokio::test]
async fn what_is_counted_survives_and_is_reported_once() {
    let here = Here::new();
    let (observed, today) = (here.reports.observed(), day_of(here.now_ms()));
    for _ in 0..3 {
        observed.count(observation("far.example", "192.0.2.1"));
    }
    observed.count(observation("far.example", "192.0.2.2"));
    observed.count(Observation { rua: Vec::new(), ..observation("silent.example", "192.0.2.2") });
    observed.write().await;
    observed.count(observation("far.example", "192.0.2.1"));
    observed.write().await;
    // As after a restart.
    let again = Reports::new(here.store.clone());
    let over = again.over(today + 1, 10).unwrap();
    let [far] = over.as_slice() else { panic!("{over:?}") };
    let mut counts: Vec<u64> = far.rows.iter().map(|row| row.count).collect();
    counts.sort_unstable();
    assert_eq!((counts, far.rua.len(), far.published.p.as_str()), (vec![1, 4], 1, "reject"));
    // What comes between reading and removing is left.
    observed.count(observation("far.example", "192.0.2.1"));
    observed.write().await;
    let (gone, until) = (far.clone(), here.now_ms() / 1_000);
    here.store.transact(move |tx| gone.remove_in(tx, until).map(|()| Ok::<_, StoreError>(()))?).await.unwrap();
    let left = again.over(today + 1, 10).unwrap();
    assert_eq!(left[0].rows.iter().map(|row| row.count).collect::<Vec<_>>(), [1]);
    assert_eq!(left[0].since, until + 1);
    assert_eq!(here.count(), 0);
    assert!(again.over(today.saturating_sub(1), 10).unwrap().is_empty());
}

#[tokio::test]
async fn a_tls_report_is_filed_for_the_domains_it_is_about() {
    let here = Here::new();
    let json = |domain: &str| {
        format!(
            r#"{{"report-id":"1","policies":[{{"policy":{{"policy-domain":"{domain}","policy-type":"sts"}},
            "summary":{{"total-successful-session-count":2,"total-failure-session-count":1}},
            "failure-details":[{{"result-type":"certificate-expired","failed-session-count":1}}]}}]}}"#
        )
    };
    let of = |domain: &str| {
        let read = reports::read(json(domain).as_bytes()).unwrap();
        Filing::of(&read, "example.org", &verified("a.example"), here.now_ms())
    };
    assert!(of("elsewhere.example").is_none() && of("notexample.org").is_none());
    for domain in ["example.org", "sub.example.org"] {
        here.reports.file(of(domain).unwrap()).await.unwrap();
    }
    let kept = here.reports.of_domain("example.org", 30).unwrap();
    assert!(matches!(&kept[0].says, Says::Tls(policies) if policies[0].successes == 2));
    let tls = summary::of(&kept, day_of(here.now_ms()), 30, &summary::Own::default()).tls;
    assert_eq!((tls.successes, tls.failures), (2, 1), "one name, one report");
    assert_eq!(tls.details[0].kind, "certificate-expired");
}
