// Where the tests find a server: HOLDFAST_URL with HOLDFAST_SETUP_TOKEN, or a program that they start with a folder of
// its own: HOLDFAST_SERVER, by default this crate's example (cargo build -p web --example serve).
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
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
  const program = process.env.HOLDFAST_SERVER ?? join(target, 'debug/examples/serve');
  const child = spawn(program, [folder, '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
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
