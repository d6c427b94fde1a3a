//! A Postfix of a test's own: configuration, queue and mailboxes in a folder, on a port of its own.

use std::{
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use super::{port, wait_for};

const DAEMONS: &str = "/usr/lib/postfix/sbin";

/// The processes: name, whether private, whether without root, wakes after seconds, at most, program.
const PROCESSES: [(&str, &str, &str, &str, &str, &str); 16] = [
    ("pickup", "n", "-", "60", "1", "pickup"),
    ("cleanup", "n", "-", "-", "0", "cleanup"),
    ("qmgr", "n", "-", "1", "1", "qmgr"),
    ("rewrite", "-", "-", "-", "-", "trivial-rewrite"),
    ("bounce", "-", "-", "-", "0", "bounce"),
    ("defer", "-", "-", "-", "0", "bounce"),
    ("trace", "-", "-", "-", "0", "bounce"),
    ("proxymap", "-", "-", "-", "-", "proxymap"),
    ("smtp", "-", "-", "-", "-", "smtp"),
    ("virtual", "-", "n", "-", "-", "virtual"),
    ("error", "-", "-", "-", "-", "error"),
    ("retry", "-", "-", "-", "-", "error"),
    ("discard", "-", "-", "-", "-", "discard"),
    ("anvil", "-", "-", "-", "1", "anvil"),
    ("tlsmgr", "-", "-", "1000", "1", "tlsmgr"),
    ("scache", "-", "-", "-", "1", "scache"),
];

/// Stopped when dropped.
pub struct Postfix {
    folder: tempfile::TempDir,
    pub address: SocketAddr,
}

impl Postfix {
    /// One with more settings, which may name its folder as `DIR`; not started yet. None where it can't run, which is said.
    pub fn configured(test: &str, more: &str) -> Option<Self> {
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        if !is_root || !Path::new(DAEMONS).join("master").exists() {
            eprintln!("NOT RUN: {test}: needs root and Postfix (apt-get install postfix)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        // Its processes change to a user of their own.
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        for part in ["etc", "spool", "data", "mail"] {
            std::fs::create_dir(dir.join(part)).unwrap();
        }
        for part in ["data", "mail"] {
            assert!(Command::new("chown").arg("postfix").arg(dir.join(part)).status().unwrap().success());
        }
        let address = SocketAddr::from(([127, 0, 0, 1], port()));
        let at = dir.display();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {at}/spool\ndata_directory = {at}/data\n\
             command_directory = /usr/sbin\ndaemon_directory = {DAEMONS}\nmail_owner = postfix\n\
             setgid_group = postdrop\nmyhostname = mx2.example.net\ninet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\nmydestination =\nalias_maps =\nalias_database =\nlocal_recipient_maps =\n\
             mynetworks =\nsmtpd_peername_lookup = no\nsmtpd_client_connection_count_limit = 0\n\
             minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\ntransport_retry_time = 1s\n\
             maillog_file = {at}/log\nmaillog_file_prefixes = {at}\nsmtp_tls_security_level = may\n{}\n",
            more.replace("DIR", &at.to_string())
        );
        let mut master = format!("{address} inet n - n - - smtpd\npostlog unix-dgram n - n - 1 postlogd\n");
        for (name, private, without_root, wakes, limit, program) in PROCESSES {
            master += &format!("{name} unix {private} {without_root} n {wakes} {limit} {program}\n");
        }
        std::fs::write(dir.join("etc/main.cf"), main).unwrap();
        std::fs::write(dir.join("etc/master.cf"), master).unwrap();
        Some(Self { folder, address })
    }

    /// Whose mailboxes are filed by that user.
    pub fn give_mailboxes_to(&self, user: &str) {
        let mail = self.folder.path().join("mail");
        assert!(Command::new("chown").arg(user).arg(mail).status().unwrap().success());
    }

    pub fn start(&self) {
        assert!(self.run("start"), "it does not start: {}", self.log());
        wait_for("Postfix listens", || TcpStream::connect(self.address).is_ok());
    }

    pub fn stop(&self) {
        self.run("stop");
        wait_for("Postfix has stopped", || TcpStream::connect(self.address).is_err());
    }

    fn run(&self, command: &str) -> bool {
        let config = self.folder.path().join("etc");
        let done = Command::new("postfix").arg("-c").arg(config).arg(command).output().unwrap();
        if !done.status.success() {
            eprintln!("postfix {command}: {}", String::from_utf8_lossy(&done.stderr));
        }
        done.status.success()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// How many messages are in its queue.
    pub fn queued(&self) -> usize {
        let queues = ["maildrop", "incoming", "active", "deferred", "hold"];
        queues.iter().map(|queue| files_below(&self.folder.path().join("spool").join(queue)).len()).sum()
    }

    /// The messages in a mailbox `mail/NAME`.
    pub fn mailbox(&self, name: &str) -> Vec<String> {
        let files = files_below(&self.folder.path().join("mail").join(name).join("new"));
        files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.run("stop");
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files.extend(files_below(&entry.path())),
            Ok(_) => files.push(entry.path()),
            Err(_) => {}
        }
    }
    files
}
