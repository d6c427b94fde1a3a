// @ts-check
// Following links and sending forms without leaving the page: the server's answer is an ordinary page, of which the
// parts that differ are put in place of the old ones.
import { text } from './texts.js';

/** How long the first byte may take before a request counts as hanging. */
const PATIENCE_MS = 15_000;

/** @type {AbortController | undefined} */
let under_way;
/** @type {() => void} */
let afterSwap = () => {};

/** @param {() => void} after called after each swap */
export function installPages(after) {
  afterSwap = after;
  document.addEventListener('click', onClick);
  document.addEventListener('submit', onSubmit);
  window.addEventListener('popstate', () => visit(location.href, { push: false }));
  document.addEventListener('toggle', closeOtherMenus, true);
  document.addEventListener('pointerdown', closeMenusOutside);
  document.addEventListener('scroll', rememberPlace, { capture: true, passive: true });
  expireNotice();
}

/** @param {MouseEvent} event */
function onClick(event) {
  const target = /** @type {Element} */ (event.target);
  const burger = target.closest('.burger, .shade');
  if (burger) {
    event.preventDefault();
    showSide(burger.matches('.burger'));
    return;
  }
  const link = /** @type {HTMLAnchorElement | null} */ (target.closest('a[href]'));
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.target || link.dataset.do || link.hasAttribute('download') || link.origin !== location.origin) return;
  if (link.hash && link.pathname === location.pathname && link.search === location.search) return;
  event.preventDefault();
  showSide(false);
  void visit(link.href);
}

/** @param {SubmitEvent} event */
function onSubmit(event) {
  const form = /** @type {HTMLFormElement} */ (event.target);
  const button = /** @type {HTMLButtonElement | null} */ (event.submitter);
  // Not `form.action`: a field of that name would answer instead.
  const to = form.getAttribute('action') ?? '';
  if (form.id === 'compose' || to === '/signout' || to === '/settings/export') return;
  const question = button?.dataset.confirm;
  event.preventDefault();
  if (question && !confirm(question)) return;
  const data = new FormData(form, button);
  if (form.method === 'get') {
    void visit(`${to}?${new URLSearchParams(/** @type {any} */ (data))}`);
    return;
  }
  // The key in the page serves one press; each further one is a new action.
  if (data.has('key')) data.set('key', crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`);
  markGoing(data);
  // Files need a form in parts.
  void send(to, form.enctype === 'multipart/form-data' ? data : new URLSearchParams(/** @type {any} */ (data)));
}

/** Rows that are about to leave the list step back at once. @param {FormData} data */
function markGoing(data) {
  const verb = String(data.get('verb') ?? '');
  if (!/^(archive|delete|junk|inbox|move)/.test(verb)) return;
  for (const id of data.getAll('id')) document.getElementById(String(id))?.classList.add('going');
}

/**
 * Send a form. A request that hangs or breaks is sent once more: its key makes that harmless.
 * @param {string} url
 * @param {URLSearchParams | FormData} body
 * @returns {Promise<boolean>} whether an answer came
 */
export async function send(url, body) {
  let answer = await load(url, { body });
  // Signed in again in another tab: this page still has the token of the old session.
  if (answer === 'stale' && (await renewToken())) {
    body.set('csrf', document.body.dataset.csrf ?? '');
    answer = await load(url, { body });
  }
  if (answer === 'failed') answer = await load(url, { body });
  if (answer === 'done') return true;
  document.querySelectorAll('.going').forEach((row) => row.classList.remove('going'));
  if (answer === 'failed') say(text('no-answer-safe'));
  else if (answer === 'stale') say(text('signed-out'), '/signin', text('sign-in'));
  return false;
}

/** A token of the present session for the forms of this page. @returns {Promise<boolean>} whether there is a session */
export async function renewToken() {
  const answer = await fetch('/mailboxes', { signal: AbortSignal.timeout(PATIENCE_MS) }).catch(() => undefined);
  if (!answer?.ok) return false;
  const token = new DOMParser().parseFromString(await answer.text(), 'text/html').body.dataset.csrf;
  if (!token) return false;
  document.body.dataset.csrf = token;
  useToken();
  return true;
}

function useToken() {
  const token = document.body.dataset.csrf;
  if (token) document.querySelectorAll('input[name=csrf]').forEach((field) => (/** @type {HTMLInputElement} */ (field).value = token));
}

/** @param {string} url @param {{ push?: boolean }} [options] */
export async function visit(url, options = {}) {
  document.body.setAttribute('aria-busy', 'true');
  if ((await load(url, options)) === 'failed') say(text('no-answer'), url, text('try-again'));
}

/** Fetch the present page again, and show what has changed. */
export async function refresh() {
  await load(location.href, { push: false, quiet: true });
}

/**
 * @param {string} url
 * @param {{ push?: boolean, body?: URLSearchParams | FormData, quiet?: boolean }} options
 * @returns {Promise<'done' | 'failed' | 'replaced' | 'refused' | 'stale'>} `stale`: not signed in, or no longer as before
 */
async function load(url, { push = true, body, quiet = false }) {
  if (quiet && under_way) return 'replaced';
  if (!body) under_way?.abort();
  const controller = new AbortController();
  under_way = controller;
  // Uploading files takes long; a form without files that takes long hangs.
  const heavy = body instanceof FormData && [...body.values()].some((value) => value instanceof File && value.size > 0);
  const patience = setTimeout(() => controller.abort(), heavy ? PATIENCE_MS * 20 : body ? PATIENCE_MS * 2 : PATIENCE_MS);
  try {
    const response = await fetch(url, {
      method: body ? 'POST' : 'GET', body, signal: controller.signal, credentials: 'same-origin',
      headers: quiet ? { 'x-quiet': '1' } : {},
    });
    const html = await response.text();
    if (under_way !== controller && !body) return 'replaced';
    const next = new DOMParser().parseFromString(html, 'text/html');
    const known = document.querySelector('link[rel=stylesheet]')?.getAttribute('href');
    const other = next.documentElement.lang !== document.documentElement.lang;
    if (other || !next.body.classList.contains('shell') || next.querySelector('link[rel=stylesheet]')?.getAttribute('href') !== known) {
      if (quiet) return 'failed';
      // What was being done stays on the page: it can be tried again.
      if (body && (response.status === 403 || new URL(response.url).pathname === '/signin')) {
        return response.status === 403 && attempted.has(body) ? refused(next) : (attempted.add(body), 'stale');
      }
      if (body && !response.ok) return refused(next);
      location.assign(response.url);
      return 'done';
    }
    const address = response.url + (response.redirected ? '' : new URL(url, location.href).hash);
    if (push && !quiet && address !== location.href && !(body && !response.redirected)) history.pushState(null, '', address);
    // The notice belongs to the answer, not to the address: going back must not repeat it.
    const clean = new URL(location.href);
    if (clean.searchParams.has('done')) {
      clean.searchParams.delete('done');
      history.replaceState(null, '', clean);
    }
    swap(next, quiet);
    return 'done';
  } catch {
    return under_way === controller ? 'failed' : 'replaced';
  } finally {
    clearTimeout(patience);
    if (under_way === controller) {
      under_way = undefined;
      document.body.removeAttribute('aria-busy');
    }
  }
}

/** Forms that were turned away once. @type {WeakSet<object>} */
const attempted = new WeakSet();

/** Tell what an error's page says, and stay. @param {Document} page @returns {'refused'} */
function refused(page) {
  const words = [...page.querySelectorAll('h1, h1 ~ p')].slice(0, 2).map((part) => part.textContent?.trim().replace(/[.]$/, ''));
  say(`${words.filter(Boolean).join(': ')}.`);
  return 'refused';
}

/** @param {Document} next @param {boolean} quiet */
function swap(next, quiet) {
  document.title = next.title;
  for (const name of ['theme', 'density']) {
    const value = next.documentElement.dataset[name];
    if (value) document.documentElement.dataset[name] = value;
  }
  for (const name of ['view', 'csrf', 'mailbox', 'state']) {
    const value = next.body.dataset[name];
    if (value === undefined) delete document.body.dataset[name];
    else document.body.dataset[name] = value;
  }
  useToken();
  for (const selector of ['#boxes', '#more-boxes', '#searches', '.side .bottom', '#announcement', '#vacation']) replace(next, selector);
  if (!quiet) replace(next, '#notice');
  const [list, newList] = [document.querySelector('#list'), next.querySelector('#list')];
  const [reading, newReading] = [document.querySelector('#reading'), next.querySelector('#reading')];
  if (list && newList && reading && newReading) {
    swapList(list, newList);
    if (!quiet || changed(reading, newReading)) {
      reading.replaceWith(document.adoptNode(newReading));
      const hash = location.hash.slice(1);
      if (hash) document.getElementById(hash)?.scrollIntoView({ block: 'start' });
      if (!quiet) document.getElementById('thread')?.focus({ preventScroll: true });
    }
  } else if (!quiet) {
    document.getElementById('compose')?.dispatchEvent(new Event('leave'));
    replace(next, '#main');
    const to = /** @type {HTMLElement | null} */ (document.querySelector('#main [autofocus], #main .note.bad') ?? document.querySelector('#main h1'));
    // Focus the heading, so that it is read out and Tab continues from there.
    if (to && !to.matches('input, select, textarea, button, a')) to.tabIndex = -1;
    to?.focus({ preventScroll: true });
  }
  if (!quiet) expireNotice();
  afterSwap();
}

/** Whether the open conversation has other messages than before. @param {Element} a @param {Element} b */
function changed(a, b) {
  const ids = (/** @type {Element} */ pane) => [...pane.querySelectorAll('.msg')].map((m) => m.id).join();
  return ids(a) !== ids(b);
}

/** How far the list is scrolled: one that is hidden, as on a phone while a message is read, forgets it. */
let place = 0;

/** @param {Event} event */
function rememberPlace(event) {
  const rows = event.target;
  if (rows instanceof HTMLElement && rows.matches('.rows') && rows.offsetParent) place = rows.scrollTop;
}

/**
 * The list keeps its place, what is ticked, the cursor and the focus.
 * @param {Element} list @param {Element} next
 */
function swapList(list, next) {
  const rows = list.querySelector('.rows');
  const same = list.getAttribute('aria-label') === next.getAttribute('aria-label');
  const top = rows?.scrollTop || place;
  const ticked = [...list.querySelectorAll('.pick input:checked')].map((input) => /** @type {HTMLInputElement} */ (input).value);
  const whole = /** @type {HTMLInputElement | null} */ (list.querySelector('.everything input'))?.checked;
  const before = [...list.querySelectorAll('.row')];
  const at = before.findIndex((row) => row.matches('.cursor'));
  const cursor = at < 0 ? before.findIndex((row) => row.matches('.current')) : at;
  const focus = document.activeElement;
  const focused = focus && list.contains(focus) ? focus.closest('.row')?.id : undefined;
  const kind = focus?.matches('.star') ? '.star' : focus?.matches('input') ? '.pick input' : '.open';
  list.replaceWith(document.adoptNode(next));
  if (!same) {
    place = 0;
    return;
  }
  const now = next.querySelector('.rows');
  if (now) now.scrollTop = top;
  for (const id of ticked) {
    const input = document.getElementById(id)?.querySelector('.pick input');
    if (input) /** @type {HTMLInputElement} */ (input).checked = true;
  }
  const everything = /** @type {HTMLInputElement | null} */ (next.querySelector('.everything input'));
  if (everything && whole && next.querySelector('.pick input:checked')) everything.checked = true;
  // If the row under the cursor has gone, the cursor moves to the row in its place.
  const after = [...next.querySelectorAll('.row')];
  const gone = cursor >= 0 && !after.some((row) => row.id === before[cursor].id);
  const under = gone ? after[Math.min(cursor, after.length - 1)] : at >= 0 ? document.getElementById(before[at].id) : undefined;
  under?.classList.add('cursor');
  if (gone && focused) /** @type {HTMLElement | null | undefined} */ (under?.querySelector('.open'))?.focus({ preventScroll: true });
  else if (focused) /** @type {HTMLElement | null | undefined} */ (document.getElementById(focused)?.querySelector(kind))?.focus({ preventScroll: true });
}

/** @param {Document} next @param {string} selector */
function replace(next, selector) {
  const [old, now] = [document.querySelector(selector), next.querySelector(selector)];
  if (!old || !now) return;
  const focused = old.contains(document.activeElement) ? document.activeElement?.getAttribute('href') : undefined;
  old.replaceWith(document.adoptNode(now));
  if (focused) /** @type {HTMLElement | null} */ (now.querySelector(`[href="${CSS.escape(focused)}"]`))?.focus({ preventScroll: true });
}

/** @type {number | undefined} */
let expiry;

/** A notice leaves after a while, but not under the pointer or the focus. */
function expireNotice(after_ms = 9_000) {
  clearTimeout(expiry);
  expiry = setTimeout(() => {
    const notice = document.getElementById('notice');
    if (notice?.matches(':hover, :focus-within')) expireNotice();
    else notice?.replaceChildren();
  }, after_ms);
}

/** Tell the reader something. @param {string} said @param {string} [href] @param {string} [what] a link; to sign in, in another tab */
export function say(said, href, what) {
  const toast = document.createElement('div');
  toast.className = 'toast';
  toast.append(Object.assign(document.createElement('span'), { textContent: said }));
  if (href) toast.append(Object.assign(document.createElement('a'), { href, target: href === '/signin' ? '_blank' : '', textContent: what }));
  document.getElementById('notice')?.replaceChildren(toast);
  expireNotice(30_000);
}

/** @param {boolean} shown */
export function showSide(shown) {
  const side = document.getElementById('side');
  side?.classList.toggle('shown', shown);
  if (shown) /** @type {HTMLElement | null} */ (side?.querySelector('a'))?.focus();
}

/** @param {Event} event */
function closeOtherMenus(event) {
  const menu = /** @type {HTMLDetailsElement} */ (event.target);
  if (!menu.matches?.('details.menu') || !menu.open) return;
  document.querySelectorAll('details.menu[open]').forEach((other) => other !== menu && other.removeAttribute('open'));
}

/** @param {Event} event */
function closeMenusOutside(event) {
  const inside = /** @type {Element} */ (event.target).closest('details.menu');
  document.querySelectorAll('details.menu[open]').forEach((menu) => menu !== inside && menu.removeAttribute('open'));
}
