//! The table of words.

use super::{Kind, Optional, Spec, TagSpec, Tests, Word, flag, tag};

const FILING: [TagSpec; 4] = [
    tag("flags", Kind::List, "imap4flags", 0),
    flag("create", "mailbox", 0),
    tag("specialuse", Kind::Text, "special-use", 0),
    tag("mailboxid", Kind::Text, "mailboxid", 0),
];
const KEYS: (&str, Kind) = ("key list", Kind::List);
const NAMES: (&str, Kind) = ("header names", Kind::List);
const REASON: (&str, Kind) = ("reason", Kind::Text);
const FLAGS: &[(&str, Kind)] = &[("variable name", Kind::Text), ("list of flags", Kind::List)];
const MODIFIERS: &[TagSpec] = &[
    flag("lower", "", 40),
    flag("upper", "", 40),
    flag("lowerfirst", "", 30),
    flag("upperfirst", "", 30),
    flag("quotewildcard", "", 20),
    flag("quoteregex", "regex", 20),
    flag("encodeurl", "enotify", 15),
    flag("length", "", 10),
];
const EXTRACT: &[TagSpec] = &[
    tag("first", Kind::Number, "", 0),
    MODIFIERS[0],
    MODIFIERS[1],
    MODIFIERS[2],
    MODIFIERS[3],
    MODIFIERS[4],
    MODIFIERS[5],
    MODIFIERS[6],
    MODIFIERS[7],
];

/// Every word.
pub(crate) static WORDS: &[Spec] = &[
    Spec::command(Word::Require, "require", &[]).places(&[("capabilities", Kind::List)]),
    Spec::command(Word::If, "if", &[]).tests(Tests::One).block(),
    Spec::command(Word::Elsif, "elsif", &[]).tests(Tests::One).block(),
    Spec::command(Word::Else, "else", &[]).block(),
    Spec::command(Word::Stop, "stop", &[]),
    Spec::command(Word::Keep, "keep", &[]).tags(&[FILING[0]]),
    Spec::command(Word::Discard, "discard", &[]),
    Spec::command(Word::Redirect, "redirect", &[])
        .tags(&[flag("copy", "copy", 0), flag("list", "extlists", 0)])
        .places(&[("address", Kind::Text)]),
    Spec::command(Word::FileInto, "fileinto", &["fileinto"])
        .tags(&[flag("copy", "copy", 0), FILING[0], FILING[1], FILING[2], FILING[3]])
        .places(&[("mailbox", Kind::Text)]),
    Spec::command(Word::Reject, "reject", &["reject"]).places(&[REASON]),
    Spec::command(Word::Ereject, "ereject", &["ereject"]).places(&[REASON]),
    Spec::command(Word::Set, "set", &["variables"])
        .tags(MODIFIERS)
        .places(&[("variable name", Kind::Text), ("value", Kind::Text)]),
    Spec::command(Word::SetFlag, "setflag", &["imap4flags"]).places(FLAGS).optional(Optional::First),
    Spec::command(Word::AddFlag, "addflag", &["imap4flags"]).places(FLAGS).optional(Optional::First),
    Spec::command(Word::RemoveFlag, "removeflag", &["imap4flags"]).places(FLAGS).optional(Optional::First),
    Spec::command(Word::Include, "include", &["include"])
        .tags(&[flag("personal", "", 1), flag("global", "", 1), flag("once", "", 0), flag("optional", "", 0)])
        .places(&[("name of a script", Kind::Text)]),
    Spec::command(Word::Return, "return", &["include"]),
    Spec::command(Word::Global, "global", &["include"]).places(&[("variable names", Kind::List)]),
    Spec::command(Word::Error, "error", &["ihave"]).places(&[("message", Kind::Text)]),
    Spec::command(Word::Vacation, "vacation", &["vacation", "vacation-seconds"])
        .tags(&[
            tag("days", Kind::Number, "", 1),
            tag("seconds", Kind::Number, "vacation-seconds", 1),
            tag("subject", Kind::Text, "", 0),
            tag("from", Kind::Text, "", 0),
            tag("addresses", Kind::List, "", 0),
            flag("mime", "", 0),
            tag("handle", Kind::Text, "", 0),
            tag("fcc", Kind::Text, "fcc", 0),
            FILING[0],
            FILING[1],
            FILING[2],
            FILING[3],
        ])
        .places(&[REASON]),
    Spec::command(Word::Notify, "notify", &["enotify"])
        .tags(&[
            tag("from", Kind::Text, "", 0),
            tag("importance", Kind::Text, "", 0),
            tag("options", Kind::List, "", 0),
            tag("message", Kind::Text, "", 0),
            tag("fcc", Kind::Text, "fcc", 0),
            FILING[0],
            FILING[1],
            FILING[2],
            FILING[3],
        ])
        .places(&[("method", Kind::Text)]),
    Spec::command(Word::Snooze, "snooze", &["vnd.cyrus.snooze"])
        .tags(&[
            tag("mailbox", Kind::Text, "", 0),
            tag("addflags", Kind::List, "imap4flags", 0),
            tag("removeflags", Kind::List, "imap4flags", 0),
            tag("weekdays", Kind::List, "", 0),
            tag("tzid", Kind::Text, "", 0),
        ])
        .places(&[("times", Kind::List)]),
    Spec::command(Word::AddHeader, "addheader", &["editheader"])
        .tags(&[flag("last", "", 0)])
        .places(&[("field name", Kind::Text), ("value", Kind::Text)]),
    Spec::command(Word::DeleteHeader, "deleteheader", &["editheader"])
        .tags(&[tag("index", Kind::Number, "", 0), flag("last", "", 0)])
        .places(&[("field name", Kind::Text), ("value patterns", Kind::List)])
        .optional(Optional::Last)
        .matching(),
    Spec::command(Word::ForEveryPart, "foreverypart", &["foreverypart"])
        .tags(&[tag("name", Kind::Text, "", 0)])
        .block(),
    Spec::command(Word::Break, "break", &["foreverypart"]).tags(&[tag("name", Kind::Text, "", 0)]),
    Spec::command(Word::Replace, "replace", &["replace"])
        .tags(&[flag("mime", "", 0), tag("subject", Kind::Text, "", 0), tag("from", Kind::Text, "", 0)])
        .places(&[("replacement", Kind::Text)]),
    Spec::command(Word::Enclose, "enclose", &["enclose"])
        .tags(&[tag("subject", Kind::Text, "", 0), tag("headers", Kind::List, "", 0)])
        .places(&[("text", Kind::Text)]),
    Spec::command(Word::ExtractText, "extracttext", &["extracttext"])
        .tags(EXTRACT)
        .places(&[("variable name", Kind::Text)]),
    Spec::test(Word::Address, "address", &[]).matching().part().fields().places(&[("header list", Kind::List), KEYS]),
    Spec::test(Word::Header, "header", &[]).matching().fields().places(&[NAMES, KEYS]),
    Spec::test(Word::Exists, "exists", &[]).fields().places(&[NAMES]),
    Spec::test(Word::Size, "size", &[])
        .tags(&[flag("over", "", 1), flag("under", "", 1)])
        .places(&[("limit", Kind::Number)]),
    Spec::test(Word::True, "true", &[]),
    Spec::test(Word::False, "false", &[]),
    Spec::test(Word::Not, "not", &[]).tests(Tests::One),
    Spec::test(Word::AnyOf, "anyof", &[]).tests(Tests::Some),
    Spec::test(Word::AllOf, "allof", &[]).tests(Tests::Some),
    Spec::test(Word::Envelope, "envelope", &["envelope"])
        .matching()
        .part()
        .places(&[("envelope parts", Kind::List), KEYS]),
    Spec::test(Word::Body, "body", &["body"])
        .matching()
        .tags(&[flag("raw", "", 1), flag("text", "", 1), tag("content", Kind::List, "", 1)])
        .places(&[KEYS]),
    Spec::test(Word::String, "string", &["variables"]).matching().places(&[("source", Kind::List), KEYS]),
    Spec::test(Word::HasFlag, "hasflag", &["imap4flags"])
        .matching()
        .places(&[("variable names", Kind::List), ("list of flags", Kind::List)])
        .optional(Optional::First),
    Spec::test(Word::Date, "date", &["date"])
        .matching()
        .fields()
        .tags(&[flag("originalzone", "", 1), tag("zone", Kind::Text, "", 1)])
        .places(&[("header name", Kind::Text), ("date part", Kind::Text), KEYS]),
    Spec::test(Word::CurrentDate, "currentdate", &["date"])
        .matching()
        .tags(&[tag("zone", Kind::Text, "", 1)])
        .places(&[("date part", Kind::Text), KEYS]),
    Spec::test(Word::MailboxExists, "mailboxexists", &["mailbox"]).places(&[("mailbox names", Kind::List)]),
    Spec::test(Word::MailboxIdExists, "mailboxidexists", &["mailboxid"]).places(&[("mailbox ids", Kind::List)]),
    Spec::test(Word::Metadata, "metadata", &["mboxmetadata"]).matching().places(&[
        ("mailbox", Kind::Text),
        ("annotation name", Kind::Text),
        KEYS,
    ]),
    Spec::test(Word::MetadataExists, "metadataexists", &["mboxmetadata"])
        .places(&[("mailbox", Kind::Text), ("annotation names", Kind::List)]),
    Spec::test(Word::ServerMetadata, "servermetadata", &["servermetadata"])
        .matching()
        .places(&[("annotation name", Kind::Text), KEYS]),
    Spec::test(Word::ServerMetadataExists, "servermetadataexists", &["servermetadata"])
        .places(&[("annotation names", Kind::List)]),
    Spec::test(Word::SpecialUseExists, "specialuse_exists", &["special-use"])
        .places(&[("mailbox", Kind::Text), ("special-use flags", Kind::List)])
        .optional(Optional::First),
    Spec::test(Word::Duplicate, "duplicate", &["duplicate"]).tags(&[
        tag("handle", Kind::Text, "", 0),
        tag("header", Kind::Text, "", 1),
        tag("uniqueid", Kind::Text, "", 1),
        tag("seconds", Kind::Number, "", 0),
        flag("last", "", 0),
    ]),
    Spec::test(Word::Ihave, "ihave", &["ihave"]).places(&[("capabilities", Kind::List)]),
    Spec::test(Word::ValidNotifyMethod, "valid_notify_method", &["enotify"])
        .places(&[("notification URIs", Kind::List)]),
    Spec::test(Word::NotifyMethodCapability, "notify_method_capability", &["enotify"]).matching().places(&[
        ("notification URI", Kind::Text),
        ("notification capability", Kind::Text),
        KEYS,
    ]),
    Spec::test(Word::Environment, "environment", &["environment"]).matching().places(&[("name", Kind::Text), KEYS]),
    Spec::test(Word::ValidExtList, "valid_ext_list", &["extlists"]).places(&[("list names", Kind::List)]),
    Spec::test(Word::SpamTest, "spamtest", &["spamtest", "spamtestplus"])
        .matching()
        .tags(&[flag("percent", "spamtestplus", 0)])
        .places(&[("value", Kind::Text)]),
    Spec::test(Word::VirusTest, "virustest", &["virustest"]).matching().places(&[("value", Kind::Text)]),
];
