// Upright pictures, and resizing them as training does.

export const CHANNELS = 3;

/** Round to the nearest whole number, halves to even, as Python and Kotlin do. */
export function round(value) {
  const low = Math.floor(value), rest = value - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** A picture, rows from top to bottom, three bytes (red, green, blue) a pixel. */
export class Picture {
  /**
   * @param {number} width in pixels.
   * @param {number} height in pixels.
   * @param {Uint8Array} bytes width * height * 3 values.
   */
  constructor(width, height, bytes) {
    if (!(width > 0 && height > 0 && bytes.length === width * height * CHANNELS)) {
      throw new RangeError(
          `A picture of ${width} x ${height} must have ${width * height * CHANNELS} bytes. Received: ${bytes.length}`);
    }
    Object.assign(this, {width, height, bytes});
  }

  /** Take a canvas's pixels, without their transparency. */
  static of({width, height, data}) {
    const bytes = new Uint8Array(width * height * CHANNELS);
    for (let from = 0, to = 0; from < data.length; from += 4) {
      bytes[to++] = data[from];
      bytes[to++] = data[from + 1];
      bytes[to++] = data[from + 2];
    }
    return new Picture(width, height, bytes);
  }

  /**
   * Cut a square, as Python's `Preprocessing.crop_face` does: pixels beyond the picture repeat its edge.
   *
   * @param {number} left x of its left edge in pixels, rounded to a whole one.
   * @param {number} top y of its upper edge.
   * @param {number} side rounded to whole pixels, at least 1.
   */
  square(left, top, side) {
    const x0 = round(left), y0 = round(top), n = Math.max(1, round(side));
    const cut = new Uint8Array(n * n * CHANNELS);
    for (let row = 0, to = 0; row < n; row++) {
      const y = clamp(y0 + row, 0, this.height - 1);
      for (let column = 0; column < n; column++, to += CHANNELS) {
        const from = (y * this.width + clamp(x0 + column, 0, this.width - 1)) * CHANNELS;
        cut[to] = this.bytes[from];
        cut[to + 1] = this.bytes[from + 1];
        cut[to + 2] = this.bytes[from + 2];
      }
    }
    return new Picture(n, n, cut);
  }

  /** Cut out a part that lies within the picture. */
  part(left, top, width, height) {
    const cut = new Uint8Array(width * height * CHANNELS);
    for (let row = 0; row < height; row++) {
      const from = ((top + row) * this.width + left) * CHANNELS;
      cut.set(this.bytes.subarray(from, from + width * CHANNELS), row * width * CHANNELS);
    }
    return new Picture(width, height, cut);
  }

  /** Put the picture into a larger black one. */
  within(left, top, width, height) {
    const whole = new Uint8Array(width * height * CHANNELS);
    for (let row = 0; row < this.height; row++) {
      const stride = this.width * CHANNELS;
      whole.set(this.bytes.subarray(row * stride, (row + 1) * stride), ((top + row) * width + left) * CHANNELS);
    }
    return new Picture(width, height, whole);
  }

  /**
   * Resize by OpenCV's rules in float32: area averaging when both sides shrink or stay, bilinear with half-pixel centres
   * otherwise; rounded to whole values, halves up.
   */
  resized(width, height) {
    if (this.width === width && this.height === height) return this;
    const shrinks = this.width >= width && this.height >= height;
    const whole = shrinks && this.width % width === 0 && this.height % height === 0;
    const split = shrinks ? shares : neighbours;
    const values = whole ? blocks(this, width, height)
                         : weighted(this, width, height, split(this.width, width), split(this.height, height));
    return new Picture(width, height, Uint8Array.from(values, v => clamp(Math.floor(Math.fround(v + 0.5)), 0, 255)));
  }
}

/** Means of whole blocks: sums are exact, and multiplied by the rounded inverse of their count. */
function blocks(picture, width, height) {
  const across = picture.width / width, down = picture.height / height;
  const inverse = Math.fround(1 / (across * down));
  const sums = new Float32Array(width * height * CHANNELS);
  picture.bytes.forEach((value, i) => {
    const channel = i % CHANNELS, place = (i - channel) / CHANNELS;
    const column = place % picture.width, row = (place - column) / picture.width;
    sums[(Math.floor(row / down) * width + Math.floor(column / across)) * CHANNELS + channel] += value;
  });
  return sums.map(sum => sum * inverse);
}

/** What each target place takes of source places: [target, source, weight], by the length that lies in it. */
function shares(source, target) {
  const tiny = 1e-3, scale = source / target, found = [];
  for (let t = 0; t < target; t++) {
    const begin = t * scale, end = begin + scale, length = Math.min(scale, source - begin);
    const last = Math.min(Math.floor(end), source - 1), first = Math.min(Math.ceil(begin), last);
    if (first - begin > tiny) found.push([t, first - 1, Math.fround((first - begin) / length)]);
    for (let s = first; s < last; s++) found.push([t, s, Math.fround(1 / length)]);
    if (end - last > tiny) found.push([t, last, Math.fround(Math.min(end - last, 1, length) / length)]);
  }
  return found;
}

/** Each target place's two neighbours in the source, by the distance of their centres. */
function neighbours(source, target) {
  const scale = source / target, found = [];
  for (let t = 0; t < target; t++) {
    let place = Math.fround((t + 0.5) * scale - 0.5), first = Math.floor(place);
    place = Math.fround(place - first);
    if (first < 0 || first >= source - 1) {
      first = clamp(first, 0, source - 1);
      place = 0;
    }
    found.push([t, first, Math.fround(1 - place)], [t, Math.min(first + 1, source - 1), place]);
  }
  return found;
}

/** Sum along rows, then along columns, in float32 and in the order of the shares. */
function weighted(picture, width, height, across, down) {
  const stride = width * CHANNELS, rows = new Map(), out = new Float32Array(height * stride);
  for (const [target, source, weight] of down) {
    if (!rows.has(source)) rows.set(source, rowOf(picture, source, stride, across));
    const row = rows.get(source), start = target * stride;
    for (let i = 0; i < stride; i++) out[start + i] += Math.fround(weight * row[i]);
  }
  return out;
}

function rowOf(picture, y, stride, across) {
  const row = new Float32Array(stride);
  for (const [target, source, weight] of across) {
    const from = (y * picture.width + source) * CHANNELS, to = target * CHANNELS;
    for (let channel = 0; channel < CHANNELS; channel++) {
      row[to + channel] += Math.fround(weight * picture.bytes[from + channel]);
    }
  }
  return row;
}
