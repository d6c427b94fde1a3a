//! The OCI image (image-spec 1.1): one layer with the binary, the libraries it needs and the certificates of authorities; no
//! shell, no package manager. Written by hand: a layer, two JSON documents and an index.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::build::{Build, configuration, copy, libraries, output, write};
use crate::run::run;

/// The user in the image; what it writes lies in a volume.
const USER: u32 = 65_532;
/// The listeners, on all addresses of the container: it has nothing else, and what is published is said outside.
const LISTENERS: [(&str, u16); 9] = [
    ("SMTP", 2525),
    ("SUBMISSION", 2587),
    ("SUBMISSIONS", 2465),
    ("IMAP", 2143),
    ("IMAPS", 2993),
    ("POP3S", 2995),
    ("MANAGESIEVE", 4190),
    ("HTTP", 8080),
    ("HTTPS", 8443),
];
/// What chroot(1) ends with when it could not do its part.
const CHROOT_FAILED: i32 = 125;
/// Where the authorities' certificates may lie on this machine.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Makes the image: a tar archive of an OCI layout, as `podman load` and `skopeo` take it.
pub fn make(build: &Build) -> Result<PathBuf> {
    let tree = build.out.join("rootfs");
    copy(&build.binary, &tree.join("usr/bin/holdfast"))?;
    for library in libraries(&build.binary)? {
        copy(&library, &tree.join(library.strip_prefix("/")?))?;
    }
    write(&tree.join("etc/passwd"), format!("holdfast:x:{USER}:{USER}::/var/lib/holdfast:/\n"))?;
    write(&tree.join("etc/group"), format!("holdfast:x:{USER}:\n"))?;
    write(&tree.join("etc/holdfast/holdfast.toml"), configuration()?)?;
    if Path::new(AUTHORITIES).is_file() {
        copy(Path::new(AUTHORITIES), &tree.join(AUTHORITIES.trim_start_matches('/')))?;
    }
    let data = tree.join("var/lib/holdfast");
    fs::create_dir_all(&data)?;
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700))?;
    fs::create_dir_all(tree.join("tmp"))?;

    let layout = build.out.join("oci");
    let layer = build.out.join("layer.tar");
    pack(&tree, &layer, Some(USER))?;
    let plain = sum(&layer)?;
    run(Command::new("gzip").args(["--best", "--no-name"]).arg(&layer))?;
    let layer = blob(&layout, &fs::read(build.out.join("layer.tar.gz"))?)?;
    let config = blob(&layout, config(&plain)?.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", &config),
        "layers": [described("application/vnd.oci.image.layer.v1.tar+gzip", &layer)],
    });
    let manifest = blob(&layout, manifest.to_string().as_bytes())?;
    let mut entry = described("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": format!("holdfast:{}", build.version) });
    let index =
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry] });
    write(&layout.join("index.json"), index.to_string())?;
    write(&layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let image = build.out.join(format!("holdfast-{}.oci.tar", build.version));
    pack(&layout, &image, None)?;
    Ok(image)
}

fn config(layer: &str) -> Result<Value> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("no name for {other} in OCI images"),
    };
    let environment: Vec<String> = LISTENERS
        .iter()
        .map(|(name, port)| format!("HOLDFAST_LISTEN__{name}=0.0.0.0:{port}"))
        .chain(["PATH=/usr/bin".to_owned()])
        .collect();
    let ports: serde_json::Map<String, Value> =
        LISTENERS.iter().map(|(_, port)| (format!("{port}/tcp"), json!({}))).collect();
    Ok(json!({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "Env": environment,
            "Entrypoint": ["/usr/bin/holdfast"],
            "Cmd": ["serve"],
            "WorkingDir": "/var/lib/holdfast",
            "Volumes": { "/var/lib/holdfast": {} },
            "ExposedPorts": ports,
            "StopSignal": "SIGTERM",
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
    }))
}

/// A tar archive of a folder that is the same for the same content. The data folder belongs to the image's user.
fn pack(tree: &Path, archive: &Path, owner: Option<u32>) -> Result<()> {
    let owner = owner.unwrap_or(0);
    run(Command::new("tar")
        .args(["--sort=name", "--mtime=@0", "--numeric-owner", "--format=gnu"])
        .args([format!("--owner={owner}"), format!("--group={owner}")])
        .arg("--create")
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(tree)
        .arg("."))
}

fn sum(path: &Path) -> Result<String> {
    let said = output(Command::new("sha256sum").arg(path))?;
    Ok(said.split_whitespace().next().context("sha256sum")?.to_owned())
}

/// A part of the layout: its name, and how long it is.
struct Blob {
    sum: String,
    bytes: usize,
}

fn blob(layout: &Path, content: &[u8]) -> Result<Blob> {
    let folder = layout.join("blobs/sha256");
    let unnamed = folder.join("unnamed");
    write(&unnamed, content)?;
    let sum = sum(&unnamed)?;
    fs::rename(&unnamed, folder.join(&sum))?;
    Ok(Blob { sum, bytes: content.len() })
}

fn described(media_type: &str, blob: &Blob) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{}", blob.sum), "size": blob.bytes })
}

/// Reads the image back by its digests and serves from its layer, in a root of its own where that is permitted.
pub fn try_out(build: &Build, image: &Path) -> Result<()> {
    let layout = build.out.join("oci-read");
    fs::create_dir_all(&layout)?;
    run(Command::new("tar").arg("--extract").arg("--file").arg(image).arg("--directory").arg(&layout))?;
    let read = |digest: &Value| -> Result<PathBuf> {
        let sum_named = digest.as_str().and_then(|text| text.strip_prefix("sha256:")).context("a digest")?;
        let path = layout.join("blobs/sha256").join(sum_named);
        ensure!(sum(&path)? == sum_named, "{} does not have its digest", path.display());
        Ok(path)
    };
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json"))?)?;
    let manifest: Value = serde_json::from_slice(&fs::read(read(&index["manifests"][0]["digest"])?)?)?;
    read(&manifest["config"]["digest"])?;
    let layer = read(&manifest["layers"][0]["digest"])?;
    let tree = build.out.join("rootfs-read");
    fs::create_dir_all(&tree)?;
    run(Command::new("tar").arg("--extract").arg("--gzip").arg("--file").arg(layer).arg("--directory").arg(&tree))?;
    if output(Command::new("id").arg("-u"))?.trim() != "0" {
        println!("not root: the image was read back, and not run");
        return Ok(());
    }
    let version =
        Command::new("chroot").arg(&tree).args(["/usr/bin/holdfast", "--version"]).stdin(Stdio::null()).status()?;
    if version.code() == Some(CHROOT_FAILED) {
        println!("a root of its own is not permitted here: the image was read back, and not run");
        return Ok(());
    }
    ensure!(version.success(), "the image's binary does not run: {version}");
    let mut service = Command::new("chroot")
        .arg(&tree)
        .args(["/usr/bin/holdfast", "serve"])
        .envs(LISTENERS.map(|(name, _)| (format!("HOLDFAST_LISTEN__{name}"), "127.0.0.1:0")))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let outcome = answers(&mut service);
    let _ = service.kill();
    let _ = service.wait();
    outcome
}

/// Whether IMAP greets.
fn answers(service: &mut Child) -> Result<()> {
    let said = BufReader::new(service.stdout.take().context("its output")?);
    for line in said.lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        if let (Some("imap"), Some(address)) = (words.next(), words.next()) {
            let mut connection = TcpStream::connect(address)?;
            let mut greeting = String::new();
            BufReader::new(&connection).read_line(&mut greeting)?;
            ensure!(greeting.starts_with("* OK"), "IMAP greets with {greeting:?}");
            connection.write_all(b"a LOGOUT\r\n")?;
            return Ok(());
        }
    }
    bail!("the image's service ended without listening")
}
