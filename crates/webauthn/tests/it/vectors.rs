//! The test vectors of the specification.

use std::collections::BTreeMap;

use webauthn::{Answer, Credential, Expected, Refusal, assert, register};

type Vector = BTreeMap<&'static str, Vec<u8>>;

fn vectors() -> BTreeMap<&'static str, Vector> {
    let mut all: BTreeMap<&str, Vector> = BTreeMap::new();
    for line in include_str!("vectors.txt").lines().filter(|line| !line.starts_with('#')) {
        let [name, what, value] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        all.entry(name).or_default().insert(what, hex::decode(value).unwrap());
    }
    all
}

fn registered(vector: &Vector) -> Result<webauthn::Registered, Refusal> {
    let origins = ["https://example.org".to_owned()];
    let challenge = &vector["register.challenge"];
    let expected = Expected { challenge, origins: &origins, rp_id: "example.org", verified: false };
    register(&expected, &vector["register.clientDataJSON"], &vector["register.attestationObject"])
}

fn asserted(vector: &Vector, key: &[u8]) -> Result<webauthn::Asserted, Refusal> {
    let origins = ["https://example.org".to_owned()];
    let challenge = &vector["assert.challenge"];
    let expected = Expected { challenge, origins: &origins, rp_id: "example.org", verified: false };
    let answer = Answer {
        client_data: &vector["assert.clientDataJSON"],
        authenticator_data: &vector["assert.authenticatorData"],
        signature: &vector["assert.signature"],
    };
    assert(&expected, &Credential { key, counter: 0 }, &answer)
}

#[test]
fn the_specification_s_vectors_are_judged_as_we_judge() {
    let all = vectors();
    assert_eq!(all.len(), 15);
    for (name, vector) in &all {
        let result = registered(vector);
        match *name {
            // Our pages are in nobody's frame.
            "none-es256-crossOrigin" | "none-es256-topOrigin" => assert_eq!(result, Err(Refusal::Framed), "{name}"),
            "packed-es384" => assert_eq!(result, Err(Refusal::Algorithm(-35)), "{name}"),
            "packed-es512" => assert_eq!(result, Err(Refusal::Algorithm(-36)), "{name}"),
            "packed-ed448" => assert_eq!(result, Err(Refusal::Algorithm(-53)), "{name}"),
            _ => {
                let made = result.unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
                let used = asserted(vector, &made.key).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
                assert_eq!(used.counter, 0, "{name}");
                assert_eq!(made.id.len() == 1023, *name == "none-es256-long-credential-id", "{name}");
            }
        }
    }
}

#[test]
fn a_changed_byte_is_noticed_wherever_it_is_signed() {
    for (name, vector) in vectors() {
        let Ok(made) = registered(&vector) else { continue };
        for part in ["assert.clientDataJSON", "assert.authenticatorData", "assert.signature"] {
            for at in 0..vector[part].len() {
                let mut changed = vector.clone();
                changed.get_mut(part).unwrap()[at] ^= 1;
                assert!(asserted(&changed, &made.key).is_err(), "{name} {part} {at}");
            }
        }
    }
    // A self attestation is signed too.
    let vector = &vectors()["packed-self-es256"];
    for at in 0..vector["register.attestationObject"].len() {
        let mut changed = vector.clone();
        changed.get_mut("register.attestationObject").unwrap()[at] ^= 1;
        assert!(registered(&changed).is_err() || changed_format(&changed), "{at}");
    }
}

/// A format of another name is one that nobody reads.
fn changed_format(vector: &Vector) -> bool {
    !vector["register.attestationObject"].windows(7).any(|window| window == b"fpacked")
}

#[test]
fn every_end_that_is_missing_is_noticed() {
    for (name, vector) in vectors() {
        let Ok(made) = registered(&vector) else { continue };
        for (part, is_new) in [("register.attestationObject", true), ("assert.authenticatorData", false)] {
            for length in 0..vector[part].len() {
                let mut cut = vector.clone();
                cut.get_mut(part).unwrap().truncate(length);
                let passed = if is_new { registered(&cut).is_ok() } else { asserted(&cut, &made.key).is_ok() };
                assert!(!passed, "{name} {part} {length}");
            }
        }
    }
}
