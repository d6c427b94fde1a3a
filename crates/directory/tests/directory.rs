//! What the rest can rely on from the directory.

#[path = "directory/access.rs"]
mod access;
#[path = "directory/accounts.rs"]
mod accounts;
#[path = "directory/history.rs"]
mod history;
#[path = "directory/invariants.rs"]
mod invariants;
#[path = "directory/lockout.rs"]
mod lockout;
#[path = "directory/logins.rs"]
mod logins;
#[path = "directory/masks.rs"]
mod masks;
#[path = "directory/passkeys.rs"]
mod passkeys;
#[path = "directory/relays.rs"]
mod relays;
#[path = "directory/secrets.rs"]
mod secrets;
#[path = "directory/sessions.rs"]
mod sessions;
#[path = "directory/trail.rs"]
mod trail;
#[path = "directory/world.rs"]
mod world;
