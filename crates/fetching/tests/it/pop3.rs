//! By POP3.

use fetching::{Protocol, Settings, State, Trouble};

use crate::fake_pop3::Pop;
use crate::world::{World, message};

fn messages(numbers: std::ops::RangeInclusive<u32>) -> Vec<(String, Vec<u8>)> {
    numbers.map(|number| (format!("name{number}"), message(&format!("p {number}")))).collect()
}

fn settings(port: u16) -> Settings {
    Settings { protocol: Protocol::Pop3, ..World::settings(port) }
}

#[tokio::test]
async fn what_has_a_new_name_is_fetched_once_wherever_the_connection_ends() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |policy| policy.max_message_bytes = 2_000).await;
    let mut there = messages(1..=4);
    there[1].1.extend_from_slice(b".\r\n..dots\r\n");
    there.push(("large".to_owned(), [message("large"), b"x".repeat(5_000), b"\r\n".to_vec()].concat()));
    let pop = Pop::start(there.clone()).await;
    let id = world.add(settings(pop.port)).await;
    for commands in 0..12 {
        pop.state.lock().commands = Some(commands);
        let _ = world.fetch(id).await;
    }
    pop.state.lock().commands = None;
    let ended = world.fetch(id).await;
    assert!(ended.trouble.is_none(), "{:?}", ended.trouble);
    assert_eq!(world.subjects("INBOX"), ["p 1", "p 2", "p 3", "p 4"]);
    assert_eq!(ended.source.left_out(), 1);
    let row = &world.rows("INBOX")[1];
    let mail = world.mail.clone();
    let (realm, email) = (world.account.realm(), row.entry.email_id);
    let bytes =
        tokio::task::spawn_blocking(move || mail.body(realm, email).unwrap().read_all().unwrap()).await.unwrap();
    assert_eq!(bytes, there[1].1);
    pop.state.lock().messages.push(("name9".to_owned(), message("p 9")));
    assert_eq!(world.fetch(id).await.source.filed(), 5);
    assert_eq!(pop.state.lock().messages.len(), 6, "it was not asked to delete anything");
}

#[tokio::test]
async fn what_was_fetched_is_deleted_there_if_that_is_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |policy| policy.max_message_bytes = 2_000).await;
    let mut there = messages(1..=3);
    there.push(("large".to_owned(), [message("large"), b"x".repeat(5_000), b"\r\n".to_vec()].concat()));
    let pop = Pop::start(there).await;
    let id = world.add(Settings { delete: true, ..settings(pop.port) }).await;
    // All are here, and the session ends before QUIT: nothing was deleted.
    pop.state.lock().commands = Some(8);
    assert!(world.fetch(id).await.trouble.is_some());
    pop.state.lock().commands = None;
    for _ in 0..2 {
        let ended = world.fetch(id).await;
        assert!(ended.trouble.is_none(), "{:?}", ended.trouble);
        let left: Vec<String> = pop.state.lock().messages.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(left, ["large"]);
        assert_eq!(world.subjects("INBOX"), ["p 1", "p 2", "p 3"]);
    }
}

#[tokio::test]
async fn a_server_without_names_of_messages_is_refused_with_words() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path(), |_| {}).await;
    let pop = Pop::start(messages(1..=1)).await;
    pop.state.lock().has_uidl = false;
    let id = world.add(settings(pop.port)).await;
    let ended = world.fetch(id).await;
    assert!(matches!(ended.trouble, Some(Trouble::Hopeless(_))), "{:?}", ended.trouble);
    assert_eq!(ended.source.state, State::Broken);
    let (why, _) = ended.source.error.unwrap();
    assert!(why.contains("UIDL"), "{why}");
}
