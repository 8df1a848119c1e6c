// A bundle's model, ready to classify faces.

import {CardError, checkContent, parseCard} from './card.js';
import {Engine, EngineError} from './engine.js';
import {CHANNELS, Picture} from './picture.js';
import {cropFace, fromOutput, pixels, toInput} from './preprocessing.js';

// Recipes whose files compute in floats, so that GPUs take them; and what to take on a CPU, best first.
const FOR_GPU = ['float16', 'float32', 'weight_int8'];
const FOR_CPU = ['qat_int8', 'static_int8', 'float32', 'float16', 'dynamic_int8', 'weight_int8'];
// LiteRT.js takes no int8 inputs; integer outputs have steps of 1/256 each.
const TAKEN = ['float32', 'uint8'];
const SLACK = 0.03;

/** Which file of a bundle to try on what, best first. */
export function choices(card, accelerators = ['webgpu', 'wasm']) {
  return accelerators.flatMap(accelerator => {
    const recipes = accelerator === 'webgpu' ? FOR_GPU : FOR_CPU;
    return card.files.filter(file => recipes.includes(file.recipe) && TAKEN.includes(file.input.type))
        .sort((a, b) => recipes.indexOf(a.recipe) - recipes.indexOf(b.recipe))
        .map(file => ({file, accelerator}));
  });
}

export class Classifier {
  /**
   * Check the bundle's files, and compile the best choice that this browser takes.
   *
   * @param {(name: string) => Promise<Uint8Array>} read returns a file of the bundle.
   * @param {{accelerators?: string[], recipe?: string, precision?: string}} [wanted] less than everything.
   */
  static async open(read, wanted = {}) {
    const card = parseCard(new TextDecoder().decode(await read('card.json')));
    const tried = choices(card, wanted.accelerators).filter(c => !wanted.recipe || c.file.recipe === wanted.recipe);
    const refused = [];
    for (const choice of tried) {
      const content = await read(choice.file.name);
      await checkContent(choice.file, content);
      try {
        const engine = await Engine.compile(content, choice.accelerator, wanted.precision);
        const classifier = new Classifier(card, choice, refused, engine);
        await classifier.#probe();
        return classifier;
      } catch (error) {
        if (!(error instanceof EngineError)) throw error;
        refused.push(`${choice.file.name} on ${choice.accelerator}: ${error.message}`);
      }
    }
    throw new EngineError(`No file of the bundle runs in this browser. ${refused.join('; ')}`);
  }

  constructor(card, choice, refused, engine) {
    Object.assign(this, {card, choice, refused, engine});
  }

  /** Probabilities of a face of a picture, in the order of the card's labels. */
  classify(picture, face) {
    const contract = this.card.preprocessing;
    return this.classifyPixels(pixels(contract, cropFace(contract, picture, face)));
  }

  /** The same of pixels of the model's own size. */
  async classifyPixels(picture) {
    const {file} = this.choice;
    const outputs = await this.engine.run(toInput(this.card.preprocessing, picture, file.input));
    return fromOutput(Object.values(outputs)[0], file.output);
  }

  /**
   * The greatest difference to what Python gave for the bundle's golden vectors.
   *
   * @throws {CardError} if the card names its classes in another order than the golden vectors.
   */
  async goldenDifference(read) {
    const golden = JSON.parse(new TextDecoder().decode(await read('golden.json')));
    if (`${golden.labels}` !== `${this.card.labels}`) {
      throw new CardError(
          `The card's labels must be ${golden.labels}, as in golden.json. Received: ${this.card.labels}. ` +
          'One of the two was changed: export the model again.');
    }
    const inputs = await read(golden.inputs), [count, height, width] = golden.shape;
    const step = height * width * CHANNELS, expected = golden.outputs[this.choice.file.name];
    let greatest = 0;
    for (let i = 0; i < count; i++) {
      const found = await this.classifyPixels(new Picture(width, height, inputs.slice(i * step, (i + 1) * step)));
      greatest = Math.max(greatest, ...expected[i].map((value, k) => Math.abs(value - found[k])));
    }
    return greatest;
  }

  close() {
    this.engine.close();
  }

  /** A driver may accept a model and compute nonsense: what it gives for a gray picture must be probabilities. */
  async #probe() {
    const [height, width] = this.card.preprocessing.size;
    const gray = new Uint8Array(height * width * CHANNELS).fill(127);
    const values = [...await this.classifyPixels(new Picture(width, height, gray))];
    const sum = values.reduce((a, b) => a + b, 0);
    if (!(Math.abs(sum - 1) <= SLACK && values.every(v => v >= -SLACK && v <= 1 + SLACK))) {
      this.close();
      throw new EngineError(`the output is no probabilities: ${values}, which sum to ${sum}`);
    }
  }
}
