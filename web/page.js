// The page: a picture or the camera in, faces with their probabilities out.

import {Classifier} from './kerafer/classifier.js';
import {EngineError, PLACES, offersGpu, start} from './kerafer/engine.js';
import {FaceFinder} from './kerafer/faces.js';
import {Picture} from './kerafer/picture.js';

const LONGEST_SIDE = 1280, PAUSE = 1000;
const find = id => document.getElementById(id);
const canvas = find('view'), video = find('video');
const context = canvas.getContext('2d', {willReadFrequently: true});
const query = new URLSearchParams(location.search);
const asked = {recipe: query.get('recipe') ?? undefined, precision: query.get('precision') ?? undefined};
const state = {};

const reader = folder => async name => {
  const reply = await fetch(`${folder}/${name}`, {cache: 'no-cache'});
  if (!reply.ok) throw new Error(`${folder}/${name} could not be read: ${reply.status}. Build the page again.`);
  return new Uint8Array(await reply.arrayBuffer());
};
const readBundle = reader('bundle');

let underWay = Promise.resolve();

/** Do one thing after the other: whatever touches the model, the canvas or the list waits for what is under way. */
function queued(work) {
  const done = underWay.then(work);
  underWay = done.catch(() => {});
  return done;
}

/** Do something, and say what went wrong. */
async function attempt(work) {
  find('error').hidden = true;
  try {
    return await work();
  } catch (error) {
    find('error').textContent = error.message;
    find('error').hidden = false;
    say(state.classifier ? ready() : '');
    return undefined;
  }
}

let said = 0;

/** Say something, to screen readers too; what changes all the time (`often`) at most once a second. */
function say(text, often = false) {
  const now = performance.now();
  if (often && (text === find('status').textContent || now - said < PAUSE)) return;
  said = now;
  find('status').textContent = text;
}

/** Open the bundle for an accelerator, or for the best one; until that has succeeded, what ran before goes on. */
async function open(wanted) {
  await start('./litert/core/wasm/');
  state.finder ??= await FaceFinder.open(reader('faces'));
  const offered = await offersGpu();
  const accelerators = wanted ? [wanted] : offered ? ['webgpu', 'wasm'] : ['wasm'];
  const classifier = await Classifier.open(readBundle, {...asked, accelerators});
  take(classifier, wanted, wanted || offered ? [] : ['this browser offers no GPU (WebGPU)']);
  return state.shown && look();
}

/** Classify with something new from now on, and say why nothing better was taken. */
function take(classifier, wanted, reasons) {
  const before = state.classifier;
  Object.assign(state, {classifier, wanted});
  before?.close();
  const refused = [...reasons, ...classifier.refused];
  find('refused').hidden = refused.length === 0;
  find('reasons').replaceChildren(...refused.map(reason => element('li', reason)));
  const {notes, results = []} = classifier.card;
  const measured = results.map(({data, split, images, accuracy}) =>
      `On the ${images} pictures of ${data} ${split} it agrees with the labels in ${(100 * accuracy).toFixed(1)} %.`);
  find('notes').replaceChildren(...[...measured.slice(0, 1), ...notes].map(note => element('li', note)));
  ['camera', 'file', 'accelerator', 'test'].forEach(id => { find(id).disabled = false; });
  say(ready());
}

/** Change the accelerator to the selected one; the selector goes back where that cannot be. */
async function change() {
  const wanted = find('accelerator').value;
  say('Loading …');
  try {
    return await queued(() => open(wanted));
  } catch (error) {
    if (find('accelerator').value === wanted) find('accelerator').value = state.wanted;
    throw error;
  }
}

function described() {
  const {card, choice} = state.classifier;
  return `${card.title}, ${choice.file.name} on ${PLACES[choice.accelerator]}`;
}

const ready = () => `Ready: ${described()}.`;

/** Find and classify the faces of what is shown, and list them; where that fails, none stay from before. */
async function look() {
  context.putImageData(state.shown, 0, 0); // without the frames of another look
  const picture = Picture.of(state.shown);
  let faces = [], each = 0;
  try {
    const found = await state.finder.find(picture);
    const begin = performance.now(), probabilities = await classify(picture, found);
    each = (performance.now() - begin) / found.length;
    faces = found.map((face, i) => ({...face, probabilities: probabilities[i]}));
  } finally {
    draw(faces);
    list(faces);
    find('timing').textContent = faces.length ? `${each.toFixed(1)} ms a face` : '';
  }
  const count = faces.length === 0 ? 'No face found' : faces.length === 1 ? '1 face' : `${faces.length} faces`;
  say(`${count}; ${described()}.`, Boolean(state.run));
  return {width: picture.width, height: picture.height, faces};
}

/** Probabilities of faces; where the GPU fails that nobody insisted on, the CPU goes on. */
async function classify(picture, faces) {
  try {
    const all = [];
    for (const face of faces) all.push([...await state.classifier.classify(picture, face)]);
    return all;
  } catch (error) {
    const {file, accelerator} = state.classifier.choice;
    if (!(error instanceof EngineError) || accelerator !== 'webgpu' || state.wanted) throw error;
    const classifier = await Classifier.open(readBundle, {...asked, accelerators: ['wasm']});
    take(classifier, '', [`${file.name} on ${PLACES[accelerator]}, after it had run: ${error.message}`]);
    return classify(picture, faces);
  }
}

function draw(faces) {
  const unit = Math.max(1, canvas.width / 640);
  context.font = `${14 * unit}px system-ui, sans-serif`;
  context.lineWidth = 3 * unit;
  for (const [i, {box: [x, y, w, h]}] of faces.entries()) {
    context.strokeStyle = '#ffffff';
    context.shadowColor = '#000000';
    context.shadowBlur = 3 * unit;
    context.strokeRect(x, y, w, h);
    context.fillStyle = '#ffffff';
    context.fillText(`${i + 1}`, x + 4 * unit, y + 16 * unit);
    context.shadowBlur = 0;
  }
}

function list(faces) {
  const {labels} = state.classifier.card;
  find('faces').replaceChildren(...faces.map(({probabilities}) => {
    const best = probabilities.indexOf(Math.max(...probabilities));
    const item = element('li', `${labels[best]}, ${percent(probabilities[best])}`, 'face'), rows = element('dl');
    labels.forEach((label, i) => {
      const bar = element('dd', '', 'bar');
      bar.style.width = `${100 * probabilities[i]}%`;
      bar.setAttribute('aria-hidden', 'true');
      rows.append(element('dt', label), bar, element('dd', percent(probabilities[i]), 'percent'));
    });
    item.append(rows);
    return item;
  }));
  canvas.setAttribute('aria-label', faces.length ? 'The picture, its faces framed and numbered' : 'The picture');
}

const percent = value => `${Math.round(100 * value)} %`;

function element(name, text = '', kind = '') {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

/** Draw a source on the canvas, not larger than needed. */
function place(source, width, height) {
  const fit = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * fit));
  canvas.height = Math.max(1, Math.round(height * fit));
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  state.shown = context.getImageData(0, 0, canvas.width, canvas.height);
  document.querySelector('figure').hidden = false;
}

function openPicture(file) {
  stopCamera();
  return queued(async () => {
    let picture;
    try {
      picture = await createImageBitmap(file);
    } catch {
      throw new Error(`${file.name} is no picture that this browser reads. Choose a JPEG, PNG or WebP file.`);
    }
    place(picture, picture.width, picture.height);
    picture.close();
    return look();
  });
}

/** Look at one of the camera's pictures after the other, until `state.run` is another; the rest is left out. */
async function startCamera() {
  if (!navigator.mediaDevices) throw new Error('A camera needs a page from https or localhost. Serve it from there.');
  const run = state.run = {};
  showCamera('Starting camera …', true);
  let stream;
  try {
    stream = await askForCamera();
    if (state.run !== run) return;
    video.srcObject = stream;
    await video.play();
    showCamera('Stop camera');
    const [track] = stream.getVideoTracks();
    while (state.run === run && track.readyState === 'live') {
      await queued(() => {
        if (state.run !== run || !video.videoWidth) return undefined;
        place(video, video.videoWidth, video.videoHeight);
        return (state.last = look());
      });
      await new Promise(requestAnimationFrame);
    }
    if (state.run === run) throw new Error('The camera gives no more pictures. Connect it, and start it again.');
  } catch (error) {
    if (state.run === run) throw error; // a run that was stopped has nothing to say
  } finally {
    stream?.getTracks().forEach(track => track.stop());
    if (state.run === run) stopCamera();
  }
}

async function askForCamera() {
  try {
    return await navigator.mediaDevices.getUserMedia({video: {facingMode: 'user'}, audio: false});
  } catch (error) {
    throw new Error(`The camera does not open: ${error.message}. Connect it, and allow this page to use it.`);
  }
}

function stopCamera() {
  state.run = null;
  video.srcObject?.getTracks().forEach(track => track.stop());
  video.srcObject = null;
  showCamera('Start camera');
}

/** The camera's button; while the browser asks for permission it does nothing, but keeps the focus. */
function showCamera(text, busy = false) {
  find('camera').textContent = text;
  find('camera').setAttribute('aria-disabled', busy);
}

function pressCamera() {
  if (find('camera').getAttribute('aria-disabled') === 'true') return;
  if (state.run) stopCamera();
  else state.watching = attempt(startCamera);
}

const compare = () => queued(async () => {
  const difference = await state.classifier.goldenDifference();
  say(`Greatest difference to Python's numbers: ${difference.toExponential(1)}; ${described()}.`);
  return difference;
});

find('camera').addEventListener('click', pressCamera);
find('file').addEventListener('change', event => {
  const [file] = event.target.files;
  event.target.value = ''; // the same file again is a change, too
  if (file) state.last = attempt(() => openPicture(file));
});
find('accelerator').addEventListener('change', () => { state.last = attempt(change); });
find('test').addEventListener('click', () => { state.last = attempt(compare); });
// `state.last` is what the last picture, change or comparison gives, for tests and for the curious
globalThis.kerafer = {state, ready: attempt(() => queued(() => open('')))};
