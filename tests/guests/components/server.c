// A component that serves HTTP with hand-lowered calls; the first letter of the path says what it does.
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name))) extern
#define EXPORT(name) __attribute__((export_name(name)))
#define HTTP "wasi:http/types@0.2.12"
#define STREAMS "wasi:io/streams@0.2.12"
#define POLL "wasi:io/poll@0.2.12"
#define CLOCK "wasi:clocks/monotonic-clock@0.2.12"

typedef int32_t i32;
typedef int64_t i64;

IMPORT(HTTP, "[constructor]fields") i32 fields_new(void);
IMPORT(HTTP, "[method]fields.append") void fields_append(i32, const char *, i32, const char *, i32, void *);
IMPORT(HTTP, "[method]fields.get") void fields_get(i32, const char *, i32, void *);
IMPORT(HTTP, "[method]incoming-request.method") void request_method(i32, void *);
IMPORT(HTTP, "[method]incoming-request.path-with-query") void request_path(i32, void *);
IMPORT(HTTP, "[method]incoming-request.authority") void request_authority(i32, void *);
IMPORT(HTTP, "[method]incoming-request.headers") i32 request_headers(i32);
IMPORT(HTTP, "[method]incoming-request.consume") void request_consume(i32, void *);
IMPORT(HTTP, "[method]incoming-body.stream") void body_stream(i32, void *);
IMPORT(HTTP, "[static]incoming-body.finish") i32 body_trailers(i32);
IMPORT(HTTP, "[method]future-trailers.get") void trailers_get(i32, void *);
IMPORT(HTTP, "[constructor]outgoing-response") i32 response_new(i32);
IMPORT(HTTP, "[method]outgoing-response.set-status-code") i32 response_status(i32, i32);
IMPORT(HTTP, "[method]outgoing-response.body") void response_body(i32, void *);
IMPORT(HTTP, "[static]response-outparam.set") void outparam_set(i32, i32, i32, i32, i64, i32, i32, i32, i32);
IMPORT(HTTP, "[method]outgoing-body.write") void body_write(i32, void *);
IMPORT(HTTP, "[static]outgoing-body.finish") void body_finish(i32, i32, i32, void *);
IMPORT(HTTP, "[constructor]outgoing-request") i32 outgoing_new(i32);
IMPORT(HTTP, "[method]outgoing-request.set-authority") i32 outgoing_authority(i32, i32, const char *, i32);
IMPORT(HTTP, "[method]outgoing-request.set-scheme") i32 outgoing_scheme(i32, i32, i32, i32, i32);
IMPORT(HTTP, "[method]outgoing-request.set-method") i32 outgoing_method(i32, i32, i32, i32);
IMPORT(HTTP, "[method]outgoing-request.set-path-with-query") i32 outgoing_path(i32, i32, const char *, i32);
IMPORT(HTTP, "[method]outgoing-request.body") void outgoing_body(i32, void *);
IMPORT(HTTP, "[method]future-incoming-response.subscribe") i32 future_subscribe(i32);
IMPORT(HTTP, "[method]future-incoming-response.get") void future_get(i32, void *);
IMPORT(HTTP, "[method]incoming-response.consume") void answer_consume(i32, void *);
IMPORT(HTTP, "[method]incoming-response.status") i32 answer_status(i32);
IMPORT(HTTP, "[resource-drop]future-incoming-response") void future_drop(i32);
IMPORT("wasi:http/outgoing-handler@0.2.12", "handle") void outgoing_handle(i32, i32, i32, void *);
IMPORT(STREAMS, "[method]input-stream.blocking-read") void stream_read(i32, i64, void *);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush") void stream_write(i32, const void *, i32, void *);
IMPORT(STREAMS, "[method]output-stream.check-write") void stream_room(i32, void *);
IMPORT(STREAMS, "[method]output-stream.write") void stream_put(i32, const void *, i32, void *);
IMPORT(STREAMS, "[method]output-stream.subscribe") i32 stream_subscribe(i32);
IMPORT(STREAMS, "[resource-drop]input-stream") void input_drop(i32);
IMPORT(STREAMS, "[resource-drop]output-stream") void output_drop(i32);
IMPORT(POLL, "[method]pollable.block") void pollable_block(i32);
IMPORT(POLL, "[resource-drop]pollable") void pollable_drop(i32);
IMPORT(CLOCK, "subscribe-duration") i32 timer(i64);

static char heap[1 << 20];
static uint32_t used;

// Everything a call needs is allocated anew, and forgotten when the next chunk is read.
EXPORT("cabi_realloc") void *cabi_realloc(void *old, uint32_t old_size, uint32_t align, uint32_t size) {
  used = (used + align - 1) & -align;
  void *found = heap + used;
  used += size;
  if (used > sizeof heap) __builtin_trap();
  return found;
}

typedef union { uint64_t align; uint8_t bytes[64]; i32 words[16]; } Out;

static i32 taken(Out *out) {
  if (out->bytes[0]) __builtin_trap();
  return out->words[1];
}

static void put(i32 stream, const void *data, i32 size) {
  Out out;
  for (i32 at = 0; at < size; at += 4096) {
    stream_write(stream, (const char *)data + at, size - at < 4096 ? size - at : 4096, &out);
    taken(&out);
  }
}

static void say(i32 stream, const char *text) {
  i32 size = 0;
  while (text[size]) size++;
  put(stream, text, size);
}

// Writes with check-write, as large as it permits, waiting on a pollable: what language runtimes do.
static void pour(i32 stream, const char *data, i32 size) {
  Out out;
  while (size) {
    stream_room(stream, &out);
    if (out.bytes[0]) __builtin_trap();
    i32 room = out.words[2];
    if (!room) {
      i32 pollable = stream_subscribe(stream);
      pollable_block(pollable);
      pollable_drop(pollable);
      continue;
    }
    i32 part = size < room ? size : room;
    stream_put(stream, data, part, &out);
    taken(&out);
    data += part;
    size -= part;
  }
}

// Passes a body on, and gives its trailers: a handle, or 0.
static i32 pass_on(i32 body, i32 stream) {
  Out out;
  body_stream(body, &out);
  i32 input = taken(&out);
  for (;;) {
    uint32_t mark = used;
    stream_read(input, 65536, &out);
    if (out.bytes[0]) {
      if (out.bytes[4] != 1) __builtin_trap();
      break;
    }
    pour(stream, (char *)(intptr_t)out.words[1], out.words[2]);
    used = mark;
  }
  input_drop(input);
  i32 trailers = body_trailers(body);
  trailers_get(trailers, &out);
  if (out.bytes[0] != 1 || out.bytes[8] || out.bytes[16]) __builtin_trap();
  return out.bytes[24] ? out.words[7] : 0;
}

static i32 begin(i32 outparam, i32 status, i32 *body) {
  Out out;
  i32 headers = fields_new();
  fields_append(headers, "content-type", 12, "text/plain", 10, &out);
  i32 response = response_new(headers);
  if (response_status(response, status)) __builtin_trap();
  response_body(response, &out);
  *body = taken(&out);
  outparam_set(outparam, 0, response, 0, 0, 0, 0, 0, 0);
  body_write(*body, &out);
  return taken(&out);
}

static void end_with(i32 body, i32 stream, i32 trailers) {
  Out out;
  output_drop(stream);
  body_finish(body, trailers != 0, trailers, &out);
  taken(&out);
}

static void end(i32 body, i32 stream) { end_with(body, stream, 0); }

static i32 to(const char *authority, i32 size) {
  i32 request = outgoing_new(fields_new());
  if (outgoing_scheme(request, 1, 0, 0, 0) || outgoing_authority(request, 1, authority, size)) __builtin_trap();
  return request;
}

static void fetch(i32 request, i32 upload, i32 asked, i32 outparam) {
  Out out;
  i32 body;
  outgoing_handle(request, 0, 0, &out);
  if (out.bytes[0]) {
    i32 stream = begin(outparam, 403, &body);
    say(stream, "refused");
    return end(body, stream);
  }
  Out kept = out;
  if (upload) {
    body_write(upload, &out);
    i32 stream = taken(&out);
    request_consume(asked, &out);
    pass_on(taken(&out), stream);
    end(upload, stream);
  }
  out = kept;
  i32 future = out.words[2], pollable = future_subscribe(future);
  pollable_block(pollable);
  pollable_drop(pollable);
  future_get(future, &out);
  if (out.bytes[0] != 1 || out.bytes[8]) __builtin_trap();
  if (out.bytes[16]) {
    i32 stream = begin(outparam, 502, &body);
    say(stream, "failed");
    return end(body, stream);
  }
  i32 answer = out.words[6], stream = begin(outparam, answer_status(answer), &body);
  answer_consume(answer, &out);
  pass_on(taken(&out), stream);
  end(body, stream);
  future_drop(future);
}

EXPORT("wasi:http/incoming-handler@0.2.12#handle") void handle(i32 request, i32 outparam) {
  Out out;
  i32 body, stream;
  request_path(request, &out);
  const char *path = (char *)(intptr_t)out.words[1];
  i32 size = out.words[2];
  switch (size > 1 ? path[1] : 'h') {
  case 'h':  // hello
    stream = begin(outparam, 201, &body);
    say(stream, "hello");
    return end(body, stream);
  case 'e':  // echo
    stream = begin(outparam, 200, &body);
    request_consume(request, &out);
    return end_with(body, stream, pass_on(taken(&out), stream));
  case 'r':  // what the request says
    stream = begin(outparam, 200, &body);
    put(stream, path, size);
    request_authority(request, &out);
    put(stream, (void *)(intptr_t)out.words[1], out.words[2]);
    request_method(request, &out);
    if (out.bytes[0] == 9) put(stream, (void *)(intptr_t)out.words[1], out.words[2]);
    fields_get(request_headers(request), "X-Test", 6, &out);
    for (i32 at = 0, *values = (i32 *)(intptr_t)out.words[0]; at < out.words[1]; at++)
      put(stream, (void *)(intptr_t)values[2 * at], values[2 * at + 1]);
    return end(body, stream);
  case 'w': {  // wait
    i32 pollable = timer(5000000);
    pollable_block(pollable);
    pollable_drop(pollable);
    stream = begin(outparam, 200, &body);
    say(stream, "waited");
    return end(body, stream);
  }
  case 'f':  // fetch: /f?host:port
    return fetch(to(path + 3, size - 3), 0, 0, outparam);
  case 'm': {  // a model: the request's body goes to it, at the path behind /m, and its answer comes back
    i32 sent = to("models.wasmind.internal", 23);
    request_method(request, &out);
    if (out.bytes[0] == 2 && outgoing_method(sent, 2, 0, 0)) __builtin_trap();
    if (outgoing_path(sent, 1, path + 2, size - 2)) __builtin_trap();
    if (out.bytes[0] != 2) return fetch(sent, 0, 0, outparam);
    outgoing_body(sent, &out);
    return fetch(sent, taken(&out), request, outparam);
  }
  case 'l':  // late: work goes on when the response is complete
    stream = begin(outparam, 200, &body);
    say(stream, "done");
    end(body, stream);
    for (volatile i32 forever = 1; forever;) {}
    return;
  case 'd': {  // done, and two seconds' wait afterwards
    stream = begin(outparam, 200, &body);
    say(stream, "done");
    end(body, stream);
    i32 pollable = timer(2000000000);
    pollable_block(pollable);
    pollable_drop(pollable);
    return;
  }
  case 's':  // spin before there is a response
    for (volatile i32 forever = 1; forever;) {}
    return;
  case 'x':  // an error in place of a response: internal-error("x")
    return outparam_set(outparam, 1, 38, 1, (i64)(intptr_t)path, size, 0, 0, 0);
  case 'i':  // incomplete
    stream = begin(outparam, 200, &body);
    return say(stream, "half");
  case 'b':  // a handle that does not exist
    return output_drop(77);
  case 't':
    __builtin_trap();
  }  // anything else: no response
}
