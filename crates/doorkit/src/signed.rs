//! Documents signed with the service's certificate: a CMS SignedData (RFC 5652) that holds the document, one signature and the
//! chain of certificates.

use aws_lc_rs::digest::{self, digest};
use rustls::{SignatureScheme, sign::CertifiedKey};
use x509_parser::prelude::{FromDer as _, X509Certificate};

const INTEGER_ONE: &[u8] = &[0x02, 1, 1];
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]`, of several values.
const FIRST: u8 = 0xA0;

/// Object identifiers (RFC 5652, sections 4, 5.1 and 11), with tag and length.
const DATA: &[u8] = &[0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 1];
const SIGNED_DATA: &[u8] = &[0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 2];
const CONTENT_TYPE: &[u8] = &[0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 3];
const MESSAGE_DIGEST: &[u8] = &[0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 4];
const SIGNING_TIME: &[u8] = &[0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 5];

/// A kind of signature: what TLS calls it, the digest, and both names in DER (RFC 5754 sections 2 and 3).
struct Scheme {
    scheme: SignatureScheme,
    digest: &'static digest::Algorithm,
    digest_name: &'static [u8],
    name: &'static [u8],
}

const SHA256: &[u8] = &[SEQUENCE, 11, 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SHA384: &[u8] = &[SEQUENCE, 11, 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
const SHA512: &[u8] = &[SEQUENCE, 11, 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];

/// Those that programs know; keys of other kinds sign nothing.
static SCHEMES: [Scheme; 4] = [
    Scheme {
        scheme: SignatureScheme::RSA_PKCS1_SHA256,
        digest: &digest::SHA256,
        digest_name: SHA256,
        name: &[SEQUENCE, 13, 0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1, 5, 0],
    },
    Scheme {
        scheme: SignatureScheme::ECDSA_NISTP256_SHA256,
        digest: &digest::SHA256,
        digest_name: SHA256,
        name: &[SEQUENCE, 10, 0x06, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2],
    },
    Scheme {
        scheme: SignatureScheme::ECDSA_NISTP384_SHA384,
        digest: &digest::SHA384,
        digest_name: SHA384,
        name: &[SEQUENCE, 10, 0x06, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 3],
    },
    Scheme {
        scheme: SignatureScheme::ECDSA_NISTP521_SHA512,
        digest: &digest::SHA512,
        digest_name: SHA512,
        name: &[SEQUENCE, 10, 0x06, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 4],
    },
];

/// The document, signed at `now_s` (seconds since 1970), in DER. `None` if the key is of a kind that signs no documents.
pub(crate) fn signed(own: &CertifiedKey, document: &[u8], now_s: i64) -> Option<Vec<u8>> {
    let (scheme, signer) =
        SCHEMES.iter().find_map(|scheme| Some((scheme, own.key.choose_scheme(&[scheme.scheme])?)))?;
    let (_, leaf) = X509Certificate::from_der(own.cert.first()?).ok()?;
    let mut attributes = [
        attribute(CONTENT_TYPE, DATA),
        attribute(MESSAGE_DIGEST, &der(OCTETS, &[digest(scheme.digest, document).as_ref()])),
        attribute(SIGNING_TIME, &time(now_s)?),
    ];
    // DER has the members of a set in order.
    attributes.sort();
    let attributes: Vec<&[u8]> = attributes.iter().map(Vec::as_slice).collect();
    // Signed as a set, and sent under another tag (RFC 5652 section 5.4).
    let signature = signer.sign(&der(SET, &attributes)).ok()?;
    let serial = der(0x02, &[leaf.raw_serial()]);
    let signer = der(
        SEQUENCE,
        &[
            INTEGER_ONE,
            &der(SEQUENCE, &[leaf.issuer().as_raw(), &serial]),
            scheme.digest_name,
            &der(FIRST, &attributes),
            scheme.name,
            &der(OCTETS, &[&signature]),
        ],
    );
    let chain: Vec<&[u8]> = own.cert.iter().map(AsRef::as_ref).collect();
    let data = der(
        SEQUENCE,
        &[
            INTEGER_ONE,
            &der(SET, &[scheme.digest_name]),
            &der(SEQUENCE, &[DATA, &der(FIRST, &[&der(OCTETS, &[document])])]),
            &der(FIRST, &chain),
            &der(SET, &[&signer]),
        ],
    );
    Some(der(SEQUENCE, &[SIGNED_DATA, &der(FIRST, &[&data])]))
}

fn attribute(name: &[u8], value: &[u8]) -> Vec<u8> {
    der(SEQUENCE, &[name, &der(SET, &[value])])
}

/// A moment: with two digits of the year until 2049 (RFC 5652 section 11.3).
fn time(now_s: i64) -> Option<Vec<u8>> {
    let moment = jiff::Timestamp::from_second(now_s).ok()?;
    let year: i32 = moment.strftime("%Y").to_string().parse().ok()?;
    let (tag, form) = if (1950..2050).contains(&year) { (0x17, "%y%m%d%H%M%SZ") } else { (0x18, "%Y%m%d%H%M%SZ") };
    Some(der(tag, &[moment.strftime(form).to_string().as_bytes()]))
}

/// A value with tag and length (X.690 sections 8.1 and 10.1).
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut made = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => made.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
            made.push(0x80 | u8::try_from(bytes.len()).unwrap_or_default());
            made.extend_from_slice(bytes);
        }
    }
    for part in parts {
        made.extend_from_slice(part);
    }
    made
}

#[cfg(test)]
mod tests;
