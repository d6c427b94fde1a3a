//! Which names there are to be certificates for.

use std::net::IpAddr;

/// The names below a hosted domain that mail programs, browsers and other servers ask us under. A certificate is ordered for
/// those that lead to this service.
pub const OF_A_DOMAIN: [&str; 4] = ["mta-sts", "autoconfig", "autodiscover", "mail"];

/// Names that share a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What the group is called: a name of the service, or `domain:` and a hosted domain.
    pub id: String,
    /// Its names, in lower case.
    pub names: Vec<String>,
    /// The names are the service's own: they are ordered wherever they lead.
    pub is_own: bool,
}

/// The groups for a service that has these names and hosts these domains. Each of the service's names has its own certificate:
/// when one registry or its DNS fails, the others are renewed all the same.
pub fn groups(own: &[String], domains: &[String]) -> Vec<Group> {
    let mut taken: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for name in own.iter().filter_map(|name| public(name)) {
        if !taken.contains(&name) {
            taken.push(name.clone());
            all.push(Group { id: name.clone(), names: vec![name], is_own: true });
        }
    }
    for domain in domains.iter().filter_map(|domain| public(domain)) {
        let names = OF_A_DOMAIN.iter().map(|label| format!("{label}.{domain}"));
        let names: Vec<String> = names.filter(|name| !taken.contains(name) && public(name).is_some()).collect();
        if !names.is_empty() {
            all.push(Group { id: format!("domain:{domain}"), names, is_own: false });
        }
    }
    all
}

/// A name as it is ordered; none for those that no authority gives a certificate for.
fn public(name: &str) -> Option<String> {
    let name = mailkit::address::normal_domain(name.trim_end_matches('.')).ok()?;
    let fits = name.contains('.')
        && name.len() <= 253
        && name.parse::<IpAddr>().is_err()
        && name.split('.').all(|label| {
            let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
            (1..=63).contains(&label.len())
                && label.chars().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        });
    fits.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn each_name_of_the_service_has_its_group_and_each_domain_one() {
        let all = groups(
            &texts(&["Mail.example.org", "mail.example.net.", "mail.example.org"]),
            &texts(&["example.org", "example.com"]),
        );
        let ids: Vec<&str> = all.iter().map(|group| group.id.as_str()).collect();
        assert_eq!(ids, ["mail.example.org", "mail.example.net", "domain:example.org", "domain:example.com"]);
        assert_eq!(all[2].names, ["mta-sts.example.org", "autoconfig.example.org", "autodiscover.example.org"]);
        assert_eq!(all[3].names.len(), 4);
        assert!(all[0].is_own && !all[2].is_own);
    }

    #[test]
    fn what_no_authority_certifies_is_left_out() {
        let odd = ["localhost", "192.0.2.1", "::1", "a_b.example.org", "-a.example.org", "a..b", "", "*.example.org"];
        assert_eq!(groups(&texts(&odd), &texts(&["localhost"])), []);
        let long = format!("{}.example.org", "a".repeat(64));
        assert_eq!(groups(&[long], &[]), []);
    }

    #[test]
    fn names_in_other_scripts_are_ordered_as_ascii() {
        let all = groups(&texts(&["post.m\u{fc}ller.example"]), &[]);
        assert_eq!(all[0].names, ["post.xn--mller-kva.example"]);
    }
}
