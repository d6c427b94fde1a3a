//! The contents of an invitation (RFC 5545, RFC 5546): what, when, where, who.

use std::fmt::Write as _;

use jiff::civil::{Date, DateTime, Time};

/// Longest calendar read, in bytes.
const MAX_CALENDAR_BYTES: usize = 256 * 1024;

/// Longest value kept, in bytes.
const MAX_VALUE_BYTES: usize = 8 * 1024;

/// Guests that are named.
const MAX_GUESTS: usize = 20;

/// An event and what is asked or said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    method: String,
    pub(crate) summary: String,
    start: Option<Moment>,
    end: Option<Moment>,
    location: String,
    organizer: String,
    guests: Vec<String>,
    more_guests: usize,
    description: String,
    url: String,
}

/// A time as written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Moment {
    at: DateTime,
    whole_day: bool,
    /// `UTC`, or the name of a zone; empty for local time wherever one is.
    zone: String,
}

/// The first event (or task) of a calendar.
pub(crate) fn event(text: &str) -> Option<Event> {
    let text = &text[..text.floor_char_boundary(MAX_CALENDAR_BYTES)];
    let mut event = Event::default();
    let (mut inside, mut found, mut nested) = (false, false, 0usize);
    for line in unfolded(text) {
        let Some((name, params, value)) = split(&line) else { continue };
        match (name.as_str(), value.to_ascii_uppercase().as_str()) {
            ("BEGIN", "VEVENT" | "VTODO" | "VFREEBUSY") if !found => (inside, found) = (true, true),
            ("BEGIN", _) if inside => nested += 1,
            ("END", _) if nested > 0 => nested -= 1,
            ("END", _) if inside => inside = false,
            ("METHOD", method) if event.method.is_empty() => method.clone_into(&mut event.method),
            _ if inside && nested == 0 => event.take(&name, params, value),
            _ => {}
        }
    }
    let says = !event.summary.is_empty() || event.start.is_some() || !event.description.is_empty();
    (found && says).then_some(event)
}

/// Lines with their folds taken out.
fn unfolded(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some(last)) if last.len() < 2 * MAX_VALUE_BYTES => last.push_str(rest),
            (Some(_), Some(_)) => {}
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// Name, parameters and value of a line.
fn split(line: &str) -> Option<(String, &str, &str)> {
    let mut quoted = false;
    let colon = line.find(|c| {
        quoted ^= c == '"';
        c == ':' && !quoted
    })?;
    let (head, value) = (&line[..colon], &line[colon + 1..]);
    let (name, params) = head.split_once(';').unwrap_or((head, ""));
    Some((name.trim().to_ascii_uppercase(), params, value.trim()))
}

fn param<'a>(params: &'a str, name: &str) -> Option<&'a str> {
    params.split(';').find_map(|param| {
        let (key, value) = param.split_once('=')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim_matches('"'))
    })
}

impl Event {
    fn take(&mut self, name: &str, params: &str, value: &str) {
        let words = || unescaped(&value[..value.floor_char_boundary(MAX_VALUE_BYTES)]);
        match name {
            "SUMMARY" => self.summary = one_line(&words()),
            "LOCATION" => self.location = one_line(&words()),
            "DESCRIPTION" => self.description = words().trim().to_owned(),
            "URL" => self.url = one_line(value),
            "DTSTART" => self.start = Moment::read(params, value),
            "DTEND" | "DUE" => self.end = Moment::read(params, value),
            "ORGANIZER" => self.organizer = person(params, value),
            "ATTENDEE" if self.guests.len() < MAX_GUESTS => self.guests.push(person(params, value)),
            "ATTENDEE" => self.more_guests += 1,
            "STATUS" if value.eq_ignore_ascii_case("CANCELLED") => "CANCEL".clone_into(&mut self.method),
            _ => {}
        }
    }

    /// What kind of message it is.
    fn kind(&self) -> &'static str {
        match self.method.as_str() {
            "CANCEL" => "Cancelled",
            "REPLY" => "Answer to an invitation",
            "COUNTER" => "New time proposed",
            _ => "Invitation",
        }
    }

    /// In one line, for above the message's own text.
    pub(crate) fn line(&self) -> String {
        let parts = [self.summary.clone(), self.when(), self.location.clone()];
        let said: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("{}: {}", self.kind(), said.join(" \u{b7} "))
    }

    /// All of it, where the message has no other text.
    pub(crate) fn text(&self) -> String {
        let mut guests = self.guests.join(", ");
        if self.more_guests > 0 {
            let _ = write!(guests, " and {} more", self.more_guests);
        }
        let mut out = format!("{}: {}\n", self.kind(), self.summary);
        let when = self.when();
        for (name, value) in [
            ("When", &when),
            ("Where", &self.location),
            ("Organizer", &self.organizer),
            ("Guests", &guests),
            ("Link", &self.url),
        ] {
            if !value.is_empty() {
                let _ = writeln!(out, "{name}: {value}");
            }
        }
        if !self.description.is_empty() {
            let _ = write!(out, "\n{}\n", self.description);
        }
        out
    }

    fn when(&self) -> String {
        let Some(start) = &self.start else { return String::new() };
        let day = |moment: &Moment| moment.at.strftime("%a, %-d %b %Y").to_string();
        let clock = |moment: &Moment| moment.at.strftime("%H:%M").to_string();
        let end = self.end.as_ref().filter(|end| end.at > start.at);
        if start.whole_day {
            // The end is the day after the last.
            let last = end.and_then(|end| end.at.yesterday().ok()).filter(|last| *last > start.at);
            return match last {
                Some(last) => format!("{} \u{2013} {}", day(start), last.strftime("%a, %-d %b %Y")),
                None => day(start),
            };
        }
        let mut out = format!("{}, {}", day(start), clock(start));
        if let Some(end) = end {
            let same_day = end.at.date() == start.at.date();
            let end = if same_day { clock(end) } else { format!("{}, {}", day(end), clock(end)) };
            let _ = write!(out, " \u{2013} {end}");
        }
        if !start.zone.is_empty() {
            let _ = write!(out, " ({})", start.zone);
        }
        out
    }
}

impl Moment {
    fn read(params: &str, value: &str) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| value.get(range)?.parse::<i16>().ok();
        let day = Date::new(number(0..4)?, number(4..6)? as i8, number(6..8)? as i8).ok()?;
        let Some(clock) = value.get(8..).and_then(|rest| rest.strip_prefix('T')) else {
            return Some(Self { at: day.to_datetime(Time::midnight()), whole_day: true, zone: String::new() });
        };
        let number = |range: std::ops::Range<usize>| clock.get(range)?.parse::<i8>().ok();
        let time = Time::new(number(0..2)?, number(2..4)?, number(4..6).unwrap_or(0).min(59), 0).ok()?;
        let zone = if clock.ends_with('Z') { "UTC" } else { param(params, "TZID").unwrap_or_default() };
        Some(Self { at: day.to_datetime(time), whole_day: false, zone: one_line(zone) })
    }
}

/// `Name <address>` of an organizer or guest.
fn person(params: &str, value: &str) -> String {
    let address = value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("mailto:")).map_or(value, |_| &value[7..]);
    let address = &address[..address.floor_char_boundary(256)];
    match param(params, "CN").map(one_line).filter(|name| !name.is_empty() && name != address) {
        Some(name) => format!("{name} <{}>", one_line(address)),
        None => one_line(address),
    }
}

fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => out.push('\n'),
                Some(c) => out.push(c),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

fn one_line(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(1024)];
    cut.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(lines: &str) -> Event {
        event(&format!("BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VTIMEZONE\r\nDTSTART:19700101T000000\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\n{lines}\r\nBEGIN:VALARM\r\nDESCRIPTION:alarm\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")).unwrap()
    }

    #[test]
    fn what_when_where_and_who_are_told() {
        let event = of(
            "DTSTART:20261201T090000Z\r\nDTEND:20261201T100000Z\r\nSUMMARY:Budget\\, round\r\nLOCATION:Room 4\r\n\
            ORGANIZER;CN=\"Ines: E\":mailto:ines@x.example\r\nATTENDEE;CN=Anna:MAILTO:anna@x.example\r\nATTENDEE:mailto:b@x.example\r\n\
            DESCRIPTION:Join at https://meet.example/a\r\n bc\\nSee you",
        );
        assert_eq!(
            event.text(),
            "Invitation: Budget, round\nWhen: Tue, 1 Dec 2026, 09:00 \u{2013} 10:00 (UTC)\nWhere: Room 4\n\
             Organizer: Ines: E <ines@x.example>\nGuests: Anna <anna@x.example>, b@x.example\n\n\
             Join at https://meet.example/abc\nSee you\n"
        );
        assert_eq!(
            event.line(),
            "Invitation: Budget, round \u{b7} Tue, 1 Dec 2026, 09:00 \u{2013} 10:00 (UTC) \u{b7} Room 4"
        );
    }

    #[test]
    fn times_are_told_as_they_were_written() {
        for (lines, when) in [
            ("DTSTART;VALUE=DATE:20261201\r\nDTEND;VALUE=DATE:20261202", "Tue, 1 Dec 2026"),
            ("DTSTART;VALUE=DATE:20261201\r\nDTEND;VALUE=DATE:20261204", "Tue, 1 Dec 2026 \u{2013} Thu, 3 Dec 2026"),
            ("DTSTART;TZID=Europe/Berlin:20261201T090000", "Tue, 1 Dec 2026, 09:00 (Europe/Berlin)"),
            (
                "DTSTART;TZID=\"W. Europe\":20261201T230000\r\nDTEND:20261202T010000",
                "Tue, 1 Dec 2026, 23:00 \u{2013} Wed, 2 Dec 2026, 01:00 (W. Europe)",
            ),
            ("DTSTART:20261201T090000", "Tue, 1 Dec 2026, 09:00"),
            ("DTSTART:20269901T090000\r\nSUMMARY:x", ""),
        ] {
            assert_eq!(of(lines).when(), when, "{lines}");
        }
        assert!(of("SUMMARY:x\r\nSTATUS:CANCELLED").text().starts_with("Cancelled: x"));
        assert_eq!(event("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"), None);
    }

    proptest! {
        #[test]
        fn any_calendar_is_taken_without_panic(lines in "(BEGIN:VEVENT|DTSTART:|DTEND;X=|[0-9TZ]{1,9}|\u{e4}|END:|VEVENT|\r\n| |:|;|\"|\\\\n){0,40}") {
            if let Some(event) = event(&lines) {
                event.text();
                event.line();
            }
        }
    }
}
