import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Tensor, tensor } from '../../guests/javascript/tensor.js';

test('typed arrays keep their type and go there and back', () => {
  const kinds = { f32: Float32Array, f64: Float64Array, u8: Uint8Array, i32: Int32Array };
  for (const [type, kind] of Object.entries(kinds)) {
    const found = tensor(kind.of(1, 2, 3));
    assert.deepEqual([found.type, found.shape, found.length], [type, [3], 3]);
    assert.deepEqual(found.array(), kind.of(1, 2, 3));
  }
  const long = tensor(BigInt64Array.of(1n, -2n));
  assert.deepEqual(long.array(), BigInt64Array.of(1n, -2n));
  assert.deepEqual(long.tolist(), [1, -2]);
  assert.equal(tensor(Uint8ClampedArray.of(255)).type, 'u8');
});

test('a view of part of a buffer is that part', () => {
  const whole = Float32Array.of(1, 2, 3, 4);
  assert.deepEqual(tensor(whole.subarray(1, 3)).tolist(), [2, 3]);
});

test('numbers become f32 unless a type says otherwise', () => {
  assert.deepEqual(tensor([[1, 2.5], [3, 4]]).tolist(), [[1, 2.5], [3, 4]]);
  assert.deepEqual(tensor(7).tolist(), 7);
  assert.deepEqual(tensor([1, 2], { type: 'i64' }).data.length, 16);
  assert.deepEqual(tensor([1, 2], { type: 'u8', shape: [-1, 1] }).tolist(), [[1], [2]]);
});

test('halves are read as the numbers they are', () => {
  const halves = new Uint8Array(Uint16Array.of(0x3c00, 0xc100, 0x7c00, 0x0001, 0x7e00).buffer);
  assert.deepEqual(new Tensor('f16', [5], halves).flat(), [1, -2.5, Infinity, 2 ** -24, NaN]);
  const brain = new Uint8Array(Uint16Array.of(0x3f80, 0xc020).buffer);
  assert.deepEqual(new Tensor('bf16', [2], brain).flat(), [1, -2.5]);
});

test('what does not fit is refused', () => {
  assert.throws(() => tensor([[1], [2, 3]]), RangeError);
  assert.throws(() => tensor(['a']), TypeError);
  assert.throws(() => tensor([1], { type: 'f8' }), TypeError);
  assert.throws(() => tensor(Float32Array.of(1), { type: 'u8' }), TypeError);
  assert.throws(() => tensor(Uint16Array.of(1)), TypeError);
  assert.throws(() => tensor([1, 2, 3], { shape: [2, -1] }), RangeError);
  assert.throws(() => new Tensor('f32', [2], new Uint8Array(3)), RangeError);
});
