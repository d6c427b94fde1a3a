//! The ZIP is read back by programs of others.

use std::process::Command;
use std::sync::Arc;

use delivery::{Delivery, DeliveryOptions};
use directory::{DirectoryOptions, NewAccount, Role};
use exporting::{Exporter, ZipWriter};
use mailkit::EmailAddress;
use mailstore::{Flags, MailboxName, NewMessage, SystemFlag};
use testkit::House;

/// Reads a ZIP by Python: names with their lengths and CRC-32, after a test of all.
const READ: &str = "import sys,zipfile,json\nz=zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\nprint(json.dumps({i.filename:z.read(i).decode('utf-8','surrogateescape') for i in z.infolist()}))";

fn read_back(file: &std::path::Path) -> serde_json::Value {
    let output = Command::new("python3").arg("-c").arg(READ).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn everything_of_an_account_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::with_mailboxes(dir.path(), DirectoryOptions::default()).await;
    house.directory.add_domain("example.org").await.unwrap();
    let new = NewAccount {
        address: EmailAddress::parse("ann@example.org").unwrap(),
        name: "Ann".to_owned(),
        password: "correct horse battery".to_owned(),
        role: Role::User,
        quota_bytes: 0,
    };
    let account = house.directory.create_account(new).await.unwrap();
    let (realm, mail) = (account.realm(), house.mailstore.clone());
    let odd = MailboxName::new("Büro/a:b").unwrap();
    mail.create_mailbox(realm, odd.clone(), None).await.unwrap();
    mail.create_mailbox(realm, MailboxName::new("büro/A_b").unwrap(), None).await.unwrap();
    let mut texts = Vec::new();
    for (number, name) in (1..=250).map(|number| (number, "INBOX")).chain([(1, "Büro/a:b"), (2, "Büro/a:b")]) {
        let text = format!("Subject: ../n{number}/x\r\n\r\n{}\r\n", "same words ".repeat(number % 7));
        let mailbox = mail.mailbox_by_name(realm, &MailboxName::new(name).unwrap()).unwrap().unwrap().id;
        let (staging, bytes) = (mail.clone(), text.clone().into_bytes());
        let body = tokio::task::spawn_blocking(move || staging.stage(&bytes).unwrap()).await.unwrap();
        let message = NewMessage {
            body,
            parsed: Arc::new(mailkit::parse(text.as_bytes())),
            flags: Flags::of(&[SystemFlag::Seen]),
            internal_date_ms: 1_700_000_000_000,
            delivery_key: None,
            ignore_quota: false,
        };
        mail.append(realm, mailbox, message).await.unwrap();
        texts.push(text);
    }
    let rules = rules::Rules::new(house.store.clone());
    rules.put(realm, "main", "keep;\r\n").await.unwrap();
    let delivery =
        Delivery::new(house.store.clone(), house.directory.clone(), mail.clone(), DeliveryOptions::default()).unwrap();
    let exporter = Exporter {
        directory: house.directory.clone(),
        mailstore: mail,
        people: people::People::new(house.store.clone()),
        rules,
        saved: saved::SavedSearches::new(house.store.clone()),
        delivery,
    };
    let file = dir.path().join("all.zip");
    let target = file.clone();
    let done = tokio::task::spawn_blocking(move || {
        let out = std::io::BufWriter::new(std::fs::File::create(target).unwrap());
        exporter.write(account, serde_json::json!({ "sources": [] }), out, &mut |_, _| {}).unwrap()
    });
    let done = done.await.unwrap();
    assert_eq!((done.messages, done.unreadable), (252, 0));
    let found = read_back(&file);
    let found = found.as_object().unwrap();
    let mut mails: Vec<&str> = found
        .iter()
        .filter(|(name, _)| name.split('.').next_back() == Some("eml"))
        .map(|(_, text)| text.as_str().unwrap())
        .collect();
    mails.sort_unstable();
    texts.sort();
    assert_eq!(mails, texts);
    assert!(found.keys().all(|name| !name.contains("..") && !name.starts_with('/')), "{:?}", found.keys());
    assert_eq!(found["rules/main.sieve"], "keep;\r\n");
    let options: serde_json::Value = serde_json::from_str(found["options.json"].as_str().unwrap()).unwrap();
    assert_eq!(options["address"], "ann@example.org");
    let flags: serde_json::Value = serde_json::from_str(found["mail/INBOX/_flags.json"].as_str().unwrap()).unwrap();
    assert_eq!((flags.as_array().unwrap().len(), &flags[0]["flags"][0]), (250, &"\\Seen".into()));
    let folders: std::collections::BTreeSet<String> =
        found.keys().filter_map(|name| name.strip_suffix("/_flags.json")).map(str::to_lowercase).collect();
    assert!(folders.contains("mail/büro/a_b") && folders.contains("mail/büro/a_b (2)"), "{folders:?}");
}

#[test]
fn more_than_65535_files_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("many.zip");
    let out = std::io::BufWriter::new(std::fs::File::create(&file).unwrap());
    let mut zip = ZipWriter::new(out);
    for number in 0..70_000 {
        zip.add(&format!("f/{number}"), 1_700_000_000_000, b"x").unwrap();
    }
    zip.finish().unwrap();
    let read = "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nn=z.namelist()\nassert len(n)==70000\nassert z.read(n[-1])==b'x'";
    assert!(Command::new("python3").arg("-c").arg(read).arg(&file).status().unwrap().success());
}
