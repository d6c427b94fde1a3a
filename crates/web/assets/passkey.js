// @ts-check
// Passkeys: a form that wants one has `data-passkey` and the question in `data-options`. Without this script, or in a
// browser without passkeys, the forms for the password do all.

/** @param {string} text */
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
/** @param {ArrayBuffer | null | undefined} buffer */
const text = (buffer) => buffer
  ? btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join('')).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')
  : '';

/** The wait for a passkey that is chosen from the list at the address field. @type {AbortController | undefined} */
let waiting;

/** @param {HTMLFormElement} form */
function question(form) {
  const options = JSON.parse(form.dataset.options ?? '{}');
  const known = (/** @type {any[]} */ list) => list?.map((one) => ({ ...one, id: bytes(one.id) }));
  const asked = { ...options, challenge: bytes(options.challenge) };
  if (options.allowCredentials) asked.allowCredentials = known(options.allowCredentials);
  if (options.excludeCredentials) asked.excludeCredentials = known(options.excludeCredentials);
  if (options.user) asked.user = { ...options.user, id: bytes(options.user.id) };
  return { asked, challenge: options.challenge };
}

/** @param {HTMLFormElement} form @param {string} challenge @param {any} credential */
function answer(form, challenge, credential) {
  const { response } = credential;
  const parts = {
    challenge,
    id: text(credential.rawId),
    client: text(response.clientDataJSON),
    data: text(response.attestationObject ?? response.authenticatorData),
    signature: text(response.signature),
    user: text(response.userHandle),
    transports: (response.getTransports?.() ?? []).join(','),
  };
  for (const [name, value] of Object.entries(parts)) {
    let field = /** @type {HTMLInputElement | null} */ (form.querySelector(`[name="pk-${name}"]`));
    if (!field) {
      field = Object.assign(document.createElement('input'), { type: 'hidden', name: `pk-${name}` });
      form.append(field);
    }
    field.value = value;
  }
  form.requestSubmit();
}

/** @param {HTMLFormElement} form @param {any} error */
function failed(form, error) {
  const place = /** @type {HTMLElement | null} */ (form.querySelector('[role="alert"]'));
  if (!place || error?.name === 'AbortError') return;
  place.textContent = (error?.name === 'InvalidStateError' && form.dataset.known) || form.dataset.failed || '';
  place.hidden = false;
}

/** @param {HTMLFormElement} form */
async function press(form) {
  waiting?.abort();
  const { asked, challenge } = question(form);
  try {
    const credential = form.dataset.passkey === 'create'
      ? await navigator.credentials.create({ publicKey: asked })
      : await navigator.credentials.get({ publicKey: asked });
    if (credential) answer(form, challenge, credential);
  } catch (error) {
    failed(form, error);
  }
}

/** Offers passkeys among what the browser suggests for the address. @param {HTMLFormElement} form */
async function offer(form) {
  if (!await PublicKeyCredential.isConditionalMediationAvailable?.()) return;
  const { asked, challenge } = question(form);
  waiting = new AbortController();
  const credential = await navigator.credentials.get({ publicKey: asked, mediation: 'conditional', signal: waiting.signal }).catch(() => null);
  if (credential) answer(form, challenge, credential);
}

export function installPasskeys() {
  if (!window.PublicKeyCredential) return;
  for (const form of /** @type {NodeListOf<HTMLFormElement>} */ (document.querySelectorAll('form[data-passkey]'))) {
    if (form.dataset.ready) continue;
    form.dataset.ready = '1';
    form.hidden = false;
    form.addEventListener('submit', (event) => {
      // What is filled goes on its way; what is not yet asks the browser first.
      const field = /** @type {HTMLInputElement | null} */ (form.querySelector('[name="pk-id"]'));
      if (field?.value) return;
      event.preventDefault();
      event.stopPropagation();
      void press(form);
    });
    if (form.dataset.passkey === 'offer') void offer(form);
  }
}

installPasskeys();
