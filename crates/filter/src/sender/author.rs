//! The author of a message, as its From field has it.

use mailkit::headers::Field;

use super::header::Header;
use super::names::name_of;

/// Most From fields, and most addresses in one, that are looked at.
const MAX_FIELDS: usize = 4;
/// See [`MAX_FIELDS`].
const MAX_ADDRESSES: usize = 20;

/// Whose mail it claims to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// How many From fields there are; one is right.
    pub fields: usize,
    /// The addresses as mail programs show them.
    pub addresses: Vec<String>,
    /// Their domains in lower case and ASCII, each once.
    pub domains: Vec<String>,
    /// There is an address whose domain is none.
    pub is_odd: bool,
}

impl Author {
    pub(super) fn read(header: &Header<'_>) -> Self {
        let fields = header.named("from");
        let mut author = Self { fields: fields.len(), ..Self::default() };
        for field in fields.iter().take(MAX_FIELDS) {
            author.add(field);
        }
        author.is_odd |= author.addresses.is_empty();
        author
    }

    fn add(&mut self, field: &Field<'_>) {
        let alone = [field.raw, b"\r\n"].concat();
        for shown in mailkit::parse(&alone).from.into_iter().take(MAX_ADDRESSES) {
            match shown.address.rsplit_once('@').and_then(|(_, domain)| name_of(domain)) {
                Some(domain) => {
                    if !self.domains.contains(&domain) {
                        self.domains.push(domain);
                    }
                }
                None => self.is_odd = true,
            }
            self.addresses.push(shown.address);
        }
    }

    /// The one domain that DMARC is about (RFC 9989 section 5.3.1): `None` if there is not exactly one.
    pub fn domain(&self) -> Option<&str> {
        match self.domains.as_slice() {
            [only] if self.fields == 1 && !self.is_odd => Some(only),
            _ => None,
        }
    }
}
