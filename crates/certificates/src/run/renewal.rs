//! When the authority wants certificates renewed (ARI, RFC 9773).

use doorkit::Presented;
use instant_acme::{Account, CertificateIdentifier};

use super::{Certificates, Inner};
use crate::{
    attempt::{self, Attempt},
    names::Group,
    patience::Window,
};

/// When to ask again an authority that gave no answer.
const ASK_LATER_MS: i64 = 6 * 3_600_000;

impl Certificates {
    fn authority(&self) -> &str {
        &self.inner.options.authority
    }

    /// The authority's window for a certificate, if it says one.
    pub(super) async fn window(
        &self,
        account: &Account,
        presented: &Presented,
        before: Option<&Window>,
    ) -> Option<Window> {
        attempt::window(account, &identifier(presented)?, before, self.now_ms()).await
    }

    /// Asks the authority when a certificate is to be renewed, once the time for that has come (again).
    pub(super) async fn ask_about_renewal(&self, group: &Group) {
        let now_ms = self.now_ms();
        let Some(entry) = self.inner.entries.read().get(&group.id).cloned() else { return };
        let Some(presented) = entry.presented.as_ref().filter(|_| !entry.state.is_to_be_replaced(self.authority()))
        else {
            return;
        };
        if entry.state.ask_renewal_ms(now_ms) > now_ms {
            return;
        }
        let Inner { options, client, keep, tls, tokens, .. } = &*self.inner;
        let attempt = Attempt { options, client, keep, tls, tokens };
        let before = entry.state.window.as_ref();
        let asked = match attempt.account().await {
            Ok(account) => self.window(&account, presented, before).await,
            Err(_) => None,
        };
        // Without an answer what it said before holds.
        let later = || before.map(|before| Window { ask_again_ms: now_ms + ASK_LATER_MS, ..before.clone() });
        let mut state = entry.state.clone();
        state.window = asked.or_else(later);
        state.asked_ms = Some(now_ms);
        if let Some(entry) = self.inner.entries.write().get_mut(&group.id) {
            entry.state.window.clone_from(&state.window);
            entry.state.asked_ms = state.asked_ms;
        }
        if let Err(error) = self.inner.keep.put_state(&group.id, &state).await {
            tracing::error!(%error, group = group.id, "could not keep the state of a certificate");
        }
    }
}

/// How a certificate is called where renewal is asked about (RFC 9773 section 4.1).
pub(super) fn identifier(presented: &Presented) -> Option<CertificateIdentifier<'static>> {
    let (authority_key, serial) = presented.authority_key_and_serial()?;
    let der = rustls_pki_types::Der::from_slice;
    Some(CertificateIdentifier::new(der(&authority_key), der(&serial)).into_owned())
}
