//! Promises about what a contact holds beyond names and addresses, about books, pictures, duplicates and files.

use std::collections::BTreeSet;

use people::import::{Incoming, read};
use people::invariants::check_account;
use people::merge::Book;
use people::pictures::{MAX_PICTURE_BYTES, PictureError};
use people::vcard::Version;
use people::{
    Card, ContactId, Edit, Filter, Further, GroupId, Labelled, People, PeopleError, PictureChange, Postal, ShelfId,
    When,
};
use prost::Message as _;
use store::{RealmId, Store, StoreOptions};

const ANN: RealmId = RealmId::account(1);

struct World {
    people: People,
    store: Store,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
        Self { people: People::new(store.clone()), store, _folder: folder }
    }

    async fn add(&self, card: Card) -> ContactId {
        let key: [u8; 16] = rand_key();
        self.people.save(ANN, &key, None, card, None).await.unwrap().contact.unwrap()
    }

    async fn import(&self, file: &[u8]) -> [usize; 4] {
        let done = self.people.import(ANN, read(file), &mut |_| {}).await.unwrap();
        [done.added, done.changed, done.known, done.problems.len()]
    }

    fn card(&self, id: ContactId) -> Card {
        self.people.contact(ANN, id).unwrap().unwrap().card
    }

    fn only(&self) -> Card {
        self.people.page(ANN, None, 5).unwrap().contacts.remove(0).card
    }

    /// All of it, with pictures.
    fn written(&self, version: Version) -> String {
        let mut out = String::new();
        self.people
            .export(ANN, Filter::default(), version, &mut |text| {
                out.push_str(&text);
                true
            })
            .unwrap();
        out
    }

    fn sound(&self) {
        assert_eq!(check_account(&self.store.snapshot(), ANN).unwrap(), [""; 0]);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.store.close();
    }
}

fn rand_key() -> [u8; 16] {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
}

fn png(seed: u8) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x02".to_vec();
    bytes.extend([seed; 40]);
    bytes
}

fn vcard(lines: &[&str]) -> Vec<u8> {
    format!("BEGIN:VCARD\r\nVERSION:3.0\r\n{}\r\nEND:VCARD\r\n", lines.join("\r\n")).into_bytes()
}

#[test]
fn a_record_of_an_older_build_is_read_and_written_as_it_was() {
    // Name, another name, address with label, number, organisation, note, UID, parts, a kept line.
    let old =
        b"\x0a\x03Zoe\x12\x02Zo\x1a\x0f\x0a\x07z@x.org\x12\x04home\x22\x06\x0a\x04+471\x2a\x04Port\x32\x01n\x3a\x01u\
                \x42\x09Quill;Zoe\x4a\x0dBDAY:19701123";
    let card = Card::decode(&old[..]).unwrap();
    assert_eq!((card.name.as_str(), card.kept.len(), card.shelf), ("Zoe", 1, 0));
    assert!(card.pictures.is_empty());
    assert_eq!(card.encode_to_vec(), old, "what is not used takes no room and changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_written_as_lines_and_lines_that_say_the_same_stay() {
    let world = World::new();
    let file = vcard(&[
        "FN:Zoe",
        "item1.ADR;type=HOME;type=pref:;;1 Quay\\, Back;Harbour;;4711;Norway",
        "item1.X-ABADR:no",
        "item2.URL;X-KEPT=1:https://zoe.example/",
        "item2.X-ABLabel:_$!<HomePage>!$_",
        "BDAY;X-APPLE-OMIT-YEAR=1604:1604-11-23",
        "X-JABBER:zoe@jabber.example",
        "ROLE:Captain",
        "X-ANYTHING;P=\"a;b\":kept\\, too",
    ]);
    assert_eq!(world.import(&file).await, [1, 0, 0, 0]);
    let page = world.people.page(ANN, None, 5).unwrap();
    let (id, before) = (page.contacts[0].id, page.contacts[0].card.clone());
    let mut further = before.further();
    assert_eq!(further.birthday, When::day(None, 11, 23));
    assert_eq!(further.websites, [Labelled { text: "https://zoe.example/".into(), label: "HomePage".into() }]);
    assert_eq!(further.chats[0].label, "jabber");
    // Saved as it was, nothing changes.
    let edit = |further: &Further| Edit { card: before.clone(), further: Some(further.clone()), ..Edit::default() };
    world.people.edit(ANN, &rand_key(), Some(id), edit(&further)).await.unwrap();
    assert_eq!(world.card(id), before);
    // One field changed changes one line.
    further.websites[0].text = "https://other.example/".into();
    further.postal.push(Postal {
        label: "Summer house".into(),
        parts: ["", "", "Two\nlines", "Town; x", "", "", ""].map(str::to_owned),
    });
    further.anniversary = When::day(Some(2009), 8, 8);
    world.people.edit(ANN, &rand_key(), Some(id), edit(&further)).await.unwrap();
    let after = world.card(id);
    assert_eq!(after.further(), further);
    let (old, new): (BTreeSet<&String>, BTreeSet<&String>) =
        (before.kept.iter().collect(), after.kept.iter().collect());
    let gone: Vec<&&String> = old.difference(&new).collect();
    assert_eq!(gone.len(), 2, "{gone:?}");
    assert!(gone.iter().all(|line| line.starts_with("item2.")), "{gone:?}");
    // Emptied, the lines of fields go, and no others.
    world.people.edit(ANN, &rand_key(), Some(id), edit(&Further::default())).await.unwrap();
    let left = world.card(id);
    assert_eq!(left.further(), Further::default());
    assert!(left.kept.iter().any(|line| line == "X-ANYTHING;P=\"a;b\":kept\\, too"), "{:?}", left.kept);
    assert!(left.kept.iter().any(|line| line.starts_with("ROLE:")), "{:?}", left.kept);
    world.sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_follow_their_parts_and_parts_their_name() {
    let world = World::new();
    let full = |name: &str, parts: [&str; 5]| Edit {
        card: Card { parts: people::vcard::parts_of_name(&parts.map(str::to_owned)), ..Card::of(name, "a@x.org") },
        further: Some(Further::default()),
        ..Edit::default()
    };
    let made = full("", ["Quill; the", "Zoe", "B.", "Dr.", "jr."]);
    let id = world.people.edit(ANN, &rand_key(), None, made).await.unwrap().contact.unwrap();
    assert_eq!(world.card(id).name, "Dr. Zoe B. Quill; the jr.");
    // Another part, and the name that was made of them follows.
    let other = full("Dr. Zoe B. Quill; the jr.", ["Quill", "Zoe", "", "", ""]);
    world.people.edit(ANN, &rand_key(), Some(id), other).await.unwrap();
    assert_eq!(world.card(id).name, "Zoe Quill");
    // A name of its own beside the old parts: they are not its parts.
    world.people.edit(ANN, &rand_key(), Some(id), full("Captain", ["Quill", "Zoe", "", "", ""])).await.unwrap();
    assert_eq!((world.card(id).name.as_str(), world.card(id).parts.as_str()), ("Captain", ""));
    for name in [
        "\u{627}\u{644}\u{639}\u{631}\u{628}\u{64a}\u{629}",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
        "\u{674e}\u{5c0f}\u{9f99}",
        "e\u{301}",
        "\u{1f469}\u{200d}\u{1f680}",
    ] {
        let id = world.people.edit(ANN, &rand_key(), None, full(name, [""; 5])).await.unwrap().contact.unwrap();
        assert_eq!(world.card(id).name, name);
    }
    let note = Edit { card: Card { note: "n".repeat(5_000), ..Card::of("Long", "l@x.org") }, ..Edit::default() };
    let id = world.people.edit(ANN, &rand_key(), None, note).await.unwrap().contact.unwrap();
    assert_eq!(world.card(id).note.len(), 5_000);
    world.sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_saves_an_old_form_is_told_and_nothing_is_lost() {
    let world = World::new();
    let id = world.add(Card::of("Zoe", "zoe@x.org")).await;
    let seen = world.people.version(ANN, id).unwrap();
    let edit = |name: &str| Edit { card: Card::of(name, "zoe@x.org"), seen: seen.clone(), ..Edit::default() };
    world.people.edit(ANN, b"one", Some(id), edit("Zoe One")).await.unwrap();
    let late = world.people.edit(ANN, b"two", Some(id), edit("Zoe Two")).await;
    assert!(matches!(late, Err(PeopleError::Changed)), "{late:?}");
    assert_eq!(world.card(id).name, "Zoe One");
    // The same press again is the same act, not a change by someone else.
    assert!(world.people.edit(ANN, b"one", Some(id), edit("Zoe One")).await.unwrap().repeated);
    // Groups count as well.
    let seen = world.people.version(ANN, id).unwrap();
    world.people.create_group(ANN, b"g", "Crew").await.unwrap();
    let group: GroupId = world.people.groups(ANN).unwrap()[0].id;
    world.people.set_members(ANN, group, vec![id], true).await.unwrap();
    assert_ne!(world.people.version(ANN, id).unwrap(), seen);
    assert_eq!(world.people.version(ANN, ContactId(5)).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_stored_beside_bounded_and_go_when_nobody_needs_them() {
    let world = World::new();
    let id = world.add(Card::of("Zoe", "zoe@x.org")).await;
    let set = |bytes: Vec<u8>| Edit {
        card: Card::of("Zoe", "zoe@x.org"),
        picture: PictureChange::Set(bytes.into()),
        ..Edit::default()
    };
    for (bytes, error) in [
        (b"<svg/>".to_vec(), PictureError::Unknown),
        (b"<html><script>".to_vec(), PictureError::Unknown),
        ([png(0), vec![0; MAX_PICTURE_BYTES]].concat(), PictureError::TooLarge),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), PictureError::TooManyPixels),
    ] {
        let refused = world.people.edit(ANN, &rand_key(), Some(id), set(bytes)).await;
        assert!(matches!(refused, Err(PeopleError::Picture(known)) if known == error), "{error}: {refused:?}");
    }
    world.people.edit(ANN, b"set", Some(id), set(png(1))).await.unwrap();
    let (kind, bytes) = world.people.picture(ANN, id).unwrap().unwrap();
    assert_eq!((kind, &bytes[..]), ("image/png", &png(1)[..]));
    assert!(world.card(id).encoded_len() < 200, "the record only refers to it");
    let other = world.add(Card::of("Yan", "yan@x.org")).await;
    world.people.edit(ANN, &rand_key(), Some(other), set(png(1))).await.unwrap();
    assert_eq!(world.people.picture_bytes(ANN).unwrap(), png(1).len() as u64, "twice is stored once");
    world.people.edit(ANN, &rand_key(), Some(id), set(png(2))).await.unwrap();
    world.people.undo(ANN, b"set").await.unwrap();
    let remove = Edit { card: world.card(id), picture: PictureChange::Remove, ..Edit::default() };
    world.people.edit(ANN, b"gone", Some(id), remove).await.unwrap();
    assert!(world.people.picture(ANN, id).unwrap().is_none());
    world.people.maintain(ANN).await.unwrap();
    world.people.undo(ANN, b"gone").await.unwrap();
    assert_eq!(&world.people.picture(ANN, id).unwrap().unwrap().1[..], png(2), "undo brings it back");
    world.sound();
    world.people.purge(ANN).await.unwrap();
    assert_eq!(world.people.picture_bytes(ANN).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn books_are_made_renamed_and_deleted_and_each_can_be_undone() {
    let world = World::new();
    let people = &world.people;
    let (zoe, yan) = (world.add(Card::of("Zoe", "z@x.org")).await, world.add(Card::of("Yan", "y@x.org")).await);
    people.create_shelf(ANN, b"c", "Club").await.unwrap();
    let club: ShelfId = people.shelves(ANN).unwrap()[0].id;
    for taken in ["club", "Contacts", "CONTACTS"] {
        let refused = people.create_shelf(ANN, &rand_key(), taken).await;
        assert!(matches!(refused, Err(PeopleError::BookExists(_))), "{taken}: {refused:?}");
    }
    assert!(matches!(people.create_shelf(ANN, &rand_key(), "  ").await, Err(PeopleError::NoName)));
    let of = |shelf: Option<ShelfId>| {
        let page = people.page_of(ANN, Some(shelf), None, "", 10).unwrap();
        page.contacts.into_iter().map(|one| one.card.name).collect::<Vec<_>>()
    };
    people.move_to(ANN, b"m", vec![zoe], Some(club)).await.unwrap();
    assert_eq!((of(Some(club)), of(None)), (vec!["Zoe".to_owned()], vec!["Yan".to_owned()]));
    people.delete_shelf(ANN, b"d", club).await.unwrap();
    assert_eq!(of(None), ["Yan", "Zoe"], "nobody is lost with a book");
    assert!(matches!(people.move_to(ANN, &rand_key(), vec![yan], Some(club)).await, Err(PeopleError::NoSuchBook)));
    people.undo(ANN, b"d").await.unwrap();
    assert_eq!(of(Some(club)), ["Zoe"]);
    people.rename_shelf(ANN, b"r", club, "Team").await.unwrap();
    people.undo(ANN, b"r").await.unwrap();
    assert_eq!(people.shelves(ANN).unwrap()[0].name, "Club");
    people.copy_to(ANN, b"k", vec![zoe, yan], Some(club)).await.unwrap();
    assert_eq!(of(Some(club)), ["Yan", "Zoe", "Zoe"]);
    people.undo(ANN, b"k").await.unwrap();
    people.undo(ANN, b"m").await.unwrap();
    assert_eq!(of(None), ["Yan", "Zoe"]);
    // A group that is deleted can be brought back, with its members.
    people.create_group(ANN, b"g", "Crew").await.unwrap();
    let crew = people.groups(ANN).unwrap()[0].id;
    people.set_members(ANN, crew, vec![zoe, yan], true).await.unwrap();
    people.delete_group(ANN, b"x", crew).await.unwrap();
    world.sound();
    people.undo(ANN, b"x").await.unwrap();
    assert_eq!(people.groups(ANN).unwrap()[0].members.len(), 2);
    world.sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_brings_fields_books_and_pictures_back_and_twice_is_as_once() {
    let world = World::new();
    let people = &world.people;
    people.create_shelf(ANN, b"c", "Club").await.unwrap();
    let club = people.shelves(ANN).unwrap()[0].id;
    let edit = Edit {
        card: Card::of("Zoe", "z@x.org"),
        further: Some(Further { birthday: When::day(None, 2, 29), ..Further::default() }),
        picture: PictureChange::Set(png(7).into()),
        shelf: Some(Some(club)),
        ..Edit::default()
    };
    let id = people.edit(ANN, b"e", None, edit).await.unwrap().contact.unwrap();
    let mut then = people.book(ANN).unwrap();
    // As a past that comes from elsewhere: its pictures travel with it.
    let hash = then.contacts[&id].pictures[0].hash.clone();
    then.pictures.insert(hash, png(7).into());
    people.purge(ANN).await.unwrap();
    let back = |book: Book| world.store.transact(move |tx| People::rewind_in(tx, ANN, &book));
    assert!(back(then.clone()).await.unwrap() > 0);
    assert_eq!(world.card(id).further().birthday, When::day(None, 2, 29));
    assert_eq!(&people.picture(ANN, id).unwrap().unwrap().1[..], png(7));
    assert_eq!(people.page_of(ANN, Some(Some(club)), None, "", 5).unwrap().contacts.len(), 1);
    world.sound();
    assert_eq!(back(then.clone()).await.unwrap(), 0);
    // A picture that is nowhere is forgotten, not missed.
    then.pictures.clear();
    people.purge(ANN).await.unwrap();
    back(then).await.unwrap();
    assert!(!world.card(id).has_picture());
    world.sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_either_version_comes_back_the_same_and_twice_changes_nothing() {
    let world = World::new();
    let photo = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(png(3))
    };
    let first = vcard(&[
        "FN:Zoe Quill",
        "N:Quill;Zoe;;Dr.;",
        "EMAIL;TYPE=home:z@x.org",
        "item1.EMAIL:q@x.org",
        "item1.X-ABLabel:Boat",
        "item2.URL:https://blog.example/",
        "item2.X-ABLabel:Blog",
        "TEL;TYPE=cell:+47 1",
        "TEL;TYPE=work,pref:+47 2",
        "BDAY:--1123",
        "ANNIVERSARY:20090808",
        &format!("PHOTO;ENCODING=b;TYPE=PNG:{photo}"),
        "LOGO;ENCODING=b;TYPE=GIF:R0lGODlh",
        "X-UNKNOWN:x",
    ]);
    // Another card whose lines bear the same names.
    let second = vcard(&["FN:Zoe Quill", "EMAIL:z@x.org", "item1.ADR:;;1 Quay;;;;", "item1.X-ABLabel:Summer"]);
    let no_name = vcard(&["FN:", "ORG:Port", "TEL:1"]);
    let all = [first, second, no_name].concat();
    assert_eq!(world.import(&all).await[0], 2);
    assert_eq!(world.import(&all).await, [0, 0, 3, 0]);
    let card = world.people.search(ANN, "zoe", Filter::default(), 5).unwrap().0.remove(0).card;
    assert_eq!(card.further().postal[0].label, "Summer");
    assert_eq!(card.further().websites[0].label, "Blog");
    assert_eq!(card.phones[0].number, "+47 2", "the preferred number stands first");
    for version in [Version::V3, Version::V4] {
        let text = world.written(version);
        assert!(text.lines().all(|line| line.len() <= 75), "{text}");
        assert_eq!(world.import(text.as_bytes()).await, [0, 0, 2, 0], "{text}");
        let other = World::new();
        assert_eq!(other.import(text.as_bytes()).await[0], 2);
        let theirs = other.people.search(ANN, "zoe", Filter::default(), 5).unwrap().0.remove(0).card;
        assert_eq!(
            (theirs.further(), &theirs.addresses, &theirs.phones),
            (card.further(), &card.addresses, &card.phones)
        );
        assert_eq!((&theirs.parts, &theirs.pictures.len()), (&card.parts, &1));
        assert_eq!(other.people.picture_bytes(ANN).unwrap(), png(3).len() as u64);
        assert!(theirs.kept.iter().any(|line| line == "X-UNKNOWN:x"));
        other.sound();
    }
    let three = world.written(Version::V3);
    assert!(three.contains("VERSION:3.0") && three.contains("X-APPLE-OMIT-YEAR=1604:1604-11-23"), "{three}");
    assert!(three.contains("PHOTO;ENCODING=b;TYPE=PNG:") && !three.contains(";PREF=1"), "{three}");
    let table = people::csv::write(&world.people.book(ANN).unwrap());
    assert_eq!(world.import(&table).await, [0, 0, 2, 0], "{}", String::from_utf8_lossy(&table));
    world.sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_fill_the_fields_and_cells_are_no_formulas() {
    let world = World::new();
    let outlook = "First Name,Last Name,Job Title,Company,Department,E-mail Address,Home Street,Home Street 2,Home City,Home Postal Code,\
                   Home Country/Region,Birthday,Web Page\r\nZoe,Quill,Captain,Port,Boats,z@x.org,1 Quay,Back,Harbour,4711,Norway,\
                   11/23/1970,https://z.example/\r\n";
    assert_eq!(world.import(outlook.as_bytes()).await, [1, 0, 0, 0]);
    let card = world.only();
    let further = card.further();
    assert_eq!(card.organisation, "Port; Boats");
    assert_eq!((further.title.as_str(), further.birthday.clone()), ("Captain", When::day(Some(1970), 11, 23)));
    assert_eq!(further.postal[0].envelope(), "1 Quay\nBack\n4711 Harbour\nNorway");
    assert_eq!((further.postal[0].label.as_str(), further.websites.len()), ("home", 1));
    assert!(card.note.is_empty(), "{}", card.note);
    let google = "Name,E-mail 1 - Value,Address 1 - Label,Address 1 - Street,Address 1 - City,Website 1 - Label,Website 1 - Value,\
                  Birthday\nYan,y@x.org,* Work,2 Road,Town,Blog,https://y.example/,--02-29\n";
    assert_eq!(world.import(google.as_bytes()).await, [1, 0, 0, 0]);
    let yan = world.people.search(ANN, "yan", Filter::default(), 5).unwrap().0.remove(0).card.further();
    assert_eq!((yan.postal[0].label.as_str(), yan.websites[0].label.as_str()), ("work", "blog"));
    assert_eq!(yan.birthday, When::day(None, 2, 29));
    let guesses = people::csv::guesses(google.as_bytes());
    assert_eq!(
        (guesses[1].holds.as_str(), guesses[1].examples.as_slice()),
        ("email address", &["y@x.org".to_owned()][..])
    );
    for name in ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)"] {
        world
            .add(Card {
                organisation: name.into(),
                note: name.into(),
                ..Card::of(name, &format!("a{}@x.org", name.len()))
            })
            .await;
    }
    let table = String::from_utf8(people::csv::write(&world.people.book(ANN).unwrap())).unwrap();
    for cell in ["\"=1", ",=1", "\n=1", ",+cmd", "\n+cmd", ",-2", "\n-2", ",@SUM", "\n@SUM"] {
        assert!(!table.contains(cell), "{cell}: {table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_files_are_bounded_and_say_where() {
    let world = World::new();
    for (file, added) in [(&b""[..], 0), (b"BEGIN:VCARD\r\nEND:VCARD\r\n", 0), (b"BEGIN:VCARD", 0), (b"\xff\xfe", 0)] {
        let [new, _, _, problems] = world.import(file).await;
        assert_eq!((new, problems > 0), (added, true), "{file:?}");
    }
    let many = vec!["X-A:b"; 200_000];
    let [new, _, _, problems] = world.import(&vcard(&[&["FN:Many"][..], &many].concat())).await;
    assert_eq!((new, problems), (1, 1), "the rest of a card that never ends is left out");
    let large = format!("PHOTO;ENCODING=b;TYPE=JPEG:{}", "/9j/".repeat(MAX_PICTURE_BYTES / 2));
    let done = world.people.import(ANN, read(&vcard(&["FN:Face", &large])), &mut |_| {}).await.unwrap();
    assert_eq!((done.added, done.problems.len()), (1, 1), "{done:?}");
    assert!(done.problems[0].what.contains("picture") && done.problems[0].line == 1, "{done:?}");
    let bomb = format!("X-BOMB:{}", "x".repeat(people::MAX_KEPT_BYTES + 1));
    let [new, _, _, problems] = world.import(&vcard(&["FN:Bomb", &bomb])).await;
    assert_eq!((new, problems), (0, 1));
    let bad: String = (0..300).map(|_| "BEGIN:VCARD\r\nFN:\r\nEND:VCARD\r\n").collect();
    let Incoming { problems, more_problems, .. } = read(bad.as_bytes());
    assert_eq!(problems.len() + more_problems, 300);
    let endless = format!("BEGIN:VCARD\r\nFN;ENCODING=QUOTED-PRINTABLE:{}\r\nEND:VCARD\r\n", "=\r\n".repeat(300_000));
    read(endless.as_bytes());
    world.sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_twice_is_found_merged_and_taken_apart_again() {
    let world = World::new();
    let zoe = world.add(Card { organisation: "Port".into(), ..Card::of("Zo\u{eb} Quill", "z@x.org") }).await;
    let same_name = world.add(Card::of("zoe  quill", "other@x.org")).await;
    let mut by_phone = Card::of("Q", "q@x.org");
    by_phone.phones.push(people::Phone { number: "+47 123 45 678".into(), label: String::new() });
    let q = world.add(by_phone.clone()).await;
    let number = Card {
        name: "Captain".into(),
        phones: vec![people::Phone { number: "(0047) 12345678".into(), label: "cell".into() }],
        ..Card::default()
    };
    let captain = world.add(number).await;
    world.add(Card::of("Alone", "alone@x.org")).await;
    let sets = |found: people::Duplicates| -> BTreeSet<BTreeSet<ContactId>> {
        found.sets.iter().map(|set| set.iter().map(|one| one.id).collect()).collect()
    };
    let (names, phones) = (BTreeSet::from([zoe, same_name]), BTreeSet::from([q, captain]));
    assert_eq!(sets(world.people.duplicates(ANN).unwrap()), BTreeSet::from([names.clone(), phones.clone()]));
    let (contacts, merged) = world.people.merged(ANN, &[zoe, same_name, zoe]).unwrap();
    assert_eq!((contacts.len(), merged.addresses.len()), (2, 2));
    assert_eq!(world.people.count(ANN).unwrap(), 5, "a preview changes nothing");
    assert!(matches!(world.people.merged(ANN, &[zoe, zoe]), Err(PeopleError::NothingToMerge)));
    world.people.keep_apart(ANN, b"k", vec![captain, q]).await.unwrap();
    assert_eq!(sets(world.people.duplicates(ANN).unwrap()), BTreeSet::from([names.clone()]));
    world.people.undo(ANN, b"k").await.unwrap();
    world.people.merge(ANN, b"m", vec![zoe, same_name]).await.unwrap();
    assert_eq!(world.card(zoe).addresses, merged.addresses, "merging makes what was shown");
    assert_eq!(sets(world.people.duplicates(ANN).unwrap()), BTreeSet::from([phones]));
    world.people.undo(ANN, b"m").await.unwrap();
    assert!(sets(world.people.duplicates(ANN).unwrap()).contains(&names));
    world.sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_and_birthdays_are_those_of_the_list() {
    let world = World::new();
    for (name, birthday) in [
        ("ann", When::day(Some(1990), 12, 1)),
        ("Anton", When::day(None, 2, 28)),
        ("\u{d6}zt\u{fc}rk", When::day(Some(2000), 2, 29)),
        ("9 Lives", None),
        ("bob", When::day(Some(1980), 1, 31)),
    ] {
        let further = Further { birthday, ..Further::default() };
        let edit = Edit { card: Card::of(name, ""), further: Some(further), ..Edit::default() };
        world.people.edit(ANN, &rand_key(), None, edit).await.unwrap();
    }
    assert_eq!(world.people.letters(ANN).unwrap(), ['9', 'a', 'b', '\u{f6}']);
    let from = |text: &str| world.people.page_of(ANN, None, None, text, 1).unwrap().contacts[0].card.name.clone();
    assert_eq!(
        (from("b"), from("\u{f6}"), from("A"), from("")),
        ("bob".into(), "\u{d6}zt\u{fc}rk".into(), "ann".into(), "9 Lives".into())
    );
    let day = |year, month, day| jiff::civil::Date::new(year, month, day).unwrap();
    let near = |today| -> Vec<(String, Option<i16>)> {
        let near = world.people.birthdays(ANN, today, 30).unwrap();
        near.into_iter().map(|one| (one.name, one.turns)).collect()
    };
    assert_eq!(near(day(2025, 2, 1)), [("Anton".into(), None), ("\u{d6}zt\u{fc}rk".into(), Some(25))]);
    assert_eq!(near(day(2025, 12, 1)), [("ann".into(), Some(35))]);
    assert_eq!(near(day(2025, 12, 31)), []);
    assert_eq!(near(day(2026, 1, 1)), [("bob".into(), Some(46))], "the year turns");
    assert_eq!(near(day(2028, 2, 29)), [("\u{d6}zt\u{fc}rk".into(), Some(28))]);
}
