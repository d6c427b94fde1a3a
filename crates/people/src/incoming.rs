//! What was read from a file.

use std::borrow::Cow;

use bytes::Bytes;

use crate::Card;
use crate::image::left_out;

/// The most problems that are reported one by one.
pub const MAX_PROBLEMS: usize = 100;

/// The contents of a file.
#[derive(Clone, Debug, Default)]
pub struct Incoming {
    /// Contacts, checked.
    pub cards: Vec<IncomingCard>,
    /// Groups.
    pub groups: Vec<IncomingGroup>,
    /// Unreadable entries, at most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more_problems: usize,
}

/// A contact that was read.
#[derive(Clone, Debug)]
pub struct IncomingCard {
    /// The line where it starts, from 1.
    pub line: usize,
    /// What it says.
    pub card: Card,
    /// Names of the groups it is in.
    pub groups: Vec<String>,
    /// Bytes of its pictures.
    pub photos: Vec<Bytes>,
}

/// A group that was read.
#[derive(Clone, Debug)]
pub struct IncomingGroup {
    /// The line where it starts, from 1.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// UIDs of its members.
    pub members: Vec<String>,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, from 1.
    pub line: usize,
    /// What.
    pub what: String,
}

impl Incoming {
    pub(crate) fn problem(&mut self, line: usize, what: &str) {
        if self.problems.len() < MAX_PROBLEMS {
            let what = what.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
            self.problems.push(Problem { line, what });
        } else {
            self.more_problems += 1;
        }
    }

    /// Take a card if it is within the limits.
    pub(crate) fn take(&mut self, mut incoming: IncomingCard) {
        // What Google says of everyone.
        incoming.groups.retain(|name| !name.is_empty() && name != "myContacts" && name != "starred");
        let line = incoming.line;
        let (photos, refused) = incoming.card.lift_pictures();
        for error in refused {
            self.problem(line, &left_out(error));
        }
        incoming.photos.extend(photos);
        match incoming.card.checked() {
            Ok(card) => self.cards.push(IncomingCard { card, ..incoming }),
            Err(error) => self.problem(line, &format!("skipped: {error}")),
        }
    }
}

/// UTF-16 as UTF-8, by its byte order mark; without the mark.
pub(crate) fn utf8(file: &[u8]) -> Cow<'_, [u8]> {
    match file {
        [0xFF, 0xFE, rest @ ..] => {
            Cow::Owned(encoding_rs::UTF_16LE.decode_without_bom_handling(rest).0.into_owned().into_bytes())
        }
        [0xFE, 0xFF, rest @ ..] => {
            Cow::Owned(encoding_rs::UTF_16BE.decode_without_bom_handling(rest).0.into_owned().into_bytes())
        }
        [0xEF, 0xBB, 0xBF, rest @ ..] => Cow::Borrowed(rest),
        rest => Cow::Borrowed(rest),
    }
}
