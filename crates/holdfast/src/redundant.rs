//! How far what is kept elsewhere is on its way there for the first time: until then one machine has it alone.

use continuity::{estimate::Estimate, standby::Copying};
use serde::Serialize;

use crate::{config::ByteSize, told::ago};

/// How far a copy is, for programs.
#[derive(Debug, Clone, Serialize)]
pub struct OnItsWay {
    /// Of a hundred; none before it can be told.
    pub percent: Option<u8>,
    /// About how many bytes it is in all.
    pub bytes_total: Option<u64>,
    /// About how long the rest takes.
    pub left_seconds: Option<u64>,
    /// For people.
    pub summary: String,
}

impl OnItsWay {
    fn of(estimate: Option<Estimate>, summary: String) -> Self {
        Self {
            percent: estimate.map(|estimate| estimate.percent),
            bytes_total: estimate.map(|estimate| estimate.bytes_total),
            left_seconds: estimate.map(|estimate| estimate.left.as_secs()),
            summary,
        }
    }

    /// A standby's first copy. `alone`: no other machine has everything.
    pub fn copy(copying: &Copying, alone: bool) -> Self {
        let estimate = copying.estimate();
        let how_far = match estimate {
            Some(estimate) => told(estimate),
            None if copying.realms_total == 0 => "it begins".to_owned(),
            None => {
                format!("records of {} of {} realms are sent, then the messages", copying.realms, copying.realms_total)
            }
        };
        let alone = if alone { "; until then only this machine has the newest mail" } else { "" };
        Self::of(estimate, format!("first copy: {how_far}{alone}"))
    }

    /// What an archive does not have yet. `first`: there is no good snapshot in it.
    pub fn shipment(estimate: Estimate, first: bool) -> Self {
        let what = if first { "first shipment" } else { "catching up" };
        let text = format!("{what}: {}; until then it does not hold everything", told(estimate));
        Self::of(Some(estimate), text)
    }

    /// A snapshot that is being taken: of what, and so many of so many. `first`: there is no good one yet.
    pub fn snapshot(estimate: Option<Estimate>, (what, done, total): (&str, u64, u64), first: bool) -> Self {
        let left = estimate.map_or_else(String::new, |estimate| format!(", about {} left of that", ago(estimate.left)));
        let name = if first { "first snapshot" } else { "snapshot" };
        let estimate = estimate.map(|estimate| Estimate { bytes_total: 0, ..estimate });
        let mut one = Self::of(estimate, format!("{name} on its way: {done} of {total} {what}{left}"));
        one.bytes_total = None;
        one
    }
}

fn told(estimate: Estimate) -> String {
    let Estimate { percent, bytes_total, left } = estimate;
    format!("{percent} % of {}, about {} left", ByteSize(bytes_total).rounded(), ago(left))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_on_its_way_is_told_in_one_line_and_in_numbers() {
        let estimate = Estimate { percent: 62, bytes_total: 14 << 30, left: Duration::from_secs(720) };
        let said = OnItsWay::shipment(estimate, true);
        assert_eq!((said.percent, said.bytes_total, said.left_seconds), (Some(62), Some(14 << 30), Some(720)));
        assert!(said.summary.contains("62 %") && said.summary.contains("12 min left"), "{}", said.summary);
        let begun = OnItsWay::copy(&Copying::default(), true);
        assert_eq!((begun.percent, begun.left_seconds), (None, None));
        let records = Copying { realms: 12, realms_total: 50, ..Copying::default() };
        assert!(OnItsWay::copy(&records, false).summary.contains("12 of 50"));
        let taken = OnItsWay::snapshot(Some(estimate), ("realms", 3, 9), false);
        assert_eq!((taken.percent, taken.bytes_total), (Some(62), None));
    }
}
