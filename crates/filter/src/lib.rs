//! Judging mail: facts in, verdicts out. Knows no protocol, no queue and no store.
//!
//! [`sender`] says who really sent a message: SPF, DKIM, ARC, DMARC and the name of the client's address. Start reading at
//! [`sender::Examination`].
//!
//! It must never take trouble of the DNS for an answer: where nobody answered, a result is `temperror`.

pub mod sender;
