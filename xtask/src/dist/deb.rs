//! The Debian package: binary, units, configuration, manual pages, completions, documents; a user and a data folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::build::{Build, configuration, copy, output, write};
use crate::run::{root, run};

/// Makes the package.
pub fn make(build: &Build) -> Result<PathBuf> {
    let tree = build.out.join("deb");
    copy(&build.binary, &tree.join("usr/bin/holdfast"))?;
    for unit in ["holdfast.service", "holdfast-standby.service", "holdfast-relay.service"] {
        let text = fs::read_to_string(root().join("packaging").join(unit))?;
        write(&tree.join("usr/lib/systemd/system").join(unit), text.replace("/usr/local/bin/", "/usr/bin/"))?;
    }
    write(&tree.join("etc/holdfast/holdfast.toml"), configuration()?)?;
    manuals(build, &tree)?;
    documents(&tree)?;

    let architecture = output(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned();
    let control = tree.join("DEBIAN");
    write(&control.join("control"), control_file(build, &tree, &architecture)?)?;
    write(&control.join("conffiles"), "/etc/holdfast/holdfast.toml\n")?;
    for script in ["postinst", "prerm", "postrm"] {
        copy(&root().join("packaging/debian").join(script), &control.join(script))?;
    }
    let package = build.out.join(format!("holdfast_{}_{architecture}.deb", build.version));
    run(Command::new("dpkg-deb").args(["--root-owner-group", "-Zxz", "--build"]).arg(&tree).arg(&package))?;
    Ok(package)
}

fn manuals(build: &Build, tree: &Path) -> Result<()> {
    let pages = tree.join("usr/share/man/man1");
    fs::create_dir_all(&pages)?;
    run(Command::new(&build.binary).arg("man").arg(&pages))?;
    for page in fs::read_dir(&pages)? {
        run(Command::new("gzip").args(["--best", "--no-name"]).arg(page?.path()))?;
    }
    for (shell, path) in [
        ("bash", "usr/share/bash-completion/completions/holdfast"),
        ("zsh", "usr/share/zsh/vendor-completions/_holdfast"),
        ("fish", "usr/share/fish/vendor_completions.d/holdfast.fish"),
    ] {
        write(&tree.join(path), output(Command::new(&build.binary).args(["completions", shell]))?)?;
    }
    Ok(())
}

fn documents(tree: &Path) -> Result<()> {
    let folder = tree.join("usr/share/doc/holdfast");
    for entry in fs::read_dir(root().join("docs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            copy(&path, &folder.join(path.file_name().context("a file's name")?))?;
        }
    }
    copy(&root().join("packaging/prometheus-alerts.yml"), &folder.join("prometheus-alerts.yml"))?;
    copy(&root().join("CHANGELOG.md"), &folder.join("changelog"))?;
    run(Command::new("gzip").args(["--best", "--no-name"]).arg(folder.join("changelog")))?;
    let licences = ["LICENSE-MIT", "LICENSE-APACHE"].map(|name| fs::read_to_string(root().join(name)));
    let [mit, apache] = licences;
    write(&folder.join("copyright"), format!("Licensed under either of MIT or Apache-2.0.\n\n{}\n\n{}", mit?, apache?))
}

fn control_file(build: &Build, tree: &Path, architecture: &str) -> Result<String> {
    let installed = output(Command::new("du").arg("-sk").arg(tree))?;
    let kilobytes = installed.split_whitespace().next().context("du")?.to_owned();
    Ok(format!(
        "Package: holdfast\n\
         Version: {}\n\
         Architecture: {architecture}\n\
         Maintainer: Holdfast <postmaster@localhost>\n\
         Installed-Size: {kilobytes}\n\
         Depends: libc6 (>= {}), libgcc-s1, passwd\n\
         Provides: imap-server, pop3-server\n\
         Section: mail\n\
         Priority: optional\n\
         Description: complete mail server: webmail, IMAP, POP3 and SMTP\n\
         \x20Mail accounts with webmail, address book, IMAP, POP3 and SMTP in one program,\n\
         \x20with a standby machine, an off-site archive and restore built in.\n",
        build.version,
        c_library(&build.binary)?
    ))
}

/// The oldest version of the C library that has all symbols which the binary asks for.
fn c_library(binary: &Path) -> Result<String> {
    let symbols = output(Command::new("objdump").arg("-T").arg(binary))?;
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let text: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let numbers: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        numbers.map(|numbers| (numbers, text))
    });
    versions.max().map(|(_, text)| text).context("the binary asks for no C library")
}

/// Unpacks the package and uses what it brings, without installing it.
pub fn try_out(package: &Path) -> Result<()> {
    let tree = package.with_extension("unpacked");
    run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&tree))?;
    let scripts = package.with_extension("scripts");
    run(Command::new("dpkg-deb").arg("--control").arg(package).arg(&scripts))?;
    for script in ["postinst", "prerm", "postrm"] {
        run(Command::new("sh").arg("-n").arg(scripts.join(script)))?;
    }
    let binary = tree.join("usr/bin/holdfast");
    let data = package.with_extension("data");
    // As after an installation, but for where the data lies.
    let config = fs::read_to_string(tree.join("etc/holdfast/holdfast.toml"))?
        .replace("/var/lib/holdfast", &data.display().to_string());
    let file = package.with_extension("toml");
    write(&file, config)?;
    run(Command::new(&binary).arg("--config").arg(&file).arg("check-config"))?;
    output(Command::new(&binary).arg("--config").arg(&file).args(["domain", "add", "example.org"]))?;
    let domains = output(Command::new(&binary).arg("--config").arg(&file).args(["domain", "list"]))?;
    ensure!(domains.contains("example.org"), "the package's binary did not keep a domain:\n{domains}");
    for part in [
        "usr/share/man/man1/holdfast.1.gz",
        "usr/lib/systemd/system/holdfast.service",
        "usr/share/bash-completion/completions/holdfast",
        "usr/share/doc/holdfast/continuity.md",
    ] {
        ensure!(tree.join(part).is_file(), "the package has no {part}");
    }
    let unit = fs::read_to_string(tree.join("usr/lib/systemd/system/holdfast.service"))?;
    ensure!(unit.contains("ExecStart=/usr/bin/holdfast "), "the unit starts another binary");
    Ok(())
}
