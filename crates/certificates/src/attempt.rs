//! One order: from the account to the chain of certificates. A service that was killed in the middle goes on with the order that
//! it had begun, or begins another one.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use doorkit::{ChallengeAnswer, Presented, Tls};
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier, KeyAuthorization, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use parking_lot::RwLock;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use zeroize::Zeroizing;

use crate::{
    Options, Proof,
    client::Client,
    hook::{self, Act},
    keep::{Begun, Keep},
    patience::Window,
    trouble::{self, RefusedName, Trouble},
};

/// How long an authority may take to look for the proofs, and to issue.
const DECIDES_WITHIN: Duration = Duration::from_secs(120);

/// The answers to questions by HTTP, by token. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tokens {
    answers: Arc<RwLock<HashMap<String, String>>>,
}

impl Tokens {
    /// The answer to a question, if it was expected.
    pub fn answer(&self, token: &str) -> Option<String> {
        self.answers.read().get(token).cloned()
    }

    fn expect(&self, token: &str, answer: &str) -> TokenAnswer {
        self.answers.write().insert(token.to_owned(), answer.to_owned());
        TokenAnswer { of: self.clone(), token: token.to_owned() }
    }
}

/// As long as it lives, the question is answered.
struct TokenAnswer {
    of: Tokens,
    token: String,
}

impl Drop for TokenAnswer {
    fn drop(&mut self) {
        self.of.answers.write().remove(&self.token);
    }
}

/// A proof as it was put in place. It is withdrawn when it is dropped, a DNS record by [`Attempt::withdraw`].
enum Placed {
    Http { _answer: TokenAnswer },
    Tls { _answer: ChallengeAnswer },
    Dns { name: String, value: String },
}

/// A new certificate.
pub struct Obtained {
    /// The chain, PEM.
    pub chain: String,
    /// Its key, PEM.
    pub key: Zeroizing<String>,
    /// Both, as they are presented.
    pub presented: Presented,
}

/// What an order needs.
pub struct Attempt<'a> {
    pub options: &'a Options,
    pub client: &'a Client,
    pub keep: &'a Keep,
    pub tls: &'a Tls,
    pub tokens: &'a Tokens,
}

impl Attempt<'_> {
    /// The account at the authority; made when there is none.
    pub async fn account(&self) -> Result<Account, Trouble> {
        let authority = &self.options.authority;
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        if let Some(known) = self.keep.account(authority)? {
            return builder.from_credentials(known).await.map_err(|error| trouble::of(&error, &[]));
        }
        let contact: Vec<&str> = self.options.contact.iter().map(String::as_str).collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let external = self.options.external_account.as_ref();
        let external = external.map(|own| instant_acme::ExternalAccountKey::new(own.id.clone(), &own.key));
        let made = builder.create(&new, authority.clone(), external.as_ref()).await;
        let (account, credentials) = made.map_err(|error| trouble::of(&error, &[]))?;
        self.keep.put_account(authority, &credentials).await?;
        tracing::info!(authority, "made an account at the certificate authority");
        Ok(account)
    }

    /// Obtains a certificate for `names`. `proof_of` says how each is proved.
    pub async fn obtain(
        &self,
        account: &Account,
        (group, names): (&str, &[String]),
        replaces: Option<CertificateIdentifier<'static>>,
        proof_of: &(dyn Fn(&str) -> Proof + Sync),
    ) -> Result<Obtained, Trouble> {
        let (mut order, begun) = self.order(account, group, names, replaces).await?;
        let outcome = self.complete(&mut order, &begun, proof_of).await;
        match &outcome {
            // The authority may have had the fault: the order is gone on with.
            Ok(_) | Err(Trouble::Away(_) | Trouble::Hold { .. } | Trouble::Directory(_)) => {}
            Err(_) => self.keep.end_order(group).await?,
        }
        outcome
    }

    /// The order that was begun, if it is for these names and the authority still has it; otherwise a new one.
    async fn order(
        &self,
        account: &Account,
        group: &str,
        names: &[String],
        replaces: Option<CertificateIdentifier<'static>>,
    ) -> Result<(Order, Begun), Trouble> {
        if let Some(begun) = self.keep.order(group)? {
            if begun.authority == self.options.authority && begun.names == names {
                match account.order(begun.url.clone()).await {
                    Ok(mut order) => {
                        if order.state().status != OrderStatus::Invalid {
                            tracing::info!(group, "going on with the order that was begun before");
                            return Ok((order, begun));
                        }
                    }
                    Err(error) => {
                        let trouble = trouble::of(&error, names);
                        if matches!(trouble, Trouble::Away(_) | Trouble::Hold { .. } | Trouble::NoAccount(_)) {
                            return Err(trouble);
                        }
                    }
                }
            }
            self.keep.end_order(group).await?;
        }
        let own = |error: rcgen::Error| Trouble::Own(format!("could not make a key: {error}"));
        let key = Zeroizing::new(KeyPair::generate().map_err(own)?.serialize_pem());
        let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
        let new = NewOrder::new(&identifiers);
        let made = match replaces {
            Some(replaces) => match account.new_order(&NewOrder::new(&identifiers).replaces(replaces)).await {
                // It was replaced already, or the authority makes less of this than it said: some don't repeat the field.
                Err(error) if self.may_do_without(&error, names) => account.new_order(&new).await,
                made => made,
            },
            None => account.new_order(&new).await,
        };
        let order = made.map_err(|error| trouble::of(&error, names))?;
        let authority = self.options.authority.clone();
        let begun = Begun { url: order.url().to_owned(), names: names.to_owned(), authority, key };
        self.keep.put_order(group, &begun).await?;
        Ok((order, begun))
    }

    /// Whether an order that named the certificate it replaces may be tried without that.
    fn may_do_without(&self, error: &instant_acme::Error, names: &[String]) -> bool {
        match trouble::of(error, names) {
            Trouble::Refused(_) | Trouble::OrderEnded(_) => true,
            Trouble::Away(_) => self.client.noticed().hold_until_ms.is_none(),
            _ => false,
        }
    }

    async fn complete(
        &self,
        order: &mut Order,
        begun: &Begun,
        proof_of: &(dyn Fn(&str) -> Proof + Sync),
    ) -> Result<Obtained, Trouble> {
        let names = &begun.names;
        if order.state().status == OrderStatus::Pending {
            let mut placed = Vec::new();
            let proved = self.prove(order, names, proof_of, &mut placed).await;
            self.withdraw(placed).await;
            proved?;
        }
        let patience = RetryPolicy::new().initial_delay(Duration::from_millis(500)).timeout(DECIDES_WITHIN);
        if order.state().status == OrderStatus::Ready {
            let own = |error: rcgen::Error| Trouble::Own(format!("could not make the request: {error}"));
            let pair = KeyPair::from_pem(&begun.key).map_err(own)?;
            let mut params = CertificateParams::new(names.clone()).map_err(own)?;
            params.distinguished_name = DistinguishedName::new();
            let request = params.serialize_request(&pair).map_err(own)?;
            order.finalize_csr(request.der()).await.map_err(|error| trouble::of(&error, names))?;
        }
        let chain = order.poll_certificate(&patience).await.map_err(|error| trouble::of(&error, names))?;
        let presented = Presented::from_pem(chain.as_bytes(), begun.key.as_bytes())
            .map_err(|error| Trouble::OrderEnded(format!("the new certificate can't be used: {error}")))?;
        if let Some(missing) = names.iter().find(|name| !presented.certificate().covers(name)) {
            return Err(Trouble::OrderEnded(format!("the new certificate is not for {missing}")));
        }
        Ok(Obtained { chain, key: begun.key.clone(), presented })
    }

    /// Puts the proofs in place, has the authority look, and waits for its decision.
    async fn prove(
        &self,
        order: &mut Order,
        names: &[String],
        proof_of: &(dyn Fn(&str) -> Proof + Sync),
        placed: &mut Vec<Placed>,
    ) -> Result<(), Trouble> {
        let mut refused = Vec::new();
        let mut all = order.authorizations();
        while let Some(next) = all.next().await {
            let mut authorization = next.map_err(|error| trouble::of(&error, names))?;
            let Identifier::Dns(name) = authorization.identifier().identifier.clone() else { continue };
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                _ => {
                    refused.push(RefusedName { why: why(&authorization), name });
                    continue;
                }
            }
            let proof = proof_of(&name);
            let kind = match proof {
                Proof::Http01 => ChallengeType::Http01,
                Proof::TlsAlpn01 => ChallengeType::TlsAlpn01,
                Proof::Dns01 => ChallengeType::Dns01,
            };
            let Some(mut challenge) = authorization.challenge(kind) else {
                let why = format!("the authority does not take {} as a proof", proof.name());
                refused.push(RefusedName { name, why });
                continue;
            };
            let key = challenge.key_authorization();
            placed.push(self.place(proof, &name, &challenge.token, &key).await?);
            if let Err(error) = challenge.set_ready().await {
                match trouble::of(&error, names) {
                    gone @ (Trouble::Away(_) | Trouble::Hold { .. } | Trouble::NoAccount(_)) => return Err(gone),
                    other => refused.push(RefusedName { name, why: other.to_string() }),
                }
            }
        }
        if !refused.is_empty() {
            return Err(Trouble::Names(refused));
        }
        let patience = RetryPolicy::new().initial_delay(Duration::from_millis(250)).timeout(DECIDES_WITHIN);
        let decided = order.poll_ready(&patience).await;
        match decided {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) | Err(instant_acme::Error::Api(_)) => {
                let refused = self.refused(order, names).await?;
                match (refused.is_empty(), decided) {
                    (false, _) => Err(Trouble::Names(refused)),
                    (true, Err(error)) => Err(trouble::of(&error, names)),
                    (true, Ok(status)) => Err(Trouble::OrderEnded(format!("its state is {status:?}"))),
                }
            }
            Err(error) => Err(trouble::of(&error, names)),
        }
    }

    /// The names of a failed order that it failed for.
    async fn refused(&self, order: &mut Order, names: &[String]) -> Result<Vec<RefusedName>, Trouble> {
        let mut refused = Vec::new();
        let mut all = order.authorizations();
        while let Some(next) = all.next().await {
            let mut authorization = next.map_err(|error| trouble::of(&error, names))?;
            authorization.refresh().await.map_err(|error| trouble::of(&error, names))?;
            if let (AuthorizationStatus::Invalid, Identifier::Dns(name)) =
                (authorization.status, authorization.identifier().identifier.clone())
            {
                refused.push(RefusedName { why: why(&authorization), name });
            }
        }
        Ok(refused)
    }

    async fn place(&self, proof: Proof, name: &str, token: &str, key: &KeyAuthorization) -> Result<Placed, Trouble> {
        match proof {
            Proof::Http01 => Ok(Placed::Http { _answer: self.tokens.expect(token, key.as_str()) }),
            Proof::TlsAlpn01 => {
                let answer = self.tls.answer_challenge(name, key.digest().as_ref());
                let answer = answer.map_err(|error| Trouble::Own(error.to_string()))?;
                Ok(Placed::Tls { _answer: answer })
            }
            Proof::Dns01 => {
                let hook = self.options.dns_hook.as_deref();
                let hook = hook.ok_or_else(|| Trouble::Own("no DNS hook is configured".to_owned()))?;
                let value = key.dns_value();
                hook::run(hook, Act::Add, name, &value).await.map_err(Trouble::Own)?;
                Ok(Placed::Dns { name: name.to_owned(), value })
            }
        }
    }

    /// Takes the proofs back. DNS records that stay are a nuisance and no more.
    async fn withdraw(&self, placed: Vec<Placed>) {
        let (Some(hook), begun) = (self.options.dns_hook.as_deref(), Instant::now()) else { return };
        for one in placed {
            let Placed::Dns { name, value } = one else { continue };
            if let Err(error) = hook::run(hook, Act::Remove, &name, &value).await {
                tracing::warn!(name, error, took_ms = begun.elapsed().as_millis(), "a DNS record was not removed");
            }
        }
    }
}

/// Why an authorization failed.
fn why(state: &instant_acme::AuthorizationState) -> String {
    let said = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
    said.map_or_else(|| format!("the authorization is {:?}", state.status), trouble::problem)
}

/// When the authority wants a certificate renewed, if it says so (RFC 9773).
pub async fn window(
    account: &Account,
    id: &CertificateIdentifier<'_>,
    before: Option<&Window>,
    now_ms: i64,
) -> Option<Window> {
    let (info, ask_again) = account.renewal_info(id).await.ok()?;
    let ms = |seconds: i64| seconds.saturating_mul(1000);
    let range = (ms(info.suggested_window.start.unix_timestamp()), ms(info.suggested_window.end.unix_timestamp()));
    let again = i64::try_from(ask_again.as_millis()).unwrap_or(i64::MAX).clamp(LEAST_ASK_MS, MOST_ASK_MS);
    Some(Window::choose(before, range, now_ms + again, rand::random()))
}

/// Bounds of the time after which an authority is asked again about a certificate.
const LEAST_ASK_MS: i64 = 3_600_000;
const MOST_ASK_MS: i64 = 24 * 3_600_000;
