//! The MTA-STS policy of a hosted domain (RFC 8461).

use directory::MtaSts;

use crate::Service;

/// A policy: what is served, and what the record names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// As other servers read it.
    pub text: String,
    /// Its id: another policy has another one.
    pub id: String,
    /// The hosts that it allows.
    pub hosts: Vec<String>,
}

impl Policy {
    /// The policy of a domain in `mode`. One of mode `none` takes an earlier one back.
    pub fn of(service: &Service, mode: MtaSts) -> Self {
        let hosts: Vec<String> = if mode == MtaSts::None {
            Vec::new()
        } else {
            let relays = service.relays.iter().map(|relay| relay.trim_end_matches('.').to_ascii_lowercase());
            service.names().map(str::to_ascii_lowercase).chain(relays).collect()
        };
        let days = match mode {
            MtaSts::Enforce => 14,
            MtaSts::Testing | MtaSts::None => 1,
        };
        let mut text = format!("version: STSv1\r\nmode: {}\r\n", mode.name());
        for host in &hosts {
            text.push_str(&format!("mx: {host}\r\n"));
        }
        text.push_str(&format!("max_age: {}\r\n", days * 86_400));
        let id = blake3::hash(text.as_bytes()).to_hex()[..20].to_owned();
        Self { text, id, hosts }
    }

    /// The text of the record that announces it.
    pub fn record(&self) -> String {
        format!("v=STSv1; id={}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_policy_has_another_id() {
        let service = Service { hostname: "Mail.example.org".to_owned(), ..Service::default() };
        let with_relay = Service { relays: vec!["relay.example.net.".to_owned()], ..service.clone() };
        let all = [
            Policy::of(&service, MtaSts::Testing),
            Policy::of(&service, MtaSts::Enforce),
            Policy::of(&service, MtaSts::None),
            Policy::of(&with_relay, MtaSts::Enforce),
        ];
        let ids: std::collections::BTreeSet<&str> = all.iter().map(|policy| policy.id.as_str()).collect();
        assert_eq!(ids.len(), all.len());
        assert!(ids.iter().all(|id| id.len() <= 32 && id.bytes().all(|b| b.is_ascii_alphanumeric())));
        assert_eq!(all[0], Policy::of(&service, MtaSts::Testing));
        assert_eq!(
            all[3].text,
            "version: STSv1\r\nmode: enforce\r\nmx: mail.example.org\r\nmx: relay.example.net\r\nmax_age: 1209600\r\n"
        );
        assert!(!all[2].text.contains("mx:"));
    }
}
