// @ts-check
// Writing: the draft saves itself, addresses complete themselves, files can be dropped.
import { send } from './pages.js';

/** How long after the last keystroke a draft is saved. */
const PAUSE_MS = 2_500;

export function installCompose() {
  const form = /** @type {HTMLFormElement | null} */ (document.querySelector('#compose'));
  if (!form || form.dataset.ready) return;
  form.dataset.ready = '1';
  const status = /** @type {HTMLElement} */ (form.querySelector('#saved'));
  const files = /** @type {HTMLInputElement} */ (form.querySelector('#attach'));
  /** @type {number | undefined} */
  let pause;
  let dirty = false;
  let left = false;
  /** @type {Promise<unknown>} */
  let saving = Promise.resolve();

  /** @param {string} what @returns {Promise<boolean>} */
  const save = async (what) => {
    clearTimeout(pause);
    dirty = false;
    status.textContent = what === 'attach' ? 'Adding…' : 'Saving…';
    const data = new FormData(form);
    data.set('do', what);
    if (what !== 'attach') data.delete('attach');
    try {
      const response = await fetch('/compose', { method: 'POST', body: data, headers: { accept: 'application/json' }, signal: AbortSignal.timeout(what === 'attach' ? 300_000 : 20_000) });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.detail);
      /** @type {HTMLInputElement} */ (form.elements.namedItem('draft')).value = answer.draft;
      if (!left && form.isConnected) history.replaceState(null, '', `/compose?draft=${answer.draft}`);
      showFiles(form, answer.files);
      status.textContent = `Saved ${answer.saved}`;
      return true;
    } catch (error) {
      dirty = true;
      status.textContent = what === 'attach' && error instanceof Error && error.message ? error.message : 'Not saved yet';
      if (!left && what !== 'attach') pause = setTimeout(queue, PAUSE_MS * 4);
      return false;
    }
  };
  const queue = (what = 'save') => (saving = saving.then(() => (left || !form.isConnected ? false : save(what))));

  form.addEventListener('input', (event) => {
    if (event.target === files) return;
    dirty = true;
    status.textContent = '';
    clearTimeout(pause);
    pause = setTimeout(queue, PAUSE_MS);
  });
  files.addEventListener('change', async () => {
    if (!files.files?.length) return;
    await queue('attach');
    files.value = '';
  });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = /** @type {HTMLButtonElement | null} */ (event.submitter);
    if (form.dataset.busy) return;
    form.dataset.busy = '1';
    clearTimeout(pause);
    await saving;
    const data = new FormData(form, button);
    if (!files.files?.length) data.delete('attach');
    status.textContent = button?.value === 'send' ? 'Sending…' : '';
    left = button?.value !== 'save';
    const done = await send('/compose', data);
    delete form.dataset.busy;
    if (!done) {
      left = false;
      dirty = true;
      status.textContent = 'Not sent. Press Send again: it goes out once.';
    }
  });
  form.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      form.requestSubmit(/** @type {HTMLElement} */ (form.querySelector('.below [value=send]')));
    } else if (/** @type {Element} */ (event.target).matches('input')) event.preventDefault();
  });
  addEventListener('pagehide', () => {
    if (!dirty || left || !form.isConnected) return;
    const data = new FormData(form);
    data.set('do', 'save');
    data.delete('attach');
    navigator.sendBeacon('/compose', data);
  });

  for (const name of ['dragover', 'dragleave', 'drop']) {
    form.addEventListener(name, (event) => {
      const transfer = /** @type {DragEvent} */ (event).dataTransfer;
      if (!transfer?.types.includes('Files')) return;
      event.preventDefault();
      form.classList.toggle('over', name === 'dragover');
      if (name === 'drop' && transfer.files.length) {
        files.files = transfer.files;
        files.dispatchEvent(new Event('change'));
      }
    });
  }
  form.querySelectorAll('[data-people]').forEach((input) => complete(/** @type {HTMLInputElement} */ (input)));
  const text = /** @type {HTMLTextAreaElement | null} */ (document.querySelector('#text[autofocus]'));
  text?.setSelectionRange(0, 0);
}

/** @param {HTMLFormElement} form @param {{ name: string, size: string }[]} files */
function showFiles(form, files) {
  const list = /** @type {HTMLElement} */ (form.querySelector('#files'));
  const icons = document.querySelector('.icon use')?.getAttribute('href')?.split('#')[0];
  /** @param {string} name */
  const icon = (name) => {
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    svg.classList.add('icon');
    svg.setAttribute('aria-hidden', 'true');
    const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
    use.setAttribute('href', `${icons}#${name}`);
    svg.append(use);
    return svg;
  };
  list.replaceChildren(...files.map((file, at) => {
    const line = Object.assign(document.createElement('li'), { className: 'file' });
    const text = Object.assign(document.createElement('span'), { className: 'n' });
    text.append(Object.assign(document.createElement('span'), { textContent: file.name }), Object.assign(document.createElement('small'), { textContent: file.size }));
    const remove = Object.assign(document.createElement('button'), { className: 'tool', name: 'do', value: `remove:${at}`, ariaLabel: `Remove ${file.name}` });
    remove.append(icon('close'));
    line.append(icon('file'), text, remove);
    return line;
  }));
}

/** Offer people written to before, contacts and groups. @param {HTMLInputElement} input */
function complete(input) {
  const list = Object.assign(document.createElement('ul'), { className: 'suggest', id: `${input.id}-people`, hidden: true });
  list.setAttribute('role', 'listbox');
  list.setAttribute('aria-label', 'People');
  input.after(list);
  input.setAttribute('role', 'combobox');
  input.setAttribute('aria-autocomplete', 'list');
  input.setAttribute('aria-expanded', 'false');
  input.setAttribute('aria-controls', list.id);
  let asked = '';

  const close = () => {
    list.hidden = true;
    input.setAttribute('aria-expanded', 'false');
    input.removeAttribute('aria-activedescendant');
  };
  /** @param {Element | null | undefined} option */
  const mark = (option) => {
    list.querySelectorAll('li').forEach((li) => li.setAttribute('aria-selected', String(li === option)));
    if (option) input.setAttribute('aria-activedescendant', option.id);
  };
  /** @param {Element | null} option */
  const take = (option) => {
    if (!option) return;
    const before = input.value.slice(0, input.value.lastIndexOf(',') + 1);
    input.value = `${before}${before ? ' ' : ''}${option.getAttribute('data-value')}, `;
    input.dispatchEvent(new Event('input', { bubbles: true }));
    close();
  };
  input.addEventListener('input', async () => {
    const prefix = input.value.slice(input.value.lastIndexOf(',') + 1).trim();
    asked = prefix;
    if (prefix.length < 1) return close();
    const response = await fetch(`/complete?q=${encodeURIComponent(prefix)}`).catch(() => undefined);
    if (!response?.ok || asked !== prefix || document.activeElement !== input) return;
    /** @type {{ name: string, address: string, value: string }[]} */
    const people = await response.json();
    if (!people.length) return close();
    list.replaceChildren(...people.map((person, at) => {
      const option = Object.assign(document.createElement('li'), { id: `${list.id}-${at}` });
      option.setAttribute('role', 'option');
      option.setAttribute('data-value', person.value);
      const text = document.createElement('span');
      text.append(person.name || person.address);
      if (person.name) text.append(Object.assign(document.createElement('small'), { textContent: person.address }));
      option.append(text);
      option.addEventListener('pointerdown', (event) => { event.preventDefault(); take(option); });
      return option;
    }));
    list.hidden = false;
    input.setAttribute('aria-expanded', 'true');
    mark(list.firstElementChild);
  });
  input.addEventListener('keydown', (event) => {
    if (list.hidden) return;
    const now = list.querySelector('[aria-selected=true]');
    if (event.key === 'ArrowDown') mark(now?.nextElementSibling ?? list.firstElementChild);
    else if (event.key === 'ArrowUp') mark(now?.previousElementSibling ?? list.lastElementChild);
    else if (event.key === 'Enter' || event.key === 'Tab') take(now);
    else if (event.key === 'Escape') close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  input.addEventListener('blur', close);
}
