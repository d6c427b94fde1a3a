//! What mail programs and other servers ask for without a login.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use directory::MtaSts;

use crate::world::{Answer, PASSWORD, World};

/// Asks as a program does, with a host and without cookies.
async fn ask(world: &World, method: Method, host: &str, path: &str, body: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("host", host);
    let request = request.header("content-type", "text/xml").body(Body::from(body.to_owned())).unwrap();
    world.browser().send(request).await
}

async fn get(world: &World, host: &str, path: &str) -> Answer {
    ask(world, Method::GET, host, path, "").await
}

fn asked_for(address: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/\
         outlook/requestschema/2006\"><Request><EMailAddress>{address}</EMailAddress><AcceptableResponseSchema>http://schemas.\
         microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema></Request></Autodiscover>"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_served_to_the_host_of_its_domain_alone() {
    let world = World::new().await;
    world.directory.add_domain("bücher.example").await.unwrap();
    let path = "/.well-known/mta-sts.txt";
    for host in ["mta-sts.example.org", "MTA-STS.Example.Org:8443", "mta-sts.xn--bcher-kva.example"] {
        let answer = get(&world, host, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{host}");
        assert!(answer.header("content-type").starts_with("text/plain"));
        let lines: Vec<String> = answer.text().split("\r\n").map(str::to_owned).collect();
        assert_eq!(lines, ["version: STSv1", "mode: testing", "mx: mail.example.org", "max_age: 86400", ""], "{host}");
    }
    for host in [
        "example.org",
        "mta-sts.other.example",
        "mta-sts.",
        "mta-sts.mta-sts.example.org",
        "",
        "[::1]:8443",
        "mail.example.org",
    ] {
        assert_eq!(get(&world, host, path).await.status, StatusCode::NOT_FOUND, "{host}");
    }
    world.directory.set_mta_sts("example.org", MtaSts::Enforce).await.unwrap();
    assert!(get(&world, "mta-sts.example.org", path).await.text().contains("\r\nmode: enforce\r\n"));
    world.directory.set_mta_sts("example.org", MtaSts::None).await.unwrap();
    assert!(
        get(&world, "mta-sts.example.org", path).await.text().contains("\r\nmode: none\r\n"),
        "an earlier one is taken back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn thunderbird_finds_its_settings_by_host_and_by_address() {
    let world = World::new().await;
    let (known, short) = ("/.well-known/autoconfig/mail/config-v1.1.xml", "/mail/config-v1.1.xml");
    for (host, path) in [
        ("autoconfig.example.org", format!("{short}?emailaddress=nobody%40example.org")),
        ("autoconfig.example.org", short.to_owned()),
        ("example.org", known.to_owned()),
        ("mail.other.example", format!("{known}?emailaddress=ann%40EXAMPLE.org")),
        ("example.org", format!("{known}?emailaddress=%22a%40b%22%40example.org")),
    ] {
        let answer = get(&world, host, &path).await;
        assert_eq!(answer.status, StatusCode::OK, "{host} {path}");
        let text = answer.text();
        for part in [
            "<domain>example.org</domain>",
            "<incomingServer type=\"imap\">",
            "<hostname>mail.example.org</hostname>",
            "<port>993</port>",
            "<socketType>SSL</socketType>",
            "<incomingServer type=\"pop3\">",
            "<socketType>STARTTLS</socketType>",
            "<outgoingServer type=\"smtp\">",
            "<username>%EMAILADDRESS%</username>",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
    for (host, path) in [
        ("autoconfig.other.example", short.to_owned()),
        ("autoconfig.example.org", format!("{short}?emailaddress=ann%40other.example")),
        ("autoconfig.example.org", format!("{short}?emailaddress=example.org")),
        ("autoconfig.example.org", format!("{short}?emailaddress={}%40example.org", "x".repeat(400))),
        ("mail.example.com", known.to_owned()),
    ] {
        assert_eq!(get(&world, host, &path).await.status, StatusCode::NOT_FOUND, "{host} {path}");
    }
    // One who is there and one who is not: the same answer.
    let of =
        async |name: &str| get(&world, "example.org", &format!("{known}?emailaddress={name}%40example.org")).await.body;
    assert_eq!(of("ann").await, of("nobody").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn outlook_finds_its_settings_in_all_its_ways() {
    let world = World::new().await;
    let host = "autodiscover.example.org";
    for path in ["/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AutoDiscover.xml"] {
        for name in ["ann", "nobody", "o'neil&amp;co"] {
            let answer = ask(&world, Method::POST, host, path, &asked_for(&format!("{name}@example.org"))).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            let text = answer.text();
            let login = format!("<LoginName>{}@example.org</LoginName>", name.replace('\'', "&apos;"));
            for part in
                ["<Type>IMAP</Type>", "<Server>mail.example.org</Server>", "<Port>993</Port>", "<SSL>on</SSL>", &login]
            {
                assert!(text.contains(part), "{part}\n{text}");
            }
            assert!(text.contains("<Encryption>TLS</Encryption>"), "POP3 is by STLS\n{text}");
        }
        assert_eq!(get(&world, host, &format!("{path}?Email=ann%40example.org")).await.status, StatusCode::OK);
        for wrong in ["ann@other.example", "ann", "", "@", "<b>ann@example.org</b>"] {
            let answer = ask(&world, Method::POST, host, path, &asked_for(wrong)).await;
            assert!(
                matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST),
                "{wrong}: {}",
                answer.status
            );
        }
    }
    let path = "/autodiscover/autodiscover.xml";
    for hostile in ["", "<", "<!--", "<EMailAddress>", "&&&&", "\u{0}", "<a><b></a></b>"] {
        assert_eq!(ask(&world, Method::POST, host, path, hostile).await.status, StatusCode::BAD_REQUEST, "{hostile:?}");
    }
    let large = asked_for(&"x".repeat(20_000));
    assert_eq!(ask(&world, Method::POST, host, path, &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let mobile = asked_for("ann@example.org").replace("outlook/responseschema/2006a", "mobilesync/responseschema/2006");
    let answer = ask(&world, Method::POST, host, path, &mobile).await.text();
    assert!(answer.contains("<ErrorCode>601</ErrorCode>"), "{answer}");

    let json = "/autodiscover/autodiscover.json";
    for path in [
        format!("{json}?Email=ann%40example.org&Protocol=AutodiscoverV1"),
        format!("{json}/v1.0/ann%40example.org?Protocol=autodiscoverv1&RedirectCount=1"),
    ] {
        let answer: serde_json::Value = serde_json::from_slice(&get(&world, host, &path).await.body).unwrap();
        assert_eq!(answer["Url"], "https://mail.example.org/autodiscover/autodiscover.xml", "{path}");
    }
    for (path, status) in [
        (format!("{json}?Email=ann%40example.org"), StatusCode::BAD_REQUEST),
        (format!("{json}?Email=ann%40example.org&Protocol=ActiveSync"), StatusCode::BAD_REQUEST),
        (format!("{json}?Email=ann%40other.example&Protocol=AutodiscoverV1"), StatusCode::NOT_FOUND),
        (format!("{json}?Protocol=AutodiscoverV1"), StatusCode::NOT_FOUND),
        (format!("{json}/v1.0/ann?Protocol=AutodiscoverV1"), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(get(&world, host, &path).await.status, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apple_profile_is_made_with_an_app_password_and_fetched_by_its_link_alone() {
    let world = World::new().await;
    let mut bob = world.signed_in("bob").await;
    let page = bob.get("/settings/apps").await;
    let fields = [("csrf", page.csrf()), ("key", page.value("key")), ("password", PASSWORD.to_owned())];
    // Without the password it is asked for.
    let asked = bob.post("/settings/apps/profile", &fields[..2]).await;
    assert!(asked.status == StatusCode::UNPROCESSABLE_ENTITY && !asked.has_code("profile-created"));
    let made = bob.post("/settings/apps/profile", &fields).await;
    assert!(made.has_code("profile-created") && made.text().contains("<svg class=\"qr\""));
    assert!(made.has_code("profile-unsigned"), "there is no certificate");
    let again = bob.post("/settings/apps/profile", &fields).await;
    let link = |answer: &Answer| {
        let text = answer.text();
        let start = text.find("/profile/").unwrap();
        text[start..start + text[start..].find('"').unwrap()].to_owned()
    };
    assert_eq!(link(&made), link(&again), "sent twice, made once");
    assert_eq!(world.directory.app_passwords(world.id("bob")).unwrap().len(), 1);
    let fetched = get(&world, "mail.example.org", &link(&made)).await;
    assert_eq!((fetched.status, fetched.header("content-type")), (StatusCode::OK, "application/x-apple-aspen-config"));
    let text = fetched.text();
    for part in [
        "<key>EmailAddress</key>\n      <string>bob@example.org</string>",
        "<key>IncomingMailServerPortNumber</key>\n      <integer>993</integer>",
        "<key>OutgoingMailServerPortNumber</key>\n      <integer>465</integer>",
        "<key>IncomingMailServerHostName</key>\n      <string>mail.example.org</string>",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let password = text.split("<key>IncomingPassword</key>\n      <string>").nth(1).unwrap();
    let password = &password[..password.find('<').unwrap()];
    let attempt = directory::LoginAttempt {
        login: "bob@example.org",
        secret: directory::Secret::Password(password),
        service: directory::Service::Imap,
        peer: "192.0.2.9".parse().unwrap(),
    };
    let login = world.directory.authenticate(attempt).await.unwrap();
    assert_eq!(login.account, world.id("bob"));
    for wrong in ["/profile/", "/profile/x.mobileconfig", &link(&made).replace(".mobileconfig", "")] {
        assert_eq!(get(&world, "mail.example.org", wrong).await.status, StatusCode::NOT_FOUND, "{wrong}");
    }
    for _ in 0..4 {
        get(&world, "mail.example.org", &link(&made)).await;
    }
    assert_eq!(
        get(&world, "mail.example.org", &link(&made)).await.status,
        StatusCode::NOT_FOUND,
        "fetched often enough"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_sent_to_what_listens_and_to_nothing_if_it_does_not_do() {
    for (listening, types) in [
        (&["IMAP", "POP3", "SMTP"][..], &["imap", "pop3", "smtp"][..]),
        (&["IMAP", "SMTP"], &["imap", "smtp"]),
        (&["POP3", "SMTP"], &["pop3", "smtp"]),
        (&["IMAP", "POP3"], &[]),
        (&["SMTP"], &[]),
        (&[], &[]),
    ] {
        let world = World::by(|options| {
            options.servers.retain(|server| listening.iter().any(|word| server.what.starts_with(word)));
        })
        .await;
        let xml = "/mail/config-v1.1.xml?emailaddress=ann%40example.org";
        let thunderbird = get(&world, "autoconfig.example.org", xml).await;
        let outlook = get(&world, "example.org", "/autodiscover/autodiscover.xml?Email=ann%40example.org").await;
        let expected = if types.is_empty() { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!((thunderbird.status, outlook.status), (expected, expected), "{listening:?}");
        for kind in ["imap", "pop3", "smtp"] {
            let (there, upper) = (types.contains(&kind), kind.to_ascii_uppercase());
            assert_eq!(thunderbird.text().contains(&format!("type=\"{kind}\"")), there, "{listening:?}");
            assert_eq!(outlook.text().contains(&format!("<Type>{upper}</Type>")), there, "{listening:?}");
        }
    }
}

/// A certificate for these names of an authority that nobody knows.
fn issued(names: &[&str]) -> doorkit::Presented {
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Authority");
    let issuer = rcgen::Issuer::new(params, authority);
    let own = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap();
    doorkit::Presented::from_pem(made.pem().as_bytes(), own.serialize_pem().as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_signed_with_the_certificate_of_the_name_that_it_sets_up() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["mail.example.org".to_owned(), "mail.example.net".to_owned()];
    let tls = doorkit::Tls::self_signed(folder.path(), &names).unwrap();
    let own = tls.clone();
    let world = World::by(|options| {
        options.tls = Some(own);
        options.also_known_as = vec![names[1].clone()];
    })
    .await;
    let mut bob = world.signed_in("bob").await;
    let mut made = async || {
        let page = bob.get("/settings/apps").await;
        let fields = [("csrf", page.csrf()), ("key", page.value("key")), ("password", PASSWORD.to_owned())];
        let made = bob.post("/settings/apps/profile", &fields).await;
        let text = made.text();
        let start = text.find("/profile/").unwrap();
        let link = text[start..start + text[start..].find('"').unwrap()].to_owned();
        (!made.has_code("profile-unsigned"), get(&world, "mail.example.org", &link).await)
    };
    // Self-signed, of another name, and right.
    for (certificate, signed) in [(None, false), (Some("mail.example.net"), false), (Some("mail.example.org"), true)] {
        tls.present(&certificate.map(|name| issued(&[name])).into_iter().collect::<Vec<_>>(), certificate);
        let (said, fetched) = made().await;
        assert_eq!(said, signed, "{certificate:?}");
        assert_eq!(fetched.header("content-type"), "application/x-apple-aspen-config");
        assert_eq!(fetched.body.first(), Some(if signed { &0x30 } else { &b'<' }), "{certificate:?}");
        let host = b"<key>IncomingMailServerHostName</key>\n      <string>mail.example.org</string>";
        assert!(fetched.body.windows(host.len()).any(|part| part == host), "{certificate:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_learn_all_names_of_the_service_and_first_the_one_that_they_came_by() {
    let world =
        World::by(|options| options.also_known_as = vec!["mail.example.net".to_owned(), "mx.example.ch".to_owned()]);
    let world = world.await;
    let servers = |text: &str, tag: &str| {
        let all = text.split(tag).skip(1).map(|part| part[..part.find('<').unwrap()].to_owned());
        all.collect::<Vec<String>>()
    };
    let all = ["mail.example.org", "mail.example.net", "mx.example.ch"];
    for (host, first) in [
        ("autoconfig.example.org", 0),
        ("mail.example.org", 0),
        ("mail.example.net", 1),
        ("MX.example.CH.:8443", 2),
        ("other.example", 0),
        ("", 0),
    ] {
        let path = "/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=ann%40example.org";
        let text = get(&world, host, path).await.text();
        let order: Vec<&str> =
            std::iter::once(first).chain((0..3).filter(|at| *at != first)).map(|at| all[at]).collect();
        // IMAP and POP3 of each name, then SMTP of each.
        let wanted: Vec<&str> = order.iter().flat_map(|name| [*name; 2]).chain(order.iter().copied()).collect();
        assert_eq!(servers(&text, "<hostname>"), wanted, "{host}");
        let path = "/autodiscover/autodiscover.xml?Email=ann%40example.org";
        let text = get(&world, host, path).await.text();
        assert_eq!(servers(&text, "<Server>"), [all[first]; 3], "{host}");
    }
}
