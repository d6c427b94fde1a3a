//! What is left out, each with its reason.

/// Files and folders.
pub const FILES: &[(&str, &str)] = &[
    ("deprecated/", "the drafts notify and imapflags, which enotify and imap4flags have replaced, are not claimed"),
    ("plugins/", "extprograms runs programs of the machine: not claimed"),
    ("extensions/vnd.dovecot/", "Pigeonhole's own extensions: not claimed"),
    (
        "extensions/spamvirustest/",
        "tests settings by which Pigeonhole reads scores from headers; ours come from the filter",
    ),
];

/// Single tests: file, test, reason.
pub const TESTS: &[(&str, &str, &str)] = &[];
