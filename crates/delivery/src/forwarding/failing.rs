//! An address that refuses what is forwarded to it: counted, and paused when nothing gets through.

use directory::AccountId;
use mailkit::EmailAddress;
use prost::Message as _;
use store::Tx;

use super::{PAUSED_AFTER, TargetRecord, load, records, target_key};
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

/// Notes it. Whether the address is paused by that, which its account is owed to be told.
///
/// # Errors
/// Those of reading.
pub fn note_in(tx: &mut Tx<'_>, account: AccountId, tried: &Tried<'_>) -> Result<bool> {
    let Ok(address) = EmailAddress::parse(tried.address) else { return Ok(false) };
    let (realm, key, now_ms) = (account.realm(), target_key(&address), tx.now_ms());
    // A rule may send mail where no forwarding does.
    let Some(mut record) = load::<TargetRecord>(tx, realm, &key)? else { return Ok(false) };
    match tried.failure {
        None if record.failures == 0 => return Ok(false),
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
        record.is_pause_untold = true;
    }
    tx.put(realm, key, record.encode_to_vec());
    Ok(is_paused)
}

impl Delivery {
    /// Tells an account of addresses to which forwarding is paused, once each.
    pub(crate) async fn tell_of_paused_forwards(&self, account: AccountId) -> Result<()> {
        let records = records(&self.inner.store.snapshot(), account.realm())?;
        for record in records.into_iter().filter(|record| record.is_pause_untold) {
            self.tell_of_paused_forward(account, &record).await?;
        }
        Ok(())
    }

    async fn tell_of_paused_forward(&self, account: AccountId, record: &TargetRecord) -> Result<()> {
        let Some(owner) = self.inner.directory.account(account)? else { return Ok(()) };
        let Ok(address) = EmailAddress::parse(&record.address) else { return Ok(()) };
        metrics::counter!("holdfast_delivery_forwarding_paused_total").increment(1);
        tracing::warn!(account = account.0, "forwarding to an address is paused: it refuses everything");
        let text = format!(
            "Mail from {} is no longer forwarded to {address}, because the last {PAUSED_AFTER} messages were refused there.\n\n\
             The last reason was:\n\n{}\n\n\
             From now on your mail stays here. When the address works again, open Settings, Forwarding and press Resume. If it is \
             not in use any more, remove it there.\n",
            owner.address, record.last_failure
        );
        let (realm, key) = (account.realm(), target_key(&address));
        let also = move |tx: &mut Tx<'_>| {
            // It may have been resumed or removed meanwhile, and then there is nothing to tell.
            let now = load::<TargetRecord>(tx, realm, &key)?.filter(|now| now.is_pause_untold && now.paused_ms != 0);
            let Some(now) = now else { return Ok(false) };
            tx.put(realm, key.clone(), TargetRecord { is_pause_untold: false, ..now }.encode_to_vec());
            Ok(true)
        };
        self.file_notice(&owner, &format!("Forwarding to {address} is paused"), text, also).await
    }
}
