//! Who gets the mail.

/// Accounts that get the backlog.
pub const ACCOUNTS: usize = 50;
/// Accounts that get new mail while it drains, each with a client that waits for it.
pub const FRESH: usize = 4;
/// Of all accounts.
pub const PASSWORD: &str = "bench-password";

/// The address of an account.
pub fn account(number: usize) -> String {
    format!("a{number}@drain.example")
}

/// The address of an account that gets new mail while the backlog drains.
pub fn fresh(number: usize) -> String {
    format!("fresh{number}@drain.example")
}
