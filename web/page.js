// The page: a picture or the camera in, faces with their probabilities out.

import {Classifier} from './kerafer/classifier.js';
import {offersGpu, start} from './kerafer/engine.js';
import {FaceFinder} from './kerafer/faces.js';
import {Picture} from './kerafer/picture.js';

const LONGEST_SIDE = 1280;
const find = id => document.getElementById(id);
const canvas = find('view'), video = find('video');
const context = canvas.getContext('2d', {willReadFrequently: true});
const query = new URLSearchParams(location.search);
const state = {};

const reader = folder => async name => {
  const reply = await fetch(`${folder}/${name}`, {cache: 'no-cache'});
  if (!reply.ok) throw new Error(`${folder}/${name} could not be read: ${reply.status}. Build the page again.`);
  return new Uint8Array(await reply.arrayBuffer());
};
const readBundle = reader('bundle');

/** Do something, and say what went wrong. */
async function attempt(work) {
  find('error').hidden = true;
  try {
    return await work();
  } catch (error) {
    find('error').textContent = error.message;
    find('error').hidden = false;
    find('status').textContent = '';
    return undefined;
  }
}

async function open() {
  await start('./litert/core/wasm/');
  state.finder ??= await FaceFinder.open(reader('faces'));
  const chosen = find('accelerator').value, all = (await offersGpu()) ? ['webgpu', 'wasm'] : ['wasm'];
  state.classifier?.close();
  state.classifier = null;
  state.classifier = await Classifier.open(readBundle, {
    accelerators: chosen ? [chosen] : all,
    recipe: query.get('recipe') ?? undefined,
    precision: query.get('precision') ?? undefined,
  });
  const {notes, results = []} = state.classifier.card;
  const measured = results.map(({data, split, images, accuracy}) =>
      `On the ${images} pictures of ${data} ${split} it agrees with the labels in ${(100 * accuracy).toFixed(1)} %.`);
  find('notes').replaceChildren(...[...measured.slice(0, 1), ...notes].map(note => element('li', note)));
  ['camera', 'file', 'accelerator', 'test'].forEach(id => { find(id).disabled = false; });
  find('status').textContent = `Ready: ${described()}.`;
}

function described() {
  const {card, choice} = state.classifier;
  return `${card.title}, ${choice.file.name} on ${choice.accelerator === 'webgpu' ? 'the GPU' : 'the CPU'}`;
}

/** Find and classify the faces of what the canvas holds, and show them. */
async function look() {
  const picture = Picture.of(context.getImageData(0, 0, canvas.width, canvas.height));
  const found = await state.finder.find(picture);
  const begin = performance.now(), faces = [];
  for (const face of found) faces.push({...face, probabilities: [...await state.classifier.classify(picture, face)]});
  const each = (performance.now() - begin) / Math.max(1, faces.length);
  draw(faces);
  list(faces);
  const count = faces.length === 0 ? 'No face found' : faces.length === 1 ? '1 face' : `${faces.length} faces`;
  find('status').textContent = `${count}; ${described()}, ${each.toFixed(1)} ms a face.`;
  return {width: picture.width, height: picture.height, faces};
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
  document.querySelector('figure').hidden = false;
}

async function openPicture(file) {
  stopCamera();
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name} is no picture that this browser reads. Choose a JPEG, PNG or WebP file.`);
  }
  place(picture, picture.width, picture.height);
  return look();
}

async function startCamera() {
  if (!navigator.mediaDevices) throw new Error('A camera needs a page from https or localhost. Serve it from there.');
  video.srcObject = await navigator.mediaDevices.getUserMedia({video: {facingMode: 'user'}, audio: false});
  await video.play();
  find('camera').textContent = 'Stop camera';
  // one picture is looked at after the other; what comes in between is left out
  while (video.srcObject) {
    if (video.videoWidth) {
      place(video, video.videoWidth, video.videoHeight);
      await look();
    }
    await new Promise(requestAnimationFrame);
  }
}

function stopCamera() {
  video.srcObject?.getTracks().forEach(track => track.stop());
  video.srcObject = null;
  find('camera').textContent = 'Start camera';
}

const compare = async () => {
  const difference = await state.classifier.goldenDifference(readBundle);
  find('status').textContent = `Greatest difference to Python's numbers: ${difference.toExponential(1)}; ${described()}.`;
  return difference;
};

find('camera').addEventListener('click', () => (video.srcObject ? stopCamera() : attempt(startCamera)));
find('file').addEventListener('change', event => {
  const [file] = event.target.files;
  if (file) state.last = attempt(() => openPicture(file));
});
find('accelerator').addEventListener('change', () => attempt(open));
find('test').addEventListener('click', () => { state.last = attempt(compare); });
// what the last picture or comparison gave, for tests and for the curious
globalThis.kerafer = {state, ready: attempt(open)};
