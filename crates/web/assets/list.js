// @ts-check
// The list of conversations, and buttons that need no server.
import { printAll } from './frames.js';
import { say } from './pages.js';
import { text } from './texts.js';

/** @returns {HTMLInputElement[]} */
const boxes = () => [...document.querySelectorAll('#rows .pick input')].map((box) => /** @type {HTMLInputElement} */ (box));

/** @type {HTMLInputElement | undefined} */
let last;

export function installList() {
  // A thumbnail that can't be shown is removed; the file's name stays.
  document.addEventListener('error', ({ target }) => target instanceof HTMLImageElement && target.matches('.thumb') && target.remove(), true);
  document.addEventListener('change', (event) => {
    const box = /** @type {HTMLInputElement} */ (event.target);
    if (box.matches('.pick input')) {
      // Who takes one out does not mean all of the mailbox any more.
      if (!box.checked) wholeMailbox(false);
      count();
    }
    if (box.matches('.everything input')) {
      if (box.checked) boxes().forEach((other) => (other.checked = true));
      count();
    }
  });
  document.addEventListener('click', (event) => {
    const target = /** @type {Element} */ (event.target);
    const act = target.closest('[data-do]')?.getAttribute('data-do');
    if (act === 'none') tick(false);
    if (act === 'all') tick(true);
    if (act === 'print') {
      event.preventDefault();
      const link = /** @type {HTMLAnchorElement | null} */ (target.closest('a[data-do]'));
      void printAll(link?.href);
    }
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
  const copied = named?.innerText ?? button.parentElement?.querySelector('code')?.textContent ?? '';
  const done = await navigator.clipboard?.writeText(copied).then(() => true, () => false);
  say(text(done ? 'copied' : 'copy-refused'));
}

/** Tick all, or none. @param {boolean} on */
export function tick(on) {
  boxes().forEach((box) => (box.checked = on));
  if (!on) wholeMailbox(false);
  count();
}

/** Whether all of the mailbox is meant, beyond this page. @param {boolean} on */
function wholeMailbox(on) {
  const box = /** @type {HTMLInputElement | null} */ (document.querySelector('.everything input'));
  if (box) box.checked = on;
}

/** Whether anything is ticked. */
export const picked = () => boxes().some((box) => box.checked);

function count() {
  const n = boxes().filter((box) => box.checked).length;
  const told = document.getElementById('picked');
  const whole = /** @type {HTMLInputElement | null} */ (document.querySelector('.everything input'))?.checked;
  if (!told) return;
  told.textContent = whole ? text('selected-all') : text('selected', n);
  told.dataset.n = whole ? text('selected-all') : String(n);
  const all = /** @type {HTMLInputElement | null} */ (document.querySelector('[data-do=all]'));
  if (all) all.checked = false;
}
