//! DMARC (RFC 9989): what the owner of the From field's domain wants of mail that is not proved to be theirs.
//!
//! Records of RFC 7489 are read as well: what they have besides (`pct`, `rf`, `ri`) is passed over, as RFC 9989 says.

use dnskit::{DnsError, Kind, Resolver};

use super::names::is_same_or_below;
use super::outcome::Outcome;
use super::tags::Tags;

/// Most questions of one walk up the tree (RFC 9989 section 4.10).
pub const MAX_WALK: usize = 8;

/// What is to become of mail that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// Nothing.
    #[default]
    None,
    /// It is suspicious.
    Quarantine,
    /// It is not taken.
    Reject,
}

impl Policy {
    /// Its word in records and results.
    pub const fn code(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::None, Self::Quarantine, Self::Reject].into_iter().find(|policy| text.eq_ignore_ascii_case(policy.code()))
    }

    /// One level less, for domains that are testing (`t=y`).
    const fn milder(self) -> Self {
        match self {
            Self::Reject => Self::Quarantine,
            Self::Quarantine | Self::None => Self::None,
        }
    }
}

/// Whether a domain is a public suffix, as its record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicSuffix {
    /// `psd=y`.
    Yes,
    /// `psd=n`: an organization's own domain.
    No,
    /// Not said.
    Unsaid,
}

/// A policy record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `p=`; `None` if it is missing or not known.
    pub policy: Option<Policy>,
    /// `sp=`: of subdomains.
    pub subdomains: Option<Policy>,
    /// `np=`: of subdomains that don't exist.
    pub nonexistent: Option<Policy>,
    /// `adkim=s`.
    pub strict_dkim: bool,
    /// `aspf=s`.
    pub strict_spf: bool,
    /// `psd=`.
    pub public_suffix: PublicSuffix,
    /// `t=y`.
    pub testing: bool,
    /// `rua=`, as it stands: where aggregate reports go.
    pub reports: Vec<String>,
}

impl Record {
    /// Reads a record; `None` if it is none.
    pub fn read(text: &[u8]) -> Option<Self> {
        let tags = read_tags(text)?;
        let policy = |name: &str| tags.get(name).and_then(Policy::read);
        let is = |name: &str, value: &str| tags.get(name).is_some_and(|said| said.eq_ignore_ascii_case(value));
        let uris = tags.get("rua").unwrap_or_default().split(',').map(str::trim);
        Some(Self {
            policy: policy("p"),
            subdomains: policy("sp"),
            nonexistent: policy("np"),
            strict_dkim: is("adkim", "s"),
            strict_spf: is("aspf", "s"),
            public_suffix: match () {
                () if is("psd", "y") => PublicSuffix::Yes,
                () if is("psd", "n") => PublicSuffix::No,
                () => PublicSuffix::Unsaid,
            },
            testing: is("t", "y"),
            reports: uris.filter(|uri| uri.contains(':')).map(ToOwned::to_owned).collect(),
        })
    }

    /// The policy for the author's domain, before `t=`. `None`: the record asks for nothing.
    fn policy_for(&self, is_own: bool, exists: bool) -> Option<Policy> {
        let policy = match self.policy {
            Some(policy) => policy,
            // RFC 9989 section 4.10.1: of an unusable `p` is `none` left, for the reports.
            None if !self.reports.is_empty() => return Some(Policy::None),
            None => return None,
        };
        if is_own {
            return Some(policy);
        }
        let subdomains = self.subdomains.unwrap_or(policy);
        Some(if exists { subdomains } else { self.nonexistent.unwrap_or(subdomains) })
    }
}

/// The tags of a record. `v` is the first and its value is written so; what can't be read behind it is passed over.
fn read_tags(text: &[u8]) -> Option<Tags> {
    let text = std::str::from_utf8(text).ok()?;
    let (first, _) = text.split_once(';').unwrap_or((text, ""));
    let (name, value) = first.split_once('=')?;
    if name.trim() != "v" || value.trim() != "DMARC1" {
        return None;
    }
    if let Some(tags) = Tags::read(text.as_bytes()) {
        return Some(tags);
    }
    let sound: Vec<&str> = text.split(';').filter(|piece| piece.contains('=')).collect();
    Tags::read(sound.join(";").as_bytes())
}

/// The records on the way up from a domain, the domain's own first.
pub type Walk = Vec<(String, Record)>;

/// Walks up from a domain (RFC 9989 section 4.10).
///
/// # Errors
/// The DNS gave no answer for a name: nothing can be said.
pub async fn walk(domain: &str, resolver: &dyn Resolver) -> Result<Walk, DnsError> {
    let mut found = Walk::new();
    for name in names_up(domain) {
        let texts = match resolver.txt(&format!("_dmarc.{name}")).await {
            Ok(texts) => texts,
            Err(error) if error.is_final() => continue,
            Err(error) => return Err(error),
        };
        let mut records = texts.iter().filter_map(|text| Record::read(text));
        // Several are as good as none.
        if let (Some(record), None) = (records.next(), records.next()) {
            let ends = record.public_suffix != PublicSuffix::Unsaid;
            found.push((name.to_owned(), record));
            if ends {
                break;
            }
        }
    }
    Ok(found)
}

/// The names that are asked for: the domain, then those above it that have at most seven labels.
pub fn names_up(domain: &str) -> Vec<&str> {
    let mut names = vec![domain];
    let labels = domain.split('.').count();
    let mut rest = domain;
    let mut left = labels;
    while let Some((_, above)) = rest.split_once('.') {
        rest = above;
        left -= 1;
        if left < MAX_WALK {
            names.push(rest);
        }
    }
    names.truncate(MAX_WALK);
    names
}

/// The organization's domain (RFC 9989 section 4.10.2), as a walk that began at `domain` shows it.
pub fn organization<'a>(walk: &'a Walk, domain: &'a str) -> &'a str {
    for (name, record) in walk {
        match record.public_suffix {
            PublicSuffix::No => return name,
            PublicSuffix::Yes if name != domain => return one_below(domain, name),
            PublicSuffix::Yes | PublicSuffix::Unsaid => {}
        }
    }
    walk.last().map_or(domain, |(name, _)| name)
}

/// The name one label below `above` on the way to `domain`.
fn one_below<'a>(domain: &'a str, above: &str) -> &'a str {
    let rest = domain.strip_suffix(above).and_then(|rest| rest.strip_suffix('.')).unwrap_or_default();
    let label = rest.rsplit('.').next().unwrap_or_default();
    &domain[rest.len() - label.len()..]
}

/// A name that is proved, or may be once the DNS answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof<'a> {
    /// The domain.
    pub domain: &'a str,
    /// By SPF, else by DKIM.
    pub spf: bool,
    /// `pass`, or `temperror`; others don't matter.
    pub outcome: Outcome,
}

/// What DMARC says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DmarcResult {
    /// `none`: the domain asks for nothing.
    pub outcome: Outcome,
    /// The author's domain.
    pub domain: String,
    /// Whose record it is.
    pub record_of: String,
    /// What the record asks for, with `t=` taken into account.
    pub policy: Policy,
    /// The record.
    pub record: Option<Record>,
    /// An aligned SPF result proves it.
    pub spf: bool,
    /// An aligned DKIM signature proves it.
    pub dkim: bool,
    /// Where the domain wants reports, as its record has it.
    pub reports: Vec<String>,
}

/// Judges the author's domain by what is proved.
pub async fn check(author: &str, proofs: &[Proof<'_>], resolver: &dyn Resolver) -> DmarcResult {
    let mut result = DmarcResult { domain: author.to_owned(), ..DmarcResult::default() };
    let Ok(walked) = walk(author, resolver).await else {
        return DmarcResult { outcome: Outcome::TempError, ..result };
    };
    let organization = organization(&walked, author);
    let of = |wanted: &str| walked.iter().find(|(name, _)| name == wanted);
    let Some((name, record)) = of(author).or_else(|| of(organization)).or_else(|| walked.last()) else { return result };
    let is_own = name == author;
    let exists = is_own || record.nonexistent.is_none() || exists(author, resolver).await;
    let Some(policy) = record.policy_for(is_own, exists) else { return result };
    result.policy = if record.testing { policy.milder() } else { policy };
    result.record_of.clone_from(name);
    result.reports.clone_from(&record.reports);
    result.record = Some(record.clone());
    let mut unsure = false;
    for proof in proofs {
        let is_strict = if proof.spf { record.strict_spf } else { record.strict_dkim };
        match is_aligned(proof.domain, author, organization, is_strict, resolver).await {
            Ok(false) => {}
            Ok(true) if proof.outcome == Outcome::Pass => {
                let proved = if proof.spf { &mut result.spf } else { &mut result.dkim };
                *proved = true;
            }
            Ok(true) | Err(_) => unsure = true,
        }
    }
    result.outcome = match () {
        () if result.spf || result.dkim => Outcome::Pass,
        () if unsure => Outcome::TempError,
        () => Outcome::Fail,
    };
    result
}

/// Whether a name exists (RFC 8020). If nobody says that it doesn't, it does.
async fn exists(name: &str, resolver: &dyn Resolver) -> bool {
    !matches!(resolver.lookup(name, Kind::A).await, Err(DnsError::NoSuchDomain))
}

/// Whether a proved name is one of the author's organization, or in strict mode the author's domain itself.
async fn is_aligned(
    proved: &str,
    author: &str,
    organization_of_author: &str,
    is_strict: bool,
    resolver: &dyn Resolver,
) -> Result<bool, DnsError> {
    if proved == author {
        return Ok(true);
    }
    // An organization's domain is above all of its names.
    if is_strict || !is_same_or_below(proved, organization_of_author) {
        return Ok(false);
    }
    let walked = walk(proved, resolver).await?;
    Ok(organization(&walked, proved) == organization_of_author)
}
