//! How far an address reaches: what strangers name must not lead into a network of our own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Anywhere.
    Public,
    /// A network behind somebody's router.
    Private,
    /// This machine or this wire, or no host at all.
    Machine,
}

impl Reach {
    /// That of an address, as the DNS or a stranger names it.
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => reach_of_v4(ip),
            IpAddr::V6(ip) => reach_of_v6(ip),
        }
    }
}

fn reach_of_v4(ip: Ipv4Addr) -> Reach {
    let [a, b, c, _] = ip.octets();
    let nowhere =
        ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || a == 0 || a >= 240;
    // RFC 1918, RFC 6598 (carriers), RFC 6890 (protocol assignments) and RFC 2544 (benchmarks).
    let is_private = ip.is_private()
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && (18..20).contains(&b));
    match (nowhere, is_private) {
        (true, _) => Reach::Machine,
        (_, true) => Reach::Private,
        _ => Reach::Public,
    }
}

fn reach_of_v6(ip: Ipv6Addr) -> Reach {
    let segments = ip.segments();
    let tail = |at: usize| {
        let [high, low] = [segments[at], segments[at + 1]].map(u16::to_be_bytes);
        Ipv4Addr::new(high[0], high[1], low[0], low[1])
    };
    match segments {
        _ if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local() => {
            Reach::Machine
        }
        // Addresses of the other family in another dress: mapped, compatible, translated (RFC 6052), and 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0 | 0xFFFF, ..] | [0x64, 0xFF9B, 0, 0, 0, 0, ..] => reach_of_v4(tail(6)),
        [0x2002, ..] => reach_of_v4(tail(1)),
        // Unique local (RFC 4193), site local (RFC 3879), local translation (RFC 8215).
        [first, ..] if first & 0xFE00 == 0xFC00 || first & 0xFFC0 == 0xFEC0 => Reach::Private,
        [0x64, 0xFF9B, 1, ..] => Reach::Private,
        _ => Reach::Public,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_open_internet_is_told_apart_in_every_dress() {
        for (address, reach) in [
            ("8.8.8.8", Reach::Public),
            ("2001:db8::1", Reach::Public),
            ("10.1.2.3", Reach::Private),
            ("172.16.0.1", Reach::Private),
            ("192.168.1.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("fd00::1", Reach::Private),
            ("64:ff9b::10.0.0.1", Reach::Private),
            ("::ffff:192.168.0.1", Reach::Private),
            ("2002:0a00:0001::", Reach::Private),
            ("127.0.0.1", Reach::Machine),
            ("169.254.169.254", Reach::Machine),
            ("0.0.0.0", Reach::Machine),
            ("224.0.0.1", Reach::Machine),
            ("255.255.255.255", Reach::Machine),
            ("::", Reach::Machine),
            ("::1", Reach::Machine),
            ("::ffff:127.0.0.1", Reach::Machine),
            ("fe80::1", Reach::Machine),
            ("ff02::1", Reach::Machine),
        ] {
            assert_eq!(Reach::of(address.parse().unwrap()), reach, "{address}");
        }
    }
}
