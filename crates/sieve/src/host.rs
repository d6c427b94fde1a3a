//! What a script asks of the world around it.

use crate::error::RunError;
use crate::run::State;
use crate::tree::Step;

/// The envelope of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// MAIL FROM; empty for the null sender.
    pub from: String,
    /// RCPT TO.
    pub to: String,
    /// RCPT TO as it was before aliases; empty if it is the same.
    pub original_to: String,
    /// Who was signed in; empty if nobody was.
    pub auth: String,
}

/// Where an included script is looked for (RFC 6609).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// Among the account's own.
    Personal,
    /// Among those of the service.
    Global,
}

/// What a foreign word did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// A command is done; a test gave that.
    With(bool),
    /// The block of the command is to be run.
    Block,
    /// The innermost block of a foreign command ends here.
    Leave,
}

/// What surrounds a run. Everything but the time has an answer for hosts that have none of it.
pub trait Host {
    /// Now, milliseconds since 1970 UTC.
    fn now_ms(&self) -> i64;

    /// The local time zone, in minutes east of UTC.
    fn zone_minutes(&self, _at_ms: i64) -> i32 {
        0
    }

    /// Whether the run took too long; asked now and then.
    fn is_late(&self) -> bool {
        false
    }

    /// Whether there is a mailbox of that name into which can be filed.
    fn mailbox_exists(&mut self, name: &str) -> bool;

    /// Whether there is a mailbox of that id (RFC 9042).
    fn mailbox_id_exists(&mut self, _id: &str) -> bool {
        false
    }

    /// Whether the mailbox has all of the special-use flags; without a mailbox, whether there is one for each.
    fn special_use_exists(&mut self, _mailbox: Option<&str>, _flags: &[String]) -> bool {
        false
    }

    /// An annotation of a mailbox, or of the server.
    fn metadata(&mut self, _mailbox: Option<&str>, _name: &str) -> Option<String> {
        None
    }

    /// Whether this id was seen within the time. It is remembered if the run succeeds, for `seconds`; with `last` from
    /// now on, although it was seen before.
    fn is_duplicate(&mut self, _handle: &str, _id: &str, _seconds: u64, _last: bool) -> bool {
        false
    }

    /// Whether a value is in a list; `None` if there is no such list.
    fn list_contains(&mut self, _list: &str, _value: &str) -> Option<bool> {
        None
    }

    /// A script by its name.
    fn script(&mut self, _location: Location, _name: &str) -> Option<String> {
        None
    }

    /// An item of the environment.
    fn environment(&mut self, _name: &str) -> Option<String> {
        None
    }

    /// How sure it is that the message is spam, 0 to 1; `None` if it was not looked at.
    fn spam(&mut self) -> Option<f64> {
        None
    }

    /// What is known of viruses: 1 (none) to 5 (certain); `None` if the message was not looked at.
    fn virus(&mut self) -> Option<u8> {
        None
    }

    /// What separates user and detail in local parts.
    fn separators(&self) -> String {
        "+".to_owned()
    }

    /// A word of the host's dialect. What it needs of its arguments it asks of `state`.
    ///
    /// # Errors
    /// Ends the run.
    fn foreign(&mut self, step: &Step, _state: &mut State) -> Result<Done, RunError> {
        Err(RunError { at: step.at, text: format!("{} does nothing here", step.name) })
    }

    /// The block of a foreign command has ended.
    fn foreign_block_ended(&mut self, _step: &Step, _state: &mut State) {}
}
