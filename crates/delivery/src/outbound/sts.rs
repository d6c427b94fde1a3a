//! MTA-STS (RFC 8461): what a domain says about the way to its mail servers. Records, policies and names, without sockets.

pub mod fetch;
pub mod known;

use std::time::Duration;

/// Longest time a policy holds: a year (RFC 8461 §3.2). Larger values count as this.
pub const MAX_AGE: Duration = Duration::from_secs(31_557_600);
/// Most `mx` lines of a policy.
pub const MAX_PATTERNS: usize = 500;

/// What a policy demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Mail only goes to servers of the policy, under TLS with a certificate for their name.
    Enforce,
    /// The same is looked at and reported, but mail goes out all the same.
    Testing,
    /// Nothing.
    None,
}

impl Mode {
    /// As the policy has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Enforce, Self::Testing, Self::None].into_iter().find(|mode| mode.name() == name)
    }
}

/// A policy, as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What it demands.
    pub mode: Mode,
    /// Host names, in lower case; one may begin with `*.`, which stands for one label.
    pub mx: Vec<String>,
    /// How long it holds after it was fetched.
    pub max_age: Duration,
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A line that is not `key: value`.
    #[error("line {0} is not \u{201c}key: value\u{201d}")]
    Line(usize),
    /// A key that a policy must have.
    #[error("it has no \u{201c}{0}\u{201d}")]
    Missing(&'static str),
    /// A value that is none.
    #[error("its \u{201c}{0}\u{201d} is not valid")]
    Value(&'static str),
    /// It is not text.
    #[error("it is not text")]
    NotText,
    /// More than [`MAX_PATTERNS`].
    #[error("it names too many servers")]
    TooManyPatterns,
}

impl Policy {
    /// Reads a policy (RFC 8461 §3.2). Unknown keys are ignored; of a key that may stand once, the first counts.
    pub fn parse(body: &[u8]) -> Result<Self, PolicyError> {
        let text = std::str::from_utf8(body).map_err(|_| PolicyError::NotText)?;
        let (mut version, mut mode, mut max_age) = (None, None, None);
        let mut mx = Vec::new();
        for (number, line) in text.split('\n').enumerate() {
            let line = line.trim_end_matches(['\r', ' ', '\t']);
            if line.is_empty() {
                continue;
            }
            let (key, value) = line.split_once(':').ok_or(PolicyError::Line(number + 1))?;
            let value = value.trim_matches([' ', '\t']);
            match key.trim_end_matches([' ', '\t']) {
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(Some(value)),
                "mx" if mx.len() >= MAX_PATTERNS => return Err(PolicyError::TooManyPatterns),
                "mx" => mx.push(pattern(value).ok_or(PolicyError::Value("mx"))?),
                key if is_key(key) => {}
                _ => return Err(PolicyError::Line(number + 1)),
            }
        }
        if version.ok_or(PolicyError::Missing("version"))? != "STSv1" {
            return Err(PolicyError::Value("version"));
        }
        let mode = Mode::from_name(mode.ok_or(PolicyError::Missing("mode"))?).ok_or(PolicyError::Value("mode"))?;
        let max_age = seconds(max_age.ok_or(PolicyError::Missing("max_age"))?).ok_or(PolicyError::Value("max_age"))?;
        if mx.is_empty() && mode != Mode::None {
            return Err(PolicyError::Missing("mx"));
        }
        Ok(Self { mode, mx, max_age })
    }

    /// Whether a host is one of the policy's (RFC 8461 §4.1).
    pub fn covers(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
            None => *pattern == host,
        })
    }
}

/// `1*10 DIGIT`, at most [`MAX_AGE`].
fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 = text.parse().ok().filter(|_| digits)?;
    Some(Duration::from_secs(count).min(MAX_AGE))
}

/// Any field's name: `(ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".")`.
fn is_key(key: &str) -> bool {
    key.len() <= 32
        && key.starts_with(|first: char| first.is_ascii_alphanumeric())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// A host name or `*.` and one, in lower case.
fn pattern(value: &str) -> Option<String> {
    let value = value.strip_suffix('.').unwrap_or(value).to_ascii_lowercase();
    let name = value.strip_prefix("*.").unwrap_or(&value);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    (value.len() <= 253 && name.split('.').all(is_label)).then_some(value)
}

/// The id of the one valid record among the texts of `_mta-sts` (RFC 8461 §3.1). None, or more than one record that begins
/// like one: the domain has no policy.
pub fn record_id(texts: &[Vec<u8>]) -> Option<String> {
    let mut records = texts.iter().filter(|text| begins_as_record(text));
    let record = records.next().filter(|_| records.next().is_none())?;
    let text = std::str::from_utf8(record).ok()?;
    let mut id = None;
    for field in text.split(';').skip(1) {
        let field = field.trim_matches([' ', '\t']);
        if field.is_empty() {
            continue;
        }
        let (key, value) = field.split_once('=')?;
        if key.trim_end() == "id" {
            id = id.or(Some(value.trim_start()));
        }
    }
    let is_id = |id: &&str| (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    id.filter(is_id).map(str::to_owned)
}

fn begins_as_record(text: &[u8]) -> bool {
    text.strip_prefix(b"v=STSv1").is_some_and(|rest| matches!(rest.trim_ascii_start().first(), None | Some(b';')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str =
        "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.Example.net\r\nmax_age: 604800\r\n";

    fn id(texts: &[&str]) -> Option<String> {
        record_id(&texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn a_policy_is_read_whatever_its_line_ends_and_order() {
        let policy = Policy::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(policy.mode, Mode::Enforce);
        assert_eq!(policy.mx, ["mail.example.com", "*.example.net"]);
        assert_eq!(policy.max_age, Duration::from_secs(604_800));
        let other = "max_age:604800\nmx: mail.example.com.\nx-more: yes: really\n\nmode:   enforce  \nmx:*.example.net\nversion: STSv1";
        assert_eq!(Policy::parse(other.as_bytes()).unwrap(), policy);
    }

    #[test]
    fn what_a_policy_must_have_is_named_when_it_lacks() {
        let parse = |text: &str| Policy::parse(text.as_bytes());
        for (key, line) in [("version", "version: STSv1"), ("mode", "mode: enforce"), ("max_age", "max_age: 604800")] {
            assert_eq!(parse(&GOOD.replace(line, "")), Err(PolicyError::Missing(key)));
        }
        let no_mx: String =
            GOOD.lines().filter(|line| !line.starts_with("mx")).map(|line| format!("{line}\n")).collect();
        assert_eq!(parse(&no_mx), Err(PolicyError::Missing("mx")));
        assert_eq!(parse(&no_mx.replace("enforce", "none")).unwrap().mode, Mode::None);
        for (good, bad, key) in [
            ("STSv1", "STSv2", "version"),
            ("enforce", "Enforced", "mode"),
            ("604800", "-1", "max_age"),
            ("604800", "1 day", "max_age"),
            ("604800", "12345678901", "max_age"),
            ("mail.example.com", "mail..example.com", "mx"),
            ("mail.example.com", "*", "mx"),
            ("mail.example.com", "a.*.example.com", "mx"),
            ("mail.example.com", "[192.0.2.1]", "mx"),
            ("mail.example.com", "", "mx"),
        ] {
            assert_eq!(parse(&GOOD.replace(good, bad)), Err(PolicyError::Value(key)), "{bad}");
        }
        assert_eq!(parse("<html>"), Err(PolicyError::Line(1)));
        assert_eq!(Policy::parse(b"version: \xff"), Err(PolicyError::NotText));
        assert_eq!(parse(&GOOD.replace("604800", "9999999999")).unwrap().max_age, MAX_AGE);
        let many = format!("{GOOD}{}", "mx: a.example\n".repeat(MAX_PATTERNS));
        assert_eq!(parse(&many), Err(PolicyError::TooManyPatterns));
    }

    #[test]
    fn the_first_of_a_key_counts() {
        let twice = format!("{GOOD}mode: none\nmax_age: 1\nversion: STSv9\n");
        assert_eq!(Policy::parse(twice.as_bytes()), Policy::parse(GOOD.as_bytes()));
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let policy = Policy::parse(GOOD.as_bytes()).unwrap();
        for host in ["mail.example.com", "MAIL.example.com.", "a.example.net"] {
            assert!(policy.covers(host), "{host}");
        }
        for host in ["example.net", "a.b.example.net", ".example.net", "mx.example.com", "mail.example.com.evil", ""] {
            assert!(!policy.covers(host), "{host}");
        }
    }

    #[test]
    fn exactly_one_record_counts() {
        assert_eq!(id(&["v=STSv1; id=20160831085700Z;"]).as_deref(), Some("20160831085700Z"));
        assert_eq!(id(&["v=STSv1;id=a", "other text", "v=spf1 -all"]).as_deref(), Some("a"));
        assert_eq!(id(&["v=STSv1 ; x=y ; id=a ;"]).as_deref(), Some("a"));
        for none in [
            &["v=STSv1; id=a;", "v=STSv1; id=b;"][..],
            &["v=STSv1;"],
            &["v=STSv1; id=;"],
            &["v=STSv1; id=has-dash;"],
            &["v=STSv1; id=123456789012345678901234567890123;"],
            &["v=STSv10; id=a"],
            &["V=STSv1; id=a"],
            &["id=a; v=STSv1"],
            &["v=STSv1; nonsense"],
            &[],
        ] {
            assert_eq!(id(none), None, "{none:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Policy::parse(&bytes);
            let _ = record_id(&[[b"v=STSv1".as_slice(), &bytes].concat()]);
        }
    }
}
