//! Coming back in stages: what is on in each, what those hear who want more, and the page of a service that is not
//! there.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::Instant,
};

use crate::support::{Server, imap::Imap, smtp::Smtp, wait_for, web::Web};

const ANNA: &str = "anna@example.org";
const BERT: &str = "bert@example.org";

fn service() -> (tempfile::TempDir, Server) {
    Server::with_accounts(&[ANNA, BERT])
}

#[track_caller]
fn said(server: &Server, args: &[&str]) -> String {
    let output = server.command(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a door says first.
fn greeting(address: SocketAddr) -> String {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

/// A request without cookies: the whole answer.
fn http(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(address: SocketAddr, path: &str) -> String {
    http(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
}

#[test]
fn each_stage_has_its_doors_and_the_others_say_when_to_come_back() {
    let (_dir, server) = service();
    let doors = ["imap", "pop3", "managesieve", "submission", "smtp", "lmtp"];
    let closed = |door| match door {
        "imap" => "* BYE [UNAVAILABLE]",
        "pop3" => "-ERR [SYS/TEMP]",
        "managesieve" => "BYE (TRYLATER)",
        _ => "421 4.3.2",
    };
    for (stage, open, page, health) in [
        ("dark", 0, "503", "503"),
        ("checks", 0, "503", "503"),
        ("web", 0, "303", "200"),
        ("clients", 4, "303", "200"),
        ("queues", 6, "303", "200"),
        ("open", 6, "303", "200"),
    ] {
        assert!(said(&server, &["stage", "set", stage]).contains(&format!("=> {stage}")));
        for (at, door) in doors.into_iter().enumerate() {
            let heard = greeting(server.address(door));
            assert_eq!(!heard.starts_with(closed(door)), at < open, "{stage}: {door} says {heard}");
        }
        let answer = get(server.address("http"), "/mail/inbox");
        assert!(answer.starts_with(&format!("HTTP/1.1 {page} ")), "{stage}: {answer}");
        assert!(get(server.address("http"), "/health").starts_with(&format!("HTTP/1.1 {health} ")), "{stage}");
    }
    server.stop();
}

#[test]
fn sessions_end_when_their_door_closes_and_sent_mail_waits_for_the_queues() {
    let (_dir, server) = service();
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    said(&server, &["stage", "set", "web"]);
    let ended = imap.response().unwrap();
    assert!(ended.starts_with("* BYE"), "{ended}");

    // Sending works, and what is sent waits.
    let mut anna = Web::sign_in(server.address("http"), ANNA).unwrap();
    let page = anna.get("/mail/inbox").unwrap();
    let page = match page.header("location") {
        Some(to) => anna.get(to).unwrap(),
        None => page,
    };
    assert!(page.body.contains("Webmail works."), "the page says what works: {}", page.body);
    let form = anna.compose("someone@nowhere.invalid", "waits", "for the queues").unwrap();
    anna.post_send(&form).unwrap();
    let waits = said(&server, &["queue", "list"]);
    assert!(waits.contains("<anna@example.org> to 1 recipient"), "{waits}");
    said(&server, &["stage", "set", "open"]);
    // There is no such domain: the queue has run when the report of that is there.
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    wait_for("the report", || {
        imap.command("STATUS INBOX (MESSAGES)").unwrap().ok().untagged.concat().contains("MESSAGES 1")
    });
    server.stop();
}

#[test]
fn a_feature_is_switched_off_by_name_and_its_pages_say_so() {
    let (_dir, server) = service();
    let mut anna = Web::sign_in(server.address("http"), ANNA).unwrap();
    said(&server, &["stage", "off", "search"]);
    said(&server, &["stage", "say", "We are moving <house>."]);
    let page = anna.get("/search?q=x").unwrap();
    assert_eq!((page.status, page.header("cache-control")), (503, Some("no-store")));
    assert!(page.body.contains("Search is turned off") && page.body.contains("We are moving &lt;house&gt;."));
    assert!(page.header("retry-after").is_some());
    assert_eq!(anna.get("/settings").unwrap().status, 200);
    said(&server, &["stage", "set", "queues"]);
    assert_eq!(anna.get("/settings").unwrap().status, 503, "options come last");
    for wrong in [["stage", "off", "serch"], ["stage", "set", "opne"]] {
        let output = server.command(&wrong);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains("is unknown; choose one of"), "{error}");
    }
    // What was chosen outlives a restart.
    let dir = server.dir().to_owned();
    server.stop();
    let server = Server::start(&dir);
    let shown = said(&server, &["stage", "show"]);
    assert!(shown.contains("=> queues") && shown.contains("search") && shown.contains("We are moving"), "{shown}");
    said(&server, &["stage", "on", "search"]);
    assert_eq!(anna_again(&server).get("/search?q=x").unwrap().status, 200);
    server.stop();
}

fn anna_again(server: &Server) -> Web {
    Web::sign_in(server.address("http"), ANNA).unwrap()
}

#[test]
fn a_form_that_was_being_sent_is_kept_in_the_page_and_sends_once_afterwards() {
    let (_dir, server) = service();
    let mut anna = Web::sign_in(server.address("http"), ANNA).unwrap();
    let form = anna.compose(BERT, "kept", "Text that must not be lost\nwith <two> lines").unwrap();
    said(&server, &["stage", "set", "dark"]);
    let page = anna.post_compose(&form, Some(("a.txt", b"file"))).unwrap();
    assert_eq!(page.status, 503);
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert!(page.header("retry-after").is_some() && page.header("location").is_none());
    assert!(page.body.contains("Text that must not be lost\nwith &lt;two&gt; lines"), "{}", page.body);
    assert!(page.body.contains("action=\"/compose\" enctype=\"multipart/form-data\""), "{}", page.body);
    assert!(page.body.contains("attach the files again"));
    let again = form_in(&page.body);
    assert_eq!(again.len(), form.len(), "every field: {again:?}");

    // Nobody's password is written into a page.
    let body = "csrf=x&login=anna&password=secret-one";
    let sign_in = http(
        server.address("http"),
        &format!(
            "POST /signin HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    assert!(sign_in.starts_with("HTTP/1.1 503") && !sign_in.contains("secret-one") && !sign_in.contains("<form"));

    said(&server, &["stage", "set", "open"]);
    for _ in 0..2 {
        anna.post_send(&again).unwrap();
    }
    let mut imap = Imap::login(server.address("imap"), BERT).unwrap();
    let count = |imap: &mut Imap| imap.command("STATUS INBOX (MESSAGES)").unwrap().ok().untagged.concat();
    wait_for("the message", || count(&mut imap).contains("MESSAGES 1"));
    imap.command("EXAMINE INBOX").unwrap().ok();
    let text = imap.command("FETCH 1 BODY.PEEK[TEXT]").unwrap().ok().untagged.concat();
    assert!(text.contains("Text that must not be lost"), "{text}");
    server.stop();
}

/// The fields of the form of a page.
fn form_in(page: &str) -> Vec<(String, String)> {
    let text = |html: &str| {
        html.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&amp;", "&")
    };
    let after = |rest: &str, mark: &str| {
        let start = rest.find(mark)? + mark.len();
        Some(text(&rest[start..start + rest[start..].find('"')?]))
    };
    let mut fields = Vec::new();
    for field in page.split("<input ").skip(1) {
        let field = &field[..field.find('>').unwrap()];
        fields.push((after(field, "name=\"").unwrap(), after(field, "value=\"").unwrap_or_default()));
    }
    for field in page.split("<textarea ").skip(1) {
        let (head, rest) = field.split_once('>').unwrap();
        let content = rest.split("</textarea>").next().unwrap();
        fields.push((after(head, "name=\"").unwrap(), text(content.strip_prefix('\n').unwrap_or(content))));
    }
    fields
}

#[test]
fn after_a_kill_the_service_checks_first_and_is_soon_all_there() {
    let (dir, server) = service();
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
    let message = format!("From: x@example.net\r\nTo: {ANNA}\r\nSubject: kept\r\n\r\nText.\r\n");
    assert!(smtp.send("x@example.net", &[ANNA], &message).unwrap().starts_with("250"));
    server.kill();
    // A command in between has not checked anything.
    assert!(crate::support::holdfast(dir.path(), &["account", "list"], "").status.success());
    let begun = Instant::now();
    let server = Server::start(dir.path());
    wait_for("open", || said(&server, &["stage", "show"]).contains("=> open"));
    let took = begun.elapsed();
    let log = std::fs::read_to_string(dir.path().join("stderr.log")).unwrap();
    assert!(log.contains("the service was not shut down cleanly"), "{log}");
    let (checks, open) = (log.find("stage=checks").unwrap(), log.rfind("stage=open").unwrap());
    assert!(checks < open, "{log}");
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    assert!(imap.command("EXAMINE INBOX").unwrap().ok().untagged.concat().contains("1 EXISTS"));
    server.stop();
    crate::support::proved(
        "kill -9, and back in stages",
        "0 of 1 acknowledged",
        &format!("open after {}", crate::support::ms(took)),
    );
}

#[test]
fn a_plan_stops_where_a_gate_stays_closed_and_says_why() {
    let (dir, server) = service();
    let plan = dir.path().join("plan.toml");
    let text = "[[step]]\nstage = \"web\"\ngates = [\"verified\"]\n[[step]]\nstage = \"clients\"\ngates = [\"replica\"]\n\
                patience_seconds = 0\n[[step]]\nstage = \"open\"\n";
    std::fs::write(&plan, text).unwrap();
    said(&server, &["stage", "set", "dark"]);
    assert!(said(&server, &["stage", "plan", plan.to_str().unwrap(), "--print"]).contains("clients  when replica"));
    assert!(said(&server, &["stage", "show"]).contains("=> dark"), "printing changes nothing");
    said(&server, &["stage", "plan", plan.to_str().unwrap()]);
    wait_for("the stop", || said(&server, &["stage", "show"]).contains("there is no standby"));
    assert!(said(&server, &["stage", "show"]).contains("=> web"));
    std::fs::write(
        &plan,
        "[[step]]\nstage = \"web\"\n[[step]]\nstage = \"open\"\ngates = [\"verified\", \"queue<10\"]\n",
    )
    .unwrap();
    said(&server, &["stage", "plan", plan.to_str().unwrap()]);
    wait_for("open", || said(&server, &["stage", "show"]).contains("=> open"));
    let wrong = server.command(&["stage", "plan", "/no/such/plan.toml"]);
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("/no/such/plan.toml"));
    server.stop();
}

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The page on a machine of its own.
fn down_page() -> (Running, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["down-page", "--listen", "127.0.0.1:0", "--say", "Back at noon."])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit_once("http://").unwrap().1.parse().unwrap();
    (Running(child), address)
}

#[test]
fn the_page_can_be_given_by_another_machine() {
    let (_running, address) = down_page();
    for path in ["/", "/mail/inbox?after=1", "/health"] {
        let answer = get(address, path);
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Back at noon."), "{answer}");
        let head = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
        assert!(
            head.contains("retry-after: 5") && head.contains("cache-control: no-store") && !head.contains("location")
        );
    }
}

/// A caching proxy in front of two machines: the service, and the page for when it is not there. It is told to keep
/// everything it may.
fn nginx(dir: &std::path::Path, service: SocketAddr, page: SocketAddr) -> (Running, SocketAddr) {
    let port = crate::support::port();
    let home = dir.display();
    let config = format!(
        "daemon off; master_process off; pid {home}/nginx.pid; error_log {home}/nginx.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{\n\
           access_log off; proxy_temp_path {home}/t; client_body_temp_path {home}/b; fastcgi_temp_path {home}/f;\n\
           uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;\n\
           proxy_cache_path {home}/cache keys_zone=kept:1m;\n\
           upstream mail {{ server {service} max_fails=0; server {page} backup; }}\n\
           server {{ listen 127.0.0.1:{port}; location / {{\n\
             proxy_pass http://mail; proxy_cache kept; proxy_cache_valid any 10m; proxy_set_header Host $host;\n\
             proxy_next_upstream error timeout non_idempotent; proxy_request_buffering on; }} }}\n\
         }}\n"
    );
    std::fs::write(dir.join("nginx.conf"), config).unwrap();
    let child = Command::new("/usr/sbin/nginx")
        .args(["-p", dir.to_str().unwrap(), "-c", dir.join("nginx.conf").to_str().unwrap()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (running, address) = (Running(child), SocketAddr::from(([127, 0, 0, 1], port)));
    wait_for("nginx", || TcpStream::connect(address).is_ok());
    (running, address)
}

#[test]
fn no_proxy_keeps_the_page_and_another_machine_gives_it_while_the_service_is_dead() {
    if !crate::support::has("/usr/sbin/nginx") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Nobody else may be found there once the service is dead.
    let address = SocketAddr::from(([127, 0, 0, 1], crate::support::port()));
    let server = Server::start_with_env(dir.path(), "", &[("HOLDFAST_LISTEN__HTTP", address.to_string())]);
    server.add_account(ANNA);
    let (_page, page) = down_page();
    let (_nginx, proxy) = nginx(dir.path(), server.address("http"), page);
    assert!(get(proxy, "/signin").starts_with("HTTP/1.1 200 "));
    said(&server, &["stage", "set", "dark"]);
    for _ in 0..2 {
        let answer = get(proxy, "/mail/inbox");
        assert!(
            answer.starts_with("HTTP/1.1 503 ") && answer.contains("The mail service is not available"),
            "{answer}"
        );
    }
    said(&server, &["stage", "set", "open"]);
    assert!(get(proxy, "/mail/inbox").starts_with("HTTP/1.1 303 "), "the page was kept nowhere");

    // The machine dies, and another takes over the address: it finds its port where it was.
    server.kill();
    for _ in 0..2 {
        let answer = get(proxy, "/mail/inbox");
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Back at noon."), "{answer}");
        assert!(!answer.to_ascii_lowercase().contains("\r\nlocation:"));
    }
    crate::support::proved("the page goes away", "no cached page", "behind nginx that keeps whatever it may");
}
