//! The promises of reports: what is read of strangers' files, what is kept, and what is written.

mod kept;
mod reading;
