//! Passkeys on the pages: what a browser with one does, step by step.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::Value;

use crate::world::{Answer, Browser, PASSWORD, World, form};

const HOST: &str = "mail.example.org";

/// A browser at a name of the service, by HTTPS, with an authenticator.
struct Device {
    browser: Browser,
    host: &'static str,
    key: Ed25519KeyPair,
    handle: Vec<u8>,
    verifies: bool,
}

impl Device {
    fn new(world: &World, host: &'static str) -> Self {
        let mut browser = world.browser();
        browser.tls = true;
        Self { browser, host, key: Ed25519KeyPair::generate().unwrap(), handle: Vec::new(), verifies: true }
    }

    async fn get(&mut self, path: &str) -> Answer {
        let request = Request::get(path).header(header::HOST, self.host).body(Body::empty()).unwrap();
        self.browser.send(request).await
    }

    async fn post(&mut self, path: &str, fields: &[(&str, String)]) -> Answer {
        let mut request = form(path, fields);
        request.headers_mut().insert(header::HOST, self.host.parse().unwrap());
        self.browser.send(request).await
    }

    async fn sign_in(&mut self, login: &str) -> Answer {
        let csrf = self.get("/signin").await.csrf();
        self.post("/signin", &[("csrf", csrf), ("login", login.into()), ("password", PASSWORD.into())]).await
    }

    /// What the script puts into the form, for the question on a page.
    fn answers(&mut self, page: &Answer, kind: &str) -> Vec<(&'static str, String)> {
        let text = page.text();
        let at = text.find("data-options=\"").unwrap_or_else(|| panic!("{text}")) + "data-options=\"".len();
        let options = text[at..].split('"').next().unwrap().replace("&#34;", "\"").replace("&quot;", "\"");
        let options: Value = serde_json::from_str(&options).unwrap();
        let challenge = options["challenge"].as_str().unwrap().to_owned();
        let client =
            format!(r#"{{"type":"webauthn.{kind}","challenge":"{challenge}","origin":"https://{}"}}"#, self.host);
        let rp = options["rpId"].as_str().or(options["rp"]["id"].as_str()).unwrap();
        let flags = if self.verifies { 5 } else { 1 } + if kind == "create" { 0x40 } else { 0 };
        let mut data = [digest(&SHA256, rp.as_bytes()).as_ref(), &[flags], &[0; 4]].concat();
        let (mut object, mut signature) = (Vec::new(), Vec::new());
        if kind == "create" {
            assert_eq!(options["attestation"], "none");
            assert!(options["pubKeyCredParams"].as_array().unwrap().iter().any(|one| one["alg"] == -8));
            self.handle = BASE64.decode(options["user"]["id"].as_str().unwrap()).unwrap();
            let public = self.key.public_key().as_ref();
            data.extend(
                [&[0; 16][..], &[0, 2], b"id", &[0xA4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32], public].concat(),
            );
            let length = u8::try_from(data.len()).unwrap();
            object = [&b"\xA3\x63fmt\x64none\x67attStmt\xA0\x68authData\x58"[..], &[length], &data].concat();
        } else {
            let signed = [&data, digest(&SHA256, client.as_bytes()).as_ref()].concat();
            signature = self.key.sign(&signed).as_ref().to_vec();
        }
        vec![
            ("pk-challenge", challenge),
            ("pk-id", BASE64.encode(b"id")),
            ("pk-client", BASE64.encode(client)),
            ("pk-data", BASE64.encode(if kind == "create" { object } else { data })),
            ("pk-signature", BASE64.encode(signature)),
            ("pk-user", BASE64.encode(&self.handle)),
            ("pk-transports", "internal,hybrid".to_owned()),
        ]
    }

    /// Adds a passkey; gives the answer to the last form.
    async fn adds(&mut self, kind: &str) -> Answer {
        let page = self.get("/settings/security").await;
        let fields = [
            ("csrf", page.csrf()),
            ("name", "My <phone>".into()),
            ("kind", kind.into()),
            ("password", PASSWORD.into()),
        ];
        let page = self.post("/settings/passkeys", &fields).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        let mut fields = self.answers(&page, "create");
        fields.extend([("csrf", page.csrf()), ("name", "My <phone>".into()), ("kind", kind.into())]);
        self.post("/settings/passkeys/add", &fields).await
    }

    async fn signs_in(&mut self) -> Answer {
        let page = self.get("/signin").await;
        let mut fields = self.answers(&page, "get");
        fields.extend([("csrf", page.csrf()), ("with", "passkey".into()), ("next", "/people".into())]);
        self.post("/signin", &fields).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_is_added_signs_in_and_is_removed() {
    let world = World::by(|options| options.also_known_as = vec!["mail.other.example".to_owned()]).await;
    let mut device = Device::new(&world, HOST);
    assert_eq!(device.sign_in("bob@example.org").await.location(), "/");
    // A name first, then the password again.
    let csrf = device.get("/settings/security").await.csrf();
    let refused = device.post("/settings/passkeys", &[("csrf", csrf.clone()), ("name", " ".into())]).await;
    assert!(!refused.wrong("passkey-name").is_empty());
    let asked = device.post("/settings/passkeys", &[("csrf", csrf), ("name", "x".into())]).await;
    assert!(asked.status == StatusCode::UNPROCESSABLE_ENTITY && asked.text().contains("ask-password"));
    let added = device.adds("").await;
    assert_eq!(added.status, StatusCode::SEE_OTHER, "{}", added.text());
    let page = device.get(&added.location()).await;
    assert!(
        page.has_code("passkeyadded") && page.text().contains("My &#60;phone&#62;") && !page.text().contains("<phone>")
    );
    assert!(!device.adds("").await.wrong("passkey-name").is_empty(), "it has been added already");

    let csrf = device.get("/mail/inbox").await.csrf();
    device.post("/signout", &[("csrf", csrf)]).await;
    let done = device.signs_in().await;
    assert_eq!(done.location(), "/people", "{}", done.text());
    assert_eq!(device.get("/mail/inbox").await.status, StatusCode::OK);

    // The same answer again, by someone who has seen it; one of another name of the service; one without a finger.
    let mut other = Device { key: Ed25519KeyPair::generate().unwrap(), ..Device::new(&world, HOST) };
    std::mem::swap(&mut other.key, &mut device.key);
    other.handle.clone_from(&device.handle);
    let page = other.get("/signin").await;
    let mut fields = other.answers(&page, "get");
    fields.extend([("csrf", page.csrf()), ("with", "passkey".into())]);
    assert_eq!(other.post("/signin", &fields).await.status, StatusCode::SEE_OTHER);
    let csrf = other.get("/signin").await;
    assert_eq!(csrf.status, StatusCode::SEE_OTHER, "signed in");
    let mut thief = Device::new(&world, HOST);
    let csrf = thief.get("/signin").await.csrf();
    fields.retain(|(name, _)| *name != "csrf");
    fields.push(("csrf", csrf));
    assert!(thief.post("/signin", &fields).await.has_code("passkey-expired"));
    let mut elsewhere = Device { host: "mail.other.example", ..Device::new(&world, HOST) };
    std::mem::swap(&mut elsewhere.key, &mut other.key);
    elsewhere.handle.clone_from(&device.handle);
    assert!(elsewhere.signs_in().await.has_code("passkey-refused"));
    let mut unverified = Device { verifies: false, ..Device::new(&world, HOST) };
    std::mem::swap(&mut unverified.key, &mut elsewhere.key);
    unverified.handle.clone_from(&device.handle);
    assert!(unverified.signs_in().await.has_code("passkey-refused"));
    unverified.verifies = true;
    unverified.handle = vec![1; 32];
    assert!(unverified.signs_in().await.has_code("passkey-refused"));

    // Removed, and with it the browsers that came by it.
    let mut owner = Device::new(&world, HOST);
    owner.sign_in("bob@example.org").await;
    let page = owner.get("/settings/security").await;
    let fields = [("csrf", page.csrf()), ("id", page.value("id")), ("password", PASSWORD.into())];
    assert_eq!(owner.post("/settings/passkeys/remove", &fields).await.status, StatusCode::SEE_OTHER);
    assert!(device.get("/mail/inbox").await.location().starts_with("/signin"));
    assert_eq!(owner.get("/mail/inbox").await.status, StatusCode::OK);
    unverified.handle.clone_from(&device.handle);
    assert!(unverified.signs_in().await.has_code("passkey-refused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_password_a_passkey_or_a_recovery_code_is_needed() {
    let world = World::new().await;
    let mut device = Device { verifies: false, ..Device::new(&world, HOST) };
    device.sign_in("bob@example.org").await;
    let added = device.adds("key").await;
    assert_eq!(added.status, StatusCode::SEE_OTHER, "{}", added.text());
    let csrf = device.get("/settings/security").await.csrf();
    let on = device.post("/settings/passkeys/step", &[("csrf", csrf)]).await;
    assert!(on.has_code("two-step-on"), "{}", on.text());
    let code = on.text().split("<li>").find(|part| part.len() > 18 && part[19..].starts_with("</li>")).unwrap()[..19]
        .to_owned();
    // The last one stays as long as it is the only second step.
    let page = device.get("/settings/security").await;
    let refused = device.post("/settings/passkeys/remove", &[("csrf", page.csrf()), ("id", page.value("id"))]).await;
    assert!(refused.text().contains("data-code=\"passkey-last\""));

    let mut fresh = Device { verifies: false, ..Device::new(&world, HOST) };
    std::mem::swap(&mut fresh.key, &mut device.key);
    let page = fresh.sign_in("bob@example.org").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text().contains("name=\"ticket\"") && fresh.get("/mail/inbox").await.location().starts_with("/signin")
    );
    // It never signs in alone, nor for a ticket that is another's.
    assert!(fresh.signs_in().await.status == StatusCode::UNAUTHORIZED);
    let mut fields = fresh.answers(&page, "get");
    fields.extend([("csrf", page.csrf()), ("with", "passkey".into()), ("login", "bob@example.org".into())]);
    fields.push(("ticket", "0000000000000000".into()));
    assert!(fresh.post("/signin", &fields).await.has_code("passkey-expired"));
    fields.pop();
    fields.push(("ticket", page.value("ticket")));
    let done = fresh.post("/signin", &fields).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    assert_eq!(fresh.get("/mail/inbox").await.status, StatusCode::OK);

    // The key is lost.
    let mut lost = Device::new(&world, HOST);
    let page = lost.sign_in("bob@example.org").await;
    let fields =
        [("csrf", page.csrf()), ("ticket", page.value("ticket")), ("login", "bob@example.org".into()), ("code", code)];
    assert_eq!(lost.post("/signin", &fields).await.status, StatusCode::SEE_OTHER);
    let page = lost.get("/settings/security").await;
    assert!(page.text().contains("data-codes-left=\"9\""));
    let renewed = [("csrf", page.csrf()), ("password", PASSWORD.into())];
    assert!(lost.post("/settings/codes", &renewed).await.has_code("two-step-on"));
    let off = lost.post("/settings/totp/off", &renewed).await;
    assert_eq!(off.status, StatusCode::SEE_OTHER);
    assert_eq!(Device::new(&world, HOST).sign_in("bob@example.org").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_https_or_by_another_name_there_are_no_passkeys() {
    let world = World::new().await;
    for (host, encrypted, there) in
        [(HOST, true, true), (HOST, false, false), ("evil.example", true, false), ("localhost:1", false, true)]
    {
        let mut device = Device::new(&world, host);
        device.browser.tls = encrypted;
        assert_eq!(device.get("/signin").await.text().contains("data-passkey"), there, "{host} {encrypted}");
        assert_eq!(device.sign_in("bob@example.org").await.status, StatusCode::SEE_OTHER);
        assert_eq!(device.get("/settings/security").await.has_code("passkeys-need-https"), !there);
        let csrf = device.get("/settings/security").await.csrf();
        for path in ["/settings/passkeys/add", "/settings/passkeys"] {
            let fields = [("csrf", csrf.clone()), ("name", "x".into()), ("password", PASSWORD.into())];
            let bad = device.post(path, &fields).await.status == StatusCode::BAD_REQUEST;
            assert_eq!(bad, !there, "{host} {path}");
        }
        let csrf = device.get("/settings/security").await.csrf();
        device.post("/signout", &[("csrf", csrf)]).await;
        // A form without what the script fills in.
        let csrf = device.get("/signin").await.csrf();
        let empty = device.post("/signin", &[("csrf", csrf), ("with", "passkey".into())]).await;
        assert!(empty.has_code("passkey-missing"));
    }
}
