//! How much memory 1,000 quiet connections take, each with a mailbox selected: `cargo run --release -p imap --example
//! idle_memory`.

#[path = "../tests/it/service/client.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod client;
#[path = "../tests/it/service/server.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod server;

use server::{MESSAGE, Server};

const CONNECTIONS: usize = 1_000;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::main]
async fn main() {
    let server = Server::start().await;
    let mut first = server.login().await;
    for _ in 0..100 {
        first.append("INBOX", MESSAGE).await.ok();
    }
    let before = resident_kib();
    let mut clients = Vec::new();
    for n in 0..CONNECTIONS {
        let mut client = server.login().await;
        client.run("SELECT INBOX").await.ok();
        client.run("FETCH 1:* (FLAGS ENVELOPE)").await.ok();
        if n % 2 == 0 {
            client.start("IDLE").await;
            client.line().await;
        }
        clients.push(client);
    }
    let after = resident_kib();
    println!("resident: {before} KiB before, {after} KiB with {CONNECTIONS} connections (their clients included)");
    println!("{:.1} KiB a connection", (after - before) as f64 / CONNECTIONS as f64);
}
