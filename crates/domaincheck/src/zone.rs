//! Records as a zone file has them (RFC 1035 section 5).

use mailkit::dkim::split_txt;

use crate::Wanted;

/// How long other servers may remember the records, in seconds.
const TTL: u32 = 3600;

/// A value as a zone file has it: texts in strings of at most 255 bytes.
pub fn value(kind: &str, data: &str) -> String {
    if kind == "TXT" { split_txt(&data.replace('\\', "\\\\").replace('"', "\\\"")) } else { data.to_owned() }
}

/// The records as a piece of a BIND zone file. Those that belong to another zone are comments.
pub fn zone(wanted: &[Wanted]) -> String {
    let mut text = String::new();
    // The names of addresses are in zones that the owner of a domain does not have.
    for one in wanted.iter().filter(|one| !one.records.is_empty() && one.kind != "PTR") {
        let remark = if one.elsewhere { " (not in this zone)" } else { "" };
        text.push_str(&format!("; {}{remark}\n", one.purpose));
        let comment = if one.elsewhere { "; " } else { "" };
        for data in &one.records {
            text.push_str(&format!("{comment}{}. {TTL} IN {} {}\n", one.name, one.kind, value(one.kind, data)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_split_and_quotes_are_kept() {
        assert_eq!(value("TXT", "v=spf1 mx -all"), "\"v=spf1 mx -all\"");
        assert_eq!(value("TXT", "a \"b\" \\"), "\"a \\\"b\\\" \\\\\"");
        assert_eq!(value("TXT", &"x".repeat(256)), format!("\"{}\" \"x\"", "x".repeat(255)));
        assert_eq!(value("MX", "10 mail.example.org."), "10 mail.example.org.");
    }
}
