//! The language through its public face.

mod limits;
mod oracle;
mod pigeonhole;
