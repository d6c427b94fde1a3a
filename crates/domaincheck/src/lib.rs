//! The DNS records of hosted domains: which this service wants, what the DNS has, what is wrong and what to paste.
//!
//! [`wanted`] lists the records. `judge` compares: it is a pure function over [`Answers`], and where one is missing it notes the
//! question. [`ask`] puts the questions to the domain's own name servers, or to a resolver, until none is left. [`Checks`] does that for all domains, keeps the last
//! report of each, and tells `directory` which DKIM records are there, which is what new keys wait for.
//!
//! What this crate must never do: call a record missing because the DNS did not answer; follow answers without end (named limits
//! in [`answers`] and [`spf`]).
//!
//! Start reading at [`Checks::check`]; what is said about a kind of record is in the file of `judge` with its name.

pub mod answers;
pub mod ask;
mod case;
mod checks;
mod judge;
mod policy;
mod report;
mod service;
mod sources;
pub mod spf;
pub mod wanted;
mod zone;
mod zone_asker;

pub use answers::{Answers, ServedPolicy, UnreadPolicy};
pub use checks::Checks;
pub use judge::{DKIM_VANISHED, judge};
pub use policy::Policy;
pub use report::{Fault, Item, Report, State};
pub use service::{Certificate, MailService, Service};
pub use sources::{Policies, Sources};
pub use wanted::{Need, Record, Wanted, wanted};
pub use zone::zone;
