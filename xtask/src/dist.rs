//! `cargo xtask dist`: what is given to people who don't build it themselves: a stripped binary, a Debian package and an OCI
//! image, all from one release build.

mod deb;
mod oci;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::steps::{root, run};

/// One build, ready to be packed.
struct Build {
    /// The stripped binary.
    binary: PathBuf,
    version: String,
    /// Where packages are put.
    out: PathBuf,
}

/// Builds everything into `target/dist` and tries each package. With `built`, of that binary.
///
/// # Errors
/// Names the command that failed, or what a package lacks.
pub fn dist(built: Option<&Path>) -> Result<()> {
    let release = root().join("target/release/holdfast");
    if built.is_none() {
        let build = ["build", "--release", "--locked", "--package", "holdfast"];
        run(Command::new("cargo").args(build).current_dir(root()))?;
    }
    let out = root().join("target/dist");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out)?;
    let binary = out.join("holdfast");
    let built = built.unwrap_or(&release);
    fs::copy(built, &binary).with_context(|| built.display().to_string())?;
    run(Command::new("strip").arg("--strip-all").arg(&binary))?;
    let said = output(Command::new(&binary).arg("--version"))?;
    let version = said.trim().strip_prefix("holdfast ").context("holdfast --version")?.to_owned();
    let build = Build { binary, version, out };
    println!("{}: {}", build.binary.display(), megabytes(&build.binary)?);

    let package = deb::make(&build)?;
    deb::try_out(&package)?;
    println!("{}: {}", package.display(), megabytes(&package)?);

    let image = oci::make(&build)?;
    oci::try_out(&build, &image)?;
    println!("{}: {}", image.display(), megabytes(&image)?);
    Ok(())
}

fn megabytes(path: &Path) -> Result<String> {
    Ok(format!("{:.1} MB", fs::metadata(path)?.len() as f64 / 1e6))
}

/// What a command writes to its standard output.
fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| shown.clone())?;
    ensure!(output.status.success(), "{shown}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).with_context(|| shown)
}

/// Writes a file, and the folders above it.
fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    let parent = path.parent().context("a path without a folder")?;
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    fs::write(path, content).with_context(|| path.display().to_string())
}

/// Copies a file, and makes the folders above the copy.
fn copy(from: &Path, to: &Path) -> Result<()> {
    write(to, fs::read(from).with_context(|| from.display().to_string())?)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    Ok(())
}

/// The configuration of an installed service: every key commented, but for the data folder.
fn configuration() -> Result<String> {
    let all = fs::read_to_string(root().join("docs/holdfast.toml"))?;
    let ours = all.replace("#: data_dir = \"holdfast-data\"", "data_dir = \"/var/lib/holdfast\"");
    ensure!(ours != all, "docs/holdfast.toml has no data_dir to replace");
    Ok(ours)
}

/// The shared libraries that a binary needs, as paths on this machine.
fn libraries(binary: &Path) -> Result<Vec<PathBuf>> {
    let said = output(Command::new("ldd").arg(binary))?;
    let mut found = Vec::new();
    for line in said.lines() {
        // `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)`, or the loader's own path; `linux-vdso` has none.
        if line.contains("not found") {
            bail!("{}", line.trim());
        }
        found.extend(line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from));
    }
    Ok(found)
}
