//! The promises of the delivery crate, through its public face, over real sockets on loopback.

mod admin;
mod bounces;
mod dane;
mod dnssec;
mod fake;
mod forwarding;
mod inbound;
mod judging;
mod killed;
mod knot;
mod outbound;
mod posttls;
mod quota;
mod relayed;
mod resolver;
mod secured;
mod sending;
mod sts;
mod sts_in_time;
mod submission;
mod survival;
mod tls_reports;
mod unsigned;
mod world;
