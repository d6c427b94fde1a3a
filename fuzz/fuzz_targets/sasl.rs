//! SASL exchanges: no message sequence panics, and none but the right one succeeds.
#![no_main]

use doorkit::sasl::{Exchange, Mechanism, ScramKeys, Step};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, Vec<&[u8]>)| {
    let (mechanism, messages) = input;
    let mechanism = [Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256, Mechanism::ScramSha256Plus]
        [usize::from(mechanism % 4)];
    let mut exchange = Exchange::new(mechanism, Some([7; 32]));
    exchange.first_challenge();
    for message in messages {
        let Ok(mut step) = exchange.step(message) else {
            return;
        };
        if matches!(step, Step::ScramLogin(_)) {
            let Ok(next) = exchange.scram_keys(ScramKeys::without_password([7; 32])) else {
                return;
            };
            step = next;
        }
        // Nobody has the keys of an unknown login.
        assert!(!matches!(step, Step::Proved { .. }));
    }
});
