//! Promises of the site to those who come in, or try to.

use crate::world::{PASSWORD, TOKEN, World, form};
use axum::http::StatusCode;
use mailstore::Role;

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
        assert!(answer.has_code("login-wrong"));
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
    // At once, each a different one: some are looked at, one waits, and the others are told to come back.
    let guesses: Vec<_> = (0..80)
        .map(|number| {
            let (mut browser, password) = (browser.clone(), format!("wrong {number}"));
            let fields = [("csrf", csrf.clone()), ("login", "ann@example.org".into()), ("password", password)];
            tokio::spawn(async move { browser.post("/signin", &fields).await })
        })
        .collect();
    let mut refused = 0;
    for guess in guesses {
        let answer = guess.await.unwrap();
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
            refused += 1;
        }
    }
    assert!(refused > 0, "80 guesses were let through");
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
        "/settings/aliases",
        "/settings/spam",
        "/settings/forwarding",
        "/settings/fetching",
        "/settings/export",
        "/forwarding?code=1-x",
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
    let made = browser
        .post("/settings/apps", &[("csrf", csrf), ("name", "Phone".into()), ("password", PASSWORD.into())])
        .await;
    assert!(made.has_code("app-password-created"), "{}", made.text());
    let page = browser.get("/settings/apps").await;
    assert!(page.text().contains("Phone") && !page.has_code("app-password-created"));
    let fields = [("csrf", page.csrf()), ("id", page.value("id"))];
    assert_eq!(browser.post("/settings/apps/revoke", &fields).await.status, StatusCode::SEE_OTHER);
    assert!(!browser.get("/settings/apps").await.text().contains("<strong>Phone<"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_twice_at_once_is_made_once_and_answered_the_same() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let cases = [
        ("/settings/apps", "/settings/apps", vec![("name", "Phone"), ("password", PASSWORD)]),
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
        let secret = |answer: &crate::world::Answer| {
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
    let page = browser.post("/settings/totp", &[("csrf", csrf.clone()), ("password", PASSWORD.into())]).await;
    assert!(page.text().contains("<svg class=\"qr\""), "{}", page.text());
    let secret = page.value("secret");
    let code = |at: u64| {
        let secret = totp_rs::Secret::try_from_base32(&secret).unwrap();
        totp_rs::Builder::new().with_secret(secret).build_noncompliant().generate(at).to_string()
    };
    let now = jiff::Timestamp::now().as_second() as u64;
    let wrong = [("csrf", csrf.clone()), ("secret", secret.clone()), ("code", "000000".into())];
    let refused = browser.post("/settings/totp/on", &wrong).await;
    assert!(refused.has_code("code-wrong") && refused.value("secret") == secret);
    let right = [("csrf", csrf), ("secret", secret.clone()), ("code", code(now))];
    let on = browser.post("/settings/totp/on", &right).await;
    assert!(on.has_code("two-step-on"), "{}", on.text());

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
        assert!(wrong.status == StatusCode::UNAUTHORIZED && wrong.has_code("code-wrong"), "try {tries}");
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
    assert_eq!(unclear.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        !unclear.wrong("quota").is_empty() && unclear.text().contains("value=\"lots\""),
        "beside its field, as typed"
    );
    ann.post("/admin/accounts", &with(&[("do", "alias"), ("alias", "desk@example.org")])).await;
    assert!(ann.get(&path).await.text().contains("desk@example.org"));
    let taken = ann.post("/admin/accounts", &with(&[("do", "alias"), ("alias", "ann@example.org")])).await;
    assert!(taken.status == StatusCode::UNPROCESSABLE_ENTITY && taken.has_code("address-taken"));
    assert!(!taken.wrong("alias").is_empty() && taken.text().contains("value=\"ann@example.org\""));
    ann.post("/admin/accounts", &with(&[("do", "rename"), ("alias", "desk@example.org")])).await;
    assert_eq!(world.directory.account(bob).unwrap().unwrap().address.to_string(), "desk@example.org");
    ann.post("/admin/accounts", &with(&[("do", "rename"), ("alias", "bob@example.org")])).await;
    assert_eq!(world.directory.account(bob).unwrap().unwrap().address.to_string(), "bob@example.org");
    ann.post("/admin/accounts", &with(&[("do", "unalias"), ("alias", "desk@example.org")])).await;
    assert!(!ann.get(&path).await.text().contains("value=\"desk@example.org\""));
    assert_eq!(ann.post("/admin/accounts", &with(&[("do", "delete")])).await.location(), "/admin?done=accountgone");
    assert_eq!(ann.get(&path).await.status, StatusCode::NOT_FOUND);
    let own = [("csrf", csrf.clone()), ("id", world.id("ann").to_string()), ("do", "delete".to_owned())];
    assert_eq!(ann.post("/admin/accounts", &own).await.status, StatusCode::FORBIDDEN);
    let trail = ann.get("/admin/audit").await.text();
    for what in ["set the storage limit to 5.0 GB", "the address desk@example.org", "deleted the account", "(deleted)"]
    {
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

/// Mail in an account's inbox with this subject.
fn told(world: &World, name: &str, subject: &str) -> usize {
    let (realm, inbox) = (world.id(name).realm(), world.mailbox(name, Role::Inbox).id);
    let view = world.mail.view(realm, inbox).unwrap();
    let entries = world.mail.entries(realm, inbox, view.uids()).unwrap();
    let emails = entries.iter().map(|entry| world.mail.email(realm, entry.email_id).unwrap().unwrap());
    emails.filter(|email| email.parsed.subject == subject).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lasts_needs_the_password_again_and_its_account_is_told() {
    let world = World::new().await;
    let mut browser = world.signed_in("bob").await;
    let id = world.id("bob");
    let app = world.directory.create_app_password(id, "Tablet").await.unwrap();
    let csrf = browser.get("/settings/apps").await.csrf();
    let with = |fields: &[(&'static str, &str)]| {
        let mut all = vec![("csrf", csrf.clone())];
        all.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
        all
    };
    let number = app.id.0.to_string();
    // Without the password, or with a wrong one, nothing happens, and it is asked for.
    let lasting: [(&str, Vec<(&'static str, &str)>); 4] = [
        ("/settings/apps", vec![("name", "Thief")]),
        ("/settings/apps/revoke", vec![("id", &number)]),
        ("/settings/apps/revoke", vec![("id", "all")]),
        ("/settings/totp", vec![]),
    ];
    for (path, fields) in &lasting {
        for password in [None, Some("wrong"), Some("")] {
            let fields: Vec<_> = fields.iter().copied().chain(password.map(|word| ("password", word))).collect();
            let answer = browser.post(path, &with(&fields)).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
            assert!(answer.text().contains("id=\"ask-password\""), "{path}: it is asked for");
        }
    }
    let refused = browser.post("/settings/totp/off", &with(&[("password", "wrong")])).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(world.directory.app_passwords(id).unwrap().len(), 1);
    assert_eq!(world.mail.quota(id.realm()).unwrap().messages, 0, "nothing changed, nobody is told");

    // With it, it is done, and for a while it need not be typed again.
    let made = browser.post("/settings/apps", &with(&[("name", "Phone"), ("password", PASSWORD)])).await;
    assert!(made.has_code("app-password-created"));
    assert_eq!(told(&world, "bob", "An app password was created"), 1);
    let revoked = browser.post("/settings/apps/revoke", &with(&[("id", &number)])).await;
    assert_eq!(revoked.status, StatusCode::SEE_OTHER);
    assert_eq!(told(&world, "bob", "An app password was revoked"), 1);
    // In this browser only.
    let mut other = world.signed_in("bob").await;
    let csrf = other.get("/settings/apps").await.csrf();
    let there = other.post("/settings/apps", &[("csrf", csrf), ("name", "Thief".into())]).await;
    assert_eq!(there.status, StatusCode::UNPROCESSABLE_ENTITY);

    // After a change of the password the page lists what goes on.
    let csrf = browser.get("/settings/security").await.csrf();
    let fields = [("old", PASSWORD), ("new", "another good one"), ("again", "another good one")];
    let mut all = vec![("csrf", csrf)];
    all.extend(fields.map(|(name, value)| (name, value.to_owned())));
    let changed = browser.post("/settings/password", &all).await;
    assert!(changed.location().starts_with("/settings/apps"), "{} {}", changed.status, changed.location());
    let page = browser.get(&changed.location()).await;
    assert!(page.text().contains("Phone") && page.has_code("passwordapps"));
    assert_eq!(told(&world, "bob", "Your password was changed"), 1);
    let revoke = [("csrf", page.csrf()), ("id", "all".to_owned())];
    assert_eq!(browser.post("/settings/apps/revoke", &revoke).await.status, StatusCode::SEE_OTHER);
    assert!(world.directory.app_passwords(id).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_told_of_a_browser_or_network_that_it_does_not_know() {
    let world = World::new().await;
    let subject = "New sign-in to your account";
    let sign_in = async |agent: &'static str, peer: &'static str| {
        let mut browser = world.browser();
        (browser.agent, browser.peer) = (agent, peer);
        let csrf = browser.get("/signin").await.csrf();
        let fields = [("csrf", csrf), ("login", "bob@example.org".to_owned()), ("password", PASSWORD.to_owned())];
        assert_eq!(browser.post("/signin", &fields).await.status, StatusCode::SEE_OTHER);
        told(&world, "bob", subject)
    };
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let newer = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0";
    let safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1";
    for (agent, peer, mails) in [
        // The first of all is nobody's surprise.
        (firefox, "192.0.2.7", 0),
        (firefox, "192.0.2.7", 0),
        (newer, "192.0.2.7", 0),
        (safari, "192.0.2.7", 1),
        (safari, "192.0.2.7", 1),
        (firefox, "198.51.100.1", 2),
        (firefox, "198.51.100.1", 2),
        (firefox, "2001:db8::1", 3),
        (firefox, "2001:db8::2", 3),
    ] {
        assert_eq!(sign_in(agent, peer).await, mails, "{agent} from {peer}");
    }
    let mut wrong = world.browser();
    let csrf = wrong.get("/signin").await.csrf();
    let fields = [("csrf", csrf), ("login", "bob@example.org".to_owned()), ("password", "wrong".to_owned())];
    wrong.post("/signin", &fields).await;
    assert_eq!(told(&world, "bob", subject), 3, "who did not get in is no sign-in");
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_that_are_tried_first_are_refused_wherever_they_are_set() {
    let world = World::new().await;
    for password in ["12345678", "password", "        ", "bob@example.org", "example.org", "Password1"] {
        let mut bob = world.signed_in("bob").await;
        let csrf = bob.get("/settings/security").await.csrf();
        let text = str::to_owned;
        let own = [("csrf", csrf), ("old", text(PASSWORD)), ("new", text(password)), ("again", text(password))];
        let answer = bob.post("/settings/password", &own).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{password}");
        let mut ann = world.signed_in("ann").await;
        let csrf = ann.get("/admin").await.csrf();
        let id = world.id("bob").0.to_string();
        let fields = [("csrf", csrf.clone()), ("do", text("password")), ("id", id), ("password", text(password))];
        let answer = ann.post("/admin/accounts", &fields).await;
        assert_ne!(answer.status, StatusCode::SEE_OTHER, "{password}, by the administrator");
        let address = "new@example.org".to_owned();
        let fields = [("csrf", csrf), ("do", text("create")), ("address", address), ("password", text(password))];
        if password.starts_with("bob@") {
            // Somebody else's address says nothing of a new account.
            continue;
        }
        ann.post("/admin/accounts", &fields).await;
        assert_eq!(world.directory.accounts().unwrap().len(), 2, "{password}, a new account");
    }
    let empty = World::empty().await;
    let mut browser = empty.browser();
    let page = browser.get("/setup").await;
    for password in ["12345678", "ada@example.net", "example.net"] {
        let mut fields = setup(page.csrf(), TOKEN);
        fields.retain(|(name, _)| *name != "password" && *name != "again");
        fields.extend([("password", password.to_owned()), ("again", password.to_owned())]);
        let answer = browser.post("/setup", &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{password}");
    }
    assert!(empty.directory.first_run().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_setup_tokens_do_not_keep_the_right_one_waiting() {
    let world = World::empty().await;
    let mut owner = world.browser();
    let page = owner.get("/setup").await;
    let wrong: Vec<_> = (0..200)
        .map(|number| {
            let (mut guesser, fields) = (owner.clone(), setup(page.csrf(), &format!("guess {number}")));
            tokio::spawn(async move { guesser.post("/setup", &fields).await.status })
        })
        .collect();
    tokio::task::yield_now().await;
    let done = owner.post("/setup", &setup(page.csrf(), TOKEN)).await;
    assert_eq!(done.location(), "/mail/inbox", "{}", done.text());
    assert!(wrong.iter().any(|guess| !guess.is_finished()) || wrong.len() == 200);
    for guess in wrong {
        assert_ne!(guess.await.unwrap(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
