//! The "service unavailable" page: sent with a status that is never cached, it keeps a form that was being submitted
//! and reloads when the service is back.
//!
//! The page is self-contained: style and script are inline, allowed by their hashes. Without JavaScript, the browser
//! reloads a page without a form; a page with a form is not reloaded, because the form would be lost.

use std::{fmt::Write as _, sync::LazyLock};

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// Seconds after which a client may ask again: `Retry-After`.
pub const RETRY_AFTER_SECONDS: u32 = 5;
/// The most fields of a form that are kept; a larger form is not kept, and the page says so.
pub const MAX_FIELDS: usize = 200;

/// The header that `/health` has while people can use the web, with the value `on`; what the page waits for.
pub const STAGE_HEADER: &str = "x-holdfast-stage";

/// The contents of the page.
#[derive(Debug, Clone, Default)]
pub struct DownPage {
    /// The heading; empty is "Back in a moment".
    pub title: &'static str,
    /// One or two sentences about what works and what doesn't.
    pub text: String,
    /// What will work next; may be empty.
    pub next: String,
    /// The form that was being sent, if one was.
    pub form: Option<Form>,
    /// The service is there, only this part of it is off: the page stays, with a way back.
    pub stays: bool,
}

/// A form on its way, to be offered again.
#[derive(Debug, Clone, Default)]
pub struct Form {
    /// The path and query it was sent to, which is where it will be sent again.
    pub action: String,
    /// It came as `multipart/form-data`, which is how it is sent again.
    pub multipart: bool,
    /// Its fields, in order. What people would not want to see on a page, such as a password, does not belong here.
    pub fields: Vec<(String, String)>,
    /// A notice if files were attached, or if the form was too large to be kept.
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
:root{color-scheme:light dark;--paper:light-dark(oklch(1 0 0),oklch(.205 .017 225));\
--ground:light-dark(oklch(.955 .01 205),oklch(.165 .016 225));--ink:light-dark(oklch(.235 .022 232),oklch(.945 .008 205));\
--soft:light-dark(oklch(.43 .022 228),oklch(.79 .014 212));--line:light-dark(oklch(.62 .02 215),oklch(.56 .022 220));\
--accent:light-dark(oklch(.455 .083 202),oklch(.78 .1 190));--on:light-dark(#fff,oklch(.185 .03 215))}\
*{box-sizing:border-box}\
body{margin:0;min-height:100dvh;display:grid;place-items:center;padding:1.5rem;background:var(--ground);color:var(--ink);\
font:1rem/1.55 ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif}\
main{width:100%;max-width:34rem;background:var(--paper);border-radius:16px;padding:clamp(1.25rem,5vw,2.5rem);\
box-shadow:0 10px 36px light-dark(rgb(12 40 48/12%),rgb(0 0 0/45%))}\
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .75rem;letter-spacing:-.014em;font-weight:650}\
p{margin:0 0 .75rem;overflow-wrap:anywhere}p:last-child{margin-bottom:0}.soft{color:var(--soft)}a{color:var(--accent)}\
.mark{width:2.5rem;height:2.5rem;margin-bottom:1rem;color:var(--accent);display:block}\
form{margin-top:1.25rem}\
label{display:block;margin:0 0 .25rem;font-size:.875rem;color:var(--soft)}\
textarea,input[type=text]{width:100%;font:inherit;color:inherit;background:transparent;border:1px solid var(--line);\
border-radius:10px;padding:.5rem .65rem;margin-bottom:.9rem}\
textarea{min-height:9rem;resize:vertical}\
button{font:inherit;font-weight:600;border:0;border-radius:10px;padding:.6rem 1.1rem;background:var(--accent);color:var(--on);cursor:pointer}\
button:focus-visible,textarea:focus-visible,input:focus-visible{outline:2px solid var(--accent);outline-offset:2px}";

/// Asks whether the service is back every two seconds: then goes there, or with a form says that it can be sent.
const SCRIPT: &str = "\
(()=>{const form=document.querySelector('form'),state=document.querySelector('[role=status]');\
const ask=async()=>{try{const r=await fetch('/health',{cache:'no-store',redirect:'manual'});\
if(r.status===200&&r.headers.get('x-holdfast-stage')==='on'){\
if(!form){location.replace(location.href);return}\
state.textContent='The service is back. You can send again now.';form.querySelector('button').focus();return}}catch{}\
setTimeout(ask,2000)};if(state)setTimeout(ask,2000)})()";

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
        let title = if self.title.is_empty() { "Back in a moment" } else { self.title };
        html.push_str("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
        html.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
        html.push_str("<meta name=\"robots\" content=\"noindex\">");
        if self.form.is_none() {
            let _ =
                write!(html, "<noscript><meta http-equiv=\"refresh\" content=\"{RETRY_AFTER_SECONDS}\"></noscript>");
        }
        let _ = write!(html, "<title>{title}</title><style>{STYLE}</style></head><body><main>");
        html.push_str(
            "<svg class=\"mark\" viewBox=\"0 0 24 24\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.8\" \
             stroke-linecap=\"round\" stroke-linejoin=\"round\" aria-hidden=\"true\"><circle cx=\"12\" cy=\"5\" r=\"2.2\"/>\
             <path d=\"M12 7.2V21M5 12H3.2a8.8 8.8 0 0 0 17.6 0H19M8.5 10.5h7\"/></svg>",
        );
        let _ = write!(html, "<h1>{title}</h1>");
        let text = if self.text.is_empty() { "The mail service is not available right now." } else { &self.text };
        let _ = write!(html, "<p>{}</p>", escaped(text));
        if !self.next.is_empty() {
            let _ = write!(html, "<p class=\"soft\">{}</p>", escaped(&self.next));
        }
        match &self.form {
            None if self.stays => html.push_str("<p><a href=\"/\">Back to mail</a></p>"),
            None => html.push_str("<p class=\"soft\" role=\"status\">This page reloads automatically.</p>"),
            Some(form) if self.stays => {
                html.push_str("<p>Your changes are saved on this page. Send them again later. Sending more than once is safe: they are applied only once.</p>");
                form.render(&mut html);
            }
            Some(form) => {
                html.push_str("<p role=\"status\">Your changes are saved on this page. Send them again once the service is back. Sending more than once is safe: they are applied only once.</p>");
                form.render(&mut html);
            }
        }
        let _ = write!(html, "</main><script>{SCRIPT}</script></body></html>");
        Rendered { html, policy: &POLICY }
    }
}

impl Form {
    fn render(&self, html: &mut String) {
        let encoding = if self.multipart { " enctype=\"multipart/form-data\"" } else { "" };
        let _ = write!(html, "<form method=\"post\" action=\"{}\"{encoding}>", escaped(&self.action));
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
        let form = Form { action: "/compose?reply=3&all".to_owned(), fields, ..Form::default() };
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
