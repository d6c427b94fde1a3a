//! DKIM signatures on what our users and we ourselves send (RFC 6376).

use mailkit::{EmailAddress, dkim};

use crate::Delivery;
use crate::outbound::wire::{WireEncoder, has_bare_line_ends};

impl Delivery {
    /// The signature lines for a message as it goes out, by the keys of the first author's domain; empty if that is not
    /// ours or has no keys. A message that can not be signed goes out without: that is seen in the log. Blocking.
    pub(crate) fn sign(&self, authors: &[EmailAddress], message: &[u8]) -> Vec<u8> {
        let Some(domain) = authors.first().map(EmailAddress::domain) else { return Vec::new() };
        let keys = match self.inner.directory.domain(domain) {
            Ok(Some(found)) if !found.dkim.is_empty() => found.dkim,
            Ok(_) => return Vec::new(),
            Err(error) => {
                tracing::error!(domain, %error, "could not read the DKIM keys: sending the message unsigned");
                return Vec::new();
            }
        };
        // What is signed is what is sent: with line ends made right.
        let signed = if has_bare_line_ends(message) {
            let (mut encoder, mut out) = (WireEncoder::without_dots(), Vec::new());
            encoder.encode(message, &mut out);
            encoder.finish_lines(&mut out);
            dkim::sign(&out, &keys, domain)
        } else {
            dkim::sign(message, &keys, domain)
        };
        match signed {
            Ok(lines) => lines.into_bytes(),
            Err(error) => {
                tracing::error!(domain, %error, "DKIM signing failed: sending the message unsigned");
                metrics::counter!("holdfast_delivery_unsigned_total").increment(1);
                Vec::new()
            }
        }
    }
}
