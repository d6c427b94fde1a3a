//! An authenticator in memory, with all three kinds of keys.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

pub const ORIGIN: &str = "https://mail.hold.test";
pub const RP: &str = "mail.hold.test";

pub enum Key {
    Es256(EcdsaKeyPair),
    Eddsa(Ed25519KeyPair),
    Rs256(Box<RsaKeyPair>),
}

pub fn bytes(value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[0x59][..], &length, value].concat()
}

impl Key {
    pub fn all() -> Vec<Self> {
        vec![
            Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()),
            Self::Eddsa(Ed25519KeyPair::generate().unwrap()),
            Self::Rs256(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
        ]
    }

    pub fn cose(&self) -> Vec<u8> {
        match self {
            Self::Es256(key) => {
                let point = key.public_key().as_ref();
                [&[0xA5, 1, 2, 3, 0x26, 0x20, 1, 0x21][..], &bytes(&point[1..33]), &[0x22], &bytes(&point[33..])]
                    .concat()
            }
            Self::Eddsa(key) => [&[0xA4, 1, 1, 3, 0x27, 0x20, 6, 0x21][..], &bytes(key.public_key().as_ref())].concat(),
            Self::Rs256(key) => {
                let public = key.public_key();
                let (n, e) = (public.modulus().big_endian_without_leading_zero(), public.exponent());
                let e = e.big_endian_without_leading_zero();
                [&[0xA4, 1, 3, 3, 0x39, 1, 0, 0x20][..], &bytes(n), &[0x21], &bytes(e)].concat()
            }
        }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Es256(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Eddsa(key) => key.sign(message).as_ref().to_vec(),
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }
}

pub fn client_data(kind: &str, challenge: &[u8], origin: &str) -> Vec<u8> {
    let challenge = URL_SAFE_NO_PAD.encode(challenge);
    format!(r#"{{"type":"webauthn.{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#).into()
}

pub fn data(rp: &str, flags: u8, counter: u32, rest: &[u8]) -> Vec<u8> {
    [digest(&SHA256, rp.as_bytes()).as_ref(), &[flags], &counter.to_be_bytes(), rest].concat()
}

/// The part of authenticator data that a new credential has.
pub fn credential(id: &[u8], cose: &[u8]) -> Vec<u8> {
    [&[0; 16][..], &u16::try_from(id.len()).unwrap().to_be_bytes(), id, cose].concat()
}

pub fn attestation(format: &str, statement: &[u8], data: &[u8]) -> Vec<u8> {
    let format = [&[0x60 + u8::try_from(format.len()).unwrap()][..], format.as_bytes()].concat();
    [&b"\xA3\x63fmt"[..], &format, b"\x67attStmt", statement, b"\x68authData", &bytes(data)].concat()
}

pub fn signature(key: &Key, data: &[u8], client: &[u8]) -> Vec<u8> {
    key.sign(&[data, digest(&SHA256, client).as_ref()].concat())
}
