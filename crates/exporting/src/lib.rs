//! Everything of an account as one ZIP that people can read without us: messages as files, contacts as vCard, rules as Sieve, options
//! as JSON.
//!
//! [`Exporter::write`] writes it as a stream, one message in memory at a time; of a mailbox its list of messages, of the whole the
//! list of files is held until the end, as a ZIP has that there.
//!
//! What this crate must never do: write a password or a key; leave a message out without telling it in the ZIP.
//!
//! Start reading at [`Exporter`]; `zip` is the format.

mod name;
mod pack;
mod zip;

pub use pack::{ExportError, Exported, Exporter};
pub use zip::ZipWriter;
