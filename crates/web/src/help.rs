//! The help pages: which there are, their sections, and what is found in them.
//!
//! Their texts are the documents of this version, which the process that serves gives to the pages: the same that its
//! command line prints. They are Markdown, or plain text.

mod render;

/// The longest question that is searched for, in characters; the rest is left out.
const MAX_QUESTION: usize = 200;
/// Sections that a search shows.
const MAX_FOUND: usize = 40;
/// How much of a section's text is shown with it, in characters.
const EXCERPT: usize = 200;

/// A document.
#[derive(Debug, Clone, Copy)]
pub struct HelpPage {
    /// By which it is asked for.
    pub name: &'static str,
    /// The name of its file, by which other documents link to it.
    pub file: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Its text.
    pub text: &'static str,
}

impl HelpPage {
    /// Whether it is Markdown; else it is shown as it is.
    pub fn is_markdown(&self) -> bool {
        self.file.to_ascii_lowercase().ends_with(".md")
    }

    /// The first heading, or the name.
    pub fn title(&self) -> String {
        self.sections()
            .into_iter()
            .find(|section| section.level == 1)
            .map_or_else(|| self.name.to_owned(), |it| it.title)
    }

    /// As HTML, without its first heading: links lead to other of these pages.
    pub fn html(&self, pages: &[Self]) -> String {
        render::html(self, pages)
    }

    /// What its headings begin; plain text is one section without a heading.
    pub fn sections(&self) -> Vec<Section> {
        let mut all: Vec<Section> = Vec::new();
        let mut anchors = Anchors::default();
        let mut in_example = false;
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                in_example = !in_example;
            }
            let level = line.bytes().take_while(|byte| *byte == b'#').count();
            if self.is_markdown() && !in_example && (1..=6).contains(&level) && line[level..].starts_with(' ') {
                let title = plain(line[level..].trim());
                all.push(Section { level, anchor: anchors.of(&title), title, text: String::new() });
                continue;
            }
            if all.is_empty() {
                all.push(Section { level: 0, title: String::new(), anchor: String::new(), text: String::new() });
            }
            if let Some(section) = all.last_mut() {
                section.text.push_str(line);
                section.text.push('\n');
            }
        }
        all
    }

    /// The anchor of the first section whose heading has all these words.
    pub fn anchor_of(&self, words: &str) -> Option<String> {
        let words = folded_words(words);
        let has_all = |section: &Section| {
            let title = section.title.to_lowercase();
            !title.is_empty() && words.iter().all(|word| title.contains(word.as_str()))
        };
        self.sections().into_iter().find(has_all).map(|section| section.anchor)
    }
}

/// A heading, and what stands below it up to the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// 1 to 6; 0 is what stands before the first heading.
    pub level: usize,
    /// Without the marks of Markdown.
    pub title: String,
    /// By which the page links to it.
    pub anchor: String,
    /// As it is written.
    pub text: String,
}

/// A section that a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The document's title.
    pub page: String,
    /// The section's.
    pub title: String,
    /// Where it is.
    pub address: String,
    /// What stands there.
    pub excerpt: String,
}

/// The document of that name.
pub fn named(pages: &'static [HelpPage], name: &str) -> Option<&'static HelpPage> {
    pages.iter().find(|page| page.name == name)
}

/// Sections that have all words of a question: first those that have them in their headings. Gives also whether there are
/// more than are shown.
pub fn search(pages: &'static [HelpPage], question: &str) -> (Vec<Hit>, bool) {
    let question: String = question.chars().take(MAX_QUESTION).collect();
    let words = folded_words(&question);
    if words.is_empty() {
        return (Vec::new(), false);
    }
    let (mut in_titles, mut in_texts) = (Vec::new(), Vec::new());
    for page in pages {
        let page_title = page.title();
        for section in page.sections() {
            let title = section.title.to_lowercase();
            let text = plain(&section.text).to_lowercase();
            if !words.iter().all(|word| title.contains(word.as_str()) || text.contains(word.as_str())) {
                continue;
            }
            let by_title = words.iter().all(|word| title.contains(word.as_str()));
            let anchor = if section.anchor.is_empty() { String::new() } else { format!("#{}", section.anchor) };
            let hit = Hit {
                page: page_title.clone(),
                title: if section.title.is_empty() { page.name.to_owned() } else { section.title.clone() },
                address: format!("/admin/help/{}{anchor}", page.name),
                excerpt: excerpt(&section.text, &words),
            };
            if by_title { in_titles.push(hit) } else { in_texts.push(hit) }
        }
    }
    in_titles.append(&mut in_texts);
    let more = in_titles.len() > MAX_FOUND;
    in_titles.truncate(MAX_FOUND);
    (in_titles, more)
}

/// The address of what a text refers to as `` `holdfast help NAME WORDS` ``, if it does.
pub fn address_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("`holdfast help ")?;
    let (asked, _) = rest.split_once('`')?;
    let (name, words) = asked.split_once(' ').unwrap_or((asked, ""));
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("at", words).finish();
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    Some(if words.is_empty() { format!("/admin/help/{name}") } else { format!("/admin/help/{name}?{query}") })
}

/// The anchors of a page: as those of its headings on code hosts, a number added to one that is there already.
#[derive(Debug, Default)]
pub struct Anchors(std::collections::HashMap<String, usize>);

impl Anchors {
    /// That of the next heading.
    pub fn of(&mut self, title: &str) -> String {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
        let anchor: String =
            title.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect();
        let times = self.0.entry(anchor.clone()).and_modify(|times| *times += 1).or_default();
        if *times == 0 { anchor } else { format!("{anchor}-{times}") }
    }
}

fn folded_words(text: &str) -> Vec<String> {
    plain(text).to_lowercase().split_whitespace().map(str::to_owned).collect()
}

/// Without the marks of Markdown.
fn plain(text: &str) -> String {
    text.replace(['`', '*', '"', '\u{201c}', '\u{201d}'], "")
}

/// The text around the first of the words, in one line.
fn excerpt(text: &str, words: &[String]) -> String {
    // Rows of tables are words in a line here.
    let is_rule = |word: &str| word.bytes().all(|byte| b"|-:".contains(&byte));
    let text = plain(text).replace('|', " ");
    let text = text.split_whitespace().filter(|word| !is_rule(word)).collect::<Vec<_>>().join(" ");
    let folded = text.to_lowercase();
    let at = words.iter().filter_map(|word| folded.find(word.as_str())).min().unwrap_or(0);
    // The same number of characters: lower case can have other bytes.
    let at = folded[..at].chars().count();
    let start = at.saturating_sub(EXCERPT / 4);
    let cut: String = text.chars().skip(start).take(EXCERPT).collect();
    let mut shown = cut.as_str();
    // Whole words, where there are some.
    if start > 0 {
        shown = shown.split_once(' ').map_or(shown, |(_, rest)| rest);
    }
    let goes_on = text.chars().count() > start + EXCERPT;
    if goes_on {
        shown = shown.rsplit_once(' ').map_or(shown, |(before, _)| before);
    }
    let dots = |are: bool| if are { "\u{2026}" } else { "" };
    format!("{}{shown}{}", dots(start > 0), dots(goes_on))
}

#[cfg(test)]
mod tests {
    use super::*;

    static PAGES: [HelpPage; 3] = [
        HelpPage {
            name: "operate",
            file: "operate.md",
            about: "daily work",
            text: "Before.\n# Operate\nAll.\n## The disk is full\nFree `space`.\n```sh\n# no heading\n```\n## Twice\na\n## Twice\nb \u{130}stanbul disk\n",
        },
        HelpPage { name: "keys", file: "keys.toml", about: "keys", text: "# a comment\nspace = 5\n" },
        HelpPage { name: "other", file: "Other.MD", about: "", text: "# Other\nnothing\n" },
    ];

    #[test]
    fn a_page_is_divided_at_its_headings_and_examples_have_none() {
        let sections = PAGES[0].sections();
        let found: Vec<_> = sections.iter().map(|it| (it.level, it.title.as_str(), it.anchor.as_str())).collect();
        let expected = [
            (0, "", ""),
            (1, "Operate", "operate"),
            (2, "The disk is full", "the-disk-is-full"),
            (2, "Twice", "twice"),
            (2, "Twice", "twice-1"),
        ];
        assert_eq!(found, expected);
        assert!(sections[2].text.contains("# no heading"));
        assert_eq!(PAGES[1].sections().len(), 1);
        assert_eq!((PAGES[0].title(), PAGES[1].title()), ("Operate".to_owned(), "keys".to_owned()));
    }

    #[test]
    fn a_search_finds_sections_that_have_all_words_headings_first() {
        let addresses =
            |question: &str| search(&PAGES, question).0.into_iter().map(|hit| hit.address).collect::<Vec<_>>();
        assert_eq!(addresses("FULL disk"), ["/admin/help/operate#the-disk-is-full"]);
        assert_eq!(addresses("disk"), ["/admin/help/operate#the-disk-is-full", "/admin/help/operate#twice-1"]);
        assert_eq!(addresses("space"), ["/admin/help/operate#the-disk-is-full", "/admin/help/keys"]);
        assert_eq!(addresses("\u{130}STANBUL disk").len(), 1, "lower case that is longer than upper case");
        for nothing in ["", "  ", "`*`", "absent", "space absent"] {
            assert_eq!(addresses(nothing), Vec::<String>::new(), "{nothing}");
        }
        // A question without end costs no more.
        assert_eq!(addresses(&"disk ".repeat(100_000)).len(), 2);
    }

    #[test]
    fn what_messages_refer_to_has_an_address() {
        let cases = [
            ("Run `holdfast help operate disk is full`.", Some("/admin/help/operate?at=disk+is+full")),
            ("See `holdfast help certificates`; then more", Some("/admin/help/certificates")),
            ("`holdfast help a&b c#d<e>`", Some("/admin/help/a%26b?at=c%23d%3Ce%3E")),
            ("Run `holdfast maintain`.", None),
            ("`holdfast help operate", None),
        ];
        for (text, address) in cases {
            assert_eq!(address_in(text).as_deref(), address, "{text}");
        }
        assert_eq!(PAGES[0].anchor_of("DISK full").as_deref(), Some("the-disk-is-full"));
        assert_eq!(PAGES[0].anchor_of("absent"), None);
    }

    #[test]
    fn an_excerpt_is_of_whole_words_around_what_was_found() {
        let text = format!("{}needle {}", "alpha ".repeat(100), "omega ".repeat(100));
        let shown = excerpt(&text, &["needle".to_owned()]);
        assert!(shown.starts_with("\u{2026}alpha ") && shown.ends_with(" omega\u{2026}"), "{shown}");
        assert!(shown.contains(" needle "), "{shown}");
        assert!(excerpt(&"x".repeat(2_000), &["x".to_owned()]).starts_with("xxx"));
        assert_eq!(excerpt("short", &["short".to_owned()]), "short");
    }
}
