//! Each rule is shown a small tree in which it is kept, and one in which it is broken.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{look, violation::Violation};

const RULES: &str = r#"
floors = [["ground", "earth"], ["work"], ["door", "gate"]]
never = [["door", "ground"]]
exceptions = []
"#;

/// A small repository, which goes when it is dropped.
struct Tree(PathBuf);

impl Tree {
    /// Files by name; the crates' manifests, roots and the rules are made where they are missing.
    fn new(files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("tidy-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let tree = Self(std::env::temp_dir().join(name));
        tree.write("xtask/tidy.toml", RULES);
        tree.write("xtask/src/main.rs", "fn main() {}\n");
        tree.write("crates/ground/Cargo.toml", "[package]\nname = \"ground\"\n");
        tree.write("crates/ground/src/lib.rs", "");
        for (name, text) in files {
            tree.write(name, text);
        }
        tree
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn look(&self) -> Vec<Violation> {
        look(&self.0).unwrap()
    }

    /// Rule and place of each violation.
    fn places(&self) -> Vec<(&'static str, String, usize)> {
        self.look().into_iter().map(|one| (one.rule, one.file.display().to_string(), one.line)).collect()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn crate_of_ground(files: &[(&str, &str)]) -> Tree {
    let files: Vec<(String, &str)> =
        files.iter().map(|(name, text)| (format!("crates/ground/src/{name}"), *text)).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    Tree::new(&files)
}

fn rings(files: &[(&str, &str)]) -> usize {
    crate_of_ground(files).look().iter().filter(|one| one.rule == "ring").count()
}

#[test]
fn a_tree_in_order_has_nothing_to_say() {
    assert_eq!(Tree::new(&[]).look(), []);
}

#[test]
fn arrows_between_crates_point_down_only() {
    let manifest = |name: &str, used: &str| format!("[package]\nname = \"{name}\"\n\n[dependencies]\n{used}\n");
    for (name, used, is_broken) in [
        ("work", "ground.workspace = true", false),
        ("door", "work.workspace = true", false),
        ("gate", "ground = { path = \"../ground\" }", false),
        ("door", "serde = \"1\"", false),
        ("work", "door.workspace = true", true),
        ("work", "door = { path = \"../door\" }", true),
        // Doors stand beside each other.
        ("door", "gate.workspace = true", true),
        ("door", "ground.workspace = true", true),
    ] {
        let tree = Tree::new(&[
            (&format!("crates/{name}/Cargo.toml"), &manifest(name, used)),
            (&format!("crates/{name}/src/lib.rs"), ""),
        ]);
        let wanted = is_broken.then(|| ("arrow", format!("crates/{name}/Cargo.toml"), 5));
        assert_eq!(tree.places(), wanted.into_iter().collect::<Vec<_>>(), "{name}: {used}");
    }
    // What tests alone need does not count.
    let tests = "[package]\nname = \"door\"\n\n[dev-dependencies]\nground.workspace = true\ngate.workspace = true\n";
    let tree = Tree::new(&[("crates/door/Cargo.toml", tests), ("crates/door/src/lib.rs", "")]);
    assert_eq!(tree.look(), []);
}

#[test]
fn a_crate_without_a_floor_is_found() {
    let tree = Tree::new(&[("crates/new/Cargo.toml", "[package]\nname = \"new\"\n"), ("crates/new/src/lib.rs", "")]);
    assert_eq!(tree.places(), [("arrow", "crates/new/Cargo.toml".to_owned(), 2)]);
}

#[test]
fn three_files_in_a_circle_are_a_ring_and_two_are_not() {
    let three = [
        ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
        ("a.rs", "use crate::b::B;\npub struct A(B);\n"),
        ("b.rs", "use crate::c::C;\npub struct B(C);\n"),
        ("c.rs", "use crate::a::A;\npub struct C(A);\n"),
    ];
    let tree = crate_of_ground(&three);
    assert_eq!(tree.places(), [("ring", "crates/ground/src/a.rs".to_owned(), 1)]);
    assert!(tree.look()[0].what.contains("b.rs -> c.rs: crate::c::C"), "{:?}", tree.look());
    let two = [three[0], three[1], ("b.rs", "use crate::a::A;\npub struct B(A);\n"), ("c.rs", "pub struct C;\n")];
    assert_eq!(rings(&two), 0);
}

#[test]
fn every_way_to_name_something_is_an_arrow() {
    for last in [
        "use super::a::A;\npub struct C(A);\n",
        "use super::{b, a::{self, A}};\npub struct C(A);\n",
        "use crate::a::A as Other;\npub struct C(Other);\n",
        "use crate::a::*;\npub struct C(A);\n",
        "pub struct C(crate::a::A);\n",
        "use crate::a;\npub struct C(a::A);\n",
        "use super::*;\npub struct C(a::A);\n",
        "pub struct C;\nimpl C { fn f() -> u8 { super::a::f() } }\n",
        "use crate::A;\npub struct C(A);\n",
        "use crate::Renamed;\npub struct C(Renamed);\n",
    ] {
        let files = [
            ("lib.rs", "mod a;\nmod b;\nmod c;\npub use a::A;\npub use a::A as Renamed;\n"),
            ("a.rs", "use crate::b::B;\npub struct A(B);\npub fn f() -> u8 { 1 }\n"),
            ("b.rs", "use crate::c::C;\npub struct B(C);\n"),
            ("c.rs", last),
        ];
        assert_eq!(rings(&files), 1, "{last}");
    }
}

#[test]
fn what_is_no_arrow_makes_no_ring() {
    for last in [
        "pub struct C;\n",
        "// use crate::a::A;\npub struct C;\n",
        "/* crate::a::A /* nested */ crate::a::A */\npub struct C;\n",
        "/// See [`crate::a::A`].\npub struct C;\n",
        "pub struct C;\nconst TEXT: &str = \"crate::a::A\";\nconst RAW: &str = r#\"\"crate::a::A\"\"#;\nconst ONE: char = '\"';\n",
        "pub struct C;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n",
        "pub struct C;\n#[cfg(test)]\nuse crate::a::A;\n",
        "pub struct C;\nuse a::A;\n",
    ] {
        let files = [
            ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
            ("a.rs", "use crate::b::B;\npub struct A(B);\n"),
            ("b.rs", "use crate::c::C;\npub struct B(C);\n"),
            ("c.rs", last),
        ];
        assert_eq!(rings(&files), 0, "{last}");
    }
}

#[test]
fn a_parent_that_declares_and_hands_on_is_in_no_ring_and_one_that_uses_is() {
    let children = [
        ("room/one.rs", "use super::Kept;\npub struct One(Kept);\n"),
        ("room/two.rs", "use super::Kept;\npub struct Two(Kept);\n"),
    ];
    let hands_on = "mod one;\nmod two;\npub use one::One;\npub(crate) use two::Two;\npub struct Kept;\n";
    let uses = "mod one;\nmod two;\nuse one::One;\npub struct Kept;\nfn f(_: One, _: two::Two) {}\n";
    assert_eq!(rings(&[("lib.rs", "mod room;\n"), ("room.rs", hands_on), children[0], children[1]]), 0);
    assert_eq!(rings(&[("lib.rs", "mod room;\n"), ("room.rs", uses), children[0], children[1]]), 1);
}

#[test]
fn a_function_fits_on_a_screen() {
    let of = |lines: usize| format!("fn long() {{\n{}}}\n", "    work();\n".repeat(lines - 2));
    assert_eq!(crate_of_ground(&[("lib.rs", &of(70))]).look(), []);
    assert_eq!(
        crate_of_ground(&[("lib.rs", &of(71))]).places(),
        [("function", "crates/ground/src/lib.rs".to_owned(), 1)]
    );
    let hidden = format!("mod m {{\n    impl X {{\n    pub async {}    }}\n}}\n", of(71));
    assert_eq!(
        crate_of_ground(&[("lib.rs", &hidden)]).places(),
        [("function", "crates/ground/src/lib.rs".to_owned(), 3)]
    );
    let array = of(71).replace("long()", "long() -> [u8; 32]");
    assert_eq!(
        crate_of_ground(&[("lib.rs", &array)]).places(),
        [("function", "crates/ground/src/lib.rs".to_owned(), 1)]
    );
    // Braces in texts and characters close nothing; a test may tell a long story.
    let texts = format!("fn short() {{ f(\"}}\", '}}', b'{{', r#\"}}\"#); }}\n{}", "fn next() {}\n".repeat(80));
    assert_eq!(crate_of_ground(&[("lib.rs", &texts)]).look(), []);
    let test = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", of(90));
    assert_eq!(crate_of_ground(&[("lib.rs", &test)]).look(), []);
}

#[test]
fn a_function_takes_at_most_six_parameters() {
    for (source, is_broken) in [
        ("fn f(a: A, b: B, c: C, d: D, e: E, g: G) {}", false),
        ("fn f(a: A, b: B, c: C, d: D, e: E, g: G,) {}", false),
        ("fn f(&mut self, a: A, b: B, c: C, d: D, e: E, g: G) {}", false),
        ("fn f(self: Arc<Self>, a: A, b: B, c: C, d: D, e: E, g: G) {}", false),
        (
            "fn f<'a, F: Fn(A, B) -> C, const N: usize>(a: [A; N], f: F, c: HashMap<K, (V, W)>, (d, e): (D, E)) {}",
            false,
        ),
        ("fn f(call: fn(A, B, C, D, E, F, G, H) -> I) {}", false),
        ("fn f(a: A, b: B, c: C, d: D, e: E, g: G, h: H) {}", true),
        ("fn f(&'a self, a: A, b: B, c: C, d: D, e: E, g: G, h: H) {}", true),
        ("trait T { fn f<F: Fn(A) -> B>(a: F, b: HashMap<K, V>, c: C, d: D, e: E, g: G, h: H); }", true),
    ] {
        let wanted: Vec<_> =
            is_broken.then(|| ("function", "crates/ground/src/lib.rs".to_owned(), 1)).into_iter().collect();
        assert_eq!(crate_of_ground(&[("lib.rs", source)]).places(), wanted, "{source}");
    }
}

#[test]
fn a_file_has_at_most_six_hundred_lines_tests_too() {
    let lines = |count: usize| "// a line\n".repeat(count);
    let tree = |count: usize| Tree::new(&[("crates/ground/tests/it/main.rs", &lines(count))]);
    assert_eq!(tree(600).look(), []);
    assert_eq!(tree(601).places(), [("file", "crates/ground/tests/it/main.rs".to_owned(), 601)]);
}

#[test]
fn an_exception_covers_as_many_places_as_it_says_and_no_more_or_fewer() {
    let exception = |at_most: usize| {
        let line = format!("{{ rule = \"file\", path = \"crates/ground\", at_most = {at_most}, reason = \"why\" }}");
        RULES.replace("exceptions = []", &format!("exceptions = [{line}]"))
    };
    let tree = |at_most: usize| {
        let long = "// a line\n".repeat(601);
        let files = [("crates/ground/src/a.rs", &*long), ("crates/ground/src/b.rs", &long)];
        let tree = Tree::new(&files);
        tree.write("xtask/tidy.toml", &exception(at_most));
        tree
    };
    let count = |at_most: usize, rule: &str| tree(at_most).look().iter().filter(|one| one.rule == rule).count();
    assert_eq!((count(2, "file"), count(2, "exception")), (0, 0));
    assert_eq!((count(1, "file"), count(1, "exception")), (2, 0), "one more has come");
    assert_eq!((count(3, "file"), count(3, "exception")), (0, 1), "one is gone");
    for wrong in [
        "{ rule = \"file\", path = \"crates\", at_most = 1 }",
        "{ rule = \"file\", path = \"crates\", at_most = 1, reason = \" \" }",
        &"{ rule = \"file\", path = \"crates\", at_most = 0, reason = \"why\" }, ".repeat(11),
    ] {
        let tree = Tree::new(&[]);
        tree.write("xtask/tidy.toml", &RULES.replace("exceptions = []", &format!("exceptions = [{wrong}]")));
        assert!(look(Path::new(&tree.0)).is_err(), "{wrong}");
    }
}
