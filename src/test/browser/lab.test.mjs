// JupyterLab with our kernel in a headless Chromium. JQLORA_HOME: the project; JQLORA_PICTURES: where pictures and the log go.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { startLab } from './server.mjs';
import { isDirty, menu, openNotebook, outputs, runAll, runCell, startCell, theme, untilEnded } from './page.mjs';

const home = process.env.JQLORA_HOME, pictures = process.env.JQLORA_PICTURES;
const work = path.join(home, 'target', 'browser');          // JupyterLab does not serve hidden folders
const tutorials = notebooksOf('notebooks');
let lab, browser, page;

before(async () => {
  fs.rmSync(work, { recursive: true, force: true });
  fs.mkdirSync(work, { recursive: true });
  lab = await startLab(home, path.join(pictures, 'server.log'));
  browser = await chromium.launch({ executablePath: process.env.JQLORA_CHROMIUM, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
  page = await (await browser.newContext({ viewport: { width: 1200, height: 1250 } })).newPage();
  page.setDefaultTimeout(30_000);
});

after(async () => {
  await browser?.close();
  await lab?.stop();
});

/** A test that leaves a picture of the page where it fails. */
function check(name, body) {
  test(name, { timeout: 120_000 }, async () => {
    try {
      await body();
    } catch (error) {
      await picture(`failed-${name.replace(/\W+/g, '-')}`);
      throw error;
    }
  });
}

function picture(name) {
  return page.screenshot({ path: path.join(pictures, `${name}.png`) });
}

/** The notebooks in a folder of the project, as paths below the project. */
function notebooksOf(folder) {
  const at = path.join(home, folder);
  return !fs.existsSync(at) ? [] : fs.readdirSync(at).filter(name => name.endsWith('.ipynb')).sort().map(name => `${folder}/${name}`);
}

/** A copy of a notebook where JupyterLab may write; its path below the project's folder. */
function copy(source) {
  const name = path.basename(source);
  fs.copyFileSync(path.join(home, source), path.join(work, name));
  return `target/browser/${name}`;
}

check('the server opens the first tutorial, and our kernel is the first choice', async () => {
  await openNotebook(page, lab);
  assert.equal(decodeURIComponent(new URL(page.url()).pathname), `/lab/tree/${tutorials[0]}`);
  assert.equal((await page.locator('.jp-NotebookPanel-toolbar .jp-KernelName').innerText()).trim(), 'Java 25 (QLoRA)');
  await picture('first-tutorial');
  await menu(page, 'File', 'New Launcher');
  const cards = page.locator('.jp-Launcher .jp-Launcher-section').first().locator('.jp-LauncherCard-label');
  assert.equal((await cards.first().innerText()).trim(), 'Java 25 (QLoRA)');
  await picture('launcher');
});

// one of each language: that the others are written alike is a test of their files (test_notebooks_in_git.py)
for (const tutorial of [tutorials[0], notebooksOf('notebooks/zh')[0]].filter(name => name !== undefined)) {
  check(`${tutorial} is not changed by opening it, nor by saving it`, async () => {
    const file = copy(tutorial);
    await openNotebook(page, lab, file);
    await page.waitForTimeout(1_000);                        // what JupyterLab adds when the kernel has answered
    assert.equal(await isDirty(page), false);
    const saved = path.join(home, file), before = fs.statSync(saved).mtimeMs;
    await menu(page, 'File', 'Save Notebook');
    await waitFor(() => fs.statSync(saved).mtimeMs > before && fs.readFileSync(saved, 'utf8').endsWith('}\n'), 'the save');
    assert.equal(firstDifference(saved, path.join(home, tutorial)), '');
  });
}

check('Run All shows tables, charts and displays, in the light and in the dark theme', async () => {
  await openNotebook(page, lab, copy('src/test/resources/notebooks/outputs.ipynb'));
  await runAll(page, 60_000);
  const shown = await Promise.all([0, 1, 2, 3, 4].map(number => outputs(page, number)));
  assert.deepEqual(shown.flatMap(each => each.errors), []);
  assert.equal(shown[0].tables, 1);
  assert.match(shown[0].text, /adapters <r>[\s\S]*a<b & c/);
  assert.equal(shown[1].pictures.length, 1);
  assert.match(shown[2].text, /60\s*\/\s*60/);
  for (const [name, label] of [['JupyterLab Dark', 'dark'], ['JupyterLab Light', 'light']]) {
    await theme(page, name);
    await picture(`outputs-${label}`);
  }
});

check('a training moves its chart, can be interrupted and goes on', async () => {
  await openNotebook(page, lab, copy('src/test/resources/notebooks/training.ipynb'));
  await runCell(page, 0, 60_000);
  await startCell(page, 1);
  const chart = async () => (await outputs(page, 1)).pictures.at(-1);
  await waitFor(chart, 'the first chart', 60);
  const first = await chart();
  await waitFor(async () => await chart() !== first, 'the chart to move');
  await picture('training');
  await menu(page, 'Kernel', 'Interrupt Kernel');
  await untilEnded(page, 1, 30_000);
  await runCell(page, 2, 10_000);
  assert.match((await outputs(page, 2)).text, /next cell: true/);
  await picture('interrupted');
});

/** The first line in which two files differ, shortened, or nothing: a notebook is too long to be printed whole. */
function firstDifference(one, other) {
  const [a, b] = [one, other].map(file => fs.readFileSync(file, 'utf8').split('\n'));
  const line = Array.from({ length: Math.max(a.length, b.length) }, (_, n) => n).find(n => a[n] !== b[n]);
  return line === undefined ? '' : `line ${line + 1}: ${a[line]?.slice(0, 100)} | ${b[line]?.slice(0, 100)}`;
}

async function waitFor(condition, what, seconds = 30) {
  for (const until = Date.now() + seconds * 1000; !await condition();) {
    assert.ok(Date.now() < until, `${what} did not come within ${seconds} s`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}
