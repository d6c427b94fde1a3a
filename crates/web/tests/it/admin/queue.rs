//! The queue.

use axum::http::StatusCode;
use delivery::QueueFilter;

use super::{act, trail};
use crate::world::{Browser, World};

/// Ann sends a message to recipients elsewhere, which nobody delivers here.
async fn send(ann: &mut Browser, to: &str) {
    let form = ann.get("/compose").await;
    let fields = [
        ("csrf", form.csrf()),
        ("key", form.value("key")),
        ("from", "ann@example.org".to_owned()),
        ("to", to.to_owned()),
        ("subject", "Boat".to_owned()),
        ("text", "Is it afloat?".to_owned()),
        ("do", "send".to_owned()),
    ];
    let sent = ann.compose(&fields, &[]).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text());
}

fn queued(world: &World) -> Vec<delivery::QueuedMessage> {
    world.delivery.queue_list(&QueueFilter::default(), None, 100).unwrap().messages
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_the_queue_is_looked_at_held_tried_returned_and_dropped() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    let empty = ann.get("/admin/queue").await.text();
    assert!(empty.contains("Nothing is waiting to go out.") && !empty.contains("value=\"drop\""));
    send(&mut ann, "carl@xn--mnchen-3ya.example, dora@far.example").await;
    let id = queued(&world)[0].id.to_string();
    let page = format!("/admin/queue/{id}");
    let list = ann.get("/admin/queue").await.text();
    assert!(
        list.contains(&page) && list.contains("1 message for 2 recipients wait to go out; none is held."),
        "{list}"
    );
    let one = ann.get(&page).await.text();
    for what in ["carl@münchen.example", "dora@far.example", "ann@example.org", "Try now", "Return to sender"] {
        assert!(one.contains(what), "{what}");
    }
    assert!(one.contains("value=\"hold\"") && !one.contains("value=\"release\""));
    let mut held = false;
    for (verb, audited) in [("hold", "held"), ("release", "released"), ("retry", "retried"), ("hold", "held")] {
        let done = act(&mut ann, &page, "/admin/queue", &[("do", verb), ("id", &id)]).await;
        assert_eq!(done.location(), format!("{page}?done=queue{verb}"), "{verb}");
        held = matches!((verb, held), ("hold", _) | ("retry", true));
        assert_eq!(queued(&world)[0].held, held, "{verb}");
        assert_eq!(trail(&world)[0], format!("ann@example.org: {audited} message {id} in the queue"));
        assert!(ann.get(&done.location()).await.text().contains("class=\"toast"), "{verb} is told");
    }
    // What can't be undone is asked first.
    for verb in ["return", "drop"] {
        let asked = act(&mut ann, &page, "/admin/queue", &[("do", verb), ("id", &id)]).await;
        assert!(asked.status == StatusCode::OK && asked.text().contains("name=\"sure\" value=\"1\""), "{verb}");
        assert_eq!(queued(&world).len(), 1, "{verb}");
    }
    let inbox = world.mailbox("ann", mailstore::Role::Inbox).total;
    act(&mut ann, &page, "/admin/queue", &[("do", "return"), ("id", &id), ("sure", "1")]).await;
    assert!(queued(&world).is_empty());
    assert_eq!(world.mailbox("ann", mailstore::Role::Inbox).total, inbox + 1, "the sender is told");
    send(&mut ann, "dora@far.example").await;
    let id = queued(&world)[0].id.to_string();
    let inbox = world.mailbox("ann", mailstore::Role::Inbox).total;
    let done = act(&mut ann, "/admin/queue", "/admin/queue", &[("do", "drop"), ("id", &id), ("sure", "1")]).await;
    assert_eq!(done.location(), "/admin/queue?done=queuedrop");
    assert!(queued(&world).is_empty() && world.mailbox("ann", mailstore::Role::Inbox).total == inbox);
    assert_eq!(trail(&world)[0], format!("ann@example.org: dropped message {id} in the queue"));
    // One that is gone: told, nothing done.
    for verb in ["retry", "hold", "release", "return", "drop"] {
        let gone = act(&mut ann, "/admin/queue", "/admin/queue", &[("do", verb), ("id", &id), ("sure", "1")]).await;
        assert!(gone.text().contains("Nothing was done") || gone.location().ends_with(verb), "{verb}: {}", gone.text());
    }
    assert_eq!(ann.get(&format!("/admin/queue/{id}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(ann.get("/admin/queue/nonsense").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_on_all_is_on_those_that_the_filter_lets_through() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    for to in ["a@far.example", "b@far.example", "c@near.example", "d@xn--mnchen-3ya.example"] {
        send(&mut ann, to).await;
    }
    let held = || queued(&world).iter().filter(|message| message.held).count();
    for (verb, q, state, after) in [
        ("hold", "far.example", "", 2),
        ("hold", "münchen.example", "", 3),
        ("release", "@FAR.example", "", 1),
        ("hold", "bob@example.org", "", 1),
        ("hold", "ann@example.org", "waiting", 4),
        ("release", "", "", 0),
        ("hold", "near.example", "held", 0),
        ("retry", "", "", 0),
    ] {
        let fields = [("do", verb), ("id", "all"), ("q", q), ("state", state)];
        act(&mut ann, "/admin/queue", "/admin/queue", &fields).await;
        assert_eq!(held(), after, "{verb} {q} {state}");
        let found = ann.get(&format!("/admin/queue?q={q}&state={state}").replace('ü', "%C3%BC")).await;
        assert_eq!(found.status, StatusCode::OK);
    }
    assert_eq!(trail(&world)[0], "ann@example.org: retried 4 messages in the queue");
    // All of them go only after \u{201c}all\u{201d} was typed.
    for typed in ["", "yes", "ALL!"] {
        let fields = [("do", "drop"), ("id", "all"), ("sure", "1"), ("typed", typed)];
        let asked = act(&mut ann, "/admin/queue", "/admin/queue", &fields).await;
        assert!(!asked.wrong("typed").is_empty(), "{typed}");
        assert_eq!(queued(&world).len(), 4, "{typed}");
    }
    let fields = [("do", "drop"), ("id", "all"), ("q", "far.example"), ("sure", "1"), ("typed", "all")];
    act(&mut ann, "/admin/queue", "/admin/queue", &fields).await;
    assert_eq!(queued(&world).len(), 2);
    assert_eq!(trail(&world)[0], "ann@example.org: dropped 2 messages in the queue");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_on_those_selected_leaves_the_others() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    for to in ["a@far.example", "b@far.example", "c@near.example"] {
        send(&mut ann, to).await;
    }
    let ids: Vec<String> = queued(&world).iter().map(|message| message.id.to_string()).collect();
    let held = || queued(&world).iter().map(|message| message.held).collect::<Vec<_>>();
    let some = |verb: &'static str, which: &[usize], more: &[(&'static str, &'static str)]| {
        let mut fields = vec![("do", verb), ("id", "selected"), ("q", ""), ("state", "")];
        fields.extend(which.iter().map(|at| ("ids", ids[*at].as_str())));
        fields.extend(more);
        fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
    };
    let here = "/admin/queue";
    let mut press = async |fields: Vec<(String, String)>| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        act(&mut ann, here, here, &fields).await
    };
    let none = press(some("hold", &[], &[])).await;
    assert!(none.status == StatusCode::OK && held() == [false; 3] && none.text().contains("No message is selected"));
    assert_eq!(press(some("hold", &[0, 2], &[])).await.location(), "/admin/queue?done=queuehold");
    assert_eq!(held(), [true, false, true]);
    assert_eq!(trail(&world)[0], "ann@example.org: held 2 messages in the queue");
    // Pressed again, it stays as it is.
    press(some("hold", &[0, 2], &[])).await;
    assert_eq!(held(), [true, false, true]);
    press(some("release", &[2], &[])).await;
    assert_eq!(held(), [true, false, false]);
    let asked = press(some("drop", &[0, 1], &[])).await;
    let text = asked.text();
    assert!(text.contains(&ids[0]) && text.contains("b@far.example") && !text.contains(&ids[2]), "{text}");
    assert_eq!(queued(&world).len(), 3, "asked first");
    press(some("drop", &[0, 1], &[("sure", "1")])).await;
    assert_eq!(queued(&world).len(), 1);
    assert_eq!(trail(&world)[0], "ann@example.org: dropped 2 messages in the queue");
    // What is gone, and what is no id, is passed over.
    let mut gone = some("hold", &[0, 2], &[]);
    gone.push(("ids".to_owned(), "nonsense".to_owned()));
    press(gone).await;
    assert_eq!(held(), [true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_act_the_same_messages_are_shown() {
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    send(&mut ann, "a@far.example").await;
    let fields = [("do", "hold"), ("id", "all"), ("q", "far.example"), ("state", "waiting")];
    let done = act(&mut ann, "/admin/queue", "/admin/queue", &fields).await;
    assert_eq!(done.location(), "/admin/queue?state=waiting&q=far.example&done=queuehold");
}
