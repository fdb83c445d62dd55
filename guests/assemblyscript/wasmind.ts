// Functions for wasmind in AssemblyScript: the request's body, a response, and models by name, without any library.
//
//   import { body, infer, respond } from "wasmind";
//   export function _start(): void { … }
//
// Build with --runtime stub: a function's memory is given back as a whole when it has answered.

@external("wasi_snapshot_preview1", "fd_read")
declare function fd_read(fd: i32, vectors: usize, count: i32, read: usize): i32;
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: i32, vectors: usize, count: i32, written: usize): i32;

@external("wasi_ephemeral_nn", "load_by_name")
declare function load_by_name(name: usize, length: i32, graph: usize): i32;
@external("wasi_ephemeral_nn", "init_execution_context")
declare function init_execution_context(graph: i32, context: usize): i32;
@external("wasi_ephemeral_nn", "set_input")
declare function set_input(context: i32, index: i32, tensor: usize): i32;
@external("wasi_ephemeral_nn", "compute")
declare function compute(context: i32): i32;
@external("wasi_ephemeral_nn", "get_output")
declare function get_output(context: i32, index: i32, buffer: usize, size: i32, written: usize): i32;

/** The types of wasi-nn's core ABI. */
export enum TensorType { F16, F32, F64, U8, I32, I64 }

const TOO_LARGE = 7;
/** Bytes that most outputs fit in; a larger one is asked for once more. */
const ROOM = 16384;

const ERRORS: string[] = [
  "success", "invalid argument", "invalid encoding", "missing memory", "busy", "runtime error",
  "unsupported operation", "too large", "not found",
];

/** What an errno says; why it came is in the function's log. */
export function errorText(errno: i32): string {
  return errno >= 0 && errno < ERRORS.length ? ERRORS[errno] : "unknown error";
}

@unmanaged
class Vector {
  data: usize;
  size: usize;
}

@unmanaged
class RawTensor {
  dims: usize;
  rank: u32;
  type: u32; // a u8 and three bytes of padding
  data: usize;
  size: u32;
}

/** The outputs of an inference: `errno` is 0, or says why there are none. */
export class Outputs {
  constructor(public errno: i32, public values: ArrayBuffer[]) {}

  /** An output's numbers, by its position. */
  f32(index: i32): Float32Array {
    return Float32Array.wrap(this.values[index]);
  }
}

/** One inference with one input. `outputs` says how many outputs to read. */
export function infer(name: string, type: TensorType, dims: u32[], data: ArrayBuffer, outputs: i32 = 1): Outputs {
  const encoded = String.UTF8.encode(name);
  const word = memory.data(8);
  let errno = load_by_name(changetype<usize>(encoded), encoded.byteLength, word);
  if (!errno) errno = init_execution_context(load<i32>(word), word);
  const context = load<i32>(word);
  if (!errno) {
    const tensor = new RawTensor();
    tensor.dims = dims.dataStart;
    tensor.rank = dims.length;
    tensor.type = <u32>type;
    tensor.data = changetype<usize>(data);
    tensor.size = data.byteLength;
    errno = set_input(context, 0, changetype<usize>(tensor));
  }
  if (!errno) errno = compute(context);
  const values: ArrayBuffer[] = [];
  for (let index = 0; !errno && index < outputs; index++) {
    let value = new ArrayBuffer(ROOM);
    errno = get_output(context, index, changetype<usize>(value), value.byteLength, word);
    if (errno == TOO_LARGE) {
      value = new ArrayBuffer(load<i32>(word));
      errno = get_output(context, index, changetype<usize>(value), value.byteLength, word);
    }
    if (!errno) values.push(value.slice(0, load<i32>(word)));
  }
  return new Outputs(errno, values);
}

/** The whole body of the request. */
export function body(): ArrayBuffer {
  let whole = new ArrayBuffer(65536);
  let size = 0;
  const vector = new Vector();
  const read = memory.data(8);
  while (true) {
    vector.data = changetype<usize>(whole) + size;
    vector.size = whole.byteLength - size;
    if (fd_read(0, changetype<usize>(vector), 1, read) != 0 || load<i32>(read) == 0) break;
    size += load<i32>(read);
    if (size == whole.byteLength) {
      const larger = new ArrayBuffer(size * 2);
      memory.copy(changetype<usize>(larger), changetype<usize>(whole), size);
      whole = larger;
    }
  }
  return whole.slice(0, size);
}

/** Answer with a text. */
export function respond(text: string, status: i32 = 200, type: string = "text/plain; charset=utf-8"): void {
  write(1, `Status: ${status}\r\nContent-Type: ${type}\r\n\r\n${text}`);
}

/** A line for the function's log. */
export function log(line: string): void {
  write(2, line + "\n");
}

function write(fd: i32, text: string): void {
  const bytes = String.UTF8.encode(text);
  const vector = new Vector();
  vector.data = changetype<usize>(bytes);
  vector.size = bytes.byteLength;
  const written = memory.data(8);
  while (vector.size && fd_write(fd, changetype<usize>(vector), 1, written) == 0) {
    vector.data += load<i32>(written);
    vector.size -= load<i32>(written);
  }
}
