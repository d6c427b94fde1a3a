//! Mailboxes, messages, threads, flags, search.
