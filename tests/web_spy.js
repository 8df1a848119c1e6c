// In the place of LiteRT.js, as tests/test_web.py serves it: the real one, whose models are counted, and whose
// classifiers are spoilt as `globalThis.spy` says. `wrong`, `fail`, `lose`, `hang`: an accelerator; `slow`:
// milliseconds a run. What hangs waits for ever for a GPU that was lost.
import {loadAndCompile as compile, Tensor} from './index.js?real';

export * from './index.js?real';

const spy = globalThis.spy ??= {};
spy.models = 0;

export async function loadAndCompile(content, options) {
  const model = await compile(content, options);
  const run = model.run.bind(model), remove = model.delete.bind(model);
  spy.models++;
  model.delete = () => {
    if (!model.deleted) spy.models--;
    remove();
  };
  if (model.getOutputDetails().length > 1) return model; // a face detector
  model.run = async input => {
    await new Promise(resolve => setTimeout(resolve, spy.slow ?? 0));
    if (spy.fail === options.accelerator) throw new Error('the spy said no');
    const outputs = await run(input);
    if ([spy.lose, spy.hang].includes(options.accelerator)) globalThis.device.destroy(); // before they are read
    if (spy.hang === options.accelerator) await new Promise(() => {});
    return spy.wrong === options.accelerator ? Promise.all(outputs.map(turned)) : outputs;
  };
  return model;
}

// Probabilities of the wrong classes: a sum of 1 still.
async function turned(output) {
  const here = output.accelerator === 'wasm' ? output : await output.moveTo('wasm');
  const values = here.toTypedArray().slice();
  here.delete();
  return new Tensor(values.map((_, i) => values[(i + 1) % values.length]), [1, values.length]);
}
