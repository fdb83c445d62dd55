// An HTTP function in JavaScript that echoes, tells what it was asked, and calls a model.
import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from 'wasi:http/types@0.2.12';
import { loadByName } from 'wasi:nn/graph@0.2.0-rc-2024-10-28';
import { Tensor } from 'wasi:nn/tensor@0.2.0-rc-2024-10-28';

const encode = (text) => new TextEncoder().encode(text);

function read(request) {
  const stream = request.consume().stream();
  const parts = [];
  for (;;) {
    try {
      parts.push(...stream.blockingRead(65536n));
    } catch (error) {
      if ((error.payload ?? error).tag === 'closed') break;
      throw error;
    }
  }
  stream[Symbol.dispose]();
  return new Uint8Array(parts);
}

function think(name, data) {
  try {
    const context = loadByName(name).initExecutionContext();
    const given = new Tensor(new Uint32Array([data.length / 4]), 'FP32', data);
    const [[output, made]] = context.compute([['x', given]]);
    const values = new Float32Array(new Uint8Array(made.data()).buffer);
    return [200, encode(`${output} (${Array.from(values, (value) => value.toFixed(1)).join(', ')})`)];
  } catch (error) {
    const failure = error.payload ?? error;
    return [500, encode(`${failure.code()}: ${failure.data()}`)];
  }
}

export const incomingHandler = {
  handle(request, responseOut) {
    const path = request.pathWithQuery();
    let [status, answer] = [200, encode('hello from javascript')];
    if (path.startsWith('/echo')) answer = read(request);
    else if (path.startsWith('/think/')) [status, answer] = think(path.slice(7), read(request));
    else if (path.startsWith('/ask')) {
      const names = request.headers().entries().map(([name]) => name).sort();
      answer = encode(`${request.method().tag} ${request.authority()} ${names}`);
    } else if (path.startsWith('/fail')) throw new Error('on purpose');
    const response = new OutgoingResponse(Fields.fromList([['content-type', encode('text/plain')]]));
    response.setStatusCode(status);
    const body = response.body();
    ResponseOutparam.set(responseOut, { tag: 'ok', val: response });
    const stream = body.write();
    for (let at = 0; at < answer.length; at += 4096) stream.blockingWriteAndFlush(answer.subarray(at, at + 4096));
    stream[Symbol.dispose]();
    OutgoingBody.finish(body, undefined);
  },
};
