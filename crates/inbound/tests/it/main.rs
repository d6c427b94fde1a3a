//! The promises of the judges, through a delivery that asks them.

mod hooks;
mod silence;
