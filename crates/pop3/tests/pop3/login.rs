//! Logging in.

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use doorkit::PlaintextLogins;
use pop3::Pop3Options;

use crate::world::{Client, LOGIN, PASSWORD, World};

#[tokio::test]
async fn passwords_are_not_taken_in_plain_text() {
    let world = World::with(Pop3Options::default()).await;
    let mut client = world.connect().await;
    let capabilities = client.lines("CAPA").await;
    assert!(capabilities.contains(&"STLS".to_owned()), "{capabilities:?}");
    assert!(!capabilities.iter().any(|line| line == "USER" || line.starts_with("SASL")), "{capabilities:?}");
    client.err(&format!("USER {LOGIN}")).await;
    client.err("AUTH PLAIN").await;
    client.ok("QUIT").await;
}

#[tokio::test]
async fn what_is_said_in_plain_text_after_stls_does_not_count() {
    let world = World::with(Pop3Options::default()).await;
    let mut client = world.connect().await;
    client.send(b"STLS\r\nUSER mallory\r\n").await;
    // Whether or not the answer to STLS comes, no other does.
    while let Some(answer) = client.line().await {
        assert!(answer.contains("TLS"), "{answer}");
    }
}

#[tokio::test]
async fn nothing_works_before_the_login() {
    let world = World::new().await;
    let mut client = world.connect().await;
    for command in ["STAT", "LIST", "UIDL", "RETR 1", "DELE 1", "NOOP", "RSET", "TOP 1 1", "PASS x"] {
        client.err(command).await;
    }
    client.ok("UTF8").await;
    client.err("STLS").await;
    client.ok(&format!("USER {LOGIN}")).await;
    client.ok(&format!("PASS {PASSWORD}")).await;
    for command in ["USER x", "PASS x", "STLS", "UTF8", "AUTH PLAIN"] {
        client.err(command).await;
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_login_are_told_the_same_and_then_closed() {
    let world = World::new().await;
    let mut client = world.connect().await;
    let mut answers = Vec::new();
    for login in [LOGIN, "nobody@here.example", "what?"] {
        client.ok(&format!("USER {login}")).await;
        answers.push(client.err("PASS wrong password").await);
    }
    assert!(answers[0].starts_with("[AUTH] "), "{answers:?}");
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    client.closed().await;
}

#[tokio::test]
async fn auth_takes_plain_and_login_with_and_without_an_initial_response() {
    let world = World::new().await;
    let plain = BASE64.encode(format!("\0{LOGIN}\0{PASSWORD}"));
    let mut client = world.connect().await;
    client.ok(&format!("AUTH PLAIN {plain}")).await;
    client.ok("QUIT").await;

    let mut client = world.connect().await;
    assert_eq!(client.say("AUTH PLAIN").await, "+ ");
    client.ok(&plain).await;

    let mut client = world.connect().await;
    assert_eq!(client.say("AUTH LOGIN").await, format!("+ {}", BASE64.encode("Username:")));
    assert_eq!(client.say(&BASE64.encode(LOGIN)).await, format!("+ {}", BASE64.encode("Password:")));
    client.ok(&BASE64.encode(PASSWORD)).await;

    let mut client = world.connect().await;
    client.say("AUTH PLAIN").await;
    client.err("*").await;
    client.err("AUTH PLAIN !!!").await;
    client.err("AUTH CRAM-MD5").await;
    client.ok(&format!("AUTH PLAIN {plain}")).await;
}

/// The client's side of SCRAM-SHA-256 (RFC 5802 §3); gives the last answer.
async fn scram(client: &mut Client, login: &str, password: &str) -> String {
    let mac = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec();
    let decode = |answer: &str| BASE64.decode(answer.strip_prefix("+ ").unwrap()).unwrap();
    let bare = format!("n={login},r=fyko+d2lbbFgONRv9qkxdawL");
    let first = client.say(&format!("AUTH SCRAM-SHA-256 {}", BASE64.encode(format!("n,,{bare}")))).await;
    let server_first = String::from_utf8(decode(&first)).unwrap();
    let mut parts = server_first.split(',').map(|part| &part[2..]);
    let (nonce, salt, iterations) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let mut salted = [0; 32];
    let (iterations, salt) = (iterations.parse().unwrap(), BASE64.decode(salt).unwrap());
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.as_bytes(), &mut salted);
    let client_key = mac(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let message = format!("{bare},{server_first},c=biws,r={nonce}");
    let signature = mac(stored_key.as_ref(), message.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let last = format!("c=biws,r={nonce},p={}", BASE64.encode(proof));
    let answer = client.say(&BASE64.encode(last)).await;
    if answer.starts_with("-ERR") {
        return answer;
    }
    let verifier = mac(&mac(&salted, b"Server Key"), message.as_bytes());
    assert_eq!(decode(&answer), format!("v={}", BASE64.encode(verifier)).into_bytes());
    client.say("").await
}

#[tokio::test]
async fn scram_takes_an_app_password_and_proves_the_server_too() {
    let world = World::new().await;
    let app = world.directory.create_app_password(world.account, "mutt").await.unwrap();
    let mut client = world.connect().await;
    let right = scram(&mut client, LOGIN, &app.password).await;
    assert!(right.starts_with("+OK"), "{right}");
    client.ok("STAT").await;
    client.ok("QUIT").await;
    let mut client = world.connect().await;
    let wrong = scram(&mut client, LOGIN, "wrong").await;
    let unknown = scram(&mut client, "nobody@here.example", "wrong").await;
    assert!(wrong.starts_with("-ERR [AUTH]"), "{wrong}");
    assert_eq!(wrong, unknown);
}

#[tokio::test]
async fn an_account_with_two_step_sign_in_needs_an_app_password() {
    let world = World::new().await;
    let enrolment = world.directory.enrol_totp(world.account).await.unwrap();
    let code = totp_rs::Builder::new()
        .with_secret(totp_rs::Secret::try_from_base32(&enrolment.secret).unwrap())
        .build_noncompliant()
        .generate_current();
    world.directory.enable_totp(world.account, &code.to_string()).await.unwrap();
    let mut client = world.connect().await;
    client.ok(&format!("USER {LOGIN}")).await;
    let answer = client.err(&format!("PASS {PASSWORD}")).await;
    assert!(answer.starts_with("[AUTH] ") && answer.contains("app password"), "{answer}");
    let app = world.directory.create_app_password(world.account, "phone").await.unwrap();
    client.ok(&format!("USER {LOGIN}")).await;
    client.ok(&format!("PASS {}", app.password)).await;
}

#[tokio::test]
async fn more_sessions_than_allowed_are_told_so_and_a_free_place_is_free() {
    let options = Pop3Options {
        plaintext_logins: PlaintextLogins::Loopback,
        max_sessions_per_account: 1,
        ..Pop3Options::default()
    };
    let world = World::with(options).await;
    let mut first = world.logged_in().await;
    let mut second = world.connect().await;
    second.ok(&format!("USER {LOGIN}")).await;
    let answer = second.err(&format!("PASS {PASSWORD}")).await;
    assert!(answer.starts_with("[IN-USE] "), "{answer}");
    first.ok("QUIT").await;
    first.closed().await;
    second.ok(&format!("USER {LOGIN}")).await;
    second.ok(&format!("PASS {PASSWORD}")).await;
}

#[tokio::test]
async fn an_account_that_was_disabled_gets_no_further_logins() {
    let world = World::new().await;
    drop(world.logged_in().await);
    world.directory.set_enabled(world.account, false).await.unwrap();
    let mut client = world.connect().await;
    client.ok(&format!("USER {LOGIN}")).await;
    let answer = client.err(&format!("PASS {PASSWORD}")).await;
    assert!(answer.starts_with("[SYS/PERM] "), "{answer}");
}
