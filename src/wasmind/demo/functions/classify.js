// A photo's likeliest classes: 224 rows of 224 RGB pixels in, five labels with probabilities out.
import { HttpError, handler } from 'wasmind';
import * as nn from 'wasmind/nn';

import text from './labels.txt';

const SHAPE = [1, 224, 224, 3];
const LABELS = text.trimEnd().split('\n');

export const incomingHandler = handler((request) => {
  const pixels = request.bytes();
  if (pixels.length !== 224 * 224 * 3) {
    throw new HttpError(400, `expected 224x224 RGB pixels (150528 bytes), got ${pixels.length} bytes`);
  }
  const { probabilities } = nn.load('classifier')({ image: nn.tensor(pixels, { shape: SHAPE }) });
  const chances = probabilities.array();
  const best = [...chances.keys()].sort((one, other) => chances[other] - chances[one]).slice(0, 5);
  return { classes: best.map((at) => ({ label: LABELS[at], probability: Number(chances[at].toFixed(4)) })) };
});
