//! Promises of the address book over a real store.

use people::import::read;
use people::invariants::check_account;
use people::{Card, ContactId, Filter, People, PeopleError, Suggestion, vcard};
use store::RealmId;
use store::{Store, StoreOptions};

struct World {
    people: People,
    store: Store,
    _folder: tempfile::TempDir,
}

const ANN: RealmId = RealmId::account(1);
const BOB: RealmId = RealmId::account(2);

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
        Self { people: People::new(store.clone()), store, _folder: folder }
    }

    async fn add(&self, key: &str, card: Card) -> ContactId {
        self.people.save(ANN, key.as_bytes(), None, card, None).await.unwrap().contact.unwrap()
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

fn names(contacts: &[people::Contact]) -> Vec<&str> {
    contacts.iter().map(|contact| contact.card.title()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_made_once_for_each_key() {
    let world = World::new();
    let first = world.people.save(ANN, b"k", None, Card::of("Zoe", "zoe@x.org"), None).await.unwrap();
    let again = world.people.save(ANN, b"k", None, Card::of("Zoe", "zoe@x.org"), None).await.unwrap();
    assert!(again.repeated && !first.repeated);
    assert_eq!(first.contact, again.contact);
    assert_eq!(world.people.count(ANN).unwrap(), 1);
    assert_eq!(world.people.count(BOB).unwrap(), 0, "another's book is another's");
    world.sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_by_name_and_its_pages_miss_nobody() {
    let world = World::new();
    for (n, name) in ["zoe", "Émile", "ann", "Bob", "ANN"].into_iter().enumerate() {
        world.add(&n.to_string(), Card::of(name, &format!("{n}@x.org"))).await;
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = world.people.page(ANN, after, 2).unwrap();
        seen.extend(page.contacts.iter().map(|contact| contact.card.name.to_lowercase()));
        after = page.contacts.last().map(|contact| contact.id);
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, ["ann", "ann", "bob", "zoe", "émile"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_finds_its_contact_in_any_case_and_until_it_is_taken_away() {
    let world = World::new();
    let id = world.add("1", Card::of("Zoe", "Zoe@X.org")).await;
    assert_eq!(world.people.by_address(ANN, "zoe@x.ORG").unwrap(), [id]);
    let changed = Card::of("Zoe", "other@x.org");
    world.people.save(ANN, b"2", Some(id), changed, None).await.unwrap();
    assert!(world.people.by_address(ANN, "zoe@x.org").unwrap().is_empty());
    assert_eq!(world.people.by_address(ANN, "other@x.org").unwrap(), [id]);
    world.sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_contact_leaves_its_groups_and_undo_brings_both_back() {
    let world = World::new();
    let people = &world.people;
    let (a, b) = (world.add("a", Card::of("A", "a@x.org")).await, world.add("b", Card::of("B", "b@x.org")).await);
    people.create_group(ANN, b"g", "Crew").await.unwrap();
    let group = people.groups(ANN).unwrap()[0].id;
    people.set_members(ANN, group, vec![a, b], true).await.unwrap();
    people.delete(ANN, b"d", vec![a]).await.unwrap();
    assert_eq!(people.groups(ANN).unwrap()[0].members, [b]);
    world.sound();
    assert!(people.undo(ANN, b"d").await.unwrap().unwrap().undone);
    people.undo(ANN, b"d").await.unwrap();
    assert_eq!(people.groups(ANN).unwrap()[0].members.len(), 2);
    assert_eq!(people.contact(ANN, a).unwrap().unwrap().card.name, "A");
    assert_eq!(people.count(ANN).unwrap(), 2);
    world.sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_does_not_take_back_what_came_after() {
    let world = World::new();
    let id = world.add("1", Card::of("First", "a@x.org")).await;
    world.people.save(ANN, b"2", Some(id), Card::of("Second", "a@x.org"), None).await.unwrap();
    world.people.save(ANN, b"3", Some(id), Card::of("Third", "a@x.org"), None).await.unwrap();
    world.people.undo(ANN, b"2").await.unwrap();
    assert_eq!(world.people.contact(ANN, id).unwrap().unwrap().card.name, "Third");
    world.people.undo(ANN, b"3").await.unwrap();
    assert_eq!(world.people.contact(ANN, id).unwrap().unwrap().card.name, "Second");
}

#[tokio::test(flavor = "multi_thread")]
async fn merging_keeps_what_each_knew_and_can_be_taken_back() {
    let world = World::new();
    let people = &world.people;
    let mut first = Card::of("Zoe", "zoe@x.org");
    first.note = "sails".to_owned();
    let mut second = Card::of("Zoe Q", "zoe@work.org");
    second.note = "climbs".to_owned();
    let (a, b) = (world.add("a", first).await, world.add("b", second).await);
    people.create_group(ANN, b"g", "Crew").await.unwrap();
    let group = people.groups(ANN).unwrap()[0].id;
    people.set_members(ANN, group, vec![b], true).await.unwrap();
    people.merge(ANN, b"m", vec![a, b]).await.unwrap();
    let card = people.contact(ANN, a).unwrap().unwrap().card;
    assert_eq!(card.addresses.len(), 2);
    assert_eq!((card.name.as_str(), card.other_names.as_slice()), ("Zoe", &["Zoe Q".to_owned()][..]));
    assert_eq!(card.note, "sails\n\nclimbs");
    assert_eq!(people.groups(ANN).unwrap()[0].members, [a]);
    assert_eq!(people.count(ANN).unwrap(), 1);
    world.sound();
    people.undo(ANN, b"m").await.unwrap();
    assert_eq!(people.count(ANN).unwrap(), 2);
    assert_eq!(people.groups(ANN).unwrap()[0].members, [b]);
    world.sound();
    let alone = people.merge(ANN, b"n", vec![a, a]).await;
    assert!(matches!(alone, Err(PeopleError::NothingToMerge)));
}

#[tokio::test(flavor = "multi_thread")]
async fn someone_who_wrote_is_added_once() {
    let world = World::new();
    let first = world.people.add_sender(ANN, b"1", "Zoe", "zoe@x.org").await.unwrap();
    let second = world.people.add_sender(ANN, b"2", "Zoe again", "ZOE@x.org").await.unwrap();
    assert_eq!(first.contact, second.contact);
    assert_eq!(world.people.count(ANN).unwrap(), 1);
    assert!(world.people.add_sender(ANN, b"3", "x", "nonsense").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_offers_people_by_any_word_and_groups_with_their_members() {
    let world = World::new();
    let mut zoe = Card::of("Zoe Quill", "z@x.org");
    zoe.addresses.push(people::Address { address: "zq@work.org".to_owned(), label: "work".to_owned() });
    let zoe = world.add("z", zoe).await;
    world.add("a", Card::of("Ann", "quiet@x.org")).await;
    world.people.create_group(ANN, b"g", "Quiz night").await.unwrap();
    let group = world.people.groups(ANN).unwrap()[0].id;
    world.people.set_members(ANN, group, vec![zoe], true).await.unwrap();
    let found = world.people.complete(ANN, "QUI", 10).unwrap();
    assert_eq!(found.len(), 4, "{found:?}");
    let members = vec![("Zoe Quill".to_owned(), "z@x.org".to_owned())];
    assert_eq!(found[0], Suggestion::Group { name: "Quiz night".to_owned(), members });
    assert_eq!(world.people.complete(ANN, "qui", 2).unwrap().len(), 2);
    assert!(world.people.complete(ANN, "nobody", 9).unwrap().is_empty());
    let (found, count) = world.people.search(ANN, "work quill", Filter::default(), 10).unwrap();
    assert_eq!((names(&found), count), (vec!["Zoe Quill"], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_told_and_nothing_is_written() {
    let world = World::new();
    let save = |card: Card| world.people.save(ANN, b"k", None, card, None);
    assert!(matches!(save(Card::default()).await, Err(PeopleError::Empty)));
    assert!(matches!(save(Card::of("x", "no address")).await, Err(PeopleError::BadAddress { .. })));
    let mut many = Card::of("x", "a@x.org");
    let all =
        (0..=people::MAX_ADDRESSES).map(|n| people::Address { address: format!("a{n}@x.org"), label: String::new() });
    many.addresses = all.collect();
    assert!(matches!(save(many).await, Err(PeopleError::TooMany { .. })));
    let mut long = Card::of("x", "a@x.org");
    long.note = "x".repeat(people::MAX_NOTE_BYTES + 1);
    assert!(matches!(save(long).await, Err(PeopleError::TooLong { .. })));
    assert_eq!(world.people.count(ANN).unwrap(), 0);
    world.people.create_group(ANN, b"g", "Crew").await.unwrap();
    let twice = world.people.create_group(ANN, b"h", "CREW").await;
    assert!(matches!(twice, Err(PeopleError::GroupExists(_))));
}

const CARDS: &str = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Zoe Quill\r\nN:Quill;Zoe;;;\r\nEMAIL;TYPE=INTERNET,HOME:zoe@x.org\r\n\
    EMAIL;TYPE=WORK;TYPE=PREF:zoe@work.org\r\nitem1.TEL:+30 1\r\nitem1.X-ABLabel:Boat\r\nORG:Acme\\, Inc;Sales\r\n\
    NOTE:two\\nlines\\; and a very long one that has to be folded because nobody likes lo\r\n ng lines\r\n\
    BDAY:1970-01-01\r\nX-ODD;X-P=\"a:b\":kept\r\nUID:zoe-1\r\nCATEGORIES:Crew,Friends\r\nEND:VCARD\r\n\
    BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;J=C3=\r\n=B6rg\r\n\
    TEL;CELL:123\r\nEMAIL:not an address\r\nEND:VCARD\r\n\
    BEGIN:VCARD\r\nVERSION:4.0\r\nKIND:group\r\nFN:Sailors\r\nMEMBER:zoe-1\r\nEND:VCARD\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_same_vcards_twice_make_nothing_twice() {
    let world = World::new();
    let people = &world.people;
    let done = people.import(ANN, read(CARDS.as_bytes()), &mut |_| {}).await.unwrap();
    assert_eq!((done.added, done.changed, done.known), (2, 0, 0));
    assert_eq!(done.problems.len(), 1);
    assert!(done.problems[0].to_string().starts_with("line 22: "), "{}", done.problems[0]);
    let again = people.import(ANN, read(CARDS.as_bytes()), &mut |_| {}).await.unwrap();
    assert_eq!((again.added, again.changed, again.known), (0, 0, 2));
    let (all, _) = people.search(ANN, "", Filter::default(), 10).unwrap();
    assert_eq!(names(&all), ["Jörg Müller", "Zoe Quill"]);
    let zoe = &all[1].card;
    assert_eq!(zoe.addresses[0].address, "zoe@work.org", "the preferred one comes first");
    assert_eq!(zoe.addresses[1].label, "home");
    assert_eq!(zoe.phones[0].label, "Boat");
    assert_eq!(zoe.organisation, "Acme, Inc; Sales");
    assert!(zoe.note.starts_with("two\nlines; and") && zoe.note.ends_with("long lines"));
    let groups: Vec<String> = people.groups(ANN).unwrap().into_iter().map(|group| group.name).collect();
    assert_eq!(groups, ["Crew", "Friends", "Sailors"]);
    world.sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_out_comes_back_the_same() {
    let world = World::new();
    world.people.import(ANN, read(CARDS.as_bytes()), &mut |_| {}).await.unwrap();
    let book = world.people.book(ANN).unwrap();
    let out = vcard::write(&book);
    assert!(out.lines().all(|line| line.len() <= 75));
    for kept in ["BDAY:1970-01-01", "X-ODD;X-P=\"a:b\":kept", "N:Quill;Zoe;;;", "EMAIL:not an address"] {
        assert!(out.contains(kept), "{kept} in {out}");
    }
    let done = world.people.import(BOB, read(out.as_bytes()), &mut |_| {}).await.unwrap();
    assert_eq!(done.added, 2);
    let theirs = world.people.book(BOB).unwrap();
    let cards = |book: &people::merge::Book| {
        let mut all: Vec<Card> = book.contacts.values().cloned().collect();
        all.sort_by(|a, b| a.uid.cmp(&b.uid));
        all
    };
    assert_eq!(cards(&book), cards(&theirs));
    assert_eq!(book.groups.len(), theirs.groups.len());
    // And into the book that it came from: nothing new.
    let table = people::csv::write(&book);
    let done = world.people.import(ANN, read(&table), &mut |_| {}).await.unwrap();
    assert_eq!((done.added, done.changed, done.known), (0, 0, 2), "{}", String::from_utf8_lossy(&table));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_other_programs_are_read_by_the_names_of_their_columns() {
    let google = "First Name,Middle Name,Last Name,Nickname,Organization Name,Birthday,Notes,Labels,E-mail 1 - Label,\
        E-mail 1 - Value,Phone 1 - Label,Phone 1 - Value\nZoe,,Quill,Zo,Acme,1970-01-01,hello,* myContacts ::: Crew,\
        * Work,zoe@x.org ::: zoe@y.org,Mobile,+30 1\n";
    let outlook = "First Name;Last Name;Company;Business Phone;E-mail Address;E-mail Display Name;E-mail 2 Address;Priority\r\n\
        Zoe;Quill;Acme;+30 2;zoe@x.org;Zoe Quill (zoe@x.org);zoe@z.org;Normal\r\n";
    let thunderbird = "First Name,Last Name,Display Name,Nickname,Primary Email,Secondary Email,Work Phone,Organization\n\
        Zoe,Quill,Zoe Quill,,zoe@x.org,\"bad, address\",+30 2,Acme\n";
    let world = World::new();
    for (file, added, problems) in [(google, 1, 0), (outlook, 0, 0), (thunderbird, 0, 1)] {
        let done = world.people.import(ANN, read(file.as_bytes()), &mut |_| {}).await.unwrap();
        assert_eq!((done.added, done.problems.len()), (added, problems), "{file} {:?}", done.problems);
    }
    let (all, _) = world.people.search(ANN, "", Filter::default(), 10).unwrap();
    let [zoe] = all.as_slice() else { panic!("{:?}", names(&all)) };
    let addresses: Vec<&str> = zoe.card.addresses.iter().map(|a| a.address.as_str()).collect();
    assert_eq!(addresses, ["zoe@x.org", "zoe@y.org", "zoe@z.org"]);
    assert_eq!(zoe.card.phones.len(), 2);
    assert_eq!(zoe.card.further().birthday.map(|day| day.plain()), Some("1970-01-01".to_owned()));
    assert!(zoe.card.note.contains("hello"), "{}", zoe.card.note);
    assert!(zoe.card.note.contains("E-mail: bad, address"));
    assert_eq!(world.people.groups(ANN).unwrap().len(), 1);
    let refused = read(b"Colour,Size\nred,7\n");
    assert!(refused.problems[0].to_string().starts_with("line 1: the first line names no column"));
    // What Windows wrote.
    let old = read(b"Name,E-mail\nJ\xF6rg,j@x.org\n");
    assert_eq!(old.cards[0].card.name, "J\u{f6}rg");
    let wide: Vec<u8> = "\u{feff}Name\tE-mail\nJörg\tj@x.org\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(read(&wide).cards[0].card.name, "J\u{f6}rg");
    world.sound();
}

/// Names and addresses of what was read.
fn read_as(file: &[u8]) -> Vec<(String, Vec<String>)> {
    let cards = read(file).cards.into_iter();
    cards.map(|c| (c.card.name, c.card.addresses.into_iter().map(|a| a.address).collect())).collect()
}

#[test]
fn tables_of_any_language_and_character_set_are_read() {
    let uta = |name: &str| vec![(name.to_owned(), vec!["uta@corp.example".to_owned()])];
    let in_set = |set: &'static encoding_rs::Encoding, text: &str| set.encode(text).0.into_owned();
    for (set, text, name) in [
        (
            encoding_rs::WINDOWS_1252,
            "\"Vorname\",\"Nachname\",\"E-Mail-Adresse\"\r\nUta,M\u{fc}ller,uta@corp.example\r\n",
            "Uta M\u{fc}ller",
        ),
        (
            encoding_rs::WINDOWS_1252,
            "Pr\u{e9}nom;Nom;Adresse de messagerie\r\nUta;Lef\u{e8}vre;uta@corp.example\r\n",
            "Uta Lef\u{e8}vre",
        ),
        (
            encoding_rs::WINDOWS_1250,
            "Imi\u{119};Nazwisko;Adres e-mail\r\nUta;W\u{105}s;uta@corp.example\r\n",
            "Uta W\u{105}s",
        ),
        (
            encoding_rs::WINDOWS_1251,
            "\u{418}\u{43c}\u{44f};\u{424}\u{430}\u{43c}\u{438}\u{43b}\u{438}\u{44f};\u{410}\u{434}\u{440}\u{435}\u{441} \u{44d}\u{43b}. \u{43f}\u{43e}\u{447}\u{442}\u{44b}\r\n\u{423}\u{442}\u{430};\u{428};uta@corp.example\r\n",
            "\u{423}\u{442}\u{430} \u{428}",
        ),
        (
            encoding_rs::SHIFT_JIS,
            "\u{59d3},\u{540d},\u{96fb}\u{5b50}\u{30e1}\u{30fc}\u{30eb} \u{30a2}\u{30c9}\u{30ec}\u{30b9}\r\n\u{5c71}\u{7530},\u{592a}\u{90ce},uta@corp.example\r\n",
            "\u{592a}\u{90ce} \u{5c71}\u{7530}",
        ),
        (encoding_rs::UTF_8, "sep=;\r\nName;E-mail Address;Notes\r\nUta Weber;uta@corp.example;hi\r\n", "Uta Weber"),
        (
            encoding_rs::UTF_8,
            "Nombre,Apellidos,Direcci\u{f3}n de correo electr\u{f3}nico\nUta,Sol,<uta@corp.example>\n",
            "Uta Sol",
        ),
    ] {
        assert_eq!(read_as(&in_set(set, text)), uta(name), "{text}");
    }
}

#[test]
fn what_outlook_writes_for_nothing_is_nothing() {
    let file = "First Name,Last Name,E-mail Address,E-mail Type,E-mail 2 Address,E-mail 2 Type,Birthday,Notes,Web Page\r\n\
        Uta,Weber,uta@corp.example,SMTP,/o=ExchangeLabs/ou=x/cn=uta,EX,0/0/00,\"Line 1\r\nLine 2\",https://uta.example\r\n";
    let incoming = read(file.as_bytes());
    assert_eq!(incoming.problems, []);
    let card = &incoming.cards[0].card;
    assert_eq!((card.addresses.len(), card.addresses[0].label.as_str()), (1, ""));
    assert_eq!(card.note, "Line 1\nLine 2");
    let further = card.further();
    assert_eq!((further.birthday, further.websites[0].text.as_str()), (None, "https://uta.example"));
}

#[test]
fn vcards_in_old_character_sets_are_read() {
    let in_set = |set: &'static encoding_rs::Encoding, text: &str| set.encode(text).0.into_owned();
    let card = |charset: &str, name: &str| {
        format!("BEGIN:VCARD\r\nVERSION:2.1\r\nN{charset}:{name}\r\nFN{charset}:{name}\r\nEND:VCARD\r\n")
    };
    for (set, charset, name) in [
        (encoding_rs::WINDOWS_1251, ";CHARSET=windows-1251", "\u{41f}\u{451}\u{442}\u{440}"),
        (encoding_rs::KOI8_R, ";CHARSET=KOI8-R", "\u{41f}\u{451}\u{442}\u{440}"),
        (encoding_rs::SHIFT_JIS, ";CHARSET=SHIFT_JIS", "\u{5c71}\u{7530}\u{8868}"),
        (encoding_rs::GBK, ";LANGUAGE=zh;charset=gb2312", "\u{5f20}\u{4e09}"),
        (encoding_rs::EUC_KR, ";CHARSET=euc-kr", "\u{ae40}"),
        (encoding_rs::ISO_2022_JP, ";CHARSET=ISO-2022-JP", "\u{5c71}\u{7530}"),
        (encoding_rs::UTF_8, ";CHARSET=ISO-8859-1", "J\u{f6}rg"),
        (encoding_rs::WINDOWS_1252, ";CHARSET=UTF-8", "J\u{f6}rg"),
        (encoding_rs::WINDOWS_1252, "", "J\u{f6}rg"),
    ] {
        let read = read_as(&in_set(set, &card(charset, name)));
        assert_eq!(read[0].0, name, "{charset}");
    }
    // A card of its own set says it once, in another line than the one that needs it.
    let two = "BEGIN:VCARD\nN;CHARSET=windows-1251:\u{418}\nFN:\u{41f}\u{451}\u{442}\u{440}\nEND:VCARD\n";
    assert_eq!(read_as(&in_set(encoding_rs::WINDOWS_1251, two))[0].0, "\u{41f}\u{451}\u{442}\u{440}");
}

#[test]
fn a_card_within_a_card_takes_nothing_from_it() {
    let kim = "BEGIN:VCARD\nVERSION:2.1\nFN:Kim Help\nEMAIL:kim@corp.example\nEND:VCARD\n";
    let outer = |agent: &str| {
        format!(
            "BEGIN:VCARD\nVERSION:2.1\nFN:Uta Boss\n{agent}EMAIL;INTERNET:uta@corp.example\nTEL;WORK:+49 30 1\nEND:VCARD\n"
        )
    };
    let inline = kim.trim_end().replace('\n', "\\n");
    for file in [outer(&format!("AGENT:\n{kim}")), outer(&format!("AGENT:{inline}\n"))] {
        let incoming = read(file.as_bytes());
        assert_eq!(incoming.problems, [], "{file}");
        let mut who = read_as(file.as_bytes());
        who.sort();
        let expected = [("Kim Help", "kim@corp.example"), ("Uta Boss", "uta@corp.example")];
        assert_eq!(who, expected.map(|(name, address)| (name.to_owned(), vec![address.to_owned()])), "{file}");
    }
    // A card without an end keeps no other out, and however deep cards lie, there is an end.
    let lost = format!("BEGIN:VCARD\nFN:Lost\n{kim}");
    assert_eq!(read_as(lost.as_bytes()).len(), 2);
    assert_eq!(read(lost.as_bytes()).problems.len(), 1);
    let deep = read("BEGIN:VCARD\nFN:x\nAGENT:\n".repeat(5_000).as_bytes());
    assert_eq!(deep.cards.len(), 5_000);
}

#[test]
fn addresses_in_vcards_may_have_names_around_them() {
    for (value, address) in [
        ("Angle Person <angle@corp.example>", "angle@corp.example"),
        ("mailto:angle@corp.example", "angle@corp.example"),
        ("<angle@corp.example>", "angle@corp.example"),
    ] {
        let file = format!("BEGIN:VCARD\nVERSION:3.0\nFN:A\nEMAIL:{value}\nEND:VCARD\n");
        assert_eq!(read_as(file.as_bytes())[0].1, [address], "{value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_book_taken_back_to_a_moment_keeps_what_is_new() {
    let world = World::new();
    let people = &world.people;
    let (a, b) = (world.add("a", Card::of("A", "a@x.org")).await, world.add("b", Card::of("B", "b@x.org")).await);
    people.create_group(ANN, b"g", "Crew").await.unwrap();
    let group = people.groups(ANN).unwrap()[0].id;
    people.set_members(ANN, group, vec![a, b], true).await.unwrap();
    let moment = people.book(ANN).unwrap();
    people.delete(ANN, b"d", vec![a]).await.unwrap();
    people.save(ANN, b"e", Some(b), Card::of("B", "new@x.org"), None).await.unwrap();
    let c = world.add("c", Card::of("C", "c@x.org")).await;
    for round in 0..2 {
        let old = moment.clone();
        let changed: usize = world
            .store
            .transact(move |tx| {
                let now = People::book_in(tx, ANN)?;
                let merged = people::merge::merge(&people::merge::Book::default(), &old, &now);
                People::write_book_in(tx, ANN, &merged)
            })
            .await
            .unwrap();
        assert_eq!(changed > 0, round == 0, "the second time changes nothing");
        world.sound();
    }
    assert_eq!(people.groups(ANN).unwrap()[0].members.len(), 2);
    assert!(people.contact(ANN, a).unwrap().is_some() && people.contact(ANN, c).unwrap().is_some());
    assert_eq!(people.contact(ANN, b).unwrap().unwrap().card.addresses.len(), 2, "both values");
}

#[tokio::test(flavor = "multi_thread")]
async fn invariants_see_what_is_wrong() {
    let world = World::new();
    let id = world.add("a", Card::of("A", "a@x.org")).await;
    let key = [&[0x51][..], &id.0.to_be_bytes()].concat();
    let gone: people::Result<()> = world
        .store
        .transact(move |tx| {
            tx.delete(ANN, key);
            Ok(())
        })
        .await;
    gone.unwrap();
    let found = check_account(&world.store.snapshot(), ANN).unwrap();
    // Name, address and UID lead to nothing, and the count is wrong.
    assert_eq!(found.len(), 4, "{found:?}");
    world.people.purge(ANN).await.unwrap();
    world.sound();
}
