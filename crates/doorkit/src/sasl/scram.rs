//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side, with `tls-exporter` channel binding (RFC 9266).

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{SaslError, Step};

/// Iterations of PBKDF2 for new keys. A stolen store must not make it cheap to guess the passwords that people choose, and
/// a phone has to do them at each login; Cyrus SASL refuses more than 65,536.
const ITERATIONS: u32 = 60_000;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 18;

/// What is stored for the passwords that a login may be proved with: they share salt and iterations, for a client is told
/// one of each before it has said which password it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// The salt.
    pub salt: Vec<u8>,
    /// PBKDF2's iterations.
    pub iterations: u32,
    /// One for each password.
    pub secrets: Vec<ScramSecret>,
}

/// What is stored for one password: enough to check a proof, not enough to make one.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramSecret {
    /// H(ClientKey), 32 bytes.
    pub stored_key: Vec<u8>,
    /// HMAC(SaltedPassword, "Server Key"), 32 bytes.
    pub server_key: Vec<u8>,
}

impl std::fmt::Debug for ScramSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScramSecret(…)")
    }
}

impl ScramKeys {
    /// The keys of a password, with a salt of their own. Takes some 20 ms of a core.
    pub fn of(password: &str) -> Self {
        Self::with(password, &rand::random::<[u8; SALT_BYTES]>(), ITERATIONS)
    }

    /// The keys of another password of the same login: salt and iterations are shared.
    pub fn with(password: &str, salt: &[u8], iterations: u32) -> Self {
        let secrets = vec![ScramSecret::derive(password, salt, iterations)];
        Self { salt: salt.to_vec(), iterations, secrets }
    }

    /// Keys that no password fits, for a login that does not exist: of the same form as those of one that does. Their
    /// salt must be the same each time for the same login, however it is written.
    pub fn without_password(seed: [u8; 32]) -> Self {
        Self { salt: seed[..SALT_BYTES].to_vec(), iterations: ITERATIONS, secrets: Vec::new() }
    }
}

impl ScramSecret {
    fn derive(password: &str, salt: &[u8], iterations: u32) -> Self {
        let mut salted = [0; 32];
        let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut salted);
        let client_key = mac(&salted, b"Client Key");
        Self {
            stored_key: digest::digest(&digest::SHA256, &client_key).as_ref().to_vec(),
            server_key: mac(&salted, b"Server Key"),
        }
    }

    /// Whether the client's proof of a message is one that this password makes.
    fn fits(&self, proof: &[u8], message: &[u8]) -> bool {
        let signature = mac(&self.stored_key, message);
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let stored = digest::digest(&digest::SHA256, &client_key);
        constant_time::verify_slices_are_equal(stored.as_ref(), &self.stored_key).is_ok()
    }
}

/// A name as it is, from `saslname`.
fn unescaped(name: &str) -> String {
    name.replace("=2C", ",").replace("=3D", "=")
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// The server's side of one exchange.
#[derive(Debug)]
pub struct ScramServer {
    plus: bool,
    channel: Option<[u8; 32]>,
    login: String,
    /// What the client said of channel binding.
    header: String,
    client_first_bare: String,
    nonce: String,
    server_first: String,
    keys: Option<ScramKeys>,
}

impl ScramServer {
    pub(super) const fn new(plus: bool, channel: Option<[u8; 32]>) -> Self {
        Self {
            plus,
            channel,
            login: String::new(),
            header: String::new(),
            client_first_bare: String::new(),
            nonce: String::new(),
            server_first: String::new(),
            keys: None,
        }
    }

    pub(super) fn step(&mut self, message: &[u8]) -> Result<Step, SaslError> {
        let text = std::str::from_utf8(message).map_err(|_| SaslError::Malformed)?;
        if self.login.is_empty() { self.client_first(text) } else { self.client_final(text) }
    }

    fn client_first(&mut self, text: &str) -> Result<Step, SaslError> {
        // gs2-header = gs2-cbind-flag "," [authzid] ","
        let mut parts = text.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SaslError::Malformed);
        };
        match (self.plus, flag) {
            (true, "p=tls-exporter") if self.channel.is_some() => {}
            // "y": the client supports binding and thinks that we don't. We announced it: someone removed it in transit.
            (false, "y") if self.channel.is_some() => return Err(SaslError::Failed),
            (false, "n" | "y") => {}
            _ => return Err(SaslError::Malformed),
        }
        let authzid_name = match (authzid, authzid.strip_prefix("a=")) {
            ("", _) => None,
            (_, Some(name)) => Some(unescaped(name)),
            (_, None) => return Err(SaslError::Malformed),
        };
        let mut attributes = bare.split(',');
        let name = attributes.next().and_then(|part| part.strip_prefix("n=")).ok_or(SaslError::Malformed)?;
        let nonce = attributes.next().and_then(|part| part.strip_prefix("r=")).ok_or(SaslError::Malformed)?;
        if name.is_empty() || nonce.is_empty() || !nonce.bytes().all(|byte| (0x21..=0x7E).contains(&byte)) {
            return Err(SaslError::Malformed);
        }
        self.login = unescaped(name);
        if authzid_name.is_some_and(|authzid| !authzid.eq_ignore_ascii_case(&self.login)) {
            // Acting as somebody else is not offered; acting as oneself instead would be a surprise.
            return Err(SaslError::Failed);
        }
        self.header = format!("{flag},{authzid},");
        bare.clone_into(&mut self.client_first_bare);
        self.nonce = format!("{nonce}{}", BASE64.encode(rand::random::<[u8; NONCE_BYTES]>()));
        Ok(Step::ScramLogin(self.login.clone()))
    }

    pub(super) fn keys(&mut self, keys: ScramKeys) -> Result<Step, SaslError> {
        if self.login.is_empty() || self.keys.is_some() {
            return Err(SaslError::Malformed);
        }
        self.server_first = format!("r={},s={},i={}", self.nonce, BASE64.encode(&keys.salt), keys.iterations);
        self.keys = Some(keys);
        Ok(Step::Challenge(self.server_first.clone().into_bytes()))
    }

    fn client_final(&self, text: &str) -> Result<Step, SaslError> {
        let keys = self.keys.as_ref().ok_or(SaslError::Malformed)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(SaslError::Malformed)?;
        let proof = BASE64.decode(proof).map_err(|_| SaslError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|part| part.strip_prefix("c=")).ok_or(SaslError::Malformed)?;
        let nonce = attributes.next().and_then(|part| part.strip_prefix("r=")).ok_or(SaslError::Malformed)?;
        let mut expected = self.header.clone().into_bytes();
        if let (true, Some(channel)) = (self.plus, &self.channel) {
            expected.extend_from_slice(channel);
        }
        if nonce != self.nonce || binding != BASE64.encode(expected) {
            return Err(SaslError::Failed);
        }
        let message = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        if proof.len() != digest::SHA256_OUTPUT_LEN {
            return Err(SaslError::Malformed);
        }
        let fits = |secret: &ScramSecret| secret.fits(&proof, message.as_bytes());
        let which = keys.secrets.iter().position(fits).ok_or(SaslError::Failed)?;
        let verifier = BASE64.encode(mac(&keys.secrets[which].server_key, message.as_bytes()));
        Ok(Step::Proved { login: self.login.clone(), which, last: format!("v={verifier}").into_bytes() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677 section 3, with its nonce.
    #[test]
    fn the_exchange_of_rfc_7677_comes_out() {
        let mut server = ScramServer::new(false, None);
        let step = server.step(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert!(matches!(step, Step::ScramLogin(login) if login == "user"));
        server.nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned();
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let Ok(Step::Challenge(first)) = server.keys(ScramKeys::with("pencil", &salt, 4096)) else { panic!() };
        assert_eq!(
            String::from_utf8(first).unwrap(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let Ok(Step::Proved { login, which, last }) = server.step(last.as_bytes()) else { panic!() };
        assert_eq!((login.as_str(), which), ("user", 0));
        assert_eq!(String::from_utf8(last).unwrap(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn an_unknown_login_looks_like_a_wrong_password() {
        let run = |keys| {
            let mut server = ScramServer::new(false, None);
            let _ = server.step(b"n,,n=user,r=abc").unwrap();
            let Ok(Step::Challenge(first)) = server.keys(keys) else { panic!() };
            let first = String::from_utf8(first).unwrap();
            let nonce = first.split(',').next().unwrap().to_owned();
            let proof = BASE64.encode([7; 32]);
            (first.len(), server.step(format!("c=biws,{nonce},p={proof}").as_bytes()).unwrap_err())
        };
        assert_eq!(run(ScramKeys::without_password([3; 32])), run(ScramKeys::of("right")));
    }

    /// What a client says that knows a password.
    fn proof(password: &str, keys: &ScramKeys, message: &str) -> String {
        let mut salted = [0; 32];
        let rounds = NonZeroU32::new(keys.iterations).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &keys.salt, password.as_bytes(), &mut salted);
        let client_key = mac(&salted, b"Client Key");
        let signature = mac(digest::digest(&digest::SHA256, &client_key).as_ref(), message.as_bytes());
        BASE64.encode(client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect::<Vec<u8>>())
    }

    #[test]
    fn any_of_several_passwords_proves_the_login_and_it_is_told_which() {
        let mut keys = ScramKeys::with("one", b"salt", 8);
        keys.secrets.extend(ScramKeys::with("two", b"salt", 8).secrets);
        let run = |password: &str| {
            let mut server = ScramServer::new(false, None);
            let _ = server.step(b"n,,n=user,r=abc").unwrap();
            let Ok(Step::Challenge(first)) = server.keys(keys.clone()) else { panic!() };
            let first = String::from_utf8(first).unwrap();
            let without_proof = format!("c=biws,{}", first.split(',').next().unwrap());
            let message = format!("n=user,r=abc,{first},{without_proof}");
            let last = format!("{without_proof},p={}", proof(password, &keys, &message));
            match server.step(last.as_bytes()) {
                Ok(Step::Proved { which, .. }) => Ok(which),
                Ok(_) => panic!("neither right nor wrong"),
                Err(error) => Err(error),
            }
        };
        assert_eq!(run("one"), Ok(0));
        assert_eq!(run("two"), Ok(1));
        assert_eq!(run("three"), Err(SaslError::Failed));
    }

    #[test]
    fn nobody_acts_as_somebody_else() {
        let first = |message: &str| ScramServer::new(false, None).step(message.as_bytes()).map(drop);
        assert_eq!(first("n,a=user,n=user,r=abc"), Ok(()));
        assert_eq!(first("n,a=u=3Dser,n=u=3Dser,r=abc"), Ok(()));
        assert_eq!(first("n,a=other,n=user,r=abc"), Err(SaslError::Failed));
        assert_eq!(first("n,other,n=user,r=abc"), Err(SaslError::Malformed));
    }

    #[test]
    fn a_downgrade_from_channel_binding_is_noticed() {
        let mut server = ScramServer::new(false, Some([1; 32]));
        assert_eq!(server.step(b"y,,n=user,r=abc").unwrap_err(), SaslError::Failed);
        let mut server = ScramServer::new(true, Some([1; 32]));
        assert!(server.step(b"p=tls-exporter,,n=user,r=abc").is_ok());
    }
}
