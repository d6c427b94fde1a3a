//! Promises of the site to those who come in, or try to.

mod world;

use axum::http::StatusCode;
use mailstore::Role;
use world::{PASSWORD, TOKEN, World, form};

fn setup(csrf: String, token: &str) -> Vec<(&'static str, String)> {
    let text = str::to_owned;
    vec![
        ("csrf", csrf),
        ("token", text(token)),
        ("domain", text("example.net")),
        ("name", text("Ada")),
        ("user", text("ada")),
        ("password", text(PASSWORD)),
        ("again", text(PASSWORD)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_visitor_with_the_token_becomes_the_administrator() {
    let world = World::empty().await;
    let mut browser = world.browser();
    for path in ["/", "/mail/inbox", "/signin", "/nothing"] {
        assert_eq!(browser.get(path).await.location(), "/setup", "{path}");
    }
    let page = browser.get("/setup").await;
    let refused = browser.post("/setup", &setup(page.csrf(), "wrong")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text().contains("value=\"example.net\""), "what was typed stays");
    let done = browser.post("/setup", &setup(page.csrf(), TOKEN)).await;
    assert_eq!(done.location(), "/mail/inbox", "{}", done.text());
    assert!(browser.get("/mail/inbox").await.text().contains("caught up"));
    assert_eq!(browser.get("/admin").await.status, StatusCode::OK);
    // Never again, token or not.
    let again = browser.post("/setup", &setup(page.csrf(), TOKEN)).await;
    assert_eq!(again.location(), "/");
    assert_eq!(world.directory.accounts().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_address_get_the_same_answer() {
    let world = World::new().await;
    let mut browser = world.browser();
    let csrf = browser.get("/signin").await.csrf();
    let mut answers = Vec::new();
    for login in ["ann@example.org", "nobody@example.org"] {
        let fields = [("csrf", csrf.clone()), ("login", login.into()), ("password", "wrong".into())];
        let answer = browser.post("/signin", &fields).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(answer.text().contains("Address or password is wrong."));
        answers.push(answer.body.len().abs_diff(login.len()));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(browser.get("/mail/inbox").await.location().starts_with("/signin?next="));
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slowed_down() {
    let world = World::new().await;
    let mut browser = world.browser();
    let csrf = browser.get("/signin").await.csrf();
    for _ in 0..60 {
        let fields = [("csrf", csrf.clone()), ("login", "ann@example.org".into()), ("password", "wrong".into())];
        let answer = browser.post("/signin", &fields).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
            return;
        }
    }
    panic!("60 guesses were let through");
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_other_sites_are_refused() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    let page = browser.get("/mail/inbox").await;
    let fields = |csrf: String| vec![("csrf", csrf), ("verb", "read".into()), ("id", "t1".into())];
    // No token, another's token, and a true token from elsewhere.
    assert_eq!(browser.post("/act", &fields(String::new())).await.status, StatusCode::FORBIDDEN);
    let other = world.signed_in("bob").await.get("/mail/inbox").await.csrf();
    assert_eq!(browser.post("/act", &fields(other)).await.status, StatusCode::FORBIDDEN);
    let mut request = form("/act", &fields(page.csrf()));
    request.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    assert_eq!(browser.send(request).await.status, StatusCode::FORBIDDEN);
    let mut request = form("/signin", &[("csrf", "x".into()), ("login", "ann@example.org".into())]);
    request.headers_mut().remove("sec-fetch-site");
    assert_eq!(world.browser().send(request).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_forbids_what_it_does_not_need() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    let pages = [
        "/mail/inbox",
        "/compose",
        "/settings",
        "/settings/security",
        "/settings/apps",
        "/settings/sessions",
        "/mailboxes",
        "/people",
        "/people/new",
        "/people/import",
        "/admin",
        "/admin/domains",
        "/admin/queue",
        "/admin/audit",
        "/search?q=x",
        "/signin",
        "/nothing",
    ];
    for path in pages {
        let page = browser.get(path).await;
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(page.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        let text = page.text();
        for bad in [" style=", "<style", " onclick", " onload", "http://", "https://"] {
            assert!(!text.contains(bad), "{path} has {bad}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_session_cookie_belongs_to_this_host_alone() {
    let world = World::new().await;
    let mut browser = world.browser();
    browser.tls = true;
    let csrf = browser.get("/signin").await.csrf();
    let fields = [("csrf", csrf), ("login", "ann@example.org".into()), ("password", PASSWORD.into())];
    let done = browser.post("/signin", &fields).await;
    let cookie = done.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-holdfast="), "{cookie}");
    for part in ["Path=/", "HttpOnly", "SameSite=Lax", "Secure"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(browser.get("/mail/inbox").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_everywhere() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    let mut stolen = browser.clone();
    let csrf = browser.get("/mail/inbox").await.csrf();
    assert_eq!(browser.post("/signout", &[("csrf", csrf)]).await.location(), "/signin");
    assert!(stolen.get("/mail/inbox").await.location().starts_with("/signin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_their_own_mail_only_and_no_administration() {
    let world = World::new().await;
    let inbox = world.mailbox("ann", Role::Inbox).id;
    let secret = world.file("ann", inbox, b"From: x@example.com\r\nSubject: secret\r\n\r\ntext\r\n").await;
    let mut bob = world.signed_in("bob").await;
    for path in ["source", "download", "html", "part/1/x", "inline/1"] {
        let answer = bob.get(&format!("/message/{}/{path}", secret.email_id)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(bob.get(&format!("/mail/inbox/{}", secret.thread_id)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bob.get("/admin").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn app_passwords_are_shown_once_and_can_be_revoked() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    let csrf = browser.get("/settings/apps").await.csrf();
    let made = browser.post("/settings/apps", &[("csrf", csrf), ("name", "Phone".into())]).await;
    assert!(made.text().contains("It is shown this once."), "{}", made.text());
    let page = browser.get("/settings/apps").await;
    assert!(page.text().contains("Phone") && !page.text().contains("It is shown this once."));
    let fields = [("csrf", page.csrf()), ("id", page.value("id"))];
    assert_eq!(browser.post("/settings/apps/revoke", &fields).await.status, StatusCode::SEE_OTHER);
    assert!(browser.get("/settings/apps").await.text().contains("There are none yet."));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_twice_at_once_is_made_once_and_answered_the_same() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let cases = [
        ("/settings/apps", "/settings/apps", vec![("name", "Phone")]),
        ("/mailboxes", "/mailboxes", vec![("do", "create"), ("name", "Boat")]),
        ("/admin/domains", "/admin/domains", vec![("domain", "example.net")]),
        (
            "/admin",
            "/admin/accounts",
            vec![("do", "create"), ("address", "cat@example.org"), ("password", "a long password")],
        ),
    ];
    for (page, path, fields) in cases {
        let form = ann.get(page).await;
        let mut all = vec![("csrf", form.csrf()), ("key", form.value("key"))];
        all.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let (mut one, mut other) = (ann.clone(), ann.clone());
        let (one, other) = tokio::join!(one.post(path, &all), other.post(path, &all));
        assert_eq!((one.status, one.location()), (other.status, other.location()), "{path}: {}", other.text());
        let secret = |answer: &world::Answer| {
            answer.text().split("<p class=\"secret\">").nth(1).map(|text| text.split('<').next().unwrap().to_owned())
        };
        assert_eq!(secret(&one), secret(&other), "{path}");
        assert_eq!(secret(&one).is_some(), path == "/settings/apps");
        assert!(one.status.is_success() || one.status == StatusCode::SEE_OTHER, "{path}: {}", one.text());
    }
    assert_eq!(world.directory.app_passwords(world.id("ann")).unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_paths_beyond_all_bounds_are_refused() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    let csrf = browser.get("/mail/inbox").await.csrf();
    let large = "x".repeat(3_000_000);
    let answer = browser.post("/act", &[("csrf", csrf), ("id", large)]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    for path in ["/mail/m99999999999", "/mail/inbox/t99", "/mail/%00", "/mail/inbox?after=zz", "/message/e1/part/9.9/x"]
    {
        assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_second_factor_the_password_alone_lets_nobody_in() {
    let world = World::new().await;
    let mut browser = world.signed_in("ann").await;
    let csrf = browser.get("/settings/security").await.csrf();
    let page = browser.post("/settings/totp", &[("csrf", csrf.clone())]).await;
    assert!(page.text().contains("<svg class=\"qr\""), "{}", page.text());
    let secret = page.value("secret");
    let code = |at: u64| {
        let secret = totp_rs::Secret::try_from_base32(&secret).unwrap();
        totp_rs::Builder::new().with_secret(secret).build_noncompliant().generate(at).to_string()
    };
    let now = jiff::Timestamp::now().as_second() as u64;
    let wrong = [("csrf", csrf.clone()), ("secret", secret.clone()), ("code", "000000".into())];
    let refused = browser.post("/settings/totp/on", &wrong).await;
    assert!(refused.text().contains("That code does not fit") && refused.value("secret") == secret);
    let right = [("csrf", csrf), ("secret", secret.clone()), ("code", code(now))];
    let on = browser.post("/settings/totp/on", &right).await;
    assert!(on.text().contains("The second factor is on."), "{}", on.text());

    let mut other = world.browser();
    let csrf = other.get("/signin").await.csrf();
    let login = |code: String| {
        vec![
            ("csrf", csrf.clone()),
            ("login", "ann@example.org".to_owned()),
            ("password", PASSWORD.to_owned()),
            ("code", code),
        ]
    };
    let asked = other.post("/signin", &login(String::new())).await;
    assert!(asked.text().contains("name=\"code\"") && asked.header("location").is_empty());
    // The code that turned it on was used up.
    assert_eq!(other.post("/signin", &login(code(now))).await.status, StatusCode::UNAUTHORIZED);
    assert!(other.get("/mail/inbox").await.location().starts_with("/signin"));
    let done = other.post("/signin", &login(code(now + 30))).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());

    // Without JavaScript, step by step: the password is typed once, and a recovery code does as well, once.
    let text = on.text();
    let recovery = text.split("id=\"codes\"><li>").nth(1).unwrap().split('<').next().unwrap();
    for (tries, status) in [(1, StatusCode::SEE_OTHER), (2, StatusCode::UNAUTHORIZED)] {
        let mut third = world.browser();
        let csrf = third.get("/signin").await.csrf();
        let first =
            [("csrf", csrf.clone()), ("login", "ann@example.org".to_owned()), ("password", PASSWORD.to_owned())];
        let asked = third.post("/signin", &first).await;
        assert!(!asked.text().contains("type=\"password\""), "{}", asked.text());
        let second = |code: &str| {
            let ticket = asked.value("ticket");
            [("csrf", asked.csrf()), ("login", asked.value("login")), ("ticket", ticket), ("code", code.to_owned())]
        };
        let wrong = third.post("/signin", &second("000000")).await;
        assert!(
            wrong.status == StatusCode::UNAUTHORIZED && wrong.text().contains("That code is wrong."),
            "try {tries}"
        );
        assert_eq!(third.post("/signin", &second(recovery)).await.status, status, "try {tries}");
        let stolen = second(recovery).map(|(name, value)| match name {
            "login" => (name, "bob@example.org".to_owned()),
            _ => (name, value),
        });
        assert_eq!(third.post("/signin", &stolen).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitors_token_opens_no_form_but_that_for_signing_in() {
    let world = World::new().await;
    let mut browser = world.browser();
    let visitor = browser.get("/signin").await.csrf();
    let fields =
        [("csrf", visitor.clone()), ("login", "ann@example.org".to_owned()), ("password", PASSWORD.to_owned())];
    assert_eq!(browser.post("/signin", &fields).await.status, StatusCode::SEE_OTHER);
    let fields = [("csrf", visitor), ("do", "create".to_owned()), ("name", "Planted".to_owned())];
    assert_eq!(browser.post("/mailboxes", &fields).await.status, StatusCode::FORBIDDEN);
    assert!(!browser.get("/mailboxes").await.text().contains("Planted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_changes_an_account_and_its_addresses() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let bob = world.id("bob");
    let path = format!("/admin/accounts/{bob}");
    let csrf = ann.get(&path).await.csrf();
    let with = |more: &[(&'static str, &str)]| {
        let mut fields = vec![("csrf", csrf.clone()), ("id", bob.to_string())];
        fields.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        fields
    };
    let saved = [("do", "save"), ("name", "Robert"), ("quota", "5 GB"), ("admin", "1")];
    assert_eq!(ann.post("/admin/accounts", &with(&saved)).await.location(), format!("{path}?done=saved"));
    let account = world.directory.account(bob).unwrap().unwrap();
    assert_eq!(
        (account.name.as_str(), account.quota_bytes, account.role),
        ("Robert", 5_000_000_000, directory::Role::Admin)
    );
    let unclear = ann.post("/admin/accounts", &with(&[("do", "save"), ("quota", "lots")])).await;
    assert_eq!(unclear.status, StatusCode::BAD_REQUEST);
    ann.post("/admin/accounts", &with(&[("do", "alias"), ("alias", "desk@example.org")])).await;
    assert!(ann.get(&path).await.text().contains("desk@example.org"));
    let taken = ann.post("/admin/accounts", &with(&[("do", "alias"), ("alias", "ann@example.org")])).await;
    assert!(taken.status == StatusCode::UNPROCESSABLE_ENTITY && taken.text().contains("exists already"));
    ann.post("/admin/accounts", &with(&[("do", "unalias"), ("alias", "desk@example.org")])).await;
    assert!(!ann.get(&path).await.text().contains("desk@example.org"));
    assert_eq!(ann.post("/admin/accounts", &with(&[("do", "delete")])).await.location(), "/admin?done=accountgone");
    assert_eq!(ann.get(&path).await.status, StatusCode::NOT_FOUND);
    let own = [("csrf", csrf.clone()), ("id", world.id("ann").to_string()), ("do", "delete".to_owned())];
    assert_eq!(ann.post("/admin/accounts", &own).await.status, StatusCode::FORBIDDEN);
    let trail = ann.get("/admin/audit").await.text();
    for what in ["changed account", "the address desk@example.org", "deleted account"] {
        assert!(trail.contains(what), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_accounts_are_shown_page_by_page_and_found_by_name() {
    let world = World::new().await;
    for n in 0..60 {
        let new = directory::NewAccount {
            address: mailkit::EmailAddress::parse(&format!("user{n:02}@example.org")).unwrap(),
            name: format!("Person {n:02}"),
            password: PASSWORD.to_owned(),
            role: directory::Role::User,
            quota_bytes: 0,
        };
        world.directory.create_account(new).await.unwrap();
    }
    let mut ann = world.signed_in("ann").await;
    let first = ann.get("/admin").await.text();
    assert!(first.contains("62 accounts") && first.contains("user10@") && !first.contains("user59@"), "{first}");
    assert!(first.len() < 60_000, "{}", first.len());
    let next = first.split("\" rel=\"next\"").next().unwrap().rsplit("href=\"").next().unwrap().replace("&#38;", "&");
    assert!(ann.get(&next).await.text().contains("user59@"));
    let found = ann.get("/admin?q=person+41").await.text();
    assert!(found.contains("user41@") && found.contains("1 account") && !found.contains("user40@"));
}
