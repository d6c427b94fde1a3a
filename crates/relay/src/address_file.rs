//! The recipients of a primary of another make, from a file: one address, or `@domain` for all of a domain, in each line.
//!
//! Only the first word of a line counts, so that a Postfix map (`relay_recipient_maps`) will do. A file with a line that
//! is neither is not used at all: half a list would refuse mail that is wanted.

use std::{io, path::Path};

use mailkit::EmailAddress;

/// The largest file.
pub const MAX_BYTES: u64 = 64 << 20;

/// Addresses in canonical form, `@domain` for all of a domain.
#[derive(Debug, PartialEq, Eq)]
pub struct Addresses(pub Vec<String>);

impl Addresses {
    /// Reads the file. Blocking.
    ///
    /// # Errors
    /// Names the file, and the line that is wrong.
    pub fn read(file: &Path) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", file.display()));
        let size = std::fs::metadata(file).map_err(named)?.len();
        if size > MAX_BYTES {
            return Err(wrong(format!("the file is larger than {} MB", MAX_BYTES >> 20)));
        }
        Self::parse(&std::fs::read_to_string(file).map_err(named)?).map_err(wrong)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut all = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let Some(word) = line.split_whitespace().next().filter(|word| !word.starts_with('#')) else { continue };
            let wrong = |error| format!("line {}: {word}: {error}", number + 1);
            all.push(match word.strip_prefix('@') {
                Some(domain) => format!("@{}", mailkit::address::normal_domain(domain).map_err(wrong)?),
                None => EmailAddress::parse(word).map_err(wrong)?.canonical(),
            });
        }
        all.sort_unstable();
        all.dedup();
        Ok(Self(all))
    }

    /// Their domains, in ASCII and lower case.
    pub fn domains(&self) -> Vec<String> {
        let domain = |address: &String| address.rsplit_once('@').map(|(_, domain)| domain.to_owned());
        let mut all: Vec<String> = self.0.iter().filter_map(domain).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_or_a_postfix_map_is_read_and_half_a_list_is_not() {
        let text = "# who has mail here\n\nAnna@A.Example\r\n  bert@a.example OK\n@all.example\tx\nanna@a.example\n\
                    x@B\u{fc}cher.example\n";
        let read = Addresses::parse(text).unwrap();
        let expected = ["@all.example", "anna@a.example", "bert@a.example", "x@xn--bcher-kva.example"];
        assert_eq!(read.0, expected);
        assert_eq!(read.domains(), ["a.example", "all.example", "xn--bcher-kva.example"]);
        for (text, line) in [("anna@a.example\nbert\n", "line 2"), ("@\n", "line 1"), ("a b@c\n", "line 1")] {
            let error = Addresses::parse(text).unwrap_err();
            assert!(error.starts_with(line), "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        assert!(Addresses::read(&dir.path().join("nothing")).unwrap_err().to_string().contains("nothing"));
    }
}
