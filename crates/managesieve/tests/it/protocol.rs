//! What commands do (RFC 5804 §2).

use rules::{MAX_NAME_BYTES, MAX_SCRIPTS};
use sieve::limits::MAX_SCRIPT_BYTES;

use crate::world::{World, literal};

const SCRIPT: &str = "require \"fileinto\";\r\nif header :contains \"subject\" \"ö\" {\r\n  fileinto \"A\";\r\n}\r\n";

#[tokio::test]
async fn a_script_is_checked_kept_listed_activated_read_renamed_and_deleted() {
    let world = World::new().await;
    let mut client = world.logged_in().await;
    client.ok("HAVESPACE \"main\" 4000").await;
    client.ok(&format!("CHECKSCRIPT {}", literal(SCRIPT))).await;
    assert!(world.rules.list(world.realm()).unwrap().is_empty(), "checking keeps nothing");
    client.ok(&format!("PUTSCRIPT \"main\" {}", literal(SCRIPT))).await;
    client.ok("PUTSCRIPT {6+}\r\nspäre \"keep;\"").await;
    assert_eq!(client.ok("LISTSCRIPTS").await, ["\"main\"", "\"späre\""]);
    client.ok("SETACTIVE \"main\"").await;
    assert_eq!(client.ok("listscripts").await, ["\"main\" ACTIVE", "\"späre\""]);
    assert_eq!(client.ok("GETSCRIPT \"main\"").await, [SCRIPT]);
    assert_eq!(world.rules.get(world.realm(), "main").unwrap(), SCRIPT);
    assert!(client.no("DELETESCRIPT \"main\"").await.starts_with("(ACTIVE) "));
    client.ok("RENAMESCRIPT \"main\" \"a \\\"b\\\" \\\\\"").await;
    assert_eq!(client.ok("LISTSCRIPTS").await[0], "a \"b\" \\ ACTIVE");
    assert!(client.no("RENAMESCRIPT \"a \\\"b\\\" \\\\\" {6+}\r\nspäre").await.starts_with("(ALREADYEXISTS) "));
    client.ok("SETACTIVE \"\"").await;
    assert!(world.rules.active(world.realm()).unwrap().is_none());
    client.ok("DELETESCRIPT {7+}\r\na \"b\" \\").await;
    for missing in ["GETSCRIPT", "DELETESCRIPT", "SETACTIVE"] {
        assert!(client.no(&format!("{missing} \"main\"")).await.starts_with("(NONEXISTENT) "), "{missing}");
    }
    assert!(client.no("RENAMESCRIPT \"main\" \"x\"").await.starts_with("(NONEXISTENT) "));
    client.ok("CHECKSCRIPT \"\"").await;
    client.ok("LOGOUT").await;
    assert_eq!(client.closed().await, "");
}

#[tokio::test]
async fn what_is_wrong_with_a_script_is_told_with_line_and_column_and_the_old_one_stays() {
    let world = World::new().await;
    let mut client = world.logged_in().await;
    client.ok("PUTSCRIPT \"main\" \"keep;\"").await;
    for (script, places) in [
        ("keep;\r\nfileinto \"x\";\r\n", vec!["line 2, column 1"]),
        ("require \"nothing\";", vec!["line 1, column 9"]),
        ("require \"fileinto\";\r\nif true {\r\n  frobnicate;\r\n}\r\nstop 1;\r\n", vec!["line 3, column 3", "line 5"]),
        ("require \"editheader\";\r\nrequire \"nothing\";", vec!["line 2, column 9"]),
        ("if \"ä\" ", vec!["line 1"]),
    ] {
        for command in ["CHECKSCRIPT", "PUTSCRIPT \"main\""] {
            let told = client.no(&format!("{command} {}", literal(script))).await;
            assert!(places.iter().all(|place| told.contains(place)), "{script:?}: {told}");
        }
    }
    assert_eq!(client.ok("GETSCRIPT \"main\"").await, ["keep;"]);
    client.ok("PUTSCRIPT \"main\" \"stop;\"").await;
    assert_eq!(client.ok("GETSCRIPT \"main\"").await, ["stop;"]);
}

#[tokio::test]
async fn names_are_any_text_without_what_the_rfc_forbids() {
    let world = World::new().await;
    let mut client = world.logged_in().await;
    let longest = "n".repeat(MAX_NAME_BYTES);
    for name in ["a", "a b", "Ünïcode ☃ 漢字", "x/y", "..", "{1+", "INBOX", "'", longest.as_str()] {
        client.ok(&format!("PUTSCRIPT {} \"keep;\"", literal(name))).await;
        assert_eq!(client.ok(&format!("GETSCRIPT {}", literal(name))).await, ["keep;"], "{name}");
        client.ok(&format!("DELETESCRIPT {}", literal(name))).await;
    }
    client.ok("PUTSCRIPT \"old\" \"keep;\"").await;
    let too_long = format!("{longest}n");
    for name in ["", "a\u{0}", "a\tb", "\u{7f}", "a\u{85}", "a\u{2028}", "\u{2029}b", "a\r\nb", too_long.as_str()] {
        for command in ["PUTSCRIPT # \"keep;\"", "HAVESPACE # 1", "RENAMESCRIPT \"old\" #"] {
            let answer = client.no(&command.replace('#', &literal(name))).await;
            assert!(!answer.contains("TRYLATER"), "{name:?}: {answer}");
        }
    }
    assert_eq!(client.ok("LISTSCRIPTS").await, ["\"old\""]);
}

#[tokio::test]
async fn limits_are_named_and_nothing_is_lost_over_them() {
    let world = World::new().await;
    let mut client = world.logged_in().await;
    let large = format!("# {}\r\nkeep;", "x".repeat(MAX_SCRIPT_BYTES - 9));
    assert_eq!(large.len(), MAX_SCRIPT_BYTES);
    // Up to eight of the largest fit.
    for number in 0..8 {
        client.ok(&format!("PUTSCRIPT \"{number}\" {}", literal(&large))).await;
    }
    assert!(client.no("PUTSCRIPT \"9\" \"keep;\"").await.starts_with("(QUOTA/MAXSIZE) "));
    assert!(client.no("HAVESPACE \"9\" 1").await.starts_with("(QUOTA/MAXSIZE) "));
    client.ok(&format!("HAVESPACE \"7\" {MAX_SCRIPT_BYTES}")).await;
    for command in ["PUTSCRIPT \"1\"", "CHECKSCRIPT"] {
        let larger = format!("{large}\r\n");
        assert!(client.no(&format!("{command} {}", literal(&larger))).await.starts_with("(QUOTA/MAXSIZE) "));
    }
    assert!(client.no("HAVESPACE \"1\" 4294967295").await.starts_with("(QUOTA/MAXSIZE) "));
    client.ok("NOOP").await;
    for number in 0..MAX_SCRIPTS {
        client.ok(&format!("PUTSCRIPT \"{number}\" \"keep;\"")).await;
    }
    assert!(client.no("PUTSCRIPT \"more\" \"keep;\"").await.starts_with("(QUOTA/MAXSCRIPTS) "));
    assert!(client.no("HAVESPACE \"more\" 1").await.starts_with("(QUOTA/MAXSCRIPTS) "));
    client.ok("PUTSCRIPT \"0\" \"stop;\"").await;
    // One for which no memory is taken, and no time.
    client.send(b"PUTSCRIPT \"0\" {4000000000+}\r\n").await;
    assert!(client.closed().await.starts_with("BYE (QUOTA/MAXSIZE) "));
    assert_eq!(world.rules.get(world.realm(), "0").unwrap(), "stop;");
}

#[tokio::test]
async fn commands_that_come_together_are_answered_in_their_order() {
    let world = World::new().await;
    let mut client = world.logged_in().await;
    let mut all = String::new();
    for number in 0..20 {
        all += &format!("PUTSCRIPT \"{number:02}\" {}\r\nNOOP \"t{number}\"\r\n", literal(SCRIPT));
    }
    client.send(all.as_bytes()).await;
    for number in 0..20 {
        assert!(client.answer().await[0].starts_with("OK"));
        assert!(client.answer().await[0].starts_with(&format!("OK (TAG \"t{number}\") ")));
    }
    assert_eq!(client.ok("LISTSCRIPTS").await.len(), 20);
}

#[tokio::test]
async fn a_script_that_is_right_is_kept_with_warnings_about_what_it_does() {
    let world = World::new().await;
    let mut client = world.logged_in().await;
    for (script, places) in [
        ("keep;", vec![]),
        ("require \"fileinto\";\r\nfileinto \"Archive\";\r\n", vec![]),
        ("require \"fileinto\";\r\nfileinto \"Nowhere\";\r\n", vec!["line 2, column 1"]),
        ("require \"fileinto\";\r\nstop;\r\nif true { fileinto \"Nowhere\"; }\r\n", vec!["line 3, column 1"]),
        ("stop;\r\n keep;\r\n", vec!["line 2, column 2"]),
    ] {
        for command in ["CHECKSCRIPT", "PUTSCRIPT \"main\""] {
            let told = client.say(&format!("{command} {}", literal(script))).await;
            assert!(told.starts_with("OK"), "{script:?}: {told}");
            assert_eq!(told.contains("(WARNINGS)"), !places.is_empty(), "{script:?}: {told}");
            assert!(places.iter().all(|place| told.contains(place)), "{script:?}: {told}");
        }
        assert_eq!(world.rules.get(world.realm(), "main").unwrap(), script);
    }
}
