//! Where a domain's reports go: the addresses of `rua=`, and whether those in other organisations want them (RFC 9990
//! section 4, RFC 7489 section 7.1).

use ::reports::organisation_of;
use dnskit::{DnsError, Resolver};
use filter::sender::dmarc::Record;
use mailkit::EmailAddress;

/// Most addresses of one domain that get its report.
const MAX_ADDRESSES: usize = 3;

/// An address that wants a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Where it goes.
    pub to: EmailAddress,
    /// The largest message that is wanted there.
    pub max_bytes: Option<u64>,
}

/// An URI of `rua=`: `mailto:address!10m`.
pub fn read(uri: &str) -> Option<Destination> {
    let uri = uri.trim();
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("mailto") {
        return None;
    }
    let (address, size) = rest.split_once('!').map_or((rest, None), |(address, size)| (address, Some(size)));
    let address = address.split('?').next().unwrap_or_default();
    let to = EmailAddress::parse(&unescaped(address)?).ok().filter(|to| !to.domain().starts_with('['))?;
    let max_bytes = match size {
        None => None,
        Some(size) => Some(read_size(size)?),
    };
    Some(Destination { to, max_bytes })
}

fn read_size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let (digits, shift) = match text.char_indices().last()? {
        (at, 'k') => (&text[..at], 10),
        (at, 'm') => (&text[..at], 20),
        (at, 'g') => (&text[..at], 30),
        (at, 't') => (&text[..at], 40),
        _ => (text.as_str(), 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// `%40` and the like.
fn unescaped(text: &str) -> Option<String> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((byte, more)) = rest.split_first() {
        rest = more;
        if *byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            out.push(*byte);
        }
    }
    String::from_utf8(out).ok()
}

/// The addresses that get the report about `domain`, whose record has `rua`.
///
/// # Errors
/// The DNS gave no answer about one of them: ask again later.
pub async fn wanted(domain: &str, rua: &[String], resolver: &dyn Resolver) -> Result<Vec<Destination>, DnsError> {
    let mut found: Vec<Destination> = Vec::new();
    for one in rua.iter().filter_map(|uri| read(uri)) {
        let host = one.to.domain().to_owned();
        let accepted = if organisation_of(&host) == organisation_of(domain) {
            vec![one]
        } else {
            external(domain, &host, one, resolver).await?
        };
        for one in accepted {
            if found.len() < MAX_ADDRESSES && !found.iter().any(|known| known.to == one.to) {
                found.push(one);
            }
        }
    }
    Ok(found)
}

/// What another organisation says about reports about `domain`.
async fn external(
    domain: &str,
    host: &str,
    one: Destination,
    resolver: &dyn Resolver,
) -> Result<Vec<Destination>, DnsError> {
    let texts = match resolver.txt(&format!("{domain}._report._dmarc.{host}")).await {
        Ok(texts) => texts,
        Err(error) if error.is_final() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let records: Vec<Record> = texts.iter().filter_map(|text| Record::read(text)).collect();
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let instead: Vec<Option<Destination>> =
        records.iter().flat_map(|record| &record.reports).map(|uri| read(uri)).collect();
    if instead.is_empty() {
        return Ok(vec![one]);
    }
    // Only to the host that was named, or to nobody.
    let is_there = |one: &Option<Destination>| one.as_ref().is_some_and(|one| one.to.domain() == host);
    Ok(if instead.iter().all(is_there) { instead.into_iter().flatten().collect() } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dnskit::{Kind, Zone};

    #[test]
    fn uris_have_an_address_and_perhaps_a_size() {
        let of = |uri: &str| read(uri).map(|one| (one.to.to_string(), one.max_bytes));
        let some = |address: &str, size| Some((address.to_owned(), size));
        assert_eq!(of("mailto:a@b.example"), some("a@b.example", None));
        assert_eq!(of(" MAILTO:a%2Bx@b.example!10m "), some("a+x@b.example", Some(10 << 20)));
        assert_eq!(of("mailto:a@b.example!500"), some("a@b.example", Some(500)));
        assert_eq!(of("mailto:a@b.example?subject=x"), some("a@b.example", None));
        for none in [
            "a@b.example",
            "https://b.example/x",
            "mailto:",
            "mailto:a@[192.0.2.1]",
            "mailto:a@b.example!x",
            "mailto:a@b.example!",
            "mailto:%zz@b.example",
            "mailto:a@b.example!99999999999999999t",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[tokio::test]
    async fn other_organisations_have_to_want_reports() {
        let zone = Zone::new();
        let say = |host: &str, text: &str| zone.text(&format!("far.example._report._dmarc.{host}"), text);
        say("yes.example", "v=DMARC1");
        say("other.example", "v=DMARC1; rua=mailto:new@other.example");
        say("away.example", "v=DMARC1; rua=mailto:victim@elsewhere.example");
        say("wrong.example", "yes");
        let of = async |rua: &[&str]| {
            let rua: Vec<String> = rua.iter().map(|&uri| uri.to_owned()).collect();
            let found = wanted("far.example", &rua, &zone).await;
            found.map(|all| all.iter().map(|one| one.to.to_string()).collect::<Vec<_>>())
        };
        for (rua, to) in [
            (&["mailto:a@far.example"][..], &["a@far.example"][..]),
            (&["mailto:a@sub.far.example"], &["a@sub.far.example"]),
            (&["mailto:a@yes.example"], &["a@yes.example"]),
            (&["mailto:a@other.example"], &["new@other.example"]),
            (&["mailto:a@away.example"], &[]),
            (&["mailto:a@wrong.example"], &[]),
            (&["mailto:a@silent.example"], &[]),
            (&["mailto:a@notfar.example", "mailto:b@far.example"], &["b@far.example"]),
            (&["mailto:a@far.example", "mailto:a@far.example!1k"], &["a@far.example"]),
        ] {
            assert_eq!(of(rua).await.unwrap(), to, "{rua:?}");
        }
        let trouble = Err(DnsError::Temporary("SERVFAIL".to_owned()));
        zone.say("far.example._report._dmarc.broken.example", Kind::Txt, trouble);
        assert!(of(&["mailto:a@broken.example"]).await.is_err());
    }
}
