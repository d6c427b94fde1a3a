//! Python's poplib, where there is a Python.

use tokio::process::Command;

use crate::world::{LOGIN, PASSWORD, World};

const SCRIPT: &str = r#"
import poplib, ssl, sys
plain, tls, login, password = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
context = ssl._create_unverified_context()

pop = poplib.POP3("127.0.0.1", plain, timeout=30)
assert "STLS" in pop.capa() and "USER" not in pop.capa(), pop.capa()
try:
    pop.user(login)
    raise SystemExit("a login in plain text")
except poplib.error_proto:
    pass
pop.stls(context)
assert "USER" in pop.capa() and "STLS" not in pop.capa(), pop.capa()
assert any(m.endswith("-PLUS") for m in pop.capa()["SASL"]), pop.capa()
pop.user(login)
pop.pass_(password)
count, size = pop.stat()
assert count == 2, count
assert len(pop.list()[1]) == 2 and len(pop.uidl()[1]) == 2
response, lines, octets = pop.retr(1)
assert lines == [b"Subject: one", b"", b".", b"..", b"dots"], lines
assert octets == size - int(pop.list(2).split()[-1]), (octets, size)
assert pop.top(2, 0)[1] == [b"Subject: two", b""], pop.top(2, 0)
pop.dele(1)
pop.quit()

pop = poplib.POP3_SSL("127.0.0.1", tls, timeout=30, context=context)
pop.utf8()
pop.user(login)
pop.pass_(password)
assert pop.stat()[0] == 1
assert pop.retr(1)[1][0] == b"Subject: two"
pop.dele(1)
pop.rset()
pop.quit()
print("done")
"#;

#[tokio::test]
async fn pythons_poplib_does_its_round() {
    let Ok(version) = Command::new("python3").arg("--version").output().await else { return };
    assert!(version.status.success());
    let world = World::with(pop3::Pop3Options::default()).await;
    world.file(b"Subject: one\r\n\r\n.\r\n..\r\ndots\r\n").await;
    world.file(b"Subject: two\r\n\r\ntext\r\n").await;
    let (plain, tls) = (world.plain.port().to_string(), world.tls.port().to_string());
    let mut python = Command::new("python3");
    python.args(["-c", SCRIPT, &plain, &tls, LOGIN, PASSWORD]).kill_on_drop(true);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(300), python.output()).await;
    let output = ended.expect("Python ends").unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout.starts_with(b"done"), "{errors}");
    assert_eq!(world.uids().len(), 1);
}
