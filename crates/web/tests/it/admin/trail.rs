//! The audit trail: who did what, to whom, when; looked at by each of these, and as a file.

use axum::http::StatusCode;
use directory::Role;

use super::act;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_looked_at_by_account_and_by_day() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let (bob, clara) = (world.id("bob"), world.account("clara", Role::User).await);
    for (account, what) in [(bob, "did one thing"), (clara, "did another")] {
        world.directory.audit(Some(account), "command line", what, "").await.unwrap();
    }
    act(&mut ann, "/admin", "/admin/accounts", &[("do", "delete"), ("id", &clara.to_string())]).await;
    let both = ["did one thing", "did another"];
    for (query, expected) in [
        ("", [true, true]),
        ("account=bob", [true, false]),
        ("account=BOB@example.org", [true, false]),
        ("account=clara%40example.org", [false, true]),
        ("account=ann@example.org", [false, false]),
        ("since=2020-01-01", [true, true]),
        ("until=2020-01-01", [false, false]),
        ("since=2020-01-01&until=9000-01-01&account=bob", [true, false]),
    ] {
        let page = ann.get(&format!("/admin/audit?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        assert_eq!(both.map(|what| page.text().contains(what)), expected, "{query}");
    }
    for (query, field) in [
        ("account=nobody", "account"),
        ("account=a%20b", "account"),
        ("since=soon", "since"),
        ("until=2026-13-01", "until"),
    ] {
        let page = ann.get(&format!("/admin/audit?{query}")).await;
        assert!(!page.wrong(field).is_empty(), "{query}");
    }
    let deleted = ann.get("/admin/audit?account=clara@example.org").await.text();
    assert!(deleted.contains("clara@example.org (deleted)") && deleted.contains("deleted the account"), "{deleted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_searched_by_actor_and_words_and_names_lead_to_pages() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let bob = world.id("bob");
    for (who, what) in [("command line", "one <thing>"), ("ann@example.org", "another thing"), ("service", "third")] {
        world.directory.audit(Some(bob), who, what, "192.0.2.1").await.unwrap();
    }
    let all = ["one &#60;thing&#62;", "another thing", "third"];
    for (query, expected) in [
        ("who=ANN", [false, true, false]),
        ("who=command+line", [true, false, false]),
        ("what=THING", [true, true, false]),
        ("what=%3Cthing", [true, false, false]),
        ("who=service&what=thing", [false, false, false]),
        ("who=ann&account=bob", [false, true, false]),
        ("who=nobody", [false, false, false]),
    ] {
        let page = ann.get(&format!("/admin/audit?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        assert_eq!(all.map(|what| page.text().contains(what)), expected, "{query}");
    }
    let page = ann.get("/admin/audit?who=ann").await.text();
    let own = format!("<a href=\"/admin/accounts/{}\">ann@example.org</a>", world.id("ann"));
    assert!(page.contains(&own) && page.contains(&format!("<a href=\"/admin/accounts/{bob}\">bob@example.org</a>")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_trail_goes_on_where_it_ends_with_the_same_filter() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    for number in 0..120 {
        let who = if number % 2 == 0 { "even" } else { "odd" };
        world.directory.audit(None, who, &format!("act {number}."), "").await.unwrap();
        world.directory.audit(None, "even", &format!("further act {number}."), "").await.unwrap();
    }
    let (mut address, mut seen) = ("/admin/audit?who=even&what=act".to_owned(), Vec::new());
    loop {
        let page = ann.get(&address).await.text();
        seen.extend(
            page.split("data-label=\"Action\">").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()),
        );
        let Some(at) = page.find("rel=\"next\"") else { break };
        let link = page[..at].rsplit("href=\"").next().unwrap();
        address = link.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    }
    let number = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len(), number), (180, 180), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_exported_whole_and_as_it_is_filtered() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let bob = world.id("bob");
    for number in 0..130 {
        world.directory.audit(None, "command line", &format!("did {number}"), "").await.unwrap();
    }
    world.directory.audit(Some(bob), "=cmd()", "said \"no\", twice", "192.0.2.1").await.unwrap();
    let json = ann.get("/admin/audit/export?format=json&what=did").await;
    assert!(json.header("content-disposition").ends_with(".json\""), "{:?}", json.headers);
    let all: Vec<serde_json::Value> = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(all.len(), 130);
    assert_eq!((all[0]["who"].as_str(), all[0]["what"].as_str()), (Some("command line"), Some("did 129")));
    let csv = ann.get("/admin/audit/export?format=csv&account=bob").await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<String> = csv.text().split_terminator("\r\n").map(str::to_owned).collect();
    assert_eq!(lines[0], "at,who,what,peer,account,address,address_now");
    let line = format!(
        "\"'=cmd()\",\"said \"\"no\"\", twice\",\"192.0.2.1\",\"{bob}\",\"bob@example.org\",\"bob@example.org\""
    );
    assert!(lines.len() == 2 && lines[1].ends_with(&line), "{lines:?}");
    assert_eq!(ann.get("/admin/audit/export?format=csv&since=soon").await.status, StatusCode::BAD_REQUEST);
}
