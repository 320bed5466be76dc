// JupyterLab as ./jqlora lab starts it, with settings and workspaces of its own.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** A port that nobody listens on. */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Starts the server of the project in `home`; its output goes to `log`. Gives its address, token and a function that ends it. */
export async function startLab(home, log) {
  const own = fs.mkdtempSync(path.join(os.tmpdir(), 'jqlora-lab-'));
  const port = await freePort(), token = 'jqlora-test';
  const root = process.getuid?.() === 0 ? ['--allow-root'] : [];
  const output = fs.openSync(log, 'w');
  const child = spawn(path.join(home, 'jqlora'), ['lab', ...root, '--no-browser', `--port=${port}`, '--ServerApp.port_retries=0'], {
    cwd: os.tmpdir(), stdio: ['ignore', output, output],
    env: { ...process.env, LC_ALL: 'C.UTF-8', JUPYTER_TOKEN: token, JUPYTER_CONFIG_DIR: own, JUPYTERLAB_SETTINGS_DIR: path.join(own, 'settings'),
           JUPYTERLAB_WORKSPACES_DIR: path.join(own, 'workspaces') },
  });
  const ended = new Promise(resolve => child.once('exit', resolve));
  const stop = async () => {
    if (child.exitCode === null) child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), 20_000);
    await ended;
    clearTimeout(late);
    fs.rmSync(own, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  for (const until = Date.now() + 60_000; ;) {
    try {
      if ((await fetch(`${url}/api/status?token=${token}`)).ok) return { url, token, stop };
    } catch { /* not up yet */ }
    if (child.exitCode !== null || Date.now() > until) {
      await stop();
      throw new Error(`JupyterLab did not start:\n${fs.readFileSync(log, 'utf8')}`);
    }
    await new Promise(resolve => setTimeout(resolve, 200));
  }
}
