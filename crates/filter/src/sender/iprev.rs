//! The name of the client's address (RFC 8601 section 3).

use std::net::IpAddr;

use dnskit::Resolver;

use super::outcome::Outcome;

/// Most names of one address that are looked at.
const MAX_NAMES: usize = 5;

/// The client's name, if one leads back to its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IprevResult {
    /// `pass`, `fail`, `temperror`; `permerror` if it has no name.
    pub outcome: Outcome,
    /// The name that is proved.
    pub name: Option<String>,
}

/// Asks for the names of an address, and whether they are its own.
pub async fn check(ip: IpAddr, resolver: &dyn Resolver) -> IprevResult {
    let ip = ip.to_canonical();
    let names = match resolver.names_of(ip).await {
        Ok(names) => names,
        Err(error) => {
            let outcome = if error.is_final() { Outcome::PermError } else { Outcome::TempError };
            return IprevResult { outcome, name: None };
        }
    };
    let mut unsure = false;
    for name in names.into_iter().take(MAX_NAMES) {
        match resolver.addresses(&name).await {
            Ok(addresses) if addresses.contains(&ip) => {
                return IprevResult { outcome: Outcome::Pass, name: Some(name) };
            }
            Ok(_) => {}
            Err(error) => unsure |= !error.is_final(),
        }
    }
    IprevResult { outcome: if unsure { Outcome::TempError } else { Outcome::Fail }, name: None }
}
