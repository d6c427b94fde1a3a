//! The protocols that people sign in by, and which of them an app password opens.

/// The protocol of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// IMAP.
    Imap,
    /// POP3.
    Pop3,
    /// Submission.
    Smtp,
    /// ManageSieve.
    ManageSieve,
    /// The webmail: accepts only the account's own password, and TOTP codes.
    Web,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Imap, Self::Pop3, Self::Smtp, Self::ManageSieve, Self::Web];

    /// As in metrics, in the log and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Smtp => "smtp",
            Self::ManageSieve => "managesieve",
            Self::Web => "web",
        }
    }

    /// As people read it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Imap => "IMAP",
            Self::Pop3 => "POP3",
            Self::Smtp => "SMTP",
            Self::ManageSieve => "ManageSieve",
            Self::Web => "Web",
        }
    }

    /// In stored records; 0 is none.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Imap => 1,
            Self::Pop3 => 2,
            Self::Smtp => 3,
            Self::ManageSieve => 4,
            Self::Web => 5,
        }
    }

    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.number() == number)
    }
}

/// The protocols that an app password opens. Never the web.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u32);

impl Scopes {
    /// Those that there are.
    pub const SERVICES: [Service; 4] = [Service::Imap, Service::Pop3, Service::Smtp, Service::ManageSieve];

    /// Every one, also those that later versions add.
    pub const ALL: Self = Self(0);

    /// These; `None` if there are none, or if the web is one of them.
    pub fn of(services: &[Service]) -> Option<Self> {
        if services.is_empty() || services.contains(&Service::Web) {
            return None;
        }
        let bits = services.iter().fold(0, |bits, service| bits | 1 << service.number());
        Some(if Self::SERVICES.iter().all(|service| services.contains(service)) { Self::ALL } else { Self(bits) })
    }

    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// Whether a protocol is one of them.
    pub fn allows(self, service: Service) -> bool {
        service != Service::Web && (self == Self::ALL || self.0 & 1 << service.number() != 0)
    }

    /// Whether it is every one.
    pub fn is_all(self) -> bool {
        self == Self::ALL
    }

    /// Those of [`Scopes::SERVICES`].
    pub fn services(self) -> impl Iterator<Item = Service> {
        Self::SERVICES.into_iter().filter(move |service| self.allows(*service))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_allows_what_was_named_and_never_the_web() {
        // Each choice, as it is stored: a bit for each protocol.
        for bits in (2..32).filter(|bits| bits % 2 == 0) {
            let chosen: Vec<Service> = Scopes::from_bits(bits).services().collect();
            let scopes = Scopes::of(&chosen).unwrap();
            assert_eq!(chosen.len(), bits.count_ones() as usize);
            assert_eq!(scopes.services().collect::<Vec<_>>(), chosen);
            assert_eq!(Scopes::from_bits(scopes.bits()), scopes);
            assert!(!scopes.allows(Service::Web));
            assert_eq!(scopes.is_all(), chosen.len() == 4);
        }
        assert_eq!(
            (Scopes::of(&[]), Scopes::of(&[Service::Web]), Scopes::of(&[Service::Imap, Service::Web])),
            (None, None, None)
        );
    }
}
