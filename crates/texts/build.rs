//! Makes a method of each English text, so that a text that isn't in the catalogue, or lacks a value, doesn't compile.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use fluent_syntax::ast::{Entry, Expression, InlineExpression, Pattern, PatternElement};

/// The files of the catalogue: one for each family of pages.
const FILES: [&str; 6] = ["frame", "signin", "list", "message", "compose", "options"];
const LANGUAGES: [&str; 5] = ["en", "de", "fr", "es", "ar"];

fn main() {
    let out = env::var("OUT_DIR").expect("cargo names the folder of what is made");
    let home = env::var("CARGO_MANIFEST_DIR").expect("cargo names the crate's folder");
    println!("cargo:rerun-if-changed=locales");
    println!("cargo:rerun-if-changed=build.rs");
    let mut sources = String::from("/// The catalogue's files, by language.\nstatic SOURCES: [&[&str]; 5] = [\n");
    for language in LANGUAGES {
        sources.push_str("    &[");
        for file in FILES {
            let path = Path::new(&home).join("locales").join(language).join(format!("{file}.ftl"));
            write!(sources, "include_str!({:?}), ", path.display().to_string()).expect("a string takes all");
        }
        sources.push_str("],\n");
    }
    sources.push_str("];\n");
    let mut methods = String::from("impl Texts {\n");
    for file in FILES {
        let path = Path::new(&home).join("locales/en").join(format!("{file}.ftl"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let parsed = fluent_syntax::parser::parse(text.as_str())
            .unwrap_or_else(|(_, errors)| panic!("{}: {errors:?}", path.display()));
        for entry in &parsed.body {
            let Entry::Message(message) = entry else { continue };
            let Some(pattern) = &message.value else { continue };
            let mut variables = BTreeSet::new();
            of_pattern(pattern, &mut variables);
            method(&mut methods, message.id.name, &variables);
        }
    }
    methods.push_str("}\n");
    fs::write(Path::new(&out).join("texts.rs"), sources + &methods).expect("the folder of what is made can be written");
}

fn method(out: &mut String, id: &str, variables: &BTreeSet<&str>) {
    let name = id.replace('-', "_");
    let values: String = variables.iter().map(|name| format!(", {name}: impl Put")).collect();
    let given: String = variables.iter().map(|name| format!("(\"{name}\", &{name}), ")).collect();
    writeln!(
        out,
        "    /// The text `{id}`.\n    pub fn {name}(self{values}) -> Text {{ self.text(\"{id}\", [{given}]) }}"
    )
    .expect("a string takes all");
}

fn of_pattern<'a>(pattern: &Pattern<&'a str>, variables: &mut BTreeSet<&'a str>) {
    for element in &pattern.elements {
        if let PatternElement::Placeable { expression } = element {
            of_expression(expression, variables);
        }
    }
}

fn of_expression<'a>(expression: &Expression<&'a str>, variables: &mut BTreeSet<&'a str>) {
    match expression {
        Expression::Inline(inline) => of_inline(inline, variables),
        Expression::Select { selector, variants } => {
            of_inline(selector, variables);
            for variant in variants {
                of_pattern(&variant.value, variables);
            }
        }
    }
}

fn of_inline<'a>(inline: &InlineExpression<&'a str>, variables: &mut BTreeSet<&'a str>) {
    match inline {
        InlineExpression::VariableReference { id } => {
            variables.insert(id.name);
        }
        InlineExpression::Placeable { expression } => of_expression(expression, variables),
        _ => {}
    }
}
