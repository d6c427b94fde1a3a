//! Reasons that follow from facts about a message, the same for all who get it.

use std::sync::Arc;

use mailkit::{EmailAddress, Parsed};

use super::features::features_of;
use super::files;
use super::grams::Grams;
use super::learned::Base;
use super::reputation::{Origin, Reputation};
use super::score::Score;
use super::texts::Texts;

/// Most of a text in which links are looked at, in bytes.
const MAX_TEXT_BYTES: usize = 256 * 1024;

/// What is known of who sent a message, from the checks before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// The address in From really is the sender's: `Some(true)` if that was proved, `Some(false)` if it is disproved.
    pub is_genuine: Option<bool>,
    /// The domain's own policy says that the server must not send for it.
    pub spf_failed: bool,
    /// The network is listed by these DNS lists.
    pub listed_by: Vec<String>,
    /// An earlier check found malware.
    pub has_malware: bool,
    /// Where the message comes from.
    pub origin: Origin,
}

/// What is known of a message.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The address in From; `None` if there is not exactly one readable one.
    pub from: Option<EmailAddress>,
    /// The name in From.
    pub from_name: String,
    /// Name of the body.
    pub name: [u8; 32],
    /// The features, ascending.
    pub features: Vec<u32>,
    /// The runs of characters.
    pub grams: Grams,
    /// It is a delivery report.
    pub is_report: bool,
    /// About its sender.
    pub sender: Sender,
    /// What the base of all accounts says of it, as [`super::bayes::evidence`].
    pub base: f64,
    /// The reputation of domains and networks with the service.
    pub(super) service: Arc<Base>,
    /// Reasons that don't depend on who gets it.
    pub(super) common: Score,
}

impl Facts {
    /// Looks a message through. Linear in its size, and bounded; blocks for as long as that takes.
    pub fn of(name: [u8; 32], raw: &[u8], parsed: &Parsed, sender: Sender) -> Self {
        let author = match parsed.from.as_slice() {
            [one] => Some(one),
            _ => None,
        };
        let from = author.and_then(|author| EmailAddress::parse(&author.address).ok());
        let texts = Texts::of(raw, parsed);
        let mut facts = Self {
            from,
            from_name: author.map(|author| author.name.clone()).unwrap_or_default(),
            name,
            features: features_of(raw, parsed, &texts, false).hashes,
            grams: Grams::of_texts(raw, parsed, &texts),
            is_report: mailkit::bounce::status_part(parsed).is_some(),
            sender,
            base: 0.0,
            service: Arc::default(),
            common: Score::default(),
        };
        facts.of_sender(parsed);
        facts.of_form(parsed);
        facts.of_files(raw, parsed);
        facts.of_links(parsed, &texts);
        facts
    }

    /// With what the accounts of the service taught together.
    #[must_use]
    pub fn beside(mut self, base: Arc<Base>) -> Self {
        self.base = super::bayes::evidence(&base.counts, &self.features);
        self.service = base;
        self
    }

    /// The reputation of domains and networks with the service.
    pub(super) fn service_reputation(&self) -> &Reputation {
        &self.service.reputation
    }

    fn of_sender(&mut self, parsed: &Parsed) {
        let common = &mut self.common;
        match self.sender.is_genuine {
            Some(true) => common.add("genuine", -5, "The sender's domain confirms the message"),
            Some(false) => common.add("forged", 30, "The sender's domain does not confirm the message"),
            None => {}
        }
        if self.sender.has_malware {
            common.add("malware", 200, "An earlier check found malware");
        }
        if self.sender.spf_failed {
            common.add("spf", 10, "The server may not send mail for this domain");
        }
        for list in self.sender.listed_by.iter().take(3) {
            common.add("listed", 30, format!("The sending network is on the list {list}"));
        }
        if self.from.is_none() {
            common.add("from", 15, "The message has no valid sender");
        }
        let shown = self.from_name.split_whitespace().filter(|word| word.contains('@'));
        let mut other =
            shown.filter_map(|word| EmailAddress::parse(word.trim_matches(['<', '>', '"', '(', ')', ','])).ok());
        if let (Some(from), Some(other)) = (&self.from, other.next_back())
            && !other.domain().eq_ignore_ascii_case(from.domain())
        {
            common.add("other_address", 25, "The sender's name shows an address that is not the sender's");
        }
        if let (Some(from), [reply]) = (&self.from, parsed.reply_to.as_slice())
            && let Ok(reply) = EmailAddress::parse(&reply.address)
            && super::same_looks(reply.domain(), from.domain())
        {
            common.add("reply_domain", 30, "Replies would go to a domain that only looks like the sender's");
        }
    }

    fn of_form(&mut self, parsed: &Parsed) {
        if parsed.date_ms.is_none() {
            self.common.add("no_date", 10, "The message has no valid date");
        }
        if parsed.message_id.is_empty() {
            self.common.add("no_id", 5, "The message has no Message-ID");
        }
        let letters = parsed.subject.chars().filter(|c| c.is_alphabetic()).count();
        let capitals = parsed.subject.chars().filter(|c| c.is_uppercase()).count();
        if letters > 12 && capitals * 10 > letters * 9 {
            self.common.add("shouting", 8, "The subject is in capitals");
        }
        if parsed.subject.chars().chain(self.from_name.chars()).any(is_trick) {
            self.common.add("hidden", 15, "The subject or the sender's name has hidden characters");
        }
    }

    fn of_files(&mut self, raw: &[u8], parsed: &Parsed) {
        let mut worst: Option<(i32, &'static str, String)> = None;
        for file in mailkit::display::files(raw, parsed).iter().take(files::MAX_FILES) {
            let content = mailkit::display::part_content(raw, parsed, &file.part).unwrap_or_default();
            if let Some(found) = files::dangerous(&file.name, &content)
                && worst.as_ref().is_none_or(|worst| worst.0 < found.0)
            {
                worst = Some(found);
            }
        }
        if let Some((tenths, code, name)) = worst {
            let line = match code {
                "macros" => format!("The attached document contains macros: {name}"),
                "disguised" => format!("An attached program pretends to be a document: {name}"),
                _ => format!("An attachment is a program: {name}"),
            };
            self.common.add(code, tenths, line);
        }
    }

    fn of_links(&mut self, parsed: &Parsed, texts: &Texts) {
        let mut bare_address = false;
        let mut other_host = false;
        let mut budget = MAX_TEXT_BYTES;
        each_html(&parsed.root, texts, &mut |html| {
            let html = &html[..html.floor_char_boundary(budget)];
            budget -= html.len();
            for (target, shown) in anchors(html).take(200) {
                let Some(host) = host_of(target) else { continue };
                bare_address |= host.parse::<std::net::Ipv4Addr>().is_ok();
                if let Some(said) = host_of(shown.trim()) {
                    other_host |= owner(&said) != owner(&host) && said.contains('.');
                }
            }
        });
        if bare_address {
            self.common.add("link_address", 15, "A link leads to a bare network address");
        }
        if other_host {
            self.common.add("link_other", 10, "A link shows another site than it leads to");
        }
    }
}

/// Characters that turn text around or can't be seen.
fn is_trick(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
}

fn each_html(part: &mailkit::Part, texts: &Texts, visit: &mut dyn FnMut(&str)) {
    if part.subtype == "html"
        && let Some(html) = texts.get(part)
    {
        visit(html);
    }
    part.parts.iter().for_each(|child| each_html(child, texts, visit));
}

/// Links with what is written on them.
fn anchors(html: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = html;
    std::iter::from_fn(move || {
        loop {
            let at = rest.find("<a ").or_else(|| rest.find("<A "))?;
            rest = &rest[at + 3..];
            let end = rest.find('>')?;
            let (tag, after) = rest.split_at(end);
            rest = &after[1..];
            let text = &rest[..rest.find('<').unwrap_or(rest.len())];
            let target = tag.find("href=").or_else(|| tag.find("HREF=")).map(|at| &tag[at + 5..]);
            if let Some(target) = target {
                let target = target.trim_start_matches(['"', '\'']);
                let end = target.find(['"', '\'', ' ']).unwrap_or(target.len());
                return Some((&target[..end], text));
            }
        }
    })
}

/// The host of a web address.
fn host_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    let host = &rest[..rest.find(['/', '?', '#', ':', ' ']).unwrap_or(rest.len())];
    (!host.is_empty() && host.len() <= 255).then(|| host.to_ascii_lowercase())
}

/// The last two names of a host: near enough to who owns it.
fn owner(host: &str) -> &str {
    let at = host.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
    &host[at..]
}
