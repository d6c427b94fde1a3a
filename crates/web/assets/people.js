// @ts-check
// The form of a contact: one more row without asking the server, and pictures made small before they are sent. Without
// this script the server adds rows, and refuses pictures that are too large.

/** Longest side of a picture that is sent, in pixels. */
const SIDE = 512;
/** Pictures below this size are sent as they are, in bytes. */
const SMALL = 100_000;

let isInstalled = false;

export function installPeople() {
  if (isInstalled) return;
  isInstalled = true;
  document.addEventListener('click', (event) => {
    const button = /** @type {Element} */ (event.target).closest?.('button[data-another]');
    const last = button?.parentElement?.previousElementSibling;
    if (!button || !last) return;
    event.preventDefault();
    event.stopPropagation();
    const row = /** @type {Element} */ (last.cloneNode(true));
    row.querySelectorAll('.wrong').forEach((wrong) => wrong.remove());
    const fields = /** @type {NodeListOf<HTMLInputElement | HTMLTextAreaElement>} */ (row.querySelectorAll('input, textarea'));
    fields.forEach((field) => {
      field.value = '';
      field.removeAttribute('aria-invalid');
      field.removeAttribute('aria-describedby');
      const label = field.getAttribute('aria-label') ?? '';
      field.setAttribute('aria-label', label.replace(/\d+/, (number) => String(Number(number) + 1)));
    });
    last.after(row);
    fields[0]?.focus();
  }, true);
  document.addEventListener('change', (event) => {
    const input = /** @type {HTMLInputElement} */ (event.target);
    if (input.matches?.('input[type=file][data-shrinks]')) void shrink(input);
  });
}

/** Put a smaller picture in the place of the chosen one. @param {HTMLInputElement} input */
async function shrink(input) {
  const file = input.files?.[0];
  if (!file || file.size <= SMALL || file.type === 'image/gif') return;
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return;
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext('2d');
  if (!context) return;
  // What is transparent would be black in a JPEG.
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((done) => { canvas.toBlob(done, 'image/jpeg', 0.85); });
  if (!blob || blob.size >= file.size || input.files?.[0] !== file) return;
  const files = new DataTransfer();
  files.items.add(new File([blob], 'picture.jpg', { type: 'image/jpeg' }));
  input.files = files.files;
}
