//! Reading delivery reports of any server (RFC 3464, RFC 6533): whom a message did not reach.

use crate::parsed::{Parsed, Part};
use crate::{EmailAddress, headers};

/// Bytes of a report's status part that are read.
pub const MAX_STATUS_BYTES: u64 = 64 * 1024;
/// Recipients of a report that are read.
pub const MAX_RECIPIENTS: usize = 100;

/// Somebody whom a message did not reach: the addresses by which the report calls them, as it was first (Original-Recipient)
/// and as it came to be (Final-Recipient).
pub type Undelivered = Vec<EmailAddress>;

/// The part of a delivery report that is for machines; `None` if the message is no such report.
pub fn status_part(parsed: &Parsed) -> Option<&Part> {
    if !parsed.root.is_multipart() || parsed.root.subtype != "report" {
        return None;
    }
    let is_status = |part: &&Part| {
        part.media_type == "message" && ["delivery-status", "global-delivery-status"].contains(&part.subtype.as_str())
    };
    parsed.root.parts.iter().find(is_status)
}

/// What a report returns of the message: all of it ([`Part::is_message`]), or its header.
pub fn returned_part(parsed: &Parsed) -> Option<&Part> {
    status_part(parsed)?;
    let is_header =
        |part: &Part| ["rfc822-headers", "rfc822-header", "global-headers"].contains(&part.subtype.as_str());
    parsed.root.parts.iter().find(|part| part.is_message() || is_header(part))
}

/// Those for whom a status part, decoded, says `failed`. Of delays and successes nothing.
pub fn undelivered(status: &[u8]) -> Vec<Undelivered> {
    let status = &status[..status.len().min(MAX_STATUS_BYTES as usize)];
    groups(status).filter_map(failed_recipient).filter(|names| !names.is_empty()).take(MAX_RECIPIENTS).collect()
}

/// The groups of fields, which empty lines separate.
fn groups(status: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = status;
    std::iter::from_fn(move || {
        while let [b'\r' | b'\n', after @ ..] = rest {
            rest = after;
        }
        if rest.is_empty() {
            return None;
        }
        let group = headers::header_range(rest);
        let (group, after) = rest.split_at(group.end.max(1));
        rest = after;
        Some(group)
    })
}

fn failed_recipient(group: &[u8]) -> Option<Undelivered> {
    let text = |name: &str| {
        let value = headers::value(group, name)?;
        Some(String::from_utf8_lossy(&value).trim().to_owned())
    };
    let action = text("Action")?;
    let action = action.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    if !action.eq_ignore_ascii_case("failed") {
        return None;
    }
    let mut names: Undelivered = Vec::new();
    for field in ["Original-Recipient", "Final-Recipient"] {
        let Some(value) = text(field) else { continue };
        let (_, address) = value.split_once(';').unwrap_or(("", &value));
        let address = address.trim().trim_start_matches('<').trim_end_matches('>');
        if let Ok(address) = EmailAddress::parse(address)
            && !names.contains(&address)
        {
            names.push(address);
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: &str) -> Vec<Vec<String>> {
        let all = undelivered(status.as_bytes());
        all.iter().map(|names| names.iter().map(ToString::to_string).collect()).collect()
    }

    #[test]
    fn those_who_were_not_reached_are_read_whoever_wrote_the_report() {
        let head = "Reporting-MTA: dns;mx.example\r\n\r\n";
        for (group, names) in [
            ("Final-Recipient: rfc822;a@x.org\r\nAction: failed\r\nStatus: 5.1.1\r\n", vec!["a@x.org"]),
            ("final-recipient: RFC822; <a@x.org>\naction: Failed\n", vec!["a@x.org"]),
            ("Action: failed (gave up)\r\nFinal-Recipient: a@x.org\r\n", vec!["a@x.org"]),
            (
                "Original-Recipient: rfc822;b@y.org\r\nFinal-Recipient: rfc822;a@x.org\r\nAction: failed\r\n",
                vec!["b@y.org", "a@x.org"],
            ),
            ("Final-Recipient: utf-8;j\u{f6}rg@x.org\r\nAction: failed\r\n", vec!["j\u{f6}rg@x.org"]),
            ("Final-Recipient: rfc822;\r\n a@x.org\r\nAction:\r\n failed\r\n", vec!["a@x.org"]),
        ] {
            assert_eq!(read(&format!("{head}{group}")), [names], "{group}");
        }
        for group in [
            "Final-Recipient: rfc822;a@x.org\r\nAction: delayed\r\n",
            "Final-Recipient: rfc822;a@x.org\r\nAction: delivered\r\n",
            "Final-Recipient: rfc822;a@x.org\r\n",
            "Final-Recipient: rfc822;nobody\r\nAction: failed\r\n",
            "Action: failed\r\n",
            "\r\n\r\n",
            "",
        ] {
            assert!(read(&format!("{head}{group}")).is_empty(), "{group}");
        }
    }

    #[test]
    fn a_report_of_any_size_is_read_within_bounds() {
        let one = "Final-Recipient: rfc822;a@x.org\r\nAction: failed\r\n\r\n";
        assert_eq!(read(&one.repeat(3)).len(), 3);
        assert_eq!(read(&one.repeat(1_000)).len(), MAX_RECIPIENTS);
        assert!(read(&"\r\n".repeat(1_000_000)).is_empty());
        assert!(read(&"x".repeat(1_000_000)).is_empty());
    }

    #[test]
    fn only_a_delivery_report_is_one() {
        let report = |kind: &str, part: &str| {
            let raw = format!(
                "Content-Type: multipart/{kind}; boundary=b\r\n\r\n--b\r\n\r\nSorry\r\n--b\r\nContent-Type: {part}\r\n\r\n\
                 Action: failed\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny\r\n--b--\r\n"
            );
            let parsed = crate::parse(raw.as_bytes());
            (status_part(&parsed).is_some(), returned_part(&parsed).is_some())
        };
        assert_eq!(report("report", "message/delivery-status"), (true, true));
        assert_eq!(report("report", "message/global-delivery-status"), (true, true));
        assert_eq!(report("mixed", "message/delivery-status"), (false, false));
        assert_eq!(report("report", "message/disposition-notification"), (false, false));
        assert!(status_part(&crate::parse(b"Subject: x\r\n\r\ny")).is_none());
    }
}
