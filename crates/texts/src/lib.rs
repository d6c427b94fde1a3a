//! The catalogue: every text that people see on pages, in each language, in the Fluent format (`locales/`).
//!
//! Each English text is a method of [`Texts`] with its values as parameters, made when this crate is built: a text that isn't
//! in the catalogue doesn't compile. That the other languages have the same texts with the same values and the plural forms
//! that they need is tested here, and that each text is used.
//!
//! What this crate must never do: hold a text that is HTML; know a page; decide which language someone reads.
//!
//! Start reading at [`Texts`] and [`Language`]; docs/internals/translating.md tells how to add a language.

mod language;
mod number;
mod put;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};

pub use language::Language;
pub use put::Put;

/// A text: borrowed where it has no values.
pub type Text = Cow<'static, str>;

type Bundle = FluentBundle<FluentResource>;

/// The texts of one language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Texts(Language);

static BUNDLES: [LazyLock<Bundle>; 5] = [
    LazyLock::new(|| bundle(Language::English)),
    LazyLock::new(|| bundle(Language::German)),
    LazyLock::new(|| bundle(Language::French)),
    LazyLock::new(|| bundle(Language::Spanish)),
    LazyLock::new(|| bundle(Language::Arabic)),
];

fn bundle(language: Language) -> Bundle {
    let mut bundle = FluentBundle::new_concurrent(vec![language.identifier()]);
    // Marks around values would be taken for a stranger's: pages take them out.
    bundle.set_use_isolating(false);
    bundle.set_formatter(Some(number::of(language)));
    for source in SOURCES[language as usize] {
        // What can't be read is left out; the tests find it.
        let resource = FluentResource::try_new((*source).to_owned()).unwrap_or_else(|(resource, _)| resource);
        bundle.add_resource_overriding(resource);
    }
    bundle
}

impl Texts {
    /// The texts of a language.
    pub const fn of(language: Language) -> Self {
        Self(language)
    }

    /// Which language that is.
    pub const fn language(self) -> Language {
        self.0
    }

    /// For the `lang` of a page.
    pub const fn tag(self) -> &'static str {
        self.0.tag()
    }

    /// For the `dir` of a page.
    pub const fn dir(self) -> &'static str {
        self.0.dir()
    }

    /// A number with its thousands set apart.
    pub fn number(self, number: u64) -> String {
        number::grouped(number, number::separator(self.0))
    }

    /// A decimal number such as `1.5`, with the language's decimal sign.
    pub fn decimal(self, number: &str) -> String {
        number::decimal(number, self.0)
    }

    fn text<const N: usize>(self, id: &'static str, values: [(&'static str, &dyn Put); N]) -> Text {
        say(self.0, id, &values).or_else(|| say(Language::English, id, &values)).unwrap_or(Cow::Borrowed(id))
    }
}

fn say(language: Language, id: &'static str, values: &[(&'static str, &dyn Put)]) -> Option<Text> {
    let bundle: &'static Bundle = &BUNDLES[language as usize];
    let pattern = bundle.get_message(id)?.value()?;
    let mut errors = Vec::new();
    if values.is_empty() {
        return Some(bundle.format_pattern(pattern, None, &mut errors));
    }
    let mut arguments: FluentArgs<'_> = FluentArgs::with_capacity(values.len());
    for (name, value) in values {
        arguments.set(*name, value.put());
    }
    Some(Cow::Owned(bundle.format_pattern(pattern, Some(&arguments), &mut errors).into_owned()))
}

include!(concat!(env!("OUT_DIR"), "/texts.rs"));
