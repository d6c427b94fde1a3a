//! A DNS that answers nothing holds up no mail for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dnskit::{Answer, DnsError, Kind, Resolver};
use inbound::sender::{DnsPatience, Enforce, SenderCheck, SenderOptions};

use crate::hooks::World;

/// Answers that there is nothing, or not at all.
#[derive(Default)]
struct Moody(AtomicBool);

#[async_trait::async_trait]
impl Resolver for Moody {
    async fn lookup(&self, _: &str, _: Kind) -> Result<Answer, DnsError> {
        if self.0.load(Ordering::SeqCst) {
            return Err(DnsError::NoSuchDomain);
        }
        std::future::pending().await
    }
}

fn check(patience: &DnsPatience, dns: &Arc<Moody>) -> SenderCheck {
    let options = SenderOptions {
        hostname: "mx.here.example".to_owned(),
        dmarc: Enforce::Reject,
        own_domains: Enforce::Reject,
        trusted_networks: Vec::new(),
        trusted_sealers: Vec::new(),
        patience: patience.clone(),
    };
    SenderCheck::at_relay(options, dns.clone(), Arc::new(|_: &str| false))
}

const MESSAGE: &str = "From: x@far.example\r\nTo: anna@here.example\r\nSubject: hello\r\n\r\nhello\r\n";

/// With several judges each has a share of the time, which may be shorter than the patience with the DNS.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_is_said_within_the_share_of_the_time() {
    let (patience, dns) = (DnsPatience::new(Duration::from_secs(3_600)), Arc::new(Moody::default()));
    let world = World::within(check(&patience, &dns), Duration::from_secs(2)).await;
    for _ in 0..3 {
        world.give(&["anna@here.example"], MESSAGE).await.unwrap();
    }
    assert!(patience.is_silent(), "it was cut off before it could say that nothing was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_dns_is_noticed_refuses_no_mail_and_is_believed_again_once_it_answers() {
    let (patience, dns) = (DnsPatience::new(Duration::from_millis(200)), Arc::new(Moody::default()));
    let world = World::new(check(&patience, &dns)).await;
    for _ in 0..5 {
        world.give(&["anna@here.example"], MESSAGE).await.unwrap();
    }
    assert!(patience.is_silent());
    dns.0.store(true, Ordering::SeqCst);
    // On a busy machine even an answer may come too late for one of them.
    for _ in 0..200 {
        world.give(&["anna@here.example"], MESSAGE).await.unwrap();
        if !patience.is_silent() {
            return;
        }
    }
    panic!("the DNS answers, and nobody believes it");
}
