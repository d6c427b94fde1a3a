//! The promises of the judges, through a delivery that asks them.

mod greylist;
mod hooks;
mod silence;
