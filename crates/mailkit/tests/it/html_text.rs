//! Promises about HTML as text, and text as HTML.

use mailkit::html::{from_text, to_search_text, to_text};

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

#[test]
fn a_text_of_addresses_and_nothing_else_is_made_clickable_in_linear_time() {
    let count = 200_000;
    let html = from_text(&"http://a httphttps://b ".repeat(count));
    assert_eq!(html.matches("<a href=\"http://a\"").count(), count);
    assert_eq!(html.matches("http<a href=\"https://b\"").count(), count);
}

#[test]
fn html_is_quoted_as_lines_of_words() {
    let long = format!("https://shop.example/track/4711?token={}", "abcdefghij".repeat(12));
    for (html, expected) in [
        (
            format!(
                "<table border=0 cellpadding=0><tr><td><table><tr><td>Hello Anna,</td></tr><tr><td>your order <b>4711</b> is on its way.</td></tr>\
                 <tr><td><a href='{long}'>Follow it</a></td></tr></table></td><td>Side bar</td></tr></table>"
            ),
            format!("Hello Anna,\nyour order 4711 is on its way.\nFollow it\n<{long}>\nSide bar\n"),
        ),
        (format!("<p>See <a href='{long}'>our shop</a> now, and <i>hurry</i>.</p>"), format!("See our shop\n<{long}>\nnow, and hurry.\n")),
        ("<a href='https://x.example/'>https://x.example</a> <a href='mailto:a@b.example'>a@b.example</a>".into(), "https://x.example a@b.example\n".into()),
        ("<a href='mailto:a@b.example'>Ann</a>!".into(), "Ann <mailto:a@b.example>!\n".into()),
        ("<a href='https://x.example/'><img src=x alt='Our shop'></a>".into(), "Our shop\n<https://x.example/>\n".into()),
        ("<a href='https://x.example/'><img src=x></a><img src=y alt=Logo>".into(), "<https://x.example/>[Logo]\n".into()),
        ("<a href='https://x.example/'><table><tr><td>Pay</table></a>".into(), "Pay\n<https://x.example/>\n".into()),
        ("<p>One</p><p>Two<br>three</p><div>four</div><div>five</div>".into(), "One\n\nTwo\nthree\n\nfour\nfive\n".into()),
        ("<h1>Head</h1>text".into(), "Head\n\ntext\n".into()),
        ("<ul><li>a<li>b<ol start=3><li>c<li>d</ol></ul>e".into(), "- a\n- b\n  3. c\n  4. d\n\ne\n".into()),
        ("<blockquote>a<blockquote>b</blockquote></blockquote>c".into(), "> a\n>>\n>> b\n\nc\n".into()),
        ("<pre>a  b\n  c</pre>".into(), "a  b\n  c\n".into()),
        (
            "<table><tr><th>Item<th>Price</tr><tr><td>Rope<td>12</tr><tr><td>Cleat<td>9.50</table>".into(),
            "Item  Price\nRope  12\nCleat  9.50\n".into(),
        ),
        ("<table><tr><td><p>Left</p><td><p>Right</p></table>".into(), "Left\n\nRight\n".into()),
        ("<style>.p{display:none}</style><span class=p>NOT FOR EYES</span><span style='display:none'>x</span><p hidden>y</p>Words".into(), "Words\n".into()),
        ("a &amp; b &lt;c&gt; &nbsp; d&#8203;e &quot;f&quot;".into(), "a & b <c> de \"f\"\n".into()),
        ("<title>t</title><script>s</script>x<hr>y".into(), "x\n----------\ny\n".into()),
        (String::new(), String::new()),
        ("<p> </p><br><br><br>".into(), String::new()),
    ] {
        assert_eq!(to_text(&html), expected, "{html}");
    }
    let wrapped = to_text(&"word ".repeat(100));
    assert!(wrapped.lines().all(|line| line.len() <= 76) && wrapped.lines().count() < 8, "{wrapped}");
    for drawn in ['\u{2500}', '\u{2502}', '\u{252c}', '#', '*', '['] {
        assert!(
            !to_text("<h1>a</h1><table border=1><tr><td><b>b</b><td><em>c</em></table>").contains(drawn),
            "{drawn}"
        );
    }
}
