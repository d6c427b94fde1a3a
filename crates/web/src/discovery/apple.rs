//! Configuration profiles for Apple's Mail: made for one account with an app password of its own, and fetched once or twice by a
//! link that nobody can guess.
//!
//! Profiles that were not fetched are kept in memory for some minutes; after a restart a new one is made.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::profiles::Profile;
use super::ways::{Way, Ways, unknown};
use super::xml::escape;
use crate::site::Site;

const KIND: &str = "application/x-apple-aspen-config";

/// The path of a profile.
pub fn path_of(token: &str) -> String {
    format!("/profile/{token}.mobileconfig")
}

/// `GET /profile/{token}.mobileconfig`
pub async fn show(State(site): State<Site>, Path(name): Path<String>) -> Response {
    let profile = name.strip_suffix(".mobileconfig").and_then(|token| site.profiles.take(token));
    let Some(profile) = profile else { return unknown() };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(KIND)),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"mail.mobileconfig\"")),
    ];
    (headers, profile.bytes).into_response()
}

/// Whether the listeners are there that Apple's Mail needs.
pub fn is_possible(site: &Site) -> bool {
    let ways = Ways::by(site, String::new());
    ways.imap.is_some() && ways.smtp.is_some()
}

/// The profile of an account by one of the service's names: its address, its owner's name, and the app password. Signed with
/// the certificate of that name, if there is one that devices believe.
pub fn profile(site: &Site, host: &str, of: (&str, &str), password: &str) -> Option<Profile> {
    let text = text(site, host, of, password)?;
    let now_s = jiff::Timestamp::now().as_second();
    let signed = site.options.tls.as_ref().and_then(|tls| tls.sign(host, text.as_bytes(), now_s));
    Some(match signed {
        Some(bytes) => Profile { bytes, signed: true },
        None => Profile { bytes: text.into_bytes(), signed: false },
    })
}

fn text(site: &Site, host: &str, (address, name): (&str, &str), password: &str) -> Option<String> {
    let ways = Ways::by(site, host.to_owned());
    let (imap, smtp) = (ways.imap?, ways.smtp?);
    let identifier: Vec<&str> = ways.hostname.rsplit('.').collect();
    let identifier =
        format!("{}.mail.{}", identifier.join("."), hex::encode(&blake3::hash(address.as_bytes()).as_bytes()[..8]));
    let incoming = server("Incoming", &ways.hostname, imap, address);
    let outgoing = server("Outgoing", &ways.hostname, smtp, address);
    let text = |key: &str, value: &str| format!("      <key>{key}</key>\n      <string>{}</string>\n", escape(value));
    let account = [
        text("PayloadType", "com.apple.mail.managed"),
        text("PayloadIdentifier", &format!("{identifier}.account")),
        text("PayloadUUID", &uuid()),
        text("PayloadDisplayName", address),
        "      <key>PayloadVersion</key>\n      <integer>1</integer>\n".to_owned(),
        text("EmailAccountType", "EmailTypeIMAP"),
        text("EmailAccountDescription", address),
        text("EmailAccountName", name),
        text("EmailAddress", address),
        incoming,
        text("IncomingPassword", password),
        outgoing,
        "      <key>OutgoingPasswordSameAsIncomingPassword</key>\n      <true/>\n".to_owned(),
    ]
    .concat();
    let (host, shown, uuid) = (escape(&ways.hostname), escape(address), uuid());
    Some(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
         \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n  <key>PayloadContent</key>\n  \
         <array>\n    <dict>\n{account}    </dict>\n  </array>\n  <key>PayloadDisplayName</key>\n  <string>{shown}</string>\n  \
         <key>PayloadDescription</key>\n  <string>Sets up mail for {shown}</string>\n  <key>PayloadOrganization</key>\n  \
         <string>{host}</string>\n  <key>PayloadIdentifier</key>\n  <string>{}</string>\n  <key>PayloadType</key>\n  \
         <string>Configuration</string>\n  <key>PayloadUUID</key>\n  <string>{uuid}</string>\n  <key>PayloadVersion</key>\n  \
         <integer>1</integer>\n</dict>\n</plist>\n",
        escape(&identifier)
    ))
}

/// One direction. Where the connection does not begin with TLS, it is upgraded.
fn server(direction: &str, host: &str, way: Way, login: &str) -> String {
    let (host, login, port) = (escape(host), escape(login), way.port);
    format!(
        "      <key>{direction}MailServerHostName</key>\n      <string>{host}</string>\n      \
         <key>{direction}MailServerPortNumber</key>\n      <integer>{port}</integer>\n      \
         <key>{direction}MailServerUseSSL</key>\n      <true/>\n      \
         <key>{direction}MailServerAuthentication</key>\n      <string>EmailAuthPassword</string>\n      \
         <key>{direction}MailServerUsername</key>\n      <string>{login}</string>\n"
    )
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode_upper(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_of_version_four() {
        let made = uuid();
        assert_eq!(made.len(), 36);
        assert_eq!((&made[14..15], "89AB".contains(&made[19..20])), ("4", true), "{made}");
    }
}
