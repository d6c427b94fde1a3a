//! The commit log that everything follows, its index, and the content-addressed bodies.
