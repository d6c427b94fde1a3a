//! How an account wants its mail judged.

use std::fmt;
use std::str::FromStr;

use super::lists::Entry;
use super::schema::{EntryRecord, SettingsRecord};
use super::score::Points;

/// Days after which spam is deleted, unless the account says otherwise.
pub const EMPTIED_AFTER_DAYS: u32 = 30;
/// Longest time that spam is kept, in days.
pub const MAX_EMPTIED_AFTER_DAYS: u32 = 3_650;

/// How strict the filter is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Nothing goes to Spam but what the account's and its domain's block lists name.
    Off,
    /// Only what is almost certainly spam.
    Relaxed,
    /// What is probably spam.
    #[default]
    Normal,
    /// Also what is doubtful.
    Strict,
    /// All mail from senders whom the account doesn't know.
    KnownOnly,
}

impl Level {
    /// All, from the least strict to the strictest.
    pub const ALL: [Self; 5] = [Self::Off, Self::Relaxed, Self::Normal, Self::Strict, Self::KnownOnly];

    /// Its name, for the command line and forms.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Relaxed => "relaxed",
            Self::Normal => "normal",
            Self::Strict => "strict",
            Self::KnownOnly => "known",
        }
    }

    /// The score from which on mail goes to Spam; `None` if no score does.
    pub const fn limit(self) -> Option<Points> {
        match self {
            Self::Off => None,
            Self::Relaxed => Some(Points(80)),
            Self::Normal | Self::KnownOnly => Some(Points(50)),
            Self::Strict => Some(Points(30)),
        }
    }

    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Normal => 0,
            Self::Off => 1,
            Self::Relaxed => 2,
            Self::Strict => 3,
            Self::KnownOnly => 4,
        }
    }

    fn from_number(number: u32) -> Self {
        Self::ALL.into_iter().find(|level| level.number() == number).unwrap_or_default()
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is no level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the levels are off, relaxed, normal, strict and known")]
pub struct NoSuchLevel;

impl FromStr for Level {
    type Err = NoSuchLevel;

    fn from_str(text: &str) -> Result<Self, NoSuchLevel> {
        Self::ALL.into_iter().find(|level| level.name() == text).ok_or(NoSuchLevel)
    }
}

/// What an account says about the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How strict.
    pub level: Level,
    /// Whose mail is always wanted, or never.
    pub entries: Vec<Entry>,
    /// Days after which mail in Spam is deleted; `None`: never.
    pub emptied_after_days: Option<u32>,
    /// Whether counts of what the account teaches help to judge the mail of other accounts of the service.
    pub shares: bool,
}

impl Settings {
    /// Puts a sender on a list; off the other one, if it is there.
    pub fn list(&mut self, entry: Entry) {
        self.entries.retain(|known| known.pattern != entry.pattern);
        self.entries.push(entry);
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            level: Level::default(),
            entries: Vec::new(),
            emptied_after_days: Some(EMPTIED_AFTER_DAYS),
            shares: true,
        }
    }
}

impl From<SettingsRecord> for Settings {
    fn from(record: SettingsRecord) -> Self {
        let entry = |entry: &EntryRecord| Entry::new(&entry.pattern, entry.allowed).ok();
        Self {
            level: Level::from_number(record.level),
            entries: record.entries.iter().filter_map(entry).collect(),
            emptied_after_days: match record.emptied_after_days {
                0 => Some(EMPTIED_AFTER_DAYS),
                u32::MAX => None,
                days => Some(days.min(MAX_EMPTIED_AFTER_DAYS)),
            },
            shares: !record.keeps_to_itself,
        }
    }
}

impl From<&Settings> for SettingsRecord {
    fn from(settings: &Settings) -> Self {
        let entry = |entry: &Entry| EntryRecord { pattern: entry.pattern.to_string(), allowed: entry.allowed };
        Self {
            level: settings.level.number(),
            entries: settings.entries.iter().map(entry).collect(),
            emptied_after_days: settings
                .emptied_after_days
                .map_or(u32::MAX, |days| days.clamp(1, MAX_EMPTIED_AFTER_DAYS)),
            keeps_to_itself: !settings.shares,
        }
    }
}
