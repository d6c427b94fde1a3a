//! The key file that stored secrets are sealed under: read, checked, made; and the look at all stored secrets that a service
//! takes when it starts.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use directory::{Directory, KeyId, Keyring, Keys, MAX_KEY_FILE_BYTES, SecretsReport};
use store::Store;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::{
    alarm::Alarm,
    config::{KeySource, Secrets},
    services::Services,
    told::{counted, counted_are},
};

/// Before accounts that could not be read are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The keys as they are configured. A file that can't be used stops nothing: what needs it says so.
pub fn keys(settings: &Secrets) -> Keys {
    let Some(source) = settings.source() else { return Keys::None };
    match read(&source) {
        Ok(ring) => Keys::Ring(ring),
        Err(error) => Keys::Unusable(format!("the key file {}: {error:#}", source.path.display())),
    }
}

fn read(source: &KeySource) -> anyhow::Result<Keyring> {
    let file = File::open(&source.path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        bail!("it is not a file");
    }
    if !source.is_credential && found.mode() & 0o077 != 0 {
        bail!("other users can read it (mode {:03o}); run: chmod 600 {}", found.mode() & 0o777, source.path.display());
    }
    let mut text = Zeroizing::new(String::with_capacity(MAX_KEY_FILE_BYTES + 1));
    file.take(MAX_KEY_FILE_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(Keyring::parse(&text)?)
}

/// Writes a new key as the first one of a file, which is made if it doesn't exist. Those that are there stay. Gives the key's
/// id, and how many others there are.
pub fn new_key(path: &Path) -> anyhow::Result<(KeyId, usize)> {
    let (id, line) = Keyring::new_line();
    let shown = || path.display().to_string();
    let before = match std::fs::metadata(path) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(shown),
    };
    let mut text = Zeroizing::new(String::from(HEAD));
    text.push_str(&line);
    let mut others = 0;
    if before.is_some() {
        let source = KeySource { path: path.to_owned(), is_credential: false };
        others = read(&source).with_context(shown)?.ids().len();
        let old = Zeroizing::new(std::fs::read_to_string(path).with_context(shown)?);
        text.push_str(old.strip_prefix(HEAD).unwrap_or(&old));
    }
    // A whole file takes the place of the old one: at no time is a key missing.
    let scratch = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&scratch)
        .with_context(|| scratch.display().to_string())?;
    let written = (|| {
        file.write_all(text.as_bytes())?;
        if let Some(before) = before {
            std::os::unix::fs::fchown(&file, Some(before.uid()), Some(before.gid()))?;
        }
        file.sync_all()?;
        std::fs::rename(&scratch, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&scratch);
    }
    written.with_context(shown)?;
    Ok((id, others))
}

/// What a key file begins with.
const HEAD: &str =
    "# Keys of Holdfast's stored secrets. The first one seals, all of them open. Keep a copy apart from the backups.\n";

/// Reads the key file again, looks at all secrets with it, and tries what waits for its signature.
pub async fn reload(services: &Arc<Services>) -> anyhow::Result<()> {
    let keys = Arc::new(keys(&services.config.secrets));
    services.directory.set_keys(keys)?;
    look(services).await?;
    if services.directory.locked().is_none() {
        let waiting = services.delivery.queue_retry_unsigned().await?;
        if waiting > 0 {
            tracing::info!(waiting, "trying to send the messages that waited for their signature");
        }
    }
    Ok(())
}

/// Looks at all stored secrets once everything is there, and seals those that lie open if there is a key.
pub async fn serve(services: Arc<Services>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let work = async {
        loop {
            // While it is restored, to read an account is to wish for it.
            if !services.store.is_partial() {
                match look_and_seal(&services).await {
                    Ok(found) if found.unread == 0 => break,
                    Ok(_) => {}
                    Err(error) => tracing::error!(error = format!("{error:#}"), "could not look at the stored secrets"),
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        () = work => unreachable!("it never ends"),
    }
}

async fn look_and_seal(services: &Arc<Services>) -> anyhow::Result<SecretsReport> {
    let found = look(services).await?;
    if found.open == 0 || !matches!(*services.directory.keys(), Keys::Ring(_)) {
        return Ok(found);
    }
    let done = services.directory.seal_secrets().await?;
    tracing::info!(sealed = done.changed, "sealed the secrets that were stored open; {OLD_COPIES}");
    keep(services, &done.now);
    Ok(done.now)
}

/// What is said whenever secrets were sealed.
pub const OLD_COPIES: &str =
    "copies made before (older log, archives, backups) still have them unsealed until they are deleted";

/// Looks at all stored secrets, and keeps what was found for alarms and metrics.
pub async fn look(services: &Arc<Services>) -> anyhow::Result<SecretsReport> {
    let directory = services.directory.clone();
    let found = tokio::task::spawn_blocking(move || directory.secrets()).await??;
    keep(services, &found);
    Ok(found)
}

/// Keeps what was found.
pub fn keep(services: &Services, found: &SecretsReport) {
    metrics::gauge!("holdfast_directory_secrets_open").set(found.open as f64);
    metrics::gauge!("holdfast_directory_secrets_sealed").set(found.sealed_count() as f64);
    metrics::gauge!("holdfast_directory_secrets_closed").set(found.closed() as f64);
    *services.secrets.lock() = Some(found.clone());
}

/// What is wrong with the keys of a store, in a line: they can't be read, or not everything can be opened with them.
pub fn wrong(keys: &Keys, store: &Store) -> Option<String> {
    // A directory that can't be read is told of elsewhere.
    let missing = keys.missing(&store.snapshot()).unwrap_or_default();
    let listed = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (keys, missing.is_empty()) {
        (Keys::Unusable(why), true) => Some(format!("Secrets: {why}: new secrets can't be stored")),
        (Keys::Unusable(why), false) => {
            Some(format!("Secrets: {why}: what is sealed here can't be opened (key {listed})"))
        }
        (Keys::None, false) => Some(format!("Secrets: sealed under key {listed}, and no key file is configured")),
        (Keys::Ring(_), false) => {
            Some(format!("Secrets: key {listed}, which some are sealed under, is not in the key file"))
        }
        (Keys::None | Keys::Ring(_), true) => None,
    }
}

/// The alarm about stored secrets, if there is any.
pub fn alarm(services: &Services) -> Option<Alarm> {
    let directory: &Directory = &services.directory;
    let (keys, found) = (directory.keys(), services.secrets.lock().clone().unwrap_or_default());
    let line = match wrong(&keys, &services.store) {
        Some(line) => line,
        None if found.broken > 0 => {
            format!("Secrets: {} damaged or in the wrong place", counted_are(found.broken, "sealed secret"))
        }
        None => return None,
    };
    let mut more = found.broken_named;
    if directory.locked().is_some() {
        more.push(
            "Until the key is back: outgoing mail of domains whose DKIM keys can't be opened waits in the queue (or goes out \
             unsigned, see delivery.unsigned); codes of authenticator apps can't be checked, recovery codes can; SCRAM is not \
             offered to mail apps. Everything else works."
                .to_owned(),
        );
        more.extend(found.missing_named.iter().map(|what| format!("can't be opened: {what}")));
    }
    Some(Alarm {
        key: "secrets".to_owned(),
        line,
        more: more.join("\n"),
        subject: "Holdfast alarm (secrets)".to_owned(),
        look: "Run `holdfast secrets status`; see `holdfast help operate secrets key`.",
    })
}

/// How secrets are stored, in a few words.
pub fn described(keys: &Keys, found: Option<&SecretsReport>) -> String {
    let how = match keys {
        Keys::None if found.is_some_and(|found| found.closed() > 0) => "no key file is configured".to_owned(),
        Keys::None => "stored open: no key file is configured".to_owned(),
        Keys::Unusable(why) => why.clone(),
        Keys::Ring(ring) => format!("sealed under key {}", ring.first()),
    };
    let Some(found) = found else { return how };
    let mut all = vec![how];
    if found.open > 0 && !matches!(keys, Keys::None) {
        all.push(format!("{} open", counted(found.open, "secret")));
    }
    if found.closed() > 0 {
        all.push(format!("{} can't be opened", counted(found.closed(), "secret")));
    }
    all.join("; ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn unusable(settings: &Secrets) -> String {
        match keys(settings) {
            Keys::Unusable(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_file_is_used_only_when_it_is_whole_and_nobody_else_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.key");
        let settings = Secrets { key_file: Some(path.clone()) };
        assert!(unusable(&settings).contains("No such file"));
        let (first, others) = new_key(&path).unwrap();
        assert_eq!((keys(&settings).ids(), others), (vec![first], 0));
        let text = std::fs::read_to_string(&path).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o644, 0o601] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(unusable(&settings).contains("chmod 600"), "{mode:o}");
            assert!(new_key(&path).is_err(), "{mode:o}");
        }
        for mode in [0o600, 0o400] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(keys(&settings).ids(), [first], "{mode:o}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for damaged in
            ["", "# nothing\n", &text[..text.len() - 9], &text.replace("holdfast-key-1", "key"), "\u{fffd}\0"]
        {
            std::fs::write(&path, damaged).unwrap();
            unusable(&settings);
            assert!(new_key(&path).is_err(), "nothing is lost of a file that can't be read");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
        }
        std::fs::write(&path, [0xFF; 40]).unwrap();
        unusable(&settings);
        std::fs::write(&path, "#".repeat(MAX_KEY_FILE_BYTES + 10)).unwrap();
        unusable(&settings);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        unusable(&settings);
    }

    #[test]
    fn a_new_key_goes_before_the_others_and_the_file_stays_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.key");
        let settings = Secrets { key_file: Some(path.clone()) };
        let made: Vec<KeyId> = (0..3)
            .map(|number| {
                let (id, others) = new_key(&path).unwrap();
                assert_eq!(others, number);
                id
            })
            .collect();
        assert_eq!(keys(&settings).ids(), made.iter().rev().copied().collect::<Vec<_>>());
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read_to_string(&path).unwrap().matches('#').count(), 1);
    }

    #[test]
    fn a_credential_of_the_system_may_have_the_mode_that_the_system_gives_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("holdfast-secrets");
        let (id, _) = new_key(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o440)).unwrap();
        let source = |is_credential| KeySource { path: path.clone(), is_credential };
        assert_eq!(read(&source(true)).unwrap().ids(), [id]);
        assert!(read(&source(false)).is_err());
    }
}
