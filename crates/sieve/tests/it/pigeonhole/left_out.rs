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

/// Single tests by the reason: file and name.
pub const TESTS: &[(&str, &[(&str, &str)])] = &[
    (
        "counts the messages of Pigeonhole's own checker; ours finds the errors, but counts them otherwise",
        &[
            ("compile/errors.svtest", "Parser errors (FIXME: count only)"),
            ("compile/errors.svtest", "Header errors"),
            ("compile/errors.svtest", "Address errors"),
            ("compile/errors.svtest", "Stop errors (FIXME: count only)"),
            ("compile/errors.svtest", "Fileinto errors (FIXME: count only)"),
            ("compile/errors.svtest", "COMPARATOR errors (FIXME: count only)"),
            ("compile/errors.svtest", "Outgoing address errors (FIXME: count only)"),
            ("compile/errors.svtest", "Tagged argument errors (FIXME: count only)"),
            ("compile/errors.svtest", "Unsupported language features (FIXME: count only)"),
            ("extensions/body/errors.svtest", "Invalid Syntax"),
            ("extensions/duplicate/errors.svtest", "Invalid Syntax"),
            ("extensions/duplicate/errors.svtest", "Invalid Syntax (vnd)"),
            ("extensions/index/errors.svtest", "Invalid Syntax"),
            ("extensions/metadata/errors.svtest", "Invalid Syntax"),
            ("extensions/mime/errors.svtest", "Header test with :mime tag"),
            ("extensions/mime/errors.svtest", "Address test with :mime tag"),
            ("extensions/mime/errors.svtest", "Exists test with :mime tag"),
            ("extensions/mime/errors.svtest", "Extracttext"),
            ("extensions/regex/errors.svtest", "Runtime errors"),
            ("extensions/relational/errors.svtest", "Syntax errors"),
            ("extensions/special-use/errors.svtest", "Invalid Syntax"),
            ("extensions/variables/errors.svtest", "Limits (FIXME: count only)"),
        ],
    ),
    (
        "asks for the wording of Pigeonhole's message",
        &[
            ("execute/errors.svtest", "Action limit"),
            ("execute/errors.svtest", "Redirect limit"),
            ("execute/errors.svtest", "Fileinto invalid folder name"),
            ("execute/errors.svtest", "Fileinto bad UTF-8 in folder name"),
            ("extensions/editheader/errors.svtest", "Invalid field-name"),
            ("extensions/editheader/errors.svtest", "Invalid field-name at runtime "),
            ("extensions/editheader/errors.svtest", "Invalid field value"),
        ],
    ),
    (
        "tests what redirect sends; that is done outside this crate",
        &[
            ("execute/smtp.svtest", "Redirect"),
            ("execute/smtp.svtest", "Redirect from <>"),
            ("execute/smtp.svtest", "Redirect from [recipient]"),
            ("execute/smtp.svtest", "Redirect from [original recipient]"),
            ("execute/smtp.svtest", "Redirect from [<explicit>]"),
            ("execute/smtp.svtest", "Redirect from [<>]"),
            ("execute/smtp.svtest", "Redirect from <> with [<explicit>]"),
            ("execute/smtp.svtest", "Redirect from [user email - fallback default]"),
            ("execute/smtp.svtest", "Redirect from [user email]"),
            ("execute/smtp.svtest", "Redirect mail loop (sieve_user_email)"),
            ("execute/smtp.svtest", "Redirect mail loop (final recipient)"),
        ],
    ),
    (
        "wants a part whose MIME fields are broken to have no text; here what can be read is looked at",
        &[("extensions/body/text.svtest", "Double Slash"), ("extensions/body/text.svtest", "Nested Search")],
    ),
    (
        "requires an extension of Pigeonhole's own",
        &[
            ("extensions/duplicate/execute-vnd.svtest", "Run"),
            ("extensions/mailbox/errors.svtest", "Invalid Syntax"),
            ("extensions/mailbox/errors.svtest", "Mailboxexists - bad UTF-8 in mailbox name"),
        ],
    ),
    (
        "wants control characters to be kept in fields; here they are left out",
        &[("extensions/editheader/addheader.svtest", "Addheader - devious characters")],
    ),
    (
        "has other limits",
        &[
            ("extensions/editheader/errors.svtest", "Size limit"),
            ("extensions/editheader/errors.svtest", "Size limit at runtime"),
            ("extensions/enotify/encodeurl.svtest", ":encodeurl variable size limit"),
            ("extensions/enotify/encodeurl.svtest", ":encodeurl variable size limit UTF-8"),
            ("extensions/variables/limits.svtest", "Variable size limit"),
            ("extensions/variables/limits.svtest", ":quotewildcard variable size limit"),
        ],
    ),
    (
        "runs several scripts one after another over one result; here one script is active",
        &[
            ("extensions/editheader/execute.svtest", "Multi script"),
            ("extensions/imap4flags/multiscript.svtest", "Internal Flags"),
            ("multiscript/basic.svtest", "Append"),
            ("multiscript/basic.svtest", "Sequential Execute"),
            ("multiscript/conflicts.svtest", "Graceful Conflicts"),
            ("multiscript/conflicts.svtest", "Duplicates"),
        ],
    ),
    (
        "sets a setting of Pigeonhole that there is not here",
        &[
            ("extensions/editheader/protected.svtest", "Configured protected"),
            ("extensions/editheader/protected.svtest", "Configured forbid_add/forbid_delete"),
            ("extensions/editheader/protected.svtest", "Bad header configuration"),
            ("extensions/enotify/mailto.svtest", "Envelope config - sender"),
            ("extensions/enotify/mailto.svtest", "Envelope config - recipient"),
            ("extensions/enotify/mailto.svtest", "Envelope config - user_email"),
            ("extensions/vacation/message.svtest", "Subject - configured, no subject"),
            ("extensions/vacation/message.svtest", "Subject - configured"),
            ("extensions/vacation/message.svtest", "Subject - configured, full variable"),
            ("extensions/vacation/message.svtest", "Limited long subject"),
            ("extensions/vacation/message.svtest", "Send from recipient"),
            ("extensions/vacation/reply.svtest", "Reply for original recipient"),
            ("extensions/vacation/reply.svtest", "Reply for user's explicitly configured email address"),
        ],
    ),
    (
        "compares strings by i;octet; RFC 5228 section 2.7.3 says i;ascii-casemap where nothing is said",
        &[
            ("extensions/encoded-character.svtest", "HEX equality one"),
            ("extensions/encoded-character.svtest", "HEX equality one middle"),
            ("extensions/variables/basic.svtest", "Basic assignment"),
            ("extensions/variables/modifiers.svtest", "Modifiers :lower :upperfirst"),
            ("extensions/variables/modifiers.svtest", "Modifiers :upperfirst :lower"),
            ("extensions/variables/modifiers.svtest", "Modifiers :upper :lowerfirst"),
            ("extensions/variables/modifiers.svtest", "Modifiers :lowerfirst :upper"),
        ],
    ),
    (
        "takes notifications to the same addresses together",
        &[("extensions/enotify/execute.svtest", "Duplicate recipients")],
    ),
    (
        "tests the envelope of a notification and a name beside its address; that is done outside this crate",
        &[
            ("extensions/enotify/mailto.svtest", "Envelope"),
            ("extensions/enotify/mailto.svtest", "Envelope :from"),
            ("extensions/enotify/mailto.svtest", "UTF-8 address"),
        ],
    ),
    (
        "sets paths of SMTP with their syntax; here the door has read them before",
        &[
            ("extensions/envelope.svtest", "Envelope - invalid paths"),
            ("extensions/envelope.svtest", "Envelope - syntax errors"),
            ("extensions/envelope.svtest", "Envelope - source route"),
            ("extensions/envelope.svtest", "Envelope - source route errors"),
        ],
    ),
    (
        "stores into a mailbox that the adapter does not have",
        &[("extensions/imap4flags/execute.svtest", "Flags Side Effect")],
    ),
    (
        "wants included scripts to be looked at when a script is checked; here they are when it runs, as RFC 6609 section 3.2 allows",
        &[
            ("extensions/include/errors.svtest", "Generic"),
            ("extensions/include/errors.svtest", "Circular - direct"),
            ("extensions/include/errors.svtest", "Circular - one intermittent"),
            ("extensions/include/errors.svtest", "Circular - two intermittent"),
            ("extensions/include/errors.svtest", "Invalid Script Names"),
            ("extensions/include/errors.svtest", "Include limit"),
            ("extensions/include/errors.svtest", "Depth limit"),
        ],
    ),
    (
        "wants the capability extracttext alone to be an error; here the command is",
        &[("extensions/mime/errors.svtest", "Extracttext - without foreverypart")],
    ),
    (
        "asks for the text of Pigeonhole's subjects",
        &[
            ("extensions/vacation/message.svtest", "Extremely long subject"),
            ("extensions/vacation/message.svtest", "Extremely long japanese subject"),
        ],
    ),
    (
        "answers the Reply-To or Sender field; RFC 5230 section 4.2 says the return path",
        &[
            ("extensions/vacation/message.svtest", "Reply to"),
            ("extensions/vacation/message.svtest", "Reply to sender"),
            ("extensions/vacation/message.svtest", "Reply to (ignored envelope)"),
        ],
    ),
    (
        "is there to fail: it reads messages that are not there, so that only a crash would be a fault",
        &[
            ("failures/fuzz1.svtest", "Flag changes between stores"),
            ("failures/fuzz2.svtest", "sometest"),
            ("failures/fuzz3.svtest", ""),
            ("failures/mailbox-bad-utf8.svtest", "Mailbox parameter with bad UTF-8"),
        ],
    ),
    ("takes an address in UTF-8 for invalid; RFC 6532 allows it", &[("test-address.svtest", "Invalid addresses")]),
];
