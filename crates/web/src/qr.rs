//! QR codes as SVG.

use std::fmt::Write;

use qrcodegen::{QrCode, QrCodeEcc};

/// `text` for the authenticator app as an inline SVG; `None` if it is too long for a code.
pub fn svg(text: &str) -> Option<String> {
    svg_of(text, "QR code for the authenticator app")
}

/// The same with another `label` for those who don't see it: a text of ours without special characters.
pub fn svg_of(text: &str, label: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = code.size();
    let mut path = String::new();
    for y in 0..size {
        for x in 0..size {
            if code.get_module(x, y) {
                let _ = write!(path, "M{x},{y}h1v1h-1z");
            }
        }
    }
    Some(format!(
        "<svg class=\"qr\" viewBox=\"-1 -1 {0} {0}\" role=\"img\" aria-label=\"{label}\" \
         shape-rendering=\"crispEdges\"><path d=\"{path}\"/></svg>",
        size + 2
    ))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_code_is_drawn() {
        let svg = super::svg("otpauth://totp/Holdfast:ann%40example.org?secret=ABC&issuer=Holdfast").unwrap();
        assert!(svg.starts_with("<svg") && svg.len() < 20_000);
        assert!(super::svg(&"x".repeat(10_000)).is_none());
    }
}
