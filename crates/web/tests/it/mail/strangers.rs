//! What strangers write: shown within bounds, asked for by nobody but its reader, passed on as it looks.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use mailstore::{Role, SystemFlag};

use crate::world::{Answer, Browser, World};
use crate::writing::letter;

const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mP8z8BQz0AEYBxVSF+FABJADveWkH6oAAAAAElFTkSuQmCC";

fn html_mail(subject: &str, html: &str) -> Vec<u8> {
    format!("From: Ines <ines@sender.example>\r\nTo: ann@example.org\r\nSubject: {subject}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n")
        .into_bytes()
}

fn with_picture(html: &str) -> Vec<u8> {
    format!(
        "From: Ines <ines@sender.example>\r\nTo: ann@example.org\r\nSubject: Pictured\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: multipart/related; boundary=r\r\n\r\n\
         --r\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n--r\r\nContent-Type: image/png\r\nContent-ID: <pic@x>\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{PICTURE}\r\n--r--\r\n--m\r\nContent-Type: text/plain\r\n\
         Content-Disposition: attachment; filename=tide.txt\r\n\r\nhigh\r\n--m--\r\n"
    )
    .into_bytes()
}

async fn as_destination(browser: &mut Browser, path: &str, destination: &str) -> Answer {
    browser.send(Request::get(path).header("sec-fetch-dest", destination).body(Body::empty()).unwrap()).await
}

/// The addresses of the frames of a page.
fn frames(page: &str) -> Vec<String> {
    let sources = page.split("<iframe ").skip(1).filter_map(|frame| frame.split("src=\"").nth(1)?.split('"').next());
    sources.map(|source| source.replace("&amp;", "&").replace("&#38;", "&")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_loaded_as_a_picture_does_nothing() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let filed = world.file("ann", inbox, &with_picture("<img src='cid:pic@x'>")).await;
    let realm = world.id("ann").realm();
    let unread = || !world.mail.entries(realm, inbox, &[filed.uid]).unwrap()[0].flags.contains(SystemFlag::Seen);
    let mut browser = world.signed_in("ann").await;
    let conversation = format!("/mail/{inbox}/{}", filed.thread_id);
    let all = [
        conversation.clone(),
        format!("{conversation}?open=all"),
        "/mail/inbox".into(),
        format!("/message/{}/html", filed.email_id),
        format!("/message/{}/download", filed.email_id),
        "/search?q=x".into(),
        "/".into(),
        "/signin".into(),
    ];
    for path in &all {
        for destination in ["image", "style", "script", "font", "audio", "video", "object", "embed", "track", "frame"] {
            let answer = as_destination(&mut browser, path, destination).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {destination}");
        }
    }
    assert!(unread(), "nothing was read by it");
    let inline = format!("/message/{}/inline/1.2", filed.email_id);
    assert_eq!(as_destination(&mut browser, &inline, "image").await.status, StatusCode::OK);
    for destination in ["document", "empty"] {
        assert_eq!(as_destination(&mut browser, &conversation, destination).await.status, StatusCode::OK);
    }
    assert!(!unread());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_loads_its_own_pictures_and_nothing_else_of_this_site() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let html = "<img src='cid:pic@x'><img src='https://mail.example.org/mail/inbox/t1?open=all'><img src='https://pictures.example/a.png'>\
        <p style='list-style: \"rgb(\" url(/mail/inbox/t1)'>x</p>";
    let filed = world.file("ann", inbox, &with_picture(html)).await;
    let mut browser = world.signed_in("ann").await;
    for pictures in [0, 1] {
        let request = Request::get(format!("/message/{}/html?images={pictures}", filed.email_id));
        let request = request.header("host", "mail.example.org").header("sec-fetch-dest", "iframe");
        let frame = browser.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(frame.status, StatusCode::OK);
        let policy = frame.header("content-security-policy").to_owned();
        let inline = format!("img-src mail.example.org/message/{}/inline/ data:", filed.email_id);
        assert!(policy.contains(&inline) && !policy.contains("img-src 'self'"), "{policy}");
        assert_eq!(policy.contains("https: http:"), pictures == 1, "{policy}");
        let text = frame.text();
        assert!(text.contains(&format!("src=\"/message/{}/inline/1.2\"", filed.email_id)), "{text}");
        assert!(!text.contains("mail/inbox") && !text.contains("url("), "{text}");
        assert_eq!(text.contains("https://pictures.example/a.png"), pictures == 1, "{text}");
    }
}

/// Twelve messages of links in one line, of megabytes, of many unread: a page of them is a page.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_of_hostile_sizes_is_shown_within_bounds() {
    const COUNT: usize = 12;
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let families: [(&str, String); 4] = [
        ("text/plain", "a@b.cc ".repeat(29_000)),
        ("text/plain", "> x\r\ny\r\n".repeat(20_000)),
        ("text/html", "<table>x<tr>".repeat(30_000)),
        ("text/html", format!("<style>{}</style>{}", "*{background:url(a)}".repeat(5_000), "<div>x".repeat(20_000))),
    ];
    let mut browser = world.signed_in("ann").await;
    for (number, (kind, body)) in families.iter().enumerate() {
        let mut last = None;
        for message in 0..COUNT {
            let raw = format!(
                "From: a@b.example\r\nSubject: sizes {number}\r\nMessage-ID: <{number}.{message}@x>\r\nReferences: <{number}.0@x>\r\nContent-Type: {kind}\r\n\r\n{body}\r\n"
            );
            last = Some(world.file("ann", inbox, raw.as_bytes()).await);
        }
        let last = last.unwrap();
        let here = format!("/mail/{inbox}/{}", last.thread_id);
        let page = browser.get(&here).await;
        assert_eq!(page.status, StatusCode::OK, "{number}");
        // What every open message may add is bounded, and so is how many are open.
        assert!(page.body.len() < 12_000_000, "{number}: {} bytes", page.body.len());
        let text = page.text();
        let open = text.matches("<article class=\"msg\"").count();
        assert!((1..=COUNT).contains(&open), "{number}: {open}");
        // What did not fit can be opened by itself.
        if let Some(shut) = text.split("<article class=\"msg shut\" id=\"").nth(1) {
            let id = shut.split('"').next().unwrap();
            let alone = browser.get(&format!("{here}?open={id}")).await.text();
            assert!(alone.contains(&format!("<article class=\"msg\" id=\"{id}\"")), "{number}: {id}");
        }
    }
}

/// A client that has gone is not worked for: what comes after it has its turn.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_nobody_waits_for_are_given_up() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let filed = world.file("ann", inbox, &html_mail("Long", &"<p style='color:red'>words</p>".repeat(30_000))).await;
    let browser = world.signed_in("ann").await;
    let frame = format!("/message/{}/html", filed.email_id);
    for _ in 0..40 {
        let (mut browser, frame) = (browser.clone(), frame.clone());
        let asked = tokio::spawn(async move { browser.get(&frame).await.status });
        tokio::task::yield_now().await;
        asked.abort();
    }
    let answers = (0..8).map(|_| {
        let (mut browser, frame) = (browser.clone(), frame.clone());
        async move { browser.get(&frame).await }
    });
    for answer in futures_util::future::join_all(answers).await {
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.body.len().to_string(), answer.header("content-length"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_to_html_quotes_lines_of_words() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let link = "https://shop.example/track/4711?token=abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz";
    let html = format!(
        "<table border=0><tr><td><table><tr><td>Hello Anna,</td></tr><tr><td>your order <b>4711</b> is on its way.</td></tr>\
         <tr><td><a href='{link}'>Follow it</a></td></tr></table></td><td>Side bar</td></tr></table>"
    );
    let filed = world.file("ann", inbox, &html_mail("Order", &html)).await;
    let mut browser = world.signed_in("ann").await;
    let page = browser
        .get(&format!("/compose?reply={}", filed.email_id))
        .await
        .text()
        .replace("&#62;", "&gt;")
        .replace("&#60;", "&lt;");
    let text = page.split("<textarea").nth(1).unwrap().split("</textarea>").next().unwrap().to_owned();
    let lines: Vec<&str> = text.lines().collect();
    let quoted = format!("&gt; &lt;{link}&gt;");
    for line in
        ["&gt; Hello Anna,", "&gt; your order 4711 is on its way.", "&gt; Follow it", quoted.as_str(), "&gt; Side bar"]
    {
        assert!(lines.contains(&line), "{line}: {text}");
    }
}

/// The last message in Sent.
async fn sent(world: &World, name: &str) -> (String, mailkit::Parsed, Vec<u8>) {
    let sent = world.mailbox(name, Role::Sent).id;
    let realm = world.id(name).realm();
    let uids: Vec<mailstore::Uid> = (1..50).map(mailstore::Uid).collect();
    let entry = world.mail.entries(realm, sent, &uids).unwrap().pop().unwrap();
    let (mail, id) = (world.mail.clone(), entry.email_id);
    let raw =
        tokio::task::spawn_blocking(move || mail.body(realm, id).unwrap().read_all().unwrap()).await.unwrap().to_vec();
    (entry.email_id.to_string(), mailkit::parse(&raw), raw)
}

fn shown(raw: &[u8], parsed: &mailkit::Parsed) -> mailkit::display::Shown {
    let options = mailkit::display::ReadOptions { remote_images: false, inline_url: &|part| format!("/part/{part}") };
    mailkit::display::show(raw, parsed, &options)
}

#[tokio::test(flavor = "multi_thread")]
async fn html_is_passed_on_as_it_looks_also_out_of_a_draft() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let html = "<style>.h{background:#0b3d66}</style><body bgcolor='#eeeeee'><table><tr><td class='h' style='color:#fff'>Big sale</td></tr></table>\
        <img src='cid:pic@x'><a href='https://shop.example/'>our shop</a><script>x</script>";
    let filed = world.file("ann", inbox, &with_picture(html)).await;
    let mut browser = world.signed_in("ann").await;
    let page = browser.get(&format!("/compose?forward={}", filed.email_id)).await;
    let text = page.text();
    assert!(text.contains("name=\"original\" value=\"html\" checked") && text.contains("tide.txt"), "{text}");
    assert_eq!(frames(&text), [format!("/message/{}/html?images=0", filed.email_id)]);
    let mut fields = letter(&page.value("key"), &page.csrf(), "bob@example.org");
    fields.retain(|(name, _)| !matches!(*name, "text" | "do"));
    let answers = format!("forward:{}", filed.email_id);
    fields.extend([("text", "Look, <Bob>!".to_owned()), ("answers", answers), ("original", "html".to_owned())]);
    // Kept, and gone on with from the draft alone.
    let save = [fields.clone(), vec![("do", "save".to_owned())]].concat();
    let saved = browser.compose(&save, &[]).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text());
    let draft = saved.location().split("draft=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let again = browser.get(&format!("/compose?draft={draft}")).await;
    let text = again.text();
    assert!(text.contains("name=\"original\" value=\"html\" checked") && text.contains("tide.txt"), "{text}");
    let area = text.split("<textarea").nth(1).unwrap().split("</textarea>").next().unwrap();
    assert!(area.contains("Look, ") && !area.contains("Big sale"), "{area}");
    fields.retain(|(name, _)| *name != "answers");
    let send = [fields, vec![("draft", draft), ("do", "send".to_owned())]].concat();
    let done = browser.compose(&send, &[]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    let (_, parsed, raw) = sent(&world, "ann").await;
    let shown = shown(&raw, &parsed);
    let html = shown.html.unwrap();
    for kept in [
        "Look, &lt;Bob&gt;!",
        "Big sale",
        "class=\"m-h\"",
        ".m-h{background: #0b3d66}",
        "href=\"https://shop.example/\"",
        "src=\"/part/1.2.2\"",
        "ines@sender.example",
    ] {
        assert!(html.contains(kept), "{kept}: {html}");
    }
    assert_eq!(html.matches("<main").count(), 1, "{html}");
    for kept in ["Look, <Bob>!", "-------- Forwarded message --------", "From: Ines <ines@sender.example>", "Big sale"]
    {
        assert!(shown.text.contains(kept), "{kept}: {}", shown.text);
    }
    let files: Vec<&str> = shown.attachments.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(files, ["tide.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_passed_on_as_a_file_or_as_text() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let original = html_mail("Big sale", "<h1>Sale</h1><p>of <b>ropes</b></p>");
    let filed = world.file("ann", inbox, &original).await;
    let mut browser = world.signed_in("ann").await;
    let reading = browser.get(&format!("/mail/{inbox}/{}", filed.thread_id)).await.text();
    assert!(reading.contains(&format!("/compose?forward={}&amp;as=file", filed.email_id)), "{reading}");
    let page = browser.get(&format!("/compose?forward={}&as=file", filed.email_id)).await;
    assert!(page.text().contains("Big sale.eml"), "{}", page.text());
    let mut fields = letter(&page.value("key"), &page.csrf(), "bob@example.org");
    fields.push(("answers", page.value("answers")));
    assert_eq!(browser.compose(&fields, &[]).await.status, StatusCode::SEE_OTHER);
    let (_, parsed, raw) = sent(&world, "ann").await;
    let files = mailkit::display::files(&raw, &parsed);
    assert_eq!((files.len(), files[0].content_type.as_str()), (1, "message/rfc822"));
    assert_eq!(mailkit::display::part_content(&raw, &parsed, &files[0].part).unwrap(), original);
    let text = browser.get(&format!("/compose?forward={}&as=text", filed.email_id)).await.text();
    assert!(
        text.contains("-------- Forwarded message --------")
            && text.contains("of ropes")
            && !text.contains("name=\"original\""),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_subject_or_name_rearranges_a_page() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let heap = "\u{300}\u{489}".repeat(400);
    let raw = format!(
        "From: \"Ines\u{202e}gpj\u{2066}{heap}\" <ines@sender.example>\r\nTo: \"An\u{200f}\u{202a}n\" <ann@example.org>\r\nSubject: in\u{202e}voice Z{heap}algo\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nx\r\n"
    );
    let filed = world.file("ann", inbox, raw.as_bytes()).await;
    let mut browser = world.signed_in("ann").await;
    let (thread, email) = (filed.thread_id, filed.email_id);
    for path in [
        "/mail/inbox".to_owned(),
        format!("/mail/{inbox}/{thread}"),
        "/search?q=invoice".into(),
        format!("/compose?reply={email}"),
        format!("/compose?forward={email}"),
    ] {
        let page = browser.get(&path).await.text();
        assert!(
            !page.contains(|c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200f}')),
            "{path}: {page}"
        );
        assert!(page.matches('\u{489}').count() < 60, "{path}");
    }
}
