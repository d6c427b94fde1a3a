//! Binding what is written to what a word takes: tags with their values, then the positional arguments.

use super::Checker;
use crate::compare::{Comparator, MatchType, Matcher, Relation};
use crate::error::Position;
use crate::spec::{Kind, Optional, Spec, TagSpec, flag, tag};
use crate::syntax::{Argument, Literal, Node};
use crate::template::{Template, decode_characters};
use crate::tree::{AddressPart, Step, Value};

const MATCHING: &[TagSpec] = &[
    tag("comparator", Kind::Text, "", 100),
    flag("is", "", 101),
    flag("contains", "", 101),
    flag("matches", "", 101),
    flag("regex", "regex", 101),
    tag("count", Kind::Text, "relational", 101),
    tag("value", Kind::Text, "relational", 101),
    flag("list", "extlists", 101),
];
const PARTS: &[TagSpec] = &[
    flag("all", "", 102),
    flag("localpart", "", 102),
    flag("domain", "", 102),
    flag("user", "subaddress", 102),
    flag("detail", "subaddress", 102),
];
const FIELDS: &[TagSpec] = &[
    tag("index", Kind::Number, "index", 0),
    flag("last", "index", 0),
    flag("mime", "mime", 0),
    flag("anychild", "mime", 0),
    flag("type", "mime", 103),
    flag("subtype", "mime", 103),
    flag("contenttype", "mime", 103),
    tag("param", Kind::List, "mime", 103),
];

impl Checker {
    /// The step of a node, with all of its arguments. What is wrong has been told.
    pub(super) fn bind(&mut self, spec: &'static Spec, node: &Node) -> Step {
        let mut step = Step::new(spec, node.at);
        let mut places: Vec<&Argument> = Vec::new();
        let mut groups: Vec<u8> = Vec::new();
        let mut rest = node.arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            let Literal::Tag(name) = &argument.value else {
                places.push(argument);
                continue;
            };
            let Some(known) = self.tag_spec(spec, name, argument.at) else { continue };
            if !places.is_empty() {
                self.found.add(
                    argument.at,
                    format!(
                        "unexpected tagged argument ':{name}' for the {}: tags stand before other arguments",
                        spec.title()
                    ),
                );
            }
            let is_twice = step.tag(known.name).is_some();
            if is_twice || (known.group != 0 && groups.contains(&known.group)) {
                let text = if is_twice { "a second time" } else { "together with another of its kind" };
                self.found.add(argument.at, format!("the tag ':{name}' stands {text} for the {}", spec.title()));
            }
            groups.push(known.group);
            let value = match known.value {
                None => Some(Value::Set),
                Some(kind) => match rest.next_if(|next| !matches!(next.value, Literal::Tag(_))) {
                    Some(next) => self.value(next, kind, &format!("the value of ':{name}'"), spec),
                    None => {
                        self.found.add(
                            argument.at,
                            format!("the tag ':{name}' of the {} requires {}", spec.title(), said(kind)),
                        );
                        None
                    }
                },
            };
            step.tags.extend(value.map(|value| (known.name, value)));
        }
        self.places(spec, &places, &mut step, node.at);
        if spec.matching {
            self.matcher(&mut step, node.at);
        }
        if spec.part {
            let parts = [
                ("localpart", AddressPart::LocalPart),
                ("domain", AddressPart::Domain),
                ("user", AddressPart::User),
                ("detail", AddressPart::Detail),
            ];
            step.part = parts.into_iter().find(|(name, _)| step.has(name)).map_or(AddressPart::All, |(_, part)| part);
        }
        step
    }

    fn tag_spec(&mut self, spec: &'static Spec, name: &str, at: Position) -> Option<TagSpec> {
        let common = [(spec.matching, MATCHING), (spec.part, PARTS), (spec.fields, FIELDS)];
        let tags = spec.tags.iter().chain(common.into_iter().filter(|(has, _)| *has).flat_map(|(_, tags)| tags));
        match tags.into_iter().find(|known| known.name.eq_ignore_ascii_case(name)) {
            Some(known) if known.needs.is_empty() || self.has(known.needs) => Some(*known),
            Some(known) => {
                self.found
                    .add(at, format!("the tag ':{name}' of the {} needs require \"{}\"", spec.title(), known.needs));
                None
            }
            None if self.asked_for_unknown => None,
            None => {
                self.found.add(at, format!("unknown tagged argument ':{name}' for the {}", spec.title()));
                None
            }
        }
    }

    fn places(&mut self, spec: &'static Spec, given: &[&Argument], step: &mut Step, at: Position) {
        let wanted = spec.places.len();
        let least = wanted - usize::from(spec.optional != Optional::No);
        if given.len() < least || given.len() > wanted {
            let (title, count) = (spec.title(), given.len());
            let requires = if least == wanted { wanted.to_string() } else { format!("{least} or {wanted}") };
            let (noun, verb) =
                (if wanted == 1 { "argument" } else { "arguments" }, if count == 1 { "is" } else { "are" });
            self.found
                .add(at, format!("the {title} requires {requires} positional {noun}, but {count} {verb} specified"));
            return;
        }
        let skip = usize::from(spec.optional == Optional::First && given.len() < wanted);
        for (index, (argument, (what, kind))) in given.iter().zip(&spec.places[skip..]).enumerate() {
            let title = format!("argument {} ({what})", index + 1);
            step.places.extend(self.value(argument, *kind, &title, spec));
        }
    }

    fn value(&mut self, argument: &Argument, kind: Kind, title: &str, spec: &Spec) -> Option<Value> {
        let found = match (&argument.value, kind) {
            (Literal::Number(number), Kind::Number) => return Some(Value::Number(*number)),
            (Literal::Text(text), Kind::Text) => return Some(Value::Text(self.template(text, argument.at))),
            (Literal::Text(text), Kind::List) => return Some(Value::List(vec![self.template(text, argument.at)])),
            (Literal::List(list), Kind::List) => {
                return Some(Value::List(list.iter().map(|text| self.template(text, argument.at)).collect()));
            }
            (Literal::Number(_), _) => "a number",
            (Literal::Text(_), _) => "a string",
            (Literal::List(_), _) => "a string list",
            (Literal::Tag(_), _) => "a tag",
        };
        let text = format!("the {} expects {} as {title}, but {found} was found", spec.title(), said(kind));
        self.found.add(argument.at, text);
        None
    }

    /// A string with what is replaced in it.
    fn template(&mut self, text: &str, at: Position) -> Template {
        let mut decoded = None;
        if self.has("encoded-character") {
            match decode_characters(text) {
                Ok(text) => decoded = Some(text),
                Err(why) => self.found.add(at, why),
            }
        }
        let text = decoded.as_deref().unwrap_or(text);
        if !self.has("variables") {
            return Template::fixed(text);
        }
        Template::with_variables(text, self.has("include")).unwrap_or_else(|why| {
            self.found.add(at, why);
            Template::fixed(text)
        })
    }

    fn matcher(&mut self, step: &mut Step, at: Position) {
        let mut matcher = Matcher::default();
        if let Some(name) = step.template("comparator") {
            match name.as_fixed().and_then(Comparator::named) {
                Some(comparator) => {
                    let name = format!("comparator-{}", name.as_fixed().unwrap_or_default());
                    let is_base = matches!(comparator, Comparator::Octet | Comparator::AsciiCasemap);
                    if !is_base && !self.has(&name) {
                        self.found.add(at, format!("the comparator needs require \"{name}\""));
                    }
                    matcher.comparator = comparator;
                }
                None => self.found.add(at, "unknown comparator: it must be the name of one, without variables"),
            }
        }
        for (name, kind) in [
            ("contains", MatchType::Contains),
            ("matches", MatchType::Matches),
            ("regex", MatchType::Regex),
            ("list", MatchType::List),
        ] {
            if step.has(name) {
                matcher.kind = kind;
            }
        }
        for (name, kind) in [
            ("count", MatchType::Count as fn(Relation) -> MatchType),
            ("value", MatchType::Value as fn(Relation) -> MatchType),
        ] {
            let Some(value) = step.template(name) else { continue };
            match value.as_fixed().and_then(Relation::named) {
                Some(relation) => matcher.kind = kind(relation),
                None => self
                    .found
                    .add(at, format!("':{name}' requires one of \"gt\", \"ge\", \"lt\", \"le\", \"eq\", \"ne\"")),
            }
        }
        if matcher.comparator == Comparator::AsciiNumeric
            && matches!(matcher.kind, MatchType::Contains | MatchType::Matches | MatchType::Regex)
        {
            self.found.add(at, "the comparator i;ascii-numeric compares whole values alone: use :is, :value or :count");
        }
        if matcher.kind == MatchType::Regex {
            for key in step.places.last().map(Value::templates).unwrap_or_default() {
                match key.as_fixed().map(|text| matcher.expression(text)).transpose() {
                    Ok(regex) => matcher.regexes.push(regex),
                    Err(why) => self.found.add(at, why),
                }
            }
        }
        step.matcher = Some(matcher);
    }
}

fn said(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a string",
        Kind::List => "a string list",
        Kind::Number => "a number",
    }
}
