//! Reports about hosted domains as strangers send them: DMARC and TLS, packed or not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reports::{MAX_EXPANDED_BYTES, Report, dmarc, read, tls, unpack};

fuzz_target!(|attachment: &[u8]| {
    if let Ok(text) = unpack(attachment) {
        assert!(text.len() as u64 <= MAX_EXPANDED_BYTES as u64);
    }
    match read(attachment) {
        Ok(Report::Dmarc(report)) => {
            assert!(report.rows.len() <= dmarc::MAX_ROWS);
            for row in &report.rows {
                assert!(row.dkim_results.len() <= dmarc::MAX_RESULTS && row.spf_results.len() <= dmarc::MAX_RESULTS);
            }
            report.messages();
        }
        Ok(Report::Tls(report)) => {
            assert!(report.policies.len() <= tls::MAX_POLICIES);
            let details = report.policies.iter().map(|policy| policy.details.len()).max();
            assert!(details.unwrap_or(0) <= tls::MAX_FAILURES);
            report.by_domain();
        }
        Err(why) => drop(why.to_string()),
    }
});
