//! What an account may send: its limits, and being stopped.

use axum::http::StatusCode;
use directory::OwnLimits;

use super::{act, trail};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_sets_limits_stops_an_account_and_lets_it_send_again() {
    let world = World::new().await;
    let mut boss = world.signed_in("ann").await;
    let bob = world.id("bob");
    let page = format!("/admin/accounts/{bob}");
    let id = bob.to_string();
    let fields = [("id", id.as_str()), ("do", "limits"), ("recipients-day", "7"), ("new-day", "0")];
    assert!(act(&mut boss, &page, "/admin/accounts", &fields).await.status.is_redirection());
    let own = world.directory.sending(bob).unwrap().unwrap().limits;
    let expected = OwnLimits { recipients_per_day: Some(7), new_per_day: Some(0), ..OwnLimits::default() };
    assert_eq!(own, expected);
    let wrong = [("id", id.as_str()), ("do", "limits"), ("recipients-day", "many")];
    let answer = act(&mut boss, &page, "/admin/accounts", &wrong).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(world.directory.sending(bob).unwrap().unwrap().limits, expected, "nothing was changed");

    let mut reader = world.signed_in("bob").await;
    assert!(!reader.get("/mail/inbox").await.has_code("sending-stopped"));
    assert!(
        act(&mut boss, &page, "/admin/accounts", &[("id", &id), ("do", "stop-sending")]).await.status.is_redirection()
    );
    assert!(world.directory.sending(bob).unwrap().unwrap().stopped.is_some());
    assert!(reader.get("/mail/inbox").await.has_code("sending-stopped"));
    assert!(
        act(&mut boss, &page, "/admin/accounts", &[("id", &id), ("do", "allow-sending")]).await.status.is_redirection()
    );
    assert!(world.directory.sending(bob).unwrap().unwrap().stopped.is_none());
    assert!(!reader.get("/mail/inbox").await.has_code("sending-stopped"));
    let trail = trail(&world);
    for what in ["allowed sending again", "stopped sending: ", "set its sending limits: "] {
        assert!(trail.iter().any(|line| line.contains(what) && line.starts_with("ann@")), "{what}: {trail:?}");
    }
}
