//! Real clients do their round against the door: login by STARTTLS, check, put, list, activate, read, rename, delete, and a
//! wrong script with its line. A client that is neither on this machine nor to be had is passed over, and says so.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use managesieve::ManageSieveOptions;
use tokio::process::Command;

use crate::world::{LOGIN, PASSWORD, World};

/// Runs a program to its end.
async fn run(command: &mut Command) -> Result<Output, String> {
    let shown = command.as_std().get_program().display().to_string();
    // One that waits for ever must fail its test, not stop all tests.
    let ended = tokio::time::timeout(std::time::Duration::from_secs(300), command.kill_on_drop(true).output()).await;
    ended.map_err(|_| format!("{shown} does not end"))?.map_err(|error| format!("{shown}: {error}"))
}

/// A Python with these packages, installed once.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = PYTHON.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("managesieve-clients");
        let python = folder.join("bin/python3");
        let has = |python: &Path| {
            let mut command = std::process::Command::new(python);
            command.args(["-c", "import managesieve, sievelib, sievemgr"]);
            command.output().is_ok_and(|output| output.status.success())
        };
        if !has(&python) {
            let mut command = std::process::Command::new("python3");
            command.args(["-m", "venv"]).arg(&folder).output().ok()?;
            let mut command = std::process::Command::new(folder.join("bin/pip"));
            command.args(["install", "-q", "managesieve", "sievelib", "sievemgr"]).output().ok()?;
        }
        has(&python).then_some(python)
    });
    if made.is_none() {
        eprintln!("NOT RUN: the Python packages managesieve, sievelib and sievemgr can't be had");
    }
    made.as_deref()
}

/// A round that ends with "done" and leaves one script.
async fn round(command: &mut Command, world: &World) {
    let app = world.directory.create_app_password(world.account, "client").await.unwrap();
    let certificate = world.certificate();
    command.arg(world.address.port().to_string()).args([LOGIN, PASSWORD, &app.password]).arg(&certificate);
    let output = run(command.env("SSL_CERT_FILE", &certificate)).await.unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim_end().ends_with("done"), "{said}\n{errors}");
    let left = world.rules.list(world.realm()).unwrap();
    let left: Vec<(&str, bool)> = left.iter().map(|script| (script.name.as_str(), script.active)).collect();
    assert_eq!(left, [("kept", true)]);
}

async fn python_round(script: &str) {
    let Some(python) = python() else { return };
    let world = World::with(ManageSieveOptions::default()).await;
    round(Command::new(python).args(["-c", script]), &world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pythons_managesieve() {
    python_round(include_str!("clients/managesieve.py")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pythons_sievelib() {
    python_round(include_str!("clients/sievelib.py")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pythons_sievemgr() {
    python_round(include_str!("clients/sievemgr.py")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn perls_net_managesieve() {
    let has = run(Command::new("perl").args(["-MNet::ManageSieve", "-MIO::Socket::SSL", "-e", "1"])).await;
    if !has.is_ok_and(|output| output.status.success()) {
        eprintln!("NOT RUN: Net::ManageSieve is not installed (apt-get install libnet-managesieve-perl)");
        return;
    }
    let world = World::with(ManageSieveOptions::default()).await;
    let script = world.folder().join("round.pl");
    std::fs::write(&script, include_str!("clients/net.pl")).unwrap();
    round(Command::new("perl").arg(script), &world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sieve_connect() {
    if !run(Command::new("sieve-connect").arg("--version")).await.is_ok_and(|output| output.status.success()) {
        eprintln!("NOT RUN: sieve-connect is not installed (apt-get install sieve-connect)");
        return;
    }
    let world = World::with(ManageSieveOptions::default()).await;
    let (right, wrong) = (world.folder().join("right"), world.folder().join("wrong"));
    std::fs::write(&right, "require \"fileinto\";\nfileinto \"Ü\";\n").unwrap();
    std::fs::write(&wrong, "keep;\n  keeep;\n").unwrap();
    let (port, certificate) = (world.address.port().to_string(), world.certificate());
    let secret = world.folder().join("secret");
    std::fs::write(&secret, format!("{PASSWORD}\n")).unwrap();
    let does = async |words: &[&str]| {
        let mut command = Command::new("sieve-connect");
        command.args(["--server", "localhost", "--port", &port, "--user", LOGIN, "--passwordfd", "0"]);
        command.arg("--tlscafile").arg(&certificate).args(words);
        let output = run(command.stdin(std::fs::File::open(&secret).unwrap())).await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let done = async |words: &[&str]| {
        let (is_done, said) = does(words).await;
        assert!(is_done, "{words:?}: {said}");
        said
    };
    let (right, wrong) = (right.to_str().unwrap(), wrong.to_str().unwrap());
    done(&["--checkscript", "--localsieve", right]).await;
    done(&["--upload", "--localsieve", right, "--remotesieve", "main"]).await;
    let (is_done, said) = does(&["--upload", "--localsieve", wrong, "--remotesieve", "wrong"]).await;
    assert!(!is_done && said.contains("line 2, column 3"), "{said}");
    done(&["--activate", "--remotesieve", "main"]).await;
    let listed = done(&["--list"]).await;
    assert!(listed.contains("\"main\" ACTIVE"), "{listed}");
    let back = world.folder().join("back");
    done(&["--download", "--remotesieve", "main", "--localsieve", back.to_str().unwrap()]).await;
    let back = std::fs::read_to_string(back).unwrap();
    assert_eq!(back.trim_end(), "require \"fileinto\";\nfileinto \"Ü\";");
    assert!(!does(&["--delete", "--remotesieve", "main"]).await.0, "the active one");
    done(&["--deactivate"]).await;
    done(&["--delete", "--remotesieve", "main"]).await;
    assert!(world.rules.list(world.realm()).unwrap().is_empty());
}
