// What people do, in a real browser: from the first run to an answered letter.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { AxeBuilder } from '@axe-core/playwright';
import { chromium } from 'playwright-core';
import { contrasts, looks, messages } from './looks.mjs';
import { start } from './server.mjs';

const PASSWORD = 'correct horse battery';
/** How long anything may take on a busy machine, the time in which a Send can be taken back among it. */
const PATIENCE_MS = 60_000;
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };
const pictures = process.env.HOLDFAST_SCREENSHOTS;

let server, browser;
/** Requests to anywhere else, which there must not be. */
const strangers = [];
/** What pages complain of: scripts that fail, policies that are broken. */
const complaints = [];

before(async () => {
  server = await start();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  if (pictures) await mkdir(pictures, { recursive: true });
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function open(options = {}) {
  const context = await browser.newContext({ baseURL: server.url, viewport: DESKTOP, ignoreHTTPSErrors: true, locale: 'en-GB', timezoneId: 'Europe/Athens', ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.on('request', (request) => {
    if (!request.url().startsWith(options.baseURL ?? server.url) && !/^(data|blob|about):/.test(request.url())) strangers.push(request.url());
  });
  page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error}`));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/status of (4\d\d|503)/.test(message.text())) complaints.push(`${page.url()}: ${message.text()}`);
  });
  return page;
}

async function signIn(name, options) {
  const page = await open(options);
  await page.goto('/signin');
  await page.getByLabel('Email address').fill(`${name}@example.org`);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.locator('#list').waitFor();
  // Keys mean something once the script has run.
  if (options?.javaScriptEnabled !== false) await page.locator('html.scripted').waitFor({ state: 'attached' });
  return page;
}

async function write(page, to, subject, text) {
  await page.getByRole('link', { name: 'Compose' }).filter({ visible: true }).first().click();
  await page.getByLabel('To', { exact: true }).fill(to);
  await page.getByLabel('Subject').fill(subject);
  await page.getByLabel('Message', { exact: true }).fill(text);
}

/** How long a Send can be taken back from now on. */
async function timeToUndo(page, seconds) {
  await page.goto('/settings');
  await page.getByLabel('Undo send').selectOption(seconds);
  await page.getByRole('button', { name: 'Save' }).click();
  await page.locator('[data-code=settings]').waitFor();
}

/** All pages that are neither a list of messages nor one of them. */
const PAGES = [
  '/compose', '/search?q=', '/search?q=nothing+at+all', '/people', '/people/new', '/people/import', '/mailboxes', '/rewind',
  '/settings', '/settings/security', '/settings/rules', '/settings/rules/rule', '/settings/rules/scripts', '/settings/rules/script', '/settings/vacation', '/searches', '/settings/apps', '/settings/sessions', '/settings/aliases', '/settings/check', '/admin', '/admin/accounts/1', '/admin/domains',
  '/admin/queue', '/admin/service', '/admin/continuity', '/admin/audit', '/nothing',
];

const row = (page, subject) => page.locator('.row').filter({ hasText: subject });

async function picture(page, name) {
  if (pictures) await page.screenshot({ path: `${pictures}/${name}.png` });
}

/** axe finds nothing on the page as it is. */
async function accessible(page, name) {
  const found = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']).exclude('iframe').analyze();
  const said = found.violations.map((v) => `${name}: ${v.id}: ${v.help}\n  ${v.nodes.slice(0, 4).map((n) => `${n.html.slice(0, 160)} ${n.failureSummary?.split('\n')[1] ?? ''}`).join('\n  ')}`);
  assert.deepEqual(said, []);
}

test('the first visitor makes the domain and the first administrator', async () => {
  const page = await open();
  await page.goto('/');
  assert.match(page.url(), /\/setup$/);
  await accessible(page, 'setup');
  await picture(page, 'setup');
  await page.getByLabel('Setup token').fill(server.token);
  await page.getByLabel('Mail domain').fill('example.org');
  await page.getByLabel('Your name').fill('Ann Lee');
  await page.getByLabel('Email address').fill('ann');
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByLabel('Repeat password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Create account' }).click();
  await page.locator('#list').getByText('caught up').waitFor();
  await accessible(page, 'empty inbox');
  await picture(page, 'empty');
  await page.context().close();
});

test('the administrator makes a second account', async () => {
  const page = await signIn('ann');
  await page.goto('/admin');
  await page.getByLabel('Address', { exact: true }).fill('bob@example.org');
  await page.getByLabel('Name', { exact: true }).fill('Bob Kay');
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Create' }).click();
  await page.getByRole('cell', { name: 'bob@example.org' }).waitFor();
  for (const path of PAGES) {
    await page.goto(path);
    await accessible(page, path);
    await picture(page, `page${path.replaceAll(/[^a-z0-9]+/g, '-')}`);
  }
  await page.context().close();
});

test('mail sent to another account arrives while its reader looks on, and is answered', async () => {
  const [ann, bob] = [await signIn('ann'), await signIn('bob')];
  await timeToUndo(ann, '1');
  await write(ann, 'bob@example.org', 'Tide tables', 'High water at noon.\nSee https://tides.example/today\n\nAnn');
  await picture(ann, 'compose');
  await ann.getByRole('button', { name: 'Send', exact: true }).filter({ visible: true }).click();
  await ann.getByText('Sent.').waitFor();
  // Nobody reloads anything.
  await row(bob, 'Tide tables').waitFor();
  assert.match(await bob.title(), /\(1\)/);
  await row(bob, 'Tide tables').getByRole('link').click();
  await bob.locator('#thread').getByText('High water at noon.').first().waitFor();
  await accessible(bob, 'reading');
  await picture(bob, 'reading-desktop');
  await bob.keyboard.press('r');
  await bob.getByLabel('Subject').waitFor();
  assert.equal(await bob.getByLabel('Subject').inputValue(), 'Re: Tide tables');
  assert.match(await bob.getByLabel('Message', { exact: true }).inputValue(), /> High water at noon\./);
  await bob.getByLabel('Message', { exact: true }).press('Home');
  await bob.keyboard.type('Thank you!');
  await accessible(bob, 'writing');
  await bob.keyboard.press('Control+Enter');
  await bob.getByText('Sent.').waitFor();
  await row(ann, 'Tide tables').waitFor();
  await row(ann, 'Tide tables').getByRole('link').click();
  await ann.locator('#thread').getByText('Thank you!').first().waitFor();
  assert.equal(await ann.locator('.msg').count(), 2, 'question and answer are one conversation');
  await ann.context().close();
  await bob.context().close();
});

test('a Send is taken back within its time', async () => {
  const bob = await signIn('bob');
  // As long as there is: also a slow browser is to press Undo within it.
  await timeToUndo(bob, '30');
  await write(bob, 'ann@example.org', 'Sent too early', 'wait');
  await bob.getByRole('button', { name: 'Send', exact: true }).filter({ visible: true }).click();
  await bob.getByRole('button', { name: 'Undo' }).click();
  await bob.locator('[data-code=unsent]').waitFor();
  assert.equal(await bob.getByLabel('Subject').inputValue(), 'Sent too early');
  await bob.getByRole('button', { name: 'Discard draft' }).click();
  await bob.locator('[data-code=discarded]').waitFor();
  await bob.context().close();
});

test('drafts save themselves and people complete themselves', async () => {
  const ann = await signIn('ann');
  await write(ann, '', 'Half a thought', 'to be gone on with');
  await ann.getByText(/^Saved /).waitFor();
  await ann.getByLabel('To', { exact: true }).pressSequentially('bo');
  await ann.getByRole('option', { name: /bob@example\.org/ }).waitFor();
  await ann.keyboard.press('Enter');
  assert.match(await ann.getByLabel('To', { exact: true }).inputValue(), /bob@example\.org/);
  await ann.locator('#attach').setInputFiles({ name: 'chart.txt', mimeType: 'text/plain', buffer: Buffer.from('N 54 E 10') });
  await ann.getByText('Attached chart.txt.').waitFor();
  await ann.locator('#files').getByText('chart.txt').waitFor();
  await ann.reload();
  assert.equal(await ann.getByLabel('Subject').inputValue(), 'Half a thought');
  await ann.locator('#files').getByText('chart.txt').waitFor();
  await ann.getByRole('link', { name: /Drafts/ }).click();
  await row(ann, 'Half a thought').waitFor();
  assert.equal(await ann.locator('.row').count(), 1);
  await ann.context().close();
});

test('move, delete, star and undo', async () => {
  const bob = await signIn('bob');
  const gone = () => row(bob, 'Tide tables').waitFor({ state: 'detached' });
  await row(bob, 'Tide tables').locator('.pick').click();
  await picture(bob, 'bulk');
  await accessible(bob, 'selected');
  await bob.locator('.bulk').getByRole('button', { name: 'Archive' }).click();
  await bob.getByText('1 conversation archived.').waitFor();
  await gone();
  await bob.getByRole('button', { name: 'Undo' }).click();
  await bob.getByText('Undone.').waitFor();
  await row(bob, 'Tide tables').waitFor();
  await bob.keyboard.press('j');
  await bob.keyboard.press('s');
  await bob.locator('.star[aria-pressed=true]').first().waitFor();
  await bob.keyboard.press('#');
  await bob.getByText('1 conversation moved to Trash.').waitFor();
  await gone();
  await bob.keyboard.press('z');
  await row(bob, 'Tide tables').waitFor();
  await bob.goto('/mailboxes');
  await bob.getByLabel('Name', { exact: true }).fill('Sea');
  await bob.getByRole('button', { name: 'Create' }).click();
  await bob.getByRole('link', { name: 'Inbox' }).first().click();
  await row(bob, 'Tide tables').getByRole('link').click();
  await bob.locator('#thread').getByText('High water at noon.').first().waitFor();
  await bob.locator('#acts').getByLabel('Move to another mailbox').click();
  await bob.locator('#acts').getByRole('button', { name: 'Sea' }).click();
  await bob.getByText('moved to Sea').waitFor();
  await bob.getByRole('link', { name: /^Sea/ }).click();
  await row(bob, 'Tide tables').waitFor();
  await bob.context().close();
});

test('search finds, keys help', async () => {
  const bob = await signIn('bob');
  await bob.keyboard.press('/');
  await bob.keyboard.type('from:ann tide');
  await bob.keyboard.press('Enter');
  await row(bob, 'Tide tables').waitFor();
  await accessible(bob, 'search');
  await picture(bob, 'search');
  await bob.keyboard.press('Escape');
  await bob.keyboard.press('?');
  await bob.getByRole('heading', { name: 'Keyboard shortcuts' }).waitFor();
  await accessible(bob, 'help');
  await picture(bob, 'help');
  await bob.getByRole('button', { name: 'Close' }).click();
  await bob.context().close();
});

test('rules, a vacation reply and saved searches are made and taken back, with scripts and without', async () => {
  for (const javaScriptEnabled of [true, false]) {
    const page = await signIn('bob', { javaScriptEnabled });
    await page.goto('/settings/rules/rule');
    await page.getByLabel('Name', { exact: true }).fill('Large ones');
    await page.locator('#what-0').selectOption('size');
    // What this condition has no use for is hidden, without scripts as well.
    await page.locator('#value-0').waitFor({ state: 'hidden' });
    await page.locator('#size-0').fill('5 MB');
    await page.locator('#do-0').selectOption('star');
    await page.getByRole('button', { name: 'Add action' }).click();
    await page.locator('#do-1').selectOption('read');
    assert.equal(await page.locator('#size-0').inputValue(), '5 MB');
    if (javaScriptEnabled) await accessible(page, 'rule');
    await page.locator('#name').press('Enter');
    const rule = page.locator('[data-kind=rule]').filter({ hasText: 'Large ones' });
    await rule.getByText('larger than 5 MB').waitFor();
    if (javaScriptEnabled) await accessible(page, 'rules');
    await picture(page, 'rules');
    await rule.getByRole('button', { name: /^Turn off/ }).click();
    await page.locator('[data-kind=rule][data-off]').waitFor();
    await rule.getByRole('button', { name: /^Delete/ }).click();
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.locator('[data-kind=rule][data-off]').waitFor();
    await rule.getByRole('button', { name: /^Delete/ }).click();
    await rule.waitFor({ state: 'detached' });

    await page.goto('/settings/vacation');
    await page.getByLabel('Send the reply').check();
    await page.getByLabel('Text', { exact: true }).fill('Back on Monday.');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.locator('[data-code=vacation-on]').waitFor();
    if (javaScriptEnabled) await accessible(page, 'vacation');
    await page.goto('/mail/inbox');
    await page.getByRole('button', { name: 'Turn it off' }).click();
    await page.locator('[data-code=vacation-on]').waitFor({ state: 'detached' });

    await page.goto('/search?q=is%3Aunread');
    await page.getByRole('link', { name: 'Save this search' }).click();
    await page.getByLabel('Name', { exact: true }).last().fill('New mail');
    await page.getByRole('button', { name: 'Save', exact: true }).last().click();
    await page.locator('#searches').getByText('New mail').waitFor({ state: 'attached' });
    await page.goto('/searches');
    await page.getByRole('button', { name: 'Delete New mail' }).click();
    await page.locator('[data-search]').waitFor({ state: 'detached' });
    if (javaScriptEnabled) {
      // Suggestions as one types, by the keyboard alone.
      await page.goto('/mail/inbox');
      await page.getByRole('combobox', { name: 'Search mail' }).fill('is:st');
      await page.getByRole('option', { name: /is:starred/ }).waitFor();
      await accessible(page, 'suggestions');
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('Enter');
      await page.waitForURL(/q=is(%3A|:)starred/);
    }
    await page.context().close();
  }
});

test('a phone shows one thing at a time, and nothing wider than itself', async () => {
  const bob = await signIn('bob', { viewport: PHONE, hasTouch: true, isMobile: true });
  const fits = async (name) => {
    const wide = await bob.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${name} is ${wide} px too wide`);
  };
  await bob.goto('/mail/inbox');
  await fits('inbox');
  await bob.getByRole('link', { name: 'Mailboxes', exact: true }).tap();
  await bob.getByRole('link', { name: /^Sea/ }).waitFor();
  await picture(bob, 'phone-mailboxes');
  await accessible(bob, 'phone mailboxes');
  await bob.getByRole('link', { name: /^Sea/ }).tap();
  await row(bob, 'Tide tables').waitFor();
  await fits('list');
  await accessible(bob, 'phone list');
  await picture(bob, 'phone-list');
  await row(bob, 'Tide tables').getByRole('link').tap();
  await bob.getByRole('heading', { name: 'Tide tables' }).waitFor();
  await fits('reading');
  await accessible(bob, 'phone reading');
  await picture(bob, 'phone-reading');
  await bob.getByRole('link', { name: /Back to/ }).tap();
  await bob.getByRole('link', { name: 'Compose' }).filter({ visible: true }).tap();
  await bob.getByLabel('Subject').waitFor();
  await fits('writing');
  // Recipients and subject stand line below line, and what opens Cc and Bcc stands in the line of To.
  const lines = await bob.evaluate(() => {
    const box = (/** @type {string} */ selector) => document.querySelector(selector)?.getBoundingClientRect() ?? new DOMRect();
    const [to, subject] = ['.entry:has(#to)', '.entry:has(#subject)'].map(box);
    const copies = box('.copies > summary');
    return { between: subject.top - to.bottom, above: copies.top - to.top, below: to.bottom - copies.bottom };
  });
  assert.ok(Math.abs(lines.between) < 4 && lines.above >= 0 && lines.below >= 0, JSON.stringify(lines));
  await accessible(bob, 'phone writing');
  await picture(bob, 'phone-compose');
  for (const path of ['/settings', '/settings/apps', '/mailboxes']) {
    await bob.goto(path);
    await fits(path);
  }
  await bob.context().close();
});

test('in the dark everything is still to be read', async () => {
  for (const [name, viewport] of [['desktop', DESKTOP], ['phone', PHONE]]) {
    const ann = await signIn('ann', { colorScheme: 'dark', viewport });
    await accessible(ann, `dark list ${name}`);
    await picture(ann, `dark-list-${name}`);
    await row(ann, 'Tide tables').getByRole('link').click();
    await ann.locator('#thread').getByText('Thank you!').first().waitFor();
    await accessible(ann, `dark reading ${name}`);
    await picture(ann, `dark-reading-${name}`);
    for (const path of name === 'desktop' ? PAGES : ['/compose']) {
      await ann.goto(path);
      await accessible(ann, `dark ${path} ${name}`);
    }
    await ann.context().close();
  }
});

test('enlarged four times no page has to be moved sideways', async () => {
  const ann = await signIn('ann', { viewport: { width: 320, height: 400 } });
  for (const path of ['/mail/inbox', ...PAGES]) {
    await ann.goto(path);
    const wide = await ann.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${path} is ${wide} px too wide`);
  }
  await ann.context().close();
});

test('a session that ends meanwhile loses nothing that was typed', async () => {
  const ann = await signIn('ann');
  await write(ann, 'bob@example.org', 'Kept', 'Typed before the session ended.');
  await ann.context().clearCookies({ name: 'holdfast' });
  await ann.getByRole('button', { name: 'Send', exact: true }).click();
  await ann.getByText('You are signed out.').waitFor();
  assert.equal(await ann.getByLabel('Message', { exact: true }).inputValue(), 'Typed before the session ended.');
  const [again] = await Promise.all([ann.context().waitForEvent('page'), ann.getByRole('link', { name: 'Sign in' }).click()]);
  await again.getByLabel('Email address').fill('ann@example.org');
  await again.getByLabel('Password').fill(PASSWORD);
  await again.getByRole('button', { name: 'Sign in' }).click();
  await again.locator('#list').waitFor();
  await ann.getByRole('button', { name: 'Send', exact: true }).click();
  await ann.getByText('Sent.').waitFor();
  await ann.context().close();
});

test('leaving the page at once keeps what was typed', async () => {
  const ann = await signIn('ann');
  await write(ann, 'bob@example.org', 'Half a thought', 'Not finished');
  await ann.getByRole('link', { name: /^Inbox/ }).first().click();
  await ann.getByText('Saved as draft.').waitFor();
  await ann.getByRole('link', { name: 'Edit draft' }).click();
  await ann.waitForFunction(() => document.querySelector('#text')?.value === 'Not finished');
  await ann.getByRole('button', { name: 'Discard draft' }).click();
  await ann.locator('[data-code=discarded]').waitFor();
  await ann.context().close();
});

test('what the server refuses is told, and the page stays', async () => {
  const ann = await signIn('ann');
  await ann.route('**/act', (route) => route.fulfill({
    status: 503, contentType: 'text/html', body: '<body><main><h1>Back in a moment</h1><p>The service is being checked.</p></main>',
  }));
  await row(ann, 'Tide tables').locator('.star').click();
  await ann.getByText('Back in a moment: The service is being checked.').waitFor();
  await row(ann, 'Tide tables').waitFor();
  await ann.unroute('**/act');
  await ann.context().close();
});

test('a list keeps its place on a phone while a message of it is read', async () => {
  const ann = await signIn('ann', { viewport: PHONE, hasTouch: true, isMobile: true });
  for (let n = 0; n < 12; n++) {
    await write(ann, 'ann@example.org', `Filler ${n}`, 'x');
    await ann.getByRole('button', { name: 'Send', exact: true }).click();
    await ann.getByText('Sent.').waitFor();
  }
  await ann.goto('/mail/sent');
  const rows = ann.locator('.rows');
  await rows.evaluate((list) => list.scrollTo(0, 300));
  await ann.locator('.row').nth(7).getByRole('link').tap();
  await ann.getByRole('link', { name: /Back to/ }).tap();
  await rows.waitFor();
  await ann.waitForFunction(() => document.querySelector('.rows').scrollTop > 200);
  await ann.context().close();
});

test('a passkey is made, signs in alone, and is the second step', async () => {
  // Browsers have passkeys at names alone, and without HTTPS at this one.
  const bob = await signIn('bob', { baseURL: server.url.replace('127.0.0.1', 'localhost') });
  const devtools = await bob.context().newCDPSession(bob);
  await devtools.send('WebAuthn.enable');
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  });
  const touch = (enabled) => devtools.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId, enabled });
  const confirm = async (button) => {
    await bob.locator('#ask-password').fill(PASSWORD);
    await bob.getByRole('button', { name: button, exact: true }).click();
  };
  await bob.goto('/settings/security');
  await bob.locator('#new').fill('password1');
  await bob.locator('.strength[data-level="0"]').waitFor();
  await bob.locator('#new').fill('tidal lamp orchard seven');
  await bob.locator('.strength[data-level="4"]').waitFor();
  await bob.getByLabel('Name', { exact: true }).fill('Laptop');
  await bob.getByRole('button', { name: 'Add a passkey' }).click();
  await confirm('Continue');
  await bob.locator('form[data-passkey=create]').getByRole('button', { name: 'Continue' }).click();
  await bob.locator('[data-code=passkeyadded]').waitFor();
  await accessible(bob, 'passkeys');
  await picture(bob, 'passkeys');
  // The same device twice is told by the browser.
  await bob.getByLabel('Name', { exact: true }).fill('Again');
  await bob.getByRole('button', { name: 'Add a passkey' }).click();
  await bob.locator('form[data-passkey=create]').getByRole('button', { name: 'Continue' }).click();
  await bob.getByRole('alert').filter({ hasText: 'already has a passkey' }).waitFor();
  const leave = async () => {
    await touch(false);
    await bob.context().clearCookies();
    await bob.goto('/signin');
  };
  await leave();
  await bob.getByRole('button', { name: 'Sign in with a passkey' }).waitFor();
  await picture(bob, 'sign-in-passkey');
  await touch(true);
  // The list at the address field may have signed in already.
  await bob.getByRole('button', { name: 'Sign in with a passkey' }).click({ timeout: 2_000 }).catch(() => {});
  await bob.locator('#list').waitFor();
  await bob.goto('/settings/security');
  await bob.getByRole('button', { name: 'Use my passkeys' }).click();
  await confirm('Turn on');
  await bob.locator('#codes li').nth(9).waitFor();
  await bob.emulateMedia({ media: 'print' });
  assert.ok(await bob.locator('#codes').isVisible() && !(await bob.locator('.tabs').isVisible()), 'the codes are printed, and nothing around them');
  await bob.emulateMedia({ media: 'screen' });
  await bob.context().clearCookies();
  await touch(false);
  await bob.goto('/signin');
  await bob.getByLabel('Email address').fill('bob@example.org');
  await bob.getByLabel('Password').fill(PASSWORD);
  await bob.getByRole('button', { name: 'Sign in', exact: true }).click();
  await bob.getByRole('button', { name: 'Use a passkey' }).waitFor();
  await picture(bob, 'second-step-passkey');
  await touch(true);
  await bob.getByRole('button', { name: 'Use a passkey' }).click();
  await bob.locator('#list').waitFor();
  await bob.goto('/settings/security');
  await bob.locator('#off-password').fill(PASSWORD);
  await bob.getByRole('button', { name: 'Turn off', exact: true }).click();
  await bob.locator('[data-code=twostepoff]').waitFor();
  await bob.context().close();
});

test('without JavaScript everything works', async () => {
  const ann = await signIn('ann', { javaScriptEnabled: false });
  await write(ann, 'bob@example.org', 'By hand', 'No script was here.');
  await ann.locator('#attach').setInputFiles({ name: 'note.txt', mimeType: 'text/plain', buffer: Buffer.from('note') });
  await ann.getByRole('button', { name: 'Save draft' }).filter({ visible: true }).last().click();
  await ann.getByText('note.txt').waitFor();
  await ann.getByRole('button', { name: 'Send', exact: true }).click();
  await ann.getByText('Sent.').waitFor();
  const bob = await signIn('bob', { javaScriptEnabled: false });
  for (const begun = Date.now(); !(await row(bob, 'By hand').count()); await bob.reload()) {
    assert.ok(Date.now() - begun < PATIENCE_MS, 'it does not arrive');
  }
  await picture(bob, 'plain-list');
  await row(bob, 'By hand').locator('.pick').click();
  await bob.locator('.bulk').getByRole('button', { name: 'Delete' }).click();
  await bob.getByText('1 conversation moved to Trash.').waitFor();
  await bob.getByRole('button', { name: 'Undo' }).click();
  await row(bob, 'By hand').waitFor();
  await row(bob, 'By hand').getByRole('link').click();
  await bob.locator('#thread').getByText('No script was here.').waitFor();
  const [download] = await Promise.all([bob.waitForEvent('download'), bob.getByRole('link', { name: /note\.txt/ }).click()]);
  assert.equal(download.suggestedFilename(), 'note.txt');
  await bob.getByRole('link', { name: 'Forward' }).last().click();
  assert.equal(await bob.getByLabel('Subject').inputValue(), 'Fwd: By hand');
  await bob.getByText('note.txt').waitFor();
  await bob.context().close();
  await ann.context().close();
});

test('text of mail can be read on what is under it, by day and by night, and what is hidden stays so', async (t) => {
  if (!server.bring) return t.skip('needs the real service');
  await server.bring('ann@example.org', messages);
  for (const [theme, viewport] of [['light', DESKTOP], ['dark', PHONE]]) {
    const ann = await signIn('ann', { colorScheme: theme, viewport });
    await ann.goto('/search?q=looks');
    const hrefs = [];
    for (let page = ann.url(); page; page = await ann.evaluate(() => document.querySelector('.pager a[rel=next]')?.href)) {
      await ann.goto(page);
      hrefs.push(...(await ann.locator('#conversations a.open').evaluateAll((all) => all.map((a) => [a.querySelector('.subject').textContent, a.href]))));
    }
    assert.equal(hrefs.length, looks.length);
    const bad = [];
    for (const [subject, href] of hrefs) {
      await ann.goto(href);
      await ann.frameLocator('iframe.html').locator('body').waitFor();
      const found = await ann.evaluate(contrasts);
      await picture(ann, `${theme}-${subject.replaceAll(' ', '-')}`);
      assert.ok(found.length > 0, `${subject}: no text`);
      bad.push(...found.filter(({ text, contrast }) => contrast < 4.5 || text.includes('NOT FOR EYES')).map((what) => ({ theme, subject, ...what })));
    }
    assert.deepEqual(bad, []);
    await ann.context().close();
  }
});

test('no page asked another site for anything, and none complained', () => {
  assert.deepEqual(strangers, []);
  assert.deepEqual(complaints, []);
});
