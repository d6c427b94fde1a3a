//! The steps of `cargo xtask test`, cheapest first, so that a slip is told early.

use std::{
    io::{BufRead, BufReader, IsTerminal},
    num::NonZeroUsize,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::run::{root, run};
use crate::{dist, install, licences, tidy};

/// How long a fuzz target runs in `cargo xtask test`.
const SHORT_FUZZ_SECONDS: u32 = 12;
/// How long all tests together may take where nobody is watching.
const TESTS_LIMIT: &str = "50m";
/// How long the first `cargo run --release -- serve` of a clean checkout may take before its page answers.
const FIRST_RUN_LIMIT: Duration = Duration::from_secs(40 * 60);

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 9] = [
    ("tidy", tidy::check),
    ("fmt", || cargo(&["fmt", "--all", "--check"])),
    ("clippy", || run(compiling("clippy").args(["--all-targets", "--quiet", "--", "-D", "warnings"]))),
    ("licences", licences::check),
    ("tests", tests),
    ("browser", browser),
    ("fuzz", || fuzz(SHORT_FUZZ_SECONDS)),
    ("readme", readme),
    ("dist", packages),
];

/// Runs all steps, or those named.
pub fn test(only: &[&str]) -> Result<()> {
    if let Some(unknown) = only.iter().find(|name| !STEPS.iter().any(|(step, _)| step == *name)) {
        bail!("no step `{unknown}`; there are: {}", STEPS.map(|(name, _)| name).join(" "));
    }
    let mut times = Vec::new();
    for (name, step) in STEPS {
        if !only.is_empty() && !only.contains(&name) {
            continue;
        }
        println!("\n== {name}");
        let start = Instant::now();
        step().with_context(|| format!("step `{name}` (alone: cargo xtask test {name})"))?;
        times.push(format!("{name} {} s", start.elapsed().as_secs()));
    }
    println!("\nall steps passed: {}", times.join(", "));
    Ok(())
}

/// All tests of all crates: units, promises, whole-service scenarios with real clients, the crash loop.
///
/// Always the whole workspace: features are unified over what is built together, so a build of one crate alone would
/// compile many dependencies a second time.
fn tests() -> Result<()> {
    install::debian_packages()?;
    install::python_packages()?;
    let mut tests = compiling("test");
    tests.arg("--no-fail-fast");
    if std::io::stdout().is_terminal() {
        return run(&mut tests);
    }
    // The harness names a test that has been running for long, but never ends one.
    let mut limited = Command::new("timeout");
    limited.args(["--kill-after=10", TESTS_LIMIT]).arg(tests.get_program()).args(tests.get_args());
    run(limited.env("CARGO_TARGET_DIR", target()).current_dir(root()))
}

/// Where the steps compile: apart from what `cargo build` and `cargo run` make, since what is made here is made for checks.
fn target() -> PathBuf {
    root().join("target/checks")
}

/// A cargo command on the whole workspace, in the profile of [`profile`].
fn compiling(command: &str) -> Command {
    let mut cargo = Command::new("cargo");
    for setting in profile() {
        cargo.args(["--config", &setting]);
    }
    cargo.args([command, "--profile", "bench", "--workspace", "--locked"]);
    cargo.env("CARGO_TARGET_DIR", target()).current_dir(root());
    cargo
}

/// How the steps compile, as settings of cargo.
///
/// Of the profiles that cargo builds in, `bench` shares a folder with `release`. What others wrote is compiled here exactly as
/// the README's first command compiles it, so it is compiled once for all steps; our own crates are compiled quickly, with all
/// checks.
fn profile() -> Vec<String> {
    const OURS: [&str; 5] =
        ["opt-level=0", "debug='line-tables-only'", "debug-assertions=true", "overflow-checks=true", "strip='none'"];
    let names = std::fs::read_dir(root().join("crates")).into_iter().flatten().flatten();
    let mut names: Vec<String> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.push("xtask".to_owned());
    // In one order, or cargo takes it for another profile.
    names.sort();
    let settings = |name: String| OURS.map(|setting| format!("profile.bench.package.{name}.{setting}"));
    names.into_iter().flat_map(settings).collect()
}

fn browser() -> Result<()> {
    install::debian_packages()?;
    install::node_packages("crates/web/tests/browser")?;
    run(compiling("build").arg("--quiet"))?;
    run(Command::new("npm")
        .args(["test"])
        .env("HOLDFAST_BIN", target().join("release/holdfast"))
        .current_dir(root().join("crates/web/tests/browser")))
}

/// Runs each fuzz target for `seconds`, as many at a time as there are cores. Guided by coverage, without a sanitizer: our code has
/// no `unsafe` for it to watch, and stable Rust has none.
pub fn fuzz(seconds: u32) -> Result<()> {
    install::cargo_tool("cargo-fuzz", "cargo-fuzz", "0.13.2")?;
    let targets = test_files("fuzz/fuzz_targets")?;
    println!("building {} fuzz targets", targets.len());
    run(Command::new("cargo").args(["fuzz", "build", "--sanitizer", "none"]).current_dir(root()))?;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = fuzz_one(target, seconds) {
                eprintln!("{error:#}");
                failed.push(target.as_str());
            }
        }
        failed
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let failed: Vec<&str> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("workers don't panic")).collect()
    });
    ensure!(failed.is_empty(), "fuzzing found something in: {}", failed.join(", "));
    Ok(())
}

/// Runs a target that was built, from its corpus.
fn fuzz_one(target: &str, seconds: u32) -> Result<()> {
    println!("fuzzing {target} for {seconds} s");
    let output = Command::new("cargo")
        .args(["fuzz", "run", "--sanitizer", "none", target, "--"])
        .args([&format!("-max_total_time={seconds}"), "-print_final_stats=0", "-verbosity=0"])
        .stdin(Stdio::null())
        .current_dir(root())
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(
        output.status.success(),
        "{}\n`cargo fuzz run {target}` ended with {}",
        String::from_utf8_lossy(&said),
        output.status
    );
    Ok(())
}

/// The packages, made of what the step before has built.
fn packages() -> Result<()> {
    if !install::has("dpkg-deb") {
        println!("passed over: Debian packages are made on Debian");
        return Ok(());
    }
    dist::dist(Some(&target().join("release/holdfast")))
}

/// The README's first command in a clean checkout, until its page answers.
fn readme() -> Result<()> {
    let readme = std::fs::read_to_string(root().join("README.md")).context("README.md")?;
    ensure!(readme.contains("cargo run --release -- serve"), "README.md does not name its first command");
    let scratch = root().join("target/clean-checkout");
    let _ = std::fs::remove_dir_all(&scratch);
    std::fs::create_dir_all(scratch.parent().expect("it has one"))?;
    run(Command::new("git")
        .args(["clone", "--quiet", "--depth=1"])
        .arg(format!("file://{}", root().display()))
        .arg(&scratch))?;

    // The default ports may be taken on a developer's machine; the addresses come from the command's own output.
    let mut child = Command::new("cargo")
        .args(["run", "--release", "--", "serve"])
        .current_dir(&scratch)
        .env("CARGO_TARGET_DIR", target())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let outcome = first_page(&mut child);
    let stopped = Command::new("pkill").args(["-TERM", "-P", &child.id().to_string()]).status();
    if !stopped.is_ok_and(|status| status.success()) {
        let _ = child.kill();
    }
    let _ = child.wait();
    outcome
}

fn first_page(child: &mut std::process::Child) -> Result<()> {
    let output = child.stdout.take().expect("it was piped");
    let (found, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            println!("    {line}");
            if let Some(url) = line.split_whitespace().find(|word| word.starts_with("http://")) {
                let _ = found.send(url.to_owned());
            }
        }
    });
    let url = address.recv_timeout(FIRST_RUN_LIMIT).context("`cargo run --release -- serve` printed no address")?;
    let page = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--location", "--max-time", "20", &url])
        .output()?;
    ensure!(page.status.success(), "{url} does not answer: {}", String::from_utf8_lossy(&page.stderr));
    let text = String::from_utf8_lossy(&page.stdout);
    ensure!(text.contains("<form") && text.contains("Holdfast"), "{url} is not the first-run page:\n{text}");
    println!("the first page of a clean checkout is there: {url}");
    Ok(())
}

/// The names of the `.rs` files of a folder, sorted.
fn test_files(dir: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join(dir)).with_context(|| dir.to_owned())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
        {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "{dir} is empty");
    Ok(names)
}

fn cargo(args: &[&str]) -> Result<()> {
    run(Command::new("cargo").args(args).current_dir(root()))
}
