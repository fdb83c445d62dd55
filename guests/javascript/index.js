// Functions for wasmind in JavaScript: an HTTP handler. Models are in 'wasmind/nn'.
//
//   import { handler } from 'wasmind';
//   import * as nn from 'wasmind/nn';
//
//   export const incomingHandler = handler((request) =>
//     nn.load('linear')({ x: Float32Array.from(request.json()) }).y.tolist());
//
// `wasmind build` bundles it and makes a component with componentize-js. What stands at the top level of a module runs
// once, when the component is built; a request finds it done. There are no files, no sockets and no `fetch`.
import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from 'wasi:http/types@0.2.12';

const CHUNK = 65536n;
const encoder = new TextEncoder();

/** Ends a request with a status and a line of text. */
export class HttpError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** What was asked. `headers` is a Map with names in lower case. */
export class Request {
  #incoming;
  #body;

  constructor(incoming) {
    this.#incoming = incoming;
    const method = incoming.method();
    this.method = method.tag === 'other' ? method.val : method.tag.toUpperCase();
    this.target = incoming.pathWithQuery() ?? '/';
    const [, path, query] = /^([^?]*)\??(.*)$/s.exec(this.target);
    [this.path, this.query] = [decode(path), parameters(query)];
    const fields = incoming.headers();
    this.headers = joined(fields.entries());
    fields[Symbol.dispose]();
  }

  /** The host that was asked for. */
  get host() {
    return this.#incoming.authority() ?? this.headers.get('host');
  }

  /** The body as it comes, in chunks. It can be had once. */
  *chunks() {
    const body = this.#incoming.consume();
    const stream = body.stream();
    try {
      for (;;) yield stream.blockingRead(CHUNK);
    } catch (error) {
      if ((error.payload ?? error).tag !== 'closed') throw error;
    } finally {
      stream[Symbol.dispose]();
      body[Symbol.dispose]();
    }
  }

  /** The whole body. */
  bytes() {
    this.#body ??= concatenated([...this.chunks()]);
    return this.#body;
  }

  text() {
    return new TextDecoder().decode(this.bytes());
  }

  /** The body as JSON says it. Throws HttpError (400). */
  json() {
    try {
      return JSON.parse(this.text());
    } catch (error) {
      throw new HttpError(400, `the body is no JSON: ${error.message}`);
    }
  }
}

/** What is answered. The body is text, bytes, something for JSON, or an iterator of bytes to be streamed. */
export class Response {
  constructor(body = '', { status = 200, headers = {} } = {}) {
    let kind = 'application/octet-stream';
    if (typeof body === 'string') [body, kind] = [encoder.encode(body), 'text/plain; charset=utf-8'];
    else if (ArrayBuffer.isView(body)) body = new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
    else if (!(typeof body?.next === 'function')) {
      [body, kind] = [encoder.encode(JSON.stringify(body)), 'application/json'];
    }
    this.status = status;
    this.body = body;
    this.headers = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]));
    if (!this.headers.has('content-type')) this.headers.set('content-type', kind);
    if (body instanceof Uint8Array && !this.headers.has('content-length')) {
      this.headers.set('content-length', String(body.length));
    }
  }
}

/**
 * The component's handler, of a function that takes a Request and gives a Response or what can be its body.
 * An HttpError becomes a response; any other exception goes to the function's log, and the host answers.
 */
export function handler(answer) {
  return {
    handle(incoming, out) {
      let found;
      try {
        found = answered(answer, new Request(incoming));
      } catch (error) {
        console.error(`${error}\n${error.stack ?? ''}`.trimEnd());
        ResponseOutparam.set(out, { tag: 'err', val: { tag: 'internal-error', val: String(error) } });
        return;
      }
      send(found, out);
    },
  };
}

function answered(answer, request) {
  try {
    const found = answer(request);
    if (typeof found?.then === 'function') {
      throw new TypeError('a handler answers at once: it cannot be async, since nothing here waits');
    }
    return found instanceof Response ? found : new Response(found);
  } catch (error) {
    if (error instanceof HttpError) return new Response(`${error.message}\n`, { status: error.status });
    throw error;
  }
}

function send(answer, out) {
  const fields = [...answer.headers].map(([name, value]) => [name, encoder.encode(value)]);
  const response = new OutgoingResponse(Fields.fromList(fields));
  response.setStatusCode(answer.status);
  const body = response.body();
  ResponseOutparam.set(out, { tag: 'ok', val: response });
  const stream = body.write();
  for (const part of answer.body instanceof Uint8Array ? [answer.body] : answer.body) write(stream, part);
  stream[Symbol.dispose]();
  OutgoingBody.finish(body, undefined);
}

/** Write all of it, as much at once as the host takes. */
function write(stream, data) {
  for (let at = 0; at < data.length; ) {
    const room = Number(stream.checkWrite());
    if (room) {
      stream.write(data.subarray(at, at + room));
      at += room;
    } else {
      const writable = stream.subscribe();
      writable.block();
      writable[Symbol.dispose]();
    }
  }
  stream.blockingFlush();
}

function concatenated(parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function joined(entries) {
  const decoder = new TextDecoder();
  const found = new Map();
  for (const [name, value] of entries) {
    const [key, text] = [name.toLowerCase(), decoder.decode(value)];
    found.set(key, found.has(key) ? `${found.get(key)}, ${text}` : text);
  }
  return found;
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // it is no encoding of anything: as it came
  }
}

/** The query's parameters; the last of those with one name. */
function parameters(query) {
  const pairs = query.split('&').filter(Boolean).map((pair) => {
    const [, name, value] = /^([^=]*)=?(.*)$/s.exec(pair.replaceAll('+', ' '));
    return [decode(name), decode(value)];
  });
  return Object.fromEntries(pairs);
}
