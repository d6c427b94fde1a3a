//! A site over a real store in a folder of its own, and a browser that keeps cookies and reads forms.
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use continuity::rewind::Rewinds;
use delivery::{Delivery, DeliveryOptions};
use directory::{AccountId, Directory, DirectoryOptions, NewAccount, Role};
use http_body_util::BodyExt;
use mailkit::EmailAddress;
use mailstore::{Appended, Flags, MailStore, MailboxId, NewMessage, Role as MailboxRole};
use people::People;
use testkit::{Clock, House, Store, SystemClock};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use web::{Peer, WebDoor, WebOptions, WebState};

pub const PASSWORD: &str = "correct horse battery";
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

pub struct World {
    pub router: Router,
    pub directory: Directory,
    pub mail: MailStore,
    pub delivery: Delivery,
    pub store: Store,
    /// The DNS as the checks of domains see it.
    pub zone: Arc<dnskit::Zone>,
    clock: Arc<Ahead>,
    _folder: tempfile::TempDir,
}

/// A clock that goes ahead of the machine's.
#[derive(Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms() + self.0.load(Ordering::Relaxed)
    }
}

/// This service as the DNS should tell it to others.
fn service() -> domaincheck::Service {
    let mail = |label, port| domaincheck::MailService { label, port };
    domaincheck::Service {
        hostname: "mail.example.org".to_owned(),
        mail: vec![mail("_imaps", 993), mail("_pop3s", 995), mail("_submissions", 465)],
        web: true,
        ..domaincheck::Service::default()
    }
}

/// Fetching that asks that DNS.
fn fetching(
    store: &Store,
    directory: &Directory,
    mail: &MailStore,
    delivery: &Delivery,
    zone: &Arc<dnskit::Zone>,
) -> fetching::Fetching {
    let services = fetching::Services {
        store: store.clone(),
        directory: directory.clone(),
        mailstore: mail.clone(),
        delivery: delivery.clone(),
        resolver: zone.clone(),
    };
    fetching::Fetching::new(services, fetching::Policy::default()).unwrap()
}

impl World {
    /// A site without accounts.
    pub async fn empty() -> Self {
        Self::empty_with(None).await
    }

    /// The same with a process behind the pages.
    pub async fn empty_with(operator: Option<Arc<dyn web::Operator>>) -> Self {
        Self::empty_by(|options| options.operator = operator).await
    }

    /// The same set up otherwise.
    async fn empty_by(change: impl FnOnce(&mut WebOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = DirectoryOptions { hostname: "mail.example.org".to_owned(), ..DirectoryOptions::default() };
        let clock = Arc::new(Ahead::default());
        let House { store, directory, mailstore: mail } =
            House::with_mailboxes_and_clock(folder.path(), options, clock.clone()).await;
        let delivery =
            Delivery::new(store.clone(), directory.clone(), mail.clone(), DeliveryOptions::default()).unwrap();
        let mut options = WebOptions {
            setup_token: Some(TOKEN.to_owned()),
            hostname: "mail.example.org".to_owned(),
            servers: vec![
                web::Server { what: "IMAP (reading)", port: 993, security: "TLS" },
                web::Server { what: "POP3 (fetching)", port: 110, security: "STLS" },
                web::Server { what: "SMTP (sending)", port: 465, security: "TLS" },
            ],
            help: &crate::admin::help::PAGES,
            ..WebOptions::default()
        };
        change(&mut options);
        let zone = Arc::new(dnskit::Zone::new());
        let state = WebState {
            directory: directory.clone(),
            mailstore: mail.clone(),
            people: People::new(store.clone()),
            spam: filter::spam::Spam::new(store.clone()),
            rules: rules::Rules::new(store.clone()),
            saved: saved::SavedSearches::new(store.clone()),
            reports: reports::Reports::new(store.clone()),
            rewinds: Rewinds::new(store.clone(), mail.clone(), testkit::parts()),
            delivery: delivery.clone(),
            fetching: fetching(&store, &directory, &mail, &delivery, &zone),
            checks: domaincheck::Checks::new(directory.clone(), zone.clone(), service),
            options,
            shutdown: CancellationToken::new(),
        };
        Self { router: WebDoor::new(state), directory, mail, delivery, store, zone, clock, _folder: folder }
    }

    /// A site with ann@example.org, who administers, and bob@example.org.
    pub async fn new() -> Self {
        Self::with(None).await
    }

    /// The same with a process behind the pages.
    pub async fn with(operator: Option<Arc<dyn web::Operator>>) -> Self {
        Self::by(|options| options.operator = operator).await
    }

    /// The same set up otherwise.
    pub async fn by(change: impl FnOnce(&mut WebOptions)) -> Self {
        let world = Self::empty_by(change).await;
        world.directory.add_domain("example.org").await.unwrap();
        world.account("ann", Role::Admin).await;
        world.account("bob", Role::User).await;
        world
    }

    pub async fn account(&self, name: &str, role: Role) -> AccountId {
        let new = NewAccount {
            address: EmailAddress::parse(&format!("{name}@example.org")).unwrap(),
            name: name.to_owned(),
            password: PASSWORD.to_owned(),
            role,
            quota_bytes: 0,
        };
        self.directory.create_account(new).await.unwrap()
    }

    /// The clock of the store goes on.
    pub fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub fn id(&self, name: &str) -> AccountId {
        let address = EmailAddress::parse(&format!("{name}@example.org")).unwrap();
        self.directory.account_by_address(&address).unwrap().unwrap().id
    }

    pub fn mailbox(&self, name: &str, role: MailboxRole) -> mailstore::Mailbox {
        self.mail.mailbox_by_role(self.id(name).realm(), role).unwrap().unwrap()
    }

    /// File a message for someone.
    pub async fn file(&self, name: &str, mailbox: MailboxId, raw: &[u8]) -> Appended {
        let (mail, bytes) = (self.mail.clone(), raw.to_vec());
        let body = tokio::task::spawn_blocking(move || mail.stage(&bytes).unwrap()).await.unwrap();
        let parsed = mailkit::parse(raw);
        let message = NewMessage {
            body,
            internal_date_ms: parsed.date_ms.unwrap_or(1_795_000_000_000),
            parsed: Arc::new(parsed),
            flags: Flags::NONE,
            delivery_key: None,
            ignore_quota: false,
        };
        self.mail.append(self.id(name).realm(), mailbox, message).await.unwrap()
    }

    pub fn browser(&self) -> Browser {
        Browser { router: self.router.clone(), cookies: Vec::new(), tls: false, peer: "192.0.2.7", agent: "" }
    }

    /// A browser in which someone is signed in.
    pub async fn signed_in(&self, name: &str) -> Browser {
        let mut browser = self.browser();
        let page = browser.get("/signin").await;
        let login = format!("{name}@example.org");
        let fields = [("csrf", page.csrf()), ("login", login), ("password", PASSWORD.to_owned())];
        let done = browser.post("/signin", &fields).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
        browser
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.store.close();
    }
}

#[derive(Clone)]
pub struct Browser {
    router: Router,
    cookies: Vec<(String, String)>,
    pub tls: bool,
    /// Where it is, and what it calls itself.
    pub peer: &'static str,
    pub agent: &'static str,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// The connection is ended instead.
    pub ends_without_answer: bool,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether it shows a problem or a notice with this code.
    pub fn has_code(&self, code: &str) -> bool {
        self.text().contains(&format!("data-code=\"{code}\""))
    }

    pub fn csrf(&self) -> String {
        self.value("csrf")
    }

    /// The value of the first input of that name.
    pub fn value(&self, name: &str) -> String {
        let text = self.text();
        let mark = format!("name=\"{name}\" value=\"");
        let at = text.find(&mark).unwrap_or_else(|| panic!("no {name} in {text}")) + mark.len();
        text[at..].split('"').next().unwrap().to_owned()
    }

    /// What stands beside a field that is wrong; the field names it. Empty if it is not.
    pub fn wrong(&self, field: &str) -> String {
        let text = self.text();
        let Some((_, after)) = text.split_once(&format!("id=\"{field}-wrong\"")) else { return String::new() };
        assert!(text.contains(&format!("aria-describedby=\"{field}-wrong")), "the field {field} names what is wrong");
        after.split_once('>').unwrap().1.split("</span>").next().unwrap().to_owned()
    }

    pub fn location(&self) -> String {
        self.headers.get(header::LOCATION).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Browser {
    /// The answer as it begins: its body is still to come.
    pub async fn open(&self, mut request: Request<Body>) -> axum::response::Response {
        self.sign(&mut request);
        self.router.clone().oneshot(request).await.unwrap()
    }

    fn sign(&self, request: &mut Request<Body>) {
        if !self.cookies.is_empty() {
            let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.headers_mut().insert(header::COOKIE, cookies.join("; ").parse().unwrap());
        }
        if !self.agent.is_empty() {
            request.headers_mut().insert(header::USER_AGENT, self.agent.parse().unwrap());
        }
        request.extensions_mut().insert(Peer { addr: self.peer.parse().unwrap(), tls: self.tls });
    }

    pub async fn send(&mut self, mut request: Request<Body>) -> Answer {
        self.sign(&mut request);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let ends_without_answer = parts.extensions.get::<web::EndsWithoutAnswer>().is_some();
        Answer { status: parts.status, headers: parts.headers, body, ends_without_answer }
    }

    /// Sets a cookie, as a script of the page does.
    pub fn cookie(&mut self, name: &str, value: &str) {
        self.cookies.retain(|(known, _)| known != name);
        self.cookies.push((name.to_owned(), value.to_owned()));
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&mut self, path: &str, fields: &[(&str, String)]) -> Answer {
        self.send(form(path, fields)).await
    }

    /// Post the compose form.
    pub async fn compose(&mut self, fields: &[(&str, String)], files: &[(&str, &[u8])]) -> Answer {
        self.send(multipart("/compose", fields, files)).await
    }
}

pub fn form(path: &str, fields: &[(&str, String)]) -> Request<Body> {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(fields);
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "same-origin")
        .body(Body::from(body.finish()))
        .unwrap()
}

pub fn multipart(path: &str, fields: &[(&str, String)], files: &[(&str, &[u8])]) -> Request<Body> {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes());
    }
    for (name, content) in files {
        let head = format!(
            "--X\r\nContent-Disposition: form-data; name=\"attach\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend(head.bytes());
        body.extend_from_slice(content);
        body.extend(b"\r\n");
    }
    body.extend(b"--X--\r\n");
    Request::post(path)
        .header(header::CONTENT_TYPE, "multipart/form-data; boundary=X")
        .header(header::CONTENT_LENGTH, body.len())
        .header("sec-fetch-site", "same-origin")
        .body(Body::from(body))
        .unwrap()
}
