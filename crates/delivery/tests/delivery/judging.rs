//! Promises about judges: what they decide is done for each recipient, told to the client, and kept with the message;
//! what goes wrong with them loses no mail.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use delivery::{
    Case, DeliveryError, DeliveryOptions, Fallback, FileInto, Hearing, Judge, JudgeError, RecipientOutcome, Refusal,
    Spooled, Submission, Verdict,
};
use directory::AccountId;
use mailstore::{Flags, MailboxName, Role};
use parking_lot::Mutex;
use store::BodyId;

use crate::world::{MESSAGE, World, envelope, options, submission};

/// What a judge does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Conduct {
    /// States what it was told to.
    Decides,
    /// Never comes to an end.
    Hesitates,
    /// Holds its thread until the test is over.
    Blocks,
    Fails,
    Panics,
    PanicsAtFirst,
    PanicsAtBytes,
    /// Forgets a recipient.
    Miscounts,
    /// Wants more header than fits.
    Overdoes,
    /// Refuses with codes that contradict each other.
    Contradicts,
    /// Has nothing to say.
    Abstains,
}

type Plan = dyn Fn(&Case, usize, &[Verdict]) -> Verdict + Send + Sync;

struct Scripted {
    name: &'static str,
    conduct: Arc<Mutex<Conduct>>,
    fallback: Fallback,
    plan: Arc<Plan>,
    /// The bytes that came while the last message did.
    seen: Arc<Mutex<Vec<u8>>>,
    /// Comes to an end when the test lets go of the other side.
    block: Arc<Mutex<Option<mpsc::Receiver<()>>>>,
}

impl Scripted {
    fn new(name: &'static str, plan: impl Fn(&Case, usize, &[Verdict]) -> Verdict + Send + Sync + 'static) -> Self {
        Self {
            name,
            conduct: Arc::new(Mutex::new(Conduct::Decides)),
            fallback: Fallback::Accept,
            plan: Arc::new(plan),
            seen: Arc::default(),
            block: Arc::default(),
        }
    }

    /// What each recipient's local part asks for.
    fn by_address(kinds: impl Fn(&str) -> Kind + Send + Sync + 'static) -> Self {
        Self::new("table", move |case, index, _| kinds(&case.envelope.recipients[index].address.to_string()).verdict())
    }

    fn who(conduct: Conduct, fallback: Fallback) -> Self {
        let conduct = Arc::new(Mutex::new(conduct));
        Self { conduct, fallback, ..Self::new("odd", |_, _, _| Verdict::file(FileInto::Role(Role::Archive))) }
    }
}

struct Heard {
    conduct: Conduct,
    case: Arc<Case>,
    plan: Arc<Plan>,
    seen: Arc<Mutex<Vec<u8>>>,
    block: Arc<Mutex<Option<mpsc::Receiver<()>>>>,
}

impl Judge for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn fallback(&self) -> Fallback {
        self.fallback
    }

    fn begin(&self, case: &Arc<Case>) -> Option<Box<dyn Hearing>> {
        let conduct = *self.conduct.lock();
        match conduct {
            Conduct::Abstains => return None,
            Conduct::PanicsAtFirst => panic!("as told"),
            _ => {}
        }
        self.seen.lock().clear();
        let (plan, seen, block) = (self.plan.clone(), self.seen.clone(), self.block.clone());
        Some(Box::new(Heard { conduct, case: case.clone(), plan, seen, block }))
    }
}

#[async_trait::async_trait]
impl Hearing for Heard {
    fn bytes(&mut self, bytes: &[u8]) {
        assert_ne!(self.conduct, Conduct::PanicsAtBytes);
        self.seen.lock().extend_from_slice(bytes);
    }

    async fn verdicts(self: Box<Self>, message: &Spooled, so_far: &[Verdict]) -> Result<Vec<Verdict>, JudgeError> {
        let count = self.case.envelope.recipients.len();
        assert_eq!((so_far.len(), self.case.accounts.len()), (count, count));
        let (copy, seen) = (message.clone(), self.seen.clone());
        let read = tokio::task::spawn_blocking(move || copy.read_all().unwrap()).await.unwrap();
        assert_eq!(read, seen.lock()[..], "what came is what there is");
        let mut all: Vec<Verdict> = (0..count).map(|index| (self.plan)(&self.case, index, so_far)).collect();
        match self.conduct {
            Conduct::Hesitates => std::future::pending::<()>().await,
            Conduct::Blocks => {
                let block = self.block.lock().take().unwrap();
                assert!(block.recv().is_err());
            }
            Conduct::Fails => return Err(JudgeError("as told".to_owned())),
            Conduct::Panics => panic!("as told"),
            Conduct::Miscounts => drop(all.pop()),
            Conduct::Overdoes => {
                for _ in 0..100 {
                    all[0].add_header("X-Much", &"x".repeat(900)).unwrap();
                }
            }
            Conduct::Contradicts => all[0].refusal = Some(Refusal::new(250, (5, 0, 0), "no")),
            _ => {}
        }
        Ok(all)
    }
}

/// What is decided about a recipient.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Nothing,
    Junk,
    Named,
    NoSuchName,
    Marked,
    Never,
    Later,
}

const KINDS: [Kind; 7] =
    [Kind::Nothing, Kind::Junk, Kind::Named, Kind::NoSuchName, Kind::Marked, Kind::Never, Kind::Later];

impl Kind {
    fn verdict(self) -> Verdict {
        let name = |name| FileInto::Named(MailboxName::new(name).unwrap());
        match self {
            Self::Nothing => Verdict::default(),
            Self::Junk => Verdict::file(FileInto::Role(Role::Junk)).because("7.1 points"),
            Self::Named => Verdict::file(name("Lists/Rust")),
            Self::NoSuchName => Verdict::file(name("Nowhere")),
            Self::Marked => {
                let mut verdict = Verdict::default();
                verdict.flags = Flags::parse(["\\Seen", "$Important"]).unwrap();
                verdict.add_header("Authentication-Results", "mx.here.example;\r\n\tspf=pass").unwrap();
                verdict.add_header("X-Spam-Score", "0.1").unwrap();
                verdict
            }
            Self::Never => Verdict::refuse(Refusal::new(550, (5, 7, 1), "Message rejected: spam")),
            Self::Later => Verdict::refuse(Refusal::new(451, (4, 7, 1), "Greylisted, try again later")),
        }
    }

    fn is_refusal(self) -> bool {
        matches!(self, Self::Never | Self::Later)
    }

    /// Where a copy that is taken ends up.
    fn mailbox(self) -> &'static str {
        match self {
            Self::Junk | Self::Never => "Junk",
            Self::Named => "Lists/Rust",
            _ => "INBOX",
        }
    }
}

/// A message as it is filed: its mailbox, its flags, its bytes.
#[derive(Clone, Debug)]
struct Filed {
    mailbox: String,
    flags: Vec<String>,
    text: String,
}

/// What an account has of the message with that subject.
fn filed(world: &World, account: AccountId, subject: &str) -> Vec<Filed> {
    let (realm, mark) = (account.realm(), format!("Subject: {subject}\r\n"));
    let mut found = Vec::new();
    for mailbox in world.mail.mailboxes(realm).unwrap() {
        let uids = world.mail.view(realm, mailbox.id).unwrap().uids().to_vec();
        for row in world.mail.rows(realm, mailbox.id, &uids).unwrap() {
            let bytes = world.mail.body_of(&row.body).unwrap().read_all().unwrap();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            if text.contains(&mark) {
                assert_eq!(*row.parsed, mailkit::parse(text.as_bytes()), "what is stored was parsed of all of it");
                let flags = row.flags.names().map(ToOwned::to_owned).collect();
                found.push(Filed { mailbox: mailbox.name.to_string(), flags, text });
            }
        }
    }
    found
}

fn message(subject: &str) -> Vec<u8> {
    format!("From: x@far.example\r\nSubject: {subject}\r\n\r\nHello\r\n").into_bytes()
}

async fn judged(judges: Vec<Scripted>) -> World {
    let options = DeliveryOptions { verdict_time: Duration::from_secs(30), ..options(None) };
    judged_within(options, judges).await
}

async fn judged_within(options: DeliveryOptions, judges: Vec<Scripted>) -> World {
    let judges = judges.into_iter().map(|judge| Arc::new(judge) as Arc<dyn Judge>).collect();
    let world = World::stopped(options.clone()).await.with_judges(options, judges);
    for account in [world.alice, world.bob] {
        world.mail.create_standard_mailboxes(account.realm()).await.unwrap();
        let name = MailboxName::new("Lists/Rust").unwrap();
        world.mail.create_mailbox(account.realm(), name, None).await.unwrap();
    }
    world
}

fn code(error: &DeliveryError) -> (u16, (u8, u16, u16)) {
    let refusal = error.refusal();
    (refusal.code, refusal.enhanced)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_recipient_gets_what_was_decided_about_it_by_smtp_and_by_lmtp() {
    let plan = Arc::new(Mutex::new([Kind::Nothing; 2]));
    let told = plan.clone();
    let by_address = move |address: &str| told.lock()[usize::from(address.starts_with("bob"))];
    let world = judged(vec![Scripted::by_address(by_address)]).await;
    let accounts = [world.alice, world.bob];
    let mut number = 0;
    for first in KINDS {
        for second in KINDS {
            for lmtp in [false, true] {
                number += 1;
                *plan.lock() = [first, second];
                let subject = format!("case {number}");
                let mut to = envelope("x@far.example", &["alice@here.example", "bob@here.example"], None);
                to.origin.lmtp = lmtp;
                let fresh = message(&subject);
                let said = world.delivery.accept(to, &fresh).await;
                let kinds = [first, second];
                let what = format!("{kinds:?}, {}", if lmtp { "LMTP" } else { "SMTP" });
                let none = kinds.iter().all(|kind| kind.is_refusal());
                match said {
                    Err(error) => {
                        assert!(none && !lmtp, "{what}: {error}");
                        let later = kinds.contains(&Kind::Later);
                        assert_eq!(code(&error), if later { (451, (4, 7, 1)) } else { (550, (5, 7, 1)) }, "{what}");
                    }
                    Ok(accepted) => {
                        assert!(lmtp || !none, "{what}");
                        for (index, kind) in kinds.into_iter().enumerate() {
                            let expected = match kind.verdict().refusal {
                                Some(refusal) if lmtp => RecipientOutcome::Refused(refusal),
                                _ => RecipientOutcome::Filed(accounts[index]),
                            };
                            assert_eq!(accepted.recipients[index], expected, "{what}");
                        }
                    }
                }
                for (account, kind) in accounts.into_iter().zip(kinds) {
                    let copies = filed(&world, account, &subject);
                    if none || (lmtp && kind.is_refusal()) {
                        assert!(copies.is_empty(), "{what}: {copies:?}");
                        continue;
                    }
                    assert_eq!(copies.len(), 1, "{what}");
                    check_copy(&copies[0], kind, &fresh);
                }
            }
        }
    }
    assert_eq!(world.stats().messages, 0);
    world.check();
}

fn check_copy(copy: &Filed, kind: Kind, message: &[u8]) {
    assert_eq!(copy.mailbox, kind.mailbox(), "{kind:?}");
    assert!(copy.text.starts_with("Return-Path: <x@far.example>\r\n"), "{}", copy.text);
    assert!(copy.text.as_bytes().ends_with(message), "{}", copy.text);
    let above = &copy.text[..copy.text.len() - message.len()];
    assert!(above.contains("\r\nReceived: from client.example"), "{above}");
    let results = "\r\nAuthentication-Results: mx.here.example;\r\n\tspf=pass\r\nX-Spam-Score: 0.1\r\nReceived: ";
    assert_eq!(above.contains(results), kind == Kind::Marked, "{above}");
    assert_eq!(copy.flags.len(), if kind == Kind::Marked { 2 } else { 0 }, "{:?}", copy.flags);
    let refused = match kind {
        Kind::Never => "X-Holdfast-Refused: 550 5.7.1 Message rejected: spam\r\n",
        Kind::Later => "X-Holdfast-Refused: 451 4.7.1 Greylisted, try again later\r\n",
        _ => "",
    };
    assert!(above.contains(refused), "{above}");
    assert_eq!(above.contains("X-Holdfast-Refused"), kind.is_refusal(), "{above}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_that_goes_wrong_in_any_way_loses_no_mail_and_stops_no_other_judge() {
    let conducts = [
        Conduct::Hesitates,
        Conduct::Blocks,
        Conduct::Fails,
        Conduct::Panics,
        Conduct::PanicsAtFirst,
        Conduct::PanicsAtBytes,
        Conduct::Miscounts,
        Conduct::Overdoes,
        Conduct::Contradicts,
    ];
    for fallback in [Fallback::Accept, Fallback::Defer] {
        let odd = Scripted::who(Conduct::Decides, fallback);
        let (told, block) = (odd.conduct.clone(), odd.block.clone());
        let last = Scripted::new("last", |_, _, _| Kind::Marked.verdict());
        // The odd judge may take half of it; what the last one says is not looked at, however busy the machine is.
        let limits = DeliveryOptions { verdict_time: Duration::from_secs(1), ..options(None) };
        let world = judged_within(limits, vec![odd, last]).await;
        for conduct in conducts {
            *told.lock() = conduct;
            let (go_on, blocked) = mpsc::channel();
            *block.lock() = Some(blocked);
            let (what, subject) = (format!("{conduct:?} {fallback:?}"), format!("{conduct:?}"));
            let to = envelope("x@far.example", &["alice@here.example", "bob@here.example"], None);
            let said = world.delivery.accept(to, &message(&subject)).await;
            drop(go_on);
            let copies = [filed(&world, world.alice, &subject), filed(&world, world.bob, &subject)].concat();
            match fallback {
                Fallback::Accept => {
                    assert_eq!(said.unwrap().recipients.len(), 2, "{what}");
                    assert_eq!(copies.len(), 2, "{what}");
                    assert!(copies.iter().all(|copy| copy.mailbox == "INBOX"), "{what}");
                }
                Fallback::Defer => {
                    assert_eq!(code(&said.unwrap_err()), (451, (4, 3, 0)), "{what}");
                    assert!(copies.is_empty(), "{what}");
                }
            }
        }
        world.check();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn judges_are_asked_in_their_order_and_know_what_was_decided_before() {
    let first = Scripted::new("spam", |case, _, so_far| {
        assert!(so_far.iter().all(Verdict::is_nothing));
        assert_eq!(case.envelope.origin.helo.as_deref(), Some("client.example"));
        assert!(case.accounts.iter().all(Option::is_some));
        Kind::Junk.verdict()
    });
    let silent = Scripted::who(Conduct::Abstains, Fallback::Defer);
    let second = Scripted::new("rules", |_, index, so_far| {
        assert_eq!(so_far[index].mailbox, Some(FileInto::Role(Role::Junk)));
        assert_eq!(so_far[index].reason, "spam: 7.1 points");
        if index == 0 { Kind::Named.verdict() } else { Kind::Marked.verdict() }
    });
    let world = judged(vec![first, silent, second]).await;
    let to = envelope("x@far.example", &["alice@here.example", "bob@here.example"], None);
    world.delivery.accept(to, &message("order")).await.unwrap();
    assert_eq!(filed(&world, world.alice, "order")[0].mailbox, "Lists/Rust", "the last word counts");
    let bobs = &filed(&world, world.bob, "order")[0];
    assert_eq!((bobs.mailbox.as_str(), bobs.flags.len()), ("Junk", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_works_while_a_large_message_comes_and_reads_it_without_holding_it() {
    let (sizes, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let told = asked.clone();
    let judge = Scripted::new("early", move |_, _, _| {
        told.fetch_add(1, Ordering::SeqCst);
        Verdict::default()
    });
    let seen = judge.seen.clone();
    let world = judged(vec![judge]).await;
    let large = [message("large"), b"0123456789 abcdefghijklmnopqrstuvwxyz\r\n".repeat(60_000)].concat();
    let mut incoming = world.delivery.incoming(envelope("x@far.example", &["bob@here.example"], None)).unwrap();
    for piece in large.chunks(100_000) {
        incoming.write_all(piece).unwrap();
        let now = seen.lock().len();
        assert!(now > sizes.swap(now, Ordering::SeqCst), "it is shown what has come");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    incoming.finish().await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(seen.lock()[..], large);
    assert!(filed(&world, world.bob, "large")[0].text.as_bytes().ends_with(&large));
    assert_eq!(world.store.body(&BodyId::of(&large)).unwrap().len(), large.len() as u64, "the body is what came");
}

#[tokio::test(flavor = "multi_thread")]
async fn someone_signed_in_gets_a_report_about_whom_it_was_refused_for() {
    let by_address = |address: &str| match address {
        "bob@here.example" => Kind::Never,
        "someone@far.example" => Kind::Never,
        _ => Kind::Junk,
    };
    let mut world = judged(vec![Scripted::by_address(by_address)]).await;
    world.start();
    let to = ["alice@here.example", "bob@here.example", "someone@far.example"];
    let accepted =
        world.delivery.accept(envelope("alice@here.example", &to, Some(world.alice)), MESSAGE).await.unwrap();
    assert_eq!(accepted.recipients[0], RecipientOutcome::Filed(world.alice));
    assert_eq!(accepted.recipients[1..], [RecipientOutcome::Queued, RecipientOutcome::Queued]);
    let reports = world.until_inbox_has(world.alice, 1).await;
    assert!(reports.iter().all(|report| report.contains("5.7.1") && report.contains("Message rejected: spam")));
    world.until_queue_is_empty().await;
    let all = world.inbox(world.alice).concat();
    for refused in ["bob@here.example", "someone@far.example"] {
        assert!(all.contains(&format!("Final-Recipient: rfc822;{refused}")), "{all}");
    }
    assert_eq!(world.mailbox(world.alice, Role::Junk).len(), 1);
    assert!(world.inbox(world.bob).is_empty() && world.mailbox(world.bob, Role::Junk).is_empty());
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_from_the_web_is_judged_too_and_a_held_message_keeps_its_verdict() {
    let never = Arc::new(Mutex::new(Kind::Never));
    let kind = never.clone();
    let mut world = judged(vec![Scripted::by_address(move |_| *kind.lock())]).await;
    let refused = world.delivery.submit(submission(&world, b"one", &["bob@here.example"])).await.unwrap_err();
    assert_eq!(code(&refused), (550, (5, 7, 1)));
    assert!(world.delivery.receipt(world.alice, b"one").unwrap().is_none(), "the key is free");
    assert!(world.mailbox(world.alice, Role::Sent).is_empty());
    *never.lock() = Kind::Marked;
    let held = Submission { hold: Duration::from_millis(10), ..submission(&world, b"one", &["bob@here.example"]) };
    world.delivery.submit(held).await.unwrap();
    world.start();
    world.until_inbox_has(world.bob, 1).await;
    let copy = &filed(&world, world.bob, "Hello")[0];
    assert_eq!(copy.flags.len(), 2);
    assert!(copy.text.contains("X-Spam-Score: 0.1\r\nReceived: from webmail"), "{}", copy.text);
    world.until_queue_is_empty().await;
    let sent = world.mailbox(world.alice, Role::Sent);
    assert_eq!(sent[0].as_bytes(), MESSAGE, "the copy in Sent is the body that was filed, and nothing more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_waits_in_the_queue_is_filed_by_its_verdict_and_the_queue_names_it() {
    let options = options(None);
    let world = judged_within(options.clone(), vec![Scripted::by_address(|_| Kind::Junk)]).await;
    world.directory.set_quota(world.bob, 2_000).await.unwrap();
    let big = [message("waits"), b"x".repeat(3_000)].concat();
    let to = envelope("x@far.example", &["bob@here.example", "alice@here.example"], None);
    let accepted = world.delivery.accept(to, &big).await.unwrap();
    assert_eq!(accepted.recipients, [RecipientOutcome::Queued, RecipientOutcome::Filed(world.alice)]);
    assert_eq!(world.only_queued().recipients[0].verdict.as_deref(), Some("Junk (table: 7.1 points)"));
    // The judges are not asked again: after the crash there are none.
    let mut world = world.crash_and_return(options).await;
    world.directory.set_quota(world.bob, 0).await.unwrap();
    world.start();
    world.until_queue_is_empty().await;
    let copies = filed(&world, world.bob, "waits");
    assert_eq!((copies.len(), copies[0].mailbox.as_str()), (1, "Junk"));
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_copies_share_one_body() {
    let world =
        judged(vec![Scripted::by_address(
            |address| {
                if address.starts_with("bob") { Kind::Marked } else { Kind::Nothing }
            },
        )])
        .await;
    let to = ["alice@here.example", "bob@here.example"];
    let sent = Submission { keep_copy: true, ..submission(&world, b"one", &to) };
    world.delivery.submit(sent).await.unwrap();
    let copies = [filed(&world, world.alice, "Hello"), filed(&world, world.bob, "Hello")].concat();
    assert_eq!(copies.len(), 3);
    for copy in copies {
        assert!(copy.text.as_bytes().ends_with(MESSAGE));
        let whole = BodyId::of(copy.text.as_bytes());
        assert_eq!(world.store.body(&whole).is_ok(), copy.text.as_bytes() == MESSAGE, "only the body is kept");
    }
}
