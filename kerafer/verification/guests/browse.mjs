// Drive a headless Chromium in which LiteRT.js runs .tflite files, each in a page of its own:
//
//   node browse.mjs PLAN.json
//
// The plan names the tool's folder, the page, Chromium's arguments and the jobs; each job's answer is written to a file
// as soon as it is there. Every request of the page is answered here, so no network is touched. After a crash or a
// time-out this process ends, and whoever started it goes on with the remaining jobs in a new browser.
import {open, readFile, rename, stat, writeFile} from 'node:fs/promises';
import {createRequire} from 'node:module';

const PIECE = 8 << 20; // bytes a reply; Chromium ends when a message on its pipe is much larger
const TYPES = {js: 'text/javascript', wasm: 'application/wasm'};

const plan = JSON.parse(await readFile(process.argv[2], 'utf8'));
const {chromium} = createRequire(`${plan.tool}/`)('playwright-core');

// JSON has no word for what is not finite: it becomes null, which is read as not a number.
async function writeWhole(path, value) {
  await writeFile(`${path}.part`, JSON.stringify(value));
  await rename(`${path}.part`, path);
}

async function readPiece(path, from, to) {
  const file = await open(path);
  try {
    const bytes = Buffer.alloc(to - from);
    await file.read(bytes, 0, bytes.length, from);
    return bytes;
  } finally {
    await file.close();
  }
}

async function serve(route, job) {
  const {pathname, searchParams} = new URL(route.request().url());
  const file = {'/model': job.model, '/inputs': job.inputs}[pathname];
  if (pathname === '/') return route.fulfill({contentType: 'text/html', path: plan.page});
  if (file) {
    const body = await readPiece(file, Number(searchParams.get('from')), Number(searchParams.get('to')));
    return route.fulfill({contentType: 'application/octet-stream', body});
  }
  if (pathname.startsWith('/@litertjs/')) {
    return route.fulfill({contentType: TYPES[pathname.split('.').pop()], path: `${plan.tool}/node_modules${pathname}`});
  }
  return route.abort();
}

async function run(browser, job) {
  const page = await browser.newPage();
  const log = [], thrown = [];
  page.on('console', message => log.push(message.text()));
  page.on('pageerror', error => thrown.push(error.message));
  let timer;
  const ended = new Promise((_, reject) => {
    page.on('crash', () => reject(new Error('the browser tab crashed')));
    browser.on('disconnected', () => reject(new Error('the browser ended')));
    timer = setTimeout(() => reject(new Error(`no answer within ${plan.seconds} s`)), plan.seconds * 1000);
  });
  ended.catch(() => {}); // it may also come when the job is done
  const sizes = {modelSize: (await stat(job.model)).size, inputSize: (await stat(job.inputs)).size, piece: PIECE};
  const work = async () => {
    await page.route('**/*', route => serve(route, job));
    await page.goto('https://kerafer.test/');
    await page.waitForFunction('window.ready');
    return page.evaluate(given => window.runJob(given), {...job, ...sizes});
  };
  try {
    const found = await Promise.race([work(), ended]);
    await page.close();
    return {...found, log, errors: [...found.errors, ...thrown]};
  } catch (error) {
    return {stage: 'crash', message: error.message.split('\n')[0], log, errors: thrown, rows: []};
  } finally {
    clearTimeout(timer);
  }
}

const browser = await chromium.launch({
  executablePath: `${plan.tool}/chromium/chromium-headless-shell`,
  args: plan.arguments,
  env: plan.environment,
});
await writeWhole(plan.started, {version: browser.version()});
for (const job of plan.jobs) {
  const answer = await run(browser, job);
  await writeWhole(job.answer, answer);
  if (['crash', 'lost'].includes(answer.stage) || answer.trap) process.exit(1);
}
await browser.close();
