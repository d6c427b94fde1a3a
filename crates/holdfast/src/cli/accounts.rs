//! `holdfast account`, `domain` and `audit`: accounts, domains and the audit trail.

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::config::ByteSize;

/// `holdfast account …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum AccountCommand {
    /// Create an account. Prompts for the password, or reads it from standard input.
    Add {
        /// The address, which is also the login name.
        address: String,
        /// The display name.
        #[arg(long, default_value = "")]
        name: String,
        /// Allow managing the service on the web.
        #[arg(long)]
        admin: bool,
        /// Storage limit, such as "5 GB"; "0 B" is unlimited. Default: limits.default_quota.
        #[arg(long)]
        quota: Option<ByteSize>,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List the accounts.
    List,
    /// Show one account: addresses, storage, app passwords, sessions.
    Show {
        /// The account's address.
        address: String,
    },
    /// List who signed in to an account, or tried to, in the last two weeks: by what, from where, when.
    SignIns {
        /// The account's address.
        address: String,
    },
    /// Look through an account for what keeps it from working: storage, mailboxes, rules, forwarding, sign-ins. Exits with 1 if
    /// something is wrong.
    Check {
        /// The account's address.
        address: String,
        /// Make mailboxes that are missing.
        #[arg(long)]
        mend: bool,
        /// Send a message from the account to itself, and say where it arrived.
        #[arg(long)]
        message: bool,
    },
    /// Change an account: name, storage limit, role; or sign out everywhere after a theft.
    Set(SetArgs),
    /// Set a new password. Ends all web sessions of the account.
    Passwd {
        /// The account's address.
        address: String,
        /// Its owner must choose a new password when they sign in on the web.
        #[arg(long)]
        must_change: bool,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Disable an account: logins are refused, mail still arrives.
    Disable {
        /// The account's address.
        address: String,
    },
    /// Enable a disabled account.
    Enable {
        /// The account's address.
        address: String,
    },
    /// Delete an account. Its addresses stop at once; its mail can be restored for the retention time.
    Delete {
        /// The account's address.
        address: String,
        /// Don't ask for confirmation.
        #[arg(long)]
        yes: bool,
    },
    /// Change the address an account logs in with. Mail, password, sessions and app passwords stay the same.
    Rename {
        /// The account's address.
        old: String,
        /// The new address.
        new: String,
        /// Stop receiving mail for the old address. Default: it becomes an alias.
        #[arg(long)]
        drop_old: bool,
    },
    /// Manage the accounts elsewhere that mail is fetched from, by IMAP or POP3.
    #[command(subcommand)]
    Fetch(super::fetch::FetchCommand),
    /// Show what an account has sent to other servers and what it may send, or change its limits.
    Limits(LimitsArgs),
    /// Stop an account's sending, for example after its password was stolen. What it has waiting is put on hold; mail to it
    /// still arrives.
    StopSending {
        /// The account's address.
        address: String,
        /// Why; its owner reads it.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let an account send again whose sending was stopped, and release what was put on hold then.
    AllowSending {
        /// The account's address.
        address: String,
    },
    /// List the masked addresses of an account, make one, or block, unblock or delete one.
    Masks(MasksArgs),
    /// Add or remove an alias: another address of an account.
    Alias {
        /// The account's address.
        address: String,
        /// The alias; `@example.org` catches mail to all other addresses in the domain.
        alias: String,
        /// Remove the alias instead.
        #[arg(long)]
        remove: bool,
    },
}

/// `holdfast account set …`
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct SetArgs {
    /// The account's address.
    pub address: String,
    /// The display name.
    #[arg(long)]
    pub name: Option<String>,
    /// Storage limit, such as "5 GB"; "0 B" is unlimited.
    #[arg(long)]
    pub quota: Option<ByteSize>,
    /// Whether the account may manage the service on the web.
    #[arg(long, value_enum)]
    pub role: Option<AccountRole>,
    /// Whether relays may take mail that this account sends with an app password while this server is away.
    #[arg(long, value_name = "on|off", value_enum)]
    pub sends_by_relay: Option<Switch>,
    /// Turn off two-step sign-in: for someone who lost the device.
    #[arg(long)]
    pub totp_off: bool,
    /// Sign out everywhere: end all web sessions, revoke all app passwords and remove all passkeys, for example after a theft.
    /// Also set a new password.
    #[arg(long)]
    pub shut_out: bool,
}

/// `holdfast account masks …`
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct MasksArgs {
    /// The account's address.
    pub address: String,
    /// Make one, for this site or purpose.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["block", "unblock", "delete"])]
    pub create: Option<String>,
    /// Have mail to this one refused.
    #[arg(long, value_name = "MASK", conflicts_with_all = ["unblock", "delete"])]
    pub block: Option<String>,
    /// Let mail to this one come again.
    #[arg(long, value_name = "MASK", conflicts_with = "delete")]
    pub unblock: Option<String>,
    /// Delete this one for good: nobody ever gets it again.
    #[arg(long, value_name = "MASK")]
    pub delete: Option<String>,
}

/// `holdfast account limits …`
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct LimitsArgs {
    /// The account's address.
    pub address: String,
    /// Messages within an hour; 0 is unlimited.
    #[arg(long, value_name = "N")]
    pub messages_per_hour: Option<u32>,
    /// Messages within a day.
    #[arg(long, value_name = "N")]
    pub messages_per_day: Option<u32>,
    /// Recipients within an hour.
    #[arg(long, value_name = "N")]
    pub recipients_per_hour: Option<u32>,
    /// Recipients within a day.
    #[arg(long, value_name = "N")]
    pub recipients_per_day: Option<u32>,
    /// Recipients within an hour whom the account has never written to.
    #[arg(long, value_name = "N")]
    pub new_per_hour: Option<u32>,
    /// The same within a day.
    #[arg(long, value_name = "N")]
    pub new_per_day: Option<u32>,
    /// Remove the account's own limits: those of the configuration apply again.
    #[arg(long, conflicts_with_all = [
        "messages_per_hour", "messages_per_day", "recipients_per_hour", "recipients_per_day", "new_per_hour", "new_per_day",
    ])]
    pub default: bool,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Switch {
    /// Allowed.
    On,
    /// Not allowed.
    Off,
}

impl Switch {
    /// Whether it is on.
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum AccountRole {
    /// Has a mailbox.
    User,
    /// Can also manage the service on the web.
    Admin,
}

/// Where a password comes from: never from the command line, which other users can see.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct PasswordArgs {
    /// Read the password from standard input (its first line).
    #[arg(long)]
    pub password_stdin: bool,
    /// Generate a password and print it.
    #[arg(long, conflicts_with = "password_stdin")]
    pub generate: bool,
    /// The password once it is known.
    #[arg(skip)]
    pub password: String,
}

/// `holdfast domain …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum DomainCommand {
    /// Start receiving mail for a domain: creates its DKIM keys and prints the DNS records to set.
    Add {
        /// The domain.
        name: String,
    },
    /// Make new DKIM keys for a domain, under new selectors, and print the DNS records to set. Mail is signed with them as soon as
    /// the service sees the new records.
    NewKeys {
        /// The domain.
        name: String,
        /// Sign with them at once, and forget the present keys: if those were stolen.
        #[arg(long)]
        now: bool,
    },
    /// List the domains.
    List,
    /// Stop receiving mail for a domain. No account may still have an address in it.
    Remove {
        /// The domain.
        name: String,
    },
    /// Look up the DNS records of a domain, or of all domains, and say what is wrong and what to set. Exits with 1 if there are
    /// problems, or if the DNS did not answer.
    Check {
        /// The domain. Default: all.
        name: Option<String>,
    },
    /// Set the TLS policy that other servers get for a domain (MTA-STS): begin with testing, and enforce it once the check is good.
    MtaSts {
        /// The domain.
        name: String,
        /// The mode.
        #[arg(value_enum)]
        mode: StsMode,
    },
    /// Show, or set, which addresses with a detail a domain has.
    Addressing {
        /// The domain.
        name: String,
        /// Whether mail to `user+detail@domain` goes to `user@domain`. Default: on.
        #[arg(long, value_name = "on|off", value_enum)]
        plus: Option<Switch>,
        /// Whether mail to `detail@user.domain` goes to `user@domain`; its MX records must be set too. Default: off.
        #[arg(long, value_name = "on|off", value_enum)]
        subdomains: Option<Switch>,
    },
    /// Show who sends mail in a domain's name, and who could not deliver to it safely, by the reports of other servers.
    Reports {
        /// The domain.
        name: String,
        /// The last so many days: up to 90.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=90))]
        days: u32,
    },
    /// Show the DNS records to set for a domain, as a piece of a BIND zone file.
    Show {
        /// The domain.
        name: String,
    },
}

/// What other servers do where TLS to this service fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum StsMode {
    /// They deliver all the same, and report it.
    Testing,
    /// They don't deliver.
    Enforce,
    /// There is no policy.
    None,
}

/// `holdfast audit …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct AuditArgs {
    /// Only what was done to this account, which may be a deleted one. Default: everything in the service's audit trail.
    pub address: Option<String>,
    /// Only from this time on: "2026-11-23 18:00", "2026-11-23T17:00:00Z" or "2 h ago".
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only before this time.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only by an actor whose name contains this: an administrator's address, "command line" or "service".
    #[arg(long, value_name = "TEXT")]
    pub by: Option<String>,
    /// Only entries that contain this, in upper or lower case.
    #[arg(long, value_name = "TEXT")]
    pub what: Option<String>,
    /// The highest number of entries to print.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
}

/// `holdfast reports …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum ReportsCommand {
    /// Send the DMARC reports of the days that are over, as the service does once a day.
    Send {
        /// Also report what has come today so far.
        #[arg(long)]
        now: bool,
    },
}
