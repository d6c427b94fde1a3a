//! A standby copies, follows, compares, and says how it is.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use super::{ANNA, BERT, Machines, machines};
use crate::support::{
    Server,
    imap::Imap,
    port,
    standby::{Primary, Standby, deliver, has_all, numbers, primary, run, said, status},
    wait_for,
    web::Web,
};

#[test]
fn a_standby_copies_follows_compares_and_resumes_after_every_break() {
    let Machines { dirs, primary } = machines("");
    for number in 0..20 {
        deliver(primary.server.address("smtp"), ANNA, &format!("before {number}")).unwrap();
    }
    let wrong = run(dirs[1].path(), &["standby", "--primary", "127.0.0.1:1", "--code", "no-code"]);
    assert!(!wrong.status.success());
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    standby.line("following");
    deliver(primary.server.address("smtp"), BERT, "after").unwrap();
    wait_for("the standby has all", || has_all(&primary, &standby));
    assert!(said(dirs[1].path(), &["compare"]).contains("3 realms are identical"));

    // The standby dies, and comes back without a code.
    standby.kill();
    deliver(primary.server.address("smtp"), BERT, "while it was away").unwrap();
    let standby = Standby::spawn(dirs[1].path(), &[]);
    wait_for("the standby has all again", || has_all(&primary, &standby));
    // The primary dies, and comes back.
    let address = primary.address;
    primary.server.kill();
    let server = Server::start_with_env(dirs[0].path(), "", &[("HOLDFAST_LISTEN__STANDBY", address.to_string())]);
    let primary = Primary { server, address };
    deliver(primary.server.address("smtp"), BERT, "after the crash").unwrap();
    wait_for("the standby has all once more", || has_all(&primary, &standby));
    assert!(said(dirs[1].path(), &["compare"]).contains("3 realms are identical"));
    // Nobody else is let in, and the standby's folder is nobody else's.
    let stranger = tempfile::tempdir().unwrap();
    crate::support::write_config(stranger.path(), "");
    let code = said(dirs[0].path(), &["standby", "code"]);
    let good = code.lines().next().unwrap().to_owned();
    let mut code = good.clone();
    code.replace_range(70..71, if &code[70..71] == "0" { "1" } else { "0" });
    let refused = run(stranger.path(), &["standby", "--primary", &address.to_string(), "--code", &code]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("the code is wrong"), "{why}");
    // A stranger's guess does not invalidate it. A standby that is removed is refused, and its open connection is cut.
    let third =
        Standby::spawn(stranger.path(), &["--primary", &address.to_string(), "--code", &good, "--name", "three"]);
    third.line("following");
    assert!(status(dirs[0].path()).contains("three: received"));
    said(dirs[0].path(), &["standby", "forget", "three"]);
    wait_for("it is cut off", || third.status().contains("does not know yours"));
    drop(third);
    let refused = run(dirs[1].path(), &["account", "list"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is a standby"), "{refused:?}");
    primary.server.stop();
}

#[test]
fn what_breaks_a_rule_with_right_digests_is_noticed_and_the_others_go_on() {
    let Machines { dirs, primary } = machines("");
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    standby.line("following");
    // Not to her: a realm that was just looked at is not looked at again for a minute.
    deliver(primary.server.address("smtp"), BERT, "before").unwrap();
    wait_for("the standby has all", || has_all(&primary, &standby));
    let address = primary.address;
    primary.server.stop();
    // A mistake of the program: a count that counts nothing, properly committed.
    let store = store::Store::open(&dirs[0].path().join("data"), store::StoreOptions::default()).unwrap();
    let anna = store.realms().into_iter().find(|realm| realm.account_number() == Some(1)).unwrap();
    let wrong = store.transact(move |tx| {
        tx.put(anna, vec![0x50], vec![0x08, 7]);
        Ok::<_, store::StoreError>(())
    });
    tokio::runtime::Runtime::new().unwrap().block_on(wrong).unwrap();
    store.close();
    drop(store);
    let server = Server::start_with_env(dirs[0].path(), "", &[("HOLDFAST_LISTEN__STANDBY", address.to_string())]);
    let primary = Primary { server, address };
    wait_for("the rule", || {
        let said = standby.status();
        said.contains("account 1") && said.contains('7')
    });
    println!("{}", standby.status());
    assert!(status(dirs[0].path()).contains("account 1"), "both sides name it");
    deliver(primary.server.address("smtp"), BERT, "goes on").unwrap();
    wait_for("the others go on", || has_all(&primary, &standby));
}

#[test]
fn a_realm_that_the_standby_has_lost_is_named_and_copied_anew() {
    let Machines { dirs, primary } = machines("");
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    standby.line("following");
    for number in 0..5 {
        deliver(primary.server.address("smtp"), ANNA, &format!("m{number}")).unwrap();
    }
    deliver(primary.server.address("smtp"), BERT, "other").unwrap();
    wait_for("the standby has all", || has_all(&primary, &standby));
    standby.kill();
    let data = dirs[1].path().join("data");
    let store = store::Store::open_replica(&data, store::StoreOptions::default()).unwrap();
    let anna = store::RealmId::account(1);
    let summary = store.summary(anna).unwrap();
    // A copy that ended in the middle.
    store.replace_realm(anna, summary.seq, summary.stated, std::iter::empty()).unwrap_err();
    store.close();
    drop(store);
    let standby = Standby::spawn(dirs[1].path(), &[]);
    standby.line("following");
    wait_for("both name it", || {
        standby.status().contains("ALARM: changes to account 1")
            && status(dirs[0].path()).contains("can't apply changes to account 1")
    });
    let compared = run(dirs[1].path(), &["compare"]);
    let (found, why) = (String::from_utf8_lossy(&compared.stdout), String::from_utf8_lossy(&compared.stderr));
    assert!(!compared.status.success() && found.contains("account 1: changes can't be applied here"), "{found}{why}");
    said(dirs[1].path(), &["standby", "resync", "account 1"]);
    deliver(primary.server.address("smtp"), ANNA, "goes on").unwrap();
    wait_for("the standby has all", || has_all(&primary, &standby));
    assert!(said(dirs[1].path(), &["compare"]).contains("3 realms are identical"));
    // What is done once a day is done here too.
    let maintained = said(dirs[1].path(), &["maintain"]);
    assert!(maintained.contains("checkpoint:") && !maintained.contains("FAILED"), "{maintained}");
    primary.server.stop();
    drop(standby);
    let verify = run(dirs[1].path(), &["verify"]);
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}

#[test]
fn a_standby_says_over_http_how_it_is_until_it_serves() {
    let Machines { dirs, primary } = machines("");
    let watched = SocketAddr::from(([127, 0, 0, 1], port()));
    let code = said(dirs[0].path(), &["standby", "code"]);
    crate::support::write_config(dirs[1].path(), "[standby]\ntripwire_account_messages = 3\n");
    let at = primary.address.to_string();
    let args = ["--primary", &at, "--code", code.lines().next().unwrap()];
    let standby =
        Standby::spawn_with_env(dirs[1].path(), &args, &[("HOLDFAST_LISTEN__STANDBY_HTTP", watched.to_string())]);
    let health = || -> (u16, serde_json::Value) {
        let page = Web::new(watched).get("/health").unwrap();
        assert_eq!(page.header("x-holdfast-stage"), Some("off"), "nobody is to read mail here");
        (page.status, serde_json::from_str(&page.body).unwrap())
    };
    let metric = |name: &str| -> Option<f64> {
        let page = Web::new(watched).get("/metrics").unwrap().body;
        let line = page.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next().unwrap().parse().ok()
    };
    wait_for("it follows", || health().0 == 200);
    for number in 0..5 {
        deliver(primary.server.address("smtp"), ANNA, &format!("m{number}")).unwrap();
    }
    wait_for("the standby has all", || has_all(&primary, &standby));
    let (received, applied) = numbers(&standby.status()).unwrap();
    let (_, said_so) = health();
    assert_eq!(said_so["status"], "ok");
    assert_eq!((&said_so["received"], &said_so["applied"]), (&received.into(), &applied.into()));
    assert_eq!(metric("holdfast_standby_received_seq"), Some(received as f64));
    assert_eq!(metric("holdfast_standby_applied_seq"), Some(applied as f64));
    assert_eq!(metric("holdfast_role{role=\"standby\"}"), Some(1.0));
    assert_eq!(metric("holdfast_standby_following"), Some(1.0));
    assert_eq!(metric("holdfast_standby_epoch"), Some(1.0));
    assert_eq!(metric("holdfast_alarms"), Some(0.0));
    assert!(metric("holdfast_disk_free_bytes").unwrap() > 0.0);
    wait_for("how old what it has is", || metric("holdfast_standby_behind_seconds").is_some_and(|s| s < 60.0));

    // Something is held.
    let mut imap = Imap::login(primary.server.address("imap"), ANNA).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 1:* +FLAGS.SILENT (\\Deleted)").unwrap().ok();
    imap.command("EXPUNGE").unwrap().ok();
    wait_for("the wire", || health().0 == 503);
    let (_, said_so) = health();
    assert_eq!((&said_so["status"], &said_so["alarms"]), (&"held".into(), &1.into()));
    assert!(said_so["reason"].as_str().unwrap().contains("lost 5 messages"), "{said_so}");
    assert_eq!(metric("holdfast_standby_tripped"), Some(1.0));
    assert!(metric("holdfast_standby_unapplied_commits").unwrap() > 0.0);
    said(dirs[1].path(), &["standby", "release"]);
    wait_for("nothing is held", || health().0 == 200);

    // It follows nobody.
    primary.server.kill();
    wait_for("it is alone", || health().0 == 503);
    let (_, said_so) = health();
    assert_eq!(said_so["status"], "away");
    assert!(said_so["reason"].as_str().unwrap().contains("not following the primary"), "{said_so}");
    assert_eq!(metric("holdfast_standby_following"), Some(0.0));

    // Made the primary, it serves at its own doors; the address is free for others.
    said(dirs[1].path(), &["promote"]);
    let lines = standby.line("ready");
    let http = lines.iter().find(|line| line.trim_start().starts_with("http ")).unwrap();
    let http: SocketAddr = http.split_whitespace().nth(1).unwrap().parse().unwrap();
    std::net::TcpListener::bind(watched).expect("the address is free");
    assert_eq!(Web::new(http).get("/health").unwrap().status, 200);
    // The service measures itself now and then.
    for line in
        ["holdfast_role{role=\"primary\"} 1", "holdfast_role{role=\"standby\"} 0", "holdfast_standby_following 0"]
    {
        wait_for(line, || Web::new(http).get("/metrics").unwrap().body.lines().any(|found| found == line));
    }
}

#[test]
fn machines_are_compared_at_one_commit_while_mail_comes_in() {
    let Machines { dirs, primary } = machines("");
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    standby.line("following");
    let smtp = primary.server.address("smtp");
    let stop = AtomicBool::new(false);
    let sent = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for to in [ANNA, BERT, ANNA, BERT] {
            let (stop, sent) = (&stop, &sent);
            scope.spawn(move || {
                let mut smtp = crate::support::smtp::Smtp::connect(smtp).unwrap();
                while !stop.load(Ordering::SeqCst) {
                    let number = sent.fetch_add(1, Ordering::SeqCst);
                    let message = format!("From: x@example.net\r\nSubject: {number}\r\n\r\nText.\r\n");
                    assert!(smtp.send("x@example.net", &[to], &message).unwrap().starts_with("250"));
                }
            });
        }
        wait_for("mail comes in", || sent.load(Ordering::SeqCst) > 200);
        let outcomes: Vec<_> = (0..3).map(|_| run(dirs[1].path(), &["compare"])).collect();
        stop.store(true, Ordering::SeqCst);
        for outcome in outcomes {
            let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
            assert!(outcome.status.success() && text.contains("3 realms are identical"), "{text}{outcome:?}");
        }
    });
    wait_for("the standby has all", || has_all(&primary, &standby));
    primary.server.stop();
}

/// Between a standby and its primary: on each connection it lets so many bytes of the standby's through, and then none until
/// it is opened.
struct Narrow {
    address: std::net::SocketAddr,
    open: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Narrow {
    fn before(primary: std::net::SocketAddr, limit: usize) -> Self {
        use std::{
            io::{Read as _, Write as _},
            net::{TcpListener, TcpStream},
            sync::Arc,
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(AtomicBool::new(false));
        let opened = open.clone();
        std::thread::spawn(move || {
            for standby in listener.incoming().map_while(Result::ok) {
                let Ok(primary) = TcpStream::connect(primary) else { continue };
                let (mut from, mut to) = (primary.try_clone().unwrap(), standby.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
                let (mut from, mut to, open) = (standby, primary, opened.clone());
                std::thread::spawn(move || {
                    let (mut bytes, mut through) = ([0; 16 * 1024], 0);
                    while let Ok(n) = from.read(&mut bytes) {
                        while !open.load(Ordering::SeqCst) && through + n > limit {
                            std::thread::park_timeout(Duration::from_millis(5));
                        }
                        through += n;
                        if n == 0 || to.write_all(&bytes[..n]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        Self { address, open }
    }
}

#[test]
fn a_first_copy_says_on_the_primary_how_far_it_is_and_how_long_one_machine_has_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    std::fs::create_dir_all(&one).unwrap();
    std::fs::create_dir_all(&two).unwrap();
    let primary = primary(&one, "");
    primary.server.add_account("anna@example.org");
    // Twice as many as are asked for at once.
    let text: String = (0..30).map(|_| format!("{:064x}\n", rand::random::<u128>())).collect();
    let mail: String =
        (0..500).map(|n| format!("From a@x Mon Nov 23 00:00:00 2026\nSubject: {n}\n\n{text}\n")).collect();
    std::fs::write(dir.path().join("mail.mbox"), mail).unwrap();
    let file = dir.path().join("mail.mbox").display().to_string();
    said(&one, &["import", "anna@example.org", &file]);
    // The first 256 names of messages pass, the next ones don't.
    let narrow = Narrow::before(primary.address, 15_000);
    let near = Primary { server: primary.server, address: narrow.address };
    let standby = Standby::pair(&two, &near, "");
    let look = || {
        let output = near.server.command(&["status", "--json"]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["standbys"][0]["first_copy"].clone()
    };
    let mut seen = serde_json::Value::Null;
    wait_for("messages on their way", || {
        seen = look();
        seen["percent"].as_u64().is_some_and(|percent| (1..100).contains(&percent))
    });
    wait_for("all of the first ones", || {
        seen = look();
        seen["percent"] == 51
    });
    let total = seen["bytes_total"].as_u64().unwrap();
    assert!((900_000..1_200_000).contains(&total) && seen["left_seconds"].is_u64(), "{seen}");
    for command in [&["status"][..], &["standby", "status"]] {
        let said = String::from_utf8(near.server.command(command).stdout).unwrap();
        assert!(said.contains("first copy: ") && said.contains("only this machine has the newest mail"), "{said}");
        assert!(!said.to_lowercase().contains("not connected"), "{said}");
    }
    narrow.open.store(true, std::sync::atomic::Ordering::SeqCst);
    wait_for("everything there", || has_all(&near, &standby));
    assert!(look().is_null(), "it is done");
    let said = String::from_utf8(near.server.command(&["status"]).stdout).unwrap();
    assert!(!said.contains("only this machine has"), "{said}");
}
