//! Whose report it is: that of the domain that its mail is proved to be from, or nobody's.

use crate::number::{domain, word};

/// Who sent a report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reporter {
    /// The mail passed DMARC for this organisation, and the report claims to be from it.
    Verified(String),
    /// The mail proved nothing, or the report claims to be from somebody else.
    Unverified,
}

impl Reporter {
    /// By the domain that DMARC proved the mail to be from, if any, and by what the report says of itself: it is verified if its
    /// contact address is of the same organisation, or the name is that organisation's domain or its first label.
    pub fn of(proved: Option<&str>, claimed: &str, contact: &str) -> Self {
        let Some(own) = proved.map(organisation_of).filter(|own| !own.is_empty()) else { return Self::Unverified };
        let of_contact = contact.rsplit_once('@').map(|(_, host)| organisation_of(host.trim_end_matches('>')));
        let claimed = word(claimed).to_ascii_lowercase();
        let label = own.split('.').next().unwrap_or_default();
        let is_claimed = of_contact.as_deref() == Some(&own) || claimed == label || organisation_of(&claimed) == own;
        if is_claimed { Self::Verified(own) } else { Self::Unverified }
    }

    /// Its domain; empty if it is not verified.
    pub fn domain(&self) -> &str {
        match self {
            Self::Verified(domain) => domain,
            Self::Unverified => "",
        }
    }
}

/// The domain that an organisation registered, of a name in it; empty if it is no name.
pub fn organisation_of(name: &str) -> String {
    let name = domain(name);
    psl::domain_str(&name).map_or_else(|| name.clone(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_verified_only_for_the_organisation_that_it_claims() {
        for (proved, claimed, contact, wanted) in [
            (Some("google.com"), "google.com", "noreply-dmarc-support@google.com", Some("google.com")),
            (Some("microsoft.com"), "Outlook.com", "dmarcreport@microsoft.com", Some("microsoft.com")),
            (Some("dmarc.yahoo.com"), "Yahoo", "dmarchelp@yahooinc.com", Some("yahoo.com")),
            (Some("corp.mail.ru"), "Mail.Ru", "", Some("mail.ru")),
            (Some("mx.example.co.uk"), "EXAMPLE.co.uk", "", Some("example.co.uk")),
            (Some("evil.example"), "google.com", "noreply-dmarc-support@google.com", None),
            (Some("google.com.evil.example"), "google.com", "x@google.com", None),
            (Some("evil.co.uk"), "example.co.uk", "a@example.co.uk", None),
            (Some("evil.example"), "", "", None),
            (None, "google.com", "noreply-dmarc-support@google.com", None),
            (Some(""), "google.com", "a@google.com", None),
        ] {
            let found = Reporter::of(proved, claimed, contact);
            let wanted = wanted.map_or(Reporter::Unverified, |domain| Reporter::Verified(domain.to_owned()));
            assert_eq!(found, wanted, "{proved:?} {claimed} {contact}");
        }
    }
}
