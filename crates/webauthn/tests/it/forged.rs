//! What an attacker, a broken browser or chance could send.

use proptest::prelude::*;
use webauthn::{Answer, Asserted, Credential, Expected, Refusal, Registered, assert, register};

use crate::maker::{Key, ORIGIN, RP, attestation, bytes, client_data, credential, data, signature};

const CHALLENGE: &[u8] = b"sixteen bytes or";
const UP: u8 = 0x01;
const UV: u8 = 0x04;
const AT: u8 = 0x40;

fn made(client: &[u8], object: &[u8], verified: bool) -> Result<Registered, Refusal> {
    let origins = [ORIGIN.to_owned(), "https://mail.hold.test:8443".to_owned()];
    register(&Expected { challenge: CHALLENGE, origins: &origins, rp_id: RP, verified }, client, object)
}

fn used(key: &Key, counter: u32, client: &[u8], data: &[u8], verified: bool) -> Result<Asserted, Refusal> {
    let origins = [ORIGIN.to_owned()];
    let expected = Expected { challenge: CHALLENGE, origins: &origins, rp_id: RP, verified };
    let signature = signature(key, data, client);
    let answer = Answer { client_data: client, authenticator_data: data, signature: &signature };
    assert(&expected, &Credential { key: &key.cose(), counter }, &answer)
}

#[test]
fn each_kind_of_key_registers_and_signs_in() {
    let client = client_data("create", CHALLENGE, ORIGIN);
    for key in Key::all() {
        let new = data(RP, UP | UV | AT, 3, &credential(b"an id", &key.cose()));
        let registered = made(&client, &attestation("none", &[0xA0], &new), true).unwrap();
        assert_eq!((&registered.id[..], registered.counter, registered.user_verified), (&b"an id"[..], 3, true));
        assert_eq!(registered.key, key.cose());
        let get = client_data("get", CHALLENGE, ORIGIN);
        let used = used(&key, 3, &get, &data(RP, UP | UV, 4, &[]), true).unwrap();
        assert_eq!((used.counter, used.user_verified, used.backed_up), (4, true, false));
    }
}

#[test]
fn an_answer_counts_for_its_question_alone() {
    let key = Key::all().remove(1);
    let right = client_data("get", CHALLENGE, ORIGIN);
    let data_of = |rp, flags, counter| data(rp, flags, counter, &[]);
    let framed = String::from_utf8(right.clone()).unwrap();
    let cases: Vec<(Vec<u8>, Vec<u8>, Refusal)> = vec![
        (client_data("create", CHALLENGE, ORIGIN), data_of(RP, 5, 1), Refusal::Type),
        (client_data("get", b"another challeng", ORIGIN), data_of(RP, 5, 1), Refusal::Challenge),
        (client_data("get", b"", ORIGIN), data_of(RP, 5, 1), Refusal::Challenge),
        (right.clone(), data_of("evil.test", 5, 1), Refusal::RelyingParty),
        (right.clone(), data_of("hold.test", 5, 1), Refusal::RelyingParty),
        (right.clone(), data_of(RP, UV, 1), Refusal::NotPresent),
        (right.clone(), data_of(RP, UP, 1), Refusal::NotVerified),
        (framed.replace("\":false", "\":true").into(), data_of(RP, 5, 1), Refusal::Framed),
        (framed.replace("false", "false,\"topOrigin\":\"https://a.test\"").into(), data_of(RP, 5, 1), Refusal::Framed),
        (framed.replace("false", "\"no\"").into(), data_of(RP, 5, 1), Refusal::Unreadable("clientDataJSON")),
        (
            framed.replace('}', ",\"type\":\"webauthn.get\"}").into(),
            data_of(RP, 5, 1),
            Refusal::Unreadable("clientDataJSON"),
        ),
        (right.clone(), data_of(RP, 0x15, 1), Refusal::Unreadable("the authenticator data")),
        (right.clone(), data(RP, 5, 1, &[0]), Refusal::Unreadable("the authenticator data")),
    ];
    for (client, data, refusal) in cases {
        assert_eq!(used(&key, 0, &client, &data, true), Err(refusal), "{}", String::from_utf8_lossy(&client));
    }
    for origin in [
        "http://mail.hold.test",
        "https://mail.hold.test.",
        "https://mail.hold.test:8444",
        "https://evil.test",
        "null",
        "",
        "https://mail.hold.test/",
        "HTTPS://mail.hold.test",
        "https://sub.mail.hold.test",
        "https://mail.hold.test@evil.test",
    ] {
        let refused = used(&key, 0, &client_data("get", CHALLENGE, origin), &data_of(RP, 5, 1), true);
        assert_eq!(refused, Err(Refusal::Origin(origin.to_owned())));
    }
    // The signature of another key.
    let other = Key::all().remove(1);
    let (client, data) = (right, data_of(RP, 5, 1));
    let signature = signature(&other, &data, &client);
    let answer = Answer { client_data: &client, authenticator_data: &data, signature: &signature };
    let origins = [ORIGIN.to_owned()];
    let expected = Expected { challenge: CHALLENGE, origins: &origins, rp_id: RP, verified: true };
    assert_eq!(assert(&expected, &Credential { key: &key.cose(), counter: 0 }, &answer), Err(Refusal::Signature));
    let long = vec![0; 1_025];
    let answer = Answer { signature: &long, ..answer };
    assert!(matches!(
        assert(&expected, &Credential { key: &key.cose(), counter: 0 }, &answer),
        Err(Refusal::TooLong { .. })
    ));
}

#[test]
fn a_counter_only_goes_up_unless_there_is_none() {
    let key = Key::all().remove(1);
    let client = client_data("get", CHALLENGE, ORIGIN);
    for (before, now, good) in [
        (0, 0, true),
        (0, 1, true),
        (1, 2, true),
        (1, u32::MAX, true),
        (1, 1, false),
        (2, 1, false),
        (1, 0, false),
        (u32::MAX, 0, false),
    ] {
        let result = used(&key, before, &client, &data(RP, UP, now, &[]), false);
        assert_eq!(result.is_ok(), good, "{before} {now}");
        if !good {
            assert_eq!(result, Err(Refusal::Counter { from: before, to: now }));
        }
    }
}

#[test]
fn keys_that_are_none_are_refused_when_they_come() {
    let client = client_data("create", CHALLENGE, ORIGIN);
    let good = Key::all().remove(0).cose();
    let mut off_curve = good.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    let ec = |algorithm: u8, curve: u8| [&[0xA5, 1, 2, 3, algorithm, 0x20, curve][..], &good[7..]].concat();
    let cases: [(Vec<u8>, Refusal); 9] = [
        (off_curve, Refusal::Key),
        (ec(0x26, 2), Refusal::Key),
        (ec(0x27, 1), Refusal::Key),
        (ec(0x2E, 1), Refusal::Algorithm(-15)),
        (vec![0xA0], Refusal::Unreadable("the public key")),
        (vec![0x01], Refusal::Unreadable("the public key")),
        ([&[0xA4, 1, 1, 3, 0x27, 0x20, 6, 0x21][..], &bytes(&[1; 31])].concat(), Refusal::Key),
        // RSA with 1,024 bits.
        (
            [&[0xA4, 1, 3, 3, 0x39, 1, 0, 0x20][..], &bytes(&[0xFF; 128]), &[0x21], &bytes(&[1, 0, 1])].concat(),
            Refusal::Key,
        ),
        (
            [&[0xA4, 1, 3, 3, 0x39, 1, 0, 0x20][..], &bytes(&[0xFF; 2_000]), &[0x21], &bytes(&[1, 0, 1])].concat(),
            Refusal::Key,
        ),
    ];
    for (cose, refusal) in cases {
        let object = attestation("none", &[0xA0], &data(RP, UP | UV | AT, 0, &credential(b"id", &cose)));
        assert_eq!(made(&client, &object, true), Err(refusal), "{}", hex::encode(cose));
    }
    // No credential, an id that is empty or too long, a statement with "none".
    let good_data = |id: &[u8]| data(RP, UP | UV | AT, 0, &credential(id, &good));
    assert!(made(&client, &attestation("none", &[0xA0], &good_data(b"id")), true).is_ok());
    for object in [
        attestation("none", &[0xA0], &data(RP, UP | UV, 0, &[])),
        attestation("none", &[0xA0], &good_data(b"")),
        attestation("none", &[0xA0], &good_data(&[7; 1_024])),
        attestation("none", &[0xA1, 1, 1], &good_data(b"id")),
        attestation("packed", &[0xA0], &good_data(b"id")),
        [&attestation("none", &[0xA0], &good_data(b"id"))[..], &[0]].concat(),
        vec![0xA0],
        vec![0; 20_000],
    ] {
        assert!(made(&client, &object, true).is_err(), "{}", hex::encode(object));
    }
}

proptest! {
    #[test]
    fn no_bytes_pass_and_none_bring_it_down(
        client in prop::collection::vec(any::<u8>(), 0..300),
        object in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        prop_assert!(made(&client, &object, false).is_err());
        // Behind right client data, what the authenticator said is read.
        let right = client_data("create", CHALLENGE, ORIGIN);
        let _ = made(&right, &object, false);
        let new = data(RP, UP | UV | AT, 0, &object);
        let _ = made(&right, &attestation("none", &[0xA0], &new), false);
        let _ = made(&right, &attestation("none", &[0xA0], &data(RP, UP | AT, 0, &credential(b"id", &object))), false);
        let mut packed = vec![0xA2];
        packed.extend(&object);
        let _ = made(&right, &attestation("packed", &packed, &new), false);
        let origins = [ORIGIN.to_owned()];
        let expected = Expected { challenge: CHALLENGE, origins: &origins, rp_id: RP, verified: false };
        let get = client_data("get", CHALLENGE, ORIGIN);
        let answer = Answer { client_data: &get, authenticator_data: &object, signature: &client };
        let refused = assert(&expected, &Credential { key: &object, counter: 0 }, &answer).is_err();
        prop_assert!(refused);
    }
}
