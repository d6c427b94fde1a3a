//! The whole door over real sockets: what each command answers, and what sessions see of each other.

#[path = "service/access.rs"]
mod access;
#[path = "service/acknowledged.rs"]
mod acknowledged;
#[path = "service/append.rs"]
mod append;
#[path = "service/changes.rs"]
mod changes;
#[path = "service/client.rs"]
mod client;
#[path = "service/damaged.rs"]
mod damaged;
#[path = "service/extensions.rs"]
mod extensions;
#[path = "service/fetch.rs"]
mod fetch;
#[path = "service/limits.rs"]
mod limits;
#[path = "service/login.rs"]
mod login;
#[path = "service/mailboxes.rs"]
mod mailboxes;
#[path = "service/metadata.rs"]
mod metadata;
#[path = "service/multisearch.rs"]
mod multisearch;
#[path = "service/notify.rs"]
mod notify;
#[path = "service/numbers.rs"]
mod numbers;
#[path = "service/recent.rs"]
mod recent;
#[path = "service/resync.rs"]
mod resync;
#[path = "service/search.rs"]
mod search;
#[path = "service/server.rs"]
mod server;
#[path = "service/sort.rs"]
mod sort;
