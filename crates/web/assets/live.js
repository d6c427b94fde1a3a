// @ts-check
// Live updates. One tab holds the connection and tells the others, because a browser opens only six.
import { refresh } from './pages.js';

const channel = 'BroadcastChannel' in self ? new BroadcastChannel('holdfast') : undefined;
let waiting = false;

export function installLive() {
  if (!('EventSource' in self)) return;
  channel?.addEventListener('message', ({ data }) => (data === 'ended' ? onEnded() : onChange(data)));
  if (navigator.locks && channel) void navigator.locks.request('holdfast-live', () => new Promise(() => listen()));
  else listen();
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && waiting) void update();
  });
}

function listen() {
  const source = new EventSource('/live');
  source.addEventListener('change', (event) => {
    const change = JSON.parse(event.data);
    channel?.postMessage(change);
    onChange(change);
  });
  // Signed out, here or from elsewhere, or no longer an administrator.
  source.addEventListener('ended', () => {
    source.close();
    channel?.postMessage('ended');
    onEnded();
  });
  // EventSource reconnects, but gives up when refused: signed out, or the service is starting.
  source.addEventListener('error', () => {
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(listen, 20_000 + Math.random() * 20_000);
  });
  // On leaving, the browser must not wait for the stream.
  addEventListener('pagehide', () => source.close());
  addEventListener('pageshow', (event) => event.persisted && listen());
}

/** The session has ended: reload. A message being written stays on the page, so that it can be copied. */
function onEnded() {
  if (!document.querySelector('#compose')) location.reload();
}

/** @param {{ state: number, unread: number, boxes: Record<string, number> }} change */
function onChange(change) {
  if (change.state <= Number(document.body.dataset.state ?? 0)) return;
  for (const [id, n] of Object.entries(change.boxes)) showCount(id, n);
  document.title = document.title.replace(/^\(\d+\) /, '').replace(/^/, change.unread ? `(${change.unread}) ` : '');
  waiting = true;
  if (!document.hidden) void update();
}

/** @param {string} id @param {number} n */
function showCount(id, n) {
  const link = document.querySelector(`[data-box="${id}"]`);
  if (!link || link.getAttribute('data-role') === 'drafts') return;
  let count = link.querySelector('.n');
  if (!count && n) link.append((count = Object.assign(document.createElement('span'), { className: 'n unread' })));
  if (count) count.textContent = n ? String(n) : '';
  link.querySelector('.name')?.classList.toggle('unread', n > 0);
}

/** @type {number | undefined} */
let timer;

async function update() {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    waiting = false;
    if (document.querySelector('#list') && !document.querySelector('.menu[open]')) await refresh();
  }, 150);
}
