//! Return addresses of what is sent on: made with a secret of the service, and led back when a report comes to one.
//!
//! The secrets are records of the service, sealed like its others, so that a standby and a restored service have them. A new
//! one is made every [`RENEW_DAYS`]; those before it are good for reading as long as an address that was made with them.

use directory::ServiceChange;
use mailkit::EmailAddress;
use mailkit::srs::{DAYS_GOOD, Srs, is_rewritten};
use rand::RngExt as _;
use zeroize::Zeroizing;

use crate::outbound::Reply;
use crate::outbound::transaction::Fate;
use crate::schema::MessageRecord;
use crate::{Delivery, Refusal, Result};

/// Names of the records begin with it; the time at which a secret was made and a number by chance follow, in hexadecimal.
const NAMES: &str = "srs/";
/// How old the newest secret may be.
pub const RENEW_DAYS: i64 = 30;
const SECRET_BYTES: usize = 32;
const DAY_MS: i64 = 86_400_000;
/// How long a secret is good for reading after a newer one was made: as long as an address, and a day for clocks.
const KEEP_MS: i64 = (DAYS_GOOD as i64 + 2) * DAY_MS;

/// The secrets, newest first.
struct Secrets {
    made: Vec<(i64, String, Zeroizing<Vec<u8>>)>,
    /// One could not be opened.
    is_sealed: bool,
}

impl Secrets {
    fn srs(&self) -> Srs {
        Srs::new(self.made.iter().map(|(.., secret)| secret.as_slice()))
    }
}

impl Delivery {
    fn srs_secrets(&self) -> Result<Secrets> {
        let mut secrets = Secrets { made: Vec::new(), is_sealed: false };
        for entry in self.inner.directory.service_records(NAMES)? {
            let made = entry.name.strip_prefix(NAMES).and_then(|rest| rest.split('-').next());
            let Some(made_ms) = made.and_then(|at| i64::from_str_radix(at, 16).ok()) else { continue };
            match entry.secret {
                Ok(secret) => secrets.made.push((made_ms, entry.name, secret)),
                Err(_) => secrets.is_sealed = true,
            }
        }
        secrets.made.sort_by_key(|(made_ms, ..)| std::cmp::Reverse(*made_ms));
        Ok(secrets)
    }

    /// What return addresses are made with now; makes a new secret where that is due.
    async fn srs(&self) -> Result<Option<Srs>> {
        let secrets = self.srs_secrets()?;
        if secrets.is_sealed {
            return Ok(None);
        }
        let now_ms = self.now_ms();
        let newest = secrets.made.first().map(|(made_ms, ..)| *made_ms);
        if newest.is_some_and(|made_ms| now_ms - made_ms < RENEW_DAYS * DAY_MS) {
            return Ok(Some(secrets.srs()));
        }
        let secret: [u8; SECRET_BYTES] = rand::rng().random();
        let put = ServiceChange::Put {
            // Two attempts may make one each at the same moment: then both are good.
            name: format!("{NAMES}{:016x}-{:08x}", now_ms.max(0), rand::rng().random::<u32>()),
            open: Vec::new(),
            secret: Zeroizing::new(secret.to_vec()),
        };
        let mut changes = vec![put];
        // One that was followed by another long enough ago reads nothing any longer.
        for pair in secrets.made.windows(2) {
            if now_ms - pair[0].0 > KEEP_MS {
                changes.push(ServiceChange::Remove(pair[1].1.clone()));
            }
        }
        self.inner.directory.change_service_records(changes).await?;
        tracing::info!("made a new secret for return addresses of forwarded mail");
        Ok(Some(self.srs_secrets()?.srs()))
    }

    /// The sender of the envelope as the next server sees it.
    ///
    /// # Errors
    /// It can't be made now.
    pub(crate) async fn sender_outside(&self, record: &MessageRecord) -> Result<String, Fate> {
        let Some(forwarded) = &record.forwarded else { return Ok(record.from.clone()) };
        if record.from.is_empty() {
            return Ok(String::new());
        }
        let later = |why: &str| Fate::Deferred(Reply::new(451, why));
        let srs = match self.srs().await {
            Ok(Some(srs)) => srs,
            Ok(None) => {
                return Err(later(
                    "4.7.5 the return address can't be made at the moment: the secrets key of this server is missing, \
                     and its administrators know of it",
                ));
            }
            Err(error) => {
                tracing::error!(%error, "could not read the secrets of return addresses");
                return Err(later("4.3.0 the return address can't be made at the moment"));
            }
        };
        let unusable = || Fate::Failed(Reply::new(553, "5.1.7 the sender's address can't be used"));
        let owner = EmailAddress::parse(&forwarded.owner).map_err(|_| unusable())?;
        let at = self.now_ms() / 1_000;
        let of_sender = || {
            let sender = EmailAddress::parse(&record.from).ok()?;
            if self.is_in_our_domain(&sender).ok()? {
                // A domain of ours vouches for us as it is.
                return Some(sender);
            }
            srs.forward(&sender, owner.domain(), at).ok()
        };
        // Reports about mail of a sender who is not proved come to the owner: the sender may be somebody else.
        let made = if forwarded.is_proven { of_sender() } else { None };
        match made {
            Some(made) => Ok(made.to_string()),
            None => Ok(srs.wrap(&owner, owner.domain(), at).map_err(|_| unusable())?.to_string()),
        }
    }

    /// Whether an address is a return address of ours, be it a forged one.
    pub(crate) fn is_return(&self, address: &EmailAddress) -> bool {
        is_rewritten(address) && self.inner.directory.domain(address.domain()).is_ok_and(|found| found.is_some())
    }

    /// Where mail to a return address goes; `None` if the address is none of that form.
    ///
    /// # Errors
    /// It was not made here, or is too old.
    pub(crate) fn led_back(&self, address: &EmailAddress) -> Result<Option<EmailAddress>, Refusal> {
        if !self.is_return(address) {
            return Ok(None);
        }
        let secrets = self.srs_secrets().map_err(|error| {
            tracing::error!(%error, "could not read the secrets of return addresses");
            Refusal::unavailable()
        })?;
        match secrets.srs().back(address, self.now_ms() / 1_000) {
            Ok(original) => Ok(Some(original)),
            // It may be by the one that can't be opened.
            Err(mailkit::srs::SrsError::Hash) if secrets.is_sealed => Err(Refusal::unavailable()),
            Err(error) => {
                metrics::counter!("holdfast_delivery_return_addresses_refused_total").increment(1);
                Err(Refusal::bad_return_address(address, &error.to_string()))
            }
        }
    }
}
