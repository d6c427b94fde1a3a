//! `holdfast restore --account`: one account out of an archive, into the service that runs, beside what it has now.

mod who;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, bail, ensure};
use continuity::{
    archive::{
        catalog::Catalog,
        line::Line,
        restore::{At, Excerpt, Wish, excerpt},
    },
    rewind::{self, Preview, What, name_of, told},
};
use mailkit::EmailAddress;
use mailstore::rewind::{BodySource, HeldElsewhere, RewindRecord};
use store::{BodyId, RealmId, StagedBody, Store, StoreError, StoreOptions};

use super::{
    archive::events,
    rewind::{changes_something, done, explained, key, previewed, show},
    who::WHO,
};
use crate::{
    cli::{AdminCommand, RestoreArgs},
    config::{Archive, Config},
    drill::clear_away_left,
    output::Output,
    restore::{as_it_was, wish_of},
    running::Running,
    services::Services,
    told::moment,
};
use who::Who;

/// How scratch folders are called, before the process's number.
const SCRATCH: &str = "restore-account-";
/// What the scratch folder's index keeps in memory.
const CACHE_BYTES: u64 = 16 << 20;
/// How many times the room that commits leave alone is left on the scratch folder's disk: the service's own may be it.
const LEAVE_ROOM: u64 = 4;

static RUNS: AtomicU64 = AtomicU64::new(0);

/// Reads what the service may not see.
pub fn complete(command: &mut AdminCommand) -> anyhow::Result<()> {
    if let AdminCommand::RestoreAccount(args) = command
        && let Some(file) = &mut args.identity
    {
        *file = std::path::absolute(&*file)?;
        let text = std::fs::read_to_string(&*file).with_context(|| file.display().to_string())?;
        args.of_account.identity_text = Some(text);
    }
    Ok(())
}

/// Runs the command.
pub async fn run(running: &Running, args: RestoreArgs, output: &Output) -> anyhow::Result<()> {
    changes_something(running)?;
    let services = &running.services;
    let place = place(&services.config, &args)?;
    let address = args.of_account.account.clone().context("give the account with --account ADDRESS")?;
    let address = EmailAddress::parse(&address).with_context(|| address.clone())?;
    let wish = wish(services, &args, &place).await?;
    let quiet = output.json();
    // The directory first: it says who the account was.
    let directory = read(&wish, &[RealmId::DIRECTORY], quiet, output).await?;
    let who = who::find(services, &directory, &address, args.of_account.into.as_deref())?;
    // From here on exactly that commit, even if more is shipped.
    let line = Some(directory.line.clone());
    let wish = Wish { at: At::Commit(directory.seq), line, dir: scratch(&services.config, &args), ..wish };
    let (commit, time_ms, notes) = (directory.seq, directory.time_ms, directory.notes.clone());
    drop(directory);
    let held = read(&wish, &[who.then.id.realm()], quiet, output).await?;
    ensure!(
        store::Read::realm_seq(&held.records(), who.then.id.realm()).0 > 0,
        "the archive {} has no data of {} at commit {commit}",
        place.name(),
        who.then.address
    );
    let asked = Asked { args: &args, place: &place, who, commit: commit.0, time_ms, notes };
    let held = Arc::new(held);
    if args.of_account.preview {
        asked.preview(services, held, output).await
    } else {
        asked.run(services, held, output).await
    }
}

/// The archive that is read.
fn place(config: &Config, args: &RestoreArgs) -> anyhow::Result<Archive> {
    let named = args.of_account.archive.as_ref().or(args.from.as_ref());
    let known: Vec<&str> = config.archive.iter().map(Archive::name).collect();
    let Some(named) = named else {
        return match config.archive.as_slice() {
            [] => bail!(
                "no archive is configured here: give one with --from URL, see `holdfast help continuity One account`"
            ),
            [one] => Ok(one.clone()),
            _ => bail!("there are several archives: choose one with --archive: {}", known.join(", ")),
        };
    };
    let found = config.archive.iter().find(|place| place.is_named(named));
    match found {
        Some(place) => Ok(place.clone()),
        None if args.of_account.archive.is_some() => {
            bail!("there is no archive named {named}; configured archives: {}", known.join(", "))
        }
        None => Ok(Archive::at(named)),
    }
}

/// What is read of the archive, and up to where: of this service's own history, unless another line is named.
async fn wish(services: &Services, args: &RestoreArgs, place: &Archive) -> anyhow::Result<Wish> {
    let wish = wish_of(&services.config, args, place).await?;
    if let At::Moment(at_ms) = wish.at {
        ensure!(at_ms <= services.store.clock().now_ms(), "that time is in the future");
    }
    let catalog = Catalog::read(&wish.target).await?;
    let own = Line::name_in(&services.config.data_dir).filter(|line| catalog.lines.contains_key(line));
    let default = StoreOptions::default();
    let reserve_bytes = default.reserve_bytes.saturating_mul(LEAVE_ROOM);
    let options = StoreOptions { cache_bytes: CACHE_BYTES, reserve_bytes, ..default };
    Ok(Wish { line: wish.line.clone().or(own), dir: scratch(&services.config, args), options, ..wish })
}

/// A folder of its own to work in.
fn scratch(config: &Config, args: &RestoreArgs) -> PathBuf {
    let dir: &Path = args.of_account.scratch.as_deref().unwrap_or(&config.data_dir);
    clear_away_left(dir, SCRATCH);
    dir.join(format!("{SCRATCH}{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed)))
}

async fn read(wish: &Wish, realms: &[RealmId], quiet: bool, output: &Output) -> anyhow::Result<Excerpt> {
    let (say, show) = events(output);
    let work = async move {
        let read = if quiet {
            excerpt(wish.clone(), realms, &|_| {}).await
        } else {
            excerpt(wish.clone(), realms, &say).await
        };
        drop(say);
        read
    };
    let (read, ()) = tokio::join!(work, show);
    Ok(read?)
}

/// What was asked for, and what was found of it.
struct Asked<'a> {
    args: &'a RestoreArgs,
    place: &'a Archive,
    who: Who,
    commit: u64,
    time_ms: Option<i64>,
    notes: Vec<String>,
}

impl Asked<'_> {
    fn wish(&self) -> rewind::Wish {
        let of_account = &self.args.of_account;
        let what = match &of_account.mailbox {
            Some(name) => What::Mailbox(name.clone()),
            None if of_account.address_book => What::AddressBook,
            None => What::Everything,
        };
        rewind::Wish { what, moment_ms: self.time_ms.unwrap_or_default(), flags: of_account.flags }
    }

    fn what(&self) -> String {
        format!("{}, from the archive {}", name_of(&self.wish().what), self.place.name())
    }

    /// What was found, before anything is done.
    async fn tell(&self, output: &Output) {
        if output.json() {
            return;
        }
        for note in &self.notes {
            output.line(format!("NOTE: {note}")).await;
        }
        let made = self.time_ms.map_or_else(String::new, |at| format!(", made {}", moment(at)));
        let address = &self.who.then.address;
        output
            .line(format!(
                "{address} {}, from the archive {}{made}",
                as_it_was(At::Commit(store::Seq(self.commit))),
                self.place.name()
            ))
            .await;
        output.line(self.who.target.told(&self.who.then.address, self.args.of_account.preview)).await;
    }

    fn json(&self, more: serde_json::Value) -> serde_json::Value {
        let mut object = serde_json::json!({
            "account": self.who.then.address,
            "into": self.who.target.address(&self.who.then.address),
            "account_is": self.who.target.name(),
            "archive": self.place.name(),
            "commit": self.commit,
            "time_ms": self.time_ms,
            "preview": self.args.of_account.preview,
            "notes": self.notes,
        });
        if let (Some(object), serde_json::Value::Object(more)) = (object.as_object_mut(), more) {
            object.extend(more);
        }
        object
    }

    /// What another store holds of the account.
    fn held(&self, held: &Excerpt) -> HeldElsewhere {
        HeldElsewhere {
            records: held.records(),
            realm: self.who.then.id.realm(),
            seq: held.seq,
            same: self.who.is_same,
        }
    }

    async fn preview(&self, services: &Arc<Services>, held: Arc<Excerpt>, output: &Output) -> anyhow::Result<()> {
        self.tell(output).await;
        let (services, from, wish) = (services.clone(), self.held(&held), self.wish());
        // An account that is made anew has nothing yet.
        let account = self.who.target.id().map_or(RealmId::account(u32::MAX), directory::AccountId::realm);
        let planned = tokio::task::spawn_blocking(move || -> Result<Preview, rewind::RewindError> {
            let past = services.mailstore.past_elsewhere(account, from, true)?;
            let preview = services.rewinds().preview_of(account, &past, &wish)?;
            drop((past, held));
            Ok(preview)
        });
        let preview = planned.await?.map_err(explained)?;
        if output.json() {
            output.object(self.json(previewed(&preview))).await;
            return Ok(());
        }
        show(&preview, &self.what(), self.time_ms, output).await
    }

    async fn run(&self, services: &Arc<Services>, held: Arc<Excerpt>, output: &Output) -> anyhow::Result<()> {
        self.tell(output).await;
        let (account, left_without) = who::ready(services, &self.who, &held).await?;
        let login = services.directory.account(account)?.map_or_else(String::new, |found| found.address.to_string());
        let (wish, what, from) = (self.wish(), self.what(), self.held(&held));
        let key = key(services, account, &format!("{wish:?} {} {}", held.line, held.seq))?;
        let (own, progress, asked) = (services.clone(), output.clone(), what.clone());
        let (realm, then) = (account.realm(), self.who.then.id.realm());
        let (handle, quiet) = (tokio::runtime::Handle::current(), output.json());
        let work = tokio::task::spawn_blocking(move || -> anyhow::Result<RewindRecord> {
            let past = own.mailstore.past_elsewhere(realm, from, false)?;
            let rewinds = own.rewinds();
            let preview = rewinds.preview_of(realm, &past, &wish).map_err(explained)?;
            if let Some(problem) = preview.problem {
                bail!("nothing was changed: {problem}");
            }
            let missing = own.mailstore.bodies_missing(realm, &past, &preview.mail)?;
            handle.block_on(held.locate(then, &missing))?;
            let bodies = FromArchive { held: &held, store: &own.store, handle };
            let mut tell = |done: u64, total: u64| {
                if !quiet {
                    progress.progress("messages restored", done, total);
                }
            };
            let record = rewinds.run_of(realm, &key, (&past, &bodies), (&wish, asked), &mut tell).map_err(explained)?;
            drop(past);
            Ok(record)
        });
        let record = work.await??;
        let what = format!("{what}, as of {}", self.time_ms.map_or_else(|| format!("commit {}", self.commit), moment));
        services.directory.audit(Some(account), WHO, &what, "").await?;
        if output.json() {
            let undo = record.changed().then(|| format!("holdfast rewind {login} --undo"));
            let more = serde_json::json!({"left_without": left_without, "undo": undo});
            output.object(self.json(merged(done(&record), more))).await;
        } else {
            for address in left_without {
                output.line(format!("without {address}: another account has it, or its domain was removed")).await;
            }
            output.line(told(&record)).await;
            if record.changed() {
                output.line(format!("to undo this, run `holdfast rewind {login} --undo`")).await;
            }
            if self.who.target.is_disabled() {
                let next = format!(
                    "to let its owner log in, run `holdfast account passwd {login}` and `holdfast account enable {login}`"
                );
                output.line(next).await;
            }
        }
        ensure!(record.lost == 0, "{} messages are damaged or missing in the archive too", record.lost);
        Ok(())
    }
}

fn merged(mut one: serde_json::Value, other: serde_json::Value) -> serde_json::Value {
    if let (Some(one), serde_json::Value::Object(other)) = (one.as_object_mut(), other) {
        one.extend(other);
    }
    one
}

/// Brings messages' bytes from the archive.
struct FromArchive<'a> {
    held: &'a Excerpt,
    store: &'a Store,
    handle: tokio::runtime::Handle,
}

impl BodySource for FromArchive<'_> {
    fn bring(&self, ids: &[BodyId]) -> store::Result<Vec<StagedBody>> {
        let brought = self.handle.block_on(self.held.bring(self.store, ids));
        brought.map_err(|error| match error {
            continuity::archive::ArchiveError::Store(error) => error,
            other => StoreError::Io { what: "the archive".to_owned(), error: std::io::Error::other(other).into() },
        })
    }
}
