//! How many messages a second: taken for an account here, sent by the web, and delivered to another server. Every one
//! durable before it counts. Run with `cargo bench -p delivery`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use delivery::{Delivery, DeliveryOptions, Envelope, NextHop, Origin, Recipient, Submission};
use directory::{AccountId, Directory, DirectoryOptions, NewAccount, Role};
use mailkit::EmailAddress;
use mailstore::MailStore;
use store::{Store, StoreOptions};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const ACCOUNTS: usize = 50;
const TASKS: usize = 50;
const SECONDS: u64 = 5;

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).expect("an address")
}

/// No two are of one conversation.
fn message(number: usize) -> bytes::Bytes {
    let head = format!(
        "From: Alice <u0@here.example>\r\nTo: u1@here.example\r\nSubject: Throughput {number}\r\n\
        Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{number}@here.example>\r\n\r\n"
    );
    format!("{head}{}", "All work and no play makes Jack a dull boy.\r\n".repeat(90)).into()
}

/// A server that takes everything; gives its port and a count of messages.
async fn sink() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let (port, count) = (listener.local_addr().expect("an address").port(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a socket option");
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                stream.write_all(b"220 sink\r\n").await?;
                let mut in_message = false;
                while stream.read_line(&mut line).await? > 0 {
                    let reply: &[u8] = match (in_message, line.get(..4)) {
                        (true, _) if line == ".\r\n" => {
                            in_message = false;
                            counter.fetch_add(1, Ordering::Relaxed);
                            b"250 taken\r\n"
                        }
                        (true, _) => b"",
                        (false, Some("EHLO")) => b"250-sink\r\n250 PIPELINING\r\n",
                        (false, Some("DATA")) => {
                            in_message = true;
                            b"354 go\r\n"
                        }
                        _ => b"250 fine\r\n",
                    };
                    stream.write_all(reply).await?;
                    line.clear();
                }
                Ok::<_, std::io::Error>(())
            });
        }
    });
    (port, count)
}

async fn measure<F>(what: &str, work: impl Fn(usize, usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let until = Instant::now() + Duration::from_secs(SECONDS);
    let began = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    let mut number = 0;
    let mut done = 0;
    while Instant::now() < until {
        while running.len() < TASKS {
            running.spawn(work(number, number % ACCOUNTS));
            number += 1;
        }
        done += usize::from(running.join_next().await.is_some_and(|result| result.is_ok()));
    }
    while let Some(result) = running.join_next().await {
        done += usize::from(result.is_ok());
    }
    println!("{what:<44} {:>9.0} a second", done as f64 / began.elapsed().as_secs_f64());
}

fn main() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("a store");
    let directory = Directory::new(store.clone(), DirectoryOptions::default()).expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(&store, directory));
    drop(runtime);
    store.close();
}

async fn run(store: &Store, directory: Directory) {
    directory.add_domain("here.example").await.expect("a domain");
    let mut accounts: Vec<AccountId> = Vec::new();
    for number in 0..ACCOUNTS {
        let address = address(&format!("u{number}@here.example"));
        let (name, password) = (String::new(), "correct horse".to_owned());
        let new = NewAccount { address, name, password, role: Role::User, quota_bytes: 0 };
        accounts.push(directory.create_account(new).await.expect("an account"));
    }
    let mailstore = MailStore::new(store.clone());
    let (port, received) = sink().await;
    let mut options = DeliveryOptions { hostname: "mx.here.example".into(), ..DeliveryOptions::default() };
    options.static_routes.insert("there.example".into(), NextHop::new("127.0.0.1", port));
    let delivery = Delivery::new(store.clone(), directory, mailstore, options).expect("delivery");
    let accounts = Arc::new(accounts);

    let envelope = |from: &str, to: &str, auth| Envelope {
        from: Some(address(from)),
        recipients: vec![Recipient::new(address(to))],
        ret: None,
        envid: None,
        body_8bit: false,
        require_tls: false,
        smtputf8: false,
        origin: Origin { auth, esmtp: true, ..Origin::default() },
    };
    measure("taken for an account here, 4 kB", |number, account| {
        let envelope = envelope("x@far.example", &format!("u{account}@here.example"), None);
        let (delivery, message) = (delivery.clone(), message(number));
        async move { drop(delivery.accept(envelope, &message).await.expect("it is taken")) }
    })
    .await;
    measure("sent by the web to an account here", |number, account| {
        let submission = Submission {
            account: accounts[0],
            idempotency_key: number.to_be_bytes().to_vec(),
            from: address("u0@here.example"),
            recipients: vec![Recipient::new(address(&format!("u{account}@here.example")))],
            ret: None,
            message: message(number),
            keep_copy: true,
            copy_prefix: bytes::Bytes::new(),
            remove_draft: None,
            responds_to: None,
            hold: Duration::ZERO,
            correspondents: Vec::new(),
        };
        let delivery = delivery.clone();
        async move { drop(delivery.submit(submission).await.expect("it is sent")) }
    })
    .await;
    measure("signed and queued for another server", |number, _| {
        let envelope = envelope("u0@here.example", "x@there.example", Some(accounts[0]));
        let (delivery, message) = (delivery.clone(), message(number));
        async move { drop(delivery.accept(envelope, &message).await.expect("it is taken")) }
    })
    .await;
    let queued = delivery.queue_stats().expect("the queue").messages;
    let (shutdown, began) = (CancellationToken::new(), Instant::now());
    let running = tokio::spawn({
        let (delivery, shutdown) = (delivery.clone(), shutdown.clone());
        async move { delivery.run(shutdown).await }
    });
    while delivery.queue_stats().expect("the queue").messages > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let rate = queued as f64 / began.elapsed().as_secs_f64();
    println!("{:<44} {rate:>9.0} a second", format!("a backlog of {queued} for one server"));
    assert_eq!(received.load(Ordering::Relaxed) as u64, queued, "each arrives once");
    shutdown.cancel();
    running.await.expect("it ends").expect("it ends well");
}
