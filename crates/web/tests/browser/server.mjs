// Where the tests find a server, which must be without accounts: HOLDFAST_URL with HOLDFAST_SETUP_TOKEN; or one that they
// start with a folder of its own: HOLDFAST_BIN, the real service, or else this crate's example
// (cargo build -p web --example serve).
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../../..');

/** @returns {Promise<{ url: string, token: string, stop: () => Promise<void> }>} */
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

/** Arguments for the real service, of which only the webmail listens, where the system likes. @param {string} folder */
async function service(folder) {
  const doors = ['smtp', 'submission', 'submissions', 'imap', 'imaps', 'pop3', 'pop3s', 'https'].map((door) => `${door} = []`);
  const config = join(folder, 'holdfast.toml');
  await writeFile(config, `[listen]\n${doors.join('\n')}\nhttp = ["127.0.0.1:0"]\n[log]\nlevel = "warn"\n`);
  return ['--config', config, '--data-dir', join(folder, 'data'), 'serve'];
}
