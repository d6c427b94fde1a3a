//! The SMTP doors: MX, submission, LMTP.
