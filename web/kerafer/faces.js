// Finding faces with BlazeFace, as Python's `BlazeFaceDetector` does.

import {CardError, checkContent, parseJson} from './card.js';
import {Engine} from './engine.js';
import {clamp, round} from './picture.js';
import {scale} from './preprocessing.js';

const FORMAT = 1, POINTS = 6;

export class FaceFinder {
  /** Open both networks, on the CPU: they are small, and the GPU is the classifier's. */
  static async open(read) {
    const card = parseJson('detector.json', await read('detector.json'));
    if (card?.format !== FORMAT) {
      throw new CardError(
          `detector.json must have format ${FORMAT}. Received: ${card?.format}. Take all of one kerafer version.`);
    }
    const networks = [];
    for (const entry of card.networks) {
      const content = await read(entry.file);
      await checkContent({...entry, name: entry.file}, content);
      networks.push({entry, anchors: anchors(entry.grids), engine: await Engine.compile(content, 'wasm')});
    }
    return new FaceFinder(card, networks);
  }

  constructor(card, networks) {
    Object.assign(this, {card, networks});
  }

  /**
   * Find the faces of a picture, the surest first.
   *
   * @returns {Promise<{box: number[], confidence: number, landmarks: object}[]>} boxes [x, y, width, height] and
   *     places [x, y] in whole pixels; left is left as the viewer sees it.
   */
  async find(picture) {
    const kept = [];
    for (const network of this.networks) {
      const found = merged(await candidates(network, picture, this.card.min_confidence), this.card.overlap);
      kept.push(...found.filter(face => !kept.some(other => isSame(face, other))));
    }
    return kept.map(face => this.#whole(face, picture)).filter(face => Math.min(face.box[2], face.box[3]) > 0)
        .sort((a, b) => b.confidence - a.confidence);
  }

  /** Whole pixels, the box cut at the picture's edges. */
  #whole({values: [x, y, w, h, ...points], score}, picture) {
    const left = Math.max(0, round(x - w / 2)), top = Math.max(0, round(y - h / 2));
    const right = Math.min(picture.width, round(x - w / 2 + w)), bottom = Math.min(picture.height, round(y - h / 2 + h));
    const landmarks = this.card.points.map((name, i) => [name, [round(points[2 * i]), round(points[2 * i + 1])]]);
    return {box: [left, top, right - left, bottom - top], confidence: score, landmarks: Object.fromEntries(landmarks)};
  }
}

/** Middles of the cells of grids, row after row, each as often as its grid has anchors there. */
function anchors(grids) {
  return grids.flatMap(([cells, count]) => Array.from({length: cells * cells * count}, (_, i) => {
    const cell = Math.floor(i / count), column = cell % cells;
    return [(column + 0.5) / cells, ((cell - column) / cells + 0.5) / cells];
  }));
}

/** What a network finds: middle, sides and six points in the picture's pixels, as MTCNN would frame a face. */
async function candidates({entry, anchors, engine}, picture, minConfidence) {
  const {side} = entry, fit = side / Math.max(picture.width, picture.height);
  const columns = Math.max(1, round(picture.width * fit)), rows = Math.max(1, round(picture.height * fit));
  const left = Math.floor((side - columns) / 2), top = Math.floor((side - rows) / 2);
  const square = picture.resized(columns, rows).within(left, top, side, side);
  const outputs = await engine.run(scale(entry, square));
  const across = picture.width / columns, down = picture.height / rows, found = [];
  outputs[entry.scores].forEach((logit, i) => {
    const score = 1 / (1 + Math.exp(-clamp(logit, -80, 80)));
    if (!(score >= minConfidence)) return;
    const given = outputs[entry.boxes].slice(i * (4 + 2 * POINTS), (i + 1) * (4 + 2 * POINTS));
    const place = ([ax, ay], x, y) => [((x / side + ax) * side - left) * across, ((y / side + ay) * side - top) * down];
    const [x, y] = place(anchors[i], given[0], given[1]), w = given[2] * across, h = given[3] * down;
    const values = [x, y + entry.box_shift * Math.sqrt(Math.max(w * h, 0)), w * entry.box_scale, h * entry.box_scale];
    for (let point = 0; point < POINTS; point++) {
      values.push(...place(anchors[i], given[4 + 2 * point], given[5 + 2 * point]));
    }
    found.push({values, score});
  });
  return found;
}

/** Intersection over union of two boxes by middle and sides. */
function overlap({values: a}, {values: b}) {
  const shared = [0, 1].map(i => Math.max(
      0, Math.min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2) - Math.max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2)));
  const both = shared[0] * shared[1];
  return both / (a[2] * a[3] + b[2] * b[3] - both);
}

/** Whether the middle of one box lies in the other; the sizes of two networks' boxes may differ. */
function isSame({values: a}, {values: b}) {
  const within = box => [0, 1].every(i => Math.abs(a[i] - b[i]) < box[i + 2] / 2);
  return within(a) || within(b);
}

/** One candidate for each face: the mean of those that overlap with the surest, weighted by their scores. */
function merged(found, limit) {
  let rest = [...found].sort((a, b) => b.score - a.score);
  const faces = [];
  while (rest.length) {
    const [best] = rest, same = rest.filter(one => one === best || overlap(best, one) > limit);
    const total = same.reduce((sum, one) => sum + one.score, 0);
    const mean = best.values.map((_, i) => same.reduce((sum, one) => sum + one.values[i] * one.score, 0) / total);
    faces.push({values: mean, score: best.score});
    rest = rest.filter(one => !same.includes(one));
  }
  return faces;
}
