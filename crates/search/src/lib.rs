//! Finding messages: words, queries as people type them, and an index of each account that follows the log.
