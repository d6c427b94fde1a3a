//! HTTP to the authority: rustls with the public roots and, for a private authority, those of a file; within time, and no
//! answer larger than it should be.

use std::{future::Future, path::Path, pin::Pin, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode, body::Bytes, header};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{Clock, trouble::said};

/// How long one request may take, from looking its host up to the last byte.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer: a chain of certificates is some kilobytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// What answers said besides their content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Noticed {
    /// The last answer told us to come back at this time.
    pub hold_until_ms: Option<i64>,
    /// By how much this machine's clock is ahead of the authority's.
    pub ahead_ms: i64,
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    tls: TlsConnector,
    clock: Clock,
    noticed: Mutex<Noticed>,
}

impl Client {
    /// With the public roots, and those in `ca_file`.
    ///
    /// # Errors
    /// The file can't be read or has no certificate; a text.
    pub fn new(ca_file: Option<&Path>, clock: Clock) -> Result<Self, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(file) = ca_file {
            let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
            let mut found = 0;
            for one in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
                roots.add(one.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
                found += 1;
            }
            if found == 0 {
                return Err(wrong(&"has no certificate"));
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = TlsConnector::from(Arc::new(config));
        Ok(Self { inner: Arc::new(Inner { tls, clock, noticed: Mutex::default() }) })
    }

    /// What was noticed since [`Self::forget`].
    pub fn noticed(&self) -> Noticed {
        *self.inner.noticed.lock()
    }

    /// Before a new attempt.
    pub fn forget(&self) {
        *self.inner.noticed.lock() = Noticed::default();
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        match tokio::time::timeout(REQUEST_TIMEOUT, self.send(request)).await {
            Ok(answer) => answer.map_err(|why| Error::Other(format!("{host}: {why}").into())),
            Err(_) => Err(Error::Other(format!("{host} did not answer in time").into())),
        }
    }

    async fn send(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, String> {
        let (mut head, body) = request.into_parts();
        let uri = head.uri.clone();
        if uri.scheme_str() != Some("https") {
            return Err("an authority is asked over https only".to_owned());
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(443);
        let stream =
            TcpStream::connect((host.as_str(), port)).await.map_err(|error| format!("can't connect: {error}"))?;
        let name = ServerName::try_from(host).map_err(|_| "its URL has no host".to_owned())?;
        let stream = self.inner.tls.connect(name, stream).await.map_err(|error| self.tls_words(&error))?;
        let words = |error: hyper::Error| format!("the connection failed: {error}");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
        let driver = tokio::spawn(connection);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let host = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        head.headers.insert(header::HOST, host.parse().map_err(|_| "its URL has no host".to_owned())?);
        let bytes = body.collect().await.map_or_else(|never| match never {}, http_body_util::Collected::to_bytes);
        let mut request = Request::new(Full::new(bytes));
        *request.method_mut() = head.method;
        *request.headers_mut() = head.headers;
        *request.uri_mut() = path.parse().map_err(|_| "its URL is wrong".to_owned())?;
        let answer = sender.send_request(request).await.map_err(words);
        let answer = match answer {
            Ok(answer) => self.read(answer).await,
            Err(why) => Err(why),
        };
        driver.abort();
        answer
    }

    async fn read(&self, answer: hyper::Response<hyper::body::Incoming>) -> Result<BytesResponse, String> {
        let (parts, body) = answer.into_parts();
        let bytes = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let bytes = bytes.map_err(|error| format!("its answer could not be read: {error}"))?.to_bytes();
        self.notice(&parts);
        if !parts.status.is_success() {
            let is_problem = serde_json::from_slice::<instant_acme::Problem>(&bytes).is_ok();
            if !is_problem {
                return Err(format!("it answered {}", parts.status));
            }
        }
        Ok(BytesResponse { parts, body: Box::new(bytes) })
    }

    fn notice(&self, parts: &hyper::http::response::Parts) {
        let now_ms = (self.inner.clock)();
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let mut noticed = self.inner.noticed.lock();
        if let Some(theirs) = text(header::DATE).and_then(http_date) {
            noticed.ahead_ms = now_ms - theirs;
        }
        if matches!(parts.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let asked = text(header::RETRY_AFTER).map(str::trim);
            let at = asked.and_then(|asked| match asked.parse::<u32>() {
                Ok(seconds) => Some(now_ms + i64::from(seconds) * 1000),
                // Its clock and ours may differ.
                Err(_) => http_date(asked).map(|at| at + noticed.ahead_ms),
            });
            noticed.hold_until_ms = Some(at.unwrap_or(now_ms + DEFAULT_HOLD_MS));
        }
    }

    /// A certificate that is not good at our time shows a wrong clock more often than a careless authority.
    fn tls_words(&self, error: &std::io::Error) -> String {
        use rustls::CertificateError as Bad;
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let at = || {
            let now = jiff::Timestamp::from_millisecond((self.inner.clock)()).unwrap_or_default();
            now.strftime("%Y-%m-%d %H:%M UTC").to_string()
        };
        match inner {
            Some(rustls::Error::InvalidCertificate(
                Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. },
            )) => format!("its certificate is not valid at this machine's time, {}: check the clock", at()),
            Some(rustls::Error::InvalidCertificate(Bad::UnknownIssuer)) => {
                "its certificate is from an authority that is not trusted; for a private one set tls.acme.ca_file"
                    .to_owned()
            }
            _ => format!("TLS failed: {}", said(&error.to_string())),
        }
    }
}

/// Where an authority says "too many" without a time.
const DEFAULT_HOLD_MS: i64 = 3_600_000;

/// The time of a header, `Fri, 31 Dec 1999 23:59:59 GMT`.
fn http_date(text: &str) -> Option<i64> {
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond())
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().ask(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> hyper::http::response::Parts {
        let mut builder = hyper::Response::builder().status(status);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn retry_after_is_understood_in_both_forms_whatever_our_clock_says() {
        const AT: i64 = 1_800_000_000_000;
        const DATE: &str = "Fri, 15 Jan 2027 08:00:00 GMT";
        assert_eq!(http_date(DATE), Some(AT));
        for ahead in [0, 7_200_000, -86_400_000] {
            let client = Client::new(None, Arc::new(move || AT + ahead)).unwrap();
            let hold = |status, after: Option<&str>| {
                client.forget();
                let mut headers = vec![("Date", DATE)];
                headers.extend(after.map(|after| ("Retry-After", after)));
                client.notice(&answer(status, &headers));
                client.noticed()
            };
            let until = |status, after| hold(status, after).hold_until_ms.map(|at| at - AT - ahead);
            assert_eq!(hold(200, None), Noticed { hold_until_ms: None, ahead_ms: ahead });
            assert_eq!(until(429, Some("120")), Some(120_000));
            assert_eq!(until(503, Some("Fri, 15 Jan 2027 09:00:00 GMT")), Some(3_600_000));
            assert_eq!(until(429, None), Some(DEFAULT_HOLD_MS));
            assert_eq!(until(429, Some("soon")), Some(DEFAULT_HOLD_MS));
            assert_eq!(until(429, Some("99999999999999999999")), Some(DEFAULT_HOLD_MS));
            assert_eq!(until(404, Some("120")), None);
        }
    }

    #[test]
    fn a_file_of_roots_that_has_none_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("roots.pem");
        let clock: Clock = Arc::new(|| 0);
        assert!(Client::new(Some(&file), clock.clone()).is_err());
        std::fs::write(&file, "nothing").unwrap();
        assert!(Client::new(Some(&file), clock).is_err_and(|why| why.contains("roots.pem")));
    }
}
