//! The services of one data folder, opened once and shared by doors and commands.

use std::sync::Arc;

use anyhow::Context as _;

use crate::config::Config;

/// Store and domain services. Opening takes the folder's lock; only one process can.
pub struct Services {
    pub config: Config,
    pub store: store::Store,
    pub directory: directory::Directory,
    pub mailstore: mailstore::MailStore,
    pub delivery: delivery::Delivery,
}

impl Services {
    /// Opens the data folder, making it first when it is not there.
    pub fn open(config: Config) -> anyhow::Result<Self> {
        let dir = &config.data_dir;
        let options = store::StoreOptions {
            retention: config.store.retention.0,
            cache_bytes: config.store.cache.0,
            ..store::StoreOptions::default()
        };
        let store = store::Store::open(dir, options).with_context(|| format!("data folder {}", dir.display()))?;
        let directory = directory::Directory::new(store.clone(), directory::DirectoryOptions::default())?;
        let accounts = directory.clone();
        let limit = move |realm: store::RealmId| {
            accounts.quota_limit(directory::AccountId(realm.account_number()?))
        };
        let mailstore = mailstore::MailStore::with_quota_limit(store.clone(), Arc::new(limit));
        let delivery =
            delivery::Delivery::new(store.clone(), directory.clone(), mailstore.clone(), delivery_options(&config)?)?;
        Ok(Self { config, store, directory, mailstore, delivery })
    }

    /// Writes everything out and gives the folder back.
    pub fn close(&self) {
        self.store.close();
    }
}
