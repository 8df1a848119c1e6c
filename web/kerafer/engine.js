// LiteRT.js, which runs .tflite files in a browser: wholly on WebGPU, or wholly on the CPU as WebAssembly.

import {getWebGpuDevice, loadAndCompile, loadLiteRt, Tensor} from '@litertjs/core';

/** That a model cannot run here, and why. */
export class EngineError extends Error {}

/** What LiteRT.js calls a place to run, and what people call it. */
export const PLACES = {webgpu: 'the GPU', wasm: 'the CPU'};

let started;

/** Start the runtime, once. */
export function start(folder) {
  started ??= loadLiteRt(folder);
  return started;
}

/** Whether this browser offers a GPU. */
export async function offersGpu() {
  try {
    return Boolean(await navigator.gpu?.requestAdapter());
  } catch {
    return false;
  }
}

/** One compiled model. */
export class Engine {
  /**
   * Compile a model for one accelerator alone.
   *
   * @param {Uint8Array} content of the .tflite file.
   * @param {'webgpu' | 'wasm'} accelerator
   * @param {'fp32' | 'fp16'} [precision] of the arithmetic on a GPU.
   * @throws {EngineError} if this browser or this model does not allow it.
   */
  static async compile(content, accelerator, precision = 'fp16') {
    const device = accelerator === 'webgpu' ? getWebGpuDevice() : null;
    if (accelerator === 'webgpu' && !device) throw new EngineError('this browser offers no WebGPU device');
    let model;
    try {
      await watched(device, async () => {
        model = await loadAndCompile(content, {accelerator, gpuOptions: {precision}});
      });
      // asked for the GPU, LiteRT.js also takes the CPU without a word
      if (device && (model.options.accelerator !== 'webgpu' || !model.isFullyAccelerated)) {
        throw new EngineError('parts of the model would stay on the CPU');
      }
    } catch (error) {
      model?.delete();
      throw engineError('LiteRT.js could not compile the model', error);
    }
    return new Engine(model, device);
  }

  constructor(model, device) {
    Object.assign(this, {model, device});
    this.outputs = model.getOutputDetails().map(output => output.name);
    this.shape = [...model.getInputDetails()[0].shape];
  }

  /**
   * Run the model on one input.
   *
   * @param {Float32Array | Uint8Array | Int8Array} values of the whole input.
   * @returns {Promise<Object<string, ArrayLike<number>>>} values of each output, by its name.
   */
  async run(values) {
    const tensors = [new Tensor(values, this.shape)], found = {};
    try {
      await watched(this.device, async () => {
        const outputs = await this.model.run(tensors[0]);
        tensors.push(...outputs);
        for (const [i, output] of outputs.entries()) {
          const here = output.accelerator === 'wasm' ? output : await output.moveTo('wasm');
          tensors.push(here);
          found[this.outputs[i]] = here.toTypedArray().slice();
        }
      });
      return found;
    } catch (error) {
      throw engineError('the model failed', error);
    } finally {
      tensors.forEach(tensor => tensor.delete());
    }
  }

  close() {
    this.model.delete();
  }
}

const engineError = (what, error) =>
    (error instanceof EngineError ? error : new EngineError(`${what}: ${error?.message ?? error}`));

const losses = new WeakMap(); // of each device: the error once it is lost, and how to end the work under way

function lossOf(device) {
  if (!losses.has(device)) {
    const loss = {error: null, end: () => {}};
    losses.set(device, loss);
    device.lost.then(({message, reason}) => {
      loss.error = new EngineError(`the GPU was lost: ${message || reason}`);
      loss.end(loss.error);
    });
  }
  return losses.get(device);
}

/** Do work on a GPU, or on none; fail where the GPU is lost, or reports an error of that work, and of no other. */
async function watched(device, work) {
  if (!device) return work();
  const loss = lossOf(device), scopes = ['validation', 'out-of-memory', 'internal'];
  await null; // a device that was lost before says so now
  if (loss.error) throw loss.error;
  scopes.forEach(scope => device.pushErrorScope(scope));
  // ends with the device, whatever LiteRT.js waits for; a race with `device.lost` would keep every run in memory
  const done = new Promise((resolve, reject) => {
    loss.end = reject;
    work().then(resolve, reject);
  });
  const [outcome] = await Promise.allSettled([done]);
  if (loss.error) throw loss.error;
  const reported = await Promise.all(scopes.map(() => device.popErrorScope()));
  const error = reported.find(Boolean);
  if (error) throw new EngineError(`the GPU reported: ${error.message}`);
  if (outcome.status === 'rejected') throw outcome.reason;
  return outcome.value;
}
