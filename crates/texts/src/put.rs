//! What can be put into a text.

use std::borrow::Cow;

use fluent_bundle::FluentValue;

/// A value for a text: a number, which the language writes in its own way and chooses a plural form by, or another text.
pub trait Put {
    /// The value.
    fn put(&self) -> FluentValue<'_>;
}

impl<T: Put + ?Sized> Put for &T {
    fn put(&self) -> FluentValue<'_> {
        (**self).put()
    }
}

impl Put for str {
    fn put(&self) -> FluentValue<'_> {
        FluentValue::from(self)
    }
}

impl Put for String {
    fn put(&self) -> FluentValue<'_> {
        FluentValue::from(self.as_str())
    }
}

impl Put for Cow<'_, str> {
    fn put(&self) -> FluentValue<'_> {
        FluentValue::from(self.as_ref())
    }
}

macro_rules! numbers {
    ($($number:ty)*) => { $(impl Put for $number {
        fn put(&self) -> FluentValue<'_> {
            FluentValue::from(*self)
        }
    })* };
}

numbers!(i8 u8 u16 i32 u32 i64 u64 usize);
