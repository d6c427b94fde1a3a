//! The Sender Rewriting Scheme: return addresses of mail that is passed on, so that the next server finds it sent by a domain
//! that vouches for this one, and a bounce finds its way back.
//!
//! `SRS0=hash=stamp=domain=local@here` stands for `local@domain`. A server that passes on such a message from another server
//! writes `SRS1=hash=there==hash=stamp=domain=local@here`: bounces go back to `there`, over any number of servers between.
//! Only the hash of the own secret is trusted; it is of the address in lower case, so that servers which change case do no harm.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::EmailAddress;

/// How many days a return address works.
pub const DAYS_GOOD: u32 = 21;
/// Characters of the hash.
const HASH_CHARS: usize = 4;
/// The stamp's alphabet: five bits each.
const STAMP: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Days after which a stamp comes again.
const STAMP_DAYS: u32 = 1_024;
/// Longest local part that is written (RFC 5321 section 4.5.3.1.1 says 64; servers take more).
const MAX_LOCAL_BYTES: usize = 512;
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// The secrets that return addresses are made with, newest first. Older ones are good for reading.
pub struct Srs {
    keys: Vec<hmac::Key>,
}

impl std::fmt::Debug for Srs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Srs(…)")
    }
}

/// Why an address is not led back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrsError {
    /// It is not of this form.
    #[error("not a rewritten return address")]
    NotSrs,
    /// It was not made here.
    #[error("the return address was not made here")]
    Hash,
    /// It is too old.
    #[error("the return address has expired")]
    Expired,
    /// The result would be no address.
    #[error("the return address is not valid")]
    Address,
}

impl Srs {
    /// With these secrets, newest first.
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let key = |secret: S| hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_ref());
        Self { keys: secrets.into_iter().map(key).collect() }
    }

    /// The return address of a message of `sender` that is passed on in the name of `domain`. `at` is in seconds since 1970.
    /// A sender in `domain` itself stays.
    ///
    /// # Errors
    /// [`SrsError::Address`] if there is no such address, or no secret.
    pub fn forward(&self, sender: &EmailAddress, domain: &str, at: i64) -> Result<EmailAddress, SrsError> {
        if sender.domain().eq_ignore_ascii_case(domain) { Ok(sender.clone()) } else { self.wrap(sender, domain, at) }
    }

    /// [`Self::forward`], whatever domain the sender is in.
    ///
    /// # Errors
    /// As of [`Self::forward`].
    pub fn wrap(&self, sender: &EmailAddress, domain: &str, at: i64) -> Result<EmailAddress, SrsError> {
        let key = self.keys.first().ok_or(SrsError::Address)?;
        let local = match opened(sender.local()) {
            // Their own hash stays as it is: they check it when it comes back.
            Some(Opened::First { hash, rest }) => {
                let rest = format!("={hash}={rest}");
                format!("SRS1={}={}={rest}", hashed(key, &[sender.domain(), &rest]), sender.domain())
            }
            Some(Opened::Again { rest, there, .. }) => {
                format!("SRS1={}={there}={rest}", hashed(key, &[there, rest]))
            }
            None => {
                let stamp = stamp(at);
                let hash = hashed(key, &[&stamp, sender.domain(), sender.local()]);
                format!("SRS0={hash}={stamp}={}={}", sender.domain(), sender.local())
            }
        };
        if local.len() > MAX_LOCAL_BYTES {
            return Err(SrsError::Address);
        }
        EmailAddress::from_parts(&local, domain).map_err(|_| SrsError::Address)
    }

    /// Where mail to a return address that was made here goes.
    ///
    /// # Errors
    /// Why it goes nowhere.
    pub fn back(&self, address: &EmailAddress, at: i64) -> Result<EmailAddress, SrsError> {
        match opened(address.local()).ok_or(SrsError::NotSrs)? {
            Opened::First { hash, rest } => {
                let mut parts = rest.splitn(3, '=');
                let (stamp, domain, local) = parts
                    .next()
                    .and_then(|stamp| Some((stamp, parts.next()?, parts.next()?)))
                    .ok_or(SrsError::Address)?;
                self.check(hash, &[stamp, domain, local])?;
                if !is_fresh(stamp, at) {
                    return Err(SrsError::Expired);
                }
                EmailAddress::from_parts(local, domain).map_err(|_| SrsError::Address)
            }
            Opened::Again { hash, there, rest } => {
                self.check(hash, &[there, rest])?;
                EmailAddress::from_parts(&format!("SRS0{rest}"), there).map_err(|_| SrsError::Address)
            }
        }
    }

    /// In constant time, against each secret.
    fn check(&self, hash: &str, parts: &[&str]) -> Result<(), SrsError> {
        let given = hash.to_ascii_lowercase();
        let fits = |key: &hmac::Key| {
            let right = hashed(key, parts).to_ascii_lowercase();
            aws_lc_rs::constant_time::verify_slices_are_equal(right.as_bytes(), given.as_bytes()).is_ok()
        };
        // All are tried, so that time does not tell which fits.
        if self.keys.iter().fold(false, |found, key| found | fits(key)) { Ok(()) } else { Err(SrsError::Hash) }
    }
}

/// Whether an address has the form of a rewritten one, whoever made it.
pub fn is_rewritten(address: &EmailAddress) -> bool {
    opened(address.local()).is_some()
}

/// The address that a rewritten one stands for, whoever made it. What it says is not proved: for showing, and for answers.
pub fn original(address: &EmailAddress) -> Option<EmailAddress> {
    let rest = match opened(address.local())? {
        Opened::First { rest, .. } => rest,
        // After the other server's separator: its hash.
        Opened::Again { rest, .. } => rest.get(1..)?.split_once('=')?.1,
    };
    let (_stamp, rest) = rest.split_once('=')?;
    let (domain, local) = rest.split_once('=')?;
    EmailAddress::parse(&format!("{local}@{domain}")).ok()
}

enum Opened<'a> {
    First { hash: &'a str, rest: &'a str },
    Again { hash: &'a str, there: &'a str, rest: &'a str },
}

fn opened(local: &str) -> Option<Opened<'_>> {
    let (tag, rest) = (local.get(..4)?, local.get(5..)?);
    if !matches!(local.as_bytes()[4], b'=' | b'-' | b'+') {
        return None;
    }
    let (hash, rest) = rest.split_once('=')?;
    if tag.eq_ignore_ascii_case("SRS0") {
        return Some(Opened::First { hash, rest });
    }
    let (there, _) = rest.split_once('=')?;
    // The separator of the other server's address belongs to it.
    let rest = &rest[there.len() + 1..];
    let is_whole = rest.starts_with(['=', '-', '+']);
    (tag.eq_ignore_ascii_case("SRS1") && is_whole).then_some(Opened::Again { hash, there, rest })
}

fn hashed(key: &hmac::Key, parts: &[&str]) -> String {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part.to_ascii_lowercase().as_bytes());
    }
    let mut text = STANDARD.encode(context.sign());
    text.truncate(HASH_CHARS);
    text
}

fn stamp(at: i64) -> String {
    let day = at.div_euclid(DAY_SECONDS).rem_euclid(i64::from(STAMP_DAYS)) as usize;
    [STAMP[day >> 5], STAMP[day & 31]].iter().map(|&byte| char::from(byte)).collect()
}

fn is_fresh(stamp: &str, at: i64) -> bool {
    let mut then = 0_i64;
    for byte in stamp.bytes() {
        let Some(value) = STAMP.iter().position(|&known| known == byte.to_ascii_uppercase()) else { return false };
        then = then << 5 | value as i64;
    }
    let now = at.div_euclid(DAY_SECONDS).rem_euclid(i64::from(STAMP_DAYS));
    let age = (now - then).rem_euclid(i64::from(STAMP_DAYS));
    // A clock that is a day behind does no harm.
    stamp.len() == 2 && (age <= i64::from(DAYS_GOOD) || age == i64::from(STAMP_DAYS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT: i64 = 1_577_836_860;

    fn srs() -> Srs {
        Srs::new(["tops3cr3t"])
    }

    fn address(text: &str) -> EmailAddress {
        EmailAddress::parse(text).unwrap()
    }

    #[test]
    fn a_known_address_is_written_as_others_write_it_and_read_again() {
        let sender = address("test@otherdomain.com");
        let rewritten = srs().forward(&sender, "example.com", AT).unwrap();
        assert_eq!(rewritten.to_string(), "SRS0=vmyz=2W=otherdomain.com=test@example.com");
        assert_eq!(srs().back(&rewritten, AT), Ok(sender.clone()));
        assert_eq!(srs().forward(&sender, "otherdomain.com", AT), Ok(sender));
    }

    #[test]
    fn servers_that_change_case_do_no_harm() {
        for text in ["srs0=VMYZ=2w=OTHERDOMAIN.com=TEST@example.com", "SRS0=vmyz=2W=otherdomain.com=test@EXAMPLE.COM"] {
            let back = srs().back(&address(text), AT).unwrap();
            assert!(back.to_string().eq_ignore_ascii_case("test@otherdomain.com"), "{back}");
        }
    }

    #[test]
    fn passed_on_again_it_leads_back_to_the_first_server_that_rewrote() {
        let (first, second, third) = (srs(), Srs::new(["another"]), Srs::new(["a third"]));
        let sender = address("a.b=c+d@far.example");
        let once = first.forward(&sender, "one.example", AT).unwrap();
        let twice = second.forward(&once, "two.example", AT).unwrap();
        assert!(twice.local().starts_with("SRS1=") && twice.local().contains("=one.example=="), "{twice}");
        let thrice = third.forward(&twice, "three.example", AT).unwrap();
        assert!(thrice.local().starts_with("SRS1=") && !thrice.local().contains("two.example"), "{thrice}");
        assert_eq!(third.back(&thrice, AT), Ok(once.clone()));
        assert_eq!(second.back(&twice, AT), Ok(once.clone()));
        assert_eq!(first.back(&once, AT), Ok(sender));
    }

    #[test]
    fn what_was_not_made_here_or_is_too_old_leads_nowhere() {
        let rewritten = srs().forward(&address("test@otherdomain.com"), "example.com", AT).unwrap();
        assert_eq!(Srs::new(["other"]).back(&rewritten, AT), Err(SrsError::Hash));
        assert!(Srs::new(["new", "tops3cr3t"]).back(&rewritten, AT).is_ok(), "older secrets are good for reading");
        assert_eq!(Srs::new([""; 0]).back(&rewritten, AT), Err(SrsError::Hash));
        let day = DAY_SECONDS;
        assert!(srs().back(&rewritten, AT + i64::from(DAYS_GOOD) * day).is_ok());
        assert!(srs().back(&rewritten, AT - day).is_ok());
        for days in [-2, i64::from(DAYS_GOOD) + 1, 500, 1_000] {
            assert_eq!(srs().back(&rewritten, AT + days * day), Err(SrsError::Expired), "{days}");
        }
        for (text, error) in [
            ("someone@example.com", SrsError::NotSrs),
            ("SRS0@example.com", SrsError::NotSrs),
            ("SRS2=vmyz=2W=otherdomain.com=test@example.com", SrsError::NotSrs),
            ("SRS0=vmyz=2W=otherdomain.com@example.com", SrsError::Address),
            ("SRS0=vmyz=2X=otherdomain.com=test@example.com", SrsError::Hash),
            ("SRS0=vmyz=2W=otherdomain.org=test@example.com", SrsError::Hash),
            ("SRS0=vmyz=2W=otherdomain.com=tess@example.com", SrsError::Hash),
            ("SRS0=vmy=2W=otherdomain.com=test@example.com", SrsError::Hash),
            ("SRS0==2W=otherdomain.com=test@example.com", SrsError::Hash),
            ("SRS1=abcd=there.example==hash=2W=otherdomain.com=test@example.com", SrsError::Hash),
            ("SRS1=abcd=there.example@example.com", SrsError::NotSrs),
        ] {
            assert_eq!(srs().back(&address(text), AT), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_address_finds_its_way_back(
            local in "[a-z0-9][a-z0-9.+=-]{0,30}[a-z0-9]", domain in "[a-z]{1,10}\\.example", at in 0_i64..4_000_000_000,
            later in 0_i64..(20 * DAY_SECONDS),
        ) {
            prop_assume!(!local.contains(".."));
            let sender = address(&format!("{local}@{domain}"));
            let rewritten = srs().forward(&sender, "here.test", at).unwrap();
            prop_assert!(is_rewritten(&rewritten));
            prop_assert_eq!(original(&rewritten), Some(sender.clone()));
            // A second server wraps it again; a third replaces the second.
            let again = srs().forward(&rewritten, "there.test", at).unwrap();
            prop_assert_eq!(original(&again), Some(sender.clone()));
            let third = Srs::new([b"another".as_slice()]).forward(&again, "third.test", at).unwrap();
            prop_assert_eq!(original(&third), Some(sender.clone()));
            prop_assert_eq!(srs().back(&rewritten, at + later), Ok(sender));
        }

        #[test]
        fn any_local_part_is_read_or_refused(local in "(SRS[01][=+-])?[ -~]{0,40}") {
            if let Ok(address) = EmailAddress::from_parts(&local, "here.test") {
                prop_assert!(srs().back(&address, AT).is_err());
                prop_assert!(original(&address).is_none() || is_rewritten(&address));
                let _ = srs().forward(&address, "there.test", AT);
            }
        }
    }
}
