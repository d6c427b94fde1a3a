//! What is open ends when what it was opened with no longer holds, and deletes nothing on its way out.

use crate::world::{Client, LOGIN, PASSWORD, World};

const STATES: [&str; 4] = ["quiet", "half a command", "after DELE", "in RETR"];
const WAYS: [&str; 4] = ["password", "app password", "disabled", "deleted"];

async fn log_in(world: &World, password: &str) -> Client {
    let mut client = world.connect().await;
    client.ok(&format!("USER {LOGIN}")).await;
    client.ok(&format!("PASS {password}")).await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn every_session_ends_by_every_way_in_every_state() {
    let large = [b"Subject: large\r\n\r\n".to_vec(), b"0123456789abcdef\r\n".repeat(1_000_000)].concat();
    for way in WAYS {
        let world = World::new().await;
        world.file(&large).await;
        world.file(b"Subject: small\r\n\r\nx\r\n").await;
        let app = world.directory.create_app_password(world.account, "phone").await.unwrap();
        let used = if way == "app password" { &*app.password } else { PASSWORD };
        let mut clients = Vec::new();
        for state in STATES {
            let mut client = log_in(&world, used).await;
            match state {
                "half a command" => client.send(b"STA").await,
                "after DELE" => drop(client.ok("DELE 2").await),
                "in RETR" => drop(client.ok("RETR 1").await),
                _ => {}
            }
            clients.push((state, client));
        }
        let (directory, id) = (&world.directory, world.account);
        match way {
            "password" => directory.set_password(id, "another good one").await.unwrap(),
            "app password" => directory.revoke_app_password(id, app.id).await.unwrap(),
            "disabled" => directory.set_enabled(id, false).await.unwrap(),
            _ => directory.delete_account(id).await.unwrap(),
        }
        for (state, mut client) in clients {
            if state == "in RETR" {
                let rest = client.rest().await;
                assert!(rest.len() < large.len() && !rest.windows(4).any(|w| w == b"-ERR"), "{way}, {state}");
                continue;
            }
            let line = client.line().await;
            assert!(line.as_ref().is_some_and(|line| line.starts_with("-ERR [AUTH]")), "{way}, {state}: {line:?}");
            assert_eq!(client.line().await, None, "{way}, {state}");
        }
        assert_eq!(world.uids().len(), 2, "{way}: nothing was deleted");
    }
}
