//! How quick a large mailbox is: `cargo run --release -p mailstore --example mailbench [messages] [folder]`.
//!
//! Files messages from 50 tasks at once, each durable before the next of its task, then fills the mailbox up and
//! measures what lists, sessions and searches need. Prints one line a measure; the folder is made and removed, in the
//! current folder unless one is named.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mailstore::{
    FlagChange, Flags, MailStore, NewMessage, PageKey, Role, SearchOptions, SearchQuery, SearchScope, SystemFlag, Uid,
};
use store::{RealmId, Store, StoreOptions};

const ONE_BY_ONE: u32 = 20_000;
const TASKS: u32 = 50;

fn message(n: u32) -> Vec<u8> {
    // Every third message answers the one before it.
    let references = if n % 3 == 2 { format!("References: <{}@example.org>\r\n", n - 1) } else { String::new() };
    let subject = if n % 3 == 2 { format!("Re: Matter {}", n - 1) } else { format!("Matter {n}") };
    let body = "The quick brown fox jumps over the lazy dog, and what it says is worth a line or two. ".repeat(20);
    format!(
        "Received: from a.example.net by mx.example.org with ESMTPS id {n:x}; Mon, 23 Nov 2026 14:50:10 +0000\r\n\
         From: Writer {who} <writer{who}@example.net>\r\nTo: Reader <reader@example.org>\r\nSubject: {subject}\r\n\
         Date: Mon, 23 Nov 2026 14:50:10 +0000\r\nMessage-ID: <{n}@example.org>\r\n{references}\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nNumber {n}.\r\n{body}\r\n",
        who = n % 997,
    )
    .into_bytes()
}

fn new_message(mail: &MailStore, n: u32) -> NewMessage {
    let raw = message(n);
    NewMessage {
        body: mail.stage(&raw).expect("stage"),
        parsed: Arc::new(mailkit::parse(&raw)),
        flags: if n.is_multiple_of(5) { Flags::NONE } else { Flags::of(&[SystemFlag::Seen]) },
        internal_date_ms: 1_700_000_000_000 + i64::from(n) * 60_000,
        delivery_key: Some(format!("bench {n}").into_bytes()),
        ignore_quota: false,
    }
}

fn told(what: &str, took: Duration, count: u32) {
    let each = took.as_secs_f64() * 1e6 / f64::from(count.max(1));
    println!("{what:<58} {:>10.2} ms  {each:>10.1} us each", took.as_secs_f64() * 1e3);
}

/// The middle one of several runs.
fn measured<T>(what: &str, mut run: impl FnMut() -> T) -> T {
    let mut times = Vec::new();
    let mut result = None;
    for _ in 0..9 {
        let start = Instant::now();
        result = Some(run());
        times.push(start.elapsed());
    }
    times.sort();
    println!(
        "{what:<58} {:>10.3} ms  (worst of 9: {:.3} ms)",
        times[4].as_secs_f64() * 1e3,
        times[8].as_secs_f64() * 1e3
    );
    result.expect("it ran")
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let total: u32 = args.next().map_or(100_000, |n| n.parse().expect("a number of messages"));
    let parent = args.next().unwrap_or_else(|| ".".into());
    let dir = tempfile::tempdir_in(parent).expect("folder");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("open");
    let mail = MailStore::new(store.clone());
    let account = RealmId::account(1);
    mail.create_standard_mailboxes(account).await.expect("mailboxes");
    let inbox = mail.mailbox_by_role(account, Role::Inbox).expect("read").expect("inbox").id;

    let next = Arc::new(AtomicU32::new(0));
    let first = ONE_BY_ONE.min(total);
    let start = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (mail, next) = (mail.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= first {
                        break;
                    }
                    mail.append(account, inbox, new_message(&mail, n)).await.expect("append");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("task");
    }
    let took = start.elapsed();
    told(&format!("append {first}, {TASKS} at once, each durable"), took, first);
    println!("{:<58} {:>10.0} messages/s", "", f64::from(first) / took.as_secs_f64());

    let start = Instant::now();
    for from in (first..total).step_by(100) {
        let batch: Vec<_> = (from..total.min(from + 100)).map(|n| new_message(&mail, n)).collect();
        let this = mail.clone();
        let filed: mailstore::Result<()> = store
            .transact(move |tx| batch.iter().try_for_each(|m| this.append_in(tx, account, inbox, m).map(drop)))
            .await;
        filed.expect("append");
    }
    told(&format!("append {} more, 100 a commit", total - first), start.elapsed(), total - first);

    let page =
        measured("first page of 50 conversations", || mail.conversations(account, inbox, None, 50).expect("page"));
    println!("{:<58} {:>10} rows", "", page.rows.len());
    let middle = &mail.conversations(account, inbox, None, 1).expect("page").rows[0];
    let key = PageKey { date_ms: middle.newest_ms - i64::from(total / 2) * 60_000, thread: middle.thread_id };
    measured("a page of 50 in the middle", || mail.conversations(account, inbox, Some(key), 50).expect("page"));
    measured("the page before it", || mail.conversations_before(account, inbox, key, 50).expect("page"));
    measured("one conversation with its messages", || mail.thread(account, middle.thread_id).expect("thread"));
    measured("all mailboxes with counts", || mail.mailboxes(account).expect("mailboxes"));

    let view = measured("first view of the mailbox", || mail.view(account, inbox).expect("view"));
    println!("{:<58} {:>10} bytes", "", view.memory_bytes());
    let uids: Vec<Uid> = view.uids().iter().copied().take(20_000).collect();
    measured("entries of 20,000 messages", || mail.entries(account, inbox, &uids).expect("entries"));
    measured("rows with envelopes of 20,000 messages, by 500", || {
        uids.chunks(500).map(|uids| mail.rows(account, inbox, uids).expect("rows").len()).sum::<usize>()
    });
    let rows = mail.rows(account, inbox, &uids[..uids.len().min(5_000)]).expect("rows");
    measured("headers of 5,000 messages from their bodies", || {
        let header = |row: &mailstore::MessageRow| {
            let end = usize::try_from(row.parsed.root.body_start).expect("small");
            mail.body_of(&row.body).expect("body").read_range(0, end).expect("header").len()
        };
        rows.iter().map(header).sum::<usize>()
    });
    let start = Instant::now();
    let flagged = FlagChange::Add(Flags::of(&[SystemFlag::Flagged]));
    mail.set_flags(account, inbox, &uids, flagged, None).await.expect("flags");
    told("flag 20,000 messages", start.elapsed(), uids.len() as u32);
    let start = Instant::now();
    let newer = mail.view(account, inbox).expect("view");
    told("bring the view up to date", start.elapsed(), 1);
    measured("compare the two views", || view.diff(&newer));

    let everywhere = SearchScope::Everywhere;
    let options = SearchOptions { limit: Some(50), ..SearchOptions::default() };
    let text = |text: &str| SearchQuery::Text(text.into());
    measured("search: unread", || {
        let unread = SearchQuery::Not(Box::new(SearchQuery::Flag(SystemFlag::Seen)));
        mail.search(account, &everywhere, &unread, options).expect("search").len()
    });
    let some = SearchOptions { max_visited: Some(5_000), ..options };
    let rare = SearchQuery::Subject("no such subject".into());
    measured("search: subject not found, 5,000 messages", || {
        mail.search(account, &everywhere, &rare, some).expect("search").len()
    });
    measured("search: text not found, 5,000 messages", || {
        mail.search(account, &everywhere, &text("no such text"), some).expect("search").len()
    });
    measured("search: text found in all, 50 hits", || {
        mail.search(account, &everywhere, &text("lazy dog"), options).expect("search").len()
    });

    let archive = mail.mailbox_by_role(account, Role::Archive).expect("read").expect("archive").id;
    let start = Instant::now();
    mail.move_(account, inbox, &uids, archive).await.expect("move");
    told("move 20,000 messages", start.elapsed(), uids.len() as u32);
    let start = Instant::now();
    let findings = mailstore::invariants::check_account(&store.snapshot(), account).expect("check");
    told("check all invariants", start.elapsed(), total);
    assert!(findings.is_empty(), "{findings:#?}");
    store.close();
}
