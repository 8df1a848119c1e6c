// A bundle's model, ready to classify faces.

import {checkContent, parseCard} from './card.js';
import {Engine, EngineError, PLACES} from './engine.js';
import {Golden} from './golden.js';
import {cropFace, fromOutput, pixels, toInput} from './preprocessing.js';

// Recipes whose files compute in floats, so that GPUs take them; and what to take on a CPU, best first.
const FOR_GPU = ['float16', 'float32', 'weight_int8'];
const FOR_CPU = ['qat_int8', 'static_int8', 'float32', 'float16', 'dynamic_int8', 'weight_int8'];
// LiteRT.js takes no int8 inputs.
const TAKEN = ['float32', 'uint8'];

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
   * Check the bundle's files, and compile the best choice that this browser takes. A driver may accept a model and
   * compute nonsense, so a choice must also give what Python gave for the first golden vector, within a tolerance.
   *
   * @param {(name: string) => Promise<Uint8Array>} read returns a file of the bundle.
   * @param {{accelerators?: string[], recipe?: string, precision?: string}} [wanted] less than everything.
   * @throws {CardError} if the files do not belong together.
   * @throws {EngineError} if no choice runs; the message says why each does not.
   */
  static async open(read, wanted = {}) {
    const card = parseCard(await read('card.json')), golden = await Golden.open(read, card);
    const tried = choices(card, wanted.accelerators).filter(c => !wanted.recipe || c.file.recipe === wanted.recipe);
    if (!tried.length) throw new EngineError(`No file of the bundle is made for ${whatIsWanted(wanted)}.`);
    const refused = [];
    for (const choice of tried) {
      const content = await read(choice.file.name);
      await checkContent(choice.file, content);
      let classifier;
      try {
        const engine = await Engine.compile(content, choice.accelerator, wanted.precision);
        classifier = new Classifier(card, golden, choice, refused, engine);
        const difference = await classifier.goldenDifference(1), allowed = tolerance(choice);
        // written so that a difference that is no number is refused, too
        if (difference <= allowed) return classifier;
        throw new EngineError(`its probabilities differ from Python's by ${difference}, more than ${allowed}`);
      } catch (error) {
        classifier?.close();
        if (!(error instanceof EngineError)) throw error;
        refused.push(`${choice.file.name} on ${PLACES[choice.accelerator]}: ${error.message}`);
      }
    }
    throw new EngineError(`No file of the bundle runs in this browser. ${refused.join('; ')}`);
  }

  constructor(card, golden, choice, refused, engine) {
    Object.assign(this, {card, golden, choice, refused, engine});
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

  /** The greatest difference to what Python gave for the first golden vectors, or for all of them. */
  async goldenDifference(count = this.golden.pictures.length) {
    const expected = this.golden.expected(this.choice.file.name), differences = [];
    for (const [i, picture] of this.golden.pictures.slice(0, count).entries()) {
      const found = await this.classifyPixels(picture);
      differences.push(...expected[i].map((value, k) => Math.abs(value - found[k])));
    }
    return Math.max(...differences);
  }

  close() {
    this.engine.close();
  }
}

/** How far probabilities may stray from Python's for the same file: as far as Kotlin's `Tolerances` let them. */
function tolerance({file, accelerator}) {
  if (file.output.type !== 'float32') return 2 * file.output.scale + 1e-6; // two steps, written with seven digits
  if (!['float32', 'float16'].includes(file.recipe)) return 5e-2;
  return accelerator === 'webgpu' ? 2e-2 : 1e-4;
}

function whatIsWanted({recipe, accelerators = Object.keys(PLACES)}) {
  const places = accelerators.map(accelerator => PLACES[accelerator]).join(' or ');
  return recipe ? `the recipe ${recipe} on ${places}` : places;
}
