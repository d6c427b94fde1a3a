//! HTML cleaning: nothing in a message runs, loads, covers or leaves the page.

use mailkit::html::{CleanOptions, Cleaned, clean, to_search_text, to_text};

use crate::attacks::ATTACKS;
use proptest::prelude::*;

fn clean_with(html: &str, remote_images: bool) -> Cleaned {
    clean(
        html,
        &CleanOptions { remote_images, inline_url: &|id| (id == "known@x").then(|| "/m/1/part/2?a=1&b=2".to_owned()) },
    )
}

fn cleaned(html: &str) -> String {
    clean_with(html, false).html
}

/// Reads the attributes out of what was cleaned; the serialiser always writes `name="value"`.
fn tags(html: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut out = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let name_end = rest.find([' ', '>']).expect("a tag ends");
        let name = rest[..name_end].to_owned();
        let mut attributes = Vec::new();
        rest = &rest[name_end..];
        while let Some(tail) = rest.strip_prefix(' ') {
            let (name, tail) = tail.split_once("=\"").expect("quoted value");
            let (value, tail) = tail.split_once('"').expect("closing quote");
            attributes.push((name.to_owned(), value.to_owned()));
            rest = tail;
        }
        rest = rest.strip_prefix('>').expect("tag closed");
        out.push((name, attributes));
    }
    out
}

const TAGS: &[&str] = &[
    "a",
    "area",
    "b",
    "big",
    "blockquote",
    "br",
    "center",
    "code",
    "col",
    "del",
    "details",
    "div",
    "em",
    "font",
    "h1",
    "h2",
    "hr",
    "i",
    "img",
    "ins",
    "label",
    "li",
    "main",
    "map",
    "mark",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "small",
    "span",
    "strike",
    "strong",
    "style",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "u",
    "ul",
];

/// Addresses that a link may have.
const SCHEMES: &[&str] = &["https:", "http:", "mailto:", "tel:", "sms:", "webcal:"];

fn check(input: &str, html: &str) {
    for (tag, attributes) in tags(html) {
        let name = tag.trim_start_matches('/');
        assert!(TAGS.contains(&name), "tag {tag}: {input:?} -> {html:?}");
        for (name, value) in attributes {
            let lower = value.to_ascii_lowercase();
            assert!(!name.starts_with("on"), "{input:?} -> {html:?}");
            assert!(
                !matches!(
                    name.as_str(),
                    "srcset" | "ping" | "action" | "background" | "is" | "poster" | "cite" | "longdesc"
                ),
                "{name}: {input:?} -> {html:?}"
            );
            match name.as_str() {
                // Nothing that a script or a style of ours could mean.
                "id" | "name" | "class" => {
                    assert!(value.split(' ').all(|name| name.starts_with("m-")), "{name}: {input:?} -> {html:?}");
                }
                "usemap" => assert!(value.starts_with("#m-"), "{input:?} -> {html:?}"),
                "href" => assert!(SCHEMES.iter().any(|scheme| lower.starts_with(scheme)), "{input:?} -> {html:?}"),
                "src" => assert!(
                    lower.starts_with("data:image/gif;base64,")
                        || lower.starts_with("data:image/png;base64,")
                        || lower.starts_with("/m/1/part/2"),
                    "{input:?} -> {html:?}"
                ),
                "style" => {
                    for bad in ["url(", "position", "\\", "@", "/*", "image-set", "src("] {
                        assert!(!lower.contains(bad), "{bad}: {input:?} -> {html:?}");
                    }
                    assert!(!names_what_loads(&lower), "{input:?} -> {html:?}");
                }
                _ => {}
            }
        }
    }
    for sheet in html.split("<style>").skip(1) {
        let sheet = sheet.split("</style>").next().unwrap_or_default().to_ascii_lowercase();
        for bad in
            ["url(", "position", "\\", "/*", "image-set", "src(", "@import", "font-face", "<", "attr(", "element("]
        {
            assert!(!sheet.contains(bad), "{bad}: {input:?} -> {html:?}");
        }
        assert!(!names_what_loads(&sheet), "{input:?} -> {html:?}");
        assert_eq!(sheet.matches('@').count(), sheet.matches("@media ").count(), "{input:?} -> {html:?}");
    }
}

/// Whether a word of a style is the name of something that loads or runs. `urla` is none.
fn names_what_loads(style: &str) -> bool {
    let words = style.split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_')));
    words.into_iter().any(|word| matches!(word, "url" | "src" | "image" | "expression" | "element" | "paint"))
}

#[test]
fn no_known_attack_survives() {
    for attack in ATTACKS {
        let first = cleaned(attack);
        check(attack, &first);
        // What is clean stays so when a browser's parser reads it again (mutation attacks live on the difference).
        let again = cleaned(&first);
        check(attack, &again);
        assert_eq!(cleaned(&again), again, "not stable: {attack:?}");
        // Inside ordinary mail it must not fare better.
        let wrapped = format!("<html><body><table><tr><td><b>Dear {attack} you</td></tr></table>");
        check(attack, &cleaned(&wrapped));
    }
}

#[test]
fn ordinary_mail_keeps_its_looks() {
    let html = "<table width=\"600\" bgcolor=\"#eee\" cellpadding=\"4\"><tr><td align=\"center\" \
                style=\"color: red; padding: 4px\"><font face=\"Arial\" color=\"blue\">Hi</font></td></tr></table>";
    let out = cleaned(html);
    for kept in [
        "width=\"600\"",
        "bgcolor=\"#eee\"",
        "cellpadding=\"4\"",
        "style=\"color: red; padding: 4px\"",
        "<font ",
        "face=\"Arial\"",
    ] {
        assert!(out.contains(kept), "{kept}: {out}");
    }
}

#[test]
fn links_open_elsewhere_and_tell_nothing() {
    let out = cleaned("<a href='https://ok.example/?a=1&b=2' target=_top rel=opener>x</a>");
    assert!(out.contains("href=\"https://ok.example/?a=1&amp;b=2\""), "{out}");
    assert!(out.contains("target=\"_blank\""), "{out}");
    assert!(out.contains("rel=\"noopener noreferrer nofollow\""), "{out}");
    assert!(!out.contains("_top") && !out.contains("\"opener"), "{out}");
    for good in ["mailto:a@b.org", "tel:+49123"] {
        assert!(cleaned(&format!("<a href='{good}'>x</a>")).contains(good));
    }
}

#[test]
fn remote_images_are_counted_and_left_out_until_asked_for() {
    let html = "<img src='https://a.example/1.png' alt=one><img src=http://a.example/2.png>\
                <img src=//a.example/3.png><td background=https://a.example/4.png>\
                <p style='background: url(https://a.example/5.png)'>x</p><img src='data:image/png;base64,AA=='>";
    let blocked = clean_with(html, false);
    assert!(!blocked.html.contains("a.example"), "{}", blocked.html);
    assert!(blocked.html.contains("alt=\"one\""));
    assert_eq!(blocked.html.matches("src=").count(), 1, "their places have no address: {}", blocked.html);
    assert!(blocked.html.contains("data:image/png;base64,AA=="));
    assert_eq!(blocked.remote_images_blocked, 4);
    let allowed = clean_with(html, true);
    assert!(allowed.html.contains("src=\"https://a.example/1.png\""));
    assert!(allowed.html.contains("referrerpolicy=\"no-referrer\""));
}

#[test]
fn inline_images_go_through_the_callback() {
    let out = cleaned("<img src=\"cid:known%40x\"><img src=cid:unknown><img src=CID:known@x>");
    assert_eq!(out.matches("src=\"/m/1/part/2?a=1&amp;b=2\"").count(), 2, "{out}");
    assert!(!out.contains("cid:") && !out.contains("unknown"), "{out}");
}

#[test]
fn huge_and_deep_html_is_cut_not_choked_on() {
    let deep = "<div><b><i>".repeat(100_000);
    check("deep", &cleaned(&deep));
    to_text(&deep);
    let wide = "<p>x</p>".repeat(200_000);
    assert!(cleaned(&wide).len() < wide.len());
    let long = "ä".repeat(4 * 1024 * 1024);
    assert!(cleaned(&long).len() <= 5 * 1024 * 1024);
}

/// Each of these took seconds to minutes once.
#[test]
fn html_made_to_be_slow_is_not() {
    let attributes: String = (0..60_000).map(|n| ["a", &n.to_string(), " "].concat()).collect();
    for html in [
        ["<p ", &attributes, ">x"].concat(),
        ["<span>".repeat(30_000), "</b>".repeat(30_000)].concat(),
        "<b><div>".repeat(30_000),
        "<a href=x><div>".repeat(30_000),
        ["<ul>".repeat(20_000), "<li>".repeat(20_000)].concat(),
        "<table><b>".repeat(30_000),
        "<select><svg><option>".repeat(30_000),
        "&amp".repeat(1_000_000),
        "<".repeat(1_000_000),
    ] {
        let out = cleaned(&html);
        check("slow", &out);
        assert!(to_text(&html).len() <= html.len());
    }
}

proptest! {
    #[test]
    fn any_mixture_of_attacks_is_cleaned(
        picks in proptest::collection::vec(proptest::sample::select(ATTACKS), 1..5),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 5),
        glue in "[<>'\"=/a ]{0,3}",
    ) {
        let mut html = String::new();
        for (pick, cut) in picks.iter().zip(&cuts) {
            let at = pick.floor_char_boundary(cut.index(pick.len() + 1));
            html.push_str(&pick[..at]);
            html.push_str(&glue);
            html.push_str(&pick[at..]);
        }
        let out = cleaned(&html);
        check(&html, &out);
        to_text(&html);
        to_search_text(&html);
    }
}

/// What the frame shows of a mail's looks: the sheet, the box and the styles.
#[test]
fn grounds_stay_without_the_pictures_in_them() {
    for (html, kept) in [
        ("<table><td style='background:#0b3d66 url(https://x.example/a.png) no-repeat'>x", "background: #0b3d66"),
        ("<p style='background:url(x) #0b3d66'>x", "background: #0b3d66"),
        ("<p style='background:url(\"a;b)c\") no-repeat center/cover, navy'>x", "background: navy"),
        ("<p style='background: transparent url() #123456'>x", "background: #123456"),
        ("<p style='background-color:var(--x,#123456)'>x", "background-color: var(--x, #123456)"),
        (
            "<p style='background:linear-gradient(90deg,#123456,rgb(1 2 3 / 50%)),url(x)'>x",
            "background: linear-gradient(90deg, #123456, rgb(1 2 3/50%))",
        ),
        (
            "<p style='background-image:url(x),linear-gradient(to right,red,blue)'>x",
            "background-image: linear-gradient(to right, red, blue)",
        ),
        ("<p style='background-image:linear-gradient(red,blue);background-color:#123'>x", "background-color: #123"),
        ("<p style='background:rgba(1,2,3,.9)'>x", "background: rgba(1, 2, 3, .9)"),
        ("<p style='background-color:0b3d66;color:ffffff'>x", "background-color: #0b3d66; color: #ffffff"),
        ("<p style='background-color:\\23 0b3d66;background:re\\64 /**/'>x", "background: red"),
        ("<p style='background:#0b3d66!important'>x", "background: #0b3d66 !important"),
        (
            "<body style='background-color:#0b3d66;color:#ffffff'><p>x",
            "<main style=\"background-color: #0b3d66; color: #ffffff\"><p>x</p></main>",
        ),
        (
            "<body bgcolor=0b3d66 text=white link='#ffcc00'>x",
            "<style>main{background-color: #0b3d66}\nmain{color: white}\na:link{color: #ffcc00}\n</style><main>x</main>",
        ),
        ("<style>BODY{background:#0b3d66}</style>x", "<style>main{background: #0b3d66}\n</style><main>x</main>"),
        (
            "<style>html body .a>p.b{color:#fff}</style><p class='b c'>x",
            "<style>main .m-a>p.m-b{color: #fff}\n</style><main><p class=\"m-b m-c\">x</p></main>",
        ),
        ("<style>.a,.b:hover,[x],#c td{color:#fff}</style>x", "<style>.m-a,.m-b:hover,#m-c td{color: #fff}\n</style>x"),
        (
            "<style>@media only screen and (max-width:600px){.a{width:100%!important}}</style>x",
            "@media only screen and (max-width:600px) {\n.m-a{width: 100% !important}\n}",
        ),
        (
            "<style>@media (prefers-color-scheme:dark){.a{color:#fff}}@media screen and (prefers-color-scheme:light){.a{color:#000}}</style>x",
            "<style>.m-a{color: #000}\n</style>x",
        ),
        ("<style media='(max-width:5px)'>p{color:red}</style>x", "@media (max-width:5px) {\np{color: red}\n}"),
        (
            "<style>:root{--x:#123456}p{background:var(--x)}</style><p>x",
            "<style>main{--x: #123456}\np{background: var(--x)}\n</style>",
        ),
    ] {
        let out = cleaned(html);
        assert!(out.contains(kept), "{html}\n-> {out}\n   {kept}");
        check(html, &out);
        check(html, &cleaned(&out));
    }
}

/// Where a picture was all the ground that text had, it gets another that it can be read on.
#[test]
fn a_lost_ground_is_made_up_for() {
    const DARK: &str = "background-color: #1f2a30";
    for (html, expected) in [
        ("<table><td background='https://x.example/a.png'><font color=white>x</font></table>", Some(DARK)),
        ("<table background=a.png><tr><td style='color:#fff'>x</table>", Some(DARK)),
        ("<div style='background:url(a)'><h1 style='color:#eee'>x</h1></div>", Some(DARK)),
        ("<div style='color:#fff;background-image:url(a)'>x</div>", Some(DARK)),
        ("<style>.hero{background:url(a)}.hero h1{color:#fff}</style><div class=hero><h1>x</h1></div>", Some(DARK)),
        ("<style>body{background-image:url(a);color:#fff}</style>x", Some(DARK)),
        ("<body background=a.png text=white>x", Some(DARK)),
        ("<div style='--c:#fff;background:url(a)'><p style='color:var(--c)'>x</p></div>", Some(DARK)),
        (
            "<div style='background:url(a)'><p style='color:#fff'>x</p><p style='color:#000'>y</p></div>",
            Some("background-color: #757575"),
        ),
        // What dims a picture is no ground without it.
        (
            "<div style='background:linear-gradient(rgba(0,0,0,.3),rgba(0,0,0,.3)),url(a)'><p style='color:#fff'>x</p></div>",
            Some(DARK),
        ),
        ("<div style='background-image:linear-gradient(#0006,#0006),url(a);color:#fff'>x</div>", Some(DARK)),
        ("<div style='background:rgba(0,0,0,.4) url(a);color:#fff'>x</div>", Some(DARK)),
        (
            "<style>.h{background:linear-gradient(#0005,#0007),url(a)}</style><div class=h style='color:#fff'>x</div>",
            Some(DARK),
        ),
        ("<div style='background:linear-gradient(#000d,#000d),url(a);color:#fff'>x</div>", None),
        ("<div style='background:linear-gradient(#fff8,#fff8),url(a);color:#222'>x</div>", None),
        ("<div style='background:url(a)'><p style='color:#222'>x</p></div>", None),
        ("<div style='background:url(a)'>x</div>", None),
        ("<div style='background:url(a)'><div style='background:#024'><p style='color:#fff'>x</p></div></div>", None),
        ("<div style='background:#024'><div style='background:url(a);color:#fff'>x</div></div>", None),
        ("<div style='background:#024 url(a)'><p style='color:#fff'>x</p></div>", None),
        ("<div style='background:url(a)'><p style='color:#fff;display:none'>x</p></div>", None),
        ("<p style='color:#fff'>meant not to be seen</p><div style='background:url(a)'>x</div>", None),
    ] {
        let out = cleaned(html);
        let made_up = ["#1f2a30", "#757575", "#ffffff;", "#000000"]
            .iter()
            .any(|ground| out.contains(&format!("background-color: {ground}")));
        match expected {
            Some(ground) => assert!(out.contains(ground), "{html}\n-> {out}"),
            None => assert!(!made_up, "{html}\n-> {out}"),
        }
        assert!(!out.contains("--m-lost"), "{html}\n-> {out}");
        check(html, &out);
    }
}

#[test]
fn what_is_hidden_stays_hidden() {
    for html in [
        "<style>.preheader{display:none!important}</style><span class=preheader>x</span>",
        "<span style='display:none'>x</span>",
        "<p hidden>x</p>",
        "<p style='max-height:0;overflow:hidden;opacity:0'>x</p>",
        "<p style='visibility:hidden'>x</p>",
        "<p style='position:absolute;left:-9999px'>x</p>",
        "<p style='position:absolute;width:1px;height:1px;overflow:hidden;clip:rect(0,0,0,0)'>x</p>",
        "<p style='position:absolute;clip-path:inset(50%)'>x</p>",
        "<h1 style='text-indent:-9999px'>x</h1>",
        "<p style='margin-left:-10000px'>x</p>",
        "<style>.sr{position:absolute!important;top:-5000px}</style><p class=sr>x</p>",
    ] {
        let out = cleaned(html);
        let hidden =
            ["display: none", "hidden=\"\"", "opacity: 0", "visibility: hidden"].iter().any(|how| out.contains(how));
        assert!(hidden, "{html}\n-> {out}");
    }
    let shown =
        cleaned("<td style='font-size:0'><p style='font-size:14px;margin-left:-4px;position:relative'>x</p></td>");
    assert!(!shown.contains("none"), "{shown}");
}

#[test]
fn links_and_maps_lead_where_they_were_meant_to() {
    let out = cleaned(
        "<a href='www.shop.example/confirm?id=1'>a</a><a href='//shop.example/x'>b</a><a href='shop.example:8080/c'>c</a>\
         <a href='sms:+49&#51;0'>d</a><a HREF=webcal://cal.example/x.ics>e</a><a href='/signout'>f</a><a href='file:///x'>g</a><a href='javascript:x'>h</a>",
    );
    let hrefs: Vec<&str> = out.split(" href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(
        hrefs,
        [
            "https://www.shop.example/confirm?id=1",
            "https://shop.example/x",
            "https://shop.example:8080/c",
            "sms:+4930",
            "webcal://cal.example/x.ics"
        ]
    );
    assert!(out.contains("title=\"This link was removed: file:///x\"") && !out.contains("javascript"), "{out}");
    let map = cleaned(
        "<img src='cid:known@x' usemap='#m' width=300 alt=Nav><map name='m'><area shape=rect coords='0,0,150,40' href='https://shop.example/a' alt=A>\
         <area shape=circle coords='1,2,3' href='shop.example/b'><area href='javascript:x' coords='1'></map>",
    );
    for kept in [
        "usemap=\"#m-m\"",
        "<map name=\"m-m\">",
        "shape=\"rect\"",
        "coords=\"0,0,150,40\"",
        "href=\"https://shop.example/a\"",
        "href=\"https://shop.example/b\"",
        "target=\"_blank\"",
    ] {
        assert!(map.contains(kept), "{kept}: {map}");
    }
    assert!(!map.contains("javascript"), "{map}");
    let based = clean_with(
        "<base href='https://shop.example/a/'><a href='b.html'>x</a><img src='c.png'><img src='/mail/inbox'>",
        true,
    )
    .html;
    assert!(based.contains("href=\"https://shop.example/a/b.html\"") && !based.contains("src="), "{based}");
}

/// Whatever is sent, what comes out grows with it and no further, and no rule is compared with everything.
#[test]
fn styles_made_to_be_slow_are_not() {
    for html in [
        format!(
            "<style>{}</style>{}",
            ".a .b .c .d{color:red}".repeat(8_000),
            "<div class='a b c d'>x</div>".repeat(5_000)
        ),
        format!("<style>{}</style>{}<p>x", "*{background:url(a)}".repeat(10_000), "<div class=a>".repeat(140)),
        format!("<style>{}</style>", "@media all{".repeat(50_000)),
        format!("<style>{}</style>", "p{".repeat(50_000)),
        format!("<style>p{{{}}}</style>", "color:red;".repeat(50_000)),
        format!("<style>{}{{color:red}}</style>", "a,".repeat(50_000)),
        format!("<style>{}{{color:red}}</style>", "a ".repeat(50_000)),
        format!("<p style='color:{}'>x", "rgb(".repeat(2_000)),
        format!("<p style='background:{}red'>x", "var(--a,".repeat(1_000)),
        format!("<p style='{}'>x", "--a:var(--a) var(--a);".repeat(1_000)),
        "<style>p{color:red}</style>".repeat(10_000),
        "<table background=x>".repeat(10_000),
        "<div style='background:url(x);color:#fff'>x".repeat(10_000),
        format!("<body {}>", "style='a:b' ".repeat(10_000)),
        "<body style='color:red'>".repeat(10_000),
    ] {
        let out = cleaned(&html);
        check("slow", &out);
        assert!(out.len() < 4 * html.len() + 10_000, "{} of {}", out.len(), html.len());
    }
}
