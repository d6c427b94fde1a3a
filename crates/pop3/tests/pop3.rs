//! What POP3 clients can rely on, over real sockets.

#[path = "pop3/access.rs"]
mod access;
#[path = "pop3/login.rs"]
mod login;
#[path = "pop3/maildrop.rs"]
mod maildrop;
#[path = "pop3/python.rs"]
mod python;
#[path = "pop3/world.rs"]
mod world;
