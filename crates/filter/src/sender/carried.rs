//! Findings as they travel from the relay that a message came to, to the machine where it is delivered.
//!
//! All but the author travels: that stands in the message, and is read there again.

use prost::Message as _;

use super::Findings;
use super::arc::ArcResult;
use super::dkim::{MAX_SIGNATURES, SignatureResult};
use super::dmarc::{DmarcResult, Policy};
use super::iprev::IprevResult;
use super::outcome::Outcome;
use super::signature::Flaw;
use super::spf::SpfResult;

/// Most bytes that travel. Where a stranger made more, the delivering machine examines the message itself.
pub const MAX_CARRIED_BYTES: usize = 32 << 10;
/// The highest number of ARC sets (RFC 8617 section 4.2.1).
const MAX_SEALERS: usize = 50;

#[derive(Clone, PartialEq, prost::Message)]
struct Carried {
    #[prost(string, tag = "1")]
    ip: String,
    #[prost(string, tag = "2")]
    helo: String,
    #[prost(string, optional, tag = "3")]
    mail_from: Option<String>,
    #[prost(uint32, tag = "4")]
    iprev: u32,
    #[prost(string, optional, tag = "5")]
    client_name: Option<String>,
    #[prost(message, optional, tag = "6")]
    spf_helo: Option<CarriedSpf>,
    #[prost(message, optional, tag = "7")]
    spf: Option<CarriedSpf>,
    #[prost(message, repeated, tag = "8")]
    dkim: Vec<CarriedSignature>,
    #[prost(message, optional, tag = "9")]
    arc: Option<CarriedArc>,
    #[prost(message, optional, tag = "10")]
    dmarc: Option<CarriedDmarc>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CarriedSpf {
    #[prost(uint32, tag = "1")]
    outcome: u32,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(string, optional, tag = "3")]
    explanation: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CarriedSignature {
    #[prost(uint32, tag = "1")]
    outcome: u32,
    /// The place in [`FLAWS`], plus one; 0 is none.
    #[prost(uint32, tag = "2")]
    flaw: u32,
    #[prost(string, tag = "3")]
    domain: String,
    #[prost(string, tag = "4")]
    selector: String,
    #[prost(string, tag = "5")]
    mark: String,
    #[prost(bool, tag = "6")]
    is_ed25519: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CarriedArc {
    #[prost(uint32, tag = "1")]
    outcome: u32,
    #[prost(uint32, tag = "2")]
    sets: u32,
    #[prost(string, repeated, tag = "3")]
    sealers: Vec<String>,
    #[prost(bool, tag = "4")]
    signs_author: bool,
    #[prost(string, tag = "5")]
    results: String,
    #[prost(string, tag = "6")]
    first_results: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CarriedDmarc {
    #[prost(uint32, tag = "1")]
    outcome: u32,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(string, tag = "3")]
    record_of: String,
    #[prost(uint32, tag = "4")]
    policy: u32,
    #[prost(bool, tag = "5")]
    spf: bool,
    #[prost(bool, tag = "6")]
    dkim: bool,
    #[prost(string, repeated, tag = "7")]
    reports: Vec<String>,
}

/// In the order of their numbers, which are only added to.
const OUTCOMES: [Outcome; 8] = Outcome::ALL;
const POLICIES: [Policy; 3] = [Policy::None, Policy::Quarantine, Policy::Reject];
const FLAWS: [Flaw; 15] = [
    Flaw::Unreadable,
    Flaw::Unknown,
    Flaw::FromUnsigned,
    Flaw::Identity,
    Flaw::Expired,
    Flaw::Sha1,
    Flaw::BodyHash,
    Flaw::Mismatch,
    Flaw::PartOfBody,
    Flaw::NoKey,
    Flaw::Revoked,
    Flaw::BadKey,
    Flaw::ShortKey,
    Flaw::Dns,
    Flaw::TooMany,
];

fn number_of<T: PartialEq>(all: &[T], one: &T) -> u32 {
    let place = all.iter().position(|other| other == one);
    place.and_then(|place| u32::try_from(place).ok()).unwrap_or(u32::MAX)
}

/// The one of that number; `None` if this version does not know it.
fn numbered<T: Copy>(all: &[T], number: u32) -> Option<T> {
    all.get(usize::try_from(number).ok()?).copied()
}

impl From<&SpfResult> for CarriedSpf {
    fn from(spf: &SpfResult) -> Self {
        let (domain, explanation) = (spf.domain.clone(), spf.explanation.clone());
        Self { outcome: number_of(&OUTCOMES, &spf.outcome), domain, explanation }
    }
}

impl CarriedSpf {
    fn read(self) -> Option<SpfResult> {
        let outcome = numbered(&OUTCOMES, self.outcome)?;
        Some(SpfResult { outcome, domain: self.domain, explanation: self.explanation })
    }
}

impl From<&SignatureResult> for CarriedSignature {
    fn from(signature: &SignatureResult) -> Self {
        Self {
            outcome: number_of(&OUTCOMES, &signature.outcome),
            flaw: signature.flaw.as_ref().map_or(0, |flaw| number_of(&FLAWS, flaw).saturating_add(1)),
            domain: signature.domain.clone(),
            selector: signature.selector.clone(),
            mark: signature.mark.clone(),
            is_ed25519: signature.is_ed25519,
        }
    }
}

impl CarriedSignature {
    fn read(self) -> Option<SignatureResult> {
        Some(SignatureResult {
            outcome: numbered(&OUTCOMES, self.outcome)?,
            flaw: match self.flaw.checked_sub(1) {
                None => None,
                Some(number) => Some(numbered(&FLAWS, number)?),
            },
            domain: self.domain,
            selector: self.selector,
            mark: self.mark,
            is_ed25519: self.is_ed25519,
        })
    }
}

impl From<&ArcResult> for CarriedArc {
    fn from(arc: &ArcResult) -> Self {
        Self {
            outcome: number_of(&OUTCOMES, &arc.outcome),
            sets: arc.sets,
            sealers: arc.sealers.clone(),
            signs_author: arc.signs_author,
            results: arc.results.clone(),
            first_results: arc.first_results.clone(),
        }
    }
}

impl From<&DmarcResult> for CarriedDmarc {
    fn from(dmarc: &DmarcResult) -> Self {
        Self {
            outcome: number_of(&OUTCOMES, &dmarc.outcome),
            domain: dmarc.domain.clone(),
            record_of: dmarc.record_of.clone(),
            policy: number_of(&POLICIES, &dmarc.policy),
            spf: dmarc.spf,
            dkim: dmarc.dkim,
            reports: dmarc.reports.clone(),
        }
    }
}

impl Findings {
    /// The findings without the author, for a later reader; `None` if they have more than [`MAX_CARRIED_BYTES`].
    pub fn to_carry(&self) -> Option<Vec<u8>> {
        let carried = Carried {
            ip: self.ip.map(|ip| ip.to_string()).unwrap_or_default(),
            helo: self.helo.clone(),
            mail_from: self.mail_from.clone(),
            iprev: number_of(&OUTCOMES, &self.iprev.outcome),
            client_name: self.iprev.name.clone(),
            spf_helo: Some((&self.spf_helo).into()),
            spf: Some((&self.spf).into()),
            dkim: self.dkim.iter().map(Into::into).collect(),
            arc: Some((&self.arc).into()),
            dmarc: Some((&self.dmarc).into()),
        };
        Some(carried.encode_to_vec()).filter(|bytes| bytes.len() <= MAX_CARRIED_BYTES)
    }

    /// Findings that were carried; `None` if this version can't read them. The author is not in them, nor whether the
    /// message is forged.
    pub fn from_carried(bytes: &[u8]) -> Option<Self> {
        let carried = Carried::decode(bytes).ok().filter(|_| bytes.len() <= MAX_CARRIED_BYTES)?;
        let (arc, dmarc) = (carried.arc?, carried.dmarc?);
        if carried.dkim.len() > MAX_SIGNATURES || arc.sealers.len() > MAX_SEALERS {
            return None;
        }
        Some(Self {
            ip: if carried.ip.is_empty() { None } else { Some(carried.ip.parse().ok()?) },
            helo: carried.helo,
            mail_from: carried.mail_from,
            iprev: IprevResult { outcome: numbered(&OUTCOMES, carried.iprev)?, name: carried.client_name },
            spf_helo: carried.spf_helo?.read()?,
            spf: carried.spf?.read()?,
            dkim: carried.dkim.into_iter().map(CarriedSignature::read).collect::<Option<_>>()?,
            arc: ArcResult {
                outcome: numbered(&OUTCOMES, arc.outcome)?,
                sets: arc.sets,
                sealers: arc.sealers,
                signs_author: arc.signs_author,
                results: arc.results,
                first_results: arc.first_results,
            },
            dmarc: DmarcResult {
                outcome: numbered(&OUTCOMES, dmarc.outcome)?,
                domain: dmarc.domain,
                record_of: dmarc.record_of,
                policy: numbered(&POLICIES, dmarc.policy)?,
                spf: dmarc.spf,
                dkim: dmarc.dkim,
                reports: dmarc.reports,
                // What is reported is counted where the message was judged.
                record: None,
            },
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        proptest::string::string_regex("[ -~ä]{0,24}").unwrap()
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        proptest::sample::select(OUTCOMES.to_vec())
    }

    prop_compose! {
        fn spf()(outcome in outcome(), domain in text(), explanation in proptest::option::of(text())) -> SpfResult {
            SpfResult { outcome, domain, explanation }
        }
    }

    prop_compose! {
        fn signature()(
            outcome in outcome(),
            flaw in proptest::option::of(proptest::sample::select(FLAWS.to_vec())),
            (domain, selector, mark) in (text(), text(), text()),
            is_ed25519 in any::<bool>(),
        ) -> SignatureResult {
            SignatureResult { outcome, flaw, domain, selector, mark, is_ed25519 }
        }
    }

    prop_compose! {
        fn findings()(
            ip in proptest::option::of(any::<std::net::IpAddr>()),
            (helo, mail_from) in (text(), proptest::option::of(text())),
            (iprev, name) in (outcome(), proptest::option::of(text())),
            (spf_helo, spf) in (spf(), spf()),
            dkim in proptest::collection::vec(signature(), 0..=MAX_SIGNATURES),
            (arc, sets, sealers) in (outcome(), any::<u32>(), proptest::collection::vec(text(), 0..9)),
            (signs_author, results, first_results) in (any::<bool>(), text(), text()),
            (dmarc, domain, record_of) in (outcome(), text(), text()),
            policy in proptest::sample::select(POLICIES.to_vec()),
            (by_spf, by_dkim) in (any::<bool>(), any::<bool>()),
            reports in proptest::collection::vec(text(), 0..4),
        ) -> Findings {
            Findings {
                ip,
                helo,
                mail_from,
                iprev: IprevResult { outcome: iprev, name },
                spf_helo,
                spf,
                dkim,
                arc: ArcResult { outcome: arc, sets, sealers, signs_author, results, first_results },
                dmarc: DmarcResult {
                    outcome: dmarc, domain, record_of, policy, spf: by_spf, dkim: by_dkim, reports, record: None,
                },
                ..Findings::default()
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_found_arrives_as_it_was(findings in findings()) {
            let carried = findings.to_carry().unwrap();
            prop_assert_eq!(Findings::from_carried(&carried), Some(findings));
        }

        #[test]
        fn other_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Findings::from_carried(&bytes);
        }
    }

    #[test]
    fn what_is_too_long_does_not_travel_and_numbers_of_a_newer_version_are_not_guessed() {
        let long = Findings { helo: "x".repeat(MAX_CARRIED_BYTES), ..Findings::default() };
        assert_eq!(long.to_carry(), None);
        let whole = Findings::default().to_carry().unwrap();
        assert_eq!(Findings::from_carried(&whole), Some(Findings::default()));
        let newer = Carried { iprev: 99, ..Carried::decode(whole.as_slice()).unwrap() };
        assert_eq!(Findings::from_carried(&newer.encode_to_vec()), None);
        assert_eq!(Findings::from_carried(b""), None);
    }
}
