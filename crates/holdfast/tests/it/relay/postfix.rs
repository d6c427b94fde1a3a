//! A foreign Postfix as our backup MX: it queues while we are away, and its queue drains whole.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use super::{ANNA, BERT, message};
use crate::support::{Server, port, smtp::Smtp, standby::subjects, wait_for};

const DAEMONS: &str = "/usr/lib/postfix/sbin";

/// A Postfix of the test's own, with its configuration and queue in a folder.
struct Postfix {
    _folder: tempfile::TempDir,
    config: PathBuf,
    address: SocketAddr,
}

impl Postfix {
    /// One that keeps mail for example.org until the server at `primary` takes it; none where it can't run.
    fn start(primary: SocketAddr) -> Option<Self> {
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        if !is_root || !Path::new(DAEMONS).join("master").exists() {
            eprintln!(
                "left out: Postfix (Debian's package postfix) is not installed, or this is not root, which it needs"
            );
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let address = SocketAddr::from(([127, 0, 0, 1], port()));
        for part in ["etc", "spool", "data"] {
            std::fs::create_dir(dir.join(part)).unwrap();
        }
        // Its processes change to its own user.
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Command::new("chown").arg("postfix").arg(dir.join("data")).status().unwrap().success());
        let at = dir.display();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {at}/spool\ndata_directory = {at}/data\n\
             command_directory = /usr/sbin\ndaemon_directory = {DAEMONS}\nmail_owner = postfix\n\
             setgid_group = postdrop\nmyhostname = mx2.example.net\ninet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\nmydestination =\nalias_maps =\nalias_database =\nlocal_recipient_maps =\n\
             relay_domains = example.org\ntransport_maps = inline:{{example.org=smtp:[127.0.0.1]:{}}}\n\
             smtpd_relay_restrictions = reject_unauth_destination\nsmtputf8_enable = no\n\
             minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\n\
             smtp_destination_concurrency_failed_cohort_limit = 0\nmaillog_file = {at}/log\n\
             maillog_file_prefixes = {at}\nsmtp_tls_security_level = may\n",
            primary.port()
        );
        let mut master = format!("{} inet n - n - - smtpd\n", address.port());
        for (name, limit, program) in [
            ("pickup", "1", "pickup"),
            ("cleanup", "0", "cleanup"),
            ("qmgr", "1", "qmgr"),
            ("rewrite", "-", "trivial-rewrite"),
            ("bounce", "0", "bounce"),
            ("defer", "0", "bounce"),
            ("trace", "0", "bounce"),
            ("proxymap", "-", "proxymap"),
            ("smtp", "-", "smtp"),
            ("error", "-", "error"),
            ("retry", "-", "error"),
            ("anvil", "1", "anvil"),
            ("tlsmgr", "1", "tlsmgr"),
            ("scache", "1", "scache"),
        ] {
            let wakes = if ["pickup", "qmgr"].contains(&name) { "1" } else { "-" };
            master += &format!("{name} unix n - n {wakes} {limit} {program}\n");
        }
        master += "postlog unix-dgram n - n - 1 postlogd\n";
        let config = dir.join("etc");
        std::fs::write(config.join("main.cf"), main).unwrap();
        std::fs::write(config.join("master.cf"), master).unwrap();
        let postfix = Self { config, address, _folder: folder };
        assert!(postfix.run("start"), "it does not start");
        wait_for("Postfix listens", || std::net::TcpStream::connect(address).is_ok());
        Some(postfix)
    }

    fn run(&self, command: &str) -> bool {
        Command::new("postfix")
            .arg("-c")
            .arg(&self.config)
            .arg(command)
            .output()
            .is_ok_and(|done| done.status.success())
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.run("stop");
    }
}

#[test]
fn a_foreign_postfix_that_kept_our_mail_drains_whole() {
    const MESSAGES: usize = 200;
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let Some(postfix) = Postfix::start(address) else { return };
    let dir = tempfile::tempdir().unwrap();
    let start = || Server::start_with_env(dir.path(), "", &[("HOLDFAST_LISTEN__SMTP", address.to_string())]);
    let server = start();
    for account in [ANNA, BERT] {
        server.add_account(account);
    }
    server.kill();
    let mut sent = [BTreeMap::new(), BTreeMap::new()];
    let mut smtp = Smtp::connect(postfix.address).unwrap();
    for number in 0..MESSAGES {
        let subject = format!("kept {number}");
        let to = [&[ANNA][..], &[BERT], &[ANNA, BERT]][number % 3];
        assert!(smtp.send("x@sender.example", to, &message(&subject)).unwrap().starts_with("250"));
        for (account, sent) in [ANNA, BERT].iter().zip(&mut sent) {
            if to.contains(account) {
                sent.insert(subject.clone(), 1);
            }
        }
    }
    let server = start();
    let imap = server.address("imap");
    let found = |account: &str| {
        let mut found = BTreeMap::new();
        for subject in subjects(imap, account) {
            *found.entry(subject).or_insert(0) += 1;
        }
        found
    };
    wait_for("all of it is here", || found(ANNA).len() == sent[0].len() && found(BERT).len() == sent[1].len());
    assert_eq!([found(ANNA), found(BERT)], sent, "once each");
}
