// Uses everything that the JavaScript helper has.
import { HttpError, Response, handler } from 'wasmind';
import * as nn from 'wasmind/nn';

const calls = [];

const KINDS = {
  asked: (request) => ({
    method: request.method,
    path: request.path,
    query: request.query,
    host: request.host,
    header: request.headers.get('x-two'),
    missing: request.headers.get('x-none') ?? null,
    calls: calls.length,
  }),
  streamed: (request) => new Response(upper(request), { status: 201, headers: { 'Content-Type': 'text/x-own', 'X-A': 'b' } }),
  echo: (request) => request.bytes(),
  text: (request) => request.text(),
  name(request) {
    const { y } = nn.load('linear')({ x: nn.tensor(request.json(), { shape: [-1, 1] }) });
    return [y.type, y.shape, y.tolist()];
  },
  position: () => nn.load('linear')([nn.tensor(Float32Array.of(1, 2), { shape: [2, 1] })]).y.flat(),
  refused() {
    const attempts = [
      () => nn.load('other'),
      () => nn.load('linear')({ z: Uint8Array.of(1) }),
      () => nn.load('linear')({ x: Uint8Array.of(1, 2, 3, 4) }),
    ];
    return attempts.map((attempt) => {
      try {
        return attempt();
      } catch (error) {
        if (!(error instanceof nn.NnError)) throw error;
        const name = error.code.split('-').map((word) => word[0].toUpperCase() + word.slice(1)).join('');
        return `${name} ${error.code} ${error.message}`;
      }
    });
  },
  teapot() {
    throw new HttpError(418, 'short and stout');
  },
  broken() {
    throw new Error('on purpose');
  },
};

function* upper(request) {
  const [decoder, encoder] = [new TextDecoder(), new TextEncoder()];
  for (const chunk of request.chunks()) yield encoder.encode(decoder.decode(chunk).toUpperCase());
}

export const incomingHandler = handler((request) => {
  const kind = request.path.split('/').pop();
  calls.push(kind);
  return KINDS[kind](request);
});
