// @ts-check
// Writing: the draft saves itself, addresses complete themselves, files can be dropped.
import { renewToken, say, send } from './pages.js';
import { text as said } from './texts.js';

/** How long after the last keystroke a draft is saved. */
const PAUSE_MS = 2_500;
/** And how much longer for each megabyte of files: all of the message is kept anew each time. */
const PAUSE_PER_MB_MS = 2_000;

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

  /** Heavy drafts are saved less often. */
  const patience = () => PAUSE_MS + Math.min(90_000, (Number(form.dataset.bytes) / 1_000_000) * PAUSE_PER_MB_MS);

  /** @param {string} what @returns {Promise<boolean>} */
  const save = async (what, again = true) => {
    clearTimeout(pause);
    dirty = false;
    status.textContent = said(what === 'attach' ? 'adding' : 'saving');
    const data = new FormData(form);
    data.set('do', what);
    if (what !== 'attach') data.delete('attach');
    const answer = await post(data, what === 'attach' ? 600_000 : 30_000, (part) => {
      if (what === 'attach') status.textContent = part < 1 ? said('adding-percent', Math.floor(part * 100)) : said('adding');
    });
    if (answer.draft || answer.empty) {
      /** @type {HTMLInputElement} */ (form.elements.namedItem('draft')).value = answer.draft;
      form.dataset.bytes = String(answer.bytes);
      if (!left && form.isConnected) history.replaceState(null, '', answer.draft ? `/compose?draft=${answer.draft}` : '/compose');
      showFiles(form, answer.files);
      // Nothing is kept of a page on which nothing is written.
      status.textContent = answer.empty ? '' : said('saved-at', answer.saved);
      return true;
    }
    if (answer.stale && again && (await renewToken())) return save(what, false);
    dirty = true;
    const files = what === 'attach';
    if (answer.stale) status.textContent = said('not-saved-signed-out');
    else if (answer.detail) status.textContent = files ? answer.detail : said('not-saved-because', answer.detail);
    else status.textContent = said(files ? 'files-not-attached' : 'not-saved-yet');
    if (!left && !files) pause = setTimeout(queue, PAUSE_MS * 4);
    return false;
  };
  const queue = (what = 'save') => (saving = saving.then(() => (left || !form.isConnected ? false : save(what))));

  form.addEventListener('input', (event) => {
    if (event.target === files) return;
    dirty = true;
    status.textContent = '';
    clearTimeout(pause);
    pause = setTimeout(queue, patience());
  });
  files.addEventListener('change', async () => {
    const names = [...(files.files ?? [])].map((file) => file.name);
    if (!names.length) return;
    const bytes = [...(files.files ?? [])].reduce((sum, file) => sum + file.size, Number(form.dataset.bytes));
    if (bytes > Number(form.dataset.most)) status.textContent = said('files-too-large', form.dataset.mostText ?? '');
    else if (await queue('attach')) status.textContent = names.length > 2 ? said('attached-many', names.length) : said('attached', names.join(', '));
    files.value = '';
  });
  form.addEventListener('paste', (event) => {
    const pasted = event.clipboardData;
    // Programs put a picture of a text beside the text: the text is meant.
    if (!pasted?.files.length || pasted.getData('text/plain').trim()) return;
    event.preventDefault();
    const named = new DataTransfer();
    [...pasted.files].forEach((file, at) => named.items.add(withName(file, at)));
    files.files = named.files;
    files.dispatchEvent(new Event('change'));
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
    status.textContent = button?.value === 'send' ? said('sending') : '';
    left = button?.value !== 'save';
    const done = await send('/compose', data);
    delete form.dataset.busy;
    if (!done) {
      left = false;
      dirty = true;
      status.textContent = said('not-sent');
    }
  });
  form.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      form.requestSubmit(/** @type {HTMLElement} */ (form.querySelector('.below [value=send]')));
    } else if (/** @type {Element} */ (event.target).matches('input, [data-people]')) event.preventDefault();
  });
  // Another page takes the place of this one: what was typed last is kept.
  form.addEventListener('leave', async () => {
    clearTimeout(pause);
    if (!dirty || left) return;
    left = true;
    const data = new FormData(form);
    data.set('do', 'save');
    data.delete('attach');
    await saving;
    data.set('draft', /** @type {HTMLInputElement} */ (form.elements.namedItem('draft')).value);
    const answer = await post(data, 30_000, () => {});
    if (answer.empty) return;
    say(said(answer.draft ? 'draft-kept' : 'draft-lost'), answer.draft ? `/compose?draft=${answer.draft}` : location.href, answer.draft ? said('draft-edit') : '');
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
  const from = /** @type {HTMLSelectElement | null} */ (form.querySelector('select#from'));
  if (from) followWriter(form, from);
  form.querySelectorAll('input[data-people]').forEach((input) => complete(grown(/** @type {HTMLInputElement} */ (input))));
  const text = /** @type {HTMLTextAreaElement | null} */ (document.querySelector('#text[autofocus]'));
  text?.setSelectionRange(0, 0);
}

/**
 * Who writes as another address gets its signature and its Bcc, in place of those of the address before. What was
 * changed by hand stays.
 * @param {HTMLFormElement} form @param {HTMLSelectElement} from
 */
function followWriter(form, from) {
  const text = /** @type {HTMLTextAreaElement} */ (form.querySelector('#text'));
  const below = (/** @type {string | undefined} */ signature) => (signature ? `\n\n-- \n${signature}` : '');
  let before = from.selectedOptions[0]?.dataset ?? {};
  from.addEventListener('change', () => {
    const now = from.selectedOptions[0]?.dataset ?? {};
    const [old, own] = [below(before.signature), below(now.signature)];
    const at = old ? text.value.indexOf(old) : text.value === text.defaultValue ? 0 : text.value.length;
    const answers = /** @type {HTMLInputElement} */ (form.elements.namedItem('answers')).value;
    if (old ? at >= 0 : at === 0 || !answers) text.value = text.value.slice(0, at) + own + text.value.slice(at + old.length);
    const bcc = /** @type {HTMLInputElement | HTMLTextAreaElement} */ (form.querySelector('[name=bcc]'));
    if (bcc.value === (before.bcc ?? '')) {
      bcc.value = now.bcc ?? '';
      bcc.dispatchEvent(new Event('input', { bubbles: true }));
      if (bcc.value) bcc.closest('details')?.setAttribute('open', '');
    }
    before = now;
  });
}

/**
 * What is pasted without a name of its own gets one that tells it from what was pasted before.
 * @param {File} file @param {number} at its place among those pasted at once @returns {File}
 */
function withName(file, at) {
  if (!/^(image|blob)?([.][a-z]+)?$/i.test(file.name)) return file;
  const now = new Date();
  const parts = [now.getFullYear(), now.getMonth() + 1, now.getDate(), now.getHours(), now.getMinutes(), now.getSeconds()].map((n) => String(n).padStart(2, '0'));
  const ending = /^image[/](png|jpeg|gif|webp|bmp|avif)$/.exec(file.type)?.[1].replace('jpeg', 'jpg') ?? 'bin';
  const name = `picture ${parts.slice(0, 3).join('-')} ${parts.slice(3).join('.')}${at ? ` (${at + 1})` : ''}.${ending}`;
  return new File([file], name, { type: file.type });
}

/**
 * Post the form for an answer in JSON. Not by fetch, which does not tell how far an upload is.
 * @param {FormData} data @param {number} limit_ms @param {(part: number) => void} progress
 * @returns {Promise<any>} the answer; `stale` if the session is over; empty if none came
 */
function post(data, limit_ms, progress) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open('POST', '/compose');
    request.setRequestHeader('accept', 'application/json');
    request.timeout = limit_ms;
    request.upload.addEventListener('progress', (event) => progress(event.total ? event.loaded / event.total : 1));
    request.addEventListener('loadend', () => {
      const stale = request.status === 403 || new URL(request.responseURL || location.href).pathname === '/signin';
      try {
        resolve({ ...JSON.parse(request.responseText), stale });
      } catch {
        resolve({ stale });
      }
    });
    request.send(data);
  });
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
    const named = Object.assign(document.createElement('span'), { className: 'n' });
    named.append(Object.assign(document.createElement('span'), { textContent: file.name }), Object.assign(document.createElement('small'), { textContent: file.size }));
    const remove = Object.assign(document.createElement('button'), { className: 'tool', name: 'do', value: `remove:${at}`, ariaLabel: said('remove', file.name) });
    remove.append(icon('close'));
    line.append(icon('file'), named, remove);
    return line;
  }));
}

/**
 * The same field with as many lines as its people take, so that all of them can be seen and each taken out.
 * @param {HTMLInputElement} input @returns {HTMLTextAreaElement}
 */
function grown(input) {
  const area = document.createElement('textarea');
  for (const { name, value } of input.attributes) if (name !== 'value') area.setAttribute(name, value);
  area.rows = 1;
  area.value = input.value;
  const fit = () => {
    area.style.blockSize = 'auto';
    if (area.scrollHeight) area.style.blockSize = `${area.scrollHeight}px`;
  };
  area.addEventListener('input', fit);
  const focused = document.activeElement === input;
  input.replaceWith(area);
  if (focused) area.focus();
  fit();
  // Also when it is shown, and when its lines become longer or shorter.
  let wide = 0;
  new ResizeObserver(([entry]) => {
    const now = entry?.contentRect.width ?? 0;
    if (now === wide) return;
    wide = now;
    fit();
  }).observe(area);
  return area;
}

/** Where the entry begins that is being typed. @param {string} text */
const entryStart = (text) => Math.max(text.lastIndexOf(','), text.lastIndexOf(';'), text.lastIndexOf('\n')) + 1;

/** Offer people written to before, contacts and groups. @param {HTMLTextAreaElement} input */
function complete(input) {
  const list = Object.assign(document.createElement('ul'), { className: 'suggest', id: `${input.id}-people`, hidden: true });
  list.setAttribute('role', 'listbox');
  list.setAttribute('aria-label', said('people'));
  input.after(list);
  // A field of many lines can't be a combobox; a text box that completes itself is one to those who hear it.
  input.setAttribute('aria-autocomplete', 'list');
  input.setAttribute('aria-haspopup', 'listbox');
  input.setAttribute('aria-controls', list.id);
  let asked = '';

  const close = () => {
    list.hidden = true;
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
    const before = input.value.slice(0, entryStart(input.value));
    input.value = `${before}${before ? ' ' : ''}${option.getAttribute('data-value')}, `;
    input.dispatchEvent(new Event('input', { bubbles: true }));
    close();
  };
  input.addEventListener('input', async () => {
    const prefix = input.value.slice(entryStart(input.value)).trim();
    asked = prefix;
    if (prefix.length < 1) return close();
    const response = await fetch(`/complete?q=${encodeURIComponent(prefix)}`).catch(() => undefined);
    if (!response?.ok || asked !== prefix || document.activeElement !== input) return;
    /** @type {{ name: string, address: string, value: string, initial: string, hue: string, picture: string, book: string }[]} */
    const people = await response.json();
    if (!people.length) return close();
    list.replaceChildren(...people.map((person, at) => {
      const option = Object.assign(document.createElement('li'), { id: `${list.id}-${at}` });
      option.setAttribute('role', 'option');
      option.setAttribute('data-value', person.value);
      const text = document.createElement('span');
      text.append(person.name || person.address);
      const where = [person.name && person.address, person.book].filter(Boolean).join(' · ');
      if (where) text.append(Object.assign(document.createElement('small'), { textContent: where }));
      const face = person.picture
        ? Object.assign(document.createElement('img'), { className: 'avatar', src: person.picture, alt: '' })
        : Object.assign(document.createElement('span'), { className: `avatar ${person.hue}`, textContent: person.initial });
      face.setAttribute('aria-hidden', 'true');
      option.append(face, text);
      option.addEventListener('pointerdown', (event) => { event.preventDefault(); take(option); });
      return option;
    }));
    list.hidden = false;
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
