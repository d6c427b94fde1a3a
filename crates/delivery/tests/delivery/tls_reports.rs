//! TLS reports: a day is reported once, by mail and to web servers, and then forgotten.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use reports::tls::TlsReport;
use serde_json::Value;
use store::{Clock as _, Order, Read as _, RealmId};

use crate::secured::Web;
use crate::sts::{Far, MX, WEEK, send};
use crate::world::{DAY_MS, World};

/// What every report must have, in the types that it must have (RFC 8460 section 4.4).
fn check_form(report: &Value) {
    let text = |value: &Value, key: &str| assert!(value[key].is_string(), "{key}: {value}");
    for key in ["organization-name", "contact-info", "report-id"] {
        text(report, key);
    }
    for key in ["start-datetime", "end-datetime"] {
        let time = report["date-range"][key].as_str().unwrap();
        assert!(time.len() == 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    }
    for policy in report["policies"].as_array().unwrap() {
        text(&policy["policy"], "policy-type");
        text(&policy["policy"], "policy-domain");
        for key in ["total-successful-session-count", "total-failure-session-count"] {
            assert!(policy["summary"][key].is_u64(), "{policy}");
        }
        let details = policy["failure-details"].as_array().cloned().unwrap_or_default();
        for detail in &details {
            text(detail, "result-type");
            assert!(detail["failed-session-count"].is_u64(), "{detail}");
        }
        let failed: u64 = details.iter().map(|detail| detail["failed-session-count"].as_u64().unwrap()).sum();
        assert_eq!(policy["summary"]["total-failure-session-count"], failed, "{policy}");
    }
}

/// Of the counts of the first day, until when each is not reported again.
fn waits_ms(world: &World) -> Vec<i64> {
    #[derive(prost::Message)]
    struct Wait {
        #[prost(int64, tag = "7")]
        not_before_ms: i64,
    }
    let snapshot = world.store.snapshot();
    let first_day = [&b"t"[..], &20_000_u32.to_be_bytes()].concat();
    let rows = snapshot.prefix(RealmId::QUEUE, &first_day, Order::Ascending).unwrap();
    rows.map(|row| Wait::decode(row.unwrap().1).unwrap().not_before_ms).collect()
}

/// A report as it was packed, by two readers.
fn read(packed: &[u8]) -> (Value, TlsReport) {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(packed), &mut text).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    check_form(&json);
    (json, TlsReport::read(packed).unwrap())
}

/// The file of a report by mail.
fn attached(message: &str) -> Vec<u8> {
    let parsed = mailkit::parse(message.as_bytes());
    let part = &parsed.root.parts[1];
    let encoded = &message.as_bytes()[part.body_start as usize..part.body_end as usize];
    let (mut decoder, mut packed) = (mailkit::transfer::Decoder::new(mailkit::transfer::Encoding::Base64), Vec::new());
    decoder.feed(encoded, &mut packed);
    packed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_server_that_does_not_take_a_report_is_asked_again_and_nobody_gets_one_twice() {
    let mut far = Far::new(&["STARTTLS"], |authority| authority.server(&[MX])).await;
    far.web.policy("testing", MX, WEEK);
    far.options.keep_connection = Duration::ZERO;
    let web = Web::start(far.authority.server(&["reports.far.example"]).acceptor).await;
    web.say("503 Service Unavailable", "text/plain", "");
    far.zone.address("reports.far.example", "127.0.0.1");
    let rua =
        format!("v=TLSRPTv1; rua=https://reports.far.example:{}/in?a=1,mailto:tls@far.example", web.address.port());
    far.zone.text("_smtp._tls.far.example", &rua);
    let (mut world, clock) = far.world_with_clock().await;
    for count in 1..=2 {
        send(&world).await;
        far.fake.wait_for(count).await;
        world.until_queue_is_empty().await;
    }
    world.stop().await;
    // Each start is a look at what there is to report.
    for (hours, code, posts) in
        [(24, "503", 1), (0, "503", 1), (1, "301", 2), (1, "201", 3), (1, "201", 3), (3, "201", 3)]
    {
        clock.pass(Duration::from_hours(hours));
        web.say(&format!("{code} Answer"), "text/plain", "");
        world.start();
        web.wait_for_posts(posts).await;
        far.fake.wait_for(3).await;
        world.until(RealmId::QUEUE, |world| waits_ms(world).iter().all(|ms| *ms > clock.now_ms())).await;
        world.until_queue_is_empty().await;
        world.stop().await;
    }
    let posts = web.wait_for_posts(3).await;
    assert_eq!((posts.len(), far.fake.taken().len()), (3, 3), "two messages and one report");
    let (head, packed) = &posts[2];
    assert!(head.starts_with("POST /in?a=1 HTTP/1.1\r\n"), "{head}");
    let head = head.to_ascii_lowercase();
    let host = format!("host: reports.far.example:{}\r\n", web.address.port());
    assert!(head.contains("content-type: application/tlsrpt+gzip\r\n") && head.contains(&host), "{head}");
    assert!(posts.iter().all(|(_, body)| body == packed), "the same report each time");
    let (json, report) = read(packed);
    let by_mail = far.fake.taken().remove(2);
    let (_, second) = read(&attached(&by_mail.message));
    assert_eq!(report, second);
    assert_eq!((report.policies[0].successes, report.policies[0].failures), (2, 0), "{json}");
    assert_eq!((report.policies[0].kind.as_str(), report.policies[0].domain.as_str()), ("sts", "far.example"));
    assert_eq!(report.range, Some((20_000 * DAY_MS / 1_000, 20_001 * DAY_MS / 1_000 - 1)));
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_server_that_never_takes_a_report_is_given_up() {
    let mut far = Far::new(&["STARTTLS"], |authority| authority.server(&[MX])).await;
    far.web.policy("testing", MX, WEEK);
    // Its certificate is another's: the report is not for those who have it.
    let web = Web::start(far.authority.server(&["elsewhere.example"]).acceptor).await;
    far.zone.address("reports.far.example", "127.0.0.1");
    far.zone.text(
        "_smtp._tls.far.example",
        &format!("v=TLSRPTv1; rua=https://reports.far.example:{}/", web.address.port()),
    );
    far.options.keep_connection = Duration::ZERO;
    let (mut world, clock) = far.world_with_clock().await;
    send(&world).await;
    far.fake.wait_for(1).await;
    world.until_queue_is_empty().await;
    world.stop().await;
    for (days, left) in [(1, 1), (1, 1), (1, 0)] {
        clock.pass(Duration::from_hours(24 * days));
        let before = web.requests();
        world.start();
        // What the look writes is its end.
        let is_over = |world: &World| {
            let waits = waits_ms(world);
            web.requests() > before && waits.len() == left && waits.iter().all(|ms| *ms > clock.now_ms())
        };
        world.until(RealmId::QUEUE, is_over).await;
        world.stop().await;
    }
    assert_eq!((waits_ms(&world).len(), web.wait_for_posts(0).await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_reported_to_the_domain_once_it_is_over_and_then_forgotten() {
    let mut far = Far::new(&["STARTTLS"], |authority| authority.expired(&[MX])).await;
    far.web.policy("testing", MX, WEEK);
    far.zone.text("_smtp._tls.far.example", "v=TLSRPTv1; rua=mailto:reports@far.example");
    far.options.keep_connection = std::time::Duration::ZERO;
    let world = far.world().await;
    send(&world).await;
    far.fake.wait_for(1).await;
    world.until_queue_is_empty().await;
    let mut world = world.tomorrow(far.options.clone(), Arc::clone(&far.zone) as Arc<dyn dnskit::Resolver>).await;
    world.start();
    let report = far.fake.wait_for(2).await.remove(1);
    assert_eq!(
        (report.from.as_str(), &report.recipients[..]),
        ("MAIL FROM:<>", &["RCPT TO:<reports@far.example>".to_owned()][..])
    );
    for field in ["TLS-Report-Domain: far.example", "TLS-Required: No", "DKIM-Signature: ", "report-type=\"tlsrpt\""] {
        assert!(report.message.contains(field), "{field}: {}", report.message);
    }
    let (json, _) = read(&attached(&report.message));
    let policy = &json["policies"][0];
    assert_eq!(
        (policy["policy"]["policy-type"].as_str(), policy["policy"]["policy-domain"].as_str()),
        (Some("sts"), Some("far.example"))
    );
    assert_eq!(policy["summary"]["total-failure-session-count"], 1, "{json}");
    assert_eq!(policy["failure-details"][0]["result-type"], "certificate-expired", "{json}");
    world.until_queue_is_empty().await;
    world.check();
}
