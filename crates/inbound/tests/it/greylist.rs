//! Greylisting over SMTP sessions: what a stranger with suspicious mail hears at first, and after it has waited.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use delivery::{Case, Delivery, DeliveryOptions, Hearing, Judge};
use directory::{AccountId, NewAccount, Role as AccountRole};
use dnskit::{DnsError, Kind, Resolver, Zone};
use doorkit::{Conn, Tls};
use filter::spam::Spam;
use inbound::sender::{DnsPatience, Enforce, SenderCheck, SenderOptions};
use inbound::spam::{Greylist, SpamJudge};
use mailstore::Role as MailboxRole;
use people::People;
use smtp::{Role, SmtpDoor, SmtpOptions};
use tempfile::TempDir;
use testkit::House;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const HOST: &str = "mx.here.example";
const WAIT: Duration = Duration::from_secs(180);
/// A network of others that the operator trusts.
const TRUSTED: Ipv4Addr = Ipv4Addr::new(127, 51, 100, 9);

/// A judge to whom the loopback address `127.x.y.z` of a client is the public one `203.x.y.z`, on a clock that the test turns.
struct Outside<J> {
    judge: J,
    later_ms: Arc<AtomicI64>,
}

impl<J: Judge> Judge for Outside<J> {
    fn name(&self) -> &'static str {
        self.judge.name()
    }

    fn begin(&self, case: &Arc<Case>) -> Option<Box<dyn Hearing>> {
        let mut case = Case::clone(case);
        case.at_ms += self.later_ms.load(Ordering::SeqCst);
        if let Some(IpAddr::V4(peer)) = case.envelope.origin.peer {
            let [_, x, y, z] = peer.octets();
            case.envelope.origin.peer = Some(Ipv4Addr::new(203, x, y, z).into());
        }
        self.judge.begin(&Arc::new(case))
    }
}

struct World {
    dir: TempDir,
    house: House,
    delivery: Delivery,
    people: People,
    spam: Spam,
    zone: Arc<Zone>,
    later_ms: Arc<AtomicI64>,
    anna: AccountId,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let house = House::open(dir.path()).await;
        house.directory.add_domain("here.example").await.unwrap();
        let account = NewAccount {
            address: "anna@here.example".parse().unwrap(),
            name: String::new(),
            password: "correct horse battery".to_owned(),
            role: AccountRole::User,
            quota_bytes: 0,
        };
        let anna = house.directory.create_account(account).await.unwrap();
        let (people, spam) = (People::new(house.store.clone()), Spam::new(house.store.clone()));
        let zone = Arc::new(Zone::new());
        let options = SenderOptions {
            hostname: HOST.to_owned(),
            dmarc: Enforce::Reject,
            own_domains: Enforce::Reject,
            trusted_networks: Vec::new(),
            trusted_sealers: Vec::new(),
            patience: DnsPatience::new(Duration::from_secs(60)),
        };
        let resolver = Arc::clone(&zone) as Arc<dyn Resolver>;
        let check = SenderCheck::new(options, resolver, house.directory.clone(), house.mailstore.clone());
        let greylist = Greylist::new(WAIT, &["203.51.100.0/24".parse().unwrap()]);
        let judge = SpamJudge::new(spam.clone(), house.mailstore.clone(), people.clone()).greylisting(greylist);
        let later_ms = Arc::new(AtomicI64::new(0));
        let judges: Vec<Arc<dyn Judge>> = vec![
            Arc::new(Outside { judge: check, later_ms: Arc::clone(&later_ms) }),
            Arc::new(Outside { judge, later_ms: Arc::clone(&later_ms) }),
        ];
        let options = DeliveryOptions {
            hostname: HOST.to_owned(),
            verdict_time: Duration::from_secs(60),
            ..DeliveryOptions::default()
        };
        let delivery = Delivery::new(house.store.clone(), house.directory.clone(), house.mailstore.clone(), options)
            .and_then(|delivery| delivery.with_judges(judges))
            .unwrap();
        Self { dir, house, delivery, people, spam, zone, later_ms, anna }
    }

    fn wait(&self, time: Duration) {
        self.later_ms.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// One session from an address of this machine; gives the reply to the message.
    async fn send(&self, own: Ipv4Addr, from: &str, message: &str) -> String {
        let tls = Tls::self_signed(&self.dir.path().join("tls"), &["localhost".to_owned()]).unwrap();
        let options = SmtpOptions { role: Role::Mx, hostname: HOST.to_owned(), ..SmtpOptions::default() };
        let door = SmtpDoor::with_tls(self.house.directory.clone(), self.delivery.clone(), options, tls);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            door.serve_connection(Conn::from_tcp(stream).unwrap()).await;
        });
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((own, 0))).unwrap();
        let mut stream = BufReader::new(socket.connect(address).await.unwrap());
        assert!(reply(&mut stream).await.starts_with("220 "));
        for line in ["EHLO client.example", &format!("MAIL FROM:<{from}>"), "RCPT TO:<anna@here.example>"] {
            let said = say(&mut stream, line).await;
            assert!(said.starts_with("250"), "{line}: {said}");
        }
        assert!(say(&mut stream, "DATA").await.starts_with("354"));
        let said = say(&mut stream, &format!("{message}\r\n.")).await;
        // Nobody is hung up on: the session goes on.
        assert_eq!(say(&mut stream, "NOOP").await, "250 2.0.0 Ok");
        assert!(say(&mut stream, "QUIT").await.starts_with("221"));
        serving.await.unwrap();
        said
    }

    /// How many messages lie in the inbox, and how many in Spam.
    fn filed(&self) -> (usize, usize) {
        let realm = self.anna.realm();
        let count = |role| match self.house.mailstore.mailbox_by_role(realm, role).unwrap() {
            Some(mailbox) => self.house.mailstore.view(realm, mailbox.id).unwrap().len(),
            None => 0,
        };
        (count(MailboxRole::Inbox), count(MailboxRole::Junk))
    }
}

async fn reply(stream: &mut BufReader<TcpStream>) -> String {
    loop {
        let mut line = String::new();
        assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "the connection was closed");
        if line.as_bytes().get(3) != Some(&b'-') {
            return line.trim_end().to_owned();
        }
    }
}

async fn say(stream: &mut BufReader<TcpStream>, line: &str) -> String {
    stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
    reply(stream).await
}

/// Neither clearly wanted nor clearly spam: a link to a bare address that shows another site, a shouted subject, no Message-ID.
fn suspicious(from: &str) -> String {
    format!(
        "From: {from}\r\nTo: anna@here.example\r\nSubject: READ THIS IMMEDIATELY\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n\
         <p>See <a href=\"http://198.51.100.77/x\">https://shop.example/</a></p>"
    )
}

fn harmless(from: &str) -> String {
    format!(
        "From: {from}\r\nTo: anna@here.example\r\nSubject: Lunch\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <1@far.example>\r\n\r\nAt noon?"
    )
}

const LATER: &str = "451 4.7.1 Greylisted: please try again in 3 minutes";
const TAKEN: &str = "250 2.0.0 Ok: queued as ";

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_with_suspicious_mail_hears_451_and_its_retry_is_taken_once() {
    let world = World::new().await;
    let (stranger, neighbour, elsewhere) =
        (Ipv4Addr::new(127, 0, 113, 7), Ipv4Addr::new(127, 0, 113, 99), Ipv4Addr::new(127, 9, 9, 9));
    let mail = suspicious("eve@far.example");
    assert_eq!(world.send(stranger, "eve@far.example", &mail).await, LATER);
    world.wait(WAIT / 3);
    assert_eq!(world.send(stranger, "eve@far.example", &mail).await, LATER, "too soon");
    assert_eq!(world.send(elsewhere, "eve@far.example", &mail).await, LATER, "from another network it is no retry");
    assert_eq!(world.filed(), (0, 0), "what was refused is nowhere");
    assert!(world.send(elsewhere, "eve@far.example", &harmless("eve@far.example")).await.starts_with(TAKEN));
    assert_eq!(world.filed(), (1, 0), "what is not suspicious waits for nothing");
    world.wait(WAIT);
    assert!(world.send(neighbour, "eve@far.example", &mail).await.starts_with(TAKEN), "the network retries");
    assert_eq!(world.filed(), (2, 0));
    let other = suspicious("mallory@other.example");
    assert!(
        world.send(stranger, "mallory@other.example", &other).await.starts_with(TAKEN),
        "it has shown that it retries"
    );
    assert_eq!(world.filed(), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn known_senders_and_trusted_networks_and_mail_without_dns_are_never_asked_to_wait() {
    let world = World::new().await;
    let stranger = Ipv4Addr::new(127, 0, 113, 7);
    let mail = suspicious("eve@far.example");
    assert!(world.send(TRUSTED, "eve@far.example", &mail).await.starts_with(TAKEN), "a trusted network");

    world.zone.say("far.example", Kind::Txt, Err(DnsError::Temporary("no answer".to_owned())));
    assert!(world.send(stranger, "eve@far.example", &mail).await.starts_with(TAKEN), "the DNS has trouble");

    let realm = world.anna.realm();
    world.people.add_sender(realm, b"first", "Carl", "carl@else.example").await.unwrap();
    let mail = suspicious("carl@else.example");
    assert!(world.send(stranger, "carl@else.example", &mail).await.starts_with(TAKEN), "a contact");

    let allowed = filter::spam::Entry::new("dora@third.example", true).unwrap();
    world.spam.change_settings(realm, |settings| settings.list(allowed)).await.unwrap();
    let mail = suspicious("dora@third.example");
    assert!(world.send(stranger, "dora@third.example", &mail).await.starts_with(TAKEN), "on the allow list");
    assert_eq!(world.filed(), (4, 0));

    let mail = suspicious("fred@fourth.example");
    assert_eq!(world.send(stranger, "fred@fourth.example", &mail).await, LATER, "all others are");
    world.spam.change_settings(realm, |settings| settings.level = filter::spam::Level::Off).await.unwrap();
    assert!(world.send(stranger, "fred@fourth.example", &mail).await.starts_with(TAKEN), "the filter is off");
}
