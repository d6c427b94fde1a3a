//! Spam: how messages are judged, and what accounts taught.
//!
//! A judgement is a [`Score`]: named reasons with points that add up to it exactly. Some are what was learned of similar
//! messages ([`bayes`] over the [`features()`] of the message, [`Wording`] over its [`Grams`]) and of where they came
//! from ([`Reputation`]); the others follow from [`Facts`] about the message and its sender ([`reasons`]). What an
//! account learned, and how it wants to be served, lies in its realm ([`Spam`]). Start reading at [`judge()`].

mod base;
pub mod bayes;
mod counts;
mod features;
mod files;
mod grams;
mod html;
mod judge;
mod kind;
mod learned;
mod lists;
mod lookalike;
mod model;
mod part;
mod reasons;
mod reputation;
mod schema;
mod score;
mod settings;
mod texts;
mod wording;
mod words;

pub use counts::{Counts, Totals};
pub use features::{Features, MAX_FEATURES, features};
pub use files::{MAX_FILES, dangerous};
pub use grams::Grams;
pub use judge::{Judgement, Known, judge};
pub use kind::{By, Kind};
pub use learned::{Base, Before, Learned, Marks, Spam, SpamError, Taught};
pub use lists::{Entry, MAX_ENTRIES, NotASender, Pattern};
pub use lookalike::{same_looks, skeleton};
pub use model::Model;
pub use part::SpamPart;
pub use reasons::{Facts, Sender};
pub use reputation::{Origin, Reputation};
pub use score::{FIELD, Points, Reason, Score};
pub use settings::{EMPTIED_AFTER_DAYS, Level, MAX_EMPTIED_AFTER_DAYS, NoSuchLevel, Settings};
pub use wording::Wording;
