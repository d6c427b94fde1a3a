//! Judging mail: facts in, verdicts out. Knows no protocol and no queue.
//!
//! [`sender`] says who really sent a message: SPF, DKIM, ARC, DMARC and the name of the client's address. Start reading at
//! [`sender::Examination`]. [`spam`] tells wanted mail from unwanted, and keeps what accounts taught; start at
//! [`spam::judge()`]. Messages are written by strangers, so all work on them is linear and has named limits.
//!
//! It must never take trouble of the DNS for an answer: where nobody answered, a result is `temperror`.

pub mod sender;
pub mod spam;
