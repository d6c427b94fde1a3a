//! Fetching the suite.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with the tests, fetched if it is not there yet.
pub fn suite() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pigeonhole");
    if let Some(tests) = tests_in(&folder) {
        return Ok(tests);
    }
    // Into a folder of its own first, so that half a fetch is never taken for the whole.
    let fresh = folder.with_extension(std::process::id().to_string());
    let result = fetch(&fresh).and_then(|()| {
        let archive =
            std::fs::read_dir(&fresh).map_err(|error| error.to_string())?.filter_map(Result::ok).map(|it| it.path());
        let archive = archive.filter(|path| path.to_string_lossy().contains("pigeonhole.tar")).last();
        let archive = archive.ok_or("the source package has no pigeonhole archive")?;
        run(Command::new("tar").arg("xf").arg(archive).current_dir(&fresh))?;
        tests_in(&fresh).map(drop).ok_or_else(|| "the source package has no pigeonhole/tests".to_owned())
    });
    if result.is_ok() {
        // Another run may have been quicker.
        let _ = std::fs::rename(&fresh, &folder);
    }
    let _ = std::fs::remove_dir_all(&fresh);
    result?;
    tests_in(&folder).ok_or_else(|| format!("{} has no tests", folder.display()))
}

fn tests_in(folder: &Path) -> Option<PathBuf> {
    let inside = std::fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path().join("tests"));
    inside.into_iter().find(|path| path.join("testsuite.svtest").is_file())
}

/// Downloads the source package with apt's settings and keys, but with lists of its own, so that nothing of the machine
/// changes.
fn fetch(into: &Path) -> Result<(), String> {
    let sources =
        std::fs::read_to_string("/etc/apt/sources.list.d/debian.sources").map_err(|_| "no Debian sources here")?;
    let text = |error: std::io::Error| error.to_string();
    for folder in ["parts", "lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(into.join("apt").join(folder)).map_err(text)?;
    }
    let sources =
        sources.replace("Types: deb\n", "Types: deb-src\n").replace("Types: deb deb-src\n", "Types: deb-src\n");
    std::fs::write(into.join("apt/parts/src.sources"), sources).map_err(text)?;
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        for (option, folder) in
            [("Dir::Etc::SourceParts", "apt/parts"), ("Dir::State::Lists", "apt/lists"), ("Dir::Cache", "apt/cache")]
        {
            command.arg("-o").arg(format!("{option}={}", into.join(folder).display()));
        }
        command.args(["-o", "Dir::Etc::SourceList=/dev/null", "-o", "APT::Sandbox::User=root", "-qq"]);
        command.args(["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=30"]);
        command.args(words).current_dir(into);
        run(&mut command)
    };
    apt(&["update"])?;
    let got = apt(&["--download-only", "source", "dovecot"]);
    // The archive that is needed is enough, although the package's other files could not be fetched.
    let has = std::fs::read_dir(into).map_err(text)?.filter_map(Result::ok);
    if has.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("pigeonhole.tar")) {
        Ok(())
    } else {
        got
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
