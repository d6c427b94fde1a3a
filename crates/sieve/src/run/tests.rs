//! Tests.

use super::{Run, date, fail};
use crate::compare::MatchType;
use crate::error::RunError;
use crate::host::Done;
use crate::limits::{MAX_BODY_TEXT, MAX_DUPLICATE_PERIOD, MAX_MATCH_VALUES};
use crate::message::FlatPart;
use crate::spec::Word;
use crate::tree::{AddressPart, Step};

/// How long a duplicate is remembered if the script does not say, in seconds.
const DUPLICATE_PERIOD: u64 = 7 * 86_400;

impl Run<'_> {
    pub(super) fn test(&mut self, step: &Step) -> Result<bool, RunError> {
        self.spend(step, 0)?;
        match step.word {
            Word::True | Word::Ihave => self.is_known(step),
            Word::False => Ok(false),
            Word::Not => Ok(!self.inner(step)?),
            Word::AnyOf => step.tests.iter().try_fold(false, |any, test| Ok(any || self.test(test)?)),
            Word::AllOf => step.tests.iter().try_fold(true, |all, test| Ok(all && self.test(test)?)),
            Word::Size => Ok(self.size(step)),
            Word::Header => self.header_test(step),
            Word::Address => self.address_test(step),
            Word::Exists => self.exists(step),
            Word::Envelope => self.envelope(step),
            Word::Body => self.body(step),
            Word::String => self.string(step),
            Word::HasFlag => self.has_flag(step),
            Word::Date => self.date(step),
            Word::CurrentDate => self.current_date(step),
            Word::Duplicate => self.duplicate(step),
            Word::Foreign => match self.host.foreign(step, &mut self.state)? {
                Done::With(holds) => Ok(holds),
                Done::Block | Done::Leave => fail(step, "a test has no block"),
            },
            Word::Unknown => fail(step, "this test is not known here"),
            _ => self.ask_host(step),
        }
    }

    fn inner(&mut self, step: &Step) -> Result<bool, RunError> {
        step.tests.first().map_or(Ok(false), |test| self.test(test))
    }

    fn is_known(&mut self, step: &Step) -> Result<bool, RunError> {
        let names = self.texts(step, 0)?;
        let foreign = self.dialect.map_or(&[][..], |dialect| dialect.capabilities);
        let has = |name: &String| {
            let name = name.as_str();
            let is_there = crate::check::CAPABILITIES.contains(&name) || foreign.contains(&name);
            is_there && !crate::check::NOT_ASKED_FOR.contains(&name)
        };
        Ok(names.iter().all(has))
    }

    fn size(&self, step: &Step) -> bool {
        let crate::tree::Value::Number(limit) = step.places[0] else { return false };
        let size = self.state.message.size();
        if step.has("over") { size > limit } else { size < limit }
    }

    /// What asks the host alone.
    fn ask_host(&mut self, step: &Step) -> Result<bool, RunError> {
        let first = self.texts(step, 0)?;
        let text = first.first().cloned().unwrap_or_default();
        match step.word {
            Word::MailboxExists => Ok(first.iter().all(|name| self.host.mailbox_exists(name))),
            Word::MailboxIdExists => Ok(first.iter().all(|id| self.host.mailbox_id_exists(id))),
            Word::SpecialUseExists if step.places.len() == 1 => Ok(self.host.special_use_exists(None, &first)),
            Word::SpecialUseExists => {
                let flags = self.texts(step, 1)?;
                Ok(self.host.special_use_exists(Some(&text), &flags))
            }
            Word::MetadataExists => {
                let names = self.texts(step, 1)?;
                Ok(names.iter().all(|name| self.host.metadata(Some(&text), name).is_some()))
            }
            Word::ServerMetadataExists => Ok(first.iter().all(|name| self.host.metadata(None, name).is_some())),
            Word::Metadata => {
                let name = self.text(step, 1)?;
                let value = self.host.metadata(Some(&text), &name);
                self.compare(step, value.as_slice())
            }
            Word::ServerMetadata => {
                let value = self.host.metadata(None, &text);
                self.compare(step, value.as_slice())
            }
            Word::Environment => {
                // What is not known matches nothing, not even a count of 0 (RFC 5183 section 4).
                match self.host.environment(&text.to_ascii_lowercase()) {
                    Some(value) => self.compare(step, &[value]),
                    None => Ok(false),
                }
            }
            Word::ValidExtList => Ok(first.iter().all(|list| self.host.list_contains(list, "").is_some())),
            Word::ValidNotifyMethod => Ok(first.iter().all(|uri| crate::notify::Mailto::read(uri).is_ok())),
            Word::NotifyMethodCapability => {
                let capability = self.text(step, 1)?;
                // Whether someone is there to read mail can't be known.
                let is_known = crate::notify::Mailto::read(&text).is_ok() && capability.eq_ignore_ascii_case("online");
                let value = is_known.then(|| "maybe".to_owned());
                self.compare(step, value.as_slice())
            }
            Word::SpamTest => {
                let score = self.host.spam();
                let value = match (score, step.has("percent")) {
                    (None, _) => "0".to_owned(),
                    (Some(score), true) => format!("{:.0}", score.clamp(0.0, 1.0) * 100.0),
                    (Some(score), false) => format!("{:.0}", 1.0 + score.clamp(0.0, 1.0) * 9.0),
                };
                self.compare_score(step, score.is_some(), value)
            }
            Word::VirusTest => {
                let found = self.host.virus();
                self.compare_score(step, found.is_some(), found.unwrap_or(0).to_string())
            }
            _ => fail(step, format!("{} can't be asked here", step.name)),
        }
    }

    /// RFC 5235: with `:count` a message that was not looked at has no value.
    fn compare_score(&mut self, step: &Step, is_known: bool, value: String) -> Result<bool, RunError> {
        let counts = step.matcher.as_ref().is_some_and(|matcher| matches!(matcher.kind, MatchType::Count(_)));
        let values = if counts && !is_known { Vec::new() } else { vec![value] };
        self.compare(step, &values)
    }

    /// Compares values with the keys of a test: its last argument.
    pub(super) fn compare(&mut self, step: &Step, values: &[String]) -> Result<bool, RunError> {
        let keys = self.texts(step, step.places.len() - 1)?;
        self.compare_with(step, values, &keys)
    }

    pub(super) fn compare_with(&mut self, step: &Step, values: &[String], keys: &[String]) -> Result<bool, RunError> {
        let Some(matcher) = &step.matcher else { return fail(step, "nothing to compare by") };
        match matcher.kind {
            MatchType::Count(_) => return Ok(keys.iter().any(|key| matcher.compare_count(values.len(), key))),
            MatchType::List => {
                for key in keys {
                    for value in values {
                        self.spend(step, value.len())?;
                        match self.host.list_contains(key, value) {
                            None => return fail(step, format!("there is no list {key:?}")),
                            Some(false) => {}
                            Some(true) => {
                                self.state.captures = vec![value.clone()];
                                return Ok(true);
                            }
                        }
                    }
                }
                return Ok(false);
            }
            _ => {}
        }
        for (index, key) in keys.iter().enumerate() {
            let made;
            let regex = match matcher.regexes.get(index) {
                Some(Some(regex)) => Some(regex),
                _ if matcher.kind == MatchType::Regex => {
                    self.spend(step, key.len() * 100)?;
                    // An expression that a message made invalid matches nothing: it must not end the owner's rules.
                    made = matcher.expression(key).ok();
                    made.as_ref()
                }
                _ => None,
            };
            for value in values {
                let matched = matcher.compare(value, key, regex);
                self.spend(step, matched.work)?;
                if matched.holds {
                    if let Some(mut found) = matched.values {
                        found.truncate(MAX_MATCH_VALUES + 1);
                        self.state.captures = found;
                    }
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn string(&mut self, step: &Step) -> Result<bool, RunError> {
        let mut values = self.texts(step, 0)?;
        if step.matcher.as_ref().is_some_and(|matcher| matches!(matcher.kind, MatchType::Count(_))) {
            values.retain(|value| !value.is_empty());
        }
        self.compare(step, &values)
    }

    fn envelope(&mut self, step: &Step) -> Result<bool, RunError> {
        let separators = self.host.separators();
        let mut values = Vec::new();
        for name in self.texts(step, 0)? {
            let envelope = &self.state.envelope;
            let text = match name.to_ascii_lowercase().as_str() {
                "from" => &envelope.from,
                "to" => &envelope.to,
                "orig_to" => {
                    if envelope.original_to.is_empty() {
                        &envelope.to
                    } else {
                        &envelope.original_to
                    }
                }
                "auth" if envelope.auth.is_empty() => continue,
                "auth" => &envelope.auth,
                _ => return fail(step, format!("unknown part '{name}' of the envelope")),
            };
            // A login has no parts.
            if name.eq_ignore_ascii_case("auth") && step.part == AddressPart::All {
                values.push(text.clone());
            } else {
                values.extend(crate::address::of_envelope(text).part(step.part, &separators));
            }
        }
        self.compare(step, &values)
    }

    /// RFC 5173.
    fn body(&mut self, step: &Step) -> Result<bool, RunError> {
        let message = &self.state.message;
        let cut = |mut text: String| {
            super::strings::cut(&mut text, MAX_BODY_TEXT);
            text
        };
        let Some(body) = message.body() else { return Ok(false) };
        let values: Vec<String> = if step.has("raw") {
            vec![String::from_utf8_lossy(&body[..body.len().min(MAX_BODY_TEXT)]).into_owned()]
        } else if let Some(types) = self.state.tag_texts(step, "content") {
            let parts = message.parts().iter().filter(|part| is_of_type(part, &types));
            parts.flat_map(|part| self.contents(part)).map(cut).collect()
        } else {
            let texts = message.parts().iter().filter_map(|part| message.text_of(&part.part, MAX_BODY_TEXT));
            texts.map(|text| cut(crlf(&text))).collect()
        };
        self.spend(step, values.iter().map(String::len).sum())?;
        // RFC 5173 section 6: this test sets no match variables.
        let captures = std::mem::take(&mut self.state.captures);
        let holds = self.compare(step, &values);
        self.state.captures = captures;
        holds
    }

    /// What `:content` looks at in a part: of a multipart what is around its parts, of a message its header.
    fn contents(&self, part: &FlatPart) -> Vec<String> {
        let message = &self.state.message;
        let parts = message.parts();
        let slice = |from, to| String::from_utf8_lossy(message.slice(from..to)).into_owned();
        let at = parts.iter().position(|other| std::ptr::eq(other, part)).unwrap_or_default();
        let own = &part.part;
        if own.media_type == "multipart" {
            let boundary =
                own.param("boundary").map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
            let whole = slice(own.body_start, own.body_end);
            let (open, close) = (format!("--{boundary}"), format!("--{boundary}--"));
            let prologue = whole.find(&open).map_or("", |end| &whole[..end]).to_owned();
            let epilogue = whole.rfind(&close).map_or("", |begin| &whole[begin + close.len()..]).to_owned();
            return vec![prologue, epilogue];
        }
        if own.media_type == "message" && part.end > at + 1 {
            let inner = &parts[at + 1].part;
            let header = slice(inner.header_start, inner.body_start);
            return vec![header.strip_suffix("\r\n\r\n").map_or(header.clone(), |fields| format!("{fields}\r\n"))];
        }
        vec![crlf(&message.content_of(own, MAX_BODY_TEXT))]
    }

    fn date(&mut self, step: &Step) -> Result<bool, RunError> {
        let name = self.text(step, 0)?;
        let part = self.text(step, 1)?;
        let zone = self.tag_text(step, "zone")?;
        let found = self.field_values(step, std::slice::from_ref(&name))?;
        let value = found.into_iter().next().and_then(|value| {
            // A trace field has its date at the end.
            let text = value.rsplit(';').next().unwrap_or_default().trim();
            let ms = mailkit::date::parse(text)?;
            let minutes = match &zone {
                Some(zone) => date::zone_minutes(zone)?,
                None if step.has("originalzone") => date::written_zone(text),
                None => self.host.zone_minutes(ms),
            };
            date::part(ms, minutes, &part)
        });
        self.compare(step, value.as_slice())
    }

    fn current_date(&mut self, step: &Step) -> Result<bool, RunError> {
        let part = self.text(step, 0)?;
        let now = self.host.now_ms();
        let zone = match self.tag_text(step, "zone")? {
            Some(zone) => date::zone_minutes(&zone),
            None => Some(self.host.zone_minutes(now)),
        };
        let value = zone.and_then(|zone| date::part(now, zone, &part));
        self.compare(step, value.as_slice())
    }

    /// RFC 7352.
    fn duplicate(&mut self, step: &Step) -> Result<bool, RunError> {
        let handle = self.tag_text(step, "handle")?.unwrap_or_default();
        let (kind, id) = if let Some(id) = self.tag_text(step, "uniqueid")? {
            ("id", Some(id))
        } else {
            let name = self.tag_text(step, "header")?.unwrap_or_else(|| "Message-ID".to_owned());
            ("header", self.state.message.header(&name).map(ToOwned::to_owned))
        };
        let Some(id) = id.filter(|id| !id.is_empty()) else { return Ok(false) };
        let seconds = step.number("seconds").unwrap_or(DUPLICATE_PERIOD).min(MAX_DUPLICATE_PERIOD);
        Ok(self.host.is_duplicate(&handle, &format!("{kind}:{id}"), seconds, step.has("last")))
    }
}

/// Whether a part is of one of the types: `text`, `text/html`, or anything.
fn is_of_type(part: &FlatPart, types: &[String]) -> bool {
    types.iter().any(|wanted| match wanted.split_once('/') {
        // RFC 5173 section 5.2: what is no type matches nothing, the empty string everything.
        None => wanted.is_empty() || part.part.media_type.eq_ignore_ascii_case(wanted),
        Some((main, sub)) => {
            !main.is_empty()
                && !sub.is_empty()
                && !sub.contains('/')
                && part.part.media_type.eq_ignore_ascii_case(main)
                && part.part.subtype.eq_ignore_ascii_case(sub)
        }
    })
}

fn crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

impl super::State {
    /// Compares values with the keys of a foreign word: its last argument. For hosts; not with `:list`.
    pub fn matches(&mut self, step: &Step, values: &[String]) -> bool {
        let Some(matcher) = &step.matcher else { return false };
        let keys = self.texts(step, step.places.len() - 1);
        if matches!(matcher.kind, MatchType::Count(_)) {
            return keys.iter().any(|key| matcher.compare_count(values.len(), key));
        }
        let regex = |index: usize| matcher.regexes.get(index).and_then(Option::as_ref);
        let holds =
            |(index, key): (usize, &String)| values.iter().any(|value| matcher.compare(value, key, regex(index)).holds);
        keys.iter().enumerate().any(holds)
    }
}
