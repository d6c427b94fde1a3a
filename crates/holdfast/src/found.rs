//! Damage as fields, for programs: in `status --json`, in what a check leaves behind.

use serde::{Deserialize, Serialize};
use store::{Damage, Damaged};

/// One thing that is damaged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Found {
    /// What is damaged: a code such as `segment`, `body`, `record`.
    pub part: String,
    /// What shows it: a code such as `checksum`, `cut-off`, `missing`.
    pub cause: String,
    /// The file, where it is known.
    pub file: Option<String>,
    /// The place in the file, in bytes.
    pub offset: Option<u64>,
    /// The first commit concerned.
    pub commit: Option<u64>,
    /// The realm.
    pub realm: Option<String>,
    /// The record's key, in hexadecimal.
    pub key: Option<String>,
    /// The body.
    pub body: Option<String>,
    /// The same for people.
    pub text: String,
}

impl From<&Damaged> for Found {
    fn from(damage: &Damaged) -> Self {
        Self {
            part: damage.part.code().to_owned(),
            cause: damage.cause.code().to_owned(),
            file: damage.file.clone(),
            offset: damage.offset,
            commit: damage.commit.map(|seq| seq.0),
            realm: damage.realm.map(|realm| realm.to_string()),
            key: damage.key.as_deref().map(|key| key.iter().map(|byte| format!("{byte:02x}")).collect()),
            body: damage.body.map(|id| id.to_string()),
            text: damage.to_string(),
        }
    }
}

/// All damage that is named.
pub fn all(damage: &Damage) -> Vec<Found> {
    let realms = damage.realms.iter().map(|(_, what)| what);
    let files = damage.files.iter().map(|(_, what)| what);
    realms.chain(files).chain(damage.bodies.iter().map(|(_, what)| what)).map(Found::from).collect()
}
