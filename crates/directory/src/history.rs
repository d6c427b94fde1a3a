//! The history of sign-ins: noted in memory at each door, and written a few accounts at a time, so that a program that polls
//! writes a row a day, and ten thousand logins at once write a few commits. Read with what still waits.
//!
//! What is in memory only is lost with the process: some seconds of it. Rows are bounded for each day and account, those
//! that wait are bounded for the service.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use prost::Message as _;
use store::{Order, Read, StoreError, Tx};

use crate::{
    AccountId, AuthError, Directory, DirectoryError, Login, Result, Service, app_password, known,
    noted::{self, Ended, Waiting},
    schema::{self, HistoryRecord, SignInRecord, decode},
    sign_in::{self, DAY_MS, Row, SIGN_INS_FOR_MS, SignInResult},
};

/// Accounts that are written in one commit.
const ACCOUNTS_PER_COMMIT: usize = 50;
/// Rows of one account and day for sign-ins that succeeded; what comes after them shares one row.
const MAX_OK_A_DAY: usize = 40;
/// The same for those that failed.
const MAX_FAILED_A_DAY: usize = 20;
/// Between two notices about mail programs.
const TELL_EVERY_MS: i64 = DAY_MS;
/// The same about an app password, which stays with a device that moves about.
const TELL_OF_APP_EVERY_MS: i64 = 7 * DAY_MS;
/// So long after a history began mail programs are new because it is.
const SETTLES_IN_MS: i64 = 7 * DAY_MS;

/// Sign-ins of one day that are the same but for the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Names it within its account, in letters that an address of a page may have.
    pub id: String,
    /// The protocol; `None` is several.
    pub service: Option<Service>,
    /// How they ended.
    pub result: SignInResult,
    /// The first of the day, in milliseconds since 1970.
    pub first_ms: i64,
    /// The last of the day.
    pub last_ms: i64,
    /// How many.
    pub count: u64,
    /// The client's last address; `None` is several networks.
    pub peer: Option<IpAddr>,
    /// What the programs call themselves, as far as they do.
    pub programs: Vec<String>,
    /// The app password's name, if it was one.
    pub app_password: Option<String>,
    /// The network or the program had not signed in before, and the owner has not said that it was theirs.
    pub new: bool,
}

impl SignIn {
    fn from_record(row: &[u8], record: SignInRecord) -> Self {
        Self {
            id: hex::encode(row),
            service: Service::from_number(record.service),
            result: SignInResult::from_number(record.result),
            first_ms: record.first_ms,
            last_ms: record.last_ms,
            count: record.count,
            peer: record.peer.parse().ok(),
            programs: record.programs,
            app_password: record.app_password,
            new: record.new && !record.known,
        }
    }
}

/// A mail program has signed in that the account did not know, or from a network that it did not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSignIn {
    /// Whose account it is.
    pub account: AccountId,
    /// The sign-in.
    pub sign_in: SignIn,
}

fn key(row: &[u8]) -> Vec<u8> {
    [&[schema::SIGN_IN][..], row].concat()
}

fn has_expired(record: &SignInRecord, now_ms: i64) -> bool {
    now_ms - record.last_ms > SIGN_INS_FOR_MS
}

/// The rows of an account.
fn rows(reader: &impl Read, account: AccountId) -> Result<BTreeMap<Row, SignInRecord>> {
    let mut rows = BTreeMap::new();
    for row in reader.prefix(account.realm(), &[schema::SIGN_IN], Order::Ascending)? {
        let (key, value) = row?;
        if let Ok(row) = Row::try_from(&key[1..]) {
            rows.insert(row, decode("a sign-in", &value)?);
        }
    }
    Ok(rows)
}

/// Adds what waited to what is stored of it.
fn join(record: &mut SignInRecord, waiting: &Waiting) {
    if record.count == 0 {
        record.first_ms = waiting.first_ms;
        record.service = waiting.service.map_or(0, Service::number);
        record.result = waiting.result.number();
    }
    record.count += waiting.count;
    record.last_ms = record.last_ms.max(waiting.last_ms);
    record.peer = waiting.peer.map(|peer| peer.to_string()).unwrap_or_default();
    record.new |= waiting.new;
    for program in &waiting.programs {
        if !record.programs.contains(program) && record.programs.len() < noted::MAX_PROGRAMS {
            record.programs.push(program.clone());
        }
    }
}

/// Whether a day has as many rows of a kind as it may.
fn is_full(rows: &BTreeMap<Row, SignInRecord>, row: &Row, result: SignInResult) -> bool {
    let ok = result == SignInResult::Ok;
    let of_day = rows.iter().filter(|(other, record)| other[..4] == row[..4] && (record.result == 0) == ok);
    of_day.count() >= if ok { MAX_OK_A_DAY } else { MAX_FAILED_A_DAY }
}

/// What is new about a sign-in of a mail program, by what was there before it.
fn is_new(
    tx: &Tx<'_>,
    account: AccountId,
    before: &[(bool, Option<String>)],
    history: &HistoryRecord,
    entry: &Waiting,
) -> Result<bool> {
    let Some(peer) = entry.peer else { return Ok(false) };
    if entry.result != SignInResult::Ok || entry.service.is_none_or(|service| service == Service::Web) {
        return Ok(false);
    }
    if known::is_new_neighbourhood(tx, account, peer, entry.first_ms)? {
        return Ok(true);
    }
    // The first mail program that has the password itself. That there is a new app password was told when it was made.
    let settled = entry.first_ms - history.since_ms > SETTLES_IN_MS;
    Ok(settled && entry.proof.is_none() && !before.iter().any(|(is_program, app)| *is_program && app.is_none()))
}

/// Writes an account's rows; gives what its owner should be told of.
fn write_in(tx: &mut Tx<'_>, account: AccountId, waiting: &[(Row, Waiting)], now_ms: i64) -> Result<Option<NewSignIn>> {
    let realm = account.realm();
    let mut stored = rows(tx, account)?;
    let expired: Vec<Row> = stored.iter().filter(|(_, row)| has_expired(row, now_ms)).map(|(row, _)| *row).collect();
    for row in expired {
        stored.remove(&row);
        tx.delete(realm, key(&row));
    }
    let before: Vec<_> = stored
        .values()
        .filter(|row| row.result == 0)
        .map(|row| (row.service != Service::Web.number(), row.app_password.clone()))
        .collect();
    let state = tx.get(realm, &[schema::SIGN_IN])?;
    let mut history: HistoryRecord = match &state {
        Some(value) => decode("the history of sign-ins", value)?,
        None => HistoryRecord { since_ms: now_ms, told_ms: 0 },
    };
    let mut to_tell = None;
    for (row, entry) in waiting {
        let (mut at, mut entry) = (*row, entry.clone());
        if !stored.contains_key(&at) && !sign_in::is_of_many(&at) && is_full(&stored, &at, entry.result) {
            at = sign_in::row_of_many(entry.last_ms, entry.result);
            (entry.peer, entry.service, entry.programs) = (None, None, Vec::new());
        }
        let is_first = !stored.contains_key(&at);
        entry.new |= is_first && is_new(tx, account, &before, &history, &entry)?;
        let record = stored.entry(at).or_default();
        join(record, &entry);
        if record.app_password.is_none()
            && let Some(proof) = entry.proof
        {
            record.app_password = app_password::name_of(tx, account, proof)?;
        }
        tx.put(realm, key(&at), record.encode_to_vec());
        let patience = if entry.proof.is_some() { TELL_OF_APP_EVERY_MS } else { TELL_EVERY_MS };
        if is_first && entry.new && entry.service != Some(Service::Web) && now_ms - history.told_ms >= patience {
            history.told_ms = now_ms;
            to_tell = Some(NewSignIn { account, sign_in: SignIn::from_record(&at, record.clone()) });
        }
    }
    if state.is_none() || to_tell.is_some() {
        tx.put(realm, vec![schema::SIGN_IN], history.encode_to_vec());
    }
    Ok(to_tell)
}

/// How a login that was checked ended; `None` when it could not be.
fn end_of(result: &Result<Login, AuthError>) -> Option<SignInResult> {
    Some(match result {
        Ok(_) => SignInResult::Ok,
        Err(AuthError::Invalid) => SignInResult::Wrong,
        Err(AuthError::TotpRequired) => SignInResult::CodeMissing,
        Err(AuthError::Disabled) => SignInResult::Disabled,
        Err(AuthError::NotAllowed { .. }) => SignInResult::NotAllowed,
        Err(AuthError::Throttled { .. }) => SignInResult::Throttled,
        Err(AuthError::CodeUnavailable | AuthError::Unavailable) => return None,
    })
}

impl Directory {
    /// Notes how a sign-in ended that was for this account.
    pub(crate) fn note_sign_in(
        &self,
        account: AccountId,
        (service, peer): (Service, IpAddr),
        program: &str,
        result: &Result<Login, AuthError>,
    ) {
        let Some(ended) = end_of(result) else { return };
        let proof = result.as_ref().ok().filter(|login| login.app_password.is_some()).map(|login| login.proof);
        let at_ms = self.now_ms();
        self.inner.noted.note(&Ended { account, service, result: ended, proof, peer, program, at_ms });
    }

    /// Notes what a program that has signed in calls itself, where it says so later.
    pub fn note_program(&self, login: &Login, service: Service, peer: IpAddr, program: &str) {
        let proof = login.app_password.map(|_| login.proof);
        let row = sign_in::row(self.now_ms(), (service, SignInResult::Ok), peer, proof, "");
        self.inner.noted.change(login.account, row, |entry| entry.add_program(program));
    }

    /// Marks a browser's sign-in of a moment ago as one from a new network or with a new browser.
    pub(crate) fn mark_new(&self, account: AccountId, peer: IpAddr, browser: &str) {
        let row = sign_in::row(self.now_ms(), (Service::Web, SignInResult::Ok), peer, None, browser);
        self.inner.noted.change(account, row, |entry| (entry.new, entry.changed) = (true, true));
    }

    /// Writes sign-ins that were noted: those that are due, or all. Returns those of mail programs that the owners should
    /// be told of. What can't be written because the disk is full waits.
    pub async fn write_sign_ins(&self, all: bool) -> Vec<NewSignIn> {
        let due = self.inner.noted.due(self.now_ms(), all);
        let mut due: Vec<_> = due.into_iter().collect();
        let mut new = Vec::new();
        while !due.is_empty() {
            let some = due.split_off(due.len().saturating_sub(ACCOUNTS_PER_COMMIT));
            match self.write_some(some.clone()).await {
                Ok(found) => new.extend(found),
                // One of them may be closed or damaged: that is not the business of the others.
                Err(_) => {
                    for one in some {
                        new.extend(self.write_one(one).await);
                    }
                }
            }
        }
        new
    }

    async fn write_one(&self, one: (AccountId, Vec<(Row, Waiting)>)) -> Vec<NewSignIn> {
        match self.write_some(vec![one.clone()]).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(account = one.0.0, %error, "could not write sign-ins");
                if matches!(error, DirectoryError::Store(StoreError::Full)) {
                    self.inner.noted.put_back(one.0, one.1);
                }
                Vec::new()
            }
        }
    }

    async fn write_some(&self, some: Vec<(AccountId, Vec<(Row, Waiting)>)>) -> Result<Vec<NewSignIn>> {
        let now_ms = self.now_ms();
        // Like the networks: lost with the machine, and nobody waits for a standby.
        self.store()
            .transact_here(move |tx| {
                tx.keeps_books();
                let mut new = Vec::new();
                for (account, rows) in &some {
                    new.extend(write_in(tx, *account, rows, now_ms)?);
                }
                Ok(new)
            })
            .await
    }

    /// An account's sign-ins of the last two weeks, also those that wait to be written, the last first.
    ///
    /// # Errors
    /// Those of the store.
    pub fn sign_ins(&self, account: AccountId) -> Result<Vec<SignIn>> {
        let now_ms = self.now_ms();
        let waiting: HashMap<Row, Waiting> = self.inner.noted.of(account);
        let snapshot = self.store().snapshot();
        let mut all = rows(&snapshot, account)?;
        for (row, entry) in &waiting {
            let record = all.entry(*row).or_default();
            join(record, entry);
            if record.app_password.is_none()
                && let Some(proof) = entry.proof
            {
                record.app_password = app_password::name_of(&snapshot, account, proof)?;
            }
        }
        let listed = all.into_iter().filter(|(_, record)| !has_expired(record, now_ms));
        let mut listed: Vec<SignIn> = listed.map(|(row, record)| SignIn::from_record(&row, record)).collect();
        listed.sort_by(|one, other| (other.last_ms, &other.id).cmp(&(one.last_ms, &one.id)));
        Ok(listed)
    }

    /// The last sign-in of an account that succeeded, if there was one in the last two weeks.
    ///
    /// # Errors
    /// Those of the store.
    pub fn last_sign_in(&self, account: AccountId) -> Result<Option<SignIn>> {
        Ok(self.sign_ins(account)?.into_iter().find(|one| one.result == SignInResult::Ok))
    }

    /// Notes that the owner knows a sign-in, or all of them: they are no longer shown as new.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn know_sign_ins(&self, account: AccountId, id: Option<&str>) -> Result<()> {
        let id = id.map(str::to_owned);
        self.write_sign_ins_of(account).await?;
        self.store()
            .transact(move |tx| {
                tx.keeps_books();
                for (row, mut record) in rows(tx, account)? {
                    if record.new && !record.known && id.as_ref().is_none_or(|id| *id == hex::encode(row)) {
                        record.known = true;
                        tx.put(account.realm(), key(&row), record.encode_to_vec());
                    }
                }
                Ok(())
            })
            .await
    }

    /// Has what waits of an account written, so that it can be changed.
    async fn write_sign_ins_of(&self, account: AccountId) -> Result<()> {
        let waiting: Vec<(Row, Waiting)> = self.inner.noted.of(account).into_iter().collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let ids: Vec<Row> = waiting.iter().map(|(row, _)| *row).collect();
        // Nobody is told by mail of what they are looking at.
        self.write_some(vec![(account, waiting)]).await?;
        let now_ms = self.now_ms();
        for row in ids {
            self.inner.noted.change(account, row, |entry| {
                (entry.count, entry.changed, entry.new, entry.written_ms) = (0, false, false, Some(now_ms));
            });
        }
        Ok(())
    }
}

/// Clears away rows whose time is over, of an account that nobody signs in to.
pub(crate) async fn clear_expired(
    store: &store::Store,
    account: store::RealmId,
) -> std::result::Result<(), DirectoryError> {
    let Some(number) = account.account_number() else { return Ok(()) };
    let (id, now_ms) = (AccountId(number), store.clock().now_ms());
    if !rows(&store.snapshot(), id)?.values().any(|row| has_expired(row, now_ms)) {
        return Ok(());
    }
    store
        .transact(move |tx| {
            tx.keeps_books();
            for (row, _) in rows(tx, id)?.into_iter().filter(|(_, row)| has_expired(row, now_ms)) {
                tx.delete(account, key(&row));
            }
            Ok(())
        })
        .await
}
