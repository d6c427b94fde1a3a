//! Promises about import and export: nothing changed, nothing twice, resumable.

mod world;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use mailstore::import::{ImportOptions, Imported, LineEnds, Progress, TransferError};
use mailstore::{Flags, MailError, MailboxId, MailboxName, NewMessage, Role, Uid};
use tokio::task::block_in_place;
use world::{World, text};

/// Messages that tools like to change.
fn strange() -> Vec<Vec<u8>> {
    vec![
        text("1@x", "", "Plain", "From the start\r\n>From a quote\r\n\r\nFrom x Mon Nov 23 14:50:10 2026"),
        b"Subject: unix\n\nlines\nFrom me\n".to_vec(),
        b"Subject: no end".to_vec(),
        b"\0nul\0 \xff\xfe bare\rcr\r\n\r\n\r\n".to_vec(),
        b"\n\n\n".to_vec(),
        b"".to_vec(),
        [b"Subject: large\r\n\r\n".as_slice(), &b"0123456789\0".repeat(300_000)].concat(),
    ]
}

fn bodies(world: &World, mailbox: MailboxId) -> Vec<Vec<u8>> {
    let view = world.mail.view(world.account, mailbox).unwrap();
    let entries = world.mail.entries(world.account, mailbox, view.uids()).unwrap();
    let body = |entry: &mailstore::MessageEntry| {
        let mut bytes = Vec::new();
        world.mail.body(world.account, entry.email_id).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    entries.iter().map(body).collect()
}

fn import_mbox(world: &World, mailbox: MailboxId, file: &Path, options: ImportOptions<'_>) -> Imported {
    block_in_place(|| world.mail.import_mbox(world.account, mailbox, file, options, &mut |_| {}).unwrap())
}

fn import_maildir(world: &World, root: &Path) -> Imported {
    let options = ImportOptions::default();
    block_in_place(|| world.mail.import_maildir(world.account, None, root, options, &mut |_| {}).unwrap())
}

fn counts(imported: &Imported) -> (u64, u64, u64) {
    (imported.filed, imported.known, imported.skipped)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn messages_go_through_an_mbox_unchanged_and_once() {
    let world = World::new().await;
    for raw in strange() {
        world.append(world.inbox(), &raw).await;
    }
    let file = world.dir.path().join("out.mbox");
    let mut told = 0;
    let written = world
        .mail
        .export_mbox(world.account, world.inbox(), &file, None, &mut |progress| {
            assert!(progress.bytes <= progress.total_bytes && progress.messages > told);
            told = progress.messages;
        })
        .unwrap();
    assert_eq!((written, told), (7, 7));
    let archive = world.mailbox(Role::Archive).id;
    let imported = import_mbox(&world, archive, &file, ImportOptions::default());
    assert_eq!(counts(&imported), (7, 0, 0));
    assert!(bodies(&world, archive) == strange());
    assert_eq!(counts(&import_mbox(&world, archive, &file, ImportOptions::default())), (0, 7, 0));
    let again = ImportOptions { again: true, ..ImportOptions::default() };
    assert_eq!(counts(&import_mbox(&world, archive, &file, again)), (7, 0, 0));
    world.assert_in_order();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_mbox_that_has_grown_gives_what_is_new() {
    let world = World::new().await;
    let file = world.dir.path().join("box");
    let from = "From ann@example.org Mon Nov 23 14:50:10 2026\n";
    let old = format!("{from}Subject: a\nStatus: RO\nX-Status: F\n\nsame\n\n{from}Subject: a\n\nsame\n\n");
    fs::write(&file, old.replace("Status: RO\nX-Status: F\n", "").as_bytes()).unwrap();
    assert_eq!(counts(&import_mbox(&world, world.inbox(), &file, ImportOptions::default())), (2, 0, 0));
    fs::write(&file, format!("{}{old}", old.replace("Status: RO\nX-Status: F\n", ""))).unwrap();
    assert_eq!(counts(&import_mbox(&world, world.inbox(), &file, ImportOptions::default())), (2, 2, 0));
    let rows = world.mail.entries(world.account, world.inbox(), &[Uid(1), Uid(3)]).unwrap();
    assert_eq!(rows[0].internal_date_ms, 1_795_445_410_000);
    assert_eq!(rows.iter().map(|row| row.flags.to_string()).collect::<Vec<_>>(), ["", "\\Flagged \\Seen"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn unix_line_ends_become_network_ones_when_asked() {
    let world = World::new().await;
    let file = world.dir.path().join("box");
    fs::write(&file, "From a@b Mon Nov 23 14:50:10 2026\nSubject: a\n\ntext\n\n").unwrap();
    let network = ImportOptions { line_ends: LineEnds::Network, ..ImportOptions::default() };
    import_mbox(&world, world.inbox(), &file, network);
    assert_eq!(bodies(&world, world.inbox()), [b"Subject: a\r\n\r\ntext\r\n"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_import_that_was_stopped_goes_on_where_it_was() {
    let world = World::new().await;
    let file = world.dir.path().join("box");
    let from = "From a@b Mon Nov 23 14:50:10 2026\n";
    let mbox: Vec<_> = (0..300).map(|n| format!("{from}Subject: {n}\n\ntext {n}\n\n")).collect();
    fs::write(&file, mbox.concat()).unwrap();
    let cancel = AtomicBool::new(false);
    let options = ImportOptions { cancel: Some(&cancel), ..ImportOptions::default() };
    let mut stop = |progress: &Progress| cancel.store(progress.messages >= 150, Ordering::Relaxed);
    let stopped = block_in_place(|| world.mail.import_mbox(world.account, world.inbox(), &file, options, &mut stop));
    assert!(matches!(stopped, Err(TransferError::Mail(MailError::Cancelled))));
    let before = u64::from(world.mailbox(Role::Inbox).total);
    assert!((1..300).contains(&before));
    let imported = import_mbox(&world, world.inbox(), &file, ImportOptions::default());
    assert_eq!(counts(&imported), (300 - before, before, 0));
    world.assert_in_order();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_file_that_is_no_mailbox_is_refused_by_name() {
    let world = World::new().await;
    let file = world.dir.path().join("letter.txt");
    fs::write(&file, "Dear Ann\n").unwrap();
    let options = ImportOptions::default();
    let (account, inbox) = (world.account, world.inbox());
    let refused = world.mail.import_mbox(account, inbox, &file, options, &mut |_| {}).unwrap_err();
    assert!(refused.to_string().contains("letter.txt"), "{refused}");
    let refused = world.mail.import_maildir(account, None, world.dir.path(), options, &mut |_| {}).unwrap_err();
    assert!(refused.to_string().contains("Maildir"), "{refused}");
    let missing = world.mail.import_mbox(account, inbox, Path::new("/nonexistent"), options, &mut |_| {}).unwrap_err();
    assert!(matches!(missing, TransferError::File { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_maildir_with_folders_and_flags_is_taken_over() {
    let world = World::new().await;
    let root = world.dir.path().join("Maildir");
    let write = |folder: &str, part: &str, name: &str, text: &str| {
        let path = root.join(folder).join(part);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(name), text).unwrap();
        let file = fs::File::options().append(true).open(path.join(name)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_millis(1_600_000_000_000)).unwrap();
    };
    write("", "cur", "1.a.host:2,FRSab", "Subject: one\n\n1\n");
    write("", "new", "2.b.host", "Subject: two\n\n2\n");
    write(".Sent", "cur", "3.c.host:2,S", "Subject: three\n\n3\n");
    write(".Lists.K&APY-ln.v1&AC4-0", "cur", "4.d.host:2,DTP", "Subject: four\n\n4\n");
    fs::write(root.join("dovecot-keywords"), "0 work\n1 $Label1\n").unwrap();
    let imported = import_maildir(&world, &root);
    assert_eq!(counts(&imported), (4, 0, 0));
    let mailbox = |name: &str| {
        let found = world.mail.mailbox_by_name(world.account, &MailboxName::new(name).unwrap()).unwrap().unwrap();
        let uids: Vec<_> = (1..=found.total).map(Uid).collect();
        world.mail.entries(world.account, found.id, &uids).unwrap()
    };
    let inbox = mailbox("INBOX");
    assert_eq!(inbox[0].flags.to_string(), "\\Answered \\Flagged \\Seen $Label1 work");
    assert_eq!((inbox[0].internal_date_ms, inbox[1].flags.to_string().as_str()), (1_600_000_000_000, ""));
    assert_eq!(mailbox("Sent").len(), 1);
    assert_eq!(mailbox("Lists/Köln/v1.0")[0].flags.to_string(), "\\Deleted \\Draft $Forwarded");
    let again = import_maildir(&world, &root);
    assert_eq!(counts(&again), (0, 4, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn messages_go_through_a_maildir_unchanged_with_flags_dates_and_folders() {
    let world = World::new().await;
    let deep = world.create("Projects/v1.0/Köln & Bonn").await;
    for (n, raw) in strange().iter().enumerate() {
        let mut message: NewMessage = world.message(raw);
        message.flags = Flags::parse([["\\Seen", "work"], ["\\Flagged", "$Forwarded"]][n % 2]).unwrap();
        message.internal_date_ms = 1_700_000_000_000 + n as i64 * 1_000;
        world.mail.append(world.account, deep, message).await.unwrap();
    }
    let root = world.dir.path().join("out");
    assert_eq!(world.mail.export_maildir(world.account, &root, None, &mut |_| {}).unwrap(), 7);
    assert_eq!(world.mail.export_maildir(world.account, &root, None, &mut |_| {}).unwrap(), 7, "nothing twice");

    let other = World::new().await;
    let imported = import_maildir(&other, &root);
    assert_eq!(counts(&imported), (7, 0, 0));
    let name = MailboxName::new("Projects/v1.0/Köln & Bonn").unwrap();
    let copy = other.mail.mailbox_by_name(other.account, &name).unwrap().unwrap().id;
    let all = |world: &World, mailbox| -> BTreeMap<i64, (Vec<u8>, String)> {
        let uids: Vec<_> = (1..=7).map(Uid).collect();
        let entries = world.mail.entries(world.account, mailbox, &uids).unwrap();
        let rows = entries.iter().map(|entry| (entry.internal_date_ms, entry.flags.to_string()));
        rows.zip(bodies(world, mailbox)).map(|((date, flags), body)| (date, (body, flags))).collect()
    };
    assert!(all(&world, deep) == all(&other, copy));
}
