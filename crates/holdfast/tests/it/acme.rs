//! Certificates from an authority, for real: pebble looks for the proofs at the service, and clients that trust it look at the
//! service's listeners.

use std::{fs, io::Read as _, net::TcpStream, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use crate::{
    pebble::{Looks, Pebble, handshake, is_here, seen},
    support::{Server, has, port, wait_for, web::Web},
};

const NAME: &str = "mx.example.org";
const OTHER: &str = "mx.example.net";
const LIFE: Duration = Duration::from_secs(90 * 86_400);

/// An authority, and a service that it can look at.
struct World {
    dir: tempfile::TempDir,
    pebble: Pebble,
    env: Vec<(&'static str, String)>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let looks = Looks { http: port(), tls: port(), life: LIFE };
        let pebble = Pebble::start(dir.path(), &looks, port, &[]);
        let env = vec![
            ("HOLDFAST_LISTEN__HTTP", format!("127.0.0.1:{}", looks.http)),
            ("HOLDFAST_LISTEN__HTTPS", format!("127.0.0.1:{}", looks.tls)),
            ("HOLDFAST_ALSO_KNOWN_AS", format!("[\"{OTHER}\"]")),
        ];
        Self { dir, pebble, env }
    }

    /// Starts the service.
    fn serve(&self, more: &str) -> Server {
        let (directory, ca_file) = (self.pebble.directory(), self.pebble.ca_file());
        let acme = format!("[tls.acme]\ndirectory = \"{directory}\"\nca_file = \"{}\"\n{more}", ca_file.display());
        Server::start_with_env(self.dir.path(), &acme, &self.env)
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

/// A hook that tells pebble's DNS, and waits in the middle of the order until the file `go` exists.
fn hook(dir: &Path, pebble: &Pebble) -> std::path::PathBuf {
    let script = format!(
        "#!/bin/sh\nset -e\ntouch {0}/in-the-middle\nwhile [ ! -e {0}/go ]; do sleep 0.05; done\n\
         case $1 in add) to=set-txt;; *) to=clear-txt;; esac\n\
         curl -sf -d \"{{\\\"host\\\":\\\"$2.\\\",\\\"value\\\":\\\"$3\\\"}}\" http://{1}/$to\n",
        dir.display(),
        pebble.dns_management()
    );
    let file = dir.join("hook");
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

#[test]
fn a_service_that_is_killed_in_the_middle_of_an_order_gets_its_certificate_after_the_next_start() {
    if !is_here("kill -9 in the middle of an order") || !has("curl") {
        return;
    }
    let world = World::new();
    let dir = world.dir.path();
    let settings = format!("dns_hook = \"{}\"\n", hook(dir, &world.pebble).display());
    let server = world.serve(&settings);
    wait_for("the order is under way", || dir.join("in-the-middle").exists());
    server.kill();
    fs::write(dir.join("go"), "").unwrap();
    let server = world.serve(&settings);
    let roots = world.pebble.issues_under();
    for name in [NAME, OTHER] {
        wait_for("there is a certificate", || trusted(&server, name, &roots));
    }
    // Mail programs that hang up in the handshake harm nobody while the authority may ask.
    drop(TcpStream::connect(server.address("imaps")).unwrap());
    assert_eq!(list(&server)["certificates"].as_array().unwrap().len(), 2);
}
