//! Outlook's Autodiscover: the XML form ("POX", schemas 2006 and 2006a) and the JSON form that says where the XML is.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::ways::{Way, Ways, answer, domain_of, unknown, web_url};
use super::xml::{escape, text_of};
use crate::site::Site;

/// The longest request.
const MAX_REQUEST: usize = 16 * 1024;
const XML: &str = "text/xml; charset=utf-8";
const ENVELOPE: &str = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006";
const OUTLOOK: &str = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

/// What a program may say in the address.
#[derive(Deserialize, Default)]
pub struct Asked {
    #[serde(default, alias = "email", alias = "EmailAddress", alias = "emailaddress", rename = "Email")]
    email: String,
    #[serde(default, alias = "protocol", rename = "Protocol")]
    protocol: String,
}

/// `POST`: the address is in a request of XML.
pub async fn by_form(State(site): State<Site>, headers: HeaderMap, body: Bytes) -> Response {
    if body.len() > MAX_REQUEST {
        return (StatusCode::PAYLOAD_TOO_LARGE, "the request is too long\n").into_response();
    }
    let text = String::from_utf8_lossy(&body);
    let Some(address) = text_of(&text, "EMailAddress") else {
        return (StatusCode::BAD_REQUEST, "the request names no EMailAddress\n").into_response();
    };
    let schema = text_of(&text, "AcceptableResponseSchema");
    // ActiveSync and others: there is no such service.
    if schema.is_some_and(|schema| !schema.eq_ignore_ascii_case(OUTLOOK)) {
        return answer(XML, refused(601, "Provider is not available"));
    }
    settings(&site, &headers, &address)
}

/// `GET`: the address is in the query.
pub async fn by_query(State(site): State<Site>, headers: HeaderMap, Query(asked): Query<Asked>) -> Response {
    settings(&site, &headers, &asked.email)
}

/// A format with one server of each kind: the one by the name that the program came by.
fn settings(site: &Site, headers: &HeaderMap, address: &str) -> Response {
    let address = address.trim();
    let ways = Ways::of(site, headers);
    if domain_of(site, address).is_none() || !ways.is_complete() {
        return unknown();
    }
    let (host, login) = (escape(&ways.hostname), escape(address));
    let protocol = |kind: &str, way: Option<Way>, more: &str| {
        let Some(Way { port, tls }) = way else { return String::new() };
        let (ssl, encryption) = if tls { ("on", "SSL") } else { ("off", "TLS") };
        format!(
            "      <Protocol>\n        <Type>{kind}</Type>\n        <Server>{host}</Server>\n        <Port>{port}</Port>\n        \
             <DomainRequired>off</DomainRequired>\n        <LoginName>{login}</LoginName>\n        <SPA>off</SPA>\n        \
             <SSL>{ssl}</SSL>\n        <Encryption>{encryption}</Encryption>\n        <AuthRequired>on</AuthRequired>\n{more}      \
             </Protocol>\n"
        )
    };
    let outgoing = "        <UsePOPAuth>off</UsePOPAuth>\n        <SMTPLast>off</SMTPLast>\n";
    let protocols =
        protocol("IMAP", ways.imap, "") + &protocol("POP3", ways.pop3, "") + &protocol("SMTP", ways.smtp, outgoing);
    answer(
        XML,
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Autodiscover xmlns=\"{ENVELOPE}\">\n  <Response xmlns=\"{OUTLOOK}\">\n    \
             <User>\n      <DisplayName>{login}</DisplayName>\n    </User>\n    <Account>\n      \
             <AccountType>email</AccountType>\n      <Action>settings</Action>\n{protocols}    </Account>\n  </Response>\n\
             </Autodiscover>\n"
        ),
    )
}

fn refused(code: u32, message: &str) -> String {
    let now = jiff::Timestamp::now().strftime("%H:%M:%S.0000000");
    let message = escape(message);
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Autodiscover xmlns=\"{ENVELOPE}\">\n  <Response>\n    \
         <Error Time=\"{now}\" Id=\"1\">\n      <ErrorCode>{code}</ErrorCode>\n      <Message>{message}</Message>\n      \
         <DebugData/>\n    </Error>\n  </Response>\n</Autodiscover>\n"
    )
}

/// The JSON form, with the address in the query.
pub async fn json(State(site): State<Site>, Query(asked): Query<Asked>) -> Response {
    located(&site, &asked.email, &asked.protocol)
}

/// The JSON form, with the address in the path.
pub async fn json_of(State(site): State<Site>, Path(address): Path<String>, Query(asked): Query<Asked>) -> Response {
    located(&site, &address, &asked.protocol)
}

fn located(site: &Site, address: &str, protocol: &str) -> Response {
    let error = |status: StatusCode, code: &str, message: &str| {
        let body = serde_json::json!({ "ErrorCode": code, "ErrorMessage": message });
        (status, axum::Json(body)).into_response()
    };
    if domain_of(site, address).is_none() {
        return error(StatusCode::NOT_FOUND, "DomainNotFound", "This domain is not hosted here.");
    }
    match protocol {
        "" => error(
            StatusCode::BAD_REQUEST,
            "MandatoryParameterMissing",
            "A valid value must be provided for the query parameter 'Protocol'",
        ),
        known if known.eq_ignore_ascii_case("AutodiscoverV1") => axum::Json(serde_json::json!({
            "Protocol": "AutodiscoverV1",
            "Url": format!("{}/autodiscover/autodiscover.xml", web_url(site)),
        }))
        .into_response(),
        _ => error(
            StatusCode::BAD_REQUEST,
            "InvalidProtocol",
            "The given protocol value is invalid. Supported values are 'AutodiscoverV1'",
        ),
    }
}
