//! `cargo xtask dist`: what is given to people who don't build it themselves: a stripped binary, a Debian package and an OCI
//! image, all from one release build.

mod build;
mod deb;
mod oci;

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};

use crate::run::{root, run};
use build::Build;
use build::output;

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
