//! A complete mail service in one binary: see `README.md` for what it does and `ARCHITECTURE.md` for how.
//!
//! This crate is the command line, the configuration and the wiring; it holds no mail logic. Start reading at
//! [`cli`] for what can be typed and at [`serve`] for what runs.

mod config;

fn main() {
    let _ = config::Config::load(None);
}
