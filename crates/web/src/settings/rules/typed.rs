//! A rule as a form has it: rows of fields, some of them still empty.

use mailkit::EmailAddress;
use mailstore::{Keyword, Mailbox};
use rules::{Action, Condition, Folder, How, Join, Of, Rule};

use super::words::{self, size_exact, size_typed};
use crate::forms::Posted;
use crate::problem::Problem;
use crate::wrong::Wrong;

/// Most conditions of a rule.
pub const MAX_CONDITIONS: usize = 20;
/// Most actions of a rule.
pub const MAX_ACTIONS: usize = 10;
/// Most characters of a name, a value, a subject.
const MAX_SHORT: usize = 400;
/// Most values of one condition.
const MAX_VALUES: usize = 50;
/// Most characters of a reply or a reason.
const MAX_TEXT: usize = 6_000;

/// What can be looked at: value of the choice, and what it says.
pub const WHATS: [(&str, &str); 12] = [
    ("from", "Sender"),
    ("to", "To or Cc"),
    ("recipient", "Sent to my address"),
    ("subject", "Subject"),
    ("body", "Text of the message"),
    ("list", "Mailing list"),
    ("header", "Another header field"),
    ("size", "Size"),
    ("attachment", "Attachment"),
    ("known", "Sender in address book"),
    ("spam", "Looks like spam"),
    ("", "– remove this condition –"),
];
/// How texts are compared.
pub const HOWS: [(&str, &str); 10] = [
    ("contains", "contains"),
    ("not-contains", "doesn’t contain"),
    ("is", "is"),
    ("not-is", "isn’t"),
    ("begins", "begins with"),
    ("not-begins", "doesn’t begin with"),
    ("ends", "ends with"),
    ("not-ends", "doesn’t end with"),
    ("matches", "matches (* and ? stand for any characters)"),
    ("not-matches", "doesn’t match"),
];
/// What can be done.
pub const DOINGS: [(&str, &str); 16] = [
    ("move", "Move to a mailbox"),
    ("copy", "Put a copy in a mailbox"),
    ("label", "Add a label"),
    ("star", "Add a star"),
    ("read", "Mark as read"),
    ("forward", "Forward"),
    ("redirect", "Forward and keep no copy"),
    ("reply", "Reply to the sender"),
    ("snooze-08:00", "Snooze until 08:00"),
    ("snooze-18:00", "Snooze until 18:00"),
    ("snooze-1-08:00", "Snooze until Monday, 08:00"),
    ("keep", "Keep in the inbox"),
    ("reject", "Reject: the sender is told"),
    ("discard", "Delete: nobody is told"),
    ("nothing", "Do nothing"),
    ("", "– remove this action –"),
];

/// A rule as it is typed.
#[derive(Clone, Debug, Default)]
pub struct Typed {
    pub name: String,
    /// `all`, `any` or `every`.
    pub join: String,
    pub off: bool,
    pub stop: bool,
    pub conditions: Vec<ConditionRow>,
    pub actions: Vec<ActionRow>,
}

/// A condition as it is typed.
#[derive(Clone, Debug, Default)]
pub struct ConditionRow {
    pub what: String,
    pub how: String,
    /// The name of a header field.
    pub header: String,
    /// One value a line.
    pub value: String,
    /// One of one's own addresses.
    pub address: String,
    /// `over` or `under`
    pub than: String,
    pub size: String,
    /// `yes` or `no`
    pub is: String,
}

/// An action as it is typed.
#[derive(Clone, Debug, Default)]
pub struct ActionRow {
    pub doing: String,
    /// `m4`, or `=Name` of one that is not there.
    pub folder: String,
    pub label: String,
    pub to: String,
    pub subject: String,
    pub text: String,
}

impl Typed {
    /// Of a form.
    pub fn of(form: &Posted) -> Self {
        let field = |name: &str, at: usize| form.get(&format!("{name}-{at}")).to_owned();
        let has = |name: &str, at: &usize| form.all(&format!("{name}-{at}")).next().is_some();
        let conditions = (0..MAX_CONDITIONS).take_while(|at| has("what", at)).map(|at| ConditionRow {
            what: field("what", at),
            how: field("how", at),
            header: field("header", at),
            value: field("value", at),
            address: field("address", at),
            than: field("than", at),
            size: field("size", at),
            is: field("is", at),
        });
        let actions = (0..MAX_ACTIONS).take_while(|at| has("do", at)).map(|at| ActionRow {
            doing: field("do", at),
            folder: field("folder", at),
            label: field("label", at),
            to: field("to", at),
            subject: field("subject", at),
            text: field("text", at),
        });
        Self {
            name: form.get("name").to_owned(),
            join: form.get("join").to_owned(),
            off: form.get("off") == "1",
            stop: form.get("stop") == "1",
            conditions: conditions.collect(),
            actions: actions.collect(),
        }
    }

    /// Of a rule.
    pub fn show(rule: &Rule, mailboxes: &[Mailbox]) -> Self {
        let join = match rule.join {
            Join::All => "all",
            Join::Any => "any",
            Join::Every => "every",
        };
        let actions: Vec<ActionRow> = rule.actions.iter().filter_map(|act| shown_action(act, mailboxes)).collect();
        Self {
            name: rule.name.clone(),
            join: join.to_owned(),
            off: rule.off,
            stop: rule.actions.contains(&Action::Stop),
            conditions: rule.conditions.iter().map(shown_condition).collect(),
            actions: if actions.is_empty() {
                vec![ActionRow { doing: "nothing".to_owned(), ..ActionRow::default() }]
            } else {
                actions
            },
        }
    }

    /// For a new rule: one that looks at the sender and moves.
    pub fn new() -> Self {
        Self { join: "all".to_owned(), stop: true, ..Self::default() }.with_rows()
    }

    /// With at least one row of each kind.
    #[must_use]
    pub fn with_rows(mut self) -> Self {
        if self.conditions.is_empty() {
            self.conditions.push(ConditionRow { what: "from".to_owned(), ..ConditionRow::default() });
        }
        if self.actions.is_empty() {
            self.actions.push(ActionRow { doing: "move".to_owned(), ..ActionRow::default() });
        }
        self
    }

    /// The rule; notes what is wrong with the fields.
    pub fn rule(&self, mailboxes: &[Mailbox], wrong: &mut Wrong) -> Rule {
        if self.name.chars().count() > MAX_SHORT {
            wrong.add("name", Problem::TextTooLong(MAX_SHORT));
        }
        let join = match self.join.as_str() {
            "any" => Join::Any,
            "every" => Join::Every,
            _ => Join::All,
        };
        let mut conditions = Vec::new();
        for (at, row) in self.conditions.iter().enumerate().filter(|_| join != Join::Every) {
            if row.what.is_empty() {
                continue;
            }
            match condition(row) {
                Ok(condition) => conditions.push(condition),
                Err((field, problem)) => wrong.add(format!("{field}-{at}"), problem),
            }
        }
        if conditions.is_empty() && join != Join::Every && wrong.is_empty() {
            wrong.add("what-0", "Add a condition, or choose Every message.");
        }
        let mut actions = Vec::new();
        for (at, row) in self.actions.iter().enumerate() {
            match action(row, mailboxes) {
                Ok(done) => actions.extend(done),
                Err((field, problem)) => wrong.add(format!("{field}-{at}"), problem),
            }
        }
        if self.actions.iter().all(|row| row.doing.is_empty()) {
            wrong.add("do-0", "Choose what to do with these messages.");
        }
        agree(&actions, wrong);
        let ends = actions.iter().any(|action| matches!(action, Action::Reject(_) | Action::Discard));
        if self.stop || ends {
            actions.push(Action::Stop);
        }
        actions.sort_by_key(place);
        Rule { name: self.name.clone(), off: self.off, join, conditions, actions }.settled()
    }
}

/// In which order actions are done: flags before the copies that get them, the end last.
const fn place(action: &Action) -> usize {
    match action {
        Action::MarkRead => 0,
        Action::Star => 1,
        Action::Label(_) => 2,
        Action::CopyTo(_) => 3,
        Action::Forward { .. } => 4,
        Action::Reply { .. } => 5,
        Action::MoveTo(_) => 6,
        Action::Snooze { .. } => 7,
        Action::Keep => 8,
        Action::Reject(_) => 9,
        Action::Discard => 10,
        Action::Stop => 11,
    }
}

/// Notes what can't be done together.
fn agree(actions: &[Action], wrong: &mut Wrong) {
    let count = |is: fn(&Action) -> bool| actions.iter().filter(|action| is(action)).count();
    let ends = count(|action| matches!(action, Action::Discard));
    let files = count(|action| matches!(action, Action::MoveTo(_) | Action::Keep | Action::Snooze { .. }));
    if count(|action| matches!(action, Action::Reject(_))) > 0 && actions.len() > 1 {
        wrong.add("do-0", "A rejected message can’t be anything else, too. Remove the other actions.");
    } else if ends > 0 && files > 0 {
        wrong.add("do-0", "A message can’t be deleted and kept. Remove one of these actions.");
    } else if count(|action| matches!(action, Action::Reply { .. })) > 1 {
        wrong.add("do-0", "A message gets one reply. Remove the other one.");
    }
}

type Field<T> = Result<T, (&'static str, Problem)>;

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn shown_condition(condition: &Condition) -> ConditionRow {
    let row = |what: &str| ConditionRow { what: what.to_owned(), ..ConditionRow::default() };
    match condition {
        Condition::Text { of, how, not, values } => {
            let (what, header) = match of {
                Of::From => ("from", ""),
                Of::To => ("to", ""),
                Of::Subject => ("subject", ""),
                Of::Body => ("body", ""),
                Of::List => ("list", ""),
                Of::Recipient => ("recipient", ""),
                Of::Header(name) => ("header", name.as_str()),
            };
            let name = match how {
                How::Contains => "contains",
                How::Is => "is",
                How::Begins => "begins",
                How::Ends => "ends",
                How::Matches => "matches",
            };
            ConditionRow {
                how: format!("{}{name}", if *not { "not-" } else { "" }),
                header: header.to_owned(),
                value: values.join("\n"),
                address: if *of == Of::Recipient && *how == How::Is { values.join("\n") } else { String::new() },
                is: yes(!not),
                ..row(what)
            }
        }
        Condition::Size { over, bytes } => ConditionRow {
            than: if *over { "over" } else { "under" }.to_owned(),
            size: size_exact(*bytes),
            ..row("size")
        },
        Condition::Attachment(is) => ConditionRow { is: yes(*is), ..row("attachment") },
        Condition::Known(is) => ConditionRow { is: yes(*is), ..row("known") },
        Condition::Spam(is) => ConditionRow { is: yes(*is), ..row("spam") },
    }
}

fn condition(row: &ConditionRow) -> Field<Condition> {
    let is = row.is != "no";
    let of = match row.what.as_str() {
        "size" => {
            let bytes =
                size_typed(&row.size).ok_or(("size", Problem::from("Enter a size, such as 5 MB or 200 KB.")))?;
            return Ok(Condition::Size { over: row.than != "under", bytes });
        }
        "attachment" => return Ok(Condition::Attachment(is)),
        "known" => return Ok(Condition::Known(is)),
        "spam" => return Ok(Condition::Spam(is)),
        "from" => Of::From,
        "to" => Of::To,
        "subject" => Of::Subject,
        "body" => Of::Body,
        "list" => Of::List,
        "recipient" => Of::Recipient,
        "header" => Of::Header(header_name(&row.header)?),
        _ => return Err(("what", Problem::from("Choose what to look at."))),
    };
    let (not, how) = row.how.strip_prefix("not-").map_or((false, row.how.as_str()), |how| (true, how));
    let how = match how {
        "is" => How::Is,
        "begins" => How::Begins,
        "ends" => How::Ends,
        "matches" => How::Matches,
        _ => How::Contains,
    };
    if of == Of::Recipient && !row.address.is_empty() {
        let values = values(&row.address).map_err(|problem| ("address", problem))?;
        return Ok(Condition::Text { of, how: How::Is, not: !is, values });
    }
    let values = values(&row.value).map_err(|problem| ("value", problem))?;
    Ok(Condition::Text { of, how, not, values })
}

fn header_name(name: &str) -> Field<String> {
    let name = name.trim().trim_end_matches(':');
    let right = !name.is_empty() && name.len() <= 70 && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if right {
        Ok(name.to_owned())
    } else {
        Err(("header", Problem::from("Enter the name of a header field, such as X-Priority.")))
    }
}

/// The values of a condition, one a line.
fn values(text: &str) -> Result<Vec<String>, Problem> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let values: Vec<String> = lines.map(str::to_owned).collect();
    if values.is_empty() {
        return Err("Enter what to look for.".into());
    }
    if values.len() > MAX_VALUES {
        return Err(format!("A condition can have {MAX_VALUES} lines.").into());
    }
    if values.iter().any(|value| value.chars().count() > MAX_SHORT || value.chars().any(char::is_control)) {
        return Err(format!("A line can have {MAX_SHORT} characters.").into());
    }
    Ok(values)
}

fn shown_action(action: &Action, mailboxes: &[Mailbox]) -> Option<ActionRow> {
    let row = |doing: &str| ActionRow { doing: doing.to_owned(), ..ActionRow::default() };
    let filed = |doing: &str, folder: &Folder| ActionRow {
        folder: words::mailbox(folder, mailboxes)
            .map_or_else(|| format!("={}", folder.name), |mailbox| mailbox.id.to_string()),
        ..row(doing)
    };
    Some(match action {
        Action::MarkRead => row("read"),
        Action::Star => row("star"),
        Action::Label(label) => ActionRow { label: label.clone(), ..row("label") },
        Action::CopyTo(folder) => filed("copy", folder),
        Action::MoveTo(folder) => filed("move", folder),
        Action::Forward { to, keep } => ActionRow { to: to.clone(), ..row(if *keep { "forward" } else { "redirect" }) },
        Action::Reply { subject, text } => ActionRow { subject: subject.clone(), text: text.clone(), ..row("reply") },
        Action::Snooze { time, weekday } if weekday.is_empty() => row(&format!("snooze-{time}")),
        Action::Snooze { time, weekday } => row(&format!("snooze-{weekday}-{time}")),
        Action::Keep => row("keep"),
        Action::Reject(text) => ActionRow { text: text.clone(), ..row("reject") },
        Action::Discard => row("discard"),
        Action::Stop => return None,
    })
}

fn action(row: &ActionRow, mailboxes: &[Mailbox]) -> Field<Option<Action>> {
    Ok(Some(match row.doing.as_str() {
        "" | "nothing" => return Ok(None),
        "move" => Action::MoveTo(folder(row, mailboxes)?),
        "copy" => Action::CopyTo(folder(row, mailboxes)?),
        "label" => Action::Label(label(&row.label)?),
        "star" => Action::Star,
        "read" => Action::MarkRead,
        doing @ ("forward" | "redirect") => {
            let to = row.to.trim();
            let right = EmailAddress::parse(to);
            let why = "Choose an address. You add and confirm addresses under Settings, Forwarding.";
            right.map_err(|_| ("to", Problem::from(why)))?;
            Action::Forward { to: to.to_owned(), keep: doing == "forward" }
        }
        "reply" => {
            let subject = row.subject.trim();
            if subject.chars().count() > MAX_SHORT || subject.chars().any(char::is_control) {
                return Err(("subject", Problem::TextTooLong(MAX_SHORT)));
            }
            Action::Reply { subject: subject.to_owned(), text: text(row, "Enter the text of the reply.")? }
        }
        doing if doing.starts_with("snooze-") => snoozed(doing).ok_or(("do", Problem::from("Choose what to do.")))?,
        "keep" => Action::Keep,
        "reject" => Action::Reject(text(row, "Enter what the sender is told.")?),
        "discard" => Action::Discard,
        _ => return Err(("do", Problem::from("Choose what to do."))),
    }))
}

/// `snooze-08:00`, `snooze-1-08:00`.
fn snoozed(doing: &str) -> Option<Action> {
    let said = doing.strip_prefix("snooze-")?;
    let (weekday, time) = said.split_once('-').unwrap_or(("", said));
    let numbers = time.split_once(':').filter(|(hours, minutes)| hours.len() == 2 && minutes.len() == 2)?;
    let is_time = numbers.0.parse().is_ok_and(|hours: u8| hours < 24) && numbers.1.parse().is_ok_and(|m: u8| m < 60);
    let is_day = matches!(weekday.as_bytes(), [] | [b'0'..=b'6']);
    (is_time && is_day).then(|| Action::Snooze { time: time.to_owned(), weekday: weekday.to_owned() })
}

fn folder(row: &ActionRow, mailboxes: &[Mailbox]) -> Field<Folder> {
    if let Some(name) = row.folder.strip_prefix('=')
        && !name.is_empty()
        && mailstore::MailboxName::new(name).is_ok()
    {
        return Ok(Folder { name: name.to_owned(), id: String::new() });
    }
    let found = mailboxes.iter().find(|mailbox| mailbox.id.to_string() == row.folder);
    let found = found.ok_or(("folder", Problem::from("Choose a mailbox.")))?;
    Ok(Folder { name: found.name.as_str().to_owned(), id: found.id.to_string() })
}

fn label(typed: &str) -> Field<String> {
    let name = typed.trim();
    let right = !name.starts_with(['\\', '$']) && Keyword::new(name).is_ok();
    let why = "A label is one word of plain letters and digits, such as work.";
    if right { Ok(name.to_owned()) } else { Err(("label", Problem::from(why))) }
}

fn text(row: &ActionRow, missing: &'static str) -> Field<String> {
    if row.text.trim().is_empty() {
        return Err(("text", Problem::from(missing)));
    }
    if row.text.chars().count() > MAX_TEXT || row.text.contains('\0') {
        return Err(("text", Problem::TextTooLong(MAX_TEXT)));
    }
    Ok(row.text.clone())
}
