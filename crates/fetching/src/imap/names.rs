//! Which mailbox here is that of a server's mailbox.

use mailkit::charset::decode_mutf7;
use mailkit::fold::loose;
use mailstore::{MailboxName, Role};

use super::response::Listed;

/// What Gmail puts its own mailboxes below.
const GMAIL: [&str; 2] = ["[Gmail]", "[Google Mail]"];

/// A mailbox of the server that is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Theirs {
    /// Its name as the server writes it.
    pub raw: Vec<u8>,
    /// For people.
    pub name: String,
    /// Where it goes.
    pub to: To,
    /// It has all messages once more (Gmail's All Mail).
    pub is_all: bool,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// To the mailbox with this role, if there is one, else to the one of that name.
    Role(Role, MailboxName),
    /// To the mailbox of that name.
    Name(MailboxName),
}

/// Names that servers without special-use attributes (RFC 6154) give to such mailboxes, folded.
const USUAL: [(Role, &[&str]); 5] = [
    (
        Role::Sent,
        &[
            "sent",
            "sent items",
            "sent messages",
            "sent mail",
            "gesendet",
            "gesendete objekte",
            "gesendete elemente",
            "envoyes",
            "elements envoyes",
            "enviados",
            "elementos enviados",
            "verzonden",
            "posta inviata",
        ],
    ),
    (Role::Drafts, &["drafts", "draft", "entwurfe", "brouillons", "borradores", "concepten", "bozze"]),
    (
        Role::Junk,
        &["junk", "spam", "junk e-mail", "junk mail", "bulk mail", "junk-e-mail", "spamverdacht", "unerwunscht"],
    ),
    (
        Role::Trash,
        &[
            "trash",
            "deleted items",
            "deleted messages",
            "deleted",
            "papierkorb",
            "geloschte elemente",
            "corbeille",
            "elements supprimes",
            "papelera",
            "prullenbak",
            "cestino",
        ],
    ),
    (Role::Archive, &["archive", "archives", "archiv", "archivo"]),
];

/// The mailboxes that are fetched, in the order in which they are: the inbox first, what has everything once more last.
pub(crate) fn to_fetch(listed: &[Listed], inbox_only: bool) -> Vec<Theirs> {
    let has = |listed: &Listed, attribute: &str| listed.attributes.iter().any(|one| one == attribute);
    let special = listed.iter().any(|one| role_of(one).is_some());
    let prefix = common_prefix(listed);
    let mut found: Vec<Theirs> = Vec::new();
    for one in listed {
        let is_inbox = one.name.eq_ignore_ascii_case(b"INBOX");
        // What only shows messages of other mailboxes is passed over.
        let virtual_ = has(one, "\\flagged") || has(one, "\\important");
        let no_messages = has(one, "\\noselect") || has(one, "\\nonexistent");
        let unspeakable = one.name.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        if no_messages || virtual_ || unspeakable || (inbox_only && !is_inbox) {
            continue;
        }
        let (name, to) = target(one, prefix, special);
        if let Some(to) = to
            && !found.iter().any(|other| other.raw == one.name)
        {
            found.push(Theirs { raw: one.name.clone(), name, to, is_all: has(one, "\\all") });
        }
    }
    if found.is_empty() && inbox_only {
        let to = To::Role(Role::Inbox, MailboxName::inbox());
        found.push(Theirs { raw: b"INBOX".to_vec(), name: "INBOX".to_owned(), to, is_all: false });
    }
    found.sort_by_key(|one| (one.is_all, !one.raw.eq_ignore_ascii_case(b"INBOX")));
    found
}

fn role_of(listed: &Listed) -> Option<Role> {
    listed.attributes.iter().find_map(|attribute| match attribute.as_str() {
        "\\sent" => Some(Role::Sent),
        "\\drafts" => Some(Role::Drafts),
        "\\junk" => Some(Role::Junk),
        "\\trash" => Some(Role::Trash),
        "\\archive" | "\\all" => Some(Role::Archive),
        _ => None,
    })
}

/// `INBOX` and the delimiter, where all other mailboxes lie below the inbox.
fn common_prefix(listed: &[Listed]) -> bool {
    let mut others = listed.iter().filter(|one| !one.name.eq_ignore_ascii_case(b"INBOX")).peekable();
    let below = |one: &Listed| {
        let bytes = one.name.as_slice();
        bytes.len() > 6
            && bytes[..5].eq_ignore_ascii_case(b"INBOX")
            && one.delimiter.is_some_and(|d| char::from(bytes[5]) == d)
    };
    others.peek().is_some() && others.all(below)
}

fn target(listed: &Listed, below_inbox: bool, special: bool) -> (String, Option<To>) {
    let raw = String::from_utf8_lossy(&listed.name).into_owned();
    // A name that is not in modified UTF-7 is taken as it is: servers with UTF-8 names are in the wild.
    let name = decode_mutf7(&raw).unwrap_or(raw);
    if name.eq_ignore_ascii_case("INBOX") {
        return ("INBOX".to_owned(), Some(To::Role(Role::Inbox, MailboxName::inbox())));
    }
    let mut parts: Vec<&str> = match listed.delimiter {
        Some(delimiter) => name.split(delimiter).collect(),
        None => vec![name.as_str()],
    };
    if parts.len() > 1 && (below_inbox || GMAIL.contains(&parts[0])) {
        parts.remove(0);
    }
    let usual = || {
        let [only] = parts.as_slice() else { return None };
        let folded = loose(only);
        USUAL.iter().find(|(_, names)| names.contains(&folded.as_str())).map(|(role, _)| *role)
    };
    let role = role_of(listed).or_else(|| if special { None } else { usual() });
    let near = MailboxName::near(parts.iter().copied());
    let to = near.map(|near| match role {
        Some(role) => To::Role(role, near),
        None => To::Name(near),
    });
    (name, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, delimiter: char, attributes: &[&str]) -> Listed {
        let attributes = attributes.iter().map(|one| (*one).to_owned()).collect();
        Listed { attributes, delimiter: Some(delimiter), name: name.as_bytes().to_vec() }
    }

    fn shown(theirs: &[Theirs]) -> Vec<String> {
        let one = |theirs: &Theirs| match &theirs.to {
            To::Role(role, _) => format!("{} -> role {role}", theirs.name),
            To::Name(name) => format!("{} -> {name}", theirs.name),
        };
        theirs.iter().map(one).collect()
    }

    #[test]
    fn hierarchies_delimiters_and_names_are_mapped() {
        let names = [
            listed("Work.2024", '.', &[]),
            listed("inbox", '.', &["\\hasnochildren"]),
            listed("Entw&APw-rfe", '.', &[]),
            listed("Sent Items", '.', &[]),
            listed("a/b", '.', &[]),
            listed("parent", '.', &["\\noselect"]),
        ];
        assert_eq!(
            shown(&to_fetch(&names, false)),
            [
                "INBOX -> role INBOX",
                "Work.2024 -> Work/2024",
                "Entwürfe -> role Drafts",
                "Sent Items -> role Sent",
                "a/b -> a_b"
            ]
        );
        assert_eq!(shown(&to_fetch(&names, true)), ["INBOX -> role INBOX"]);
    }

    #[test]
    fn mailboxes_below_the_inbox_come_out_of_it_if_all_are_there() {
        let below = [listed("INBOX", '.', &[]), listed("INBOX.Sent", '.', &[]), listed("INBOX.a.b", '.', &[])];
        assert_eq!(
            shown(&to_fetch(&below, false)),
            ["INBOX -> role INBOX", "INBOX.Sent -> role Sent", "INBOX.a.b -> a/b"]
        );
        let mixed = [listed("INBOX", '/', &[]), listed("INBOX/x", '/', &[]), listed("y", '/', &[])];
        assert_eq!(shown(&to_fetch(&mixed, false)), ["INBOX -> role INBOX", "INBOX/x -> INBOX/x", "y -> y"]);
    }

    #[test]
    fn of_gmail_all_mail_comes_last_and_what_is_virtual_not_at_all() {
        let gmail = [
            listed("[Gmail]/All Mail", '/', &["\\all"]),
            listed("INBOX", '/', &[]),
            listed("[Gmail]", '/', &["\\noselect"]),
            listed("[Gmail]/Starred", '/', &["\\flagged"]),
            listed("[Gmail]/Important", '/', &["\\important"]),
            listed("[Gmail]/Sent Mail", '/', &["\\sent"]),
            listed("Holiday/2024", '/', &[]),
            listed("Sent", '/', &[]),
        ];
        assert_eq!(
            shown(&to_fetch(&gmail, false)),
            [
                "INBOX -> role INBOX",
                "[Gmail]/Sent Mail -> role Sent",
                "Holiday/2024 -> Holiday/2024",
                "Sent -> Sent",
                "[Gmail]/All Mail -> role Archive"
            ]
        );
    }
}
