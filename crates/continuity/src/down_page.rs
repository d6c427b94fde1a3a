//! The page that people see while the service is not there: it says so with a status that no cache keeps, keeps what
//! was being sent, and leaves by itself.
//!
//! It needs nothing but itself: style and script are in it, allowed by their hashes. Without JavaScript a page that was
//! only looked at is loaded again by the browser; one that holds a form is not, because that would lose the form.

use std::{fmt::Write as _, sync::LazyLock};

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// Seconds after which a client may ask again: `Retry-After`.
pub const RETRY_AFTER_SECONDS: u32 = 5;
/// Fields of a form that are kept; a larger form is answered without them, and says so.
pub const MAX_FIELDS: usize = 200;

/// What is to be told.
#[derive(Debug, Clone, Default)]
pub struct DownPage {
    /// What works and what does not, in a sentence or two.
    pub text: String,
    /// What comes next; empty is nothing.
    pub next: String,
    /// The form that was being sent, if one was.
    pub form: Option<Form>,
}

/// A form on its way, to be offered again.
#[derive(Debug, Clone, Default)]
pub struct Form {
    /// The path and query it was sent to, which is where it will be sent again.
    pub action: String,
    /// Its fields, in order.
    pub fields: Vec<(String, String)>,
    /// Files were chosen, or it was too large to be kept whole: what is to be said about it.
    pub lost: Option<&'static str>,
}

/// A rendered page.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The HTML.
    pub html: String,
    /// Its `Content-Security-Policy`.
    pub policy: &'static str,
}

const STYLE: &str = "\
:root{color-scheme:light dark;--paper:#fbfaf8;--ink:#23211e;--soft:#6b665e;--line:#dcd7ce;--accent:#1f6f5c;--on:#fff}\
@media(prefers-color-scheme:dark){:root{--paper:#191816;--ink:#ece8e1;--soft:#a29c92;--line:#3a3733;--accent:#6cc3ab;--on:#10211c}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--paper);color:var(--ink);\
font:1.0625rem/1.55 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}\
main{width:100%;max-width:34rem}\
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .75rem;letter-spacing:-.01em}\
p{margin:0 0 .75rem}.soft{color:var(--soft)}\
.mark{width:2.5rem;height:2.5rem;margin-bottom:1.25rem;color:var(--accent)}\
form{margin-top:1.5rem;padding-top:1.25rem;border-top:1px solid var(--line)}\
label{display:block;margin:0 0 .25rem;font-size:.9rem;color:var(--soft)}\
textarea,input[type=text]{width:100%;font:inherit;color:inherit;background:transparent;border:1px solid var(--line);\
border-radius:.5rem;padding:.5rem .65rem;margin-bottom:.9rem}\
textarea{min-height:9rem}\
button{font:inherit;font-weight:600;border:0;border-radius:.5rem;padding:.6rem 1.1rem;background:var(--accent);color:var(--on);cursor:pointer}\
button:focus-visible,textarea:focus-visible,input:focus-visible{outline:2px solid var(--accent);outline-offset:2px}";

/// Asks for the page itself every two seconds, and goes there once it is answered; with a form, says that it can be sent.
const SCRIPT: &str = "\
(()=>{const form=document.querySelector('form'),state=document.querySelector('[role=status]');\
const ask=async()=>{try{const r=await fetch(form?'/health':location.href,{cache:'no-store',redirect:'manual'});\
const s=r.headers.get('x-holdfast-stage');\
if(r.status!==503&&r.status!==502&&r.status!==504&&(!form||r.status!==200||!s||s==='on')){\
if(!form){location.reload();return}\
state.textContent='The service is back. You can send it now.';form.querySelector('button').focus();return}}catch{}\
setTimeout(ask,2000)};setTimeout(ask,2000)})()";

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash =
        |text: &str| BASE64_STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

/// Text for HTML, also inside attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// What a field is called on the page, for those that people wrote themselves.
fn label(name: &str) -> Option<&'static str> {
    Some(match name {
        "to" => "To",
        "cc" => "Cc",
        "bcc" => "Bcc",
        "subject" => "Subject",
        "text" | "body" => "Message",
        "note" | "notes" => "Notes",
        "name" => "Name",
        _ => return None,
    })
}

impl DownPage {
    /// The page as HTML.
    pub fn render(&self) -> Rendered {
        let mut html = String::with_capacity(4096);
        html.push_str("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
        html.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
        html.push_str("<meta name=\"robots\" content=\"noindex\">");
        if self.form.is_none() {
            let _ =
                write!(html, "<noscript><meta http-equiv=\"refresh\" content=\"{RETRY_AFTER_SECONDS}\"></noscript>");
        }
        let _ = write!(html, "<title>Back in a moment</title><style>{STYLE}</style></head><body><main>");
        html.push_str(
            "<svg class=\"mark\" viewBox=\"0 0 24 24\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.8\" \
             stroke-linecap=\"round\" stroke-linejoin=\"round\" aria-hidden=\"true\"><circle cx=\"12\" cy=\"5\" r=\"2.2\"/>\
             <path d=\"M12 7.2V21M5 12H3.2a8.8 8.8 0 0 0 17.6 0H19M8.5 10.5h7\"/></svg><h1>Back in a moment</h1>",
        );
        let text = if self.text.is_empty() { "The mail service is not available right now." } else { &self.text };
        let _ = write!(html, "<p>{}</p>", escaped(text));
        if !self.next.is_empty() {
            let _ = write!(html, "<p class=\"soft\">{}</p>", escaped(&self.next));
        }
        match &self.form {
            None => html.push_str("<p class=\"soft\" role=\"status\">This page goes on by itself.</p>"),
            Some(form) => {
                html.push_str("<p role=\"status\">What you were sending is kept here. Send it again once the service is back: it is done once, however often you press.</p>");
                form.render(&mut html);
            }
        }
        let _ = write!(html, "</main><script>{SCRIPT}</script></body></html>");
        Rendered { html, policy: &POLICY }
    }
}

impl Form {
    fn render(&self, html: &mut String) {
        let _ = write!(html, "<form method=\"post\" action=\"{}\">", escaped(&self.action));
        if let Some(lost) = self.lost {
            let _ = write!(html, "<p><strong>{lost}</strong></p>");
        }
        for (number, (name, value)) in self.fields.iter().enumerate() {
            let (name_html, value_html) = (escaped(name), escaped(value));
            match label(name) {
                Some(label) if value.contains('\n') || matches!(name.as_str(), "text" | "body") => {
                    let _ = write!(
                        html,
                        "<label for=\"f{number}\">{label}</label><textarea id=\"f{number}\" name=\"{name_html}\">\n{value_html}</textarea>"
                    );
                }
                Some(label) if !value.is_empty() => {
                    let _ = write!(
                        html,
                        "<label for=\"f{number}\">{label}</label><input id=\"f{number}\" type=\"text\" name=\"{name_html}\" value=\"{value_html}\">"
                    );
                }
                _ => {
                    let _ = write!(html, "<input type=\"hidden\" name=\"{name_html}\" value=\"{value_html}\">");
                }
            }
        }
        html.push_str("<button type=\"submit\">Send again</button></form>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(fields: &[(&str, &str)]) -> String {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let form = Form { action: "/compose?reply=3&all".to_owned(), fields, lost: None };
        DownPage { form: Some(form), ..DownPage::default() }.render().html
    }

    #[test]
    fn a_form_is_kept_with_its_key_and_cannot_break_out_of_the_page() {
        let html = page(&[
            ("key", "k-1"),
            ("to", "anna@example.org"),
            ("text", "line\n</textarea><script>alert(1)</script>"),
            ("\"><b>", "'\"<&>"),
        ]);
        assert!(html.contains("action=\"/compose?reply=3&amp;all\""));
        assert!(html.contains("<input type=\"hidden\" name=\"key\" value=\"k-1\">"));
        assert!(html.contains("line\n&lt;/textarea&gt;&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(html.contains("name=\"&quot;&gt;&lt;b&gt;\" value=\"&#39;&quot;&lt;&amp;&gt;\""));
        assert_eq!(html.matches("<script>").count(), 1, "its own");
        assert!(!html.contains("http-equiv"), "loading it again would lose the form");
    }

    #[test]
    fn a_page_that_was_looked_at_is_loaded_again() {
        let rendered = DownPage { text: "We <are> moving.".to_owned(), ..DownPage::default() }.render();
        assert!(rendered.html.contains("http-equiv=\"refresh\"") && rendered.html.contains("We &lt;are&gt; moving."));
        assert!(rendered.policy.contains("script-src 'sha256-") && !rendered.policy.contains("unsafe"));
        assert!(rendered.html.len() < 8_000);
    }
}
