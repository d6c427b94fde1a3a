use proptest::prelude::*;

use super::*;

fn letter(uid: u32, id: &str, ancestors: &[&str], subject: &str) -> Letter {
    let base = subject.trim_start_matches("re: ");
    Letter {
        uid: Uid(uid),
        date_ms: i64::from(uid),
        internal_date_ms: i64::from(uid),
        subject: base.to_owned(),
        is_reply: base != subject,
        id: id.to_owned(),
        ancestors: ancestors.iter().map(|id| (*id).to_owned()).collect(),
    }
}

/// `1(2(3)4)`: children in brackets, `-` for a message that is missing.
fn shown(forest: &ThreadForest) -> String {
    fn write(forest: &ThreadForest, at: usize, out: &mut String) {
        let node = &forest.nodes[at];
        *out += &node.uid.map_or("-".to_owned(), |uid| uid.0.to_string());
        if !node.children.is_empty() {
            *out += "(";
            for (i, child) in node.children.iter().enumerate() {
                *out += if i > 0 { " " } else { "" };
                write(forest, *child, out);
            }
            *out += ")";
        }
    }
    let mut out = String::new();
    for (i, root) in forest.roots.iter().enumerate() {
        out += if i > 0 { " " } else { "" };
        write(forest, *root, &mut out);
    }
    out
}

#[test]
fn replies_stand_under_what_they_answer() {
    let letters = [
        letter(1, "a", &[], "x"),
        letter(2, "b", &["a"], "x"),
        letter(3, "c", &["a", "b"], "x"),
        letter(4, "d", &["a"], "x"),
        letter(5, "e", &[], "y"),
    ];
    assert_eq!(shown(&by_references(&letters, true)), "1(2(3) 4) 5");
}

#[test]
fn answers_to_a_missing_message_belong_together() {
    let letters = [letter(1, "a", &["gone"], ""), letter(2, "b", &["gone"], ""), letter(3, "c", &["lost", "a"], "")];
    assert_eq!(shown(&by_references(&letters, true)), "-(1(3) 2)");
    let alone = [letter(1, "a", &["gone", "lost"], "")];
    assert_eq!(shown(&by_references(&alone, true)), "1");
}

#[test]
fn two_messages_that_name_each_other_are_no_circle() {
    let letters = [letter(1, "a", &["b"], "x"), letter(2, "b", &["a"], "y")];
    let shown = shown(&by_references(&letters, true));
    assert!(shown == "1(2)" || shown == "2(1)", "{shown}");
}

#[test]
fn the_second_message_with_an_id_is_a_message_of_its_own() {
    let letters = [letter(1, "a", &[], "x"), letter(2, "a", &[], "y"), letter(3, "c", &["a"], "z")];
    assert_eq!(shown(&by_references(&letters, true)), "1(3) 2");
}

#[test]
fn equal_subjects_join_threads_in_references_but_not_in_refs() {
    let letters = [letter(1, "a", &[], "x"), letter(2, "b", &[], "re: x"), letter(3, "c", &[], "x")];
    assert_eq!(shown(&by_references(&letters, true)), "-(1(2) 3)");
    assert_eq!(shown(&by_references(&letters, false)), "1 2 3");
    let answered_first = [letter(1, "a", &[], "re: x"), letter(2, "b", &[], "x")];
    assert_eq!(shown(&by_references(&answered_first, true)), "2(1)");
    let same = [letter(1, "a", &[], "x"), letter(2, "b", &[], "x"), letter(3, "c", &[], "re: x")];
    assert_eq!(shown(&by_references(&same, true)), "-(1 2 3)");
}

#[test]
fn refs_puts_the_thread_with_the_newest_message_last() {
    let letters = [letter(1, "a", &[], "x"), letter(2, "b", &[], "y"), letter(3, "c", &["a"], "x")];
    assert_eq!(shown(&by_references(&letters, false)), "2 1(3)");
    assert_eq!(shown(&by_references(&letters, true)), "1(3) 2");
}

#[test]
fn by_subject_alone_all_answers_are_siblings() {
    let letters =
        [letter(1, "", &[], "x"), letter(2, "", &[], "y"), letter(3, "", &[], "re: x"), letter(4, "", &[], "x")];
    assert_eq!(shown(&by_subject(&letters)), "1(3 4) 2");
}

proptest! {
    #[test]
    fn every_message_is_there_once_whatever_it_refers_to(
        letters in proptest::collection::vec(
            (0u8..6, proptest::collection::vec(0u8..8, 0..4), 0u8..3, any::<bool>()),
            0..12,
        ),
        join in any::<bool>(),
    ) {
        let letters: Vec<Letter> = letters.into_iter().zip(1..).map(|((id, ancestors, subject, is_reply), uid)| Letter {
            uid: Uid(uid),
            date_ms: i64::from(uid % 3),
            internal_date_ms: i64::from(uid),
            subject: ["", "x", "y"][usize::from(subject)].to_owned(),
            is_reply,
            id: if id == 0 { String::new() } else { id.to_string() },
            ancestors: ancestors.iter().map(u8::to_string).filter(|other| *other != id.to_string()).collect(),
        }).collect();
        let forest = by_references(&letters, join);
        let mut seen = Vec::new();
        let mut left = forest.roots.clone();
        while let Some(at) = left.pop() {
            let node = &forest.nodes[at];
            seen.extend(node.uid.map(|uid| uid.0));
            // Only a root may be missing, and only if that keeps several together.
            prop_assert!(node.uid.is_some() || (forest.roots.contains(&at) && node.children.len() > 1));
            left.extend_from_slice(&node.children);
        }
        seen.sort_unstable();
        prop_assert_eq!(seen, (1..=letters.len() as u32).collect::<Vec<_>>());
    }
}
