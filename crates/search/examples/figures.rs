//! Figures of the search index: how quickly it is built, how large it is, how long searches take with it and without.
//!
//! `cargo run --release -p search --example figures -- [MESSAGES] [FOLDER]`

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mailstore::{Flags, Folding, MailPart, MailStore, NewMessage, Role, SearchOptions, SearchQuery as Q, SearchScope};
use realm::{Parts, feed::FeedPart};
use search::{Followed, Index};
use store::{RealmId, Store, StoreOptions};

/// Words of the made-up language.
const WORDS: u64 = 30_000;
/// Messages appended together.
const TOGETHER: u64 = 400;

/// A small generator of numbers, the same in each run.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    /// A word; few of them are most of the text.
    fn word(&mut self) -> String {
        let fraction = self.next(1 << 20) as f64 / f64::from(1 << 20);
        let rank = (WORDS as f64).powf(fraction) as u64;
        let syllables = ["ka", "mer", "to", "lin", "sa", "vor", "dex", "ul", "pri", "no", "gat", "hem"];
        let (mut word, mut left) = (String::new(), rank);
        loop {
            word.push_str(syllables[(left % 12) as usize]);
            left /= 12;
            if left == 0 {
                return word;
            }
        }
    }
}

fn message(dice: &mut Dice, n: u64) -> Vec<u8> {
    let mut text = |words: u64| (0..words).map(|_| dice.word()).collect::<Vec<_>>().join(" ");
    let (subject, first, second, third) = (text(6), text(60), text(60), text(40));
    format!(
        "Received: from mx{}.example.net (mx.example.net [192.0.2.{}]) by mail.test.example with ESMTPS id Q{n:x}\r\n\
         From: Person {} <person{}@example.org>\r\nTo: ann@test.example\r\nSubject: {subject}\r\n\
         Date: Mon, 23 Nov 2026 14:50:10 +0000\r\nMessage-ID: <{n}.{:x}@example.org>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n{first}\r\n\r\n{second}\r\n\r\n{third} number{n}\r\n",
        n % 9,
        n % 250,
        n % 997,
        n % 997,
        n.wrapping_mul(0x9E37_79B9_7F4A_7C15),
    )
    .into_bytes()
}

fn fill(mail: &MailStore, account: RealmId, messages: u64) -> Result<u64, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(mail.create_standard_mailboxes(account))?;
    let inbox = mail.mailbox_by_role(account, Role::Inbox)?.ok_or("no INBOX")?.id;
    let (mut dice, mut bytes) = (Dice(1), 0);
    for from in (0..messages).step_by(TOGETHER as usize) {
        let mut all = Vec::new();
        for n in from..messages.min(from + TOGETHER) {
            let raw = message(&mut dice, n);
            bytes += raw.len() as u64;
            all.push(NewMessage {
                body: mail.stage(&raw)?,
                parsed: Arc::new(mailkit::parse(&raw)),
                flags: Flags::NONE,
                internal_date_ms: 1_795_445_410_000 + n as i64 * 1_000,
                delivery_key: None,
                ignore_quota: false,
            });
        }
        runtime.block_on(mail.append_all(account, inbox, all))?;
    }
    Ok(bytes)
}

/// How long this thread has had a processor: what others do on the machine is not in it.
fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default())
}

/// The quickest of some runs: what others do on the machine is least in it.
fn quickest(runs: usize, mut run: impl FnMut() -> usize) -> (Duration, usize) {
    let (mut found, mut least) = (0, Duration::MAX);
    for _ in 0..runs {
        let began = Instant::now();
        found = run();
        least = least.min(began.elapsed());
    }
    (least, found)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let messages: u64 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let dir = arguments.next().map_or_else(|| std::env::temp_dir().join("search-figures"), PathBuf::from);
    let derive = Parts::new(&[&MailPart, &FeedPart]).derive();
    let store = Store::open(&dir, StoreOptions { derive: Some(derive), ..StoreOptions::default() })?;
    let (mail, plain) = (MailStore::new(store.clone()), MailStore::new(store.clone()));
    let account = RealmId::account(1);
    let bytes = fill(&mail, account, messages)?;
    let index = Index::new(store);
    mail.narrow_by(index.clone());
    let (began, on_cpu_before) = (Instant::now(), on_cpu());
    while index.step(account, 1)? == Followed::More {}
    let (took, busy) = (began.elapsed(), on_cpu().saturating_sub(on_cpu_before));
    let measure = index.measure(account)?.ok_or("no index")?;
    println!("built in {took:.1?}, {busy:.1?} of a processor: {:.0} messages/s", messages as f64 / busy.as_secs_f64());
    println!("{measure:?}: {:.1} % of {bytes} bytes of mail", measure.bytes as f64 * 100.0 / bytes as f64);
    let inbox = mail.mailbox_by_role(account, Role::Inbox)?.ok_or("no INBOX")?.id;
    let last = format!("number{}", messages - 1);
    for (name, query) in [
        ("a word that is nowhere", Q::Text("nowhere".into())),
        ("a word in one message", Q::Text(last)),
        ("a rare word", Q::Text("gatvorhem".into())),
        ("a common word", Q::Text("mer".into())),
        ("two words", Q::And(vec![Q::Text("lindex".into()), Q::Text("novor".into())])),
        ("a subject that is nowhere", Q::Subject("nowhere".into())),
        ("a sender", Q::From("person77@".into())),
    ] {
        let find = |mail: &MailStore, limit| {
            let options = SearchOptions { limit: Some(limit), folding: Folding::Loose, ..SearchOptions::default() };
            mail.search(account, &SearchScope::Mail, &query, options).map_or(0, |all| all.len())
        };
        let (page, _) = quickest(15, || find(&mail, 50));
        let (with, found) = quickest(15, || find(&mail, 500));
        let (without, same) = quickest(1, || find(&plain, 500));
        let uids = |mail: &MailStore| mail.search_uids(account, inbox, &query, None).map_or(0, |all| all.hits.len());
        let (imap, all) = quickest(5, || uids(&mail));
        println!(
            "{name}: the newest 50 {page:.1?}, 500 {with:.1?} ({found} found), without the index {without:.1?} ({same}), IMAP {imap:.1?} ({all})"
        );
    }
    Ok(())
}
