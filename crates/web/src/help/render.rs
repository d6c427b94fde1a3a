//! Help pages as HTML. Nothing in a page is taken as HTML, and links lead to other pages, to anchors or to web addresses: the
//! texts are our own, and a mistake in one must not become a hole.

use pulldown_cmark::{CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd, html};

use super::{Anchors, HelpPage, plain};

/// A page as HTML, without its first heading, which the page around it has.
pub fn html(page: &HelpPage, pages: &[HelpPage]) -> String {
    if !page.is_markdown() {
        return format!("<pre class=\"commands\" tabindex=\"0\">{}</pre>\n", escaped(page.text));
    }
    let mut out = String::with_capacity(page.text.len() * 2);
    html::push_html(&mut out, events(page, pages).into_iter());
    out
}

fn events<'a>(page: &'a HelpPage, pages: &[HelpPage]) -> Vec<Event<'a>> {
    let mut rendering = Rendering { pages, is_first: true, ..Rendering::default() };
    for event in Parser::new_ext(page.text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        rendering.take(event);
    }
    rendering.all
}

/// A page on its way to HTML.
#[derive(Default)]
struct Rendering<'a, 'p> {
    pages: &'p [HelpPage],
    all: Vec<Event<'a>>,
    anchors: Anchors,
    /// Whether each open link is kept.
    links: Vec<bool>,
    /// What stands in an open heading, which is needed whole.
    heading: Option<Vec<Event<'a>>>,
    /// An open example.
    example: Option<String>,
    /// No heading has come yet.
    is_first: bool,
}

impl<'a> Rendering<'a, '_> {
    fn take(&mut self, event: Event<'a>) {
        match event {
            Event::Start(Tag::Heading { .. }) => self.heading = Some(Vec::new()),
            Event::End(TagEnd::Heading(level)) => self.end_heading(level as usize),
            Event::Start(Tag::CodeBlock(kind)) => {
                let is_sh = matches!(&kind, CodeBlockKind::Fenced(language) if language.as_ref() == "sh");
                let label = if is_sh { " aria-label=\"Commands\"" } else { "" };
                self.example = Some(format!("<pre class=\"commands\" tabindex=\"0\"{label}>"));
            }
            Event::End(TagEnd::CodeBlock) => {
                if let Some(text) = self.example.take() {
                    self.put(Event::Html(format!("{text}</pre>\n").into()));
                }
            }
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let address = address(&dest_url, self.pages);
                self.links.push(address.is_some());
                if let Some(address) = address {
                    self.put(Event::Start(Tag::Link { link_type, dest_url: address.into(), title, id }));
                }
            }
            Event::End(TagEnd::Link) if self.links.pop() == Some(false) => {}
            // Pictures are in the repository alone; their text stays.
            Event::Start(Tag::Image { .. } | Tag::HtmlBlock) | Event::End(TagEnd::Image | TagEnd::HtmlBlock) => {}
            Event::Start(Tag::Table(columns)) => {
                self.put(Event::Html(CowStr::Borrowed("<div class=\"scroll\" tabindex=\"0\">")));
                self.put(Event::Start(Tag::Table(columns)));
            }
            Event::End(TagEnd::Table) => {
                self.put(Event::End(TagEnd::Table));
                self.put(Event::Html(CowStr::Borrowed("</div>\n")));
            }
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => match &mut self.example {
                Some(example) => example.push_str(&escaped(&text)),
                None => self.put(Event::Text(text)),
            },
            other => self.put(other),
        }
    }

    fn put(&mut self, event: Event<'a>) {
        self.heading.as_mut().unwrap_or(&mut self.all).push(event);
    }

    fn end_heading(&mut self, level: usize) {
        let within = self.heading.take().unwrap_or_default();
        let anchor = self.anchors.of(&text_of(&within));
        if std::mem::take(&mut self.is_first) && level == 1 {
            return;
        }
        // The page around it has the first level.
        let level = level.max(2);
        self.put(Event::Html(format!("<h{level} id=\"{}\">", escaped(&anchor)).into()));
        self.all.extend(within);
        self.put(Event::Html(format!("</h{level}>\n").into()));
    }
}

/// Where a link leads on the pages; `None` for what is not there.
fn address(link: &str, pages: &[HelpPage]) -> Option<String> {
    if link.starts_with("https://") || link.starts_with("http://") || link.starts_with('#') {
        return Some(link.to_owned());
    }
    let (file, anchor) = link.split_once('#').map_or((link, String::new()), |(file, at)| (file, format!("#{at}")));
    let page = pages.iter().find(|page| page.file == file)?;
    Some(format!("/admin/help/{}{anchor}", page.name))
}

fn text_of(events: &[Event<'_>]) -> String {
    let text = events.iter().map(|event| match event {
        Event::Text(text) | Event::Code(text) => text.as_ref(),
        Event::SoftBreak | Event::HardBreak => " ",
        _ => "",
    });
    plain(&text.collect::<String>())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &'static str) -> String {
        let pages = [
            HelpPage { name: "one", file: "one.md", about: "", text },
            HelpPage { name: "words", file: "GLOSSARY.md", about: "", text: "" },
        ];
        html(&pages[0], &pages)
    }

    #[test]
    fn what_the_documents_have_becomes_html() {
        for (text, expected) in [
            ("# Title\n\nText.\n", "<p>Text.</p>\n"),
            ("# Title\n# Second\n", "<h2 id=\"second\">Second</h2>\n"),
            ("## The *disk* is `full`\n", "<h2 id=\"the-disk-is-full\">The <em>disk</em> is <code>full</code></h2>\n"),
            ("## A & B\n### A & B\n", "<h2 id=\"a--b\">A &amp; B</h2>\n<h3 id=\"a--b-1\">A &amp; B</h3>\n"),
            ("* a\n* b\n", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"),
            ("3. a\n4. b\n", "<ol start=\"3\">\n<li>a</li>\n<li>b</li>\n</ol>\n"),
            (
                "```sh\na < b && c\n```\n",
                "<pre class=\"commands\" tabindex=\"0\" aria-label=\"Commands\">a &lt; b &amp;&amp; c\n</pre>\n",
            ),
            ("[x](#y)\n", "<p><a href=\"#y\">x</a></p>\n"),
            ("[x](GLOSSARY.md#lease)\n", "<p><a href=\"/admin/help/words#lease\">x</a></p>\n"),
            ("[x](https://example.org/?a=1&b=2)\n", "<p><a href=\"https://example.org/?a=1&amp;b=2\">x</a></p>\n"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        let table = shown("| a | b |\n|---|---|\n| 1 | `2` |\n");
        assert!(
            table.starts_with("<div class=\"scroll\" tabindex=\"0\"><table>") && table.ends_with("</table>\n</div>\n")
        );
        assert!(table.contains("<td><code>2</code></td>"), "{table}");
    }

    #[test]
    fn nothing_in_a_document_is_html_and_no_link_leads_elsewhere() {
        for text in [
            "<script>alert(1)</script>\n",
            "a <img src=x onerror=alert(1)> b\n",
            "<div onclick=x>\n\ntext\n\n</div>\n",
            "<!-- a comment -->\n",
            "## <b onload=x>\n",
            "```\n</pre><script>\n```\n",
            "```x\"onclick=\"y\n```\n",
            "| <script> |\n|---|\n| <svg onload=x> |\n",
            "[a](javascript:alert(1)) <javascript:alert(1)>\n",
            "[a](data:text/html,x) [b](//example.org) [c](/admin) [d](../LICENSE)\n",
            "![a](https://example.org/x.png) [b]: JAVASCRIPT:x\n",
            "[a](<https://x\" onclick=\"y>)\n",
        ] {
            let shown = shown(text).to_lowercase();
            for mark in
                ["<script", "<img", "<svg", "<div o", "<b", "<!--", " onclick=\"y", "href=\"j", "href=\"d", "href=\"/"]
            {
                assert!(!shown.contains(mark), "{text}{shown}");
            }
        }
    }
}
