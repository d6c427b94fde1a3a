//! What to do about who sends in a domain's name, and about failures of TLS.

use crate::dmarc::Row;
use crate::organisation_of;

/// What a source is, and so what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// This service, and all is proved.
    OwnOk,
    /// This service, and some of it is not proved.
    OwnFails,
    /// Somebody else, and all is proved.
    Ok,
    /// Its mail is signed by the domain, and the signature broke on the way, or it is right and SPF is not: forwarded.
    Forwarded,
    /// It proves its own name, not the domain's: a service that is not set up for the domain.
    NotAligned,
    /// Nothing proves anything: probably forged.
    Forged,
    /// Of everything some.
    Mixed,
}

impl Advice {
    /// What messages of a source show. Each counts as often as it came.
    pub fn of(rows: &[&Row], own: bool) -> Self {
        let (mut all, mut passed, mut forwarded, mut other) = (0, 0, 0, 0);
        for row in rows {
            all += row.count;
            match () {
                () if row.passes() => passed += row.count,
                () if is_forwarded(row) => forwarded += row.count,
                () if proves_other(row) => other += row.count,
                () => {}
            }
        }
        let failed = all - passed;
        match () {
            () if own && failed == 0 => Self::OwnOk,
            () if own => Self::OwnFails,
            () if failed == 0 => Self::Ok,
            () if forwarded * 2 > failed => Self::Forwarded,
            () if other * 2 > failed => Self::NotAligned,
            () if passed * 2 > all => Self::Mixed,
            () => Self::Forged,
        }
    }

    /// For programs; never changes its meaning.
    pub const fn code(self) -> &'static str {
        match self {
            Self::OwnOk => "own-ok",
            Self::OwnFails => "own-fails",
            Self::Ok => "ok",
            Self::Forwarded => "forwarded",
            Self::NotAligned => "not-aligned",
            Self::Forged => "forged",
            Self::Mixed => "mixed",
        }
    }

    /// What it is, in a few words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::OwnOk => "In order",
            Self::OwnFails => "Check this service",
            Self::Ok => "Allowed to send",
            Self::Forwarded => "Forwarded",
            Self::NotAligned => "Not set up for this domain",
            Self::Forged => "Probably forged",
            Self::Mixed => "Some mail fails",
        }
    }

    /// What to do.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::OwnOk => "Nothing to do: this is your own mail.",
            Self::OwnFails => {
                "Some of your own mail fails the checks. Check the domain's DNS records, DKIM and SPF first."
            }
            Self::Ok => {
                "Nothing to do if you use this sender. If you don't know it, remove its entry from the SPF record and its DKIM key from the DNS."
            }
            Self::Forwarded => "Nothing to do: mail from you that a mailing list or a forwarding address passed on.",
            Self::NotAligned => {
                "If you use this sender (newsletters, shop, booking), have it sign with DKIM for your domain. If you don't, it uses your name without being allowed to."
            }
            Self::Forged => {
                "Nothing proves this mail. If a program of yours sends from these addresses, send it through this service. Otherwise it is forged: a DMARC policy of quarantine or reject keeps it from inboxes."
            }
            Self::Mixed => "Most of it is proved. If you use this sender, ask it why some of its mail is not signed.",
        }
    }

    /// Whether somebody should look at it.
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::OwnFails | Self::NotAligned | Self::Forged)
    }
}

/// Signed in the name of the author's organisation, and the signature did not survive.
fn is_forwarded(row: &Row) -> bool {
    let own = organisation_of(&row.header_from);
    let is_broken = |result: &str| matches!(result, "fail" | "permerror" | "neutral" | "policy" | "temperror");
    let reasons = ["forwarded", "mailing_list", "trusted_forwarder"];
    row.reasons.iter().any(|(kind, _)| reasons.contains(&kind.as_str()))
        || row.dkim_results.iter().any(|one| is_broken(&one.result) && organisation_of(&one.domain) == own)
}

/// Some other organisation's name is proved.
fn proves_other(row: &Row) -> bool {
    let signed = row.dkim_results.iter().any(|one| one.result == "pass");
    let own = organisation_of(&row.header_from);
    let sent = row.spf_results.iter().any(|one| one.result == "pass" && organisation_of(&one.domain) != own);
    signed || sent
}

/// What a kind of TLS failure means, and what to do.
pub fn tls_advice(kind: &str) -> &'static str {
    match kind {
        "starttls-not-supported" => {
            "The server did not offer STARTTLS: open port 25 of this service to the Internet, without a proxy or firewall that changes mail."
        }
        "certificate-expired" => {
            "The certificate has expired: renew it. `holdfast certificate list` shows why it was not."
        }
        "certificate-host-mismatch" => {
            "The certificate is for another name: it has to include the host name that the MX record names."
        }
        "certificate-not-trusted" => {
            "The certificate is not from an authority that others trust: get one with `tls.acme`."
        }
        "validation-failure" => "TLS failed: look at the certificate and at the log of port 25 at that time.",
        "tlsa-invalid" => "The TLSA record does not fit the certificate: set the one that the domain's page shows.",
        "dnssec-invalid" => "DNSSEC of the zone is broken: ask who runs the domain's DNS.",
        "dane-required" => "The sender demands DANE, and there is no usable TLSA record.",
        "sts-policy-fetch-error" | "sts-policy-invalid" | "sts-webpki-invalid" => {
            "The MTA-STS policy could not be fetched: `mta-sts` of the domain must lead to this service, with a valid certificate."
        }
        _ => "Look at the log of port 25 at that time.",
    }
}
