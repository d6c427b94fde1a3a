//! The way in.

use std::io::Write as _;

use delivery::{DeliveryError, Envelope, RecipientOutcome, RecipientRoute};
use store::RealmId;

use crate::fake::Fake;
use crate::world::{MESSAGE, World, address, envelope, options};

#[tokio::test(flavor = "multi_thread")]
async fn mail_for_accounts_here_is_filed_in_one_commit_and_never_queued() {
    let world = World::stopped(options(None)).await;
    let before = world.store.seq().0;
    let to = ["alice@here.example", "bob@here.example", "bob+tag@here.example"];
    let accepted = world.delivery.accept(envelope("x@far.example", &to, None), MESSAGE).await.unwrap();
    assert_eq!(world.store.seq().0, before + 1);
    let filed = RecipientOutcome::Filed;
    assert_eq!(accepted.recipients, [filed(world.alice), filed(world.bob), filed(world.bob)]);
    assert_eq!(world.stats().messages, 0);
    for account in [world.alice, world.bob] {
        let inbox = world.inbox(account);
        assert_eq!(inbox.len(), 1, "one copy, however many addresses lead there");
        let (head, rest) = inbox[0].split_once("From: Alice").unwrap();
        assert!(head.starts_with("Return-Path: <x@far.example>\r\nReceived: from client.example"), "{head}");
        assert!(head.contains(&accepted.id.to_string()));
        assert!(!head.contains("bob@") && !head.contains("alice@"), "recipients do not see each other: {head}");
        assert!(MESSAGE.ends_with(rest.as_bytes()));
    }
    world.check();
}
