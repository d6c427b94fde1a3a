//! What judges have written in the commit that accepts a message.

use std::fmt;
use std::sync::Arc;

use store::{StoreError, Tx};

/// What is written in the commit that accepts a message.
#[derive(Clone)]
pub(crate) struct Along(Arc<WriteIn>);

type WriteIn = dyn Fn(&mut Tx<'_>) -> Result<(), StoreError> + Send + Sync;

impl Along {
    pub(crate) fn new(write: impl Fn(&mut Tx<'_>) -> Result<(), StoreError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    pub(crate) fn write_in(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        (self.0)(tx)
    }
}

impl PartialEq for Along {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Along {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Along")
    }
}
