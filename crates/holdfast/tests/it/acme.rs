//! Certificates from an authority, for real: pebble looks for the proofs, clients that trust it look at the service.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use crate::{
    pebble::{Looks, Pebble, is_here, seen},
    support::{Server, port, wait_for},
};

const NAME: &str = "mx.example.org";

/// An authority, and the settings of a service that it can look at.
struct World {
    pebble: Pebble,
    env: Vec<(&'static str, String)>,
    acme: String,
}

impl World {
    fn new(dir: &Path, life: Duration, env: &[(&str, &str)]) -> Self {
        let looks = Looks { http: port(), tls: port(), life };
        let pebble = Pebble::start(dir, &looks, port, env);
        let acme = format!(
            "[tls.acme]\ndirectory = \"{}\"\nca_file = \"{}\"\n",
            pebble.directory(),
            pebble.ca_file().display()
        );
        let listens = vec![
            ("HOLDFAST_LISTEN__HTTP", format!("127.0.0.1:{}", looks.http)),
            ("HOLDFAST_LISTEN__HTTPS", format!("127.0.0.1:{}", looks.tls)),
        ];
        Self { pebble, env: listens, acme }
    }

    fn serve(&self, dir: &Path, more: &str) -> Server {
        Server::start_with_env(dir, &format!("{}{more}", self.acme), &self.env)
    }

    /// Whether every listener shows a certificate for `name` that the authority issued.
    fn trusts(&self, server: &Server, name: &str) -> bool {
        let roots = self.pebble.issues_under();
        ["https", "imaps", "submissions", "pop3s"]
            .into_iter()
            .all(|door| seen(server.address(door), name, roots.clone()).is_ok())
    }
}

const LONG: Duration = Duration::from_secs(90 * 86_400);

#[test]
fn one_line_gives_every_listener_a_certificate_in_a_dark_stage_too() {
    if !is_here("a certificate by HTTP-01") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path(), LONG, &[]);
    let server = world.serve(dir.path(), "challenge = \"http-01\"\n");
    wait_for("there is a certificate", || world.trusts(&server, NAME));
    // It is in the store: a start needs no authority.
    assert!(server.command(&["stage", "set", "dark"]).status.success());
    server.stop();
    let World { mut pebble, env, acme } = world;
    let roots = pebble.issues_under();
    pebble.go_away();
    let server = Server::start_with_env(dir.path(), &acme, &env);
    seen(server.address("https"), NAME, roots).unwrap();
}
