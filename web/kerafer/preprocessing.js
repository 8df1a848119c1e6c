// From a picture and a face to a model's input; the same rules as Python's `Preprocessing`.

import {CHANNELS, Picture, clamp, round} from './picture.js';

/**
 * Cut a face out of a picture, turned until the eyes are level where the model was trained so.
 *
 * @param {object} contract the card's `preprocessing`.
 * @param {Picture} picture
 * @param {{box: number[], landmarks: object}} face box [x, y, width, height] in pixels; eyes for an aligned model.
 */
export function cropFace(contract, picture, {box, landmarks}) {
  const [x, y, width, height] = box;
  const side = contract.face_scale * Math.sqrt(width * height);
  const left = x + width / 2 - side / 2, top = y + height / 2 - side / 2 + contract.face_shift * side;
  const [[lx, ly], [rx, ry]] = [landmarks.left_eye, landmarks.right_eye];
  const angle = Math.atan2(ry - ly, rx - lx);
  if (!contract.aligned || angle === 0) return picture.square(left, top, side);
  // whole numbers are the middles of pixels, so the box's centre lies half a pixel before x + width / 2
  const cx = x + width / 2 - 0.5, cy = y + height / 2 - 0.5;
  return turned(picture, Math.max(1, round(side)), angle, [cx, cy], [round(left) - cx, round(top) - cy]);
}

/** Resize and cut out the middle, without scaling the values. */
export function pixels(contract, picture) {
  const [height, width] = contract.resize, [h, w] = contract.size;
  return picture.resized(width, height).part(Math.floor((width - w) / 2), Math.floor((height - h) / 2), w, h);
}

/** The numbers that go into a file of a bundle: floats, or integers as the camera gives them. */
export function toInput(contract, picture, tensor) {
  const isFloat = tensor.type === 'float32';
  const values = scale(isFloat ? contract : {mean: [0, 0, 0], std: [1, 1, 1]}, picture);
  if (isFloat) return values;
  const [kind, low, high] = tensor.type === 'uint8' ? [Uint8Array, 0, 255] : [Int8Array, -128, 127];
  const step = Math.fround(tensor.scale);
  return kind.from(values, v => clamp(round(Math.fround(v / step)) + tensor.zero_point, low, high));
}

/** What a file of a bundle gives, as probabilities. */
export function fromOutput(values, tensor) {
  if (tensor.type === 'float32') return Float32Array.from(values);
  return Float32Array.from(values, v => (v - tensor.zero_point) * Math.fround(tensor.scale));
}

/** Bytes of 0 to 255 as (x / 255 - mean) / std, in float32. */
export function scale({mean, std}, picture) {
  const f = Math.fround, means = mean.map(f), stds = std.map(f);
  return Float32Array.from(picture.bytes, (value, i) => {
    const channel = i % CHANNELS;
    return f(f(f(value / 255) - means[channel]) / stds[channel]);
  });
}

function turned(picture, n, angle, [cx, cy], [dx0, dy0]) {
  const cosine = Math.cos(angle), sine = Math.sin(angle), cut = new Uint8Array(n * n * CHANNELS);
  const value = (x, y, channel) =>
      picture.bytes[(clamp(y, 0, picture.height - 1) * picture.width + clamp(x, 0, picture.width - 1)) * CHANNELS + channel];
  for (let row = 0, to = 0; row < n; row++) {
    for (let column = 0; column < n; column++) {
      const dx = dx0 + column, dy = dy0 + row;
      const x = cx + cosine * dx - sine * dy, y = cy + sine * dx + cosine * dy;
      const x0 = Math.floor(x), y0 = Math.floor(y), fx = x - x0, fy = y - y0;
      for (let channel = 0; channel < CHANNELS; channel++) {
        const upper = value(x0, y0, channel) * (1 - fx) + value(x0 + 1, y0, channel) * fx;
        const lower = value(x0, y0 + 1, channel) * (1 - fx) + value(x0 + 1, y0 + 1, channel) * fx;
        cut[to++] = round(upper * (1 - fy) + lower * fy);
      }
    }
  }
  return new Picture(n, n, cut);
}
