//! The site as passkeys know it.

use axum::http::{HeaderMap, header};

use crate::options::WebOptions;

/// The site as passkeys know it: by the name that the browser came by, if it is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relying {
    /// The domain that passkeys are for.
    pub id: String,
    /// The origins at which pages of it are.
    pub origins: Vec<String>,
}

impl Relying {
    /// `None`: browsers have no passkeys there. They want HTTPS and a name; `localhost` needs no HTTPS.
    pub fn of(options: &WebOptions, headers: &HeaderMap, encrypted: bool) -> Option<Self> {
        let public = options.public_url.as_deref().and_then(|url| url::Url::parse(url).ok());
        let public = public.and_then(|url| match url.host() {
            Some(url::Host::Domain(name)) if url.scheme() == "https" || is_local(name) => {
                Some((name.trim_end_matches('.').to_owned(), url.origin().ascii_serialization()))
            }
            _ => None,
        });
        let asked = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let (name, port) = match asked.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, Some(port)),
            _ => (asked, None),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let is_public = public.as_ref().is_some_and(|(public, _)| *public == name);
        let names = std::iter::once(&options.hostname).chain(&options.also_known_as);
        let is_ours = is_public || is_local(&name) || names.clone().any(|ours| ours.eq_ignore_ascii_case(&name));
        if !is_ours || name.parse::<std::net::IpAddr>().is_ok() {
            return public.map(|(id, origin)| Self { id, origins: vec![origin] });
        }
        let mut origins: Vec<String> = public.into_iter().filter(|_| is_public).map(|(_, origin)| origin).collect();
        let place = match port {
            Some(port) if port != "443" && port != "80" => format!("{name}:{port}"),
            _ => name.clone(),
        };
        if encrypted {
            origins.push(format!("https://{place}"));
        } else if is_local(&name) {
            origins.push(format!("http://{place}"));
        }
        origins.dedup();
        (!origins.is_empty()).then_some(Self { id: name, origins })
    }
}

fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relying(host: &str, encrypted: bool, public_url: Option<&str>) -> Option<(String, Vec<String>)> {
        let options = WebOptions {
            hostname: "mail.one.example".to_owned(),
            also_known_as: vec!["mail.two.example".to_owned()],
            public_url: public_url.map(str::to_owned),
            ..WebOptions::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        Relying::of(&options, &headers, encrypted).map(|relying| (relying.id, relying.origins))
    }

    #[test]
    fn each_name_of_the_service_is_a_site_of_its_own_and_no_other_name_is() {
        let is =
            |id: &str, origins: &[&str]| Some((id.to_owned(), origins.iter().map(|one| (*one).to_owned()).collect()));
        for (host, encrypted, public, expected) in [
            ("mail.one.example", true, None, is("mail.one.example", &["https://mail.one.example"])),
            ("Mail.One.Example:443", true, None, is("mail.one.example", &["https://mail.one.example"])),
            ("mail.two.example:8443", true, None, is("mail.two.example", &["https://mail.two.example:8443"])),
            ("mail.two.example.", true, None, is("mail.two.example", &["https://mail.two.example"])),
            ("localhost:8080", false, None, is("localhost", &["http://localhost:8080"])),
            ("localhost:8443", true, None, is("localhost", &["https://localhost:8443"])),
            // Browsers have none without HTTPS, nor at a bare address, and another site's name is not ours.
            ("mail.one.example", false, None, None),
            ("127.0.0.1:8080", false, None, None),
            ("[::1]:8080", true, None, None),
            ("evil.example", true, None, None),
            ("one.example", true, None, None),
            ("", true, None, None),
            // Behind a proxy.
            (
                "127.0.0.1:8080",
                false,
                Some("https://webmail.example"),
                is("webmail.example", &["https://webmail.example"]),
            ),
            (
                "webmail.example",
                false,
                Some("https://webmail.example:444/"),
                is("webmail.example", &["https://webmail.example:444"]),
            ),
            ("127.0.0.1:8080", false, Some("http://webmail.example"), None),
        ] {
            assert_eq!(relying(host, encrypted, public), expected, "{host} {encrypted} {public:?}");
        }
        let both = relying("webmail.example", true, Some("https://webmail.example")).unwrap().1;
        assert_eq!(both, ["https://webmail.example"]);
    }
}
