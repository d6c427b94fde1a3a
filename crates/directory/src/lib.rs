//! Accounts, addresses, domains, credentials, roles, sessions, audit.
