//! The Sieve language (RFC 5228): scripts are parsed, checked and run over a message. Knows no mailbox and no queue.
