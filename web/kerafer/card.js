// What a client needs of a bundle's card.json: labels, preprocessing and files. It has no default for any of them.

/** The version of the card's format that this code understands. */
export const FORMAT = 1;

/** A card, or a file of a bundle, that must not be used; the message says what is wrong and what to do. */
export class CardError extends Error {}

const TYPES = {float32: 4, uint8: 1, int8: 1};
const CONTRACT = ['aligned', 'face_scale', 'face_shift', 'mean', 'resize', 'size', 'std'];

export function check(fine, field, expected, received) {
  if (!fine) {
    throw new CardError(
        `The card's \`${field}\` must be ${expected}. Received: ${JSON.stringify(received)}. Export the model again.`);
  }
}

const isWhole = value => Number.isInteger(value) && value > 0;
const isText = value => typeof value === 'string' && value.length > 0;

/** Read a file of JSON; `content` is its bytes. */
export function parseJson(name, content) {
  try {
    return JSON.parse(new TextDecoder().decode(content));
  } catch (error) {
    throw new CardError(`${name} is damaged: ${error.message}. Export the model and build the page again.`);
  }
}

/**
 * Read a card.
 *
 * @param {Uint8Array} content the whole of card.json.
 * @returns {{title: string, labels: string[], preprocessing: object, files: object[], notes: string[]}}
 * @throws {CardError} if it is no card of this format, or contradicts itself.
 */
export function parseCard(content) {
  const json = parseJson('card.json', content);
  if (json?.format !== FORMAT) {
    throw new CardError(
        `The card must have format ${FORMAT}. Received: ${json?.format}. Take page and bundle of one kerafer version.`);
  }
  const {labels, preprocessing, files = {}} = json;
  const different = Array.isArray(labels) && labels.length >= 2 && labels.every(isText);
  check(different && new Set(labels).size === labels.length, 'labels', 'two or more different names', labels);
  checkContract(preprocessing);
  const described = Object.entries(files).filter(([name]) => name.endsWith('.tflite'));
  check(described.length > 0, 'files', 'one or more .tflite files', Object.keys(files));
  return {...json, notes: json.notes ?? [], files: described.map(([name, file]) => checkFile(name, file, json))};
}

function checkContract(contract) {
  check(contract && typeof contract === 'object', 'preprocessing', 'an object', contract);
  // a field that this code does not know is refused rather than ignored
  const fields = Object.keys(contract).sort();
  check(`${fields}` === `${CONTRACT}`, 'preprocessing', `an object of the fields ${CONTRACT.join(', ')}`, fields);
  for (const field of ['size', 'resize']) {
    const value = contract[field];
    check(value?.length === 2 && value.every(isWhole), `preprocessing.${field}`, '[height, width]', value);
  }
  const {size, resize, mean, std} = contract;
  check(resize[0] >= size[0] && resize[1] >= size[1], 'preprocessing.resize', 'at least size', resize);
  check(mean?.length === 3 && mean.every(Number.isFinite), 'preprocessing.mean', 'three numbers', mean);
  check(std?.length === 3 && std.every(v => v > 0), 'preprocessing.std', 'three positive numbers', std);
  check(contract.face_scale > 0, 'preprocessing.face_scale', 'positive', contract.face_scale);
  check(Number.isFinite(contract.face_shift), 'preprocessing.face_shift', 'finite', contract.face_shift);
  check(typeof contract.aligned === 'boolean', 'preprocessing.aligned', 'true or false', contract.aligned);
}

function checkFile(name, file, {labels, preprocessing}) {
  check(!/[\\/]/.test(name), 'files', 'names without folders', name);
  for (const [kind, shape] of [['input', [1, ...preprocessing.size, 3]], ['output', [1, labels.length]]]) {
    const field = `files.${name}.${kind}`, tensor = file[kind];
    check(`${tensor?.shape}` === `${shape}`, `${field}.shape`, `[${shape}], as size and labels say`, tensor?.shape);
    check(tensor.type in TYPES, `${field}.type`, `one of ${Object.keys(TYPES)}`, tensor.type);
    const quantized = tensor.type !== 'float32';
    check(Number.isFinite(tensor.scale) === quantized, `${field}.scale`, quantized ? 'a number' : 'absent', tensor.scale);
  }
  return {...file, name};
}

/**
 * Refuse a file that is not the one the card describes.
 *
 * @param {{name: string, bytes: number, sha256: string}} file of the card.
 * @param {Uint8Array} content
 */
export async function checkContent(file, content) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', content));
  const found = [...digest].map(byte => byte.toString(16).padStart(2, '0')).join('');
  if (content.length !== file.bytes || found !== file.sha256) {
    throw new CardError(
        `${file.name} must have ${file.bytes} bytes and the SHA-256 ${file.sha256}. Received: ${content.length} bytes, ` +
        `${found}. It is damaged, or comes from another export: copy the whole bundle again.`);
  }
}
