//! The labels of Gmail's export (Takeout): `X-Gmail-Labels: Inbox,Unread,Starred,Holiday`.
//!
//! In such a file only the labels tell whether a message was read and which folder it was in. Gmail writes the names of
//! its own labels in the account's language.

use mailkit::fold::loose;

use crate::{Flags, Keyword, MailboxName, Role, SystemFlag};

/// Labels of one message that are looked at.
const MAX_LABELS: usize = 100;

/// Where a message belongs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// In the mailbox with that role.
    Role(Role),
    /// In the mailbox of that name.
    Named(MailboxName),
}

/// What the labels of a message say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// Its flags; further labels of its owner are keywords, as far as their names can be.
    pub flags: Flags,
    /// Where it belongs.
    pub target: Target,
    /// Labels that became neither mailbox nor keyword.
    pub lost: u64,
}

/// What a label of Gmail itself means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    In(Role),
    Unread,
    Opened,
    Starred,
    Important,
    /// Tells nothing that is kept: categories, chats, muted conversations.
    Nothing,
}

/// The labels of Gmail itself, folded, in the languages that are known.
const OWN: [(Meaning, &[&str]); 11] = [
    (
        Meaning::In(Role::Inbox),
        &[
            "inbox",
            "posteingang",
            "boite de reception",
            "recibidos",
            "bandeja de entrada",
            "posta in arrivo",
            "caixa de entrada",
            "postvak in",
            "odebrane",
            "inkorg",
            "indbakke",
            "входящие",
            "受信トレイ",
            "收件箱",
        ],
    ),
    (
        Meaning::In(Role::Sent),
        &[
            "sent",
            "sent mail",
            "gesendet",
            "messages envoyes",
            "enviados",
            "posta inviata",
            "inviati",
            "enviadas",
            "e-mails enviados",
            "verzonden",
            "wyslane",
            "skickat",
            "sendt",
            "отправленные",
            "送信済み",
            "已发邮件",
        ],
    ),
    (
        Meaning::In(Role::Drafts),
        &[
            "draft",
            "drafts",
            "entwurf",
            "entwurfe",
            "brouillons",
            "borradores",
            "borrador",
            "bozze",
            "rascunhos",
            "concepten",
            "wersje robocze",
            "utkast",
            "kladder",
            "черновики",
            "下書き",
            "草稿",
        ],
    ),
    (
        Meaning::In(Role::Trash),
        &[
            "trash",
            "bin",
            "papierkorb",
            "corbeille",
            "papelera",
            "cestino",
            "lixeira",
            "prullenbak",
            "kosz",
            "papperskorgen",
            "papirkurv",
            "корзина",
            "ゴミ箱",
            "已删除邮件",
        ],
    ),
    (
        Meaning::In(Role::Junk),
        &["spam", "junk", "courrier indesirable", "correo no deseado", "спам", "迷惑メール", "垃圾邮件"],
    ),
    (
        Meaning::In(Role::Archive),
        &[
            "archived",
            "archiviert",
            "archives",
            "archive",
            "archivados",
            "archivado",
            "archiviati",
            "arquivados",
            "gearchiveerd",
        ],
    ),
    (
        Meaning::Unread,
        &[
            "unread",
            "ungelesen",
            "non lus",
            "non lu",
            "no leidos",
            "da leggere",
            "nao lidas",
            "ongelezen",
            "nieprzeczytane",
            "olasta",
            "непрочитанные",
        ],
    ),
    (
        Meaning::Opened,
        &[
            "opened", "read", "geoffnet", "ouvert", "ouverts", "abierto", "abiertos", "aperto", "aperti", "aberto",
            "lidas", "geopend",
        ],
    ),
    (
        Meaning::Starred,
        &[
            "starred",
            "markiert",
            "suivis",
            "destacados",
            "speciali",
            "com estrela",
            "met ster",
            "oznaczone gwiazdka",
            "помеченные",
        ],
    ),
    (
        Meaning::Important,
        &[
            "important",
            "wichtig",
            "importants",
            "importantes",
            "importante",
            "importanti",
            "belangrijk",
            "wazne",
            "viktigt",
            "важное",
        ],
    ),
    (Meaning::Nothing, &["chat", "muted", "scheduled", "snoozed", "all mail", "alle nachrichten"]),
];

/// Read the (decoded) value of the field.
pub fn read(value: &str) -> Labels {
    let mut flags = Flags::NONE;
    let (mut unread, mut own, mut rest, mut lost) = (false, Vec::new(), Vec::new(), 0);
    for label in split(value) {
        let folded = loose(&label);
        // `Category personal`, `Kategorie: Werbung`.
        let category = ["category", "categor", "kategorie"].iter().any(|word| folded.starts_with(word));
        let known = OWN.iter().find(|(_, names)| names.contains(&folded.as_str())).map(|(meaning, _)| *meaning);
        match known {
            Some(Meaning::In(role)) => own.push(role),
            Some(Meaning::Unread) => unread = true,
            Some(Meaning::Starred) => flags.insert(SystemFlag::Flagged),
            Some(Meaning::Important) => lost += u64::from(!keep(&mut flags, "$Important")),
            Some(Meaning::Opened | Meaning::Nothing) => {}
            None if category => {}
            None => rest.push(label),
        }
    }
    if !unread {
        flags.insert(SystemFlag::Seen);
    }
    let first = [Role::Trash, Role::Junk, Role::Drafts, Role::Inbox, Role::Sent];
    let role = first.into_iter().find(|role| own.contains(role));
    if role == Some(Role::Drafts) {
        flags.insert(SystemFlag::Draft);
    }
    let mut rest = rest.into_iter();
    let target = match role {
        Some(role) => Target::Role(role),
        None => rest.find_map(|label| named(&label)).map_or(Target::Role(Role::Archive), Target::Named),
    };
    for label in rest {
        lost += u64::from(!keep(&mut flags, &label.replace(' ', "_")));
    }
    Labels { flags, target, lost }
}

fn keep(flags: &mut Flags, name: &str) -> bool {
    Keyword::new(name).is_ok_and(|keyword| flags.insert_keyword(keyword).is_ok())
}

/// The mailbox of a label; a slash in it is a level, as in Gmail.
fn named(label: &str) -> Option<MailboxName> {
    MailboxName::near(label.split('/'))
}

/// Labels between commas; quotation marks keep commas together.
fn split(value: &str) -> Vec<String> {
    let mut labels = vec![String::new()];
    let mut quoted = false;
    for c in value.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted && labels.len() < MAX_LABELS => labels.push(String::new()),
            c => labels.last_mut().expect("there is one").push(c),
        }
    }
    labels.iter().map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_say_what_was_read_and_where_a_message_lay() {
        for (value, flags, target) in [
            ("Inbox,Unread", "", "INBOX"),
            ("Inbox,Opened,Starred", "\\Flagged \\Seen", "INBOX"),
            ("Archived,Opened", "\\Seen", "Archive"),
            ("Archived,Opened,Réunion", "\\Seen", "=Réunion"),
            ("Trash,Opened,Holiday", "\\Seen Holiday", "Trash"),
            ("Spam,Unread", "", "Junk"),
            ("Drafts,Opened", "\\Seen \\Draft", "Drafts"),
            ("Sent,Important,Category personal", "\\Seen $Important", "Sent"),
            ("Posteingang,Ungelesen,Markiert,Wichtig", "\\Flagged $Important", "INBOX"),
            ("Entwürfe,Geöffnet", "\\Seen \\Draft", "Drafts"),
            ("Boîte de réception,Non lus", "", "INBOX"),
            ("Work/Projects/2026,Opened", "\\Seen", "=Work/Projects/2026"),
            ("\"Smith, Jones\",Opened", "\\Seen", "=Smith, Jones"),
            ("Inbox,Two words,Opened", "\\Seen Two_words", "INBOX"),
            ("", "\\Seen", "Archive"),
        ] {
            let labels = read(value);
            let expected = match target.strip_prefix('=') {
                Some(name) => Target::Named(MailboxName::new(name).unwrap()),
                None => Target::Role(match target {
                    "INBOX" => Role::Inbox,
                    "Archive" => Role::Archive,
                    "Trash" => Role::Trash,
                    "Junk" => Role::Junk,
                    "Drafts" => Role::Drafts,
                    _ => Role::Sent,
                }),
            };
            assert_eq!((labels.flags.to_string().as_str(), &labels.target), (flags, &expected), "{value}");
        }
        assert_eq!(read("Inbox,Réunion").lost, 1);
    }
}
