//! Web clients that read nothing, flood, or send a byte now and then: they are ended at the limits, and nobody else notices.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::support::{
    PATIENCE, Server,
    h2::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, H2, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, frame, get,
    },
    wait_for,
    web::Web,
};

/// Keys of `[limits]`, which is open where a test's own configuration begins.
const HASTY: &str = "client_patience = \"2 seconds\"\nrequest_header_patience = \"2 seconds\"\n";
/// What so many bad clients may cost at most, in KiB.
const MOST_MEMORY_KIB: u64 = 96 << 10;

/// Memory of the service's process, in KiB: `VmRSS` now, `VmHWM` at most.
fn memory(server: &Server, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// A service, and its largest page that needs no sign-in.
fn service() -> (tempfile::TempDir, Server, String) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), HASTY);
    server.add_account("anna@example.org");
    let page = server.page("/signin");
    let style = page.split("href=\"").map(|rest| rest.split('"').next().unwrap()).find(|link| link.contains(".css"));
    (dir, server, style.unwrap().to_owned())
}

/// Somebody else signs in and reads, as always.
fn others_are_served(server: &Server) {
    let mut web = Web::sign_in(server.address("http"), "anna@example.org").unwrap();
    assert_eq!(web.get("/mail/inbox").unwrap().status, 200);
    assert_eq!(web.get("/health").unwrap().status, 200);
}

fn connections(server: &Server) -> u64 {
    let status: serde_json::Value = serde_json::from_slice(&server.command(&["status", "--json"]).stdout).unwrap();
    let doors = status["doors"].as_array().unwrap();
    doors.iter().filter(|door| door["name"] == "http").map(|door| door["connections"].as_u64().unwrap()).sum()
}

fn measured(server: &Server, name: &str) -> f64 {
    let page = server.page("/metrics");
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or_default()
}

/// Whether a socket's error is that the other side has ended it, and not that nothing came in time.
fn is_over(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[test]
fn clients_that_read_nothing_are_ended_while_others_are_served_and_memory_stays() {
    const CONNECTIONS: usize = 20;
    const STREAMS: u32 = 100;
    let (_dir, server, style) = service();
    others_are_served(&server);
    let before = memory(&server, "VmRSS");
    let mut deaf: Vec<H2> = (0..CONNECTIONS).map(|_| H2::deaf(server.address("http"))).collect();
    for client in &mut deaf {
        for number in 0..STREAMS {
            client.get(number * 2 + 1, &style).unwrap();
        }
    }
    // By HTTP/1, asking for more and more, and reading nothing of it.
    let mut slow: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(server.address("http")).unwrap()).collect();
    for client in &mut slow {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        // It may be ended before all is asked.
        let _ = client.write_all(format!("GET {style} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(4_000).as_bytes());
    }
    others_are_served(&server);
    for client in &mut deaf {
        client.ended();
    }
    wait_for("the connections are gone", || connections(&server) == 0);
    for client in &mut slow {
        match io::copy(client, &mut io::sink()) {
            Ok(bytes) => assert!(bytes < 4_000 * 20_000, "{bytes} bytes"),
            Err(error) => assert!(is_over(&error), "{error:?}"),
        }
    }
    assert!(measured(&server, "holdfast_doorkit_deaf_clients_total") >= CONNECTIONS as f64);
    others_are_served(&server);
    let cost = memory(&server, "VmHWM").saturating_sub(before);
    assert!(cost < MOST_MEMORY_KIB, "{cost} KiB");
    server.stop();
}

/// Writes until all is written or the other side ends it; reads nothing.
fn flood(client: &mut H2, bytes: &[u8]) {
    for chunk in bytes.chunks(16 << 10) {
        match client.send(chunk) {
            Ok(()) => {}
            Err(error) if is_over(&error) => return,
            Err(error) => panic!("neither read nor ended: {error}"),
        }
    }
}

/// What it is, the frames, and the codes with which the connection may be ended at once, if it is.
type Flood<'a> = (&'a str, Vec<u8>, Option<&'a [u32]>);

/// The same frame or frames, made from a number each, so many times.
fn many(count: u32, of: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(of).collect()
}

#[test]
fn floods_of_frames_cost_others_nothing() {
    const FRAMES: u32 = 20_000;
    const ENHANCE_YOUR_CALM: u32 = 11;
    let (_dir, server, style) = service();
    others_are_served(&server);
    let before = memory(&server, "VmRSS");
    let stream = |number: u32| number * 2 + 1;
    let open = |number: u32| frame(HEADERS, END_HEADERS | END_STREAM, stream(number), &get(&style));
    let reset = |number: u32| frame(RST_STREAM, 0, stream(number), &8_u32.to_be_bytes());
    // What is sent; the code with which the connection is ended at once, if it is.
    let floods: [Flood<'_>; 9] = [
        ("settings", many(FRAMES, |n| frame(SETTINGS, 0, 0, &[&[0, 4], &n.to_be_bytes()[..]].concat())), None),
        ("pings", many(FRAMES, |n| frame(PING, 0, 0, &u64::from(n).to_be_bytes())), None),
        ("answers to no ping", many(FRAMES, |n| frame(PING, ACK, 0, &u64::from(n).to_be_bytes())), None),
        ("priorities", many(FRAMES, |n| frame(PRIORITY, 0, stream(n), &[0, 0, 0, 0, 1])), None),
        ("windows", many(FRAMES, |_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())), None),
        ("resets", many(FRAMES, |n| [open(n), reset(n)].concat()), Some(&[ENHANCE_YOUR_CALM])),
        // Below the request's own streams, a body that says nothing.
        (
            "empty data",
            [frame(HEADERS, END_HEADERS, 1, &get("/signin")), many(FRAMES, |_| frame(DATA, 0, 1, b""))].concat(),
            None,
        ),
        (
            "continuations",
            [
                frame(HEADERS, END_STREAM, 1, &get(&style)),
                many(FRAMES, |_| frame(CONTINUATION, 0, 1, &[0x00, 1, b'a', 100])),
            ]
            .concat(),
            Some(&[1, 9, ENHANCE_YOUR_CALM]),
        ),
        (
            "a header that grows and grows",
            [
                frame(HEADERS, END_STREAM, 1, &get(&style)),
                many(2_000, |_| frame(CONTINUATION, 0, 1, &[&[0x00, 1, b'a', 100][..], &[b'x'; 100]].concat())),
            ]
            .concat(),
            Some(&[1, ENHANCE_YOUR_CALM]),
        ),
    ];
    for (what, bytes, ended) in floods {
        let mut client = H2::with_window(server.address("http"), 65_535);
        flood(&mut client, &bytes);
        if let Some(codes) = ended {
            // The reset of a socket may come before what was said.
            let said = client.ended();
            assert!(said.is_none_or(|said| codes.contains(&said)), "{what}: {said:?}");
        }
        others_are_served(&server);
        drop(client);
        let cost = memory(&server, "VmHWM").saturating_sub(before);
        assert!(cost < MOST_MEMORY_KIB, "{what}: {cost} KiB");
    }
    wait_for("the connections are gone", || connections(&server) == 0);
    server.stop();
}

/// Sends one byte or frame after another until the other side ends the connection.
#[track_caller]
fn trickle(what: &str, address: SocketAddr, begin: &[u8], mut next: impl FnMut(u32) -> Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(begin).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let begun = std::time::Instant::now();
    let mut answer = [0; 4096];
    for number in 0.. {
        assert!(begun.elapsed() < PATIENCE, "{what}: it goes on and on");
        match stream.read(&mut answer) {
            Ok(0) => return,
            Err(error) if is_over(&error) => return,
            _ => {}
        }
        if stream.write_all(&next(number)).is_err() {
            return;
        }
    }
}

#[test]
fn clients_that_send_a_byte_now_and_then_are_ended() {
    let (_dir, server, style) = service();
    let http = server.address("http");
    let settings = frame(SETTINGS, 0, 0, &[]);
    let good = [PREFACE, &settings, &frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/signin"))].concat();
    let half = frame(HEADERS, END_STREAM, 3, &get(&style));
    let nothing = |_| Vec::new();
    let a_header_byte = |number: u32| vec![b"X-a: b\r\n"[number as usize % 8]];
    let continuation = |_| frame(CONTINUATION, 0, 3, b"");
    let request_line = b"GET / HTTP/1.1\r\nHost: x\r\n";
    std::thread::scope(|scope| {
        // All at once: each takes as long as the limit is.
        scope.spawn(|| trickle("nothing", http, b"", nothing));
        scope.spawn(|| trickle("one byte of HTTP/2", http, &PREFACE[..1], nothing));
        scope.spawn(|| trickle("half a preface", http, &PREFACE[..10], nothing));
        scope.spawn(|| trickle("no request", http, &[PREFACE, &settings].concat(), nothing));
        scope.spawn(|| {
            trickle("pings, no request", http, &[PREFACE, &settings].concat(), |_| frame(PING, 0, 0, &[0; 8]));
        });
        scope.spawn(|| trickle("HTTP/1, no header", http, b"GET / HT", nothing));
        scope.spawn(|| trickle("HTTP/1, a header that never ends", http, request_line, a_header_byte));
        scope.spawn(|| trickle("a header that never ends", http, &[&good[..], &half].concat(), continuation));
        scope.spawn(|| trickle("a header that waits", http, &[&good[..], &half].concat(), nothing));
        scope.spawn(|| trickle("half a frame", http, &[&good[..], &half[..12]].concat(), nothing));
        scope.spawn(|| trickle("no answer to pings", http, &good, nothing));
        scope.spawn(|| others_are_served(&server));
    });
    others_are_served(&server);
    wait_for("the connections are gone", || connections(&server) == 0);
    server.stop();
}
