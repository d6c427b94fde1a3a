//! Promises about import and export: nothing changed, nothing twice, resumable.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use crate::world::{World, text};
use mailstore::import::{ImportOptions, Imported, LineEnds, Progress, TransferError};
use mailstore::{Flags, MailError, MailboxId, MailboxName, NewMessage, Role, Uid};
use tokio::task::block_in_place;

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
    let file = world.dir.path().join("INBOX.mbox");
    let mut told = 0;
    let written = world
        .mail
        .export_mboxes(world.account, world.dir.path(), Some(world.inbox()), None, &mut |progress| {
            assert!(progress.bytes <= progress.total_bytes && progress.messages > told);
            told = progress.messages;
        })
        .unwrap();
    assert_eq!((written.written, written.skipped, told), (7, 0, 7));
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
    for _ in ["new", "nothing twice"] {
        let exported = world.mail.export_maildir(world.account, &root, None, &mut |_| {}).unwrap();
        assert_eq!((exported.written, exported.skipped, exported.shortened.len()), (7, 0, 0));
    }

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

/// Names of the account's mailboxes, and the flags of the messages in them.
fn filed(world: &World) -> BTreeMap<String, Vec<String>> {
    let mailboxes = world.mail.mailboxes(world.account).unwrap();
    let filed = mailboxes.into_iter().filter(|mailbox| mailbox.total > 0).map(|mailbox| {
        let view = world.mail.view(world.account, mailbox.id).unwrap();
        let flags = (0..view.len()).map(|index| view.flags(index).to_string()).collect();
        (mailbox.name.to_string(), flags)
    });
    filed.collect()
}

fn made_maildir(root: &Path, folders: &[&str]) {
    for folder in folders {
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(root.join(folder).join(part)).unwrap();
        }
        fs::write(root.join(folder).join("cur/1.a.host:2,S"), format!("Subject: {folder}\n\nx\n")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_odd_folder_keeps_no_other_out() {
    let world = World::new().await;
    let root = world.dir.path().join("Maildir");
    let deep = format!(".{}", vec!["d"; 21].join("."));
    let long = format!(".{}", "n".repeat(250));
    let folders =
        ["", ".Ok", ".x..y", ". ", ".50%", ".*", ".a.\u{7}", ".bad&utf7", &deep, &long, "plain/inner", "Old.sbd"];
    made_maildir(&root, &folders);
    // A link that leads back, and a file where a folder is expected.
    std::os::unix::fs::symlink(&root, root.join("again")).unwrap();
    fs::create_dir_all(root.join(".file")).unwrap();
    fs::write(root.join(".file/cur"), "x").unwrap();
    let imported = import_maildir(&world, &root);
    assert_eq!(counts(&imported), (12, 0, 0), "{imported:?}");
    let names: Vec<String> = filed(&world).into_keys().collect();
    for expected in ["INBOX", "Ok", "x/_/y", "_", "50_", "a/_", "bad&utf7", "plain/inner", "Old"] {
        assert!(names.iter().any(|name| name == expected), "{expected} is not among {names:?}");
    }
    assert!(imported.renamed.iter().any(|(path, name)| path.ends_with(".50%") && name.as_str() == "50_"));
    assert!(!imported.renamed.iter().any(|(path, _)| path.ends_with(".Ok")));
    assert_eq!(counts(&import_maildir(&world, &root)), (0, 12, 0), "again");
    world.assert_in_order();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn flags_of_thunderbird_gmail_and_maildirs_are_taken_over() {
    let world = World::new().await;
    let file = world.dir.path().join("tb");
    let from = "From - Tue Mar 03 08:30:00 2020\n";
    let status = |status: &str| format!("{from}X-Mozilla-Status: {status}\nSubject: {status}\n\nx\n\n");
    let mbox = ["0001", "0009", "0007", "0000", "1001"].map(status).concat();
    fs::write(&file, mbox).unwrap();
    let imported = import_mbox(&world, world.inbox(), &file, ImportOptions::default());
    assert_eq!((counts(&imported), imported.deleted), ((4, 0, 0), 1));
    let flags = ["\\Seen", "\\Answered \\Flagged \\Seen", "", "\\Seen $Forwarded"];
    assert_eq!(filed(&world)["INBOX"], flags);

    let world = World::new().await;
    let from = "From 166@xxx Tue Mar 03 07:30:00 +0000 2020\n";
    let labels = |labels: &str| format!("{from}X-Gmail-Labels: {labels}\nSubject: {labels}\n\nFrom now on\n\n");
    let all = ["Archived,Opened,Plans", "Inbox,Unread,Starred", "Trash,Opened", "Archived,Unread", "Spam,Unread"];
    fs::write(&file, all.map(labels).concat()).unwrap();
    let follow = ImportOptions { follow_labels: true, ..ImportOptions::default() };
    assert_eq!(counts(&import_mbox(&world, world.inbox(), &file, follow)), (5, 0, 0));
    let filed_now = filed(&world);
    for (mailbox, flags) in [("Plans", "\\Seen"), ("INBOX", "\\Flagged"), ("Trash", "\\Seen")] {
        assert_eq!(filed_now[mailbox], [flags], "{mailbox}");
    }
    assert_eq!(filed_now.len(), 5, "{filed_now:?}");

    // Windows can't have a colon in a name; Thunderbird's Maildirs say nothing there.
    let world = World::new().await;
    let root = world.dir.path().join("Maildir");
    made_maildir(&root, &[""]);
    for name in ["2.a!2,FS", "3.a;2,R", "4.a-2,S"] {
        fs::write(root.join("cur").join(name), format!("Subject: {name}\n\nx\n")).unwrap();
    }
    fs::write(root.join("cur/5.a"), "X-Mozilla-Status: 0005\nSubject: e\n\nx\n").unwrap();
    fs::write(root.join("new/6.a"), "X-Mozilla-Status: 0009\nSubject: f\n\nx\n").unwrap();
    assert_eq!(counts(&import_maildir(&world, &root)), (6, 0, 0));
    let mut flags = filed(&world).remove("INBOX").unwrap();
    flags.sort_unstable();
    assert_eq!(flags, ["", "\\Answered", "\\Flagged \\Seen", "\\Flagged \\Seen", "\\Seen", "\\Seen"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_file_that_is_one_message_is_imported() {
    let world = World::new().await;
    let file = world.dir.path().join("letter.eml");
    fs::write(&file, "From: ann@example.org\r\nSubject: one\r\n\r\nFrom a@b\r\n").unwrap();
    assert_eq!(counts(&import_mbox(&world, world.inbox(), &file, ImportOptions::default())), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_mailbox_name_keeps_another_mailbox_in() {
    let world = World::new().await;
    let level = "f".repeat(60);
    let names = [
        "L".repeat(255),
        "L".repeat(254) + "M",
        [&*level; 5].join("/"),
        "\u{4e2d}".repeat(95),
        "a/b".to_owned(),
        "a.b".to_owned(),
        "A.B".to_owned(),
        "a&b~c".to_owned(),
        "zzz".to_owned(),
    ];
    for name in &names {
        let mailbox = world.create(name).await;
        world.append(mailbox, format!("Subject: {name}\r\n\r\nx\r\n").as_bytes()).await;
    }
    let root = world.dir.path().join("out");
    let exported = world.mail.export_maildir(world.account, &root, None, &mut |_| {}).unwrap();
    assert_eq!((exported.written, exported.skipped), (9, 0), "{exported:?}");
    // The four, and a parent of one of them.
    assert_eq!(exported.shortened.len(), 5, "{:?}", exported.shortened);
    let other = World::new().await;
    assert_eq!(counts(&import_maildir(&other, &root)), (9, 0, 0));
    assert_eq!(filed(&other), filed(&world), "every mailbox has its own name again");

    let boxes = world.dir.path().join("boxes");
    fs::create_dir(&boxes).unwrap();
    let exported = world.mail.export_mboxes(world.account, &boxes, None, None, &mut |_| {}).unwrap();
    assert_eq!((exported.written, exported.skipped), (9, 0), "{exported:?}");
    let mut read = 0;
    for item in fs::read_dir(&boxes).unwrap() {
        let text = fs::read_to_string(item.unwrap().path()).unwrap();
        read += text.matches("\nSubject: ").count();
        assert!(text.matches("\nSubject: ").count() <= 1, "two mailboxes are in one file");
    }
    assert_eq!(read, 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_can_not_be_written_keeps_nothing_else_in() {
    let world = World::new().await;
    for name in ["aaa", "mmm", "zzz"] {
        let mailbox = world.create(name).await;
        world.append(mailbox, b"Subject: x\r\n\r\nx\r\n").await;
    }
    let root = world.dir.path().join("out");
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join(".mmm"), "in the way").unwrap();
    let exported = world.mail.export_maildir(world.account, &root, None, &mut |_| {}).unwrap();
    assert_eq!((exported.written, exported.skipped), (2, 1));
    assert!(exported.skips[0].0.contains("mmm"), "{exported:?}");
    fs::create_dir_all(root.join("mmm.mbox")).unwrap();
    let exported = world.mail.export_mboxes(world.account, &root, None, None, &mut |_| {}).unwrap();
    assert_eq!((exported.written, exported.skipped), (2, 1), "{exported:?}");
}
