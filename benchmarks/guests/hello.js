// A wasi:http function in JavaScript that answers "hello".
import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from "wasi:http/types@0.2.12";

const hello = new TextEncoder().encode("hello\n");

export const incomingHandler = {
  handle(request, outparam) {
    const response = new OutgoingResponse(new Fields());
    const body = response.body();
    ResponseOutparam.set(outparam, { tag: "ok", val: response });
    const stream = body.write();
    stream.blockingWriteAndFlush(hello);
    stream[Symbol.dispose]();
    OutgoingBody.finish(body, undefined);
  },
};
