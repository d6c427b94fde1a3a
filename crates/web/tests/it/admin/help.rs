//! The help pages: for administrators, with a search, and linked from where something is wrong.

use axum::http::StatusCode;
use web::HelpPage;

use crate::world::World;

/// The documents that the tests' pages have.
pub static PAGES: [HelpPage; 4] = [
    HelpPage {
        name: "operate",
        file: "operate.md",
        about: "daily work",
        text: "# Operating it\n\nRead [words](GLOSSARY.md#disk) and [this](#the-disk-is-full).\n\n## The disk is full\n\n\
               Free space: `df`.\n\n```sh\ndf -h > <file>\n```\n\n## Other\n\n<script>alert(1)</script>\n\n## Third\n\nx\n",
    },
    HelpPage {
        name: "glossary",
        file: "GLOSSARY.md",
        about: "what words mean",
        text: "# Words\n\n## Disk\n\nA thing.\n",
    },
    HelpPage {
        name: "options",
        file: "options.md",
        about: "for everybody",
        text: "# Your mail\n\n## Writing\n\nType.\n\n## Finding\n\nSearch.\n",
    },
    HelpPage { name: "keys.toml", file: "keys.toml", about: "every key", text: "# The disk\n#: a = \"<b>\"\n" },
];

#[tokio::test(flavor = "multi_thread")]
async fn everybody_reads_the_help_for_readers() {
    let world = World::new().await;
    let mut bob = world.signed_in("bob").await;
    assert!(bob.get("/settings").await.text().contains("href=\"/help\""));
    let read = bob.get("/help").await;
    assert_eq!(read.status, StatusCode::OK);
    assert!(read.text().contains("Your mail") && read.text().contains("href=\"#finding\""), "{}", read.text());
    assert_eq!(world.browser().get("/help").await.status, StatusCode::SEE_OTHER, "visitors sign in first");
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_read_the_pages_and_find_sections() {
    let world = World::new().await;
    let mut bob = world.signed_in("bob").await;
    for path in ["/admin/help", "/admin/help/operate", "/admin/help/none", "/admin/help/operate?at=disk"] {
        assert_eq!(bob.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let mut ann = world.signed_in("ann").await;
    let all = ann.get("/admin/help").await.text();
    for page in &PAGES {
        assert!(all.contains(&format!("href=\"/admin/help/{}\"", page.name)), "{}", page.name);
        let read = ann.get(&format!("/admin/help/{}", page.name)).await;
        assert_eq!(read.status, StatusCode::OK);
        assert!(read.text().contains("aria-current=\"page\""), "the tab is marked");
    }
    assert_eq!(ann.get("/admin/help/none").await.status, StatusCode::NOT_FOUND);
    let read = ann.get("/admin/help/operate").await.text();
    for part in [
        "<h2 id=\"the-disk-is-full\">",
        "href=\"/admin/help/glossary#disk\"",
        "df -h &gt; &lt;file&gt;",
        "&lt;script&gt;",
        "href=\"#the-disk-is-full\"",
    ] {
        assert!(read.contains(part), "{part}");
    }
    assert!(!read.contains("<script>alert"));
    assert!(ann.get("/admin/help/keys.toml").await.text().contains("&lt;b&gt;"));
    let found = ann.get("/admin/help?q=DISK+full").await.text();
    assert!(found.contains("/admin/help/operate#the-disk-is-full") && !found.contains("/admin/help/glossary#disk"));
    let hostile = ann.get("/admin/help?q=%3Cscript%3E%22").await;
    assert_eq!(hostile.status, StatusCode::OK);
    assert!(!hostile.text().contains("<script>\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_a_heading_lead_to_its_anchor() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    for (asked, leads_to) in [
        ("/admin/help/operate?at=disk+full", "/admin/help/operate#the-disk-is-full"),
        ("/admin/help/operate?at=Other", "/admin/help/operate#other"),
        ("/admin/help/operate?at=absent", "/admin/help/operate"),
        ("/admin/help/keys.toml?at=disk", "/admin/help/keys.toml"),
    ] {
        assert_eq!(ann.get(asked).await.location(), leads_to, "{asked}");
    }
}
