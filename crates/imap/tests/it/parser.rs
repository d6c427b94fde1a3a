//! What the parser promises whatever arrives, in whatever pieces.

use imap::syntax::{self, Command, Frame, FrameError, Progress};
use proptest::prelude::*;

/// Longest command of these tests.
const LIMIT: usize = 4_096;

/// Feeds `input` in pieces of the given sizes and collects the whole commands, taking every literal that fits.
fn commands(input: &[u8], pieces: &[usize]) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let mut frame = Frame::new(LIMIT);
    let mut whole = Vec::new();
    let mut sizes = pieces.iter().copied().cycle();
    let mut rest = input;
    while !rest.is_empty() {
        let (mut piece, after) = rest.split_at(sizes.next().unwrap_or(rest.len()).clamp(1, rest.len()));
        rest = after;
        while !piece.is_empty() {
            let (used, progress) = match frame.feed(piece) {
                Ok(step) => step,
                Err(error) => return (whole, Some(error)),
            };
            piece = &piece[used..];
            match progress {
                Progress::More => {}
                Progress::Literal(literal) if literal.len <= frame.room() as u64 => frame.accept_literal(literal),
                Progress::Literal(literal) => frame.discard(literal),
                Progress::Complete => {
                    whole.push(frame.bytes().to_vec());
                    frame.reset();
                }
            }
            assert!(frame.bytes().len() <= LIMIT, "the frame holds more than its limit");
        }
    }
    (whole, None)
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        "a[0-9] (NOOP|CAPABILITY|LOGIN x y|SELECT INBOX|FETCH 1:\\* \\(FLAGS UID\\))\r\n".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| {
            let mut line = format!("b LOGIN {{{}}}\r\n", bytes.len()).into_bytes();
            line.extend(bytes);
            line.extend_from_slice(b" {3+}\r\nabc\r\n");
            line
        }),
        "[ -~]{0,60}\r?\n".prop_map(String::into_bytes),
        Just(b"c LOGIN {9999999+}\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..60),
    ];
    prop::collection::vec(line, 0..8).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn pieces_of_any_size_give_the_same_commands(
        input in stream(),
        pieces in prop::collection::vec(1usize..30, 1..10),
    ) {
        prop_assert_eq!(commands(&input, &[usize::MAX]), commands(&input, &pieces));
    }

    #[test]
    fn no_bytes_make_the_parser_panic(input in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = syntax::parse(&input);
        let _ = syntax::append_head(&input);
        let _ = syntax::append_next(&input);
        let _ = syntax::is_catenate(&input);
        let _ = syntax::is_set_metadata(&input);
    }

    #[test]
    fn no_words_make_the_parser_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "a", "SEARCH", "UID", "FETCH", "OR", "NOT", "(", ")", "1:*", "$", "BODY[", "]", "<0.1>", "{3}\r\nabc", "\"x",
            "\"", "RETURN", "CHARSET", "LIST", "STORE", "+FLAGS", "\\Seen", "APPEND", "{5+}\r\n", "(QRESYNC", "1", "*",
            "HEADER.FIELDS", "%", "NIL", "\r\n", "1-Jan-2000", "MODSEQ", "~{2}\r\n\0\0", "STATUS", "SELECT", "ID",
            "SORT", "(REVERSE DATE)", "UTF-8", "THREAD", "REFS", "PARTIAL", "-1:-5", "NOTIFY", "SET", "(PERSONAL",
            "(MessageNew", "COMPRESS", "GETMETADATA", "SETMETADATA", "(DEPTH", "(MAXSIZE", "/private/a", "(/shared/b",
            "METADATA", "RETURN (METADATA", "ESEARCH", "IN", "SUBTREE-ONE", "(UPDATE", "CONTEXT", "CANCELUPDATE",
        ]), 0..12),
    ) {
        let line = format!("t {}\r\n", words.join(" "));
        if let Ok(tagged) = syntax::parse(line.as_bytes()) {
            prop_assert_eq!(tagged.tag, "t");
        }
        let _ = syntax::append_head(line.as_bytes());
    }

    #[test]
    fn an_error_points_into_the_command(line in "t (FETCH|SEARCH|STORE|LIST|SELECT|STATUS) [ -~]{0,30}") {
        let line = line + "\r\n";
        if let Err(error) = syntax::parse(line.as_bytes())
            && let syntax::ParseErrorKind::Syntax(error) = error.kind
        {
            prop_assert!(error.position <= line.len());
            prop_assert_eq!(error.found, line.as_bytes().get(error.position).copied());
        }
    }
}

#[test]
fn a_search_of_the_largest_size_is_read_without_recursion() {
    // On a small stack, so that recursion would show.
    let line = format!("t SEARCH {}ALL{}\r\n", "(NOT ".repeat(40), ")".repeat(40));
    let chain = format!("t SEARCH {}ALL\r\n", "OR SEEN ".repeat(900));
    let reader = std::thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(move || (syntax::parse(line.as_bytes()).is_ok(), syntax::parse(chain.as_bytes()).is_ok()));
    assert_eq!(reader.expect("a thread").join().expect("no overflow"), (true, true));
}

#[test]
fn a_command_of_100_000_numbers_is_read() {
    let set: Vec<String> = (1..=100_000u32).map(|n| (n * 2).to_string()).collect();
    let line = format!("t UID FETCH {} FLAGS\r\n", set.join(","));
    let tagged = syntax::parse(line.as_bytes()).expect("a long set is fine");
    let Command::Fetch(fetch) = tagged.command else { panic!("a FETCH") };
    assert_eq!(fetch.set.resolve(1).expect("ranges").as_slice().len(), 100_000);
}
