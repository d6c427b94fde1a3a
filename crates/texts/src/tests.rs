//! The languages against each other, and the catalogue against the pages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fluent_syntax::ast::{Entry, Expression, InlineExpression, Pattern, PatternElement, VariantKey};
use intl_pluralrules::{PluralCategory, PluralRuleType, PluralRules};

use super::*;

/// What there is to compare of a text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shape {
    variables: BTreeSet<String>,
    /// Names of the cases of each selector that goes by plural forms.
    plurals: Vec<BTreeSet<String>>,
    /// All that is literal in it.
    literal: String,
}

impl Shape {
    fn of(pattern: &Pattern<&str>) -> Self {
        let mut shape = Self::default();
        shape.read(pattern);
        shape
    }

    fn read(&mut self, pattern: &Pattern<&str>) {
        for element in &pattern.elements {
            match element {
                PatternElement::TextElement { value } => self.literal.push_str(value),
                PatternElement::Placeable { expression } => self.expression(expression),
            }
        }
    }

    fn expression(&mut self, expression: &Expression<&str>) {
        match expression {
            Expression::Inline(inline) => self.inline(inline),
            Expression::Select { selector, variants } => {
                self.inline(selector);
                let names: BTreeSet<String> = variants
                    .iter()
                    .filter_map(|variant| match &variant.key {
                        VariantKey::Identifier { name } => Some((*name).to_owned()),
                        VariantKey::NumberLiteral { .. } => None,
                    })
                    .collect();
                if names.contains("other") {
                    self.plurals.push(names);
                }
                for variant in variants {
                    self.read(&variant.value);
                }
            }
        }
    }

    fn inline(&mut self, inline: &InlineExpression<&str>) {
        match inline {
            InlineExpression::VariableReference { id } => {
                self.variables.insert(id.name.to_owned());
            }
            InlineExpression::Placeable { expression } => self.expression(expression),
            InlineExpression::StringLiteral { value } => self.literal.push_str(value),
            other => panic!("texts use nothing but values: {other:?}"),
        }
    }
}

fn catalogue(language: Language) -> BTreeMap<String, Shape> {
    let mut all = BTreeMap::new();
    for source in SOURCES[language as usize] {
        let parsed = fluent_syntax::parser::parse(*source)
            .unwrap_or_else(|(_, errors)| panic!("{}: {errors:?}", language.name()));
        for entry in parsed.body {
            let Entry::Message(message) = entry else { continue };
            assert!(message.attributes.is_empty(), "{}: a text is a text alone", message.id.name);
            let id = message.id.name.to_owned();
            let shape = Shape::of(message.value.as_ref().unwrap_or_else(|| panic!("{id} has no text")));
            assert!(all.insert(id.clone(), shape).is_none(), "{}: {id} is there twice", language.name());
        }
    }
    all
}

#[test]
fn every_language_has_the_same_texts_with_the_same_values() {
    let english = catalogue(Language::English);
    assert!(english.len() > 100, "{}", english.len());
    for language in Language::ALL {
        let all = catalogue(language);
        let (mine, its): (BTreeSet<_>, BTreeSet<_>) = (english.keys().collect(), all.keys().collect());
        let missing: Vec<_> = mine.symmetric_difference(&its).collect();
        assert!(missing.is_empty(), "{}: {missing:?}", language.name());
        for (id, shape) in &all {
            assert_eq!(shape.variables, english[id].variables, "{}: {id}", language.name());
        }
    }
}

#[test]
fn plural_forms_are_those_of_the_language() {
    for language in Language::ALL {
        let rules = PluralRules::create(language.identifier(), PluralRuleType::CARDINAL).unwrap();
        let mut needed: BTreeSet<String> = BTreeSet::new();
        for n in (0..=120).chain([1_000, 1_000_000]) {
            needed.insert(name(rules.select(n).unwrap()).to_owned());
        }
        // Numbers that end a million are rare enough to read like the others; nothing is often left out of Arabic.
        let rare = ["many", "zero"].map(str::to_owned);
        for (id, shape) in catalogue(language) {
            for cases in &shape.plurals {
                let absent: Vec<_> = needed
                    .difference(cases)
                    .filter(|case| !(rare.contains(case) && (language != Language::Arabic || *case == "zero")))
                    .collect();
                let foreign: Vec<_> = cases.difference(&needed).collect();
                assert!(absent.is_empty() && foreign.is_empty(), "{}: {id}: {absent:?} {foreign:?}", language.name());
            }
        }
    }
}

fn name(category: PluralCategory) -> &'static str {
    match category {
        PluralCategory::ZERO => "zero",
        PluralCategory::ONE => "one",
        PluralCategory::TWO => "two",
        PluralCategory::FEW => "few",
        PluralCategory::MANY => "many",
        PluralCategory::OTHER => "other",
    }
}

#[test]
fn no_text_is_html_and_links_are_where_they_are_in_english() {
    let english = catalogue(Language::English);
    for language in Language::ALL {
        for (id, shape) in catalogue(language) {
            let text = &shape.literal;
            assert!(!text.contains(['<', '>']) && !text.contains("&#") && !text.contains("&amp"), "{id}: {text}");
            assert!(!text.trim().is_empty() || !shape.variables.is_empty(), "{}: {id} is empty", language.name());
            for bracket in ['[', ']'] {
                let count = |text: &str| text.matches(bracket).count();
                // In each plural form there may be one.
                let is_same = (count(text) == 0) == (count(&english[&id].literal) == 0);
                assert!(is_same, "{}: {id}: {text}", language.name());
            }
        }
    }
}

fn sources(folder: &Path, into: &mut String) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs" || end == "html") {
            into.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_text_is_used() {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web");
    let mut code = String::new();
    sources(&web.join("src"), &mut code);
    sources(&web.join("templates"), &mut code);
    let unused: Vec<String> = catalogue(Language::English)
        .into_keys()
        .filter(|id| {
            let call = id.replace('-', "_");
            !code.contains(&format!(".{call}(")) && !code.contains(&format!("Texts::{call}"))
        })
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
}

/// Templates whose every text is in the catalogue.
const CONVERTED: [&str; 15] = [
    "base",
    "box",
    "compose",
    "conversation",
    "fault",
    "list",
    "mailbox",
    "message",
    "notice",
    "settings",
    "settings_display",
    "settings_general",
    "shell",
    "signin",
    "why",
];

/// What a template says by itself: text between tags, and attributes that people read.
fn own_texts(template: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut rest = template;
    // What is put in is the catalogue's.
    while let Some(at) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        plain.push_str(&rest[..at]);
        plain.push('\u{1}');
        let end = if rest[at..].starts_with("{{") { "}}" } else { "%}" };
        rest = rest[at..].split_once(end).map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    let mut found = Vec::new();
    for name in ["aria-label", "title", "placeholder", "alt", "data-confirm"] {
        let mark = format!(" {name}=\"");
        let values = plain.split(&mark).skip(1).filter_map(|after| after.split('"').next());
        found.extend(values.map(str::to_owned));
    }
    let between = plain.split('>').filter_map(|part| part.split('<').next());
    found.extend(between.map(str::to_owned));
    let is_text =
        |text: &String| text.split('\u{1}').any(|part| part.chars().filter(|c| c.is_alphabetic()).count() > 1);
    // The name of the product, names of search words, and keys on the keyboard are the same in all languages.
    let is_same = |text: &str| {
        let text = text.replace("&nbsp;", "").replace(['\u{1}', '·'], "");
        let text = text.trim();
        text.is_empty()
            || ["Holdfast", "(Ctrl+Enter)", "(Shift+I)", "(Shift+U)", "boat OR ship"].contains(&text)
            || text.contains(':') && !text.contains(' ')
            || text.starts_with(['"', '-'])
    };
    found.retain(|text| is_text(text) && !is_same(text));
    found
}

#[test]
fn templates_that_are_in_the_catalogue_say_nothing_by_themselves() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/templates");
    for name in CONVERTED {
        let template = std::fs::read_to_string(folder.join(format!("{name}.html"))).unwrap();
        assert_eq!(own_texts(&template), Vec::<String>::new(), "{name}.html");
    }
    assert!(!own_texts("<p title=\"Say it\">{{ x }} is said</p>").is_empty(), "it finds what is there");
}

#[test]
fn the_language_is_the_one_that_is_wanted_most() {
    for (accepted, tag) in [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("pt-BR,pt;q=0.9,es;q=0.7,en;q=0.6", "es"),
        ("en;q=0.1, fr;q=0.9", "fr"),
        ("AR-EG", "ar"),
        ("zh, ja", "en"),
        ("fr;q=0, es", "es"),
        ("de;q=nan, fr;q=0.5", "fr"),
        ("de;q=7, fr;q=0.5", "fr"),
        ("*", "en"),
        (";;;,,,=q", "en"),
        ("german", "en"),
    ] {
        assert_eq!(Language::wanted(accepted).tag(), tag, "{accepted}");
    }
    let endless = format!("{}de", "x,".repeat(100_000));
    assert_eq!(Language::wanted(&endless), Language::English, "later ranges are not looked at");
}

#[test]
fn numbers_and_plurals_are_the_language_s() {
    let messages = |language, n: u32| Texts::of(language).messages(n).into_owned();
    assert_eq!(messages(Language::English, 1), "1 message");
    assert_eq!(messages(Language::English, 100_000), "100,000 messages");
    assert_eq!(messages(Language::German, 1), "1 Nachricht");
    assert_eq!(messages(Language::German, 1_234), "1.234 Nachrichten");
    assert_eq!(messages(Language::French, 0), "0 message");
    assert_eq!(messages(Language::French, 12_345), "12\u{202f}345 messages");
    let arabic: BTreeSet<String> =
        [1, 2, 3, 11, 100].map(|n| messages(Language::Arabic, n).replace(|c: char| c.is_ascii_digit(), "")).into();
    // From eleven on the noun is singular again.
    assert_eq!(arabic.len(), 4, "{arabic:?}");
    assert_eq!(Texts::of(Language::German).decimal("1.5"), "1,5");
    assert_eq!(Texts::of(Language::French).number(1_000_000), "1\u{202f}000\u{202f}000");
}
