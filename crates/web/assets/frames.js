// @ts-check
// HTML messages in their frames: as high as what they say, scrolled where they are too wide, printed.
import { visit } from './pages.js';

/** No message makes a page taller than this; what is taller is scrolled in its frame, and what follows stays in reach. */
const MAX_FRAME_PX = 20_000;

/** Text is never made smaller than that to fit: what is still too wide is scrolled. */
const LEAST_ZOOM = 0.7;
/** What a bar for scrolling takes. */
const SCROLL_BAR_PX = 16;

/** What is too wide for its frame is scrolled sideways: a shadow at the edge behind which there is more. @param {HTMLIFrameElement} frame */
function showEdges(frame) {
  const page = frame.contentDocument?.documentElement;
  if (!page) return;
  const beyond = page.scrollWidth - frame.clientWidth;
  const at = page.scrollLeft;
  frame.parentElement?.classList.toggle('more-left', beyond > 1 && (at < 0 ? beyond + at > 1 : at > 1));
  frame.parentElement?.classList.toggle('more-right', beyond > 1 && (at < 0 ? at < -1 : beyond - at > 1));
}

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
        page.body.style.zoom = String(Math.max(LEAST_ZOOM, room / (wide + margin)));
      }
      const bar = page.documentElement.scrollWidth > room + 1 ? SCROLL_BAR_PX : 0;
      frame.style.blockSize = `${Math.min(MAX_FRAME_PX, Math.ceil(page.body.getBoundingClientRect().height) + 2 + bar)}px`;
      showEdges(frame);
    };
    const ready = () => {
      const page = frame.contentDocument;
      if (!page?.body || page.URL === 'about:blank') return;
      fit();
      new ResizeObserver(fit).observe(page.body);
      page.addEventListener('scroll', () => showEdges(frame), { passive: true });
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

/** How long printing waits for messages and their pictures. */
const PRINT_PATIENCE_MS = 8_000;

/** Print the page; of a conversation all messages. @param {string | undefined} opened the conversation with all of them open */
export async function printAll(opened) {
  if (opened && document.querySelector('.msg.shut, .earlier')) await visit(opened);
  const frames = [...document.querySelectorAll('iframe.html')].map((frame) => /** @type {HTMLIFrameElement} */ (frame));
  const shown = frames.map(async (frame) => {
    frame.loading = 'eager';
    if (frame.contentDocument?.readyState !== 'complete' || frame.contentDocument.URL === 'about:blank') {
      await new Promise((resolve) => frame.addEventListener('load', resolve, { once: true }));
    }
    await Promise.all([...(frame.contentDocument?.images ?? [])].map((image) => image.decode().catch(() => {})));
  });
  await Promise.race([Promise.all(shown), new Promise((resolve) => setTimeout(resolve, PRINT_PATIENCE_MS))]);
  print();
}
