//! What arguments must say, where that can be known before a script runs.

use super::Checker;
use crate::address;
use crate::limits::{MAX_HEADER_BYTES, MAX_LOOPS, MAX_VARIABLE_NAME, MAX_VARIABLES};
use crate::notify::Mailto;
use crate::run::date;
use crate::snooze;
use crate::spec::{Spec, Word};
use crate::syntax::Node;
use crate::template::{Template, is_name};
use crate::tree::{Step, Value};

/// The fields that have addresses; `address` takes no others.
const ADDRESS_FIELDS: &[&str] = &[
    "from",
    "to",
    "cc",
    "bcc",
    "sender",
    "reply-to",
    "resent-from",
    "resent-to",
    "resent-cc",
    "resent-bcc",
    "resent-sender",
    "resent-reply-to",
    "delivered-to",
    "x-original-to",
    "return-path",
    "envelope-to",
    "x-envelope-to",
    "errors-to",
    "disposition-notification-to",
    "mail-followup-to",
    "mail-reply-to",
    "x-beenthere",
    "list-post",
    "apparently-to",
];
/// Fields that scripts don't touch (RFC 5293 section 6).
pub(crate) const PROTECTED_FIELDS: &[&str] = &["received", "auto-submitted"];

impl Checker {
    pub(super) fn mean(&mut self, spec: &Spec, step: &Step, node: &Node) {
        match spec.word {
            Word::Require => self.ask(node, true),
            Word::Ihave => self.ask(node, false),
            Word::Size if !step.has("over") && !step.has("under") => {
                self.found.add(node.at, "the size test requires :over or :under");
            }
            Word::Redirect if !step.has("list") => self.address_of(step.places.first(), node),
            Word::Vacation => self.vacation(step, node),
            Word::Notify => self.notify(step, node),
            Word::Snooze => {
                self.each(step.tag("mailbox"), node, mailbox_name);
                self.each(step.tag("weekdays"), node, |day| snooze::weekday(day).map(drop));
                self.each(step.tag("tzid"), node, snooze::zone_name);
                self.each(step.places.first(), node, |time| snooze::time_of_day(time).map(drop));
            }
            Word::FileInto => self.each(step.places.first(), node, mailbox_name),
            Word::Address => self.each(step.places.first(), node, |name| {
                let known = ADDRESS_FIELDS.iter().any(|known| known.eq_ignore_ascii_case(name));
                if known {
                    Ok(())
                } else {
                    Err(format!("the header field '{name}' is not allowed for the address test: it has no addresses"))
                }
            }),
            Word::AddHeader | Word::DeleteHeader => {
                self.each(step.places.first(), node, field_name);
                if spec.word == Word::AddHeader {
                    self.each(step.places.get(1), node, field_value);
                }
                if step.has("last") && spec.word == Word::DeleteHeader && !step.has("index") {
                    self.found.add(node.at, "the tag ':last' requires ':index'");
                }
            }
            Word::Envelope => self.each(step.places.first(), node, |name| {
                let known = ["from", "to", "auth", "orig_to"].iter().any(|known| known.eq_ignore_ascii_case(name));
                if known {
                    Ok(())
                } else {
                    Err(format!("unknown part '{name}' of the envelope: it has from, to and auth"))
                }
            }),
            Word::Date => self.each(step.places.get(1), node, date::check_part),
            Word::CurrentDate => self.each(step.places.first(), node, date::check_part),
            Word::Set => self.set(step, node),
            Word::Global => self.global(step, node),
            Word::ForEveryPart if self.loops.len() >= MAX_LOOPS => {
                self.found.add(node.at, format!("foreverypart is nested deeper than {MAX_LOOPS}"));
            }
            Word::Break => self.leaves_a_loop(step, node),
            Word::ExtractText if self.loops.is_empty() => {
                self.found.add(node.at, "extracttext must stand within foreverypart");
            }
            Word::ExtractText if !self.has("variables") => {
                self.found.add(node.at, "the extracttext command needs require \"variables\"");
            }
            Word::SetFlag | Word::AddFlag | Word::RemoveFlag if step.places.len() == 2 && !self.has("variables") => {
                self.found.add(node.at, "flags in a variable need require \"variables\"");
            }
            Word::SetFlag | Word::AddFlag | Word::RemoveFlag if step.places.len() == 2 => {
                self.each(step.places.first(), node, variable_name);
            }
            _ => {}
        }
        self.common(spec, step, node);
    }

    fn common(&mut self, spec: &Spec, step: &Step, node: &Node) {
        if spec.fields {
            if step.has("last") && !step.has("index") {
                self.found.add(node.at, "the tag ':last' requires ':index'");
            }
            if step.number("index") == Some(0) {
                self.found.add(node.at, "':index' counts from 1");
            }
            let chosen = ["type", "subtype", "contenttype", "param", "anychild"].into_iter().find(|tag| step.has(tag));
            if let Some(tag) = chosen
                && !step.has("mime")
            {
                self.found.add(node.at, format!("the tag ':{tag}' requires ':mime'"));
            }
        }
        if let Some(zone) = step.template("zone").and_then(Template::as_fixed)
            && date::zone_minutes(zone).is_none()
        {
            self.found.add(node.at, format!("{zone:?} is not a time zone: write it as +0100"));
        }
    }

    /// Looks at each string that is known already.
    fn each(&mut self, value: Option<&Value>, node: &Node, check: impl Fn(&str) -> Result<(), String>) {
        for text in value.map(Value::templates).unwrap_or_default().iter().filter_map(Template::as_fixed) {
            if let Err(why) = check(text) {
                self.found.add(node.at, why);
                // One of a list is enough: the list is one argument.
                return;
            }
        }
    }

    fn address_of(&mut self, value: Option<&Value>, node: &Node) {
        self.each(value, node, |text| address::one(text).map(drop));
    }

    fn vacation(&mut self, step: &Step, node: &Node) {
        self.address_of(step.tag("from"), node);
        for tag in ["flags", "create", "specialuse", "mailboxid"] {
            if step.has(tag) && !step.has("fcc") {
                self.found.add(node.at, format!("the tag ':{tag}' requires ':fcc'"));
            }
        }
        self.each(step.tag("fcc"), node, mailbox_name);
    }

    fn notify(&mut self, step: &Step, node: &Node) {
        self.each(step.places.first(), node, |uri| Mailto::read(uri).map(drop));
        self.address_of(step.tag("from"), node);
        self.each(step.tag("options"), node, |option| {
            let (name, value) = option.split_once('=').unwrap_or_default();
            let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
            let is_name = begins && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c));
            if is_name && !value.contains(['\r', '\n']) {
                return Ok(());
            }
            Err(format!("the option {option:?} of the notify command must be name=value"))
        });
        self.each(step.tag("importance"), node, |importance| match importance {
            "1" | "2" | "3" => Ok(()),
            other => Err(format!("the importance is \"1\", \"2\" or \"3\", not {other:?}")),
        });
    }

    fn set(&mut self, step: &Step, node: &Node) {
        let Some(name) = step.places[0].templates()[0].as_fixed() else {
            self.found.add(node.at, "the name of a variable can't hold variables");
            return;
        };
        if name.to_ascii_lowercase().starts_with("global.") && self.has("include") {
            return self.each(Some(&Value::Text(Template::fixed(&name[7..]))), node, variable_name);
        }
        if let Err(why) = variable_name(name) {
            self.found.add(node.at, why);
        }
        if self.variables.insert(name.to_ascii_lowercase()) && self.variables.len() == MAX_VARIABLES + 1 {
            self.found.add(node.at, format!("the script has more than {MAX_VARIABLES} variables"));
        }
    }

    fn global(&mut self, step: &Step, node: &Node) {
        if !self.has("variables") {
            self.found.add(node.at, "the global command needs require \"variables\"");
        }
        self.each(step.places.first(), node, variable_name);
        let names = step.places[0].templates().iter().filter_map(Template::as_fixed);
        self.globals.extend(names.map(str::to_ascii_lowercase));
    }

    fn leaves_a_loop(&mut self, step: &Step, node: &Node) {
        let name = step.template("name").and_then(Template::as_fixed);
        if self.loops.is_empty() {
            self.found.add(node.at, "break must stand within foreverypart");
        } else if let Some(name) = name
            && !self.loops.iter().any(|open| open.as_deref() == Some(name))
        {
            self.found.add(node.at, format!("there is no loop named '{name}' around this break"));
        }
    }
}

fn variable_name(name: &str) -> Result<(), String> {
    if name.contains('.') {
        return Err(format!("there is no namespace for the variable {name}"));
    }
    if !is_name(name) {
        return Err(format!("'{name}' can't be the name of a variable"));
    }
    if name.len() > MAX_VARIABLE_NAME {
        return Err(format!("the name of a variable is longer than {MAX_VARIABLE_NAME} characters"));
    }
    Ok(())
}

/// Whether that can be the name of a header field.
pub(crate) fn field_name(name: &str) -> Result<(), String> {
    let is_name = !name.is_empty() && name.bytes().all(|c| c.is_ascii_graphic() && c != b':');
    if is_name { Ok(()) } else { Err(format!("'{name}' is not the name of a header field")) }
}

/// Whether a script can add a field of that value.
pub(crate) fn field_value(value: &str) -> Result<(), String> {
    if value.contains('\0') {
        return Err("a header field can't hold NUL characters".to_owned());
    }
    if value.len() > MAX_HEADER_BYTES {
        return Err(format!("the header field is longer than {MAX_HEADER_BYTES} bytes"));
    }
    Ok(())
}

/// Whether that can be the name of a mailbox.
pub(crate) fn mailbox_name(name: &str) -> Result<(), String> {
    let wrong = name.is_empty() || name.chars().any(|c| c.is_control() || c == '\u{fffd}');
    if wrong { Err(format!("'{name}' can't be the name of a mailbox")) } else { Ok(()) }
}
