// LiteRT.js, which runs .tflite files in a browser: wholly on WebGPU, or wholly on the CPU as WebAssembly.

import {getWebGpuDevice, loadAndCompile, loadLiteRt, Tensor} from '@litertjs/core';

/** That a model cannot run here, and why. */
export class EngineError extends Error {}

let started;

/** Start the runtime, once. */
export function start(folder) {
  started ??= loadLiteRt(folder);
  return started;
}

/** Whether this browser offers a GPU. */
export const offersGpu = async () => Boolean(await navigator.gpu?.requestAdapter());

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
    const errors = [];
    const listen = event => errors.push(event.error.message);
    const device = accelerator === 'webgpu' ? getWebGpuDevice() : null;
    if (accelerator === 'webgpu' && !device) throw new EngineError('this browser offers no WebGPU device');
    device?.addEventListener('uncapturederror', listen);
    let model;
    try {
      model = await loadAndCompile(content, {accelerator, gpuOptions: {precision}});
    } catch (error) {
      throw new EngineError(`LiteRT.js could not compile the model: ${error?.message ?? error}`);
    }
    // asked for the GPU, LiteRT.js also takes the CPU without a word
    if (accelerator === 'webgpu' && (model.options.accelerator !== 'webgpu' || !model.isFullyAccelerated)) {
      model.delete();
      throw new EngineError('parts of the model would stay on the CPU');
    }
    return new Engine(model, accelerator, errors);
  }

  constructor(model, accelerator, errors) {
    Object.assign(this, {model, accelerator, errors});
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
    const input = new Tensor(values, this.shape);
    try {
      const outputs = await this.model.run(input), found = {};
      for (const [i, output] of outputs.entries()) {
        const here = output.accelerator === 'wasm' ? output : await output.moveTo('wasm');
        found[this.outputs[i]] = here.toTypedArray().slice();
        here.delete();
      }
      if (this.errors.length) throw new EngineError(`the GPU reported: ${this.errors[0]}`);
      return found;
    } catch (error) {
      throw error instanceof EngineError ? error : new EngineError(`the model failed: ${error?.message ?? error}`);
    } finally {
      if (!input.deleted) input.delete();
    }
  }

  close() {
    this.model.delete();
  }
}
