//! The webmail door.
