//! A message as it comes: the header section is kept, the body is hashed in the ways its signatures ask for.

use std::collections::HashMap;

use dnskit::DnsError;

use super::arc::{self, ArcResult};
use super::author::Author;
use super::canon::{BodyForm, BodyHash, BodyHasher};
use super::dkim::SignatureResult;
use super::dkim::{self, Facts};
use super::header::Header;
use super::outcome::Outcome;

/// Longest header section that is examined. Of a longer one nothing is proved.
pub const MAX_HEADER_BYTES: usize = 512 << 10;
/// Most ways in which one body is hashed.
const MAX_BODY_FORMS: usize = 4;

/// A message that is coming in.
#[derive(Default)]
pub struct Reading {
    header: Vec<u8>,
    /// Where the end of the header section was looked for already.
    searched: usize,
    hashers: Option<Vec<BodyHasher>>,
    is_too_long: bool,
}

impl Reading {
    /// Bytes of the message. True once the header section is complete, for the first time.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        if let Some(hashers) = &mut self.hashers {
            for hasher in hashers {
                hasher.push(bytes);
            }
            return false;
        }
        if self.is_too_long {
            return false;
        }
        self.header.extend_from_slice(bytes);
        let Some(end) = self.end_of_header() else {
            if self.header.len() > MAX_HEADER_BYTES {
                self.is_too_long = true;
                self.header = Vec::new();
            }
            return false;
        };
        let body = self.header.split_off(end);
        self.begin_body();
        self.push(&body);
        true
    }

    /// Behind the empty line.
    fn end_of_header(&mut self) -> Option<usize> {
        if self.header.starts_with(b"\r\n") {
            return Some(2);
        }
        let from = self.searched.saturating_sub(3);
        self.searched = self.header.len();
        let area = &self.header[from..];
        memchr::memmem::find(area, b"\n\r\n").map(|at| from + at + 3)
    }

    fn begin_body(&mut self) {
        let mut forms: Vec<BodyForm> = Vec::new();
        let header = Header::read(&self.header);
        let sealed = arc::chain(&header).ok().flatten().map(|chain| chain.form());
        let signed = dkim::signatures(&header).into_iter().flatten().map(|signature| signature.form);
        for form in sealed.into_iter().chain(signed) {
            if !forms.contains(&form) && forms.len() < MAX_BODY_FORMS {
                forms.push(form);
            }
        }
        self.hashers = Some(forms.into_iter().map(BodyHasher::new).collect());
    }

    /// The names of the keys that are needed, each once; complete once the header section is.
    pub fn key_names(&self) -> Vec<String> {
        key_names(&self.header)
    }

    /// Whose mail it claims to be; complete once the header section is.
    pub fn author(&self) -> Author {
        Author::read(&Header::read(&self.header))
    }

    /// The message is whole.
    pub fn finish(mut self) -> Read {
        if self.hashers.is_none() && !self.is_too_long {
            self.begin_body();
        }
        let hashers = self.hashers.unwrap_or_default();
        let bodies = hashers.into_iter().map(|hasher| (hasher.form(), hasher.finish())).collect();
        Read { header: self.header, bodies, is_too_long: self.is_too_long }
    }
}

fn key_names(header: &[u8]) -> Vec<String> {
    let header = Header::read(header);
    let mut names: Vec<String> = dkim::signatures(&header).iter().flatten().map(|signed| signed.key_name()).collect();
    if let Ok(Some(chain)) = arc::chain(&header) {
        names.extend(chain.key_names());
    }
    names.sort();
    names.dedup();
    names
}

/// The texts under the names of keys, or why there are none.
#[derive(Clone, Debug, Default)]
pub struct Keys(pub HashMap<String, Result<Vec<Vec<u8>>, DnsError>>);

/// A message that was read whole.
pub struct Read {
    header: Vec<u8>,
    bodies: Vec<(BodyForm, BodyHash)>,
    /// Its header section was longer than [`MAX_HEADER_BYTES`].
    pub is_too_long: bool,
}

struct Known<'a> {
    bodies: &'a [(BodyForm, BodyHash)],
    keys: &'a Keys,
}

impl Facts for Known<'_> {
    fn body(&self, form: BodyForm) -> Option<&BodyHash> {
        self.bodies.iter().find(|(known, _)| *known == form).map(|(_, hash)| hash)
    }

    fn key(&self, name: &str) -> Result<Vec<Vec<u8>>, DnsError> {
        let nobody = || Err(DnsError::Temporary("not asked".to_owned()));
        self.keys.0.get(name).cloned().unwrap_or_else(nobody)
    }
}

impl Read {
    /// Whose mail it claims to be.
    pub fn author(&self) -> Author {
        Author::read(&Header::read(&self.header))
    }

    /// The header section.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// See [`Reading::key_names`].
    pub fn key_names(&self) -> Vec<String> {
        key_names(&self.header)
    }

    /// The result of each DKIM signature. `now` is in seconds since 1970 UTC.
    pub fn dkim(&self, keys: &Keys, now: u64) -> Vec<SignatureResult> {
        let header = Header::read(&self.header);
        dkim::verify(&header, &dkim::signatures(&header), &Known { bodies: &self.bodies, keys }, now)
    }

    /// The result of the ARC chain. `now` is in seconds since 1970 UTC.
    pub fn arc(&self, keys: &Keys, now: u64) -> ArcResult {
        let header = Header::read(&self.header);
        match arc::chain(&header) {
            Ok(None) => ArcResult::default(),
            Ok(Some(chain)) => chain.verify(&header, &Known { bodies: &self.bodies, keys }, now),
            Err(sets) => ArcResult { outcome: Outcome::Fail, sets, ..ArcResult::default() },
        }
    }
}
