//! Passkeys in the browser: what it is asked, and what it sends back.
//!
//! A challenge is made of a key in memory, so that pages that nobody goes on from cost nothing; it is good for some minutes, for what
//! it was made for, and once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use directory::{Passkey, PasskeyAnswer};
use parking_lot::Mutex;
use serde_json::json;
use subtle::ConstantTimeEq as _;

use crate::forms::Posted;
use crate::options::WebOptions;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// Most challenges remembered as used; beyond that, passkeys wait.
const MAX_USED: usize = 100_000;
const RANDOM_BYTES: usize = 16;
const MAC_BYTES: usize = 24;
const CHALLENGE_BYTES: usize = 8 + RANDOM_BYTES + MAC_BYTES;
/// Most bytes of each part of an answer, in base64.
const MAX_PART_BYTES: usize = 24_000;

/// The site as passkeys know it: by the name that the browser came by, if it is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relying {
    /// The domain that passkeys are for.
    pub id: String,
    /// The origins at which pages of it are.
    pub origins: Vec<String>,
}

impl Relying {
    /// `None`: browsers have no passkeys there. They want HTTPS and a name; `localhost` needs no HTTPS.
    pub fn of(options: &WebOptions, headers: &HeaderMap, encrypted: bool) -> Option<Self> {
        let public = options.public_url.as_deref().and_then(|url| url::Url::parse(url).ok());
        let public = public.and_then(|url| match url.host() {
            Some(url::Host::Domain(name)) if url.scheme() == "https" || is_local(name) => {
                Some((name.trim_end_matches('.').to_owned(), url.origin().ascii_serialization()))
            }
            _ => None,
        });
        let asked = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let (name, port) = match asked.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, Some(port)),
            _ => (asked, None),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let is_public = public.as_ref().is_some_and(|(public, _)| *public == name);
        let names = std::iter::once(&options.hostname).chain(&options.also_known_as);
        let is_ours = is_public || is_local(&name) || names.clone().any(|ours| ours.eq_ignore_ascii_case(&name));
        if !is_ours || name.parse::<std::net::IpAddr>().is_ok() {
            return public.map(|(id, origin)| Self { id, origins: vec![origin] });
        }
        let mut origins: Vec<String> = public.into_iter().filter(|_| is_public).map(|(_, origin)| origin).collect();
        let place = match port {
            Some(port) if port != "443" && port != "80" => format!("{name}:{port}"),
            _ => name.clone(),
        };
        if encrypted {
            origins.push(format!("https://{place}"));
        } else if is_local(&name) {
            origins.push(format!("http://{place}"));
        }
        origins.dedup();
        (!origins.is_empty()).then_some(Self { id: name, origins })
    }
}

fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// What a challenge was made for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// Signing in, by whoever has the passkey.
    SignIn,
    /// The second step of the sign-in with this ticket.
    Step(&'a str),
    /// A new passkey, in this session.
    Add(&'a [u8]),
}

/// Challenges that were given out.
pub struct Challenges {
    key: [u8; 32],
    began: Instant,
    used: Mutex<HashMap<[u8; MAC_BYTES], Instant>>,
}

impl Default for Challenges {
    fn default() -> Self {
        Self { key: rand::random(), began: Instant::now(), used: Mutex::default() }
    }
}

impl Challenges {
    fn mac(&self, head: &[u8], purpose: Purpose<'_>, rp_id: &str) -> [u8; MAC_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(head).update(rp_id.as_bytes()).update(&[0]);
        match purpose {
            Purpose::SignIn => hasher.update(b"sign in"),
            Purpose::Step(ticket) => hasher.update(b"step\0").update(ticket.as_bytes()),
            Purpose::Add(session) => hasher.update(b"add\0").update(session),
        };
        *hasher.finalize().as_bytes().first_chunk().expect("a hash is 32 bytes")
    }

    /// A new one, in base64.
    pub fn give(&self, purpose: Purpose<'_>, rp_id: &str) -> String {
        let at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let head = [&at.to_be_bytes()[..], &rand::random::<[u8; RANDOM_BYTES]>()].concat();
        let mac = self.mac(&head, purpose, rp_id);
        BASE64.encode([&head[..], &mac].concat())
    }

    /// The bytes of a challenge that was given for this, not long ago, and not used yet.
    pub fn known(&self, challenge: &str, purpose: Purpose<'_>, rp_id: &str) -> Option<Vec<u8>> {
        let bytes = BASE64.decode(challenge).ok().filter(|bytes| bytes.len() == CHALLENGE_BYTES)?;
        let (head, mac) = bytes.split_at(8 + RANDOM_BYTES);
        let at = Duration::from_millis(u64::from_be_bytes(*head.first_chunk()?));
        let is_ours = bool::from(self.mac(head, purpose, rp_id).ct_eq(mac));
        let is_fresh = self.began.elapsed().checked_sub(at).is_some_and(|age| age < PATIENCE);
        let is_new = !self.used.lock().contains_key(mac);
        (is_ours && is_fresh && is_new).then_some(bytes)
    }

    /// Uses a challenge up, once the answer to it was right; `false`: another answer was quicker.
    pub fn spend(&self, challenge: &[u8]) -> bool {
        let Some(mac) = challenge.last_chunk::<MAC_BYTES>() else { return false };
        let mut used = self.used.lock();
        if used.len() >= MAX_USED {
            used.retain(|_, at| at.elapsed() < PATIENCE);
        }
        used.len() < MAX_USED && used.insert(*mac, Instant::now()).is_none()
    }
}

/// What the browser is asked when a passkey is to be used, for the script.
pub fn request(challenge: &str, rp_id: &str, passkeys: Option<&[Passkey]>) -> String {
    let verification = if passkeys.is_none() { "required" } else { "discouraged" };
    json!({
        "challenge": challenge,
        "rpId": rp_id,
        "timeout": 300_000,
        "userVerification": verification,
        "allowCredentials": passkeys.map(|all| described(all, rp_id)).unwrap_or_default(),
    })
    .to_string()
}

/// Who a new passkey is for.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    pub handle: &'a [u8],
    pub address: &'a str,
    pub name: &'a str,
    /// The passkeys that there are.
    pub passkeys: &'a [Passkey],
}

/// What the browser is asked when a passkey is to be made.
pub fn creation(challenge: &str, rp_id: &str, owner: &Owner<'_>, is_alone: bool) -> String {
    let wish = if is_alone { "required" } else { "discouraged" };
    let kinds = webauthn::ALGORITHMS.map(|number| json!({ "type": "public-key", "alg": number }));
    json!({
        "challenge": challenge,
        "rp": { "id": rp_id, "name": "Holdfast" },
        "user": {
            "id": BASE64.encode(owner.handle),
            "name": owner.address,
            "displayName": if owner.name.is_empty() { owner.address } else { owner.name },
        },
        "pubKeyCredParams": kinds,
        "timeout": 300_000,
        "attestation": "none",
        "authenticatorSelection": {
            "residentKey": wish,
            "requireResidentKey": is_alone,
            "userVerification": wish,
        },
        "excludeCredentials": described(owner.passkeys, rp_id),
    })
    .to_string()
}

fn described(passkeys: &[Passkey], rp_id: &str) -> Vec<serde_json::Value> {
    let here = passkeys.iter().filter(|passkey| passkey.rp_id == rp_id);
    here.map(|one| json!({ "type": "public-key", "id": BASE64.encode(&one.credential), "transports": one.transports }))
        .collect()
}

/// The fields that the script fills.
pub const FIELDS: [&str; 7] =
    ["pk-challenge", "pk-id", "pk-client", "pk-data", "pk-signature", "pk-user", "pk-transports"];

/// What the script has put into a form.
pub struct Given {
    /// The challenge, as it was given.
    pub challenge: String,
    pub id: Vec<u8>,
    pub client_data: Vec<u8>,
    /// Authenticator data, or the attestation object of a new passkey.
    pub data: Vec<u8>,
    pub signature: Vec<u8>,
    pub handle: Vec<u8>,
    pub transports: Vec<String>,
}

impl Given {
    /// `None` if the script did not run, or what it sent is none of its making.
    pub fn of(form: &Posted) -> Option<Self> {
        let part = |name: &str| {
            let text = form.get(name);
            if text.len() > MAX_PART_BYTES { None } else { BASE64.decode(text).ok() }
        };
        let given = Self {
            challenge: form.get("pk-challenge").to_owned(),
            id: part("pk-id")?,
            client_data: part("pk-client")?,
            data: part("pk-data")?,
            signature: part("pk-signature")?,
            handle: part("pk-user")?,
            transports: form.get("pk-transports").split(',').filter(|way| !way.is_empty()).map(str::to_owned).collect(),
        };
        (!given.id.is_empty() && !given.client_data.is_empty()).then_some(given)
    }

    /// As an answer to a challenge.
    pub fn answer<'a>(&'a self, challenge: &'a [u8], relying: &'a Relying) -> PasskeyAnswer<'a> {
        PasskeyAnswer {
            credential: &self.id,
            handle: &self.handle,
            answer: webauthn::Answer {
                client_data: &self.client_data,
                authenticator_data: &self.data,
                signature: &self.signature,
            },
            challenge,
            origins: &relying.origins,
            rp_id: &relying.id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relying(host: &str, encrypted: bool, public_url: Option<&str>) -> Option<(String, Vec<String>)> {
        let options = WebOptions {
            hostname: "mail.one.example".to_owned(),
            also_known_as: vec!["mail.two.example".to_owned()],
            public_url: public_url.map(str::to_owned),
            ..WebOptions::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        Relying::of(&options, &headers, encrypted).map(|relying| (relying.id, relying.origins))
    }

    #[test]
    fn each_name_of_the_service_is_a_site_of_its_own_and_no_other_name_is() {
        let is =
            |id: &str, origins: &[&str]| Some((id.to_owned(), origins.iter().map(|one| (*one).to_owned()).collect()));
        for (host, encrypted, public, expected) in [
            ("mail.one.example", true, None, is("mail.one.example", &["https://mail.one.example"])),
            ("Mail.One.Example:443", true, None, is("mail.one.example", &["https://mail.one.example"])),
            ("mail.two.example:8443", true, None, is("mail.two.example", &["https://mail.two.example:8443"])),
            ("mail.two.example.", true, None, is("mail.two.example", &["https://mail.two.example"])),
            ("localhost:8080", false, None, is("localhost", &["http://localhost:8080"])),
            ("localhost:8443", true, None, is("localhost", &["https://localhost:8443"])),
            // Browsers have none without HTTPS, nor at a bare address, and another site's name is not ours.
            ("mail.one.example", false, None, None),
            ("127.0.0.1:8080", false, None, None),
            ("[::1]:8080", true, None, None),
            ("evil.example", true, None, None),
            ("one.example", true, None, None),
            ("", true, None, None),
            // Behind a proxy.
            (
                "127.0.0.1:8080",
                false,
                Some("https://webmail.example"),
                is("webmail.example", &["https://webmail.example"]),
            ),
            (
                "webmail.example",
                false,
                Some("https://webmail.example:444/"),
                is("webmail.example", &["https://webmail.example:444"]),
            ),
            ("127.0.0.1:8080", false, Some("http://webmail.example"), None),
        ] {
            assert_eq!(relying(host, encrypted, public), expected, "{host} {encrypted} {public:?}");
        }
        let both = relying("webmail.example", true, Some("https://webmail.example")).unwrap().1;
        assert_eq!(both, ["https://webmail.example"]);
    }

    #[test]
    fn a_challenge_is_good_for_its_purpose_once() {
        let challenges = Challenges::default();
        let purposes = [Purpose::SignIn, Purpose::Step("a"), Purpose::Step("b"), Purpose::Add(b"a")];
        for (at, purpose) in purposes.iter().enumerate() {
            let challenge = challenges.give(*purpose, "mail.example");
            for (other, asked) in purposes.iter().enumerate() {
                assert_eq!(challenges.known(&challenge, *asked, "mail.example").is_some(), at == other);
            }
            assert!(challenges.known(&challenge, *purpose, "other.example").is_none());
            assert!(Challenges::default().known(&challenge, *purpose, "mail.example").is_none());
            for wrong in ["", "AAAA", &challenge[1..], &challenge.replace(&challenge[..3], "zzz")] {
                assert!(challenges.known(wrong, *purpose, "mail.example").is_none(), "{wrong}");
            }
            let bytes = challenges.known(&challenge, *purpose, "mail.example").unwrap();
            assert!(challenges.spend(&bytes) && !challenges.spend(&bytes));
            assert!(challenges.known(&challenge, *purpose, "mail.example").is_none());
        }
    }
}
