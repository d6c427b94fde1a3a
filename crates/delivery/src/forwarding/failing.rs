//! An address that refuses what is forwarded to it: counted, and paused when nothing gets through.

use directory::AccountId;
use mailkit::EmailAddress;
use prost::Message as _;
use store::Tx;

use super::{PAUSED_AFTER, TargetRecord, load, target_key};
use crate::{Delivery, Result};

/// Most characters of a failure that are kept.
const MAX_WHY_CHARS: usize = 300;

/// What became of one message at an address that an account forwards to.
pub struct Tried<'a> {
    /// The address.
    pub address: &'a str,
    /// `None`: it was taken. Otherwise why it never will be.
    pub failure: Option<&'a str>,
}

/// Notes it. The address, if it is paused by that.
///
/// # Errors
/// Those of reading.
pub fn note_in(tx: &mut Tx<'_>, account: AccountId, tried: &Tried<'_>) -> Result<Option<EmailAddress>> {
    let Ok(address) = EmailAddress::parse(tried.address) else { return Ok(None) };
    let (realm, key, now_ms) = (account.realm(), target_key(&address), tx.now_ms());
    // A rule may send mail where no forwarding does.
    let Some(mut record) = load::<TargetRecord>(tx, realm, &key)? else { return Ok(None) };
    match tried.failure {
        None if record.failures == 0 => return Ok(None),
        None => record.failures = 0,
        Some(why) => {
            record.failures = record.failures.saturating_add(1);
            record.last_failure = why.chars().filter(|c| !c.is_control()).take(MAX_WHY_CHARS).collect();
            record.last_failure_ms = now_ms;
        }
    }
    let is_paused = record.failures >= PAUSED_AFTER && record.paused_ms == 0;
    if is_paused {
        record.paused_ms = now_ms;
    }
    tx.put(realm, key, record.encode_to_vec());
    Ok(is_paused.then_some(address))
}

impl Delivery {
    /// Tells an account that forwarding to an address is paused.
    pub(crate) async fn tell_of_paused_forward(&self, account: AccountId, address: &EmailAddress) -> Result<()> {
        let Some(owner) = self.inner.directory.account(account)? else { return Ok(()) };
        metrics::counter!("holdfast_delivery_forwarding_paused_total").increment(1);
        tracing::warn!(account = account.0, "forwarding to an address is paused: it refuses everything");
        let found = self.forwarding(account)?.targets.into_iter().find(|target| target.address == *address);
        let Some(super::ForwardState::Paused { why }) = found.map(|target| target.state) else { return Ok(()) };
        let text = format!(
            "Mail from {} is no longer forwarded to {address}, because the last {PAUSED_AFTER} messages were refused there.\n\n\
             The last reason was:\n\n{why}\n\n\
             From now on your mail stays here. When the address works again, open Settings, Forwarding and press Resume. If it is \
             not in use any more, remove it there.\n",
            owner.address
        );
        self.file_notice(&owner, &format!("Forwarding to {address} is paused"), text, |_| Ok(true)).await
    }
}
