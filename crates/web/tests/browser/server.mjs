// Where the tests find a server, which must be without accounts: HOLDFAST_URL with HOLDFAST_SETUP_TOKEN; or one that they
// start with a folder of its own: HOLDFAST_BIN, the real service, or else this crate's example
// (cargo build -p web --example serve).
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../../..');

/** @returns {Promise<{ url: string, token: string, stop: () => Promise<void>, bring?: (address: string, messages: string[]) => Promise<void> }>} */
export async function start() {
  if (process.env.HOLDFAST_URL) {
    return { url: process.env.HOLDFAST_URL, token: process.env.HOLDFAST_SETUP_TOKEN ?? '', stop: async () => {} };
  }
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-web-'));
  const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
  const real = process.env.HOLDFAST_BIN;
  const program = real ?? join(target, 'debug/examples/serve');
  const child = spawn(program, real ? await service(folder) : [folder, '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [url, token] = await new Promise((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk) => {
      const found = /(https?:\/\/\S+)\/setup\?token=(\S+)/.exec((text += chunk));
      if (found) resolve([found[1], found[2]]);
    });
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`${program} ended with ${code}: ${text}`)));
  });
  return {
    url,
    token,
    // Only the real service has a way in for mail of strangers.
    bring: real ? (address, messages) => bring(real, folder, address, messages) : undefined,
    stop: async () => {
      const gone = new Promise((resolve) => child.on('exit', resolve));
      child.kill('SIGINT');
      const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
      await gone;
      clearTimeout(timer);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Messages of strangers, into an account's inbox. @param {string} program @param {string} folder @param {string} address @param {string[]} messages */
async function bring(program, folder, address, messages) {
  const mail = join(folder, `maildir-${Date.now()}`);
  for (const part of ['cur', 'new', 'tmp']) await mkdir(join(mail, part), { recursive: true });
  await Promise.all(messages.map((message, n) => writeFile(join(mail, 'new', `${n}.a`), message)));
  const args = ['--config', join(folder, 'holdfast.toml'), '--data-dir', join(folder, 'data'), 'import', address, mail];
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const code = await new Promise((resolve) => child.on('exit', resolve));
  if (code !== 0) throw new Error(`import ended with ${code}`);
}

/** Arguments for the real service, of which only the webmail listens, where the system likes. @param {string} folder */
async function service(folder) {
  const doors = ['smtp', 'submission', 'submissions', 'imap', 'imaps', 'pop3', 'pop3s', 'managesieve', 'https'].map((door) => `${door} = []`);
  const config = join(folder, 'holdfast.toml');
  await writeFile(config, `[listen]\n${doors.join('\n')}\nhttp = ["127.0.0.1:0"]\n[log]\nlevel = "warn"\n`);
  return ['--config', config, '--data-dir', join(folder, 'data'), 'serve'];
}
