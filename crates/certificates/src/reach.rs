//! Whether a name leads to this service: names of customers that lead elsewhere are not ordered, since the authority would look
//! there, and count a failure.

use std::net::IpAddr;

use dnskit::Resolver;

/// What is said of a name that the DNS has no address for.
pub const NO_ADDRESS: &str = "has no address in the DNS";

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leads {
    /// To us.
    Here,
    /// Not to us, or nowhere: why.
    Elsewhere(String),
    /// The DNS did not answer.
    Unknown(String),
}

/// The addresses of this service: those that its own names lead to, and those that it listens on.
///
/// # Errors
/// The DNS did not answer, and nothing else is known.
pub async fn our_addresses(
    resolver: &dyn Resolver,
    own_names: &[String],
    listening: &[IpAddr],
) -> Result<Vec<IpAddr>, String> {
    let mut all: Vec<IpAddr> =
        listening.iter().map(IpAddr::to_canonical).filter(|address| !address.is_unspecified()).collect();
    let mut why = None;
    for name in own_names {
        match resolver.addresses(name).await {
            Ok(found) => all.extend(found.iter().map(IpAddr::to_canonical)),
            Err(error) if error.is_final() => {}
            Err(error) => why = Some(format!("{name}: {error}")),
        }
    }
    match why {
        // Without the address of the one name that failed, another name could seem to lead elsewhere.
        Some(why) if all.iter().all(IpAddr::is_loopback) => Err(why),
        _ => Ok(all),
    }
}

/// Where `name` leads, if `ours` are our addresses.
pub async fn leads(resolver: &dyn Resolver, name: &str, ours: &[IpAddr]) -> Leads {
    match resolver.addresses(name).await {
        Ok(found) if found.iter().any(|address| ours.contains(&address.to_canonical())) => Leads::Here,
        Ok(found) => {
            let shown: Vec<String> = found.iter().take(4).map(ToString::to_string).collect();
            Leads::Elsewhere(format!("leads to {}, which is not this service", shown.join(", ")))
        }
        Err(error) if error.is_final() => Leads::Elsewhere(NO_ADDRESS.to_owned()),
        Err(error) => Leads::Unknown(error.to_string()),
    }
}
