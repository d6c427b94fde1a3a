//! The whole door over real sockets: what each command answers, and what sessions see of each other.

mod access;
mod acknowledged;
mod append;
mod changes;
pub mod client;
mod contexts;
mod damaged;
mod extensions;
mod fetch;
mod limits;
mod login;
mod mailboxes;
mod metadata;
mod multisearch;
mod notify;
mod numbers;
mod recent;
mod resync;
mod search;
pub mod server;
mod sort;
