//! `holdfast account`, `domain` and `audit`: who has mail here, and who did what.

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::config::ByteSize;

/// `holdfast account …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum AccountCommand {
    /// Make an account. The password is asked for, or read from standard input.
    Add {
        /// The address, which is also the login name.
        address: String,
        /// The name people see.
        #[arg(long, default_value = "")]
        name: String,
        /// May manage the service by the web.
        #[arg(long)]
        admin: bool,
        /// Space, such as "5 GiB"; "0 B" is unlimited. Default: limits.default_quota.
        #[arg(long)]
        quota: Option<ByteSize>,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List the accounts.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Everything about one account: addresses, space, app passwords, sessions.
    Show {
        /// The account's address.
        address: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Change an account: name, space, role; or shut out who got hold of it.
    Set(SetArgs),
    /// Set a new password. All of the account's web sessions end.
    Passwd {
        /// The account's address.
        address: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Refuse logins; mail still comes in.
    Disable {
        /// The account's address.
        address: String,
    },
    /// Let a disabled account log in again.
    Enable {
        /// The account's address.
        address: String,
    },
    /// Delete an account: its addresses stop at once; its mail stays restorable for the retention time.
    Delete {
        /// The account's address.
        address: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Give an account another address to log in with. Its mail, password, sessions and app passwords stay.
    Rename {
        /// The account's address.
        old: String,
        /// Its address from now on.
        new: String,
        /// Take no more mail for the old address. Default: it stays an alias.
        #[arg(long)]
        drop_old: bool,
    },
    /// Add another address to an account.
    Alias {
        /// The account's address.
        address: String,
        /// The new address; `@example.org` takes all mail of the domain that has no address of its own.
        alias: String,
        /// Take it away instead.
        #[arg(long)]
        remove: bool,
    },
}

/// `holdfast account set …`
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct SetArgs {
    /// The account's address.
    pub address: String,
    /// The name people see.
    #[arg(long)]
    pub name: Option<String>,
    /// Space, such as "5 GiB"; "0 B" is unlimited.
    #[arg(long)]
    pub quota: Option<ByteSize>,
    /// Whether it may manage the service by the web.
    #[arg(long, value_enum)]
    pub role: Option<AccountRole>,
    /// Sign in without the second factor from now on: for who has lost it.
    #[arg(long)]
    pub totp_off: bool,
    /// End all web sessions and revoke all app passwords: for an account that somebody else got hold of. Set a new
    /// password too.
    #[arg(long)]
    pub shut_out: bool,
}

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum AccountRole {
    /// Mail of its own.
    User,
    /// Manage the service by the web too.
    Admin,
}

/// Where a password comes from: never from the command line itself, which other users can read.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct PasswordArgs {
    /// Read the password from standard input (its first line).
    #[arg(long)]
    pub password_stdin: bool,
    /// Make a password and print it.
    #[arg(long, conflicts_with = "password_stdin")]
    pub generate: bool,
    /// The password once it is known.
    #[arg(skip)]
    pub password: String,
}

/// `holdfast domain …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum DomainCommand {
    /// Receive mail for a domain: makes its DKIM keys and prints the DNS records to set.
    Add {
        /// The domain.
        name: String,
    },
    /// List the domains.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Receive mail for a domain no more. No account may have an address in it any more.
    Remove {
        /// The domain.
        name: String,
    },
    /// Print the DNS records of a domain again.
    Show {
        /// The domain.
        name: String,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// `holdfast audit …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct AuditArgs {
    /// The account. Default: the service's own trail.
    pub address: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}
