// A bundle's golden vectors: pixels, and the probabilities that Python's runtime gave each file for them.

import {CardError, parseJson} from './card.js';
import {CHANNELS, Picture} from './picture.js';

const FILE = 'golden.json';

function check(fine, expected, received) {
  if (!fine) throw new CardError(`${FILE} must ${expected}. Received: ${received}. Export the model again.`);
}

export class Golden {
  /**
   * Read golden.json and the file of pixels that it names.
   *
   * @param {(name: string) => Promise<Uint8Array>} read returns a file of the bundle.
   * @param {{labels: string[], preprocessing: object}} card as `parseCard` gives it.
   * @throws {CardError} if it does not belong to the card, above all if the classes stand in another order.
   */
  static async open(read, {labels, preprocessing}) {
    const golden = parseJson(FILE, await read(FILE)), [height, width] = preprocessing.size;
    if (`${golden?.labels}` !== `${labels}`) {
      throw new CardError(
          `The card names the classes ${labels.join(', ')}, and ${FILE} names them ${golden?.labels?.join?.(', ')}: ` +
          'probabilities would get wrong names. One of the two files was changed: export the model again.');
    }
    check(typeof golden.inputs === 'string' && !/[\\/]/.test(golden.inputs), 'name a file of inputs', golden.inputs);
    const inputs = await read(golden.inputs), step = height * width * CHANNELS, count = inputs.length / step;
    check(`${golden.shape}` === `${[count, height, width, CHANNELS]}` && count >= 1,
          `have the shape [pictures, ${height}, ${width}, ${CHANNELS}], with all pictures in ${golden.inputs}`,
          `${golden.shape}, and ${inputs.length} bytes`);
    const pictures = Array.from(
        {length: count}, (_, i) => new Picture(width, height, inputs.slice(i * step, (i + 1) * step)));
    return new Golden(pictures, labels.length, golden.outputs);
  }

  constructor(pictures, classes, outputs) {
    Object.assign(this, {pictures, classes, outputs});
  }

  /** What Python gave for a file, a row for each picture. */
  expected(name) {
    const rows = this.outputs?.[name];
    const fine = rows?.length === this.pictures.length && rows.every(row => row.length === this.classes);
    check(fine, `have outputs of ${name}: ${this.classes} numbers a picture`, JSON.stringify(rows)?.slice(0, 100));
    return rows;
  }
}
