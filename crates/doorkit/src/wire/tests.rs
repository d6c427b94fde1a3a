use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn options(line_ends: LineEnds, at_end: AtEnd) -> WireOptions {
    WireOptions { write_timeout: PATIENCE, line_ends, line_time: LineTime::Whole, at_end }
}

/// A wire, and its client.
async fn pair(options: WireOptions) -> (Wire, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    (Wire::new(Conn::from_tcp(stream).unwrap(), options), client)
}

#[tokio::test]
async fn lines_come_out_as_they_were_sent_however_they_are_cut() {
    let text = |text: &str| Line::Text(Bytes::copy_from_slice(text.as_bytes()));
    let long = format!("{}\r\nok\r\n", "x".repeat(100_000));
    let cases: [(&str, Vec<Line>, Vec<Line>); 9] = [
        ("a\r\n", vec![text("a")], vec![text("a")]),
        ("\r\n\r\n", vec![text(""), text("")], vec![text(""), text("")]),
        ("a\nb\r\n", vec![Line::BareLf, text("b")], vec![text("a"), text("b")]),
        ("\n", vec![Line::BareLf], vec![text("")]),
        ("a\rb\r\n", vec![text("a\rb")], vec![text("a\rb")]),
        ("a\r\r\n", vec![text("a\r")], vec![text("a\r")]),
        ("12345678\r\n", vec![text("12345678")], vec![text("12345678")]),
        ("123456789\r\nok\r\n", vec![Line::TooLong, text("ok")], vec![Line::TooLong, text("ok")]),
        (&long, vec![Line::TooLong, text("ok")], vec![Line::TooLong, text("ok")]),
    ];
    for (sent, strict, tolerant) in cases {
        for (line_ends, wanted) in [(LineEnds::Strict, strict), (LineEnds::Tolerant, tolerant)] {
            for line_time in [LineTime::Whole, LineTime::EachRead] {
                for step in [1, 2, 3, 7, 100_000].into_iter().filter(|step| sent.len() / step < 100) {
                    let (mut wire, mut client) =
                        pair(WireOptions { line_time, ..options(line_ends, AtEnd::Drop) }).await;
                    let bytes = sent.as_bytes().to_vec();
                    let sending = tokio::spawn(async move {
                        for piece in bytes.chunks(step) {
                            client.write_all(piece).await.unwrap();
                            tokio::task::yield_now().await;
                        }
                    });
                    for line in &wanted {
                        assert_eq!(wire.line(10, PATIENCE).await.unwrap(), *line, "{line_ends:?} in {step}");
                    }
                    sending.await.unwrap();
                    let end = wire.line(10, PATIENCE).await.unwrap_err();
                    assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
                }
            }
        }
    }
}

#[tokio::test]
async fn commands_sent_together_are_answered_together_and_before_the_wait() {
    let (mut wire, mut client) = pair(options(LineEnds::Strict, AtEnd::Drop)).await;
    client.write_all(b"a\r\nb\r\n").await.unwrap();
    for _ in 0..2 {
        let Line::Text(line) = wire.line(100, PATIENCE).await.unwrap() else { panic!("a line") };
        wire.out.extend_from_slice(&line);
    }
    assert_eq!(wire.out, b"ab");
    let mut answer = [0; 2];
    tokio::select! {
        line = wire.line(100, PATIENCE) => panic!("{line:?}"),
        read = client.read_exact(&mut answer) => assert_eq!(read.unwrap(), 2),
    }
    assert_eq!(answer, *b"ab");
    assert!(wire.out.capacity() <= KEEP_CAPACITY && wire.input.capacity() <= KEEP_CAPACITY);
}

#[tokio::test]
async fn what_was_to_be_said_at_the_end_is_dropped_or_said_as_the_protocol_wants() {
    for (at_end, wanted) in [(AtEnd::Drop, "bye"), (AtEnd::Say, "doing bye")] {
        let (mut wire, mut client) = pair(options(LineEnds::Strict, at_end)).await;
        wire.out.extend_from_slice(b"doing ");
        wire.end_when(std::future::ready(io::Error::new(io::ErrorKind::PermissionDenied, "ended"))).unwrap();
        assert_eq!(wire.flush().await.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert!(!wire.is_torn());
        wire.out.extend_from_slice(b"bye");
        wire.shut_down().await;
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, wanted, "{at_end:?}");
        assert!(wire.conn().is_err());
    }
}

#[tokio::test]
async fn in_the_middle_of_something_no_goodbye_is_said() {
    let (mut wire, mut client) = pair(options(LineEnds::Strict, AtEnd::Say)).await;
    let chunk = wire.send(b"half a ".to_vec()).await.unwrap();
    assert!(chunk.is_empty() && !wire.is_torn());
    wire.torn = true;
    wire.out.extend_from_slice(b"bye");
    wire.shut_down().await;
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "half a ");
}

#[tokio::test]
async fn what_was_said_before_the_handshake_does_not_count_after_it() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let tls = Tls::self_signed(dir.path(), &["localhost".to_owned()]).unwrap();
    let (mut wire, mut client) = pair(options(LineEnds::Strict, AtEnd::Drop)).await;
    client.write_all(b"STLS\r\nDELE 1\r\n").await.unwrap();
    while wire.buffered().len() < 14 {
        wire.fill().await.unwrap();
    }
    wire.line(100, PATIENCE).await.unwrap();
    assert_eq!(wire.start_tls(&tls).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_given_up() {
    let (mut wire, _client) = pair(options(LineEnds::Strict, AtEnd::Drop)).await;
    assert_eq!(wire.line(100, Duration::ZERO).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
}
