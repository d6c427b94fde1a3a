// @ts-check
// Following links and sending forms without leaving the page: the server's answer is an ordinary page, of which the
// parts that differ are put in place of the old ones.

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
  if (link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
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
  if (form.id === 'compose' || to === '/signout') return;
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
  for (let attempt = 0; attempt < 2; attempt++) {
    const answer = await load(url, { body });
    if (answer === 'done') return true;
    if (answer === 'replaced') return false;
  }
  document.querySelectorAll('.going').forEach((row) => row.classList.remove('going'));
  say('No answer from the server. Nothing is lost: try again.');
  return false;
}

/** @param {string} url @param {{ push?: boolean }} [options] */
export async function visit(url, options = {}) {
  if ((await load(url, options)) === 'failed') location.assign(url);
}

/** Fetch the present page again, and show what has changed. */
export async function refresh() {
  await load(location.href, { push: false, quiet: true });
}

/**
 * @param {string} url
 * @param {{ push?: boolean, body?: URLSearchParams | FormData, quiet?: boolean }} options
 * @returns {Promise<'done' | 'failed' | 'replaced'>}
 */
async function load(url, { push = true, body, quiet = false }) {
  if (quiet && under_way) return 'replaced';
  if (!body) under_way?.abort();
  const controller = new AbortController();
  under_way = controller;
  const patience = setTimeout(() => controller.abort(), body instanceof FormData ? PATIENCE_MS * 20 : PATIENCE_MS);
  try {
    const response = await fetch(url, {
      method: body ? 'POST' : 'GET', body, signal: controller.signal, credentials: 'same-origin',
      headers: quiet ? { 'x-quiet': '1' } : {},
    });
    const html = await response.text();
    if (under_way !== controller && !body) return 'replaced';
    const next = new DOMParser().parseFromString(html, 'text/html');
    const known = document.querySelector('link[rel=stylesheet]')?.getAttribute('href');
    if (!next.body.classList.contains('shell') || next.querySelector('link[rel=stylesheet]')?.getAttribute('href') !== known) {
      if (quiet) return 'failed';
      if (body && !response.redirected) showPage(html);
      else location.assign(response.url);
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
    if (under_way === controller) under_way = undefined;
  }
}

/** Show a page that is not of the shell, such as an error. @param {string} html */
function showPage(html) {
  const next = new DOMParser().parseFromString(html, 'text/html');
  document.title = next.title;
  document.body.replaceWith(document.adoptNode(next.body));
}

/** @param {Document} next @param {boolean} quiet */
function swap(next, quiet) {
  document.title = next.title;
  const theme = next.documentElement.dataset.theme;
  if (theme) document.documentElement.dataset.theme = theme;
  for (const name of ['view', 'csrf', 'mailbox', 'state']) {
    const value = next.body.dataset[name];
    if (value === undefined) delete document.body.dataset[name];
    else document.body.dataset[name] = value;
  }
  for (const selector of ['#boxes', '#more-boxes', '.side .bottom']) replace(next, selector);
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
    replace(next, '#main');
    const input = /** @type {HTMLElement | null} */ (document.querySelector('#main [autofocus]'));
    (input ?? document.querySelector('#main h1'))?.focus?.();
  }
  if (!quiet) expireNotice();
  afterSwap();
}

/** Whether the open conversation has other messages than before. @param {Element} a @param {Element} b */
function changed(a, b) {
  const ids = (/** @type {Element} */ pane) => [...pane.querySelectorAll('.msg')].map((m) => m.id).join();
  return ids(a) !== ids(b);
}

/**
 * The list keeps its place, what is ticked, the cursor and the focus.
 * @param {Element} list @param {Element} next
 */
function swapList(list, next) {
  const rows = list.querySelector('.rows');
  const same = list.getAttribute('aria-label') === next.getAttribute('aria-label');
  const top = rows?.scrollTop ?? 0;
  const ticked = [...list.querySelectorAll('.pick input:checked')].map((input) => /** @type {HTMLInputElement} */ (input).value);
  const cursor = list.querySelector('.row.cursor')?.id;
  const focus = document.activeElement;
  const focused = focus && list.contains(focus) ? focus.closest('.row')?.id : undefined;
  const kind = focus?.matches('.star') ? '.star' : focus?.matches('input') ? '.pick input' : '.open';
  list.replaceWith(document.adoptNode(next));
  if (!same) return;
  const now = next.querySelector('.rows');
  if (now) now.scrollTop = top;
  for (const id of ticked) {
    const input = document.getElementById(id)?.querySelector('.pick input');
    if (input) /** @type {HTMLInputElement} */ (input).checked = true;
  }
  if (cursor) document.getElementById(cursor)?.classList.add('cursor');
  if (focused) /** @type {HTMLElement | null | undefined} */ (document.getElementById(focused)?.querySelector(kind))?.focus({ preventScroll: true });
}

/** @param {Document} next @param {string} selector */
function replace(next, selector) {
  const [old, now] = [document.querySelector(selector), next.querySelector(selector)];
  if (old && now) old.replaceWith(document.adoptNode(now));
}

/** @type {number | undefined} */
let expiry;

/** A notice leaves after a while, but not under the pointer or the focus. */
function expireNotice() {
  clearTimeout(expiry);
  expiry = setTimeout(() => {
    const notice = document.getElementById('notice');
    if (notice?.matches(':hover, :focus-within')) expireNotice();
    else notice?.replaceChildren();
  }, 9_000);
}

/** Tell the reader something. @param {string} text */
export function say(text) {
  const toast = document.createElement('div');
  toast.className = 'toast';
  toast.textContent = text;
  document.getElementById('notice')?.replaceChildren(toast);
  expireNotice();
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
