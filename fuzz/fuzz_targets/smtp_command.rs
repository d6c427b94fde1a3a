//! SMTP command lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailkit::EmailAddress;
use smtp::command::{Command, parse};

fuzz_target!(|line: &str| {
    let path = match parse(line) {
        Ok(Command::Mail(mail)) => mail.from,
        Ok(Command::Rcpt(rcpt)) => rcpt.to,
        _ => None,
    };
    // A path that was taken is an address with one spelling.
    if let Some(address) = path {
        assert_eq!(EmailAddress::parse(&address.to_string()), Ok(address));
    }
});
