//! Nobody is told that something is done before another machine has it too, where that is waited for.

use std::time::Duration;

use crate::service::server::{MESSAGE, Server};

/// Returns once more than `others` wait for the other machine.
async fn waiting(server: &Server, others: usize) {
    while server.store.waiting_for_acknowledgement() <= others {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_already_is_answered_no_earlier_than_the_first_time() {
    let server = Server::start().await;
    let store = server.store.clone();
    let (mut a, mut b) = (server.login().await, server.login().await);
    for _ in 0..7 {
        a.append("INBOX", MESSAGE).await.ok();
    }
    a.run("CREATE Old").await.ok();
    a.run("CREATE Gone").await.ok();
    a.run("SELECT INBOX").await.ok();
    a.run("UID STORE 2:4 +FLAGS (\\Deleted)").await.ok();
    store.hold_acknowledgements(true);
    store.acknowledge(store.seq());
    // What the first says, and what another connection says that finds it done.
    let cases = [
        ("UID STORE 1 +FLAGS (\\Seen)", "UID STORE 1 +FLAGS (\\Seen)", "OK"),
        ("UID STORE 1 +FLAGS.SILENT ($Work)", "UID STORE 1 +FLAGS.SILENT ($Work)", "OK"),
        ("UID STORE 1 FLAGS (\\Flagged)", "STORE 1 FLAGS (\\Flagged)", "OK"),
        ("UID STORE 1 -FLAGS (\\Flagged)", "UID STORE 1 -FLAGS.SILENT (\\Flagged)", "OK"),
        ("UID EXPUNGE 2", "UID EXPUNGE 2", "OK"),
        ("UID EXPUNGE 3", "UID STORE 3 +FLAGS.SILENT (\\Deleted)", "OK"),
        ("EXPUNGE", "EXPUNGE", "OK"),
        ("UID MOVE 5 Archive", "UID MOVE 5 Archive", "OK"),
        ("UID COPY 6 Old", "UID COPY 5 Old", "OK"),
        ("UID STORE 6 +FLAGS.SILENT (\\Deleted)", "UID STORE 6 +FLAGS.SILENT (\\Deleted)", "OK"),
        ("UID EXPUNGE 6", "CLOSE", "OK"),
        ("CREATE New", "CREATE New", "NO [ALREADYEXISTS]"),
        ("DELETE Gone", "DELETE Gone", "NO [NONEXISTENT]"),
        ("RENAME New Newer", "RENAME New Newer", "NO [ALREADYEXISTS]"),
        ("SUBSCRIBE Newer", "SUBSCRIBE Newer", "OK"),
        ("UNSUBSCRIBE Newer", "UNSUBSCRIBE Newer", "OK"),
    ];
    for (first, again, answer) in cases {
        let seq = store.snapshot().seq().unwrap();
        let told_a = a.start(first).await;
        waiting(&server, 0).await;
        assert!(store.snapshot().seq().unwrap() > seq, "{first}: it can be read");
        // Reading goes on.
        b.run("SELECT INBOX").await.ok();
        let others = store.waiting_for_acknowledgement();
        let told_b = b.start(again).await;
        let told_b = tokio::select! {
            biased;
            said = b.finish(&told_b) => panic!("{again}: {said:?} before the other machine had it"),
            () = waiting(&server, others) => told_b,
        };
        // Some take more than one commit.
        let both = async { (a.finish(&told_a).await.ok(), b.finish(&told_b).await).1 };
        let acknowledging = async {
            loop {
                store.acknowledge(store.seq());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let said = tokio::select! {
            said = both => said,
            () = acknowledging => unreachable!("it never ends"),
        };
        assert!(said.tagged.starts_with(answer), "{again}: {said:?}");
    }
    // Reading waits for nobody, and what it marks is told.
    b.run("SELECT INBOX").await.ok();
    let read = b.run("UID FETCH 7 BODY[]").await.ok();
    assert!(read.untagged.iter().any(|line| line.contains("\\Seen")), "{read:?}");
    assert_eq!(store.waiting_for_acknowledgement(), 0);
}
