use std::path::Path;
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SignatureAlgorithm};

use super::*;
use crate::{Presented, Tls};

const NAME: &str = "mail.example.org";

/// A certificate of an authority, whose own is written to `authority`.
fn issued(kind: &'static SignatureAlgorithm, authority: &Path) -> Presented {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "Authority of the test");
    let key = KeyPair::generate().unwrap();
    std::fs::write(authority, params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate_for(kind).unwrap();
    let made = CertificateParams::new(vec![NAME.to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
    Presented::from_pem(made.pem().as_bytes(), own.serialize_pem().as_bytes()).unwrap()
}

/// What openssl finds in a signed document, if it can be trusted.
fn opened(signed: &[u8], dir: &Path) -> Option<Vec<u8>> {
    let (file, out) = (dir.join("signed"), dir.join("opened"));
    std::fs::write(&file, signed).unwrap();
    let status = Command::new("openssl")
        .args(["cms", "-verify", "-inform", "DER", "-binary", "-purpose", "any", "-in"])
        .arg(&file)
        .arg("-out")
        .arg(&out)
        .arg("-CAfile")
        .arg(dir.join("authority.pem"))
        .stderr(Stdio::null())
        .status()
        .unwrap();
    status.success().then(|| std::fs::read(out).unwrap())
}

fn openssl_is_here() -> bool {
    let found =
        Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "openssl is not installed");
        eprintln!("NOT RUN: openssl is not installed");
    }
    found
}

#[test]
fn what_is_signed_with_any_usual_key_is_verified_by_another_program() {
    if !openssl_is_here() {
        return;
    }
    let now_s = jiff::Timestamp::now().as_second();
    let kinds = [
        &rcgen::PKCS_RSA_SHA256,
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
    ];
    for kind in kinds {
        let dir = tempfile::tempdir().unwrap();
        let own = issued(kind, &dir.path().join("authority.pem"));
        // Lengths around those where DER writes them differently.
        for length in [0, 1, 127, 128, 255, 256, 5_000, 70_000] {
            let document: Vec<u8> = (0..length).map(|at| b"line\r\n\0\xFF"[at % 8]).collect();
            let made = signed(&own.key, &document, now_s).unwrap();
            assert_eq!(opened(&made, dir.path()), Some(document), "{kind:?}, {length}");
        }
        let made = signed(&own.key, b"the document", now_s).unwrap();
        let at = made.windows(12).position(|part| part == b"the document").unwrap();
        for wrong in [at, made.len() - 5] {
            let mut changed = made.clone();
            changed[wrong] ^= 1;
            assert_eq!(opened(&changed, dir.path()), None, "{kind:?}, byte {wrong}");
        }
        // Another authority of the same name does not vouch for it.
        issued(kind, &dir.path().join("authority.pem"));
        assert_eq!(opened(&made, dir.path()), None);
    }
}

#[test]
fn nothing_is_signed_that_nobody_would_believe() {
    let dir = tempfile::tempdir().unwrap();
    let tls = Tls::self_signed(&dir.path().join("tls"), &[NAME.to_owned()]).unwrap();
    let now_s = jiff::Timestamp::now().as_second();
    assert!(tls.sign(NAME, b"document", now_s).is_none(), "its certificate is self-signed");
    let own = issued(&rcgen::PKCS_ECDSA_P256_SHA256, &dir.path().join("authority.pem"));
    let until = own.certificate().not_after;
    tls.present(&[own], Some(NAME));
    assert!(tls.sign(NAME, b"document", now_s).is_some());
    assert!(tls.sign("mail.example.net", b"document", now_s).is_none(), "it is for another name");
    assert!(tls.sign(NAME, b"document", until + 1).is_none(), "it is over");
    let odd = issued(&rcgen::PKCS_ED25519, &dir.path().join("authority.pem"));
    tls.present(&[odd], Some(NAME));
    assert!(tls.sign(NAME, b"document", now_s).is_none(), "programs don't know signatures of this kind");
}

#[test]
fn times_have_the_form_of_their_century() {
    assert_eq!(time(0).unwrap(), [b"\x17\x0d".as_slice(), b"700101000000Z"].concat());
    assert_eq!(time(2_524_607_999).unwrap(), [b"\x17\x0d".as_slice(), b"491231235959Z"].concat());
    assert_eq!(time(2_524_608_000).unwrap(), [b"\x18\x0f".as_slice(), b"20500101000000Z"].concat());
    assert!(time(i64::MAX).is_none());
}
