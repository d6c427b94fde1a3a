//! Recognizes the columns of a table by their names. Outlook and Thunderbird write the names in the language of the
//! program.
//!
//! Names of people, companies and notes are listed; columns of addresses and numbers, whose names consist of several
//! words, are recognized by those words.

use mailkit::fold::loose;

/// The contents of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    /// Of the name, as a vCard has it: family, given, additional, prefix, suffix.
    Part(usize),
    OtherName,
    /// The number in its name tells which of several it is.
    Address(String),
    AddressLabel(String),
    Phone(String, &'static str),
    PhoneLabel(String),
    Organisation,
    Department,
    Title,
    /// The day of birth, or its year, month and day of the month.
    Birthday(Order),
    BirthPart(usize),
    Anniversary(Order),
    /// Of which of several, and the part of it, as a vCard has it; [`FORMATTED`] is the whole.
    Postal(String, usize),
    PostalLabel(String),
    Web(String),
    WebLabel(String),
    Note,
    Groups,
    Uid,
    /// Nothing that anyone would miss.
    Passed,
    /// It goes to the note, under its name.
    Other(String),
}

/// In which order a date that has its numbers between strokes is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// As in the United States, whose language the name of the column has.
    MonthFirst,
    DayFirst,
}

/// The whole of a postal address in one cell.
pub(super) const FORMATTED: usize = 7;

/// Whole names of columns for what a contact has beyond names, folded, digits and punctuation taken out.
const FURTHER: [(Column, &[&str]); 9] = [
    (
        Column::Title,
        &[
            "job title",
            "organization title",
            "position",
            "stellenbezeichnung",
            "berufsbezeichnung",
            "fonction",
            "poste",
            "cargo",
            "puesto",
            "qualifica",
            "posizione",
            "functie",
            "befattning",
            "stilling",
            "stanowisko",
            "должность",
        ],
    ),
    (
        Column::Department,
        &[
            "department",
            "organization department",
            "abteilung",
            "service",
            "departement",
            "departamento",
            "reparto",
            "afdeling",
            "avdelning",
        ],
    ),
    (Column::Birthday(Order::MonthFirst), &["birthday", "date of birth", "birth date", "birthdate"]),
    (
        Column::Birthday(Order::DayFirst),
        &[
            "geburtstag",
            "geburtsdatum",
            "anniversaire",
            "date de naissance",
            "cumpleanos",
            "fecha de nacimiento",
            "compleanno",
            "data di nascita",
            "data de nascimento",
            "verjaardag",
            "geboortedatum",
            "fodelsedag",
            "fodselsdag",
            "urodziny",
            "narozeniny",
            "день рождения",
            "誕生日",
            "生日",
        ],
    ),
    (Column::Anniversary(Order::MonthFirst), &["anniversary", "wedding anniversary"]),
    (
        Column::Anniversary(Order::DayFirst),
        &["jahrestag", "hochzeitstag", "anniversaire de mariage ou fete", "trouwdag", "годовщина"],
    ),
    (Column::BirthPart(0), &["birth year", "geburtsjahr"]),
    (Column::BirthPart(1), &["birth month", "geburtsmonat"]),
    (Column::BirthPart(2), &["birth day"]),
];

/// Names of columns with websites.
const WEB: [&str; 13] = [
    "web page",
    "website",
    "website value",
    "webseite",
    "webpage",
    "homepage",
    "page web",
    "site web",
    "pagina web",
    "sitio web",
    "sito web",
    "webbplats",
    "url",
];

/// Words of names that mean a part of a postal address. The first that fits counts.
const POSTAL: [(usize, &[&str]); 8] = [
    (6, &["country", "land", "pays", "pais", "paese", "страна", "国"]),
    (0, &["po box", "post box", "postfach", "boite postale", "apartado", "casella postale", "postbus"]),
    (
        5,
        &[
            "postal code",
            "zip code",
            "zipcode",
            "zip",
            "postcode",
            "plz",
            "postleitzahl",
            "code postal",
            "codigo postal",
            "cap",
            "postnummer",
            "индекс",
        ],
    ),
    (1, &["extended address", "address line two"]),
    (2, &["street", "strasse", "rue", "calle", "via", "rua", "straat", "gata", "gade", "ulica", "улица"]),
    (
        3,
        &[
            "city",
            "town",
            "ort",
            "stadt",
            "ville",
            "ciudad",
            "citta",
            "cidade",
            "plaats",
            "woonplaats",
            "ort",
            "miasto",
            "город",
        ],
    ),
    (
        4,
        &[
            "state",
            "region",
            "province",
            "county",
            "bundesland",
            "provincia",
            "departement",
            "dep region",
            "estado",
            "область",
        ],
    ),
    (FORMATTED, &["formatted"]),
];

/// Whole names, folded, digits and punctuation taken out.
const NAMES: [(Column, &[&str]); 12] = [
    (
        Column::Name,
        &[
            "name",
            "display name",
            "full name",
            "fn",
            "contact",
            "anzeigename",
            "vollstandiger name",
            "nom a afficher",
            "nom complet",
            "nombre para mostrar",
            "nombre completo",
            "nome visualizzato",
            "nome completo",
            "nome de apresentacao",
            "nome de exibicao",
            "weergavenaam",
            "volledige naam",
            "visningsnamn",
            "vist navn",
            "visningsnavn",
            "nazwa wyswietlana",
            "zobrazovane jmeno",
            "отображаемое имя",
            "полное имя",
            "表示名",
            "显示名称",
        ],
    ),
    (
        Column::Part(0),
        &[
            "last name",
            "family name",
            "surname",
            "nachname",
            "familienname",
            "nom",
            "nom de famille",
            "apellido",
            "apellidos",
            "primer apellido",
            "cognome",
            "apelido",
            "sobrenome",
            "achternaam",
            "efternamn",
            "efternavn",
            "etternavn",
            "nazwisko",
            "prijmeni",
            "priezvisko",
            "vezeteknev",
            "sukunimi",
            "nume de familie",
            "soyadı",
            "soyadi",
            "επωνυμο",
            "фамилия",
            "姓",
            "성",
            "prezime",
        ],
    ),
    (
        Column::Part(1),
        &[
            "first name",
            "given name",
            "vorname",
            "rufname",
            "prenom",
            "nombre",
            "nome",
            "primeiro nome",
            "nome proprio",
            "voornaam",
            "fornamn",
            "fornavn",
            "imie",
            "jmeno",
            "krstne meno",
            "utonev",
            "keresztnev",
            "etunimi",
            "prenume",
            "adi",
            "ad",
            "ονομα",
            "имя",
            "名",
            "이름",
            "ime",
        ],
    ),
    (
        Column::Part(2),
        &[
            "middle name",
            "additional name",
            "weitere vornamen",
            "zweiter vorname",
            "deuxieme prenom",
            "autres prenoms",
            "segundo nombre",
            "secondo nome",
            "segundo nome",
            "middelste naam",
            "tweede naam",
            "mellannamn",
            "mellemnavn",
            "mellomnavn",
            "drugie imie",
            "druhe jmeno",
            "отчество",
            "ミドル ネーム",
            "ミドルネーム",
            "中间名",
        ],
    ),
    (
        Column::Part(3),
        &[
            "name prefix",
            "prefix",
            "anrede",
            "namenszusatz",
            "civilite",
            "tratamiento",
            "aanhef",
            "osloveni",
            "обращение",
            "敬称",
            "称谓",
            "honorific",
        ],
    ),
    (
        Column::Part(4),
        &[
            "name suffix",
            "suffix",
            "suffixe",
            "sufijo",
            "sufixo",
            "titolo straniero",
            "achtervoegsel",
            "sufiks",
            "суффикс",
        ],
    ),
    (
        Column::OtherName,
        &[
            "nickname",
            "nick",
            "spitzname",
            "surnom",
            "pseudonyme",
            "apodo",
            "alias",
            "soprannome",
            "alcunha",
            "bijnaam",
            "smeknamn",
            "kaelenavn",
            "kallenavn",
            "pseudonim",
            "prezdivka",
            "псевдоним",
            "ニックネーム",
        ],
    ),
    (
        Column::Organisation,
        &[
            "organization",
            "organisation",
            "organization name",
            "company",
            "company name",
            "firma",
            "unternehmen",
            "societe",
            "entreprise",
            "organizacion",
            "compania",
            "empresa",
            "societa",
            "azienda",
            "organizzazione",
            "organizacao",
            "bedrijf",
            "organisatie",
            "foretag",
            "virksomhed",
            "organisasjon",
            "organizacja",
            "spolecnost",
            "cegnev",
            "yritys",
            "sirket",
            "εταιρεια",
            "организация",
            "компания",
            "会社名",
            "会社",
            "公司",
            "单位",
            "회사",
        ],
    ),
    (
        Column::Note,
        &[
            "notes",
            "note",
            "notizen",
            "notiz",
            "bemerkungen",
            "anmerkungen",
            "remarques",
            "notas",
            "observaciones",
            "observacoes",
            "notities",
            "opmerkingen",
            "anteckningar",
            "noter",
            "notater",
            "notatki",
            "uwagi",
            "poznamky",
            "jegyzetek",
            "notlar",
            "заметки",
            "примечания",
            "メモ",
            "附注",
            "备注",
            "메모",
            "comments",
            "description",
        ],
    ),
    (
        Column::Groups,
        &[
            "labels",
            "group membership",
            "categories",
            "groups",
            "kategorien",
            "gruppen",
            "categorie",
            "groupes",
            "categorias",
            "grupos",
            "gruppi",
            "categorieen",
            "groepen",
            "kategorier",
            "grupper",
            "kategorie",
            "grupy",
            "категории",
            "группы",
            "分類項目",
            "类别",
        ],
    ),
    (Column::Uid, &["uid"]),
    (
        Column::Passed,
        &[
            "priority",
            "private",
            "sensitivity",
            "gender",
            "initials",
            "web page type",
            "yomi name",
            "screen name",
            "file as",
            "photo",
            "phonetic first name",
            "phonetic middle name",
            "phonetic last name",
            "internet free busy",
            "directory server",
            "language",
            "mileage",
            "billing information",
            "prioritat",
            "privat",
            "vertraulichkeit",
            "geschlecht",
            "initialen",
            "internet frei gebucht",
            "verzeichnisserver",
            "sprache",
            "reisekilometer",
            "abrechnungsinformation",
            "priorite",
            "prive",
            "critere de diffusion",
            "sexe",
            "initiales",
            "prioridad",
            "privado",
            "confidencialidad",
            "sexo",
            "iniciales",
            "priorita",
            "privato",
            "riservatezza",
            "sesso",
            "iniziali",
            "prioridade",
            "particular",
            "iniciais",
            "prioriteit",
            "vertrouwelijkheid",
            "geslacht",
            "initialer",
            "prioritet",
            "priorytet",
            "prywatne",
            "plec",
            "inicjaly",
            "важность",
            "пол",
            "инициалы",
            "частное",
            "пометка",
        ],
    ),
];

/// Parts of names that mean an email address.
const MAIL: [&str; 16] = [
    "e mail",
    "email",
    "mail",
    "messagerie",
    "courriel",
    "adresse electronique",
    "correo",
    "posta elettronica",
    "correio",
    "e post",
    "epost",
    "почт",
    "メール",
    "邮件",
    "郵件",
    "메일",
];
/// Parts of such names that mean the kind of address.
const KIND: [&str; 9] = ["type", "typ", "tipo", "label", "etikett", "тип", "種類", "类型", "종류"];
/// Parts of such names that mean how the address is shown.
const SHOWN: [&str; 16] = [
    "display",
    "angezeigt",
    "anzeige",
    "nom complet",
    "affich",
    "pantalla",
    "mostrar",
    "visualizzat",
    "exibicao",
    "apresentacao",
    "weerg",
    "visning",
    "wyswietl",
    "zobraz",
    "имя",
    "表示",
];
/// Parts of names that mean a number, and which.
const PHONE: [(&str, &[&str]); 4] = [
    ("fax", &["fax", "telecop", "факс", "传真"]),
    ("pager", &["pager", "пейджер", "bipeur", "localizador", "cercapersone"]),
    (
        "cell",
        &[
            "mobil",
            "cell",
            "handy",
            "movil",
            "telemovel",
            "portable",
            "gsm",
            "komork",
            "мобил",
            "сотов",
            "перенос",
            "携帯",
            "移动",
            "手机",
            "휴대",
        ],
    ),
    (
        "",
        &[
            "phone",
            "telefon",
            "telephone",
            "tel",
            "telefoon",
            "telefono",
            "telefone",
            "puhelin",
            "телефон",
            "電話",
            "电话",
            "전화",
        ],
    ),
];
/// Parts of such names that mean where.
const PLACE: [(&str, &[&str]); 2] = [
    (
        "work",
        &[
            "work",
            "business",
            "company",
            "geschaft",
            "dienst",
            "firma",
            "buro",
            "bureau",
            "travail",
            "prof",
            "trabajo",
            "oficina",
            "uff",
            "lavoro",
            "comercial",
            "trabalho",
            "emprego",
            "werk",
            "zakelijk",
            "arbet",
            "arbejd",
            "arbeid",
            "sluzb",
            "prac",
            "zamestn",
            "раб",
            "会社",
            "商务",
            "办公",
            "회사",
        ],
    ),
    (
        "home",
        &[
            "home",
            "privat",
            "domicile",
            "personnel",
            "particular",
            "casa",
            "ab",
            "abitazione",
            "residencial",
            "thuis",
            "hem",
            "hjem",
            "dom",
            "bydl",
            "дом",
            "自宅",
            "住宅",
            "家庭",
        ],
    ),
];
/// Numbers of other people.
const NOT_THEIRS: [&str; 4] = ["assist", "sekret", "secret", "callback"];

impl Column {
    /// The contents of the column with that name.
    pub fn of(header: &str) -> Self {
        let plain: String = loose(header).chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
        let is_number = |word: &&str| word.bytes().all(|b| b.is_ascii_digit());
        let number: String = plain.split_whitespace().filter(is_number).collect();
        let words: Vec<&str> = plain.split_whitespace().filter(|word| !is_number(word)).collect();
        let name = words.join(" ");
        match name.as_str() {
            "primary email" => return Self::Address("1".to_owned()),
            "secondary email" => return Self::Address("2".to_owned()),
            _ => {}
        }
        if let Some((column, _)) = NAMES.iter().find(|(_, names)| names.contains(&name.as_str())) {
            return column.clone();
        }
        // In scripts without spaces words stand within others.
        let has = |part: &&str| {
            let short = part.len() <= 3;
            // Of several words the first begins one: "home postal code" is no "e post".
            let several = part.contains(' ');
            let begins = |(at, _): (usize, &str)| name[..at].ends_with(|c: char| !c.is_alphanumeric()) || at == 0;
            if short { words.contains(part) } else { name.match_indices(*part).any(|found| !several || begins(found)) }
        };
        if MAIL.iter().any(has) && !name.contains("mailing") && !name.contains("mailbox") {
            return if SHOWN.iter().any(has) {
                Self::Passed
            } else if KIND.iter().any(|part| words.iter().any(|word| word.ends_with(part))) {
                Self::AddressLabel(number)
            } else {
                Self::Address(number)
            };
        }
        if let Some(column) = Self::further(&name, &words, &number) {
            return column;
        }
        if NOT_THEIRS.iter().any(|part| name.contains(part)) {
            return Self::Other(header.trim().to_owned());
        }
        match PHONE.iter().find(|(_, parts)| parts.iter().any(has)) {
            Some((_, _)) if KIND.iter().any(|part| words.contains(part)) => Self::PhoneLabel(number),
            Some(("", _)) => {
                let place = PLACE.iter().find(|(_, parts)| parts.iter().any(has));
                Self::Phone(number, place.map_or("", |(place, _)| place))
            }
            Some((kind, _)) => Self::Phone(number, kind),
            None => Self::Other(header.trim().to_owned()),
        }
    }

    /// A column of something beyond names, addresses and numbers.
    fn further(name: &str, words: &[&str], number: &str) -> Option<Self> {
        if let Some((column, _)) = FURTHER.iter().find(|(_, names)| names.contains(&name)) {
            return Some(column.clone());
        }
        if WEB.contains(&name) {
            return Some(Self::Web(number.to_owned()));
        }
        if matches!(name, "website label" | "website type") {
            return Some(Self::WebLabel(number.to_owned()));
        }
        let has = |part: &&str| if part.contains(' ') { name.contains(*part) } else { words.contains(part) };
        let place = PLACE.iter().find(|(_, parts)| {
            parts.iter().any(|part| if part.len() <= 3 { words.contains(part) } else { name.contains(part) })
        });
        let place = place.map_or("", |(place, _)| place);
        // Google numbers addresses; others number the lines of one.
        let of_google = name.starts_with("address ");
        if of_google && matches!(name, "address label" | "address type") {
            return Some(Self::PostalLabel(number.to_owned()));
        }
        if NOT_THEIRS.iter().any(|part| name.contains(part)) || PHONE.iter().any(|(_, parts)| parts.iter().any(has)) {
            return None;
        }
        let key = match (of_google, place) {
            (true, _) => number.to_owned(),
            (false, "") => words
                .first()
                .filter(|word| matches!(**word, "other" | "weitere" | "mailing" | "autre"))
                .copied()
                .unwrap_or_default()
                .to_owned(),
            (false, place) => place.to_owned(),
        };
        if matches!(name, "home address" | "work address" | "business address" | "address" | "adresse") {
            return Some(Self::Postal(key, 2));
        }
        let part = POSTAL.iter().find(|(_, parts)| parts.iter().any(has)).map(|(part, _)| *part)?;
        Some(Self::Postal(key, part))
    }

    /// What it holds, in words.
    pub fn called(&self) -> String {
        let which =
            |what: &str, label: &str| if label.is_empty() { what.to_owned() } else { format!("{what}, {label}") };
        match self {
            Self::Name => "name".to_owned(),
            Self::Part(0) => "family name".to_owned(),
            Self::Part(1) => "given name".to_owned(),
            Self::Part(2) => "further given names".to_owned(),
            Self::Part(3) => "prefix of the name".to_owned(),
            Self::Part(_) => "suffix of the name".to_owned(),
            Self::OtherName => "other names".to_owned(),
            Self::Address(_) => "email address".to_owned(),
            Self::AddressLabel(_) => "label of the email address".to_owned(),
            Self::Phone(_, label) => which("phone number", label),
            Self::PhoneLabel(_) => "label of the phone number".to_owned(),
            Self::Organisation | Self::Department => "organisation".to_owned(),
            Self::Title => "job title".to_owned(),
            Self::Birthday(_) | Self::BirthPart(_) => "birthday".to_owned(),
            Self::Anniversary(_) => "anniversary".to_owned(),
            Self::Postal(key, _) => which("postal address", key),
            Self::PostalLabel(_) => "label of the postal address".to_owned(),
            Self::Web(_) => "website".to_owned(),
            Self::WebLabel(_) => "label of the website".to_owned(),
            Self::Note | Self::Other(_) => "note".to_owned(),
            Self::Groups => "groups".to_owned(),
            Self::Uid => "identity of the contact".to_owned(),
            Self::Passed => "left out".to_owned(),
        }
    }

    /// Whether the column tells who it is about.
    pub fn says_who(&self) -> bool {
        matches!(self, Self::Name | Self::Part(0 | 1) | Self::Address(_))
    }
}

/// Whether a cell is what Outlook writes where there is no date: `0/0/00`, `0.0.00`.
pub(super) fn is_no_date(cell: &str) -> bool {
    let numbers: Vec<&str> = cell.split(['/', '.', '-']).collect();
    numbers.len() == 3 && numbers.iter().all(|number| !number.is_empty() && number.bytes().all(|b| b == b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_known_in_the_languages_of_the_programs() {
        for (header, column) in [
            ("First Name", Column::Part(1)),
            ("Vorname", Column::Part(1)),
            ("Prénom", Column::Part(1)),
            ("Imię", Column::Part(1)),
            ("Имя", Column::Part(1)),
            ("名", Column::Part(1)),
            ("Weitere Vornamen", Column::Part(2)),
            ("Apellidos", Column::Part(0)),
            ("Příjmení", Column::Part(0)),
            ("Anrede", Column::Part(3)),
            ("Firma", Column::Organisation),
            ("Società", Column::Organisation),
            ("Notizen", Column::Note),
            ("Kategorien", Column::Groups),
            ("Geschlecht", Column::Passed),
            ("Priorité", Column::Passed),
        ] {
            assert_eq!(Column::of(header), column, "{header}");
        }
        for (header, number) in [
            ("E-mail Address", ""),
            ("E-mail 2 Address", "2"),
            ("E-Mail-Adresse", ""),
            ("E-Mail 2: Adresse", "2"),
            ("E-mail 1 - Value", "1"),
            ("Primary Email", "1"),
            ("Adresse de messagerie", ""),
            ("Adresse e-mail", ""),
            ("Première adresse électronique", ""),
            ("Dirección de correo electrónico", ""),
            ("Indirizzo posta elettronica", ""),
            ("Endereço de correio eletrónico", ""),
            ("E-mailadres", ""),
            ("E-postadress", ""),
            ("Adres e-mail", ""),
            ("Адрес эл. почты", ""),
            ("電子メール アドレス", ""),
            ("电子邮件地址", ""),
            ("mail", ""),
        ] {
            assert_eq!(Column::of(header), Column::Address(number.to_owned()), "{header}");
        }
        for header in [
            "E-Mail: Angezeigter Name",
            "E-mail Display Name",
            "Nom complet de l'adresse de messagerie",
            "Nome visualizzato posta elettronica",
            "E-mail 2 Display Name",
        ] {
            assert_eq!(Column::of(header), Column::Passed, "{header}");
        }
        for header in ["E-mail Type", "E-Mail-Typ", "Type de messagerie", "Tipo posta elettronica"] {
            assert_eq!(Column::of(header), Column::AddressLabel(String::new()), "{header}");
        }
        for (header, label) in [
            ("Mobile Phone", "cell"),
            ("Mobiltelefon", "cell"),
            ("Téléphone mobile", "cell"),
            ("Cellulare", "cell"),
            ("Telefon geschäftlich", "work"),
            ("Business Phone", "work"),
            ("Téléphone (bureau)", "work"),
            ("Telefono (uff.)", "work"),
            ("Telefono (ab.)", "home"),
            ("Telefon (privat)", "home"),
            ("Telefoon thuis", "home"),
            ("Рабочий телефон", "work"),
            ("自宅電話", "home"),
            ("Fax geschäftlich", "fax"),
            ("Télécopie (bureau)", "fax"),
            ("Pager", "pager"),
            ("Haupttelefon", ""),
            ("Tel.", ""),
        ] {
            assert_eq!(Column::of(header), Column::Phone(String::new(), label), "{header}");
        }
        assert_eq!(Column::of("Phone 1 - Type"), Column::PhoneLabel("1".to_owned()));
        for header in ["Telefon Assistent", "Hobby", "Spouse", "Assistant's Street", "Landing page"] {
            assert_eq!(Column::of(header), Column::Other(header.to_owned()), "{header}");
        }
        for (header, key, part) in [
            ("Straße geschäftlich", "work", 2),
            ("Business Street", "work", 2),
            ("Business Street 2", "work", 2),
            ("Ort privat", "home", 3),
            ("Land/Region privat", "home", 6),
            ("Home Country/Region", "home", 6),
            ("Home Postal Code", "home", 5),
            ("Home Address", "home", 2),
            ("Home Address PO Box", "home", 0),
            ("Home ZipCode", "home", 5),
            ("Other City", "other", 3),
            ("Mailing Street", "mailing", 2),
            ("Code postal (bureau)", "work", 5),
            ("Address 2 - Region", "2", 4),
            ("Address 1 - Formatted", "1", FORMATTED),
            ("City", "", 3),
        ] {
            assert_eq!(Column::of(header), Column::Postal(key.to_owned(), part), "{header}");
        }
        for (header, column) in [
            ("Geburtstag", Column::Birthday(Order::DayFirst)),
            ("Birthday", Column::Birthday(Order::MonthFirst)),
            ("Web Page", Column::Web(String::new())),
            ("Website 1 - Value", Column::Web("1".to_owned())),
            ("Website 1 - Label", Column::WebLabel("1".to_owned())),
            ("Address 1 - Label", Column::PostalLabel("1".to_owned())),
            ("Job Title", Column::Title),
            ("Abteilung", Column::Department),
            ("Birth Year", Column::BirthPart(0)),
        ] {
            assert_eq!(Column::of(header), column, "{header}");
        }
    }

    #[test]
    fn no_date_is_none() {
        for cell in ["0/0/00", "0.0.00", "00/00/0000", "0-0-0"] {
            assert!(is_no_date(cell), "{cell}");
        }
        for cell in ["1/0/00", "", "0", "0/0", "12/24/1999"] {
            assert!(!is_no_date(cell), "{cell}");
        }
    }
}
