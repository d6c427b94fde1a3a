//! `holdfast help`: the documents of this version, on a machine that has nothing but the binary; and what can be typed.

use anyhow::bail;
use clap::CommandFactory as _;
use web::HelpPage;

use crate::cli::Cli;

macro_rules! page {
    ($name:literal, $file:literal, $about:literal) => {
        HelpPage { name: $name, file: $file, about: $about, text: include_str!(concat!("../../../docs/", $file)) }
    };
}

/// What people need at night first. The administration pages show the same.
pub static PAGES: [HelpPage; 18] = [
    page!("continuity", "continuity.md", "the 3 a.m. page, stages, standby, archive, restore, rewind, salvage"),
    page!("reports", "reports.md", "reports: who sends in your name, and what is reported to others"),
    page!("relay", "relay.md", "relays (backup MX): set one up, watch it, the 3 a.m. page"),
    page!("administration", "administration.md", "which command is on which page; what to look at first"),
    page!("operate", "operate.md", "daily work, full disks, damage, passwords"),
    page!("monitoring", "monitoring.md", "status, alarms, /health, the log"),
    page!("metrics", "metrics.md", "every metric"),
    page!("install", "install.md", "install as a service, DNS"),
    page!(
        "dns",
        "dns.md",
        "DNS records, their check, DKIM keys; what a postmaster does on day one, and after a listing"
    ),
    page!("certificates", "certificates.md", "TLS certificates"),
    page!("configuration", "configuration.md", "how configuration is read"),
    page!("holdfast.toml", "holdfast.toml", "every key with its default"),
    page!("delivery", "delivery.md", "the queue, retries, bounces, DKIM"),
    page!("migrate", "migrate.md", "move mail from another server"),
    page!("upgrade", "upgrade.md", "change to another version"),
    page!("archive-format", "archive-format.md", "what lies in an archive"),
    page!("options", "options.md", "for people who use the webmail: search, settings, what to do when"),
    page!("glossary", "GLOSSARY.md", "what words mean here"),
];

/// Prints what `holdfast help WORDS` asks for: a document, some of its sections, or how a command is used.
///
/// # Errors
/// There is no such document, section or command; says which there are.
pub fn help(words: &[String]) -> anyhow::Result<()> {
    let Some((name, section)) = words.split_first() else {
        Cli::command().print_long_help()?;
        println!("\nDocuments, printed by `holdfast help NAME [WORDS OF A HEADING]`:");
        for page in &PAGES {
            println!("  {:<16} {}", page.name, page.about);
        }
        return Ok(());
    };
    if let Some(page) = PAGES.iter().find(|page| page.name == name.trim_end_matches(".md")) {
        print!("{}", part_of(page, section)?);
        return Ok(());
    }
    let mut command = Cli::command();
    command.build();
    for word in words {
        match command.find_subcommand(word) {
            Some(found) => command = found.clone(),
            None => bail!(
                "there is no command or document named {}; documents: {}",
                words.join(" "),
                PAGES.iter().map(|page| page.name).collect::<Vec<_>>().join(", ")
            ),
        }
    }
    command.print_long_help()?;
    Ok(())
}

/// The whole document, or those of its sections whose heading has all the words.
fn part_of(page: &HelpPage, words: &[String]) -> anyhow::Result<String> {
    if words.is_empty() {
        return Ok(page.text.to_owned());
    }
    let words: Vec<String> =
        words.iter().flat_map(|word| word.split_whitespace()).map(|word| plain(word).to_lowercase()).collect();
    let mut found = String::new();
    // Deeper headings belong to the section that was found.
    let mut within: Option<usize> = None;
    for (level, line) in leveled(page.text) {
        if let Some(level) = level {
            let heading = plain(line).to_lowercase();
            if within.is_none_or(|outer| level <= outer) {
                within = words.iter().all(|word| heading.contains(word.as_str())).then_some(level);
            }
        }
        if within.is_some() {
            found += line;
            found += "\n";
        }
    }
    if found.is_empty() {
        let headings: Vec<String> = leveled(page.text)
            .filter(|(level, _)| level.is_some_and(|level| level > 1))
            .map(|(_, line)| format!("  {}", line.trim_start_matches('#').trim()))
            .collect();
        bail!(
            "{} has no section named \u{201c}{}\u{201d}; it has:\n{}",
            page.name,
            words.join(" "),
            headings.join("\n")
        );
    }
    Ok(found)
}

/// The lines of a document, those that are headings with their level. Comments in examples look like headings.
fn leveled(text: &str) -> impl Iterator<Item = (Option<usize>, &str)> {
    let mut in_example = false;
    text.lines().map(move |line| {
        if line.trim_start().starts_with("```") {
            in_example = !in_example;
        }
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        let is_heading = !in_example && level > 0 && line[level..].starts_with(' ');
        (is_heading.then_some(level), line)
    })
}

/// Without the marks of Markdown.
fn plain(text: &str) -> String {
    text.replace(['`', '*', '"', '\u{201c}', '\u{201d}'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(name: &str) -> &'static HelpPage {
        PAGES.iter().find(|page| page.name == name).unwrap()
    }

    fn section(name: &str, words: &str) -> anyhow::Result<String> {
        part_of(page(name), &[words.to_owned()])
    }

    #[test]
    fn a_section_is_printed_with_what_is_below_it_and_nothing_behind_it() {
        let page = HelpPage {
            name: "x",
            file: "x.md",
            about: "",
            text: "# X\nintro\n## One `thing`\na\n### Deep\nb\n```\n# no heading\n```\n## Two\nc\n## Another one thing\nd\n",
        };
        let read = |words: &str| part_of(&page, &words.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(read("Two").unwrap(), "## Two\nc\n");
        assert_eq!(read("deep").unwrap(), "### Deep\nb\n```\n# no heading\n```\n");
        let both = "## One `thing`\na\n### Deep\nb\n```\n# no heading\n```\n## Another one thing\nd\n";
        assert_eq!(read("one thing").unwrap(), both);
        let refused = read("three").unwrap_err().to_string();
        assert!(refused.contains("  One `thing`\n  Deep\n  Two"), "{refused}");
        assert_eq!(part_of(&page, &[]).unwrap(), page.text);
    }

    /// Every place in the program that names a document names one that is built in, with a section that it has.
    #[test]
    fn what_messages_refer_to_is_there() {
        let mut files = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        let mut seen = 0;
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            // Strings that go on in the next line.
            let text = std::fs::read_to_string(&path).unwrap();
            let text: String = text.split("\\\n").map(str::trim_start).collect();
            for (at, _) in text.match_indices("`holdfast help ") {
                let asked: String = text[at + 1..].chars().take_while(|c| *c != '`').collect();
                let asked = asked.replace("\\\"", "\"");
                let mut words = asked.splitn(4, ' ').skip(2);
                let name = words.next().unwrap();
                if name.chars().any(|c| !c.is_ascii_lowercase() && !".-".contains(c)) {
                    continue;
                }
                assert!(PAGES.iter().any(|page| page.name == name), "{}: {asked}", path.display());
                if let Some(words) = words.next() {
                    section(name, words).unwrap_or_else(|error| panic!("{}: {asked}: {error}", path.display()));
                }
                seen += 1;
            }
        }
        assert!(seen >= 10, "{seen}");
    }

    /// Every link of a page that leads to another page or to a heading leads to one that is there.
    #[test]
    fn links_between_the_pages_lead_to_headings_that_are_there() {
        let mut seen = 0;
        for page in &PAGES {
            let html = page.html(&PAGES);
            for part in html.split("href=\"").skip(1) {
                let link = part.split('"').next().unwrap();
                if link.starts_with("http") {
                    continue;
                }
                seen += 1;
                let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
                let target = match path.strip_prefix("/admin/help/") {
                    Some(name) => PAGES.iter().find(|other| other.name == name),
                    None => path.is_empty().then_some(page),
                };
                let target = target.unwrap_or_else(|| panic!("{}: {link}", page.name));
                let mark = format!(" id=\"{anchor}\"");
                assert!(anchor.is_empty() || target.html(&PAGES).contains(&mark), "{}: {link}", page.name);
            }
        }
        assert!(seen > 20, "{seen}");
    }
}
