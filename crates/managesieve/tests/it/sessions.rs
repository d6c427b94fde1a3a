//! Logging in and out, and how connections end.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use directory::{Scopes, Service};
use doorkit::PlaintextLogins;
use managesieve::ManageSieveOptions;

use crate::world::{Client, LOGIN, PASSWORD, World, plain};

#[tokio::test]
async fn passwords_are_not_taken_in_plain_text_and_no_mechanism_is_offered() {
    let world = World::with(ManageSieveOptions::default()).await;
    let mut client = world.connect().await;
    let told = client.ok("CAPABILITY").await;
    assert!(told.contains(&"\"STARTTLS\"".to_owned()) && !told.iter().any(|line| line.contains("SASL")), "{told:?}");
    let refused = client.no(&format!("AUTHENTICATE \"PLAIN\" \"{}\"", plain(LOGIN, PASSWORD))).await;
    assert!(refused.starts_with("(ENCRYPT-NEEDED) "), "{refused}");
    client.no("LISTSCRIPTS").await;
}

#[tokio::test]
async fn what_is_said_in_plain_text_after_starttls_does_not_count() {
    let world = World::with(ManageSieveOptions::default()).await;
    let mut client = world.connect().await;
    client.send(b"STARTTLS\r\nNOOP \"smuggled\"\r\n").await;
    assert!(!client.closed().await.contains("smuggled"));
}

#[tokio::test]
async fn plain_comes_at_once_or_after_a_challenge_and_can_be_cancelled() {
    let world = World::new().await;
    let secret = plain(LOGIN, PASSWORD);
    for (first, then) in [
        (format!("AUTHENTICATE \"PLAIN\" {{{}+}}\r\n{secret}", secret.len()), None),
        ("authenticate \"plain\"".to_owned(), Some(format!("\"{secret}\""))),
        ("AUTHENTICATE {5+}\r\nPLAIN".to_owned(), Some(format!("{{{}+}}\r\n{secret}", secret.len()))),
    ] {
        let mut client = world.connect().await;
        client.send(format!("{first}\r\n").as_bytes()).await;
        if let Some(then) = then {
            assert_eq!(client.line().await.unwrap(), "\"\"");
            client.send(format!("{then}\r\n").as_bytes()).await;
        }
        // One line: the capabilities don't follow, since no layer was made.
        assert!(client.line().await.unwrap().starts_with("OK "), "{first}");
        assert!(client.ok("LISTSCRIPTS").await.is_empty());
        let refused = client.no(&format!("AUTHENTICATE \"PLAIN\" \"{secret}\"")).await;
        assert!(!refused.is_empty());
    }
    let mut client = world.connect().await;
    client.send(b"AUTHENTICATE \"PLAIN\"\r\n").await;
    assert_eq!(client.line().await.unwrap(), "\"\"");
    client.no("\"*\"").await;
    client.no("AUTHENTICATE \"PLAIN\" \"!!!\"").await;
    client.no("AUTHENTICATE \"CRAM-MD5\"").await;
    client.ok(&format!("AUTHENTICATE \"PLAIN\" \"{secret}\"")).await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_login_are_told_the_same_and_then_closed() {
    let world = World::new().await;
    let mut client = world.connect().await;
    let mut answers = Vec::new();
    for login in [LOGIN, "nobody@here.example", "what?"] {
        let answer = client.say(&format!("AUTHENTICATE \"PLAIN\" \"{}\"", plain(login, "wrong"))).await;
        answers.push(answer.split_once(' ').unwrap().1.to_owned());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    client.closed().await;
}

/// The client's side of SCRAM-SHA-256 (RFC 5802 §3); gives the last answer.
async fn scram(client: &mut Client, login: &str, password: &str) -> String {
    use aws_lc_rs::{digest, hmac, pbkdf2};
    let mac = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec();
    let bare = format!("n={login},r=fyko+d2lbbFgONRv9qkxdawL");
    let first = BASE64.encode(format!("n,,{bare}"));
    client.send(format!("AUTHENTICATE \"SCRAM-SHA-256\" \"{first}\"\r\n").as_bytes()).await;
    let challenge = client.line().await.unwrap();
    let server_first = String::from_utf8(BASE64.decode(challenge.trim_matches('"')).unwrap()).unwrap();
    let mut parts = server_first.split(',').map(|part| &part[2..]);
    let (nonce, salt, iterations) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let mut salted = [0; 32];
    let (iterations, salt) = (iterations.parse().unwrap(), BASE64.decode(salt).unwrap());
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.as_bytes(), &mut salted);
    let client_key = mac(&salted, b"Client Key");
    let message = format!("{bare},{server_first},c=biws,r={nonce}");
    let signature = mac(digest::digest(&digest::SHA256, &client_key).as_ref(), message.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let last = BASE64.encode(format!("c=biws,r={nonce},p={}", BASE64.encode(proof)));
    client.send(format!("\"{last}\"\r\n").as_bytes()).await;
    let answer = client.line().await.unwrap();
    if answer.starts_with("NO") {
        return answer;
    }
    let verifier = BASE64.encode(mac(&mac(&salted, b"Server Key"), message.as_bytes()));
    assert_eq!(answer, format!("\"{}\"", BASE64.encode(format!("v={verifier}"))));
    client.say("\"\"").await
}

#[tokio::test]
async fn scram_takes_an_app_password_and_proves_the_server_too() {
    let world = World::new().await;
    let app = world.directory.create_app_password(world.account, "editor").await.unwrap();
    let mut client = world.connect().await;
    let right = scram(&mut client, LOGIN, &app.password).await;
    assert!(right.starts_with("OK "), "{right}");
    client.ok("LISTSCRIPTS").await;
    let mut client = world.connect().await;
    let wrong = scram(&mut client, LOGIN, "wrong").await;
    assert!(wrong.starts_with("NO "), "{wrong}");
    assert_eq!(wrong, scram(&mut client, "nobody@here.example", "wrong").await);
}

#[tokio::test]
async fn an_app_password_for_other_protocols_opens_nothing() {
    let world = World::new().await;
    for (service, opens) in [(Service::Imap, false), (Service::Smtp, false), (Service::ManageSieve, true)] {
        let scopes = Scopes::of(&[service]).unwrap();
        let app = world.directory.create_scoped_app_password(world.account, service.name(), scopes).await.unwrap();
        let mut client = world.connect().await;
        let answer = client.say(&format!("AUTHENTICATE \"PLAIN\" \"{}\"", plain(LOGIN, &app.password))).await;
        assert_eq!(answer.starts_with("OK "), opens, "{service:?}: {answer}");
        let answer = scram(&mut world.connect().await, LOGIN, &app.password).await;
        assert_eq!(answer.starts_with("OK "), opens, "{service:?} by SCRAM: {answer}");
    }
}

#[tokio::test]
async fn unauthenticate_leaves_the_account_and_frees_its_place() {
    let options = ManageSieveOptions {
        plaintext_logins: PlaintextLogins::Loopback,
        max_sessions_per_account: 1,
        ..ManageSieveOptions::default()
    };
    let world = World::with(options).await;
    let mut first = world.logged_in().await;
    let login = format!("AUTHENTICATE \"PLAIN\" \"{}\"", plain(LOGIN, PASSWORD));
    let mut second = world.connect().await;
    assert!(second.no(&login).await.starts_with("(TRYLATER) "));
    first.ok("UNAUTHENTICATE").await;
    first.no("LISTSCRIPTS").await;
    assert!(first.ok("CAPABILITY").await.iter().any(|line| line.starts_with("\"SASL\" \"")));
    second.ok(&login).await;
    assert!(first.no(&login).await.starts_with("(TRYLATER) "));
    second.ok("LOGOUT").await;
    second.closed().await;
    first.ok(&login).await;
}

#[tokio::test]
async fn a_session_ends_with_what_it_was_opened_with() {
    let world = World::new().await;
    let app = world.directory.create_app_password(world.account, "editor").await.unwrap();
    let mut client = world.connect().await;
    client.ok(&format!("AUTHENTICATE \"PLAIN\" \"{}\"", plain(LOGIN, &app.password))).await;
    world.directory.set_enabled(world.account, false).await.unwrap();
    assert!(client.closed().await.starts_with("BYE "));
}

#[tokio::test]
async fn endless_lines_and_texts_of_strangers_are_not_kept() {
    let world = World::new().await;
    for endless in ["A".repeat(100_000), format!("AUTHENTICATE \"{}\"\r\n", "x".repeat(20_000))] {
        let mut client = world.connect().await;
        client.send(endless.as_bytes()).await;
        client.send(b"\r\n").await;
        assert!(client.closed().await.starts_with("BYE "));
    }
    let mut client = world.connect().await;
    client.send(b"PUTSCRIPT \"x\" {100000+}\r\n").await;
    assert!(client.closed().await.starts_with("BYE "));
}

#[tokio::test]
async fn a_client_that_asks_for_another_of_our_names_is_greeted_with_it() {
    let own = ManageSieveOptions::default().hostname;
    let options = ManageSieveOptions {
        also_known_as: vec!["mail.other.example".to_owned(), "sieve.other.example".to_owned()].into(),
        ..ManageSieveOptions::default()
    };
    let world = World::with(options).await;
    for (asked, name) in [
        ("mail.other.example", "mail.other.example"),
        ("Sieve.Other.example", "sieve.other.example"),
        ("not.ours.example", &own),
    ] {
        let mut client = world.connect().await.starttls(asked).await;
        let greeting = client.answer().await;
        let last = greeting.last().unwrap();
        assert!(last.starts_with(&format!("OK \"{name} ")), "{asked}: {last}");
        assert!(greeting.iter().any(|line| line.starts_with("\"SASL\" ") && line.contains("PLAIN")), "{greeting:?}");
        client.ok(&format!("AUTHENTICATE \"PLAIN\" \"{}\"", plain(LOGIN, PASSWORD))).await;
        client.ok("LISTSCRIPTS").await;
    }
}
