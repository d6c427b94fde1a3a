//! How an act of the address book ended: under which name its notice is found, and what is told beside the form.

use people::PeopleError;

use crate::error::Result;
use crate::problem::Problem;

/// The name of an act's receipt in the address of the page that tells of it.
pub fn told(key: &[u8]) -> String {
    format!("people:{}", hex::encode(key))
}

/// What can be told beside the form; the rest are faults.
pub fn problem(error: PeopleError) -> Result<Problem> {
    match error {
        PeopleError::Store(_) | PeopleError::Damaged(_) => Err(error.into()),
        refused => Ok(Problem::People(refused)),
    }
}
