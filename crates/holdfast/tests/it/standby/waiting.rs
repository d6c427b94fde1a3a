//! Mode sync: commits wait for a standby, or go on without one, and everything says which.

use std::{net::SocketAddr, path::Path};

use super::{ANNA, Machines, SYNC, machines};
use crate::support::{
    Server, port,
    standby::{Standby, deliver, has_all, run, said, status, subjects},
    wait_for,
    web::Web,
};

#[test]
fn a_standby_that_is_away_makes_sync_mode_wait_or_go_on_with_an_alarm() {
    let degrade = "[standby]\nmode = \"sync\"\nwhen_away = \"degrade\"\naway_after = \"1 second\"\n";
    let Machines { dirs, primary } = machines(degrade);
    assert!(status(dirs[0].path()).contains("ALARM"));
    assert!(deliver(primary.server.address("smtp"), ANNA, "alone").unwrap().starts_with("250"));
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    wait_for("no alarm", || !status(dirs[0].path()).contains("ALARM"));
    assert!(deliver(primary.server.address("smtp"), ANNA, "together").unwrap().starts_with("250"));
    wait_for("both have it", || has_all(&primary, &standby));
    standby.kill();
    assert!(deliver(primary.server.address("smtp"), ANNA, "alone again").unwrap().starts_with("250"));
    wait_for("the alarm", || status(dirs[0].path()).contains("ALARM"));
    primary.server.stop();

    // `wait`: what is sent is acknowledged only once the standby is back.
    let server =
        Server::start_with_env(dirs[0].path(), SYNC, &[("HOLDFAST_LISTEN__STANDBY", primary.address.to_string())]);
    let smtp = server.address("smtp");
    let imap = server.address("imap");
    let sending = std::thread::spawn(move || deliver(smtp, ANNA, "waits").unwrap());
    // Readers see it a moment before: the commit is made, and only the standby is waited for.
    wait_for("the commit", || subjects(imap, ANNA).contains(&"waits".to_owned()));
    assert!(!sending.is_finished(), "nobody else has it yet");
    let _standby = Standby::spawn(dirs[1].path(), &[]);
    assert!(sending.join().unwrap().starts_with("250"));
    server.stop();
}

#[test]
fn a_standby_that_hangs_while_it_is_sent_something_large_does_not_keep_degrade_mode_from_going_on() {
    let degrade = "[standby]\nmode = \"sync\"\nwhen_away = \"degrade\"\naway_after = \"1 second\"\n";
    let Machines { dirs, primary } = machines(degrade);
    let standby = Standby::pair(dirs[1].path(), &primary, "");
    wait_for("no alarm", || !status(dirs[0].path()).contains("ALARM"));
    standby.signal("STOP");
    // More than fits into the buffers on the way.
    let mut text = String::with_capacity(24 << 20);
    while text.len() < 24 << 20 {
        text.push_str(&format!("{:032x}{:032x}\r\n", rand::random::<u128>(), rand::random::<u128>()));
    }
    let message = format!("From: x@example.net\r\nSubject: large\r\n\r\n{text}");
    let mut smtp = crate::support::smtp::Smtp::connect(primary.server.address("smtp")).unwrap();
    let reply = smtp.send("x@example.net", &[ANNA], &message).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    assert!(status(dirs[0].path()).contains("ALARM"));
    standby.signal("CONT");
    wait_for("it has all", || has_all(&primary, &standby));
    assert!(said(dirs[1].path(), &["compare"]).contains("3 realms are identical"));
    primary.server.stop();
}

#[test]
fn of_two_standbys_none_counts_while_the_other_believes_that_it_decides_alone() {
    let Machines { dirs, primary } = machines(SYNC);
    let first = Standby::pair(dirs[1].path(), &primary, "");
    first.line("following");
    assert!(deliver(primary.server.address("smtp"), ANNA, "both").unwrap().starts_with("250"));
    first.kill();
    let third = tempfile::tempdir().unwrap();
    let code = said(dirs[0].path(), &["standby", "code"]);
    crate::support::write_config(third.path(), "");
    let args = ["--primary", &primary.address.to_string(), "--code", code.lines().next().unwrap(), "--name", "three"];
    let second = Standby::spawn(third.path(), &args);
    second.line("following");
    assert!(status(dirs[0].path()).contains("ALARM: two: it still assumes that writes wait"));
    let smtp = primary.server.address("smtp");
    let sending = std::thread::spawn(move || deliver(smtp, ANNA, "waits").unwrap());
    wait_for("the commit", || subjects(primary.server.address("imap"), ANNA).contains(&"waits".to_owned()));
    wait_for("it has it", || has_all(&primary, &second));
    assert!(!sending.is_finished(), "the first one could be promoted, and would give numbers twice");
    // Once it knows, the second one is enough.
    let first = Standby::spawn(dirs[1].path(), &[]);
    wait_for("it knows", || !status(dirs[0].path()).contains("ALARM"));
    assert!(sending.join().unwrap().starts_with("250"));
    first.kill();
    assert!(deliver(smtp, ANNA, "one of two").unwrap().starts_with("250"));
    primary.server.kill();
    assert!(said(third.path(), &["promote"]).contains("epoch 2"));
    let lines = second.line("ready").concat();
    assert!(lines.contains("have a new UIDVALIDITY"), "of two, one may lack what the other has: {lines}");
}

#[test]
fn a_primary_without_the_standby_that_it_waits_for_says_so_everywhere_and_a_promotion_asks() {
    let waits = format!("{SYNC}away_after = \"1 second\"\n");
    let Machines { dirs, primary } = machines(&waits);
    let health = |address: SocketAddr| Web::new(address).get("/health").unwrap();
    let is_waiting = |dir: &Path, http: SocketAddr| {
        wait_for("the alarm", || status(dir).contains("ALARM: nothing is acknowledged"));
        let overview = run(dir, &["status"]);
        let text = String::from_utf8_lossy(&overview.stdout).into_owned();
        assert_eq!(overview.status.code(), Some(1), "{text}");
        assert!(text.contains("WAITING") && text.contains("ALARM: Standby: nothing is acknowledged"), "{text}");
        let page = health(http);
        assert_eq!(page.status, 503, "{}", page.body);
        assert!(page.body.contains("\"status\":\"waiting\"") && page.body.contains("standby"), "{}", page.body);
        assert!(said(dir, &["stage", "show"]).contains("WAITING: nothing is acknowledged"));
    };
    let http = primary.server.address("http");
    is_waiting(dirs[0].path(), http);
    // People sign in and read all the same.
    let mut web = Web::sign_in(http, ANNA).unwrap();
    assert_eq!(web.get("/mail/inbox").unwrap().status, 200);
    // A command says what it waits for.
    let config = dirs[0].path().join("holdfast.toml");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["--config", config.to_str().unwrap(), "domain", "add", "example.net"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(command.stderr.take().unwrap()));
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("waiting for a standby to acknowledge (Ctrl-C to stop waiting)"), "{line}");
    // Told to go on without one it does, over restarts too.
    said(dirs[0].path(), &["standby", "alone"]);
    assert!(command.wait().unwrap().success());
    assert_eq!(health(http).status, 200);
    assert!(status(dirs[0].path()).contains("ALARM: no standby is following"));
    let address = primary.address;
    primary.server.stop();
    let env = [("HOLDFAST_LISTEN__STANDBY", address.to_string())];
    let server = Server::start_with_env(dirs[0].path(), &waits, &env);
    assert!(deliver(server.address("smtp"), ANNA, "alone").unwrap().starts_with("250"));
    // Until a standby has everything.
    let code = said(dirs[0].path(), &["standby", "code"]);
    let code = code.lines().next().unwrap();
    crate::support::write_config(dirs[1].path(), &waits);
    let own = [("HOLDFAST_LISTEN__STANDBY", SocketAddr::from(([127, 0, 0, 1], port())).to_string())];
    let args = ["--primary", &address.to_string(), "--code", code];
    let standby = Standby::spawn_with_env(dirs[1].path(), &args, &own);
    wait_for("no alarm", || !status(dirs[0].path()).contains("ALARM"));
    assert!(deliver(server.address("smtp"), ANNA, "both").unwrap().starts_with("250"));
    standby.signal("STOP");
    is_waiting(dirs[0].path(), server.address("http"));
    standby.signal("CONT");
    wait_for("no alarm again", || !status(dirs[0].path()).contains("ALARM"));

    // The standby's own configuration has it wait, for one that it does not have.
    server.kill();
    let refused = run(dirs[1].path(), &["promote"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("--alone") && why.contains("--wait"), "{why}");
    assert!(run(dirs[1].path(), &["standby", "status"]).status.success(), "nothing has happened");
    let promoted = said(dirs[1].path(), &["promote", "--alone"]);
    assert!(promoted.contains("epoch 2") && promoted.contains("acknowledged without a standby"), "{promoted}");
    let lines = standby.line("ready");
    let door = |name: &str| -> SocketAddr {
        let line = lines.iter().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert!(deliver(door("smtp "), ANNA, "after").unwrap().starts_with("250"));
    assert_eq!(subjects(door("imap "), ANNA), ["alone", "both", "after"]);
    assert!(status(dirs[1].path()).contains("ALARM: no standby is following"));
}

#[test]
fn a_promotion_that_waits_says_so_and_one_beside_a_primary_that_answers_warns() {
    let Machines { dirs, primary } = machines("");
    let waits = format!("{SYNC}away_after = \"1 second\"\n");
    let code = said(dirs[0].path(), &["standby", "code"]);
    crate::support::write_config(dirs[1].path(), &waits);
    let own = [("HOLDFAST_LISTEN__STANDBY", SocketAddr::from(([127, 0, 0, 1], port())).to_string())];
    let args = ["--primary", &primary.address.to_string(), "--code", code.lines().next().unwrap()];
    let standby = Standby::spawn_with_env(dirs[1].path(), &args, &own);
    standby.line("following");
    wait_for("the standby has all", || has_all(&primary, &standby));
    let promoted = said(dirs[1].path(), &["promote", "--wait"]);
    assert!(promoted.contains("WARNING: the old primary at 127.0.0.1"), "{promoted}");
    assert!(promoted.contains("acknowledges NOTHING") && promoted.contains("holdfast standby alone"), "{promoted}");
    standby.line("ready");
    wait_for("the alarm", || status(dirs[1].path()).contains("ALARM: nothing is acknowledged"));
    let fenced = || run(dirs[0].path(), &["status"]);
    wait_for("the old one is told", || String::from_utf8_lossy(&fenced().stdout).contains("STOPPED"));
    said(dirs[1].path(), &["standby", "alone"]);
    wait_for("it goes on", || status(dirs[1].path()).contains("ALARM: no standby is following"));
    primary.server.kill();
}
