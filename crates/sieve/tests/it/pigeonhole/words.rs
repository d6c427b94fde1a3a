//! The words of `vnd.dovecot.testsuite`.

use sieve::{Dialect, Kind, Place, Spec, Word, flag, tag};

const NAME: &[Place] = &[("name", Kind::Text)];
const PAIR: &[Place] = &[("name", Kind::Text), ("value", Kind::Text)];
const KEYS: &[Place] = &[("keys", Kind::List)];

const fn command(name: &'static str) -> Spec {
    Spec::command(Word::Foreign, name, &["vnd.dovecot.testsuite"])
}

const fn test(name: &'static str) -> Spec {
    Spec::test(Word::Foreign, name, &["vnd.dovecot.testsuite"])
}

const MESSAGE: &[sieve::TagSpec] = &[flag("smtp", "", 1), tag("folder", Kind::Text, "", 1)];

pub static DIALECT: Dialect = Dialect {
    capabilities: &["vnd.dovecot.testsuite"],
    words: &[
        command("test").places(NAME).block(),
        command("test_fail").places(NAME),
        command("test_set").places(PAIR),
        command("test_mailbox_create").places(NAME),
        command("test_config_set").places(PAIR),
        command("test_config_unset").places(NAME),
        command("test_config_reload").tags(&[tag("extension", Kind::Text, "", 0)]),
        command("test_imap_metadata_set").tags(&[tag("mailbox", Kind::Text, "", 0)]).places(PAIR),
        command("test_binary_load").places(NAME),
        command("test_binary_save").places(NAME),
        test("test_binary_load").places(NAME),
        test("test_binary_save").places(NAME),
        command("test_message").tags(MESSAGE).places(&[("index", Kind::Number)]),
        test("test_message").tags(MESSAGE).places(&[("index", Kind::Number)]),
        command("test_result_reset"),
        command("test_result_print"),
        command("test_result_execute"),
        test("test_result_execute"),
        test("test_result_action").matching().tags(&[tag("index", Kind::Number, "", 0)]).places(KEYS),
        test("test_error").matching().tags(&[tag("index", Kind::Number, "", 0)]).places(KEYS),
        test("test_script_compile").places(NAME),
        test("test_script_run").tags(&[flag("append_result", "", 0)]),
        test("test_multiscript").places(&[("scripts", Kind::List)]),
    ],
};
