//! Development tasks. `cargo xtask test` is the one command that checks everything, on a machine with git and a Rust
//! toolchain and nothing else; it installs what the tests need and says so when it can't.

mod bench;
mod dist;
mod install;
mod licences;
mod proofs;
mod run;
mod spam_score;
mod steps;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test [STEP …]   every check and test, or only the named steps:
                            tidy fmt clippy licences tests browser fuzz readme dist
cargo xtask tidy            the rules of the house: arrows between crates, rings of files, lengths
cargo xtask fuzz [SECONDS]  every fuzz target for SECONDS each (default 60)
cargo xtask proofs [--night]
                            what must survive, with real processes, and a table of what was lost
                            (--night: 100 rounds of each soak, 5,000 logins at once; about an hour)
cargo xtask dist [BINARY]   a stripped binary, a Debian package and an OCI image in target/dist, each tried
                            (of BINARY; without it, of a release build)
cargo xtask bench [--rounds N] [--quick] [PART …]
                            Holdfast beside Postfix and Dovecot on this machine, as tables; parts:
                            deliver source imap web disk idle
cargo xtask bench drain [--messages N] [--binary PATH] [--port FIRST]
                            a relay takes mail while the primary is dark, and the backlog drains (default 20,000)
cargo xtask spam-score      the spam filter on the SpamAssassin corpus, beside bogofilter, as a table
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test", only @ ..] => steps::test(only),
        ["dist"] => dist::dist(None),
        ["dist", binary] => dist::dist(Some(binary.as_ref())),
        ["bench", args @ ..] => bench::bench(args),
        ["spam-score"] => spam_score::spam_score(),
        ["proofs", args @ ..] => proofs::proofs(args),
        ["tidy"] => tidy::check(),
        ["fuzz"] => steps::fuzz(60),
        ["fuzz", seconds] => match seconds.parse() {
            Ok(seconds) => steps::fuzz(seconds),
            Err(_) => return usage(),
        },
        _ => return usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprint!("{USAGE}");
    ExitCode::from(2)
}
