//! The language through its public face.

mod limits;
mod pigeonhole;
