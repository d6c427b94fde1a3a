// @ts-check
// How strong a new password is, while it is typed. The estimate is made here; where someone is signed in, the server says
// whether it would take the password, by the rule that it takes it by. Without this script the form says so when it is sent.

/** Words that are tried first, most of them whole passwords. */
const COMMON = 'password passwort motdepasse contrasena qwertz qwerty azerty letmein welcome willkommen bonjour hello hallo secret geheim master admin administrator root login access iloveyou love lovely princess sunshine superman batman pokemon starwars dragon monkey shadow flower freedom football fussball baseball basketball soccer hockey michael jennifer jordan daniel charlie andrew thomas robert jessica ashley summer winter spring sommer computer internet samsung google facebook whatever trustno cheese cookie pepper ginger killer hunter ranger buster tigger purple orange banana chocolate diamond angel babygirl family money mustang harley ferrari porsche liverpool chelsea arsenal london berlin paris america test changeme default temp user guest pass word abc holdfast mail correct horse battery staple'.split(' ');
const ROWS = ['abcdefghijklmnopqrstuvwxyz', '01234567890', 'qwertyuiopasdfghjklzxcvbnm', 'qwertzuiopasdfghjklyxcvbnm', 'azertyuiopqsdfghjklmwxcvbn', '1qaz2wsx3edc4rfv5tgb6yhn', '1q2w3e4r5t6y'];
/** @type {Record<string, string>} */
const LEET = { 0: 'o', 1: 'i', 3: 'e', 4: 'a', 5: 's', 7: 't', '@': 'a', $: 's', '!': 'i' };

/** @param {string} text */
const reversed = (text) => [...text].reverse().join('');

/** The longest start of `text` that goes along a row of keys or letters, or repeats one. @param {string} text */
function run(text) {
  let longest = 1;
  while (longest < text.length && text[longest] === text[0]) longest++;
  for (const row of ROWS.flatMap((one) => [one, reversed(one)])) {
    let length = 2;
    while (length <= text.length && row.includes(text.slice(0, length))) length++;
    longest = Math.max(longest, length - 1);
  }
  return longest;
}

/**
 * How many bits a guesser needs, roughly: what is known, common, repeated or in a row counts little.
 * @param {string} password
 * @param {string[]} about the owner's address and names
 */
export function bits(password, about = []) {
  // The rest of a longer one changes nothing.
  const lower = password.slice(0, 64).toLowerCase();
  const plain = [...lower].map((c) => LEET[c] ?? c).join('');
  const known = about.flatMap((text) => [text, ...text.split(/[^\p{L}\p{N}]+/u)]).map((text) => text.toLowerCase()).filter((text) => text.length > 2);
  const words = [...known.flatMap((text) => [text, reversed(text)]), ...COMMON].sort((a, b) => b.length - a.length);
  let sum = 0;
  /** @type {Set<string>} */
  const seen = new Set();
  for (let at = 0; at < lower.length;) {
    const word = words.find((one) => lower.startsWith(one, at) || plain.startsWith(one, at));
    const year = /^(19|20)\d\d/.exec(lower.slice(at));
    const along = run(lower.slice(at));
    // A piece that came before costs nothing to try again.
    const again = [...Array(Math.max(lower.length - at - 2, 0)).keys()].map((n) => lower.length - at - n).find((length) => seen.has(lower.slice(at, at + length)));
    let length = 1;
    if (again) length = again;
    else if (word) [length, sum] = [word.length, sum + (known.includes(word) ? 2 : 6)];
    else if (along > 2) [length, sum] = [along, sum + 4];
    else if (year) [length, sum] = [4, sum + 6];
    // Later letters of a word follow from its first ones.
    else sum += /\d/.test(lower[at]) ? 3.3 : !/[a-z]/.test(lower[at]) ? 5.5 : /^[a-z]{3}$/.test(lower.slice(Math.max(at - 3, 0), at)) ? 1.5 : 4.4;
    const piece = lower.slice(at, at + length);
    if (length > 2) seen.add(piece);
    at += length;
    for (let from = 0; from <= at - 3; from++) for (let to = from + 3; to <= at; to++) if (to - from < 12) seen.add(lower.slice(from, to));
  }
  // A capital at the start and a sign at the end are what everybody does.
  if (/[A-Z]/.test(password.slice(1))) sum += 3;
  return sum;
}

/** From 0, refused, to 4. @param {string} password @param {string[]} about @param {number} shortest */
export function level(password, about, shortest) {
  if ([...password].length < shortest) return 0;
  const needed = bits(password, about);
  return needed < 20 ? 0 : needed < 32 ? 1 : needed < 45 ? 2 : needed < 60 ? 3 : 4;
}

/** @param {HTMLElement} place */
function watch(place) {
  const input = /** @type {HTMLInputElement | null} */ (document.getElementById(place.dataset.strength ?? ''));
  if (!input || place.dataset.ready) return;
  place.dataset.ready = '1';
  const words = (place.dataset.words ?? '').split('|');
  let asked = 0;
  let timer = 0;
  const show = (/** @type {number} */ to, /** @type {string} */ text) => {
    place.dataset.level = String(to);
    place.textContent = text;
    place.hidden = !input.value;
  };
  const check = async (/** @type {number} */ mine, /** @type {number} */ guessed) => {
    const body = new URLSearchParams({ csrf: /** @type {HTMLInputElement} */ (input.form?.elements.namedItem('csrf')).value, new: input.value });
    const response = await fetch(place.dataset.check ?? '', { method: 'POST', body, headers: { accept: 'application/json' } }).catch(() => null);
    const said = response?.ok ? await response.json().catch(() => null) : null;
    if (!said || mine !== asked) return;
    if (said.ok) show(Math.max(guessed, 1), words[Math.max(guessed, 1)]);
    else show(0, said.text);
  };
  input.addEventListener('input', () => {
    const mine = ++asked;
    clearTimeout(timer);
    const fields = (place.dataset.fields ?? '').split(' ').filter(Boolean);
    const typed = fields.map((id) => /** @type {HTMLInputElement | null} */ (document.getElementById(id))?.value ?? '');
    const now = level(input.value, [...(place.dataset.about ?? '').split('|'), ...typed, location.hostname].filter(Boolean), input.minLength);
    show(now, words[now]);
    if (place.dataset.check && input.value.length >= input.minLength) timer = window.setTimeout(() => void check(mine, now), 250);
  });
}

export function installStrength() {
  for (const place of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-strength]'))) watch(place);
}

if (typeof document !== 'undefined') installStrength();
