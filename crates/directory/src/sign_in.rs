//! What is known of a sign-in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Service, proof::Proof};

/// For how long sign-ins are listed.
pub const SIGN_INS_FOR_MS: i64 = 14 * DAY_MS;
pub(crate) const DAY_MS: i64 = 86_400_000;

/// How a sign-in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignInResult {
    /// Signed in.
    Ok,
    /// The password or the code was wrong.
    Wrong,
    /// The password was right, and no code came.
    CodeMissing,
    /// The account is disabled.
    Disabled,
    /// The app password isn't allowed this protocol.
    NotAllowed,
    /// Too many were tried; this one was not looked at.
    Throttled,
}

impl SignInResult {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Wrong, Self::CodeMissing, Self::Disabled, Self::NotAllowed, Self::Throttled];

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Wrong => "wrong-password",
            Self::CodeMissing => "no-code",
            Self::Disabled => "disabled",
            Self::NotAllowed => "not-allowed",
            Self::Throttled => "too-many",
        }
    }

    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Ok => 0,
            Self::Wrong => 1,
            Self::CodeMissing => 2,
            Self::Disabled => 3,
            Self::NotAllowed => 4,
            Self::Throttled => 5,
        }
    }

    pub(crate) fn from_number(number: u32) -> Self {
        Self::ALL.into_iter().find(|result| result.number() == number).unwrap_or(Self::Wrong)
    }
}

/// The neighbourhood of an address: what a line moves within when its address changes, as far as that can be told.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, 0))
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

/// Names the row of a sign-in: the day, and a hash of what it has in common with others of that day.
pub(crate) type Row = [u8; 12];

/// What the rows of a day hash to that stand for many networks.
const MANY: [u8; 8] = [0xFF; 8];

fn on_day(at_ms: i64, name: [u8; 8]) -> Row {
    let day = u32::try_from(at_ms.div_euclid(DAY_MS)).unwrap_or(0);
    let mut row = [0; 12];
    row[..4].copy_from_slice(&day.to_be_bytes());
    row[4..].copy_from_slice(&name);
    row
}

/// The row of a sign-in. `program`: for browsers, which are told apart by it.
pub(crate) fn row(
    at_ms: i64,
    (service, result): (Service, SignInResult),
    peer: IpAddr,
    proof: Option<Proof>,
    program: &str,
) -> Row {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&service.number().to_be_bytes()).update(&result.number().to_be_bytes());
    hasher.update(neighbourhood(peer).to_string().as_bytes()).update(&[0]);
    hasher.update(&proof.map_or([0; 16], |proof| proof.0)).update(program.as_bytes());
    on_day(at_ms, *hasher.finalize().as_bytes().first_chunk().expect("a hash is 32 bytes"))
}

/// The row for those of a day that are too many for rows of their own.
pub(crate) fn row_of_many(at_ms: i64, result: SignInResult) -> Row {
    let mut name = MANY;
    name[7] = u8::from(result == SignInResult::Ok);
    on_day(at_ms, name)
}

/// Whether a row stands for many networks.
pub(crate) fn is_of_many(row: &Row) -> bool {
    row[4..11] == MANY[..7]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_day_differ_by_what_people_tell_sign_ins_apart_by() {
        let (one, next_door, elsewhere) = ("192.0.2.1", "192.0.2.200", "198.51.100.1");
        let of = |at, service, result, peer: &str, proof: Option<u8>, program| {
            row(at, (service, result), peer.parse().unwrap(), proof.map(|n| Proof([n; 16])), program)
        };
        let plain = of(1_000, Service::Imap, SignInResult::Ok, one, None, "");
        assert_eq!(plain, of(DAY_MS - 1, Service::Imap, SignInResult::Ok, next_door, None, ""));
        let others = [
            of(DAY_MS, Service::Imap, SignInResult::Ok, one, None, ""),
            of(1_000, Service::Smtp, SignInResult::Ok, one, None, ""),
            of(1_000, Service::Imap, SignInResult::Wrong, one, None, ""),
            of(1_000, Service::Imap, SignInResult::Ok, elsewhere, None, ""),
            of(1_000, Service::Imap, SignInResult::Ok, one, Some(1), ""),
            of(1_000, Service::Imap, SignInResult::Ok, one, None, "Firefox"),
            row_of_many(1_000, SignInResult::Ok),
            row_of_many(1_000, SignInResult::Wrong),
            row_of_many(DAY_MS, SignInResult::Wrong),
        ];
        let distinct: std::collections::HashSet<Row> = others.iter().copied().chain([plain]).collect();
        assert_eq!(distinct.len(), others.len() + 1);
        assert!(is_of_many(&others[7]) && !is_of_many(&plain));
        for address in ["2001:db8:1::1", "::ffff:192.0.2.9", "192.0.2.9"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(neighbourhood(neighbourhood(address)), neighbourhood(address), "{address}");
        }
    }
}
