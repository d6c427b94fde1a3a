//! The administration pages do what the command line can, ask before what can't be undone, and note who did it.

mod doors;
pub mod help;
mod listed;
mod operator;
mod passwords;
mod queue;
mod sending;
mod spam;
mod trail;
mod where_mail_goes;

use axum::http::StatusCode;
use directory::AuditFilter;

use crate::world::{Answer, Browser, PASSWORD, TOKEN, World};

/// Posts a form of a page: its token, its key if it has one, and fields.
async fn act(browser: &mut Browser, page: &str, to: &str, fields: &[(&str, &str)]) -> Answer {
    let form = browser.get(page).await;
    let mut all = vec![("csrf", form.csrf())];
    if form.text().contains("name=\"key\" value") {
        all.push(("key", form.value("key")));
    }
    all.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
    browser.post(to, &all).await
}

/// What stands in the service's trail, newest first.
fn trail(world: &World) -> Vec<String> {
    let entries = world.directory.audit_search(&AuditFilter::default(), 100).unwrap();
    let words = entries.into_iter().map(|entry| match entry.about {
        Some(about) => format!("{}: {} [{about}]", entry.who, entry.what),
        None => format!("{}: {}", entry.who, entry.what),
    });
    words.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_may_be_typed_whole_or_without_its_domain() {
    let world = World::new().await;
    world.directory.add_domain("münchen.example").await.unwrap();
    let mut ann = world.signed_in("ann").await;
    let munich = "xn--mnchen-3ya.example";
    for (typed, domain, made) in [
        ("clara", "", "clara@example.org"),
        (" dora ", "example.org", "dora@example.org"),
        ("emil", munich, "emil@xn--mnchen-3ya.example"),
        ("franz@münchen.example", "example.org", "franz@xn--mnchen-3ya.example"),
        ("Gerd@Example.ORG", munich, "Gerd@example.org"),
        ("jörg", "", "jörg@example.org"),
    ] {
        let fields = [
            ("do", "create"),
            ("address", typed),
            ("domain", domain),
            ("name", "x"),
            ("password", PASSWORD),
            ("quota", ""),
        ];
        let answer = act(&mut ann, "/admin", "/admin/accounts", &fields).await;
        assert_eq!(answer.location(), "/admin?done=created", "{typed}: {}", answer.text());
        let found = world.directory.accounts().unwrap().pop().unwrap();
        assert_eq!(found.address.to_string(), made, "{typed}");
        assert_eq!(trail(&world)[0], format!("ann@example.org: created the account [{made}]"));
    }
    let list = ann.get("/admin").await.text();
    assert!(list.contains("emil@münchen.example") && list.contains("title=\"emil@xn--mnchen-3ya.example\""));
    let number = world.directory.accounts().unwrap().len();
    for typed in
        ["", "   ", "@", "@example.org", "a b", "ann", "bob@example.org", "x@elsewhere.example", "a@b@c", "a..b@"]
    {
        let fields = [("do", "create"), ("address", typed), ("password", PASSWORD)];
        let answer = act(&mut ann, "/admin", "/admin/accounts", &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{typed}");
        let wrong = answer.wrong("address");
        assert!(!wrong.is_empty() && !wrong.contains("holdfast domain"), "{typed}: {wrong}");
        assert!(!answer.value("key").is_empty());
    }
    assert_eq!(world.directory.accounts().unwrap().len(), number);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_is_told_at_once_and_what_was_typed_stays() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let fields = [
        ("do", "create"),
        ("address", "nobody@elsewhere.example"),
        ("name", "No Body"),
        ("password", "short"),
        ("quota", "lots"),
        ("admin", "1"),
    ];
    let answer = act(&mut ann, "/admin", "/admin/accounts", &fields).await;
    for field in ["address", "password", "quota"] {
        assert!(!answer.wrong(field).is_empty(), "{field}");
    }
    let text = answer.text();
    for kept in ["nobody@elsewhere.example", "No Body", "lots", "name=\"admin\" value=\"1\" checked"] {
        assert!(text.contains(kept), "{kept}");
    }
    assert_eq!(text.matches(" autofocus").count(), 1, "the first wrong field has the focus");
    // One's own settings, likewise.
    let own = [("old", "not it at all"), ("new", "short"), ("again", "other")];
    let answer = act(&mut ann, "/settings/security", "/settings/password", &own).await;
    for field in ["old", "new", "again"] {
        assert!(!answer.wrong(field).is_empty(), "{field}");
    }
    let zone = act(&mut ann, "/settings/display", "/settings/display", &[("zone", "Mars/Phobos")]).await;
    assert!(zone.status == StatusCode::UNPROCESSABLE_ENTITY && !zone.wrong("zone").is_empty());
    let mut stranger = world.browser();
    let answer = act(&mut stranger, "/signin", "/signin", &[("login", ""), ("password", "")]).await;
    assert!(!answer.wrong("login").is_empty() && !answer.wrong("password").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_made_is_shown_once_and_lets_in() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let form = ann.get("/admin").await;
    let fields = [
        ("csrf", form.csrf()),
        ("key", form.value("key")),
        ("do", "create".to_owned()),
        ("address", "clara".to_owned()),
        ("password", String::new()),
    ];
    let secret = |answer: &Answer| {
        answer.text().split("<p class=\"secret\">").nth(1).map(|text| text.split('<').next().unwrap().to_owned())
    };
    let made = secret(&ann.post("/admin/accounts", &fields).await).unwrap();
    assert_eq!(secret(&ann.post("/admin/accounts", &fields).await), Some(made.clone()), "sent twice");
    assert!(!ann.get("/admin").await.text().contains(&made));
    let sign_in = |login: &str, password: &str| vec![("login", login.to_owned()), ("password", password.to_owned())];
    let mut clara = world.browser();
    let mut fields = sign_in("clara@example.org", &made);
    fields.push(("csrf", clara.get("/signin").await.csrf()));
    assert_eq!(clara.post("/signin", &fields).await.status, StatusCode::SEE_OTHER);
    // And a new one for somebody who has forgotten theirs.
    let bob = world.id("bob").to_string();
    let answer =
        act(&mut ann, "/admin", "/admin/accounts", &[("do", "password"), ("id", &bob), ("password", "")]).await;
    let new = secret(&answer).unwrap();
    let mut browser = world.browser();
    let mut fields = sign_in("bob@example.org", &new);
    fields.push(("csrf", browser.get("/signin").await.csrf()));
    assert_eq!(browser.post("/signin", &fields).await.status, StatusCode::SEE_OTHER);
    assert_eq!(trail(&world)[0], "ann@example.org: set the password [bob@example.org]");
}

#[tokio::test(flavor = "multi_thread")]
async fn someone_who_got_in_is_signed_out_everywhere() {
    let world = World::new().await;
    let (mut ann, mut bob, bob_id) = (world.signed_in("ann").await, world.signed_in("bob").await, world.id("bob"));
    let mut other = world.signed_in("bob").await;
    for name in ["phone", "tablet", "desk"] {
        world.directory.create_app_password(bob_id, name).await.unwrap();
    }
    let page = format!("/admin/accounts/{bob_id}");
    let id = bob_id.to_string();
    let shown = ann.get(&page).await;
    for what in ["phone", "tablet", "desk", "192.0.2.7"] {
        assert!(shown.text().contains(what), "{what}");
    }
    // One session, one password, then all.
    let session = shown.value("session");
    act(&mut ann, &page, "/admin/accounts", &[("do", "end-session"), ("id", &id), ("session", &session)]).await;
    let goes_on = [bob.get("/settings").await.status, other.get("/settings").await.status];
    assert_eq!(goes_on.iter().filter(|status| status.is_success()).count(), 1, "{goes_on:?}");
    let app = world.directory.app_passwords(bob_id).unwrap()[0].id.0.to_string();
    act(&mut ann, &page, "/admin/accounts", &[("do", "revoke"), ("id", &id), ("app", &app)]).await;
    assert_eq!(world.directory.app_passwords(bob_id).unwrap().len(), 2);
    act(&mut ann, &page, "/admin/accounts", &[("do", "shut-out"), ("id", &id)]).await;
    assert!(world.directory.app_passwords(bob_id).unwrap().is_empty());
    assert!(world.directory.sessions(bob_id).unwrap().is_empty());
    let noted = trail(&world);
    for what in ["ended a web session", "revoked the app password phone", "ended all web sessions"] {
        assert!(
            noted.iter().any(|entry| *entry == format!("ann@example.org: {what} [bob@example.org]")),
            "{what}: {noted:?}"
        );
    }
    // Of oneself the session goes on that does it.
    let own = world.id("ann").to_string();
    act(&mut ann, "/admin", "/admin/accounts", &[("do", "shut-out"), ("id", &own)]).await;
    assert_eq!(ann.get("/admin").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_renamed_to_a_new_address_and_keeps_the_old_one_or_not() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let id = world.id("bob").to_string();
    for (to, keep, addresses) in [
        ("robert", "1", vec!["robert@example.org", "bob@example.org"]),
        ("rob@example.org", "", vec!["rob@example.org", "bob@example.org"]),
    ] {
        let fields = [("do", "readdress"), ("id", &id), ("address", to), ("keep", keep)];
        act(&mut ann, "/admin", "/admin/accounts", &fields).await;
        let account = world.directory.accounts().unwrap().pop().unwrap();
        assert_eq!(world.directory.addresses_of(account.id).unwrap(), addresses);
    }
    assert!(trail(&world)[0].contains("renamed it from robert@example.org to rob@example.org [rob@example.org]"));
    for bad in ["", "ann", "x@elsewhere.example", "a b@example.org"] {
        let fields = [("do", "readdress"), ("id", &*id), ("address", bad)];
        let answer = act(&mut ann, "/admin", "/admin/accounts", &fields).await;
        assert!(!answer.wrong("address").is_empty(), "{bad}: {}", answer.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_limit_is_decimal_and_saving_the_page_as_it_is_changes_nothing() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let id = world.id("bob");
    let page = format!("/admin/accounts/{id}");
    for (bytes, shown) in [(2 << 30, "2.147 GB"), (5_000_000_000, "5 GB"), (1_234_567, "1.235 MB"), (0, "")] {
        world.directory.set_quota(id, bytes).await.unwrap();
        let number = trail(&world).len();
        assert!(
            ann.get(&page).await.text().contains(&format!("value=\"{shown}\" placeholder=\"unlimited\"")),
            "{shown}"
        );
        let fields = [("do", "save"), ("id", &*id.to_string()), ("name", "bob"), ("quota", shown)];
        act(&mut ann, &page, "/admin/accounts", &fields).await;
        assert_eq!(world.directory.account(id).unwrap().unwrap().quota_bytes, bytes, "{shown}");
        assert_eq!(trail(&world).len(), number, "nothing was done, nothing is noted");
    }
    for (typed, bytes) in [("2 GiB", 2 << 30), ("500MB", 500_000_000), (" 1.5 gb ", 1_500_000_000), ("", 0)] {
        let fields = [("do", "save"), ("id", &*id.to_string()), ("name", "bob"), ("quota", typed)];
        act(&mut ann, &page, "/admin/accounts", &fields).await;
        assert_eq!(world.directory.account(id).unwrap().unwrap().quota_bytes, bytes, "{typed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_that_no_mail_can_come_to_are_refused_beside_their_field() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    for typed in
        ["", " ", "localhost", "intranet", "[192.0.2.1]", "192.0.2.1", "a b.example", "example.org", "-x.example"]
    {
        let answer = act(&mut ann, "/admin/domains", "/admin/domains", &[("domain", typed)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{typed}");
        assert!(!answer.wrong("domain").is_empty(), "{typed}");
    }
    let answer = act(&mut ann, "/admin/domains", "/admin/domains", &[("domain", "@München.example")]).await;
    assert_eq!(answer.location(), "/admin/domains?done=created");
    let page = ann.get("/admin/domains").await.text();
    assert!(page.contains("münchen.example</h2>") && page.contains("xn--mnchen-3ya.example</code>"));
    assert_eq!(trail(&world)[0], "ann@example.org: added the domain münchen.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_removed_after_it_was_asked_and_never_with_somebodys_login() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    for name in ["empty.example", "bücher.example"] {
        world.directory.add_domain(name).await.unwrap();
    }
    world.directory.add_alias(world.id("bob"), "info@bücher.example").await.unwrap();
    world.directory.add_alias(world.id("bob"), "@bücher.example").await.unwrap();
    let there = |name: &str| world.directory.domain(name).unwrap().is_some();
    let remove = |name: &'static str, more: &[(&'static str, &'static str)]| {
        [&[("do", "remove"), ("domain", name)], more].concat()
    };
    let (page, to) = ("/admin/domains", "/admin/domains");
    // Without addresses: one question.
    let asked = act(&mut ann, page, to, &remove("empty.example", &[])).await;
    assert!(
        asked.status == StatusCode::OK && asked.text().contains("name=\"sure\" value=\"1\"") && there("empty.example")
    );
    let gone = act(&mut ann, page, to, &remove("empty.example", &[("sure", "1")])).await;
    assert!(gone.location().ends_with("domaingone") && !there("empty.example"));
    assert_eq!(act(&mut ann, page, to, &remove("empty.example", &[("sure", "1")])).await.location(), "/admin/domains");
    // With aliases: its name is typed, in either form.
    let asked = act(&mut ann, page, to, &remove("xn--bcher-kva.example", &[])).await.text();
    assert!(asked.contains("info@bücher.example") && asked.contains("name=\"typed\""), "{asked}");
    for typed in ["", "bucher.example", "example.org"] {
        let refused = act(&mut ann, page, to, &remove("bücher.example", &[("sure", "1"), ("typed", typed)])).await;
        assert!(!refused.wrong("typed").is_empty() && there("bücher.example"), "{typed}");
    }
    act(&mut ann, page, to, &remove("bücher.example", &[("sure", "1"), ("typed", "Bücher.example")])).await;
    assert!(!there("bücher.example"));
    assert_eq!(world.directory.addresses_of(world.id("bob")).unwrap(), ["bob@example.org"]);
    assert_eq!(trail(&world)[0], "ann@example.org: removed the domain bücher.example");
    // With accounts: never.
    let sure = [("sure", "1"), ("typed", "example.org")];
    let refused = act(&mut ann, page, to, &remove("example.org", &sure)).await.text();
    assert!(there("example.org") && refused.contains("/admin/accounts/2") && !refused.contains("name=\"sure\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_setup_page_tells_all_that_is_wrong_and_keeps_what_was_typed() {
    let world = World::empty().await;
    let mut browser = world.browser();
    let good = [
        ("token", TOKEN),
        ("domain", "example.net"),
        ("name", "Ada"),
        ("user", "ada"),
        ("password", PASSWORD),
        ("again", PASSWORD),
    ];
    for (changed, wrong) in [
        (vec![("domain", "localhost")], vec!["domain"]),
        (vec![("domain", "")], vec!["domain"]),
        (vec![("user", "")], vec!["user"]),
        (vec![("user", "ada@elsewhere.example")], vec!["user"]),
        (vec![("user", "a b")], vec!["user"]),
        (vec![("password", "short"), ("again", "short")], vec!["password"]),
        (vec![("again", "another one")], vec!["again"]),
        (vec![("token", "wrong")], vec!["token"]),
        (
            vec![("token", "wrong"), ("domain", "a b"), ("user", "x@"), ("password", "x")],
            vec!["token", "domain", "user", "password", "again"],
        ),
    ] {
        let of = |name: &str| {
            let one = changed.iter().chain(&good).find(|(field, _)| *field == name);
            one.unwrap().1
        };
        let fields: Vec<(&str, &str)> = good.iter().map(|(name, _)| (*name, of(name))).collect();
        let answer = act(&mut browser, "/setup", "/setup", &fields).await;
        for field in ["token", "domain", "name", "user", "password", "again"] {
            assert_eq!(!answer.wrong(field).is_empty(), wrong.contains(&field), "{changed:?}: {field}");
        }
        let text = answer.text();
        for name in ["domain", "name", "user"] {
            assert!(text.contains(&format!("value=\"{}\"", of(name))), "{changed:?}: {name} is kept");
        }
        // The token's field is there only while the token is wrong; passwords come back only when they are right.
        assert_eq!(text.contains("id=\"token\""), wrong.contains(&"token"), "{changed:?}");
        let passwords_fit = !wrong.contains(&"password") && !wrong.contains(&"again");
        assert_eq!(text.contains(&format!("value=\"{PASSWORD}\"")), passwords_fit, "{changed:?}");
    }
    assert!(world.directory.first_run().unwrap());
    // A link that was copied wrongly says so before anything is filled in.
    assert!(!browser.get("/setup?token=wrong").await.wrong("token").is_empty());
    let page = browser.get(&format!("/setup?token={TOKEN}")).await;
    assert!(!page.text().contains("id=\"token\"") && page.value("token") == TOKEN);
    assert_eq!(act(&mut browser, "/setup", "/setup", &good).await.location(), "/mail/inbox");
    assert_eq!(
        trail(&world),
        ["setup: created the account, an administrator [ada@example.net]", "setup: added the domain example.net"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_codes_are_a_file_without_scripts_too() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let page = act(&mut ann, "/settings/security", "/settings/totp", &[("password", PASSWORD)]).await;
    let secret = totp_rs::Secret::try_from_base32(page.value("secret")).unwrap();
    let now = jiff::Timestamp::now().as_second() as u64;
    let code = totp_rs::Builder::new().with_secret(secret).build_noncompliant().generate(now).to_string();
    let (csrf, text) = (page.csrf(), page.value("secret"));
    let on = ann.post("/settings/totp/on", &[("csrf", csrf), ("secret", text), ("code", code)]).await.text();
    let file = on.split("href=\"data:text/plain;charset=utf-8,").nth(1).unwrap().split('"').next().unwrap();
    let codes: Vec<&str> =
        on.split("id=\"codes\">").nth(1).unwrap().split("</ul>").next().unwrap().split("<li>").skip(1).collect();
    assert_eq!(codes.len(), 10);
    for code in codes {
        assert!(file.contains(code.trim_end_matches("</li>")), "{code} in {file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domains_page_says_what_is_wrong_and_is_checked_again_when_asked() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let path = "/admin/domains/example.org";
    assert_eq!(world.signed_in("bob").await.get(path).await.status, StatusCode::FORBIDDEN);
    let before = ann.get(path).await;
    assert!(before.status == StatusCode::OK && before.text().contains("v=spf1 mx -all"));
    assert_eq!(ann.get("/admin/domains/other.example").await.status, StatusCode::NOT_FOUND);
    let checked = act(&mut ann, path, path, &[("do", "check")]).await;
    assert_eq!(checked.location(), "/admin/domains/example.org?done=checked");
    let page = ann.get(path).await;
    for code in ["no-such-domain", "spf-missing", "dkim-missing", "dmarc-missing", "host-missing"] {
        assert!(page.has_code(code), "{code}");
    }
    assert!(ann.get("/admin/domains").await.text().contains("problems</span>"));
    // What was wrong is right after it was set.
    world.zone.receiver("example.org", 10, "mail.example.org");
    world.zone.address("mail.example.org", "192.0.2.1");
    world.zone.ptr("192.0.2.1", "mail.example.org");
    world.zone.text("example.org", "v=spf1 mx -all");
    act(&mut ann, path, path, &[("do", "check")]).await;
    let page = ann.get(path).await;
    for code in ["no-such-domain", "spf-missing", "host-missing"] {
        assert!(!page.has_code(code), "{code}");
    }
    assert!(page.has_code("dkim-missing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domains_policy_and_keys_are_changed_on_its_page() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let path = "/admin/domains/example.org";
    let domain = || world.directory.domain("example.org").unwrap().unwrap();
    assert_eq!(act(&mut ann, path, path, &[("do", "sts"), ("mode", "strict")]).await.status, StatusCode::BAD_REQUEST);
    act(&mut ann, path, path, &[("do", "sts"), ("mode", "enforce")]).await;
    assert_eq!(domain().mta_sts, directory::MtaSts::Enforce);
    assert_eq!(trail(&world)[0], "ann@example.org: set MTA-STS of the domain example.org to enforce");
    for _ in 0..2 {
        act(&mut ann, path, path, &[("do", "keys")]).await;
        assert_eq!(domain().all_dkim.len(), 4, "pressed twice, made once");
    }
    let signing = || domain().dkim.iter().map(|key| key.selector().to_owned()).collect::<Vec<_>>();
    assert_eq!(signing(), ["hf-rsa", "hf-ed25519"]);
    assert!(ann.get(path).await.has_code("dkim-waiting"));
    for key in domain().all_dkim {
        world.zone.text(&key.dns_name("example.org"), &key.dns_record());
    }
    act(&mut ann, path, path, &[("do", "check")]).await;
    assert_eq!(signing(), ["hf-rsa-2", "hf-ed25519-2"]);
    assert!(trail(&world)[0].contains("is now signed with the DKIM key hf-ed25519-2"), "{:?}", trail(&world));
    assert_eq!(act(&mut ann, path, path, &[("do", "nothing")]).await.status, StatusCode::BAD_REQUEST);
}
