// Visit the built page with a headless Chromium, as tests/test_web.py asks:
//
//   node visit.mjs PLAN.json
//
// Every request is answered from the site's folder; any other one is refused, and reported. What a visit found is
// written to the plan's `answer`.
import {readFile, writeFile} from 'node:fs/promises';
import {existsSync} from 'node:fs';
import {createRequire} from 'node:module';
import {extname, join, normalize} from 'node:path';

const ORIGIN = 'https://kerafer.test';
const TYPES = {
  '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json',
  '.wasm': 'application/wasm',
};

const plan = JSON.parse(await readFile(process.argv[2], 'utf8'));
const required = createRequire(`${plan.tool}/`);
const {chromium} = required('playwright-core');

async function visit(browser, wanted) {
  const context = await browser.newContext({
    viewport: {width: 900, height: 1000}, colorScheme: wanted.dark ? 'dark' : 'light', permissions: ['camera'],
  });
  const page = await context.newPage();
  const found = {foreign: [], thrown: [], log: []};
  page.on('pageerror', error => found.thrown.push(error.message));
  page.on('console', message => found.log.push(message.text()));
  await page.route('**/*', route => {
    const url = new URL(route.request().url());
    const path = join(plan.site, normalize(url.pathname === '/' ? '/index.html' : url.pathname));
    if (url.origin === ORIGIN && existsSync(path)) {
      const type = TYPES[extname(path)] ?? 'application/octet-stream';
      return route.fulfill({contentType: type, path: wanted.instead?.[url.pathname] ?? path});
    }
    found.foreign.push(`${url}`);
    return route.abort();
  });
  const answer = () => page.evaluate('kerafer.state.last');
  await page.goto(`${ORIGIN}/?${new URLSearchParams(wanted.query ?? {})}`);
  await page.waitForFunction('globalThis.kerafer');
  await page.evaluate('kerafer.ready');
  if (wanted.accelerator) {
    await page.selectOption('#accelerator', wanted.accelerator);
    await page.waitForFunction(() => !/Loading/.test(document.getElementById('status').textContent));
  }
  found.ready = await page.textContent('#status');
  if (wanted.compare) {
    await page.click('#test');
    found.difference = await answer();
  }
  found.readings = [];
  for (const picture of wanted.pictures ?? []) {
    await page.setInputFiles('#file', picture);
    const reading = await answer();
    const items = await page.locator('#faces > li').evaluateAll(all => all.map(item => ({
      text: item.firstChild.textContent,
      shares: [...item.querySelectorAll('.bar')].map(bar => bar.clientWidth / bar.parentNode.clientWidth),
    })));
    found.readings.push({reading, items});
  }
  if (wanted.camera) {
    await page.click('#camera');
    await page.waitForFunction(text => document.getElementById('status').textContent.startsWith(text), wanted.camera);
    found.camera = await page.textContent('#status');
    await page.click('#camera');
  }
  if (wanted.check) {
    await page.evaluate(await readFile(required.resolve('axe-core/axe.min.js'), 'utf8'));
    const {violations} = await page.evaluate('axe.run()');
    found.violations = violations.map(v => `${v.id}: ${v.nodes.map(n => n.html).join(' ')}`);
  }
  if (wanted.screenshot) await page.screenshot({path: wanted.screenshot, fullPage: true});
  found.status = await page.textContent('#status');
  found.error = (await page.isVisible('#error')) ? await page.textContent('#error') : '';
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
