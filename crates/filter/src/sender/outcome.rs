//! Results of checks.

/// The result of a check, by the words of RFC 8601 section 2.7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// There was nothing to check.
    #[default]
    None,
    /// Proved.
    Pass,
    /// Disproved.
    Fail,
    /// Probably not (SPF).
    SoftFail,
    /// Nothing is said.
    Neutral,
    /// It would pass, but is not accepted here.
    Policy,
    /// Nobody could tell now: the DNS gave no answer.
    TempError,
    /// Nobody will ever tell: what is published or signed is wrong.
    PermError,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Pass,
        Self::Fail,
        Self::SoftFail,
        Self::Neutral,
        Self::Policy,
        Self::TempError,
        Self::PermError,
    ];

    /// Its stable word.
    pub const fn code(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::Policy => "policy",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }

    /// The outcome of that word, in any case.
    pub fn read(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.code().eq_ignore_ascii_case(code))
    }
}
