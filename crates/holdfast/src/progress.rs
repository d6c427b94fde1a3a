//! Long work on a terminal: a bar there, plain lines elsewhere.

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Reply;

/// The interval of plain progress lines without a terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Shows a command's lines and its progress.
#[derive(Default)]
pub struct Terminal {
    /// Programs read the output: only results are shown.
    json: bool,
    bar: Option<(String, ProgressBar)>,
    last_plain: Option<Instant>,
}

impl Terminal {
    /// For programs, or for people.
    pub fn new(json: bool) -> Self {
        Self { json, ..Self::default() }
    }

    /// Shows one line of a command.
    pub fn show(&mut self, reply: Reply) {
        match reply {
            Reply::Out(text) => self.out(&text),
            Reply::Waits(_) | Reply::Progress { .. } if self.json => {}
            Reply::Waits(text) => self.note(&text),
            Reply::Progress { what, done, total } => self.progress(&what, done, total),
            Reply::Done(_) => {}
        }
    }

    /// A line for standard output, above the bar.
    pub fn out(&mut self, text: &str) {
        let print = || {
            // A closed pipe (`| head`) is the reader's choice, not an error.
            let _ = writeln!(std::io::stdout(), "{}", coloured(text));
        };
        match &self.bar {
            Some((_, bar)) => bar.suspend(print),
            None => print(),
        }
    }

    /// A line above the bar that is not part of the command's output.
    fn note(&self, text: &str) {
        let print = || eprintln!("{text}");
        match &self.bar {
            Some((_, bar)) => bar.suspend(print),
            None => print(),
        }
    }

    /// How far the work is; `total` 0 is not known.
    pub fn progress(&mut self, what: &str, done: u64, total: u64) {
        if !std::io::stderr().is_terminal() {
            // Short work needs no word.
            if self.last_plain.get_or_insert_with(Instant::now).elapsed() >= PLAIN_INTERVAL {
                self.last_plain = Some(Instant::now());
                match (done * 100).checked_div(total) {
                    Some(percent) => eprintln!("{what}: {done} of {total} ({percent} %)"),
                    None => eprintln!("{what}: {done}"),
                }
            }
            return;
        }
        if self.bar.as_ref().is_none_or(|(current, _)| current != what) {
            self.finish();
            self.bar = Some((what.to_owned(), new_bar(what, total)));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    /// Takes the bar away.
    pub fn finish(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// How lines begin that need a person.
const NEEDS_A_PERSON: [&str; 8] =
    ["ALARM: ", "FAILED: ", "PROBLEM: ", "WARNING: ", "warning: ", "  STOPPED ", "  WAITING ", "  archive      none: "];
const BOLD_RED: &str = "\u{1b}[1;31m";
const PLAIN: &str = "\u{1b}[0m";

/// A line as a terminal shows it: red where it needs a person. Files, pipes and those who ask for no colours get the text
/// alone.
fn coloured(text: &str) -> std::borrow::Cow<'_, str> {
    let terminal = std::env::var_os("TERM").is_some_and(|name| name != "dumb");
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let may = terminal && !refused && std::io::stdout().is_terminal();
    paint(text, may)
}

fn paint(text: &str, may: bool) -> std::borrow::Cow<'_, str> {
    if may && NEEDS_A_PERSON.iter().any(|mark| text.starts_with(mark)) {
        return format!("{BOLD_RED}{text}{PLAIN}").into();
    }
    text.into()
}

fn new_bar(what: &str, total: u64) -> ProgressBar {
    let template = if total == 0 {
        "{msg} {human_pos} {elapsed}"
    } else {
        "{msg} [{bar:30}] {human_pos}/{human_len} {percent} % {eta} left"
    };
    let style = ProgressStyle::with_template(template).expect("the template is constant");
    ProgressBar::new(total).with_style(style.progress_chars("=> ")).with_message(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_person_is_red_on_a_terminal_and_plain_elsewhere() {
        for line in ["ALARM: Disk: full", "  STOPPED      it was told", "warning: weak", "FAILED: x"] {
            assert_eq!(paint(line, true), format!("\u{1b}[1;31m{line}\u{1b}[0m"));
            assert_eq!(paint(line, false), line);
        }
        for line in ["Holdfast 1 on x", "  stage        open", "  archive      there: all well", "no ALARM: here"] {
            assert_eq!(paint(line, true), line);
        }
    }
}
