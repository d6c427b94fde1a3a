use proptest::prelude::*;

use super::*;

fn mail(recipients: &[&str]) -> Mail {
    Mail {
        from: "a@here.example".into(),
        recipients: recipients
            .iter()
            .map(|r| MailRecipient { address: (*r).to_owned(), notify: Notify::default(), orcpt: None })
            .collect(),
        size: 1000,
        eight_bit: false,
        long_lines: false,
        smtputf8: false,
        ret: None,
        envid: None,
        tls: TlsWish::Usual,
    }
}

fn pipelining() -> Capabilities {
    Capabilities { pipelining: true, ..Capabilities::default() }
}

/// Runs a transaction against fixed replies; gives everything sent, with the message as `(message)`.
fn run(mail: Mail, capabilities: &Capabilities, replies: &[&str]) -> (String, Vec<Fate>, bool) {
    let mut transaction = Transaction::new(mail, capabilities);
    let mut sent = String::new();
    let mut replies = replies.iter();
    loop {
        match transaction.next() {
            Step::Send(bytes) => sent.push_str(std::str::from_utf8(&bytes).unwrap()),
            Step::SendMessage => sent.push_str("(message)"),
            Step::Read(_) => {
                let (code, text) = replies.next().expect("asks for more replies than there are").split_at(3);
                transaction.reply(&Reply::new(code.parse().unwrap(), text.trim()));
            }
            Step::Done => break,
        }
    }
    assert_eq!(replies.next(), None, "a reply was left unread");
    let (fates, usable) = transaction.finish();
    (sent.replace("\r\n", "|"), fates, usable)
}

#[test]
fn without_pipelining_every_command_waits_for_its_reply() {
    let (sent, fates, usable) =
        run(mail(&["b@x.example", "c@x.example"]), &Capabilities::default(), &["250", "250", "250", "354", "250 ok"]);
    assert_eq!(sent, "MAIL FROM:<a@here.example>|RCPT TO:<b@x.example>|RCPT TO:<c@x.example>|DATA|(message)");
    assert!(fates.iter().all(|f| matches!(f, Fate::Delivered(_))));
    assert!(usable);
}

#[test]
fn each_recipient_gets_its_own_fate() {
    let (_, fates, usable) = run(
        mail(&["b@x.example", "c@x.example", "d@x.example"]),
        &pipelining(),
        &["250", "250", "550 5.1.1 no such user", "450 4.2.1 busy", "354", "250 queued"],
    );
    assert_eq!(fates[0], Fate::Delivered(Reply::new(250, "queued")));
    assert_eq!(fates[1], Fate::Failed(Reply::new(550, "5.1.1 no such user")));
    assert_eq!(fates[2], Fate::Deferred(Reply::new(450, "4.2.1 busy")));
    assert!(usable);
}

#[test]
fn a_refused_sender_settles_all_and_the_other_replies_are_still_read() {
    let (sent, fates, usable) = run(mail(&["b@x.example"]), &pipelining(), &["550 go away", "503", "503", "250"]);
    assert!(sent.ends_with("DATA|RSET|"));
    assert_eq!(fates, [Fate::Failed(Reply::new(550, "go away"))]);
    assert!(usable);
    let (_, fates, _) = run(mail(&["b@x.example"]), &Capabilities::default(), &["451 later"]);
    assert_eq!(fates, [Fate::Deferred(Reply::new(451, "later"))]);
}

#[test]
fn a_server_that_wants_data_without_recipients_gets_an_empty_message() {
    let (sent, fates, usable) = run(mail(&["b@x.example"]), &pipelining(), &["250", "550 no", "354", "554 none"]);
    assert!(sent.ends_with("DATA|.|"));
    assert_eq!(fates, [Fate::Failed(Reply::new(550, "no"))]);
    assert!(usable);
}

#[test]
fn without_recipients_no_data_is_sent_unless_pipelined() {
    let (sent, _, usable) = run(mail(&["b@x.example"]), &Capabilities::default(), &["250", "550 no", "250"]);
    assert!(sent.ends_with("|RSET|"));
    assert!(usable);
}

#[test]
fn the_answer_to_the_message_settles_only_accepted_recipients() {
    let replies = ["250", "250", "550 no", "354", "552 5.2.2 full"];
    let (_, fates, _) = run(mail(&["b@x.example", "c@x.example"]), &pipelining(), &replies);
    assert_eq!(fates[0], Fate::Failed(Reply::new(552, "5.2.2 full")));
    assert_eq!(fates[1], Fate::Failed(Reply::new(550, "no")));
}

#[test]
fn a_server_that_hangs_up_defers_what_is_open() {
    let (_, fates, usable) =
        run(mail(&["b@x.example", "c@x.example"]), &pipelining(), &["250", "550 no", "421 closing"]);
    assert_eq!(fates[0], Fate::Failed(Reply::new(550, "no")));
    assert_eq!(fates[1], Fate::Deferred(Reply::new(421, "closing")));
    assert!(!usable);
}

#[test]
fn too_many_recipients_is_temporary_even_as_552() {
    let replies = ["250", "250", "552 5.5.3 too many recipients", "354", "250"];
    let (_, fates, _) = run(mail(&["b@x.example", "c@x.example"]), &pipelining(), &replies);
    assert!(matches!(fates[1], Fate::Deferred(_)));
}

#[test]
fn a_message_the_server_can_not_take_is_not_tried() {
    let capabilities = Capabilities { size: Some(999), knows_size: true, ..pipelining() };
    let (sent, fates, usable) = run(mail(&["b@x.example"]), &capabilities, &[]);
    assert!(sent.is_empty() && usable);
    assert!(matches!(&fates[0], Fate::Failed(reply) if reply.enhanced() == Some((5, 3, 4))));
    let (_, fates, _) = run(Mail { smtputf8: true, ..mail(&["bö@x.example"]) }, &pipelining(), &[]);
    assert!(matches!(&fates[0], Fate::Failed(reply) if reply.enhanced() == Some((5, 6, 7))));
}

#[test]
fn wishes_are_passed_on_to_servers_that_know_them() {
    let mut wish = mail(&["b@x.example"]);
    wish.eight_bit = true;
    wish.ret = Some(Ret::Headers);
    wish.envid = Some("a+b c".into());
    wish.recipients[0].notify = Notify { success: true, failure: true, delay: false, explicit: true };
    wish.recipients[0].orcpt = Some("rfc822;b@y.example".into());
    let capabilities = Capabilities { dsn: true, eight_bit: true, knows_size: true, ..pipelining() };
    let (sent, ..) = run(wish.clone(), &capabilities, &["250", "250", "354", "250"]);
    assert!(sent.starts_with("MAIL FROM:<a@here.example> SIZE=1000 BODY=8BITMIME RET=HDRS ENVID=a+2Bb+20c|"));
    assert!(sent.contains("RCPT TO:<b@x.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@y.example|"));
    let (sent, ..) = run(wish.clone(), &pipelining(), &["250", "250", "354", "250"]);
    assert_eq!(sent, "MAIL FROM:<a@here.example>|RCPT TO:<b@x.example>|DATA|(message)");
    wish.recipients[0].orcpt = Some("rfc822;x\r\nRSET".into());
    let (sent, ..) = run(wish.clone(), &capabilities, &["250", "250", "354", "250"]);
    assert!(!sent.contains("RSET"), "what would break the line is left out: {sent}");
    wish.recipients[0].notify = Notify::NEVER;
    let (sent, ..) = run(wish, &capabilities, &["250", "250", "354", "250"]);
    assert!(sent.contains(" NOTIFY=NEVER|"));
}

#[test]
fn capabilities_are_read_in_any_case_and_order() {
    let lines = ["mx greets you", "size 1000", "Pipelining", "AUTH PLAIN login", "8BITMIME", "DSN", "X-WHAT EVER"];
    let reply = Reply { code: 250, lines: lines.map(str::to_owned).to_vec() };
    let found = Capabilities::from_ehlo(&reply);
    assert_eq!(found.size, Some(1000));
    assert!(found.pipelining && found.eight_bit && found.dsn && !found.starttls && !found.smtputf8);
    assert_eq!(found.auth, ["PLAIN", "LOGIN"]);
    let unlimited = Reply { code: 250, lines: vec!["x".into(), "SIZE 0".into()] };
    assert_eq!(Capabilities::from_ehlo(&unlimited).size, None);
}

proptest! {
    /// Whatever a server answers, every recipient gets a fate, and none counts as delivered without its consent.
    #[test]
    fn every_recipient_gets_a_fate(
        codes in prop::collection::vec(prop_oneof![Just(250u16), Just(354), Just(421), Just(450), Just(550)], 0..40),
        count in 1usize..6,
        pipelined: bool,
    ) {
        let recipients: Vec<String> = (0..count).map(|i| format!("r{i}@x.example")).collect();
        let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
        let capabilities = Capabilities { pipelining: pipelined, ..Capabilities::default() };
        let mut transaction = Transaction::new(mail(&recipients), &capabilities);
        let mut codes = codes.into_iter();
        let mut message_sent = false;
        for _ in 0..1_000 {
            match transaction.next() {
                Step::Send(_) => {}
                Step::SendMessage => message_sent = true,
                Step::Read(_) => match codes.next() {
                    Some(code) => transaction.reply(&Reply::new(code, "")),
                    None => transaction.lose(&Reply::new(451, "connection lost")),
                },
                Step::Done => break,
            }
        }
        prop_assert_eq!(transaction.next(), Step::Done);
        let (fates, _) = transaction.finish();
        prop_assert_eq!(fates.len(), count);
        prop_assert!(message_sent || !fates.iter().any(|f| matches!(f, Fate::Delivered(_))));
    }
}
