//! Judging mail.
