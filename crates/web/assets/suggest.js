// @ts-check
// Suggestions below the search field. Without this script the browser offers the recent searches.
import { text } from './texts.js';

/** @typedef {{ query: string, hint: string, kind: string }} Offer */

export function installSuggest() {
  const input = /** @type {HTMLInputElement | null} */ (document.querySelector('#q'));
  if (!input || input.dataset.suggests) return;
  input.dataset.suggests = '1';
  input.removeAttribute('list');
  const list = Object.assign(document.createElement('ul'), { id: 'q-offers', className: 'suggest', hidden: true });
  list.setAttribute('role', 'listbox');
  list.setAttribute('aria-label', text('suggestions'));
  input.setAttribute('role', 'combobox');
  input.setAttribute('aria-controls', list.id);
  input.setAttribute('aria-expanded', 'false');
  input.setAttribute('aria-autocomplete', 'list');
  input.after(list);
  let at = -1;
  let asked = 0;

  const close = () => {
    list.hidden = true;
    at = -1;
    input.setAttribute('aria-expanded', 'false');
    input.removeAttribute('aria-activedescendant');
  };
  /** @param {number} to */
  const mark = (to) => {
    const items = [...list.children];
    at = items.length ? (to + items.length) % items.length : -1;
    items.forEach((item, n) => item.setAttribute('aria-selected', String(n === at)));
    if (at >= 0) input.setAttribute('aria-activedescendant', items[at].id);
  };
  /** @param {Element} item */
  const take = (item) => {
    const query = /** @type {HTMLElement} */ (item).dataset.query ?? '';
    input.value = query;
    close();
    // A word that wants more is completed; everything else is searched for.
    if (query.endsWith(':')) { input.focus(); void ask(); } else input.form?.requestSubmit();
  };
  const ask = async () => {
    const mine = ++asked;
    const response = await fetch(`/search/suggest?q=${encodeURIComponent(input.value)}`, { headers: { accept: 'application/json' } }).catch(() => null);
    if (!response?.ok || mine !== asked || document.activeElement !== input) return;
    const offers = /** @type {Offer[]} */ (await response.json().catch(() => []));
    list.replaceChildren(...offers.map((offer, n) => {
      const item = Object.assign(document.createElement('li'), { id: `q-offer-${n}` });
      item.setAttribute('role', 'option');
      item.setAttribute('aria-selected', 'false');
      item.dataset.query = offer.query;
      item.dataset.kind = offer.kind;
      const text = Object.assign(document.createElement('span'), { textContent: offer.query });
      item.append(text, Object.assign(document.createElement('small'), { textContent: offer.hint }));
      return item;
    }));
    at = -1;
    list.hidden = offers.length === 0;
    input.setAttribute('aria-expanded', String(offers.length > 0));
  };

  let timer = 0;
  const soon = () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => void ask(), 120);
  };
  input.addEventListener('input', soon);
  input.addEventListener('focus', soon);
  input.addEventListener('blur', () => { asked++; close(); });
  input.addEventListener('keydown', (event) => {
    if (list.hidden) return;
    if (event.key === 'ArrowDown') mark(at + 1);
    else if (event.key === 'ArrowUp') mark(at < 0 ? -1 : at - 1);
    else if (event.key === 'Enter' && at >= 0) take(list.children[at]);
    else {
      // Escape leaves the field as well, as it does without suggestions.
      if (event.key === 'Escape') close();
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  });
  input.form?.addEventListener('submit', () => {
    clearTimeout(timer);
    asked++;
    close();
  });
  // The field keeps the focus.
  list.addEventListener('mousedown', (event) => {
    event.preventDefault();
    const item = /** @type {Element} */ (event.target).closest('li');
    if (item) take(item);
  });
}
