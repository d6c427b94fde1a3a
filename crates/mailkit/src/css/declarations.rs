//! Lists of declarations: of a `style` attribute or of a rule.

use cssparser::{
    AtRuleParser, CowRcStr, DeclarationParser, ParseError, Parser, ParserState, QualifiedRuleParser,
    RuleBodyItemParser, RuleBodyParser,
};

use super::colour::Colour;
use super::value::{self, Piece};

/// Longest `style` attribute looked at, in bytes.
const MAX_STYLE_BYTES: usize = 8 * 1024;

/// Most declarations of one list.
const MAX_DECLARATIONS: usize = 200;

/// What is further off than this many pixels was not meant to be seen.
const FAR_OFF: f32 = 150.0;

/// Properties that change how text looks and where boxes stand in the flow; none that takes them out of the flow.
const PROPERTIES: &[&str] = &[
    "-webkit-background-clip",
    "-webkit-text-fill-color",
    "align-items",
    "background",
    "background-clip",
    "background-color",
    "background-image",
    "background-repeat",
    "background-size",
    "border",
    "border-bottom",
    "border-bottom-color",
    "border-bottom-left-radius",
    "border-bottom-right-radius",
    "border-bottom-style",
    "border-bottom-width",
    "border-collapse",
    "border-color",
    "border-left",
    "border-left-color",
    "border-left-style",
    "border-left-width",
    "border-radius",
    "border-right",
    "border-right-color",
    "border-right-style",
    "border-right-width",
    "border-spacing",
    "border-style",
    "border-top",
    "border-top-color",
    "border-top-left-radius",
    "border-top-right-radius",
    "border-top-style",
    "border-top-width",
    "border-width",
    "box-sizing",
    "caption-side",
    "clear",
    "color",
    "direction",
    "display",
    "empty-cells",
    "flex",
    "flex-direction",
    "flex-wrap",
    "float",
    "font",
    "font-family",
    "font-size",
    "font-style",
    "font-variant",
    "font-weight",
    "gap",
    "height",
    "hyphens",
    "justify-content",
    "letter-spacing",
    "line-height",
    "list-style",
    "list-style-type",
    "margin",
    "margin-bottom",
    "margin-left",
    "margin-right",
    "margin-top",
    "max-height",
    "max-width",
    "min-height",
    "min-width",
    "opacity",
    "overflow",
    "overflow-wrap",
    "overflow-x",
    "overflow-y",
    "padding",
    "padding-bottom",
    "padding-left",
    "padding-right",
    "padding-top",
    "table-layout",
    "text-align",
    "text-decoration",
    "text-decoration-color",
    "text-decoration-line",
    "text-decoration-style",
    "text-indent",
    "text-transform",
    "unicode-bidi",
    "vertical-align",
    "visibility",
    "white-space",
    "width",
    "word-break",
    "word-spacing",
    "word-wrap",
];

/// A cleaned list, and what is of use to know about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Declarations {
    /// The list as it may be written.
    pub(crate) css: String,
    /// Addresses that were in it.
    pub(crate) addresses: usize,
    /// Text colour.
    pub(crate) colour: Option<Paint>,
    /// Ground.
    pub(crate) ground: Option<Paint>,
    /// A picture that was the ground, and is not loaded.
    pub(crate) lost_ground: bool,
    /// Whether what it applies to can be seen, if it says so.
    pub(crate) hidden: Option<bool>,
    /// Custom properties.
    pub(crate) variables: Vec<(String, Vec<Piece>)>,
}

impl Declarations {
    /// What is under the ground they name, if any, can be seen.
    pub(crate) fn ground_is_seen_through(&self) -> bool {
        match &self.ground {
            None => true,
            Some(Paint::Is(colour)) => colour.alpha < 1.0,
            Some(Paint::Variable(..)) => false,
        }
    }
}

/// A colour as declared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Paint {
    Is(Colour),
    /// Of a variable, else the fallback.
    Variable(String, Option<Colour>),
}

/// Cleans the declarations of a `style` attribute.
pub(crate) fn of_attribute(style: &str) -> Declarations {
    let style = &style[..style.floor_char_boundary(MAX_STYLE_BYTES)];
    of(&mut super::parser(style))
}

/// Cleans the declarations up to where `input` ends.
pub(crate) fn of(input: &mut Parser<'_>) -> Declarations {
    let mut list = List::default();
    let mut left = MAX_DECLARATIONS;
    for item in RuleBodyParser::new(input, &mut list) {
        let _ = item;
        left -= 1;
        if left == 0 {
            break;
        }
    }
    list.done()
}

/// Declarations on their way.
#[derive(Default)]
struct List {
    out: Declarations,
    /// Things that together take something out of sight, by properties that are not kept.
    out_of_flow: bool,
    far_off: bool,
    clipped: bool,
    out_of_sight: bool,
}

impl<'i> DeclarationParser<'i> for List {
    type Declaration = ();
    type Error = ();

    fn parse_value(
        &mut self,
        name: CowRcStr<'i>,
        input: &mut Parser<'i>,
        _: &ParserState,
    ) -> Result<(), ParseError<()>> {
        let name = name.to_ascii_lowercase();
        let pieces = value::read(input);
        // What is left of a value that was not understood goes with it.
        while input.next().is_ok() {}
        match pieces {
            Ok(pieces) => self.declare(&name, pieces),
            Err(_) => self.note_hiding(&name, &[]),
        }
        Ok(())
    }
}

impl AtRuleParser<'_> for List {
    type Prelude = ();
    type AtRule = ();
    type Error = ();
}

impl QualifiedRuleParser<'_> for List {
    type Prelude = ();
    type QualifiedRule = ();
    type Error = ();
}

impl RuleBodyItemParser<'_, (), ()> for List {
    fn parse_declarations(&self) -> bool {
        true
    }

    fn parse_qualified(&self) -> bool {
        false
    }
}

impl List {
    fn declare(&mut self, name: &str, mut pieces: Vec<Piece>) {
        self.out.addresses += pieces.iter().filter(|piece| **piece == Piece::Picture(true)).count();
        if value::is_variable(name) {
            // One variable in another may stand once: more could grow without bounds.
            let variables = pieces.iter().filter(|piece| matches!(piece, Piece::Variable(..))).count();
            if variables <= 1 && !pieces.is_empty() {
                self.push(name, &value::write(&pieces));
                self.out.variables.push((name.to_owned(), pieces));
            }
            return;
        }
        self.note_hiding(name, &pieces);
        if PROPERTIES.binary_search(&name).is_err() || pieces.is_empty() {
            return;
        }
        let important = pieces.pop_if(|piece| *piece == Piece::Important).is_some();
        let Some(mut kept) = self.value(name, pieces) else { return };
        if important {
            kept.push_str(" !important");
        }
        self.push(name, &kept);
    }

    fn push(&mut self, name: &str, value: &str) {
        if !self.out.css.is_empty() {
            self.out.css.push_str("; ");
        }
        self.out.css.push_str(name);
        self.out.css.push_str(": ");
        self.out.css.push_str(value);
    }

    /// A value as it is kept, if it is.
    fn value(&mut self, name: &str, mut pieces: Vec<Piece>) -> Option<String> {
        let has_gradient = pieces.iter().any(|piece| matches!(piece, Piece::Gradient(..)));
        match name {
            "background" | "background-image" => return self.ground(name, pieces),
            "list-style" => pieces.retain(|piece| !matches!(piece, Piece::Picture(_))),
            _ if has_gradient => return None,
            _ => {}
        }
        let is_out_of_place = pieces.iter().any(|piece| match piece {
            Piece::Picture(_) => true,
            // Negative margins and indents pull things over other things; what a variable holds is not known.
            Piece::Length(_, written) => is_pulling(name) && written.starts_with('-'),
            Piece::Variable(..) => is_pulling(name),
            _ => false,
        });
        if pieces.is_empty() || is_out_of_place {
            return None;
        }
        if matches!(name, "color" | "background-color") || name.ends_with("-color") {
            if let [piece] = &mut pieces[..] {
                with_hash(piece);
            }
            let paint = pieces.first().and_then(paint_of);
            match name {
                "color" | "-webkit-text-fill-color" => self.out.colour = paint.or(self.out.colour.take()),
                "background-color" => self.out.ground = paint,
                _ => {}
            }
        }
        Some(value::write(&pieces))
    }

    /// A ground as it is kept: without pictures, and with its colour even where browsers would not take the value.
    fn ground(&mut self, name: &str, pieces: Vec<Piece>) -> Option<String> {
        let lost = pieces.iter().any(|piece| matches!(piece, Piece::Picture(_)));
        let is_colour = |piece: &&Piece| match piece {
            Piece::Colour(colour, _) => colour.is_none_or(|colour| colour.alpha > 0.0),
            Piece::Variable(..) => true,
            _ => false,
        };
        let colour = pieces
            .iter()
            .rev()
            .find(is_colour)
            .or_else(|| pieces.iter().find(|piece| matches!(piece, Piece::Colour(..))));
        let gradients: Vec<(&Vec<Colour>, String)> = pieces
            .split(|piece| *piece == Piece::Comma)
            .filter_map(|layer| {
                let colours = layer
                    .iter()
                    .find_map(|piece| if let Piece::Gradient(colours, _) = piece { Some(colours) } else { None })?;
                let kept: Vec<Piece> = layer
                    .iter()
                    .filter(|piece| !matches!(piece, Piece::Colour(..) | Piece::Picture(_) | Piece::Variable(..)))
                    .cloned()
                    .collect();
                Some((colours, value::write(&kept)))
            })
            .collect();
        self.out.lost_ground |= lost;
        let mut layers: Vec<String> = gradients.iter().map(|(_, layer)| layer.clone()).collect();
        if let Some(colour) = colour.filter(|_| name == "background" || matches!(pieces[..], [Piece::Variable(..)])) {
            let written = value::write(std::slice::from_ref(colour));
            self.out.ground = paint_of(colour);
            match layers.last_mut() {
                Some(last) => *last = format!("{last} {written}"),
                None => layers.push(written),
            }
        }
        let stops: Vec<Colour> =
            gradients.iter().flat_map(|(colours, _)| colours.iter().copied()).filter(|stop| stop.alpha > 0.0).collect();
        if !stops.is_empty()
            && !matches!(&self.out.ground, Some(Paint::Is(ground)) if ground.alpha >= 1.0 && stops.iter().any(|stop| stop.alpha < 0.5))
        {
            self.out.ground = Some(Paint::Is(mean(&stops)));
        }
        if !layers.is_empty() {
            return Some(layers.join(", "));
        }
        let is_nothing =
            |word: &str| matches!(word.to_ascii_lowercase().as_str(), "none" | "inherit" | "initial" | "unset");
        matches!(&pieces[..], [Piece::Word(word)] if is_nothing(word)).then(|| value::write(&pieces))
    }

    /// Notes what takes something out of sight. Some of it is by properties that are not kept.
    fn note_hiding(&mut self, name: &str, pieces: &[Piece]) {
        let word = match pieces {
            [Piece::Word(word), ..] => word.to_ascii_lowercase(),
            _ => String::new(),
        };
        let far = pieces.iter().any(|piece| matches!(piece, Piece::Length(pixels, _) if *pixels <= -FAR_OFF));
        let nothing = matches!(pieces, [Piece::Length(pixels, _), ..] if *pixels <= 0.0);
        match name {
            "display" => self.out.hidden = Some(word == "none"),
            "visibility" => self.out.hidden = Some(matches!(word.as_str(), "hidden" | "collapse")),
            "opacity" | "max-height" if nothing => self.out.hidden = Some(true),
            "position" => self.out_of_flow = matches!(word.as_str(), "absolute" | "fixed"),
            "left" | "right" | "top" | "bottom" | "inset" | "inset-inline-start" => {
                let beyond = pieces.iter().any(
                    |piece| matches!(piece, Piece::Length(pixels, _) if *pixels <= -FAR_OFF || *pixels >= 3_000.0),
                );
                self.far_off |= beyond;
            }
            "text-indent" | "margin" | "margin-left" | "margin-top" => self.out_of_sight |= far,
            "clip" | "clip-path" => self.clipped |= word != "auto" && word != "none" && word != "inherit",
            _ => {}
        }
    }

    fn done(mut self) -> Declarations {
        if self.out_of_sight || (self.out_of_flow && (self.far_off || self.clipped)) {
            self.out.hidden = Some(true);
            self.push("display", "none");
        }
        self.out
    }
}

fn is_pulling(name: &str) -> bool {
    name.starts_with("margin") || name == "text-indent"
}

/// `0b3d66` was a colour where style sheets were young; it still is one for the attributes beside.
fn with_hash(piece: &mut Piece) {
    let (Piece::Word(text) | Piece::Length(_, text)) = &*piece else { return };
    if matches!(text.len(), 3 | 6)
        && text.bytes().all(|b| b.is_ascii_hexdigit())
        && let Some(colour) = super::colour::hash(text)
    {
        *piece = Piece::Colour(Some(colour), format!("#{text}"));
    }
}

fn paint_of(piece: &Piece) -> Option<Paint> {
    match piece {
        Piece::Colour(colour, _) => colour.map(Paint::Is),
        Piece::Variable(name, fallback, _) => {
            let fallback =
                fallback.iter().find_map(|piece| if let Piece::Colour(colour, _) = piece { *colour } else { None });
            Some(Paint::Variable(name.clone(), fallback))
        }
        _ => None,
    }
}

fn mean(colours: &[Colour]) -> Colour {
    let count = colours.len() as f32;
    let part = |at: usize| colours.iter().map(|colour| colour.rgb[at]).sum::<f32>() / count;
    let alpha = colours.iter().map(|colour| colour.alpha).sum::<f32>() / count;
    Colour { rgb: [part(0), part(1), part(2)], alpha }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(style: &str) -> String {
        of_attribute(style).css
    }

    #[test]
    fn the_property_list_is_sorted_for_searching() {
        assert!(PROPERTIES.is_sorted());
    }

    #[test]
    fn ordinary_styles_pass() {
        for style in [
            "color: #fff; font-family: 'Segoe UI', Arial",
            "background: rgb(1, 2, 3)",
            "margin: 0 auto; width: 100%",
            "font: bold 12px/1.5 x",
            "border: 1px solid rgba(0, 0, 0, .1); padding: 4px 8px",
            "color: hsl(120deg 50% 50%/.5)",
            "color: color-mix(in srgb, red 50%, blue)",
        ] {
            assert_eq!(kept(style), style);
        }
    }

    #[test]
    fn a_style_is_read_as_browsers_read_it() {
        for (style, expected) in [
            ("color: re\\64", "color: red"),
            ("color: red/**/", "color: red"),
            ("c\\6f lor:red", "color: red"),
            ("color:red;/*;width:1px*/height:2px", "color: red; height: 2px"),
            ("font-family:\"a;b\";color:red", "color: red"),
            ("font-family: 'open", "font-family: 'open'"),
            ("color:red;;width:1px;", "color: red; width: 1px"),
            ("x;color:red", "color: red"),
            ("color:red}p{width:1px", ""),
            ("@x;color:red", "color: red"),
            ("@x{y};color:red", "color: red"),
            ("color:red !IMPORTANT", "color: red !important"),
            ("COLOR:RED", "color: RED"),
            ("width:1e3px;height:+.5EM", "width: 1e3px; height: +.5EM"),
            ("color: red; background: url(a;b); width: 1px", "color: red; width: 1px"),
            ("color: red; background: url('a)b'); width: 1px", "color: red; width: 1px"),
            ("list-style: url(a) disc inside", "list-style: disc inside"),
        ] {
            assert_eq!(kept(style), expected, "{style}");
        }
    }

    #[test]
    fn whatever_loads_covers_or_hides_behind_escapes_goes() {
        for style in [
            "background: url(http://evil/x.png)",
            "background-image: url('//evil')",
            "list-style: \"rgb(\" url(//evil.test/x)",
            "list-style: 'hsl(' url(//evil.test/x)",
            "background: rgb(url(//evil)",
            "background: u\\72l(//evil)",
            "background: \\75 rl(//evil)",
            "list-style-image: url(x)",
            "position: fixed; top: 0; left: 0",
            "z-index: 9",
            "width: expression(alert(1))",
            "behavior: url(x.htc)",
            "-moz-binding: url(x)",
            "@import 'x'",
            "background: image-set('x' 1x)",
            "background: -webkit-image-set(url(x) 1x)",
            "background: cross-fade(url(x), url(y))",
            "background: element(#x)",
            "background: attr(x url)",
            "background: src('x')",
            "border-image: url(x) 1",
            "cursor: url(x), auto",
            "content: url(x)",
            "shape-outside: url(x)",
            "mask: url(x)",
            "filter: url(x)",
            "width: calc(1px + 2px)",
            "margin-top: -100px",
            "margin: 0 0 0 var(--x)",
            "text-indent: -10px",
            "content: 'x'",
            "transform: scale(9)",
            "color: )",
            "color:",
            "color: {red}",
            "color: red}",
            "color: 'a\nb'",
        ] {
            assert_eq!(kept(style), "", "{style}");
        }
        assert_eq!(of_attribute("background: url(a) url(b)").addresses, 2);
        assert_eq!(of_attribute("background: url() url('')").addresses, 0);
        assert_eq!(
            kept("--x: url(a); --y: var(--x) var(--x); background: var(--x)"),
            "--x: none; background: var(--x)"
        );
    }
}
