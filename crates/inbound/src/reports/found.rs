//! Whether a message has a report, and who is proved to have sent it.

use ::reports::{MAX_PACKED_BYTES, Report};
use delivery::Spooled;
use mailkit::{display, headers, results};

/// Attachments that are opened.
const MAX_ATTACHMENTS: usize = 3;

/// Whether a message whose beginning that is may have a report: words that those who send them put into the header.
pub fn may_be_report(head: &[u8]) -> bool {
    const WORDS: [&str; 6] = ["dmarc", "report", "tlsrpt", "tls-report", "gzip", "zip"];
    headers::fields(head).any(|field| {
        let is_telling = ["subject", "content-type", "content-disposition", "tls-report-domain", "from"];
        let text = String::from_utf8_lossy(field.value).to_ascii_lowercase();
        is_telling.iter().any(|name| field.is(name)) && WORDS.iter().any(|word| text.contains(word))
    }) || head.len() < 64 << 10 && names_report(head)
}

/// Whether the head of a part says so.
fn names_report(head: &[u8]) -> bool {
    let lower = head.to_ascii_lowercase();
    [&b".xml.gz"[..], b"tlsrpt", b".json.gz"].iter().any(|word| lower.windows(word.len()).any(|some| some == *word))
}

/// The first report among a message's attachments. Blocks.
pub fn report_in(message: &Spooled) -> Option<Report> {
    let raw = message.read_all().ok()?;
    let parsed = mailkit::parse(&raw);
    let files = display::files(&raw, &parsed);
    let likely = files.iter().filter(|file| {
        let name = file.name.to_ascii_lowercase();
        let is_named = [".xml", ".gz", ".zip", ".json"].iter().any(|end| name.ends_with(end));
        let is_typed = ["gzip", "zip", "xml", "json", "tlsrpt"].iter().any(|word| file.content_type.contains(word));
        (is_named || is_typed) && file.size <= MAX_PACKED_BYTES as u64
    });
    likely.take(MAX_ATTACHMENTS).find_map(|file| {
        let content = display::part_content(&raw, &parsed, &file.part)?;
        match ::reports::read(&content) {
            Ok(report) => Some(report),
            Err(error) => {
                tracing::debug!(%error, "an attachment is no report that can be read");
                None
            }
        }
    })
}

/// The author's domain, if DMARC proved it, by the results in the name of `host`.
pub fn proved(above: &str, host: &str) -> Option<String> {
    let found = results::read(above.as_bytes(), host)?;
    let dmarc = found.iter().find(|result| result.method == "dmarc")?;
    (dmarc.result == "pass").then(|| dmarc.get("header.from").map(ToOwned::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_that_may_be_a_report_is_told_by_its_head() {
        for (head, wanted) in [
            ("Subject: Report domain: a.example Submitter: b\r\n\r\n", true),
            ("From: noreply-dmarc-support@google.com\r\nSubject: x\r\n\r\n", true),
            ("Content-Type: application/zip\r\n\r\n", true),
            ("Subject: x\r\n\r\n--b\r\nContent-Disposition: attachment; filename=\"a!b!1!2.xml.gz\"\r\n", true),
            ("Subject: Lunch?\r\n\r\nToday", false),
            ("", false),
        ] {
            assert_eq!(may_be_report(head.as_bytes()), wanted, "{head}");
        }
    }

    #[test]
    fn what_is_proved_is_read_of_our_own_results() {
        let field = |result: &str, host: &str| {
            format!(
                "Authentication-Results: {host};\r\n\tdkim=pass header.d=a.example;\r\n\tdmarc={result} (p=none of a.example)\r\n\theader.from=a.example policy.dmarc=none\r\n"
            )
        };
        let of = |text: &str| proved(text, "mail.here.example");
        assert_eq!(of(&field("pass", "mail.here.example")).as_deref(), Some("a.example"));
        assert_eq!(of(&field("fail", "mail.here.example")), None);
        assert_eq!(of(&field("pass", "elsewhere.example")), None);
        assert_eq!(of(""), None);
    }
}
