//! Sign-ins that wait in memory to be written to the history: bounded, and joined where they are alike.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
};

use parking_lot::Mutex;

use crate::{
    AccountId, Service,
    proof::Proof,
    sign_in::{self, Row, SignInResult},
};

/// Rows that wait in memory, of all accounts.
const MAX_WAITING: usize = 50_000;
/// Between two times that a row is written while it goes on.
const WRITE_EVERY_MS: i64 = 10 * 60_000;
/// How long a code may take before its absence is a sign-in of its own.
const CODE_WITHIN_MS: i64 = 5 * 60_000;
/// The longest name of a program.
const MAX_PROGRAM_CHARS: usize = 80;
/// Programs of one row.
pub(crate) const MAX_PROGRAMS: usize = 4;

/// A row as it waits. What is written already is in the store, and is added to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub service: Option<Service>,
    pub result: SignInResult,
    /// The app password.
    pub proof: Option<Proof>,
    pub first_ms: i64,
    pub last_ms: i64,
    pub count: u64,
    pub peer: Option<IpAddr>,
    pub programs: Vec<String>,
    pub new: bool,
    /// When it was last written; `None` is never.
    pub written_ms: Option<i64>,
    /// There is something to write.
    pub changed: bool,
}

impl Waiting {
    fn is_due(&self, now_ms: i64) -> bool {
        let (since, patience) = match (self.written_ms, self.result, self.service) {
            (Some(written_ms), ..) => (written_ms, WRITE_EVERY_MS),
            (None, SignInResult::CodeMissing, Some(Service::Web)) => (self.first_ms, CODE_WITHIN_MS),
            _ => return self.changed,
        };
        // A clock that was put back does not make it wait longer.
        self.changed && !(0..patience).contains(&(now_ms - since))
    }

    pub(crate) fn add_program(&mut self, program: &str) {
        let program: String = program.trim().chars().filter(|c| !c.is_control()).take(MAX_PROGRAM_CHARS).collect();
        if !program.is_empty() && !self.programs.contains(&program) && self.programs.len() < MAX_PROGRAMS {
            self.programs.push(program);
            self.changed = true;
        }
    }
}

/// Sign-ins that wait to be written, by account and row.
#[derive(Default)]
pub(crate) struct History(Mutex<BTreeMap<(AccountId, Row), Waiting>>);

/// A sign-in that has ended.
pub(crate) struct Ended<'a> {
    pub account: AccountId,
    pub service: Service,
    pub result: SignInResult,
    pub proof: Option<Proof>,
    pub peer: IpAddr,
    pub program: &'a str,
    pub at_ms: i64,
}

impl Ended<'_> {
    fn row(&self) -> Row {
        let apart = if self.service == Service::Web { self.program } else { "" };
        sign_in::row(self.at_ms, (self.service, self.result), self.peer, self.proof, apart)
    }
}

impl History {
    pub(crate) fn note(&self, ended: &Ended<'_>) {
        let mut waiting = self.0.lock();
        if ended.service == Service::Web && ended.result == SignInResult::Ok {
            // The code that was missing has come.
            let missing = Ended { result: SignInResult::CodeMissing, ..*ended };
            let key = (ended.account, missing.row());
            if waiting.get(&key).is_some_and(|row| row.written_ms.is_none()) {
                waiting.remove(&key);
            }
        }
        let (mut row, mut is_own) = (ended.row(), true);
        if waiting.len() >= MAX_WAITING && !waiting.contains_key(&(ended.account, row)) {
            (row, is_own) = (sign_in::row_of_many(ended.at_ms, ended.result), false);
            // A few more, one for each account: then no more.
            if waiting.len() >= 2 * MAX_WAITING && !waiting.contains_key(&(ended.account, row)) {
                metrics::counter!("holdfast_directory_sign_ins_unlisted_total").increment(1);
                return;
            }
        }
        let entry = waiting.entry((ended.account, row)).or_insert_with(|| Waiting {
            service: is_own.then_some(ended.service),
            result: ended.result,
            proof: ended.proof.filter(|_| is_own),
            first_ms: ended.at_ms,
            last_ms: ended.at_ms,
            count: 0,
            peer: None,
            programs: Vec::new(),
            new: false,
            written_ms: None,
            changed: true,
        });
        if entry.count == 0 {
            entry.first_ms = ended.at_ms;
        }
        entry.count += 1;
        entry.last_ms = entry.last_ms.max(ended.at_ms);
        entry.changed = true;
        if is_own {
            entry.peer = Some(ended.peer.to_canonical());
            entry.add_program(ended.program);
        }
    }

    /// Changes a row that has not been forgotten yet.
    pub(crate) fn change(&self, account: AccountId, row: Row, change: impl FnOnce(&mut Waiting)) {
        if let Some(entry) = self.0.lock().get_mut(&(account, row)) {
            change(entry);
        }
    }

    /// What is to be written now, by account; all of it when `at_once`. It counts as written.
    pub(crate) fn due(&self, now_ms: i64, at_once: bool) -> BTreeMap<AccountId, Vec<(Row, Waiting)>> {
        let mut waiting = self.0.lock();
        // Once a row of an account is written, the others of it go along.
        let accounts: HashSet<AccountId> = waiting
            .iter()
            .filter(|(_, row)| row.is_due(now_ms) || at_once && row.changed)
            .map(|((account, _), _)| *account)
            .collect();
        let mut due: BTreeMap<AccountId, Vec<(Row, Waiting)>> = BTreeMap::new();
        for ((account, row), entry) in waiting.iter_mut() {
            let waits = entry.written_ms.is_none() && !entry.is_due(now_ms);
            if accounts.contains(account) && entry.changed && (at_once || !waits) {
                due.entry(*account).or_default().push((*row, entry.clone()));
                (entry.count, entry.changed, entry.written_ms) = (0, false, Some(now_ms));
            }
        }
        waiting.retain(|_, row| {
            row.changed || row.written_ms.is_some_and(|at| (0..WRITE_EVERY_MS).contains(&(now_ms - at)))
        });
        due
    }

    /// What could not be written waits again.
    pub(crate) fn put_back(&self, account: AccountId, rows: Vec<(Row, Waiting)>) {
        let mut waiting = self.0.lock();
        for (row, old) in rows {
            let now = waiting.remove(&(account, row));
            let count = now.as_ref().map_or(0, |now| now.count) + old.count;
            let last = now.unwrap_or_else(|| old.clone());
            let back = Waiting { first_ms: old.first_ms, count, changed: true, written_ms: old.written_ms, ..last };
            waiting.insert((account, row), back);
        }
    }

    /// What waits of an account.
    pub(crate) fn of(&self, account: AccountId) -> HashMap<Row, Waiting> {
        let all = self.0.lock();
        let of_it = all.range((account, [0; 12])..=(account, [0xFF; 12]));
        of_it.filter(|(_, entry)| entry.changed).map(|((_, row), entry)| (*row, entry.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(account: u32, peer: &str, at_ms: i64) -> Ended<'_> {
        let result = SignInResult::Ok;
        let peer = peer.parse().unwrap();
        Ended { account: AccountId(account), service: Service::Imap, result, proof: None, peer, program: "", at_ms }
    }

    #[test]
    fn a_program_that_polls_is_written_at_once_and_then_every_ten_minutes() {
        let history = History::default();
        let mut written = 0;
        for minute in 0..60 {
            history.note(&ended(1, "192.0.2.1", minute * 60_000));
            written += history.due(minute * 60_000, false).len();
        }
        assert_eq!(written, 6, "not sixty");
        assert_eq!(history.due(60 * 60_000, true)[&AccountId(1)][0].1.count, 9, "what came since, at the end");
        assert!(history.due(60 * 60_000, true).is_empty());
        history.due(71 * 60_000, false);
        assert!(history.0.lock().is_empty(), "nothing stays in memory");
    }

    #[test]
    fn what_can_not_be_written_is_kept_and_what_comes_from_everywhere_is_bounded() {
        let history = History::default();
        history.note(&ended(1, "192.0.2.1", 5));
        let mut due = history.due(10, false);
        history.note(&ended(1, "192.0.2.1", 20));
        history.put_back(AccountId(1), due.remove(&AccountId(1)).unwrap());
        let again = history.due(30, false).remove(&AccountId(1)).unwrap();
        assert_eq!((again[0].1.count, again[0].1.first_ms, again[0].1.last_ms), (2, 5, 20));
        for number in 0..u32::try_from(MAX_WAITING).unwrap() + 1_000 {
            let peer = std::net::Ipv4Addr::from(number << 8).to_string();
            history.note(&ended(2, &peer, 40));
        }
        assert_eq!(history.0.lock().len(), MAX_WAITING + 1);
        let many = history.of(AccountId(2)).remove(&sign_in::row_of_many(40, SignInResult::Ok)).unwrap();
        assert_eq!((many.count, many.peer, many.service), (1_001, None, None));
    }

    #[test]
    fn a_code_that_comes_in_time_leaves_no_trace_of_its_absence() {
        let history = History::default();
        let web =
            |result, at_ms| Ended { service: Service::Web, result, program: "Firefox", ..ended(1, "192.0.2.1", at_ms) };
        history.note(&web(SignInResult::CodeMissing, 0));
        assert!(history.due(20_000, false).is_empty());
        history.note(&web(SignInResult::Ok, 30_000));
        assert_eq!(history.due(CODE_WITHIN_MS * 2, false)[&AccountId(1)].len(), 1);
        history.note(&web(SignInResult::CodeMissing, 0));
        let rows = &history.due(CODE_WITHIN_MS, false)[&AccountId(1)];
        assert_eq!(rows[0].1.result, SignInResult::CodeMissing, "nobody came back with a code");
    }
}
