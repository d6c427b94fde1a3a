//! A report as XML (RFC 9990 appendix A).

use super::{AuthResult, DmarcReport, Row};

/// The namespace.
const NAMESPACE: &str = "urn:ietf:params:xml:ns:dmarc-2.0";

struct Writer(String);

impl Writer {
    fn within(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        self.0.push_str(&format!("<{name}>\n"));
        write(self);
        self.0.push_str(&format!("</{name}>\n"));
    }

    fn text(&mut self, name: &str, text: &str) {
        self.0.push_str(&format!("<{name}>{}</{name}>\n", escaped(text)));
    }

    fn text_unless_empty(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.text(name, text);
        }
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Not allowed in XML, whatever way it is written.
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => {}
            c => out.push(c),
        }
    }
    out
}

/// The whole document. A report without rows is none, and is not to be sent.
pub fn xml(report: &DmarcReport) -> String {
    let mut out = Writer(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<feedback xmlns=\"{NAMESPACE}\">\n"));
    out.text("version", "1.0");
    out.within("report_metadata", |out| {
        out.text("org_name", &report.organisation);
        out.text("email", &report.email);
        out.text("report_id", &report.id);
        let (begin, end) = report.range.unwrap_or_default();
        out.within("date_range", |out| {
            out.text("begin", &begin.to_string());
            out.text("end", &end.to_string());
        });
        out.text("generator", "Holdfast");
    });
    let policy = &report.published;
    out.within("policy_published", |out| {
        out.text("domain", &policy.domain);
        out.text("discovery_method", "treewalk");
        out.text("p", if policy.p.is_empty() { "none" } else { &policy.p });
        out.text_unless_empty("sp", &policy.sp);
        out.text_unless_empty("np", &policy.np);
        out.text_unless_empty("adkim", &policy.adkim);
        out.text_unless_empty("aspf", &policy.aspf);
        out.text("testing", if policy.testing { "y" } else { "n" });
    });
    for row in &report.rows {
        out.within("record", |out| record(out, row));
    }
    out.0.push_str("</feedback>\n");
    out.0
}

fn record(out: &mut Writer, row: &Row) {
    let word = |passes| if passes { "pass" } else { "fail" };
    out.within("row", |out| {
        out.text("source_ip", &row.source.map(|ip| ip.to_string()).unwrap_or_default());
        out.text("count", &row.count.to_string());
        out.within("policy_evaluated", |out| {
            out.text("disposition", row.disposition.code());
            out.text("dkim", word(row.dkim));
            out.text("spf", word(row.spf));
            for (kind, comment) in &row.reasons {
                out.within("reason", |out| {
                    out.text("type", kind);
                    out.text_unless_empty("comment", comment);
                });
            }
        });
    });
    out.within("identifiers", |out| {
        out.text("header_from", &row.header_from);
        out.text("envelope_from", &row.envelope_from);
    });
    out.within("auth_results", |out| {
        for AuthResult { domain, selector, result } in &row.dkim_results {
            out.within("dkim", |out| {
                out.text("domain", domain);
                out.text("selector", selector);
                out.text("result", result);
            });
        }
        for AuthResult { domain, result, .. } in row.spf_results.iter().take(1) {
            out.within("spf", |out| {
                out.text("domain", domain);
                out.text("scope", "mfrom");
                out.text("result", result);
            });
        }
    });
}
