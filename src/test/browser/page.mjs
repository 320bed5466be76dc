// What a person does with a notebook in JupyterLab, and what is then to be seen.

const KERNEL = 'Java 25 (QLoRA)';

/** Ends all kernels, opens a notebook (its path below the project; without one, what the server opens) and waits for its kernel. */
export async function openNotebook(page, lab, file) {
  const sessions = await (await fetch(`${lab.url}/api/sessions?token=${lab.token}`)).json();
  for (const { id } of sessions) await fetch(`${lab.url}/api/sessions/${id}?token=${lab.token}`, { method: 'DELETE' });
  const address = file === undefined ? '/' : `/lab/tree/${file.split('/').map(encodeURIComponent).join('/')}`;
  await page.goto(`${lab.url}${address}?token=${lab.token}&reset`);
  await page.locator('.jp-Notebook .jp-Cell').first().waitFor({ timeout: 60_000 });
  await untilIdle(page, 60_000);
}

/** Waits until the status bar says that our kernel is there and idle; while there is none yet, a notebook's own sign says idle too. */
export function untilIdle(page, timeout) {
  return page.waitForFunction(idle => document.querySelector('#jp-main-statusbar')?.innerText.includes(idle), `${KERNEL} | Idle`,
    { timeout });
}

/** Chooses from the menu bar: menu('Run', 'Run All Cells'). */
export async function menu(page, ...names) {
  const [first, ...rest] = names;
  await page.locator(`.lm-MenuBar-itemLabel:text-is("${first}")`).click();
  for (const name of rest) await page.locator(`.lm-Menu-itemLabel:text-is("${name}")`).last().click();
}

/** Runs all cells and waits until each has its number. */
export async function runAll(page, timeout) {
  await menu(page, 'Run', 'Run All Cells');
  await untilNumbered(page, timeout);
}

export async function untilNumbered(page, timeout) {
  await page.waitForFunction(() => {
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(each => each.textContent);
    return prompts.length > 0 && prompts.every(text => /\[\d+\]/.test(text));
  }, null, { timeout });
  await untilIdle(page, timeout);
}

export function codeCell(page, number) {
  return page.locator('.jp-Notebook .jp-CodeCell').nth(number);
}

/** Runs one code cell (from 0) and waits for its end. */
export async function runCell(page, number, timeout) {
  await startCell(page, number);
  await untilEnded(page, number, timeout);
}

export async function startCell(page, number) {
  const cell = codeCell(page, number);
  await cell.locator('.jp-InputArea-editor').click();
  await page.keyboard.press('Control+Enter');
}

export async function untilEnded(page, number, timeout) {
  await page.waitForFunction(at => {
    const prompt = document.querySelectorAll('.jp-Notebook .jp-CodeCell')[at]?.querySelector('.jp-InputPrompt');
    return /\[\d+\]/.test(prompt?.textContent ?? '');
  }, number, { timeout });
  await untilIdle(page, timeout);
}

/** What a cell shows: texts, pictures (their bytes), tables, errors. */
export function outputs(page, number) {
  return codeCell(page, number).evaluate(cell => ({
    text: [...cell.querySelectorAll('.jp-OutputArea-output')].map(each => each.innerText).join('\n'),
    pictures: [...cell.querySelectorAll('.jp-OutputArea-output img')].map(each => each.src),
    tables: cell.querySelectorAll('.jp-OutputArea-output table').length,
    errors: ['error', 'stderr'].flatMap(kind => [...cell.querySelectorAll(`[data-mime-type="application/vnd.jupyter.${kind}"]`)])
      .map(each => each.innerText),
  }));
}

export async function theme(page, name) {
  await menu(page, 'Settings', 'Theme', name);
  await page.waitForFunction(dark => (document.body.dataset.jpThemeLight === 'false') === dark, /Dark/.test(name));
  await page.waitForLoadState('networkidle');
}

/** Whether the current tab has the dot of unsaved changes. */
export async function isDirty(page) {
  return await page.locator('.lm-DockPanel-tabBar .lm-TabBar-tab.jp-mod-dirty').count() > 0;
}
