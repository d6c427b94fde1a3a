//! Fetching from servers that this program plays itself: honest ones, and hostile ones.

mod fake_imap;
mod fake_pop3;
mod hostile;
mod moving;
mod pop3;
mod world;
