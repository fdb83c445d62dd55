// Tensors: numbers of one type in a shape, as bytes in row-major order, little-endian, without gaps.

const ARRAYS = new Map([
  ['f32', Float32Array],
  ['f64', Float64Array],
  ['u8', Uint8Array],
  ['i32', Int32Array],
  ['i64', BigInt64Array],
]);
const SIZES = { f16: 2, bf16: 2, f32: 4, f64: 8, u8: 1, i32: 4, i64: 8 };

/** A tensor's value: `type` is one of f16, bf16, f32, f64, u8, i32, i64, `shape` its dimensions, `data` its bytes. */
export class Tensor {
  constructor(type, shape, data) {
    const size = SIZES[type];
    if (!size) throw new TypeError(`there is no tensor type ${type}; known are ${Object.keys(SIZES).join(', ')}`);
    if (!shape.every(Number.isInteger)) throw new RangeError(`[${shape}] is no shape`);
    const count = shape.reduce((product, length) => product * length, 1);
    if (count * size !== data.length) {
      throw new RangeError(`${type} [${shape}] takes ${count * size} bytes, but there are ${data.length}`);
    }
    Object.assign(this, { type, shape, data, length: count });
  }

  /** The elements in one row, as a typed array of their own; f16 and bf16 become f32. */
  array() {
    const bytes = this.data.slice(); // aligned for every type
    const kind = ARRAYS.get(this.type);
    if (kind) return new kind(bytes.buffer, 0, this.length);
    const halves = new Uint16Array(bytes.buffer, 0, this.length);
    return Float32Array.from(halves, this.type === 'bf16' ? fromBrain : fromHalf);
  }

  /** The elements as numbers, in one row. */
  flat() {
    return Array.from(this.array(), Number);
  }

  /** The elements as arrays within arrays, or one number if there are no dimensions. */
  tolist() {
    let found = this.flat();
    for (const size of this.shape.slice(1).reverse()) {
      const rows = size ? found.length / size : 0;
      found = Array.from({ length: rows }, (_, row) => found.slice(row * size, (row + 1) * size));
    }
    return this.shape.length ? found : found[0];
  }

  /** The same elements in another shape; one dimension may be -1. Throws RangeError. */
  reshape(...shape) {
    const known = shape.reduce((product, length) => (length === -1 ? product : product * length), 1);
    const told = shape.map((length) => (length === -1 ? this.length / known : length));
    return new Tensor(this.type, told, this.data);
  }
}

/**
 * A tensor of a typed array, of numbers in arrays, or of a number. Typed arrays keep their type (Uint8Array is u8);
 * numbers become f32 unless `type` says otherwise. `shape` may have one -1. Throws TypeError, RangeError.
 */
export function tensor(value, { type, shape } = {}) {
  const found = value instanceof Tensor ? value : ArrayBuffer.isView(value) ? ofArray(value) : ofNumbers(value, type);
  if (type && found.type !== type) throw new TypeError(`the tensor is ${found.type}, not ${type}`);
  return shape ? found.reshape(...shape) : found;
}

function ofArray(value) {
  for (const [type, kind] of ARRAYS) {
    if (value instanceof kind || (type === 'u8' && value instanceof Uint8ClampedArray)) {
      return new Tensor(type, [value.length], new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    }
  }
  throw new TypeError(`a ${value.constructor.name} is no tensor: convert it to one of ${[...ARRAYS.keys()].join(', ')}`);
}

function ofNumbers(value, type = 'f32') {
  const kind = ARRAYS.get(type);
  if (!kind) throw new TypeError(`numbers cannot become ${type}: give a Tensor of bytes`);
  const shape = [];
  for (let row = value; Array.isArray(row); row = row[0]) shape.push(row.length);
  const flat = shape.length ? value.flat(Infinity) : [value];
  if (!flat.every((each) => typeof each === 'number' || typeof each === 'bigint')) {
    throw new TypeError('a tensor is made of numbers');
  }
  const made = kind.from(type === 'i64' ? flat.map(BigInt) : flat.map(Number));
  return new Tensor(type, shape, new Uint8Array(made.buffer)); // rows of unequal length fail here
}

function fromBrain(half) {
  return new Float32Array(Uint32Array.of(half << 16).buffer)[0];
}

function fromHalf(half) {
  const [sign, exponent, fraction] = [half & 0x8000 ? -1 : 1, (half >> 10) & 31, half & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}
