//! Completing an address while it is typed: people written to, people who wrote, contacts and groups.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use mailkit::fold::loose;
use mailkit::visible::on_one_line;
use mailkit::{EmailAddress, NamedAddress};
use mailstore::Acquaintance;

use crate::caller::Caller;
use crate::contacts;
use crate::error::Result;

/// People offered at once.
const OFFERED: usize = 7;
/// People written to that are considered for one prefix.
const CONSIDERED: usize = 100;
/// Longest prefix that is looked for, in characters.
const MAX_PREFIX: usize = 80;
/// What was typed so far.
#[derive(serde::Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
}

/// Somebody to be offered.
struct Offer {
    name: String,
    /// The address, or how many a group holds.
    address: String,
    /// What is put into the field.
    value: String,
}

/// `GET /complete?q=`
pub async fn complete(caller: Caller, Query(asked): Query<Asked>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let prefix: String = asked.q.trim().chars().take(MAX_PREFIX).collect();
            let offers = offers(caller, &prefix)?;
            let mut people = Vec::with_capacity(offers.len());
            for offer in offers {
                let face = contacts::face(caller, &offer.name, &offer.address)?;
                people.push(serde_json::json!({
                    "name": on_one_line(&offer.name), "address": offer.address, "value": offer.value,
                    "initial": face.initial, "hue": face.hue, "picture": face.picture, "book": face.book,
                }));
            }
            Ok(Json(people).into_response())
        })
        .await
}

/// The people that a prefix could mean: name and address.
pub fn people(caller: &Caller, prefix: &str) -> Result<Vec<(String, String)>> {
    if prefix.is_empty() {
        return Ok(Vec::new());
    }
    let offers = offers(caller, &prefix.chars().take(MAX_PREFIX).collect::<String>())?.into_iter();
    let people = offers.filter(|offer| offer.address.contains('@'));
    Ok(people.map(|offer| (on_one_line(&offer.name), offer.address)).collect())
}

/// Those with whom mail goes to and fro, often and lately first; contacts among them bear the name of the address book, and
/// those and groups with whom none does come after.
fn offers(caller: &Caller, prefix: &str) -> Result<Vec<Offer>> {
    let now_ms = caller.now_ms();
    let mut known = acquaintances(caller, prefix)?;
    if caller.site.people.hides_written(caller.realm)? {
        // Only contacts are offered; how often they are written to still says who comes first.
        let mut contacts = HashMap::new();
        for (address, who) in known {
            if !caller.site.people.by_address(caller.realm, &address)?.is_empty() {
                contacts.insert(address, who);
            }
        }
        known = contacts;
    }
    let mut others = Vec::new();
    for (name, address, value) in contacts::suggestions(caller, prefix, OFFERED)? {
        match known.get_mut(&address.to_lowercase()) {
            Some(who) if !name.is_empty() => who.name = name,
            Some(_) => {}
            None => others.push(Offer { name, address, value }),
        }
    }
    let mut ranked: Vec<Acquaintance> = known.into_values().collect();
    let order = |who: &Acquaintance| (std::cmp::Reverse(who.rank(now_ms)), std::cmp::Reverse(who.last_ms));
    ranked.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.address.cmp(&b.address)));
    // However busy the mailbox, the address book has its say.
    ranked.truncate(OFFERED - others.len().min(OFFERED / 2));
    let written = ranked.into_iter().map(|who| {
        let value = match EmailAddress::parse(&who.address) {
            Ok(address) => NamedAddress { name: who.name.clone(), address }.to_string(),
            Err(_) => who.address.clone(),
        };
        Offer { name: who.name, address: who.address, value }
    });
    let mut seen = HashSet::new();
    let mut all: Vec<Offer> = written.chain(others).collect();
    // Each address once. Groups have none; those that hold equally many are not the same.
    all.retain(|offer| {
        let key = if offer.address.contains('@') { &offer.address } else { &offer.value };
        seen.insert(key.to_lowercase())
    });
    all.truncate(OFFERED);
    Ok(all)
}

/// The people of the newest mail, looked up now or a little earlier.
fn of_newest_mail(caller: &Caller) -> Result<Arc<[Acquaintance]>> {
    let seq = caller.site.mailstore.state(caller.realm);
    if let Some(people) = caller.site.known.get(caller.account, seq) {
        return Ok(people);
    }
    let mut people = caller.site.mailstore.acquaintances(caller.realm)?;
    people.retain(|who| !caller.is_me(&who.address) && EmailAddress::parse(&who.address).is_ok());
    let people: Arc<[Acquaintance]> = people.into();
    caller.site.known.put(caller.account, seq, people.clone());
    Ok(people)
}

/// Those whose address, name or a word of whose name begins with the prefix, by address in lower case.
fn acquaintances(caller: &Caller, prefix: &str) -> Result<HashMap<String, Acquaintance>> {
    let written = caller.site.mailstore.correspondents(caller.realm, prefix, CONSIDERED)?;
    let written = written.into_iter().map(|who| Acquaintance {
        name: who.name,
        address: who.address,
        written: who.count,
        received: 0,
        last_ms: who.last_ms,
    });
    let mut known: HashMap<String, Acquaintance> = written.map(|who| (who.address.to_lowercase(), who)).collect();
    let (in_address, in_name) = (prefix.to_lowercase(), loose(prefix));
    for who in of_newest_mail(caller)?.iter() {
        let address = who.address.to_lowercase();
        if !address.starts_with(&in_address) && !begins(&who.name, &in_name) {
            continue;
        }
        let same = known.entry(address).or_insert_with(|| who.clone());
        // What was sent from here is in Sent too: it counts once.
        same.written = same.written.max(who.written);
        same.received = who.received;
        same.last_ms = same.last_ms.max(who.last_ms);
        if same.name.is_empty() {
            same.name.clone_from(&who.name);
        }
    }
    Ok(known)
}

fn begins(name: &str, prefix: &str) -> bool {
    let name = loose(name);
    name.starts_with(prefix)
        || name.split(|c: char| !c.is_alphanumeric()).any(|word| !word.is_empty() && word.starts_with(prefix))
}
