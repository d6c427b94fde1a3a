// @ts-check
// Mails whose looks matter: each puts text on a ground in another way. And how well their text can be read, measured.

const LINES = [
  // Shorthands with pictures in them.
  ['colour and picture', '<table width="600" cellpadding="20" style="background:#0b3d66 url(https://img.example/bg.png) no-repeat"><tr><td><h1 style="color:#ffffff">White headline</h1></td></tr></table>'],
  ['picture before colour', '<div style="background: url(\'https://img.example/a);b.png\') no-repeat center / cover #0b3d66"><p style="color:#fff">White words</p></div>'],
  ['empty address', '<div style="background: transparent url() #123456"><p style="color:white">Empty url</p></div>'],
  ['two layers', '<div style="background:url(a.png),url(b.png) navy"><p style="color:#eee">Two layers</p></div>'],
  ['escapes', '<div style="background-c\\6flor:n\\61vy"><p style="color:\\77hite">Escaped</p></div>'],
  ['comments', '<div style="/*x*/background/**/:/**/#0b3d66/*y*/"><p style="color:#fff">Comments</p></div>'],
  ['important', '<div style="background:#0b3d66 url(x)!important"><p style="color:#fff!important">Important</p></div>'],
  // Pictures alone.
  ['picture alone', '<div style="background-image:url(https://img.example/a.png)"><h2 style="color:#fff">On a picture</h2></div>'],
  ['attribute', '<table background="https://img.example/a.png" width="100%"><tr><td><font color="#ffffff">On a picture by attribute</font></td></tr></table>'],
  ['attribute of a cell', '<table><tr><td background="https://img.example/a.png" style="color:#fff"><a href="https://x.example" style="color:#ffcc00">Link</a> and words</td></tr></table>'],
  ['both inks', '<div style="background:url(a.png)"><p style="color:#fff">Light</p><p style="color:#000">and dark</p></div>'],
  ['class', '<style>.hero{background:url(a.png) center}.hero h1{color:#f4f4f4}</style><div class="hero"><h1>Hero of a class</h1></div>'],
  // Gradients.
  ['gradient', '<div style="background:linear-gradient(90deg,#0b3d66,#123456)"><p style="color:#fff">Gradient</p></div>'],
  ['gradient over picture', '<div style="background:linear-gradient(rgba(0,0,0,.3),rgba(0,0,0,.3)),url(https://img.example/a.png)"><p style="color:#fff">Dimmed picture</p></div>'],
  ['gradient and colour', '<div style="background-color:#0b3d66;background-image:linear-gradient(to right,#0b3d66 0%,#002244 100%)"><p style="color:#fff">Both</p></div>'],
  ['radial', '<div style="background-image:radial-gradient(circle at center,#400,#200)"><p style="color:#fff">Radial</p></div>'],
  // Variables.
  ['fallback', '<div style="background-color:var(--x,#123456)"><p style="color:#fff">Fallback</p></div>'],
  ['root', '<style>:root{--ground:#0b3d66;--ink:#fff}.b{background:var(--ground);color:var(--ink)}</style><div class="b"><p>Of the root</p></div>'],
  ['own', '<div style="--g:#0b3d66;background:var(--g)"><p style="--i:#fff;color:var(--i)">Own</p></div>'],
  // The body.
  ['body style', '<html><body style="background-color:#0b3d66;color:#ffffff"><p>Of the body</p><p style="color:#eeeeee">of its own</p></body></html>'],
  ['body attributes', '<body bgcolor="#0b3d66" text="#ffffff" link="#ffdd88"><p>By attribute</p><a href="https://x.example">link</a> <font color="#ffffff">font</font></body>'],
  ['body without hash', '<body bgcolor="0b3d66" text="ffffff"><p>No hash</p></body>'],
  ['body picture', '<body background="https://img.example/a.png" text="white"><p>On a picture</p></body>'],
  ['body by sheet', '<style>body{background:#0b3d66;color:#fff}</style><p>By a rule</p>'],
  ['html by sheet', '<style>html,body{background-color:#0b3d66}p{color:#fff}</style><p>By a rule of both</p>'],
  ['body class', '<style>.dark{background:#0b3d66}.dark p{color:#fff}</style><body class="dark"><p>By its class</p></body>'],
  ['body and head', '<!doctype html><html style="background:#0b3d66"><head><meta name="color-scheme" content="light dark"></head><body><p style="color:#fff">On the page</p></body></html>'],
  // Tables.
  ['cells', '<table bgcolor="#0b3d66"><tr><td><font color="white">Table</font></td></tr></table><table><tr bgcolor="navy"><td style="color:#fff">Row</td></tr></table><table><tr><td bgcolor="#800000" style="color:#fff">Cell</td></tr></table>'],
  ['inner tables', '<table bgcolor="#0b3d66" width="100%"><tr><td><table><tr><td><span style="color:#fff">Inner</span></td></tr></table></td></tr></table>'],
  // Style sheets.
  ['rules', '<style type="text/css">.hero{background-color:#0b3d66;padding:16px}.btn{background:#cc0000;padding:12px}</style><div class="hero"><p style="color:#ffffff">On the hero</p><a class="btn" href="https://shop.example/pay" style="color:#ffffff">Pay now</a></div>'],
  ['ids and elements', '<style>#top{background:#0b3d66}#top>h1,#top p{color:#fff}td.x{background:#222;color:#eee}</style><div id="top"><h1>Id</h1><p>p</p></div><table><tr><td class="x">td</td></tr></table>'],
  ['in comment marks', '<style><!-- .a{background:#0b3d66} --></style><div class="a"><p style="color:#fff">Old marks</p></div>'],
  ['unknown beside known', '<style>@import url(x.css);@font-face{font-family:x;src:url(y)}.a:not(.b),.c{background:#0b3d66}[x],.d{color:#fff}</style><div class="c"><p class="d">Beside</p></div>'],
  ['media screen', '<style>@media screen{.a{background:#0b3d66}}@media screen and (min-width:1px){.b{color:#fff}}</style><div class="a"><p class="b">On a screen</p></div>'],
  ['media attribute', '<style media="screen">.a{background:#0b3d66}.a p{color:#fff}</style><div class="a"><p>On a screen</p></div>'],
  ['dark sheet', '<style>@media (prefers-color-scheme:dark){.p{background:#000!important}.t{color:#fff!important}}</style><div class="p" style="background:#fff"><p class="t" style="color:#111">For the dark</p></div>'],
  ['dark ink alone', '<style>@media (prefers-color-scheme:dark){.t{color:#fff}}.t{color:#111}</style><p class="t">Ink for the dark</p>'],
  ['light sheet', '<style>@media (prefers-color-scheme:light){.p{background:#0b3d66;color:#fff}}</style><div class="p"><p>For the light</p></div>'],
  ['phone sheet', '<style>@media only screen and (max-width:5000px){.a{background:#0b3d66!important;color:#fff!important}}</style><div class="a"><p>For small ones</p></div>'],
  // Kinds of colours.
  ['functions', '<p style="background:rgb(11 61 102);color:rgba(255,255,255,.95)">a</p><p style="background:hsl(207deg 80% 22%);color:hsl(0,0%,100%)">b</p><p style="background:rgba(11,61,102,.9);color:#ffff">c</p>'],
  ['names', '<p style="background:darkslategray;color:ivory">a</p><p style="background:MIDNIGHTBLUE;color:LemonChiffon">b</p><p style="background:rebeccapurple;color:white">c</p>'],
  ['without hash', '<p style="background-color:0b3d66;color:ffffff">no hash</p>'],
  ['no colours', '<p>Plain words with a <a href="https://x.example">link</a></p>'],
  ['no colours but a picture', '<p>The color of the sea</p><center><font size="2">Centred</font></center><img src="https://img.example/a.png" alt="A picture"><hr><blockquote>Quoted</blockquote>'],
  ['dark ink only', '<p style="color:#222">Dark words</p><p><font color="navy">Navy</font></p>'],
  ['picture among words', '<p>Words</p><img src="https://img.example/logo.png" alt="Logo"><p>and words</p>'],
  ['words for pictures', '<table width="100%" bgcolor="#0b2d4d"><tr><td><img src="https://img.example/logo.png" width="120" height="40" alt="Logo"><img src="https://img.example/b.png" alt="White" style="color:#fff"><p style="color:#fff">Words</p></td></tr></table><img src="https://img.example/c.png" alt="Pale" style="color:#fafafa;background:#ffffff">'],
  ['hidden', '<style>.preheader{display:none!important}</style><span class="preheader">NOT FOR EYES</span><div style="display:none">NOT FOR EYES</div><p hidden>NOT FOR EYES</p><div style="position:absolute;left:-9999px">NOT FOR EYES</div><div style="max-height:0;overflow:hidden">NOT FOR EYES</div><p>For eyes</p>'],
];

/** What each mail is called, and its HTML. */
export const looks = LINES.map(([name, html]) => ({ subject: `looks ${name}`, html }));

/** As messages to be imported. */
export const messages = looks.map(
  ({ subject, html }, n) => `From: Ines <ines@sender.example>\r\nTo: ann@example.org\r\nSubject: ${subject}\r\nDate: Mon, 23 Nov 2026 10:${String(n).padStart(2, '0')}:00 +0100\r\nMessage-ID: <looks-${n}@sender.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n${html}\r\n`,
);

/** Runs in the page: all text in the frames of messages that can be seen, each with the least contrast to what is under it. */
export function contrasts() {
  const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const read = (text) => {
    const numbers = /^rgba?\(([^)]*)\)/.exec(text)?.[1].split(/[ ,/]+/).map(Number);
    if (numbers) return [numbers[0], numbers[1], numbers[2], numbers[3] ?? 1];
    // Colours of our own pages are of other kinds: as the browser paints them.
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = text;
    paint.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => top.slice(0, 3).map((c, at) => c * top[3] + under[at] * (1 - top[3]));
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const seen = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const style = at.ownerDocument.defaultView.getComputedStyle(at);
      const box = at.getBoundingClientRect();
      if (style.display === 'none' || style.visibility !== 'visible' || Number(style.opacity) < 0.1) return false;
      if (style.overflow !== 'visible' && (box.height < 2 || box.width < 2)) return false;
    }
    return true;
  };
  /** All that may be under the text: more than one where a gradient is. */
  const grounds = (element) => {
    if (!element) return [[255, 255, 255]];
    const view = element.ownerDocument.defaultView;
    const style = view.getComputedStyle(element);
    const beyond = () => grounds(element.parentElement ?? view.frameElement);
    const colour = read(style.backgroundColor);
    let all = colour[3] === 1 ? [colour.slice(0, 3)] : beyond().map((under) => over(colour, under));
    const stops = (style.backgroundImage.match(/rgba?\([^)]*\)/g) ?? []).map(read);
    if (style.backgroundImage.includes('gradient') && stops.length) all = stops.flatMap((stop) => all.map((under) => over(stop, under)));
    return all;
  };
  const found = [];
  for (const frame of document.querySelectorAll('iframe.html')) {
    const page = /** @type {HTMLIFrameElement} */ (frame).contentDocument;
    const note = (text, element) => {
      const ink = read(getComputedStyle(element).color);
      const least = Math.min(...grounds(element).map((ground) => contrast(over(ink, ground), ground)));
      found.push({ text, contrast: Math.round(least * 100) / 100 });
    };
    // Words that stand for pictures.
    for (const image of page.images) if (image.alt && !image.getAttribute('src') && seen(image)) note(image.alt, image);
    const walk = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
      const text = walk.currentNode.textContent.trim();
      const element = walk.currentNode.parentElement;
      if (!text || element.closest('style') || !seen(element)) continue;
      note(text, element);
    }
  }
  return found;
}
