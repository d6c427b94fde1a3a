//! What was found out about the sender of a message, as it is written above it (RFC 8601).

use filter::spam::Origin;
use mailkit::{headers, results};

/// What the `Authentication-Results` field above a message says. Give it only header lines that we wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Checked {
    /// The sender was checked at all.
    pub(super) is_checked: bool,
    /// Some check got no answer from the DNS.
    pub(super) dns_failed: bool,
    /// The author's domain confirms the message, or disproves it.
    pub(super) is_genuine: Option<bool>,
    /// The server must not send for the envelope's domain.
    pub(super) spf_failed: bool,
    /// The domain of the envelope that the server may send for, in lower case.
    pub(super) spf_passed: Option<String>,
    /// Network and signatures.
    pub(super) origin: Origin,
}

impl Checked {
    pub(super) fn of(header: &[u8]) -> Self {
        let mut checked = Self::default();
        let Some(value) = headers::value(header, results::FIELD) else { return checked };
        let value = String::from_utf8_lossy(&value);
        let host = value.split([';', ' ']).next().unwrap_or_default().trim();
        let Some(results) = results::read(header, host) else { return checked };
        checked.is_checked = true;
        for result in &results {
            checked.dns_failed |= result.result == "temperror";
            match (result.method.as_str(), result.result.as_str()) {
                ("dmarc", "pass") => checked.is_genuine = Some(true),
                ("dmarc", "fail") => checked.is_genuine = Some(false),
                ("spf", "fail") => checked.spf_failed = true,
                ("spf", "pass") => {
                    let domain =
                        result.get("smtp.mailfrom").and_then(|from| from.rsplit_once('@')).map(|(_, name)| name);
                    checked.spf_passed = domain.map(str::to_ascii_lowercase).or(checked.spf_passed);
                }
                ("dkim", "pass") => checked.origin.add_signer(result.get("header.d").unwrap_or_default()),
                ("iprev", _) => {
                    let address = result.get("policy.iprev").and_then(|address| address.parse().ok());
                    checked.origin.network = address.and_then(Origin::network_of);
                }
                _ => {}
            }
        }
        checked.origin.is_forged = checked.is_genuine == Some(false);
        checked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_above_a_message_is_read_back() {
        let all = "Return-Path: <a@news.example>\r\nAuthentication-Results: mail.hold.test;\r\n\tiprev=pass (out.news.example) \
                   policy.iprev=203.0.113.9;\r\n\tspf=pass smtp.helo=out.news.example;\r\n\tspf=pass smtp.mailfrom=a@News.example;\
                   \r\n\tdkim=pass header.d=news.example header.s=s;\r\n\tdkim=fail header.d=bad.example;\r\n\tdmarc=pass (p=none of \
                   news.example)\r\n\theader.from=news.example policy.dmarc=none\r\n";
        let checked = Checked::of(all.as_bytes());
        assert!(checked.is_checked && !checked.dns_failed && !checked.spf_failed);
        assert_eq!((checked.is_genuine, checked.spf_passed.as_deref()), (Some(true), Some("news.example")));
        assert_eq!(checked.origin.signers, ["news.example"]);
        assert_eq!(checked.origin.network.as_deref(), Some("203.0.113.0/24"));
        let v6 =
            "Authentication-Results: h; iprev=permerror policy.iprev=\"2001:db8:7::1\"; dmarc=fail header.from=x\r\n";
        let checked = Checked::of(v6.as_bytes());
        assert_eq!(checked.origin.network.as_deref(), Some("2001:db8:7::/48"));
        assert!(checked.origin.is_forged && checked.is_genuine == Some(false) && checked.spf_passed.is_none());
    }

    #[test]
    fn any_check_without_an_answer_is_noticed_and_no_check_is_none() {
        for clause in
            ["iprev=temperror", "spf=temperror smtp.mailfrom=a@b", "dkim=temperror header.d=b", "dmarc=temperror"]
        {
            let field = format!("Authentication-Results: h; dkim=none; {clause}\r\n");
            assert!(Checked::of(field.as_bytes()).dns_failed, "{clause}");
        }
        for header in ["", "Subject: x\r\n", "Authentication-Results: \r\n"] {
            assert!(!Checked::of(header.as_bytes()).is_checked, "{header}");
        }
    }
}
