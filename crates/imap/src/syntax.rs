//! The grammar of commands (RFC 9051 section 9, RFC 3501 and the supported extensions).
//!
//! Three layers, none of which does I/O:
//! [`Frame`] collects the bytes of one command and stops at every literal header, so that the connection decides
//! whether to accept, stream or refuse it; [`Cursor`] reads tokens; [`parse`] turns a complete frame into a [`Command`].

mod command;
mod cursor;
mod frame;
mod parse;
mod set;

pub use command::*;
pub(crate) use cursor::is_astring_char;
pub use cursor::{Cursor, SyntaxError};
pub use frame::{Frame, FrameError, LiteralHeader, Progress, tag_of};
pub use parse::{ParseError, ParseErrorKind, append_head, append_next, is_catenate, is_set_metadata, parse, section};
pub use set::{MessageSet, Ranges, SeqRange};

/// Most open parentheses, and most levels of a search program (`NOT`, `OR`, lists) after chains are flattened.
pub const MAX_DEPTH: usize = 50;
/// Most search keys in one SEARCH.
pub const MAX_SEARCH_KEYS: usize = 2_000;
/// Most data items in one FETCH, and most items of any other parenthesised list.
pub const MAX_LIST_ITEMS: usize = 500;
/// Most parts in a section number such as `1.2.3`.
pub const MAX_SECTION_DEPTH: usize = 64;
/// Most pairs in an ID command (RFC 2971 section 3.3).
pub const MAX_ID_PAIRS: usize = 30;
/// Most groups of events in one NOTIFY.
pub const MAX_NOTIFY_GROUPS: usize = 50;
/// Longest tag, in bytes.
pub const MAX_TAG: usize = 128;
