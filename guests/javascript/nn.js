// Models by name: nn.load('classifier')({ image: pixels }).probabilities
//
// The world that a component is built for must have wasi:nn; `wasmind build` sees to it where the function's
// configuration grants it a model.
import { load as loadGraph, loadByName } from 'wasi:nn/graph@0.2.0-rc-2024-10-28';
import { Tensor as WasiTensor } from 'wasi:nn/tensor@0.2.0-rc-2024-10-28';

import { Tensor, tensor } from './tensor.js';

export { Tensor, tensor };

const TYPES = { f16: 'FP16', f32: 'FP32', f64: 'FP64', bf16: 'BF16', u8: 'U8', i32: 'I32', i64: 'I64' };
const NAMES = Object.fromEntries(Object.entries(TYPES).map(([name, wasi]) => [wasi, name]));

/** An inference failed: `code` is the kind, such as "not-found"; the message says why and what to do. */
export class NnError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** The model of this name, if the function's configuration grants it. Throws NnError. */
export function load(name) {
  return model(guarded(() => loadByName(name)));
}

/** A model of its own bytes (OpenVINO: XML, then weights), where the configuration says allow_load. */
export function loadBytes(parts, encoding = 'autodetect', target = 'cpu') {
  return model(guarded(() => loadGraph(parts, encoding, target)));
}

/**
 * A function from inputs to outputs. Inputs are an object by names, or an array by position; each is a Tensor, a typed
 * array, or what `tensor` takes. The outputs are Tensors by their names.
 */
function model(graph) {
  let context;
  return (inputs) => {
    const given = Object.entries(inputs).map(([name, value]) => {
      const { type, shape, data } = tensor(value);
      return [name, new WasiTensor(Uint32Array.from(shape), TYPES[type], data)];
    });
    const made = guarded(() => (context ??= graph.initExecutionContext()).compute(given));
    return Object.fromEntries(made.map(([name, resource]) => [name, lifted(resource)]));
  };
}

function lifted(resource) {
  const found = new Tensor(NAMES[resource.ty()], [...resource.dimensions()], resource.data());
  resource[Symbol.dispose]();
  return found;
}

function guarded(call) {
  try {
    return call();
  } catch (error) {
    const failure = error.payload ?? error;
    if (typeof failure.code !== 'function') throw error;
    throw new NnError(failure.code(), failure.data());
  }
}
