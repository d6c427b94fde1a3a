//! An alarm, and the texts of those that several places raise.

use crate::{failure::Code, machine::Room, told::counted};

/// Something that someone must look at.
pub struct Alarm {
    /// Tells it from the others: the same is mailed once a day.
    pub key: String,
    /// One line, without a full stop.
    pub line: String,
    /// Further details.
    pub more: String,
    /// The subject of the mail.
    pub subject: String,
    /// The command to run, and the page to read.
    pub look: &'static str,
}

/// An error if there are alarms, so that scripts notice; `look` is appended to its text.
pub fn needs(count: usize, look: &str) -> anyhow::Result<()> {
    match count {
        0 => Ok(()),
        count => Err(Code::Alarms.error(format!("{}{look}", counted(count as u64, "alarm")))),
    }
}

/// The alarm for a standby that still assumes that writes wait for it.
pub const BELIEVES_TOO_MUCH: &str = "it still assumes that writes wait for it, which is no longer true: let it connect once, or \
    revoke it with `holdfast standby forget`; promote it only with --maybe-lost";

/// The warning about a relay in the network of this machine.
pub const RELAY_IS_NEAR: &str =
    "It connects from this machine's network: what takes that away takes both. Put it elsewhere";

/// The start of the alarm about damage.
pub const DAMAGE: &str = "Damage: ";

/// The alarm about damage, if there is any.
pub fn damaged(damage: &store::Damage) -> Option<String> {
    (!damage.is_none()).then(|| format!("{DAMAGE}{damage}"))
}

/// The alarm about low disk space.
pub fn short_of_room(room: Room) -> String {
    format!("Disk: only {} of {} free on the data folder's disk", web::size(room.free), web::size(room.total))
}
