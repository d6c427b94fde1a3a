//! What operators rely on at 3 a.m.: one look at everything, commands that spoil nothing, secrets that stay secret.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::support::{PASSWORD, Server, holdfast, imap::Imap, limited, smtp::Smtp, wait_for, web::Web};

const ANNA: &str = "anna@example.org";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

fn every_file(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(every_file(&path));
        } else {
            all.push(path);
        }
    }
    all
}

fn get(address: SocketAddr, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let request = format!("GET /signin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn status_says_how_everything_is_and_whether_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    let _idle = Imap::login(server.address("imap"), ANNA).unwrap();

    let object = json(&server.command(&["status", "--json"]));
    assert_eq!(object["stage"], "open");
    assert_eq!((&object["accounts"], &object["queue"]["messages"]), (&1.into(), &0.into()));
    assert_eq!(object["pid"], server.pid());
    assert!(object["disk_free_bytes"].as_u64().unwrap() > 0 && object["data_bytes"].as_u64().unwrap() > 0);
    let doors = object["doors"].as_array().unwrap();
    let imap = doors.iter().find(|door| door["name"] == "imap").unwrap();
    assert_eq!((&imap["address"], &imap["connections"]), (&server.address("imap").to_string().into(), &1.into()));
    assert!(object["certificate"]["days_left"].as_i64().unwrap() > 300);

    let text = done(&server.command(&["status"]));
    for part in [
        "stage        open",
        "queue        empty",
        "accounts     1",
        "damage       no known damage",
        "archive      none",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");

    server.stop();
    let stopped = holdfast(dir.path(), &["status"], "");
    assert_eq!(stopped.status.code(), Some(1));
    assert!(said(&stopped).contains("not running"), "{}", said(&stopped));
    assert_eq!(json(&holdfast(dir.path(), &["status", "--json"], ""))["running"], false);
}

#[test]
fn what_needs_a_person_is_an_alarm_and_status_fails() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    let made = Server::start(dir.path());
    made.stop();
    fs::copy(dir.path().join("data/tls/certificate.pem"), &certificate).unwrap();
    fs::copy(dir.path().join("data/tls/key.pem"), &key).unwrap();
    let tls = format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display());
    // An archive that can't be written to.
    fs::write(dir.path().join("not-a-folder"), "").unwrap();
    let identity = dir.path().join("identity");
    let recipient = done(&holdfast(dir.path(), &["archive", "new-identity", identity.to_str().unwrap()], ""));
    let recipient = recipient.lines().find(|line| line.starts_with("recipients")).unwrap().to_owned();
    let archive = format!(
        "[[archive]]\nname = \"gone\"\nurl = \"file://{}/not-a-folder/x\"\n{recipient}\n",
        dir.path().display()
    );
    let server = Server::start_with(dir.path(), &format!("{tls}{archive}"));
    wait_for("the alarm", || {
        let status = server.command(&["status"]);
        let text = said(&status);
        status.status.code() == Some(1) && text.contains("ALARM: Archive gone") && text.contains("FAILING")
    });
    let mut web = crate::support::web::Web::new(server.address("http"));
    wait_for("the same in the answer to probes", || {
        let health: serde_json::Value = serde_json::from_str(&web.get("/health").unwrap().body).unwrap();
        (&health["status"], &health["alarms"]) == (&"ok".into(), &1.into())
    });
    server.stop();
}

#[test]
fn a_command_in_the_wrong_place_makes_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    for words in ["queue list", "account list", "stage set dark", "verify", "maintain", "status"] {
        let output = limited(env!("CARGO_BIN_EXE_holdfast"))
            .arg("--data-dir")
            .arg(&nowhere)
            .args(words.split(' '))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(said(&output).contains("no data"), "{words}: {}", said(&output));
        assert!(!nowhere.exists(), "{words} made it");
    }
}

#[test]
fn what_is_stored_is_nobody_elses_to_read() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    let data = dir.path().join("data");
    for path in every_file(&data) {
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {:03o}", path.display(), mode & 0o777);
    }
    server.stop();
}

/// Root types at night; the service runs as somebody else.
#[test]
fn what_root_does_leaves_nothing_of_root_in_the_folder() {
    const NOBODY: u32 = 65_534;
    let dir = tempfile::tempdir().unwrap();
    if fs::metadata(dir.path()).unwrap().uid() != 0 {
        eprintln!("not root: passed over");
        return;
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    crate::support::write_config(dir.path(), "");
    fs::set_permissions(dir.path().join("holdfast.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    std::os::unix::fs::chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();

    done(&holdfast(dir.path(), &["domain", "add", "example.org"], ""));
    done(&holdfast(dir.path(), &["account", "add", ANNA, "--password-stdin"], PASSWORD));
    let server = Server::start(dir.path());
    done(&server.command(&["maintain"]));
    server.kill();
    done(&holdfast(dir.path(), &["verify"], ""));
    done(&holdfast(dir.path(), &["rebuild-index"], ""));
    for path in every_file(&data) {
        let owner = fs::symlink_metadata(&path).unwrap().uid();
        assert_eq!(owner, NOBODY, "{} belongs to {owner}", path.display());
    }
    // What only root may read is not read, and the message says as whom it was tried.
    let secret = dir.path().join("secret.mbox");
    fs::write(&secret, "From x\nSubject: x\n\nx\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let refused = holdfast(dir.path(), &["import", ANNA, secret.to_str().unwrap()], "");
    assert!(!refused.status.success() && said(&refused).contains("ran as"), "{}", said(&refused));
}

#[test]
fn a_certificate_is_exchanged_without_a_restart_and_a_wrong_one_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    let take = |from: &Path| {
        fs::copy(from.join("data/tls/certificate.pem"), &certificate).unwrap();
        fs::copy(from.join("data/tls/key.pem"), &key).unwrap();
    };
    // Two certificates, made by services of two names.
    let other = tempfile::tempdir().unwrap();
    for (place, name) in [(dir.path(), "one.example.org"), (other.path(), "two.example.org")] {
        Server::start_with_env(place, "", &[("HOLDFAST_HOSTNAME", name.to_owned())]).stop();
    }
    take(dir.path());
    let tls = format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display());
    let server = Server::start_with(dir.path(), &tls);
    let names = || json(&server.command(&["status", "--json"]))["certificate"]["names"][0].as_str().unwrap().to_owned();
    assert_eq!(names(), "one.example.org");
    let reload = || Command::new("kill").args(["-HUP", &server.pid().to_string()]).status().unwrap();
    take(other.path());
    assert!(reload().success());
    wait_for("the new certificate", || names() == "two.example.org");

    fs::copy(dir.path().join("data/tls/key.pem"), &key).unwrap();
    assert!(reload().success());
    let log = || fs::read_to_string(dir.path().join("stderr.log")).unwrap();
    wait_for("the refusal", || log().contains("is not the key of"));
    assert_eq!(names(), "two.example.org");
    server.stop();
}

#[test]
fn a_trusted_proxy_speaks_for_its_clients_and_nobody_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    let forwarded = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n";
    let answer = get(server.address("http"), forwarded).to_ascii_lowercase();
    assert!(answer.contains("set-cookie: ") && !answer.contains("secure"), "{answer}");
    server.stop();

    let server = Server::start_with(dir.path(), "[web]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    let answer = get(server.address("http"), forwarded);
    assert!(answer.contains("__Host-") && answer.contains("Secure"), "{answer}");
    assert!(!get(server.address("http"), "").contains("Secure"), "the proxy's own requests");
    server.stop();
}

#[test]
fn passwords_are_in_no_log_at_any_level() {
    const WRONG: &str = "a-wrong-password-nobody-should-see";
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), "[log]\nlevel = \"trace\"\nformat = \"json\"\n");
    server.add_account(ANNA);
    drop(Imap::login(server.address("imap"), ANNA).unwrap());
    Imap::connect(server.address("imap")).unwrap().command(&format!("LOGIN {ANNA} {WRONG}")).unwrap();
    Web::sign_in(server.address("http"), ANNA).unwrap();
    let mut pop = TcpStream::connect(server.address("pop3")).unwrap();
    pop.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    write!(pop, "USER {ANNA}\r\nPASS {WRONG}\r\nQUIT\r\n").unwrap();
    let mut answer = String::new();
    pop.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("-ERR"), "{answer}");
    let mut smtp = Smtp::connect(server.address("submission")).unwrap();
    let plain = "AGFubmFAZXhhbXBsZS5vcmcAYS13cm9uZy1wYXNzd29yZC1ub2JvZHktc2hvdWxkLXNlZQ==";
    assert!(smtp.command(&format!("AUTH PLAIN {plain}")).unwrap().starts_with("535"));
    done(&server.command_with_input(&["account", "passwd", ANNA, "--password-stdin"], WRONG));
    server.stop();
    let log = BufReader::new(fs::File::open(dir.path().join("stderr.log")).unwrap());
    let mut lines = 0;
    for line in log.lines().map(Result::unwrap) {
        lines += 1;
        for secret in [PASSWORD, WRONG, plain] {
            assert!(!line.contains(secret), "{line}");
        }
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&line);
        assert!(parsed.is_ok(), "not JSON: {line}");
    }
    assert!(lines > 20, "the log is there: {lines} lines");
}

#[test]
fn an_account_that_somebody_got_hold_of_is_shut_out() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    let mut web = Web::sign_in(server.address("http"), ANNA).unwrap();
    assert_eq!(web.get("/mail/inbox").unwrap().status, 200);
    assert_eq!(json(&server.command(&["account", "show", ANNA, "--json"]))["web_sessions"], 1);
    done(&server.command(&["account", "set", ANNA, "--shut-out", "--quota", "1 GiB", "--role", "admin"]));
    assert_ne!(web.get("/mail/inbox").unwrap().status, 200, "its session has ended");
    let shown = json(&server.command(&["account", "show", ANNA, "--json"]));
    assert_eq!(
        (&shown["web_sessions"], &shown["quota_bytes"], &shown["admin"]),
        (&0.into(), &(1 << 30).into(), &true.into())
    );
    let text = done(&server.command(&["account", "show", ANNA]));
    assert!(text.contains("administrator") && text.contains("of 1.1 GB"), "{text}");
    let nothing = server.command(&["account", "set", ANNA]);
    assert!(!nothing.status.success() && said(&nothing).contains("--quota"), "{}", said(&nothing));
    let audit = done(&server.command(&["audit", ANNA]));
    assert!(audit.contains("revoked all app passwords") && audit.contains("command line"), "{audit}");
    server.stop();
}

#[test]
fn who_did_what_to_whom_stands_in_the_services_trail_by_address() {
    const CLARA: &str = "clara@example.org";
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    server.add_account(CLARA);
    let generate = |verb: &str| done(&server.command(&["account", verb, CLARA, "--generate"]));
    generate("passwd");
    done(&server.command(&["account", "set", ANNA, "--role", "admin"]));
    done(&server.command(&["account", "rename", CLARA, "claire@example.org", "--drop-old"]));
    done(&server.command(&["account", "delete", "claire@example.org", "--yes"]));
    let entries = |args: &[&str]| -> Vec<(String, String, String)> {
        let said = done(&server.command(&[&["audit", "--json"], args].concat()));
        let all = said.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let text = |entry: &serde_json::Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        all.map(|entry| (text(&entry, "who"), text(&entry, "what"), text(&entry, "address"))).collect()
    };
    let by = |what: &str, whom: &str| ("command line".to_owned(), what.to_owned(), whom.to_owned());
    let claras = [
        by("deleted the account", "claire@example.org"),
        by("renamed from clara@example.org to claire@example.org", "claire@example.org"),
        by("set the password", CLARA),
        by("created the account", CLARA),
    ];
    assert_eq!(entries(&["claire@example.org"]), claras, "of one that is deleted");
    let all = entries(&[]);
    assert!(claras.iter().all(|entry| all.contains(entry)), "{all:?}");
    assert!(all.contains(&by("made it an administrator", ANNA)), "{all:?}");
    assert!(entries(&["--until", "1 h ago"]).is_empty() && entries(&["--since", "1 h ago"]) == all);
    // What needs a person stands first, and is plain where no terminal reads it.
    let status = said(&server.command(&["status"]));
    let at = |line: &str| status.find(line).unwrap_or_else(|| panic!("{line} in {status}"));
    assert!(at("archive      none") < at("stage ") && at("standby      none") < at("listeners "), "{status}");
    assert!(!status.contains('\u{1b}'), "{status}");
    // The same work by the pages, as the command does it.
    let mut web = Web::sign_in(server.address("http"), ANNA).unwrap();
    let csrf = web.get("/admin/service").unwrap().input("csrf").unwrap();
    let started = web.post("/admin/service", &[("csrf", &csrf), ("do", "maintain")]).unwrap();
    assert!(started.header("location").unwrap().ends_with("done=started"), "{}", started.status);
    wait_for("the daily work", || web.get("/admin/service").unwrap().body.contains("class=\"badge on\">done<"));
    let announced = web.post("/admin/service", &[("csrf", &csrf), ("do", "say"), ("text", "Back at noon.")]).unwrap();
    assert!(announced.header("location").is_some());
    assert!(said(&server.command(&["status"])).contains("Back at noon."));
    assert_eq!(entries(&["--limit", "1"])[0].1, "announced: Back at noon.");
    server.stop();
}

#[test]
fn a_wrong_configuration_is_told_all_at_once_and_is_not_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("wrong.toml");
    fs::write(&config, "hostname = \"a b\"\ndata_dir = \"/x\"\n\n[limits]\nconnections = 0\n").unwrap();
    let output =
        limited(env!("CARGO_BIN_EXE_holdfast")).args(["--config", config.to_str().unwrap(), "serve"]).output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("wrong.toml:1") && text.contains("wrong.toml:5") && text.contains("remedy"), "{text}");
}

#[test]
fn what_the_index_says_of_itself_is_in_the_log_only_when_it_is_asked_for() {
    for (level, is_there) in [("info", false), ("info,fjall=trace,lsm_tree=trace", true)] {
        let dir = tempfile::tempdir().unwrap();
        Server::start_with_env(dir.path(), "", &[("HOLDFAST_LOG__LEVEL", level.to_owned())]).stop();
        let log = fs::read_to_string(dir.path().join("stderr.log")).unwrap();
        assert!(log.contains("everything acknowledged is on disk"), "{log}");
        assert_eq!(log.contains("lsm_tree") || log.contains("fjall"), is_there, "{log}");
    }
}

/// Who sends odd mail must not be able to fill the disk with lines about it, whatever is done with it.
#[test]
fn a_log_does_not_grow_with_what_strangers_sent() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    let html = |body: &str| format!("Content-Type: text/html\r\n\r\n{body}\r\n");
    let nested: String =
        (0..3_000).map(|n| format!("--b{n}\r\nContent-Type: multipart/mixed; boundary=b{}\r\n\r\n", n + 1)).collect();
    let odd = [
        html(&format!("<table>{}", "x<tr>\r\n".repeat(20_000))),
        html(&"<p></b><i></p></table></td>\r\n".repeat(10_000)),
        html(&"<a<b <c='d\r\n<!x><?y></ z>&bogus;&#0;\r\n".repeat(5_000)),
        html(&format!("<style>{}</style>", "p{color:}@x{}}}{;url(\r\n".repeat(5_000))),
        html(&"<p style='color:red;;:;x:url(;background:url(' x=\"\r\n\">\r\n".repeat(5_000)),
        format!("Content-Type: multipart/mixed; boundary=b0\r\n\r\n{nested}"),
        format!("Content-Type: text/plain; charset=no-such-{}\r\n\r\n\u{fffd}\r\n", "x".repeat(500)),
        format!(
            "{}Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n*()!\r\n",
            "To: <<@>;:,\r\nX: =?x?y?z\r\n".repeat(500)
        ),
    ];
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    for (number, message) in odd.iter().enumerate() {
        imap.append("INBOX", format!("From: a@b.example\r\nSubject: odd {number}\r\n{message}")).unwrap();
    }
    let mut web = Web::sign_in(server.address("http"), ANNA).unwrap();
    let log = dir.path().join("stderr.log");
    let before = fs::metadata(&log).unwrap().len();
    let list = web.get("/mail/inbox").unwrap().body;
    let conversations: Vec<&str> =
        list.split("class=\"open\" href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(conversations.len(), odd.len());
    for conversation in conversations {
        let page = web.get(conversation).unwrap();
        assert_eq!(page.status, 200);
        for mark in [
            "<iframe class=\"html\" src=\"",
            "<iframe class=\"html adapts\" src=\"",
            "href=\"/compose?reply=",
            "href=\"/compose?forward=",
        ] {
            for rest in page.body.split(mark).skip(1) {
                let address = rest.split('"').next().unwrap().replace("&amp;", "&").replace("&#38;", "&");
                let prefix = mark.rsplit('"').next().unwrap();
                assert_eq!(web.get(&format!("{prefix}{address}")).unwrap().status, 200, "{prefix}{address}");
            }
        }
    }
    web.get("/search?q=odd+bogus").unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("SEARCH TEXT bogus").unwrap().ok();
    imap.command("FETCH 1:* (ENVELOPE BODYSTRUCTURE PREVIEW)").unwrap().ok();
    server.stop();
    let grown = fs::metadata(&log).unwrap().len() - before;
    assert!(
        grown < 4_000,
        "{grown} bytes: {}",
        &fs::read_to_string(&log).unwrap()[before as usize..][..2_000.min(grown as usize)]
    );
}

/// Names of metrics in a text, without those that end in `_` and stand for a family.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let names = text.match_indices("holdfast_").map(|(at, _)| {
        let is_name = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_';
        text[at..].chars().take_while(is_name).collect::<String>()
    });
    names.filter(|name| !name.ends_with('_')).collect()
}

/// A page that names a metric which is not there is worse than none, and a metric that no page names is of no use.
#[test]
fn metrics_are_documented_and_documented_metrics_are_measured() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut source = String::new();
    for path in every_file(&root.join("crates")) {
        if path.extension().is_some_and(|extension| extension == "rs")
            && path.components().any(|part| part.as_os_str() == "src")
        {
            source += &fs::read_to_string(path).unwrap();
        }
    }
    let mut seen = 0;
    let reference = metrics_in(&fs::read_to_string(root.join("docs/metrics.md")).unwrap());
    let quoted = source.split('"').filter(|text| text.starts_with("holdfast_")).collect::<Vec<_>>().join(" ");
    let missing: Vec<String> = metrics_in(&quoted).difference(&reference).cloned().collect();
    assert_eq!(missing, Vec::<String>::new(), "docs/metrics.md does not describe them");
    for file in [
        "docs/metrics.md",
        "docs/monitoring.md",
        "docs/delivery.md",
        "docs/continuity.md",
        "docs/operate.md",
        "packaging/prometheus-alerts.yml",
    ] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        for name in metrics_in(&text) {
            assert!(source.contains(&format!("\"{name}\"")), "{file} names {name}, which nothing sets");
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

/// At night nobody has time for a link that leads nowhere.
#[test]
fn links_between_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = vec![root.join("README.md"), root.join("ARCHITECTURE.md")];
    pages.extend(every_file(&root.join("docs")).into_iter().filter(|path| path.extension().is_some_and(|e| e == "md")));
    let anchor = |heading: &str| -> String {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
        heading.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    let mut seen = 0;
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for part in text.split("](").skip(1) {
            let link = part.split(')').next().unwrap();
            if link.starts_with("http") {
                continue;
            }
            seen += 1;
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {link}", page.display());
            if !heading.is_empty() {
                let there = fs::read_to_string(&target).unwrap();
                let headings = there.lines().filter_map(|line| line.strip_prefix('#'));
                let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#').trim()));
                assert!(anchors.any(|anchor| anchor == heading), "{}: {link}", page.display());
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn without_tls_programs_on_this_machine_log_in_and_nobody_where_the_operator_says_never() {
    /// What the doors say to a password that comes without TLS.
    fn doors(server: &Server) -> [bool; 3] {
        let mut imap = Imap::connect(server.address("imap")).unwrap();
        let login = imap.command(&format!("LOGIN {ANNA} \"{PASSWORD}\"")).unwrap().tagged;
        assert!(login.starts_with("OK") || login.starts_with("NO [PRIVACYREQUIRED]"), "{login}");
        let mut smtp = Smtp::connect(server.address("submission")).unwrap();
        let hello = smtp.command("EHLO here.example").unwrap();
        let stream = TcpStream::connect(server.address("pop3")).unwrap();
        (&stream).write_all(format!("USER {ANNA}\r\nPASS {PASSWORD}\r\n").as_bytes()).unwrap();
        let said: Vec<String> = BufReader::new(&stream).lines().take(3).map(Result::unwrap).collect();
        assert!(said[2].starts_with("+OK") || said[1].contains("TLS"), "{said:?}");
        [login.starts_with("OK"), hello.contains("PLAIN"), said[2].starts_with("+OK")]
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    assert_eq!(doors(&server), [true; 3]);
    server.stop();
    assert_eq!(doors(&Server::start_with(dir.path(), "plaintext_logins = \"never\"\n")), [false; 3]);
}
