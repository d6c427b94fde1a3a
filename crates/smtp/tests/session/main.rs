//! Whole sessions over real sockets: what a client gets to hear, and what is filed.

mod judging;
mod limits;

use std::{io, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use delivery::{Delivery, DeliveryOptions};
use directory::{AccountId, Directory, NewAccount, Role as AccountRole};
use doorkit::{Conn, PlaintextLogins, Tls};
use mailstore::{MailStore, Role as MailboxRole};
use smtp::{Role, SmtpDoor, SmtpOptions};
use tempfile::TempDir;
use testkit::{House, Store};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// How long a test waits for what must happen, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);
const PASSWORD: &str = "correct horse battery";
/// `\0anna@here.example\0correct horse battery` in base64.
const PLAIN: &str = "AGFubmFAaGVyZS5leGFtcGxlAGNvcnJlY3QgaG9yc2UgYmF0dGVyeQ==";

struct World {
    dir: TempDir,
    store: Store,
    directory: Directory,
    mail: MailStore,
    delivery: Delivery,
    anna: AccountId,
}

impl World {
    async fn new() -> Self {
        Self::with(DeliveryOptions::default()).await
    }

    async fn with(options: DeliveryOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let House { store, directory, mailstore: mail } = House::open(dir.path()).await;
        directory.add_domain("here.example").await.unwrap();
        let account = NewAccount {
            address: "anna@here.example".parse().unwrap(),
            name: "Anna".to_owned(),
            password: PASSWORD.to_owned(),
            role: AccountRole::User,
            quota_bytes: 0,
        };
        let anna = directory.create_account(account).await.unwrap();
        let options = DeliveryOptions { hostname: "mx.here.example".to_owned(), ..options };
        let delivery = Delivery::new(store.clone(), directory.clone(), mail.clone(), options).unwrap();
        Self { dir, store, directory, mail, delivery, anna }
    }

    fn options(role: Role) -> SmtpOptions {
        SmtpOptions {
            role,
            hostname: "mx.here.example".to_owned(),
            plaintext_logins: PlaintextLogins::Loopback,
            ..SmtpOptions::default()
        }
    }

    async fn connect(&self, role: Role) -> Client {
        self.connect_with(Self::options(role)).await
    }

    /// A client that was greeted.
    async fn connect_with(&self, options: SmtpOptions) -> Client {
        let tls = Tls::self_signed(&self.dir.path().join("tls"), &["localhost".to_owned()]).unwrap();
        let door = SmtpDoor::with_tls(self.directory.clone(), self.delivery.clone(), options, tls);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            door.serve_connection(Conn::from_tcp(stream).unwrap()).await;
        });
        let mut client = Client { stream: BufReader::new(TcpStream::connect(address).await.unwrap()) };
        assert!(client.reply().await.starts_with("220 mx.here.example"));
        client
    }

    fn inbox(&self) -> Vec<String> {
        let realm = self.anna.realm();
        let Some(mailbox) = self.mail.mailbox_by_role(realm, MailboxRole::Inbox).unwrap() else { return Vec::new() };
        let view = self.mail.view(realm, mailbox.id).unwrap();
        let entries = self.mail.entries(realm, mailbox.id, view.uids()).unwrap();
        let read = |id| String::from_utf8_lossy(&self.mail.body(realm, id).unwrap().read_all().unwrap()).into_owned();
        entries.iter().map(|entry| read(entry.email_id)).collect()
    }
}

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes).await
    }

    /// One reply, its lines joined by `|`.
    async fn reply(&mut self) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            let read = tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line)).await.unwrap().unwrap();
            assert_ne!(read, 0, "the connection was closed after {all:?}");
            let line = line.strip_suffix("\r\n").expect("CRLF");
            all.push_str(line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return all;
            }
            all.push('|');
        }
    }

    /// Says some lines and gives the last of their replies.
    async fn say(&mut self, lines: &[&str]) -> String {
        let mut last = String::new();
        for line in lines {
            self.write(format!("{line}\r\n").as_bytes()).await.unwrap();
            last = self.reply().await;
        }
        last
    }

    /// All that is said until the connection is closed.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end too: the server does not wait for what it does not want to hear.
        let _ = tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("closed in time");
        String::from_utf8(rest).unwrap()
    }

    /// The same at a door of that role.
    async fn begin_as(&mut self, role: Role) {
        let hello = if role == Role::Lmtp { "LHLO client.example" } else { "EHLO client.example" };
        let reply = self.say(&["RSET", hello, "MAIL FROM:<x@far.example>", "RCPT TO:<anna@here.example>"]).await;
        assert!(reply.starts_with("250"), "{reply}");
    }

    /// Up to where DATA or BDAT may come.
    async fn begin(&mut self) {
        let reply =
            self.say(&["EHLO client.example", "MAIL FROM:<x@far.example>", "RCPT TO:<anna@here.example>"]).await;
        assert!(reply.starts_with("250"), "{reply}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_end_of_a_message_but_the_true_one_makes_two_of_it() {
    let world = World::new().await;
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\n.\r", "\r\r\n.\r\r\n", "\r\n.\r\r\n"] {
        let mut client = world.connect(Role::Mx).await;
        client.begin().await;
        assert!(client.say(&["DATA"]).await.starts_with("354"));
        let second =
            "MAIL FROM:<evil@far.example>\r\nRCPT TO:<anna@here.example>\r\nDATA\r\nSubject: evil\r\n\r\n.\r\n";
        client.write(format!("Subject: one\r\n\r\nx{end}{second}").as_bytes()).await.unwrap();
        let reply = client.reply().await;
        assert!(reply.starts_with("554 5.6.0"), "{end:?}: {reply}");
        assert_eq!(client.say(&["NOOP"]).await, "250 2.0.0 Ok", "one reply, for one message");
    }
    for chunk in ["Subject: one\r\n\r\nx\n.\n", "Subject: one\r\n\r\nx\r"] {
        let mut client = world.connect(Role::Mx).await;
        client.begin().await;
        client.write(format!("BDAT {} LAST\r\n{chunk}", chunk.len()).as_bytes()).await.unwrap();
        assert!(client.reply().await.starts_with("554 5.6.0"));
    }
    assert!(world.inbox().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_nul_is_refused_and_the_session_goes_on() {
    let world = World::new().await;
    for role in [Role::Mx, Role::Lmtp] {
        let mut client = world.connect(role).await;
        for text in ["a\0b\r\n", "\0", "\r\n\0.\r\n", "\0.\r\n"] {
            client.begin_as(role).await;
            client.say(&["DATA"]).await;
            client.write(format!("Subject: one\r\n\r\n{text}\r\n.\r\n").as_bytes()).await.unwrap();
            assert!(client.reply().await.starts_with("554 5.6.0"), "{text:?}");
            client.begin_as(role).await;
            client.write(format!("BDAT {} LAST\r\n\r\n{text}", text.len() + 2).as_bytes()).await.unwrap();
            assert!(client.reply().await.starts_with("554 5.6.0"), "{text:?}");
        }
        client.begin_as(role).await;
        client.write(b"DATA\r\n").await.unwrap();
        assert!(client.reply().await.starts_with("354"));
        client.write(b"Subject: clean\r\n\r\nx\r\n.\r\n").await.unwrap();
        assert!(client.reply().await.starts_with("250"));
    }
    assert_eq!(world.inbox().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn lone_line_feeds_are_mended_for_those_who_signed_in_and_still_end_nothing() {
    let world = World::new().await;
    let mut client = world.connect(Role::Submission).await;
    client.say(&["EHLO x", &format!("AUTH PLAIN {PLAIN}")]).await;
    let begin = ["MAIL FROM:<anna@here.example>", "RCPT TO:<anna@here.example>"];
    client.say(&begin).await;
    client.say(&["DATA"]).await;
    let smuggled = "x\n.\nMAIL FROM:<evil@far.example>\r\n\n.\r\ny\n";
    client
        .write(
            format!("From: anna@here.example\nBcc: secret@far.example\nSubject: lf\n\n{smuggled}\r\n.\r\n").as_bytes(),
        )
        .await
        .unwrap();
    assert!(client.reply().await.starts_with("250"));
    client.say(&begin).await;
    client.write(b"BDAT 44 LAST\r\nFrom: anna@here.example\r\nSubject: lf\n\nx\ny\r\n\n").await.unwrap();
    assert!(client.reply().await.starts_with("250"));
    client.say(&begin).await;
    client.say(&["DATA"]).await;
    client.write(b"From: anna@here.example\r\n\r\nx\ry\r\n.\r\n").await.unwrap();
    assert!(client.reply().await.starts_with("554 5.6.0"), "a lone CR is no line end of anybody");
    let inbox = world.inbox();
    assert_eq!(inbox.len(), 2);
    let mended = "x\r\n.\r\nMAIL FROM:<evil@far.example>\r\n\r\n.\r\ny\r\n\r\n";
    assert!(inbox[0].ends_with(&format!("Subject: lf\r\n\r\n{mended}")), "{}", inbox[0]);
    assert!(!inbox[0].contains("secret"));
    assert!(inbox[1].ends_with("Subject: lf\r\n\r\nx\r\ny\r\n\r\n"), "{}", inbox[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_offered_to_those_who_can_sign_in_only() {
    let world = World::new().await;
    for (role, hello, offered) in
        [(Role::Mx, "EHLO x", false), (Role::Lmtp, "LHLO x", false), (Role::Submission, "EHLO x", true)]
    {
        let mut client = world.connect(role).await;
        assert_eq!(client.say(&[hello]).await.contains("DSN"), offered, "{role:?}");
    }
    // Who asks all the same is not refused: the wish is not heard.
    let mut client = world.connect(Role::Mx).await;
    client.say(&["EHLO x"]).await;
    for line in [
        "MAIL FROM:<v@far.example> RET=FULL ENVID=BUY",
        "RCPT TO:<anna@here.example> NOTIFY=SUCCESS ORCPT=rfc822;a@b.example",
    ] {
        assert!(client.say(&[line]).await.starts_with("250"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_wait_for_the_answer_that_it_must_wait_for_ends_the_connection() {
    let world = World::new().await;
    let mut client = world.connect(Role::Mx).await;
    client.begin().await;
    client.write(b"DATA\r\nSubject: early\r\n\r\nhi\r\n.\r\n").await.unwrap();
    assert_eq!(client.rest().await, "554 5.5.0 No command may follow DATA before its reply\r\n");
    assert!(world.inbox().is_empty());

    let mut client = world.connect(Role::Mx).await;
    client.write(b"STARTTLS\r\nMAIL FROM:<x@far.example>\r\n").await.unwrap();
    assert_eq!(client.rest().await, "554 5.5.1 No command may follow STARTTLS before the TLS handshake\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_made_to_speak_smtp_is_not_listened_to() {
    let world = World::new().await;
    let mut client = world.connect(Role::Mx).await;
    let form = "POST / HTTP/1.1\r\nHost: mx.here.example:25\r\n\r\nEHLO x\r\nMAIL FROM:<>\r\n";
    client.write(form.as_bytes()).await.unwrap();
    assert_eq!(client.rest().await, "554 5.5.1 HTTP request on an SMTP port\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_make_one_message_and_a_chunk_of_unknown_size_ends_the_connection() {
    let world = World::new().await;
    let mut client = world.connect(Role::Mx).await;
    client.begin().await;
    // The line end is cut in two, and a dot alone means nothing here.
    client.write(b"BDAT 16\r\nSubject: c\r\n\r\na\r").await.unwrap();
    assert_eq!(client.reply().await, "250 2.0.0 16 octets received");
    assert!(client.say(&["DATA"]).await.starts_with("503"));
    client.write(b"BDAT 6 LAST\r\n\n.\r\nb\n").await.unwrap();
    assert!(client.reply().await.starts_with("554 5.6.0"), "the last line end is bare");
    client.begin().await;
    client.write(b"BDAT 16\r\nSubject: c\r\n\r\na\rBDAT 7\r\n\n.\r\nb\r\nBDAT 0 LAST\r\n").await.unwrap();
    for _ in 0..2 {
        assert!(client.reply().await.ends_with("octets received"));
    }
    assert!(client.reply().await.starts_with("250 2.0.0 Ok: queued as"));
    let inbox = world.inbox();
    assert!(inbox.len() == 1 && inbox[0].ends_with("Subject: c\r\n\r\na\r\n.\r\nb\r\n"), "{inbox:?}");

    client.begin().await;
    client.write(b"BDAT 99999999999999999999\r\nRSET\r\nMAIL FROM:<evil@far.example>\r\n").await.unwrap();
    assert_eq!(client.rest().await, "501 5.5.2 Syntax: BDAT size [LAST]\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn lmtp_answers_for_each_recipient_and_the_trace_says_lmtp() {
    let world = World::new().await;
    let mut client = world.connect(Role::Lmtp).await;
    assert!(client.say(&["EHLO x"]).await.starts_with("500"));
    client.say(&["LHLO mta.example", "MAIL FROM:<x@far.example>", "RCPT TO:<anna@here.example>"]).await;
    assert!(client.say(&["RCPT TO:<nobody@here.example>"]).await.starts_with("550 5.1.1"));
    client.say(&["RCPT TO:<anna+tag@here.example>", "DATA"]).await;
    client.write(b"Subject: x\r\n\r\nhi\r\n.\r\n").await.unwrap();
    for _ in 0..2 {
        assert!(client.reply().await.starts_with("250 2.0.0"));
    }
    assert!(client.say(&["QUIT"]).await.starts_with("221"));
    let inbox = world.inbox();
    assert_eq!(inbox.len(), 1);
    assert!(inbox[0].contains("by mx.here.example with LMTP\r\n"), "{}", inbox[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_errors_end_the_connection_unless_messages_come_between() {
    let world = World::new().await;
    let options = SmtpOptions { max_errors: 3, ..World::options(Role::Mx) };
    let mut client = world.connect_with(options).await;
    for _ in 0..3 {
        client.say(&["EHLO x", "MAIL FROM:<x@far.example>"]).await;
        for recipient in ["RCPT TO:<no@here.example>", "RCPT TO:<nobody@here.example>"] {
            assert!(client.say(&[recipient]).await.starts_with("550 5.1.1"));
        }
        client.say(&["RCPT TO:<anna@here.example>", "DATA"]).await;
        assert!(client.say(&["Subject: x\r\n\r\nhi\r\n."]).await.starts_with("250 2.0.0 Ok: queued as "));
    }
    client.say(&["MAIL FROM:<x@far.example>", "RCPT TO:<no@here.example>", "RCPT TO:<no@here.example>"]).await;
    client.write(b"RCPT TO:<no@here.example>\r\n").await.unwrap();
    assert!(client.rest().await.ends_with("421 4.3.2 mx.here.example Error: too many errors\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_only_passes_the_time_is_sent_away() {
    let world = World::new().await;
    let options = SmtpOptions { max_idle_commands: 5, max_errors: 3, ..World::options(Role::Mx) };
    let mut client = world.connect_with(options).await;
    client.begin().await;
    client.say(&["NOOP", "NOOP", "DATA"]).await;
    assert!(client.say(&["Subject: x\r\n\r\nhi\r\n."]).await.starts_with("250 2.0.0 Ok: queued as "));
    for _ in 0..7 {
        assert!(client.say(&["NOOP"]).await.starts_with("250"));
    }
    client.write(b"VRFY anna\r\n").await.unwrap();
    assert!(client.rest().await.ends_with("421 4.3.2 mx.here.example Error: too many errors\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn postmaster_is_always_reached_be_there_an_administrator_or_not() {
    let world = World::new().await;
    let mut client = world.connect(Role::Mx).await;
    client.say(&["EHLO x", "MAIL FROM:<>"]).await;
    for address in ["<postmaster>", "<PostMaster@here.example>", "<postmaster@HERE.example>"] {
        assert_eq!(client.say(&[&format!("RCPT TO:{address}")]).await, "250 2.1.5 Ok");
    }
    client.say(&["DATA"]).await;
    assert!(client.say(&["Subject: complaint\r\n\r\n."]).await.starts_with("250"));
    assert_eq!(world.inbox().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_a_line_byte_by_byte_is_silent_for_too_long_in_the_end() {
    let world = World::new().await;
    let options = SmtpOptions { command_timeout: Duration::from_millis(300), ..World::options(Role::Mx) };
    let mut client = world.connect_with(options).await;
    let never_silent = async {
        while client.write(b"x").await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, never_silent).await.expect("cut off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_can_be_cancelled_or_go_wrong_and_the_session_goes_on() {
    let world = World::new().await;
    let options = SmtpOptions { max_failed_logins: 20, ..World::options(Role::Submission) };
    let mut client = world.connect_with(options).await;
    let greeting = client.say(&["EHLO x"]).await;
    assert!(greeting.contains("AUTH SCRAM-SHA-256 PLAIN LOGIN"), "{greeting}");
    assert!(client.say(&["MAIL FROM:<anna@here.example>"]).await.starts_with("530 5.7.0"));
    assert_eq!(client.say(&["AUTH PLAIN"]).await, "334 ");
    assert_eq!(client.say(&["*"]).await, "501 5.7.0 Authentication cancelled");
    assert!(client.say(&["AUTH LOGIN", "YW5uYUBoZXJlLmV4YW1wbGU=", "*"]).await.starts_with("501 5.7.0"));
    assert!(client.say(&["AUTH PLAIN =", "AUTH PLAIN !"]).await.starts_with("501 5.5.2"));
    let long = "A".repeat(20_000);
    assert!(client.say(&["AUTH LOGIN", &long]).await.starts_with("501 5.5.2"), "in constant memory");
    assert!(client.say(&["AUTH CRAM-MD5"]).await.starts_with("504 5.5.4"));
    // A SCRAM client that wants to act as somebody else: "n,a=bert,n=anna,r=x".
    assert!(client.say(&["AUTH SCRAM-SHA-256 bixhPWJlcnQsbj1hbm5hLHI9eA=="]).await.starts_with("535 5.7.8"));
    assert!(client.say(&["AUTH PLAIN AGFubmFAaGVyZS5leGFtcGxlAHdyb25n"]).await.starts_with("535 5.7.8"));
    assert_eq!(client.say(&[&format!("AUTH PLAIN {PLAIN}")]).await, "235 2.7.0 Authentication successful");
    assert!(client.say(&[&format!("AUTH PLAIN {PLAIN}")]).await.starts_with("503"));
    assert!(client.say(&["MAIL FROM:<bert@here.example>"]).await.starts_with("550 5.7.1"));
    assert!(client.say(&["MAIL FROM:<anna@here.example>"]).await.starts_with("250"));
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_every_kind_are_taken_or_refused_for_what_they_are() {
    let world = World::new().await;
    let mut client = world.connect(Role::Mx).await;
    client.say(&["EHLO [192.0.2.1]"]).await;
    for (path, code) in [
        ("<>", "250"),
        ("<@a.example,@b.example:x@far.example>", "250"),
        ("<x@[192.0.2.1]>", "250"),
        ("<x@[IPv6:2001:db8::1]>", "250"),
        ("<\"a b\\\"@c\"@far.example>", "250"),
        ("<j\u{f6}rg@far.example>", "501"),
        ("<j\u{f6}rg@far.example> SMTPUTF8", "250"),
        ("<x@far.example> SIZE=99999999999", "552 5.3.4"),
        ("<x@far.example> FOO=1", "555 5.5.4"),
        ("<a..b@far.example>", "250"),
        ("<a.@far.example>", "250"),
        ("<bounce@mail_out.far.example>", "250"),
        ("<x@far.example.>", "250"),
        ("<newsdesk+caf_=archive_0f1e2d3c-aaaa-bbbb-cccc-0123456789ab=box.here.example@mailhost.example>", "250"),
        ("<a b@far.example>", "501"),
        ("<a@@far.example>", "501"),
        ("<x@far.example", "501"),
    ] {
        let reply = client.say(&[&format!("MAIL FROM:{path}")]).await;
        assert!(reply.starts_with(code), "{path}: {reply}");
        client.say(&["RSET"]).await;
    }
    client.say(&["MAIL FROM:<>"]).await;
    for (path, code) in [
        ("<@relay.example:anna@here.example>", "250"),
        ("<\"anna\"@here.example>", "250"),
        ("<ANNA+tag@HERE.example>", "250"),
        ("<anna@here.example.>", "250"),
        ("<a..nna@here.example>", "550 5.1.1"),
        ("<anna%far.example@here.example>", "550 5.1.1"),
        ("<far.example!x@here.example>", "550 5.1.1"),
        ("<x@far.example>", "550 5.7.1"),
        ("<>", "501"),
    ] {
        let reply = client.say(&[&format!("RCPT TO:{path}")]).await;
        assert!(reply.starts_with(code), "{path}: {reply}");
    }
}

/// A client that has logged in with a password.
async fn submitter(world: &World, password: &str) -> Client {
    let mut client = world.connect(Role::Submission).await;
    let plain = STANDARD.encode(format!("\0anna@here.example\0{password}"));
    let reply = client.say(&["EHLO client.example", &format!("AUTH PLAIN {plain}")]).await;
    assert!(reply.starts_with("235"), "{reply}");
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn submission_ends_by_every_way_in_every_state_and_nothing_is_sent() {
    const MESSAGE: &str = "From: anna@here.example\r\nSubject: half\r\n\r\nhello\r\n";
    let envelope = ["MAIL FROM:<anna@here.example>", "RCPT TO:<anna@here.example>"];
    for way in ["password", "app password", "disabled", "deleted"] {
        let world = World::new().await;
        let app = world.directory.create_app_password(world.anna, "phone").await.unwrap();
        let used = if way == "app password" { &*app.password } else { PASSWORD };
        let mut clients = Vec::new();
        for state in ["quiet", "half a command", "recipients", "DATA", "BDAT", "between chunks"] {
            let mut client = submitter(&world, used).await;
            match state {
                "half a command" => client.write(b"MAIL FR").await.unwrap(),
                "recipients" => drop(client.say(&envelope).await),
                "DATA" => {
                    client.say(&envelope).await;
                    assert!(client.say(&["DATA"]).await.starts_with("354"));
                    client.write(MESSAGE.as_bytes()).await.unwrap();
                }
                "BDAT" => {
                    client.say(&envelope).await;
                    client.write(format!("BDAT {} LAST\r\n{}", MESSAGE.len() + 1, MESSAGE).as_bytes()).await.unwrap();
                }
                "between chunks" => {
                    client.say(&envelope).await;
                    client.write(format!("BDAT {}\r\n{MESSAGE}", MESSAGE.len()).as_bytes()).await.unwrap();
                    assert!(client.reply().await.starts_with("250"));
                }
                _ => {}
            }
            clients.push((state, client));
        }
        let (directory, id) = (&world.directory, world.anna);
        match way {
            "password" => directory.set_password(id, "another good one").await.unwrap(),
            "app password" => directory.revoke_app_password(id, app.id).await.unwrap(),
            "disabled" => directory.set_enabled(id, false).await.unwrap(),
            _ => directory.delete_account(id).await.unwrap(),
        }
        for (state, mut client) in clients {
            let end: &[u8] = match state {
                "DATA" => b".\r\n",
                "BDAT" => b"x",
                "between chunks" => b"BDAT 0 LAST\r\n",
                _ => b"",
            };
            // It may be gone already.
            let _ = client.write(end).await;
            let said = client.rest().await;
            assert!(said.is_empty() || said.starts_with("421 4.7.0 "), "{way}, {state}: {said}");
            assert!(end.is_empty() != said.is_empty() || !end.is_empty(), "{way}, {state}: not a word");
        }
        assert!(world.inbox().is_empty(), "{way}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_comes_while_its_account_is_deleted_is_refused_and_the_others_get_it() {
    let world = World::new().await;
    let bert = NewAccount {
        address: "bert@here.example".parse().unwrap(),
        name: "Bert".to_owned(),
        password: PASSWORD.to_owned(),
        role: AccountRole::User,
        quota_bytes: 0,
    };
    let bert = world.directory.create_account(bert).await.unwrap();
    let to_bert = ["EHLO x.example", "MAIL FROM:<x@far.example>", "RCPT TO:<bert@here.example>"];
    let (mut alone, mut both) = (world.connect(Role::Mx).await, world.connect(Role::Mx).await);
    alone.say(&to_bert).await;
    both.say(&to_bert).await;
    both.say(&["RCPT TO:<anna@here.example>"]).await;
    for client in [&mut alone, &mut both] {
        assert!(client.say(&["DATA"]).await.starts_with("354"));
        client.write(b"Subject: late\r\n\r\nhello\r\n").await.unwrap();
    }
    world.directory.delete_account(bert).await.unwrap();
    let reply = alone.say(&["."]).await;
    assert!(reply.starts_with("550 5.1.1"), "{reply}");
    let reply = both.say(&["."]).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(world.inbox().len(), 1);
    assert_eq!(world.mail.quota(bert.realm()).unwrap().messages, 0);
}

/// The store stops while a message waits for its acknowledgement: whether it is there nobody can say, so nothing is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_which_nobody_knows_what_became_gets_no_answer() {
    for by_chunks in [false, true] {
        let world = World::new().await;
        let mut client = world.connect(Role::Mx).await;
        client.begin().await;
        let store = world.store.clone();
        store.hold_acknowledgements(true);
        if by_chunks {
            client.write(b"BDAT 14 LAST\r\nSubject: x\r\n\r\n").await.unwrap();
        } else {
            assert!(client.say(&["DATA"]).await.starts_with("354"));
            client.write(b"Subject: x\r\n\r\ntext\r\n.\r\n").await.unwrap();
        }
        tokio::time::timeout(PATIENCE, async {
            while store.waits_for_acknowledgement().is_none() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        tokio::task::block_in_place(|| store.fence("another machine is the primary").unwrap());
        assert_eq!(client.rest().await, "", "neither 250 nor 451");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secure_transport_is_demanded_only_over_a_connection_that_has_it() {
    let world = World::new().await;
    let mut client = world.connect(Role::Mx).await;
    client.write(b"EHLO c.example\r\n").await.unwrap();
    let announced = client.reply().await;
    assert!(announced.contains("STARTTLS") && !announced.contains("REQUIRETLS"), "{announced}");
    client.write(b"MAIL FROM:<x@far.example> REQUIRETLS\r\n").await.unwrap();
    assert!(client.reply().await.starts_with("530 5.7.10 "));
}
