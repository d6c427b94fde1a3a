//! The POP3 door.
