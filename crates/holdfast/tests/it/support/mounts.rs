//! Disks of a test's own, small enough to be filled to the last byte.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{limited, ports_for_another};

/// Set where the test runs in mounts of its own.
const INSIDE: &str = "HOLDFAST_TEST_HAS_ITS_OWN_MOUNTS";
/// What `unshare` is told: as anybody, and as root where anybody may not.
const WAYS: [&[&str]; 2] = [&["--user", "--map-root-user", "--mount"], &["--mount"]];

/// Runs a test in a process whose mounts nobody else sees; `name` is the test's own, with its modules. A machine that gives
/// nobody mounts says so.
pub fn with_own_mounts(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let is_given = |way: &&&[&str]| {
        let tried = Command::new("unshare")
            .args(**way)
            .args(["mount", "-t", "tmpfs", "none", "/tmp"])
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|tried| tried.success())
    };
    let Some(way) = WAYS.iter().find(is_given) else {
        eprintln!("NOT RUN: {name}: unshare gives no mounts of one's own on this machine (user namespaces are off?)");
        return;
    };
    let run = limited("unshare")
        .args(*way)
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .envs([ports_for_another()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    println!("{text}");
    assert!(run.status.success() && text.contains("1 passed"), "{name} has failed in mounts of its own");
}

/// A file system in memory, of a size.
pub struct SmallDisk {
    root: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many MiB so that `dir` is on it: it is made if it is not there, and empty.
    pub fn under(dir: &Path, mib: u64) -> Self {
        let mut root = dir.as_os_str().to_owned();
        root.push(".disk");
        let root = PathBuf::from(root);
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(dir).unwrap();
        let mount = |args: &[&str]| assert!(Command::new("mount").args(args).status().unwrap().success(), "{args:?}");
        let (disk, size) = (root.to_str().unwrap(), format!("size={mib}m"));
        mount(&["-t", "tmpfs", "-o", &size, "none", disk]);
        let inner = root.join("in-use");
        fs::create_dir(&inner).unwrap();
        mount(&["--bind", inner.to_str().unwrap(), dir.to_str().unwrap()]);
        Self { root }
    }

    /// Another program takes all the room there is but `leave` bytes.
    pub fn fill(&self, leave: u64) {
        let mut file = File::options().create(true).append(true).open(self.ballast()).unwrap();
        let bytes = vec![0; 64 << 10];
        loop {
            let over = usize::try_from(self.free().saturating_sub(leave)).unwrap().min(bytes.len());
            match file.write(&bytes[..if leave == 0 { bytes.len() } else { over }]) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// It takes nothing any more.
    pub fn make_room(&self) {
        let _ = fs::remove_file(self.ballast());
    }

    /// Makes it as large as this, with what is on it.
    pub fn grow(&self, mib: u64) {
        let size = format!("remount,size={mib}m");
        assert!(Command::new("mount").args(["-o", &size]).arg(&self.root).status().unwrap().success());
    }

    /// Free bytes.
    pub fn free(&self) -> u64 {
        let found = rustix::fs::statvfs(&self.root).unwrap();
        found.f_bavail * found.f_frsize
    }

    fn ballast(&self) -> PathBuf {
        self.root.join("ballast")
    }
}
