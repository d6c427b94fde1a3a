// @ts-check
// The list of conversations and the frames of HTML messages.
import { say } from './pages.js';

/** @returns {HTMLInputElement[]} */
const boxes = () => [...document.querySelectorAll('#rows .pick input')].map((box) => /** @type {HTMLInputElement} */ (box));

/** @type {HTMLInputElement | undefined} */
let last;

export function installList() {
  // A thumbnail that can't be shown is removed; the file's name stays.
  document.addEventListener('error', ({ target }) => target instanceof HTMLImageElement && target.matches('.thumb') && target.remove(), true);
  document.addEventListener('change', (event) => {
    if (/** @type {Element} */ (event.target).matches('.pick input')) count();
  });
  document.addEventListener('click', (event) => {
    const target = /** @type {Element} */ (event.target);
    const act = target.closest('[data-do]')?.getAttribute('data-do');
    if (act === 'none') tick(false);
    if (act === 'all') tick(true);
    if (act === 'print') print();
    if (act === 'copy') void copy(/** @type {Element} */ (target.closest('[data-do]')));
    const box = /** @type {HTMLInputElement | null} */ (target.closest('.pick input'));
    if (box) {
      // Shift selects all rows between this one and the last one clicked.
      if (/** @type {MouseEvent} */ (event).shiftKey && last?.isConnected) {
        const all = boxes();
        const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
        all.slice(from, to + 1).forEach((other) => (other.checked = box.checked));
      }
      last = box;
      count();
    }
  });
}

/** Put what stands beside a button on the clipboard. @param {Element} button */
async function copy(button) {
  const named = document.getElementById(button.getAttribute('data-copy') ?? '');
  const text = named?.innerText ?? button.parentElement?.querySelector('code')?.textContent ?? '';
  const done = await navigator.clipboard?.writeText(text).then(() => true, () => false);
  say(done ? 'Copied.' : 'The browser doesn’t allow copying here. Select the text and copy it yourself.');
}

/** Tick all, or none. @param {boolean} on */
export function tick(on) {
  boxes().forEach((box) => (box.checked = on));
  count();
}

/** Whether anything is ticked. */
export const picked = () => boxes().some((box) => box.checked);

function count() {
  const n = boxes().filter((box) => box.checked).length;
  const text = document.getElementById('picked');
  if (text) text.replaceChildren(String(n), Object.assign(document.createElement('span'), { className: 'wide', textContent: ' selected' }));
  const all = /** @type {HTMLInputElement | null} */ (document.querySelector('[data-do=all]'));
  if (all) all.checked = false;
}

/** No message makes a page taller than this; what is taller is scrolled in its frame, and what follows stays in reach. */
const MAX_FRAME_PX = 20_000;

/** Give each frame the height of its message, now and when its pictures have come. */
export function fitFrames() {
  for (const element of document.querySelectorAll('iframe.html')) {
    const frame = /** @type {HTMLIFrameElement} */ (element);
    const fit = () => {
      const page = frame.contentDocument;
      if (!page?.body) return;
      // What was laid out for a wider page is shown smaller rather than cut off.
      const wide = page.documentElement.scrollWidth;
      const room = frame.clientWidth;
      if (wide > room + 1 && !page.body.style.zoom) {
        // The margin at the far end is no part of what is too wide.
        const margin = parseFloat(getComputedStyle(page.body).paddingInlineEnd) || 0;
        page.body.style.zoom = String(Math.max(0.45, room / (wide + margin)));
      }
      frame.style.blockSize = `${Math.min(MAX_FRAME_PX, Math.ceil(page.body.getBoundingClientRect().height) + 2)}px`;
    };
    const ready = () => {
      const page = frame.contentDocument;
      if (!page?.body || page.URL === 'about:blank') return;
      fit();
      new ResizeObserver(fit).observe(page.body);
      // Keys pressed while the frame has the focus are meant for the page.
      page.addEventListener('keydown', (event) => {
        const again = new KeyboardEvent('keydown', { key: event.key, ctrlKey: event.ctrlKey, metaKey: event.metaKey, altKey: event.altKey, bubbles: true, cancelable: true });
        document.body.dispatchEvent(again);
      });
    };
    frame.addEventListener('load', ready);
    ready();
  }
}
