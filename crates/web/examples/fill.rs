//! Fill a folder with an account that looks lived in, and as many messages as asked for:
//! `cargo run -p web --example fill -- FOLDER COUNT`, then `--example serve -- FOLDER PORT`.
//! Sign in as `margaret@example.org` with `correct horse battery`. For pictures of the pages and for measuring lists.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use directory::{Directory, DirectoryOptions, NewAccount, Role};
use futures_util::StreamExt;
use mailkit::EmailAddress;
use mailstore::{Flags, MailStore, MailboxName, NewMessage, Role as MailboxRole, SystemFlag};
use testkit::House;

/// From, address, subject, text.
const LETTERS: [(&str, &str, &str, &str); 8] = [
    (
        "Ada Lovelace",
        "ada@example.org",
        "Notes on the engine",
        "I have been thinking about the order in which the cards are read, and whether the store could hold the cards themselves.\n\nWould Thursday suit you?",
    ),
    (
        "Grace Hopper",
        "grace@navy.example",
        "Compiler meeting",
        "Thursday works. I will bring the moth, taped into the log book as before.\n\nThe agenda is at https://navy.example/agenda?week=47",
    ),
    (
        "Kelp Forest Trust",
        "news@kelp.example",
        "The tide pools are open again",
        "After the storm we counted every holdfast on the transect: 212 of 214 held.",
    ),
    (
        "Noor Haddad",
        "noor@example.org",
        "Invoice 118 for the mooring",
        "Dear Margaret,\n\nplease find the invoice for November below. It is due in three weeks.",
    ),
    ("Build server", "ci@example.org", "Build 4711 passed", "All 1,204 tests passed in 3 min 12 s."),
    (
        "Inês Duarte",
        "ines@duarte.example",
        "Photos from the harbour",
        "The light was lovely. Here are the best twelve, the others are in the album.",
    ),
    ("Tomasz Wójcik", "tomasz@example.org", "Ladder for the boat", "No hurry. It is behind the shed, help yourself."),
    ("陈伟", "wei@example.cn", "会议安排", "您好，周四下午三点可以吗？"),
];

const NEWSLETTER: &str = r##"<html><body bgcolor="#eef5f4"><table width="100%" cellpadding="24"><tr><td align="center">
<table width="560" bgcolor="#ffffff" cellpadding="28" style="border-radius:12px"><tr><td>
<h1 style="color:#0e5f6b;font-family:Georgia,serif">212 of 214 held</h1>
<p style="font-size:16px;line-height:1.6">After the storm we counted every <b>holdfast</b> on the transect. Two let go;
the rest kept their kelp upright through nine metres of swell.</p>
<p><img src="https://kelp.example/transect.jpg" width="500" height="200" alt="The transect at low water"></p>
<p style="font-size:16px;line-height:1.6">The tide pools are open again from Saturday.
<a href="https://kelp.example/visit" style="color:#0e5f6b">Plan your visit</a>.</p></td></tr></table></td></tr></table></body></html>"##;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("which folder?")?;
    let count: usize = args.next().unwrap_or_else(|| "40".to_owned()).parse()?;
    let House { store, directory, mailstore: mail } =
        House::open_blocking(Path::new(&folder), DirectoryOptions::default(), false);
    tokio::runtime::Runtime::new()?.block_on(fill(&mail, &directory, count))?;
    store.close();
    Ok(())
}

async fn fill(mail: &MailStore, directory: &Directory, count: usize) -> Result<(), Box<dyn Error>> {
    directory.add_domain("example.org").await?;
    let account = directory
        .create_account(NewAccount {
            address: EmailAddress::parse("margaret@example.org")?,
            name: "Margaret Hamilton".to_owned(),
            password: "correct horse battery".to_owned(),
            role: Role::Admin,
            quota_bytes: 10_000_000_000,
        })
        .await?;
    let realm = account.realm();
    mail.create_standard_mailboxes(realm).await?;
    for name in ["Boat", "Boat/Moorings", "Travel"] {
        mail.create_mailbox(realm, MailboxName::new(name)?, None).await?;
    }
    let inbox = mail.mailbox_by_role(realm, MailboxRole::Inbox)?.ok_or("no INBOX")?.id;
    let now = jiff::Timestamp::now().as_millisecond();
    // Oldest first, and closer together the newer they are.
    let mut appends = futures_util::stream::iter((0..count).rev())
        .map(|n| {
            let age_ms = (n as i64 * 47 + n as i64 * n as i64 / 3) * 60_000 % (900 * 86_400_000);
            let raw = letter(n, now - age_ms);
            let (mail, parsed) = (mail.clone(), Arc::new(mailkit::parse(&raw)));
            let unread = matches!(n, 0 | 2 | 5) || n > 60 && n % 97 == 0;
            let mut flags = if unread { Flags::NONE } else { Flags::of(&[SystemFlag::Seen]) };
            if n % 23 == 6 {
                flags.insert(SystemFlag::Flagged);
            }
            async move {
                let stage = mail.clone();
                let body = tokio::task::spawn_blocking(move || stage.stage(&raw)).await??;
                let internal_date_ms = parsed.date_ms.unwrap_or(now);
                let message =
                    NewMessage { body, parsed, flags, internal_date_ms, delivery_key: None, ignore_quota: false };
                mail.append(realm, inbox, message).await?;
                Ok::<_, Box<dyn Error + Send + Sync>>(())
            }
        })
        .buffered(400);
    while let Some(done) = appends.next().await {
        done.map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn letter(n: usize, date_ms: i64) -> Vec<u8> {
    let (name, address, subject, text) = LETTERS[n % LETTERS.len()];
    let date = mailkit::date::format(date_ms);
    // Some belong together: a question, and answers to it.
    let thread = if n % 3 == 1 && n % 16 < 8 { n + 8 } else { n };
    let (re, references) = if thread == n || n > 500 {
        (String::new(), String::new())
    } else {
        ("Re: ".to_owned(), format!("In-Reply-To: <{thread}@example.org>\r\n"))
    };
    let number = if n < LETTERS.len() * 2 { String::new() } else { format!(" ({n})") };
    let head = format!(
        "From: {name} <{address}>\r\nTo: Margaret Hamilton <margaret@example.org>\r\nSubject: {re}{subject}{number}\r\n\
         Date: {date}\r\nMessage-ID: <{n}@example.org>\r\n{references}MIME-Version: 1.0\r\n"
    );
    let text = text.replace('\n', "\r\n");
    match n % LETTERS.len() {
        2 => format!("{head}Content-Type: text/html; charset=utf-8\r\n\r\n{NEWSLETTER}\r\n"),
        3 | 5 => {
            let file = if n % LETTERS.len() == 3 { ("application/pdf", "invoice-118.pdf") } else { ("image/jpeg", "harbour.jpg") };
            let content = "SG9sZGZhc3QK".repeat(800);
            format!(
                "{head}Content-Type: multipart/mixed; boundary=frontier\r\n\r\n--frontier\r\nContent-Type: text/plain; \
                 charset=utf-8\r\n\r\n{text}\r\n--frontier\r\nContent-Type: {0}; name=\"{1}\"\r\nContent-Disposition: \
                 attachment; filename=\"{1}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{content}\r\n--frontier--\r\n",
                file.0, file.1
            )
        }
        _ => format!("{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"),
    }
    .into_bytes()
}
