// A function without models: any host of wasi:http runs it.
import { Response, handler } from 'wasmind';

function* upper(request) {
  for (const chunk of request.chunks()) yield chunk.map((byte) => (byte >= 97 && byte <= 122 ? byte - 32 : byte));
}

export const incomingHandler = handler((request) => {
  if (request.path === '/streamed') return new Response(upper(request), { status: 201 });
  const { method, path, query } = request;
  return { method, path, query, body: request.text() };
});
