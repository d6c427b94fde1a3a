//! Numbers as each language writes them.

use fluent_bundle::FluentValue;
use fluent_bundle::types::FluentNumber;

use crate::Language;

/// Writes a value; `None` leaves it as it is.
pub type Format<M> = fn(&FluentValue<'_>, &M) -> Option<String>;

/// What stands between thousands.
pub const fn separator(language: Language) -> char {
    match language {
        Language::English | Language::Arabic => ',',
        Language::German | Language::Spanish => '.',
        Language::French => '\u{202f}',
    }
}

/// How numbers in the texts of a language are written.
pub fn of<M>(language: Language) -> Format<M> {
    match language {
        Language::English | Language::Arabic => |value, _| whole(value, ','),
        Language::German | Language::Spanish => |value, _| whole(value, '.'),
        Language::French => |value, _| whole(value, '\u{202f}'),
    }
}

fn whole(value: &FluentValue<'_>, separator: char) -> Option<String> {
    match value {
        FluentValue::Number(FluentNumber { value, .. }) if *value >= 0.0 && *value < 9e15 && value.fract() == 0.0 => {
            Some(grouped(*value as u64, separator))
        }
        _ => None,
    }
}

/// A number with its thousands set apart.
pub fn grouped(number: u64, separator: char) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(separator);
        }
        out.push(digit);
    }
    out
}

/// A decimal number with a language's decimal sign.
pub fn decimal(number: &str, language: Language) -> String {
    match language {
        Language::English | Language::Arabic => number.to_owned(),
        Language::German | Language::French | Language::Spanish => number.replace('.', ","),
    }
}
