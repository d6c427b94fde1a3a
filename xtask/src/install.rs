//! Getting what the tests need onto the machine: Debian's packages, cargo's tools, the browser tests' npm packages.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::run::{root, run};

/// What the tests of real clients and pages use: the program that shows a package is there, and the package.
const DEBIAN: [(&str, &str); 17] = [
    ("mbsync", "isync"),
    ("mutt", "mutt"),
    ("script", "bsdutils"),
    ("msmtp", "msmtp"),
    ("swaks", "swaks"),
    ("curl", "curl"),
    ("/usr/sbin/nginx", "nginx-light"),
    ("python3", "python3"),
    ("pip3", "python3-pip"),
    ("chromium", "chromium"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("pebble", "pebble"),
    ("/usr/sbin/knotd", "knot"),
    ("named-checkzone", "bind9-utils"),
    ("/usr/sbin/postfix", "postfix"),
    ("zbarimg", "zbar-tools"),
];

/// Whether `program` can be found on the PATH.
pub fn has(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// Installs the Debian packages whose programs are missing.
///
/// # Errors
/// Names what is missing and the command that would install it, when this machine is not Debian's or we are not root.
pub fn debian_packages() -> Result<()> {
    debian(&DEBIAN)
}

/// Installs those packages whose program (a name, or a whole path) is missing. Errors as [`debian_packages`].
pub fn debian(packages: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> =
        packages.iter().filter(|(program, _)| !has(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    if !has("apt-get") {
        bail!("{} must be installed by hand: this machine has no apt-get", missing.join(", "));
    }
    println!("installing {}", missing.join(", "));
    // sudo without a password is as good as root; anything that would ask is not.
    let prefix: &[&str] = if is_root() { &[] } else { &["sudo", "--non-interactive"] };
    let apt = |args: &[&str]| {
        let words: Vec<&str> =
            prefix.iter().chain(&["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]).chain(args).copied().collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut command)
    };
    apt(&["update"]).with_context(|| format!("as root, type: {by_hand}"))?;
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(&missing);
    apt(&install).with_context(|| format!("as root, type: {by_hand}"))
}

/// Installs a cargo tool from crates.io unless it is there.
pub fn cargo_tool(program: &str, package: &str, version: &str) -> Result<()> {
    if has(program) || Path::new(&cargo_bin()).join(program).is_file() {
        return Ok(());
    }
    println!("installing {package} {version}");
    run(Command::new("cargo").args(["install", "--quiet", "--locked", package, "--version", version]))
}

/// The S3-compatible server of the archive's tests, and what their reader in another language needs, and the
/// oracle of signatures: the folder that
/// shows that a package is there, and the package.
const PYTHON: [(&str, &str); 11] = [
    ("moto", "moto[s3]==5.2.5"),
    ("flask", "flask==3.1.3"),
    ("flask_cors", "flask-cors==6.0.5"),
    ("pyrage", "pyrage==1.4.0"),
    ("zstandard", "zstandard==0.25.0"),
    ("blake3", "blake3==1.0.11"),
    ("crc32c", "crc32c==2.9.post0"),
    ("cryptography", "cryptography==50.0.2"),
    ("dkim", "dkimpy==1.1.8"),
    ("nacl", "pynacl==1.6.2"),
    ("authres", "authres==1.2.0"),
];

/// Installs the tests' Python packages into `target/python`, unless they are there.
pub fn python_packages() -> Result<()> {
    let dir = root().join("target/python");
    if PYTHON.iter().all(|(folder, _)| dir.join(folder).is_dir()) {
        return Ok(());
    }
    let packages = PYTHON.map(|(_, package)| package);
    println!("installing {}", packages.join(", "));
    let pip =
        ["-m", "pip", "install", "--quiet", "--upgrade", "--no-warn-script-location", "--root-user-action=ignore"];
    run(Command::new("python3").args(pip).arg("--target").arg(&dir).args(packages))
}

/// Installs the browser tests' packages as their lock file says.
pub fn node_packages(dir: &str) -> Result<()> {
    let dir = root().join(dir);
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(dir))
}

fn cargo_bin() -> String {
    let home = std::env::var("CARGO_HOME").unwrap_or_else(|_| std::env::var("HOME").unwrap_or_default() + "/.cargo");
    home + "/bin"
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
