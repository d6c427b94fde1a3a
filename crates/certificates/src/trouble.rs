//! Why there is no certificate yet, in words that an operator understands.

use directory::DirectoryError;
use instant_acme::{Error, Problem};

use crate::patience::Cause;

/// What of an authority's own words is kept and shown, in characters.
const MAX_SAID: usize = 400;

/// A name that the authority did not certify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedName {
    /// The name.
    pub name: String,
    /// What the authority said.
    pub why: String,
}

/// Why an order came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It can't be reached, or does not answer as it should.
    #[error("{0}")]
    Away(String),
    /// It sends us away for a time.
    #[error("the authority asks to wait: {why}")]
    Hold {
        /// Its reason.
        why: String,
        /// Until when.
        until_ms: i64,
    },
    /// It looked for the proof of these names, and did not find it.
    #[error("{}", .0.iter().map(|refused| format!("{}: {}", refused.name, refused.why)).collect::<Vec<_>>().join("; "))]
    Names(Vec<RefusedName>),
    /// It refuses the order or the account.
    #[error("the authority refused: {0}")]
    Refused(String),
    /// It doesn't know our account.
    #[error("the authority does not know the account: {0}")]
    NoAccount(String),
    /// The order of before is of no use any more.
    #[error("the order has ended without a certificate: {0}")]
    OrderEnded(String),
    /// What we have to do ourselves failed.
    #[error("{0}")]
    Own(String),
    /// The store.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl Trouble {
    /// How long to wait after it.
    pub const fn cause(&self) -> Cause {
        match self {
            Self::Hold { until_ms, .. } => Cause::Hold { until_ms: *until_ms },
            Self::Names(_) | Self::Refused(_) | Self::NoAccount(_) | Self::OrderEnded(_) => Cause::Refused,
            Self::Away(_) | Self::Own(_) | Self::Directory(_) => Cause::Away,
        }
    }

    /// Whether orders for other names would fail just the same now.
    pub const fn is_of_all(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Hold { .. })
    }
}

/// Text from outside, on one line and not too long.
pub fn said(text: &str) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_SAID).collect();
    one_line.trim().to_owned()
}

/// What an authority's problem document says.
pub fn problem(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or_default().rsplit(':').next().unwrap_or_default();
    let detail = problem.detail.as_deref().unwrap_or_default();
    let parts: Vec<String> = problem.subproblems.iter().filter_map(|sub| sub.detail.as_deref()).map(said).collect();
    let detail = if parts.is_empty() { said(detail) } else { said(&format!("{detail} ({})", parts.join("; "))) };
    match (kind.is_empty(), detail.is_empty()) {
        (_, true) => said(kind),
        (true, false) => detail,
        (false, false) => format!("{detail} ({})", said(kind)),
    }
}

/// The kind of a problem, without the prefix that all have.
fn kind(problem: &Problem) -> &str {
    problem.r#type.as_deref().and_then(|kind| kind.strip_prefix("urn:ietf:params:acme:error:")).unwrap_or_default()
}

/// What a failed request of an order for `names` means.
pub fn of(error: &Error, names: &[String]) -> Trouble {
    match error {
        Error::Api(found) => match kind(found) {
            "serverInternal" => Trouble::Away(format!("the authority has a fault: {}", problem(found))),
            "rateLimited" => Trouble::Hold { why: problem(found), until_ms: 0 },
            "rejectedIdentifier" | "unsupportedIdentifier" | "caa" | "dns" => match rejected(found, names) {
                refused if refused.is_empty() => Trouble::Refused(problem(found)),
                refused => Trouble::Names(refused),
            },
            "accountDoesNotExist" => Trouble::NoAccount(problem(found)),
            "orderNotReady" | "malformed" => Trouble::OrderEnded(problem(found)),
            _ => Trouble::Refused(problem(found)),
        },
        Error::Timeout(_) => Trouble::Away("the authority takes too long to decide".to_owned()),
        Error::Json(_) => {
            Trouble::Away("the authority's answer can't be understood: is the directory's URL right?".to_owned())
        }
        Error::InvalidUri(_) | Error::Http(_) => Trouble::Away(format!("the authority's URL is wrong: {error}")),
        Error::Other(inner) => Trouble::Away(said(&inner.to_string())),
        other => Trouble::Away(said(&other.to_string())),
    }
}

/// The names that a problem is about.
fn rejected(found: &Problem, names: &[String]) -> Vec<RefusedName> {
    let named = |text: &str| -> Vec<&String> {
        let is_in = |name: &&String| {
            text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-'))
                .any(|word| word.trim_end_matches('.').eq_ignore_ascii_case(name))
        };
        names.iter().filter(is_in).collect()
    };
    let mut all: Vec<RefusedName> = Vec::new();
    for sub in &found.subproblems {
        let instant_acme::Identifier::Dns(name) = (match &sub.identifier {
            Some(identifier) => identifier,
            None => continue,
        }) else {
            continue;
        };
        if names.contains(name) {
            all.push(RefusedName { name: name.clone(), why: said(sub.detail.as_deref().unwrap_or("refused")) });
        }
    }
    if all.is_empty() {
        let found_in = named(found.detail.as_deref().unwrap_or_default());
        let found_in = if names.len() == 1 { names.iter().collect() } else { found_in };
        all.extend(found_in.into_iter().map(|name| RefusedName { name: name.clone(), why: problem(found) }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(json: &str) -> Error {
        Error::Api(serde_json::from_str(json).unwrap())
    }

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn a_refused_name_is_found_among_those_ordered() {
        let all = names(&["a.example", "b.a.example"]);
        let with_parts = api(
            r#"{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"some","subproblems":[{"type":"x","detail":"on a list",
            "identifier":{"type":"dns","value":"b.a.example"}}]}"#,
        );
        let in_words = api(
            r#"{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"Cannot issue for \"b.a.example\": policy"}"#,
        );
        for error in [with_parts, in_words] {
            let Trouble::Names(found) = of(&error, &all) else { panic!("{error}") };
            assert_eq!((found.len(), found[0].name.as_str()), (1, "b.a.example"));
        }
        let of_nobody = api(r#"{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"no"}"#);
        assert!(matches!(of(&of_nobody, &all), Trouble::Refused(_)));
        assert!(matches!(of(&of_nobody, &all[..1]), Trouble::Names(_)), "there is only one it can be");
    }

    #[test]
    fn faults_of_the_authority_are_not_refusals() {
        let all = names(&["a.example"]);
        let fault = api(r#"{"type":"urn:ietf:params:acme:error:serverInternal","detail":"maintenance"}"#);
        assert!(matches!(of(&fault, &all).cause(), Cause::Away));
        let limit = api(r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}"#);
        assert!(matches!(of(&limit, &all).cause(), Cause::Hold { .. }));
        let unknown = api(r#"{"type":"about:blank"}"#);
        assert!(matches!(of(&unknown, &all).cause(), Cause::Refused));
    }

    #[test]
    fn what_others_wrote_is_one_short_line() {
        let long = format!("a\r\nb\u{7}{}", "x".repeat(5_000));
        let short = said(&long);
        assert!(short.starts_with("a  b ") && short.chars().count() <= MAX_SAID && !short.contains('\n'));
    }
}
