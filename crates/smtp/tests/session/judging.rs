//! What a client is told of a message about whose recipients different things were decided.

use std::sync::Arc;

use delivery::{Case, Delivery, DeliveryOptions, Hearing, Judge, JudgeError, Refusal, Spooled, Verdict};
use smtp::Role;

use crate::World;

/// Refuses by the recipient's local part: `never…` for good, `later…` for now; all else is taken.
struct ByName;

struct Names(Vec<String>);

impl Judge for ByName {
    fn name(&self) -> &'static str {
        "names"
    }

    fn begin(&self, case: &Arc<Case>) -> Option<Box<dyn Hearing>> {
        let names = case.envelope.recipients.iter().map(|recipient| recipient.address.local().to_owned());
        Some(Box::new(Names(names.collect())))
    }
}

#[async_trait::async_trait]
impl Hearing for Names {
    async fn verdicts(self: Box<Self>, _: &Spooled, _: &[Verdict]) -> Result<Vec<Verdict>, JudgeError> {
        let verdict = |name: &String| match name.split('+').next_back() {
            Some("never") => Verdict::refuse(Refusal::new(550, (5, 7, 1), "Rejected")),
            Some("later") => Verdict::refuse(Refusal::new(451, (4, 7, 1), "Greylisted")),
            _ => Verdict::default(),
        };
        Ok(self.0.iter().map(verdict).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lmtp_answers_each_recipient_by_its_verdict_and_smtp_refuses_only_what_all_refuse() {
    let mut world = World::new().await;
    let (store, directory, mail) = (world.store.clone(), world.directory.clone(), world.mail.clone());
    let options = DeliveryOptions { hostname: "mx.here.example".to_owned(), ..DeliveryOptions::default() };
    let delivery = Delivery::new(store, directory, mail, options).unwrap();
    world.delivery = delivery.with_judges(vec![Arc::new(ByName)]).unwrap();
    let whole = |name: &str| match name {
        "never" => "550 5.7.1 Rejected",
        "later" => "451 4.7.1 Greylisted",
        _ => "250 2.0.0 Ok: queued as ",
    };
    for names in [
        &["ok"][..],
        &["never"],
        &["later"],
        &["ok", "never"],
        &["never", "ok"],
        &["later", "ok", "never"],
        &["never", "later"],
        &["never", "never"],
    ] {
        for (role, by_bdat) in [(Role::Lmtp, false), (Role::Lmtp, true), (Role::Mx, false), (Role::Mx, true)] {
            let mut client = world.connect(role).await;
            let hello = if role == Role::Lmtp { "LHLO client.example" } else { "EHLO client.example" };
            client.say(&[hello, "MAIL FROM:<x@far.example>"]).await;
            for name in names {
                let address = if *name == "ok" { "anna".to_owned() } else { format!("anna+{name}") };
                let reply = client.say(&[&format!("RCPT TO:<{address}@here.example>")]).await;
                assert!(reply.starts_with("250"), "{reply}");
            }
            let text = "Subject: x\r\n\r\nHello\r\n";
            if by_bdat {
                client.write(format!("BDAT {} LAST\r\n{text}", text.len()).as_bytes()).await.unwrap();
            } else {
                assert!(client.say(&["DATA"]).await.starts_with("354"));
                client.write(format!("{text}.\r\n").as_bytes()).await.unwrap();
            }
            let mut replies = vec![client.reply().await];
            while role == Role::Lmtp && replies.len() < names.len() {
                replies.push(client.reply().await);
            }
            let expected: Vec<&str> = if role == Role::Lmtp {
                names.iter().map(|name| whole(name)).collect()
            } else {
                let best = ["ok", "later", "never"].into_iter().find(|name| names.contains(name)).unwrap();
                vec![whole(best)]
            };
            for (reply, expected) in replies.iter().zip(&expected) {
                assert!(reply.starts_with(expected), "{role:?} {names:?}: {replies:?}");
            }
            // Nothing else was said, and the session goes on.
            assert_eq!(client.say(&["NOOP"]).await, "250 2.0.0 Ok");
        }
    }
}
