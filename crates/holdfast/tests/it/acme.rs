//! Certificates from an authority, for real: pebble looks for the proofs at the service, and clients that trust it look at the
//! service's listeners.

use std::{
    fs,
    io::{BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    pebble::{Looks, Pebble, handshake, is_here, secured, seen},
    support::{
        PASSWORD, PATIENCE, Server,
        archive::{archive, shipped},
        dns::Dns,
        has, holdfast, limited, port,
        standby::{Primary, Standby, has_all, said},
        wait_for,
        web::Web,
        write_config,
    },
};

const NAME: &str = "mx.example.org";
const OTHER: &str = "mx.example.net";
const LIFE: Duration = Duration::from_secs(90 * 86_400);

/// An authority, and a service that it can look at.
struct World {
    dir: tempfile::TempDir,
    pebble: Pebble,
    dns: Dns,
    env: Vec<(&'static str, String)>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let looks = Looks { http: port(), tls: port(), life: LIFE };
        let pebble = Pebble::start(dir.path(), &looks, port, &[]);
        let dns = Dns::start();
        for name in [NAME, OTHER] {
            dns.a(name, Ipv4Addr::LOCALHOST);
        }
        let env = vec![
            ("HOLDFAST_LISTEN__HTTP", format!("127.0.0.1:{}", looks.http)),
            ("HOLDFAST_LISTEN__HTTPS", format!("127.0.0.1:{}", looks.tls)),
            ("HOLDFAST_ALSO_KNOWN_AS", format!("[\"{OTHER}\"]")),
        ];
        Self { dir, pebble, dns, env }
    }

    /// The configuration.
    fn config(&self, more: &str) -> String {
        let (directory, ca_file) = (self.pebble.directory(), self.pebble.ca_file());
        let dns = self.dns.config();
        format!("{dns}[tls.acme]\ndirectory = \"{directory}\"\nca_file = \"{}\"\n{more}", ca_file.display())
    }

    /// Starts the service.
    fn serve(&self, more: &str) -> Server {
        Server::start_with_env(self.dir.path(), &self.config(more), &self.env)
    }

    /// How many certificates the authority has issued.
    fn issued(&self) -> usize {
        self.pebble.log().matches("Issued certificate").count()
    }
}

/// Whether clients that trust the authority are content with every listener.
fn trusted(server: &Server, name: &str, roots: &rustls::RootCertStore) -> bool {
    ["https", "imaps", "submissions", "pop3s"]
        .into_iter()
        .all(|door| seen(server.address(door), name, roots.clone()).is_ok())
}

fn list(server: &Server) -> serde_json::Value {
    let output = server.command(&["certificate", "list", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn every_listener_has_a_certificate_for_each_name_also_after_a_start_without_the_authority() {
    if !is_here("certificates by HTTP-01") {
        return;
    }
    let mut world = World::new();
    // Below stage `web` people see the "service unavailable" page; the authority is answered.
    let server = world.serve("");
    assert!(server.command(&["stage", "set", "dark"]).status.success());
    let roots = world.pebble.issues_under();
    for name in [NAME, OTHER] {
        wait_for("there is a certificate", || trusted(&server, name, &roots));
    }
    let renewed = server.command(&["certificate", "renew", OTHER]);
    assert!(renewed.status.success(), "{renewed:?}");
    assert!(server.command(&["certificate", "list"]).status.success());
    assert!(!server.command(&["certificate", "renew", "other.example"]).status.success());
    let all = list(&server);
    assert_eq!(all["certificates"].as_array().unwrap().len(), 2, "{all}");
    assert!(all["certificates"][0]["next_try_ms"].is_number() && all["certificates"][0]["alarm"].is_null(), "{all}");
    assert!(server.command(&["stage", "set", "open"]).status.success());
    assert!(server.page("/metrics").contains("holdfast_certificates 2"));
    server.stop();
    world.pebble.go_away();
    let server = world.serve("");
    for name in [NAME, OTHER] {
        assert!(trusted(&server, name, &roots), "from the store");
    }
}

#[test]
fn a_client_is_greeted_by_the_name_it_came_by() {
    if !is_here("greetings by name") {
        return;
    }
    let world = World::new();
    let server = world.serve("challenge = \"tls-alpn-01\"\n");
    let roots = world.pebble.issues_under();
    for name in [NAME, OTHER] {
        wait_for("there is a certificate", || trusted(&server, name, &roots));
        for door in ["imaps", "pop3s", "submissions"] {
            let mut stream = handshake(server.address(door), name, roots.clone()).unwrap();
            let mut greeting = vec![0; 1024];
            let got = stream.read(&mut greeting).unwrap();
            let greeting = String::from_utf8_lossy(&greeting[..got]).into_owned();
            assert!(greeting.contains(&format!(" {name} ")), "{door}: {greeting}");
        }
    }
    // The webmail shows the name by which one came, also when the sign-in is wrong.
    server.add_account("anna@example.org");
    let page = Web::new(server.address("http")).get("/signin").unwrap();
    assert!(page.body.contains(NAME), "{}", page.body);
}

/// Where the hook waits in the middle of an order.
struct Gate(TcpListener);

impl Gate {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// Waits until somebody waits there, who waits as long as the connection is open.
    fn somebody(&self) -> TcpStream {
        self.0.accept().unwrap().0
    }

    /// Lets everyone go on.
    fn open(self) {
        std::thread::spawn(move || while self.0.accept().is_ok() {});
    }

    /// A hook that tells pebble's DNS once it is let.
    fn hook(&self, dir: &Path, pebble: &Pebble) -> PathBuf {
        let (gate, dns) = (self.0.local_addr().unwrap(), pebble.dns_management());
        let script = format!(
            "#!/bin/sh\nset -e\ncurl -s http://{gate}/ || true\ncase $1 in add) to=set-txt;; *) to=clear-txt;; esac\n\
             curl -sf -d \"{{\\\"host\\\":\\\"$2.\\\",\\\"value\\\":\\\"$3\\\"}}\" http://{dns}/$to\n"
        );
        let file = dir.join("hook");
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }
}

#[test]
fn a_service_that_is_killed_in_the_middle_of_an_order_gets_its_certificate_after_the_next_start() {
    if !is_here("kill -9 in the middle of an order") || !has("curl") {
        return;
    }
    let world = World::new();
    let gate = Gate::new();
    let settings = format!("dns_hook = \"{}\"\n", gate.hook(world.dir.path(), &world.pebble).display());
    let server = world.serve(&settings);
    let waits = gate.somebody();
    server.kill();
    drop(waits);
    gate.open();
    let server = world.serve(&settings);
    let roots = world.pebble.issues_under();
    for name in [NAME, OTHER] {
        wait_for("there is a certificate", || trusted(&server, name, &roots));
    }
    // Mail programs that hang up in the handshake harm nobody while the authority may ask.
    drop(TcpStream::connect(server.address("imaps")).unwrap());
    assert_eq!(list(&server)["certificates"].as_array().unwrap().len(), 2);
    assert_eq!(world.issued(), 2);
    server.stop();

    // The same while there is a certificate: that is served until there is another one.
    let gate = Gate::new();
    gate.hook(world.dir.path(), &world.pebble);
    let server = world.serve(&settings);
    let before = seen(server.address("imaps"), NAME, roots.clone()).unwrap();
    let asking = {
        let dir = world.dir.path().to_owned();
        std::thread::spawn(move || holdfast(&dir, &["certificate", "renew", NAME], ""))
    };
    let waits = gate.somebody();
    assert_eq!(seen(server.address("imaps"), NAME, roots.clone()).unwrap(), before);
    server.kill();
    assert!(!asking.join().unwrap().status.success());
    drop(waits);
    let server = world.serve(&settings);
    assert_eq!(seen(server.address("imaps"), NAME, roots.clone()).unwrap(), before, "after the start");
    gate.open();
    let renewed = server.command(&["certificate", "renew", NAME]);
    assert!(renewed.status.success(), "{renewed:?}");
    assert_ne!(seen(server.address("imaps"), NAME, roots).unwrap(), before);
    assert_eq!(world.pebble.log().matches("Added order").count(), 3, "the order that was begun was gone on with");
}

/// A line of a door that speaks in lines.
fn line(reader: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line
}

/// Upgrades a connection to a door with TLS for `name`.
fn after_starttls(
    address: SocketAddr,
    door: &str,
    name: &str,
    roots: &rustls::RootCertStore,
) -> impl std::io::Read + std::io::Write {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    line(&mut reader);
    let command = match door {
        "imap" => "a STARTTLS\r\n",
        "pop3" => "STLS\r\n",
        _ => {
            stream.write_all(b"EHLO client.example\r\n").unwrap();
            while line(&mut reader).as_bytes()[3] == b'-' {}
            "STARTTLS\r\n"
        }
    };
    stream.write_all(command.as_bytes()).unwrap();
    let reply = line(&mut reader);
    assert!(reply.starts_with("220") || reply.contains("OK"), "{door}: {reply}");
    secured(stream, name, roots.clone()).unwrap_or_else(|error| panic!("{door} {name}: {error}"))
}

#[test]
fn each_name_has_its_certificate_after_starttls_too_also_those_of_hosted_domains() {
    if !is_here("certificates after STARTTLS") {
        return;
    }
    let world = World::new();
    let server = world.serve("");
    world.dns.a("mail.hold.test", Ipv4Addr::LOCALHOST);
    world.dns.a("autoconfig.hold.test", Ipv4Addr::LOCALHOST);
    assert!(server.command(&["domain", "add", "hold.test"]).status.success());
    assert!(server.command(&["certificate", "renew", "hold.test"]).status.success());
    let roots = world.pebble.issues_under();
    let names = [NAME, OTHER, "mail.hold.test", "autoconfig.hold.test"];
    for name in names {
        wait_for("there is a certificate", || trusted(&server, name, &roots));
        for door in ["smtp", "submission", "imap", "pop3"] {
            let mut stream = after_starttls(server.address(door), door, name, &roots);
            if matches!(door, "smtp" | "submission") {
                stream.write_all(b"EHLO client.example\r\n").unwrap();
                let greeting = line(&mut BufReader::new(stream));
                // A hosted domain's name is no name of the service.
                let own = if name.ends_with("hold.test") { NAME } else { name };
                assert_eq!(greeting.trim_end(), format!("250-{own}"), "{door} {name}");
            }
        }
    }
    assert!(seen(server.address("imaps"), "mta-sts.hold.test", roots).is_err(), "it has no address");
}

/// A profile for Apple's devices, made in the webmail and fetched by its link; gives the file.
fn profile(server: &Server, dir: &Path, address: &str) -> PathBuf {
    let mut web = Web::sign_in(server.address("http"), address).unwrap();
    let page = web.get("/settings/apps").unwrap();
    let (csrf, key) = (page.input("csrf").unwrap(), page.input("key").unwrap());
    let fields = [("csrf", csrf.as_str()), ("key", key.as_str()), ("password", PASSWORD)];
    let made = web.post("/settings/apps/profile", &fields).unwrap();
    let start = made.body.find("/profile/").unwrap_or_else(|| panic!("{}", made.body));
    let link = &made.body[start..start + made.body[start..].find('"').unwrap()];
    let file = dir.join("mail.mobileconfig");
    fs::write(&file, web.get(link).unwrap().content).unwrap();
    file
}

/// What a mail program finds that is told an address and a password.
fn discovered(server: &Server, world: &World, address: &str, profile: &str, expected: &serde_json::Value) -> String {
    let (script, roots) = (world.dir.path().join("discover.py"), world.dir.path().join("roots.pem"));
    fs::write(&script, include_str!("clients/discover.py")).unwrap();
    fs::write(&roots, world.pebble.root_pem()).unwrap();
    let https = server.address("https").port().to_string();
    let output = limited("python3")
        .arg(&script)
        .args([address, PASSWORD, &https, roots.to_str().unwrap(), profile, &expected.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_mail_program_is_set_up_with_address_and_password_alone_for_a_hosted_domain() {
    if !is_here("discovery by a mail program") || !has("python3") || !has("openssl") {
        return;
    }
    let mut world = World::new();
    let address = "anna@hold.test";
    for label in ["autoconfig", "autodiscover", "mail"] {
        world.dns.a(&format!("{label}.hold.test"), Ipv4Addr::LOCALHOST);
    }
    let server = world.serve("");
    server.add_account(address);
    assert!(server.command(&["certificate", "renew", "hold.test"]).status.success());
    let roots = world.pebble.issues_under();
    for name in [NAME, OTHER, "mail.hold.test"] {
        wait_for("there is a certificate", || trusted(&server, name, &roots));
    }
    let file = profile(&server, world.dir.path(), address);
    let hosts = [OTHER, NAME];
    let expected = serde_json::json!({ "kinds": ["imap", "pop3", "smtp"], "how": ["SSL"], "hosts": hosts });
    let found = discovered(&server, &world, address, file.to_str().unwrap(), &expected);
    assert_eq!(found, format!("6 {NAME}"), "three servers under each name, and those of the profile");
    server.stop();

    // Without the listeners that begin with TLS, and without POP3.
    for door in
        ["HOLDFAST_LISTEN__IMAPS", "HOLDFAST_LISTEN__SUBMISSIONS", "HOLDFAST_LISTEN__POP3S", "HOLDFAST_LISTEN__POP3"]
    {
        world.env.push((door, "[]".to_owned()));
    }
    let server = world.serve("");
    let expected = serde_json::json!({ "kinds": ["imap", "smtp"], "how": ["STARTTLS"], "hosts": hosts });
    assert_eq!(discovered(&server, &world, address, "-", &expected), "4 -");
}

#[test]
fn a_standby_that_takes_over_has_the_certificates_while_the_authority_is_away() {
    if !is_here("certificates on a promoted standby") {
        return;
    }
    let mut world = World::new();
    let second = tempfile::tempdir().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let config = world.config("");
    let mut env = world.env.clone();
    env.push(("HOLDFAST_LISTEN__STANDBY", address.to_string()));
    let primary = Primary { server: Server::start_with_env(world.dir.path(), &config, &env), address };
    let roots = world.pebble.issues_under();
    let mut certificates = Vec::new();
    for name in [NAME, OTHER] {
        wait_for("there is a certificate", || trusted(&primary.server, name, &roots));
        certificates.push(seen(primary.server.address("imaps"), name, roots.clone()).unwrap());
    }
    let code = said(primary.server.dir(), &["standby", "code"]);
    let code = code.lines().next().unwrap().to_owned();
    write_config(second.path(), &config);
    let names = [("HOLDFAST_ALSO_KNOWN_AS", format!("[\"{OTHER}\"]"))];
    let standby = Standby::spawn_with_env(second.path(), &["--primary", &address.to_string(), "--code", &code], &names);
    wait_for("the standby has all", || has_all(&primary, &standby));
    world.pebble.go_away();
    primary.server.kill();
    said(second.path(), &["promote"]);
    let lines = standby.line("ready");
    let imaps = lines.iter().find_map(|line| line.trim_start().strip_prefix("imaps ")).expect("it serves IMAP");
    let imaps: SocketAddr = imaps.split_whitespace().next().unwrap().parse().unwrap();
    let there = [NAME, OTHER].map(|name| seen(imaps, name, roots.clone()).unwrap());
    assert_eq!(there.as_slice(), certificates);
}

#[test]
fn a_machine_restored_from_an_archive_has_the_certificates_while_the_authority_is_away() {
    if !is_here("certificates from an archive") {
        return;
    }
    let mut world = World::new();
    let archived = archive(world.dir.path());
    let config = format!("{archived}{}", world.config(""));
    let server = Server::start_with_env(world.dir.path(), &config, &world.env);
    let roots = world.pebble.issues_under();
    wait_for("there is a certificate", || trusted(&server, NAME, &roots));
    let certificate = seen(server.address("imaps"), NAME, roots.clone()).unwrap();
    shipped(server.dir());
    server.kill();
    world.pebble.go_away();
    let second = world.dir.path().join("second");
    fs::create_dir(&second).unwrap();
    write_config(&second, &config);
    let restored = holdfast(&second, &["restore", "--from", "here", "--offline"], "");
    assert!(restored.status.success(), "{restored:?}");
    let server = Server::start_with_env(&second, &config, &world.env);
    assert_eq!(seen(server.address("imaps"), NAME, roots).unwrap(), certificate);
}
