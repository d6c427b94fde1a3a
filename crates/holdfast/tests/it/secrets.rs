//! Stored secrets are sealed under a key that the data folder doesn't have: looked for in every byte of the files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use crate::support::{
    Server,
    imap::Imap,
    standby::{self, Standby},
    wait_for,
};

const ANNA: &str = "anna@example.org";

/// What every PKCS#8 key begins with that DKIM uses: the identifiers of RSA and Ed25519, as nothing else has them with a
/// private key's version before them.
const RSA: &[u8] = b"\x02\x01\x00\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x04\x82";
const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

fn every_file(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(every_file(&path));
        } else if path.is_file() {
            all.push(path);
        }
    }
    all
}

/// The files of a data folder that have a DKIM key lying open.
fn give_away(dir: &Path) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        [RSA, ED25519].iter().any(|key| bytes.windows(key.len()).any(|part| part == *key))
    };
    // What a machine has for itself is not what is meant: its certificate and its identity.
    let is_own = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "pem" || kind == "der");
    every_file(&dir.join("data")).into_iter().filter(|path| !is_own(path) && holds(path)).collect()
}

/// Makes a key file; gives the configuration that names it.
fn key_in(dir: &Path) -> String {
    let file = dir.join("secrets.key");
    let made = standby::run(dir, &["secrets", "new-key", file.to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
    format!("[secrets]\nkey_file = \"{}\"\n", file.display())
}

fn found(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn secrets(dir: &Path) -> (bool, serde_json::Value) {
    let output = standby::run(dir, &["secrets", "status", "--json"]);
    (output.status.success(), found(&output))
}

#[test]
fn with_a_key_no_file_of_the_data_folder_gives_a_secret_away() {
    let dir = tempfile::tempdir().unwrap();
    let open = Server::start(dir.path());
    open.add_account(ANNA);
    open.stop();
    assert!(!give_away(dir.path()).is_empty(), "the search finds what lies open");
    // A start with a key seals what is there.
    let settings = key_in(dir.path());
    let server = Server::start_with(dir.path(), &settings);
    wait_for("everything is sealed", || secrets(dir.path()).1["open"] == 0);
    let (fine, now) = secrets(dir.path());
    assert!(fine && now["problem"].is_null() && now["missing"].as_object().unwrap().is_empty(), "{now}");
    assert_eq!(now["sealed"][now["keys"][0].as_str().unwrap()], 3, "two DKIM keys, one password's SCRAM keys");
    server.stop();

    // A folder that had the key from the start has nothing, also in the log.
    let fresh = tempfile::tempdir().unwrap();
    let settings = key_in(fresh.path());
    let server = Server::start_with(fresh.path(), &settings);
    server.add_account(ANNA);
    assert!(server.command(&["maintain"]).status.success(), "with a checkpoint");
    assert!(server.command(&["verify"]).status.success());
    server.stop();
    assert_eq!(give_away(fresh.path()), Vec::<PathBuf>::new());

    // Without the key it starts and serves, and says what is missing wherever one looks.
    fs::rename(fresh.path().join("secrets.key"), fresh.path().join("away")).unwrap();
    let verified = standby::run(fresh.path(), &["verify", "--json"]);
    let read = found(&verified);
    assert!(!verified.status.success());
    assert_eq!((&read["damage_count"], read["missing_keys"].as_array().unwrap().len()), (&0.into(), 1), "{read}");
    let server = Server::start_with(fresh.path(), &settings);
    Imap::login(server.address("imap"), ANNA).unwrap();
    let (fine, now) = secrets(fresh.path());
    assert!(!fine && now["configured"] == true && now["problem"].is_string(), "{now}");
    let status = found(&server.command(&["status", "--json"]));
    assert!(!status["alarms"].as_array().unwrap().is_empty(), "{status}");
    assert!(!server.command(&["domain", "add", "other.example"]).status.success());
    // With the file back it is enough to say so.
    fs::rename(fresh.path().join("away"), fresh.path().join("secrets.key")).unwrap();
    assert!(server.command(&["secrets", "seal"]).status.success());
    assert!(secrets(fresh.path()).0);
    assert!(server.command(&["domain", "add", "other.example"]).status.success());
}

#[test]
fn a_standby_has_sealed_secrets_only_and_says_whether_it_has_the_key() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = key_in(one.path());
    let primary = standby::primary(one.path(), &settings);
    primary.server.add_account(ANNA);
    // It has no key at first, then another one, then the primary's.
    let follows = Standby::pair(two.path(), &primary, &key_in(two.path()));
    wait_for("it has everything", || standby::has_all(&primary, &follows));
    let alarms = || found(&standby::run(two.path(), &["status", "--json"]))["alarms"].as_array().unwrap().len();
    assert_eq!(alarms(), 1, "another key");
    let (fine, now) = secrets(two.path());
    assert!(!fine && now["missing"].as_object().unwrap().len() == 1, "{now}");
    fs::remove_file(two.path().join("secrets.key")).unwrap();
    assert_eq!(alarms(), 1, "no key");
    fs::copy(one.path().join("secrets.key"), two.path().join("secrets.key")).unwrap();
    assert_eq!(alarms(), 0, "the same key");
    assert!(secrets(two.path()).0);
    assert_eq!(give_away(two.path()), Vec::<PathBuf>::new());
    drop(primary);
    assert!(standby::run(two.path(), &["promote"]).status.success());
    let imap = follows.promoted();
    Imap::login(imap, ANNA).unwrap();
    let (fine, now) = secrets(two.path());
    assert!(fine && now["open"] == 0, "{now}");
}
