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
    use std::process::Command;

    use super::svg_of;

    /// Pixels of a module.
    const SCALE: usize = 6;
    /// White modules around the code: the standard asks for four; a page has one in the picture, and its padding.
    const MARGIN: usize = 4;

    /// The picture as a browser draws it, as a portable graymap.
    fn drawn(svg: &str) -> Vec<u8> {
        let size: usize = svg.split("viewBox=\"-1 -1 ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let modules = size - 2 + 2 * MARGIN;
        let mut dark = vec![false; modules * modules];
        let path = svg.split(" d=\"").nth(1).unwrap().split('"').next().unwrap();
        for module in path.split('M').skip(1) {
            let (x, rest) = module.split_once(',').unwrap();
            let (y, rest) = rest.split_once('h').unwrap();
            assert_eq!(rest, "1v1h-1z");
            dark[(y.parse::<usize>().unwrap() + MARGIN) * modules + x.parse::<usize>().unwrap() + MARGIN] = true;
        }
        let side = modules * SCALE;
        let mut picture = format!("P5\n{side} {side}\n255\n").into_bytes();
        for at in 0..side * side {
            let (x, y) = (at % side / SCALE, at / side / SCALE);
            picture.push(if dark[y * modules + x] { 0 } else { 255 });
        }
        picture
    }

    #[test]
    fn a_reader_of_codes_reads_what_was_drawn() {
        if Command::new("zbarimg").arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "zbarimg is not installed; cargo xtask test installs it");
            eprintln!("NOT RUN: a_reader_of_codes_reads_what_was_drawn: no zbarimg (apt-get install zbar-tools)");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let link = format!("https://mail.example.org/profile/{}.mobileconfig", "0123456789abcdef".repeat(4));
        let totp = "otpauth://totp/Holdfast:ann%40example.org?secret=JBSWY3DPEHPK3PXP&issuer=Holdfast";
        for (number, text) in [link.as_str(), totp, "x", &"long ".repeat(100)].into_iter().enumerate() {
            let file = dir.path().join(format!("{number}.pgm"));
            std::fs::write(&file, drawn(&svg_of(text, "a code").unwrap())).unwrap();
            let output = Command::new("zbarimg").args(["--quiet", "--raw"]).arg(&file).output().unwrap();
            let read = String::from_utf8_lossy(&output.stdout);
            assert_eq!(read.trim_end_matches('\n'), text, "{output:?}");
        }
    }

    #[test]
    fn a_code_is_drawn() {
        let svg = super::svg("otpauth://totp/Holdfast:ann%40example.org?secret=ABC&issuer=Holdfast").unwrap();
        assert!(svg.starts_with("<svg") && svg.len() < 20_000);
        assert!(super::svg(&"x".repeat(10_000)).is_none());
    }
}
