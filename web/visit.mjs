// Visit the built page with a headless Chromium, as tests/test_web.py asks:
//
//   node visit.mjs PLAN.json
//
// Every request is answered from the site's folder, or by a file `instead`; any other one is refused, and reported.
// What a visit found, with an answer of each of its steps, is written to the plan's `answer`.
import {readFile, writeFile} from 'node:fs/promises';
import {existsSync} from 'node:fs';
import {createRequire} from 'node:module';
import {extname, join, normalize} from 'node:path';

const ORIGIN = 'https://kerafer.test';
const PATIENCE = 120_000; // milliseconds, after which something hangs
const TYPES = {
  '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json',
  '.wasm': 'application/wasm',
};

const plan = JSON.parse(await readFile(process.argv[2], 'utf8'));
const required = createRequire(`${plan.tool}/`);
const {chromium} = required('playwright-core');

// What a step does, and what it finds.
const STEPS = {
  async picture(page, file) {
    await page.setInputFiles('#file', file);
    return shown(page);
  },
  async select(page, accelerator) {
    await page.selectOption('#accelerator', accelerator);
    return shown(page);
  },
  async compare(page) {
    await page.click('#test');
    return page.evaluate('kerafer.state.last');
  },
  shown,
  click: (page, selector) => page.click(selector),
  'double click': (page, selector) => page.dblclick(selector),
  until,
  evaluate: (page, expression) => page.evaluate(expression),
  async axe(page) {
    await page.evaluate(await readFile(required.resolve('axe-core/axe.min.js'), 'utf8'));
    const {violations} = await page.evaluate('axe.run()');
    return violations.map(v => `${v.id}: ${v.nodes.map(n => n.html).join(' ')}`);
  },
  screenshot: (page, path) => page.screenshot({path, fullPage: true}).then(() => {}),
};

// Wait for a thing to be so; Playwright's own way evaluates text in the page, which the page's policy forbids.
async function until(page, expression) {
  const end = Date.now() + PATIENCE;
  while (!(await page.evaluate(expression))) {
    if (Date.now() > end) throw new Error(`not so within ${PATIENCE / 1000} s: ${expression}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

// What people see, and what the page itself calls its last reading.
async function shown(page) {
  const reading = await page.evaluate('Promise.resolve(kerafer.state.last).catch(() => null)');
  const items = await page.locator('#faces > li').evaluateAll(all => all.map(item => ({
    text: item.firstChild.textContent,
    shares: [...item.querySelectorAll('.bar')].map(bar => bar.clientWidth / bar.parentNode.clientWidth),
  })));
  return {reading, items, ...await words(page)};
}

const words = async page => ({
  status: await page.textContent('#status'),
  timing: await page.textContent('#timing'),
  error: (await page.isVisible('#error')) ? await page.textContent('#error') : '',
  refused: (await page.isVisible('#refused')) ? await page.locator('#reasons > li').allTextContents() : [],
  selected: await page.inputValue('#accelerator'),
});

async function visit(browser, wanted) {
  const context = await browser.newContext({
    viewport: {width: 900, height: 1000}, colorScheme: wanted.dark ? 'dark' : 'light', permissions: ['camera'],
  });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const found = {foreign: [], thrown: [], log: [], steps: []};
  page.on('pageerror', error => found.thrown.push(error.message));
  page.on('console', message => found.log.push(message.text()));
  await page.route('**/*', route => {
    const url = new URL(route.request().url());
    const path = join(plan.site, normalize(url.pathname === '/' ? '/index.html' : url.pathname));
    if (url.origin === ORIGIN && existsSync(path)) {
      const type = TYPES[extname(path)] ?? 'application/octet-stream';
      return route.fulfill({contentType: type, path: wanted.instead?.[url.pathname + url.search] ?? path});
    }
    found.foreign.push(`${url}`);
    return route.abort();
  });
  if (wanted.before) await page.addInitScript(wanted.before);
  await page.goto(`${ORIGIN}/?${new URLSearchParams(wanted.query ?? {})}`);
  await until(page, 'Boolean(globalThis.kerafer)');
  await page.evaluate('kerafer.ready');
  found.opened = await words(page);
  for (const [step, argument] of wanted.steps ?? []) found.steps.push((await STEPS[step](page, argument)) ?? null);
  await context.close();
  return found;
}

const browser = await chromium.launch({
  executablePath: `${plan.tool}/chromium/chromium-headless-shell`,
  args: plan.arguments,
  env: plan.environment,
});
const answers = [];
for (const wanted of plan.visits) answers.push(await visit(browser, wanted));
await browser.close();
await writeFile(plan.answer, JSON.stringify(answers));
