// y = 2x + 1, computed by a named model for a JSON list of numbers: curl -d '[20, 0.5]' http://127.0.0.1:8080/
import { HttpError, handler } from 'wasmind';
import * as nn from 'wasmind/nn';

export const incomingHandler = handler((request) => {
  if (request.method !== 'POST') return 'POST a JSON list of numbers\n';
  const x = nn.tensor(request.json(), { type: 'f32', shape: [-1, 1] });
  try {
    return nn.load('linear')({ x }).y.flat();
  } catch (error) {
    if (error.code === 'runtime-error') throw new HttpError(503, error.message); // overloaded, or starting again
    throw error;
  }
});
