//! All integration tests of the crate, as one program: linking is most of what a test program costs.

mod attacks;
mod cleaning;
mod dkim;
mod documents;
mod html_text;
mod reading;
mod structure;
