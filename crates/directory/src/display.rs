//! How the webmail looks for an account's owner: density, theme, language, time zone, dates.
//!
//! A part of the account's realm of its own, because it goes back with a rewind and credentials never do.

use prost::Message as _;
use realm::feed::{Kind, Touched, Write};
use realm::{Coming, Found, InCommit, Keys, Loss, Merged, Merging, RealmPart, Rewind, Rewindable, SalvageFrom, Work};
use store::{Op, Past, Read, RealmId, Snapshot, Store, StoreError, Tx};

use crate::schema::{self, DISPLAY, Settings, decode};
use crate::settings::MAX_SHORT_BYTES;
use crate::{AccountId, Directory, DirectoryError, Result};

/// How the webmail looks for an account's owner. Empty and 0 mean the default.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Display {
    /// `comfortable`, `compact` or empty for what is between them.
    #[prost(string, tag = "1")]
    pub density: String,
    /// `light`, `dark` or empty for the system's.
    #[prost(string, tag = "2")]
    pub theme: String,
    /// A language tag, or empty for the browser's.
    #[prost(string, tag = "3")]
    pub language: String,
    /// An IANA time zone, or empty for the browser's.
    #[prost(string, tag = "4")]
    pub time_zone: String,
    /// The day that weeks begin with: 1 is Monday, 7 is Sunday, 0 the language's.
    #[prost(uint32, tag = "5")]
    pub first_weekday: u32,
    /// `iso`, `dots`, `day-first`, `month-first`, or empty for the language's.
    #[prost(string, tag = "6")]
    pub dates: String,
    /// 12 or 24 hours, or 0 for the language's.
    #[prost(uint32, tag = "7")]
    pub clock: u32,
}

const NOUN: &str = "display setting";

impl Directory {
    /// What an account's owner has chosen to see; the default of what was not chosen.
    ///
    /// # Errors
    /// Those of the store.
    pub fn display(&self, account: AccountId) -> Result<Display> {
        let snapshot = self.store().snapshot();
        if let Some(value) = snapshot.get(account.realm(), DISPLAY)? {
            return decode("the display settings", &value);
        }
        // Theme and time zone were among the settings before they had a record of their own.
        let value = snapshot.get(account.realm(), schema::SETTINGS)?;
        let old: Settings = value.map_or_else(|| Ok(Settings::default()), |value| decode("settings", &value))?;
        Ok(Display { theme: old.theme, time_zone: old.time_zone, language: old.language, ..Display::default() })
    }

    /// Keeps what an account's owner has chosen to see.
    ///
    /// # Errors
    /// A text is too long.
    pub async fn set_display(&self, account: AccountId, display: Display) -> Result<()> {
        for (what, text) in [
            ("the density", &display.density),
            ("the theme", &display.theme),
            ("the time zone", &display.time_zone),
            ("the language", &display.language),
            ("the date format", &display.dates),
        ] {
            if text.len() > MAX_SHORT_BYTES {
                return Err(DirectoryError::TooLong { what, limit: MAX_SHORT_BYTES });
            }
        }
        self.store()
            .transact(move |tx| {
                tx.put(account.realm(), DISPLAY.to_vec(), display.encode_to_vec());
                Ok(())
            })
            .await
    }
}

/// The display settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct DisplayPart;

fn is_right(key: &[u8], value: &[u8]) -> bool {
    key == DISPLAY && Display::decode(value).is_ok()
}

fn kept<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(read.get(account, DISPLAY)?.map(|value| value.to_vec()))
}

fn write(tx: &mut Tx<'_>, account: RealmId, value: Option<Vec<u8>>) {
    match value {
        Some(value) => tx.put(account, DISPLAY.to_vec(), value),
        None => tx.delete(account, DISPLAY.to_vec()),
    }
}

impl RealmPart for DisplayPart {
    fn name(&self) -> &'static str {
        "display"
    }

    fn title(&self) -> &'static str {
        "the display settings"
    }

    fn keys(&self) -> Keys {
        Keys { range: DISPLAY[0]..=DISPLAY[0], kinds: DISPLAY }
    }

    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        let unsound = realm::unsound_rows(account, snapshot, DISPLAY, 1, is_right)?;
        Ok(unsound.iter().map(|_| "the display settings can't be decoded".to_owned()).collect())
    }

    fn rewindable(&self) -> Rewindable<'_> {
        Rewindable::Follows(self)
    }

    fn salvage(&self, from: &SalvageFrom<'_>) -> realm::Result<Option<Box<dyn Found>>> {
        let value = kept(from.read, from.realm)?;
        let unreadable = value.as_ref().is_some_and(|value| !is_right(DISPLAY, value));
        Ok(Some(Box::new(FoundDisplay { value: value.filter(|_| !unreadable), unreadable })))
    }

    fn purge<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(realm::clear_rows(store, account, DISPLAY))
    }

    fn maintain<'a>(&'a self, _: &'a Store, _: RealmId) -> Work<'a> {
        Box::pin(async { Ok(()) })
    }

    fn loss(&self, _: &Op) -> Option<Loss> {
        None
    }

    fn things(&self) -> &'static [Kind] {
        &[]
    }

    fn touches(&self, _: &Write<'_>, _: &mut Touched) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Rewind for DisplayPart {
    fn nouns(&self) -> &'static [&'static str] {
        &[NOUN]
    }

    fn plan(&self, account: RealmId, past: &Past) -> realm::Result<Vec<Coming>> {
        let (then, now) = (kept(past, account)?, kept(past.now(), account)?);
        let name = |named: bool| if named { vec!["Display".to_owned()] } else { Vec::new() };
        let is_coming = then.is_some() && then != now;
        Ok(vec![Coming {
            noun: NOUN,
            back: name(is_coming && now.is_none()),
            completed: name(is_coming && now.is_some()),
        }])
    }

    fn go_back(&self, account: RealmId, past: &Past) -> realm::Result<InCommit> {
        let then = kept(past, account)?;
        Ok(Box::new(move |tx| {
            // What was first chosen since stays.
            if then.is_none() || then == kept(tx, account)? {
                return Ok(0);
            }
            write(tx, account, then);
            Ok(1)
        }))
    }

    fn undo(&self, account: RealmId, before: &Past, after: &Past) -> realm::Result<InCommit> {
        let (before, after) = (kept(before, account)?, kept(after, account)?);
        Ok(Box::new(move |tx| {
            if before == after || kept(tx, account)? != after {
                return Ok(0);
            }
            write(tx, account, before);
            Ok(1)
        }))
    }
}

/// Display settings that were salvaged.
struct FoundDisplay {
    value: Option<Vec<u8>>,
    unreadable: bool,
}

impl Found for FoundDisplay {
    fn title(&self) -> String {
        "the display settings".to_owned()
    }

    fn is_empty(&self) -> bool {
        self.value.is_none() && !self.unreadable
    }

    fn unreadable(&self) -> Vec<Vec<String>> {
        if self.unreadable { vec![vec!["the display settings".to_owned()]] } else { Vec::new() }
    }

    fn passed_over(&self) -> Vec<String> {
        Vec::new()
    }

    fn merge(&self, into: &mut Merging<'_>) -> realm::Result<Merged> {
        let account = into.account;
        let missing =
            self.value.clone().filter(|_| kept(&into.store.snapshot(), account).is_ok_and(|now| now.is_none()));
        let Some(value) = missing else { return Ok(Merged { lines: Vec::new(), audit: None, is_all: true }) };
        if !into.preview {
            into.store
                .transact(move |tx: &mut Tx<'_>| {
                    write(tx, account, Some(value));
                    Ok::<_, StoreError>(())
                })
                .wait()?;
        }
        let line = "the display settings".to_owned();
        Ok(Merged { lines: vec![vec![line.clone()]], audit: Some(line), is_all: true })
    }
}
