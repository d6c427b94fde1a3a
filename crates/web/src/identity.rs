//! As whom someone writes: each of their addresses with its name, Reply-To, Bcc and signature.

use directory::{Identity, Settings};
use mailkit::{EmailAddress, NamedAddress};

use crate::caller::Caller;

/// What goes into a message that is written as one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The address, as [`Caller::senders`] has it.
    pub address: String,
    /// The name in From; may be empty.
    pub name: String,
    /// Where replies go, if not to the address.
    pub reply_to: Option<EmailAddress>,
    /// Who gets a copy of each message, as it stands in the field Bcc.
    pub bcc: String,
    /// Text below the message; may be empty.
    pub signature: String,
}

impl Writer {
    /// The writer that settings make of an address. `name` is what the account goes by.
    fn new(address: &str, name: &str, settings: &Settings) -> Self {
        let own = own(settings, address).cloned().unwrap_or_default();
        // A masked address tells nobody who its owner is, unless they say so.
        let is_masked = directory::looks_masked(address);
        let or = |own: String, general: &str| if own.is_empty() && !is_masked { general.to_owned() } else { own };
        Self {
            address: address.to_owned(),
            name: or(own.display_name, name),
            reply_to: EmailAddress::parse(&own.reply_to).ok(),
            bcc: own.bcc,
            signature: if own.without_signature { String::new() } else { or(own.signature, &settings.signature) },
        }
    }

    /// As people see it: `Anna <anna@example.org>`.
    pub fn shown(&self) -> String {
        if self.name.is_empty() { self.address.clone() } else { format!("{} <{}>", self.name, self.address) }
    }

    /// The addresses of Reply-To.
    pub fn reply_to(&self) -> Vec<NamedAddress> {
        let named = |address| NamedAddress { name: self.name.clone(), address };
        self.reply_to.clone().map(named).into_iter().collect()
    }

    /// What a new message begins with: the signature below two empty lines.
    pub fn below(&self) -> String {
        let signature = self.signature.trim_end();
        if signature.is_empty() { String::new() } else { format!("\n\n-- \n{signature}") }
    }
}

/// What the settings say of an address.
pub fn own<'a>(settings: &'a Settings, address: &str) -> Option<&'a Identity> {
    let address = address.to_lowercase();
    settings.identities.iter().find(|identity| identity.address == address)
}

impl Caller {
    /// The writer of each address that the account may send as, the login first.
    pub fn writers(&self) -> Vec<Writer> {
        self.senders().iter().map(|address| Writer::new(address, &self.name, &self.settings)).collect()
    }

    /// The writer of an address; of the login if it is not the account's.
    pub fn writer(&self, address: &str) -> Writer {
        let address = if self.is_me(address) { address } else { &self.address };
        Writer::new(address, &self.name, &self.settings)
    }

    /// The address that new messages are written from.
    pub fn writes_from(&self) -> String {
        let chosen = self.senders().into_iter().find(|address| address.to_lowercase() == self.settings.writes_from);
        chosen.unwrap_or_else(|| self.address.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_leaves_empty_is_as_for_all() {
        let settings = Settings {
            signature: "Anna".to_owned(),
            identities: vec![
                Identity {
                    address: "shop@here.example".to_owned(),
                    display_name: "The shop".to_owned(),
                    reply_to: "orders@here.example".to_owned(),
                    bcc: "books@here.example".to_owned(),
                    ..Identity::default()
                },
                Identity { address: "quiet@here.example".to_owned(), without_signature: true, ..Identity::default() },
                Identity {
                    address: "own@here.example".to_owned(),
                    signature: "A. H.\n".to_owned(),
                    reply_to: "no address".to_owned(),
                    ..Identity::default()
                },
            ],
            ..Settings::default()
        };
        let of = |address: &str| Writer::new(address, "Anna Hold", &settings);
        let shop = of("Shop@here.example");
        assert_eq!(shop.shown(), "The shop <Shop@here.example>");
        assert_eq!(shop.reply_to()[0].address.to_string(), "orders@here.example");
        assert_eq!((shop.bcc.as_str(), shop.below().as_str()), ("books@here.example", "\n\n-- \nAnna"));
        let plain = of("anna@here.example");
        assert_eq!((plain.name.as_str(), plain.reply_to(), plain.bcc.as_str()), ("Anna Hold", Vec::new(), ""));
        assert_eq!(of("quiet@here.example").below(), "");
        let own = of("own@here.example");
        assert_eq!((own.below().as_str(), own.reply_to), ("\n\n-- \nA. H.", None));
    }
}
