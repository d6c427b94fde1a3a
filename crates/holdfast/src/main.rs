//! A complete mail service in one binary.

fn main() {}
