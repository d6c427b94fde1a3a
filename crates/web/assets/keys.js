// @ts-check
// Keyboard shortcuts. They press the links and buttons that are on the page: a key does nothing that the mouse can't do.
import { picked, tick } from './list.js';
import { showSide } from './pages.js';
import { keyTexts, text } from './texts.js';

/** @type {Record<string, string>} */
const PLACES = { i: 'inbox', s: 'sent', d: 'drafts', a: 'archive', t: 'trash', j: 'junk' };
let going = false;

export function installKeys() {
  document.addEventListener('keydown', onKey);
  document.addEventListener('click', (event) => {
    if (/** @type {Element} */ (event.target).closest('[data-do=help]')) help();
  });
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  const typing = target.closest('input:not([type=checkbox]), textarea, select, [contenteditable]');
  if (event.key === 'Escape') {
    // The focus goes back to where the menu was opened.
    /** @type {HTMLElement | null | undefined} */ (target.closest('details.menu[open]')?.querySelector('summary'))?.focus();
    document.querySelectorAll('details.menu[open]').forEach((menu) => menu.removeAttribute('open'));
    showSide(false);
    if (typing) target.blur();
    else if (picked()) tick(false);
    return;
  }
  const item = target.closest('.menu[open] .pop :is(a, button)');
  if (item && !event.ctrlKey && !event.metaKey && !event.altKey && moveIn(item, event.key)) {
    event.preventDefault();
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (press(event.key)) event.preventDefault();
}

/** @param {string} key @returns {boolean} whether it meant something */
function press(key) {
  if (going) {
    going = false;
    return click(key === 'c' ? '.boxes a[href="/people"]' : `a[data-role="${PLACES[key]}"]`);
  }
  switch (key) {
    case 'j': return step(1);
    case 'k': return step(-1);
    case 'o': return click('.row.cursor .open') || click('.row .open');
    case 'x': return click('.row.cursor .pick input');
    case 'e': return verb('archive') || verb('inbox');
    case '#': case 'Delete': return verb('delete');
    case '!': return verb('junk');
    case 'A': return !!document.querySelector('.row') && (tick(!picked()), true);
    case 'I': return verb('read');
    case 'U': return verb('unread');
    case 's': return click('#acts .star') || click('.row.cursor .star');
    case 'v': return openMenu();
    case '/': return focus('#q');
    case '?': return help();
    case 'g': return (going = true);
    case 'u': case 'z': case 'r': case 'a': case 'f': case 'c': return click(`[data-key="${key}"]`);
    default: return false;
  }
}

/** Press a button for the open conversation, or for those ticked, or for the one under the cursor. @param {string} name */
function verb(name) {
  const reading = document.querySelector('#acts');
  if (!picked() && reading) return click(`#acts [value="${name}"]`);
  if (!picked()) {
    const box = /** @type {HTMLInputElement | null} */ (document.querySelector('.row.cursor .pick input'));
    if (!box) return false;
    box.checked = true;
  }
  return click(`#rows .bulk [value="${name}"]`);
}

/** @param {number} by */
function step(by) {
  const rows = [...document.querySelectorAll('.row')];
  if (!rows.length) return false;
  const at = rows.findIndex((row) => row.matches('.cursor'));
  const open = rows.findIndex((row) => row.matches('.current'));
  const from = at >= 0 ? at : open;
  const to = Math.max(0, Math.min(rows.length - 1, from < 0 ? 0 : from + by));
  rows.forEach((row) => row.classList.remove('cursor'));
  const row = rows[to];
  row.classList.add('cursor');
  row.scrollIntoView({ block: 'nearest' });
  const link = /** @type {HTMLElement} */ (row.querySelector('.open'));
  // With a conversation open, moving on reads the next one.
  if (document.body.dataset.view === 'reading' && to !== open) link.click();
  else link.focus({ preventScroll: true });
  return true;
}

/** @param {string} selector */
function click(selector) {
  const element = /** @type {HTMLElement | null} */ (document.querySelector(selector));
  element?.click();
  return !!element;
}

/** @param {string} selector */
function focus(selector) {
  const input = /** @type {HTMLInputElement | null} */ (document.querySelector(selector));
  input?.focus();
  input?.select();
  return !!input;
}

/** In an open menu arrows go up and down, letters to what begins with them. @param {Element} item @param {string} key */
function moveIn(item, key) {
  const items = /** @type {HTMLElement[]} */ ([...(item.closest('.pop')?.querySelectorAll('a, button') ?? [])]);
  const at = items.indexOf(/** @type {HTMLElement} */ (item));
  const after = [...items.slice(at + 1), ...items.slice(0, at + 1)];
  const to = { ArrowDown: after[0], ArrowUp: items.at(at - 1), Home: items[0], End: items.at(-1) }[key]
    ?? (/^[\p{L}\p{N}]$/u.test(key) ? after.find((one) => one.textContent?.trim().toLowerCase().startsWith(key.toLowerCase())) : undefined);
  to?.focus();
  return !!to || /^\S$/.test(key);
}

function openMenu() {
  const menu = /** @type {HTMLDetailsElement | null} */ (document.querySelector(picked() ? '#rows .bulk .menu' : '#acts .menu'));
  if (!menu) return false;
  menu.open = true;
  /** @type {HTMLElement | null} */ (menu.querySelector('.pop button'))?.focus();
  return true;
}

function help() {
  const dialog = document.createElement('dialog');
  dialog.setAttribute('aria-labelledby', 'help-title');
  const bar = document.createElement('div');
  bar.className = 'bar';
  const title = Object.assign(document.createElement('h2'), { id: 'help-title', textContent: text('shortcuts') });
  const grow = Object.assign(document.createElement('span'), { className: 'grow' });
  const close = Object.assign(document.createElement('button'), { className: 'quiet', type: 'button', textContent: text('close') });
  close.addEventListener('click', () => dialog.close());
  bar.append(title, grow, close);
  const keys = Object.assign(document.createElement('div'), { className: 'keys' });
  for (const [group, lines] of keyTexts()) {
    const list = document.createElement('dl');
    for (const [key, meaning] of lines) {
      const name = document.createElement('dt');
      name.append(Object.assign(document.createElement('kbd'), { textContent: key }));
      list.append(name, Object.assign(document.createElement('dd'), { textContent: meaning }));
    }
    const part = document.createElement('section');
    part.append(Object.assign(document.createElement('h3'), { textContent: group }), list);
    keys.append(part);
  }
  dialog.append(bar, keys);
  dialog.addEventListener('close', () => dialog.remove());
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return true;
}
