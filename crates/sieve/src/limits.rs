//! Limits on scripts and on their runs. Each has its name, and an error that says it.

/// Largest script, in bytes.
pub const MAX_SCRIPT_BYTES: usize = 256 * 1024;
/// Deepest nesting of blocks.
pub const MAX_BLOCK_DEPTH: usize = 32;
/// Deepest nesting of tests.
pub const MAX_TEST_DEPTH: usize = 32;
/// Most arguments of one command or test.
pub const MAX_ARGUMENTS: usize = 32;
/// Longest name of a command, test or tag, in bytes.
pub const MAX_IDENTIFIER_BYTES: usize = 32;
/// Most strings in one list.
pub const MAX_LIST: usize = 1_000;
/// Most errors that are told about one script; further ones are left out.
pub const MAX_PROBLEMS: usize = 30;
/// Most actions of one run.
pub const MAX_ACTIONS: usize = 32;
/// Most messages that one run sends on to other addresses.
pub const MAX_REDIRECTS: usize = 4;
/// Most notifications of one run.
pub const MAX_NOTIFICATIONS: usize = 4;
/// Most work of one run, in steps: a command or test is one, and so is each [`BYTES_PER_STEP`] bytes compared.
pub const MAX_STEPS: u64 = 200_000;
/// How many bytes that are read or compared count as one step.
pub const BYTES_PER_STEP: usize = 64;
/// Longest value of a variable, in bytes.
pub const MAX_VARIABLE_BYTES: usize = 4_000;
/// Most variables of one run.
pub const MAX_VARIABLES: usize = 255;
/// Longest name of a variable, in bytes.
pub const MAX_VARIABLE_NAME: usize = 32;
/// Most match variables (`${1}` to `${32}`).
pub const MAX_MATCH_VALUES: usize = 32;
/// Longest string that a run makes of others, in bytes.
pub const MAX_STRING_BYTES: usize = 64 * 1024;
/// Largest memory that a compiled regular expression takes, in bytes.
pub const MAX_REGEX_BYTES: usize = 256 * 1024;
/// Longest regular expression, in bytes.
pub const MAX_REGEX_TEXT: usize = 1_024;
/// Deepest nesting of included scripts.
pub const MAX_INCLUDE_DEPTH: usize = 10;
/// Most scripts that one run includes.
pub const MAX_INCLUDES: usize = 50;
/// Most flags that one message is given.
pub const MAX_FLAGS: usize = 64;
/// Longest header field that a script adds, in bytes.
pub const MAX_HEADER_BYTES: usize = 2_048;
/// Most header fields that one run adds.
pub const MAX_ADDED_HEADERS: usize = 32;
/// Most text of one message's body that the `body` test looks at, in bytes.
pub const MAX_BODY_TEXT: usize = 1024 * 1024;
/// Deepest nesting of `foreverypart`.
pub const MAX_LOOPS: usize = 4;
/// Longest time between two replies to one person, in seconds.
pub const MAX_VACATION_PERIOD: u64 = 90 * 86_400;
/// Shortest time between two replies to one person where days are given, in seconds.
pub const MIN_VACATION_DAYS: u64 = 1;
/// Longest time for which a duplicate is remembered, in seconds.
pub const MAX_DUPLICATE_PERIOD: u64 = 7 * 86_400;
