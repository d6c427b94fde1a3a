//! The stages in which a service comes back.

/// How much of the service is on. Each stage has all that those before it have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Nothing but the page that says so.
    Dark,
    /// The service checks itself; it does not act on the world.
    Checks,
    /// People read and send by the web.
    Web,
    /// IMAP, POP3 and submission, behind admission control.
    Clients,
    /// What waited in the queue is delivered.
    Queues,
    /// Everything.
    Open,
}
