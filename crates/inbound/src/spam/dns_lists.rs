//! DNS lists of networks that send spam (RFC 5782).
//!
//! Lists break in ways that look like listings: a list that refuses to answer says 127.255.255.x, a list that has ended or a
//! resolver that invents answers lists everybody. So each list is tried out before it is asked and every hour since: it has to list
//! 127.0.0.2 and must not list 127.0.0.1, as all lists do. One that fails is not asked until it works again. An error is never a
//! listing.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use dnskit::{Data, DnsError, Kind, Resolver, reverse_name};
use doorkit::Network;
use parking_lot::RwLock;

/// Most lists that can be configured.
pub const MAX_DNS_LISTS: usize = 10;
/// Longest time that one lookup may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often lists are tried out.
const EVERY: Duration = Duration::from_secs(3_600);
/// How often those are tried out that don't work.
const WHILE_BROKEN: Duration = Duration::from_secs(300);
/// The addresses that every list has for trials: the first is listed, the second is not.
const LISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const NOT_LISTED: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Whether a list is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListState {
    /// It was not tried out yet.
    New,
    /// It works.
    Works,
    /// It is switched off; why.
    Off(String),
}

/// The configured lists. Cheap to clone.
#[derive(Clone)]
pub struct DnsLists {
    resolver: Arc<dyn Resolver>,
    lists: Arc<[(String, RwLock<ListState>)]>,
    trusted: Arc<[Network]>,
}

/// What a list says of an address.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Listed,
    NotListed,
    /// What it says is no answer; why.
    Nonsense(String),
    /// It could not be asked.
    Nothing(String),
}

impl DnsLists {
    /// Lists of these zones, asked through `resolver`, but not about the trusted networks. None is asked before
    /// [`Self::try_out`].
    pub fn new(resolver: Arc<dyn Resolver>, zones: &[String], trusted: &[Network]) -> Self {
        let list = |zone: &String| (zone.trim_matches('.').to_ascii_lowercase(), RwLock::new(ListState::New));
        Self { resolver, lists: zones.iter().take(MAX_DNS_LISTS).map(list).collect(), trusted: trusted.into() }
    }

    /// Each list, and whether it is asked.
    pub fn states(&self) -> Vec<(String, ListState)> {
        self.lists.iter().map(|(zone, state)| (zone.clone(), state.read().clone())).collect()
    }

    /// Tries all lists out, now and from time to time, until it is dropped.
    pub async fn keep_trying(&self) {
        while !self.lists.is_empty() {
            self.try_out().await;
            let all_work = self.states().iter().all(|(_, state)| *state == ListState::Works);
            tokio::time::sleep(if all_work { EVERY } else { WHILE_BROKEN }).await;
        }
    }

    /// Tries all lists out once.
    pub async fn try_out(&self) {
        for (zone, state) in &*self.lists {
            let now = match (self.say(zone, LISTED.into()).await, self.say(zone, NOT_LISTED.into()).await) {
                (Said::Listed, Said::NotListed) => ListState::Works,
                (_, Said::Listed) => ListState::Off("it lists everybody".to_owned()),
                (Said::NotListed, _) => {
                    ListState::Off("it does not list the address that is there to try it out".to_owned())
                }
                (Said::Nonsense(why) | Said::Nothing(why), _) | (_, Said::Nonsense(why) | Said::Nothing(why)) => {
                    ListState::Off(why)
                }
            };
            set(zone, state, now);
        }
    }

    /// The lists on which an address is. Those that don't answer in time don't count.
    pub async fn listing(&self, address: IpAddr) -> Vec<String> {
        let address = address.to_canonical();
        if !is_public(address) || self.trusted.iter().any(|network| network.contains(address)) {
            return Vec::new();
        }
        let asked =
            self.lists.iter().filter(|(_, state)| *state.read() == ListState::Works).map(|(zone, state)| async move {
                match self.say(zone, address).await {
                    Said::Listed => Some(zone.clone()),
                    Said::NotListed | Said::Nothing(_) => None,
                    Said::Nonsense(why) => {
                        set(zone, state, ListState::Off(why));
                        None
                    }
                }
            });
        futures_util::future::join_all(asked).await.into_iter().flatten().collect()
    }

    async fn say(&self, zone: &str, address: IpAddr) -> Said {
        let reversed = reverse_name(address);
        let labels = reversed.trim_end_matches(".in-addr.arpa").trim_end_matches(".ip6.arpa");
        let name = format!("{labels}.{zone}");
        match tokio::time::timeout(PATIENCE, self.resolver.lookup(&name, Kind::A)).await {
            Ok(Ok(answer)) => meaning(&answer.records),
            Ok(Err(DnsError::NoSuchDomain | DnsError::NoRecords)) => Said::NotListed,
            Ok(Err(DnsError::Temporary(why))) => Said::Nothing(why),
            Err(_) => Said::Nothing("it gives no answer in time".to_owned()),
        }
    }
}

/// What the answer of a list means: every record has to be one of a listing.
fn meaning(records: &[Data]) -> Said {
    let addresses = records.iter().filter_map(|record| match record {
        Data::Address(IpAddr::V4(address)) => Some(*address),
        _ => None,
    });
    let mut said = Said::NotListed;
    for address in addresses {
        said = match address.octets() {
            [127, 255, 255, _] => return Said::Nonsense(format!("it refuses to answer ({address})")),
            [127, 0, 0, 0 | 1] => {
                return Said::Nonsense(format!("it answers {address}, which is no listing"));
            }
            [127, ..] => Said::Listed,
            _ => return Said::Nonsense(format!("it answers {address}, which is no answer of a list")),
        };
    }
    said
}

fn set(zone: &str, state: &RwLock<ListState>, now: ListState) {
    let before = std::mem::replace(&mut *state.write(), now.clone());
    if before != now {
        match &now {
            ListState::Off(why) => tracing::warn!(list = zone, why, "a DNS list is switched off"),
            _ => tracing::info!(list = zone, "a DNS list works"),
        }
    }
    metrics::gauge!("holdfast_spam_dns_list_works", "list" => zone.to_owned()).set(if now == ListState::Works {
        1.0
    } else {
        0.0
    });
}

/// Whether an address can be on a list.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => !(four.is_private() || four.is_loopback() || four.is_link_local() || four.is_unspecified()),
        IpAddr::V6(six) => {
            !(six.is_loopback() || six.is_unique_local() || six.is_unicast_link_local() || six.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    use dnskit::Zone;

    use super::*;

    const LIST: &str = "list.example";

    fn lists(zone: &Arc<Zone>) -> DnsLists {
        DnsLists::new(
            Arc::clone(zone) as Arc<dyn Resolver>,
            &[format!("{LIST}.")],
            &["198.51.100.0/24".parse().unwrap()],
        )
    }

    /// A list that works, and lists 203.0.113.9 and 2001:db8::9.
    fn working() -> Arc<Zone> {
        let zone = Zone::new();
        zone.address(&format!("2.0.0.127.{LIST}"), "127.0.0.2");
        zone.address(&format!("9.113.0.203.{LIST}"), "127.0.0.4");
        zone.address(&format!("9.100.51.198.{LIST}"), "127.0.0.4");
        let six = reverse_name("2001:db8::9".parse().unwrap());
        zone.address(&format!("{}.{LIST}", six.trim_end_matches(".ip6.arpa")), "127.0.0.3");
        Arc::new(zone)
    }

    async fn on(lists: &DnsLists, address: &str) -> usize {
        lists.listing(address.parse().unwrap()).await.len()
    }

    #[tokio::test]
    async fn a_list_is_asked_once_it_was_tried_out() {
        let lists = lists(&working());
        assert_eq!(on(&lists, "203.0.113.9").await, 0, "not tried out");
        lists.try_out().await;
        assert_eq!(lists.states(), [(LIST.to_owned(), ListState::Works)]);
        for (address, count) in [
            ("203.0.113.9", 1),
            ("::ffff:203.0.113.9", 1),
            ("2001:db8::9", 1),
            ("203.0.113.8", 0),
            ("198.51.100.9", 0),
            ("127.0.0.2", 0),
        ] {
            assert_eq!(on(&lists, address).await, count, "{address}");
        }
    }

    #[tokio::test]
    async fn what_is_no_listing_never_counts_and_switches_the_list_off() {
        for wrong in ["127.255.255.254", "127.255.255.1", "127.0.0.1", "192.0.2.1", "10.0.0.2", "0.0.0.0"] {
            let zone = working();
            let lists = lists(&zone);
            lists.try_out().await;
            zone.address(&format!("7.113.0.203.{LIST}"), wrong);
            assert_eq!(on(&lists, "203.0.113.7").await, 0, "{wrong}");
            assert!(matches!(lists.states()[0].1, ListState::Off(_)), "{wrong}");
            assert_eq!(on(&lists, "203.0.113.9").await, 0, "it is not asked any longer");
            lists.try_out().await;
            assert_eq!(on(&lists, "203.0.113.9").await, 1, "until it works again");
        }
        let zone = working();
        let lists = lists(&zone);
        lists.try_out().await;
        let failed = Err(DnsError::Temporary("SERVFAIL".to_owned()));
        zone.say(&format!("7.113.0.203.{LIST}"), Kind::A, failed);
        assert_eq!(
            (on(&lists, "203.0.113.7").await, on(&lists, "203.0.113.9").await),
            (0, 1),
            "an error is no listing"
        );
    }

    #[tokio::test]
    async fn a_list_that_fails_its_trial_is_not_asked() {
        let (all, tried) = (format!("1.0.0.127.{LIST}"), format!("2.0.0.127.{LIST}"));
        let everybody = working();
        everybody.address(&all, "127.0.0.2");
        let ended = working();
        ended.remove(&tried);
        let refusing = working();
        refusing.remove(&tried);
        refusing.address(&tried, "127.255.255.254");
        let down = working();
        down.say(&tried, Kind::A, Err(DnsError::Temporary("SERVFAIL".to_owned())));
        for (case, zone) in [everybody, ended, refusing, down].iter().enumerate() {
            let lists = lists(zone);
            lists.try_out().await;
            assert!(matches!(lists.states()[0].1, ListState::Off(_)), "case {case}: {:?}", lists.states());
            assert_eq!(on(&lists, "203.0.113.9").await, 0, "case {case}");
        }
    }
}
