//! The storage of an archive. Objects are created and read; only [`super::prune`] deletes.

use std::{ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt as _, ObjectStoreScheme, PutMode, PutOptions, RetryConfig,
    aws::AmazonS3Builder, azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder, local::LocalFileSystem,
    path::Path, prefix::PrefixStore,
};

use store::Cause;

use super::{ArchiveError, Result, blocking, format::check};

/// One request, from connecting to the last byte: a pack over a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Retries of single requests; longer failures are retried by the caller.
const RETRY_FOR: Duration = Duration::from_secs(20);
const RETRIES: usize = 3;
/// How often something is asked for over a line, each time with those retries.
const ASKED: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// No object is larger: a pack with the largest body in it.
const MAX_OBJECT_BYTES: u64 = super::format::MAX_PACK_BYTES;
/// No object of settings is.
const MAX_SETTINGS_BYTES: u64 = 1 << 20;

/// The address and credentials of an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetOptions {
    /// Its name in messages and metrics.
    pub name: String,
    /// `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    pub url: String,
    /// S3: another service's address than Amazon's. `http://` is taken as it is written.
    pub endpoint: Option<String>,
    /// S3: the region; default `us-east-1`.
    pub region: Option<String>,
    /// S3: the key's id. Azure: the account. Default: the environment's.
    pub access_key_id: Option<String>,
    /// S3 and Azure: the key. Default: the environment's.
    pub secret_access_key: Option<String>,
    /// Google: the service account's JSON file. Default: the environment's.
    pub service_account_file: Option<PathBuf>,
}

/// What someone with this machine's keys can do to stored objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletable {
    /// Nothing can be deleted.
    No,
    /// What is deleted stays as a version of its own, for who knows its name: with object lock it can't be taken away.
    KeepsVersions,
    /// Everything can be deleted.
    Yes,
}

/// An object there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name below the archive's prefix.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was stored, in milliseconds since 1970, by the target's clock.
    pub modified_ms: i64,
}

/// The place of one archive, open. Cheap to clone.
#[derive(Clone)]
pub struct Target {
    name: Arc<str>,
    store: Arc<dyn ObjectStore>,
    /// Over a line, which may be bad for a moment.
    is_remote: bool,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Target({})", self.name)
    }
}

impl Target {
    /// Opens a target without sending a request. A folder is created if it does not exist.
    ///
    /// # Errors
    /// [`ArchiveError::Setting`].
    pub fn open(options: &TargetOptions) -> Result<Self> {
        let name = if options.name.is_empty() { options.url.clone() } else { options.name.clone() };
        let wrong = |what: String| ArchiveError::Setting(format!("archive {name}: {what}"));
        let url = check_url(&options.url).map_err(wrong)?;
        let (scheme, path) = ObjectStoreScheme::parse(&url).map_err(|error| wrong(error.to_string()))?;
        let client = || {
            let plain = options.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
            ClientOptions::new()
                .with_timeout(REQUEST_TIMEOUT)
                .with_connect_timeout(CONNECT_TIMEOUT)
                .with_allow_http(plain)
        };
        let retry = || RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_FOR, ..RetryConfig::default() };
        let store: Arc<dyn ObjectStore> = match scheme {
            ObjectStoreScheme::Local => {
                let folder = url.to_file_path().map_err(|()| wrong("the URL is not a folder".to_owned()))?;
                std::fs::create_dir_all(&folder).map_err(|error| wrong(format!("{}: {error}", folder.display())))?;
                let local = LocalFileSystem::new_with_prefix(folder).map_err(|error| wrong(error.to_string()))?;
                return Ok(Self { name: name.into(), store: Arc::new(local.with_fsync(true)), is_remote: false });
            }
            ObjectStoreScheme::AmazonS3 => {
                let mut builder = AmazonS3Builder::from_env()
                    .with_url(options.url.as_str())
                    .with_region(options.region.as_deref().unwrap_or("us-east-1"))
                    .with_client_options(client())
                    .with_retry(retry());
                if let Some(endpoint) = &options.endpoint {
                    builder = builder.with_endpoint(endpoint.as_str());
                }
                if let Some(id) = &options.access_key_id {
                    builder = builder.with_access_key_id(id);
                }
                if let Some(key) = &options.secret_access_key {
                    builder = builder.with_secret_access_key(key);
                }
                Arc::new(builder.build().map_err(|error| wrong(error.to_string()))?)
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let mut builder = GoogleCloudStorageBuilder::from_env()
                    .with_url(options.url.as_str())
                    .with_client_options(client())
                    .with_retry(retry());
                if let Some(file) = &options.service_account_file {
                    builder = builder.with_service_account_path(file.display().to_string());
                }
                Arc::new(builder.build().map_err(|error| wrong(error.to_string()))?)
            }
            ObjectStoreScheme::MicrosoftAzure => {
                let mut builder = MicrosoftAzureBuilder::from_env()
                    .with_url(options.url.as_str())
                    .with_client_options(client())
                    .with_retry(retry());
                if let Some(endpoint) = &options.endpoint {
                    builder = builder.with_endpoint(endpoint.clone());
                }
                if let Some(account) = &options.access_key_id {
                    builder = builder.with_account(account);
                }
                if let Some(key) = &options.secret_access_key {
                    builder = builder.with_access_key(key);
                }
                Arc::new(builder.build().map_err(|error| wrong(error.to_string()))?)
            }
            _ => return Err(wrong(UNKNOWN_URL.to_owned())),
        };
        let store: Arc<dyn ObjectStore> =
            if path.as_ref().is_empty() { store } else { Arc::new(PrefixStore::new(store, path)) };
        Ok(Self { name: name.into(), store, is_remote: true })
    }

    /// Its name in messages and metrics.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn failed(&self, what: &str, object: &str) -> impl FnOnce(object_store::Error) -> ArchiveError {
        let (name, what) = (self.name.to_string(), format!("{what} {object}"));
        move |error| ArchiveError::Target { name, what, error: Box::new(error) }
    }

    /// Stores an object under a new name and reads it back. An existing object with the same bytes is fine: an earlier
    /// attempt may have succeeded without its reply arriving.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] when what is there is not `bytes`.
    pub async fn create(&self, object: &str, bytes: Bytes) -> Result<()> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&Path::from(object), bytes.clone().into(), options).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(self.failed("storing", object)(error)),
        }
        if self.get(object).await? == bytes {
            Ok(())
        } else {
            Err(ArchiveError::damaged(
                Cause::Checksum,
                format!("{}: {object}", self.name),
                "reading it back gave different data than was stored",
            ))
        }
    }

    /// A small object whose name does not say what it must hold. Over a line it is read until two reads agree: a wrong
    /// byte in it would look like another archive.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] when it is different each time.
    pub async fn get_settings(&self, object: &str) -> Result<Bytes> {
        let mut before = self.get_at_most(object, MAX_SETTINGS_BYTES).await?;
        if !self.is_remote {
            return Ok(before);
        }
        for _ in 0..ASKED {
            let again = self.get_at_most(object, MAX_SETTINGS_BYTES).await?;
            if again == before {
                return Ok(again);
            }
            before = again;
        }
        Err(ArchiveError::damaged(
            Cause::Checksum,
            format!("{}: {object}", self.name),
            "each read gives different data",
        ))
    }

    /// Stores a small object of settings unless there is one; gives what is there then.
    pub async fn create_or_get(&self, object: &str, bytes: Bytes) -> Result<Bytes> {
        match self.get_settings(object).await {
            Ok(found) => return Ok(found),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&Path::from(object), bytes.into(), options).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => self.get_settings(object).await,
            Err(error) => Err(self.failed("storing", object)(error)),
        }
    }

    /// Stores a small object of settings in the place of one that can't be read.
    pub(super) async fn replace(&self, object: &str, bytes: Bytes) -> Result<()> {
        let path = Path::from(object);
        self.store.put(&path, bytes.into()).await.map(drop).map_err(self.failed("storing again", object))
    }

    /// Asks again, later each time, when the line or the other side failed.
    async fn asking<T, F>(&self, what: &str, object: &str, ask: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let mut tries = 1;
        loop {
            match ask().await {
                Err(error @ object_store::Error::Generic { .. }) if self.is_remote && tries < ASKED => {
                    tracing::debug!(target = self.name(), what, object, %error, "retrying a request to the archive");
                    tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(tries)).await;
                    tries += 1;
                }
                outcome => return outcome.map_err(self.failed(what, object)),
            }
        }
    }

    /// An object's bytes.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] when it is larger than anything that is archived: it is not read then.
    pub async fn get(&self, object: &str) -> Result<Bytes> {
        self.get_at_most(object, MAX_OBJECT_BYTES).await
    }

    async fn get_at_most(&self, object: &str, most: u64) -> Result<Bytes> {
        let path = Path::from(object);
        let read = async || {
            let found = self.store.get(&path).await?;
            if found.meta.size > most {
                return Ok(Err(found.meta.size));
            }
            Ok(Ok(found.bytes().await?))
        };
        self.asking("reading", object, read).await?.map_err(|bytes| {
            ArchiveError::damaged(
                Cause::Length,
                format!("{}: {object}", self.name),
                format!("it is {bytes} bytes, larger than the limit"),
            )
        })
    }

    /// Some of an object's bytes.
    pub async fn get_range(&self, object: &str, range: Range<u64>) -> Result<Bytes> {
        let wanted = range.end - range.start;
        let path = Path::from(object);
        let shorter = || {
            ArchiveError::damaged(
                Cause::CutOff,
                format!("{}: {object}", self.name),
                "it is shorter than stated in its index",
            )
        };
        let bytes = match self.asking("reading", object, || self.store.get_range(&path, range.clone())).await {
            Err(error) if !error.is_not_found() => {
                // A range that is not there is an error of its own with each kind of target.
                let is_shorter = self.store.head(&path).await.is_ok_and(|found| found.size < range.end);
                return Err(if is_shorter { shorter() } else { error });
            }
            other => other?,
        };
        if bytes.len() as u64 == wanted { Ok(bytes) } else { Err(shorter()) }
    }

    /// The objects whose names begin with the folder `prefix`, in order of their names.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let path = Path::from(prefix);
        let listed: Vec<_> = self.asking("listing", prefix, || self.store.list(Some(&path)).try_collect()).await?;
        let mut objects: Vec<Object> = listed
            .into_iter()
            .map(|meta| Object {
                name: meta.location.to_string(),
                bytes: meta.size,
                modified_ms: meta.last_modified.timestamp_millis(),
            })
            .collect();
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    /// Whether it is over a line, with keys.
    pub const fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// Stores a small test object below `probe/` and tries to delete it.
    ///
    /// # Errors
    /// If the result is unclear.
    pub async fn try_delete(&self) -> Result<Deletable> {
        let object = format!("probe/{:016x}", rand::random::<u64>());
        let path = Path::from(object.as_str());
        let stored = self.store.put(&path, Bytes::from_static(b"can this be deleted?").into()).await;
        let stored = stored.map_err(self.failed("storing", &object))?;
        match self.store.delete(&path).await {
            Ok(()) => {}
            Err(error) if is_refusal(&error) => return Ok(Deletable::No),
            Err(error) => return Err(self.failed("testing whether the archive can be deleted", &object)(error)),
        }
        if let Some(version) = stored.version {
            let options = object_store::GetOptions { version: Some(version), ..object_store::GetOptions::default() };
            if self.store.get_opts(&path, options).await.is_ok() {
                return Ok(Deletable::KeepsVersions);
            }
        }
        match self.store.head(&path).await {
            Ok(_) => Ok(Deletable::No),
            Err(object_store::Error::NotFound { .. }) => Ok(Deletable::Yes),
            Err(error) => Err(self.failed("testing whether the archive can be deleted", &object)(error)),
        }
    }

    /// Deletes an object; a missing one is fine.
    pub async fn delete(&self, object: &str) -> Result<()> {
        match self.store.delete(&Path::from(object)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("deleting", object)(error)),
        }
    }
}

/// Whether a target says that it may not be done.
fn is_refusal(error: &object_store::Error) -> bool {
    match error {
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => true,
        other => ["AccessDenied", "403 Forbidden"].iter().any(|word| other.to_string().contains(word)),
    }
}

const UNKNOWN_URL: &str =
    "not an archive's URL: write file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix";

/// Whether a text can be an archive's URL.
///
/// # Errors
/// The problem and its fix.
pub fn check_url(text: &str) -> Result<url::Url, String> {
    let url = url::Url::parse(text).map_err(|error| format!("`{text}`: {error}: {UNKNOWN_URL}"))?;
    match url.scheme() {
        "file" if url.host_str().is_some_and(|host| !host.is_empty()) => {
            Err(format!("`{text}` contains a host name: write file:// and the absolute path, three slashes in total"))
        }
        "file" if url.path().len() > 1 => Ok(url),
        "s3" | "gs" | "az" if url.host_str().is_some_and(|host| !host.is_empty()) => Ok(url),
        "s3" | "gs" | "az" => Err(format!("`{text}` has no bucket: {UNKNOWN_URL}")),
        _ => Err(format!("`{text}` is {UNKNOWN_URL}")),
    }
}

/// How often an object is asked for before it is called damaged.
pub(super) const TRIES: usize = 3;

/// An object's bytes, checked against its name. Wrong ones are asked for again: it may have been the line.
pub(super) async fn fetch(target: &Target, object: &str) -> Result<Bytes> {
    let mut tries = 0;
    loop {
        tries += 1;
        let bytes = target.get(object).await?;
        let name = object.to_owned();
        match blocking(move || check(&name, &bytes).map(|()| bytes)).await {
            Err(error) if tries < TRIES => tracing::warn!(%error, "retrying a read from the archive"),
            outcome => return outcome,
        }
    }
}
